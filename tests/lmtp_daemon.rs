//! `nightsafe lmtp` as a daemon: signals, readiness, sockets, metrics.

mod support;

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::client::Client;
use support::hook::{ALICE, ANNA, BOB, Hook, Hooked, configure};
use support::lmtp::{Answer, Gate, Server};
use support::{Site, mode};

const SENDER: &str = "carol@elsewhere.test";
const TEXT: &[u8] = b"Subject: walnuts\r\n\r\nThe quinces are ripe.\r\n";
const PATIENCE: Duration = Duration::from_secs(60);

#[track_caller]
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn sigterm_finishes_what_is_in_flight() {
    let gate = Gate::default();
    let rules = vec![("end <alice@", Answer::Behind(gate.clone()))];
    let hooked = Hooked::new(rules);
    let mut idle = hooked.client();
    let mut half_a_command = hooked.client();
    half_a_command.send("MAIL FROM:<a@x.");
    let mut waiting = hooked.client();
    waiting.envelope(SENDER, &[ALICE, BOB, ANNA]);
    waiting.send([&b"DATA\r\n"[..], TEXT, b".\r\n"].concat());
    waiting.expect("354 ");
    gate.wait_for(1);
    // This one has said MAIL, and this one a part of its message.
    let mut begun = hooked.client();
    begun.ask("MAIL FROM:<>", "250 ");
    let mut in_data = hooked.client();
    in_data.envelope(SENDER, &[BOB]);
    in_data.ask("DATA", "354 ");
    in_data.send("Subject: more\r\n");
    hooked.hook.signal(Signal::TERM);
    for client in [&mut idle, &mut half_a_command] {
        client.expect("421 4.3.2 ");
        client.closed();
    }
    // Nobody new is let in.
    wait_until("it still listens", || UnixStream::connect(hooked.hook.unix()).is_err());
    gate.open();
    for begin in ["250 2.0.0 sealed", "250 2.0.0 passed", "250 2.0.0 sealed", "421 4.3.2 "] {
        waiting.expect(begin);
    }
    waiting.closed();
    begun.ask("RCPT TO:<bob@example.org>", "250 ");
    begun.send("BDAT 3 LAST\r\nx\r\n");
    begun.expect("250 2.0.0 passed");
    begun.expect("421 4.3.2 ");
    begun.closed();
    in_data.send(".\r\n");
    in_data.expect("250 2.0.0 passed");
    in_data.expect("421 4.3.2 ");
    hooked.hook.ends_well();
    assert_eq!(hooked.store.data().len(), 5);
}

#[test]
fn sigterm_waits_no_longer_than_it_is_told() {
    let hooked = Hooked::with(Server::start(Vec::new()), "", "stop_timeout = 1");
    let mut begun = hooked.client();
    begun.envelope(SENDER, &[ALICE]);
    begun.ask("DATA", "354 ");
    begun.send("Subject: half\r\n");
    hooked.hook.stop();
    begun.closed();
    assert_eq!(hooked.store.data().len(), 0);
}

#[test]
fn sigint_stops_it_as_well() {
    let hooked = Hooked::new(Vec::new());
    hooked.hook.signal(Signal::INT);
    hooked.hook.ends_well();
}

/// The service manager's end of sd_notify(3).
struct Manager {
    socket: UnixDatagram,
    path: std::path::PathBuf,
}

impl Manager {
    fn new(site: &Site) -> Self {
        let path = site.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, path }
    }

    /// What it is told next.
    #[track_caller]
    fn told(&self) -> String {
        let mut message = [0; 1024];
        let length = self.socket.recv(&mut message).expect("nothing was told");
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    #[track_caller]
    fn is_reloaded(&self) {
        let told = self.told();
        let (reloading, since) = told.split_once("MONOTONIC_USEC=").expect("no MONOTONIC_USEC");
        assert!(reloading.contains("RELOADING=1\n"), "{told}");
        assert!(since.trim_end().parse::<u64>().is_ok(), "{told}");
        assert_eq!(self.told().trim_end(), "READY=1");
    }
}

#[test]
fn the_service_manager_is_told() {
    let site = Site::new();
    site.enroll(ALICE, b"pw").good();
    let store = Server::start(Vec::new());
    configure(&site, &store.address, "", "");
    let manager = Manager::new(&site);
    let hook = Hook::run(site.command(["lmtp"]).env("NOTIFY_SOCKET", &manager.path));
    assert_eq!(manager.told().trim_end(), "READY=1");
    // It does listen by then.
    let mut client = hook.client();
    client.ask("MAIL FROM:<>", "250 ");
    hook.signal(Signal::HUP);
    manager.is_reloaded();
    // A configuration of no use is read, too.
    fs::write(site.config(), "nonsense").unwrap();
    hook.signal(Signal::HUP);
    manager.is_reloaded();
    hook.signal(Signal::TERM);
    // Before it waits for what is in flight.
    assert_eq!(manager.told().trim_end(), "STOPPING=1");
    client.ask("RSET", "250 ");
    client.expect("421 ");
    hook.ends_well();
}

#[test]
fn sighup_brings_another_policy() {
    let hooked = Hooked::new(Vec::new());
    let manager = Manager::new(&hooked.site);
    let mut command = hooked.site.command(["lmtp"]);
    // In place of the one that nobody can wait for.
    let Hooked { hook, store, site } = hooked;
    hook.stop();
    let hook = Hook::run(command.env("NOTIFY_SOCKET", &manager.path));
    manager.told();
    let mut client = hook.client();
    client.ask("MAIL FROM:<>", "250 ");
    client.ask("RCPT TO:<nobody@example.org>", "450 4.2.1 ");
    let reload = |delivery: &str, more: &str| {
        configure(&site, &store.address, delivery, more);
        hook.signal(Signal::HUP);
        manager.is_reloaded();
    };
    reload("unenrolled = \"reject\"\nmax_message_bytes = 1000", "");
    // The message that was begun before ends as it began.
    client.ask("RCPT TO:<nobody@example.org>", "450 4.2.1 ");
    client.ask("RSET", "250 ");
    client.ask("MAIL FROM:<>", "250 ");
    client.ask("RCPT TO:<nobody@example.org>", "550 5.7.1 ");
    client.ask("RSET", "250 ");
    client.ask("MAIL FROM:<> SIZE=1001", "552 5.3.4 ");
    assert!(client.ask("LHLO again", "250-").contains("SIZE 1000"));
    // None of these is taken, and all stays as it was.
    for broken in [
        "unenrolled = \"drop\"",
        "max_message_bytes = 1000000000000",
        "max_message_bytes = 2000\n[seal]",
    ] {
        reload(broken, "");
        assert!(client.ask("LHLO again", "250-").contains("SIZE 1000"), "{broken}");
    }
    for broken in ["backend = \"nowhere\"", "nonsense = 1", "backend_user = \"x\""] {
        reload("max_message_bytes = 2000", broken);
        assert!(client.ask("LHLO again", "250-").contains("SIZE 1000"), "{broken}");
    }
    fs::rename(site.join("sealing.key"), site.join("away")).unwrap();
    reload("max_message_bytes = 2000", "");
    assert!(client.deliver("", &[ALICE], b"x\r\n")[0].starts_with("250 2.0.0 sealed"));
    fs::rename(site.join("away"), site.join("sealing.key")).unwrap();
    // Another store, for the messages to come.
    let other = Server::start(Vec::new());
    configure(&site, &other.address, "", "recipients = 1");
    hook.signal(Signal::HUP);
    manager.is_reloaded();
    client.envelope("", &[ALICE]);
    client.ask("RCPT TO:<bob@example.org>", "452 4.5.3 ");
    client.send("BDAT 0 LAST\r\n");
    client.expect("250 2.0.0 sealed");
    assert_eq!((store.data().len(), other.data().len()), (1, 1));
    hook.stop();
}

#[test]
fn a_configuration_of_no_use_ends_it_at_once() {
    let site = Site::new();
    for (delivery, more, words) in [
        ("", "nonsense = 1", "nonsense"),
        ("", "memory_bytes = 1000000", "memory_bytes"),
        (
            "",
            "backend_user = \"x\"\nbackend_password_file = \"/nonexistent/file\"",
            "[lmtp] backend_password_file: cannot read /nonexistent/file: ",
        ),
        ("", "backend_user = \"x\"", "backend_user is set, and backend_password_file is not"),
        ("", "connections = 0", "connections: 0 is none"),
        ("", "backend_reply_timeout = 0", "backend_reply_timeout: 0 seconds"),
        ("", "metrics = [\"inet:192.0.2.1:1\"]", "metrics: inet:192.0.2.1:1 is for other machines"),
    ] {
        configure(&site, "inet:127.0.0.1:1", delivery, more);
        let ran = site.run(["lmtp"]).fails(78, &[words]);
        assert!(ran.text().is_empty(), "{ran:?}");
    }
    let own = format!("unix:{}", site.join("hook").display());
    configure(&site, &own, "", "");
    site.run(["lmtp"]).fails(78, &[&own, "is nightsafe's own, by [lmtp] listen"]);
    assert!(site.run(["check"]).text().contains("is nightsafe's own, by [lmtp] listen"));
    site.configure("", "[lmtp]\nlisten = []");
    site.run(["lmtp"]).fails(78, &["cannot listen at any address: `listen` names no address"]);
    fs::remove_file(site.config()).unwrap();
    let ran = site.run(["lmtp"]).fails(66, &[&site.config().display().to_string()]);
    assert!(ran.stderr.contains("hint: name a file that is there"), "{}", ran.stderr);
    let site = Site::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    site.configure("", &format!("[lmtp]\nlisten = [\"inet:{address}\"]"));
    let ran = site.run(["lmtp"]);
    assert!(ran.status != Some(0) && ran.stderr.contains(&address.to_string()), "{ran:?}");
}

#[test]
fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
    let mut hooked = Hooked::with(Server::start(Vec::new()), "", "socket_mode = 0o600");
    let path = hooked.hook.unix();
    assert_eq!(mode(&path), 0o600);
    let ran = hooked.site.run(["lmtp"]);
    assert!(ran.status != Some(0) && ran.stderr.contains("another server listens"), "{ran:?}");
    hooked.client().deliver("", &[ALICE], b"x\r\n");
    // Killed: the file is left.
    hooked.hook.kill();
    assert!(path.exists());
    hooked.hook = Hook::start(&hooked.site);
    hooked.client().deliver("", &[ALICE], b"x\r\n");
    // Somebody's file is no socket.
    hooked.hook.kill();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    let ran = hooked.site.run(["lmtp"]);
    assert_ne!(ran.status, Some(0));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

/// Starts the program as systemd does, with two sockets that are open already. It cannot open those of
/// its configuration.
#[test]
fn sockets_of_the_service_manager() {
    let site = Site::new();
    site.enroll(ALICE, b"pw").good();
    let store = Server::start(Vec::new());
    let rest =
        format!("[lmtp]\nlisten = [\"unix:/nonexistent/x\"]\nbackend = \"{}\"", store.address);
    site.configure("", &rest);
    let path = site.join("activated");
    let unix = UnixListener::bind(&path).unwrap();
    let inet = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = inet.local_addr().unwrap();
    // A client that is there before the program.
    let mut early = Client::inet(address);
    early.send("LHLO early\r\n");
    // The shell's process becomes the program: its number is LISTEN_PID.
    let script = "exec 3<&0 4<&2 0</dev/null 2>/dev/null; export LISTEN_PID=$$; exec \"$@\"";
    let program = site.command(["lmtp"]);
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(program.get_program()).args(program.get_args());
    command.env("LISTEN_FDS", "2").stdin(Stdio::from(OwnedFd::from(unix)));
    command.stderr(Stdio::from(OwnedFd::from(inet)));
    let hook = Hook::run(&mut command);
    drop(command);
    let wanted = [format!("unix:{}", path.display()), format!("inet:{address}")];
    assert_eq!(hook.listening, wanted);
    early.expect("220 ");
    early.expect("250-");
    for mut client in [early, Client::unix(&path).greeted()] {
        assert!(client.deliver(SENDER, &[ALICE], TEXT)[0].starts_with("250 2.0.0 sealed"));
    }
    hook.stop();
}

/// What a scraper gets.
fn scrape(stream: &mut (impl std::io::Read + std::io::Write)) -> String {
    scrape_as(stream, "application/openmetrics-text;version=1.0.0,*/*;q=0.1", OPEN_METRICS)
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// In a form that whoever accepts this gets as that.
fn scrape_as(
    stream: &mut (impl std::io::Read + std::io::Write),
    accepts: &str,
    kind: &str,
) -> String {
    let ends = "Connection: close\r\n\r\n";
    let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accepts}\r\n{ends}");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.to_ascii_lowercase().contains(&format!("content-type: {kind}")), "{head}");
    body.to_owned()
}

#[track_caller]
fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().unwrap()
}

#[test]
fn metrics() {
    // Of an address of its own, where nobody else takes the port meanwhile.
    let port = TcpListener::bind("127.77.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics");
    let more = format!("metrics = [\"inet:{port}\", \"unix:{}\"]\nconnections = 3", path.display());
    let rules = vec![("end <bea@", support::lmtp::say("554 5.6.0 no"))];
    let hooked = Hooked::with(Server::start(rules), "max_message_bytes = 100000", &more);
    let by_unix = |path: &Path| scrape(&mut UnixStream::connect(path).unwrap());
    let before = by_unix(&path);
    for name in ["sealed", "passed", "rejected", "deferred"] {
        assert_eq!(
            value(&before, &format!("nightsafe_lmtp_recipients_total{{outcome=\"{name}\"}}")),
            0.0
        );
    }
    let mut client = hooked.client();
    client.ask("MAIL FROM:<carol@elsewhere.test>", "250 ");
    client.ask("RCPT TO:<nobody@example.org>", "450 ");
    client.ask("RSET", "250 ");
    client.deliver(SENDER, &[ALICE, ANNA, BOB, "bea@example.org"], TEXT);
    client.deliver(SENDER, &[BOB], TEXT);
    client.envelope(SENDER, &[ALICE]);
    client.send([format!("BDAT {}\r\n", TEXT.len()).as_bytes(), TEXT].concat());
    client.expect("250 ");
    // It is being received until the last chunk is there.
    let pause = Duration::from_millis(50);
    thread::sleep(pause);
    client.ask("BDAT 0 LAST", "250 ");
    let others = [hooked.client(), hooked.client()];
    let mut refused = Client::inet(hooked.hook.inet());
    refused.expect("421 4.3.2 ");
    refused.closed();
    let after = scrape(&mut TcpStream::connect(port).unwrap());
    let stored: usize = hooked.store.data().iter().map(Vec::len).sum();
    for (name, wanted) in [
        ("recipients_total{outcome=\"sealed\"}", 3.0),
        ("recipients_total{outcome=\"passed\"}", 2.0),
        ("recipients_total{outcome=\"rejected\"}", 1.0),
        ("recipients_total{outcome=\"deferred\"}", 1.0),
        ("step_seconds_count{step=\"receive\"}", 3.0),
        ("step_seconds_count{step=\"prepare\"}", 2.0),
        ("step_seconds_count{step=\"seal\"}", 3.0),
        ("step_seconds_count{step=\"hand_over\"}", 5.0),
        ("message_in_bytes_total", 3.0 * TEXT.len() as f64),
        ("message_stored_bytes_total", stored as f64),
        ("connections", 3.0),
        ("connections_refused_total", 1.0),
        ("memory_free_bytes", 536_870_912.0),
        ("memory_waiting", 0.0),
        ("store_connections_idle", 1.0),
        ("panics_total", 0.0),
    ] {
        assert_eq!(value(&after, &format!("nightsafe_lmtp_{name}")), wanted, "{name} in\n{after}");
    }
    // Whoever does not know OpenMetrics gets what Prometheus had before.
    let mut plain = TcpStream::connect(port).unwrap();
    let plain = scrape_as(&mut plain, "text/plain;version=0.0.4", "text/plain; version=0.0.4;");
    for line in [
        "# TYPE nightsafe_lmtp_recipients_total counter",
        "nightsafe_lmtp_recipients_total{outcome=\"sealed\"} 3",
        "# TYPE nightsafe_lmtp_step_seconds histogram",
        "# TYPE nightsafe_lmtp_memory_free_bytes gauge",
    ] {
        assert!(plain.lines().any(|shown| shown == line), "{line} is not in\n{plain}");
    }
    assert!(!plain.contains("# UNIT") && !plain.contains("# EOF"), "{plain}");
    let received = value(&after, "nightsafe_lmtp_step_seconds_sum{step=\"receive\"}");
    assert!(received >= pause.as_secs_f64(), "{received} seconds");
    assert!(after.ends_with("# EOF\n"));
    for word in ["alice", "bob", "nobody", "carol", "walnut", "example.org", "127."] {
        assert!(!after.contains(word), "{word} in\n{after}");
    }
    drop(others);
    // Whoever talks nonsense there disturbs nobody.
    let mut rude = TcpStream::connect(port).unwrap();
    rude.write_all(b"\0\xff\r\n\r\n").unwrap();
    let mut silent = UnixStream::connect(&path).unwrap();
    silent.write_all(b"GET /metr").unwrap();
    wait_until("who left is counted", || {
        value(&by_unix(&path), "nightsafe_lmtp_connections") == 1.0
    });
    hooked.hook.stop();
}

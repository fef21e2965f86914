//! `nightsafe imap` as a daemon: metrics, lines in the log, limits, SIGHUP, SIGTERM, sockets of the service
//! manager.

mod site;
mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType};
use site::dovecot::Dovecot;
use site::process::{free_port, wait_for};
use site::proxy::Reading;
use site::store::Store as _;
use site::tls::Certificates;
use site::{Site, password};
use support::imap::Client;

const LETTER: &[u8] = b"Subject: walnut\r\n\r\nThe quinces are ripe.\r\n";

/// A client at an address of the loopback interface; nothing where nobody greets.
fn client_from(host: [u8; 4], port: u16) -> Client {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from((host, 0))).unwrap();
    rustix::net::connect(&socket, &SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    Client::over(stream.try_clone().unwrap(), stream, false).unwrap()
}

/// What a scraper gets.
fn scrape(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.to_owned()
}

#[track_caller]
fn is_counted(port: u16, lines: &[(&str, u64)]) {
    let metrics = scrape(port);
    for (name, value) in lines {
        let line = format!("\nnightsafe_imap_{name} {value}\n");
        assert!(metrics.contains(&line), "no {line} in\n{metrics}");
    }
}

fn log_in(port: u16, user: &str) -> Client {
    Client::login(port, user, &password(user))
}

#[test]
fn what_is_counted_and_logged() {
    let site = Site::with_users(&["alice", "bob"]);
    let mut dovecot = Dovecot::start(&site, &["alice", "bob", "carol"]);
    dovecot.login("alice").command("APPEND INBOX {5+}\r\na: b\n");
    let port = free_port();
    let more = format!("metrics = [\"inet:127.0.0.1:{port}\"]");
    let mut reading = Reading::start_with(&site, &dovecot.imap_address(), "", &more);
    let results = ["unlocked", "no_keys", "keys_away", "refused", "store_away"];
    let names = results.map(|result| format!("logins_total{{result=\"{result}\"}}"));
    let zero: Vec<_> = names.iter().map(|name| (name.as_str(), 0)).collect();
    is_counted(port, &zero);
    is_counted(port, &[("messages_total{form=\"opened\"}", 0), ("appended_total", 0)]);

    let mut client = log_in(reading.port(), "alice");
    client.append("INBOX", "", LETTER).good();
    client.command("SELECT INBOX").good();
    client.command("FETCH 1:* BODY.PEEK[]").good();
    is_counted(
        port,
        &[
            ("logins_total{result=\"unlocked\"}", 1),
            ("messages_total{form=\"opened\"}", 1),
            ("messages_total{form=\"plain\"}", 1),
            ("appended_total", 1),
            ("connections", 1),
        ],
    );
    let metrics = scrape(port);
    assert!(!metrics.contains("alice") && !metrics.contains("127.0.0.1"), "{metrics}");
    log_in(reading.port(), "carol");
    for (host, user) in [([127, 0, 0, 77], "alice"), ([127, 0, 0, 78], "nobody\\\" x")] {
        let mut client = client_from(host, reading.port());
        assert_eq!(client.command(format!("LOGIN \"{user}\" guess")).status(), "NO");
    }
    reading.agent.kill();
    assert!(client.read().unwrap().starts_with(b"* BYE "));
    log_in(reading.port(), "bob");
    dovecot.down();
    let mut client = Client::connect(reading.port()).unwrap();
    assert_eq!(client.command("LOGIN alice \"x\"").status(), "NO");
    let all = [1, 1, 1, 2, 1];
    let all: Vec<_> = names.iter().map(String::as_str).zip(all).collect();
    is_counted(port, &all);
    drop(client);
    wait_for(
        "everybody to be gone",
        || scrape(port),
        || scrape(port).contains("\nnightsafe_imap_connections 0\n").then_some(()),
    );
    let log = site.system_log();
    for line in [
        "imap: login: user=<alice>, client=127.0.0.1, keys=unlocked",
        "imap: login: user=<carol>, client=127.0.0.1, keys=no-keys",
        "imap: login: user=<bob>, client=127.0.0.1, keys=keys-away",
        "imap: login failed: user=<alice>, client=127.0.0.77\n",
        "imap: login failed: user=<nobody\" x>, client=127.0.0.78\n",
        "imap: user=<alice>, client=127.0.0.1: no store: ",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{line}\n{log}");
    }
    assert!(!log.contains("correct horse") && !log.contains("guess"), "{log}");
    reading.proxy.stop();
}

#[test]
fn no_more_clients_than_there_may_be() {
    let site = Site::with_users(&["alice"]);
    let dovecot = Dovecot::start(&site, &["alice"]);
    let metrics = free_port();
    let more = format!(
        "connections = 3\nconnections_per_client = 2\nmetrics = [\"inet:127.0.0.1:{metrics}\"]"
    );
    let reading = Reading::start_with(&site, &dovecot.imap_address(), "", &more);
    let come = |last: u8| client_from([127, 0, 0, last], reading.port());
    let is_in = |client: &Client| client.greeting.starts_with(b"* OK ");
    wait_for(
        "the first look to be over",
        || scrape(metrics),
        || scrape(metrics).contains("\nnightsafe_imap_connections 0\n").then_some(()),
    );
    let mut first = come(11);
    let second = come(11);
    assert!(is_in(&first) && is_in(&second));
    let third = come(11);
    assert!(third.greeting.starts_with(b"* BYE "), "{}", third.greeting.escape_ascii());
    // Somebody else still may; then nobody.
    let other = come(12);
    assert!(is_in(&other) && !is_in(&come(13)));
    is_counted(metrics, &[("refused_connections_total", 2), ("connections", 3)]);
    first.command(format!("LOGIN alice \"{}\"", password("alice"))).good();
    // A place that is free again is somebody's.
    drop(second);
    wait_for("a place", || scrape(metrics), || is_in(&come(11)).then_some(()));
    assert!(first.command("SELECT INBOX").good().of("EXISTS").len() == 1);
}

#[test]
fn sighup_brings_another_configuration() {
    let site = Site::with_users(&["alice", "bob"]);
    let mut dovecot = Dovecot::start(&site, &["alice", "bob"]);
    let address = dovecot.imap_address();
    let mut reading = Reading::start(&site, &address);
    let mut before = log_in(reading.port(), "alice");
    let reload = |reading: &Reading, more: &str, line: &str| {
        let had = site.system_log().matches(line).count();
        reading.proxy.configure(&site, &address, more);
        reading.proxy.reload();
        wait_for(
            line,
            || site.system_log(),
            || (site.system_log().matches(line).count() > had).then_some(()),
        );
    };
    let line = "imap: configuration";
    reload(&reading, "[delivery]\nmax_message_bytes = 1000", line);
    let limit = |reading: &Reading| {
        let mut client = Client::connect(reading.port()).unwrap();
        let login = format!("LOGIN bob \"{}\"", password("bob"));
        client.command(login).good().code("CAPABILITY").unwrap()
    };
    assert!(limit(&reading).contains("APPENDLIMIT=1000"));
    // A session that was there goes on as it began.
    before.append("INBOX", "", &[b'x'; 2000]).good();
    let answer = log_in(reading.port(), "alice").append("INBOX", "", &[b'x'; 2000]);
    assert!(answer.tagged.starts_with(b"NO [TOOBIG]"), "{answer}");
    // What is of no use changes nothing.
    for broken in [
        "nonsense = 1",
        "tls_certificate = \"/nonexistent/chain\"",
        "memory_bytes = 1000",
        "[delivery",
    ] {
        reload(&reading, broken, line);
        assert!(limit(&reading).contains("APPENDLIMIT=1000"), "{broken}");
    }
    // What only a restart changes is named.
    reload(&reading, "socket_mode = 0o600\n[delivery]\nmax_message_bytes = 2000", "socket_mode");
    assert!(limit(&reading).contains("APPENDLIMIT=2000"));
    // Certificates are there for the clients to come.
    let made = Certificates::make(&site, "one");
    reload(&reading, &made.settings(), line);
    let client = Client::connect(reading.port()).unwrap();
    assert!(String::from_utf8_lossy(&client.greeting).contains("STARTTLS"));

    // SIGTERM: whoever is in is told.
    let mut idle = Client::connect(reading.port()).unwrap();
    let idling = before.start("IDLE");
    before.until_asked();
    reading.proxy.stop();
    for client in [&mut idle, &mut before] {
        let said = client.read().unwrap();
        assert!(said.starts_with(b"* BYE "), "{}", said.escape_ascii());
    }
    drop(idling);
    dovecot.down();
}

/// Starts the program as systemd does, with two sockets that are open already.
#[test]
fn sockets_of_the_service_manager() {
    let site = Site::with_users(&["alice"]);
    let dovecot = Dovecot::start(&site, &["alice"]);
    let made = Certificates::make(&site, "one");
    let tls = free_port();
    let also = format!("tls:127.0.0.1:{tls}");
    let backend = dovecot.imap_address();
    let mut reading = Reading::start_at(&site, &[&also], &backend, "", &made.settings());
    reading.proxy.stop();
    let [plain, over_tls] = [reading.port(), tls].map(|port| {
        // Its own address is in use by nobody, whatever the kernel waits for.
        TcpListener::bind(("127.0.0.1", port)).unwrap()
    });
    // A client that is there before the program.
    let early = TcpStream::connect(plain.local_addr().unwrap()).unwrap();
    early.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // The shell's process becomes the program: its number is LISTEN_PID.
    let script = "exec 3<&0 4<&2 0</dev/null 2>/dev/null; export LISTEN_PID=$$; exec \"$@\"";
    let program = reading.proxy.command(&site);
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(program.get_program()).args(program.get_args());
    command.env("LISTEN_FDS", "2").stdin(Stdio::from(OwnedFd::from(plain)));
    command.stderr(Stdio::from(OwnedFd::from(over_tls))).stdout(Stdio::null());
    reading.proxy.up_by(&site, &mut command);
    drop(command);
    let mut early = Client::over(early.try_clone().unwrap(), early, false).unwrap();
    early.command(format!("LOGIN alice \"{}\"", password("alice"))).good();
    early.append("INBOX", "", LETTER).good();
    let (stream, _program) = made.client(tls, false);
    let mut client = Client::over(stream.try_clone().unwrap(), stream, false).unwrap();
    client.command(format!("LOGIN alice \"{}\"", password("alice"))).good();
    client.command("SELECT INBOX").good();
    assert_eq!(client.command("FETCH 1 BODY[]").good().literals(), [LETTER]);
    reading.proxy.stop();
}

//! The systemd units of `examples/systemd`: systemd itself judges how much they allow, and the service
//! needs no system call that they forbid.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nightsafe::agent::protocol::{Password, Reply, Request, STANZA_BYTES};
use nightsafe::config::Config;
use support::agent::{Agent, confirmed, settings};
use support::hook::{ALICE, Hook, PASSWORD, configure};
use support::imap::Client;
use support::imap_stub::{Reaction, Stub, say};
use support::lmtp::Server;
use support::{MESSAGE, Site, opened};

fn unit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd").join(name)
}

fn systemd_analyze(arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).stdin(Stdio::null()).output().unwrap_or_else(|error| {
        panic!("this test needs systemd-analyze (Debian package systemd): {error}")
    })
}

#[test]
fn systemd_finds_the_units_right_and_tight() {
    let path = unit("nightsafe-lmtp.service");
    // Tenths: at most 1.5.
    let options = ["security", "--offline=true", "--threshold=15", path.to_str().unwrap()];
    let found = systemd_analyze(&options);
    let said = String::from_utf8_lossy(&found.stdout) + String::from_utf8_lossy(&found.stderr);
    assert!(found.status.success(), "{said}");
    assert!(said.contains("Overall exposure level for nightsafe-lmtp.service: "), "{said}");
    // What it does not understand it says, and goes on.
    assert!(!said.contains("ignoring"), "{said}");
    let text = fs::read_to_string(unit("nightsafe-lmtp.socket")).unwrap();
    assert!(text.contains("ListenStream=/run/nightsafe/lmtp\n"));
}

#[test]
fn systemd_finds_the_units_of_the_agent_tighter_still() {
    let path = unit("nightsafe-agent.service");
    // Tenths: at most 1.0.
    let options = ["security", "--offline=true", "--threshold=10", path.to_str().unwrap()];
    let found = systemd_analyze(&options);
    let said = String::from_utf8_lossy(&found.stdout) + String::from_utf8_lossy(&found.stderr);
    assert!(found.status.success(), "{said}");
    assert!(said.contains("Overall exposure level for nightsafe-agent.service: "), "{said}");
    assert!(!said.contains("ignoring"), "{said}");
    let text = fs::read_to_string(&path).unwrap();
    let lines = ["PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX", "MemorySwapMax=0"];
    for line in lines {
        assert!(text.lines().any(|found| found == line), "{line}");
    }
    // In a user namespace everybody who asks would be the same.
    assert!(!text.contains("PrivateUsers=yes"));
    let text = fs::read_to_string(unit("nightsafe-agent.socket")).unwrap();
    assert!(text.contains("ListenStream=/run/nightsafe/agent\n"));
}

#[test]
fn systemd_finds_the_units_of_the_proxy_right_and_tight() {
    let path = unit("nightsafe-imap.service");
    // Tenths: at most 1.5, although clients come from everywhere.
    let options = ["security", "--offline=true", "--threshold=15", path.to_str().unwrap()];
    let found = systemd_analyze(&options);
    let said = String::from_utf8_lossy(&found.stdout) + String::from_utf8_lossy(&found.stderr);
    assert!(found.status.success(), "{said}");
    assert!(said.contains("Overall exposure level for nightsafe-imap.service: "), "{said}");
    assert!(!said.contains("ignoring"), "{said}");
    let text = fs::read_to_string(&path).unwrap();
    for line in ["LimitCORE=0", "MemorySwapMax=0", "SupplementaryGroups=nightsafe"] {
        assert!(text.lines().any(|found| found == line), "{line}");
    }
    // In a user namespace the agent would be anybody.
    assert!(!text.contains("PrivateUsers=yes"));
    let text = fs::read_to_string(unit("nightsafe-imap.socket")).unwrap();
    assert!(text.contains("ListenStream=993\n"));
}

/// The value of a setting that the service's unit has once.
fn setting<'a>(unit: &'a str, name: &str) -> &'a str {
    let mut values = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let value = values.next().unwrap_or_else(|| panic!("the unit says nothing of {name}"));
    assert_eq!(values.next(), None, "{name} is there twice");
    value
}

/// What hides or protects a folder is a mount. In the namespace of the service, one below the key
/// directory keeps the disk there after root has unmounted it, and the next one is not seen.
#[test]
fn the_disk_of_the_keys_can_be_unmounted_and_mounted_again() {
    let texts = ["nightsafe-lmtp.service", "nightsafe-imap.service"]
        .map(|name| fs::read_to_string(unit(name)).unwrap());
    let keys = Config::default().keys.directory;
    let mounts = ["InaccessiblePaths=", "ReadOnlyPaths=", "ReadWritePaths=", "BindPaths="];
    let lines = texts.iter().flat_map(|text| text.lines());
    for line in lines.filter(|line| mounts.iter().any(|name| line.starts_with(name))) {
        let (_, paths) = line.split_once('=').unwrap();
        for path in paths.split(' ').map(|path| path.trim_start_matches(['-', '+'])) {
            assert!(!Path::new(path).starts_with(&keys), "{line}");
        }
    }
}

/// Without the keys neither begins. systemd gives such a one up after five times, and closes its
/// socket, unless it is told not to.
#[test]
fn no_service_is_given_up() {
    for name in ["nightsafe-lmtp.service", "nightsafe-agent.service", "nightsafe-imap.service"] {
        let text = fs::read_to_string(unit(name)).unwrap();
        assert_eq!(setting(&text, "StartLimitIntervalSec"), "0", "{name}");
        assert_eq!(setting(&text, "Restart"), "always", "{name}");
        // Why it does not begin must be seen, and would go where the output goes.
        assert_eq!(setting(&text, "StandardOutput"), "null", "{name}");
        assert_eq!(setting(&text, "StandardError"), "journal", "{name}");
    }
}

/// The kernel ends the service, and systemd stops it, no sooner than the defaults of nightsafe.toml want.
#[test]
fn the_unit_has_room_for_the_defaults() {
    let text = fs::read_to_string(unit("nightsafe-lmtp.service")).unwrap();
    let lmtp = Config::default().lmtp;
    let mebibytes = setting(&text, "MemoryMax").strip_suffix('M').unwrap();
    assert!(mebibytes.parse::<u64>().unwrap() >= (lmtp.memory_bytes >> 20) + 64);
    let seconds: u64 = setting(&text, "TimeoutStopSec").parse().unwrap();
    assert!(seconds > lmtp.stop_timeout);
    // A socket for each client and for each connection to the store, and a few more.
    let files: usize = setting(&text, "LimitNOFILE").parse().unwrap();
    assert!(files > lmtp.connections + lmtp.backend_connections + 100);

    let text = fs::read_to_string(unit("nightsafe-imap.service")).unwrap();
    let imap = Config::default().imap;
    let mebibytes = setting(&text, "MemoryMax").strip_suffix('M').unwrap();
    // And 64 KiB for each connection, and for its TLS.
    let connections = imap.connections as u64 * 128 * 1024;
    // And whose turn it is reads the largest message.
    let turn = 3 * Config::default().delivery.max_message_bytes;
    let needed = (imap.memory_bytes + imap.cache_bytes + connections + turn) >> 20;
    assert!(mebibytes.parse::<u64>().unwrap() >= needed + 64);
    let seconds: u64 = setting(&text, "TimeoutStopSec").parse().unwrap();
    assert!(seconds > imap.stop_timeout);
    let files: usize = setting(&text, "LimitNOFILE").parse().unwrap();
    assert!(files > 3 * imap.connections + 100, "a client, the store and the agent");
}

/// The system calls that a group such as `@system-service` stands for.
fn group(name: &str) -> BTreeSet<String> {
    let output = systemd_analyze(&["syscall-filter", name]);
    let text = String::from_utf8(output.stdout).unwrap();
    let mut calls = BTreeSet::new();
    for word in text.lines().skip(1).map(str::trim).filter(|word| !word.starts_with('#')) {
        if word.starts_with('@') {
            calls.extend(group(word));
        } else if !word.is_empty() {
            calls.insert(word.to_owned());
        }
    }
    assert!(!calls.is_empty(), "systemd knows no {name}");
    calls
}

/// The calls of one word of a filter: a group, or a call.
fn calls_of(word: &str) -> BTreeSet<String> {
    if word.starts_with('@') { group(word) } else { BTreeSet::from([word.to_owned()]) }
}

/// What is left of `SystemCallFilter=` in the unit, line by line.
fn allowed(unit: &str) -> BTreeSet<String> {
    let mut calls = BTreeSet::new();
    for filter in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        match filter.strip_prefix('~') {
            None => calls.extend(filter.split(' ').flat_map(calls_of)),
            Some(filter) => {
                for call in filter.split(' ').flat_map(calls_of) {
                    calls.remove(&call);
                }
            }
        }
    }
    calls
}

#[test]
fn the_service_needs_no_forbidden_system_call() {
    let site = Site::new();
    site.enroll(ALICE, PASSWORD).good();
    let store = Server::start(Vec::new());
    let metrics = site.join("metrics");
    configure(&site, &store.address, "", &format!("metrics = [\"unix:{}\"]", metrics.display()));
    let trace = site.file("trace", b"");
    let program = site.command(["lmtp"]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "signal=none", "-o", &trace]);
    strace.arg(program.get_program()).args(program.get_args());
    let hook = Hook::run(&mut strace);
    let mut client = hook.client();
    // The second is large enough for the other way of sealing and writing.
    let message = String::from_utf8_lossy(MESSAGE).replace('\n', "\r\n");
    for times in [3, 20_000] {
        let replies = client.deliver("a@b.test", &[ALICE], message.repeat(times).as_bytes());
        assert!(replies[0].starts_with("250 2.0.0 sealed as <"), "{replies:?}");
    }
    let mut scrape = UnixStream::connect(&metrics).unwrap();
    scrape.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut shown = String::new();
    scrape.read_to_string(&mut shown).unwrap();
    assert!(shown.contains("nightsafe_lmtp_recipients_total{outcome=\"sealed\"} 2"), "{shown}");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", hook.pid()));
    let child = children.unwrap().trim().to_owned();
    for signal in ["-HUP", "-TERM"] {
        assert!(Command::new("kill").args([signal, &child]).status().unwrap().success());
    }
    hook.ends_well();
    let used = used_calls(&trace);
    // It begins itself anew once, so that even this one must be allowed.
    assert!(
        used.contains("execve") && used.contains("accept4") && used.contains("epoll_wait"),
        "{used:?}"
    );
    assert_allowed("nightsafe-lmtp.service", &used);
}

/// A store with one message in it, which the user's delivery has sealed.
fn store_with(sealed: &[u8]) -> Stub {
    let sealed = String::from_utf8_lossy(sealed).replace('\n', "\r\n").into_bytes();
    Stub::start(move |tag, asked| {
        if asked.starts_with("SEARCH") {
            return say(format!("* SEARCH 1\r\n{tag} OK done\r\n"));
        }
        if !asked.contains("FETCH") {
            return Reaction::Usual;
        }
        let end = memchr::memmem::find(&sealed, b"\r\n\r\n").unwrap() + 4;
        let text =
            |octets: &[u8]| [format!("{{{}}}\r\n", octets.len()).as_bytes(), octets].concat();
        let answer = if asked.contains("BODY.PEEK[])") {
            [b"* 1 FETCH (UID 1 BODY[] ", &*text(&sealed), b")\r\n"].concat()
        } else {
            let fields = b"BODY[HEADER.FIELDS (NIGHTSAFE-SIGNATURE SEALED-SUMMARY)] ";
            let start = memchr::memmem::find(&sealed, b"Nightsafe-Signature: ").unwrap();
            let boundary = sealed.windows(4).rposition(|octets| octets == b"\r\n--").unwrap();
            let body = memchr::memmem::rfind(&sealed[..boundary], b"\r\n\r\n").unwrap() + 4;
            let fields = [&fields[..], &text(&sealed[start..end])].concat();
            let body = text(&sealed[body..boundary]);
            [b"* 1 FETCH (UID 1 ", &*fields, b" BODY[2] ", &*body, b")\r\n"].concat()
        };
        Reaction::Say([answer, format!("{tag} OK done\r\n").into_bytes()].concat())
    })
}

/// What OpenSSL's client is answered to these lines.
fn over_tls(address: &str, lines: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-crlf", "-connect", address]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = command.spawn().unwrap();
    client.stdin.as_mut().unwrap().write_all(lines.as_bytes()).unwrap();
    String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn the_proxy_needs_no_forbidden_system_call() {
    let site = Site::new();
    site.configure("", &settings(&site, ""));
    site.enroll(ALICE, PASSWORD).good();
    let agent = Agent::start(&site);
    let stub = store_with(&site.seal(ALICE));
    let at = |name: &str| site.join(name).display().to_string();
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    openssl.args(["-nodes", "-subj", "/CN=localhost", "-addext", "basicConstraints=CA:FALSE"]);
    openssl.args(["-keyout", &at("tls.key"), "-out", &at("tls.pem")]).stdin(Stdio::null());
    assert!(openssl.output().unwrap().status.success());
    let imap = format!(
        "[imap]\nlisten = [\"unix:{}\", \"tls:127.0.0.1:0\"]\nbackend = \"{}\"\nmetrics = [\"unix:{}\"]\n\
         tls_certificate = \"{}\"\ntls_key = \"{}\"\n",
        at("imap"),
        stub.address(),
        at("metrics"),
        at("tls.pem"),
        at("tls.key"),
    );
    site.configure("", &(settings(&site, "") + &imap));
    let trace = site.file("trace", b"");
    let program = site.command(["imap"]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "signal=none", "-o", &trace]);
    strace.arg(program.get_program()).args(program.get_args());
    let proxy = Hook::run(&mut strace);

    let password = String::from_utf8_lossy(PASSWORD);
    let login = format!("LOGIN {ALICE} \"{password}\"");
    let mut client = Client::connect_unix(&proxy.unix()).unwrap();
    client.command(&login).good();
    client.command("SELECT INBOX").good();
    client.append("INBOX", "", &opened()).good();
    let large = [&opened()[..], &b"More.\r\n".repeat(200_000)].concat();
    client.append("INBOX", "", &large).good();
    let listed = client.command("FETCH 1 (ENVELOPE BODYSTRUCTURE)").good();
    assert!(!listed.to_string().contains("Sealed message"), "{listed}");
    for item in ["BODY.PEEK[]", "BODY.PEEK[TEXT]"] {
        let fetched = client.command(format!("FETCH 1 {item}")).good();
        assert!(opened().ends_with(&fetched.literals()[0]), "{fetched}");
    }
    assert_eq!(client.command("SEARCH TEXT no-such-word").good().of("SEARCH"), [b"SEARCH"]);
    client.start("IDLE");
    client.until_asked();
    let said =
        over_tls(&proxy.inet().to_string(), &format!("a {login}\nb SELECT INBOX\nc LOGOUT\n"));
    assert!(said.contains("\nb OK ") && said.contains("\nc OK "), "{said}");
    let mut scrape = UnixStream::connect(at("metrics")).unwrap();
    scrape.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut shown = String::new();
    scrape.read_to_string(&mut shown).unwrap();
    assert!(shown.contains("nightsafe_imap_appended_total 2"), "{shown}");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", proxy.pid()));
    let child = children.unwrap().trim().to_owned();
    for signal in ["-HUP", "-TERM"] {
        assert!(Command::new("kill").args([signal, &child]).status().unwrap().success());
    }
    proxy.ends_well();
    agent.stop();
    let used = used_calls(&trace);
    assert!(used.contains("accept4") && used.contains("epoll_wait"), "{used:?}");
    assert_allowed("nightsafe-imap.service", &used);
}

/// The system calls in a trace by strace.
fn used_calls(trace: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(trace).unwrap();
    let calls =
        text.lines().filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('));
    let is_name = |name: &&str| {
        name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    calls.map(|(name, _)| name).filter(is_name).map(str::to_owned).collect()
}

#[track_caller]
fn assert_allowed(service: &str, used: &BTreeSet<String>) {
    let allowed = allowed(&fs::read_to_string(unit(service)).unwrap());
    let forbidden: Vec<_> = used.difference(&allowed).collect();
    assert!(forbidden.is_empty(), "the unit forbids {forbidden:?}");
}

#[test]
fn the_agent_needs_no_forbidden_system_call_and_gives_up_its_files() {
    let site = Site::new();
    let settings = settings(&site, "linger = 100000\nenroll_at_login = true");
    site.configure("after_write = [\"true\"]", &settings);
    site.enroll("alice@example.org", b"pw").good();
    let trace = site.file("trace", b"");
    let program = site.command(["agent"]);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "signal=none", "-o", &trace]);
    command.arg(program.get_program()).args(program.get_args());
    let strace = Agent::run(&mut command, &site);
    for (user, password) in [("alice@example.org", &b"pw"[..]), ("bob@example.org", b"pw")] {
        let password = Password(password);
        let enrolled = strace.ask(&Request::Enroll { user, password });
        assert!(matches!(enrolled, Reply::Unlocked { .. }), "{enrolled:?}");
    }
    let mut client = strace.client();
    let held = client.ask(&confirmed("alice@example.org", b"pw", true)).unwrap();
    assert!(matches!(held, Reply::Unlocked { .. }), "{held:?}");
    let batch = vec![9; 10_000 * STANZA_BYTES];
    let recovered = client.ask(&Request::Recover { user: "alice@example.org", stanzas: &batch });
    assert!(matches!(recovered, Ok(Reply::Keys(_))));
    let [old, new] = [Password(b"pw"), Password(b"new")];
    let staged = strace.ask(&Request::Stage { user: "alice@example.org", old, new });
    let Reply::Staged { id } = staged else { panic!("{staged:?}") };
    assert_eq!(strace.ask(&Request::Commit { id }), Reply::Done);
    assert_eq!(strace.status("bob@example.org").leases, 0);
    assert_eq!(strace.ask(&Request::Lock { user: None }), Reply::Done);
    let children = format!("/proc/{0}/task/{0}/children", strace.pid());
    let child = fs::read_to_string(children).unwrap();
    for signal in ["-HUP", "-TERM"] {
        assert!(Command::new("kill").args([signal, child.trim()]).status().unwrap().success());
    }
    strace.ends();
    let mut used = used_calls(&trace);
    // Only root gives what it writes to whom the folder belongs.
    used.remove("fchown");
    for call in ["mlock", "mlockall", "accept4", "landlock_restrict_self"] {
        assert!(used.contains(call), "no {call} in {used:?}");
    }
    assert_allowed("nightsafe-agent.service", &used);

    // What it opens by name once it is in the sandbox are records and public halves, in folders that it
    // has open.
    let text = fs::read_to_string(&trace).unwrap();
    let (main, _) = text.split_once(' ').unwrap();
    let inside = text.split_once("landlock_restrict_self").unwrap().1;
    assert!(inside.contains("openat("), "{inside}");
    let runner = format!("{main} ");
    let opened = inside.lines().filter(|line| line.contains("openat(AT_FDCWD"));
    let by_agent: Vec<_> = opened.filter(|line| line.starts_with(&runner)).collect();
    assert!(by_agent.is_empty(), "{by_agent:?}");
}

//! What `nightsafe lmtp` writes into the system's log, and what it keeps out of it.

mod site;
mod support;

use rustix::process::Signal;
use site::process::wait_for;
use site::system_log::SystemLog;
use support::Site;
use support::client::Client;
use support::hook::{ALICE, BEA, BOB, Hook, PASSWORD, configure};
use support::lmtp::{Server, say};

const TEXT: &[u8] = b"From: Carol <carol@elsewhere.test>\r\nSubject: walnut harvest\r\n\
Message-ID: <7@elsewhere.test>\r\n\r\nThe quinces are ripe.\r\n";

/// Lines about recipients, without what differs from run to run.
fn of_recipients(log: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| line.split_once("]: to=").map(|(_, rest)| rest));
    let lines = lines.map(|line| {
        let (before, after) = line.split_once("seconds=").expect("no time in the line");
        let (seconds, said) = after.split_once(", ").unwrap();
        assert!(seconds.parse::<f64>().is_ok(), "{line}");
        format!("{before}{said}")
    });
    lines.collect()
}

#[test]
fn one_line_for_each_recipient() {
    let site = Site::new();
    site.enroll(ALICE, PASSWORD).good();
    let rules = vec![
        ("RCPT TO:<gone@", say("550 5.1.1 no such user")),
        // As a store may that sees the sender of a message which is passed.
        ("end <bea@", say("451 4.3.1 disk full for <carol@elsewhere.test>")),
    ];
    let store = Server::start(rules);
    configure(&site, &store.address, "max_message_bytes = 100000", "");
    let log = SystemLog::start(site.join("log"));
    let mut hook = Hook::run(&mut log.of(&site.command(["lmtp"])));
    let mut client = hook.client();
    client.ask("MAIL FROM:<carol@elsewhere.test>", "250 ");
    for (recipient, code) in [
        ("gone@example.org", "550 "),
        ("nobody@example.org", "450 "),
        ("Alice+lists@Example.ORG", "250 "),
        (BOB, "250 "),
        (BEA, "250 "),
        ("\"a b\u{7f}c\"@example.org", "501 "),
    ] {
        client.ask(&format!("RCPT TO:<{recipient}>"), code);
    }
    client.send([&b"DATA\r\n"[..], TEXT, b".\r\n"].concat());
    client.expect("354 ");
    let sealed = client.reply();
    client.expect("250 ");
    client.expect("452 ");
    client.deliver("carol@elsewhere.test", &[BOB], &[&TEXT.repeat(1000)[..], b"\r\n"].concat());
    let said = of_recipients(&log.read());
    let uid = rustix::process::getuid().as_raw();
    let (size, address) = (TEXT.len(), &store.address);
    let stored: Vec<usize> = store.data().iter().map(Vec::len).collect();
    let wanted = [
        format!(
            "<gone@example.org>, status=rejected, client=uid:{uid}, size=0, stored=0, \
             said=\"5.1.1 the mail store refused the message\": {address}: RCPT: 550 no such user"
        ),
        format!(
            "<nobody@example.org>, status=deferred, client=uid:{uid}, size=0, stored=0, \
             said=\"4.2.1 this recipient cannot take mail yet\": not enrolled ([delivery] unenrolled)"
        ),
        format!(
            "<Alice+lists@Example.ORG>, user=alice@example.org, status=sealed, client=uid:{uid}, \
             size={size}, stored={}, said=\"{}\"",
            stored[1],
            &sealed[4..]
        ),
        format!(
            "<bob@example.org>, user=bob@example.org, status=passed, client=uid:{uid}, \
             size={size}, stored={}, said=\"2.0.0 passed unsealed\"",
            stored[0]
        ),
        format!(
            "<bea@example.org>, user=bea@example.org, status=deferred, client=uid:{uid}, \
             size={size}, stored=0, said=\"4.3.1 the mail store cannot take the message now\": \
             {address}: end of data: 451 disk full for <(sender)>"
        ),
    ];
    assert_eq!(said[..5], wanted);
    assert_eq!(said.len(), 6, "{said:#?}");
    assert!(
        said[5].contains("status=rejected") && said[5].contains("said=\"5.3.4 "),
        "{}",
        said[5]
    );
    // The life of the process.
    hook.signal(Signal::HUP);
    let read = |words: &str| {
        wait_for(words, || log.read(), || log.read().contains(words).then_some(()));
    };
    read("lmtp: configuration read again\n");
    let more = "memory_bytes = 400000000\nrecipients = 7\nmetrics = [\"inet:127.0.0.1:0\"]";
    configure(&site, &store.address, "", more);
    hook.signal(Signal::HUP);
    read("lmtp: configuration read again; changed by a restart only: memory_bytes, metrics\n");
    std::fs::write(site.config(), "[seal]\nnonsense = 1\n").unwrap();
    hook.signal(Signal::HUP);
    read("lmtp: configuration not changed: ");
    client.ask("NOOP", "250 ");
    assert!(hook.is_running());
    hook.stop();
    let all = log.read();
    for words in ["lmtp: listening at unix:/", "line 2: unknown field `nonsense`", "lmtp: stopping"]
    {
        assert!(all.contains(words), "{words:?} is not in\n{all}");
    }
    // Nothing of a sender, a subject, a message.
    for word in ["carol", "elsewhere", "walnut", "harvest", "quince", "Subject"] {
        assert!(!all.contains(word), "{word:?} is in\n{all}");
    }
}

/// One line for all that come within a minute: who keeps coming does not fill the log.
#[test]
fn clients_who_are_turned_away() {
    let site = Site::new();
    let store = Server::start(Vec::new());
    configure(&site, &store.address, "", "connections_per_client = 1");
    let log = SystemLog::start(site.join("log"));
    let hook = Hook::run(&mut log.of(&site.command(["lmtp"])));
    let mut client = hook.client();
    for _ in 0..3 {
        Client::unix(&hook.unix()).expect("421 4.3.2 ");
    }
    client.ask("NOOP", "250 ");
    let uid = rustix::process::getuid().as_raw();
    let log = log.read();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("turned away")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    for words in [&format!("lmtp: client=uid:{uid}: "), "[lmtp] connections_per_client"] {
        assert!(lines[0].contains(words), "{words:?} is not in {}", lines[0]);
    }
}

#[test]
fn nobody_writes_lines_of_his_own() {
    let site = Site::new();
    let store =
        Server::start(vec![("RCPT", say("550-5.1.1 first\r\n550 5.1.1 to=<forged@x.test>"))]);
    configure(&site, &store.address, "", "");
    let log = SystemLog::start(site.join("log"));
    let hook = Hook::run(&mut log.of(&site.command(["lmtp"])));
    let mut client = hook.client();
    client.ask("MAIL FROM:<>", "250 ");
    client.ask("RCPT TO:<\"x>, status=sealed, said=<\"@example.org>", "550 ");
    let lines = of_recipients(&log.read());
    assert_eq!(lines.len(), 1, "{lines:?}");
    let begin = "<x?, status=sealed, said=?@example.org>, status=rejected, ";
    assert!(lines[0].starts_with(begin), "{lines:?}");
}

#[test]
fn a_recipient_for_whom_there_is_no_memory() {
    const MIB: usize = 1 << 20;
    let site = Site::new();
    let store = Server::start(Vec::new());
    let more = format!("memory_bytes = {}\nwait_timeout = 1\nrecipients = 5000", 4 * MIB);
    configure(&site, &store.address, &format!("max_message_bytes = {MIB}"), &more);
    let log = SystemLog::start(site.join("log"));
    let hook = Hook::run(&mut log.of(&site.command(["lmtp"])));
    let mut client = hook.client();
    client.ask("MAIL FROM:<>", "250 ");
    let detail = "y".repeat(950);
    let mut say = |n| {
        client.send(format!("RCPT TO:<bob+{n}{detail}@example.org>\r\n"));
        client.reply()
    };
    let refused = (0..5000).find_map(|n| Some(say(n)).filter(|reply| !reply.starts_with("250 ")));
    assert!(refused.as_ref().is_some_and(|reply| reply.starts_with("452 4.3.1 ")), "{refused:?}");
    let lines = of_recipients(&log.read());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("status=deferred") && lines[0].contains("[lmtp] memory_bytes"));
}

//! What changes while a message is on its way through `nightsafe lmtp`, and what one message leaves behind
//! for the next one.

mod site;
mod support;

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use site::process::wait_for;
use site::system_log::SystemLog;
use support::Site;
use support::client::Client;
use support::hook::{ALICE, ANNA, BEA, BOB, Hook, Hooked, PASSWORD, configure};
use support::lmtp::{Answer, Gate, Server, say};

const SENDER: &str = "carol@elsewhere.test";
const TEXT: &[u8] = b"Subject: walnuts\r\n\r\nThe quinces are ripe.\r\n";

/// As long as it may take until a change is seen.
const A_CHANGE: Duration = Duration::from_millis(1100);

/// Alice's and Anna's message is at the store for Alice when Anna's keys go.
fn anna_goes(hooked: &Hooked) -> Client {
    let gate = Gate::default();
    let mut client = hooked.client();
    client.envelope(SENDER, &[ALICE, ANNA]);
    hooked.store.set_rules(vec![("end <alice@", Answer::Behind(gate.clone()))]);
    client.send([b"DATA\r\n", TEXT, b".\r\n"].concat());
    client.expect("354 ");
    gate.wait_for(1);
    hooked.site.run(["remove", ANNA]).good();
    thread::sleep(A_CHANGE);
    gate.open();
    client.expect("250 2.0.0 sealed");
    client
}

/// What is sealed is sealed with the key of now, also for the last of many.
#[test]
fn a_key_that_goes_while_the_store_takes_its_time() {
    let hooked = Hooked::new(Vec::new());
    anna_goes(&hooked).expect("450 4.2.1 ");
    assert_eq!(hooked.store.data().len(), 1);
}

/// He was to get it sealed, and it is not in the clear any more: it comes again.
#[test]
fn a_recipient_whose_mail_is_not_to_be_sealed_any_more() {
    let hooked = Hooked::with(Server::start(Vec::new()), "unenrolled = \"pass\"", "");
    let mut client = anna_goes(&hooked);
    client.expect("451 4.3.0 ");
    assert_eq!(client.deliver(SENDER, &[ANNA], TEXT), ["250 2.0.0 passed unsealed"]);
}

/// Whoever gets keys while the store takes its time gets nothing in the clear any more.
#[test]
fn a_recipient_who_is_enrolled_before_the_first_octet_goes() {
    const DORA: &str = "dora@example.org";
    let gate = Gate::default();
    let rules = vec![("DATA", Answer::Behind(gate.clone()))];
    let hooked = Hooked::with(Server::start(rules), "unenrolled = \"pass\"", "");
    let mut client = hooked.client();
    client.envelope(SENDER, &[BOB, DORA]);
    client.send([b"DATA\r\n", TEXT, b".\r\n"].concat());
    client.expect("354 ");
    gate.wait_for(1);
    hooked.site.enroll(DORA, PASSWORD).good();
    thread::sleep(A_CHANGE);
    gate.open();
    client.expect("451 4.3.0 ");
    client.expect("451 4.3.0 ");
    assert_eq!(hooked.store.data().len(), 0, "{:#?}", hooked.store.commands());
    hooked.store.set_rules(Vec::new());
    let replies = client.deliver(SENDER, &[BOB, DORA], TEXT);
    assert_eq!(replies[0], "250 2.0.0 passed unsealed");
    assert!(replies[1].starts_with("250 2.0.0 sealed"), "{replies:?}");
}

/// Neither does whoever is taken out of the list of those whose mail is passed.
#[test]
fn a_policy_that_changes_before_the_first_octet_goes() {
    let site = Site::new();
    let gate = Gate::default();
    let store = Server::start(vec![("DATA", Answer::Behind(gate.clone()))]);
    configure(&site, &store.address, "unenrolled = \"pass\"", "");
    let log = SystemLog::start(site.join("log"));
    let hook = Hook::run(&mut log.of(&site.command(["lmtp"])));
    let mut client = hook.client();
    client.envelope(SENDER, &[ANNA]);
    client.send([b"DATA\r\n", TEXT, b".\r\n"].concat());
    client.expect("354 ");
    gate.wait_for(1);
    configure(&site, &store.address, "unenrolled = \"defer\"", "");
    hook.signal(Signal::HUP);
    let words = "lmtp: configuration read again\n";
    wait_for(words, || log.read(), || log.read().contains(words).then_some(()));
    gate.open();
    client.expect("451 4.3.0 ");
    assert_eq!(store.data().len(), 0, "{:#?}", store.commands());
}

/// A process that ends with the test.
struct Ends(Pid);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

/// A disk that does not answer holds up those who are looked for on it and nobody else, even when they
/// are more than tokio has threads for by default.
#[test]
fn a_key_whose_disk_hangs() {
    let site = Site::new();
    for user in [ALICE, ANNA] {
        site.enroll(user, PASSWORD).good();
    }
    let store = Server::start(Vec::new());
    let more = "connections = 2000\nconnections_per_client = 2000";
    configure(&site, &store.address, "", more);
    let program = site.command(["lmtp"]);
    let mut strace = Command::new("strace");
    // Far longer than all that follows takes.
    let hang = "inject=openat,openat2,newfstatat,statx:delay_enter=600s";
    strace.args(["-f", "-qq", "-e", "signal=none", "-o", "/dev/null", "-P", ANNA, "-e", hang]);
    strace.arg(program.get_program()).args(program.get_args());
    let hook = Hook::run(&mut strace);
    // The program outlives whoever traces it.
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", hook.pid())).unwrap();
    let _program = Ends(Pid::from_raw(children.trim().parse().unwrap()).unwrap());
    let mut held: Vec<Client> = (0..560).map(|_| hook.client()).collect();
    for client in &mut held {
        client.ask("MAIL FROM:<>", "250 ");
        client.send(format!("RCPT TO:<{ANNA}>\r\n"));
    }
    let mut client = hook.client();
    for _ in 0..3 {
        let replies = client.deliver(SENDER, &[ALICE], TEXT);
        assert!(replies[0].starts_with("250 2.0.0 sealed"), "{replies:?}");
        // Its key is not at hand any more.
        thread::sleep(A_CHANGE);
    }
    for client in &mut held {
        client.silent();
    }
}

/// What is decided by the new configuration goes to the store of the new configuration.
#[test]
fn another_store_in_the_midst_of_a_message() {
    let site = Site::new();
    site.enroll(ALICE, PASSWORD).good();
    let [old, new] = [(), ()].map(|()| Server::start(Vec::new()));
    configure(&site, &old.address, "", "");
    let log = SystemLog::start(site.join("log"));
    let hook = Hook::run(&mut log.of(&site.command(["lmtp"])));
    let mut client = hook.client();
    client.envelope(SENDER, &[ALICE]);
    client.ask("DATA", "354 ");
    configure(&site, &new.address, "", "");
    hook.signal(Signal::HUP);
    let words = "lmtp: configuration read again\n";
    wait_for(words, || log.read(), || log.read().contains(words).then_some(()));
    thread::sleep(A_CHANGE);
    client.send([TEXT, b".\r\n"].concat());
    client.expect("250 2.0.0 sealed");
    assert_eq!((old.data().len(), new.data().len()), (0, 1));
    hook.stop();
}

/// A store that does not even greet is not waited for once more for each recipient.
#[test]
fn a_store_that_stands_still() {
    let more = "backend_reply_timeout = 1\nbackend_data_timeout = 1\nbackend_connect_timeout = 1";
    let hooked = Hooked::with(Server::start(Vec::new()), "", more);
    let gate = Gate::default();
    let mut client = hooked.client();
    client.envelope(SENDER, &[ALICE, ANNA, BOB, "alice+more@example.org"]);
    let behind = |step| (step, Answer::Behind(gate.clone()));
    hooked.store.set_rules(vec![behind("DATA"), behind("greeting")]);
    client.send([b"DATA\r\n", TEXT, b".\r\n"].concat());
    client.expect("354 ");
    for _ in 0..4 {
        client.expect("451 4.4.2 ");
    }
    // One on which it was asked and did not answer, one that it did not greet.
    assert_eq!(hooked.store.connections(), 2);
    gate.open();
    hooked.store.set_rules(Vec::new());
    let replies = client.deliver(SENDER, &[ALICE, BOB], TEXT);
    assert!(replies.iter().all(|reply| reply.starts_with("250 2.0.0 ")), "{replies:?}");
}

/// Those whom it accepted before may get the message all the same.
#[test]
fn a_store_that_stands_still_for_a_while() {
    let more = "backend_reply_timeout = 1\nbackend_connect_timeout = 1";
    let hooked = Hooked::with(Server::start(Vec::new()), "", more);
    let gate = Gate::default();
    let mut client = hooked.client();
    client.envelope(SENDER, &[ALICE]);
    let behind = |step| (step, Answer::Behind(gate.clone()));
    hooked.store.set_rules(vec![behind("RCPT"), behind("greeting")]);
    for recipient in [ANNA, BOB, BEA] {
        client.ask(&format!("RCPT TO:<{recipient}>"), "451 4.4.2 ");
    }
    gate.open();
    hooked.store.set_rules(Vec::new());
    client.send([b"DATA\r\n", TEXT, b".\r\n"].concat());
    client.expect("354 ");
    client.expect("250 2.0.0 sealed");
}

/// Whatever the store says to a message, its connection does for the next one.
#[test]
fn a_refusal_costs_no_connection() {
    let rules =
        vec![("end <alice@", say("552 5.2.2 over quota")), ("end <bob@", say("452 4.3.1 not now"))];
    let hooked = Hooked::with(Server::start(rules), "max_message_bytes = 1000", "");
    let mut client = hooked.client();
    for (recipients, text, begin) in [
        (&[ALICE][..], TEXT, "552 5.2.2 "),
        (&[BOB, ALICE], TEXT, ""),
        (&[ANNA], &TEXT.repeat(30), "552 5.3.4 "),
        (&[ANNA], TEXT, "250 2.0.0 sealed"),
        (&[BEA, ALICE], TEXT, ""),
        (&[ANNA], TEXT, "250 2.0.0 sealed"),
    ] {
        let replies = client.deliver(SENDER, recipients, text);
        assert!(replies.iter().all(|reply| reply.starts_with(begin)), "{replies:?}");
    }
    assert_eq!(hooked.store.connections(), 1, "{:#?}", hooked.store.commands());
}

/// The store has nothing of what it refused, however much it was given.
#[test]
fn nothing_is_stored_of_what_was_refused() {
    let site = Site::new();
    let store = Server::start(vec![("end <bea@", say("552 5.2.2 over quota"))]);
    configure(&site, &store.address, "", "");
    let log = SystemLog::start(site.join("log"));
    let hook = Hook::run(&mut log.of(&site.command(["lmtp"])));
    let mut client = hook.client();
    client.deliver(SENDER, &[BOB], TEXT);
    assert!(client.deliver(SENDER, &[BEA], TEXT)[0].starts_with("552 5.2.2 "));
    let log = log.read();
    let stored = |of: &str| {
        let line = log.lines().find(|line| line.contains(of)).unwrap();
        line.split_once("stored=").unwrap().1.split_once(',').unwrap().0.to_owned()
    };
    assert_eq!(stored("to=<bob@"), format!("{}", TEXT.len() + 3));
    assert_eq!(stored("to=<bea@"), "0");
}

/// Whoever has begun and says nothing does not hold the service up for as long as what is in flight may.
#[test]
fn an_idle_transaction_ends_with_the_service() {
    let hooked = Hooked::with(Server::start(Vec::new()), "", "stop_timeout = 86400");
    let mut client = hooked.client();
    client.envelope(SENDER, &[ALICE]);
    hooked.hook.signal(Signal::TERM);
    client.expect("421 4.3.2 ");
    client.closed();
    hooked.hook.ends_well();
}

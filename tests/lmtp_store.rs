//! A store that refuses, hangs up or goes away: what `nightsafe lmtp` makes of it for each recipient.

mod support;

use support::hook::{ALICE, ANNA, BEA, BOB, Hooked};
use support::lmtp::{Answer, Rules, Server, last, offers, once, say};

const SENDER: &str = "carol@elsewhere.test";
const TEXT: &[u8] = b"Subject: walnuts\r\n\r\nThe quinces are ripe.\r\n";

fn with_pipelining(mut rules: Rules) -> Rules {
    rules.push(offers(&["8BITMIME", "PIPELINING"]));
    rules
}

/// Two sites whose stores differ in how commands come to them only.
fn stores(rules: Rules) -> [Both; 2] {
    [false, true].map(|pipelining| {
        let mut both = Both { hooked: Hooked::new(Vec::new()), pipelining };
        both.again(rules.clone());
        both
    })
}

struct Both {
    hooked: Hooked,
    pipelining: bool,
}

impl Both {
    /// The same with other rules, and nothing known of the store.
    fn again(&mut self, rules: Rules) {
        self.rules(rules);
        self.hooked.restart();
    }

    /// Other rules from now on.
    fn rules(&self, rules: Rules) {
        let rules = if self.pipelining { with_pipelining(rules) } else { rules };
        self.hooked.store.set_rules(rules);
        self.hooked.store.forget();
    }
}

impl std::ops::Deref for Both {
    type Target = Hooked;

    fn deref(&self) -> &Hooked {
        &self.hooked
    }
}

/// Replies to the end of the data begin so.
#[track_caller]
fn begin(replies: &[String], begins: &[&str]) {
    assert_eq!(replies.len(), begins.len());
    let fits = replies.iter().zip(begins).all(|(reply, begin)| reply.starts_with(begin));
    assert!(fits, "{replies:?} are not {begins:?}");
}

/// No reply says anything local.
#[track_caller]
fn tells_nothing(replies: &[String]) {
    for word in ["127.0.0.1", "inet:", "unix:", "/", "walnut", "quince", "secret"] {
        assert!(!replies.iter().any(|reply| reply.contains(word)), "{word:?} in {replies:?}");
    }
}

#[test]
fn the_store_refuses_a_recipient() {
    for hooked in stores(vec![
        ("RCPT TO:<gone@", say("550 5.1.1 secret: no such user")),
        ("RCPT TO:<full@", say("552-5.2.2 secret\r\n552 5.2.2 over quota")),
        ("RCPT TO:<later@", say("450 4.2.1 secret")),
        ("RCPT TO:<odd@", say("503 5.5.1 secret")),
        ("RCPT TO:<alice+x@", say("550 5.1.1 no such folder")),
    ]) {
        let mut client = hooked.client();
        client.ask("MAIL FROM:<a@x.test>", "250 ");
        for (recipient, begin) in [
            ("gone@example.org", "550 5.1.1 "),
            (ALICE, "250 "),
            ("full@example.org", "552 5.2.2 "),
            ("later@example.org", "450 4.2.1 "),
            (BOB, "250 "),
            // Nothing of the recipient: it is tried again.
            ("odd@example.org", "451 4."),
            ("alice+x@example.org", "550 5.1.1 "),
            // Not enrolled, and the store has him.
            ("nobody@example.org", "450 4.2.1 "),
        ] {
            tells_nothing(&[client.ask(&format!("RCPT TO:<{recipient}>"), begin)]);
        }
        client.send([&b"DATA\r\n"[..], TEXT, b".\r\n"].concat());
        client.expect("354 ");
        client.expect("250 2.0.0 sealed");
        client.expect("250 2.0.0 passed");
        assert_eq!(hooked.store.data().len(), 2);
    }
}

#[test]
fn the_store_refuses_a_message() {
    for hooked in stores(vec![
        ("end TO:<nobody", say("554 never asked")),
        ("end <alice@", say("552 5.2.2 secret walnut")),
        ("end <bea@", say("451 4.3.1 disk full")),
        ("DATA", once(say("451 4.3.0 not now"))),
    ]) {
        let mut client = hooked.client();
        let replies = client.deliver(SENDER, &[BOB, ALICE, BEA, ANNA], TEXT);
        // The first DATA was Bob's and Bea's.
        begin(&replies, &["451 4.3.0 ", "552 5.2.2 ", "451 4.3.0 ", "250 2.0.0 sealed"]);
        tells_nothing(&replies);
        let replies = client.deliver(SENDER, &[BOB, ALICE, BEA, ANNA], TEXT);
        begin(&replies, &["250 2.0.0 passed", "552 5.2.2 ", "452 4.3.1 ", "250 2.0.0 sealed"]);
        tells_nothing(&replies);
    }
}

/// One recipient accepted at first, and refused when the message comes.
#[test]
fn the_store_changes_its_mind() {
    for hooked in stores(Vec::new()) {
        for (refusal, begin_of) in
            [("550 5.1.1 gone", "550 5.1.1 "), ("450 4.2.1 later", "450 4.2.1 ")]
        {
            let mut client = hooked.client();
            client.envelope(SENDER, &[ALICE, BOB, BEA, ANNA]);
            hooked.rules(vec![("RCPT TO:<alice@", say(refusal)), ("RCPT TO:<bea@", say(refusal))]);
            client.send([&b"DATA\r\n"[..], TEXT, b".\r\n"].concat());
            client.expect("354 ");
            let replies: Vec<_> = (0..4).map(|_| client.reply()).collect();
            begin(&replies, &[begin_of, "250 2.0.0 passed", begin_of, "250 2.0.0 sealed"]);
            hooked.rules(Vec::new());
        }
    }
}

/// Once at each step, however it comes: the message is deferred or, where nothing of it was on its way,
/// taken over another connection; and the next one finds all in order.
#[test]
fn the_store_fails_once() {
    let failures = [
        Answer::Drop,
        last("421 4.3.2 going down"),
        say("421 4.3.2 going down"),
        say("451 4.3.0 not now"),
        say("hello"),
    ];
    let mut hooked = stores(Vec::new());
    for failure in failures {
        for step in ["greeting", "LHLO", "MAIL", "RCPT", "RSET", "DATA", "end"] {
            for hooked in &mut hooked {
                hooked.again(vec![(step, once(failure.clone()))]);
                // LHLO asks the store what it offers.
                let mut client = support::client::Client::unix(&hooked.hook.unix());
                client.expect("220 ");
                client.send("LHLO test\r\n");
                let greeted = client.reply();
                if matches!(step, "greeting" | "LHLO") {
                    assert!(greeted.starts_with("421 4.4.1 "), "{step} {failure:?}: {greeted}");
                    client.closed();
                    client = hooked.client();
                } else {
                    assert!(greeted.starts_with("250-"), "{step} {failure:?}: {greeted}");
                }
                client.ask("MAIL FROM:<a@x.test>", "250 ");
                let mut accepted = Vec::new();
                for recipient in [ALICE, BOB, ANNA, BEA] {
                    client.send(format!("RCPT TO:<{recipient}>\r\n"));
                    match client.reply() {
                        yes if yes.starts_with("250 ") => accepted.push(recipient),
                        no => assert!(no.starts_with("45"), "{step} {failure:?}: {no}"),
                    }
                }
                assert!(accepted.len() >= 3, "{step} {failure:?}: {accepted:?}");
                client.ask("DATA", "354 ");
                client.send([TEXT, b".\r\n"].concat());
                for recipient in accepted {
                    let reply = client.reply();
                    let is_fine = reply.starts_with("250 2.0.0 ") || reply.starts_with("45");
                    assert!(is_fine, "{step} {failure:?} {recipient}: {reply}");
                }
                let replies = client.deliver(SENDER, &[ALICE, BOB, ANNA, BEA], TEXT);
                for reply in &replies {
                    assert!(reply.starts_with("250 2.0.0 "), "{step} {failure:?}: {replies:?}");
                }
            }
        }
    }
}

/// Everybody gets his own message only, whatever the store refuses on the way.
#[test]
fn a_refusal_mixes_no_messages_up() {
    let recipients: Vec<String> = (0..8)
        .map(|n| format!("{}+{n}@example.org", if n % 2 == 0 { "alice" } else { "anna" }))
        .collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let hooked = stores(Vec::new());
    for step in ["RSET", "MAIL", "RCPT", "DATA", "end"] {
        for hooked in &hooked {
            let mut client = hooked.client();
            client.envelope(SENDER, &recipients);
            hooked.rules(vec![(step, once(say("452 4.3.1 not now")))]);
            client.send([&b"DATA\r\n"[..], TEXT, b".\r\n"].concat());
            client.expect("354 ");
            let replies: Vec<_> = recipients.iter().map(|_| client.reply()).collect();
            let good: Vec<_> =
                replies.iter().map(|reply| reply.starts_with("250 2.0.0 sealed")).collect();
            let deferred = good.iter().filter(|good| !**good).count();
            assert_eq!(deferred, 1, "{step}: {replies:?}");
            // The message after each DATA is a sealed one of whoever the RCPT before it names.
            let commands = hooked.store.commands();
            let mut named = Vec::new();
            for lines in commands.windows(2) {
                if lines[1] == "DATA" {
                    named.push(lines[0].clone());
                }
            }
            let data = hooked.store.data();
            let whole =
                data.iter().all(|data| data.starts_with(b"From: ") && data.ends_with(b"\r\n.\r\n"));
            assert!(whole, "{step}: a message begins with something else");
            for (recipient, good) in recipients.iter().zip(&good) {
                let rcpt = format!("RCPT TO:<{recipient}>");
                assert!(!good || named.contains(&rcpt), "{step}: {recipient} of {named:?}");
            }
        }
    }
}

#[test]
fn no_reply_to_the_data_is_no_yes() {
    for hooked in
        stores(vec![("end <bob@", once(Answer::Drop)), ("end <anna@", once(say("what?")))])
    {
        let mut client = hooked.client();
        let replies = client.deliver(SENDER, &[BEA, ALICE, BOB, ANNA], TEXT);
        begin(&replies, &["250 2.0.0 passed", "250 2.0.0 sealed", "451 4.4.2 ", "451 4.4.2 "]);
        tells_nothing(&replies);
        // Not twice on its own: the client decides.
        assert_eq!(hooked.store.data().len(), 3);
        let replies = client.deliver(SENDER, &[BOB, ANNA], TEXT);
        begin(&replies, &["250 2.0.0 passed", "250 2.0.0 sealed"]);
    }
}

#[test]
fn a_store_that_hung_up_while_nobody_spoke() {
    for hooked in stores(Vec::new()) {
        let mut client = hooked.client();
        for recipients in [&[ALICE][..], &[BOB, ANNA], &[BEA]] {
            let replies = client.deliver(SENDER, recipients, TEXT);
            assert!(replies.iter().all(|reply| reply.starts_with("250 ")), "{replies:?}");
            hooked.store.hang_up();
        }
        // Restarted in the middle: after MAIL, after RCPT, within the data.
        client.ask("MAIL FROM:<>", "250 ");
        hooked.store.hang_up();
        client.ask("RCPT TO:<alice@example.org>", "250 ");
        hooked.store.hang_up();
        client.ask("RCPT TO:<bob@example.org>", "250 ");
        hooked.store.hang_up();
        client.ask("DATA", "354 ");
        client.send(TEXT);
        hooked.store.hang_up();
        client.send(".\r\n");
        client.expect("250 2.0.0 sealed");
        client.expect("250 2.0.0 passed");
    }
}

#[test]
fn a_store_that_is_away() {
    let site = support::Site::new();
    site.enroll(ALICE, b"pw").good();
    let socket = site.join("store");
    let backend = format!("unix:{}", socket.display());
    support::hook::configure(&site, &backend, "", "");
    let hook = support::hook::Hook::start(&site);
    for _ in 0..2 {
        let mut client = support::client::Client::unix(&hook.unix());
        client.expect("220 ");
        client.ask("LHLO test", "421 4.4.1 ");
        client.closed();
    }
    let store = Server::start_unix(&socket);
    let mut client = hook.client();
    client.deliver(SENDER, &[ALICE], TEXT);
    assert_eq!(store.data().len(), 1);
    // Away again. What it offered is known; nobody is accepted.
    std::fs::remove_file(&socket).unwrap();
    store.hang_up();
    let mut client = hook.client();
    client.ask("MAIL FROM:<>", "250 ");
    let reply = client.ask("RCPT TO:<alice@example.org>", "451 4.4.2 ");
    tells_nothing(&[reply]);
    client.ask("DATA", "503 ");
    // And back.
    let store = Server::start_unix(&socket);
    client.ask("RCPT TO:<alice@example.org>", "250 ");
    client.send("DATA\r\n.\r\n");
    client.expect("354 ");
    client.expect("250 2.0.0 sealed");
    assert_eq!(store.data().len(), 1);
}

#[test]
fn a_store_that_says_nothing() {
    let timeouts =
        "backend_connect_timeout = 1\nbackend_reply_timeout = 1\nbackend_data_timeout = 1";
    for step in ["RCPT", "DATA", "end"] {
        let gate = support::lmtp::Gate::default();
        let rules = vec![(step, once(Answer::Behind(gate.clone())))];
        for rules in [rules.clone(), with_pipelining(rules)] {
            let hooked = Hooked::with(Server::start(rules), "", timeouts);
            let mut client = hooked.client();
            client.ask("MAIL FROM:<>", "250 ");
            if step == "RCPT" {
                client.ask("RCPT TO:<alice@example.org>", "451 4.4.2 ");
            } else {
                client.ask("RCPT TO:<alice@example.org>", "250 ");
                client.send("DATA\r\n.\r\n");
                client.expect("354 ");
                client.expect("451 4.4.2 ");
            }
            client.ask("RSET", "250 ");
            let replies = client.deliver(SENDER, &[ALICE, BOB], TEXT);
            begin(&replies, &["250 2.0.0 sealed", "250 2.0.0 passed"]);
        }
        gate.open();
    }
}

#[test]
fn a_store_that_talks_much() {
    // Every reply is long, and the commands of one hand-over are many, more than the kernel holds for
    // whoever does not listen: neither side may wait for the other to do so.
    let long = format!("250-{}\r\n", "x".repeat(400)).repeat(4) + "250 2.1.5 fine";
    let folder = tempfile::tempdir().unwrap();
    let rules = with_pipelining(vec![("RCPT", say(&long))]);
    let hooked = Hooked::with(
        Server::start_unix_with(&folder.path().join("store"), rules),
        "unenrolled = \"pass\"",
        "backend_reply_timeout = 20",
    );
    let mut client = hooked.client();
    let recipients: Vec<String> =
        (0..1000).map(|n| format!("user+{n}{}@example.org", "y".repeat(900))).collect();
    let mut recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    recipients[0] = ALICE;
    let replies = client.deliver(SENDER, &recipients, TEXT);
    let sealed = replies.iter().filter(|reply| reply.starts_with("250 2.0.0 sealed")).count();
    let passed = replies.iter().filter(|reply| reply.starts_with("250 2.0.0 passed")).count();
    assert_eq!((sealed, passed), (1, 999), "{:?}", &replies[..3]);
    assert_eq!(hooked.store.data().len(), 2, "those that pass share one");
}

#[test]
fn a_panic_defers_one_message() {
    let site = support::Site::new();
    site.enroll(ALICE, b"pw").good();
    let store = Server::start(Vec::new());
    support::hook::configure(&site, &store.address, "", "");
    let mut command = site.command(["lmtp"]);
    let hook = support::hook::Hook::run(command.env("NIGHTSAFE_FAULT", "panic:seal"));
    let mut client = hook.client();
    let replies = client.deliver(SENDER, &[ALICE, BOB], TEXT);
    begin(&replies, &["451 4.3.0 ", "250 2.0.0 passed"]);
    let replies = client.deliver(SENDER, &[BOB], TEXT);
    begin(&replies, &["250 2.0.0 passed"]);
}

//! What `nightsafe lmtp` says to each command, in which order, and what it offers.

mod support;

use support::client::{Client, stuffed};
use support::hook::{ALICE, ANNA, BEA, BOB, Hooked};
use support::lmtp::{Server, offers, say};
use support::opened as message;

const SENDER: &str = "carol@elsewhere.test";

/// The message as its owner gets it, from this sender.
fn from(sender: &str) -> Vec<u8> {
    [format!("Return-Path: <{sender}>\r\n").as_bytes(), &message()].concat()
}

fn on_both_sockets(hooked: &Hooked) -> [Client; 2] {
    [Client::unix(&hooked.hook.unix()), Client::inet(hooked.hook.inet())]
}

#[test]
fn a_message_for_everybody() {
    let hooked = Hooked::new(Vec::new());
    for client in on_both_sockets(&hooked) {
        let mut client = client.greeted();
        let replies = client.deliver(SENDER, &[ALICE, BOB, ANNA, BEA], &message());
        let begins = ["250 2.0.0 sealed as <", "250 2.0.0 passed"];
        for (index, reply) in replies.iter().enumerate() {
            assert!(reply.starts_with(begins[index % 2]), "{replies:?}");
        }
        client.ask("QUIT", "221 2.0.0 ");
        client.closed();
        // Each sealed copy by itself and from nobody; one copy of what is passed.
        let commands = hooked.store.commands();
        let commands: Vec<_> = commands.iter().map(String::as_str).collect();
        let last = commands.iter().rposition(|line| line.starts_with("RCPT TO:<anna@")).unwrap();
        assert_eq!(commands[last - 1..], ["MAIL FROM:<> BODY=8BITMIME", commands[last], "DATA"]);
        let shared = ["RCPT TO:<bob@example.org>", "RCPT TO:<bea@example.org>", "DATA"];
        let at = commands.windows(3).position(|lines| lines == shared).unwrap();
        assert_eq!(commands[at - 1], format!("MAIL FROM:<{SENDER}> BODY=8BITMIME"));
        // First of all what is passed: nothing is in the clear while sealed copies are on their way.
        let data = hooked.store.data();
        assert_eq!(data.len(), 3);
        assert_eq!(data[0], [&stuffed(&message())[..], b".\r\n"].concat());
        for (nth, user) in [(1, ALICE), (2, ANNA)] {
            assert_eq!(hooked.opened(nth, user), from(SENDER));
            let id = replies[2 * (nth - 1)].split("sealed as ").nth(1).unwrap();
            let id = format!("Message-ID: {id}\r\n");
            assert!(String::from_utf8_lossy(&data[nth]).contains(&id), "{id}");
        }
        hooked.store.forget();
    }
}

#[test]
fn everybody_gets_the_whole_message_in_any_order() {
    let hooked = Hooked::new(Vec::new());
    let mut client = hooked.client();
    let everybody = [ALICE, BOB, ANNA, BEA];
    // Each subset in each order: digits to the base of five, the last one for nobody.
    for number in 0..5_usize.pow(4) {
        let places = [number, number / 5, number / 25, number / 125].map(|place| place % 5);
        let recipients: Vec<&str> =
            places.iter().filter_map(|place| everybody.get(*place).copied()).collect();
        let mut once = recipients.clone();
        once.sort_unstable();
        once.dedup();
        if once.is_empty() || once.len() < recipients.len() {
            continue;
        }
        let replies = client.deliver(SENDER, &recipients, &message());
        let sealed = replies.iter().filter(|reply| reply.starts_with("250 2.0.0 sealed")).count();
        let passed = replies.iter().filter(|reply| reply.starts_with("250 2.0.0 passed")).count();
        assert_eq!(sealed + passed, recipients.len(), "{recipients:?}: {replies:?}");
        let data = hooked.store.data();
        let plain = [&stuffed(&message())[..], b".\r\n"].concat();
        let plain = data.iter().filter(|data| **data == plain).count();
        assert_eq!(plain, passed.min(1), "{recipients:?}");
        let lengths: Vec<usize> = data.iter().map(Vec::len).collect();
        let whole = data.iter().filter(|data| data.starts_with(b"From: \"Sealed mail\"")).count();
        assert_eq!(whole, sealed, "{recipients:?} {lengths:?}");
        hooked.store.forget();
    }
    for recipients in [[BOB, ALICE], [ALICE, BOB]] {
        client.deliver(SENDER, &recipients, &message());
        assert_eq!(hooked.opened(1, ALICE), from(SENDER));
        hooked.store.forget();
    }
}

#[test]
fn what_begins_a_session() {
    let hooked = Hooked::new(Vec::new());
    for mut client in on_both_sockets(&hooked) {
        client.expect("220 nightsafe");
        // RFC 2033 §4.1: no server of SMTP.
        client.ask("HELO test", "500 5.5.1 ");
        client.ask("EHLO test", "500 5.5.1 ");
        client.ask("MAIL FROM:<>", "503 5.5.1 ");
        client.ask("LHLO", "501 5.5.4 ");
        client.ask("lhlo test", "250-");
        client.ask("MAIL FROM:<>", "250 2.1.0 ");
        // A second greeting forgets what was begun.
        client.ask("LHLO [127.0.0.1]", "250-");
        client.ask("RCPT TO:<alice@example.org>", "503 5.5.1 ");
        client.ask("QUIT", "221 ");
        client.closed();
    }
}

#[test]
fn out_of_order() {
    let hooked = Hooked::new(Vec::new());
    let mut client = hooked.client();
    for line in ["RCPT TO:<alice@example.org>", "DATA", "BDAT 0 LAST", "BDAT 0"] {
        client.ask(line, "503 5.5.1 ");
    }
    client.ask("MAIL FROM:<>", "250 ");
    for line in ["MAIL FROM:<x@y.test>", "DATA", "BDAT 0 LAST"] {
        client.ask(line, "503 5.5.1 ");
    }
    client.ask("RCPT TO:<alice@example.org>", "250 ");
    client.ask("MAIL FROM:<x@y.test>", "503 5.5.1 ");
    client.ask("RSET", "250 2.0.0 ");
    client.ask("RSET", "250 2.0.0 ");
    for line in ["RCPT TO:<alice@example.org>", "DATA", "BDAT 0 LAST"] {
        client.ask(line, "503 5.5.1 ");
    }
    assert_eq!(hooked.store.data().len(), 0);
    assert_eq!(client.deliver(SENDER, &[ALICE], &message()).len(), 1);
    client.ask("DATA", "503 5.5.1 ");
}

#[test]
fn commands_beside_the_mail() {
    let hooked = Hooked::new(Vec::new());
    let mut client = hooked.client();
    client.envelope(SENDER, &[ALICE]);
    // None of them touches the transaction.
    client.ask("NOOP", "250 2.0.0 ");
    client.ask("noop whatever", "250 2.0.0 ");
    client.ask("VRFY alice", "252 2.5.0 ");
    client.ask("HELP", "214 2.0.0 ");
    client.ask("HELP DATA", "214 2.0.0 ");
    for line in ["EXPN list", "AUTH PLAIN AGEAYg==", "STARTTLS", "XYZZY", "", "TURN", "ETRN x"] {
        client.ask(line, "50");
    }
    for line in ["RSET now", "DATA now", "QUIT now", "VRFY"] {
        client.ask(line, "501 5.5.4 ");
    }
    client.send("DATA\r\n.\r\n");
    client.expect("354 ");
    client.expect("250 2.0.0 sealed as ");
    assert_eq!(hooked.opened(0, ALICE), format!("Return-Path: <{SENDER}>\r\n").as_bytes());
}

#[test]
fn a_session_in_one_write() {
    let hooked = Hooked::new(vec![("<gone@", say("550 5.1.1 no such user"))]);
    for mut client in on_both_sockets(&hooked) {
        let mut session = Vec::new();
        for line in ["LHLO test", "NOOP", "MAIL FROM:<a@x.test>", "RCPT TO:<gone@example.org>"] {
            session.extend_from_slice(format!("{line}\r\n").as_bytes());
        }
        session.extend_from_slice(
            b"RCPT TO:<alice@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n",
        );
        session.extend(stuffed(&message()));
        session.extend_from_slice(b".\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nBDAT 4\r\nA\r\nBBDAT 3 LAST\r\nC\r\nWHAT\r\nVRFY x\r\n");
        session.extend_from_slice(b"MAIL FROM:<>\r\nRSET\r\nDATA\r\nQUIT\r\nNOOP\r\n");
        client.send(session);
        let wanted = [
            "220 ",
            "250-",
            "250 2.0.0 ",
            "250 2.1.0 ",
            "550 5.1.1 ",
            "250 2.1.5 ",
            "250 2.1.5 ",
            "354 ",
            "250 2.0.0 sealed",
            "250 2.0.0 passed",
            "250 2.1.0 ",
            "250 2.1.5 ",
            "250 2.0.0 4 octets",
            "250 2.0.0 passed",
            "500 ",
            "252 ",
            "250 2.1.0 ",
            "250 2.0.0 ",
            "503 ",
            "221 ",
        ];
        for begin in wanted {
            client.expect(begin);
        }
        client.closed();
        let data = hooked.store.data();
        assert_eq!(hooked.opened(1, ALICE), from("a@x.test"));
        assert_eq!(data[2], b"A\r\nBC\r\n.\r\n");
        hooked.store.forget();
    }
}

#[test]
fn one_octet_at_a_time() {
    let hooked = Hooked::new(Vec::new());
    let mut client = Client::inet(hooked.hook.inet());
    let session = "LHLO test\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n\
                   ..\r\n.\rx\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nBDAT 1\r\n\r\
                   BDAT 1 LAST\r\n\nQUIT\r\n";
    for octet in session.as_bytes() {
        client.send([*octet]);
    }
    for begin in ["220", "250", "250", "250", "354", "250", "250", "250", "250", "250", "221"] {
        client.expect(begin);
    }
    client.closed();
    let data = hooked.store.data();
    assert_eq!(data[0], b"..\r\n\rx\r\n.\r\n");
    assert_eq!(data[1], b"\r\n.\r\n");
}

#[test]
fn many_messages_on_one_connection() {
    let hooked = Hooked::new(Vec::new());
    let mut client = hooked.client();
    for number in 0..50 {
        let text = format!("Subject: {number}\r\n\r\n{number}\r\n");
        let recipients: &[&str] = if number % 3 == 0 { &[ALICE, BOB] } else { &[BEA] };
        for reply in client.deliver(SENDER, recipients, text.as_bytes()) {
            assert!(reply.starts_with("250 2.0.0 "), "{reply}");
        }
        let plain = format!("{text}.\r\n");
        assert!(hooked.store.data().iter().any(|data| data == plain.as_bytes()), "{number}");
    }
    assert_eq!(hooked.store.connections(), 1, "one connection to the store does");
}

#[test]
fn what_is_offered_is_what_the_store_offers() {
    let own = ["PIPELINING", "ENHANCEDSTATUSCODES", "CHUNKING"];
    for (of_store, shown) in [
        (&[][..], &["SIZE 1000000"][..]),
        (&["PIPELINING", "CHUNKING", "AUTH PLAIN", "STARTTLS", "DSN"], &["SIZE 1000000"]),
        (&["8BITMIME", "ENHANCEDSTATUSCODES"], &["SIZE 1000000", "8BITMIME"]),
        (&["SIZE"], &["SIZE 1000000"]),
        (&["SIZE 0"], &["SIZE 1000000"]),
        (&["SIZE 2000000"], &["SIZE 1000000"]),
        (&["SIZE 50000"], &["SIZE 50000"]),
        (&["IGNOREQUOTA", "SMTPUTF8"], &["SIZE 1000000", "SMTPUTF8", "IGNOREQUOTA"]),
    ] {
        let store = Server::start(vec![offers(of_store)]);
        let hooked = Hooked::with(store, "max_message_bytes = 1000000", "");
        let mut client = Client::unix(&hooked.hook.unix());
        client.expect("220 ");
        let reply = client.ask("LHLO test", "250-nightsafe\r\n");
        let lines: Vec<_> = reply.lines().skip(1).map(|line| &line[4..]).collect();
        assert_eq!(lines, [&own[..], shown].concat(), "of {of_store:?}");
        let most: u64 = shown[0].strip_prefix("SIZE ").unwrap().parse().unwrap();
        client.ask(&format!("MAIL FROM:<> SIZE={}", most + 1), "552 5.3.4 ");
        client.ask(&format!("MAIL FROM:<> SIZE={most}"), "250 ");
    }
}

/// The MAIL and the RCPT that a store with these extensions gets for a message to Bob.
fn passed_on(of_store: &[&str], mail: &str, rcpt: &str) -> Vec<String> {
    let hooked = Hooked::new(vec![offers(of_store), ("SIZE=", say("555 5.5.4 unsupported"))]);
    let mut client = hooked.client();
    client.ask(&format!("MAIL FROM:<a@x.test>{mail}"), "250 ");
    client.ask(&format!("RCPT TO:<bob@example.org>{rcpt}"), "250 ");
    // The only one asked about: no second envelope.
    client.send("DATA\r\nx\r\n.\r\n");
    client.expect("354 ");
    client.expect("250 2.0.0 ");
    let commands = hooked.store.commands();
    // The store was asked about Bob before, in nobody's name.
    assert!(commands.iter().any(|line| line.starts_with("MAIL FROM:<>")), "{commands:?}");
    let asked = commands.iter().position(|line| line == "RSET").unwrap();
    commands[asked + 1..].iter().filter(|line| *line != "DATA").cloned().collect()
}

#[test]
fn parameters_go_to_a_store_that_knows_them() {
    let all = " BODY=8BITMIME SIZE=3";
    let plain = ["MAIL FROM:<a@x.test>", "RCPT TO:<bob@example.org>"];
    assert_eq!(passed_on(&["PIPELINING"], all, ""), plain);
    assert_eq!(passed_on(&[], all, " IGNOREQUOTA"), plain);
    let mail = format!("{} BODY=8BITMIME", plain[0]);
    let offered = ["8BITMIME", "SMTPUTF8"];
    assert_eq!(passed_on(&offered, all, ""), [&mail, plain[1]]);
    // The header may have UTF-8 in it, whatever the addresses are.
    let mail = format!("{mail} SMTPUTF8");
    assert_eq!(passed_on(&offered, &format!("{all} SMTPUTF8"), ""), [&mail, plain[1]]);
    let rcpt = format!("{} IGNOREQUOTA", plain[1]);
    assert_eq!(passed_on(&["IGNOREQUOTA"], "", " ignorequota"), [plain[0], &rcpt]);
    assert_eq!(passed_on(&["IGNOREQUOTA"], "", ""), plain);
}

#[test]
fn the_size_is_told_to_a_store_that_wants_it() {
    let hooked = Hooked::new(vec![offers(&["SIZE"])]);
    let mut client = hooked.client();
    client.deliver("a@x.test", &[BOB, BEA], b"x\r\n");
    let mails: Vec<_> =
        hooked.store.commands().into_iter().filter(|line| line.starts_with("MAIL")).collect();
    // Nobody knows it when the store is asked, nor does a sealed message know it before it is made.
    assert_eq!(mails, ["MAIL FROM:<>", "MAIL FROM:<a@x.test> SIZE=3"]);
    hooked.store.forget();
    client.deliver("a@x.test", &[ALICE, BOB, BEA], b"x\r\n");
    let mails: Vec<_> =
        hooked.store.commands().into_iter().filter(|line| line.starts_with("MAIL")).collect();
    let size = "x\r\n".len();
    let wanted = ["MAIL FROM:<>", &format!("MAIL FROM:<a@x.test> SIZE={size}"), "MAIL FROM:<>"];
    assert_eq!(mails, wanted);
}

#[test]
fn addresses_beyond_ascii() {
    for (offered, ends) in [(&["SMTPUTF8"][..], " SMTPUTF8"), (&[], "")] {
        let is_offered = !offered.is_empty();
        let hooked =
            Hooked::with(Server::start(vec![offers(offered)]), "unenrolled = \"pass\"", "");
        let mut client = hooked.client();
        let begin = if is_offered { "250 " } else { "555 5.5.4 " };
        client.ask("MAIL FROM:<jürgen@müller.test> SMTPUTF8", begin);
        if !is_offered {
            // Some send such addresses all the same, and some stores take them.
            client.ask("MAIL FROM:<jürgen@müller.test>", "250 ");
        }
        client.ask("RCPT TO:<bob@example.org>", "250 ");
        client.ask("RCPT TO:<jörg@example.org>", "250 ");
        client.send("DATA\r\nx\r\n.\r\n");
        client.expect("354 ");
        client.expect("250 2.0.0 passed");
        client.expect("250 2.0.0 passed");
        let commands = hooked.store.commands();
        assert!(commands.contains(&format!("MAIL FROM:<jürgen@müller.test>{ends}")));
        assert!(commands.contains(&"RCPT TO:<jörg@example.org>".to_owned()));
    }
}

/// A bounce of a message whose header has UTF-8 in it: nobody's address says so.
#[test]
fn the_null_sender_with_a_header_beyond_ascii() {
    let hooked = Hooked::new(vec![offers(&["SMTPUTF8", "PIPELINING"])]);
    let mut client = hooked.client();
    for (parameter, wanted) in [
        ("", &["MAIL FROM:<>"][..]),
        // The store was asked without it, and told when the message came as it is.
        (" SMTPUTF8", &["MAIL FROM:<>", "MAIL FROM:<> SMTPUTF8", "MAIL FROM:<>"]),
    ] {
        hooked.store.forget();
        client.ask(&format!("MAIL FROM:<>{parameter}"), "250 ");
        let recipients = if parameter.is_empty() { &[BOB][..] } else { &[BOB, ALICE] };
        for recipient in recipients {
            client.ask(&format!("RCPT TO:<{recipient}>"), "250 ");
        }
        client.send("DATA\r\nSubject: Nüsse\r\n\r\n.\r\n");
        client.expect("354 ");
        recipients.iter().for_each(|_| drop(client.expect("250 2.0.0 ")));
        let mut commands = hooked.store.commands();
        commands.retain(|line| line.starts_with("MAIL"));
        assert_eq!(commands, wanted);
    }
    let path = "Return-Path: <>\r\nSubject: Nüsse\r\n\r\n";
    assert_eq!(hooked.opened(1, ALICE), path.as_bytes());
}

#[test]
fn parameters_and_addresses_that_are_wrong() {
    let hooked = Hooked::new(vec![offers(&["8BITMIME", "SIZE", "SMTPUTF8", "IGNOREQUOTA"])]);
    let mut client = hooked.client();
    for (line, code) in [
        ("MAIL FROM:<a@x.test> BODY=BINARYMIME", "555 5.5.4 "),
        ("MAIL FROM:<a@x.test> AUTH=<>", "555 5.5.4 "),
        ("MAIL FROM:<a@x.test> RET=FULL ENVID=x", "555 5.5.4 "),
        ("MAIL FROM:<a@x.test> IGNOREQUOTA", "555 5.5.4 "),
        ("MAIL FROM:<a@x.test> FOO", "555 5.5.4 "),
        ("MAIL FROM:<a@x.test> SIZE=x", "501 5.5.4 "),
        ("MAIL FROM:<a@x.test>SIZE=1", "501 5.1.3 "),
        ("MAIL FROM: a@x.test", "501 5.1.3 "),
        ("MAIL <a@x.test>", "501 5.1.3 "),
    ] {
        client.ask(line, code);
    }
    client.ask("MAIL FROM: <a@x.test> SIZE=10 body=7bit", "250 ");
    for (line, code) in [
        ("RCPT TO:<>", "501 5.1.3 "),
        ("RCPT TO:alice@example.org", "501 5.1.3 "),
        ("RCPT TO:<alice@example.org> NOTIFY=NEVER", "555 5.5.4 "),
        ("RCPT TO:<alice@example.org> ORCPT=rfc822;x", "555 5.5.4 "),
        ("RCPT TO:<alice@example.org> IGNOREQUOTA=yes", "555 5.5.4 "),
        ("RCPT FROM:<alice@example.org>", "501 5.1.3 "),
    ] {
        client.ask(line, code);
    }
    assert_eq!(hooked.store.count("RCPT"), 0, "none of them reached the store");
    // As real mail has it: quoted without need, with a route that nobody follows.
    for line in ["<@relay.test:Alice@Example.ORG>", " <\"Alice\"@Example.ORG>"] {
        client.ask(&format!("RCPT TO:{line}"), "250 ");
    }
    assert_eq!(hooked.store.count("RCPT TO:<Alice@Example.ORG>"), 2);
}

#[test]
fn a_recipient_too_many() {
    let hooked = Hooked::with(Server::start(Vec::new()), "", "recipients = 2");
    let mut client = hooked.client();
    client.envelope(SENDER, &[ALICE, BOB]);
    client.ask("RCPT TO:<anna@example.org>", "452 4.5.3 ");
    client.send("DATA\r\n.\r\n");
    client.expect("354 ");
    client.expect("250 2.0.0 sealed");
    client.expect("250 2.0.0 passed");
    // Refused ones do not count.
    client.ask("MAIL FROM:<>", "250 ");
    for _ in 0..5 {
        client.ask("RCPT TO:<nobody@example.org>", "450 4.2.1 ");
    }
    client.ask("RCPT TO:<anna@example.org>", "250 ");
}

#[test]
fn too_many_errors() {
    let hooked = Hooked::new(Vec::new());
    let mut client = hooked.client();
    // Refused recipients are no errors of the client's.
    client.ask("MAIL FROM:<>", "250 ");
    for _ in 0..30 {
        client.ask("RCPT TO:<nobody@example.org>", "450 4.2.1 ");
    }
    client.send("XYZZY\r\n".repeat(30));
    for _ in 0..20 {
        client.expect("500 5.5.1 ");
    }
    client.expect("421 4.7.0 ");
    client.closed();
    hooked.client().deliver(SENDER, &[ALICE], b"x\r\n");
}

//! How a message reaches `nightsafe lmtp`: DATA and BDAT, what ends it, how large it may be.

mod support;

use support::client::{Client, stuffed, unstuffed};
use support::hook::{ALICE, ANNA, BOB, Hooked};
use support::lmtp::Server;

const SENDER: &str = "carol@elsewhere.test";

fn hooked() -> Hooked {
    Hooked::new(Vec::new())
}

/// Begins a message to Bob, whose mail the store gets as it came.
fn to_bob(client: &mut Client) {
    client.envelope("", &[BOB]);
}

/// The last message that the store got.
fn stored(hooked: &Hooked) -> Vec<u8> {
    unstuffed(hooked.store.data().last().unwrap())
}

#[test]
fn chunks() {
    let hooked = hooked();
    let mut client = hooked.client();
    for chunks in [
        &["BDAT 7 LAST\r\nab\r\ncd\n"][..],
        &["BDAT 7\r\nab\r\ncd\n", "BDAT 0 LAST\r\n"],
        &["BDAT 0\r\n", "BDAT 3\r\nab\r", "bdat 0\r\n", "BDAT 4 last\r\n\ncd\n"],
        &["BDAT 1\r\na", "BDAT 5\r\nb\r\ncd", "BDAT 1 LAST\r\n\n"],
    ] {
        to_bob(&mut client);
        for chunk in chunks {
            client.send(chunk);
            client.expect("250 2.0.0 ");
        }
        // The transport ends the last line.
        assert_eq!(stored(&hooked), b"ab\r\ncd\n\r\n", "{chunks:?}");
    }
    // Dots, ends of data and commands in a chunk are text.
    let text = b".\r\n..\r\n\r\n.\r\nQUIT\r\n\0\xff\r\n";
    to_bob(&mut client);
    client.send([format!("BDAT {} LAST\r\n", text.len()).as_bytes(), text].concat());
    client.expect("250 2.0.0 ");
    assert_eq!(stored(&hooked), text);
    // Nothing at all is a message, too.
    to_bob(&mut client);
    client.ask("BDAT 0 LAST", "250 2.0.0 passed");
    assert_eq!(stored(&hooked), b"");
    client.envelope(SENDER, &[ALICE, BOB]);
    client.ask("BDAT 0 LAST", "250 2.0.0 sealed");
    client.expect("250 2.0.0 passed");
}

#[test]
fn replies_do_not_wait_for_a_chunk() {
    let hooked = hooked();
    let mut client = hooked.client();
    client.send("MAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nBDAT 3 LAST\r\n");
    client.expect("250 2.1.0 ");
    client.expect("250 2.1.5 ");
    client.send("a\r\n");
    client.expect("250 2.0.0 passed");
}

#[test]
fn chunks_out_of_order() {
    let hooked = hooked();
    let mut client = hooked.client();
    // A chunk that nobody wants is read all the same.
    client.send("BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n");
    client.expect("503 5.5.1 ");
    client.expect("503 5.5.1 ");
    client.ask("MAIL FROM:<>", "250 ");
    client.send("BDAT 6 LAST\r\nQUIT\r\n");
    client.expect("503 5.5.1 ");
    client.ask("RCPT TO:<bob@example.org>", "250 ");
    client.send("BDAT 3\r\na\r\n");
    client.expect("250 ");
    // RFC 3030 §2: one or the other.
    client.ask("DATA", "503 5.5.1 ");
    client.ask("MAIL FROM:<>", "503 5.5.1 ");
    client.ask("RSET", "250 ");
    client.send("BDAT 3 LAST\r\nb\r\n");
    client.expect("503 5.5.1 ");
    to_bob(&mut client);
    client.send("BDAT 3 LAST\r\nc\r\n");
    client.expect("250 ");
    assert_eq!(stored(&hooked), b"c\r\n", "what was reset is forgotten");
    // The last one twice.
    client.send("BDAT 3 LAST\r\nd\r\n");
    client.expect("503 5.5.1 ");
    assert_eq!(hooked.store.data().len(), 1);
    // After that nobody knows where a chunk ends.
    to_bob(&mut client);
    client.send("BDAT three\r\nNOOP\r\n");
    client.expect("501 5.5.4 ");
    client.closed();
    assert_eq!(hooked.store.data().len(), 1);
}

/// Each text is a whole message to a server that takes one of its line ends for one.
const SMUGGLED: [&[u8]; 14] = [
    b"a\n.\nMAIL FROM:<evil@x.test>\r\nb\r\n",
    b"a\n.\r\nMAIL FROM:<evil@x.test>\r\nb\r\n",
    b"a\r.\rMAIL FROM:<evil@x.test>\r\nb\r\n",
    b"a\r.\r\nMAIL FROM:<evil@x.test>\r\nb\r\n",
    b"a\r\n.\nMAIL FROM:<evil@x.test>\r\nb\r\n",
    b"a\r\n.\rMAIL FROM:<evil@x.test>\r\nb\r\n",
    b"a\r\r\n.\r\r\nMAIL FROM:<evil@x.test>\r\nb\r\n",
    b"a\n\r\n.\n\rMAIL FROM:<evil@x.test>\r\nb\r\n",
    b"a\r\n\0.\r\nMAIL FROM:<evil@x.test>\r\nb\r\n",
    b"a\r\n.\0\r\nMAIL FROM:<evil@x.test>\r\nb\r\n",
    b"a\r\n. \r\nMAIL FROM:<evil@x.test>\r\nb\r\n",
    b"a\r\n\x85.\x85MAIL FROM:<evil@x.test>\r\nb\r\n",
    b"\n.\nMAIL FROM:<evil@x.test>\r\nb\r\n",
    b".\nMAIL FROM:<evil@x.test>\r\nb\r\n",
];

#[test]
fn only_a_line_of_one_dot_ends_a_message() {
    let hooked = hooked();
    let mut client = hooked.client();
    for text in SMUGGLED {
        // As a sloppy sender has it: no dot of its own is doubled.
        to_bob(&mut client);
        client.ask("DATA", "354 ");
        client.send([text, b".\r\n"].concat());
        client.expect("250 2.0.0 passed");
        client.ask("NOOP", "250 2.0.0 nothing");
        let shown = text.escape_ascii();
        assert!(stored(&hooked).ends_with(b"MAIL FROM:<evil@x.test>\r\nb\r\n"), "{shown}");
        // And as a strict one has it: whatever it is, it comes back.
        client.deliver("", &[BOB], text);
        let data = hooked.store.data();
        let wire = data.last().unwrap();
        // After a bare LF, too, a dot is doubled for stores that take that for a line.
        let lenient = String::from_utf8_lossy(text).replace("\n.", "\n..");
        let lenient = if text.starts_with(b".") { format!(".{lenient}") } else { lenient };
        assert_eq!(String::from_utf8_lossy(wire), format!("{lenient}.\r\n"), "{shown}");
    }
    let evil = hooked.store.commands().into_iter().filter(|line| line.contains("evil"));
    assert_eq!(evil.count(), 0);
}

#[test]
fn a_sealed_message_brings_every_octet_back() {
    let hooked = hooked();
    let mut client = hooked.client();
    let mut all = Vec::new();
    for text in SMUGGLED {
        all.extend_from_slice(text);
    }
    all.extend((0..=255).collect::<Vec<u8>>());
    all.extend_from_slice(b"\r\n");
    let by_data = client.deliver(SENDER, &[ALICE], &all);
    client.envelope(SENDER, &[ALICE]);
    client.send([format!("BDAT {} LAST\r\n", all.len()).as_bytes(), &all].concat());
    let by_chunk = client.expect("250 2.0.0 sealed as ");
    assert_eq!(by_data, [by_chunk], "the same message has the same Message-ID");
    let whole = [format!("Return-Path: <{SENDER}>\r\n").as_bytes(), &all].concat();
    for nth in [0, 1] {
        assert_eq!(hooked.opened(nth, ALICE), whole);
    }
}

#[test]
fn no_message_ends_early_in_a_store_that_takes_bare_line_feeds() {
    let hooked = Hooked::with(Server::start_with_bare_lf(Vec::new()), "", "");
    let mut client = hooked.client();
    for (nth, text) in SMUGGLED.into_iter().enumerate() {
        let reply = client.deliver(SENDER, &[BOB], text);
        assert!(reply[0].starts_with("250 "), "{reply:?}");
        assert_eq!(hooked.store.data().len(), nth + 1);
        assert!(hooked.store.data()[nth].ends_with(b"MAIL FROM:<evil@x.test>\r\nb\r\n.\r\n"));
        assert!(hooked.store.count("MAIL FROM:<evil") == 0, "{}", text.escape_ascii());
    }
    let known = ["LHLO ", "MAIL FROM:<> ", "RSET", "MAIL FROM:<carol@", "RCPT TO:<bob@", "DATA"];
    for command in hooked.store.commands() {
        assert!(known.iter().any(|begin| command.starts_with(begin)), "{command:?}");
    }
}

#[test]
fn only_cr_lf_ends_a_command() {
    let hooked = hooked();
    for line in [
        &b"NOOP\nNOOP\r\n"[..],
        b"NOOP\rNOOP\r\n",
        b"\nNOOP\r\n",
        b"NOOP\r\r\n",
        b"MAIL FROM:<a@x.test>\nRCPT TO:<bob@example.org>\r\n",
        b"NOOP\n",
    ] {
        let mut client = hooked.client();
        client.send(line);
        client.expect("500 5.5.2 ");
        client.closed();
    }
    // Any other octet makes a wrong command, and the next one is heard.
    let mut client = hooked.client();
    for line in
        [&b"NO\0OP"[..], b"\0", b"MAIL FROM:<a\0b@x.test>", b"MAIL FROM:<a@x.test>\0", b"\xff\xfe"]
    {
        client.send([line, b"\r\n"].concat());
        client.expect("50");
    }
    client.ask("NOOP", "250 ");
    assert_eq!(hooked.store.count("MAIL"), 0);
}

#[test]
fn a_line_too_long() {
    let hooked = hooked();
    let longest = format!("NOOP {}", "x".repeat(4096 - "NOOP \r\n".len()));
    let mut client = hooked.client();
    client.ask(&longest, "250 ");
    client.ask(&longest, "250 ");
    client.send(format!("{longest}x\r\n"));
    client.expect("500 5.5.2 ");
    client.closed();
    let mut client = hooked.client();
    client.ask(&format!("MAIL FROM:<{}@x.test>", "a".repeat(2000)), "501 5.1.3 ");
    client.ask("NOOP", "250 ");
}

const LIMIT: usize = 100_000;

fn limited() -> Hooked {
    let delivery = format!("max_message_bytes = {LIMIT}");
    Hooked::with(Server::start(Vec::new()), &delivery, "")
}

/// Text of so many octets, lines with dots among them.
fn text(octets: usize) -> Vec<u8> {
    let mut text: Vec<u8> = b"..walnut\r\n".iter().copied().cycle().take(octets - 2).collect();
    text.extend_from_slice(b"\r\n");
    text
}

#[test]
fn a_message_too_large() {
    let hooked = limited();
    let mut client = hooked.client();
    client.ask(&format!("MAIL FROM:<> SIZE={}", LIMIT + 1), "552 5.3.4 ");
    client.ask("MAIL FROM:<> SIZE=18446744073709551615", "5");
    client.ask("MAIL FROM:<> SIZE=99999999999999999999999999", "5");
    for octets in [LIMIT + 1, LIMIT * 20] {
        // Whatever was announced, what comes counts, and everybody is told.
        for declared in ["", " SIZE=10"] {
            client.ask(&format!("MAIL FROM:<a@x.test>{declared}"), "250 ");
            for recipient in [ALICE, BOB, ANNA] {
                client.ask(&format!("RCPT TO:<{recipient}>"), "250 ");
            }
            client.ask("DATA", "354 ");
            client.send([&stuffed(&text(octets))[..], b".\r\n"].concat());
            for _ in 0..3 {
                client.expect("552 5.3.4 ");
            }
        }
        client.envelope("", &[ALICE, BOB]);
        client.send([format!("BDAT {octets} LAST\r\n").as_bytes(), &text(octets)].concat());
        client.expect("552 5.3.4 ");
        client.expect("552 5.3.4 ");
        client.envelope("", &[BOB]);
        let half = text(octets / 2 + 1);
        client.send([format!("BDAT {}\r\n", half.len()).as_bytes(), &half].concat());
        client.reply();
        client.send([format!("BDAT {} LAST\r\n", half.len()).as_bytes(), &half].concat());
        client.expect("552 5.3.4 ");
    }
    assert_eq!(hooked.store.data().len(), 0);
    // The connection is as good as before, and what just fits is taken: dots that are dropped and the
    // end of the data do not count.
    for text in [text(LIMIT), vec![b'x'; 10]] {
        let text = if text.ends_with(b"\n") { text } else { [&text[..], b"\r\n"].concat() };
        assert!(client.deliver("", &[BOB], &text)[0].starts_with("250 2.0.0 passed"));
        assert!(stored(&hooked) == text);
        client.envelope("", &[BOB]);
        client.send([format!("BDAT {} LAST\r\n", text.len()).as_bytes(), &text].concat());
        client.expect("250 2.0.0 passed");
        assert!(stored(&hooked) == text);
    }
    // A chunk that is far beyond all limits is not waited for.
    client.envelope("", &[BOB]);
    client.send("BDAT 99999999999\r\nabc");
    client.expect("552 5.3.4 ");
    client.closed();
}

#[test]
fn silence() {
    let timeouts = "command_timeout = 1\ndata_timeout = 1";
    let hooked = Hooked::with(Server::start(Vec::new()), "", timeouts);
    // Each says a part and then nothing: before, within and between commands, in the data, in a chunk.
    for part in [
        "",
        "NOO",
        "NOOP\r",
        "MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\n",
        "MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n",
        "MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nwalnut\r\n.\r",
        "MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nBDAT 10 LAST\r\nwalnut",
    ] {
        // In one write: a test that is slow itself must not be taken for a silent client.
        let mut client = Client::inet(hooked.hook.inet());
        client.send(format!("LHLO test\r\n{part}"));
        let replies = client.all();
        let (last, before) = replies.split_last().unwrap();
        assert!(last.starts_with("421 4.4.2 "), "{part:?}: {replies:?}");
        // The greeting, LHLO, and each command that is whole.
        let answered = part.matches("\r\n").count().min(3) - usize::from(part.contains("BDAT"));
        assert_eq!(before.len(), 2 + answered, "{part:?}: {replies:?}");
    }
    assert_eq!(hooked.store.data().len(), 0, "half a message is none");
}

#[test]
fn whoever_hangs_up_in_the_middle_has_sent_nothing() {
    let hooked = hooked();
    for part in [
        "DATA\r\nwalnut\r\n",
        "DATA\r\nwalnut\r\n.\r",
        "BDAT 10 LAST\r\nwalnut",
        "BDAT 6\r\nwalnut",
    ] {
        let mut client = hooked.client();
        client.envelope("", &[ALICE, BOB]);
        client.send(part);
        client.end();
        for reply in client.all() {
            assert!(reply.starts_with("354 ") || reply.contains(" 6 octets"), "{part:?} {reply}");
        }
    }
    hooked.client().deliver("", &[BOB], b"x\r\n");
    assert_eq!(hooked.store.data().len(), 1);
}

/// What an author writes on top says nothing of who sent it; what an MTA has put there is left alone.
#[test]
fn the_senders_path_is_on_top() {
    let hooked = hooked();
    let mut client = hooked.client();
    let path = format!("return-path: <{SENDER}>\r\n");
    let forged = "Return-Path: <ceo@example.org>\r\n";
    for (nth, (top, wanted)) in
        [(forged.to_owned(), format!("Return-Path: <{SENDER}>\r\n{forged}")), (path.clone(), path)]
            .into_iter()
            .enumerate()
    {
        let text = "Subject: x\r\n\r\ny\r\n";
        client.deliver(SENDER, &[ALICE], format!("{top}{text}").as_bytes());
        assert_eq!(hooked.opened(nth, ALICE), format!("{wanted}{text}").as_bytes());
    }
}

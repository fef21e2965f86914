//! What a client is told, and in which form.

use super::{Office, is_sealed};
use crate::site::canary::Canaries;
use crate::site::hook::Hook;
use crate::site::mta::SENDER;
use crate::site::store::Store;
use crate::support::imap::{Answer, Client};
use crate::support::tokens::parse;

/// What the store may offer and the proxy does not: each would show or store what is sealed otherwise.
const NOT_OFFERED: [&str; 20] = [
    "SORT",
    "THREAD",
    "BINARY",
    "PREVIEW",
    "COMPRESS",
    "MULTIAPPEND",
    "REPLACE",
    "OBJECTID",
    "SEARCHRES",
    "IMAP4REV2",
    "CATENATE",
    "URLAUTH",
    "CONVERT",
    "NOTIFY",
    "CONTEXT",
    "SNIPPET",
    "STATUS=SIZE",
    "X-REPLICATION",
    "UTF8",
    "ANNOTATE-EXPERIMENT-1",
];

/// Neither offered, whenever it is asked, nor done.
pub fn nothing_else_is_offered<S: Store>() {
    let office = Office::<S>::open(&["alice"]);
    let mut client = Client::connect(office.reading.port()).unwrap();
    let before = client.command("CAPABILITY").good();
    let login =
        client.command(format!("LOGIN alice \"{}\"", crate::site::password("alice"))).good();
    let after = client.command("CAPABILITY").good();
    for said in [
        String::from_utf8_lossy(&client.greeting).into_owned(),
        before.to_string(),
        login.to_string(),
        after.to_string(),
    ] {
        let said = said.to_ascii_uppercase();
        let words: Vec<_> = said.split([' ', '[', ']', '\n']).collect();
        for name in NOT_OFFERED {
            let offered =
                words.iter().any(|word| word.split('=').next() == Some(name) || *word == name);
            assert!(!offered, "{name} in {said}");
        }
        let ways = words.iter().filter(|word| word.starts_with("AUTH="));
        assert!(ways.clone().all(|way| ["AUTH=PLAIN", "AUTH=LOGIN"].contains(way)), "{said}");
    }
    let after = after.to_string();
    for name in
        ["IMAP4rev1", "IDLE", "UIDPLUS", "MOVE", "CONDSTORE", "ESEARCH", "NAMESPACE", "UNSELECT"]
    {
        assert!(after.contains(&format!(" {name}")), "{name} is not in {after}");
    }
    client.append("INBOX", "", &Canaries::new("offered").message()).good();
    client.command("SELECT INBOX").good();
    for command in [
        "SORT (SUBJECT) UTF-8 ALL",
        "UID THREAD REFERENCES UTF-8 ALL",
        "FETCH 1 (BINARY.PEEK[1])",
        "FETCH 1 (BINARY.SIZE[1])",
        "FETCH 1 (PREVIEW)",
        "FETCH 1 (SNIPPET)",
        "FETCH 1 (EMAILID)",
        "COMPRESS DEFLATE",
        "STATUS INBOX (SIZE)",
        "SEARCH RETURN (SAVE) ALL",
        "NOTIFY NONE",
        "GENURLAUTH \"imap://x\" INTERNAL",
        "URLFETCH \"imap://x\"",
        "FETCH 1 (ANNOTATION (/comment value))",
        "XCONVFETCH 1",
        "SEARCH FUZZY SUBJECT x",
        "FETCH 1 (DIGEST.SHA1)",
    ] {
        let answer = client.command(command);
        let done = answer.status() == "OK" && !answer.untagged.is_empty();
        assert!(!done && !answer.to_string().contains("Sealed message"), "{command}: {answer}");
    }
    let answer = client.command("ENABLE UTF8=ACCEPT").to_string();
    assert!(!answer.to_ascii_uppercase().contains("UTF8"), "{answer}");
    client.command("UID FETCH 1 ENVELOPE").good();
}

/// The labels of the only FETCH response, in their order.
fn labels(answer: &Answer) -> Vec<String> {
    let responses = answer.of("FETCH");
    let [response] = responses.as_slice() else { panic!("{answer}") };
    let tokens = parse(response);
    let items = tokens[2].list().unwrap().iter();
    items.step_by(2).map(|label| label.atom().unwrap().to_owned()).collect()
}

/// In the client's order, with the client's words, UID first where it was asked so.
pub fn items_come_as_they_were_asked_for<S: Store>() {
    let office = Office::<S>::open(&["alice"]);
    let mut client = office.client("alice");
    client.append("INBOX", "(\\Seen)", &Canaries::new("order").message()).good();
    client.command("SELECT INBOX").good();
    for (asked, expected) in [
        ("FETCH 1 (ENVELOPE UID FLAGS)", &["ENVELOPE", "UID", "FLAGS"][..]),
        (
            "FETCH 1 (UID RFC822.SIZE BODYSTRUCTURE FLAGS)",
            &["UID", "RFC822.SIZE", "BODYSTRUCTURE", "FLAGS"],
        ),
        ("FETCH 1 (BODY.PEEK[2] BODY.PEEK[1] RFC822.SIZE)", &["BODY[2]", "BODY[1]", "RFC822.SIZE"]),
        (
            "FETCH 1 (FLAGS BODY.PEEK[HEADER.FIELDS (Subject From X-Nothing)] INTERNALDATE)",
            &["FLAGS", "BODY[HEADER.FIELDS (Subject From X-Nothing)]", "INTERNALDATE"],
        ),
        ("FETCH 1 (BODY.PEEK[]<3.9> UID)", &["BODY[]<3>", "UID"]),
        ("FETCH 1 (RFC822.HEADER RFC822.TEXT RFC822)", &["RFC822.HEADER", "RFC822.TEXT", "RFC822"]),
    ] {
        let answer = client.command(asked).good();
        let found = labels(&answer);
        let same = found.len() == expected.len()
            && found.iter().zip(expected).all(|(a, b)| a.eq_ignore_ascii_case(b));
        assert!(same, "{asked}: {found:?}");
    }
    let answer = client.command("UID FETCH 1 (ENVELOPE FLAGS)").good();
    assert!(labels(&answer).iter().any(|label| label == "UID"), "{answer}");
    // Outlook's way to peek, which no server of these knows by itself.
    let answer = client.command("UID FETCH 1 (RFC822.PEEK)").good();
    assert_eq!(answer.literals(), [Canaries::new("order").message()]);
}

/// Flags, date and number of what is appended.
pub fn an_append_keeps_what_the_client_says<S: Store>() {
    let office = Office::<S>::open(&["alice"]);
    let mut client = office.client("alice");
    let message = Canaries::new("append").message();
    let answer = client
        .append("INBOX", "(\\Flagged \\Draft) \"17-Jul-2021 02:44:25 -0700\"", &message)
        .good();
    let code = answer.code("APPENDUID").unwrap_or_else(|| panic!("{answer}"));
    client.command("SELECT INBOX").good();
    let answer = client.command("FETCH 1 (UID FLAGS INTERNALDATE RFC822.SIZE)").good();
    let said = String::from_utf8_lossy(answer.of("FETCH")[0]).into_owned();
    assert!(said.contains(&format!("UID {}", code.split(' ').nth(1).unwrap())), "{code}: {said}");
    assert!(
        said.contains("\\Flagged") && said.contains("\\Draft") && !said.contains("\\Seen"),
        "{said}"
    );
    assert!(
        said.contains("17-Jul-2021 02:44:25 -0700") || said.contains("17-Jul-2021 09:44:25 +0000"),
        "{said}"
    );
    assert!(said.contains(&format!("RFC822.SIZE {}", message.len())), "{said}");

    // Without waiting to be asked for it, and to a folder that is not there.
    let literal =
        [format!("APPEND INBOX {{{}+}}\r\n", message.len()).as_bytes(), &message].concat();
    client.command(&literal).good();
    let answer = client.append("nowhere", "", &message);
    assert!(answer.to_string().starts_with("NO [TRYCREATE]"), "{answer}");
    let answer = client.append("INBOX", "", b"");
    assert!(answer.status() != "OK" || office.store.inbox("alice").len() == 3, "{answer}");
    assert!(office.store.inbox("alice").iter().all(|stored| is_sealed(stored)));
}

/// Mail that delivery sealed beside mail that lies there from before: both are shown, found and counted.
pub fn a_mixed_mailbox<S: Store>() {
    let office = Office::<S>::open(&["alice"]);
    let hook = Hook::start(&office.site, &office.store.address());
    let [plain, delivered, appended] = ["plain", "delivered", "appended"].map(Canaries::new);
    office.directly("alice").append("INBOX", "", &plain.message()).good();
    let mut lmtp = hook.client();
    lmtp.good("LHLO client.example.net");
    lmtp.next(SENDER, &["alice@example.org"]);
    assert!(lmtp.data(&delivered.message(), 1)[0].starts_with("250 2.0.0 sealed as <"));
    let mut client = office.client("alice");
    client.append("INBOX", "", &appended.message()).good();

    client.command("SELECT INBOX").good();
    let whole = client.command("FETCH 1:* BODY.PEEK[]").good().literals();
    assert_eq!(whole.len(), 3);
    assert_eq!([&whole[0], &whole[2]], [&plain.message(), &appended.message()]);
    assert!(whole[1].ends_with(&delivered.message()));
    assert!(whole[1].starts_with(format!("Return-Path: <{SENDER}>\r\n").as_bytes()));
    let sizes = client.command("FETCH 1:* RFC822.SIZE").good();
    for (response, whole) in sizes.of("FETCH").iter().zip(&whole) {
        let said = String::from_utf8_lossy(response);
        assert!(said.contains(&format!("RFC822.SIZE {})", whole.len())), "{said}");
    }
    for (number, canaries) in [(1, &plain), (2, &delivered), (3, &appended)] {
        for key in ["SUBJECT", "BODY", "TEXT", "FROM"] {
            let place = match key {
                "SUBJECT" => "Subject",
                "FROM" => "FromAddress",
                _ => "Body",
            };
            let answer = client.command(format!("SEARCH {key} {}", canaries.word(place))).good();
            let found = answer.of("SEARCH");
            assert_eq!(String::from_utf8_lossy(found[0]), format!("SEARCH {number}"), "{key}");
        }
    }
    // Nothing was marked as seen by any of that, and what is opened is.
    let seen = |client: &mut Client| {
        let answer = client.command("SEARCH SEEN").good();
        String::from_utf8_lossy(answer.of("SEARCH")[0]).into_owned()
    };
    assert_eq!(seen(&mut client), "SEARCH");
    client.command("FETCH 2 BODY[1]").good();
    client.command("FETCH 3 (RFC822.SIZE BODY[HEADER.FIELDS (Subject)])").good();
    assert_eq!(seen(&mut client), "SEARCH 2 3");
    for canaries in [&delivered, &appended] {
        assert_eq!(office.site.leaks(canaries), []);
    }
}

/// What was sealed twice, since it was delivered or stored as it lay, is shown as it was at first.
pub fn sealed_again<S: Store>() {
    let office = Office::<S>::open(&["alice"]);
    let canaries = Canaries::new("layers");
    let original = canaries.message();
    let mut client = office.client("alice");
    client.append("INBOX", "", &original).good();
    let once = office.store.inbox("alice").remove(0);
    client.append("INBOX", "", &once).good();
    let twice = office.store.inbox("alice").remove(1);
    assert!(is_sealed(&once) && is_sealed(&twice) && twice.len() > once.len());
    client.command("SELECT INBOX").good();
    // Again from what was opened before.
    for _ in 0..2 {
        let answer = client.command("UID FETCH 1:* (RFC822.SIZE BODYSTRUCTURE ENVELOPE)").good();
        let [first, second] = answer.of("FETCH")[..] else { panic!("{answer}") };
        let said = [first, second].map(|response| {
            let text = String::from_utf8_lossy(response);
            text.split_once(" RFC822.SIZE ").expect("it was asked for").1.to_owned()
        });
        assert_eq!(said[0], said[1]);
        assert!(said[1].starts_with(&format!("{} ", original.len())), "{}", said[1]);
        let whole = client.command("UID FETCH 1:* BODY.PEEK[]").good().literals();
        assert_eq!(whole, [&*original, &*original]);
        for key in ["SUBJECT", "BODY"] {
            let word = canaries.word(if key == "BODY" { "Body" } else { "Subject" });
            let answer = client.command(format!("UID SEARCH {key} {word}")).good();
            assert_eq!(String::from_utf8_lossy(answer.of("SEARCH")[0]), "SEARCH 1 2");
        }
    }
    assert_eq!(office.site.leaks(&canaries), []);
}

/// Whatever cannot be understood is refused, and the session goes on.
pub fn malformed_commands<S: Store>() {
    let office = Office::<S>::open(&["alice"]);
    let mut client = office.client("alice");
    client.append("INBOX", "", &Canaries::new("malformed").message()).good();
    client.command("SELECT INBOX").good();
    for command in [
        &b"FETCH"[..],
        b"FETCH 1",
        b"FETCH 1 (",
        b"FETCH 1 (FLAGS",
        b"FETCH 1 BODY[]<1>",
        b"FETCH 1 BODY[1.]",
        b"FETCH 1 BODY[HEADER.FIELDS]",
        b"FETCH 1 BODY[HEADER.FIELDS ()]",
        b"UID FETCH 1:a FLAGS",
        b"SEARCH ((((((((",
        b"SEARCH SUBJECT",
        b"APPEND",
        b"APPEND INBOX",
        b"APPEND INBOX (\\Seen",
        b"\xff\xfe",
        b"UID",
        b"UID UID FETCH 1 FLAGS",
        b"FETCH 1 BODY.PEEK[99999999999999999999]",
        b"SEARCH LARGER 99999999999999999999999",
        b"IDLE now",
    ] {
        let answer = client.command(command);
        assert_eq!(answer.status(), "BAD", "{}: {answer}", command.escape_ascii());
    }
    client.command("UID FETCH 1 (FLAGS ENVELOPE)").good();
}

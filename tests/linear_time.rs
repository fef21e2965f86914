//! No message takes much longer to seal or to show than its size explains: whoever sends mail chooses its
//! shape, and delivery and a mailbox's owner wait for it.

mod seal_support;

use std::time::{Duration, Instant};

use nightsafe::imap::Manner;
use nightsafe::imap::items;
use nightsafe::imap::view::View;
use nightsafe::seal::{ClearHeaders, Draft, Outer, Summary};
use seal_support::mail;

const LEN: usize = 5_000_000;
/// How often the time of the plain message the worst shape may take. What is not linear takes thousands
/// of times as long at this size; what is, a few times.
const MAX_RATIO: u32 = 150;

fn repeated(start: &str, line: impl Fn(usize) -> String) -> Vec<u8> {
    let mut message = start.as_bytes().to_vec();
    for number in 0.. {
        if message.len() >= LEN {
            break;
        }
        message.extend_from_slice(line(number).as_bytes());
    }
    message
}

/// Every line could be a boundary, and every reader of mail has a loop that it could keep busy.
fn shapes() -> Vec<(&'static str, Vec<u8>)> {
    const MIXED: &str = "Content-Type: multipart/mixed; boundary=";
    let nested = |levels: usize, line: &'static str| {
        let start: String =
            (0..levels).map(|level| format!("{MIXED}b{level}\r\n\r\n--b{level}\r\n")).collect();
        repeated(&start, move |_| line.to_owned())
    };
    let spaces = " ".repeat(60_000);
    let long = "x".repeat(60_000);
    vec![
        ("lines of --", repeated(&format!("{MIXED}b\n\n"), |_| "--\n".into())),
        ("lines of -- in 1,000 multiparts", nested(1_000, "--\n")),
        ("a boundary's beginning in 1,000 multiparts", nested(1_000, "--b\n")),
        ("boundaries in 1,000 multiparts", nested(1_000, "--b0\n")),
        ("the innermost boundary", nested(60, "--b59\n")),
        ("a boundary of spaces", repeated(&format!("{MIXED}\"b{spaces}\"\n\n"), |_| "--\n".into())),
        ("a long boundary", repeated(&format!("{MIXED}\"{long}\"\n\n"), |_| "--\n".into())),
        ("empty parts", repeated(&format!("{MIXED}b\n\n"), |_| "--b\n".into())),
        ("messages in messages", repeated("", |_| "Content-Type: message/rfc822\n\n".into())),
        ("empty lines", repeated("Subject: a\n\n", |_| "\n".into())),
        ("a header of empty fields", repeated("", |_| "a:\n".into())),
        ("fields of all names", repeated("", |n| format!("ARC-{n}: x\n"))),
        ("one field in many lines", repeated("Subject:", |_| " x\n".into())),
        ("many types", repeated("", |_| "Content-Type: a/b\n".into())),
        ("many parameters", repeated("Content-Type: a/b", |n| format!(";a{n}=b"))),
        ("split parameters", repeated("Content-Type: a/b", |n| format!(";\n a*{n}*=b"))),
        ("split parameters in many parts", {
            let parameters: String = (0..4_000).map(|n| format!(";\n a*{n}*=b")).collect();
            repeated(&format!("{MIXED}b\n\n"), move |_| {
                format!("--b\nContent-Type: a/b{parameters}\n\n")
            })
        }),
        ("open comments", repeated("Content-Type: ", |_| "(".into())),
        ("open comments in a date", repeated("Date: ", |_| "(".into())),
        ("dates", repeated("", |_| "Received: ;\n".into())),
        ("one stamp", repeated("Received: ", |_| ";".into())),
        ("one address", repeated("To: ", |_| "<@a,[".into())),
        ("open brackets", repeated("To: ", |_| "[".into())),
        ("groups", repeated("From: ", |_| "a:\n ".into())),
        ("addresses", repeated("From: ", |_| "a@b (c),\n ".into())),
        ("one id", repeated("Message-ID: ", |_| "<".into())),
        ("encoded words", repeated("Subject: ", |_| "=?utf-8?q?=?= ".into())),
        ("one line", vec![b'x'; LEN]),
        ("NUL", vec![0; LEN]),
    ]
}

/// The shortest of some runs.
fn time(mut run: impl FnMut()) -> Duration {
    let once = |_| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..3).map(once).min().unwrap()
}

fn compare(what: &str, shape: &[u8], plain: Duration, taken: Duration) {
    let ratio = taken.as_secs_f64() / plain.as_secs_f64();
    println!("{what}: {taken:?} for {}, {ratio:.1} times {plain:?}", shape.len());
    assert!(taken < plain * MAX_RATIO, "{what} takes {ratio:.0} times as long as plain text");
}

#[test]
fn sealing() {
    let clear = ClearHeaders::new(&["Subject".into(), "From".into(), "Date".into()]).unwrap();
    let draft = |message: &[u8]| drop(Draft::new(message, &clear, 0).unwrap());
    let text = mail::mixed(LEN);
    let plain = time(|| draft(&text));
    for (what, shape) in shapes() {
        compare(what, &shape, plain, time(|| draft(&shape)));
    }
}

#[test]
fn taking_apart() {
    // Compared with sealing too: a search through plain text is too fast for a clock.
    let text = mail::mixed(LEN);
    let plain = time(|| drop(Draft::new(&text, &ClearHeaders::default(), 0).unwrap()));
    for (what, shape) in shapes() {
        let fields = b"Nightsafe-Signature: x\r\nSealed-Summary: none\r\n";
        let stored = [&fields[..], &shape].concat();
        let taken = time(|| assert!(Outer::parse(&stored).is_err()));
        compare(what, &stored, plain, taken);
    }
}

#[test]
fn showing() {
    let text = mail::mixed(LEN);
    let plain = time(|| drop(Draft::new(&text, &ClearHeaders::default(), 0).unwrap()));
    let asked = b"(ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (From To)] BODY.PEEK[1.2.3])";
    let items = items::parse(asked).unwrap();
    for (what, shape) in shapes() {
        let summary = Summary::of_message(&shape);
        let taken = time(|| {
            let view = View::new(&summary, Some(&shape), Manner::Dovecot);
            items.iter().for_each(|item| view.answer(item, &mut Vec::new()).unwrap());
        });
        compare(what, &shape, plain, taken);
    }
}

//! What nightsafe shows of a message agrees with itself: sizes, lines, sections, partials and structure,
//! of every message of the fixtures, however broken; and a summary tells the same as the message.

mod answers;
mod seal_support;

use answers::{Value, ours};
use nightsafe::imap::Manner;
use nightsafe::message::header;
use nightsafe::seal::Summary;
use seal_support::mail::{self, Mail};
use seal_support::sealer::Sealer;

struct Opened<'a> {
    mail: &'a Mail,
    summary: Summary,
}

impl Opened<'_> {
    fn ask(&self, item: &str) -> Value {
        ours(&self.summary, Some(&self.mail.bytes), Manner::Cyrus, item).unwrap()
    }

    fn section(&self, section: &str) -> Option<Vec<u8>> {
        self.ask(&format!("BODY.PEEK[{section}]")).text().map(<[u8]>::to_vec)
    }
}

fn each(mut check: impl FnMut(&Opened<'_>)) {
    for mail in &mail::all() {
        check(&Opened { mail, summary: Summary::of_message(&mail.bytes) });
    }
}

fn lines(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[test]
fn the_whole_is_its_header_and_its_text() {
    each(|opened| {
        let name = &opened.mail.name;
        let shown: Vec<u8> =
            opened.mail.bytes.iter().map(|byte| if *byte == 0 { 0x80 } else { *byte }).collect();
        let (header, text) = (opened.section("HEADER").unwrap(), opened.section("TEXT").unwrap());
        assert_eq!(opened.section("").unwrap(), shown, "{name}");
        assert_eq!([header.clone(), text.clone()].concat(), shown, "{name}");
        assert_eq!(opened.ask("RFC822.SIZE").number(), shown.len() as u64, "{name}");
        for (old, new) in [("RFC822", shown), ("RFC822.HEADER", header), ("RFC822.TEXT", text)] {
            assert_eq!(opened.ask(old).text(), Some(&new[..]), "{name}: {old}");
        }
    });
}

#[test]
fn the_fields_add_up_to_the_header() {
    each(|opened| {
        let name = &opened.mail.name;
        let header = opened.section("HEADER").unwrap();
        let some = opened.section("HEADER.FIELDS (From Subject Content-Type)").unwrap();
        let others = opened.section("HEADER.FIELDS.NOT (From Subject Content-Type)").unwrap();
        // The last field of a header that was cut short has no line end.
        let fields = |block: &[u8]| {
            header::fields(block).map(|field| field.raw.trim_ascii_end().to_vec()).collect()
        };
        let (all, some, others): (Vec<_>, Vec<_>, Vec<_>) =
            (fields(&header), fields(&some), fields(&others));
        assert_eq!(all.len(), some.len() + others.len(), "{name}");
        assert!(some.iter().chain(&others).all(|field| all.contains(field)), "{name}");
        assert_eq!(opened.section("HEADER.FIELDS (X-None)").unwrap().trim_ascii(), b"", "{name}");
    });
}

#[test]
fn partials_add_up_to_the_whole() {
    each(|opened| {
        let name = &opened.mail.name;
        for section in ["", "TEXT", "HEADER", "1"] {
            let Some(whole) = opened.section(section) else { continue };
            let step = (whole.len() / 5).max(1);
            let mut together = Vec::new();
            loop {
                let item = format!("BODY.PEEK[{section}]<{}.{step}>", together.len());
                let piece = opened.ask(&item).text().unwrap().to_vec();
                if piece.is_empty() {
                    break;
                }
                together.extend(piece);
            }
            assert!(together == whole, "{name}: {section}");
        }
    });
}

#[test]
fn the_structure_is_what_the_sections_are() {
    let mut parts = 0;
    each(|opened| {
        let structure = opened.ask("BODYSTRUCTURE");
        // Every part of the largest would be a search from the start.
        if opened.mail.name != "large/parts-1500.eml" {
            check_message(opened, &structure, &[]);
        }
        check_short_form(&opened.ask("BODY"), &structure, &opened.mail.name);
        parts += opened.summary.parts.len();
    });
    assert!(parts > 2000, "{parts}");
}

fn path(numbers: &[usize]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
}

fn is_multipart(structure: &Value) -> bool {
    matches!(structure.list()[0], Value::List(_))
}

/// The message whose part is numbered `numbers`, or the whole message.
fn check_message(opened: &Opened<'_>, structure: &Value, numbers: &[usize]) {
    if is_multipart(structure) {
        check_children(opened, structure, numbers);
    } else {
        check_one(opened, structure, &[numbers, &[1]].concat());
        assert_eq!(opened.section(&path(&[numbers, &[2]].concat())), None, "{}", opened.mail.name);
    }
}

fn check_children(opened: &Opened<'_>, structure: &Value, numbers: &[usize]) {
    let list = structure.list();
    let children = list.iter().take_while(|value| matches!(value, Value::List(_)));
    let mut count = 0;
    for child in children {
        count += 1;
        let own = [numbers, &[count]].concat();
        if is_multipart(child) {
            assert!(opened.section(&path(&own)).is_some(), "{}", opened.mail.name);
            check_children(opened, child, &own);
        } else {
            check_one(opened, child, &own);
        }
    }
    assert_eq!(opened.section(&path(&[numbers, &[count + 1]].concat())), None);
}

fn check_one(opened: &Opened<'_>, structure: &Value, numbers: &[usize]) {
    let (list, own) = (structure.list(), path(numbers));
    let name = format!("{}: {own}", opened.mail.name);
    let text = |value: &Value| String::from_utf8_lossy(value.text().unwrap()).to_lowercase();
    let (kind, subtype) = (text(&list[0]), text(&list[1]));
    let body = opened.section(&own).unwrap_or_else(|| panic!("{name}: {structure:?}"));
    assert_eq!(list[6].number(), body.len() as u64, "{name}");
    let mime = opened.section(&format!("{own}.MIME")).unwrap();
    assert!(mime.len() <= opened.mail.bytes.len());
    match (kind.as_str(), subtype.as_str()) {
        ("text", _) => assert_eq!(list[7].number(), lines(&body), "{name}"),
        ("message", "rfc822") => {
            assert_eq!(list[9].number(), lines(&body), "{name}");
            let header = opened.section(&format!("{own}.HEADER")).unwrap();
            let rest = opened.section(&format!("{own}.TEXT")).unwrap();
            assert_eq!([header, rest].concat(), body, "{name}");
            assert_eq!(list[7].list().len(), 10, "{name}");
            check_message(opened, &list[8], numbers);
        }
        ("multipart", _) => panic!("{name}: a multipart without parts"),
        _ => assert_eq!(opened.section(&format!("{own}.HEADER")), None, "{name}"),
    }
}

/// BODY is BODYSTRUCTURE without extension data.
fn check_short_form(short: &Value, long: &Value, name: &str) {
    let (short, long) = (short.list(), long.list());
    assert!(short.len() < long.len(), "{name}");
    for (short, long) in short.iter().zip(long) {
        match (short, long) {
            (Value::List(inner), Value::List(_))
                if matches!(inner.first(), Some(Value::List(_))) =>
            {
                check_short_form(short, long, name);
            }
            (Value::List(inner), Value::List(longer)) if inner.len() != longer.len() => {
                check_short_form(short, long, name);
            }
            _ => assert_eq!(short, long, "{name}"),
        }
    }
}

/// A listing opens the summary alone: it says what the opened message would.
#[test]
fn a_sealed_summary_tells_what_the_message_does() {
    let sealer = Sealer::new();
    let mut summaries = 0;
    for mail in &mail::all() {
        let stored = sealer.seal(&mail.bytes);
        let block = &stored[..header::end_of_header(&stored, 0)];
        let Some(sealed) = sealer.summary(block).unwrap() else { continue };
        summaries += 1;
        let whole = Summary::of_message(&mail.bytes);
        for item in [
            "RFC822.SIZE",
            "ENVELOPE",
            "BODY",
            "BODYSTRUCTURE",
            "BODY.PEEK[HEADER]",
            "BODY.PEEK[HEADER.FIELDS (From To Subject Date Message-ID DKIM-Signature)]",
            "BODY.PEEK[HEADER.FIELDS.NOT (DKIM-Signature Received)]",
            "BODY.PEEK[HEADER]<3.50>",
            "BODY.PEEK[1.MIME]",
            "BODY.PEEK[2.MIME]",
            "BODY.PEEK[2.HEADER]",
            "BODY.PEEK[2.HEADER.FIELDS (Subject)]",
            "BODY.PEEK[1]",
            "BODY.PEEK[TEXT]<0.100>",
            "BODY.PEEK[]",
        ] {
            let from_message = ours(&whole, Some(&mail.bytes), Manner::Dovecot, item).unwrap();
            let opened = ours(&sealed, Some(&mail.bytes), Manner::Dovecot, item).unwrap();
            assert_eq!(opened, from_message, "{}: {item}", mail.name);
            if let Some(listed) = ours(&sealed, None, Manner::Dovecot, item) {
                assert_eq!(listed, from_message, "{}: {item}", mail.name);
            } else {
                assert!(item.starts_with("BODY.PEEK["), "{item}");
            }
        }
    }
    assert!(summaries > 200, "{summaries}");
}

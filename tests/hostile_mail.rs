//! Whatever bytes arrive: taking them apart never panics, and what is found lies where it must.

mod seal_support;

use nightsafe::message::mime::{Kind, MAX_DEPTH, MAX_PARTS, Part, skeleton};
use nightsafe::seal::{Head, Outer, Ring, SignatureError};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use seal_support::mail;
use seal_support::sealer::Sealer;
use seal_support::stored::{Stored, header_block};

/// Offsets inside the message, parts inside their parents and in order, lines counted.
fn well_formed(message: &[u8]) -> Result<(), TestCaseError> {
    let found = skeleton(message);
    prop_assert_eq!(found.root.header.start, 0);
    prop_assert_eq!(found.root.body.end, message.len());
    let (mut parts, mut deepest) = (0, 0);
    let mut open = vec![(&found.root, 1)];
    while let Some((part, depth)) = open.pop() {
        parts += 1;
        deepest = deepest.max(depth);
        part_is_well_formed(message, part)?;
        open.extend(part.children.iter().map(|child| (child, depth + 1)));
    }
    prop_assert!(parts <= MAX_PARTS && deepest <= MAX_DEPTH, "{} parts, {} deep", parts, deepest);
    Ok(())
}

fn part_is_well_formed(message: &[u8], part: &Part) -> Result<(), TestCaseError> {
    prop_assert!(part.header.start <= part.header.end && part.body.start <= part.body.end);
    prop_assert_eq!(part.header.end, part.body.start);
    prop_assert!(part.body.end <= message.len());
    let start = part.header.start;
    // A boundary line that the message ends in has an empty part behind it.
    let starts_a_line = start == 0 || start == message.len() || message[start - 1] == b'\n';
    prop_assert!(starts_a_line, "a part begins inside a line: {:?}", part);
    let lines = message[part.body.clone()].iter().filter(|byte| **byte == b'\n').count();
    prop_assert_eq!(part.lines, lines, "{:?}", part);
    let mut from = part.body.start;
    for child in &part.children {
        let inside = from <= child.header.start && child.body.end <= part.body.end;
        prop_assert!(inside, "{:?} is not inside or not in order in {:?}", child, part);
        from = child.body.end;
    }
    match part.kind {
        Kind::Multipart => {}
        Kind::Message => prop_assert!(part.children.len() <= 1),
        Kind::Text | Kind::Other => prop_assert!(part.children.is_empty()),
    }
    Ok(())
}

/// Lines that a MIME reader must tell apart, with few boundaries so that they meet.
const LINES: &str = "(Content-Type: multipart/(mixed|digest); boundary=\"?[ab]{1,2} ?\"?|content-type:message/rfc822|Content-Transfer-Encoding: (base64|8bit)|--[ab]{1,2}(--)?[ \t]{0,2}|--|Subject: x| folded|[ -~]{0,12}||\r|\0)(\r\n|\n|\r\n\r\n|\n\n)";

/// A header field as somebody makes it up who has seen ours.
const FIELD: &str = "(nightsafe-signature|Nightsafe-Signature|Sealed-Summary|Content-Type|X):[ \t]?(v=1; k=[0-9a-f]{16}; u=[a-z%]{1,5}; t=[0-9]{1,22}; n=[0-9]{1,22}; s=(none|[A-Za-z0-9+/]{43}); b=[A-Za-z0-9+/]{43}; sig=[A-Za-z0-9+/]{86}|none|[A-Za-z0-9+/=\r\n ]{0,60}|[ -~]{0,30})(\r\n|\n|\r\n |;)";
/// A part, or what may stand for one.
const PART: &str = "--b(--)?\r?\n(Content-Type: application/vnd\\.nightsafe\\.sealed\r?\n)?\r?\n?[A-Za-z0-9+/=]{0,20}\r?\n";

/// What is like it, or exactly our form.
const OUR_PARTS: &str = "--b\r\n\r\n[a-z]{0,5}\r\n--b\r\nContent-Type: application/vnd\\.nightsafe\\.sealed\r\n\r\n[A-Za-z0-9+/=]{0,20}\r\n--b--\r\n";

/// Of our outer form but for the truth, or nearly so.
fn outer_form() -> impl Strategy<Value = String> {
    let fields = prop::collection::vec(FIELD, 0..5);
    let parts = prop_oneof![
        prop::collection::vec(PART, 0..4).prop_map(|parts| parts.concat()),
        OUR_PARTS.prop_map(|parts| parts),
    ];
    let start = prop::sample::select(vec![
        "",
        "Content-Type: multipart/mixed; boundary=b\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\nSealed-Summary: none\r\n",
    ]);
    (start, fields, parts)
        .prop_map(|(start, fields, parts)| [start, &fields.concat(), "\r\n", &parts].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn any_bytes(message in prop::collection::vec(any::<u8>(), 0..300)) {
        well_formed(&message)?;
        prop_assert!(Outer::parse(&message).is_err());
    }

    #[test]
    fn any_structure(lines in prop::collection::vec(LINES, 0..25)) {
        well_formed(lines.concat().as_bytes())?;
    }

    #[test]
    fn any_fields_of_ours(message in outer_form()) {
        well_formed(message.as_bytes())?;
        let ring = Ring::default();
        prop_assert!(Head::parse(message.as_bytes()).verify(&ring, None).is_err());
        if let Ok(outer) = Outer::parse(message.as_bytes()) {
            prop_assert!(outer.verify(&ring, None).is_err());
            let _ = (outer.claims(), outer.sealed_sizes());
        }
    }

    #[test]
    fn a_genuine_message_with_anything_in_it(
        at in any::<prop::sample::Index>(),
        cut in 0_usize..60,
        put in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        static GENUINE: std::sync::LazyLock<(Sealer, Vec<u8>)> = std::sync::LazyLock::new(|| {
            let sealer = Sealer::new();
            let stored = sealer.seal(b"Subject: a\r\n\r\nHello\r\n");
            (sealer, stored)
        });
        let (sealer, genuine) = &*GENUINE;
        let at = at.index(genuine.len());
        let behind = genuine.get(at + cut..).unwrap_or_default();
        let stored = [&genuine[..at], &put, behind].concat();
        well_formed(&stored)?;
        if let Ok(opened) = sealer.unseal(&stored) {
            prop_assert_eq!(opened, b"Subject: a\r\n\r\nHello\r\n");
        }
    }
}

#[test]
fn the_generated_fields_are_sometimes_ours() {
    // Else the property would hold for want of trying.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = outer_form();
    let (mut heads, mut outers) = (0, 0);
    for _ in 0..20_000 {
        let message = strategy.new_tree(&mut runner).unwrap().current();
        let verdict = Head::parse(message.as_bytes()).verify(&Ring::default(), None).err();
        heads += usize::from(!matches!(
            verdict,
            Some(SignatureError::Missing | SignatureError::Doubled)
        ));
        outers += usize::from(Outer::parse(message.as_bytes()).is_ok());
    }
    assert!(heads > 500 && outers > 50, "{heads} heads, {outers} messages of our form");
}

#[test]
fn every_fixture_is_well_formed() {
    for mail in mail::all() {
        well_formed(&mail.bytes).unwrap_or_else(|error| panic!("{}: {error}", mail.name));
        // Taken apart at every kind of place, a part may begin or end anywhere.
        for cut in (0..mail.bytes.len().min(4_000)).step_by(97) {
            well_formed(&mail.bytes[..cut]).unwrap_or_else(|e| panic!("{} {cut}: {e}", mail.name));
            well_formed(&mail.bytes[cut..]).unwrap_or_else(|e| panic!("{} {cut}: {e}", mail.name));
        }
    }
}

#[test]
fn users_with_odd_names_come_back() {
    let sealer = Sealer::new();
    for name in ["jürgen müller; x=y@example.org", "a%41", "\u{2028}", "\"quoted\"@example.org"] {
        let user = nightsafe::user::User::parse(name).unwrap();
        let stored = sealer.seal_for(b"x", &user, &sealer.key);
        assert!(stored.is_ascii(), "{name}");
        let head = Head::parse(header_block(&stored));
        let names = [user.clone()];
        assert_eq!(head.verify(&sealer.ring, Some(&names)).unwrap().user, user);
        assert!(!Stored::parse(&stored).signature.contains(name), "{name}");
    }
}

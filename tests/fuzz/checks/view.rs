//! What must hold of what a client asks and of what it is shown: items come back as they were read, every
//! answer is well formed, and sizes, sections and structure of any message agree.

use nightsafe::imap::Manner;
use nightsafe::imap::items::{self, Item};
use nightsafe::imap::view::View;
use nightsafe::seal::Summary;

use super::answers::{Value, ours};

/// Fails when something does not hold of a client's items, the first line of `input`, and of the message
/// that is the rest.
pub fn check(input: &[u8]) {
    let end = memchr::memchr(b'\n', input).unwrap_or(input.len());
    let (asked, message) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let asked = items::parse(asked).unwrap_or_default();
    asked.iter().for_each(same_again);
    let summary = Summary::of_message(message);
    for manner in [Manner::Cyrus, Manner::Dovecot] {
        let view = View::new(&summary, Some(message), manner);
        for item in asked.iter().filter(|item| !item.is_metadata()) {
            let mut answer = Vec::new();
            view.answer(item, &mut answer).unwrap();
            let label = String::from_utf8(item.label()).unwrap();
            Value::of(&answer, &label);
            assert!(item.is_answered_as(label.as_bytes()) || label == "RFC822");
            let mut closed = Vec::new();
            let answered = View::new(&summary, None, manner).answer(item, &mut closed);
            assert_eq!(answered.is_err(), item.needs_message(&summary));
            assert!(answered.is_err() || closed == answer, "{label}");
        }
        let ask = |item: &str| ours(&summary, Some(message), manner, item).unwrap();
        assert_eq!(ask("ENVELOPE").list().len(), 10);
        let structure = ask("BODYSTRUCTURE");
        let list = structure.list();
        if matches!(list[0], Value::Text(_)) {
            let body = ask("BODY.PEEK[1]").text().unwrap().len() as u64;
            assert_eq!(list[6].number(), body);
        } else {
            let parts = list.iter().filter(|value| matches!(value, Value::List(_))).count();
            assert!(parts >= 1 && ask("BODY.PEEK[1]").text().is_some());
        }
        let length = |item: &str| ask(item).text().unwrap().len() as u64;
        assert_eq!(
            ask("RFC822.SIZE").number(),
            length("BODY.PEEK[HEADER]") + length("BODY.PEEK[TEXT]")
        );
    }
}

/// What a backend is asked is read there as what the client asked here.
fn same_again(item: &Item) {
    let again = items::parse(&item.native()).unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].native(), item.native());
    assert_eq!(again[0].sets_seen(), item.sets_seen());
    assert!(again[0].is_metadata() == item.is_metadata());
}

//! The search for canaries finds them: else the tests that find none would prove nothing.

mod site;

use site::canary::{Canaries, base64};
use std::fs;

fn found(content: &[u8]) -> Vec<&'static str> {
    let canaries = Canaries::new("planted");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("below")).unwrap();
    fs::write(folder.path().join("below/file"), content).unwrap();
    canaries.search(folder.path(), &[]).iter().map(|found| found.place).collect()
}

#[test]
fn the_whole_message_has_a_canary_in_every_place() {
    let message = Canaries::new("planted").message();
    assert_eq!(found(&message).len(), 16);
}

#[test]
fn base64_hides_nothing() {
    let word = Canaries::new("planted").word("Body");
    for before in ["", "a", "ab", "abc"] {
        let text = base64(format!("{before}{word}{word}").as_bytes());
        assert_eq!(found(text.as_bytes()), ["Body"]);
        let wrapped: Vec<_> = text.as_bytes().chunks(7).collect();
        assert_eq!(found(&wrapped.join(&b"\r\n"[..])), ["Body"]);
    }
}

#[test]
fn names_of_files_are_searched() {
    let canaries = Canaries::new("planted");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(canaries.word("Subject"))).unwrap();
    assert_eq!(canaries.search(folder.path(), &[])[0].place, "Subject");
    assert_eq!(canaries.search(folder.path(), &[folder.path().to_owned()]), []);
}

#[test]
fn other_messages_have_other_canaries() {
    assert_eq!(found(&Canaries::new("another").message()), Vec::<&str>::new());
}

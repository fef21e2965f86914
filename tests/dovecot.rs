//! The main job with Dovecot as the store: mail comes in at Postfix, is sealed, and lies in a Dovecot
//! mailbox. And what Postfix makes of each refusal of Dovecot.

mod site;

use site::Site;
use site::canary::Canaries;
use site::dovecot::Dovecot;
use site::postfix::{Hop, Postfix};
use std::fs;

const ALICE: &str = "alice@example.org";

#[test]
fn mail_is_sealed_into_dovecot_and_comes_back() {
    let site = Site::with_users(&["alice"]);
    let dovecot = Dovecot::start(&site, &["alice"]);
    let postfix = Postfix::start(&site, Hop::Dovecot);
    let canaries = Canaries::new("dovecot");
    let message = canaries.message();

    let id = postfix.submit(&[ALICE], &message);
    postfix.attempt(&id, 1).must_be("sent", "2.");
    postfix.wait_until_empty();

    let inbox = dovecot.inbox("alice");
    assert_eq!(inbox.len(), 1);
    assert!(site.unseal("alice", &inbox[0]).ends_with(&message));
    assert!(site.system_log().contains("lmtp(alice)"), "what Dovecot logs is searched, too");
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

/// What a mailbox is listed from is in the index from delivery on, before anybody asked for it.
#[test]
fn the_summary_is_in_the_index_after_delivery() {
    let site = Site::with_users(&["alice"]);
    let dovecot = Dovecot::start(&site, &["alice"]);
    let postfix = Postfix::start(&site, Hop::Dovecot);

    let id = postfix.submit(&[ALICE], &Canaries::new("index").message());
    postfix.attempt(&id, 1).must_be("sent", "2.");

    let index = fs::read(dovecot.maildir("alice").join("dovecot.index.cache")).unwrap();
    let stored = &dovecot.inbox("alice")[0];
    for field in ["Nightsafe-Signature: ", "Sealed-Summary: "] {
        let at = memchr::memmem::find(stored, field.as_bytes()).unwrap();
        let longest = &stored[at..at + 300];
        // Dovecot keeps LF where the message has CRLF.
        let line = longest.split(|&byte| byte == b'\r').next().unwrap();
        assert!(memchr::memmem::find(&index, line).is_some(), "{field}");
    }
}

//! The main job with Dovecot as the store: mail comes in at Postfix, is sealed, and lies in a Dovecot
//! mailbox. And what Postfix makes of each refusal of Dovecot.

mod site;

use site::canary::Canaries;
use site::dovecot::Dovecot;
use site::mta::Mta as _;
use site::postfix::{Hop, Postfix};
use site::store::Store as _;
use site::users::users;
use site::{Site, maildir};
use std::fs;
use std::os::unix::fs::MetadataExt;

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
    let unsealed = site.unseal("alice", &inbox[0]);
    // What Dovecot puts on top comes off with the seal; what Postfix did is inside.
    assert!(unsealed.starts_with(b"Return-Path: <sender@example.net>\r\n"));
    assert!(unsealed.ends_with(&message));
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

#[test]
fn the_detail_names_a_mailbox_if_there_is_one() {
    let site = Site::with_users(&["alice"]);
    let dovecot = Dovecot::start(&site, &["alice"]);
    let postfix = Postfix::start(&site, Hop::Dovecot);
    dovecot.add_folder("alice", "lists");
    let [there, elsewhere] = ["there", "elsewhere"].map(Canaries::new);

    for (recipient, canaries) in
        [("alice+lists@example.org", &there), ("alice+shops@example.org", &elsewhere)]
    {
        let id = postfix.submit(&[recipient], &canaries.message());
        postfix.attempt(&id, 1).must_be("sent", "2.");
    }
    postfix.wait_until_empty();

    for (mailbox, canaries) in [("lists", &there), ("INBOX", &elsewhere)] {
        let stored = dovecot.mailbox("alice", mailbox);
        assert_eq!(stored.len(), 1, "{mailbox}");
        assert!(site.unseal("alice", &stored[0]).ends_with(&canaries.message()), "{mailbox}");
        assert_eq!(site.leaks_with_queue(canaries), []);
    }
}

#[test]
fn a_user_unknown_to_dovecot_bounces() {
    let site = Site::with_users(&["bob"]);
    let dovecot = Dovecot::start(&site, &["alice"]);
    let postfix = Postfix::start(&site, Hop::Dovecot);
    let canaries = Canaries::new("unknown");

    let id = postfix.submit(&["bob@example.org"], &canaries.message());
    postfix.attempt(&id, 1).must_be("bounced", "5.1.1");
    postfix.wait_until_empty();
    assert_eq!(dovecot.inbox("alice").len(), 0);
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

/// Over the quota: refused when she is named. And what would bring her over it: after the message.
#[test]
fn a_full_mailbox_bounces() {
    let site = Site::with_users(&["alice"]);
    let dovecot = Dovecot::start(&site, &["alice"]);
    let postfix = Postfix::start(&site, Hop::Dovecot);
    let [before, full, large, after] = ["before", "full", "large", "after"].map(Canaries::new);
    let send = |message: &[u8], status: &str, class: &str| {
        let id = postfix.submit(&[ALICE], message);
        postfix.attempt(&id, 1).must_be(status, class);
    };

    send(&before.message(), "sent", "2.");
    dovecot.limit("alice", 1);
    send(&full.message(), "bounced", "5.2.2");
    dovecot.limit("alice", 50);
    send(&large.large_message(200_000), "bounced", "5.2.2");
    dovecot.unlimit("alice");
    send(&after.message(), "sent", "2.");
    postfix.wait_until_empty();

    let inbox = dovecot.inbox("alice");
    assert_eq!(inbox.len(), 2);
    assert!(site.unseal("alice", &inbox[1]).ends_with(&after.message()));
    for canaries in [before, full, large, after] {
        assert_eq!(site.leaks_with_queue(&canaries), []);
    }
}

#[test]
fn mail_waits_while_dovecot_is_down() {
    let site = Site::with_users(&["alice"]);
    let mut dovecot = Dovecot::start(&site, &["alice"]);
    let postfix = Postfix::start(&site, Hop::Dovecot);
    let canaries = Canaries::new("down");
    dovecot.down();

    let id = postfix.submit(&[ALICE], &canaries.message());
    postfix.attempt(&id, 1).must_be("deferred", "4.");
    assert_eq!(site.leaks(&canaries), []);

    dovecot.up(&site);
    postfix.retry(&id).must_be("sent", "2.");
    postfix.wait_until_empty();
    let inbox = dovecot.inbox("alice");
    assert_eq!(inbox.len(), 1);
    assert!(site.unseal("alice", &inbox[0]).ends_with(&canaries.message()));
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

/// Whoever reaches the socket can deliver: that is root and nightsafe's delivery user.
#[test]
fn nobody_else_can_deliver() {
    let site = Site::new("");
    let dovecot = Dovecot::start(&site, &["alice"]);
    let socket = fs::metadata(dovecot.lmtp_socket()).unwrap();
    let rights = (socket.mode() & 0o777, socket.uid(), socket.gid());
    assert_eq!(rights, (0o660, 0, users().delivery.gid));
}

/// Dovecot's own encryption, against which nightsafe is measured: what it stores only a login opens.
#[test]
fn mail_crypt_runs_as_well() {
    let site = Site::new("[delivery]\nunenrolled = \"pass\"");
    let dovecot = Dovecot::start_crypt(&site, &["alice"]);
    let postfix = Postfix::start(&site, Hop::Dovecot);
    let message = Canaries::new("crypt").message();

    let id = postfix.submit(&[ALICE], &message);
    postfix.attempt(&id, 1).must_be("sent", "2.");

    let stored = maildir::messages(&dovecot.maildir("alice"));
    assert_eq!(stored.len(), 1);
    assert!(stored[0].starts_with(b"CRYPTED"));
    assert!(dovecot.inbox("alice")[0].ends_with(&message));
}

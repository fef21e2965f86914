//! The main job with real servers: mail comes in at Postfix, is sealed, lies in a Cyrus mailbox or a
//! Maildir with nothing readable around it, and comes back byte for byte with the owner's password.

mod site;

use site::canary::Canaries;
use site::cyrus::Cyrus;
use site::mta::Mta as _;
use site::postfix::{Hop, Postfix};
use site::store::Store as _;
use site::users::users;
use site::{Site, maildir, success};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// What Postfix hands over is what was submitted, below the fields that it puts on top.
#[track_caller]
fn must_be_original(unsealed: &[u8], submitted: &[u8], recipient: &str) {
    assert!(
        unsealed.ends_with(submitted),
        "not what was submitted:\n{}",
        String::from_utf8_lossy(unsealed)
    );
    let top = String::from_utf8_lossy(&unsealed[..unsealed.len() - submitted.len()]).into_owned();
    assert!(top.contains("Return-Path: <sender@example.net>\r\n"), "{top}");
    assert!(top.contains(&format!("Delivered-To: {recipient}\r\n")), "{top}");
    let fields = top.lines().filter(|line| !line.starts_with(['\t', ' ']));
    assert_eq!(fields.count(), 3, "one Received, and no other field: {top}");
    assert_eq!(top.matches('\n').count(), top.matches("\r\n").count(), "a bare LF: {top:?}");
}

#[test]
fn mail_is_sealed_into_cyrus_and_comes_back() {
    let site = Site::with_users(&["alice"]);
    // With the database of conversations, which holds subjects and senders of what it sees.
    let more = "conversations: yes\nconversations_db: twoskip\n";
    let cyrus = Cyrus::start_with(&site, &["alice"], more);
    let postfix = Postfix::start(&site, Hop::Cyrus);
    let canaries = Canaries::new("cyrus");
    let message = canaries.message();

    let id = postfix.submit(&["alice@example.org"], &message);
    postfix.attempt(&id, 1).must_be("sent", "2.");
    postfix.wait_until_empty();

    let inbox = cyrus.inbox("alice");
    assert_eq!(inbox.len(), 1);
    must_be_original(&site.unseal("alice", &inbox[0]), &message, "alice@example.org");
    assert!(site.system_log().contains("lmtp"), "what Cyrus logs is searched, too");
    let below = |what: &str| site.command("find").arg(site.path()).args(["-name", what]).output();
    for what in ["conversations.db", "cyrus.cache", "deliver.db"] {
        let found = below(what).unwrap().stdout;
        assert!(!found.is_empty(), "there is no {what} to be searched");
    }
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

#[test]
fn mail_is_sealed_into_a_maildir_and_comes_back() {
    let site = Site::with_users(&["alice"]);
    let postfix = Postfix::start(&site, Hop::Maildir);
    let canaries = Canaries::new("maildir");
    let message = canaries.message();

    let id = postfix.submit(&["alice@example.org"], &message);
    postfix.attempt(&id, 1).must_be("sent", "2.");
    postfix.wait_until_empty();

    let folder = site.join("maildir/alice");
    let stored = maildir::messages(&folder);
    assert_eq!((stored.len(), maildir::unfinished(&folder)), (1, 0));
    must_be_original(&site.unseal("alice", &stored[0]), &message, "alice@example.org");
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

#[test]
fn each_recipient_gets_a_sealed_message_of_his_own() {
    let site = Site::with_users(&["alice", "bob"]);
    let cyrus = Cyrus::start(&site, &["alice", "bob"]);
    let postfix = Postfix::start(&site, Hop::Cyrus);
    let canaries = Canaries::new("both");
    let message = canaries.message();

    let id = postfix.submit(&["alice@example.org", "Bob+lists@EXAMPLE.org"], &message);
    postfix.attempt(&id, 1).must_be("sent", "2.");
    postfix.attempt(&id, 2).must_be("sent", "2.");
    postfix.wait_until_empty();

    for (user, recipient) in [("alice", "alice@example.org"), ("bob", "bob+lists@example.org")] {
        let inbox = cyrus.inbox(user);
        assert_eq!(inbox.len(), 1, "{user}");
        let unsealed = site.unseal(user, &inbox[0]);
        assert!(unsealed.ends_with(&message), "{user}");
        let text = String::from_utf8_lossy(&unsealed).to_lowercase();
        assert!(text.contains(&format!("delivered-to: {recipient}\r\n")), "{text}");
    }
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

#[test]
fn a_bounce_is_sealed_like_any_mail() {
    let site = Site::with_users(&["alice"]);
    let cyrus = Cyrus::start(&site, &["alice"]);
    let postfix = Postfix::start(&site, Hop::Cyrus);
    let canaries = Canaries::new("bounce");

    let id = postfix.submit_bounce("alice@example.org", &canaries.message());
    postfix.attempt(&id, 1).must_be("sent", "2.");
    postfix.wait_until_empty();

    let inbox = cyrus.inbox("alice");
    assert_eq!(inbox.len(), 1);
    assert!(site.unseal("alice", &inbox[0]).ends_with(&canaries.message()));
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

/// Cyrus took the message in, but Postfix never learned it: it delivers again, and there is one.
#[test]
fn a_redelivery_by_postfix_is_a_duplicate_to_cyrus() {
    let site = Site::with_users(&["alice"]);
    let cyrus = Cyrus::start(&site, &["alice"]);
    // Silent: Postfix takes a 2.x.x text with any status but 0 for a reason to bounce.
    let lost = site.executable("lost-answer", b"#!/bin/sh\n\"$@\" >/dev/null && exit 75\n");
    let canaries = Canaries::new("redelivery");

    let postfix = Postfix::start_through(&site, Hop::Cyrus, lost.to_str().unwrap());
    let id = postfix.submit(&["alice@example.org"], &canaries.message());
    postfix.attempt(&id, 1).must_be("deferred", "4.");
    assert_eq!(cyrus.inbox("alice").len(), 1);
    postfix.wait_until_deferred(&id);
    sleep(Duration::from_millis(1100));
    drop(postfix);
    let postfix = Postfix::start(&site, Hop::Cyrus);
    postfix.retry(&id).must_be("sent", "2.");
    postfix.wait_until_empty();

    assert_eq!(cyrus.inbox("alice").len(), 1);
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

/// The same bytes by hand, also where the message has neither Message-ID nor Date.
#[test]
fn the_same_message_twice_is_one_message() {
    let site = Site::with_users(&["alice"]);
    let cyrus = Cyrus::start(&site, &["alice"]);
    let received = "Received: by mx.example.org; Mon, 2 Nov 2026 10:00:00 +0100\n";
    let with_id =
        "Message-ID: <1@example.net>\nDate: Mon, 2 Nov 2026 10:00:00 +0100\nSubject: a\n\na\n";
    let messages = [
        with_id.to_owned(),
        format!("{received}{with_id}"),
        format!("{received}Subject: b\n\nb\n"),
    ];

    for _ in 0..2 {
        for message in &messages {
            let file = site.private_file("message", message.as_bytes());
            let socket = format!("unix:{}", cyrus.lmtp_socket().display());
            let arguments = ["deliver", "--recipient", "alice@example.org", "--lmtp", &socket];
            let mut command = site.nightsafe(&arguments);
            command.uid(users().delivery.uid).gid(users().delivery.gid);
            success(&command.stdin(Stdio::from(fs::File::open(file).unwrap())).output().unwrap());
        }
        sleep(Duration::from_millis(1100));
    }

    assert_eq!(cyrus.inbox("alice").len(), 2, "the first two have one Message-ID and one Date");
}

/// What the tests above show to work, works as a user who can read neither of the two secrets that open
/// mail, nor the records.
#[test]
fn delivery_can_read_nothing_that_opens_mail() {
    let site = Site::with_users(&["alice"]);
    let reads = |name: &str| {
        let mut command = Command::new("cat");
        command.arg(site.join(name)).uid(users().delivery.uid).gid(users().delivery.gid);
        command.output().unwrap().status.success()
    };
    for name in ["keys/private/alice", "keys/private/.nightsafe-site", "etc/pepper"] {
        assert!(site.join(name).exists() && !reads(name), "{name}");
    }
    for name in ["keys/public/alice", "etc/sealing.key", "etc/sealing.ring"] {
        assert!(reads(name), "{name}");
    }
}

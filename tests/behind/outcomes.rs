//! What Postfix makes of each outcome, and that nothing is readable at any time.

use super::{ALICE, BOB, Mail, SENDER, Store};
use crate::site::canary::Canaries;
use crate::site::fault::{Unmounted, Unreadable};
use crate::site::mta::Mta as _;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

/// A change of the key directory is seen within this time.
const SEEN: Duration = Duration::from_secs(1);

/// The main job: sealed, stored, found under the id that the MTA's log has, opened, and nothing around
/// it. Then the service ends, and has left nothing either.
pub fn sealed<S: Store>() {
    let mut mail = Mail::<S>::start(&["alice"]);
    let canaries = Canaries::new("sealed");
    let message = canaries.message();

    let id = mail.postfix.submit(&[ALICE], &message);
    let attempt = mail.postfix.attempt(&id, 1);
    attempt.must_be("sent", "2.0.0");
    mail.postfix.wait_until_empty();

    let inbox = mail.store.inbox("alice");
    assert_eq!(inbox.len(), 1);
    let stored = String::from_utf8(inbox[0].clone()).unwrap();
    let said = attempt.text.split_once("sealed as ").expect("the log has the outer id").1;
    assert!(said.starts_with('<') && said.ends_with("@sealed.example.org>"), "{said}");
    assert!(stored.contains(&format!("\r\nMessage-ID: {said}\r\n")), "{said} is not in {stored}");
    assert!(!stored.contains(SENDER), "the store has learnt the sender: {stored}");

    let unsealed = mail.site.unseal("alice", &inbox[0]);
    assert!(unsealed.ends_with(&message));
    let top = String::from_utf8_lossy(&unsealed[..unsealed.len() - message.len()]).into_owned();
    let first = format!("Return-Path: <{SENDER}>\r\nReceived: ");
    assert!(top.starts_with(&first), "{top}");
    let fields = top.lines().filter(|line| !line.starts_with(['\t', ' ']));
    assert_eq!(fields.count(), 2, "one Received, and no other field: {top}");

    let log = mail.hook.log(&mail.site);
    let line = log.lines().find(|line| line.contains("to=<alice@example.org>")).unwrap();
    for word in ["user=alice", "status=sealed", said] {
        assert!(line.contains(word), "no {word} in {line}");
    }
    assert!(!log.contains(SENDER), "{log}");
    assert_eq!(mail.site.leaks_with_queue(&canaries), []);
    mail.hook.stop();
    assert_eq!(mail.site.leaks_with_queue(&canaries), []);
}

/// The store's own refusal, before the message.
pub fn unknown<S: Store>() {
    let mail = Mail::<S>::start_with(&["bob"], &["alice"], "");
    let canaries = Canaries::new("unknown");
    mail.send(BOB, &canaries.message(), "bounced", "5.1.1");
    mail.postfix.wait_until_empty();
    assert_eq!(mail.store.inbox("alice").len(), 0);
    assert_eq!(mail.site.leaks_with_queue(&canaries), []);
}

pub fn over_quota<S: Store>() {
    let mail = Mail::<S>::start(&["alice"]);
    let [before, full, after] = ["before", "full", "after"].map(Canaries::new);
    mail.send(ALICE, &before.message(), "sent", "2.");
    mail.store.fill_up("alice");
    mail.send(ALICE, &full.message(), "bounced", "5.2.2");
    mail.store.unlimit("alice");
    mail.send(ALICE, &after.message(), "sent", "2.");
    mail.postfix.wait_until_empty();
    mail.must_have("alice", &[&before.message(), &after.message()]);
    for canaries in [before, full, after] {
        assert_eq!(mail.site.leaks_with_queue(&canaries), []);
    }
}

/// Somebody with a mailbox who is not enrolled, under each policy, changed while the service runs.
pub fn not_enrolled<S: Store>() {
    let mail = Mail::<S>::start_with(&["alice"], &["alice", "bob"], "");
    let policy = |name: &str| {
        let more = format!("[delivery]\nunenrolled = \"{name}\"");
        mail.hook.configure(&mail.site, &mail.store.address(), &more);
        mail.hook.reload(&mail.site);
    };
    let [rejected, passed, waits] = ["rejected", "passed", "waits"].map(Canaries::new);

    let id = mail.send(BOB, &waits.message(), "deferred", "4.2.1");
    policy("reject");
    mail.send(BOB, &rejected.message(), "bounced", "5.7.1");
    assert_eq!(mail.store.inbox("bob").len(), 0);
    assert_eq!(mail.site.leaks(&waits), []);
    assert_eq!(mail.site.leaks(&rejected), []);

    policy("pass");
    mail.send(BOB, &passed.message(), "sent", "2.");
    let inbox = mail.store.inbox("bob");
    assert_eq!(inbox.len(), 1);
    let plain = String::from_utf8_lossy(&inbox[0]).into_owned();
    assert!(inbox[0].ends_with(&passed.message()), "{plain}");
    assert!(plain.starts_with(&format!("Return-Path: <{SENDER}>\r\n")), "{plain}");

    // The one that waited is sealed as soon as there is a key, whatever the policy.
    mail.site.enroll("bob");
    mail.postfix.retry(&id).must_be("sent", "2.0.0");
    mail.postfix.wait_until_empty();
    let inbox = mail.store.inbox("bob");
    assert_eq!(inbox.len(), 2);
    assert!(mail.site.unseal("bob", &inbox[1]).ends_with(&waits.message()));
    assert_eq!(mail.site.leaks_with_queue(&waits), []);
    assert_eq!(mail.site.leaks_with_queue(&rejected), []);
}

/// The disk with the keys is away while the service runs, in three ways, under the policy that would
/// pass everybody's mail unsealed if it took that for "nobody is enrolled".
pub fn keys_away<S: Store>() {
    let mail = Mail::<S>::start_with(&["alice"], &["alice"], "[delivery]\nunenrolled = \"pass\"");
    let keys = mail.site.join("keys");
    let mut sent = Vec::new();
    let first = Canaries::new("first");
    mail.send(ALICE, &first.message(), "sent", "2.");
    sent.push(first);

    for way in ["unmounted", "renamed", "unreadable"] {
        let canaries = Canaries::new(way);
        let away = keys.with_extension("elsewhere");
        let (unmounted, unreadable) = match way {
            "unmounted" => (Some(Unmounted::make(&keys)), None),
            "unreadable" => (None, Some(Unreadable::make(&keys))),
            _ => {
                fs::rename(&keys, &away).unwrap();
                (None, None)
            }
        };
        sleep(SEEN);
        let id = mail.send(ALICE, &canaries.message(), "deferred", "4.3.0");
        assert_eq!(mail.site.leaks(&canaries), [], "{way}");
        drop((unmounted, unreadable));
        if way == "renamed" {
            fs::rename(&away, &keys).unwrap();
        }
        mail.postfix.retry(&id).must_be("sent", "2.0.0");
        sent.push(canaries);
    }

    mail.postfix.wait_until_empty();
    let messages: Vec<_> = sent.iter().map(Canaries::message).collect();
    mail.must_have("alice", &messages.iter().map(Vec::as_slice).collect::<Vec<_>>());
    for canaries in sent {
        assert_eq!(mail.site.leaks_with_queue(&canaries), []);
    }
}

/// Without the store nothing is taken; without nightsafe nothing goes past it.
pub fn servers_away<S: Store>() {
    let mut mail = Mail::<S>::start(&["alice"]);
    let [first, store, hook] = ["first", "store", "hook"].map(Canaries::new);
    mail.send(ALICE, &first.message(), "sent", "2.");

    mail.store.down();
    let id = mail.send(ALICE, &store.message(), "deferred", "4.");
    assert_eq!(mail.site.leaks(&store), []);
    mail.store.up(&mail.site);
    mail.postfix.retry(&id).must_be("sent", "2.0.0");

    mail.hook.kill();
    let id = mail.send(ALICE, &hook.message(), "deferred", "4.");
    assert_eq!(mail.site.leaks(&hook), []);
    mail.hook.up(&mail.site);
    mail.postfix.retry(&id).must_be("sent", "2.0.0");

    mail.postfix.wait_until_empty();
    mail.must_have("alice", &[&first.message(), &store.message(), &hook.message()]);
    for canaries in [first, store, hook] {
        assert_eq!(mail.site.leaks_with_queue(&canaries), []);
    }
}

/// Who is enrolled, removed and enrolled again is seen by the service that runs.
pub fn enrolment<S: Store>() {
    let mail = Mail::<S>::start_with(&[], &["alice"], "");
    let [early, second, third] = ["early", "second", "third"].map(Canaries::new);

    let id = mail.send(ALICE, &early.message(), "deferred", "4.2.1");
    mail.site.enroll("alice");
    mail.postfix.retry(&id).must_be("sent", "2.0.0");
    let old = mail.site.identity("alice");

    mail.site.remove("alice");
    sleep(SEEN);
    let id = mail.send(ALICE, &second.message(), "deferred", "4.2.1");
    mail.site.enroll("alice");
    mail.postfix.retry(&id).must_be("sent", "2.0.0");

    // Removed and enrolled in one go: what is kept in memory must not outlive that.
    mail.site.remove("alice");
    mail.site.enroll("alice");
    sleep(SEEN);
    mail.send(ALICE, &third.message(), "sent", "2.0.0");
    mail.postfix.wait_until_empty();

    let inbox = mail.store.inbox("alice");
    assert_eq!(inbox.len(), 3);
    assert!(mail.site.unseal_with(&old, &inbox[0]).ends_with(&early.message()));
    assert!(mail.site.unseal("alice", &inbox[2]).ends_with(&third.message()));
    for canaries in [early, second, third] {
        assert_eq!(mail.site.leaks_with_queue(&canaries), []);
    }
}

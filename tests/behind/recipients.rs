//! Messages with several recipients, and addresses with a detail.

use super::{ALICE, BOB, Mail, SENDER, Store};
use crate::site::canary::Canaries;
use crate::site::mta::Mta as _;
use std::collections::BTreeSet;
use std::path::Path;

/// What follows the + is the store's to judge: a folder that is there, and one that is not.
pub fn details<S: Store>() {
    let mail = Mail::<S>::start(&["alice"]);
    mail.store.add_folder("alice", "lists");
    let [there, elsewhere] = ["there", "elsewhere"].map(Canaries::new);
    mail.send("alice+lists@example.org", &there.message(), "sent", "2.0.0");
    mail.send("alice+shops@example.org", &elsewhere.message(), "sent", "2.0.0");
    mail.postfix.wait_until_empty();
    mail.must_have_in("alice", "lists", &[&there.message()]);
    mail.must_have("alice", &[&elsewhere.message()]);
    for canaries in [there, elsewhere] {
        assert_eq!(mail.site.leaks_with_queue(&canaries), []);
    }
}

/// One message for four: each gets the answer that is his.
pub fn each_his_own_answer<S: Store>() {
    // Dave has a mailbox and no key, erin a key and no mailbox.
    let mail = Mail::<S>::start_with(
        &["alice", "bob", "carol", "erin"],
        &["alice", "bob", "carol", "dave"],
        "",
    );
    let [before, canaries] = ["before", "four"].map(Canaries::new);
    mail.send(BOB, &before.message(), "sent", "2.");
    mail.store.fill_up("bob");
    let expected = [
        (ALICE, "sent", "2.0.0"),
        ("erin@example.org", "bounced", "5.1.1"),
        (BOB, "bounced", "5.2.2"),
        ("dave@example.org", "deferred", "4.2.1"),
        ("carol@example.org", "sent", "2.0.0"),
    ];

    let id = mail.postfix.submit(&expected.map(|(recipient, ..)| recipient), &canaries.message());
    mail.postfix.attempt(&id, expected.len());
    let attempts = mail.postfix.attempts(&id);
    for (recipient, status, class) in expected {
        let his: Vec<_> = attempts.iter().filter(|a| a.recipient == recipient).collect();
        assert_eq!(his.len(), 1, "{attempts:?}");
        his[0].must_be(status, class);
    }
    assert_eq!(mail.site.leaks(&canaries), []);

    // Only who was deferred is tried again.
    mail.site.enroll("dave");
    mail.postfix.retry(&id).must_be("sent", "2.0.0");
    mail.postfix.wait_until_empty();
    assert_eq!(mail.postfix.attempts(&id).len(), expected.len() + 1);
    for user in ["alice", "carol", "dave"] {
        mail.must_have(user, &[&canaries.message()]);
    }
    mail.store.unlimit("bob");
    mail.must_have("bob", &[&before.message()]);
    assert_eq!(mail.site.leaks_with_queue(&canaries), []);
}

/// One message for somebody whose mail is sealed and somebody whose mail is passed, in each order: the
/// passed copy is whole and has its sender, the sealed one tells nothing.
pub fn sealed_and_passed<S: Store>() {
    let more = "[delivery]\nunenrolled = \"pass\"";
    let mail = Mail::<S>::start_with(&["alice", "carol"], &["alice", "bob", "carol"], more);
    let carol = "carol@example.org";
    let orders: [&[&str]; 4] =
        [&[ALICE, BOB], &[BOB, ALICE], &[ALICE, BOB, carol], &[BOB, ALICE, carol]];
    let mut client = mail.hook.client();
    client.good("LHLO client.example.net");
    let mut sent = Vec::new();
    for (index, order) in orders.iter().enumerate() {
        let canaries = Canaries::new(&format!("order{index}"));
        client.next(SENDER, order);
        for (recipient, reply) in order.iter().zip(client.data(&canaries.message(), order.len())) {
            let says = if *recipient == BOB { "250 2.0.0 passed" } else { "250 2.0.0 sealed as <" };
            assert!(reply.starts_with(says), "{order:?}: {recipient}: {reply}");
        }
        sent.push(canaries);
    }
    // And as Postfix hands it over.
    let canaries = Canaries::new("postfix");
    let id = mail.postfix.submit(&[BOB, ALICE], &canaries.message());
    for number in [1, 2] {
        mail.postfix.attempt(&id, number).must_be("sent", "2.0.0");
    }
    mail.postfix.wait_until_empty();
    sent.push(canaries);

    let passed = mail.store.inbox("bob");
    assert_eq!(passed.len(), sent.len());
    for (stored, canaries) in passed.iter().zip(&sent) {
        let text = String::from_utf8_lossy(stored);
        assert!(stored.ends_with(&canaries.message()), "{text}");
        assert!(text.starts_with(&format!("Return-Path: <{SENDER}>\r\n")), "{text}");
    }
    let messages: Vec<_> = sent.iter().map(Canaries::message).collect();
    mail.must_have("alice", &messages.iter().map(Vec::as_slice).collect::<Vec<_>>());
    mail.must_have("carol", &[&messages[2], &messages[3]]);
    for canaries in &sent {
        for user in ["alice", "carol"] {
            let hers = mail.store.inbox(user).concat();
            assert!(!String::from_utf8_lossy(&hers).contains(SENDER), "{user}");
            let file = mail.site.private_file("inbox", &hers);
            assert_eq!(canaries.search(Path::new(&file), &[]), [], "{user}");
        }
        only_in_one_mailbox(&mail, canaries);
    }
}

/// The store has the message in the clear in one folder, the mailbox of whom it was passed to. What it
/// notes elsewhere of a message that it can read is the Message-ID.
fn only_in_one_mailbox<S: Store>(mail: &Mail<S>, canaries: &Canaries) {
    let found = mail.site.leaks_with_queue(canaries);
    let (ids, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| {
        found.place == "MessageId"
            && (found.file.ends_with("deliver.db") || found.file.ends_with("log/lines"))
    });
    // Maildir's `new` and `cur` belong to one mailbox.
    let mailboxes: BTreeSet<_> = others
        .iter()
        .map(|found| found.file.parent().unwrap())
        .map(|folder| match folder.file_name().unwrap().to_str() {
            Some("new" | "cur") => folder.parent().unwrap(),
            _ => folder,
        })
        .collect();
    assert_eq!(mailboxes.len(), 1, "{others:?} {ids:?}");
}

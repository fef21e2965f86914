//! Exim with the file of `examples/exim`, and a store in the place of nightsafe: what it hands over on
//! the socket, and what it makes of the answers.

mod site;

use site::Site;
use site::canary::Canaries;
use site::dovecot::Dovecot;
use site::exim::Exim;
use site::mta::Mta as _;
use site::store::Store as _;

#[test]
fn exim_hands_a_message_for_many_over_once() {
    let site = Site::new("");
    let dovecot = Dovecot::start(&site, &["alice", "bob"]);
    let exim = Exim::start(&site, &dovecot.lmtp_socket());
    dovecot.add_folder("alice", "lists");
    let message = Canaries::new("exim").message();
    let connections = || site.system_log().matches("Connect from local").count();
    let before = connections();

    let recipients = ["alice+lists@example.org", "carol@example.org", "bob@example.org"];
    let id = exim.submit(&recipients, &message);
    exim.wait_until_empty();

    // Each recipient has an answer of his own.
    let mut attempts = exim.attempts(&id);
    attempts.sort_by_key(|attempt| recipients.iter().position(|known| attempt.recipient == *known));
    for (attempt, recipient) in attempts.iter().zip(recipients) {
        assert_eq!(attempt.recipient, recipient);
    }
    attempts[0].must_be("sent", "2.");
    attempts[1].must_be("bounced", "5.1.1");
    attempts[2].must_be("sent", "2.");
    assert_eq!((attempts.len(), connections() - before), (3, 1));
    // The sender goes along, and so does what follows the +.
    for (user, mailbox) in [("alice", "lists"), ("bob", "INBOX")] {
        let stored = dovecot.mailbox(user, mailbox);
        assert_eq!(stored.len(), 1, "{user}");
        assert!(stored[0].starts_with(b"Return-Path: <sender@example.net>\r\n"), "{user}");
        assert!(stored[0].ends_with(&message), "{user}");
    }
}

#[test]
fn exim_keeps_a_message_that_nobody_takes() {
    let site = Site::new("");
    let mut dovecot = Dovecot::start(&site, &["alice"]);
    let exim = Exim::start(&site, &dovecot.lmtp_socket());
    let message = Canaries::new("kept").message();
    dovecot.down();

    let id = exim.submit(&["alice@example.org"], &message);
    exim.attempt(&id, 1).must_be("deferred", "");
    exim.retry(&site, &id).must_be("deferred", "");
    assert_eq!(exim.queued(), [id.as_str()]);

    dovecot.up(&site);
    exim.retry(&site, &id).must_be("sent", "2.");
    exim.wait_until_empty();
    assert!(dovecot.inbox("alice")[0].ends_with(&message));
}

//! What only Dovecot does: it counts a message before it takes it.

use super::{ALICE, BOB, Mail};
use crate::site::canary::Canaries;
use crate::site::dovecot::Dovecot;
use crate::site::mta::Mta as _;
use crate::site::store::Store as _;

/// Refused only when the store has the message: for her alone, who has no room for it.
pub fn over_quota_with_it() {
    let mail = Mail::<Dovecot>::start(&["alice", "bob", "carol"]);
    let [large, small] = ["large", "small"].map(Canaries::new);
    mail.store.limit("alice", 50);
    let recipients = [BOB, ALICE, "carol@example.org"];
    let message = large.large_message(200_000);

    let id = mail.postfix.submit(&recipients, &message);
    mail.postfix.attempt(&id, recipients.len());
    for attempt in mail.postfix.attempts(&id) {
        if attempt.recipient == ALICE {
            attempt.must_be("bounced", "5.2.2");
            assert!(attempt.text.contains("in reply to end of DATA"), "{attempt:?}");
        } else {
            attempt.must_be("sent", "2.0.0");
        }
    }
    mail.send(ALICE, &small.message(), "sent", "2.0.0");
    mail.postfix.wait_until_empty();
    mail.must_have("alice", &[&small.message()]);
    mail.must_have("bob", &[&message]);
    mail.must_have("carol", &[&message]);
    for canaries in [large, small] {
        assert_eq!(mail.site.leaks_with_queue(&canaries), []);
    }
}

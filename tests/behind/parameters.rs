//! What nightsafe makes of the MTA's MAIL command for the store.

use super::{ALICE, BOB, SENDER, Store};
use crate::site::Site;
use crate::site::canary::Canaries;
use crate::site::hook::Hook;
use crate::site::mta::Mta as _;
use crate::site::postfix::{Hop, Postfix};
use crate::site::relay::Relay;

/// Postfix announces the size of what it has. A store that does not know SIZE never sees it (Dovecot
/// refuses it), and of a sealed message nobody is told the sender.
pub fn of_mail<S: Store>(knows_size: bool) {
    let site = Site::with_users(&["alice"]);
    let store = S::open(&site, &["alice", "bob"]);
    let relay = Relay::start(site.join("relay"), &store.lmtp_socket());
    let backend = format!("unix:{}", relay.socket.display());
    let hook = Hook::start_with(&site, &backend, "[delivery]\nunenrolled = \"pass\"");
    let offered = hook.client().good("LHLO client.example.net");
    assert!(offered.contains("250-SIZE "), "so that Postfix says SIZE=: {offered}");
    assert!(offered.contains("8BITMIME"), "{offered}");
    let postfix = Postfix::start(&site, Hop::Lmtp);

    let told = |recipients: &[&str]| {
        let before = relay.senders().len();
        let message = Canaries::new(&format!("told{before}")).message();
        let id = postfix.submit(recipients, &message);
        for number in 1..=recipients.len() {
            postfix.attempt(&id, number).must_be("sent", "2.0.0");
        }
        relay.senders().split_off(before)
    };
    let (null, named) =
        ("MAIL FROM:<> BODY=8BITMIME", format!("MAIL FROM:<{SENDER}> BODY=8BITMIME"));

    // Whoever is asked about, it is in nobody's name; the sender comes with the message that he sent.
    let mut all = vec![told(&[ALICE]), told(&[BOB]), told(&[BOB, ALICE])];
    for passed in &mut all[1..] {
        let at = passed.iter().position(|line| line.starts_with(&named)).unwrap();
        let parameters = passed.remove(at).split_off(named.len());
        assert_eq!(parameters.starts_with(" SIZE="), knows_size, "{parameters}");
        assert_eq!(parameters.is_empty(), !knows_size, "{parameters}");
    }
    assert_eq!(all, [vec![null], vec![null], vec![null, null]]);
    assert_eq!((store.inbox("alice").len(), store.inbox("bob").len()), (2, 2));
}

//! What comes back is what went in, octet for octet.

use super::{ALICE, BOB, Mail, SENDER, Store};
use crate::seal_support::mail;
use crate::site::Site;
use crate::site::canary::Canaries;
use crate::site::hook::Hook;
use crate::site::mta::Mta as _;

/// With the `Return-Path` that nightsafe puts on top, unless it is there already. One fixture has it.
fn with_path(message: &[u8]) -> Vec<u8> {
    let path = format!("Return-Path: <{SENDER}>\r\n");
    let has_it = message.starts_with(path.as_bytes());
    if has_it { message.to_vec() } else { [path.as_bytes(), message].concat() }
}

/// Every message of `fixtures/mail`: alice gets it by BDAT, as it is; bob by DATA, which needs a line
/// end at the end.
pub fn every_fixture<S: Store>() {
    let site = Site::with_users(&["alice", "bob"]);
    let store = S::open_with_duplicates(&site, &["alice", "bob"]);
    let hook = Hook::start(&site, &store.address());
    let mut client = hook.client();
    client.good("LHLO client.example.net");
    let (mut to_alice, mut to_bob) = (Vec::new(), Vec::new());
    for fixture in mail::all() {
        let name = fixture.name;
        client.next(SENDER, &[ALICE]);
        let replies = client.chunks(&fixture.bytes, 1);
        assert!(replies[0].starts_with("250 2.0.0 sealed as <"), "{name}: {replies:?}");
        to_alice.push((name.clone(), with_path(&fixture.bytes)));
        if fixture.bytes.is_empty() || fixture.bytes.ends_with(b"\r\n") {
            client.next(SENDER, &[BOB]);
            let replies = client.data(&fixture.bytes, 1);
            assert!(replies[0].starts_with("250 2.0.0 sealed as <"), "{name}: {replies:?}");
            to_bob.push((name, with_path(&fixture.bytes)));
        }
    }
    assert!(to_bob.len() > 200, "only {} messages end with a line end", to_bob.len());

    for (user, sent) in [("alice", to_alice), ("bob", to_bob)] {
        let identity = site.identity(user);
        let stored = store.inbox(user);
        assert_eq!(stored.len(), sent.len(), "{user}");
        for ((name, message), stored) in sent.iter().zip(stored) {
            let unsealed = site.unseal_with(&identity, &stored);
            assert!(unsealed == *message, "{name}, to {user}: other bytes");
        }
    }
}

/// A line of 100 kB comes through Postfix as it is, which by itself would break it.
pub fn a_long_line_through_postfix<S: Store>() {
    let mail = Mail::<S>::start(&["alice"]);
    let canaries = Canaries::new("long");
    let mut message = canaries.message();
    message.extend_from_slice(&b"caf\xe9 ".repeat(20_000));
    message.extend_from_slice(b"\r\n.\r\n..\r\nend\r\n");
    mail.send(ALICE, &message, "sent", "2.0.0");
    mail.postfix.wait_until_empty();
    mail.must_have("alice", &[&message]);
    assert_eq!(mail.site.leaks_with_queue(&canaries), []);
}

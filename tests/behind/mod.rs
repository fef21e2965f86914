//! Scenarios of `nightsafe lmtp` between an MTA and a real store, the same for Cyrus and Dovecot.

#![allow(dead_code, reason = "each test file uses its own part of the module")]

pub mod bytes;
pub mod cyrus;
pub mod dovecot;
pub mod many;
pub mod outcomes;
pub mod parameters;
pub mod recipients;

use crate::site::Site;
use crate::site::hook::Hook;
use crate::site::mta::Mta;
use crate::site::postfix::{Hop, Postfix};

pub use crate::site::mta::SENDER;
pub use crate::site::store::Store;

pub const ALICE: &str = "alice@example.org";
pub const BOB: &str = "bob@example.org";

/// A whole site: Postfix, nightsafe, the store. What was started last ends first.
pub struct Mail<S> {
    pub postfix: Postfix,
    pub hook: Hook,
    pub store: S,
    pub site: Site,
}

impl<S: Store> Mail<S> {
    /// These users are enrolled and have a mailbox.
    pub fn start(enrolled: &[&str]) -> Self {
        Self::start_with(enrolled, enrolled, "")
    }

    /// Some users are enrolled and some have a mailbox; `more` is for `[lmtp]` and what follows it.
    pub fn start_with(enrolled: &[&str], with_mailbox: &[&str], more: &str) -> Self {
        let site = Site::with_users(enrolled);
        let store = S::open(&site, with_mailbox);
        let hook = Hook::start_with(&site, &store.address(), more);
        let postfix = Postfix::start(&site, Hop::Lmtp);
        Self { postfix, hook, store, site }
    }

    /// Hands a message to Postfix; its first attempt must end so.
    #[track_caller]
    pub fn send(&self, recipient: &str, message: &[u8], status: &str, class: &str) -> String {
        let id = self.postfix.submit(&[recipient], message);
        self.postfix.attempt(&id, 1).must_be(status, class);
        id
    }

    /// What the user's messages in a mailbox were before they were sealed.
    pub fn unsealed(&self, user: &str, mailbox: &str) -> Vec<Vec<u8>> {
        let stored = self.store.mailbox(user, mailbox);
        stored.iter().map(|message| self.site.unseal(user, message)).collect()
    }

    /// The user's inbox holds exactly these messages, each below the fields of an MTA.
    #[track_caller]
    pub fn must_have(&self, user: &str, messages: &[&[u8]]) {
        self.must_have_in(user, "INBOX", messages);
    }

    /// The same for any mailbox.
    #[track_caller]
    pub fn must_have_in(&self, user: &str, mailbox: &str, messages: &[&[u8]]) {
        let unsealed = self.unsealed(user, mailbox);
        assert_eq!(unsealed.len(), messages.len(), "messages in {mailbox} of {user}");
        for (unsealed, message) in unsealed.iter().zip(messages) {
            assert!(
                unsealed.ends_with(message) && !message.is_empty(),
                "not what was sent to {user}:\n{}",
                String::from_utf8_lossy(unsealed)
            );
        }
    }
}

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
use crate::site::cyrus::Cyrus;
use crate::site::dovecot::Dovecot;
use crate::site::hook::Hook;
use crate::site::postfix::{Hop, Postfix};
use std::path::PathBuf;

pub const ALICE: &str = "alice@example.org";
pub const BOB: &str = "bob@example.org";
/// Whom every [`SENDER`] of these tests writes as.
pub const SENDER: &str = "sender@example.net";

/// What the scenarios ask of a store.
pub trait Store {
    fn open(site: &Site, names: &[&str]) -> Self;
    /// The same, but messages with one Message-ID and Date are not taken for one.
    fn open_with_duplicates(site: &Site, names: &[&str]) -> Self;
    fn socket(&self) -> PathBuf;
    fn stored(&self, user: &str, mailbox: &str) -> Vec<Vec<u8>>;
    /// A folder that mail can be addressed to.
    fn add_folder(&self, user: &str, name: &str);
    /// The user, who has a message already, is over quota from now on.
    fn fill_up(&self, user: &str);
    fn make_room(&self, user: &str);
    fn pause(&mut self);
    fn go_on(&mut self, site: &Site);

    /// As `[lmtp] backend` has it.
    fn address(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    fn inbox(&self, user: &str) -> Vec<Vec<u8>> {
        self.stored(user, "INBOX")
    }
}

impl Store for Cyrus {
    fn open(site: &Site, names: &[&str]) -> Self {
        Self::start(site, names)
    }

    fn open_with_duplicates(site: &Site, names: &[&str]) -> Self {
        let off = "duplicatesuppression: no".to_owned();
        Self::start_changed(site, names, &[("duplicatesuppression: yes", off)])
    }

    fn socket(&self) -> PathBuf {
        self.lmtp_socket()
    }

    fn stored(&self, user: &str, mailbox: &str) -> Vec<Vec<u8>> {
        self.mailbox(user, mailbox)
    }

    fn add_folder(&self, user: &str, name: &str) {
        Self::add_folder(self, user, name);
    }

    fn fill_up(&self, user: &str) {
        self.limit(user, 0);
    }

    fn make_room(&self, user: &str) {
        self.unlimit(user);
    }

    fn pause(&mut self) {
        self.down();
    }

    fn go_on(&mut self, site: &Site) {
        self.up(site);
    }
}

impl Store for Dovecot {
    fn open(site: &Site, names: &[&str]) -> Self {
        Self::start(site, names)
    }

    fn open_with_duplicates(site: &Site, names: &[&str]) -> Self {
        Self::start(site, names)
    }

    fn socket(&self) -> PathBuf {
        self.lmtp_socket()
    }

    fn stored(&self, user: &str, mailbox: &str) -> Vec<Vec<u8>> {
        self.mailbox(user, mailbox)
    }

    fn add_folder(&self, user: &str, name: &str) {
        self.add_mailbox(user, name);
    }

    fn fill_up(&self, user: &str) {
        self.limit(user, 1);
    }

    fn make_room(&self, user: &str) {
        self.unlimit(user);
    }

    fn pause(&mut self) {
        self.down();
    }

    fn go_on(&mut self, site: &Site) {
        self.up(site);
    }
}

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
        let stored = self.store.stored(user, mailbox);
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

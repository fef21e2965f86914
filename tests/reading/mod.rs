//! Scenarios of `nightsafe imap` before a real store, the same for Cyrus and Dovecot.

#![allow(dead_code, reason = "each test file uses its own part of the module")]

pub mod answers;
pub mod away;
pub mod many;
pub mod others;

use crate::site::proxy::Reading;
use crate::site::store::Store;
use crate::site::{Site, password};
use crate::support::imap::Client;

/// A site with a store, an agent and a proxy. What was started last ends first.
pub struct Office<S> {
    pub reading: Reading,
    pub store: S,
    pub site: Site,
}

impl<S: Store> Office<S> {
    /// These users are enrolled and have a mailbox.
    pub fn open(names: &[&str]) -> Self {
        Self::open_with(names, names, "", "")
    }

    /// Some are enrolled and some have a mailbox; more lines for `[agent]`, and for `[imap]` and behind it.
    pub fn open_with(enrolled: &[&str], with_mailbox: &[&str], agent: &str, imap: &str) -> Self {
        let site = Site::with_users(enrolled);
        let store = S::open_with_duplicates(&site, with_mailbox);
        let reading = Reading::start_with(&site, &store.imap_address(), agent, imap);
        Self { reading, store, site }
    }

    /// A client of the proxy, logged in.
    pub fn client(&self, user: &str) -> Client {
        Client::login(self.reading.port(), user, &password(user))
    }

    /// A client of the store, past the proxy.
    pub fn directly(&self, user: &str) -> Client {
        Client::login(self.store.imap_port(), user, &password(user))
    }
}

/// The first octets of a message by which it is told that it is sealed.
pub fn is_sealed(stored: &[u8]) -> bool {
    memchr::memmem::find(stored, b"\nNightsafe-Signature: v=1; ").is_some()
        && memchr::memmem::find(stored, b"\nSealed-Summary: ").is_some()
}

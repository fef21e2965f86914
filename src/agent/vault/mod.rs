//! Who is unlocked: private keys in locked memory, for as long as somebody has a lease and a little
//! longer, and never longer than the absolute limit.
//!
//! No private key leaves this module. What goes out are content keys.

mod entry;
mod keys;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::sys::file::Version;
use crate::user::User;

pub(super) use entry::{Entry, Found, Proof};
pub(super) use keys::Keys;

/// How long keys stay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// After the last lease.
    pub(super) linger: Duration,
    /// After the password was given last.
    pub(super) lifetime: Duration,
}

/// Everybody who is unlocked.
#[derive(Debug)]
pub(super) struct Vault {
    users: Mutex<BTreeMap<User, Arc<Entry>>>,
    times: Mutex<Times>,
    /// A lease ended or somebody was unlocked: the next end may be sooner.
    changed: Notify,
}

/// What there is to tell of an entry.
#[derive(Debug)]
pub(super) struct Told {
    /// Seconds since 1970.
    pub(super) since: u64,
    /// When the keys are wiped, from now.
    pub(super) left: Duration,
    pub(super) leases: u32,
}

impl Vault {
    pub(super) fn new(times: Times) -> Self {
        Self { users: Mutex::default(), times: Mutex::new(times), changed: Notify::new() }
    }

    /// Other times, for those who are unlocked as well.
    pub(super) fn set_times(&self, times: Times) {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner) = times;
        self.changed.notify_one();
    }

    fn times(&self) -> Times {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user, if unlocked.
    pub(super) fn find(&self, user: &User) -> Option<Arc<Entry>> {
        self.users().get(user).cloned()
    }

    /// Everybody who is unlocked, in the order of names.
    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        self.users().values().cloned().collect()
    }

    /// How many are unlocked.
    pub(super) fn count(&self) -> usize {
        self.users().len()
    }

    /// Puts in what a login found, and gives a lease of it: with none, a short linger could end between
    /// two steps of a login. `at` is in seconds since 1970.
    pub(super) fn put(self: &Arc<Self>, user: &User, found: Found, now: Instant, at: u64) -> Lease {
        let mut users = self.users();
        let entry = match users.get(user) {
            Some(entry) if entry.renew_and_lease(&found, now) => {
                let entry = Arc::clone(entry);
                entry.put_keys(found.keys);
                entry
            }
            _ => {
                let entry = Arc::new(Entry::leased(user.clone(), found, now, at));
                users.insert(user.clone(), Arc::clone(&entry));
                entry
            }
        };
        drop(users);
        self.changed.notify_one();
        Lease { vault: Arc::clone(self), entry }
    }

    /// A lease of the user for who gives a password that was right before: of the record's version
    /// `file`, as `is_right` tells. It counts as given now, by `readers`.
    pub(super) fn prove(
        self: &Arc<Self>,
        user: &User,
        file: Version,
        is_right: impl Fn(&Proof) -> bool,
        readers: &[u32],
        now: Instant,
    ) -> Option<Lease> {
        let entry = self.find(user)?;
        let is_known = entry.prove_and_lease(file, is_right, readers, now);
        is_known.then(|| Lease { vault: Arc::clone(self), entry })
    }

    /// A lease of a user who is unlocked; `None` when the keys were wiped meanwhile.
    pub(super) fn lease(self: &Arc<Self>, entry: &Arc<Entry>) -> Option<Lease> {
        let entry = Arc::clone(entry);
        entry.lease().then(|| Lease { vault: Arc::clone(self), entry })
    }

    /// Forgets which passwords were right: the next login of each user has to show it again. Leases stay.
    pub(super) fn forget_passwords(&self) {
        self.all().iter().for_each(|entry| entry.forget_passwords());
    }

    /// Wipes the user's keys; whether there were any.
    pub(super) fn lock(&self, user: &User) -> bool {
        let entry = self.users().remove(user);
        entry.map(|entry| entry.wipe()).is_some()
    }

    /// Wipes everybody's; who they were.
    pub(super) fn lock_all(&self) -> Vec<User> {
        let all = std::mem::take(&mut *self.users());
        all.into_iter().map(|(user, entry)| (entry.wipe(), user).1).collect()
    }

    /// Wipes what has come to its end; who that was, and when the next end is.
    pub(super) fn sweep(&self, now: Instant) -> (Vec<User>, Option<Instant>) {
        let times = self.times();
        let mut users = self.users();
        let mut next: Option<Instant> = None;
        let mut ended = Vec::new();
        for (user, entry) in users.iter() {
            // Looked at and wiped in one, or a lease could come between.
            match entry.wipe_if_over(times, now) {
                None => ended.push(user.clone()),
                Some(end) => next = Some(next.map_or(end, |next| next.min(end))),
            }
        }
        for user in &ended {
            users.remove(user);
        }
        (ended, next)
    }

    /// Waits until a sweep may find another end than it told.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What there is to tell of an entry.
    pub(super) fn tell(&self, entry: &Entry, now: Instant) -> Told {
        let state = entry.state();
        Told {
            since: state.since,
            left: state.end(self.times()).saturating_duration_since(now),
            leases: state.leases,
        }
    }

    fn users(&self) -> MutexGuard<'_, BTreeMap<User, Arc<Entry>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader's claim that a user is logged in, until it is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    vault: Arc<Vault>,
    entry: Arc<Entry>,
}

impl Lease {
    /// Whose keys.
    pub(super) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.entry.release(Instant::now());
        self.vault.changed.notify_one();
    }
}

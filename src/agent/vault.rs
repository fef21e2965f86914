//! Who is unlocked: private keys in locked memory, for as long as somebody has a lease and a little
//! longer, and never longer than the absolute limit.
//!
//! No private key leaves this module. What goes out are content keys.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::age::{PublicKey, SecretKey, Wrapped};
use crate::secret::{self, SecretBytes};
use crate::sys::file::Version;
use crate::sys::memory::Locked;
use crate::user::User;

use super::protocol::{ANSWER_BYTES, STANZA_BYTES};
use super::tags::Tag;

const KEY_BYTES: usize = 32;
/// The most passwords that are remembered of one user: the login password and those of devices.
const MAX_PROOFS: usize = 32;
/// How many stanzas are opened between two looks at whether the user is still unlocked.
const PIECE: usize = 128;

/// A user's private keys, newest first.
#[derive(Debug)]
pub(super) struct Keys {
    memory: Locked,
    publics: Vec<PublicKey>,
}

impl Keys {
    /// Locked memory for `count` keys, before there are any.
    ///
    /// # Errors
    /// Where no more memory can be locked.
    pub(super) fn reserve(count: usize) -> io::Result<Self> {
        Ok(Self { memory: Locked::new(count.saturating_mul(KEY_BYTES))?, publics: Vec::new() })
    }

    /// Takes the keys over. The caller's copies are wiped when he drops them.
    ///
    /// # Errors
    /// As [`Keys::reserve`], where there are more than was foreseen.
    pub(super) fn fill(&mut self, keys: &[SecretKey]) -> io::Result<()> {
        if keys.len().saturating_mul(KEY_BYTES) > self.memory.expose().len() {
            *self = Self::reserve(keys.len())?;
        }
        let places = self.memory.expose_mut().chunks_exact_mut(KEY_BYTES);
        for (place, key) in places.zip(keys) {
            place.copy_from_slice(key.expose());
        }
        self.publics = keys.iter().map(SecretKey::public_key).collect();
        Ok(())
    }

    /// Appends to `answers` what each of `stanzas` holds.
    fn recover(
        &self,
        stanzas: &[u8],
        answers: &mut SecretBytes,
    ) -> Result<(), secret::OutOfMemory> {
        for stanza in stanzas.chunks_exact(STANZA_BYTES) {
            let opened = stanza.try_into().ok().and_then(|stanza| self.open(&Wrapped(stanza)));
            let found = opened.is_some();
            answers.try_push(&[u8::from(found)])?;
            answers.try_push(opened.as_ref().map_or(&[0; ANSWER_BYTES - 1], |key| key.expose()))?;
        }
        Ok(())
    }

    fn open(&self, stanza: &Wrapped) -> Option<crate::age::FileKey> {
        let scalars = self.memory.expose().chunks_exact(KEY_BYTES);
        let mut keys = scalars.zip(&self.publics);
        keys.find_map(|(scalar, public)| stanza.open(scalar.try_into().ok()?, public))
    }
}

/// A password that opened the user's keys.
#[derive(Debug)]
pub(super) struct Proof {
    /// Its tag, for the slot.
    pub(super) tag: Tag,
    /// The slot it opens.
    pub(super) slot: String,
    /// Whether the site's login accepted it too, and the record was settled.
    pub(super) confirmed: bool,
}

/// What a login found.
#[derive(Debug)]
pub(super) struct Found {
    /// The private keys.
    pub(super) keys: Keys,
    /// Every name the user has had, the present one last.
    pub(super) names: Vec<User>,
    /// The record's file, and what it counts as its version.
    pub(super) file: Version,
    /// The password.
    pub(super) proof: Option<Proof>,
    /// The local user who gave it.
    pub(super) readers: Vec<u32>,
}

/// One user who is unlocked.
#[derive(Debug)]
pub(super) struct Entry {
    user: User,
    keys: RwLock<Option<Keys>>,
    state: Mutex<State>,
    /// Says so when the keys are wiped.
    ended: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    names: Vec<User>,
    file: Version,
    proofs: Vec<Proof>,
    readers: BTreeSet<u32>,
    leases: u32,
    /// When the password was given last.
    proved: Instant,
    /// Since when nobody has a lease.
    free: Instant,
    /// Seconds since 1970.
    since: u64,
    is_wiped: bool,
}

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
    times: Times,
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
        Self { users: Mutex::default(), times, changed: Notify::new() }
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

    /// Puts in what a login found. `at` is in seconds since 1970.
    pub(super) fn put(&self, user: &User, found: Found, now: Instant, at: u64) -> Arc<Entry> {
        let mut users = self.users();
        if let Some(entry) = users.get(user).filter(|entry| !entry.is_wiped()) {
            let entry = Arc::clone(entry);
            entry.renew(found, now);
            self.changed.notify_one();
            return entry;
        }
        let entry = Arc::new(Entry::new(user.clone(), found, now, at));
        users.insert(user.clone(), Arc::clone(&entry));
        self.changed.notify_one();
        entry
    }

    /// A lease of the user; `None` when the keys were wiped meanwhile.
    pub(super) fn lease(self: &Arc<Self>, entry: &Arc<Entry>) -> Option<Lease> {
        let mut state = entry.state();
        if state.is_wiped {
            return None;
        }
        state.leases = state.leases.saturating_add(1);
        drop(state);
        Some(Lease { vault: Arc::clone(self), entry: Arc::clone(entry) })
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
        let mut users = self.users();
        let mut next: Option<Instant> = None;
        let mut ended = Vec::new();
        for (user, entry) in users.iter() {
            // Looked at and wiped in one, or a lease could come between.
            match entry.wipe_if_over(self.times, now) {
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
            left: state.end(self.times).saturating_duration_since(now),
            leases: state.leases,
        }
    }

    fn users(&self) -> MutexGuard<'_, BTreeMap<User, Arc<Entry>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end(&self, times: Times) -> Instant {
        let end = self.proved + times.lifetime;
        if self.leases == 0 { end.min(self.free + times.linger) } else { end }
    }
}

impl Entry {
    fn new(user: User, found: Found, now: Instant, at: u64) -> Self {
        let state = State {
            names: found.names,
            file: found.file,
            proofs: found.proof.into_iter().collect(),
            readers: found.readers.into_iter().collect(),
            leases: 0,
            proved: now,
            free: now,
            since: at,
            is_wiped: false,
        };
        let (ended, _) = watch::channel(false);
        Self { user, keys: RwLock::new(Some(found.keys)), state: Mutex::new(state), ended }
    }

    fn renew(&self, found: Found, now: Instant) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(found.keys);
        let mut state = self.state();
        if state.file != found.file {
            // What was true of another version of the record may not be of this one.
            state.proofs.clear();
        }
        state.file = found.file;
        state.names = found.names;
        state.readers.extend(found.readers);
        if let Some(proof) = found.proof {
            state.proofs.retain(|known| known.tag != proof.tag);
            state.proofs.truncate(MAX_PROOFS - 1);
            state.proofs.push(proof);
        }
        state.prove(now);
    }

    /// Whether `is_right` knows the password of one of the slots, of this version of the record. Then
    /// it counts as given now, by `readers`.
    pub(super) fn prove(
        &self,
        file: Version,
        is_right: impl Fn(&Proof) -> bool,
        readers: &[u32],
        now: Instant,
    ) -> bool {
        let mut state = self.state();
        if state.is_wiped || state.file != file {
            return false;
        }
        // All of them, so that the time it takes says nothing.
        let known = state.proofs.iter().fold(false, |known, proof| is_right(proof) | known);
        if known {
            state.readers.extend(readers);
            state.prove(now);
        }
        known
    }

    /// The user.
    pub(super) fn user(&self) -> &User {
        &self.user
    }

    /// Every name the user has had, the present one last.
    pub(super) fn names(&self) -> Vec<User> {
        self.state().names.clone()
    }

    /// This local user may read from now on, as one who gave the password.
    pub(super) fn admit(&self, reader: u32) {
        self.state().readers.insert(reader);
    }

    /// Whether this local user gave the password, or was named as who is logged in.
    pub(super) fn is_reader(&self, uid: u32) -> bool {
        self.state().readers.contains(&uid)
    }

    /// The content keys in `stanzas`, as the protocol has them; `None` when the user is not unlocked
    /// any more.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub(super) fn recover(
        &self,
        stanzas: &[u8],
    ) -> Result<Option<SecretBytes>, secret::OutOfMemory> {
        let mut answers = SecretBytes::default();
        answers.try_reserve(stanzas.len() / STANZA_BYTES * ANSWER_BYTES)?;
        for piece in stanzas.chunks(PIECE * STANZA_BYTES) {
            // Between two pieces whoever locks the user gets his turn.
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            let Some(keys) = keys.as_ref() else { return Ok(None) };
            keys.recover(piece, &mut answers)?;
        }
        Ok(Some(answers))
    }

    /// Tells when the keys are wiped.
    pub(super) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    fn is_wiped(&self) -> bool {
        self.state().is_wiped
    }

    fn wipe(&self) {
        let mut state = self.state();
        state.is_wiped = true;
        state.proofs.clear();
        drop(state);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.ended.send_replace(true);
    }

    /// `None` when it was over and is wiped now, else when it will be.
    fn wipe_if_over(&self, times: Times, now: Instant) -> Option<Instant> {
        let mut state = self.state();
        let end = state.end(times);
        if end > now {
            return Some(end);
        }
        state.is_wiped = true;
        drop(state);
        self.wipe();
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn prove(&mut self, now: Instant) {
        self.proved = now;
        self.free = now;
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
        let mut state = self.entry.state();
        state.leases = state.leases.saturating_sub(1);
        state.free = Instant::now();
        drop(state);
        self.vault.changed.notify_one();
    }
}

//! One user who is unlocked: his keys, the passwords that are known to be right, and who reads.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::watch;

use crate::agent::protocol::{ANSWER_BYTES, STANZA_BYTES};
use crate::agent::tags::Tag;
use crate::secret::{OutOfMemory, SecretBytes};
use crate::sys::file::Version;
use crate::user::User;

use super::Times;
use super::keys::Keys;

/// The most passwords that are remembered of one user: the login password and those of devices.
const MAX_PROOFS: usize = 32;
/// How many stanzas are opened between two looks at whether the user is still unlocked.
const PIECE: usize = 128;

/// A password that opened the user's keys.
#[derive(Debug, Clone)]
pub(in crate::agent) struct Proof {
    /// Its tag, for the slot.
    pub(in crate::agent) tag: Tag,
    /// The slot it opens.
    pub(in crate::agent) slot: String,
    /// Whether the site's login accepted it too, and the record was settled.
    pub(in crate::agent) confirmed: bool,
}

/// What a login found.
#[derive(Debug)]
pub(in crate::agent) struct Found {
    /// The private keys.
    pub(in crate::agent) keys: Keys,
    /// Every name the user has had, the present one last.
    pub(in crate::agent) names: Vec<User>,
    /// The record's file, and what it counts as its version.
    pub(in crate::agent) file: Version,
    /// The password.
    pub(in crate::agent) proof: Option<Proof>,
    /// The local user who gave it.
    pub(in crate::agent) readers: Vec<u32>,
}

/// One user who is unlocked.
#[derive(Debug)]
pub(in crate::agent) struct Entry {
    user: User,
    keys: RwLock<Option<Keys>>,
    state: Mutex<State>,
    /// Says so when the keys are wiped.
    ended: watch::Sender<bool>,
}

#[derive(Debug)]
pub(super) struct State {
    names: Vec<User>,
    file: Version,
    proofs: Vec<Proof>,
    readers: BTreeSet<u32>,
    pub(super) leases: u32,
    /// When the password was given last.
    proved: Instant,
    /// Since when nobody has a lease.
    pub(super) free: Instant,
    /// Seconds since 1970.
    pub(super) since: u64,
    pub(super) is_wiped: bool,
}

impl State {
    pub(super) fn end(&self, times: Times) -> Instant {
        let end = self.proved + times.lifetime;
        if self.leases == 0 { end.min(self.free + times.linger) } else { end }
    }
}

impl Entry {
    /// A user who is unlocked from now on, with one lease.
    pub(super) fn leased(user: User, found: Found, now: Instant, at: u64) -> Self {
        let state = State {
            names: found.names,
            file: found.file,
            proofs: found.proof.into_iter().collect(),
            readers: found.readers.into_iter().collect(),
            leases: 1,
            proved: now,
            free: now,
            since: at,
            is_wiped: false,
        };
        let (ended, _) = watch::channel(false);
        Self { user, keys: RwLock::new(Some(found.keys)), state: Mutex::new(state), ended }
    }

    /// Takes in all but the keys of another login, and counts a lease; `false` when it is wiped.
    pub(super) fn renew_and_lease(&self, found: &Found, now: Instant) -> bool {
        let mut state = self.state();
        if state.is_wiped {
            return false;
        }
        if state.file != found.file {
            // What was true of another version of the record may not be of this one.
            state.proofs.clear();
        }
        state.file = found.file;
        state.names.clone_from(&found.names);
        state.readers.extend(&found.readers);
        if let Some(proof) = &found.proof {
            state.proofs.retain(|known| known.tag != proof.tag);
            state.proofs.truncate(MAX_PROOFS - 1);
            state.proofs.push(proof.clone());
        }
        state.prove_and_lease(now);
        true
    }

    pub(super) fn put_keys(&self, keys: Keys) {
        let mut place = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have locked the user since.
        if !self.state().is_wiped {
            *place = Some(keys);
        }
    }

    /// Counts a lease when `is_right` knows the password of one of the slots, of this version of the
    /// record.
    pub(super) fn prove_and_lease(
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
            state.prove_and_lease(now);
        }
        known
    }

    /// Counts a lease; `false` when it is wiped.
    pub(super) fn lease(&self) -> bool {
        let mut state = self.state();
        if !state.is_wiped {
            state.leases = state.leases.saturating_add(1);
        }
        !state.is_wiped
    }

    /// One lease less.
    pub(super) fn release(&self, now: Instant) {
        let mut state = self.state();
        state.leases = state.leases.saturating_sub(1);
        state.free = now;
    }

    /// The user.
    pub(in crate::agent) fn user(&self) -> &User {
        &self.user
    }

    /// Every name the user has had, the present one last.
    pub(in crate::agent) fn names(&self) -> Vec<User> {
        self.state().names.clone()
    }

    /// This local user may read from now on, as one who gave the password.
    pub(in crate::agent) fn admit(&self, reader: u32) {
        self.state().readers.insert(reader);
    }

    /// Whether this local user gave the password, or was named as who is logged in.
    pub(in crate::agent) fn is_reader(&self, uid: u32) -> bool {
        self.state().readers.contains(&uid)
    }

    /// The content keys in `stanzas`, as the protocol has them; `None` when the user is not unlocked
    /// any more.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub(in crate::agent) fn recover(
        &self,
        stanzas: &[u8],
    ) -> Result<Option<SecretBytes>, OutOfMemory> {
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
    pub(in crate::agent) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    pub(super) fn forget_passwords(&self) {
        self.state().proofs.clear();
    }

    pub(super) fn wipe(&self) {
        let mut state = self.state();
        state.is_wiped = true;
        state.proofs.clear();
        drop(state);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.ended.send_replace(true);
    }

    /// `None` when it was over and is wiped now, else when it will be.
    pub(super) fn wipe_if_over(&self, times: Times, now: Instant) -> Option<Instant> {
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

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn prove_and_lease(&mut self, now: Instant) {
        self.proved = now;
        self.leases = self.leases.saturating_add(1);
    }
}

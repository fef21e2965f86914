//! Password changes between "staged" and "committed": in memory only, by a name that cannot be guessed.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::keys::RootKey;
use crate::lifecycle::passwd::Staged;
use crate::secret;
use crate::sys::memory::Locked;

use super::protocol::ChangeId;

/// How long the login's own change may take. A change that is forgotten is mended by the first login
/// that the site accepts.
const PATIENCE: Duration = Duration::from_secs(600);
/// How many may be under way.
const MOST: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct Changes(Mutex<HashMap<ChangeId, Change>>);

#[derive(Debug)]
struct Change {
    /// Without its root key.
    staged: Staged,
    root: Root,
    by: u32,
    at: Instant,
}

/// Locked memory for the root key of a change.
#[derive(Debug)]
pub(super) struct Root(Locked);

impl Root {
    /// A place, before there is a key to put in.
    ///
    /// # Errors
    /// Where no more memory can be locked.
    pub(super) fn reserve() -> io::Result<Self> {
        Locked::new(RootKey::LEN).map(Self)
    }
}

impl Changes {
    /// Keeps a change of the local user `by`, its root key at `root`.
    ///
    /// # Errors
    /// The change itself, when there are too many.
    pub(super) fn keep(
        &self,
        mut staged: Staged,
        mut root: Root,
        by: u32,
        now: Instant,
    ) -> Result<ChangeId, Staged> {
        let mut changes = self.changes();
        changes.retain(|_, change| now.duration_since(change.at) < PATIENCE);
        let place = root.0.expose_mut().first_chunk_mut();
        let Some(place) = place.filter(|_| changes.len() < MOST) else { return Err(staged) };
        staged.put_away(place);
        let id = secret::random_bytes();
        changes.insert(id, Change { staged, root, by, at: now });
        Ok(id)
    }

    /// Takes a change out, if it is of the local user `by`.
    pub(super) fn take(&self, id: ChangeId, by: u32, now: Instant) -> Option<Staged> {
        let mut changes = self.changes();
        changes.retain(|_, change| now.duration_since(change.at) < PATIENCE);
        if changes.get(&id)?.by != by {
            return None;
        }
        let Change { mut staged, root, .. } = changes.remove(&id)?;
        staged.take_back(root.0.expose().first_chunk()?);
        Some(staged)
    }

    /// Forgets those that took too long.
    pub(super) fn sweep(&self, now: Instant) {
        self.changes().retain(|_, change| now.duration_since(change.at) < PATIENCE);
    }

    /// Forgets all of them.
    pub(super) fn clear(&self) {
        self.changes().clear();
    }

    fn changes(&self) -> MutexGuard<'_, HashMap<ChangeId, Change>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

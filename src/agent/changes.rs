//! Password changes between "staged" and "committed": in memory only, by a name that cannot be guessed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::lifecycle::passwd::Staged;
use crate::secret;

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
    staged: Staged,
    by: u32,
    at: Instant,
}

impl Changes {
    /// Keeps a change of the local user `by`; `None` when there are too many.
    pub(super) fn keep(&self, staged: Staged, by: u32, now: Instant) -> Option<ChangeId> {
        let mut changes = self.changes();
        changes.retain(|_, change| now.duration_since(change.at) < PATIENCE);
        if changes.len() >= MOST {
            return None;
        }
        let id = secret::random_bytes();
        changes.insert(id, Change { staged, by, at: now });
        Some(id)
    }

    /// Takes a change out, if it is of the local user `by`.
    pub(super) fn take(&self, id: ChangeId, by: u32, now: Instant) -> Option<Staged> {
        let mut changes = self.changes();
        changes.retain(|_, change| now.duration_since(change.at) < PATIENCE);
        if changes.get(&id)?.by != by {
            return None;
        }
        changes.remove(&id).map(|change| change.staged)
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

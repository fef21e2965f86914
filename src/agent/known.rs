//! What the agent remembers of users' key records from one login to the next: which version it saw,
//! and what was wrong.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::keys::files::{DirectoryError, KeyDirectory};
use crate::log;
use crate::sys::file::Version;
use crate::user::User;

/// What a login has to know of a record before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    /// The record's file.
    pub(super) file: Version,
    /// What the record counts as its version.
    pub(super) version: u64,
    /// How many key pairs there are.
    pub(super) keys: usize,
    /// What Argon2 takes at most, in KiB.
    pub(super) memory_kib: u32,
}

/// Of everybody who was asked for since the agent began.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<User, Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    facts: Option<Facts>,
    /// The highest version so far.
    highest: u64,
    diverged: bool,
    /// The record is an older one than was there before: a sentence.
    older: Option<String>,
    /// Record and public half do not agree: a sentence.
    problem: Option<String>,
}

impl Known {
    /// What there is to know of the user's record; `None` for a user who has none. A record that was
    /// not seen before is read.
    ///
    /// # Errors
    /// When it cannot be read or is of no use.
    pub(super) fn look(
        &self,
        keys: &KeyDirectory,
        user: &User,
    ) -> Result<Option<Facts>, DirectoryError> {
        let Some(file) = keys.version(user)? else { return Ok(None) };
        let seen = self.users().get(user).and_then(|user| user.facts);
        if let Some(facts) = seen.filter(|facts| facts.file == file) {
            return Ok(Some(facts));
        }
        let Some(record) = keys.record(user)? else { return Ok(None) };
        let facts = Facts {
            file,
            version: record.version(),
            keys: record.key_count(),
            memory_kib: record.memory_kib(),
        };
        self.see(user, facts);
        Ok(Some(facts))
    }

    /// Takes note of a record; complains once about one that is older than another was.
    fn see(&self, user: &User, facts: Facts) {
        let mut users = self.users();
        let remembered = users.entry(user.clone()).or_default();
        remembered.facts = Some(facts);
        if facts.version >= remembered.highest {
            remembered.highest = facts.version;
            remembered.older = None;
            return;
        }
        let older = format!(
            "the key record of {user} is an older copy (version {}, there was {}): a password that \
             was changed since may unlock it again",
            facts.version, remembered.highest
        );
        if remembered.older.as_ref() != Some(&older) {
            log::agent_problem(&older);
            remembered.older = Some(older);
        }
    }

    /// Takes note of whether record and public half agree; complains once.
    pub(super) fn agrees(&self, user: &User, problem: Option<String>) {
        let mut users = self.users();
        let remembered = users.entry(user.clone()).or_default();
        if let Some(problem) = problem.as_ref().filter(|_| remembered.problem != problem) {
            log::agent_problem(problem);
        }
        remembered.problem = problem;
    }

    /// Takes note that the login password opens nothing, or that a password does again; says the first
    /// once.
    pub(super) fn diverged(&self, user: &User, is_diverged: bool) {
        let mut users = self.users();
        let remembered = users.entry(user.clone()).or_default();
        if is_diverged && !remembered.diverged {
            log::agent_problem(&diverged(user));
        }
        remembered.diverged = is_diverged;
    }

    /// What is wrong with the user's keys, a sentence each.
    pub(super) fn problems(&self, user: &User) -> Vec<String> {
        let users = self.users();
        let Some(remembered) = users.get(user) else { return Vec::new() };
        let diverged = remembered.diverged.then(|| diverged(user));
        let others = [&remembered.older, &remembered.problem].into_iter().flatten().cloned();
        diverged.into_iter().chain(others).collect()
    }

    fn users(&self) -> MutexGuard<'_, HashMap<User, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn diverged(user: &User) -> String {
    format!(
        "the login password of {user} was changed without the keys: `nightsafe passwd {user}` with the \
         old password, or a recovery code, mends it"
    )
}

//! Public halves for a process that stays: kept for as long as nobody can have changed them unseen.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::sys::file::Version;
use crate::user::User;

use super::directory::{LookUpError, PublicDirectory};
use super::public::{PublicFolder, PublicHalf};

/// How long a public half is taken for current without a look at its file.
const FRESH: Duration = Duration::from_millis(500);
/// How long it is kept at all.
const KEPT: Duration = Duration::from_secs(60);
/// How many are kept.
const MAX_KEPT: usize = 20_000;

/// The folder of public halves, by its path: no file in it is held open, so that its disk can be
/// unmounted, and what has changed on it is seen within a second.
#[derive(Debug)]
pub struct CachedFolder {
    keys: PathBuf,
    site: String,
    halves: Mutex<HashMap<User, Kept>>,
}

#[derive(Debug)]
struct Kept {
    half: PublicHalf,
    version: Version,
    read: Instant,
    seen: Instant,
}

impl CachedFolder {
    /// The folder below the key directory `keys`, which must belong to `site`.
    pub fn new(keys: PathBuf, site: String) -> Self {
        Self { keys, site, halves: Mutex::default() }
    }

    fn halves(&self) -> MutexGuard<'_, HashMap<User, Kept>> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that is kept, when its file was looked at just now.
    fn fresh(&self, user: &User, now: Instant) -> Option<PublicHalf> {
        let halves = self.halves();
        let kept = halves.get(user)?;
        (now.duration_since(kept.seen) < FRESH).then(|| kept.half.clone())
    }

    /// The one that is kept, when its file is still of this version.
    fn same(&self, user: &User, version: &Version, now: Instant) -> Option<PublicHalf> {
        let mut halves = self.halves();
        let kept = halves.get_mut(user)?;
        let same = kept.version == *version && now.duration_since(kept.read) < KEPT;
        same.then(|| {
            kept.seen = now;
            kept.half.clone()
        })
    }
}

impl PublicDirectory for CachedFolder {
    fn has_at_hand(&self, user: &User) -> bool {
        self.fresh(user, Instant::now()).is_some()
    }

    fn find(&self, user: &User) -> Result<Option<PublicHalf>, LookUpError> {
        let now = Instant::now();
        if let Some(half) = self.fresh(user, now) {
            return Ok(Some(half));
        }
        let folder = PublicFolder::open(&self.keys, Some(&self.site))?;
        // The version comes before the content: a file that is replaced between the two is read again.
        let version = folder.version(user)?;
        if let Some(half) = version.as_ref().and_then(|version| self.same(user, version, now)) {
            return Ok(Some(half));
        }
        self.halves().remove(user);
        let (Some(half), Some(version)) = (folder.find(user)?, version) else { return Ok(None) };
        let mut halves = self.halves();
        if halves.len() >= MAX_KEPT {
            halves.clear();
        }
        halves.insert(user.clone(), Kept { half: half.clone(), version, read: now, seen: now });
        Ok(Some(half))
    }
}

//! A site's keys through the library: what the agent does with them, which no command does.

use std::path::Path;

use nightsafe::config::Config;
use nightsafe::keys::files::KeyDirectory;
use nightsafe::keys::record::Record;
use nightsafe::keys::site_secrets::SiteSecrets;
use nightsafe::keys::{SlotKind, SlotState};
use nightsafe::lifecycle::enroll::{enroll, enroll_provisional};
use nightsafe::lifecycle::error::LoginError;
use nightsafe::lifecycle::login::{Login, login};
use nightsafe::lifecycle::passwd::{self, Staged};
use nightsafe::lifecycle::secrets;
use nightsafe::user::User;

use super::Site;

/// The clock of these tests, in seconds: one that stands still.
pub const NOW: u64 = 1_800_000_000;

pub struct Care {
    pub keys: KeyDirectory,
    pub secrets: SiteSecrets,
    pub user: User,
    pub now: u64,
}

impl Care {
    /// For alice, who is not enrolled by this.
    pub fn of(site: &Site) -> Self {
        Self::of_user(site, "alice")
    }

    pub fn of_user(site: &Site, user: &str) -> Self {
        Self::at(&site.config(), user)
    }

    /// For the site of this configuration file.
    pub fn at(config: &Path, user: &str) -> Self {
        let config = Config::load(Some(config)).unwrap();
        let after_write = &config.keys.after_write;
        Self {
            keys: KeyDirectory::open(&config.keys.directory, None, after_write).unwrap(),
            secrets: secrets::load(&config.keys).unwrap(),
            user: User::parse(user).unwrap(),
            now: NOW,
        }
    }

    /// The same some time later.
    #[must_use]
    pub fn later(self, seconds: u64) -> Self {
        Self { now: self.now + seconds, ..self }
    }

    #[track_caller]
    pub fn enroll(&self, password: &str) {
        enroll(&self.keys, &self.user, password.as_bytes(), None, &self.secrets, self.now).unwrap();
    }

    #[track_caller]
    pub fn enroll_provisional(&self) {
        enroll_provisional(&self.keys, &self.user, &self.secrets, self.now).unwrap();
    }

    /// A login that the backend has confirmed.
    pub fn login(&self, password: &str) -> Result<Login, LoginError> {
        let password = password.as_bytes();
        login(&self.keys, &self.user, password, &self.secrets, true, self.now)
    }

    /// A login that nobody has confirmed.
    pub fn try_login(&self, password: &str) -> Result<Login, LoginError> {
        let password = password.as_bytes();
        login(&self.keys, &self.user, password, &self.secrets, false, self.now)
    }

    pub fn stage(&self, old: &str, new: &str) -> Result<Staged, LoginError> {
        let (old, new) = (old.as_bytes(), new.as_bytes());
        passwd::stage(&self.keys, &self.user, old, new, &self.secrets, self.now)
    }

    pub fn commit(&self, staged: Staged) -> Result<(), LoginError> {
        passwd::commit(&self.keys, staged)
    }

    pub fn abort(&self, staged: Staged) -> Result<(), LoginError> {
        passwd::abort(&self.keys, staged)
    }

    #[track_caller]
    pub fn record(&self) -> Record {
        self.keys.record(&self.user).unwrap().unwrap()
    }

    /// The states of the password slots, in the order in which they were made.
    #[track_caller]
    pub fn passwords(&self) -> Vec<SlotState> {
        let record = self.record();
        let slots = record.slots().iter().filter(|slot| slot.kind() == SlotKind::Password);
        slots.map(nightsafe::keys::Slot::state).collect()
    }

    /// Which of these passwords unlock; nothing is written by asking.
    #[track_caller]
    pub fn unlocking<'a>(&self, passwords: &[&'a str]) -> Vec<&'a str> {
        let before = self.record();
        let unlocks = |password: &&&str| self.try_login(password).is_ok();
        let unlocking = passwords.iter().filter(unlocks).copied().collect();
        assert_eq!(self.record(), before);
        unlocking
    }
}

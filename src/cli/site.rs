//! The site as the commands of logins and key care see it: with both halves of the keys.

use std::path::Path;

use crate::config::Config;
use crate::keys::files::KeyDirectory;
use crate::keys::record::Record;
use crate::keys::site_secrets::SiteSecrets;
use crate::lifecycle::secrets;
use crate::lifecycle::unlock::disagreement;
use crate::user::{Canonical, User};

use super::exit::{Failure, complain};

/// Configuration and rules.
pub(super) struct Site {
    pub(super) config: Config,
    pub(super) rules: Canonical,
}

impl Site {
    pub(super) fn load(config: Option<&Path>) -> Result<Self, Failure> {
        let config = Config::load(config)?;
        let rules = config.users.canonical()?;
        Ok(Self { config, rules })
    }

    pub(super) fn user(&self, name: &str) -> Result<User, Failure> {
        Ok(self.rules.login(name)?)
    }

    pub(super) fn keys(&self) -> Result<KeyDirectory, Failure> {
        let keys = &self.config.keys;
        Ok(KeyDirectory::open(&keys.directory, None, &keys.after_write)?)
    }

    pub(super) fn secrets(&self) -> Result<SiteSecrets, Failure> {
        Ok(secrets::load(&self.config.keys)?)
    }
}

/// Says where record and public half disagree: a login is when somebody looks.
pub(super) fn warn_of_disagreement(keys: &KeyDirectory, user: &User, record: &Record) {
    if let Ok(Some(problem)) = disagreement(keys, user, record) {
        complain("warning", &problem);
    }
}

/// A point in time as people read it (RFC 3339, UTC).
pub(super) fn shown_time(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    mail_parser::DateTime::from_timestamp(seconds).to_rfc3339()
}

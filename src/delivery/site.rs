//! What a delivery needs of the site, opened once: rules, policy, public keys, sealing key.

use std::fmt;

use crate::config::{Config, ConfigError};
use crate::keys::SiteError;
use crate::keys::cached::CachedFolder;
use crate::keys::directory::PublicDirectory;
use crate::keys::public::PublicFolder;
use crate::seal::{ClearHeaders, ClearHeadersError, Fixed, SealingKey, SiteKeyError};
use crate::user::Canonical;

use super::Delivery;
use super::policy::Policy;

/// The site, as far as delivery may see it.
#[derive(Debug)]
pub struct Site {
    users: Canonical,
    policy: Policy,
    keys: Box<dyn PublicDirectory>,
    sealing_key: SealingKey,
    fixed: Fixed,
}

impl Site {
    /// Opens what the configuration names, for one delivery.
    ///
    /// # Errors
    /// What is missing or of no use; everything is deferred then, whatever the policy.
    pub fn open(config: &Config) -> Result<Self, SiteProblem> {
        Self::with_keys(config, |folder, _| Box::new(folder))
    }

    /// The same for a process that stays, which sees what changes in the key directory.
    ///
    /// # Errors
    /// What is missing or of no use.
    pub fn open_to_stay(config: &Config) -> Result<Self, SiteProblem> {
        let keys = config.keys.directory.clone();
        Self::with_keys(config, |_, site| Box::new(CachedFolder::new(keys, site.to_owned())))
    }

    fn with_keys(
        config: &Config,
        keys: impl FnOnce(PublicFolder, &str) -> Box<dyn PublicDirectory>,
    ) -> Result<Self, SiteProblem> {
        let users = config.users.canonical()?;
        let sealing_key = SealingKey::load(&config.keys.sealing_key)?;
        let folder = PublicFolder::open(&config.keys.directory, Some(sealing_key.site()))?;
        Ok(Self {
            policy: Policy::new(&config.delivery, &users),
            keys: keys(folder, sealing_key.site()),
            fixed: fixed(config)?,
            sealing_key,
            users,
        })
    }

    /// Ready to deliver.
    pub fn delivery(&self) -> Delivery<'_> {
        Delivery {
            users: &self.users,
            policy: &self.policy,
            keys: self.keys.as_ref(),
            site: &self.sealing_key,
            fixed: &self.fixed,
        }
    }
}

/// The outer message's fixed text from `[seal]`.
///
/// # Errors
/// When there is no usable domain, or a clear header that cannot be one.
pub fn fixed(config: &Config) -> Result<Fixed, SiteProblem> {
    let seal = &config.seal;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if seal.domain.is_empty() || !seal.domain.bytes().all(plain) {
        return Err(SiteProblem::Domain(seal.domain.clone()));
    }
    let one_line = |text: &str| text.replace(char::is_control, " ");
    Ok(Fixed {
        domain: seal.domain.to_ascii_lowercase(),
        from: one_line(&seal.from),
        subject: one_line(&seal.subject),
        notice: seal.notice.lines().flat_map(|line| [line, "\r\n"]).collect(),
        clear_headers: ClearHeaders::new(&seal.clear_headers)?,
    })
}

/// What is in the way of delivery to anybody.
#[derive(Debug)]
pub enum SiteProblem {
    /// The configuration.
    Config(ConfigError),
    /// The key folders.
    Keys(SiteError),
    /// The sealing key.
    SiteKey(SiteKeyError),
    /// `[seal] clear_headers`
    ClearHeaders(ClearHeadersError),
    /// `[seal] domain`
    Domain(String),
}

impl From<ConfigError> for SiteProblem {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<SiteError> for SiteProblem {
    fn from(error: SiteError) -> Self {
        Self::Keys(error)
    }
}

impl From<SiteKeyError> for SiteProblem {
    fn from(error: SiteKeyError) -> Self {
        Self::SiteKey(error)
    }
}

impl From<ClearHeadersError> for SiteProblem {
    fn from(error: ClearHeadersError) -> Self {
        Self::ClearHeaders(error)
    }
}

impl fmt::Display for SiteProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Keys(error) => error.fmt(f),
            Self::SiteKey(error) => error.fmt(f),
            Self::ClearHeaders(error) => write!(f, "[seal] clear_headers: {error}"),
            Self::Domain(domain) if domain.is_empty() => f.write_str("[seal] domain is not set"),
            Self::Domain(domain) => write!(f, "[seal] domain {domain:?} is no domain"),
        }
    }
}

impl std::error::Error for SiteProblem {}

//! The configuration: one TOML file, its tables named after the module that reads them, unknown keys
//! refused. What is read becomes types that cannot be wrong; without a file the defaults hold.
//!
//! Layer 2.

mod agent;
mod bounds;
mod imap;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::secret::SecretBytes;
use crate::sys::file::{self, FileError};
use crate::sys::socket::Address;
use crate::user::{Canonical, Domains};

pub use agent::{Agent, Operation};
pub use imap::{Endpoint, Imap};

/// Where the configuration lies unless somebody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/nightsafe/nightsafe.toml";
/// Names another place.
pub const PATH_VARIABLE: &str = "NIGHTSAFE_CONFIG";
/// The largest configuration file, in octets.
pub const MAX_CONFIG_BYTES: u64 = 1024 * 1024;
/// The largest map file, in octets.
pub const MAX_MAP_BYTES: u64 = 64 * 1024 * 1024;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[keys]`
    pub keys: Keys,
    /// `[users]`
    pub users: Users,
    /// `[seal]`
    pub seal: Seal,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[lmtp]`
    pub lmtp: Lmtp,
    /// `[agent]`
    pub agent: Agent,
    /// `[imap]`
    pub imap: Imap,
}

/// `[keys]`: where the site's secrets lie.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// `public/` and `private/` lie below it.
    pub directory: PathBuf,
    /// The pepper's file.
    pub pepper: PathBuf,
    /// The provisional key's file; there need be none.
    pub provisional_key: PathBuf,
    /// The file of the public recovery key; escrow is off when empty.
    pub recovery_key: PathBuf,
    /// The sealing key's file; the ring lies beside it.
    pub sealing_key: PathBuf,
    /// A command, run after each write of a key record with the record's path as its last argument.
    pub after_write: Vec<String>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            directory: "/var/lib/nightsafe/keys".into(),
            pepper: "/etc/nightsafe/pepper".into(),
            provisional_key: "/etc/nightsafe/provisional.key".into(),
            recovery_key: PathBuf::new(),
            sealing_key: "/etc/nightsafe/sealing.key".into(),
            after_write: Vec::new(),
        }
    }
}

/// `[users]`: how an address or a login name becomes a user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Users {
    /// Characters that begin the detail in `user+detail`.
    pub recipient_delimiter: String,
    /// Whether ASCII letters become lower case.
    pub lowercase: bool,
    /// Appended to a bare user name when it is set.
    pub default_domain: String,
    /// Whether a@x.org and a@y.org are two users.
    pub domains: DomainRule,
    /// A file of lines `address-or-login user`; none when empty.
    pub map: PathBuf,
}

impl Default for Users {
    fn default() -> Self {
        Self {
            recipient_delimiter: "+".into(),
            lowercase: true,
            default_domain: String::new(),
            domains: DomainRule::Keep,
            map: PathBuf::new(),
        }
    }
}

/// `[users] domains`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DomainRule {
    /// They are two users.
    Keep,
    /// They are one.
    Drop,
}

/// `[seal]`: what the outer message shows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seal {
    /// The domain of the outer From and Message-ID. It has no default.
    pub domain: String,
    /// The display name of the outer From.
    pub from: String,
    /// The outer Subject.
    pub subject: String,
    /// The text that a reader without a key sees.
    pub notice: String,
    /// Header fields of the original that stay readable.
    pub clear_headers: Vec<String>,
}

impl Default for Seal {
    fn default() -> Self {
        Self {
            domain: String::new(),
            from: "Sealed mail".into(),
            subject: "Sealed message".into(),
            notice: "This message is sealed: only its owner can read it, after logging in.\n"
                .into(),
            clear_headers: Vec::new(),
        }
    }
}

/// `[delivery]`: what happens to whose mail.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// What happens to mail for somebody who is not enrolled.
    pub unenrolled: Unenrolled,
    /// The largest message that is taken, in octets.
    pub max_message_bytes: u64,
    /// Addresses whose mail is handed on as it came.
    pub pass: Vec<String>,
    /// When not empty: the only addresses whose mail is sealed, all other mail is handed on as it
    /// came.
    pub seal_only: Vec<String>,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            unenrolled: Unenrolled::Defer,
            max_message_bytes: 128 * 1024 * 1024,
            pass: Vec::new(),
            seal_only: Vec::new(),
        }
    }
}

/// `[delivery] unenrolled`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unenrolled {
    /// The MTA tries again later.
    Defer,
    /// The message is handed on as it came.
    Pass,
    /// The sender gets it back.
    Reject,
}

/// `[lmtp]`: the pre-delivery hook. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lmtp {
    /// Where it listens, unless the service manager hands sockets over.
    pub listen: Vec<Address>,
    /// The permission bits of a Unix socket in `listen`.
    #[serde(deserialize_with = "bounds::mode")]
    pub socket_mode: u32,
    /// The store's LMTP server.
    pub backend: Address,
    /// Who logs in there; nobody when empty.
    pub backend_user: String,
    /// Holds the password of `backend_user`.
    pub backend_password_file: PathBuf,
    /// How many connections to the store there may be.
    #[serde(deserialize_with = "bounds::count")]
    pub backend_connections: usize,
    /// How long one is kept that nobody uses.
    #[serde(deserialize_with = "bounds::seconds")]
    pub backend_keep: u64,
    /// How long one may take to come up.
    #[serde(deserialize_with = "bounds::timeout")]
    pub backend_connect_timeout: u64,
    /// How long most replies may take, and each piece of a letter.
    #[serde(deserialize_with = "bounds::timeout")]
    pub backend_reply_timeout: u64,
    /// How long the reply to the end of a letter may take.
    #[serde(deserialize_with = "bounds::timeout")]
    pub backend_data_timeout: u64,
    /// How many clients may be connected.
    #[serde(deserialize_with = "bounds::count")]
    pub connections: usize,
    /// How many of them may be one host's or one local user's.
    #[serde(deserialize_with = "bounds::count")]
    pub connections_per_client: usize,
    /// How many recipients a message may have.
    #[serde(deserialize_with = "bounds::count")]
    pub recipients: usize,
    /// How long a client may take for a command.
    #[serde(deserialize_with = "bounds::timeout")]
    pub command_timeout: u64,
    /// How long it may take for each piece of a message.
    #[serde(deserialize_with = "bounds::timeout")]
    pub data_timeout: u64,
    /// Memory for all messages in hand, in octets.
    pub memory_bytes: u64,
    /// How long a message waits for memory or for a connection to the store.
    #[serde(deserialize_with = "bounds::seconds")]
    pub wait_timeout: u64,
    /// How long what is in flight may take after SIGTERM.
    #[serde(deserialize_with = "bounds::seconds")]
    pub stop_timeout: u64,
    /// Where metrics can be read; nowhere when empty.
    #[serde(deserialize_with = "bounds::local")]
    pub metrics: Vec<Address>,
}

impl Default for Lmtp {
    fn default() -> Self {
        Self {
            listen: vec![Address::Unix("/run/nightsafe/lmtp".into())],
            socket_mode: 0o660,
            backend: Address::Unix("/run/cyrus/socket/lmtp".into()),
            backend_user: String::new(),
            backend_password_file: PathBuf::new(),
            backend_connections: 20,
            backend_keep: 10,
            backend_connect_timeout: 30,
            backend_reply_timeout: 300,
            backend_data_timeout: 600,
            connections: 1000,
            connections_per_client: 500,
            recipients: 1000,
            command_timeout: 300,
            data_timeout: 180,
            memory_bytes: 512 * 1024 * 1024,
            wait_timeout: 60,
            stop_timeout: 60,
            metrics: Vec::new(),
        }
    }
}

impl Lmtp {
    /// The settings in which `new` differs and which a running service does not take over.
    pub fn left_by_reload(&self, new: &Self) -> Vec<&'static str> {
        let differs = [
            ("listen", self.listen != new.listen),
            ("socket_mode", self.socket_mode != new.socket_mode),
            ("memory_bytes", self.memory_bytes != new.memory_bytes),
            // For the store it is taken over, for memory not.
            ("wait_timeout", self.wait_timeout != new.wait_timeout),
            ("metrics", self.metrics != new.metrics),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

impl Config {
    /// Reads the file at `path`, or the one at the default place if there is one.
    ///
    /// # Errors
    /// When it cannot be read or has something in it that no module knows.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let chosen = path.unwrap_or(Path::new(DEFAULT_PATH));
        match file::read(chosen, MAX_CONFIG_BYTES) {
            Ok(bytes) => Self::of(chosen, bytes.expose()),
            Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            Err(error) => Err(ConfigError::File(error)),
        }
    }

    /// The same of `bytes`, which somebody else read at `path`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn of(path: &Path, bytes: &[u8]) -> Result<Self, ConfigError> {
        let wrong = |problem: String| ConfigError::Wrong { path: path.to_owned(), problem };
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("is not UTF-8".into()))?;
        toml::from_str(text).map_err(|error| {
            let place = error.span().map_or_else(String::new, |span| place(text, span.start));
            wrong(format!("{place}{}", error.message().replace('\n', ", ")))
        })
    }
}

/// The line at octet `at`, and the setting whose value begins there.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let number = 1 + before.matches('\n').count();
    let line = before.rsplit('\n').next().unwrap_or_default();
    match line.split_once('=') {
        Some((setting, _)) => format!("line {number}: {}: ", setting.trim()),
        None => format!("line {number}: "),
    }
}

impl Users {
    /// The rules, with the map file read.
    ///
    /// # Errors
    /// When the map file cannot be read or a line of it is wrong.
    pub fn canonical(&self) -> Result<Canonical, ConfigError> {
        let map = self.map_file().map(|map| file::read(map, MAX_MAP_BYTES)).transpose()?;
        self.canonical_with(map.as_ref().map(SecretBytes::expose))
    }

    /// The map file, where there is one.
    pub fn map_file(&self) -> Option<&Path> {
        (!self.map.as_os_str().is_empty()).then_some(&self.map)
    }

    /// The rules with what somebody else read in the map file.
    ///
    /// # Errors
    /// When a line of it is wrong.
    pub fn canonical_with(&self, map: Option<&[u8]>) -> Result<Canonical, ConfigError> {
        let mut rules = Canonical {
            delimiters: self.recipient_delimiter.clone(),
            lowercase: self.lowercase,
            default_domain: self.default_domain.clone(),
            domains: match self.domains {
                DomainRule::Keep => Domains::Keep,
                DomainRule::Drop => Domains::Drop,
            },
            ..Canonical::default()
        };
        if let Some(map) = map {
            fill(&mut rules, map).map_err(|(line, problem)| ConfigError::Wrong {
                path: self.map.clone(),
                problem: format!("line {line}: {problem}"),
            })?;
        }
        Ok(rules)
    }
}

fn fill(rules: &mut Canonical, bytes: &[u8]) -> Result<(), (usize, String)> {
    let text = std::str::from_utf8(bytes).map_err(|_| (1, "not UTF-8".to_owned()))?;
    for (number, line) in text.lines().enumerate() {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (None, ..) => {}
            (Some(comment), ..) if comment.starts_with('#') => {}
            (Some(address), Some(user), None) => {
                let added = rules.add_to_map(address, user);
                added.map_err(|error| (number + 1, error.to_string()))?;
            }
            _ => return Err((number + 1, "not of the form \"address user\"".to_owned())),
        }
    }
    Ok(())
}

/// A configuration that is of no use.
#[derive(Debug)]
pub enum ConfigError {
    /// A file cannot be read.
    File(FileError),
    /// Something in it is wrong.
    Wrong {
        /// The file.
        path: PathBuf,
        /// What and where.
        problem: String,
    },
}

impl From<FileError> for ConfigError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Wrong { path, problem } => write!(f, "{}: {problem}", path.display()),
        }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::of(Path::new("x.toml"), text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_and_errors() {
        assert_eq!(parse("").unwrap(), Config::default());
        let read =
            parse("[delivery]\nunenrolled = \"pass\"\n[users]\ndomains = \"drop\"\n").unwrap();
        assert_eq!(read.delivery.unenrolled, Unenrolled::Pass);
        assert_eq!(read.users.domains, DomainRule::Drop);
        for (bad, says) in [
            ("[keys]\n\ndirektory = \"x\"\n", "x.toml: line 3: unknown field `direktory`"),
            ("[nonsense]\n", "x.toml: line 1: unknown field `nonsense`"),
            ("[delivery]\nunenrolled = \"drop\"\n", "x.toml: line 2: unenrolled: unknown variant"),
            ("[delivery]\nmax_message_bytes = -1\n", "x.toml: line 2: max_message_bytes: "),
            ("[lmtp]\nrecipients = 0\n", "x.toml: line 2: recipients: 0 is none"),
            ("[imap]\nconnections = 0\n", "x.toml: line 2: connections: 0 is none"),
            ("[agent]\nconnections_per_client = 0", "x.toml: line 2: connections_per_client: 0"),
            ("[lmtp]\ndata_timeout = 0\n", "x.toml: line 2: data_timeout: 0 seconds are no time"),
            ("[imap]\nidle_timeout = 99999999999\n", "x.toml: line 2: idle_timeout: 99999999999"),
            ("[lmtp]\nsocket_mode = 0o1777\n", "x.toml: line 2: socket_mode: 0o1777 is no mode"),
            ("[lmtp]\nmetrics = [\"inet:0.0.0.0:1\"]\n", "x.toml: line 2: metrics: inet:0.0.0.0:1"),
            ("[lmtp]\nlisten = [\n\"x\"]\n", "x.toml: line 2: listen: \"x\" is not"),
            ("[seal\n", "x.toml: line 1: "),
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.starts_with(says), "{error}");
            assert!(!error.contains('\n'));
        }
    }

    #[test]
    fn map_lines() {
        let mut rules = Canonical::default();
        fill(&mut rules, b"# comment\n\npostmaster@x.org\talice\nu1 bob\n").unwrap();
        assert_eq!(rules.login("u1").unwrap().as_str(), "bob");
        assert_eq!(fill(&mut rules, b"a\n").unwrap_err().0, 1);
        assert_eq!(fill(&mut rules, b"a b\na ../b\n").unwrap_err().0, 2);
    }
}

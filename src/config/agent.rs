//! `[agent]`

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::sys::socket::Address;

use super::bounds;

/// `[agent]`: the daemon that holds unlocked keys. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Agent {
    /// Where it listens, unless the service manager hands a socket over, and where it is asked.
    pub socket: PathBuf,
    /// The permission bits of the socket.
    #[serde(deserialize_with = "bounds::mode")]
    pub socket_mode: u32,
    /// Whom those who ask believe to be the agent, beside root and themselves.
    pub user: String,
    /// What local users may ask for, by name or number, beside what everybody may.
    pub allow: BTreeMap<String, Vec<Operation>>,
    /// How long a user's keys stay when the last lease has ended, or when nobody took one.
    #[serde(deserialize_with = "bounds::seconds")]
    pub linger: u64,
    /// How long they stay at most after the password was given last, leases or not.
    #[serde(deserialize_with = "bounds::timeout")]
    pub lifetime: u64,
    /// How many Argon2 runs there may be at a time, 64 MiB each; one for each core when 0.
    pub argon2_runs: usize,
    /// How many logins may wait for one.
    pub argon2_waiting: usize,
    /// How long one may wait.
    #[serde(deserialize_with = "bounds::seconds")]
    pub wait_timeout: u64,
    /// How many connections there may be.
    #[serde(deserialize_with = "bounds::count")]
    pub connections: usize,
    /// How many of them may be one local user's, other than root.
    #[serde(deserialize_with = "bounds::count")]
    pub connections_per_client: usize,
    /// Whether users without keys get them when they log in.
    pub enroll_at_login: bool,
    /// Where metrics can be read; nowhere when empty.
    #[serde(deserialize_with = "bounds::local")]
    pub metrics: Vec<Address>,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            socket: "/run/nightsafe/agent".into(),
            socket_mode: 0o666,
            user: "nightsafe-agent".into(),
            allow: BTreeMap::new(),
            linger: 600,
            lifetime: 24 * 3600,
            argon2_runs: 0,
            argon2_waiting: 256,
            wait_timeout: 30,
            connections: 8192,
            connections_per_client: 4096,
            enroll_at_login: false,
            metrics: Vec::new(),
        }
    }
}

impl Agent {
    /// Which settings differ in `other` that only a restart changes.
    pub fn left_by_reload(&self, other: &Self) -> Vec<&'static str> {
        let differs = [
            ("socket", self.socket != other.socket),
            ("socket_mode", self.socket_mode != other.socket_mode),
            ("argon2_runs", self.argon2_runs != other.argon2_runs),
            ("argon2_waiting", self.argon2_waiting != other.argon2_waiting),
            ("wait_timeout", self.wait_timeout != other.wait_timeout),
            ("metrics", self.metrics != other.metrics),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

/// What a local user may be allowed to ask the agent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// To say that the site's login has accepted a password; to enrol; to check app passwords; to hold
    /// the keys of whoever is unlocked.
    Login,
    /// To read the mail of whoever is unlocked.
    Read,
    /// To change passwords, with the old one.
    Change,
    /// To see who is unlocked, and to lock them.
    Manage,
}

//! The agent: one daemon that holds unlocked keys and gives out content keys, never a private key.
//!
//! Layer 4. [`protocol`] is what is said on its socket, [`client`] who asks.
//!
//! ```text
//! connection (frames, limits) → requests (who may) → logins → turns, guesses, gate (who waits)
//!     → lifecycle::login → vault (locked memory) ; recover → vault → content keys
//! ```

mod changes;
pub mod client;
mod connection;
mod gate;
mod guesses;
pub mod identity;
mod known;
mod logins;
mod metrics;
mod passwords;
pub mod protocol;
mod requests;
mod rights;
pub mod runner;
pub mod sandbox;
mod server;
mod tags;
mod turns;
mod vault;

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::{sleep, sleep_until};

use crate::age::PublicKey;
use crate::config;
use crate::keys::files::KeyDirectory;
use crate::keys::site_secrets::SiteSecrets;
use crate::log;
use crate::secret;
use crate::sys::{accounts, clock};
use crate::user::Canonical;

use changes::Changes;
use gate::Gate;
use guesses::Guesses;
use known::Known;
use metrics::Metrics;
use protocol::Reply;
use rights::Rights;
use tags::BootKey;
use turns::Turns;
use vault::{Times, Vault};

pub use rights::UnknownUser;

/// What a login, its Argon2 run and its ciphers reach down on the stack, in octets, and more.
const SCRUBBED_BYTES: usize = 128 * 1024;
/// How often old one-time keys are looked for.
const HOUSEKEEPING: Duration = Duration::from_secs(3600);

/// What a reload replaces.
#[derive(Debug)]
struct Current {
    rules: Canonical,
    rights: Rights,
    settings: config::Agent,
    secrets: SiteSecrets,
}

impl Current {
    fn new(
        settings: &config::Agent,
        rules: Canonical,
        users: &str,
        secrets: SiteSecrets,
    ) -> Result<Self, AgentProblem> {
        let rights = Rights::new(&settings.allow, users).map_err(AgentProblem::Unknown)?;
        Ok(Self { rules, rights, settings: settings.clone(), secrets })
    }

    fn times(&self) -> Times {
        Times {
            linger: Duration::from_secs(self.settings.linger),
            lifetime: Duration::from_secs(self.settings.lifetime),
        }
    }
}

/// The daemon's state.
#[derive(Debug)]
pub struct Agent {
    keys: KeyDirectory,
    current: RwLock<Arc<Current>>,
    boot: BootKey,
    vault: Arc<Vault>,
    known: Known,
    guesses: Arc<Guesses>,
    gate: Gate,
    turns: Turns,
    changes: Changes,
    metrics: Metrics,
    /// Batches that are opened at a time: more would only take turns on the cores.
    recoveries: Semaphore,
    /// How long a login may wait.
    patience: Duration,
}

impl Agent {
    /// An agent that holds nobody's keys yet.
    ///
    /// # Errors
    /// When the settings name nobody, or no memory can be locked.
    pub fn new(
        settings: &config::Agent,
        rules: Canonical,
        keys: KeyDirectory,
        secrets: SiteSecrets,
    ) -> Result<Arc<Self>, AgentProblem> {
        let current = Current::new(settings, rules, &accounts::users(), secrets)?;
        let patience = Duration::from_secs(settings.wait_timeout);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Arc::new(Self {
            boot: BootKey::generate().map_err(AgentProblem::Memory)?,
            gate: Gate::new(settings.argon2_runs, settings.argon2_waiting, patience),
            vault: Arc::new(Vault::new(current.times())),
            current: RwLock::new(Arc::new(current)),
            known: Known::default(),
            guesses: Arc::default(),
            turns: Turns::new(),
            changes: Changes::default(),
            metrics: Metrics::default(),
            recoveries: Semaphore::new(cores),
            patience,
            keys,
        }))
    }

    /// Takes other settings and rules, with the local `users` of /etc/passwd and the site's `recovery`
    /// key as somebody read them. The socket, the bounds of Argon2 and the other secrets stay as they
    /// were.
    ///
    /// # Errors
    /// When the settings name nobody; everything stays as it was.
    pub fn reload(
        &self,
        settings: &config::Agent,
        rules: Canonical,
        users: &str,
        recovery: Option<PublicKey>,
    ) -> Result<(), AgentProblem> {
        let before = self.current();
        let is_other = before.secrets.recovery != recovery;
        let secrets = SiteSecrets { recovery, ..before.secrets.clone() };
        let current = Current::new(settings, rules, users, secrets)?;
        self.vault.set_times(current.times());
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(current);
        if is_other {
            // Each record gets or loses a slot at the next login, which must not be let in without one.
            self.vault.forget_passwords();
        }
        Ok(())
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is counted, as it is now.
    pub fn metrics(&self) -> String {
        self.metrics.text(self.vault.count(), self.gate.waiting())
    }

    /// The memory that all Argon2 runs together have at most, in octets.
    pub fn argon2_bound(&self) -> u64 {
        self.gate.bound()
    }

    /// Runs what reads files or computes for long, away from the connections. What it leaves on its
    /// stack is overwritten.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Reply> + Send + 'static,
    ) -> Result<T, Reply> {
        let agent = Arc::clone(self);
        let worked = tokio::task::spawn_blocking(move || {
            let done = work(&agent);
            secret::scrub_stack::<SCRUBBED_BYTES>();
            done
        });
        let panicked = || Reply::Unavailable { reason: "internal error".to_owned() };
        worked.await.unwrap_or_else(|_| Err(panicked()))
    }

    /// Removes the one-time keys of recoveries that nobody has ended in time, for as long as it is polled.
    async fn keep_house(self: Arc<Self>) {
        loop {
            let swept = tokio::task::spawn_blocking({
                let agent = Arc::clone(&self);
                move || agent.keys.sweep_recoveries(clock::now())
            });
            if let Ok(Err(problem)) = swept.await {
                log::recovery_kept(&problem);
            }
            sleep(HOUSEKEEPING).await;
        }
    }

    /// Wipes keys whose time has come, for as long as it is polled.
    async fn keep_time(self: Arc<Self>) {
        loop {
            let now = Instant::now();
            let (ended, next) = self.vault.sweep(now);
            for user in &ended {
                log::agent_locked(user, "nobody reads any more, or the password is due again");
            }
            self.changes.sweep(now);
            let next = next.unwrap_or(now + Duration::from_secs(60));
            tokio::select! {
                () = sleep_until(next.min(now + Duration::from_secs(60)).into()) => {}
                () = self.vault.changed() => {}
            }
        }
    }
}

/// Why there is no agent.
#[derive(Debug)]
pub enum AgentProblem {
    /// A setting names nobody.
    Unknown(UnknownUser),
    /// No memory can be locked.
    Memory(io::Error),
}

impl fmt::Display for AgentProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(problem) => problem.fmt(f),
            Self::Memory(cause) => write!(f, "no memory can be locked: {cause}"),
        }
    }
}

impl std::error::Error for AgentProblem {}

//! `nightsafe imap`: what there is of the proxy that does I/O.
//!
//! ```text
//! connection (TLS, login) → lease (the agent) · backend (the store, logged in as the client is)
//!     → session (commands in turn) → append (sealed on the way in) · fetch, search (opened on the way
//!     out) · places (where sealed mail may lie)
//! ```
//!
//! One client has one connection to the store and one lease at the agent. His commands are worked off in
//! their order; what the store says meanwhile is passed on.

mod append;
mod backend;
mod batch;
mod cache;
mod certificate;
mod client;
mod connection;
mod evaluation;
mod fetch;
mod lease;
mod metrics;
mod offer;
mod opening;
mod origin;
mod places;
mod reader;
mod room;
mod search;
mod session;
mod show;
mod tls;
mod transport;
mod wire;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{self, Config};
use crate::delivery::site::{Site, SiteProblem};
use crate::log;
use crate::seal::{Ring, SiteKeyError};
use crate::service::clients::{Clients, Limits};
use crate::service::memory::Budget;
use crate::service::{self, Accepting};
use crate::sys::socket::{Listener, Peer, Stream};

use cache::Cache;
use lease::AgentAddress;
use metrics::Metrics;
use tls::Tls;

pub use certificate::{Validity, Worth, validity};
pub use offer::{Offer, ask_for_offer};
pub use tls::TlsProblem;

/// The port of IMAP over TLS (RFC 8314 §3.2), for sockets of the service manager.
const TLS_PORT: &str = ":993";

/// How often what was opened is looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// The service.
#[derive(Debug)]
pub struct Service {
    current: RwLock<Arc<Current>>,
    budget: Arc<Budget>,
    clients: Arc<Clients>,
    cache: Arc<Cache>,
    metrics: Metrics,
}

/// What a reload replaces.
#[derive(Debug)]
struct Current {
    site: Site,
    /// Whose signatures count.
    ring: Arc<Ring>,
    agent: AgentAddress,
    tls: Tls,
    settings: config::Imap,
    max_message_bytes: u64,
    /// How long what was opened is kept after a user's last session: as long as the agent keeps his keys.
    linger: Duration,
}

impl Service {
    /// Makes a service ready as the configuration says. Nobody is connected to yet.
    ///
    /// # Errors
    /// What is missing or of no use.
    pub fn open(config: &Config) -> Result<Arc<Self>, ServiceProblem> {
        let wait = Duration::from_secs(config.imap.wait_timeout);
        let budget = Arc::new(Budget::new(config.imap.memory_bytes, wait));
        check_memory(config, &budget)?;
        Ok(Arc::new(Self {
            current: RwLock::new(Arc::new(Current::open(config)?)),
            budget,
            clients: Arc::default(),
            cache: Cache::new(config.imap.cache_bytes),
            metrics: Metrics::default(),
        }))
    }

    /// Takes another configuration for the clients to come. What is listened at and the memory stay as they
    /// were.
    ///
    /// # Errors
    /// What is missing or of no use; everything stays as it was.
    pub fn reload(&self, config: &Config) -> Result<(), ServiceProblem> {
        check_memory(config, &self.budget)?;
        let current = Arc::new(Current::open(config)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(())
    }

    /// What is counted, as it is now.
    pub fn metrics(&self) -> String {
        self.metrics.connections.set(i64::try_from(self.clients.count()).unwrap_or(i64::MAX));
        self.metrics.cached.set(i64::try_from(self.cache.octets()).unwrap_or(i64::MAX));
        self.metrics.text()
    }

    /// Serves the clients of all `listeners` until `stop` says so; then they are told, and what is in flight
    /// is finished within the time that the configuration gives it.
    pub async fn serve(self: &Arc<Self>, listeners: Vec<Listener>, stop: watch::Receiver<bool>) {
        let mut accepting = Accepting::new();
        for listener in listeners {
            let is_tls = self.is_tls(&listener);
            let (proxy, stopping) = (Arc::clone(self), stop.clone());
            let begin = move |stream, peer| proxy.begin(stream, is_tls, peer, &stopping);
            accepting.spawn(service::accept(listener, stop.clone(), begin));
        }
        let sweeping = tokio::spawn(sweep(Arc::clone(self)));
        let patience = || Duration::from_secs(self.current().settings.stop_timeout);
        let unfinished = service::finish(accepting, patience).await;
        if unfinished.is_some() {
            log::stopped_short("imap", self.clients.count());
        }
        sweeping.abort();
    }

    /// Whether TLS is spoken from the first octet on at a listener's address.
    fn is_tls(&self, listener: &Listener) -> bool {
        let current = self.current();
        let address = listener.address();
        match current.settings.listen.iter().find(|endpoint| endpoint.is_at(&address)) {
            Some(endpoint) => endpoint.is_tls,
            None => current.tls.is_offered() && address.ends_with(TLS_PORT),
        }
    }

    fn begin(
        self: &Arc<Self>,
        stream: Stream,
        is_tls: bool,
        peer: Peer,
        stop: &watch::Receiver<bool>,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let current = self.current();
        let limits = Limits {
            in_all: current.settings.connections,
            per_client: current.settings.connections_per_client,
        };
        let Some(admission) = self.clients.admit(&peer, limits, || self.budget.share()) else {
            self.metrics.refused_connections.inc();
            self.clients.log_turned_away("imap", &peer, limits);
            if !is_tls {
                connection::turn_away(&stream);
            }
            return None;
        };
        let proxy = Arc::clone(self);
        Some(connection::serve(proxy, stream, is_tls, peer, admission, stop.clone()))
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Forgets what lingered long enough, and what belongs to somebody whose keys are gone: no lease of his tells
/// that when he is not there.
async fn sweep(service: Arc<Service>) {
    let cache = &service.cache;
    let mut clock = interval(SWEEP);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        cache.sweep();
        let lingering = cache.lingering();
        if !lingering.is_empty() {
            // Who says nothing has no keys.
            let unlocked = lease::unlocked(&service.current().agent).await.unwrap_or_default();
            cache.forget_absent(lingering.iter().filter(|user| !unlocked.contains(*user)));
        }
    }
}

impl Current {
    fn open(config: &Config) -> Result<Self, ServiceProblem> {
        let settings = config.imap.clone();
        Ok(Self {
            site: Site::open_to_stay(config)?,
            ring: Arc::new(Ring::load(&config.keys.sealing_key)?),
            agent: AgentAddress::new(&config.agent),
            tls: Tls::open(&settings)?,
            max_message_bytes: config.delivery.max_message_bytes,
            linger: Duration::from_secs(config.agent.linger),
            settings,
        })
    }

    /// The largest message that a client may append, in octets.
    fn largest_append(&self) -> u64 {
        self.max_message_bytes
    }
}

/// Whether the configuration is one that the service can run with.
///
/// # Errors
/// What is missing or of no use.
pub fn check(config: &Config) -> Result<(), ServiceProblem> {
    check_memory(config, &Budget::new(config.imap.memory_bytes, Duration::ZERO))?;
    Tls::open(&config.imap)?;
    Ok(())
}

fn check_memory(config: &Config, budget: &Budget) -> Result<(), ServiceProblem> {
    let needed = Budget::needed(config.delivery.max_message_bytes);
    if needed > budget.largest() {
        return Err(ServiceProblem::Memory { needed: needed / 3 * 4 + 4096 });
    }
    Ok(())
}

/// What is in the way of the service.
#[derive(Debug)]
pub enum ServiceProblem {
    /// The site.
    Site(SiteProblem),
    /// The verification keys.
    Ring(SiteKeyError),
    /// Certificates.
    Tls(TlsProblem),
    /// `[imap] memory_bytes` is too little for the largest message.
    Memory {
        /// How much it needs, in octets.
        needed: u64,
    },
    /// The store cannot be asked.
    Store {
        /// Where it should be.
        address: String,
        /// What it did instead.
        problem: String,
    },
}

impl From<SiteProblem> for ServiceProblem {
    fn from(problem: SiteProblem) -> Self {
        Self::Site(problem)
    }
}

impl From<SiteKeyError> for ServiceProblem {
    fn from(error: SiteKeyError) -> Self {
        Self::Ring(error)
    }
}

impl From<TlsProblem> for ServiceProblem {
    fn from(problem: TlsProblem) -> Self {
        Self::Tls(problem)
    }
}

impl fmt::Display for ServiceProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site(problem) => problem.fmt(f),
            Self::Ring(error) => error.fmt(f),
            Self::Tls(problem) => problem.fmt(f),
            Self::Store { address, problem } => write!(f, "{address}: {problem}"),
            Self::Memory { needed } => write!(
                f,
                "[imap] memory_bytes must be at least {needed} for [delivery] max_message_bytes, \
                 and a change of it takes a restart"
            ),
        }
    }
}

impl std::error::Error for ServiceProblem {}

//! `nightsafe lmtp`, the pre-delivery hook: an LMTP server (RFC 2033) between the MTA and the store's
//! own.
//!
//! ```text
//! connection (I/O, limits) → line, command, data (what the client says) → transaction (one message)
//!     → delivering (its recipients) → delivery (decide, seal) → way → next_hop::lmtp (the store)
//!     → outcome → reply
//! ```
//!
//! The store is asked about each recipient before the client is answered, and its refusal wins. Then
//! every sealed copy is handed over by itself, and each recipient is answered when the store has it.

pub mod command;
mod connection;
pub mod data;
mod delivering;
mod incoming;
mod input;
mod metrics;
pub mod reply;
mod transaction;
mod way;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{self, Config};
use crate::log;
use crate::service::clients::{Clients, Limits};
use crate::service::memory::Budget;
use crate::service::{self, Accepting};
use crate::sys::file::{self, FileError};
use crate::sys::socket::{Address, Listener, Peer, Stream};

use super::Decision;
use super::next_hop::lmtp::{Login, Pool, Server, Timeouts};
use super::site::{Site, SiteProblem};
use command::MAX_LINE_BYTES;
use connection::Connection;

pub use metrics::Metrics;

/// How often idle connections to the store are looked at.
const SWEEP: Duration = Duration::from_secs(1);
const MAX_PASSWORD_FILE_BYTES: u64 = 4096;

/// The service.
#[derive(Debug)]
pub struct Service {
    current: RwLock<Arc<Current>>,
    budget: Arc<Budget>,
    clients: Arc<Clients>,
    metrics: Arc<Metrics>,
}

/// What a reload replaces.
#[derive(Debug)]
struct Current {
    site: Site,
    pool: Arc<Pool>,
    settings: config::Lmtp,
    max_message_bytes: u64,
}

impl Service {
    /// Makes a service ready as the configuration says. Nobody is connected to yet.
    ///
    /// # Errors
    /// What is missing or of no use.
    pub fn open(config: &Config) -> Result<Arc<Self>, ServiceProblem> {
        let wait = Duration::from_secs(config.lmtp.wait_timeout);
        let budget = Arc::new(Budget::new(config.lmtp.memory_bytes, wait));
        check(config)?;
        let current = Current::open(config)?;
        Ok(Arc::new(Self {
            current: RwLock::new(Arc::new(current)),
            budget,
            clients: Arc::default(),
            metrics: Arc::default(),
        }))
    }

    /// Takes another configuration for the transactions to come, and for those whose data is still
    /// coming; nothing goes to the store in the clear that it would have sealed. What is listened at and
    /// the memory budget stay as they were.
    ///
    /// # Errors
    /// What is missing or of no use; everything stays as it was.
    pub fn reload(&self, config: &Config) -> Result<(), ServiceProblem> {
        // With the budget that there is, and with the one that the next start would have.
        check_memory(config, &self.budget)?;
        check(config)?;
        let current = Arc::new(Current::open(config)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(())
    }

    /// What is counted, as it is now.
    pub fn metrics(&self) -> String {
        let connections = i64::try_from(self.clients.count()).unwrap_or(i64::MAX);
        self.metrics.connections.set(connections);
        self.metrics.memory_free.set(self.budget.free());
        let idle = i64::try_from(self.current().pool.kept_count()).unwrap_or(i64::MAX);
        self.metrics.store_idle.set(idle);
        self.metrics.text()
    }

    /// Serves the clients of all `listeners` until `stop` says so; then what is in flight is finished,
    /// within the time that the configuration gives it.
    pub async fn serve(self: &Arc<Self>, listeners: Vec<Listener>, stop: watch::Receiver<bool>) {
        let mut accepting = Accepting::new();
        for listener in listeners {
            let (hook, stopping) = (Arc::clone(self), stop.clone());
            let begin = move |stream, peer| hook.begin(stream, peer, &stopping);
            accepting.spawn(service::accept(listener, stop.clone(), begin));
        }
        let sweeping = tokio::spawn(Arc::clone(self).sweep());
        let patience = || Duration::from_secs(self.current().settings.stop_timeout);
        let unfinished = service::finish(accepting, patience).await;
        if unfinished.is_some() {
            log::stopped_short("lmtp", self.clients.count());
        }
        sweeping.abort();
    }

    fn begin(
        self: &Arc<Self>,
        stream: Stream,
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
            self.clients.log_turned_away("lmtp", &peer, limits);
            connection::turn_away(&stream);
            return None;
        };
        let connection = Connection::new(Arc::clone(self), stream, peer, admission, stop.clone());
        Some(connection.serve())
    }

    async fn sweep(self: Arc<Self>) {
        let mut clock = interval(SWEEP);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            self.current().pool.sweep().await;
        }
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Current {
    fn open(config: &Config) -> Result<Self, ServiceProblem> {
        let settings = config.lmtp.clone();
        let pool = Pool::new(
            server(&settings)?,
            settings.backend_connections,
            Duration::from_secs(settings.wait_timeout),
            Duration::from_secs(settings.backend_keep),
        );
        Ok(Self {
            site: Site::open_to_stay(config)?,
            pool: Arc::new(pool),
            max_message_bytes: config.delivery.max_message_bytes,
            settings,
        })
    }

    /// What is to be done for a recipient.
    fn decide(&self, address: &str) -> Decision {
        let delivery = self.site.delivery();
        if delivery.has_at_hand(address) {
            delivery.decide(address)
        } else {
            // A disk that does not answer holds up this transaction and no other one.
            block_in_place(|| delivery.decide(address))
        }
    }
}

/// Whether the configuration is one that the service can run with.
///
/// # Errors
/// When it would hand on to itself, or `memory_bytes` does not let the largest message in.
pub fn check(config: &Config) -> Result<(), ServiceProblem> {
    if config.lmtp.listen.contains(&config.lmtp.backend) {
        return Err(ServiceProblem::Itself(config.lmtp.backend.clone()));
    }
    check_memory(config, &Budget::new(config.lmtp.memory_bytes, Duration::ZERO))
}

fn check_memory(config: &Config, budget: &Budget) -> Result<(), ServiceProblem> {
    // With the line that is put on top of a message.
    let largest = config.delivery.max_message_bytes.saturating_add(MAX_LINE_BYTES as u64);
    let needed = Budget::needed(largest);
    if needed > budget.largest() {
        return Err(ServiceProblem::Memory { needed: needed / 3 * 4 + 4096 });
    }
    Ok(())
}

/// The store as the configuration has it.
///
/// # Errors
/// When the password file cannot be read.
pub fn server(settings: &config::Lmtp) -> Result<Server, ServiceProblem> {
    let login = if settings.backend_user.is_empty() {
        None
    } else {
        let path = &settings.backend_password_file;
        if path.as_os_str().is_empty() {
            return Err(ServiceProblem::Password(None));
        }
        let read = file::read(path, MAX_PASSWORD_FILE_BYTES);
        let mut password = read.map_err(|error| ServiceProblem::Password(Some(error)))?;
        let line_end = password.expose().iter().rev().take_while(|b| matches!(b, b'\r' | b'\n'));
        let length = password.len() - line_end.count();
        password.truncate(length);
        Some(Arc::new(Login { user: settings.backend_user.clone(), password }))
    };
    Ok(Server {
        address: settings.backend.clone(),
        login,
        timeouts: Timeouts {
            connect: Duration::from_secs(settings.backend_connect_timeout),
            reply: Duration::from_secs(settings.backend_reply_timeout),
            end_of_data: Duration::from_secs(settings.backend_data_timeout),
        },
    })
}

/// What is in the way of the service.
#[derive(Debug)]
pub enum ServiceProblem {
    /// The site.
    Site(SiteProblem),
    /// `[lmtp] backend_password_file` cannot be read, or is not set.
    Password(Option<FileError>),
    /// `[lmtp] backend` is where the service itself listens.
    Itself(Address),
    /// `[lmtp] memory_bytes` is too little for the largest message.
    Memory {
        /// How much it needs, in octets.
        needed: u64,
    },
}

impl From<SiteProblem> for ServiceProblem {
    fn from(problem: SiteProblem) -> Self {
        Self::Site(problem)
    }
}

impl fmt::Display for ServiceProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site(problem) => problem.fmt(f),
            Self::Password(None) => {
                f.write_str("[lmtp] backend_user is set, and backend_password_file is not")
            }
            Self::Password(Some(error)) => write!(f, "[lmtp] backend_password_file: {error}"),
            Self::Itself(address) => {
                write!(f, "[lmtp] backend: {address} is nightsafe's own, by [lmtp] listen")
            }
            Self::Memory { needed } => write!(
                f,
                "[lmtp] memory_bytes must be at least {needed} for [delivery] max_message_bytes, \
                 and a change of it takes a restart"
            ),
        }
    }
}

impl std::error::Error for ServiceProblem {}

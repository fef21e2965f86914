//! The agent's socket: who may connect, and the end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::log;
use crate::service;
use crate::sys::socket::{Listener, Peer};

use super::Agent;
use super::connection;

/// How many large requests there may be in memory, a megabyte each.
const MAX_LARGE: usize = 16;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) agent: Arc<Agent>,
    pub(super) stopping: watch::Receiver<bool>,
    /// Leave to read a large request.
    pub(super) large: Semaphore,
    open: Mutex<HashMap<u32, usize>>,
}

impl Agent {
    /// Serves everybody at `listeners` until `stopping` says so. Then all keys are wiped and all
    /// connections end.
    pub async fn serve(self: Arc<Self>, listeners: Vec<Listener>, stopping: watch::Receiver<bool>) {
        let shared = Arc::new(Shared {
            agent: Arc::clone(&self),
            stopping: stopping.clone(),
            large: Semaphore::new(MAX_LARGE),
            open: Mutex::default(),
        });
        let time = tokio::spawn(Arc::clone(&self).keep_time());
        let house = tokio::spawn(Arc::clone(&self).keep_house());
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(accept(Arc::clone(&shared), listener));
        }
        let mut stopped = stopping;
        let _ = stopped.wait_for(|stop| *stop).await;
        time.abort();
        house.abort();
        self.changes.clear();
        for user in self.vault.lock_all() {
            log::agent_locked(&user, "the agent stops");
        }
        while accepting.join_next().await.is_some() {}
    }
}

/// Accepts connections until the end, and sees the last of them go.
async fn accept(shared: Arc<Shared>, listener: Listener) {
    let stopping = shared.stopping.clone();
    let begin = |stream, peer| match peer {
        // Others have no uid, and nothing to ask for.
        Peer::User(uid) => Some(connection::serve(stream, uid, Admission::of(&shared, uid)?)),
        Peer::Host(_) => None,
    };
    let mut served = service::accept(listener, stopping, begin).await;
    while served.join_next().await.is_some() {}
}

/// One connection that was let in, until it is dropped.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) shared: Arc<Shared>,
    uid: u32,
}

impl Admission {
    /// `None` when there are too many: in all, or of one local user. Root is one user for many.
    fn of(shared: &Arc<Shared>, uid: u32) -> Option<Self> {
        let current = shared.agent.current();
        let settings = &current.settings;
        let mut open = shared.open();
        let in_all: usize = open.values().sum();
        let own = open.entry(uid).or_default();
        if in_all >= settings.connections || uid != 0 && *own >= settings.connections_per_client {
            drop(open);
            shared.agent.metrics.refused_connections.inc();
            return None;
        }
        *own += 1;
        Some(Self { shared: Arc::clone(shared), uid })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.shared.open();
        if let Some(own) = open.get_mut(&self.uid) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                open.remove(&self.uid);
            }
        }
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, HashMap<u32, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

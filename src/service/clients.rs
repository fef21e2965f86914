//! How many connections there may be, in all and of one client.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::log;
use crate::sys::socket::Peer;

use super::memory::Share;

/// How long it is no news that clients are not let in.
const KNOWN: Duration = Duration::from_secs(60);

/// Who is connected.
#[derive(Debug, Default)]
pub struct Clients {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    connections: usize,
    clients: HashMap<Peer, (usize, Share)>,
    /// When it was news that one was not let in.
    told: Option<Instant>,
}

/// How many there may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of all clients.
    pub in_all: usize,
    /// Of one.
    pub per_client: usize,
}

/// One connection that was let in, until it is dropped.
#[derive(Debug)]
pub struct Admission {
    clients: Arc<Clients>,
    peer: Peer,
    /// The client's share of the memory.
    pub share: Share,
}

impl Clients {
    /// Lets a connection of `peer` in; `None` when there are too many. The first one of a client gets
    /// a `share` for all of them.
    pub fn admit(
        self: &Arc<Self>,
        peer: &Peer,
        limits: Limits,
        share: impl FnOnce() -> Share,
    ) -> Option<Admission> {
        let mut open = self.open();
        if open.connections >= limits.in_all || limits.per_client == 0 {
            return None;
        }
        let share = match open.clients.entry(peer.clone()) {
            Entry::Occupied(mut client) => {
                let (connections, share) = client.get_mut();
                if *connections >= limits.per_client {
                    return None;
                }
                *connections += 1;
                share.clone()
            }
            Entry::Vacant(vacant) => vacant.insert((1, share())).1.clone(),
        };
        open.connections += 1;
        Some(Admission { clients: Arc::clone(self), peer: peer.clone(), share })
    }

    /// Logs that `peer` was not let in, unless the log has a line of that already.
    pub fn log_turned_away(&self, service: &str, peer: &Peer, limits: Limits) {
        let now = Instant::now();
        let mut open = self.open();
        if open.told.is_none_or(|told| now.duration_since(told) >= KNOWN) {
            open.told = Some(now);
            drop(open);
            log::turned_away(service, peer, limits.in_all, limits.per_client);
        }
    }

    /// How many connections there are.
    pub fn count(&self) -> usize {
        self.open().connections
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.clients.open();
        open.connections = open.connections.saturating_sub(1);
        if let Entry::Occupied(mut client) = open.clients.entry(self.peer.clone()) {
            client.get_mut().0 -= 1;
            if client.get().0 == 0 {
                client.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::service::memory::Budget;

    #[test]
    fn one_client_cannot_have_all() {
        let clients = Arc::new(Clients::default());
        let budget = Budget::new(1 << 20, Duration::ZERO);
        let limits = Limits { in_all: 3, per_client: 2 };
        let admit = |uid| clients.admit(&Peer::User(uid), limits, || budget.share());
        let (first, second) = (admit(1).unwrap(), admit(1).unwrap());
        assert!(admit(1).is_none());
        let third = admit(2).unwrap();
        assert!(admit(3).is_none());
        drop(first);
        assert!(admit(3).is_some() && admit(1).is_some());
        drop((second, third));
        assert_eq!(clients.count(), 0);
        assert!(clients.open().clients.is_empty());
    }
}

//! Connections to the store that are kept for the next letter, and how many there may be.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::client::{Recipient, Server, Session};
use super::offer::Offer;
use super::reply::{Problem, Step};

/// Whoever waits longer than this for a connection gets one that is in use and idle.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long a connection may take to be ready for another letter. A new one is as good.
const RESET_PATIENCE: Duration = Duration::from_secs(2);

/// The connections to one server.
#[derive(Debug)]
pub(in crate::delivery) struct Pool {
    server: Server,
    /// A permit for each connection that there may be in use.
    permits: Arc<Semaphore>,
    /// How many have waited for one of them for too long.
    starving: watch::Sender<usize>,
    /// How long somebody waits for one of them.
    wait: Duration,
    /// How long a connection is kept that nobody uses.
    keep: Duration,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The one used last comes last.
    idle: Vec<(Session, Instant)>,
    /// What the server offered when it was last connected to.
    offer: Option<Offer>,
}

impl Pool {
    /// At most `most` connections to `server`, for one of which somebody waits for `wait` at most;
    /// those that are not in use are kept for `keep`.
    pub(in crate::delivery) fn new(
        server: Server,
        most: usize,
        wait: Duration,
        keep: Duration,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(most));
        let starving = watch::Sender::new(0);
        Self { server, permits, starving, wait, keep, kept: Mutex::default() }
    }

    /// The server.
    pub(in crate::delivery) fn server(&self) -> &Server {
        &self.server
    }

    /// A connection: one that was kept, or a new one.
    pub(in crate::delivery) async fn take(self: &Arc<Self>) -> Result<Lease, Problem> {
        let mut acquire = pin!(Arc::clone(&self.permits).acquire_owned());
        let permit = match timeout(PATIENCE, &mut acquire).await {
            Ok(permit) => permit.ok(),
            Err(_) => {
                let _starving = Starving::new(&self.starving);
                timeout(self.wait, acquire).await.ok().and_then(Result::ok)
            }
        };
        let permit = permit.ok_or_else(|| {
            let what = "all of [lmtp] backend_connections are in use";
            Problem::io(Step::Connect, io::ErrorKind::TimedOut, what)
        })?;
        let session = match self.kept_one() {
            Some(session) => session,
            None => self.open().await?,
        };
        Ok(Lease { pool: Arc::clone(self), session: Some(session), _permit: permit })
    }

    /// What the server offers: when it was last connected to, else now.
    pub(in crate::delivery) async fn offer(self: &Arc<Self>) -> Result<Offer, Problem> {
        if let Some(offer) = self.kept().offer {
            return Ok(offer);
        }
        let mut lease = self.take().await?;
        Ok(lease.session().await?.offer())
    }

    /// Waits until somebody has waited too long for a connection: whoever has one and does nothing with
    /// it gives it back.
    pub(in crate::delivery) async fn wanted(&self) {
        let _ = self.starving.subscribe().wait_for(|starving| *starving > 0).await;
    }

    async fn open(&self) -> Result<Session, Problem> {
        let session = Session::open(&self.server).await?;
        self.kept().offer = Some(session.offer());
        Ok(session)
    }

    fn kept_one(&self) -> Option<Session> {
        loop {
            let (session, _) = self.kept().idle.pop()?;
            if session.is_sound() {
                return Some(session);
            }
        }
    }

    /// Takes leave of connections that nobody has used for a while.
    pub(in crate::delivery) async fn sweep(&self) {
        let old: Vec<_> = {
            let mut kept = self.kept();
            let old = kept.idle.iter().take_while(|(_, since)| since.elapsed() >= self.keep);
            let count = old.count();
            kept.idle.drain(..count).collect()
        };
        for (session, _) in old {
            let _ = timeout(RESET_PATIENCE, session.quit()).await;
        }
    }

    /// How many connections are kept that nobody uses.
    pub(in crate::delivery) fn kept_count(&self) -> usize {
        self.kept().idle.len()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits for a connection.
struct Starving<'a>(&'a watch::Sender<usize>);

impl<'a> Starving<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|starving| *starving += 1);
        Self(count)
    }
}

impl Drop for Starving<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|starving| *starving -= 1);
    }
}

/// A connection in use. It goes back when it is dropped, if it is sound and no transaction is open.
#[derive(Debug)]
pub(in crate::delivery) struct Lease {
    pool: Arc<Pool>,
    session: Option<Session>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// The connection; a new one when it was given up, or is not sound any more: what the server says
    /// there next may be the answer to something else.
    pub(in crate::delivery) async fn session(&mut self) -> Result<&mut Session, Problem> {
        let session = match self.session.take().filter(Session::is_sound) {
            Some(session) => session,
            None => self.pool.open().await?,
        };
        Ok(self.session.insert(session))
    }

    /// Tells the server that a letter for exactly these recipients comes next, if it was asked about
    /// them. Whatever is in the way comes out at the hand-over.
    pub(in crate::delivery) async fn foresee(&mut self, recipients: &[Recipient]) {
        if let Some(session) = self.session.as_mut().filter(|session| session.is_sound())
            && session.foresee(recipients).await.is_err()
        {
            self.session = None;
        }
    }

    /// The connection for a letter to `recipients`: the one on which the server waits for it, else as
    /// [`Self::session`].
    pub(in crate::delivery) async fn session_for(
        &mut self,
        recipients: &[Recipient],
    ) -> Result<&mut Session, Problem> {
        match self.session.take() {
            Some(session) if session.waits_for(recipients) => Ok(self.session.insert(session)),
            session => {
                self.session = session;
                self.session().await
            }
        }
    }

    /// Ends an open transaction.
    pub(in crate::delivery) async fn reset(&mut self) {
        if let Some(mut session) = self.session.take().filter(Session::is_sound)
            && matches!(timeout(RESET_PATIENCE, session.reset()).await, Ok(Ok(())))
        {
            self.session = Some(session);
        }
    }

    /// Gives the connection up; the next use has a new one.
    pub(in crate::delivery) fn give_up(&mut self) {
        self.session = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(session) = self.session.take().filter(|session| session.is_idle()) {
            self.pool.kept().idle.push((session, Instant::now()));
        }
    }
}

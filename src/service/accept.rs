//! Connections, as they come in until a daemon is told to stop.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::log;
use crate::sys::socket::{Listener, Peer, Stream};

/// How long to wait before the next connection when the kernel has none to give.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until `stop` says so. `begin` makes of each what serves it, or turns it away.
/// Gives back those that are still being served.
pub async fn accept<F>(
    listener: Listener,
    mut stop: watch::Receiver<bool>,
    begin: impl Fn(Stream, Peer) -> Option<F>,
) -> JoinSet<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut served = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Some(serving) = begin(stream, peer) {
                    served.spawn(serving);
                }
            }
            // Out of files, or the client is gone already.
            Err(cause) => {
                log::cannot_accept(&cause);
                sleep(ACCEPT_PAUSE).await;
            }
        }
        while served.try_join_next().is_some() {}
    }
    served
}

/// What all listeners of a daemon serve, each in a task of its own.
pub type Accepting = JoinSet<JoinSet<()>>;

/// Waits until nobody is accepted any more, and then for those who are still being served: as long as
/// `patience` says then. Those who are not done are served until what is given back is dropped.
pub async fn finish(
    mut accepting: Accepting,
    patience: impl FnOnce() -> Duration,
) -> Option<JoinSet<()>> {
    let mut connections = JoinSet::new();
    while let Some(served) = accepting.join_next().await {
        connections.spawn(async move {
            let mut served = served.unwrap_or_default();
            while served.join_next().await.is_some() {}
        });
    }
    let all = async { while connections.join_next().await.is_some() {} };
    let is_done = timeout(patience(), all).await.is_ok();
    (!is_done).then_some(connections)
}

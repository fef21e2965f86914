//! Connections, as they come in until a daemon is told to stop.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::log;
use crate::sys::socket::{Listener, Peer, Stream};

/// How long to wait before the next connection when the kernel has none to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

//! What the service manager tells a daemon (signal(7)) and is told by it (sd_notify(3)).

use std::io;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

/// What a daemon is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// To finish what is in flight, and end (SIGTERM, SIGINT).
    Stop,
    /// To read its configuration again (SIGHUP).
    Reload,
}

/// The signals to this process, from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    /// Catches them.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }
}

/// Tells the service manager that requests are answered from now on.
pub fn tell_ready() {
    tell(&[NotifyState::Ready]);
}

/// Tells it that the configuration is being read again; [`tell_ready`] follows.
pub fn tell_reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// Tells it that the end has begun.
pub fn tell_stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    // Nobody is there to be told when it was started by hand.
    let _ = sd_notify::notify(state);
}

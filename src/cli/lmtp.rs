//! `nightsafe lmtp`: the pre-delivery hook.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Config;
use crate::delivery::lmtp::Service;
use crate::sys::socket::{Address, Listener};

use super::daemon::Daemon;
use super::exit::Failure;

impl Daemon for Service {
    const NAME: &'static str = "lmtp";

    fn open(config: &Config) -> Result<Arc<Self>, Failure> {
        Ok(Self::open(config)?)
    }

    fn reload(&self, config: &Config) -> Result<(), Failure> {
        Ok(self.reload(config)?)
    }

    fn metrics(&self) -> String {
        self.metrics()
    }

    async fn serve(self: &Arc<Self>, listeners: Vec<Listener>, stop: watch::Receiver<bool>) {
        self.serve(listeners, stop).await;
    }

    fn listen(config: &Config) -> Vec<Address> {
        config.lmtp.listen.clone()
    }

    fn connections(config: &Config) -> usize {
        config.lmtp.connections
    }

    fn sockets(config: &Config) -> (u32, &[Address]) {
        (config.lmtp.socket_mode, &config.lmtp.metrics)
    }

    fn left_by_reload(begun_with: &Config, new: &Config) -> Vec<&'static str> {
        begun_with.lmtp.left_by_reload(&new.lmtp)
    }
}

//! `nightsafe imap`: the proxy that mail clients read through.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Config;
use crate::imap::proxy::Service;
use crate::sys::socket::{Address, Listener};

use super::daemon::Daemon;
use super::exit::Failure;

impl Daemon for Service {
    const NAME: &'static str = "imap";

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
        config.imap.listen.iter().map(|endpoint| endpoint.address.clone()).collect()
    }

    fn connections(config: &Config) -> usize {
        config.imap.connections
    }

    fn sockets(config: &Config) -> (u32, &[Address]) {
        (config.imap.socket_mode, &config.imap.metrics)
    }

    fn left_by_reload(begun_with: &Config, new: &Config) -> Vec<&'static str> {
        begun_with.imap.left_by_reload(&new.imap)
    }
}

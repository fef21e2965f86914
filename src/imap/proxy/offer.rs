//! What the store offers before anybody logs in: what `nightsafe check` asks.

use tokio::runtime::Builder;

use crate::config::Config;
use crate::imap::capability::Capabilities;
use crate::sys::process;
use crate::sys::socket::Peer;

use super::ServiceProblem;
use super::backend::{Backend, Failed};
use super::origin::Origin;
use super::tls::Tls;

/// What a store said of itself.
#[derive(Debug)]
pub struct Offer {
    own: Capabilities,
    most: u64,
}

impl Offer {
    /// All of it, in the store's order.
    pub fn names(&self) -> &[String] {
        self.own.names()
    }

    /// What clients will be told of it, if the store offers no more after a login.
    pub fn honoured(&self) -> String {
        self.own.honoured(self.most)
    }

    /// Whether the proxy can log anybody in there.
    pub fn takes_passwords(&self) -> bool {
        self.own.has("AUTH=PLAIN") || !self.own.has("LOGINDISABLED")
    }
}

/// Asks the store at `[imap] backend`, as for a client of this machine.
///
/// # Errors
/// What is in the way.
pub fn ask_for_offer(config: &Config) -> Result<Offer, ServiceProblem> {
    let (settings, most) = (&config.imap, config.delivery.max_message_bytes);
    let away = |failed: Failed| ServiceProblem::Store {
        address: settings.backend.to_string(),
        problem: failed.to_string(),
    };
    let tls = Tls::of_store(settings)?;
    let runtime = Builder::new_current_thread().enable_io().enable_time().build();
    let own = runtime.map_err(|cause| away(cause.into()))?.block_on(async {
        let origin = Origin { peer: Peer::User(process::uid()), tls: None };
        let mut backend = Backend::greeted(settings, &tls, &origin, most).await?;
        let own = std::mem::take(&mut backend.capabilities);
        backend.leave().await;
        Ok(own)
    });
    Ok(Offer { own: own.map_err(away)?, most })
}

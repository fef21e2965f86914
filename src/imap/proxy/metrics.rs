//! What the proxy counts, in Prometheus' text form. No user and no address is named.

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What came of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Login {
    /// The keys are there.
    Unlocked,
    /// The user has none.
    NoKeys,
    /// The user may have some, and they are not there.
    KeysAway,
    /// The store does not take the password.
    Refused,
    /// The store cannot be reached.
    StoreAway,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoginLabel {
    result: Login,
}

/// What became of a message that was fetched or searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Shown {
    /// As it was sealed: opened.
    Opened,
    /// It is not sealed.
    Plain,
    /// It can never be opened, and is shown as stored.
    AsStored,
}

impl Shown {
    /// All of them, in the order of their numbers.
    pub(super) const ALL: [Self; 3] = [Self::Opened, Self::Plain, Self::AsStored];
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShownLabel {
    form: Shown,
}

/// The metrics.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    logins: Family<LoginLabel, Counter>,
    shown: Family<ShownLabel, Counter>,
    appended: Counter,
    /// Clients that were sent away since there are too many.
    pub(super) refused_connections: Counter,
    /// Clients now.
    pub(super) connections: Gauge,
    /// Octets of what was opened and is kept.
    pub(super) cached: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("nightsafe_imap");
        let logins = Family::default();
        registry.register("logins", "Logins by result", Clone::clone(&logins));
        let shown = Family::default();
        registry.register("messages", "Messages whose content was asked for", Clone::clone(&shown));
        let appended = Counter::default();
        registry.register("appended", "Messages that clients stored", appended.clone());
        let refused_connections = Counter::default();
        registry.register("refused_connections", "Clients sent away", refused_connections.clone());
        let connections = Gauge::default();
        registry.register("connections", "Clients that are connected", connections.clone());
        let cached = Gauge::default();
        registry.register("cached_bytes", "Memory for what was opened", cached.clone());
        Self { registry, logins, shown, appended, refused_connections, connections, cached }
    }
}

impl Metrics {
    /// Counts a login.
    pub(super) fn login(&self, result: Login) {
        self.logins.get_or_create(&LoginLabel { result }).inc();
    }

    /// Counts messages whose content was asked for.
    pub(super) fn shown(&self, form: Shown, messages: u64) {
        self.shown.get_or_create(&ShownLabel { form }).inc_by(messages);
    }

    /// Counts a message that a client stored.
    pub(super) fn appended(&self) {
        self.appended.inc();
    }

    /// All of it.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // A string takes everything.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

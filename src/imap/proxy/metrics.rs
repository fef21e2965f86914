//! What the proxy counts, in Prometheus' text form. No user and no address is named.

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What came of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

impl Login {
    const ALL: [Self; 5] =
        [Self::Unlocked, Self::NoKeys, Self::KeysAway, Self::Refused, Self::StoreAway];
}

impl EncodeLabelValue for Login {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let name = match self {
            Self::Unlocked => "unlocked",
            Self::NoKeys => "no_keys",
            Self::KeysAway => "keys_away",
            Self::Refused => "refused",
            Self::StoreAway => "store_away",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoginLabel {
    result: Login,
}

/// What became of a message that was fetched or searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

impl EncodeLabelValue for Shown {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let name = match self {
            Self::Opened => "opened",
            Self::Plain => "plain",
            Self::AsStored => "as_stored",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
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
        let metrics =
            Self { registry, logins, shown, appended, refused_connections, connections, cached };
        // A series that is missing and one that is zero are not the same to an alert.
        for result in Login::ALL {
            drop(metrics.logins.get_or_create(&LoginLabel { result }));
        }
        for form in Shown::ALL {
            metrics.shown(form, 0);
        }
        metrics
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

//! What is counted (Prometheus text form): logins by what became of them, content keys given out, who is
//! unlocked and who waits. Nothing is counted by user.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::protocol::Reply;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    result: &'static str,
}

/// What can become of a login.
const RESULTS: [&str; 7] =
    ["unlocked", "wrong", "diverged", "no_keys", "busy", "unavailable", "refused"];

fn result(reply: &Reply) -> &'static str {
    match reply {
        Reply::Unlocked { .. } => "unlocked",
        Reply::Wrong => "wrong",
        Reply::Diverged => "diverged",
        Reply::NoKeys => "no_keys",
        Reply::Busy { .. } => "busy",
        Reply::Unavailable { .. } => "unavailable",
        _ => "refused",
    }
}

/// All of it.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    logins: Family<OfResult, Counter>,
    /// Logins for which Argon2 ran, or an app password was tried.
    pub(super) trials: Counter,
    pub(super) content_keys: Counter,
    pub(super) refused_connections: Counter,
    users: Gauge,
    waiting: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("nightsafe_agent"),
            logins: Family::default(),
            trials: Counter::default(),
            content_keys: Counter::default(),
            refused_connections: Counter::default(),
            users: Gauge::default(),
            waiting: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let all = &mut self.registry;
        all.register("logins", "Logins by what became of them", self.logins.clone());
        all.register("trials", "Logins that were not known already", self.trials.clone());
        let keys = self.content_keys.clone();
        all.register("content_keys", "Stanzas that readers sent", keys);
        let refused = self.refused_connections.clone();
        all.register("connections_refused", "Connections over the limit", refused);
        all.register("users_unlocked", "Users whose keys are in memory", self.users.clone());
        all.register("logins_waiting", "Logins that wait for Argon2", self.waiting.clone());
        for result in RESULTS {
            // A series that begins at nothing: an alarm can count from there.
            drop(self.logins.get_or_create(&OfResult { result }));
        }
    }

    /// Counts what became of a login.
    pub(super) fn login(&self, reply: &Reply) {
        self.logins.get_or_create(&OfResult { result: result(reply) }).inc();
    }

    /// The text form, with who is unlocked and who waits now.
    pub(super) fn text(&self, users: usize, waiting: usize) -> String {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.users.set(number(users));
        self.waiting.set(number(waiting));
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form() {
        let metrics = Metrics::default();
        metrics.login(&Reply::Wrong);
        metrics.content_keys.inc_by(10_000);
        let text = metrics.text(3, 0);
        for line in [
            "nightsafe_agent_logins_total{result=\"wrong\"} 1",
            "nightsafe_agent_logins_total{result=\"diverged\"} 0",
            "nightsafe_agent_content_keys_total 10000",
            "nightsafe_agent_users_unlocked 3",
            "# EOF",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
    }
}

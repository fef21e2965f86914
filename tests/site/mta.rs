//! What the tests ask of a real MTA, the same for Postfix and Exim: to take a message, and what its log
//! says of each delivery.

use super::process::wait_for;
use super::smtp;

/// Whom the tests write as.
pub const SENDER: &str = "sender@example.net";

/// One attempt to deliver a message to one recipient, as the MTA logged it.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub recipient: String,
    /// `sent`, `deferred` or `bounced`.
    pub status: String,
    /// The enhanced status code, such as `4.3.0`.
    pub dsn: String,
    /// What the next hop said.
    pub text: String,
}

impl Attempt {
    #[track_caller]
    pub fn must_be(&self, status: &str, class: &str) {
        assert!(
            self.status == status && self.dsn.starts_with(class),
            "not {status} {class}: {self:?}"
        );
    }
}

pub trait Mta {
    /// Where it takes mail.
    fn port(&self) -> u16;
    fn log(&self) -> String;
    /// All attempts to deliver this message so far, oldest first.
    fn attempts(&self, id: &str) -> Vec<Attempt>;
    /// The ids of the messages in the queue.
    fn queued(&self) -> Vec<String>;

    /// Hands in a message for one or more recipients; gives its queue id.
    fn submit(&self, recipients: &[&str], message: &[u8]) -> String {
        smtp::submit(self.port(), SENDER, recipients, message)
    }

    /// Waits for the attempt of this number, counted from 1 over all recipients.
    fn attempt(&self, id: &str, number: usize) -> Attempt {
        wait_for(
            "an attempt to deliver",
            || self.log(),
            || self.attempts(id).get(number - 1).cloned(),
        )
    }

    /// Waits until nothing is in the queue, not even a bounce.
    fn wait_until_empty(&self) {
        wait_for("an empty queue", || self.log(), || self.queued().is_empty().then_some(()));
    }
}

//! What the LMTP server says (RFC 5321 §4.2, RFC 3463), but for the outcomes of a delivery.

use std::fmt;

use crate::delivery::outcome::Outcome;

/// One reply of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    /// Enhanced status code and text.
    text: String,
    closes: bool,
}

impl Reply {
    pub(super) fn new(code: u16, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), closes: false }
    }

    /// The same, and the connection ends.
    pub(super) fn and_close(self) -> Self {
        Self { closes: true, ..self }
    }

    /// Whether the connection ends with it.
    pub fn closes(&self) -> bool {
        self.closes
    }

    /// What became of a message for one recipient.
    pub(super) fn of(outcome: &Outcome) -> Self {
        Self::new(outcome.reply_code(), outcome.to_string())
    }

    pub(super) fn ready() -> Self {
        Self::new(220, "nightsafe LMTP")
    }

    pub(super) fn good(text: &str) -> Self {
        Self::new(250, text)
    }

    pub(super) fn go_on() -> Self {
        Self::new(354, "end the message with a line of one dot")
    }

    pub(super) fn bye() -> Self {
        Self::new(221, "2.0.0 good bye").and_close()
    }

    pub(super) fn syntax(text: &str) -> Self {
        Self::new(500, format!("5.5.2 {text}"))
    }

    pub(super) fn arguments(text: &str) -> Self {
        Self::new(501, format!("5.5.4 {text}"))
    }

    pub(super) fn bad_address(text: &str) -> Self {
        Self::new(501, format!("5.1.3 {text}"))
    }

    pub(super) fn unknown_parameter() -> Self {
        Self::new(555, "5.5.4 a parameter that is not offered")
    }

    pub(super) fn unknown_command() -> Self {
        Self::new(500, "5.5.1 unknown command")
    }

    /// RFC 2033 §4.1: an LMTP server is none of SMTP.
    pub(super) fn not_smtp() -> Self {
        Self::new(500, "5.5.1 this is LMTP: begin with LHLO")
    }

    pub(super) fn bad_sequence(text: &str) -> Self {
        Self::new(503, format!("5.5.1 {text}"))
    }

    pub(super) fn too_large() -> Self {
        Self::new(552, "5.3.4 the message is too large")
    }

    pub(super) fn too_many_recipients() -> Self {
        Self::new(452, "4.5.3 too many recipients in one transaction")
    }

    pub(super) fn too_many_errors() -> Self {
        Self::new(421, "4.7.0 too many errors").and_close()
    }

    pub(super) fn too_many_connections() -> Self {
        Self::new(421, "4.3.2 too many connections").and_close()
    }

    pub(super) fn timed_out() -> Self {
        Self::new(421, "4.4.2 nothing came for too long").and_close()
    }

    pub(super) fn going_down() -> Self {
        Self::new(421, "4.3.2 the service is stopping").and_close()
    }

    pub(super) fn store_away() -> Self {
        Self::new(421, "4.4.1 the mail store does not answer").and_close()
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

//! What became of a message for one recipient: the four outcomes, and how a pipe transport says them.
//!
//! The text may be mailed to the sender: it names nothing local and nothing of the message. What the
//! postmaster needs goes to the log.

use std::fmt::{self, Display};

use super::next_hop::Refusal;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The next hop accepted the sealed message.
    Sealed,
    /// Policy says that it is not sealed, and the next hop accepted it as it came.
    Passed,
    /// The next hop refused it for good, or policy does.
    Rejected,
    /// Anything unknown: the MTA tries again.
    Deferred,
}

impl Verdict {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Sealed, Self::Passed, Self::Rejected, Self::Deferred];

    /// Its name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Passed => "passed",
            Self::Rejected => "rejected",
            Self::Deferred => "deferred",
        }
    }
}

/// Statuses of sysexits.h as Postfix's pipe(8) reads them. 74 and 78 would bounce there, and so would
/// the 101 of a panic.
mod status {
    pub(super) const OK: u8 = 0;
    pub(super) const NO_USER: u8 = 67;
    pub(super) const UNAVAILABLE: u8 = 69;
    pub(super) const TEMPORARY_FAILURE: u8 = 75;
}

/// The outcome for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Which of the four.
    pub verdict: Verdict,
    /// The enhanced status code (RFC 3463).
    code: String,
    /// What the sender may read.
    text: String,
    /// What only the log gets.
    detail: Option<String>,
    status: u8,
}

impl Outcome {
    /// The next hop has the sealed message with this outer Message-ID.
    pub fn sealed(message_id: &str) -> Self {
        Self::good(Verdict::Sealed, format!("sealed as {message_id}"))
    }

    /// The next hop has the message as it came.
    pub fn passed() -> Self {
        Self::good(Verdict::Passed, "passed unsealed".to_owned())
    }

    fn good(verdict: Verdict, text: String) -> Self {
        Self { verdict, code: "2.0.0".to_owned(), text, detail: None, status: status::OK }
    }

    fn deferred(code: &str, text: &str, detail: &dyn Display) -> Self {
        Self {
            verdict: Verdict::Deferred,
            code: code.to_owned(),
            text: text.to_owned(),
            detail: Some(detail.to_string()),
            status: status::TEMPORARY_FAILURE,
        }
    }

    fn rejected(code: &str, text: &str, detail: &dyn Display, status: u8) -> Self {
        Self { verdict: Verdict::Rejected, status, ..Self::deferred(code, text, detail) }
    }

    /// Settings or keys of the site are of no use.
    pub fn misconfigured(detail: &dyn Display) -> Self {
        Self::deferred("4.3.5", "the mail system is not ready, the message is kept", detail)
    }

    /// The key directory gave no answer.
    pub fn look_up_failed(detail: &dyn Display) -> Self {
        Self::deferred("4.3.0", "keys cannot be looked up now, the message is kept", detail)
    }

    /// There is no key to seal with, and why: `for_good` or until there is one.
    pub fn no_key(for_good: bool, why: &dyn Display) -> Self {
        let detail = format!("{why} ([delivery] unenrolled)");
        if for_good {
            let text = "this recipient takes no mail here";
            Self::rejected("5.7.1", text, &detail, status::UNAVAILABLE)
        } else {
            Self::deferred("4.2.1", "this recipient cannot take mail yet", &detail)
        }
    }

    /// Policy says another thing now than it did when the message came.
    pub fn decided_otherwise() -> Self {
        let detail = "the policy for this recipient has changed meanwhile";
        Self::deferred("4.3.0", "the message is tried again", &detail)
    }

    /// The message is longer than `limit` octets.
    pub fn too_large(limit: u64) -> Self {
        let detail = format!(
            "larger than {limit} octets ([delivery] max_message_bytes, or what the store allows)"
        );
        Self::rejected("5.3.4", "the message is too large", &detail, status::UNAVAILABLE)
    }

    /// There was no memory.
    pub fn out_of_memory() -> Self {
        Self::deferred("4.3.1", "the mail system is short of resources", &"out of memory")
    }

    /// There was no memory left for it in time, of what all messages in hand may take together.
    pub fn no_room() -> Self {
        let detail = "no memory in time ([lmtp] memory_bytes, wait_timeout)";
        Self::deferred("4.3.1", "the mail system is short of resources", &detail)
    }

    /// The message did not come to its end.
    pub fn cut_short(detail: &dyn Display) -> Self {
        Self::deferred("4.3.0", "the message did not arrive whole, it is tried again", detail)
    }

    /// The program panicked.
    pub fn panicked() -> Self {
        Self::deferred("4.3.0", "internal error, the message is kept", &"panic")
    }

    /// The next hop did not take it.
    pub fn from_next_hop(refusal: Refusal) -> Self {
        let detail = &refusal.detail;
        if refusal.for_good {
            let text = "the mail store refused the message";
            let status = if refusal.code.starts_with("5.1.") {
                status::NO_USER
            } else {
                status::UNAVAILABLE
            };
            Self::rejected(&refusal.code, text, detail, status)
        } else {
            Self::deferred(&refusal.code, "the mail store cannot take the message now", detail)
        }
    }

    /// What only the log gets; `None` where all went well.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The reply code of LMTP (RFC 5321 §4.2.3), which agrees with the enhanced status code.
    pub fn reply_code(&self) -> u16 {
        let subject = self.code.get(2..).unwrap_or_default();
        match self.verdict {
            Verdict::Sealed | Verdict::Passed => 250,
            Verdict::Deferred if subject.starts_with("2.") => 450,
            Verdict::Deferred if subject == "3.1" => 452,
            Verdict::Deferred => 451,
            Verdict::Rejected if subject.starts_with("1.") || subject.starts_with("7.") => 550,
            Verdict::Rejected if matches!(subject, "2.2" | "2.3" | "3.4") => 552,
            Verdict::Rejected => 554,
        }
    }

    /// The exit status for sysexits.h readers.
    pub fn status(&self) -> u8 {
        self.status
    }
}

impl Display for Outcome {
    /// The line that a pipe transport prints: Postfix reads the code at its beginning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

/// The one outcome that a pipe transport reports for several recipients: if any is deferred, all are
/// tried again; else if any is rejected, that is said.
pub fn worst(outcomes: Vec<Outcome>) -> Option<Outcome> {
    outcomes.into_iter().max_by_key(|outcome| outcome.verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_status_agree() {
        let all = [
            (Outcome::sealed("<x@y>"), '2', 0),
            (Outcome::passed(), '2', 0),
            (Outcome::misconfigured(&"x"), '4', 75),
            (Outcome::look_up_failed(&"x"), '4', 75),
            (Outcome::no_key(false, &"x"), '4', 75),
            (Outcome::no_key(true, &"x"), '5', 69),
            (Outcome::decided_otherwise(), '4', 75),
            (Outcome::too_large(1), '5', 69),
            (Outcome::out_of_memory(), '4', 75),
            (Outcome::no_room(), '4', 75),
            (Outcome::cut_short(&"x"), '4', 75),
            (Outcome::panicked(), '4', 75),
        ];
        for (outcome, class, status) in all {
            let line = outcome.to_string();
            assert!(line.starts_with(class) && !line.contains('\n'), "{line}");
            assert_eq!(outcome.status(), status, "{line}");
            assert!(!line.contains('/'), "{line}");
        }
    }

    #[test]
    fn deferred_outranks_rejected_outranks_sealed() {
        let mixed = || vec![Outcome::sealed("<x>"), Outcome::no_key(true, &"x"), Outcome::passed()];
        assert_eq!(worst(mixed()).map(|o| o.verdict), Some(Verdict::Rejected));
        let mut more = mixed();
        more.push(Outcome::out_of_memory());
        assert_eq!(worst(more).map(|o| o.verdict), Some(Verdict::Deferred));
        assert_eq!(worst(Vec::new()), None);
    }
}

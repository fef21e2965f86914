//! Why a command is not done: what the client is answered (RFC 3501 §7.1, RFC 5530).

use std::borrow::Cow;
use std::fmt;

use super::token::Malformed;

/// A tagged NO or BAD.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    is_bad: bool,
    code: Option<&'static str>,
    text: Cow<'static, str>,
    /// What the user is told at once, whatever the client makes of the rest (RFC 3501 §7.1 `ALERT`).
    pub alert: Option<Cow<'static, str>>,
}

impl fmt::Debug for Refusal {
    /// How it begins: its words may repeat what the client said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_bad { "BAD" } else { "NO" };
        write!(f, "Refusal({kind} {})", self.code.unwrap_or_default())
    }
}

impl Refusal {
    /// The command is none, or not written as it should be.
    pub fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self { is_bad: true, code: None, text: text.into(), alert: None }
    }

    /// It cannot be done.
    pub fn no(text: impl Into<Cow<'static, str>>) -> Self {
        Self { is_bad: false, code: None, text: text.into(), alert: None }
    }

    /// The same with a response code (RFC 5530).
    pub fn no_code(code: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { is_bad: false, code: Some(code), text: text.into(), alert: None }
    }

    /// Content cannot be read at the moment, for the reason that the user is told.
    pub fn keys_away(why: &str) -> Self {
        let alert = Some(format!("your mail cannot be unsealed at the moment: {why}").into());
        let text = "the keys are not there".into();
        Self { is_bad: false, code: Some("UNAVAILABLE"), text, alert }
    }
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::bad("not written as IMAP has it")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_bad { "BAD " } else { "NO " })?;
        if let Some(code) = self.code {
            write!(f, "[{code}] ")?;
        }
        f.write_str(&self.text)
    }
}

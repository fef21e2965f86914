//! The next hop: whoever keeps the message. It has it when it says so, and not before.

pub mod command;
pub mod lmtp;
pub mod maildir;
pub mod output;

use std::fmt;
use std::io::{self, Write};

use crate::message::line_ends::ToLf;
use crate::seal::SealedMessage;
use crate::user::User;

/// Letters are written in pieces of this many octets: few system calls, few fresh pages.
const BUFFER_BYTES: usize = 32 * 1024;

/// Somebody who takes one letter for one recipient at a time.
pub trait NextHop {
    /// Hands `letter` on for the recipient `address`, whose `user` is known where there is one.
    ///
    /// # Errors
    /// [`Refusal`] unless the next hop has taken the letter over.
    fn hand_on(
        &mut self,
        address: &str,
        user: Option<&User>,
        letter: &Letter<'_>,
    ) -> Result<(), Refusal>;
}

/// What is handed on.
pub enum Letter<'a> {
    /// A sealed message; the store sees the null sender.
    Sealed(&'a SealedMessage),
    /// A message as it came, with CRLF line ends, because policy says so.
    Plain {
        /// MAIL FROM.
        sender: &'a str,
        /// Whether its header may have UTF-8 in it (RFC 6531 §3.4, `SMTPUTF8`).
        utf8: bool,
        /// The message.
        message: &'a [u8],
        /// Whether policy still says so: what a next hop that takes its time asks last, before the
        /// first octet goes.
        still: &'a (dyn Fn() -> bool + Sync),
    },
}

impl fmt::Debug for Letter<'_> {
    /// Nothing of a message in the clear.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sealed(sealed) => sealed.fmt(f),
            Self::Plain { message, .. } => write!(f, "Plain({} octets)", message.len()),
        }
    }
}

impl Letter<'_> {
    /// MAIL FROM as the store gets to see it.
    pub fn sender(&self) -> &str {
        match self {
            Self::Sealed(_) => "",
            Self::Plain { sender, .. } => sender,
        }
    }

    /// Whether the store must be told that its header may have UTF-8 in it.
    pub fn is_utf8(&self) -> bool {
        matches!(self, Self::Plain { utf8: true, .. })
    }

    /// Whether it may still go as it is.
    pub fn is_current(&self) -> bool {
        match self {
            Self::Sealed(_) => true,
            Self::Plain { still, .. } => still(),
        }
    }

    /// Its size in octets with CRLF line ends, where that is known before it is written.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Sealed(_) => None,
            Self::Plain { message, .. } => Some(message.len() as u64),
        }
    }

    /// About how many octets will be written, rather too many than too few.
    pub fn size_hint(&self) -> u64 {
        match self {
            Self::Sealed(sealed) => sealed.size_hint(),
            Self::Plain { message, .. } => message.len() as u64 + message.len() as u64 / 64 + 16,
        }
    }

    /// Writes it with CRLF line ends.
    ///
    /// # Errors
    /// What `out` answers.
    pub fn write_crlf(&self, mut out: impl Write) -> io::Result<()> {
        match self {
            Self::Sealed(sealed) => sealed.write_to(out),
            Self::Plain { message, .. } => out.write_all(message),
        }
    }

    /// Writes it with local line ends, for a file or a pipe.
    ///
    /// # Errors
    /// What `out` answers.
    pub fn write_local(&self, out: impl Write) -> io::Result<()> {
        let mut out = ToLf::new(out);
        self.write_crlf(&mut out)?;
        out.finish()
    }
}

/// The next hop did not take a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whether there is no point in trying again.
    pub for_good: bool,
    /// The enhanced status code (RFC 3463).
    pub code: String,
    /// What happened, for the log.
    pub detail: String,
}

impl Refusal {
    /// It may take it later.
    pub fn for_now(code: &str, detail: impl Into<String>) -> Self {
        Self { for_good: false, code: code.to_owned(), detail: detail.into() }
    }

    /// It will never take it.
    pub fn for_good(code: &str, detail: impl Into<String>) -> Self {
        Self { for_good: true, code: code.to_owned(), detail: detail.into() }
    }

    /// The same without what a store has quoted of the letter's sender: the log names none.
    #[must_use]
    pub fn without(mut self, sender: &str) -> Self {
        if !sender.is_empty() {
            self.detail = self.detail.replace(sender, "(sender)");
        }
        self
    }

    /// A file or pipe that failed.
    pub fn io(what: &str, cause: &io::Error) -> Self {
        let full =
            matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        Self::for_now(if full { "4.3.1" } else { "4.3.0" }, format!("{what}: {cause}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_message() {
        let letter =
            Letter::Plain { sender: "bob@x.org", utf8: false, message: b"secret", still: &|| true };
        assert_eq!(format!("{letter:?}"), "Plain(6 octets)");
    }
}

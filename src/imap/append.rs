//! APPEND (RFC 3501 §6.3.11): what stands before the message, and what may be one.

use std::borrow::Cow;
use std::fmt;

use super::refusal::Refusal;
use super::token::{Cursor, Malformed};

/// What an APPEND says before its message.
#[derive(PartialEq, Eq)]
pub struct Append<'a> {
    /// The mailbox.
    pub mailbox: Cow<'a, [u8]>,
    /// Mailbox, flags and date as they came: what the store is told.
    pub arguments: &'a [u8],
}

impl fmt::Debug for Append<'_> {
    /// How long it is: a mailbox may be called by anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Append({} octets)", self.arguments.len())
    }
}

/// Reads what stands behind the tag up to the announcement of a literal, `{n}` CRLF, which is the last
/// thing in `command`. `None` where the literal that comes is not the message, but the mailbox's name.
///
/// # Errors
/// What the client is answered where it is not well formed, or asks for more than one message or another
/// kind of one (RFC 3502, RFC 4469, RFC 3516, RFC 6855).
pub fn parse(command: &[u8]) -> Result<Option<Append<'_>>, Refusal> {
    let mut at = Cursor::new(command);
    if at.keyword()? != "APPEND" {
        return Err(Malformed.into());
    }
    at.space()?;
    let arguments = at.rest();
    if at.peek() == Some(b'{') && is_announcement(at.rest()) {
        return Ok(None);
    }
    let mailbox = at.astring()?;
    // A mailbox that is a literal may end with a space of its own: what follows it is left out by place.
    let mut rest = at.rest().len();
    at.space()?;
    if at.peek() == Some(b'(') {
        at.value()?;
        rest = at.rest().len();
        at.space()?;
    }
    if at.peek() == Some(b'"') {
        at.string()?;
        rest = at.rest().len();
        at.space()?;
    }
    if is_announcement(at.rest()) {
        let arguments = arguments.get(..arguments.len() - rest).ok_or(Malformed)?;
        return Ok(Some(Append { mailbox, arguments }));
    }
    Err(Refusal::bad("APPEND takes one message, as a literal"))
}

fn is_announcement(text: &[u8]) -> bool {
    let inner = text.strip_prefix(b"{").and_then(|text| text.strip_suffix(b"}\r\n"));
    inner
        .is_some_and(|inner| inner.iter().all(|byte| byte.is_ascii_digit() || b"+-".contains(byte)))
}

/// Whether the store would take this message, as far as it can be known before it is sealed: the sealed
/// one is always well formed.
///
/// # Errors
/// What the client is answered.
pub fn check(message: &[u8]) -> Result<(), Refusal> {
    if message.is_empty() {
        return Err(Refusal::no("a message of no octets is none"));
    }
    // RFC 3501 §9 has no NUL in a literal; nobody could fetch it.
    if memchr::memchr(0, message).is_some() {
        return Err(Refusal::no("there is a NUL in the message"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_the_message() {
        let text = b"APPEND \"Sent Items\" (\\Seen $x) \"25-Nov-2026 12:00:00 +0100\" {310+}\r\n";
        let append = parse(text).unwrap().unwrap();
        assert_eq!(&*append.mailbox, b"Sent Items");
        assert_eq!(append.arguments, b"\"Sent Items\" (\\Seen $x) \"25-Nov-2026 12:00:00 +0100\"");
        assert_eq!(parse(b"APPEND {5}\r\n").unwrap(), None);
        let named = parse(b"append {5}\r\nINBOX {3}\r\n").unwrap().unwrap();
        assert_eq!((&*named.mailbox, named.arguments), (&b"INBOX"[..], &b"{5}\r\nINBOX"[..]));
        let spaced = parse(b"APPEND {2+}\r\nx   {3}\r\n").unwrap().unwrap();
        assert_eq!((&*spaced.mailbox, spaced.arguments), (&b"x "[..], &b"{2+}\r\nx "[..]));
    }

    #[test]
    fn other_kinds_are_refused() {
        for text in [
            "APPEND INBOX ~{3}\r\n",
            "APPEND INBOX CATENATE (TEXT {3}\r\n",
            "APPEND INBOX UTF8 (~{3}\r\n",
            "APPEND INBOX (\\Seen {3}\r\n",
            "APPEND INBOX \"x {3}\r\n",
            "APPEND INBOX ANNOTATION (x) {3}\r\n",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(check(b"").is_err() && check(b"a\0").is_err() && check(b"a").is_ok());
    }
}

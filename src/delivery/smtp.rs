//! What SMTP and LMTP ask of addresses and data on the wire (RFC 5321 §4.1.2, §4.5.2).

use std::io::{self, Write};

use memchr::memmem;

/// An address without quotes as it stands between angle brackets, its local part quoted where it must
/// be (RFC 5321 §4.1.2). `None` for one that no command can carry.
pub(super) fn path(address: &str) -> Option<String> {
    if address.chars().any(char::is_control) {
        return None;
    }
    let (local, domain) = match address.rsplit_once('@') {
        Some((local, domain)) => (local, Some(domain)),
        None => (address, None),
    };
    let is_atom =
        |c: char| c.is_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let local = if local.chars().all(is_atom) {
        local.to_owned()
    } else {
        format!("\"{}\"", local.replace('\\', "\\\\").replace('"', "\\\""))
    };
    if domain.is_some_and(|domain| domain.contains(['>', '<', ' '])) {
        return None;
    }
    Some(domain.map_or_else(|| local.clone(), |domain| format!("{local}@{domain}")))
}

const RETURN_PATH: &[u8] = b"Return-Path:";

/// The header field that names the sender (RFC 5321 §4.4), with its line end; the null sender where no
/// command can carry the address.
pub(super) fn return_path(sender: &str) -> String {
    format!("Return-Path: <{}>\r\n", path(sender).unwrap_or_default())
}

/// Whether a message that begins like this has the field on top.
pub(super) fn has_return_path(message: &[u8]) -> bool {
    let first = message.get(..RETURN_PATH.len()).unwrap_or_default();
    first.eq_ignore_ascii_case(RETURN_PATH)
}

/// The address without the quotes of its local part: one form of it for the look-up of keys and for
/// the store, or somebody could be one user here and another one there.
pub(super) fn unquoted(address: &str) -> String {
    let inside = |local: &str| {
        let quoted = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))?;
        let mut plain = String::with_capacity(quoted.len());
        let mut characters = quoted.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' => plain.push(characters.next()?),
                '"' => return None,
                other => plain.push(other),
            }
        }
        Some(plain)
    };
    match address.rsplit_once('@') {
        Some((local, domain)) => {
            inside(local).map_or_else(|| address.to_owned(), |local| format!("{local}@{domain}"))
        }
        None => inside(address).unwrap_or_else(|| address.to_owned()),
    }
}

/// Doubles the dot at the beginning of a line and ends with a line of one dot (RFC 5321 §4.5.2).
///
/// Some servers take a bare LF for the end of a line (Cyrus does): a dot after one is doubled, too, or
/// a message could end itself there and go on with commands of its own.
pub(super) struct DotStuffed<W: Write> {
    out: W,
    /// The last two octets.
    end: [u8; 2],
}

impl<W: Write> DotStuffed<W> {
    /// Writes to `out`.
    pub(super) fn new(out: W) -> Self {
        Self { out, end: *b"\r\n" }
    }

    /// Ends the data.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.end != *b"\r\n" {
            self.out.write_all(b"\r\n")?;
        }
        self.out.write_all(b".\r\n")?;
        self.out.flush()
    }
}

impl<W: Write> Write for DotStuffed<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.end[1] == b'\n' && piece.starts_with(b".") {
            self.out.write_all(b".")?;
        }
        let mut rest = piece;
        while let Some(at) = memmem::find(rest, b"\n.") {
            let (text, after) = rest.split_at(at + 1);
            self.out.write_all(text)?;
            self.out.write_all(b".")?;
            rest = after;
        }
        self.out.write_all(rest)?;
        match piece {
            [.., last, end] => self.end = [*last, *end],
            [end] => self.end = [self.end[1], *end],
            [] => {}
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stuffed(pieces: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = DotStuffed::new(&mut bytes);
        for piece in pieces {
            out.write_all(piece).unwrap();
        }
        out.finish().unwrap();
        bytes
    }

    #[test]
    fn dots() {
        assert_eq!(stuffed(&[b".a\r\n..\r\nb."]), b"..a\r\n...\r\nb.\r\n.\r\n");
        assert_eq!(stuffed(&[b"a\r", b"\n", b".", b"\r\n"]), b"a\r\n..\r\n.\r\n");
        assert_eq!(stuffed(&[b"a\n.b\n"]), b"a\n..b\n\r\n.\r\n");
        assert_eq!(stuffed(&[b"a\n", b".b\r\n"]), b"a\n..b\r\n.\r\n");
        assert_eq!(stuffed(&[]), b".\r\n");
    }

    #[test]
    fn paths() {
        assert_eq!(path("alice+x@example.org").unwrap(), "alice+x@example.org");
        assert_eq!(path("a b@example.org").unwrap(), "\"a b\"@example.org");
        assert_eq!(path("a>b\"@x").unwrap(), "\"a>b\\\"\"@x");
        assert_eq!(path("\"a b\"@x").unwrap(), "\"\\\"a b\\\"\"@x");
        assert_eq!(path(&unquoted("\"a b\"@x")).unwrap(), "\"a b\"@x");
        assert_eq!(unquoted("\"a\\\"b\"@x"), "a\"b@x");
        for plain in ["a@x", "\"a\"b\"@x", "\"a\\\"@x", "\"@x", "", "a"] {
            assert_eq!(unquoted(plain), plain);
        }
        assert_eq!(path("\"a\"> X <\"@x").unwrap(), "\"\\\"a\\\"> X <\\\"\"@x");
        assert_eq!(path("\"@x").unwrap(), "\"\\\"\"@x");
        assert_eq!(path("").unwrap(), "");
        assert_eq!(path("jürgen@müller.example").unwrap(), "jürgen@müller.example");
        for bad in ["a\r\nRCPT TO:<b>@x", "a@x>\n", "a@x> SIZE=1"] {
            assert_eq!(path(bad), None);
        }
    }
}

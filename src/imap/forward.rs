//! A command on its way to the store: its literals as the store takes them (RFC 7888).

use std::borrow::Cow;
use std::fmt;

use super::frame::{Framer, Step};

/// A piece of a command.
#[derive(PartialEq, Eq)]
pub struct Piece<'a> {
    /// What is sent.
    pub text: &'a [u8],
    /// Whether the store has to ask for what follows.
    pub waits: bool,
}

impl fmt::Debug for Piece<'_> {
    /// How long it is: it may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Piece({} octets)", self.text.len())
    }
}

/// Cuts a command without its last CRLF where the store has to ask for a literal; where it takes them
/// unasked (`may_push`), the announcement says so. A client's own announcement may be of either kind.
pub fn pieces(command: &[u8], may_push: bool) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut framer = Framer::default();
    let mut from = 0;
    let piece = |text, waits| Piece { text, waits };
    while let Ok(Step::Literal { head, octets, .. }) = framer.step(command) {
        // `{n}` or `{n+}` or `{n-}`, and CRLF.
        let line = command.get(from..head).unwrap_or_default();
        let text = line.strip_suffix(b"}\r\n").unwrap_or(line);
        let text = text.strip_suffix(b"+").or_else(|| text.strip_suffix(b"-")).unwrap_or(text);
        pieces.push(piece(text, false));
        pieces.push(if may_push { piece(b"+}\r\n", false) } else { piece(b"}\r\n", true) });
        from = head;
        framer.skip(head.saturating_add(usize::try_from(octets).unwrap_or(usize::MAX)));
    }
    pieces.push(piece(command.get(from..).unwrap_or_default(), false));
    pieces
}

/// A name of a mailbox or whatever else the proxy sends by itself: quoted, or a literal where it has to be
/// (RFC 3501 §9 `quoted`).
pub fn string(text: &[u8]) -> Vec<u8> {
    let needs_literal = text.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n' | 0x80..));
    if needs_literal {
        return [format!("{{{}}}\r\n", text.len()).as_bytes(), text].concat();
    }
    let escaped: Cow<'_, [u8]> = if memchr::memchr2(b'"', b'\\', text).is_some() {
        let escape = |byte: &u8| match byte {
            b'"' | b'\\' => vec![b'\\', *byte],
            other => vec![*other],
        };
        text.iter().flat_map(escape).collect::<Vec<u8>>().into()
    } else {
        text.into()
    };
    [b"\"", &*escaped, b"\""].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(command: &[u8], may_push: bool) -> (Vec<u8>, usize) {
        let pieces = pieces(command, may_push);
        let text = pieces.iter().flat_map(|piece| piece.text).copied().collect();
        (text, pieces.iter().filter(|piece| piece.waits).count())
    }

    #[test]
    fn literals_as_the_store_takes_them() {
        let command = b"CREATE {3}\r\na{b {2+}\r\n\r\n x";
        assert_eq!(joined(command, true), (b"CREATE {3+}\r\na{b {2+}\r\n\r\n x".to_vec(), 0));
        assert_eq!(joined(command, false), (b"CREATE {3}\r\na{b {2}\r\n\r\n x".to_vec(), 2));
        assert_eq!(joined(b"NOOP", false), (b"NOOP".to_vec(), 0));
        assert_eq!(joined(b"X {9}\r\nab", true), (b"X {9+}\r\nab".to_vec(), 0));
    }

    #[test]
    fn strings() {
        assert_eq!(string(b"a \"b\\"), b"\"a \\\"b\\\\\"");
        assert_eq!(string(b"gr\xc3\xbc"), b"{4}\r\ngr\xc3\xbc");
        assert_eq!(string(b""), b"\"\"");
    }
}

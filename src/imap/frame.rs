//! Where one command or response ends (RFC 3501 §2.2): at the first line end that no literal precedes.

use std::fmt;

use memchr::memchr;

/// Finds the end of what begins at the start of a buffer that grows.
#[derive(Debug, Clone, Default)]
pub struct Framer {
    /// Where the line in hand begins, behind the last literal.
    line: usize,
    /// How far it was looked through.
    seen: usize,
}

/// What a look at the buffer has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is no line end yet.
    More,
    /// A literal of so many octets follows the first `head` octets.
    Literal {
        /// How much stands before its first octet.
        head: usize,
        /// How long it is.
        octets: u64,
        /// Whether who sends it waits to be told to (RFC 7888 has the others).
        waits: bool,
    },
    /// All is there, in this many octets, the line end included.
    Complete(usize),
}

/// A line end that is none in IMAP: a bare LF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BareLineFeed {
    /// How many octets there are with it.
    pub octets: usize,
}

impl fmt::Display for BareLineFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a line does not end with CRLF")
    }
}

impl std::error::Error for BareLineFeed {}

impl Framer {
    /// Looks at everything that is there so far. After [`Step::Literal`], [`Framer::skip`] goes on; whoever
    /// looks again finds it again.
    ///
    /// # Errors
    /// Where a line ends with a bare LF: others may see another end there.
    pub fn step(&mut self, bytes: &[u8]) -> Result<Step, BareLineFeed> {
        let unseen = bytes.get(self.seen..).unwrap_or_default();
        let Some(found) = memchr(b'\n', unseen) else {
            self.seen = bytes.len().max(self.seen);
            return Ok(Step::More);
        };
        self.seen += found;
        let end = self.seen + 1;
        let line = bytes.get(self.line..end).unwrap_or_default();
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(BareLineFeed { octets: end });
        };
        Ok(match announced(line) {
            Some((octets, waits)) => Step::Literal { head: end, octets, waits },
            None => Step::Complete(end),
        })
    }

    /// Goes on behind a literal that ends at `end`.
    pub fn skip(&mut self, end: usize) {
        self.line = end;
        self.seen = end;
    }

    /// Begins anew, with what follows.
    pub fn restart(&mut self) {
        *self = Self::default();
    }
}

/// How many of the first octets are whole responses about a message or a number of them (RFC 3501 §7.3, §7.4)
/// with no literal in them. A store has ten thousand of these to say in one breath.
pub fn numbered(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(rest @ [b'*', b' ', b'0'..=b'9', ..]) = bytes.get(end..)
        && let Some(found) = memchr(b'\n', rest)
        && let Some([last, b'\r']) = rest.get(found.saturating_sub(2)..found)
        && *last != b'}'
    {
        end += found + 1;
    }
    end
}

/// The literal that a line announces at its end: how long, and whether its sender waits.
fn announced(line: &[u8]) -> Option<(u64, bool)> {
    let line = line.strip_suffix(b"}")?;
    let (line, waits) = match line.strip_suffix(b"+").or_else(|| line.strip_suffix(b"-")) {
        Some(line) => (line, false),
        None => (line, true),
    };
    let brace = memchr::memrchr(b'{', line)?;
    let digits = line.get(brace + 1..)?;
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    // What is more than 64 bits is as much too long as the largest of them.
    let number = || std::str::from_utf8(digits).ok()?.parse().ok().or(Some(u64::MAX));
    is_number.then(number).flatten().map(|octets| (octets, waits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_look_sees_the_same() {
        let text = b"a LOGIN {5+}\r\nx y\r\n z\r\n";
        let mut framer = Framer::default();
        let literal = Step::Literal { head: 14, octets: 5, waits: false };
        assert_eq!([framer.step(text), framer.step(text)], [Ok(literal); 2]);
        framer.skip(19);
        assert_eq!([framer.step(text), framer.step(text)], [Ok(Step::Complete(23)); 2]);
    }

    #[test]
    fn lines_and_literals() {
        let mut framer = Framer::default();
        assert_eq!(framer.step(b"a NOO").unwrap(), Step::More);
        assert_eq!(framer.step(b"a NOOP\r\nb").unwrap(), Step::Complete(8));
        framer.restart();
        let text = b"a LOGIN {5}\r\nalice {3+}\r\nx\n}\r\n";
        let step = framer.step(text).unwrap();
        assert_eq!(step, Step::Literal { head: 13, octets: 5, waits: true });
        framer.skip(18);
        let step = framer.step(text).unwrap();
        assert_eq!(step, Step::Literal { head: 25, octets: 3, waits: false });
        framer.skip(28);
        assert_eq!(framer.step(text).unwrap(), Step::Complete(text.len()));
    }

    #[test]
    fn many_at_once() {
        let text = b"* 1 FETCH (FLAGS ())\r\n* 22 EXISTS\r\n* OK on\r\n* 3 EXPUNGE\r\n";
        assert_eq!(&text[numbered(text)..], b"* OK on\r\n* 3 EXPUNGE\r\n");
        for (text, octets) in [
            (&b"* 1 FETCH (BODY[] {3}\r\nabc)\r\n"[..], 0),
            (b"* 1 EXISTS\r\n* 2 EXISTS\r", 12),
            (b"* 1 EXISTS\r\n* 2 EXISTS\n* 3 EXISTS\r\n", 12),
            (b"n1 OK\r\n", 0),
            (b"* 1\r\n", 5),
            (b"* 1\n", 0),
            (b"* ", 0),
            (b"", 0),
        ] {
            assert_eq!(numbered(text), octets, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn odd_ends() {
        assert_eq!(Framer::default().step(b"a\nb"), Err(BareLineFeed { octets: 2 }));
        let huge = Framer::default().step(b"a {99999999999999999999999}\r\n").unwrap();
        assert_eq!(huge, Step::Literal { head: 29, octets: u64::MAX, waits: true });
        for line in [&b"a }\r\n"[..], b"a {}\r\n", b"a {x}\r\n", b"a {1}x\r\n", b"a {+}\r\n"] {
            assert_eq!(Framer::default().step(line).unwrap(), Step::Complete(line.len()));
        }
    }
}

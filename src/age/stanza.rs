//! One stanza of an age header: its type, its arguments, its body, and the text they are written in.
//!
//! It must never know what a type means: that is for `x25519` and `hybrid`.

use encodify::base64::STANDARD_NO_PAD as BASE64;

use super::StanzaError;

/// What a stanza's first line begins with; the space is that of the first argument.
const START: &str = "->";

/// A body line of this many columns goes on in the next line, a shorter one is the last.
const COLUMNS: usize = 64;

/// A file key wrapped for one reader, or something of a type that we do not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stanza {
    /// The type, such as `X25519`: visible ASCII, not empty.
    pub kind: String,
    /// The further arguments: each visible ASCII and not empty.
    pub args: Vec<String>,
    /// The body, decoded.
    pub body: Vec<u8>,
}

impl Stanza {
    /// The text as it stands in a header, each line with its LF.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        self.encode_into(&mut text);
        text
    }

    pub(super) fn encode_into(&self, text: &mut String) {
        text.push_str(START);
        for argument in std::iter::once(&self.kind).chain(&self.args) {
            text.push(' ');
            text.push_str(argument);
        }
        text.push('\n');
        let whole_line = COLUMNS / 4 * 3;
        let mut lines = self.body.chunks_exact(whole_line);
        for line in &mut lines {
            BASE64.encode_append(line, text);
            text.push('\n');
        }
        // Always there, empty too: it is what ends the body.
        BASE64.encode_append(lines.remainder(), text);
        text.push('\n');
    }

    /// Reads exactly what [`encode`](Self::encode) writes.
    ///
    /// # Errors
    /// [`StanzaError`] for anything else, also for text after the stanza or a missing last LF.
    pub fn parse(text: &str) -> Result<Self, StanzaError> {
        let text = text.strip_suffix('\n').ok_or(StanzaError::End)?;
        let mut lines = text.as_bytes().split(|byte| *byte == b'\n');
        let mut stanza = Self::begin(lines.next().unwrap_or_default())?;
        for line in &mut lines {
            if stanza.add_line(line)? {
                return match lines.next() {
                    None => Ok(stanza),
                    Some(_) => Err(StanzaError::End),
                };
            }
        }
        Err(StanzaError::End)
    }

    /// The stanza that `line` begins, given without its LF, still with an empty body.
    pub(super) fn begin(line: &[u8]) -> Result<Self, StanzaError> {
        let mut arguments = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.strip_prefix(START)?.strip_prefix(' '))
            .ok_or(StanzaError::Arguments)?
            .split(' ')
            .map(argument);
        Ok(Self {
            kind: arguments.next().ok_or(StanzaError::Arguments)??,
            args: arguments.collect::<Result<_, _>>()?,
            body: Vec::new(),
        })
    }

    /// Adds a line of the body, given without its LF; whether it was the last one.
    pub(super) fn add_line(&mut self, line: &[u8]) -> Result<bool, StanzaError> {
        if line.len() > COLUMNS {
            return Err(StanzaError::Body);
        }
        // A whole line is a whole number of base64 groups, so lines decode one by one.
        BASE64.decode_append(line, &mut self.body).map_err(|_| StanzaError::Body)?;
        Ok(line.len() < COLUMNS)
    }
}

fn argument(text: &str) -> Result<String, StanzaError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(StanzaError::Arguments);
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stanza(body_len: usize) -> Stanza {
        Stanza { kind: "test".to_owned(), args: vec!["one".to_owned()], body: vec![7; body_len] }
    }

    #[test]
    fn a_full_line_is_followed_by_an_empty_one() {
        let full = "BwcH".repeat(16);
        assert_eq!(stanza(0).encode(), "-> test one\n\n");
        assert_eq!(stanza(48).encode(), format!("-> test one\n{full}\n\n"));
        assert_eq!(stanza(51).encode(), format!("-> test one\n{full}\nBwcH\n"));
    }

    #[test]
    fn what_is_not_exactly_a_stanza_is_refused() {
        use StanzaError::{Arguments, Body, End};
        let full = "BwcH".repeat(16);
        for (text, error) in [
            ("", End),
            ("-> test", End),
            ("-> test\n", End),
            ("-> test\n\n\n", End),
            ("-> test\nBwcH", End),
            (&format!("-> test\n{full}\n"), End),
            ("->\n\n", Arguments),
            ("-> \n\n", Arguments),
            ("->  test\n\n", Arguments),
            ("-> test \n\n", Arguments),
            ("-> te\u{e9}st\n\n", Arguments),
            ("-> test\t1\n\n", Arguments),
            ("-> test\r\n\n", Arguments),
            ("- > test\n\n", Arguments),
            ("-> test\nBwcH\r\n", Body),
            ("-> test\nBw==\n", Body),
            ("-> test\nBx\n", Body),
            ("-> test\nBw H\n", Body),
            (&format!("-> test\n{full}BwcH\n"), Body),
        ] {
            assert_eq!(Stanza::parse(text), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_stanza_round_trips(
            kind in "[!-~]{1,20}",
            args in prop::collection::vec("[!-~]{1,80}", 0..4),
            body in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let stanza = Stanza { kind, args, body };
            prop_assert_eq!(Stanza::parse(&stanza.encode()), Ok(stanza));
        }

        #[test]
        fn text_that_parses_is_the_only_text_of_its_stanza(text in "-> [a-c ]{0,4}\n[A-E=\n\r]{0,6}\n") {
            if let Ok(stanza) = Stanza::parse(&text) {
                prop_assert_eq!(stanza.encode(), text);
            }
        }
    }
}

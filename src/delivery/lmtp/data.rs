//! The data of a message on the wire (RFC 5321 §4.1.1.4, §4.5.2): a line of one dot ends it, a dot that
//! begins a line is dropped.
//!
//! Only CR LF ends a line. A bare LF or CR is data like any other octet, so that nobody can hide a
//! second message in the first one (SMTP smuggling).

use memchr::memmem;

/// Reads the data of one message as it arrives, in pieces of any size.
#[derive(Debug, Default)]
pub struct DataReader(State);

/// What the octets so far mean for the next one.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    LineStart,
    /// A dot begins the line.
    Dot,
    /// A dot and a CR.
    DotCr,
    Text,
    Cr,
    Ended,
}

impl DataReader {
    /// Reads on in `input` and gives `take` what belongs to the message. Returns how much of `input`
    /// was read: all of it, unless the data ended there.
    ///
    /// # Errors
    /// What `take` answers.
    pub fn read<E>(
        &mut self,
        input: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut at = 0;
        while self.0 != State::Ended {
            let Some(&octet) = input.get(at) else { break };
            // The bulk of a message: up to the next line that begins with a dot.
            if self.0 == State::Text {
                let rest = input.get(at..).unwrap_or_default();
                let text = memmem::find(rest, b"\r\n.")
                    .map_or(rest, |found| rest.get(..found + 2).unwrap_or_default());
                take(text)?;
                at += text.len();
                self.0 = match text {
                    [.., b'\r', b'\n'] => State::LineStart,
                    [.., b'\r'] => State::Cr,
                    _ => State::Text,
                };
                continue;
            }
            at += 1;
            self.0 = match (self.0, octet) {
                (State::LineStart, b'.') => State::Dot,
                (State::Dot, b'\r') => State::DotCr,
                (State::DotCr, b'\n') => State::Ended,
                (state, octet) => {
                    // The CR after a dot was held back. The dot itself was stuffing.
                    if state == State::DotCr {
                        take(b"\r")?;
                    }
                    take(&[octet])?;
                    match octet {
                        b'\r' => State::Cr,
                        b'\n' if state == State::Cr => State::LineStart,
                        _ => State::Text,
                    }
                }
            };
        }
        Ok(at)
    }

    /// Whether the line of one dot has come.
    pub fn has_ended(&self) -> bool {
        self.0 == State::Ended
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// The message in `input`, and how many octets it took up; `None` when it has no end.
    fn read(pieces: &[&[u8]]) -> Option<(Vec<u8>, usize)> {
        let mut reader = DataReader::default();
        let (mut message, mut used) = (Vec::new(), 0);
        for piece in pieces {
            let taken = reader.read(piece, |text| {
                message.extend_from_slice(text);
                Ok::<(), Infallible>(())
            });
            used += taken.unwrap();
        }
        reader.has_ended().then_some((message, used))
    }

    #[test]
    fn the_end_is_one_line_of_one_dot() {
        let whole = |input: &[u8]| read(&[input]).map(|(message, _)| message);
        assert_eq!(whole(b".\r\n").unwrap(), b"");
        assert_eq!(whole(b"a\r\n.\r\nQUIT\r\n").unwrap(), b"a\r\n");
        assert_eq!(read(&[b"a\r\n.\r\nQUIT\r\n"]).unwrap().1, 6);
        assert_eq!(whole(b"..\r\n...a\r\n.\r\n").unwrap(), b".\r\n..a\r\n");
        assert_eq!(whole(b".\r.\r\n\r\n.\r\n").unwrap(), b"\r.\r\n\r\n");
        for smuggled in [
            "\n.\r\n",
            "\r.\r\n",
            "\n.\n",
            "\r\n.\n",
            "\r\n.\r",
            "\r.\r",
            "\r\n.\0\r\n",
            "\r\n\0.\r\n",
        ] {
            let input = format!("a{smuggled}MAIL FROM:<>\r\n");
            assert_eq!(whole(input.as_bytes()), None, "{smuggled:?}");
            let input = format!("{input}.\r\n");
            assert!(whole(input.as_bytes()).unwrap().ends_with(b"MAIL FROM:<>\r\n"));
        }
    }

    /// Data as a strict sender writes it.
    fn wire(message: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        for (index, octet) in message.iter().enumerate() {
            if *octet == b'.' && (index == 0 || message[..index].ends_with(b"\r\n")) {
                wire.push(b'.');
            }
            wire.push(*octet);
        }
        wire.extend_from_slice(b".\r\n");
        wire
    }

    proptest! {
        #[test]
        fn what_was_stuffed_comes_back(
            message in "((\r\n|\r|\n|\\.|a|\u{0}){0,60}\r\n)?",
            cuts in prop::collection::vec(0..90_usize, 0..6),
            after in "(QUIT\r\n|\\.\r\n)?",
        ) {
            let message = message.into_bytes();
            let mut wire = wire(&message);
            let end = wire.len();
            wire.extend_from_slice(after.as_bytes());
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(wire.len())).collect();
            cuts.extend([0, wire.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &wire[cut[0]..cut[1]]).collect();
            prop_assert_eq!(read(&pieces), Some((message, end)));
        }
    }
}

//! Command lines of a peer (RFC 5321 §2.3.8): CR LF ends a line and nothing else does.
//!
//! Layer 1.

use std::fmt;

/// The first line in `input`, and how many octets it takes up with its end. `None` when its end has
/// not arrived yet.
///
/// # Errors
/// When the line is longer than `max_octets` with its end, or has a CR or an LF in it that is no line
/// end: who sends one and who reads it may not agree where the line ends.
pub fn first(input: &[u8], max_octets: usize) -> Result<Option<(&[u8], usize)>, LineError> {
    let shown = input.get(..max_octets).unwrap_or(input);
    let Some(at) = memchr::memchr2(b'\r', b'\n', shown) else {
        return if input.len() < max_octets { Ok(None) } else { Err(LineError::TooLong) };
    };
    let (line, rest) = shown.split_at(at);
    match rest {
        [b'\r', b'\n', ..] => Ok(Some((line, at + 2))),
        [b'\r'] if input.len() < max_octets => Ok(None),
        [b'\r'] => Err(LineError::TooLong),
        _ => Err(LineError::BareLineEnd),
    }
}

/// A line that cannot be read. Nobody knows where the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineError {
    /// It does not end within the limit.
    TooLong,
    /// It has a CR or an LF by itself in it.
    BareLineEnd,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "line too long",
            Self::BareLineEnd => "only CR LF ends a line",
        })
    }
}

impl std::error::Error for LineError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(first(b"NOOP\r\nRSET\r\n", 100), Ok(Some((&b"NOOP"[..], 6))));
        assert_eq!(first(b"\r\n", 100), Ok(Some((&b""[..], 2))));
        for waiting in [&b""[..], b"NOOP", b"NOOP\r"] {
            assert_eq!(first(waiting, 100), Ok(None));
        }
        for bare in [&b"NOOP\nRSET\r\n"[..], b"NO\rOP\r\n", b"\n", b"NOOP\r\r\n"] {
            assert_eq!(first(bare, 100), Err(LineError::BareLineEnd), "{bare:?}");
        }
        assert_eq!(first(b"12345678\r\n", 10), Ok(Some((&b"12345678"[..], 10))));
        for long in [&b"123456789\r\n"[..], b"123456789\r", b"1234567890", b"12345678901\r\n"] {
            assert_eq!(first(long, 10), Err(LineError::TooLong), "{long:?}");
        }
    }
}

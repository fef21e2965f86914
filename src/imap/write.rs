//! Values as an answer has them (RFC 3501 §4): numbers, strings quoted or as literals, NIL.

/// Longer strings are literals: some clients read a quoted string into a line of fixed length.
const MAX_QUOTED_BYTES: usize = 1000;

/// A string: quoted where it can be, so that no client has to know an escape, else as a literal.
pub(super) fn string(text: &[u8], out: &mut Vec<u8>) {
    if text.len() <= MAX_QUOTED_BYTES && text.iter().all(|byte| is_quotable(*byte)) {
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
    } else {
        literal(text, out);
    }
}

/// A string, or NIL for none.
pub(super) fn nstring(text: Option<&[u8]>, out: &mut Vec<u8>) {
    match text {
        Some(text) => string(text, out),
        None => nil(out),
    }
}

/// Octets as they are but for NUL, which no literal can hold (RFC 3501 §9 `CHAR8`): it is shown as 0x80.
pub(super) fn literal(octets: &[u8], out: &mut Vec<u8>) {
    out.reserve(octets.len() + 16);
    announce(octets.len() as u64, out);
    let start = out.len();
    out.extend_from_slice(octets);
    show_nuls(out.get_mut(start..).unwrap_or_default());
}

/// What stands before the octets of a literal.
pub(super) fn announce(octets: u64, out: &mut Vec<u8>) {
    out.push(b'{');
    number(octets, out);
    out.extend_from_slice(b"}\r\n");
}

/// Makes octets such that a literal can hold them.
pub(super) fn show_nuls(mut octets: &mut [u8]) {
    while let Some(at) = memchr::memchr(0, octets) {
        let (seen, rest) = octets.split_at_mut(at + 1);
        if let Some(nul) = seen.last_mut() {
            *nul = 0x80;
        }
        octets = rest;
    }
}

/// A number.
pub(super) fn number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(number.to_string().as_bytes());
}

pub(super) fn nil(out: &mut Vec<u8>) {
    out.extend_from_slice(b"NIL");
}

/// RFC 3501 §9 `TEXT-CHAR` without what would have to be escaped.
fn is_quotable(byte: u8) -> bool {
    !matches!(byte, 0 | b'\r' | b'\n' | b'"' | b'\\' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: Option<&[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        nstring(text, &mut out);
        out
    }

    #[test]
    fn strings_are_quoted_where_they_can_be() {
        assert_eq!(written(None), b"NIL");
        assert_eq!(written(Some(b"")), b"\"\"");
        assert_eq!(written(Some(b"a\tb %")), b"\"a\tb %\"");
        assert_eq!(written(Some(b"a\"b")), b"{3}\r\na\"b");
        assert_eq!(written(Some(b"a\\")), b"{2}\r\na\\");
        assert_eq!(written(Some("ü".as_bytes())), "{2}\r\nü".as_bytes());
        assert!(written(Some(&[b'a'; 1001])).starts_with(b"{1001}\r\n"));
    }

    #[test]
    fn nul_is_shown_as_another_octet() {
        assert_eq!(written(Some(b"\0a\0\0")), b"{4}\r\n\x80a\x80\x80");
    }
}

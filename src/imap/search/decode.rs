//! From what stands in a message to letters: transfer encodings (RFC 2045 §6) and charsets, as tolerant as
//! servers are when they look for something.

use std::borrow::Cow;

use encodify::base64::STANDARD;
use mail_parser::decoders::charsets::map::charset_decoder;

/// The octets of `encoded` in base64. What is no part of it is skipped; what behind padding follows is read on.
pub(super) fn base64(encoded: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(encoded.len() / 4 * 3);
    for piece in encoded.split(|byte| *byte == b'=') {
        let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        let mut digits: Vec<u8> = piece.iter().copied().filter(is_digit).collect();
        // One digit alone is not even an octet; the bits that a cut one leaves over do not count.
        match digits.len() % 4 {
            1 => digits.truncate(digits.len() - 1),
            2 => digits.extend(b"AA"),
            3 => digits.extend(b"A"),
            _ => {}
        }
        let spare = digits.len().saturating_sub(piece.iter().filter(|byte| is_digit(byte)).count());
        if let Ok(octets) = STANDARD.decode(digits) {
            decoded.extend_from_slice(octets.get(..octets.len() - spare).unwrap_or(&octets));
        }
    }
    decoded
}

/// The octets of `encoded` in quoted-printable. What is no code stays as it stands.
pub(super) fn quoted_printable(encoded: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some(at) = memchr::memchr(b'=', rest) {
        let (plain, code) = rest.split_at(at);
        decoded.extend_from_slice(plain);
        rest = code.get(1..).unwrap_or_default();
        if let Some((octet, behind)) = hex_octet(rest) {
            decoded.push(octet);
            rest = behind;
        } else if let Some(behind) = soft_break(rest) {
            rest = behind;
        } else {
            decoded.push(b'=');
        }
    }
    decoded.extend_from_slice(rest);
    decoded
}

/// The octet that two hexadecimal digits name, and what stands behind them.
fn hex_octet(code: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let [high, low, behind @ ..] = code else { return None };
    Some((u8::try_from(digit(high)? * 16 + digit(low)?).ok()?, behind))
}

/// What stands behind a line end that is only there to keep lines short.
fn soft_break(code: &[u8]) -> Option<&[u8]> {
    let spaces = code.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let end = code.get(spaces..)?;
    end.strip_prefix(b"\r\n").or_else(|| end.strip_prefix(b"\n"))
}

/// Charsets in which an octet below 128 is not always that letter of ASCII.
const SHIFTING: [&str; 5] = ["iso-2022", "utf-7", "utf-16", "hz-gb", "csiso2022"];

/// The text of `octets` in this charset; one that nobody knows is taken for UTF-8.
pub(super) fn text<'a>(octets: &'a [u8], charset: &[u8]) -> Cow<'a, str> {
    let is = |name: &str| {
        charset.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
    };
    let is_plain = octets.is_ascii() && !SHIFTING.into_iter().any(is);
    if is_plain || charset.is_empty() || is("utf-8") || is("utf8") || is("us-ascii") {
        return String::from_utf8_lossy(octets);
    }
    match charset_decoder(charset) {
        // A decoder that meets what its authors did not think of costs this text, and not the search.
        Some(decode) => std::panic::catch_unwind(|| decode(octets)).unwrap_or_default().into(),
        None => String::from_utf8_lossy(octets),
    }
}

/// The text of what a client looks for; `None` for a charset that this does not know or `octets` that are
/// no text in it.
pub(super) fn searched(octets: &[u8], charset: &[u8]) -> Option<String> {
    let is = |name: &str| charset.eq_ignore_ascii_case(name.as_bytes());
    if is("us-ascii") || is("utf-8") {
        return String::from_utf8(octets.to_vec()).ok();
    }
    Some(text(octets, charset).into_owned())
}

/// Whether clients may search in this charset.
pub(super) fn is_known(charset: &[u8]) -> bool {
    // Not what a search string in which each octet may stand for itself cannot be in.
    let lower = charset.to_ascii_lowercase();
    let is_odd = lower.starts_with(b"utf-16")
        || matches!(
            lower.as_slice(),
            b"replacement" | b"hz-gb-2312" | b"iso-2022-kr" | b"iso-2022-cn" | b"x-user-defined"
        );
    !is_odd && (lower == b"utf-8" || charset_decoder(charset).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn broken_encodings_are_read_as_far_as_they_go() {
        assert_eq!(base64(b"aGVsbG8gd29y\r\n!!bGQ="), b"hello world");
        assert_eq!(base64(b"aGk=aGVsbG8="), b"hihello");
        assert_eq!(base64(b"aGVsbG8gd29yb"), b"hello wor");
        assert_eq!(
            quoted_printable(b"M=FCn=\r\nchen=C3=9f = =zz = \n=3D="),
            b"M\xfcnchen\xc3\x9f = =zz =="
        );
    }

    #[test]
    fn charsets() {
        assert_eq!(text(b"M\xfcnchen", b"ISO-8859-1"), "München");
        assert_eq!(text(b"M\xc3\xbcnchen", b"utf-8"), "München");
        assert_eq!(text(b"caf\xc3\xa9", b"x-nosuch"), "café");
        assert_eq!(text(b"\x1b$B%O\x1b(B", b"iso-2022-jp"), "ハ");
        assert!(
            is_known(b"windows-1252")
                && is_known(b"UTF-8")
                && !is_known(b"x-nosuch")
                && !is_known(b"utf-16")
        );
        assert_eq!(searched(b"\xff", b"UTF-8"), None);
        assert_eq!(searched(b"\xfc", b"iso-8859-1").as_deref(), Some("ü"));
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(base64(STANDARD.encode(&octets).as_bytes()), octets.clone());
            let coded: String = octets.iter().map(|octet| format!("={octet:02X}")).collect();
            prop_assert_eq!(quoted_printable(coded.as_bytes()), octets);
        }

        #[test]
        fn anything_is_read(octets in proptest::collection::vec(any::<u8>(), 0..200), charset in "[a-z0-9-]{0,12}") {
            let _ = (base64(&octets), quoted_printable(&octets), text(&octets, charset.as_bytes()));
        }
    }
}

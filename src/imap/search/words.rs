//! The text of a header field's value: on one line, encoded words decoded (RFC 2047).

use std::borrow::Cow;

use super::decode;

/// Longer words are none, in octets: RFC 2047 §2 allows 75, and not everybody keeps to it.
const MAX_WORD_BYTES: usize = 8 * 1024;

/// The text of `value`, still folded where it was: white space is made one by who folds it.
pub(super) fn text(value: &[u8]) -> Cow<'_, str> {
    let Some(first) = memchr::memmem::find(value, b"=?") else {
        return String::from_utf8_lossy(value);
    };
    let mut text = Text::default();
    let (plain, mut rest) = value.split_at(first);
    text.push_plain(plain);
    while !rest.is_empty() {
        if let Some((word, behind)) = word(rest) {
            text.push_word(&word);
            rest = behind;
        } else {
            let end = rest.get(1..).and_then(|more| memchr::memmem::find(more, b"=?"));
            let (plain, more) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            text.push_plain(plain);
            rest = more;
        }
    }
    Cow::Owned(text.finish())
}

/// An encoded word.
struct Word<'a> {
    charset: &'a [u8],
    octets: Vec<u8>,
}

/// The encoded word that `text` begins with, and what stands behind it.
fn word(text: &[u8]) -> Option<(Word<'_>, &[u8])> {
    let (charset, rest) = until_mark(text.strip_prefix(b"=?")?)?;
    let (encoding, rest) = until_mark(rest)?;
    let near = rest.get(..MAX_WORD_BYTES).unwrap_or(rest);
    let end = memchr::memmem::find(near, b"?=")?;
    let (data, behind) = rest.split_at_checked(end)?;
    // RFC 2231 §5 puts a language behind the charset.
    let charset = charset.split(|byte| *byte == b'*').next()?;
    let octets = match encoding {
        b"B" | b"b" => decode::base64(data),
        b"Q" | b"q" => {
            let spaced = |byte: &u8| if *byte == b'_' { b' ' } else { *byte };
            decode::quoted_printable(&data.iter().map(spaced).collect::<Vec<u8>>())
        }
        _ => return None,
    };
    Some((Word { charset, octets }, behind.get(2..)?))
}

/// What stands before the next question mark and behind it; neither is far away.
fn until_mark(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let near = text.get(..64).unwrap_or(text);
    let (before, rest) = text.split_at_checked(memchr::memchr(b'?', near)?)?;
    Some((before, rest.get(1..)?))
}

/// A text in the making.
#[derive(Default)]
struct Text<'a> {
    done: String,
    /// Octets of words that follow each other in one charset: some mailers cut letters in two.
    pending: Vec<u8>,
    charset: &'a [u8],
    /// White space behind a word, which does not count before another one (RFC 2047 §6.2).
    space: &'a [u8],
    after_word: bool,
}

impl<'a> Text<'a> {
    fn push_plain(&mut self, plain: &'a [u8]) {
        if self.after_word && plain.trim_ascii().is_empty() {
            self.space = plain;
            return;
        }
        self.flush();
        self.done.push_str(&String::from_utf8_lossy(plain));
        self.after_word = false;
    }

    fn push_word(&mut self, word: &Word<'a>) {
        self.space = b"";
        self.after_word = true;
        if !self.charset.eq_ignore_ascii_case(word.charset) {
            self.decode();
            self.charset = word.charset;
        }
        self.pending.extend_from_slice(&word.octets);
    }

    /// Ends a run of words, with the white space behind it.
    fn flush(&mut self) {
        self.decode();
        self.done.push_str(&String::from_utf8_lossy(std::mem::take(&mut self.space)));
    }

    fn decode(&mut self) {
        let octets = std::mem::take(&mut self.pending);
        self.done.push_str(&decode::text(&octets, self.charset));
    }

    fn finish(mut self) -> String {
        self.flush();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encoded_words() {
        for (value, decoded) in [
            ("plain", "plain"),
            ("=?utf-8?Q?Gr=C3=BC=C3=9Fe?= =?utf-8?q?_aus?=\r\n Köln", "Grüße aus\r\n Köln"),
            ("a =?iso-8859-1*de?b?/A==?= b", "a ü b"),
            ("=?utf-8?Q?=C3?= \r\n =?UTF-8?Q?=BC?=", "ü"),
            ("=?utf-8?Q?a?=b =?utf-8?Q?c?= ", "ab c "),
            ("=?utf-8?B?broken", "=?utf-8?B?broken"),
            ("=?utf-8?X?a?= =?=?utf-8?Q?b?=", "=?utf-8?X?a?= =?b"),
            ("=?x-nosuch?Q?a?=", "a"),
            ("=?=?=?", "=?=?=?"),
        ] {
            assert_eq!(text(value.as_bytes()), decoded, "{value}");
        }
    }

    #[test]
    fn words_without_end_take_no_time_without_end() {
        let hostile = b"=?a?q? ".repeat(200_000);
        assert_eq!(text(&hostile).len(), hostile.len());
    }

    proptest! {
        #[test]
        fn any_value_has_a_text(value in "(=\\?|\\?=|utf-8|\\?[QB]\\?|[a-z=]| |\r\n){0,30}") {
            let _ = text(value.as_bytes());
        }

        #[test]
        fn values_without_words_stay(value in "[^=]{0,60}") {
            prop_assert_eq!(text(value.as_bytes()), value.as_str());
        }
    }
}

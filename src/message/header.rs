//! The header block of a message or of a MIME part (RFC 5322 §2.2), as it stands.

use std::ops::Range;

use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

/// The longest value of a field that is looked into, in octets. Nobody writes longer ones but to keep
/// a parser busy: what is longer is left as not understood.
const MAX_VALUE_BYTES: usize = 64 * 1024;

/// The end of the header block that starts at `start`: the offset behind the empty line, which
/// counts as part of the header, or the end of `bytes` where there is none.
pub fn end_of_header(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(line) = line_at(bytes, at) {
        at = line.end;
        if is_empty_line(bytes.get(line).unwrap_or_default()) {
            break;
        }
    }
    at
}

/// The line that starts at `start`, its line end included; `None` at the end of `bytes`.
pub(super) fn line_at(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
    let len = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
    Some(start..start + len)
}

/// Whether `line`, line end included, is the empty line that ends a header.
pub(super) fn is_empty_line(line: &[u8]) -> bool {
    matches!(line, b"\r\n" | b"\n")
}

/// One field of a header block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name before the colon; empty for a line that is no field.
    pub name: &'a [u8],
    /// What stands behind the colon, folded as it came, without the last line end.
    pub value: &'a [u8],
    /// The whole field with every line end.
    pub raw: &'a [u8],
}

impl Field<'_> {
    /// Whether this is the field `name` (RFC 5322 §1.2.2: case does not matter).
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value on one line: line ends removed, white space around it dropped.
    pub fn unfolded(&self) -> Vec<u8> {
        let value = self.value.iter().copied();
        let flat: Vec<u8> = value.filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
        flat.trim_ascii().to_vec()
    }
}

/// The fields of a header block in their order. A line without a colon comes as a field with no
/// name, so that the raw pieces always add up to the block.
pub fn fields(block: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let first = line_at(block, at)?;
        if is_empty_line(block.get(first.clone()).unwrap_or_default()) {
            return None;
        }
        let mut end = first.end;
        while matches!(block.get(end), Some(b' ' | b'\t')) {
            let Some(next) = line_at(block, end) else { break };
            end = next.end;
        }
        let raw = block.get(at..end).unwrap_or_default();
        at = end;
        Some(split_field(raw, first.len()))
    })
}

fn split_field(raw: &[u8], first_line_len: usize) -> Field<'_> {
    let line_end =
        raw.strip_suffix(b"\n").map_or(raw, |rest| rest.strip_suffix(b"\r").unwrap_or(rest));
    match memchr::memchr(b':', raw.get(..first_line_len).unwrap_or_default()) {
        Some(colon) => Field {
            name: raw.get(..colon).unwrap_or_default().trim_ascii_end(),
            value: line_end.get(colon + 1..).unwrap_or_default(),
            raw,
        },
        None => Field { name: b"", value: line_end, raw },
    }
}

/// So many fields of a header are kept told apart: more than mail has, and little memory beside a message
/// made of nothing else.
const MAX_KEPT_FIELDS: usize = 1024;

/// A header block told apart into its fields, once for everybody who asks about them.
#[derive(Debug, Clone)]
pub struct Header<'a> {
    block: &'a [u8],
    kept: Vec<Field<'a>>,
    /// What stands behind the kept ones, told apart each time that somebody looks there.
    rest: &'a [u8],
}

impl<'a> Header<'a> {
    /// Tells `block` apart.
    pub fn parse(block: &'a [u8]) -> Self {
        let kept: Vec<Field<'a>> = fields(block).take(MAX_KEPT_FIELDS).collect();
        let kept_bytes = kept.iter().map(|field| field.raw.len()).sum();
        Self { block, kept, rest: block.get(kept_bytes..).unwrap_or_default() }
    }

    /// All of it as it stands.
    pub fn block(&self) -> &'a [u8] {
        self.block
    }

    /// The fields in their order, as [`fields`] gives them.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> {
        self.kept.iter().copied().chain(fields(self.rest))
    }

    /// The first field called `name`.
    pub fn first(&self, name: &str) -> Option<Field<'a>> {
        self.fields().find(|field| field.is(name))
    }

    /// The message's own id: the value of its first Message-ID field on one line. `None` where there is
    /// no such field, nothing in it, or far too much.
    pub fn message_id(&self) -> Option<Vec<u8>> {
        let field = self.first("Message-ID").filter(|field| field.value.len() <= MAX_VALUE_BYTES);
        field.map(|field| field.unfolded()).filter(|id| !id.is_empty())
    }

    /// When the message was written, in seconds since 1970: its Date, else the date of its topmost
    /// Received (RFC 5321 §4.4). `None` where neither is a date.
    pub fn date(&self) -> Option<i64> {
        let own = self.first("Date").and_then(|field| parse_date(field.value));
        own.or_else(|| {
            let received = self.first("Received")?;
            let stamp = memchr::memrchr(b';', received.value)?;
            parse_date(received.value.get(stamp + 1..)?)
        })
    }

    /// The Content-Type; `None` where there is none that can be understood, which means `text/plain`
    /// (RFC 2045 §5.2).
    pub fn content_type(&self) -> Option<ContentType> {
        let value = ended(self.first("Content-Type")?.value)?;
        let HeaderValue::ContentType(parsed) = MessageStream::new(&value).parse_content_type()
        else {
            return None;
        };
        let boundary = parsed.attribute("boundary").filter(|boundary| !boundary.is_empty());
        let has = |text: &[u8]| memchr::memmem::find(&value, text).is_some();
        // RFC 2231 §3 splits long values; anything else that does not stand there verbatim is in doubt.
        let is_split = has(b"oundary*") && value.is_ascii();
        let is_plain = boundary.is_none_or(|boundary| {
            is_split
                || has(format!("\"{boundary}\"").as_bytes())
                || has(format!("={boundary}").as_bytes())
        });
        Some(ContentType {
            is_plain,
            kind: parsed.ctype().to_ascii_lowercase(),
            subtype: parsed.subtype()?.to_ascii_lowercase(),
            boundary: boundary.map(str::to_owned),
        })
    }

    /// The transfer encoding in lower case; `7bit` where none is named (RFC 2045 §6.1).
    pub fn transfer_encoding(&self) -> String {
        let named = self.first("Content-Transfer-Encoding").map(|field| field.unfolded());
        let named = named.filter(|value| !value.is_empty()).unwrap_or_else(|| b"7bit".to_vec());
        // A comment may stand behind it.
        let end = named.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'(' | b';'));
        let named = named.get(..end.unwrap_or(named.len())).unwrap_or_default();
        String::from_utf8_lossy(named).to_ascii_lowercase()
    }
}

/// The last second that a Date can name with four digits of the year (RFC 5322 §3.3).
const LAST_DATE: i64 = 253_402_300_799;

fn parse_date(value: &[u8]) -> Option<i64> {
    match MessageStream::new(&ended(value)?).parse_date() {
        HeaderValue::DateTime(date) if date.is_valid() => {
            Some(date.to_timestamp()).filter(|seconds| (0..=LAST_DATE).contains(seconds))
        }
        _ => None,
    }
}

/// A Content-Type as far as the structure needs it (RFC 2045 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentType {
    /// The type in lower case, `text` for one.
    pub kind: String,
    /// The subtype in lower case, `plain` for one.
    pub subtype: String,
    /// What separates the parts of a multipart, when it is given and not empty.
    pub boundary: Option<String>,
    /// Whether other readers find the same boundary: false where one was made of what looks like an
    /// encoded word (RFC 2047), which has no place there.
    pub is_plain: bool,
}

/// mail-parser wants the line end behind a value.
fn ended(value: &[u8]) -> Option<Vec<u8>> {
    (value.len() <= MAX_VALUE_BYTES).then(|| [value, b"\r\n"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_id(block: &[u8]) -> Option<Vec<u8>> {
        Header::parse(block).message_id()
    }

    fn date(block: &[u8]) -> Option<i64> {
        Header::parse(block).date()
    }

    fn content_type(block: &[u8]) -> Option<ContentType> {
        Header::parse(block).content_type()
    }

    fn transfer_encoding(block: &[u8]) -> String {
        Header::parse(block).transfer_encoding()
    }

    const BLOCK: &[u8] = b"Received: from a by b;\r\n\tTue, 3 Nov 2026 10:00:30 +0100\r\nno colon here\r\nSubject : folded\r\n value\r\nMESSAGE-ID:\r\n <1@example.org>\r\n\r\nbody: no\r\n";

    #[test]
    fn fields_add_up_to_the_block() {
        let end = end_of_header(BLOCK, 0);
        assert_eq!(&BLOCK[end..], b"body: no\r\n");
        let pieces: Vec<u8> = fields(BLOCK).flat_map(|f| f.raw.to_vec()).collect();
        assert_eq!([&pieces[..], b"\r\n"].concat(), &BLOCK[..end]);
        let names: Vec<&[u8]> = fields(BLOCK).map(|f| f.name).collect();
        assert_eq!(names, [&b"Received"[..], b"", b"Subject", b"MESSAGE-ID"]);
    }

    #[test]
    fn no_field_is_overlooked_behind_those_kept() {
        let block = [&b"X: y\r\n".repeat(2 * MAX_KEPT_FIELDS)[..], BLOCK].concat();
        let header = Header::parse(&block);
        assert_eq!(header.fields().count(), 2 * MAX_KEPT_FIELDS + 4);
        assert!(header.fields().eq(fields(&block)));
        assert_eq!(header.message_id().unwrap(), b"<1@example.org>");
    }

    #[test]
    fn finds_id_and_date() {
        assert_eq!(message_id(BLOCK).unwrap(), b"<1@example.org>");
        assert_eq!(date(BLOCK), Some(1_793_696_430));
        assert_eq!(date(b"Date: yesterday\r\n\r\n"), None);
        let before = b"Date: Mon, 1 Jan 1962 00:00:00 +0000\r\nReceived: x; Thu, 1 Jan 1970 00:02:00 +0000\r\n\r\n";
        assert_eq!(date(before), Some(120));
        assert_eq!(date(b"Date: Thu, 1 Jan 1970 00:01:00 +0000\n\n"), Some(60));
        assert_eq!(message_id(b"Message-ID: \r\n\r\n"), None);
    }

    #[test]
    fn understands_content_types() {
        let parsed =
            content_type(b"Content-Type: Multipart/Mixed;\r\n boundary=\"a b\"\r\n\r\n").unwrap();
        assert_eq!((parsed.kind.as_str(), parsed.subtype.as_str()), ("multipart", "mixed"));
        assert_eq!(parsed.boundary.as_deref(), Some("a b"));
        assert_eq!(content_type(b"Subject: x\r\n\r\n"), None);
        assert_eq!(transfer_encoding(b"Content-Transfer-Encoding: BASE64\r\n\r\n"), "base64");
        assert_eq!(transfer_encoding(b"\r\n"), "7bit");
        let commented = b"Content-Transfer-Encoding: 7bit (as it is)\r\n\r\n";
        assert_eq!(transfer_encoding(commented), "7bit");
        let odd = b"Content-Type: multipart/mixed; boundary=\"=?utf-8?Q?ab?=\"\r\n\r\n";
        assert!(!content_type(odd).unwrap().is_plain);
        let raw = b"Content-Type: multipart/mixed; boundary=\xfcx\r\n\r\n";
        assert!(content_type(raw).is_none_or(|found| !found.is_plain));
    }
}

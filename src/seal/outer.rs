//! The outer message: the ordinary RFC 5322 message that carries a sealed one through every MTA,
//! store and backup.

use std::borrow::Cow;
use std::fmt;

use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::date::Date;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;
use mail_builder::mime::{BodyPart, MimePart};

use crate::message::header::Header;
use crate::secret;

use super::{signature, summary};

/// The type of the part that holds the body.
pub(super) const BODY_TYPE: &str = "application/vnd.nightsafe.sealed";

/// Fields of the original that stay readable in the outer message, as the policy names them.
#[derive(Debug, Clone, Default)]
pub struct ClearHeaders(Vec<String>);

impl ClearHeaders {
    /// Takes the names of the fields.
    ///
    /// # Errors
    /// For a name that is none (RFC 5322 §2.2), or one that the outer message needs for itself.
    pub fn new(names: &[String]) -> Result<Self, ClearHeadersError> {
        for name in names {
            let is_name =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
            let lower = name.to_ascii_lowercase();
            let own =
                [signature::FIELD, summary::FIELD].iter().any(|own| name.eq_ignore_ascii_case(own));
            if !is_name || own || lower == "mime-version" || lower.starts_with("content-") {
                return Err(ClearHeadersError(name.clone()));
            }
        }
        Ok(Self(names.to_vec()))
    }

    /// The named fields of a header, in their order, each value on one line.
    pub(super) fn pick(&self, header: &Header<'_>) -> Vec<(String, String)> {
        let mut picked: Vec<(String, String)> = Vec::new();
        for field in header.fields() {
            let Some(name) = self.0.iter().find(|name| field.is(name)) else { continue };
            let value = text(&field.unfolded()).replace(|c: char| c.is_control(), " ");
            let folds = value.len() <= MAX_CLEAR_BYTES
                && value.split(' ').all(|word| word.len() <= MAX_CLEAR_WORD_BYTES);
            if value.trim().is_empty() || !folds || picked.len() == MAX_CLEAR_FIELDS {
                continue;
            }
            // RFC 5322 §3.6: one of each of these; a second one would be somebody's trick.
            let single = FIXED.iter().any(|fixed| field.is(fixed));
            if !(single && picked.iter().any(|(picked, _)| picked == name)) {
                picked.push((name.clone(), value));
            }
        }
        picked
    }
}

/// The fields that the outer message has once, unless the original's own replaces them.
const FIXED: [&str; 5] = ["From", "To", "Subject", "Date", "Message-ID"];

/// The longest value that stays clear, in octets; a longer one stays sealed.
const MAX_CLEAR_BYTES: usize = 4096;
/// The longest word in it: a line may have 998 octets (RFC 5322 §2.1.1) and folds only at white space.
const MAX_CLEAR_WORD_BYTES: usize = 900;
/// How many fields stay clear: stores count the lines of a header.
const MAX_CLEAR_FIELDS: usize = 64;

/// Raw octets past ASCII are UTF-8 (RFC 6532), or what mail had before: Latin-1.
fn text(value: &[u8]) -> String {
    let latin1 = || value.iter().copied().map(char::from).collect();
    std::str::from_utf8(value).map_or_else(|_| latin1(), str::to_owned)
}

/// A field that cannot stay clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearHeadersError(String);

impl fmt::Display for ClearHeadersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field \"{}\" cannot stay readable: the outer message has its own", self.0)
    }
}

impl std::error::Error for ClearHeadersError {}

/// Everything that is written around and into the two parts.
pub(super) struct OuterMessage<'a> {
    pub(super) from: &'a str,
    pub(super) from_address: &'a str,
    pub(super) subject: &'a str,
    pub(super) date: i64,
    pub(super) message_id: &'a str,
    pub(super) clear: &'a [(String, String)],
    pub(super) notice: &'a str,
    pub(super) signature: &'a str,
    pub(super) summary: &'a str,
    pub(super) body: &'a [u8],
}

impl<'a> OuterMessage<'a> {
    /// The message, ready to be written with CRLF line ends.
    pub(super) fn build(&self) -> MessageBuilder<'a> {
        let kept =
            |name: &str| self.clear.iter().any(|(clear, _)| clear.eq_ignore_ascii_case(name));
        let mut message = MessageBuilder::new();
        if !kept("From") {
            message = message.from(Address::new_address(Some(self.from), self.from_address));
        }
        if !kept("To") {
            message = message.header("To", Raw::new("undisclosed-recipients:;"));
        }
        if !kept("Subject") {
            message = message.subject(self.subject);
        }
        if !kept("Date") {
            message = message.date(Date::new(self.date));
        }
        if !kept("Message-ID") {
            message = message.header("Message-ID", Raw::new(self.message_id));
        }
        for (name, value) in self.clear {
            let name = canonical_name(name);
            message = if value.is_ascii() {
                message.header(name, Raw::new(value.as_str()))
            } else {
                // As an encoded word (RFC 2047): the outer message is 7-bit throughout.
                message.header(name, Text::new(value.as_str()))
            };
        }
        message.body(self.body_part())
    }

    /// The multipart. Its header comes last in the message, and `Sealed-Summary` last in it: Cyrus
    /// stops caching at the thousandth line of a header.
    fn body_part(&self) -> MimePart<'a> {
        let boundary = format!("=_nightsafe_{:016x}", u64::from_ne_bytes(secret::random_bytes()));
        let kind = ContentType::new("multipart/mixed").attribute("boundary", boundary);
        let notice = BodyPart::Text(Cow::Borrowed(self.notice));
        let notice = MimePart::raw(notice)
            .header("Content-Type", ContentType::new("text/plain").attribute("charset", "utf-8"));
        let body = MimePart::new(BODY_TYPE, BodyPart::Binary(Cow::Borrowed(self.body)));
        MimePart::raw(BodyPart::Multipart(vec![notice, body]))
            .header("Content-Type", kind)
            .header(signature::FIELD, Raw::new(self.signature))
            .header(summary::FIELD, Raw::new(self.summary))
    }
}

/// mail-builder looks for these two by their exact names, and adds its own where it misses them.
fn canonical_name(name: &str) -> &str {
    if name.eq_ignore_ascii_case("Date") {
        "Date"
    } else if name.eq_ignore_ascii_case("Message-ID") {
        "Message-ID"
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_fields_cannot_stay_clear() {
        for name in
            ["content-type", "MIME-Version", "sealed-summary", "Nightsafe-Signature", "a b", ""]
        {
            assert!(ClearHeaders::new(&[name.to_owned()]).is_err(), "{name}");
        }
        let clear = ClearHeaders::new(&["subject".into(), "List-Id".into()]).unwrap();
        let block = b"Subject: a\r\n b\x07\r\nTo: x\r\nlist-id: <l>\r\n\r\n";
        let picked = clear.pick(&Header::parse(block));
        assert_eq!(picked, [("subject".into(), "a b ".into()), ("List-Id".into(), "<l>".into())]);
        let doubled = b"Subject: one\r\nSubject: two\r\nList-Id: a\r\nList-Id: b\r\n\r\n";
        let values: Vec<String> =
            clear.pick(&Header::parse(doubled)).into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["one", "a", "b"]);
        let long = format!("Subject: {}\r\nList-Id:\r\n\r\n", "x".repeat(901));
        assert_eq!(clear.pick(&Header::parse(long.as_bytes())), []);
        let many = "List-Id: a\r\n".repeat(1000);
        assert_eq!(clear.pick(&Header::parse(many.as_bytes())).len(), MAX_CLEAR_FIELDS);
        assert_eq!(clear.pick(&Header::parse(b"Subject: gr\xfc\xdfe\r\n\r\n"))[0].1, "grüße");
    }
}

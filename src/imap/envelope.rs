//! ENVELOPE (RFC 3501 §7.4.2): what a listing shows of a header.

use super::address::addresses;
use super::manner::Manner;
use super::write;
use crate::message::header;

/// The values of the fields that an envelope is made of, each as it stands.
#[derive(Default)]
struct Found<'a> {
    date: Option<&'a [u8]>,
    subject: Option<&'a [u8]>,
    in_reply_to: Option<&'a [u8]>,
    message_id: Option<&'a [u8]>,
    from: Vec<&'a [u8]>,
    sender: Vec<&'a [u8]>,
    reply_to: Vec<&'a [u8]>,
    to: Vec<&'a [u8]>,
    cc: Vec<&'a [u8]>,
    bcc: Vec<&'a [u8]>,
}

impl<'a> Found<'a> {
    /// Of a field that stands there twice the last counts.
    fn of(block: &'a [u8], manner: Manner) -> Self {
        let mut found = Self::default();
        for field in header::fields(block) {
            let texts = [
                ("Date", &mut found.date),
                ("Subject", &mut found.subject),
                ("In-Reply-To", &mut found.in_reply_to),
                ("Message-ID", &mut found.message_id),
            ];
            for (name, place) in texts {
                if field.is(name) {
                    *place = Some(field.value);
                }
            }
            let lists = [
                ("From", &mut found.from),
                ("Sender", &mut found.sender),
                ("Reply-To", &mut found.reply_to),
                ("To", &mut found.to),
                ("Cc", &mut found.cc),
                ("Bcc", &mut found.bcc),
            ];
            for (name, place) in lists {
                if field.is(name) {
                    if manner == Manner::Cyrus {
                        place.clear();
                    }
                    place.push(field.value);
                }
            }
        }
        found
    }
}

/// Writes the envelope of the message with this header.
pub(super) fn write(block: &[u8], manner: Manner, out: &mut Vec<u8>) {
    let found = Found::of(block, manner);
    out.push(b'(');
    write::nstring(found.date.map(unfolded).as_deref(), out);
    out.push(b' ');
    let subject = found.subject.map(unfolded).map(|subject| manner.subject(subject));
    write::nstring(subject.as_deref(), out);
    write_list(&found.from, manner, out);
    // RFC 3501 §7.4.2: where there is no sender and nobody to reply to, it is who it is from.
    for values in [&found.sender, &found.reply_to] {
        let start = out.len();
        if !write_list(values, manner, out) {
            out.truncate(start);
            write_list(&found.from, manner, out);
        }
    }
    for values in [&found.to, &found.cc, &found.bcc] {
        write_list(values, manner, out);
    }
    for text in [found.in_reply_to, found.message_id] {
        out.push(b' ');
        write::nstring(text.map(unfolded).as_deref(), out);
    }
    out.push(b')');
}

/// The value without its line ends and what stands before its first octet.
pub(super) fn unfolded(value: &[u8]) -> Vec<u8> {
    let start = value.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    let value = value.get(start.unwrap_or(value.len())..).unwrap_or_default();
    value.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect()
}

/// Writes a space and a list, or NIL; tells whether there is any address.
fn write_list(values: &[&[u8]], manner: Manner, out: &mut Vec<u8>) -> bool {
    out.push(b' ');
    let start = out.len();
    for value in values {
        addresses(value, &mut |address| {
            if out.len() == start {
                out.push(b'(');
            }
            address.write(manner, out);
        });
    }
    if out.len() == start {
        write::nil(out);
        return false;
    }
    out.push(b')');
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(block: &str, manner: Manner) -> String {
        let mut out = Vec::new();
        write(block.as_bytes(), manner, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_is_nil() {
        let nothing = "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)";
        assert_eq!(shown("", Manner::Cyrus), nothing);
        assert_eq!(shown("no field\r\nX: y\r\n\r\nSubject: body\r\n", Manner::Cyrus), nothing);
    }

    #[test]
    fn every_place() {
        let block = "SUBJECT:  a\r\n  b \r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\nFrom: A <a@b>\r\nReply-To: r@b\r\nTo: t@b\r\nCc: c@b\r\nBcc: d@b\r\nIn-Reply-To: <1@b>\r\n <2@b>\r\nMessage-ID:\r\n\r\n";
        let addresses = r#"(("A" NIL "a" "b")) (("A" NIL "a" "b")) ((NIL NIL "r" "b")) ((NIL NIL "t" "b")) ((NIL NIL "c" "b")) ((NIL NIL "d" "b"))"#;
        let with = |subject: &str| {
            format!(
                r#"("Mon, 1 Jan 2024 00:00:00 +0000" "{subject}" {addresses} "<1@b> <2@b>" "")"#
            )
        };
        assert_eq!(shown(block, Manner::Cyrus), with("a  b "));
        assert_eq!(shown(block, Manner::Dovecot), with("a b"));
    }

    #[test]
    fn fields_that_stand_there_twice() {
        let block = "Subject: 1\r\nSubject: 2\r\nTo: a@b\r\nTo: c@d\r\n\r\n";
        let cyrus = shown(block, Manner::Cyrus);
        assert!(cyrus.contains("\"2\"") && !cyrus.contains("\"1\"") && !cyrus.contains("\"a\""));
        let dovecot = shown(block, Manner::Dovecot);
        assert!(dovecot.contains(r#" ((NIL NIL "a" "b")(NIL NIL "c" "d")) "#), "{dovecot}");
    }
}

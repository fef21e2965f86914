//! What is known of one sealed message, and what of it a key looks at.

use std::cell::OnceCell;
use std::fmt;

use crate::message::header::{end_of_header, fields};
use crate::seal::Summary;

use super::date::Day;
use super::key::{Content, When};
use super::needle::{Needle, fold};
use super::scan::{self, Wanted};
use super::words;

/// One sealed message, as far as it is open.
pub struct Mail<'a> {
    header: &'a [u8],
    /// Fields that are not in `header` though the message has them, in lower case.
    omitted: &'a [String],
    size: u64,
    message: Option<&'a [u8]>,
    /// Of each text that is looked for in bodies, whether it is there.
    found: OnceCell<Vec<bool>>,
}

impl fmt::Debug for Mail<'_> {
    /// Nothing of the message but its size: the rest was sealed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mail({} octets)", self.size)
    }
}

impl<'a> Mail<'a> {
    /// A message of which only the summary is open.
    pub fn listed(summary: &'a Summary) -> Self {
        Self {
            header: summary.header(),
            omitted: &summary.omitted,
            size: summary.size,
            message: None,
            found: OnceCell::new(),
        }
    }

    /// A message that is open.
    pub fn opened(message: &'a [u8]) -> Self {
        Self {
            header: message.get(..end_of_header(message, 0)).unwrap_or_default(),
            omitted: &[],
            size: message.len() as u64,
            message: Some(message),
            found: OnceCell::new(),
        }
    }

    /// Whether what `content` asks about holds; `None` until the message is opened.
    pub(super) fn holds(&self, content: &Content) -> Option<bool> {
        match content {
            Content::Header(named, needle) => self.field_holds(named.field(), needle),
            Content::Sent(when, day) => {
                let sent = Day::sent(self.header);
                Some(match when {
                    When::Before => sent < *day,
                    When::On => sent == *day,
                    When::Since => sent >= *day,
                })
            }
            Content::Larger(octets) => Some(self.size > u64::from(*octets)),
            Content::Smaller(octets) => Some(self.size < u64::from(*octets)),
            // These are looked for together: see `body_holds`.
            Content::Body(_) | Content::Text(_) => None,
        }
    }

    fn field_holds(&self, name: &str, needle: &Needle) -> Option<bool> {
        if name.is_empty() {
            // A line that is no field has no name.
            return Some(false);
        }
        let mut folded = Vec::new();
        let mut named = fields(self.header).filter(|field| field.is(name));
        let is_found = named.any(|field| {
            folded.clear();
            let text = words::text(field.value.trim_ascii());
            fold(&text, needle.manner(), true, &mut folded);
            needle.is_in(&folded)
        });
        let is_omitted = || self.omitted.iter().any(|omitted| name.eq_ignore_ascii_case(omitted));
        match is_found {
            false if is_omitted() => needle.is_empty().then_some(true),
            found => Some(found),
        }
    }

    /// Whether the text `wanted[at]` is there; `None` until the message is opened, unless it is in what is
    /// open already.
    pub(super) fn body_holds(&self, wanted: &[Wanted], at: usize) -> Option<bool> {
        let asked = wanted.get(at)?;
        if asked.needle.is_empty() {
            return Some(true);
        }
        let Some(message) = self.message else {
            return scan::header_holds(self.header, asked).then_some(true);
        };
        self.found.get_or_init(|| scan::message(message, wanted)).get(at).copied()
    }
}

#[cfg(test)]
impl<'a> Mail<'a> {
    /// A message of which only this is known.
    pub(super) fn of_header(header: &'a [u8], omitted: &'a [String], size: u64) -> Self {
        Self { header, omitted, size, message: None, found: OnceCell::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Manner, Program, Truth};
    use super::*;

    const MESSAGE: &str = "From: \"Doe, John\" <john@doe.test>\r\nTo: a <a@a.test>,\r\n\tb <b@b.test>\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?Q?_aus?= the  WALNUT harvest\r\nDate: Tue, 3 Nov 2026 23:30:30 -0500\r\nX-Empty:\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\nX-Part: partheader\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<b class=3Dx>M=FCnchen</b> soft=\r\nbreak\r\nnext line\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner subject\r\n\r\ninner body\r\n--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\naW4gYmFzZTY0\r\n--b\r\nContent-Type: image/png; name=pixel.png\r\nContent-Transfer-Encoding: base64\r\n\r\naW1hZ2V0ZXh0\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n--b--\r\nepilogue\r\n";

    fn truth(program: &str, manner: Manner, mail: &Mail<'_>) -> Truth {
        Program::parse(program.as_bytes(), manner).unwrap().evaluate(1, &[], mail)
    }

    #[track_caller]
    fn matches(manner: Manner, programs: &[&str], expected: Truth) {
        for program in programs {
            let mail = Mail::opened(MESSAGE.as_bytes());
            assert_eq!(truth(program, manner, &mail), expected, "{program} {manner:?}");
        }
    }

    const BOTH: [Manner; 2] = [Manner::Dovecot, Manner::Cyrus];

    #[test]
    fn header_keys() {
        for manner in BOTH {
            let found = [
                "FROM \"doe, john\"",
                "FROM JOHN@doe",
                "TO \"a.test>, b\"",
                "SUBJECT {13}\r\ngrüße aus t",
                "SUBJECT \"the walnut\"",
                "HEADER X-Empty \"\"",
                "HEADER subject harvest",
                "SUBJECT \"\"",
                "SENTON 3-Nov-2026",
                "SENTBEFORE 4-Nov-2026",
                "SENTSINCE 3-Nov-2026",
            ];
            matches(manner, &found, Truth::Yes);
            let missed = [
                "FROM walnut",
                "CC \"\"",
                "HEADER X-Nosuch \"\"",
                "SUBJECT utf-8",
                "SENTON 4-Nov-2026",
                "HEADER X-Part \"\"",
                "HEADER \"\" \"\"",
            ];
            matches(manner, &missed, Truth::No);
            let size = MESSAGE.len();
            let sizes = [format!("LARGER {}", size - 1), format!("SMALLER {}", size + 1)];
            matches(manner, &sizes.each_ref().map(String::as_str), Truth::Yes);
            let sizes = [format!("LARGER {size}"), format!("SMALLER {size}")];
            matches(manner, &sizes.each_ref().map(String::as_str), Truth::No);
        }
    }

    #[test]
    fn body_and_text() {
        for manner in BOTH {
            let found = [
                "BODY softbreak",
                "BODY {8}\r\nmünchen",
                "BODY \"class=x\"",
                "BODY \"inner body\"",
                "BODY \"in base64\"",
                "TEXT \"inner subject\"",
                "TEXT partheader",
                "TEXT pixel.png",
                "TEXT \"subject: gr\"",
                "TEXT \"X-Empty:\"",
                "BODY \"\"",
            ];
            matches(manner, &found, Truth::Yes);
            let missed = [
                "BODY preamble",
                "BODY epilogue",
                "BODY imagetext",
                "BODY aW1hZ2V0",
                "BODY walnut",
                "TEXT preamble",
            ];
            matches(manner, &missed, Truth::No);
        }
        let parts = ["BODY partheader", "BODY \"inner subject\"", "BODY pixel.png"];
        let loose =
            ["BODY munchen", "BODY \"softbreak next\"", "SUBJECT \"grusse\"", "TEXT grusse"];
        matches(Manner::Cyrus, &parts, Truth::Yes);
        matches(Manner::Dovecot, &parts, Truth::No);
        matches(Manner::Cyrus, &loose[..2], Truth::Yes);
        matches(Manner::Dovecot, &loose, Truth::No);
        matches(Manner::Dovecot, &["BODY reporting-mta"], Truth::Yes);
        matches(Manner::Cyrus, &["BODY reporting-mta"], Truth::No);
    }

    #[test]
    fn opened_only_where_the_summary_does_not_decide() {
        let end = end_of_header(MESSAGE.as_bytes(), 0);
        let omitted = ["dkim-signature".to_owned()];
        for (program, known) in [
            ("SUBJECT walnut", Truth::Yes),
            ("BODY inner", Truth::Unknown),
            ("BODY inner SUBJECT nowhere", Truth::No),
            ("OR BODY inner SUBJECT walnut", Truth::Yes),
            ("NOT (BODY inner SUBJECT walnut)", Truth::Unknown),
            ("TEXT walnut", Truth::Yes),
            ("TEXT inner", Truth::Unknown),
            ("HEADER DKIM-Signature \"\"", Truth::Yes),
            ("HEADER DKIM-Signature x", Truth::Unknown),
            ("OR HEADER DKIM-Signature x LARGER 1", Truth::Yes),
        ] {
            let mail = Mail::of_header(&MESSAGE.as_bytes()[..end], &omitted, 9);
            assert_eq!(truth(program, Manner::Dovecot, &mail), known, "{program}");
        }
    }

    #[test]
    fn nothing_of_a_message_is_shown() {
        let shown = format!("{:?}", Mail::opened(MESSAGE.as_bytes()));
        let program = Program::parse(b"SUBJECT walnut", Manner::Dovecot).unwrap();
        let asked = format!("{program:?}");
        assert!(!shown.contains("walnut") && !asked.contains("walnut"), "{shown} {asked}");
    }
}

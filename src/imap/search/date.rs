//! Days: those that a search names, and those of Date fields, whatever the time zone (RFC 3501 §6.4.4).

use std::fmt;

use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

use super::super::token::{Cursor, Malformed};
use crate::message::header::fields;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Longer values of a field are no dates, in octets.
const MAX_DATE_BYTES: usize = 1024;

/// A day of the calendar. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day {
    year: u16,
    month: u8,
    day: u8,
}

impl Day {
    /// The day of a message that has no date, as Dovecot has it.
    const NONE: Self = Self { year: 1970, month: 1, day: 1 };

    /// Reads `1-Feb-1994`, quoted or not (RFC 3501 §9 `date`).
    pub(super) fn read(at: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let is_quoted = at.eat(b'"');
        let day = number(at, 1..=2)?;
        at.expect(b'-')?;
        let name = at.word(|byte| byte.is_ascii_alphabetic())?;
        let month =
            MONTHS.iter().zip(1..).find(|(month, _)| name.eq_ignore_ascii_case(month.as_bytes()));
        at.expect(b'-')?;
        let year = number(at, 4..=4)?;
        if is_quoted {
            at.expect(b'"')?;
        }
        match (u8::try_from(day), month) {
            (Ok(day @ 1..=31), Some((_, month))) => Ok(Self { year, month, day }),
            _ => Err(Malformed),
        }
    }

    /// The day that the Date of the message with this header block names.
    pub(super) fn sent(block: &[u8]) -> Self {
        let date = fields(block).find(|field| field.is("Date"));
        date.and_then(|field| calendar_day(field.value)).unwrap_or(Self::NONE)
    }
}

impl fmt::Display for Day {
    /// As a search has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let month = usize::from(self.month).checked_sub(1).and_then(|at| MONTHS.get(at));
        write!(f, "{}-{}-{:04}", self.day, month.unwrap_or(&"Jan"), self.year)
    }
}

fn number(at: &mut Cursor<'_>, digits: std::ops::RangeInclusive<usize>) -> Result<u16, Malformed> {
    let text = at.word(|byte| byte.is_ascii_digit())?;
    let text = std::str::from_utf8(text).ok().filter(|text| digits.contains(&text.len()));
    text.and_then(|text| text.parse().ok()).ok_or(Malformed)
}

/// The day that a Date field names, by its own clock.
fn calendar_day(value: &[u8]) -> Option<Day> {
    let value = value.get(..MAX_DATE_BYTES).unwrap_or(value);
    match MessageStream::new(&[value, b"\r\n"].concat()).parse_date() {
        HeaderValue::DateTime(date) if date.is_valid() => {
            Some(Day { year: date.year, month: date.month, day: date.day })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Day, Malformed> {
        let mut at = Cursor::new(text.as_bytes());
        let day = Day::read(&mut at)?;
        at.end()?;
        Ok(day)
    }

    #[test]
    fn days_of_a_search() {
        assert_eq!(read("1-Feb-1994").unwrap().to_string(), "1-Feb-1994");
        assert_eq!(read("\"01-fEB-1994\""), read("1-Feb-1994"));
        assert!(read("31-Dec-1993").unwrap() < read("1-Jan-1994").unwrap());
        for text in [
            "1-Feb-94",
            "1-Fev-1994",
            "0-Feb-1994",
            "32-Jan-1994",
            "\"1-Feb-1994",
            "1 Feb 1994",
            "100-Jan-1994",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn days_of_messages() {
        let sent = |block: &str| Day::sent(block.as_bytes()).to_string();
        assert_eq!(sent("Date: Tue, 3 Nov 2026 23:30:30 -0500\r\n\r\n"), "3-Nov-2026");
        assert_eq!(sent("date: Wed, 4 Nov 2026 00:30:30 +0500\r\n\r\n"), "4-Nov-2026");
        assert_eq!(sent("Date: Fri, 6 Nov 98 10:00:00 GMT\r\n\r\n"), "6-Nov-1998");
        assert_eq!(sent("Date: nonsense\r\n\r\n"), "1-Jan-1970");
        assert_eq!(sent(""), "1-Jan-1970");
    }
}

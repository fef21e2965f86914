//! For how long the certificate that clients are shown is good (RFC 5280 section 4.1.2.5).

use std::fmt;

use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::time::Time;

use crate::config;

use super::tls::{self, TlsProblem};

/// A renewal should have been there when so little is left, in seconds: two weeks, or of a certificate for
/// a short time one fifth.
const LATE: u64 = 14 * 24 * 60 * 60;

/// From when and until when a certificate is good.
#[derive(Clone, Copy)]
pub struct Validity {
    begins: Time,
    ends: Time,
}

/// What a certificate is worth at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// It is good for a while yet.
    Good,
    /// It is not good yet.
    Early,
    /// It ends soon.
    Late,
    /// It has ended.
    Ended,
}

/// Reads it from the first certificate of `[imap] tls_certificate`.
///
/// # Errors
/// Where there is none, or it is not written as RFC 5280 has it.
pub fn validity(settings: &config::Imap) -> Result<Validity, TlsProblem> {
    let path = &settings.tls_certificate;
    let wrong = |problem: String| TlsProblem::File { path: path.clone(), problem };
    let first = tls::certificates(path)?.into_iter().next();
    let first = first.ok_or_else(|| wrong("no certificate in PEM".into()))?;
    let read = Certificate::from_der(&first).map_err(|error| wrong(error.to_string()))?;
    let validity = read.tbs_certificate().validity();
    Ok(Validity { begins: validity.not_before, ends: validity.not_after })
}

impl Validity {
    /// What it is worth at a time in seconds after 1970.
    pub fn at(&self, now: u64) -> Worth {
        let [begins, ends] = [self.begins, self.ends].map(|time| time.to_unix_duration().as_secs());
        let late = LATE.min(ends.saturating_sub(begins) / 5);
        match now {
            _ if now > ends => Worth::Ended,
            _ if now < begins => Worth::Early,
            _ if ends - now < late => Worth::Late,
            _ => Worth::Good,
        }
    }

    /// When it begins, as RFC 3339 writes it.
    pub fn begins(&self) -> impl fmt::Display {
        self.begins.to_date_time()
    }

    /// When it ends, in the same form.
    pub fn ends(&self) -> impl fmt::Display {
        self.ends.to_date_time()
    }
}

impl fmt::Debug for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Validity({} to {})", self.begins(), self.ends())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use x509_cert::der::asn1::GeneralizedTime;

    const DAY: u64 = 24 * 60 * 60;

    fn of(begins: u64, days: u64) -> Validity {
        let [begins, ends] = [begins, begins + days * DAY].map(|seconds| {
            let time = GeneralizedTime::from_unix_duration(Duration::from_secs(seconds));
            Time::GeneralTime(time.unwrap())
        });
        Validity { begins, ends }
    }

    #[test]
    fn worth_by_the_day() {
        let begins = 1_795_000_000;
        let validity = of(begins, 90);
        assert_eq!(validity.at(begins - 1), Worth::Early);
        for (days, worth) in
            [(0, Worth::Good), (75, Worth::Good), (77, Worth::Late), (90, Worth::Late)]
        {
            assert_eq!(validity.at(begins + days * DAY), worth, "{days}");
        }
        assert_eq!(validity.at(begins + 90 * DAY + 1), Worth::Ended);
        // For six days: renewed in good time it has two left.
        let validity = of(begins, 6);
        assert_eq!(validity.at(begins + 4 * DAY), Worth::Good);
        assert_eq!(validity.at(begins + 5 * DAY), Worth::Late);
        assert_eq!(
            format!("{:?}", of(0, 1)),
            "Validity(1970-01-01T00:00:00Z to 1970-01-02T00:00:00Z)"
        );
    }
}

//! The differences that stay, each with its reason. The README has the same list.

use super::compare::Difference;

/// What the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Cyrus,
    Dovecot,
}

/// One kind of difference that may be.
pub struct Allowed {
    pub what: &'static str,
    pub reason: &'static str,
    /// The store at which it occurs; both when nothing is said.
    pub at: Option<Kind>,
    pub is: fn(&Difference) -> bool,
}

pub const ALLOWED: [Allowed; 5] = [
    Allowed {
        what: "raw eight-bit octets in a header",
        reason: "Cyrus writes an X over each when it stores a message, and what is sealed it cannot see",
        at: Some(Kind::Cyrus),
        is: |found| with_x(&found.proxy) == found.direct || is_about(found, &EIGHT_BIT_HEADERS),
    },
    Allowed {
        what: "SENTBEFORE, SENTON, SENTSINCE of a message without a Date, or with one that is obsolete",
        reason: "Cyrus knows no zone in letters and takes the time of arrival for a missing Date; to nightsafe \
                 such a message was sent at no time",
        at: Some(Kind::Cyrus),
        is: |found| found.command.contains("SENT") && is_about(found, &ODD_DATES),
    },
    Allowed {
        what: "SENTBEFORE, SENTSINCE of a message from before 1970",
        reason: "Dovecot takes it for one of the twenty-second century",
        at: Some(Kind::Dovecot),
        is: |found| found.command.contains("SENT") && is_about(found, &ODD_DATES),
    },
    Allowed {
        what: "words in a single part of ISO-8859-1 in quoted-printable",
        reason: "Cyrus does not find them",
        at: Some(Kind::Cyrus),
        is: |found| found.place == "found" && found.messages.iter().all(|name| is_latin(name)),
    },
    Allowed {
        what: "a charset that is not known",
        reason: "Cyrus says BAD, and RFC 3501 section 6.4.4 NO [BADCHARSET]",
        at: Some(Kind::Cyrus),
        is: |found| found.command.contains("NO-SUCH-CHARSET") && found.proxy == "NO [BADCHARSET]",
    },
];

const EIGHT_BIT_HEADERS: [&str; 4] = [
    "legacy/raw-koi8-r-headers.eml",
    "legacy/raw-latin1-headers.eml",
    "rfc/6532-utf8-headers.eml",
    "rfc/6533-global-delivery-status.eml",
];
const ODD_DATES: [&str; 0] = [];

/// Whether SEARCH found only these messages on only one side.
fn is_about(found: &Difference, names: &[&str]) -> bool {
    found.place == "found" && found.messages.iter().all(|name| names.contains(&name.as_str()))
}

/// Every sixth of these ([`super::made`]).
fn is_latin(name: &str) -> bool {
    let index = name.strip_prefix("made/single-").and_then(|index| index.parse::<usize>().ok());
    index.is_some_and(|index| index % 6 == 4)
}

/// What is shown of a string, each escaped octet made an X.
fn with_x(shown: &str) -> String {
    let mut out = String::new();
    let mut rest = shown;
    while let Some(at) = rest.find("\\x") {
        out.push_str(&rest[..at]);
        out.push('X');
        rest = &rest[at + 4..];
    }
    out + rest
}

/// Takes out what is allowed at this store. Whatever is allowed must occur: the list holds nothing that
/// is not so any more.
pub fn left_over(kind: Kind, found: Vec<Difference>) -> (Vec<Difference>, Vec<&'static str>) {
    let rules: Vec<_> =
        ALLOWED.iter().filter(|rule| rule.at.is_none_or(|at| at == kind)).collect();
    let mut used = vec![false; rules.len()];
    let mut left = Vec::new();
    for difference in found {
        match rules.iter().position(|rule| (rule.is)(&difference)) {
            Some(index) => used[index] = true,
            None => left.push(difference),
        }
    }
    let unused = rules.iter().zip(used).filter(|(_, used)| !used);
    (left, unused.map(|(rule, _)| rule.what).collect())
}

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

pub const ALLOWED: [Allowed; 10] = [
    Allowed {
        what: "raw eight-bit octets in a header",
        reason: "Cyrus writes an X over each when it stores a message, and what is sealed it cannot see",
        at: Some(Kind::Cyrus),
        is: |found| {
            with_x(&found.proxy) == with_x(&found.direct) || finds(found, &EIGHT_BIT_HEADERS)
        },
    },
    Allowed {
        what: "SENTBEFORE, SENTON, SENTSINCE of a message whose Date is missing or obsolete",
        reason: "Cyrus takes the time of arrival for a Date that it cannot read; to nightsafe, as to Dovecot, such a \
                 message is older than any other",
        at: Some(Kind::Cyrus),
        is: |found| found.command.contains("SENT") && finds(found, &ODD_DATES),
    },
    Allowed {
        what: "SENTBEFORE, SENTSINCE of a message from before 1970",
        reason: "Dovecot takes it for one of the twenty-second century",
        at: Some(Kind::Dovecot),
        is: |found| found.command.contains("SENT") && finds(found, &BEFORE_1970),
    },
    Allowed {
        what: "words in a single part of ISO-8859-1 in quoted-printable",
        reason: "Cyrus does not find them",
        at: Some(Kind::Cyrus),
        is: |found| found.place == "found" && all(found, is_latin),
    },
    Allowed {
        what: "a backslash before a line end inside of quotes",
        reason: "Cyrus leaves it out of a name, and it is part of the name",
        at: Some(Kind::Cyrus),
        is: |found| is_listed(found) && is_about(found, &["legacy/quoted-pairs-folded.eml"]),
    },
    Allowed {
        what: "SELECT without a name",
        reason: "Dovecot closes the open mailbox before it refuses; the proxy refuses, and the mailbox stays open",
        at: Some(Kind::Dovecot),
        is: |found| {
            let closed = found.direct.contains("[CLOSED]") || found.proxy.contains("[CLOSED]");
            found.place == "untagged" && closed && found.command.starts_with("SELECT")
        },
    },
    Allowed {
        what: "obsolete addresses (RFC 5322 section 4.4) and what is no address",
        reason: "Dovecot shows an empty place in a list as MISSING_MAILBOX, and reads words without an address in \
                 a way of its own",
        at: Some(Kind::Dovecot),
        is: |found| is_listed(found) && is_about(found, &OBSOLETE_ADDRESSES),
    },
    Allowed {
        what: "parameters in pieces (RFC 2231 section 4.1), some of them encoded",
        reason: "Dovecot joins them without encoding the others",
        at: Some(Kind::Dovecot),
        is: |found| is_listed(found) && is_about(found, &SPLIT_PARAMETERS),
    },
    Allowed {
        what: "the MIME header of an empty part that ends with its blank line",
        reason: "Dovecot counts that line end to the boundary only, Cyrus and nightsafe to both",
        at: Some(Kind::Dovecot),
        is: |found| found.place.contains(".MIME]") && is_about(found, &EMPTY_PARTS),
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
const ODD_DATES: [&str; 10] = [
    "legacy/date-three-digit-year.eml",
    "legacy/obs-date-two-digit-year.eml",
    "rfc/5322-a5-comments-and-folding.eml",
    "third-party/cpython-05-bounce-malformed.eml",
    "third-party/cpython-18-only-mime-fields.eml",
    "third-party/cpython-21-preamble-and-epilogue.eml",
    "third-party/cpython-28-digest.eml",
    "third-party/cpython-34-digest-with-text-part.eml",
    "third-party/cpython-37-empty-parts.eml",
    "third-party/cpython-40-html-with-boundary.eml",
];
const BEFORE_1970: [&str; 2] = ["rfc/5322-a1-3-group.eml", "rfc/5322-a5-comments-and-folding.eml"];
const OBSOLETE_ADDRESSES: [&str; 4] = [
    "legacy/comments-in-addresses.eml",
    "legacy/route-and-gateway-addresses.eml",
    "rfc/5322-a6-1-obsolete-addressing.eml",
    "rfc/5965-feedback-report.eml",
];
const SPLIT_PARAMETERS: [&str; 2] =
    ["rfc/2231-parameters.eml", "third-party/cpython-29-rfc2231-split-parameters.eml"];
const EMPTY_PARTS: [&str; 2] =
    ["sealed-looking/sealed-part-empty.eml", "third-party/cpython-12-nested-same-kind.eml"];

/// Whether it is about these messages only.
fn is_about(found: &Difference, names: &[&str]) -> bool {
    all(found, |name| names.contains(&name))
}

/// Whether SEARCH finds these messages, and no others, on one side only.
fn finds(found: &Difference, names: &[&str]) -> bool {
    found.place == "found" && is_about(found, names)
}

fn all(found: &Difference, is: impl Fn(&str) -> bool) -> bool {
    !found.messages.is_empty() && found.messages.iter().all(|name| is(name))
}

/// Whether it is about what a listing tells of a message.
fn is_listed(found: &Difference) -> bool {
    matches!(found.place.as_str(), "ENVELOPE" | "BODY" | "BODYSTRUCTURE")
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
    let rules: Vec<_> = ALLOWED.iter().filter(|rule| rule.at.is_none_or(|at| at == kind)).collect();
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

//! Whose a mailbox is (RFC 2342): the user's own, or somebody else's too.

use std::fmt;

use super::token::{Cursor, Malformed};

/// The prefixes of mailbox names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Namespaces {
    personal: Vec<Vec<u8>>,
    foreign: Vec<Vec<u8>>,
}

impl fmt::Debug for Namespaces {
    /// How many there are: their names are mailboxes'.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Namespaces({} personal, {} foreign)", self.personal.len(), self.foreign.len())
    }
}

impl Namespaces {
    /// Reads a response, `* NAMESPACE …`.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(response: &[u8]) -> Result<Self, Malformed> {
        let mut at = Cursor::new(response);
        at.expect(b'*')?;
        at.space()?;
        if at.keyword()? != "NAMESPACE" {
            return Err(Malformed);
        }
        at.space()?;
        let personal = prefixes(at.value()?)?;
        at.space()?;
        let mut foreign = prefixes(at.value()?)?;
        at.space()?;
        foreign.extend(prefixes(at.value()?)?);
        Ok(Self { personal, foreign })
    }

    /// Whether others may read what lies in this mailbox. The longest prefix decides, and of two that are
    /// as long the one of others.
    pub fn is_foreign(&self, mailbox: &[u8]) -> bool {
        let longest = |prefixes: &[Vec<u8>]| {
            let matching = prefixes.iter().filter(|prefix| is_below(mailbox, prefix));
            matching.map(Vec::len).max()
        };
        longest(&self.foreign) >= longest(&self.personal).or(Some(0))
            && longest(&self.foreign).is_some()
    }
}

/// Names are compared as if they had no letter case, since some servers do; the prefix itself, without
/// the delimiter at its end, is below it.
fn is_below(mailbox: &[u8], prefix: &[u8]) -> bool {
    let root = prefix.split_last().map_or(prefix, |(_, root)| root);
    let starts = |with: &[u8]| {
        mailbox.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    starts(prefix) || !root.is_empty() && mailbox.len() == root.len() && starts(root)
}

/// The prefixes of one class: NIL, or a list of `("prefix" "delimiter" …)`.
fn prefixes(class: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut prefixes = Vec::new();
    let Some(inner) = class.strip_prefix(b"(").and_then(|class| class.strip_suffix(b")")) else {
        return if class.eq_ignore_ascii_case(b"NIL") { Ok(prefixes) } else { Err(Malformed) };
    };
    let mut at = Cursor::new(inner);
    while !at.is_at_end() {
        let mut entry = Cursor::new(at.value()?);
        entry.expect(b'(')?;
        prefixes.push(entry.string()?.into_owned());
        while at.eat(b' ') {}
    }
    Ok(prefixes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose() {
        let cyrus =
            b"* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) ((\"Shared Folders/\" \"/\"))";
        let spaces = Namespaces::parse(cyrus).unwrap();
        for (mailbox, foreign) in [
            ("INBOX", false),
            ("Sent", false),
            ("Other Users/bob", true),
            ("other users", true),
            ("Shared Folders/team/x", true),
            ("Shared", false),
        ] {
            assert_eq!(spaces.is_foreign(mailbox.as_bytes()), foreign, "{mailbox}");
        }
        let old = b"* NAMESPACE ((\"INBOX.\" \".\")) ((\"user.\" \".\")) ((\"\" \".\"))";
        let spaces = Namespaces::parse(old).unwrap();
        assert!(!spaces.is_foreign(b"INBOX.Sent") && !spaces.is_foreign(b"inbox"));
        assert!(spaces.is_foreign(b"user.bob") && spaces.is_foreign(b"team"));
        let alone =
            Namespaces::parse(b"* NAMESPACE ((\"\" \"/\")(\"#mh/\" \"/\")) NIL NIL").unwrap();
        assert!(!alone.is_foreign(b"anything"));
        assert!(Namespaces::parse(b"* NAMESPACE (\"\" NIL").is_err());
        assert!(!Namespaces::default().is_foreign(b"x"));
    }
}

//! Whose mail is sealed, whose passes as it came, and what happens where there is no key yet.

use crate::config;
use crate::user::{Candidate, Canonical};

pub use crate::config::Unenrolled;

/// The rules of `[delivery]`.
#[derive(Debug, Clone)]
pub struct Policy {
    /// What happens to mail for somebody who is not enrolled.
    pub unenrolled: Unenrolled,
    /// Canonical names, before the map.
    pass: Vec<String>,
    seal_only: Option<Vec<String>>,
}

/// What is to be done with a recipient's mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It is sealed.
    Seal,
    /// It is handed on as it came.
    Pass,
}

impl Policy {
    /// The rules of the configuration.
    pub fn new(delivery: &config::Delivery, rules: &Canonical) -> Self {
        let names = |addresses: &[String]| addresses.iter().map(|a| rules.name(a)).collect();
        let seal_only = delivery.seal_only.as_slice();
        Self {
            unenrolled: delivery.unenrolled,
            pass: names(&delivery.pass),
            seal_only: (!seal_only.is_empty()).then(|| names(seal_only)),
        }
    }

    /// How mail to a recipient is treated who may be meant by `readings`, the most exact first: all of
    /// them where nobody is enrolled, else those down to the one that is.
    ///
    /// The most exact reading that is in a list decides, and mail is sealed where both lists have it. A
    /// list counts for the address that it names, with and without detail; to be passed, mail must not
    /// only reach somebody whom the map makes of another address.
    pub fn treatment(&self, readings: &[Candidate]) -> Treatment {
        let named = readings.iter().find_map(|reading| {
            self.listed(&reading.name).or_else(|| match self.listed(reading.user.as_str()) {
                Some(Treatment::Seal) => Some(Treatment::Seal),
                _ => None,
            })
        });
        named.unwrap_or(self.unnamed())
    }

    /// The same for an address that can be no user.
    pub fn treatment_of(&self, name: &str) -> Treatment {
        self.listed(name).unwrap_or(self.unnamed())
    }

    fn listed(&self, name: &str) -> Option<Treatment> {
        let has = |list: &[String]| list.iter().any(|listed| listed == name);
        if self.seal_only.as_deref().is_some_and(has) {
            Some(Treatment::Seal)
        } else {
            has(&self.pass).then_some(Treatment::Pass)
        }
    }

    /// What happens to everybody whom no list names.
    fn unnamed(&self) -> Treatment {
        if self.seal_only.is_some() { Treatment::Pass } else { Treatment::Seal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let mut rules =
            Canonical { delimiters: "+".into(), lowercase: true, ..Canonical::default() };
        rules.add_to_map("postmaster@x.org", "alice@x.org").unwrap();
        let listed = |pass: &[&str], seal_only: &[&str]| {
            let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let (pass, seal_only) = (list(pass), list(seal_only));
            Policy::new(
                &config::Delivery { pass, seal_only, ..config::Delivery::default() },
                &rules,
            )
        };
        let treat = |policy: &Policy, address: &str, depth: usize| {
            let readings = rules.candidates(address).unwrap();
            policy.treatment(readings.get(..depth).unwrap_or(&readings))
        };
        let pass = listed(&["Bob@x.org", "postmaster@x.org"], &[]);
        assert_eq!(treat(&pass, "alice@x.org", 1), Treatment::Seal);
        assert_eq!(treat(&pass, "postmaster@x.org", 1), Treatment::Pass);
        assert_eq!(treat(&pass, "bob@X.org", 1), Treatment::Pass);
        assert_eq!(treat(&pass, "bob+lists@x.org", 9), Treatment::Pass);
        // bob+lists is somebody of his own here: enrolled himself.
        assert_eq!(treat(&pass, "bob+lists@x.org", 1), Treatment::Seal);
        let both = listed(&["alice@x.org"], &["alice+secret@x.org", "alice@x.org"]);
        assert_eq!(treat(&both, "alice+secret@x.org", 9), Treatment::Seal);
        assert_eq!(treat(&both, "alice@x.org", 1), Treatment::Seal);
        assert_eq!(both.treatment_of("a/b@x.org"), Treatment::Pass);
        let exact = listed(&["alice@x.org"], &["alice+secret@x.org"]);
        assert_eq!(treat(&exact, "alice+secret@x.org", 9), Treatment::Seal);
        assert_eq!(treat(&exact, "alice+other@x.org", 9), Treatment::Pass);
        let pilot = listed(&[], &["alice@x.org"]);
        assert_eq!(treat(&pilot, "ALICE+a@x.org", 9), Treatment::Seal);
        assert_eq!(treat(&pilot, "postmaster@x.org", 1), Treatment::Seal);
        assert_eq!(treat(&pilot, "carol@x.org", 1), Treatment::Pass);
    }
}

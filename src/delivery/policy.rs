//! Whose mail is sealed, whose passes as it came, and what happens where there is no key yet.

use crate::config;
use crate::user::{Canonical, User};

pub use crate::config::Unenrolled;

/// The rules of `[delivery]`.
#[derive(Debug, Clone)]
pub struct Policy {
    /// What happens to mail for somebody who is not enrolled.
    pub unenrolled: Unenrolled,
    pass: Listed,
    seal_only: Option<Listed>,
}

/// What is to be done with a recipient's mail before anybody is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It is sealed.
    Seal,
    /// It is handed on as it came.
    Pass,
}

/// Addresses of a setting, as they stand and as the users they mean.
#[derive(Debug, Clone, Default)]
struct Listed {
    addresses: Vec<String>,
    users: Vec<User>,
}

impl Listed {
    fn new(addresses: &[String], rules: &Canonical) -> Self {
        Self {
            addresses: addresses.to_vec(),
            // The last candidate has no detail: bob's entry is for bob+lists too.
            users: addresses.iter().filter_map(|address| rules.login(address).ok()).collect(),
        }
    }

    fn has(&self, address: &str, candidates: &[User]) -> bool {
        self.addresses.iter().any(|listed| listed.eq_ignore_ascii_case(address))
            || candidates.iter().any(|user| self.users.contains(user))
    }
}

impl Policy {
    /// The rules of the configuration.
    pub fn new(delivery: &config::Delivery, rules: &Canonical) -> Self {
        let seal_only = delivery.seal_only.as_slice();
        Self {
            unenrolled: delivery.unenrolled,
            pass: Listed::new(&delivery.pass, rules),
            seal_only: (!seal_only.is_empty()).then(|| Listed::new(seal_only, rules)),
        }
    }

    /// How mail to `address` is treated, which may mean any of `candidates`.
    pub fn treatment(&self, address: &str, candidates: &[User]) -> Treatment {
        let outside = |listed: &Listed| !listed.has(address, candidates);
        if self.pass.has(address, candidates) || self.seal_only.as_ref().is_some_and(outside) {
            Treatment::Pass
        } else {
            Treatment::Seal
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let rules = Canonical { delimiters: "+".into(), lowercase: true, ..Canonical::default() };
        let treat = |policy: &Policy, address: &str| {
            policy.treatment(address, &rules.candidates(address).unwrap())
        };
        let listed = |pass: &[&str], seal_only: &[&str]| {
            let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let (pass, seal_only) = (list(pass), list(seal_only));
            Policy::new(
                &config::Delivery { pass, seal_only, ..config::Delivery::default() },
                &rules,
            )
        };
        let all = listed(&["Bob@x.org"], &[]);
        assert_eq!(treat(&all, "alice@x.org"), Treatment::Seal);
        assert_eq!(treat(&all, "bob@X.org"), Treatment::Pass);
        assert_eq!(treat(&all, "bob+lists@x.org"), Treatment::Pass);
        let pilot = listed(&[], &["alice@x.org"]);
        assert_eq!(treat(&pilot, "ALICE+a@x.org"), Treatment::Seal);
        assert_eq!(treat(&pilot, "carol@x.org"), Treatment::Pass);
    }
}

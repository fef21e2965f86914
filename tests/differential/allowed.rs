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

pub const ALLOWED: [Allowed; 1] = [Allowed {
    what: "GETQUOTAROOT",
    reason: "the quota counts what is stored, which is sealed",
    at: None,
    is: |found| found.command.starts_with("GETQUOTA") && found.place == "untagged",
}];

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

//! Who may ask for what, by the uid that the kernel tells of a peer.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::config::Operation;
use crate::sys::{accounts, process};

/// What the kernel tells of a peer who is outside of this process's user namespace
/// (user_namespaces(7)): it may be anybody, so whoever it is may ask for nothing.
pub(super) const ANYBODY: u32 = 65_534;

/// What each local user may do, beside what everybody may: to unlock with a password, and to read, see
/// and lock what was unlocked so.
#[derive(Debug)]
pub(super) struct Rights {
    own: u32,
    granted: HashMap<u32, Vec<Operation>>,
}

impl Rights {
    /// As `[agent] allow` says, of the local `users` of /etc/passwd.
    ///
    /// # Errors
    /// A name that nobody has.
    pub(super) fn new(
        allow: &BTreeMap<String, Vec<Operation>>,
        users: &str,
    ) -> Result<Self, UnknownUser> {
        let mut granted: HashMap<u32, Vec<Operation>> = HashMap::new();
        for (name, operations) in allow {
            let uid = accounts::uid_among(users, name).ok_or_else(|| UnknownUser(name.clone()))?;
            granted.entry(uid).or_default().extend(operations);
        }
        Ok(Self { own: process::uid(), granted })
    }

    /// Whether `uid` may do it to everybody. Root and the agent's own user may do all.
    pub(super) fn may(&self, uid: u32, operation: Operation) -> bool {
        let granted = || self.granted.get(&uid).is_some_and(|all| all.contains(&operation));
        uid == 0 || uid == self.own || granted()
    }
}

/// A name in `[agent] allow` that is in no /etc/passwd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownUser(String);

impl fmt::Display for UnknownUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[agent] allow: there is no user {} in /etc/passwd", self.0)
    }
}

impl std::error::Error for UnknownUser {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_his_own() {
        let allow = [
            ("4711", vec![Operation::Login]),
            ("4712", vec![]),
            ("clerk", vec![Operation::Change]),
        ];
        let allow = allow.map(|(name, operations)| (name.to_owned(), operations));
        let rights = Rights::new(&BTreeMap::from(allow), "clerk:x:4714:1::/:/bin/sh\n").unwrap();
        assert!(rights.may(0, Operation::Manage) && rights.may(process::uid(), Operation::Read));
        assert!(rights.may(4711, Operation::Login) && !rights.may(4711, Operation::Read));
        assert!(!rights.may(4712, Operation::Login) && !rights.may(4713, Operation::Login));
        assert!(rights.may(4714, Operation::Change) && !rights.may(4711, Operation::Change));
        let unknown = BTreeMap::from([("no such user".to_owned(), vec![])]);
        let error = Rights::new(&unknown, "").unwrap_err().to_string();
        assert!(error.contains("no such user"), "{error}");
    }
}

//! One name for one person: a RCPT address and a login name become the same **user**.
//!
//! Layer 1. A `User` is a file name that can never be a path; `Canonical` is the one function that
//! makes one, for delivery and for logins alike, or a login variant would get a second key.

use std::collections::HashMap;
use std::fmt;

/// The longest user name in octets: an RFC 5321 §4.5.3.1.3 path without its brackets, and short
/// enough for every file system.
pub const MAX_USER_BYTES: usize = 254;

/// A login name in canonical form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User(String);

impl User {
    /// Takes a name that is canonical already: from a map file, a key record or a signature.
    ///
    /// # Errors
    /// When the name could be a path, an option or several lines, or is empty or too long.
    pub fn parse(name: &str) -> Result<Self, UserError> {
        let problem = if name.is_empty() {
            Some("is empty")
        } else if name.len() > MAX_USER_BYTES {
            Some("is longer than 254 octets")
        } else if name.contains('/') {
            Some("contains a slash")
        } else if name.chars().any(char::is_control) {
            Some("contains a control character")
        } else if name.starts_with('.') || name.starts_with('-') {
            Some("begins with a dot or a hyphen")
        } else {
            None
        };
        match problem {
            None => Ok(Self(name.to_owned())),
            Some(problem) => Err(UserError { name: printable(name), problem }),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({:?})", self.0)
    }
}

/// A name that no user can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserError {
    name: String,
    problem: &'static str,
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user name \"{}\" {}", self.name, self.problem)
    }
}

impl std::error::Error for UserError {}

/// The beginning of a hostile name, safe to show.
fn printable(name: &str) -> String {
    const SHOWN_CHARS: usize = 64;
    name.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect()
}

/// What happens to the domain of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Domains {
    /// a@x.org and a@y.org are two users.
    #[default]
    Keep,
    /// They are one.
    Drop,
}

/// One reading of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The user it means.
    pub user: User,
    /// The address in canonical form, before the map.
    pub name: String,
}

/// The rules of `[users]` that make a user out of an address or a login name.
#[derive(Debug, Clone, Default)]
pub struct Canonical {
    /// Characters that begin the detail of a local part, as in `alice+lists` (RFC 5233).
    pub delimiters: String,
    /// Whether ASCII letters become lower case.
    pub lowercase: bool,
    /// Appended to a bare name; empty for none.
    pub default_domain: String,
    /// Whether the domain counts.
    pub domains: Domains,
    /// Addresses and logins that are another user's name: canonical form → user.
    pub map: HashMap<String, User>,
}

impl Canonical {
    /// The users that `address` may mean, the likeliest first: the whole local part comes before
    /// the one without its detail. The first that is enrolled is the one.
    ///
    /// # Errors
    /// When the address can be no user at all.
    pub fn candidates(&self, address: &str) -> Result<Vec<Candidate>, UserError> {
        let (local, domain) = self.split(address);
        let mut candidates = Vec::new();
        let mut problem = None;
        for local in std::iter::once(local.as_str()).chain(self.without_detail(&local)) {
            match self.user(local, domain.as_deref()) {
                Ok(user) => {
                    candidates.push(Candidate { user, name: self.ruled(local, domain.as_deref()) });
                }
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        match problem {
            Some(error) if candidates.is_empty() => Err(error),
            _ => Ok(candidates),
        }
    }

    /// The canonical form of an address as it stands, before the map.
    pub fn name(&self, address: &str) -> String {
        let (local, domain) = self.split(address);
        self.ruled(&local, domain.as_deref())
    }

    /// The user of a login name or of a command line: no detail is taken off.
    ///
    /// # Errors
    /// When the name can be no user.
    pub fn login(&self, name: &str) -> Result<User, UserError> {
        let (local, domain) = self.split(name);
        self.user(&local, domain.as_deref())
    }

    /// Puts an entry of the map file in.
    ///
    /// # Errors
    /// When the right side is no user name.
    pub fn add_to_map(&mut self, address: &str, user: &str) -> Result<(), UserError> {
        let (local, domain) = self.split(address);
        let key = joined(&local, domain.as_deref());
        // The same rules as for a login, or the map would make a user whom no login can be.
        let user = User::parse(&self.name(user))?;
        self.map.insert(key, user);
        Ok(())
    }

    fn user(&self, local: &str, domain: Option<&str>) -> Result<User, UserError> {
        if let Some(user) = self.map.get(&joined(local, domain)) {
            return Ok(user.clone());
        }
        let name = self.ruled(local, domain);
        if let Some(user) = self.map.get(&name) {
            return Ok(user.clone());
        }
        User::parse(&name)
    }

    fn ruled(&self, local: &str, domain: Option<&str>) -> String {
        match self.domains {
            Domains::Keep => joined(local, domain),
            Domains::Drop => local.to_owned(),
        }
    }

    fn split(&self, address: &str) -> (String, Option<String>) {
        let address = self.cased(address);
        match address.rsplit_once('@') {
            Some((local, domain)) => (local.to_owned(), Some(domain.to_ascii_lowercase())),
            None if self.default_domain.is_empty() => (address, None),
            None => (address, Some(self.default_domain.to_ascii_lowercase())),
        }
    }

    fn without_detail<'a>(&self, local: &'a str) -> Option<&'a str> {
        let at = local.find(|c| self.delimiters.contains(c)).filter(|at| *at > 0)?;
        local.get(..at)
    }

    fn cased(&self, name: &str) -> String {
        if self.lowercase { name.to_ascii_lowercase() } else { name.to_owned() }
    }
}

fn joined(local: &str, domain: Option<&str>) -> String {
    match domain {
        Some(domain) => format!("{local}@{domain}"),
        None => local.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Canonical {
        Canonical { delimiters: "+".into(), lowercase: true, ..Canonical::default() }
    }

    fn names(rules: &Canonical, address: &str) -> Vec<String> {
        rules.candidates(address).unwrap().iter().map(|found| found.user.to_string()).collect()
    }

    #[test]
    fn whole_local_part_before_detail() {
        assert_eq!(
            names(&rules(), "Alice+Lists@Example.ORG"),
            ["alice+lists@example.org", "alice@example.org"]
        );
        assert_eq!(names(&rules(), "+x@example.org"), ["+x@example.org"]);
        assert_eq!(names(&rules(), "alice"), ["alice"]);
    }

    #[test]
    fn login_and_address_meet() {
        let drop = Canonical { domains: Domains::Drop, ..rules() };
        assert_eq!(drop.login("ALICE").unwrap(), drop.login("alice@example.org").unwrap());
        let added = Canonical { default_domain: "example.org".into(), ..rules() };
        assert_eq!(added.login("alice").unwrap(), added.login("Alice@Example.org").unwrap());
        let exact = Canonical { lowercase: false, ..rules() };
        assert_ne!(exact.login("Alice@x.org").unwrap(), exact.login("alice@X.org").unwrap());
    }

    #[test]
    fn map_wins() {
        let mut rules = rules();
        rules.add_to_map("Postmaster@example.org", "alice@example.org").unwrap();
        rules.add_to_map("u1234", "alice@example.org").unwrap();
        assert_eq!(names(&rules, "postmaster@example.org"), ["alice@example.org"]);
        assert_eq!(
            names(&rules, "postmaster+x@example.org"),
            ["postmaster+x@example.org", "alice@example.org"]
        );
        assert_eq!(rules.login("U1234").unwrap().as_str(), "alice@example.org");
        assert!(rules.add_to_map("x", "../alice").is_err());
        let mut bare = Canonical { default_domain: "x.org".into(), ..Canonical::default() };
        bare.add_to_map("postmaster", "alice").unwrap();
        assert_eq!(bare.login("postmaster").unwrap(), bare.login("alice").unwrap());
    }

    #[test]
    fn never_a_path() {
        for name in
            ["", ".", "..", "../x", "a/b", "a\0b", "a\nb", "-rf", ".hidden", &"x".repeat(255)]
        {
            let error = User::parse(name).unwrap_err().to_string();
            assert!(error.starts_with("user name \""), "{error}");
            assert!(!error.contains('\n') && error.len() < 200);
        }
        assert!(User::parse(&"x".repeat(254)).is_ok());
        assert!(User::parse("jürgen@example.org").is_ok());
        assert!(rules().candidates("/etc/passwd").is_err());
    }
}

//! The users of the operating system that a site's programs run as.
//!
//! No user is made for the tests: these are in every Debian (package base-passwd), own no process on
//! an ordinary machine, and stand in for the ones a real site has.

use std::fs;
use std::sync::OnceLock;

/// A user with its primary group.
#[derive(Debug)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Debug)]
pub struct Users {
    /// Postfix' `mail_owner`, on a real site `postfix`.
    pub postfix: User,
    /// The name of Postfix' `setgid_group`, on a real site `postdrop`.
    pub postdrop: &'static str,
    /// What Exim runs as, on a real site `Debian-exim`.
    pub exim: User,
    /// What Cyrus runs as, on a real site `cyrus`.
    pub cyrus: User,
    /// What Dovecot runs as, on a real site `dovecot`.
    pub dovecot: User,
    /// What Dovecot runs as before a login, on a real site `dovenull`.
    pub dovenull: User,
    /// Whose the mail is at Dovecot, on a real site `vmail`.
    pub vmail: User,
    /// What `nightsafe deliver` runs as, on a real site `nightsafe`.
    pub delivery: User,
    /// What `nightsafe agent` runs as, on a real site `nightsafe-agent`.
    pub agent: User,
    /// What `nightsafe imap` runs as, on a real site `nightsafe-imap`.
    pub proxy: User,
    /// What webmail runs as.
    pub web: User,
}

impl Users {
    /// Whoever must not have left plaintext anywhere.
    pub fn unprivileged(&self) -> [u32; 6] {
        [&self.cyrus, &self.dovecot, &self.dovenull, &self.vmail, &self.delivery, &self.proxy]
            .map(|user| user.uid)
    }
}

pub fn users() -> &'static Users {
    static USERS: OnceLock<Users> = OnceLock::new();
    USERS.get_or_init(|| Users {
        postfix: user("uucp"),
        postdrop: "news",
        exim: user("uucp"),
        cyrus: user("list"),
        dovecot: user("irc"),
        dovenull: user("news"),
        vmail: user("games"),
        delivery: user("proxy"),
        agent: user("backup"),
        proxy: user("lp"),
        web: user("www-data"),
    })
}

/// The user of this name.
pub fn user(name: &str) -> User {
    let numbers = ids("/etc/passwd", name);
    User { name: name.to_owned(), uid: numbers[0], gid: numbers[1] }
}

/// The number of a group.
pub fn group(name: &str) -> u32 {
    ids("/etc/group", name)[0]
}

fn ids(file: &str, name: &str) -> Vec<u32> {
    let content = fs::read_to_string(file).unwrap();
    let line = content
        .lines()
        .find(|line| line.split(':').next() == Some(name))
        .unwrap_or_else(|| panic!("{file} has no {name}, which every Debian has"));
    line.split(':').skip(2).take(2).filter_map(|number| number.parse().ok()).collect()
}

//! A real store that is killed, stands still and comes back.

use rustix::process::Signal;

use super::USERS;
use crate::site::Site;
use crate::site::cyrus::Cyrus;
use crate::site::dovecot::Dovecot;
use crate::site::process::{named_in_group, signal};
use std::fs;
use std::path::{Path, PathBuf};

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Cyrus,
    Dovecot,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Cyrus => "cyrus",
            Self::Dovecot => "dovecot",
        }
    }

    /// Where it keeps mail, below the site.
    pub fn spool(self) -> &'static str {
        match self {
            Self::Cyrus => "cyrus/spool",
            Self::Dovecot => "dovecot/mail",
        }
    }

    /// The program that takes mail.
    fn lmtpd(self) -> &'static str {
        match self {
            Self::Cyrus => "lmtpd",
            Self::Dovecot => "lmtp",
        }
    }
}

/// The server.
pub enum Store {
    Cyrus(Cyrus),
    Dovecot(Dovecot),
}

impl Store {
    pub fn start(kind: Kind, site: &Site) -> Self {
        match kind {
            Kind::Cyrus => Self::Cyrus(Cyrus::start(site, &USERS)),
            Kind::Dovecot => Self::Dovecot(Dovecot::start(site, &USERS)),
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Cyrus(_) => Kind::Cyrus,
            Self::Dovecot(_) => Kind::Dovecot,
        }
    }

    pub fn socket(&self) -> PathBuf {
        match self {
            Self::Cyrus(cyrus) => cyrus.lmtp_socket(),
            Self::Dovecot(dovecot) => dovecot.lmtp_socket(),
        }
    }

    /// All of it is killed at once.
    pub fn kill(&mut self) {
        match self {
            Self::Cyrus(cyrus) => cyrus.kill(),
            Self::Dovecot(dovecot) => {
                dovecot.kill();
                USERS.iter().for_each(|user| remove_nameless_locks(&dovecot.maildir(user)));
            }
        }
    }

    pub fn up(&mut self, site: &Site) {
        match self {
            Self::Cyrus(cyrus) => cyrus.up(site),
            Self::Dovecot(dovecot) => dovecot.up(site),
        }
    }

    /// Sends a signal to every process that takes mail; says to how many.
    pub fn signal_lmtpd(&self, what: Signal) -> usize {
        let group = match self {
            Self::Cyrus(cyrus) => cyrus.group(),
            Self::Dovecot(dovecot) => dovecot.group(),
        };
        let processes = named_in_group(self.kind().lmtpd(), group);
        for process in &processes {
            signal(*process, what);
        }
        processes.len()
    }

    /// All messages of the user as they are stored.
    pub fn inbox(&self, user: &str) -> Vec<Vec<u8>> {
        match self {
            Self::Cyrus(cyrus) => cyrus.inbox(user),
            Self::Dovecot(dovecot) => dovecot.inbox(user),
        }
    }
}

/// Locks of a process that was killed before it had written its number into them. Dovecot waits for
/// two minutes until it takes them for stale; that nobody holds them, the test knows.
fn remove_nameless_locks(maildir: &Path) {
    for entry in fs::read_dir(maildir).into_iter().flatten().flatten() {
        let is_lock = entry.path().extension().is_some_and(|extension| extension == "lock");
        if is_lock && entry.metadata().is_ok_and(|about| about.len() == 0) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

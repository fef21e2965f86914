//! A real store that is killed, stands still and comes back.

use rustix::process::Signal;

use super::USERS;
use crate::site::Site;
use crate::site::cyrus::Cyrus;
use crate::site::dovecot::Dovecot;
use crate::site::process::{named_in_group, signal};
use crate::site::store;
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

    fn server(&self) -> &dyn store::Store {
        match self {
            Self::Cyrus(cyrus) => cyrus,
            Self::Dovecot(dovecot) => dovecot,
        }
    }

    fn server_mut(&mut self) -> &mut dyn store::Store {
        match self {
            Self::Cyrus(cyrus) => cyrus,
            Self::Dovecot(dovecot) => dovecot,
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.server().lmtp_socket()
    }

    /// All of it is killed at once.
    pub fn kill(&mut self) {
        self.server_mut().kill();
        if let Self::Dovecot(dovecot) = self {
            USERS.iter().for_each(|user| remove_nameless_locks(&dovecot.maildir(user)));
        }
    }

    pub fn up(&mut self, site: &Site) {
        self.server_mut().up(site);
    }

    /// Sends a signal to every process that takes mail; says to how many.
    pub fn signal_lmtpd(&self, what: Signal) -> usize {
        let group = self.server().group();
        let processes = named_in_group(self.kind().lmtpd(), group);
        for process in &processes {
            signal(*process, what);
        }
        processes.len()
    }

    /// All messages of the user as they are stored.
    pub fn inbox(&self, user: &str) -> Vec<Vec<u8>> {
        self.server().inbox(user)
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

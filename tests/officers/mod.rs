//! The officers' machine: a folder with the recovery key, and the program without any site.

#![allow(dead_code, reason = "each test file uses its own part of the module")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nightsafe::config::Config;
use nightsafe::keys::files::KeyDirectory;
use nightsafe::keys::record::Record;
use nightsafe::keys::site_secrets::SiteSecrets;
use nightsafe::lifecycle::login::{Login, login};
use nightsafe::lifecycle::secrets;
use nightsafe::user::User;
use tempfile::TempDir;

use crate::support::{Ran, Site, finish, program};

pub const MASTER: &[u8] = b"Zwetschgenkuchen-4711";

pub struct Officers {
    folder: TempDir,
}

impl Officers {
    /// With nothing yet.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("nightsafe-officers-").tempdir().unwrap();
        Self { folder }
    }

    /// With a recovery key under [`MASTER`].
    pub fn with_password() -> Self {
        let officers = Self::new();
        let folder = officers.path("stick");
        officers.feed(&["init", &folder, "--password-file", "-"], MASTER).good();
        officers
    }

    /// With a recovery key in five shares, of which three make it.
    pub fn with_shares() -> Self {
        let officers = Self::new();
        let folder = officers.path("stick");
        officers.run(&["init", &folder, "--shares", "5", "--threshold", "3"]).good();
        officers
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// The share of this number.
    pub fn share(&self, number: usize) -> String {
        self.path(&format!("stick/share-{number}"))
    }

    pub fn public_path(&self) -> PathBuf {
        self.folder.path().join("stick/recovery.pub")
    }

    /// The public half, which is the key's name.
    pub fn key(&self) -> String {
        let text = fs::read_to_string(self.public_path()).unwrap();
        text.lines().last().unwrap().to_owned()
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.feed(arguments, b"")
    }

    /// Runs `nightsafe recovery`, which must not look for a configuration here.
    pub fn feed(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = Command::new(program());
        command.env("NIGHTSAFE_CONFIG", "/nonexistent/nightsafe.toml").current_dir("/");
        finish(command.arg("recovery").args(arguments), input)
    }

    /// Opens a blob with these shares.
    pub fn open_with(&self, shares: &[String], blob: &[u8]) -> Ran {
        let mut arguments = vec!["open", "--yes", "-"];
        arguments.extend(shares.iter().flat_map(|share| ["--share", share]));
        self.feed(&arguments, blob)
    }

    /// The answer to a blob, from the first, third and fourth officer.
    #[track_caller]
    pub fn answer(&self, blob: &[u8]) -> Vec<u8> {
        self.open_with(&[1, 3, 4].map(|number| self.share(number)), blob).good().stdout
    }

    /// Turns escrow on.
    pub fn give_public_half_to(&self, site: &Site) {
        fs::copy(self.public_path(), site.join("recovery.pub")).unwrap();
        let path = site.join("recovery.pub").display().to_string();
        site.configure(&format!("recovery_key = {path:?}"), "");
    }

    /// A site with this recovery key.
    pub fn site(&self) -> Site {
        let site = Site::new();
        self.give_public_half_to(&site);
        site
    }
}

#[track_caller]
pub fn export(site: &Site, user: &str) -> Vec<u8> {
    site.run(["recovery", "export", user]).good().stdout
}

/// `recovery finish`, with the answer in a file and the password on standard input.
#[track_caller]
pub fn finish_with(site: &Site, user: &str, answer: &[u8], password: &[u8]) -> Ran {
    let answer = site.file("answer", answer);
    let words = ["recovery", "finish", user, "--answer", &answer, "--new-password-file", "-"];
    site.feed(words, password)
}

/// The site's keys and secrets through the library, as a login has them.
pub fn opened(site: &Site) -> (KeyDirectory, SiteSecrets) {
    let config = Config::load(Some(&site.config())).unwrap();
    let keys = KeyDirectory::open(&config.keys.directory, None, &[]).unwrap();
    (keys, secrets::load(&config.keys).unwrap())
}

/// A login that the backend has confirmed.
#[track_caller]
pub fn confirmed_login(site: &Site, user: &str, password: &[u8]) -> Login {
    let (keys, secrets) = opened(site);
    let user = User::parse(user).unwrap();
    login(&keys, &user, password, &secrets, true, now()).unwrap()
}

/// What that login is told.
#[track_caller]
pub fn told(site: &Site, user: &str, password: &[u8]) -> Vec<String> {
    let login = confirmed_login(site, user, password);
    assert_eq!(login.problem, None);
    login.notices.iter().map(|notice| notice.event.to_string()).collect()
}

pub fn record(site: &Site, user: &str) -> Record {
    record_at(&site.private(user), user)
}

pub fn record_at(path: &Path, user: &str) -> Record {
    Record::parse(&User::parse(user).unwrap(), &fs::read(path).unwrap()).unwrap()
}

pub fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_secs()
}

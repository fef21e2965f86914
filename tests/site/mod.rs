//! A whole mail site in a temporary folder: nightsafe, and the real mail servers around it,
//! configured by the files of `examples/`.
//!
//! Everything is started as root and runs as the users a real site has (see [`users`]); everything
//! is below one folder, which [`Site::leaks`] searches for plaintext.

#![allow(dead_code, reason = "each test file uses its own part of the module")]

pub mod agent;
pub mod canary;
pub mod config;
pub mod cyrus;
pub mod dovecot;
pub mod exim;
pub mod fault;
pub mod hook;
pub mod imap;
pub mod lmtp;
pub mod maildir;
pub mod module;
pub mod mta;
pub mod pam;
pub mod postfix;
pub mod process;
pub mod proxy;
pub mod relay;
pub mod saslauthd;
pub mod smtp;
pub mod socket;
pub mod store;
pub mod system_log;
pub mod tls;
pub mod unpacked;
pub mod users;

use canary::{Canaries, Found};
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use system_log::SystemLog;
use tempfile::TempDir;
use users::users;

/// The domain whose mail is sealed.
pub const DOMAIN: &str = "example.org";

/// A site without servers yet: the program, its configuration, its keys.
///
/// ```text
/// bin/nightsafe          the program under test, where the delivery user can run it
/// etc/                   nightsafe.toml, pepper, sealing key
/// keys/                  public/ and private/
/// log/                   the system log: the stores', and that of nightsafe when Postfix runs it
/// agent/                 the socket of `nightsafe agent`
/// nightsafe/             the socket of `nightsafe lmtp`
/// postfix/  exim/  cyrus/  dovecot/     when they were started
/// maildir/               one Maildir a user
/// private/               what the test itself has in plaintext: 0700, never searched
/// ```
pub struct Site {
    // Before the folder, which it writes into.
    log: SystemLog,
    folder: TempDir,
    extra: String,
}

impl Site {
    /// Makes a site and its keys. `extra` is appended to the configuration file.
    pub fn new(extra: &str) -> Self {
        Self::new_in(Path::new("/var/tmp"), extra)
    }

    /// The same below a folder, which may be on a disk of another kind.
    pub fn new_in(parent: &Path, extra: &str) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "real servers switch users, which only root can: run tests/run as root"
        );
        let folder = tempfile::Builder::new().prefix("nightsafe-site-").tempdir_in(parent).unwrap();
        let site = Self {
            log: SystemLog::start(folder.path().join("log")),
            folder,
            extra: extra.to_owned(),
        };
        mode(site.path(), 0o755);
        for (name, bits) in [("bin", 0o755), ("etc", 0o755), ("maildir", 0o755), ("private", 0o700)]
        {
            fs::create_dir(site.join(name)).unwrap();
            mode(&site.join(name), bits);
        }
        let delivery = &users().delivery;
        chown(site.join("maildir"), Some(delivery.uid), Some(delivery.gid)).unwrap();
        site.executable("nightsafe", &fs::read(program()).unwrap());
        fs::write(site.join("etc/nightsafe.toml"), site.configuration()).unwrap();
        mode(&site.join("etc/nightsafe.toml"), 0o644);
        let group = users().delivery.gid.to_string();
        success(&site.nightsafe(&["setup", "--delivery-group", &group]).output().unwrap());
        site
    }

    /// A site in which these users are enrolled, each with [`password`].
    pub fn with_users(names: &[&str]) -> Self {
        let site = Self::new("");
        for name in names {
            site.enroll(name);
        }
        site
    }

    /// Appends more tables to the configuration file, in place of those of an earlier call.
    pub fn configure(&self, more: &str) {
        let text = format!("{}\n{more}\n", self.configuration());
        fs::write(self.join("etc/nightsafe.toml"), text).unwrap();
    }

    pub fn configuration(&self) -> String {
        let at = self.path().display();
        format!(
            "[keys]\ndirectory = \"{at}/keys\"\npepper = \"{at}/etc/pepper\"\n\
             provisional_key = \"{at}/etc/provisional.key\"\n\
             sealing_key = \"{at}/etc/sealing.key\"\n\
             [users]\ndomains = \"drop\"\n[seal]\ndomain = \"{DOMAIN}\"\n{}\n",
            self.extra
        )
    }

    /// A program below `bin`. Written by another process: a thread that starts something meanwhile
    /// would inherit the open file, and a program that is open for writing cannot be run.
    pub fn executable(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.join("bin").join(name);
        let mut install = Command::new("install")
            .args(["-m", "755", "/dev/stdin"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        install.stdin.take().unwrap().write_all(content).unwrap();
        assert!(install.wait().unwrap().success());
        path
    }

    /// A command whose system log is the site's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.log.command(program)
    }

    /// The system log so far, complete.
    pub fn system_log(&self) -> String {
        self.log.read()
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// `nightsafe` with the site's configuration, run as root.
    pub fn nightsafe(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.join("bin/nightsafe"));
        command
            .arg("--config")
            .arg(self.join("etc/nightsafe.toml"))
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// A file only root can read, with this in it.
    pub fn private_file(&self, name: &str, content: &[u8]) -> String {
        let path = self.join("private").join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn enroll(&self, user: &str) {
        let file = self.private_file(&format!("{user}.password"), password(user).as_bytes());
        success(&self.nightsafe(&["enroll", user, "--password-file", &file]).output().unwrap());
    }

    /// Takes a user's keys away, as of somebody who has left.
    pub fn remove(&self, user: &str) {
        success(&self.nightsafe(&["remove", user]).output().unwrap());
    }

    /// Reads a sealed message back with the user's password.
    pub fn unseal(&self, user: &str, sealed: &[u8]) -> Vec<u8> {
        let file = self.private_file(&format!("{user}.sealed"), sealed);
        let secret = self.private_file(&format!("{user}.password"), password(user).as_bytes());
        let arguments = ["unseal", "--user", user, "--password-file", &secret, &file];
        let output = self.nightsafe(&arguments).output().unwrap();
        success(&output);
        output.stdout
    }

    /// The user's identity, in a file: opens any number of messages without a password.
    pub fn identity(&self, user: &str) -> String {
        let secret = self.private_file(&format!("{user}.password"), password(user).as_bytes());
        let output =
            self.nightsafe(&["identity", user, "--password-file", &secret]).output().unwrap();
        success(&output);
        self.private_file(&format!("{user}.identity"), &output.stdout)
    }

    /// Reads a sealed message back with [`Site::identity`].
    pub fn unseal_with(&self, identity: &str, sealed: &[u8]) -> Vec<u8> {
        let file = self.private_file("sealed", sealed);
        let output = self.nightsafe(&["unseal", "--identity", identity, &file]).output().unwrap();
        success(&output);
        output.stdout
    }

    /// Where canaries are found in what stays behind: in everything below the site but the test's
    /// own folder and the MTA's queue (see [`Site::leaks_with_queue`]), in names as in contents, and
    /// in what the servers' users left in the temporary folders of the machine.
    pub fn leaks(&self, canaries: &Canaries) -> Vec<Found> {
        self.log.read();
        let without = ["private", "postfix/queue", "exim/spool"].map(|name| self.join(name));
        canaries.search(self.path(), &without)
    }

    /// The same, and the queue of the MTA as well: once the queue is empty.
    pub fn leaks_with_queue(&self, canaries: &Canaries) -> Vec<Found> {
        self.log.read();
        let mut found = canaries.search(self.path(), &[self.join("private")]);
        for folder in ["/tmp", "/var/tmp", "/dev/shm"] {
            found.extend(canaries.search_owned(Path::new(folder), &users().unprivileged()));
        }
        found
    }
}

/// The password of a user, at nightsafe as at the store.
pub fn password(user: &str) -> String {
    format!("correct horse of {user}")
}

/// The program under test: the one just built, or `NIGHTSAFE_PROGRAM`, say an installed one.
fn program() -> PathBuf {
    std::env::var_os("NIGHTSAFE_PROGRAM")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_nightsafe")), PathBuf::from)
}

/// A file of the servers: from the private root that `tests/fetch-servers` made, else the machine's.
pub fn server_file(path: &str) -> PathBuf {
    let private = servers().join(path.trim_start_matches('/'));
    if private.exists() {
        return private;
    }
    let installed = PathBuf::from(path);
    assert!(installed.exists(), "{path} is neither below {} nor installed", servers().display());
    installed
}

/// The private root with the servers.
fn servers() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        if let Some(root) = std::env::var_os("NIGHTSAFE_SERVERS") {
            return root.into();
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fetch-servers");
        let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{script} could not get the servers");
        String::from_utf8(output.stdout).unwrap().trim_end().into()
    })
}

/// Where the servers' shared libraries are, for `LD_LIBRARY_PATH`.
pub fn server_libraries() -> String {
    let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
    [format!("usr/lib/{machine}"), format!("lib/{machine}"), "usr/lib/postfix".to_owned()]
        .map(|folder| servers().join(folder).display().to_string())
        .join(":")
}

/// SASL's plugins of the same package as its library.
pub fn sasl_plugins() -> PathBuf {
    server_file(&format!("/usr/lib/{}-linux-gnu/sasl2", std::env::consts::ARCH))
}

pub fn mode(path: &Path, bits: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(bits))
        .unwrap_or_else(|error| panic!("mode of {}: {error}", path.display()));
}

/// Fails with what the program said.
pub fn success(output: &Output) {
    assert!(
        output.status.success(),
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

//! A small site in a temporary folder: the program, its configuration and its keys, no servers and
//! no root. What the test itself keeps in plaintext lies beside the site, not in it.

#![allow(dead_code, reason = "each test file uses its own part of the module")]

pub mod agent;
pub mod care;
pub mod client;
pub mod hook;
pub mod imap;
pub mod imap_stub;
pub mod lmtp;
pub mod memory;
pub mod tokens;
pub mod trace;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long one command may take before the test calls it a hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A message with a word in each place that must stay secret.
pub const MESSAGE: &[u8] = b"From: Carol <carol@elsewhere.test>\nTo: alice@example.org\n\
Subject: walnut harvest\nDate: Tue, 3 Nov 2026 10:00:30 +0100\nMessage-ID: <7@elsewhere.test>\n\n\
The quinces are ripe.\n.\n..\nGoodbye\n";

/// What a command answered.
#[derive(Debug)]
pub struct Ran {
    /// `None` when a signal ended it.
    pub status: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ran {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails unless the command succeeded.
    #[track_caller]
    pub fn good(self) -> Self {
        assert_eq!(self.status, Some(0), "{}{}", self.text(), self.stderr);
        self
    }

    /// Fails unless it ended with this status, one error with these words in it, and no output.
    #[track_caller]
    pub fn fails(self, status: i32, words: &[&str]) -> Self {
        assert_eq!(self.status, Some(status), "{}{}", self.text(), self.stderr);
        assert_eq!(self.text(), "", "output beside an error: {}", self.stderr);
        let errors: Vec<_> = self.errors().collect();
        let [error] = errors.as_slice() else {
            panic!("not exactly one error: {:?}", self.stderr);
        };
        for word in words {
            assert!(error.contains(word), "{word:?} is not in {error:?}");
        }
        let known = ["error: ", "hint: ", "warning: "].map(|kind| format!("nightsafe: {kind}"));
        for line in self.stderr.lines() {
            assert!(known.iter().any(|kind| line.starts_with(kind)), "a stray line: {line:?}");
        }
        self
    }

    /// The same of a command that has an output beside its error: one of its lines has these words.
    #[track_caller]
    pub fn fails_somewhere(self, status: i32, words: &str) -> Self {
        assert_eq!(self.status, Some(status), "{}{}", self.text(), self.stderr);
        let text = self.text();
        let found = text.lines().any(|line| line.starts_with("ERROR") && line.contains(words));
        assert!(found, "{words:?} is not in {text}");
        self
    }

    fn errors(&self) -> impl Iterator<Item = &str> {
        self.stderr.lines().filter(|line| line.starts_with("nightsafe: error: "))
    }
}

/// The program under test: the one just built, or `NIGHTSAFE_PROGRAM`, say an installed one.
pub fn program() -> PathBuf {
    std::env::var_os("NIGHTSAFE_PROGRAM")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_nightsafe")), PathBuf::from)
}

/// Runs a command to its end with `input`; fails when it does not come to one.
#[track_caller]
pub fn finish(command: &mut Command, input: &[u8]) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    // Whoever is not listening answers for it with his status.
    thread::spawn(move || drop(stdin.write_all(&input)));
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            let _ = child.kill();
            panic!("{command:?} hangs");
        }
        thread::sleep(Duration::from_millis(1));
    };
    Ran {
        status: status.code(),
        stdout: stdout.join().unwrap(),
        stderr: String::from_utf8_lossy(&stderr.join().unwrap()).into_owned(),
    }
}

/// The same command in a session of its own, where there is no terminal to ask at.
pub fn without_terminal(command: &mut Command) -> Command {
    let mut alone = Command::new("setsid");
    alone.arg("--wait").arg(command.get_program()).args(command.get_args());
    alone
}

fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// ```text
/// site/nightsafe.toml  site/pepper  site/provisional.key  site/sealing.key  site/sealing.ring
/// site/keys/           public/ and private/
/// test/                passwords and messages of the test itself
/// ```
pub struct Site {
    folder: TempDir,
}

impl Site {
    /// A site that was set up; nobody is enrolled.
    pub fn new() -> Self {
        Self::with("", "")
    }

    /// The same with more lines in `[keys]`, and more in `[seal]` and after it.
    pub fn with(keys: &str, rest: &str) -> Self {
        let site = Self::not_set_up();
        site.configure(keys, rest);
        site.run(["setup"]).good();
        site
    }

    /// Only folders and a configuration.
    pub fn not_set_up() -> Self {
        let folder = tempfile::Builder::new().prefix("nightsafe-test-").tempdir().unwrap();
        let site = Self { folder };
        fs::create_dir(site.path()).unwrap();
        fs::create_dir(site.folder.path().join("test")).unwrap();
        site.configure("", "");
        site
    }

    /// Writes the configuration anew.
    pub fn configure(&self, keys: &str, rest: &str) {
        let at = self.path().display().to_string();
        let text = format!(
            "[keys]\ndirectory = \"{at}/keys\"\npepper = \"{at}/pepper\"\n\
             provisional_key = \"{at}/provisional.key\"\n\
             sealing_key = \"{at}/sealing.key\"\n{keys}\n[seal]\ndomain = \"example.org\"\n{rest}\n"
        );
        fs::write(self.config(), text).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.join("nightsafe.toml")
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("site")
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn private(&self, user: &str) -> PathBuf {
        self.join("keys/private").join(user)
    }

    pub fn public(&self, user: &str) -> PathBuf {
        self.join("keys/public").join(user)
    }

    /// A file of the test's own with this in it.
    pub fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.folder.path().join("test").join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(program());
        command.arg("--config").arg(self.config()).args(arguments);
        command
    }

    #[track_caller]
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ran {
        self.feed(arguments, b"")
    }

    /// Runs the program with `input` on its standard input.
    #[track_caller]
    pub fn feed<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        input: &[u8],
    ) -> Ran {
        finish(&mut self.command(arguments), input)
    }

    #[track_caller]
    pub fn enroll(&self, user: &str, password: &[u8]) -> Ran {
        self.feed(["enroll", "--password-file", "-", "--", user], password)
    }

    #[track_caller]
    pub fn passwd(&self, user: &str, old: &[u8], new: &[u8]) -> Ran {
        let new = self.file("new", new);
        let arguments = ["passwd", user, "--password-file", "-", "--new-password-file", &new];
        self.feed(arguments, old)
    }

    #[track_caller]
    pub fn identity(&self, user: &str, password: &[u8]) -> Ran {
        self.feed(["identity", "--password-file", "-", "--", user], password)
    }

    /// Whether the password unlocks the user's keys; anything but yes or "wrong password" fails.
    #[track_caller]
    pub fn unlocks(&self, user: &str, password: &[u8]) -> bool {
        let ran = self.identity(user, password);
        if ran.status != Some(0) {
            ran.fails(77, &["wrong password"]);
            return false;
        }
        true
    }

    /// Delivers [`MESSAGE`].
    #[track_caller]
    pub fn deliver(&self, arguments: &[&str]) -> Ran {
        self.feed(["deliver"].iter().chain(arguments), MESSAGE)
    }

    /// [`MESSAGE`] as it is stored for the user.
    #[track_caller]
    pub fn seal(&self, user: &str) -> Vec<u8> {
        self.deliver(&["--recipient", user]).good().stdout
    }

    #[track_caller]
    pub fn unseal(&self, user: &str, password: &[u8], sealed: &[u8]) -> Ran {
        let file = self.file("sealed", sealed);
        self.feed(["unseal", "--user", user, "--password-file", "-", &file], password)
    }
}

/// [`MESSAGE`] as its owner gets it back.
pub fn opened() -> Vec<u8> {
    String::from_utf8_lossy(MESSAGE).replace('\n', "\r\n").into_bytes()
}

/// Permission bits.
pub fn mode(path: &Path) -> u32 {
    fs::metadata(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .permissions()
        .mode()
        & 0o7777
}

/// Every file below a folder, with its content.
pub fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            let content = fs::read(&path).unwrap();
            found.push((path, content));
        }
    }
    found.sort();
    found
}

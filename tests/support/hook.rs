//! `nightsafe lmtp` in the background, for as long as the test needs it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Site;
use super::client::{Client, unstuffed};
use super::lmtp::{Rules, Server};

/// How long it may take to begin or to end before the test calls it a hang.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Hook {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it said it listens at.
    pub listening: Vec<String>,
}

/// The lines that make `site` a hook: a Unix and a TCP socket, a store, and whatever else of `[lmtp]`.
pub fn lmtp(site: &Site, backend: &str, more: &str) -> String {
    let socket = site.join("hook").display().to_string();
    format!(
        "[lmtp]\nlisten = [\"unix:{socket}\", \"inet:127.0.0.1:0\"]\nbackend = \"{backend}\"\n{more}\n"
    )
}

impl Hook {
    /// Begins to serve `site` as it is configured.
    #[track_caller]
    pub fn start(site: &Site) -> Self {
        Self::run(&mut site.command(["lmtp"]))
    }

    /// The same of a command that may do other things first.
    #[track_caller]
    pub fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap_or_else(|error| {
            panic!("this test needs the program {:?}: {error}", command.get_program())
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let said = line.trim_end().split_once("listening at ");
        let Some((_, addresses)) = said else {
            let _ = child.kill();
            panic!("it does not listen but says {line:?} and ends with {:?}", child.wait());
        };
        let listening = addresses.split(", ").map(str::to_owned).collect();
        Self { child, stdout, listening }
    }

    pub fn unix(&self) -> PathBuf {
        let path = self.listening.iter().find_map(|address| address.strip_prefix("unix:"));
        path.expect("it listens at no path").into()
    }

    pub fn inet(&self) -> SocketAddr {
        let port = self.listening.iter().find_map(|address| address.strip_prefix("inet:"));
        port.expect("it listens at no port").parse().unwrap()
    }

    /// A client that was greeted, over the Unix socket.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::unix(&self.unix()).greeted()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Asks it to stop.
    #[track_caller]
    pub fn stop(self) {
        self.signal(Signal::TERM);
        self.ends_well();
    }

    /// Waits until it has ended with success, having said nothing more.
    #[track_caller]
    pub fn ends_well(mut self) {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "it does not end");
            thread::sleep(Duration::from_millis(1));
        };
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!((status.code(), rest.as_str()), (Some(0), ""));
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// A number of kilobytes in `/proc/PID/status`.
    pub fn kilobytes(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap().split_ascii_whitespace().next().unwrap().parse().unwrap()
    }

    /// Without a word.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The hook of a small site before a store that answers as it is told. Alice and Anna are enrolled,
/// mail for Bob and Bea is passed as it comes, of others nobody has heard.
pub struct Hooked {
    pub hook: Hook,
    pub store: Server,
    pub site: Site,
}

pub const ALICE: &str = "alice@example.org";
pub const ANNA: &str = "anna@example.org";
pub const BOB: &str = "bob@example.org";
pub const BEA: &str = "bea@example.org";
/// Alice's and Anna's.
pub const PASSWORD: &[u8] = b"pw";

/// Whose mail is passed.
pub const PASS: &str = "pass = [\"bob@example.org\", \"bea@example.org\"]";

impl Hooked {
    #[track_caller]
    pub fn new(rules: Rules) -> Self {
        Self::with(Server::start(rules), "", "")
    }

    /// With more lines in `[delivery]` and in `[lmtp]`.
    #[track_caller]
    pub fn with(store: Server, delivery: &str, more: &str) -> Self {
        let site = Site::new();
        for user in [ALICE, ANNA] {
            site.enroll(user, PASSWORD).good();
        }
        configure(&site, &store.address, delivery, more);
        Self { hook: Hook::start(&site), store, site }
    }

    /// Another process, which knows nothing of what was.
    #[track_caller]
    pub fn restart(&mut self) {
        // The last one is gone before: what it listened at is free.
        self.hook.kill();
        self.hook = Hook::start(&self.site);
    }

    /// A client that was greeted.
    #[track_caller]
    pub fn client(&self) -> Client {
        self.hook.client()
    }

    /// What the store got as the `nth` message, opened by `user`.
    #[track_caller]
    pub fn opened(&self, nth: usize, user: &str) -> Vec<u8> {
        let sealed = unstuffed(&self.store.data()[nth]);
        self.site.unseal(user, PASSWORD, &sealed).good().stdout
    }
}

/// Writes the configuration of a [`Hooked`] site.
pub fn configure(site: &Site, backend: &str, delivery: &str, more: &str) {
    let rest = format!("[delivery]\n{PASS}\n{delivery}\n{}", lmtp(site, backend, more));
    site.configure("", &rest);
}

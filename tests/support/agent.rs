//! `nightsafe agent` in the background, for as long as the test needs it.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nightsafe::agent::client::Client;
use nightsafe::agent::protocol::{Password, Reply, Request, UserStatus};
use rustix::process::{Pid, Signal, kill_process};

use super::Site;

/// How long anything may take before the test calls it a hang.
pub const PATIENCE: Duration = Duration::from_secs(600);

pub struct Agent {
    child: Child,
    socket: PathBuf,
}

/// The table of a site whose socket lies in its folder, with these lines more.
pub fn settings(site: &Site, more: &str) -> String {
    format!("[agent]\nsocket = \"{}\"\n{more}\n", site.join("agent").display())
}

/// A site with an agent's table.
pub fn site_with(more: &str) -> Site {
    let site = Site::new();
    site.configure("", &settings(&site, more));
    site
}

impl Agent {
    #[track_caller]
    pub fn start(site: &Site) -> Self {
        Self::run(&mut site.command(["agent"]), site)
    }

    /// The same of a command that may do other things first.
    #[track_caller]
    pub fn run(command: &mut Command, site: &Site) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if !line.starts_with("listening at ") {
            let _ = child.kill();
            panic!("it does not listen but says {line:?} and ends with {:?}", child.wait());
        }
        Self { child, socket: site.join("agent") }
    }

    /// A connection.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(&self.socket, &[], PATIENCE).unwrap()
    }

    #[track_caller]
    pub fn ask(&self, request: &Request<'_>) -> Reply {
        self.client().ask(request).unwrap()
    }

    /// What it tells of one user.
    #[track_caller]
    pub fn status(&self, user: &str) -> UserStatus {
        match self.ask(&Request::Status { user: Some(user), after: "" }) {
            Reply::Status { mut users, .. } => users.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until it tells of the user what the test wants to hear.
    #[track_caller]
    pub fn wait(&self, user: &str, wanted: impl Fn(&UserStatus) -> bool) -> UserStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            let status = self.status(user);
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < end, "never: {status:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    pub fn wait_until_locked(&self, user: &str) {
        self.wait(user, |status| status.unlocked.is_none());
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Asks it to stop, and waits until it has, with success.
    #[track_caller]
    pub fn stop(self) {
        self.signal(Signal::TERM);
        self.ends();
    }

    /// Waits until it has ended, with success.
    #[track_caller]
    pub fn ends(mut self) {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "it does not end");
            thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(status.code(), Some(0));
    }

    /// Without a word.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A number of kilobytes in `/proc/PID/status`.
    pub fn kilobytes(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap().split_ascii_whitespace().next().unwrap().parse().unwrap()
    }

    /// Seconds of processor time so far.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds_of(self.pid())
    }
}

/// Seconds of processor time of a process so far, of all threads there were: proc_pid_stat(5), fields
/// 14 and 15.
pub fn cpu_seconds_of(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace();
    let ticks: f64 = fields.skip(11).take(2).map(|field| field.parse::<f64>().unwrap()).sum();
    // A tick is a hundredth of a second on every Linux there is.
    ticks / 100.0
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A login that the site's own login has accepted.
pub fn confirmed<'b>(user: &'b str, password: &'b [u8], hold: bool) -> Request<'b> {
    let password = Password(password);
    Request::Unlock { user, password, confirmed: true, hold, reader: None }
}

/// A login by hand.
pub fn by_hand<'b>(user: &'b str, password: &'b [u8], hold: bool) -> Request<'b> {
    let password = Password(password);
    Request::Unlock { user, password, confirmed: false, hold, reader: None }
}

#[track_caller]
pub fn unlocked(reply: Reply) {
    assert!(matches!(reply, Reply::Unlocked { .. }), "{reply:?}");
}

//! `nightsafe agent` as a site runs it: as a user of its own, who alone can read the key records.

use super::process::{self, Server, wait_for};
use super::users::users;
use super::{Site, mode};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where it listens, below the site.
pub const SOCKET: &str = "agent/socket";

/// The service, running or not.
pub struct Agent {
    socket: PathBuf,
    /// How many octets of memory it may lock.
    lockable: &'static str,
    process: Option<Server>,
}

impl Agent {
    /// Starts it with more lines for `[agent]`.
    pub fn start(site: &Site, more: &str) -> Self {
        Self::start_within(site, more, "8388608")
    }

    /// The same, with no more memory to lock than so many octets.
    pub fn start_within(site: &Site, more: &str, lockable: &'static str) -> Self {
        let user = &users().agent;
        let own = |path: &PathBuf| chown(path, Some(user.uid), None).unwrap();
        for name in ["keys", "keys/private", "keys/public", "etc/pepper", "etc/provisional.key"] {
            own(&site.join(name));
        }
        for folder in ["keys/private", "keys/public"] {
            let files = fs::read_dir(site.join(folder)).unwrap();
            files.for_each(|file| own(&file.unwrap().path()));
        }
        let folder = site.join("agent");
        fs::create_dir_all(&folder).unwrap();
        mode(&folder, 0o755);
        own(&folder);
        let socket = site.join(SOCKET);
        site.configure(&table(site, more));
        let mut agent = Self { socket, lockable, process: None };
        agent.up(site);
        agent
    }

    /// Starts it, again if [`Agent::stop`] or [`Agent::kill`] ended it.
    pub fn up(&mut self, site: &Site) {
        let user = &users().agent;
        let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
        let mut command = site.command("prlimit");
        command
            .arg(format!("--memlock={0}:{0}", self.lockable))
            .arg("setpriv")
            .args(["--reuid", &uid, "--regid", &gid, "--clear-groups"])
            .arg(site.join("bin/nightsafe"))
            .arg("--config")
            .arg(site.join("etc/nightsafe.toml"))
            .arg("agent")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut process = Server::start(&mut command);
        wait_for(
            "the agent to listen",
            || site.system_log(),
            || {
                assert!(process.is_running(), "the agent ended: {}", site.system_log());
                UnixStream::connect(&self.socket).ok()
            },
        );
        self.process = Some(process);
    }

    /// Ends it as the service manager does.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process::signal(process.id(), Signal::TERM);
        let status = process.wait();
        assert!(status.success(), "nightsafe agent ended with {status}");
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process::signal(process.id(), Signal::KILL);
        process.wait();
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// Lets it stand still, or go on.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.process.as_ref().expect("it runs").id(), signal);
    }

    /// What it says of one user, as root is told.
    pub fn status(&self, site: &Site, user: &str) -> String {
        text(&mut site.nightsafe(&["status", user]))
    }

    /// Whether the user's keys are there.
    pub fn is_unlocked(&self, site: &Site, user: &str) -> bool {
        self.status(site, user).contains(": unlocked since ")
    }

    /// How many leases the user has; `None` when the keys are not there.
    pub fn leases(&self, site: &Site, user: &str) -> Option<u32> {
        let status = self.status(site, user);
        let words: Vec<_> = status.lines().next()?.split([' ', ',']).collect();
        let at = words.iter().position(|word| word.starts_with("lease"))?;
        words[at - 1].parse().ok()
    }

    /// Wipes the user's keys.
    pub fn lock(&self, site: &Site, user: &str) {
        text(&mut site.nightsafe(&["lock", user]));
    }

    /// Waits until the user has so many leases.
    pub fn wait_for_leases(&self, site: &Site, user: &str, leases: u32) {
        let says = || self.status(site, user);
        wait_for("leases", says, || (self.leases(site, user) == Some(leases)).then_some(()));
    }
}

/// `[agent]` of a site whose agent it is.
pub fn table(site: &Site, more: &str) -> String {
    let (socket, user) = (site.join(SOCKET), &users().agent.name);
    format!("[agent]\nsocket = \"{}\"\nuser = \"{user}\"\n{more}", socket.display())
}

fn text(command: &mut Command) -> String {
    let output = command.output().unwrap();
    super::success(&output);
    String::from_utf8(output.stdout).unwrap()
}

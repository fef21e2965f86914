//! `nightsafe imap` as a site runs it: as a user of its own, who can read neither key records nor the
//! pepper, before a store that only it talks to.

use super::agent::{self, Agent};
use super::process::{self, Server, free_port, wait_for};
use super::users::users;
use super::{Site, mode};
use rustix::process::Signal;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};

/// The service, running or not.
pub struct Proxy {
    port: u16,
    /// Where it listens beside that, as `[imap] listen` has it.
    also: Vec<String>,
    /// `[agent]` as the agent itself has it: both read one file on a site.
    agent: String,
    process: Option<Server>,
}

/// Agent and proxy before a store that runs: what was started last ends first.
pub struct Reading {
    pub proxy: Proxy,
    pub agent: Agent,
}

impl Reading {
    /// Starts both before the store's IMAP at this address.
    pub fn start(site: &Site, store: &str) -> Self {
        Self::start_with(site, store, "", "")
    }

    /// The same with more lines for `[agent]`, and for `[imap]` and what follows it.
    pub fn start_with(site: &Site, store: &str, agent: &str, imap: &str) -> Self {
        Self::start_at(site, &[], store, agent, imap)
    }

    /// The same, and the proxy listens at more addresses.
    pub fn start_at(site: &Site, also: &[&str], store: &str, agent: &str, imap: &str) -> Self {
        let allow = format!("allow = {{ {} = [\"login\"] }}\n{agent}", users().proxy.name);
        let mut proxy = Proxy::new(also, agent::table(site, &allow));
        let agent = Agent::start(site, &allow);
        proxy.configure(site, store, imap);
        proxy.up(site);
        Self { proxy, agent }
    }

    /// Where a client connects.
    pub fn port(&self) -> u16 {
        self.proxy.port
    }
}

impl Proxy {
    fn new(also: &[&str], agent: String) -> Self {
        let also = also.iter().map(ToString::to_string).collect();
        Self { port: free_port(), also, agent, process: None }
    }

    /// Writes the configuration anew; it is read at the next start.
    pub fn configure(&self, site: &Site, backend: &str, more: &str) {
        let listen = [&[format!("inet:127.0.0.1:{}", self.port)], &*self.also].concat();
        let text = format!(
            "{}\n{}\n[imap]\nlisten = {listen:?}\nbackend = \"{backend}\"\n{more}\n",
            site.configuration(),
            self.agent,
        );
        let path = site.join("etc/imap.toml");
        fs::write(&path, text).unwrap();
        mode(&path, 0o644);
    }

    /// Starts it, again after [`Proxy::stop`] or [`Proxy::kill`].
    pub fn up(&mut self, site: &Site) {
        let mut command = self.command(site);
        command.stdin(Stdio::null());
        self.up_by(site, &mut command);
    }

    /// What runs it, as its own user.
    pub fn command(&self, site: &Site) -> Command {
        let user = users();
        let mut command = site.command("setpriv");
        command
            .arg(format!("--reuid={}", user.proxy.uid))
            .arg(format!("--regid={}", user.proxy.gid))
            // The sealing key is the delivery group's: what a client appends is sealed with it.
            .arg(format!("--groups={}", user.delivery.gid))
            .arg(site.join("bin/nightsafe"))
            .arg("--config")
            .arg(site.join("etc/imap.toml"))
            .arg("imap")
            .stdout(Stdio::null());
        command
    }

    /// Starts it by another command, which ends as [`Proxy::command`] does.
    pub fn up_by(&mut self, site: &Site, command: &mut Command) {
        let mut process = Server::start(command);
        wait_for(
            "the proxy to greet",
            || site.system_log(),
            || {
                assert!(process.is_running(), "nightsafe imap ended: {}", site.system_log());
                greets(self.port).then_some(())
            },
        );
        self.process = Some(process);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// Has it read its configuration again.
    pub fn reload(&self) {
        process::signal(self.id(), Signal::HUP);
    }

    /// Ends it as the service manager does.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process::signal(process.id(), Signal::TERM);
        let status = process.wait();
        assert!(status.success(), "nightsafe imap ended with {status}");
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process::signal(process.id(), Signal::KILL);
        process.wait();
    }
}

fn greets(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut greeting = String::new();
    let read = BufReader::new(stream).read_line(&mut greeting);
    read.is_ok() && greeting.starts_with("* ")
}

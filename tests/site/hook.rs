//! `nightsafe lmtp` as a site runs it: as the delivery user, with the site's configuration, its socket in
//! the folder that Postfix may enter.

use super::lmtp::Client;
use super::process::{self, Server, wait_for};
use super::users::users;
use super::{Site, config};
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Where it listens, below the site.
pub const SOCKET: &str = "nightsafe/lmtp";

/// The service, running or not.
pub struct Hook {
    socket: PathBuf,
    /// Where it listens on TCP as well.
    port: Option<u16>,
    process: Option<Server>,
}

impl Hook {
    /// Starts it before the store at `backend`, as `[lmtp] backend` has it.
    pub fn start(site: &Site, backend: &str) -> Self {
        Self::start_with(site, backend, "")
    }

    /// The same with more lines for `[lmtp]`, and further tables behind them.
    pub fn start_with(site: &Site, backend: &str, more: &str) -> Self {
        Self::start_at(site, backend, more, None)
    }

    /// The same, which listens on a TCP port as well.
    pub fn start_with_port(site: &Site, backend: &str, port: u16) -> Self {
        Self::start_at(site, backend, "", Some(port))
    }

    fn start_at(site: &Site, backend: &str, more: &str, port: Option<u16>) -> Self {
        let folder = config::socket_replacements(site);
        config::make_folders(&config::example("postfix-lmtp/tmpfiles.conf", &folder));
        let mut hook = Self { socket: site.join(SOCKET), port, process: None };
        hook.configure(site, backend, more);
        hook.up(site);
        hook
    }

    /// Writes the configuration anew. It is read at the next start, or at [`Hook::reload`].
    pub fn configure(&self, site: &Site, backend: &str, more: &str) {
        let port =
            self.port.map_or_else(String::new, |port| format!(", \"inet:127.0.0.1:{port}\""));
        let text = format!(
            "{}\n[lmtp]\nlisten = [\"unix:{}\"{port}]\nbackend = \"{backend}\"\n{more}\n",
            site.configuration(),
            self.socket.display()
        );
        fs::write(site.join("etc/lmtp.toml"), text).unwrap();
    }

    /// Starts it, again after [`Hook::stop`] or [`Hook::kill`].
    pub fn up(&mut self, site: &Site) {
        let delivery = &users().delivery;
        let mut command = site.command("setpriv");
        command
            .arg(format!("--reuid={}", delivery.uid))
            .arg(format!("--regid={}", delivery.gid))
            .arg("--clear-groups")
            .arg(site.join("bin/nightsafe"))
            .arg("--config")
            .arg(site.join("etc/lmtp.toml"))
            .arg("lmtp")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut process = Server::start(&mut command);
        let said = || self.log(site);
        wait_for("nightsafe to listen", said, || {
            assert!(process.is_running(), "nightsafe lmtp ended: {}", said());
            Client::connect(&self.socket)
        });
        self.process = Some(process);
    }

    /// Ends it as the service manager does: it must finish what it does, and end well.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process::signal(process.id(), Signal::TERM);
        let status = process.wait();
        assert!(status.success(), "nightsafe lmtp ended with {status}");
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process::signal(process.id(), Signal::KILL);
        process.wait();
    }

    /// Has it read its configuration again, and waits until it has.
    pub fn reload(&self, site: &Site) {
        let count = || self.log(site).matches("configuration read again").count();
        let before = count();
        process::signal(self.process.as_ref().expect("it runs").id(), Signal::HUP);
        wait_for("a reload", || self.log(site), || (count() > before).then_some(()));
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A connection to it.
    pub fn client(&self) -> Client {
        Client::connect(&self.socket).expect("nightsafe lmtp answers")
    }

    /// What it has logged.
    pub fn log(&self, site: &Site) -> String {
        let log = site.system_log();
        let lines = log.lines().filter(|line| line.contains("nightsafe["));
        lines.flat_map(|line| [line, "\n"]).collect()
    }
}

//! `nightsafe lmtp` as its own user, which is killed and comes back.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::site::process::{Server, wait_for};
use crate::site::users::users;
use crate::site::{Site, mode};

pub struct Service {
    server: Option<Server>,
    socket: PathBuf,
    said: PathBuf,
}

impl Service {
    /// Starts it before the store at `store`; `settings` are more lines of `[lmtp]`.
    pub fn start(site: &Site, store: &Path, settings: &str) -> Self {
        let run = site.join("run");
        fs::create_dir(&run).unwrap();
        mode(&run, 0o755);
        chown(&run, Some(users().delivery.uid), Some(users().delivery.gid)).unwrap();
        let socket = run.join("lmtp");
        let configuration = format!(
            "[delivery]\nunenrolled = \"pass\"\n[lmtp]\nlisten = [\"unix:{}\"]\n\
             socket_mode = 0o666\nbackend = \"unix:{}\"\n{settings}\n",
            socket.display(),
            store.display()
        );
        let mut file = File::options().append(true).open(site.join("etc/nightsafe.toml")).unwrap();
        file.write_all(configuration.as_bytes()).unwrap();
        let mut service = Self { server: None, socket, said: run.join("said") };
        service.up(site);
        service
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Starts it again, after [`Service::kill`].
    pub fn up(&mut self, site: &Site) {
        let said = File::options().create(true).append(true).open(&self.said).unwrap();
        let delivery = &users().delivery;
        let mut command = site.command("setpriv");
        command
            .args([format!("--reuid={}", delivery.uid), format!("--regid={}", delivery.gid)])
            .arg("--clear-groups")
            .arg(site.join("bin/nightsafe"))
            .arg("--config")
            .arg(site.join("etc/nightsafe.toml"))
            .arg("lmtp")
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said);
        let mut server = Server::start(&mut command);
        let said = || fs::read_to_string(&self.said).unwrap_or_default();
        wait_for("nightsafe lmtp to listen", said, || {
            assert!(server.is_running(), "nightsafe lmtp ended: {}", said());
            UnixStream::connect(&self.socket).ok()
        });
        self.server = Some(server);
    }

    /// Kills it, in whatever it is doing.
    pub fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill();
        }
    }

    /// Whether it has lived since it was started last.
    pub fn is_running(&mut self) -> bool {
        self.server.as_mut().is_some_and(Server::is_running)
    }
}

//! A real saslauthd that asks the site's PAM, as `saslauthd -a pam -r` does on a real site.

use super::pam::Pam;
use super::process::{Server, wait_for};
use super::{Site, mode, server_file};
use std::fs;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Runs while the value lives.
pub struct Saslauthd {
    folder: PathBuf,
    process: Server,
}

impl Saslauthd {
    pub fn start(site: &Site, pam: &Pam<'_>) -> Self {
        let folder = site.join("saslauthd");
        fs::create_dir(&folder).unwrap();
        mode(&folder, 0o755);
        let mut command = pam.command(server_file("/usr/sbin/saslauthd"));
        command
            // In the foreground; -d alone would say who logs in, and nothing more.
            .args(["-a", "pam", "-r", "-n", "2", "-d", "-m"])
            .arg(&folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = Server::start(&mut command);
        let socket = folder.join("mux");
        wait_for("saslauthd", || site.system_log(), || UnixStream::connect(&socket).ok());
        Self { folder, process }
    }

    /// What imapd.conf says to have Cyrus ask it.
    pub fn imapd_conf(&self) -> String {
        format!(
            "sasl_pwcheck_method: saslauthd\nsasl_saslauthd_path: {}\n",
            self.folder.join("mux").display()
        )
    }

    /// testsaslauthd(8), which is all that Postfix' and Cyrus' library do.
    pub fn test(&self, service: &str, user: &str, realm: &str, password: &str) -> Output {
        Command::new(server_file("/usr/sbin/testsaslauthd"))
            .args(["-u", user, "-r", realm, "-p", password, "-s", service, "-f"])
            .arg(self.folder.join("mux"))
            .output()
            .unwrap()
    }

    /// The process, and the group of its workers.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

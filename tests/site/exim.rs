//! A real Exim with the file of `examples/exim`, and what its log says of each delivery.

use super::mta::{Attempt, Mta};
use super::process::{Server, free_port, wait_for};
use super::system_log::read;
use super::users::{User, users};
use super::{Site, config, mode, unpacked};
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A running Exim. It ends with the value; its queue stays below the site.
pub struct Exim {
    folder: PathBuf,
    port: u16,
    _daemon: Server,
}

impl Exim {
    /// Starts a server that hands its mail to this socket.
    pub fn start(site: &Site, lmtp_socket: &Path) -> Self {
        Self::start_changed(site, lmtp_socket, &[])
    }

    /// Starts a server that hands its mail to nightsafe on this TCP port, as to another machine: that
    /// is the work of Exim's smtp transport, which sends BDAT where it is offered.
    pub fn start_with_port(site: &Site, port: u16) -> Self {
        let transport = format!(
            "  driver = smtp\n  protocol = lmtp\n  hosts = 127.0.0.1\n  port = {port}\n  \
             hosts_override\n  allow_localhost\n"
        );
        let changes = [
            // What the lmtp transport knows and the smtp transport does not, line by line. The user
            // must be Exim's own, who may remember hosts.
            ("  driver = lmtp\n", transport),
            ("  socket = /run/nightsafe/lmtp\n", String::new()),
            ("  user = nightsafe\n", String::new()),
            ("  group = nightsafe\n", String::new()),
            ("  batch_max = 100\n", "  max_rcpt = 100\n".to_owned()),
            ("  timeout = 20m\n", "  final_timeout = 20m\n".to_owned()),
        ];
        Self::start_changed(site, Path::new("/nowhere"), &changes)
    }

    fn start_changed(site: &Site, lmtp_socket: &Path, changes: &[(&'static str, String)]) -> Self {
        let folder = site.join("exim");
        let port = free_port();
        make_folders(&folder);
        let mut replacements = changes.to_vec();
        let others = config::exim_replacements(site, port, lmtp_socket).into_iter();
        // What was in a line that is not there any more need not be replaced.
        let is_gone = |literal: &str| changes.iter().any(|(line, _)| line.contains(literal));
        replacements.extend(others.filter(|(literal, _)| !is_gone(literal)));
        make_etc(&folder.join("etc"), &replacements);
        let mut daemon = command(site, &folder);
        // A signal to its whole group must not reach other tests' servers.
        daemon.arg("-bdf").process_group(0);
        let mut daemon = Server::start(&mut daemon);
        let said = || logs(&folder);
        wait_for("Exim to listen", said, || {
            assert!(daemon.is_running(), "Exim ended: {}", said());
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self { folder, port, _daemon: daemon }
    }

    /// Tries again, now, and gives what comes of it.
    pub fn retry(&self, site: &Site, id: &str) -> Attempt {
        let before = self.attempts(id).len();
        wait_for(
            "another attempt to deliver",
            || self.log(),
            || {
                // Does nothing while the last attempt is not quite over.
                command(site, &self.folder).args(["-M", id]).output().unwrap();
                self.attempts(id).get(before).cloned()
            },
        )
    }
}

impl Mta for Exim {
    fn port(&self) -> u16 {
        self.port
    }

    fn log(&self) -> String {
        logs(&self.folder)
    }

    fn attempts(&self, id: &str) -> Vec<Attempt> {
        let mark = format!(" {id} ");
        self.log().lines().filter_map(|line| attempt(line.split_once(&mark)?.1)).collect()
    }

    fn queued(&self) -> Vec<String> {
        let files = fs::read_dir(self.folder.join("spool/input")).into_iter().flatten().flatten();
        let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
        names.filter_map(|name| Some(name.strip_suffix("-H")?.to_owned())).collect()
    }
}

/// Exim with its own `/etc`.
fn command(site: &Site, folder: &Path) -> Command {
    let mut command = unpacked::command(site, Some(&folder.join("etc")), "/usr/sbin/exim4");
    command.stdin(Stdio::null());
    command
}

/// What it logs, and what it complains of.
fn logs(folder: &Path) -> String {
    ["mainlog", "paniclog"].map(|name| read(&folder.join("log").join(name))).concat()
}

/// `=> alice <alice@example.org> R=nightsafe T=nightsafe C="250 2.0.0 …"` and its like: `->` for
/// further recipients of one transaction, `==` deferred, `**` bounced.
fn attempt(line: &str) -> Option<Attempt> {
    let (sign, line) = line.split_once(' ')?;
    let status = match sign {
        "=>" | "->" => "sent",
        "==" => "deferred",
        "**" => "bounced",
        _ => return None,
    };
    let (recipient, text) = line.split_once(" R=")?;
    let recipient = recipient.rsplit(['<', ' ']).next()?.trim_end_matches('>');
    let is_dsn = |word: &&str| {
        word.split('.').count() == 3 && word.bytes().all(|byte| b"0123456789.".contains(&byte))
    };
    Some(Attempt {
        recipient: recipient.to_owned(),
        status: status.to_owned(),
        // None where nobody answered.
        dsn: text.split(' ').find(is_dsn).unwrap_or_default().to_owned(),
        text: text.to_owned(),
    })
}

fn make_folders(folder: &Path) {
    let User { uid, gid, .. } = &users().exim;
    for name in ["", "etc", "etc/exim4"] {
        fs::create_dir_all(folder.join(name)).unwrap();
        mode(&folder.join(name), 0o755);
    }
    for name in ["spool", "log", "run"] {
        fs::create_dir(folder.join(name)).unwrap();
        chown(folder.join(name), Some(*uid), Some(*gid)).unwrap();
        mode(&folder.join(name), 0o750);
    }
}

/// What Exim finds in `/etc`: its file, which it trusts nowhere else, and the user whose name Debian
/// has built in, another name for the one that it runs as.
fn make_etc(etc: &Path, replacements: &[(&str, String)]) {
    let User { uid, gid, .. } = &users().exim;
    fs::write(etc.join("exim4/exim4.conf"), config::example("exim/exim.conf", replacements))
        .unwrap();
    for (name, line) in [
        ("passwd", format!("Debian-exim:x:{uid}:{gid}::/nonexistent:/usr/sbin/nologin\n")),
        ("group", format!("Debian-exim:x:{gid}:\n")),
    ] {
        let machine = fs::read_to_string(Path::new("/etc").join(name)).unwrap();
        fs::write(etc.join(name), machine + &line).unwrap();
    }
}

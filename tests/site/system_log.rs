//! The system log of one site: what its programs send to `/dev/log` comes into a file below the site.
//!
//! Servers are started with a `/dev` of their own (a private mount namespace), in which `log` is a
//! socket of the test. So a test reads the log of its own site only, needs no syslog daemon, and
//! writes nothing into the log of the machine.

use super::mode;
use super::process::wait_for;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// Collects until the value goes.
pub struct SystemLog {
    folder: PathBuf,
    collector: Option<JoinHandle<()>>,
}

/// Arguments: an empty folder, the socket, the program and its arguments. Its process id stays.
const WITH_OWN_DEV: &str = r#"
set -e
dev=$1 socket=$2
shift 2
mount -t tmpfs -o mode=0755 tmpfs "$dev"
for node in null zero full random urandom tty; do
    : >"$dev/$node"
    mount --bind "/dev/$node" "$dev/$node"
done
mkdir "$dev/shm"
mount --bind /dev/shm "$dev/shm"
ln -s /proc/self/fd "$dev/fd"
ln -s "$socket" "$dev/log"
mount --rbind "$dev" /dev
exec "$@"
"#;

impl SystemLog {
    /// Begins to collect, in a new folder.
    pub fn start(folder: PathBuf) -> Self {
        fs::create_dir_all(folder.join("dev")).unwrap();
        mode(&folder, 0o755);
        let socket = UnixDatagram::bind(folder.join("socket")).unwrap();
        mode(&folder.join("socket"), 0o666);
        let mut file = File::create(folder.join("lines")).unwrap();
        let collector = std::thread::spawn(move || {
            let mut line = [0; 8192];
            while let Ok(length @ 1..) = socket.recv(&mut line) {
                file.write_all(&line[..length]).unwrap();
                file.write_all(b"\n").unwrap();
            }
        });
        Self { folder, collector: Some(collector) }
    }

    /// The same command, but for its environment, with this as its system log.
    pub fn of(&self, command: &Command) -> Command {
        let mut logged = self.command(command.get_program());
        logged.args(command.get_args());
        logged
    }

    /// A command whose system log this is.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", WITH_OWN_DEV, "sh"])
            .args([self.folder.join("dev"), self.folder.join("socket")])
            .arg(program);
        command
    }

    /// All lines so far.
    pub fn read(&self) -> String {
        let lines = self.folder.join("lines");
        // Lines come in order: when this one is there, what was logged before is there.
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let mark = format!("the test looks: {}.", NUMBER.fetch_add(1, Ordering::Relaxed));
        let socket = UnixDatagram::unbound().unwrap();
        socket.send_to(mark.as_bytes(), self.folder.join("socket")).unwrap();
        wait_for("the system log", || read(&lines), || read(&lines).contains(&mark).then_some(()));
        read(&lines)
    }
}

impl Drop for SystemLog {
    fn drop(&mut self) {
        // Nobody logs nothing: an empty datagram is the end.
        let ended = UnixDatagram::unbound()
            .and_then(|socket| socket.send_to(b"", self.folder.join("socket")));
        if let (Ok(_), Some(collector)) = (ended, self.collector.take()) {
            let _ = collector.join();
        }
    }
}

/// A file of log lines, which may hold anything.
pub fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

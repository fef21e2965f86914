//! A process that holds a password shows it to nobody: not in its arguments or environment, not to a
//! debugger of the same user, not in a core dump.

mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::{Site, program};

const PASSWORD: &str = "Zwetschgenkuchen-4711";

#[track_caller]
fn has_none(what: &str, content: &[u8]) {
    let found = memchr::memmem::find(content, PASSWORD.as_bytes()).is_some();
    assert!(!found, "{what} has the password");
}

/// A process that ends with the test, also with one that fails.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `passwd` with no limit on core dumps. It has read the old password and waits for the new one, from a FIFO that nobody writes to.
fn holding_a_password(site: &Site) -> Held {
    let fifo = site.join("fifo");
    if !fifo.exists() {
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    }
    // Who began this test may ignore signals, as a shell does for what it runs in the background.
    let child = Command::new("env")
        .args(["--default-signal", "sh", "-c", "ulimit -c unlimited; exec \"$@\"", "sh"])
        .arg(program())
        .arg("--config")
        .arg(site.config())
        .args(["passwd", "alice", "--password-file", "-", "--new-password-file"])
        .arg(&fifo)
        .current_dir(site.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = Held(child.unwrap());
    child.0.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    // It waits in open(2), having closed standard input's end.
    let waits = || {
        let state = fs::read_to_string(format!("/proc/{}/stat", child.0.id())).unwrap();
        let command = fs::read_to_string(format!("/proc/{}/comm", child.0.id())).unwrap();
        command.starts_with("nightsafe") && state.rsplit_once(") ").unwrap().1.starts_with('S')
    };
    let end = Instant::now() + Duration::from_secs(60);
    let mut seen = 0;
    while seen < 20 {
        assert!(Instant::now() < end, "passwd does not wait");
        seen = if waits() { seen + 1 } else { 0 };
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn a_running_command_shows_none() {
    let site = Site::new();
    site.enroll("alice", PASSWORD.as_bytes()).good();
    let child = holding_a_password(&site);
    let at = format!("/proc/{}", child.0.id());
    let arguments = fs::read(format!("{at}/cmdline")).unwrap();
    assert!(memchr::memmem::find(&arguments, b"--new-password-file").is_some());
    has_none("cmdline", &arguments);
    match fs::read(format!("{at}/environ")) {
        Ok(environment) => has_none("environ", &environment),
        // Nobody but root may look into it at all.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
    }
    let limits = fs::read_to_string(format!("{at}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let numbers: Vec<_> = core.split_whitespace().filter(|word| *word == "0").collect();
    assert_eq!(numbers.len(), 2, "both limits: {core}");
}

/// The kernel gives what it shows of such a process to root (proc(5), PR_SET_DUMPABLE).
#[test]
fn a_running_command_is_not_dumpable() {
    let site = Site::new();
    let fifo = site.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let copy = site.join("nightsafe");
    let status = Command::new("install").args(["-m", "755"]).arg(program()).arg(&copy).status();
    assert!(status.unwrap().success());
    let root = rustix::process::geteuid().is_root();
    // Its configuration is the FIFO, so that it waits whoever it is.
    let start = |words: &[&str]| {
        let mut command = Command::new(if root { "setpriv" } else { "env" });
        if root {
            command.args(["--reuid=65534", "--clear-groups", "--"]);
        }
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Held(command.spawn().unwrap())
    };
    let folder = site.path();
    for path in [folder.parent().unwrap(), &folder, &fifo] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let enroll = [copy.to_str().unwrap(), "inspect", "-"];
    let own = |words: &[&str], name: &str| {
        let child = start(words);
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            assert!(Instant::now() < end, "{name} does not run");
            let command = fs::read_to_string(format!("/proc/{}/comm", child.0.id())).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            if command.trim_end() == name {
                break fs::metadata(format!("/proc/{}/environ", child.0.id())).unwrap().uid();
            }
        }
    };
    assert_ne!(own(&["cat"], "cat"), if root { 0 } else { u32::MAX }, "an ordinary program's own");
    assert_eq!(own(&enroll, "nightsafe"), 0);
}

#[test]
fn there_is_no_core_dump() {
    let site = Site::new();
    site.enroll("alice", PASSWORD.as_bytes()).good();
    // An ordinary program leaves one, or this machine never does.
    let ordinary = Command::new("sh")
        .args(["-c", "ulimit -c unlimited; kill -SEGV $$"])
        .current_dir(site.join("keys"))
        .status()
        .unwrap();
    assert!(ordinary.core_dumped(), "no program dumps here: allow it (ulimit -Hc unlimited)");
    for signal in [Signal::ABORT, Signal::QUIT, Signal::SEGV] {
        let mut child = holding_a_password(&site);
        // Rust's handler takes the first SIGSEGV for a stack overflow that did not happen, so that it is sent again.
        let end = Instant::now() + Duration::from_secs(60);
        while child.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "{signal:?} does not end it");
            kill_process(Pid::from_child(&child.0), signal).unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
        let status = child.0.wait().unwrap();
        assert_eq!(status.signal(), Some(signal.as_raw()));
        assert!(!status.core_dumped(), "{status}");
        let names: Vec<_> = fs::read_dir(site.path()).unwrap().flatten().collect();
        let dumps =
            names.iter().filter(|entry| entry.file_name().to_string_lossy().contains("core"));
        assert_eq!(dumps.count(), 0);
    }
}

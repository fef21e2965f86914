//! The systemd units of `examples/systemd`: systemd itself judges how much they allow, and the service
//! needs no system call that they forbid.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nightsafe::config::Config;
use support::hook::{ALICE, Hook, PASSWORD, configure};
use support::lmtp::Server;
use support::{MESSAGE, Site};

fn unit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd").join(name)
}

fn systemd_analyze(arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).stdin(Stdio::null()).output().unwrap_or_else(|error| {
        panic!("this test needs systemd-analyze (Debian package systemd): {error}")
    })
}

#[test]
fn systemd_finds_the_units_right_and_tight() {
    let path = unit("nightsafe-lmtp.service");
    // Tenths: at most 1.5.
    let options = ["security", "--offline=true", "--threshold=15", path.to_str().unwrap()];
    let found = systemd_analyze(&options);
    let said = String::from_utf8_lossy(&found.stdout) + String::from_utf8_lossy(&found.stderr);
    assert!(found.status.success(), "{said}");
    assert!(said.contains("Overall exposure level for nightsafe-lmtp.service: "), "{said}");
    // What it does not understand it says, and goes on.
    assert!(!said.contains("ignoring"), "{said}");
    let text = fs::read_to_string(unit("nightsafe-lmtp.socket")).unwrap();
    assert!(text.contains("ListenStream=/run/nightsafe/lmtp\n"));
}

/// The value of a setting that the service's unit has once.
fn setting<'a>(unit: &'a str, name: &str) -> &'a str {
    let mut values = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let value = values.next().unwrap_or_else(|| panic!("the unit says nothing of {name}"));
    assert_eq!(values.next(), None, "{name} is there twice");
    value
}

/// What hides or protects a folder is a mount. In the namespace of the service, one below the key
/// directory keeps the disk there after root has unmounted it, and the next one is not seen.
#[test]
fn the_disk_of_the_keys_can_be_unmounted_and_mounted_again() {
    let text = fs::read_to_string(unit("nightsafe-lmtp.service")).unwrap();
    let keys = Config::default().keys.directory;
    let mounts = ["InaccessiblePaths=", "ReadOnlyPaths=", "ReadWritePaths=", "BindPaths="];
    for line in text.lines().filter(|line| mounts.iter().any(|name| line.starts_with(name))) {
        let (_, paths) = line.split_once('=').unwrap();
        for path in paths.split(' ').map(|path| path.trim_start_matches(['-', '+'])) {
            assert!(!Path::new(path).starts_with(&keys), "{line}");
        }
    }
}

/// Without its keys the service does not begin. systemd gives such a one up after five times, and
/// closes its socket, unless it is told not to.
#[test]
fn the_service_is_never_given_up() {
    let text = fs::read_to_string(unit("nightsafe-lmtp.service")).unwrap();
    assert_eq!(setting(&text, "StartLimitIntervalSec"), "0");
    assert_eq!(setting(&text, "Restart"), "always");
    // Why it does not begin must be seen, and would go where the output goes.
    assert_eq!(setting(&text, "StandardOutput"), "null");
    assert_eq!(setting(&text, "StandardError"), "journal");
}

/// The system calls that a group such as `@system-service` stands for.
fn group(name: &str) -> BTreeSet<String> {
    let output = systemd_analyze(&["syscall-filter", name]);
    let text = String::from_utf8(output.stdout).unwrap();
    let mut calls = BTreeSet::new();
    for word in text.lines().skip(1).map(str::trim).filter(|word| !word.starts_with('#')) {
        if word.starts_with('@') {
            calls.extend(group(word));
        } else if !word.is_empty() {
            calls.insert(word.to_owned());
        }
    }
    assert!(!calls.is_empty(), "systemd knows no {name}");
    calls
}

/// What is left of `SystemCallFilter=` in the unit, line by line.
fn allowed(unit: &str) -> BTreeSet<String> {
    let mut calls = BTreeSet::new();
    for filter in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        match filter.strip_prefix('~') {
            None => calls.extend(filter.split(' ').flat_map(group)),
            Some(filter) => {
                for call in filter.split(' ').flat_map(group) {
                    calls.remove(&call);
                }
            }
        }
    }
    calls
}

#[test]
fn the_service_needs_no_forbidden_system_call() {
    let site = Site::new();
    site.enroll(ALICE, PASSWORD).good();
    let store = Server::start(Vec::new());
    let metrics = site.join("metrics");
    configure(&site, &store.address, "", &format!("metrics = [\"unix:{}\"]", metrics.display()));
    let trace = site.file("trace", b"");
    let program = site.command(["lmtp"]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "signal=none", "-o", &trace]);
    strace.arg(program.get_program()).args(program.get_args());
    let hook = Hook::run(&mut strace);
    let mut client = hook.client();
    // The second is large enough for the other way of sealing and writing.
    let message = String::from_utf8_lossy(MESSAGE).replace('\n', "\r\n");
    for times in [3, 20_000] {
        let replies = client.deliver("a@b.test", &[ALICE], message.repeat(times).as_bytes());
        assert!(replies[0].starts_with("250 2.0.0 sealed as <"), "{replies:?}");
    }
    let mut scrape = UnixStream::connect(&metrics).unwrap();
    scrape.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut shown = String::new();
    scrape.read_to_string(&mut shown).unwrap();
    assert!(shown.contains("nightsafe_lmtp_recipients_total{outcome=\"sealed\"} 2"), "{shown}");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", hook.pid()));
    let child = children.unwrap().trim().to_owned();
    for signal in ["-HUP", "-TERM"] {
        assert!(Command::new("kill").args([signal, &child]).status().unwrap().success());
    }
    hook.ends_well();
    let text = fs::read_to_string(&trace).unwrap();
    let used: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('))
        .map(|(name, _)| name)
        .filter(|name| {
            name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        })
        .collect();
    // It begins itself anew once, so that even this one must be allowed.
    assert!(
        used.contains("execve") && used.contains("accept4") && used.contains("epoll_wait"),
        "{used:?}"
    );
    let allowed = allowed(&fs::read_to_string(unit("nightsafe-lmtp.service")).unwrap());
    let forbidden: Vec<_> = used.iter().filter(|name| !allowed.contains(**name)).collect();
    assert!(forbidden.is_empty(), "the unit forbids {forbidden:?}");
}

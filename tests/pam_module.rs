//! The PAM module as a library: what the README's line builds, and that nothing of it hurts its host.

mod site;

use std::process::Command;

use site::Site;
use site::module::{module, module_with_faults};
use site::pam::{Pam, said};
use site::password;

fn listed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).arg(module()).output().unwrap();
    assert!(output.status.success(), "{program}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Other symbols could stand in for a host's own.
#[test]
fn it_shows_its_hooks_and_nothing_else() {
    let symbols = listed("nm", &["--dynamic", "--defined-only", "--format=posix"]);
    let mut names: Vec<_> = symbols.lines().filter_map(|line| line.split(' ').next()).collect();
    names.sort_unstable();
    let hooks =
        ["acct_mgmt", "authenticate", "chauthtok", "close_session", "open_session", "setcred"];
    assert_eq!(names, hooks.map(|hook| format!("pam_sm_{hook}")));
}

/// Each login loads it anew.
#[test]
fn it_is_small_and_needs_nothing_but_the_system() {
    let size = std::fs::metadata(module()).unwrap().len();
    assert!(size < 1_000_000, "{size} octets");
    let dynamic = listed("readelf", &["--dynamic", "--wide"]);
    let needed = dynamic.lines().filter(|line| line.contains("(NEEDED)"));
    let names: Vec<_> = needed.map(|line| line.split(['[', ']']).nth(1).unwrap()).collect();
    assert!(names.contains(&"libpam.so.0"), "{names:?}");
    let system = ["libc.so.6", "libgcc_s.so.1", "libpam.so.0"];
    let known = |name: &&&str| system.contains(*name) || name.starts_with("ld-linux");
    assert_eq!(names.iter().find(|name| !known(name)), None);
}

/// A login with each hook, a panic in one of them: it goes on, and the log says where it was.
#[test]
fn a_panic_does_not_reach_the_host() {
    let site = Site::new("");
    let pam = Pam::with_module(&site, &["alice"], module_with_faults());
    pam.example("login", "door");
    let does = ["authenticate", "acct_mgmt", "setcred", "open_session", "close_session"];
    for point in ["authenticate", "account", "setcred", "open_session", "close_session", "end"] {
        let mut command = pam.pamtester_command("door", "alice", &does);
        command.env("NIGHTSAFE_FAULT", format!("panic:pam_{point}"));
        let output = site::pam::feed(&mut command, &format!("{}\n", password("alice")));
        assert!(output.status.success(), "{point}: {}", said(&output));
        for done in ["authenticated", "account management done", "opened", "closed"] {
            assert!(said(&output).contains(done), "{point}: {}", said(&output));
        }
        assert!(!said(&output).contains("panicked"), "{point}: {}", said(&output));
        let log = site.system_log();
        let lines = log.lines().filter(|line| line.contains("internal error at src/pam/"));
        assert!(lines.count() > 0, "{point}: {log}");
    }
}

/// A password that the keys would not follow is not changed.
#[test]
fn a_panic_in_a_password_change_refuses_it() {
    let site = Site::new("");
    let pam = Pam::with_module(&site, &["alice"], module_with_faults());
    pam.example("login", "passwd");
    let mut command = pam.user_command("alice", "passwd");
    command.env("NIGHTSAFE_FAULT", "panic:pam_password");
    let output = site::pam::feed(&mut command, &format!("{}\n", password("alice")));
    assert_eq!(output.status.code(), Some(10), "{}", said(&output));
    assert!(site.system_log().contains("internal error at src/pam/"), "{}", site.system_log());
    assert!(pam.accepts("alice", &password("alice")));
}

/// Every option that a line can have, and the defaults, are in the README.
#[test]
fn the_readme_has_every_option() {
    let source = here("src/pam/options.rs");
    let readme = here("README.md");
    let arms = source
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("(\"") || line.starts_with("(_, Some((\""));
    let names: Vec<_> = arms.map(|line| line.split('"').nth(1).unwrap()).collect();
    assert_eq!(names, ["app", "unlock", "stage", "commit", "socket", "agent", "timeout"]);
    for name in &names[..4] {
        let in_a_line = readme.contains(&format!("pam_nightsafe.so {name}`"));
        assert!(in_a_line || readme.contains(&format!("| `{name}` |")), "{name}");
    }
    for (name, default) in [
        ("socket=PATH", "/run/nightsafe/agent"),
        ("timeout=SECONDS", "5"),
        ("agent=USER", "nightsafe-agent"),
    ] {
        assert!(readme.contains(&format!("| `{name}` | `{default}` |")), "{name}");
    }
    for default in ["\"/run/nightsafe/agent\"", "\"nightsafe-agent\"", "from_secs(5)"] {
        assert!(source.contains(default), "{default}");
    }
}

fn here(name: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

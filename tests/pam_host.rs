//! A long-lived host, as saslauthd and Dovecot are: a thousand logins leave nothing behind in it, and
//! logins in several threads do not get in each other's way.

mod site;

use std::path::PathBuf;
use std::process::Command;

use site::agent::Agent;
use site::pam::{Pam, feed, said};
use site::{Site, password, success};

fn host(site: &Site) -> PathBuf {
    let path = site.join("bin/host");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/site/host.c");
    let mut cc = Command::new("cc");
    cc.args(["-Wall", "-Werror", "-pthread", "-o"]).arg(&path).args([source, "-l:libpam.so.0"]);
    success(&cc.output().unwrap());
    path
}

/// The numbers that the host prints.
fn run(pam: &Pam<'_>, host: &PathBuf, rounds: u32, threads: u32) -> [u64; 5] {
    let mut command = pam.command(host);
    command.args(["host", "alice", &rounds.to_string(), &threads.to_string()]);
    let output = feed(&mut command, &format!("{}\n", password("alice")));
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    let numbers: Vec<u64> = numbers.map(|word| word.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

/// pam_permit.so in place of pam_unix.so, which would be the most of the work.
fn stack(pam: &Pam<'_>) {
    let module = pam.module();
    pam.stack(
        "host",
        &format!(
            "auth sufficient {module} app\nauth optional {module}\nauth required pam_permit.so\n\
             account optional {module}\naccount required pam_permit.so\n\
             session optional {module}\nsession required pam_permit.so\n"
        ),
    );
}

#[test]
fn logins_leave_nothing_behind_in_their_host() {
    let site = Site::with_users(&["alice"]);
    let pam = Pam::new(&site, &["alice"]);
    let _agent = Agent::start(&site, "");
    stack(&pam);
    let host = host(&site);
    let [failures, before, after, open_before, open_after] = run(&pam, &host, 1000, 1);
    assert_eq!((failures, open_after), (0, open_before));
    assert!(after < before + 512, "it grew from {before} to {after} KiB");
}

#[test]
fn logins_in_threads_do_not_meet() {
    let site = Site::with_users(&["alice"]);
    let pam = Pam::new(&site, &["alice"]);
    let agent = Agent::start(&site, "");
    stack(&pam);
    let host = host(&site);
    let [failures, _, _, open_before, open_after] = run(&pam, &host, 40, 8);
    assert_eq!((failures, open_after), (0, open_before));
    assert!(agent.is_unlocked(&site, "alice"));
    assert_eq!(agent.leases(&site, "alice"), Some(0));
    assert!(!site.system_log().contains("pam_nightsafe("), "{}", site.system_log());
}

//! Escrow as the user meets it, through the agent: what `status` shows, and what logins tell.

mod officers;
mod support;

use std::thread;
use std::time::{Duration, Instant};

use nightsafe::agent::protocol::{Password, Reply, Request};
use nightsafe::keys::escrow::GOOD_FOR;
use officers::{Officers, export, finish_with};
use rustix::process::Signal;
use support::agent::{Agent, PATIENCE, settings, unlocked};
use support::{Site, opened};

/// The notices of a login that the backend has confirmed.
#[track_caller]
fn told(agent: &Agent, password: &[u8]) -> Vec<String> {
    let reply = agent.ask(&Request::Unlock {
        user: "alice",
        password: Password(password),
        confirmed: true,
        hold: false,
        reader: None,
    });
    let Reply::Unlocked { notices, .. } = reply else { panic!("{reply:?}") };
    notices
}

#[test]
fn status_shows_escrow_and_each_use_is_told_once() {
    let officers = Officers::with_shares();
    let site = Site::new();
    let key = officers.key();
    std::fs::copy(officers.public_path(), site.join("recovery.pub")).unwrap();
    let recovery = format!("recovery_key = {:?}", site.join("recovery.pub").display().to_string());

    // Off: nobody's status has it.
    site.configure("", &settings(&site, ""));
    site.enroll("alice", b"old").good();
    let agent = Agent::start(&site);
    assert!(told(&agent, b"old").is_empty());
    let status = || site.run(["status", "alice"]).good().text();
    assert!(!status().contains("recovery key"), "{}", status());
    drop(agent);

    site.configure(&recovery, &settings(&site, ""));
    let agent = Agent::start(&site);
    let notices = told(&agent, b"old");
    let [added] = notices.as_slice() else { panic!("{notices:?}") };
    assert!(added.contains(&format!("recovery key {key} can unlock your keys")), "{added}");
    let shown = status();
    assert!(
        shown.lines().any(|line| line.contains(&format!("recovery key {key}, active"))),
        "{shown}"
    );

    // Recovered while the agent runs, and while it has her keys.
    let before = site.seal("alice");
    let answer = officers.answer(&export(&site, "alice"));
    finish_with(&site, "alice", &answer, b"new").good();
    let notices = told(&agent, b"new");
    let [used] = notices.as_slice() else { panic!("{notices:?}") };
    assert!(used.contains("the site's recovery key unlocked your keys"), "{used}");
    assert!(told(&agent, b"new").is_empty());
    for sealed in [before, site.seal("alice")] {
        let file = site.file("sealed", &sealed);
        assert_eq!(site.run(["unseal", &file]).good().stdout, opened(), "not through the agent");
    }
    let reply = agent.ask(&Request::Unlock {
        user: "alice",
        password: Password(b"old"),
        confirmed: true,
        hold: false,
        reader: None,
    });
    assert_eq!(reply, Reply::Diverged);
}

/// The slots of alice that are for a recovery key, as `status` shows them.
fn recovery_keys(site: &Site) -> Vec<String> {
    let status = site.run(["status", "alice"]).good().text();
    let lines = status.lines().filter_map(|line| line.trim().strip_prefix("recovery key "));
    lines.map(|line| line.split(',').next().unwrap().to_owned()).collect()
}

/// SIGHUP, and the notices of the first login that has any.
#[track_caller]
fn told_after_reload(agent: &Agent, password: &[u8]) -> Vec<String> {
    agent.signal(Signal::HUP);
    let end = Instant::now() + PATIENCE;
    loop {
        let notices = told(agent, password);
        if !notices.is_empty() {
            return notices;
        }
        assert!(Instant::now() < end, "nothing is told");
    }
}

#[test]
fn a_recovery_key_comes_changes_and_goes_without_a_restart() {
    let (first, second) = (Officers::with_shares(), Officers::with_password());
    let site = Site::new();
    let path = site.join("recovery.pub");
    let recovery = format!("recovery_key = {:?}", path.display().to_string());
    site.configure("", &settings(&site, "linger = 100000"));
    site.enroll("alice", b"pw").good();
    let agent = Agent::start(&site);
    // She reads all the while, by a password that the agent knows.
    let mut held = agent.client();
    let password = Password(b"pw");
    let hold =
        Request::Unlock { user: "alice", password, confirmed: true, hold: true, reader: None };
    unlocked(held.ask(&hold).unwrap());
    assert!(told(&agent, b"pw").is_empty());

    // Named and not there: everything stays as it was.
    site.configure(&recovery, &settings(&site, "linger = 0"));
    agent.signal(Signal::HUP);
    assert!(told(&agent, b"pw").is_empty());

    std::fs::copy(first.public_path(), &path).unwrap();
    site.configure(&recovery, &settings(&site, "linger = 100000"));
    let notices = told_after_reload(&agent, b"pw");
    let added = format!("recovery key {} can unlock your keys", first.key());
    assert!(notices.len() == 1 && notices[0].contains(&added), "{notices:?}");
    assert_eq!(recovery_keys(&site), [first.key()]);

    // Another key in the same file: the old one opens nothing that comes now.
    std::fs::copy(second.public_path(), &path).unwrap();
    let notices = told_after_reload(&agent, b"pw").join("\n");
    assert!(notices.contains(&second.key()), "{notices}");
    assert_eq!(recovery_keys(&site), [second.key()]);

    site.configure("", &settings(&site, "linger = 100000"));
    assert!(!told_after_reload(&agent, b"pw").is_empty());
    assert!(recovery_keys(&site).is_empty());
    assert_eq!(agent.status("alice").leases, 1);
    let file = site.file("sealed", &site.seal("alice"));
    assert_eq!(site.run(["unseal", &file]).good().stdout, opened());
}

#[test]
fn the_agent_removes_one_time_keys_that_are_over() {
    let officers = Officers::with_shares();
    let site = officers.site();
    let recovery = format!("recovery_key = {:?}", site.join("recovery.pub").display().to_string());
    site.configure(&recovery, &settings(&site, ""));
    for user in ["alice", "bob"] {
        site.enroll(user, b"pw").good();
        export(&site, user);
    }
    let kept = |user: &str| site.private(&format!(".recovery/{user}"));
    let text = std::fs::read_to_string(kept("alice")).unwrap();
    let time: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    let aged = text.replacen(&time.to_string(), &(time - GOOD_FOR - 60).to_string(), 1);
    std::fs::write(kept("alice"), aged).unwrap();
    let _agent = Agent::start(&site);
    let end = Instant::now() + PATIENCE;
    while kept("alice").exists() {
        assert!(Instant::now() < end, "it is still there");
        thread::sleep(Duration::from_millis(5));
    }
    assert!(kept("bob").exists(), "one that is still good went, too");
}

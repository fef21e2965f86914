//! Escrow as the user meets it, through the agent: what `status` shows, and what logins tell.

mod officers;
mod support;

use nightsafe::agent::protocol::{Password, Reply, Request};
use officers::{Officers, export, finish_with};
use support::agent::{Agent, settings};
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

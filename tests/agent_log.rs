//! What the agent writes into the system's log, once each, and what it keeps out of it; and what `check`
//! finds of it.

mod site;
mod support;

use std::fs;

use nightsafe::agent::protocol::{Reply, Request};
use site::process::wait_for;
use site::system_log::SystemLog;
use support::Site;
use support::agent::{Agent, by_hand, confirmed, settings, site_with, unlocked};

const ALICE: &str = "alice@example.org";
const PASSWORD: &[u8] = b"walnut-marzipan";
const GUESS: &[u8] = b"hazelnut-nougat";

fn logged(site: &Site, log: &SystemLog) -> Agent {
    Agent::run(&mut log.of(&site.command(["agent"])), site)
}

fn wait_for_line(log: &SystemLog, line: &str) {
    wait_for(line, || log.read(), || log.read().contains(line).then_some(()));
}

#[test]
fn every_change_has_a_line_and_no_secret_has_one() {
    let site = site_with("linger = 100000");
    site.enroll(ALICE, PASSWORD).good();
    let record = fs::read(site.private(ALICE)).unwrap();
    let password = site.file("password", PASSWORD);
    site.run(["rotate", ALICE, "--password-file", &password]).good();
    let log = SystemLog::start(site.join("log"));
    let agent = logged(&site, &log);
    for _ in 0..3 {
        unlocked(agent.ask(&confirmed(ALICE, PASSWORD, false)));
        assert_eq!(agent.ask(&by_hand(ALICE, GUESS, false)), Reply::Wrong);
        assert_eq!(agent.ask(&confirmed(ALICE, GUESS, false)), Reply::Diverged);
    }
    fs::write(site.private(ALICE), record).unwrap();
    for _ in 0..3 {
        unlocked(agent.ask(&by_hand(ALICE, PASSWORD, false)));
    }
    assert_eq!(agent.ask(&Request::Lock { user: Some(ALICE) }), Reply::Done);
    agent.stop();
    wait_for_line(&log, "stopping when what is in flight");
    let text = log.read();
    let uid = rustix::process::geteuid().as_raw();
    for (line, times) in [
        ("agent: listening at unix:", 1),
        (&format!("agent: user={ALICE}, uid={uid}: unlocked"), 2),
        (&format!("agent: user={ALICE}, uid={uid}: wrong password"), 2),
        (&format!("agent: user={ALICE}: locked: asked for"), 1),
        (&format!("agent: the login password of {ALICE} was changed without the keys"), 1),
        (&format!("agent: the key record of {ALICE} is an older copy"), 1),
        ("agent: stopping", 1),
    ] {
        assert_eq!(text.matches(line).count(), times, "{line}\n{text}");
    }
    for secret in ["walnut", "marzipan", "hazelnut", "nougat", "SECRET"] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
}

#[test]
fn check_asks_the_agent_and_names_what_is_not_its_own() {
    let site = site_with("");
    site.run(["check"]).fails_somewhere(78, "no agent at");
    let agent = Agent::start(&site);
    let said = site.run(["check"]).good().text();
    assert!(said.contains("ok     [agent]: it answers, 0 users unlocked\n"), "{said}");
    site.configure("", &settings(&site, "allow = { nobody-like-this = [\"read\"] }"));
    site.run(["check"]).fails_somewhere(78, "[agent]: allow names nobody-like-this");
    site.configure("", &settings(&site, "user = \"4711\""));
    site.run(["check"]).fails_somewhere(78, "does not belong to 4711, whom the agent runs as");
    agent.stop();
}

#[cfg(feature = "fault")]
#[test]
fn a_login_that_panics_is_one_login() {
    let site = site_with("linger = 100000");
    site.enroll(ALICE, PASSWORD).good();
    let log = SystemLog::start(site.join("log"));
    let mut command = log.of(&site.command(["agent"]));
    let agent = Agent::run(command.env("NIGHTSAFE_FAULT", "panic:login"), &site);
    for _ in 0..5 {
        let reply = agent.ask(&confirmed(ALICE, PASSWORD, false));
        assert_eq!(reply, Reply::Unavailable { reason: "internal error".into() });
    }
    // No place before Argon2 was lost, and others are served.
    assert_eq!(agent.ask(&confirmed("bob", PASSWORD, false)), Reply::NoKeys);
    wait_for_line(&log, "internal error at src/agent/logins.rs");
    assert!(!log.read().contains("walnut"));
}

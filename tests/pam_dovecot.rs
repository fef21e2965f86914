//! A real Dovecot whose passdb is PAM, with the stack of `examples/pam.d/dovecot`.

mod site;

use site::agent::Agent;
use site::dovecot::Dovecot;
use site::pam::Pam;
use site::{Site, password, success};

#[test]
fn logins_at_dovecot_do_what_they_do_at_cyrus() {
    let site = Site::with_users(&["alice"]);
    let secret = site.private_file("alice.password", password("alice").as_bytes());
    let add = ["slot", "add", "alice", "--app", "telephone", "--password-file", &secret];
    let added = site.nightsafe(&add).output().unwrap();
    success(&added);
    let app = String::from_utf8(added.stdout).unwrap().trim().to_owned();
    let pam = Pam::new(&site, &["alice", "bob"]);
    pam.example("dovecot", "dovecot");
    let mut agent = Agent::start(&site, "enroll_at_login = true\n");
    let dovecot = Dovecot::start_pam(&site, &["alice", "bob"], &pam);

    assert!(!dovecot.lets_in("alice", "a guess"));
    let log = site.system_log();
    assert!(!agent.is_unlocked(&site, "alice") && !log.contains("wrong password"), "{log}");
    assert!(dovecot.lets_in("alice", &password("alice")), "{}", site.system_log());
    assert!(agent.is_unlocked(&site, "alice"), "{}", site.system_log());

    agent.lock(&site, "alice");
    assert!(dovecot.lets_in("alice", &app), "{}", site.system_log());
    assert!(agent.is_unlocked(&site, "alice"));
    assert!(!dovecot.lets_in("bob", &app));

    assert!(!site.join("keys/private/bob").exists());
    assert!(dovecot.lets_in("bob", &password("bob")));
    assert!(site.join("keys/private/bob").exists(), "{}", site.system_log());

    // Without the agent the login password is as good as ever.
    agent.kill();
    assert!(dovecot.lets_in("alice", &password("alice")));
    assert!(!dovecot.lets_in("alice", &app));
    assert!(site.system_log().contains("keys of alice not reached: no agent at"));
}

/// The login stays open while the agent does not answer, and no longer than the line says.
#[test]
fn a_stalled_agent_holds_no_login_up() {
    let site = Site::with_users(&["alice"]);
    let mut pam = Pam::new(&site, &["alice"]);
    pam.add_options("timeout=1");
    pam.example("dovecot", "dovecot");
    let agent = Agent::start(&site, "");
    let dovecot = Dovecot::start_pam(&site, &["alice"], &pam);
    agent.signal(rustix::process::Signal::STOP);
    assert!(dovecot.lets_in("alice", &password("alice")), "{}", site.system_log());
    assert!(site.system_log().contains("does not answer"), "{}", site.system_log());
    agent.signal(rustix::process::Signal::CONT);
    assert!(dovecot.lets_in("alice", &password("alice")));
    assert!(agent.is_unlocked(&site, "alice"), "{}", site.system_log());
}

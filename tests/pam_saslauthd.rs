//! A real Cyrus that asks a real saslauthd that asks PAM: what a mail client's login does at the agent.

mod site;

use std::fs;

use site::agent::Agent;
use site::cyrus::Cyrus;
use site::pam::{Pam, feed, said};
use site::saslauthd::Saslauthd;
use site::{Site, password, success};

/// All that logs in, with the examples' stacks.
fn with_pam<'a>(site: &'a Site, names: &[&str]) -> Pam<'a> {
    let pam = Pam::new(site, names);
    for service in ["imap", "smtp"] {
        pam.example(service, service);
    }
    pam
}

fn app_password(site: &Site, user: &str) -> String {
    let secret = site.private_file(&format!("{user}.password"), password(user).as_bytes());
    let arguments = ["slot", "add", user, "--app", "telephone", "--password-file", secret.as_str()];
    let output = site.nightsafe(&arguments).output().unwrap();
    success(&output);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// How many times the agent has tried a password on a key record.
fn argon2_runs(log: &str) -> usize {
    log.lines().filter(|line| line.contains("nightsafe[") && line.contains("wrong")).count()
}

#[test]
fn a_login_at_cyrus_unlocks() {
    let site = Site::with_users(&["alice"]);
    let pam = with_pam(&site, &["alice", "cyrus"]);
    let mut agent = Agent::start(&site, "");
    let saslauthd = Saslauthd::start(&site, &pam);
    let cyrus = Cyrus::start_with(&site, &["alice"], &saslauthd.imapd_conf());
    assert!(!agent.is_unlocked(&site, "alice"));

    for guess in ["a guess", "another guess"] {
        assert!(!cyrus.lets_in("alice", guess));
    }
    let log = site.system_log();
    assert!(!agent.is_unlocked(&site, "alice"));
    assert_eq!(argon2_runs(&log), 0, "a guess got to the keys: {log}");

    assert!(cyrus.lets_in("alice", &password("alice")));
    assert!(agent.is_unlocked(&site, "alice"), "{}", site.system_log());
    // The login is a moment's: whoever reads takes a lease of his own.
    assert_eq!(agent.leases(&site, "alice"), Some(0));

    // Dead, and there again.
    agent.kill();
    assert!(cyrus.lets_in("alice", &password("alice")), "{}", site.system_log());
    assert!(site.system_log().contains("pam_nightsafe(imap:auth): keys of alice not reached"));
    agent.up(&site);
    assert!(!agent.is_unlocked(&site, "alice"));
    assert!(cyrus.lets_in("alice", &password("alice")));
    assert!(agent.is_unlocked(&site, "alice"), "{}", site.system_log());
}

/// Mail came in for her before she had a password here: her first login takes her keys over.
#[test]
fn the_first_login_ends_a_provisional_key() {
    let site = Site::new("");
    success(&site.nightsafe(&["enroll", "--provisional", "alice"]).output().unwrap());
    let mut deliver = site.nightsafe(&["deliver", "--recipient", "alice@example.org"]);
    let sealed = feed(&mut deliver, "Subject: figs\r\n\r\nBefore you came.\r\n").stdout;
    let slots = || {
        let output = site.nightsafe(&["slot", "list", "alice"]).output().unwrap();
        success(&output);
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(slots().contains("provisional") && !slots().contains("password"), "{}", slots());
    let pam = with_pam(&site, &["alice"]);
    let _agent = Agent::start(&site, "");
    let saslauthd = Saslauthd::start(&site, &pam);

    assert!(!saslauthd.test("imap", "alice", "", "a guess").status.success());
    assert!(slots().contains("provisional"));
    let login = saslauthd.test("imap", "alice", "", &password("alice"));
    assert!(login.status.success(), "{}", said(&login));
    assert!(!slots().contains("provisional") && slots().contains("password"), "{}", slots());
    let opened = site.unseal("alice", &sealed);
    assert!(String::from_utf8_lossy(&opened).contains("Before you came."));
}

#[test]
fn an_app_password_is_accepted_by_itself() {
    let site = Site::with_users(&["alice", "bob"]);
    let app = app_password(&site, "alice");
    let pam = with_pam(&site, &["alice", "bob", "cyrus"]);
    let agent = Agent::start(&site, "");
    let saslauthd = Saslauthd::start(&site, &pam);
    let cyrus = Cyrus::start_with(&site, &["alice", "bob"], &saslauthd.imapd_conf());

    assert!(cyrus.lets_in("alice", &app), "{}", site.system_log());
    assert!(agent.is_unlocked(&site, "alice"));
    assert!(!pam.accepts("alice", &app), "the site's own check knows nothing of it");
    assert!(site.system_log().contains("pam_nightsafe(imap:auth): app password of alice accepted"));
    // It is hers, and whole.
    assert!(!cyrus.lets_in("bob", &app));
    assert!(!cyrus.lets_in("alice", &app[..app.len() - 1]));

    // Who sends mail unlocks nothing.
    agent.lock(&site, "alice");
    for (user, secret, good) in
        [("alice", app.as_str(), true), ("alice", &password("alice"), true), ("bob", &app, false)]
    {
        let output = saslauthd.test("smtp", user, "", secret);
        assert_eq!(output.status.success(), good, "{user}: {}", said(&output));
    }
    assert!(!agent.is_unlocked(&site, "alice"));

    // A slot that is gone lets nobody in.
    let secret = site.private_file("alice.password", password("alice").as_bytes());
    let list = ["slot", "list", "alice"];
    let listed = site.nightsafe(&list).output().unwrap();
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let line = text.lines().find(|line| line.contains("telephone")).unwrap();
    let remove = [
        "slot",
        "remove",
        "alice",
        line.split_whitespace().next().unwrap(),
        "--password-file",
        &secret,
    ];
    success(&site.nightsafe(&remove).output().unwrap());
    assert!(!cyrus.lets_in("alice", &app));
}

#[test]
fn the_first_login_enrols_and_a_guess_does_not() {
    let site = Site::new("");
    let pam = with_pam(&site, &["alice", "cyrus"]);
    let agent = Agent::start(&site, "enroll_at_login = true\n");
    let saslauthd = Saslauthd::start(&site, &pam);
    let cyrus = Cyrus::start_with(&site, &["alice"], &saslauthd.imapd_conf());
    let record = site.join("keys/private/alice");

    assert!(!cyrus.lets_in("alice", "a guess"));
    assert!(!record.exists());
    assert!(cyrus.lets_in("alice", &password("alice")));
    assert!(record.exists(), "{}", site.system_log());
    assert!(agent.is_unlocked(&site, "alice"));
    assert!(site.system_log().contains("pam_nightsafe(imap:account): keys made for alice"));

    // Once.
    let before = fs::read(&record).unwrap();
    assert!(cyrus.lets_in("alice", &password("alice")));
    assert_eq!(fs::read(&record).unwrap(), before);
    let secret = site.private_file("alice.password", password("alice").as_bytes());
    success(&site.nightsafe(&["identity", "alice", "--password-file", &secret]).output().unwrap());
}

#[test]
fn nobody_is_enrolled_unless_the_site_wants_it() {
    let site = Site::new("");
    let pam = with_pam(&site, &["alice"]);
    let _agent = Agent::start(&site, "");
    let saslauthd = Saslauthd::start(&site, &pam);
    let output = saslauthd.test("imap", "alice", "", &password("alice"));
    assert!(output.status.success(), "{}", said(&output));
    assert!(!site.join("keys/private/alice").exists());
    let log = site.system_log();
    assert!(!log.contains("pam_nightsafe("), "there is nothing to complain of: {log}");
}

/// Two domains' alices are two users: with -r their domain gets here.
#[test]
fn the_realm_is_a_part_of_the_name() {
    let site = Site::new("");
    let pam = with_pam(&site, &["alice@x.org", "alice@y.org"]);
    let mut agent = Agent::start(&site, "enroll_at_login = true\n");
    agent.stop();
    let config = site.join("etc/nightsafe.toml");
    let text = fs::read_to_string(&config).unwrap().replace("\"drop\"", "\"keep\"");
    fs::write(&config, text).unwrap();
    agent.up(&site);
    let saslauthd = Saslauthd::start(&site, &pam);
    let wrong = saslauthd.test("imap", "alice", "x.org", &password("alice@y.org"));
    assert!(!wrong.status.success());
    let right = saslauthd.test("imap", "alice", "x.org", &password("alice@x.org"));
    assert!(right.status.success(), "{}", said(&right));
    assert!(site.join("keys/private/alice@x.org").exists());
    assert!(!site.join("keys/private/alice@y.org").exists());
}

/// A stack that is left in the middle, or asked in another order, does no harm.
#[test]
fn a_login_that_others_refuse_is_no_login() {
    let site = Site::new("");
    let pam = with_pam(&site, &["alice"]);
    let agent = Agent::start(&site, "enroll_at_login = true\n");
    let module = pam.module();
    pam.stack(
        "door",
        &format!(
            "auth requisite pam_unix.so nodelay\nauth optional {module}\nauth required pam_deny.so\n\
             account required pam_unix.so\naccount optional {module}\n"
        ),
    );
    let output =
        pam.pamtester("door", "alice", &["authenticate", "acct_mgmt"], &[&password("alice")]);
    assert!(!output.status.success());
    assert!(!site.join("keys/private/alice").exists());
    // What runs account without auth has no password to confirm.
    let mut account = pam.pamtester_command("door", "alice", &["acct_mgmt"]);
    assert!(feed(&mut account, "").status.success());
    assert!(!site.join("keys/private/alice").exists());
    drop(agent);
}

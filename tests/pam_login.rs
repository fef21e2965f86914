//! Logins on a machine where people read their mail: real su and pamtester, the stack of
//! `examples/pam.d/login`, and the agent.

mod site;

use site::agent::Agent;
use site::pam::{Pam, feed, said};
use site::{Site, password};

const LOGIN: [&str; 4] = ["authenticate", "acct_mgmt", "setcred", "open_session"];

fn su<'a>(site: &'a Site, names: &[&str]) -> Pam<'a> {
    let pam = Pam::new(site, names);
    pam.example("login", "su");
    pam
}

#[test]
fn a_session_is_a_lease_and_its_user_reads() {
    let site = Site::with_users(&["alice", "bob"]);
    let pam = su(&site, &["alice", "bob"]);
    let agent = Agent::start(&site, "");
    let mut deliver = site.nightsafe(&["deliver", "--recipient", "alice@example.org"]);
    let message = "Subject: quinces\r\n\r\nThey are ripe.\r\n";
    let sealed = feed(&mut deliver, message);
    assert!(sealed.status.success(), "{}", said(&sealed));
    let file = site.path().join("maildir/letter");
    std::fs::write(&file, &sealed.stdout).unwrap();

    let read = |user: &str| {
        let nightsafe = site.join("bin/nightsafe").display().to_string();
        let config = site.join("etc/nightsafe.toml").display().to_string();
        let command = format!(
            "{nightsafe} --config {config} unseal --user alice {} </dev/null; \
             {nightsafe} --config {config} status </dev/null",
            file.display()
        );
        let mut su = pam.command("su");
        su.args([user, "-c", &command]);
        feed(&mut su, &format!("{}\n", password(user)))
    };
    let hers = read("alice");
    assert!(said(&hers).contains("They are ripe."), "{}", said(&hers));
    assert!(said(&hers).contains("alice: unlocked since"), "{}", said(&hers));
    assert!(said(&hers).contains("1 lease in use"), "{}", said(&hers));
    // Her keys are still there, for a while; they are not his.
    assert_eq!(agent.leases(&site, "alice"), Some(0));
    let his = read("bob");
    assert!(!said(&his).contains("They are ripe."), "{}", said(&his));
    assert!(said(&his).contains("bob: unlocked since"), "{}", said(&his));
    assert!(!said(&his).contains("alice: unlocked"), "{}", said(&his));
}

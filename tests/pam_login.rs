//! Logins on a machine where people read their mail: real su and pamtester, the stack of
//! `examples/pam.d/login`, and the agent.

mod site;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};

use rustix::process::Signal;
use site::agent::Agent;
use site::pam::{Pam, feed, said};
use site::process::{self, Server, wait_for};
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
    let letter = sealed_for_alice(&site);

    let hers = in_session(&site, &pam, "alice", &letter);
    assert!(hers.contains("They are ripe."), "{hers}");
    assert!(hers.contains("alice: unlocked since"), "{hers}");
    assert!(hers.contains("1 lease in use"), "{hers}");
    // Her keys are still there, for a while; they are not his.
    assert_eq!(agent.leases(&site, "alice"), Some(0));
    let his = in_session(&site, &pam, "bob", &letter);
    assert!(!his.contains("They are ripe."), "{his}");
    assert!(his.contains("bob: unlocked since"), "{his}");
    assert!(!his.contains("alice: unlocked"), "{his}");
}

/// A message for alice as it is stored, in a file that everybody can read.
fn sealed_for_alice(site: &Site) -> PathBuf {
    let mut deliver = site.nightsafe(&["deliver", "--recipient", "alice@example.org"]);
    let sealed = feed(&mut deliver, "Subject: quinces\r\n\r\nThey are ripe.\r\n");
    assert!(sealed.status.success(), "{}", said(&sealed));
    let file = site.path().join("maildir/letter");
    fs::write(&file, &sealed.stdout).unwrap();
    file
}

/// What a user sees of the letter, and of the agent, in a session of su(1).
fn in_session(site: &Site, pam: &Pam<'_>, user: &str, letter: &Path) -> String {
    let nightsafe = site.join("bin/nightsafe").display().to_string();
    let nightsafe = format!("{nightsafe} --config {}", site.join("etc/nightsafe.toml").display());
    let unseal = format!("{nightsafe} unseal --user alice {} </dev/null", letter.display());
    let mut su = pam.command("su");
    su.args([user, "-c", &format!("{unseal}; {nightsafe} status </dev/null")]);
    said(&feed(&mut su, &format!("{}\n", password(user))))
}

/// A session that lasts until it is killed, or this value goes.
struct Session(Server, #[expect(dead_code, reason = "the shell reads until it goes")] ChildStdin);

impl Session {
    fn open(pam: &Pam<'_>, agent: &Agent, site: &Site, leases: u32) -> Self {
        let mut su = pam.command("su");
        su.args(["alice", "-c", "read line"]);
        su.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = su.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(format!("{}\n", password("alice")).as_bytes()).unwrap();
        let session = Self(Server::of(child), stdin);
        agent.wait_for_leases(site, "alice", leases);
        session
    }
}

#[test]
fn two_sessions_are_two_leases_however_they_end() {
    let site = Site::with_users(&["alice"]);
    let pam = su(&site, &["alice"]);
    let mut agent = Agent::start(&site, "");
    let first = Session::open(&pam, &agent, &site, 1);
    let second = Session::open(&pam, &agent, &site, 2);
    // su alone, not the shell that it has started: nobody closes this session.
    process::signal(first.0.id(), Signal::KILL);
    agent.wait_for_leases(&site, "alice", 1);
    assert!(agent.is_unlocked(&site, "alice"));
    // This one it closes.
    process::signal(second.0.id(), Signal::TERM);
    agent.wait_for_leases(&site, "alice", 0);

    // An agent that was started anew knows nobody; whoever logs in then is known.
    let third = Session::open(&pam, &agent, &site, 1);
    agent.kill();
    agent.up(&site);
    assert!(!agent.is_unlocked(&site, "alice"));
    let _fourth = Session::open(&pam, &agent, &site, 1);
    drop((first, third));
}

/// The keys go when the linger is over, and not while a session lasts.
#[test]
fn the_linger_begins_when_the_session_ends() {
    let site = Site::with_users(&["alice"]);
    let pam = su(&site, &["alice"]);
    let agent = Agent::start(&site, "linger = 1\n");
    let session = Session::open(&pam, &agent, &site, 1);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(agent.leases(&site, "alice"), Some(1));
    drop(session);
    let says = || agent.status(&site, "alice");
    wait_for("the keys to go", says, || (!agent.is_unlocked(&site, "alice")).then_some(()));
}

/// The agent is never asked about a password that the site's own check refuses.
#[test]
fn a_guess_does_not_get_to_the_agent() {
    let site = Site::with_users(&["alice"]);
    let pam = su(&site, &["alice"]);
    let agent = Agent::start(&site, "");
    pam.example("login", "door");
    let guess = pam.pamtester("door", "alice", &LOGIN, &["a guess"]);
    assert!(!guess.status.success());
    assert!(!site.system_log().contains("wrong password"), "{}", site.system_log());
    assert!(!agent.is_unlocked(&site, "alice"));
    // It would have said so.
    let file = site.private_file("guess", b"a guess");
    let asked = site.nightsafe(&["unlock", "alice", "--password-file", &file]).output().unwrap();
    assert!(!asked.status.success());
    assert!(site.system_log().contains("wrong password"), "{}", site.system_log());
}

/// A host that asks for no account: `auth … unlock`, or the session itself.
#[test]
fn stacks_without_account_unlock_as_well() {
    let site = Site::with_users(&["alice"]);
    let pam = su(&site, &["alice"]);
    let agent = Agent::start(&site, "");
    let module = pam.module();
    let begin = "auth requisite pam_unix.so\naccount required pam_unix.so\n";
    pam.stack("at-once", &format!("{begin}auth optional {module} unlock\n"));
    pam.stack("at-session", &format!("{begin}auth optional {module}\nsession optional {module}\n"));
    for (service, does) in [("at-once", &LOGIN[..1]), ("at-session", &LOGIN[..])] {
        let output = pam.pamtester(service, "alice", does, &[&password("alice")]);
        assert!(output.status.success(), "{service}: {}", said(&output));
        assert!(agent.is_unlocked(&site, "alice"), "{service}: {}", site.system_log());
        agent.lock(&site, "alice");
    }
    // Nothing of nightsafe says yes by itself.
    pam.stack("alone", &format!("auth sufficient {module} unlock\nauth required pam_deny.so\n"));
    let output = pam.pamtester("alone", "alice", &LOGIN[..1], &[&password("alice")]);
    assert!(!output.status.success());
}

/// Who gets in without the password does not get at what a login elsewhere has unlocked.
#[test]
fn a_session_without_a_password_has_no_lease() {
    let site = Site::with_users(&["alice"]);
    let pam = su(&site, &["alice"]);
    let agent = Agent::start(&site, "");
    pam.example("login", "door");
    pam.pamtester("door", "alice", &LOGIN[..2], &[&password("alice")]);
    assert!(agent.is_unlocked(&site, "alice"));
    // As after a login by a key: nothing but the account and the session.
    let letter = sealed_for_alice(&site);
    let module = pam.module();
    let text = fs::read_to_string(pam.etc().join("pam.d/su")).unwrap();
    pam.stack("su", &format!("auth sufficient pam_rootok.so\n{text}"));
    let hers = in_session(&site, &pam, "alice", &letter);
    assert!(!hers.contains("They are ripe."), "{module}: {hers}");
    assert_eq!(agent.leases(&site, "alice"), Some(0));
}

/// An option that is none costs nobody the login, and is named.
#[test]
fn a_slip_in_a_stack_is_named() {
    let site = Site::with_users(&["alice"]);
    let mut pam = su(&site, &["alice"]);
    let agent = Agent::start(&site, "");
    pam.add_options("timeout=soon sucket=/x");
    pam.example("login", "door");
    let output = pam.pamtester("door", "alice", &LOGIN, &[&password("alice")]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(agent.is_unlocked(&site, "alice"));
    let log = site.system_log();
    for name in ["timeout", "sucket"] {
        assert!(log.contains(&format!("unknown option or value of an option: {name}\n")), "{log}");
    }
}

/// What a login says stays between the login and the agent.
#[test]
fn no_password_gets_into_a_log_or_a_file() {
    let site = Site::with_users(&["alice"]);
    let pam = su(&site, &["alice"]);
    let mut agent = Agent::start(&site, "");
    pam.example("login", "door");
    let secret = password("alice");
    for right in [secret.as_str(), "a wrong secret"] {
        pam.pamtester("door", "alice", &LOGIN, &[right]);
    }
    agent.stop();
    pam.pamtester("door", "alice", &LOGIN, &[&secret]);
    site.system_log();
    let private = site.join("private");
    for secret in [secret.as_str(), "a wrong secret"] {
        let found = files_with(site.path(), secret.as_bytes());
        let found: Vec<_> = found.iter().filter(|path| !path.starts_with(&private)).collect();
        assert_eq!(found, Vec::<&PathBuf>::new());
    }
    assert!(!files_with(&private, secret.as_bytes()).is_empty(), "the test's own are found");
}

fn files_with(folder: &Path, secret: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files_with(&entry.path(), secret));
        } else if kind.is_file() {
            let content = fs::read(entry.path()).unwrap();
            if memchr::memmem::find(&content, secret).is_some() {
                found.push(entry.path());
            }
        }
    }
    found
}

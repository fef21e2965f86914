//! The agent when it is not well, and those who depend on it: login and delivery go on, and somebody is
//! told.

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nightsafe::agent::client::{Client, ClientError};
use nightsafe::agent::protocol::{Password, Reply, Request};
use rustix::process::Signal;
use support::agent::{Agent, PATIENCE, by_hand, confirmed, settings, site_with, unlocked};
use support::{Ran, Site, finish, opened};

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";
/// Users without a name.
const AGENT_UID: u32 = 64_711;
const OTHER_UID: u32 = 64_712;

/// Gives the whole site to a user of the operating system.
fn give(site: &Site, uid: u32) {
    let above = site.path().parent().unwrap().to_owned();
    fs::set_permissions(above, fs::Permissions::from_mode(0o755)).unwrap();
    give_below(&site.path(), uid);
}

fn give_below(path: &Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_below(&entry.unwrap().path(), uid);
        }
    }
}

/// The command as that user, with a limit of locked memory.
fn as_user(uid: u32, memlock: &str, command: &Command) -> Command {
    let mut as_user = Command::new("prlimit");
    let uid = uid.to_string();
    as_user.arg(format!("--memlock={memlock}:{memlock}")).arg("setpriv");
    as_user.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--"]);
    as_user.arg(command.get_program()).args(command.get_args());
    as_user
}

fn run_as(uid: u32, site: &Site, arguments: &[&str], input: &[u8]) -> Ran {
    finish(&mut as_user(uid, "8388608", &site.command(arguments)), input)
}

/// Mail goes in and, with the password, out, whatever the agent does.
fn mail_goes_on(site: &Site) {
    let sealed = site.seal(ALICE);
    assert_eq!(site.unseal(ALICE, b"pw", &sealed).good().stdout, opened());
}

#[test]
fn mail_goes_on_without_an_agent_and_a_new_one_is_empty() {
    let site = site_with("linger = 100000");
    site.enroll(ALICE, b"pw").good();
    mail_goes_on(&site);
    site.feed(["unlock", ALICE, "--password-file", "-"], b"pw")
        .fails(75, &["no agent at", "No such file"]);
    let mut agent = Agent::start(&site);
    let mut held = agent.client();
    unlocked(held.ask(&confirmed(ALICE, b"pw", true)).unwrap());
    agent.kill();
    // The socket's file is there still.
    site.feed(["unlock", ALICE, "--password-file", "-"], b"pw")
        .fails(75, &["no agent at", "refused"]);
    held.wait_for_end().unwrap();
    assert!(matches!(
        held.ask(&Request::Lease { user: ALICE, reader: None }),
        Err(ClientError::Ended(_))
    ));
    mail_goes_on(&site);
    let again = Agent::start(&site);
    assert_eq!(again.ask(&Request::Lease { user: ALICE, reader: None }), Reply::Locked);
    unlocked(again.ask(&confirmed(ALICE, b"pw", false)));
    // Two at one socket cannot be.
    let second = site.run(["agent"]);
    second.fails(75, &["cannot listen at", "another server listens there"]);
}

#[test]
fn a_stalled_agent_is_given_up() {
    let site = site_with("");
    site.enroll(ALICE, b"pw").good();
    let agent = Agent::start(&site);
    let mut before = Client::connect(&site.join("agent"), &[], Duration::from_millis(300)).unwrap();
    agent.signal(Signal::STOP);
    let asked = before.ask(&confirmed(ALICE, b"pw", false));
    assert!(matches!(asked, Err(ClientError::Stalled(_))), "{asked:?}");
    // Until the queue of connections is full, and then.
    let mut waiting = Vec::new();
    let error = loop {
        match Client::connect(&site.join("agent"), &[], Duration::from_millis(300)) {
            Ok(client) => waiting.push(client),
            Err(error) => break error,
        }
        assert!(waiting.len() < 100_000, "no end of connections");
    };
    assert!(matches!(error, ClientError::Stalled(_)), "{error:?}");
    assert!(error.to_string().contains("does not answer"));
    mail_goes_on(&site);
    drop(waiting);
    agent.signal(Signal::CONT);
    unlocked(agent.ask(&confirmed(ALICE, b"pw", false)));
}

#[test]
fn nobody_else_is_taken_for_the_agent() {
    let site = site_with("");
    site.enroll(ALICE, b"pw").good();
    give(&site, OTHER_UID);
    let agent = Agent::run(&mut as_user(OTHER_UID, "8388608", &site.command(["agent"])), &site);
    let error = Client::connect(&site.join("agent"), &[AGENT_UID], PATIENCE).unwrap_err();
    assert!(matches!(error, ClientError::Foreign { uid: OTHER_UID, .. }), "{error:?}");
    let words = ["belongs to uid 64712", "who is not the agent"];
    site.feed(["unlock", ALICE, "--password-file", "-"], b"pw").fails(78, &words);
    assert!(Client::connect(&site.join("agent"), &[OTHER_UID], PATIENCE).is_ok());
    site.configure("", &settings(&site, &format!("user = \"{OTHER_UID}\"")));
    site.feed(["unlock", ALICE, "--password-file", "-"], b"pw").good();
    drop(agent);
}

#[test]
fn something_else_at_the_socket_is_no_agent() {
    let site = site_with("");
    site.enroll(ALICE, b"pw").good();
    for (said, wanted) in [
        (&b"220 ready\r\n"[..], "too long"),
        (b"\0\0\0\x02\x01\xff", "not a message"),
        (b"\0\0\0\x03\x02\0\0", "version 2"),
        (b"\0\0\0", "hung up"),
    ] {
        let _ = fs::remove_file(site.join("agent"));
        let listener = UnixListener::bind(site.join("agent")).unwrap();
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            std::io::Write::write_all(&mut &stream, said).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            // Until the peer has read it and gone.
            let _ = std::io::copy(&mut &stream, &mut std::io::sink());
        });
        site.run(["status"]).fails(75, &[wanted]);
        server.join().unwrap();
        mail_goes_on_beside(&site);
    }
}

/// Without a look at the socket, where nobody is left.
fn mail_goes_on_beside(site: &Site) {
    fs::remove_file(site.join("agent")).unwrap();
    mail_goes_on(site);
}

#[test]
fn without_locked_memory_nobody_is_unlocked_and_login_goes_on() {
    let site = site_with("linger = 100000");
    for user in [ALICE, BOB] {
        site.enroll(user, b"pw").good();
    }
    give(&site, AGENT_UID);
    // One page for what it needs itself, one for a user.
    let mut command = as_user(AGENT_UID, "8192", &site.command(["agent"]));
    let agent = Agent::run(&mut command, &site);
    let trusted = [AGENT_UID];
    let ask = |request: &Request<'_>| {
        Client::connect(&site.join("agent"), &trusted, PATIENCE).unwrap().ask(request).unwrap()
    };
    unlocked(ask(&confirmed(ALICE, b"pw", false)));
    let Reply::Unavailable { reason } = ask(&confirmed(BOB, b"pw", false)) else {
        panic!("it found memory")
    };
    assert!(reason.contains("LimitMEMLOCK"), "{reason}");
    assert_eq!(ask(&Request::Lease { user: BOB, reader: None }), Reply::Locked);
    let record = fs::read(site.private(BOB)).unwrap();
    let stage = Request::Stage { user: BOB, old: Password(b"pw"), new: Password(b"new") };
    assert!(matches!(ask(&stage), Reply::Unavailable { .. }));
    assert_eq!(fs::read(site.private(BOB)).unwrap(), record);
    site.configure("", &settings(&site, &format!("user = \"{AGENT_UID}\"")));
    site.feed(["unlock", BOB, "--password-file", "-"], b"pw").fails(75, &["LimitMEMLOCK"]);
    mail_goes_on(&site);
    assert_eq!(ask(&Request::Lock { user: Some(ALICE) }), Reply::Done);
    unlocked(ask(&confirmed(BOB, b"pw", false)));
    drop(agent);
    // With none at all it does not even begin.
    let mut command = as_user(AGENT_UID, "0", &site.command(["agent"]));
    finish(&mut command, b"").fails(75, &["no memory can be locked"]);
}

#[test]
fn everybody_has_what_he_unlocked_and_no_more() {
    let site = site_with("");
    for user in [ALICE, BOB] {
        site.enroll(user, b"pw").good();
    }
    let sealed = [ALICE, BOB].map(|user| site.seal(user));
    give(&site, AGENT_UID);
    let allow =
        format!("user = \"{AGENT_UID}\"\nlinger = 100000\nallow = {{ 64713 = [\"manage\"] }}");
    site.configure("", &settings(&site, &allow));
    let agent = Agent::run(&mut as_user(AGENT_UID, "8388608", &site.command(["agent"])), &site);
    fs::set_permissions(site.join("sealing.ring"), fs::Permissions::from_mode(0o644)).unwrap();
    let messages = [site.file("alice.eml", &sealed[0]), site.file("bob.eml", &sealed[1])];
    let other = |arguments: &[&str], input: &[u8]| run_as(OTHER_UID, &site, arguments, input);
    let unlock = ["unlock", ALICE, "--password-file", "-"];
    other(&unlock, b"no").fails(77, &["wrong password"]);
    other(&unlock, b"pw").good();
    assert_eq!(other(&["unseal", &messages[0]], b"").good().stdout, opened());
    assert!(other(&["status"], b"").good().text().starts_with(ALICE));
    assert!(other(&["status", ALICE], b"").good().text().contains("password, active"));

    // Somebody whom another one unlocked is as good as locked.
    site.feed(["unlock", BOB, "--password-file", "-"], b"pw").good();
    let mut unseal = as_user(OTHER_UID, "8388608", &site.command(["unseal", &messages[1]]));
    let unsealed = finish(&mut support::without_terminal(&mut unseal), b"");
    assert_ne!(unsealed.status, Some(0));
    assert!(!other(&["status"], b"").good().text().contains(BOB));
    other(&["status", BOB], b"").fails(77, &["does not let this user"]);
    assert!(other(&["lock", BOB], b"").good().text().contains("was not unlocked"));
    other(&["lock", "--all"], b"").fails(77, &["does not let this user"]);
    let status = run_as(64_713, &site, &["status"], b"").good().text();
    assert!(status.contains(ALICE) && status.contains(BOB), "{status}");
    run_as(64_713, &site, &["lock", BOB], b"").good();
    other(&["lock", ALICE], b"").good();
    assert_eq!(site.run(["status"]).good().text(), "nobody is unlocked\n");
    drop(agent);
}

#[test]
fn what_runs_after_a_write_runs_outside_the_sandbox() {
    let site = Site::new();
    let log = site.file("written", b"");
    let script = format!("echo \"$1\" >> {log}; test ! -e {log}.fail");
    let keys = format!("after_write = [\"sh\", \"-c\", '{script}', \"sh\"]");
    site.configure(&keys, &settings(&site, "linger = 100000"));
    site.enroll(ALICE, b"pw").good();
    let agent = Agent::start(&site);
    let staged =
        agent.ask(&Request::Stage { user: ALICE, old: Password(b"pw"), new: Password(b"new") });
    let Reply::Staged { id } = staged else { panic!("{staged:?}") };
    assert_eq!(agent.ask(&Request::Commit { id }), Reply::Done);
    let written = fs::read_to_string(&log).unwrap();
    assert_eq!(written.lines().count(), 3, "{written}");
    assert!(written.lines().all(|line| line.ends_with(ALICE)), "{written}");
    // Where it does not succeed, nothing new holds.
    fs::write(format!("{log}.fail"), b"").unwrap();
    let staged =
        agent.ask(&Request::Stage { user: ALICE, old: Password(b"new"), new: Password(b"newer") });
    assert!(matches!(staged, Reply::Unavailable { .. }), "{staged:?}");
    assert_eq!(agent.ask(&by_hand(ALICE, b"newer", false)), Reply::Wrong);
    unlocked(agent.ask(&by_hand(ALICE, b"new", false)));
}

#[test]
fn connections_have_a_limit_and_a_place_is_free_again() {
    let site = site_with("linger = 100000\nconnections = 3");
    site.enroll(ALICE, b"pw").good();
    let agent = Agent::start(&site);
    let hold = || {
        let mut client = agent.client();
        client.ask(&confirmed(ALICE, b"pw", true)).map(|reply| (reply, client))
    };
    let mut held: Vec<_> = (0..3).map(|_| hold().unwrap()).collect();
    assert!(held.iter().all(|(reply, _)| matches!(reply, Reply::Unlocked { .. })));
    assert!(matches!(hold(), Err(ClientError::Ended(_))));
    held.pop();
    let end = std::time::Instant::now() + PATIENCE;
    while hold().is_err() {
        assert!(std::time::Instant::now() < end, "the place is never free");
    }
}

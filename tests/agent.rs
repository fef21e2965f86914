//! The agent: who is unlocked for how long, what is read through it, and what the command line makes
//! of it.

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nightsafe::age::{FileKey, Wrapped, wrap};
use nightsafe::agent::protocol::{ANSWER_BYTES, Password, Reply, Request, STANZA_BYTES};
use rustix::process::Signal;
use support::agent::{Agent, PATIENCE, by_hand, confirmed, site_with, unlocked};
use support::{Site, opened};

const ALICE: &str = "alice@example.org";
/// Longer than any test.
const LONG: &str = "linger = 100000";

fn alice(more: &str) -> (Site, Agent) {
    let site = site_with(more);
    site.enroll(ALICE, b"pw").good();
    let agent = Agent::start(&site);
    (site, agent)
}

fn public_key(site: &Site) -> nightsafe::age::PublicKey {
    let text = std::fs::read_to_string(site.public(ALICE)).unwrap();
    let line = text.lines().find(|line| line.starts_with("age1"));
    line.unwrap().parse().unwrap()
}

/// Stanzas for the user, each with a content key of its own.
fn stanzas(site: &Site, count: usize) -> (Vec<u8>, Vec<FileKey>) {
    let public = public_key(site);
    let keys: Vec<FileKey> = (0..count).map(|_| FileKey::random()).collect();
    let wrapped = keys.iter().flat_map(|key| {
        let stanza = wrap(key, &public).unwrap();
        Wrapped::of(&stanza).unwrap().unwrap().0
    });
    (wrapped.collect(), keys)
}

/// A process that holds the user, started and known to do so.
fn holder(site: &Site) -> Child {
    let password = site.file("password", b"pw");
    let mut command = site.command(["unlock", ALICE, "--hold", "--password-file", &password]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("for as long as this runs"), "{line}");
    child
}

#[test]
fn keys_are_there_from_unlock_to_lock_and_mail_is_read_without_a_password() {
    let (site, agent) = alice(LONG);
    let sealed = site.file("m", &site.seal(ALICE));
    // Nobody is asked for a password who has no terminal.
    let unseal = || {
        let mut command = site.command(["unseal", &sealed]);
        let mut command = support::without_terminal(&mut command);
        support::finish(&mut command, b"")
    };
    unseal().fails(66, &["no terminal"]);
    let status = site.run(["status"]).good().text();
    assert_eq!(status, "nobody is unlocked\n");
    let said = site.feed(["unlock", ALICE, "--password-file", "-"], b"pw\n").good().text();
    assert_eq!(said, format!("{ALICE} is unlocked\n"));
    assert_eq!(unseal().good().stdout, opened());
    let status = site.run(["status", "Alice@Example.ORG"]).good().text();
    assert!(status.contains("unlocked since 20") && status.contains("0 leases"), "{status}");
    assert!(status.contains("\n  password, active, since 20"), "{status}");
    site.run(["lock", ALICE]).good();
    unseal().fails(66, &["no terminal"]);
    assert_eq!(site.run(["lock", ALICE]).good().text(), format!("{ALICE} was not unlocked\n"));
    site.feed(["unlock", ALICE, "--password-file", "-"], b"no\n").fails(77, &["wrong password"]);
    site.feed(["unlock", "bob", "--password-file", "-"], b"no\n").fails(67, &["not enrolled"]);
    // Who has a recovery code is told what it is good for.
    let code = ["slot", "add", ALICE, "--recovery-code", "--password-file", "-"];
    let code = site.feed(code, b"pw").good().stdout;
    let ran = site.feed(["unlock", ALICE, "--password-file", "-"], &code);
    let ran = ran.fails(77, &["wrong password"]);
    assert!(ran.stderr.contains("hint: a recovery code sets a new password"), "{}", ran.stderr);
    agent.stop();
    site.run(["status"]).fails(75, &["no agent at", "agent"]);
}

#[test]
fn content_keys_come_in_the_order_of_the_stanzas() {
    let (site, agent) = alice(LONG);
    let (mut batch, keys) = stanzas(&site, 10_000);
    // One for somebody else in between, and one with a share of low order.
    batch[3 * STANZA_BYTES] ^= 1;
    batch[7 * STANZA_BYTES..7 * STANZA_BYTES + 32].fill(0);
    let recover = Request::Recover { user: ALICE, stanzas: &batch };
    assert_eq!(agent.ask(&recover), Reply::Locked);
    let mut client = agent.client();
    unlocked(client.ask(&confirmed(ALICE, b"pw", true)).unwrap());
    let Reply::Keys(answers) = client.ask(&recover).unwrap() else { panic!("no keys") };
    assert_eq!(answers.len(), 10_000 * ANSWER_BYTES);
    for (number, (answer, key)) in answers.expose().chunks(ANSWER_BYTES).zip(&keys).enumerate() {
        if number == 3 || number == 7 {
            assert_eq!(answer, [0; ANSWER_BYTES]);
        } else {
            assert_eq!((answer[0], &answer[1..]), (1, key.expose().as_slice()));
        }
    }
    let Reply::Keys(answers) = client.ask(&Request::Recover { user: ALICE, stanzas: &[] }).unwrap()
    else {
        panic!("no keys")
    };
    assert!(answers.is_empty());
}

#[test]
fn old_keys_are_held_too() {
    let site = site_with(LONG);
    site.enroll(ALICE, b"pw").good();
    let (old, old_keys) = stanzas(&site, 1);
    let password = site.file("p", b"pw");
    site.run(["rotate", ALICE, "--password-file", &password]).good();
    let (new, new_keys) = stanzas(&site, 1);
    let agent = Agent::start(&site);
    unlocked(agent.ask(&confirmed(ALICE, b"pw", false)));
    let both = [old, new].concat();
    let Reply::Keys(found) = agent.ask(&Request::Recover { user: ALICE, stanzas: &both }) else {
        panic!("no keys")
    };
    let wanted: Vec<u8> = [&old_keys[0], &new_keys[0]]
        .iter()
        .flat_map(|key| [&[1], key.expose().as_slice()].concat())
        .collect();
    assert_eq!(found.expose(), wanted);
    // A rotation while the user is unlocked: the next login brings the new key.
    site.run(["rotate", ALICE, "--password-file", &password]).good();
    let (newest, newest_keys) = stanzas(&site, 1);
    unlocked(agent.ask(&confirmed(ALICE, b"pw", false)));
    let Reply::Keys(found) = agent.ask(&Request::Recover { user: ALICE, stanzas: &newest }) else {
        panic!("no keys")
    };
    assert_eq!(found.expose()[1..], newest_keys[0].expose()[..]);
}

#[test]
fn the_last_of_two_leases_counts_and_a_killed_holder_has_none() {
    let (site, agent) = alice("linger = 0");
    let mut first = holder(&site);
    let mut second = holder(&site);
    first.kill().unwrap();
    first.wait().unwrap();
    agent.wait(ALICE, |status| status.leases == 1);
    assert!(agent.status(ALICE).unlocked.is_some());
    // SIGKILL, as above: nothing of the holder runs any more.
    second.kill().unwrap();
    second.wait().unwrap();
    agent.wait_until_locked(ALICE);
}

#[test]
fn keys_linger_after_the_last_lease_and_unclaimed_ones_go_the_same_way() {
    let (site, agent) = alice("linger = 1");
    unlocked(agent.ask(&confirmed(ALICE, b"pw", false)));
    agent.wait_until_locked(ALICE);
    let mut held = holder(&site);
    let since = agent.status(ALICE).unlocked.unwrap();
    // Longer than it lingers.
    let end = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < end {
        assert_eq!(agent.status(ALICE).unlocked, Some(since));
        thread::sleep(Duration::from_millis(50));
    }
    // Somebody comes while it lingers, and it stays.
    let mut client = agent.client();
    held.kill().unwrap();
    held.wait().unwrap();
    agent.wait(ALICE, |status| status.leases == 0 || status.unlocked.is_none());
    unlocked(client.ask(&confirmed(ALICE, b"pw", true)).unwrap());
    drop(client);
    agent.wait_until_locked(ALICE);
}

#[test]
fn the_absolute_limit_ends_a_lease() {
    let (site, agent) = alice("linger = 100000\nlifetime = 2");
    let mut held = holder(&site);
    agent.wait_until_locked(ALICE);
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = held.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < end, "the holder does not notice");
        thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(75));
    // The password given again begins it anew: on a slow machine the limit may come between.
    let mut client = agent.client();
    unlocked(client.ask(&confirmed(ALICE, b"pw", true)).unwrap());
    client.wait_for_end().unwrap();
    agent.wait_until_locked(ALICE);
}

#[test]
fn locking_ends_every_lease_at_once() {
    let (_site, agent) = alice(LONG);
    let mut held = agent.client();
    unlocked(held.ask(&confirmed(ALICE, b"pw", true)).unwrap());
    assert_eq!(agent.ask(&Request::Lock { user: Some(ALICE) }), Reply::Done);
    held.wait_for_end().unwrap();
    unlocked(agent.ask(&confirmed(ALICE, b"pw", false)));
    let mut leased = agent.client();
    unlocked(leased.ask(&Request::Lease { user: ALICE, reader: None }).unwrap());
    assert_eq!(agent.ask(&Request::Lock { user: None }), Reply::Done);
    leased.wait_for_end().unwrap();
    assert_eq!(agent.ask(&Request::Lease { user: ALICE, reader: None }), Reply::Locked);
}

#[test]
fn sigterm_wipes_and_ends_while_leases_are_held() {
    let (_site, agent) = alice(LONG);
    let mut held = agent.client();
    unlocked(held.ask(&confirmed(ALICE, b"pw", true)).unwrap());
    agent.stop();
    held.wait_for_end().unwrap();
}

#[test]
fn sighup_reads_the_configuration_again_and_locks_nobody() {
    let (site, agent) = alice(LONG);
    let mut held = agent.client();
    unlocked(held.ask(&confirmed(ALICE, b"pw", true)).unwrap());
    let refused = agent.ask(&Request::Enroll { user: "bob", password: Password(b"pw") });
    assert!(matches!(refused, Reply::Refused { .. }), "{refused:?}");
    // What is wrong changes nothing.
    let good = std::fs::read_to_string(site.config()).unwrap();
    for wrong in ["[agent]\nlinger = \"x\"\n", "[agent]\nallow = { nobody-like-this = [] }\n"] {
        std::fs::write(site.config(), wrong).unwrap();
        agent.signal(Signal::HUP);
        assert!(agent.status(ALICE).unlocked.is_some());
    }
    let map = site.file("map", b"robert bob@example.org\n");
    let users = format!("[users]\nmap = \"{map}\"\n");
    std::fs::write(site.config(), format!("{good}enroll_at_login = true\n{users}")).unwrap();
    agent.signal(Signal::HUP);
    let end = Instant::now() + PATIENCE;
    loop {
        let enroll = Request::Enroll { user: "robert", password: Password(b"pw") };
        match agent.ask(&enroll) {
            Reply::Unlocked { names, .. } => {
                assert_eq!(names, ["bob@example.org"]);
                break;
            }
            other => assert!(Instant::now() < end, "never: {other:?}"),
        }
    }
    assert_eq!(agent.status(ALICE).leases, 1);
    // Shorter times go for those who are unlocked already.
    let shorter = good.replace("linger = 100000", "linger = 0");
    std::fs::write(site.config(), shorter).unwrap();
    agent.signal(Signal::HUP);
    agent.wait_until_locked("bob@example.org");
    assert_eq!(agent.status(ALICE).leases, 1);
    drop(held);
    agent.wait_until_locked(ALICE);
}

#[test]
fn a_connection_is_a_lease_of_one_user() {
    let (site, agent) = alice(LONG);
    site.enroll("bob@example.org", b"pw").good();
    let mut held = agent.client();
    unlocked(held.ask(&confirmed(ALICE, b"pw", true)).unwrap());
    unlocked(held.ask(&confirmed(ALICE, b"pw", true)).unwrap());
    assert_eq!(agent.status(ALICE).leases, 1);
    let refused = held.ask(&confirmed("bob@example.org", b"pw", true)).unwrap();
    assert!(matches!(refused, Reply::Refused { reason } if reason.contains(ALICE)));
    drop(held);
    agent.wait(ALICE, |status| status.leases == 0);
}

#[test]
fn a_changed_password_is_asked_for_again() {
    let (site, agent) = alice(LONG);
    unlocked(agent.ask(&confirmed(ALICE, b"pw", false)));
    site.passwd(ALICE, b"pw", b"new").good();
    // What the agent remembers of the old record does not let the old password in.
    assert_eq!(agent.ask(&by_hand(ALICE, b"pw", false)), Reply::Wrong);
    unlocked(agent.ask(&by_hand(ALICE, b"new", false)));
    site.run(["remove", ALICE]).good();
    assert_eq!(agent.ask(&by_hand(ALICE, b"new", false)), Reply::NoKeys);
    assert_eq!(agent.ask(&Request::Lease { user: ALICE, reader: None }), Reply::Locked);
}

#[test]
fn a_password_changed_elsewhere_is_noticed_and_mended() {
    let (site, agent) = alice(LONG);
    assert_eq!(agent.ask(&by_hand(ALICE, b"guess", false)), Reply::Wrong);
    assert!(agent.status(ALICE).problems.is_empty(), "a guess says nothing of the login");
    assert_eq!(agent.ask(&confirmed(ALICE, b"reset", false)), Reply::Diverged);
    assert_eq!(agent.ask(&confirmed(ALICE, b"reset", false)), Reply::Diverged);
    let problems = agent.status(ALICE).problems;
    assert!(problems.len() == 1 && problems[0].contains("nightsafe passwd"), "{problems:?}");
    let shown = site.run(["status", ALICE]).good().text();
    assert!(shown.contains("PROBLEM: the login password of alice"), "{shown}");
    // Mail goes on arriving sealed.
    let sealed = site.seal(ALICE);
    site.passwd(ALICE, b"pw", b"reset").good();
    unlocked(agent.ask(&confirmed(ALICE, b"reset", false)));
    assert!(agent.status(ALICE).problems.is_empty());
    assert_eq!(site.unseal(ALICE, b"reset", &sealed).good().stdout, opened());
}

#[test]
fn an_older_record_or_public_half_is_named() {
    let (site, agent) = alice(LONG);
    unlocked(agent.ask(&confirmed(ALICE, b"pw", false)));
    let [record, public] = [site.private(ALICE), site.public(ALICE)];
    let old = [&record, &public].map(|path| std::fs::read(path).unwrap());
    let password = site.file("p", b"pw");
    site.run(["rotate", ALICE, "--password-file", &password]).good();
    unlocked(agent.ask(&confirmed(ALICE, b"pw", false)));
    assert!(agent.status(ALICE).problems.is_empty());
    let new = std::fs::read(&record).unwrap();
    std::fs::write(&record, &old[0]).unwrap();
    unlocked(agent.ask(&by_hand(ALICE, b"pw", false)));
    let problems = agent.status(ALICE).problems.join("\n");
    assert!(problems.contains("is an older copy (version"), "{problems}");
    assert!(problems.contains("is older (generation 1) than the public key"), "{problems}");
    std::fs::write(&record, new).unwrap();
    std::fs::write(&public, &old[1]).unwrap();
    unlocked(agent.ask(&by_hand(ALICE, b"pw", false)));
    let problems = agent.status(ALICE).problems.join("\n");
    assert!(problems.contains("the public key of alice@example.org is older"), "{problems}");
    assert!(!problems.contains("is an older copy"), "{problems}");
}

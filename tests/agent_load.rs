//! The agent with many logins and many guesses: who is right gets in, and memory and work stay bounded.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nightsafe::agent::protocol::{Password, Reply, Request};
use support::agent::{Agent, by_hand, confirmed, site_with, unlocked};

const ALICE: &str = "alice@example.org";
/// What one run of Argon2 takes, and the agent beside all of them, in kilobytes.
const RUN_KILOBYTES: u64 = 64 * 1024;
const REST_KILOBYTES: u64 = 40 * 1024;

/// Calls `ask` for each of `0..count` from so many threads, and counts what it says.
fn many<K: Ord + Send>(
    threads: usize,
    count: usize,
    ask: impl Fn(usize) -> K + Sync,
) -> BTreeMap<K, usize> {
    let (next, said) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let answer = ask(number);
                    *said.lock().unwrap().entry(answer).or_default() += 1;
                }
            });
        }
    });
    said.into_inner().unwrap()
}

fn name(reply: &Reply) -> &'static str {
    match reply {
        Reply::Unlocked { .. } => "unlocked",
        Reply::Wrong => "wrong",
        Reply::Busy { .. } => "busy",
        _ => "something else",
    }
}

/// The most memory that the agent ever had, in kilobytes.
fn most_memory(agent: &Agent) -> u64 {
    agent.kilobytes("VmHWM")
}

#[test]
fn a_thousand_wrong_guesses_do_not_lock_the_right_one_out() {
    let site = site_with("argon2_runs = 2\nlinger = 0");
    site.enroll(ALICE, b"pw").good();
    let agent = Agent::start(&site);
    let over = AtomicBool::new(false);
    let (said, in_between) = thread::scope(|scope| {
        let right = scope.spawn(|| {
            let mut logins = 0;
            while !over.load(Ordering::Relaxed) {
                // Whoever the site's login has let in does not wait for who guesses.
                unlocked(agent.ask(&confirmed(ALICE, b"pw", false)));
                logins += 1;
            }
            logins
        });
        let said = many(50, 1000, |number| {
            let guess = format!("guess {number}");
            name(&agent.ask(&by_hand(ALICE, guess.as_bytes(), false)))
        });
        over.store(true, Ordering::Relaxed);
        (said, right.join().unwrap())
    });
    assert!(in_between > 0, "nobody logged in meanwhile");
    assert!(said["wrong"] >= 4 && said["busy"] > 0, "{said:?}");
    assert_eq!(said["wrong"] + said["busy"], 1000, "{said:?}");
    // And by hand the right one is no guess too many once the others are through.
    unlocked(agent.ask(&by_hand(ALICE, b"pw", false)));
    let most = most_memory(&agent);
    assert!(most <= 2 * RUN_KILOBYTES + REST_KILOBYTES, "{most} kB");
}

#[test]
fn the_same_wrong_password_again_costs_next_to_nothing() {
    let site = site_with("linger = 0");
    site.enroll(ALICE, b"pw").good();
    let agent = Agent::start(&site);
    // One from before, as a phone has it.
    assert_eq!(agent.ask(&by_hand(ALICE, b"old", false)), Reply::Wrong);
    let before = agent.cpu_seconds();
    let mut client = agent.client();
    for _ in 0..1000 {
        assert_eq!(client.ask(&by_hand(ALICE, b"old", false)).unwrap(), Reply::Wrong);
    }
    let thousand = agent.cpu_seconds() - before;
    // None of them was a guess: the first others still wait for nothing.
    let before = agent.cpu_seconds();
    for guess in [&b"a"[..], b"b"] {
        assert_eq!(agent.ask(&by_hand(ALICE, guess, false)), Reply::Wrong);
    }
    let one = (agent.cpu_seconds() - before) / 2.0;
    assert!(thousand < 5.0 * one, "{thousand} s for a thousand, {one} s for a new one");
}

#[test]
fn reconnects_are_two_hundred_times_cheaper_than_a_login() {
    let site = site_with("linger = 100000");
    site.enroll(ALICE, b"pw").good();
    let agent = Agent::start(&site);
    let before = agent.cpu_seconds();
    for _ in 0..5 {
        unlocked(agent.ask(&confirmed(ALICE, b"pw", false)));
        assert_eq!(agent.ask(&Request::Lock { user: Some(ALICE) }), Reply::Done);
    }
    unlocked(agent.ask(&confirmed(ALICE, b"pw", false)));
    let first = (agent.cpu_seconds() - before) / 6.0;
    let before = agent.cpu_seconds();
    let said = many(4, 10_000, |_| name(&agent.ask(&confirmed(ALICE, b"pw", true))));
    assert_eq!(said["unlocked"], 10_000);
    let again = (agent.cpu_seconds() - before) / 10_000.0;
    assert!(first >= 200.0 * again, "{first} s for the first, {again} s for each other");
}

/// Enough for many logins before one's own.
const PATIENT: &str = "argon2_runs = 2\nargon2_waiting = 1000\nwait_timeout = 600\nlinger = 100000";

#[test]
fn two_hundred_users_log_in_at_once_within_the_memory_of_two() {
    let site = site_with(PATIENT);
    let user = |number: usize| format!("user{number}@example.org");
    let list: String = (0..200).map(|number| user(number) + "\n").collect();
    let list = site.file("users", list.as_bytes());
    site.run(["enroll", "--provisional", "--from", &list]).good();
    let agent = Agent::start(&site);
    // Each of them twice, as mail programs come.
    let log_in = |number: usize| {
        let user = user(number / 2);
        name(&agent.ask(&confirmed(&user, user.as_bytes(), false)))
    };
    assert_eq!(many(400, 400, log_in), BTreeMap::from([("unlocked", 400)]));
    let record = |number: usize| fs::read(site.private(&user(number))).unwrap();
    let before: Vec<_> = (0..200).map(record).collect();
    assert_eq!(agent.ask(&Request::Lock { user: None }), Reply::Done);
    assert_eq!(many(200, 200, |number| log_in(number * 2)), BTreeMap::from([("unlocked", 200)]));
    // Nothing was left to settle.
    assert_eq!((0..200).map(record).collect::<Vec<_>>(), before);
    let most = most_memory(&agent);
    assert!(most <= 2 * RUN_KILOBYTES + REST_KILOBYTES, "{most} kB");
    let Reply::Status { users, more: false } =
        agent.ask(&Request::Status { user: None, after: "" })
    else {
        panic!("no status")
    };
    assert_eq!(users.len(), 200);
}

#[test]
fn nobody_is_enrolled_twice() {
    let site = site_with(&format!("{PATIENT}\nenroll_at_login = true"));
    let agent = Agent::start(&site);
    let user = |number: usize| format!("user{}@example.org", number / 8);
    let said = many(40, 40, |number| {
        let user = user(number);
        name(&agent.ask(&Request::Enroll { user: &user, password: Password(user.as_bytes()) }))
    });
    assert_eq!(said, BTreeMap::from([("unlocked", 40)]));
    for number in (0..40).step_by(8) {
        let public = fs::read_to_string(site.public(&user(number))).unwrap();
        assert!(public.contains("generation 1"), "{public}");
        assert!(site.unlocks(&user(number), user(number).as_bytes()));
    }
    let most = most_memory(&agent);
    assert!(most <= 2 * RUN_KILOBYTES + REST_KILOBYTES, "{most} kB");
    // With another password the keys are there already, and it is not theirs.
    let other = Request::Enroll { user: &user(0), password: Password(b"other") };
    assert_eq!(agent.ask(&other), Reply::Diverged);
}

#[test]
fn who_finds_no_place_is_told_to_come_again() {
    let site = site_with("argon2_runs = 1\nargon2_waiting = 1\nlinger = 0");
    site.enroll(ALICE, b"pw").good();
    let agent = Agent::start(&site);
    let said = many(30, 60, |number| {
        let guess = format!("guess {number}");
        match agent.ask(&confirmed(ALICE, guess.as_bytes(), false)) {
            Reply::Busy { seconds } => {
                assert!((1..60).contains(&seconds));
                "busy"
            }
            Reply::Diverged => "diverged",
            other => panic!("{other:?}"),
        }
    });
    assert!(said["busy"] > 0 && said["diverged"] > 0, "{said:?}");
    unlocked(agent.ask(&confirmed(ALICE, b"pw", false)));
}

//! What must hold when all is over: nothing that was accepted is missing, nothing that was stored is
//! altered, and nothing can be read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use nightsafe::age::SecretKey;
use nightsafe::seal::{Ring, Trust, unseal};

use super::USERS;
use super::client::Said;
use super::letters::{Letters, address};
use super::sender::{Counts, SENDER};
use super::store::Kind;
use super::world::Fault;
use crate::site::{Site, password, success};

/// How often each message lies in each mailbox: by number and user.
pub type Found = BTreeMap<(usize, usize), usize>;

/// Unseals everything in the mailboxes; fails for what is not, byte for byte, what was sent.
pub fn open_all(
    site: &Site,
    inbox: impl Fn(&str) -> Vec<Vec<u8>>,
    is_same: impl Fn(usize, &[u8]) -> bool,
) -> Found {
    let ring = Ring::load(&site.join("etc/sealing.key")).unwrap();
    let mut found = Found::new();
    for (user, name) in USERS.iter().enumerate() {
        let keys = identity(site, name);
        for stored in inbox(name) {
            let trust = Trust::Signed { ring: &ring, user: None };
            let opened = unseal(&stored, &keys, trust)
                .unwrap_or_else(|error| panic!("{name} has what does not open: {error}"));
            let opened = opened.message.expose();
            let number = Letters::number(opened).expect("a message of this case");
            assert!(is_same(number, opened), "message {number} of {name} was altered");
            *found.entry((number, user)).or_default() += 1;
        }
    }
    found
}

/// What the sender's message must be when it comes back.
pub fn opened(letters: &Letters, number: usize) -> Vec<u8> {
    let path = format!("Return-Path: <{SENDER}>\r\n");
    [path.as_bytes(), &letters.message(number)].concat()
}

/// The user's keys, unlocked once.
fn identity(site: &Site, user: &str) -> Vec<SecretKey> {
    let secret = site.private_file(&format!("{user}.password"), password(user).as_bytes());
    let output = site.nightsafe(&["identity", user, "--password-file", &secret]).output().unwrap();
    success(&output);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| SecretKey::parse(line).unwrap()).collect()
}

/// What the two sides say when they are compared.
#[derive(Debug, Default)]
pub struct Comparison {
    pub accepted: usize,
    /// Refused for good, and with what words.
    pub refused: Vec<String>,
    pub unsettled: usize,
    pub stored: usize,
    /// Accepted, and not there.
    pub missing: Vec<(usize, usize)>,
    /// There more than once.
    pub doubled: Vec<(usize, usize)>,
    /// There, and never sent there.
    pub strange: Vec<(usize, usize)>,
}

pub fn compare(said: &[Vec<(usize, Said)>], found: &Found) -> Comparison {
    let mut result = Comparison { stored: found.values().sum(), ..Comparison::default() };
    let mut sent = BTreeMap::new();
    for (number, recipients) in said.iter().enumerate() {
        for (user, said) in recipients {
            sent.insert((number, *user), said);
            match said {
                Said::Taken => {
                    result.accepted += 1;
                    if !found.contains_key(&(number, *user)) {
                        result.missing.push((number, *user));
                    }
                }
                Said::Never(reply) => result.refused.push(reply.clone()),
                Said::Later | Said::Nothing => result.unsettled += 1,
            }
        }
    }
    for (place, times) in found {
        if !sent.contains_key(place) {
            result.strange.push(*place);
        }
        if *times > 1 {
            result.doubled.push(*place);
        }
    }
    result
}

/// Fails for everything that must not be.
pub fn check(kind: Kind, fault: Fault, log: &str, found: &Found, result: &Comparison) {
    assert_eq!(result.missing, [], "accepted, and not in the mailbox");
    assert_eq!(result.strange, [], "in a mailbox where it was not sent");
    assert_eq!(result.unsettled, 0, "neither accepted nor refused in the end");
    assert_eq!(result.refused, Vec::<String>::new(), "refused for good");
    match (kind, fault) {
        // It has no duplicate suppression.
        (Kind::Dovecot, _) => {}
        // It stores a message, and then notes that it has it. Killed in between, it has it and does
        // not know, whoever hands it over: nothing that nightsafe could do about it.
        (Kind::Cyrus, Fault::StoreKilled) => assert_eq!(excused(log, found), Ok(())),
        (Kind::Cyrus, _) => assert_eq!(result.doubled, [], "stored twice"),
    }
    assert!(log.contains("status=sealed"), "the log of nightsafe is searched for canaries, too");
    assert!(!log.contains("internal error"), "nightsafe panicked");
    assert_eq!(
        out_of_step(log),
        Vec::<&str>::new(),
        "a reply was taken for that to something else"
    );
}

/// Lines of the log that have another kind of yes than the step waits for, such as `DATA: 250 ok`: the
/// store said it to something before.
fn out_of_step(log: &str) -> Vec<&str> {
    let wrong = |line: &&str| {
        [": DATA: 2", ": MAIL: 3", ": RCPT: 3", ": RSET: 3", ": LHLO: 3", ": end of data: 3"]
            .iter()
            .any(|reply| line.contains(reply))
    };
    log.lines().filter(|line| line.contains("status=deferred")).filter(wrong).collect()
}

/// That a store has a message more often than once, and nobody was told that it had it, is the store's
/// own doing only if it went away when it had all of the message: so often at most, for each user.
fn excused(log: &str, found: &Found) -> Result<(), String> {
    for (user, name) in USERS.iter().enumerate() {
        let of_user = found.iter().filter(|((_, of), _)| *of == user);
        let too_many: usize = of_user.map(|(_, times)| times - 1).sum();
        let mark = format!("to=<{}>", address(user));
        let lines = log.lines().filter(|line| line.contains(&mark));
        let lost = lines.filter(|line| line.contains(": end of data: ")).count();
        if too_many > lost {
            return Err(format!("{name}: {too_many} too many, {lost} replies lost"));
        }
    }
    Ok(())
}

/// One row of the table, with its head.
pub fn table(case: &str, counts: &Counts, result: &Comparison, seconds: u64) -> String {
    let columns: [(&str, usize); 14] = [
        ("messages", counts.messages),
        ("deliveries", counts.deliveries),
        ("faults", counts.strikes),
        ("attempts", counts.attempts),
        ("hit", counts.hits),
        ("retries", counts.retries),
        ("turned away", counts.turned_away),
        ("connections lost", counts.lost),
        ("deferred", counts.deferred),
        ("refused", result.refused.len()),
        ("accepted", result.accepted),
        ("stored", result.stored),
        ("twice", result.doubled.len()),
        ("lost", result.missing.len()),
    ];
    let mut text = format!("| {:26} |", "case");
    for (name, _) in &columns {
        let _ = write!(text, " {name} |");
    }
    let _ = write!(text, " seconds |\n| {case:26} |");
    for (name, value) in &columns {
        let _ = write!(text, " {value:width$} |", width = name.len());
    }
    let _ = write!(text, " {seconds:7} |");
    text
}

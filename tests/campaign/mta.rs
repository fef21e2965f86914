//! The campaign with a real Postfix as the sender: what it logged is compared with the mailboxes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::chance::{Chance, seed};
use super::client::Said;
use super::letters::{Letters, address};
use super::sender::{Counts, DELIVERIES, HITS, SENDER, STRIKES};
use super::store::Kind;
use super::verdict;
use super::world::{Fault, World};
use crate::site::mta::Mta as _;
use crate::site::postfix::{Hop, Postfix};
use crate::site::process::PATIENCE;

/// How many messages are handed in at most before something must have gone wrong.
const MESSAGES: usize = 1500;

/// One case, from the first message to the verdict.
pub fn run(kind: Kind, fault: Fault) {
    let begun = Instant::now();
    let case = format!("postfix, {}, {}", kind.name(), fault.name());
    println!("{case}: NIGHTSAFE_SEED={}", seed());
    let letters = Letters::complete(&case);
    let mut world = World::new(kind, fault);
    let postfix = start(&world);
    let mut strikes = 0;
    let is_over = AtomicBool::new(false);
    let ids = std::thread::scope(|scope| {
        let submitting = scope.spawn(|| {
            let mut ids = Vec::new();
            let mut deliveries = 0;
            while deliveries < DELIVERIES || !is_over.load(Ordering::Relaxed) {
                assert!(ids.len() < MESSAGES, "too little goes wrong");
                let users = letters.recipients(ids.len());
                let recipients: Vec<_> = users.iter().copied().map(address).collect();
                let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
                ids.push((postfix.submit(&recipients, &letters.message(ids.len())), users));
                deliveries += recipients.len();
            }
            ids
        });
        let mut chance = Chance::of(&case, 0);
        while !submitting.is_finished() {
            strikes = world.strike(&mut chance);
            let log = postfix.log();
            let hits =
                log.lines().filter(|line| line.contains("status=deferred (") && is_hit(line));
            let hits = hits.count();
            is_over.store(hits >= HITS && strikes >= STRIKES, Ordering::Relaxed);
        }
        world.calm();
        submitting.join().unwrap()
    });
    let end = Instant::now() + PATIENCE;
    while !postfix.queued().is_empty() && Instant::now() < end {
        postfix.flush();
        sleep(Duration::from_millis(200));
    }
    world.stop();

    let mut counts = Counts { messages: ids.len(), strikes, ..Counts::default() };
    let said: Vec<_> =
        ids.iter().map(|(id, users)| answers(&postfix, id, users, &mut counts)).collect();
    let is_same = |number, opened: &[u8]| {
        let path = format!("Return-Path: <{SENDER}>\r\n");
        opened.starts_with(path.as_bytes()) && opened.ends_with(&letters.message(number))
    };
    let found = verdict::open_all(&world.site, |user| world.store.inbox(user), is_same);
    let result = verdict::compare(&said, &found);
    println!("{}", verdict::table(&case, &counts, &result, begun.elapsed().as_secs()));

    verdict::check(kind, fault, &world.site.system_log(), &found, &result);
    assert!(counts.deliveries >= DELIVERIES && result.accepted >= DELIVERIES);
    assert!(counts.hits >= HITS && strikes >= STRIKES, "too little went wrong: {counts:?}");
    assert_eq!(world.site.leaks_with_queue(&letters.canaries), []);
}

/// Whether an attempt had begun when it failed.
fn is_hit(text: &str) -> bool {
    text.contains("lost connection with") || text.contains(" said: 4")
}

/// What Postfix logged of a message in the end, for each of its recipients.
fn answers(
    postfix: &Postfix,
    id: &str,
    users: &[usize],
    counts: &mut Counts,
) -> Vec<(usize, Said)> {
    let attempts = postfix.attempts(id);
    let of_user = |user: &usize| {
        let mine = attempts.iter().filter(|attempt| attempt.recipient == address(*user));
        let mine: Vec<_> = mine.collect();
        let deferred = mine.iter().filter(|attempt| attempt.status == "deferred").count();
        counts.deliveries += 1;
        counts.attempts += mine.len();
        let texts = mine.iter().filter(|attempt| attempt.status == "deferred");
        counts.hits += texts.filter(|attempt| is_hit(&attempt.text)).count();
        counts.deferred += mine.iter().filter(|a| a.text.contains(" said: 4")).count();
        counts.lost += mine.iter().filter(|a| a.text.starts_with("lost connection")).count();
        counts.turned_away += mine.iter().filter(|a| a.text.starts_with("connect to")).count();
        counts.retries += mine.len() - 1;
        let said = match mine.last().map(|attempt| attempt.status.as_str()) {
            Some("sent") => Said::Taken,
            Some("bounced") => Said::Never(mine.last().unwrap().text.clone()),
            _ => Said::Later,
        };
        assert_eq!(mine.len() - deferred, 1, "settled, and not for good: {mine:?}");
        (*user, said)
    };
    users.iter().map(of_user).collect()
}

/// Postfix with the example's files, but it tries again after a second, and does not leave
/// everybody alone after one lost connection: all shall be hit.
fn start(world: &World) -> Postfix {
    let line = "maximal_queue_lifetime = 5d\n";
    let impatient = format!(
        "{line}minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n\
         nightsafe_destination_concurrency_failed_cohort_limit = 0\n"
    );
    Postfix::start(&world.site, Hop::Lmtp).restarted_with(&world.site, line, &impatient)
}

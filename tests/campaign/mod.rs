//! The fault campaign: mail is sent without a pause through `nightsafe lmtp` into a real store while
//! one thing goes wrong again and again. Then the sender's books are compared with the mailboxes.

#![allow(dead_code, reason = "each test file uses its own part of the module")]

pub mod chance;
pub mod client;
pub mod letters;
pub mod mta;
pub mod relay;
pub mod sender;
pub mod store;
pub mod verdict;
pub mod world;

use std::time::Instant;

use chance::{Chance, seed};
use letters::Letters;
use sender::{DELIVERIES, HITS, STRIKES, Sender};
use store::Kind;
use world::{Fault, World};

/// Whose mailboxes there are.
pub const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// One case, from the first message to the verdict.
pub fn run(kind: Kind, fault: Fault) {
    let begun = Instant::now();
    let case = format!("{}, {}", kind.name(), fault.name());
    println!("{case}: NIGHTSAFE_SEED={}", seed());
    let letters = Letters::new(&case);
    let mut world = World::new(kind, fault);
    let sender = Sender::new(&letters);
    let socket = world.service.socket().to_owned();
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| sender.run(&socket));
        let mut chance = Chance::of(&case, 0);
        while sender.is_open() && !sending.is_finished() {
            sender.struck(world.strike(&mut chance));
        }
        world.calm();
    });
    world.stop();

    let inbox = |user: &str| world.store.inbox(user);
    let is_same = |number, opened: &[u8]| opened == verdict::opened(&letters, number);
    let found = verdict::open_all(&world.site, inbox, is_same);
    let counts = sender.counts();
    let result = verdict::compare(&sender.said(), &found);
    println!("{}", verdict::table(&case, &counts, &result, begun.elapsed().as_secs()));

    verdict::check(kind, fault, &world.site.system_log(), &found, &result);
    assert!(counts.deliveries >= DELIVERIES && result.accepted >= DELIVERIES);
    assert!(counts.hits >= HITS && counts.strikes >= STRIKES, "too little went wrong: {counts:?}");
    assert_eq!(world.site.leaks_with_queue(&letters.canaries), []);
}

//! The checks of `tests/fuzz` for searches, for a while, without a fuzzer: its seeds, and what simple
//! changes make of them, the same ones in each run.

mod replay;
#[path = "fuzz/checks/search.rs"]
mod search;

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// A piece of one seed in the place of a piece of another.
fn crossed() -> impl Strategy<Value = Vec<u8>> {
    let seed = || proptest::sample::select(replay::seeds("search_seeds", 5));
    let place = || any::<proptest::sample::Index>();
    let changes = proptest::collection::vec((seed(), place(), place(), place(), place()), 1..4);
    (seed(), changes).prop_map(|(mut text, changes)| {
        for (other, from, to, start, end) in changes {
            let piece = |len: usize, a: proptest::sample::Index, b: proptest::sample::Index| {
                let (a, b) = (a.index(len + 1), b.index(len + 1));
                a.min(b)..a.max(b)
            };
            let inserted = other[piece(other.len(), start, end)].to_vec();
            let replaced = piece(text.len(), from, to);
            let replaced = replaced.start..replaced.end.min(replaced.start + 8);
            text.splice(replaced, inserted);
            text.truncate(12_000);
        }
        text
    })
}

#[test]
fn seeds_hold() {
    for seed in replay::seeds("search_seeds", 5) {
        assert!(search::check(&seed), "{}", String::from_utf8_lossy(&seed));
    }
}

#[test]
fn changed_seeds_hold() {
    let config = Config { cases: 5000, failure_persistence: None, ..Config::default() };
    let programs = Cell::new(0);
    let mut runner = TestRunner::new_with_rng(config, deterministic());
    runner
        .run(&crossed(), |octets| {
            programs.set(programs.get() + u32::from(search::check(&octets)));
            Ok(())
        })
        .unwrap();
    assert!(programs.get() > 1000, "few of them are searches: {}", programs.get());
}

fn deterministic() -> proptest::test_runner::TestRng {
    proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha)
}

//! The checks of `tests/fuzz` for both sides of an IMAP session, for a while, without a fuzzer: their seeds,
//! and what simple changes make of them, the same ones in each run.

#[path = "fuzz/checks/commands.rs"]
mod commands;
mod replay;
#[path = "fuzz/checks/responses.rs"]
mod responses;

use replay::{Numbers, seeds};

fn changed(seeds: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut text = seeds[numbers.below(seeds.len())].clone();
    for _ in 0..=numbers.below(5) {
        let at = numbers.below(text.len());
        let end = (at + numbers.below(30)).min(text.len());
        let to = numbers.below(text.len());
        match numbers.below(4) {
            0 => drop(text.drain(at..end)),
            1 if at < text.len() => {
                text[at] = b"\r\n ()[]{}+\"\\*~-<>%.0129aN\0\x80"[numbers.below(27)]
            }
            2 => {
                let piece = text[at..end].to_vec();
                drop(text.splice(to..to, piece));
            }
            _ => {
                let other = &seeds[numbers.below(seeds.len())];
                let from = numbers.below(other.len());
                let piece = other[from..(from + 60).min(other.len())].to_vec();
                drop(text.splice(to..to, piece));
            }
        }
        text.truncate(4000);
    }
    text
}

#[test]
fn what_a_client_says() {
    let seeds = seeds("commands_seeds", 6);
    for seed in &seeds {
        assert!(commands::check(seed) >= 1, "{}", seed.escape_ascii());
    }
    let mut numbers = Numbers(7);
    let understood: usize =
        (0..30_000).map(|_| commands::check(&changed(&seeds, &mut numbers))).sum();
    assert!(understood > 10_000, "few of them are commands: {understood}");
}

#[test]
fn what_the_store_says() {
    let seeds = seeds("responses_seeds", 6);
    assert!(seeds.iter().filter(|seed| responses::check(seed)).count() >= 3);
    let mut numbers = Numbers(8);
    let answers = (0..60_000).filter(|_| responses::check(&changed(&seeds, &mut numbers))).count();
    assert!(answers > 2_000, "few of them are answers: {answers}");
}

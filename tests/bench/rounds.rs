//! Contenders in turn, round by round, so that a machine whose speed drifts is as unfair to one as to
//! the other. What counts is the ratio of medians within one run.

use std::time::Instant;

/// A message of the corpus.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/fixtures/mail/{name}.eml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A name and what is timed.
pub(crate) type Contender<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// The median of each contender over `count` rounds in microseconds, printed with the least.
pub(crate) fn run(contenders: &mut [Contender<'_>], count: usize) -> Vec<f64> {
    let mut times = vec![Vec::with_capacity(count); contenders.len()];
    for round in 0..count + count / 10 {
        for ((_, contender), times) in contenders.iter_mut().zip(&mut times) {
            let start = Instant::now();
            contender();
            // The first rounds warm up.
            if round >= count / 10 {
                times.push(start.elapsed().as_secs_f64() * 1e6);
            }
        }
    }
    let medians = times.iter_mut().map(|times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    let medians: Vec<f64> = medians.collect();
    for (((name, _), times), median) in contenders.iter().zip(&times).zip(&medians) {
        println!("{name:<28} {median:>10.1} us   (least {:.1})", times[0]);
    }
    medians
}

//! The checks of `tests/fuzz`, for a while, without a fuzzer: its seeds, and what simple changes make of
//! them, the same ones in each run.

#[path = "fuzz/checks/connection.rs"]
mod connection;
#[path = "fuzz/checks/reader.rs"]
mod reader;
mod replay;

use std::fs;

use replay::{Numbers, folder};

/// The words of the fuzzer's dictionary.
fn words() -> Vec<Vec<u8>> {
    let text = fs::read_to_string(folder("lmtp.dict")).unwrap();
    let quoted = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    let words = quoted.map(|word| {
        let mut parts = word.split("\\x");
        let mut bytes = parts.next().unwrap().as_bytes().to_vec();
        for part in parts {
            bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
        bytes
    });
    words.collect()
}

fn changed(seeds: &[Vec<u8>], words: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut text = seeds[numbers.below(seeds.len())].clone();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(text.len() + 1);
        let end = (at + numbers.below(30)).min(text.len());
        match numbers.below(5) {
            0 => drop(text.splice(at..at, words[numbers.below(words.len())].iter().copied())),
            1 => drop(text.splice(at..end, words[numbers.below(words.len())].iter().copied())),
            2 => drop(text.drain(at..end)),
            3 if at < text.len() => text[at] = u8::try_from(numbers.below(256)).unwrap(),
            _ => {
                let other = &seeds[numbers.below(seeds.len())];
                let from = numbers.below(other.len());
                text.truncate(at);
                text.extend_from_slice(&other[from..]);
            }
        }
    }
    text
}

#[test]
fn what_a_client_says_is_read_in_one_way() {
    let (seeds, words) = (replay::seeds("seeds", 10), words());
    seeds.iter().for_each(|seed| reader::check(seed));
    let mut numbers = Numbers(1);
    for _ in 0..20_000 {
        reader::check(&changed(&seeds, &words, &mut numbers));
    }
}

#[test]
fn the_service_says_yes_to_what_the_store_has() {
    let (seeds, words) = (replay::seeds("seeds", 10), words());
    seeds.iter().for_each(|seed| connection::check(seed));
    let mut numbers = Numbers(2);
    for _ in 0..3000 {
        connection::check(&changed(&seeds, &words, &mut numbers));
    }
}

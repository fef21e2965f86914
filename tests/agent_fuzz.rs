//! The check of `tests/fuzz` for the agent, for a while, without a fuzzer: its seeds, and what simple
//! changes make of them, the same ones in each run.

#[path = "fuzz/checks/agent.rs"]
mod agent;
mod replay;

use std::fs;

use nightsafe::agent::protocol::{LENGTH_BYTES, Password, Request, STANZA_BYTES};
use replay::{Numbers, folder, seeds};

const SEEDS: &str = "agent_seeds";

/// What a peer says in one connection, for the fuzzer: frames, each with its length in two octets.
fn in_frames(requests: &[Request<'_>]) -> Vec<u8> {
    let mut said = b"F".to_vec();
    for request in requests {
        let frame = request.to_frame().unwrap();
        let frame = &frame.expose()[LENGTH_BYTES..];
        said.extend(u16::try_from(frame.len()).unwrap().to_be_bytes());
        said.extend(frame);
    }
    said
}

/// Every request there is, in the order in which somebody may make them.
fn made() -> Vec<(&'static str, Vec<u8>)> {
    let user = agent::USER;
    let password = Password(b"password");
    let stanzas = [7; 3 * STANZA_BYTES];
    let unlock = |confirmed: bool, hold: bool| {
        let reader = confirmed.then_some(4711);
        Request::Unlock { user, password, confirmed, hold, reader }
    };
    let lease = Request::Lease { user, reader: None };
    let raw =
        |request: Request<'_>| [b"R", request.to_frame().unwrap().expose(), b"\0\0\0\x01"].concat();
    vec![
        ("unlock", in_frames(&[unlock(false, false), unlock(true, true)])),
        ("lease", in_frames(&[lease, Request::Lease { user, reader: Some(1) }, lease])),
        ("recover", in_frames(&[Request::Recover { user, stanzas: &stanzas }])),
        ("lock", in_frames(&[lease, Request::Lock { user: Some(user) }])),
        ("lock-all", in_frames(&[lease, Request::Lock { user: None }, lease])),
        ("status", in_frames(&[Request::Status { user: None, after: "" }])),
        ("status-of", in_frames(&[Request::Status { user: Some(user), after: "x" }])),
        ("stage", in_frames(&[Request::Stage { user, old: password, new: password }])),
        ("settle", in_frames(&[Request::Commit { id: [1; 16] }, Request::Abort { id: [2; 16] }])),
        ("app", in_frames(&[Request::App { user, password }])),
        ("enroll", in_frames(&[Request::Enroll { user: "bob", password }])),
        ("raw", raw(Request::Status { user: Some(user), after: "" })),
        ("long", b"R\x7f\xff\xff\xff".to_vec()),
    ]
}

#[test]
fn the_seeds_are_of_this_protocol() {
    for (name, seed) in made() {
        let path = folder(SEEDS).join(name);
        if std::env::var_os("NIGHTSAFE_WRITE_SEEDS").is_some() {
            fs::write(&path, &seed).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap_or_default(), seed, "{}", path.display());
    }
}

fn changed(seeds: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut text = seeds[numbers.below(seeds.len())].clone();
    for _ in 0..=numbers.below(6) {
        let at = 1 + numbers.below(text.len());
        let at = at.min(text.len());
        let end = (at + numbers.below(20)).min(text.len());
        match numbers.below(4) {
            0 => drop(text.drain(at..end)),
            1 if at < text.len() => text[at] = u8::try_from(numbers.below(256)).unwrap(),
            2 => {
                let piece = text[at..end].to_vec();
                drop(text.splice(at..at, piece));
            }
            _ => {
                // Another connection's frames behind these.
                let other = &seeds[numbers.below(seeds.len())];
                text.extend_from_slice(&other[1.min(other.len())..]);
            }
        }
        text.truncate(8000);
    }
    text
}

#[test]
fn every_frame_gets_one_reply_and_no_secret_comes_out() {
    let seeds = seeds(SEEDS, 8);
    seeds.iter().for_each(|seed| agent::check(seed));
    let mut numbers = Numbers(3);
    for _ in 0..20_000 {
        agent::check(&changed(&seeds, &mut numbers));
    }
}

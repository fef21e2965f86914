//! What the hook keeps of the mail that went through it: nothing. The test looks into the memory of
//! the running process, which only root can.

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use support::hook::{ALICE, BOB, Hooked};

/// In each header field, in the body, in the envelope.
const CANARIES: [&str; 5] =
    ["walnut-sender", "walnut-subject", "walnut-id", "walnut-text", "walnut-envelope"];
const SENDER: &str = "walnut-envelope@b.test";

#[test]
fn nothing_of_a_message_stays_in_memory() {
    assert!(rustix::process::geteuid().is_root(), "only root can look into another process");
    let mail = Hooked::new(Vec::new());
    let mut client = mail.client();
    // The process does hold a message while it has one.
    client.envelope(SENDER, &[ALICE]);
    client.ask("DATA", "354 ");
    client.send(message(1));
    let end = Instant::now() + Duration::from_secs(60);
    while !in_memory(mail.hook.pid()).contains(&"walnut-text") {
        assert!(Instant::now() < end, "the search finds nothing, not even what is there");
    }
    client.ask(".", "250 2.0.0 sealed");
    for lines in [1, 100, 40_000] {
        for recipient in [ALICE, BOB] {
            let replies = client.deliver(SENDER, &[recipient], message(lines).as_bytes());
            assert!(replies[0].starts_with("250 2.0.0"), "{replies:?}");
        }
    }
    let left = in_memory(mail.hook.pid());
    assert!(left.is_empty(), "still in memory: {left:?}");
}

fn message(lines: usize) -> String {
    let body = "the walnut-text goes on and on, and is not repeated by much\r\n".repeat(lines);
    format!(
        "From: <walnut-sender@b.test>\r\nSubject: =?utf-8?q?a_walnut-subject?=\r\n\
         Message-ID: <walnut-id@b.test>\r\n\r\n{body}"
    )
}

/// The canaries in whatever the process can write to.
fn in_memory(process: u32) -> Vec<&'static str> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let mut found = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
        let Some((start, end)) = range.split_once('-').filter(|_| rights.starts_with("rw")) else {
            continue;
        };
        let [start, end] = [start, end].map(|at| u64::from_str_radix(at, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        // A mapping may be gone meanwhile.
        let read = memory.read_at(&mut bytes, start).unwrap_or(0);
        bytes.truncate(read);
        for canary in CANARIES {
            if memchr::memmem::find(&bytes, canary.as_bytes()).is_some() {
                found.push(canary);
            }
        }
    }
    found
}

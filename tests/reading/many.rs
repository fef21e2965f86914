//! Several sessions of one user, and several commands at once.

use super::{Office, is_sealed};
use crate::site::canary::Canaries;
use crate::site::store::Store;
use crate::support::imap::Client;
use rustix::process::Signal;
use std::collections::BTreeSet;

fn append(client: &mut Client, name: &str) {
    client.append("INBOX", "", &Canaries::new(name).message()).good();
}

/// Whoever waits in IDLE is told what others append and expunge.
pub fn idle<S: Store>() {
    let office = Office::<S>::open(&["alice"]);
    let [mut waiting, mut busy] = [office.client("alice"), office.client("alice")];
    append(&mut busy, "before");
    waiting.command("SELECT INBOX").good();
    busy.command("SELECT INBOX").good();
    let tag = waiting.start("IDLE");
    waiting.until_asked();
    append(&mut busy, "during");
    let told = |client: &mut Client, word: &str| loop {
        let response = client.read().unwrap();
        if response.ends_with(word.as_bytes()) {
            return;
        }
    };
    told(&mut waiting, "2 EXISTS");
    busy.command("STORE 1 +FLAGS (\\Deleted)").good();
    busy.command("EXPUNGE").good();
    told(&mut waiting, "1 EXPUNGE");
    waiting.send(b"DONE\r\n").unwrap();
    assert_eq!(waiting.finish(&tag).status(), "OK");
    let left = waiting.command("FETCH 1:* BODY.PEEK[]").good().literals();
    assert_eq!(left, [Canaries::new("during").message()]);
}

/// One reads, one appends and one expunges, at the same time: numbers and contents always belong together.
pub fn sessions_at_once<S: Store>() {
    let office = Office::<S>::open(&["alice"]);
    let mut first = office.client("alice");
    for number in 0..40 {
        append(&mut first, &format!("old{number}x"));
    }
    first.command("SELECT INBOX").good();
    let [mut appending, mut expunging] = [office.client("alice"), office.client("alice")];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..40 {
                append(&mut appending, &format!("new{number}x"));
            }
        });
        scope.spawn(|| {
            expunging.command("SELECT INBOX").good();
            for uid in (1..=40).step_by(2) {
                expunging.command(format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)")).good();
                expunging.command(format!("UID EXPUNGE {uid}")).good();
            }
        });
        for _ in 0..30 {
            let answer =
                first.command("UID FETCH 1:40 (UID BODY.PEEK[HEADER.FIELDS (Subject)])").good();
            for response in answer.of("FETCH") {
                let text = String::from_utf8_lossy(response);
                let Some((_, rest)) = text.split_once("UID ") else { continue };
                let uid: usize = rest.split([' ', ')']).next().unwrap().parse().unwrap();
                if text.contains("Subject:") {
                    let own = format!("CanarySubjectold{}x", uid - 1);
                    assert!(text.contains(&own), "UID {uid}: {text}");
                }
            }
            first.command("NOOP").good();
        }
    });
    first.command("NOOP").good();
    let answer = first.command("FETCH 1:* BODY.PEEK[]").good();
    let found: BTreeSet<_> = answer.literals().into_iter().collect();
    let old = (0..40).filter(|number| number % 2 == 1).map(|number| format!("old{number}x"));
    let new = (0..40).map(|number| format!("new{number}x"));
    let expected: BTreeSet<_> = old.chain(new).map(|name| Canaries::new(&name).message()).collect();
    assert_eq!(found.len(), expected.len());
    assert!(found == expected, "other messages");
    assert!(office.store.inbox("alice").iter().all(|stored| is_sealed(stored)));
}

/// Many commands in one piece, as clients on telephones send them: each is answered.
pub fn pipelined<S: Store>() {
    let office = Office::<S>::open(&["alice"]);
    let mut client = office.client("alice");
    let message = Canaries::new("pipelined").message();
    let append = format!("APPEND INBOX {{{}+}}\r\n", message.len());
    let commands = [
        b"NOOP".to_vec(),
        [append.as_bytes(), &message].concat(),
        b"SELECT INBOX".to_vec(),
        b"UID FETCH 1:* (UID FLAGS)".to_vec(),
        b"UID FETCH 1:* (UID BODY.PEEK[])".to_vec(),
        b"UID SEARCH 1:* NOT DELETED".to_vec(),
        b"UID SEARCH SUBJECT CanarySubject".to_vec(),
        b"STATUS INBOX (MESSAGES)".to_vec(),
        b"UID STORE 1 +FLAGS (\\Seen)".to_vec(),
        b"UID FETCH 1 (BODYSTRUCTURE ENVELOPE)".to_vec(),
        b"NOOP".to_vec(),
    ];
    let mut all = Vec::new();
    for (index, command) in commands.iter().enumerate() {
        all.extend_from_slice(format!("p{index} ").as_bytes());
        all.extend_from_slice(command);
        all.extend_from_slice(b"\r\n");
    }
    client.send(&all).unwrap();
    let mut answered = BTreeSet::new();
    let mut bodies = 0;
    while answered.len() < commands.len() {
        let response = client.read().unwrap();
        if memchr::memmem::find(&response, &message).is_some() {
            bodies += 1;
        }
        if response.starts_with(b"p") {
            let text = String::from_utf8_lossy(&response).into_owned();
            let (tag, rest) = text.split_once(' ').unwrap();
            assert!(rest.starts_with("OK"), "{text}");
            assert!(answered.insert(tag.to_owned()), "{tag} is answered twice");
        }
    }
    assert_eq!(bodies, 1);
}

/// Partial after partial of one message make the message, which is opened once.
pub fn partials<S: Store>() {
    let office = Office::<S>::open(&["alice"]);
    let mut client = office.client("alice");
    let message = Canaries::new("partials").large_message(400_000);
    client.append("INBOX", "", &message).good();
    client.command("SELECT INBOX").good();
    let mut whole = Vec::new();
    for from in (0..message.len() + 65_536).step_by(65_536) {
        let answer = client.command(format!("UID FETCH 1 (UID BODY.PEEK[]<{from}.65536>)")).good();
        whole.extend(answer.literals().concat());
        // It was opened with the first of them: nobody asks the agent for its key again.
        office.reading.agent.signal(Signal::STOP);
    }
    office.reading.agent.signal(Signal::CONT);
    assert!(whole == message, "{} and not {} octets", whole.len(), message.len());
}

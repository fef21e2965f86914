//! What a client of `nightsafe imap` sees when something breaks: the end of the session, and never half an
//! answer, a notice in place of a message, or plaintext in the store.

mod site;
mod support;

use site::canary::Canaries;
use site::cyrus::Cyrus;
use site::dovecot::Dovecot;

use site::process::wait_for;
use site::proxy::Reading;
use site::store::Store;
use site::{Site, password};
use std::fs;
use std::sync::{Arc, Mutex};
use support::imap::{Answer, Client, Response};
use support::imap_stub::{Reaction, Stub, close, say};

const USER: &str = "alice";

fn login(port: u16) -> Client {
    Client::login(port, USER, &password(USER))
}

fn has(octets: &[u8], word: &str) -> bool {
    memchr::memmem::find(octets, word.as_bytes()).is_some()
}

/// The session ends with BYE and these words, after whole responses only; they are given back.
#[track_caller]
fn bye(client: &mut Client, words: &str) -> Vec<Response> {
    let mut responses = client.until_end();
    let last = responses.pop().expect("a word of farewell");
    let text = String::from_utf8_lossy(&last);
    assert!(text.starts_with("* BYE ") && text.contains(words), "{text}");
    let is_tagged = |response: &Response| !response.starts_with(b"* ");
    assert!(!responses.iter().any(is_tagged), "an end that is none");
    responses
}

/// The user is told what to do, and is shown nothing.
#[track_caller]
fn away(answer: &Answer, words: &str) {
    assert!(answer.tagged.starts_with(b"NO [UNAVAILABLE] "), "{answer}");
    let alert = answer.untagged.iter().find(|line| line.starts_with(b"NO [ALERT] "));
    let alert = String::from_utf8_lossy(alert.expect("an alert"));
    assert!(alert.contains(words), "{alert}");
    assert!(answer.of("FETCH").is_empty(), "{answer}");
}

/// A store that is killed while it answers.
fn dies_while_it_answers<S: Store>() {
    let site = Site::with_users(&[USER]);
    let mut store = S::open_with_duplicates(&site, &[USER]);
    let reading = Reading::start(&site, &store.imap_address());
    let mut client = login(reading.port());
    let message = Canaries::new("large").large_message(1 << 20);
    client.append("INBOX", "", &message).good();
    client.command("SELECT INBOX").good();
    for _ in 0..5 {
        client.command("COPY 1:* INBOX").good();
        client.command("NOOP").good();
    }
    // More than fits into all the sockets on the way, and nobody reads it yet.
    client.start("UID FETCH 1:* (UID FLAGS BODY.PEEK[])");
    let first = client.read().unwrap();
    assert!(first.starts_with(b"* 1 FETCH "));
    store.kill();
    let mut responses = bye(&mut client, "the mail store is gone");
    responses.push(first);
    assert!(responses.len() < 32, "all of it came");
    for response in responses {
        let literals = support::imap::literals(&response);
        assert!(literals.len() == 1 && literals[0] == message, "not the message");
    }
    let mut client = Client::connect(reading.port()).unwrap();
    let answer = client.command(format!("LOGIN {USER} \"{}\"", password(USER)));
    assert!(answer.tagged.starts_with(b"NO [UNAVAILABLE] "), "{answer}");
    store.up(&site);
    client.command(format!("LOGIN {USER} \"{}\"", password(USER))).good();
    client.command("SELECT INBOX").good();
}

#[test]
fn cyrus_dies_while_it_answers() {
    dies_while_it_answers::<Cyrus>();
}

#[test]
fn dovecot_dies_while_it_answers() {
    dies_while_it_answers::<Dovecot>();
}

/// What a store says before it hangs up, or says that no store says: the client's session ends, and what he
/// has been told by then is whole.
#[test]
fn broken_answers() {
    let plain = "* 1 FETCH (UID 1 FLAGS () BODY[] {18}\r\nSubject: x\r\n\r\nhi\r\n)\r\n";
    // The command, what the store says before it hangs up, and what the client hears.
    let table: &[(&str, &str, &str)] = &[
        ("UID FETCH 1:2 BODY.PEEK[]", "* 1 FETCH (UID 1 BODY[] {1000}\r\nSubject: ", "is gone"),
        ("UID FETCH 1:2 BODY.PEEK[]", "* 1 FETCH (UID 1 BODY[] {10", "is gone"),
        ("UID FETCH 1:2 BODY.PEEK[]", "", "is gone"),
        ("UID FETCH 1:2 ENVELOPE", "* 1 FETCH (UID 1 ENVELOPE (", "is gone"),
        ("UID FETCH 1 FLAGS", "* 1 FETCH (FLAGS (\\Seen", "is gone"),
        ("SEARCH SUBJECT x", "* SEARCH 1 2", "is gone"),
        ("LIST \"\" *", "* LIST () \"/\" {10}\r\nINB", "is gone"),
        ("NOOP", "* BYE restarting\r\n", "restarting"),
        ("UID FETCH 1 BODY.PEEK[]", "* BYE restarting\r\n", "is gone"),
        ("NOOP", "nonsense\r\n", "is gone"),
        ("NOOP", "\r\n", "is gone"),
        ("NOOP", "*\r\n", "is gone"),
        ("NOOP", "* 99999999999999999999 EXISTS\r\n", "is gone"),
        ("NOOP", "x999 OK of somebody else\r\n", "is gone"),
        ("NOOP", "* OK bare\n", "is gone"),
        ("UID FETCH 1 BODY.PEEK[]", "* 1 FETCH (UID 1 BODY[] {99999999999}\r\n", "is gone"),
        (
            "UID FETCH 1 BODY.PEEK[]",
            "* 1 FETCH (UID 1 BODY[] {18446744073709551615}\r\n",
            "is gone",
        ),
        ("UID FETCH 1 BODY.PEEK[]", "* 1 FETCH\r\n", "is gone"),
        ("UID FETCH 1 BODY.PEEK[]", "+ go on\r\n", "is gone"),
    ];
    let acts = Arc::new(Mutex::new((String::new(), String::new())));
    let acting = Arc::clone(&acts);
    let stub = Stub::start(move |_, asked| {
        let (name, says) = &*acting.lock().unwrap();
        if asked.starts_with(name) { close(says) } else { Reaction::Usual }
    });
    let site = Site::with_users(&[USER]);
    let reading = Reading::start(&site, &stub.address());
    for (command, says, words) in table {
        for before in ["", plain] {
            if !before.is_empty() && !command.contains("BODY") {
                continue;
            }
            let name = command.trim_start_matches("UID ").split(' ').next().unwrap();
            let name =
                if command.starts_with("UID ") { format!("UID {name}") } else { name.into() };
            *acts.lock().unwrap() = (name, format!("{before}{says}"));
            let mut client = login(reading.port());
            client.command("SELECT INBOX").good();
            client.start(command);
            let responses = bye(&mut client, words);
            let fetched: Vec<_> = responses.iter().filter(|line| has(line, " FETCH (")).collect();
            assert!(fetched.len() <= usize::from(!before.is_empty()), "{command} {says:?}");
            for response in fetched {
                assert_eq!([response, &b"\r\n"[..]].concat(), before.as_bytes());
            }
        }
    }
    // Others are served all the while.
    assert!(!site.system_log().contains("panicked"), "{}", site.system_log());
}

/// What no server says in answer to a FETCH, and says all the same: it is passed on or ends the session, and
/// the proxy is none the worse for it.
#[test]
fn odd_answers() {
    let odd = [
        "* 1 FETCH ()",
        "* 1 FETCH (UID 1)",
        "* 1 FETCH (UID 1 BODY[] NIL)",
        "* 1 FETCH (UID 1 BODY[] \"\")",
        "* 1 FETCH (UID 4294967296 BODY[] \"\")",
        "* 0 FETCH (UID 0 BODY[] \"x\")",
        "* 1 FETCH (UID 1 BODY[",
        "* 1 FETCH (UID 1 BODY[HEADER.FIELDS (",
        "* 1 FETCH (UID 1 BODY[HEADER.FIELDS (NIGHTSAFE-SIGNATURE SEALED-SUMMARY)] NIL BODY[2] NIL)",
        "* 1 FETCH (UID 1 BODY[HEADER.FIELDS (NIGHTSAFE-SIGNATURE SEALED-SUMMARY)] {26}\r\nNightsafe-Signature: v=1\r\n)",
        "* 1 FETCH (UID 1 BODY[] {24}\r\nNightsafe-Signature: x\r\n)",
        "* 1 FETCH (UID 1 BODYSTRUCTURE ((((((((((((((((((((",
        "* 1 FETCH (UID 1 FLAGS (\\Seen) FLAGS (\\Seen) UID 2 UID 3)",
        "* 4294967295 FETCH (UID 4294967295 FLAGS ())",
        "* 4294967296 FETCH (UID 1)",
        "* 1 EXPUNGE",
        "* 0 EXISTS",
        "* SEARCH 1 x 99999999999999999999",
        "* ESEARCH (TAG \"n99\") UID ALL 1:*",
        "* NAMESPACE (((((",
        "* OK [UIDVALIDITY x] {5} ",
        "* CAPABILITY",
        "* VANISHED (EARLIER) 1:4294967295",
        "* FETCH",
        "* LIST",
    ];
    let deep = format!("* 1 FETCH (UID 1 BODYSTRUCTURE {}", "(".repeat(100_000));
    let says = Arc::new(Mutex::new(String::new()));
    let saying = Arc::clone(&says);
    let stub = Stub::start(move |tag, asked| {
        let asks = ["UID FETCH", "FETCH", "SEARCH", "UID SEARCH", "NOOP", "UID COPY"];
        if asks.iter().any(|name| asked.starts_with(name)) {
            return say(format!("{}\r\n{tag} OK done\r\n", saying.lock().unwrap()));
        }
        Reaction::Usual
    });
    let site = Site::with_users(&[USER]);
    let reading = Reading::start(&site, &stub.address());
    let commands = [
        "UID FETCH 1:* BODY.PEEK[]",
        "UID FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE)",
        "FETCH 1:* BODY.PEEK[TEXT]<0.10>",
        "UID FETCH 1:* FLAGS",
        "SEARCH TEXT walnut",
        "UID SEARCH SUBJECT walnut",
        "NOOP",
        "CAPABILITY",
    ];
    for odd in odd.into_iter().chain([&*deep]) {
        odd.clone_into(&mut says.lock().unwrap());
        let mut client = None;
        for command in commands {
            let own = client.get_or_insert_with(|| {
                let mut client = login(reading.port());
                client.command("SELECT INBOX").good();
                client
            });
            let tag = own.start(command);
            let answered = loop {
                let Ok(response) = own.read() else { break false };
                if response.starts_with(tag.as_bytes()) {
                    break true;
                }
                if response.starts_with(b"* BYE ") {
                    break false;
                }
            };
            if !answered {
                client = None;
            }
        }
    }
    assert!(!site.system_log().contains("panicked"), "{}", site.system_log());
}

fn with_a_message(port: u16) -> (Client, Vec<u8>) {
    let mut client = login(port);
    let message = Canaries::new("inbox").message();
    client.append("INBOX", "", &message).good();
    client.command("SELECT INBOX").good();
    (client, message)
}

/// Folders can be seen, and nothing that lies in them.
#[track_caller]
fn sees_folders_only(client: &mut Client, words: &str) {
    assert!(!client.command("LIST \"\" *").good().of("LIST").is_empty());
    client.command("STATUS INBOX (MESSAGES)").good();
    away(&client.command("SELECT INBOX"), words);
    away(&client.command("EXAMINE INBOX"), words);
    let answer = client.command("UID FETCH 1:* BODY.PEEK[]");
    assert!(
        answer.status() != "OK" && !has(&answer.untagged.concat(), "sealed message"),
        "{answer}"
    );
}

#[track_caller]
fn reads(client: &mut Client, message: &[u8]) {
    client.command("SELECT INBOX").good();
    let answer = client.command("UID FETCH 1 BODY.PEEK[]").good();
    assert!(answer.literals() == [message], "{answer}");
}

#[test]
fn the_agent_dies() {
    let site = Site::with_users(&[USER]);
    let store = Dovecot::start(&site, &[USER]);
    let mut reading = Reading::start(&site, &store.imap_address());
    let (mut waiting, message) = with_a_message(reading.port());
    let mut idling = login(reading.port());
    reads(&mut idling, &message);
    idling.start("IDLE");
    idling.until_asked();
    reading.agent.kill();
    bye(&mut waiting, "your keys were locked");
    bye(&mut idling, "your keys were locked");

    let mut client = login(reading.port());
    sees_folders_only(&mut client, "the agent does not answer");
    reading.agent.up(&site);
    // Nobody has said the password to the new one.
    sees_folders_only(&mut client, "the agent does not answer");
    reads(&mut login(reading.port()), &message);
    // Now somebody has.
    reads(&mut client, &message);
}

#[test]
fn keys_are_locked() {
    let site = Site::with_users(&[USER]);
    let store = Cyrus::start(&site, &[USER, "bob"]);
    let reading = Reading::start(&site, &store.imap_address());
    let (mut waiting, message) = with_a_message(reading.port());
    let mut idling = login(reading.port());
    reads(&mut idling, &message);
    idling.start("IDLE");
    idling.until_asked();
    let mut other = Client::login(reading.port(), "bob", &password("bob"));
    reading.agent.lock(&site, USER);
    bye(&mut waiting, "log in again");
    bye(&mut idling, "log in again");
    other.command("SELECT INBOX").good();
    reads(&mut login(reading.port()), &message);
}

/// Somebody has set another password at the store, and not at nightsafe.
#[test]
fn passwords_differ() {
    let site = Site::with_users(&[USER]);
    let store = Dovecot::start(&site, &[USER]);
    let reading = Reading::start(&site, &store.imap_address());
    let (client, message) = with_a_message(reading.port());
    drop(client);
    reading.agent.lock(&site, USER);
    store.set_password(USER, "quite another one");
    let mut client = Client::login(reading.port(), USER, "quite another one");
    sees_folders_only(&mut client, "the password was changed without your keys");
    // What he stores is sealed all the same.
    client.append("INBOX", "", &Canaries::new("diverged").message()).good();
    assert_eq!(site.leaks(&Canaries::new("diverged")), []);
    let old = site.private_file("old", password(USER).as_bytes());
    let new = site.private_file("new", b"quite another one");
    let arguments = ["passwd", USER, "--password-file", &old, "--new-password-file", &new];
    site::success(&site.nightsafe(&arguments).output().unwrap());
    reads(&mut Client::login(reading.port(), USER, "quite another one"), &message);
}

/// Everything that may be in the way of sealing: nothing is stored then, unless policy lets it pass.
#[test]
fn what_cannot_be_sealed_is_not_stored() {
    let site = Site::with_users(&[USER]);
    let stub = Stub::start(|_, _| Reaction::Usual);
    let mut reading = Reading::start(&site, &stub.address());
    let (public, away) = (site.join("keys/public"), site.join("keys/public.away"));
    for policy in ["defer", "reject", "pass"] {
        let more = format!("[delivery]\nunenrolled = \"{policy}\"");
        reading.proxy.stop();
        reading.proxy.configure(&site, &stub.address(), &more);
        reading.proxy.up(&site);
        let canaries = Canaries::new(&format!("refused{policy}"));
        let mut client = login(reading.port());
        let mut bob = Client::login(reading.port(), "bob", "whatever");
        client.append("INBOX", "", b"Subject: sealed\r\n\r\nx\r\n").good();
        fs::rename(&public, &away).unwrap();
        // A key that was just looked at seals for a moment more.
        let refused = |client: &mut Client, what: &str| {
            wait_for(
                "a refusal",
                || what.to_owned(),
                || {
                    let answer = client.append("INBOX", "", &canaries.message());
                    answer.tagged.starts_with(b"NO [").then_some(())
                },
            );
            // One who does not wait to be asked is not told otherwise.
            let message = canaries.message();
            let command = format!("APPEND INBOX {{{}+}}\r\n", message.len());
            let answer = client.command([command.as_bytes(), &message].concat());
            assert!(answer.tagged.starts_with(b"NO ["), "{policy}, {what}: {answer}");
        };
        refused(&mut client, "no folder of keys");
        refused(&mut bob, "no folder of keys");
        // The place where a file system is to be mounted, and is not.
        fs::create_dir(&public).unwrap();
        site::mode(&public, 0o755);
        refused(&mut client, "an empty folder");
        refused(&mut bob, "an empty folder");
        fs::remove_dir(&public).unwrap();
        fs::rename(&away, &public).unwrap();
        if policy == "pass" {
            bob.append("INBOX", "", b"Subject: passed\r\n\r\nfor anybody\r\n").good();
            assert!(has(&stub.heard(), "for anybody"));
        } else {
            refused(&mut bob, "not enrolled");
        }
        client.append("INBOX", "", b"Subject: sealed\r\n\r\nx\r\n").good();
        let heard = site.private_file("heard", &stub.heard());
        assert_eq!(canaries.search(heard.as_ref(), &[]), [], "{policy}");
    }
    let heard = stub.heard();
    assert!(has(&heard, "Nightsafe-Signature") && !has(&heard, "Subject: sealed\r\n"));
}

/// Whoever hangs up in the middle of a message has stored nothing.
#[test]
fn the_client_vanishes() {
    let site = Site::with_users(&[USER]);
    let store = Dovecot::start(&site, &[USER]);
    let reading = Reading::start(&site, &store.imap_address());
    let canaries = Canaries::new("half");
    let message = canaries.message();
    for announced in ["{100000}", "{100000+}", "{100000+}\r\n", "{20000000+}\r\n"] {
        let mut client = login(reading.port());
        let tag = client.start(format!("APPEND INBOX (\\Seen) {announced}"));
        if !announced.contains('+') {
            client.until_asked();
        }
        client.send(&message).unwrap();
        drop((client, tag));
    }
    // In the middle of a command, and of a literal in one.
    for half in ["a SELECT IN", "a SELECT {5}\r\n", "a SELECT {5+}\r\nIN", "a IDLE\r\nDO"] {
        let mut client = login(reading.port());
        client.send(half.as_bytes()).unwrap();
    }
    reading.agent.wait_for_leases(&site, USER, 0);
    assert!(store.inbox(USER).is_empty());
    assert_eq!(site.leaks(&canaries), []);
    login(reading.port()).append("INBOX", "", &message).good();
    assert_eq!(store.inbox(USER).len(), 1);
    assert_eq!(site.leaks(&canaries), []);
}

/// A store that says nothing more: its client is told in the end, and others are served meanwhile.
#[test]
fn the_store_stalls() {
    let site = Site::with_users(&[USER]);
    let stub = Stub::start(|_, asked| match asked {
        "NOOP" => Reaction::Silence,
        _ if asked.starts_with("UID FETCH 1 ") => say("* 1 FETCH (UID 1 BODY[] {1000}\r\nSubj"),
        _ => Reaction::Usual,
    });
    let reading = Reading::start_with(&site, &stub.address(), "", "backend_timeout = 2");
    let mut stalled = ["NOOP", "UID FETCH 1 BODY.PEEK[]"].map(|command| {
        let mut client = login(reading.port());
        client.command("SELECT INBOX").good();
        client.start(command);
        client
    });
    login(reading.port()).command("SELECT INBOX").good();
    for client in &mut stalled {
        let said = bye(client, "the mail store is gone");
        assert!(said.is_empty(), "{said:?}");
    }
}

/// Somebody who takes nothing that he asked for keeps nobody else waiting.
#[test]
fn a_slow_client() {
    let site = Site::with_users(&[USER]);
    let store = Dovecot::start(&site, &[USER]);
    let reading = Reading::start(&site, &store.imap_address());
    let mut slow = login(reading.port());
    let message = Canaries::new("slow").large_message(1 << 20);
    slow.append("INBOX", "", &message).good();
    slow.command("SELECT INBOX").good();
    for _ in 0..4 {
        slow.command("COPY 1:* INBOX").good();
        slow.command("NOOP").good();
    }
    let tag = slow.start("UID FETCH 1:* BODY.PEEK[]");
    let mut typing = Client::connect(reading.port()).unwrap();
    for octet in format!("x LOGIN {USER} \"{}\"\r\n", password(USER)).bytes() {
        typing.send(&[octet]).unwrap();
    }
    while !typing.read().unwrap().starts_with(b"x OK ") {}
    let mut other = login(reading.port());
    other.command("SELECT INBOX").good();
    assert!(other.command("UID FETCH 1 BODY.PEEK[]").good().literals() == [message.as_slice()]);
    let answer = slow.finish(&tag).good();
    assert!(answer.literals().iter().all(|own| *own == message) && answer.literals().len() == 16);
}

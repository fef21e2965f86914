//! Several sessions at `nightsafe imap`: of one user, who changes his mailboxes in all of them, and of users
//! who share mailboxes.

mod site;
mod support;

use site::canary::Canaries;
use site::cyrus::Cyrus;
use site::dovecot::Dovecot;
use site::process::wait_for;
use site::proxy::Reading;
use site::store::Store;
use site::{Site, password, success};
use std::collections::HashMap;
use std::thread;
use support::imap::{Answer, Client, literals};

const USER: &str = "alice";

fn login(port: u16, user: &str) -> Client {
    Client::login(port, user, &password(user))
}

fn has(octets: &[u8], word: &str) -> bool {
    memchr::memmem::find(octets, word.as_bytes()).is_some()
}

fn letter(subject: &str) -> Vec<u8> {
    format!("From: carol@example.net\r\nSubject: {subject}\r\n\r\nAbout {subject}.\r\n")
        .into_bytes()
}

/// The number behind a word, as in `UID 7`.
fn number_after(response: &[u8], word: &str) -> Option<u32> {
    let text = String::from_utf8_lossy(response);
    let rest = text.split_once(word)?.1;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The UID that an APPEND was answered with.
fn appended(answer: &Answer) -> u32 {
    let code = answer.code("APPENDUID").unwrap_or_else(|| panic!("no APPENDUID: {answer}"));
    code.split(' ').nth(1).unwrap().parse().unwrap()
}

/// One session that keeps count of its mailbox, as a client does.
struct Counting {
    client: Client,
    messages: u32,
    /// What was fetched, by UID.
    seen: Vec<(u32, Vec<u8>)>,
}

impl Counting {
    fn new(port: u16) -> Self {
        let mut own = Self { client: login(port, USER), messages: 0, seen: Vec::new() };
        own.run("SELECT INBOX");
        own
    }

    fn run(&mut self, command: &str) -> Answer {
        let answer = self.client.command(command);
        self.count(&answer);
        answer.good()
    }

    fn count(&mut self, answer: &Answer) {
        for response in &answer.untagged {
            let text = String::from_utf8_lossy(response);
            let mut words = text.split([' ', '\r']);
            let Some(number) = words.next().and_then(|word| word.parse::<u32>().ok()) else {
                continue;
            };
            match words.next().unwrap_or_default() {
                "EXISTS" => self.messages = number,
                "EXPUNGE" => {
                    assert!((1..=self.messages).contains(&number), "{text}");
                    self.messages -= 1;
                }
                "FETCH" => {
                    assert!((1..=self.messages).contains(&number), "{text}");
                    if let ([whole], Some(uid)) =
                        (&*literals(response), number_after(response, "UID "))
                    {
                        self.seen.push((uid, whole.clone()));
                    }
                }
                _ => {}
            }
        }
    }
}

/// Two sessions append, look and delete at a time; each message is what was appended under its UID.
fn at_once<S: Store>() {
    let site = Site::with_users(&[USER]);
    let store = S::open_with_duplicates(&site, &[USER]);
    let reading = Reading::start(&site, &store.imap_address());
    let port = reading.port();
    let work = |name: &'static str| {
        thread::spawn(move || {
            let mut own = Counting::new(port);
            let mut sent = Vec::new();
            for round in 0..15 {
                let message = letter(&format!("{name}-{round}"));
                let answer = own.client.append("INBOX", "", &message).good();
                own.count(&answer);
                sent.push((appended(&answer), message));
                own.run("UID FETCH 1:* (UID FLAGS BODY.PEEK[])");
                own.run("UID FETCH 1:* (UID ENVELOPE RFC822.SIZE)");
                if own.messages > 0 {
                    own.run("FETCH 1:* (UID BODY.PEEK[])");
                }
                own.run(&format!("UID SEARCH SUBJECT {name}"));
                if round % 3 == 2 {
                    let (uid, _) = sent[sent.len() - 2];
                    own.run(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"));
                    own.run("EXPUNGE");
                }
            }
            own.run("NOOP");
            (own, sent)
        })
    };
    let [(mut first, sent), (second, others)] =
        [work("first"), work("second")].map(|worker| worker.join().unwrap());
    let sent: HashMap<u32, Vec<u8>> = sent.into_iter().chain(others).collect();
    assert_eq!(sent.len(), 30, "a UID for each");
    for (uid, seen) in first.seen.iter().chain(&second.seen) {
        assert!(sent[uid] == *seen, "{uid}: {}", seen.escape_ascii());
    }
    // What the other one did last.
    first.run("NOOP");
    let answer = first.run("UID FETCH 1:* BODY.PEEK[]");
    assert_eq!(answer.of("FETCH").len(), 20);
    assert_eq!(store.inbox(USER).len(), 20);
}

#[test]
fn at_once_before_cyrus() {
    at_once::<Cyrus>();
}

#[test]
fn at_once_before_dovecot() {
    at_once::<Dovecot>();
}

/// Whoever idles is told at once what another session does.
fn idling<S: Store>() {
    let site = Site::with_users(&[USER]);
    let store = S::open(&site, &[USER]);
    let reading = Reading::start(&site, &store.imap_address());
    let mut idle = login(reading.port(), USER);
    idle.command("SELECT INBOX").good();
    let tag = idle.start("IDLE");
    idle.until_asked();
    let until = |idle: &mut Client, wanted: &str| {
        loop {
            let response = idle.read().unwrap();
            if response == wanted.as_bytes() {
                break;
            }
            assert!(response.starts_with(b"* "), "{}", response.escape_ascii());
        }
    };
    let mut other = login(reading.port(), USER);
    other.append("INBOX", "", &letter("one")).good();
    until(&mut idle, "* 1 EXISTS");
    other.append("INBOX", "", &letter("two")).good();
    until(&mut idle, "* 2 EXISTS");
    other.command("SELECT INBOX").good();
    other.command("STORE 1 +FLAGS.SILENT (\\Deleted)").good();
    other.command("EXPUNGE").good();
    until(&mut idle, "* 1 EXPUNGE");
    idle.send(b"DONE\r\n").unwrap();
    idle.finish(&tag).good();
    let answer = idle.command("FETCH 1 BODY.PEEK[]").good();
    assert_eq!(answer.literals(), [letter("two")]);
}

#[test]
fn idling_before_cyrus() {
    idling::<Cyrus>();
}

#[test]
fn idling_before_dovecot() {
    idling::<Dovecot>();
}

/// Many commands in one write, some with literals: each is answered, in turn.
fn pipelined<S: Store>() {
    let site = Site::with_users(&[USER]);
    let store = S::open_with_duplicates(&site, &[USER]);
    let reading = Reading::start(&site, &store.imap_address());
    let mut client = login(reading.port(), USER);
    let message = Canaries::new("pipe").message();
    client.append("INBOX", "", &message).good();
    client.command("SELECT INBOX").good();
    let append =
        [format!("APPEND INBOX (\\Seen) {{{}+}}\r\n", message.len()).as_bytes(), &message].concat();
    let commands: [&[u8]; 12] = [
        b"NOOP",
        b"UID FETCH 1:* (FLAGS)",
        b"UID FETCH 1:* (UID ENVELOPE BODYSTRUCTURE RFC822.SIZE)",
        b"UID FETCH 1 (BODY.PEEK[])",
        b"UID SEARCH SUBJECT Canary",
        &append,
        b"STATUS {5+}\r\nINBOX (MESSAGES UIDNEXT)",
        b"UID FETCH 1 (BODY.PEEK[TEXT]<0.20>)",
        b"IDLE\r\nDONE",
        b"NO-SUCH-COMMAND x",
        b"UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])",
        b"NOOP",
    ];
    for round in 0..5 {
        let mut all = Vec::new();
        for (index, command) in commands.iter().enumerate() {
            all.extend_from_slice(format!("p{round}x{index} ").as_bytes());
            all.extend_from_slice(command);
            all.extend_from_slice(b"\r\n");
        }
        // In one write, in two, and octet by octet.
        match round {
            0 => client.send(&all).unwrap(),
            4 => all.iter().for_each(|octet| client.send(&[*octet]).unwrap()),
            _ => all.chunks(all.len() / round + 1).for_each(|some| client.send(some).unwrap()),
        }
        let mut tags = Vec::new();
        let mut messages = 0;
        while tags.len() < commands.len() {
            let response = client.read().unwrap();
            let text = String::from_utf8_lossy(&response).into_owned();
            if text.starts_with("* ") || text.starts_with('+') {
                messages += usize::from(literals(&response).contains(&message));
                continue;
            }
            let (tag, rest) = text.split_once(' ').unwrap();
            let is_wrong = tag == format!("p{round}x9");
            assert!(rest.starts_with(if is_wrong { "BAD" } else { "OK" }), "{text}");
            tags.push(tag.to_owned());
        }
        let expected: Vec<_> =
            (0..commands.len()).map(|index| format!("p{round}x{index}")).collect();
        assert_eq!(tags, expected);
        assert_eq!(messages, 1, "round {round}");
    }
}

#[test]
fn pipelined_before_cyrus() {
    pipelined::<Cyrus>();
}

#[test]
fn pipelined_before_dovecot() {
    pipelined::<Dovecot>();
}

#[track_caller]
fn refused(answer: &Answer) {
    assert!(answer.tagged.starts_with(b"NO [CANNOT] "), "{answer}");
}

/// What is sealed stays with its owner; what is plain may lie where others read it.
#[test]
fn shared_mailboxes() {
    let site = Site::with_users(&[USER, "bob"]);
    let cyrus = Cyrus::start_with(&site, &[USER, "bob", "carol"], "duplicatesuppression: no\n");
    cyrus.add_shared("team", &[USER, "bob", "carol"]);
    cyrus.add_folder("bob", "open");
    cyrus.share("user/bob/open", &[USER, "carol"]);
    let more = "[delivery]\nunenrolled = \"pass\"";
    let reading = Reading::start_with(&site, &cyrus.imap_address(), "", more);
    let port = reading.port();
    let canaries = Canaries::new("shared");
    let message = canaries.message();
    let mut alice = login(port, USER);
    let spaces = alice.command("NAMESPACE").good();
    assert!(has(&spaces.untagged.concat(), "Other Users/"), "{spaces}");
    alice.append("INBOX", "", &message).good();
    // One that is not sealed, as from before nightsafe.
    let mut direct = login(cyrus.imap_port(), USER);
    direct.append("INBOX", "", &letter("plain")).good();
    alice.command("CREATE mine").good();
    alice.command("SELECT INBOX").good();
    for there in ["\"Shared Folders/team\"", "\"Other Users/bob/open\""] {
        for command in ["COPY 1", "MOVE 1", "UID COPY 1:*", "UID MOVE 1:*", "COPY 1:2"] {
            refused(&alice.command(format!("{command} {there}")));
        }
        refused(&alice.append(there, "", &message));
        let literal = there.trim_matches('"');
        let append = format!("APPEND {{{}}}\r\n{literal} ", literal.len());
        let size = format!("{{{}}}\r\n", message.len());
        refused(&alice.command([append.as_bytes(), size.as_bytes(), &message].concat()));
        refused(&alice.command(format!("COPY 1 {{{}}}\r\n{literal}", literal.len())));
        refused(&alice.command(format!("COPY 1 {}", there.to_uppercase())));
        alice.command(format!("COPY 2 {there}")).good();
        alice.command(format!("UID COPY 2 {there}")).good();
    }
    refused(&alice.command("RENAME mine \"Shared Folders/team/mine\""));
    refused(&alice.command("RENAME mine \"Other Users/bob/open/mine\""));
    assert_eq!(alice.command("SEARCH ALL").good().of("SEARCH")[0], b"SEARCH 1 2");

    // Somebody whose mail is not sealed has nothing that could not lie there.
    let mut carol = login(port, "carol");
    carol.append("\"Shared Folders/team\"", "", &letter("of carol's")).good();

    let mut bob = login(port, "bob");
    bob.command("SELECT \"Shared Folders/team\"").good();
    let answer = bob.command("UID FETCH 1:* BODY.PEEK[]").good();
    assert_eq!(answer.literals(), [letter("plain"), letter("plain"), letter("of carol's")]);
    bob.append("INBOX", "", &letter("of bob's")).good();

    // Bob's sealed mail lies where alice reads: she sees what is stored, whatever she asks for.
    bob.append("open", "", &letter("secret of bob's")).good();
    alice.command("SELECT \"Other Users/bob/open\"").good();
    bob.command("SELECT open").good();
    for _ in 0..2 {
        let own = bob.command("UID FETCH 3 (BODY.PEEK[] ENVELOPE)").good();
        assert!(
            own.literals() == [letter("secret of bob's")]
                && has(&own.untagged.concat(), "secret of")
        );
        let seen = alice.command("UID FETCH 3 (ENVELOPE RFC822.SIZE)").good();
        assert!(has(&seen.untagged.concat(), "Sealed message"), "{seen}");
        for item in
            ["BODY.PEEK[]", "BODY.PEEK[TEXT]", "BODY.PEEK[1]", "BODY.PEEK[HEADER]", "RFC822"]
        {
            let answer = alice.command(format!("UID FETCH 3 ({item})")).good();
            assert_eq!(answer.of("FETCH").len(), 1, "{item}: {answer}");
            assert!(!has(&answer.untagged.concat(), "secret of"), "{item}: {answer}");
        }
        let found = alice.command("SEARCH TEXT secret").good();
        assert_eq!(found.of("SEARCH")[0].trim_ascii(), b"SEARCH");
    }
    drop((alice, bob, carol, direct));
    assert_eq!(site.leaks(&canaries), []);
}

/// Keys that are changed while somebody is logged in: what is sealed to the new ones is not shown as a notice.
#[test]
fn keys_change_meanwhile() {
    let site = Site::with_users(&[USER]);
    let store = Dovecot::start(&site, &[USER]);
    let reading = Reading::start(&site, &store.imap_address());
    let mut client = login(reading.port(), USER);
    client.append("INBOX", "", &letter("before")).good();
    let secret = site.private_file("alice.password", password(USER).as_bytes());
    success(&site.nightsafe(&["rotate", USER, "--password-file", &secret]).output().unwrap());
    wait_for("the new key", String::new, || {
        client.append("INBOX", "", &letter("after")).good();
        client.command("SELECT INBOX").good();
        for ask in ["UID FETCH * (UID ENVELOPE)", "UID FETCH * (BODY.PEEK[])", "SEARCH TEXT after"]
        {
            let tag = client.start(ask);
            loop {
                let Ok(response) = client.read() else { return Some(()) };
                let text = String::from_utf8_lossy(&response);
                assert!(!text.contains("Sealed message"), "{text}");
                if text.starts_with(&tag) {
                    break;
                }
                if text.starts_with("* BYE ") {
                    assert!(text.contains("your keys have changed; log in again"), "{text}");
                    return Some(());
                }
            }
        }
        None
    });
    let mut client = login(reading.port(), USER);
    client.command("SELECT INBOX").good();
    let answer = client.command("UID FETCH 1:* BODY.PEEK[]").good();
    let all = answer.literals();
    assert!(all.len() >= 2 && all[0] == letter("before"));
    assert!(all[1..].iter().all(|message| *message == letter("after")), "{answer}");
}

/// Somebody who gets keys while he is logged in without any.
#[test]
fn keys_come_meanwhile() {
    let site = Site::with_users(&[USER]);
    let store = Dovecot::start(&site, &[USER, "carol"]);
    let more = "[delivery]\nunenrolled = \"pass\"";
    let reading = Reading::start_with(&site, &store.imap_address(), "", more);
    let mut carol = login(reading.port(), "carol");
    carol.append("INBOX", "", &letter("plain")).good();
    carol.command("SELECT INBOX").good();
    assert_eq!(carol.command("UID FETCH 1 BODY.PEEK[]").good().literals(), [letter("plain")]);
    site.enroll("carol");
    carol.append("INBOX", "", &letter("sealed")).good();
    let answer = carol.command("UID FETCH 1:* BODY.PEEK[]");
    assert!(answer.tagged.starts_with(b"NO [UNAVAILABLE] "), "{answer}");
    assert!(has(&answer.untagged.concat(), "log in again"), "{answer}");
    let mut again = login(reading.port(), "carol");
    again.command("SELECT INBOX").good();
    let all = [letter("plain"), letter("sealed")];
    assert_eq!(again.command("UID FETCH 1:* BODY.PEEK[]").good().literals(), all);
    // With the keys there, the first session goes on.
    assert_eq!(carol.command("UID FETCH 1:* BODY.PEEK[]").good().literals(), all);
}

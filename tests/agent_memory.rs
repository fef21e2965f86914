//! What the agent's memory holds of a user: keys while somebody reads, and nothing after. No other
//! process ever holds any of it.

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use nightsafe::age::{FileKey, SecretKey, Wrapped, wrap};
use nightsafe::agent::protocol::{
    ANSWER_BYTES, MAX_STANZAS, Password, Reply, Request, STANZA_BYTES,
};
use nightsafe::keys::RootKey;
use nightsafe::keys::record::Record;
use nightsafe::secret::Secret;
use nightsafe::user::User;
use support::Site;
use support::agent::{Agent, PATIENCE, by_hand, confirmed, settings, unlocked};
use support::memory::{dump, holds, holds_key};

const ALICE: &str = "alice@example.org";
const PASSWORD: &[u8] = b"walnut-marzipan-0815";
const NEW_PASSWORD: &[u8] = b"hazelnut-nougat-4711";

/// Something to run after a write, so that there is a process that runs it.
const AFTER_WRITE: &str = "after_write = [\"test\", \"-s\"]";

/// What must not be left.
struct Secrets {
    private: Vec<SecretKey>,
    record: Record,
    content: Vec<FileKey>,
}

impl Secrets {
    fn of(site: &Site, password: &[u8]) -> Self {
        let identity = site.identity(ALICE, password).good().text();
        let lines = identity.lines().filter(|line| line.starts_with("AGE-SECRET-KEY-1"));
        let private = lines.map(|line| SecretKey::parse(line).unwrap()).collect();
        let record = std::fs::read(site.private(ALICE)).unwrap();
        let record = Record::parse(&User::parse(ALICE).unwrap(), &record).unwrap();
        let content = (0..200).map(|_| FileKey::random()).collect();
        Self { private, record, content }
    }

    fn stanzas(&self) -> Vec<u8> {
        let public = self.private[0].public_key();
        let wrapped = self.content.iter().map(|key| wrap(key, &public).unwrap());
        wrapped.flat_map(|stanza| Wrapped::of(&stanza).unwrap().unwrap().0).collect()
    }

    fn root_is_in(&self, dump: &[Vec<u8>]) -> bool {
        let is_root = |window: &[u8; 32]| {
            self.record.is_under(&RootKey::from(Secret::copy_of(window).unwrap()))
        };
        holds_key(dump, is_root)
    }

    /// What of it there is.
    fn found_in(&self, dump: &[Vec<u8>]) -> Vec<&'static str> {
        let mut found = Vec::new();
        // Without the octets whose bits are clamped for use (RFC 7748 section 5).
        if self.private.iter().any(|key| holds(dump, &key.expose()[1..31])) {
            found.push("private key");
        }
        if [PASSWORD, NEW_PASSWORD].iter().any(|password| holds(dump, password)) {
            found.push("password");
        }
        if self.content.iter().any(|key| holds(dump, key.expose())) {
            found.push("content key");
        }
        if self.root_is_in(dump) {
            found.push("root key");
        }
        found
    }
}

fn site(more: &str) -> Site {
    let site = Site::new();
    site.configure(AFTER_WRITE, &settings(&site, more));
    site
}

fn children(pid: u32) -> Vec<u32> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    listed.split_ascii_whitespace().map(|child| child.parse().unwrap()).collect()
}

#[test]
fn nothing_is_left_after_the_last_lease() {
    let site = site("linger = 1");
    site.enroll(ALICE, PASSWORD).good();
    let secrets = Secrets::of(&site, PASSWORD);
    let agent = Agent::start(&site);
    let mut client = agent.client();
    unlocked(client.ask(&confirmed(ALICE, PASSWORD, true)).unwrap());
    // The search does find what is there.
    assert_eq!(secrets.found_in(&dump(agent.pid())), ["private key"]);
    for _ in 0..3 {
        let stanzas = secrets.stanzas();
        let asked = client.ask(&Request::Recover { user: ALICE, stanzas: &stanzas }).unwrap();
        assert!(matches!(asked, Reply::Keys(_)));
        unlocked(agent.ask(&confirmed(ALICE, PASSWORD, false)));
    }
    for guess in [NEW_PASSWORD, b"walnut-marzipan-0816"] {
        assert_eq!(agent.ask(&by_hand(ALICE, guess, false)), Reply::Wrong);
    }
    assert_eq!(secrets.found_in(&dump(agent.pid())), ["private key"]);
    drop(client);
    agent.wait_until_locked(ALICE);
    assert_eq!(secrets.found_in(&dump(agent.pid())), Vec::<&str>::new());
}

#[test]
fn a_password_change_leaves_nothing_either() {
    let site = site("linger = 0");
    site.enroll(ALICE, PASSWORD).good();
    let agent = Agent::start(&site);
    for (is_committed, old, new) in
        [(false, PASSWORD, NEW_PASSWORD), (true, PASSWORD, NEW_PASSWORD)]
    {
        let stage = Request::Stage { user: ALICE, old: Password(old), new: Password(new) };
        let Reply::Staged { id } = agent.ask(&stage) else { panic!("not staged") };
        // What is staged holds the root key, so the search does find one.
        let secrets = Secrets::of(&site, old);
        assert_eq!(secrets.found_in(&dump(agent.pid())), ["root key"]);
        let settled = if is_committed { Request::Commit { id } } else { Request::Abort { id } };
        assert_eq!(agent.ask(&settled), Reply::Done);
        assert_eq!(secrets.found_in(&dump(agent.pid())), Vec::<&str>::new());
    }
    unlocked(agent.ask(&confirmed(ALICE, NEW_PASSWORD, false)));
    agent.wait_until_locked(ALICE);
    let secrets = Secrets::of(&site, NEW_PASSWORD);
    assert_eq!(secrets.found_in(&dump(agent.pid())), Vec::<&str>::new());
}

#[test]
fn a_first_login_leaves_nothing_either() {
    let site = site("linger = 0\nenroll_at_login = true");
    let agent = Agent::start(&site);
    let enroll = Request::Enroll { user: ALICE, password: Password(PASSWORD) };
    unlocked(agent.ask(&enroll));
    agent.wait_until_locked(ALICE);
    let secrets = Secrets::of(&site, PASSWORD);
    assert_eq!(secrets.found_in(&dump(agent.pid())), Vec::<&str>::new());
}

#[test]
fn a_password_is_there_only_while_it_is_tried() {
    let site = site("linger = 0");
    site.enroll(ALICE, PASSWORD).good();
    let agent = Agent::start(&site);
    for guess in 0..9 {
        let guess = format!("wrong {guess}");
        assert_eq!(agent.ask(&by_hand(ALICE, guess.as_bytes(), false)), Reply::Wrong);
    }
    // So many wrong ones make the right one wait, and meanwhile the search finds it.
    let mut client = agent.client();
    let waiting = thread::spawn(move || client.ask(&by_hand(ALICE, PASSWORD, false)).unwrap());
    let end = Instant::now() + PATIENCE;
    while !holds(&dump(agent.pid()), PASSWORD) {
        assert!(Instant::now() < end && !waiting.is_finished(), "the search finds nothing");
    }
    unlocked(waiting.join().unwrap());
    agent.wait_until_locked(ALICE);
    let secrets = Secrets::of(&site, PASSWORD);
    assert_eq!(secrets.found_in(&dump(agent.pid())), Vec::<&str>::new());
}

#[test]
fn content_keys_are_there_only_while_they_are_handed_on() {
    let site = site("linger = 0");
    site.enroll(ALICE, PASSWORD).good();
    let secrets = Secrets::of(&site, PASSWORD);
    let agent = Agent::start(&site);
    let mut reader = UnixStream::connect(site.join("agent")).unwrap();
    let mut tell = |request: &Request<'_>| {
        reader.write_all(request.to_frame().unwrap().expose()).unwrap();
        reader.try_clone().unwrap()
    };
    let answer = read_frame(&mut tell(&confirmed(ALICE, PASSWORD, true)));
    unlocked(Reply::parse(&answer).unwrap());
    // More of an answer than a socket takes, so that the rest of it waits in the agent until it is read.
    let once = secrets.stanzas();
    let stanzas = once.repeat(MAX_STANZAS * STANZA_BYTES / once.len());
    let mut reader = tell(&Request::Recover { user: ALICE, stanzas: &stanzas });
    let end = Instant::now() + PATIENCE;
    while !secrets.found_in(&dump(agent.pid())).contains(&"content key") {
        assert!(Instant::now() < end, "the search finds nothing");
    }
    let answer = read_frame(&mut reader);
    let Reply::Keys(keys) = Reply::parse(&answer).unwrap() else { panic!("no keys") };
    assert_eq!(keys.expose().len() / ANSWER_BYTES, stanzas.len() / STANZA_BYTES);
    reader.shutdown(Shutdown::Both).unwrap();
    agent.wait_until_locked(ALICE);
    assert_eq!(secrets.found_in(&dump(agent.pid())), Vec::<&str>::new());
}

/// An answer as it comes, without its length.
fn read_frame(stream: &mut UnixStream) -> Vec<u8> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(head) as usize];
    stream.read_exact(&mut frame).unwrap();
    frame
}

#[test]
fn no_other_process_holds_anything() {
    let site = site("linger = 100000");
    site.enroll(ALICE, PASSWORD).good();
    let secrets = Secrets::of(&site, PASSWORD);
    let agent = Agent::start(&site);
    let hook = support::hook::lmtp(&site, "unix:/nowhere", "");
    site.configure(AFTER_WRITE, &format!("{}{hook}", settings(&site, "")));
    let lmtp = support::hook::Hook::start(&site);
    let password = site.file("password", PASSWORD);
    let mut command = site.command(["unlock", ALICE, "--hold", "--password-file", &password]);
    let mut holder = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    // The same from standard input, where std has a buffer of its own.
    let mut command = site.command(["unlock", ALICE, "--hold", "--password-file", "-"]);
    let input = std::fs::File::open(&password).unwrap();
    let mut second = command.stdin(input).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(second.stdout.take().unwrap()).read_line(&mut line).unwrap();
    agent.wait(ALICE, |status| status.leases == 2);

    let runner = children(agent.pid());
    assert_eq!(runner.len(), 1, "the process that runs after_write");
    let others = [lmtp.pid(), holder.id(), second.id(), runner[0]];
    for pid in others {
        let name = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
        assert!(Path::new(&name).ends_with("nightsafe"), "{name:?}");
        assert_eq!(secrets.found_in(&dump(pid)), Vec::<&str>::new(), "{name:?} {pid}");
    }
    assert_eq!(secrets.found_in(&dump(agent.pid())), ["private key"]);
    for holder in [&mut holder, &mut second] {
        holder.kill().unwrap();
        holder.wait().unwrap();
    }
    agent.wait(ALICE, |status| status.leases == 0);
}

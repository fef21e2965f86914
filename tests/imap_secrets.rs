//! What `nightsafe imap` holds of its users: no password, no key, and of their mail only what they look at,
//! for as long as they are logged in and a moment more.

mod site;
mod support;

use nightsafe::age::{FileKey, Wrapped};
use nightsafe::age::{SecretKey, wrap};
use nightsafe::agent::client::Client as AgentClient;
use nightsafe::agent::protocol::{Reply, Request};
use nightsafe::keys::RootKey;
use nightsafe::keys::record::Record;
use nightsafe::secret::Secret;
use nightsafe::user::User;
use site::canary::{Canaries, base64};
use site::cyrus::Cyrus;
use site::dovecot::Dovecot;
use site::process::{PATIENCE, wait_for};
use site::proxy::Reading;
use site::store::Store;
use site::{Site, password};
use std::fs;
use support::imap::Client;
use support::memory::{dump, holds, holds_key};

const USER: &str = "alice";
const PLACES: [&str; 4] = ["Subject", "From", "Body", "Nested"];

fn login(port: u16, user: &str) -> Client {
    Client::login(port, user, &password(user))
}

/// Everything that opens a user's mail.
struct Secrets {
    user: &'static str,
    private: Vec<SecretKey>,
    record: Record,
}

impl Secrets {
    fn of(site: &Site, user: &'static str) -> Self {
        let identity = fs::read_to_string(site.identity(user)).unwrap();
        let lines = identity.lines().filter(|line| line.starts_with("AGE-SECRET-KEY-1"));
        let private: Vec<_> = lines.map(|line| SecretKey::parse(line).unwrap()).collect();
        assert!(!private.is_empty());
        let record = fs::read(site.join("keys/private").join(user)).unwrap();
        let record = Record::parse(&User::parse(user).unwrap(), &record).unwrap();
        Self { user, private, record }
    }

    fn found_in(&self, dump: &[Vec<u8>]) -> Vec<&'static str> {
        let mut found = Vec::new();
        // Without the octets whose bits are clamped for use (RFC 7748 section 5).
        if self.private.iter().any(|key| holds(dump, &key.expose()[1..31])) {
            found.push("private key");
        }
        let password = password(self.user);
        let plain = format!("\0{}\0{password}", self.user);
        let forms = [password.clone(), base64(plain.as_bytes()), base64(password.as_bytes())];
        if forms.iter().any(|form| holds(dump, form.as_bytes())) {
            found.push("password");
        }
        let is_root = |window: &[u8; 32]| {
            self.record.is_under(&RootKey::from(Secret::copy_of(window).unwrap()))
        };
        if holds_key(dump, is_root) {
            found.push("root key");
        }
        found
    }
}

fn words(canaries: &Canaries, dump: &[Vec<u8>]) -> Vec<&'static str> {
    let is_there = |place: &&&str| holds(dump, canaries.word(place).as_bytes());
    PLACES.iter().filter(is_there).copied().collect()
}

/// Logs in in every way there is, reads, and writes.
fn work(port: u16, canaries: &Canaries) -> Client {
    let mut client = login(port, USER);
    client.append("INBOX", "", &canaries.message()).good();
    client.command("SELECT INBOX").good();
    client.command("UID FETCH 1:* (ENVELOPE BODYSTRUCTURE RFC822.SIZE)").good();
    client.command("UID FETCH 1 BODY.PEEK[]").good();
    client.command("UID FETCH 1 (BODY.PEEK[2]<0.10>)").good();
    client.command("SEARCH TEXT Canary").good();
    let plain = base64(format!("\0{USER}\0{}", password(USER)).as_bytes());
    let mut second = Client::connect(port).unwrap();
    second.command(format!("AUTHENTICATE PLAIN {plain}")).good();
    let mut third = Client::connect(port).unwrap();
    let tag = third.start("AUTHENTICATE LOGIN");
    for line in [USER, &password(USER)] {
        third.until_asked();
        third.send(format!("{}\r\n", base64(line.as_bytes())).as_bytes()).unwrap();
    }
    third.finish(&tag).good();
    let mut fourth = Client::connect(port).unwrap();
    let length = password(USER).len();
    fourth.command(format!("LOGIN {USER} {{{length}}}\r\n{}", password(USER))).good();
    client
}

fn compromised<S: Store>() {
    let site = Site::with_users(&[USER]);
    let secrets = Secrets::of(&site, USER);
    let store = S::open_with_duplicates(&site, &[USER]);
    let reading = Reading::start_with(&site, &store.imap_address(), "linger = 1", "");
    let (port, proxy) = (reading.port(), reading.proxy.id());
    let canaries = Canaries::new("memory");
    let client = work(port, &canaries);
    // The search finds what is there: in the agent the keys, in the proxy what was read.
    assert_eq!(secrets.found_in(&dump(reading.agent.id())), ["private key"]);
    let held = dump(proxy);
    assert_eq!(secrets.found_in(&held), Vec::<&str>::new(), "while he is logged in");
    assert_eq!(words(&canaries, &held), PLACES, "what he has just read");
    drop(client);
    wait_for(
        "the proxy to forget",
        || format!("{:?}", words(&canaries, &dump(proxy))),
        || words(&canaries, &dump(proxy)).is_empty().then_some(()),
    );
    assert_eq!(secrets.found_in(&dump(proxy)), Vec::<&str>::new(), "afterwards");
    let log = || site.system_log();
    wait_for("the agent to forget", log, || {
        (!reading.agent.is_unlocked(&site, USER)).then_some(())
    });

    // Nor does the agent open anything for whoever has the proxy, or even for root.
    let stored = store.inbox(USER);
    assert_eq!(stored.len(), 1);
    let key = wrap(&FileKey::random(), &secrets.private[0].public_key()).unwrap();
    let stanzas = Wrapped::of(&key).unwrap().unwrap().0;
    let uid = site::users::users().agent.uid;
    let mut agent = AgentClient::connect(&site.join("agent/socket"), &[uid], PATIENCE).unwrap();
    let lease = agent.ask(&Request::Lease { user: USER, reader: None }).unwrap();
    assert_eq!(lease, Reply::Locked);
    let keys = agent.ask(&Request::Recover { user: USER, stanzas: &stanzas }).unwrap();
    assert_eq!(keys, Reply::Locked);
}

#[test]
fn a_compromised_proxy_before_cyrus() {
    compromised::<Cyrus>();
}

#[test]
fn a_compromised_proxy_before_dovecot() {
    compromised::<Dovecot>();
}

/// What was opened goes with the keys when they are locked, though a session was there.
#[test]
fn locked_means_forgotten() {
    let site = Site::with_users(&[USER]);
    let store = Dovecot::start(&site, &[USER]);
    let reading = Reading::start(&site, &store.imap_address());
    let canaries = Canaries::new("locked");
    let mut client = work(reading.port(), &canaries);
    assert_eq!(words(&canaries, &dump(reading.proxy.id())), PLACES);
    reading.agent.lock(&site, USER);
    client.until_end();
    let left = || words(&canaries, &dump(reading.proxy.id()));
    wait_for("the proxy to forget", || format!("{:?}", left()), || left().is_empty().then_some(()));
}

/// And though no session is there: it is kept for the next login, but not longer than the keys are.
#[test]
fn locked_means_forgotten_of_who_is_absent() {
    let site = Site::with_users(&[USER]);
    let store = Dovecot::start(&site, &[USER]);
    let mut reading = Reading::start(&site, &store.imap_address());
    let canaries = Canaries::new("absent");
    for kills in [false, true] {
        drop(work(reading.port(), &canaries));
        reading.agent.wait_for_leases(&site, USER, 0);
        assert_eq!(words(&canaries, &dump(reading.proxy.id())), PLACES);
        if kills {
            reading.agent.kill();
        } else {
            reading.agent.lock(&site, USER);
        }
        let left = || words(&canaries, &dump(reading.proxy.id()));
        let why = || format!("{:?}", left());
        wait_for("the proxy to forget", why, || left().is_empty().then_some(()));
    }
}

/// Two users whose mailboxes look alike, name, UIDVALIDITY and UIDs: nobody is shown what the other has opened.
#[test]
fn alike_and_apart() {
    let names = [USER, "bob"];
    let site = Site::with_users(&names);
    let mut store = Dovecot::start(&site, &names);
    let reading = Reading::start(&site, &store.imap_address());
    let canaries = names.map(Canaries::new);
    for (name, canaries) in names.iter().zip(&canaries) {
        login(reading.port(), name).append("INBOX", "", &canaries.message()).good();
    }
    store.down();
    for name in names {
        let maildir = store.maildir(name);
        let list = fs::read_to_string(maildir.join("dovecot-uidlist")).unwrap();
        let (head, rest) = list.split_once('\n').unwrap();
        let head = head.split(' ').map(|word| if word.starts_with('V') { "V7" } else { word });
        let list = format!("{}\n{rest}", head.collect::<Vec<_>>().join(" "));
        fs::write(maildir.join("dovecot-uidlist"), list).unwrap();
        for entry in fs::read_dir(&maildir).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with("dovecot.index") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }
    store.up(&site);
    let mut clients = names.map(|name| login(reading.port(), name));
    for client in &mut clients {
        let selected = client.command("SELECT INBOX").good();
        assert_eq!(selected.code("UIDVALIDITY").as_deref(), Some("7"), "{selected}");
    }
    for _ in 0..3 {
        for ((client, own), other) in clients.iter_mut().zip(&canaries).zip(canaries.iter().rev()) {
            for item in ["ENVELOPE", "BODY.PEEK[]", "BODY.PEEK[1]", "BODYSTRUCTURE", "RFC822.SIZE"]
            {
                let answer = client.command(format!("UID FETCH 1 {item}")).good();
                let said = answer.untagged.concat();
                let says = |canaries: &Canaries, place: &str| {
                    memchr::memmem::find(&said, canaries.word(place).as_bytes()).is_some()
                };
                assert!(PLACES.iter().all(|place| !says(other, place)), "{item}");
                let place = match item {
                    "ENVELOPE" => "Subject",
                    "BODY.PEEK[]" | "BODY.PEEK[1]" => "Body",
                    "BODYSTRUCTURE" => "Nested",
                    _ => continue,
                };
                assert!(says(own, place), "{item}: {answer}");
            }
        }
    }
}

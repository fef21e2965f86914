//! Four hundred recipients of one message.

use super::{Mail, SENDER, Store};
use crate::seal_support::stored::Stored;
use crate::site::canary::Canaries;
use crate::site::mta::{Attempt, Mta as _};
use encodify::base64::STANDARD as BASE64;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;

const RECIPIENTS: usize = 400;
/// So many of them are one user, whose keys all have.
const USERS: usize = 8;

/// Each gets exactly one copy, sealed for him alone: once through Postfix, which divides the message
/// as it likes, once in one transaction.
pub fn four_hundred<S: Store>() {
    let users: Vec<String> = (0..USERS).map(|number| format!("user{number}")).collect();
    let names: Vec<String> = (0..RECIPIENTS).map(|number| format!("box{number}")).collect();
    let user_of = |number: usize| users[number % USERS].as_str();
    let mut mail = Mail::<S>::start_with(
        &users.iter().map(String::as_str).collect::<Vec<_>>(),
        &names.iter().map(String::as_str).collect::<Vec<_>>(),
        "",
    );
    let mut map = String::new();
    for (number, name) in names.iter().enumerate() {
        writeln!(map, "{name}@example.org {}", user_of(number)).unwrap();
    }
    mail.map_users(&map);
    let addresses: Vec<String> = names.iter().map(|name| format!("{name}@example.org")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let [first, second] = ["first", "second"].map(Canaries::new);

    let id = mail.postfix.submit(&addresses, &first.message());
    mail.postfix.attempt(&id, RECIPIENTS);
    let attempts = mail.postfix.attempts(&id);
    let is_good = |attempt: &Attempt| attempt.status == "sent" && attempt.dsn == "2.0.0";
    assert!(attempts.iter().all(is_good), "{attempts:#?}\n{}", mail.trouble());
    mail.postfix.wait_until_empty();
    let mut client = mail.hook.client();
    client.begin(SENDER, &addresses);
    for reply in client.data(&second.message(), RECIPIENTS) {
        assert!(reply.starts_with("250 2.0.0 sealed as <"), "{reply}\n{}", mail.trouble());
    }

    let identities: Vec<_> = users.iter().map(|user| mail.site.identity(user)).collect();
    let mut seen = HashSet::new();
    for (number, name) in names.iter().enumerate() {
        let inbox = mail.store.inbox(name);
        assert_eq!(inbox.len(), 2, "{name}");
        for (stored, canaries) in inbox.iter().zip([&first, &second]) {
            let unsealed = mail.site.unseal_with(&identities[number % USERS], stored);
            assert!(unsealed.ends_with(&canaries.message()), "{name}");
            for material in key_material(stored) {
                assert!(seen.insert(material), "{name} shares key material with another");
            }
        }
    }
    // Four of each age file, two of which are in each message.
    assert_eq!(seen.len(), 4 * 2 * 2 * RECIPIENTS);
    for canaries in [first, second] {
        assert_eq!(mail.site.leaks_with_queue(&canaries), []);
    }
}

/// What must be another in every copy, of both age files of a message: the ephemeral share and the
/// wrapped file key of the stanza, the MAC of the header, the nonce of the payload.
fn key_material(stored: &[u8]) -> Vec<Vec<u8>> {
    let stored = Stored::parse(stored);
    let summary = stored.summary.split_once(':').unwrap().1;
    let digits: Vec<u8> = summary.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let files = [BASE64.decode(digits).unwrap(), stored.age_file()];
    files.iter().flat_map(|file| of_age_file(file)).collect()
}

fn of_age_file(file: &[u8]) -> [Vec<u8>; 4] {
    let mut lines = file.splitn(5, |&byte| byte == b'\n');
    let mut line = |start: &[u8]| {
        let line = lines.next().unwrap();
        line.strip_prefix(start).unwrap_or_else(|| panic!("an odd header")).to_vec()
    };
    assert_eq!(line(b"age-encryption.org/v1"), b"");
    let (share, wrapped, mac) = (line(b"-> X25519 "), line(b""), line(b"--- "));
    let nonce = lines.next().unwrap()[..16].to_vec();
    [share, wrapped, mac, nonce]
}

impl<S: Store> Mail<S> {
    /// What the servers have logged, without what they say of a delivery that went well.
    fn trouble(&self) -> String {
        let log = self.site.system_log();
        let is_good = |line: &str| {
            ["status=sealed", "Delivered: ", "mupdate", "dupelim"]
                .iter()
                .any(|word| line.contains(word))
        };
        log.lines().filter(|line| !is_good(line)).flat_map(|line| [line, "\n"]).collect()
    }

    /// Restarts nightsafe with another map of addresses to users.
    fn map_users(&mut self, lines: &str) {
        let map = self.site.join("etc/map");
        fs::write(&map, lines).unwrap();
        let path = self.site.join("etc/lmtp.toml");
        let text = fs::read_to_string(&path).unwrap();
        let users = format!("[users]\nmap = \"{}\"\n", map.display());
        fs::write(&path, text.replacen("[users]\n", &users, 1)).unwrap();
        self.hook.stop();
        self.hook.up(&self.site);
    }
}

//! Users who are not enrolled, and other users' mail.

use super::{Office, is_sealed};
use crate::site::canary::Canaries;
use crate::site::cyrus::Cyrus;
use crate::site::password;
use crate::site::store::Store;
use crate::support::imap::Client;

/// A user without keys reads what is there, and stores nothing that could not be sealed.
pub fn not_enrolled<S: Store>() {
    let office = Office::<S>::open_with(&["alice"], &["alice", "bob"], "", "");
    let [plain, refused] = ["plain", "refused"].map(Canaries::new);
    office.directly("bob").append("INBOX", "", &plain.message()).good();
    let mut client = office.client("bob");
    let answer = client.append("INBOX", "", &refused.message());
    assert_eq!(answer.status(), "NO", "{answer}");
    client.command("SELECT INBOX").good();
    assert_eq!(client.command("FETCH 1:* BODY.PEEK[]").good().literals(), [plain.message()]);
    assert_eq!(office.store.inbox("bob").len(), 1);
    assert_eq!(office.site.leaks(&refused), []);
}

/// Where policy passes his mail, so does the proxy.
pub fn not_enrolled_and_passed<S: Store>() {
    let passed = "[delivery]\nunenrolled = \"pass\"";
    let office = Office::<S>::open_with(&["alice"], &["alice", "bob"], "", passed);
    let message = Canaries::new("passed").message();
    office.client("bob").append("INBOX", "", &message).good();
    assert_eq!(office.store.inbox("bob"), [message]);
    let sealed = Canaries::new("sealed");
    office.client("alice").append("INBOX", "", &sealed.message()).good();
    assert_eq!(office.site.leaks(&sealed), []);
}

/// The first login through the proxy makes the keys, and what is stored from then on is sealed.
pub fn enrolled_at_login<S: Store>() {
    let office = Office::<S>::open_with(&[], &["bob"], "enroll_at_login = true", "");
    let mut wrong = Client::connect(office.reading.port()).unwrap();
    assert_eq!(wrong.command("LOGIN bob \"a guess\"").status(), "NO");
    assert!(!office.site.join("keys/private/bob").exists());
    let mut client = office.client("bob");
    assert!(office.site.join("keys/private/bob").exists(), "{}", office.site.system_log());
    let canaries = Canaries::new("first");
    client.append("INBOX", "", &canaries.message()).good();
    client.command("SELECT INBOX").good();
    assert_eq!(client.command("FETCH 1 BODY.PEEK[]").good().literals(), [canaries.message()]);
    assert_eq!(office.site.leaks(&canaries), []);
}

/// Two users at once, each with his own mail; nothing of one is in what the other is told.
pub fn two_users<S: Store>() {
    let office = Office::<S>::open(&["alice", "bob"]);
    let [hers, his] = ["hers", "his"].map(Canaries::new);
    let [mut alice, mut bob] = ["alice", "bob"].map(|user| office.client(user));
    alice.append("INBOX", "", &hers.message()).good();
    bob.append("INBOX", "", &his.message()).good();
    for (client, message) in [(&mut alice, hers.message()), (&mut bob, his.message())] {
        client.command("SELECT INBOX").good();
        assert_eq!(client.command("FETCH 1:* BODY.PEEK[]").good().literals(), [message]);
    }
    // A sealed message of his in her mailbox, put there past the proxy, stays sealed.
    let stored = office.store.inbox("bob").remove(0);
    office.directly("alice").append("INBOX", "", &stored).good();
    alice.command("NOOP").good();
    let shown = alice.command("FETCH 2 (ENVELOPE BODY.PEEK[])").good();
    let shown = shown.to_string();
    assert!(shown.contains("Sealed message") && !shown.contains("Canary"), "{shown}");
    // With the wrong password nobody is anybody.
    let mut wrong = Client::connect(office.reading.port()).unwrap();
    assert_eq!(wrong.command(format!("LOGIN bob \"{}\"", password("alice"))).status(), "NO");
    assert_eq!(wrong.command("SELECT INBOX").status(), "BAD");
}

/// Somebody else's folder that is shared: what is sealed there is a notice, and nothing is put there that its
/// owner or other readers could not open.
pub fn shared_folders() {
    let office = Office::<Cyrus>::open(&["alice", "bob"]);
    let [his, hers] = ["his", "hers"].map(Canaries::new);
    let mut bob = office.client("bob");
    bob.append("INBOX", "", &his.message()).good();
    bob.command("SETACL INBOX alice lrswipkxte").good();
    let mut alice = office.client("alice");
    let there = "\"Other Users/bob\"";
    alice.append("INBOX", "", &hers.message()).good();
    let answer = alice.append(there, "", &hers.message());
    assert_eq!(answer.status(), "NO", "{answer}");
    alice.command("SELECT INBOX").good();
    for command in ["COPY 1", "MOVE 1", "UID COPY 1", "UID MOVE 1"] {
        let answer = alice.command(format!("{command} {there}"));
        assert_eq!(answer.status(), "NO", "{command}: {answer}");
    }
    alice.command(format!("SELECT {there}")).good();
    let shown = alice.command("FETCH 1:* (ENVELOPE BODY.PEEK[])").good().to_string();
    assert!(shown.contains("Sealed message") && !shown.contains("Canary"), "{shown}");
    assert_eq!(office.store.inbox("bob").len(), 1);
    assert!(office.store.inbox("alice").iter().all(|stored| is_sealed(stored)));
    assert_eq!([office.site.leaks(&his), office.site.leaks(&hers)], [[], []]);
}

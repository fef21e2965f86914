//! What `nightsafe imap` offers to clients before real Cyrus and real Dovecot, that it works, and that nothing
//! else does, whatever the store knows.

mod site;
mod support;

use std::collections::BTreeSet;

use site::cyrus::Cyrus;
use site::dovecot::Dovecot;
use site::proxy::Reading;
use site::store::Store;
use site::{Site, password};
use support::imap::{Answer, Client};

/// What the proxy honours where the store has it: written down here again, so that nothing joins the list
/// by itself.
const HONOURED: [&str; 25] = [
    "IMAP4REV1",
    "IDLE",
    "NAMESPACE",
    "UNSELECT",
    "UIDPLUS",
    "MOVE",
    "CHILDREN",
    "CONDSTORE",
    "QRESYNC",
    "ESEARCH",
    "WITHIN",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "LIST-MYRIGHTS",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "QUOTA",
    "QUOTASET",
    "ACL",
    "METADATA",
    "METADATA-SERVER",
    "SAVEDATE",
    "XLIST",
    "ENABLE",
    "RIGHTS=KXTEN",
];
/// What the proxy does by itself.
const OWN: [&str; 3] = ["LITERAL+", "ID", "APPENDLIMIT=4096"];
const LIMIT: &str = "[delivery]\nmax_message_bytes = 4096";
const LETTER: &[u8] = b"From: a@b.test\r\nSubject: walnut\r\n\r\nThe quinces are ripe.\r\n";

fn words(told: &str) -> BTreeSet<String> {
    told.split(' ').map(str::to_ascii_uppercase).collect()
}

fn capabilities(answer: &Answer) -> BTreeSet<String> {
    let line = String::from_utf8_lossy(answer.of("CAPABILITY")[0]).into_owned();
    words(line.split_once(' ').unwrap().1)
}

fn greeted(client: &Client) -> BTreeSet<String> {
    let greeting = String::from_utf8_lossy(&client.greeting).into_owned();
    words(greeting.split_once("[CAPABILITY ").unwrap().1.split_once(']').unwrap().0)
}

/// A store with the proxy before it, and both logged in at.
struct Both<S> {
    direct: Client,
    proxied: Client,
    reading: Reading,
    store: S,
    _site: Site,
}

impl<S: Store> Both<S> {
    fn start() -> Self {
        let site = Site::with_users(&["alice"]);
        let store = S::open(&site, &["alice", "bob"]);
        let reading = Reading::start_with(&site, &store.imap_address(), "", LIMIT);
        let direct = Client::login(store.imap_port(), "alice", &password("alice"));
        let proxied = Client::login(reading.port(), "alice", &password("alice"));
        Self { direct, proxied, reading, store, _site: site }
    }
}

fn is_told<S: Store>() -> BTreeSet<String> {
    let mut both = Both::<S>::start();
    let mut client = Client::connect(both.reading.port()).unwrap();
    let before = words("IMAP4REV1 LITERAL+ SASL-IR ID AUTH=PLAIN AUTH=LOGIN");
    assert_eq!(greeted(&client), before);
    assert_eq!(capabilities(&client.command("CAPABILITY").good()), before);
    let login = client.command(format!("LOGIN alice \"{}\"", password("alice"))).good();
    let own = capabilities(&both.direct.command("CAPABILITY").good());
    let honoured = own.iter().filter(|name| HONOURED.contains(&name.as_str())).cloned();
    let wanted: BTreeSet<String> = honoured.chain(OWN.map(str::to_owned)).collect();
    assert_eq!(words(&login.code("CAPABILITY").unwrap()), wanted);
    assert_eq!(capabilities(&client.command("CAPABILITY").good()), wanted);
    // Nor is the client told by the way.
    let untagged = client.command("SELECT INBOX").good();
    assert!(untagged.code("CAPABILITY").is_none());
    wanted
}

#[test]
fn what_is_told_before_cyrus() {
    let told = is_told::<Cyrus>();
    for name in ["QRESYNC", "MOVE", "ACL", "QUOTA", "METADATA", "LIST-EXTENDED", "RIGHTS=KXTEN"] {
        assert!(told.contains(name), "{name} is not in {told:?}");
    }
}

#[test]
fn what_is_told_before_dovecot() {
    let told = is_told::<Dovecot>();
    for name in ["QRESYNC", "MOVE", "QUOTA", "SPECIAL-USE", "LIST-STATUS", "SAVEDATE", "IDLE"] {
        assert!(told.contains(name), "{name} is not in {told:?}");
    }
}

/// Each of them is known to Cyrus, to Dovecot or to both.
fn is_refused<S: Store>() {
    let mut both = Both::<S>::start();
    let client = &mut both.proxied;
    client.append("INBOX", "", LETTER).good();
    client.command("SELECT INBOX").good();
    for command in [
        "COMPRESS DEFLATE",
        "SORT (DATE) UTF-8 ALL",
        "UID SORT (SUBJECT) UTF-8 ALL",
        "THREAD REFERENCES UTF-8 ALL",
        "UID THREAD ORDEREDSUBJECT UTF-8 ALL",
        "GENURLAUTH \"imap://alice@host/INBOX/;uid=1;urlauth=anonymous\" INTERNAL",
        "URLFETCH \"imap://alice@host/INBOX/;uid=1;urlauth=anonymous:internal:00\"",
        "RESETKEY",
        "UNAUTHENTICATE",
        "NOTIFY NONE",
        "XAPPLEPUSHSERVICE aps-version 2",
        "XCONVMULTISORT (DATE) () UTF-8 ALL",
        "XBACKUP x",
        "XSNIPPETS ((INBOX 1 (1))) () UTF-8 ALL",
        "DUMP INBOX",
        "UNDUMP INBOX",
        "LOCALAPPEND INBOX x",
        "SCAN \"\" * x",
        "GETANNOTATION INBOX * (value.shared)",
        "SETANNOTATION INBOX /comment (value.shared x)",
        "SYNCGET x",
        "FETCH 1 BINARY[1]",
        "FETCH 1 BINARY.SIZE[1]",
        "FETCH 1 (FLAGS BINARY.PEEK[1])",
        "FETCH 1 PREVIEW",
        "FETCH 1 SNIPPET",
        "FETCH 1 X-GM-MSGID",
        "FETCH 1 ANNOTATION (/comment value)",
        "FETCH 1 DIGEST.SHA1",
        "FETCH 1 RFC822.FILESIZE",
        "FETCH 1 EMAILID",
        "FETCH 1 CID",
        "STORE 1 ANNOTATION (/comment (value.priv x))",
        "STATUS INBOX (SIZE)",
        "STATUS INBOX (MESSAGES XCONVEXISTS)",
        "LIST \"\" * RETURN (STATUS (SIZE))",
        "LIST \"\" * RETURN (METADATA (/comment))",
        "UID COMPRESS DEFLATE",
        "SELECT INBOX (ANNOTATE)",
        "SEARCH RETURN (SAVE) ALL",
        "SEARCH RETURN (PARTIAL 1:1) ALL",
        "SEARCH FUZZY SUBJECT x",
        "ESEARCH IN (mailboxes INBOX) ALL",
        "JUNK",
        "UID",
    ] {
        let answer = client.command(command);
        assert_eq!(answer.status(), "BAD", "{command}: {answer}");
        let said = answer.untagged.iter().find(|line| !line.ends_with(b"EXISTS"));
        assert!(said.is_none(), "{command}: {answer}");
    }
    let more = LETTER.len();
    let text = std::str::from_utf8(LETTER).unwrap();
    for command in [
        format!("UID REPLACE 1 INBOX {{{more}+}}\r\n{text}"),
        format!("REPLACE 1 INBOX {{{more}+}}\r\n{text}"),
        format!("APPEND INBOX {{{more}+}}\r\n{text} {{{more}+}}\r\n{text}"),
        format!("APPEND INBOX {{{more}}}\r\n{text} (\\Seen) {{{more}+}}\r\n{text}"),
        format!("APPEND INBOX {{{more}}}\r\n{text} (\\Seen) {{{more}}}\r\n{text}"),
        // What a message says is never a command.
        format!("APPEND INBOX {{{more}+}}\r\n{text} {{19+}}\r\nx DELETE Two\r\ny X\r\n"),
        format!("APPEND INBOX CATENATE (TEXT {{{more}+}}\r\n{text})"),
        "APPEND INBOX CATENATE (URL \"/INBOX/;uid=1/;section=HEADER\")".into(),
        format!("APPEND INBOX ~{{{more}+}}\r\n{text}"),
        format!("APPEND INBOX UTF8 (~{{{more}+}}\r\n{text})"),
        format!("APPEND INBOX (\\Seen {{{more}+}}\r\n{text})"),
    ] {
        let answer = client.command(&command);
        assert!(answer.status() != "OK", "{command}: {answer}");
        client.command("NOOP").good();
    }
    // Nothing of all this was stored, or altered what is.
    assert_eq!(client.command("FETCH 1:* BODY.PEEK[]").good().literals(), [LETTER]);
    let stored = both.store.inbox("alice");
    assert_eq!(stored.len(), 1);
    assert!(!String::from_utf8_lossy(&stored[0]).contains("walnut"));

    for (asked, told) in [
        ("ENABLE CONDSTORE", "CONDSTORE"),
        ("ENABLE QRESYNC UTF8=ACCEPT IMAP4rev2", "QRESYNC"),
        ("ENABLE UTF8=ACCEPT", ""),
        ("ENABLE IMAP4rev2 X-NOTHING", ""),
    ] {
        let answer = client.command(asked).good();
        let line = String::from_utf8_lossy(answer.of("ENABLED")[0]).to_ascii_uppercase();
        let enabled = line.trim_start_matches("ENABLED").trim();
        assert!(!enabled.contains("UTF8") && !enabled.contains("REV2"), "{answer}");
        assert!(enabled.contains(told), "{answer}");
    }
}

#[test]
fn what_is_refused_before_cyrus() {
    is_refused::<Cyrus>();
}

#[test]
fn what_is_refused_before_dovecot() {
    is_refused::<Dovecot>();
}

/// What the store answers by itself comes through as it is.
fn works<S: Store>(more: &[&str]) {
    let mut both = Both::<S>::start();
    let client = &mut both.proxied;
    for command in ["CREATE Two", "SUBSCRIBE Two", "CREATE \"Two/Three\""] {
        client.command(command).good();
    }
    let same = [
        "LIST \"\" \"*\"",
        "LIST \"\" \"\"",
        "LIST (SUBSCRIBED) \"\" \"*\" RETURN (CHILDREN)",
        "LIST \"\" (\"INBOX\" \"T%\") RETURN (SUBSCRIBED CHILDREN)",
        "LIST \"\" \"*\" RETURN (STATUS (MESSAGES UNSEEN UIDNEXT))",
        "LSUB \"\" \"*\"",
        "NAMESPACE",
        "STATUS Two (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ)",
        "GETQUOTAROOT INBOX",
    ];
    for command in same.iter().chain(more) {
        let (theirs, ours) = (both.direct.command(command), client.command(command));
        let mut lines = [theirs.untagged.clone(), ours.untagged.clone()];
        lines.iter_mut().for_each(|lines| lines.sort());
        assert_eq!(lines[0], lines[1], "{command}\n{theirs}\n{ours}");
        assert_eq!((theirs.status(), "OK".into()), (ours.status(), ours.status()), "{command}");
    }
    let id = client.command("ID (\"name\" \"a client\")").good();
    assert!(
        id.untagged.iter().any(|line| line.starts_with(b"ID (\"name\" \"nightsafe\")")),
        "{id}"
    );

    // UIDPLUS, MOVE, UNSELECT.
    let appended = client.append("INBOX", "(\\Flagged)", LETTER).good();
    let uid = appended.code("APPENDUID").unwrap().split_once(' ').unwrap().1.to_owned();
    client.command("SELECT INBOX").good();
    let copied = client.command(format!("UID COPY {uid} Two")).good();
    assert!(copied.code("COPYUID").is_some(), "{copied}");
    let moved = client.command(format!("UID MOVE {uid} Two")).good();
    assert!(moved.code("COPYUID").is_some() && moved.of("EXPUNGE").len() == 1, "{moved}");
    client.command("UNSELECT").good();
    assert_eq!(client.command("FETCH 1 FLAGS").status(), "BAD");
    let selected = client.command("SELECT Two").good();
    let all = client.command("FETCH 1:* (BODY.PEEK[])").good();
    assert_eq!(all.literals(), [LETTER, LETTER]);

    // QRESYNC: what has changed since, said with the SELECT.
    let validity = selected.code("UIDVALIDITY").unwrap();
    let modseq = selected.code("HIGHESTMODSEQ").unwrap();
    client.command("UNSELECT").good();
    let mut other = Client::login(both.reading.port(), "alice", &password("alice"));
    other.command("SELECT Two").good();
    other.command("STORE 2 +FLAGS (\\Answered)").good();
    other.command("STORE 1 +FLAGS (\\Deleted)").good();
    other.command("UID EXPUNGE 1:*").good();
    client.command("ENABLE QRESYNC").good();
    let again = client.command(format!("SELECT Two (QRESYNC ({validity} {modseq} 1:9))")).good();
    let changed = again.of("FETCH");
    assert_eq!(changed.len(), 1, "{again}");
    let text = String::from_utf8_lossy(changed[0]).into_owned();
    assert!(
        text.contains("\\Answered") && text.contains("MODSEQ") && text.contains("UID"),
        "{text}"
    );
    assert_eq!(again.of("VANISHED").len(), 1, "{again}");

    // IDLE: what another session does.
    let idling = client.start("IDLE");
    client.until_asked();
    other.append("Two", "", LETTER).good();
    loop {
        let said = client.read().unwrap();
        if said == b"* 2 EXISTS" {
            break;
        }
    }
    client.send(b"DONE\r\n").unwrap();
    client.finish(&idling).good();
}

#[test]
fn what_works_before_cyrus() {
    works::<Cyrus>(&[
        "GETACL Two",
        "MYRIGHTS INBOX",
        "LISTRIGHTS Two bob",
        "SETACL Two bob lr",
        "GETACL Two",
        "DELETEACL Two bob",
        "GETMETADATA Two /private/comment",
        "SETMETADATA Two (/private/comment \"hello\")",
        "GETMETADATA Two /private/comment",
        "LIST \"\" \"*\" RETURN (SPECIAL-USE)",
        "LIST (SPECIAL-USE) \"\" \"*\"",
    ]);
}

#[test]
fn what_works_before_dovecot() {
    works::<Dovecot>(&[
        "LIST (SPECIAL-USE) \"\" \"*\"",
        "LIST \"\" \"*\" RETURN (SPECIAL-USE SUBSCRIBED)",
        "GETQUOTA \"User quota\"",
    ]);
}

fn limit<S: Store>() {
    let mut both = Both::<S>::start();
    let client = &mut both.proxied;
    let too_large = "x".repeat(4097);
    // Whoever waits is told before he sends it; a small one may follow at once.
    let answer = client.command(format!("APPEND INBOX {{4097}}\r\n{too_large}"));
    assert!(answer.tagged.starts_with(b"NO [TOOBIG] "), "{answer}");
    client.append("INBOX", "", LETTER).good();
    // Whoever does not is told after; so is a whole row of them.
    let first = client.start(format!("APPEND INBOX {{4097+}}\r\n{too_large}"));
    let second = client.start(format!("APPEND INBOX {{5000000+}}\r\n{}", "y".repeat(5_000_000)));
    let third = client.start(format!(
        "APPEND INBOX {{{}+}}\r\n{}",
        LETTER.len(),
        std::str::from_utf8(LETTER).unwrap()
    ));
    for tag in [first, second] {
        let answer = client.finish(&tag);
        assert!(answer.tagged.starts_with(b"NO [TOOBIG] "), "{answer}");
    }
    client.finish(&third).good();
    let exact = format!("Subject: walnut\r\n\r\n{}", "x".repeat(4096 - 19));
    client.append("INBOX", "", exact.as_bytes()).good();
    client.command("SELECT INBOX").good();
    let all = client.command("FETCH 1:* BODY.PEEK[]").good();
    assert_eq!(all.literals(), [LETTER, LETTER, exact.as_bytes()]);
    // A name that ends with spaces is not the beginning of what follows it.
    let text = std::str::from_utf8(LETTER).unwrap();
    for name in ["nobody's ", "x\r\n"] {
        let (long, size) = (name.len(), LETTER.len());
        let append = format!("APPEND {{{long}+}}\r\n{name} {{{size}+}}\r\n{text}");
        let answer = client.command(append);
        assert!(answer.status() != "OK" && answer.untagged.is_empty(), "{answer}");
        assert_eq!(client.command("FETCH 1 BODY.PEEK[]").good().literals(), [LETTER]);
    }
    // No literal without an end is read to its end.
    client.send(b"z APPEND INBOX {999999999999+}\r\n").unwrap();
    assert!(client.read().unwrap().starts_with(b"* BYE "));
}

#[test]
fn the_largest_message() {
    limit::<Dovecot>();
}

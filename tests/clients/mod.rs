//! Mail clients that people use, unmodified, in front of the proxy: what they fetch is what was sent, and
//! what they write is sealed.

pub mod curl;
pub mod imaplib;
pub mod mbsync;
pub mod mutt;
pub mod offlineimap;
pub mod thunderbird;

use crate::seal_support::mail::{self, to_lf};
use crate::site::canary::Canaries;
use crate::site::proxy::Reading;
use crate::site::store::Store;
use crate::site::{Site, password, unpacked};
use crate::support::imap::Client;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::slice::from_ref;

/// Whose mailbox it is.
pub const USER: &str = "alice";
/// Somebody at the same store who is not enrolled.
const PLAIN_USER: &str = "carol";

/// Where a client runs: a folder of its own, which nobody searches, and a server.
pub struct Desk {
    pub user: &'static str,
    pub port: u16,
    pub folder: PathBuf,
}

impl Desk {
    fn new(site: &Site, user: &'static str, port: u16) -> Self {
        let folder = site.join("private").join(format!("desk-{user}"));
        fs::create_dir(&folder).unwrap();
        Self { user, port, folder }
    }

    /// A file in the folder.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub fn make(&self, name: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// The client's program, as if it were installed, at home in the folder.
    pub fn command(&self, program: &str) -> Command {
        // Some would wait for somebody to press a key.
        let mut command = unpacked::client("timeout");
        command.args(["--foreground", "100", program]);
        command.env("HOME", &self.folder).env_remove("PYTHONHOME").env_remove("PYTHONPATH");
        command.current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    pub fn password(&self) -> String {
        password(self.user)
    }
}

/// Runs a client to its end; it must end well.
#[track_caller]
pub fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Messages that the client has to do something with.
pub struct Letters {
    pub flag: Vec<u8>,
    pub copy: Vec<u8>,
    pub moved: Vec<u8>,
    pub delete: Vec<u8>,
    /// What it appends.
    pub append: Vec<u8>,
}

/// A mail client.
pub trait Program {
    const NAME: &'static str;
    /// Fields that it adds to what it keeps or appends.
    const OWN_FIELDS: &'static [&'static str] = &[];
    /// Whether it takes messages apart and writes them anew.
    const REWRITES: bool = false;

    /// Whether it is content with the message.
    fn takes(_message: &[u8]) -> bool {
        true
    }

    /// Whether it made something up when it wrote the message anew, which is another the next time.
    fn made_up(_message: &[u8]) -> bool {
        false
    }

    /// Fetches all of INBOX, and gives what it has then.
    fn fetch(desk: &Desk) -> Vec<Vec<u8>>;

    /// Flags one message, copies one to "Copies", moves one to "Moved", deletes one, and appends one.
    /// They are the first in INBOX, in the order of [`Letters`].
    fn change(desk: &Desk, letters: &Letters);
}

/// The whole job of one client before one store.
pub fn at_work<S: Store, P: Program>() {
    let site = Site::with_users(&[USER]);
    let store = S::open_with_duplicates(&site, &[USER, PLAIN_USER]);
    let reading = Reading::start(&site, &store.imap_address());
    let canaries = ["flag", "copy", "moved", "delete", "append"].map(Canaries::new);
    let [flag, copy, moved, delete, append] =
        canaries.each_ref().map(|canaries| canaries.message());
    let letters = Letters { flag, copy, moved, delete, append };
    let mut sent = vec![
        letters.flag.clone(),
        letters.copy.clone(),
        letters.moved.clone(),
        letters.delete.clone(),
    ];
    sent.extend(mail::all().into_iter().filter(is_for_clients).map(|mail| mail.bytes));
    let mut client = Client::login(reading.port(), USER, &password(USER));
    for mailbox in ["Copies", "Moved"] {
        client.command(format!("CREATE {mailbox}")).good();
        client.command(format!("SUBSCRIBE {mailbox}")).good();
    }
    sent.retain(|message| P::takes(message));
    if P::REWRITES {
        append_directly(store.imap_port(), &mut sent);
    }
    let kept: Vec<_> =
        sent.into_iter().filter(|m| client.append("INBOX", "", m).status() == "OK").collect();
    assert!(kept.len() > 200, "the store takes only {} messages", kept.len());

    let desk = Desk::new(&site, USER, reading.port());
    let plain = Desk::new(&site, PLAIN_USER, store.imap_port());
    let (fetched, direct) = std::thread::scope(|scope| {
        let direct = P::REWRITES.then(|| scope.spawn(|| P::fetch(&plain)));
        (P::fetch(&desk), direct.map(|direct| direct.join().unwrap()))
    });
    let fetched = without(fetched, P::OWN_FIELDS);
    if let Some(direct) = direct {
        // What it makes of the same messages without nightsafe.
        let direct = without(direct, P::OWN_FIELDS);
        let is_letter = |message: &[u8]| canaries.iter().any(|canaries| is_of(canaries, message));
        let [fetched, direct] = [fetched, direct].map(|mut messages| {
            messages.retain(|message| !P::made_up(message) && !is_letter(message));
            messages
        });
        same(&fetched, &direct);
        // It leaves most as they are.
        let untouched = fetched.iter().filter(|message| kept.iter().any(|m| to_lf(m) == **message));
        assert!(untouched.count() > 150, "it touches nearly all");
    } else {
        same(&fetched, &without(kept.clone(), P::OWN_FIELDS));
    }
    P::change(&desk, &letters);

    let mut expected = kept;
    expected.retain(|message| *message != letters.moved && *message != letters.delete);
    expected.push(letters.append.clone());
    let expected = without(expected, P::OWN_FIELDS);
    let look = |client: &mut Client, mailbox: &str| -> Vec<Vec<u8>> {
        client.command(format!("EXAMINE {mailbox}")).good();
        let answer = client.command("UID FETCH 1:* BODY.PEEK[]").good();
        without(answer.literals(), P::OWN_FIELDS)
    };
    same(&look(&mut client, "INBOX"), &expected);
    let flagged = client.command("UID SEARCH FLAGGED SUBJECT Canary").good();
    assert_eq!(flagged.of("SEARCH").len(), 1);
    assert_eq!(String::from_utf8_lossy(flagged.of("SEARCH")[0]).split(' ').count(), 2, "{flagged}");
    same(&look(&mut client, "Copies"), from_ref(&letters.copy));
    same(&look(&mut client, "Moved"), from_ref(&letters.moved));

    // In the store all of it is sealed, whoever put it there, and no word is anywhere.
    for mailbox in ["INBOX", "Copies", "Moved"] {
        for stored in store.mailbox(USER, mailbox) {
            let signed = memchr::memmem::find(&stored, b"\nNightsafe-Signature: ").is_some();
            assert!(signed, "{mailbox}: {}", String::from_utf8_lossy(&stored));
        }
    }
    drop(client);
    assert_eq!(site.leaks(&Canaries::all()), [], "after {}", P::NAME);
}

/// Puts the messages but the letters, which are nowhere in plaintext, into a mailbox whose mail is plain.
/// Keeps those that the store takes and leaves as they are.
fn append_directly(port: u16, messages: &mut Vec<Vec<u8>>) {
    let mut client = Client::login(port, PLAIN_USER, &password(PLAIN_USER));
    let mut index = 0;
    messages.retain(|message| {
        index += 1;
        let end = memchr::memmem::find(message, b"\r\n\r\n").unwrap_or(message.len());
        index <= LETTERS
            || message[..end].is_ascii() && client.append("INBOX", "", message).status() == "OK"
    });
}

/// How many of them are in INBOX to begin with.
const LETTERS: usize = 4;

fn is_of(canaries: &Canaries, message: &[u8]) -> bool {
    memchr::memmem::find(message, canaries.word("Subject").as_bytes()).is_some()
}

/// Clients keep local line ends, so mail that is about line ends says nothing here.
fn is_for_clients(mail: &mail::Mail) -> bool {
    let count = |byte| memchr::memchr_iter(byte, &mail.bytes).count();
    let pairs = memchr::memmem::find_iter(&mail.bytes, b"\r\n").count();
    !mail.bytes.is_empty() && (count(b'\r'), count(b'\n'), count(0)) == (pairs, pairs, 0)
}

/// The same messages, in whatever order and with whatever line ends.
#[track_caller]
fn same(found: &[Vec<u8>], expected: &[Vec<u8>]) {
    let sorted = |messages: &[Vec<u8>]| {
        let mut messages: Vec<_> = messages.iter().map(|message| to_lf(message)).collect();
        messages.sort();
        messages
    };
    let (found, expected) = (sorted(found), sorted(expected));
    let only = |these: &[Vec<u8>], those: &[Vec<u8>]| -> String {
        let only = these.iter().filter(|message| those.binary_search(message).is_err());
        only.map(|message| message[..message.len().min(600)].escape_ascii().to_string() + "\n\n")
            .collect()
    };
    assert!(
        found == expected,
        "{} and not {} messages\nonly found:\n{}\nonly expected:\n{}",
        found.len(),
        expected.len(),
        only(&found, &expected),
        only(&expected, &found)
    );
}

/// The messages without these fields of their headers.
fn without(messages: Vec<Vec<u8>>, names: &[&str]) -> Vec<Vec<u8>> {
    messages.iter().map(|message| without_fields(message, names)).collect()
}

fn without_fields(message: &[u8], names: &[&str]) -> Vec<u8> {
    let ends = ["\r\n\r\n", "\n\n"].map(|end| memchr::memmem::find(message, end.as_bytes()));
    let end = ends.into_iter().flatten().min().map_or(message.len(), |end| end + 2);
    let (header, rest) = message.split_at(end);
    let is_own = |line: &[u8]| {
        names.iter().any(|name| {
            line.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name.as_bytes()))
        })
    };
    let kept = header.split_inclusive(|&byte| byte == b'\n').filter(|line| !is_own(line));
    [kept.collect::<Vec<_>>().concat().as_slice(), rest].concat()
}

/// The messages of a Maildir in the order of their names, with their paths.
pub fn maildir(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for name in ["cur", "new"] {
        for entry in fs::read_dir(folder.join(name)).into_iter().flatten().flatten() {
            found.push((entry.path(), fs::read(entry.path()).unwrap()));
        }
    }
    found.sort();
    found
}

/// Changes in a Maildir, as a client of it makes them: whatever synchronises it finds them there.
pub fn change_maildirs(inbox: &Path, copies: &Path, moved: &Path, letters: &Letters) {
    let all = maildir(inbox);
    let path_of = |letter: &[u8]| {
        let subject =
            letter.split(|&byte| byte == b'\r').find(|line| line.starts_with(b"\nSubject:"));
        let has = |message: &[u8]| memchr::memmem::find(message, subject.unwrap()).is_some();
        all.iter().find(|(_, message)| has(message)).map(|(path, _)| path.clone()).unwrap()
    };
    let flag = path_of(&letters.flag);
    fs::rename(&flag, with_flags(inbox, &flag, "F")).unwrap();
    fs::remove_file(path_of(&letters.delete)).unwrap();
    fs::write(copies.join("cur/1700000001.1.here:2,"), to_lf(&letters.copy)).unwrap();
    fs::write(moved.join("cur/1700000002.1.here:2,"), to_lf(&letters.moved)).unwrap();
    fs::remove_file(path_of(&letters.moved)).unwrap();
    fs::write(inbox.join("cur/1700000003.1.here:2,S"), to_lf(&letters.append)).unwrap();
}

/// The file's name in `cur` with these flags.
fn with_flags(inbox: &Path, path: &Path, flags: &str) -> PathBuf {
    let name = path.file_name().unwrap().to_str().unwrap();
    let name = name.split(":2,").next().unwrap();
    inbox.join("cur").join(format!("{name}:2,{flags}"))
}

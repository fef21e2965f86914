//! Clients, guessers and messages that mean no good to `nightsafe imap`: they get no further than themselves.

mod seal_support;
mod site;
mod support;

use minicbor::bytes::ByteVec;
use seal_support::forge::{Forger, Told, ToldPart};
use site::dovecot::Dovecot;
use site::process::wait_for;
use site::proxy::Reading;
use site::store::Store as _;
use site::{Site, password};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use support::imap::{Answer, Client};
use support::imap_stub::{Reaction, Stub, say};

const USER: &str = "alice";

fn login(port: u16, user: &str) -> Client {
    Client::login(port, user, &password(user))
}

fn has(octets: &[u8], word: &str) -> bool {
    memchr::memmem::find(octets, word.as_bytes()).is_some()
}

/// Sends octets, hangs up on one side, and gives what comes before the proxy hangs up too.
fn talk(port: u16, octets: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // It may have hung up before all of it was sent.
    let _ = stream.write_all(octets);
    let _ = stream.shutdown(Shutdown::Write);
    let mut said = Vec::new();
    if let Err(cause) = stream.read_to_end(&mut said) {
        assert_eq!(cause.kind(), std::io::ErrorKind::ConnectionReset, "it does not hang up");
    }
    said
}

/// Numbers that look random and are the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let next = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0.to_le_bytes()[3]
        };
        std::iter::repeat_with(next).take(count).collect()
    }
}

/// Commands that are none, before and after the login.
fn malformed() -> Vec<Vec<u8>> {
    let long = "x".repeat(70_000);
    let mut all: Vec<Vec<u8>> = [
        "",
        "a",
        "a ",
        " ",
        "*",
        "* OK",
        "+ x",
        "a\0b NOOP",
        "a NOOP\0",
        "a NO\u{e9}P",
        "a NOOP x",
        "a LOGIN",
        "a LOGIN x",
        "a LOGIN \"x",
        "a LOGIN x \"y\\",
        "a LOGIN {3}",
        "a LOGIN {3+}\r\nab",
        "a LOGIN {99999999999}",
        "a LOGIN {18446744073709551616+}",
        "a LOGIN {-1}",
        "a LOGIN {+}",
        "a AUTHENTICATE",
        "a AUTHENTICATE PLAIN ====",
        "a AUTHENTICATE PLAIN AA==",
        "a AUTHENTICATE PLAIN\r\n*",
        "a AUTHENTICATE LOGIN\r\n\r\n",
        "a AUTHENTICATE GSSAPI x",
        "a STARTTLS x",
        "a SELECT",
        "a SELECT (",
        "a SELECT {5}\r\nINBOX",
        "a SELECT \"\\\"",
        "a SELECT INBOX (QRESYNC (1 2",
        "a FETCH",
        "a FETCH 0 FLAGS",
        "a FETCH 1",
        "a FETCH 1 ()",
        "a FETCH 1 (",
        "a FETCH 1 BODY[",
        "a FETCH 1 BODY[1.2.3.4.5.6.7.8.9.0]",
        "a FETCH 1 BODY[]<0.0>",
        "a FETCH 1 BODY[]<1>",
        "a FETCH 1 BODY[]<18446744073709551616.1>",
        "a FETCH 1 BODY[HEADER.FIELDS ()]",
        "a FETCH 1 BODY[HEADER.FIELDS (\"a\" {1}\r\nb",
        "a UID FETCH 4294967296 FLAGS",
        "a UID",
        "a UID NOOP",
        "a UID FETCH 1:*:2 FLAGS",
        "a UID FETCH ,1 FLAGS",
        "a FETCH $ BODY[]",
        "a FETCH 1 (FLAGS)(UID)",
        "a FETCH 1 BODY[] (CHANGEDSINCE x)",
        "a SEARCH",
        "a SEARCH (",
        "a SEARCH OR",
        "a SEARCH OR ALL",
        "a SEARCH CHARSET x ALL",
        "a SEARCH TEXT {99999999999+}",
        "a SEARCH NOT",
        "a SEARCH RETURN (",
        "a SEARCH LARGER 99999999999999999999",
        "a SEARCH BEFORE 99-Foo-99999",
        "a SEARCH HEADER \"\" \"\"",
        "a APPEND",
        "a APPEND INBOX",
        "a APPEND INBOX {x}",
        "a APPEND INBOX {0}",
        "a APPEND INBOX (\\Seen {3}",
        "a APPEND INBOX \"99-Foo-2026 00:00:00 +0000\" {3+}\r\nabc",
        "a APPEND INBOX {3+}\r\nabc {3+}\r\nabc",
        "a APPEND INBOX {18446744073709551615}",
        "a APPEND INBOX {18446744073709551615+}",
        "a APPEND INBOX ~{3+}\r\na\0c",
        "a APPEND INBOX CATENATE (TEXT {3+}\r\nabc",
        "a APPEND {5+}\r\nIN",
        "a IDLE\r\nx",
        "a IDLE\r\nDONE x\r\na NOOP",
        "DONE",
        "a ENABLE",
        "a ENABLE (",
        "a COMPRESS DEFLATE",
        "a COPY",
        "a COPY 1",
        "a COPY x INBOX",
        "a STORE 1",
        "a RENAME a",
        "a STATUS INBOX",
        "a GETQUOTA",
        "a LIST",
        "a LIST (",
        "a ID (",
        "a ID NIL NIL",
        "a XYZZY",
        "a \u{7f}",
        "a NOOP\n",
        "a NOOP\r\r\n",
        "\r\n\r\n\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    for text in ["a NOOP ", "", "a LOGIN ", "a SEARCH TEXT \"", "a FETCH 1 BODY[", "a SELECT "] {
        all.push(format!("{text}{long}").into_bytes());
    }
    for (open, close) in [("(", ")"), ("NOT ", ""), ("OR ALL ", ""), ("OR (ALL) NOT (", ")")] {
        all.push(format!("a SEARCH {}ALL{}", open.repeat(6000), close.repeat(6000)).into_bytes());
    }
    all.push(format!("a FETCH 1 {}", "(".repeat(60_000)).into_bytes());
    all.push(format!("a FETCH 1 BODY[{}1]", "1.".repeat(30_000)).into_bytes());
    all.push(format!("a FETCH {}1 BODY[]", "1,".repeat(30_000)).into_bytes());
    all.push(format!("a ID ({})", "\"a\" \"b\" ".repeat(7000)).into_bytes());
    all.push("a NOOP\r\n".repeat(20_000).into_bytes());
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    all.extend((0..20).map(|round| numbers.bytes(200 * round)));
    all
}

#[test]
fn malformed_commands() {
    let site = Site::with_users(&[USER]);
    let stub = Stub::start(|_, _| Reaction::Usual);
    let reading = Reading::start(&site, &stub.address());
    let begin = format!("l LOGIN {USER} \"{}\"\r\ns SELECT INBOX\r\n", password(USER));
    let process = reading.proxy.id();
    for command in malformed() {
        for begin in ["", &*begin] {
            let said =
                talk(reading.port(), &[begin.as_bytes(), &command, b"\r\nz NOOP\r\n"].concat());
            assert!(
                said.starts_with(b"* OK "),
                "{}",
                command[..command.len().min(99)].escape_ascii()
            );
        }
    }
    let mut client = login(reading.port(), USER);
    client.command("SELECT INBOX").good();
    assert_eq!(reading.proxy.id(), process);
    assert!(!site.system_log().contains("panicked"), "{}", site.system_log());
}

#[test]
fn wrong_passwords() {
    let site = Site::with_users(&[USER]);
    let lets_in = Arc::new(AtomicBool::new(false));
    let letting = Arc::clone(&lets_in);
    let stub = Stub::start(move |tag, command| {
        if command.starts_with("AUTHENTICATE") && !letting.load(Ordering::SeqCst) {
            return say(format!("{tag} NO wrong\r\n"));
        }
        Reaction::Usual
    });
    let reading = Reading::start(&site, &stub.address());
    let mut client = Client::connect(reading.port()).unwrap();
    for attempt in 0..3 {
        let tag = client.start(format!("LOGIN {USER} guess{attempt}"));
        let answer = client.finish(&tag);
        assert!(answer.tagged.starts_with(b"NO [AUTHENTICATIONFAILED] "), "{answer}");
    }
    let said = client.until_end();
    assert!(said.len() == 1 && said[0].starts_with(b"* BYE too many wrong passwords"), "{said:?}");
    // Each connection is counted by itself.
    lets_in.store(true, Ordering::SeqCst);
    login(reading.port(), USER).command("SELECT INBOX").good();
}

/// Twenty who guess without a pause, each on a new connection after another: others log in all the same, and
/// the agent hears of no guess.
#[test]
fn guesses_keep_nobody_waiting() {
    let site = Site::with_users(&[USER, "bob"]);
    let store = Dovecot::start(&site, &[USER, "bob"]);
    let reading = Reading::start_with(&site, &store.imap_address(), "argon2_runs = 1", "");
    let port = reading.port();
    let (begun, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let guessers: Vec<_> = (0..20)
        .map(|_| {
            let (begun, is_over) = (Arc::clone(&begun), Arc::clone(&is_over));
            thread::spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    let mut client = Client::connect(port).unwrap();
                    let tag = client.start(format!("LOGIN {USER} \"another guess\""));
                    begun.fetch_add(1, Ordering::SeqCst);
                    let answer = client.finish(&tag);
                    assert!(answer.tagged.starts_with(b"NO [AUTHENTICATIONFAILED] "), "{answer}");
                }
            })
        })
        .collect();
    let said = || format!("{} guesses", begun.load(Ordering::SeqCst));
    wait_for("all to guess", said, || (begun.load(Ordering::SeqCst) >= 20).then_some(()));
    for _ in 0..5 {
        login(port, "bob").command("SELECT INBOX").good();
    }
    assert!(!reading.agent.is_unlocked(&site, USER));
    assert!(guessers.iter().all(|guesser| !guesser.is_finished()), "nobody guessed any more");
    is_over.store(true, Ordering::SeqCst);
    for guesser in guessers {
        guesser.join().unwrap();
    }
    login(port, USER).command("SELECT INBOX").good();
}

/// SIGTERM: everybody is told, and nobody is waited for beyond [imap] stop_timeout.
#[test]
fn told_to_stop() {
    let site = Site::with_users(&[USER]);
    let stub = Stub::start(|_, command| match command {
        "CHECK" => Reaction::Silence,
        _ => Reaction::Usual,
    });
    let mut reading = Reading::start_with(&site, &stub.address(), "", "stop_timeout = 1");
    let mut new = Client::connect(reading.port()).unwrap();
    let mut waiting = login(reading.port(), USER);
    let mut idling = login(reading.port(), USER);
    idling.start("IDLE");
    idling.until_asked();
    let mut halfway = login(reading.port(), USER);
    halfway.send(b"x SELEC").unwrap();
    let mut stalled = login(reading.port(), USER);
    stalled.start("CHECK");
    reading.proxy.stop();
    for client in [&mut new, &mut waiting, &mut idling, &mut halfway] {
        let said = client.until_end();
        assert!(said.last().unwrap().starts_with(b"* BYE the server is stopped"), "{said:?}");
    }
    assert_eq!(stalled.until_end(), Vec::<Vec<u8>>::new());
}

fn kilobytes(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().split_ascii_whitespace().next().unwrap().parse().unwrap()
}

fn number(answer: &Answer, word: &str) -> u64 {
    let said = String::from_utf8_lossy(&answer.untagged.concat()).into_owned();
    let rest = said.split_once(word).unwrap_or_else(|| panic!("no {word}: {answer}")).1;
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// One octet after the other is there, whatever the structure is.
#[track_caller]
fn agrees(client: &mut Client, uid: usize, size: u64) {
    let listed = client.command(format!("UID FETCH {uid} (RFC822.SIZE ENVELOPE)")).good();
    assert_eq!(number(&listed, "RFC822.SIZE "), size, "{listed}");
    let whole = client.command(format!("UID FETCH {uid} BODY.PEEK[]")).good().literals();
    assert_eq!(whole[0].len() as u64, size);
    let listed = client.command(format!("UID FETCH {uid} (RFC822.SIZE)")).good();
    assert_eq!(number(&listed, "RFC822.SIZE "), size, "{listed}");
    for item in
        ["BODYSTRUCTURE", "BODY", "BODY.PEEK[1]", "BODY.PEEK[2.MIME]", "BODY.PEEK[TEXT]<5.9>"]
    {
        client.command(format!("UID FETCH {uid} ({item})")).good();
    }
}

/// What anybody can send: mail that is hard to tell apart, sealed as all mail is.
#[test]
fn mail_of_many_parts() {
    let site = Site::with_users(&[USER]);
    let store = Dovecot::start(&site, &[USER]);
    let reading = Reading::start(&site, &store.imap_address());
    let mut client = login(reading.port(), USER);
    let head = "From: x@example.net\r\nSubject: parts\r\nMIME-Version: 1.0\r\n";
    let mut many = format!("{head}Content-Type: multipart/mixed; boundary=b\r\n\r\n");
    for part in 0..10_000 {
        write!(many, "--b\r\nContent-Type: text/plain\r\n\r\npart {part}\r\n").unwrap();
    }
    many += "--b--\r\n";
    let mut deep = head.to_owned();
    for depth in 0..1000 {
        write!(deep, "Content-Type: multipart/mixed; boundary=b{depth}\r\n\r\n--b{depth}\r\n")
            .unwrap();
    }
    deep += "\r\nat the bottom\r\n";
    let mut forwarded = head.to_owned();
    for depth in 0..1000 {
        write!(forwarded, "Content-Type: message/rfc822\r\n\r\nSubject: {depth}\r\n").unwrap();
    }
    forwarded += "\r\nat the bottom\r\n";
    let wide =
        format!("{head}To: {}\r\n\r\nmany\r\n", "\"a\" <a@example.net>,\r\n ".repeat(20_000));
    let fields = format!("{head}{}\r\nmany\r\n", "X: y\r\n".repeat(20_000));
    let mail = [many, deep, forwarded, wide, fields];
    for message in &mail {
        client.append("INBOX", "", message.as_bytes()).good();
    }
    client.command("SELECT INBOX").good();
    for (index, message) in mail.iter().enumerate() {
        agrees(&mut client, index + 1, message.len() as u64);
        let whole =
            client.command(format!("UID FETCH {} BODY.PEEK[]", index + 1)).good().literals();
        assert!(whole == [message.as_bytes()]);
    }
    for section in ["9999", "4000", "10000", "10001", &"1.".repeat(64)] {
        let section = section.trim_end_matches('.');
        for uid in 1..=3 {
            client.command(format!("UID FETCH {uid} BODY.PEEK[{section}]")).good();
        }
    }
    let found = client.command("UID SEARCH TEXT \"at the bottom\"").good();
    // What lies deeper than parts are told apart is in no text, as with other servers.
    assert_eq!(found.of("SEARCH")[0], b"SEARCH 3");
    assert!(!site.system_log().contains("panicked"), "{}", site.system_log());
}

fn told(size: u64, parts: Vec<ToldPart>) -> Told {
    let header = ByteVec::from(b"From: x@example.net\r\nSubject: told\r\n\r\n".to_vec());
    Told { version: 1, size, header, omitted: Vec::new(), parts, preview: "told".into() }
}

fn part(depth: u16, header_at: u64, header_len: u64, body_len: u64, kind: u8) -> ToldPart {
    let header = ByteVec::from(b"Content-Type: text/plain\r\n\r\n".to_vec());
    ToldPart { depth, header_at, header_len, body_len, lines: body_len, kind, header }
}

/// What only somebody with the site's sealing key can make: each message is shown as the signature has it, or
/// as it is stored.
#[test]
fn signed_lies() {
    const LARGE: usize = 100 << 20;
    let site = Site::with_users(&[USER]);
    let store = Dovecot::start(&site, &[USER]);
    let more = "[delivery]\nmax_message_bytes = 4194304";
    let reading = Reading::start_with(&site, &store.imap_address(), "", more);
    let forger =
        Forger::new(&site.join("etc/sealing.key"), &site.join("keys/public").join(USER), USER);
    let message = b"From: x@example.net\r\nSubject: true\r\n\r\nIt is as it is.\r\n";
    let size = message.len() as u64;
    let honest = || told(size, vec![part(0, 0, 38, size - 38, 3)]);
    let zeros = vec![0; LARGE];
    // Shown as signed, with this size.
    let opened = [
        forger.seal(size, None, message),
        forger.seal(size, Some(&told(size + 1, vec![part(0, 0, 38, 9, 3)])), message),
        forger.seal(size, Some(&told(u64::MAX, vec![part(0, 0, 38, u64::MAX, 3)])), message),
        forger.seal(size, Some(&told(0, Vec::new())), message),
    ];
    // Shown somehow, of the signed size or as stored.
    let parts = |parts: Vec<ToldPart>| forger.seal(size, Some(&told(size, parts)), message);
    let odd = [
        parts(Vec::new()),
        parts(vec![part(0, 0, 38, u64::MAX, 3)]),
        parts(vec![part(0, u64::MAX, u64::MAX, u64::MAX, 1)]),
        parts(vec![part(7, 0, 0, 0, 3)]),
        parts(vec![part(0, 0, 38, 9, 1), part(65535, 9, 9, 9, 2), part(3, 1, 1, 1, 1)]),
        parts((0..3000).map(|depth| part(depth, 0, 1, 1, 1)).collect()),
        parts((0..3000).map(|depth| part(depth, 0, 1, 1, 2)).collect()),
        parts((0..9000).map(|at| part(u16::from(at > 0), 0, 1, 1, 3)).collect()),
        parts(vec![part(0, 0, 38, 9, 255)]),
    ];
    // Never opened, and never in memory as a whole.
    let bombs = [
        forger.seal(size, Some(&honest()), &zeros),
        forger.seal(LARGE as u64, None, &zeros),
        forger.seal(u64::MAX, None, &zeros),
        forger.seal(0, None, &zeros),
    ];
    drop(zeros);
    let mut direct = login(store.imap_port(), USER);
    let stored: Vec<_> = opened.iter().chain(&odd).chain(&bombs).collect();
    for message in &stored {
        direct.append("INBOX", "", message).good();
    }
    let mut client = login(reading.port(), USER);
    client.command("SELECT INBOX").good();
    for uid in 1..=opened.len() {
        agrees(&mut client, uid, size);
        let whole = client.command(format!("UID FETCH {uid} BODY.PEEK[]")).good().literals();
        assert_eq!(whole, [message.to_vec()]);
    }
    for uid in opened.len() + 1..=opened.len() + odd.len() {
        agrees(&mut client, uid, size);
    }
    let before = kilobytes(reading.proxy.id(), "VmHWM");
    for (index, stored) in stored.iter().enumerate().skip(opened.len() + odd.len()) {
        let whole =
            client.command(format!("UID FETCH {} BODY.PEEK[]", index + 1)).good().literals();
        assert_eq!(whole.len(), 1);
        assert!(whole[0] == ***stored, "{}", index + 1);
        client.command(format!("UID FETCH {} (BODYSTRUCTURE BODY.PEEK[1])", index + 1)).good();
    }
    client.command("UID SEARCH TEXT nowhere").good();
    let grown = kilobytes(reading.proxy.id(), "VmHWM") - before;
    assert!(grown < 50 << 10, "{grown} KiB for what is never opened");
    client.command("UID FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE)").good();
    assert!(!has(site.system_log().as_bytes(), "panicked"), "{}", site.system_log());
}

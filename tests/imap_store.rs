//! `nightsafe imap` before stores that offer less than Cyrus and Dovecot do, and that speak when they are not
//! asked. The store is a small one of the test's own, which writes down all that it is sent.

mod site;
mod support;

use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use encodify::base64::STANDARD;
use site::proxy::Reading;
use site::{Site, password};
use support::imap::Client;

/// A store: what it offers, and what it was sent, a command with its literals a piece.
struct Store {
    port: u16,
    told: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Store {
    /// It greets without a list of what it offers where `is_silent`, and then has to be asked.
    fn start(offers: &'static str, is_silent: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&told);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let all = Arc::clone(&all);
                thread::spawn(move || serve(stream, offers, is_silent, &all));
            }
        });
        Self { port, told }
    }

    fn address(&self) -> String {
        format!("inet:127.0.0.1:{}", self.port)
    }

    /// The commands of this name, without their tags.
    fn commands(&self, name: &str) -> Vec<Vec<u8>> {
        let told = self.told.lock().unwrap();
        told.iter().filter(|command| command.starts_with(name.as_bytes())).cloned().collect()
    }
}

/// Serves until the other side hangs up.
fn serve(stream: TcpStream, offers: &str, is_silent: bool, all: &Mutex<Vec<Vec<u8>>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut out = stream;
    let list = if is_silent { String::new() } else { format!("[CAPABILITY {offers}] ") };
    let _ = out.write_all(format!("* OK {list}here\r\n").as_bytes());
    let mut messages = 5;
    while let Some(line) = command(&mut reader, &mut out, &mut messages) {
        let at = line.iter().position(|byte| *byte == b' ').unwrap();
        let (tag, told) =
            (String::from_utf8_lossy(&line[..at]).into_owned(), line[at + 1..].to_vec());
        all.lock().unwrap().push(told.clone());
        let text = String::from_utf8_lossy(&told).into_owned();
        let word = text.split(' ').next().unwrap_or_default().trim_end().to_owned();
        let before = match word.as_str() {
            "CAPABILITY" => format!("* CAPABILITY {offers}\r\n"),
            "SELECT" => "* 5 EXISTS\r\n* OK [UIDVALIDITY 7] it is\r\n".to_owned(),
            "AUTHENTICATE" if text.trim_end() == "AUTHENTICATE PLAIN" => {
                out.write_all(b"+ \r\n").unwrap();
                let mut answer = Vec::new();
                reader.read_until(b'\n', &mut answer).unwrap();
                all.lock().unwrap().push([b"said ", &*answer].concat());
                String::new()
            }
            "NAMESPACE" => "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n".to_owned(),
            "LOGOUT" => "* BYE\r\n".to_owned(),
            _ => String::new(),
        };
        let done = match text.contains("unavailable") {
            true => "NO [UNAVAILABLE] not now",
            false => "OK done",
        };
        if out.write_all(format!("{before}{tag} {done}\r\n").as_bytes()).is_err()
            || word == "LOGOUT"
        {
            return;
        }
    }
}

/// One command; before it asks for a literal it says that a message has come.
fn command(reader: &mut impl BufRead, out: &mut TcpStream, messages: &mut u32) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let start = whole.len();
        if reader.read_until(b'\n', &mut whole).ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&whole[start..]).trim_end().to_owned();
        let Some(size) = line.strip_suffix('}').and_then(|line| line.rsplit_once('{')) else {
            return Some(whole);
        };
        let waits = !size.1.ends_with('+');
        let size: usize = size.1.trim_end_matches('+').parse().ok()?;
        if waits {
            *messages += 1;
            out.write_all(format!("* {messages} EXISTS\r\n+ go on\r\n").as_bytes()).ok()?;
        }
        let start = whole.len();
        whole.resize(start + size, 0);
        reader.read_exact(&mut whole[start..]).ok()?;
    }
}

fn message() -> String {
    STANDARD.encode(format!("\0alice\0{}", password("alice")).as_bytes())
}

#[test]
fn each_way_to_log_in_there() {
    let site = Site::with_users(&["alice"]);
    let length = password("alice").len();
    let login = format!("LOGIN {{5}}\r\nalice {{{length}}}\r\n{}\r\n", password("alice"));
    let pushed = login.replace('}', "+}");
    let at_once = format!("AUTHENTICATE PLAIN {}\r\n", message());
    let said = format!("said {}\r\n", message());
    for (offers, is_silent, name, sent) in [
        ("IMAP4rev1 AUTH=PLAIN SASL-IR", false, "AUTHENTICATE", &at_once),
        ("IMAP4rev1 AUTH=PLAIN", true, "said", &said),
        ("IMAP4rev1", true, "LOGIN", &login),
        ("IMAP4rev1 AUTH=CRAM-MD5 LITERAL+", false, "LOGIN", &pushed),
    ] {
        let store = Store::start(offers, is_silent);
        let mut reading = Reading::start(&site, &store.address());
        let mut client = Client::login(reading.port(), "alice", &password("alice"));
        client.command("NOOP").good();
        let told: Vec<_> =
            store.commands(name).iter().map(|c| c.escape_ascii().to_string()).collect();
        assert_eq!(told, [sent.as_bytes().escape_ascii().to_string()], "{offers}");
        reading.proxy.stop();
        reading.agent.stop();
    }
    // Where nobody can say a password in the clear, none is said.
    let store = Store::start("IMAP4rev1 LOGINDISABLED STARTTLS", false);
    let reading = Reading::start(&site, &store.address());
    let mut client = Client::connect(reading.port()).unwrap();
    let answer = client.command(format!("LOGIN alice \"{}\"", password("alice")));
    assert!(answer.tagged.starts_with(b"NO [UNAVAILABLE] "), "{answer}");
    assert!(store.commands("LOGIN").is_empty() && store.commands("AUTHENTICATE").is_empty());
}

#[test]
fn literals_that_wait_and_what_is_said_meanwhile() {
    let site = Site::with_users(&["alice"]);
    let store = Store::start("IMAP4rev1 NAMESPACE", false);
    let reading = Reading::start(&site, &store.address());
    let mut client = Client::login(reading.port(), "alice", &password("alice"));
    client.command("SELECT INBOX").good();
    // Whatever the client does, the store is asked for each of its literals.
    for (command, sent) in [
        ("CREATE {4+}\r\na  b", "CREATE {4}\r\na  b\r\n"),
        ("RENAME {1}\r\na {2+}\r\nbc", "RENAME {1}\r\na {2}\r\nbc\r\n"),
        ("GETMETADATA {0+}\r\n {7}\r\n/shared", "GETMETADATA {0}\r\n {7}\r\n/shared\r\n"),
    ] {
        let before = store.told.lock().unwrap().len();
        let answer = client.command(command).good();
        let told = store.told.lock().unwrap()[before..].to_vec();
        let own = told.iter().rfind(|told| !told.starts_with(b"NAMESPACE")).unwrap();
        assert_eq!(String::from_utf8_lossy(own), sent);
        let said = answer.of("EXISTS").len();
        assert_eq!(said, sent.matches('{').count(), "{answer}");
    }
    let before = client.command("NOOP").good();
    assert!(before.of("EXISTS").is_empty(), "{before}");
    let answer = client.append("INBOX", "(\\Seen)", b"Subject: walnut\r\n\r\nx\r\n").good();
    assert_eq!(answer.of("EXISTS").len(), 1, "{answer}");
    let sent = store.commands("APPEND");
    assert!(sent[0].starts_with(b"APPEND INBOX (\\Seen) {") && sent.len() == 1);
    assert!(!String::from_utf8_lossy(&sent[0]).contains("walnut"));
    assert!(String::from_utf8_lossy(&sent[0]).contains("Nightsafe-Signature: "));
}

/// A store that is not itself is nobody's wrong guess.
#[test]
fn a_store_that_takes_nobody_now() {
    let site = Site::with_users(&["alice"]);
    let store = Store::start("IMAP4rev1 LITERAL+", false);
    let reading = Reading::start(&site, &store.address());
    let mut client = Client::connect(reading.port()).unwrap();
    for _ in 0..4 {
        let answer = client.command("LOGIN alice unavailable");
        assert!(answer.tagged.starts_with(b"NO [UNAVAILABLE] "), "{answer}");
    }
    let log = site.system_log();
    assert!(!log.contains("login failed"), "{log}");
}

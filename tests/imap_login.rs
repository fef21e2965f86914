//! Logins through `nightsafe imap`: in every form that clients write them, and what is refused.

mod site;
mod support;

use std::time::Duration;

use encodify::base64::STANDARD;
use site::cyrus::Cyrus;
use site::dovecot::Dovecot;
use site::proxy::Reading;
use site::store::Store;
use site::{Site, password};
use std::net::{TcpStream, UdpSocket};
use support::imap::{Answer, Client};

const LETTER: &[u8] = b"From: a@b.test\r\nSubject: walnut\r\n\r\nThe quinces are ripe.\r\n";

fn plain(acts_as: &str, user: &str, password: &str) -> String {
    STANDARD.encode(format!("{acts_as}\0{user}\0{password}").as_bytes())
}

/// A SASL exchange: the command, and what is said each time the server asks.
fn exchange(client: &mut Client, command: &str, said: &[&str]) -> Answer {
    let tag = client.start(command);
    for line in said {
        client.until_asked();
        client.send(format!("{line}\r\n").as_bytes()).unwrap();
    }
    client.finish(&tag)
}

/// Whoever is in reads his mail.
#[track_caller]
fn reads(client: &mut Client) {
    client.command("SELECT INBOX").good();
    assert_eq!(client.command("FETCH 1 BODY.PEEK[]").good().literals(), [LETTER]);
}

fn every_login<S: Store>() {
    let site = Site::with_users(&["alice", "bob"]);
    let store = S::open(&site, &["alice", "bob"]);
    let reading = Reading::start(&site, &store.imap_address());
    let connect = || Client::connect(reading.port()).unwrap();
    let secret = password("alice");
    let length = secret.len();
    connect_and_append(&reading, &secret);
    assert!(!String::from_utf8_lossy(&store.inbox("alice")[0]).contains("walnut"));

    for command in [
        format!("LOGIN alice \"{secret}\""),
        format!("login \"alice\" \"{secret}\""),
        format!("LOGIN {{5}}\r\nalice {{{length}}}\r\n{secret}"),
        format!("LOGIN {{5+}}\r\nalice {{{length}+}}\r\n{secret}"),
        format!("LOGIN \"alice\" {{{length}+}}\r\n{secret}"),
        format!("LOGIN {{5+}}\r\nalice \"{secret}\""),
        format!("AUTHENTICATE PLAIN {}", plain("", "alice", &secret)),
        format!("authenticate plain {}", plain("alice", "alice", &secret)),
    ] {
        let mut client = connect();
        let told = client.command(&command).good();
        assert!(told.code("CAPABILITY").is_some(), "{told}");
        reads(&mut client);
    }
    let message = plain("", "alice", &secret);
    let [name, word] = [&b"alice"[..], secret.as_bytes()].map(|text| STANDARD.encode(text));
    for (command, said) in [
        ("AUTHENTICATE PLAIN", vec![message.as_str()]),
        ("AUTHENTICATE LOGIN", vec![&name, &word]),
        (&format!("AUTHENTICATE LOGIN {name}"), vec![&word]),
    ] {
        let mut client = connect();
        exchange(&mut client, command, &said).good();
        reads(&mut client);
    }
}

#[track_caller]
fn connect_and_append(reading: &Reading, secret: &str) {
    let mut client = Client::login(reading.port(), "alice", secret);
    client.append("INBOX", "", LETTER).good();
    client.command("LOGOUT");
}

#[test]
fn every_login_before_cyrus() {
    every_login::<Cyrus>();
}

#[test]
fn every_login_before_dovecot() {
    every_login::<Dovecot>();
}

#[test]
fn what_is_no_login() {
    let site = Site::with_users(&["alice", "bob"]);
    let dovecot = Dovecot::start(&site, &["alice", "bob"]);
    let reading = Reading::start(&site, &dovecot.imap_address());
    let connect = || Client::connect(reading.port()).unwrap();
    let secret = password("alice");

    // Nobody is somebody else, whatever the store would say to it.
    let mut client = connect();
    let answer = client.command(format!("AUTHENTICATE PLAIN {}", plain("bob", "alice", &secret)));
    assert!(answer.tagged.starts_with(b"NO [AUTHORIZATIONFAILED] "), "{answer}");
    // Given up, in each place where one can; and what is no base64.
    let name = STANDARD.encode(b"alice");
    for (command, said) in [
        ("AUTHENTICATE PLAIN", vec!["*"]),
        ("AUTHENTICATE LOGIN", vec!["*"]),
        ("AUTHENTICATE LOGIN", vec![name.as_str(), "*"]),
        ("AUTHENTICATE PLAIN", vec!["%%%"]),
        ("AUTHENTICATE PLAIN =", vec![]),
    ] {
        let answer = exchange(&mut client, command, &said);
        assert_eq!(answer.status(), "BAD", "{command}: {answer}");
    }
    for command in ["AUTHENTICATE CRAM-MD5", "AUTHENTICATE GSSAPI YWJj", "AUTHENTICATE EXTERNAL ="]
    {
        assert_eq!(client.command(command).status(), "NO", "{command}");
    }
    for command in
        ["LOGIN alice", "LOGIN", "SELECT INBOX", "LOGIN alice x y", "STARTTLS", "ENABLE X"]
    {
        assert_eq!(client.command(command).status(), "BAD", "{command}");
    }
    // A password that is too long or of two lines is none; the session goes on.
    for command in [
        format!("LOGIN alice {{2000}}\r\n{}", "x".repeat(2000)),
        "LOGIN alice {4}\r\na\r\nb".into(),
    ] {
        let answer = client.command(&command);
        assert!(answer.tagged.starts_with(b"NO [AUTHENTICATIONFAILED] "), "{answer}");
    }
    client.command(format!("LOGIN alice \"{secret}\"")).good();
    for command in [format!("LOGIN bob \"{}\"", password("bob")), "AUTHENTICATE PLAIN".into()] {
        assert_eq!(client.command(&command).status(), "BAD");
    }

    // Three guesses on one connection.
    let mut client = connect();
    for guess in ["a", "b", "c"] {
        let answer = client.command(format!("LOGIN alice {guess}"));
        assert!(answer.tagged.starts_with(b"NO [AUTHENTICATIONFAILED] "), "{answer}");
    }
    assert!(client.read().unwrap().starts_with(b"* BYE "));
    assert!(client.read().is_err());
    let log = site.system_log();
    let lines =
        log.lines().filter(|line| line.contains("login failed") && line.contains("127.0.0.1"));
    assert_eq!(lines.count(), 3, "{log}");
    assert!(!log.contains(&secret), "a password is in the log");
}

/// An address of this machine beside its loopback ones. Nothing is sent.
fn own_address() -> std::net::IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").expect("a machine with a network");
    socket.local_addr().unwrap().ip()
}

#[test]
fn no_password_in_the_clear_from_elsewhere() {
    let site = Site::with_users(&["alice"]);
    let dovecot = Dovecot::start(&site, &["alice"]);
    let own = own_address();
    let port = std::net::TcpListener::bind((own, 0)).unwrap().local_addr().unwrap().port();
    let also = format!("inet:{own}:{port}");
    let reading = Reading::start_at(&site, &[&also], &dovecot.imap_address(), "", "");
    let stream = TcpStream::connect((own, port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut client = Client::over(stream.try_clone().unwrap(), stream, false).unwrap();
    let greeting = String::from_utf8(client.greeting.clone()).unwrap();
    assert!(greeting.contains(" LOGINDISABLED") && !greeting.contains("AUTH="), "{greeting}");
    let secret = password("alice");
    for command in [
        format!("LOGIN alice \"{secret}\""),
        format!("AUTHENTICATE PLAIN {}", plain("", "alice", &secret)),
        "AUTHENTICATE PLAIN".into(),
        "AUTHENTICATE LOGIN".into(),
    ] {
        let answer = client.command(&command);
        assert!(answer.tagged.starts_with(b"NO [PRIVACYREQUIRED] "), "{answer}");
    }
    // From this machine it may.
    Client::login(reading.port(), "alice", &secret);
    let log = site.system_log();
    assert_eq!(log.matches("imap-login: Login: ").count(), 1, "{log}");
}

#[test]
fn a_first_login_gives_keys_where_the_site_wants_it() {
    let site = Site::with_users(&["alice"]);
    let dovecot = Dovecot::start(&site, &["alice", "carol"]);
    let reading = Reading::start_with(&site, &dovecot.imap_address(), "enroll_at_login = true", "");
    // A guess enrols nobody.
    let mut client = Client::connect(reading.port()).unwrap();
    assert_eq!(client.command("LOGIN carol guess").status(), "NO");
    assert!(!site.join("keys/public/carol").exists());
    let mut client = Client::login(reading.port(), "carol", &password("carol"));
    assert!(site.join("keys/public/carol").exists());
    client.append("INBOX", "", LETTER).good();
    reads(&mut client);
    let stored = dovecot.inbox("carol");
    assert!(!String::from_utf8_lossy(&stored[0]).contains("walnut"));
    assert_eq!(site.unseal("carol", &stored[0]), LETTER);
    // And the next login finds them.
    reads(&mut Client::login(reading.port(), "carol", &password("carol")));
}

#[test]
fn somebody_without_keys() {
    let site = Site::with_users(&["alice"]);
    let dovecot = Dovecot::start(&site, &["alice", "carol"]);
    dovecot.login("carol").command(&format!(
        "APPEND INBOX {{{}+}}\r\n{}",
        LETTER.len(),
        std::str::from_utf8(LETTER).unwrap()
    ));
    let mut reading = Reading::start(&site, &dovecot.imap_address());
    // What is there is read; what cannot be sealed is not stored.
    let mut client = Client::login(reading.port(), "carol", &password("carol"));
    reads(&mut client);
    let answer = client.append("INBOX", "", LETTER);
    assert_eq!(answer.status(), "NO", "{answer}");
    reads(&mut client);
    assert_eq!(dovecot.inbox("carol").len(), 1);
    assert!(!site.join("keys/public/carol").exists());

    reading.proxy.stop();
    let pass = "[delivery]\nunenrolled = \"pass\"";
    reading.proxy.configure(&site, &dovecot.imap_address(), pass);
    reading.proxy.up(&site);
    let mut client = Client::login(reading.port(), "carol", &password("carol"));
    client.append("INBOX", "", LETTER).good();
    reads(&mut client);
    assert_eq!(dovecot.inbox("carol"), [LETTER, LETTER]);
}

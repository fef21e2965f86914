//! TLS on both sides of `nightsafe imap`: OpenSSL's client before it, Dovecot over TLS behind it, and who the
//! store is told that the client is.

mod site;
mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use site::dovecot::Dovecot;
use site::process::{Server, free_port, wait_for};
use site::proxy::Reading;
use site::store::Store as _;
use site::tls::Certificates;
use site::{Site, password};
use support::imap::Client;

fn over((stream, server): (UnixStream, Server), is_greeted: bool) -> (Client, Server) {
    let client = Client::over(stream.try_clone().unwrap(), stream, is_greeted);
    (client.expect("TLS begins"), server)
}

fn log_in(client: &mut Client, user: &str) {
    client.command(format!("LOGIN {user} \"{}\"", password(user))).good();
}

/// What a client is told that it may do.
fn capabilities(client: &mut Client) -> String {
    let answer = client.command("CAPABILITY").good();
    String::from_utf8(answer.of("CAPABILITY")[0].clone()).unwrap()
}

#[test]
fn clients_over_tls() {
    let site = Site::with_users(&["alice"]);
    let dovecot = Dovecot::start(&site, &["alice"]);
    let (made, other) = (Certificates::make(&site, "one"), Certificates::make(&site, "two"));
    // A name where the listener only has a number.
    let port = free_port();
    let also = format!("tls:localhost:{port}");
    let backend = dovecot.imap_address();
    let reading = Reading::start_at(&site, &[&also], &backend, "", &made.settings());

    let (mut client, _program) = over(made.client(port, false), false);
    let greeting = String::from_utf8_lossy(&client.greeting).into_owned();
    assert!(greeting.contains("AUTH=PLAIN") && !greeting.contains("STARTTLS"), "{greeting}");
    assert_eq!(client.command("STARTTLS").status(), "BAD");
    log_in(&mut client, "alice");
    let letter = "Subject: walnut\r\n\r\n".to_owned() + &"quinces\r\n".repeat(40_000);
    client.append("INBOX", "", letter.as_bytes()).good();
    client.command("SELECT INBOX").good();
    assert_eq!(client.command("FETCH 1 BODY[]").good().literals(), [letter.as_bytes()]);
    assert!(client.command("LOGOUT").good().untagged[0].starts_with(b"BYE"));

    let mut client = Client::connect(reading.port()).unwrap();
    assert!(String::from_utf8_lossy(&client.greeting).contains(" STARTTLS "));
    assert!(capabilities(&mut client).contains(" STARTTLS "));
    let (mut client, _program) = over(made.client(reading.port(), true), true);
    assert!(!capabilities(&mut client).contains("STARTTLS"));
    assert_eq!(client.command("STARTTLS").status(), "BAD");
    log_in(&mut client, "alice");
    client.command("SELECT INBOX").good();
    assert_eq!(client.command("FETCH 1 BODY[]").good().literals(), [letter.as_bytes()]);

    // Whoever believes somebody else does not come in.
    let (mut stream, _program) = other.client(port, false);
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);

    // A new certificate is taken up for the clients to come; one of no use is not.
    fs::copy(&other.chain, &made.chain).unwrap();
    let told = site.system_log().matches("imap: ").count();
    reading.proxy.reload();
    wait_for(
        "a line about the key",
        || site.system_log(),
        || (site.system_log().matches("imap: ").count() > told).then_some(()),
    );
    over(made.client(reading.port(), true), true);
}

/// What is sent in the clear behind STARTTLS was said by nobody knows whom.
#[test]
fn nothing_said_before_tls_is_answered_inside() {
    let site = Site::with_users(&["alice"]);
    let made = Certificates::make(&site, "one");
    let dovecot = Dovecot::start(&site, &["alice"]);
    let reading = Reading::start_with(&site, &dovecot.imap_address(), "", &made.settings());
    for pipelined in [
        &b"a STARTTLS\r\nb NOOP\r\n"[..],
        b"a STARTTLS\r\nb LOGIN alice {3+}\r\nabc",
        b"a STARTTLS\r\nb",
        b"z NOOP\r\na STARTTLS\r\nb LOGOUT\r\n",
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", reading.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(pipelined).unwrap();
        let mut said = Vec::new();
        // Hung up with octets unread, it may be reset.
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        assert!(!said.contains("\r\nb "), "{said}");
        let after = said.split_once("a OK begin TLS now\r\n").map(|(_, after)| after);
        assert!(after.is_none_or(str::is_empty), "{said}");
    }
    let (mut client, _program) = over(made.client(reading.port(), true), true);
    log_in(&mut client, "alice");
}

const LISTENERS: &str = "ssl = yes\nverbose_ssl = yes\n";

#[test]
fn the_store_over_tls() {
    let site = Site::with_users(&["alice"]);
    let (made, other) = (Certificates::make(&site, "one"), Certificates::make(&site, "two"));
    let port = free_port();
    let extra = format!(
        "{LISTENERS}ssl_cert = <{}\nssl_key = <{}\nservice imap-login {{\n  inet_listener imaps {{\n    \
         port = {port}\n    ssl = yes\n  }}\n}}\n",
        made.chain.display(),
        made.key.display()
    );
    let dovecot = Dovecot::start_with(&site, &["alice"], &extra);
    let settings = |authority: &Certificates| {
        format!("backend_tls_ca = \"{}\"", authority.authority.display())
    };
    for host in ["localhost", "127.0.0.1"] {
        let backend = format!("tls:{host}:{port}");
        let mut reading = Reading::start_with(&site, &backend, "", &settings(&made));
        let mut client = Client::login(reading.port(), "alice", &password("alice"));
        client.append("INBOX", "", b"Subject: walnut\r\n\r\nx\r\n").good();
        client.command("SELECT INBOX").good();
        let answer = client.command("FETCH * BODY.PEEK[]").good();
        assert_eq!(answer.literals(), [b"Subject: walnut\r\n\r\nx\r\n"]);
        reading.proxy.stop();
        reading.agent.stop();
    }
    assert_eq!(dovecot.inbox("alice").len(), 2);

    // Somebody else's certificate, and another name: no password is said to either.
    let rejected = [
        (format!("tls:localhost:{port}"), settings(&other)),
        (format!("tls:127.0.0.2:{port}"), settings(&made)),
    ];
    let before = site.system_log().matches("imap-login: Login: ").count();
    for (backend, more) in rejected {
        let mut reading = Reading::start_with(&site, &backend, "", &more);
        let mut client = Client::connect(reading.port()).unwrap();
        let answer = client.command(format!("LOGIN alice \"{}\"", password("alice")));
        assert!(answer.tagged.starts_with(b"NO [UNAVAILABLE] "), "{answer}");
        reading.proxy.stop();
        reading.agent.stop();
    }
    let log = site.system_log();
    assert_eq!(log.matches("imap-login: Login: ").count(), before, "{log}");
    assert!(!log.contains("login failed"), "the store is away, nobody guesses: {log}");
}

/// The store's own log and limits have the client's address.
#[test]
fn the_store_is_told_who_asks() {
    let site = Site::with_users(&["alice"]);
    let port = free_port();
    let extra = format!(
        "haproxy_trusted_networks = 127.0.0.0/8\nservice imap-login {{\n  inet_listener imap_behind {{\n    \
         port = {port}\n    haproxy = yes\n  }}\n}}\n"
    );
    let dovecot = Dovecot::start_with(&site, &["alice"], &extra);
    let made = Certificates::make(&site, "one");
    for (backend, more, address) in [
        (format!("inet:127.0.0.1:{port}"), "backend_proxy_protocol = true", "127.0.0.41"),
        (dovecot.imap_address(), "backend_id = true", "127.0.0.42"),
    ] {
        let more = format!("{more}\n{}", made.settings());
        let mut reading = Reading::start_with(&site, &backend, "", &more);
        let (mut client, _program) = over(made.client_from(address, reading.port(), true), true);
        assert_eq!(client.command("LOGIN alice guess").status(), "NO");
        let answer = client.command(format!("LOGIN alice \"{}\"", password("alice")));
        assert_eq!(answer.status(), "OK", "{answer}\n{}", site.system_log());
        client.command("SELECT INBOX").good();
        client.command("LOGOUT").good();
        wait_for(
            "the store's line",
            || site.system_log(),
            || {
                let log = site.system_log();
                let has = |line: &str| {
                    line.contains("Login: ") && line.contains(&format!("rip={address},"))
                };
                log.lines().any(has).then_some(())
            },
        );
        let log = site.system_log();
        let failed = format!("client={address}");
        assert!(
            log.lines().any(|line| line.contains("login failed") && line.contains(&failed)),
            "{log}"
        );
        reading.proxy.stop();
        reading.agent.stop();
    }
}

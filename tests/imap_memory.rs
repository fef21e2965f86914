//! The memory of `nightsafe imap` for what is read: kept, however much is asked for at once and however large
//! it is when it is opened; and everybody gets his mail.

mod site;
mod support;

use site::dovecot::Dovecot;
use site::proxy::Reading;
use site::store::Store as _;
use site::{Site, password};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;
use support::imap::Client;

const USER: &str = "alice";
const MIB: usize = 1 << 20;
/// `[imap] memory_bytes` and `[delivery] max_message_bytes`, in MiB.
const BUDGET: usize = 96;
const LARGEST: usize = 32;
/// What one reader may have in his turn, and what the process takes beside that.
const MOST_KIB: u64 = ((BUDGET + 3 * LARGEST + 64) << 10) as u64;

fn reading(site: &Site, store: &Dovecot) -> Reading {
    reading_with(site, store, "")
}

fn reading_with(site: &Site, store: &Dovecot, more: &str) -> Reading {
    let imap = format!(
        "{more}\nmemory_bytes = {}\ncache_bytes = {}\n[delivery]\nmax_message_bytes = {}",
        BUDGET * MIB,
        4 * MIB,
        LARGEST * MIB
    );
    Reading::start_with(site, &store.imap_address(), "", &imap)
}

fn login(reading: &Reading) -> Client {
    let mut client = Client::login(reading.port(), USER, &password(USER));
    client.command("SELECT INBOX").good();
    client
}

fn peak(reading: &Reading) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", reading.proxy.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap().split_ascii_whitespace().next().unwrap().parse().unwrap()
}

#[track_caller]
fn within(reading: &Reading) {
    let peak = peak(reading);
    assert!(peak <= MOST_KIB, "{peak} KiB at the peak, of {MOST_KIB}");
    println!("{peak} KiB at the peak, of {MOST_KIB}");
}

/// Lines of one letter: next to nothing when it is sealed.
fn thin(octets: usize, number: usize) -> Vec<u8> {
    let line = [&[b'a' + (number % 26) as u8; 76][..], b"\r\n"].concat();
    let mut message = format!("Subject: {number}\r\n\r\n").into_bytes();
    message.extend(line.iter().cycle().take((octets - message.len()) / 78 * 78));
    message
}

/// Lines of noise: larger when it is sealed.
fn thick(octets: usize, mut state: u64) -> Vec<u8> {
    let mut message = b"Subject: noise\r\n\r\n".to_vec();
    while message.len() < octets {
        for _ in 0..76 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            message.push(b'0' + (state >> 32) as u8 % 72);
        }
        message.extend_from_slice(b"\r\n");
    }
    message
}

/// Every client asks for everything, which is more than there is memory for.
#[test]
fn everything_at_once() {
    let site = Site::with_users(&[USER]);
    let store = Dovecot::start(&site, &[USER]);
    let reading = reading(&site, &store);
    let mail: Vec<Vec<u8>> = (0..16)
        .map(|number| thin(4 * MIB, number))
        .chain((1..4).map(|seed| thick(12 * MIB, seed)))
        .collect();
    let mut first = login(&reading);
    for message in &mail {
        first.append("INBOX", "", message).good();
    }
    let all: usize = mail.iter().map(Vec::len).sum();
    thread::scope(|scope| {
        for command in [
            "UID FETCH 1:* (UID BODY.PEEK[])",
            "UID FETCH 1:* (UID BODY.PEEK[TEXT])",
            "UID FETCH 1:* (UID BODY.PEEK[] BODY.PEEK[TEXT])",
            "UID SEARCH TEXT nowhere",
            "UID FETCH 1:* (UID RFC822)",
            "UID FETCH 1:* (UID BODY.PEEK[1]<1000000.1000000>)",
        ] {
            let (reading, mail) = (&reading, &mail);
            scope.spawn(move || {
                let answer = login(reading).command(command).good();
                let literals = answer.literals();
                let octets: usize = literals.iter().map(Vec::len).sum();
                if command.ends_with("BODY.PEEK[])") || command.ends_with("RFC822)") {
                    assert!(literals == *mail, "{command}: {octets} of {all}");
                } else if command.ends_with("BODY.PEEK[TEXT])") {
                    assert!(literals.len() >= mail.len() && octets >= all - 100 * mail.len());
                } else if command.contains('<') {
                    assert_eq!(octets, mail.len() * 1_000_000);
                }
            });
        }
    });
    within(&reading);
    // All of it was given back.
    first.command("SELECT INBOX").good();
    assert!(first.command("UID FETCH 19 BODY.PEEK[]").good().literals() == [mail[18].clone()]);
    assert!(!site.system_log().contains("panicked"), "{}", site.system_log());
}

/// Clients who take nothing have some of the memory, and others read on.
#[test]
fn who_takes_nothing() {
    let site = Site::with_users(&[USER]);
    let store = Dovecot::start(&site, &[USER]);
    let reading = reading(&site, &store);
    let mut client = login(&reading);
    let mail = [thick(20 * MIB, 1), thick(3 * MIB, 2), thin(8 * MIB, 3)];
    for message in &mail {
        client.append("INBOX", "", message).good();
    }
    let mut stalled: Vec<Client> = (0..2).map(|_| login(&reading)).collect();
    let tags: Vec<String> =
        stalled.iter_mut().map(|client| client.start("UID FETCH 1 BODY.PEEK[]")).collect();
    for _ in 0..3 {
        for (uid, message) in mail.iter().enumerate() {
            let command = format!("UID FETCH {} BODY.PEEK[]", uid + 1);
            assert!(client.command(command).good().literals() == [message.clone()]);
        }
        client.command("UID FETCH 1:* (ENVELOPE BODYSTRUCTURE)").good();
    }
    for (mut client, tag) in stalled.into_iter().zip(tags) {
        assert!(client.finish(&tag).good().literals() == [mail[0].clone()]);
    }
    within(&reading);
}

/// Asks for the first message and takes no more than its beginning, or all until the proxy hangs up.
fn begun(reading: &Reading) -> (TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", reading.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let commands = format!(
        "a LOGIN {USER} \"{}\"\r\nb SELECT INBOX\r\nc UID FETCH 1 BODY.PEEK[]\r\n",
        password(USER)
    );
    stream.write_all(commands.as_bytes()).unwrap();
    let (mut said, mut some) = (Vec::new(), [0; 4096]);
    while said.len() < 100_000 {
        match stream.read(&mut some).unwrap() {
            0 => break,
            read => said.extend_from_slice(&some[..read]),
        }
    }
    (stream, said)
}

/// Where clients who take nothing have all of it, the next one is told to come back; what is small is read
/// by everybody all the same, and everything again when they are gone.
#[test]
fn when_there_is_none() {
    let site = Site::with_users(&[USER]);
    let store = Dovecot::start(&site, &[USER]);
    let reading = reading_with(&site, &store, "wait_timeout = 1");
    let mut client = login(&reading);
    let message = thick(25 * MIB, 1);
    client.append("INBOX", "", &message).good();
    client.append("INBOX", "", b"Subject: small\r\n\r\nx\r\n").good();
    let mut stalled = Vec::new();
    let told = loop {
        let (stream, said) = begun(&reading);
        if said.len() < 100_000 {
            break String::from_utf8_lossy(&said).into_owned();
        }
        stalled.push(stream);
        assert!(stalled.len() < 20, "there is memory for all of them");
    };
    assert!(told.ends_with("* BYE there is no memory for it now, come back later\r\n"), "{told}");
    assert!(stalled.len() > 2, "there was memory for {} only", stalled.len());
    client.command("UID FETCH 1:* (ENVELOPE BODYSTRUCTURE)").good();
    let small = client.command("UID FETCH 2 BODY.PEEK[]").good().literals();
    assert_eq!(small, [b"Subject: small\r\n\r\nx\r\n".to_vec()]);
    drop(stalled);
    reading.agent.wait_for_leases(&site, USER, 1);
    assert!(client.command("UID FETCH 1 BODY.PEEK[]").good().literals() == [message]);
    within(&reading);
}

/// What is large comes piece by piece: the first octets are there long before the last are opened, and a
/// client who goes meanwhile leaves nothing behind.
#[test]
fn who_goes_halfway() {
    let site = Site::with_users(&[USER]);
    let store = Dovecot::start(&site, &[USER]);
    let reading = reading(&site, &store);
    let message = thin(30 * MIB, 1);
    login(&reading).append("INBOX", "", &message).good();
    for _ in 0..30 {
        let (_, said) = begun(&reading);
        assert!(said.len() >= 100_000, "{}", String::from_utf8_lossy(&said));
    }
    reading.agent.wait_for_leases(&site, USER, 0);
    within(&reading);
    let whole = login(&reading).command("UID FETCH 1 BODY.PEEK[]").good().literals();
    assert!(whole == [message]);
    assert!(!site.system_log().contains("panicked"), "{}", site.system_log());
}

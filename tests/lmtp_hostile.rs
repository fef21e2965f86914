//! Clients of `nightsafe lmtp` that mean no good: they get no further than themselves.

mod replay;
mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use replay::Numbers;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::client::Client;
use support::hook::{ALICE, BOB, Hooked};
use support::lmtp::Server;

const TEXT: &[u8] = b"Subject: walnuts\r\n\r\nThe quinces are ripe.\r\n";

/// Somebody else is served as if nothing were.
#[track_caller]
fn others_are_served(hooked: &Hooked) {
    let mut client = Client::inet_from("127.0.0.2", hooked.hook.inet()).greeted();
    let replies = client.deliver("carol@elsewhere.test", &[ALICE, BOB], TEXT);
    let good = ["250 2.0.0 sealed", "250 2.0.0 passed"];
    assert!(replies.iter().zip(good).all(|(reply, good)| reply.starts_with(good)), "{replies:?}");
    client.ask("QUIT", "221 ");
}

/// Sends `bytes` and reads what comes until the program hangs up or has heard all.
fn talk(hooked: &Hooked, bytes: &[u8]) -> Vec<String> {
    let mut client = Client::inet(hooked.hook.inet());
    if client.try_send(bytes) {
        client.end();
    }
    client.all()
}

#[test]
fn random_octets() {
    let mut hooked = Hooked::new(Vec::new());
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    let begins = [
        "",
        "LHLO x\r\n",
        "LHLO x\r\nMAIL FROM:<a@x.test>\r\n",
        "LHLO x\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<alice@example.org>\r\n",
        "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n",
        "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nBDAT 100\r\n",
    ];
    for round in 0..300 {
        let begin = begins[round % begins.len()].as_bytes();
        let count = numbers.below(20_000);
        let mut noise = numbers.bytes(count);
        if round % 3 == 0 {
            // Lines, so that it goes on.
            noise.retain(|octet| *octet != b'\r' && *octet != b'\n');
            noise = noise.chunks(50).flat_map(|line| [line, b"\r\n"].concat()).collect();
        }
        for reply in talk(&hooked, &[begin, &noise].concat()) {
            assert!(matches!(reply.as_bytes()[0], b'2'..=b'5'), "{reply}");
        }
    }
    assert_eq!(hooked.store.data().len(), 0, "half a message is none");
    others_are_served(&hooked);
    assert!(hooked.hook.is_running());
}

#[test]
fn lines_without_end() {
    let hooked = Hooked::new(Vec::new());
    let megabytes = vec![b'x'; 16 << 20];
    for begin in ["", "NOOP ", "MAIL FROM:<", "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<"] {
        let replies = talk(&hooked, &[begin.as_bytes(), &megabytes].concat());
        // A reset may overtake the reply, but nothing else is said.
        assert!(replies.len() <= 4, "{replies:?}");
    }
    let endless = b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n";
    let replies = talk(&hooked, &[endless, &megabytes[..]].concat());
    assert_eq!(replies.len(), 5, "{replies:?}");
    assert!(hooked.hook.kilobytes("VmHWM") < 512 << 10);
    others_are_served(&hooked);
}

#[test]
fn chunks_that_lie() {
    let hooked = Hooked::new(Vec::new());
    let begin = "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\n";
    for (chunk, last) in [
        ("BDAT 18446744073709551615 LAST\r\nabc", "552 5.3.4 "),
        ("BDAT 18446744073709551616 LAST\r\nabc", "501 5.5.4 "),
        ("BDAT 9223372036854775807\r\nabc", "552 5.3.4 "),
        ("BDAT 99999999999999999999999999999999\r\nabc", "501 5.5.4 "),
        ("BDAT -1 LAST\r\nabc", "501 5.5.4 "),
        ("BDAT 0x10 LAST\r\nabc", "501 5.5.4 "),
        ("BDAT 3 LAST LAST\r\nabc", "501 5.5.4 "),
        ("BDAT LAST\r\nabc", "501 5.5.4 "),
        // As large as it may be; nothing of it comes.
        ("BDAT 134217728 LAST\r\nabc", "250 2.1.5 "),
        ("BDAT 100000000\r\nabc", "250 2.1.5 "),
        ("BDAT 3\r\nabc\r\n", "500 "),
        ("BDAT 2 LAST\r\nabcd\r\n", "500 "),
    ] {
        let replies = talk(&hooked, format!("{begin}{chunk}").as_bytes());
        assert!(replies.last().unwrap().starts_with(last), "{chunk:?}: {replies:?}");
    }
    let data = hooked.store.data();
    assert_eq!(data, [b"ab\r\n.\r\n"], "only the last one was a message");
    others_are_served(&hooked);
}

/// Whoever does not read keeps no connection to the store, neither before the data nor between answers.
#[test]
fn clients_who_read_nothing() {
    let store = Server::start(Vec::new());
    let hooked = Hooked::with(store, "", "backend_connections = 1\nrecipients = 5000");
    let mut before = hooked.client();
    before.envelope("", &[ALICE]);
    before.stuff("NOOP");
    others_are_served(&hooked);
    let mut between = hooked.client();
    between.ask("MAIL FROM:<>", "250 ");
    for number in 0..3000 {
        between.ask(&format!("RCPT TO:<alice+{number}@example.org>"), "250 ");
    }
    between.send([b"DATA\r\n", TEXT, b".\r\n"].concat());
    // Where it cannot be told any more what became of the message.
    let mut answered = hooked.store.data().len();
    loop {
        thread::sleep(Duration::from_secs(1));
        let now = hooked.store.data().len();
        if now == answered {
            break;
        }
        answered = now;
    }
    others_are_served(&hooked);
}

#[test]
fn garbage_behind_a_message() {
    let hooked = Hooked::new(Vec::new());
    let mut numbers = Numbers(7);
    for round in 0..50 {
        let mut client = Client::inet(hooked.hook.inet());
        let mut all =
            b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nx\r\n.\r\n".to_vec();
        all.extend(numbers.bytes(round * 200));
        all.extend_from_slice(b"\r\n");
        client.try_send(&all);
        for begin in ["220", "250", "250", "250", "354", "250 2.0.0 passed"] {
            client.expect(begin);
        }
        client.end();
        assert!(client.all().iter().all(|reply| matches!(reply.as_bytes()[0], b'4' | b'5')));
    }
    assert!(hooked.store.data().iter().all(|data| data == b"x\r\n.\r\n"));
    others_are_served(&hooked);
}

#[test]
fn commands_without_end() {
    let hooked = Hooked::new(Vec::new());
    for (line, count) in [
        ("NOOP", 200_000),
        ("RSET", 200_000),
        ("MAIL FROM:<a@x.test>", 100_000),
        ("RCPT TO:<alice@example.org>", 20_000),
        ("RCPT TO:<nobody@example.org>", 20_000),
        ("MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nRSET", 5_000),
        ("BDAT 0", 100_000),
        ("DATA", 100_000),
        ("LHLO x", 20_000),
    ] {
        let mut client = hooked.client();
        if line.starts_with("RCPT") || line.starts_with("BDAT") {
            client.ask("MAIL FROM:<>", "250 ");
            client.ask("RCPT TO:<bob@example.org>", "250 ");
        }
        let mut left = count;
        while left > 0 {
            let now = left.min(100);
            client.send(format!("{line}\r\n").repeat(now));
            for _ in 0..now * line.lines().count() {
                let reply = client.reply();
                assert!(matches!(reply.as_bytes()[0], b'2' | b'4' | b'5'), "{line}: {reply}");
            }
            left -= now;
        }
    }
    others_are_served(&hooked);
    let memory = hooked.hook.kilobytes("VmHWM");
    assert!(memory < 64 << 10, "{memory} kB of memory for no message at all");
}

/// A client that talks and never listens.
#[test]
fn deaf_clients() {
    let mut hooked = Hooked::with(Server::start(Vec::new()), "", "data_timeout = 2");
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(hooked.hook.inet()).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        // Until nobody listens there either.
        while stream.write_all(&b"HELP\r\n".repeat(1000)).is_ok() {}
        clients.push(stream);
    }
    others_are_served(&hooked);
    // They are not waited for for ever.
    for mut client in clients {
        let mut all = Vec::new();
        client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        if let Err(error) = client.read_to_end(&mut all) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
    assert!(hooked.hook.is_running());
    let memory = hooked.hook.kilobytes("VmHWM");
    assert!(memory < 64 << 10, "{memory} kB of memory for no message at all");
}

#[test]
fn slow_senders() {
    let hooked = Hooked::new(Vec::new());
    let session =
        b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n";
    let mut clients: Vec<_> = (0..400).map(|_| Client::inet(hooked.hook.inet())).collect();
    for (at, octet) in session.iter().enumerate() {
        for client in &mut clients {
            client.send([*octet]);
        }
        if at % 16 == 0 {
            others_are_served(&hooked);
        }
        thread::sleep(Duration::from_millis(5));
    }
    for client in &mut clients {
        let replies = client.all();
        assert_eq!(replies.len(), 7, "{replies:?}");
        assert!(replies[5].starts_with("250 2.0.0 passed") && replies[6].starts_with("221 "));
    }
}

/// So many open files for this process, its clients' ends.
fn allow_files(wanted: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = maximum.map_or(wanted, |maximum| maximum.max(wanted));
    let raised =
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: Some(raised) });
    assert!(raised.is_ok(), "this test needs {wanted} open files; see `ulimit -Hn`");
}

#[test]
fn ten_thousand_connections_held() {
    allow_files(11_000);
    let hooked = Hooked::new(Vec::new());
    let idle = hooked.hook.kilobytes("VmRSS");
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..10_000 {
        let mut client = Client::inet(hooked.hook.inet());
        let greeting = client.reply();
        if greeting.starts_with("421 4.3.2 ") {
            client.closed();
            refused += 1;
        } else {
            assert!(greeting.starts_with("220 "), "{greeting}");
        }
        held.push(client);
    }
    assert_eq!(refused, 9_500, "[lmtp] connections_per_client");
    others_are_served(&hooked);
    // Others yet, up to the limit of all; one more has to wait until somebody goes.
    for host in 0..500 {
        let mut client = Client::inet_from(&format!("127.0.1.{}", host / 2), hooked.hook.inet());
        client.expect("220 ");
        held.push(client);
    }
    let mut refused = Client::inet_from("127.0.0.3", hooked.hook.inet());
    refused.expect("421 4.3.2 ");
    refused.closed();
    let memory = hooked.hook.kilobytes("VmHWM") - idle;
    assert!(memory < 64 << 10, "{memory} kB of memory for clients that say nothing");
    drop(held);
    // It takes a moment until it has seen them all go.
    let mut tries = 0;
    loop {
        let mut client = Client::inet_from("127.0.0.3", hooked.hook.inet());
        if client.reply().starts_with("220 ") {
            break;
        }
        tries += 1;
        assert!(tries < 2000, "those who left still count");
        thread::sleep(Duration::from_millis(5));
    }
    hooked.client().deliver("", &[ALICE], TEXT);
}

/// With limits that let them all in.
#[test]
fn ten_thousand_connections_served() {
    allow_files(11_000);
    let more = "connections = 12000\nconnections_per_client = 12000";
    let hooked = Hooked::with(Server::start(Vec::new()), "", more);
    let idle = hooked.hook.kilobytes("VmRSS");
    let mut held: Vec<_> = (0..10_000).map(|_| Client::inet(hooked.hook.inet())).collect();
    for client in &mut held {
        client.expect("220 ");
    }
    others_are_served(&hooked);
    for client in &mut held {
        client.send("NOOP\r\nNOO");
    }
    for client in &mut held {
        client.expect("250 ");
    }
    others_are_served(&hooked);
    // As examples/nightsafe.toml has it.
    let each = (hooked.hook.kilobytes("VmHWM") - idle) / held.len() as u64;
    println!("{each} KiB for a connection");
    assert!(each <= 20, "{each} KiB for a connection");
    // Not more for those that are about to send a message, and do not.
    let before = hooked.hook.kilobytes("VmRSS");
    let about = &mut held[..1000];
    for client in &mut *about {
        client.send("P\r\nLHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n");
    }
    for client in &mut *about {
        for begin in ["250 2.0.0 ", "250-", "250 2.1.0 ", "250 2.1.5 ", "354 "] {
            client.expect(begin);
        }
    }
    let more = (hooked.hook.kilobytes("VmRSS") - before) / about.len() as u64;
    println!("{more} KiB for a transaction");
    assert!(each + more <= 20, "{each} and {more} KiB for a connection");
    others_are_served(&hooked);
    let mut last = held.pop().unwrap();
    last.send("P\r\nLHLO x\r\n");
    last.expect("250 ");
    last.expect("250-");
    last.deliver("", &[BOB], TEXT);
    // What is in flight is waited for.
    drop(held);
    hooked.hook.stop();
}

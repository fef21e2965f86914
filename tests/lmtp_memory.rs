//! The memory budget of `nightsafe lmtp`: kept, whoever asks for what, and shared among clients.

mod support;

use std::thread;

use support::client::{Client, unstuffed};
use support::hook::{ALICE, ANNA, BEA, BOB, Hook, Hooked, PASSWORD};
use support::lmtp::{Server, say};

const MIB: usize = 1 << 20;
/// What the process may take beside the budget.
const BESIDE_KIB: u64 = 64 << 10;

/// A message of so many octets that does not compress well, and is another one for each number.
fn message(octets: usize, number: u64) -> Vec<u8> {
    let mut state = number + 0x9E37_79B9_7F4A_7C15;
    let mut text = format!("Subject: {number}\r\n\r\n").into_bytes();
    let mut column = 0;
    while text.len() < octets - 2 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Printable, without a dot: no line needs one doubled.
        text.push(b'0' + (state >> 32) as u8 % 72);
        column += 1;
        if column == 76 && text.len() < octets - 4 {
            text.extend_from_slice(b"\r\n");
            column = 0;
        }
    }
    text.extend_from_slice(b"\r\n");
    text
}

#[track_caller]
fn within(hook: &Hook, budget: usize) {
    let peak = hook.kilobytes("VmHWM");
    let most = (budget >> 10) as u64 + BESIDE_KIB;
    assert!(peak <= most, "{peak} KiB at the peak, of {most} KiB");
}

/// Sends one message until it is taken, as an MTA does; says how often it was deferred.
fn until_taken(
    client: &mut Client,
    mail: &str,
    recipients: &[&str],
    text: &[u8],
    chunked: bool,
) -> usize {
    let mut deferrals = 0;
    let mut left: Vec<&str> = recipients.to_vec();
    loop {
        client.ask(&format!("MAIL FROM:<a@x.test>{mail}"), "250 ");
        for recipient in &left {
            client.ask(&format!("RCPT TO:<{recipient}>"), "250 ");
        }
        if chunked {
            client.send([format!("BDAT {} LAST\r\n", text.len()).as_bytes(), text].concat());
        } else {
            client.ask("DATA", "354 ");
            client.send([text, b".\r\n"].concat());
        }
        let replies: Vec<_> = left.iter().map(|_| client.reply()).collect();
        for (_, reply) in left.iter().zip(&replies) {
            let known = reply.starts_with("250 2.0.0 ") || reply.starts_with("452 4.3.1 ");
            assert!(known, "{reply}");
        }
        let mut at = 0;
        left.retain(|_| {
            at += 1;
            replies[at - 1].starts_with("452")
        });
        if left.is_empty() {
            return deferrals;
        }
        deferrals += 1;
        assert!(deferrals < 20, "it is never taken");
    }
}

/// What is at hand for whoever comes costs little.
#[test]
fn an_idle_process_is_small() {
    let hooked = Hooked::new(Vec::new());
    drop(hooked.client());
    let held = hooked.hook.kilobytes("VmRSS");
    assert!(held <= 12 << 10, "{held} KiB");
}

/// Twenty at once of the largest there may be, with a budget for three of them.
#[test]
fn twenty_large_messages_at_once() {
    let (budget, size) = (64 * MIB, 8 * MIB);
    let delivery = format!("max_message_bytes = {size}");
    let more = format!("memory_bytes = {budget}\nwait_timeout = 2");
    let hooked = Hooked::with(Server::start(Vec::new()), &delivery, &more);
    let hosts: Vec<_> = (0..20).map(|n| format!("127.0.2.{}", n % 5)).collect();
    thread::scope(|scope| {
        let sending: Vec<_> = hosts
            .iter()
            .enumerate()
            .map(|(number, host)| {
                let address = hooked.hook.inet();
                scope.spawn(move || {
                    let text = message(size, number as u64);
                    let mut client = Client::inet_from(host, address).greeted();
                    let declared = format!(" SIZE={size}");
                    let mail = if number % 2 == 0 { declared.as_str() } else { "" };
                    let to = [ALICE, ANNA, BOB, "alice+x@example.org", BEA];
                    until_taken(&mut client, mail, &to, &text, number % 3 == 0)
                })
            })
            .collect();
        for sending in sending {
            sending.join().unwrap();
        }
    });
    within(&hooked.hook, budget);
    // Everybody has everything: four letters each, one of them shared by two.
    assert!(hooked.store.data().len() >= 80);
    let last = unstuffed(hooked.store.data().last().unwrap());
    assert!(last.len() > size / 2);
}

/// A chunk says how much comes: those who send one at the same time wait, and none has to come again.
#[test]
fn large_chunks_at_once() {
    let size = 8 * MIB;
    let delivery = format!("max_message_bytes = {size}");
    let more = format!("memory_bytes = {}\nwait_timeout = 60", 48 * MIB);
    let hooked = Hooked::with(Server::start(Vec::new()), &delivery, &more);
    let (address, text) = (hooked.hook.inet(), message(size, 1));
    thread::scope(|scope| {
        for number in 0..6 {
            let text = &text;
            scope.spawn(move || {
                let mut client = Client::inet_from(&format!("127.0.2.{number}"), address).greeted();
                assert_eq!(until_taken(&mut client, "", &[ALICE], text, true), 0);
            });
        }
    });
}

/// A budget that is just enough for the largest message takes it, whatever was said of its size.
#[test]
fn the_least_budget_does() {
    let size = 8 * MIB;
    let delivery = format!("max_message_bytes = {size}");
    // The program itself says how much that is.
    let site = support::Site::new();
    site.enroll(ALICE, PASSWORD).good();
    let store = Server::start(Vec::new());
    support::hook::configure(&site, &store.address, &delivery, "memory_bytes = 1000");
    let ran = site.run(["lmtp"]);
    let said = ran.stderr.split("at least ").nth(1).expect("it does not say how much");
    let least: usize = said.split(' ').next().unwrap().parse().unwrap();
    let more = format!("memory_bytes = {least}\nwait_timeout = 2");
    support::hook::configure(&site, &store.address, &delivery, &more);
    let hook = Hook::start(&site);
    let text = message(size, 1);
    for chunked in [false, true] {
        for declared in ["", " SIZE=1000", " SIZE=6000000", &format!(" SIZE={size}")] {
            let mut client = hook.client();
            let deferred = until_taken(&mut client, declared, &[ALICE], &text, chunked);
            assert_eq!(deferred, 0, "{declared:?} {chunked}");
        }
    }
    within(&hook, least);
}

/// One client has all of its share and stalls; another one is served.
#[test]
fn a_greedy_client_harms_itself() {
    let (budget, size) = (64 * MIB, 8 * MIB);
    let delivery = format!("max_message_bytes = {size}");
    let more = format!("memory_bytes = {budget}\nwait_timeout = 2\nbackend_connections = 50");
    let hooked = Hooked::with(Server::start(Vec::new()), &delivery, &more);
    let text = message(size, 2);
    let greedy: Vec<_> = (0..40)
        .map(|number| {
            let mut client = hooked.client();
            let mail = format!("MAIL FROM:<> SIZE={}", if number % 2 == 0 { size } else { 0 });
            client.ask(&mail, "250 ");
            client.ask(&format!("RCPT TO:<{ALICE}>"), "250 ");
            client.ask("DATA", "354 ");
            client
        })
        .collect();
    thread::scope(|scope| {
        // All but the end, and nothing more.
        for mut client in greedy {
            let text = &text;
            let hooked = &hooked;
            scope.spawn(move || {
                client.send(&text[..text.len() - 2]);
                for number in 0..3 {
                    let mut other =
                        Client::inet_from(&format!("127.0.3.{number}"), hooked.hook.inet())
                            .greeted();
                    let small = message(300_000, number);
                    let replies = other.deliver("", &[ALICE, BOB], &small);
                    assert!(replies.iter().all(|reply| reply.starts_with("250 ")), "{replies:?}");
                }
                client.send("\r\n.\r\n");
                let reply = client.reply();
                assert!(reply.starts_with("250 ") || reply.starts_with("452 4.3.1 "), "{reply}");
            });
        }
    });
    within(&hooked.hook, budget);
    // All of it is given back.
    let mut client = hooked.client();
    assert_eq!(until_taken(&mut client, "", &[ALICE, BOB], &text, false), 0);
}

/// Many clients that begin a message each and say no more: buffers are memory, too.
#[test]
fn a_thousand_messages_begun() {
    let budget = 64 * MIB;
    let more = format!("memory_bytes = {budget}\nwait_timeout = 5\nbackend_connections = 50");
    let delivery = format!("max_message_bytes = {}", 8 * MIB);
    let hooked = Hooked::with(Server::start(Vec::new()), &delivery, &more);
    let mut clients = Vec::new();
    for number in 0..1000 {
        let host = format!("127.0.4.{}", number % 4);
        let mut client = Client::inet_from(&host, hooked.hook.inet()).greeted();
        client.envelope("", &[BOB]);
        client.send("DATA\r\n");
        client.expect("354 ");
        clients.push(client);
    }
    let text = message(100_000, 3);
    for client in &mut clients {
        client.send(&text[..60_000]);
    }
    within(&hooked.hook, budget);
    // The first ones that go on are done with.
    drop(clients.split_off(500));
    for client in &mut clients {
        client.send([&text[60_000..], b".\r\n"].concat());
    }
    for client in &mut clients {
        let reply = client.reply();
        assert!(reply.starts_with("250 ") || reply.starts_with("452 4.3.1 "), "{reply}");
    }
    within(&hooked.hook, budget);
}

/// Who was refused takes no memory.
#[test]
fn refused_recipients_do_not_count() {
    let more = format!("memory_bytes = {}\nwait_timeout = 1", 4 * MIB);
    let store = Server::start(vec![("<gone+", say("550 5.1.1 no such user"))]);
    let hooked = Hooked::with(store, &format!("max_message_bytes = {MIB}"), &more);
    let mut client = hooked.client();
    client.ask("MAIL FROM:<>", "250 ");
    let detail = "y".repeat(950);
    for number in 0..2000 {
        client.ask(&format!("RCPT TO:<gone+{number}{detail}@example.org>"), "550 5.1.1 ");
    }
    client.ask(&format!("RCPT TO:<{ALICE}>"), "250 ");
    client.send([&b"DATA\r\n"[..], &message(MIB, 1), b".\r\n"].concat());
    client.expect("354 ");
    client.expect("250 2.0.0 sealed");
}

//! What a second reading of `nightsafe lmtp` found, so that it stays mended: whom the store is told of,
//! what it says to a message, what changes while a message is on its way.

mod site;
mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use site::process::wait_for;
use site::system_log::SystemLog;
use support::Site;
use support::client::{Client, unstuffed};
use support::hook::{ALICE, ANNA, BEA, BOB, Hook, Hooked, PASSWORD, configure};
use support::lmtp::{Answer, Gate, Rules, Server, last, offers, say};

const SENDER: &str = "carol@elsewhere.test";
const TEXT: &[u8] = b"Subject: walnuts\r\n\r\nThe quinces are ripe.\r\n";

/// The same for a store that takes commands one by one and for one that takes them together.
fn stores(rules: &Rules, extensions: &[&str]) -> [Hooked; 2] {
    [None, Some("PIPELINING")].map(|pipelining| {
        let extensions: Vec<_> = extensions.iter().copied().chain(pipelining).collect();
        let rules = rules.iter().cloned().chain([offers(&extensions)]);
        Hooked::new(rules.collect())
    })
}

/// Text of so many octets that does not compress well (xorshift).
fn large(octets: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut text = b"Subject: large\r\n\r\n".to_vec();
    while text.len() < octets {
        for _ in 0..76 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push(b'0' + (state >> 32) as u8 % 72);
        }
        text.extend_from_slice(b"\r\n");
    }
    text
}

#[track_caller]
fn begins(replies: &[String], begin: &str) {
    assert!(replies.iter().all(|reply| reply.starts_with(begin)), "{replies:?} are not {begin:?}");
}

/// `alice` in quotes is Alice. Somebody whose name has the quotes in it is not, here and for the store.
#[test]
fn a_quoted_name_is_the_same_user_on_both_sides() {
    let hooked = Hooked::with(Server::start(Vec::new()), "unenrolled = \"pass\"", "");
    let (quoted, other) = ("\"alice\"@example.org", r#""\"alice\""@example.org"#);
    let by_hook = |recipient: &str| {
        let replies = hooked.client().deliver(SENDER, &[recipient], TEXT);
        replies[0].strip_prefix("250 ").unwrap_or(&replies[0]).to_owned()
    };
    let by_pipe = |recipient: &str| {
        let arguments =
            ["--sender", SENDER, "--recipient", recipient, "--lmtp", &hooked.store.address];
        hooked.site.deliver(&arguments).good().text()
    };
    let told = || {
        let commands = hooked.store.commands();
        commands.into_iter().filter(|line| line.starts_with("RCPT ")).collect::<Vec<_>>()
    };
    for deliver in [&by_hook as &dyn Fn(&str) -> String, &by_pipe] {
        hooked.store.forget();
        let said = deliver(quoted);
        assert!(said.starts_with("2.0.0 sealed as "), "{said}");
        hooked.opened(0, ALICE);
        assert!(told().iter().all(|line| line == "RCPT TO:<alice@example.org>"), "{:?}", told());
        hooked.store.forget();
        let said = deliver(other);
        assert!(said.starts_with("2.0.0 passed"), "{said}");
        let wanted = format!("RCPT TO:<{other}>");
        assert!(!told().is_empty() && told().iter().all(|line| *line == wanted), "{:?}", told());
    }
}

/// The sender of a sealed message is nobody's business, whoever else gets the message.
#[test]
fn the_sender_comes_with_a_passed_message_only() {
    let named = |hooked: &Hooked| {
        let commands = hooked.store.commands();
        let named: Vec<_> = (0..commands.len())
            .filter(|at| commands[*at].contains("carol"))
            .map(|at| commands[at..commands.len().min(at + 3)].to_vec())
            .collect();
        hooked.store.forget();
        named
    };
    for hooked in stores(&Vec::new(), &[]) {
        let mut client = hooked.client();
        for recipients in [[BOB, ALICE], [ALICE, BOB]] {
            begins(&client.deliver(SENDER, &recipients, TEXT), "250 2.0.0 ");
            let hand_over =
                [format!("MAIL FROM:<{SENDER}>"), format!("RCPT TO:<{BOB}>"), "DATA".to_owned()];
            assert_eq!(named(&hooked), [hand_over], "{recipients:?}");
        }
        client.envelope(SENDER, &[BOB, ALICE]);
        client.ask("RSET", "250 ");
        assert!(named(&hooked).is_empty());
    }
    for hooked in stores(&vec![("<bob@", say("550 5.1.1 no such user"))], &[]) {
        let mut client = hooked.client();
        client.ask(&format!("MAIL FROM:<{SENDER}>"), "250 ");
        client.ask(&format!("RCPT TO:<{BOB}>"), "550 5.1.1 ");
        client.ask(&format!("RCPT TO:<{ALICE}>"), "250 ");
        client.send([b"DATA\r\n", TEXT, b".\r\n"].concat());
        client.expect("354 ");
        client.expect("250 2.0.0 sealed");
        assert_eq!(hooked.store.data().len(), 1);
        assert!(named(&hooked).is_empty());
    }
}

/// RFC 1870 §6.1: what the store says to a size is of the message, all else it says to MAIL is not.
#[test]
fn the_store_refuses_a_size() {
    for extensions in [&["SIZE"][..], &["SIZE", "PIPELINING"]] {
        let hooked = Hooked::new(vec![offers(extensions)]);
        let mut client = hooked.client();
        for (answer, told) in [
            ("552 5.3.4 message too big", "552 5.3.4 "),
            ("552 5.2.3 message too big", "552 5.2.3 "),
            ("552 message too big", "554 5.0.0 "),
            ("452 4.3.1 no room", "452 4.3.1 "),
            ("550 5.7.1 not you", "451 4."),
            ("550 5.1.8 bad sender", "451 4."),
            ("553 5.1.7 bad sender", "451 4."),
            ("554 5.7.1 never", "451 4."),
            ("550 no", "451 4."),
        ] {
            hooked.store.set_rules(vec![("SIZE=", say(answer)), offers(extensions)]);
            let replies = client.deliver(SENDER, &[BOB, BEA], TEXT);
            assert!(replies.iter().all(|reply| reply.starts_with(told)), "{answer}: {replies:?}");
            assert_eq!(hooked.store.data().len(), 0, "{answer}");
        }
        hooked.store.set_rules(vec![offers(extensions)]);
        begins(&client.deliver(SENDER, &[BOB, BEA], TEXT), "250 2.0.0 passed");
    }
}

/// Enrolled while the message was on its way: from then on nothing is stored in plaintext.
#[test]
fn enrolled_between_the_recipient_and_the_message() {
    const DORA: &str = "dora@example.org";
    let hooked = Hooked::with(Server::start(Vec::new()), "unenrolled = \"pass\"", "");
    let mut client = hooked.client();
    client.envelope(SENDER, &[DORA, BOB]);
    client.ask("DATA", "354 ");
    client.send(TEXT);
    hooked.site.enroll(DORA, PASSWORD).good();
    // As long as it may take until a change is seen.
    thread::sleep(Duration::from_millis(1100));
    client.send(".\r\n");
    client.expect("250 2.0.0 sealed");
    client.expect("250 2.0.0 passed");
    let path = format!("Return-Path: <{SENDER}>\r\n");
    assert_eq!(hooked.opened(1, DORA), [path.as_bytes(), TEXT].concat());
    let commands = hooked.store.commands();
    let plain = commands.iter().position(|line| line.contains("carol")).unwrap();
    let wanted = [format!("RCPT TO:<{BOB}>"), "DATA".to_owned()];
    assert_eq!(commands[plain + 1..plain + 3], wanted, "{commands:?}");
    assert_eq!(unstuffed(&hooked.store.data()[0]), TEXT);
}

/// The memory budget is what the process began with, whatever the file says meanwhile.
#[test]
fn a_reload_cannot_outgrow_the_memory() {
    let site = Site::new();
    site.enroll(ALICE, PASSWORD).good();
    let store = Server::start(Vec::new());
    let with = |message: u64, memory: u64| {
        let delivery = format!("max_message_bytes = {message}");
        configure(&site, &store.address, &delivery, &format!("memory_bytes = {memory}"));
    };
    with(1 << 20, 64 << 20);
    let log = SystemLog::start(site.join("log"));
    let hook = Hook::run(&mut log.of(&site.command(["lmtp"])));
    let mut client = hook.client();
    let read = |words: &str| {
        wait_for(words, || log.read(), || log.read().contains(words).then_some(()));
    };
    // The file is of use for a process that begins with it, and not for this one.
    with(400 << 20, 2 << 30);
    hook.signal(Signal::HUP);
    read("lmtp: configuration not changed: [lmtp] memory_bytes must be at least ");
    assert!(client.ask("LHLO again", "250-").contains("SIZE 1048576"));
    client.ask("MAIL FROM:<> SIZE=1048577", "552 5.3.4 ");
    begins(&client.deliver("", &[ALICE], TEXT), "250 2.0.0 sealed");
    // What it can hold it takes, also when the file has less memory for it.
    with(2 << 20, 8 << 20);
    hook.signal(Signal::HUP);
    read("lmtp: configuration read again");
    assert!(client.ask("LHLO again", "250-").contains("SIZE 2097152"));
    hook.stop();
}

/// A store that takes a part of each letter, says why it wants no more, and hangs up.
fn refuses_midway(path: &Path, last_words: &'static str) {
    let listener = UnixListener::bind(path).unwrap();
    let serve = move |mut out: UnixStream| -> std::io::Result<()> {
        let mut stream = BufReader::new(out.try_clone()?);
        out.write_all(b"220 test LMTP\r\n")?;
        let mut line = String::new();
        while stream.read_line(&mut line)? > 0 {
            if line.starts_with("DATA") {
                out.write_all(b"354 go on\r\n")?;
                stream.read_exact(&mut vec![0; 1 << 20])?;
                out.write_all(format!("{last_words}\r\n").as_bytes())?;
                return Ok(());
            }
            out.write_all(b"250 fine\r\n")?;
            line.clear();
        }
        Ok(())
    };
    // Ends with the test's process.
    thread::spawn(move || {
        loop {
            let _ = serve(listener.accept().unwrap().0);
        }
    });
}

#[test]
fn last_words_in_the_midst_of_a_letter() {
    let text = large(4 << 20);
    let at_once = last("354 go on\r\n552 5.3.4 too large");
    let hooked = Hooked::new(vec![("DATA", at_once)]);
    let mut client = hooked.client();
    begins(&client.deliver(SENDER, &[ALICE, BOB, BEA], &text), "552 5.3.4 ");
    assert_eq!(hooked.store.count("DATA"), 2, "asked again: {:?}", hooked.store.commands());
    let site = Site::new();
    for user in [ALICE, ANNA] {
        site.enroll(user, PASSWORD).good();
    }
    let (large, full) = (site.join("large"), site.join("full"));
    refuses_midway(&large, "552 5.3.4 too large");
    refuses_midway(&full, "552 5.2.2 over quota");
    configure(&site, &format!("unix:{}", large.display()), "", "");
    let hook = Hook::start(&site);
    let mut client = hook.client();
    begins(&client.deliver(SENDER, &[ALICE, BOB, BEA, ANNA], &text), "552 5.3.4 ");
    hook.stop();
    // Whose quota that is of those who share a letter, nobody knows.
    configure(&site, &format!("unix:{}", full.display()), "", "");
    let hook = Hook::start(&site);
    let mut client = hook.client();
    begins(&client.deliver(SENDER, &[ALICE], &text), "552 5.2.2 ");
    begins(&client.deliver(SENDER, &[BOB], &text), "552 5.2.2 ");
    begins(&client.deliver(SENDER, &[BOB, BEA], &text), "451 4.3.0 ");
}

/// Old programs write Latin-1. The sender is for the reader's eyes; the message counts.
#[test]
fn a_sender_in_latin_1() {
    for extensions in [&["8BITMIME"][..], &["8BITMIME", "SMTPUTF8"]] {
        let hooked = Hooked::new(vec![offers(extensions)]);
        let mut client = hooked.client();
        client.send(b"MAIL FROM:<j\xfcrgen@elsewhere.test> SIZE=50\r\n");
        client.expect("250 2.1.0 ");
        for recipient in [ALICE, BOB] {
            client.ask(&format!("RCPT TO:<{recipient}>"), "250 2.1.5 ");
        }
        client.send([b"DATA\r\n", TEXT, b".\r\n"].concat());
        client.expect("354 ");
        client.expect("250 2.0.0 sealed");
        client.expect("250 2.0.0 passed");
        let path = "Return-Path: <j\u{fffd}rgen@elsewhere.test>\r\n";
        assert_eq!(hooked.opened(1, ALICE), [path.as_bytes(), TEXT].concat());
        assert_eq!(hooked.store.count("MAIL FROM:<j\u{fffd}rgen@elsewhere.test>"), 1);
    }
}

/// A connection that is stuck is given up; nobody waits for it as long as for a reply that matters.
#[test]
fn a_store_that_stalls_at_rset() {
    let gate = Gate::default();
    let rules = vec![("RSET", Answer::Behind(gate.clone()))];
    let hooked = Hooked::with(Server::start(rules), "", "backend_connections = 1");
    let mut first = hooked.client();
    first.envelope(SENDER, &[ALICE]);
    // Far longer than the test has patience: the store may take 300 seconds for a reply.
    first.ask("RSET", "250 2.0.0 ");
    gate.wait_for(1);
    first.envelope(SENDER, &[ALICE]);
    // In the way, and asked to make way.
    let mut second = hooked.client();
    begins(&second.deliver(SENDER, &[ANNA], TEXT), "250 2.0.0 sealed");
    gate.wait_for(2);
    first.send([b"DATA\r\n", TEXT, b".\r\n"].concat());
    first.expect("354 ");
    first.expect("250 2.0.0 sealed");
    gate.open();
}

const MIB: usize = 1 << 20;

/// Text of so many octets that is sealed in no time.
fn plain(octets: usize) -> Vec<u8> {
    let line = [&[b'x'; 76][..], b"\r\n"].concat();
    line.repeat(octets / line.len())
}

/// A site whose large messages have 8 MiB, and where it says how many wait for memory.
struct Tight {
    hooked: Hooked,
    metrics: PathBuf,
    _folder: tempfile::TempDir,
}

impl Tight {
    fn new(delivery: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let metrics = folder.path().join("metrics");
        let more = format!("metrics = [\"unix:{}\"]\n{more}", metrics.display());
        let hooked = Hooked::with(Server::start(Vec::new()), delivery, &more);
        Self { hooked, metrics, _folder: folder }
    }

    fn client(&self, host: &str) -> Client {
        Client::inet_from(host, self.hooked.hook.inet()).greeted()
    }

    fn metrics(&self) -> String {
        let mut stream = UnixStream::connect(&self.metrics).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Whether somebody waits for memory, the first one who has to.
    fn first_waits(&self) -> bool {
        let metrics = self.metrics();
        ["waiting 1", "waits_total 1"]
            .iter()
            .all(|line| metrics.contains(&format!("\nnightsafe_lmtp_memory_{line}\n")))
    }

    fn until_first_waits(&self) {
        wait_for("somebody who waits", || self.metrics(), || self.first_waits().then_some(()));
    }
}

/// Twelve that have said how large they are, and memory for three: each has what it needs or nothing,
/// so that nobody who holds a part waits for another part.
#[test]
fn announced_messages_take_turns() {
    let size = 8 * MIB;
    let delivery = format!("max_message_bytes = {}", 20 * MIB);
    let more = format!("memory_bytes = {}\nwait_timeout = 100", 64 * MIB);
    let hooked = Hooked::with(Server::start(Vec::new()), &delivery, &more);
    let text = plain(size);
    // To the octet.
    let size = text.len();
    for hosts in [&["127.0.5.1"][..], &["127.0.5.1", "127.0.5.2"]] {
        let begun: Vec<_> = (0..12)
            .map(|number| {
                let host = hosts[number % hosts.len()];
                let mut client = Client::inet_from(host, hooked.hook.inet()).greeted();
                client.ask(&format!("MAIL FROM:<> SIZE={size}"), "250 ");
                client.ask(&format!("RCPT TO:<{}>", [ALICE, BOB][number % 2]), "250 ");
                client.ask("DATA", "354 ");
                // Each has begun before one of them goes on.
                client.send(&text[..64 * 1024]);
                client
            })
            .collect();
        let text = &text[64 * 1024..];
        let sending = begun.into_iter().map(|mut client| {
            thread::spawn({
                let text = text.to_vec();
                move || {
                    client.send([&text[..], b".\r\n"].concat());
                    client.reply()
                }
            })
        });
        let sending: Vec<_> = sending.collect();
        let replies: Vec<_> = sending.into_iter().map(|sent| sent.join().unwrap()).collect();
        begins(&replies, "250 2.0.0 ");
    }
    assert_eq!(hooked.store.data().len(), 24);
}

/// Recipients take memory, too, before there is a message.
#[test]
fn recipients_count() {
    let budget = 64 * MIB;
    let more = format!("memory_bytes = {budget}\nwait_timeout = 1");
    let delivery = format!("max_message_bytes = {MIB}");
    let hooked = Hooked::with(Server::start(Vec::new()), &delivery, &more);
    let detail = "y".repeat(950);
    let mut clients = Vec::new();
    let mut accepted = 0;
    for host in 1..=3 {
        // As many as one host can, until it is told that there is no memory.
        'host: for _ in 0..40 {
            clients
                .push(Client::inet_from(&format!("127.0.6.{host}"), hooked.hook.inet()).greeted());
            let client = clients.last_mut().unwrap();
            client.ask("MAIL FROM:<>", "250 ");
            for batch in 0..100 {
                let lines = (0..10).map(|n| {
                    let user = ["alice", "bob"][n % 2];
                    format!("RCPT TO:<{user}+{batch}.{n}.{detail}@example.org>\r\n")
                });
                client.send(lines.collect::<String>());
                let replies: Vec<_> = (0..10).map(|_| client.reply()).collect();
                let good = replies.iter().filter(|reply| reply.starts_with("250 ")).count();
                accepted += good;
                if good < replies.len() {
                    begins(&replies[good..], "452 4.3.1 ");
                    break 'host;
                }
            }
        }
    }
    let peak = hooked.hook.kilobytes("VmHWM");
    let most = (budget + 64 * MIB) as u64 >> 10;
    assert!(peak <= most, "{peak} KiB at the peak, of {most} KiB, for {accepted} recipients");
    assert!(accepted > 10_000, "{accepted} recipients only");
    // All of it is given back.
    drop(clients);
    begins(&hooked.client().deliver(SENDER, &[ALICE, BOB], TEXT), "250 2.0.0 ");
}

/// One has the memory, another waits for it: a third one's message goes past them, over the one
/// connection to the store that there is.
#[test]
fn who_waits_for_memory_keeps_no_connection() {
    let size = 8 * MIB;
    let tight = Tight::new(
        &format!("max_message_bytes = {size}"),
        &format!("memory_bytes = {}\nbackend_connections = 1", 24 * MIB),
    );
    let text = plain(size);
    let begin = |host: &str| {
        let mut client = tight.client(host);
        client.ask(&format!("MAIL FROM:<> SIZE={size}"), "250 ");
        client.ask(&format!("RCPT TO:<{ALICE}>"), "250 ");
        client.ask("DATA", "354 ");
        client.send(&text[..64 * 1024]);
        client
    };
    let mut first = begin("127.0.7.1");
    let mut second = begin("127.0.7.2");
    tight.until_first_waits();
    let mut third = tight.client("127.0.7.3");
    begins(&third.deliver(SENDER, &[ANNA, BOB], TEXT), "250 2.0.0 ");
    assert!(tight.first_waits(), "{}", tight.metrics());
    for client in [&mut first, &mut second] {
        client.send([&text[64 * 1024..], b".\r\n"].concat());
        client.expect("250 2.0.0 sealed");
    }
}

/// The same of one who waits with many recipients and no message yet.
#[test]
fn who_waits_for_a_recipient_keeps_no_connection() {
    let mut tight = Tight::new(
        &format!("max_message_bytes = {MIB}"),
        &format!("memory_bytes = {}\nbackend_connections = 1\nrecipients = 5000", 4 * MIB),
    );
    let mut many = tight.client("127.0.8.1");
    many.ask("MAIL FROM:<>", "250 ");
    let detail = "y".repeat(950);
    let sending = thread::spawn(move || {
        let mut lines = (0..3000).map(|n| format!("RCPT TO:<bob+{n}{detail}@example.org>\r\n"));
        lines.all(|line| many.try_send(line.as_bytes()) && many.try_reply().is_some())
    });
    tight.until_first_waits();
    let mut other = tight.client("127.0.8.2");
    begins(&other.deliver(SENDER, &[ALICE, BOB], TEXT), "250 2.0.0 ");
    assert!(tight.first_waits(), "{}", tight.metrics());
    // Nobody waits for the end of it.
    tight.hooked.hook.kill();
    assert!(!sending.join().unwrap());
}

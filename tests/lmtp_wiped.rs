//! What the hook keeps of the mail that went through it: nothing. The test looks into the memory of
//! the running process, which only root can.

mod support;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use support::Site;
use support::lmtp::Server;

/// In each header field, in the body, in the envelope.
const CANARIES: [&str; 5] =
    ["walnut-sender", "walnut-subject", "walnut-id", "walnut-text", "walnut-envelope"];

struct Hook(Child);

impl Drop for Hook {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nothing_of_a_message_stays_in_memory() {
    assert!(rustix::process::geteuid().is_root(), "only root can look into another process");
    let site = Site::new();
    site.enroll("alice@example.org", b"pw").good();
    let store = Server::start(Vec::new());
    let socket = site.join("lmtp");
    let lmtp = format!(
        "[delivery]\npass = [\"bob@example.org\"]\n[lmtp]\nlisten = [\"unix:{}\"]\nbackend = \"{}\"",
        socket.display(),
        store.address
    );
    site.configure("", &lmtp);
    let hook = Hook(site.command(["lmtp"]).stdout(Stdio::null()).spawn().unwrap());
    let end = Instant::now() + Duration::from_secs(60);
    let client = loop {
        if let Ok(client) = UnixStream::connect(&socket) {
            break client;
        }
        assert!(Instant::now() < end, "nightsafe does not listen");
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut dialogue = Dialogue { input: BufReader::new(&client), out: &client };
    dialogue.reply("220");
    dialogue.say("LHLO x\r\n", "250");
    // The process does hold a message while it has one.
    dialogue.begin("alice@example.org");
    dialogue.out.write_all(message(1).as_bytes()).unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while !in_memory(hook.0.id()).contains(&"walnut-text") {
        assert!(Instant::now() < end, "the search finds nothing, not even what is there");
    }
    dialogue.say(".\r\n", "250 2.0.0 sealed");
    for lines in [1, 100, 40_000] {
        for recipient in ["alice@example.org", "bob@example.org"] {
            dialogue.begin(recipient);
            dialogue.say(&format!("{}.\r\n", message(lines)), "250 2.0.0");
        }
    }
    let left = in_memory(hook.0.id());
    assert!(left.is_empty(), "still in memory: {left:?}");
}

fn message(lines: usize) -> String {
    let body = "the walnut-text goes on and on, and is not repeated by much\r\n".repeat(lines);
    format!(
        "From: <walnut-sender@b.test>\r\nSubject: =?utf-8?q?a_walnut-subject?=\r\n\
         Message-ID: <walnut-id@b.test>\r\n\r\n{body}"
    )
}

struct Dialogue<'a> {
    input: BufReader<&'a UnixStream>,
    out: &'a UnixStream,
}

impl Dialogue<'_> {
    fn begin(&mut self, recipient: &str) {
        self.say("MAIL FROM:<walnut-envelope@b.test>\r\n", "250");
        self.say(&format!("RCPT TO:<{recipient}>\r\n"), "250");
        self.say("DATA\r\n", "354");
    }

    fn say(&mut self, text: &str, wanted: &str) {
        self.out.write_all(text.as_bytes()).unwrap();
        self.reply(wanted);
    }

    fn reply(&mut self, wanted: &str) {
        loop {
            let mut line = String::new();
            self.input.read_line(&mut line).unwrap();
            if line.get(3..4) != Some("-") {
                assert!(line.starts_with(wanted), "{line}");
                return;
            }
        }
    }
}

/// The canaries in whatever the process can write to.
fn in_memory(process: u32) -> Vec<&'static str> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let mut found = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
        let Some((start, end)) = range.split_once('-').filter(|_| rights.starts_with("rw")) else {
            continue;
        };
        let [start, end] = [start, end].map(|at| u64::from_str_radix(at, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        // A mapping may be gone meanwhile.
        let read = memory.read_at(&mut bytes, start).unwrap_or(0);
        bytes.truncate(read);
        for canary in CANARIES {
            if memchr::memmem::find(&bytes, canary.as_bytes()).is_some() {
                found.push(canary);
            }
        }
    }
    found
}

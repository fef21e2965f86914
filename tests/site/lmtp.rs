//! As much of an LMTP client (RFC 2033, RFC 3030) as a test needs to hand messages over by itself.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

pub struct Client {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Client {
    /// Connects and reads the greeting; nothing when the server does not greet (yet).
    pub fn connect(socket: &Path) -> Option<Self> {
        let writer = UnixStream::connect(socket).ok()?;
        writer.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
        let mut reader = BufReader::new(writer.try_clone().ok()?);
        let mut greeting = String::new();
        reader.read_line(&mut greeting).ok()?;
        greeting.starts_with("220 ").then_some(Self { reader, writer })
    }

    /// Sends a command and gives all lines of the reply.
    pub fn command(&mut self, line: &str) -> String {
        self.writer.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.reply()
    }

    /// The same for one that must succeed.
    #[track_caller]
    pub fn good(&mut self, line: &str) -> String {
        let reply = self.command(line);
        assert!(reply.starts_with(['2', '3']), "{line}: {reply}");
        reply
    }

    /// Greets, and opens a transaction for recipients who must all be taken.
    #[track_caller]
    pub fn begin(&mut self, sender: &str, recipients: &[&str]) {
        self.good("LHLO client.example.net");
        self.next(sender, recipients);
    }

    /// Opens another transaction.
    #[track_caller]
    pub fn next(&mut self, sender: &str, recipients: &[&str]) {
        self.good(&format!("MAIL FROM:<{sender}>"));
        for recipient in recipients {
            self.good(&format!("RCPT TO:<{recipient}>"));
        }
    }

    /// Sends the message with DATA, which carries only what ends with a line end. Gives the replies.
    pub fn data(&mut self, message: &[u8], recipients: usize) -> Vec<String> {
        assert!(message.is_empty() || message.ends_with(b"\r\n"), "DATA cannot carry this");
        self.good("DATA");
        self.writer.write_all(&stuffed(message)).unwrap();
        (0..recipients).map(|_| self.reply()).collect()
    }

    /// Sends the message with BDAT, in two chunks. Gives the replies.
    pub fn chunks(&mut self, message: &[u8], recipients: usize) -> Vec<String> {
        let (first, last) = message.split_at(message.len() / 2);
        self.writer.write_all(format!("BDAT {}\r\n", first.len()).as_bytes()).unwrap();
        self.writer.write_all(first).unwrap();
        let taken = self.reply();
        assert!(taken.starts_with("250 "), "{taken}");
        self.writer.write_all(format!("BDAT {} LAST\r\n", last.len()).as_bytes()).unwrap();
        self.writer.write_all(last).unwrap();
        (0..recipients).map(|_| self.reply()).collect()
    }

    fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let start = reply.len();
            let length = self.reader.read_line(&mut reply).unwrap();
            assert!(length > 0, "the server hung up after {reply:?}");
            if reply.as_bytes().get(start + 3) != Some(&b'-') {
                return reply.trim_end().to_owned();
            }
        }
    }
}

/// A dot doubled where it begins a line, which only CR LF ends, and the line of one dot.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 16);
    for (at, &byte) in message.iter().enumerate() {
        if byte == b'.' && (at == 0 || message[..at].ends_with(b"\r\n")) {
            out.push(b'.');
        }
        out.push(byte);
    }
    out.extend_from_slice(b".\r\n");
    out
}

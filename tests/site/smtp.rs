//! As much of an SMTP client (RFC 5321) as a test needs to hand a message to an MTA.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Hands in a message with CRLF line ends; gives the queue id that the MTA answers.
pub fn submit(port: u16, sender: &str, recipients: &[&str], message: &[u8]) -> String {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut client = Client { reader: BufReader::new(stream.try_clone().unwrap()), writer: stream };
    client.reply("220");
    client.command("EHLO client.example.net", "250");
    client.command(&format!("MAIL FROM:<{sender}>"), "250");
    for recipient in recipients {
        client.command(&format!("RCPT TO:<{recipient}>"), "250");
    }
    client.command("DATA", "354");
    client.writer.write_all(&stuffed(message)).unwrap();
    let accepted = client.reply("250");
    client.command("QUIT", "221");
    // Postfix says "… queued as 4cXyZ", Exim "… id=1vNabc-000001-2x".
    let id = accepted.trim_end().rsplit([' ', '=']).next().unwrap();
    id.to_owned()
}

/// Dots doubled at the beginning of lines, and the line with one dot at the end.
pub fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 16);
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Client {
    fn command(&mut self, line: &str, expected: &str) -> String {
        self.writer.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.reply(expected)
    }

    /// Reads a reply and gives its last line.
    fn reply(&mut self, expected: &str) -> String {
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).unwrap();
            assert!(line.starts_with(expected), "expected {expected}, the MTA said: {line:?}");
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }
}

//! As much of an IMAP client (RFC 3501) as a test needs to look into a mailbox.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub struct Imap {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    commands: u32,
}

impl Imap {
    /// Connects and reads the greeting; nothing when the server does not greet (yet).
    pub fn connect(port: u16) -> Option<Self> {
        let writer = TcpStream::connect(("127.0.0.1", port)).ok()?;
        writer.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
        let mut reader = BufReader::new(writer.try_clone().ok()?);
        let mut greeting = String::new();
        reader.read_line(&mut greeting).ok()?;
        greeting.starts_with("* OK").then_some(Self { reader, writer, commands: 0 })
    }

    pub fn login(port: u16, user: &str, password: &str) -> Self {
        let mut client = Self::connect(port).expect("the server greets");
        client.command(&format!("LOGIN {user} \"{password}\""));
        client
    }

    /// Runs a command that must succeed, and gives the literals of its answer.
    pub fn command(&mut self, command: &str) -> Vec<Vec<u8>> {
        self.try_command(command).unwrap_or_else(|result| panic!("{command:?}: {result}"))
    }

    /// The same with the answer of one that does not succeed.
    pub fn try_command(&mut self, command: &str) -> Result<Vec<Vec<u8>>, String> {
        self.commands += 1;
        let tag = format!("t{}", self.commands);
        self.writer.write_all(format!("{tag} {command}\r\n").as_bytes()).unwrap();
        let mut literals = Vec::new();
        loop {
            let mut line = Vec::new();
            let length = self.reader.read_until(b'\n', &mut line).unwrap();
            let line = String::from_utf8_lossy(&line);
            assert!(length > 0, "the server hung up at {command:?}");
            if let Some(size) = literal(&line) {
                let mut content = vec![0; size];
                self.reader.read_exact(&mut content).unwrap();
                literals.push(content);
            } else if let Some(result) = line.strip_prefix(&tag) {
                return if result.starts_with(" OK") {
                    Ok(literals)
                } else {
                    Err(result.to_owned())
                };
            }
        }
    }

    /// All messages of a mailbox as they are stored.
    pub fn messages(&mut self, mailbox: &str) -> Vec<Vec<u8>> {
        self.command(&format!("EXAMINE \"{mailbox}\""));
        self.command("UID FETCH 1:* BODY.PEEK[]")
    }
}

/// The size of the literal that a line announces at its end: `{123}`.
fn literal(line: &str) -> Option<usize> {
    line.trim_end().strip_suffix('}')?.rsplit_once('{')?.1.parse().ok()
}

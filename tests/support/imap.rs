//! An IMAP client (RFC 3501) that keeps every octet it is told: what a test compares is what came.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long a server may be silent before the test calls it a hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// One response as it came, its literals inline (`{n}` CRLF and the octets), the last CRLF taken off.
pub type Response = Vec<u8>;

/// All that came until a command was answered.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The untagged responses, without their `* `.
    pub untagged: Vec<Response>,
    /// The tagged one, without its tag: `OK …`, `NO …`, `BAD …`.
    pub tagged: Response,
}

impl Answer {
    /// `OK`, `NO` or `BAD`.
    pub fn status(&self) -> String {
        let word = self.tagged.split(|&byte| byte == b' ').next().unwrap_or_default();
        String::from_utf8_lossy(word).to_ascii_uppercase()
    }

    /// Fails unless the command succeeded.
    #[track_caller]
    pub fn good(self) -> Self {
        assert_eq!(self.status(), "OK", "{self}");
        self
    }

    /// The untagged responses that begin with this word, or have it behind a number.
    pub fn of(&self, name: &str) -> Vec<&Response> {
        let is = |response: &&Response| {
            let mut words = response.split(|&byte| byte == b' ');
            let first = words.next().unwrap_or_default();
            let numbered = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
            let word = if numbered { words.next().unwrap_or_default() } else { first };
            word.eq_ignore_ascii_case(name.as_bytes())
        };
        self.untagged.iter().filter(is).collect()
    }

    /// The content of the response code `[NAME …]` of any response.
    pub fn code(&self, name: &str) -> Option<String> {
        self.untagged.iter().chain([&self.tagged]).find_map(|response| {
            let text = String::from_utf8_lossy(response);
            let inside = text.split_once(" [")?.1.split_once(']')?.0;
            let (code, rest) = inside.split_once(' ').unwrap_or((inside, ""));
            code.eq_ignore_ascii_case(name).then(|| rest.to_owned())
        })
    }

    /// The literals of all responses, in order.
    pub fn literals(&self) -> Vec<Vec<u8>> {
        self.untagged.iter().flat_map(|response| literals(response)).collect()
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for response in &self.untagged {
            writeln!(out, "* {}", response.escape_ascii())?;
        }
        write!(out, "{}", self.tagged.escape_ascii())
    }
}

/// The literals inside one response.
pub fn literals(response: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = response;
    while let Some(end) = memchr::memmem::find(rest, b"\r\n") {
        let (line, after) = (&rest[..end], &rest[end + 2..]);
        let size = announced(line).expect("only a literal has a line end inside a response");
        found.push(after[..size].to_vec());
        rest = &after[size..];
    }
    found
}

/// The size of the literal that a line announces at its end: `{123}`, `{123+}`, `~{123}`.
fn announced(line: &[u8]) -> Option<usize> {
    let digits = line.strip_suffix(b"}")?;
    let digits = digits.strip_suffix(b"+").unwrap_or(digits);
    let at = digits.iter().rposition(|&byte| byte == b'{')?;
    std::str::from_utf8(&digits[at + 1..]).ok()?.parse().ok()
}

/// Whether a line ends in a literal that waits to be asked for.
fn waits(line: &[u8]) -> bool {
    announced(line).is_some() && !line.ends_with(b"+}")
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

pub struct Client {
    reader: BufReader<Box<dyn Stream>>,
    writer: Box<dyn Stream>,
    pub greeting: Response,
    commands: u32,
}

impl Client {
    /// Connects to a TCP port of this machine; nothing when nobody greets there.
    pub fn connect(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_nodelay(true).ok()?;
        Self::greeted(Box::new(stream.try_clone().ok()?), Box::new(stream))
    }

    /// The same for a Unix socket.
    pub fn connect_unix(path: &std::path::Path) -> Option<Self> {
        let stream = UnixStream::connect(path).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        Self::greeted(Box::new(stream.try_clone().ok()?), Box::new(stream))
    }

    /// The same over a connection that is there already; nobody greets where somebody else has read that.
    pub fn over<S: Read + Write + Send + 'static>(
        reader: S,
        writer: S,
        is_greeted: bool,
    ) -> Option<Self> {
        if !is_greeted {
            return Self::greeted(Box::new(reader), Box::new(writer));
        }
        let reader: Box<dyn Stream> = Box::new(reader);
        let reader = BufReader::with_capacity(1 << 16, reader);
        Some(Self { reader, writer: Box::new(writer), greeting: Vec::new(), commands: 0 })
    }

    fn greeted(reader: Box<dyn Stream>, writer: Box<dyn Stream>) -> Option<Self> {
        let reader = BufReader::with_capacity(1 << 16, reader);
        let mut client = Self { reader, writer, greeting: Vec::new(), commands: 0 };
        client.greeting = client.read().ok()?;
        Some(client)
    }

    /// Connects and logs in.
    #[track_caller]
    pub fn login(port: u16, user: &str, password: &str) -> Self {
        let mut client = Self::connect(port).expect("the server greets");
        client.command(format!("LOGIN {user} \"{password}\"")).good();
        client
    }

    /// Runs one command. A literal in it, `{n}` CRLF and n octets, is sent when the server asks for it.
    pub fn command(&mut self, command: impl AsRef<[u8]>) -> Answer {
        let command = command.as_ref();
        self.try_command(command).unwrap_or_else(|error| panic!("{}: {error}", brief(command)))
    }

    /// The same where the connection may break.
    pub fn try_command(&mut self, command: &[u8]) -> io::Result<Answer> {
        let tag = self.next_tag();
        let mut answer = Answer::default();
        let whole = [tag.as_bytes(), b" ", command, b"\r\n"].concat();
        for piece in pieces(&whole) {
            self.send(piece)?;
            let asks = piece.strip_suffix(b"\r\n").is_some_and(waits) && piece.len() < whole.len();
            if asks && !self.collect(&tag, &mut answer, true)? {
                return Ok(answer);
            }
        }
        self.collect(&tag, &mut answer, false)?;
        Ok(answer)
    }

    /// Appends a message, with flags and date as they are to stand in the command.
    pub fn append(&mut self, mailbox: &str, before: &str, message: &[u8]) -> Answer {
        let mut command = format!("APPEND {mailbox} ");
        if !before.is_empty() {
            let _ = write!(command, "{before} ");
        }
        let _ = write!(command, "{{{}}}\r\n", message.len());
        self.command([command.as_bytes(), message].concat())
    }

    /// Sends a command and does not wait; [`Client::finish`] does.
    pub fn start(&mut self, command: impl AsRef<[u8]>) -> String {
        let tag = self.next_tag();
        self.send(&[tag.as_bytes(), b" ", command.as_ref(), b"\r\n"].concat()).unwrap();
        tag
    }

    /// Reads until the command of this tag is answered.
    pub fn finish(&mut self, tag: &str) -> Answer {
        let mut answer = Answer::default();
        self.collect(tag, &mut answer, false).unwrap();
        answer
    }

    /// Reads until the server asks for more (`+ …`), as it does after IDLE.
    pub fn until_asked(&mut self) {
        let response = self.read().unwrap();
        assert!(response.starts_with(b"+"), "{}", response.escape_ascii());
    }

    /// Reads until the server hangs up. Half a response is none.
    #[track_caller]
    pub fn until_end(&mut self) -> Vec<Response> {
        let mut responses = Vec::new();
        while !self.reader.fill_buf().expect("an end in good order").is_empty() {
            responses.push(self.read().expect("a whole response"));
        }
        responses
    }

    fn next_tag(&mut self) -> String {
        self.commands += 1;
        format!("t{}", self.commands)
    }

    /// Octets as they are.
    pub fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.writer.write_all(octets)
    }

    /// One response, whatever it is, with what precedes it: `* `, `+ ` or a tag.
    pub fn read(&mut self) -> io::Result<Response> {
        let mut response = Vec::new();
        loop {
            let start = response.len();
            if self.reader.read_until(b'\n', &mut response)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = &response[start..];
            let Some(line) = line.strip_suffix(b"\r\n") else {
                let said = format!("no line of IMAP: {}", line.escape_ascii());
                return Err(io::Error::new(io::ErrorKind::InvalidData, said));
            };
            let Some(size) = announced(line) else {
                response.truncate(response.len() - 2);
                return Ok(response);
            };
            let start = response.len();
            response.resize(start + size, 0);
            self.reader.read_exact(&mut response[start..])?;
        }
    }

    /// Collects responses until the tagged one, or until the server asks for more; tells whether it did.
    fn collect(&mut self, tag: &str, answer: &mut Answer, asked: bool) -> io::Result<bool> {
        loop {
            let response = self.read()?;
            if let Some(untagged) = response.strip_prefix(b"* ") {
                answer.untagged.push(untagged.to_vec());
            } else if asked && response.starts_with(b"+") {
                return Ok(true);
            } else if let Some(tagged) =
                response.strip_prefix(tag.as_bytes()).and_then(|rest| rest.strip_prefix(b" "))
            {
                answer.tagged = tagged.to_vec();
                return Ok(false);
            } else {
                let said = format!("out of turn: {}", response.escape_ascii());
                return Err(io::Error::new(io::ErrorKind::InvalidData, said));
            }
        }
    }
}

/// A command cut behind each literal's announcement that waits.
fn pieces(command: &[u8]) -> Vec<&[u8]> {
    let (mut pieces, mut start, mut at) = (Vec::new(), 0, 0);
    while let Some(end) = memchr::memmem::find(&command[at..], b"\r\n").map(|end| at + end) {
        let line = &command[at..end];
        at = end + 2;
        let Some(size) = announced(line) else { continue };
        if waits(line) {
            pieces.push(&command[start..at]);
            start = at;
        }
        at += size;
    }
    pieces.push(&command[start..]);
    pieces
}

/// A command as a failure shows it.
fn brief(command: &[u8]) -> String {
    command[..command.len().min(200)].escape_ascii().to_string()
}

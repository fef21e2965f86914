//! A client of `nightsafe lmtp` that says what it is told and reads whole replies.

use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long a reply may take before the test calls it a hang.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection to the program.
pub struct Client {
    stream: BufReader<Stream>,
}

enum Stream {
    Inet(TcpStream),
    Unix(UnixStream),
}

impl Client {
    pub fn unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream: BufReader::new(Stream::Unix(stream)) }
    }

    pub fn inet(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).unwrap())
    }

    /// From another address of this host: another client to the program.
    pub fn inet_from(from: &str, address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
            socket.connect(address).await.unwrap().into_std().unwrap()
        });
        stream.set_nonblocking(false).unwrap();
        Self::of(stream)
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream: BufReader::new(Stream::Inet(stream)) }
    }

    /// Reads the greeting and says LHLO.
    #[track_caller]
    pub fn greeted(mut self) -> Self {
        self.expect("220");
        self.ask("LHLO test", "250");
        self
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Says what the program may refuse to listen to.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    /// Says `line` again and again and reads no answer, until the program takes no more.
    pub fn stuff(&mut self, line: &str) {
        let patience = |stream: &Stream, patience| match stream {
            Stream::Inet(stream) => stream.set_write_timeout(Some(patience)).unwrap(),
            Stream::Unix(stream) => stream.set_write_timeout(Some(patience)).unwrap(),
        };
        patience(self.stream.get_ref(), Duration::from_millis(500));
        while self.try_send(format!("{line}\r\n").repeat(100).as_bytes()) {}
        patience(self.stream.get_ref(), PATIENCE);
    }

    /// Says nothing more, and listens on. The program may have hung up by then.
    pub fn end(&self) {
        let _ = match self.stream.get_ref() {
            Stream::Inet(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// All lines of the next reply, without the last CR LF; `None` when the program hung up.
    #[track_caller]
    pub fn try_reply(&mut self) -> Option<String> {
        let mut reply = Vec::new();
        loop {
            let start = reply.len();
            match self.stream.read_until(b'\n', &mut reply) {
                Ok(0) => {
                    assert_eq!(start, 0, "half a reply: {}", String::from_utf8_lossy(&reply));
                    return None;
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                read => drop(read.unwrap()),
            }
            let line = &reply[start..];
            assert!(line.ends_with(b"\r\n") && line.len() <= 512, "{line:?}");
            if line[3] == b' ' {
                reply.truncate(reply.len() - 2);
                return Some(String::from_utf8(reply).unwrap());
            }
            assert_eq!(line[3], b'-', "{line:?}");
        }
    }

    #[track_caller]
    pub fn reply(&mut self) -> String {
        self.try_reply().expect("the program hung up")
    }

    /// The next reply, which must begin like this.
    #[track_caller]
    pub fn expect(&mut self, begin: &str) -> String {
        let reply = self.reply();
        assert!(reply.starts_with(begin), "{reply:?} is not {begin:?}");
        reply
    }

    /// Says one line, whose reply must begin like this.
    #[track_caller]
    pub fn ask(&mut self, line: &str, begin: &str) -> String {
        self.send(format!("{line}\r\n"));
        let reply = self.reply();
        assert!(reply.starts_with(begin), "{line:?}: {reply:?} is not {begin:?}");
        reply
    }

    /// The program hangs up, and says nothing before.
    #[track_caller]
    pub fn closed(&mut self) {
        assert_eq!(self.try_reply(), None);
    }

    /// Nothing was said so far that was not read.
    #[track_caller]
    pub fn silent(&mut self) {
        let patience = |stream: &Stream, patience| match stream {
            Stream::Inet(stream) => stream.set_read_timeout(Some(patience)).unwrap(),
            Stream::Unix(stream) => stream.set_read_timeout(Some(patience)).unwrap(),
        };
        patience(self.stream.get_ref(), Duration::from_millis(1));
        let said = self.stream.fill_buf().map(String::from_utf8_lossy);
        let nothing = said.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        assert!(nothing, "{said:?}");
        patience(self.stream.get_ref(), PATIENCE);
    }

    /// Everything up to the end of the connection, in replies.
    #[track_caller]
    pub fn all(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.try_reply()).collect()
    }

    /// MAIL, one RCPT for each, DATA; everybody is accepted.
    #[track_caller]
    pub fn envelope(&mut self, sender: &str, recipients: &[&str]) {
        self.ask(&format!("MAIL FROM:<{sender}>"), "250 2.1.0 ");
        for recipient in recipients {
            self.ask(&format!("RCPT TO:<{recipient}>"), "250 2.1.5 ");
        }
    }

    /// A whole transaction; the replies to the end of the data.
    #[track_caller]
    pub fn deliver(&mut self, sender: &str, recipients: &[&str], data: &[u8]) -> Vec<String> {
        self.envelope(sender, recipients);
        self.ask("DATA", "354 ");
        self.send([&stuffed(data)[..], b".\r\n"].concat());
        recipients.iter().map(|_| self.reply()).collect()
    }
}

/// The data as a strict client writes it.
pub fn stuffed(data: &[u8]) -> Vec<u8> {
    assert!(data.is_empty() || data.ends_with(b"\r\n"));
    let mut wire = Vec::with_capacity(data.len());
    for (at, byte) in data.iter().enumerate() {
        if *byte == b'.' && (at == 0 || data[..at].ends_with(b"\r\n")) {
            wire.push(b'.');
        }
        wire.push(*byte);
    }
    wire
}

/// What a strict server makes of data, without the line of one dot.
pub fn unstuffed(data: &[u8]) -> Vec<u8> {
    let data = data.strip_suffix(b".\r\n").unwrap();
    let mut message = Vec::with_capacity(data.len());
    for (at, byte) in data.iter().enumerate() {
        if *byte != b'.' || !(at == 0 || data[..at].ends_with(b"\r\n")) {
            message.push(*byte);
        }
    }
    message
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Inet(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Inet(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

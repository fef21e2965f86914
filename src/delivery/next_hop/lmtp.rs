//! An LMTP server as the next hop (RFC 2033): Cyrus' or Dovecot's own, over a Unix or a TCP socket.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use smtp_proto::response::parser::ResponseReceiver;
use smtp_proto::{EXT_8BIT_MIME, EXT_SMTP_UTF8, EhloResponse, Response};

use crate::user::User;

use crate::delivery::smtp::{DotStuffed, path};

use super::{BUFFER_BYTES, Letter, NextHop, Refusal};

/// How long a reply or a write may take (RFC 5321 §4.5.3.2 has five minutes for most).
const TIMEOUT: Duration = Duration::from_secs(300);
/// How long the reply to the end of the data may take (RFC 5321 §4.5.3.2.6).
const DATA_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a TCP connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest reply that is read, in octets.
const MAX_REPLY_BYTES: u64 = 64 * 1024;

/// Where an LMTP server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `unix:/path`
    Unix(PathBuf),
    /// `inet:host:port`
    Inet(String),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("inet", host)) if host.contains(':') => Ok(Self::Inet(host.to_owned())),
            _ => Err("not of the form unix:/path or inet:host:port".to_owned()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inet(host) => write!(f, "inet:{host}"),
        }
    }
}

trait Socket: Read + Write {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()>;
}

impl Socket for UnixStream {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout))?;
        self.set_write_timeout(Some(timeout))
    }
}

impl Socket for TcpStream {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout))?;
        self.set_write_timeout(Some(timeout))
    }
}

/// An LMTP server. The connection is kept from one letter to the next.
pub struct Lmtp {
    address: Address,
    session: Option<Session>,
}

impl fmt::Debug for Lmtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lmtp({})", self.address)
    }
}

impl Lmtp {
    /// The server at `address`; nobody is connected to yet.
    pub fn new(address: Address) -> Self {
        Self { address, session: None }
    }
}

impl NextHop for Lmtp {
    fn hand_on(
        &mut self,
        address: &str,
        _: Option<&User>,
        letter: &Letter<'_>,
    ) -> Result<(), Refusal> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => {
                Session::open(&self.address).map_err(|problem| problem.refusal(&self.address))?
            }
        };
        match session.transaction(address, letter) {
            Ok(()) => {
                self.session = Some(session);
                Ok(())
            }
            // Whatever went wrong, the next letter gets a connection that is known to be clean.
            Err(problem) => Err(problem.refusal(&self.address)),
        }
    }
}

impl Drop for Lmtp {
    fn drop(&mut self) {
        if let Some(mut session) = self.session.take() {
            let _ = session.send("QUIT\r\n");
        }
    }
}

/// What stood in the way of a transaction.
enum Problem {
    /// The connection, or a reply that is none. Nobody knows what the server has done.
    Io(&'static str, io::Error),
    /// A reply that says no.
    Reply {
        step: &'static str,
        code: u16,
        enhanced: [u8; 3],
        text: String,
        /// Whether a 5xx at this step speaks of the recipient or the message.
        counts: bool,
    },
}

impl Problem {
    fn refusal(&self, server: &Address) -> Refusal {
        match self {
            Self::Io(step, cause) => {
                Refusal::for_now("4.4.2", format!("{server}: {step}: {cause}"))
            }
            Self::Reply { step, code, enhanced, text, counts } => {
                let detail = format!("{server}: {step}: {code} {}", text.replace('\n', " | "));
                let [class, subject, what] = enhanced;
                match code / 100 {
                    5 if *counts && is_about_the_mail(*code, *enhanced) => {
                        let code = format!("5.{subject}.{what}");
                        Refusal::for_good(if *class == 5 { &code } else { "5.0.0" }, detail)
                    }
                    _ if *class == 4 => Refusal::for_now(&format!("4.{subject}.{what}"), detail),
                    _ => Refusal::for_now("4.3.0", detail),
                }
            }
        }
    }
}

/// Whether a 5xx speaks of the recipient or the message. Of the others, a server that wants us to log
/// in or does not understand us will be mended (RFC 5321 §4.2.2, RFC 4954 §6, RFC 3463 §3.6).
fn is_about_the_mail(code: u16, enhanced: [u8; 3]) -> bool {
    !matches!(code, 500..=504 | 530..=538 | 555) && !matches!(enhanced, [5, 5, _])
}

struct Session {
    stream: BufReader<Box<dyn Socket>>,
    extensions: u32,
}

impl Session {
    fn open(address: &Address) -> Result<Self, Problem> {
        let socket = connect(address).map_err(|cause| Problem::Io("connect", cause))?;
        let mut session = Self { stream: BufReader::new(socket), extensions: 0 };
        session.expect("greeting", 2, false)?;
        session.command("LHLO localhost\r\n", "LHLO")?;
        let text = session.read_reply("LHLO")?;
        let reply = parsed("LHLO", &text)?;
        if reply.code != 250 {
            return Err(problem("LHLO", reply, false));
        }
        // What cannot be read is not offered.
        session.extensions =
            EhloResponse::parse(&mut text.iter()).map_or(0, |offered| offered.capabilities);
        Ok(session)
    }

    /// One transaction for one recipient; `Ok` only after the reply to the end of the data.
    fn transaction(&mut self, recipient: &str, letter: &Letter<'_>) -> Result<(), Problem> {
        let sender = letter.sender();
        let mut parameters = String::new();
        if self.extensions & EXT_8BIT_MIME != 0 {
            parameters.push_str(" BODY=8BITMIME");
        }
        if self.extensions & EXT_SMTP_UTF8 != 0 && !(sender.is_ascii() && recipient.is_ascii()) {
            parameters.push_str(" SMTPUTF8");
        }
        let sender = path(sender).ok_or_else(|| bad_address("MAIL"))?;
        let recipient = path(recipient).ok_or_else(|| bad_address("RCPT"))?;
        self.command(&format!("MAIL FROM:<{sender}>{parameters}\r\n"), "MAIL")?;
        self.expect("MAIL", 2, false)?;
        self.command(&format!("RCPT TO:<{recipient}>\r\n"), "RCPT")?;
        self.expect("RCPT", 2, true)?;
        self.command("DATA\r\n", "DATA")?;
        self.expect("DATA", 3, false)?;
        let sent = self.send_data(letter);
        sent.map_err(|cause| Problem::Io("data", cause))?;
        let longer = self.stream.get_ref().set_timeout(DATA_TIMEOUT);
        longer.map_err(|cause| Problem::Io("end of data", cause))?;
        self.expect("end of data", 2, true)?;
        // The server has it; whatever happens to the connection now is of no account.
        let _ = self.stream.get_ref().set_timeout(TIMEOUT);
        Ok(())
    }

    fn send_data(&mut self, letter: &Letter<'_>) -> io::Result<()> {
        let mut out =
            DotStuffed::new(BufWriter::with_capacity(BUFFER_BYTES, self.stream.get_mut()));
        letter.write_crlf(&mut out)?;
        out.finish()
    }

    fn command(&mut self, line: &str, step: &'static str) -> Result<(), Problem> {
        self.send(line).map_err(|cause| Problem::Io(step, cause))
    }

    fn send(&mut self, line: &str) -> io::Result<()> {
        let socket = self.stream.get_mut();
        socket.write_all(line.as_bytes())?;
        socket.flush()
    }

    /// Reads a reply, whose code must begin with `class`.
    fn expect(&mut self, step: &'static str, class: u16, counts: bool) -> Result<(), Problem> {
        let text = self.read_reply(step)?;
        let reply = parsed(step, &text)?;
        if reply.code / 100 == class { Ok(()) } else { Err(problem(step, reply, counts)) }
    }

    /// All lines of one reply (RFC 5321 §4.2.1).
    fn read_reply(&mut self, step: &'static str) -> Result<Vec<u8>, Problem> {
        let mut text = Vec::new();
        loop {
            let start = text.len();
            let mut bounded = (&mut self.stream).take(MAX_REPLY_BYTES - start as u64);
            let read = bounded.read_until(b'\n', &mut text);
            read.map_err(|cause| Problem::Io(step, cause))?;
            let line = text.get(start..).unwrap_or_default();
            if !line.ends_with(b"\n") {
                let cause = io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed");
                return Err(Problem::Io(step, cause));
            }
            if line.get(3) != Some(&b'-') {
                return Ok(text);
            }
        }
    }
}

/// The code decides, so a text that is too long for the parser is no reason to doubt it.
fn parsed(step: &'static str, text: &[u8]) -> Result<Response<String>, Problem> {
    let code = text.get(..3).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
    let code: u16 = code.filter(|code| (200..600).contains(code)).ok_or_else(|| {
        Problem::Io(step, io::Error::new(io::ErrorKind::InvalidData, "a reply that is none"))
    })?;
    let reply = ResponseReceiver::default().parse(&mut text.iter());
    Ok(reply.unwrap_or_else(|_| Response { code, esc: [0; 3], message: String::new() }))
}

fn problem(step: &'static str, reply: Response<String>, counts: bool) -> Problem {
    Problem::Reply { step, code: reply.code, enhanced: reply.esc, text: reply.message, counts }
}

/// An address that no SMTP command can carry.
fn bad_address(step: &'static str) -> Problem {
    let text = "no command can carry the address".to_owned();
    Problem::Reply { step, code: 553, enhanced: [5, 1, 3], text, counts: true }
}

fn connect(address: &Address) -> io::Result<Box<dyn Socket>> {
    let socket: Box<dyn Socket> = match address {
        Address::Unix(path) => Box::new(UnixStream::connect(path)?),
        Address::Inet(host) => {
            let mut failed = io::Error::new(io::ErrorKind::NotFound, "no such host");
            let connected = host.to_socket_addrs()?.find_map(|address| {
                TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)
                    .map_err(|cause| failed = cause)
                    .ok()
            });
            Box::new(connected.ok_or(failed)?)
        }
    };
    socket.set_timeout(TIMEOUT)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_mail_itself_is_refused_for_good() {
        let refused = |line: &str| {
            let reply = parsed("RCPT", line.as_bytes()).ok().unwrap();
            problem("RCPT", reply, true).refusal(&Address::Inet("x:1".into()))
        };
        for (line, for_good, code) in [
            ("550 5.1.1 unknown\r\n", true, "5.1.1"),
            ("552 over quota\r\n", true, "5.0.0"),
            ("452 4.2.2 over quota\r\n", false, "4.2.2"),
            ("530 5.7.0 log in first\r\n", false, "4.3.0"),
            ("503 5.5.1 bad sequence\r\n", false, "4.3.0"),
            ("555 5.5.4 unknown parameter\r\n", false, "4.3.0"),
            ("550 5.5.1 what\r\n", false, "4.3.0"),
        ] {
            let refusal = refused(line);
            assert_eq!((refusal.for_good, refusal.code.as_str()), (for_good, code), "{line}");
        }
        let long = format!("250 {}\r\n", "x".repeat(10_000));
        assert_eq!(parsed("RCPT", long.as_bytes()).ok().unwrap().code, 250);
        assert!(parsed("RCPT", b"+OK\r\n").is_err());
    }

    #[test]
    fn addresses() {
        assert_eq!("unix:/run/x".parse(), Ok(Address::Unix("/run/x".into())));
        assert_eq!("inet:127.0.0.1:24".parse(), Ok(Address::Inet("127.0.0.1:24".into())));
        for bad in ["", "unix:run", "inet:host", "/run/x", "tcp:x:1"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}

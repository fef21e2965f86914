//! A mail store that does what a test wants: it lets everybody in, and answers each command as it is told
//! to. What it was told it keeps.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

const OFFERS: &str =
    "IMAP4rev1 LITERAL+ SASL-IR AUTH=PLAIN ID ENABLE IDLE NAMESPACE UIDPLUS MOVE UNSELECT";
/// Two thousand of them take no more memory than the test has.
const STACK_BYTES: usize = 128 * 1024;

/// What becomes of a command.
pub enum Reaction {
    /// It is answered as any server would, with nothing in its mailboxes.
    Usual,
    /// These octets, and then the next command.
    Say(Vec<u8>),
    /// These octets, and then the end.
    Close(Vec<u8>),
    /// Nothing at all.
    Silence,
}

/// The octets of these lines.
pub fn say(text: impl AsRef<[u8]>) -> Reaction {
    Reaction::Say(text.as_ref().to_vec())
}

pub fn close(text: impl AsRef<[u8]>) -> Reaction {
    Reaction::Close(text.as_ref().to_vec())
}

type React = dyn Fn(&str, &str) -> Reaction + Send + Sync;

/// It serves until the test ends.
pub struct Stub {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Stub {
    /// `react` is shown a tag and the rest of the command, in upper case up to its first literal.
    pub fn start(react: impl Fn(&str, &str) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let react: Arc<React> = Arc::new(react);
        let hearing = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (react, heard) = (Arc::clone(&react), Arc::clone(&hearing));
                let builder = thread::Builder::new().stack_size(STACK_BYTES);
                // A proxy that hangs up has its reasons.
                let serve = move || serve(&stream.unwrap(), &*react, &heard).unwrap_or_default();
                builder.spawn(serve).unwrap();
            }
        });
        Self { port, heard }
    }

    /// As `[imap] backend` has it.
    pub fn address(&self) -> String {
        format!("inet:127.0.0.1:{}", self.port)
    }

    /// All that anybody has told it after a login.
    pub fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, react: &React, heard: &Mutex<Vec<u8>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut writer = stream;
    let mut reader = BufReader::with_capacity(4096, stream);
    writer.write_all(format!("* OK [CAPABILITY {OFFERS}] ready\r\n").as_bytes()).ok()?;
    loop {
        let mut command = Vec::new();
        let mut first = 0;
        loop {
            let start = command.len();
            if reader.read_until(b'\n', &mut command).ok()? == 0 {
                heard.lock().unwrap().extend_from_slice(&command);
                return None;
            }
            first = if start == 0 { command.len() } else { first };
            let Some(octets) = announced(&command[start..]) else { break };
            let start = command.len();
            command.resize(start + octets, 0);
            let mut read = 0;
            while read < octets {
                let some = reader.read(&mut command[start + read..]).ok()?;
                if some == 0 {
                    heard.lock().unwrap().extend_from_slice(&command);
                    return None;
                }
                read += some;
            }
        }
        let text = String::from_utf8_lossy(&command[..first]).to_ascii_uppercase();
        let (tag, rest) = text.trim_end().split_once(' ').unwrap_or_default();
        let tag = tag.to_ascii_lowercase();
        if !rest.starts_with("AUTHENTICATE") {
            heard.lock().unwrap().extend_from_slice(&command);
        }
        match react(&tag, rest) {
            Reaction::Usual => writer.write_all(usual(&tag, rest).as_bytes()).ok()?,
            Reaction::Say(octets) => writer.write_all(&octets).ok()?,
            Reaction::Close(octets) => {
                writer.write_all(&octets).ok()?;
                return stream.shutdown(Shutdown::Both).ok();
            }
            Reaction::Silence => {}
        }
    }
}

fn usual(tag: &str, command: &str) -> String {
    let before = match command.split(' ').next().unwrap_or_default() {
        "AUTHENTICATE" => return format!("{tag} OK [CAPABILITY {OFFERS}] in\r\n"),
        "SELECT" | "EXAMINE" => {
            "* 1 EXISTS\r\n* 0 RECENT\r\n* FLAGS (\\Seen)\r\n* OK [UIDVALIDITY 7] valid\r\n"
        }
        "NAMESPACE" => "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n",
        "IDLE" => return "+ idling\r\n".into(),
        "LOGOUT" => "* BYE gone\r\n",
        _ => "",
    };
    format!("{before}{tag} OK done\r\n")
}

/// The octets of the literal that a line announces; the proxy asks for none, since it may push them.
fn announced(line: &[u8]) -> Option<usize> {
    let digits = line.strip_suffix(b"+}\r\n")?;
    let at = digits.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(&digits[at + 1..]).ok()?.parse().ok()
}

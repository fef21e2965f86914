//! A small LMTP server that answers as it is told and remembers what it heard, on as many connections
//! as there are.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// What the server does instead of taking everything.
#[derive(Clone, Debug)]
pub enum Answer {
    Say(Vec<u8>),
    /// One octet at a time.
    Slowly(Vec<u8>),
    /// Closes the connection without a word.
    Drop,
    /// Says it and closes the connection.
    Last(Vec<u8>),
    /// The first so many times; after that the rule is none.
    Times(usize, Box<Answer>),
    /// What it says anyway, when the gate is open.
    Behind(Gate),
}

pub fn say(text: &str) -> Answer {
    Answer::Say(format!("{text}\r\n").into_bytes())
}

/// Says it and hangs up.
pub fn last(text: &str) -> Answer {
    Answer::Last(format!("{text}\r\n").into_bytes())
}

/// Only the first time.
pub fn once(answer: Answer) -> Answer {
    Answer::Times(1, Box::new(answer))
}

/// The reply to LHLO of a server with these extensions.
pub fn offers(extensions: &[&str]) -> (&'static str, Answer) {
    let mut lines = vec!["test"];
    lines.extend(extensions);
    let end = lines.pop().unwrap();
    let lines: String = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
    ("LHLO", say(&format!("{lines}250 {end}")))
}

/// The step and the words in its line that get the answer: a command as it came, `greeting` for the
/// connection, `end RECIPIENT` for the reply to the end of the data.
pub type Rules = Vec<(&'static str, Answer)>;

/// Holds the server back until it is opened.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<(usize, bool)>, Condvar)>);

impl Gate {
    fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.0 += 1;
        changed.notify_all();
        drop(changed.wait_while(state, |(_, open)| !*open).unwrap());
    }

    /// Waits until the server stands before it for the `nth` time.
    #[track_caller]
    pub fn wait_for(&self, nth: usize) {
        let (state, changed) = &*self.0;
        let waits = |state: &mut (usize, bool)| state.0 < nth;
        let patience = Duration::from_secs(60);
        let waited = changed.wait_timeout_while(state.lock().unwrap(), patience, waits).unwrap();
        assert!(!waited.1.timed_out(), "the server never came to this point");
    }

    pub fn open(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap().1 = true;
        changed.notify_all();
    }
}

#[derive(Debug)]
pub struct Server {
    /// As `--lmtp` takes it.
    pub address: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    rules: Mutex<Vec<(&'static str, Answer)>>,
    heard: Mutex<Heard>,
    /// Whether an LF by itself ends a line, as some servers have it.
    takes_bare_lf: bool,
}

#[derive(Debug, Default)]
struct Heard {
    commands: Vec<String>,
    data: Vec<Vec<u8>>,
    /// Those that are over are `None`.
    connections: Vec<Option<Connection>>,
}

/// A connection that can be cut from outside.
#[derive(Debug)]
enum Connection {
    Inet(TcpStream),
    Unix(UnixStream),
}

impl Server {
    pub fn start(rules: Rules) -> Self {
        Self::inet(rules, false)
    }

    /// The same, and an LF by itself ends a line.
    pub fn start_with_bare_lf(rules: Rules) -> Self {
        Self::inet(rules, true)
    }

    fn inet(rules: Rules, takes_bare_lf: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("inet:{}", listener.local_addr().unwrap());
        Self::serve(address, rules, takes_bare_lf, move || {
            let stream = listener.accept().unwrap().0;
            stream.set_nodelay(true).unwrap();
            (stream.try_clone().unwrap(), Connection::Inet(stream))
        })
    }

    pub fn start_unix(path: &Path) -> Self {
        Self::start_unix_with(path, Vec::new())
    }

    pub fn start_unix_with(path: &Path, rules: Rules) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let address = format!("unix:{}", path.display());
        Self::serve(address, rules, false, move || {
            let stream = listener.accept().unwrap().0;
            (stream.try_clone().unwrap(), Connection::Unix(stream))
        })
    }

    fn serve<S: Read + Write + Send + 'static>(
        address: String,
        rules: Rules,
        takes_bare_lf: bool,
        accept: impl Fn() -> (S, Connection) + Send + 'static,
    ) -> Self {
        let shared =
            Arc::new(Shared { rules: Mutex::new(rules), takes_bare_lf, ..Shared::default() });
        let memory = Arc::clone(&shared);
        // Ends with the test's process.
        thread::spawn(move || {
            loop {
                let (stream, connection) = accept();
                let shared = Arc::clone(&memory);
                let number = {
                    let connections = &mut shared.heard.lock().unwrap().connections;
                    connections.push(Some(connection));
                    connections.len() - 1
                };
                thread::spawn(move || {
                    // Whatever the client does to one connection, the others are served.
                    let _ = Session::new(stream, &shared).serve();
                    let over = shared.heard.lock().unwrap().connections[number].take();
                    over.inspect(Connection::cut);
                });
            }
        });
        Self { address, shared }
    }

    /// Every command so far, without its line end.
    pub fn commands(&self) -> Vec<String> {
        self.shared.heard.lock().unwrap().commands.clone()
    }

    /// How many commands began with this.
    pub fn count(&self, begin: &str) -> usize {
        self.commands().iter().filter(|line| line.starts_with(begin)).count()
    }

    /// Forgets what it heard.
    pub fn forget(&self) {
        let mut heard = self.shared.heard.lock().unwrap();
        heard.commands.clear();
        heard.data.clear();
    }

    /// What came after each DATA, with the line of one dot.
    pub fn data(&self) -> Vec<Vec<u8>> {
        self.shared.heard.lock().unwrap().data.clone()
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.shared.heard.lock().unwrap().connections.len()
    }

    /// Cuts all connections, as a server does that is restarted.
    pub fn hang_up(&self) {
        self.shared.heard.lock().unwrap().connections.iter().flatten().for_each(Connection::cut);
    }

    /// From now on it answers like this.
    pub fn set_rules(&self, rules: Rules) {
        *self.shared.rules.lock().unwrap() = rules;
    }
}

impl Connection {
    fn cut(&self) {
        let _ = match self {
            Self::Inet(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

/// One connection.
struct Session<'a, S> {
    stream: BufReader<S>,
    shared: &'a Shared,
    /// Whom the server accepted since the last MAIL.
    recipients: Vec<String>,
}

impl<'a, S: Read + Write> Session<'a, S> {
    fn new(stream: S, shared: &'a Shared) -> Self {
        Self { stream: BufReader::new(stream), shared, recipients: Vec::new() }
    }

    fn serve(&mut self) -> Option<()> {
        self.answer("greeting", "220 test LMTP")?;
        loop {
            let mut line = Vec::new();
            self.stream.read_until(b'\n', &mut line).ok().filter(|read| *read > 0)?;
            let line = String::from_utf8_lossy(&line).trim_end_matches("\r\n").to_owned();
            self.shared.heard.lock().unwrap().commands.push(line.clone());
            match line.get(..4) {
                Some("LHLO") => drop(self.answer(&line, "250-test\r\n250 8BITMIME")?),
                Some("RCPT") => {
                    if self.answer(&line, "250 fine")? {
                        self.recipients.push(line["RCPT TO:".len()..].to_owned());
                    }
                }
                Some("DATA") => {
                    if self.answer(&line, "354 go on")? {
                        let data = self.data()?;
                        self.shared.heard.lock().unwrap().data.push(data);
                        for recipient in std::mem::take(&mut self.recipients) {
                            self.answer(&format!("end {recipient}"), "250 2.1.5 taken")?;
                        }
                    }
                }
                Some("QUIT") => return None,
                command => {
                    if matches!(command, Some("MAIL" | "RSET")) {
                        self.recipients.clear();
                    }
                    self.answer(&line, "250 fine")?;
                }
            }
        }
    }

    /// Whether the answer was yes.
    fn answer(&mut self, line: &str, else_say: &str) -> Option<bool> {
        let mut answer = self.told(line).unwrap_or_else(|| say(else_say));
        if let Answer::Behind(gate) = &answer {
            gate.pass();
            answer = say(else_say);
        }
        let out = self.stream.get_mut();
        let said = match &answer {
            Answer::Say(bytes) | Answer::Last(bytes) => {
                out.write_all(bytes).ok()?;
                bytes
            }
            Answer::Slowly(bytes) => {
                for byte in bytes {
                    out.write_all(&[*byte]).ok()?;
                    thread::sleep(Duration::from_millis(10));
                }
                bytes
            }
            Answer::Drop | Answer::Times(..) | Answer::Behind(_) => return None,
        };
        out.flush().ok()?;
        let closes = matches!(answer, Answer::Last(_));
        (!closes).then_some(matches!(said.first(), Some(b'2' | b'3')))
    }

    fn told(&self, line: &str) -> Option<Answer> {
        let mut rules = self.shared.rules.lock().unwrap();
        for (words, answer) in rules.iter_mut() {
            if !line.contains(*words) {
                continue;
            }
            match answer {
                Answer::Times(0, _) => {}
                Answer::Times(left, answer) => {
                    *left -= 1;
                    return Some((**answer).clone());
                }
                answer => return Some(answer.clone()),
            }
        }
        None
    }

    fn data(&mut self) -> Option<Vec<u8>> {
        let mut data = Vec::new();
        loop {
            let start = data.len();
            self.stream.read_until(b'\n', &mut data).ok().filter(|read| *read > 0)?;
            let follows = data[..start].ends_with(b"\r\n") || start == 0;
            let ends = match &data[start..] {
                b".\r\n" => follows || self.shared.takes_bare_lf,
                b".\n" => self.shared.takes_bare_lf,
                _ => false,
            };
            if ends {
                return Some(data);
            }
        }
    }
}

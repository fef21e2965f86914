//! A small LMTP server that answers as it is told and remembers what it heard.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
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
}

pub fn say(text: &str) -> Answer {
    Answer::Say(format!("{text}\r\n").into_bytes())
}

/// The step and the words in its line that get the answer: a command as it came, `greeting` for the
/// connection, `end` for the end of the data.
pub type Rules = Vec<(&'static str, Answer)>;

#[derive(Debug)]
pub struct Server {
    /// As `--lmtp` takes it.
    pub address: String,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    commands: Vec<String>,
    data: Vec<Vec<u8>>,
}

impl Server {
    pub fn start(rules: Rules) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("inet:{}", listener.local_addr().unwrap());
        Self::serve(address, rules, move || listener.accept().unwrap().0)
    }

    pub fn start_unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let address = format!("unix:{}", path.display());
        Self::serve(address, Vec::new(), move || listener.accept().unwrap().0)
    }

    fn serve<S: Read + Write>(
        address: String,
        rules: Rules,
        accept: impl Fn() -> S + Send + 'static,
    ) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let memory = Arc::clone(&heard);
        // Ends with the test's process.
        thread::spawn(move || {
            loop {
                // Whatever the client does to the connection, the next one is served.
                let _ = session(BufReader::new(accept()), &rules, &memory);
            }
        });
        Self { address, heard }
    }

    /// Every command so far, without its line end.
    pub fn commands(&self) -> Vec<String> {
        self.heard.lock().unwrap().commands.clone()
    }

    /// What came after each DATA, with the line of one dot.
    pub fn data(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().data.clone()
    }
}

fn session<S: Read + Write>(
    mut stream: BufReader<S>,
    rules: &Rules,
    heard: &Mutex<Heard>,
) -> Option<()> {
    answer(&mut stream, rules, "greeting", "220 test LMTP")?;
    loop {
        let mut line = Vec::new();
        stream.read_until(b'\n', &mut line).ok().filter(|read| *read > 0)?;
        let line = String::from_utf8_lossy(&line).trim_end_matches("\r\n").to_owned();
        heard.lock().unwrap().commands.push(line.clone());
        match line.get(..4) {
            Some("LHLO") => answer(&mut stream, rules, &line, "250-test\r\n250 8BITMIME")?,
            Some("DATA") => {
                answer(&mut stream, rules, &line, "354 go on")?;
                let data = data(&mut stream)?;
                heard.lock().unwrap().data.push(data);
                answer(&mut stream, rules, "end", "250 2.1.5 taken")?;
            }
            Some("QUIT") => return None,
            _ => answer(&mut stream, rules, &line, "250 fine")?,
        }
    }
}

fn answer<S: Read + Write>(
    stream: &mut BufReader<S>,
    rules: &Rules,
    line: &str,
    else_say: &str,
) -> Option<()> {
    let told = rules.iter().find(|(words, _)| line.contains(words));
    let out = stream.get_mut();
    match told.map_or_else(|| say(else_say), |(_, answer)| answer.clone()) {
        Answer::Say(bytes) => out.write_all(&bytes).ok()?,
        Answer::Slowly(bytes) => {
            for byte in bytes {
                out.write_all(&[byte]).ok()?;
                thread::sleep(Duration::from_millis(10));
            }
        }
        Answer::Drop => return None,
    }
    out.flush().ok()
}

fn data<S: Read>(stream: &mut BufReader<S>) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    while !(data == b".\r\n" || data.ends_with(b"\r\n.\r\n")) {
        stream.read_until(b'\n', &mut data).ok().filter(|read| *read > 0)?;
    }
    Some(data)
}

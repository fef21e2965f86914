//! Between nightsafe and the store: forwards what both say, and at random cuts the connection around
//! the end of a message.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::chance::Chance;

const END_OF_DATA: &[u8] = b"\r\n.\r\n";
/// Of a hundred messages.
const CUT: u64 = 20;

/// When a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The store has the message, and does not know that it is all.
    BeforeTheEnd,
    /// It has all of it, and its reply comes to nobody.
    BeforeTheReply,
    /// Its reply was read, and not forwarded.
    AfterTheReply,
}

const CUTS: [Cut; 3] = [Cut::BeforeTheEnd, Cut::BeforeTheReply, Cut::AfterTheReply];

pub struct Relay {
    socket: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_calm: AtomicBool,
    cuts: [AtomicUsize; CUTS.len()],
}

/// Where a connection is.
#[derive(Debug)]
enum State {
    Commands,
    /// The last octets of the message so far, and what is to happen to it.
    Data(Vec<u8>, Option<Cut>),
    Reply(Option<Cut>),
}

impl Relay {
    /// Listens at `socket` for whoever wants to talk to the store. Ends with the test's process.
    pub fn start(socket: PathBuf, store: PathBuf) -> Self {
        let listener = UnixListener::bind(&socket).unwrap();
        crate::site::mode(&socket, 0o666);
        let shared = Arc::<Shared>::default();
        let relay = Self { socket, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                let Ok(store) = UnixStream::connect(&store) else { continue };
                connect(client.unwrap(), store, Chance::of("relay", number), &shared);
            }
        });
        relay
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// No more cuts.
    pub fn calm(&self) {
        self.shared.is_calm.store(true, Ordering::Relaxed);
    }

    /// How many there were of each kind.
    pub fn cuts(&self) -> [(Cut, usize); CUTS.len()] {
        CUTS.map(|cut| (cut, self.shared.cuts[cut as usize].load(Ordering::Relaxed)))
    }
}

fn connect(client: UnixStream, store: UnixStream, mut chance: Chance, shared: &Arc<Shared>) {
    let state = Arc::new(Mutex::new(State::Commands));
    let [from_client, to_client] = [client.try_clone().unwrap(), client];
    let [from_store, to_store] = [store.try_clone().unwrap(), store];
    let (counts, of_other) = (Arc::clone(shared), Arc::clone(&state));
    std::thread::spawn(move || {
        let passed = pass(from_client, &to_store, |bytes| sent(bytes, &state, &counts));
        end(passed, &to_store);
    });
    let counts = Arc::clone(shared);
    std::thread::spawn(move || {
        let said = |bytes: &[u8]| replied(bytes, &of_other, &mut chance, &counts);
        end(pass(from_store, &to_client, said), &to_client);
    });
}

/// What becomes of octets: so many are forwarded, and then perhaps all is over.
struct Verdict {
    forward: usize,
    is_over: bool,
}

impl Verdict {
    fn go_on(bytes: &[u8]) -> Self {
        Self { forward: bytes.len(), is_over: false }
    }

    fn cut_after(forward: usize) -> Self {
        Self { forward, is_over: true }
    }
}

fn pass(
    mut from: UnixStream,
    mut to: &UnixStream,
    mut judge: impl FnMut(&[u8]) -> Verdict,
) -> io::Result<()> {
    let mut bytes = vec![0; 4096];
    loop {
        let length = from.read(&mut bytes)?;
        let verdict = judge(&bytes[..length]);
        to.write_all(&bytes[..verdict.forward])?;
        if length == 0 || verdict.is_over {
            from.shutdown(Shutdown::Both)?;
            return Ok(());
        }
    }
}

/// The other side sees that nobody is there any more.
fn end(passed: io::Result<()>, to: &UnixStream) {
    drop(passed);
    let _ = to.shutdown(Shutdown::Both);
}

/// nightsafe says this to the store.
fn sent(bytes: &[u8], state: &Mutex<State>, shared: &Shared) -> Verdict {
    let mut state = state.lock().unwrap();
    let State::Data(last, cut) = &mut *state else { return Verdict::go_on(bytes) };
    last.extend_from_slice(bytes);
    if !last.ends_with(END_OF_DATA) {
        last.drain(..last.len().saturating_sub(END_OF_DATA.len()));
        return Verdict::go_on(bytes);
    }
    let cut = *cut;
    *state = State::Reply(cut);
    match cut {
        Some(Cut::BeforeTheEnd) => {
            shared.note(Cut::BeforeTheEnd);
            Verdict::cut_after(bytes.len().saturating_sub(END_OF_DATA.len()))
        }
        Some(Cut::BeforeTheReply) => {
            shared.note(Cut::BeforeTheReply);
            Verdict::cut_after(bytes.len())
        }
        Some(Cut::AfterTheReply) | None => Verdict::go_on(bytes),
    }
}

/// The store says this to nightsafe.
fn replied(bytes: &[u8], state: &Mutex<State>, chance: &mut Chance, shared: &Shared) -> Verdict {
    let mut state = state.lock().unwrap();
    match &*state {
        State::Reply(Some(cut)) => {
            if *cut == Cut::AfterTheReply {
                shared.note(Cut::AfterTheReply);
            }
            return Verdict::cut_after(0);
        }
        State::Reply(None) => *state = State::Commands,
        State::Commands | State::Data(..) => {
            let last = bytes.split_inclusive(|&byte| byte == b'\n').next_back();
            if last.is_some_and(|line| line.starts_with(b"354")) {
                *state = State::Data(b"\r\n".to_vec(), shared.decide(chance));
            }
        }
    }
    Verdict::go_on(bytes)
}

impl Shared {
    fn note(&self, cut: Cut) {
        self.cuts[cut as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn decide(&self, chance: &mut Chance) -> Option<Cut> {
        let cut = CUTS[chance.next() as usize % CUTS.len()];
        (chance.is(CUT) && !self.is_calm.load(Ordering::Relaxed)).then_some(cut)
    }
}

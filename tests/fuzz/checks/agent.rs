//! What must hold of the agent, whatever a peer says who may ask for everything: one whole reply to each
//! frame, nothing secret in any, and the agent there for the next one.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use nightsafe::agent::Agent;
use nightsafe::agent::protocol::{
    LENGTH_BYTES, MAX_REPLY_BYTES, Password, Reply, Request, frame_length,
};
use nightsafe::config;
use nightsafe::keys::files::KeyDirectory;
use nightsafe::lifecycle::{enroll, secrets, setup, slots};
use nightsafe::sys::socket::{Address, Listener};
use nightsafe::user::{Canonical, User};

pub const USER: &str = "alice";
const PASSWORD: &[u8] = b"walnut-marzipan-0815";
const PATIENCE: Duration = Duration::from_secs(30);

/// The agent, for as long as the process lives.
struct Running {
    socket: PathBuf,
    /// An app password: it unlocks without Argon2, of which there is none here.
    code: Vec<u8>,
    /// What no reply may hold.
    secrets: Vec<Vec<u8>>,
}

/// Fails when something does not hold of `said`.
pub fn check(said: &[u8]) {
    static RUNNING: OnceLock<Running> = OnceLock::new();
    let running = RUNNING.get_or_init(start);
    // Alice is unlocked, so that there is something to ask for.
    let password = Password(&running.code);
    let unlock =
        Request::Unlock { user: USER, password, confirmed: false, hold: false, reader: None };
    let unlocked = running.connect().ask(unlock.to_frame().unwrap().expose());
    assert!(matches!(unlocked, Some(Reply::Unlocked { .. })), "{unlocked:?}");
    match said.split_first() {
        Some((b'F', frames)) => in_frames(running, frames),
        Some((_, rest)) => as_it_is(running, rest),
        None => {}
    }
}

/// Each frame with its right length, and its reply read before the next.
fn in_frames(running: &Running, mut said: &[u8]) {
    let mut peer = running.connect();
    let (mut may_end, mut is_refused) = (false, false);
    while let Some((length, rest)) = said.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (frame, rest) = rest.split_at(length);
        said = rest;
        if frame.is_empty() {
            continue;
        }
        let parsed = Request::parse(frame);
        if let Ok(request) = &parsed {
            let again = request.to_frame().unwrap();
            assert_eq!(Request::parse(&again.expose()[LENGTH_BYTES..]).as_ref(), Ok(request));
        }
        if let Ok(reply) = Reply::parse(frame)
            && let Ok(again) = reply.to_frame()
        {
            assert_eq!(Reply::parse(&again.expose()[LENGTH_BYTES..]), Ok(reply));
        }
        // A lease may be lost by this peer's own doing.
        may_end |= matches!(parsed, Ok(Request::Lock { .. }));
        let framed = [&u32::try_from(length).unwrap().to_be_bytes(), frame].concat();
        match peer.ask(&framed) {
            Some(Reply::Refused { .. }) => is_refused = true,
            Some(reply) => {
                assert!(parsed.is_ok(), "{reply:?} to nonsense");
                is_refused = false;
            }
            None => {
                assert!(may_end || is_refused, "it hung up on {parsed:?}");
                return;
            }
        }
    }
}

/// All octets at once; then the peer hangs up.
fn as_it_is(running: &Running, said: &[u8]) {
    let mut peer = running.connect();
    // It may hang up before the end.
    let _ = peer.stream.write_all(said);
    let _ = peer.stream.shutdown(Shutdown::Write);
    while peer.reply().is_some() {}
}

impl Running {
    fn connect(&self) -> Peer<'_> {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Peer { running: self, stream }
    }
}

struct Peer<'a> {
    running: &'a Running,
    stream: UnixStream,
}

impl Peer<'_> {
    fn ask(&mut self, frame: &[u8]) -> Option<Reply> {
        self.stream.write_all(frame).ok()?;
        self.reply()
    }

    /// The next reply; `None` at the end.
    fn reply(&mut self) -> Option<Reply> {
        let mut head = [0; LENGTH_BYTES];
        self.fill(&mut head, true)?;
        let mut frame = vec![0; frame_length(head, MAX_REPLY_BYTES).unwrap()];
        self.fill(&mut frame, false)?;
        for secret in &self.running.secrets {
            assert!(memchr::memmem::find(&frame, secret).is_none(), "a secret in a reply");
        }
        Some(Reply::parse(&frame).unwrap())
    }

    fn fill(&mut self, place: &mut [u8], may_end: bool) -> Option<()> {
        match self.stream.read_exact(place) {
            Ok(()) => Some(()),
            Err(error) => {
                let is_end = matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
                );
                assert!(is_end && may_end, "half a reply: {error}");
                None
            }
        }
    }
}

fn start() -> Running {
    let folder = tempfile::tempdir().unwrap().keep();
    let keys = config::Keys {
        directory: folder.join("keys"),
        pepper: folder.join("pepper"),
        provisional_key: folder.join("provisional.key"),
        sealing_key: folder.join("sealing.key"),
        ..config::Keys::default()
    };
    setup::setup(&keys, setup::Owners::default()).unwrap();
    let site_secrets = secrets::load(&keys).unwrap();
    let directory = KeyDirectory::open(&keys.directory, None, &[]).unwrap();
    let user = User::parse(USER).unwrap();
    enroll::enroll(&directory, &user, PASSWORD, None, &site_secrets, 1).unwrap();
    let code = slots::add_app(&directory, &user, PASSWORD, "fuzz", &site_secrets, 2).unwrap();
    let code = code.to_text().expose().to_vec();
    let record = directory.record(&user).unwrap().unwrap();
    let unlocked = record.unlock(&code, &site_secrets).unwrap();
    let mut secrets: Vec<Vec<u8>> =
        unlocked.keys.iter().map(|key| key.expose()[1..31].to_vec()).collect();
    secrets.extend([PASSWORD.to_vec(), code.clone(), fs::read(&keys.pepper).unwrap()]);
    let settings = config::Agent {
        // Whoever needs Argon2 is sent away at once.
        argon2_waiting: 0,
        linger: 1_000_000,
        ..config::Agent::default()
    };
    let agent = Agent::new(&settings, Canonical::default(), directory, site_secrets).unwrap();
    let socket = folder.join("agent");
    let address = Address::Unix(socket.clone());
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = Listener::bind(&address, 0o600).await.unwrap();
            ready.send(()).unwrap();
            let (_stop, stopping) = tokio::sync::watch::channel(false);
            agent.serve(vec![listener], stopping).await;
        });
    });
    is_ready.recv().unwrap();
    Running { socket, code, secrets }
}

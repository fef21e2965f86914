//! What must hold of the whole service, whatever a client says: it answers in whole replies, and says
//! yes to exactly what the store has.

#[path = "../../support/lmtp.rs"]
#[allow(dead_code, reason = "the store of other tests can do more")]
mod lmtp;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use lmtp::{Server, offers};
use nightsafe::config::Config;
use nightsafe::delivery::lmtp::Service;
use nightsafe::keys::files::KeyDirectory;
use nightsafe::lifecycle::{enroll, secrets, setup};
use nightsafe::sys::socket::{Address, Listener};
use nightsafe::user::User;

/// The service, for as long as the process lives.
struct Running {
    socket: PathBuf,
    store: Server,
}

/// Fails when something does not hold of `said`.
pub fn check(said: &[u8]) {
    static RUNNING: OnceLock<Running> = OnceLock::new();
    let running = RUNNING.get_or_init(start);
    running.store.forget();
    let mut client = UnixStream::connect(&running.socket).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    client.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    // In two pieces; it may hang up before the second one.
    let middle = said.len() / 2;
    let _ = client.write_all(&said[..middle]).and_then(|()| client.write_all(&said[middle..]));
    let _ = client.shutdown(Shutdown::Write);
    let mut answers = Vec::new();
    if let Err(error) = client.read_to_end(&mut answers) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it hangs");
        // Replies that the kernel threw away cannot be counted.
        return;
    }
    let answers = String::from_utf8(answers).expect("a reply is not UTF-8");
    assert!(answers.starts_with("220 ") && answers.ends_with("\r\n"), "{answers:?}");
    let (mut sealed, mut passed) = (0, 0);
    for line in answers.strip_suffix("\r\n").unwrap().split("\r\n") {
        let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
        assert!(code.is_some_and(|code| (200..600).contains(&code)), "{line:?}");
        assert!(matches!(line.as_bytes()[3], b' ' | b'-') && line.len() <= 510, "{line:?}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
        sealed += usize::from(line.starts_with("250 2.0.0 sealed as "));
        passed += usize::from(line.starts_with("250 2.0.0 passed unsealed"));
    }
    let data = running.store.data();
    // No fuzzer makes up a signature.
    let is_sealed = |data: &Vec<u8>| {
        data.starts_with(b"From: \"Sealed mail\"")
            && memchr::memmem::find(data, b"\r\nNightsafe-Signature: v=1; ").is_some()
    };
    let plain = data.iter().filter(|data| !is_sealed(data)).count();
    assert_eq!(data.len() - plain, sealed, "sealed, and said to be: {answers}");
    assert!(
        plain <= passed && (plain > 0) == (passed > 0),
        "passed {plain}, said {passed}: {answers}"
    );
}

fn start() -> Running {
    // Never removed: nobody tells a fuzzer's process when it ends.
    let folder = tempfile::Builder::new().prefix("nightsafe-fuzz-").tempdir().unwrap().keep();
    let at = folder.display();
    let store = Server::start(vec![offers(&["PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE"])]);
    fs::write(
        folder.join("nightsafe.toml"),
        format!(
            "[keys]\ndirectory = \"{at}/keys\"\npepper = \"{at}/pepper\"\n\
             provisional_key = \"{at}/provisional.key\"\n\
             sealing_key = \"{at}/sealing.key\"\n[seal]\ndomain = \"example.org\"\n\
             [delivery]\nmax_message_bytes = 20000\npass = [\"bob@example.org\"]\n\
             [lmtp]\nbackend = \"{}\"\nrecipients = 20\n",
            store.address
        ),
    )
    .unwrap();
    let config = Config::load(Some(&folder.join("nightsafe.toml"))).unwrap();
    let keys = &config.keys;
    setup::setup(keys, setup::Owners::default()).unwrap();
    let secrets = secrets::load(keys).unwrap();
    let directory = KeyDirectory::open(&keys.directory, None, &[]).unwrap();
    let alice = User::parse("alice@example.org").unwrap();
    enroll::enroll(&directory, &alice, b"pw", None, &secrets, 0).unwrap();
    let socket = folder.join("hook");
    let address = Address::Unix(socket.clone());
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(1).enable_all().build().unwrap().block_on(async {
            let service = Service::open(&config).unwrap();
            let listener = Listener::bind(&address, 0o600).await.unwrap();
            let (_stop, stopping) = tokio::sync::watch::channel(false);
            ready.send(()).unwrap();
            service.serve(vec![listener], stopping).await;
        });
    });
    is_ready.recv().unwrap();
    Running { socket, store }
}

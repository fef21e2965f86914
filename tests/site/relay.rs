//! A relay between nightsafe and a store, which remembers what the store was told.

use super::mode;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

pub struct Relay {
    pub socket: PathBuf,
    told: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    /// Listens at `socket`, for anybody, and hands on to `store`. It ends with the test's process.
    pub fn start(socket: PathBuf, store: &Path) -> Self {
        let listener = UnixListener::bind(&socket).unwrap();
        mode(&socket, 0o666);
        let told = Arc::<Mutex<Vec<u8>>>::default();
        let (memory, store) = (Arc::clone(&told), store.to_owned());
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                // A store that is away hangs up.
                let Ok(server) = UnixStream::connect(&store) else { continue };
                let (back, out) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let memory = Arc::clone(&memory);
                thread::spawn(move || {
                    copy(client, server, |bytes| memory.lock().unwrap().extend_from_slice(bytes));
                });
                thread::spawn(move || copy(back, out, |_| {}));
            }
        });
        Self { socket, told }
    }

    /// The MAIL commands so far, in their order.
    pub fn senders(&self) -> Vec<String> {
        let told = self.told.lock().unwrap();
        let text = String::from_utf8_lossy(&told);
        let lines = text.lines().filter(|line| line.starts_with("MAIL "));
        lines.map(str::to_owned).collect()
    }
}

fn copy(mut from: UnixStream, mut to: UnixStream, see: impl Fn(&[u8])) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        see(&bytes[..length]);
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    // Whoever is at the other end is told.
    let _ = to.shutdown(std::net::Shutdown::Write);
}

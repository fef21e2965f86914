//! What it costs to stand between a client and a server at all: a relay that copies octets both ways,
//! with a thread for each direction, and looks at none of them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use nightsafe::sys::socket::Address;
use rustix::net::Shutdown;

/// Octets copied at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Relays connections to `server`, for as long as this process runs, on a socket of the same family: in
/// `folder`, or at a free port. Gives the address to connect to.
pub(crate) fn start(server: &Address, folder: &Path) -> Address {
    match server.clone() {
        Address::Inet(server) => {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let at = Address::Inet(listener.local_addr().unwrap().to_string());
            let accept = move || {
                let client = listener.accept()?.0;
                client.set_nodelay(true)?;
                Ok(client.into())
            };
            relay(accept, move || {
                let stream = TcpStream::connect(&server)?;
                stream.set_nodelay(true)?;
                Ok(stream.into())
            });
            at
        }
        Address::Unix(server) => {
            let at = folder.join("relay");
            let listener = UnixListener::bind(&at).unwrap();
            let accept = move || Ok(listener.accept()?.0.into());
            relay(accept, move || Ok(UnixStream::connect(&server)?.into()));
            Address::Unix(at)
        }
    }
}

fn relay(
    accept: impl Fn() -> io::Result<OwnedFd> + Send + 'static,
    connect: impl Fn() -> io::Result<OwnedFd> + Send + 'static,
) {
    thread::spawn(move || {
        while let Ok(client) = accept() {
            let Ok(server) = connect() else { continue };
            let (client, server) = (File::from(client), File::from(server));
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || copy(from, to));
            thread::spawn(move || copy(server, client));
        }
    });
}

fn copy(mut from: File, mut to: File) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(octets @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..octets]).is_err() {
            break;
        }
    }
    let _ = rustix::net::shutdown(&to, Shutdown::Write);
}

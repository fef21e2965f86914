//! What it costs to stand between a client and a server at all: a relay that copies octets both ways,
//! with a thread for each direction, and looks at none of them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

/// Octets copied at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Relays connections to `server`, for as long as this process runs; gives the address to connect to.
pub(crate) fn start(server: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let server = server.to_owned();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&server) else { continue };
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || copy(from, to));
            thread::spawn(move || copy(server, client));
        }
    });
    at
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(octets @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..octets]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

//! Blocking connections to a local server, for programs that are no servers themselves: bounded in
//! time, and with the server's user told by the kernel.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with,
    sockopt,
};

/// How long to wait before a full queue is tried again.
const PAUSE: Duration = Duration::from_millis(5);

/// Connects to the socket at `path` before `end`. A queue that stays full until then is a time-out.
///
/// # Errors
/// What the kernel answers.
pub fn connect_before(path: &Path, end: Instant) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    loop {
        match connect(&socket, &address) {
            Ok(()) => break,
            // Nothing tells when there is room in the queue (connect(2), EAGAIN).
            Err(Errno::AGAIN | Errno::INTR) if Instant::now() < end => sleep(PAUSE),
            Err(Errno::AGAIN | Errno::INTR) => return Err(io::ErrorKind::TimedOut.into()),
            Err(cause) => return Err(cause.into()),
        }
    }
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// The user whose process listens at the other end, as of when it began to.
///
/// # Errors
/// What the kernel answers.
pub fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    Ok(sockopt::socket_peercred(stream)?.uid.as_raw())
}

/// Writes all of `bytes` before `end`. A peer that is gone is an error and no signal, since the
/// process may be somebody else's.
///
/// # Errors
/// What the kernel answers, or a time-out.
pub fn write_before(stream: &UnixStream, mut bytes: &[u8], end: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(end)?))?;
        match send(stream, bytes, SendFlags::NOSIGNAL) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            Err(cause) => return Err(cause.into()),
        }
    }
    Ok(())
}

/// Fills `bytes` before `end`.
///
/// # Errors
/// What the kernel answers, the peer's end, or a time-out.
pub fn read_before(mut stream: &UnixStream, bytes: &mut [u8], end: Instant) -> io::Result<()> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        stream.set_read_timeout(Some(left(end)?))?;
        match io::Read::read(&mut stream, rest) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => filled += read,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

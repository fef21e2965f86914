//! A letter on its way through a socket: dots doubled, written in large pieces, wiped behind itself.

use std::io::{self, Write};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tokio::time::timeout;

use crate::delivery::next_hop::Letter;
use crate::delivery::smtp::DotStuffed;
use crate::secret::SecretBytes;
use crate::sys::socket::Stream;

/// A letter up to this size is put together in memory; a larger one is written while it is made.
const MAX_WHOLE_BYTES: u64 = 512 * 1024;
/// The pieces of a larger one.
const PIECE_BYTES: usize = 64 * 1024;

/// Writes `letter` with its end of data; gives back how many octets that took. Each piece may take
/// `limit`.
pub(super) async fn send(
    letter: &Letter<'_>,
    stream: &mut Stream,
    limit: Duration,
) -> io::Result<u64> {
    let size = letter.size_hint();
    if size <= MAX_WHOLE_BYTES {
        let mut whole = SecretBytes::default();
        whole.try_reserve(usize::try_from(size).unwrap_or(0)).map_err(io::Error::other)?;
        let mut pieces = Pieces { gathered: whole, piece: usize::MAX, send: |_: &[u8]| Ok(()) };
        write(letter, &mut pieces)?;
        send_piece(stream, pieces.gathered.expose(), limit).await?;
        return Ok(pieces.gathered.len() as u64);
    }
    // A letter writes itself, and cannot be stopped in the middle: this thread waits with it, another
    // one takes over what else it had to do.
    block_in_place(|| {
        let runtime = Handle::current();
        let mut octets = 0;
        let send = |piece: &[u8]| {
            octets += piece.len() as u64;
            runtime.block_on(send_piece(stream, piece, limit))
        };
        let mut pieces = Pieces { gathered: SecretBytes::default(), piece: PIECE_BYTES, send };
        write(letter, &mut pieces)?;
        pieces.flush()?;
        Ok(octets)
    })
}

fn write(letter: &Letter<'_>, out: &mut impl Write) -> io::Result<()> {
    let mut out = DotStuffed::new(out);
    letter.write_crlf(&mut out)?;
    out.finish()
}

async fn send_piece(stream: &mut Stream, piece: &[u8], limit: Duration) -> io::Result<()> {
    match timeout(limit, stream.write_all(piece)).await {
        Ok(sent) => sent,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no progress in time")),
    }
}

/// Gathers what is written until there is a piece worth sending.
struct Pieces<F> {
    gathered: SecretBytes,
    piece: usize,
    send: F,
}

impl<F: FnMut(&[u8]) -> io::Result<()>> Write for Pieces<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.piece.saturating_sub(self.gathered.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.gathered.try_push(taken).map_err(io::Error::other)?;
        if self.gathered.len() >= self.piece {
            (self.send)(self.gathered.expose())?;
            self.gathered.truncate(0);
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece < usize::MAX {
            (self.send)(self.gathered.expose())?;
            self.gathered.truncate(0);
        }
        Ok(())
    }
}

//! One side of a session: what has arrived and waits to be understood, and what is sent. Memory is
//! taken as it is needed and given back when nothing waits; all of it is wiped when it is freed.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::imap::frame::{BareLineFeed, Framer, Step};

use super::transport::Transport;

/// Octets that are read at once where nothing is known of what comes, and where much comes.
const FEW_BYTES: usize = 2 * 1024;
const MANY_BYTES: usize = 128 * 1024;

/// A connection with what was read of it.
pub(super) struct Wire {
    transport: Transport,
    input: Vec<u8>,
    /// How much of the input was understood.
    start: usize,
    framer: Framer,
    /// How long the next piece of what has begun may take to come.
    patience: Duration,
    /// How long sending a piece may take.
    sending: Duration,
}

impl Wire {
    /// Nothing was read yet. Each piece may take as long as `patience`.
    pub(super) fn new(transport: Transport, patience: Duration) -> Self {
        Self {
            transport,
            input: Vec::new(),
            start: 0,
            framer: Framer::default(),
            patience,
            sending: patience,
        }
    }

    /// The connection itself, where nothing waits that was read of it: what a client said before TLS
    /// began is no command.
    pub(super) fn into_transport(self) -> Option<Transport> {
        (self.start == self.input.len()).then_some(self.transport)
    }

    /// Whether nobody else can read along.
    pub(super) fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }

    /// Which TLS is spoken.
    pub(super) fn tls_version(&self) -> Option<&'static str> {
        self.transport.tls_version()
    }

    /// How long sending a piece may take.
    pub(super) fn set_sending(&mut self, patience: Duration) {
        self.sending = patience;
    }

    /// What waits to be understood.
    pub(super) fn waiting(&self) -> &[u8] {
        self.input.get(self.start..).unwrap_or_default()
    }

    /// The first octets of it.
    pub(super) fn first(&self, octets: usize) -> &[u8] {
        self.waiting().get(..octets).unwrap_or_default()
    }

    /// Counts so many octets as understood; the next command or response begins behind them.
    pub(super) fn take(&mut self, octets: usize) {
        self.start = self.input.len().min(self.start + octets);
        self.framer.restart();
        if self.start == self.input.len() {
            self.start = 0;
            self.input.clear();
        }
    }

    /// Gives memory back where nothing waits: what was in it is wiped.
    pub(super) fn rest(&mut self) {
        if self.input.is_empty() {
            self.input = Vec::new();
        }
    }

    /// Takes octets off the front into memory of their own. Where they are most of what is there, it is the
    /// rest that moves.
    pub(super) fn take_out(&mut self, octets: usize) -> Vec<u8> {
        let rest = self.waiting().len().saturating_sub(octets);
        if octets < rest {
            let taken = self.first(octets).to_vec();
            self.take(octets);
            return taken;
        }
        self.input.drain(..self.start.min(self.input.len()));
        self.start = 0;
        let rest = self.input.split_off(octets.min(self.input.len()));
        self.framer.restart();
        std::mem::replace(&mut self.input, rest)
    }

    /// Looks for the end of the command or response that waits.
    ///
    /// # Errors
    /// As [`Framer::step`].
    pub(super) fn step(&mut self) -> Result<Step, BareLineFeed> {
        let waiting = self.input.get(self.start..).unwrap_or_default();
        self.framer.step(waiting)
    }

    /// Goes on looking behind the octets given, which are a literal's, whether they are there or not.
    pub(super) fn skip(&mut self, end: usize) {
        self.framer.skip(end);
    }

    /// Reads what has arrived, or waits for it. Nothing is lost where somebody stops waiting.
    ///
    /// # Errors
    /// What the kernel or TLS say, and where the other side has hung up.
    pub(super) async fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 && self.start >= self.input.len() / 2 {
            self.input.drain(..self.start);
            self.start = 0;
        }
        let free = self.input.capacity() - self.input.len();
        if free == 0 {
            let more = self.input.len().clamp(FEW_BYTES, MANY_BYTES);
            self.input.try_reserve(more).map_err(|_| io::ErrorKind::OutOfMemory)?;
        }
        if self.transport.read_buf(&mut self.input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.transport.acknowledge();
        Ok(())
    }

    /// The same, for what has to come soon.
    ///
    /// # Errors
    /// As [`Wire::fill`], and where nothing comes for too long.
    pub(super) async fn fill_in_time(&mut self) -> io::Result<()> {
        timeout(self.patience, self.fill()).await?
    }

    /// Makes room for what is known to come: a literal.
    ///
    /// # Errors
    /// Where there is no memory.
    pub(super) fn expect(&mut self, octets: usize) -> io::Result<()> {
        let missing = octets.saturating_sub(self.waiting().len());
        let reserved = self.input.try_reserve_exact(missing + FEW_BYTES);
        reserved.map_err(|_| io::ErrorKind::OutOfMemory.into())
    }

    /// Sends all of it.
    ///
    /// # Errors
    /// What the kernel or TLS say, and where the other side takes nothing for too long.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(MANY_BYTES) {
            timeout(self.sending, self.transport.write_all(piece)).await??;
        }
        timeout(self.sending, self.transport.flush()).await?
    }

    /// Hangs up, in the way that TLS wants it.
    pub(super) async fn close(&mut self) {
        let _ = timeout(self.patience, self.transport.shutdown()).await;
    }
}

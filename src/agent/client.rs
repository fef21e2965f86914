//! Who asks the agent: the PAM module and the command line. Blocking and bounded in time, without a
//! thread, a runtime or any cipher.
//!
//! A lease is an open connection: it ends when the [`Client`] is dropped or its process dies.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::secret::SecretBytes;
use crate::sys::{local, process};

use super::protocol::{self, LENGTH_BYTES, MAX_REPLY_BYTES, ProtocolError, Reply, Request};

/// A connection to the agent.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    path: PathBuf,
    /// How long one question may take, with its answer.
    timeout: Duration,
}

impl Client {
    /// Connects to the socket at `path`. `trusted` are the users an agent may run as, beside root and
    /// this process's own; whoever else listens there is told nothing. Every question, and this one,
    /// is given up after `timeout`.
    ///
    /// # Errors
    /// Where nobody listens, or somebody else does.
    pub fn connect(path: &Path, trusted: &[u32], timeout: Duration) -> Result<Self, ClientError> {
        let wrong = |cause| ClientError::new(path, cause);
        let stream = local::connect_before(path, Instant::now() + timeout).map_err(wrong)?;
        let owner = local::peer_uid(&stream).map_err(wrong)?;
        let own = process::uid();
        if owner != 0 && owner != own && !trusted.contains(&owner) {
            return Err(ClientError::Foreign { path: path.to_owned(), uid: owner });
        }
        Ok(Self { stream, path: path.to_owned(), timeout })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// Where none comes in time or it is of no use. The connection is then of no use either.
    pub fn ask(&mut self, request: &Request<'_>) -> Result<Reply, ClientError> {
        let answer = self.exchange(request, Instant::now() + self.timeout);
        answer.map_err(|problem| match problem {
            Problem::Io(cause) => ClientError::new(&self.path, cause),
            Problem::Protocol(cause) => ClientError::Protocol { path: self.path.clone(), cause },
        })
    }

    /// The same, with an end of its own.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn ask_before(
        &mut self,
        request: &Request<'_>,
        end: Instant,
    ) -> Result<Reply, ClientError> {
        self.timeout = end.saturating_duration_since(Instant::now());
        self.ask(request)
    }

    /// Ends this connection, and so its lease, also in processes that were forked with it.
    pub fn release(self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn exchange(&self, request: &Request<'_>, end: Instant) -> Result<Reply, Problem> {
        local::write_before(&self.stream, request.to_frame()?.expose(), end)?;
        let mut head = [0; LENGTH_BYTES];
        local::read_before(&self.stream, &mut head, end)?;
        let length = protocol::frame_length(head, MAX_REPLY_BYTES)?;
        let mut frame = SecretBytes::from(vec![0; length]);
        local::read_before(&self.stream, frame.expose_mut(), end)?;
        Ok(Reply::parse(frame.expose())?)
    }

    /// Waits until the agent ends this connection: a lease that was lost.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn wait_for_end(&self) -> io::Result<()> {
        self.stream.set_read_timeout(None)?;
        let mut stream = &self.stream;
        let mut octets = [0; 64];
        loop {
            match io::Read::read(&mut stream, &mut octets) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
    }
}

enum Problem {
    Io(io::Error),
    Protocol(ProtocolError),
}

impl From<io::Error> for Problem {
    fn from(cause: io::Error) -> Self {
        Self::Io(cause)
    }
}

impl From<ProtocolError> for Problem {
    fn from(cause: ProtocolError) -> Self {
        Self::Protocol(cause)
    }
}

/// Why the agent did not answer.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody listens at the socket.
    Absent {
        /// The socket.
        path: PathBuf,
        /// What the kernel says.
        cause: io::Error,
    },
    /// Somebody listens who is not the agent.
    Foreign {
        /// The socket.
        path: PathBuf,
        /// Whose process it is.
        uid: u32,
    },
    /// No answer came in time.
    Stalled(PathBuf),
    /// The agent hung up, as it does when it is stopped.
    Ended(PathBuf),
    /// What was asked or answered is not of the protocol.
    Protocol {
        /// The socket.
        path: PathBuf,
        /// What is wrong.
        cause: ProtocolError,
    },
}

impl ClientError {
    fn new(path: &Path, cause: io::Error) -> Self {
        let path = path.to_owned();
        match cause.kind() {
            io::ErrorKind::TimedOut => Self::Stalled(path),
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset => Self::Ended(path),
            _ => Self::Absent { path, cause },
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { path, cause } => {
                write!(f, "no agent at {}: {cause}", path.display())
            }
            Self::Foreign { path, uid } => {
                write!(f, "{} belongs to uid {uid}, who is not the agent", path.display())
            }
            Self::Stalled(path) => write!(f, "the agent at {} does not answer", path.display()),
            Self::Ended(path) => write!(f, "the agent at {} hung up", path.display()),
            Self::Protocol { path, cause } => write!(f, "agent at {}: {cause}", path.display()),
        }
    }
}

impl std::error::Error for ClientError {}

//! The store's side of a session: a connection of the client's own, logged in as he is.

mod login;

use std::fmt;
use std::io::{self, Write as _};
use std::time::Duration;

use tokio::time::timeout;

use crate::imap::Manner;
use crate::imap::capability::Capabilities;
use crate::imap::forward;
use crate::imap::frame::{self, Step};
use crate::imap::response::{self, Response};
use crate::secret::SecretBytes;
use crate::service::turn::Hold;

use super::wire::Wire;

/// The longest line of a response, and what a response may have beside one message, in octets.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;
/// A response of more octets needs memory that others need, too.
pub(super) const FREE_BYTES: usize = 128 * 1024;

/// A connection to the store.
pub(super) struct Backend {
    wire: Wire,
    /// What the store offers, since the login.
    pub(super) capabilities: Capabilities,
    /// How many commands were sent: the tag of the last.
    commands: u64,
    patience: Duration,
    most: usize,
    /// Where the last literal of the response in hand ends.
    literals_end: usize,
    /// Memory for the response in hand; before the login there is none but for a small one.
    hold: Option<Hold>,
    /// What was said while something else was waited for.
    aside: Vec<u8>,
    manner: Manner,
}

/// Why the store is of no use.
#[derive(Debug)]
pub(super) enum Failed {
    /// It cannot be reached, or hung up.
    Io(io::Error),
    /// It says what no IMAP server says.
    Nonsense(&'static str),
    /// It sent the client away, with these words.
    Bye(String),
    /// It does not take the password, with these words.
    Refused(String),
    /// It takes no password at the moment, with these words.
    Away(String),
    /// There is no memory for what it says.
    NoMemory,
}

impl From<io::Error> for Failed {
    fn from(cause: io::Error) -> Self {
        Self::Io(cause)
    }
}

impl From<tokio::time::error::Elapsed> for Failed {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self::Io(io::ErrorKind::TimedOut.into())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(cause) => write!(f, "{cause}"),
            Self::Nonsense(what) => write!(f, "it says {what}"),
            Self::Bye(text) => write!(f, "it sent the client away: {text}"),
            Self::Refused(text) => write!(f, "it does not take the password: {text}"),
            Self::Away(text) => write!(f, "it lets nobody log in: {text}"),
            Self::NoMemory => write!(f, "there is no memory for what it says"),
        }
    }
}

impl Backend {
    /// Sends a command without its tag and without its last CRLF. Where the store has to ask for the
    /// literals in it, they wait for that.
    ///
    /// # Errors
    /// Where the store is gone or does not ask for one.
    pub(super) async fn command(&mut self, command: &[u8]) -> Result<(), Failed> {
        self.commands += 1;
        let may_push = self.capabilities.has("LITERAL+");
        let mut line = [&*self.tag(), b" "].concat();
        for piece in forward::pieces(command, may_push) {
            line.extend_from_slice(piece.text);
            if piece.waits {
                self.wire.send(&line).await?;
                line.clear();
                if !self.continuation().await? {
                    // It was refused, and its tagged answer waits to be read.
                    return Ok(());
                }
            }
        }
        line.extend_from_slice(b"\r\n");
        let sent = self.wire.send(&line).await;
        drop(SecretBytes::from(line));
        Ok(sent?)
    }

    /// Sends a command that ends with a message: its arguments, then the announcement, the message and
    /// the end. Whether the store took it; if not, its tagged answer waits to be read.
    ///
    /// # Errors
    /// Where the store is gone.
    pub(super) async fn command_with(
        &mut self,
        arguments: &[u8],
        message: &[u8],
    ) -> Result<(), Failed> {
        let may_push = self.capabilities.has("LITERAL+");
        let mut command = arguments.to_vec();
        let plus = if may_push { "+" } else { "" };
        write!(command, " {{{}{plus}}}", message.len())?;
        // The line end that the announcement needs is the one that ends a command.
        self.command(&command).await?;
        if may_push || self.continuation().await? {
            self.wire.send(message).await?;
            self.wire.send(b"\r\n").await?;
        }
        Ok(())
    }

    /// Sends what is no command: the end of IDLE.
    ///
    /// # Errors
    /// Where the store is gone.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        Ok(self.wire.send(bytes).await?)
    }

    /// Waits until the store asks to go on; whether it does. What it says before that is kept for the client.
    pub(super) async fn continuation(&mut self) -> Result<bool, Failed> {
        loop {
            let octets = timeout(self.patience, self.response()).await??;
            let text = self.wire.first(octets).trim_ascii_end();
            match response::parse(text).map_err(|_| Failed::Nonsense("no response"))? {
                Response::Continuation(_) => {
                    self.wire.take(octets);
                    return Ok(true);
                }
                Response::Tagged { .. } => return Ok(false),
                Response::Bye(text) => return Err(Failed::Bye(printable(text))),
                _ => {
                    let text = self.wire.first(octets);
                    self.aside.extend_from_slice(text);
                    self.wire.take(octets);
                }
            }
        }
    }

    /// What the store said while it was waited for.
    pub(super) fn take_aside(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.aside)
    }

    /// Reads up to the tagged response of the last command; what stands before it is shown to `see`. What
    /// follows the tag is given back.
    ///
    /// # Errors
    /// Where the store is gone.
    pub(super) async fn finish(&mut self, mut see: impl FnMut(&[u8])) -> Result<Vec<u8>, Failed> {
        loop {
            let octets = timeout(self.patience, self.response()).await??;
            let text = self.wire.first(octets);
            let text = text.strip_suffix(b"\r\n").unwrap_or(text);
            match response::parse(text).map_err(|_| Failed::Nonsense("no response"))? {
                Response::Tagged { tag, rest } if self.is_own(tag) => {
                    let rest = rest.to_vec();
                    self.wire.take(octets);
                    return Ok(rest);
                }
                Response::Tagged { .. } => return Err(Failed::Nonsense("a tag of nobody's")),
                Response::Bye(text) => return Err(Failed::Bye(printable(text))),
                _ => see(text),
            }
            self.wire.take(octets);
        }
    }

    /// Whether this is the tag of the last command.
    pub(super) fn is_own(&self, tag: &[u8]) -> bool {
        tag == self.tag()
    }

    /// The tag of the last command.
    pub(super) fn tag(&self) -> Vec<u8> {
        format!("n{}", self.commands).into_bytes()
    }

    /// Lets large responses come, for which this memory is asked.
    pub(super) fn set_hold(&mut self, hold: Hold) {
        self.hold = Some(hold);
    }

    /// Waits for a whole response, and for memory for it, and says how long it is. Nothing is lost where
    /// somebody stops waiting.
    ///
    /// # Errors
    /// Where the store is gone, or says more than it may.
    pub(super) async fn response(&mut self) -> Result<usize, Failed> {
        loop {
            if let Some(octets) = self.response_if_room().await? {
                return Ok(octets);
            }
            let needed = Self::needed(self.literals_end);
            let Some(hold) = &mut self.hold else { return Err(Failed::NoMemory) };
            hold.have(needed).await.map_err(|_| Failed::NoMemory)?;
        }
    }

    /// The same; `None` where memory has to be waited for.
    ///
    /// # Errors
    /// As [`Backend::response`].
    pub(super) async fn response_if_room(&mut self) -> Result<Option<usize>, Failed> {
        loop {
            match self
                .wire
                .step()
                .map_err(|_| Failed::Nonsense("a line that does not end with CRLF"))?
            {
                Step::Complete(octets) => return Ok(Some(octets)),
                Step::Literal { head, .. } if !response::may_have_literals(self.wire.waiting()) => {
                    return Ok(Some(head));
                }
                Step::Literal { head, octets, .. } => {
                    let octets = usize::try_from(octets).unwrap_or(usize::MAX);
                    let end = head.saturating_add(octets);
                    if end > self.most {
                        return Err(Failed::Nonsense("more than the largest message"));
                    }
                    self.literals_end = end;
                    if end > FREE_BYTES
                        && !self.hold.as_mut().is_some_and(|hold| hold.try_have(Self::needed(end)))
                    {
                        return Ok(None);
                    }
                    self.wire.expect(end)?;
                    self.wire.skip(end);
                }
                Step::More if self.wire.waiting().len() > self.literals_end + MAX_LINE_BYTES => {
                    return Err(Failed::Nonsense("a line without an end"));
                }
                Step::More => self.wire.fill().await?,
            }
        }
    }

    /// How many octets of responses are there already that are passed on whatever they say.
    pub(super) fn numbered(&self) -> usize {
        frame::numbered(self.wire.waiting())
    }

    /// What a response takes: itself, and what was sealed in it decoded.
    pub(super) fn needed(octets: usize) -> u64 {
        octets as u64 / 4 * 7
    }

    /// A response that is there, its line end with it.
    pub(super) fn first(&self, octets: usize) -> &[u8] {
        self.wire.first(octets)
    }

    /// Goes on to the next one.
    pub(super) fn take(&mut self, octets: usize) {
        self.wire.take(octets);
        self.literals_end = 0;
        if let Some(hold) = &mut self.hold {
            hold.give_back();
        }
    }

    /// Takes one out, its line end with it, and the memory that it has.
    pub(super) fn take_out(&mut self, octets: usize) -> (Vec<u8>, Option<Hold>) {
        self.literals_end = 0;
        let taken = self.wire.take_out(octets);
        let next = self.hold.as_ref().map(Hold::another);
        (taken, std::mem::replace(&mut self.hold, next))
    }

    /// Gives memory back while nothing is said.
    pub(super) fn rest(&mut self) {
        self.wire.rest();
    }

    /// How the store writes what several servers write in several ways.
    pub(super) fn manner(&self) -> Manner {
        self.manner
    }

    /// How long an answer may take.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Takes leave, without waiting for an answer.
    pub(super) async fn leave(&mut self) {
        let _ = timeout(Duration::from_secs(1), self.command(b"LOGOUT")).await;
        self.wire.close().await;
    }
}

/// What a server says, on one line.
fn printable(text: &[u8]) -> String {
    const SHOWN_CHARS: usize = 200;
    let text = String::from_utf8_lossy(text.trim_ascii());
    text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect()
}

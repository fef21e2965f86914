//! The client's side of a session: his commands, whole and in turn, and what he is told.

use std::fmt::Display;
use std::io;

use crate::imap::append;
use crate::imap::command::{self, Tagged};
use crate::imap::frame::Step;
use crate::imap::refusal::Refusal;
use crate::imap::token::Malformed;

use super::backend::Failed;
use super::wire::Wire;

/// The longest command in octets, the literals that are no messages with it.
pub(super) const MAX_COMMAND_BYTES: usize = 64 * 1024;
/// A literal that is too long and comes unasked is read to its end up to this many octets; then the
/// connection ends.
const MAX_SKIPPED_BYTES: u64 = 64 * 1024 * 1024;

/// Others have all the memory there is.
pub(super) const NO_MEMORY: &str = "there is no memory for it now, come back later";

/// A client.
pub(super) struct Client {
    pub(super) wire: Wire,
    /// What he is told with the next flush.
    output: Vec<u8>,
}

/// What has come.
#[derive(Debug)]
pub(super) enum Asked {
    /// Nothing whole yet.
    More,
    /// A command of so many octets, its line end with them.
    Command(usize),
    /// A command up to a message that follows.
    Message {
        /// The octets before it.
        head: usize,
        /// The octets of the message.
        octets: u64,
        /// Whether the client waits to be told to go on.
        waits: bool,
    },
}

/// A session is over.
#[derive(Debug)]
pub(super) enum End {
    /// The client is gone, or has logged out.
    Gone,
    /// The client is told why.
    Bye(&'static str),
    /// The store is of no use any more: what the log gets.
    Store(String),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<Failed> for End {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::NoMemory => Self::Bye(NO_MEMORY),
            failed => Self::Store(failed.to_string()),
        }
    }
}

/// A command that was not done, or the end of the session.
pub(super) enum Refused {
    /// The client is answered.
    Here(Refusal),
    /// There is nobody to be answered any more.
    End(End),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Here(refusal)
    }
}

impl From<Malformed> for Refused {
    fn from(malformed: Malformed) -> Self {
        Self::Here(malformed.into())
    }
}

impl From<End> for Refused {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl From<Failed> for Refused {
    fn from(failed: Failed) -> Self {
        Self::End(failed.into())
    }
}

impl Client {
    pub(super) fn new(wire: Wire) -> Self {
        Self { wire, output: Vec::new() }
    }

    /// Says a line, with the next flush.
    pub(super) fn say(&mut self, line: impl Display) {
        self.put(line.to_string().as_bytes());
        self.put(b"\r\n");
    }

    /// Says octets as they are, with the next flush.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// The same, without a copy where there is nothing yet.
    pub(super) fn put_all(&mut self, bytes: Vec<u8>) {
        if self.output.is_empty() {
            self.output = bytes;
        } else {
            self.put(&bytes);
        }
    }

    /// Ends a command.
    pub(super) fn finish(&mut self, tag: &[u8], result: impl Display) {
        self.put(tag);
        self.say(format_args!(" {result}"));
    }

    /// Ends a command that is not done.
    pub(super) fn refuse(&mut self, tag: &[u8], refusal: &Refusal) {
        if let Some(alert) = &refusal.alert {
            self.say(format_args!("* NO [ALERT] {alert}"));
        }
        self.finish(tag, refusal);
    }

    /// How much waits to be sent.
    pub(super) fn unsent(&self) -> usize {
        self.output.len()
    }

    /// Sends what was said.
    ///
    /// # Errors
    /// Where the client is gone or takes nothing.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        if self.output.is_empty() {
            return Ok(());
        }
        let sent = self.wire.send(&self.output).await;
        // It may have been large, and it was a letter.
        self.output = Vec::new();
        Ok(sent?)
    }

    /// Looks at what has come, without waiting for more: [`Wire::fill`] waits. A client who waits to send
    /// a literal is told to, unless it is the message of an APPEND.
    ///
    /// # Errors
    /// Where the session is over.
    pub(super) async fn look(&mut self) -> Result<Asked, End> {
        loop {
            let step = match self.wire.step() {
                Ok(step) => step,
                Err(bare) => {
                    let tag = self.tag_of(bare.octets);
                    self.wire.take(bare.octets);
                    self.finish(&tag, Refusal::bad(bare.to_string()));
                    self.flush().await?;
                    continue;
                }
            };
            match step {
                Step::Complete(octets) => return Ok(Asked::Command(octets)),
                Step::More if self.wire.waiting().len() > MAX_COMMAND_BYTES => {
                    return Err(End::Bye("the command is too long"));
                }
                Step::More => return Ok(Asked::More),
                Step::Literal { head, octets, waits } => {
                    if self.is_message(head) {
                        return Ok(Asked::Message { head, octets, waits });
                    }
                    self.literal(head, octets, waits).await?;
                }
            }
        }
    }

    async fn literal(&mut self, head: usize, octets: u64, waits: bool) -> Result<(), End> {
        let end = usize::try_from(octets).ok().and_then(|octets| head.checked_add(octets));
        match end.filter(|end| *end <= MAX_COMMAND_BYTES) {
            Some(end) => {
                self.wire.skip(end);
                if waits {
                    self.say("+ go on");
                    self.flush().await?;
                }
            }
            None => {
                let tag = self.tag_of(head);
                self.wire.take(head);
                self.finish(&tag, Refusal::no_code("LIMIT", "the command is too long"));
                self.flush().await?;
                if !waits {
                    self.skip(octets).await?;
                    // What follows the literal ends the command.
                    self.skip_line().await?;
                }
            }
        }
        Ok(())
    }

    /// Whether the literal that begins behind `head` octets is the message of an APPEND, or of what has no
    /// place for one.
    fn is_message(&self, head: usize) -> bool {
        let told = command::tagged(self.wire.first(head));
        let is_append = |told: &Tagged<'_>| {
            told.command.get(..7).is_some_and(|name| name.eq_ignore_ascii_case(b"APPEND "))
        };
        let Some(told) = told.ok().filter(is_append) else { return false };
        !matches!(append::parse(told.command), Ok(None))
    }

    /// The tag of a command, or `*` where it has none.
    pub(super) fn tag_of(&self, octets: usize) -> Vec<u8> {
        let told = command::tagged(self.wire.first(octets));
        told.map_or_else(|_| b"*".to_vec(), |told| told.tag.to_vec())
    }

    /// Reads octets that nobody wants.
    ///
    /// # Errors
    /// Where there are too many.
    pub(super) async fn skip(&mut self, mut octets: u64) -> Result<(), End> {
        if octets > MAX_SKIPPED_BYTES {
            return Err(End::Bye("the literal is too long"));
        }
        while octets > 0 {
            if self.wire.waiting().is_empty() {
                self.wire.fill_in_time().await?;
            }
            let waiting = self.wire.waiting().len();
            let some = usize::try_from(octets).map_or(waiting, |octets| octets.min(waiting));
            self.wire.take(some);
            octets -= some as u64;
        }
        Ok(())
    }

    /// Reads the end of a command whose literal nobody wanted, whatever it has.
    ///
    /// # Errors
    /// Where there is no end.
    pub(super) async fn skip_line(&mut self) -> Result<(), End> {
        loop {
            match self.wire.step() {
                Ok(Step::Complete(octets)) => {
                    self.wire.take(octets);
                    return Ok(());
                }
                Ok(Step::More) if self.wire.waiting().len() <= MAX_COMMAND_BYTES => {
                    self.wire.fill_in_time().await?;
                }
                Ok(Step::Literal { head, waits: true, .. }) => {
                    // It will not be asked for.
                    self.wire.take(head);
                    return Ok(());
                }
                Ok(Step::Literal { head, octets, waits: false }) => {
                    self.wire.take(head);
                    self.skip(octets).await?;
                }
                _ => return Err(End::Bye("the command is not written as IMAP has it")),
            }
        }
    }
}

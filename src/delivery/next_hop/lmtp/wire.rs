//! Commands and replies on a connection to an LMTP server, in step: how many replies the server still
//! owes is known at each moment, and a connection that lost count is never used again.

use std::io;
use std::time::Duration;

use smtp_proto::Response;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;

use crate::delivery::next_hop::Letter;
use crate::sys::socket::Stream;

use super::client::{Server, Timeouts};
use super::letter;
use super::reply::{self, Problem, Step};

/// The longest reply that is read, in octets.
const MAX_REPLY_BYTES: u64 = 64 * 1024;
/// How long a server that hung up in the midst of a letter may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: BufReader<Stream>,
    timeouts: Timeouts,
    /// Replies to what was sent that were not read whole.
    owed: usize,
    is_broken: bool,
}

impl Wire {
    /// Connects; the server owes its greeting.
    pub(super) async fn connect(server: &Server) -> Result<Self, Problem> {
        let timeouts = server.timeouts;
        let connecting = Stream::connect(&server.address);
        let stream = within(Step::Connect, timeouts.connect, connecting).await?;
        Ok(Self { stream: BufReader::new(stream), timeouts, owed: 1, is_broken: false })
    }

    /// Whether it may be used again: nothing went wrong, no reply is owed, and the server neither said
    /// anything by itself nor hung up.
    pub(super) fn is_sound(&self) -> bool {
        let is_quiet = || self.stream.buffer().is_empty() && self.stream.get_ref().is_quiet();
        !self.is_broken && self.owed == 0 && is_quiet()
    }

    /// Whether something went wrong, so that nothing can be sent any more.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// What the server does next, nobody knows.
    pub(super) fn give_up(&mut self) {
        self.is_broken = true;
    }

    /// Sends `commands` with their line ends, for each of which the server owes a reply.
    pub(super) async fn send(
        &mut self,
        step: Step,
        commands: &[u8],
        replies: usize,
    ) -> Result<(), Problem> {
        self.owed += replies;
        let sent = within(step, self.timeouts.reply, self.stream.get_mut().write_all(commands));
        let sent = sent.await;
        self.is_broken |= sent.is_err();
        sent
    }

    /// Sends a letter with its end, to which the server owes `replies`; gives back how many octets
    /// that took. A server that hangs up over it may still say why: that is the problem then.
    pub(super) async fn send_letter(
        &mut self,
        letter: &Letter<'_>,
        replies: usize,
    ) -> Result<u64, Problem> {
        self.owed += replies;
        let problem = if self.stream.buffer().is_empty() {
            match letter::send(letter, self.stream.get_mut(), self.timeouts.reply).await {
                Ok(octets) => return Ok(octets),
                Err(cause) => Problem::Io(Step::Letter, cause),
            }
        } else {
            // It said more than that it wants the letter.
            reply::none(Step::Data)
        };
        self.is_broken = true;
        // Before it has the whole letter it may say no; yes is no answer to it.
        Err(match self.expect_within(Step::Letter, 2, true, LAST_WORDS).await {
            Err(said @ Problem::Reply { .. }) if replies > 1 => said.said_to_all(),
            Err(said @ Problem::Reply { .. }) => said,
            _ => problem,
        })
    }

    /// Reads a reply, whose code must begin with `class`. `counts` says whether a 5xx speaks of the
    /// recipient or the message.
    pub(super) async fn expect(
        &mut self,
        step: Step,
        class: u16,
        counts: bool,
    ) -> Result<(), Problem> {
        self.expect_within(step, class, counts, self.timeouts.reply).await
    }

    /// Reads the reply to the end of a letter.
    pub(super) async fn expect_end_of_data(&mut self) -> Result<(), Problem> {
        self.expect_within(Step::EndOfData, 2, true, self.timeouts.end_of_data).await
    }

    async fn expect_within(
        &mut self,
        step: Step,
        class: u16,
        counts: bool,
        limit: Duration,
    ) -> Result<(), Problem> {
        let (reply, _) = self.reply(step, limit).await?;
        if reply.code / 100 == class { Ok(()) } else { Err(Problem::reply(step, reply, counts)) }
    }

    /// Reads a reply of any kind, and gives its text as it came, too.
    pub(super) async fn any_reply(
        &mut self,
        step: Step,
    ) -> Result<(Response<String>, Vec<u8>), Problem> {
        self.reply(step, self.timeouts.reply).await
    }

    async fn reply(
        &mut self,
        step: Step,
        limit: Duration,
    ) -> Result<(Response<String>, Vec<u8>), Problem> {
        let text = self.read_reply(step, limit).await;
        let reply = text.and_then(|text| Ok((reply::parse(step, &text)?, text)));
        // 421: the server hangs up (RFC 5321 §3.8).
        self.is_broken |= reply.as_ref().is_ok_and(|(reply, _)| reply.code == 421);
        if reply.is_ok() {
            self.owed = self.owed.saturating_sub(1);
        }
        reply
    }

    /// All lines of one reply (RFC 5321 §4.2.1).
    async fn read_reply(&mut self, step: Step, limit: Duration) -> Result<Vec<u8>, Problem> {
        let mut text = Vec::new();
        loop {
            let start = text.len();
            let mut bounded = (&mut self.stream).take(MAX_REPLY_BYTES - start as u64);
            within(step, limit, bounded.read_until(b'\n', &mut text)).await?;
            let line = text.get(start..).unwrap_or_default();
            if !line.ends_with(b"\n") {
                return Err(Problem::io(step, io::ErrorKind::UnexpectedEof, "connection closed"));
            }
            if !reply::is_line(line) || line.get(..3) != text.get(..3) {
                // One that says two things says neither.
                return Err(reply::none(step));
            }
            if line.get(3) != Some(&b'-') {
                return Ok(text);
            }
        }
    }
}

/// Waits for `work`, but not for ever.
async fn within<T>(
    step: Step,
    limit: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, Problem> {
    match timeout(limit, work).await {
        Ok(done) => done.map_err(|cause| Problem::Io(step, cause)),
        Err(_) => Err(Problem::io(step, io::ErrorKind::TimedOut, "no answer in time")),
    }
}

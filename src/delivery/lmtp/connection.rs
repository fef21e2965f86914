//! One client's connection: its commands in turn, its limits, its timeouts.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::{sleep, timeout, timeout_at};

use crate::delivery::next_hop::lmtp::{Extension, Offer};
use crate::line::{self, LineError};
use crate::log;
use crate::service::clients::Admission;
use crate::service::memory::Reserved;
use crate::sys::socket::{Peer, Stream};

use super::Service;
use super::command::{self, Command, MAX_LINE_BYTES};
use super::data::DataReader;
use super::incoming::Incoming;
use super::input::Input;
use super::metrics::Step;
use super::reply::Reply;
use super::transaction::{Sender, Transaction};
use super::way::Way;

/// Octets read at once: of commands, and of a message.
const COMMAND_BYTES: usize = MAX_LINE_BYTES;
const DATA_BYTES: usize = 16 * 1024;
/// Lines that are no command before the connection ends.
const MAX_ERRORS: usize = 20;
/// How long the next command of a transaction is waited for when the service stops.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// A large chunk over the limit is not waited for.
const MAX_SKIPPED_BYTES: u64 = 64 * 1024 * 1024;

/// A connection.
pub(super) struct Connection {
    service: Arc<Service>,
    stream: Stream,
    peer: Peer,
    admission: Admission,
    stop: watch::Receiver<bool>,
    input: Input,
    /// Replies that wait for the client to stop talking (RFC 2920 §3.2).
    replies: Vec<u8>,
    /// What the store offered when the client said LHLO.
    offer: Option<Offer>,
    errors: usize,
    transaction: Option<Transaction>,
}

/// The connection is over.
enum End {
    /// The client hung up, or took no answer.
    Gone,
    /// After this reply.
    Reply(Reply),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<Reply> for End {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// Tells a client that there are too many, if it takes it at once.
pub(super) fn turn_away(stream: &Stream) {
    stream.try_send(format!("{}\r\n", Reply::too_many_connections()).as_bytes());
}

impl Connection {
    pub(super) fn new(
        service: Arc<Service>,
        stream: Stream,
        peer: Peer,
        admission: Admission,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            service,
            stream,
            peer,
            admission,
            stop,
            input: Input::new(COMMAND_BYTES),
            replies: Vec::new(),
            offer: None,
            errors: 0,
            transaction: None,
        }
    }

    /// Serves the client until one of the two hangs up.
    pub(super) async fn serve(mut self) {
        self.say(&Reply::ready());
        let end = loop {
            if let Err(end) = self.command().await {
                break end;
            }
        };
        if let Some(transaction) = self.transaction.take() {
            transaction.abandon().await;
        }
        if let End::Reply(reply) = end {
            self.say(&reply);
            let _ = self.flush().await;
        }
    }

    async fn command(&mut self) -> Result<(), End> {
        let command = match self.next_line().await? {
            Ok(command) => command,
            Err(reply) => {
                self.errors += 1;
                return if self.errors >= MAX_ERRORS {
                    self.say(&reply);
                    Err(Reply::too_many_errors().into())
                } else {
                    self.answer(reply)
                };
            }
        };
        match command {
            Command::Lhlo => {
                self.reset().await;
                let current = self.service.current();
                let offer = current.pool.offer().await.map_err(|problem| {
                    log::store_away(&problem.refusal(&current.pool.server().address).detail);
                    Reply::store_away()
                })?;
                self.greet(offer, current.max_message_bytes);
                self.offer = Some(offer);
                Ok(())
            }
            Command::Mail { sender, octets, utf8 } => {
                let reply = self.mail(Sender { path: sender, utf8 }, octets);
                self.answer(reply)
            }
            Command::Rcpt { address, ignore_quota } => {
                let Some(transaction) = &mut self.transaction else {
                    return self.answer(Reply::bad_sequence("MAIL comes first"));
                };
                let reply = transaction.rcpt(address, ignore_quota).await;
                self.answer(reply)
            }
            Command::Data => self.data().await,
            Command::Bdat { octets, is_last } => self.chunk(octets, is_last).await,
            Command::Rset => {
                self.reset().await;
                self.answer(Reply::good("2.0.0 forgotten"))
            }
            Command::Noop => self.answer(Reply::good("2.0.0 nothing done")),
            Command::Vrfy => self.answer(Reply::new(252, "2.5.0 send some mail, then you know")),
            Command::Help => self.answer(Reply::new(214, "2.0.0 RFC 2033 has all there is")),
            Command::Quit => Err(Reply::bye().into()),
        }
    }

    fn mail(&mut self, sender: Sender, octets: u64) -> Reply {
        let current = self.service.current();
        let Some(offer) = self.offer else {
            return Reply::bad_sequence("LHLO comes first");
        };
        if self.transaction.is_some() {
            return Reply::bad_sequence("there is a sender already");
        }
        if sender.utf8 && !offer.has(Extension::SmtpUtf8) {
            return Reply::unknown_parameter();
        }
        let most = offer.most(current.max_message_bytes);
        if octets > most {
            return Reply::too_large();
        }
        let reserved =
            Reserved::new(Arc::clone(&self.service.budget), self.admission.share.clone());
        let incoming = Incoming::new(reserved, &sender.path, octets, most);
        let way = Way::new(Arc::clone(&self.service), current, self.peer.to_string());
        self.transaction = Some(Transaction::new(way, sender, incoming));
        Reply::good("2.1.0 sender noted")
    }

    /// DATA: the whole message, then a reply for each recipient that was accepted.
    async fn data(&mut self) -> Result<(), End> {
        match &self.transaction {
            Some(transaction) if !transaction.has_recipients() => {
                return self.answer(Reply::bad_sequence("no recipient was accepted"));
            }
            Some(transaction) if transaction.incoming.has_chunks() => {
                return self.answer(Reply::bad_sequence("BDAT began this message"));
            }
            None => return self.answer(Reply::bad_sequence("MAIL comes first")),
            Some(_) => {}
        }
        self.say(&Reply::go_on());
        self.flush().await?;
        if let Some(transaction) = &mut self.transaction {
            transaction.get_ready();
        }
        let begun = Instant::now();
        let mut reader = DataReader::default();
        while !reader.has_ended() {
            if self.input.waiting().is_empty() {
                self.read(self.data_timeout()).await?;
            }
            let Some(transaction) = &mut self.transaction else { return Err(End::Gone) };
            let waiting = self.input.waiting();
            transaction.make_room(waiting.len()).await;
            let incoming = &mut transaction.incoming;
            let read = reader.read(waiting, |text| {
                incoming.push(text);
                Ok::<(), std::convert::Infallible>(())
            });
            let octets = read.unwrap_or_else(|never| match never {});
            self.input.take(octets);
            // Whoever has sent nothing yet takes no more memory than between messages.
            self.input.enlarge(DATA_BYTES);
        }
        // What the message left behind is wiped, and the large room given back.
        self.input.resize(COMMAND_BYTES);
        self.deliver(begun).await
    }

    /// BDAT (RFC 3030 §2): a chunk as it is, and after the last one a reply for each recipient.
    async fn chunk(&mut self, octets: u64, is_last: bool) -> Result<(), End> {
        let begun = Instant::now();
        let takes = self.transaction.as_ref().is_some_and(Transaction::has_recipients);
        let room = self.transaction.as_ref().map_or(0, |transaction| transaction.incoming.room());
        if octets > room.saturating_add(MAX_SKIPPED_BYTES) {
            return Err(Reply::too_large().and_close().into());
        }
        if let Some(transaction) = self.transaction.as_mut().filter(|_| takes) {
            transaction.incoming.announce(octets);
        }
        let mut left = octets;
        while left > 0 {
            if self.input.waiting().is_empty() {
                // The client may wait for what was said to earlier commands (RFC 2920 §3.2).
                self.flush().await?;
                self.read(self.data_timeout()).await?;
            }
            let waiting = self.input.waiting();
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let piece = waiting.get(..most).unwrap_or(waiting);
            let length = piece.len();
            if let Some(transaction) = self.transaction.as_mut().filter(|_| takes) {
                transaction.make_room(length).await;
                transaction.incoming.push(piece);
            }
            self.input.take(length);
            self.input.enlarge(DATA_BYTES);
            left -= length as u64;
        }
        self.input.resize(COMMAND_BYTES);
        let Some(transaction) = self.transaction.as_mut() else {
            return self.answer(Reply::bad_sequence("MAIL comes first"));
        };
        if !takes {
            return self.answer(Reply::bad_sequence("no recipient was accepted"));
        }
        let first = transaction.incoming.chunk_began(begun);
        if is_last {
            return self.deliver(first).await;
        }
        if let Some(problem) = transaction.incoming.problem() {
            // Whoever goes on all the same, with a message that nobody gets, is not served for ever.
            let reply = Reply::of(problem);
            self.errors += 1;
            return if self.errors < MAX_ERRORS { self.answer(reply) } else { Err(reply.into()) };
        }
        self.answer(Reply::good(&format!("2.0.0 {octets} octets received")))
    }

    /// Delivers the message and answers for each recipient, as soon as the answer is known.
    async fn deliver(&mut self, begun: Instant) -> Result<(), End> {
        let Some(transaction) = self.transaction.take() else { return Err(End::Gone) };
        self.service.metrics.step(Step::Receive, begun.elapsed());
        self.service.metrics.octets_in.inc_by(transaction.incoming.size() as u64);
        let mut delivery = transaction.deliver().await;
        let mut answered = Ok(());
        while let (Ok(()), Some(outcome)) = (&answered, delivery.next().await) {
            self.say(&Reply::of(&outcome));
            if !delivery.is_done() {
                answered = self.flush_beside(Some(&mut delivery.way)).await;
            }
        }
        delivery.finish().await;
        answered
    }

    fn greet(&mut self, offer: Offer, max_octets: u64) {
        let mut lines = vec!["nightsafe".to_owned()];
        lines.extend(["PIPELINING", "ENHANCEDSTATUSCODES", "CHUNKING"].map(str::to_owned));
        lines.push(format!("SIZE {}", offer.most(max_octets)));
        for (extension, name) in [
            (Extension::EightBitMime, "8BITMIME"),
            (Extension::SmtpUtf8, "SMTPUTF8"),
            (Extension::IgnoreQuota, "IGNOREQUOTA"),
        ] {
            if offer.has(extension) {
                lines.push(name.to_owned());
            }
        }
        let last = lines.len() - 1;
        for (index, line) in lines.iter().enumerate() {
            let divider = if index == last { ' ' } else { '-' };
            self.replies.extend_from_slice(format!("250{divider}{line}\r\n").as_bytes());
        }
    }

    async fn reset(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            transaction.abandon().await;
        }
    }

    fn say(&mut self, reply: &Reply) {
        self.replies.extend_from_slice(format!("{reply}\r\n").as_bytes());
    }

    fn answer(&mut self, reply: Reply) -> Result<(), End> {
        if reply.closes() {
            return Err(reply.into());
        }
        self.say(&reply);
        Ok(())
    }

    /// The next command, or what to say to a line that is none.
    async fn next_line(&mut self) -> Result<Result<Command, Reply>, End> {
        loop {
            match line::first(self.input.waiting(), MAX_LINE_BYTES) {
                Ok(Some((line, octets))) => {
                    let command = command::parse(line);
                    self.input.take(octets);
                    return Ok(command);
                }
                Ok(None) => {}
                Err(error @ (LineError::TooLong | LineError::BareLineEnd)) => {
                    return Err(Reply::syntax(&error.to_string()).and_close().into());
                }
            }
            self.flush().await?;
            let limit = Duration::from_secs(self.service.current().settings.command_timeout);
            let mut stop = self.stop.clone();
            let patience = self.transaction.as_ref().map(|_| STOP_PATIENCE);
            let going_down = async {
                let _ = stop.wait_for(|stop| *stop).await;
                sleep(patience.unwrap_or_default()).await;
            };
            tokio::select! {
                () = going_down => return Err(Reply::going_down().into()),
                read = self.read(limit) => read?,
            }
        }
    }

    fn data_timeout(&self) -> Duration {
        Duration::from_secs(self.service.current().settings.data_timeout)
    }

    async fn read(&mut self, limit: Duration) -> Result<(), End> {
        let deadline = Instant::now() + limit;
        loop {
            // A slow client does not keep others from the store.
            let in_the_way = async {
                match &self.transaction {
                    Some(transaction) => transaction.way.is_wanted().await,
                    None => std::future::pending().await,
                }
            };
            let read = tokio::select! {
                biased;
                read = timeout_at(deadline.into(), self.stream.read(self.input.room())) => read,
                () = in_the_way => {
                    if let Some(transaction) = &mut self.transaction {
                        Box::pin(transaction.way.clear()).await;
                    }
                    continue;
                }
            };
            return match read {
                Ok(Ok(0) | Err(_)) => Err(End::Gone),
                Ok(Ok(octets)) => {
                    self.input.add(octets);
                    Ok(())
                }
                Err(_) => Err(Reply::timed_out().into()),
            };
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        let mut transaction = self.transaction.take();
        let flushed = self.flush_beside(transaction.as_mut().map(|begun| &mut begun.way)).await;
        self.transaction = transaction;
        flushed
    }

    /// Sends the replies. A client who takes his time does not keep others from the store, either.
    async fn flush_beside(&mut self, way: Option<&mut Way>) -> Result<(), End> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let limit = self.data_timeout();
        let mut sending = pin!(timeout(limit, self.stream.write_all(&self.replies)));
        let sent = match way {
            None => sending.await,
            Some(way) => tokio::select! {
                biased;
                sent = &mut sending => sent,
                () = way.is_wanted() => {
                    Box::pin(way.clear()).await;
                    sending.await
                }
            },
        };
        self.replies.clear();
        sent.map_err(|_| End::Gone)??;
        Ok(())
    }
}

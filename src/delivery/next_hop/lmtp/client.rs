//! One connection to an LMTP server (RFC 2033): who is asked about each recipient, and then given the
//! letter.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use encodify::base64::STANDARD as BASE64;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;

use crate::delivery::next_hop::{Letter, Refusal};
use crate::delivery::smtp::path;
use crate::secret::SecretBytes;
use crate::sys::socket::{Address, Stream};

use super::letter;
use super::offer::{Extension, Offer};
use super::reply::{self, Problem, Step};

/// The longest reply that is read, in octets.
const MAX_REPLY_BYTES: u64 = 64 * 1024;
/// Commands sent before the reply to the first of them is read. The kernel holds so many for a server
/// that does not listen while it talks, else each side could wait for the other (RFC 2920 §3.1).
const MAX_COMMANDS_AHEAD: usize = 32;

/// How long a server may take (RFC 5321 §4.5.3.2).
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection to come up.
    pub connect: Duration,
    /// For most replies, and for each piece of a letter.
    pub reply: Duration,
    /// For the reply to the end of the data.
    pub end_of_data: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            reply: Duration::from_secs(300),
            end_of_data: Duration::from_secs(600),
        }
    }
}

/// Where a server is, and how it is talked to.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its address.
    pub address: Address,
    /// Who logs in there (RFC 4954), where the server does not trust the connection.
    pub login: Option<Arc<Login>>,
    /// How long it may take.
    pub timeouts: Timeouts,
}

/// A name and a password (RFC 4616).
#[derive(Debug)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: SecretBytes,
}

/// A recipient as the server is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// RCPT TO.
    pub address: String,
    /// Whether the client asked for `IGNOREQUOTA`.
    pub ignore_quota: bool,
}

/// A connection that is greeted and logged in.
#[derive(Debug)]
pub(in crate::delivery) struct Session {
    server: Server,
    stream: BufReader<Stream>,
    offer: Offer,
    /// The open transaction: the sender, and whom the server accepted.
    asked: Option<(String, Vec<Recipient>)>,
    /// Whether all its addresses are ASCII, so that MAIL did not say SMTPUTF8.
    is_ascii: bool,
    /// Whether it may be used again.
    is_sound: bool,
    /// Octets of the last letter on the wire.
    letter_octets: u64,
}

/// What became of a letter for each of its recipients.
pub(in crate::delivery) type Answers = Vec<Result<(), Refusal>>;

impl Session {
    /// Connects and greets.
    pub(in crate::delivery) async fn open(server: &Server) -> Result<Self, Problem> {
        let connecting = Stream::connect(&server.address);
        let stream = within("connect", server.timeouts.connect, connecting).await?;
        let mut session = Self {
            server: server.clone(),
            stream: BufReader::new(stream),
            offer: Offer::default(),
            asked: None,
            is_ascii: true,
            is_sound: true,
            letter_octets: 0,
        };
        session.expect("greeting", 2, false).await?;
        session.send("LHLO", b"LHLO localhost\r\n").await?;
        let text = session.read_reply("LHLO", server.timeouts.reply).await?;
        let reply = reply::parse("LHLO", &text)?;
        if reply.code != 250 {
            return Err(Problem::reply("LHLO", reply, false));
        }
        session.offer = Offer::parse(&text);
        if let Some(login) = server.login.as_deref().filter(|_| session.offer.has_auth()) {
            session.log_in(login).await?;
        }
        Ok(session)
    }

    async fn log_in(&mut self, login: &Login) -> Result<(), Problem> {
        let no_memory = |_| Problem::io("AUTH", io::ErrorKind::OutOfMemory, "out of memory");
        let mut plain = SecretBytes::default();
        for piece in [b"\0", login.user.as_bytes(), b"\0", login.password.expose()] {
            plain.try_push(piece).map_err(no_memory)?;
        }
        let encoded = SecretBytes::from(BASE64.encode(plain.expose()).into_bytes());
        let mut line = SecretBytes::default();
        for piece in [b"AUTH PLAIN ", encoded.expose(), b"\r\n"] {
            line.try_push(piece).map_err(no_memory)?;
        }
        self.send("AUTH", line.expose()).await?;
        self.expect("AUTH", 2, false).await
    }

    /// What the server offers.
    pub(in crate::delivery) fn offer(&self) -> Offer {
        self.offer
    }

    /// Asks about one recipient, in a transaction of `sender`. When the answer is yes, the server
    /// waits for the letter or for more recipients.
    pub(in crate::delivery) async fn ask(
        &mut self,
        sender: &str,
        recipient: &Recipient,
    ) -> Result<(), Problem> {
        let rcpt = self.rcpt(recipient)?;
        let is_ascii = sender.is_ascii() && recipient.address.is_ascii();
        if self.offer.has(Extension::SmtpUtf8) && !is_ascii && self.is_ascii {
            // MAIL has to announce such an address (RFC 6531 §3.4).
            self.reset().await?;
        }
        if self.asked.is_none() {
            self.is_ascii = is_ascii;
            let mail = self.mail(sender, std::slice::from_ref(recipient), None)?;
            if self.offer.has(Extension::Pipelining) {
                self.send("MAIL", format!("{mail}{rcpt}").as_bytes()).await?;
                self.expect_mail().await?;
            } else {
                self.send("MAIL", mail.as_bytes()).await?;
                self.expect_mail().await?;
                self.send("RCPT", rcpt.as_bytes()).await?;
            }
            self.asked = Some((sender.to_owned(), Vec::new()));
        } else {
            self.send("RCPT", rcpt.as_bytes()).await?;
        }
        self.expect("RCPT", 2, true).await?;
        if let Some((_, accepted)) = &mut self.asked {
            accepted.push(recipient.clone());
        }
        Ok(())
    }

    /// Hands `letter` on for `recipients`. One answer for each of them, and yes only after the reply
    /// to the end of the data.
    ///
    /// # Errors
    /// When the connection failed before an octet of the letter was on its way: another one may do.
    pub(in crate::delivery) async fn hand_over(
        &mut self,
        recipients: &[Recipient],
        letter: &Letter<'_>,
    ) -> Result<Answers, Problem> {
        let sender = letter.sender();
        let answers = match self.begin(sender, recipients, letter).await {
            Ok(answers) => answers,
            Err(problem) if problem.is_of_the_connection() => return Err(problem),
            Err(problem) => return Ok(self.refused(&problem, recipients.len())),
        };
        if answers.iter().all(Result::is_err) {
            // A server that has nobody to deliver to and wants the data all the same is not sound.
            match self.expect("DATA", 3, false).await {
                Ok(()) => self.is_sound = false,
                Err(problem) => self.is_sound &= matches!(problem, Problem::Reply { .. }),
            }
            return Ok(answers);
        }
        match self.expect("DATA", 3, false).await {
            Ok(()) => {}
            Err(problem) if problem.is_of_the_connection() => return Err(problem),
            Err(problem) => {
                let refuse = |answer: Result<(), Refusal>| {
                    answer.and_then(|()| Err(problem.refusal(&self.server.address)))
                };
                return Ok(answers.into_iter().map(refuse).collect());
            }
        }
        self.asked = None;
        Ok(self.data(answers, letter).await)
    }

    /// Opens the transaction, unless the server was asked about exactly these recipients, and sends
    /// DATA. The answers are those to RCPT.
    async fn begin(
        &mut self,
        sender: &str,
        recipients: &[Recipient],
        letter: &Letter<'_>,
    ) -> Result<Answers, Problem> {
        let is_open = |(asked, accepted): &(String, Vec<Recipient>)| {
            asked == sender && accepted.as_slice() == recipients
        };
        if self.asked.as_ref().is_some_and(is_open) {
            self.send("DATA", b"DATA\r\n").await?;
            return Ok(recipients.iter().map(|_| Ok(())).collect());
        }
        let mut commands = Vec::new();
        let mail = self.mail(sender, recipients, Some(letter))?;
        let reset = self.asked.take().is_some();
        if reset {
            commands.push(("RSET", "RSET\r\n".to_owned()));
        }
        commands.push(("MAIL", mail));
        for recipient in recipients {
            commands.push(("RCPT", self.rcpt(recipient)?));
        }
        commands.push(("DATA", "DATA\r\n".to_owned()));
        let together = if self.offer.has(Extension::Pipelining) { MAX_COMMANDS_AHEAD } else { 1 };
        // Whatever happens from here on, there is a transaction to be reset.
        self.asked = Some((String::new(), Vec::new()));
        let mut answers = Answers::new();
        for ahead in commands.chunks(together) {
            let lines: String = ahead.iter().map(|(_, line)| line.as_str()).collect();
            let step = ahead.first().map_or("MAIL", |(step, _)| step);
            self.send(step, lines.as_bytes()).await?;
            for (step, _) in ahead {
                match *step {
                    "RCPT" => match self.expect("RCPT", 2, true).await {
                        Err(problem) if problem.is_of_the_connection() => return Err(problem),
                        answer => answers
                            .push(answer.map_err(|problem| problem.refusal(&self.server.address))),
                    },
                    "DATA" => {}
                    step => {
                        let answer = self.expect(step, 2, false).await;
                        if answer.is_err() {
                            // The replies to what was sent ahead are of no interest.
                            self.is_sound = false;
                        }
                        answer?;
                    }
                }
            }
        }
        Ok(answers)
    }

    /// Sends the data and reads the reply for each recipient that was accepted.
    async fn data(&mut self, answers: Answers, letter: &Letter<'_>) -> Answers {
        let limit = self.server.timeouts.reply;
        let mut broken = match letter::send(letter, self.stream.get_mut(), limit).await {
            Ok(octets) => {
                self.letter_octets = octets;
                None
            }
            Err(cause) => Some(Problem::Io("data", cause)),
        };
        let mut given = Answers::with_capacity(answers.len());
        for answer in answers {
            if answer.is_err() {
                given.push(answer);
                continue;
            }
            let answer = match &broken {
                Some(problem) => Err(problem.refusal(&self.server.address)),
                None => {
                    let wait = self.server.timeouts.end_of_data;
                    let reply = self.expect_within("end of data", 2, true, wait).await;
                    reply.map_err(|problem| {
                        let refusal = problem.refusal(&self.server.address);
                        // What the others would have been told, nobody knows.
                        broken = problem.is_of_the_connection().then_some(problem);
                        refusal
                    })
                }
            };
            given.push(answer);
        }
        if given.iter().any(Result::is_err) {
            // Cyrus goes on with the transaction after it has refused a message for its size.
            self.asked = Some((String::new(), Vec::new()));
        }
        self.is_sound &= broken.is_none();
        given
    }

    fn refused(&self, problem: &Problem, count: usize) -> Answers {
        (0..count).map(|_| Err(problem.refusal(&self.server.address))).collect()
    }

    /// How many octets the last letter took on the wire.
    pub(in crate::delivery) fn letter_octets(&self) -> u64 {
        self.letter_octets
    }

    /// Ends an open transaction, so that the connection can be used for another.
    pub(in crate::delivery) async fn reset(&mut self) -> Result<(), Problem> {
        if self.asked.take().is_some() {
            self.send("RSET", b"RSET\r\n").await?;
            self.expect("RSET", 2, false).await?;
        }
        Ok(())
    }

    /// Whether the connection may be used again: nothing went wrong on it, and the server neither said
    /// anything by itself nor hung up.
    pub(in crate::delivery) fn is_sound(&self) -> bool {
        self.is_sound && self.stream.buffer().is_empty() && self.stream.get_ref().is_quiet()
    }

    /// Whether it is sound and no transaction is open.
    pub(in crate::delivery) fn is_idle(&self) -> bool {
        self.asked.is_none() && self.is_sound()
    }

    /// Takes leave.
    pub(in crate::delivery) async fn quit(mut self) {
        let _ = self.send("QUIT", b"QUIT\r\n").await;
    }

    /// MAIL FROM with the parameters that the server takes.
    fn mail(
        &self,
        sender: &str,
        recipients: &[Recipient],
        letter: Option<&Letter<'_>>,
    ) -> Result<String, Problem> {
        let path = path(sender).ok_or_else(|| Problem::address("MAIL"))?;
        let mut line = format!("MAIL FROM:<{path}>");
        if self.offer.has(Extension::EightBitMime) {
            line.push_str(" BODY=8BITMIME");
        }
        if let Some(octets) =
            letter.and_then(Letter::size).filter(|_| self.offer.has(Extension::Size))
        {
            line.push_str(&format!(" SIZE={octets}"));
        }
        let is_ascii =
            sender.is_ascii() && recipients.iter().all(|recipient| recipient.address.is_ascii());
        if self.offer.has(Extension::SmtpUtf8) && !is_ascii {
            line.push_str(" SMTPUTF8");
        }
        line.push_str("\r\n");
        Ok(line)
    }

    fn rcpt(&self, recipient: &Recipient) -> Result<String, Problem> {
        let path = path(&recipient.address).ok_or_else(|| Problem::address("RCPT"))?;
        let ignores = recipient.ignore_quota && self.offer.has(Extension::IgnoreQuota);
        Ok(format!("RCPT TO:<{path}>{}\r\n", if ignores { " IGNOREQUOTA" } else { "" }))
    }

    async fn send(&mut self, step: Step, line: &[u8]) -> Result<(), Problem> {
        let sent = self.stream.get_mut().write_all(line);
        let sent = within(step, self.server.timeouts.reply, sent).await;
        self.is_sound &= sent.is_ok();
        sent
    }

    /// Reads a reply, whose code must begin with `class`.
    async fn expect(&mut self, step: Step, class: u16, counts: bool) -> Result<(), Problem> {
        self.expect_within(step, class, counts, self.server.timeouts.reply).await
    }

    async fn expect_within(
        &mut self,
        step: Step,
        class: u16,
        counts: bool,
        limit: Duration,
    ) -> Result<(), Problem> {
        let text = self.read_reply(step, limit).await;
        let reply = text.and_then(|text| reply::parse(step, &text));
        // 421: the server hangs up (RFC 5321 §3.8).
        self.is_sound &= reply.as_ref().is_ok_and(|reply| reply.code != 421);
        match reply? {
            reply if reply.code / 100 == class => Ok(()),
            reply => Err(Problem::reply(step, reply, counts)),
        }
    }

    /// The reply to MAIL. A server that says no to it is in no state that we know, and what was sent
    /// ahead is answered as well.
    async fn expect_mail(&mut self) -> Result<(), Problem> {
        let answer = self.expect("MAIL", 2, false).await;
        self.is_sound &= answer.is_ok();
        answer
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

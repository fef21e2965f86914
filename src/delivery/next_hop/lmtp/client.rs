//! One connection to an LMTP server (RFC 2033): who is asked about each recipient, and then given the
//! letter.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use encodify::base64::STANDARD as BASE64;

use crate::delivery::next_hop::{Letter, Refusal};
use crate::delivery::smtp::path;
use crate::secret::SecretBytes;
use crate::sys::socket::Address;

use super::offer::{Extension, Offer};
use super::reply::{Problem, Step};
use super::wire::Wire;

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
    wire: Wire,
    offer: Offer,
    /// Whom the server accepted in a transaction that is open, of the sender `<>`.
    asked: Option<Vec<Recipient>>,
    /// Whether all its addresses are ASCII, so that MAIL did not say SMTPUTF8 (RFC 6531 §3.4).
    is_ascii: bool,
    /// Whether DATA is on its way, ahead of the letter.
    is_data_sent: bool,
}

/// What became of a letter for each of its recipients.
pub(in crate::delivery) type Answers = Vec<Result<(), Refusal>>;

/// What the server said to a letter.
#[derive(Debug)]
pub(in crate::delivery) struct HandOver {
    /// To each recipient, in their order.
    pub(in crate::delivery) answers: Answers,
    /// How many octets it has of the letter, as it was on the wire; 0 when it took it for nobody.
    pub(in crate::delivery) octets: u64,
}

impl Session {
    /// Connects and greets.
    pub(in crate::delivery) async fn open(server: &Server) -> Result<Self, Problem> {
        let mut wire = Wire::connect(server).await?;
        wire.expect(Step::Greeting, 2, false).await?;
        wire.send(Step::Lhlo, b"LHLO localhost\r\n", 1).await?;
        let (reply, text) = wire.any_reply(Step::Lhlo).await?;
        if reply.code != 250 {
            return Err(Problem::reply(Step::Lhlo, reply, false));
        }
        let offer = Offer::parse(&text);
        if let Some(login) = server.login.as_deref().filter(|_| offer.has_plain()) {
            log_in(&mut wire, login).await?;
        }
        let server = server.clone();
        Ok(Self { server, wire, offer, asked: None, is_ascii: true, is_data_sent: false })
    }

    /// What the server offers.
    pub(in crate::delivery) fn offer(&self) -> Offer {
        self.offer
    }

    /// Begins a transaction of the sender `<>`, and ends it.
    pub(super) async fn rehearse(&mut self) -> Result<(), Problem> {
        let mail = self.mail("", &[], None)?;
        self.asked = Some(Vec::new());
        self.wire.send(Step::Mail, mail.as_bytes(), 1).await?;
        self.expect_mail().await?;
        self.reset().await
    }

    /// Asks about one recipient. When the answer is yes, the server waits for the letter or for more
    /// recipients.
    ///
    /// It is asked in the name of `<>`: the sender is for those to know who get the letter as it came,
    /// and in the hand-over.
    pub(in crate::delivery) async fn ask(&mut self, recipient: &Recipient) -> Result<(), Problem> {
        let rcpt = self.rcpt(recipient)?;
        let is_ascii = recipient.address.is_ascii();
        if self.offer.has(Extension::SmtpUtf8) && !is_ascii && self.is_ascii {
            // MAIL has to announce such an address (RFC 6531 §3.4).
            self.reset().await?;
        }
        if self.asked.is_none() {
            self.is_ascii = is_ascii;
            let mail = self.mail("", std::slice::from_ref(recipient), None)?;
            // Whatever comes of it, there may be a transaction to be reset.
            self.asked = Some(Vec::new());
            if self.offer.has(Extension::Pipelining) {
                self.wire.send(Step::Mail, format!("{mail}{rcpt}").as_bytes(), 2).await?;
                self.expect_mail().await?;
            } else {
                self.wire.send(Step::Mail, mail.as_bytes(), 1).await?;
                self.expect_mail().await?;
                self.wire.send(Step::Rcpt, rcpt.as_bytes(), 1).await?;
            }
        } else {
            self.wire.send(Step::Rcpt, rcpt.as_bytes(), 1).await?;
        }
        self.wire.expect(Step::Rcpt, 2, true).await?;
        if let Some(accepted) = &mut self.asked {
            accepted.push(recipient.clone());
        }
        Ok(())
    }

    /// Sends DATA where a letter for exactly these recipients is what comes next, so that the server gets
    /// ready while it is made. After that nothing but the letter can be sent.
    pub(in crate::delivery) async fn foresee(
        &mut self,
        recipients: &[Recipient],
    ) -> Result<(), Problem> {
        if self.asked.as_deref() == Some(recipients) && !self.is_data_sent {
            self.is_data_sent = true;
            self.wire.send(Step::Data, b"DATA\r\n", 1).await?;
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
    ) -> Result<HandOver, Problem> {
        let mut octets = 0;
        let mut answers = match self.begin(recipients, letter).await {
            Ok(answers) => answers,
            Err(problem) if problem.is_of_the_connection() => return Err(problem),
            Err(problem) => {
                let answers = recipients.iter().map(|_| self.refuse(&problem)).collect();
                return Ok(HandOver { answers, octets });
            }
        };
        let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
        match self.wire.expect(Step::Data, 3, false).await {
            // A server that has nobody to deliver to and wants the data all the same.
            Ok(()) if accepted == 0 => self.wire.give_up(),
            Ok(()) if !letter.is_current() => {
                self.wire.give_up();
                let why = "who gets it as it came has changed meanwhile";
                for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
                    *answer = Err(Refusal::for_now("4.3.0", why));
                }
            }
            Ok(()) => octets = self.data(&mut answers, accepted, letter).await,
            Err(problem) if problem.is_of_the_connection() => return Err(problem),
            Err(problem) => {
                for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
                    *answer = self.refuse(&problem);
                }
            }
        }
        let is_taken = answers.iter().any(Result::is_ok);
        Ok(HandOver { answers, octets: if is_taken { octets } else { 0 } })
    }

    /// Opens the transaction, unless the server was asked about exactly these recipients, and sends
    /// DATA, whose reply is owed. The answers are those to RCPT.
    async fn begin(
        &mut self,
        recipients: &[Recipient],
        letter: &Letter<'_>,
    ) -> Result<Answers, Problem> {
        let is_announced = !self.is_ascii || !letter.is_utf8();
        let is_open =
            letter.sender().is_empty() && is_announced && self.asked.as_deref() == Some(recipients);
        if is_open {
            self.foresee(recipients).await?;
            self.is_data_sent = false;
            return Ok(recipients.iter().map(|_| Ok(())).collect());
        }
        let mut commands: Vec<(Step, String)> = Vec::new();
        if self.asked.is_some() {
            commands.push((Step::Rset, "RSET\r\n".to_owned()));
        }
        commands.push((Step::Mail, self.mail(letter.sender(), recipients, Some(letter))?));
        for recipient in recipients {
            commands.push((Step::Rcpt, self.rcpt(recipient)?));
        }
        commands.push((Step::Data, "DATA\r\n".to_owned()));
        // Whatever happens from here on, there is a transaction to be reset.
        self.asked = Some(Vec::new());
        let together = if self.offer.has(Extension::Pipelining) { MAX_COMMANDS_AHEAD } else { 1 };
        let mut answers = Answers::new();
        for ahead in commands.chunks(together) {
            let lines: String = ahead.iter().map(|(_, line)| line.as_str()).collect();
            let first = ahead.first().map_or(Step::Mail, |(step, _)| *step);
            self.wire.send(first, lines.as_bytes(), ahead.len()).await?;
            for (step, _) in ahead {
                match *step {
                    Step::Rset => self.wire.expect(Step::Rset, 2, false).await?,
                    Step::Mail => self.expect_mail().await?,
                    Step::Rcpt => match self.wire.expect(Step::Rcpt, 2, true).await {
                        Err(problem) if problem.is_of_the_connection() => return Err(problem),
                        Err(problem) => answers.push(self.refuse(&problem)),
                        Ok(()) => answers.push(Ok(())),
                    },
                    _ => {}
                }
            }
        }
        Ok(answers)
    }

    /// Sends the data and reads the reply for each of the recipients that were accepted. How many
    /// octets were sent.
    async fn data(&mut self, answers: &mut Answers, accepted: usize, letter: &Letter<'_>) -> u64 {
        let (octets, mut broken) = match self.wire.send_letter(letter, accepted).await {
            Ok(octets) => (octets, None),
            Err(problem) => (0, Some(problem)),
        };
        for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
            if broken.is_none()
                && let Err(problem) = self.wire.expect_end_of_data().await
            {
                *answer = self.refuse(&problem);
                // What the others would have been told, nobody knows.
                broken = problem.is_of_the_connection().then_some(problem);
            } else if let Some(problem) = &broken {
                *answer = self.refuse(problem);
            }
        }
        // Cyrus goes on with the transaction after it has refused a message for its size.
        let is_over = answers.iter().all(Result::is_ok);
        self.asked = (!is_over).then(Vec::new);
        octets
    }

    fn refuse(&self, problem: &Problem) -> Result<(), Refusal> {
        Err(problem.refusal(&self.server.address))
    }

    /// Ends an open transaction, so that the connection can be used for another.
    pub(in crate::delivery) async fn reset(&mut self) -> Result<(), Problem> {
        if self.asked.is_some() {
            self.wire.send(Step::Rset, b"RSET\r\n", 1).await?;
            self.wire.expect(Step::Rset, 2, false).await?;
            self.asked = None;
        }
        Ok(())
    }

    /// Whether the connection may be used again.
    pub(in crate::delivery) fn is_sound(&self) -> bool {
        self.wire.is_sound()
    }

    /// Whether it waits for a letter to exactly these recipients.
    pub(in crate::delivery) fn waits_for(&self, recipients: &[Recipient]) -> bool {
        self.is_data_sent && self.asked.as_deref() == Some(recipients) && !self.wire.is_broken()
    }

    /// Whether it is sound and no transaction is open.
    pub(in crate::delivery) fn is_idle(&self) -> bool {
        self.asked.is_none() && self.is_sound()
    }

    /// Takes leave.
    pub(in crate::delivery) async fn quit(mut self) {
        let _ = self.wire.send(Step::Quit, b"QUIT\r\n", 1).await;
    }

    /// The reply to MAIL. A server that says no to it is in no state that we know.
    async fn expect_mail(&mut self) -> Result<(), Problem> {
        let answer = self.wire.expect(Step::Mail, 2, true).await;
        if answer.is_err() {
            self.wire.give_up();
        }
        answer
    }

    /// MAIL FROM with the parameters that the server takes.
    fn mail(
        &self,
        sender: &str,
        recipients: &[Recipient],
        letter: Option<&Letter<'_>>,
    ) -> Result<String, Problem> {
        let path = path(sender).ok_or_else(|| Problem::address(Step::Mail))?;
        let has = |extension| self.offer.has(extension);
        let mut line = format!("MAIL FROM:<{path}>");
        if has(Extension::EightBitMime) {
            line.push_str(" BODY=8BITMIME");
        }
        if let Some(octets) = letter.and_then(Letter::size).filter(|_| has(Extension::Size)) {
            line.push_str(&format!(" SIZE={octets}"));
        }
        let is_ascii = sender.is_ascii()
            && recipients.iter().all(|recipient| recipient.address.is_ascii())
            && !letter.is_some_and(Letter::is_utf8);
        if has(Extension::SmtpUtf8) && !is_ascii {
            line.push_str(" SMTPUTF8");
        }
        line.push_str("\r\n");
        Ok(line)
    }

    fn rcpt(&self, recipient: &Recipient) -> Result<String, Problem> {
        let path = path(&recipient.address).ok_or_else(|| Problem::address(Step::Rcpt))?;
        let ignores = recipient.ignore_quota && self.offer.has(Extension::IgnoreQuota);
        Ok(format!("RCPT TO:<{path}>{}\r\n", if ignores { " IGNOREQUOTA" } else { "" }))
    }
}

async fn log_in(wire: &mut Wire, login: &Login) -> Result<(), Problem> {
    let no_memory = |_| Problem::io(Step::Auth, io::ErrorKind::OutOfMemory, "out of memory");
    let mut plain = SecretBytes::default();
    for piece in [b"\0", login.user.as_bytes(), b"\0", login.password.expose()] {
        plain.try_push(piece).map_err(no_memory)?;
    }
    let encoded = SecretBytes::from(BASE64.encode(plain.expose()).into_bytes());
    let mut line = SecretBytes::default();
    for piece in [b"AUTH PLAIN ", encoded.expose(), b"\r\n"] {
        line.try_push(piece).map_err(no_memory)?;
    }
    wire.send(Step::Auth, line.expose(), 1).await?;
    wire.expect(Step::Auth, 2, false).await
}

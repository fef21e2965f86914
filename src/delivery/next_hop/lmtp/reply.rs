//! Replies of an LMTP server (RFC 5321 §4.2), and what they mean for a message.

use std::fmt;
use std::io;

use smtp_proto::Response;
use smtp_proto::response::parser::ResponseReceiver;

use crate::delivery::next_hop::Refusal;
use crate::sys::socket::Address;

/// Where on a connection something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) enum Step {
    Connect,
    Greeting,
    Lhlo,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// The letter is on its way.
    Letter,
    EndOfData,
    Rset,
    Quit,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Greeting => "greeting",
            Self::Lhlo => "LHLO",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Letter => "data",
            Self::EndOfData => "end of data",
            Self::Rset => "RSET",
            Self::Quit => "QUIT",
        })
    }
}

/// What stood in the way of a transaction.
#[derive(Debug)]
pub(in crate::delivery) enum Problem {
    /// The connection, or a reply that is none. Nobody knows what the server has done.
    Io(Step, io::Error),
    /// A reply that says no.
    Reply {
        /// To what.
        step: Step,
        /// The reply code (RFC 5321 §4.2.1).
        code: u16,
        /// The enhanced status code (RFC 3463); zeros for none.
        enhanced: [u8; 3],
        /// What else the server said.
        text: String,
        /// Whether a 5xx at this step speaks of the recipient or the message.
        counts: bool,
    },
}

impl Problem {
    /// No reply, or none in time.
    pub(super) fn io(step: Step, kind: io::ErrorKind, what: &str) -> Self {
        Self::Io(step, io::Error::new(kind, what.to_owned()))
    }

    /// A reply that says no.
    pub(super) fn reply(step: Step, reply: Response<String>, counts: bool) -> Self {
        Self::Reply { step, code: reply.code, enhanced: reply.esc, text: reply.message, counts }
    }

    /// An address that no SMTP command can carry.
    pub(super) fn address(step: Step) -> Self {
        let text = "no command can carry the address".to_owned();
        Self::Reply { step, code: 553, enhanced: [5, 1, 3], text, counts: true }
    }

    /// Whether it says nothing of the mail but that this connection is of no use: it broke, or the
    /// server hangs up (RFC 5321 §3.8). Another one may do.
    pub(in crate::delivery) fn is_of_the_connection(&self) -> bool {
        matches!(self, Self::Io(..) | Self::Reply { code: 421, .. })
    }

    /// Whether nobody answered in time. Asking again would take as long.
    pub(in crate::delivery) fn is_timeout(&self) -> bool {
        matches!(self, Self::Io(_, cause) if cause.kind() == io::ErrorKind::TimedOut)
    }

    /// Whether the server stands still for everybody: nobody answered before a recipient was named. A
    /// later step may wait for one mailbox only.
    pub(in crate::delivery) fn is_standstill(&self) -> bool {
        let nobody_named = [Step::Connect, Step::Greeting, Step::Lhlo, Step::Auth];
        self.is_timeout() && matches!(self, Self::Io(step, _) if nobody_named.contains(step))
    }

    /// The same where it is the last that a server said before it hung up, to all recipients at once:
    /// what it said of one of them does not count for the others.
    pub(super) fn said_to_all(mut self) -> Self {
        if let Self::Reply { counts, enhanced, .. } = &mut self {
            *counts = is_about_the_size(*enhanced);
        }
        self
    }

    /// Whether the server wants a login, or another one (RFC 4954 §6). Cyrus says 430 for 530.
    pub(super) fn is_about_login(&self) -> bool {
        matches!(
            self,
            Self::Reply { step: Step::Auth, .. } | Self::Reply { code: 430 | 530..=538, .. }
        )
    }

    /// What it means for the message.
    pub(in crate::delivery) fn refusal(&self, server: &Address) -> Refusal {
        match self {
            Self::Io(step, cause) => {
                Refusal::for_now("4.4.2", format!("{server}: {step}: {cause}"))
            }
            Self::Reply { step, code, enhanced, text, counts } => {
                let detail = format!("{server}: {step}: {code} {}", text.replace('\n', " | "));
                let [class, subject, what] = enhanced;
                match code / 100 {
                    5 if *counts && is_about_the_mail(*step, *code, *enhanced) => {
                        let code = format!("5.{subject}.{what}");
                        Refusal::for_good(if *class == 5 { &code } else { "5.0.0" }, detail)
                    }
                    _ if *class == 4 => Refusal::for_now(&format!("4.{subject}.{what}"), detail),
                    _ => Refusal::for_now("4.3.0", detail),
                }
            }
        }
    }
}

/// Whether a 5xx speaks of the recipient or the message. Of the others, a server that wants us to log
/// in or does not understand us will be mended (RFC 5321 §4.2.2, RFC 4954 §6, RFC 3463 §3.6). To MAIL it
/// can speak of the size only (RFC 1870 §6.1): the sender is none that it could know.
fn is_about_the_mail(step: Step, code: u16, enhanced: [u8; 3]) -> bool {
    if step == Step::Mail {
        return code == 552 || is_about_the_size(enhanced);
    }
    !matches!(code, 500..=504 | 530..=538 | 555) && !matches!(enhanced, [5, 5, _])
}

/// RFC 3463 §3.3, §3.4.
fn is_about_the_size(enhanced: [u8; 3]) -> bool {
    matches!(enhanced, [5, 3, 4] | [5, 2, 3])
}

/// A reply with all its lines. The code decides, so a text that is too long for the parser is no
/// reason to doubt it.
pub(super) fn parse(step: Step, text: &[u8]) -> Result<Response<String>, Problem> {
    let code = text.get(..3).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
    let code: u16 = code.filter(|code| (200..600).contains(code)).ok_or_else(|| none(step))?;
    let reply = ResponseReceiver::default().parse(&mut text.iter());
    Ok(reply.unwrap_or_else(|_| Response { code, esc: [0; 3], message: String::new() }))
}

/// Whether a line can be one of a reply: three digits, and then their end.
pub(super) fn is_line(line: &[u8]) -> bool {
    let (code, rest) = line.split_at_checked(3).unwrap_or((line, &[]));
    code.iter().all(u8::is_ascii_digit) && matches!(rest.first(), Some(b' ' | b'-' | b'\r' | b'\n'))
}

/// What the server said is no reply.
pub(super) fn none(step: Step) -> Problem {
    Problem::io(step, io::ErrorKind::InvalidData, "a reply that is none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_mail_itself_is_refused_for_good() {
        let refused = |line: &str| {
            let reply = parse(Step::Rcpt, line.as_bytes()).ok().unwrap();
            Problem::reply(Step::Rcpt, reply, true).refusal(&Address::Inet("x:1".into()))
        };
        for (line, for_good, code) in [
            ("550 5.1.1 unknown\r\n", true, "5.1.1"),
            ("552 over quota\r\n", true, "5.0.0"),
            ("452 4.2.2 over quota\r\n", false, "4.2.2"),
            ("530 5.7.0 log in first\r\n", false, "4.3.0"),
            ("503 5.5.1 bad sequence\r\n", false, "4.3.0"),
            ("555 5.5.4 unknown parameter\r\n", false, "4.3.0"),
            ("550 5.5.1 what\r\n", false, "4.3.0"),
        ] {
            let refusal = refused(line);
            assert_eq!((refusal.for_good, refusal.code.as_str()), (for_good, code), "{line}");
        }
        let long = format!("250 {}\r\n", "x".repeat(10_000));
        assert_eq!(parse(Step::Rcpt, long.as_bytes()).ok().unwrap().code, 250);
        assert!(parse(Step::Rcpt, b"+OK\r\n").is_err());
    }
}

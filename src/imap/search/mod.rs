//! SEARCH (RFC 3501 §6.4.4, RFC 4731, RFC 5032, RFC 7162 §3.1.5, RFC 8514) in a mailbox where the store knows
//! nothing of most messages but their flags, dates of arrival and sizes on disk.
//!
//! ```text
//! Program::parse ─ is_native ─ yes → the backend answers it as it is
//!                              no  → narrowing   the backend tells which messages may match at all
//!                                  → leaves      … and what else it knows that the program asks about
//!                                  → for_plain   … and answers the whole program for those that are not sealed
//!                                  → evaluate    sealed ones by their summaries, opened only where that does not decide
//!                                  → answer
//! ```
//!
//! The numbers in all of these are message numbers or UIDs, as the caller likes best, but one kind for one
//! search. Programs name message numbers themselves, and a backend may tell of expunged messages while it
//! answers a UID command but not while it answers SEARCH or FETCH (RFC 3501 §7.4.1).

mod answer;
mod date;
mod decode;
mod key;
mod mail;
mod needle;
mod parse;
mod plan;
mod scan;
mod set;
mod words;

use std::fmt;

use self::answer::Returns;
use self::key::{Key, Writer};
use self::plan::Plan;
use super::token::Malformed;

pub use self::answer::Hit;
pub use self::key::Piece;
pub use self::mail::Mail;
pub use self::set::Set;
pub use super::manner::Manner;

/// Why a search is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is no search program.
    Malformed,
    /// It asks for what was not offered.
    Unsupported,
    /// The charset is not known.
    BadCharset,
    /// It has more keys, or they nest deeper, than anybody needs.
    TooMuch,
}

impl Refused {
    /// What stands behind the tag of the answer.
    pub fn reply(self) -> &'static str {
        match self {
            Self::Malformed => "BAD Invalid search program",
            Self::Unsupported => "BAD Unsupported search option",
            Self::BadCharset => "NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset",
            Self::TooMuch => "NO [LIMIT] Too many search keys",
        }
    }
}

impl From<Malformed> for Refused {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reply())
    }
}

impl std::error::Error for Refused {}

/// Whether a message matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// That is known when it is opened.
    Unknown,
}

/// What a client looks for.
#[derive(Debug)]
pub struct Program {
    returns: Option<Returns>,
    asks_modseq: bool,
    root: Key,
    plan: Plan,
}

impl Program {
    /// Reads what stands behind `SEARCH` or `UID SEARCH` and its space. `manner` is how the backend matches.
    ///
    /// # Errors
    /// What the client is told, where it is no program that can be answered.
    pub fn parse(arguments: &[u8], manner: Manner) -> Result<Self, Refused> {
        let parse::Parsed { returns, root, asks_modseq } = parse::parse(arguments, manner)?;
        Ok(Self { plan: Plan::new(&root), returns, asks_modseq, root })
    }

    /// Whether the backend can answer all of it: it asks about nothing that is sealed.
    pub fn is_native(&self) -> bool {
        self.root.is_native()
    }

    /// Whether the answer is an ESEARCH response, which names the command's tag.
    pub fn is_extended(&self) -> bool {
        self.returns.is_some()
    }

    /// Whether [`answer`](Self::answer) must be given the mod-sequences of what was found.
    pub fn asks_modseq(&self) -> bool {
        self.asks_modseq
    }

    /// Whether it asks about bodies, so that most messages will have to be opened.
    pub fn needs_body(&self) -> bool {
        !self.plan.wanted.is_empty()
    }

    /// What the backend is to be asked first, behind `SEARCH `: no other message can match. `ALL` where it
    /// cannot tell.
    pub fn narrowing(&self) -> String {
        plain(&self.plan.narrowing)
    }

    /// What the backend is to be asked besides, behind `SEARCH `, for [`evaluate`](Self::evaluate). Often nothing.
    pub fn leaves(&self) -> impl Iterator<Item = String> {
        self.plan.leaves.iter().map(plain)
    }

    /// What the backend is asked, behind `SEARCH `, to answer the program for messages that are not
    /// sealed: `messages`, which are UIDs where `is_uid`, and of which there is one at least.
    pub fn for_plain(&self, messages: &Set, is_uid: bool) -> Vec<Piece> {
        let prefix = if is_uid { "UID " } else { "" };
        let these = Key::Native(format!("{prefix}{}", messages.to_text()));
        Writer::write(&Key::all(vec![these, self.root.clone()]))
    }

    /// Whether a sealed message matches for which the narrowing holds. `leaves` has what the backend
    /// answered to each of [`leaves`](Self::leaves), in their order; `number` is the message's in them.
    pub fn evaluate(&self, number: u32, leaves: &[Set], mail: &Mail<'_>) -> Truth {
        match self.plan.truth(number, leaves, mail) {
            Some(true) => Truth::Yes,
            Some(false) => Truth::No,
            None => Truth::Unknown,
        }
    }

    /// The untagged response without its line end: what was found, in any order, by number or by UID as
    /// the client asked.
    pub fn answer(&self, tag: &str, is_uid: bool, hits: &[Hit]) -> Vec<u8> {
        answer::write(self.returns, self.asks_modseq, tag, is_uid, hits)
    }
}

/// A native key has no string in it.
fn plain(key: &Key) -> String {
    let pieces = Writer::write(key);
    pieces
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Plain(text) => Some(text),
            Piece::Literal(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_messages_are_left_to_the_backend() {
        let program = Program::parse(b"OR UNSEEN SUBJECT {3}\r\nM\xc3\xbc", Manner::Cyrus).unwrap();
        let messages: Set = [3, 4, 5, 9].into_iter().collect();
        let pieces = [
            Piece::Plain("CHARSET UTF-8 UID 3:5,9 OR UNSEEN SUBJECT ".to_owned()),
            Piece::Literal("M\u{fc}".as_bytes().to_vec()),
        ];
        assert_eq!(program.for_plain(&messages, true), pieces);
        assert!(!program.is_native() && !program.needs_body());
    }

    #[test]
    fn what_is_looked_for_is_not_shown() {
        let text =
            b"OR SUBJECT walnut (KEYWORD walnut NOT HEADER X-walnut walnut) TEXT {6}\r\nwalnut";
        let program = Program::parse(text, Manner::Dovecot).unwrap();
        let asked = program.for_plain(&[7].into_iter().collect(), true);
        let shown = format!("{program:?} {asked:?}");
        assert!(shown.contains("Or([Header, And([Native, Not(Header)])])"), "{shown}");
        assert!(!shown.contains("walnut"), "{shown}");
    }

    #[test]
    fn several_threads_may_evaluate() {
        fn shared<T: Send + Sync>() {}
        shared::<Program>();
        shared::<Set>();
    }
}

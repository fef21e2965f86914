//! Answers without what has to differ between two mailboxes: who owns them, and numbers that the store
//! makes up.

use crate::support::imap::Answer;
use crate::support::tokens::{Token, parse};
use std::collections::BTreeMap;

/// What a FETCH told of one message: label and value, in whatever order and however many responses.
pub type Items = BTreeMap<String, Token>;

/// One answer, ready to be compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Normal {
    /// `OK`, `NO` or `BAD` and the response code, without the text for people.
    pub tagged: String,
    /// By sequence number.
    pub fetched: BTreeMap<usize, Items>,
    /// All other untagged responses, in order.
    pub untagged: Vec<Vec<Token>>,
}

/// Labels whose strings are names, in any letter case.
const NAMES: [&str; 2] = ["BODYSTRUCTURE", "BODY"];
/// Numbers that belong to one mailbox. Behind these words they are left out.
const NUMBERS: [&str; 3] = ["UIDVALIDITY", "HIGHESTMODSEQ", "MODSEQ"];

impl Normal {
    /// The answer to the user of this name.
    pub fn of(answer: &Answer, user: &str) -> Self {
        let mut normal = Self { tagged: status(&answer.tagged, user), ..Self::default() };
        for response in &answer.untagged {
            let mut words = response.splitn(3, |&byte| byte == b' ');
            let (first, second) = (words.next().unwrap_or_default(), words.next());
            if second.is_some_and(|word| word.eq_ignore_ascii_case(b"FETCH")) {
                normal.add_fetch(parse(response));
            } else if [&b"OK"[..], b"NO", b"BAD", b"BYE"].contains(&first) {
                normal.untagged.push(vec![Token::Atom(status(response, user))]);
            } else {
                normal.untagged.push(found(numbers_out(parse(&without_name(response, user)))));
            }
        }
        normal
    }

    fn add_fetch(&mut self, response: Vec<Token>) {
        let [number, _, items] = response.as_slice() else { panic!("{response:?}") };
        let items = items.list().unwrap_or_else(|| panic!("{response:?}"));
        let into = self.fetched.entry(number.number().unwrap()).or_default();
        for item in items.chunks(2) {
            let [label, value] = item else { panic!("{response:?}") };
            let label = label.atom().unwrap_or_else(|| panic!("{response:?}")).to_owned();
            let value = match label.as_str() {
                "FLAGS" => sorted(value.clone()),
                "MODSEQ" => Token::Atom("N".to_owned()),
                name if NAMES.contains(&name) => value.clone().upper(),
                _ => value.clone(),
            };
            into.insert(label, value);
        }
    }
}

/// What SEARCH found is a set, and the parts of ESEARCH are in any order.
fn found(mut response: Vec<Token>) -> Vec<Token> {
    match response.first().and_then(Token::atom) {
        Some("SEARCH") => response[1..].sort_by_key(Token::number),
        Some("ESEARCH") => {
            let is_part = |token: &Token| {
                ["MIN", "MAX", "ALL", "COUNT", "MODSEQ"]
                    .iter()
                    .any(|name| token.atom() == Some(name))
            };
            let first = response.iter().position(is_part).unwrap_or(response.len());
            let mut parts: Vec<_> = response[first..].chunks(2).map(<[Token]>::to_vec).collect();
            parts.sort();
            response.splice(first.., parts.concat());
        }
        _ => {}
    }
    response
}

/// Flags are a set.
fn sorted(flags: Token) -> Token {
    let Token::List(mut flags) = flags else { return flags };
    flags.sort();
    Token::List(flags)
}

/// The word and the code of `OK [CODE …] text`.
fn status(response: &[u8], user: &str) -> String {
    let text = String::from_utf8_lossy(&without_name(response, user)).to_ascii_uppercase();
    let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
    let code = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let Some((code, _)) = code else { return word.to_owned() };
    let mut words: Vec<_> = code.split(' ').collect();
    // Who knows no such charset may list those he knows (RFC 3501 section 7.1).
    if words[0] == "BADCHARSET" {
        words.truncate(1);
    }
    let made_up =
        NUMBERS.contains(&words[0]) || matches!(words[0], "APPENDUID" | "COPYUID" | "MAILBOXID");
    if made_up && words.len() > 1 {
        words[1] = "N";
    }
    format!("{word} [{}]", words.join(" "))
}

/// `UIDVALIDITY 123` in STATUS, and what is like it.
fn numbers_out(tokens: Vec<Token>) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::new();
    for token in tokens {
        let behind = out.last().and_then(Token::atom).is_some_and(|name| NUMBERS.contains(&name));
        out.push(match token {
            Token::Atom(_) if behind => Token::Atom("N".to_owned()),
            Token::List(list) => Token::List(numbers_out(list)),
            other => other,
        });
    }
    out
}

/// The user's name as a word of its own becomes USER.
fn without_name(response: &[u8], user: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = response;
    while let Some(at) = memchr::memmem::find(rest, user.as_bytes()) {
        let (before, after) = (&rest[..at], &rest[at + user.len()..]);
        let inside = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let alone = !inside(before.last()) && !inside(after.first());
        out.extend_from_slice(before);
        out.extend_from_slice(if alone { b"USER" } else { user.as_bytes() });
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

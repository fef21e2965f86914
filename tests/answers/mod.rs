//! Answers to FETCH, read by a reader of its own, so that what nightsafe writes is not read by what wrote
//! it.

#![allow(dead_code, reason = "each test file uses its own part of the module")]

use nightsafe::imap::Manner;
use nightsafe::imap::items;
use nightsafe::imap::view::View;
use nightsafe::seal::Summary;

/// A value of an answer.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// A number or NIL, in lower case.
    Atom(String),
    /// A string, quoted or a literal.
    Text(Vec<u8>),
    List(Vec<Value>),
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Atom(text) => f.write_str(text),
            Self::Text(text) => write!(f, "\"{}\"", text.escape_ascii()),
            Self::List(list) => {
                f.write_str("(")?;
                for (index, value) in list.iter().enumerate() {
                    write!(f, "{}{value:?}", if index == 0 { "" } else { " " })?;
                }
                f.write_str(")")
            }
        }
    }
}

impl Value {
    /// Reads the one value behind a label and a space.
    pub fn of(answer: &[u8], label: &str) -> Self {
        let start = answer.get(..label.len()).unwrap_or_default();
        assert!(
            start.eq_ignore_ascii_case(label.as_bytes()),
            "{label}: {}",
            answer.get(..80).unwrap_or(answer).escape_ascii()
        );
        assert_eq!(answer[label.len()], b' ', "{label}");
        let mut rest = &answer[label.len() + 1..];
        let value = read(&mut rest);
        assert!(rest.is_empty(), "{label}: behind the value: {}", rest.escape_ascii());
        value
    }

    pub fn list(&self) -> &[Self] {
        let Self::List(list) = self else { panic!("no list: {self:?}") };
        list
    }

    /// The octets of a string; nothing for NIL.
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text),
            Self::Atom(nil) if nil == "nil" => None,
            other => panic!("no string: {other:?}"),
        }
    }

    pub fn number(&self) -> u64 {
        let Self::Atom(digits) = self else { panic!("no number: {self:?}") };
        digits.parse().unwrap()
    }

    /// With every string in lower case: servers change the case of types and names.
    pub fn in_lower_case(&self) -> Self {
        match self {
            Self::Atom(_) => self.clone(),
            Self::Text(text) => Self::Text(text.to_ascii_lowercase()),
            Self::List(list) => Self::List(list.iter().map(Self::in_lower_case).collect()),
        }
    }
}

fn read(rest: &mut &[u8]) -> Value {
    match rest[0] {
        b'(' => {
            *rest = &rest[1..];
            let mut list = Vec::new();
            while rest[0] != b')' {
                list.push(read(rest));
                // Between addresses and parts there is no space.
                *rest = rest.strip_prefix(b" ").unwrap_or(rest);
            }
            *rest = &rest[1..];
            Value::List(list)
        }
        b'"' => {
            let mut text = Vec::new();
            let mut at = 1;
            while rest[at] != b'"' {
                at += usize::from(rest[at] == b'\\');
                assert!(!matches!(rest[at], 0 | b'\r' | b'\n'), "no octet of a quoted string");
                text.push(rest[at]);
                at += 1;
            }
            *rest = &rest[at + 1..];
            Value::Text(text)
        }
        b'{' => {
            let end = memchr::memchr(b'\n', rest).unwrap();
            let digits = std::str::from_utf8(&rest[1..end - 2]).unwrap();
            assert_eq!(&rest[end - 2..end], b"}\r");
            let (text, after) = rest[end + 1..].split_at(digits.parse().unwrap());
            assert!(!text.contains(&0), "no octet of a literal");
            *rest = after;
            Value::Text(text.to_vec())
        }
        _ => {
            let end = rest.iter().position(|byte| b" ()\r\n".contains(byte)).unwrap_or(rest.len());
            let (atom, after) = rest.split_at(end);
            assert!(!atom.is_empty());
            *rest = after;
            Value::Atom(String::from_utf8(atom.to_ascii_lowercase()).unwrap())
        }
    }
}

/// What nightsafe answers about a message; nothing where it would have to be opened.
pub fn ours(
    summary: &Summary,
    message: Option<&[u8]>,
    manner: Manner,
    item: &str,
) -> Option<Value> {
    let [item] = &items::parse(item.as_bytes()).unwrap()[..] else { panic!("{item}") };
    let mut answer = Vec::new();
    let answered = View::new(summary, message, manner).answer(item, &mut answer);
    assert_eq!(answered.is_err(), message.is_none() && item.needs_message(summary), "{item:?}");
    let label = String::from_utf8(item.label()).unwrap();
    answered.ok().map(|()| Value::of(&answer, &label))
}

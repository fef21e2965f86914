//! A response taken apart: atoms, strings and lists (RFC 3501 section 4).

use std::fmt;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Token {
    /// In upper case; a section or a response code with its brackets is part of it.
    Atom(String),
    /// Quoted or a literal, which is the same to a client.
    String(Vec<u8>),
    List(Vec<Token>),
}

impl Token {
    pub fn atom(&self) -> Option<&str> {
        if let Self::Atom(atom) = self { Some(atom) } else { None }
    }

    pub fn list(&self) -> Option<&[Token]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    pub fn string(&self) -> Option<&[u8]> {
        if let Self::String(string) = self { Some(string) } else { None }
    }

    pub fn number(&self) -> Option<usize> {
        self.atom()?.parse().ok()
    }

    /// The same with all strings in upper case.
    pub fn upper(self) -> Self {
        match self {
            Self::String(string) => Self::String(string.to_ascii_uppercase()),
            Self::List(list) => Self::List(list.into_iter().map(Self::upper).collect()),
            atom @ Self::Atom(_) => atom,
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Atom(atom) => write!(out, "{atom}"),
            Self::String(string) if string.len() > 400 => {
                let [begin, end] = [&string[..200], &string[string.len() - 150..]];
                write!(out, "{{{}}}{}…{}", string.len(), begin.escape_ascii(), end.escape_ascii())
            }
            Self::String(string) => write!(out, "\"{}\"", string.escape_ascii()),
            Self::List(list) => {
                write!(out, "(")?;
                for (index, token) in list.iter().enumerate() {
                    write!(out, "{}{token:?}", if index > 0 { " " } else { "" })?;
                }
                write!(out, ")")
            }
        }
    }
}

/// All tokens of a response; what is none makes the test fail.
pub fn parse(response: &[u8]) -> Vec<Token> {
    let mut parser = Parser { rest: response, whole: response };
    let tokens = parser.until_closed();
    assert!(parser.rest.is_empty(), "a stray ) in {}", response.escape_ascii());
    tokens
}

struct Parser<'a> {
    rest: &'a [u8],
    whole: &'a [u8],
}

impl Parser<'_> {
    fn until_closed(&mut self) -> Vec<Token> {
        let mut tokens = Vec::new();
        loop {
            match self.rest.first() {
                None | Some(b')') => return tokens,
                Some(b' ') => self.rest = &self.rest[1..],
                Some(b'(') => {
                    self.rest = &self.rest[1..];
                    tokens.push(Token::List(self.until_closed()));
                    assert_eq!(self.rest.first(), Some(&b')'), "{}", self.whole.escape_ascii());
                    self.rest = &self.rest[1..];
                }
                Some(b'"') => tokens.push(Token::String(self.quoted())),
                Some(b'{') => tokens.push(Token::String(self.literal())),
                Some(_) => tokens.push(Token::Atom(self.atom())),
            }
        }
    }

    fn quoted(&mut self) -> Vec<u8> {
        let mut string = Vec::new();
        let mut at = 1;
        loop {
            match self.rest.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at += 1,
                Some(_) => {}
                None => panic!("a quoted string without end: {}", self.whole.escape_ascii()),
            }
            string.push(self.rest[at]);
            at += 1;
        }
        self.rest = &self.rest[at + 1..];
        string
    }

    fn literal(&mut self) -> Vec<u8> {
        let end = memchr::memmem::find(self.rest, b"}\r\n").expect("a literal has a size");
        let size: usize = std::str::from_utf8(&self.rest[1..end]).unwrap().parse().unwrap();
        let (string, rest) = self.rest[end + 3..].split_at(size);
        self.rest = rest;
        string.to_vec()
    }

    fn atom(&mut self) -> String {
        let mut depth = 0_usize;
        let ends = |byte: &u8| {
            match byte {
                b'[' => depth += 1,
                b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && matches!(byte, b' ' | b'(' | b')' | b'"')
        };
        let end = self.rest.iter().position(ends).unwrap_or(self.rest.len());
        let (atom, rest) = self.rest.split_at(end);
        self.rest = rest;
        String::from_utf8_lossy(atom).to_ascii_uppercase()
    }
}

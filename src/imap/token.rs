//! The tokens of IMAP (RFC 3501 §9, RFC 9051 §9), read from one command or one response that is there
//! as a whole: its literals stand where they came, `{n}` CRLF and the octets, and the last CRLF is off.
//!
//! Tolerant in what it reads, since servers and clients are: what an atom may be is left to who asks.

use std::borrow::Cow;
use std::fmt;

/// Lists that nest deeper are not read.
const MAX_DEPTH: usize = 200;

/// What was read is no such thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is not written as IMAP has it")
    }
}

impl std::error::Error for Malformed {}

/// Where somebody reads.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl fmt::Debug for Cursor<'_> {
    /// How much is left: what it is may be a password or a letter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({} octets)", self.rest.len())
    }
}

impl<'a> Cursor<'a> {
    /// At the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether all was read.
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next octet, which stays.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Reads `byte` if it is next.
    pub fn eat(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Reads `byte`.
    ///
    /// # Errors
    /// Where something else is next.
    pub fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.eat(byte) { Ok(()) } else { Err(Malformed) }
    }

    /// Reads a space, or several: some clients send two.
    ///
    /// # Errors
    /// Where none is next.
    pub fn space(&mut self) -> Result<(), Malformed> {
        self.expect(b' ')?;
        while self.eat(b' ') {}
        Ok(())
    }

    /// Nothing may follow, but for spaces that some clients leave.
    ///
    /// # Errors
    /// Where something does.
    pub fn end(&mut self) -> Result<(), Malformed> {
        while self.eat(b' ') {}
        if self.is_at_end() { Ok(()) } else { Err(Malformed) }
    }

    /// Reads octets for as long as `is_part` takes them: at least one.
    ///
    /// # Errors
    /// Where the first is none.
    pub fn word(&mut self, is_part: impl Fn(u8) -> bool) -> Result<&'a [u8], Malformed> {
        let len = self.rest.iter().position(|byte| !is_part(*byte)).unwrap_or(self.rest.len());
        if len == 0 { Err(Malformed) } else { self.take(len) }
    }

    /// Reads an atom: no white space, no control, none of `(){"`. A backslash of a flag, `%` and `*` of
    /// a list and `]` count as parts of it.
    ///
    /// # Errors
    /// Where none is next.
    pub fn atom(&mut self) -> Result<&'a [u8], Malformed> {
        self.word(is_atom)
    }

    /// Reads a name of letters, digits, `.` and `-`, in upper case: of a command, of an item, of a key.
    ///
    /// # Errors
    /// Where none is next.
    pub fn keyword(&mut self) -> Result<String, Malformed> {
        let word = self.word(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'=' | b'+')
        })?;
        Ok(String::from_utf8_lossy(word).to_ascii_uppercase())
    }

    /// Reads a number.
    ///
    /// # Errors
    /// Where none is next, or one of more than 64 bits.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        let digits = self.word(|byte| byte.is_ascii_digit())?;
        std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or(Malformed)
    }

    /// Reads a sequence set as it stands (RFC 3501 §9 `sequence-set`): numbers, `*`, `:` and `,`.
    ///
    /// # Errors
    /// Where none is next.
    pub fn sequence_set(&mut self) -> Result<&'a [u8], Malformed> {
        self.word(|byte| byte.is_ascii_digit() || matches!(byte, b'*' | b':' | b','))
    }

    /// Reads a string, quoted or literal (RFC 3501 §4.3).
    ///
    /// # Errors
    /// Where none is next.
    pub fn string(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{' | b'~') => self.literal().map(Cow::Borrowed),
            _ => Err(Malformed),
        }
    }

    /// Reads an atom or a string.
    ///
    /// # Errors
    /// Where none is next.
    pub fn astring(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => self.atom().map(Cow::Borrowed),
        }
    }

    /// Reads a string, or NIL for none.
    ///
    /// # Errors
    /// Where neither is next.
    pub fn nstring(&mut self) -> Result<Option<Cow<'a, [u8]>>, Malformed> {
        match self.peek() {
            Some(b'"' | b'{' | b'~') => self.string().map(Some),
            _ if self.atom()?.eq_ignore_ascii_case(b"NIL") => Ok(None),
            _ => Err(Malformed),
        }
    }

    /// Reads whatever is next, a whole list too, and gives it as it stands.
    ///
    /// # Errors
    /// Where nothing is next, or it has no end.
    pub fn value(&mut self) -> Result<&'a [u8], Malformed> {
        let start = self.rest;
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(b'(') => {
                    self.expect(b'(')?;
                    depth += 1;
                    if depth > MAX_DEPTH {
                        return Err(Malformed);
                    }
                }
                Some(b')') if depth > 0 => {
                    self.expect(b')')?;
                    depth -= 1;
                }
                Some(b' ') if depth > 0 => {
                    self.space()?;
                    continue;
                }
                Some(b'"' | b'{') => drop(self.string()?),
                Some(b'~') if self.rest.starts_with(b"~{") => drop(self.string()?),
                _ => drop(self.atom()?),
            }
            if depth == 0 {
                return start.get(..start.len() - self.rest.len()).ok_or(Malformed);
            }
        }
    }

    /// It has no line end in it (RFC 3501 §9 `QUOTED-CHAR`): whoever looks for the end of a command or of a
    /// response finds it there.
    fn quoted(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        self.expect(b'"')?;
        let end = memchr::memchr2(b'"', b'\\', self.rest).ok_or(Malformed)?;
        let plain = self.take(end)?;
        if memchr::memchr2(b'\r', b'\n', plain).is_some() {
            return Err(Malformed);
        }
        if self.eat(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_vec();
        loop {
            match self.any()? {
                b'"' => return Ok(Cow::Owned(text)),
                b'\\' => text.push(self.any().and_then(in_a_line)?),
                other => text.push(in_a_line(other)?),
            }
        }
    }

    fn any(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    /// RFC 7888 has the `+` and `-`, RFC 3516 the `~`.
    fn literal(&mut self) -> Result<&'a [u8], Malformed> {
        self.eat(b'~');
        self.expect(b'{')?;
        let len = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        let _ = self.eat(b'+') || self.eat(b'-');
        self.expect(b'}')?;
        self.expect(b'\r')?;
        self.expect(b'\n')?;
        self.take(len)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn in_a_line(byte: u8) -> Result<u8, Malformed> {
    if matches!(byte, b'\r' | b'\n') { Err(Malformed) } else { Ok(byte) }
}

fn is_atom(byte: u8) -> bool {
    !(byte <= b' ' || byte == 0x7f || matches!(byte, b'(' | b')' | b'{' | b'"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_stands_there() {
        let mut at =
            Cursor::new(b"UID FETCH 1:*,7 \"a\\\"b\" {3+}\r\nx\"y NIL (a (b) \"c)\") \\Seen");
        assert_eq!(at.keyword().unwrap(), "UID");
        at.space().unwrap();
        assert_eq!(at.atom().unwrap(), b"FETCH");
        at.space().unwrap();
        assert_eq!(at.sequence_set().unwrap(), b"1:*,7");
        at.space().unwrap();
        assert_eq!(&*at.astring().unwrap(), b"a\"b");
        at.space().unwrap();
        assert_eq!(&*at.nstring().unwrap().unwrap(), b"x\"y");
        at.space().unwrap();
        assert_eq!(at.nstring().unwrap(), None);
        at.space().unwrap();
        assert_eq!(at.value().unwrap(), b"(a (b) \"c)\")");
        at.space().unwrap();
        assert_eq!(at.value().unwrap(), b"\\Seen");
        at.end().unwrap();
    }

    #[test]
    fn what_is_cut_short_is_malformed() {
        for text in [
            "\"a",
            "\"a\\",
            "\"a\r\nb\"",
            "\"a\\\"\nb\"",
            "\"a\\\rb\"",
            "{3}\r\nab",
            "{3}",
            "{99999999999999999999}\r\n",
            "(a",
            ")",
            "",
        ] {
            assert_eq!(Cursor::new(text.as_bytes()).value().err(), Some(Malformed), "{text}");
        }
        let deep = [vec![b'('; 100_000], vec![b')'; 100_000]].concat();
        assert_eq!(Cursor::new(&deep).value().err(), Some(Malformed));
    }
}

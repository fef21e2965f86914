//! Reads what a client looks for (RFC 3501 §6.4.4 and §9, RFC 4731 §3.1, RFC 5032, RFC 7162 §3.1.5,
//! RFC 8514 §4).

use super::super::token::{Cursor, Malformed};
use super::Manner;
use super::answer::Returns;
use super::date::Day;
use super::decode;
use super::key::{Content, Key, Named, When};
use super::needle::Needle;
use super::{Refused, set};

/// How deep keys may nest.
const MAX_DEPTH: usize = 100;
/// How many keys a program may have.
const MAX_KEYS: usize = 2000;

/// What was read.
pub(super) struct Parsed {
    /// `None` where no options were given: the answer is an untagged SEARCH then.
    pub(super) returns: Option<Returns>,
    pub(super) root: Key,
    /// Whether mod-sequences are part of the answer.
    pub(super) asks_modseq: bool,
}

pub(super) fn parse(arguments: &[u8], manner: Manner) -> Result<Parsed, Refused> {
    let mut reader = Reader {
        at: Cursor::new(arguments),
        charset: b"UTF-8".to_vec(),
        manner,
        keys: 0,
        asks_modseq: false,
    };
    let returns = reader.returns()?;
    reader.charset()?;
    let mut keys = vec![reader.key(0)?];
    while !reader.is_done() {
        reader.at.space()?;
        keys.push(reader.key(0)?);
    }
    Ok(Parsed { returns, root: Key::all(keys), asks_modseq: reader.asks_modseq })
}

struct Reader<'a> {
    at: Cursor<'a>,
    charset: Vec<u8>,
    manner: Manner,
    keys: usize,
    asks_modseq: bool,
}

impl Reader<'_> {
    /// Whether nothing follows but spaces that some clients leave.
    fn is_done(&self) -> bool {
        let mut ahead = self.at;
        ahead.end().is_ok()
    }

    /// Whether `word` is next, which is read then.
    fn eats(&mut self, word: &str) -> bool {
        let mut ahead = self.at;
        let is_next = ahead.keyword().is_ok_and(|next| next == word) && ahead.space().is_ok();
        if is_next {
            self.at = ahead;
        }
        is_next
    }

    fn returns(&mut self) -> Result<Option<Returns>, Refused> {
        if !self.eats("RETURN") {
            return Ok(None);
        }
        let mut returns = Returns::default();
        self.at.expect(b'(')?;
        while !self.at.eat(b')') {
            match self.at.keyword()?.as_str() {
                "MIN" => returns.min = true,
                "MAX" => returns.max = true,
                "ALL" => returns.all = true,
                "COUNT" => returns.count = true,
                _ => return Err(Refused::Unsupported),
            }
            while self.at.eat(b' ') {}
        }
        self.at.space()?;
        returns.all |= returns == Returns::default();
        Ok(Some(returns))
    }

    fn charset(&mut self) -> Result<(), Refused> {
        if self.eats("CHARSET") {
            self.charset = self.at.astring()?.into_owned();
            self.at.space()?;
            if !decode::is_known(&self.charset) {
                return Err(Refused::BadCharset);
            }
        }
        Ok(())
    }

    fn key(&mut self, depth: usize) -> Result<Key, Refused> {
        self.keys += 1;
        if depth > MAX_DEPTH || self.keys > MAX_KEYS {
            return Err(Refused::TooMuch);
        }
        match self.at.peek() {
            Some(b'(') => self.group(depth),
            Some(b'$') => Err(Refused::Unsupported),
            Some(b'0'..=b'9' | b'*') => self.set(""),
            _ => {
                let name = self.at.word(|byte| byte.is_ascii_alphabetic())?;
                self.named(&String::from_utf8_lossy(name).to_ascii_uppercase(), depth)
            }
        }
    }

    fn group(&mut self, depth: usize) -> Result<Key, Refused> {
        self.at.expect(b'(')?;
        let mut keys = Vec::new();
        loop {
            while self.at.eat(b' ') {}
            keys.push(self.key(depth + 1)?);
            if self.at.eat(b')') {
                return Ok(Key::all(keys));
            }
            self.at.space()?;
            if self.at.eat(b')') {
                return Ok(Key::all(keys));
            }
        }
    }

    fn set(&mut self, prefix: &str) -> Result<Key, Refused> {
        let text = self.at.sequence_set()?;
        if !set::is_set(text) {
            return Err(Refused::Malformed);
        }
        Ok(Key::Native(format!("{prefix}{}", String::from_utf8_lossy(text))))
    }

    fn named(&mut self, name: &str, depth: usize) -> Result<Key, Refused> {
        match name {
            "ALL" | "ANSWERED" | "DELETED" | "DRAFT" | "FLAGGED" | "NEW" | "OLD" | "RECENT"
            | "SEEN" | "UNANSWERED" | "UNDELETED" | "UNDRAFT" | "UNFLAGGED" | "UNSEEN"
            | "SAVEDATESUPPORTED" => return Ok(Key::native(name)),
            _ => self.at.space()?,
        }
        match name {
            "NOT" => Ok(Key::Not(Box::new(self.key(depth + 1)?))),
            "OR" => self.or(depth),
            "UID" => self.set("UID "),
            "KEYWORD" | "UNKEYWORD" => self.keyword(name),
            "BEFORE" | "ON" | "SINCE" | "SAVEDBEFORE" | "SAVEDON" | "SAVEDSINCE" => {
                Ok(Key::Native(format!("{name} {}", self.day()?)))
            }
            "OLDER" | "YOUNGER" => match self.number()? {
                0 => Err(Refused::Malformed),
                seconds => Ok(Key::Native(format!("{name} {seconds}"))),
            },
            "MODSEQ" => self.modseq(),
            _ => self.content(name).map(Key::Content),
        }
    }

    /// Clients that know no sets chain hundreds of these: each second operand is read in the same loop.
    fn or(&mut self, depth: usize) -> Result<Key, Refused> {
        let mut keys = Vec::new();
        loop {
            keys.push(self.key(depth + 1)?);
            self.at.space()?;
            if !self.eats("OR") {
                break;
            }
        }
        keys.push(self.key(depth + 1)?);
        Ok(Key::any(keys))
    }

    fn content(&mut self, name: &str) -> Result<Content, Refused> {
        Ok(match name {
            "FROM" => Content::Header(Named::Key("From"), self.needle()?),
            "TO" => Content::Header(Named::Key("To"), self.needle()?),
            "CC" => Content::Header(Named::Key("Cc"), self.needle()?),
            "BCC" => Content::Header(Named::Key("Bcc"), self.needle()?),
            "SUBJECT" => Content::Header(Named::Key("Subject"), self.needle()?),
            "HEADER" => {
                let field = self.string()?;
                self.at.space()?;
                Content::Header(Named::Field(field), self.needle()?)
            }
            "BODY" => Content::Body(self.needle()?),
            "TEXT" => Content::Text(self.needle()?),
            "LARGER" => Content::Larger(self.number()?),
            "SMALLER" => Content::Smaller(self.number()?),
            "SENTBEFORE" => Content::Sent(When::Before, self.day()?),
            "SENTON" => Content::Sent(When::On, self.day()?),
            "SENTSINCE" => Content::Sent(When::Since, self.day()?),
            _ => return Err(Refused::Malformed),
        })
    }

    fn needle(&mut self) -> Result<Needle, Refused> {
        Ok(Needle::new(self.string()?, self.manner))
    }

    fn string(&mut self) -> Result<String, Refused> {
        let octets = self.at.astring()?;
        // RFC 3501 §4.3: no string has a NUL.
        let octets = if octets.contains(&0) { return Err(Refused::Malformed) } else { octets };
        decode::searched(&octets, &self.charset).ok_or(Refused::Malformed)
    }

    fn keyword(&mut self, name: &str) -> Result<Key, Refused> {
        let flag =
            self.at.word(|byte| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte))?;
        Ok(Key::Native(format!("{name} {}", String::from_utf8_lossy(flag))))
    }

    fn day(&mut self) -> Result<Day, Malformed> {
        Day::read(&mut self.at)
    }

    /// A number of 32 bits. No message is so large and none so old, and Cyrus hangs up at greater ones.
    fn number(&mut self) -> Result<u32, Malformed> {
        self.at.number().map(|number| u32::try_from(number).unwrap_or(u32::MAX))
    }

    fn modseq(&mut self) -> Result<Key, Refused> {
        self.asks_modseq = true;
        let mut text = "MODSEQ ".to_owned();
        if self.at.peek() == Some(b'"') {
            let entry = self.string()?;
            self.at.space()?;
            let kind = self.at.keyword()?.to_ascii_lowercase();
            self.at.space()?;
            let is_flag =
                entry.starts_with("/flags/") && entry.bytes().all(|b| b.is_ascii_graphic());
            if !is_flag || !["priv", "shared", "all"].contains(&kind.as_str()) {
                return Err(Refused::Malformed);
            }
            let escaped = entry.replace('\\', "\\\\").replace('"', "\\\"");
            text += &format!("\"{escaped}\" {kind} ");
        }
        let least = self.at.number()?;
        // RFC 7162 §7: 63 bits.
        let least = i64::try_from(least).map_err(|_| Refused::Malformed)?;
        Ok(Key::Native(format!("{text}{least}")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::{Piece, Writer};
    use super::*;
    use proptest::prelude::*;

    /// A program as the backend would be asked it: literals in angle brackets.
    fn written(arguments: &[u8]) -> Result<String, Refused> {
        let parsed = parse(arguments, Manner::Dovecot)?;
        let piece = |piece| match piece {
            Piece::Plain(text) => text,
            Piece::Literal(octets) => format!("<{}>", String::from_utf8(octets).unwrap()),
        };
        Ok(Writer::write(&parsed.root).into_iter().map(piece).collect())
    }

    #[test]
    fn every_key_goes_back_as_it_came() {
        for program in [
            "ALL",
            "ANSWERED",
            "DELETED",
            "DRAFT",
            "FLAGGED",
            "NEW",
            "OLD",
            "RECENT",
            "SEEN",
            "UNANSWERED",
            "UNDELETED",
            "UNDRAFT",
            "UNFLAGGED",
            "UNSEEN",
            "SAVEDATESUPPORTED",
            "KEYWORD $Forwarded",
            "UNKEYWORD x",
            "BEFORE 1-Feb-1994",
            "ON 1-Feb-1994",
            "SINCE 1-Feb-1994",
            "SAVEDBEFORE 1-Feb-1994",
            "SAVEDON 1-Feb-1994",
            "SAVEDSINCE 1-Feb-1994",
            "OLDER 60",
            "YOUNGER 60",
            "UID 1:*,7",
            "1:*,7",
            "*",
            "MODSEQ 620162338",
            "MODSEQ \"/flags/\\\\draft\" all 620162338",
            "FROM \"a\"",
            "TO \"a\"",
            "CC \"a\"",
            "BCC \"a\"",
            "SUBJECT \"a b\"",
            "BODY \"a\"",
            "TEXT \"\"",
            "HEADER \"List-Id\" \"\\\"x\\\"\"",
            "LARGER 5",
            "SMALLER 5",
            "SENTBEFORE 1-Feb-1994",
            "SENTON 1-Feb-1994",
            "SENTSINCE 1-Feb-1994",
            "OR SEEN (DRAFT FROM \"a\")",
            "NOT (SEEN DRAFT)",
            "SEEN NOT OR DRAFT NOT DELETED",
        ] {
            assert_eq!(written(program.as_bytes()).as_deref(), Ok(program));
            assert!(written(program.to_ascii_lowercase().as_bytes()).is_ok(), "{program}");
        }
    }

    #[test]
    fn what_clients_write_otherwise() {
        for (program, same) in [
            ("(ALL) ", "ALL"),
            ("( SEEN  DRAFT )", "SEEN DRAFT"),
            ("((SEEN) (DRAFT (SEEN)))", "SEEN DRAFT"),
            ("OR SEEN OR DRAFT OR NEW OLD", "OR SEEN OR DRAFT OR NEW OLD"),
            ("OR OR SEEN DRAFT NEW", "OR SEEN OR DRAFT NEW"),
            ("SENTON \"01-feb-1994\"", "SENTON 1-Feb-1994"),
            (
                "subject {3}\r\na b header X-Foo {2+}\r\n\"\\",
                "SUBJECT \"a b\" HEADER \"X-Foo\" \"\\\"\\\\\"",
            ),
            ("LARGER 100000000000", "LARGER 4294967295"),
        ] {
            assert_eq!(written(program.as_bytes()).as_deref(), Ok(same), "{program}");
        }
        let latin = b"CHARSET iso-8859-1 TEXT {1}\r\n\xfc FROM x";
        assert_eq!(written(latin).as_deref(), Ok("CHARSET UTF-8 TEXT <\u{fc}> FROM \"x\""));
        let broken = "TEXT {4}\r\na\r\nb";
        assert_eq!(written(broken.as_bytes()).as_deref(), Ok("TEXT <a\r\nb>"));
    }

    #[test]
    fn what_is_refused() {
        for (program, refused) in [
            ("", Refused::Malformed),
            ("FROM", Refused::Malformed),
            ("()", Refused::Malformed),
            ("(ALL", Refused::Malformed),
            ("ALL)", Refused::Malformed),
            ("OR SEEN", Refused::Malformed),
            ("NOT", Refused::Malformed),
            ("FUZZY SUBJECT x", Refused::Malformed),
            ("0", Refused::Malformed),
            ("1:2:3", Refused::Malformed),
            ("OLDER 0", Refused::Malformed),
            ("KEYWORD \\Seen", Refused::Malformed),
            ("ON 1-Foo-1994", Refused::Malformed),
            ("MODSEQ 9223372036854775808", Refused::Malformed),
            ("MODSEQ \"/x\" all 1", Refused::Malformed),
            ("SUBJECT {1}\r\n\0", Refused::Malformed),
            ("ALLSEEN", Refused::Malformed),
            ("$", Refused::Unsupported),
            ("OR SEEN $", Refused::Unsupported),
            ("RETURN (SAVE) ALL", Refused::Unsupported),
            ("RETURN (PARTIAL 1:2) ALL", Refused::Unsupported),
            ("RETURN () CHARSET X-NOSUCH ALL", Refused::BadCharset),
            ("CHARSET UTF-16 ALL", Refused::BadCharset),
        ] {
            assert_eq!(written(program.as_bytes()), Err(refused), "{program}");
        }
        assert_eq!(written(b"CHARSET UTF-8 TEXT {1}\r\n\xfc"), Err(Refused::Malformed));
        let deep = |opening: &str, closing: &str| {
            let count = 1_000_000;
            written([&opening.repeat(count), "ALL", &closing.repeat(count)].concat().as_bytes())
        };
        for (opening, closing) in [("(", ")"), ("NOT ", ""), ("OR ", " ALL"), ("OR ALL ", "")] {
            assert_eq!(deep(opening, closing), Err(Refused::TooMuch), "{opening}");
        }
    }

    #[test]
    fn long_chains_of_or_are_no_nesting() {
        let chain = |count: usize| {
            let ids: Vec<String> =
                (0..count).map(|n| format!("HEADER \"Message-ID\" \"{n}\"")).collect();
            format!("OR {}", ids.join(" OR "))
        };
        let program = chain(500);
        // The last of them has no OR before it.
        let at = program.rfind("OR ").unwrap();
        let program = format!("{}{}", &program[..at], &program[at + 3..]);
        assert_eq!(written(program.as_bytes()).as_deref(), Ok(program.as_str()));
    }

    #[test]
    fn what_to_return() {
        let returns = |program: &str| parse(program.as_bytes(), Manner::Dovecot).unwrap().returns;
        assert_eq!(returns("ALL"), None);
        let all = Returns { all: true, ..Returns::default() };
        assert_eq!(returns("RETURN () ALL"), Some(all));
        assert_eq!(returns("return (all) charset utf-8 all"), Some(all));
        let most = Returns { min: true, max: true, all: false, count: true };
        assert_eq!(returns("RETURN (COUNT MAX MIN) MODSEQ 1"), Some(most));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&octets, Manner::Cyrus);
        }

        #[test]
        fn what_is_written_reads_the_same(program in "(\\(|\\)|OR |NOT |SEEN |1:5 |FROM a |BODY \"x\\\\\"\" |UID 3 |BEFORE 1-Feb-1994 |){1,12}") {
            if let Ok(first) = written(program.as_bytes()) {
                prop_assert_eq!(written(first.as_bytes()), Ok(first));
            }
        }
    }
}

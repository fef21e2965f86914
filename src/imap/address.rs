//! Lists of addresses (RFC 5322 §3.4, §4.4) as ENVELOPE shows them (RFC 3501 §7.4.2). Tolerant, in time
//! linear in what it reads, and without recursion.

use std::fmt;

use super::manner::Manner;
use super::write;

/// A bracket whose end is further away, in octets, stands for itself: no domain is as long.
const MAX_LITERAL_BYTES: usize = 512;

/// One place in a list of addresses.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Address {
    Mailbox {
        name: Option<Vec<u8>>,
        /// The way that old mail went: `@a,@b`.
        route: Option<Vec<u8>>,
        local: Option<Vec<u8>>,
        domain: Option<Vec<u8>>,
    },
    GroupStart(Vec<u8>),
    GroupEnd,
}

impl fmt::Debug for Address {
    /// Which it is, and not whose.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mailbox { .. } => "Mailbox",
            Self::GroupStart(_) => "GroupStart",
            Self::GroupEnd => "GroupEnd",
        })
    }
}

impl Address {
    /// Writes it as four strings: a group begins with its name alone and ends with nothing at all.
    pub(super) fn write(&self, manner: Manner, out: &mut Vec<u8>) {
        let (name, route, local, domain) = match self {
            Self::Mailbox { name, route, local, domain } => {
                let local = local.as_deref().unwrap_or_else(|| manner.missing_local());
                let domain = domain.as_deref().unwrap_or_else(|| manner.missing_domain());
                (name.as_deref(), route.as_deref(), Some(local), Some(domain))
            }
            Self::GroupStart(name) => (None, None, Some(name.as_slice()), None),
            Self::GroupEnd => (None, None, None, None),
        };
        for (before, text) in [(b'(', name), (b' ', route), (b' ', local), (b' ', domain)] {
            out.push(before);
            write::nstring(text, out);
        }
        out.push(b')');
    }
}

/// Reads the addresses of a field's value, and gives each on at once: there may be very many.
pub(super) fn addresses(value: &[u8], give: &mut dyn FnMut(Address)) {
    let mut list = List { give, phrase: Phrase::default(), comment: None, pending: None };
    let mut at = Reader { rest: value };
    let mut in_group = false;
    while let Some((spaced, token)) = at.next() {
        match token {
            Token::Comment(text) => list.comment = Some(text),
            Token::Word { text, is_quoted } => list.phrase.push_word(spaced, &text, is_quoted),
            Token::Special(b'.') => list.phrase.push_dot(spaced),
            Token::Special(b'@') => {
                let local = list.take_phrase().local();
                list.end_pending();
                // One before the address is no name.
                list.comment = None;
                let domain = at.domain(&mut list.comment);
                list.pending = Some(Mailbox { local, domain, ..Mailbox::default() });
            }
            Token::Special(b'<') => {
                let name = list.take_phrase().name();
                list.end_pending();
                list.pending = Some(at.angle(name, &mut list.comment));
            }
            Token::Special(b',') => list.end_one(),
            Token::Special(b':') if !in_group => {
                let name = list.take_phrase().name().unwrap_or_default();
                list.end_one();
                (list.give)(Address::GroupStart(name));
                in_group = true;
            }
            Token::Special(b';') => {
                list.end_one();
                if std::mem::take(&mut in_group) {
                    (list.give)(Address::GroupEnd);
                }
            }
            Token::Special(_) => {}
        }
    }
    list.end_one();
    if in_group {
        (list.give)(Address::GroupEnd);
    }
}

/// A list that is being read.
struct List<'i> {
    give: &'i mut dyn FnMut(Address),
    /// The words since the last separator.
    phrase: Phrase,
    /// The last comment: the name in addresses without brackets, `a@b (Name)`.
    comment: Option<Vec<u8>>,
    pending: Option<Mailbox>,
}

#[derive(Default)]
struct Mailbox {
    has_brackets: bool,
    name: Option<Vec<u8>>,
    route: Option<Vec<u8>>,
    local: Option<Vec<u8>>,
    domain: Option<Vec<u8>>,
}

impl List<'_> {
    fn take_phrase(&mut self) -> Phrase {
        std::mem::take(&mut self.phrase)
    }

    fn end_pending(&mut self) {
        let Some(Mailbox { has_brackets, name, route, local, domain }) = self.pending.take() else {
            return;
        };
        let comment = self.comment.take().filter(|comment| !has_brackets && !comment.is_empty());
        let name = name.or(comment);
        (self.give)(Address::Mailbox { name, route, local, domain });
    }

    /// Ends what stands before a separator: an address, or words that are none.
    fn end_one(&mut self) {
        let phrase = self.take_phrase();
        if self.pending.is_none() && !phrase.is_empty() {
            let (name, local) =
                if phrase.is_name { (phrase.name(), None) } else { (None, phrase.local()) };
            self.pending = Some(Mailbox { name, local, ..Mailbox::default() });
        }
        self.end_pending();
        self.comment = None;
    }
}

/// Words and dots since the last separator.
#[derive(Default)]
struct Phrase {
    /// As they stand, with one space where there was white space.
    name: Vec<u8>,
    /// The same without space around dots.
    local: Vec<u8>,
    ends_in_word: bool,
    /// Whether it cannot be the local part of an address without a domain: it is quoted, or two words
    /// stand side by side.
    is_name: bool,
}

impl Phrase {
    fn push_word(&mut self, spaced: bool, text: &[u8], is_quoted: bool) {
        if spaced && !self.name.is_empty() {
            self.name.push(b' ');
        }
        if spaced && self.ends_in_word {
            self.local.push(b' ');
        }
        self.name.extend_from_slice(text);
        self.local.extend_from_slice(text);
        self.is_name |= is_quoted || self.ends_in_word;
        self.ends_in_word = true;
    }

    fn push_dot(&mut self, spaced: bool) {
        if spaced && !self.name.is_empty() {
            self.name.push(b' ');
        }
        self.name.push(b'.');
        self.local.push(b'.');
        self.ends_in_word = false;
    }

    fn is_empty(&self) -> bool {
        self.name.is_empty()
    }

    fn name(self) -> Option<Vec<u8>> {
        (!self.name.is_empty()).then_some(self.name)
    }

    fn local(self) -> Option<Vec<u8>> {
        (!self.local.is_empty()).then_some(self.local)
    }
}

enum Token {
    Word { text: Vec<u8>, is_quoted: bool },
    Comment(Vec<u8>),
    Special(u8),
}

/// Where somebody reads in a field's value.
#[derive(Clone, Copy)]
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    /// The next token, and whether white space stands before it.
    fn next(&mut self) -> Option<(bool, Token)> {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let len = self.rest.iter().position(|byte| !is_space(byte)).unwrap_or(self.rest.len());
        self.skip(len);
        let token = match self.rest.first()? {
            b'"' => Token::Word { text: self.quoted(), is_quoted: true },
            b'(' => Token::Comment(self.comment()),
            b'[' => Token::Word { text: self.literal(), is_quoted: false },
            byte if is_atom(*byte) => Token::Word { text: self.atom(), is_quoted: false },
            byte => {
                let byte = *byte;
                self.skip(1);
                Token::Special(byte)
            }
        };
        Some((len > 0, token))
    }

    fn skip(&mut self, len: usize) {
        self.rest = self.rest.get(len..).unwrap_or_default();
    }

    fn atom(&mut self) -> Vec<u8> {
        let len = self.rest.iter().position(|byte| !is_atom(*byte)).unwrap_or(self.rest.len());
        let text = self.rest.get(..len).unwrap_or_default().to_vec();
        self.skip(len);
        text
    }

    /// RFC 5322 §3.2.4, without its quotes, unfolded; all the rest where its end is missing.
    fn quoted(&mut self) -> Vec<u8> {
        self.skip(1);
        let mut text = Vec::new();
        while let [first, rest @ ..] = self.rest {
            self.skip(1);
            match (first, rest) {
                (b'"', _) => break,
                (b'\r' | b'\n', _) => {}
                (b'\\', [escaped, ..]) if !matches!(escaped, b'\r' | b'\n') => {
                    text.push(*escaped);
                    self.skip(1);
                }
                _ => text.push(*first),
            }
        }
        text
    }

    /// RFC 5322 §3.2.2, without its outermost parentheses.
    fn comment(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut depth = 0_usize;
        while let [first, rest @ ..] = self.rest {
            self.skip(1);
            match (first, rest) {
                (b'\r' | b'\n', _) => continue,
                (b'\\', [escaped, ..]) => {
                    text.push(*escaped);
                    self.skip(1);
                    continue;
                }
                (b'(', _) => depth += 1,
                (b')', _) => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            text.push(*first);
        }
        text.get(1..).unwrap_or_default().trim_ascii().to_vec()
    }

    /// RFC 5322 §3.4.1 `domain-literal`, with its brackets; the bracket alone where its end is missing.
    fn literal(&mut self) -> Vec<u8> {
        let near = self.rest.get(..MAX_LITERAL_BYTES).unwrap_or(self.rest);
        let end = memchr::memchr3(b']', b',', b'>', near);
        let end = end.filter(|at| near.get(*at) == Some(&b']'));
        let len = end.map_or(1, |at| at + 1);
        let text = self.rest.get(..len).unwrap_or_default();
        let text = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        self.skip(len);
        text
    }

    /// Words with dots between them, without white space and comments.
    fn domain(&mut self, comment: &mut Option<Vec<u8>>) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let mut ends_in_word = false;
        loop {
            let before = *self;
            match self.next() {
                Some((_, Token::Comment(found))) => *comment = Some(found),
                Some((_, Token::Special(b'.'))) => {
                    text.push(b'.');
                    ends_in_word = false;
                }
                Some((_, Token::Word { text: word, is_quoted: false })) if !ends_in_word => {
                    text.extend_from_slice(&word);
                    ends_in_word = true;
                }
                _ => {
                    *self = before;
                    return (!text.is_empty()).then_some(text);
                }
            }
        }
    }

    /// RFC 5322 §4.4 `obs-angle-addr`, its first bracket read already.
    fn angle(&mut self, name: Option<Vec<u8>>, comment: &mut Option<Vec<u8>>) -> Mailbox {
        let mut mailbox = Mailbox { has_brackets: true, name, ..Mailbox::default() };
        let mut phrase = Phrase::default();
        loop {
            let before = *self;
            match self.next() {
                Some((_, Token::Comment(found))) => *comment = Some(found),
                Some((spaced, Token::Word { text, is_quoted })) => {
                    phrase.push_word(spaced, &text, is_quoted);
                }
                Some((spaced, Token::Special(b'.'))) => phrase.push_dot(spaced),
                Some((_, Token::Special(b'@'))) if phrase.is_empty() && mailbox.route.is_none() => {
                    mailbox.route = self.route(comment);
                }
                Some((_, Token::Special(b'@'))) => {
                    mailbox.local = std::mem::take(&mut phrase).local();
                    mailbox.domain = self.domain(comment);
                }
                ended => {
                    if !matches!(ended, None | Some((_, Token::Special(b'>')))) {
                        *self = before;
                    }
                    mailbox.local = mailbox.local.or(phrase.local());
                    return mailbox;
                }
            }
        }
    }

    /// `a,@b:`, the first `@` read already.
    fn route(&mut self, comment: &mut Option<Vec<u8>>) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        loop {
            text.push(b'@');
            text.extend_from_slice(&self.domain(comment).unwrap_or_default());
            let mut before = *self;
            match self.next() {
                Some((_, Token::Special(b':'))) => return Some(text),
                Some((_, Token::Special(b','))) => text.push(b','),
                _ => {
                    *self = before;
                    return Some(text);
                }
            }
            before = *self;
            // Commas may stand side by side (RFC 5322 §4.4 `obs-domain-list`).
            while let Some((_, Token::Special(b','))) = self.next() {
                before = *self;
            }
            *self = before;
            if !matches!(self.next(), Some((_, Token::Special(b'@')))) {
                *self = before;
                return Some(text);
            }
        }
    }
}

/// RFC 5322 §3.2.3 `atext`, and what else is written in names: 8-bit octets and controls.
fn is_atom(byte: u8) -> bool {
    !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') && !b"()<>@,;:\\\"[].".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> String {
        let mut out = Vec::new();
        addresses(value.as_bytes(), &mut |address| address.write(Manner::Dovecot, &mut out));
        String::from_utf8(out).unwrap().replace("NIL", "-").replace('"', "")
    }

    #[test]
    fn forms_of_one_address() {
        for (value, expected) in [
            ("a@b", "(- - a b)"),
            (" Joe Q. Public\r\n <john.q@x.test>", "(Joe Q. Public - john.q x.test)"),
            ("\"L, F\" <a@b>", "(L, F - a b)"),
            ("=?utf-8?Q?a_b?= <h@i>", "(=?utf-8?Q?a_b?= - h i)"),
            ("a@b (Name (of a) \\) man)", "(Name (of a) ) man - a b)"),
            ("(x) a . b @ c . d (y)", "(y - a.b c.d)"),
            ("\"l p\"@[192.0.2.1]", "(- - l p [192.0.2.1])"),
            ("N <@a,@b.test:c@d>", "(N @a,@b.test c d)"),
            ("Pete(A nice chap) <pete(his account)@silly(host).test>", "(Pete - pete silly.test)"),
            ("(x) <a@b> (y)", "(- - a b)"),
            ("(x) a@b", "(- - a b)"),
            ("root", "(- - root MISSING_DOMAIN)"),
            ("Name <>", "(Name - MISSING_MAILBOX MISSING_DOMAIN)"),
            ("two words", "(two words - MISSING_MAILBOX MISSING_DOMAIN)"),
            ("a@", "(- - a MISSING_DOMAIN)"),
            ("gate!hub!x%y@z", "(- - gate!hub!x%y z)"),
        ] {
            assert_eq!(shown(value), expected, "{value}");
        }
    }

    #[test]
    fn lists_and_groups() {
        assert_eq!(shown("a@b,, (c) ,c@d"), "(- - a b)(- - c d)");
        assert_eq!(
            shown("A Group:a@b,N <c@d>;, e@f"),
            "(- - A Group -)(- - a b)(N - c d)(- - - -)(- - e f)"
        );
        assert_eq!(shown("Undisclosed:;"), "(- - Undisclosed -)(- - - -)");
        assert_eq!(shown("G: a@b"), "(- - G -)(- - a b)(- - - -)");
        assert_eq!(shown("a@b c@d <e@f>"), "(- - a b)(- - c d)(- - e f)");
        assert_eq!(shown(" , \r\n"), "");
    }

    #[test]
    fn nonsense_ends() {
        for value in
            ["<", "<<a@b", "<@", "<@a", "<@a,", "<@a,,,@b:", "\"a", "(a", "[a", ">;:;@@", "a@[b"]
        {
            shown(value);
        }
        for piece in ["(", "<", "<@", "[", "@", ":", "\\", "a <@,"] {
            shown(&piece.repeat(50_000));
        }
    }
}

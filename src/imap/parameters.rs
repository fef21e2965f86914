//! The values of MIME header fields (RFC 2045 §5.1, RFC 2183 §2, RFC 3282): tokens, and parameters with
//! their names and values as a listing shows them. Tolerant, in time linear in what it reads.

use std::collections::BTreeMap;

/// The longest value that is looked into, in octets, as in [`crate::message::header`].
const MAX_VALUE_BYTES: usize = 64 * 1024;

/// Parameters of a field, in their order.
pub(super) type Parameters = Vec<(Vec<u8>, Vec<u8>)>;

/// A Content-Type.
pub(super) struct ContentType {
    pub(super) kind: Vec<u8>,
    pub(super) subtype: Vec<u8>,
    pub(super) parameters: Parameters,
}

impl ContentType {
    /// Whether it is this type, `text` for one.
    pub(super) fn is(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind.as_bytes())
    }

    /// Whether it is a message with a structure of its own (RFC 3501 §9 `media-message`).
    pub(super) fn is_message(&self) -> bool {
        self.is("message") && self.subtype.eq_ignore_ascii_case(b"rfc822")
    }
}

/// Reads a Content-Type; `None` where it is none, which means `text/plain` (RFC 2045 §5.2).
pub(super) fn content_type(value: &[u8]) -> Option<ContentType> {
    let mut at = Reader::of(value)?;
    let kind = at.token()?;
    at.eat(b'/').then_some(())?;
    let subtype = at.token()?;
    Some(ContentType { kind, subtype, parameters: at.parameters() })
}

/// Reads a Content-Disposition: its type, and the parameters. `None` where it is none.
pub(super) fn disposition(value: &[u8]) -> Option<(Vec<u8>, Parameters)> {
    let mut at = Reader::of(value)?;
    let kind = at.token()?;
    Some((kind, at.parameters()))
}

/// Reads the tokens of a list with commas.
pub(super) fn tokens(value: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let Some(mut at) = Reader::of(value) else { return found };
    while !at.rest.is_empty() {
        match at.token() {
            Some(token) => found.push(token),
            None => at.skip_one(),
        }
    }
    found
}

/// Reads one token, what may follow is ignored.
pub(super) fn token(value: &[u8]) -> Option<Vec<u8>> {
    Reader::of(value)?.token()
}

/// Where somebody reads in a field's value.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn of(value: &'a [u8]) -> Option<Self> {
        (value.len() <= MAX_VALUE_BYTES).then_some(Self { rest: value })
    }

    fn skip_one(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    /// Skips white space, line ends and comments (RFC 5322 §3.2.2), however deep.
    fn skip(&mut self) {
        let mut depth = 0_usize;
        while let [first, rest @ ..] = self.rest {
            match first {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 && !rest.is_empty() => self.skip_one(),
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ if depth > 0 => {}
                _ => return,
            }
            self.skip_one();
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.skip();
        let is_next = self.rest.first() == Some(&byte);
        if is_next {
            self.skip_one();
        }
        is_next
    }

    fn token(&mut self) -> Option<Vec<u8>> {
        self.skip();
        let len = self.rest.iter().position(|byte| !is_token(*byte)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        (!token.is_empty()).then(|| token.to_vec())
    }

    /// Everything up to the next semicolon that is in no quotes.
    fn parameters(&mut self) -> Parameters {
        let mut found = Vec::new();
        loop {
            self.skip();
            match self.rest.first() {
                None => return joined(found),
                Some(b';') => {
                    self.skip_one();
                    found.extend(self.parameter());
                }
                Some(b'"') => drop(self.quoted()),
                Some(_) => self.skip_one(),
            }
        }
    }

    fn parameter(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        let name = self.token()?;
        self.eat(b'=').then_some(())?;
        self.skip();
        let value = if self.rest.first() == Some(&b'"') { self.quoted() } else { self.unquoted() };
        Some((name, value))
    }

    /// A quoted string (RFC 5322 §3.2.4), unfolded; all the rest where its end is missing.
    fn quoted(&mut self) -> Vec<u8> {
        self.skip_one();
        let mut text = Vec::new();
        while let [first, rest @ ..] = self.rest {
            self.skip_one();
            match (first, rest) {
                (b'"', _) => break,
                (b'\r' | b'\n', _) => {}
                (b'\\', [escaped, ..]) if !matches!(escaped, b'\r' | b'\n') => {
                    text.push(*escaped);
                    self.skip_one();
                }
                _ => text.push(*first),
            }
        }
        text
    }

    /// A value that is no quoted string, though it may hold what no token may (RFC 2045 §5.1 would have
    /// it quoted).
    fn unquoted(&mut self) -> Vec<u8> {
        let is_end = |byte: &u8| matches!(byte, b';' | b'(' | b'\r' | b'\n');
        let len = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at_checked(len).unwrap_or_default();
        self.rest = rest;
        value.trim_ascii().to_vec()
    }
}

/// RFC 2045 §5.1 `token`, and 8-bit octets, which some write.
fn is_token(byte: u8) -> bool {
    !(byte <= b' ' || byte == 0x7f || b"()<>@,;:\\\"/[]?=".contains(&byte))
}

/// A piece of a long value: `name*3` or `name*3*` (RFC 2231 §3).
struct Piece {
    base: Vec<u8>,
    number: u16,
    /// Whether its octets are percent-encoded (RFC 2231 §4).
    is_encoded: bool,
}

impl Piece {
    fn of(name: &[u8]) -> Option<Self> {
        let is_encoded = name.ends_with(b"*");
        let name = name.strip_suffix(b"*").unwrap_or(name);
        let star = memchr::memrchr(b'*', name)?;
        let (base, digits) = (name.get(..star)?, name.get(star + 1..)?);
        let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let is_plain = digits.iter().all(u8::is_ascii_digit) && !base.is_empty();
        is_plain.then(|| Self { base: base.to_ascii_lowercase(), number, is_encoded })
    }
}

/// Puts the pieces of long values together in the place of the first, as servers show them: under the
/// plain name, or under `name*` where any piece is percent-encoded; the others are then, too. A piece
/// without those before it stays as it is.
fn joined(parameters: Parameters) -> Parameters {
    let pieces: Vec<Option<Piece>> = parameters.iter().map(|(name, _)| Piece::of(name)).collect();
    if pieces.iter().all(Option::is_none) {
        return parameters;
    }
    let mut places = BTreeMap::new();
    for (place, piece) in pieces.iter().enumerate() {
        if let Some(Piece { base, number, .. }) = piece {
            places.entry((base.as_slice(), *number)).or_insert(place);
        }
    }
    let mut whole: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut is_joined = vec![false; parameters.len()];
    for ((base, number), first) in &places {
        if *number == 0 {
            let next = |number| places.get(&(*base, number)).copied();
            let all: Vec<usize> = (0..=u16::MAX).map_while(next).collect();
            for place in &all {
                if let Some(flag) = is_joined.get_mut(*place) {
                    *flag = true;
                }
            }
            whole.insert(*first, all);
        }
    }
    let mut shown = Vec::new();
    for (place, (name, value)) in parameters.iter().enumerate() {
        if let Some(all) = whole.get(&place) {
            let of = |place: &usize| Some((pieces.get(*place)?.as_ref()?, parameters.get(*place)?));
            shown.push(together(name, all.iter().filter_map(of).collect()));
        } else if is_joined.get(place) != Some(&true) {
            shown.push((name.clone(), value.clone()));
        }
    }
    shown
}

/// One parameter of a piece and its name and value.
type Found<'a> = (&'a Piece, &'a (Vec<u8>, Vec<u8>));

fn together(first: &[u8], pieces: Vec<Found<'_>>) -> (Vec<u8>, Vec<u8>) {
    let is_encoded = pieces.iter().any(|(piece, _)| piece.is_encoded);
    let len = pieces.first().map_or(0, |(piece, _)| piece.base.len());
    let mut name = first.get(..len).unwrap_or_default().to_vec();
    if is_encoded {
        name.push(b'*');
    }
    let mut value = Vec::new();
    for (piece, (_, octets)) in pieces {
        for octet in octets {
            if is_encoded && !piece.is_encoded && !is_attribute_char(*octet) {
                value.extend_from_slice(format!("%{octet:02X}").as_bytes());
            } else {
                value.push(*octet);
            }
        }
    }
    (name, value)
}

/// RFC 2231 §7 `attribute-char`, and what stands unencoded in such values anyway.
fn is_attribute_char(byte: u8) -> bool {
    is_token(byte) && byte.is_ascii() && !matches!(byte, b'*' | b'\'' | b'%')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> String {
        let Some(found) = content_type(value.as_bytes()) else { return "none".to_owned() };
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let list: Vec<String> =
            found.parameters.iter().map(|(n, v)| format!("{}={}", text(n), text(v))).collect();
        format!("{}/{} {}", text(&found.kind), text(&found.subtype), list.join("|"))
    }

    #[test]
    fn types_and_parameters() {
        for (value, expected) in [
            (" text/plain", "text/plain "),
            (" Text / HTML (c (d)) ; charset = utf-8;;", "Text/HTML charset=utf-8"),
            (" a/b; x=\"q\\\"; \r\n z\"; y=1", "a/b x=q\";  z|y=1"),
            (" a/b garbage; x=a b (c); y; =z; e=", "a/b x=a b|e="),
            (" a/b; x=\"open", "a/b x=open"),
            (" a/b; x=[1]/2", "a/b x=[1]/2"),
            (" text", "none"),
            ("", "none"),
            (" /plain", "none"),
            (" (open", "none"),
        ] {
            assert_eq!(shown(value), expected, "{value}");
        }
    }

    #[test]
    fn long_values_are_put_together() {
        for (value, expected) in [
            ("a/b; x*0=a; y=z; X*1=\"b c\"", "a/b x=ab c|y=z"),
            ("a/b; t*1=b; t*0=a", "a/b t=ab"),
            ("a/b; n*0*=utf-8''a%20; n*1=\"b c'%\"", "a/b n*=utf-8''a%20b%20c%27%25"),
            ("a/b; z*2=c; z*0=a", "a/b z*2=c|z=a"),
            ("a/b; n*=utf-8''x", "a/b n*=utf-8''x"),
            ("a/b; n*99999999=x; *0=y; n*+0=w", "a/b n*99999999=x|*0=y|n*+0=w"),
        ] {
            assert_eq!(shown(value), expected, "{value}");
        }
        let many: String = (0..5_000).map(|n| format!(";a*{n}=x")).collect();
        assert_eq!(shown(&format!("a/b{many}")), format!("a/b a={}", "x".repeat(5_000)));
        assert_eq!(shown(&format!("a/b{}", many.repeat(2))), "none");
    }

    #[test]
    fn dispositions_and_languages() {
        let (kind, parameters) = disposition(b" attachment; filename=a.txt\r\n").unwrap();
        assert_eq!(kind, b"attachment");
        assert_eq!(parameters, [(b"filename".to_vec(), b"a.txt".to_vec())]);
        assert!(disposition(b" ; x=y").is_none());
        assert_eq!(tokens(b" en, de-CH (Swiss) ,, fr"), [&b"en"[..], b"de-CH", b"fr"]);
        assert!(tokens(b" (").is_empty());
        assert_eq!(token(b" base64 (c)"), Some(b"base64".to_vec()));
    }
}

//! The skeleton of a message: where each MIME part's header and body lie (RFC 2046), found in one
//! pass, without decoding anything.

use std::ops::Range;

use super::header::{self, ContentType, Header};

/// How deep parts may nest; what lies deeper is left unopened.
pub const MAX_DEPTH: usize = 64;
/// How many parts are told apart in one message; what comes after is left in the last one.
pub const MAX_PARTS: usize = 4096;

/// One MIME part, or the message itself. All offsets count octets from the message's first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The header block, its empty line included.
    pub header: Range<usize>,
    /// The body, without the line end that belongs to the boundary behind it.
    pub body: Range<usize>,
    /// How many line ends the body has.
    pub lines: usize,
    /// What kind of part it is.
    pub kind: Kind,
    /// The parts of a multipart, or the one message inside a `message/rfc822`.
    pub children: Vec<Part>,
}

/// What a part is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `multipart/*` with a boundary.
    Multipart,
    /// `message/rfc822` or `message/global`, not transfer encoded: a message as it stands.
    Message,
    /// `text/*`.
    Text,
    /// Everything else: a leaf.
    Other,
}

/// The skeleton of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skeleton {
    /// The message itself.
    pub root: Part,
    /// Whether everything was told apart; false where a limit was met.
    pub complete: bool,
}

/// Finds the skeleton of any sequence of bytes, in time linear in its length.
pub fn skeleton(message: &[u8]) -> Skeleton {
    let mut walk = Walk { message, open: Vec::new(), parts: 1, complete: true };
    walk.run();
    let mut root = walk.into_root();
    count_lines(&mut root, message);
    root
}

/// A part whose end was not met yet.
struct Open {
    part: Part,
    /// `--boundary` without white space at its end, for a multipart that is not closed yet.
    delimiter: Option<Vec<u8>>,
    /// Whether parts without a type of their own are messages (`multipart/digest`, RFC 2046 §5.1.5).
    digest: bool,
}

struct Walk<'a> {
    message: &'a [u8],
    open: Vec<Open>,
    parts: usize,
    complete: bool,
}

/// A boundary line: which open multipart it belongs to, and whether it closes it.
struct Delimiter {
    level: usize,
    closes: bool,
    line: Range<usize>,
}

impl Walk<'_> {
    fn run(&mut self) {
        let mut at = self.open_part(0, false);
        while let Some(delimiter) = self.next_delimiter(at) {
            if !delimiter.closes && self.parts >= MAX_PARTS {
                // It is text of the last part from now on.
                self.complete = false;
                if let Some(multipart) = self.open.get_mut(delimiter.level) {
                    multipart.delimiter = None;
                }
                at = delimiter.line.end;
                continue;
            }
            // A line end that belongs to the line of the last delimiter is not this one's, too.
            let end = self.before_line_end(delimiter.line.start).max(at);
            self.end_above(delimiter.level + 1, end);
            at = delimiter.line.end;
            let Some(multipart) = self.open.last_mut() else { break };
            if delimiter.closes {
                multipart.delimiter = None;
            } else {
                let digest = multipart.digest;
                self.parts += 1;
                at = self.open_part(at, digest);
            }
        }
    }

    /// Opens the part whose header begins at `start`, and the messages directly inside it; gives the
    /// offset where its body begins.
    fn open_part(&mut self, start: usize, mut in_digest: bool) -> usize {
        let mut start = start;
        loop {
            let end = self.end_of_part_header(start);
            let block = self.message.get(start..end).unwrap_or_default();
            let (kind, found) = kind_of(block, in_digest);
            let too_deep = self.open.len() + 1 >= MAX_DEPTH;
            if too_deep && matches!(kind, Kind::Multipart | Kind::Message) {
                self.complete = false;
            }
            let kind = if too_deep && kind != Kind::Text { Kind::Other } else { kind };
            if found.as_ref().is_some_and(|found| !found.is_plain) {
                self.complete = false;
            }
            let boundary = found.as_ref().and_then(|found| found.boundary.as_ref());
            self.open.push(Open {
                part: Part {
                    header: start..end,
                    body: end..end,
                    lines: 0,
                    kind,
                    children: Vec::new(),
                },
                delimiter: boundary
                    .filter(|_| kind == Kind::Multipart)
                    .map(|boundary| [b"--", boundary.as_bytes().trim_ascii_end()].concat()),
                digest: found.is_some_and(|found| found.subtype == "digest"),
            });
            if kind != Kind::Message {
                return end;
            }
            if self.parts >= MAX_PARTS {
                self.complete = false;
                return end;
            }
            self.parts += 1;
            start = end;
            in_digest = false;
        }
    }

    /// The end of a part's header: behind its empty line, or before a boundary that cuts it short.
    fn end_of_part_header(&self, start: usize) -> usize {
        let mut at = start;
        while let Some(line) = header::line_at(self.message, at) {
            let text = self.message.get(line.clone()).unwrap_or_default();
            if header::is_empty_line(text) {
                return line.end;
            }
            if text.starts_with(b"--") && self.delimiter_at(line.start).is_some() {
                return line.start;
            }
            at = line.end;
        }
        at
    }

    /// The next line from `at` on that is a delimiter of any open multipart; `at` is the start of a
    /// line.
    fn next_delimiter(&self, at: usize) -> Option<Delimiter> {
        if self.open.iter().all(|open| open.delimiter.is_none()) {
            return None;
        }
        if let Some(delimiter) = self.delimiter_at(at) {
            return Some(delimiter);
        }
        let rest = self.message.get(at..)?;
        memchr::memmem::find_iter(rest, b"\n--").find_map(|found| self.delimiter_at(at + found + 1))
    }

    /// Whether the line at `start` is the delimiter of an open multipart, the innermost first. White
    /// space may stand behind it (RFC 2046 §5.1.1).
    fn delimiter_at(&self, start: usize) -> Option<Delimiter> {
        let line = header::line_at(self.message, start)?;
        let text = self.message.get(line.clone())?.trim_ascii_end();
        let (level, closes) = self.open.iter().enumerate().rev().find_map(|(level, open)| {
            let delimiter = open.delimiter.as_deref()?;
            match text.strip_prefix(delimiter)? {
                b"" => Some((level, false)),
                b"--" => Some((level, true)),
                _ => None,
            }
        })?;
        Some(Delimiter { level, closes, line })
    }

    /// The line end before a delimiter belongs to the delimiter.
    fn before_line_end(&self, at: usize) -> usize {
        let before = self.message.get(..at).unwrap_or_default();
        let before =
            before.strip_suffix(b"\n").map_or(before, |b| b.strip_suffix(b"\r").unwrap_or(b));
        before.len()
    }

    /// Ends every open part from `level` on at `end`, but no part before what is inside it: the line
    /// end before a delimiter may be the one that ends a part's header.
    fn end_above(&mut self, level: usize, end: usize) {
        while self.open.len() > level {
            let Some(mut ended) = self.open.pop() else { return };
            let inside = ended.part.children.last().map_or(0, |child| child.body.end);
            ended.part.body.end = end.max(ended.part.body.start).max(inside);
            match self.open.last_mut() {
                Some(parent) => parent.part.children.push(ended.part),
                None => return,
            }
        }
    }

    fn into_root(mut self) -> Skeleton {
        let end = self.message.len();
        self.end_above(1, end);
        let complete = self.complete;
        let root = self.open.pop().map(|open| open.part);
        let mut root = root.unwrap_or(Part {
            header: 0..0,
            body: 0..0,
            lines: 0,
            kind: Kind::Text,
            children: Vec::new(),
        });
        root.body.end = end;
        Skeleton { root, complete }
    }
}

fn kind_of(block: &[u8], in_digest: bool) -> (Kind, Option<ContentType>) {
    let header = Header::parse(block);
    let found = header.content_type();
    let kind = match &found {
        None if in_digest => Kind::Message,
        None => Kind::Text,
        Some(found) => match (found.kind.as_str(), found.subtype.as_str()) {
            ("multipart", _) if found.boundary.is_some() => Kind::Multipart,
            ("message", "rfc822" | "global") => Kind::Message,
            ("text", _) => Kind::Text,
            _ => Kind::Other,
        },
    };
    let plain = kind != Kind::Message
        || matches!(header.transfer_encoding().as_str(), "7bit" | "8bit" | "binary");
    (if plain { kind } else { Kind::Other }, found)
}

/// Counts the line ends of every body. Each octet is looked at once: leaves are counted, and a
/// container adds what lies between its children.
fn count_lines(skeleton: &mut Skeleton, message: &[u8]) {
    fn visit(part: &mut Part, message: &[u8]) -> usize {
        let count = |range: Range<usize>| {
            memchr::memchr_iter(b'\n', message.get(range).unwrap_or_default()).count()
        };
        let mut lines = 0;
        let mut at = part.body.start;
        for child in &mut part.children {
            let body_lines = visit(child, message);
            lines += count(at..child.body.start) + body_lines;
            at = child.body.end;
        }
        lines += count(at..part.body.end);
        part.lines = lines;
        lines
    }
    visit(&mut skeleton.root, message);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'a>(message: &'a [u8], part: &Part) -> &'a str {
        std::str::from_utf8(&message[part.body.clone()]).unwrap()
    }

    #[test]
    fn nested_parts() {
        let message = b"Content-Type: multipart/mixed; boundary=a\r\n\r\npreamble\r\n--a\r\n\r\none\r\ntwo\r\n--a\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Type: multipart/alternative; boundary=ab\r\n\r\n--ab\r\n\r\nx\r\n--ab--\r\n--a--\r\nepilogue\r\n";
        let found = skeleton(message);
        assert!(found.complete);
        let [one, nested] = &found.root.children[..] else { panic!("{found:?}") };
        assert_eq!((text(message, one), one.lines, one.kind), ("one\r\ntwo", 1, Kind::Text));
        assert_eq!(nested.kind, Kind::Message);
        let [inner] = &nested.children[..] else { panic!() };
        assert_eq!(inner.kind, Kind::Multipart);
        assert_eq!(text(message, inner), "--ab\r\n\r\nx\r\n--ab--\r\n");
        assert_eq!(text(message, &inner.children[0]), "x");
        assert_eq!(found.root.body.end, message.len());
        assert_eq!(
            found.root.lines,
            memchr::memchr_iter(b'\n', &message[found.root.body.clone()]).count()
        );
    }

    #[test]
    fn missing_close_and_prefix_boundary() {
        let message = b"Content-Type: multipart/mixed; boundary=\"aa\"\n\n--aa\n\none\n--a\n--aaa\n--aa \nX: y\n--aa\n\nthree";
        let found = skeleton(message);
        let bodies: Vec<&str> = found.root.children.iter().map(|p| text(message, p)).collect();
        assert_eq!(bodies, ["one\n--a\n--aaa", "", "three"]);
    }

    #[test]
    fn header_that_ends_at_the_outer_boundary() {
        for last in ["X: y\r\n", "X: y\r\n\r\n", "\r\n"] {
            let message = format!(
                "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n{last}--o--\r\n"
            );
            let found = skeleton(message.as_bytes());
            let [inner] = &found.root.children[..] else { panic!("{found:?}") };
            let [part] = &inner.children[..] else { panic!("{found:?}") };
            assert_eq!(&message[part.header.clone()], last);
            assert!(part.body.is_empty() && part.body.end <= inner.body.end, "{found:?}");
            assert_eq!(inner.lines, message[inner.body.clone()].matches('\n').count());
        }
    }

    #[test]
    fn odd_messages() {
        for message in [
            &b""[..],
            b"\r\n",
            b"no header",
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\n",
            b"\0\0",
        ] {
            let found = skeleton(message);
            assert_eq!(found.root.body.end, message.len());
            assert!(found.root.children.is_empty());
        }
    }

    #[test]
    fn digest_and_encoded_message() {
        let message = b"Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\nSubject: a\r\n\r\nb\r\n--x\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3Vi\r\n--x--\r\n";
        let found = skeleton(message);
        let kinds: Vec<Kind> = found.root.children.iter().map(|p| p.kind).collect();
        assert_eq!(kinds, [Kind::Message, Kind::Other]);
        assert_eq!(text(message, &found.root.children[0].children[0]), "b");
    }

    #[test]
    fn limits() {
        let mut deep = Vec::new();
        for level in 0..1000 {
            deep.extend(
                format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n")
                    .bytes(),
            );
        }
        assert!(!skeleton(&deep).complete);
        let mut wide = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
        for _ in 0..10_000 {
            wide.extend(b"--b\r\n\r\nx\r\n");
        }
        let found = skeleton(&wide);
        assert!(!found.complete);
        assert_eq!(found.root.children.len(), MAX_PARTS - 1);
        assert_eq!(found.root.children.last().map(|last| last.body.end), Some(wide.len()));
    }
}

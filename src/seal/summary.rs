//! The summary: what an IMAP server answers from its cache, all about the *original* message, small
//! enough to travel in a header field. A listing opens summaries and never a body.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use encodify::base64::STANDARD;
use mail_parser::MessageParser;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::message::header::Header;
use crate::message::mime::{self, Kind, Part, Skeleton};

use super::outer;

/// The header field; always there, always the last one.
pub const FIELD: &str = "Sealed-Summary";
/// The field's value where the summary is too large or the structure was not told apart.
pub(super) const NONE: &str = "none";
/// The longest value of the field, in octets of base64.
pub(super) const MAX_FIELD_BYTES: usize = 48 * 1024;
/// The field is folded at this column: Cyrus keeps at most 1,000 lines of a header.
const FOLD_COLUMNS: usize = 900;
/// What a summary may hold once decompressed, in octets.
pub(super) const MAX_PLAIN_BYTES: u64 = 1024 * 1024;
/// The length of the preview, in characters (RFC 8970 §3.1 allows 256).
const PREVIEW_CHARS: usize = 200;
/// How much of a part's body the preview looks at, in octets.
const PREVIEW_BODY_BYTES: usize = 2048;
/// The version of the format.
const VERSION: u8 = 1;

/// What is told of a message without opening its body. All sizes and offsets are of the original.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Summary {
    #[n(0)]
    version: u8,
    /// The original's exact size in octets.
    #[n(1)]
    pub size: u64,
    /// The original's header block with its empty line, as it stands but for the omitted fields.
    #[n(2)]
    header: ByteVec,
    /// The names of bulky fields that were left out of `header`, in lower case.
    #[n(3)]
    pub omitted: Vec<String>,
    /// The parts, the message itself first, each before its children.
    #[n(4)]
    pub parts: Vec<SummaryPart>,
    /// The beginning of the text, decoded, on one line; empty where there is none.
    #[n(5)]
    pub preview: String,
}

/// One MIME part of the original.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct SummaryPart {
    /// How deep it lies: 0 for the message itself.
    #[n(0)]
    pub depth: u16,
    #[n(1)]
    header_at: u64,
    #[n(2)]
    header_len: u64,
    #[n(3)]
    body_len: u64,
    /// How many line ends its body has.
    #[n(4)]
    pub lines: u64,
    #[n(5)]
    kind: u8,
    /// Its header block as it stands; empty for the message itself, whose header is the summary's.
    #[n(6)]
    header: ByteVec,
}

impl fmt::Debug for Summary {
    /// Nothing of the message but its size: the rest was sealed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Summary({} octets, {} parts)", self.size, self.parts.len())
    }
}

impl fmt::Debug for SummaryPart {
    /// Where it lies, and not what it holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (header, body) = (self.header_range(), self.body_range());
        write!(f, "SummaryPart({:?}, header {header:?}, body {body:?})", self.kind())
    }
}

impl SummaryPart {
    /// Where its header block lies in the original, the empty line included.
    pub fn header_range(&self) -> Range<u64> {
        self.header_at..self.header_at.saturating_add(self.header_len)
    }

    /// Where its body lies in the original.
    pub fn body_range(&self) -> Range<u64> {
        let start = self.header_range().end;
        start..start.saturating_add(self.body_len)
    }

    /// What kind of part it is.
    pub fn kind(&self) -> Kind {
        match self.kind {
            1 => Kind::Multipart,
            2 => Kind::Message,
            3 => Kind::Text,
            _ => Kind::Other,
        }
    }

    /// Its header block.
    pub fn header(&self) -> &[u8] {
        &self.header
    }
}

impl Summary {
    /// The original's header block, without the fields named in `omitted`.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Whether the message is of our own outer form: a notice, and a sealed body behind it.
    pub fn is_outer(&self) -> bool {
        let [root, _, body] = self.parts.as_slice() else { return false };
        let kind = Header::parse(body.header()).content_type();
        root.kind() == Kind::Multipart
            && kind
                .is_some_and(|kind| format!("{}/{}", kind.kind, kind.subtype) == outer::BODY_TYPE)
    }

    /// Of an opened message whose size is all that is asked for.
    pub fn of_size(octets: u64) -> Self {
        Self::with(b"", &mime::skeleton(b""), &Header::parse(b""), (Vec::new(), Vec::new()))
            .sized(octets)
    }

    fn sized(mut self, size: u64) -> Self {
        self.size = size;
        self
    }

    /// About how much memory it takes, in octets.
    pub fn octets(&self) -> usize {
        let parts: usize =
            self.parts.iter().map(|part| size_of::<SummaryPart>() + part.header.len()).sum();
        let omitted: usize = self.omitted.iter().map(String::len).sum();
        size_of::<Self>() + self.header.len() + self.preview.len() + omitted + parts
    }

    /// Sums `message` up; `None` where its structure was not told apart completely, or its headers
    /// alone are more than a summary holds: they are not even copied then.
    pub(super) fn of(message: &[u8], skeleton: &Skeleton, header: &Header<'_>) -> Option<Self> {
        if !skeleton.complete || header_bytes(&skeleton.root) as u64 > MAX_PLAIN_BYTES {
            return None;
        }
        Some(Self::with(message, skeleton, header, without_bulk(header)))
    }

    /// Sums an opened message up whose sealed summary is "none": any message, with every field of its
    /// header, in memory that its own size bounds. What the limits of [`crate::message::mime`] left
    /// unopened is a part without parts.
    pub fn of_message(message: &[u8]) -> Self {
        let skeleton = mime::skeleton(message);
        let block = message.get(skeleton.root.header.clone()).unwrap_or_default();
        let header = Header::parse(block);
        Self::with(message, &skeleton, &header, (block.to_vec(), Vec::new()))
    }

    fn with(
        message: &[u8],
        skeleton: &Skeleton,
        header: &Header<'_>,
        (kept, omitted): (Vec<u8>, Vec<String>),
    ) -> Self {
        let mut parts = Vec::new();
        flatten(&skeleton.root, 0, message, &mut parts);
        if let Some(root) = parts.first_mut() {
            root.header = ByteVec::from(Vec::new());
        }
        Self {
            version: VERSION,
            size: message.len() as u64,
            header: ByteVec::from(kept),
            omitted,
            parts,
            preview: preview(message, &skeleton.root, header),
        }
    }

    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        minicbor::to_vec(self).ok()
    }

    /// Reads an encoded summary; `None` where it is of another version or not well formed.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        minicbor::decode::<Self>(bytes).ok().filter(|summary| summary.version == VERSION)
    }
}

/// The value of the field for the age file `file`, folded; `None` where it would be too long.
pub(super) fn to_field(file: &[u8]) -> Option<String> {
    let encoded = STANDARD.encode(file);
    if encoded.len() > MAX_FIELD_BYTES {
        return None;
    }
    let mut folded = String::with_capacity(encoded.len() + encoded.len() / 256 + 8);
    let mut rest = encoded.as_str();
    while let Some((line, more)) = rest.split_at_checked(FOLD_COLUMNS) {
        folded.push_str(line);
        folded.push(' ');
        rest = more;
    }
    folded.push_str(rest);
    folded.truncate(folded.trim_end().len());
    Some(folded)
}

/// The age file in the value of the field: `Ok(None)` for "none".
pub(super) fn from_field(value: &[u8]) -> Result<Option<Vec<u8>>, ()> {
    let joined: Vec<u8> = value.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    if joined == NONE.as_bytes() {
        return Ok(None);
    }
    if joined.len() > MAX_FIELD_BYTES {
        return Err(());
    }
    STANDARD.decode(joined).map(Some).map_err(|_| ())
}

/// No client lists these (RFC 6376, RFC 8617), they are a fifth of a header and do not compress. Few
/// names: a sender who could make up more would make `omitted` long.
const BULKY: [&str; 4] =
    ["DKIM-Signature", "ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"];

/// How long all headers are together, in octets.
fn header_bytes(part: &Part) -> usize {
    part.header.len() + part.children.iter().map(header_bytes).sum::<usize>()
}

fn without_bulk(header: &Header<'_>) -> (Vec<u8>, Vec<String>) {
    let block = header.block();
    let mut kept = Vec::with_capacity(block.len());
    let mut omitted = Vec::new();
    let mut seen = 0;
    for field in header.fields() {
        seen += field.raw.len();
        if BULKY.iter().any(|name| field.is(name)) {
            let name = String::from_utf8_lossy(field.name).to_ascii_lowercase();
            if !omitted.contains(&name) {
                omitted.push(name);
            }
        } else {
            kept.extend_from_slice(field.raw);
        }
    }
    kept.extend_from_slice(block.get(seen..).unwrap_or_default());
    (kept, omitted)
}

fn flatten(part: &Part, depth: u16, message: &[u8], into: &mut Vec<SummaryPart>) {
    into.push(SummaryPart {
        depth,
        header_at: part.header.start as u64,
        header_len: part.header.len() as u64,
        body_len: part.body.len() as u64,
        lines: part.lines as u64,
        kind: match part.kind {
            Kind::Other => 0,
            Kind::Multipart => 1,
            Kind::Message => 2,
            Kind::Text => 3,
        },
        header: message.get(part.header.clone()).unwrap_or_default().to_vec().into(),
    });
    for child in &part.children {
        flatten(child, depth + 1, message, into);
    }
}

/// Only the beginning of the first text is decoded: a full parse costs more than the cipher.
fn preview(message: &[u8], root: &Part, header: &Header<'_>) -> String {
    let mut texts = Vec::new();
    readable_texts(message, root, Some(header), &mut texts);
    let Some((text, header)) = first_text(&texts) else { return String::new() };
    let body = message.get(text.body.clone()).unwrap_or_default();
    let mut piece = Vec::with_capacity(PREVIEW_BODY_BYTES + 256);
    for field in header.fields() {
        if field.is("Content-Type") || field.is("Content-Transfer-Encoding") {
            piece.extend_from_slice(field.raw);
        }
    }
    piece.extend_from_slice(b"\r\n");
    piece.extend_from_slice(body.get(..PREVIEW_BODY_BYTES).unwrap_or(body));
    // A parser that meets what its authors did not think of costs the preview, and not the delivery.
    let words = std::panic::catch_unwind(|| {
        let parsed = MessageParser::new().parse(&piece)?;
        parsed.body_preview(PREVIEW_CHARS * 2).map(|preview| preview.into_owned())
    });
    let words = words.ok().flatten().unwrap_or_default();
    let words: Vec<&str> = words.split_whitespace().collect();
    words.join(" ").chars().filter(|c| !c.is_control()).take(PREVIEW_CHARS).collect()
}

/// A text part and its header.
type Text<'a> = (&'a Part, Cow<'a, Header<'a>>);

/// The first `text/plain`, else the first text of any kind.
fn first_text<'t, 'a>(texts: &'t [Text<'a>]) -> Option<&'t Text<'a>> {
    let is_plain =
        |(_, header): &&Text<'_>| header.content_type().is_none_or(|kind| kind.subtype == "plain");
    texts.iter().find(is_plain).or(texts.first())
}

/// Every text that is no attachment. `header` is the part's own where somebody has told it apart.
fn readable_texts<'a>(
    message: &'a [u8],
    part: &'a Part,
    header: Option<&'a Header<'a>>,
    into: &mut Vec<Text<'a>>,
) {
    match part.kind {
        Kind::Text => {
            let block = message.get(part.header.clone()).unwrap_or_default();
            let header = header.map_or_else(|| Cow::Owned(Header::parse(block)), Cow::Borrowed);
            let disposition = header.first("Content-Disposition").map(|field| field.unfolded());
            let is_attached = disposition.is_some_and(|value| {
                value.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"attachment"))
            });
            if !is_attached {
                into.push((part, header));
            }
        }
        Kind::Multipart => {
            part.children.iter().for_each(|part| readable_texts(message, part, None, into));
        }
        Kind::Message | Kind::Other => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"Subject: hi\r\nDKIM-Signature: v=1;\r\n b=xyz\r\nARC-Seal: a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n  aus K=C3=B6ln\r\n--b\r\nContent-Type: image/png\r\n\r\nxx\r\n--b--\r\n";

    fn summary() -> Summary {
        let skeleton = mime::skeleton(MESSAGE);
        let header = Header::parse(&MESSAGE[skeleton.root.header.clone()]);
        Summary::of(MESSAGE, &skeleton, &header).unwrap()
    }

    #[test]
    fn tells_what_a_listing_needs() {
        let summary = Summary::decode(&summary().encode().unwrap()).unwrap();
        assert_eq!(summary.size, MESSAGE.len() as u64);
        assert_eq!(
            summary.header(),
            b"Subject: hi\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        );
        assert_eq!(summary.omitted, ["dkim-signature", "arc-seal"]);
        assert_eq!(summary.preview, "Grüße aus Köln");
        let shown = format!("{summary:?}{:?}", summary.parts);
        assert!(!shown.contains("Subject") && !shown.contains("Gr"), "{shown}");
        let [root, text, image] = &summary.parts[..] else { panic!() };
        assert_eq!((root.depth, root.kind(), root.lines), (0, Kind::Multipart, 11));
        assert_eq!((text.depth, text.kind(), text.lines), (1, Kind::Text, 1));
        let cut = |range: Range<u64>| &MESSAGE[range.start as usize..range.end as usize];
        assert_eq!(cut(image.body_range()), b"xx");
        assert_eq!(cut(image.header_range()), image.header());
        assert!(cut(root.header_range()).ends_with(b"\r\n\r\n"));
    }

    #[test]
    fn any_opened_message_is_summed_up() {
        let whole = Summary::of_message(MESSAGE);
        assert!(whole.omitted.is_empty() && MESSAGE.starts_with(whole.header()));
        assert_eq!((whole.size, &whole.parts), (summary().size, &summary().parts));
        let deep = b"Content-Type: message/rfc822\r\n\r\n".repeat(1000);
        let skeleton = mime::skeleton(&deep);
        let header = Header::parse(&deep[skeleton.root.header.clone()]);
        assert!(Summary::of(&deep, &skeleton, &header).is_none());
        assert_eq!(Summary::of_message(&deep).parts.len(), mime::MAX_DEPTH);
        assert_eq!(Summary::of_message(b"").parts.len(), 1);
    }

    #[test]
    fn field_is_folded_and_bounded() {
        let file = vec![7; 3000];
        let field = to_field(&file).unwrap();
        assert!(field.split(' ').all(|line| line.len() <= FOLD_COLUMNS));
        assert_eq!(from_field(field.replace(' ', "\r\n ").as_bytes()), Ok(Some(file)));
        assert_eq!(from_field(b" none\r\n"), Ok(None));
        assert_eq!(from_field(b"a!b"), Err(()));
        assert!(to_field(&vec![0; 40_000]).is_none());
    }

    #[test]
    fn other_versions_are_not_read() {
        let other = Summary { version: 2, ..summary() };
        assert_eq!(Summary::decode(&other.encode().unwrap()), None);
        assert_eq!(Summary::decode(b"\xff\xff"), None);
    }
}

//! The header of an age file: version line, stanzas, MAC. Written in one go, read as it comes in.
//!
//! It must never believe a header before the MAC was checked with the file key, and never hold more
//! of one than [`MAX_HEADER_LEN`].

use encodify::base64::STANDARD_NO_PAD as BASE64;
use hmac::Mac as _;

use super::primitives::{derive, hmac};
use super::{FileKey, HeaderError, Stanza};

/// The longest header that is read, in bytes: room for [`MAX_STANZAS`] of the largest type.
pub const MAX_HEADER_LEN: usize = 128 * 1024;

/// The most stanzas a header is read or written with. Every one may cost its reader a multiplication.
pub const MAX_STANZAS: usize = 64;

const VERSION_LINE: &[u8] = b"age-encryption.org/v1\n";
const FOOTER: &str = "---";
const MAC_LEN: usize = 32;

/// Appends the header with `stanzas`, all of which wrap `file_key`.
pub(super) fn write(stanzas: &[Stanza], file_key: &FileKey, out: &mut Vec<u8>) {
    let mut text = String::with_capacity(128 * stanzas.len());
    for stanza in stanzas {
        stanza.encode_into(&mut text);
    }
    text.push_str(FOOTER);
    let mac =
        mac_key(file_key).chain_update(VERSION_LINE).chain_update(&text).finalize().into_bytes();
    text.push(' ');
    BASE64.encode_append(mac, &mut text);
    text.push('\n');
    out.extend_from_slice(VERSION_LINE);
    out.extend_from_slice(text.as_bytes());
}

fn mac_key(file_key: &FileKey) -> hmac::Hmac<sha2::Sha256> {
    hmac(&derive(file_key.expose(), b"", b"header"))
}

/// A header that is well-formed and not yet believed.
pub(super) struct Header {
    pub(super) stanzas: Vec<Stanza>,
    /// Everything up to and with the dashes of the last line.
    covered: Vec<u8>,
    mac: [u8; MAC_LEN],
}

impl Header {
    /// Whether who wrote this header knew `file_key`.
    #[must_use]
    pub(super) fn is_authentic(&self, file_key: &FileKey) -> bool {
        mac_key(file_key).chain_update(&self.covered).verify_slice(&self.mac).is_ok()
    }
}

/// Reads a header line by line.
pub(super) struct HeaderReader {
    /// All of it so far.
    raw: Vec<u8>,
    /// Where in `raw` the current line begins.
    line: usize,
    stanzas: Vec<Stanza>,
    next: Next,
}

/// What the next line is.
enum Next {
    Version,
    Body(Stanza),
    StanzaOrFooter,
}

impl HeaderReader {
    pub(super) fn new() -> Self {
        Self { raw: Vec::new(), line: 0, stanzas: Vec::new(), next: Next::Version }
    }

    /// Takes what of `input` belongs to the header and gives back the rest, with the header once it is
    /// complete. After that, or after an error, it must not be called again.
    pub(super) fn push<'i>(
        &mut self,
        mut input: &'i [u8],
    ) -> Result<(&'i [u8], Option<Header>), HeaderError> {
        while !input.is_empty() {
            let ended = memchr::memchr(b'\n', input);
            let (piece, rest) = input.split_at(ended.map_or(input.len(), |at| at + 1));
            if self.raw.len() + piece.len() > MAX_HEADER_LEN {
                return Err(match self.next {
                    Next::Version => HeaderError::NotAge,
                    _ => HeaderError::TooLong,
                });
            }
            self.raw.extend_from_slice(piece);
            input = rest;
            if matches!(self.next, Next::Version) && !VERSION_LINE.starts_with(&self.raw) {
                return Err(HeaderError::NotAge);
            }
            if ended.is_some()
                && let Some(mac) = self.end_line()?
            {
                return self.complete(mac).map(|header| (input, Some(header)));
            }
        }
        Ok((input, None))
    }

    /// What is wrong when nothing more comes.
    pub(super) fn end(&self) -> HeaderError {
        match self.next {
            Next::Version if self.raw.is_empty() => HeaderError::NotAge,
            _ => HeaderError::Truncated,
        }
    }

    /// Reads the line that just ended; the MAC if it was the last one.
    fn end_line(&mut self) -> Result<Option<[u8; MAC_LEN]>, HeaderError> {
        let line = self.raw.get(self.line..).unwrap_or_default();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        match std::mem::replace(&mut self.next, Next::StanzaOrFooter) {
            Next::Version => {}
            Next::Body(mut stanza) => {
                if stanza.add_line(line)? {
                    self.stanzas.push(stanza);
                } else {
                    self.next = Next::Body(stanza);
                }
            }
            Next::StanzaOrFooter if line.starts_with(FOOTER.as_bytes()) => {
                return mac_of(line).map(Some);
            }
            Next::StanzaOrFooter if self.stanzas.len() == MAX_STANZAS => {
                return Err(HeaderError::TooManyStanzas);
            }
            Next::StanzaOrFooter => self.next = Next::Body(Stanza::begin(line)?),
        }
        self.line = self.raw.len();
        Ok(None)
    }
    fn complete(&mut self, mac: [u8; MAC_LEN]) -> Result<Header, HeaderError> {
        if self.stanzas.is_empty() {
            return Err(HeaderError::NoStanza);
        }
        let mut covered = std::mem::take(&mut self.raw);
        covered.truncate(self.line + FOOTER.len());
        Ok(Header { stanzas: std::mem::take(&mut self.stanzas), covered, mac })
    }
}

fn mac_of(line: &[u8]) -> Result<[u8; MAC_LEN], HeaderError> {
    line.strip_prefix(FOOTER.as_bytes())
        .and_then(|rest| rest.strip_prefix(b" "))
        .and_then(|text| BASE64.decode(text).ok())
        .and_then(|mac| mac.try_into().ok())
        .ok_or(HeaderError::Footer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::age::StanzaError;

    fn stanza(kind: &str, body_len: usize) -> Stanza {
        Stanza { kind: kind.to_owned(), args: Vec::new(), body: vec![1; body_len] }
    }

    fn read(text: &[u8]) -> Result<Header, HeaderError> {
        let mut reader = HeaderReader::new();
        let (rest, header) = reader.push(text)?;
        assert_eq!(rest, b"");
        header.ok_or_else(|| reader.end())
    }

    #[test]
    fn written_headers_are_authentic_under_their_key_only() {
        let key = FileKey::random();
        let mut text = Vec::new();
        write(&[stanza("a", 0), stanza("b", 100)], &key, &mut text);
        let header = read(&text).unwrap();
        assert_eq!(header.stanzas, [stanza("a", 0), stanza("b", 100)]);
        assert!(header.is_authentic(&key));
        assert!(!header.is_authentic(&FileKey::random()));
    }

    #[test]
    fn limits_hold() {
        let key = FileKey::random();
        let mut most = Vec::new();
        write(&vec![stanza("a", 1); MAX_STANZAS], &key, &mut most);
        assert!(read(&most).is_ok());
        let mut more = Vec::new();
        write(&vec![stanza("a", 1); MAX_STANZAS + 1], &key, &mut more);
        assert_eq!(read(&more).err(), Some(HeaderError::TooManyStanzas));
        let mut long = Vec::new();
        write(&[stanza("a", MAX_HEADER_LEN)], &key, &mut long);
        assert_eq!(read(&long).err(), Some(HeaderError::TooLong));
        let endless = [VERSION_LINE, &vec![b'-'; MAX_HEADER_LEN]].concat();
        assert_eq!(read(&endless).err(), Some(HeaderError::TooLong));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let mac = "A".repeat(43);
        let with_mac = |text: &str| format!("age-encryption.org/v1\n{text}--- {mac}\n");
        for (text, error) in [
            (String::new(), HeaderError::NotAge),
            ("From: me\n".to_owned(), HeaderError::NotAge),
            ("age-encryption.org/v2\n".to_owned(), HeaderError::NotAge),
            ("age-encryption.org/v1".to_owned(), HeaderError::Truncated),
            (with_mac(""), HeaderError::NoStanza),
            (with_mac("-> a\n\n\n"), StanzaError::Arguments.into()),
            (with_mac("-> a\n\n-"), HeaderError::Footer),
            (with_mac("-> a\n\n").replace(" A", " "), HeaderError::Footer),
        ] {
            assert_eq!(read(text.as_bytes()).err(), Some(error), "{text:?}");
        }
    }
}

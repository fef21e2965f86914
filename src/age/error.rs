//! What can be wrong with a key, a recipient or a file. One kind of [`Error`] for each outcome that
//! the CCTV test vectors tell apart.
//!
//! An error must never carry key material or plaintext: it may go to a log.

use std::fmt;

use super::header::{MAX_HEADER_LEN, MAX_STANZAS};
use crate::secret::OutOfMemory;

/// Why a file gave no plaintext, or no more of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The header does not follow the format.
    Header(HeaderError),
    /// The header is well-formed and none of the identities opens any of its stanzas.
    NoMatch,
    /// An identity opened a stanza, and the header's MAC does not agree with the file key.
    HeaderMac,
    /// The header is good and the payload is not. What came out before was authentic.
    Payload(PayloadError),
    /// There is no memory for the plaintext.
    OutOfMemory,
}

/// What is wrong with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// The first line is not that of age v1.
    NotAge,
    /// The file ends before the payload begins.
    Truncated,
    /// More than [`MAX_HEADER_LEN`] bytes.
    TooLong,
    /// More than [`MAX_STANZAS`] stanzas.
    TooManyStanzas,
    /// A MAC with no stanza before it.
    NoStanza,
    /// A stanza is not written as one.
    Stanza(StanzaError),
    /// A stanza of a type we know has the wrong number or length of fields.
    Recipient,
    /// The share of a stanza is a point of low order, which gives every reader the same secret.
    LowOrder,
    /// The line with the MAC is not written as one.
    Footer,
}

/// What is wrong with the text of a stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StanzaError {
    /// The first line is not `->` and arguments of visible ASCII, one space before each.
    Arguments,
    /// A line of the body is longer than 64 columns or not canonical base64 without padding.
    Body,
    /// The text does not end with a short body line, or goes on after it.
    End,
}

/// What is wrong with a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadError {
    /// The file ends inside a chunk or before the last one.
    Truncated,
    /// The file goes on after the last chunk.
    Trailing,
    /// A chunk is altered, moved, or not the last one where it should be.
    Altered,
    /// The last chunk is empty though others came before it.
    EmptyLastChunk,
}

/// Why a file key could not be wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrapError {
    /// A file needs at least one recipient.
    NoRecipient,
    /// More than [`MAX_STANZAS`] recipients, which no reader of ours would accept.
    TooManyRecipients,
    /// The recipient is a point of low order: anybody could open what is sealed to it.
    LowOrder,
}

/// Why a text is not the key it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// It does not begin as a key of this type does.
    Prefix,
    /// It is too short or too long.
    Length,
    /// Upper and lower case are mixed.
    Case,
    /// It has a character that Bech32 does not use.
    Character,
    /// A character is mistyped: the checksum does not agree.
    Checksum,
    /// The bits left over at the end are not zero.
    Padding,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(error) => write!(f, "bad age header: {error}"),
            Self::NoMatch => f.write_str("sealed for another key"),
            Self::HeaderMac => f.write_str("the age header was altered"),
            Self::Payload(error) => write!(f, "bad age payload: {error}"),
            Self::OutOfMemory => OutOfMemory.fmt(f),
        }
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAge => f.write_str("not an age v1 file"),
            Self::Truncated => f.write_str("the file ends too early"),
            Self::TooLong => write!(f, "longer than {MAX_HEADER_LEN} bytes"),
            Self::TooManyStanzas => write!(f, "more than {MAX_STANZAS} stanzas"),
            Self::NoStanza => f.write_str("no stanza"),
            Self::Stanza(error) => error.fmt(f),
            Self::Recipient => f.write_str("a stanza has fields of the wrong number or length"),
            Self::LowOrder => f.write_str("a stanza has a share of low order"),
            Self::Footer => f.write_str("malformed mac line"),
        }
    }
}

impl fmt::Display for StanzaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arguments => "malformed stanza arguments",
            Self::Body => "malformed stanza body",
            Self::End => "a stanza does not end where it should",
        })
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the file ends too early",
            Self::Trailing => "the file goes on after its end",
            Self::Altered => "a chunk was altered, moved or cut off",
            Self::EmptyLastChunk => "the last chunk is empty",
        })
    }
}

impl fmt::Display for WrapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRecipient => f.write_str("no recipient to seal to"),
            Self::TooManyRecipients => write!(f, "more than {MAX_STANZAS} recipients"),
            Self::LowOrder => f.write_str("the public key is a point of low order"),
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prefix => "not a key of this type",
            Self::Length => "the key is too short or too long",
            Self::Case => "the key mixes upper and lower case",
            Self::Character => "the key has a character that no key has",
            Self::Checksum => "the key is mistyped",
            Self::Padding => "the key ends with stray bits",
        })
    }
}

impl std::error::Error for Error {}
impl std::error::Error for HeaderError {}
impl std::error::Error for StanzaError {}
impl std::error::Error for PayloadError {}
impl std::error::Error for WrapError {}
impl std::error::Error for KeyError {}

impl From<HeaderError> for Error {
    fn from(error: HeaderError) -> Self {
        Self::Header(error)
    }
}

impl From<PayloadError> for Error {
    fn from(error: PayloadError) -> Self {
        Self::Payload(error)
    }
}

impl From<OutOfMemory> for Error {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<StanzaError> for HeaderError {
    fn from(error: StanzaError) -> Self {
        Self::Stanza(error)
    }
}

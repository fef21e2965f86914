//! Unsealing: a stored message is taken apart, its signature verified, and only then opened. What is
//! unsigned or badly signed is not opened unless somebody says so.

use std::fmt;

use encodify::base64::LENIENT;

use crate::age::{self, Identity};
use crate::message::header::{self, Header};
use crate::message::mime;
use crate::secret::SecretBytes;
use crate::user::User;

use super::outer;
use super::payload::{self, UnpackError};
use super::signature::{self, Signature, SignatureError};
use super::site_key::Ring;
use super::summary::{self, Summary};

/// The two fields of a sealed message's header, taken apart and not believed yet.
#[derive(Debug)]
pub struct Head {
    signature: Result<Signature, SignatureError>,
    summary: Result<Option<Vec<u8>>, SignatureError>,
}

impl Head {
    /// Finds the two fields in a header block. Where there is not exactly one of each, nothing is to be
    /// believed, and [`Head::verify`] says so.
    pub fn parse(block: &[u8]) -> Self {
        let signature = only(block, signature::FIELD).and_then(Signature::parse);
        let summary = only(block, summary::FIELD)
            .and_then(|value| summary::from_field(value).map_err(|()| SignatureError::Malformed));
        Self { signature, summary }
    }

    /// The same, and what is there to be opened.
    ///
    /// # Errors
    /// What is wrong with the signature.
    pub fn into_verified(
        self,
        ring: &Ring,
        user: Option<&[User]>,
    ) -> Result<(Signature, Option<Vec<u8>>), SignatureError> {
        self.verify(ring, user)?;
        Ok((self.signature?, self.summary?))
    }

    /// Verifies that this site signed the summary, for one of the names if any are given.
    ///
    /// # Errors
    /// What is wrong with the signature.
    pub fn verify(&self, ring: &Ring, user: Option<&[User]>) -> Result<&Signature, SignatureError> {
        let signature = self.signature.as_ref().map_err(Clone::clone)?;
        signature.verify(ring)?;
        let summary = self.summary.as_ref().map_err(Clone::clone)?;
        if !signature.covers_summary(summary.as_deref()) {
            return Err(SignatureError::OtherSummary);
        }
        match user {
            Some(names) if !names.contains(&signature.user) => {
                Err(SignatureError::OtherUser(signature.user.clone()))
            }
            _ => Ok(signature),
        }
    }
}

/// A stored message of our outer form, taken apart and not believed yet.
#[derive(Debug)]
pub struct Outer {
    head: Head,
    body: Vec<u8>,
}

impl Outer {
    /// Takes `stored` apart: line ends CRLF or LF, with whatever fields the store has put on top.
    ///
    /// # Errors
    /// [`UnsealError::NotSealed`] where it is not of our form.
    pub fn parse(stored: &[u8]) -> Result<Self, UnsealError> {
        let skeleton = mime::skeleton(stored);
        let head = Head::parse(stored.get(skeleton.root.header.clone()).unwrap_or_default());
        let [_, body] = skeleton.root.children.as_slice() else {
            return Err(UnsealError::NotSealed);
        };
        let body_header = stored.get(body.header.clone()).unwrap_or_default();
        let kind = Header::parse(body_header).content_type().ok_or(UnsealError::NotSealed)?;
        if format!("{}/{}", kind.kind, kind.subtype) != outer::BODY_TYPE {
            return Err(UnsealError::NotSealed);
        }
        let encoded = stored.get(body.body.clone()).unwrap_or_default();
        let body = LENIENT.decode(encoded).map_err(|_| UnsealError::Damaged)?;
        Ok(Self { head, body })
    }

    /// What the signature says, right or wrong; `None` where there is none that can be read.
    pub fn claims(&self) -> Option<&Signature> {
        self.head.signature.as_ref().ok()
    }

    /// The sizes of the two age files in octets: summary, if there is one, and body.
    pub fn sealed_sizes(&self) -> (Option<usize>, usize) {
        let summary = self.head.summary.as_ref().ok().and_then(Option::as_ref);
        (summary.map(Vec::len), self.body.len())
    }

    /// The two fields, and the body's age file.
    pub fn into_parts(self) -> (Head, Vec<u8>) {
        (self.head, self.body)
    }

    /// Verifies that this site sealed both age files, for one of the names if any are given.
    ///
    /// # Errors
    /// What is wrong with the signature.
    pub fn verify(&self, ring: &Ring, user: Option<&[User]>) -> Result<&Signature, SignatureError> {
        let signature = self.head.verify(ring, user)?;
        if signature.covers_body(&self.body) {
            Ok(signature)
        } else {
            Err(SignatureError::OtherBody)
        }
    }
}

/// The value of the field `name`; two of them are one too many.
fn only<'a>(block: &'a [u8], name: &str) -> Result<&'a [u8], SignatureError> {
    let mut found = header::fields(block).filter(|field| field.is(name));
    let field = found.next().ok_or(SignatureError::Missing)?;
    if found.next().is_some() { Err(SignatureError::Doubled) } else { Ok(field.value) }
}

/// Whom to believe.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// Only what a key of the ring signed, for one of the names if any are given.
    Signed {
        /// The site's verification keys.
        ring: &'a Ring,
        /// The user's name and former names.
        user: Option<&'a [User]>,
    },
    /// Anybody who could seal for this key. The answer says that it is not verified; the message
    /// may be at most `max_bytes` long.
    Anybody {
        /// The site's verification keys, to tell what is wrong.
        ring: &'a Ring,
        /// The user's name and former names, for the same.
        user: Option<&'a [User]>,
        /// The largest original that is taken, in octets.
        max_bytes: u64,
    },
}

/// An original message, and whether the site vouches for it.
pub struct Unsealed {
    /// The original, byte for byte.
    pub message: SecretBytes,
    /// What was wrong with the signature, when anybody was to be believed.
    pub doubt: Option<SignatureError>,
}

/// Opens the sealed message `stored` with any of `keys`.
///
/// # Errors
/// Where it is not sealed, not to be believed, not for these keys, or damaged. No plaintext comes
/// out then.
pub fn unseal<I: Identity>(
    stored: &[u8],
    keys: &[I],
    trust: Trust<'_>,
) -> Result<Unsealed, UnsealError> {
    let outer = Outer::parse(stored)?;
    let (limit, exact, doubt) = match trust {
        Trust::Signed { ring, user } => {
            let size = outer.verify(ring, user)?.size;
            (size, Some(size), None)
        }
        Trust::Anybody { ring, user, max_bytes } => {
            let doubt = outer.verify(ring, user).err();
            (max_bytes, None, doubt)
        }
    };
    let packed = age::decrypt(keys, &outer.body)?;
    drop(outer);
    let message = payload::unpack(packed.expose(), limit)?;
    if exact.is_some_and(|size| size != message.len() as u64) {
        return Err(UnsealError::Damaged);
    }
    Ok(Unsealed { message, doubt })
}

/// Opens the summary of a sealed message with nothing but its header block, as a listing does:
/// `None` where it carries none. Never without a good signature.
///
/// # Errors
/// As [`unseal`].
pub fn open_summary<I: Identity>(
    block: &[u8],
    keys: &[I],
    ring: &Ring,
    user: Option<&[User]>,
) -> Result<Option<Summary>, UnsealError> {
    let head = Head::parse(block);
    head.verify(ring, user)?;
    let Some(file) = head.summary? else { return Ok(None) };
    let packed = age::decrypt(keys, &file)?;
    let encoded = payload::unpack(packed.expose(), summary::MAX_PLAIN_BYTES)?;
    Summary::decode(encoded.expose()).map(Some).ok_or(UnsealError::Damaged)
}

/// Why a message was not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnsealError {
    /// It is not of our outer form.
    NotSealed,
    /// It is not to be believed.
    Signature(SignatureError),
    /// It is sealed to another key.
    OtherKey,
    /// Its payload is not what was sealed.
    Damaged,
    /// The original would be larger than it says or than is taken.
    TooLarge,
    /// There is no memory for it.
    OutOfMemory,
}

impl From<SignatureError> for UnsealError {
    fn from(error: SignatureError) -> Self {
        Self::Signature(error)
    }
}

impl From<age::Error> for UnsealError {
    fn from(error: age::Error) -> Self {
        match error {
            age::Error::NoMatch => Self::OtherKey,
            _ => Self::Damaged,
        }
    }
}

impl From<UnpackError> for UnsealError {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::TooLarge => Self::TooLarge,
            UnpackError::Corrupt => Self::Damaged,
            UnpackError::OutOfMemory => Self::OutOfMemory,
        }
    }
}

impl fmt::Display for UnsealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSealed => f.write_str("not a sealed message"),
            Self::Signature(error) => write!(f, "sealed message not opened: {error}"),
            Self::OtherKey => f.write_str("sealed to another key than this one"),
            Self::Damaged => f.write_str("the sealed message is damaged"),
            Self::TooLarge => f.write_str("the original is larger than it may be"),
            Self::OutOfMemory => f.write_str("out of memory"),
        }
    }
}

impl std::error::Error for UnsealError {}

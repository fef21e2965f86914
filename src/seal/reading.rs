//! Reading many sealed messages with keys that are somebody else's: each is verified, then its stanzas are
//! collected, then it is opened with what was recovered for them.

use encodify::base64::LENIENT;

use crate::age::{self, Identity, Wrapped};
use crate::user::User;

use super::body::Body;
use super::open::{Head, Outer, UnsealError};
use super::payload;
use super::signature::Signature;
use super::site_key::Ring;
use super::summary::{self, Summary};

/// A sealed message whose signature is good.
#[derive(Debug)]
pub struct Reading {
    signature: Signature,
    summary: Option<Vec<u8>>,
    /// The body's age file, where it was fetched and is the one that was signed.
    body: Option<Vec<u8>>,
}

impl Reading {
    /// Begins with the header block alone, or with those two fields of it that count.
    ///
    /// # Errors
    /// Where this site did not seal it for one of the names.
    pub fn of_header(block: &[u8], ring: &Ring, names: &[User]) -> Result<Self, UnsealError> {
        let (signature, summary) = Head::parse(block).into_verified(ring, Some(names))?;
        Ok(Self { signature, summary, body: None })
    }

    /// Begins with the whole stored message.
    ///
    /// # Errors
    /// Where it is not of our form, or this site did not seal it for one of the names.
    pub fn of_stored(stored: &[u8], ring: &Ring, names: &[User]) -> Result<Self, UnsealError> {
        let (head, body) = Outer::parse(stored)?.into_parts();
        let (signature, summary) = head.into_verified(ring, Some(names))?;
        Self { signature, summary, body: None }.with_file(body)
    }

    /// Goes on with the body as it stands in its MIME part, in base64.
    ///
    /// # Errors
    /// Where it is not the one that was signed.
    pub fn with_body(self, encoded: &[u8]) -> Result<Self, UnsealError> {
        let body = LENIENT.decode(encoded).map_err(|_| UnsealError::Damaged)?;
        self.with_file(body)
    }

    fn with_file(mut self, body: Vec<u8>) -> Result<Self, UnsealError> {
        if !self.signature.covers_body(&body) {
            return Err(super::SignatureError::OtherBody.into());
        }
        self.body = Some(body);
        Ok(self)
    }

    /// Whether there is a summary: the body says the same, but it has to be opened for it.
    pub fn has_summary(&self) -> bool {
        self.summary.is_some()
    }

    /// Whether the body is there.
    pub fn has_body(&self) -> bool {
        self.body.is_some()
    }

    /// The exact size of the original, in octets.
    pub fn size(&self) -> u64 {
        self.signature.size
    }

    /// When it was sealed, in seconds since 1970.
    pub fn sealed_at(&self) -> u64 {
        self.signature.sealed_at
    }

    /// What has to be recovered for the summary.
    pub fn summary_keys(&self) -> Vec<Wrapped> {
        let file = self.summary.as_deref();
        file.and_then(|file| age::wrapped(file).ok()).unwrap_or_default()
    }

    /// What has to be recovered for the body.
    pub fn body_keys(&self) -> Vec<Wrapped> {
        let file = self.body.as_deref();
        file.and_then(|file| age::wrapped(file).ok()).unwrap_or_default()
    }

    /// Opens the summary; `None` where there is none, or where it is of a message of another size: the
    /// body, whose size is certain, tells then.
    ///
    /// # Errors
    /// As [`super::unseal`].
    pub fn open_summary<I: Identity>(&self, keys: &[I]) -> Result<Option<Summary>, UnsealError> {
        let Some(file) = &self.summary else { return Ok(None) };
        let packed = age::decrypt(keys, file)?;
        let encoded = payload::unpack(packed.expose(), summary::MAX_PLAIN_BYTES)?;
        let summary = Summary::decode(encoded.expose()).ok_or(UnsealError::Damaged)?;
        Ok((summary.size == self.signature.size).then_some(summary))
    }

    /// Finds the key of the body; `None` where it was not fetched. The sealed form goes with it. An original
    /// of more than `most` octets is not even begun.
    ///
    /// # Errors
    /// As [`super::unseal`].
    pub fn take_body<I: Identity>(
        &mut self,
        keys: &[I],
        most: u64,
    ) -> Result<Option<Body>, UnsealError> {
        let Some(file) = self.body.take() else { return Ok(None) };
        if self.signature.size > most {
            return Err(UnsealError::TooLarge);
        }
        Body::new(keys, file, self.signature.size).map(Some)
    }

    /// Takes the sealed form back.
    pub fn put_back(&mut self, body: Body) {
        self.body = Some(body.into_file());
    }
}

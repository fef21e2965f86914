//! The site's signature on a sealed message: one header field with both digests, so that a listing
//! verifies the summary without the body. It does not cover the outer header, which stores may
//! change.

use std::fmt;

use encodify::base64::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::user::User;

use super::labels;
use super::site_key::{KeyId, Ring, SealingKey};

/// The header field.
pub const FIELD: &str = "Nightsafe-Signature";

/// What the signature says of a sealed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The sealing key that made it.
    pub key: KeyId,
    /// The user it was sealed for.
    pub user: User,
    /// When it was sealed, in seconds since 1970.
    pub sealed_at: u64,
    /// The exact size of the original in octets.
    pub size: u64,
    /// SHA-256 of the summary's age file; `None` where the summary was too large.
    pub(super) summary: Option<[u8; 32]>,
    /// SHA-256 of the body's age file.
    pub(super) body: [u8; 32],
    bytes: [u8; 64],
}

impl Signature {
    pub(super) fn make(
        key: &SealingKey,
        user: &User,
        sealed_at: u64,
        size: u64,
        summary: Option<&[u8]>,
        body: &[u8],
    ) -> Self {
        let mut made = Self {
            key: key.id(),
            user: user.clone(),
            sealed_at,
            size,
            summary: summary.map(digest),
            body: digest(body),
            bytes: [0; 64],
        };
        made.bytes = key.sign(&made.signed_text());
        made
    }

    /// The text that is signed: the field itself up to its last tag.
    fn signed_text(&self) -> String {
        let encode = |digest: &[u8; 32]| STANDARD_NO_PAD.encode(digest);
        format!(
            "v=1; k={}; u={}; t={}; n={}; s={}; b={}",
            self.key,
            percent_encoded(self.user.as_str()),
            self.sealed_at,
            self.size,
            self.summary.as_ref().map_or_else(|| "none".to_owned(), encode),
            encode(&self.body),
        )
    }

    /// The value of the header field.
    pub(super) fn to_field(&self) -> String {
        format!("{}; sig={}", self.signed_text(), STANDARD_NO_PAD.encode(self.bytes))
    }

    /// Reads the value of the header field; folding and white space between the tags do not matter,
    /// their order does.
    pub(super) fn parse(value: &[u8]) -> Result<Self, SignatureError> {
        Self::parse_tags(value).ok_or(SignatureError::Malformed)
    }

    fn parse_tags(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let mut tags = text.split(';').map(str::trim);
        let mut tag = |name: &str| tags.next()?.strip_prefix(name)?.strip_prefix('=');
        if tag("v")? != "1" {
            return None;
        }
        let parsed = Self {
            key: tag("k")?.parse().ok()?,
            user: User::parse(&percent_decoded(tag("u")?)?).ok()?,
            sealed_at: number(tag("t")?)?,
            size: number(tag("n")?)?,
            summary: match tag("s")? {
                "none" => None,
                digest => Some(octets(digest)?),
            },
            body: octets(tag("b")?)?,
            bytes: octets(tag("sig")?)?,
        };
        tags.next().is_none().then_some(parsed)
    }

    /// Whether one of the site's keys made this signature.
    pub(super) fn verify(&self, ring: &Ring) -> Result<(), SignatureError> {
        let key = ring.get(self.key).ok_or(SignatureError::UnknownKey(self.key))?;
        let text = self.signed_text();
        let signature = ed25519_dalek::Signature::from_bytes(&self.bytes);
        key.verify_strict(&[labels::SIGNATURE, text.as_bytes()].concat(), &signature)
            .map_err(|_| SignatureError::Wrong)
    }

    /// Whether `body` is the age file that was signed.
    pub(super) fn covers_body(&self, body: &[u8]) -> bool {
        self.body == digest(body)
    }

    /// Whether `summary` is the age file that was signed, or both are missing.
    pub(super) fn covers_summary(&self, summary: Option<&[u8]>) -> bool {
        self.summary == summary.map(digest)
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn octets<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// Digits only: `parse` alone would take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Everything but the plainest characters as `%XX`, so that a user name cannot end its tag.
fn percent_encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@._+-".contains(&byte);
    let encode = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    name.bytes().map(encode).collect()
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (hex, rest) = piece.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// Why a message is not one that this site sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureError {
    /// There is no signature, or no summary field.
    Missing,
    /// There are two signatures or two summary fields.
    Doubled,
    /// A field is not of the form this version writes.
    Malformed,
    /// No key of the ring has the id it names.
    UnknownKey(KeyId),
    /// It is not by the key it names, or what it says was changed.
    Wrong,
    /// It is for another body.
    OtherBody,
    /// It is for another summary.
    OtherSummary,
    /// It is for another user.
    OtherUser(User),
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it is not signed, or has no summary"),
            Self::Doubled => f.write_str("it has two signatures or two summaries"),
            Self::Malformed => f.write_str("its signature is malformed"),
            Self::UnknownKey(id) => write!(f, "no key of this site signed it (key {id})"),
            Self::Wrong => f.write_str("its signature is wrong"),
            Self::OtherBody => f.write_str("its signature belongs to another body"),
            Self::OtherSummary => f.write_str("its signature belongs to another summary"),
            Self::OtherUser(user) => write!(f, "it was sealed for {user}"),
        }
    }
}

impl std::error::Error for SignatureError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(key: &SealingKey) -> Signature {
        let user = User::parse("jürgen müller; x=y@example.org").unwrap();
        Signature::make(key, &user, 1_795_000_000, 42, Some(b"summary"), b"body")
    }

    #[test]
    fn comes_back_through_folding() {
        let key = SealingKey::generate("s");
        let signature = made(&key);
        let folded = signature.to_field().replace("; ", ";\r\n\t ");
        let parsed = Signature::parse(folded.as_bytes()).unwrap();
        assert_eq!(parsed, signature);
        parsed.verify(&key.ring()).unwrap();
        assert!(parsed.covers_body(b"body") && !parsed.covers_body(b"bodY"));
        assert!(parsed.covers_summary(Some(b"summary")) && !parsed.covers_summary(None));
    }

    #[test]
    fn every_tag_is_signed() {
        let key = SealingKey::generate("s");
        let signature = made(&key);
        let changed: [fn(&mut Signature); 6] = [
            |s| s.user = User::parse("bob").unwrap(),
            |s| s.sealed_at += 1,
            |s| s.size += 1,
            |s| s.summary = None,
            |s| s.body[0] ^= 1,
            |s| s.bytes[0] ^= 1,
        ];
        for change in changed {
            let mut other = signature.clone();
            change(&mut other);
            assert_eq!(other.verify(&key.ring()), Err(SignatureError::Wrong));
        }
        let stranger = SealingKey::generate("t");
        assert_eq!(signature.verify(&stranger.ring()), Err(SignatureError::UnknownKey(key.id())));
    }

    #[test]
    fn malformed_fields() {
        let good = made(&SealingKey::generate("s")).to_field();
        for bad in [
            "".to_owned(),
            good.replace("v=1", "v=2"),
            good.replace("n=42", "n=+42"),
            format!("{good}; x=1"),
            good.replace("; t=", "; t=1; t="),
            good.replace("%", "%%"),
            good.replace("s=", "s=!"),
        ] {
            assert_eq!(Signature::parse(bad.as_bytes()), Err(SignatureError::Malformed), "{bad}");
        }
    }
}

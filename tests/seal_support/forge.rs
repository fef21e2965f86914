//! Sealed messages that a site signed and that are not what they say: made with the site's own sealing key,
//! which no sender has.

use std::path::Path;

use ed25519_dalek::{Signer as _, SigningKey};
use encodify::base64::{STANDARD, STANDARD_NO_PAD};
use minicbor::bytes::ByteVec;
use nightsafe::age::{self, PublicKey};
use nightsafe::seal::SealingKey;
use nightsafe::seal::payload::Packer;
use sha2::{Digest as _, Sha256};

/// A summary as it is encoded, whatever is in it.
#[derive(minicbor::Encode)]
pub struct Told {
    #[n(0)]
    pub version: u8,
    #[n(1)]
    pub size: u64,
    #[n(2)]
    pub header: ByteVec,
    #[n(3)]
    pub omitted: Vec<String>,
    #[n(4)]
    pub parts: Vec<ToldPart>,
    #[n(5)]
    pub preview: String,
}

#[derive(minicbor::Encode)]
pub struct ToldPart {
    #[n(0)]
    pub depth: u16,
    #[n(1)]
    pub header_at: u64,
    #[n(2)]
    pub header_len: u64,
    #[n(3)]
    pub body_len: u64,
    #[n(4)]
    pub lines: u64,
    #[n(5)]
    pub kind: u8,
    #[n(6)]
    pub header: ByteVec,
}

/// Who signs for whom.
pub struct Forger {
    signing: SigningKey,
    id: String,
    user: String,
    public: PublicKey,
}

impl Forger {
    /// With the files of a site.
    pub fn new(sealing_key: &Path, public: &Path, user: &str) -> Self {
        let text = std::fs::read_to_string(sealing_key).unwrap();
        let seed = text.lines().find_map(|line| line.strip_prefix("signing ")).unwrap();
        let seed: [u8; 32] = STANDARD.decode(seed).unwrap().try_into().unwrap();
        let public = std::fs::read_to_string(public).unwrap();
        Self {
            signing: SigningKey::from_bytes(&seed),
            id: SealingKey::load(sealing_key).unwrap().id().to_string(),
            user: user.to_owned(),
            public: public.lines().last().unwrap().parse().unwrap(),
        }
    }

    fn sealed(&self, plain: &[u8]) -> Vec<u8> {
        let packed = Packer::new().unwrap().pack(plain).unwrap();
        let mut file = Vec::new();
        age::encrypt(std::slice::from_ref(&self.public), packed.expose(), &mut file).unwrap();
        file
    }

    /// A stored message of `size` octets, as it says, with `body` in it.
    pub fn seal(&self, size: u64, summary: Option<&Told>, body: &[u8]) -> Vec<u8> {
        let summary = summary.map(|told| self.sealed(&minicbor::to_vec(told).unwrap()));
        let body = self.sealed(body);
        let digest = |file: &Vec<u8>| STANDARD_NO_PAD.encode(Sha256::digest(file));
        let text = format!(
            "v=1; k={}; u={}; t=1795000000; n={size}; s={}; b={}",
            self.id,
            self.user,
            summary.as_ref().map_or_else(|| "none".to_owned(), digest),
            digest(&body),
        );
        let signed = self.signing.sign(&[b"nightsafe/v1 signature\n", text.as_bytes()].concat());
        let summary = summary.map_or_else(|| "none".to_owned(), |file| folded(&file, "\r\n "));
        format!(
            "From: Sealed mail <sealed@example.org>\r\nSubject: Sealed message\r\n\
             MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\
             Nightsafe-Signature: {text}; sig={}\r\nSealed-Summary: {summary}\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\nSealed.\r\n--b\r\n\
             Content-Type: application/vnd.nightsafe.sealed\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\n",
            STANDARD_NO_PAD.encode(signed.to_bytes()),
            folded(&body, "\r\n"),
        )
        .into_bytes()
    }
}

fn folded(file: &[u8], between: &str) -> String {
    let digits = STANDARD.encode(file);
    let lines: Vec<&str> =
        digits.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join(between)
}

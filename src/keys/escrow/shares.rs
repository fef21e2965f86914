//! The private half of the recovery key split among officers: Shamir's secret sharing over GF(2⁸), each
//! octet by itself. Fewer shares than the threshold tell nothing about the key.
//!
//! The scheme itself has no integrity: an altered share makes another key. So each share names its set,
//! has a digest, and what comes out must belong to the public half.

use blahaj::{Share, Sharks};
use encodify::base64::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::age::{PublicKey, SecretKey};
use crate::secret::{self, Secret, SecretBytes};

use super::document::{Document, written};
use super::error::EscrowError;

const FORMAT: &str = "nightsafe-recovery-share/1";
const WHAT: &str = "share of a recovery key";

/// One officer's share, as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shared {
    format: String,
    /// Of this splitting.
    set: String,
    /// From 1: where the polynomials were evaluated.
    number: u8,
    of: u8,
    threshold: u8,
    /// The age recipient that belongs to the key.
    public: String,
    /// The values there.
    share: String,
    /// SHA-256 of all of the above, in hexadecimal: it finds slips, not forgers.
    digest: String,
}

impl Shared {
    fn digest(&self) -> String {
        let Self { format, set, number, of, threshold, public, share, .. } = self;
        let text = format!("{format}\n{set}\n{number}\n{of}\n{threshold}\n{public}\n{share}\n");
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether another is of the same splitting of the same key.
    fn belongs_to(&self, other: &Self) -> bool {
        (&self.set, self.of, self.threshold, &self.public)
            == (&other.set, other.of, other.threshold, &other.public)
    }
}

/// The files of `shares` shares of `key`, of which `threshold` make it.
///
/// # Errors
/// When these numbers make no sense.
pub fn split(key: &SecretKey, shares: u8, threshold: u8) -> Result<Vec<SecretBytes>, EscrowError> {
    if threshold < 2 || threshold > shares {
        return Err(EscrowError::BadNumbers);
    }
    let set = format!("{:016x}", u64::from_ne_bytes(secret::random_bytes()));
    let dealt = Sharks(threshold).dealer(key.expose());
    let files = dealt.zip(1..=shares).map(|(share, number)| {
        let bytes = SecretBytes::from(Vec::from(&share));
        let mut shared = Shared {
            format: FORMAT.to_owned(),
            set: set.clone(),
            number,
            of: shares,
            threshold,
            public: key.public_key().to_string(),
            // The first octet is the number.
            share: STANDARD.encode(bytes.expose().get(1..).unwrap_or_default()),
            digest: String::new(),
        };
        shared.digest = shared.digest();
        written(&shared)
    });
    Ok(files.collect())
}

/// The key that these shares make.
///
/// # Errors
/// When one is altered, of another set, or there twice; or when they are too few.
pub fn combine(files: &[Document]) -> Result<SecretKey, EscrowError> {
    let mut read: Vec<(&Document, Shared)> = Vec::new();
    for file in files {
        let shared = checked(file)?;
        if let Some((first, other)) = read.first()
            && !shared.belongs_to(other)
        {
            let (file, first) = (file.name.clone(), first.name.clone());
            return Err(EscrowError::OtherSet { file, first });
        }
        if let Some((first, _)) = read.iter().find(|(_, other)| other.number == shared.number) {
            let (file, first) = (file.name.clone(), first.name.clone());
            return Err(EscrowError::Twice { file, first });
        }
        read.push((file, shared));
    }
    let Some((first, one)) = read.first() else {
        return Err(EscrowError::TooFew { given: 0, needed: 2 });
    };
    let (given, needed) = (read.len(), usize::from(one.threshold));
    if given < needed {
        return Err(EscrowError::TooFew { given, needed });
    }
    let public: PublicKey = one.public.parse().map_err(|_| first.is_no(WHAT))?;
    let shares: Option<Vec<Share>> = read.iter().map(|(_, shared)| point(shared)).collect();
    let shares = shares.ok_or(EscrowError::ForgedShare)?;
    let scheme = Sharks(one.threshold);
    let secret = scheme.recover(&shares).ok().map(SecretBytes::from);
    let secret = secret.and_then(|secret| Secret::copy_of(secret.expose()));
    let key = secret.map(SecretKey::from_scalar_bytes).filter(|key| key.public_key() == public);
    key.ok_or(EscrowError::ForgedShare)
}

fn checked(file: &Document) -> Result<Shared, EscrowError> {
    let shared: Shared = file.read(FORMAT, WHAT)?;
    if shared.digest() != shared.digest {
        return Err(EscrowError::AlteredShare(file.name.clone()));
    }
    let Shared { number, of, threshold, .. } = shared;
    let sound = threshold >= 2 && (1..=of).contains(&number) && threshold <= of;
    if sound { Ok(shared) } else { Err(file.is_no(WHAT)) }
}

/// The share as the scheme has it: thirty-two values at one place.
fn point(shared: &Shared) -> Option<Share> {
    let values = SecretBytes::from(STANDARD.decode(&shared.share).ok()?);
    let mut bytes = SecretBytes::with_capacity(33);
    bytes.try_push(&[shared.number]).ok()?;
    bytes.try_push(values.expose()).ok()?;
    if bytes.len() == 33 { Share::try_from(bytes.expose()).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(files: &[SecretBytes]) -> Vec<Document> {
        let copy = |file: &SecretBytes| SecretBytes::from(file.expose().to_vec());
        let named = files.iter().zip(1..);
        named
            .map(|(file, number)| Document { name: format!("share-{number}"), bytes: copy(file) })
            .collect()
    }

    /// The same document with `with` put in, and a digest that fits.
    fn forged(file: &Document, with: impl FnOnce(&mut Shared)) -> Document {
        let mut shared: Shared = file.read(FORMAT, WHAT).unwrap();
        with(&mut shared);
        shared.digest = shared.digest();
        Document { name: file.name.clone(), bytes: written(&shared) }
    }

    #[test]
    fn every_threshold_of_shares_makes_the_key_and_no_fewer() {
        for (shares, threshold) in [(2, 2), (3, 2), (5, 3), (5, 5), (255, 2), (255, 255)] {
            let key = SecretKey::generate();
            let mut files = documents(&split(&key, shares, threshold).unwrap());
            assert_eq!(files.len(), usize::from(shares));
            assert_eq!(combine(&files).unwrap().expose(), key.expose());
            files.drain(..usize::from(shares - threshold));
            assert_eq!(combine(&files).unwrap().expose(), key.expose());
            files.pop();
            let (given, needed) = (files.len(), usize::from(threshold));
            assert_eq!(combine(&files).unwrap_err(), EscrowError::TooFew { given, needed });
        }
        assert_eq!(combine(&[]).unwrap_err(), EscrowError::TooFew { given: 0, needed: 2 });
        for (shares, threshold) in [(0, 0), (1, 1), (5, 1), (5, 0), (2, 3)] {
            let split = split(&SecretKey::generate(), shares, threshold);
            assert_eq!(split.unwrap_err(), EscrowError::BadNumbers, "{shares} {threshold}");
        }
    }

    /// One share fewer fits every key there is: each value of one octet is as likely as any other.
    #[test]
    fn shares_below_the_threshold_tell_nothing() {
        let key = SecretKey::generate();
        let mut seen = [0_u32; 256];
        for _ in 0..2560 {
            let share = Sharks(3).dealer(key.expose()).next().unwrap();
            seen[usize::from(Vec::from(&share)[1])] += 1;
        }
        let all = seen.iter().filter(|count| **count > 0).count();
        assert!(all > 250, "only {all} of 256 values of a share that must be uniform");
    }

    #[test]
    fn whoever_makes_a_share_up_is_noticed() {
        let key = SecretKey::generate();
        let files = documents(&split(&key, 3, 2).unwrap());
        let other = STANDARD.encode([7; 32]);
        let [short, long] = [31, 33].map(|len| STANDARD.encode(vec![7; len]));
        for share in [&other, &short, &long, "", "?"] {
            let made_up = forged(&files[0], |shared| shared.share = share.to_owned());
            let error = combine(&[made_up, forged(&files[1], |_| ())]).unwrap_err();
            assert_eq!(error, EscrowError::ForgedShare, "{share}");
        }
        // A lower threshold in all of them does not make one enough.
        let lower = |threshold| forged(&files[0], |shared| shared.threshold = threshold);
        let no_share = EscrowError::Malformed { file: "share-1".into(), what: WHAT };
        assert_eq!(combine(&[lower(1)]).unwrap_err(), no_share);
        assert_eq!(combine(&[lower(4)]).unwrap_err(), no_share);
        let zero = forged(&files[0], |shared| shared.number = 0);
        assert_eq!(combine(&[zero]).unwrap_err(), no_share);
        let other_key = SecretKey::generate().public_key().to_string();
        let renamed =
            [0, 1].map(|at| forged(&files[at], |shared| shared.public.clone_from(&other_key)));
        assert_eq!(combine(&renamed).unwrap_err(), EscrowError::ForgedShare);
    }
}

//! Bech32 (BIP 173) of 32 bytes: the text form of age's keys.
//!
//! The only payload it knows is a key, so every payload is treated as a secret one: nothing of it is
//! left in memory that is not wiped. It has no opinion on which prefixes exist.

use zeroize::Zeroizing;

use super::KeyError;
use crate::secret::Secret;

/// The character of each 5-bit value.
const CHARSET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// 32 bytes in 5-bit values, the last one with 4 bits of padding.
const DATA_LEN: usize = 52;
const CHECKSUM_LEN: usize = 6;

/// The text of `key`, in upper case if `prefix` has an upper-case letter.
pub(super) fn encode(prefix: &str, key: &[u8; 32]) -> String {
    let upper = is_upper(prefix);
    // Room for all of it, so that growing leaves no piece of a secret key behind.
    let mut text = String::with_capacity(prefix.len() + 1 + DATA_LEN + CHECKSUM_LEN);
    text.push_str(prefix);
    text.push('1');
    let mut checksum = Checksum::new(prefix);
    let mut put = |value: u8| {
        let character = CHARSET.get(usize::from(value & 31)).copied().map(char::from);
        let cased = |c: char| if upper { c.to_ascii_uppercase() } else { c };
        text.extend(character.map(cased));
    };
    let mut bits = Bits::default();
    for byte in key {
        bits.put(u16::from(*byte), 8);
        while let Some(value) = bits.take(5) {
            checksum.add(value);
            put(value);
        }
    }
    bits.put(0, 4);
    if let Some(value) = bits.take(5) {
        checksum.add(value);
        put(value);
    }
    checksum.symbols().into_iter().for_each(put);
    text
}

/// The key in `text`, which must begin with exactly `prefix`, case included.
///
/// # Errors
/// The first thing that is wrong with `text`.
pub(super) fn decode(prefix: &str, text: &str) -> Result<Secret<32>, KeyError> {
    let symbols = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('1'))
        .ok_or(KeyError::Prefix)?;
    if symbols.len() != DATA_LEN + CHECKSUM_LEN {
        return Err(KeyError::Length);
    }
    let upper = is_upper(prefix);
    let mut checksum = Checksum::new(prefix);
    let mut bits = Bits::default();
    let mut key = Zeroizing::new(Vec::with_capacity(32));
    for (at, symbol) in symbols.bytes().enumerate() {
        if symbol.is_ascii_alphabetic() && symbol.is_ascii_uppercase() != upper {
            return Err(KeyError::Case);
        }
        let value = value_of(symbol).ok_or(KeyError::Character)?;
        checksum.add(value);
        if at < DATA_LEN {
            bits.put(u16::from(value), 5);
            key.extend(bits.take(8));
        }
    }
    if !checksum.is_good() {
        return Err(KeyError::Checksum);
    }
    if bits.value != 0 {
        return Err(KeyError::Padding);
    }
    Secret::copy_of(&key).ok_or(KeyError::Length)
}

fn is_upper(prefix: &str) -> bool {
    prefix.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn value_of(symbol: u8) -> Option<u8> {
    let symbol = symbol.to_ascii_lowercase();
    let at = CHARSET.iter().position(|known| *known == symbol)?;
    u8::try_from(at).ok()
}

/// Bits on their way from groups of one size to groups of another; never more than 12 at a time.
#[derive(Default)]
struct Bits {
    value: u16,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u16, count: u32) {
        self.value = (self.value << count) | value;
        self.count += count;
    }

    fn take(&mut self, count: u32) -> Option<u8> {
        self.count = self.count.checked_sub(count)?;
        let group = self.value >> self.count;
        self.value &= (1 << self.count) - 1;
        u8::try_from(group).ok()
    }
}

/// The running BCH code of BIP 173.
struct Checksum(u32);

impl Checksum {
    fn new(prefix: &str) -> Self {
        let mut checksum = Self(1);
        let prefix = prefix.bytes().map(|byte| byte.to_ascii_lowercase());
        prefix.clone().for_each(|byte| checksum.add(byte >> 5));
        checksum.add(0);
        prefix.for_each(|byte| checksum.add(byte & 31));
        checksum
    }

    fn add(&mut self, value: u8) {
        const GENERATOR: [u32; 5] =
            [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
        let top = self.0 >> 25;
        self.0 = ((self.0 & 0x01ff_ffff) << 5) ^ u32::from(value);
        for (bit, generator) in GENERATOR.iter().enumerate() {
            if (top >> bit) & 1 == 1 {
                self.0 ^= generator;
            }
        }
    }

    fn is_good(&self) -> bool {
        self.0 == 1
    }

    /// The values that make the code good when they follow.
    fn symbols(mut self) -> [u8; CHECKSUM_LEN] {
        (0..CHECKSUM_LEN).for_each(|_| self.add(0));
        let code = self.0 ^ 1;
        [25, 20, 15, 10, 5, 0].map(|shift| u8::try_from((code >> shift) & 31).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // From the CCTV age vectors.
    const IDENTITY: &str =
        "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";
    const PREFIX: &str = "AGE-SECRET-KEY-";

    #[test]
    fn known_identity_round_trips() {
        let key = decode(PREFIX, IDENTITY).unwrap();
        assert_eq!(encode(PREFIX, key.expose()), IDENTITY);
    }

    #[test]
    fn prefix_must_agree() {
        for prefix in ["AGE-SECRET-KEY", "age-secret-key-", "AGE-SECRET-KEY-PQ-", "age"] {
            assert_eq!(decode(prefix, IDENTITY), Err(KeyError::Prefix), "{prefix}");
        }
        assert_eq!(decode(PREFIX, ""), Err(KeyError::Prefix));
    }

    #[test]
    fn case_must_not_mix() {
        let (head, tail) = IDENTITY.split_at(30);
        let mixed = format!("{head}{}", tail.to_lowercase());
        assert_eq!(decode(PREFIX, &mixed), Err(KeyError::Case));
        assert_eq!(decode(PREFIX, &IDENTITY.to_lowercase()), Err(KeyError::Prefix));
    }

    #[test]
    fn length_and_characters() {
        let longer = format!("{IDENTITY}Q");
        let shorter = IDENTITY.strip_suffix('0').unwrap();
        assert_eq!(decode(PREFIX, &longer), Err(KeyError::Length));
        assert_eq!(decode(PREFIX, shorter), Err(KeyError::Length));
        let foreign = IDENTITY.replace("EGTZ", "EBTZ");
        assert_eq!(decode(PREFIX, &foreign), Err(KeyError::Character));
    }

    #[test]
    fn padding_must_be_zero() {
        // 52 values whose last has its lowest bit set, with a checksum that agrees.
        let mut checksum = Checksum::new("age");
        (0..51).for_each(|_| checksum.add(0));
        checksum.add(1);
        let mut text = format!("age1{}p", "q".repeat(51));
        text.extend(checksum.symbols().map(|value| char::from(CHARSET[usize::from(value)])));
        assert_eq!(decode("age", &text), Err(KeyError::Padding));
    }

    proptest! {
        #[test]
        fn any_key_round_trips(key: [u8; 32]) {
            for prefix in ["age", PREFIX] {
                let text = encode(prefix, &key);
                let decoded = decode(prefix, &text).unwrap();
                prop_assert_eq!(decoded.expose(), &key);
            }
        }

        #[test]
        fn any_one_mistyped_character_is_found(key: [u8; 32], at in 0usize..58, by in 1usize..32) {
            let mut text = encode("age", &key).into_bytes();
            let value = usize::from(value_of(text[4 + at]).unwrap());
            text[4 + at] = CHARSET[(value + by) % 32];
            let text = String::from_utf8(text).unwrap();
            prop_assert_eq!(decode("age", &text), Err(KeyError::Checksum));
        }
    }
}

//! Printed codes: an app password or a recovery code, made here and never chosen by anybody. Typed with
//! or without its hyphens, in either case, with O for 0 and I or L for 1.
//!
//! ```text
//! app-3q7c-…        128 random bits and a checksum of 32
//! recovery-9wfk-…   160 random bits and a checksum of 40
//! ```
//!
//! The id of its slot follows from the code, so it is tried on that slot and on no other. Having so
//! many random bits it needs no Argon2.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::secret::{self, SecretBytes};

/// Crockford's base 32: no letter that looks like another character.
const SYMBOLS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Symbols between two hyphens.
const GROUP: usize = 4;
/// The longest that is looked at, in octets.
const MAX_TYPED_BYTES: usize = 128;

/// What a code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeKind {
    /// A login of one program or device.
    App,
    /// One use, when the password is lost.
    Recovery,
}

impl CodeKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Recovery => "recovery",
        }
    }

    /// Octets of the secret and of the checksum: a multiple of five, which is eight symbols.
    fn lengths(self) -> (usize, usize) {
        match self {
            Self::App => (16, 4),
            Self::Recovery => (20, 5),
        }
    }
}

/// A code. Wiped with the value.
#[derive(Debug)]
pub struct Code {
    kind: CodeKind,
    secret: SecretBytes,
}

impl Code {
    /// A new one.
    pub fn generate(kind: CodeKind) -> Self {
        let mut secret = SecretBytes::from(vec![0; kind.lengths().0]);
        secret::fill_random(secret.expose_mut());
        Self { kind, secret }
    }

    /// Reads what was typed; `None` for what is no code, or a mistyped one.
    pub fn parse(typed: &[u8]) -> Option<Self> {
        if typed.len() > MAX_TYPED_BYTES || !typed.is_ascii() {
            return None;
        }
        let written = typed.iter().filter(|byte| !matches!(byte, b'-' | b' '));
        let mut text = SecretBytes::with_capacity(MAX_TYPED_BYTES);
        for byte in written {
            text.try_push(&[byte.to_ascii_lowercase()]).ok()?;
        }
        [CodeKind::App, CodeKind::Recovery].into_iter().find_map(|kind| {
            let symbols = text.expose().strip_prefix(kind.prefix().as_bytes())?;
            let mut secret = decode(symbols)?;
            let (len, checksum_len) = kind.lengths();
            if secret.len() != len + checksum_len {
                return None;
            }
            let (body, found) = secret.expose().split_at_checked(len)?;
            let wanted = digest(kind, "checksum", body);
            if !bool::from(wanted.get(..checksum_len)?.ct_eq(found)) {
                return None;
            }
            secret.truncate(len);
            Some(Self { kind, secret })
        })
    }

    /// What it is for.
    pub fn kind(&self) -> CodeKind {
        self.kind
    }

    /// As it is printed, without a line end.
    pub fn to_text(&self) -> SecretBytes {
        let checksum = digest(self.kind, "checksum", self.secret.expose());
        let checksum = checksum.get(..self.kind.lengths().1).unwrap_or_default();
        let mut bytes = SecretBytes::with_capacity(MAX_TYPED_BYTES);
        let mut text = SecretBytes::with_capacity(MAX_TYPED_BYTES);
        // Both have room for the longest code.
        let _ = bytes.try_push(self.secret.expose()).and_then(|()| bytes.try_push(checksum));
        let _ = text.try_push(self.kind.prefix().as_bytes());
        let symbols = encode(bytes.expose());
        for group in symbols.expose().chunks(GROUP) {
            let _ = text.try_push(b"-").and_then(|()| text.try_push(group));
        }
        text
    }

    /// The id of its slot.
    pub(super) fn slot_id(&self) -> String {
        let digest = digest(self.kind, "slot", self.secret.expose());
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn expose(&self) -> &[u8] {
        self.secret.expose()
    }
}

fn digest(kind: CodeKind, purpose: &str, secret: &[u8]) -> [u8; 32] {
    let digest = Sha256::new().chain_update(format!("nightsafe/v1 {} code ", kind.prefix()));
    digest.chain_update(purpose).chain_update(b"\n").chain_update(secret).finalize().into()
}

/// Eight symbols for every five octets; what is less at the end is left out.
fn encode(bytes: &[u8]) -> SecretBytes {
    let mut symbols = SecretBytes::with_capacity(bytes.len() / 5 * 8);
    for chunk in bytes.chunks_exact(5) {
        let bits = chunk.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            let value = usize::try_from(bits >> (5 * place) & 31).unwrap_or_default();
            let _ = symbols.try_push(SYMBOLS.get(value).map_or(&[], std::slice::from_ref));
        }
    }
    symbols
}

/// `None` for what has no whole number of eight symbols, or something else among them.
fn decode(symbols: &[u8]) -> Option<SecretBytes> {
    if !symbols.len().is_multiple_of(8) {
        return None;
    }
    let mut bytes = SecretBytes::with_capacity(symbols.len() / 8 * 5);
    for chunk in symbols.chunks_exact(8) {
        let mut bits = 0_u64;
        for symbol in chunk {
            let symbol = match symbol {
                b'o' => b'0',
                b'i' | b'l' => b'1',
                other => *other,
            };
            let value = SYMBOLS.iter().position(|known| *known == symbol)?;
            bits = bits << 5 | u64::try_from(value).ok()?;
        }
        bytes.try_push(bits.to_be_bytes().get(3..)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(code: &Code) -> String {
        String::from_utf8(code.to_text().expose().to_vec()).unwrap()
    }

    #[test]
    fn what_is_printed_can_be_typed() {
        for (kind, len) in [(CodeKind::App, 3 + 8 * 5), (CodeKind::Recovery, 8 + 10 * 5)] {
            let code = Code::generate(kind);
            let printed = text(&code);
            assert_eq!(printed.len(), len, "{printed}");
            let shouted = printed.to_uppercase().replace('0', "O").replace('1', "l");
            for typed in [&printed, &printed.replace('-', ""), &printed.replace('-', " "), &shouted]
            {
                let read = Code::parse(typed.as_bytes()).unwrap();
                assert_eq!((read.kind(), read.expose()), (kind, code.expose()));
                assert_eq!(read.slot_id(), code.slot_id());
            }
        }
    }

    #[test]
    fn mistyped_ones_are_none() {
        for kind in [CodeKind::App, CodeKind::Recovery] {
            let printed = text(&Code::generate(kind)).into_bytes();
            let symbols = kind.prefix().len()..printed.len();
            for at in symbols.filter(|at| printed[*at] != b'-') {
                let mut typed = printed.clone();
                typed[at] = if typed[at] == b'7' { b'8' } else { b'7' };
                assert!(Code::parse(&typed).is_none(), "changed at {at}");
                typed.remove(at);
                assert!(Code::parse(&typed).is_none(), "cut at {at}");
            }
            assert!(Code::parse(&[&printed[..], b"7"].concat()).is_none());
            assert!(Code::parse(&printed[1..]).is_none());
        }
        for other in ["", "app", "app-", "recovery", "password", "äpp-", &"app".repeat(99)] {
            assert!(Code::parse(other.as_bytes()).is_none(), "{other}");
        }
    }

    #[test]
    fn one_kind_is_not_the_other() {
        let printed = text(&Code::generate(CodeKind::App));
        let other = printed.replace("app", "recovery");
        assert!(Code::parse(other.as_bytes()).is_none());
    }

    #[test]
    fn the_alphabet_is_crockfords() {
        let bytes = [0x00, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf];
        let symbols = encode(&bytes);
        assert_eq!(symbols.expose(), b"0123456789abcdef");
        assert_eq!(decode(symbols.expose()).unwrap().expose(), bytes);
        let rest = [0x84, 0x65, 0x3a, 0x56, 0xd7, 0xc6, 0x75, 0xbe, 0x77, 0xdf];
        assert_eq!(encode(&rest).expose(), b"ghjkmnpqrstvwxyz");
        let debug = format!("{:?}", Code { kind: CodeKind::App, secret: rest.to_vec().into() });
        assert_eq!(debug, "Code { kind: App, secret: SecretBytes(..) }");
    }
}

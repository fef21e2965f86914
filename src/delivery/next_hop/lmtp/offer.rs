//! What an LMTP server offers in its reply to LHLO (RFC 2033 §4.1, RFC 5321 §4.1.1.1).

use smtp_proto::{
    EXT_8BIT_MIME, EXT_AUTH, EXT_CHUNKING, EXT_ENHANCED_STATUS_CODES, EXT_PIPELINING, EXT_SIZE,
    EXT_SMTP_UTF8, EhloResponse,
};

/// An extension that nightsafe makes use of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// RFC 2920
    Pipelining,
    /// RFC 2034
    EnhancedStatusCodes,
    /// RFC 6152
    EightBitMime,
    /// RFC 6531
    SmtpUtf8,
    /// RFC 1870
    Size,
    /// RFC 3030
    Chunking,
    /// Cyrus' own: a recipient whose quota does not count.
    IgnoreQuota,
}

use Extension::{
    Chunking, EightBitMime, EnhancedStatusCodes, IgnoreQuota, Pipelining, Size, SmtpUtf8,
};

const EXTENSIONS: [(Extension, u32, &str); 7] = [
    (Pipelining, EXT_PIPELINING, "PIPELINING"),
    (EnhancedStatusCodes, EXT_ENHANCED_STATUS_CODES, "ENHANCEDSTATUSCODES"),
    (EightBitMime, EXT_8BIT_MIME, "8BITMIME"),
    (SmtpUtf8, EXT_SMTP_UTF8, "SMTPUTF8"),
    (Size, EXT_SIZE, "SIZE"),
    (Chunking, EXT_CHUNKING, "CHUNKING"),
    (IgnoreQuota, IGNORE_QUOTA, "IGNOREQUOTA"),
];
/// No bit of smtp-proto's.
const IGNORE_QUOTA: u32 = 1 << 31;

/// The extensions of one server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offer {
    extensions: u32,
    /// The largest message it takes, in octets; 0 when it names none.
    pub max_octets: u64,
}

impl Offer {
    /// Reads all lines of a reply to LHLO. What cannot be read is not offered.
    pub(super) fn parse(reply: &[u8]) -> Self {
        let mut offer = Self::default();
        if let Ok(offered) = EhloResponse::parse(&mut reply.iter()) {
            offer.extensions = offered.capabilities & !IGNORE_QUOTA;
            offer.max_octets = offered.size as u64;
        }
        // The parser knows the registered ones only.
        let words = reply.split(|octet| *octet == b'\n').filter_map(|line| line.get(4..));
        if words.map(<[u8]>::trim_ascii).any(|word| word.eq_ignore_ascii_case(b"IGNOREQUOTA")) {
            offer.extensions |= IGNORE_QUOTA;
        }
        offer
    }

    /// Whether the server has the extension.
    pub fn has(&self, extension: Extension) -> bool {
        EXTENSIONS.iter().any(|(known, bit, _)| *known == extension && self.extensions & bit != 0)
    }

    /// The largest message in octets that may be brought to a server that says this, of those up to
    /// `ours`.
    pub fn most(&self, ours: u64) -> u64 {
        if self.max_octets == 0 { ours } else { ours.min(self.max_octets) }
    }

    /// Whether it wants a login over this connection.
    pub fn has_auth(&self) -> bool {
        self.extensions & EXT_AUTH != 0
    }

    /// The names of what it offers.
    pub fn names(&self) -> Vec<&'static str> {
        let offered = EXTENSIONS.iter().filter(|(_, bit, _)| self.extensions & bit != 0);
        offered.map(|(_, _, name)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cyrus_and_dovecot() {
        let cyrus = b"250-mail.test\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-PIPELINING\r\n250-SIZE\r\n250-AUTH EXTERNAL\r\n250 IGNOREQUOTA\r\n";
        let offer = Offer::parse(cyrus);
        assert_eq!(
            offer.names(),
            ["PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME", "SIZE", "IGNOREQUOTA"]
        );
        let dovecot =
            b"250-mail\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-ENHANCEDSTATUSCODES\r\n250 PIPELINING\r\n";
        let offer = Offer::parse(dovecot);
        assert!(offer.has(Chunking) && !offer.has(Size) && !offer.has(IgnoreQuota));
        assert_eq!(Offer::parse(b"250-x\r\n250 SIZE 1000\r\n").max_octets, 1000);
        assert_eq!(Offer::parse(b"250 x\r\n"), Offer::default());
    }
}

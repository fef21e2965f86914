//! What an LMTP server offers in its reply to LHLO (RFC 2033 §4.1, RFC 5321 §4.1.1.1).

use smtp_proto::{
    AUTH_PLAIN, EXT_8BIT_MIME, EXT_CHUNKING, EXT_ENHANCED_STATUS_CODES, EXT_PIPELINING, EXT_SIZE,
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
    has_plain: bool,
}

impl Offer {
    /// Reads all lines of a reply to LHLO. What cannot be read is not offered.
    pub(super) fn parse(reply: &[u8]) -> Self {
        let mut offer = Self::default();
        if let Ok(offered) = EhloResponse::parse(&mut reply.iter()) {
            offer.extensions = offered.capabilities & !IGNORE_QUOTA;
            offer.has_plain = offered.auth_mechanisms & AUTH_PLAIN != 0;
        }
        // The parser knows the registered ones only, and no size beyond its own.
        for line in reply.split(|octet| *octet == b'\n').filter_map(|line| line.get(4..)) {
            let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            let Some(name) = words.next() else { continue };
            if name.eq_ignore_ascii_case(b"IGNOREQUOTA") {
                offer.extensions |= IGNORE_QUOTA;
            } else if name.eq_ignore_ascii_case(b"SIZE") {
                offer.max_octets = words.next().map_or(0, octets);
            }
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

    /// Whether it takes a name and a password over this connection (RFC 4616).
    pub fn has_plain(&self) -> bool {
        self.has_plain
    }

    /// The names of what it offers.
    pub fn names(&self) -> Vec<&'static str> {
        let offered = EXTENSIONS.iter().filter(|(_, bit, _)| self.extensions & bit != 0);
        offered.map(|(_, _, name)| *name).collect()
    }
}

/// A size; 0 for what is none. One beyond what can be counted limits nobody.
fn octets(word: &[u8]) -> u64 {
    if !word.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    std::str::from_utf8(word).ok().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)
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
        for (size, octets) in
            [("1000", 1000), ("", 0), (" x", 0), ("99999999999999999999999", u64::MAX)]
        {
            let offer = Offer::parse(format!("250-x\r\n250 SIZE {size}\r\n").as_bytes());
            assert_eq!((offer.has(Size), offer.max_octets), (true, octets), "{size}");
        }
        assert_eq!(Offer::parse(b"250 x\r\n"), Offer::default());
        for (of, has_plain) in
            [("AUTH EXTERNAL", false), ("AUTH CRAM-MD5", false), ("AUTH LOGIN PLAIN", true)]
        {
            let offer = Offer::parse(format!("250-x\r\n250 {of}\r\n").as_bytes());
            assert_eq!(offer.has_plain(), has_plain, "{of}");
        }
    }
}

//! The two stores, where they do not say the same: a mailbox of sealed and plain messages is told of in
//! one way.

/// Whose answers ours are like, in the few places where the servers differ for well-formed mail.
///
/// They search in two ways as well: Dovecot as RFC 5051 has it, where `munchen` is not `München`, and in
/// bodies alone for BODY, reports on deliveries among them. For Cyrus accents do not count, any white space
/// is as good as one space, and BODY looks at the header fields of the parts too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Cyrus: what stands in the message, and nothing else.
    Cyrus,
    /// Dovecot: it names the charset that a text has by default, and tidies the white space of subjects.
    Dovecot,
}

impl Manner {
    pub(super) fn names_default_charset(self) -> bool {
        self == Self::Dovecot
    }

    /// The place of an address that has no local part.
    pub(super) fn missing_local(self) -> &'static [u8] {
        match self {
            Self::Cyrus => b"",
            Self::Dovecot => b"MISSING_MAILBOX",
        }
    }

    /// The place of an address that has no domain.
    pub(super) fn missing_domain(self) -> &'static [u8] {
        match self {
            Self::Cyrus => b"unspecified-domain",
            Self::Dovecot => b"MISSING_DOMAIN",
        }
    }

    pub(super) fn subject(self, subject: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Cyrus => subject,
            Self::Dovecot => {
                let words = subject.split(|byte| matches!(byte, b' ' | b'\t'));
                let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
                words.join(&b' ')
            }
        }
    }
}

//! A site inside the process: it seals for one user and opens what was sealed.

use nightsafe::age::SecretKey;
use nightsafe::seal::{
    ClearHeaders, Draft, Fixed, Ring, SealingKey, Summary, Trust, UnsealError, Unsealed,
    open_summary, unseal,
};
use nightsafe::user::User;

/// When everything is sealed.
pub const NOW: u64 = 1_795_000_000;

pub struct Sealer {
    pub site: SealingKey,
    pub ring: Ring,
    pub key: SecretKey,
    pub user: User,
    pub fixed: Fixed,
}

pub fn user(name: &str) -> User {
    User::parse(name).unwrap()
}

impl Sealer {
    /// A new site with a new user.
    pub fn new() -> Self {
        Self::with_clear(&[])
    }

    /// The same, and these fields stay readable.
    pub fn with_clear(names: &[&str]) -> Self {
        let site = SealingKey::generate("0123456789abcdef");
        Self::with_keys(site, SecretKey::generate(), "alice@example.org", names)
    }

    pub fn with_keys(site: SealingKey, key: SecretKey, name: &str, clear: &[&str]) -> Self {
        let clear: Vec<String> = clear.iter().map(|name| (*name).to_owned()).collect();
        let fixed = Fixed {
            domain: "example.org".into(),
            from: "Sealed mail".into(),
            subject: "Sealed message".into(),
            notice: "This message is sealed: only its owner can read it.\r\n".into(),
            clear_headers: ClearHeaders::new(&clear).unwrap(),
        };
        Self { ring: site.ring(), site, key, user: user(name), fixed }
    }

    /// The stored form of `message`, with CRLF line ends.
    pub fn seal(&self, message: &[u8]) -> Vec<u8> {
        self.seal_for(message, &self.user, &self.key)
    }

    pub fn seal_for(&self, message: &[u8], user: &User, key: &SecretKey) -> Vec<u8> {
        let draft = Draft::new(message, &self.fixed.clear_headers, NOW).unwrap();
        let sealed = draft.seal_for(user, &key.public_key(), &self.site, &self.fixed).unwrap();
        let mut stored = Vec::new();
        sealed.write_to(&mut stored).unwrap();
        stored
    }

    pub fn keys(&self) -> &[SecretKey] {
        std::slice::from_ref(&self.key)
    }

    /// Opens what the site signed for the user.
    pub fn unseal(&self, stored: &[u8]) -> Result<Vec<u8>, UnsealError> {
        let names = [self.user.clone()];
        let trust = Trust::Signed { ring: &self.ring, user: Some(&names) };
        unseal(stored, self.keys(), trust).map(|unsealed| {
            assert_eq!(unsealed.doubt, None, "what is doubted must not be opened");
            unsealed.message.expose().to_vec()
        })
    }

    /// Opens whatever anybody sealed for the user's key.
    pub fn unseal_anything(&self, stored: &[u8]) -> Result<Unsealed, UnsealError> {
        let names = [self.user.clone()];
        let (ring, user) = (&self.ring, Some(&names[..]));
        unseal(stored, self.keys(), Trust::Anybody { ring, user, max_bytes: 1 << 30 })
    }

    /// The summary, with nothing but the header block.
    pub fn summary(&self, block: &[u8]) -> Result<Option<Summary>, UnsealError> {
        let names = [self.user.clone()];
        open_summary(block, self.keys(), &self.ring, Some(&names))
    }
}

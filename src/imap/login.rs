//! The two halves of a login: user name and password (RFC 3501 §6.2.3, RFC 4616).

use std::fmt;

use encodify::base64::{LENIENT, STANDARD};

use crate::secret::SecretBytes;

use super::refusal::Refusal;
use super::token::Cursor;

/// The longest user name and the longest password, in octets.
const MAX_BYTES: usize = 1024;

/// Who logs in, and with what.
pub struct Credentials {
    /// The login name, as it was typed.
    pub user: String,
    /// The password.
    pub password: SecretBytes,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?}, ..)", self.user)
    }
}

impl Credentials {
    /// # Errors
    /// Where it cannot be a login.
    pub fn new(user: &[u8], password: &[u8]) -> Result<Self, Refusal> {
        let bad = |text: &'static str| Refusal::no_code("AUTHENTICATIONFAILED", text);
        let is_text = |text: &[u8]| memchr::memchr3(0, b'\r', b'\n', text).is_none();
        if user.is_empty() || user.len() > MAX_BYTES || password.len() > MAX_BYTES {
            return Err(bad("user name or password are empty or too long"));
        }
        if !is_text(user) || !is_text(password) {
            return Err(bad("there is a control character in user name or password"));
        }
        let user = std::str::from_utf8(user).map_err(|_| bad("the user name is not UTF-8"))?;
        Ok(Self { user: user.to_owned(), password: password.to_vec().into() })
    }

    /// From the arguments of LOGIN.
    ///
    /// # Errors
    /// What the client is answered.
    pub fn of_login(arguments: &[u8]) -> Result<Self, Refusal> {
        let mut at = Cursor::new(arguments);
        let user = at.astring()?;
        at.space()?;
        let password = SecretBytes::from(at.astring()?.into_owned());
        at.end()?;
        Self::new(&user, password.expose())
    }

    /// From the message of SASL PLAIN (RFC 4616 §2), in base64. Who wants to be somebody else than he logs
    /// in as is refused: keys open for their owner only.
    ///
    /// # Errors
    /// What the client is answered.
    pub fn of_plain(encoded: &[u8]) -> Result<Self, Refusal> {
        let message = decode(encoded)?;
        let mut parts = message.expose().splitn(3, |byte| *byte == 0);
        let (Some(acts_as), Some(user), Some(password)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::bad("not a message of SASL PLAIN"));
        };
        if !acts_as.is_empty() && acts_as != user {
            let text = "nobody can log in here as somebody else";
            return Err(Refusal::no_code("AUTHORIZATIONFAILED", text));
        }
        Self::new(user, password)
    }

    /// The message of SASL PLAIN, in base64.
    pub fn to_plain(&self) -> SecretBytes {
        let mut message = SecretBytes::with_capacity(self.user.len() + self.password.len() + 2);
        let pieces = [&b"\0"[..], self.user.as_bytes(), b"\0", self.password.expose()];
        // There is room for all of it.
        let _ = pieces.iter().try_for_each(|piece| message.try_push(piece));
        SecretBytes::from(STANDARD.encode(message.expose()).into_bytes())
    }
}

/// What a client says in base64.
///
/// # Errors
/// Where it is none.
pub fn decode(encoded: &[u8]) -> Result<SecretBytes, Refusal> {
    if encoded == b"=" {
        return Ok(SecretBytes::from(Vec::new()));
    }
    let decoded = LENIENT.decode(encoded).map_err(|_| Refusal::bad("not base64"))?;
    Ok(decoded.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins() {
        let login = Credentials::of_login(b"alice {5}\r\na b\"c").unwrap();
        assert_eq!((login.user.as_str(), login.password.expose()), ("alice", &b"a b\"c"[..]));
        assert_eq!(format!("{login:?}"), "Credentials(\"alice\", ..)");
        let again = Credentials::of_plain(login.to_plain().expose()).unwrap();
        assert_eq!((again.user.as_str(), again.password.expose()), ("alice", &b"a b\"c"[..]));
        let plain = |message: &[u8]| Credentials::of_plain(STANDARD.encode(message).as_bytes());
        assert!(plain(b"alice\0alice\0x").is_ok());
        for bad in [&b"bob\0alice\0x"[..], b"alice\0x", b"", b"\0\0x", b"\0a\0x\0y", b"\0a\0x\n"] {
            assert!(plain(bad).is_err());
        }
        assert!(Credentials::of_plain(b"!!").is_err());
        assert!(Credentials::of_login(b"alice").is_err());
    }
}

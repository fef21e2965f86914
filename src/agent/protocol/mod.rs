//! What is said on the agent's socket: frames of a length, a version and a CBOR body (RFC 8949), each
//! request answered by one reply. Sans I/O: who reads and writes are the client and the server.
//!
//! No message can carry a private key. What can be sent at most is named here.

mod reply;
mod request;

use std::fmt;

use minicbor::decode::Decoder;
use minicbor::encode::Encoder;
use minicbor::{Decode, Encode};

use crate::keys::kdf::MAX_PASSWORD_BYTES;
use crate::secret::{OutOfMemory, SecretBytes};

pub use reply::{Reply, UserStatus};
pub use request::{Password, Request};

/// The version of the protocol, the first octet of every frame.
pub const VERSION: u8 = 1;
/// The octets of a frame's length, which counts what follows it (big-endian).
pub const LENGTH_BYTES: usize = 4;
/// A stanza in a batch: the X25519 share, then the wrapped file key with its tag.
pub const STANZA_BYTES: usize = 64;
/// What a stanza is answered with: 1 and the content key, or 0 and zeros where no key of the user
/// opens it.
pub const ANSWER_BYTES: usize = 17;
/// The most stanzas in one request.
pub const MAX_STANZAS: usize = 16_384;
/// The longest login name in octets.
pub const MAX_NAME_BYTES: usize = 1024;
/// The longest frame of a request other than a batch, in octets after the length.
pub const MAX_SMALL_BYTES: usize = 2 * MAX_PASSWORD_BYTES + MAX_NAME_BYTES + 64;
/// The longest frame of any request, in octets after the length.
pub const MAX_REQUEST_BYTES: usize = MAX_STANZAS * STANZA_BYTES + MAX_NAME_BYTES + 64;
/// The longest frame of a reply, in octets after the length.
pub const MAX_REPLY_BYTES: usize = 1024 * 1024;
/// The most users that one `Status` tells of.
pub const MAX_STATUS_USERS: usize = 500;

/// Names a staged password change.
pub type ChangeId = [u8; 16];

/// Reads a frame's length from its first four octets.
///
/// # Errors
/// Where it is longer than `most` or empty.
pub fn frame_length(head: [u8; LENGTH_BYTES], most: usize) -> Result<usize, ProtocolError> {
    match usize::try_from(u32::from_be_bytes(head)) {
        Ok(0) => Err(ProtocolError::Malformed),
        Ok(length) if length <= most => Ok(length),
        _ => Err(ProtocolError::TooLong),
    }
}

/// Where a frame is written: wiped with all that it carried.
struct Frame(SecretBytes);

impl minicbor::encode::Write for Frame {
    type Error = OutOfMemory;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
        self.0.try_push(bytes)
    }
}

fn frame(message: &impl Encode<()>, most: usize) -> Result<SecretBytes, ProtocolError> {
    let mut encoder = Encoder::new(Frame(SecretBytes::with_capacity(256)));
    let out = encoder.writer_mut();
    let begun = out.0.try_push(&[0; LENGTH_BYTES]).and_then(|()| out.0.try_push(&[VERSION]));
    begun.map_err(|OutOfMemory| ProtocolError::OutOfMemory)?;
    encoder.encode(message).map_err(|_| ProtocolError::OutOfMemory)?;
    let Frame(mut bytes) = encoder.into_writer();
    let length = bytes.len() - LENGTH_BYTES;
    if length > most {
        return Err(ProtocolError::TooLong);
    }
    let head = u32::try_from(length).map_err(|_| ProtocolError::TooLong)?.to_be_bytes();
    for (place, octet) in bytes.expose_mut().iter_mut().zip(head) {
        *place = octet;
    }
    Ok(bytes)
}

fn body<'b, T: Decode<'b, ()>>(frame: &'b [u8]) -> Result<T, ProtocolError> {
    match frame.split_first() {
        Some((&VERSION, body)) => {
            let mut decoder = Decoder::new(body);
            let message = decoder.decode().map_err(|_| ProtocolError::Malformed)?;
            let is_all = decoder.position() == body.len();
            if is_all { Ok(message) } else { Err(ProtocolError::Malformed) }
        }
        Some((&other, _)) => Err(ProtocolError::Version(other)),
        None => Err(ProtocolError::Malformed),
    }
}

/// A frame that is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolError {
    /// Something in it is longer than it may be.
    TooLong,
    /// It is of this version of the protocol.
    Version(u8),
    /// It is no message of the protocol.
    Malformed,
    /// There is no memory for it.
    OutOfMemory,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("a message of the agent's protocol is too long"),
            Self::Version(version) => {
                write!(f, "version {version} of the agent's protocol; this is {VERSION}")
            }
            Self::Malformed => f.write_str("not a message of the agent's protocol"),
            Self::OutOfMemory => f.write_str("out of memory"),
        }
    }
}

impl std::error::Error for ProtocolError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(request: &Request<'_>) -> SecretBytes {
        let frame = request.to_frame().unwrap();
        let head = *frame.expose().first_chunk().unwrap();
        let length = frame_length(head, MAX_REQUEST_BYTES).unwrap();
        assert_eq!(length + LENGTH_BYTES, frame.len());
        frame.expose()[LENGTH_BYTES..].to_vec().into()
    }

    #[test]
    fn what_is_sent_arrives() {
        let stanzas = vec![7; MAX_STANZAS * STANZA_BYTES];
        let password = Password(b"a long \0 secret");
        for request in [
            Request::Unlock { user: "a", password, confirmed: true, hold: false, reader: Some(7) },
            Request::Lease { user: "a", reader: None },
            Request::Recover { user: "a", stanzas: &stanzas },
            Request::Lock { user: None },
            Request::Status { user: Some("a"), after: "" },
            Request::Stage { user: "a", old: password, new: Password(b"") },
            Request::Commit { id: [1; 16] },
            Request::Abort { id: [2; 16] },
            Request::App { user: "a", password },
            Request::Enroll { user: "a", password },
        ] {
            let frame = sent(&request);
            assert_eq!(Request::parse(frame.expose()), Ok(request));
            assert!(!format!("{request:?}").contains("long"));
        }
        let status = UserStatus { user: "a".into(), unlocked: Some(1), ..UserStatus::default() };
        for reply in [
            Reply::Unlocked { names: vec!["a".into()], notices: vec!["b".into()] },
            Reply::Wrong,
            Reply::Busy { seconds: 3 },
            Reply::Keys(vec![1; MAX_STANZAS * ANSWER_BYTES].into()),
            Reply::Staged { id: [3; 16] },
            Reply::Status { users: vec![status; MAX_STATUS_USERS], more: true },
        ] {
            let frame = reply.to_frame().unwrap();
            assert_eq!(Reply::parse(&frame.expose()[LENGTH_BYTES..]), Ok(reply));
        }
    }

    #[test]
    fn limits_hold() {
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        let password = vec![b'x'; MAX_PASSWORD_BYTES + 1];
        let stanzas = vec![0; (MAX_STANZAS + 1) * STANZA_BYTES];
        for request in [
            Request::Lease { user: &long, reader: None },
            Request::Status { user: None, after: &long },
            Request::App { user: "a", password: Password(&password) },
            Request::Stage { user: "a", old: Password(b""), new: Password(&password) },
            Request::Recover { user: "a", stanzas: &stanzas },
        ] {
            assert_eq!(request.to_frame().unwrap_err(), ProtocolError::TooLong);
            let unchecked = frame(&request, usize::MAX).unwrap();
            let parsed = Request::parse(&unchecked.expose()[LENGTH_BYTES..]);
            assert_eq!(parsed, Err(ProtocolError::TooLong));
        }
        let half = Request::Recover { user: "a", stanzas: &[0; 63] };
        assert_eq!(half.to_frame().unwrap_err(), ProtocolError::Malformed);
        assert_eq!(frame_length([0; 4], 10), Err(ProtocolError::Malformed));
        assert_eq!(frame_length([0, 0, 0, 11], 10), Err(ProtocolError::TooLong));
        assert_eq!(frame_length([255; 4], MAX_REQUEST_BYTES), Err(ProtocolError::TooLong));
    }

    #[test]
    fn nonsense_is_refused() {
        let good = sent(&Request::Lease { user: "a", reader: None });
        let mut other = good.expose().to_vec();
        other[0] = 2;
        assert_eq!(Request::parse(&other), Err(ProtocolError::Version(2)));
        let more = [good.expose(), b"x"].concat();
        for bytes in [&b""[..], &good.expose()[..3], &more, &[VERSION, 0xff, 0xff]] {
            assert_eq!(Request::parse(bytes), Err(ProtocolError::Malformed), "{bytes:?}");
        }
        // More than a small request may be, hidden in a field that nobody knows.
        let mut padded = Encoder::new(Frame(SecretBytes::default()));
        let lease = padded.array(2).unwrap().u8(1).unwrap().array(3).unwrap();
        let lease = lease.str("a").unwrap().null().unwrap();
        lease.bytes(&vec![0; MAX_SMALL_BYTES]).unwrap();
        let padded = [&[VERSION], padded.into_writer().0.expose()].concat();
        assert_eq!(Request::parse(&padded), Err(ProtocolError::TooLong));
    }
}

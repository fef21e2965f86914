//! Every domain-separation label of the sealed message, in one place: no two uses of a key may ever
//! hash the same bytes.

/// What the site's Ed25519 key signs begins with this.
pub(super) const SIGNATURE: &[u8] = b"nightsafe/v1 signature\n";
/// The keyed hash behind an outer Message-ID begins with this.
pub(super) const MESSAGE_ID: &[u8] = b"nightsafe/v1 message-id\n";
/// … where the message has an id of its own.
pub(super) const OWN_ID: &[u8] = b"id\0";
/// … where it has none, and its digest stands in.
pub(super) const NO_ID: &[u8] = b"digest\0";

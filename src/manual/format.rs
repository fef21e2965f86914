//! The sealed message, for whoever reads or writes one without this crate.
//!
//! # Outside
//!
//! An ordinary message (RFC 5322), `multipart/mixed` with two parts: a notice for people without a key,
//! and `application/vnd.nightsafe.sealed` in base64, the body. From and Subject are the site's fixed
//! text, To is `undisclosed-recipients:;`, Date is the original's in UTC rounded down to the minute. The
//! Message-ID is a keyed hash of the user and the original's id, so that a message delivered twice has
//! the same one and nobody outside can tell which message it was.
//!
//! Stores may put fields on top and may turn CRLF into LF. Nothing else may change.
//!
//! # The body
//!
//! One binary age file (age-encryption.org/v1) with one X25519 recipient: the user. Its payload is
//! the original message in zstd frames (RFC 8878), then one skippable frame of zeros that pads the whole
//! to a Padmé size. So stock tools give the original back, byte for byte:
//!
//! ```text
//! base64 -di part2 | age -d -i identity.txt | zstd -d > original.eml
//! ```
//!
//! # `Sealed-Summary`
//!
//! Always there, always the last header field: a second age file to the same user in base64, or `none`.
//! Its payload is packed like the body's and holds one CBOR array (RFC 8949), all about the original:
//!
//! | index | content |
//! |---|---|
//! | 0 | version, 1 |
//! | 1 | size in octets |
//! | 2 | the header block as it stands, its empty line included, without the fields named next |
//! | 3 | names of bulky fields that were left out, in lower case |
//! | 4 | the parts, the message itself first, each before its children |
//! | 5 | the beginning of the text, decoded, at most 200 characters |
//!
//! A part is an array too: depth, offset of its header, length of its header, length of its body (which
//! follows the header at once), line ends in its body, kind (0 other, 1 multipart, 2 message, 3 text),
//! and its header block as it stands (empty for the message itself).
//!
//! # `Nightsafe-Signature`
//!
//! `v=1; k=…; u=…; t=…; n=…; s=…; b=…; sig=…`, in this order, folded anywhere between tags:
//!
//! | tag | content |
//! |---|---|
//! | `k` | the sealing key: the first 8 octets of the SHA-256 of its public half, in hexadecimal |
//! | `u` | the user, everything but `A-Za-z0-9@._+-` as `%XX` |
//! | `t` | when it was sealed, in seconds since 1970 |
//! | `n` | the original's exact size in octets; it bounds decompression |
//! | `s` | SHA-256 of the summary's age file in base64 without padding, or `none` |
//! | `b` | SHA-256 of the body's age file, likewise |
//! | `sig` | Ed25519 (RFC 8032) over `nightsafe/v1 signature`, a line feed, and the text up to `; sig` with `; ` between the tags |
//!
//! There is exactly one of each of the two fields, or the message is not opened. What is not signed by a
//! key of the site's ring, for the user who reads, is not opened either unless somebody insists.

//! The key record, for whoever reads or writes one without this crate.
//!
//! One JSON object (RFC 8259) for each user, in a file of the user's name:
//!
//! | member | content |
//! |---|---|
//! | `record` | all that the MAC covers |
//! | `renamed` | names the user bore later, the present one last |
//! | `mac` | HMAC-SHA-256 (RFC 2104), in base64, of `record` without any white space, members in the order of these tables |
//!
//! `record` has:
//!
//! | member | content |
//! |---|---|
//! | `format` | `nightsafe-record/1` |
//! | `user` | the name at enrolment, to which everything sealed is bound |
//! | `version` | counts the writes from 1 |
//! | `keys` | private keys, newest first: `generation` (from 1), `created`, `public` (an age recipient), `sealed` |
//! | `slots` | see below |
//! | `notices` | what the user is to be told at the next login: `at`, `event`; not there when empty |
//!
//! Times are in seconds since 1970. A slot has `id` (16 hexadecimal digits), `kind`, `state`, `created`,
//! `name` (of an app password only), `kdf`, `public` (an age recipient), `stanza` and `root`:
//!
//! | `kind` | `kdf` | `state` |
//! |---|---|---|
//! | `password` | `argon2id`: `memory_kib`, `passes`, `lanes`, `salt`, `pepper` (its id) | `active`, and at most one each `pending` and `retiring` |
//! | `app`, `recovery` | `hkdf`: `salt` | `active` |
//! | `escrow`, `provisional` | `site-key` | `active` |
//!
//! # From a secret to the private keys
//!
//! `derive(key, purpose)` is 32 octets of HKDF-SHA-256 (RFC 5869) of `key`, without a salt, with the info
//! `nightsafe-record/1 ` and then the purpose. LF is a line feed.
//!
//! 1. A password gives 32 octets by Argon2id (RFC 9106) with the salt and the pepper as the secret value K.
//!    A printed code gives the PRK of HKDF-SHA-256's first step with the salt and the code's random bits.
//! 2. `derive` of these, for `slot key` LF user LF slot id, is the X25519 scalar whose public half is the slot's
//!    `public`. A site key is that scalar already.
//! 3. It opens `stanza`, an age stanza (C2SP `age.md`), which gives a content key of 16 octets. `derive` of that, for
//!    `root key`, opens `root`: the root key, 32 octets, followed by the user's name in an `escrow` slot.
//! 4. `derive` of the root key, for `private keys`, opens each `sealed`: an X25519 scalar. `derive` of the root
//!    key, for `record mac`, is the key of the MAC.
//!
//! `root` and `sealed` are base64 of a random nonce of 24 octets and XChaCha20-Poly1305; the associated
//! data are `nightsafe-record/1` LF user LF item LF public half, where the item is the slot's id, or `key `
//! and the generation.
//!
//! # Printed codes
//!
//! `app-` or `recovery-`, then random bits and a checksum in Crockford's base 32, in groups of four: 16 and 4
//! octets, or 20 and 5. The checksum is the beginning of the SHA-256 of `nightsafe/v1 app code checksum` (or
//! `recovery`) LF and the random bits; with `slot` for `checksum`, its first 8 octets are the slot's id.
//!
//! # The public half
//!
//! A file for `age -R`: a comment `# nightsafe public key of USER, generation N, record V`, and the age
//! recipient. `V` is the version of the record that it was published with.

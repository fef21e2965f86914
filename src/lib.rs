//! Mail sealed for its owner the moment it is delivered, readable only after the owner logs in.
//!
//! This map is where to begin reading. The contract behind it, in prose: [`manual::format`],
//! [`manual::record`], [`manual::threats`], [`manual::failure`].
//!
//! # The ways
//!
//! A message's way in, from the MTA to the mail store, by a pipe transport or by LMTP:
//!
//! ```text
//! cli::deliver → delivery::pipe ┐
//!                               ├→ delivery → user → keys::public → seal::Draft → age → delivery::next_hop
//! cli::lmtp    → delivery::lmtp ┘
//! ```
//!
//! A message's way out, from the mail store to its owner, on the command line and through a mail client:
//!
//! ```text
//! cli::unseal → seal::Outer → seal::Ring ┬→ lifecycle::unlock ──────────────────────────┬→ seal::unseal → age → standard output
//!                                        └→ agent::identity → agent::client ⇄ agent::vault ┘
//!
//! client → imap::proxy::connection → session → fetch ┬→ backend (the store) → imap::fetch → batch → seal::Reading ─┬→ show → imap::view → client
//!                                              search ┘                                     ↓                      │   search → client
//!                                                                    lease ⇄ agent → agent::identity::Recovered ───┘
//! ```
//!
//! And what a client stores himself: `imap::proxy::append → delivery::own → seal::Draft → backend`.
//!
//! A key's way, from a password to the private key and back to rest:
//!
//! ```text
//! cli::{enroll, passwd, slot, rotate, recovery} → lifecycle → keys::record → keys::slot ⇄ keys::{kdf, code, site_secrets}
//!                                                               ↓
//!                                                          keys::change → keys::files → disk
//! ```
//!
//! A login's way, and a password change's, from the system to the unlocked key:
//!
//! ```text
//! libpam → pam::ffi → pam → agent::client ⇄ agent → lifecycle → keys
//!                                             ↓
//!                                        agent::vault → last lease → wiped
//! ```
//!
//! The way back by the officers, where the site has a recovery key and the password is lost:
//!
//! ```text
//! on the server    cli::escrow → lifecycle::escrow → keys::escrow::Blob ┐    ┌→ keys::escrow::Answer → lifecycle::escrow → keys::change
//! by the officers  cli::escrow → keys::escrow::{unlock, combine}        → open
//! ```
//!
//! # The layers
//!
//! Modules use only what stands below them, and `tests/layers.rs` keeps them so. The modules of one
//! layer do not know each other.
//!
//! | layer | modules |
//! |---|---|
//! | 7 | [`cli`]: one file for each command, and how each ends |
//! | 6 | [`imap`]: the proxy that mail clients read through |
//! | 5 | [`delivery`]: pipe, LMTP service, policy, next hops, outcomes · [`pam`]: logins and password changes of the system |
//! | 4 | [`agent`]: unlocked keys in memory, and who asks for what they open |
//! | 3 | [`lifecycle`]: set-up, enrolment, logins, passwords, slots, rotation, recovery, accounts |
//! | 2 | [`seal`]: the sealed message · [`keys`]: records and public halves · [`config`] · [`service`]: what every daemon needs |
//! | 1 | [`age`]: the file format · [`mod@line`]: commands on the wire · [`message`]: headers, MIME skeleton, line ends · [`user`]: names |
//! | 0 | [`secret`]: what is wiped · [`sys`]: files, processes, sockets, the clock · [`log`]: every line there is · [`fault`]: for tests |
//!
//! # What must hold
//!
//! * Nothing is reported as delivered before the next hop has it; what is not known is deferred.
//! * Plaintext is never written to a file, and no secret to a log, an argument or the environment.
//! * [`delivery`] can name no secret key, no key record and no secret of the site.
//! * A private key never leaves [`agent`]'s vault: what goes out are content keys.
//! * What takes a secret away from somebody makes new keys: no removed secret opens later mail.
//! * [`age`], [`mod@line`], [`message`], [`user`], [`agent::protocol`] and all of [`imap`] but its proxy do no I/O and read no clock; only
//!   [`log`] writes log lines, and [`pam`] those of its hosts; only [`cli`] and [`delivery::outcome`]
//!   choose exit statuses.
//! * Only [`pam::ffi`] has unsafe code.
//! * Whatever is read from outside has a limit, named where it is read, and can cause no panic.
#![deny(unsafe_code)]
#![deny(missing_docs, unreachable_pub, rust_2018_idioms)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::dbg_macro,
    clippy::todo
)]

pub mod manual;

pub mod cli;

pub mod imap;

pub mod delivery;
pub mod pam;

pub mod agent;

pub mod lifecycle;

pub mod config;
pub mod keys;
pub mod seal;
pub mod service;

pub mod age;
pub mod line;
pub mod message;
pub mod user;

pub mod fault;
pub mod log;
pub mod secret;
pub mod sys;

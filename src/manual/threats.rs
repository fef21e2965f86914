//! What sealed mail is safe from, and what not.
//!
//! | attacker | who was logged out since before | who logs in meanwhile |
//! |---|---|---|
//! | has the disk, a backup, an old drive | learns sizes, times, flags, folder names, whose mailbox it is; can delete, replay, roll back, and forge with the sealing key | the same |
//! | … and the pepper was on it | guesses passwords, one Argon2id run of 64 MiB a guess | the same |
//! | … and later learns a password that the copied record still takes | that user's mail up to the copy, and later mail until the keys are rotated | the same |
//! | … and the provisional key was on it | mail of whoever has never logged in, until the first login | the same |
//! | … and has the recovery key, or enough shares of it (escrow, off by default) | all mail of everybody who has the slot, also later mail | the same |
//! | has fewer shares of the recovery key than it takes | nothing | nothing |
//! | carries a recovery blob or its answer | nothing; can put his own one-time key there, which the officers compare by telephone | the same |
//! | runs as the delivery user | mail as it arrives; can forge; nothing stored before | the same |
//! | runs as the mail store's user | nothing stored; passwords that pass through its login | passwords, so their mail |
//! | runs as a user who may read at the agent | content of who is unlocked; never a private key | the same |
//! | is root on the live machine | mail as it arrives | all mail of whoever unlocks, for good |
//!
//! Everything of a message is sealed: body, attachments, every header field. `[seal] clear_headers` can
//! keep named fields readable; the default keeps none.
//!
//! What was freed is wiped in every process of nightsafe; a message is in the memory of delivery only
//! while it is on its way.
//!
//! The agent's memory holds private keys while somebody reads, and a little longer: locked, left out of
//! core dumps, wiped. What is staged for a password change holds the user's root key in the same way, ten
//! minutes at most.
//! A password is there while it is tried; after that only a MAC of it, under a key that ends with the agent.
//!
//! Never claimed: hiding sizes, times, flags, folder names, the MTA's own queue and log; noticing that
//! mail was deleted or rolled back; safety from a root that stays.
//!
//! Decisions behind this:
//!
//! * The private key is random and locked under the password; the password is not the key. So a password
//!   change rewrites one small slot and no mail.
//! * A copy of a record cannot be told that a password changed. So whatever takes a secret away from
//!   somebody (a slot removed, a recovery code used, the end of a provisional account, `rotate`) makes a
//!   new root key and a new key pair; a password change by itself does not.
//! * An app password opens the mail and cares for no keys: what a stolen phone knows cannot make another
//!   slot, and removing its own ends it.
//! * The recovery key opens one user's root key at a time, far from the server, for a one-time key of the
//!   server. The name is sealed inside the slot, so nobody can have one user's keys opened by the name of
//!   another; and the officers see it before they answer. Notices of its use are under the record's MAC.
//! * Delivery signs what it seals. Anybody can seal to a public key; without the signature, whoever can
//!   write into the store could show the owner mail that never arrived.

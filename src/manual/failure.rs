//! What happens to a message when something fails.
//!
//! | outcome | exit status | LMTP reply | text begins | when |
//! |---|---|---|---|---|
//! | sealed | 0 | 250 | `2.0.0` | the next hop accepted the sealed message |
//! | passed | 0 | 250 | `2.0.0` | policy says that this recipient's mail is not sealed, and the next hop accepted it |
//! | deferred | 75 | 450, 451, 452 | `4.` | anything unknown: no key yet, the key directory unreadable or not mounted, the next hop down, no memory, wrong arguments, a wrong configuration, a panic, a caller that died |
//! | rejected | 67, 69 | 550, 552, 554 | `5.` | the next hop refused it for good, it is too large, or policy refuses it |
//!
//! `nightsafe lmtp` answers for each recipient by itself, and closes the connection with 421, or without
//! a word, where there is nothing to answer for: the MTA tries again. One whose store closed the
//! connection after the end of the data does not know whether it has the letter; neither does anybody
//! else, so the recipient is deferred, and the next try has the same outer Message-ID.
//!
//! Postfix' pipe(8) bounces on every other status, and on a panic's 101: so those must not occur.
//! Killed by a signal, or out of memory in an allocation, the process dies without a status, and Postfix
//! defers.
//!
//! * **The key directory is not mounted.** Each key folder has a marker that names its site. Without it
//!   everything is deferred, whatever the policy for people without keys: an empty folder is not a site
//!   without users.
//! * **The MTA dies while it hands a message over.** End of file then means nothing. The caller is looked
//!   for before anything is handed on; a message cut short would be stored, and the whole one refused as
//!   its duplicate.
//! * **The store closes a connection, or restarts.** One that fails before an octet of the letter is on
//!   its way is replaced by a new one, once; after that the recipient is deferred. One that does not even
//!   greet in time is not asked again for the message's other recipients: all of them are deferred.
//! * **Keys or policy change while a message is handed over.** Each recipient's key is looked up again
//!   when the last look was half a second ago. Whose mail is not to be sealed any more is deferred: the
//!   message is not there in the clear any more. What is passed as it came is decided once more when the
//!   store says that it wants the data, by the configuration of then; whoever has keys by then gets nothing in the clear, and all who
//!   share that hand-over are deferred.
//! * **There is no memory.** All messages in hand share one budget. The client is not read from while
//!   there is none left for its message, and answered 452 when that takes too long.
//! * **The service is told to stop.** Transactions in hand are finished, other clients are told 421, and
//!   so is one that has begun and sends no further command for three seconds.
//! * **A crash while keys are written.** Records are replaced in one step. At each moment the old or the
//!   new secret unlocks, and no other slot is touched. A public key appears only when its private record is durable; an
//!   enrolment that was interrupted before is finished by running it again, a rotation by the next login.
//! * **A crash between the keys and the login password.** Keys come first: both passwords unlock until a
//!   login that the backend confirmed shows which one it took. Neither a commit nor an abort that was
//!   lost needs anybody's help.
//! * **The agent is dead, stands still, or somebody else is at its socket.** Delivery has no use for it.
//!   Logins go on, bounded in time, and say that sealed mail stays sealed. A restarted agent holds nobody's
//!   keys: everybody logs in again.
//! * **The agent is away when a mail client logs in, or the keys are diverged.** The client is logged in and
//!   sees its mailboxes; to open one says NO [UNAVAILABLE], with the reason as an ALERT. Content is never
//!   answered with the outer message meanwhile: clients keep what they see under a number for ever.
//! * **The keys go while a client reads.** Its connection ends with BYE, and what was opened is wiped.
//! * **The store goes while a client reads.** The connection ends with BYE: half an answer is none.
//! * **A client stores a message and nothing can be sealed.** It is refused, not stored in the clear; so is
//!   what is to go into a mailbox that others read.
//! * **A client is gone in the middle of a message.** Nothing of it was sent to the store.
//! * **A message is damaged, unsigned or somebody else's.** It is shown as it is stored.
//! * **A reader is killed.** Its lease was its connection, which the kernel closes.
//! * **The agent is killed in a password change.** What was staged is lost with it, and in the record: both
//!   passwords unlock until a confirmed login settles it.
//! * **The agent can lock no more memory.** No key comes into memory that could be swapped: that user is
//!   told so, the others stay unlocked.
//! * **More logins at once than there is memory for Argon2.** They wait, a bounded number of them for a
//!   bounded time; who comes then is told when to come again.
//! * **The login password is reset without the keys.** They are *diverged*: mail keeps arriving sealed,
//!   the login is good, and the old password or a recovery code brings the two together. Nothing is
//!   destroyed.
//! * **Two changes of one user's keys at once.** One wins, the other changes nothing and says so. A staged
//!   password that loses to a rotation still unlocks, and a login with it ends the matter.
//! * **A record or a public key is restored from an older copy.** Both carry the generation of the key
//!   pair, the public half also which write of the record it knows. `check`, `list` and logins name the
//!   older one. Nothing rotates on an older record, and mail goes on being sealed to the newer key.
//! * **`[keys] after_write` fails.** A new user's public key is not published, so nothing is sealed to a
//!   key that was not replicated; a changed password is taken back.
//! * **The pepper is lost.** No login password unlocks anything. App passwords, recovery codes, the
//!   recovery key and age identities printed by `nightsafe identity` still do.
//! * **A recovery by the officers is interrupted.** The export has changed no key, and another one takes its
//!   place. The answer is good until the new password is in the record; a one-time key that a crash left
//!   opens an answer that fits no record any more.
//! * **The recovery key is lost.** That way back is, and nothing else. Logins drop the slot of a key that the
//!   site has no more.
//! * **The provisional key is lost.** Who has not logged in yet loses the mail so far. `setup` refuses to
//!   make a new key while somebody waits for it.
//! * **Nothing can be written at a login.** It is good all the same; what it would have settled is settled
//!   by a later one.
//! * **The sealing key is lost.** Sealed mail stays readable with the ring. `setup` refuses to make a new
//!   one while there are users.

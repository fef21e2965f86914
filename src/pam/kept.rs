//! What is kept in a PAM transaction from one hook to the next.

use std::path::PathBuf;
use std::time::Duration;

use crate::agent::client::Client;
use crate::agent::protocol::ChangeId;
use crate::secret::SecretBytes;

/// What the module keeps in the host's handle; it goes with the handle, or sooner.
#[derive(Debug, Default)]
pub struct Kept {
    /// The password, from `auth` to whoever needs it first.
    pub(super) password: Option<Carried>,
    /// Whose keys a password of this login has unlocked. Whoever got in by another way, such as a key
    /// of ssh's, does not get at mail that a login elsewhere has unlocked.
    pub(super) unlocked: Option<String>,
    /// Whether the agent did not answer in this login: nobody waits for it a second time.
    pub(super) is_agent_away: bool,
    /// The lease of the session.
    pub(super) lease: Option<Client>,
    /// The password change that is staged and not yet committed.
    pub(super) staged: Option<Staged>,
}

/// A password that was accepted, on its way through the stack. PAM shows it in `auth` only.
#[derive(Debug)]
pub(super) struct Carried {
    /// Whose.
    pub(super) user: String,
    /// The password.
    pub(super) password: SecretBytes,
    /// Whether it is the login password, which only the site's own check can know.
    pub(super) is_login: bool,
}

/// A staged change, and who has it.
#[derive(Debug)]
pub(super) struct Staged {
    /// Its name.
    pub(super) id: ChangeId,
    /// Whose password changes.
    pub(super) user: String,
    /// The agent's socket.
    pub(super) socket: PathBuf,
    /// Whom the agent may run as.
    pub(super) trusted: Vec<u32>,
    /// How long one question may take.
    pub(super) timeout: Duration,
}

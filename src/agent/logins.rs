//! A login at the agent: who is known is let in at once; for anybody else there is a turn, a wait for
//! who guesses, a place before Argon2, and then the record.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::{sleep, timeout};

use crate::fault;
use crate::keys::code::Code;
use crate::keys::error::UnlockError;
use crate::keys::files::DirectoryError;
use crate::keys::notice::Notice;
use crate::lifecycle::error::LoginError;
use crate::lifecycle::login::{Login, login};

use crate::log;
use crate::secret::SecretBytes;
use crate::sys::clock;
use crate::user::User;

use super::Agent;
use super::gate::{NoRun, Run};
use super::guesses::UnderWay;
use super::known::Facts;
use super::protocol::Reply;
use super::tags::Tag;
use super::turns::Turn;
use super::vault::{Found, Keys, Lease, Proof};

/// Marks the tags of attempts that the site's login has accepted: they can do more.
const CONFIRMED: &str = "confirmed";

/// One attempt to log in.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) user: User,
    pub(super) password: SecretBytes,
    /// Whether the site's login has accepted this very password.
    pub(super) confirmed: bool,
    /// Who asks.
    pub(super) peer: u32,
    /// Who may read when it is right.
    pub(super) readers: Vec<u32>,
    /// Whether somebody who is known is let in without a look at the record.
    pub(super) may_be_quick: bool,
}

impl Attempt {
    /// Whether it is a printed code, such as an app password.
    pub(super) fn is_code(&self) -> bool {
        Code::parse(self.password.expose()).is_some()
    }
}

/// A login that went well.
#[derive(Debug)]
pub(super) struct LoggedIn {
    /// A lease for as long as the reply is not sent, at least.
    pub(super) lease: Lease,
    /// What the user is to be told.
    pub(super) notices: Vec<String>,
}

/// What is known without Argon2.
pub(super) enum Quick {
    /// The password was right before.
    Known(LoggedIn),
    /// Nothing.
    New(Facts, Tag),
}

/// An attempt that may be made.
pub(super) enum Admitted {
    /// It need not be: the password was right before.
    Known(LoggedIn),
    /// On what is known of the record.
    Trial(Facts, Trial),
}

/// What an attempt holds while Argon2 runs.
pub(super) struct Trial {
    /// What to remember it by when it is wrong.
    pub(super) tag: Tag,
    _turn: Turn,
    _guess: Option<UnderWay>,
    _run: Option<Run>,
}

impl Agent {
    /// Logs in. Whatever it answers instead is the reply.
    pub(super) async fn log_in(self: &Arc<Self>, attempt: Attempt) -> Result<LoggedIn, Reply> {
        let attempt = Arc::new(attempt);
        match self.admit(&attempt).await? {
            Admitted::Known(logged_in) => Ok(logged_in),
            // Whoever hangs up now does not take the lesson back: a wrong password is noted all the
            // same.
            Admitted::Trial(facts, trial) => {
                self.blocking(move |agent| agent.try_password(&attempt, &facts, trial)).await
            }
        }
    }

    /// Waits until the attempt may be made.
    pub(super) async fn admit(self: &Arc<Self>, attempt: &Arc<Attempt>) -> Result<Admitted, Reply> {
        let (mut facts, tag) = match self.quick(attempt).await? {
            Quick::Known(logged_in) => return Ok(Admitted::Known(logged_in)),
            Quick::New(facts, tag) => (facts, tag),
        };
        let taken = timeout(self.patience, self.turns.take(&tag)).await.ok().flatten();
        let Some((turn, somebody_tried)) = taken else { return Err(busy(1)) };
        if somebody_tried {
            match self.quick(attempt).await? {
                Quick::Known(logged_in) => return Ok(Admitted::Known(logged_in)),
                Quick::New(now, _) => facts = now,
            }
        }
        // Nobody guesses a printed code, and none costs Argon2.
        let (mut guess, mut run) = (None, None);
        if !attempt.is_code() {
            if !attempt.confirmed {
                guess = Some(self.wait_as_guess(attempt).await?);
            }
            let entered = self.gate.enter(facts.memory_kib, attempt.confirmed).await;
            run = Some(entered.map_err(|problem| no_run(&attempt.user, &problem))?);
        }
        Ok(Admitted::Trial(facts, Trial { tag, _turn: turn, _guess: guess, _run: run }))
    }

    pub(super) async fn quick(self: &Arc<Self>, attempt: &Arc<Attempt>) -> Result<Quick, Reply> {
        let attempt = Arc::clone(attempt);
        self.blocking(move |agent| agent.look_up(&attempt)).await
    }

    fn look_up(&self, attempt: &Attempt) -> Result<Quick, Reply> {
        let (user, password) = (&attempt.user, attempt.password.expose());
        let facts = match self.known.look(&self.keys, user) {
            Ok(Some(facts)) => facts,
            Ok(None) => {
                if self.vault.lock(user) {
                    log::agent_locked(user, "the user was removed");
                }
                return Err(Reply::NoKeys);
            }
            Err(error) => return Err(unavailable(user, &error)),
        };
        let is_right = |proof: &Proof| {
            let tag = self.boot.tag(user, facts.version, &proof.slot, password);
            (tag == proof.tag) & (proof.confirmed | !attempt.confirmed)
        };
        let now = Instant::now();
        if attempt.may_be_quick
            && let Some(lease) = self.vault.prove(user, facts.file, is_right, &attempt.readers, now)
        {
            return Ok(Quick::Known(LoggedIn { lease, notices: Vec::new() }));
        }
        let mark = if attempt.confirmed { CONFIRMED } else { "" };
        let tag = self.boot.tag(user, facts.version, mark, password);
        if self.guesses.is_known(user, &tag, now) {
            let is_diverged = attempt.confirmed && !attempt.is_code();
            return Err(if is_diverged { Reply::Diverged } else { Reply::Wrong });
        }
        Ok(Quick::New(facts, tag))
    }

    /// The place and the time that a guess has to wait for.
    async fn wait_as_guess(&self, attempt: &Attempt) -> Result<UnderWay, Reply> {
        let Some(guess) = self.guesses.begin(&attempt.user, attempt.peer) else {
            return Err(busy(1));
        };
        sleep(self.guesses.delay(&attempt.user, Instant::now())).await;
        Ok(guess)
    }

    fn try_password(
        &self,
        attempt: &Attempt,
        facts: &Facts,
        trial: Trial,
    ) -> Result<LoggedIn, Reply> {
        let (user, password) = (&attempt.user, attempt.password.expose());
        self.metrics.trials.inc();
        fault::point("login");
        // Before there is anything to put in. A login may make one more.
        let no_memory = |cause| no_memory(user, &cause);
        let mut keys = Keys::reserve(facts.keys + 1).map_err(no_memory)?;
        let confirmed = attempt.confirmed;
        let done =
            login(&self.keys, user, password, &self.current().secrets, confirmed, clock::now());
        let Login { record, unlocked, notices, problem } =
            done.map_err(|error| self.refused(attempt, &trial.tag, error))?;
        keys.fill(&unlocked.keys).map_err(no_memory)?;
        let slot = unlocked.slot().to_owned();
        drop(unlocked);
        self.guesses.right(user);
        self.known.agrees(user, problem);
        if confirmed {
            self.known.diverged(user, false);
        }
        // The login itself may have written, or somebody else: only what was unlocked is remembered.
        let now = self.known.look(&self.keys, user).ok().flatten();
        let now = now.filter(|now| now.version == record.version());
        let proof = now.map(|now| Proof {
            tag: self.boot.tag(user, now.version, &slot, password),
            slot,
            confirmed,
        });
        let found = Found {
            keys,
            names: record.all_names(),
            file: now.unwrap_or(*facts).file,
            proof,
            readers: attempt.readers.clone(),
        };
        let lease = self.vault.put(user, found, Instant::now(), clock::now());
        log::agent_unlocked(user, attempt.peer);
        Ok(LoggedIn { lease, notices: notices.iter().map(told).collect() })
    }

    /// The answer to a login that failed. A wrong password is remembered.
    pub(super) fn refused(&self, attempt: &Attempt, tag: &Tag, error: LoginError) -> Reply {
        let user = &attempt.user;
        let is_wrong = match &error {
            LoginError::Diverged(_) => {
                self.known.diverged(user, true);
                true
            }
            LoginError::Unlock { cause, .. } => {
                matches!(cause, UnlockError::WrongPassword | UnlockError::NoPassword)
            }
            LoginError::Begun(_) => true,
            _ => false,
        };
        if is_wrong {
            self.guesses.wrong(user, tag.clone(), Instant::now());
            log::agent_wrong(user, attempt.peer);
        }
        match error {
            LoginError::Diverged(_) => Reply::Diverged,
            _ if is_wrong => Reply::Wrong,
            LoginError::Directory(DirectoryError::Unknown(_)) => Reply::NoKeys,
            LoginError::NotTheLoginPassword(_)
            | LoginError::PrintedCode
            | LoginError::MistypedCode => Reply::Refused { reason: error.to_string() },
            error => unavailable(user, &error),
        }
    }
}

/// A notice as a sentence with its time (RFC 3339, UTC).
fn told(notice: &Notice) -> String {
    let at = i64::try_from(notice.at).unwrap_or(i64::MAX);
    format!("{}: {}", mail_parser::DateTime::from_timestamp(at).to_rfc3339(), notice.event)
}

pub(super) fn busy(seconds: u32) -> Reply {
    Reply::Busy { seconds }
}

pub(super) fn no_run(user: &User, problem: &NoRun) -> Reply {
    match problem {
        NoRun::Busy(seconds) => busy(*seconds),
        NoRun::TooLarge => {
            unavailable(user, &"the key record asks for more memory than [agent] argon2_runs allow")
        }
    }
}

/// There is nowhere to put a key that is never swapped.
pub(super) fn no_memory(user: &User, cause: &std::io::Error) -> Reply {
    unavailable(user, &format!("no more memory can be locked (LimitMEMLOCK): {cause}"))
}

/// Cannot be done; the postmaster is told why.
pub(super) fn unavailable(user: &User, reason: &dyn std::fmt::Display) -> Reply {
    log::agent_unavailable(user, reason);
    Reply::Unavailable { reason: reason.to_string() }
}

//! Password changes around the site's own, enrolment at login, and app passwords.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::timeout;

use crate::config::Operation;
use crate::keys::code::{Code, CodeKind};
use crate::keys::files::DirectoryError;
use crate::keys::kdf::Cost;
use crate::lifecycle::enroll::enroll;
use crate::lifecycle::error::LoginError;
use crate::lifecycle::passwd;

use crate::log;
use crate::sys::clock;

use super::Agent;
use super::changes::Root;
use super::logins::{Admitted, Attempt, Quick, busy, no_memory, no_run, unavailable};
use super::protocol::{ChangeId, Password, Reply};
use super::requests::{copy, unlocked};

/// Marks the turn of an enrolment.
const ENROLMENT: &str = "enrolment";

impl Agent {
    /// Before the login password is changed: a slot for the new one. The old one is a guess like any.
    pub(super) async fn stage(
        self: &Arc<Self>,
        uid: u32,
        user: &str,
        old: Password<'_>,
        new: Password<'_>,
    ) -> Result<Reply, Reply> {
        self.permit(uid, Operation::Change)?;
        let new = copy(new)?;
        let attempt = Arc::new(Attempt {
            user: self.user(user)?,
            password: copy(old)?,
            confirmed: false,
            peer: uid,
            readers: Vec::new(),
            may_be_quick: false,
        });
        let Admitted::Trial(_, trial) = self.admit(&attempt).await? else { return Err(busy(1)) };
        self.blocking(move |agent| {
            let (user, old) = (&attempt.user, attempt.password.expose());
            let now = clock::now();
            // Before there is anything to put in.
            let root = Root::reserve().map_err(|cause| no_memory(user, &cause))?;
            let staged =
                passwd::stage(&agent.keys, user, old, new.expose(), &agent.current().secrets, now)
                    .map_err(|error| agent.refused(&attempt, &trial.tag, error))?;
            agent.guesses.right(user);
            let kept = agent.changes.keep(staged, root, uid, Instant::now());
            let id = kept.map_err(|staged| {
                // Whatever is in the way of that: the next confirmed login settles it.
                let _ = passwd::abort(&agent.keys, staged);
                busy(60)
            })?;
            log::agent_changed(user, "staged", uid);
            Ok(Reply::Staged { id })
        })
        .await
    }

    /// After the login password was changed, or was not.
    pub(super) async fn settle(
        self: &Arc<Self>,
        uid: u32,
        id: ChangeId,
        is_done: bool,
    ) -> Result<Reply, Reply> {
        self.permit(uid, Operation::Change)?;
        let staged = self.changes.take(id, uid, Instant::now()).ok_or_else(|| {
            let reason = "no such password change is staged; the next login settles it";
            Reply::Refused { reason: reason.to_owned() }
        })?;
        self.blocking(move |agent| {
            let user = staged.user().clone();
            let (settle, what) = if is_done {
                (passwd::commit as fn(_, _) -> _, "committed")
            } else {
                (passwd::abort as fn(_, _) -> _, "aborted")
            };
            let settled: Result<(), LoginError> = settle(&agent.keys, staged);
            settled.map_err(|error| unavailable(&user, &error))?;
            if is_done {
                agent.known.diverged(&user, false);
            }
            log::agent_changed(&user, what, uid);
            Ok(Reply::Done)
        })
        .await
    }

    /// The first login of a user without keys.
    pub(super) async fn enroll(
        self: &Arc<Self>,
        uid: u32,
        user: &str,
        password: Password<'_>,
    ) -> Result<Reply, Reply> {
        self.permit(uid, Operation::Login)?;
        if !self.current().settings.enroll_at_login {
            let reason = "[agent] enroll_at_login is off".to_owned();
            return Err(Reply::Refused { reason });
        }
        let user = self.user(user)?;
        let password = Arc::new(copy(password)?);
        // Two connections of a mail program that begins: the second finds what the first has made.
        let tag = self.boot.tag(&user, 0, ENROLMENT, b"");
        let taken = timeout(self.patience, self.turns.take(&tag)).await.ok().flatten();
        let (turn, _) = taken.ok_or_else(|| busy(1))?;
        let run = self.gate.enter(Cost::default().memory_kib, true).await;
        let run = run.map_err(|problem| no_run(&user, &problem))?;
        let (name, secret) = (user.clone(), Arc::clone(&password));
        self.blocking(move |agent| {
            let made = enroll(
                &agent.keys,
                &name,
                secret.expose(),
                None,
                &agent.current().secrets,
                clock::now(),
            );
            drop((run, turn));
            match made {
                Ok(_) => log::agent_enrolled(&name, uid),
                // Somebody was faster, perhaps another connection of the same mail program.
                Err(LoginError::Directory(DirectoryError::Exists(_))) => {}
                Err(error @ LoginError::PrintedCode) => {
                    return Err(Reply::Refused { reason: error.to_string() });
                }
                Err(error) => return Err(unavailable(&name, &error)),
            }
            Ok(())
        })
        .await?;
        let attempt = Attempt {
            user,
            password: copy(Password(password.expose()))?,
            confirmed: true,
            peer: uid,
            readers: vec![uid],
            may_be_quick: true,
        };
        let logged_in = self.log_in(attempt).await?;
        Ok(unlocked(logged_in.lease.entry(), logged_in.notices))
    }

    /// Whether it is an app password. Unlocks nothing.
    pub(super) async fn app(
        self: &Arc<Self>,
        uid: u32,
        user: &str,
        password: Password<'_>,
    ) -> Result<Reply, Reply> {
        self.permit(uid, Operation::Login)?;
        let user = self.user(user)?;
        // What has not the form of one costs nothing.
        let code = Code::parse(password.0).filter(|code| code.kind() == CodeKind::App);
        let code = code.ok_or(Reply::Wrong)?;
        let attempt = Arc::new(Attempt {
            user,
            password: copy(password)?,
            confirmed: false,
            peer: uid,
            readers: Vec::new(),
            may_be_quick: false,
        });
        let Quick::New(_, tag) = self.quick(&attempt).await? else { return Err(Reply::Wrong) };
        self.blocking(move |agent| {
            let user = &attempt.user;
            let record = agent.keys.record(user).map_err(|error| unavailable(user, &error))?;
            let record = record.ok_or(Reply::NoKeys)?;
            record.unlock_with_code(&code).map(|_| Reply::Done).map_err(|cause| {
                let user = user.clone();
                agent.refused(&attempt, &tag, LoginError::Unlock { user, cause })
            })
        })
        .await
    }
}

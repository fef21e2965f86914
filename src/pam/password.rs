//! `password`: keys first, login password second. The first line in the stack stages the new password
//! before the site's own change commits it, the last one commits; in between it can be refused, or
//! everything can end, and the old or the new password unlocks.

use crate::agent::client::ClientError;
use crate::agent::protocol::{ChangeId, Password, Reply, Request};
use crate::secret::SecretBytes;
use crate::sys::process;

use super::ask::{Agent, trusted};
use super::ffi::{Handle, Priority, Token};
use super::kept::{Carried, Kept, Staged};
use super::options::Options;
use super::{Call, Code, words};

/// `password requisite pam_nightsafe.so stage`, before the site's own change.
pub(super) fn stage(call: &Call<'_>, options: &Options) -> Code {
    let Some(user) = call.handle.user() else {
        call.warn(words::NO_USER);
        return Code::IGNORE;
    };
    let prepared = if call.flags.is_preliminary() {
        prepare(call, options, &user)
    } else {
        stage_new(call, options, &user)
    };
    prepared.err().unwrap_or(Code::IGNORE)
}

/// Before anybody is asked for a new password: whether the old one is known, and the agent there.
fn prepare(call: &Call<'_>, options: &Options, user: &str) -> Result<(), Code> {
    call.with_kept(|kept| kept.staged = None);
    if old_password(call, user)?.is_none() {
        return Ok(());
    }
    match Agent::new(call, options).answer(&Request::Status { user: Some(user), after: "" }) {
        Ok(_) => Ok(()),
        Err(problem) => refuse(call, &words::no_answer(user, &problem), Code::TRY_AGAIN),
    }
}

fn stage_new(call: &Call<'_>, options: &Options, user: &str) -> Result<(), Code> {
    let old = old_password(call, user)?;
    // The lines behind this one take it over, whatever becomes of the keys.
    let new = call.handle.ask(Token::Current)?;
    let agent = Agent::new(call, options);
    let Some(old) = old else {
        without_old(call, &agent, user);
        return Ok(());
    };
    let (old, new) = (Password(old.expose()), Password(new.expose()));
    match agent.answer(&Request::Stage { user, old, new }) {
        Ok(Reply::Staged { id }) => {
            keep(call, options, user, id);
            Ok(())
        }
        Ok(Reply::NoKeys) => Ok(()),
        // The site has accepted the old password, so this user had diverged before.
        Ok(reply @ (Reply::Wrong | Reply::Diverged)) => {
            call.warn(&words::not_done(user, "staged", &reply));
            call.tell(words::DIVERGED);
            Ok(())
        }
        Ok(reply) => refuse(call, &words::not_done(user, "staged", &reply), Code::TOKEN_ERROR),
        Err(problem) => refuse(call, &words::no_answer(user, &problem), Code::TOKEN_ERROR),
    }
}

/// root gives somebody a new password: the user's keys, if there are any, stay as they are.
fn without_old(call: &Call<'_>, agent: &Agent, user: &str) {
    let status = agent.answer(&Request::Status { user: Some(user), after: "" });
    if !matches!(status, Ok(Reply::NoKeys)) {
        call.warn(&words::old_not_given(user));
        call.tell(&words::old_not_given(user));
    }
}

/// Refuses the change, since the keys would not follow it. Whoever cannot log in without a new
/// password gets one all the same.
fn refuse(call: &Call<'_>, why: &str, code: Code) -> Result<(), Code> {
    call.warn(why);
    if call.flags.is_expired() {
        call.tell(words::NOT_FOLLOWED);
        return Ok(());
    }
    call.tell(words::NOT_CHANGED);
    Err(code)
}

/// The password so far: of the transaction, of its `auth`, or of the user. `None` where root changes
/// the password of somebody else, as all modules understand a process whose real user is root.
fn old_password(call: &Call<'_>, user: &str) -> Result<Option<SecretBytes>, Code> {
    if let Some(old) = call.handle.token(Token::Old) {
        return Ok(Some(old));
    }
    let carried = call.with_kept(|kept| kept.password.as_ref().and_then(|c| copy_for(c, user)));
    if let Some(old) = carried.flatten() {
        return Ok(Some(old));
    }
    if process::is_started_by_root() && !call.flags.is_expired() {
        return Ok(None);
    }
    call.handle.ask(Token::Old).map(Some)
}

fn copy_for(carried: &Carried, user: &str) -> Option<SecretBytes> {
    let is_his = carried.is_login && carried.user == user;
    is_his.then(|| SecretBytes::from(carried.password.expose().to_vec()))
}

fn keep(call: &Call<'_>, options: &Options, user: &str, id: ChangeId) {
    let staged = Staged {
        id,
        user: user.to_owned(),
        socket: options.socket.clone(),
        trusted: trusted(&call.handle, options),
        timeout: options.timeout,
    };
    call.with_kept(|kept| kept.staged = Some(staged));
}

/// `password optional pam_nightsafe.so commit`, after a change that ends the stack when it fails.
pub(super) fn commit(call: &Call<'_>, _: &Options) -> Code {
    if call.flags.is_preliminary() {
        return Code::IGNORE;
    }
    let kept = call.with_kept(|kept| (kept.password.take(), kept.staged.take()));
    if let Some((_, Some(staged))) = kept {
        let user = &staged.user;
        if let Err(why) = settle(&staged, &Request::Commit { id: staged.id }) {
            call.warn(&words::left_staged(user, &why));
        }
    }
    Code::IGNORE
}

/// The end of the transaction. A change that is still only staged has not reached the line that
/// commits: where the host was told that it failed, the new password is not to unlock anything.
pub(super) fn end(handle: Handle<'_>, mut kept: Kept, status: Code) {
    let Some(staged) = kept.staged.take() else { return };
    let user = &staged.user;
    let line = if status == Code::SUCCESS {
        words::left_staged(user, "no line commits what was staged")
    } else {
        match settle(&staged, &Request::Abort { id: staged.id }) {
            Ok(()) => words::aborted(user),
            Err(why) => words::left_staged(user, &why),
        }
    };
    handle.log(Priority::Warning, &words::plain(&line));
}

fn settle(staged: &Staged, request: &Request<'_>) -> Result<(), String> {
    let Staged { socket, trusted, timeout, user, .. } = staged;
    let agent = Agent::at(socket.clone(), trusted.clone(), *timeout);
    match agent.answer(request) {
        Ok(Reply::Done) => Ok(()),
        Ok(reply) => Err(words::not_done(user, "settled", &reply)),
        Err(problem) => Err(no_answer(user, &problem)),
    }
}

fn no_answer(user: &str, problem: &ClientError) -> String {
    words::no_answer(user, problem)
}

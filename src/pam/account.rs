//! `account`: the whole `auth` stack has accepted, and the agent may know. Nobody is refused here.

use crate::agent::protocol::{Password, Reply, Request};

use super::ask::Agent;
use super::kept::Carried;
use super::options::Options;
use super::{Call, Code, words};

/// Unlocks once more, now as a login that the site has confirmed: a staged password change is ended,
/// a provisional key replaced, a first login enrolled where the site wants that.
pub(super) fn confirm(call: &Call<'_>, options: &Options) -> Code {
    let kept = call.with_kept(|kept| (kept.password.take(), kept.is_agent_away));
    // The host has changed to somebody else since `auth`.
    let is_same = |carried: &Carried| call.handle.user().as_ref() == Some(&carried.user);
    match kept {
        Some((Some(_), true)) => call.tell(words::AWAY),
        Some((Some(carried), false)) if is_same(&carried) => {
            log_in(call, &Agent::new(call, options), &carried);
        }
        _ => {}
    }
    Code::IGNORE
}

fn log_in(call: &Call<'_>, agent: &Agent, carried: &Carried) {
    let Carried { user, password, is_login } = carried;
    let password = Password(password.expose());
    let confirmed = *is_login;
    let unlock = Request::Unlock { user, password, confirmed, hold: false, reader: None };
    match agent.answer(&unlock) {
        Ok(Reply::Unlocked { notices, .. }) => {
            call.with_kept(|kept| kept.unlocked = Some(user.clone()));
            tell_all(call, &notices);
        }
        Ok(Reply::NoKeys) if confirmed => enroll(call, agent, carried),
        Ok(Reply::NoKeys) => {}
        Ok(reply) => {
            call.warn(&words::not_done(user, "unlocked", &reply));
            call.tell(match &reply {
                Reply::Wrong | Reply::Diverged => words::DIVERGED,
                Reply::Busy { .. } => words::BUSY,
                Reply::Refused { reason } => reason,
                _ => words::AWAY,
            });
        }
        Err(problem) => {
            call.warn(&words::no_answer(user, &problem));
            call.tell(words::AWAY);
            call.with_kept(|kept| kept.is_agent_away = true);
        }
    }
}

/// The agent knows whether the site wants it.
fn enroll(call: &Call<'_>, agent: &Agent, Carried { user, password, .. }: &Carried) {
    match agent.answer(&Request::Enroll { user, password: Password(password.expose()) }) {
        Ok(Reply::Unlocked { notices, .. }) => {
            call.inform(&words::enrolled(user));
            call.with_kept(|kept| kept.unlocked = Some(user.clone()));
            tell_all(call, &notices);
        }
        Ok(Reply::Refused { .. }) => {}
        Ok(reply) => call.warn(&words::not_done(user, "made", &reply)),
        Err(problem) => call.warn(&words::no_answer(user, &problem)),
    }
}

/// The most that one login is told.
const MAX_NOTICES: usize = 8;

pub(super) fn tell_all(call: &Call<'_>, notices: &[String]) {
    for notice in notices.iter().take(MAX_NOTICES) {
        call.tell(notice);
    }
}

//! `auth`: accept an app password, or take along what the site's own check has accepted.

use crate::agent::protocol::{Password, Reply, Request};
use crate::secret::SecretBytes;

use super::ask::Agent;
use super::ffi::Token;
use super::kept::Carried;
use super::options::Options;
use super::{Call, Code, words};

/// `auth sufficient pam_nightsafe.so app`, before the site's own check: the right app password is
/// enough, anything else is left to that.
pub(super) fn app(call: &Call<'_>, options: &Options) -> Code {
    let Some(user) = call.handle.user() else {
        call.warn(words::NO_USER);
        return Code::AUTH_UNAVAILABLE;
    };
    let password = match call.handle.ask(Token::Current) {
        Ok(password) => password,
        Err(code) => return code,
    };
    let request = Request::App { user: &user, password: Password(password.expose()) };
    match Agent::new(call, options).answer(&request) {
        Ok(Reply::Done) => {
            call.inform(&words::app_accepted(&user));
            carry(call, Carried { user, password, is_login: false });
            Code::SUCCESS
        }
        Ok(Reply::Wrong | Reply::NoKeys) => Code::AUTH_ERROR,
        Ok(reply) => {
            call.warn(&words::not_done(&user, "asked for an app password", &reply));
            Code::AUTH_UNAVAILABLE
        }
        Err(problem) => {
            call.warn(&words::no_answer(&user, &problem));
            call.with_kept(|kept| kept.is_agent_away = true);
            Code::AUTH_UNAVAILABLE
        }
    }
}

/// `auth optional pam_nightsafe.so`, after a check that ends the stack when it refuses. It takes the
/// password along, since `account` and `session` cannot see it; `unlock` uses it at once. Never a yes or
/// a no of its own: the keys of a diverged user have another password than the login.
pub(super) fn unlock(call: &Call<'_>, options: &Options) -> Code {
    let Some(user) = call.handle.user() else {
        call.warn(words::NO_USER);
        return Code::IGNORE;
    };
    // Whoever logs in without a password has nothing to unlock with.
    let Some(password) = call.handle.token(Token::Current) else { return Code::IGNORE };
    if options.unlock {
        unlock_now(call, options, &user, &password);
    }
    carry(call, Carried { user, password, is_login: true });
    Code::IGNORE
}

/// What comes behind this line may still refuse, so the agent is not told that anybody has accepted.
fn unlock_now(call: &Call<'_>, options: &Options, user: &str, password: &SecretBytes) {
    let reply = Agent::new(call, options).answer(&Request::Unlock {
        user,
        password: Password(password.expose()),
        confirmed: false,
        hold: false,
        reader: None,
    });
    match reply {
        Ok(Reply::Unlocked { .. } | Reply::NoKeys) => {}
        Ok(reply) => call.warn(&words::not_done(user, "unlocked", &reply)),
        Err(problem) => {
            call.warn(&words::no_answer(user, &problem));
            call.with_kept(|kept| kept.is_agent_away = true);
        }
    }
}

fn carry(call: &Call<'_>, carried: Carried) {
    call.with_kept(|kept| kept.password = Some(carried));
}

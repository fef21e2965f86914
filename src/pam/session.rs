//! `session`: a lease for as long as the session lasts. It is a connection, so it ends with the
//! process that holds it, however that dies.

use crate::agent::protocol::{Password, Reply, Request};

use super::ask::Agent;
use super::kept::Carried;
use super::options::Options;
use super::{Call, Code, account, words};

/// Takes the lease and lets the session's user read. A session begins with or without one.
pub(super) fn open(call: &Call<'_>, options: &Options) -> Code {
    let Some(user) = call.handle.user() else {
        call.warn(words::NO_USER);
        return Code::SUCCESS;
    };
    let kept = call.with_kept(|kept| {
        let carried = kept.password.take().filter(|carried| carried.user == user);
        let is_unlocked = kept.unlocked.as_ref() == Some(&user);
        if kept.is_agent_away { (None, false) } else { (carried, is_unlocked) }
    });
    let reader = || call.handle.uid_of(&user);
    let request = match &kept {
        // There is no `account` line, which would have unlocked.
        Some((Some(Carried { password, .. }), _)) => Request::Unlock {
            user: &user,
            password: Password(password.expose()),
            confirmed: false,
            hold: true,
            reader: reader(),
        },
        Some((None, true)) => Request::Lease { user: &user, reader: reader() },
        _ => return Code::SUCCESS,
    };
    match Agent::new(call, options).ask(&request) {
        Ok((Reply::Unlocked { notices, .. }, lease)) => {
            account::tell_all(call, &notices);
            call.with_kept(|kept| kept.lease = Some(lease));
        }
        // Said already when they were not unlocked, or nothing to say.
        Ok((Reply::Locked | Reply::NoKeys, _)) => {}
        Ok((reply, _)) => call.warn(&words::not_done(&user, "leased", &reply)),
        Err(problem) => call.warn(&words::no_answer(&user, &problem)),
    }
    Code::SUCCESS
}

/// Ends the lease, also in processes that the host has forked meanwhile.
pub(super) fn close(call: &Call<'_>) -> Code {
    if let Some(lease) = call.with_kept(|kept| kept.lease.take()).flatten() {
        lease.release();
    }
    Code::SUCCESS
}

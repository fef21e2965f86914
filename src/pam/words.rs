//! Every line that the module can log or show, so that no secret can get into one.
//!
//! Log lines name what failed; what the user sees says what that means for the mail.

use crate::agent::client::ClientError;
use crate::agent::protocol::Reply;

/// The longest line, in characters.
const MAX_LINE_CHARS: usize = 400;

/// One line, without anything that could pretend to be another.
pub(super) fn plain(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).take(MAX_LINE_CHARS).collect()
}

/// Log: an option that is none.
pub(super) fn unknown_option(word: &str) -> String {
    let name = word.split('=').next().unwrap_or_default();
    format!("unknown option or value of an option: {name}")
}

/// Log: a panic.
pub(super) fn panicked(place: &str) -> String {
    format!("internal error at {place}; please report it")
}

/// Log: the agent gave no answer.
pub(super) fn no_answer(user: &str, problem: &ClientError) -> String {
    format!("keys of {user} not reached: {problem}")
}

/// Log: the agent's answer is not what was wanted.
pub(super) fn not_done(user: &str, wanted: &str, reply: &Reply) -> String {
    let why = match reply {
        Reply::Wrong => "the password does not unlock them".to_owned(),
        Reply::Diverged => "they have another password than the login; \
                            nightsafe passwd with the old one mends it"
            .to_owned(),
        Reply::NoKeys => "the user has none".to_owned(),
        Reply::Busy { seconds } => format!("the agent is busy, for {seconds} seconds"),
        Reply::Unavailable { reason } | Reply::Refused { reason } => reason.clone(),
        Reply::Denied => "the agent does not allow this to the user that this program runs as; \
                          see [agent] in nightsafe.toml"
            .to_owned(),
        Reply::Locked => "they are not unlocked".to_owned(),
        _ => "the agent's answer makes no sense".to_owned(),
    };
    format!("keys of {user} not {wanted}: {why}")
}

/// Log: a name that nobody can have.
pub(super) const NO_USER: &str = "the login name is missing, too long or not UTF-8";

/// Log: an app password was the right one.
pub(super) fn app_accepted(user: &str) -> String {
    format!("app password of {user} accepted")
}

/// Log: a first login.
pub(super) fn enrolled(user: &str) -> String {
    format!("keys made for {user} at the first login")
}

/// Log and user: the password is changed by somebody who does not know the old one.
pub(super) fn old_not_given(user: &str) -> String {
    format!(
        "The mail keys of {user} keep the old password, which was not given: mail goes on arriving \
         sealed, and nightsafe passwd {user} with the old password unlocks it again."
    )
}

/// Log: the login password was refused, so its key slot is gone.
pub(super) fn aborted(user: &str) -> String {
    format!("login password of {user} not changed; the keys stay as they were")
}

/// Log: a change whose end the agent was not told.
pub(super) fn left_staged(user: &str, why: &str) -> String {
    format!("{why}; the next login of {user} ends the change of the password")
}

/// User: the keys have another password.
pub(super) const DIVERGED: &str = "Your mail is still locked with an earlier password of yours. That password \
     or a recovery code unlocks it again; nothing is lost.";

/// User: the keys are not there, and nobody knows for how long.
pub(super) const AWAY: &str =
    "Your sealed mail cannot be read for now: the key agent is not available.";

/// User: too many at once.
pub(super) const BUSY: &str = "Your sealed mail cannot be read for now: the key agent is busy.";

/// User: no change, since the keys could not follow it.
pub(super) const NOT_CHANGED: &str =
    "The password was not changed: the keys of your mail cannot follow it now. Try again later.";

/// User: the password must change although the keys do not.
pub(super) const NOT_FOLLOWED: &str =
    "The keys of your mail do not follow this change. Keep the old password: it unlocks your mail.";

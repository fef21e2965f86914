//! `nightsafe unlock`, `lock` and `status`: the agent, by hand.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::agent::client::{Client, ClientError};
use crate::agent::protocol::{Password, Reply, Request, UserStatus};
use crate::config;
use crate::keys::code::{Code, CodeKind};
use crate::sys::accounts;

use super::exit::{Failure, complain, say};
use super::password;
use super::site::{Site, shown_time};
use super::usage;

/// How long the agent may take: others may wait for Argon2 before this login.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to the agent of the configuration.
pub(super) fn connect(settings: &config::Agent) -> Result<Client, ClientError> {
    let trusted: Vec<u32> = accounts::uid_of(&settings.user).into_iter().collect();
    Client::connect(&settings.socket, &trusted, PATIENCE)
}

pub(super) fn unlock(
    config: Option<&Path>,
    arguments: &usage::Unlock,
) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    let user = site.user(&arguments.user)?;
    let mut client = connect(&site.config.agent)?;
    let password = password::ask(arguments.password.password_file.as_deref(), user.as_str())?;
    let reply = client.ask(&Request::Unlock {
        user: user.as_str(),
        password: Password(password.expose()),
        confirmed: false,
        hold: arguments.hold,
        reader: None,
    })?;
    let Reply::Unlocked { notices, .. } = reply else {
        let is_wrong = reply == Reply::Wrong;
        let failure = refused(reply, user.as_str());
        let code = Code::parse(password.expose()).filter(|code| code.kind() == CodeKind::Recovery);
        return Err(match code {
            Some(_) if is_wrong => failure.hint(format!(
                "a recovery code sets a new password first: nightsafe recovery use {user}, as root"
            )),
            _ => failure,
        });
    };
    drop(password);
    for notice in notices {
        complain("notice", &notice);
    }
    if !arguments.hold {
        say(format_args!("{user} is unlocked"))?;
        return Ok(ExitCode::SUCCESS);
    }
    say(format_args!("{user} is unlocked for as long as this runs"))?;
    let ended = client.wait_for_end();
    ended.map_err(|cause| Failure::temporary(format!("cannot wait for the agent: {cause}")))?;
    Err(Failure::temporary(format!("{user} was locked, or the agent was stopped")))
}

pub(super) fn lock(config: Option<&Path>, arguments: &usage::Lock) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    let user = arguments.user.as_deref().map(|user| site.user(user)).transpose()?;
    let name = user.as_ref().map(|user| user.as_str());
    match connect(&site.config.agent)?.ask(&Request::Lock { user: name })? {
        Reply::Done => say(format_args!("{} is locked", name.unwrap_or("everybody")))?,
        // As it was asked for.
        Reply::Locked => say(format_args!("{} was not unlocked", name.unwrap_or("nobody")))?,
        other => return Err(refused(other, name.unwrap_or("everybody"))),
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn status(
    config: Option<&Path>,
    arguments: &usage::Status,
) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    let user = arguments.user.as_deref().map(|user| site.user(user)).transpose()?;
    let name = user.as_ref().map(|user| user.as_str());
    let mut client = connect(&site.config.agent)?;
    let mut after = String::new();
    let mut is_empty = true;
    loop {
        let reply = client.ask(&Request::Status { user: name, after: &after })?;
        let Reply::Status { users, more } = reply else {
            return Err(refused(reply, name.unwrap_or("everybody")));
        };
        is_empty &= users.is_empty();
        users.iter().try_for_each(show)?;
        match users.last() {
            Some(last) if more => after.clone_from(&last.user),
            _ => break,
        }
    }
    if is_empty {
        say(format_args!("nobody is unlocked"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(status: &UserStatus) -> Result<(), Failure> {
    let user = &status.user;
    match (status.unlocked, status.until) {
        (Some(since), Some(until)) => say(format_args!(
            "{user}: unlocked since {}, at most until {}, {} in use",
            shown_time(since),
            shown_time(until),
            leases(status.leases),
        ))?,
        _ => say(format_args!("{user}: locked"))?,
    }
    for slot in &status.slots {
        say(format_args!("  {slot}"))?;
    }
    status.problems.iter().try_for_each(|problem| say(format_args!("  PROBLEM: {problem}")))
}

fn leases(count: u32) -> String {
    match count {
        1 => "1 lease".to_owned(),
        count => format!("{count} leases"),
    }
}

/// Any answer but the one that was hoped for.
pub(super) fn refused(reply: Reply, user: &str) -> Failure {
    match reply {
        Reply::Wrong => Failure::no_permission(format!("wrong password for {user}")),
        Reply::Diverged => {
            let error = format!("the login password of {user} was changed without the keys");
            Failure::no_permission(error)
                .hint(format!("nightsafe passwd {user}, with the old password"))
        }
        Reply::NoKeys => Failure::no_user(format!("user {user} is not enrolled"))
            .hint(format!("nightsafe enroll {user}")),
        Reply::Busy { seconds } => {
            let error = "too many logins or wrong passwords at the moment";
            Failure::temporary(error).hint(format!("try again in {seconds} seconds"))
        }
        Reply::Unavailable { reason } => Failure::temporary(reason),
        Reply::Denied => Failure::no_permission("the agent does not let this user ask for that")
            .hint("[agent] allow in the configuration; or run it as root"),
        Reply::Refused { reason } => Failure::argument(reason),
        Reply::Locked => Failure::no_permission(format!("{user} is not unlocked"))
            .hint(format!("nightsafe unlock {user}")),
        Reply::Unlocked { .. }
        | Reply::Keys(_)
        | Reply::Staged { .. }
        | Reply::Done
        | Reply::Status { .. } => Failure::temporary("the agent answered something else"),
    }
}

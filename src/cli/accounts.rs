//! `nightsafe list`, `remove` and `rename`

use std::path::Path;
use std::process::ExitCode;

use crate::config::Unenrolled;
use crate::lifecycle::accounts;
use crate::sys::clock;
use crate::user;

use super::exit::{Failure, complain, say};
use super::site::{Site, shown_time};
use super::usage::{Rename, User};

pub(super) fn list(config: Option<&Path>) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    for account in accounts::list(&site.keys()?)? {
        let generation = account.generation.map_or_else(|| "?".to_owned(), |n| n.to_string());
        let set = match account.password_set {
            Some(time) => format!("password set {}", shown_time(time)),
            None if account.provisional => "provisional, waits for the first login".to_owned(),
            None => "no password".to_owned(),
        };
        say(format_args!("{}  generation {generation}, {set}", account.user))?;
        if let Some(problem) = account.problem {
            say(format_args!("  problem: {problem}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn remove(config: Option<&Path>, arguments: &User) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    let user = site.user(&arguments.user)?;
    let kept = site.keys()?.archive(&user, clock::now())?;
    say(format_args!("keys of {user} archived in {}", kept.display()))?;
    warn_of_plain_mail(&site, &user);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn rename(config: Option<&Path>, arguments: &Rename) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    let (old, new) = (site.user(&arguments.old)?, site.user(&arguments.new)?);
    if old == new {
        let (old, new) = (&arguments.old, &arguments.new);
        return Err(Failure::argument(format!("{old} and {new} are the same user")));
    }
    site.keys()?.rename(&old, &new)?;
    say(format_args!("{old} is {new} from now on; mail to {old} finds no key any more"))?;
    warn_of_plain_mail(&site, &old);
    Ok(ExitCode::SUCCESS)
}

/// Where policy passes what has no key, a name without one is plaintext from now on.
fn warn_of_plain_mail(site: &Site, name: &user::User) {
    if site.config.delivery.unenrolled == Unenrolled::Pass {
        let plain = format!("mail to {name} is stored unsealed from now on");
        complain("warning", &format!("{plain} ([delivery] unenrolled)"));
    }
}

//! `nightsafe passwd`

use std::path::Path;
use std::process::ExitCode;

use crate::agent::protocol::{ChangeId, Password, Reply, Request};
use crate::lifecycle::passwd::change;
use crate::sys::clock;
use crate::user::User;

use super::exit::{Failure, say};
use super::password;
use super::site::Site;
use super::unlock;
use super::usage::Passwd;

pub(super) fn run(config: Option<&Path>, arguments: &Passwd) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    let user = site.user(&arguments.user)?;
    if arguments.stage {
        return stage(&site, &user);
    }
    if arguments.commit || arguments.abort {
        return settle(&site, &user, arguments.commit);
    }
    let (old, new) = (arguments.password_file.as_deref(), arguments.new_password_file.as_deref());
    password::not_both(old, new, "the old and the new password")?;
    let (keys, secrets) = (site.keys()?, site.secrets()?);
    let (old, new) = if arguments.stdin {
        password::two_from_stdin()?
    } else {
        (password::ask(old, user.as_str())?, password::ask_new(new, user.as_str())?)
    };
    change(&keys, &user, old.expose(), new.expose(), &secrets, clock::now())?;
    say(format_args!("password of {user} changed"))?;
    Ok(ExitCode::SUCCESS)
}

/// Both passwords from standard input to the agent; the name of the change to standard output.
fn stage(site: &Site, user: &User) -> Result<ExitCode, Failure> {
    let (old, new) = password::two_from_stdin()?;
    let (old, new) = (Password(old.expose()), Password(new.expose()));
    let request = Request::Stage { user: user.as_str(), old, new };
    match unlock::connect(&site.config.agent)?.ask(&request)? {
        Reply::Staged { id } => {
            let name: String = id.iter().map(|octet| format!("{octet:02x}")).collect();
            say(format_args!("{name}"))?;
            Ok(ExitCode::SUCCESS)
        }
        other => Err(refused(other, user)),
    }
}

/// The name of the change comes from standard input: whoever lists processes must not see it.
fn settle(site: &Site, user: &User, commits: bool) -> Result<ExitCode, Failure> {
    let id = change_from_stdin()?;
    let request = if commits { Request::Commit { id } } else { Request::Abort { id } };
    match unlock::connect(&site.config.agent)?.ask(&request)? {
        Reply::Done => Ok(ExitCode::SUCCESS),
        other => Err(refused(other, user)),
    }
}

/// A caller goes on where the keys do not follow, but not where it is only not allowed to ask.
fn refused(reply: Reply, user: &User) -> Failure {
    match reply {
        Reply::Denied => Failure::config("the agent does not let this user change passwords")
            .hint("give it \"change\" in [agent] allow of the configuration"),
        other => unlock::refused(other, user.as_str()),
    }
}

fn change_from_stdin() -> Result<ChangeId, Failure> {
    let line = password::ask(Some(Path::new("-")), "")?;
    let id = std::str::from_utf8(line.expose()).ok().and_then(parse);
    id.ok_or_else(|| Failure::no_input("standard input is not what --stage has printed"))
}

fn parse(name: &str) -> Option<ChangeId> {
    let mut id = ChangeId::default();
    if name.len() != 2 * id.len() || !name.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (index, octet) in id.iter_mut().enumerate() {
        *octet = u8::from_str_radix(name.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_changes() {
        let name = "000102030405060708090a0b0c0d0eFf";
        let id = parse(name).unwrap();
        assert_eq!((id[1], id[15]), (1, 255));
        for bad in ["", "00", &name[1..], &name.replace('a', "+"), &format!("{name}00")] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}

//! `nightsafe passwd`

use std::path::Path;
use std::process::ExitCode;

use crate::lifecycle::passwd::change;
use crate::sys::clock;

use super::exit::{Failure, say};
use super::password;
use super::site::Site;
use super::usage::Passwd;

pub(super) fn run(config: Option<&Path>, arguments: &Passwd) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    let user = site.user(&arguments.user)?;
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

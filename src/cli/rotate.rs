//! `nightsafe rotate`

use std::path::Path;
use std::process::ExitCode;

use crate::lifecycle::rotate::rotate;
use crate::sys::clock;

use super::exit::{Failure, say};
use super::password;
use super::site::Site;
use super::usage::Rotate;

pub(super) fn run(config: Option<&Path>, arguments: &Rotate) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    let user = site.user(&arguments.user)?;
    let (keys, secrets) = (site.keys()?, site.secrets()?);
    let password = password::ask(arguments.password.password_file.as_deref(), user.as_str())?;
    let public = rotate(&keys, &user, password.expose(), &secrets, clock::now())?;
    say(format_args!("{}", public.key))?;
    Ok(ExitCode::SUCCESS)
}

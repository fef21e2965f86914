//! `nightsafe enroll`

use std::path::Path;
use std::process::ExitCode;

use crate::lifecycle::enroll::enroll;
use crate::sys::clock;

use super::exit::{Failure, say};
use super::password;
use super::site::Site;
use super::usage::Enroll;

pub(super) fn run(config: Option<&Path>, arguments: &Enroll) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    let user = site.user(&arguments.user)?;
    let (keys, secrets) = (site.keys()?, site.secrets()?);
    let file = arguments.password.password_file.as_deref();
    let password = password::ask_new(file, user.as_str())?;
    let public = enroll(&keys, &user, password.expose(), &secrets, clock::now())?;
    say(format_args!("{}", public.key))?;
    Ok(ExitCode::SUCCESS)
}

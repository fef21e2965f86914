//! `nightsafe enroll`

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use crate::keys::code::{Code, CodeKind};
use crate::keys::files::{DirectoryError, KeyDirectory};
use crate::keys::site_secrets::SiteSecrets;
use crate::lifecycle::enroll::{enroll, enroll_provisional};
use crate::lifecycle::error::LoginError;
use crate::sys::clock;
use crate::user::User;

use super::exit::{Failure, complain, say};
use super::password;
use super::site::Site;
use super::usage::Enroll;

/// The longest list of users, in octets.
const MAX_LIST_BYTES: u64 = 64 * 1024 * 1024;

pub(super) fn run(config: Option<&Path>, arguments: &Enroll) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    if let Some(path) = &arguments.from {
        return list(&site, path);
    }
    let user = site.user(arguments.user.as_deref().unwrap_or_default())?;
    let (keys, secrets) = (site.keys()?, site.secrets()?);
    if arguments.provisional {
        let public = enroll_provisional(&keys, &user, &secrets, clock::now())?;
        say(format_args!("{}", public.key))?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = arguments.password.password_file.as_deref();
    let password = password::ask_new(file, user.as_str())?;
    let code = arguments.recovery_code.then(|| Code::generate(CodeKind::Recovery));
    let (password, now) = (password.expose(), clock::now());
    let public = enroll(&keys, &user, password, code.as_ref(), &secrets, now)?;
    say(format_args!("{}", public.key))?;
    if let Some(code) = &code {
        password::print_code(code)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Enrols everybody in a list, as far as it goes: what is wrong with one name is told and keeps nobody
/// else from being enrolled.
fn list(site: &Site, path: &Path) -> Result<ExitCode, Failure> {
    let text = read_list(path)?;
    let (keys, secrets) = (site.keys()?, site.secrets()?);
    if secrets.provisional.is_none() {
        return Err(LoginError::NoProvisionalKey.into());
    }
    let (mut made, mut there, mut failed) = (0, 0, 0);
    for name in text.lines().map(str::trim) {
        if name.is_empty() || name.starts_with('#') {
            continue;
        }
        match one_of_list(&keys, &secrets, site.user(name)) {
            Ok(true) => made += 1,
            Ok(false) => there += 1,
            Err(failure) => {
                failed += 1;
                complain("warning", &format!("{name:?}: {}", failure.error()));
            }
        }
    }
    if failed > 0 {
        let error =
            format!("{failed} users were not enrolled; {made} were, {there} had keys already");
        return Err(Failure::data(error).hint("mend what the warnings say and run it again"));
    }
    say(format_args!("{made} users enrolled, {there} had keys already"))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the user is enrolled by this; or was before.
fn one_of_list(
    keys: &KeyDirectory,
    secrets: &SiteSecrets,
    user: Result<User, Failure>,
) -> Result<bool, Failure> {
    match enroll_provisional(keys, &user?, secrets, clock::now()) {
        Ok(_) => Ok(true),
        Err(LoginError::Directory(DirectoryError::Exists(_))) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn read_list(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(MAX_LIST_BYTES).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(MAX_LIST_BYTES).read_to_string(&mut text))
    };
    match read {
        Ok(read) if read as u64 == MAX_LIST_BYTES => {
            Err(Failure::no_input(format!("{} is too long", path.display())))
        }
        Ok(_) => Ok(text),
        Err(cause) => Err(Failure::no_input(format!("cannot read {}: {cause}", path.display()))),
    }
}

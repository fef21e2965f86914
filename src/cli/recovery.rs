//! `nightsafe recovery`

use std::path::Path;
use std::process::ExitCode;

use crate::keys::code::{Code, CodeKind};
use crate::lifecycle::recovery::use_code;
use crate::sys::clock;

use super::escrow;
use super::exit::{Failure, complain, say};
use super::password;
use super::site::Site;
use super::usage::recovery::{RecoveryAction, UseCode};

pub(super) fn run(config: Option<&Path>, action: &RecoveryAction) -> Result<ExitCode, Failure> {
    match action {
        RecoveryAction::Use(arguments) => with_code(config, arguments),
        RecoveryAction::Init(arguments) => escrow::init(arguments),
        RecoveryAction::Passwd(arguments) => escrow::passwd(arguments),
        RecoveryAction::Export(arguments) => escrow::export(config, arguments),
        RecoveryAction::Open(arguments) => escrow::open(arguments),
        RecoveryAction::Finish(arguments) => escrow::finish(config, arguments),
    }
}

fn with_code(config: Option<&Path>, arguments: &UseCode) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    let user = site.user(&arguments.user)?;
    let (code, new) = (arguments.code_file.as_deref(), arguments.new_password_file.as_deref());
    password::not_both(code, new, "the recovery code and the new password")?;
    let (keys, secrets) = (site.keys()?, site.secrets()?);
    let code = password::ask_code(code, user.as_str())?;
    let new = password::ask_new(new, user.as_str())?;
    let next = arguments.recovery_code.then(|| Code::generate(CodeKind::Recovery));
    let (typed, now) = (code.expose(), clock::now());
    use_code(&keys, &user, typed, new.expose(), next.as_ref(), &secrets, now)?;
    match next {
        Some(next) => password::print_code(&next)?,
        None => {
            say(format_args!("password of {user} set with a recovery code, keys rotated"))?;
            complain(
                "hint",
                &format!(
                    "the code is used up; for another one: nightsafe slot add {user} --recovery-code"
                ),
            );
        }
    }
    complain("hint", &"set the same password in the login backend");
    Ok(ExitCode::SUCCESS)
}

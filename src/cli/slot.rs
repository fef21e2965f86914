//! `nightsafe slot`

use std::path::Path;
use std::process::ExitCode;

use crate::lifecycle::slots;
use crate::sys::clock;

use super::exit::{Failure, say};
use super::password;
use super::site::{Site, shown_time};
use super::usage::{AddSlot, RemoveSlot, SlotAction, User};

pub(super) fn run(config: Option<&Path>, action: &SlotAction) -> Result<ExitCode, Failure> {
    match action {
        SlotAction::List(arguments) => list(config, arguments),
        SlotAction::Add(arguments) => add(config, arguments),
        SlotAction::Remove(arguments) => remove(config, arguments),
    }
}

fn list(config: Option<&Path>, arguments: &User) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    let user = site.user(&arguments.user)?;
    for slot in slots::list(&site.keys()?, &user)? {
        let name = slot.label().map_or_else(String::new, |label| format!("  {label}"));
        let (id, kind, state) = (slot.id(), slot.kind(), slot.state());
        let made = shown_time(slot.created());
        say(format_args!("{id}  {kind:<15}  {state:<8}  {made}{name}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn add(config: Option<&Path>, arguments: &AddSlot) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    let user = site.user(&arguments.user)?;
    let (keys, secrets) = (site.keys()?, site.secrets()?);
    let password = password::ask(arguments.password.password_file.as_deref(), user.as_str())?;
    let (password, now) = (password.expose(), clock::now());
    let code = match &arguments.app {
        Some(name) => slots::add_app(&keys, &user, password, name, &secrets, now)?,
        None => slots::add_recovery(&keys, &user, password, &secrets, now)?,
    };
    password::print_code(&code)?;
    Ok(ExitCode::SUCCESS)
}

fn remove(config: Option<&Path>, arguments: &RemoveSlot) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    let user = site.user(&arguments.user)?;
    let (keys, secrets) = (site.keys()?, site.secrets()?);
    let password = password::ask(arguments.password.password_file.as_deref(), user.as_str())?;
    let (password, now) = (password.expose(), clock::now());
    let slot = slots::remove(&keys, &user, password, &arguments.slot, &secrets, now)?;
    say(format_args!("{} {} of {user} removed, keys rotated", slot.kind(), slot.id()))?;
    Ok(ExitCode::SUCCESS)
}

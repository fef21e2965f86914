//! The command line: one file for each command. Errors say what to do next and end in a status of
//! sysexits.h.
//!
//! Layer 7.

mod accounts;
mod agent;
mod check;
mod check_agent;
mod check_imap;
mod check_logins;
mod daemon;
mod deliver;
mod enroll;
mod escrow;
mod exit;
mod identity;
mod imap;
mod inspect;
mod lmtp;
mod passwd;
mod password;
mod recovery;
mod rotate;
mod setup;
mod site;
mod slot;
mod unlock;
mod unseal;
mod usage;

use std::process::ExitCode;

use clap::Parser as _;

use crate::sys::process;

use exit::Failure;
use usage::{Command, Usage};

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    // A process that may leave secrets behind does not start.
    if let Err(cause) = process::forbid_dumps() {
        return deliver::or_exit(Failure::temporary(format!("cannot forbid core dumps: {cause}")));
    }
    let usage = match Usage::try_parse() {
        Ok(usage) => usage,
        Err(error) if error.use_stderr() => return deliver::or_exit(Failure::usage(&error)),
        // Help and version are no errors.
        Err(text) => return exit::shown(text.print()),
    };
    match run(usage) {
        Ok(status) => status,
        Err(failure) => failure.exit(),
    }
}

fn run(usage: Usage) -> Result<ExitCode, Failure> {
    let config = usage.config.as_deref();
    match usage.command {
        Command::Deliver(arguments) => Ok(deliver::run(config, &arguments)),
        Command::Lmtp => daemon::run::<crate::delivery::lmtp::Service>(config),
        Command::Imap => daemon::run::<crate::imap::proxy::Service>(config),
        Command::Agent(arguments) => agent::run(config, &arguments),
        Command::Unlock(arguments) => unlock::unlock(config, &arguments),
        Command::Lock(arguments) => unlock::lock(config, &arguments),
        Command::Status(arguments) => unlock::status(config, &arguments),
        Command::Setup(arguments) => setup::run(config, &arguments),
        Command::Enroll(arguments) => enroll::run(config, &arguments),
        Command::Passwd(arguments) => passwd::run(config, &arguments),
        Command::Rotate(arguments) => rotate::run(config, &arguments),
        Command::Slot(arguments) => slot::run(config, &arguments.action),
        Command::Recovery(arguments) => recovery::run(config, &arguments.action),
        Command::List => accounts::list(config),
        Command::Remove(arguments) => accounts::remove(config, &arguments),
        Command::Rename(arguments) => accounts::rename(config, &arguments),
        Command::Unseal(arguments) => unseal::run(config, &arguments),
        Command::Identity(arguments) => identity::run(config, &arguments),
        Command::Inspect(arguments) => inspect::run(config, &arguments),
        Command::Check => check::run(config),
    }
}

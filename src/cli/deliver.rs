//! `nightsafe deliver`: the MTA pipe transport. Whatever goes wrong that is not decided and named ends
//! as "deferred": arguments that make no sense and panics too.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::panic;
use std::path::Path;
use std::process::ExitCode;

use crate::config::Config;
use crate::delivery::Envelope;
use crate::delivery::next_hop::NextHop;
use crate::delivery::next_hop::command::Command;
use crate::delivery::next_hop::lmtp::Lmtp;
use crate::delivery::next_hop::maildir::Maildir;
use crate::delivery::next_hop::output::Output;
use crate::delivery::outcome::{self, Outcome};
use crate::delivery::pipe;
use crate::delivery::site::Site;
use crate::log;
use crate::sys::clock;
use crate::sys::process::Caller;

use super::exit::Failure;
use super::usage::Deliver;

/// A failure before the arguments are understood: "deferred" where a delivery was meant, since a
/// mistake in the MTA's configuration must not bounce mail.
pub(super) fn or_exit(failure: Failure) -> ExitCode {
    if std::env::args_os().skip(1).any(|word| word == "deliver") {
        let outcome = Outcome::misconfigured(&failure.error());
        log::not_delivered("", &outcome.to_string(), &failure.error());
        return report(&outcome, false);
    }
    failure.exit()
}

pub(super) fn run(config: Option<&Path>, arguments: &Deliver) -> ExitCode {
    let caller = Caller::now();
    panic::set_hook(Box::new(|panic| {
        // The place only: what a panic carries may be of the message.
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        log::panicked(&place);
    }));
    let outcomes =
        panic::catch_unwind(panic::AssertUnwindSafe(|| deliver(config, arguments, caller)));
    let outcomes = match outcomes {
        Ok(Ok(outcomes)) => outcomes,
        Ok(Err(outcome)) => vec![outcome; arguments.recipients.len()],
        Err(_) => vec![Outcome::panicked()],
    };
    for (outcome, recipient) in outcomes.iter().zip(&arguments.recipients) {
        if let Some(detail) = outcome.detail() {
            log::not_delivered(recipient, &outcome.to_string(), &detail);
        }
    }
    let reported = outcome::worst(outcomes).unwrap_or_else(Outcome::panicked);
    report(&reported, is_to_output(arguments))
}

fn deliver(
    config: Option<&Path>,
    arguments: &Deliver,
    caller: Caller,
) -> Result<Vec<Outcome>, Outcome> {
    if is_to_output(arguments) && arguments.recipients.len() > 1 {
        let detail = "standard output takes one message: give one --recipient";
        return Err(Outcome::misconfigured(&detail));
    }
    let config = Config::load(config).map_err(|error| Outcome::misconfigured(&error))?;
    let site = Site::open(&config).map_err(|error| Outcome::misconfigured(&error))?;
    let limit = config.delivery.max_message_bytes;
    let input = io::stdin();
    let size = file_size(&input);
    let sender = arguments.sender.as_deref();
    let message = pipe::read_message(input.lock(), size, sender, limit, caller)?;
    let envelope = Envelope::new(sender.unwrap_or_default(), &arguments.recipients);
    let mut hop = next_hop(arguments);
    Ok(site.delivery().deliver(&envelope, message, hop.as_mut(), clock::now()))
}

/// How long standard input is, when it is a file.
fn file_size(input: &io::Stdin) -> Option<u64> {
    let file = File::from(input.as_fd().try_clone_to_owned().ok()?);
    file.metadata().ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
}

fn is_to_output(arguments: &Deliver) -> bool {
    arguments.lmtp.is_none() && arguments.maildir.is_none() && arguments.command.is_empty()
}

fn next_hop(arguments: &Deliver) -> Box<dyn NextHop> {
    if let Some(address) = &arguments.lmtp {
        Box::new(Lmtp::new(address.clone()))
    } else if let Some(path) = &arguments.maildir {
        Box::new(Maildir::new(path))
    } else if is_to_output(arguments) {
        Box::new(Output)
    } else {
        Box::new(Command::new(&arguments.command))
    }
}

/// The line that the MTA reads, on standard output unless that is where the message went.
fn report(outcome: &Outcome, to_output: bool) -> ExitCode {
    use io::Write as _;
    // Nobody may be reading any more; the status is what counts.
    let _ = if to_output {
        writeln!(io::stderr(), "{outcome}")
    } else {
        writeln!(io::stdout(), "{outcome}")
    };
    ExitCode::from(outcome.status())
}

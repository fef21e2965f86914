//! `nightsafe setup`

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;

use crate::config::Config;
use crate::lifecycle::setup::{Owners, setup};
use crate::seal::Ring;
use crate::sys::{accounts, process};

use super::exit::{Failure, say};
use super::usage::Setup;

pub(super) fn run(config: Option<&Path>, arguments: &Setup) -> Result<ExitCode, Failure> {
    let Config { keys, agent, .. } = Config::load(config)?;
    let delivery_group = arguments.delivery_group.as_deref().map(group_number).transpose()?;
    let owners = Owners { delivery_group, agent: accounts::uid_of(&agent.user) };
    for (path, is_new) in setup(&keys, owners)? {
        say(format_args!("{} {}", if is_new { "made    " } else { "is there" }, path.display()))?;
    }
    if owners.agent.is_some() && process::is_root() {
        say(format_args!(
            "the key records, the pepper and the provisional key are {}'s",
            agent.user
        ))?;
    }
    if delivery_group.is_none() && !is_shared(&keys.sealing_key, &keys.pepper) {
        say(format_args!("no --delivery-group: only the user who runs this can deliver"))?;
    }
    say(format_args!(""))?;
    say(format_args!(
        "Back up, apart from the mail, and the pepper and the provisional key apart from the keys:"
    ))?;
    let ring = Ring::path_beside(&keys.sealing_key);
    let secrets = [
        (&keys.directory, "without it no mail can be read"),
        (&keys.pepper, "without it no password unlocks anything"),
        (&keys.provisional_key, "without it nobody's keys unlock who has not logged in yet"),
        (&keys.sealing_key, "signs what is sealed"),
        (&ring, "verifies what was sealed"),
    ];
    for (path, why) in secrets {
        say(format_args!("  {}\n      {why}", path.display()))?;
    }
    say(format_args!(
        "Key records change with every password: back up the key directory more often than the mail,\n\
         or at each change ([keys] after_write). One older than the mail does not open all of it."
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether an earlier set-up gave it to a group: the pepper keeps that of who made both.
fn is_shared(sealing_key: &Path, pepper: &Path) -> bool {
    let group = |path: &Path| fs::metadata(path).map(|metadata| metadata.gid()).ok();
    group(sealing_key) != group(pepper)
}

/// The number of a group, from /etc/group; a number stands for itself.
fn group_number(name: &str) -> Result<u32, Failure> {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let listed = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    listed.or_else(|| name.parse().ok()).ok_or_else(|| {
        let failure = Failure::argument(format!("there is no group {name} in /etc/group"));
        failure.hint("give its number if it is kept elsewhere")
    })
}

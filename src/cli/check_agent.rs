//! What `nightsafe check` finds of the agent.

use std::os::unix::fs::MetadataExt as _;

use crate::agent::client::ClientError;
use crate::agent::protocol::{Reply, Request};
use crate::config::{self, Config};
use crate::keys::files::KeyDirectory;
use crate::keys::public::PublicFolder;
use crate::sys::accounts;

use super::exit::Failure;
use super::unlock;

/// Who may ask, and whether it answers. A site where nobody reads on this machine has no use for one.
pub(super) fn agent(config: &Config) -> Result<String, Failure> {
    let settings = &config.agent;
    for name in settings.allow.keys() {
        if accounts::uid_of(name).is_none() {
            let error = format!("[agent] allow names {name}, who is not in /etc/passwd");
            return Err(Failure::config(error).hint("name a local user, or a number"));
        }
    }
    files(config)?;
    let mut client = match unlock::connect(settings) {
        Ok(client) => client,
        Err(ClientError::Absent { .. }) if *settings == config::Agent::default() => {
            let socket = settings.socket.display();
            return Ok(format!("no agent at {socket}, which only logins need"));
        }
        Err(error) => return Err(error.into()),
    };
    match client.ask(&Request::Status { user: None, after: "" })? {
        Reply::Status { users, more } => {
            let count = users.len();
            let at_least = if more { "at least " } else { "" };
            Ok(format!("it answers, {at_least}{count} users unlocked"))
        }
        other => Err(unlock::refused(other, "everybody")),
    }
}

/// Where the agent has a user of its own, what it reads and writes must belong to him.
fn files(config: &Config) -> Result<(), Failure> {
    let name = &config.agent.user;
    let Some(uid) = accounts::uid_of(name) else { return Ok(()) };
    let keys = &config.keys;
    let folders =
        [KeyDirectory::private_below(&keys.directory), PublicFolder::path_below(&keys.directory)];
    let secrets = [keys.pepper.clone(), keys.provisional_key.clone()];
    for path in folders.iter().chain(&secrets) {
        let owner = std::fs::metadata(path).map(|metadata| metadata.uid());
        if owner.is_ok_and(|owner| owner != uid) {
            let path = path.display();
            let error = format!("{path} does not belong to {name}, whom the agent runs as");
            return Err(Failure::config(error)
                .hint(format!("as root: nightsafe setup, or chown -R {name} {path}")));
        }
    }
    Ok(())
}

//! `nightsafe unseal`

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::age::SecretKey;
use crate::agent::client::ClientError;
use crate::agent::identity::AgentIdentity;
use crate::agent::protocol::{Reply, Request};
use crate::lifecycle::unlock as login;
use crate::seal::{self, Outer, Ring, Trust, UnsealError, Unsealed};
use crate::sys::file;
use crate::user::User;

use super::exit::{Failure, complain};
use super::password;
use super::site::{Site, warn_of_disagreement};
use super::unlock;
use super::usage::Unseal;

/// The longest identity file, in octets.
const MAX_IDENTITY_BYTES: u64 = 1024 * 1024;
/// The longest original that is opened without a good signature, in octets.
const MAX_UNSIGNED_BYTES: u64 = 4 << 30;

pub(super) fn run(config: Option<&Path>, arguments: &Unseal) -> Result<ExitCode, Failure> {
    let stdin = Some(Path::new("-"));
    let from_stdin = arguments.file.is_none() || arguments.file.as_deref() == stdin;
    if from_stdin && arguments.password.password_file.as_deref() == stdin {
        return Err(Failure::argument(
            "standard input cannot be both the message and the password",
        ));
    }
    let stored = read_message(arguments.file.as_deref())?;
    let site = Site::load(config)?;
    let ring = match Ring::load(&site.config.keys.sealing_key) {
        Ok(ring) => ring,
        // Far from the server there is no ring; then somebody has to say that none is wanted.
        Err(_) if arguments.allow_unsigned => Ring::default(),
        Err(error) => {
            let hint = "--allow-unsigned opens without it; what it shows may be forged";
            return Err(Failure::from(error).hint(hint));
        }
    };
    let named = arguments.user.as_deref().map(|user| site.user(user)).transpose()?;
    let (keys, names) = if let Some(identity) = &arguments.identity {
        (Keys::Here(identities(identity)?), named.map(|user| vec![user]))
    } else {
        // Whoever cannot be helped is not asked for a password first.
        let outer = Outer::parse(&stored)?;
        if !arguments.allow_unsigned {
            outer.verify(&ring, None).map_err(UnsealError::from)?;
        }
        let user = named.or_else(|| outer.claims().map(|signature| signature.user.clone()));
        let user = user.ok_or_else(|| {
            Failure::argument("the message does not say whose it is").hint("--user USER")
        })?;
        let (keys, names) = match at_agent(&site, &user, arguments)? {
            Some(found) => found,
            None => log_in(&site, &user, arguments)?,
        };
        (keys, Some(names))
    };
    let trust = if arguments.allow_unsigned {
        Trust::Anybody { ring: &ring, user: names.as_deref(), max_bytes: MAX_UNSIGNED_BYTES }
    } else {
        Trust::Signed { ring: &ring, user: names.as_deref() }
    };
    let unsealed = keys.unseal(&stored, trust)?;
    drop(stored);
    if let Some(doubt) = &unsealed.doubt {
        complain("warning", &format!("this site does not vouch for it: {doubt}"));
    }
    let mut out = io::stdout().lock();
    let written = out.write_all(unsealed.message.expose()).and_then(|()| out.flush());
    written.map_err(|cause| Failure::output(&cause))?;
    Ok(ExitCode::SUCCESS)
}

/// A stored message, from a file or standard input.
pub(super) fn read_message(path: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let (read, name) = match path.filter(|path| *path != Path::new("-")) {
        None => (io::stdin().lock().read_to_end(&mut bytes), "standard input".to_owned()),
        Some(path) => {
            let read = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
            (read, path.display().to_string())
        }
    };
    read.map_err(|cause| Failure::no_input(format!("cannot read {name}: {cause}")))?;
    Ok(bytes)
}

/// What opens the message.
enum Keys {
    /// The keys themselves.
    Here(Vec<SecretKey>),
    /// Somebody who has them.
    AtAgent(Box<AgentIdentity>),
}

impl Keys {
    fn unseal(&self, stored: &[u8], trust: Trust<'_>) -> Result<Unsealed, Failure> {
        match self {
            Self::Here(keys) => Ok(seal::unseal(stored, keys, trust)?),
            Self::AtAgent(identity) => {
                let unsealed = seal::unseal(stored, std::slice::from_ref(identity.as_ref()), trust);
                match identity.problem() {
                    Some(silence) => Err(Failure::temporary(silence)),
                    None => Ok(unsealed?),
                }
            }
        }
    }
}

/// The user's keys at the agent, and his names; `None` where a password has to be asked for. One that
/// was given is used.
fn at_agent(
    site: &Site,
    user: &User,
    arguments: &Unseal,
) -> Result<Option<(Keys, Vec<User>)>, Failure> {
    if arguments.password.password_file.is_some() {
        return Ok(None);
    }
    let mut client = match unlock::connect(&site.config.agent) {
        Ok(client) => client,
        Err(ClientError::Absent { .. }) => return Ok(None),
        Err(error) => {
            complain("warning", &error);
            return Ok(None);
        }
    };
    match client.ask(&Request::Lease { user: user.as_str(), reader: None }) {
        Ok(Reply::Unlocked { names, .. }) => {
            let names: Result<Vec<User>, _> = names.iter().map(|name| User::parse(name)).collect();
            let identity = AgentIdentity::new(client, user.as_str());
            Ok(Some((Keys::AtAgent(Box::new(identity)), names?)))
        }
        Ok(_) => Ok(None),
        Err(error) => {
            complain("warning", &error);
            Ok(None)
        }
    }
}

/// The user's keys, unlocked by his password, and his names.
fn log_in(site: &Site, user: &User, arguments: &Unseal) -> Result<(Keys, Vec<User>), Failure> {
    let both = site.keys().and_then(|keys| Ok((keys, site.secrets()?)));
    let (keys, secrets) = both.map_err(|failure| {
        // Local users read through the agent; key records are not theirs to open.
        let is_hidden = failure.is_permission();
        let hint = format!("nightsafe unlock {user}, and then this again");
        if is_hidden { failure.hint(hint) } else { failure }
    })?;
    let file = arguments.password.password_file.as_deref();
    let password = password::ask(file, user.as_str())?;
    let (record, unlocked) = login::unlock(&keys, user, password.expose(), &secrets)?;
    warn_of_disagreement(&keys, user, &record);
    Ok((Keys::Here(unlocked.keys), record.all_names()))
}

fn identities(path: &Path) -> Result<Vec<SecretKey>, Failure> {
    let file = file::read(path, MAX_IDENTITY_BYTES)?;
    let wrong = |line: usize, problem: &dyn std::fmt::Display| {
        Failure::data(format!("{}: line {line}: {problem}", path.display()))
    };
    let text = std::str::from_utf8(file.expose()).map_err(|_| wrong(1, &"not text"))?;
    let mut keys = Vec::new();
    for (number, line) in text.lines().map(str::trim).enumerate() {
        if !line.is_empty() && !line.starts_with('#') {
            keys.push(SecretKey::parse(line).map_err(|error| wrong(number + 1, &error))?);
        }
    }
    if keys.is_empty() { Err(wrong(1, &"there is no age identity in it")) } else { Ok(keys) }
}

//! `nightsafe unseal`

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::age::SecretKey;
use crate::keys::record::Unlocked;
use crate::lifecycle::unlock::unlock;
use crate::seal::{self, Outer, Ring, Trust, UnsealError};
use crate::sys::file;
use crate::user::User;

use super::exit::{Failure, complain};
use super::password;
use super::site::{Site, warn_of_disagreement};
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
        (identities(identity)?, named.map(|user| vec![user]))
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
        let (unlocked, names) = log_in(&site, &user, arguments)?;
        (unlocked.keys, Some(names))
    };
    let trust = if arguments.allow_unsigned {
        Trust::Anybody { ring: &ring, user: names.as_deref(), max_bytes: MAX_UNSIGNED_BYTES }
    } else {
        Trust::Signed { ring: &ring, user: names.as_deref() }
    };
    let unsealed = seal::unseal(&stored, &keys, trust)?;
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

/// The user's keys and names.
fn log_in(site: &Site, user: &User, arguments: &Unseal) -> Result<(Unlocked, Vec<User>), Failure> {
    let (keys, secrets) = (site.keys()?, site.secrets()?);
    let file = arguments.password.password_file.as_deref();
    let password = password::ask(file, user.as_str())?;
    let (record, unlocked) = unlock(&keys, user, password.expose(), &secrets)?;
    warn_of_disagreement(&keys, user, &record);
    Ok((unlocked, record.all_names()))
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

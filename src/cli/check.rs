//! `nightsafe check`: what is wrong with the site, line by line, and how to mend it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;

use crate::config::{Config, DEFAULT_PATH};
use crate::delivery;
use crate::keys::files::KeyDirectory;
use crate::keys::pepper::Pepper;
use crate::keys::public::PublicFolder;
use crate::lifecycle::accounts;
use crate::seal::{Ring, SealingKey};

use super::exit::Failure;

/// The lines so far.
struct Lines {
    good: bool,
}

impl Lines {
    fn line(&mut self, subject: &str, found: Result<String, Failure>) {
        match found {
            Ok(text) => println!("ok     {subject}: {text}"),
            Err(failure) => {
                self.good = false;
                println!("ERROR  {subject}: {}", failure.error());
                if let Some(hint) = failure.advice() {
                    println!("       {hint}");
                }
            }
        }
    }
}

pub(super) fn run(path: Option<&Path>) -> Result<ExitCode, Failure> {
    let mut lines = Lines { good: true };
    let config = Config::load(path)?;
    let name = path.unwrap_or(Path::new(DEFAULT_PATH));
    let read = if name.exists() { "read" } else { "not there, the defaults hold" };
    lines.line("configuration", Ok(format!("{} {read}", name.display())));
    lines.line("[seal]", sealing(&config));
    lines.line("[users]", users(&config));
    lines.line("sealing key", sealing_key(&config));
    lines.line("pepper", pepper(&config));
    lines.line("public keys", public_keys(&config));
    match KeyDirectory::open(&config.keys.directory, None, &[]) {
        Err(error) => lines.line("key records", Err(error.into())),
        Ok(keys) => {
            lines.line("key records", key_records(&keys, &config));
            for account in accounts::list(&keys)? {
                if let Some(problem) = account.problem {
                    let found = Failure::data(problem)
                        .hint("restore what is missing or older from the backup");
                    lines.line(&format!("user {}", account.user), Err(found));
                }
            }
        }
    }
    if lines.good {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Failure::config("the site is not in order").hint("mend the lines marked ERROR"))
    }
}

fn sealing(config: &Config) -> Result<String, Failure> {
    let fixed = delivery::site::fixed(config)?;
    let clear = &config.seal.clear_headers;
    let clear = if clear.is_empty() { "no field stays readable".into() } else { clear.join(", ") };
    Ok(format!("domain {}, {clear}", fixed.domain))
}

fn users(config: &Config) -> Result<String, Failure> {
    let rules = config.users.canonical()?;
    Ok(format!("{} entries in the map", rules.map.len()))
}

fn sealing_key(config: &Config) -> Result<String, Failure> {
    let path = &config.keys.sealing_key;
    let key = SealingKey::load(path)?;
    closed_to_others(path)?;
    if !Ring::load(path)?.has(key.id()) {
        let ring = Ring::path_beside(path);
        let error = format!("{} does not have key {}", ring.display(), key.id());
        return Err(Failure::config(error).hint("restore the ring from the backup"));
    }
    Ok(format!("key {} of site {}", key.id(), key.site()))
}

fn pepper(config: &Config) -> Result<String, Failure> {
    let pepper = Pepper::load(&config.keys.pepper)?;
    closed_to_others(&config.keys.pepper)?;
    Ok(format!("pepper {}", pepper.id()))
}

fn public_keys(config: &Config) -> Result<String, Failure> {
    let site = SealingKey::load(&config.keys.sealing_key)?;
    PublicFolder::open(&config.keys.directory, Some(site.site()))?;
    Ok(format!("{} is of this site", PublicFolder::path_below(&config.keys.directory).display()))
}

fn key_records(keys: &KeyDirectory, config: &Config) -> Result<String, Failure> {
    let (private, _) = keys.ownership()?;
    let path = KeyDirectory::private_below(&config.keys.directory);
    if private.mode & 0o077 != 0 {
        let error = format!("{} is open to others (mode {:o})", path.display(), private.mode);
        return Err(Failure::config(error).hint(format!("chmod 700 {}", path.display())));
    }
    Ok(format!("{} users", keys.users()?.len()))
}

fn closed_to_others(path: &Path) -> Result<(), Failure> {
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.mode());
    if mode & 0o007 == 0 {
        return Ok(());
    }
    let error = format!("{} is open to everybody (mode {:o})", path.display(), mode & 0o7777);
    Err(Failure::config(error).hint(format!("chmod o= {}", path.display())))
}

//! `nightsafe check`: what is wrong with the site, line by line, and how to mend it.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::config::{self, Config, DEFAULT_PATH};
use crate::delivery::next_hop::lmtp::NoOffer;
use crate::delivery::{self, next_hop};
use crate::keys::files::KeyDirectory;
use crate::keys::pepper::Pepper;
use crate::keys::public::PublicFolder;
use crate::keys::site_secrets::{load_provisional, load_recovery};
use crate::keys::{Slot, SlotKind};
use crate::lifecycle::accounts::{self, Account};
use crate::lifecycle::recovery_key::{PRIVATE, SHARE};
use crate::lifecycle::secrets;
use crate::seal::{Ring, SealingKey};

use crate::sys::process;
use crate::sys::socket::Address;

use super::exit::{Failure, say};
use super::{check_agent, check_imap, check_logins};

/// The lines so far.
struct Lines {
    good: bool,
}

impl Lines {
    fn line(&mut self, subject: &str, found: Result<String, Failure>) -> Result<(), Failure> {
        let failure = match found {
            Ok(text) => return say(format_args!("ok     {subject}: {text}")),
            Err(failure) => failure,
        };
        self.good = false;
        let error = failure.error();
        let error = error.strip_prefix(subject).unwrap_or(error);
        say(format_args!("ERROR  {subject}: {}", error.trim_start()))?;
        match failure.advice() {
            Some(hint) => say(format_args!("       {hint}")),
            None => Ok(()),
        }
    }

    /// What the site can live with, and should not.
    fn warning(&self, subject: &str, text: &str, hint: &str) -> Result<(), Failure> {
        say(format_args!("WARN   {subject}: {text}"))?;
        say(format_args!("       {hint}"))
    }
}

pub(super) fn run(path: Option<&Path>) -> Result<ExitCode, Failure> {
    let mut lines = Lines { good: true };
    let config = Config::load(path)?;
    let name = path.unwrap_or(Path::new(DEFAULT_PATH));
    let read = if name.exists() { "read" } else { "not there, the defaults hold" };
    lines.line("configuration", Ok(format!("{} {read}", name.display())))?;
    lines.line("[seal]", sealing(&config))?;
    lines.line("[users]", users(&config))?;
    lines.line("sealing key", sealing_key(&config))?;
    lines.line("pepper", or_hidden(pepper(&config)))?;
    lines.line("provisional key", or_hidden(provisional_key(&config)))?;
    lines.line("recovery key", or_hidden(recovery_key(&config)))?;
    lines.line("public keys", public_keys(&config))?;
    lines.line("[lmtp]", lmtp(&config))?;
    for address in config.lmtp.listen.iter().filter(|address| !address.is_local()) {
        let text = format!("whoever reaches {address} can deliver mail, without a login");
        lines.warning(
            "[lmtp] listen",
            &text,
            "let nobody but the MTA reach it, or listen locally",
        )?;
    }
    lines.line("[agent]", check_agent::agent(&config))?;
    lines.line("[imap]", or_hidden(check_imap::settings(&config)))?;
    lines.line("[imap] backend", check_imap::store(&config))?;
    lines.line("[imap] logins", check_imap::logins(&config))?;
    site_logins(&mut lines)?;
    match KeyDirectory::open(&config.keys.directory, None, &[]) {
        Err(error) => lines.line("key records", or_hidden(Err(error.into())))?,
        Ok(keys) => {
            lines.line("key records", key_records(&keys, &config))?;
            let all = accounts::list(&keys)?;
            lines.line("first logins", Ok(first_logins(&all)))?;
            for account in all {
                if let Some(problem) = account.problem {
                    let found = Failure::data(problem)
                        .hint("restore what is missing or older from the backup");
                    lines.line(&format!("user {}", account.user), Err(found))?;
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

/// Only root can look where login passwords are kept.
fn site_logins(lines: &mut Lines) -> Result<(), Failure> {
    const SUBJECT: &str = "login passwords";
    if !process::is_root() {
        return lines.line(SUBJECT, Ok("only root can see how the site keeps them".into()));
    }
    let weak = check_logins::weak_below(Path::new("/"));
    for place in &weak {
        lines.warning(SUBJECT, &place.what, place.mend)?;
    }
    if weak.is_empty() {
        let found = "nothing weaker than the key records in sasldb, saslauthd, Dovecot's files, /etc/shadow";
        lines.line(SUBJECT, Ok(found.into()))?;
    }
    Ok(())
}

/// Delivery's own user must not be able to read what opens mail; told so, it is in order.
fn or_hidden(found: Result<String, Failure>) -> Result<String, Failure> {
    match found {
        Err(failure) if failure.is_permission() && !process::is_root() => {
            Ok("not readable by this user, as it should be for delivery".into())
        }
        other => other,
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
    closed_to(path, 0o007)?;
    if !Ring::load(path)?.has(key.id()) {
        let ring = Ring::path_beside(path);
        let error = format!("{} does not have key {}", ring.display(), key.id());
        return Err(Failure::config(error).hint("restore the ring from the backup"));
    }
    closed_to(&Ring::path_beside(path), 0o022)?;
    reachable(path)?;
    Ok(format!("key {} of site {}", key.id(), key.site()))
}

fn pepper(config: &Config) -> Result<String, Failure> {
    let pepper = Pepper::load(&config.keys.pepper)?;
    closed_to(&config.keys.pepper, 0o077)?;
    Ok(format!("pepper {}", pepper.id()))
}

fn provisional_key(config: &Config) -> Result<String, Failure> {
    let path = &config.keys.provisional_key;
    let Some(key) = load_provisional(path)? else {
        return Ok(format!(
            "{} is not there, which only `enroll --provisional` needs",
            path.display()
        ));
    };
    closed_to(path, 0o077)?;
    Ok(format!("key {}", key.public_key()))
}

fn recovery_key(config: &Config) -> Result<String, Failure> {
    let path = &config.keys.recovery_key;
    if path.as_os_str().is_empty() {
        return Ok("none: escrow is off".into());
    }
    let key = load_recovery(path)?;
    // Who can write there can read everybody's mail from the next logins on.
    closed_to(path, 0o022)?;
    if let Some(private) = private_half_beside(path) {
        let error = format!("{} is a private half of the recovery key", private.display());
        return Err(Failure::config(error).hint(
            "only recovery.pub belongs here: if others could read it, make a new recovery key",
        ));
    }
    Ok(format!("escrow is on, with key {key}"))
}

/// What an officer copied here with the public half.
fn private_half_beside(path: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(path.parent()?).ok()?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    paths.find(|path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name == PRIVATE || name.starts_with(SHARE)
    })
}

fn first_logins(accounts: &[Account]) -> String {
    match accounts.iter().filter(|account| account.provisional).count() {
        0 => "no account is provisional".into(),
        1 => "1 account is provisional: whoever has the provisional key opens its mail".into(),
        waiting => format!(
            "{waiting} accounts are provisional: whoever has the provisional key opens their mail"
        ),
    }
}

fn public_keys(config: &Config) -> Result<String, Failure> {
    let site = SealingKey::load(&config.keys.sealing_key)?;
    let path = PublicFolder::path_below(&config.keys.directory);
    PublicFolder::open(&config.keys.directory, Some(site.site()))?;
    // Who can write there gets mail sealed to a key of his own.
    closed_to(&path, 0o022)?;
    reachable(&path)?;
    Ok(format!("{} is of this site", path.display()))
}

/// Whether a store of this limit, 0 for none, may refuse what was sealed of a message within ours.
fn is_too_small(of_store: u64, ours: u64) -> bool {
    of_store != 0 && of_store / 3 * 2 < ours
}

/// How long somebody who looks on waits for a reply of the store.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a site may have no use for `[lmtp]`: it has not touched it, and at no socket of it there is
/// or was anybody.
fn is_unused(settings: &config::Lmtp) -> bool {
    let is_away = |address: &Address| match address {
        Address::Unix(path) => path.try_exists().is_ok_and(|exists| !exists),
        Address::Inet(_) => false,
    };
    *settings == config::Lmtp::default()
        && is_away(&settings.backend)
        && settings.listen.iter().all(is_away)
}

/// What the store offers.
fn lmtp(config: &Config) -> Result<String, Failure> {
    let settings = &config.lmtp;
    delivery::lmtp::check(config)?;
    let mut server = delivery::lmtp::server(settings)?;
    for limit in [&mut server.timeouts.connect, &mut server.timeouts.reply] {
        *limit = PATIENCE.min(*limit);
    }
    if server.login.is_some() {
        closed_to(&settings.backend_password_file, 0o007)?;
    }
    let backend = &settings.backend;
    if server.login.is_some() && !backend.is_local() {
        let error = format!("the password of backend_user goes to {backend} in the clear");
        return Err(Failure::config(error).hint("use a Unix socket or a tunnel that encrypts"));
    }
    match next_hop::lmtp::ask_for_offer(&server) {
        Ok(offer) if is_too_small(offer.max_octets, config.delivery.max_message_bytes) => {
            let error = format!(
                "{backend} takes at most {} octets, which the largest message is when it is sealed",
                offer.max_octets
            );
            let hint = "raise the store's limit to 1.5 times [delivery] max_message_bytes";
            Err(Failure::config(error).hint(hint))
        }
        Ok(offer) => {
            let names = offer.names().join(", ");
            let names = if names.is_empty() { "no extension".to_owned() } else { names };
            let login = match &server.login {
                Some(_) if !offer.has_plain() => ", and no login by PLAIN, so that backend_user does not matter",
                _ => "",
            };
            Ok(format!("{backend} offers {names}{login}"))
        }
        Err(NoOffer::Away(_)) if is_unused(settings) => {
            Ok(format!("no store at {backend}, which only `nightsafe lmtp` needs"))
        }
        Err(NoOffer::Login(refusal)) => Err(Failure::config(refusal.detail).hint(
            "[lmtp] backend_user is a name that may deliver there, and backend_password_file has its password",
        )),
        Err(NoOffer::Away(refusal)) => Err(Failure::config(refusal.detail).hint(
            "start the store; [lmtp] backend is its LMTP socket, and this user must reach it",
        )),
    }
}

fn key_records(keys: &KeyDirectory, config: &Config) -> Result<String, Failure> {
    let (private, _) = keys.ownership()?;
    let path = KeyDirectory::private_below(&config.keys.directory);
    if private.mode & 0o077 != 0 {
        let error = format!("{} is open to others (mode {:o})", path.display(), private.mode);
        return Err(Failure::config(error).hint(format!("chmod 700 {}", path.display())));
    }
    let secrets = secrets::load(&config.keys)?;
    let pepper = secrets.pepper.id();
    let provisional = secrets.provisional.map(|key| key.public_key().to_string());
    let recovery = secrets.recovery.map(|key| key.to_string());
    let mut recoverable = 0;
    let users = keys.users()?;
    for user in &users {
        // What cannot be read is told for each user.
        let Ok(Some(record)) = keys.record(user) else { continue };
        let mut peppers = record.slots().iter().filter_map(Slot::pepper);
        if let Some(other) = peppers.find(|needed| *needed != pepper) {
            let error = format!("the password of {user} needs pepper {other}, not {pepper}");
            return Err(Failure::config(error).hint("restore the pepper from the backup"));
        }
        let mut waiting = record.slots().iter().filter(|slot| slot.kind() == SlotKind::Provisional);
        if let Some(slot) = waiting.find(|slot| Some(slot.public()) != provisional.as_deref()) {
            let error = format!("{user} needs provisional key {}", slot.public());
            return Err(Failure::config(error).hint("restore that key from the backup"));
        }
        let mut escrow = record.slots().iter().filter(|slot| slot.kind() == SlotKind::Escrow);
        recoverable += usize::from(escrow.any(|slot| Some(slot.public()) == recovery.as_deref()));
    }
    let count = match users.len() {
        1 => "1 user".to_owned(),
        count => format!("{count} users"),
    };
    Ok(match recovery {
        None => count,
        Some(_) => format!("{count}, {recoverable} with a slot for the recovery key"),
    })
}

/// Whether a secret has none of the permission bits `others`.
pub(super) fn closed_to(path: &Path, others: u32) -> Result<(), Failure> {
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.mode());
    if mode & others == 0 {
        return Ok(());
    }
    let error = format!("{} is open to others (mode {:o})", path.display(), mode & 0o7777);
    let closed = mode & 0o777 & !others;
    Err(Failure::config(error).hint(format!("chmod {closed:o} {}", path.display())))
}

/// Whether everybody may pass through the folders above `path`: delivery has to, as a user of its own.
/// Only root can serve several users, so only root is told.
fn reachable(path: &Path) -> Result<(), Failure> {
    for folder in path.ancestors().skip(1).filter(|_| process::is_root()) {
        let mode = std::fs::metadata(folder).map_or(0o001, |metadata| metadata.mode());
        if mode & 0o001 == 0 {
            let error = format!("delivery cannot pass through {}", folder.display());
            return Err(Failure::config(error).hint(format!("chmod o+x {}", folder.display())));
        }
    }
    Ok(())
}

//! A small process beside the agent that does what the agent, in its sandbox, cannot: it runs `[keys]
//! after_write`, and reads the configuration again. It holds no secret and is told nothing but a path.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::age::PublicKey;
use crate::config::{Config, ConfigError, DEFAULT_PATH, MAX_CONFIG_BYTES, MAX_MAP_BYTES};
use crate::keys::after_write::{AfterWrite, SiteCommand};
use crate::keys::site_secrets::{MAX_RECOVERY_BYTES, parse_recovery};
use crate::lifecycle::secrets;
use crate::secret::SecretBytes;
use crate::sys::{accounts, file, process};
use crate::user::Canonical;

/// What the agent asks for: the first octet of a question.
const RUN: u8 = b'r';
const CONFIGURATION: u8 = b'c';
/// The longest question or piece of an answer, in octets.
const MAX_PIECE_BYTES: u64 = MAX_MAP_BYTES;

/// The agent's end.
pub struct Runner {
    name: String,
    stream: Mutex<UnixStream>,
}

/// What a reload needs.
#[derive(Debug)]
pub struct Configuration {
    /// All of it.
    pub config: Config,
    /// The rules of `[users]`, with the map file.
    pub rules: Canonical,
    /// The key that `[keys] recovery_key` names.
    pub recovery: Option<PublicKey>,
    /// /etc/passwd.
    pub users: String,
}

impl Runner {
    /// Starts this program anew with `arguments`, as the runner of `command`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &[String], arguments: &[&OsStr]) -> io::Result<Arc<Self>> {
        let name = command.first().cloned().unwrap_or_default();
        let stream = Mutex::new(process::start_beside(arguments)?);
        Ok(Arc::new(Self { name, stream }))
    }

    /// Reads the configuration at `path` again.
    ///
    /// # Errors
    /// What is wrong with it, or with the runner.
    pub fn configuration(&self, path: Option<&Path>) -> Result<Configuration, String> {
        let stream = self.stream();
        send(&*stream, &[CONFIGURATION]).map_err(gone)?;
        let piece = || receive(&*stream).map_err(gone)?.ok_or_else(nobody);
        let [problem, config, map, recovery, users] =
            [piece()?, piece()?, piece()?, piece()?, piece()?];
        drop(stream);
        if !problem.is_empty() {
            return Err(String::from_utf8_lossy(&problem).into_owned());
        }
        let parsed = Config::of(path.unwrap_or(Path::new(DEFAULT_PATH)), &config);
        let config = parsed.map_err(|error| error.to_string())?;
        let map = config.users.map_file().map(|_| map.as_slice());
        let rules = config.users.canonical_with(map).map_err(|error| error.to_string())?;
        let path = secrets::recovery_path(&config.keys);
        let recovery = path.map(|path| parse_recovery(path, &recovery)).transpose();
        let recovery = recovery.map_err(|error| error.to_string())?;
        let users = String::from_utf8_lossy(&users).into_owned();
        Ok(Configuration { config, rules, recovery, users })
    }

    fn stream(&self) -> MutexGuard<'_, UnixStream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Runner({})", self.name)
    }
}

impl AfterWrite for Arc<Runner> {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, path: &Path) -> Result<(), String> {
        if self.name.is_empty() {
            return Ok(());
        }
        let stream = self.stream();
        let question = [&[RUN], path.as_os_str().as_bytes()].concat();
        let answer = send(&*stream, &question).and_then(|()| receive(&*stream)).map_err(gone)?;
        let problem = answer.ok_or_else(nobody)?;
        if problem.is_empty() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&problem).into_owned())
        }
    }
}

fn gone(cause: io::Error) -> String {
    format!("the process beside the agent does not answer ({cause}); restart the agent")
}

fn nobody() -> String {
    "the process beside the agent is gone; restart the agent".to_owned()
}

/// The runner itself: runs `command` for each path that comes in, and reads the configuration at `path`
/// when that is asked for, until the agent is gone.
///
/// # Errors
/// When the agent cannot be read from or written to.
pub fn run(command: Vec<String>, path: Option<&Path>) -> io::Result<()> {
    let stream = process::stdin_stream()?;
    let command = SiteCommand(command);
    while let Some(question) = receive(&stream)? {
        match question.split_first() {
            Some((&RUN, record)) => {
                let record = PathBuf::from(OsString::from_vec(record.to_vec()));
                send(&stream, command.run(&record).err().unwrap_or_default().as_bytes())?;
            }
            _ => {
                let read = read_configuration(path);
                let problem = read.as_ref().err().map(ToString::to_string).unwrap_or_default();
                let read = read.unwrap_or_default();
                send(&stream, problem.as_bytes())?;
                for piece in [read.config, read.map, read.recovery] {
                    send(&stream, piece.expose())?;
                }
                send(&stream, accounts::users().as_bytes())?;
            }
        }
    }
    Ok(())
}

/// The configuration file, the map file and the public recovery key that it names. Nothing for a file that
/// need not be there.
#[derive(Default)]
struct Files {
    config: SecretBytes,
    map: SecretBytes,
    recovery: SecretBytes,
}

fn read_configuration(path: Option<&Path>) -> Result<Files, ConfigError> {
    let chosen = path.unwrap_or(Path::new(DEFAULT_PATH));
    let config = match file::read(chosen, MAX_CONFIG_BYTES) {
        Err(error) if path.is_none() && error.kind() == io::ErrorKind::NotFound => {
            SecretBytes::default()
        }
        other => other?,
    };
    let parsed = Config::of(chosen, config.expose())?;
    let map = parsed.users.map_file().map(|map| file::read(map, MAX_MAP_BYTES)).transpose()?;
    let recovery = secrets::recovery_path(&parsed.keys);
    let recovery = recovery.map(|path| file::read(path, MAX_RECOVERY_BYTES)).transpose()?;
    let (map, recovery) = (map.unwrap_or_default(), recovery.unwrap_or_default());
    Ok(Files { config, map, recovery })
}

fn send(mut to: impl Write, piece: &[u8]) -> io::Result<()> {
    let length = u32::try_from(piece.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(piece)
}

fn receive(mut from: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u64::from(u32::from_be_bytes(length));
    if length > MAX_PIECE_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut piece = Vec::new();
    from.take(length).read_to_end(&mut piece)?;
    if piece.len() as u64 == length { Ok(Some(piece)) } else { Ok(None) }
}

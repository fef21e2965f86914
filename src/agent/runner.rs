//! A small process beside the agent that runs `[keys] after_write` for it: the agent itself can start no
//! program and open no file but keys. It holds no secret and is told nothing but a path.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::keys::after_write::{AfterWrite, SiteCommand};
use crate::sys::process;

/// The longest path or answer, in octets.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// The agent's end.
pub struct Runner {
    name: String,
    stream: Mutex<UnixStream>,
}

impl Runner {
    /// Starts this program anew with `arguments`, as the runner of `command`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &[String], arguments: &[&std::ffi::OsStr]) -> io::Result<Self> {
        let name = command.first().cloned().unwrap_or_default();
        let stream = Mutex::new(process::start_beside(arguments)?);
        Ok(Self { name, stream })
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Runner({})", self.name)
    }
}

impl AfterWrite for Runner {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, path: &Path) -> Result<(), String> {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = send(&*stream, path.as_os_str().as_bytes()).and_then(|()| receive(&*stream));
        match answer {
            Ok(Some(answer)) if answer.is_empty() => Ok(()),
            Ok(Some(answer)) => Err(String::from_utf8_lossy(&answer).into_owned()),
            Ok(None) => Err("the process that runs it is gone; restart the agent".to_owned()),
            Err(cause) => Err(cause.to_string()),
        }
    }
}

/// The runner itself: runs `command` for each path that comes in, until the agent is gone.
///
/// # Errors
/// When the agent cannot be read from or written to.
pub fn run(command: Vec<String>) -> io::Result<()> {
    let stream = process::stdin_stream()?;
    let command = SiteCommand(command);
    while let Some(path) = receive(&stream)? {
        let path = PathBuf::from(std::ffi::OsString::from_vec(path));
        let answer = command.run(&path).err().unwrap_or_default();
        send(&stream, answer.as_bytes())?;
    }
    Ok(())
}

fn send(mut to: impl Write, line: &[u8]) -> io::Result<()> {
    let line = line.get(..line.len().min(MAX_LINE_BYTES)).unwrap_or_default();
    let length = u32::try_from(line.len()).unwrap_or(0);
    to.write_all(&length.to_be_bytes())?;
    to.write_all(line)
}

fn receive(mut from: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_LINE_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut line = vec![0; length];
    from.read_exact(&mut line)?;
    Ok(Some(line))
}

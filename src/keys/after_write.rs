//! What a site does after each write of a key record: a backup, a replication. Nothing new holds
//! before it has succeeded.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs after each write of a key record.
pub trait AfterWrite: fmt::Debug + Send + Sync {
    /// What it is, for errors.
    fn name(&self) -> &str;

    /// Does it, for the record at `path`.
    ///
    /// # Errors
    /// What it answered.
    fn run(&self, path: &Path) -> Result<(), String>;
}

/// A program and its arguments, with the record's path as the last one; nothing when it is empty.
#[derive(Debug)]
pub struct SiteCommand(pub Vec<String>);

impl AfterWrite for SiteCommand {
    fn name(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    fn run(&self, path: &Path) -> Result<(), String> {
        let Some((program, arguments)) = self.0.split_first() else { return Ok(()) };
        let run = Command::new(program)
            .args(arguments)
            .arg(path)
            .stdin(Stdio::null())
            .stdout(io::stderr())
            .status();
        match run {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(status.to_string()),
            Err(cause) => Err(cause.to_string()),
        }
    }
}

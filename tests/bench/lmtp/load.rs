//! One run of Postfix' own load generator.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::site::{server_file, server_libraries};

/// What is sent in one run.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// A message of the corpus.
    pub(crate) message: &'static str,
    /// Connections at a time; each message has one of its own.
    pub(crate) sessions: usize,
    /// Messages.
    pub(crate) count: usize,
    /// Recipients of each.
    pub(crate) recipients: usize,
}

impl Load {
    /// Sends it to `user` at `unix:PATH` or `HOST:PORT`; messages a second.
    pub(crate) fn run(&self, server: &str, user: &str) -> f64 {
        let message = format!("{}/fixtures/mail/{}.eml", env!("CARGO_MANIFEST_DIR"), self.message);
        let mut command = Command::new(server_file("/usr/sbin/smtp-source"));
        command
            .env("LD_LIBRARY_PATH", server_libraries())
            .args(["-L", "-F", &message])
            .args(["-s", &self.sessions.to_string(), "-m", &self.count.to_string()])
            .args(["-r", &self.recipients.to_string()])
            .args(["-f", "sender@elsewhere.test", "-t", &format!("{user}@example.org")])
            .arg(server)
            .stdin(Stdio::null());
        let start = Instant::now();
        let status = command.status().unwrap();
        let seconds = start.elapsed().as_secs_f64();
        // It ends early, and looks fast, when it is refused.
        assert!(status.success(), "{command:?}: {status}");
        self.count as f64 / seconds
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

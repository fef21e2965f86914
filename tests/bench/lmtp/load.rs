//! One run of Postfix' own load generator.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use tempfile::NamedTempFile;

use crate::rounds::fixture;
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
        let message = with_local_line_ends(self.message);
        let mut command = Command::new(server_file("/usr/sbin/smtp-source"));
        command
            .env("LD_LIBRARY_PATH", server_libraries())
            .args(["-L", "-F"])
            .arg(message.path())
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

/// A message of the corpus as `smtp-source -F` wants it, which puts CR LF in the place of each LF: what has
/// a CR there already would arrive with two, and without a header.
fn with_local_line_ends(message: &str) -> NamedTempFile {
    let text = fixture(message);
    let mut local = NamedTempFile::new().unwrap();
    for (index, line) in text.split(|octet| *octet == b'\n').enumerate() {
        let end: &[u8] = if index > 0 { b"\n" } else { b"" };
        local.write_all(end).unwrap();
        local.write_all(line.strip_suffix(b"\r").unwrap_or(line)).unwrap();
    }
    local
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median of what `these` are to `those`, each to that of its round, with the least and the most of it.
pub(crate) fn ratio(these: &[f64], those: &[f64]) -> String {
    let ratios: Vec<f64> = these.iter().zip(those).map(|(this, that)| this / that).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    format!("{:.2} ({least:.2}-{most:.2})", median(ratios))
}

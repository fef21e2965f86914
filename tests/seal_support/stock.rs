//! Opening a sealed message with nothing of nightsafe: text tools, `base64`, `age` and `zstd`.

use std::path::Path;
use std::process::{Command, Stdio};

use super::program::{run, text};

/// What a user types who has a stored message and an identity file: the lines between the empty line
/// of the second part's header and the next boundary, decoded, opened and decompressed.
pub const PIPELINE: &str = r"set -eo pipefail
tr -d '\r' |
  awk '/^Content-Type: application\/vnd.nightsafe.sealed/ { part = 1 }
       part && /^--/ { exit }
       part && body { print }
       part && /^$/ { body = 1 }' |
  base64 -d | age -d -i identity.txt | zstd -d --quiet";

/// Every program of the pipeline, and the Debian package it is in.
const PROGRAMS: [(&str, &str); 6] = [
    ("bash", "bash"),
    ("tr", "coreutils"),
    ("awk", "mawk"),
    ("base64", "coreutils"),
    ("age", "age"),
    ("zstd", "zstd"),
];

/// Fails where a program is missing: an untested promise is a broken one.
pub fn require_programs() {
    for (program, package) in PROGRAMS {
        let found = Command::new(program)
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(
            found.is_ok(),
            "this test needs the program {program:?} (Debian package {package}): {}",
            found.unwrap_err()
        );
    }
}

/// Opens `stored` in `folder`, where `identity.txt` lies.
pub fn open(folder: &Path, stored: &[u8]) -> Result<Vec<u8>, String> {
    let mut shell = Command::new("bash");
    let output = run(shell.args(["-c", PIPELINE]).current_dir(folder), stored);
    if output.status.success() { Ok(output.stdout) } else { Err(text(&output.stderr)) }
}

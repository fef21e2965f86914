//! Every line that nightsafe can write to the mail log, one function each: nothing of a message, no
//! sender and no secret can get there without passing this file.
//!
//! Layer 0. The lines go to the system's log, as other mail programs' do. What a pipe transport
//! prints is for the sender's eyes, so it says nothing local; this is where the postmaster looks.

use std::fmt::Display;

use syslog::{Facility, Formatter3164};

/// A recipient's mail was not handed on, and why. `detail` may name local files and settings.
pub fn not_delivered(recipient: &str, outcome: &str, detail: &dyn Display) {
    write(format_args!("to=<{}>: {outcome}: {detail}", plain(recipient)));
}

/// The program panicked at `place` in the source.
pub fn panicked(place: &dyn Display) {
    write(format_args!("internal error at {place}; please report it"));
}

fn write(line: std::fmt::Arguments<'_>) {
    let formatter = Formatter3164 {
        facility: Facility::LOG_MAIL,
        hostname: None,
        process: "nightsafe".into(),
        pid: std::process::id(),
    };
    // A machine without a system log gets no lines; delivery goes on.
    if let Ok(mut log) = syslog::unix(formatter) {
        let _ = log.warning(line);
    }
}

/// An address on one line.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

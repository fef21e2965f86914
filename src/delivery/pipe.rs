//! Taking a message from a pipe: all of it, with CRLF line ends, or nothing.

use std::io::{self, Read};

use crate::message::line_ends::ToCrlf;
use crate::secret::{OutOfMemory, SecretBytes};
use crate::sys::process::Caller;

use super::outcome::Outcome;
use super::smtp;

/// The pipe is read in steps of this many octets: few system calls, few fresh pages.
const STEP_BYTES: usize = 32 * 1024;

/// Reads one message of at most `max_bytes` octets to its end. `file_size` is told where the input is a
/// file, which nobody's death can cut short. `sender` becomes its Return-Path unless it begins with one:
/// the store will not get to know him.
///
/// # Errors
/// The outcome to report where the message is too large, cut short, or does not fit into memory.
pub fn read_message(
    mut input: impl Read,
    file_size: Option<u64>,
    sender: Option<&str>,
    max_bytes: u64,
    caller: Caller,
) -> Result<SecretBytes, Outcome> {
    let mut step = SecretBytes::from(vec![0; STEP_BYTES]);
    let mut filled = fill(&mut input, step.expose_mut()).map_err(|cause| cut_short(&cause))?;
    let mut message = SecretBytes::default();
    let no_memory = |_: OutOfMemory| Outcome::out_of_memory();
    // Room for a CR in each line of a usual length; more is found when it is needed.
    let expected = usize::try_from(file_size.unwrap_or(0).min(max_bytes)).unwrap_or(0);
    message.try_reserve(expected.saturating_add(expected / 16)).map_err(no_memory)?;
    let begins = step.expose().get(..filled).unwrap_or_default();
    if let Some(sender) = sender.filter(|_| !smtp::has_return_path(begins)) {
        message.try_push(smtp::return_path(sender).as_bytes()).map_err(no_memory)?;
    }
    // What was put on top is not the sender's.
    let most = max_bytes.saturating_add(message.len() as u64);
    let mut lines = ToCrlf::default();
    while filled > 0 {
        let piece = step.expose().get(..filled).unwrap_or_default();
        lines.push(piece, &mut message).map_err(no_memory)?;
        if message.len() as u64 > most {
            // The caller may take a closed pipe for our answer.
            let _ = io::copy(&mut input, &mut io::sink());
            return Err(Outcome::too_large(max_bytes));
        }
        filled = fill(&mut input, step.expose_mut()).map_err(|cause| cut_short(&cause))?;
    }
    if file_size.is_none() && !caller.waits() {
        return Err(Outcome::cut_short(&"the process that handed the message over is gone"));
    }
    Ok(message)
}

fn cut_short(cause: &io::Error) -> Outcome {
    Outcome::cut_short(&format!("standard input: {cause}"))
}

/// Fills `buffer` as far as the input reaches.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], sender: Option<&str>, max: u64) -> Result<Vec<u8>, Outcome> {
        let message = read_message(bytes, None, sender, max, Caller::now());
        message.map(|message| message.expose().to_vec())
    }

    #[test]
    fn line_ends_and_return_path() {
        assert_eq!(read(b"a: b\n\nc", None, 100).unwrap(), b"a: b\r\n\r\nc");
        assert_eq!(read(b"a: b\n", Some("x@y"), 100).unwrap(), b"Return-Path: <x@y>\r\na: b\r\n");
        assert_eq!(read(b"a", Some(""), 100).unwrap(), b"Return-Path: <>\r\na");
        let has = b"RETURN-Path: <z>\r\n\r\n";
        assert_eq!(read(has, Some("x@y"), 100).unwrap(), has);
        assert_eq!(read(b"", None, 100).unwrap(), b"");
    }

    #[test]
    fn limit() {
        assert!(read(&[b'x'; 100], None, 100).is_ok());
        assert!(read(&[b'x'; 100], Some("a@b"), 100).is_ok());
        assert_eq!(read(&[b'x'; 101], Some("a@b"), 100), Err(Outcome::too_large(100)));
        assert_eq!(read(&[b'x'; 101], None, 100), Err(Outcome::too_large(100)));
        assert_eq!(read(&[b'\n'; 51], None, 100), Err(Outcome::too_large(100)));
        let long = vec![b'\n'; 500_000];
        assert_eq!(read(&long, None, 1_000_000).unwrap().len(), 1_000_000);
    }

    #[test]
    fn a_failing_pipe_is_no_end() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let input = b"Subject: x\n".chain(Failing);
        let outcome = read_message(input, None, None, 100, Caller::now()).unwrap_err();
        assert_eq!(outcome.status(), 75);
    }
}

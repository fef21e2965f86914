//! A command as the next hop: the letter on its standard input, its exit status the answer.
//!
//! The command gets the letter as a finished file in memory. From a pipe it could take a letter cut
//! short for a whole one, should this process be killed meanwhile, and a store that recognises
//! duplicates would refuse the whole one later.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _};
use std::process::{Command as Process, ExitStatus};

use rustix::fs::MemfdFlags;

use crate::user::User;

use super::{BUFFER_BYTES, Letter, NextHop, Refusal};

/// How much of what the command prints is kept for the log, in octets.
const MAX_KEPT_OUTPUT_BYTES: u64 = 1024;

/// A command with its arguments, which may hold `{user}`, `{recipient}` and `{sender}`. No shell.
#[derive(Debug)]
pub struct Command {
    words: Vec<String>,
}

impl Command {
    /// The command `words`, the program first.
    pub fn new(words: &[String]) -> Self {
        Self { words: words.to_vec() }
    }
}

impl NextHop for Command {
    fn hand_on(
        &mut self,
        address: &str,
        user: Option<&User>,
        letter: &Letter<'_>,
    ) -> Result<(), Refusal> {
        let values = [
            ("{user}", user.map(User::as_str)),
            ("{recipient}", Some(address)),
            ("{sender}", Some(letter.sender())),
        ];
        let words: Option<Vec<String>> =
            self.words.iter().map(|word| fill(word, &values)).collect();
        let words = words.ok_or_else(|| {
            Refusal::for_good("5.1.3", "the address can be no user, and the command needs one")
        })?;
        let is_filled = |(template, word): (&String, &String)| {
            template.starts_with('{') && template != word && word.starts_with('-')
        };
        if self.words.iter().zip(&words).any(is_filled) {
            let detail = "an address that begins with a hyphen would be an option of the command";
            return Err(Refusal::for_good("5.1.0", detail));
        }
        let Some((program, arguments)) = words.split_first() else {
            return Err(Refusal::for_now("4.3.5", "no command is given"));
        };
        match run(program, arguments, letter) {
            Ok((status, _)) if status.success() => Ok(()),
            Ok((status, said)) => Err(refusal(program, status, &said)),
            Err(cause) => Err(Refusal::io(program, &cause)),
        }
    }
}

/// Puts the values in the place of their names, in one pass: what is put in is not looked at again.
/// `None` where a value is wanted that there is not.
fn fill(word: &str, values: &[(&str, Option<&str>)]) -> Option<String> {
    let mut filled = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let named = values.iter().find_map(|(name, value)| Some((value, from.strip_prefix(name)?)));
        rest = match named {
            Some((value, after)) => {
                filled.push_str((*value)?);
                after
            }
            None => {
                filled.push('{');
                from.get(1..).unwrap_or_default()
            }
        };
    }
    filled.push_str(rest);
    Some(filled)
}

/// Runs the command and gives its status with the beginning of what it printed. Its output goes to
/// memory as well: a pipe would be held open by whatever the command leaves behind.
fn run(
    program: &str,
    arguments: &[String],
    letter: &Letter<'_>,
) -> io::Result<(ExitStatus, String)> {
    let mut input = in_memory("letter")?;
    letter.write_local(BufWriter::with_capacity(BUFFER_BYTES, &input))?;
    input.rewind()?;
    let mut output = in_memory("output")?;
    let mut command = Process::new(program);
    command.args(arguments).stdin(input).stdout(output.try_clone()?).stderr(output.try_clone()?);
    let status = command.status()?;
    output.rewind()?;
    let mut said = Vec::new();
    output.take(MAX_KEPT_OUTPUT_BYTES).read_to_end(&mut said)?;
    let said = String::from_utf8_lossy(&said);
    Ok((status, said.lines().collect::<Vec<_>>().join(" | ")))
}

fn in_memory(name: &str) -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?))
}

/// Only what sysexits.h calls the message's own fault is for good; a command that cannot be run as it
/// is, or dies, will be mended.
fn refusal(program: &str, status: ExitStatus, said: &str) -> Refusal {
    let detail = format!("{program}: {status}: {said}");
    match status.code() {
        Some(65) => Refusal::for_good("5.6.0", detail),
        Some(67) => Refusal::for_good("5.1.1", detail),
        Some(68) => Refusal::for_good("5.1.2", detail),
        Some(69) => Refusal::for_good("5.3.0", detail),
        Some(77) => Refusal::for_good("5.7.0", detail),
        _ => Refusal::for_now("4.3.0", detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETTER: Letter<'_> = Letter::Plain {
        sender: "bob@x.org",
        utf8: false,
        message: b"Subject: x\r\n\r\ny\r\n",
        still: &|| true,
    };

    fn hand_on(words: &[&str]) -> Result<(), Refusal> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let user = User::parse("alice").unwrap();
        Command::new(&words).hand_on("{user}@x.org", Some(&user), &LETTER)
    }

    #[test]
    fn statuses() {
        let run = |script: &str| hand_on(&["sh", "-c", script]);
        assert_eq!(run("test \"$(cat)\" = \"$(printf 'Subject: x\\n\\ny\\n')\""), Ok(()));
        for (status, for_good) in [
            (65, true),
            (67, true),
            (69, true),
            (77, true),
            (64, false),
            (75, false),
            (78, false),
            (1, false),
        ] {
            let refusal = run(&format!("cat >/dev/null; echo said so; exit {status}")).unwrap_err();
            assert_eq!(refusal.for_good, for_good, "{status}");
            assert!(refusal.detail.ends_with(": said so"), "{}", refusal.detail);
        }
        assert!(!run("kill -9 $$").unwrap_err().for_good);
        assert!(!hand_on(&["/nonexistent"]).unwrap_err().for_good);
    }

    #[test]
    fn what_the_command_leaves_behind_is_not_waited_for() {
        let start = std::time::Instant::now();
        assert_eq!(hand_on(&["sh", "-c", "cat >/dev/null; sleep 60 & exit 0"]), Ok(()));
        assert!(start.elapsed().as_secs() < 30);
    }

    #[test]
    fn placeholders_are_filled_once() {
        // Braces of the script itself would be filled in too: 173 is the opening one.
        let wanted = r"printf 'alice=\173user}@x.org=bob@x.org=\173x}'";
        let test = &format!("cat >/dev/null; test \"$1\" = \"$({wanted})\"");
        let filled = "{user}={recipient}={sender}={x}";
        assert_eq!(hand_on(&["sh", "-c", test, "sh", filled]), Ok(()));
        let hostile =
            Letter::Plain { sender: "-oQ/tmp", utf8: false, message: b"", still: &|| true };
        let words = ["true".to_owned(), "{sender}".to_owned()];
        assert!(Command::new(&words).hand_on("a@x", None, &hostile).unwrap_err().for_good);
    }
}

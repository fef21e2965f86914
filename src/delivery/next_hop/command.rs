//! A command as the next hop: the letter on its standard input, its exit status the answer.

use std::io::{self, BufWriter, Read as _, Write as _};
use std::process::{Command as Process, ExitStatus, Stdio};

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

    fn filled_in(
        &self,
        address: &str,
        user: Option<&User>,
        letter: &Letter<'_>,
    ) -> Result<Vec<String>, Refusal> {
        let fill = |word: &String| {
            // One pass over the word, so that what is put in is not looked at again.
            let mut filled = String::with_capacity(word.len());
            let mut rest = word.as_str();
            while let Some(at) = rest.find('{') {
                let (before, from) = rest.split_at(at);
                filled.push_str(before);
                let values = [
                    ("{user}", user.map(User::as_str)),
                    ("{recipient}", Some(address)),
                    ("{sender}", Some(letter.sender())),
                ];
                let held = values
                    .iter()
                    .find_map(|(name, value)| from.strip_prefix(name).map(|after| (*value, after)));
                match held {
                    Some((Some(value), after)) => {
                        filled.push_str(value);
                        rest = after;
                    }
                    Some((None, _)) => {
                        let detail = "the address can be no user, and the command needs one";
                        return Err(Refusal::for_good("5.1.3", detail));
                    }
                    None => {
                        filled.push('{');
                        rest = from.get(1..).unwrap_or_default();
                    }
                }
            }
            filled.push_str(rest);
            Ok(filled)
        };
        self.words.iter().map(fill).collect()
    }
}

impl NextHop for Command {
    fn hand_on(
        &mut self,
        address: &str,
        user: Option<&User>,
        letter: &Letter<'_>,
    ) -> Result<(), Refusal> {
        let words = self.filled_in(address, user, letter)?;
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

/// Runs the command and gives its status with the beginning of what it printed.
fn run(
    program: &str,
    arguments: &[String],
    letter: &Letter<'_>,
) -> io::Result<(ExitStatus, String)> {
    let (mut output, printed) = io::pipe()?;
    let mut command = Process::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(printed.try_clone()?).stderr(printed);
    let mut child = command.spawn()?;
    // This process's own ends of the pipe, or it would never come to its end.
    drop(command);
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = output.by_ref().take(MAX_KEPT_OUTPUT_BYTES).read_to_end(&mut said);
        let _ = io::copy(&mut output, &mut io::sink());
        String::from_utf8_lossy(&said).lines().collect::<Vec<_>>().join(" | ")
    });
    let written = child.stdin.take().map_or(Ok(()), |stdin| {
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, stdin);
        letter.write_local(&mut out).and_then(|()| out.flush())
    });
    let status = child.wait()?;
    let said = reader.join().unwrap_or_default();
    // Status 0 of a command that did not read the whole letter is no acceptance.
    match written {
        Err(cause) if status.success() => Err(cause),
        _ => Ok((status, said)),
    }
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

    const LETTER: Letter<'_> =
        Letter::Plain { sender: "bob@x.org", message: b"Subject: x\r\n\r\ny\r\n" };

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
    fn placeholders_are_filled_once() {
        // Braces of the script itself would be filled in too: 173 is the opening one.
        let wanted = r"printf 'alice=\173user}@x.org=bob@x.org=\173x}'";
        let test = &format!("cat >/dev/null; test \"$1\" = \"$({wanted})\"");
        assert_eq!(hand_on(&["sh", "-c", test, "sh", "{user}={recipient}={sender}={x}"]), Ok(()));
    }
}

//! The options of a line in a PAM stack.

use std::path::PathBuf;
use std::time::Duration;

/// Where the agent listens unless the line says otherwise.
const SOCKET: &str = "/run/nightsafe/agent";
/// Whom the agent runs as unless the line says otherwise.
const AGENT: &str = "nightsafe-agent";
/// How long one hook waits for the agent in all, unless the line says otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that a line can say, in seconds.
const MAX_TIMEOUT: u64 = 60;

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    /// `socket=PATH`
    pub(super) socket: PathBuf,
    /// `timeout=SECONDS`
    pub(super) timeout: Duration,
    /// `agent=USER`, also more than once: whom the agent may run as beside root, by name or number.
    /// Without any it is [`AGENT`].
    pub(super) agents: Vec<String>,
    /// `app`
    pub(super) app: bool,
    /// `unlock`
    pub(super) unlock: bool,
    /// `commit`
    pub(super) commit: bool,
}

impl Options {
    /// Reads them, and says which are none.
    pub(super) fn parse(words: &[String]) -> (Self, Vec<&str>) {
        let mut options = Self {
            socket: SOCKET.into(),
            timeout: TIMEOUT,
            agents: Vec::new(),
            app: false,
            unlock: false,
            commit: false,
        };
        let unknown = words.iter().map(String::as_str).filter(|word| !options.take(word)).collect();
        if options.agents.is_empty() {
            options.agents.push(AGENT.to_owned());
        }
        (options, unknown)
    }

    fn take(&mut self, word: &str) -> bool {
        let value = word.split_once('=');
        match (word, value) {
            ("app", _) => self.app = true,
            ("unlock", _) => self.unlock = true,
            // What a `password` line does that does not say `commit`.
            ("stage", _) => {}
            ("commit", _) => self.commit = true,
            (_, Some(("socket", path))) if path.starts_with('/') => self.socket = path.into(),
            (_, Some(("agent", user))) if !user.is_empty() => self.agents.push(user.to_owned()),
            (_, Some(("timeout", seconds))) => match seconds.parse() {
                Ok(seconds @ 1..=MAX_TIMEOUT) => self.timeout = Duration::from_secs(seconds),
                _ => return false,
            },
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> (Options, Vec<String>) {
        let words: Vec<_> = line.split_whitespace().map(ToOwned::to_owned).collect();
        let (options, unknown) = Options::parse(&words);
        (options, unknown.into_iter().map(ToOwned::to_owned).collect())
    }

    #[test]
    fn what_a_line_says() {
        let (options, unknown) = parse("app socket=/x timeout=9 agent=a agent=7 stage");
        assert_eq!((options.app, options.commit), (true, false));
        assert_eq!((options.socket, options.timeout.as_secs()), ("/x".into(), 9));
        assert_eq!((options.agents, unknown), (vec!["a".into(), "7".into()], vec![]));
    }

    #[test]
    fn what_is_no_option_changes_nothing() {
        let line = "App socket=x timeout=0 timeout=61 timeout= agent= try_first_pass commit=1";
        let (options, unknown) = parse(line);
        assert_eq!(unknown.join(" "), line);
        assert_eq!(options, parse("").0);
    }
}

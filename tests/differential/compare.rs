//! Both sides of the comparison, and what differs.

use super::normal::Normal;
use crate::support::imap::{Answer, Client};
use std::fmt;

/// A user's connection.
pub struct Side {
    pub client: Client,
    pub user: &'static str,
}

/// One place in which two answers differ.
#[derive(Debug)]
pub struct Difference {
    pub command: String,
    /// `tagged`, `untagged`, or the label of what was fetched.
    pub place: String,
    /// The message, where it is one.
    pub message: Option<String>,
    pub direct: String,
    pub proxy: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message.as_deref().unwrap_or("-");
        writeln!(out, "{} [{}] {message}", brief(&self.command), self.place)?;
        writeln!(out, "    direct {}", brief(&self.direct))?;
        write!(out, "    proxy  {}", brief(&self.proxy))
    }
}

fn brief(text: &str) -> String {
    let short: String = text.chars().take(1_000).collect();
    let short = short.replace("\r\n", "␍␊");
    if text.chars().count() > 1_000 { format!("{short}…") } else { short }
}

/// The two sides of one store.
pub struct Pair {
    pub direct: Side,
    pub proxy: Side,
    /// The names of the messages by sequence number, while they stand as appended.
    pub names: Vec<String>,
    pub differences: Vec<Difference>,
    pub commands: usize,
}

impl Pair {
    pub fn new(direct: Side, proxy: Side) -> Self {
        Self { direct, proxy, names: Vec::new(), differences: Vec::new(), commands: 0 }
    }

    /// Runs a command on both sides; gives the direct answer.
    pub fn run(&mut self, command: &str) -> Answer {
        self.commands += 1;
        let [direct, proxy] = self.both(|side| side.client.command(command));
        let answers = [(&direct, &self.direct), (&proxy, &self.proxy)]
            .map(|(answer, side)| Normal::of(answer, side.user));
        self.compare(command, &answers[0], &answers[1]);
        direct
    }

    /// Does the same on both sides at once.
    pub fn both<T: Send>(&mut self, what: impl Fn(&mut Side) -> T + Sync) -> [T; 2] {
        let (direct, proxy) = (&mut self.direct, &mut self.proxy);
        std::thread::scope(|scope| {
            let proxy = scope.spawn(|| what(proxy));
            let direct = what(direct);
            [direct, proxy.join().unwrap()]
        })
    }

    fn compare(&mut self, command: &str, direct: &Normal, proxy: &Normal) {
        let mut found = Vec::new();
        let mut differ = |place: &str, message: Option<usize>, direct: String, proxy: String| {
            let message = message.map(|number| match self.names.get(number - 1) {
                Some(name) => format!("{number}: {name}"),
                None => number.to_string(),
            });
            let (command, place) = (command.to_owned(), place.to_owned());
            found.push(Difference { command, place, message, direct, proxy });
        };
        if direct.tagged != proxy.tagged {
            differ("tagged", None, direct.tagged.clone(), proxy.tagged.clone());
        }
        if direct.untagged != proxy.untagged {
            let [direct, proxy] = [direct, proxy].map(|side| format!("{:?}", side.untagged));
            differ("untagged", None, direct, proxy);
        }
        let numbers = direct.fetched.keys().chain(proxy.fetched.keys());
        let numbers: std::collections::BTreeSet<_> = numbers.copied().collect();
        for number in numbers {
            let none = super::normal::Items::new();
            let [direct, proxy] =
                [direct, proxy].map(|side| side.fetched.get(&number).unwrap_or(&none));
            let labels: std::collections::BTreeSet<_> = direct.keys().chain(proxy.keys()).collect();
            for label in labels {
                let [direct, proxy] = [direct, proxy].map(|side| side.get(label));
                if direct != proxy {
                    let shown = [direct, proxy]
                        .map(|value| value.map_or("nothing".to_owned(), |v| format!("{v:?}")));
                    let [direct, proxy] = shown;
                    differ(label, Some(number), direct, proxy);
                }
            }
        }
        self.differences.extend(found);
    }
}

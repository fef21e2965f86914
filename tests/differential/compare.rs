//! Both sides of the comparison, and what differs.

use super::normal::{Items, Normal};
use crate::support::imap::{Answer, Client};
use crate::support::tokens::Token;
use std::collections::BTreeSet;
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
    /// `tagged`, `untagged`, `found`, or the label of what was fetched.
    pub place: String,
    /// The message, or those that only one side found.
    pub messages: Vec<String>,
    pub direct: String,
    pub proxy: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages = self.messages.join(", ");
        writeln!(out, "{} [{}] {messages}", brief(&self.command), self.place)?;
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

    /// A message as the corpus calls it.
    fn name(&self, number: usize) -> String {
        self.names.get(number - 1).cloned().unwrap_or_else(|| format!("message {number}"))
    }

    fn compare(&mut self, command: &str, direct: &Normal, proxy: &Normal) {
        let mut found = Vec::new();
        let mut differ = |place: &str, messages: Vec<String>, direct: String, proxy: String| {
            let (command, place) = (command.to_owned(), place.to_owned());
            found.push(Difference { command, place, messages, direct, proxy });
        };
        if direct.tagged != proxy.tagged {
            differ("tagged", Vec::new(), direct.tagged.clone(), proxy.tagged.clone());
        }
        if direct.untagged != proxy.untagged {
            let sides = [direct, proxy].map(|side| numbers_found(&side.untagged));
            let only = sides[0].symmetric_difference(&sides[1]);
            let only: Vec<_> = only.map(|number| self.name(*number)).collect();
            let [direct, proxy] = [direct, proxy].map(|side| format!("{:?}", side.untagged));
            differ(if only.is_empty() { "untagged" } else { "found" }, only, direct, proxy);
        }
        let numbers: BTreeSet<_> = direct.fetched.keys().chain(proxy.fetched.keys()).collect();
        for number in numbers {
            let none = Items::new();
            let [direct, proxy] =
                [direct, proxy].map(|side| side.fetched.get(number).unwrap_or(&none));
            let labels: BTreeSet<_> = direct.keys().chain(proxy.keys()).collect();
            for label in labels {
                let [direct, proxy] = [direct, proxy].map(|side| side.get(label));
                if direct != proxy {
                    let [direct, proxy] = [direct, proxy]
                        .map(|value| value.map_or("nothing".to_owned(), |v| format!("{v:?}")));
                    differ(label, vec![self.name(*number)], direct, proxy);
                }
            }
        }
        self.differences.extend(found);
    }
}

/// The messages that a SEARCH named, one by one.
fn numbers_found(untagged: &[Vec<Token>]) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for response in untagged {
        let after = |word: &str| {
            let at = response.iter().position(|token| token.atom() == Some(word))?;
            response.get(at + 1)?.atom()
        };
        match response.first().and_then(Token::atom) {
            Some("SEARCH") => found.extend(response[1..].iter().filter_map(Token::number)),
            Some("ESEARCH") => {
                for range in after("ALL").unwrap_or_default().split(',') {
                    let (first, last) = range.split_once(':').unwrap_or((range, range));
                    if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse()) {
                        found.extend(first..=last);
                    }
                }
            }
            _ => {}
        }
    }
    found
}

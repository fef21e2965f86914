//! The messages of a campaign: each made of its number alone, so that none has to be kept.

use super::USERS;
use super::chance::Chance;
use crate::site::DOMAIN;
use crate::site::canary::Canaries;

const NUMBER: &str = "X-Number: ";

/// The messages of one case.
pub struct Letters {
    case: String,
    pub canaries: Canaries,
    is_complete: bool,
}

impl Letters {
    pub fn new(case: &str) -> Self {
        let word: String = case.chars().filter(char::is_ascii_alphanumeric).collect();
        Self { case: case.to_owned(), canaries: Canaries::new(&word), is_complete: false }
    }

    /// The same, and each has a Message-ID and a Date, which an MTA would add.
    pub fn complete(case: &str) -> Self {
        Self { is_complete: true, ..Self::new(case) }
    }

    /// Whom a message is for, by their places in [`USERS`].
    pub fn recipients(&self, number: usize) -> Vec<usize> {
        let mut chance = Chance::of(&self.case, number);
        let first = chance.next() as usize % USERS.len();
        let count = 1 + chance.within(0..3) as usize;
        (first..first + count).map(|user| user % USERS.len()).collect()
    }

    /// The message, canaries in every place, CRLF line ends. Some have no Message-ID, some no Date,
    /// and some are so large that they are sealed while they are sent.
    pub fn message(&self, number: usize) -> Vec<u8> {
        let mut chance = Chance::of(&self.case, number);
        chance.next();
        let id = format!("{}@example.net", self.canaries.word("MessageId"));
        let mut message = format!("{NUMBER}{number}\r\n").into_bytes();
        let text = String::from_utf8(self.canaries.message()).unwrap();
        let [without_id, without_date] = [(); 2].map(|()| chance.is(20) && !self.is_complete);
        let mut head = true;
        for line in text.split_inclusive("\r\n") {
            head &= line != "\r\n";
            match line {
                _ if head && without_id && line.starts_with("Message-ID:") => {}
                _ if head && without_date && line.starts_with("Date:") => {}
                line => message.extend(line.replace(&id, &format!("{number}.{id}")).into_bytes()),
            }
        }
        let size = match chance.within(0..100) {
            0 => 700_000,
            1..20 => chance.within(0..60_000),
            _ => chance.within(0..3_000),
        };
        let end = message.len() + size as usize;
        while message.len() < end {
            message.extend_from_slice(format!(".{:016x}", chance.next()).repeat(4).as_bytes());
            message.extend_from_slice(b"\r\n");
        }
        message
    }

    /// Which message begins like this.
    pub fn number(opened: &[u8]) -> Option<usize> {
        let at = memchr::memmem::find(opened, NUMBER.as_bytes())? + NUMBER.len();
        let rest = &opened[at..];
        let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
    }
}

/// The address of a user.
pub fn address(user: usize) -> String {
    format!("{}@{DOMAIN}", USERS[user])
}

//! A sender that follows RFC 2033: each recipient of each message has a state of his own. What is
//! deferred, and what nobody knows of because the connection was lost, is sent again; what was taken
//! is never sent again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::chance::Chance;
use super::client::{Client, Said};
use super::letters::{Letters, address};

/// At least so many deliveries, counting each recipient of each message.
pub const DELIVERIES: usize = 500;
/// At least so many attempts must have been hit by a fault, and so many faults there must have been.
pub const HITS: usize = 40;
pub const STRIKES: usize = 10;
pub const SENDER: &str = "sender@example.net";
/// Nor more than so many: by then too little went wrong.
const MOST_DELIVERIES: usize = 10_000;
const THREADS: usize = 8;
/// So many messages wait at most: else all would be sent while everything is down.
const WINDOW: usize = 24;
/// An MTA waits for minutes; what matters is that a retry may come while the store is still busy
/// with the attempt before.
const RETRY: std::ops::Range<u64> = 50..500;
/// When all must be settled.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the sender has seen.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub messages: usize,
    pub deliveries: usize,
    pub attempts: usize,
    pub retries: usize,
    /// Attempts that could not even begin.
    pub turned_away: usize,
    /// Connections lost in the middle of an attempt.
    pub lost: usize,
    /// Recipients that were deferred.
    pub deferred: usize,
    /// Attempts after which somebody had not got the message.
    pub hits: usize,
    /// What has gone wrong so far.
    pub strikes: usize,
}

/// The sender.
pub struct Sender<'a> {
    letters: &'a Letters,
    desk: Mutex<Desk>,
    end: Instant,
}

#[derive(Default)]
struct Desk {
    /// What is to be sent again, and when.
    waiting: BinaryHeap<Reverse<(Instant, usize)>>,
    in_hand: usize,
    letters: Vec<Vec<(usize, Said)>>,
    counts: Counts,
}

impl Desk {
    /// Whether new messages are still to be sent.
    fn is_open(&self) -> bool {
        let Counts { deliveries, hits, strikes, .. } = self.counts;
        let enough = deliveries >= DELIVERIES && hits >= HITS && strikes >= STRIKES;
        !enough && deliveries < MOST_DELIVERIES
    }
}

/// What to do next.
enum Next {
    Send(usize),
    Wait,
    End,
}

impl<'a> Sender<'a> {
    pub fn new(letters: &'a Letters) -> Self {
        Self { letters, desk: Mutex::default(), end: Instant::now() + PATIENCE }
    }

    /// Whether things shall still go wrong.
    pub fn is_open(&self) -> bool {
        self.desk().is_open() && Instant::now() < self.end
    }

    /// So many things went wrong so far.
    pub fn struck(&self, strikes: usize) {
        self.desk().counts.strikes = strikes;
    }

    pub fn counts(&self) -> Counts {
        self.desk().counts.clone()
    }

    /// What was last said of each recipient of each message.
    pub fn said(&self) -> Vec<Vec<(usize, Said)>> {
        self.desk().letters.clone()
    }

    /// Sends to the server at `socket` until everything is settled.
    pub fn run(&self, socket: &Path) {
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| self.work(socket));
            }
        });
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap()
    }

    fn work(&self, socket: &Path) {
        let mut client = None;
        while Instant::now() < self.end {
            match self.next() {
                Next::Send(number) => client = self.send(number, client, socket),
                Next::Wait => sleep(Duration::from_millis(2)),
                Next::End => return,
            }
        }
    }

    fn next(&self) -> Next {
        let mut desk = self.desk();
        let now = Instant::now();
        let due = desk.waiting.peek().filter(|Reverse((due, _))| *due <= now).map(|next| next.0.1);
        if let Some(number) = due {
            desk.waiting.pop();
            desk.in_hand += 1;
            desk.counts.retries += 1;
            return Next::Send(number);
        }
        let unsettled = desk.waiting.len() + desk.in_hand;
        if desk.is_open() && unsettled < WINDOW {
            let number = desk.letters.len();
            let recipients = self.letters.recipients(number);
            desk.counts.messages += 1;
            desk.counts.deliveries += recipients.len();
            desk.letters.push(recipients.into_iter().map(|user| (user, Said::Nothing)).collect());
            desk.in_hand += 1;
            return Next::Send(number);
        }
        if desk.is_open() || unsettled > 0 { Next::Wait } else { Next::End }
    }

    /// One attempt, to everybody for whom the message is not settled. Gives the connection back if it
    /// can be used again.
    fn send(&self, number: usize, client: Option<Client>, socket: &Path) -> Option<Client> {
        let users: Vec<usize> = {
            let desk = self.desk();
            let letter = desk.letters[number].iter();
            letter.filter(|(_, said)| !said.is_settled()).map(|(user, _)| *user).collect()
        };
        let recipients: Vec<String> = users.iter().copied().map(address).collect();
        let mut said = vec![Said::Nothing; users.len()];
        // An idle connection may have been closed: that is no fault of this message.
        let client = client.map_or_else(|| Client::connect(socket), Ok);
        let (client, begun) = match client {
            Err(_) => (None, false),
            Ok(mut client) => {
                let message = self.letters.message(number);
                let sent = client.send(SENDER, &recipients, &message, &mut said);
                (sent.is_ok().then_some(client), true)
            }
        };
        self.note(number, &users, &said, begun, client.is_none());
        client
    }

    fn note(&self, number: usize, users: &[usize], said: &[Said], begun: bool, lost: bool) {
        let mut desk = self.desk();
        let settled = said.iter().all(Said::is_settled);
        let counts = &mut desk.counts;
        counts.attempts += 1;
        counts.turned_away += usize::from(!begun);
        counts.lost += usize::from(begun && lost);
        counts.hits += usize::from(begun && !settled);
        counts.deferred += said.iter().filter(|said| **said == Said::Later).count();
        for (user, new) in desk.letters[number].iter_mut() {
            if let Some(index) = users.iter().position(|one| one == user) {
                *new = said[index].clone();
            }
        }
        desk.in_hand -= 1;
        if !settled {
            let attempts = desk.counts.attempts;
            let wait = Chance::of("retry", attempts).time(RETRY);
            desk.waiting.push(Reverse((Instant::now() + wait, number)));
        }
    }
}

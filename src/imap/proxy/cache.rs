//! What was opened, kept in memory so that it need not be opened again: summaries by mailbox, and the last
//! messages. It is forgotten, and so wiped, when its owner's keys are, or a linger after his last session.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::seal::Summary;
use crate::secret::SecretBytes;

/// Messages that are kept of one mailbox, and how long one may be, in octets.
const MAX_MESSAGES: usize = 4;
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// What an entry takes beside what it holds, in octets.
const ENTRY_BYTES: usize = 128;

/// The cache of all users.
pub(super) struct Cache {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    users: HashMap<String, Owner>,
    octets: usize,
    /// Counts what is asked for, to know what was asked for last.
    turn: u64,
}

/// One user's.
#[derive(Default)]
struct Owner {
    sessions: usize,
    /// When all of it is forgotten.
    until: Option<Instant>,
    mailboxes: HashMap<(Vec<u8>, u64), Mailbox>,
}

#[derive(Default)]
struct Mailbox {
    known: HashMap<u32, Known>,
    messages: VecDeque<(u32, Opened)>,
    octets: usize,
    turn: u64,
    /// How many of those that are known are sealed.
    sealed: usize,
}

/// What is known of a message under its UID, for good.
#[derive(Debug, Clone)]
pub(super) enum Known {
    /// It is not sealed, or can never be opened.
    Stored,
    /// It is.
    Sealed(Arc<Summary>),
}

/// A message that was opened.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) summary: Arc<Summary>,
    pub(super) message: Arc<SecretBytes>,
}

/// One session's part in the cache.
pub(super) struct Entered {
    cache: Arc<Cache>,
    user: String,
    linger: Duration,
}

/// One mailbox of a user, as it is now.
#[derive(Clone)]
pub(super) struct Place {
    cache: Arc<Cache>,
    user: String,
    mailbox: (Vec<u8>, u64),
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache(at most {} octets)", self.most)
    }
}

impl Cache {
    /// Room for so many octets.
    pub(super) fn new(most: u64) -> Arc<Self> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Arc::new(Self { most, state: Mutex::default() })
    }

    /// A session of the user begins. What is kept for him stays for `linger` after the last one.
    pub(super) fn enter(self: &Arc<Self>, user: &str, linger: Duration) -> Entered {
        let mut state = self.state();
        let owner = state.users.entry(user.to_owned()).or_default();
        owner.sessions += 1;
        owner.until = None;
        Entered { cache: Arc::clone(self), user: user.to_owned(), linger }
    }

    /// Forgets everybody whose linger is over.
    pub(super) fn sweep(&self) {
        let mut state = self.state();
        let now = Instant::now();
        let over = |owner: &Owner| owner.until.is_some_and(|until| until <= now);
        let users: Vec<String> = state
            .users
            .iter()
            .filter(|(_, owner)| over(owner))
            .map(|(name, _)| name.clone())
            .collect();
        for user in users {
            state.forget(&user);
            state.users.remove(&user);
        }
    }

    /// Of whom something is kept though nobody is there.
    pub(super) fn lingering(&self) -> Vec<String> {
        let state = self.state();
        let lingers =
            |owner: &Owner| owner.sessions == 0 && owner.mailboxes.values().any(|m| m.octets > 0);
        let users = state.users.iter().filter(|(_, owner)| lingers(owner));
        users.map(|(name, _)| name.clone()).collect()
    }

    /// Forgets what is kept of these, unless they are there again.
    pub(super) fn forget_absent<'a>(&self, users: impl Iterator<Item = &'a String>) {
        let mut state = self.state();
        for user in users {
            if state.users.get(user).is_some_and(|owner| owner.sessions == 0) {
                state.forget(user);
            }
        }
    }

    /// How many octets are kept.
    pub(super) fn octets(&self) -> usize {
        self.state().octets
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, user: &str) {
        if let Some(owner) = self.users.get_mut(user) {
            let octets: usize = owner.mailboxes.drain().map(|(_, mailbox)| mailbox.octets).sum();
            self.octets = self.octets.saturating_sub(octets);
        }
    }

    fn mailbox(&mut self, place: &Place) -> Option<&mut Mailbox> {
        self.turn += 1;
        let turn = self.turn;
        let mailbox = self.users.get_mut(&place.user)?.mailboxes.get_mut(&place.mailbox)?;
        mailbox.turn = turn;
        Some(mailbox)
    }

    /// Makes room: what was not asked for the longest goes first, by mailbox.
    fn make_room(&mut self, most: usize) {
        while self.octets > most {
            let all = self.users.iter().flat_map(|(user, owner)| {
                owner.mailboxes.iter().map(move |(name, mailbox)| (mailbox.turn, user, name))
            });
            let Some((_, user, name)) = all.min_by_key(|(turn, ..)| *turn) else { return };
            let (user, name) = (user.clone(), name.clone());
            let removed = self.users.get_mut(&user).and_then(|owner| owner.mailboxes.remove(&name));
            self.octets = self.octets.saturating_sub(removed.map_or(0, |mailbox| mailbox.octets));
        }
    }
}

impl Entered {
    /// A mailbox of the user's, as long as its numbers mean what they do.
    pub(super) fn place(&self, mailbox: &[u8], uid_validity: u64) -> Place {
        let mailbox = (mailbox.to_vec(), uid_validity);
        Place { cache: Arc::clone(&self.cache), user: self.user.clone(), mailbox }
    }

    /// Forgets everything at once: the keys are gone.
    pub(super) fn forget(&self) {
        self.cache.state().forget(&self.user);
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut state = self.cache.state();
        if let Some(owner) = state.users.get_mut(&self.user) {
            owner.sessions = owner.sessions.saturating_sub(1);
            if owner.sessions == 0 {
                owner.until = Some(Instant::now() + self.linger);
            }
        }
    }
}

impl Place {
    /// How many messages are known to be sealed, and are open; 0 where more are not.
    pub(super) fn count(&self) -> usize {
        let mut state = self.cache.state();
        let Some(mailbox) = state.mailbox(self) else { return 0 };
        if mailbox.sealed * 2 < mailbox.known.len() { 0 } else { mailbox.known.len() }
    }

    /// What is known of a message.
    pub(super) fn known(&self, uid: u32) -> Option<Known> {
        self.cache.state().mailbox(self)?.known.get(&uid).cloned()
    }

    /// A message that was opened lately.
    pub(super) fn opened(&self, uid: u32) -> Option<Opened> {
        let mut state = self.cache.state();
        let opened = state.mailbox(self)?.messages.iter().find(|(own, _)| *own == uid)?;
        Some(opened.1.clone())
    }

    /// Keeps what was found out. Nothing is kept of somebody whose last session is over.
    pub(super) fn learn(&self, found: Vec<(u32, Known)>) {
        self.change(|mailbox| {
            for (uid, known) in found {
                mailbox.octets += known.octets();
                mailbox.sealed += usize::from(known.is_sealed());
                if let Some(before) = mailbox.known.insert(uid, known) {
                    mailbox.octets -= before.octets().min(mailbox.octets);
                    mailbox.sealed -= usize::from(before.is_sealed()).min(mailbox.sealed);
                }
            }
        });
    }

    /// Keeps a message that was opened.
    pub(super) fn keep(&self, uid: u32, opened: Opened) {
        if opened.message.len() > MAX_MESSAGE_BYTES {
            return;
        }
        self.change(|mailbox| {
            mailbox.messages.retain(|(own, _)| *own != uid);
            mailbox.messages.push_back((uid, opened));
            if mailbox.messages.len() > MAX_MESSAGES {
                mailbox.messages.pop_front();
            }
            let messages: usize = mailbox.messages.iter().map(|(_, opened)| opened.octets()).sum();
            let summaries: usize = mailbox.known.values().map(Known::octets).sum();
            mailbox.octets = messages + summaries;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Mailbox)) {
        let mut state = self.cache.state();
        state.turn += 1;
        let turn = state.turn;
        let Some(owner) = state.users.get_mut(&self.user).filter(|owner| owner.sessions > 0) else {
            return;
        };
        let mailbox = owner.mailboxes.entry(self.mailbox.clone()).or_default();
        let before = mailbox.octets;
        change(mailbox);
        mailbox.turn = turn;
        let after = mailbox.octets;
        state.octets = (state.octets + after).saturating_sub(before);
        state.make_room(self.cache.most);
    }
}

impl Known {
    fn is_sealed(&self) -> bool {
        matches!(self, Self::Sealed(_))
    }

    fn octets(&self) -> usize {
        let held = match self {
            Self::Stored => 0,
            Self::Sealed(summary) => summary.octets(),
        };
        held + ENTRY_BYTES
    }
}

impl Opened {
    fn octets(&self) -> usize {
        self.message.len() + self.summary.octets() + ENTRY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(octets: usize) -> Known {
        let message = [b"Subject: ", &*vec![b'x'; octets], b"\r\n\r\n"].concat();
        Known::Sealed(Arc::new(Summary::of_message(&message)))
    }

    #[test]
    fn what_was_not_asked_for_goes_first() {
        let cache = Cache::new(10_000);
        let alice = cache.enter("alice", Duration::ZERO);
        let (inbox, sent) = (alice.place(b"INBOX", 1), alice.place(b"Sent", 1));
        inbox.learn(vec![(1, sealed(3000)), (2, Known::Stored)]);
        sent.learn(vec![(1, sealed(3000))]);
        assert_eq!((inbox.count(), sent.count()), (2, 1));
        let archive = alice.place(b"Archive", 1);
        assert!(inbox.known(1).is_some() && inbox.known(3).is_none());
        archive.learn(vec![(7, sealed(3000))]);
        assert_eq!((inbox.count(), sent.count(), archive.count()), (2, 0, 1));
        assert!(cache.octets() <= 10_000);
        assert_eq!(alice.place(b"INBOX", 2).count(), 0, "other numbers");
        let bob = cache.enter("bob", Duration::ZERO);
        assert_eq!(bob.place(b"INBOX", 1).count(), 0, "somebody else's");
    }

    #[test]
    fn it_is_forgotten_with_the_keys() {
        let cache = Cache::new(1 << 20);
        let alice = cache.enter("alice", Duration::ZERO);
        let inbox = alice.place(b"INBOX", 1);
        inbox.learn(vec![(1, sealed(10))]);
        let message = Arc::new(SecretBytes::from(b"a message".to_vec()));
        let summary = Arc::new(Summary::of_message(message.expose()));
        inbox.keep(1, Opened { summary, message });
        assert_eq!(inbox.opened(1).unwrap().message.expose(), b"a message");
        alice.forget();
        assert!(inbox.opened(1).is_none() && inbox.count() == 0 && cache.octets() == 0);
        inbox.learn(vec![(1, sealed(10))]);
        let second = cache.enter("alice", Duration::from_secs(60));
        drop(alice);
        cache.sweep();
        assert_eq!(inbox.count(), 1, "there is another session");
        drop(second);
        cache.sweep();
        assert_eq!(inbox.count(), 1, "the linger is not over");
        inbox.learn(vec![(2, sealed(10))]);
        assert_eq!(inbox.count(), 1, "nobody is there any more");
        assert_eq!(cache.lingering(), ["alice"]);
        drop(cache.enter("alice", Duration::ZERO));
        cache.sweep();
        assert_eq!((inbox.count(), cache.octets()), (0, 0));
    }

    #[test]
    fn it_is_forgotten_with_the_keys_of_who_is_absent() {
        let cache = Cache::new(1 << 20);
        let names = ["alice", "bob"].map(str::to_owned);
        let [alice, bob] = names.each_ref().map(|name| cache.enter(name, Duration::from_secs(60)));
        let places = [&alice, &bob].map(|entered| entered.place(b"INBOX", 1));
        places.iter().for_each(|place| place.learn(vec![(1, sealed(10))]));
        assert!(cache.lingering().is_empty());
        drop(alice);
        assert_eq!(cache.lingering(), ["alice"]);
        cache.forget_absent(names.iter());
        assert_eq!(places.map(|place| place.count()), [0, 1]);
        assert!(cache.lingering().is_empty());
        drop(bob);
    }
}

//! Wrong passwords: each is remembered for a while, and different ones slow the next guess, of one user
//! and in all.
//!
//! A phone that goes on with an old password gives the same wrong one again: that costs no Argon2 run,
//! and slows nobody.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::user::User;

use super::tags::Tag;

/// Nobody waits longer for having guessed, or for what others guessed.
pub(super) const MAX_DELAY: Duration = Duration::from_secs(4);
/// What the first guess costs that is one too many; each further one doubles it.
const FIRST_DELAY: Duration = Duration::from_millis(250);
/// How many different wrong passwords of one user cost nothing.
const FREE: u32 = 3;
/// How many of all users do.
const FREE_IN_ALL: u32 = 200;
/// So many in all double what the next one costs.
const DOUBLED_IN_ALL: u32 = 100;
/// How long a wrong password is remembered.
const MEMORY: Duration = Duration::from_secs(900);
/// How many are remembered of one user.
const MAX_TAGS: usize = 16;
/// Of how many users they are.
const MAX_USERS: usize = 10_000;
/// How many guesses of one user, by one peer, may be under way.
const MAX_AT_ONCE: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Guesses {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    users: HashMap<User, Wrong>,
    /// Different wrong passwords of all users; one is forgotten each second.
    in_all: u32,
    counted: Option<Instant>,
    under_way: HashMap<(User, u32), usize>,
}

#[derive(Debug)]
struct Wrong {
    tags: VecDeque<(Tag, Instant)>,
    count: u32,
    last: Instant,
}

impl Guesses {
    /// Whether this very attempt was wrong a short while ago.
    pub(super) fn is_known(&self, user: &User, tag: &Tag, now: Instant) -> bool {
        let state = self.state();
        let Some(wrong) = state.users.get(user) else { return false };
        let recent = wrong.tags.iter().filter(|(_, at)| now.duration_since(*at) < MEMORY);
        recent.fold(false, |found, (known, _)| (known == tag) | found)
    }

    /// How long the next attempt has to wait that nobody vouches for.
    pub(super) fn delay(&self, user: &User, now: Instant) -> Duration {
        let mut state = self.state();
        state.forget(now);
        let recent = |wrong: &&Wrong| now.duration_since(wrong.last) < MEMORY;
        let own = state.users.get(user).filter(recent).map_or(0, |wrong| wrong.count);
        let doublings = [own.checked_sub(FREE), {
            let over = state.in_all.checked_sub(FREE_IN_ALL);
            over.map(|over| over / DOUBLED_IN_ALL)
        }];
        let delays = doublings.into_iter().flatten();
        let delays = delays.map(|times| FIRST_DELAY.saturating_mul(1 << times.min(10)));
        delays.max().unwrap_or_default().min(MAX_DELAY)
    }

    /// Takes note of a wrong attempt.
    pub(super) fn wrong(&self, user: &User, tag: Tag, now: Instant) {
        let mut state = self.state();
        state.forget(now);
        state.in_all = state.in_all.saturating_add(1);
        if state.users.len() >= MAX_USERS && !state.users.contains_key(user) {
            state.make_room(now);
        }
        let new = || Wrong { tags: VecDeque::new(), count: 0, last: now };
        let wrong = state.users.entry(user.clone()).or_insert_with(new);
        if now.duration_since(wrong.last) >= MEMORY {
            *wrong = new();
        }
        wrong.count = wrong.count.saturating_add(1);
        wrong.last = now;
        wrong.tags.push_back((tag, now));
        if wrong.tags.len() > MAX_TAGS {
            wrong.tags.pop_front();
        }
    }

    /// Somebody knew a password of the user: what was guessed before slows nobody any longer. It stays
    /// known to be wrong.
    pub(super) fn right(&self, user: &User) {
        if let Some(wrong) = self.state().users.get_mut(user) {
            wrong.count = 0;
        }
    }

    /// A guess of this peer begins; `None` where too many of the same user are under way.
    pub(super) fn begin(self: &Arc<Self>, user: &User, peer: u32) -> Option<UnderWay> {
        let who = (user.clone(), peer);
        let mut state = self.state();
        let count = state.under_way.entry(who.clone()).or_default();
        if *count >= MAX_AT_ONCE {
            return None;
        }
        *count += 1;
        Some(UnderWay { guesses: Arc::clone(self), who })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, now: Instant) {
        let counted = *self.counted.get_or_insert(now);
        let passed = now.saturating_duration_since(counted).as_secs();
        if passed > 0 {
            self.in_all = self.in_all.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX));
            self.counted = Some(now);
        }
    }

    fn make_room(&mut self, now: Instant) {
        self.users.retain(|_, wrong| now.duration_since(wrong.last) < MEMORY);
        if self.users.len() >= MAX_USERS {
            let oldest = self.users.iter().min_by_key(|(_, wrong)| wrong.last);
            let oldest = oldest.map(|(user, _)| user.clone());
            oldest.and_then(|user| self.users.remove(&user));
        }
    }
}

/// A guess that is under way, until it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    guesses: Arc<Guesses>,
    who: (User, u32),
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.guesses.state();
        if let Some(count) = state.under_way.get_mut(&self.who) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.under_way.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tags::BootKey;

    fn user(name: &str) -> User {
        User::parse(name).unwrap()
    }

    #[test]
    fn guesses_grow_dear_and_never_too_dear() {
        let (guesses, key, alice) = (Guesses::default(), BootKey::generate().unwrap(), user("a"));
        let start = Instant::now();
        let mut delays = Vec::new();
        for guess in 0..10_u8 {
            delays.push(guesses.delay(&alice, start).as_millis());
            guesses.wrong(&alice, key.tag(&alice, 1, "", &[guess]), start);
        }
        assert_eq!(delays, [0, 0, 0, 250, 500, 1000, 2000, 4000, 4000, 4000]);
        assert_eq!(guesses.delay(&user("b"), start), Duration::ZERO);
        let known = key.tag(&alice, 1, "", &[3]);
        assert!(guesses.is_known(&alice, &known, start));
        assert!(!guesses.is_known(&user("b"), &known, start));
        guesses.right(&alice);
        assert_eq!(guesses.delay(&alice, start), Duration::ZERO);
        assert!(guesses.is_known(&alice, &known, start));
        assert!(!guesses.is_known(&alice, &known, start + MEMORY));
        guesses.wrong(&alice, key.tag(&alice, 1, "", b"x"), start);
        assert_eq!(guesses.delay(&alice, start + MEMORY), Duration::ZERO);
    }

    #[test]
    fn guesses_at_many_users_slow_all() {
        let (guesses, key) = (Guesses::default(), BootKey::generate().unwrap());
        let start = Instant::now();
        for number in 0..2000 {
            let user = user(&format!("u{number}"));
            guesses.wrong(&user, key.tag(&user, 1, "", b"x"), start);
        }
        assert_eq!(guesses.delay(&user("b"), start), MAX_DELAY);
        let later = start + Duration::from_secs(2000);
        assert_eq!(guesses.delay(&user("b"), later), Duration::ZERO);
    }

    #[test]
    fn memory_is_bounded() {
        let (guesses, key) = (Guesses::default(), BootKey::generate().unwrap());
        let start = Instant::now();
        for number in 0..MAX_USERS + 50 {
            let user = user(&format!("u{number}"));
            let at = start + Duration::from_millis(number as u64);
            guesses.wrong(&user, key.tag(&user, 1, "", b"x"), at);
        }
        assert_eq!(guesses.state().users.len(), MAX_USERS);
        for number in 0..100_u8 {
            guesses.wrong(&user("a"), key.tag(&user("a"), 1, "", &[number]), start);
        }
        assert_eq!(guesses.state().users[&user("a")].tags.len(), MAX_TAGS);
    }

    #[test]
    fn one_peer_cannot_take_anothers_place() {
        let (guesses, alice) = (Arc::new(Guesses::default()), user("a"));
        let under_way: Vec<_> = (0..9).map_while(|_| guesses.begin(&alice, 1)).collect();
        assert_eq!(under_way.len(), MAX_AT_ONCE);
        assert!(guesses.begin(&alice, 2).is_some() && guesses.begin(&user("b"), 1).is_some());
        drop(under_way);
        assert!(guesses.begin(&alice, 1).is_some());
        assert!(guesses.state().under_way.is_empty());
    }
}

//! The same attempt made several times at once, as by a mail program with many connections: one of
//! them does the work, the others wait for what it learns.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{OwnedMutexGuard, Semaphore};

use super::tags::Tag;

/// How many may wait for others.
const MAX_WAITING: usize = 4096;

#[derive(Debug)]
pub(super) struct Turns {
    under_way: Mutex<Vec<(Tag, Weak<tokio::sync::Mutex<()>>)>>,
    waiting: Semaphore,
}

/// Nobody else makes the same attempt until this is dropped.
#[derive(Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "held, not used")] OwnedMutexGuard<()>);

impl Turns {
    pub(super) fn new() -> Self {
        Self { under_way: Mutex::default(), waiting: Semaphore::new(MAX_WAITING) }
    }

    /// Waits until nobody else makes this attempt; whether somebody did. `None` when too many wait.
    pub(super) async fn take(&self, tag: &Tag) -> Option<(Turn, bool)> {
        let turn = self.find(tag);
        if let Ok(guard) = Arc::clone(&turn).try_lock_owned() {
            return Some((Turn(guard), false));
        }
        let _place = self.waiting.try_acquire().ok()?;
        Some((Turn(turn.lock_owned().await), true))
    }

    fn find(&self, tag: &Tag) -> Arc<tokio::sync::Mutex<()>> {
        let mut under_way = self.under_way();
        under_way.retain(|(_, turn)| turn.strong_count() > 0);
        let known = under_way.iter().find(|(known, _)| known == tag);
        if let Some(turn) = known.and_then(|(_, turn)| turn.upgrade()) {
            return turn;
        }
        let turn = Arc::default();
        under_way.push((tag.clone(), Arc::downgrade(&turn)));
        turn
    }

    fn under_way(&self) -> MutexGuard<'_, Vec<(Tag, Weak<tokio::sync::Mutex<()>>)>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tags::BootKey;
    use crate::user::User;

    #[tokio::test]
    async fn the_same_attempt_is_made_once_at_a_time() {
        let (turns, key) = (Arc::new(Turns::new()), BootKey::generate().unwrap());
        let tag = |password: &[u8]| key.tag(&User::parse("a").unwrap(), 1, "", password);
        let (first, waited) = turns.take(&tag(b"x")).await.unwrap();
        assert!(!waited && !turns.take(&tag(b"y")).await.unwrap().1);
        let (waiting, again) = (Arc::clone(&turns), tag(b"x"));
        let second = tokio::spawn(async move { waiting.take(&again).await.unwrap().1 });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        assert!(second.await.unwrap());
        turns.take(&tag(b"z")).await.unwrap();
        assert_eq!(turns.under_way().len(), 1);
    }
}

//! Memory for what is read: it is taken while there is some. Who gets none waits for his turn, in which
//! there is enough for one of them, whatever the others have: so nobody waits for ever, although many wait
//! with something in their hands.

use std::sync::Arc;

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit};
use tokio::time::timeout;

use super::memory::{Budget, NoMemory, Share, UNIT};

/// What one reader has of the memory.
#[derive(Debug)]
pub struct Hold {
    budget: Arc<Budget>,
    share: Share,
    permits: Vec<[OwnedSemaphorePermit; 2]>,
    /// How much that is, in octets.
    octets: u64,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Hold {
    /// Nothing yet.
    pub fn new(budget: Arc<Budget>, share: Share) -> Self {
        Self { budget, share, permits: Vec::new(), octets: 0, turn: None }
    }

    /// The same reader's, with nothing in it.
    pub fn another(&self) -> Self {
        Self::new(Arc::clone(&self.budget), self.share.clone())
    }

    /// Whether it is this reader's turn: he may have what he needs.
    pub fn has_turn(&self) -> bool {
        self.turn.is_some()
    }

    /// Sees to it that there are `octets`, if they can be had at once.
    pub fn try_have(&mut self, octets: u64) -> bool {
        if self.has_turn() || octets <= self.octets {
            return true;
        }
        let Some((permits, more)) = self.budget.try_take(&self.share, octets - self.octets) else {
            return false;
        };
        self.permits.push(permits);
        self.octets += more;
        true
    }

    /// Sees to it that there are `octets`, in his turn if need be. No reader may wait for another turn
    /// while he has one.
    ///
    /// # Errors
    /// When his turn does not come in time.
    pub async fn have(&mut self, octets: u64) -> Result<(), NoMemory> {
        if !self.try_have(octets) {
            self.turn =
                Some(timeout(self.budget.wait(), self.budget.turn()).await.map_err(|_| NoMemory)?);
        }
        Ok(())
    }

    /// Keeps no more than the `octets` that he needs from now on, and ends his turn where these can be had
    /// without it.
    pub fn settle(&mut self, octets: u64) {
        let turn = self.turn.take();
        if !self.try_have(octets) {
            self.turn = turn;
        }
        let mut spare = self.octets.saturating_sub(octets) / UNIT;
        while spare > 0 {
            let Some(mut last) = self.permits.pop() else { break };
            let [of_share, _] = &last;
            let units = of_share.num_permits().min(usize::try_from(spare).unwrap_or(usize::MAX));
            // What is split off is given back.
            let _ = last.each_mut().map(|permit| permit.split(units));
            let [of_share, _] = &last;
            if of_share.num_permits() > 0 {
                self.permits.push(last);
            }
            spare -= units as u64;
            self.octets -= units as u64 * UNIT;
        }
    }

    /// Gives all of it back.
    pub fn give_back(&mut self) {
        self.permits.clear();
        self.octets = 0;
        self.turn = None;
    }

    /// Takes over what another hold of the same reader has.
    pub fn join(&mut self, other: Self) {
        self.permits.extend(other.permits);
        self.octets += other.octets;
        self.turn = self.turn.take().or(other.turn);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn holds<const N: usize>(octets: u64) -> (Arc<Budget>, [Hold; N]) {
        let budget = Arc::new(Budget::new(octets, Duration::from_millis(20)));
        let holds = [(); N].map(|()| Hold::new(Arc::clone(&budget), budget.share()));
        (budget, holds)
    }

    #[tokio::test]
    async fn everybody_comes_through_although_all_hold_something() {
        let (budget, mut readers) = holds::<4>(8 << 20);
        for reader in &mut readers {
            assert!(reader.try_have(1800 << 10));
        }
        let [first, second, ..] = &mut readers;
        assert!(!first.try_have(3 << 20));
        first.have(100 << 20).await.unwrap();
        assert!(first.has_turn() && first.try_have(200 << 20));
        assert!(second.have(3 << 20).await.is_err(), "one at a time");
        first.give_back();
        second.have(3 << 20).await.unwrap();
        drop(readers);
        assert_eq!(budget.free(), 8 << 20);
    }

    #[tokio::test]
    async fn a_turn_ends_where_there_is_enough_again() {
        let (budget, [mut first, mut second]) = holds::<2>(8 << 20);
        assert!(first.try_have(5 << 20));
        second.have(5 << 20).await.unwrap();
        second.settle(5 << 20);
        assert!(second.has_turn());
        drop(first);
        second.settle(5 << 20);
        assert!(!second.has_turn() && second.try_have(5 << 20));
        let mut joined = second.another();
        joined.join(second);
        assert!(joined.try_have(5 << 20) && budget.free() <= 3 << 20);
        joined.settle(1 << 20);
        assert_eq!(budget.free(), 7 << 20);
        drop(joined);
        assert_eq!(budget.free(), 8 << 20);
    }
}

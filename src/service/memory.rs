//! One budget of memory for all messages in hand. Who needs more than there is waits, and his client
//! with him; who has waited too long is deferred.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// Permits are for this many octets.
pub(super) const UNIT: u64 = 1024;
/// What a transaction takes beside its message: buffers, a small letter.
const FIXED_BYTES: u64 = 64 * 1024;
/// This part of the budget is for messages that need at most [`SMALL_BYTES`].
const LANE_PART: u64 = 16;
const SMALL_BYTES: u64 = 256 * 1024;

/// The budget.
#[derive(Debug)]
pub struct Budget {
    /// For everybody.
    permits: Arc<Semaphore>,
    /// For small messages only: they do not queue behind a large one.
    lane: Arc<Semaphore>,
    /// For one reader at a time (see [`super::turn`]).
    turn: Arc<Mutex<()>>,
    units: u64,
    wait: Duration,
}

/// What one client may have of the budget, so that a greedy one does not starve the others.
#[derive(Debug, Clone)]
pub struct Share(Arc<Semaphore>);

/// There is not enough and will not be soon.
#[derive(Debug)]
pub struct NoMemory;

impl Budget {
    /// A budget of `octets`, for which a transaction waits for `wait` at most.
    pub fn new(octets: u64, wait: Duration) -> Self {
        let units = (octets / UNIT).min(Semaphore::MAX_PERMITS as u64).min(u64::from(u32::MAX));
        let lane = units / LANE_PART;
        let turn = Arc::default();
        Self { permits: semaphore(units - lane), lane: semaphore(lane), turn, units, wait }
    }

    /// One client's share.
    pub fn share(&self) -> Share {
        Share(semaphore(self.largest() / UNIT))
    }

    /// How many octets are free.
    pub fn free(&self) -> u64 {
        (self.permits.available_permits() + self.lane.available_permits()) as u64 * UNIT
    }

    /// What one client may have, and so one message may need, at most: three quarters.
    pub fn largest(&self) -> u64 {
        (self.units - self.units / 4) * UNIT
    }

    /// Takes `octets` of a client's share, if they are there, and says how many that made.
    pub(super) fn try_take(
        &self,
        share: &Share,
        octets: u64,
    ) -> Option<([OwnedSemaphorePermit; 2], u64)> {
        let units = u32::try_from(octets.div_ceil(UNIT)).ok()?;
        let acquire =
            |semaphore: &Arc<Semaphore>| Arc::clone(semaphore).try_acquire_many_owned(units).ok();
        Some(([acquire(&share.0)?, acquire(&self.permits)?], u64::from(units) * UNIT))
    }

    /// Waits for the one turn that there is.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// How long somebody waits for memory.
    pub(super) fn wait(&self) -> Duration {
        self.wait
    }

    /// What a message of `octets` needs while it is sealed: itself and its compressed form, which may
    /// be as large; after that two forms of what is sealed.
    pub fn needed(octets: u64) -> u64 {
        FIXED_BYTES.saturating_add(octets.saturating_mul(21) / 10)
    }
}

fn semaphore(units: u64) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(usize::try_from(units).unwrap_or(0)))
}

/// What one transaction has of the budget.
#[derive(Debug)]
pub struct Reserved {
    budget: Arc<Budget>,
    share: Share,
    permits: Vec<OwnedSemaphorePermit>,
    units: u64,
    /// What is kept beside the message, in octets.
    beside: u64,
    /// How long it was waited for so far.
    waited: Duration,
}

impl Reserved {
    /// Nothing yet.
    pub fn new(budget: Arc<Budget>, share: Share) -> Self {
        Self { budget, share, permits: Vec::new(), units: 0, beside: 0, waited: Duration::ZERO }
    }

    /// Gives all of it back.
    pub fn give_back(&mut self) {
        self.permits.clear();
        self.units = 0;
    }

    /// Whether there is enough already for a message of `octets`.
    pub fn is_enough_for(&self, octets: u64) -> bool {
        self.missing(octets) == 0
    }

    /// Counts `octets` that are kept beside the message.
    pub fn keep(&mut self, octets: u64) {
        self.beside += octets;
    }

    /// Counts them no more. What was reserved for them stays for what comes next.
    pub fn keep_no_more(&mut self, octets: u64) {
        self.beside = self.beside.saturating_sub(octets);
    }

    fn missing(&self, octets: u64) -> u64 {
        let needed = Budget::needed(octets).saturating_add(self.beside);
        needed.div_ceil(UNIT).saturating_sub(self.units)
    }

    /// Reserves what a message of `octets` needs, if it is there.
    pub fn try_grow_to(&mut self, octets: u64) -> bool {
        let missing = self.missing(octets);
        let Ok(count) = u32::try_from(missing) else { return false };
        if count == 0 {
            return true;
        }
        let acquire =
            |semaphore: &Arc<Semaphore>| Arc::clone(semaphore).try_acquire_many_owned(count).ok();
        let of_all = || Some(Vec::from(self.budget.try_take(&self.share, missing * UNIT)?.0));
        let is_small = (self.units + missing) * UNIT <= SMALL_BYTES;
        let of_lane = || Some(vec![acquire(&self.budget.lane).filter(|_| is_small)?]);
        let Some(permits) = of_all().or_else(of_lane) else { return false };
        self.permits.extend(permits);
        self.units += missing;
        true
    }

    /// Reserves what a message of `octets` needs, and waits for it, in all for as long as the budget
    /// lets one wait.
    ///
    /// # Errors
    /// When it cannot be had in time.
    pub async fn grow_to(&mut self, octets: u64) -> Result<(), NoMemory> {
        if self.try_grow_to(octets) {
            return Ok(());
        }
        let missing = self.missing(octets);
        let count = u32::try_from(missing).map_err(|_| NoMemory)?;
        let both = async {
            let of_share = Arc::clone(&self.share.0).acquire_many_owned(count).await.ok()?;
            let permit = Arc::clone(&self.budget.permits).acquire_many_owned(count).await.ok()?;
            Some([of_share, permit])
        };
        let begun = Instant::now();
        let both = timeout(self.budget.wait.saturating_sub(self.waited), both).await;
        self.waited += begun.elapsed();
        self.permits.extend(both.ok().flatten().ok_or(NoMemory)?);
        self.units += missing;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_greedy_client_leaves_a_quarter() {
        let budget = Arc::new(Budget::new(8 << 20, Duration::from_millis(20)));
        let (greedy, other) = (budget.share(), budget.share());
        let mut first = Reserved::new(Arc::clone(&budget), greedy.clone());
        first.grow_to(2 << 20).await.unwrap();
        assert!(first.is_enough_for(2 << 20) && !first.is_enough_for(3 << 20));
        let mut second = Reserved::new(Arc::clone(&budget), greedy);
        assert!(second.grow_to(1 << 20).await.is_err());
        let mut third = Reserved::new(Arc::clone(&budget), other.clone());
        third.grow_to(700 << 10).await.unwrap();
        drop((first, second, third));
        assert_eq!(budget.free(), 8 << 20);
        // Nobody waits for what there will never be.
        assert!(Reserved::new(budget, other).grow_to(1 << 40).await.is_err());
    }

    #[tokio::test]
    async fn who_waits_gets_what_another_gives_back() {
        let budget = Arc::new(Budget::new(1 << 20, Duration::from_secs(10)));
        let mut first = Reserved::new(Arc::clone(&budget), budget.share());
        first.grow_to(300_000).await.unwrap();
        let mut second = Reserved::new(Arc::clone(&budget), budget.share());
        assert!(!second.try_grow_to(300_000));
        let waits = tokio::spawn(async move { second.grow_to(300_000).await });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(first);
        waits.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_small_message_does_not_queue_behind_a_large_one() {
        let budget = Arc::new(Budget::new(16 << 20, Duration::from_secs(10)));
        let share = budget.share();
        let mut first = Reserved::new(Arc::clone(&budget), share.clone());
        first.grow_to(5 << 20).await.unwrap();
        let mut large = Reserved::new(Arc::clone(&budget), budget.share());
        let waits = tokio::spawn(async move { large.grow_to(5 << 20).await });
        tokio::task::yield_now().await;
        // Nor where the client's own share is what it waits for.
        let mut next = Reserved::new(Arc::clone(&budget), share.clone());
        let next_waits = tokio::spawn(async move { next.grow_to(5 << 20).await });
        tokio::task::yield_now().await;
        for share in [share, budget.share()] {
            let mut small = Reserved::new(Arc::clone(&budget), share);
            assert!(small.try_grow_to(10_000));
            assert!(!small.try_grow_to(1 << 20), "that is not small");
        }
        assert!(!waits.is_finished() && !next_waits.is_finished());
        drop(first);
        next_waits.abort();
        waits.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_waits_once() {
        let wait = Duration::from_secs(10);
        let budget = Arc::new(Budget::new(1 << 20, wait));
        let mut first = Reserved::new(Arc::clone(&budget), budget.share());
        first.grow_to(300_000).await.unwrap();
        let mut second = Reserved::new(Arc::clone(&budget), budget.share());
        let begun = Instant::now();
        for _ in 0..3 {
            assert!(second.grow_to(200_000).await.is_err());
        }
        assert!(begun.elapsed() < 2 * wait, "{:?}", begun.elapsed());
        drop(first);
        second.grow_to(200_000).await.unwrap();
    }

    #[tokio::test]
    async fn who_gives_up_keeps_nothing() {
        let budget = Arc::new(Budget::new(1 << 20, Duration::from_millis(10)));
        let mut first = Reserved::new(Arc::clone(&budget), budget.share());
        first.grow_to(300_000).await.unwrap();
        let share = budget.share();
        let mut second = Reserved::new(Arc::clone(&budget), share.clone());
        assert!(second.grow_to(200_000).await.is_err());
        drop(first);
        assert_eq!(budget.free(), 1 << 20);
        let whole = u64::try_from(share.0.available_permits()).unwrap() * UNIT;
        assert_eq!(whole, budget.largest());
    }
}

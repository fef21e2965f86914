//! One budget of memory for all messages in hand. Who needs more than there is waits, and his client
//! with him; who has waited too long is deferred.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Permits are for this many octets.
const UNIT: u64 = 1024;
/// What a transaction takes beside its message: buffers, a small letter.
const FIXED_BYTES: u64 = 64 * 1024;

/// The budget.
#[derive(Debug)]
pub(super) struct Budget {
    permits: Arc<Semaphore>,
    units: u64,
    wait: Duration,
}

/// What one client may have of the budget, so that a greedy one does not starve the others.
#[derive(Debug, Clone)]
pub(super) struct Share(Arc<Semaphore>);

/// There is not enough and will not be soon.
#[derive(Debug)]
pub(super) struct NoMemory;

impl Budget {
    /// A budget of `octets`, for which a transaction waits for `wait` at most.
    pub(super) fn new(octets: u64, wait: Duration) -> Self {
        let units = (octets / UNIT).min(Semaphore::MAX_PERMITS as u64).min(u64::from(u32::MAX));
        let permits = Arc::new(Semaphore::new(usize::try_from(units).unwrap_or(0)));
        Self { permits, units, wait }
    }

    /// One client's share: three quarters.
    pub(super) fn share(&self) -> Share {
        let units = self.units - self.units / 4;
        Share(Arc::new(Semaphore::new(usize::try_from(units).unwrap_or(0))))
    }

    /// How many octets are free.
    pub(super) fn free(&self) -> u64 {
        self.permits.available_permits() as u64 * UNIT
    }

    /// What a message of `octets` needs while it is sealed: itself and its compressed form, which may
    /// be as large; after that two forms of what is sealed.
    pub(super) fn needed(octets: u64) -> u64 {
        FIXED_BYTES.saturating_add(octets.saturating_mul(21) / 10)
    }
}

/// What one transaction has of the budget.
#[derive(Debug)]
pub(super) struct Reserved {
    budget: Arc<Budget>,
    share: Share,
    permits: Vec<OwnedSemaphorePermit>,
    units: u64,
}

impl Reserved {
    /// Nothing yet.
    pub(super) fn new(budget: Arc<Budget>, share: Share) -> Self {
        Self { budget, share, permits: Vec::new(), units: 0 }
    }

    /// Gives all of it back.
    pub(super) fn give_back(&mut self) {
        self.permits.clear();
        self.units = 0;
    }

    /// Whether there is enough already for a message of `octets`.
    pub(super) fn is_enough_for(&self, octets: u64) -> bool {
        Budget::needed(octets) <= self.units * UNIT
    }

    /// Reserves what a message of `octets` needs. `waiting` is told when that takes a while.
    ///
    /// # Errors
    /// When it cannot be had in time.
    pub(super) async fn grow_to(
        &mut self,
        octets: u64,
        waiting: impl FnOnce() -> Box<dyn std::any::Any + Send>,
    ) -> Result<(), NoMemory> {
        let wanted = Budget::needed(octets).div_ceil(UNIT).saturating_sub(self.units);
        let count = u32::try_from(wanted).map_err(|_| NoMemory)?;
        if count == 0 {
            return Ok(());
        }
        let semaphores = [&self.share.0, &self.budget.permits];
        let mut waiting = Some(waiting);
        let mut told = None;
        for semaphore in semaphores {
            let permit = match Arc::clone(semaphore).try_acquire_many_owned(count) {
                Ok(permit) => permit,
                Err(_) => {
                    told = told.or_else(|| waiting.take().map(|tell| tell()));
                    let acquired = Arc::clone(semaphore).acquire_many_owned(count);
                    let acquired = timeout(self.budget.wait, acquired).await;
                    acquired.ok().and_then(Result::ok).ok_or(NoMemory)?
                }
            };
            self.permits.push(permit);
        }
        self.units += wanted;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> Box<dyn std::any::Any + Send> {
        Box::new(())
    }

    #[tokio::test]
    async fn a_greedy_client_leaves_a_quarter() {
        let budget = Arc::new(Budget::new(8 << 20, Duration::from_millis(20)));
        let (greedy, other) = (budget.share(), budget.share());
        let mut first = Reserved::new(Arc::clone(&budget), greedy.clone());
        first.grow_to(2 << 20, quiet).await.unwrap();
        assert!(first.is_enough_for(2 << 20) && !first.is_enough_for(3 << 20));
        let mut second = Reserved::new(Arc::clone(&budget), greedy);
        assert!(second.grow_to(1 << 20, quiet).await.is_err());
        let mut third = Reserved::new(Arc::clone(&budget), other.clone());
        third.grow_to(700 << 10, quiet).await.unwrap();
        drop((first, second, third));
        assert_eq!(budget.free(), 8 << 20);
        // Nobody waits for what there will never be.
        assert!(Reserved::new(budget, other).grow_to(1 << 40, quiet).await.is_err());
    }

    #[tokio::test]
    async fn who_waits_gets_what_another_gives_back() {
        let budget = Arc::new(Budget::new(1 << 20, Duration::from_secs(10)));
        let mut first = Reserved::new(Arc::clone(&budget), budget.share());
        first.grow_to(300_000, quiet).await.unwrap();
        let mut second = Reserved::new(Arc::clone(&budget), budget.share());
        let (tell, told) = tokio::sync::oneshot::channel();
        let waits = tokio::spawn(async move {
            let waiting = || {
                let _ = tell.send(());
                quiet()
            };
            second.grow_to(300_000, waiting).await
        });
        told.await.unwrap();
        drop(first);
        waits.await.unwrap().unwrap();
    }
}

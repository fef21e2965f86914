//! How many Argon2 runs there may be at a time, and who waits for one. Their memory is one budget, and
//! no record can ask for more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::keys::kdf::Cost;

/// What a run takes on one core of today, to tell who is sent away when to come again.
const RUN: Duration = Duration::from_millis(150);

/// The gate before Argon2.
#[derive(Debug)]
pub(super) struct Gate {
    /// In MiB.
    memory: Arc<Semaphore>,
    bound_mib: u32,
    runs: u32,
    /// Attempts that nobody vouches for leave one run for those that the site's login has accepted.
    guesses: Arc<Semaphore>,
    waiting: [AtomicUsize; 2],
    most_waiting: usize,
    patience: Duration,
}

/// Leave to run, until it is dropped.
#[derive(Debug)]
pub(super) struct Run {
    _memory: OwnedSemaphorePermit,
    _guess: Option<OwnedSemaphorePermit>,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoRun {
    /// Too many wait, or it took too long: come again after so many seconds.
    Busy(u32),
    /// The record wants more memory than there is for all.
    TooLarge,
}

impl Gate {
    /// For `runs` at a time, one for each core when it is 0, each of the default cost.
    pub(super) fn new(runs: usize, most_waiting: usize, patience: Duration) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let runs = if runs == 0 { cores() } else { runs };
        let runs = u32::try_from(runs.min(1024)).unwrap_or(1);
        let bound_mib = runs * mib(Cost::default().memory_kib);
        Self {
            memory: Arc::new(Semaphore::new(bound_mib as usize)),
            bound_mib,
            runs,
            guesses: Arc::new(Semaphore::new((runs as usize).saturating_sub(1).max(1))),
            waiting: Default::default(),
            most_waiting,
            patience,
        }
    }

    /// The memory that all runs together have at most, in octets.
    pub(super) fn bound(&self) -> u64 {
        u64::from(self.bound_mib) << 20
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.iter().map(|waiting| waiting.load(Ordering::Relaxed)).sum()
    }

    /// Waits for leave to run with `memory_kib`. `is_vouched` are attempts that the site's login has
    /// accepted: they do not wait behind guesses.
    pub(super) async fn enter(&self, memory_kib: u32, is_vouched: bool) -> Result<Run, NoRun> {
        let wanted = mib(memory_kib).max(1);
        if wanted > self.bound_mib {
            return Err(NoRun::TooLarge);
        }
        let [vouched, guesses] = &self.waiting;
        let waiting = if is_vouched { vouched } else { guesses };
        let Some(_place) = Place::take(waiting, self.most_waiting) else {
            return Err(self.busy(waiting));
        };
        let entering = async {
            let guess = if is_vouched {
                None
            } else {
                Some(Arc::clone(&self.guesses).acquire_owned().await.ok()?)
            };
            let memory = Arc::clone(&self.memory).acquire_many_owned(wanted).await.ok()?;
            Some(Run { _memory: memory, _guess: guess })
        };
        let entered = timeout(self.patience, entering).await;
        entered.ok().flatten().ok_or_else(|| self.busy(waiting))
    }

    fn busy(&self, waiting: &AtomicUsize) -> NoRun {
        let waiting = u32::try_from(waiting.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        let queue = RUN.saturating_mul(waiting) / self.runs;
        NoRun::Busy(u32::try_from(queue.as_secs()).unwrap_or(u32::MAX).saturating_add(1))
    }
}

fn mib(kib: u32) -> u32 {
    kib.div_ceil(1024)
}

/// A place in the waiting list.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        let more = |count| (count < most).then_some(count + 1);
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u32 = 64 * 1024;

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_so() {
        let gate = Gate::new(2, 1, Duration::from_secs(10));
        assert_eq!(gate.bound(), 128 << 20);
        assert_eq!(gate.enter(3 * KIB, true).await.unwrap_err(), NoRun::TooLarge);
        let first = gate.enter(KIB, true).await.unwrap();
        let _second = gate.enter(1, true).await.unwrap();
        assert_eq!(gate.enter(KIB, true).await.unwrap_err(), NoRun::Busy(1));
        let (third, fourth) = tokio::join!(gate.enter(KIB, true), gate.enter(KIB, true));
        assert!(third.is_err() && fourth.is_err());
        assert_eq!(gate.waiting(), 0);
        drop(first);
        assert!(gate.enter(KIB, true).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_leave_room() {
        let gate = Gate::new(2, 9, Duration::from_secs(1));
        let _guess = gate.enter(KIB, false).await.unwrap();
        assert!(gate.enter(KIB, false).await.is_err());
        assert!(gate.enter(KIB, true).await.is_ok());
    }
}

//! Chance that can be had again: from a seed that is printed, or given as `NIGHTSAFE_SEED`.

use std::ops::Range;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

/// A sequence of numbers.
#[derive(Clone, Debug)]
pub struct Chance(u64);

/// The seed of this run.
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| match std::env::var("NIGHTSAFE_SEED") {
        Ok(seed) => seed.parse().expect("NIGHTSAFE_SEED is a number"),
        Err(_) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            u64::from(now.subsec_nanos())
        }
    })
}

impl Chance {
    /// The sequence of this run that belongs to a name and a number.
    pub fn of(name: &str, number: usize) -> Self {
        let mut chance = Self(seed());
        for byte in name.bytes() {
            chance.0 ^= u64::from(byte);
            chance.next();
        }
        chance.0 ^= number as u64;
        chance.next();
        chance
    }

    /// Steele, Lea and Flood's SplitMix64.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number of a range.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// Whether something happens that happens so many times of a hundred.
    pub fn is(&mut self, percent: u64) -> bool {
        self.within(0..100) < percent
    }

    /// So many milliseconds.
    pub fn time(&mut self, milliseconds: Range<u64>) -> Duration {
        Duration::from_millis(self.within(milliseconds))
    }

    /// Sleeps for so many milliseconds.
    pub fn pause(&mut self, milliseconds: Range<u64>) {
        sleep(self.time(milliseconds));
    }
}

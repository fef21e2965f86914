//! What tests without a fuzzer share with one: its seeds, and numbers to change them by.

#![allow(dead_code, reason = "each test file uses its own part of the module")]

use std::fs;
use std::path::{Path, PathBuf};

/// Numbers that look random and are the same in each run (xorshift).
pub struct Numbers(pub u64);

impl Numbers {
    /// From 0 up to `end`, which is not among them.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end.max(1)
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }
}

/// A folder of `tests/fuzz`.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(name)
}

/// All seeds in such a folder, of which there must be so many at least.
pub fn seeds(name: &str, least: usize) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder(name)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= least, "the seeds are gone");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

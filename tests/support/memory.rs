//! The memory of another process, which only root can look into.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

/// Every octet that the process `pid` can have put anywhere, mapping by mapping: all but what it only
/// reads from a file.
pub fn dump(pid: u32) -> Vec<Vec<u8>> {
    assert!(rustix::process::geteuid().is_root(), "only root can look into another process");
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = Vec::new();
    for line in maps.lines().filter(|line| !line.contains("[v")) {
        let mut words = line.split_ascii_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
        let is_of_file = words.nth(2).is_some_and(|inode| inode != "0");
        if !rights.starts_with('r') || is_of_file && !rights.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|at| u64::from_str_radix(at, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        // A mapping may be gone meanwhile.
        let read = memory.read_at(&mut bytes, start).unwrap_or(0);
        bytes.truncate(read);
        found.push(bytes);
    }
    assert!(found.iter().map(Vec::len).sum::<usize>() > 100_000, "that was not all");
    found
}

/// Whether `secret` is anywhere in it.
pub fn holds(dump: &[Vec<u8>], secret: &[u8]) -> bool {
    assert!(secret.len() >= 16, "too short to tell");
    dump.iter().any(|bytes| memchr::memmem::find(bytes, secret).is_some())
}

/// Whether 32 octets that `is_it` knows are anywhere in it. Octets that are all but random cannot be
/// so few kinds, which spares most of the trials.
pub fn holds_key(dump: &[Vec<u8>], is_it: impl Fn(&[u8; 32]) -> bool) -> bool {
    let looks_random = |window: &[u8; 32]| {
        let mut kinds = *window;
        kinds.sort_unstable();
        kinds.windows(2).filter(|pair| pair[0] != pair[1]).count() >= 15
    };
    dump.iter().any(|bytes| {
        let windows = (0..bytes.len().saturating_sub(31)).step_by(8);
        windows
            .map(|at| bytes[at..at + 32].try_into().unwrap())
            .any(|window: &[u8; 32]| looks_random(window) && is_it(window))
    })
}

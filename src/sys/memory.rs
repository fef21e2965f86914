//! Memory for secrets that stay: never swapped, never in a core dump, never in a child.
//!
//! What could not be locked is not handed out: there is no way to put a secret into it.

use std::fmt;
use std::io;

use memmap2::{Advice, MmapMut};
use rustix::mm::MlockAllFlags;
use rustix::process::Resource;
use rustix::thread::CapabilitySet;
use zeroize::Zeroize as _;

/// Octets in whole pages of their own, locked; wiped and given back when the value is dropped.
pub struct Locked(MmapMut);

impl Locked {
    /// Zeros, at least `length` octets.
    ///
    /// # Errors
    /// Where the kernel lets this process lock no more (RLIMIT_MEMLOCK in setrlimit(2)), or has no
    /// memory.
    pub fn new(length: usize) -> io::Result<Self> {
        let mapped = MmapMut::map_anon(length.max(1))?;
        mapped.lock()?;
        mapped.advise(Advice::DontDump)?;
        mapped.advise(Advice::DontFork)?;
        Ok(Self(mapped))
    }

    /// The octets, to be used and not kept.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The octets, to be filled in place.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Locked({} octets)", self.0.len())
    }
}

/// Keeps all of this process out of swap, where its limit of locked memory lets it without end.
/// Whether it does.
///
/// With a limit it is left alone: what could not be locked could not be had at all then, and a login
/// would end the process.
pub fn lock_all() -> bool {
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    is_unlimited() && rustix::mm::mlockall(flags).is_ok()
}

/// By its limit, or because it is privileged (CAP_IPC_LOCK in capabilities(7)).
fn is_unlimited() -> bool {
    let privileged = || {
        let held = rustix::thread::capabilities(None);
        held.is_ok_and(|held| held.effective.contains(CapabilitySet::IPC_LOCK))
    };
    rustix::process::getrlimit(Resource::Memlock).current.is_none() || privileged()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_memory_is_locked() {
        let mut memory = Locked::new(5000).unwrap();
        memory.expose_mut()[4999] = 7;
        assert!(memory.expose().len() >= 5000);
        assert_eq!(memory.expose()[4999], 7);
        let at = memory.expose().as_ptr() as usize;
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = maps.lines().skip_while(|line| {
            let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
            let range = range.map(|(a, b)| [a, b].map(|x| usize::from_str_radix(x, 16)));
            !matches!(range, Some([Ok(start), Ok(end)]) if (start..end).contains(&at))
        });
        let flags = lines.find(|line| line.starts_with("VmFlags:")).unwrap();
        for flag in ["lo", "dd", "dc"] {
            assert!(flags.split(' ').any(|word| word == flag), "{flag} is not in {flags}");
        }
    }
}

//! What this process is allowed to leave behind, and who waits for it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::process::{DumpableBehavior, Pid, Resource, Rlimit};

/// Keeps secrets out of core dumps and away from debuggers of the same user.
///
/// # Errors
/// When the kernel refuses one of the two.
pub fn forbid_dumps() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}

/// Lets this process have as many files open as the kernel allows it at most.
///
/// # Errors
/// When the kernel refuses.
pub fn allow_files() -> io::Result<()> {
    let Rlimit { maximum, .. } = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(())
}

/// Begins this process anew with `variables` set, unless they are: for what is read only when a process
/// begins. Its number and its open files stay.
///
/// # Errors
/// When it cannot; then it goes on as it is.
pub fn begin_again_with(variables: &[(&str, String)]) -> io::Result<()> {
    if variables.iter().all(|(name, _)| std::env::var_os(name).is_some()) {
        return Ok(());
    }
    let mut again = Command::new(std::env::current_exe()?);
    again
        .args(std::env::args_os().skip(1))
        .envs(variables.iter().map(|(name, value)| (name, value)));
    Err(again.exec())
}

/// Starts this program anew with `arguments`; its standard input is the other end of what is given
/// back. It ends when it reads the end there.
///
/// # Errors
/// When it cannot be started.
pub fn start_beside(arguments: &[&OsStr]) -> io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut beside = Command::new(std::env::current_exe()?);
    beside.args(arguments).stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
    // Sockets of the service manager are not for it.
    beside.env_remove("LISTEN_FDS").env_remove("LISTEN_PID").env_remove("NOTIFY_SOCKET");
    beside.spawn()?;
    Ok(ours)
}

/// What [`start_beside`] left as standard input.
///
/// # Errors
/// When there is none.
pub fn stdin_stream() -> io::Result<UnixStream> {
    Ok(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// The user that this process acts as.
pub fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether it was root who started this process, whatever it acts as.
pub fn is_started_by_root() -> bool {
    rustix::process::getuid().is_root()
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The process that started this one and reads its exit status: the MTA.
#[derive(Debug, Clone, Copy)]
pub struct Caller(Option<Pid>);

impl Caller {
    /// The caller of now. To be called before anything is read.
    pub fn now() -> Self {
        Self(rustix::process::getppid())
    }

    /// Whether the caller is still there to read the exit status. When it died, end of file on
    /// standard input may mean a message cut short, which must not be delivered: a store that
    /// recognises duplicates would then refuse the whole one.
    ///
    /// A dying process closes its files before its children get another parent, so the kernel's
    /// "exiting" flag is asked for too.
    pub fn waits(self) -> bool {
        let now = rustix::process::getppid();
        now == self.0 && now.is_none_or(|caller| !is_exiting(caller))
    }
}

/// `PF_EXITING` of the kernel's task flags, the ninth field of `/proc/PID/stat` (proc_pid_stat(5)).
const EXITING_FLAG: u64 = 0x4;

fn is_exiting(process: Pid) -> bool {
    let stat = fs::read(format!("/proc/{}/stat", process.as_raw_nonzero()));
    // Hidden from us (hidepid): the changed parent alone has to tell.
    let Ok(stat) = stat else { return false };
    let Some(name_end) = memchr::memrchr(b')', &stat) else { return false };
    let rest = String::from_utf8_lossy(stat.get(name_end + 1..).unwrap_or_default()).into_owned();
    let mut fields = rest.split_ascii_whitespace();
    let is_dead = fields.next().is_some_and(|state| matches!(state, "Z" | "X"));
    let flags = fields.nth(5).and_then(|flags| flags.parse::<u64>().ok()).unwrap_or(0);
    is_dead || flags & EXITING_FLAG != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_runner_waits() {
        assert!(Caller::now().waits());
    }

    #[test]
    fn another_caller_does_not() {
        assert!(!Caller(Pid::from_raw(1 << 22)).waits());
    }
}

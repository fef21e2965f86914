//! Child processes that end with the test, waiting with a deadline, and a look into `/proc`.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take. Machines that run tests are slow at times.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server that is ended with the value: politely first, then not.
pub struct Server {
    child: Child,
}

impl Server {
    pub fn start(command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child }
    }

    /// One that was started already.
    pub fn of(child: Child) -> Self {
        Self { child }
    }

    /// Waits for it to end by itself, or by a signal that it was sent.
    pub fn wait(&mut self) -> ExitStatus {
        let id = self.child.id();
        wait_for("a server to end", || format!("process {id}"), || self.child.try_wait().unwrap())
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its process, and the group of those that it started, if it was given one.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills its whole group, at once, and waits until none of it is left.
    pub fn kill_group(mut self) {
        let group = self.child.id();
        let pid = Pid::from_raw(i32::try_from(group).unwrap()).unwrap();
        kill_process_group(pid, Signal::KILL).unwrap();
        self.child.wait().unwrap();
        let left = || format!("{:?}", in_group(group));
        wait_for("a group of processes to end", left, || in_group(group).is_empty().then_some(()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Ok(None) = self.child.try_wait() else {
            return;
        };
        signal(self.child.id(), Signal::TERM);
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until there is an answer; fails with `what` and `why` when [`PATIENCE`] is over.
pub fn wait_for<T>(what: &str, why: impl Fn() -> String, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "still waiting for {what}\n{}", why());
        sleep(Duration::from_millis(5));
    }
}

/// Sends a signal to a process; that it is gone already does not matter.
pub fn signal(process: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    let _ = kill_process(pid, signal);
}

/// A TCP port of the loopback interface that is free, and stays so until a server of this test listens at it:
/// no connection begins at one as low as this, and another test finds the same port of UDP taken.
pub fn free_port() -> u16 {
    static TAKEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    const PORTS: std::ops::Range<u64> = 12_000..32_000;
    let random = RandomState::new();
    for attempt in 0..10_000_u32 {
        let port = PORTS.start + random.hash_one(attempt) % (PORTS.end - PORTS.start);
        let address = ("127.0.0.1", u16::try_from(port).unwrap());
        let Ok(taken) = UdpSocket::bind(address) else { continue };
        if TcpListener::bind(address).is_ok() {
            TAKEN.lock().unwrap().push(taken);
            return address.1;
        }
    }
    panic!("no port is free");
}

/// The processes that run this program, as an executable or as a script.
pub fn running(program: &Path) -> Vec<u32> {
    let program = program.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(arguments) = fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        if arguments.split(|&byte| byte == 0).take(2).any(|argument| argument == program) {
            found.push(id);
        }
    }
    found
}

/// The parent of a process, while it lives.
pub fn parent(process: u32) -> Option<u32> {
    stat(process)?.1.split(' ').nth(1)?.parse().ok()
}

/// The processes of a group that run a program of this name.
pub fn named_in_group(name: &str, group: u32) -> Vec<u32> {
    let found = in_group(group).into_iter();
    found.filter(|process| stat(*process).is_some_and(|(its, _)| its == name)).collect()
}

/// The processes of a group that live.
fn in_group(group: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_in = |process: &u32| {
        stat(*process).is_some_and(|(_, rest)| {
            let mut fields = rest.split(' ');
            let lives = fields.next() != Some("Z");
            lives && fields.nth(1).and_then(|its| its.parse().ok()) == Some(group)
        })
    };
    processes.filter(is_in).collect()
}

/// The name of a process, and what comes behind it: "state parent group …".
fn stat(process: u32) -> Option<(String, String)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // "PID (name) state parent group …", and the name can hold anything.
    let (name, rest) = stat.rsplit_once(") ")?;
    Some((name.split_once('(')?.1.to_owned(), rest.to_owned()))
}

/// How many bytes a process has read so far.
pub fn bytes_read(process: u32) -> Option<u64> {
    let io = fs::read_to_string(format!("/proc/{process}/io")).ok()?;
    io.lines().find_map(|line| line.strip_prefix("rchar: "))?.parse().ok()
}

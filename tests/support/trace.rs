//! The program under strace(1): what it asks of the kernel, and what happens when one of these calls
//! never returns or fails.

use std::collections::HashMap;
use std::process::Command;

use super::{Ran, Site, finish};

/// Whatever changes files or waits for them. A question mark: not every machine has it.
const CALLS: &str = "openat,write,fsync,?fdatasync,?ftruncate,fchmod,fchown,?chmod,?fchmodat,?chown,\
    ?fchownat,?link,linkat,?rename,?renameat,renameat2,?unlink,unlinkat,?mkdir,mkdirat,flock,\
    getdents64";

/// One call: its name, and the how-maniest of that name it is.
#[derive(Clone, Debug)]
pub struct Call {
    pub name: String,
    pub nth: usize,
    /// The whole line, with the paths of open files.
    pub line: String,
}

fn strace(options: &[&str], program: &Command, input: &[u8]) -> Ran {
    let found = Command::new("strace").arg("--version").output().is_ok();
    assert!(found, "this test needs the program strace (Debian package strace)");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", &format!("trace={CALLS}"), "-e", "signal=none"]);
    command.args(options).arg(program.get_program()).args(program.get_args());
    let set = program.get_envs().filter_map(|(name, value)| Some((name, value?)));
    finish(command.envs(set), input)
}

/// Every call of a run that succeeds.
pub fn calls(site: &Site, arguments: &[&str], input: &[u8]) -> Vec<Call> {
    calls_of(site, &site.command(arguments), input)
}

/// The same of another program, of the thread that locks the key directory.
pub fn calls_of(site: &Site, program: &Command, input: &[u8]) -> Vec<Call> {
    let file = site.file("trace", b"");
    strace(&["-y", "-o", &file], program, input).good();
    let mut counted = HashMap::new();
    let trace = std::fs::read(&file).unwrap();
    let trace = String::from_utf8_lossy(&trace);
    // Each line begins with the number of its thread, and a thread's calls are counted by themselves.
    let numbered = || trace.lines().filter_map(|line| line.split_once(char::is_whitespace));
    let locking = numbered().find(|(_, line)| line.trim_start().starts_with("flock("));
    let thread = locking.or_else(|| numbered().next()).unwrap().0;
    let calls = numbered().filter(|(number, _)| *number == thread).filter_map(|(_, line)| {
        let (name, _) = line.trim_start().split_once('(')?;
        let nth = counted.entry(name.to_owned()).or_insert(0);
        *nth += 1;
        Some(Call { name: name.to_owned(), nth: *nth, line: line.trim_start().to_owned() })
    });
    let calls: Vec<_> = calls.collect();
    assert!(calls.len() > 10, "strace saw nothing: {trace}");
    calls
}

impl Call {
    /// Whether it is about what lies in the key directory.
    pub fn is_of_keys(&self) -> bool {
        self.line.contains("/keys/")
    }

    /// Runs the program and kills it when it makes this call, before anything happens.
    #[track_caller]
    pub fn killed(&self, site: &Site, arguments: &[&str], input: &[u8]) {
        self.killed_in(&site.command(arguments), input);
    }

    /// The same of another program.
    #[track_caller]
    pub fn killed_in(&self, program: &Command, input: &[u8]) {
        let inject = format!("inject={}:signal=KILL:when={}", self.name, self.nth);
        let ran = strace(&["-o", "/dev/null", "-e", &inject], program, input);
        assert_eq!(ran.status, None, "not killed at {self:?}: {}{}", ran.text(), ran.stderr);
    }

    /// Runs the program and lets this call fail.
    pub fn failed(&self, error: &str, site: &Site, arguments: &[&str], input: &[u8]) -> Ran {
        let inject = format!("inject={}:error={error}:when={}", self.name, self.nth);
        strace(&["-o", "/dev/null", "-e", &inject], &site.command(arguments), input)
    }
}

/// Does the work on two threads, each with a site of its own.
pub fn on_two_sites(calls: &[Call], work: impl Fn(&Site, usize, &Call) + Sync) {
    std::thread::scope(|scope| {
        for half in 0..2 {
            let work = &work;
            scope.spawn(move || {
                let site = Site::new();
                for (number, call) in calls.iter().enumerate().filter(|(n, _)| n % 2 == half) {
                    work(&site, number, call);
                }
            });
        }
    });
}

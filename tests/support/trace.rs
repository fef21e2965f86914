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

fn strace(site: &Site, options: &[&str], arguments: &[&str], input: &[u8]) -> Ran {
    let found = Command::new("strace").arg("--version").output().is_ok();
    assert!(found, "this test needs the program strace (Debian package strace)");
    let program = site.command(arguments);
    let mut command = Command::new("strace");
    command.args(["-qq", "-e", &format!("trace={CALLS}"), "-e", "signal=none"]).args(options);
    command.arg(program.get_program()).args(program.get_args());
    finish(&mut command, input)
}

/// Every call of a run that succeeds.
pub fn calls(site: &Site, arguments: &[&str], input: &[u8]) -> Vec<Call> {
    let file = site.file("trace", b"");
    strace(site, &["-y", "-o", &file], arguments, input).good();
    let mut counted = HashMap::new();
    let trace = std::fs::read(&file).unwrap();
    let trace = String::from_utf8_lossy(&trace);
    let calls = trace.lines().filter_map(|line| {
        let (name, _) = line.split_once('(')?;
        let nth = counted.entry(name.to_owned()).or_insert(0);
        *nth += 1;
        Some(Call { name: name.to_owned(), nth: *nth, line: line.to_owned() })
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
        let inject = format!("inject={}:signal=KILL:when={}", self.name, self.nth);
        let ran = strace(site, &["-o", "/dev/null", "-e", &inject], arguments, input);
        assert_eq!(ran.status, None, "not killed at {self:?}: {}{}", ran.text(), ran.stderr);
    }

    /// Runs the program and lets this call fail.
    pub fn failed(&self, error: &str, site: &Site, arguments: &[&str], input: &[u8]) -> Ran {
        let inject = format!("inject={}:error={error}:when={}", self.name, self.nth);
        strace(site, &["-o", "/dev/null", "-e", &inject], arguments, input)
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

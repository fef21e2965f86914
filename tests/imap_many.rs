//! Two thousand who are logged in at `nightsafe imap` and say nothing: what each costs in memory is bounded,
//! and others are served.

mod site;
mod support;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use site::proxy::Reading;
use site::{Site, password};
use std::thread;
use support::imap::Client;
use support::imap_stub::{Reaction, Stub};

const CLIENTS: usize = 2000;
/// What one of them may cost, beside TLS, in KiB.
const MOST_KIB: u64 = 64;
const USER: &str = "alice";

/// Each has two sockets in this process, and two in the proxy's.
fn allow_files(wanted: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = maximum.map_or(wanted, |maximum| maximum.max(wanted));
    let raised =
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: Some(raised) });
    assert!(raised.is_ok(), "this test needs {wanted} open files; see `ulimit -Hn`");
}

fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap().split_ascii_whitespace().next().unwrap().parse().unwrap()
}

fn login(port: u16) -> Client {
    Client::login(port, USER, &password(USER))
}

#[test]
fn two_thousand_idle() {
    allow_files(10_000);
    let site = Site::with_users(&[USER]);
    let stub = Stub::start(|_, _| Reaction::Usual);
    let reading = Reading::start_with(
        &site,
        &stub.address(),
        "",
        "connections = 3000\nconnections_per_client = 3000",
    );
    let (port, process) = (reading.port(), reading.proxy.id());
    // Whatever there is one of is there before it is measured.
    for _ in 0..20 {
        login(port).command("SELECT INBOX").good();
    }
    reading.agent.wait_for_leases(&site, USER, 0);
    let before = resident(process);
    let each = || resident(process).saturating_sub(before) / CLIENTS as u64;
    // The second time they cost nothing more: what the first ones had was given back.
    let mut costs = Vec::new();
    for _ in 0..2 {
        let held = everybody(port);
        assert_eq!(reading.agent.leases(&site, USER), Some(u32::try_from(CLIENTS).unwrap()));
        costs.push(each());
        others_are_served(port, held);
        reading.agent.wait_for_leases(&site, USER, 0);
    }
    assert!(costs.iter().all(|each| *each <= MOST_KIB), "{costs:?} KiB each");
    assert!(costs[1] <= costs[0] + MOST_KIB / 8, "{costs:?} KiB each");
    println!("{costs:?} KiB for each of {CLIENTS} clients who say nothing");
}

/// All of them, logged in.
fn everybody(port: u16) -> Vec<Client> {
    let idle = move |at: usize| {
        let mut client = login(port);
        client.command("SELECT INBOX").good();
        client.command("UID FETCH 1:* (FLAGS)").good();
        // Half of them idle as IMAP has it.
        if at.is_multiple_of(2) {
            client.start("IDLE");
            client.until_asked();
        }
        client
    };
    let work = || thread::spawn(move || (0..CLIENTS / 4).map(idle).collect::<Vec<_>>());
    let workers: Vec<_> = (0..4).map(|_| work()).collect();
    workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
}

/// And each of those who were silent still is.
fn others_are_served(port: u16, mut held: Vec<Client>) {
    assert_eq!(held.len(), CLIENTS);
    let mut other = login(port);
    other.append("INBOX", "", b"Subject: x\r\n\r\nhello\r\n").good();
    for client in held.iter_mut().skip(1).step_by(2) {
        client.command("NOOP").good();
    }
    for client in held.iter_mut().step_by(2) {
        client.send(b"DONE\r\n").unwrap();
    }
}

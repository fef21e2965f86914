//! A search that takes long: `nightsafe imap` tells the client now and then that it goes on, and ends it when
//! the client goes.

mod site;
mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};

use rustix::process::Signal;
use site::dovecot::Dovecot;
use site::process::{free_port, wait_for};
use site::proxy::Reading;
use site::store::Store as _;
use site::{Site, password};
use support::imap::Client;
use support::imap_stub::{Reaction, Stub, say};

const USER: &str = "alice";

fn login(port: u16) -> Client {
    let mut client = Client::login(port, USER, &password(USER));
    client.command("SELECT INBOX").good();
    client
}

/// Waits for so many signs of life, and for nothing else.
#[track_caller]
fn is_told(client: &mut Client, times: usize) {
    for _ in 0..times {
        let said = client.read().unwrap();
        assert_eq!(String::from_utf8_lossy(&said), "* OK still searching");
    }
}

/// A store that stands still where it is asked for messages.
#[derive(Default)]
struct Gate {
    /// Whether it is open, and how many have come to it.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        drop(self.changed.wait_while(state, |(is_open, _)| !*is_open).unwrap());
    }

    fn waiting(&self) -> usize {
        self.state.lock().unwrap().1
    }

    fn open(&self) {
        self.state.lock().unwrap().0 = true;
        self.changed.notify_all();
    }
}

#[test]
fn while_the_store_is_slow() {
    let gate = Arc::new(Gate::default());
    let at_gate = Arc::clone(&gate);
    let stub = Stub::start(move |tag, asked| {
        if asked.contains("FETCH ") {
            at_gate.pass();
            let none = "BODY[HEADER.FIELDS (NIGHTSAFE-SIGNATURE SEALED-SUMMARY)] {2}\r\n\r\n";
            let message = |n: u32| format!("* {n} FETCH (UID {n} {none} BODY[2] NIL)\r\n");
            return say(format!("{}{}{tag} OK done\r\n", message(1), message(2)));
        }
        match asked {
            "SEARCH 1:2 TEXT \"WALNUT\"" => say(format!("* SEARCH 2\r\n{tag} OK done\r\n")),
            _ if asked.starts_with("SEARCH ") => say(format!("* SEARCH 1 2\r\n{tag} OK done\r\n")),
            _ => Reaction::Usual,
        }
    });
    let site = Site::with_users(&[USER]);
    let reading = Reading::start(&site, &stub.address());
    let mut client = login(reading.port());
    let tag = client.start("SEARCH TEXT walnut");
    // One who does not wait for it: nothing has come of the store yet, and nothing ever will.
    let mut gone = login(reading.port());
    gone.start("SEARCH TEXT walnut");
    wait_for(
        "both to be asked for",
        || gate.waiting().to_string(),
        || (gate.waiting() == 2).then_some(()),
    );
    drop(gone);
    reading.agent.wait_for_leases(&site, USER, 1);
    is_told(&mut client, 2);
    gate.open();
    let answer = client.finish(&tag).good();
    assert_eq!(answer.of("SEARCH"), [b"SEARCH 2"]);
}

fn connections(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let line = answer.lines().find(|line| line.starts_with("nightsafe_imap_connections "));
    line.expect("a number of connections").to_owned()
}

#[test]
fn while_the_agent_is_slow() {
    let site = Site::with_users(&[USER]);
    let dovecot = Dovecot::start(&site, &[USER]);
    let metrics = free_port();
    let more = format!("metrics = [\"inet:127.0.0.1:{metrics}\"]");
    let reading = Reading::start_with(&site, &dovecot.imap_address(), "", &more);
    let mut client = login(reading.port());
    client.append("INBOX", "", b"Subject: quince\r\n\r\nThe walnuts are ripe.\r\n").good();
    client.append("INBOX", "", b"Subject: quince\r\n\r\nThe plums are ripe.\r\n").good();
    client.command("NOOP").good();
    let mut gone = login(reading.port());
    reading.agent.signal(Signal::STOP);
    let tag = client.start("SEARCH TEXT walnut");
    gone.start("UID SEARCH TEXT walnut");
    is_told(&mut gone, 1);
    drop(gone);
    let connected = || connections(metrics);
    wait_for("the session to end", connected, || connected().ends_with(" 1").then_some(()));
    is_told(&mut client, 2);
    reading.agent.signal(Signal::CONT);
    let answer = client.finish(&tag).good();
    assert_eq!(answer.of("SEARCH"), [b"SEARCH 1"]);
}

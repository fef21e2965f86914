//! What is told while something is away: keys, the store, the client itself.

use super::Office;
use crate::site::canary::Canaries;
use crate::site::process::wait_for;
use crate::site::proxy::Reading;
use crate::site::store::Store;
use crate::support::imap::Client;
use std::io::ErrorKind;

/// Whatever a client was told: no content, and not the notice either.
#[track_caller]
fn tells_nothing(said: &str) {
    assert!(!said.contains("Canary") && !said.contains("Sealed message"), "{said}");
}

/// One message is there, and a client has INBOX open.
fn with_a_message<S: Store>(office: &Office<S>, name: &str) -> Client {
    let mut client = office.client("alice");
    client.append("INBOX", "", &Canaries::new(name).message()).good();
    client.command("SELECT INBOX").good();
    client
}

/// Reads what the server says last, which must be BYE.
#[track_caller]
fn ends_with_bye(client: &mut Client) {
    let mut said = Vec::new();
    let end = loop {
        match client.read() {
            Ok(response) => said.push(String::from_utf8_lossy(&response).into_owned()),
            Err(error) => break error,
        }
    };
    assert!(matches!(end.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{end}");
    assert!(said.iter().any(|line| line.starts_with("* BYE")), "{said:?}");
    tells_nothing(&said.concat());
}

/// Who is locked by hand loses the session, and comes back with his password.
pub fn a_lost_lease_ends_the_session<S: Store>() {
    let office = Office::<S>::open(&["alice"]);
    let mut client = with_a_message(&office, "lease");
    office.reading.agent.lock(&office.site, "alice");
    let _ = client.send(b"x FETCH 1 BODY.PEEK[]\r\n");
    ends_with_bye(&mut client);
    let mut again = office.client("alice");
    again.command("SELECT INBOX").good();
    let literals = again.command("FETCH 1 BODY.PEEK[]").good().literals();
    assert_eq!(literals, [Canaries::new("lease").message()]);
}

/// The agent is killed: sessions end. While it is away, whoever logs in is told why he cannot read.
pub fn the_agent_is_away<S: Store>() {
    let mut office = Office::<S>::open(&["alice"]);
    let mut client = with_a_message(&office, "agent");
    office.reading.agent.kill();
    let _ = client.send(b"x FETCH 1 BODY.PEEK[]\r\n");
    ends_with_bye(&mut client);

    let mut client = Client::connect(office.reading.port()).unwrap();
    let login = client.command(format!("LOGIN alice \"{}\"", crate::site::password("alice")));
    let mut said = login.to_string();
    if login.status() == "OK" {
        let select = client.command("SELECT INBOX");
        said += &select.to_string();
        for item in ["ENVELOPE", "BODY.PEEK[]", "BODYSTRUCTURE", "RFC822.SIZE"] {
            let answer = client.command(format!("UID FETCH 1:* ({item})"));
            assert_ne!(answer.status(), "OK", "{item}: {answer}");
            said += &answer.to_string();
        }
        let answer = client.command("UID SEARCH SUBJECT Canary");
        assert_ne!(answer.status(), "OK", "{answer}");
        said += &answer.to_string();
    }
    assert!(said.contains("[UNAVAILABLE]") && said.contains("[ALERT]"), "{said}");
    tells_nothing(&said);

    office.reading.agent.up(&office.site);
    let mut again = office.client("alice");
    again.command("SELECT INBOX").good();
    let literals = again.command("FETCH 1 BODY.PEEK[]").good().literals();
    assert_eq!(literals, [Canaries::new("agent").message()]);
}

/// The store dies in a session: the client is told, and the next one is served when it is back.
pub fn the_store_dies<S: Store>() {
    let mut office = Office::<S>::open(&["alice"]);
    let mut client = with_a_message(&office, "store");
    let large = Canaries::new("large").large_message(3_000_000);
    client.append("INBOX", "", &large).good();
    client.send(b"x FETCH 1:* BODY.PEEK[]\r\n").unwrap();
    office.store.kill();
    let mut complete = false;
    let end = loop {
        match client.read() {
            Ok(response) => complete |= response.starts_with(b"x OK"),
            Err(error) => break error,
        }
    };
    assert!(matches!(end.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{end}");
    // It may have been quick enough.
    let _ = complete;
    let mut refused = Client::connect(office.reading.port()).unwrap();
    let answer = refused.command(format!("LOGIN alice \"{}\"", crate::site::password("alice")));
    assert_eq!(answer.status(), "NO", "{answer}");
    office.store.up(&office.site);
    let mut again = office.client("alice");
    again.command("SELECT INBOX").good();
    let literals = again.command("FETCH 1 BODY.PEEK[]").good().literals();
    assert_eq!(literals, [Canaries::new("store").message()]);
}

/// A client goes in the midst of what it appends: nothing of it is anywhere.
pub fn the_client_vanishes<S: Store>() {
    let office = Office::<S>::open(&["alice"]);
    let canaries = Canaries::new("vanished");
    let message = canaries.large_message(200_000);
    for cut in [1, 100, 65_536, 199_000] {
        let mut client = office.client("alice");
        let command = format!("x APPEND INBOX {{{}+}}\r\n", message.len());
        client.send(&[command.as_bytes(), &message[..cut]].concat()).unwrap();
        drop(client);
    }
    wait_for(
        "leases to end",
        || office.reading.agent.status(&office.site, "alice"),
        || (office.reading.agent.leases(&office.site, "alice").unwrap_or(0) == 0).then_some(()),
    );
    assert_eq!(office.store.inbox("alice").len(), 0);
    assert_eq!(office.site.leaks(&canaries), []);
}

/// Logged out is logged out: the lease goes with the connection, and the proxy stops cleanly.
pub fn a_session_holds_one_lease<S: Store>() {
    let mut office = Office::<S>::open(&["alice"]);
    let clients: Vec<_> = (0..3).map(|_| office.client("alice")).collect();
    office.reading.agent.wait_for_leases(&office.site, "alice", 3);
    drop(clients);
    let Reading { agent, proxy } = &mut office.reading;
    let leases = || agent.leases(&office.site, "alice").unwrap_or(0);
    wait_for(
        "leases to end",
        || agent.status(&office.site, "alice"),
        || (leases() == 0).then_some(()),
    );
    proxy.stop();
}

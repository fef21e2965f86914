//! Where a client of `nightsafe imap` stores what is sealed: in mailboxes of its owner, of which the store says
//! that they are his.

mod site;
mod support;

use std::sync::{Arc, Mutex};

use site::canary::Canaries;
use site::dovecot::Dovecot;
use site::proxy::Reading;
use site::store::Store as _;
use site::{Site, password};
use support::imap::{Answer, Client};
use support::imap_stub::{Reaction, Stub, say};

const USER: &str = "alice";

fn login(port: u16, user: &str) -> Client {
    Client::login(port, user, &password(user))
}

fn has(octets: &[u8], word: &str) -> bool {
    memchr::memmem::find(octets, word.as_bytes()).is_some()
}

fn letter(subject: &str) -> Vec<u8> {
    format!("From: carol@example.net\r\nSubject: {subject}\r\n\r\nAbout {subject}.\r\n")
        .into_bytes()
}

#[track_caller]
fn refused(answer: &Answer, code: &str) {
    assert!(answer.tagged.starts_with(format!("NO [{code}] ").as_bytes()), "{answer}");
}

/// Mailboxes of everybody and of others, as Dovecot calls them.
fn namespaces(site: &Site) -> String {
    format!(
        "namespace everybody {{\n  type = public\n  separator = /\n  prefix = Public/\n  \
         location = maildir:{}/public\n  subscriptions = no\n}}\n\
         namespace others {{\n  type = shared\n  separator = /\n  prefix = Shared/%%u/\n  \
         location = maildir:%%h/Maildir\n  subscriptions = no\n}}\n",
        site.join("dovecot/mail").display()
    )
}

/// As `imap_sessions.rs` has it for Cyrus: sealed mail stays with its owner, plain mail may lie where others read.
#[test]
fn public_and_shared_mailboxes_of_dovecot() {
    let site = Site::with_users(&[USER, "bob"]);
    let dovecot = Dovecot::start_with(&site, &[USER, "bob"], &namespaces(&site));
    let reading = Reading::start(&site, &dovecot.imap_address());
    let canaries = Canaries::new("public");
    let message = canaries.message();
    let [mut alice, mut bob] = [USER, "bob"].map(|user| login(reading.port(), user));
    let spaces = alice.command("NAMESPACE").good().untagged.concat();
    assert!(has(&spaces, "Public/") && has(&spaces, "Shared/"), "{spaces:?}");
    bob.append("INBOX", "", &letter("secret of bob's")).good();
    alice.append("INBOX", "", &message).good();
    login(dovecot.imap_port(), USER).append("INBOX", "", &letter("plain")).good();
    for command in ["CREATE Public/team", "CREATE mine", "SELECT INBOX"] {
        alice.command(command).good();
    }
    for there in ["Public/team", "Shared/bob/INBOX"] {
        for command in ["COPY 1", "MOVE 1", "uid copy 1:*", "UID MOVE 1:*", "COPY 1:2"] {
            refused(&alice.command(format!("{command} {there}")), "CANNOT");
        }
        refused(&alice.append(there, "(\\Seen) ", &message), "CANNOT");
        refused(&alice.command(format!("APPEND {there} {{3+}}\r\nabc")), "CANNOT");
        refused(&alice.command(format!("RENAME mine {there}/mine")), "CANNOT");
        alice.command(format!("COPY 2 {there}")).good();
    }
    assert_eq!(alice.command("SEARCH ALL").good().of("SEARCH")[0], b"SEARCH 1 2");
    assert_eq!(dovecot.inbox("bob").len(), 2);

    // What lies there is shown as it is stored, plain or sealed, to whom it is sealed for as to others.
    alice.command("SELECT Public/team").good();
    assert_eq!(alice.command("FETCH 1:* BODY.PEEK[]").good().literals(), [letter("plain")]);
    alice.command("SELECT Shared/bob/INBOX").good();
    for item in ["ENVELOPE", "BODY.PEEK[]", "BODY.PEEK[HEADER]", "BODYSTRUCTURE"] {
        let shown = alice.command(format!("UID FETCH 1 {item}")).good().untagged.concat();
        let of_notice = if item == "BODYSTRUCTURE" { "sealed" } else { "Sealed message" };
        assert!(has(&shown, of_notice) && !has(&shown, "secret of"), "{item}: {shown:?}");
    }
    let found = alice.command("SEARCH TEXT secret").good();
    assert_eq!(found.of("SEARCH")[0].trim_ascii(), b"SEARCH");
    bob.command("SELECT INBOX").good();
    let own = bob.command("FETCH 1:2 BODY.PEEK[]").good();
    assert_eq!(own.literals(), [letter("secret of bob's"), letter("plain")]);
    drop((alice, bob));
    assert_eq!(site.leaks(&canaries), []);
}

/// A store that does not say what is whose: nothing is put anywhere but into INBOX, until it does.
#[test]
fn nobody_knows_whose() {
    const TOLD: &str = "* NAMESPACE ((\"\" \"/\")) NIL ((\"team/\" \"/\"))\r\n";
    let says = Arc::new(Mutex::new(String::new()));
    let saying = Arc::clone(&says);
    let stub = Stub::start(move |tag, asked| match asked {
        "NAMESPACE" => say(saying.lock().unwrap().replace("TAG", tag)),
        _ => Reaction::Usual,
    });
    let site = Site::with_users(&[USER]);
    let reading = Reading::start(&site, &stub.address());
    let mut client = login(reading.port(), USER);
    client.command("SELECT INBOX").good();
    let stored = || stub.heard().windows(7).filter(|octets| octets == b"APPEND ").count();
    for nothing in [
        "TAG NO not now\r\n",
        "TAG BAD what\r\n",
        "TAG OK done\r\n",
        "* NAMESPACE ((\r\nTAG OK done\r\n",
        &format!("{TOLD}TAG NO not now\r\n"),
    ] {
        nothing.clone_into(&mut says.lock().unwrap());
        let before = stored();
        for there in ["team/x", "mine"] {
            refused(&client.append(there, "", &letter("walnut")), "UNAVAILABLE");
            refused(&client.command(format!("UID COPY 1 {there}")), "UNAVAILABLE");
            refused(&client.command(format!("RENAME Sent {there}")), "UNAVAILABLE");
        }
        assert_eq!(stored(), before, "{nothing}");
        client.append("inbox", "", &letter("walnut")).good();
        assert_eq!(stored(), before + 1, "{nothing}");
    }
    *says.lock().unwrap() = format!("{TOLD}TAG OK done\r\n");
    client.append("mine", "", &letter("walnut")).good();
    refused(&client.append("team/x", "", &letter("walnut")), "CANNOT");
    assert!(!has(&stub.heard(), "walnut"));
    let moved = stub.heard();
    assert!(!has(&moved, "UID COPY 1 ") && !has(&moved, "RENAME"));
}

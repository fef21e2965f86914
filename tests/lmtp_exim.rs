//! Real Exim → `nightsafe lmtp` → real Dovecot: over its socket, where Exim sends DATA, and over TCP, where
//! it sends BDAT.

mod site;

use site::Site;
use site::canary::Canaries;
use site::dovecot::Dovecot;
use site::exim::Exim;
use site::hook::Hook;
use site::mta::Mta as _;
use site::process::free_port;
use site::store::Store as _;
use std::thread::sleep;
use std::time::Duration;

const RECIPIENTS: [&str; 4] =
    ["alice+lists@example.org", "carol@example.org", "bob@example.org", "dave@example.org"];

struct Servers {
    site: Site,
    dovecot: Dovecot,
}

/// Alice and bob are well; carol is unknown to the store, dave is not enrolled.
fn servers() -> Servers {
    let site = Site::with_users(&["alice", "bob", "carol"]);
    let dovecot = Dovecot::start(&site, &["alice", "bob", "dave"]);
    dovecot.add_folder("alice", "lists");
    Servers { site, dovecot }
}

impl Servers {
    fn backend(&self) -> String {
        format!("unix:{}", self.dovecot.lmtp_socket().display())
    }

    /// One message for all: each has his answer, and what was sealed opens. Gives the queue id.
    fn must_deliver(&self, exim: &Exim, canaries: &Canaries) -> String {
        let message = canaries.message();
        let id = exim.submit(&RECIPIENTS, &message);
        exim.attempt(&id, RECIPIENTS.len());
        for attempt in exim.attempts(&id) {
            match attempt.recipient.as_str() {
                "carol@example.org" => attempt.must_be("bounced", "5.1.1"),
                "dave@example.org" => attempt.must_be("deferred", "4.2.1"),
                _ => {
                    attempt.must_be("sent", "2.0.0");
                    assert!(attempt.text.contains("sealed as <"), "{attempt:?}");
                }
            }
        }
        for (user, mailbox) in [("alice", "lists"), ("bob", "INBOX")] {
            let stored = self.dovecot.mailbox(user, mailbox);
            assert_eq!(stored.len(), 1, "{user}");
            let unsealed = self.site.unseal(user, &stored[0]);
            let text = String::from_utf8_lossy(&unsealed);
            assert!(text.starts_with("Return-Path: <sender@example.net>\r\nReceived: "), "{text}");
            assert!(unsealed.ends_with(&message), "{text}");
        }
        id
    }

    /// Who waited is served alone as soon as he can be, and nothing is left behind.
    fn must_finish(&self, exim: &Exim, id: &str, canaries: &Canaries) {
        let before = exim.attempts(id).len();
        self.site.enroll("dave");
        sleep(Duration::from_secs(1));
        exim.retry(&self.site, id).must_be("sent", "2.0.0");
        exim.wait_until_empty();
        assert_eq!(exim.attempts(id).len(), before + 1);
        let inbox = self.dovecot.inbox("dave");
        assert_eq!(inbox.len(), 1);
        assert!(self.site.unseal("dave", &inbox[0]).ends_with(&canaries.message()));
        assert_eq!(self.dovecot.inbox("bob").len(), 1);
        assert_eq!(self.site.leaks_with_queue(canaries), []);
    }
}

#[test]
fn over_the_socket() {
    let servers = servers();
    let hook = Hook::start(&servers.site, &servers.backend());
    let exim = Exim::start(&servers.site, hook.socket());
    let canaries = Canaries::new("socket");
    let id = servers.must_deliver(&exim, &canaries);
    servers.must_finish(&exim, &id, &canaries);
}

#[test]
fn over_tcp_in_chunks() {
    let servers = servers();
    let port = free_port();
    let _hook = Hook::start_with_port(&servers.site, &servers.backend(), port);
    let exim = Exim::start_with_port(&servers.site, port);
    let canaries = Canaries::new("chunks");
    let id = servers.must_deliver(&exim, &canaries);
    // Exim's mark for a message that went by BDAT.
    let sent = exim.attempts(&id).into_iter().find(|attempt| attempt.status == "sent").unwrap();
    assert!(sent.text.contains(" K "), "{sent:?}");
    servers.must_finish(&exim, &id, &canaries);
}

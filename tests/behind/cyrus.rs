//! What only Cyrus has: recipients whose quota does not count, and LMTP on TCP with a login.

use super::{ALICE, BOB, Mail, SENDER, Store};
use crate::site::canary::Canaries;
use crate::site::cyrus::Cyrus;
use crate::site::hook::Hook;
use crate::site::mta::Mta as _;
use crate::site::postfix::{Hop, Postfix};
use crate::site::process::free_port;
use crate::site::users::users;
use crate::site::{Site, mode, password};
use std::fs;
use std::os::unix::fs::chown;

/// `IGNOREQUOTA` goes through to Cyrus; without it she is over quota.
pub fn ignore_quota() {
    let mail = Mail::<Cyrus>::start(&["alice"]);
    let [before, taken] = ["before", "taken"].map(Canaries::new);
    mail.send(ALICE, &before.message(), "sent", "2.");
    mail.store.fill_up("alice");

    let mut client = mail.hook.client();
    let offered = client.good("LHLO client.example.net");
    assert!(offered.contains("IGNOREQUOTA"), "{offered}");
    client.good(&format!("MAIL FROM:<{SENDER}>"));
    let reply = client.command(&format!("RCPT TO:<{ALICE}>"));
    assert!(reply.starts_with("552 5.2.2 "), "{reply}");
    client.good("RSET");
    client.good(&format!("MAIL FROM:<{SENDER}>"));
    client.good(&format!("RCPT TO:<{ALICE}> IGNOREQUOTA"));
    let replies = client.data(&taken.message(), 1);
    assert!(replies[0].starts_with("250 2.0.0 sealed as <"), "{replies:?}");

    mail.must_have("alice", &[&before.message(), &taken.message()]);
    for canaries in [before, taken] {
        assert_eq!(mail.site.leaks_with_queue(&canaries), []);
    }
}

/// The store's own limit: nightsafe announces it, so Postfix sends nothing larger. What grows beyond it
/// when it is sealed, Cyrus refuses when it has it.
pub fn too_large() {
    let site = Site::with_users(&["alice", "bob"]);
    let cyrus = Cyrus::start_with(&site, &["alice", "bob"], "maxmessagesize: 20480\n");
    let hook = Hook::start(&site, &cyrus.address());
    let postfix = Postfix::start(&site, Hop::Lmtp);
    let offered = hook.client().good("LHLO client.example.net");
    assert!(offered.contains("SIZE 20480\r\n"), "{offered}");
    let [early, late, fits] = ["early", "late", "fits"].map(Canaries::new);
    for (message, class, says) in [
        (early.large_message(100_000), "5.3.4", "message size"),
        (late.large_message(18_000), "5.2.3", "in reply to end of DATA"),
    ] {
        let id = postfix.submit(&[ALICE, BOB], &message);
        for number in [1, 2] {
            let attempt = postfix.attempt(&id, number);
            attempt.must_be("bounced", class);
            assert!(attempt.text.contains(says), "{attempt:?}");
        }
    }
    // The connection to Cyrus is still good for others.
    let id = postfix.submit(&[ALICE], &fits.message());
    postfix.attempt(&id, 1).must_be("sent", "2.0.0");
    postfix.wait_until_empty();
    let inbox = cyrus.inbox("alice");
    assert_eq!(inbox.len(), 1);
    assert!(site.unseal("alice", &inbox[0]).ends_with(&fits.message()));
    for canaries in [early, late, fits] {
        assert_eq!(site.leaks_with_queue(&canaries), []);
    }
}

/// Cyrus on TCP wants to know who delivers. With a wrong password everything waits; the right one is
/// taken over while the service runs.
pub fn over_tcp() {
    let site = Site::with_users(&["alice"]);
    let port = free_port();
    let cyrus = Cyrus::start_with_port(&site, &["alice"], port);
    let file = site.join("etc/store.password");
    let write = |text: &str| {
        fs::write(&file, text).unwrap();
        chown(&file, None, Some(users().delivery.gid)).unwrap();
        mode(&file, 0o640);
    };
    // `cyrus` is the admin of the example.
    let login = format!("backend_user = \"cyrus\"\nbackend_password_file = \"{}\"", file.display());
    let backend = format!("inet:127.0.0.1:{port}");
    let canaries = Canaries::new("tcp");
    write("wrong\n");
    // Without a login Cyrus greets whoever comes, and takes mail from nobody.
    let login_needed = check(&site, &format!("[lmtp]\nbackend = \"{backend}\""));
    assert!(
        login_needed.contains(&format!("ERROR  [lmtp]: {backend}: MAIL: 430 ")),
        "{login_needed}"
    );
    assert!(login_needed.contains("[lmtp] backend_user is a name"), "{login_needed}");
    let with_login = format!("[lmtp]\nbackend = \"{backend}\"\n{login}");
    let wrong = check(&site, &with_login);
    assert!(wrong.contains(&format!("ERROR  [lmtp]: {backend}: AUTH: 5")), "{wrong}");
    assert!(wrong.contains("backend_password_file has its password"), "{wrong}");
    // It starts and greets nobody, since it cannot ask the store what to offer.
    let hook = Hook::start_with(&site, &backend, &login);
    let postfix = Postfix::start(&site, Hop::Lmtp);
    let id = postfix.submit(&[ALICE], &canaries.message());
    postfix.attempt(&id, 1).must_be("deferred", "4.");
    assert_eq!(site.leaks(&canaries), []);

    let log = hook.log(&site);
    let why = log.lines().find(|line| line.contains(&backend)).expect("the log says why");
    assert!(why.contains("AUTH: 5"), "{why}");

    write(&format!("{}\n", password("cyrus")));
    let right = check(&site, &with_login);
    assert!(right.contains(&format!("ok     [lmtp]: {backend} offers PIPELINING, ")), "{right}");
    hook.reload(&site);
    postfix.retry(&id).must_be("sent", "2.0.0");
    postfix.wait_until_empty();
    let inbox = cyrus.inbox("alice");
    assert_eq!(inbox.len(), 1);
    assert!(site.unseal("alice", &inbox[0]).ends_with(&canaries.message()));
    assert!(!hook.log(&site).contains(&password("cyrus")));
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

/// What `nightsafe check` says of a site that has this `[lmtp]`.
fn check(site: &Site, lmtp: &str) -> String {
    let file = site.join("etc/check.toml");
    fs::write(&file, format!("{}\n{lmtp}\n", site.configuration())).unwrap();
    let mut command = site.command(site.join("bin/nightsafe"));
    let output = command.arg("--config").arg(file).arg("check").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

//! What Postfix makes of each outcome of a delivery, read from its log. Each trouble is provoked, then
//! mended: afterwards the message is delivered once, still queued, or bounced on purpose, and at no
//! time is anything of it readable in the store.

mod site;

use site::canary::Canaries;
use site::cyrus::Cyrus;
use site::fault::{SmallDisk, Unmounted, Unreadable};
use site::mta::Mta as _;
use site::postfix::{Hop, Postfix};
use site::store::Store as _;
use site::{Site, maildir};
use std::fs;

const POLICIES: [&str; 3] = ["defer", "pass", "reject"];
const ALICE: &str = "alice@example.org";

fn site_with_policy(policy: &str) -> Site {
    Site::new(&format!("[delivery]\nunenrolled = \"{policy}\""))
}

/// The message is in the Maildir, once, sealed, and whole.
#[track_caller]
fn must_be_in_maildir_once(site: &Site, message: &[u8]) {
    let folder = site.join("maildir/alice");
    let stored = maildir::messages(&folder);
    assert_eq!((stored.len(), maildir::unfinished(&folder)), (1, 0));
    assert!(site.unseal("alice", &stored[0]).ends_with(message));
}

/// The message is in alice's mailbox, once, sealed, and whole.
#[track_caller]
fn must_be_in_cyrus_once(site: &Site, cyrus: &Cyrus, message: &[u8]) {
    let inbox = cyrus.inbox("alice");
    assert_eq!(inbox.len(), 1);
    assert!(site.unseal("alice", &inbox[0]).ends_with(message));
}

#[test]
fn a_user_unknown_to_cyrus_bounces() {
    let site = Site::with_users(&["bob"]);
    let cyrus = Cyrus::start(&site, &["alice"]);
    let postfix = Postfix::start(&site, Hop::Cyrus);
    let canaries = Canaries::new("unknown");

    let id = postfix.submit(&["bob@example.org"], &canaries.message());
    postfix.attempt(&id, 1).must_be("bounced", "5.");
    postfix.wait_until_empty();
    assert_eq!(cyrus.inbox("alice").len(), 0);
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

/// Cyrus takes the recipient, but not the message.
#[test]
fn a_refusal_after_the_message_bounces() {
    let site = Site::with_users(&["alice"]);
    let cyrus = Cyrus::start_with(&site, &["alice"], "maxmessagesize: 20\n");
    let postfix = Postfix::start(&site, Hop::Cyrus);
    let canaries = Canaries::new("refused");

    let id = postfix.submit(&[ALICE], &canaries.large_message(100_000));
    postfix.attempt(&id, 1).must_be("bounced", "5.");
    postfix.wait_until_empty();
    assert_eq!(cyrus.inbox("alice").len(), 0);
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

/// With a Cyrus that says so; as the example has it, such mail bounces.
#[test]
fn a_full_mailbox_can_defer() {
    let site = Site::with_users(&["alice"]);
    let for_good = "lmtp_over_quota_perm_failure: ";
    let changes = [("lmtp_over_quota_perm_failure: yes", format!("{for_good}no"))];
    let cyrus = Cyrus::start_changed(&site, &["alice"], &changes);
    let postfix = Postfix::start(&site, Hop::Cyrus);
    let canaries = Canaries::new("quota");
    // Cyrus refuses once the mailbox is over the limit, so something must be in it.
    let first = postfix.submit(&[ALICE], &Canaries::new("before").message());
    postfix.attempt(&first, 1).must_be("sent", "2.");
    cyrus.limit("alice", 0);

    let id = postfix.submit(&[ALICE], &canaries.message());
    postfix.attempt(&id, 1).must_be("deferred", "4.");
    assert_eq!(site.leaks(&canaries), []);

    cyrus.unlimit("alice");
    postfix.retry(&id).must_be("sent", "2.");
    postfix.wait_until_empty();
    let inbox = cyrus.inbox("alice");
    assert_eq!(inbox.len(), 2);
    assert!(site.unseal("alice", &inbox[1]).ends_with(&canaries.message()));
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

#[test]
fn who_is_not_enrolled_waits() {
    let site = site_with_policy("defer");
    let postfix = Postfix::start(&site, Hop::Maildir);
    let canaries = Canaries::new("waits");

    let id = postfix.submit(&[ALICE], &canaries.message());
    postfix.attempt(&id, 1).must_be("deferred", "4.");
    assert_eq!(site.leaks(&canaries), []);

    site.enroll("alice");
    postfix.retry(&id).must_be("sent", "2.");
    postfix.wait_until_empty();
    must_be_in_maildir_once(&site, &canaries.message());
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

#[test]
fn who_is_not_enrolled_can_be_rejected() {
    let site = site_with_policy("reject");
    let postfix = Postfix::start(&site, Hop::Maildir);
    let canaries = Canaries::new("rejected");

    let id = postfix.submit(&[ALICE], &canaries.message());
    postfix.attempt(&id, 1).must_be("bounced", "5.");
    postfix.wait_until_empty();
    assert!(maildir::messages(&site.join("maildir/alice")).is_empty());
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

#[test]
fn who_is_not_enrolled_can_be_passed() {
    let site = site_with_policy("pass");
    site.enroll("bob");
    let postfix = Postfix::start(&site, Hop::Maildir);
    let message = Canaries::new("passed").message();
    let sealed = Canaries::new("neighbour");

    let ids = [
        postfix.submit(&[ALICE], &message),
        postfix.submit(&["bob@example.org"], &sealed.message()),
    ];
    for id in &ids {
        postfix.attempt(id, 1).must_be("sent", "2.");
    }
    postfix.wait_until_empty();
    let stored = maildir::messages(&site.join("maildir/alice"));
    assert_eq!(stored.len(), 1);
    // A Maildir has the line ends of its system; LMTP would have CRLF.
    let plain = String::from_utf8_lossy(&stored[0]).replace("\r\n", "\n");
    assert!(plain.ends_with(&String::from_utf8_lossy(&message).replace("\r\n", "\n")), "{plain}");
    assert_eq!(site.leaks_with_queue(&sealed), []);
}

#[test]
fn an_unreadable_key_directory_defers_under_every_policy() {
    for policy in POLICIES {
        let site = site_with_policy(policy);
        site.enroll("alice");
        let postfix = Postfix::start(&site, Hop::Maildir);
        let canaries = Canaries::new("unreadable");

        let unreadable = Unreadable::make(&site.join("keys"));
        let id = postfix.submit(&[ALICE], &canaries.message());
        postfix.attempt(&id, 1).must_be("deferred", "4.");
        assert_eq!(site.leaks(&canaries), [], "{policy}");

        drop(unreadable);
        postfix.retry(&id).must_be("sent", "2.");
        postfix.wait_until_empty();
        must_be_in_maildir_once(&site, &canaries.message());
        assert_eq!(site.leaks_with_queue(&canaries), [], "{policy}");
    }
}

/// The disk of the keys is not mounted: to look at, nobody is enrolled.
#[test]
fn an_unmounted_key_directory_defers_under_every_policy() {
    for policy in POLICIES {
        let site = site_with_policy(policy);
        site.enroll("alice");
        let postfix = Postfix::start(&site, Hop::Maildir);
        let canaries = Canaries::new("unmounted");

        for folder in ["keys", "keys/public"] {
            let unmounted = Unmounted::make(&site.join(folder));
            let id = postfix.submit(&[ALICE], &canaries.message());
            postfix.attempt(&id, 1).must_be("deferred", "4.");
            assert_eq!(site.leaks(&canaries), [], "{policy}, {folder}");

            drop(unmounted);
            postfix.retry(&id).must_be("sent", "2.");
            postfix.wait_until_empty();
            must_be_in_maildir_once(&site, &canaries.message());
            assert_eq!(site.leaks_with_queue(&canaries), [], "{policy}, {folder}");
            fs::remove_dir_all(site.join("maildir/alice")).unwrap();
        }
    }
}

#[test]
fn a_full_disk_defers() {
    let site = Site::with_users(&["alice"]);
    let disk = SmallDisk::mount(&site.join("maildir"), 256);
    disk.fill();
    let postfix = Postfix::start(&site, Hop::Maildir);
    let canaries = Canaries::new("full");
    let message = canaries.large_message(50_000);

    let id = postfix.submit(&[ALICE], &message);
    postfix.attempt(&id, 1).must_be("deferred", "4.");
    assert_eq!(maildir::unfinished(&site.join("maildir/alice")), 0, "half a message stays behind");
    assert_eq!(site.leaks(&canaries), []);

    disk.make_room();
    postfix.retry(&id).must_be("sent", "2.");
    postfix.wait_until_empty();
    must_be_in_maildir_once(&site, &message);
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

/// The store is stopped: once with its socket still there, which refuses, and once without.
#[test]
fn a_next_hop_that_is_down_defers() {
    let site = Site::with_users(&["alice"]);
    let mut cyrus = Cyrus::start(&site, &["alice"]);
    let postfix = Postfix::start(&site, Hop::Cyrus);
    let canaries = Canaries::new("down");

    cyrus.down();
    let id = postfix.submit(&[ALICE], &canaries.message());
    postfix.attempt(&id, 1).must_be("deferred", "4.");
    let _ = fs::remove_file(cyrus.lmtp_socket());
    postfix.retry(&id).must_be("deferred", "4.");
    assert_eq!(site.leaks(&canaries), []);

    cyrus.up(&site);
    postfix.retry(&id).must_be("sent", "2.");
    postfix.wait_until_empty();
    must_be_in_cyrus_once(&site, &cyrus, &canaries.message());
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

#[test]
fn a_message_over_the_limit_bounces() {
    let site = Site::new("[delivery]\nmax_message_bytes = 65536");
    site.enroll("alice");
    let postfix = Postfix::start(&site, Hop::Maildir);
    let (over, under) = (Canaries::new("over"), Canaries::new("under"));

    let id = postfix.submit(&[ALICE], &over.large_message(70_000));
    postfix.attempt(&id, 1).must_be("bounced", "5.3.4");
    let message = under.large_message(60_000);
    let id = postfix.submit(&[ALICE], &message);
    postfix.attempt(&id, 1).must_be("sent", "2.");
    postfix.wait_until_empty();
    must_be_in_maildir_once(&site, &message);
    assert_eq!(site.leaks_with_queue(&over), []);
    assert_eq!(site.leaks_with_queue(&under), []);
}

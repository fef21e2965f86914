//! Processes that die in the middle of a delivery, under a real Postfix: nothing is lost, nothing is
//! delivered in part, nothing is left in plaintext.

mod site;

use site::canary::Canaries;
use site::mta::Mta as _;
use site::postfix::{Hop, Postfix};
use site::{Site, fault, maildir};

const ALICE: &str = "alice@example.org";

/// The stored messages, unsealed.
fn delivered(site: &Site) -> Vec<Vec<u8>> {
    let folder = site.join("maildir/alice");
    let stored = maildir::messages(&folder);
    stored.iter().map(|message| site.unseal("alice", message)).collect()
}

#[test]
#[cfg(feature = "fault")]
fn a_panic_defers() {
    let site = Site::with_users(&["alice"]);
    let canaries = Canaries::new("panic");
    let wrapper = "/usr/bin/env NIGHTSAFE_FAULT=panic:seal";

    let postfix = Postfix::start_through(&site, Hop::Maildir, wrapper);
    let id = postfix.submit(&[ALICE], &canaries.message());
    let attempt = postfix.attempt(&id, 1);
    attempt.must_be("deferred", "4.");
    assert!(
        !attempt.text.contains(".rs"),
        "the sender would see a place in the source: {attempt:?}"
    );
    assert_eq!(site.leaks(&canaries), []);
    postfix.wait_until_deferred(&id);
    drop(postfix);

    let postfix = Postfix::start(&site, Hop::Maildir);
    postfix.retry(&id).must_be("sent", "2.");
    postfix.wait_until_empty();
    let delivered = delivered(&site);
    assert_eq!(delivered.len(), 1);
    assert!(delivered[0].ends_with(&canaries.message()));
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

#[test]
#[cfg(feature = "fault")]
fn a_killed_delivery_defers() {
    use rustix::process::Signal;

    let site = Site::with_users(&["alice"]);
    let canaries = Canaries::new("killed");
    let wrapper = "/usr/bin/env NIGHTSAFE_FAULT=stall:seal";

    let postfix = Postfix::start_through(&site, Hop::Maildir, wrapper);
    let id = postfix.submit(&[ALICE], &canaries.message());
    let delivery = fault::delivering(&site.join("bin/nightsafe"));
    assert_eq!(postfix.attempts(&id).len(), 0, "it stalls");
    assert_eq!(site.leaks(&canaries), []);
    site::process::signal(delivery, Signal::KILL);
    postfix.attempt(&id, 1).must_be("deferred", "4.");
    assert_eq!(site.leaks(&canaries), []);
    postfix.wait_until_deferred(&id);
    drop(postfix);

    let postfix = Postfix::start(&site, Hop::Maildir);
    postfix.retry(&id).must_be("sent", "2.");
    postfix.wait_until_empty();
    let delivered = delivered(&site);
    assert_eq!(delivered.len(), 1);
    assert!(delivered[0].ends_with(&canaries.message()));
    assert_eq!(site.leaks_with_queue(&canaries), []);
}

/// Postfix' pipe(8) is killed while it writes: what nightsafe reads ends, as a message does, but it
/// is not all. Tried with one message after the other until one was caught in the middle.
#[test]
fn a_message_cut_short_is_not_delivered() {
    let site = Site::with_users(&["alice"]);
    let postfix = Postfix::start(&site, Hop::Maildir);
    let size = 40 << 20;

    let mut messages = Vec::new();
    let mut caught = None;
    while caught.is_none() {
        assert!(messages.len() < 10, "nightsafe is always done before it can be disturbed");
        let canaries = Canaries::new(&format!("cut{}x", messages.len()));
        let message = canaries.large_message(size);
        let id = postfix.submit(&[ALICE], &message);
        if fault::cut_short(&site.join("bin/nightsafe"), size as u64) {
            caught = Some(id);
        } else {
            postfix.attempt(&id, 1).must_be("sent", "2.");
        }
        messages.push((canaries, message));
    }
    let id = caught.unwrap();
    // Postfix' log has no word on the recipient when its own program crashed.
    postfix.wait_until_deferred(&id);
    fault::wait_until_gone(&site.join("bin/nightsafe"));
    assert_eq!(maildir::messages(&site.join("maildir/alice")).len(), messages.len() - 1);
    assert_eq!(maildir::unfinished(&site.join("maildir/alice")), 0);

    postfix.retry(&id).must_be("sent", "2.");
    postfix.wait_until_empty();
    let delivered = delivered(&site);
    assert_eq!(delivered.len(), messages.len());
    for (canaries, message) in &messages {
        let times = delivered.iter().filter(|original| original.ends_with(message)).count();
        assert_eq!(times, 1);
        assert_eq!(site.leaks_with_queue(canaries), []);
    }
}

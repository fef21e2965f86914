//! Each use of the recovery key is in the mail log: whose keys, and by which key.

mod officers;
mod site;
mod support;

use officers::{Officers, export};
use site::system_log::SystemLog;
use support::{Ran, Site, finish};

/// Runs the program with the test's own system log.
fn logged(log: &SystemLog, site: &Site, arguments: &[&str], input: &[u8]) -> Ran {
    finish(&mut log.of(&site.command(arguments)), input)
}

#[test]
fn one_line_for_each_use() {
    let officers = Officers::with_shares();
    let site = officers.site();
    site.enroll("alice", b"old").good();
    site.enroll("bob", b"old").good();
    let log = SystemLog::start(site.join("log"));
    let blob = logged(&log, &site, &["recovery", "export", "alice"], b"").good().stdout;
    let key = officers.key();
    let lines = |status: &str| {
        let wanted = format!("recovery: user=alice, recovery_key={key}, status={status}");
        log.read().lines().filter(|line| line.ends_with(&wanted)).count()
    };
    assert_eq!((lines("exported"), lines("unlocked")), (1, 0), "{}", log.read());

    let wrong = site.file("wrong", &officers.answer(&export(&site, "bob")));
    let good = site.file("good", &officers.answer(&blob));
    let finish = |answer: &str| {
        let words = ["recovery", "finish", "alice", "--answer", answer, "--new-password-file", "-"];
        logged(&log, &site, &words, b"a new password")
    };
    // What opened nothing is no use.
    finish(&wrong).fails(65, &["not the answer"]);
    assert_eq!(lines("unlocked"), 0);
    finish(&good).good();
    finish(&good).fails(65, &["under way"]);
    assert_eq!((lines("exported"), lines("unlocked")), (1, 1), "{}", log.read());
    let all = log.read();
    assert!(!all.contains("a new password") && !all.contains("AGE-SECRET"), "{all}");
}

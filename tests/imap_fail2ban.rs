//! fail2ban itself reads the line of a failed login, with the filter of `examples/fail2ban`.

mod site;
mod support;

use site::config::example;
use site::dovecot::Dovecot;
use site::proxy::Reading;
use site::store::Store as _;
use site::{Site, password, server_file, success, unpacked};
use std::fs;
use support::imap::Client;

#[test]
fn fail2ban_finds_who_guesses() {
    let site = Site::with_users(&["alice"]);
    // Who guesses wrong need not wait here.
    let at_once = "auth_failure_delay = 0\nservice anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n";
    let dovecot = Dovecot::start_with(&site, &["alice"], at_once);
    let reading = Reading::start(&site, &dovecot.imap_address());
    let mut client = Client::connect(reading.port()).unwrap();
    // A name that looks like the end of the line is still a name.
    for name in ["alice", "x>, client=192.0.2.1"] {
        let answer = client.command(format!("LOGIN \"{name}\" \"a guess\""));
        assert_eq!(answer.status(), "NO", "{answer}");
        client = Client::connect(reading.port()).unwrap();
    }
    client.command(format!("LOGIN alice \"{}\"", password("alice"))).good();

    // As a syslog daemon writes it: with the machine's name, and no priority.
    let log = site.system_log();
    let lines = log.lines().filter_map(|line| {
        let (time, rest) = line.split_once('>')?.1.split_at_checked(15)?;
        Some(format!("{time} mail{rest}\n"))
    });
    let log = site.private_file("mail.log", lines.collect::<String>().as_bytes());
    let filters = site.join("private/fail2ban/filter.d");
    fs::create_dir_all(&filters).unwrap();
    let ours = filters.join("nightsafe-imap.conf");
    fs::write(&ours, example("fail2ban/nightsafe-imap.conf", &[])).unwrap();
    fs::copy(server_file("/etc/fail2ban/filter.d/common.conf"), filters.join("common.conf"))
        .unwrap();

    let mut command = unpacked::client("/usr/bin/fail2ban-regex");
    let output = command.args(["--out", "ip"]).arg(&log).arg(&ours).output().unwrap();
    success(&output);
    let found = String::from_utf8(output.stdout).unwrap();
    assert_eq!(found, "127.0.0.1\n".repeat(2), "{}", fs::read_to_string(&log).unwrap());
}

//! The configuration files of `examples/`, made fit for a test.
//!
//! A test starts the very files that a site takes. What it must change is a list of literals, each of
//! which must be found; so an example that was edited cannot silently stop being tested.

use super::Site;
use super::mode;
use super::users::{Users, group, user, users};
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

/// The content of `examples/NAME` with each literal replaced.
pub fn example(name: &str, replacements: &[(&str, String)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    let mut text = fs::read_to_string(&path).unwrap();
    for (literal, replacement) in replacements {
        assert!(text.contains(literal), "{} does not say {literal:?} any more", path.display());
        text = text.replace(literal, replacement);
    }
    text
}

/// What is different in a test for every file that calls nightsafe; `socket` is the store's.
pub fn nightsafe_replacements(site: &Site, socket: &str) -> Vec<(&'static str, String)> {
    let at = |name: &str| site.join(name).display().to_string();
    vec![
        ("/usr/bin/nightsafe", at("bin/nightsafe")),
        ("/etc/nightsafe/nightsafe.toml", at("etc/nightsafe.toml")),
        ("user=nightsafe", format!("user={}", users().delivery.name)),
        ("/run/cyrus/socket/lmtp", at(socket)),
        ("/var/mail/nightsafe/", format!("{}/", at("maildir"))),
    ]
}

/// What is different in a test for Exim; `socket` is where it hands mail to.
pub fn exim_replacements(site: &Site, port: u16, socket: &Path) -> Vec<(&'static str, String)> {
    let at = |name: &str| site.join("exim").join(name).display().to_string();
    let delivery = &users().delivery.name;
    vec![
        ("/var/spool/exim4", at("spool")),
        ("/var/log/exim4", at("log")),
        ("/run/exim4", at("run")),
        ("/run/nightsafe/lmtp", socket.display().to_string()),
        ("<; 0.0.0.0 ; ::0", "127.0.0.1".to_owned()),
        ("_ports = 25", format!("_ports = {port}")),
        ("user = nightsafe", format!("user = {delivery}")),
        ("group = nightsafe", format!("group = {delivery}")),
        // Mail for the outside world, such as bounces, goes nowhere.
        ("driver = dnslookup", "driver = redirect\n  data = :blackhole:".to_owned()),
        ("  transport = outgoing\n", String::new()),
    ]
}

/// What is different in a test for the folder of nightsafe's own socket, which Postfix connects to.
pub fn socket_replacements(site: &Site) -> Vec<(&'static str, String)> {
    let owners = format!(" {} {} ", users().delivery.name, users().postfix.name);
    vec![
        ("/run/nightsafe", site.join("nightsafe").display().to_string()),
        (" nightsafe postfix ", owners),
    ]
}

/// What systemd-tmpfiles does with lines such as `d /run/cyrus 0755 cyrus mail - -`.
pub fn make_folders(tmpfiles: &str) {
    for line in tmpfiles.lines().filter(|line| line.starts_with("d ")) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let path = PathBuf::from(fields[1]);
        fs::create_dir_all(&path).unwrap();
        chown(&path, Some(user(fields[3]).uid), Some(group(fields[4]))).unwrap();
        mode(&path, u32::from_str_radix(fields[2], 8).unwrap());
    }
}

/// What is different in a test for the folders that systemd-tmpfiles makes for Cyrus.
pub fn tmpfiles_replacements(site: &Site) -> Vec<(&'static str, String)> {
    let at = site.join("cyrus/run").display().to_string();
    vec![
        ("/run/cyrus", at),
        (" cyrus mail ", format!(" {} mail ", users().cyrus.name)),
        (" cyrus nightsafe ", format!(" {} {} ", users().cyrus.name, users().delivery.name)),
    ]
}

/// What is different in a test for Dovecot.
pub fn dovecot_replacements(site: &Site, imap_port: u16) -> Vec<(&'static str, String)> {
    let at = |name: &str| site.join("dovecot").join(name).display().to_string();
    let Users { dovecot, dovenull, vmail, delivery, .. } = users();
    vec![
        ("/run/dovecot", at("run")),
        ("/var/lib/dovecot", at("lib")),
        ("/var/vmail", at("mail")),
        ("/etc/dovecot/users", at("users")),
        ("_user = dovecot\n", format!("_user = {}\n", dovecot.name)),
        ("_group = dovecot\n", format!("_group = {}\n", dovecot.name)),
        ("_user = dovenull\n", format!("_user = {}\n", dovenull.name)),
        ("uid=vmail gid=vmail", format!("uid={} gid={}", vmail.uid, vmail.gid)),
        ("first_valid_uid = 100", "first_valid_uid = 1".to_owned()),
        ("group = nightsafe", format!("group = {}", delivery.name)),
        ("port = 143", format!("port = {imap_port}")),
    ]
}

/// What is different in a test for Cyrus' two files: `imapd.conf` and then `cyrus.conf`.
pub fn cyrus_replacements(site: &Site, imap_port: u16) -> [Vec<(&'static str, String)>; 2] {
    let at = |name: &str| site.join("cyrus").join(name).display().to_string();
    let program = |name: &str| super::server_file(&format!("/usr/lib/cyrus/bin/{name}"));
    let call = |name: &str| format!("\"{} -C {}", program(name).display(), at("imapd.conf"));
    let imapd = vec![
        ("/var/lib/cyrus", at("lib")),
        ("/run/cyrus/", format!("{}/", at("run"))),
        ("/var/spool/cyrus/mail", at("spool")),
        ("/var/spool/sieve", at("sieve")),
        ("/etc/sasldb2", at("sasldb2")),
        ("cyrus_user: cyrus", format!("cyrus_user: {}", users().cyrus.name)),
    ];
    let master = vec![
        ("\"/usr/sbin/cyrus ctl_cyrusdb", call("ctl_cyrusdb")),
        ("\"/usr/sbin/cyrus idled", call("idled")),
        ("\"/usr/sbin/cyrus expire", call("cyr_expire")),
        ("\"imapd", call("imapd")),
        ("\"lmtpd", call("lmtpd")),
        ("127.0.0.1:143", format!("127.0.0.1:{imap_port}")),
        ("/run/cyrus/socket/lmtp", at("run/socket/lmtp")),
        ("/run/cyrus/socket/imap", at("run/socket/imap")),
    ];
    [imapd, master]
}

//! What `nightsafe check` says of the proxy that mail clients read through, before real stores.

mod site;
mod support;

use std::fs;
use std::process::Command;

use site::agent::{self, Agent};
use site::cyrus::Cyrus;
use site::dovecot::Dovecot;
use site::store::Store as _;
use site::tls::Certificates;
use site::users::users;
use site::{Site, mode};

/// What `check` says with this configuration, and whether all is in order.
fn check(site: &Site, more: &str) -> (String, bool) {
    site.configure(more);
    let output = site.nightsafe(&["check"]).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.success())
}

/// A site whose agent is there.
fn site() -> (Site, Agent) {
    let site = Site::new("");
    let agent = Agent::start(&site, "");
    (site, agent)
}

fn allowed(site: &Site) -> String {
    agent::table(site, &format!("allow = {{ {} = [\"login\"] }}\n", users().proxy.name))
}

#[track_caller]
fn is_good(site: &Site, imap: &str, words: &[&str]) {
    let (said, is_good) = check(site, &format!("{}[imap]\n{imap}", allowed(site)));
    assert!(is_good, "{said}");
    words.iter().for_each(|word| assert!(said.contains(word), "{word:?} is not in {said}"));
}

/// One error of this subject, with these words; what follows is the mend.
#[track_caller]
fn is_bad(site: &Site, more: &str, error: &str, mend: &str) {
    let (said, is_good) = check(site, more);
    let mut lines = said.lines().skip_while(|line| !line.starts_with("ERROR"));
    let (found, hint) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    assert!(!is_good && found.contains(error) && hint.contains(mend), "{said}");
    assert!(!lines.any(|line| line.starts_with("ERROR")), "{said}");
}

#[test]
fn a_site_without_the_proxy_needs_none() {
    let site = Site::new("");
    let (said, is_good) = check(&site, "");
    assert!(is_good, "{said}");
    for line in [
        "ok     [imap]: no certificate: only clients of this machine can log in\n",
        "ok     [imap] backend: no store at inet:127.0.0.1:143, which only `nightsafe imap` needs\n",
        "ok     [imap] logins: nobody but root may tell the agent, which only `nightsafe imap` needs\n",
    ] {
        assert!(said.contains(line), "{said}");
    }
}

#[test]
fn what_stores_offer() {
    let (site, _agent) = site();
    let cyrus = Cyrus::start(&site, &[]);
    let address = cyrus.imap_address();
    let words = [
        format!("ok     [imap] backend: {address} offers IMAP4REV1, "),
        "; clients see IMAP4rev1, LITERAL+, ID, ENABLE".to_owned(),
        format!("ok     [imap] logins: the agent is told by {}", users().proxy.name),
    ];
    let words = words.each_ref().map(String::as_str);
    is_good(&site, &format!("backend = \"{address}\""), &words);
    let dovecot = Dovecot::start(&site, &[]);
    let address = dovecot.imap_address();
    let words =
        [&format!("{address} offers IMAP4REV1, SASL-IR"), "clients see IMAP4rev1, LITERAL+"];
    is_good(&site, &format!("backend = \"{address}\""), &words);

    let backend = format!("[imap]\nbackend = \"{address}\"\n");
    is_bad(
        &site,
        &backend,
        "[agent] allow lets nobody but root say",
        "nightsafe-imap = [\"login\"]",
    );
    drop(dovecot);
    let bad = |imap: &str, error: &str, mend: &str| {
        is_bad(&site, &format!("{}[imap]\n{imap}", allowed(&site)), error, mend);
    };
    bad(
        &format!("backend = \"{address}\""),
        &format!("[imap] backend: {address}: "),
        "start the store",
    );
    // Whatever answers there, it is no IMAP server.
    let lmtp = cyrus.lmtp_socket();
    let backend = format!("backend = \"unix:{}\"", lmtp.display());
    bad(&backend, "it says no IMAP greeting", "start the store");
    bad(
        "backend = \"inet:mail.example.org:143\"",
        "passwords go to inet:mail.example.org:143 in the clear",
        "name it tls:host:port",
    );
}

#[test]
fn a_store_that_takes_no_passwords() {
    let (site, _agent) = site();
    let mut cyrus = Cyrus::start(&site, &[]);
    cyrus.down();
    let path = site.join("cyrus/imapd.conf");
    let text = fs::read_to_string(&path).unwrap();
    let changed = text.replace("allowplaintext: yes", "allowplaintext: no");
    assert_ne!(changed, text);
    fs::write(&path, changed).unwrap();
    cyrus.up(&site);
    let backend = format!("inet:127.0.0.1:{}", cyrus.imap_port());
    let more = format!("{}[imap]\nbackend = \"{backend}\"", allowed(&site));
    is_bad(&site, &more, &format!("{backend} lets nobody log in"), "allowplaintext");
}

#[test]
fn certificates() {
    let (site, _agent) = site();
    let port = site::process::free_port();
    let (made, other) = (Certificates::make(&site, "one"), Certificates::make(&site, "two"));
    let extra = format!(
        "ssl = yes\nssl_cert = <{}\nssl_key = <{}\nservice imap-login {{\n  inet_listener imaps {{\n    \
         port = {port}\n    ssl = yes\n  }}\n}}\n",
        made.chain.display(),
        made.key.display()
    );
    let _dovecot = Dovecot::start_with(&site, &[], &extra);
    let backend = |authority: &Certificates| {
        format!(
            "backend = \"tls:127.0.0.1:{port}\"\nbackend_tls_ca = \"{}\"\n",
            authority.authority.display()
        )
    };
    let pair = |chain: &Certificates, key: &Certificates| {
        format!(
            "tls_certificate = \"{}\"\ntls_key = \"{}\"\n",
            chain.chain.display(),
            key.key.display()
        )
    };
    let good = backend(&made) + &pair(&made, &made);
    let line = format!(": {}\n", made.chain.display());
    let words =
        ["certificate and key are of use until 20", &line, "[imap] backend: tls:127.0.0.1:"];
    is_good(&site, &good, &words);

    let bad = |imap: &str, error: &str, mend: &str| {
        is_bad(&site, &format!("{}[imap]\n{imap}", allowed(&site)), error, mend);
    };
    bad(&(backend(&other) + &pair(&made, &made)), "invalid peer certificate", "backend_tls_ca");
    bad(&(backend(&made) + &pair(&made, &other)), "keys may not be consistent", "its key");
    let listen = "listen = [\"tls:127.0.0.1:9993\"]\n".to_owned();
    bad(&(listen + &backend(&made)), "tls_certificate is not set", "tls_certificate");
    let listen = "listen = [\"inet:0.0.0.0:143\"]\n".to_owned();
    bad(
        &(listen + &backend(&made)),
        "nobody can log in at inet:0.0.0.0:143",
        "set tls_certificate",
    );
    // What the calendar says of it.
    for (begins, ends, said) in [
        ("80 days ago", "10 days", "ends soon, at "),
        ("80 days ago", "2 hours ago", "has ended, at "),
    ] {
        let ends = other.renew(&site, begins, ends);
        let error = format!("the certificate in {} {said}{ends}", other.chain.display());
        bad(&(backend(&made) + &pair(&other, &other)), &error, "renew it");
    }
    other.renew(&site, "2 days", "90 days");
    bad(&(backend(&made) + &pair(&other, &other)), "begins at 20", "set the clock");
    let ends = other.renew(&site, "1 day ago", "90 days");
    let line = format!("certificate and key are of use until {ends}: ");
    is_good(&site, &(backend(&made) + &pair(&other, &other)), &[&line]);
    // Somebody else can read the key, or nobody can.
    mode(&made.key, 0o644);
    bad(&good, "is open to others (mode 644)", "chmod 640");
    mode(&made.key, 0o600);
    fs::write(&other.chain, "no certificate").unwrap();
    bad(&(backend(&made) + &pair(&other, &made)), "no certificate in PEM", "both in PEM");
    fs::remove_file(&other.key).unwrap();
    bad(&(backend(&made) + &pair(&made, &other)), &other.key.display().to_string(), "");

    // Delivery has no business with the key.
    site.configure(&format!("{}[imap]\n{good}", allowed(&site)));
    let user = &users().delivery;
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user.uid.to_string(), "--regid", &user.gid.to_string()]);
    command.arg("--clear-groups").arg(site.join("bin/nightsafe")).arg("--config");
    let output = command.arg(site.join("etc/nightsafe.toml")).arg("check").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("ok     [imap]: not readable by this user"), "{said}");
    assert!(said.contains("and not by this user\n"), "{said}");
}

//! The files of `examples/` fit each other and nightsafe's own defaults: who hands mail over makes no
//! more connections, and sends no more recipients, than the next one takes.

use nightsafe::config::Config;
use nightsafe::sys::socket::Address;
use std::fs;
use std::path::Path;

fn example(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)).unwrap()
}

/// The words after `key` in the one line that is no comment and has it.
fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut values = lines.filter_map(|line| Some(line.split_once(key)?.1.trim()));
    let value = values.next().unwrap_or_else(|| panic!("nothing says {key:?}"));
    assert_eq!(values.next(), None, "{key:?} is there twice");
    value
}

fn number(text: &str, key: &str) -> usize {
    value(text, key).parse().unwrap()
}

#[test]
fn a_store_takes_all_connections_that_nightsafe_makes() {
    let most = Config::default().lmtp.backend_connections;
    let cyrus = example("cyrus/cyrus.conf");
    let lmtp = cyrus.lines().find(|line| line.trim_start().starts_with("lmtpunix ")).unwrap();
    assert!(number(lmtp, "maxchild=") > most);
    let dovecot = example("dovecot/dovecot.conf");
    assert!(number(service(&dovecot, "lmtp"), "process_limit = ") > most);
}

/// What stands in a service's braces in dovecot.conf.
fn service<'a>(dovecot: &'a str, name: &str) -> &'a str {
    let (_, rest) = dovecot.split_once(&format!("\nservice {name} {{\n")).unwrap();
    rest.split_once("\n}\n").unwrap().0
}

#[test]
fn a_store_takes_all_clients_of_the_proxy() {
    let most = Config::default().imap.connections;
    let cyrus = example("cyrus/cyrus.conf");
    let imap = cyrus.lines().find(|line| line.trim_start().starts_with("imapunix ")).unwrap();
    assert!(number(imap, "maxchild=") >= most);
    let dovecot = example("dovecot/dovecot.conf");
    assert!(number(service(&dovecot, "imap"), "process_limit = ") >= most);
}

#[test]
fn an_mta_sends_no_more_than_nightsafe_takes() {
    let lmtp = Config::default().lmtp;
    let main = example("postfix-lmtp/main.cf");
    let services = example("postfix-lmtp/master.cf");
    let service: Vec<_> = value(&services, "nightsafe unix ").split_whitespace().collect();
    let ["-", "-", "n", "-", processes, "lmtp", "flags=X"] = service[..] else {
        panic!("{service:?}")
    };
    assert_eq!(processes.parse(), Ok(lmtp.backend_connections));
    let connections = number(&main, "nightsafe_destination_concurrency_limit = ");
    assert_eq!(connections, lmtp.backend_connections);
    assert!(number(&main, "nightsafe_destination_recipient_limit = ") <= lmtp.recipients);
    assert!(number(&example("exim/exim.conf"), "batch_max = ") <= lmtp.recipients);
}

/// Who gave up sooner than nightsafe would send a message again that may have been stored.
#[test]
fn an_mta_waits_for_longer_than_nightsafe_waits_for_the_store() {
    let lmtp = Config::default().lmtp;
    let longest = lmtp.wait_timeout + lmtp.backend_reply_timeout + lmtp.backend_data_timeout;
    let postfix = value(&example("postfix-lmtp/main.cf"), "lmtp_data_done_timeout = ").to_owned();
    assert!(postfix.strip_suffix('s').unwrap().parse::<u64>().unwrap() > longest);
    let exim = example("exim/exim.conf");
    let minutes = value(&exim, "  timeout = ").strip_suffix('m').unwrap();
    assert!(minutes.parse::<u64>().unwrap() * 60 > longest);
}

/// RFC 5321 section 4.5.3.2 has a least time for each of them, as client and as server.
#[test]
fn nobody_is_hurried() {
    let lmtp = Config::default().lmtp;
    const MINUTE: u64 = 60;
    assert!(lmtp.backend_reply_timeout >= 5 * MINUTE, "greeting, MAIL, RCPT");
    assert!(lmtp.backend_data_timeout >= 10 * MINUTE, "the reply to the end of the data");
    assert!(lmtp.command_timeout >= 5 * MINUTE, "the next command");
    assert!(lmtp.data_timeout >= 3 * MINUTE, "a piece of a message");
}

#[test]
fn they_name_the_same_sockets() {
    let lmtp = Config::default().lmtp;
    let [Address::Unix(socket)] = &lmtp.listen[..] else { panic!("{:?}", lmtp.listen) };
    let socket = socket.display().to_string();
    let transport = format!("nightsafe:unix:{socket}");
    assert_eq!(value(&example("postfix-lmtp/main.cf"), "virtual_transport = "), transport);
    assert_eq!(value(&example("exim/exim.conf"), "  socket = "), socket);
    let folders = example("postfix-lmtp/tmpfiles.conf");
    let folder = value(&folders, "d     ").split_whitespace().next().unwrap();
    assert_eq!(Some(Path::new(folder)), Path::new(&socket).parent());
    let store = value(&example("cyrus/imapd.conf"), "lmtpsocket: ").to_owned();
    assert_eq!(lmtp.backend, Address::Unix(store.into()));
}

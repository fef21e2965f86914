//! Logins while the agent is away: nobody waits for longer than the line says, nobody is kept out, and
//! the log and the user are told why mail stays sealed.

mod site;

use std::fs;
use std::os::unix::net::UnixListener;

use site::agent::Agent;
use site::pam::{FIRST_UID, Pam, feed, said};
use site::socket::Listener;
use site::users::{User, user};
use site::{Site, password};

const LOGIN: [&str; 5] = ["authenticate", "acct_mgmt", "setcred", "open_session", "close_session"];
const SEALED: &str = "Your sealed mail cannot be read for now: the key agent is not available.";

/// A login at the example's stack; gives what the log says of nightsafe.
fn login(site: &Site, pam: &Pam<'_>) -> Vec<String> {
    let before = site.system_log().lines().count();
    let output = pam.pamtester("door", "alice", &LOGIN, &[&password("alice")]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output).matches(SEALED).count(), 1, "{}", said(&output));
    let log = site.system_log();
    let lines = log.lines().skip(before).filter(|line| line.contains("pam_nightsafe("));
    lines.map(ToOwned::to_owned).collect()
}

#[track_caller]
fn says(lines: &[String], what: &str) {
    let [line] = lines else { panic!("not exactly one line: {lines:?}") };
    assert!(line.contains("keys of alice not reached") && line.contains(what), "{line}");
}

fn site_with_door(site: &Site) -> Pam<'_> {
    let mut pam = Pam::new(site, &["alice"]);
    pam.add_options("timeout=1");
    pam.example("login", "door");
    pam
}

#[test]
fn nobody_listens() {
    let site = Site::new("");
    let pam = site_with_door(&site);
    says(&login(&site, &pam), "No such file or directory");

    // The socket of an agent that was killed.
    fs::create_dir(site.join("agent")).unwrap();
    drop(UnixListener::bind(site.join("agent/socket")).unwrap());
    says(&login(&site, &pam), "Connection refused");
}

/// It is waited for once, however many hooks a login has.
#[test]
fn it_does_not_answer() {
    let site = Site::new("");
    let pam = site_with_door(&site);
    let listener = Listener::start(&site, &user("root"));
    says(&login(&site, &pam), "does not answer");
    let heard = String::from_utf8_lossy(&listener.heard()).into_owned();
    // The test's own connection is one.
    assert_eq!(heard.matches("connected").count(), 2, "{heard}");
    assert!(heard.contains(&password("alice")), "this one would have been the agent: {heard}");
}

/// A queue in which there is no room: connect(2) would wait for ever.
#[test]
fn it_does_not_even_take_connections() {
    let site = Site::new("");
    let pam = site_with_door(&site);
    fs::create_dir(site.join("agent")).unwrap();
    let socket = site.join("agent/socket");
    let full = rustix::net::socket(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    rustix::net::bind(&full, &rustix::net::SocketAddrUnix::new(&socket).unwrap()).unwrap();
    rustix::net::listen(&full, 0).unwrap();
    let _waits = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    says(&login(&site, &pam), "does not answer");
}

/// Somebody else's process at the agent's place hears nothing at all.
#[test]
fn somebody_else_listens() {
    let site = Site::new("");
    let mut pam = site_with_door(&site);
    let games = user("games");
    let listener = Listener::start(&site, &games);
    let belongs = format!("belongs to uid {}, who is not the agent", games.uid);
    says(&login(&site, &pam), &belongs);
    let others = User { name: "alice".into(), uid: FIRST_UID, gid: FIRST_UID };
    pam.add_options(&format!("agent={} agent=nobody-of-this-name", others.name));
    pam.example("login", "door");
    says(&login(&site, &pam), &belongs);
    let heard = String::from_utf8_lossy(&listener.heard()).replace("connected\n", "");
    assert_eq!(heard, "");

    // Whom the line names is the agent.
    pam.add_options("agent=games");
    pam.example("login", "door");
    says(&login(&site, &pam), "does not answer");
    assert!(String::from_utf8_lossy(&listener.heard()).contains(&password("alice")));
}

/// An app password cannot be checked, the login password can.
#[test]
fn a_store_takes_the_login_password_without_an_agent() {
    let site = Site::new("");
    let mut pam = site_with_door(&site);
    pam.add_options("socket=/nonexistent");
    for service in ["imap", "smtp", "dovecot"] {
        pam.example(service, service);
        let does = ["authenticate", "acct_mgmt", "setcred"];
        let right = pam.pamtester(service, "alice", &does, &[&password("alice")]);
        assert!(right.status.success(), "{}", said(&right));
        let wrong = pam.pamtester(service, "alice", &does[..1], &["a guess"]);
        assert!(!wrong.status.success(), "{}", said(&wrong));
    }
    let log = site.system_log();
    assert!(log.contains("pam_nightsafe(imap:auth): keys of alice not reached: no agent"), "{log}");
}

/// One user's keys fit into what may be locked, the second's do not: he gets in, and is told.
#[test]
fn it_has_no_more_memory_to_lock() {
    let site = Site::with_users(&["alice", "bob"]);
    let pam = Pam::new(&site, &["alice", "bob"]);
    pam.example("login", "door");
    let agent = Agent::start_within(&site, "", "8192");
    for (user, is_unlocked) in [("alice", true), ("bob", false)] {
        let output = pam.pamtester("door", user, &LOGIN, &[&password(user)]);
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(agent.is_unlocked(&site, user), is_unlocked, "{}", site.system_log());
        assert_eq!(said(&output).contains(SEALED), !is_unlocked, "{}", said(&output));
    }
    let log = site.system_log();
    assert!(log.contains("keys of bob not unlocked: no more memory can be locked"), "{log}");
}

/// Keys first: what the keys cannot follow is not changed.
#[test]
fn a_password_is_not_changed_without_the_agent() {
    let site = Site::new("");
    let pam = site_with_door(&site);
    pam.example("login", "passwd");
    let old = password("alice");
    let output = pam.as_user("alice", "passwd", &[&old, "a new password", "a new password"]);
    assert_eq!(output.status.code(), Some(10), "{}", said(&output));
    assert!(said(&output).contains("The password was not changed: the keys of your mail cannot"));
    assert!(pam.accepts("alice", &old) && !pam.accepts("alice", "a new password"));
    assert!(
        site.system_log().contains("pam_nightsafe(passwd:chauthtok): keys of alice not reached")
    );
}

/// Who must change the password to get in gets in.
#[test]
fn an_expired_password_is_changed_all_the_same() {
    let site = Site::new("");
    let pam = site_with_door(&site);
    let old = password("alice");
    // Changed on the first day there was, and good for 90.
    let shadow = fs::read_to_string(pam.etc().join("shadow")).unwrap();
    let fields: Vec<_> = shadow.trim_end().split(':').collect();
    let expired = format!("alice:{}:1:0:90:7:::\n", fields[1]);
    fs::write(pam.etc().join("shadow"), expired).unwrap();
    let new = "another good password";
    let change = "chauthtok(PAM_CHANGE_EXPIRED_AUTHTOK)";
    let mut command = pam.pamtester_command("door", "alice", &[change]);
    let output = feed(&mut command, &format!("{old}\n{new}\n{new}\n"));
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("Keep the old password: it unlocks your mail."));
    assert!(pam.accepts("alice", new));
}

/// root changes a password without the old one: it is changed, and root is told what that means.
#[test]
fn a_reset_is_never_held_up() {
    let site = Site::new("");
    let pam = site_with_door(&site);
    pam.example("login", "passwd");
    let mut command = pam.command("passwd");
    command.arg("alice");
    let output = feed(&mut command, "given by root\ngiven by root\n");
    assert!(output.status.success(), "{}", said(&output));
    let told = "The mail keys of alice keep the old password, which was not given";
    assert!(said(&output).contains(told), "{}", said(&output));
    assert!(site.system_log().contains(told));
    assert!(pam.accepts("alice", "given by root"));
}

/// Names and passwords that are no use are no trouble either.
#[test]
fn what_is_too_long_or_no_text_is_left_alone() {
    let site = Site::new("");
    let pam = site_with_door(&site);
    let long = "x".repeat(500);
    for (name, typed) in [(long.as_str(), "y"), ("al\u{7}ice", "y"), ("alice", long.as_str())] {
        let output = pam.pamtester("door", name, &LOGIN[..1], &[typed]);
        assert!(!output.status.success() && output.status.code().is_some(), "{}", said(&output));
    }
    assert!(!site.system_log().contains("internal error"));
}

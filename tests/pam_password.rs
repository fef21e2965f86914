//! Password changes through PAM: real passwd, poppassd and su change what `pam_unix.so` checks, and the
//! keys follow. Whatever is refused or killed on the way, the password that logs in unlocks.

mod site;

use site::agent::Agent;
use site::pam::{Pam, feed, said};
use site::{Site, password, server_file, success};

const NEW: &str = "nine green apples";

struct World<'a> {
    site: &'a Site,
    pam: Pam<'a>,
    agent: Agent,
}

impl<'a> World<'a> {
    fn new(site: &'a Site) -> Self {
        let pam = Pam::new(site, &["alice"]);
        for service in ["passwd", "su", "door"] {
            pam.example("login", service);
        }
        pam.example("poppassd", "poppassd");
        Self { site, pam, agent: Agent::start(site, "") }
    }

    /// alice changes her password with passwd(1). What it said, and its status.
    fn passwd(&self, old: &str, new: &str) -> (String, Option<i32>) {
        let output = self.pam.as_user("alice", "passwd", &[old, new, new]);
        (said(&output), output.status.code())
    }

    /// The same with the stack as it is shipped.
    fn passwd_as_usual(&self, old: &str, new: &str) -> (String, Option<i32>) {
        self.pam.example("login", "passwd");
        self.passwd(old, new)
    }

    /// Logs in, in a session that does nothing; what it said.
    fn log_in(&self, secret: &str) -> String {
        let does = ["authenticate", "acct_mgmt", "setcred", "open_session", "close_session"];
        let output = self.pam.pamtester("door", "alice", &does, &[secret]);
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    }

    /// Fails unless a login with this password, and the other one no longer, gives the keys.
    #[track_caller]
    fn only(&self, right: &str, wrong: &str) {
        assert!(self.pam.accepts("alice", right) && !self.pam.accepts("alice", wrong));
        self.agent.lock(self.site, "alice");
        self.log_in(right);
        assert!(self.agent.is_unlocked(self.site, "alice"), "{}", self.site.system_log());
        assert!(self.opens(right));
        assert!(!self.opens(wrong), "{wrong:?} still opens the key record");
    }

    /// Whether the password opens the key record, whatever the login says.
    fn opens(&self, secret: &str) -> bool {
        let file = self.site.private_file("tried", secret.as_bytes());
        let output =
            self.site.nightsafe(&["identity", "alice", "--password-file", &file]).output().unwrap();
        assert!(output.status.success() || output.status.code() == Some(77), "{}", said(&output));
        output.status.success()
    }

    /// The `login` stack with one more line of `password` before or behind its n-th.
    fn with_line(&self, service: &str, at: usize, line: &str) {
        self.pam.example("login", service);
        let path = self.pam.etc().join("pam.d").join(service);
        let text = std::fs::read_to_string(&path).unwrap();
        let (passwords, others): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with("password"));
        assert_eq!(passwords.len(), 3);
        let mut lines = [others, passwords[..at].to_vec(), vec![line]].concat();
        lines.extend(&passwords[at..]);
        self.pam.stack(service, &(lines.join("\n") + "\n"));
    }
}

#[test]
fn the_keys_follow_passwd() {
    let site = Site::with_users(&["alice"]);
    let world = World::new(&site);
    let old = password("alice");
    let (said, status) = world.passwd(&old, NEW);
    assert_eq!(status, Some(0), "{said}");
    // One question for the old one, two for the new one.
    assert_eq!(said.matches("assword: ").count(), 3, "{said}");
    world.only(NEW, &old);
    // And back again.
    assert_eq!(world.passwd(NEW, &old).1, Some(0));
    world.only(&old, NEW);
}

#[test]
fn the_keys_follow_poppassd() {
    let site = Site::with_users(&["alice"]);
    let world = World::new(&site);
    let old = password("alice");
    let talk = |old: &str| {
        let mut command = world.pam.command(server_file("/usr/sbin/poppassd"));
        said(&feed(&mut command, &format!("user alice\r\npass {old}\r\nnewpass {NEW}\r\nquit\r\n")))
    };
    let refused = talk("a guess");
    assert!(refused.contains("500 Old password is incorrect"), "{refused}");
    world.only(&old, NEW);
    let changed = talk(&old);
    assert!(changed.contains("200 Password changed"), "{changed}");
    world.only(NEW, &old);
}

/// The site's own rules come after the keys: what they refuse unlocks nothing.
#[test]
fn what_the_login_refuses_is_taken_back() {
    let site = Site::with_users(&["alice"]);
    let world = World::new(&site);
    let old = password("alice");
    let path = world.pam.etc().join("pam.d/passwd");
    let strict = std::fs::read_to_string(&path).unwrap().replace("yescrypt", "yescrypt minlen=40");
    std::fs::write(&path, strict).unwrap();
    let (said, status) = world.passwd(&old, NEW);
    assert_eq!(status, Some(10), "{said}");
    let log = site.system_log();
    assert!(
        log.contains("login password of alice not changed; the keys stay as they were"),
        "{log}"
    );
    assert!(!world.opens(NEW));
    world.only(&old, NEW);
}

#[test]
fn a_wrong_old_password_changes_nothing() {
    let site = Site::with_users(&["alice"]);
    let world = World::new(&site);
    let record = std::fs::read(site.join("keys/private/alice")).unwrap();
    let (said, status) = world.passwd("a guess", NEW);
    assert_eq!(status, Some(10), "{said}");
    assert_eq!(std::fs::read(site.join("keys/private/alice")).unwrap(), record);
    world.only(&password("alice"), NEW);
}

/// Whoever has no keys changes the login password as ever.
#[test]
fn who_has_no_keys_is_not_held_up() {
    let site = Site::new("");
    let world = World::new(&site);
    let (said, status) = world.passwd(&password("alice"), NEW);
    assert_eq!(status, Some(0), "{said}");
    assert!(world.pam.accepts("alice", NEW));
    let mut reset = world.pam.command("passwd");
    let output = feed(reset.arg("alice"), "given by root\ngiven by root\n");
    assert!(output.status.success());
    assert!(!site::pam::said(&output).contains("mail keys"), "{}", site::pam::said(&output));
    assert!(!site.system_log().contains("pam_nightsafe("), "{}", site.system_log());
}

/// SIGKILL of the program that changes the password, before, between and behind all lines.
#[test]
fn killed_at_any_line_the_login_password_unlocks() {
    for at in 0..=3 {
        let site = Site::with_users(&["alice"]);
        let world = World::new(&site);
        let old = password("alice");
        let kill = site.executable("kill-host", b"#!/bin/sh\nkill -9 $PPID\n");
        world.with_line("passwd", at, &format!("password optional pam_exec.so {}", kill.display()));
        let output = world.pam.as_user("alice", "passwd", &[&old, NEW, NEW]);
        assert_eq!(output.status.code(), None, "line {at}: {}", said(&output));
        let is_changed = world.pam.accepts("alice", NEW);
        assert_eq!(is_changed, at >= 2, "line {at}");
        let (right, wrong) = if is_changed { (NEW, old.as_str()) } else { (old.as_str(), NEW) };
        // Before any login both may open the record, but never neither.
        assert!(world.opens(right), "line {at}");
        world.agent.lock(&site, "alice");
        world.log_in(right);
        assert!(world.agent.is_unlocked(&site, "alice"), "line {at}: {}", site.system_log());
        // The next change goes well, and then there is only one.
        let (said, status) = world.passwd_as_usual(right, "the third one");
        assert_eq!(status, Some(0), "line {at}: {said}");
        world.only("the third one", right);
        assert!(!world.opens(wrong), "line {at}");
    }
}

/// The agent is killed instead, and is there again for the next login.
#[test]
fn with_the_agent_killed_at_any_line_the_login_password_unlocks() {
    for at in 1..=2 {
        let site = Site::with_users(&["alice"]);
        let mut world = World::new(&site);
        let old = password("alice");
        let kill = site.executable(
            "kill-agent",
            format!("#!/bin/sh\nkill -9 {}\n", world.agent.id()).as_bytes(),
        );
        let line = format!("password optional pam_exec.so seteuid {}", kill.display());
        world.with_line("passwd", at, &line);
        let (said, status) = world.passwd(&old, NEW);
        assert_eq!(status, Some(0), "line {at}: {said}");
        let log = site.system_log();
        assert!(log.contains("the next login of alice ends the change"), "line {at}: {log}");
        world.agent.kill();
        world.agent.up(&site);
        assert!(world.opens(&old) && world.opens(NEW), "line {at}");
        world.only(NEW, &old);
    }
}

/// root gives her a new password: her mail goes on arriving sealed, she gets in and is told, and her
/// old password mends it.
#[test]
fn a_reset_is_told_and_mended() {
    let site = Site::with_users(&["alice"]);
    let world = World::new(&site);
    let old = password("alice");
    world.pam.reset("alice", "given by root");

    let told = world.log_in("given by root");
    let sentence = "Your mail is still locked with an earlier password of yours.";
    assert_eq!(told.matches(sentence).count(), 1, "{told}");
    assert!(!world.agent.is_unlocked(&site, "alice"));
    let log = site.system_log();
    assert!(log.contains("keys of alice not unlocked: they have another password"), "{log}");

    let mut deliver = site.nightsafe(&["deliver", "--recipient", "alice@example.org"]);
    let sealed = feed(&mut deliver, "Subject: pears\r\n\r\nStill there?\r\n");
    assert!(sealed.status.success(), "{}", said(&sealed));
    assert!(!said(&sealed).contains("pears"));

    // Her own change of the login password does not lock anything away either.
    let (said, status) = world.passwd("given by root", NEW);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(sentence), "{said}");
    assert!(world.opens(&old) && !world.opens(NEW));

    let [was, is] = [("was", old.as_str()), ("is", NEW)]
        .map(|(name, secret)| site.private_file(name, secret.as_bytes()));
    let mend = ["passwd", "alice", "--password-file", &was, "--new-password-file", &is];
    success(&site.nightsafe(&mend).output().unwrap());
    assert!(!world.log_in(NEW).contains(sentence));
    world.only(NEW, &old);
    let file = site.private_file("pears", &sealed.stdout);
    let open = ["unseal", "--user", "alice", "--password-file", &is, &file];
    let opened = site.nightsafe(&open).output().unwrap();
    assert!(site::pam::said(&opened).contains("Still there?"));
}

/// Who must change the password to get in: su asks for it, and the keys follow.
#[test]
fn an_expired_password_is_followed() {
    let site = Site::with_users(&["alice"]);
    let world = World::new(&site);
    let old = password("alice");
    let shadow = std::fs::read_to_string(world.pam.etc().join("shadow")).unwrap();
    let hash = shadow.split(':').nth(1).unwrap();
    std::fs::write(world.pam.etc().join("shadow"), format!("alice:{hash}:1:0:90:7:::\n")).unwrap();
    let mut command = world.pam.user_command("alice", "su");
    command.args(["alice", "-c", "echo in"]);
    let output = feed(&mut command, &format!("{old}\n{old}\n{NEW}\n{NEW}\n"));
    assert!(said(&output).contains("\nin\n"), "{}", said(&output));
    world.only(NEW, &old);
}

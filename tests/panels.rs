//! Password changes in panels: Roundcube's own password plugin with the driver of `examples/roundcube`
//! around one of its own drivers, and the script of `examples/postfixadmin` called as PostfixAdmin does.

mod site;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use site::agent::Agent;
use site::dovecot::Dovecot;
use site::pam::{feed, said};
use site::users::users;
use site::{Site, mode, password, server_file, success, unpacked};

const NEW: &str = "a \"new\" \\ passwörd $(id)";
const ALLOWED: &str = "allow = { www-data = [\"change\"] }\n";

/// Roundcube beside a Dovecot whose file of users it changes.
struct Webmail<'a> {
    site: &'a Site,
    dovecot: Dovecot,
    plugin: PathBuf,
}

impl<'a> Webmail<'a> {
    fn new(site: &'a Site) -> Self {
        let dovecot = Dovecot::start(site, &["alice"]);
        let plugin = site.join("webmail");
        let from = server_file("/usr/share/roundcube/plugins/password");
        let copy = Command::new("cp").args(["-rL"]).args([&from, &plugin]).output().unwrap();
        // A symbolic link to the configuration of a machine that has it installed.
        assert!(plugin.join("password.php").exists(), "{}", said(&copy));
        let driver = example("roundcube/nightsafe.php");
        fs::copy(driver, plugin.join("drivers/nightsafe.php")).unwrap();
        fs::copy(here("tests/site/roundcube.php"), plugin.join("roundcube.php")).unwrap();
        let webmail = Self { site, dovecot, plugin };
        webmail.own(0o640);
        webmail
    }

    /// Gives the file of users to webmail, with these rights.
    fn own(&self, bits: u32) {
        let path = self.users();
        chown(&path, Some(users().web.uid), Some(users().dovecot.gid)).unwrap();
        mode(&path, bits);
    }

    fn users(&self) -> PathBuf {
        self.site.join("dovecot/users")
    }

    /// alice changes her password; what she is told, and what the log says.
    fn save(&self, old: &str, new: &str) -> (String, String) {
        let output = self.run(old, new, "dovecot_passwdfile");
        assert!(output.status.success(), "{}", said(&output));
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    }

    fn run(&self, old: &str, new: &str, driver: &str) -> Output {
        let asked = serde_json::json!({
            "plugin": self.plugin,
            "user": "alice",
            "old": old,
            "new": new,
            "config": {
                "password_driver": "nightsafe",
                "password_nightsafe_driver": driver,
                "password_nightsafe_command": [
                    self.site.join("bin/nightsafe"), "--config", self.site.join("etc/nightsafe.toml"),
                ],
                "password_dovecot_passwdfile_path": self.users(),
                "password_algorithm": "sha512-crypt",
                "password_algorithm_prefix": true,
            },
        });
        let web = &users().web;
        let mut command = unpacked::command(self.site, None, "setpriv");
        command
            .args(["--reuid", &web.uid.to_string(), "--regid", &web.gid.to_string()])
            .args(["--clear-groups", "php8.2", "-n", "-d", "display_errors=stderr"])
            .arg(self.plugin.join("roundcube.php"));
        let output = feed(&mut command, &asked.to_string());
        // Dovecot looks for changes once a second, and tells two of one second apart by their size.
        sleep(Duration::from_millis(1100));
        output
    }
}

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn example(name: &str) -> PathBuf {
    here("examples").join(name)
}

/// Whether a password opens the key record.
fn opens(site: &Site, secret: &str) -> bool {
    let file = site.private_file("tried", secret.as_bytes());
    let output = site.nightsafe(&["identity", "alice", "--password-file", &file]).output().unwrap();
    assert!(output.status.success() || output.status.code() == Some(77), "{}", said(&output));
    output.status.success()
}

/// The states of the password slots.
fn states(site: &Site) -> Vec<String> {
    let output = site.nightsafe(&["slot", "list", "alice"]).output().unwrap();
    success(&output);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| line.contains(" password "));
    let mut states: Vec<_> =
        lines.map(|line| line.split_whitespace().nth(2).unwrap().to_owned()).collect();
    states.sort();
    states
}

#[test]
fn roundcube_changes_both() {
    let site = Site::with_users(&["alice"]);
    let _agent = Agent::start(&site, ALLOWED);
    let webmail = Webmail::new(&site);
    let old = password("alice");
    let (told, log) = webmail.save(&old, NEW);
    assert_eq!((told.as_str(), log.as_str()), ("", ""));
    assert!(fs::read_to_string(webmail.users()).unwrap().contains("alice:{SHA512-CRYPT}$6$"));
    assert_eq!(states(&site), ["active", "retiring"]);
    assert!(opens(&site, NEW));
    // And once more, from the new one.
    let (told, log) = webmail.save(NEW, "simple");
    assert_eq!((told.as_str(), log.as_str()), ("", ""));
    assert!(webmail.dovecot.lets_in("alice", "simple"));
    assert!(!webmail.dovecot.lets_in("alice", &old));
    assert!(opens(&site, "simple") && !opens(&site, &old));
}

#[test]
fn what_the_driver_refuses_is_taken_back() {
    let site = Site::with_users(&["alice"]);
    let _agent = Agent::start(&site, ALLOWED);
    let webmail = Webmail::new(&site);
    webmail.own(0o440);
    let (told, log) = webmail.save(&password("alice"), NEW);
    assert_eq!(told, "internalerror");
    assert!(log.contains("Failed to save file"), "{log}");
    assert_eq!(states(&site), ["active"]);
    assert!(opens(&site, &password("alice")) && !opens(&site, NEW));
    assert!(webmail.dovecot.lets_in("alice", &password("alice")));
}

/// A driver that does not know whether it changed anything: both passwords open until a login shows it.
#[test]
fn what_the_driver_does_not_know_stays_open() {
    let site = Site::with_users(&["alice"]);
    let _agent = Agent::start(&site, ALLOWED);
    let webmail = Webmail::new(&site);
    webmail.own(0o040);
    let (told, log) = webmail.save(&password("alice"), NEW);
    assert_eq!(told, "connecterror", "{log}");
    assert_eq!(states(&site), ["active", "pending"]);
    assert!(opens(&site, &password("alice")) && opens(&site, NEW));
}

/// PHP is killed while the driver is at work, before and after it has changed the login password.
#[test]
fn a_killed_webmail_leaves_both_open() {
    let site = Site::with_users(&["alice"]);
    let _agent = Agent::start(&site, ALLOWED);
    let webmail = Webmail::new(&site);
    let old = password("alice");
    for (name, changes) in [("killed_before", false), ("killed_after", true)] {
        let change =
            if changes { "(new rcube_dovecot_passwdfile_password)->save($c, $n, $u);" } else { "" };
        let driver = format!(
            "<?php\ninclude_once __DIR__ . '/dovecot_passwdfile.php';\n\
             class rcube_{name}_password {{ public function save($c, $n, $u) {{\n\
             {change} exec('kill -9 ' . getmypid()); }} }}\n"
        );
        fs::write(webmail.plugin.join(format!("drivers/{name}.php")), driver).unwrap();
        let output = webmail.run(&old, "another", name);
        assert_eq!(output.status.code(), None, "{}", said(&output));
        let right = if changes { "another" } else { old.as_str() };
        assert!(webmail.dovecot.lets_in("alice", right), "{name}");
        assert_eq!(states(&site), ["active", "pending"], "{name}");
        assert!(opens(&site, &old) && opens(&site, "another"), "{name}");
    }
    // The change was lost, not the password: the next one begins with what is the login password now.
    assert_eq!(webmail.save("another", NEW).0, "");
    assert!(opens(&site, NEW));
}

/// Keys first: the driver is not even asked when they cannot follow.
#[test]
fn without_an_agent_or_leave_nothing_is_changed() {
    let site = Site::with_users(&["alice"]);
    let mut agent = Agent::start(&site, "");
    let webmail = Webmail::new(&site);
    let file = fs::read(webmail.users()).unwrap();
    let (told, log) = webmail.save(&password("alice"), NEW);
    assert!(told.contains("connecterror The keys of your mail cannot follow"), "{told}");
    assert!(log.contains("[agent] allow"), "{log}");
    agent.kill();
    let (told, log) = webmail.save(&password("alice"), NEW);
    assert!(told.contains("connecterror The keys of your mail cannot follow"), "{told}");
    assert!(log.contains("no agent at"), "{log}");
    assert_eq!(fs::read(webmail.users()).unwrap(), file);
    assert_eq!(states(&site), ["active"]);
}

/// Without keys, or with keys that have another password, the login password changes as ever.
#[test]
fn where_there_is_nothing_to_follow_the_login_changes_alone() {
    let site = Site::with_users(&["alice"]);
    let _agent = Agent::start(&site, ALLOWED);
    let webmail = Webmail::new(&site);
    let (told, log) = webmail.save("not what opens the keys", "second");
    assert_eq!(told, "");
    assert!(log.contains("have another password than the login"), "{log}");
    assert!(webmail.dovecot.lets_in("alice", "second"));
    assert!(opens(&site, &password("alice")));
    site.remove("alice");
    let (told, log) = webmail.save("second", "third");
    assert_eq!((told.as_str(), log.as_str()), ("", ""));
    assert!(webmail.dovecot.lets_in("alice", "third"));
}

/// It gets two arguments, and standard input stays open until it has ended.
#[test]
fn postfixadmins_script_is_called_as_postfixadmin_does() {
    let site = Site::with_users(&["alice"]);
    let script = fs::read_to_string(example("postfixadmin/nightsafe-password")).unwrap();
    let bits = fs::metadata(example("postfixadmin/nightsafe-password")).unwrap().permissions();
    assert_eq!(bits.mode() & 0o111, 0o111);
    let nightsafe = format!(
        "{} --config {}",
        site.join("bin/nightsafe").display(),
        site.join("etc/nightsafe.toml").display()
    );
    assert!(script.contains("\n/usr/bin/nightsafe passwd"));
    let script = script.replace("/usr/bin/nightsafe", &nightsafe);
    let path = site.executable("nightsafe-password", script.as_bytes());
    let call = |user: &str, old: &str, new: &str| {
        let mut command = Command::new(&path);
        command.args([user, "example.org"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Held open, as PostfixAdmin does: it reads all of the output before it closes this end.
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, format!("{old}\0{new}\0").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        output
    };
    let old = password("alice");
    let output = call("alice@example.org", &old, NEW);
    assert!(output.status.success(), "{}", said(&output));
    assert!(opens(&site, NEW) && !opens(&site, &old));
    let output = call("alice@example.org", &old, "x");
    assert_eq!(output.status.code(), Some(77), "{}", said(&output));
    assert!(call("nobody@example.org", "a", "b").status.success());
}

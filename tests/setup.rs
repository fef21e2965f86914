//! `setup`: what it makes, with which modes, and what it refuses to make.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use support::{Site, files_below, finish, mode, opened, program};

const PASSWORD: &[u8] = b"pw";

#[test]
fn again_changes_nothing() {
    let site = Site::new();
    site.enroll("alice", PASSWORD).good();
    let before = files_below(&site.path());
    let said = site.run(["setup"]).good().text();
    assert_eq!(said.matches("is there ").count(), 4, "{said}");
    assert!(!said.contains("made "), "{said}");
    assert_eq!(files_below(&site.path()), before);
    let checked = site.run(["check"]).good().text();
    assert!(!checked.contains("ERROR"), "{checked}");
}

/// A new secret would not fit the records that exist.
#[test]
fn a_lost_secret_is_not_made_anew() {
    let site = Site::new();
    site.enroll("alice", PASSWORD).good();
    for secret in ["pepper", "sealing.key"] {
        let (path, away) = (site.join(secret), site.join("away"));
        fs::rename(&path, &away).unwrap();
        let name = path.display().to_string();
        let ran = site.run(["setup"]).fails(73, &[&name, "is missing"]);
        assert!(ran.stderr.contains("hint: restore it from the backup"), "{}", ran.stderr);
        let checked = site.run(["check"]).text();
        assert!(checked.contains("from the backup; for a new site: nightsafe setup"), "{checked}");
        assert!(!path.exists());
        fs::rename(&away, &path).unwrap();
    }
    // The markers went, the keys did not: a restored folder, or one half on a disk of its own.
    for marker in [&["public"][..], &["private"], &["public", "private"]] {
        let before = marker.iter().map(|half| site.join(&format!("keys/{half}/.nightsafe-site")));
        let kept: Vec<_> = before.map(|path| (fs::read(&path).unwrap(), path)).collect();
        kept.iter().for_each(|(_, path)| fs::remove_file(path).unwrap());
        site.run(["setup"]).fails(73, &["holds files but no site marker"]);
        kept.iter().for_each(|(content, path)| fs::write(path, content).unwrap());
    }
    assert!(site.unlocks("alice", PASSWORD));
}

#[test]
fn without_a_marker_nothing_is_done() {
    let site = Site::new();
    site.enroll("alice", PASSWORD).good();
    for half in ["public", "private"] {
        let path = site.join(&format!("keys/{half}/.nightsafe-site"));
        let marker = fs::read(&path).unwrap();
        for content in [None, Some(&b""[..]), Some(b"nightsafe-site\n"), Some(b"other 0123\n")] {
            fs::remove_file(&path).unwrap();
            if let Some(content) = content {
                fs::write(&path, content).unwrap();
            }
            let says = [&format!("keys/{half}")[..], "has no site marker"];
            site.enroll("bob", PASSWORD).fails(78, &says);
            site.identity("alice", PASSWORD).fails(78, &says);
            site.run(["list"]).fails(78, &says);
            assert_eq!(site.run(["check"]).status, Some(78));
            for policy in ["defer", "pass", "reject"] {
                site.configure("", &format!("[delivery]\nunenrolled = \"{policy}\""));
                let ran = site.deliver(&["--recipient", "bob"]);
                let wanted = match (half, policy) {
                    ("public", _) | (_, "defer") => 75,
                    (_, "pass") => 0,
                    _ => 69,
                };
                assert_eq!(ran.status, Some(wanted), "{half} {policy}: {}", ran.stderr);
            }
            site.configure("", "");
            fs::write(&path, &marker).unwrap();
        }
    }
    assert!(!site.private("bob").exists());
}

/// Runs `setup` and `enroll` under an umask.
fn with_umask(umask: &str, site: &Site, arguments: &[&str]) -> support::Ran {
    let mut command = Command::new("sh");
    command.args(["-c", "umask \"$0\"; exec \"$@\"", umask]).arg(program());
    finish(command.arg("--config").arg(site.config()).args(arguments), PASSWORD)
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    for umask in ["000", "077", "027"] {
        let site = Site::not_set_up();
        let at = site.path().display().to_string();
        let text = format!(
            "[keys]\ndirectory = \"{at}/var/lib/keys\"\npepper = \"{at}/etc/deep/pepper\"\n\
             provisional_key = \"{at}/etc/first/key\"\nsealing_key = \"{at}/run/sealing.key\"\n[seal]\ndomain = \"example.org\"\n"
        );
        fs::write(site.config(), text).unwrap();
        with_umask(umask, &site, &["setup"]).good();
        with_umask(umask, &site, &["enroll", "alice", "--password-file", "-"]).good();
        let new = site.file("new", PASSWORD);
        let passwd = ["passwd", "alice", "--password-file", "-", "--new-password-file", &new];
        with_umask(umask, &site, &passwd).good();
        for (name, wanted) in [
            ("var", 0o755),
            ("var/lib", 0o755),
            ("var/lib/keys", 0o755),
            ("var/lib/keys/public", 0o755),
            ("var/lib/keys/public/.nightsafe-site", 0o644),
            ("var/lib/keys/public/alice", 0o644),
            ("var/lib/keys/private", 0o700),
            ("var/lib/keys/private/.nightsafe-site", 0o600),
            ("var/lib/keys/private/alice", 0o600),
            ("etc", 0o755),
            ("etc/deep", 0o755),
            ("etc/deep/pepper", 0o600),
            ("etc/first", 0o755),
            ("etc/first/key", 0o600),
            ("run", 0o755),
            ("run/sealing.key", 0o640),
            ("run/sealing.ring", 0o644),
        ] {
            let found = mode(&site.join(name));
            assert_eq!(found, wanted, "{name} is {found:o} with umask {umask}");
        }
        with_umask(umask, &site, &["remove", "alice"]).good();
        for (path, _) in files_below(&site.join("var/lib/keys/private/.archive")) {
            assert_eq!(mode(path.parent().unwrap()) & 0o077, 0, "{}", path.display());
        }
    }
}

#[test]
fn a_delivery_group_reads_what_delivery_needs() {
    let root = rustix::process::geteuid().is_root();
    // Only root can give a file to a group that is not his.
    let group = if root { 65534 } else { rustix::process::getegid().as_raw() };
    let site = Site::not_set_up();
    site.run(["setup", "--delivery-group", &group.to_string()]).good();
    site.enroll("alice", PASSWORD).good();
    for (name, wanted) in [
        ("keys/public", 0o2750),
        ("keys/public/.nightsafe-site", 0o640),
        ("keys/public/alice", 0o640),
        ("sealing.key", 0o640),
    ] {
        let found = mode(&site.join(name));
        assert_eq!(found, wanted, "{name} is {found:o}");
        assert_eq!(fs::metadata(site.join(name)).unwrap().gid(), group, "{name}");
    }
    assert_eq!((mode(&site.private("")), mode(&site.private("alice"))), (0o700, 0o600));
    assert_eq!((mode(&site.join("pepper")), mode(&site.join("provisional.key"))), (0o600, 0o600));
    site.run(["check"]).good();
    // Once given, it is not named again.
    let again = site.run(["setup"]).good().text();
    assert!(!again.contains("no --delivery-group"), "{again}");
    let alone = Site::not_set_up().run(["setup"]).good().text();
    assert!(alone.contains("no --delivery-group: only the user who runs this"), "{alone}");
    let ran = Site::not_set_up().run(["setup", "--delivery-group", "no-such-group"]);
    ran.fails(64, &["there is no group no-such-group"]);
}

#[test]
fn open_secrets_are_errors_of_check() {
    let site = Site::new();
    for name in ["pepper", "provisional.key", "sealing.key", "keys/private"] {
        let path = site.join(name);
        let good = mode(&path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let ran = site.run(["check"]);
        let line = ran.text().lines().find(|line| line.starts_with("ERROR")).map(str::to_owned);
        assert!(line.is_some_and(|line| line.contains(name) && line.contains("755")), "{ran:?}");
        assert_eq!(ran.status, Some(78));
        fs::set_permissions(&path, fs::Permissions::from_mode(good)).unwrap();
    }
    site.run(["check"]).good();
}

fn first_word_after(path: &std::path::Path, word: &str) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split_whitespace().skip_while(|found| *found != word).nth(1).unwrap().to_owned()
}

#[test]
fn secrets_of_another_site_are_named() {
    let (site, other) = (Site::new(), Site::new());
    site.enroll("alice", PASSWORD).good();
    let sealed = site.seal("alice");
    let (pepper, own) = (site.join("pepper"), fs::read(site.join("pepper")).unwrap());
    let id = |site: &Site| first_word_after(&site.join("pepper"), "nightsafe-pepper-1");
    let ids = [id(&site), id(&other)];
    fs::copy(other.join("pepper"), &pepper).unwrap();
    let ran = site.identity("alice", PASSWORD).fails(78, &[&ids[0], &ids[1], "pepper"]);
    assert!(ran.stderr.contains("hint: [keys] pepper"), "{}", ran.stderr);
    let mut altered = own.clone();
    altered[40] = if altered[40] == b'A' { b'B' } else { b'A' };
    fs::write(&pepper, altered).unwrap();
    let name = pepper.display().to_string();
    site.identity("alice", PASSWORD).fails(78, &[&name, "is no pepper, or was altered"]);
    fs::write(&pepper, own).unwrap();
    assert_eq!(site.unseal("alice", PASSWORD, &sealed).good().stdout, opened());

    fs::copy(other.join("sealing.key"), site.join("sealing.key")).unwrap();
    for policy in ["defer", "pass", "reject"] {
        site.configure("", &format!("[delivery]\nunenrolled = \"{policy}\""));
        for recipient in ["alice", "bob"] {
            let ran = site.deliver(&["--recipient", recipient]);
            assert_eq!((ran.status, ran.text()), (Some(75), String::new()), "{}", ran.stderr);
        }
    }
    let checked = site.run(["check"]).text();
    let sites = [&site, &other]
        .map(|site| first_word_after(&site.join("keys/public/.nightsafe-site"), "nightsafe-site"));
    let says = format!("belongs to site {}, not to {}", sites[0], sites[1]);
    assert!(checked.contains(&says), "{checked}");
}

/// A key disk that is not mounted looks like a new site. `setup` must not make one of it: with its
/// markers delivery would believe that nobody is enrolled.
#[test]
fn an_unmounted_key_directory_stays_one() {
    let site = Site::new();
    site.enroll("alice", PASSWORD).good();
    site.configure("", "[delivery]\nunenrolled = \"pass\"");
    let (keys, away) = (site.join("keys"), site.join("away"));
    fs::rename(&keys, &away).unwrap();
    fs::create_dir(&keys).unwrap();
    for _ in 0..2 {
        let ran = site.run(["setup"]).fails(73, &["has no site marker", "sealing.key"]);
        assert!(ran.stderr.contains("hint: mount"), "{}", ran.stderr);
        assert_eq!(site.deliver(&["--recipient", "alice"]).status, Some(75));
    }
    fs::remove_dir_all(&keys).unwrap();
    fs::rename(&away, &keys).unwrap();
    site.run(["setup"]).good();
    assert!(site.unlocks("alice", PASSWORD));
}

/// Killed anywhere, `setup` can be run again: what is there by then is what it finds.
#[test]
fn what_was_interrupted_is_finished() {
    for missing in [
        &["sealing.key"][..],
        &["sealing.key", "sealing.ring"],
        &["sealing.key", "sealing.ring", "keys/public/.nightsafe-site"],
        &["sealing.key", "sealing.ring", "keys/private/.nightsafe-site"],
        &[
            "sealing.key",
            "sealing.ring",
            "keys/private/.nightsafe-site",
            "keys/public/.nightsafe-site",
        ],
        &["pepper"],
        &["provisional.key"],
    ] {
        let site = Site::new();
        missing.iter().for_each(|name| fs::remove_file(site.join(name)).unwrap());
        site.run(["setup"]).good();
        site.run(["check"]).good();
        site.enroll("alice", PASSWORD).good();
        let sealed = site.deliver(&["--recipient", "alice"]);
        assert_eq!(sealed.status, Some(0), "{missing:?}: {}", sealed.stderr);
        assert!(site.unlocks("alice", PASSWORD));
    }
}

/// The public folder may belong to somebody else than root, who runs `setup`.
#[test]
fn a_link_among_the_public_keys_is_not_followed() {
    let site = Site::new();
    let secret = site.file("secret", b"x");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let group = rustix::process::getegid().as_raw().to_string();
    for link in [true, false] {
        let name = site.join("keys/public/zed");
        if link {
            std::os::unix::fs::symlink(&secret, &name).unwrap();
        } else {
            fs::hard_link(&secret, &name).unwrap();
        }
        let ran = site.run(["setup", "--delivery-group", &group]);
        assert_ne!(ran.status, Some(0));
        assert!(ran.stderr.contains("keys/public/zed"), "{}", ran.stderr);
        assert_eq!(mode(std::path::Path::new(&secret)), 0o600);
        fs::remove_file(name).unwrap();
    }
    site.run(["setup", "--delivery-group", &group]).good();
}

/// Archived records need the pepper as well.
#[test]
fn a_pepper_that_only_the_archive_needs_is_not_made_anew() {
    let site = Site::new();
    site.enroll("alice", PASSWORD).good();
    site.run(["remove", "alice"]).good();
    fs::remove_file(site.join("pepper")).unwrap();
    site.run(["setup"]).fails(73, &["pepper", "is missing"]);
}

/// Whom the agent runs as.
const AGENT_UID: u32 = 64_731;

/// What the agent's user has to own, and what he must not.
fn owners(site: &Site, names: &[&str]) -> Vec<u32> {
    names.iter().map(|name| fs::symlink_metadata(site.join(name)).unwrap().uid()).collect()
}

#[test]
fn root_gives_the_agents_user_what_the_agent_needs() {
    assert!(rustix::process::geteuid().is_root(), "only root can give files away");
    let site = Site::new();
    site.enroll("alice", PASSWORD).good();
    site.enroll("bob", PASSWORD).good();
    site.run(["remove", "bob"]).good();
    site.run(["setup", "--delivery-group", "64732"]).good();
    let his = ["keys/private", "keys/private/alice", "keys/private/.nightsafe-site"];
    let his: Vec<_> = his
        .into_iter()
        .chain(["keys/private/.archive", "keys/public", "keys/public/alice"])
        .chain(["pepper", "provisional.key"])
        .collect();
    let others = ["keys", "sealing.key", "sealing.ring"];
    assert_eq!(owners(&site, &his), [0; 8]);

    site.configure("", &format!("[agent]\nuser = \"{AGENT_UID}\""));
    site.run(["check"]).fails_somewhere(78, "does not belong to 64731");
    site.run(["setup"]).good();
    assert_eq!(owners(&site, &his), [AGENT_UID; 8]);
    assert_eq!(owners(&site, &others), [0; 3]);
    for (path, _) in files_below(&site.join("keys/private/.archive")) {
        assert_eq!(fs::metadata(&path).unwrap().uid(), AGENT_UID, "{}", path.display());
    }
    // Delivery reads what it read before, and no more.
    assert_eq!(mode(&site.join("keys/public")), 0o2750);
    assert_eq!(fs::metadata(site.public("alice")).unwrap().gid(), 64_732);
    assert_eq!((mode(&site.private("")), mode(&site.join("pepper"))), (0o700, 0o600));
    let checked = site.run(["check"]).text();
    assert!(!checked.contains("does not belong"), "{checked}");
    // A pepper that lies elsewhere stays whose it is.
    let (pepper, elsewhere) = (site.join("pepper"), site.join("elsewhere"));
    fs::rename(&pepper, &elsewhere).unwrap();
    std::os::unix::fs::chown(&elsewhere, Some(0), None).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &pepper).unwrap();
    site.run(["setup"]).good();
    assert_eq!(owners(&site, &["elsewhere", "pepper"]), [0; 2]);
    site.run(["check"]).fails_somewhere(78, "pepper does not belong to 64731");
    // What root makes later is his as well.
    site.enroll("carol", PASSWORD).good();
    assert_eq!(owners(&site, &["keys/private/carol", "keys/public/carol"]), [AGENT_UID; 2]);
}

/// What somebody else could have put there is not given away with the rest.
#[test]
fn setup_gives_nothing_away_where_others_can_write() {
    assert!(rustix::process::geteuid().is_root(), "only root can give files away");
    let site = Site::new();
    let secret = site.file("secret", b"x");
    let owner = || fs::metadata(&secret).unwrap().uid();
    site.configure("", &format!("[agent]\nuser = \"{AGENT_UID}\""));
    let public = site.join("keys/public");
    fs::set_permissions(&public, fs::Permissions::from_mode(0o777)).unwrap();
    fs::hard_link(&secret, public.join("zed")).unwrap();
    site.run(["setup"]).fails(74, &["change the owner of", "keys/public", "others may write"]);
    assert_eq!(owner(), 0);
    // Another's folder is left alone.
    std::os::unix::fs::chown(&public, Some(64_733), None).unwrap();
    fs::set_permissions(&public, fs::Permissions::from_mode(0o755)).unwrap();
    site.run(["setup"]).good();
    assert_eq!((owner(), owners(&site, &["keys/public"])), (0, vec![64_733]));
    // A link is no key of root's own making.
    fs::remove_file(public.join("zed")).unwrap();
    std::os::unix::fs::symlink(&secret, public.join("zed")).unwrap();
    std::os::unix::fs::chown(&public, Some(0), None).unwrap();
    site.run(["setup"]).fails(74, &["zed", "not a regular file"]);
    assert_eq!(owner(), 0);
}

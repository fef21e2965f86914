//! Rotation against real old copies: a thief who copied the key records once, and has a secret of that
//! time, opens the mail up to the copy and nothing that came after the secret was taken away.

mod support;

use std::fs;

use support::{Ran, Site, opened};

const PASSWORD: &[u8] = b"pw";

fn site() -> Site {
    let site = Site::new();
    site.enroll("alice", PASSWORD).good();
    site
}

/// The whole site as it was, pepper and provisional key included: what a thief took.
fn copy(site: &Site) -> Site {
    let copied = Site::not_set_up();
    let from = site.path().display().to_string();
    let to = copied.path().display().to_string();
    fs::remove_dir_all(copied.path()).unwrap();
    let mut cp = std::process::Command::new("cp");
    assert!(cp.args(["-a", &from, &to]).status().unwrap().success());
    copied.configure("", "");
    copied
}

fn rotate(site: &Site, password: &[u8]) -> String {
    let ran = site.feed(["rotate", "alice", "--password-file", "-"], password);
    ran.good().text().trim_end().to_owned()
}

fn app(site: &Site, name: &str) -> Vec<u8> {
    let arguments = ["slot", "add", "alice", "--app", name, "--password-file", "-"];
    site.feed(arguments, PASSWORD).good().text().trim_end().into()
}

#[track_caller]
fn opens(site: &Site, secret: &[u8], sealed: &[u8]) {
    assert_eq!(site.unseal("alice", secret, sealed).good().stdout, opened());
}

/// Sealed to a key that this site's record has not.
#[track_caller]
fn is_closed_to(site: &Site, secret: &[u8], sealed: &[u8]) -> Ran {
    site.unseal("alice", secret, sealed).fails(77, &["another key"])
}

#[test]
fn an_old_password_with_an_old_copy() {
    let site = site();
    let before = site.seal("alice");
    let thief = copy(&site);
    site.passwd("alice", PASSWORD, b"new").good();
    // A password change alone takes nothing from whoever has an old copy: it is what `rotate` is for.
    let between = site.seal("alice");
    opens(&thief, PASSWORD, &between);
    let key = rotate(&site, b"new");
    assert!(fs::read_to_string(site.public("alice")).unwrap().contains(&key));
    let after = site.seal("alice");
    opens(&thief, PASSWORD, &before);
    is_closed_to(&thief, PASSWORD, &after);
    // Her own record opens all of it, and the old password none.
    for sealed in [&before, &between, &after] {
        opens(&site, b"new", sealed);
    }
    assert!(!site.unlocks("alice", PASSWORD));
    // Stock identities: one line for each key, newest first.
    let identities = site.identity("alice", b"new").good().text();
    let keys: Vec<_> = identities.lines().filter(|line| line.contains("# public key: ")).collect();
    assert!(keys.len() == 2 && keys[0].ends_with(&key), "{identities}");
    site.run(["check"]).good();
}

#[test]
fn a_stolen_app_password_with_any_old_copy() {
    let site = site();
    let phone = app(&site, "phone");
    let tablet = app(&site, "tablet");
    let mut sealed = vec![site.seal("alice")];
    let mut thieves = vec![copy(&site)];
    rotate(&site, PASSWORD);
    // The phone is still hers: it opens what comes after a rotation.
    sealed.push(site.seal("alice"));
    thieves.push(copy(&site));
    for sealed in &sealed {
        opens(&site, &phone, sealed);
    }
    is_closed_to(&thieves[0], &phone, &sealed[1]);
    opens(&thieves[1], &phone, &sealed[1]);

    // Now it is stolen, together with every copy there ever was.
    let removal = ["slot", "remove", "alice", "phone", "--password-file", "-"];
    site.feed(removal, PASSWORD).good();
    let after = site.seal("alice");
    thieves.push(copy(&site));
    assert!(!thieves[2].unlocks("alice", &phone));
    for thief in &thieves[..2] {
        opens(thief, &phone, &sealed[0]);
        is_closed_to(thief, &phone, &after);
    }
    for secret in [PASSWORD, &tablet] {
        for sealed in sealed.iter().chain([&after]) {
            opens(&site, secret, sealed);
        }
    }
}

/// The thief puts the old record back: the phone that was removed unlocks again, on the machine, and
/// that is named. It opens nothing that came after.
#[test]
fn an_old_record_put_back() {
    let site = site();
    let phone = app(&site, "phone");
    let old = fs::read(site.private("alice")).unwrap();
    let removal = ["slot", "remove", "alice", "phone", "--password-file", "-"];
    site.feed(removal, PASSWORD).good();
    let new = fs::read(site.private("alice")).unwrap();
    let sealed = site.seal("alice");
    fs::write(site.private("alice"), &old).unwrap();
    is_closed_to(&site, &phone, &sealed);
    let problem =
        "the key record of alice is older (generation 1) than the public key (generation 2)";
    assert!(site.run(["check"]).text().contains(problem));
    // Nothing that would hide it can be done to it, and mail goes on being sealed to the newer key.
    let public = fs::read(site.public("alice")).unwrap();
    for arguments in [&["rotate", "alice"][..], &["slot", "remove", "alice", "phone"]] {
        let arguments = arguments.iter().chain(&["--password-file", "-"]);
        let ran = site.feed(arguments, PASSWORD);
        let ran = ran.fails(65, &["the key record of alice is older than the public key in use"]);
        assert!(ran.stderr.contains("hint: restore the newer record"), "{}", ran.stderr);
    }
    assert_eq!(fs::read(site.private("alice")).unwrap(), old);
    site.passwd("alice", PASSWORD, b"new").good();
    assert_eq!(fs::read(site.public("alice")).unwrap(), public);
    assert!(site.run(["check"]).text().contains(problem));
    fs::write(site.private("alice"), new).unwrap();
    opens(&site, PASSWORD, &sealed);
    site.run(["check"]).good();
}

/// Copies of one record, each restored over a later one: every one of them is named.
#[test]
fn every_older_copy_is_noticed() {
    let site = site();
    let copies =
        |site: &Site| [site.private("alice"), site.public("alice")].map(|f| fs::read(f).unwrap());
    let mut all = vec![copies(&site)];
    let phone = |site: &Site| drop(app(site, "phone"));
    let again = |site: &Site| drop(site.passwd("alice", PASSWORD, PASSWORD).good());
    let removal = |site: &Site| {
        let arguments = ["slot", "remove", "alice", "phone", "--password-file", "-"];
        drop(site.feed(arguments, PASSWORD).good());
    };
    let rotation = |site: &Site| drop(rotate(site, PASSWORD));
    let steps: [&dyn Fn(&Site); 5] = [&phone, &again, &removal, &again, &rotation];
    for step in steps {
        step(&site);
        all.push(copies(&site));
    }
    let [newest, newest_public] = all.pop().unwrap();
    site.run(["check"]).good();
    for [record, public] in all {
        // A record alone.
        fs::write(site.private("alice"), &record).unwrap();
        let named = |text: String| {
            let line = text.lines().find(|line| line.contains("the key record of alice is "));
            assert!(line.is_some_and(|line| line.contains("older")), "{text}");
        };
        let checked = site.run(["check"]);
        assert_eq!(checked.status, Some(78));
        named(checked.text());
        named(site.run(["list"]).good().text());
        named(site.identity("alice", PASSWORD).good().stderr);
        fs::write(site.private("alice"), &newest).unwrap();
        // A public half alone, of another key.
        fs::write(site.public("alice"), &public).unwrap();
        let checked = site.run(["check"]);
        assert_eq!(checked.status, Some(78));
        assert!(checked.text().contains("the public key of alice is older"), "{}", checked.text());
        fs::write(site.public("alice"), &newest_public).unwrap();
        site.run(["check"]).good();
    }
    // Within one generation, too: the password of then would be back.
    let before = fs::read(site.private("alice")).unwrap();
    site.passwd("alice", PASSWORD, b"new").good();
    fs::write(site.private("alice"), before).unwrap();
    let checked = site.run(["check"]).text();
    assert!(checked.contains("the key record of alice is an older copy (write "), "{checked}");
}

#[test]
fn a_replaced_password_does_not_survive_a_rotation() {
    let site = site();
    let care = support::care::Care::of(&site);
    let staged = care.stage("pw", "new").unwrap();
    care.commit(staged).unwrap();
    assert!(site.unlocks("alice", PASSWORD) && site.unlocks("alice", b"new"));
    rotate(&site, b"new");
    assert!(!site.unlocks("alice", PASSWORD) && site.unlocks("alice", b"new"));
    // With the old one it stays: nobody has shown that the new one is in force.
    let staged = care.stage("new", "newer").unwrap();
    care.commit(staged).unwrap();
    rotate(&site, b"new");
    assert!(site.unlocks("alice", b"new") && site.unlocks("alice", b"newer"));
}

#[test]
fn rotation_needs_the_password() {
    let site = site();
    let before = [site.private("alice"), site.public("alice")].map(|path| fs::read(path).unwrap());
    site.feed(["rotate", "alice", "--password-file", "-"], b"wrong").fails(77, &["wrong password"]);
    site.feed(["rotate", "bob", "--password-file", "-"], b"pw").fails(67, &["bob is not enrolled"]);
    let after = [site.private("alice"), site.public("alice")].map(|path| fs::read(path).unwrap());
    assert_eq!(before, after);
}

//! Escrow from one end to the other: off unless a site turns it on, told to every user, and one user's
//! way back by the officers, which helps nobody else and works once.

mod officers;
mod support;

use std::fs;

use nightsafe::keys::SlotKind;
use nightsafe::keys::error::UnlockError;
use nightsafe::keys::escrow::{Answer, Document, GOOD_FOR};
use nightsafe::lifecycle::escrow::{RecoveryError, finish};
use officers::{Officers, confirmed_login, export, finish_with, now, record, told};
use serde_json::Value;
use support::care::Care;
use support::{Site, mode};

const OLD: &[u8] = b"old password";
const NEW: &[u8] = b"new password";
const USED: &str = "the site's recovery key unlocked your keys";

/// A site with escrow, where alice is enrolled and was told about it.
fn alice() -> (Officers, Site) {
    let officers = Officers::with_shares();
    let site = officers.site();
    site.enroll("alice", OLD).good();
    let added = format!("the site's recovery key {} can unlock your keys", officers.key());
    assert_eq!(told(&site, "alice", OLD), [added]);
    (officers, site)
}

fn kinds(site: &Site, user: &str) -> Vec<SlotKind> {
    record(site, user).slots().iter().map(nightsafe::keys::Slot::kind).collect()
}

fn with(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value = serde_json::from_slice(bytes).unwrap();
    change(&mut value);
    serde_json::to_vec(&value).unwrap()
}

#[test]
fn a_lost_password_and_the_way_back() {
    let (officers, site) = alice();
    let old_record = record(&site, "alice");
    let app = site.feed(["slot", "add", "alice", "--app", "phone", "--password-file", "-"], OLD);
    let app = app.good().text().trim().to_owned();
    let code = ["slot", "add", "alice", "--recovery-code", "--password-file", "-"];
    let code = site.feed(code, OLD).good().text().trim().to_owned();
    told(&site, "alice", OLD);
    let before = site.seal("alice");

    let exported = site.run(["recovery", "export", "alice"]).good();
    let blob = exported.stdout;
    let one_time = serde_json::from_slice::<Value>(&blob).unwrap()["one_time"].clone();
    let one_time = one_time.as_str().unwrap();
    assert!(exported.stderr.contains(one_time), "{}", exported.stderr);
    assert!(exported.stderr.contains(&officers.key()), "{}", exported.stderr);
    let kept = site.private(".recovery/alice");
    assert_eq!((mode(&kept), mode(&site.private(".recovery"))), (0o600, 0o700));

    let shares = [1, 3, 4].map(|number| officers.share(number));
    let ran = officers.open_with(&shares, &blob).good();
    assert!(ran.stderr.contains("these are the keys of alice,"), "{}", ran.stderr);
    assert!(ran.stderr.contains(one_time), "{}", ran.stderr);
    let done = finish_with(&site, "alice", &ran.stdout, NEW).good();
    assert!(done.text().contains(&officers.key()), "{}", done.text());
    assert!(done.stderr.contains("login backend"), "{}", done.stderr);
    assert!(!kept.exists(), "the one-time key is still there");

    // Old mail and new, with the new password and with what else the user has; nothing with the old one.
    let after = site.seal("alice");
    for password in [NEW, app.as_bytes()] {
        for sealed in [&before, &after] {
            let ran = site.unseal("alice", password, sealed).good();
            assert_eq!(ran.stdout, support::opened());
        }
    }
    site.unseal("alice", OLD, &after).fails(77, &["wrong password"]);
    site.unseal("alice", OLD, &before).fails(77, &["wrong password"]);
    // Nor with an old copy of the record.
    let copy = old_record.unlock(OLD, &Care::of(&site).secrets).unwrap();
    let now_used = record(&site, "alice").public().unwrap().key;
    assert!(copy.keys.iter().all(|key| key.public_key() != now_used));
    assert!(!record(&site, "alice").is_under(copy.root()));

    // Told once, to the user and not to a phone.
    assert!(confirmed_login(&site, "alice", app.as_bytes()).notices.is_empty());
    assert_eq!(told(&site, "alice", NEW), [USED]);
    assert!(told(&site, "alice", NEW).is_empty());
    site.run(["check"]).good();

    // The code is still the user's, and escrow is still on.
    assert!(kinds(&site, "alice").contains(&SlotKind::Escrow));
    let code = site.file("code", code.as_bytes());
    let words = ["recovery", "use", "alice", "--code-file", &code, "--new-password-file", "-"];
    site.feed(words, b"third").good();
    let answer = officers.answer(&export(&site, "alice"));
    finish_with(&site, "alice", &answer, b"fourth").good();
    assert_eq!(site.unseal("alice", b"fourth", &before).good().stdout, support::opened());
}

#[test]
fn an_answer_is_good_once_and_for_its_own_export() {
    let (officers, site) = alice();
    finish_with(&site, "alice", b"{}", NEW).fails(65, &["is no answer to a recovery blob"]);
    let first = officers.answer(&export(&site, "alice"));
    let blob = export(&site, "alice");
    let second = officers.answer(&blob);
    finish_with(&site, "alice", &first, NEW)
        .fails(65, &["not the answer to the last export of alice"]);
    finish_with(&site, "alice", &blob, NEW).fails(65, &["is no answer", "recovery-blob/1"]);
    for field in ["root", "stanza", "id", "public"] {
        let other = serde_json::from_slice::<Value>(&first).unwrap()["slot"][field].clone();
        let altered = with(&second, |answer| answer["slot"][field] = other);
        finish_with(&site, "alice", &altered, NEW).fails(65, &["answer", "altered"]);
    }
    assert!(site.unlocks("alice", OLD));
    let one_time = fs::read(site.private(".recovery/alice")).unwrap();
    finish_with(&site, "alice", &second, NEW).good();
    finish_with(&site, "alice", &second, b"thief")
        .fails(65, &["no recovery of alice is under way"]);
    // Not even by somebody who kept the one-time key.
    fs::write(site.private(".recovery/alice"), one_time).unwrap();
    finish_with(&site, "alice", &second, b"thief").fails(65, &["does not fit the keys of alice"]);
    assert!(site.unlocks("alice", NEW) && !site.unlocks("alice", b"thief"));
}

#[test]
fn an_answer_that_comes_too_late_is_refused() {
    let (officers, site) = alice();
    let answer = officers.answer(&export(&site, "alice"));
    let Care { keys, secrets, user, .. } = Care::of(&site);
    let document = Document { name: "answer".into(), bytes: answer.clone().into() };
    let read = Answer::read(&document).unwrap();
    let before = record(&site, "alice");
    let late = finish(&keys, &user, &read, NEW, &secrets, now() + GOOD_FOR + 60).unwrap_err();
    assert!(matches!(&late, RecoveryError::TooLate(_)), "{late}");
    assert!(late.to_string().contains("more than 48 hours ago"), "{late}");
    assert!(!site.private(".recovery/alice").exists(), "it is forgotten then");
    finish_with(&site, "alice", &answer, NEW).fails(65, &["no recovery of alice is under way"]);

    // By the program's own clock: what was exported two days and a minute ago.
    let aged = |user: &str, seconds: u64| {
        let path = site.private(&format!(".recovery/{user}"));
        let text = fs::read_to_string(&path).unwrap();
        let time = text.split(' ').nth(1).unwrap();
        fs::write(&path, text.replacen(time, &(now() - seconds).to_string(), 1)).unwrap();
    };
    let answer = officers.answer(&export(&site, "alice"));
    aged("alice", GOOD_FOR + 60);
    finish_with(&site, "alice", &answer, NEW).fails(65, &["more than 48 hours ago"]);
    assert_eq!(record(&site, "alice"), before);

    // The next export of anybody forgets those that are too old, and no others.
    site.enroll("bob", OLD).good();
    site.enroll("carol", OLD).good();
    export(&site, "alice");
    export(&site, "bob");
    aged("alice", GOOD_FOR + 60);
    aged("bob", GOOD_FOR - 60);
    export(&site, "carol");
    let kept = |user: &str| site.private(&format!(".recovery/{user}")).exists();
    assert_eq!([kept("alice"), kept("bob"), kept("carol")], [false, true, true]);
    // Nor does a one-time key outlive its account.
    site.run(["remove", "bob"]).good();
    assert!(!kept("bob"));
}

#[test]
fn another_users_keys_are_noticed_and_named() {
    let (officers, site) = alice();
    site.enroll("bob", OLD).good();
    let [alice, bob] = ["alice", "bob"].map(|user| export(&site, user));
    let shares = [2, 3, 5].map(|number| officers.share(number));

    // Bob's slot in a blob that says alice.
    let slot = serde_json::from_slice::<Value>(&bob).unwrap()["slot"].clone();
    let mixed = with(&alice, |blob| blob["slot"] = slot.clone());
    let words = ["says that it is about alice", "has the keys of bob"];
    officers.open_with(&shares, &mixed).fails(65, &words);
    // Only bob's sealed root key in alice's slot.
    for field in ["root", "stanza"] {
        let mixed = with(&alice, |blob| blob["slot"][field] = slot[field].clone());
        officers.open_with(&shares, &mixed).fails(65, &["the slot in standard input was altered"]);
    }
    // A blob that is bob's altogether is shown as bob's, whatever the officers were told.
    let ran = officers.open_with(&shares, &bob).good();
    assert!(ran.stderr.contains("these are the keys of bob,"), "{}", ran.stderr);
    finish_with(&site, "alice", &ran.stdout, NEW)
        .fails(65, &["not the answer to the last export of alice"]);
    // Bob's answer for alice's one-time key: what whoever exchanged blobs on the server would get.
    let one_time = serde_json::from_slice::<Value>(&alice).unwrap()["one_time"].clone();
    let answer = officers.answer(&with(&bob, |blob| blob["one_time"] = one_time));
    finish_with(&site, "alice", &answer, NEW)
        .fails(65, &["this answer has the keys of bob, not those of alice"]);

    // Bob's slot in alice's record: her next login says so, and what is exported of it is bob's.
    let good = fs::read(site.private("alice")).unwrap();
    let altered = with(&good, |record| {
        let slots = record["record"]["slots"].as_array_mut().unwrap();
        *slots.iter_mut().find(|slot| slot["kind"] == "escrow").unwrap() = slot;
    });
    fs::write(site.private("alice"), &altered).unwrap();
    site.identity("alice", OLD).fails(65, &["key record was altered"]);
    officers.open_with(&shares, &export(&site, "alice")).fails(65, &words);
    fs::write(site.private("alice"), &good).unwrap();
    for user in ["alice", "bob"] {
        assert!(site.unlocks(user, OLD));
    }
}

#[test]
fn keys_that_changed_meanwhile_take_another_export() {
    let (officers, site) = alice();
    let answer = officers.answer(&export(&site, "alice"));
    site.feed(["rotate", "alice", "--password-file", "-"], OLD).good();
    let state = fs::read(site.private("alice")).unwrap();
    let ran = finish_with(&site, "alice", &answer, NEW);
    let ran = ran.fails(65, &["does not fit the keys of alice", "changed since the export"]);
    assert!(ran.stderr.contains("nightsafe recovery export alice"), "{}", ran.stderr);
    assert_eq!(fs::read(site.private("alice")).unwrap(), state);
    // A new name is no change of the keys; the name sealed inside stays the old one.
    site.run(["rename", "alice", "anna"]).good();
    let blob = export(&site, "anna");
    let ran = officers.open_with(&[1, 2, 3].map(|number| officers.share(number)), &blob).good();
    assert!(ran.stderr.contains("these are the keys of alice,"), "{}", ran.stderr);
    assert!(ran.stderr.contains("is called anna now"), "{}", ran.stderr);
    finish_with(&site, "anna", &ran.stdout, NEW).good();
    assert!(site.unlocks("anna", NEW));
}

#[test]
fn escrow_is_off_unless_the_site_turns_it_on() {
    let site = Site::new();
    site.enroll("alice", OLD).good();
    assert!(told(&site, "alice", OLD).is_empty());
    assert_eq!(kinds(&site, "alice"), [SlotKind::Password]);
    let listed = |site: &Site| site.run(["slot", "list", "alice"]).good().text();
    assert!(!listed(&site).contains("recovery key"));
    assert!(site.run(["check"]).good().text().contains("recovery key: none: escrow is off"));
    let refused = site.run(["recovery", "export", "alice"]);
    let refused = refused.fails(65, &["alice has no slot for a recovery key"]);
    assert!(refused.stderr.contains("escrow is off"), "{}", refused.stderr);
    assert!(!site.private(".recovery").exists());
    site.run(["recovery", "export", "bob"]).fails(67, &["bob is not enrolled"]);

    // Turned on: whoever is there gets the slot with the next confirmed login, and is told.
    let officers = Officers::with_password();
    officers.give_public_half_to(&site);
    let key = officers.key();
    let checked = site.run(["check"]).good().text();
    assert!(checked.contains(&format!("escrow is on, with key {key}")), "{checked}");
    let refused = site.run(["recovery", "export", "alice"]);
    let refused = refused.fails(65, &["alice has no slot for a recovery key"]);
    assert!(refused.stderr.contains("has not logged in"), "{}", refused.stderr);
    let added = format!("the site's recovery key {key} can unlock your keys");
    assert_eq!(told(&site, "alice", OLD), std::slice::from_ref(&added));
    assert!(told(&site, "alice", OLD).is_empty());
    let list = listed(&site);
    assert!(
        list.lines().any(|line| line.contains("recovery key") && line.contains(&key)),
        "{list}"
    );

    // Another key: the one before loses its slot, and opens nothing that comes after.
    let others = Officers::with_shares();
    others.give_public_half_to(&site);
    let refused = site.run(["recovery", "export", "alice"]).good();
    assert!(refused.stderr.contains("that the site has no more"), "{}", refused.stderr);
    let before = record(&site, "alice").public().unwrap();
    let login = confirmed_login(&site, "alice", OLD);
    let events: Vec<_> = login.notices.iter().map(|notice| notice.event.to_string()).collect();
    assert_eq!(
        events,
        ["a recovery key was removed".to_owned(), added.replace(&key, &others.key())]
    );
    let after = login.record.public().unwrap();
    assert_eq!(after.generation, before.generation + 1);
    assert_eq!(login.unlocked.keys[0].public_key(), after.key, "the login has the new key, too");
    let list = listed(&site);
    assert!(list.contains(&others.key()) && !list.contains(&key), "{list}");

    // Off again.
    site.configure("", "");
    assert_eq!(told(&site, "alice", OLD), ["a recovery key was removed"]);
    assert_eq!(kinds(&site, "alice"), [SlotKind::Password]);
    assert!(told(&site, "alice", OLD).is_empty());
    assert!(site.unlocks("alice", OLD));
    site.run(["check"]).good();
}

/// A site whose logins never reach nightsafe has escrow, too: by hand.
#[test]
fn a_password_changed_by_hand_brings_escrow() {
    let site = Site::new();
    site.enroll("alice", OLD).good();
    let officers = Officers::with_password();
    officers.give_public_half_to(&site);
    site.passwd("alice", OLD, NEW).good();
    assert_eq!(kinds(&site, "alice"), [SlotKind::Password, SlotKind::Escrow]);
    let added = format!("the site's recovery key {} can unlock your keys", officers.key());
    assert_eq!(told(&site, "alice", NEW), [added]);

    let others = Officers::with_password();
    others.give_public_half_to(&site);
    let before = record(&site, "alice").public().unwrap();
    site.passwd("alice", NEW, OLD).good();
    let list = site.run(["slot", "list", "alice"]).good().text();
    assert!(list.contains(&others.key()) && !list.contains(&officers.key()), "{list}");
    assert_eq!(record(&site, "alice").public().unwrap().generation, before.generation + 1);
    assert!(site.unlocks("alice", OLD) && !site.unlocks("alice", NEW));
}

/// Somebody who never logged in is recovered as well, and is provisional no more.
#[test]
fn provisional_keys_end_with_a_recovery() {
    let officers = Officers::with_shares();
    let site = officers.site();
    site.run(["enroll", "alice", "--provisional"]).good();
    let before = site.seal("alice");
    let answer = officers.answer(&export(&site, "alice"));
    finish_with(&site, "alice", &answer, NEW).good();
    let mut kinds = kinds(&site, "alice");
    kinds.sort_by_key(|kind| *kind == SlotKind::Escrow);
    assert_eq!(kinds, [SlotKind::Password, SlotKind::Escrow]);
    assert_eq!(site.unseal("alice", NEW, &before).good().stdout, support::opened());
    assert!(told(&site, "alice", NEW).contains(&USED.to_owned()));
}

/// The officers are needed most when other secrets are gone.
#[test]
fn the_way_back_needs_no_pepper_of_before() {
    let (officers, site) = alice();
    let before = site.seal("alice");
    fs::remove_file(site.join("pepper")).unwrap();
    let answer = officers.answer(&export(&site, "alice"));
    let other = Site::new();
    fs::copy(other.join("pepper"), site.join("pepper")).unwrap();
    assert!(matches!(
        record(&site, "alice").unlock(OLD, &Care::of(&site).secrets).unwrap_err(),
        UnlockError::OtherPepper { .. }
    ));
    finish_with(&site, "alice", &answer, NEW).good();
    assert_eq!(site.unseal("alice", NEW, &before).good().stdout, support::opened());
}

/// Who could not be helped by the officers yet.
#[test]
fn check_counts_whom_the_recovery_key_reaches() {
    let (officers, site) = alice();
    let checked = || site.run(["check"]).good().text();
    assert!(checked().contains("key records: 1 user, 1 with a slot for the recovery key\n"));
    site.configure("", "");
    site.enroll("bob", OLD).good();
    assert!(checked().contains("key records: 2 users\n"), "{}", checked());
    officers.give_public_half_to(&site);
    assert!(checked().contains("2 users, 1 with a slot"), "{}", checked());
    confirmed_login(&site, "bob", OLD);
    assert!(checked().contains("2 users, 2 with a slot"), "{}", checked());
    // Another key: nobody has a slot for that one.
    Officers::with_password().give_public_half_to(&site);
    assert!(checked().contains("2 users, 0 with a slot"), "{}", checked());
}

/// The private half on the server is what escrow must never come to.
#[test]
fn check_names_a_private_half_on_the_server() {
    let (officers, site) = alice();
    site.run(["check"]).good();
    fs::copy(officers.share(2), site.join("share-2")).unwrap();
    let checked = site.run(["check"]);
    assert_eq!(checked.status, Some(78));
    let share = site.join("share-2").display().to_string();
    let line = format!("ERROR  recovery key: {share} is a private half of the recovery key");
    assert!(checked.text().contains(&line), "{}", checked.text());
    // Nor is it taken for the public one.
    fs::rename(site.join("share-2"), site.join("recovery.pub")).unwrap();
    site.enroll("bob", OLD).fails(78, &["recovery.pub is no public recovery key"]);
}

/// What the officers type and what the server keeps for a while shows nowhere else.
#[test]
fn no_secret_shows() {
    let (officers, site) = alice();
    let exported = site.run(["recovery", "export", "alice"]).good();
    let kept = fs::read_to_string(site.private(".recovery/alice")).unwrap();
    let one_time = kept.split_whitespace().last().unwrap().to_owned();
    assert!(one_time.starts_with("AGE-SECRET-KEY-1"));
    let shares = [1, 2, 3].map(|number| officers.share(number));
    let answered = officers.open_with(&shares, &exported.stdout).good();
    let done = finish_with(&site, "alice", &answered.stdout, NEW).good();
    let mut secrets = vec![one_time, String::from_utf8(NEW.to_vec()).unwrap()];
    for share in &shares {
        let value: Value = serde_json::from_slice(&fs::read(share).unwrap()).unwrap();
        secrets.push(value["share"].as_str().unwrap().to_owned());
    }
    let outputs = [exported, answered, done].map(|ran| ran.text() + &ran.stderr);
    let files = support::files_below(&site.path()).into_iter();
    let files = files.map(|(_, content)| String::from_utf8_lossy(&content).into_owned());
    for text in outputs.into_iter().chain(files) {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret} is in {text}");
        }
    }
    export(&site, "alice");
    let care = Care::of(&site);
    let under_way = care.keys.recovery_under_way(&care.user).unwrap().unwrap();
    assert!(!format!("{under_way:?}{under_way:#?}").contains("SECRET"));
}

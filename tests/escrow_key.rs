//! The recovery key as the officers have it: under a master password, or in shares of which fewer than
//! the threshold open nothing.

mod officers;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use encodify::base64::STANDARD;
use nightsafe::age::SecretKey;
use nightsafe::keys::escrow::{Answer, Document};
use nightsafe::secret::Secret;
use officers::{MASTER, Officers, export};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use support::care::Care;
use support::{Ran, Site, files_below, finish, mode, program};

/// Alice's blob at a site with the officers' public half.
fn site_and_blob(officers: &Officers) -> (Site, Vec<u8>) {
    let site = officers.site();
    site.enroll("alice", b"pw").good();
    let blob = export(&site, "alice");
    (site, blob)
}

/// Fails unless the answer has alice's root key, by the server's one-time key.
#[track_caller]
fn has_the_root_key(site: &Site, answer: &[u8]) {
    let document = Document { name: "answer".into(), bytes: answer.to_vec().into() };
    let care = Care::of(site);
    let one_time = care.keys.recovery_under_way(&care.user).unwrap().unwrap();
    let (user, root) = Answer::read(&document).unwrap().open(&one_time.key).unwrap();
    assert_eq!(user, care.user);
    assert!(care.record().is_under(&root));
}

#[test]
fn every_three_of_five_officers_open_and_no_two() {
    let officers = Officers::with_shares();
    let (site, blob) = site_and_blob(&officers);
    for subset in 1..1_u8 << 5 {
        let chosen = (1..=5).filter(|number| subset >> (number - 1) & 1 == 1);
        let shares: Vec<_> = chosen.map(|number| officers.share(number)).collect();
        let ran = officers.open_with(&shares, &blob);
        match shares.len() {
            1 => drop(ran.fails(65, &["1 share opens nothing: it takes 3"])),
            2 => drop(ran.fails(65, &["2 shares open nothing: it takes 3"])),
            _ => has_the_root_key(&site, &ran.good().stdout),
        }
    }
    officers.feed(&["open", "--yes", "-"], &blob).fails(64, &["--share"]);
}

#[test]
fn a_wrong_share_is_named() {
    let officers = Officers::with_shares();
    let (_, blob) = site_and_blob(&officers);
    let [one, two, three, four] = [1, 2, 3, 4].map(|number| officers.share(number));
    let open = |shares: &[&String]| {
        let shares: Vec<_> = shares.iter().map(ToString::to_string).collect();
        officers.open_with(&shares, &blob)
    };
    open(&[&one, &two, &one]).fails(65, &[&one, "is the same share as"]);
    // Doubled beside enough others it is a slip all the same.
    open(&[&one, &two, &three, &two]).fails(65, &[&two, "is the same share as"]);
    let copy = officers.file("copy", &fs::read(&two).unwrap());
    open(&[&one, &two, &copy]).fails(65, &[&copy, "is the same share as", &two]);

    // Another splitting of another key, with the same numbers.
    let others = Officers::with_shares();
    open(&[&one, &two, &others.share(3)]).fails(65, &[&others.share(3), "not of the same set"]);

    let text = fs::read_to_string(&four).unwrap();
    let changed = |good: &str, bad: &str| {
        assert!(text.contains(good), "{good} is not in {text}");
        officers.file("changed", text.replacen(good, bad, 1).as_bytes())
    };
    let value = text.lines().find_map(|line| line.trim().strip_prefix("\"share\": \"")).unwrap();
    let flipped = if value.starts_with('A') { "\"share\": \"B" } else { "\"share\": \"A" };
    let first = format!("\"share\": \"{}", &value[..1]);
    for (good, bad) in [
        (first.as_str(), flipped),
        ("\"number\": 4", "\"number\": 5"),
        ("\"threshold\": 3", "\"threshold\": 2"),
        ("\"digest\": \"", "\"digest\": \"0"),
    ] {
        let file = changed(good, bad);
        // Wherever it stands.
        open(&[&one, &two, &file]).fails(65, &[&file, "was altered"]);
        open(&[&file, &one, &two]).fails(65, &[&file, "was altered"]);
    }
    let file = changed("share/1", "share/2");
    open(&[&one, &two, &file]).fails(65, &[&file, "nightsafe-recovery-share/2"]);
    let blob_file = officers.file("blob", &blob);
    open(&[&one, &two, &blob_file]).fails(65, &[&blob_file, "nightsafe-recovery-blob/1"]);
    let empty = officers.file("empty", b"");
    open(&[&one, &two, &empty]).fails(65, &[&empty, "is no share of a recovery key"]);
    open(&[&one, &two, &officers.path("none")]).fails(66, &["none", "No such file"]);
    open(&[&one, &two, &"/dev/zero".to_owned()]).fails(66, &["/dev/zero is too long"]);
}

/// A product in GF(2⁸) with x⁸ + x⁴ + x³ + x² + 1.
fn times(a: u8, b: u8) -> u8 {
    (0..8).rev().fold(0, |product: u8, bit| {
        let doubled = (product << 1) ^ if product & 0x80 == 0 { 0 } else { 0x1d };
        if b >> bit & 1 == 1 { doubled ^ a } else { doubled }
    })
}

/// Shares make the key by the manual alone: by Lagrange's formula at 0, and without the crate that split it.
#[test]
fn shares_are_as_the_manual_says() {
    let officers = Officers::with_shares();
    let points = [5, 2, 4].map(|number| {
        let share: Value =
            serde_json::from_slice(&fs::read(officers.share(number)).unwrap()).unwrap();
        let names = ["format", "set", "number", "of", "threshold", "public", "share"];
        let text: String = names
            .iter()
            .map(|name| share[name].as_str().map_or(share[name].to_string(), str::to_owned) + "\n")
            .collect();
        let digest: String =
            Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(share["digest"], digest);
        let number = u8::try_from(share["number"].as_u64().unwrap()).unwrap();
        (number, STANDARD.decode(share["share"].as_str().unwrap()).unwrap())
    });
    let inverse = |a: u8| (1..=255).find(|b| times(a, *b) == 1).unwrap();
    let scalar: Vec<u8> = (0..32)
        .map(|octet| {
            points.iter().fold(0, |sum, (own, values)| {
                let others = points.iter().map(|(other, _)| *other).filter(|other| other != own);
                let weight =
                    others.fold(1, |all, other| times(all, times(other, inverse(other ^ own))));
                sum ^ times(weight, values[octet])
            })
        })
        .collect();
    let key = SecretKey::from_scalar_bytes(Secret::copy_of(&scalar).unwrap());
    assert_eq!(key.public_key().to_string(), officers.key());
}

/// Shares that were locked up come straight out of another program.
#[test]
fn shares_may_come_through_pipes() {
    let officers = Officers::with_shares();
    let (site, blob) = site_and_blob(&officers);
    let blob = officers.file("blob", &blob);
    let shares: String =
        [2, 4, 5].iter().map(|n| format!(" --share <(cat {})", officers.share(*n))).collect();
    let line = format!("{} recovery open --yes {shares} {blob}", program().display());
    let ran = finish(Command::new("bash").args(["-c", &line]), b"");
    has_the_root_key(&site, &ran.good().stdout);
}

#[test]
fn only_the_master_password_opens() {
    let officers = Officers::with_password();
    let (site, blob) = site_and_blob(&officers);
    let (key, blob_file) = (officers.path("stick/recovery.key"), officers.file("blob", &blob));
    let open = |password: &[u8]| {
        let words = ["open", "--key", &key, "--password-file", "-", "--yes", &blob_file];
        officers.feed(&words, password)
    };
    let ran = open(MASTER).good();
    has_the_root_key(&site, &ran.stdout);
    for word in ["these are the keys of alice", "for one-time key age1", "exported 20"] {
        assert!(ran.stderr.contains(word), "{}", ran.stderr);
    }
    for wrong in [&b""[..], b"wrong", b"Zwetschgenkuchen-4712", b"pw"] {
        open(wrong).fails(77, &["cannot unlock", &key, "wrong master password"]);
    }
    // Somebody else's recovery key opens nothing here.
    let others = Officers::with_password();
    let words = ["open", "--key", &others.path("stick/recovery.key"), "--password-file", "-"];
    let ran = officers.feed(&[&words[..], &["--yes", &blob_file]].concat(), MASTER);
    ran.fails(65, &["needs recovery key", &officers.key(), &others.key()]);
    let both = ["open", "--key", &key, "--password-file", "-", "--yes", "-"];
    officers.feed(&both, MASTER).fails(64, &["standard input cannot be both"]);
}

#[test]
fn the_master_password_can_be_changed() {
    let officers = Officers::with_password();
    let (site, blob) = site_and_blob(&officers);
    let (key, blob_file) = (officers.path("stick/recovery.key"), officers.file("blob", &blob));
    let new: &[u8] = b"Reineclauden-Kompott";
    let change = |old: &[u8], new: &[u8]| {
        let new = officers.file("new", new);
        officers.feed(&["passwd", &key, "--password-file", "-", "--new-password-file", &new], old)
    };
    let opens = |password: &[u8]| {
        let words = ["open", "--key", &key, "--password-file", "-", "--yes", &blob_file];
        officers.feed(&words, password)
    };
    // Whatever is wrong changes nothing.
    let before = files_below(officers.path("stick").as_ref());
    change(b"wrong", new).fails(77, &["cannot unlock", &key, "wrong master password"]);
    change(MASTER, b"short").fails(66, &["master password", "12 octets"]);
    let both = ["passwd", &key, "--password-file", "-", "--new-password-file", "-"];
    officers.feed(&both, MASTER).fails(64, &["standard input cannot be both"]);
    let public = officers.public_path().display().to_string();
    for (path, status) in [(public, 65), (officers.path("none"), 66), (officers.path("stick"), 74)]
    {
        let new = officers.file("new", new);
        let words = ["passwd", &path, "--password-file", "-", "--new-password-file", &new];
        officers.feed(&words, MASTER).fails(status, &[&path]);
    }
    assert_eq!(files_below(officers.path("stick").as_ref()), before);

    let copy = officers.file("copy", &fs::read(&key).unwrap());
    let ran = change(MASTER, new).good();
    assert!(ran.text().contains(&officers.key()), "{}", ran.text());
    assert!(ran.stderr.contains("copies"), "{}", ran.stderr);
    opens(MASTER).fails(77, &["wrong master password"]);
    has_the_root_key(&site, &opens(new).good().stdout);
    assert_eq!(mode(key.as_ref()), 0o600);
    // A copy is as it was, which is what the hint is for.
    let words = ["open", "--key", &copy, "--password-file", "-", "--yes", &blob_file];
    officers.feed(&words, MASTER).good();
    // Nothing else is left beside it.
    assert_eq!(files_below(officers.path("stick").as_ref()).len(), before.len());
}

#[test]
fn what_init_makes() {
    let officers = Officers::new();
    let (folder, password) = (officers.path("a/b"), officers.file("master", MASTER));
    let ran = officers.run(&["init", &folder, "--password-file", &password]).good();
    assert_eq!(
        ran.text().trim(),
        fs::read_to_string(officers.path("a/b/recovery.pub")).unwrap().lines().last().unwrap()
    );
    assert!(ran.stderr.contains("[keys] recovery_key"), "{}", ran.stderr);
    let modes = |folder: &str| {
        let files = files_below(folder.as_ref())
            .into_iter()
            .map(|(path, _)| (path.file_name().unwrap().to_str().unwrap().to_owned(), mode(&path)));
        files.collect::<Vec<_>>()
    };
    let named = |name: &str, mode| (name.to_owned(), mode);
    assert_eq!(modes(&folder), [named("recovery.key", 0o600), named("recovery.pub", 0o644)]);
    assert_eq!(mode(folder.as_ref()), 0o700);
    // Nothing is overwritten, by either kind.
    let before = files_below(folder.as_ref());
    let again = officers.run(&["init", &folder, "--password-file", &password]);
    again.fails(73, &["cannot create", "recovery.key"]);
    let split = ["init", &folder, "--shares", "3", "--threshold", "2"];
    officers.run(&split).fails(73, &["cannot create", "recovery.pub"]);
    assert_eq!(files_below(folder.as_ref()), before);

    // No single file with shares opens everything.
    let folder = officers.path("shares");
    officers.run(&["init", &folder, "--shares", "3", "--threshold", "2"]).good();
    let wanted = ["recovery.pub", "share-1", "share-2", "share-3"];
    let wanted = wanted.map(|name| named(name, if name == "recovery.pub" { 0o644 } else { 0o600 }));
    assert_eq!(modes(&folder), wanted);

    let folder = officers.path("none");
    let init =
        |arguments: &[&str]| officers.feed(&[&["init", &folder], arguments].concat(), b"short");
    init(&["--password-file", "-"]).fails(66, &["master password", "12 octets"]);
    for (shares, threshold) in [("1", "1"), ("5", "1"), ("2", "3"), ("5", "0"), ("0", "0")] {
        init(&["--shares", shares, "--threshold", threshold]).fails(64, &["threshold"]);
    }
    for wrong in [
        &["--shares", "256", "--threshold", "3"][..],
        &["--shares", "5"],
        &["--threshold", "3"],
        &["--shares", "5", "--threshold", "3", "--password-file", "-"],
    ] {
        init(wrong).fails(64, &["--"]);
    }
    assert!(!fs::exists(&folder).unwrap());
}

/// A folder that takes no more: no public half is left that nobody could open anything for.
#[test]
fn no_public_half_without_the_private_one() {
    let officers = Officers::new();
    let folder = officers.path("stick");
    fs::create_dir(&folder).unwrap();
    // In the way of the last share.
    fs::create_dir(officers.path("stick/share-3")).unwrap();
    let ran = officers.run(&["init", &folder, "--shares", "3", "--threshold", "2"]);
    ran.fails(73, &["share-3"]);
    assert!(files_below(folder.as_ref()).is_empty());
    assert!(!officers.public_path().exists());
}

/// On a terminal somebody has to type whose keys he hands out.
#[test]
fn the_terminal_asks_for_the_name() {
    let officers = Officers::with_shares();
    let (site, blob) = site_and_blob(&officers);
    let (blob, answer) = (officers.file("blob", &blob), officers.path("answer"));
    let shares: String = (1..=3).map(|n| format!(" --share {}", officers.share(n))).collect();
    let line = format!("{} recovery open{shares} {blob} > {answer}", program().display());
    let script = officers.file("script", line.as_bytes());
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let typed = |text: &[u8]| {
        let mut command = Command::new("script");
        finish(command.args(["-qec", &format!("sh {script}"), "/dev/null"]), text)
    };
    for wrong in ["bob\n", "yes\n", "\n"] {
        let ran = typed(wrong.as_bytes());
        assert_eq!(ran.status, Some(66), "{}", ran.text());
        assert!(ran.text().contains("not confirmed"), "{}", ran.text());
        assert!(fs::read(&answer).unwrap().is_empty());
    }
    let ran = typed(b"alice\n");
    assert_eq!(ran.status, Some(0), "{}", ran.text());
    assert!(ran.text().contains("these are the keys of alice"), "{}", ran.text());
    has_the_root_key(&site, &fs::read(&answer).unwrap());

    // Without a terminal nobody can be asked.
    let mut alone = Command::new("setsid");
    alone.arg("--wait").arg("sh").arg(&script);
    let Ran { status, stderr, .. } = finish(&mut alone, b"alice\n");
    assert_eq!(status, Some(66), "{stderr}");
    assert!(stderr.contains("no terminal") && stderr.contains("--yes"), "{stderr}");
}

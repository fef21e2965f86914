//! Secrets show nowhere: not in Debug output, not in files, and in no output but that of `identity`.

mod support;

use std::fs;
use std::sync::Arc;

use encodify::base64::STANDARD;
use nightsafe::age::SecretKey;
use nightsafe::keys::SlotState;
use nightsafe::keys::change::Change;
use nightsafe::keys::code::{Code, CodeKind};
use nightsafe::keys::pepper::Pepper;
use nightsafe::keys::site_secrets::SiteSecrets;
use nightsafe::seal::SealingKey;
use nightsafe::secret::{Secret, SecretBytes};
use nightsafe::user::User;
use support::{Ran, Site, files_below, opened};

const PASSWORD: &str = "Zwetschgenkuchen-4711";
const NEW_PASSWORD: &str = "Pflaumenmus+0815";

/// A secret in every form it could be written in.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = STANDARD.encode(secret);
    let list = format!("{secret:?}");
    vec![
        secret.to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        // Without what depends on the octets around it.
        base64.trim_end_matches('=').as_bytes()[..base64.len() - 4].to_vec(),
        list.trim_matches(['[', ']']).as_bytes().to_vec(),
    ]
}

#[track_caller]
fn has_none(what: &str, content: &[u8], secrets: &[Vec<u8>]) {
    for secret in secrets {
        let found = memchr::memmem::find(content, secret).is_some();
        assert!(!found, "{what} has {:?}", String::from_utf8_lossy(secret));
    }
}

#[test]
fn debug_output_shows_none() {
    let (alice, pepper) = (User::parse("alice").unwrap(), Arc::new(Pepper::generate()));
    let mut change = Change::enrolment(&alice, 1);
    change.add_password(PASSWORD.as_bytes(), &pepper, SlotState::Active, 1).unwrap();
    let (record, root) = change.finish().unwrap();
    let provisional = Some(Arc::new(SecretKey::generate()));
    let site = SiteSecrets { pepper, provisional, recovery: None };
    let pepper = &site.pepper;
    let unlocked = record.unlock(PASSWORD.as_bytes(), &site).unwrap();
    let folder = tempfile::tempdir().unwrap();
    pepper.store_new(&folder.path().join("pepper")).unwrap();
    let pepper_file = fs::read_to_string(folder.path().join("pepper")).unwrap();
    let pepper_bytes = STANDARD.decode(pepper_file.split(' ').nth(2).unwrap().trim()).unwrap();
    let sealing = SealingKey::generate("0123456789abcdef");
    let path = folder.path().join("sealing.key");
    sealing.store_new(&path).unwrap();
    let sealing_file = fs::read_to_string(&path).unwrap();
    let mut secrets = vec![unlocked.keys[0].to_bech32().expose().to_vec()];
    secrets.extend(forms(unlocked.keys[0].expose()));
    secrets.extend(forms(&pepper_bytes));
    for line in sealing_file.lines().skip(2) {
        secrets.extend(forms(&STANDARD.decode(line.split_once(' ').unwrap().1).unwrap()));
    }
    secrets.extend(forms(PASSWORD.as_bytes()));
    secrets.extend(forms(site.provisional.as_ref().unwrap().expose()));
    assert_eq!(secrets.len(), 1 + 5 * 6);
    let bytes = SecretBytes::from(PASSWORD.as_bytes().to_vec());
    let fixed = Secret::<21>::copy_of(PASSWORD.as_bytes()).unwrap();
    let wrong = record.unlock(b"wrong", &site).unwrap_err();
    let change = Change::of(&record, &root).unwrap();
    let codes = [CodeKind::App, CodeKind::Recovery].map(Code::generate);
    let key: &SecretKey = &unlocked.keys[0];
    let shown = format!(
        "{key:?} {pepper:?} {sealing:?} {record:?} {unlocked:?} {bytes:?} {fixed:?} {wrong:?} \
         {root:?} {root:#?} {change:?} {change:#?} {site:?} {site:#?} {codes:?} \
         {key:#?} {pepper:#?} {sealing:#?} {record:#?} {unlocked:#?} {bytes:#?} {fixed:#?}"
    );
    has_none("Debug output", shown.as_bytes(), &secrets);
    // A code's secret is what it prints, without prefix and checksum.
    for code in codes {
        let text = code.to_text();
        let text = std::str::from_utf8(text.expose()).unwrap();
        has_none("Debug output", shown.as_bytes(), &[text.split('-').nth(1).unwrap().into()]);
    }
}

/// The private scalar of an identity line, without the library's own reading of it.
fn scalar(identity: &str) -> Vec<u8> {
    let line = identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
    SecretKey::parse(line).unwrap().expose().to_vec()
}

#[test]
fn files_and_outputs_have_none() {
    let site = Site::new();
    let password = site.file("password", PASSWORD.as_bytes());
    let new = site.file("new", NEW_PASSWORD.as_bytes());
    let wrong = site.file("wrong", b"wrong");
    let mut said = vec![site.run(["enroll", "alice", "--password-file", &password]).good()];
    let sealed = site.seal("alice");
    let message = site.join("sealed.eml");
    fs::write(&message, &sealed).unwrap();
    let message = message.to_str().unwrap();
    let identity = site.run(["identity", "alice", "--password-file", &password]).good().text();
    let mut secrets = forms(PASSWORD.as_bytes());
    secrets.extend(forms(NEW_PASSWORD.as_bytes()));
    secrets.extend(forms(&scalar(&identity)));
    secrets.push(b"AGE-SECRET-KEY-1".to_vec());
    secrets.push(b"age-secret-key-1".to_vec());
    // That they would be found.
    let found =
        secrets.iter().filter(|secret| memchr::memmem::find(identity.as_bytes(), secret).is_some());
    assert_eq!(found.count(), 1);

    let run = |arguments: &[&str]| site.run(arguments);
    said.extend([
        run(&["passwd", "alice", "--password-file", &password, "--new-password-file", &new]).good(),
        run(&["passwd", "alice", "--password-file", &wrong, "--new-password-file", &new]),
        run(&["enroll", "alice", "--password-file", &password]),
        run(&["identity", "alice", "--password-file", &password]),
        run(&["unseal", "--password-file", &password, message]),
        run(&["inspect", message]),
        run(&["list"]),
        run(&["check"]),
        run(&["setup"]),
        run(&["enroll", "--password", PASSWORD, "bob"]),
    ]);
    let last = said.pop().unwrap();
    assert_eq!(last.status, Some(64), "there is no option for a password");
    let original = run(&["unseal", "--password-file", &new, message]).good();
    assert_eq!(original.stdout, opened());
    said.push(original);
    said.push(run(&["rename", "alice", "anna"]).good());
    said.push(run(&["remove", "anna"]).good());
    for Ran { stdout, stderr, .. } in &said {
        has_none(&format!("output {stderr:?}"), stdout, &secrets);
        has_none("an error", stderr.as_bytes(), &secrets);
    }
    let files = files_below(&site.path());
    assert!(files.iter().any(|(path, _)| path.ends_with("private/anna")), "{files:?}");
    for (path, content) in files {
        // That file is the one of the site's own key, in this form.
        let marker = path.ends_with("provisional.key").then_some(&b"AGE-SECRET-KEY-1"[..]);
        let secrets: Vec<_> =
            secrets.iter().filter(|secret| Some(secret.as_slice()) != marker).cloned().collect();
        has_none(&path.display().to_string(), &content, &secrets);
    }
}

/// A printed code is printed once and written nowhere: not by what makes it, not by what takes it.
#[test]
fn printed_codes_are_printed_once() {
    let site = Site::new();
    let password = site.file("password", b"pw");
    let with_password = |arguments: &[&str]| {
        site.run(arguments.iter().chain(&["--password-file", &password])).good()
    };
    let enrolled = with_password(&["enroll", "alice", "--recovery-code"]);
    let phone = with_password(&["slot", "add", "alice", "--app", "phone"]);
    let last = |ran: &Ran| ran.text().lines().last().unwrap().to_owned();
    let (code, app) = (last(&enrolled), last(&phone));
    let typed = site.file("code", code.as_bytes());
    let as_app = site.file("app", app.as_bytes());
    let message = site.file("sealed", &site.seal("alice"));
    let arguments = ["recovery", "use", "alice", "--code-file", &typed];
    let more = ["--new-password-file", &password, "--recovery-code"];
    let used = site.run(arguments.iter().chain(&more)).good();
    let next = last(&used);
    let others = [
        with_password(&["slot", "remove", "alice", "phone"]),
        site.run(["slot", "list", "alice"]),
        site.run(["list"]),
        site.run(["check"]),
        site.run(["unseal", "--password-file", &as_app, &message]),
        site.run(arguments.iter().chain(&["--new-password-file", &password])),
    ];
    for printed in [&code, &app, &next] {
        let bare = printed.split_once('-').unwrap().1.replace('-', "");
        let found = |text: &str| text.replace(['-', ' '], "").to_lowercase().contains(&bare[..12]);
        let once = [&enrolled, &phone, &used].iter().filter(|ran| found(&ran.text())).count();
        assert!(bare.len() >= 32 && once == 1, "{printed}");
        for ran in others.iter().chain([&enrolled, &phone, &used]) {
            let own = ran.text().ends_with(&format!("{printed}\n"));
            assert!((own || !found(&ran.text())) && !found(&ran.stderr), "{ran:?}");
        }
        for (path, content) in files_below(&site.path()) {
            assert!(!found(&String::from_utf8_lossy(&content)), "{}", path.display());
        }
    }
}

/// The site's own secrets are in their files and nowhere else.
#[test]
fn the_sites_secrets_stay_where_they_are() {
    let site = Site::new();
    let setup = site.run(["setup"]).good();
    site.enroll("alice", b"pw").good();
    let outputs =
        [setup, site.run(["check"]), site.run(["list"]), site.deliver(&["--recipient", "alice"])];
    for name in ["pepper", "provisional.key", "sealing.key"] {
        let text = fs::read_to_string(site.join(name)).unwrap();
        let words = text.split_whitespace().filter_map(|word| {
            let key = SecretKey::parse(word).map(|key| key.expose().to_vec());
            key.ok().or_else(|| STANDARD.decode(word).ok())
        });
        let mut secrets: Vec<_> =
            words.filter(|word| word.len() == 32).flat_map(|word| forms(&word)).collect();
        secrets.extend(text.lines().filter(|line| line.starts_with("AGE-")).map(Into::into));
        assert!(!secrets.is_empty());
        for ran in &outputs {
            has_none(&ran.stderr, &ran.stdout, &secrets);
        }
        for (path, content) in files_below(&site.path()) {
            if !path.ends_with(name) {
                has_none(&path.display().to_string(), &content, &secrets);
            }
        }
    }
}

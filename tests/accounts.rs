//! Accounts: removed, renamed, and found by the rules of `[users]`, through delivery and login.

mod support;

use std::fs;

use support::{Site, files_below, opened};

const PASSWORD: &[u8] = b"pw";

#[test]
fn list_shows_everybody() {
    let site = Site::new();
    assert_eq!(site.run(["list"]).good().text(), "");
    for user in ["carol", "alice", "bob@example.org", "jürgen"] {
        site.enroll(user, PASSWORD).good();
    }
    let listed = site.run(["list"]).good().text();
    let names: Vec<_> = listed.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(names, ["alice", "bob@example.org", "carol", "jürgen"]);
    for line in listed.lines() {
        assert!(line.contains("  generation 1, password set 20"), "{line}");
    }
    site.run(["check"]).good();
}

#[test]
fn removed_keys_are_kept_and_never_given_again() {
    let site = Site::new();
    let first = site.enroll("alice", PASSWORD).good().text();
    let sealed = site.seal("alice");
    let halves =
        [fs::read(site.public("alice")).unwrap(), fs::read(site.private("alice")).unwrap()];
    let said = site.run(["remove", "alice"]).good().text();
    assert!(!site.private("alice").exists() && !site.public("alice").exists());
    assert_eq!(site.deliver(&["--recipient", "alice"]).status, Some(75));
    site.identity("alice", PASSWORD).fails(67, &["user alice is not enrolled"]);
    site.run(["remove", "alice"]).fails(67, &["user alice is not enrolled"]);
    assert_eq!(site.run(["list"]).good().text(), "");

    let kept = files_below(&site.join("keys/private/.archive"));
    let contents: Vec<_> = kept.iter().map(|(_, content)| content.clone()).collect();
    assert!(contents.len() == 2 && halves.iter().all(|half| contents.contains(half)));
    let folder = kept[0].0.parent().unwrap().parent().unwrap().display().to_string();
    assert!(said.contains(&folder), "{said}");

    // The next of that name, even with the same password.
    let second = site.enroll("alice", PASSWORD).good().text();
    assert_ne!(first, second);
    let foreign = site.unseal("alice", PASSWORD, &sealed);
    assert_ne!(foreign.status, Some(0));
    assert_eq!(foreign.text(), "", "mail of the one before was opened");
    assert_eq!(site.unseal("alice", PASSWORD, &site.seal("alice")).good().stdout, opened());

    // The archived record, put back where nobody has the name, opens what it did.
    site.run(["remove", "alice"]).good();
    for (path, content) in &kept {
        let half = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        fs::write(site.join(&format!("keys/{half}/alice")), content).unwrap();
    }
    assert_eq!(site.unseal("alice", PASSWORD, &sealed).good().stdout, opened());
    assert_eq!(files_below(&site.join("keys/private/.archive")).len(), 4, "both are kept");
}

#[test]
fn a_renamed_user_keeps_all_mail() {
    let site = Site::new();
    let key = site.enroll("alice", PASSWORD).good().text();
    site.enroll("bob", b"his").good();
    let old = site.seal("alice");
    site.run(["rename", "alice", "alice"]).fails(64, &["are the same user"]);
    site.run(["rename", "alice", "Alice"]).fails(64, &["are the same user"]);
    site.run(["rename", "alice", "bob"]).fails(73, &["user bob has keys already"]);
    site.run(["rename", "nobody", "carol"]).fails(67, &["user nobody is not enrolled"]);
    assert!(site.unlocks("alice", PASSWORD) && site.unlocks("bob", b"his"));

    site.run(["rename", "alice", "anna"]).good();
    assert!(!site.private("alice").exists() && !site.public("alice").exists());
    assert_eq!(site.deliver(&["--recipient", "alice"]).status, Some(75));
    site.identity("alice", PASSWORD).fails(67, &["user alice is not enrolled"]);
    assert!(site.identity("anna", PASSWORD).good().text().contains(&key));
    for sealed in [&old, &site.seal("anna")] {
        assert_eq!(site.unseal("anna", PASSWORD, sealed).good().stdout, opened());
    }
    site.run(["check"]).good();

    // And on: another password, another name, the first name again.
    site.passwd("anna", PASSWORD, b"new").good();
    site.run(["rename", "anna", "annette"]).good();
    assert_eq!(site.unseal("annette", b"new", &old).good().stdout, opened());
    site.run(["rename", "annette", "alice"]).good();
    assert_eq!(site.unseal("alice", b"new", &old).good().stdout, opened());
    site.run(["check"]).good();
}

#[test]
fn somebody_new_of_an_old_name_reads_nothing_of_it() {
    let site = Site::new();
    site.enroll("alice", PASSWORD).good();
    let old = site.seal("alice");
    site.run(["rename", "alice", "anna"]).good();
    site.enroll("alice", PASSWORD).good();
    let ran = site.unseal("alice", PASSWORD, &old);
    assert_eq!((ran.status, ran.text()), (Some(77), String::new()), "{}", ran.stderr);
    assert_eq!(site.unseal("anna", PASSWORD, &old).good().stdout, opened());
    // Mail for the new one is not the old one's either.
    let new = site.seal("alice");
    assert_ne!(site.unseal("anna", PASSWORD, &new).status, Some(0));
    assert_eq!(site.unseal("alice", PASSWORD, &new).good().stdout, opened());
}

/// An interrupted rename: the new record is there, the old name still stands.
#[test]
fn a_rename_can_be_repeated() {
    let site = Site::new();
    site.enroll("alice", PASSWORD).good();
    let (record, public) =
        (fs::read(site.private("alice")).unwrap(), fs::read(site.public("alice")).unwrap());
    let old = site.seal("alice");
    site.run(["rename", "alice", "anna"]).good();
    fs::write(site.private("alice"), record).unwrap();
    fs::write(site.public("alice"), public).unwrap();
    fs::remove_file(site.public("anna")).unwrap();
    site.run(["rename", "alice", "anna"]).good();
    assert!(!site.private("alice").exists() && !site.public("alice").exists());
    assert_eq!(site.unseal("anna", PASSWORD, &old).good().stdout, opened());
    site.run(["check"]).good();
}

/// Which user mail to an address is sealed for; `None` where nobody is found.
fn sealed_for(site: &Site, address: &str) -> Option<String> {
    let ran = site.deliver(&["--recipient", address]);
    if ran.status != Some(0) {
        assert_eq!((ran.status, ran.text()), (Some(75), String::new()), "{}", ran.stderr);
        return None;
    }
    let user = site.feed(["inspect"], &ran.stdout).good().text();
    let user = user.lines().find_map(|line| line.strip_prefix("sealed for "));
    let user = user.unwrap().trim().to_owned();
    assert_eq!(site.unseal(&user, PASSWORD, &ran.stdout).good().stdout, opened());
    Some(user)
}

#[track_caller]
fn goes_to(site: &Site, addresses: &[(&str, Option<&str>)]) {
    for (address, user) in addresses {
        assert_eq!(sealed_for(site, address).as_deref(), *user, "{address}");
    }
}

#[test]
fn domains_kept() {
    let site = Site::new();
    site.enroll("Alice@Example.org", PASSWORD).good();
    site.enroll("alice", PASSWORD).good();
    site.enroll("bob+lists@example.org", PASSWORD).good();
    site.enroll("bob@example.org", PASSWORD).good();
    goes_to(
        &site,
        &[
            ("ALICE@EXAMPLE.ORG", Some("alice@example.org")),
            ("alice+x+y@example.org", Some("alice@example.org")),
            ("alice@example.net", None),
            ("alice", Some("alice")),
            ("alice+x", Some("alice")),
            ("bob+lists@example.org", Some("bob+lists@example.org")),
            ("bob+other@example.org", Some("bob@example.org")),
            ("alice-x@example.org", None),
            ("+alice@example.org", None),
        ],
    );
    // A login never loses a detail: it would be somebody else's.
    site.identity("alice+x", PASSWORD).fails(67, &["user alice+x is not enrolled"]);
}

#[test]
fn domains_dropped_and_other_delimiters() {
    let site = Site::with("", "[users]\ndomains = \"drop\"\nrecipient_delimiter = \"-_\"");
    site.enroll("alice@example.org", PASSWORD).good();
    assert!(site.private("alice").exists());
    goes_to(
        &site,
        &[
            ("alice@example.net", Some("alice")),
            ("Alice", Some("alice")),
            ("alice-x@example.org", Some("alice")),
            ("alice_x-y@example.org", Some("alice")),
            ("alice+x@example.org", None),
        ],
    );
    site.configure("", "[users]\ndomains = \"drop\"\nrecipient_delimiter = \"\"");
    goes_to(&site, &[("alice-x@example.org", None), ("alice@x.org", Some("alice"))]);
    site.configure("", "[users]\ndomains = \"drop\"\nlowercase = false");
    goes_to(&site, &[("Alice@example.org", None), ("alice@EXAMPLE.org", Some("alice"))]);
}

#[test]
fn a_default_domain_and_a_map() {
    let map = Site::new();
    let file = map.file(
        "map",
        b"# aliases\npostmaster@example.org alice@example.org\nInfo alice@example.org\n\
          u1234\talice@example.org\nself@example.org self@example.org\n",
    );
    map.configure("", &format!("[users]\ndefault_domain = \"Example.org\"\nmap = {file:?}"));
    map.enroll("alice", PASSWORD).good();
    assert!(map.private("alice@example.org").exists());
    map.enroll("u1234", PASSWORD).fails(73, &["user alice@example.org has keys already"]);
    let alice = Some("alice@example.org");
    goes_to(
        &map,
        &[
            ("alice@example.org", alice),
            ("ALICE", alice),
            ("PostMaster@example.org", alice),
            ("postmaster+urgent@example.org", alice),
            ("info@example.org", alice),
            ("U1234", alice),
            ("u1234@example.net", None),
            ("self@example.org", None),
        ],
    );
    for login in ["alice", "Alice@example.org", "u1234", "postmaster"] {
        assert!(map.unlocks(login, PASSWORD), "{login}");
    }
}

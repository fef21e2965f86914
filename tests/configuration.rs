//! The configuration file: the example shows every setting at its default, and a wrong file is
//! refused for the right reason.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nightsafe::config::Config;
use support::Site;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/nightsafe.toml")
}

/// `table.key` of every setting that the program knows.
fn known_settings() -> BTreeSet<String> {
    // Each struct's own account of itself: four columns of indentation a level.
    let shown = format!("{:#?}", Config::default());
    let mut table = String::new();
    let mut found = BTreeSet::new();
    for line in shown.lines() {
        let indentation = line.len() - line.trim_start().len();
        let Some((name, _)) = line.trim_start().split_once(": ") else { continue };
        match indentation {
            4 => name.clone_into(&mut table),
            8 => _ = found.insert(format!("{table}.{name}")),
            _ => {}
        }
    }
    assert!(found.contains("keys.directory") && found.contains("delivery.unenrolled"), "{shown}");
    found
}

#[test]
fn the_example_is_the_default() {
    let mut read = Config::load(Some(&example())).unwrap();
    assert_eq!(read.seal.domain, "site.test", "the one setting without a default");
    read.seal.domain.clear();
    assert_eq!(read, Config::default());
}

#[test]
fn the_example_has_every_setting_once() {
    let text = fs::read_to_string(example()).unwrap();
    let mut table = String::new();
    let mut shown = Vec::new();
    let mut explained = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut table);
        } else if line.starts_with('#') {
            explained = true;
            assert!(line.len() <= 100, "{line:?} is long");
        } else if line.is_empty() {
            explained = false;
        } else if let Some((name, _)) = line.split_once(" = ") {
            assert!(explained, "nothing says what {table}.{name} is for");
            shown.push(format!("{table}.{name}"));
        }
    }
    assert_eq!(shown.len(), shown.iter().collect::<BTreeSet<_>>().len(), "{shown:?}");
    assert_eq!(shown.into_iter().collect::<BTreeSet<_>>(), known_settings());
}

/// A whole file, the words of the error about it, and whether it is so wrong that no command runs;
/// else it is `check` that says so.
fn wrong_files() -> Vec<(&'static str, Vec<&'static str>, bool)> {
    vec![
        ("[keys]\n\ndirektory = \"x\"\n", vec!["line 3", "`direktory`"], true),
        ("\n[nonsense]\n", vec!["line 2", "`nonsense`"], true),
        ("directory = \"x\"\n", vec!["line 1", "`directory`"], true),
        ("[delivery]\nunenrolled = \"drop\"\n", vec!["line 2", "`drop`"], true),
        ("[delivery]\nmax_message_bytes = \"1M\"\n", vec!["line 2", "invalid type"], true),
        ("[delivery]\nmax_message_bytes = -1\n", vec!["line 2", "-1"], true),
        ("[delivery]\npass = \"a@example.org\"\n", vec!["line 2", "invalid type"], true),
        ("[users]\nlowercase = \"yes\"\n", vec!["line 2", "invalid type"], true),
        ("[users]\ndomains = \"Keep\"\n", vec!["line 2", "`Keep`"], true),
        ("[seal]\ndomain = \"a\"\ndomain = \"b\"\n", vec!["line 3", "duplicate"], true),
        ("[seal\n", vec!["line 1"], true),
        ("[seal]\nsubject = \"two\nlines\"\n", vec!["line "], true),
        ("", vec!["[seal] domain is not set"], false),
        ("[seal]\ndomain = \"two words\"\n", vec!["[seal] domain", "two words"], false),
        ("[seal]\ndomain = \"a@example.org\"\n", vec!["[seal] domain", "a@example.org"], false),
        ("[seal]\ndomain = \"a\\r\\nBcc: b\"\n", vec!["[seal] domain"], false),
        (
            "[seal]\ndomain = \"a\"\nclear_headers = [\"Content-Type\"]\n",
            vec!["[seal] clear_headers", "Content-Type"],
            false,
        ),
        (
            "[seal]\ndomain = \"a\"\nclear_headers = [\"Subject:\"]\n",
            vec!["[seal] clear_headers", "Subject:"],
            false,
        ),
    ]
}

#[test]
fn a_wrong_file_is_refused_and_mail_deferred() {
    let site = Site::new();
    for (text, words, unreadable) in wrong_files() {
        fs::write(site.config(), text).unwrap();
        let file = site.config().display().to_string();
        if unreadable {
            let words: Vec<_> = words.iter().copied().chain([file.as_str()]).collect();
            for command in ["list", "check", "setup"] {
                site.run([command]).fails(78, &words);
            }
            site.run(["enroll", "alice", "--password-file", "-"]).fails(78, &words);
        } else {
            let checked = site.run(["check"]);
            let line = checked
                .text()
                .lines()
                .find(|line| line.contains("ERROR  [seal]"))
                .map(str::to_owned);
            let line = line.unwrap_or_else(|| panic!("{text:?}: {}", checked.text()));
            let line = line.replace("[seal]: ", "[seal] ");
            assert!(words.iter().all(|word| line.contains(word)), "{line}");
            assert_eq!(checked.status, Some(78));
        }
        let ran = site.deliver(&["--recipient", "alice"]);
        assert_eq!(ran.status, Some(75), "{text:?}");
        assert_eq!(ran.text(), "");
        assert!(ran.stderr.starts_with("4.3.5 ") && !ran.stderr.contains('/'), "{}", ran.stderr);
    }
}

#[test]
fn a_file_that_cannot_be_read() {
    let site = Site::new();
    let folder = site.join("keys");
    let big = site.join("big.toml");
    fs::write(&big, vec![b'#'; 2 << 20]).unwrap();
    let latin = site.join("latin.toml");
    fs::write(&latin, b"# caf\xe9\n").unwrap();
    let cases = [
        (site.join("none.toml"), 66, "No such file"),
        (folder, 74, "not a regular file"),
        (big, 74, "larger than it can be"),
        (latin, 78, "is not UTF-8"),
    ];
    for (file, status, problem) in cases {
        let name = file.display().to_string();
        let run = |arguments: &[&str]| {
            let mut command = Command::new(support::program());
            support::finish(command.env("NIGHTSAFE_CONFIG", &file).args(arguments), b"x")
        };
        run(&["list"]).fails(status, &[&name, problem]);
        assert_eq!(run(&["deliver", "--recipient", "alice"]).status, Some(75), "{name}");
    }
}

#[test]
fn a_wrong_map_file_names_its_line() {
    let site = Site::new();
    let map = site.join("map");
    site.configure("", &format!("[users]\nmap = {:?}", map.display().to_string()));
    let name = map.display().to_string();
    let cases: [(&[u8], i32, &[&str]); 6] = [
        (b"# none\n\nalice\n", 78, &["line 3", "address user"]),
        (b"a b\nalice bob carol\n", 78, &["line 2", "address user"]),
        (b"a b\nalice ../bob\n", 78, &["line 2", "contains a slash"]),
        (b"alice b\0b\n", 78, &["line 1", "contains a control character"]),
        (b"alice -rf\n", 78, &["line 1", "begins with a dot or a hyphen"]),
        (b"caf\xe9 alice\n", 78, &["not UTF-8"]),
    ];
    for (content, status, words) in cases {
        fs::write(&map, content).unwrap();
        let words: Vec<_> = words.iter().copied().chain([name.as_str()]).collect();
        site.run(["list"]).fails(status, &words);
        assert_eq!(site.deliver(&["--recipient", "alice"]).status, Some(75));
    }
    fs::remove_file(&map).unwrap();
    site.run(["list"]).fails(66, &[&name]);
    assert_eq!(site.deliver(&["--recipient", "alice"]).status, Some(75));
}

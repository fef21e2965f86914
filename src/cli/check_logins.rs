//! What `nightsafe check` finds of the site's own logins. A login password unlocks mail, so whoever takes the
//! disk guesses at the place where it is kept worst: in the clear or as a bare hash, Argon2id of the key
//! record does not matter any more.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::sys::file;

/// The largest file that is looked into, in octets, and how deep and how many there may be.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
const MAX_DEPTH: usize = 4;
const MAX_FILES: usize = 1000;

/// Where Cyrus SASL keeps passwords in the clear unless it is told otherwise, and where Postfix in its
/// chroot looks for them.
const SASLDB: [&str; 2] = ["etc/sasldb2", "var/spool/postfix/etc/sasldb2"];
/// What Dovecot calls schemes that are the password itself or a hash without salt.
const BARE: &[&str] = &[
    "PLAIN",
    "PLAIN-TRUNC",
    "CLEAR",
    "CLEARTEXT",
    "CLEAR-TRUNC",
    "PLAIN-MD4",
    "PLAIN-MD5",
    "LDAP-MD5",
    "LANMAN",
    "NTLM",
    "SHA",
    "SHA1",
    "SHA256",
    "SHA512",
    "CRAM-MD5",
    "HMAC-MD5",
    "DIGEST-MD5",
    "RPA",
];
/// Options of saslauthd(8) that have a value.
const WITH_VALUE: &str = "aOmnst";

/// A place where passwords are cheaper to guess at than in the key records.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Weak {
    /// Where, and how they are kept.
    pub(super) what: String,
    /// How to mend it.
    pub(super) mend: &'static str,
}

/// What there is in the file system at `root`. What cannot be read is passed over.
pub(super) fn weak_below(root: &Path) -> BTreeSet<Weak> {
    let mut found = BTreeSet::new();
    found.extend(sasldb(root));
    found.extend(saslauthd(root));
    found.extend(dovecot(root));
    found.extend(shadow(root));
    found
}

fn sasldb(root: &Path) -> Vec<Weak> {
    let configured = text(&root.join("etc/imapd.conf")).unwrap_or_default();
    let configured = configured.lines().filter_map(|line| line.strip_prefix("sasl_sasldb_path:"));
    let mut paths: BTreeSet<PathBuf> = SASLDB.iter().map(|path| root.join(path)).collect();
    paths.extend(configured.map(|path| below(root, path.trim())));
    let there = paths.into_iter().filter(|path| path.is_file());
    let weak = |path: PathBuf| Weak {
        what: format!("{} keeps passwords in the clear", shown(root, &path)),
        mend: "have saslauthd check passwords; nobody whose mail is sealed may be in it (sasldblistusers2)",
    };
    there.map(weak).collect()
}

/// Its cache has a hash without salt of each password that was right.
fn saslauthd(root: &Path) -> Vec<Weak> {
    let mut places = Vec::new();
    for path in files_below(&root.join("etc/default"), 1) {
        let is_its = name(&path).starts_with("saslauthd");
        let options = text(&path).filter(|_| is_its).unwrap_or_default();
        let mut options = options.lines().filter_map(|line| line.trim().strip_prefix("OPTIONS="));
        if options.any(|value| caches(value.split(['"', '\'', ' ', '\t']))) {
            places.push(shown(root, &path));
        }
    }
    for process in fs::read_dir(root.join("proc")).into_iter().flatten().flatten() {
        let Some(line) = text(&process.path().join("cmdline")) else { continue };
        let mut words = line.split('\0');
        let program = words.next().map(Path::new).map(name).unwrap_or_default();
        if program == "saslauthd" && caches(words) {
            places.push(format!("process {}", process.file_name().to_string_lossy()));
        }
    }
    let weak = |place| Weak {
        what: format!("saslauthd -c keeps unsalted hashes of passwords ({place})"),
        mend: "start it without -c, and remove its cache",
    };
    places.into_iter().map(weak).collect()
}

fn caches<'a>(mut words: impl Iterator<Item = &'a str>) -> bool {
    words.any(|word| {
        let flags = word.strip_prefix('-').unwrap_or_default();
        flags.chars().take_while(|flag| !WITH_VALUE.contains(*flag)).any(|flag| flag == 'c')
    })
}

/// Its configuration, and the password files that it names.
fn dovecot(root: &Path) -> Vec<Weak> {
    let mut found = BTreeSet::new();
    let mut named = BTreeSet::new();
    for path in files_below(&root.join("etc/dovecot"), MAX_DEPTH) {
        let Some(text) = text(&path) else { continue };
        found.extend(bare_hashes(&text).map(|scheme| (shown(root, &path), scheme)));
        for line in text.lines().map(|line| line.split('#').next().unwrap_or_default()) {
            let words = || line.split([' ', '\t', '=', '"']);
            if line.contains("scheme") {
                found.extend(words().filter_map(bare).map(|scheme| (shown(root, &path), scheme)));
            }
            if line.contains("args") || line.contains("passwd_file_path") {
                named.extend(words().filter(|word| word.starts_with('/')).map(|p| below(root, p)));
            }
        }
    }
    for path in named.iter().filter(|path| path.is_file()) {
        let text = text(path).unwrap_or_default();
        found.extend(bare_hashes(&text).map(|scheme| (shown(root, path), scheme)));
    }
    let weak = |(place, scheme)| Weak {
        what: format!("Dovecot's passwords are in the clear or without salt ({scheme} in {place})"),
        mend: "use ARGON2ID, BLF-CRYPT or SHA512-CRYPT (doveadm pw)",
    };
    found.into_iter().map(weak).collect()
}

/// The schemes of a passwd-file that are bare: `user:{SCHEME}hash:…`.
fn bare_hashes(text: &str) -> impl Iterator<Item = &'static str> {
    let scheme = |line: &str| {
        let (scheme, _) = line.split(':').nth(1)?.strip_prefix('{')?.split_once('}')?;
        bare(scheme)
    };
    text.lines().filter_map(scheme)
}

/// The name of a bare scheme; `.b64` and the like say how it is written only.
fn bare(scheme: &str) -> Option<&'static str> {
    let scheme = scheme.split('.').next().unwrap_or_default();
    BARE.iter().find(|bare| bare.eq_ignore_ascii_case(scheme)).copied()
}

/// Hashes of another age: DES (crypt(5)), which has no `$`, and MD5.
fn shadow(root: &Path) -> Vec<Weak> {
    let path = root.join("etc/shadow");
    let text = text(&path).unwrap_or_default();
    let hashes = text.lines().filter_map(|line| line.split(':').nth(1));
    let is_old = |hash: &str| {
        let is_des = hash.len() == 13 && !hash.starts_with(['$', '!', '*']);
        is_des || hash.starts_with("$1$")
    };
    let weak = |count| Weak {
        what: format!("{} has {count} passwords as DES or MD5 hashes", shown(root, &path)),
        mend: "have these users set their passwords again, with yescrypt in /etc/pam.d/common-password",
    };
    let count = hashes.filter(|hash| is_old(hash)).count();
    (count > 0).then(|| weak(count)).into_iter().collect()
}

/// The files in a folder and those below it.
fn files_below(folder: &Path, depth: usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if found.len() >= MAX_FILES {
            break;
        }
        if path.is_file() {
            found.push(path);
        } else if depth > 1 && path.is_dir() {
            found.extend(files_below(&path, depth - 1));
        }
    }
    found
}

fn text(path: &Path) -> Option<String> {
    let bytes = file::read(path, MAX_FILE_BYTES).ok()?;
    Some(String::from_utf8_lossy(bytes.expose()).into_owned())
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// An absolute path as one below `root`.
fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// The path as the site knows it.
fn shown(root: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(root).unwrap_or(path);
    format!("/{}", relative.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        weak_below(root.path()).into_iter().map(|weak| weak.what).collect()
    }

    #[test]
    fn what_is_strong_is_passed_over() {
        let strong = [
            ("etc/imapd.conf", "sasl_pwcheck_method: saslauthd\n"),
            (
                "etc/default/saslauthd",
                "START=yes\n#OPTIONS=\"-c\"\nOPTIONS=\"-r -m /run/sasl/c -n 5\"\n",
            ),
            ("proc/7/cmdline", "/usr/sbin/saslauthd\0-a\0pam\0-r\0"),
            ("proc/8/cmdline", "/usr/sbin/other\0-c\0"),
            (
                "etc/dovecot/dovecot.conf",
                "passdb {\n args = scheme=ARGON2ID /etc/users\n}\n# scheme=PLAIN\n",
            ),
            (
                "etc/dovecot/conf.d/a.conf",
                "auth_mechanisms = plain login\nssl_min_protocol = TLSv1.2\n",
            ),
            (
                "etc/users",
                "alice:{ARGON2ID}$argon2id$v=19$x:::\nbob:{SHA512-CRYPT}$6$x\ncarol:{SSHA}x\n",
            ),
            ("etc/shadow", "root:*:1::\nalice:$y$j9T$x:1::\nbob:!:1::\ncarol:!!:1::\n"),
        ];
        assert!(found(&strong).is_empty(), "{:?}", found(&strong));
        assert!(found(&[]).is_empty());
    }

    #[test]
    fn each_weak_place_is_named() {
        for (files, wanted) in [
            (&[("etc/sasldb2", "x")][..], "/etc/sasldb2 keeps passwords in the clear"),
            (
                &[("etc/imapd.conf", "sasl_sasldb_path: /srv/db\n"), ("srv/db", "x")],
                "/srv/db keeps passwords in the clear",
            ),
            (
                &[("etc/default/saslauthd-postfix", "OPTIONS=\"-rc -m /run/x\"\n")],
                "saslauthd -c keeps unsalted hashes of passwords (/etc/default/saslauthd-postfix)",
            ),
            (
                &[("proc/7/cmdline", "/usr/sbin/saslauthd\0-a\0pam\0-c\0-m\0/x\0")],
                "saslauthd -c keeps unsalted hashes of passwords (process 7)",
            ),
            (
                &[("etc/dovecot/dovecot-sql.conf.ext", "default_pass_scheme = SHA256.hex\n")],
                "Dovecot's passwords are in the clear or without salt (SHA256 in /etc/dovecot/dovecot-sql.conf.ext)",
            ),
            (
                &[
                    ("etc/dovecot/conf.d/auth.ext", "  args = username_format=%u /srv/users\n"),
                    ("srv/users", "alice:{BLF-CRYPT}x\nbob:{plain}secret::\n"),
                ],
                "Dovecot's passwords are in the clear or without salt (PLAIN in /srv/users)",
            ),
            (
                &[("etc/shadow", "a:abJnggxhB/yWI:1::\nb:$1$x$y:1::\nc:$6$x$y:1::\n")],
                "/etc/shadow has 2 passwords as DES or MD5 hashes",
            ),
        ] {
            assert_eq!(found(files), [wanted]);
        }
    }
}

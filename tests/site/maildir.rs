//! A look into a Maildir.

use std::fs;
use std::path::Path;

/// All messages of a Maildir as they are stored, in the order of their names.
pub fn messages(maildir: &Path) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = ["new", "cur"]
        .iter()
        .flat_map(|name| fs::read_dir(maildir.join(name)).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// How many files delivery left behind in `tmp`.
pub fn unfinished(maildir: &Path) -> usize {
    fs::read_dir(maildir.join("tmp")).into_iter().flatten().count()
}

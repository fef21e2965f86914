//! The PAM module, built with the line that the README tells people to build it with.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::success;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The module as a site has it.
pub fn module() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("pam_nightsafe.so", ""))
}

/// The module in which a test can inject faults.
pub fn module_with_faults() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("pam_nightsafe_fault.so", " --features fault"))
}

/// The command of the README that builds the module.
pub fn build_line() -> String {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let mut lines = readme.lines().filter(|line| line.contains("--crate-type cdylib"));
    let line = lines.next().expect("the README says how the module is built");
    assert_eq!(lines.next(), None, "the README says it twice");
    line.to_owned()
}

fn build(name: &str, more: &str) -> PathBuf {
    let folder = Path::new(ROOT).join("target/pam");
    fs::create_dir_all(&folder).unwrap();
    // Both kinds come out of cargo under one name.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let output = Command::new("sh")
        .args(["-c", &(build_line() + more)])
        .current_dir(ROOT)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    success(&output);
    let built = newest(&Path::new(ROOT).join("target"));
    let path = folder.join(name);
    // A new file: somebody may still run the one that is there.
    let fresh = folder.join(format!("{name}.new"));
    fs::copy(built, &fresh).unwrap();
    fs::rename(fresh, &path).unwrap();
    path
}

/// `target/*/release/libnightsafe.so`, whatever the machine is called.
fn newest(target: &Path) -> PathBuf {
    let folders = fs::read_dir(target).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.map(|folder| folder.join("release/libnightsafe.so"));
    let modified = |file: &PathBuf| fs::metadata(file).unwrap().modified().unwrap();
    files.filter(|file| file.exists()).max_by_key(modified).expect("cargo built the module")
}

//! What goes wrong on a site: folders that fill up, disappear, or cannot be read; processes that die.

use super::users::users;
use super::{mode, process};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A small file system in memory, mounted over a folder until the value goes.
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    pub fn mount(at: &Path, kib: u32) -> Self {
        let delivery = &users().delivery;
        let options = format!("size={kib}k,mode=0755,uid={},gid={}", delivery.uid, delivery.gid);
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).status();
        assert!(
            status.unwrap().success(),
            "cannot mount a tmpfs: the tests need a machine that may"
        );
        Self { at: at.to_owned() }
    }

    /// Takes all the room there is.
    pub fn fill(&self) {
        let ballast = vec![0; 4096];
        let mut file = fs::File::create(self.at.join("ballast")).unwrap();
        while std::io::Write::write_all(&mut file, &ballast).is_ok() {}
        chown(self.at.join("ballast"), Some(0), Some(0)).unwrap();
    }

    pub fn make_room(&self) {
        fs::remove_file(self.at.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.at).status();
    }
}

/// A folder that its users cannot enter, until the value goes.
pub struct Unreadable {
    at: PathBuf,
}

impl Unreadable {
    pub fn make(at: &Path) -> Self {
        chown(at, Some(0), Some(0)).unwrap();
        mode(at, 0o700);
        Self { at: at.to_owned() }
    }
}

impl Drop for Unreadable {
    fn drop(&mut self) {
        mode(&self.at, 0o755);
    }
}

/// A folder whose disk is not mounted: the empty mount point is there, until the value goes.
pub struct Unmounted {
    at: PathBuf,
    away: PathBuf,
}

impl Unmounted {
    pub fn make(at: &Path) -> Self {
        let away = at.with_extension("away");
        fs::rename(at, &away).unwrap();
        fs::create_dir(at).unwrap();
        mode(at, 0o755);
        Self { at: at.to_owned(), away }
    }
}

impl Drop for Unmounted {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.at);
        let _ = fs::rename(&self.away, &self.at);
    }
}

/// Waits until Postfix runs this program for a delivery.
pub fn delivering(program: &Path) -> u32 {
    let none = || "it never ran".to_owned();
    process::wait_for("nightsafe to run", none, || process::running(program).first().copied())
}

/// Waits for the program to run and kills the process that feeds it, pipe(8), before it has handed
/// over `size` bytes. Says whether that worked; else the program was quicker.
pub fn cut_short(program: &Path, size: u64) -> bool {
    let end = Instant::now() + process::PATIENCE;
    while Instant::now() < end {
        let Some(&delivery) = process::running(program).first() else {
            continue;
        };
        // Let it begin, so that it knows its parent and holds a part of the message.
        while process::bytes_read(delivery).is_some_and(|read| read < size / 16) {}
        process::signal(delivery, Signal::STOP);
        let stopped_at = process::bytes_read(delivery);
        let feeder = process::parent(delivery);
        let in_time = stopped_at.is_some_and(|read| read < size / 2);
        if let (true, Some(feeder)) = (in_time, feeder) {
            process::signal(feeder, Signal::KILL);
            sleep(Duration::from_millis(50));
        }
        process::signal(delivery, Signal::CONT);
        return in_time && feeder.is_some();
    }
    panic!("nightsafe never ran");
}

/// Waits until no process runs this program any more.
pub fn wait_until_gone(program: &Path) {
    let still = || format!("{:?}", process::running(program));
    process::wait_for("nightsafe to end", still, || {
        process::running(program).is_empty().then_some(())
    });
}

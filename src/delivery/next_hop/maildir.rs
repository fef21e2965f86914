//! A Maildir as the next hop (<https://cr.yp.to/proto/maildir.html>): a file in `tmp`, made durable,
//! then moved to `new`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::secret;
use crate::user::User;

use super::{BUFFER_BYTES, Letter, NextHop, Refusal};

/// Longer than the kernel keeps what it has to write.
const LATELY: Duration = Duration::from_secs(120);

/// Stands for the user's name in the path.
const USER: &str = "{user}";

/// Maildirs below a path that may hold `{user}`.
#[derive(Debug)]
pub struct Maildir {
    path: String,
}

impl Maildir {
    /// Deliveries to `path`.
    pub fn new(path: &str) -> Self {
        Self { path: path.to_owned() }
    }

    fn folder_of(&self, user: Option<&User>) -> Result<PathBuf, Refusal> {
        // A mistyped name would put everybody's mail into one folder.
        if self.path.replace(USER, "").contains('{') {
            let detail = format!("--maildir {}: only {USER} is filled in", self.path);
            return Err(Refusal::for_now("4.3.5", detail));
        }
        match user {
            // A user name can be no path.
            Some(user) => Ok(self.path.replace(USER, user.as_str()).into()),
            None if self.path.contains(USER) => Err(Refusal::for_good(
                "5.1.3",
                "the address can be no user, and --maildir needs one",
            )),
            None => Ok(self.path.clone().into()),
        }
    }
}

impl NextHop for Maildir {
    fn hand_on(
        &mut self,
        _: &str,
        user: Option<&User>,
        letter: &Letter<'_>,
    ) -> Result<(), Refusal> {
        let maildir = self.folder_of(user)?;
        deliver(&maildir, letter)
            .map_err(|cause| Refusal::io(&maildir.display().to_string(), &cause))
    }
}

fn deliver(maildir: &Path, letter: &Letter<'_>) -> io::Result<()> {
    let (tmp, new) = (maildir.join("tmp"), maildir.join("new"));
    for folder in [maildir, &tmp, &new, &maildir.join("cur")] {
        make_folder(folder)?;
    }
    let name = unique_name()?;
    let written = write(&tmp.join(&name), letter);
    let moved = written.and_then(|()| fs::rename(tmp.join(&name), new.join(&name)));
    if moved.is_err() {
        // Sealed or not, half a message is of no use to anybody.
        let _ = fs::remove_file(tmp.join(&name));
    }
    moved?;
    File::open(&new)?.sync_all()
}

fn write(path: &Path, letter: &Letter<'_>) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    letter.write_local(&mut out)?;
    out.into_inner()?.sync_all()
}

fn make_folder(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let may_not_last = match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => true,
        // Perhaps just now, by another delivery that has not come further.
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => has_changed_lately(parent)?,
        Err(cause) => return Err(cause),
    };
    // Its name has to last as well, or the letter in it would not.
    if may_not_last { File::open(parent)?.sync_all() } else { Ok(()) }
}

/// Whether something was made in a folder that the kernel may not have written yet.
fn has_changed_lately(folder: &Path) -> io::Result<bool> {
    let changed = fs::metadata(folder)?.modified()?;
    Ok(changed.elapsed().map_or(true, |ago| ago < LATELY))
}

/// Time, chance and host, as the format's inventor has it; `/` and `:` cannot occur in it.
fn unique_name() -> io::Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().replace('/', "\\057").replace(':', "\\072");
    let unique = u64::from_ne_bytes(secret::random_bytes());
    Ok(format!("{}.M{}R{unique:016x}.{host}", now.as_secs(), now.subsec_micros()))
}

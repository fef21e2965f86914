//! Mutt, with its keys pressed by a script, and its cache of messages as what it has fetched.

use super::{Desk, Letters, Program, run};
use std::fs;
use std::path::Path;

pub struct Mutt;

impl Mutt {
    /// Presses keys with INBOX open.
    fn press(desk: &Desk, keys: &str) {
        let (cache, user) = (desk.make("cache"), desk.user);
        let settings = format!(
            "set imap_user=\"{user}\"\nset imap_pass=\"{}\"\nset ssl_starttls=no\nset ssl_force_tls=no\n\
             set folder=\"imap://127.0.0.1:{}/\"\nset spoolfile=\"=INBOX\"\nset mail_check=0\n\
             set header_cache=\"{}/headers\"\nset message_cachedir=\"{}\"\nset message_cache_clean=no\n\
             set confirmappend=no\nset confirmcreate=no\nset delete=yes\nset move=no\nset auto_tag=yes\n\
             set quit=yes\nset pager_index_lines=0\nset wait_key=no\nset mark_old=no\nset copy=yes\n\
             set sort=mailbox-order\nset sendmail=/bin/true\nset record=\"=INBOX\"\n",
            desk.password(),
            desk.port,
            desk.folder.display(),
            cache.display()
        );
        let settings = desk.file("muttrc", settings);
        let push = format!("push '{keys}'");
        let mutt = format!(
            "mutt -n -F {} -e \"{}\"",
            settings.display(),
            push.replace('\\', "\\\\").replace('"', "\\\"")
        );
        let mut command = desk.command("/usr/bin/script");
        command.args(["--quiet", "--flush", "--return", "--command", &mutt, "typescript"]);
        command
            .env("TERM", "vt100")
            .env("LANG", "C.UTF-8")
            .env("COLUMNS", "100")
            .env("LINES", "40");
        run(&mut command);
    }

    fn cached(folder: &Path, found: &mut Vec<Vec<u8>>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                Self::cached(&path, found);
            } else {
                found.push(fs::read(path).unwrap());
            }
        }
    }
}

impl Program for Mutt {
    const NAME: &'static str = "mutt";
    const OWN_FIELDS: &'static [&'static str] = &["Status:", "Content-Length:", "Lines:"];

    fn fetch(desk: &Desk) -> Vec<Vec<u8>> {
        // Whoever copies all messages to a folder of his own has fetched them.
        let copies = desk.folder.join("copies");
        let keys = format!(
            "<tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>{}<enter><quit>",
            copies.display()
        );
        Self::press(desk, &keys);
        let mut found = Vec::new();
        Self::cached(&desk.folder.join("cache"), &mut found);
        found
    }

    fn change(desk: &Desk, letters: &Letters) {
        Self::press(
            desk,
            "1<enter><flag-message>2<enter><copy-message><kill-line>=Copies<enter>\
             3<enter><save-message><kill-line>=Moved<enter>4<enter><delete-message><sync-mailbox><quit>",
        );
        // A message that is in a folder of mutt's own is saved to INBOX.
        let mailbox = desk.make("own");
        for name in ["cur", "new", "tmp"] {
            desk.make(&format!("own/{name}"));
        }
        fs::write(
            mailbox.join("cur/1700000001.1.here:2,S"),
            crate::seal_support::mail::to_lf(&letters.append),
        )
        .unwrap();
        let keys = format!(
            "<change-folder><kill-line>{}<enter><copy-message><kill-line>=INBOX<enter><quit>",
            mailbox.display()
        );
        Self::press(desk, &keys);
    }
}

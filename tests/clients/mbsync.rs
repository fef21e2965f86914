//! mbsync (isync): synchronises Maildirs both ways.

use super::{Desk, Letters, Program, change_maildirs, maildir, run};

pub struct Mbsync;

impl Mbsync {
    fn synchronise(desk: &Desk) {
        let (at, user) = (desk.folder.display(), desk.user);
        let password = desk.file("password", desk.password());
        let settings = format!(
            "FSync no\n\nIMAPAccount site\nHost 127.0.0.1\nPort {}\nUser {user}\nPassCmd \"cat {}\"\n\
             SSLType None\nAuthMechs LOGIN\n\n\
             IMAPStore there\nAccount site\n\n\
             MaildirStore here\nPath {at}/mail/\nInbox {at}/mail/INBOX\nSubFolders Verbatim\n\n\
             Channel all\nFar :there:\nNear :here:\nPatterns *\nCreate Both\nExpunge Both\nSync All\n\
             SyncState {at}/state/\n",
            desk.port,
            password.display()
        );
        let settings = desk.file("mbsyncrc", settings);
        run(desk.command("/usr/bin/mbsync").arg("-c").arg(settings).arg("all"));
    }
}

impl Program for Mbsync {
    const NAME: &'static str = "mbsync";
    const OWN_FIELDS: &'static [&'static str] = &["X-TUID:"];

    /// It warns of a header without end, and leaves such a message where it is.
    fn takes(message: &[u8]) -> bool {
        message.starts_with(b"\r\n") || memchr::memmem::find(message, b"\r\n\r\n").is_some()
    }

    fn fetch(desk: &Desk) -> Vec<Vec<u8>> {
        desk.make("mail");
        desk.make("state");
        Self::synchronise(desk);
        let found = maildir(&desk.folder.join("mail/INBOX"));
        found.into_iter().map(|(_, message)| message).collect()
    }

    fn change(desk: &Desk, letters: &Letters) {
        let mail = |name: &str| desk.folder.join("mail").join(name);
        change_maildirs(&mail("INBOX"), &mail("Copies"), &mail("Moved"), letters);
        Self::synchronise(desk);
    }
}

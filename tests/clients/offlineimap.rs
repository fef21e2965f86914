//! OfflineIMAP: synchronises Maildirs both ways, with Python's imaplib2.

use super::{Desk, Letters, Program, change_maildirs, maildir, run};

pub struct OfflineImap;

impl OfflineImap {
    fn synchronise(desk: &Desk) {
        let (at, user) = (desk.folder.display(), desk.user);
        let password = desk.file("password", desk.password());
        let settings = format!(
            "[general]\naccounts = site\nmetadata = {at}/metadata\nui = quiet\nfsync = false\n\
             [Account site]\nlocalrepository = here\nremoterepository = there\n\
             [Repository here]\ntype = Maildir\nlocalfolders = {at}/mail\n\
             [Repository there]\ntype = IMAP\nremotehost = 127.0.0.1\nremoteport = {}\n\
             remoteuser = {user}\nremotepassfile = {}\nssl = no\nstarttls = no\n\
             auth_mechanisms = PLAIN, LOGIN\n",
            desk.port,
            password.display()
        );
        let settings = desk.file("offlineimaprc", settings);
        run(desk.command("/usr/bin/offlineimap").arg("-1").arg("-c").arg(settings));
    }
}

impl Program for OfflineImap {
    const NAME: &'static str = "offlineimap";
    const OWN_FIELDS: &'static [&'static str] = &["X-OfflineIMAP:"];
    const REWRITES: bool = true;

    /// A boundary where a message has an empty one.
    fn made_up(message: &[u8]) -> bool {
        memchr::memmem::find(message, b"boundary=\"===============").is_some()
    }

    fn fetch(desk: &Desk) -> Vec<Vec<u8>> {
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

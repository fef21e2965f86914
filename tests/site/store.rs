//! What the tests ask of a real mail store, the same for Cyrus and Dovecot.

use super::imap::Imap;
use super::process::Server;
use super::{Site, password};
use std::path::PathBuf;

pub trait Store {
    /// Starts a server in which these users have a mailbox, and [`password`]s.
    fn open(site: &Site, names: &[&str]) -> Self
    where
        Self: Sized;
    /// The same, but messages with one Message-ID and Date are not taken for one.
    fn open_with_duplicates(site: &Site, names: &[&str]) -> Self
    where
        Self: Sized;
    /// Starts the server, again if [`Store::down`] stopped it.
    fn up(&mut self, site: &Site);
    /// The server while it is up.
    fn server(&self) -> Option<&Server>;
    fn take_server(&mut self) -> Option<Server>;
    fn lmtp_socket(&self) -> PathBuf;
    fn imap_port(&self) -> u16;
    /// As `[imap] backend` has it.
    fn imap_address(&self) -> String {
        format!("inet:127.0.0.1:{}", self.imap_port())
    }
    /// A folder that the user may not have yet, and that mail can be addressed to.
    fn add_folder(&self, user: &str, name: &str);
    /// At most this many KiB in all of the user's mailboxes.
    fn limit(&self, user: &str, kib: u32);
    /// No limit any more.
    fn unlimit(&self, user: &str);
    /// The user, who has a message already, is over quota from now on.
    fn fill_up(&self, user: &str);

    /// Stops the server. Its sockets refuse afterwards.
    fn down(&mut self) {
        drop(self.take_server());
    }

    /// Kills all of the server, in whatever it is doing.
    fn kill(&mut self) {
        self.take_server().expect("it is up").kill_group();
    }

    /// The process group of the running server.
    fn group(&self) -> u32 {
        self.server().expect("it is up").id()
    }

    /// As `[lmtp] backend` has it.
    fn address(&self) -> String {
        format!("unix:{}", self.lmtp_socket().display())
    }

    fn login(&self, user: &str) -> Imap {
        Imap::login(self.imap_port(), user, &password(user))
    }

    /// All messages of the user's inbox as they are stored, oldest first.
    fn inbox(&self, user: &str) -> Vec<Vec<u8>> {
        self.mailbox(user, "INBOX")
    }

    /// The same for any mailbox.
    fn mailbox(&self, user: &str, name: &str) -> Vec<Vec<u8>> {
        self.login(user).messages(name)
    }
}

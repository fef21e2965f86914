//! curl, one command at a time.

use super::{Desk, Letters, Program, run};
use std::fs;
use std::process::Command;

pub struct Curl;

impl Curl {
    /// curl for a URL below the mailbox, with the password in a file.
    fn at(desk: &Desk, path: &str) -> Command {
        let user = desk.user;
        let login = format!("user = \"{user}:{}\"\n", desk.password());
        let login = desk.file("curlrc", login);
        let mut command = desk.command("/usr/bin/curl");
        command.args(["--silent", "--show-error", "--fail", "--config"]).arg(login);
        command.arg(format!("imap://127.0.0.1:{}/{path}", desk.port));
        command
    }

    fn command(desk: &Desk, words: &str) -> String {
        let said = run(Self::at(desk, "INBOX").args(["--request", words]));
        String::from_utf8_lossy(&said).into_owned()
    }
}

impl Program for Curl {
    const NAME: &'static str = "curl";

    fn fetch(desk: &Desk) -> Vec<Vec<u8>> {
        let folder = desk.make("messages");
        let found = Self::command(desk, "UID SEARCH ALL");
        let found = found.trim().strip_prefix("* SEARCH ").unwrap_or_else(|| panic!("{found}"));
        let uids: Vec<u32> = found.split(' ').map(|uid| uid.parse().unwrap()).collect();
        let last = uids.last().unwrap();
        let mut command = Self::at(desk, &format!("INBOX;UID=[1-{last}]"));
        run(command.arg("--output").arg(folder.join("#1")));
        uids.iter().map(|uid| fs::read(folder.join(uid.to_string())).unwrap()).collect()
    }

    fn change(desk: &Desk, letters: &Letters) {
        Self::command(desk, "UID STORE 1 +FLAGS (\\Flagged)");
        Self::command(desk, "UID COPY 2 Copies");
        Self::command(desk, "UID MOVE 3 Moved");
        Self::command(desk, "UID STORE 4 +FLAGS.SILENT (\\Deleted)");
        Self::command(desk, "EXPUNGE");
        let message = desk.file("message", &letters.append);
        run(Self::at(desk, "INBOX").arg("--upload-file").arg(message));
    }
}

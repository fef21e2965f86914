//! Passwords: from the terminal or from a file, never from arguments or the environment. They are
//! octets; nothing about them is changed but one line end at the end of a file.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::os::fd::AsFd as _;
use std::path::Path;

use crate::keys::kdf::MAX_PASSWORD_BYTES;
use crate::secret::SecretBytes;

use super::exit::Failure;

/// The password of `user` for a login.
pub(super) fn ask(file: Option<&Path>, user: &str) -> Result<SecretBytes, Failure> {
    match file {
        Some(file) => from_file(file),
        None => from_terminal(&format!("Password of {user}: ")),
    }
}

/// A new password for `user`, typed twice when it is typed.
pub(super) fn ask_new(file: Option<&Path>, user: &str) -> Result<SecretBytes, Failure> {
    if let Some(file) = file {
        return from_file(file);
    }
    let first = from_terminal(&format!("New password of {user}: "))?;
    let second = from_terminal("The same again: ")?;
    if first == second {
        Ok(first)
    } else {
        Err(Failure::no_input("the two passwords are not the same"))
    }
}

fn from_file(path: &Path) -> Result<SecretBytes, Failure> {
    let (name, read) = if path == Path::new("-") {
        // Not through std's buffer, which nobody wipes.
        let stdin = io::stdin().as_fd().try_clone_to_owned().map(File::from);
        ("standard input".to_owned(), stdin.and_then(read))
    } else {
        (path.display().to_string(), File::open(path).and_then(read))
    };
    let password =
        read.map_err(|cause| Failure::no_input(format!("cannot read {name}: {cause}")))?;
    password.ok_or_else(Failure::password_too_long)
}

/// `None` for one that is too long.
fn read(input: impl Read) -> io::Result<Option<SecretBytes>> {
    // One buffer of the largest size, so that no copy is left behind by growing.
    let mut bytes = Vec::with_capacity(MAX_PASSWORD_BYTES + 3);
    let read = input.take(MAX_PASSWORD_BYTES as u64 + 3).read_to_end(&mut bytes);
    let mut password = SecretBytes::from(bytes);
    read?;
    let text = password.expose();
    let line =
        text.strip_suffix(b"\n").map_or(text, |line| line.strip_suffix(b"\r").unwrap_or(line));
    let len = line.len();
    password.truncate(len);
    Ok((len <= MAX_PASSWORD_BYTES).then_some(password))
}

fn from_terminal(prompt: &str) -> Result<SecretBytes, Failure> {
    if !io::stdin().is_terminal() && File::open("/dev/tty").is_err() {
        return Err(Failure::no_input("there is no terminal to ask for the password")
            .hint("--password-file FILE, or --password-file - for standard input"));
    }
    let typed = rpassword::prompt_password(prompt)
        .map_err(|cause| Failure::no_input(format!("cannot read the password: {cause}")))?;
    let password = SecretBytes::from(typed.into_bytes());
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(Failure::password_too_long());
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_dropped() {
        let cases: [(&[u8], &[u8]); 7] = [
            (b"", b""),
            (b"\n", b""),
            (b"pw\n", b"pw"),
            (b"pw\r\n", b"pw"),
            (b"pw\n\n", b"pw\n"),
            (b" pw  ", b" pw  "),
            ("pässwörd\n".as_bytes(), "pässwörd".as_bytes()),
        ];
        for (file, password) in cases {
            assert_eq!(read(file).unwrap().unwrap().expose(), password);
        }
        let longest = vec![b'x'; MAX_PASSWORD_BYTES];
        assert!(read(&[&longest[..], b"\r\n"].concat()[..]).unwrap().is_some());
        assert!(read(&[&longest[..], b"x"].concat()[..]).unwrap().is_none());
    }
}

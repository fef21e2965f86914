//! Passwords: from the terminal or from a file, never from arguments or the environment. They are
//! octets; nothing about them is changed but one line end at the end of a file.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use crate::keys::code::Code;
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

/// Two files of which only one can be standard input.
pub(super) fn not_both(
    one: Option<&Path>,
    other: Option<&Path>,
    what: &str,
) -> Result<(), Failure> {
    let stdin = Some(Path::new("-"));
    if one == stdin && other == stdin {
        return Err(Failure::argument(format!("standard input cannot be both {what}")));
    }
    Ok(())
}

/// The recovery code of `user`, as it was typed.
pub(super) fn ask_code(file: Option<&Path>, user: &str) -> Result<SecretBytes, Failure> {
    match file {
        Some(file) => from_file(file),
        None => from_terminal(&format!("Recovery code of {user}: ")),
    }
}

/// An old and a new password from standard input, each with a NUL behind it; the last may be missing.
pub(super) fn two_from_stdin() -> Result<(SecretBytes, SecretBytes), Failure> {
    let both = stdin().and_then(read_to_two_nuls);
    let both =
        both.map_err(|cause| Failure::no_input(format!("cannot read standard input: {cause}")))?;
    split_at_nul(&both)
}

/// No further than the second NUL: PostfixAdmin waits for the command's end before it closes its own.
fn read_to_two_nuls(mut input: impl Read) -> io::Result<SecretBytes> {
    let mut both = SecretBytes::from(vec![0; 2 * MAX_PASSWORD_BYTES + 3]);
    let mut filled = 0;
    while let Some(rest) = both.expose_mut().get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
        if both.expose().iter().take(filled).filter(|octet| **octet == 0).count() > 1 {
            break;
        }
    }
    both.truncate(filled);
    Ok(both)
}

fn split_at_nul(both: &SecretBytes) -> Result<(SecretBytes, SecretBytes), Failure> {
    let text = both.expose().strip_suffix(b"\0").unwrap_or(both.expose());
    let mut pieces = text.split(|byte| *byte == 0);
    let (Some(old), Some(new), None) = (pieces.next(), pieces.next(), pieces.next()) else {
        return Err(Failure::no_input(
            "standard input is not an old password, a NUL, a new password",
        ));
    };
    if old.len().max(new.len()) > MAX_PASSWORD_BYTES {
        return Err(Failure::password_too_long());
    }
    Ok((SecretBytes::from(old.to_vec()), SecretBytes::from(new.to_vec())))
}

/// Prints a code, this once.
pub(super) fn print_code(code: &Code) -> Result<(), Failure> {
    let text = code.to_text();
    let mut out = io::stdout().lock();
    let written = out.write_all(text.expose()).and_then(|()| out.write_all(b"\n"));
    written.and_then(|()| out.flush()).map_err(|cause| Failure::output(&cause))
}

fn from_file(path: &Path) -> Result<SecretBytes, Failure> {
    let (name, read) = if path == Path::new("-") {
        ("standard input".to_owned(), stdin().and_then(read))
    } else {
        (path.display().to_string(), File::open(path).and_then(read))
    };
    let password =
        read.map_err(|cause| Failure::no_input(format!("cannot read {name}: {cause}")))?;
    password.ok_or_else(Failure::password_too_long)
}

/// Not through std's buffer, which nobody wipes.
fn stdin() -> io::Result<File> {
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

/// `None` for one that is too long.
fn read(input: impl Read) -> io::Result<Option<SecretBytes>> {
    let mut password = read_at_most(input, MAX_PASSWORD_BYTES + 2)?;
    let text = password.expose();
    let line =
        text.strip_suffix(b"\n").map_or(text, |line| line.strip_suffix(b"\r").unwrap_or(line));
    let len = line.len();
    password.truncate(len);
    Ok((len <= MAX_PASSWORD_BYTES).then_some(password))
}

/// One octet more than `most` shows that there is more.
fn read_at_most(input: impl Read, most: usize) -> io::Result<SecretBytes> {
    // One buffer of the largest size, so that no copy is left behind by growing.
    let mut bytes = Vec::with_capacity(most + 1);
    let read = input.take(most as u64 + 1).read_to_end(&mut bytes);
    let bytes = SecretBytes::from(bytes);
    read.map(|_| bytes)
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
    fn two_passwords_with_nuls() {
        let split = |text: &[u8]| split_at_nul(&SecretBytes::from(text.to_vec())).ok();
        for text in [&b"old\0new\0"[..], b"old\0new"] {
            let (old, new) = split(text).unwrap();
            assert_eq!((old.expose(), new.expose()), (&b"old"[..], &b"new"[..]));
        }
        // A line end is part of a password here.
        assert_eq!(split(b"old\0new\n\0").unwrap().1.expose(), b"new\n");
        for wrong in [&b""[..], b"old", b"old\0", b"old\0new\0more\0", b"old\0new\0\0"] {
            assert!(split(wrong).is_none(), "{wrong:?}");
        }
        let long = [&vec![b'x'; MAX_PASSWORD_BYTES + 1][..], b"\0new\0"].concat();
        assert!(split(&long).is_none());
    }

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

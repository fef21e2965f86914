//! `nightsafe recovery init|passwd|export|open|finish`: the site's recovery key, on the officers' machine and on
//! the server.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::age::SecretKey;
use crate::keys::escrow::{
    Answer, Blob, Document, GOOD_FOR, MAX_DOCUMENT_BYTES, Opened, combine, unlock,
};
use crate::lifecycle::recovery_key::{Kept, PRIVATE, PUBLIC, SHARE, change_password, make};
use crate::lifecycle::{escrow, secrets};
use crate::secret::SecretBytes;
use crate::sys::clock;

use super::exit::{Failure, complain, say};
use super::password;
use super::site::{Site, shown_time};
use super::usage::User;
use super::usage::recovery::{Finish, Init, Open, Repassword};

/// What prompts call the recovery key.
const THE_KEY: &str = "the recovery key";

pub(super) fn init(arguments: &Init) -> Result<ExitCode, Failure> {
    let folder = arguments.folder.display();
    let public = match (arguments.shares, arguments.threshold) {
        (Some(shares), Some(threshold)) => {
            make(&arguments.folder, &Kept::Shares { shares, threshold })?
        }
        _ => {
            let file = arguments.password.password_file.as_deref();
            let password = password::ask_new(file, THE_KEY)?;
            make(&arguments.folder, &Kept::Password(&password))?
        }
    };
    say(format_args!("{public}"))?;
    complain("hint", &format!("copy {folder}/{PUBLIC} to the server, for [keys] recovery_key"));
    let private = match arguments.shares {
        Some(shares) => format!("give {folder}/{SHARE}1 to {SHARE}{shares} to an officer each"),
        None => format!("keep {folder}/{PRIVATE} and its password apart, and a copy of each"),
    };
    complain("hint", &format!("{private}; none of it may come to the server"));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn passwd(arguments: &Repassword) -> Result<ExitCode, Failure> {
    let Repassword { key, password_file: old, new_password_file: new } = arguments;
    password::not_both(old.as_deref(), new.as_deref(), "the old and the new password")?;
    let old = password::ask(old.as_deref(), THE_KEY)?;
    let new = password::ask_new(new.as_deref(), THE_KEY)?;
    let public = change_password(key, &old, &new)?;
    say(format_args!("recovery key {public} has another master password"))?;
    complain("hint", &"copies of the file have the old one: change or destroy them, too");
    Ok(ExitCode::SUCCESS)
}

pub(super) fn export(config: Option<&Path>, arguments: &User) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    let user = site.user(&arguments.user)?;
    let recovery = secrets::recovery(&site.config.keys)?;
    let blob = escrow::export(&site.keys()?, &user, recovery.as_ref(), clock::now())?;
    print(&blob.to_file())?;
    let key = blob.recovery_key();
    if recovery.is_none_or(|recovery| recovery.to_string() != key) {
        complain("warning", &"it is for a recovery key that the site has no more");
    }
    complain("hint", &format!("it takes recovery key {key}"));
    complain("hint", &format!("the officers must see one-time key {}", blob.one_time()));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn open(arguments: &Open) -> Result<ExitCode, Failure> {
    let blob = document(&arguments.blob)?;
    let opened = Blob::open(&blob, &private_half(arguments)?)?;
    show(&opened);
    if !arguments.yes {
        confirm(opened.user.as_str())?;
    }
    let answer = opened.answer(clock::now()).map_err(|error| {
        Failure::data(format!("the one-time key in {} is of no use: {error}", blob.name))
    })?;
    print(&answer.to_file())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn finish(config: Option<&Path>, arguments: &Finish) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    let user = site.user(&arguments.user)?;
    let new = arguments.new_password_file.as_deref();
    password::not_both(Some(&arguments.answer), new, "the answer and the new password")?;
    let (keys, secrets) = (site.keys()?, site.secrets()?);
    let answer = Answer::read(&document(&arguments.answer)?)?;
    let new = password::ask_new(new, user.as_str())?;
    let key = escrow::finish(&keys, &user, &answer, new.expose(), &secrets, clock::now())?;
    say(format_args!("password of {user} set with recovery key {key}, keys rotated"))?;
    complain(
        "hint",
        &"set the same password in the login backend; the user is told at the next login",
    );
    Ok(ExitCode::SUCCESS)
}

fn private_half(arguments: &Open) -> Result<SecretKey, Failure> {
    let password = arguments.password.password_file.as_deref();
    if let Some(file) = &arguments.key {
        password::not_both(Some(&arguments.blob), password, "the blob and the password")?;
        let file = document(file)?;
        let password = password::ask(password, THE_KEY)?;
        return Ok(unlock(&file, password.expose())?);
    }
    let shares: Result<Vec<_>, _> = arguments.share.iter().map(|path| document(path)).collect();
    Ok(combine(&shares?)?)
}

/// For the officers to compare with what they were told.
fn show(opened: &Opened) {
    let Opened { user, called, time, one_time, .. } = opened;
    complain("note", &format!("these are the keys of {user}, by the name sealed inside"));
    if called != user {
        complain("note", &format!("the server says that this user is called {called} now"));
    }
    complain("note", &format!("exported {}, as the server says", shown_time(*time)));
    complain("note", &format!("the answer is for one-time key {one_time}"));
    if clock::now().saturating_sub(*time) > GOOD_FOR {
        complain("warning", &"the server takes no answer any more: it was exported too long ago");
    }
}

/// Asks for the user's name on the terminal, since standard input may be the blob.
fn confirm(user: &str) -> Result<(), Failure> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let mut terminal = terminal.map_err(|_| {
        Failure::no_input("there is no terminal to ask whether this is the right user")
            .hint("--yes, where somebody has made sure of it")
    })?;
    let asked = write!(terminal, "Type that name to hand out these keys: ").and_then(|()| {
        let mut typed = String::new();
        BufReader::new(terminal.take(1024)).read_line(&mut typed).map(|_| typed)
    });
    let typed = asked.map_err(|cause| Failure::no_input(format!("cannot ask: {cause}")))?;
    if typed.trim_end_matches(['\r', '\n']) == user {
        return Ok(());
    }
    Err(Failure::no_input("not confirmed: no answer was made"))
}

/// A file, or standard input for "-". Pipes will do: a share may come straight out of another program.
fn document(path: &Path) -> Result<Document, Failure> {
    let (name, read) = if path == Path::new("-") {
        ("standard input".to_owned(), read(io::stdin().lock()))
    } else {
        (path.display().to_string(), File::open(path).and_then(read))
    };
    match read {
        Ok(bytes) if bytes.len() as u64 > MAX_DOCUMENT_BYTES => {
            Err(Failure::no_input(format!("{name} is too long")))
        }
        Ok(bytes) => Ok(Document { name, bytes }),
        Err(cause) => Err(Failure::no_input(format!("cannot read {name}: {cause}"))),
    }
}

fn read(input: impl Read) -> io::Result<SecretBytes> {
    let mut bytes = Vec::with_capacity(8192);
    let read = input.take(MAX_DOCUMENT_BYTES + 1).read_to_end(&mut bytes);
    let bytes = SecretBytes::from(bytes);
    read.map(|_| bytes)
}

fn print(document: &SecretBytes) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(document.expose()).and_then(|()| out.flush());
    written.map_err(|cause| Failure::output(&cause))
}

//! The PAM module: a bounded messenger between a login and the [agent](crate::agent).
//!
//! Layer 5. What the hooks do, in the order in which a host calls them:
//!
//! | line in the stack | does |
//! |---|---|
//! | `auth … app` | accepts an app password by itself, before the site's own check is asked |
//! | `auth` | takes the password along that the site's own check has just accepted |
//! | `account` | unlocks with it, says that the whole `auth` stack accepted it, and wipes it |
//! | `session` | holds a lease for the session, and lets its user read |
//! | `password … stage`, `… commit` | keys first, login password second |
//!
//! It has no thread, no runtime and no cipher, waits for no longer than its bound, and lets no panic
//! pass. It locks nobody out: but for app passwords it never has a say in who may log in. Only a
//! change of the password it can refuse, since a password that the keys do not follow locks mail away.

mod account;
mod ask;
mod auth;
mod kept;
mod options;
mod password;
mod session;
mod words;

/// What libpam calls, and what of libpam is called.
pub mod ffi;

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::{Arc, Mutex, PoisonError};

use crate::fault;

use ffi::{Handle, Priority};
pub use kept::Kept;
use options::Options;

/// What a host is answered (`_pam_types.h` of Linux-PAM).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub i32);

impl Code {
    /// Go on.
    pub const SUCCESS: Self = Self(0);
    /// Not the right password.
    pub const AUTH_ERROR: Self = Self(7);
    /// The password could not be checked.
    pub const AUTH_UNAVAILABLE: Self = Self(9);
    /// The password could not be changed, or not be read.
    pub const TOKEN_ERROR: Self = Self(20);
    /// The password cannot be changed now.
    pub const TRY_AGAIN: Self = Self(24);
    /// As if the line were not in the stack.
    pub const IGNORE: Self = Self(25);
    /// Something is wrong with the module.
    pub const ABORT: Self = Self(26);
}

/// With what a host calls.
#[derive(Debug, Clone, Copy)]
pub struct Flags(pub i32);

impl Flags {
    /// Whether nothing is to be shown.
    pub fn is_silent(self) -> bool {
        self.0 & 0x8000 != 0
    }

    /// Whether a change is only prepared.
    pub fn is_preliminary(self) -> bool {
        self.0 & 0x4000 != 0
    }

    /// Whether nobody gets in before the password is changed.
    pub fn is_expired(self) -> bool {
        self.0 & 0x20 != 0
    }
}

/// Which function of the module the host calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// `auth`
    Authenticate,
    /// `auth`, afterwards
    SetCredentials,
    /// `account`
    Account,
    /// `session`
    OpenSession,
    /// `session`, at its end
    CloseSession,
    /// `password`
    Password,
}

impl Hook {
    /// What the host is answered where the module fails: the login goes on, a change of the password
    /// does not.
    fn failed(self) -> Code {
        match self {
            Self::Authenticate | Self::Account => Code::IGNORE,
            Self::SetCredentials | Self::OpenSession | Self::CloseSession => Code::SUCCESS,
            Self::Password => Code::ABORT,
        }
    }

    /// A point at which a test can have the module panic.
    fn point(self) -> &'static str {
        match self {
            Self::Authenticate => "pam_authenticate",
            Self::SetCredentials => "pam_setcred",
            Self::Account => "pam_account",
            Self::OpenSession => "pam_open_session",
            Self::CloseSession => "pam_close_session",
            Self::Password => "pam_password",
        }
    }
}

/// One call of the host.
#[derive(Debug)]
pub struct Call<'call> {
    /// What it calls.
    pub hook: Hook,
    /// The transaction.
    pub handle: Handle<'call>,
    /// How it calls.
    pub flags: Flags,
    /// The options of the line in the stack.
    pub words: Vec<String>,
}

impl Call<'_> {
    /// Shows the user a line, unless the host wants none.
    fn tell(&self, line: &str) {
        if !self.flags.is_silent() {
            self.handle.tell(&words::plain(line));
        }
    }

    fn warn(&self, line: &str) {
        self.handle.log(Priority::Warning, &words::plain(line));
    }

    fn inform(&self, line: &str) {
        self.handle.log(Priority::Info, &words::plain(line));
    }

    /// What is kept in the transaction, to be looked at and put down again before anybody is asked.
    fn with_kept<T>(&self, look: impl FnOnce(&mut Kept) -> T) -> Option<T> {
        let kept = self.handle.kept()?;
        kept.try_borrow_mut().ok().map(|mut kept| look(&mut kept))
    }
}

/// Answers a call.
fn answer(call: &Call<'_>) -> Code {
    fault::point(call.hook.point());
    let (options, unknown) = Options::parse(&call.words);
    for word in unknown {
        call.warn(&words::unknown_option(word));
    }
    match call.hook {
        Hook::Authenticate if options.app => auth::app(call, &options),
        Hook::Authenticate => auth::unlock(call, &options),
        // Whoever was accepted by an app password needs a yes here; to all others it means nothing.
        Hook::SetCredentials => Code::SUCCESS,
        Hook::Account => account::confirm(call, &options),
        Hook::OpenSession => session::open(call, &options),
        Hook::CloseSession => session::close(call),
        Hook::Password if options.commit => password::commit(call, &options),
        Hook::Password => password::stage(call, &options),
    }
}

/// The transaction is over; `status` is what the host was answered last.
fn end(handle: Handle<'_>, kept: Kept, status: Code) {
    fault::point("pam_end");
    password::end(handle, kept, status);
}

/// Lets no panic out, and logs where it was. What it says is not logged: it may quote anything.
fn contained<T>(handle: Handle<'_>, work: impl FnOnce() -> T) -> Option<T> {
    // The hook is that of this module alone: a host of Rust has a library of its own.
    let place = Arc::new(Mutex::new(String::new()));
    let noted = Arc::clone(&place);
    set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string);
        *noted.lock().unwrap_or_else(PoisonError::into_inner) = place.unwrap_or_default();
    }));
    let result = catch_unwind(AssertUnwindSafe(work));
    // Nothing may stay allocated: the module is unloaded after each login.
    set_hook(Box::new(|_| {}));
    if result.is_err() {
        let place = place.lock().unwrap_or_else(PoisonError::into_inner);
        handle.log(Priority::Warning, &words::panicked(&place));
    }
    result.ok()
}

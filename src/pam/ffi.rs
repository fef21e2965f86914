//! The only unsafe code of the crate: what libpam calls, and what of libpam is called
//! (`security/pam_modules.h`, `pam_ext.h` and `pam_modutil.h` of Linux-PAM 1.1 and newer).
//!
//! Everything that libpam hands over is copied or borrowed for no longer than the call that asked for
//! it; everything that is handed to libpam is owned by it until it calls [`clean_up`]. No panic passes.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::secret::SecretBytes;

use super::{Call, Code, Flags, Hook, Kept};

/// libpam's `pam_handle_t`, of which only pointers are known.
#[repr(C)]
pub struct PamHandle {
    opaque: [u8; 0],
    not_send: PhantomData<*mut u8>,
}

/// `struct passwd` of pwd.h up to the last field that is read here.
#[repr(C)]
struct Passwd {
    name: *const c_char,
    password: *const c_char,
    uid: u32,
    gid: u32,
}

type CleanUp = unsafe extern "C" fn(*mut PamHandle, *mut c_void, c_int);

unsafe extern "C" {
    fn pam_get_user(pamh: *mut PamHandle, user: *mut *const c_char, prompt: *const c_char)
    -> c_int;
    fn pam_get_item(pamh: *const PamHandle, kind: c_int, item: *mut *const c_void) -> c_int;
    fn pam_get_authtok(
        pamh: *mut PamHandle,
        kind: c_int,
        token: *mut *const c_char,
        prompt: *const c_char,
    ) -> c_int;
    fn pam_set_data(
        pamh: *mut PamHandle,
        name: *const c_char,
        data: *mut c_void,
        clean_up: Option<CleanUp>,
    ) -> c_int;
    fn pam_get_data(pamh: *const PamHandle, name: *const c_char, data: *mut *const c_void)
    -> c_int;
    fn pam_syslog(pamh: *const PamHandle, priority: c_int, format: *const c_char, ...);
    fn pam_prompt(
        pamh: *mut PamHandle,
        style: c_int,
        response: *mut *mut c_char,
        format: *const c_char,
        ...
    ) -> c_int;
    fn pam_modutil_getpwnam(pamh: *mut PamHandle, user: *const c_char) -> *const Passwd;
}

const PAM_SUCCESS: c_int = 0;
const PAM_TEXT_INFO: c_int = 4;
/// pam_end(3) of a process that only copied the handle when it was forked.
const PAM_DATA_SILENT: c_int = 0x4000_0000;
const PAM_DATA_REPLACE: c_int = 0x2000_0000;
/// What the module keeps in the handle is called.
const DATA: &CStr = c"nightsafe";
const AS_IT_IS: &CStr = c"%s";
/// The longest option, name or password that is read, in octets. libpam itself asks for at most 511.
const MAX_TEXT_BYTES: usize = 4096;
const MAX_OPTIONS: usize = 64;

/// Which password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// The one to log in with, or the new one of a change (`PAM_AUTHTOK`).
    Current = 6,
    /// The one before a change (`PAM_OLDAUTHTOK`).
    Old = 7,
}

/// How grave a log line is (syslog.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Something is wrong.
    Warning = 4,
    /// Something was done.
    Info = 6,
}

/// One PAM transaction, for as long as one call of the host lasts.
#[derive(Debug, Clone, Copy)]
pub struct Handle<'call> {
    raw: NonNull<PamHandle>,
    call: PhantomData<&'call ()>,
}

impl Handle<'_> {
    /// Whom the host is about. `None` where it does not say, or with a name that nobody can have.
    pub fn user(&self) -> Option<String> {
        let mut user = ptr::null();
        // SAFETY: the handle is the host's; `user` outlives the call; no prompt is libpam's own.
        let code = unsafe { pam_get_user(self.raw.as_ptr(), &raw mut user, ptr::null()) };
        // SAFETY: a string that libpam keeps, and nobody changes while it is copied.
        let name = (code == PAM_SUCCESS).then(|| unsafe { copied(user) })??;
        String::from_utf8(name).ok()
    }

    /// A password that the host or another module has put into the transaction, and that is not empty.
    pub fn token(&self, which: Token) -> Option<SecretBytes> {
        let mut item = ptr::null();
        // SAFETY: as above; both items are strings or null.
        let code = unsafe { pam_get_item(self.raw.as_ptr(), which as c_int, &raw mut item) };
        // SAFETY: as above.
        let token = (code == PAM_SUCCESS).then(|| unsafe { copied(item.cast()) })??;
        (!token.is_empty()).then(|| SecretBytes::from(token))
    }

    /// The same; where there is none yet the user is asked, for a new one twice.
    ///
    /// # Errors
    /// What libpam answers: the user gave up, or two different ones.
    pub fn ask(&self, which: Token) -> Result<SecretBytes, Code> {
        let mut token = ptr::null();
        let which = which as c_int;
        // SAFETY: as above.
        let code =
            unsafe { pam_get_authtok(self.raw.as_ptr(), which, &raw mut token, ptr::null()) };
        if code != PAM_SUCCESS {
            return Err(Code(code));
        }
        // SAFETY: as above.
        let token = unsafe { copied(token) };
        token.map(SecretBytes::from).ok_or(Code::TOKEN_ERROR)
    }

    /// Shows the user a line, if the host shows lines.
    pub fn tell(&self, line: &str) {
        let Ok(line) = CString::new(line) else { return };
        let (style, none) = (PAM_TEXT_INFO, ptr::null_mut());
        // SAFETY: one string for one %s; no answer is asked for.
        unsafe { pam_prompt(self.raw.as_ptr(), style, none, AS_IT_IS.as_ptr(), line.as_ptr()) };
    }

    /// Writes a line into the system's log, under the host's name.
    pub fn log(&self, priority: Priority, line: &str) {
        let Ok(line) = CString::new(line) else { return };
        // SAFETY: one string for one %s.
        unsafe {
            pam_syslog(self.raw.as_ptr(), priority as c_int, AS_IT_IS.as_ptr(), line.as_ptr());
        }
    }

    /// The number of a local user.
    pub fn uid_of(&self, user: &str) -> Option<u32> {
        let user = CString::new(user).ok()?;
        // SAFETY: libpam keeps the entry for as long as the handle lives.
        let entry = unsafe { pam_modutil_getpwnam(self.raw.as_ptr(), user.as_ptr()).as_ref() };
        entry.map(|entry| entry.uid)
    }

    /// What this module keeps in the transaction, made anew where there is nothing yet. `None` where
    /// there is no memory for it.
    pub fn kept(&self) -> Option<&RefCell<Kept>> {
        if let Some(kept) = self.kept_so_far() {
            return Some(kept);
        }
        let kept = Box::into_raw(Box::<RefCell<Kept>>::default());
        let (raw, data) = (self.raw.as_ptr(), kept.cast());
        // SAFETY: the name is copied; from now on the box is libpam's, until it calls `clean_up`.
        let code = unsafe { pam_set_data(raw, DATA.as_ptr(), data, Some(clean_up)) };
        if code != PAM_SUCCESS {
            // SAFETY: nobody took it.
            drop(unsafe { Box::from_raw(kept) });
        }
        self.kept_so_far()
    }

    fn kept_so_far(&self) -> Option<&RefCell<Kept>> {
        let mut data = ptr::null();
        // SAFETY: under this name lies nothing but what `kept` has put there.
        let code = unsafe { pam_get_data(self.raw.as_ptr(), DATA.as_ptr(), &raw mut data) };
        // SAFETY: it lives until pam_end(3), and nothing here replaces it.
        (code == PAM_SUCCESS).then(|| unsafe { data.cast::<RefCell<Kept>>().as_ref() })?
    }
}

/// Copies a string of libpam's.
///
/// # Safety
/// `text` is null or a string that stays as it is meanwhile.
unsafe fn copied(text: *const c_char) -> Option<Vec<u8>> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller's.
    let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
    (bytes.len() <= MAX_TEXT_BYTES).then(|| bytes.to_vec())
}

/// pam_end(3): `status` is what the host was answered last.
unsafe extern "C" fn clean_up(pamh: *mut PamHandle, data: *mut c_void, status: c_int) {
    let Some(raw) = NonNull::new(pamh).filter(|_| !data.is_null()) else { return };
    let handle = Handle { raw, call: PhantomData };
    let work = || {
        // SAFETY: `kept` has given it away, and libpam calls this once.
        let kept = unsafe { Box::from_raw(data.cast::<RefCell<Kept>>()) };
        if status & PAM_DATA_SILENT == 0 {
            super::end(handle, kept.into_inner(), Code(status & !PAM_DATA_REPLACE));
        }
    };
    super::contained(handle, work);
}

/// Runs a hook: whatever happens in it, the host gets an answer.
///
/// # Safety
/// `pamh` and `argv` are what libpam calls a module with.
unsafe fn enter(
    hook: Hook,
    pamh: *mut PamHandle,
    flags: c_int,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    let Some(raw) = NonNull::new(pamh) else { return Code::ABORT.0 };
    let handle = Handle { raw, call: PhantomData };
    let work = || {
        // SAFETY: the caller's.
        let words = unsafe { words(argc, argv) };
        super::answer(&Call { hook, handle, flags: Flags(flags), words })
    };
    super::contained(handle, work).unwrap_or(hook.failed()).0
}

/// # Safety
/// `argv` points to `argc` strings.
unsafe fn words(argc: c_int, argv: *const *const c_char) -> Vec<String> {
    let count = usize::try_from(argc).unwrap_or(0).min(MAX_OPTIONS);
    if argv.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's.
    let words = (0..count).filter_map(|index| unsafe { copied(*argv.add(index)) });
    words.map(|word| String::from_utf8_lossy(&word).into_owned()).collect()
}

/// The functions that libpam looks for. In a program that is linked statically nobody does, and they
/// are ordinary functions that nobody calls.
macro_rules! hooks {
    ($($name:ident => $hook:expr,)*) => {$(
        #[doc = concat!("`", stringify!($name), "(3)`.")]
        ///
        /// # Safety
        /// Called by libpam only.
        #[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name(
            pamh: *mut PamHandle,
            flags: c_int,
            argc: c_int,
            argv: *const *const c_char,
        ) -> c_int {
            // SAFETY: the caller's.
            unsafe { enter($hook, pamh, flags, argc, argv) }
        }
    )*};
}

hooks! {
    pam_sm_authenticate => Hook::Authenticate,
    pam_sm_setcred => Hook::SetCredentials,
    pam_sm_acct_mgmt => Hook::Account,
    pam_sm_open_session => Hook::OpenSession,
    pam_sm_close_session => Hook::CloseSession,
    pam_sm_chauthtok => Hook::Password,
}

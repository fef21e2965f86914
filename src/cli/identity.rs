//! `nightsafe identity`

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::lifecycle::unlock::unlock;

use super::exit::Failure;
use super::password;
use super::site::{Site, warn_of_disagreement};
use super::usage::Identity;

pub(super) fn run(config: Option<&Path>, arguments: &Identity) -> Result<ExitCode, Failure> {
    let site = Site::load(config)?;
    let user = site.user(&arguments.user)?;
    let (keys, secrets) = (site.keys()?, site.secrets()?);
    let file = arguments.password.password_file.as_deref();
    let password = password::ask(file, user.as_str())?;
    let (record, unlocked) = unlock(&keys, &user, password.expose(), &secrets)?;
    warn_of_disagreement(&keys, &user, &record);
    let mut out = io::stdout().lock();
    let mut print = |line: &[u8]| {
        let written = out.write_all(line).and_then(|()| out.write_all(b"\n"));
        written.map_err(|cause| Failure::output(&cause))
    };
    print(format!("# nightsafe: the age identities of {user}, newest first").as_bytes())?;
    for key in &unlocked.keys {
        print(format!("# public key: {}", key.public_key()).as_bytes())?;
        print(key.to_bech32().expose())?;
    }
    Ok(ExitCode::SUCCESS)
}

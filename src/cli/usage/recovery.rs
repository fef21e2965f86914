//! The arguments of `nightsafe recovery`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::{PasswordFile, User};

#[derive(Debug, Args)]
#[command(after_help = "\
With a recovery code the user comes back alone. Without one, the site's recovery key does it, if
the site has one. `init` makes it. Then, for each user who lost the password: `export` on the
server, `open` by the officers on a machine of theirs, `finish` on the server.")]
pub(in crate::cli) struct Recovery {
    #[command(subcommand)]
    pub(in crate::cli) action: RecoveryAction,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RecoveryAction {
    /// Set a new password with a recovery code, which is used up, and rotate the keys
    Use(UseCode),
    /// Officers: make the site's recovery key
    Init(Init),
    /// Officers: change the master password of the recovery key
    Passwd(Repassword),
    /// Server: begin a recovery, and print what the officers need
    Export(User),
    /// Officers: open what was exported, and print the answer
    Open(Open),
    /// Server: set a new password with the officers' answer, and rotate the keys
    Finish(Finish),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct UseCode {
    /// The login name or address
    pub(in crate::cli) user: String,
    /// Read the recovery code from FILE, from standard input for "-"
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) code_file: Option<PathBuf>,
    /// Read the new password from NEW, from standard input for "-"
    #[arg(long, value_name = "NEW")]
    pub(in crate::cli) new_password_file: Option<PathBuf>,
    /// Print the next recovery code, this once
    #[arg(long)]
    pub(in crate::cli) recovery_code: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Run it offline. recovery.pub is for the server, where [keys] recovery_key names it. The private
half is in recovery.key, under a master password; or in share-1, share-2, …, one for each officer,
of which no fewer than the threshold tell anything. It opens the mail of everybody who has logged
in since.

Examples:
  nightsafe recovery init /media/stick
  nightsafe recovery init /media/stick --shares 5 --threshold 3")]
pub(in crate::cli) struct Init {
    /// Where the files are put; it is made if need be
    pub(in crate::cli) folder: PathBuf,
    /// Split the private half into N shares
    #[arg(long, value_name = "N", requires = "threshold", conflicts_with = "password_file")]
    pub(in crate::cli) shares: Option<u8>,
    /// How many of them make it again
    #[arg(long, value_name = "M", requires = "shares")]
    pub(in crate::cli) threshold: Option<u8>,
    #[command(flatten)]
    pub(in crate::cli) password: PasswordFile,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Run it offline. The key stays the same, so the server and the users notice nothing. Copies of the file
keep the password that they have: change or destroy them, too. Where somebody may have had the file and
its password, make a new recovery key instead.

Example:
  nightsafe recovery passwd /media/stick/recovery.key")]
pub(in crate::cli) struct Repassword {
    /// The recovery key under its master password, which `recovery init` made
    pub(in crate::cli) key: PathBuf,
    /// Read the old password from OLD, from standard input for "-"
    #[arg(long, value_name = "OLD")]
    pub(in crate::cli) password_file: Option<PathBuf>,
    /// Read the new password from NEW, from standard input for "-"
    #[arg(long, value_name = "NEW")]
    pub(in crate::cli) new_password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("private half").args(["key", "share"]).required(true),
    after_help = "\
Run it offline; it needs no site. It says whose keys they are, by the name that is sealed inside,
and which one-time key the answer is for. Compare both with what the postmaster reads to you over
the telephone, and be sure who asks. The answer, on standard output, holds that user's root key
and nobody else's, sealed to the one-time key.

Examples:
  nightsafe recovery open --key recovery.key blob > answer
  nightsafe recovery open --share share-1 --share share-4 --share share-5 blob > answer"
)]
pub(in crate::cli) struct Open {
    /// The recovery key under its master password
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) key: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) password: PasswordFile,
    /// A share of the recovery key; as many as the threshold
    #[arg(long, value_name = "FILE", conflicts_with = "password_file")]
    pub(in crate::cli) share: Vec<PathBuf>,
    /// Do not ask whether it is the right user
    #[arg(long)]
    pub(in crate::cli) yes: bool,
    /// What `recovery export` printed, "-" for standard input
    pub(in crate::cli) blob: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
No password before it unlocks anything any more; app passwords and the recovery code stay. The user
is told at the next login. Set the same password in the login backend.")]
pub(in crate::cli) struct Finish {
    /// The login name or address
    pub(in crate::cli) user: String,
    /// What `recovery open` printed, "-" for standard input
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) answer: PathBuf,
    /// Read the new password from NEW, from standard input for "-"
    #[arg(long, value_name = "NEW")]
    pub(in crate::cli) new_password_file: Option<PathBuf>,
}

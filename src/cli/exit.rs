//! How a command ends: an error, a hint where there is something to do, and a status of sysexits.h.
//! Both in lower case, without a full stop; the error names the file, address or setting.

mod escrow;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::agent::AgentProblem;
use crate::agent::client::ClientError;
use crate::config::ConfigError;
use crate::delivery::lmtp::ServiceProblem;
use crate::delivery::site::SiteProblem;
use crate::imap::proxy::{self, TlsProblem};
use crate::keys::SiteError;
use crate::keys::error::{RecordError, UnlockError};
use crate::keys::files::DirectoryError;
use crate::keys::kdf::MAX_PASSWORD_BYTES;
use crate::keys::pepper::PepperError;
use crate::keys::site_secrets::SecretsError;
use crate::lifecycle::error::LoginError;
use crate::lifecycle::setup::SetupError;
use crate::seal::{SignatureError, SiteKeyError, UnsealError};
use crate::service::ListenError;
use crate::sys::file::FileError;
use crate::user::UserError;

/// Statuses of sysexits.h.
mod status {
    pub(super) const USAGE: u8 = 64;
    pub(super) const DATA_ERROR: u8 = 65;
    pub(super) const NO_INPUT: u8 = 66;
    pub(super) const NO_USER: u8 = 67;
    pub(super) const CANNOT_CREATE: u8 = 73;
    pub(super) const IO_ERROR: u8 = 74;
    pub(super) const TEMPORARY_FAILURE: u8 = 75;
    pub(super) const NO_PERMISSION: u8 = 77;
    pub(super) const CONFIG: u8 = 78;
}

const RESTORE: &str = "restore it from the backup";
const MAKE_OR_RESTORE: &str = "restore it from the backup; for a new site: nightsafe setup";

/// A command that failed.
#[derive(Debug)]
pub(super) struct Failure {
    status: u8,
    error: String,
    hint: Option<String>,
}

impl Failure {
    fn new(status: u8, error: &dyn Display) -> Self {
        Self { status, error: error.to_string(), hint: None }
    }

    /// With what to do next.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Arguments that make no sense.
    pub(super) fn usage(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        // The first paragraph is the error; clap's advice begins with its usage.
        let told = text.split("\n\n").next().unwrap_or_default();
        let told = told.strip_prefix("error: ").unwrap_or(told).split_whitespace();
        let failure = Self::argument(told.collect::<Vec<_>>().join(" "));
        failure.hint("nightsafe --help, or nightsafe COMMAND --help")
    }

    /// A wrong argument.
    pub(super) fn argument(error: impl Display) -> Self {
        Self::new(status::USAGE, &error)
    }

    /// Something that may go well another time.
    pub(super) fn temporary(error: impl Display) -> Self {
        Self::new(status::TEMPORARY_FAILURE, &error)
    }

    /// Input that cannot be had.
    pub(super) fn no_input(error: impl Display) -> Self {
        Self::new(status::NO_INPUT, &error)
    }

    /// A password that is longer than any.
    pub(super) fn password_too_long() -> Self {
        Self::no_input(format!("the password is longer than {MAX_PASSWORD_BYTES} octets"))
    }

    /// Standard output that takes no more.
    pub(super) fn output(cause: &io::Error) -> Self {
        Self::new(status::IO_ERROR, &format!("cannot write to standard output: {cause}"))
    }

    /// Input that is not what it should be.
    pub(super) fn data(error: impl Display) -> Self {
        Self::new(status::DATA_ERROR, &error)
    }

    /// Something that is not as it should be in the site.
    pub(super) fn config(error: impl Display) -> Self {
        Self::new(status::CONFIG, &error)
    }

    /// Something that this user may not do.
    pub(super) fn no_permission(error: impl Display) -> Self {
        Self::new(status::NO_PERMISSION, &error)
    }

    /// A user who is not there.
    pub(super) fn no_user(error: impl Display) -> Self {
        Self::new(status::NO_USER, &error)
    }

    /// Whether it is that something may not be read.
    pub(super) fn is_permission(&self) -> bool {
        self.status == status::NO_PERMISSION
    }

    /// The error without its hint.
    pub(super) fn error(&self) -> &str {
        &self.error
    }

    /// What to do next, if anything.
    pub(super) fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Says it and ends.
    pub(super) fn exit(&self) -> ExitCode {
        complain("error", &self.error);
        if let Some(hint) = &self.hint {
            complain("hint", hint);
        }
        ExitCode::from(self.status)
    }
}

/// One line on standard error. Where nobody reads it, the status still speaks.
pub(super) fn complain(kind: &str, text: &dyn Display) {
    let _ = writeln!(io::stderr(), "nightsafe: {kind}: {text}");
}

/// One line on standard output.
pub(super) fn say(line: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}").map_err(|cause| Failure::output(&cause))
}

/// How a command ends that had something to show.
pub(super) fn shown(written: io::Result<()>) -> ExitCode {
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => Failure::output(&cause).exit(),
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::new(status::NO_INPUT, &error),
            io::ErrorKind::PermissionDenied => Self::new(status::NO_PERMISSION, &error)
                .hint("run it as the user that owns the file, or as root"),
            io::ErrorKind::AlreadyExists => Self::new(status::CANNOT_CREATE, &error),
            _ => Self::new(status::IO_ERROR, &error),
        }
    }
}

impl From<UserError> for Failure {
    fn from(error: UserError) -> Self {
        Self::argument(error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::File(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::new(status::NO_INPUT, &error).hint(
                    "name a file that is there; without --config and /etc/nightsafe/nightsafe.toml the defaults hold",
                )
            }
            ConfigError::File(error) => error.into(),
            ConfigError::Wrong { .. } => Self::config(error)
                .hint("examples/nightsafe.toml shows every setting with its default"),
        }
    }
}

impl From<SiteError> for Failure {
    fn from(error: SiteError) -> Self {
        match error {
            SiteError::File(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::config(error).hint("`nightsafe setup` makes it; or is its disk not mounted?")
            }
            SiteError::File(error) => error.into(),
            SiteError::NoMarker(_) => {
                Self::config(error).hint("is its disk mounted? for a new site: nightsafe setup")
            }
            SiteError::OtherSite { .. } => Self::config(error)
                .hint("[keys] directory and [keys] sealing_key must be of one site"),
        }
    }
}

/// A secret of the site that cannot be read.
fn secret_file(error: FileError) -> Failure {
    let is_missing = error.kind() == io::ErrorKind::NotFound;
    let failure = Failure::from(error);
    if is_missing { failure.hint(MAKE_OR_RESTORE) } else { failure }
}

impl From<SiteKeyError> for Failure {
    fn from(error: SiteKeyError) -> Self {
        match error {
            SiteKeyError::File(error) => secret_file(error),
            SiteKeyError::Malformed(_) => Self::config(error).hint(RESTORE),
        }
    }
}

impl From<PepperError> for Failure {
    fn from(error: PepperError) -> Self {
        match error {
            PepperError::File(error) => secret_file(error),
            PepperError::Malformed(_) => Self::config(error).hint(RESTORE),
        }
    }
}

impl From<SecretsError> for Failure {
    fn from(error: SecretsError) -> Self {
        match error {
            SecretsError::File(error) => error.into(),
            SecretsError::Pepper(error) => error.into(),
            SecretsError::Malformed { .. } => Self::config(error).hint(RESTORE),
        }
    }
}

impl From<SiteProblem> for Failure {
    fn from(error: SiteProblem) -> Self {
        match error {
            SiteProblem::Config(error) => error.into(),
            SiteProblem::Keys(error) => error.into(),
            SiteProblem::SiteKey(error) => error.into(),
            SiteProblem::ClearHeaders(_) | SiteProblem::Domain(_) => {
                Self::config(error).hint("set it in the configuration file")
            }
        }
    }
}

impl From<ServiceProblem> for Failure {
    fn from(error: ServiceProblem) -> Self {
        match error {
            ServiceProblem::Site(problem) => problem.into(),
            ServiceProblem::Memory { .. } => {
                Self::config(error).hint("set it in the configuration file")
            }
            ServiceProblem::Itself(_) => Self::config(error)
                .hint("name the store's LMTP socket, such as unix:/run/dovecot/lmtp"),
            ServiceProblem::Password(_) => Self::config(error)
                .hint("put the password of backend_user into a file that this user can read"),
        }
    }
}

impl From<proxy::ServiceProblem> for Failure {
    fn from(error: proxy::ServiceProblem) -> Self {
        match error {
            proxy::ServiceProblem::Site(problem) => problem.into(),
            proxy::ServiceProblem::Ring(error) => error.into(),
            proxy::ServiceProblem::Tls(TlsProblem::Read(error)) => error.into(),
            proxy::ServiceProblem::Tls(_) => Self::config(error)
                .hint("tls_certificate is the chain and tls_key its key, both in PEM"),
            proxy::ServiceProblem::Store { .. } => Self::config(error).hint(
                "start the store; [imap] backend is its IMAP server, and this user must reach it",
            ),
            proxy::ServiceProblem::Memory { .. } => {
                Self::config(error).hint("set it in the configuration file")
            }
        }
    }
}

impl From<ListenError> for Failure {
    fn from(error: ListenError) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "stop the other server, or name another address in the configuration file"
            }
            io::ErrorKind::InvalidInput => {
                return Self::config(error).hint("name one in the configuration file");
            }
            _ if error.is_of_unix() => {
                "the folder of a Unix socket must be there and belong to the user that runs this"
            }
            _ => "name an address of this machine, and a port that this user may open",
        };
        Self::temporary(error).hint(hint)
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::File(error) => error.into(),
            SetupError::Pepper(error) => error.into(),
            SetupError::Secrets(error) => error.into(),
            SetupError::SiteKey(error) => error.into(),
            SetupError::Site(error) => error.into(),
            SetupError::NoMarker(_) => Self::new(status::CANNOT_CREATE, &error)
                .hint("restore the marker from the backup, or name an empty [keys] directory"),
            SetupError::NotMounted { .. } => Self::new(status::CANNOT_CREATE, &error).hint(
                "mount or restore the key directory; for a new site name new paths in [keys]",
            ),
            SetupError::Missing { .. } => Self::new(status::CANNOT_CREATE, &error)
                .hint("restore it from the backup: a new one would not fit"),
        }
    }
}

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::File(error) => error.into(),
            DirectoryError::Record(_, RecordError::Kdf) => Self::temporary(error),
            DirectoryError::Record(_, RecordError::Full(what)) => {
                Self::new(status::CANNOT_CREATE, &error).hint(format!("remove some {what} first"))
            }
            DirectoryError::Public(_) | DirectoryError::Record(..) => {
                Self::data(error).hint(RESTORE)
            }
            DirectoryError::Exists(_) => Self::new(status::CANNOT_CREATE, &error)
                .hint("`nightsafe passwd` changes a password, `nightsafe remove` archives keys"),
            DirectoryError::Unknown(ref user) => {
                let hint = format!("nightsafe enroll {user}");
                Self::new(status::NO_USER, &error).hint(hint)
            }
            DirectoryError::Changed(_) => Self::temporary(error)
                .hint("this command changed nothing; see who did, and run it again"),
            DirectoryError::RolledBack(ref user) => {
                let hint = format!(
                    "restore the newer record from the backup; if it is lost, move public/{user} away: \
                     mail that is sealed to its key stays sealed"
                );
                Self::data(error).hint(hint)
            }
            DirectoryError::AfterWrite { .. } => Self::temporary(error)
                .hint("nothing new holds; mend the command, then run this again"),
        }
    }
}

impl From<LoginError> for Failure {
    fn from(error: LoginError) -> Self {
        let failure = Self::new(status::NO_PERMISSION, &error);
        match error {
            LoginError::Directory(error) => error.into(),
            LoginError::Begun(user) => failure
                .hint(format!(
                "its own password publishes it; `nightsafe remove {user}` gives up what is sealed to it"
            )),
            LoginError::Diverged(user) => failure.hint(format!(
                "`nightsafe passwd {user}` with the old password, or `nightsafe recovery use {user}`"
            )),
            LoginError::Provisional(user) => failure.hint(format!(
                "the first login locks them; or nightsafe enroll {user}, with the login password"
            )),
            LoginError::NoProvisionalKey => Self { status: status::CONFIG, ..failure }
                .hint("`nightsafe setup` makes the file that [keys] provisional_key names"),
            LoginError::NotTheLoginPassword(_) => failure,
            LoginError::MistypedCode => Self { status: status::NO_INPUT, ..failure }
                .hint("it begins with \"recovery-\"; hyphens, spaces and upper case do not matter"),
            LoginError::PrintedCode => Self { status: status::NO_INPUT, ..failure },
            LoginError::BadName | LoginError::Kept { .. } => {
                Self { status: status::USAGE, ..failure }
            }
            LoginError::NameTaken { .. } => Self { status: status::CANNOT_CREATE, ..failure }
                .hint("choose another name, or remove that one first"),
            LoginError::NoSlot { user, .. } => Self { status: status::USAGE, ..failure }
                .hint(format!("nightsafe slot list {user}")),
            LoginError::Unlock { cause, .. } => match cause {
                UnlockError::WrongPassword | UnlockError::NoPassword => failure,
                UnlockError::WrongCode => failure.hint("each recovery code is good for one use"),
                UnlockError::OtherProvisionalKey { .. } => {
                    Self { status: status::CONFIG, ..failure }
                        .hint("[keys] provisional_key must be the one of the time of `enroll --provisional`")
                }
                UnlockError::OtherPepper { .. } => Self { status: status::CONFIG, ..failure }
                    .hint("[keys] pepper must be the one of the time when the user enrolled"),
                UnlockError::Damaged => {
                    Self { status: status::DATA_ERROR, ..failure }.hint(RESTORE)
                }
                UnlockError::OutOfMemory => Self { status: status::TEMPORARY_FAILURE, ..failure },
            },
        }
    }
}

impl From<AgentProblem> for Failure {
    fn from(error: AgentProblem) -> Self {
        match error {
            AgentProblem::Unknown(_) => Self::config(error).hint("name local users, or numbers"),
            AgentProblem::Memory(_) => Self::temporary(error)
                .hint("raise its limit of locked memory: LimitMEMLOCK=, or ulimit -l"),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Absent { .. } => {
                Self::temporary(error).hint("start it: nightsafe agent, or nightsafe-agent.service")
            }
            ClientError::Foreign { .. } => Self::new(status::CONFIG, &error)
                .hint("[agent] user names who it runs as, [agent] socket where it listens"),
            ClientError::Stalled(_) => Self::temporary(error).hint("its lines are in the mail log"),
            ClientError::Ended(_) => {
                Self::temporary(error).hint("it was stopped or restarted; try again")
            }
            ClientError::Protocol { .. } => {
                Self::temporary(error).hint("is it of another version? restart it")
            }
        }
    }
}

impl From<UnsealError> for Failure {
    fn from(error: UnsealError) -> Self {
        let failure = Self::data(&error);
        match error {
            UnsealError::Signature(SignatureError::OtherUser(user)) => {
                failure.hint(format!("nightsafe unseal --user {user}"))
            }
            UnsealError::Signature(_) => {
                failure.hint("--allow-unsigned opens it all the same; what it shows may be forged")
            }
            UnsealError::OtherKey => Self { status: status::NO_PERMISSION, ..failure },
            UnsealError::OutOfMemory => Self { status: status::TEMPORARY_FAILURE, ..failure },
            UnsealError::NotSealed | UnsealError::Damaged | UnsealError::TooLarge => failure,
        }
    }
}

//! A user's keys, as the proxy has them: a lease at the agent, which says what stanzas hold. It ends
//! with this connection, however the process does.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::agent::protocol::{
    self, LENGTH_BYTES, MAX_REPLY_BYTES, Password, ProtocolError, Reply, Request,
};
use crate::config;
use crate::imap::login::Credentials;
use crate::secret::SecretBytes;
use crate::sys::accounts;
use crate::sys::clock;
use crate::sys::process;
use crate::sys::socket::{Address, Peer, Stream};
use crate::user::User;

/// How long the agent may take: others may wait for Argon2 before this login.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to say who is unlocked.
const SOON: Duration = Duration::from_secs(5);

/// Where the agent is asked, and who it may be.
#[derive(Debug, Clone)]
pub(super) struct AgentAddress {
    path: PathBuf,
    trusted: Vec<u32>,
    enrolls: bool,
}

impl AgentAddress {
    /// As the configuration has it.
    pub(super) fn new(settings: &config::Agent) -> Self {
        Self {
            path: settings.socket.clone(),
            trusted: accounts::uid_of(&settings.user).into_iter().collect(),
            enrolls: settings.enroll_at_login,
        }
    }
}

/// What became of a login at the agent.
pub(super) enum Keys {
    /// They are there for as long as the lease is.
    Held(Held),
    /// The user has none: his mail is not sealed.
    None,
    /// The user has some, or may have, and they are not there.
    Away(Why),
}

/// Why keys are not there.
pub(super) struct Why {
    /// What the user is told.
    pub(super) told: String,
    /// What the log is told.
    pub(super) cause: String,
}

impl Why {
    /// What the user can do nothing about: the log has the cause.
    fn of_the_site(cause: impl fmt::Display) -> Self {
        let told = "something is wrong at your site; your postmaster can find it in the mail log";
        Self { told: told.into(), cause: cause.to_string() }
    }
}

impl From<String> for Why {
    /// The same for both.
    fn from(told: String) -> Self {
        Self { cause: told.clone(), told }
    }
}

impl From<&str> for Why {
    fn from(told: &str) -> Self {
        told.to_owned().into()
    }
}

impl From<Silence> for Why {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::Io(_) => Self {
                told: "the agent does not answer; log in again in a while".into(),
                cause: silence.to_string(),
            },
            Silence::Locked => silence.to_string().into(),
            Silence::Foreign | Silence::Protocol(_) => Self::of_the_site(silence),
        }
    }
}

/// A user's keys.
pub(super) struct Held {
    /// One question at a time.
    pub(super) lease: Arc<Mutex<Lease>>,
    /// When the agent gave them, in seconds since 1970.
    pub(super) since: u64,
    /// Every name the user has had: mail may be signed for any of them.
    pub(super) names: Arc<[User]>,
    /// What the user is to be told.
    pub(super) notices: Vec<String>,
}

/// An open connection to the agent that holds a user's keys.
pub(super) struct Lease {
    stream: Stream,
    /// Whose keys they are.
    user: String,
}

impl Keys {
    /// Unlocks with a password that the store's login has just accepted. Where the site wants it, somebody
    /// without keys gets them.
    pub(super) async fn unlock(at: &AgentAddress, credentials: &Credentials) -> Self {
        let password = Password(credentials.password.expose());
        let user = credentials.user.as_str();
        let unlock = Request::Unlock { user, password, confirmed: true, hold: true, reader: None };
        let mut keys = Self::ask(at, user, &unlock).await;
        if matches!(keys, Self::None) && at.enrolls {
            match Self::ask(at, user, &Request::Enroll { user, password }).await {
                // It is no lease yet.
                Self::Held(_) => keys = Self::ask(at, user, &unlock).await,
                other => keys = other,
            }
        }
        keys
    }

    /// One word for the log.
    pub(super) fn status(&self) -> &'static str {
        match self {
            Self::Held(_) => "unlocked",
            Self::None => "no-keys",
            Self::Away(_) => "keys-away",
        }
    }

    /// Waits until a lease that is held is lost; for ever where there is none.
    pub(super) async fn are_lost(&self) {
        match self {
            // Nobody asks it anything meanwhile.
            Self::Held(held) => held.lease.lock().await.is_lost().await,
            Self::None | Self::Away(_) => std::future::pending().await,
        }
    }

    /// Takes a lease of somebody who is unlocked already.
    pub(super) async fn lease(at: &AgentAddress, user: &str) -> Self {
        Self::ask(at, user, &Request::Lease { user, reader: None }).await
    }

    async fn ask(at: &AgentAddress, user: &str, request: &Request<'_>) -> Self {
        let since = clock::now();
        let asked = async {
            let mut stream = connect(at).await?;
            let reply = exchange(&mut stream, request).await?;
            Ok::<_, Silence>((stream, reply))
        };
        let (stream, reply) = match asked.await {
            Ok(asked) => asked,
            Err(silence) => return Self::Away(silence.into()),
        };
        match reply {
            Reply::Unlocked { names, notices } => {
                let names = names.iter().filter_map(|name| User::parse(name).ok()).collect();
                let lease = Arc::new(Mutex::new(Lease { stream, user: user.to_owned() }));
                Self::Held(Held { lease, since, names, notices })
            }
            Reply::NoKeys => Self::None,
            Reply::Diverged => Self::Away(
                "the password was changed without your keys; your old password or a recovery code \
                 brings them back"
                    .into(),
            ),
            Reply::Wrong => Self::Away("the password does not unlock your keys".into()),
            Reply::Locked => Self::Away("your keys are locked; log in again".into()),
            Reply::Busy { seconds } => {
                let told = format!("there are too many logins; log in again in {seconds} s");
                Self::Away(told.into())
            }
            Reply::Unavailable { reason } | Reply::Refused { reason } => Self::Away(reason.into()),
            Reply::Denied => {
                let cause = "[agent] allow did not let the proxy say who logs in when the agent read it last";
                Self::Away(Why::of_the_site(cause))
            }
            _ => Self::Away(Why::of_the_site("the agent's answer makes no sense")),
        }
    }
}

impl Lease {
    /// Asks for the content keys of stanzas, all together.
    ///
    /// # Errors
    /// Where there is no answer: the lease is over then.
    pub(super) async fn recover(&mut self, stanzas: &[u8]) -> Result<SecretBytes, Silence> {
        let request = Request::Recover { user: &self.user, stanzas };
        match exchange(&mut self.stream, &request).await? {
            Reply::Keys(keys) => Ok(keys),
            _ => Err(Silence::Locked),
        }
    }

    /// Waits until the lease is lost.
    async fn is_lost(&self) {
        // Nothing is said unasked: whatever arrives is the end.
        let _ = self.stream.is_hung_up().await;
    }
}

/// Who is unlocked at the agent, of those whose passwords it had from here.
///
/// # Errors
/// Where it does not say so soon.
pub(super) async fn unlocked(at: &AgentAddress) -> Result<HashSet<String>, Silence> {
    let asked = async {
        let mut stream = connect(at).await?;
        let (mut all, mut after) = (HashSet::new(), String::new());
        loop {
            let request = Request::Status { user: None, after: &after };
            let Reply::Status { users, more } = exchange(&mut stream, &request).await? else {
                return Err(Silence::Locked);
            };
            let last = users.last().filter(|_| more).map(|user| user.user.clone());
            all.extend(users.into_iter().map(|user| user.user));
            match last {
                Some(last) => after = last,
                None => return Ok(all),
            }
        }
    };
    timeout(SOON, asked).await?
}

async fn connect(at: &AgentAddress) -> Result<Stream, Silence> {
    let stream = timeout(PATIENCE, Stream::connect(&Address::Unix(at.path.clone()))).await??;
    match stream.peer()? {
        Peer::User(uid) if uid == 0 || uid == process::uid() || at.trusted.contains(&uid) => {
            Ok(stream)
        }
        _ => Err(Silence::Foreign),
    }
}

async fn exchange(stream: &mut Stream, request: &Request<'_>) -> Result<Reply, Silence> {
    let frame = request.to_frame()?;
    let exchanged = async {
        stream.write_all(frame.expose()).await?;
        let mut head = [0; LENGTH_BYTES];
        stream.read_exact(&mut head).await?;
        let length = protocol::frame_length(head, MAX_REPLY_BYTES)?;
        let mut reply = SecretBytes::from(vec![0; length]);
        stream.read_exact(reply.expose_mut()).await?;
        Ok(Reply::parse(reply.expose())?)
    };
    timeout(PATIENCE, exchanged).await?
}

/// Why the agent said nothing that is of use.
#[derive(Debug)]
pub(super) enum Silence {
    /// It cannot be talked to.
    Io(io::Error),
    /// Somebody else listens at its socket.
    Foreign,
    /// What it says is not of the protocol.
    Protocol(ProtocolError),
    /// It does not hold the keys any more.
    Locked,
}

impl From<io::Error> for Silence {
    fn from(cause: io::Error) -> Self {
        Self::Io(cause)
    }
}

impl From<ProtocolError> for Silence {
    fn from(cause: ProtocolError) -> Self {
        Self::Protocol(cause)
    }
}

impl From<tokio::time::error::Elapsed> for Silence {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self::Io(io::ErrorKind::TimedOut.into())
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(cause) => write!(f, "the agent does not answer ({cause})"),
            Self::Foreign => f.write_str("somebody else listens at the agent's socket"),
            Self::Protocol(cause) => write!(f, "the agent's answer: {cause}"),
            Self::Locked => f.write_str("your keys were locked; log in again"),
        }
    }
}

//! Every line that nightsafe can write to the mail log, one function each: nothing of a message, no
//! sender and no secret can get there without passing this file.
//!
//! Layer 0. The lines go to the system's log, as other mail programs' do. What a pipe transport
//! prints is for the sender's eyes, so it says nothing local; this is where the postmaster looks.

use std::fmt::{self, Display};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use syslog::{Facility, Formatter3164, Logger, LoggerBackend};

/// A recipient's mail was not handed on, and why. `detail` may name local files and settings.
pub fn not_delivered(recipient: &str, outcome: &str, detail: &dyn Display) {
    warn(format_args!("to=<{}>: {outcome}: {detail}", plain(recipient)));
}

/// The program panicked at `place` in the source.
pub fn panicked(place: &dyn Display) {
    warn(format_args!("internal error at {place}; please report it"));
}

/// What became of a message for one recipient of the LMTP service.
pub struct Recipient<'a> {
    /// RCPT TO.
    pub to: &'a str,
    /// Whose mail it is, where that is known.
    pub user: Option<&'a str>,
    /// One word for the outcome.
    pub status: &'a str,
    /// What the client was told.
    pub outcome: &'a dyn Display,
    /// What only the log gets; it may name local files and settings.
    pub detail: Option<&'a str>,
    /// Who handed the message in.
    pub client: &'a str,
    /// Octets that came in.
    pub size: usize,
    /// Octets that the store took.
    pub stored: u64,
    /// From MAIL to this line.
    pub seconds: Duration,
}

/// One line for each recipient of the LMTP service.
pub fn recipient(of: &Recipient<'_>) {
    let line = Line(of);
    if of.detail.is_some() { warn(format_args!("{line}")) } else { inform(format_args!("{line}")) }
}

struct Line<'a>(&'a Recipient<'a>);

impl Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.0;
        write!(f, "to=<{}>", plain(of.to))?;
        if let Some(user) = of.user {
            write!(f, ", user={user}")?;
        }
        write!(f, ", status={}, client={}, ", of.status, of.client)?;
        write!(f, "size={}, stored={}, ", of.size, of.stored)?;
        write!(f, "seconds={:.4}, said=\"{}\"", of.seconds.as_secs_f64(), of.outcome)?;
        of.detail.map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

/// The store could not be asked what it offers, and why; clients are sent away meanwhile.
pub fn store_away(detail: &str) {
    warn(format_args!("lmtp: no client is greeted: {detail}"));
}

/// A client was not let in, and how many connections there may be, `in_all` and `per_client`.
pub fn turned_away(service: &str, client: &dyn Display, in_all: usize, per_client: usize) {
    warn(format_args!(
        "{service}: client={client}: turned away: over {per_client} connections of his own or {in_all} \
         in all ([{service}] connections_per_client, connections); not said again for a minute"
    ));
}

/// A service answers requests from now on.
pub fn started(service: &str, addresses: &str) {
    inform(format_args!("{service}: listening at {addresses}"));
}

/// A service read its configuration again, all but the settings named, or could not.
pub fn reloaded(service: &str, result: Result<&[&str], &dyn Display>) {
    match result {
        Ok([]) => inform(format_args!("{service}: configuration read again")),
        Ok(left) => {
            let left = left.join(", ");
            warn(format_args!(
                "{service}: configuration read again; changed by a restart only: {left}"
            ));
        }
        Err(problem) => {
            warn(format_args!("{service}: configuration not changed: {problem}"));
        }
    }
}

/// A service ends.
pub fn stopping(service: &str) {
    inform(format_args!("{service}: stopping when what is in flight is done"));
}

/// A service did not wait for its last clients any longer.
pub fn stopped_short(service: &str, connections: usize) {
    warn(format_args!("{service}: connections cut short: {connections}"));
}

/// A mail client logged in; `keys` is one word for what came of it at the agent.
pub fn imap_logged_in(user: &str, client: &dyn Display, keys: &str) {
    inform(format_args!("imap: login: user=<{}>, client={client}, keys={keys}", plain(user)));
}

/// A login that the store refused. fail2ban reads this line.
pub fn imap_login_failed(user: &str, client: &dyn Display) {
    warn(format_args!("imap: login failed: user=<{}>, client={client}", plain(user)));
}

/// Somebody who logged in cannot read his sealed mail, and why.
pub fn imap_keys_away(user: &str, client: &dyn Display, why: &str) {
    warn(format_args!("imap: user=<{}>, client={client}: no keys: {why}", plain(user)));
}

/// The store could not be asked at a login, and why.
pub fn imap_store_away(user: &str, client: &dyn Display, why: &dyn Display) {
    warn(format_args!("imap: user=<{}>, client={client}: no store: {why}", plain(user)));
}

/// The store went away during a session, and why.
pub fn imap_store_lost(user: &str, why: &dyn Display) {
    warn(format_args!("imap: user=<{}>: the store is lost: {why}", plain(user)));
}

/// What a client wanted to store was not stored, since it could not be sealed, and why.
pub fn imap_not_stored(user: &str, why: &str) {
    warn(format_args!("imap: user=<{}>: not stored: {why}", plain(user)));
}

/// The agent holds a user's keys from now on, or holds them still; a local user gave the password.
pub fn agent_unlocked(user: &dyn Display, uid: u32) {
    inform(format_args!("agent: user={user}, uid={uid}: unlocked"));
}

/// The agent wiped a user's keys, and why.
pub fn agent_locked(user: &dyn Display, why: &str) {
    inform(format_args!("agent: user={user}: locked: {why}"));
}

/// A wrong password that was not seen before.
pub fn agent_wrong(user: &dyn Display, uid: u32) {
    warn(format_args!("agent: user={user}, uid={uid}: wrong password"));
}

/// A user got keys at his first login.
pub fn agent_enrolled(user: &dyn Display, uid: u32) {
    inform(format_args!("agent: user={user}, uid={uid}: enrolled"));
}

/// A password change was staged, committed or aborted.
pub fn agent_changed(user: &dyn Display, what: &str, uid: u32) {
    inform(format_args!("agent: user={user}, uid={uid}: password change {what}"));
}

/// Something is wrong with a user's keys. Said once.
pub fn agent_problem(problem: &dyn Display) {
    warn(format_args!("agent: {problem}"));
}

/// A request could not be done, and why.
pub fn agent_unavailable(user: &dyn Display, reason: &dyn Display) {
    warn(format_args!("agent: user={user}: {reason}"));
}

/// A local user asked for something that `[agent] allow` does not let him.
pub fn agent_denied(uid: u32, what: &str) {
    warn(format_args!("agent: uid={uid} may not ask for {what}"));
}

/// What the kernel does not do for the agent, and what that means.
pub fn agent_exposed(problem: &dyn Display) {
    warn(format_args!("agent: {problem}"));
}

/// Somebody asked the officers for the keys of `user`, which this recovery key opens.
pub fn recovery_exported(user: &dyn Display, recovery_key: &dyn Display) {
    warn(format_args!("recovery: user={user}, recovery_key={recovery_key}, status=exported"));
}

/// One-time keys of recoveries that are over could not be removed.
pub fn recovery_kept(problem: &dyn Display) {
    warn(format_args!("recovery: old one-time keys are still there: {problem}"));
}

/// The officers answered, and the keys of `user` are open by this recovery key.
pub fn recovery_key_used(user: &dyn Display, recovery_key: &dyn Display) {
    warn(format_args!("recovery: user={user}, recovery_key={recovery_key}, status=unlocked"));
}

/// The kernel gives no connection.
pub fn cannot_accept(cause: &dyn Display) {
    warn(format_args!("cannot accept a connection: {cause}"));
}

fn warn(line: fmt::Arguments<'_>) {
    write(|log| log.warning(line));
}

fn inform(line: fmt::Arguments<'_>) {
    write(|log| log.info(line));
}

/// The connection to the system's log, kept from line to line.
static LOG: Mutex<Connection> = Mutex::new(Connection { logger: None, tried: None });
/// How long a missing system log is not looked for again.
const PAUSE: Duration = Duration::from_secs(1);

struct Connection {
    logger: Option<Logger<LoggerBackend, Formatter3164>>,
    tried: Option<Instant>,
}

fn write(line: impl Fn(&mut Logger<LoggerBackend, Formatter3164>) -> syslog::Result<()>) {
    let mut connection = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    if connection.logger.as_mut().is_some_and(|log| line(log).is_ok()) {
        return;
    }
    // The system's log was restarted, or there is none: such a machine gets no lines, delivery goes on.
    let now = Instant::now();
    let pause = connection.logger.is_none()
        && connection.tried.is_some_and(|tried| now.duration_since(tried) < PAUSE);
    if pause {
        return;
    }
    connection.tried = Some(now);
    connection.logger = syslog::unix(formatter()).ok();
    if let Some(log) = &mut connection.logger {
        let _ = line(log);
    }
}

fn formatter() -> Formatter3164 {
    Formatter3164 {
        facility: Facility::LOG_MAIL,
        hostname: None,
        process: "nightsafe".into(),
        pid: std::process::id(),
    }
}

/// An address on one line, between angle brackets that it cannot close by itself.
fn plain(text: &str) -> String {
    let shown = text.chars().filter(|c| !c.is_control());
    shown.map(|c| if matches!(c, '<' | '>') { '?' } else { c }).collect()
}

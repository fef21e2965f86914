//! What each request does, and who may ask for it.

use std::sync::Arc;
use std::time::Instant;

use crate::config::Operation;
use crate::keys::Slot;
use crate::keys::record::Record;
use crate::log;
use crate::secret::{OutOfMemory, SecretBytes};
use crate::sys::clock;
use crate::user::User;

use super::Agent;
use super::logins::{Attempt, unavailable};
use super::protocol::{MAX_STATUS_USERS, Password, Reply, Request, STANZA_BYTES, UserStatus};
use super::rights::ANYBODY;
use super::vault::{Entry, Lease};

/// Who asks, and the lease that his connection has.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) uid: u32,
    pub(super) lease: Option<Lease>,
}

impl Agent {
    /// Answers one request.
    pub(super) async fn answer(self: &Arc<Self>, asker: &mut Asker, request: Request<'_>) -> Reply {
        let answer = match request {
            // Two whom the kernel does not tell apart would read each other's mail.
            _ if asker.uid == ANYBODY => Err(Reply::Denied),
            Request::Unlock { user, password, confirmed, hold, reader } => {
                self.unlock(asker, user, password, confirmed, hold, reader).await
            }
            Request::Lease { user, reader } => self.lease(asker, user, reader),
            Request::Recover { user, stanzas } => self.recover(asker.uid, user, stanzas).await,
            Request::Lock { user } => self.lock(asker.uid, user),
            Request::Status { user: Some(user), .. } => self.status_of(asker.uid, user).await,
            Request::Status { user: None, after } => Ok(self.status(asker.uid, after)),
            Request::Stage { user, old, new } => self.stage(asker.uid, user, old, new).await,
            Request::Commit { id } => self.settle(asker.uid, id, true).await,
            Request::Abort { id } => self.settle(asker.uid, id, false).await,
            Request::App { user, password } => self.app(asker.uid, user, password).await,
            Request::Enroll { user, password } => self.enroll(asker.uid, user, password).await,
        };
        let reply = answer.unwrap_or_else(|reply| reply);
        if matches!(request, Request::Unlock { .. } | Request::Enroll { .. }) {
            self.metrics.login(&reply);
        }
        if reply == Reply::Denied {
            log::agent_denied(asker.uid, name(&request));
        }
        reply
    }

    async fn unlock(
        self: &Arc<Self>,
        asker: &mut Asker,
        user: &str,
        password: Password<'_>,
        confirmed: bool,
        hold: bool,
        reader: Option<u32>,
    ) -> Result<Reply, Reply> {
        if confirmed {
            self.permit(asker.uid, Operation::Login)?;
        }
        if reader.is_some() {
            self.permit(asker.uid, Operation::Read)?;
        }
        let user = self.user(user)?;
        if hold {
            asker.may_hold(&user)?;
        }
        let attempt = Attempt {
            user,
            password: copy(password)?,
            confirmed,
            peer: asker.uid,
            readers: [asker.uid].into_iter().chain(reader).collect(),
            may_be_quick: true,
        };
        let logged_in = self.log_in(attempt).await?;
        let reply = unlocked(logged_in.lease.entry(), logged_in.notices);
        if hold {
            asker.lease = Some(logged_in.lease);
        }
        Ok(reply)
    }

    fn lease(&self, asker: &mut Asker, user: &str, reader: Option<u32>) -> Result<Reply, Reply> {
        if reader.is_some() {
            self.permit(asker.uid, Operation::Read)?;
        }
        let user = self.user(user)?;
        let entry = self.entry_for(asker.uid, Operation::Login, &user)?;
        asker.may_hold(&user)?;
        asker.lease = Some(self.vault.lease(&entry).ok_or(Reply::Locked)?);
        if let Some(reader) = reader {
            entry.admit(reader);
        }
        Ok(unlocked(&entry, Vec::new()))
    }

    async fn recover(
        self: &Arc<Self>,
        uid: u32,
        user: &str,
        stanzas: &[u8],
    ) -> Result<Reply, Reply> {
        let user = self.user(user)?;
        let entry = self.entry_for(uid, Operation::Read, &user)?;
        let stanzas = stanzas.to_vec();
        self.metrics.content_keys.inc_by((stanzas.len() / STANZA_BYTES) as u64);
        let Ok(_turn) = self.recoveries.acquire().await else { return Err(Reply::Locked) };
        self.blocking(move |_| match entry.recover(&stanzas) {
            Ok(Some(keys)) => Ok(Reply::Keys(keys)),
            Ok(None) => Err(Reply::Locked),
            Err(problem) => Err(unavailable(&user, &problem)),
        })
        .await
    }

    fn lock(&self, uid: u32, user: Option<&str>) -> Result<Reply, Reply> {
        let Some(user) = user else {
            self.permit(uid, Operation::Manage)?;
            self.changes.clear();
            for user in self.vault.lock_all() {
                log::agent_locked(&user, "asked for");
            }
            return Ok(Reply::Done);
        };
        let user = self.user(user)?;
        self.entry_for(uid, Operation::Manage, &user)?;
        self.vault.lock(&user);
        log::agent_locked(&user, "asked for");
        Ok(Reply::Done)
    }

    /// Whoever may not manage sees his own.
    fn status(&self, uid: u32, after: &str) -> Reply {
        let manages = self.current().rights.may(uid, Operation::Manage);
        let entries = self.vault.all().into_iter();
        let mut seen = entries
            .filter(|entry| entry.user().as_str() > after && (manages || entry.is_reader(uid)));
        let users = seen.by_ref().take(MAX_STATUS_USERS).map(|entry| self.tell(&entry)).collect();
        Reply::Status { users, more: seen.next().is_some() }
    }

    async fn status_of(self: &Arc<Self>, uid: u32, user: &str) -> Result<Reply, Reply> {
        let user = self.user(user)?;
        let entry = self.vault.find(&user);
        if !entry.as_ref().is_some_and(|entry| entry.is_reader(uid)) {
            self.permit(uid, Operation::Manage)?;
        }
        self.blocking(move |agent| {
            agent.known.look(&agent.keys, &user).map_err(|error| unavailable(&user, &error))?;
            let record = agent.keys.record(&user).map_err(|error| unavailable(&user, &error))?;
            let record = record.ok_or(Reply::NoKeys)?;
            let locked = || UserStatus {
                user: user.to_string(),
                problems: agent.known.problems(&user),
                ..UserStatus::default()
            };
            let mut status = entry.map_or_else(locked, |entry| agent.tell(&entry));
            status.slots = slots(&record);
            Ok(Reply::Status { users: vec![status], more: false })
        })
        .await
    }

    fn tell(&self, entry: &Entry) -> UserStatus {
        let told = self.vault.tell(entry, Instant::now());
        UserStatus {
            user: entry.user().to_string(),
            unlocked: Some(told.since),
            until: Some(clock::now().saturating_add(told.left.as_secs())),
            leases: told.leases,
            problems: self.known.problems(entry.user()),
            slots: Vec::new(),
        }
    }

    /// The user who is unlocked, for somebody who may do this to everybody, or who gave the password.
    fn entry_for(&self, uid: u32, operation: Operation, user: &User) -> Result<Arc<Entry>, Reply> {
        let entry = self.vault.find(user).ok_or(Reply::Locked)?;
        if entry.is_reader(uid) || self.current().rights.may(uid, operation) {
            return Ok(entry);
        }
        // Who may not ask is not told who is logged in either.
        log::agent_denied(uid, "the keys of a user whom another one unlocked");
        Err(Reply::Locked)
    }

    /// Whether there is anybody whose mail this peer may read.
    pub(super) fn may_read_at_all(&self, uid: u32) -> bool {
        let may_all = self.current().rights.may(uid, Operation::Read);
        may_all || self.vault.all().iter().any(|entry| entry.is_reader(uid))
    }

    /// # Errors
    /// `Denied`, unless the peer may do this to everybody.
    pub(super) fn permit(&self, uid: u32, operation: Operation) -> Result<(), Reply> {
        if self.current().rights.may(uid, operation) { Ok(()) } else { Err(Reply::Denied) }
    }

    /// # Errors
    /// `Refused` for a name that nobody can have.
    pub(super) fn user(&self, name: &str) -> Result<User, Reply> {
        let user = self.current().rules.login(name);
        user.map_err(|error| Reply::Refused { reason: error.to_string() })
    }
}

impl Asker {
    /// A connection is one user's: whose mail was leaked by mistake would not be noticed otherwise.
    fn may_hold(&self, user: &User) -> Result<(), Reply> {
        match &self.lease {
            Some(lease) if lease.entry().user() != user => {
                let held = lease.entry().user();
                let reason = format!("this connection is a lease of {held} already");
                Err(Reply::Refused { reason })
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn unlocked(entry: &Entry, notices: Vec<String>) -> Reply {
    Reply::Unlocked { names: entry.names().iter().map(User::to_string).collect(), notices }
}

/// A password in a place of its own, to be taken along.
pub(super) fn copy(password: Password<'_>) -> Result<SecretBytes, Reply> {
    let mut copy = SecretBytes::with_capacity(password.0.len());
    let copied = copy.try_push(password.0);
    copied.map_err(|error: OutOfMemory| Reply::Unavailable { reason: error.to_string() })?;
    Ok(copy)
}

/// What unlocks a record, a line each.
fn slots(record: &Record) -> Vec<String> {
    let line = |slot: &Slot| {
        let created = i64::try_from(slot.created()).unwrap_or(i64::MAX);
        let since = mail_parser::DateTime::from_timestamp(created).to_rfc3339();
        let name = slot.label().map_or_else(String::new, |label| format!(" {label}"));
        format!("{}{name}, {}, since {since}", slot.kind(), slot.state())
    };
    record.slots().iter().map(line).collect()
}

fn name(request: &Request<'_>) -> &'static str {
    match request {
        Request::Unlock { confirmed: true, .. } => "confirmed unlock",
        Request::Unlock { .. } => "unlock for another reader",
        Request::Lease { .. } => "lease",
        Request::Recover { .. } => "recover",
        Request::Lock { .. } => "lock",
        Request::Status { .. } => "status",
        Request::Stage { .. } => "stage",
        Request::Commit { .. } => "commit",
        Request::Abort { .. } => "abort",
        Request::App { .. } => "app",
        Request::Enroll { .. } => "enroll",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::keys::files::KeyDirectory;
    use crate::lifecycle::{enroll::enroll, secrets, setup, slots::add_app};
    use crate::user::Canonical;

    const ROOT: u32 = 0;
    const NOBODY: u32 = 4710;
    const LOGIN: u32 = 4711;
    const READ: u32 = 4712;
    const CHANGE: u32 = 4713;
    const MANAGE: u32 = 4714;
    const EVERYBODY: [u32; 6] = [ROOT, NOBODY, LOGIN, READ, CHANGE, MANAGE];

    struct Site {
        _folder: tempfile::TempDir,
        agent: Arc<Agent>,
        /// An app password of alice's: it unlocks without Argon2.
        code: SecretBytes,
    }

    fn site() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let keys = config::Keys {
            directory: at("keys"),
            pepper: at("pepper"),
            provisional_key: at("provisional.key"),
            sealing_key: at("sealing.key"),
            ..config::Keys::default()
        };
        setup::setup(&keys, setup::Owners::default()).unwrap();
        let secrets = secrets::load(&keys).unwrap();
        let directory = KeyDirectory::open(&keys.directory, None, &[]).unwrap();
        let alice = User::parse("alice").unwrap();
        enroll(&directory, &alice, b"pw", None, &secrets, 1).unwrap();
        let code = add_app(&directory, &alice, b"pw", "phone", &secrets, 2).unwrap().to_text();
        let allow = [
            (LOGIN, Operation::Login),
            (READ, Operation::Read),
            (CHANGE, Operation::Change),
            (MANAGE, Operation::Manage),
        ];
        let settings = config::Agent {
            allow: allow.map(|(uid, one)| (uid.to_string(), vec![one])).into(),
            ..config::Agent::default()
        };
        let agent = Agent::new(&settings, Canonical::default(), directory, secrets).unwrap();
        Site { _folder: folder, agent, code }
    }

    impl Site {
        async fn ask(&self, uid: u32, request: Request<'_>) -> Reply {
            self.agent.answer(&mut Asker { uid, lease: None }, request).await
        }

        /// Who of everybody is not denied.
        async fn allowed(&self, request: Request<'_>, denied: &Reply) -> Vec<u32> {
            let mut allowed = Vec::new();
            for uid in EVERYBODY {
                if self.ask(uid, request).await != *denied {
                    allowed.push(uid);
                }
            }
            allowed
        }

        fn unlock(&self, confirmed: bool, reader: Option<u32>) -> Request<'_> {
            let password = Password(self.code.expose());
            Request::Unlock { user: "alice", password, confirmed, hold: false, reader }
        }
    }

    #[tokio::test]
    async fn who_may_ask_for_what() {
        let site = site();
        let (user, password) = ("alice", Password(b"x"));
        let commit = Request::Commit { id: [0; 16] };
        let stage = Request::Stage { user, old: password, new: password };
        for (request, who) in [
            (site.unlock(false, None), EVERYBODY.to_vec()),
            (site.unlock(true, None), vec![ROOT, LOGIN]),
            (site.unlock(false, Some(1)), vec![ROOT, READ]),
            (Request::Lease { user, reader: Some(1) }, vec![ROOT, READ]),
            (Request::App { user, password }, vec![ROOT, LOGIN]),
            (Request::Enroll { user: "bob", password }, vec![ROOT, LOGIN]),
            (commit, vec![ROOT, CHANGE]),
            (Request::Status { user: Some("bob"), after: "" }, vec![ROOT, MANAGE]),
            (Request::Lock { user: None }, vec![ROOT, MANAGE]),
        ] {
            assert_eq!(site.allowed(request, &Reply::Denied).await, who, "{request:?}");
        }
        assert_eq!(site.ask(ANYBODY, site.unlock(false, None)).await, Reply::Denied);
        assert_eq!(site.ask(NOBODY, stage).await, Reply::Denied);
        assert_eq!(site.ask(CHANGE, stage).await, Reply::Wrong);
    }

    #[tokio::test]
    async fn whoever_gave_the_password_may_read_and_others_are_told_nothing() {
        let site = site();
        let user = "alice";
        let lease = Request::Lease { user, reader: None };
        let recover = Request::Recover { user, stanzas: &[] };
        // As of root, who may do all and is no reader of his own.
        site.ask(ROOT, site.unlock(true, None)).await;
        assert_eq!(site.allowed(lease, &Reply::Locked).await, [ROOT, LOGIN]);
        assert_eq!(site.allowed(recover, &Reply::Locked).await, [ROOT, READ]);
        site.ask(NOBODY, site.unlock(false, None)).await;
        assert_eq!(site.allowed(lease, &Reply::Locked).await, [ROOT, NOBODY, LOGIN]);
        assert_eq!(site.allowed(recover, &Reply::Locked).await, [ROOT, NOBODY, READ]);
        let status = Request::Status { user: None, after: "" };
        for uid in EVERYBODY {
            let Reply::Status { users, more: false } = site.ask(uid, status).await else {
                panic!()
            };
            assert_eq!(users.len(), usize::from([ROOT, NOBODY, MANAGE].contains(&uid)), "{uid}");
        }
        site.ask(READ, site.unlock(false, Some(CHANGE))).await;
        assert_eq!(site.allowed(recover, &Reply::Locked).await, [ROOT, NOBODY, READ, CHANGE]);
        // Locked and unlocked by another one, it is another one's.
        assert_eq!(site.ask(NOBODY, Request::Lock { user: Some(user) }).await, Reply::Done);
        site.ask(ROOT, site.unlock(true, None)).await;
        assert_eq!(site.allowed(recover, &Reply::Locked).await, [ROOT, READ]);
        assert_eq!(site.ask(NOBODY, Request::Lock { user: Some(user) }).await, Reply::Locked);
    }

    #[tokio::test]
    async fn an_app_password_is_known_and_unlocks_nothing_by_being_asked_for() {
        let site = site();
        let app = |password| Request::App { user: "alice", password: Password(password) };
        assert_eq!(site.ask(ROOT, app(site.code.expose())).await, Reply::Done);
        for other in [&b"pw"[..], b"", b"app-0000-0000"] {
            assert_eq!(site.ask(ROOT, app(other)).await, Reply::Wrong);
        }
        assert_eq!(site.agent.vault.count(), 0);
        // What no form of one has costs no look at the record either.
        assert_eq!(site.agent.metrics.text(0, 0).matches("trials_total 0").count(), 1);
    }
}

//! A client who is logged in: his commands in turn, what the store says meanwhile, and the end.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::delivery::own::Own;
use crate::imap::capability::Capabilities;
use crate::imap::command::{self, ClientCommand};
use crate::imap::refusal::Refusal;
use crate::imap::response::{self, Response};
use crate::service::clients::Admission;

use super::backend::{Backend, Failed};
use super::cache::{Entered, Place};
use super::client::{Asked, Client, End, MAX_COMMAND_BYTES, Refused};
use super::connection::{ID, say_bye};
use super::lease::Keys;
use super::places::Places;
use super::{Current, Service};

/// What waits to be sent is sent when it is this much, in octets.
pub(super) const FLUSH_BYTES: usize = 64 * 1024;
/// The lease was lost.
pub(super) const LOCKED: &str = "your keys were locked; log in again";
/// There are other keys than those of the login.
pub(super) const CHANGED: &str = "your keys have changed; log in again";

/// A session.
pub(super) struct Session {
    pub(super) service: Arc<Service>,
    pub(super) current: Arc<Current>,
    pub(super) client: Client,
    pub(super) backend: Backend,
    pub(super) keys: Keys,
    /// The login name as it was typed.
    pub(super) login: String,
    pub(super) admission: Admission,
    pub(super) selected: Option<Selected>,
    pub(super) places: Places,
    entered: Option<Entered>,
    stop: watch::Receiver<bool>,
}

/// The mailbox that is selected.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Selected {
    /// Its name, as the client wrote it.
    pub(super) mailbox: Vec<u8>,
    /// What the numbers of its messages are worth (RFC 3501 §2.3.1.1); 0 where the store did not say.
    pub(super) uid_validity: u64,
}

impl Session {
    /// Begins one.
    #[expect(clippy::too_many_arguments, reason = "everything that a login has found")]
    pub(super) fn new(
        service: Arc<Service>,
        current: Arc<Current>,
        client: Client,
        backend: Backend,
        keys: Keys,
        login: String,
        admission: Admission,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let (selected, places, entered) = (None, Places::default(), None);
        let mut session = Self {
            service,
            current,
            client,
            backend,
            keys,
            login,
            admission,
            selected,
            places,
            entered,
            stop,
        };
        session.enter();
        let hold = session.hold();
        session.backend.set_hold(hold);
        session
    }

    /// Serves the client until one of the three hangs up.
    pub(super) async fn run(mut self) {
        let patience = Duration::from_secs(self.current.settings.backend_timeout);
        self.client.wire.set_sending(patience);
        let end = loop {
            if let Err(end) = self.turn().await {
                break end;
            }
        };
        if let (End::Bye(LOCKED | CHANGED), Some(entered)) = (&end, &self.entered) {
            entered.forget();
        }
        say_bye(&mut self.client, end, &self.login).await;
        self.backend.leave().await;
    }

    /// Shares what sessions of the same user have opened, as long as the keys are there.
    fn enter(&mut self) {
        let Keys::Held(held) = &self.keys else { return };
        // The present name is the last one.
        if let (None, Some(user)) = (&self.entered, held.names.last()) {
            self.entered = Some(self.service.cache.enter(user.as_str(), self.current.linger));
        }
    }

    /// What is kept of the selected mailbox, where its numbers can be relied on.
    pub(super) fn place(&self) -> Option<Place> {
        let selected = self.selected.as_ref().filter(|selected| selected.uid_validity > 0)?;
        Some(self.entered.as_ref()?.place(&selected.mailbox, selected.uid_validity))
    }

    async fn turn(&mut self) -> Result<(), End> {
        match self.client.look().await? {
            Asked::Command(octets) => self.command(octets).await,
            Asked::Message { head, octets, waits } => self.append(head, octets, waits).await,
            Asked::More => {
                self.client.flush().await?;
                self.wait().await
            }
        }
    }

    /// Waits for the client, and passes on what the store says by itself.
    async fn wait(&mut self) -> Result<(), End> {
        let settings = &self.current.settings;
        let is_idle = self.client.wire.waiting().is_empty();
        if is_idle {
            self.client.wire.rest();
            self.backend.rest();
        }
        let patience = if is_idle { settings.idle_timeout } else { settings.command_timeout };
        let octets = tokio::select! {
            filled = timeout(Duration::from_secs(patience), self.client.wire.fill()) => {
                return match filled {
                    Ok(filled) => Ok(filled?),
                    Err(_) => Err(End::Bye("nothing was said for too long")),
                };
            }
            octets = self.backend.response() => octets?,
            () = self.keys.are_lost() => return Err(End::Bye(LOCKED)),
            _ = self.stop.wait_for(|stop| *stop) => return Err(End::Bye("the server is stopped")),
        };
        self.pass_on(octets)
    }

    /// Passes a response on that is no answer to a command of the client's.
    pub(super) fn pass_on(&mut self, octets: usize) -> Result<(), End> {
        let text = self.backend.first(octets);
        let line = text.strip_suffix(b"\r\n").unwrap_or(text);
        match response::parse(line) {
            Ok(Response::Bye(_)) => {
                self.client.put(text);
                return Err(End::Gone);
            }
            // What the store offers is not what the proxy does.
            Ok(Response::Untagged | Response::Capability) if Capabilities::find(line).is_some() => {
            }
            Ok(Response::Untagged | Response::Fetch { .. }) => self.client.put(text),
            Ok(Response::Capability | Response::Continuation(_)) => {}
            Ok(Response::Tagged { .. }) | Err(_) => {
                return Err(End::Store("it says what nobody asked for".into()));
            }
        }
        self.backend.take(octets);
        Ok(())
    }

    async fn command(&mut self, octets: usize) -> Result<(), End> {
        let text = self.client.wire.take_out(octets);
        let text = text.strip_suffix(b"\r\n").unwrap_or_default();
        let Ok(told) = command::tagged(text) else {
            self.client.say("* BAD a tag comes first");
            return Ok(());
        };
        match self.answer(told.tag, told.command).await {
            Ok(()) => {}
            Err(Refused::Here(refusal)) => self.client.refuse(told.tag, &refusal),
            Err(Refused::End(end)) => return Err(end),
        }
        self.flush_some().await
    }

    async fn answer(&mut self, tag: &[u8], text: &[u8]) -> Result<(), Refused> {
        if !command::is_clean(text) {
            return Err(Refusal::bad("there is a control character in it").into());
        }
        match command::parse(text)? {
            ClientCommand::Capability => {
                let told = self.backend.capabilities.honoured(self.current.largest_append());
                self.client.say(format_args!("* CAPABILITY {told}"));
                self.client.finish(tag, "OK that is all");
            }
            ClientCommand::Id => {
                self.client.say(ID);
                self.client.finish(tag, "OK nice to meet you");
            }
            ClientCommand::Logout => {
                self.client.say("* BYE come again");
                self.client.finish(tag, "OK logged out");
                return Err(End::Gone.into());
            }
            ClientCommand::StartTls
            | ClientCommand::Login(_)
            | ClientCommand::Authenticate { .. } => {
                return Err(Refusal::bad("you are logged in already").into());
            }
            ClientCommand::Enable(names) => self.enable(tag, &names).await?,
            ClientCommand::Select { mailbox } => self.select(tag, text, &mailbox).await?,
            ClientCommand::Close => {
                if self.forward(tag, text).await? {
                    self.selected = None;
                }
            }
            ClientCommand::Append => return Err(Refusal::bad("APPEND takes one message").into()),
            ClientCommand::Fetch { uid, arguments } => self.fetch(tag, uid, arguments).await?,
            ClientCommand::Search { uid, arguments } => self.search(tag, uid, arguments).await?,
            ClientCommand::Copy { is_move, uid, set, mailbox } => {
                self.copy(tag, text, (uid, is_move), set, &mailbox).await?;
            }
            ClientCommand::Rename { from, to } => {
                if self.is_foreign(&to).await? && !self.is_foreign(&from).await? {
                    return Err(Refusal::no_code("CANNOT", OWN_ONLY).into());
                }
                self.forward(tag, text).await?;
            }
            ClientCommand::Idle => self.idle(tag).await?,
            ClientCommand::Noop | ClientCommand::Passed => drop(self.forward(tag, text).await?),
        }
        Ok(())
    }

    async fn enable(&mut self, tag: &[u8], names: &[String]) -> Result<(), Refused> {
        let honoured = names.iter().filter(|name| self.backend.capabilities.honours(name));
        let honoured: Vec<&str> = honoured.map(String::as_str).collect();
        if honoured.is_empty() || !self.backend.capabilities.honours("ENABLE") {
            self.client.say("* ENABLED");
            self.client.finish(tag, "OK nothing enabled");
            return Ok(());
        }
        self.forward(tag, format!("ENABLE {}", honoured.join(" ")).as_bytes()).await?;
        Ok(())
    }

    /// A mailbox is not opened while what lies in it cannot be: a client keeps what it sees under a number
    /// for ever.
    async fn select(&mut self, tag: &[u8], text: &[u8], mailbox: &[u8]) -> Result<(), Refused> {
        self.need_keys().await?;
        // Whatever comes of it, nothing is selected meanwhile (RFC 3501 §6.3.1).
        self.selected = None;
        self.backend.command(text).await?;
        let mut uid_validity = 0;
        let is_selected = self
            .relay(tag, |line| {
                uid_validity = response::code_number(line, "UIDVALIDITY").unwrap_or(uid_validity);
            })
            .await?;
        if is_selected {
            self.selected = Some(Selected { mailbox: mailbox.to_vec(), uid_validity });
        }
        Ok(())
    }

    /// Sees to it that sealed mail can be opened, where the user has any.
    pub(super) async fn need_keys(&mut self) -> Result<(), Refusal> {
        match &self.keys {
            Keys::Held(_) => return Ok(()),
            // He may have got some since he logged in, and sealed mail with them.
            Keys::None => match self.current.site.delivery().own(&self.login) {
                Ok(Own::Sealed(_)) => self.keys = Keys::Away(ENROLLED.into()),
                Ok(Own::Passed) | Err(_) => return Ok(()),
            },
            Keys::Away(_) => {}
        }
        // Another session may have unlocked them.
        match Keys::lease(&self.current.agent, &self.login).await {
            Keys::Held(held) => self.keys = Keys::Held(held),
            Keys::None | Keys::Away(_) => {}
        }
        self.enter();
        match &self.keys {
            Keys::Away(why) => Err(Refusal::keys_away(&why.told)),
            Keys::Held(_) | Keys::None => Ok(()),
        }
    }

    /// Sends a command on as it is, and its answer back; whether it was done.
    pub(super) async fn forward(&mut self, tag: &[u8], text: &[u8]) -> Result<bool, End> {
        self.backend.command(text).await?;
        self.relay(tag, |_| ()).await
    }

    /// Passes on what the store says, up to the end of the command in hand; whether it was done. `see` is
    /// shown what comes before the end and does not begin with a number.
    pub(super) async fn relay(
        &mut self,
        tag: &[u8],
        mut see: impl FnMut(&[u8]),
    ) -> Result<bool, End> {
        let aside = self.backend.take_aside();
        self.client.put(&aside);
        loop {
            let many = self.backend.numbered();
            if many > 0 {
                self.client.put(self.backend.first(many));
                self.backend.take(many);
                self.flush_some().await?;
                continue;
            }
            let octets = self.next_response().await?;
            let text = self.backend.first(octets);
            let line = text.strip_suffix(b"\r\n").unwrap_or(text);
            if let Ok(Response::Tagged { tag: own, rest }) = response::parse(line)
                && self.backend.is_own(own)
            {
                let is_ok = response::is_ok(rest);
                let rest = rest.to_vec();
                self.client.put(tag);
                self.client.put(b" ");
                self.client.put(&rest);
                self.client.put(b"\r\n");
                self.backend.take(octets);
                return Ok(is_ok);
            }
            see(line);
            match response::with_tag(line, &self.backend.tag(), tag) {
                Some(retagged) => {
                    self.client.put(&retagged);
                    self.client.put(b"\r\n");
                    self.backend.take(octets);
                }
                None => self.pass_on(octets)?,
            }
            self.flush_some().await?;
        }
    }

    /// Waits for the store's next response, and for the end of whoever else is in it.
    pub(super) async fn next_response(&mut self) -> Result<usize, End> {
        let watched = self.keys.are_lost();
        let (backend, client) = (&mut self.backend, &mut self.client);
        response_or_end(backend, client, Backend::response, watched).await
    }

    /// The same while the agent is asked: whoever asks finds out that the lease is lost.
    pub(super) async fn next_response_unwatched(&mut self) -> Result<usize, End> {
        let (backend, client) = (&mut self.backend, &mut self.client);
        response_or_end(backend, client, Backend::response, pending()).await
    }

    /// The same; `None` where memory has to be waited for.
    pub(super) async fn next_response_if_room(&mut self) -> Result<Option<usize>, End> {
        let (backend, client) = (&mut self.backend, &mut self.client);
        response_or_end(backend, client, Backend::response_if_room, pending()).await
    }

    pub(super) async fn flush_some(&mut self) -> Result<(), End> {
        if self.client.unsent() >= FLUSH_BYTES { self.client.flush().await } else { Ok(()) }
    }

    /// IDLE (RFC 2177): what the store says is passed on at once, until the client has had enough.
    async fn idle(&mut self, tag: &[u8]) -> Result<(), Refused> {
        self.backend.command(b"IDLE").await?;
        if !self.backend.continuation().await? {
            self.relay(tag, |_| ()).await?;
            return Ok(());
        }
        let aside = self.backend.take_aside();
        self.client.put(&aside);
        self.client.say("+ idling");
        let ended = loop {
            let waiting = self.client.wire.waiting();
            if let Some(end) = memchr::memchr(b'\n', waiting) {
                let line = self.client.wire.take_out(end + 1);
                break line.trim_ascii().eq_ignore_ascii_case(b"DONE");
            }
            if waiting.len() > MAX_COMMAND_BYTES {
                return Err(End::Bye("the line is too long").into());
            }
            self.client.flush().await?;
            self.wait().await?;
        };
        self.backend.send(b"DONE\r\n").await?;
        if ended {
            self.relay(tag, |_| ()).await?;
            return Ok(());
        }
        let mut said = Vec::new();
        let finished =
            self.backend.finish(|line| said.extend_from_slice(&[line, b"\r\n"].concat()));
        finished.await?;
        self.client.put(&said);
        Err(Refusal::bad("IDLE ends with DONE").into())
    }
}

async fn response_or_end<R>(
    backend: &mut Backend,
    client: &mut Client,
    read: impl AsyncFn(&mut Backend) -> Result<R, Failed>,
    lost: impl Future<Output = ()>,
) -> Result<R, End> {
    tokio::pin!(lost);
    let patience = backend.patience();
    loop {
        let has_room = client.wire.waiting().len() < MAX_COMMAND_BYTES;
        return tokio::select! {
            biased;
            response = timeout(patience, read(backend)) => match response {
                Ok(response) => Ok(response?),
                Err(_) => Err(End::Store("no answer in time".into())),
            },
            () = &mut lost => Err(End::Bye(LOCKED)),
            // The next command may come already; whoever hangs up waits for no answer.
            filled = client.wire.fill(), if has_room => {
                filled?;
                continue;
            }
        };
    }
}

/// There were no keys at the login, and now there are.
const ENROLLED: &str = "your mail is sealed now; log in again";
/// Sealed mail has one reader.
pub(super) const OWN_ONLY: &str = "sealed mail can only lie in its owner's mailboxes";

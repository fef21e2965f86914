//! A client before his login: TLS, who he is, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::config;
use crate::imap::capability;
use crate::imap::command::{self, ClientCommand};
use crate::imap::login::Credentials;
use crate::imap::refusal::Refusal;
use crate::log;
use crate::secret::SecretBytes;
use crate::service::clients::Admission;
use crate::sys::socket::{Peer, Stream};

use super::Current;
use super::Service;
use super::backend::{Backend, Failed};
use super::client::{Asked, Client, End, MAX_COMMAND_BYTES, Refused};
use super::lease::Keys;
use super::metrics::Login;
use super::origin::Origin;
use super::session::Session;
use super::transport::Transport;
use super::wire::Wire;

/// What the proxy says of itself (RFC 2971).
pub(super) const ID: &str = "* ID (\"name\" \"nightsafe\")";
/// Commands that make no sense before the connection ends.
const MAX_ERRORS: usize = 20;

/// A client who has not logged in yet.
pub(super) struct Connection {
    service: Arc<Service>,
    current: Arc<Current>,
    client: Client,
    peer: Peer,
    admission: Admission,
    stop: watch::Receiver<bool>,
    failures: usize,
    errors: usize,
}

/// What comes after a command.
enum Next {
    Command,
    Session(Box<(Backend, Keys, String)>),
    Tls,
}

/// Tells a client that there are too many, if he takes it at once.
pub(super) fn turn_away(stream: &Stream) {
    stream.try_send(b"* BYE there are too many connections, come back later\r\n");
}

/// Serves a client until one of the two hangs up.
pub(super) async fn serve(
    service: Arc<Service>,
    stream: Stream,
    is_tls: bool,
    peer: Peer,
    admission: Admission,
    stop: watch::Receiver<bool>,
) {
    let current = service.current();
    let patience = Duration::from_secs(current.settings.command_timeout);
    let transport = if is_tls {
        match timeout(patience, current.tls.accept(stream)).await {
            Ok(Ok(transport)) => transport,
            _ => return,
        }
    } else {
        Transport::Plain(stream)
    };
    let client = Client::new(Wire::new(transport, patience));
    let (failures, errors) = (0, 0);
    let connection =
        Connection { service, current, client, peer, admission, stop, failures, errors };
    connection.run().await;
}

impl Connection {
    async fn run(mut self) {
        let greeting = format!("* OK [CAPABILITY {}] nightsafe ready", self.capabilities());
        self.client.say(greeting);
        let end = loop {
            match self.command().await {
                Ok(Next::Command) => {}
                Ok(Next::Tls) => match self.begin_tls().await {
                    Some(connection) => self = connection,
                    None => return,
                },
                Ok(Next::Session(logged_in)) => {
                    let Self { service, current, client, admission, stop, .. } = self;
                    let (backend, keys, login) = *logged_in;
                    let session = Session::new(
                        service, current, client, backend, keys, login, admission, stop,
                    );
                    return session.run().await;
                }
                Err(end) => break end,
            }
        };
        say_bye(&mut self.client, end, &self.peer.to_string()).await;
    }

    fn capabilities(&self) -> String {
        let may_start_tls = self.current.tls.is_offered() && !self.client.wire.is_tls();
        capability::before_login(may_start_tls, self.may_log_in())
    }

    /// A password comes over TLS or does not leave the machine.
    fn may_log_in(&self) -> bool {
        self.client.wire.is_tls()
            || match &self.peer {
                Peer::User(_) => true,
                Peer::Host(host) => host.is_loopback(),
            }
    }

    async fn command(&mut self) -> Result<Next, End> {
        let octets = loop {
            match self.client.look().await? {
                Asked::Command(octets) => break octets,
                Asked::Message { .. } => return Err(End::Bye("log in first")),
                Asked::More => {
                    self.client.flush().await?;
                    self.wait().await?;
                }
            }
        };
        // It may have a password in it.
        let text = SecretBytes::from(self.client.wire.take_out(octets));
        self.client.wire.rest();
        let text = text.expose().strip_suffix(b"\r\n").unwrap_or_default();
        let Ok(told) = command::tagged(text) else {
            self.client.say("* BAD a tag comes first");
            return self.count_error();
        };
        let refused = match self.answer(told.tag, told.command).await {
            Ok(next) => return Ok(next),
            Err(Refused::Here(refusal)) => refusal,
            Err(Refused::End(end)) => return Err(end),
        };
        self.client.refuse(told.tag, &refused);
        self.count_error()
    }

    fn count_error(&mut self) -> Result<Next, End> {
        self.errors += 1;
        if self.errors < MAX_ERRORS { Ok(Next::Command) } else { Err(End::Bye("too many errors")) }
    }

    async fn wait(&mut self) -> Result<(), End> {
        let patience = Duration::from_secs(self.current.settings.command_timeout);
        let mut stop = self.stop.clone();
        tokio::select! {
            filled = timeout(patience, self.client.wire.fill()) => match filled {
                Ok(filled) => Ok(filled?),
                Err(_) => Err(End::Bye("nobody logged in")),
            },
            _ = stop.wait_for(|stop| *stop) => Err(End::Bye("the server is stopped")),
        }
    }

    async fn answer(&mut self, tag: &[u8], text: &[u8]) -> Result<Next, Refused> {
        if !command::is_clean(text) {
            return Err(Refusal::bad("there is a control character in it").into());
        }
        match command::parse(text)? {
            ClientCommand::Capability => {
                let told = format!("* CAPABILITY {}", self.capabilities());
                self.client.say(told);
                self.client.finish(tag, "OK that is all");
            }
            ClientCommand::Noop => self.client.finish(tag, "OK nothing done"),
            ClientCommand::Id => {
                self.client.say(ID);
                self.client.finish(tag, "OK nice to meet you");
            }
            ClientCommand::Logout => {
                self.client.say("* BYE come again");
                self.client.finish(tag, "OK logged out");
                self.client.flush().await?;
                return Err(End::Gone.into());
            }
            ClientCommand::StartTls => {
                if self.client.wire.is_tls() || !self.current.tls.is_offered() {
                    return Err(Refusal::bad("TLS cannot begin here").into());
                }
                self.client.finish(tag, "OK begin TLS now");
                self.client.flush().await?;
                return Ok(Next::Tls);
            }
            ClientCommand::Login(arguments) => {
                self.forbid_clear()?;
                let credentials = Credentials::of_login(arguments)?;
                return self.log_in(tag, &credentials).await;
            }
            ClientCommand::Authenticate { mechanism, initial } => {
                self.forbid_clear()?;
                let credentials = self.authenticate(&mechanism, initial).await?;
                return self.log_in(tag, &credentials).await;
            }
            _ => return Err(Refusal::bad("log in first").into()),
        }
        Ok(Next::Command)
    }

    fn forbid_clear(&self) -> Result<(), Refusal> {
        if self.may_log_in() {
            return Ok(());
        }
        Err(Refusal::no_code("PRIVACYREQUIRED", "a password is not taken in the clear: begin TLS"))
    }

    /// SASL PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login).
    async fn authenticate(
        &mut self,
        mechanism: &str,
        initial: Option<&[u8]>,
    ) -> Result<Credentials, Refused> {
        let first =
            |prompt: &'static str| (initial.map(|text| SecretBytes::from(text.to_vec())), prompt);
        match mechanism {
            "PLAIN" => {
                let (given, prompt) = first("");
                let message = match given {
                    Some(given) => given,
                    None => self.prompt(prompt).await?,
                };
                Ok(Credentials::of_plain(message.expose())?)
            }
            "LOGIN" => {
                // "User Name" and "Password"
                let (given, prompt) = first("VXNlciBOYW1lAA==");
                let user = match given {
                    Some(given) => given,
                    None => self.prompt(prompt).await?,
                };
                let password = self.prompt("UGFzc3dvcmQA").await?;
                let [user, password] =
                    [user, password].map(|encoded| crate::imap::login::decode(encoded.expose()));
                Ok(Credentials::new(user?.expose(), password?.expose())?)
            }
            _ => Err(Refusal::no("PLAIN and LOGIN are what there is").into()),
        }
    }

    /// Asks for a line of a SASL exchange. `*` ends it (RFC 3501 §6.2.2).
    async fn prompt(&mut self, prompt: &str) -> Result<SecretBytes, Refused> {
        self.client.say(format_args!("+ {prompt}"));
        self.client.flush().await?;
        loop {
            let waiting = self.client.wire.waiting();
            if let Some(end) = memchr::memchr(b'\n', waiting) {
                let line = SecretBytes::from(self.client.wire.take_out(end + 1));
                self.client.wire.rest();
                return match line.expose().trim_ascii() {
                    b"*" => Err(Refusal::bad("given up").into()),
                    line => Ok(SecretBytes::from(line.to_vec())),
                };
            }
            if waiting.len() > MAX_COMMAND_BYTES {
                return Err(End::Bye("the line is too long").into());
            }
            self.wait().await?;
        }
    }

    async fn log_in(&mut self, tag: &[u8], credentials: &Credentials) -> Result<Next, Refused> {
        let user = credentials.user.as_str();
        let settings: &config::Imap = &self.current.settings;
        let most = self.current.max_message_bytes;
        let origin = Origin { peer: self.peer.clone(), tls: self.client.wire.tls_version() };
        let logged_in =
            Backend::log_in(settings, &self.current.tls, &origin, credentials, most).await;
        let backend = match logged_in {
            Ok(backend) => backend,
            Err(Failed::Refused(_)) => {
                log::imap_login_failed(user, &self.peer);
                self.service.metrics.login(Login::Refused);
                self.failures += 1;
                let refusal =
                    Refusal::no_code("AUTHENTICATIONFAILED", "wrong user name or password");
                if self.failures < settings.login_attempts {
                    return Err(refusal.into());
                }
                self.client.refuse(tag, &refusal);
                return Err(End::Bye("too many wrong passwords").into());
            }
            Err(failed) => {
                log::imap_store_away(user, &self.peer, &failed);
                self.service.metrics.login(Login::StoreAway);
                let text = "the mail store cannot be reached, try again later";
                return Err(Refusal::no_code("UNAVAILABLE", text).into());
            }
        };
        let keys = Keys::unlock(&self.current.agent, credentials).await;
        self.service.metrics.login(match &keys {
            Keys::Held(_) => Login::Unlocked,
            Keys::None => Login::NoKeys,
            Keys::Away(_) => Login::KeysAway,
        });
        log::imap_logged_in(user, &self.peer, keys.status());
        if let Keys::Away(why) = &keys {
            log::imap_keys_away(user, &self.peer, &why.cause);
        }
        if let Keys::Held(held) = &keys {
            for notice in &held.notices {
                self.client.say(format_args!("* OK [ALERT] {notice}"));
            }
        }
        let told = backend.capabilities.honoured(self.current.largest_append());
        self.client.finish(tag, format_args!("OK [CAPABILITY {told}] logged in"));
        Ok(Next::Session(Box::new((backend, keys, user.to_owned()))))
    }

    /// Whatever the client sent before TLS began was said by nobody knows whom: then there is no session.
    async fn begin_tls(mut self) -> Option<Self> {
        let patience = Duration::from_secs(self.current.settings.command_timeout);
        let Transport::Plain(stream) = self.client.wire.into_transport()? else { return None };
        let transport = timeout(patience, self.current.tls.accept(stream)).await.ok()?.ok()?;
        self.client = Client::new(Wire::new(transport, patience));
        Some(self)
    }
}

/// Says why a session ends.
pub(super) async fn say_bye(client: &mut Client, end: End, who: &str) {
    match end {
        End::Gone => {}
        End::Bye(why) => client.say(format_args!("* BYE {why}")),
        End::Store(why) => {
            log::imap_store_lost(who, &why);
            client.say("* BYE the mail store is gone, come back later");
        }
    }
    let _ = client.flush().await;
    client.wire.close().await;
}

//! How a connection to the store begins: its greeting, what it offers, and the client's own login.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::config;
use crate::imap::Manner;
use crate::imap::capability::Capabilities;
use crate::imap::login::Credentials;
use crate::imap::response::{self, Response};
use crate::secret::SecretBytes;
use crate::sys::socket::{Peer, Stream};

use super::super::origin::Origin;
use super::super::tls::Tls;
use super::super::transport::Transport;
use super::super::wire::Wire;
use super::{Backend, Failed, MAX_LINE_BYTES, printable};

impl Backend {
    /// Connects to the store and logs in. `most` is the longest message that it may answer with.
    ///
    /// # Errors
    /// Why the store is of no use; [`Failed::Refused`] is the user's own fault.
    pub(in crate::imap::proxy) async fn log_in(
        settings: &config::Imap,
        tls: &Tls,
        origin: &Origin,
        credentials: &Credentials,
        most: u64,
    ) -> Result<Self, Failed> {
        let mut backend = Self::greeted(settings, tls, origin, most).await?;
        if settings.backend_id && backend.capabilities.has("ID") {
            backend.tell_who(&origin.peer).await?;
        }
        backend.authenticate(credentials).await?;
        Ok(backend)
    }

    /// Connects to the store, and knows what it offers before a login.
    ///
    /// # Errors
    /// Why the store is of no use.
    pub(in crate::imap::proxy) async fn greeted(
        settings: &config::Imap,
        tls: &Tls,
        origin: &Origin,
        most: u64,
    ) -> Result<Self, Failed> {
        let wait = Duration::from_secs(settings.backend_connect_timeout);
        let transport = timeout(wait, connect(settings, tls, origin)).await??;
        let patience = Duration::from_secs(settings.backend_timeout);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut backend = Self {
            wire: Wire::new(transport, patience),
            capabilities: Capabilities::default(),
            commands: 0,
            patience,
            literals_end: 0,
            hold: None,
            aside: Vec::new(),
            manner: Manner::Dovecot,
            // A sealed message is written in base64.
            most: most.saturating_mul(2).saturating_add(MAX_LINE_BYTES),
        };
        timeout(wait, backend.greeting()).await??;
        Ok(backend)
    }

    async fn greeting(&mut self) -> Result<(), Failed> {
        let octets = self.response().await?;
        let greeting = self.wire.first(octets).trim_ascii_end();
        match response::parse(greeting) {
            Ok(Response::Bye(text)) => return Err(Failed::Bye(printable(text))),
            Ok(Response::Untagged) if greeting.get(..5) == Some(b"* OK ") => {}
            _ => return Err(Failed::Nonsense("no IMAP greeting")),
        }
        let told = Capabilities::find(greeting);
        let is_cyrus = memchr::memmem::find(greeting, b"Cyrus").is_some();
        self.wire.take(octets);
        match told {
            Some(told) => self.capabilities = told,
            None => self.ask_for_capabilities().await?,
        }
        // It may be told not to say who it is; nobody else has this one.
        if is_cyrus || self.capabilities.has("ANNOTATE-EXPERIMENT-1") {
            self.manner = Manner::Cyrus;
        }
        Ok(())
    }

    async fn ask_for_capabilities(&mut self) -> Result<(), Failed> {
        self.command(b"CAPABILITY").await?;
        let mut told = None;
        self.finish(|text| told = Capabilities::find(text).or(told.take())).await?;
        self.capabilities = told.ok_or(Failed::Nonsense("not what it offers"))?;
        Ok(())
    }

    /// Dovecot's `x-originating-ip` (RFC 2971 leaves the names of fields to who uses them).
    async fn tell_who(&mut self, peer: &Peer) -> Result<(), Failed> {
        let Peer::Host(host) = peer else { return Ok(()) };
        self.command(format!("ID (\"x-originating-ip\" \"{host}\")").as_bytes()).await?;
        self.finish(|_| ()).await.map(drop)
    }

    async fn authenticate(&mut self, credentials: &Credentials) -> Result<(), Failed> {
        let message = credentials.to_plain();
        let is_at_once = self.capabilities.has("SASL-IR");
        if self.capabilities.has("AUTH=PLAIN") {
            let mut command = SecretBytes::with_capacity(message.len() + 32);
            let initial: &[u8] = if is_at_once { b" " } else { b"" };
            let pieces = [&b"AUTHENTICATE PLAIN"[..], initial];
            let _ = pieces.iter().try_for_each(|piece| command.try_push(piece));
            if is_at_once {
                let _ = command.try_push(message.expose());
            }
            self.command(command.expose()).await?;
            if !is_at_once && self.continuation().await? {
                let mut line = SecretBytes::with_capacity(message.len() + 2);
                let _ = line.try_push(message.expose()).and_then(|()| line.try_push(b"\r\n"));
                self.wire.send(line.expose()).await?;
            }
        } else if self.capabilities.has("LOGINDISABLED") {
            return Err(Failed::Nonsense("that nobody can log in with a password"));
        } else {
            let mut command = SecretBytes::with_capacity(2 * credentials.user.len() + 64);
            let user = credentials.user.as_bytes();
            let password = credentials.password.expose();
            let lengths = [user.len(), password.len()].map(|n| format!("{{{n}}}\r\n"));
            let [first, second] = &lengths;
            let pieces =
                [&b"LOGIN "[..], first.as_bytes(), user, b" ", second.as_bytes(), password];
            let _ = pieces.iter().try_for_each(|piece| command.try_push(piece));
            self.command(command.expose()).await?;
        }
        let mut told = None;
        let rest = self.finish(|text| told = Capabilities::find(text).or(told.take())).await?;
        let tagged = [&b"x "[..], &rest].concat();
        if !response::is_ok(&rest) {
            let text = printable(&rest);
            // Nobody guessed: whoever looks for guesses must not find one.
            let is_away = response::code(&tagged).is_some_and(is_no_guess);
            return Err(if is_away { Failed::Away(text) } else { Failed::Refused(text) });
        }
        match Capabilities::find(&tagged).or(told) {
            Some(told) => self.capabilities = told,
            None => self.ask_for_capabilities().await?,
        }
        Ok(())
    }
}

/// Codes of a login that failed through no fault of the user's (RFC 5530 §3).
fn is_no_guess(code: &[u8]) -> bool {
    const CODES: [&str; 6] =
        ["UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG", "CONTACTADMIN", "PRIVACYREQUIRED"];
    let name = code.split(|byte| *byte == b' ').next().unwrap_or_default();
    CODES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

async fn connect(settings: &config::Imap, tls: &Tls, origin: &Origin) -> Result<Transport, Failed> {
    let mut stream = Stream::connect(&settings.backend.address).await?;
    if settings.backend_proxy_protocol {
        stream.write_all(&origin.header()).await?;
    }
    Ok(tls.connect(stream).await?)
}

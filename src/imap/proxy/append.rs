//! APPEND: what a client stores is sealed in memory before the store sees an octet of it.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::delivery::outcome::{Outcome, Verdict};
use crate::delivery::own::{Own, Owner};
use crate::imap::append;
use crate::imap::command::{self, Tagged};
use crate::imap::frame::Step;
use crate::imap::refusal::Refusal;
use crate::imap::token::Malformed;
use crate::log;
use crate::secret::SecretBytes;
use crate::service::memory::Reserved;
use crate::sys::clock;

use super::client::{End, Refused};
use super::session::{OWN_ONLY, Session};

/// What may be appended, and how.
struct Allowed {
    /// Mailbox, flags and date, as they came.
    arguments: Vec<u8>,
    own: Own,
    reserved: Reserved,
}

impl Session {
    /// Reads and stores a message whose command is there up to it, in `head` octets.
    ///
    /// # Errors
    /// Where the session is over. Nothing was stored then that the client was told of.
    pub(super) async fn append(
        &mut self,
        head: usize,
        octets: u64,
        waits: bool,
    ) -> Result<(), End> {
        let text = self.client.wire.take_out(head);
        // It was told apart when the literal was found.
        let Ok(told) = command::tagged(&text) else { return Err(End::Gone) };
        let refused = match self.may_append(&told, octets).await {
            Ok(allowed) => {
                if waits {
                    self.client.say("+ go on");
                }
                self.client.flush().await?;
                match self.take_message(octets).await? {
                    Ok(message) => self.store(told.tag, allowed, message).await,
                    Err(refusal) => Err(refusal.into()),
                }
            }
            Err(Refused::Here(refusal)) if waits => Err(refusal.into()),
            Err(Refused::Here(refusal)) => {
                self.client.skip(octets).await?;
                self.client.skip_line().await?;
                Err(refusal.into())
            }
            Err(Refused::End(end)) => return Err(end),
        };
        match refused {
            Ok(()) => {}
            Err(Refused::Here(refusal)) => self.client.refuse(told.tag, &refusal),
            Err(Refused::End(end)) => return Err(end),
        }
        self.flush_some().await
    }

    /// Whether a message of this size may come at all: asked before the client sends it.
    async fn may_append(&mut self, told: &Tagged<'_>, octets: u64) -> Result<Allowed, Refused> {
        if !command::is_clean(told.command.strip_suffix(b"\r\n").unwrap_or_default()) {
            return Err(Refusal::bad("there is a control character in it").into());
        }
        let append = append::parse(told.command)?.ok_or(Malformed)?;
        if octets > self.current.largest_append() {
            return Err(Refusal::no_code("TOOBIG", "the message is too large").into());
        }
        let own = self.current.site.delivery().own(&self.login);
        let own = own.map_err(|outcome| self.not_stored(&outcome))?;
        if matches!(own, Own::Sealed(_)) && self.is_foreign(&append.mailbox).await? {
            return Err(Refusal::no_code("CANNOT", OWN_ONLY).into());
        }
        let budget = Arc::clone(&self.service.budget);
        let mut reserved = Reserved::new(budget, self.admission.share.clone());
        let waited = reserved.grow_to(octets).await;
        waited.map_err(|_| Refusal::no_code("UNAVAILABLE", "there is no memory for it now"))?;
        Ok(Allowed { arguments: append.arguments.to_vec(), own, reserved })
    }

    /// Reads the message and the end of its command.
    async fn take_message(&mut self, octets: u64) -> Result<Result<SecretBytes, Refusal>, End> {
        let wanted = usize::try_from(octets).map_err(|_| End::Bye("the message is too long"))?;
        let mut message = SecretBytes::with_capacity(wanted);
        while message.len() < wanted {
            if self.client.wire.waiting().is_empty() {
                self.client.wire.fill_in_time().await?;
            }
            let some = self.client.wire.waiting().len().min(wanted - message.len());
            let pushed = message.try_push(self.client.wire.first(some));
            pushed.map_err(|_| End::Bye("out of memory"))?;
            self.client.wire.take(some);
        }
        loop {
            match self.client.wire.step() {
                Ok(Step::Complete(2)) => {
                    self.client.wire.take(2);
                    return Ok(append::check(message.expose()).map(|()| message));
                }
                Ok(Step::More) if self.client.wire.waiting().len() < 2 => {
                    self.client.wire.fill_in_time().await?;
                }
                // Another message, or whatever it is.
                _ => {
                    self.client.skip_line().await?;
                    return Ok(Err(Refusal::bad("APPEND takes one message")));
                }
            }
        }
    }

    async fn store(
        &mut self,
        tag: &[u8],
        allowed: Allowed,
        message: SecretBytes,
    ) -> Result<(), Refused> {
        let stored = match allowed.own {
            Own::Sealed(owner) => self.sealed(owner, message).await?,
            Own::Passed => message,
        };
        let command = [b"APPEND ", &*allowed.arguments].concat();
        self.backend.command_with(&command, stored.expose()).await?;
        drop((stored, allowed.reserved));
        if self.relay(tag, |_| ()).await? {
            self.service.metrics.appended();
        }
        Ok(())
    }

    /// Seals on a thread of its own: a large message takes a second.
    async fn sealed(
        &mut self,
        owner: Box<Owner>,
        message: SecretBytes,
    ) -> Result<SecretBytes, Refused> {
        let current = Arc::clone(&self.current);
        let sealing = spawn_blocking(move || {
            let delivery = current.site.delivery();
            let sealed = delivery.seal_own(&owner, message.expose(), clock::now())?;
            drop(message);
            let room = usize::try_from(sealed.size_hint()).unwrap_or_default();
            let mut letter = Vec::new();
            letter.try_reserve_exact(room).map_err(|_| Outcome::out_of_memory())?;
            sealed.write_to(&mut letter).map_err(|_| Outcome::out_of_memory())?;
            Ok::<_, Outcome>(SecretBytes::from(letter))
        });
        let sealed = sealing.await.unwrap_or_else(|_| Err(Outcome::panicked()));
        Ok(sealed.map_err(|outcome| self.not_stored(&outcome))?)
    }

    /// Nothing is stored that cannot be sealed.
    fn not_stored(&self, outcome: &Outcome) -> Refusal {
        log::imap_not_stored(&self.login, outcome.detail().unwrap_or_default());
        match outcome.verdict {
            Verdict::Rejected => {
                Refusal::no_code("NOPERM", "your mail cannot be sealed, so it is not stored")
            }
            _ => Refusal::no_code(
                "UNAVAILABLE",
                "your mail cannot be sealed now, so it is not stored",
            ),
        }
    }
}

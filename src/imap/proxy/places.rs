//! Where mail may lie: what is sealed for one user is of no use in a mailbox that others read.

use crate::imap::forward;
use crate::imap::items::read_label;
use crate::imap::namespace::Namespaces;
use crate::imap::refusal::Refusal;
use crate::imap::response::{self, Response};
use crate::imap::token::Cursor;
use crate::seal::SIGNATURE_FIELD;

use super::client::{End, Refused};
use super::session::{OWN_ONLY, Session};

/// The store does not say what is whose.
const NOBODY_KNOWS: &str = "the mail store does not say whose mailbox that is, try again later";

/// What the store has said of its namespaces, once somebody asked.
#[derive(Debug, Default)]
pub(super) struct Places(Option<Namespaces>);

impl Session {
    /// Whether others may read what lies in a mailbox. A store that has no namespaces (RFC 2342) has nothing
    /// of others.
    ///
    /// # Errors
    /// Where the store does not say so now; it is asked again next time.
    pub(super) async fn is_foreign(&mut self, mailbox: &[u8]) -> Result<bool, Refused> {
        // RFC 3501 §5.1: this one is the user's own everywhere.
        if mailbox.eq_ignore_ascii_case(b"INBOX") {
            return Ok(false);
        }
        if self.places.0.is_none() {
            self.places.0 = match self.backend.capabilities.has("NAMESPACE") {
                true => self.ask_for_namespaces().await?,
                false => Some(Namespaces::default()),
            };
        }
        let unknown = || Refusal::no_code("UNAVAILABLE", NOBODY_KNOWS);
        Ok(self.places.0.as_ref().ok_or_else(unknown)?.is_foreign(mailbox))
    }

    async fn ask_for_namespaces(&mut self) -> Result<Option<Namespaces>, End> {
        self.backend.command(b"NAMESPACE").await?;
        let (mut told, mut aside) = (None, Vec::new());
        let finished = self.backend.finish(|line| match Namespaces::parse(line) {
            Ok(namespaces) => told = Some(namespaces),
            Err(_) => aside.extend_from_slice(&[line, b"\r\n"].concat()),
        });
        let is_ok = response::is_ok(&finished.await?);
        self.client.put(&aside);
        Ok(told.filter(|_| is_ok))
    }

    /// COPY and MOVE: into somebody else's mailbox only what is not sealed.
    pub(super) async fn copy(
        &mut self,
        tag: &[u8],
        text: &[u8],
        (uid, is_move): (bool, bool),
        set: &[u8],
        mailbox: &[u8],
    ) -> Result<(), Refused> {
        if !self.is_foreign(mailbox).await? {
            self.forward(tag, text).await?;
            return Ok(());
        }
        let kind = if uid { "UID " } else { "" };
        let set = String::from_utf8_lossy(set);
        let fetch = format!("{kind}FETCH {set} (UID BODY.PEEK[HEADER.FIELDS ({SIGNATURE_FIELD})])");
        self.backend.command(fetch.as_bytes()).await?;
        let (mut uids, mut has_sealed, mut aside) = (Vec::new(), false, Vec::new());
        let finished = self.backend.finish(|line| match looked_at(line) {
            Some((uid, is_sealed)) => {
                uids.push(uid.to_string());
                has_sealed |= is_sealed;
            }
            None => aside.extend_from_slice(&[line, b"\r\n"].concat()),
        });
        let rest = finished.await?;
        self.client.put(&aside);
        if !response::is_ok(&rest) {
            return Err(Refusal::no("the messages cannot be looked at").into());
        }
        if has_sealed {
            return Err(Refusal::no_code("CANNOT", OWN_ONLY).into());
        }
        if uids.is_empty() {
            self.client.finish(tag, "OK there is nothing to copy");
            return Ok(());
        }
        // Those that were looked at, and none that came since.
        let name = if is_move { "MOVE" } else { "COPY" };
        let mut command = format!("UID {name} {} ", uids.join(",")).into_bytes();
        command.extend_from_slice(&forward::string(mailbox));
        self.forward(tag, &command).await?;
        Ok(())
    }
}

/// The UID of a message, and whether it has our signature; `None` of what is no answer to the question.
fn looked_at(line: &[u8]) -> Option<(u64, bool)> {
    let Ok(Response::Fetch { list, .. }) = response::parse(line) else { return None };
    let mut at = Cursor::new(list);
    let (mut uid, mut is_sealed) = (None, None);
    at.expect(b'(').ok()?;
    while !at.eat(b')') {
        let name = read_label(&mut at).ok()?;
        at.space().ok()?;
        if name.eq_ignore_ascii_case(b"UID") {
            uid = Some(at.number().ok()?);
        } else if name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"BODY[")) {
            let fields = at.nstring().ok()?.unwrap_or_default();
            is_sealed = Some(!fields.trim_ascii().is_empty());
        } else {
            at.value().ok()?;
        }
        let _ = at.eat(b' ');
    }
    Some((uid?, is_sealed?))
}

//! FETCH: what the store answers is gathered into batches, each opened in one go while the next one is
//! read, and shown in the store's order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::imap::fetch::{Depth, Fetch};
use crate::imap::response::{self, Response};

use super::batch::{Batch, Done, Held, Reader};
use super::client::{End, Refused};
use super::lease::Keys;
use super::session::{LOCKED, Session};

/// A batch is opened when it has so many messages, or so many octets.
pub(super) const BATCH_MESSAGES: usize = 200;
pub(super) const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// Batches that are opened while the next one is read: one for each core.
pub(super) const MAX_OPENING: usize = 2;
/// Messages that are asked for again in one command.
const AGAIN_MESSAGES: usize = 200;

/// One FETCH on its way.
struct Run {
    fetch: Arc<Fetch>,
    reader: Option<Arc<Reader>>,
    batch: Batch,
    opening: VecDeque<JoinHandle<Result<Done, End>>>,
    /// Messages whose body is needed, which was not asked for, by the number of the command's kind.
    held: BTreeMap<u32, Held>,
    /// Messages that are shown as they are stored in the end.
    damaged: Vec<u32>,
}

impl Session {
    /// Answers FETCH and UID FETCH.
    ///
    /// # Errors
    /// What the client is answered, or the end of the session.
    pub(super) async fn fetch(
        &mut self,
        tag: &[u8],
        uid: bool,
        arguments: &[u8],
    ) -> Result<(), Refused> {
        let (set, fetch) = Fetch::parse(uid, arguments)?;
        if fetch.is_metadata() {
            let text = [if uid { &b"UID FETCH "[..] } else { b"FETCH " }, arguments].concat();
            self.forward(tag, &text).await?;
            return Ok(());
        }
        self.need_keys().await?;
        let reader = self.reader();
        let depth = if reader.is_some() { fetch.depth() } else { Depth::Known };
        let mut run = Run {
            fetch: Arc::new(fetch),
            reader,
            batch: Batch::default(),
            opening: VecDeque::new(),
            held: BTreeMap::new(),
            damaged: Vec::new(),
        };
        let command = run.fetch.command(set, depth);
        let result = self.fetch_with(&mut run, &command, depth, BTreeMap::new()).await?;
        while let Some(after) = run.held.keys().nth(AGAIN_MESSAGES).copied().or(Some(u32::MAX))
            && !run.held.is_empty()
        {
            let later = run.held.split_off(&after);
            let again = std::mem::replace(&mut run.held, later);
            let command = run.fetch.again(&set_of(again.keys()), Depth::Body);
            self.fetch_with(&mut run, &command, Depth::Body, again).await?;
        }
        let damaged = std::mem::take(&mut run.damaged);
        if !damaged.is_empty() {
            let command = run.fetch.command(&set_of(damaged.iter()), Depth::Known);
            run.reader = None;
            self.fetch_with(&mut run, &command, Depth::Known, BTreeMap::new()).await?;
        }
        self.client.put(tag);
        self.client.put(b" ");
        self.client.put(&result);
        self.client.put(b"\r\n");
        Ok(())
    }

    /// Who opens what is sealed; nobody where the user has no keys.
    pub(super) fn reader(&self) -> Option<Arc<Reader>> {
        let Keys::Held(held) = &self.keys else { return None };
        Some(Arc::new(Reader {
            ring: Arc::clone(&self.current.ring),
            names: Arc::clone(&held.names),
            lease: Arc::clone(&held.lease),
            manner: self.backend.manner(),
            service: Arc::clone(&self.service),
        }))
    }

    /// Sends one command and shows what comes of it. What follows the tag is given back.
    async fn fetch_with(
        &mut self,
        run: &mut Run,
        command: &[u8],
        depth: Depth,
        again: BTreeMap<u32, Held>,
    ) -> Result<Vec<u8>, End> {
        let again = Arc::new(again);
        self.backend.command(command).await?;
        let aside = self.backend.take_aside();
        run.batch.pass_on(&aside);
        let result = loop {
            let octets = self.next_response_unwatched().await?;
            let line = self.backend.first(octets);
            let line = line.strip_suffix(b"\r\n").unwrap_or(line);
            match response::parse(line) {
                Ok(Response::Tagged { tag, rest }) if self.backend.is_own(tag) => {
                    let rest = rest.to_vec();
                    self.backend.take(octets);
                    break rest;
                }
                Ok(Response::Fetch { .. }) => run.batch.add(self.backend.take_out(octets)),
                Ok(Response::Bye(_) | Response::Tagged { .. } | Response::Continuation(_))
                | Err(_) => {
                    return Err(End::Store("it broke off a FETCH".into()));
                }
                Ok(Response::Untagged | Response::Capability) => {
                    run.batch.pass_on(self.backend.first(octets));
                    self.backend.take(octets);
                }
            }
            if run.batch.messages() >= BATCH_MESSAGES || run.batch.octets() >= BATCH_BYTES {
                self.open(run, depth, &again).await?;
            }
        };
        self.open(run, depth, &again).await?;
        while let Some(oldest) = run.opening.pop_front() {
            self.show(run, oldest).await?;
        }
        Ok(result)
    }

    /// Lets the batch in hand be opened, and shows the oldest of those that are.
    async fn open(
        &mut self,
        run: &mut Run,
        depth: Depth,
        again: &Arc<BTreeMap<u32, Held>>,
    ) -> Result<(), End> {
        if run.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut run.batch);
        let (fetch, reader) = (Arc::clone(&run.fetch), run.reader.clone());
        let opening = batch.open(fetch, reader, depth, Arc::clone(again));
        run.opening.push_back(tokio::spawn(opening));
        while run.opening.len() > MAX_OPENING {
            let Some(oldest) = run.opening.pop_front() else { break };
            self.show(run, oldest).await?;
        }
        Ok(())
    }

    async fn show(
        &mut self,
        run: &mut Run,
        opening: JoinHandle<Result<Done, End>>,
    ) -> Result<(), End> {
        let done = opening.await.unwrap_or(Err(End::Bye("internal error")))?;
        run.held.extend(done.held);
        run.damaged.extend(done.damaged);
        self.client.put(&done.shown);
        self.flush_some().await
    }
}

impl Drop for Run {
    /// Nobody opens what nobody waits for.
    fn drop(&mut self) {
        for opening in &self.opening {
            opening.abort();
        }
    }
}

/// The lease was lost while a batch was opened.
pub(super) fn locked() -> End {
    End::Bye(LOCKED)
}

/// A sequence set of these numbers.
fn set_of<'n>(numbers: impl Iterator<Item = &'n u32>) -> Vec<u8> {
    let numbers: Vec<String> = numbers.map(u32::to_string).collect();
    numbers.join(",").into_bytes()
}

//! FETCH: what the store answers is gathered into batches, each opened in one go while the next one is
//! read, and shown in the store's order.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::imap::fetch::{Depth, Fetch};
use crate::imap::response::{self, Response};
use crate::imap::search::Set;
use crate::imap::view;
use crate::service::turn::Hold;

use super::batch::{Again, Batch, Parts, Purpose};
use super::client::{End, Refused};
use super::lease::Keys;
use super::reader::Reader;
use super::room::{Full, Room};
use super::session::Session;
use super::show::Done;

/// Batches that are opened while the next one is read: one for each core.
pub(super) const MAX_OPENING: usize = 2;
/// Messages that are asked for again in one command.
const AGAIN_MESSAGES: usize = 200;

/// One FETCH on its way.
struct Run {
    fetch: Arc<Fetch>,
    reader: Option<Arc<Reader>>,
    batch: Batch,
    opening: VecDeque<Parts>,
    /// Messages whose body is needed, which was not asked for, by the number of the command's kind.
    held: Again,
    /// Messages that are shown as they are stored in the end.
    stored: Vec<u32>,
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
        let depth = self.depth_for(&fetch, set);
        let mut run = Run {
            fetch: Arc::new(fetch),
            reader,
            batch: Batch::new(Room::new(self.hold())),
            opening: VecDeque::new(),
            held: Again::new(),
            stored: Vec::new(),
        };
        let command = run.fetch.command(set, depth);
        let result = self.fetch_with(&mut run, &command, depth, Again::new()).await?;
        // What is not known yet first: some of it may need its body, too.
        for needed in [Depth::Head, Depth::Body] {
            while let Some(again) = take(&mut run.held, needed) {
                let numbers: Vec<u32> = again.keys().copied().collect();
                let command = run.fetch.again(&set_of(&numbers), needed);
                self.fetch_with(&mut run, &command, needed, again).await?;
            }
        }
        run.reader = None;
        let stored = std::mem::take(&mut run.stored);
        for numbers in stored.chunks(AGAIN_MESSAGES) {
            let command = run.fetch.command(&set_of(numbers), Depth::Known);
            self.fetch_with(&mut run, &command, Depth::Known, Again::new()).await?;
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
            since: held.since,
            // As much more than a new one may have as the store's answers: it may be from before the limit.
            most: self.current.max_message_bytes.saturating_mul(2),
            manner: self.backend.manner(),
            service: Arc::clone(&self.service),
            place: self.place(),
        }))
    }

    /// What the store is asked at first: nothing but what it says by itself where the set is likely to be
    /// known, or where there is nobody to open anything.
    fn depth_for(&self, fetch: &Fetch, set: &[u8]) -> Depth {
        let needed = fetch.depth();
        if !matches!(self.keys, Keys::Held(_)) {
            return Depth::Known;
        }
        let Some(place) = self.place() else { return needed };
        let named = Set::parse(set).ok();
        let is_known = match (needed, named) {
            // What is not there yet is asked for afterwards.
            (Depth::Head, None) => place.count() > 0,
            (Depth::Head, Some(set)) if set.count() > place.count() as u64 => false,
            (Depth::Head, Some(set)) => {
                !fetch.is_by_uid() || set.iter().all(|uid| place.known(uid).is_some())
            }
            (Depth::Body, Some(set)) if fetch.is_by_uid() && set.count() == 1 => {
                set.first().is_some_and(|uid| place.opened(uid).is_some())
            }
            _ => false,
        };
        match is_known {
            true if fetch.sets_seen() => Depth::Known,
            true => Depth::Listed,
            false => needed,
        }
    }

    /// Sends one command and shows what comes of it. What follows the tag is given back.
    async fn fetch_with(
        &mut self,
        run: &mut Run,
        command: &[u8],
        depth: Depth,
        again: Again,
    ) -> Result<Vec<u8>, End> {
        let (fetch, reader, again) = (Arc::clone(&run.fetch), run.reader.clone(), Arc::new(again));
        let purpose = Purpose { fetch, reader, depth, again };
        self.backend.command(command).await?;
        let aside = self.backend.take_aside();
        run.batch.pass_on(&aside);
        let result = loop {
            let octets = match self.next_response_if_room().await? {
                Some(octets) => octets,
                None => {
                    // What is sent gives memory back; only then can the rest be waited for.
                    self.open(run, &purpose, 0).await?;
                    self.next_response_unwatched().await?
                }
            };
            let line = self.backend.first(octets);
            let line = line.strip_suffix(b"\r\n").unwrap_or(line);
            match response::parse(line) {
                Ok(Response::Tagged { tag, rest }) if self.backend.is_own(tag) => {
                    let rest = rest.to_vec();
                    self.backend.take(octets);
                    break rest;
                }
                Ok(Response::Fetch { .. }) => {
                    let (response, hold) = self.backend.take_out(octets);
                    run.batch.add(response, hold);
                }
                Ok(Response::Bye(_) | Response::Tagged { .. } | Response::Continuation(_))
                | Err(_) => {
                    return Err(End::Store("it broke off a FETCH".into()));
                }
                Ok(Response::Untagged | Response::Capability) => {
                    run.batch.pass_on(self.backend.first(octets));
                    self.backend.take(octets);
                }
            }
            match run.batch.is_full() {
                Some(Full::Enough) => self.open(run, &purpose, MAX_OPENING).await?,
                Some(Full::Short) => self.open(run, &purpose, 0).await?,
                None => {}
            }
        };
        self.open(run, &purpose, 0).await?;
        Ok(result)
    }

    /// Lets the batch in hand be opened, and shows the oldest of those that are, up to so many.
    async fn open(&mut self, run: &mut Run, purpose: &Purpose, left: usize) -> Result<(), End> {
        if !run.batch.is_empty() {
            run.opening.push_back(run.batch.take().open(purpose.clone()));
        }
        while run.opening.len() > left {
            let Some(mut oldest) = run.opening.pop_front() else { break };
            while let Some(mut done) = oldest.next().await? {
                run.held.extend(std::mem::take(&mut done.held));
                run.stored.append(&mut done.stored);
                self.show(done).await?;
            }
        }
        Ok(())
    }

    /// Shows some of a batch; a large message is opened as it is sent.
    async fn show(&mut self, done: Done) -> Result<(), End> {
        if done.large.is_empty() {
            self.client.put_all(done.shown);
            return self.flush_some().await;
        }
        let mut shown = 0;
        for (place, body) in done.large {
            self.client.put(done.shown.get(shown..place).unwrap_or_default());
            self.client.flush().await?;
            shown = place;
            // All of it was read before. Where there is no memory now, there is no answer but to hang up:
            // whatever is said would be taken for the message.
            let mut pieces = body.pieces().map_err(|_| End::Gone)?;
            while let Some(piece) = pieces.read().map_err(|_| End::Gone)? {
                view::show_nuls(piece);
                self.client.wire.send(piece).await?;
            }
        }
        self.client.put(done.shown.get(shown..).unwrap_or_default());
        self.flush_some().await
    }

    /// Memory for what this client reads.
    pub(super) fn hold(&self) -> Hold {
        Hold::new(Arc::clone(&self.service.budget), self.admission.share.clone())
    }
}

/// Some of the messages that need this and no more.
fn take(held: &mut Again, needed: Depth) -> Option<Again> {
    let numbers = held.iter().filter(|(_, held)| held.depth.min(Depth::Body) == needed);
    let numbers: Vec<u32> = numbers.map(|(number, _)| *number).take(AGAIN_MESSAGES).collect();
    let again = numbers.iter().filter_map(|number| held.remove_entry(number));
    let again: Again = again.collect();
    (!again.is_empty()).then_some(again)
}

/// A sequence set of these numbers.
fn set_of(numbers: &[u32]) -> Vec<u8> {
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    numbers.join(",").into_bytes()
}

//! SEARCH: the store says which messages may match at all, and answers for those that are not sealed; the
//! others are looked at here, by their summaries or, where that does not decide, opened.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Duration, Instant, sleep_until, timeout};

use crate::imap::fetch::{Depth, Fetch};
use crate::imap::refusal::Refusal;
use crate::imap::response::{self, Response};
use crate::imap::search::{Hit, Mail, Piece, Program, Set, Truth};

use super::backend::{Backend, Failed};
use super::batch::panicked;
use super::cache::Known;
use super::client::{Client, End, MAX_COMMAND_BYTES, Refused};
use super::evaluation::{Asked, Found};
use super::fetch::MAX_OPENING;
use super::reader::Reader;
use super::room::{Full, Room};
use super::session::{LOCKED, Session};

/// How often a client is told that his search goes on.
const PATIENCE: Duration = Duration::from_secs(10);
/// As many messages show how a search is best done.
const SAMPLE_MESSAGES: usize = 64;

/// One search on its way.
struct Run {
    program: Arc<Program>,
    uid: bool,
    reader: Arc<Reader>,
    /// What the store has said of the leaves of the program.
    leaves: Arc<Vec<Set>>,
    /// How the store is asked for messages.
    fetch: Arc<Fetch>,
    hits: Vec<Hit>,
    /// Messages that are not sealed, and their mod-sequences.
    plain: Vec<Hit>,
    /// Messages that have to be opened.
    unknown: Vec<u32>,
    /// What is being looked into, the oldest first.
    opening: VecDeque<JoinHandle<Result<Found, End>>>,
    told: Instant,
}

impl Run {
    /// Waits for what takes long: the client is told now and then that it does, and ends it when he goes.
    async fn wait<T>(
        &mut self,
        client: &mut Client,
        work: impl Future<Output = T>,
    ) -> Result<T, End> {
        tokio::pin!(work);
        loop {
            let has_room = client.wire.waiting().len() < MAX_COMMAND_BYTES;
            tokio::select! {
                biased;
                // The next command may come already; whoever hangs up waits for no answer.
                filled = client.wire.fill(), if has_room => filled?,
                done = &mut work => return Ok(done),
                () = sleep_until(self.told + PATIENCE) => {
                    self.told = Instant::now();
                    client.say("* OK still searching");
                    client.flush().await?;
                }
            }
        }
    }

    /// Lets what was fetched be looked into.
    fn look_into(&mut self, depth: Depth, batch: &mut Vec<Vec<u8>>, room: &mut Room) {
        if batch.is_empty() {
            return;
        }
        let next = room.another();
        let (responses, room) = (std::mem::take(batch), std::mem::replace(room, next));
        let (reader, fetch) = (Arc::clone(&self.reader), Arc::clone(&self.fetch));
        let (program, leaves) = (Arc::clone(&self.program), Arc::clone(&self.leaves));
        let asked = Asked { reader, fetch, program, leaves, depth };
        self.opening.push_back(tokio::spawn(asked.evaluate(responses, room)));
    }

    /// Waits for all but so many of what is looked into.
    async fn found(&mut self, client: &mut Client, left: usize) -> Result<(), End> {
        while self.opening.len() > left {
            let Some(mut oldest) = self.opening.pop_front() else { break };
            let found = self.wait(client, &mut oldest).await;
            let found = found.inspect_err(|_| oldest.abort())?;
            self.add(found.unwrap_or(Err(panicked()))?);
        }
        Ok(())
    }

    fn add(&mut self, found: Found) {
        self.hits.extend(found.hits);
        self.plain.extend(found.plain);
        self.unknown.extend(found.unknown);
    }
}

impl Drop for Run {
    /// Nobody looks into what nobody waits for.
    fn drop(&mut self) {
        for opening in &self.opening {
            opening.abort();
        }
    }
}

impl Session {
    /// Answers SEARCH and UID SEARCH.
    ///
    /// # Errors
    /// What the client is answered, or the end of the session.
    pub(super) async fn search(
        &mut self,
        tag: &[u8],
        uid: bool,
        arguments: &[u8],
    ) -> Result<(), Refused> {
        let name: &[u8] = if uid { b"UID SEARCH " } else { b"SEARCH " };
        let program = match Program::parse(arguments, self.backend.manner()) {
            Ok(program) => program,
            Err(refused) => {
                self.client.finish(tag, refused);
                return Ok(());
            }
        };
        if program.is_native() {
            self.forward(tag, &[name, arguments].concat()).await?;
            return Ok(());
        }
        self.need_keys().await?;
        let Some(reader) = self.reader() else {
            self.forward(tag, &[name, arguments].concat()).await?;
            return Ok(());
        };
        // The mod-sequences come with the messages.
        let items: &[u8] = if program.asks_modseq() { b"1 (MODSEQ)" } else { b"1 (UID)" };
        let (_, fetch) = Fetch::parse(uid, items)?;
        let mut run = Run {
            program: Arc::new(program),
            uid,
            reader,
            leaves: Arc::default(),
            fetch: Arc::new(fetch),
            hits: Vec::new(),
            plain: Vec::new(),
            unknown: Vec::new(),
            opening: VecDeque::new(),
            told: Instant::now(),
        };
        self.find(&mut run).await?;
        let tag_text = String::from_utf8_lossy(tag);
        let answer = run.program.answer(&tag_text, uid, &run.hits);
        self.client.put(&answer);
        self.client.put(b"\r\n");
        self.client.finish(tag, "OK SEARCH completed");
        Ok(())
    }

    async fn find(&mut self, run: &mut Run) -> Result<(), Refused> {
        let narrowing = [Piece::Plain(run.program.narrowing())];
        let candidates = self.ask(run, &narrowing).await?;
        if candidates.is_empty() {
            return Ok(());
        }
        let mut leaves = Vec::new();
        let asked: Vec<String> = run.program.leaves().collect();
        for leaf in asked {
            leaves.push(self.ask(run, &[Piece::Plain(leaf)]).await?);
        }
        run.leaves = Arc::new(leaves);
        self.look_at(run, candidates).await?;
        if run.plain.is_empty() {
            return Ok(());
        }
        let plain: Set = run.plain.iter().map(|hit| hit.number).collect();
        let asked = run.program.for_plain(&plain, run.uid);
        let found = self.ask(run, &asked).await?;
        run.hits.extend(run.plain.iter().filter(|hit| found.contains(hit.number)));
        Ok(())
    }

    /// Looks at the sealed ones among the candidates. Where bodies are asked about, a few of them show
    /// whether it is worth while to look at summaries first.
    async fn look_at(&mut self, run: &mut Run, candidates: Set) -> Result<(), Refused> {
        let mut left = self.look_at_known(run, candidates).await?;
        if run.program.needs_body() {
            let mut numbers = left.iter();
            let sample: Set = numbers.by_ref().take(SAMPLE_MESSAGES).collect();
            let rest: Set = numbers.collect();
            self.fetch_for(run, &sample, Depth::Head).await?;
            left = rest;
            if run.unknown.len() * 2 > SAMPLE_MESSAGES && !left.is_empty() {
                self.fetch_for(run, &left, Depth::Body).await?;
                left = Set::default();
            }
        }
        if !left.is_empty() {
            self.fetch_for(run, &left, Depth::Head).await?;
        }
        let unknown: Set = std::mem::take(&mut run.unknown).into_iter().collect();
        if !unknown.is_empty() {
            self.fetch_for(run, &unknown, Depth::Body).await?;
        }
        Ok(())
    }

    /// Looks at those whose summaries were opened before; the others are given back.
    async fn look_at_known(&mut self, run: &mut Run, candidates: Set) -> Result<Set, End> {
        let place = run.reader.place.clone();
        let Some(place) = place.filter(|_| run.uid && !run.program.asks_modseq()) else {
            return Ok(candidates);
        };
        let (program, leaves) = (Arc::clone(&run.program), Arc::clone(&run.leaves));
        let looking = spawn_blocking(move || {
            let (mut found, mut left) = (Found::default(), Vec::new());
            for number in candidates.iter() {
                let hit = Hit { number, modseq: 0 };
                match place.known(number) {
                    None => left.push(number),
                    Some(Known::Stored) => found.plain.push(hit),
                    Some(Known::Sealed(summary)) => {
                        match program.evaluate(number, &leaves, &Mail::listed(&summary)) {
                            Truth::Yes => found.hits.push(hit),
                            Truth::No => {}
                            Truth::Unknown => found.unknown.push(number),
                        }
                    }
                }
            }
            (found, left.into_iter().collect())
        });
        let (found, left) = looking.await.map_err(|_| panicked())?;
        run.add(found);
        Ok(left)
    }

    /// Asks the store a question, and gives what it found.
    async fn ask(&mut self, run: &mut Run, pieces: &[Piece]) -> Result<Set, Refused> {
        let mut command = if run.uid { b"UID SEARCH ".to_vec() } else { b"SEARCH ".to_vec() };
        for piece in pieces {
            match piece {
                Piece::Plain(text) => command.extend_from_slice(text.as_bytes()),
                Piece::Literal(octets) => {
                    command.extend_from_slice(format!("{{{}}}\r\n", octets.len()).as_bytes());
                    command.extend_from_slice(octets);
                }
            }
        }
        self.backend.command(&command).await?;
        let mut found = Set::default();
        loop {
            let octets = self.next_for(run, Backend::response, true).await?;
            let line = self.backend.first(octets);
            let line = line.strip_suffix(b"\r\n").unwrap_or(line);
            match response::parse(line) {
                Ok(Response::Tagged { tag, rest }) if self.backend.is_own(tag) => {
                    let result = response::is_ok(rest).then_some(found);
                    // What the store cannot do, it says itself.
                    let words = String::from_utf8_lossy(rest.get(3..).unwrap_or_default());
                    let refusal = || Refusal::no(words.into_owned());
                    let result = result.ok_or_else(refusal);
                    self.backend.take(octets);
                    return Ok(result?);
                }
                Ok(Response::Untagged) if let Some(numbers) = found_in(line) => {
                    found = numbers;
                    self.backend.take(octets);
                }
                _ => self.pass_on(octets)?,
            }
        }
    }

    /// The store's next response, or the end of whoever else is in it. While the agent is asked for keys, the
    /// lease is not watched: whoever asks finds out that it is lost.
    async fn next_for<R>(
        &mut self,
        run: &mut Run,
        read: impl AsyncFn(&mut Backend) -> Result<R, Failed>,
        is_watched: bool,
    ) -> Result<R, End> {
        let Self { client, backend, keys, .. } = self;
        let response = async {
            let patience = backend.patience();
            tokio::select! {
                biased;
                octets = timeout(patience, read(backend)) => match octets {
                    Ok(octets) => Ok(octets?),
                    Err(_) => Err(End::Store("no answer in time".into())),
                },
                () = keys.are_lost(), if is_watched => Err(End::Bye(LOCKED)),
            }
        };
        run.wait(client, response).await?
    }

    /// Fetches messages and evaluates the program for them.
    async fn fetch_for(&mut self, run: &mut Run, set: &Set, depth: Depth) -> Result<(), Refused> {
        let text = set.to_text();
        let command = run.fetch.command(text.as_bytes(), depth);
        self.backend.command(&command).await?;
        let (mut batch, mut room) = (Vec::new(), Room::new(self.hold()));
        loop {
            let octets = match self.next_for(run, Backend::response_if_room, false).await? {
                Some(octets) => octets,
                None => {
                    // Only what is not held can be waited for.
                    run.look_into(depth, &mut batch, &mut room);
                    run.found(&mut self.client, 0).await?;
                    self.next_for(run, Backend::response, false).await?
                }
            };
            let line = self.backend.first(octets);
            let line = line.strip_suffix(b"\r\n").unwrap_or(line);
            let is_last = match response::parse(line) {
                Ok(Response::Tagged { tag, .. }) if self.backend.is_own(tag) => {
                    self.backend.take(octets);
                    true
                }
                Ok(Response::Fetch { .. }) if run.fetch.read(line, depth).is_some() => {
                    let (response, hold) = self.backend.take_out(octets);
                    room.count_message(octets, hold);
                    batch.push(response);
                    false
                }
                _ => {
                    self.pass_on(octets)?;
                    false
                }
            };
            let full = room.is_full();
            if is_last || full.is_some() {
                run.look_into(depth, &mut batch, &mut room);
            }
            let left = if is_last || full == Some(Full::Short) { 0 } else { MAX_OPENING };
            run.found(&mut self.client, left).await?;
            if is_last {
                return Ok(());
            }
        }
    }
}

/// The numbers of a SEARCH response.
fn found_in(line: &[u8]) -> Option<Set> {
    let rest = line.get(..8)?.eq_ignore_ascii_case(b"* SEARCH").then(|| line.get(8..))??;
    let words = rest.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    // A mod-sequence may stand behind them (RFC 7162 §3.1.5).
    let numbers = words.map_while(|word| std::str::from_utf8(word).ok()?.parse::<u32>().ok());
    Some(numbers.collect())
}

//! What a search finds in messages that were fetched for it: the sealed ones are opened, and the program is
//! evaluated for each.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::imap::fetch::{Depth, Fetch};
use crate::imap::search::{Hit, Mail, Program, Set, Truth};
use crate::seal::UnsealError;

use super::batch::panicked;
use super::cache::Known;
use super::client::End;
use super::opening::{Found as Parts, Opening, Wanted};
use super::reader::Reader;
use super::room::Room;

/// What came of some messages.
#[derive(Default)]
pub(super) struct Found {
    pub(super) hits: Vec<Hit>,
    pub(super) plain: Vec<Hit>,
    pub(super) unknown: Vec<u32>,
    /// What was opened for it.
    learned: Vec<(u32, Known)>,
}

/// What has to be known to evaluate a program.
pub(super) struct Asked {
    pub(super) reader: Arc<Reader>,
    pub(super) fetch: Arc<Fetch>,
    pub(super) program: Arc<Program>,
    pub(super) leaves: Arc<Vec<Set>>,
    pub(super) depth: Depth,
}

/// A message that was fetched.
struct Looked {
    hit: Hit,
    uid: u32,
}

impl Asked {
    /// Opens what is sealed among the responses, as there is room, and evaluates the program for all.
    ///
    /// # Errors
    /// Where the lease is lost, or a message cannot be opened now that can be later.
    pub(super) async fn evaluate(
        self,
        responses: Vec<Vec<u8>>,
        mut room: Room,
    ) -> Result<Found, End> {
        let asked = Arc::new(self);
        let looker = Arc::clone(&asked);
        let looking = spawn_blocking(move || looker.look(&responses));
        let (looked, mut opening) = looking.await.map_err(|_| panicked())?;
        let (mut looked, mut found) = (looked.into_iter(), Found::default());
        while !opening.is_empty() {
            let results;
            (results, opening) = opening.some(&asked.reader, Wanted::Message, &mut room).await?;
            let these: Vec<_> = looked.by_ref().take(results.len()).zip(results).collect();
            let finder = Arc::clone(&asked);
            let finding = spawn_blocking(move || {
                for (message, opened) in these {
                    finder.find(&message, opened, &mut found);
                }
                if let Some(place) = &finder.reader.place {
                    place.learn(std::mem::take(&mut found.learned));
                }
                found
            });
            found = finding.await.map_err(|_| panicked())?;
        }
        Ok(found)
    }

    fn look(&self, responses: &[Vec<u8>]) -> (Vec<Looked>, Opening) {
        let (mut all, mut opening) = (Vec::new(), Opening::default());
        for response in responses {
            let line = response.strip_suffix(b"\r\n").unwrap_or(response);
            let Some(answer) = self.fetch.read(line, self.depth) else { continue };
            // What cannot be opened is what it is stored as.
            opening.push(self.reader.look(&answer).and_then(Result::ok));
            let (number, modseq) = (self.fetch.number(&answer), answer.modseq().unwrap_or(0));
            all.push(Looked { hit: Hit { number, modseq }, uid: answer.uid });
        }
        (all, opening)
    }

    fn find(
        &self,
        message: &Looked,
        opened: Option<Result<Parts, UnsealError>>,
        found: &mut Found,
    ) {
        let Looked { hit, uid } = *message;
        let evaluate = |mail: &Mail<'_>| self.program.evaluate(hit.number, &self.leaves, mail);
        let parts = match opened {
            None | Some(Err(_)) => return found.plain.push(hit),
            Some(Ok(parts)) => parts,
        };
        let truth = match (parts.message, parts.summary) {
            (Some(message), _) => evaluate(&Mail::opened(message.expose())),
            (None, Some(summary)) => {
                let truth = evaluate(&Mail::listed(&summary));
                found.learned.push((uid, Known::Sealed(summary)));
                truth
            }
            (None, None) => Truth::Unknown,
        };
        match truth {
            Truth::Yes => found.hits.push(hit),
            Truth::No => {}
            Truth::Unknown if self.depth < Depth::Body => found.unknown.push(hit.number),
            // Its body is not what was signed.
            Truth::Unknown => found.plain.push(hit),
        }
    }
}

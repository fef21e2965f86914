//! A user's keys as a reader has them: not at all. What a stanza holds, the agent says.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::age::{self, FileKey, Identity, Stanza, Wrapped};
use crate::secret::SecretBytes;

use super::client::{Client, ClientError};
use super::protocol::{ANSWER_BYTES, Reply, Request};

/// An age identity that asks the agent.
#[derive(Debug)]
pub struct AgentIdentity {
    user: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    client: Client,
    problem: Option<AgentSilence>,
}

impl AgentIdentity {
    /// The keys of `user`, who is unlocked at the agent that `client` is connected to.
    pub fn new(client: Client, user: &str) -> Self {
        let state = Mutex::new(State { client, problem: None });
        Self { user: user.to_owned(), state }
    }

    /// Why the agent did not answer a question. A stanza then looks as if it were for somebody else.
    pub fn problem(&self) -> Option<AgentSilence> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).problem.take()
    }
}

impl Identity for AgentIdentity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Result<Option<FileKey>, age::Error> {
        let Some(wrapped) = Wrapped::of(stanza)? else { return Ok(None) };
        let request = Request::Recover { user: &self.user, stanzas: &wrapped.0 };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let problem = match state.client.ask(&request) {
            Ok(Reply::Keys(answers)) => {
                return Ok(match answers.expose().split_first() {
                    Some((1, key)) => FileKey::copy_of(key),
                    _ => None,
                });
            }
            Ok(_) => AgentSilence::Locked(self.user.clone()),
            Err(error) => AgentSilence::Client(error),
        };
        state.problem = Some(problem);
        Ok(None)
    }
}

/// Content keys that the agent gave for some stanzas, all together.
#[derive(Default)]
pub struct Recovered(HashMap<[u8; Wrapped::LEN], FileKey>);

impl fmt::Debug for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recovered({} keys)", self.0.len())
    }
}

impl Recovered {
    /// What was answered ([`Reply::Keys`]) to the stanzas that were sent, in their order.
    pub fn new(stanzas: &[u8], answers: &SecretBytes) -> Self {
        let (stanzas, _) = stanzas.as_chunks::<{ Wrapped::LEN }>();
        let answers = answers.expose().chunks_exact(ANSWER_BYTES);
        let found = stanzas.iter().zip(answers).filter_map(|(stanza, answer)| match answer {
            [1, key @ ..] => Some((*stanza, FileKey::copy_of(key)?)),
            _ => None,
        });
        Self(found.collect())
    }
}

impl Recovered {
    /// Takes others in.
    pub fn join(&mut self, others: Self) {
        self.0.extend(others.0);
    }
}

impl Identity for Recovered {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Result<Option<FileKey>, age::Error> {
        let Some(wrapped) = Wrapped::of(stanza)? else { return Ok(None) };
        Ok(self.0.get(&wrapped.0).and_then(|key| FileKey::copy_of(key.expose())))
    }
}

/// Why the agent did not say what a stanza holds.
#[derive(Debug)]
pub enum AgentSilence {
    /// The user's keys were wiped meanwhile.
    Locked(String),
    /// It does not answer.
    Client(ClientError),
}

impl fmt::Display for AgentSilence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(user) => write!(f, "the agent does not hold the keys of {user} any more"),
            Self::Client(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AgentSilence {}

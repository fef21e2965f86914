//! One question to the agent, within the time that the line in the stack gives.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::agent::client::{Client, ClientError};
use crate::agent::protocol::{Reply, Request};

use super::Call;
use super::ffi::Handle;
use super::options::Options;

/// The agent, for the length of one hook.
#[derive(Debug)]
pub(super) struct Agent {
    socket: PathBuf,
    trusted: Vec<u32>,
    end: Instant,
}

impl Agent {
    /// The agent that the line means. From now on its time runs.
    pub(super) fn new(call: &Call<'_>, options: &Options) -> Self {
        Self::at(options.socket.clone(), trusted(&call.handle, options), options.timeout)
    }

    /// The same, by what was kept of it.
    pub(super) fn at(socket: PathBuf, trusted: Vec<u32>, timeout: Duration) -> Self {
        Self { socket, trusted, end: Instant::now() + timeout }
    }

    /// Asks on a connection of its own, which is a lease if that was asked for.
    ///
    /// # Errors
    /// Where there is no answer of the agent.
    pub(super) fn ask(&self, request: &Request<'_>) -> Result<(Reply, Client), ClientError> {
        let left = self.end.saturating_duration_since(Instant::now());
        let mut client = Client::connect(&self.socket, &self.trusted, left)?;
        let reply = client.ask_before(request, self.end)?;
        Ok((reply, client))
    }

    /// Asks for what is an answer and no lease.
    ///
    /// # Errors
    /// As [`Agent::ask`].
    pub(super) fn answer(&self, request: &Request<'_>) -> Result<Reply, ClientError> {
        self.ask(request).map(|(reply, _)| reply)
    }
}

/// The numbers of the users that the agent may run as. A name that nobody has trusts nobody.
pub(super) fn trusted(handle: &Handle<'_>, options: &Options) -> Vec<u32> {
    let number = |user: &String| user.parse().ok().or_else(|| handle.uid_of(user));
    options.agents.iter().filter_map(number).collect()
}

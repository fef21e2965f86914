//! An LMTP server as the next hop (RFC 2033): Cyrus' or Dovecot's own, over a Unix or a TCP socket.

mod client;
mod letter;
mod offer;
mod pool;
mod reply;
mod wire;

use std::fmt;
use std::io;

use tokio::runtime::{Builder, Runtime};

use crate::sys::socket::Address;
use crate::user::User;

use super::{Letter, NextHop, Refusal};

pub(in crate::delivery) use client::{HandOver, Session};
pub use client::{Login, Recipient, Server, Timeouts};
pub use offer::{Extension, Offer};
pub(in crate::delivery) use pool::{Lease, Pool};
pub(in crate::delivery) use reply::Problem;

/// An LMTP server for a pipe transport, which has nothing else to do while it waits. The connection is
/// kept from one letter to the next.
pub struct Lmtp {
    server: Server,
    runtime: Option<Runtime>,
    session: Option<Session>,
}

impl fmt::Debug for Lmtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lmtp({})", self.server.address)
    }
}

impl Lmtp {
    /// The server at `address`; nobody is connected to yet.
    pub fn new(address: Address) -> Self {
        let server = Server { address, login: None, timeouts: Timeouts::default() };
        Self { server, runtime: None, session: None }
    }
}

impl NextHop for Lmtp {
    fn hand_on(
        &mut self,
        address: &str,
        _: Option<&User>,
        letter: &Letter<'_>,
    ) -> Result<(), Refusal> {
        let runtime = match &mut self.runtime {
            Some(runtime) => runtime,
            none => {
                let runtime = runtime().map_err(|cause| Refusal::io("cannot wait", &cause))?;
                none.insert(runtime)
            }
        };
        let recipient = Recipient { address: address.to_owned(), ignore_quota: false };
        let session = self.session.take();
        let handed_on = runtime.block_on(async {
            let mut session = match session {
                Some(session) => session,
                None => Session::open(&self.server).await?,
            };
            let mut handed = session.hand_over(&[recipient], letter).await?;
            // Whatever went wrong, the next letter gets a connection that is known to be clean.
            let answer =
                handed.answers.pop().unwrap_or_else(|| Err(Refusal::for_now("4.3.0", "no answer")));
            Ok((answer.is_ok().then_some(session), answer))
        });
        let (session, answer) =
            handed_on.map_err(|problem: Problem| problem.refusal(&self.server.address))?;
        self.session = session;
        answer
    }
}

impl Drop for Lmtp {
    fn drop(&mut self) {
        if let (Some(runtime), Some(session)) = (&self.runtime, self.session.take()) {
            runtime.block_on(session.quit());
        }
    }
}

/// Connects to a server, logs in where that is wanted, begins a transaction as a delivery does, and takes
/// leave: what it offers.
///
/// # Errors
/// What stands in the way of a delivery there.
pub fn ask_for_offer(server: &Server) -> Result<Offer, NoOffer> {
    let runtime = runtime().map_err(|cause| NoOffer::Away(Refusal::io("cannot wait", &cause)))?;
    let asked = runtime.block_on(async {
        let mut session = Session::open(server).await?;
        // Cyrus greets whoever comes by TCP, and then takes mail from nobody who has not logged in.
        session.rehearse().await?;
        let offer = session.offer();
        session.quit().await;
        Ok(offer)
    });
    asked.map_err(|problem: Problem| {
        let refusal = problem.refusal(&server.address);
        if problem.is_about_login() { NoOffer::Login(refusal) } else { NoOffer::Away(refusal) }
    })
}

/// Why a server offers nothing.
#[derive(Debug)]
pub enum NoOffer {
    /// It is not there, or is none.
    Away(Refusal),
    /// It wants a login, or another one.
    Login(Refusal),
}

fn runtime() -> io::Result<Runtime> {
    // One thread beside this one: a large letter blocks the one that writes it.
    Builder::new_multi_thread().worker_threads(1).enable_io().enable_time().build()
}

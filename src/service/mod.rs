//! What every daemon needs: sockets opened by it or by the service manager, limits of connections and
//! memory, signals, readiness, and a place to read its metrics at.
//!
//! Layer 2.

mod accept;
pub mod clients;
mod exposition;
pub mod memory;
mod signals;
pub mod turn;

use std::fmt;
use std::io;

use crate::sys::socket::{Address, Listener};

pub use accept::{Accepting, accept, finish};
pub use exposition::expose;
pub use signals::{Signal, Signals, tell_ready, tell_reloading, tell_stopping};

/// Listens at every address, or takes over the sockets that the service manager has opened.
///
/// # Errors
/// When an address cannot be had.
pub async fn listen(addresses: &[Address], mode: u32) -> Result<Vec<Listener>, ListenError> {
    let inherited = Listener::inherited().map_err(|cause| ListenError {
        address: "the sockets of the service manager".to_owned(),
        cause,
    })?;
    if !inherited.is_empty() {
        return Ok(inherited);
    }
    if addresses.is_empty() {
        let what = "`listen` names no address, and the service manager has opened no socket";
        let cause = io::Error::new(io::ErrorKind::InvalidInput, what);
        return Err(ListenError { address: "any address".to_owned(), cause });
    }
    bind(addresses, mode).await
}

/// Listens at every address.
///
/// # Errors
/// When an address cannot be had.
pub async fn bind(addresses: &[Address], mode: u32) -> Result<Vec<Listener>, ListenError> {
    let mut listeners = Vec::new();
    for address in addresses {
        let bound = Listener::bind(address, mode).await;
        listeners.push(bound.map_err(|cause| ListenError { address: address.to_string(), cause })?);
    }
    Ok(listeners)
}

/// An address that cannot be listened at.
#[derive(Debug)]
pub struct ListenError {
    address: String,
    cause: io::Error,
}

impl ListenError {
    /// What kind of error it is.
    pub fn kind(&self) -> io::ErrorKind {
        self.cause.kind()
    }

    /// Whether the address is a path.
    pub fn is_of_unix(&self) -> bool {
        self.address.starts_with("unix:")
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen at {}: {}", self.address, self.cause)
    }
}

impl std::error::Error for ListenError {}

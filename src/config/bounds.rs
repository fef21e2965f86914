//! Numbers and addresses with which a service would do nothing at all, or not what it says: refused when
//! the configuration is read.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::sys::socket::Address;

/// A year: longer than anybody waits, and short enough to be added to any time.
const MAX_SECONDS: u64 = 366 * 24 * 3600;

/// How many of something there may be: at least one.
pub(super) fn count<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    match usize::deserialize(from)? {
        0 => Err(D::Error::custom("0 is none, at least 1 is needed")),
        count => Ok(count),
    }
}

/// How long something may take, in seconds: at least one.
pub(super) fn timeout<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    match seconds(from)? {
        0 => Err(D::Error::custom("0 seconds are no time, and not without end: at least 1")),
        seconds => Ok(seconds),
    }
}

/// How long something is kept or waited for, in seconds; 0 for not at all.
pub(super) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    match u64::deserialize(from)? {
        seconds @ ..=MAX_SECONDS => Ok(seconds),
        seconds => {
            Err(D::Error::custom(format!("{seconds} seconds are more than a year ({MAX_SECONDS})")))
        }
    }
}

/// The permission bits of a socket.
pub(super) fn mode<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    match u32::deserialize(from)? {
        mode @ ..=0o777 => Ok(mode),
        mode => Err(D::Error::custom(format!("{mode:#o} is no mode of a socket, such as 0o660"))),
    }
}

/// Where this machine can be asked, and no other one.
pub(super) fn local<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Address>, D::Error> {
    let addresses = Vec::<Address>::deserialize(from)?;
    match addresses.iter().find(|address| !address.is_local()) {
        Some(address) => Err(D::Error::custom(format!(
            "{address} is for other machines, too: a loopback address or unix:/path"
        ))),
        None => Ok(addresses),
    }
}

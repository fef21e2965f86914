//! Standard output as the next hop: for filters, and to look at.

use std::io::{self, BufWriter, Write as _};

use crate::user::User;

use super::{BUFFER_BYTES, Letter, NextHop, Refusal};

/// Standard output.
#[derive(Debug, Default)]
pub struct Output;

impl NextHop for Output {
    fn hand_on(&mut self, _: &str, _: Option<&User>, letter: &Letter<'_>) -> Result<(), Refusal> {
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
        let written = letter.write_local(&mut out).and_then(|()| out.flush());
        written.map_err(|cause| Refusal::io("standard output", &cause))
    }
}

//! Private keys in locked memory. Nothing here gives one out.

use std::io;

use crate::age::{FileKey, PublicKey, SecretKey, Wrapped};
use crate::agent::protocol::{ANSWER_BYTES, STANZA_BYTES};
use crate::secret::{OutOfMemory, SecretBytes};
use crate::sys::memory::Locked;

const KEY_BYTES: usize = 32;

/// A user's private keys, newest first.
#[derive(Debug)]
pub(in crate::agent) struct Keys {
    memory: Locked,
    publics: Vec<PublicKey>,
}

impl Keys {
    /// Locked memory for `count` keys, before there are any.
    ///
    /// # Errors
    /// Where no more memory can be locked.
    pub(in crate::agent) fn reserve(count: usize) -> io::Result<Self> {
        Ok(Self { memory: Locked::new(count.saturating_mul(KEY_BYTES))?, publics: Vec::new() })
    }

    /// Takes the keys over. The caller's copies are wiped when he drops them.
    ///
    /// # Errors
    /// As [`Keys::reserve`], where there are more than was foreseen.
    pub(in crate::agent) fn fill(&mut self, keys: &[SecretKey]) -> io::Result<()> {
        if keys.len().saturating_mul(KEY_BYTES) > self.memory.expose().len() {
            *self = Self::reserve(keys.len())?;
        }
        let places = self.memory.expose_mut().chunks_exact_mut(KEY_BYTES);
        for (place, key) in places.zip(keys) {
            place.copy_from_slice(key.expose());
        }
        self.publics = keys.iter().map(SecretKey::public_key).collect();
        Ok(())
    }

    /// Appends to `answers` what each of `stanzas` holds.
    pub(super) fn recover(
        &self,
        stanzas: &[u8],
        answers: &mut SecretBytes,
    ) -> Result<(), OutOfMemory> {
        for stanza in stanzas.chunks_exact(STANZA_BYTES) {
            let opened = stanza.try_into().ok().and_then(|stanza| self.open(&Wrapped(stanza)));
            let found = opened.is_some();
            answers.try_push(&[u8::from(found)])?;
            answers.try_push(opened.as_ref().map_or(&[0; ANSWER_BYTES - 1], |key| key.expose()))?;
        }
        Ok(())
    }

    fn open(&self, stanza: &Wrapped) -> Option<FileKey> {
        let scalars = self.memory.expose().chunks_exact(KEY_BYTES);
        let mut keys = scalars.zip(&self.publics);
        keys.find_map(|(scalar, public)| stanza.open(scalar.try_into().ok()?, public))
    }
}

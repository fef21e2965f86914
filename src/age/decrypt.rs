//! Reading an age file as it is pushed in.
//!
//! It must never give out plaintext that is not authentic, nor go on after an error. What is given
//! out before the end is authentic and may be only the beginning: the file is whole when
//! [`Decryptor::finish`] says so.

use super::buffer::Buffer;
use super::header::{Header, HeaderReader};
use super::stream::{Chunks, NONCE_LEN, SEALED_CHUNK_LEN};
use super::{Error, FileKey, HeaderError, Identity, PayloadError, SecretKey, Wrapped};
use crate::secret::SecretBytes;

/// Reads one age file with any of some identities.
pub struct Decryptor<'k, I: Identity = SecretKey> {
    identities: &'k [I],
    state: State,
}

enum State {
    Header(HeaderReader),
    Nonce(FileKey, Buffer),
    Payload(Chunks, Buffer),
    Failed(Error),
}

impl<'k, I: Identity> Decryptor<'k, I> {
    /// Begins a file.
    pub fn new(identities: &'k [I]) -> Self {
        Self { identities, state: State::Header(HeaderReader::new()) }
    }

    /// Takes `ciphertext` and appends to `out` the chunks that it completes. The last chunk waits for
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`Error`] at the first thing that is wrong, and the same at every further call.
    pub fn push(&mut self, ciphertext: &[u8], out: &mut SecretBytes) -> Result<(), Error> {
        let taken = self.take(ciphertext, out);
        if let Err(error) = taken {
            self.state = State::Failed(error);
        }
        taken
    }

    /// Appends the last chunk to `out`. Only now is it known that nothing is missing.
    ///
    /// # Errors
    /// [`Error`] when the file is not whole, or an earlier call failed.
    pub fn finish(self, out: &mut SecretBytes) -> Result<(), Error> {
        match self.state {
            State::Header(reader) => Err(reader.end().into()),
            State::Nonce(..) => Err(HeaderError::Truncated.into()),
            State::Payload(mut chunks, mut waiting) => {
                give_out(&mut chunks, &mut waiting, true, out)
            }
            State::Failed(error) => Err(error),
        }
    }

    fn take(&mut self, mut input: &[u8], out: &mut SecretBytes) -> Result<(), Error> {
        while !input.is_empty() {
            match &mut self.state {
                State::Header(reader) => {
                    let (rest, header) = reader.push(input)?;
                    input = rest;
                    if let Some(header) = header {
                        let file_key = file_key(&header, self.identities)?;
                        self.state = State::Nonce(file_key, Buffer::new(NONCE_LEN));
                    }
                }
                State::Nonce(file_key, nonce) => {
                    input = nonce.fill(input);
                    if nonce.is_full() {
                        let chunks = Chunks::new(file_key, nonce.filled());
                        self.state = State::Payload(chunks, Buffer::new(SEALED_CHUNK_LEN));
                    }
                }
                State::Payload(chunks, waiting) => {
                    // There is input, so a chunk that is full now is not the last.
                    if waiting.is_full() {
                        give_out(chunks, waiting, false, out)?;
                        waiting.clear();
                    }
                    input = waiting.fill(input);
                }
                State::Failed(error) => return Err(*error),
            }
        }
        Ok(())
    }
}

/// The key of the file, believed: the first that an identity finds, if the header's MAC agrees.
pub(super) fn file_key<I: Identity>(header: &Header, identities: &[I]) -> Result<FileKey, Error> {
    for identity in identities {
        for stanza in &header.stanzas {
            if let Some(file_key) = identity.unwrap_stanza(stanza)? {
                return if header.is_authentic(&file_key) {
                    Ok(file_key)
                } else {
                    Err(Error::HeaderMac)
                };
            }
        }
    }
    Err(Error::NoMatch)
}

/// Gives out the chunk that waits, as the last one or not.
fn give_out(
    chunks: &mut Chunks,
    waiting: &mut Buffer,
    last: bool,
    out: &mut SecretBytes,
) -> Result<(), Error> {
    let whole = waiting.is_full();
    match chunks.open(waiting.filled(), last) {
        Ok(plaintext) => Ok(out.try_push(plaintext)?),
        // A whole chunk may be authentic and only the file's end in the wrong place. The test vectors
        // want it given out, as a reader does that does not look ahead; the file is bad all the same.
        Err(PayloadError::Altered) if whole => {
            out.try_push(chunks.open(waiting.filled(), !last)?)?;
            Err(if last { PayloadError::Truncated.into() } else { PayloadError::Trailing.into() })
        }
        Err(error) => Err(error.into()),
    }
}

/// The X25519 stanzas of a file, for somebody else to open. The file may be cut short behind its header.
///
/// # Errors
/// Where the header is none.
pub fn wrapped(file: &[u8]) -> Result<Vec<Wrapped>, Error> {
    let (_, header) = HeaderReader::new().push(file)?;
    let stanzas = header.ok_or(HeaderError::Truncated)?.stanzas;
    stanzas.iter().filter_map(|stanza| Wrapped::of(stanza).transpose()).collect()
}

/// The plaintext of a whole age file.
///
/// # Errors
/// [`Error`] when anything at all is wrong with it; nothing of it is given out then.
pub fn decrypt<I: Identity>(identities: &[I], file: &[u8]) -> Result<SecretBytes, Error> {
    let mut plaintext = SecretBytes::with_capacity(file.len());
    let mut decryptor = Decryptor::new(identities);
    decryptor.push(file, &mut plaintext)?;
    decryptor.finish(&mut plaintext)?;
    Ok(plaintext)
}

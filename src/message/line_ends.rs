//! Line ends at the edges: a pipe hands messages over with local line ends (LF), mail on the wire
//! has CRLF (RFC 5322 §2.3). Sealing itself changes nothing.

use std::io::{self, Write};

use crate::secret::{OutOfMemory, SecretBytes};

/// Turns every LF that no CR precedes into CRLF and changes nothing else. Fed in pieces.
#[derive(Debug, Default)]
pub struct ToCrlf {
    after_cr: bool,
}

impl ToCrlf {
    /// Appends `piece`, converted, to `out`.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn push(&mut self, piece: &[u8], out: &mut SecretBytes) -> Result<(), OutOfMemory> {
        let mut from = 0;
        for at in memchr::memchr_iter(b'\n', piece) {
            let preceded = match at.checked_sub(1) {
                Some(before) => piece.get(before) == Some(&b'\r'),
                None => self.after_cr,
            };
            if !preceded {
                out.try_push(piece.get(from..at).unwrap_or_default())?;
                out.try_push(b"\r")?;
                from = at;
            }
        }
        out.try_push(piece.get(from..).unwrap_or_default())?;
        self.after_cr = piece.last().map_or(self.after_cr, |last| *last == b'\r');
        Ok(())
    }
}

/// Writes CRLF as LF and changes nothing else: what goes to a file or a pipe has local line ends.
/// [`ToLf::finish`] ends it.
pub struct ToLf<W: Write> {
    out: W,
    /// A CR that ended the last piece; the next one tells what it is.
    held_cr: bool,
}

impl<W: Write> ToLf<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, held_cr: false }
    }

    /// Writes what is held back and flushes.
    ///
    /// # Errors
    /// What the writer answers.
    pub fn finish(mut self) -> io::Result<()> {
        if self.held_cr {
            self.out.write_all(b"\r")?;
        }
        self.out.flush()
    }
}

impl<W: Write> Write for ToLf<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let Some(first) = piece.first() else { return Ok(0) };
        if std::mem::take(&mut self.held_cr) && *first != b'\n' {
            self.out.write_all(b"\r")?;
        }
        let mut from = 0;
        for cr in memchr::memchr_iter(b'\r', piece) {
            match piece.get(cr + 1) {
                Some(b'\n') => {
                    self.out.write_all(piece.get(from..cr).unwrap_or_default())?;
                    from = cr + 1;
                }
                Some(_) => {}
                None => {
                    self.out.write_all(piece.get(from..cr).unwrap_or_default())?;
                    from = cr + 1;
                    self.held_cr = true;
                }
            }
        }
        self.out.write_all(piece.get(from..).unwrap_or_default())?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_crlf(pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = SecretBytes::default();
        let mut converter = ToCrlf::default();
        for piece in pieces {
            converter.push(piece, &mut out).unwrap();
        }
        out.expose().to_vec()
    }

    #[test]
    fn only_lone_lf_changes() {
        assert_eq!(to_crlf(&[b"a\nb\r\nc\rd\r\r\n\n"]), b"a\r\nb\r\nc\rd\r\r\n\r\n");
        assert_eq!(to_crlf(&[b"a\r", b"", b"\nb", b"\n"]), b"a\r\nb\r\n");
        assert_eq!(to_crlf(&[b"\n"]), b"\r\n");
        assert_eq!(to_crlf(&[]), b"");
    }

    #[test]
    fn crlf_to_lf() {
        let mut bytes = Vec::new();
        let mut out = ToLf::new(&mut bytes);
        for piece in [&b"a\r"[..], b"\nb\rc\r\n\r", b"\rd\r", b"", b"\n\n", b"\r"] {
            out.write_all(piece).unwrap();
        }
        out.finish().unwrap();
        assert_eq!(bytes, b"a\nb\rc\n\r\rd\n\n\r");
    }
}

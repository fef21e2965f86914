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

/// Writes CRLF as LF: what is delivered to a file or a pipe has local line ends. Only for sealed
/// messages, which contain no other CR.
pub struct ToLf<W: Write>(pub W);

impl<W: Write> Write for ToLf<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let mut from = 0;
        for at in memchr::memchr_iter(b'\r', piece) {
            self.0.write_all(piece.get(from..at).unwrap_or_default())?;
            from = at + 1;
        }
        self.0.write_all(piece.get(from..).unwrap_or_default())?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
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
        let mut out = ToLf(Vec::new());
        out.write_all(b"a\r").unwrap();
        out.write_all(b"\nb\r\n").unwrap();
        assert_eq!(out.0, b"a\nb\n");
    }
}

//! What delivery needs to know of a message: its header block and the skeleton of its MIME
//! structure. No body is decoded here; a full parse costs more than the cipher.
//!
//! Layer 1: bytes in, offsets out. No I/O, no clock, and no byte sequence that is refused.

pub mod header;
pub mod line_ends;
pub mod mime;

//! The list of a FETCH response (RFC 3501 §7.4.2): names of items and their values, as they came.

use std::fmt;

use super::items::read_label;
use super::token::{Cursor, Malformed};

/// Items in one response at most.
const MAX_ITEMS: usize = 1000;

/// One item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Its name with its section and its origin, `BODY[HEADER.FIELDS (TO)]<0>`.
    pub name: &'a [u8],
    /// Its value, as it stands.
    pub value: &'a [u8],
}

impl fmt::Debug for Pair<'_> {
    /// Its name: its value may be a letter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pair({}, {} octets)", self.name.escape_ascii(), self.value.len())
    }
}

/// Takes a list apart.
///
/// # Errors
/// Where it is none.
pub fn pairs(list: &[u8]) -> Result<Vec<Pair<'_>>, Malformed> {
    let mut at = Cursor::new(list);
    let mut pairs = Vec::new();
    at.expect(b'(')?;
    while !at.eat(b')') {
        if pairs.len() == MAX_ITEMS {
            return Err(Malformed);
        }
        let name = read_label(&mut at)?;
        at.space()?;
        pairs.push(Pair { name, value: at.value()? });
        while at.eat(b' ') {}
    }
    at.end()?;
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_apart() {
        let list = b"(UID 4 FLAGS (\\Seen $x) BODY[HEADER.FIELDS (\"TO\" FROM)] {4}\r\na)\r\n BODY[1.2]<0> \"x\" BODY[] NIL)";
        let pairs = pairs(list).unwrap();
        let names: Vec<&[u8]> = pairs.iter().map(|pair| pair.name).collect();
        let expected: [&[u8]; 5] =
            [b"UID", b"FLAGS", b"BODY[HEADER.FIELDS (\"TO\" FROM)]", b"BODY[1.2]<0>", b"BODY[]"];
        assert_eq!(names, expected);
        assert_eq!(pairs[2].value, b"{4}\r\na)\r\n");
        for bad in [&b"(UID"[..], b"UID 4", b"(UID 4) x", b"(BODY[ 1)", b"(X)"] {
            assert!(super::pairs(bad).is_err());
        }
    }
}

//! What is looked for in a text, whatever the case: a substring under i;unicode-casemap (RFC 5051).

use std::fmt;

use memchr::memmem::Finder;
use unicode_normalization::char::{decompose_compatible, is_combining_mark};

use super::Manner;

/// What is looked for.
#[derive(Clone)]
pub(super) struct Needle {
    /// As the client gave it.
    text: String,
    finder: Finder<'static>,
    manner: Manner,
}

impl fmt::Debug for Needle {
    /// How long it is: what somebody looks for is his own affair.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Needle({} octets)", self.text.len())
    }
}

impl PartialEq for Needle {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.manner == other.manner
    }
}

impl Needle {
    pub(super) fn new(text: String, manner: Manner) -> Self {
        let mut folded = Vec::new();
        fold(&text, manner, manner == Manner::Cyrus, &mut folded);
        Self { finder: Finder::new(&folded).into_owned(), text, manner }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn manner(&self) -> Manner {
        self.manner
    }

    /// Nothing is looked for, and found in everything.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// How long it is once folded, in octets.
    pub(super) fn folded_bytes(&self) -> usize {
        self.finder.needle().len()
    }

    /// Whether it is in a text that [`fold`] has made.
    pub(super) fn is_in(&self, folded: &[u8]) -> bool {
        self.finder.find(folded).is_some()
    }
}

/// Appends `text` to `out`, in lower case and taken apart into letters and accents. `one_space` is made
/// of each run of white space, where asked for.
pub(super) fn fold(text: &str, manner: Manner, one_space: bool, out: &mut Vec<u8>) {
    let start = out.len();
    if text.is_ascii() && !one_space {
        out.extend_from_slice(text.as_bytes());
        if let Some(new) = out.get_mut(start..) {
            new.make_ascii_lowercase();
        }
        return;
    }
    out.reserve(text.len());
    for c in text.chars() {
        if one_space && matches!(c, ' ' | '\t' | '\r' | '\n') {
            if out.last() != Some(&b' ') {
                out.push(b' ');
            }
        } else if c.is_ascii() {
            out.push(c.to_ascii_lowercase() as u8);
        } else {
            decompose_compatible(simple_lower(c), |part| {
                if manner == Manner::Dovecot || !is_combining_mark(part) {
                    let mut buffer = [0; 4];
                    out.extend_from_slice(simple_lower(part).encode_utf8(&mut buffer).as_bytes());
                }
            });
        }
    }
}

/// One letter for one (RFC 5051 §2): `ß` stays, and all three sigmas are the same.
fn simple_lower(c: char) -> char {
    let mut upper = c.to_uppercase();
    let upper = match (upper.next(), upper.next()) {
        (Some(upper), None) => upper,
        _ => c,
    };
    let mut lower = upper.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) => lower,
        _ => upper,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_in(needle: &str, text: &str, manner: Manner) -> bool {
        let mut folded = Vec::new();
        fold(text, manner, manner == Manner::Cyrus, &mut folded);
        Needle::new(needle.to_owned(), manner).is_in(&folded)
    }

    #[test]
    fn case_does_not_count() {
        for (needle, text) in [
            ("walnut", "WALNUT harvest"),
            ("ГРУША", "груша"),
            ("σας", "ΣΑΣ"),
            ("STRAßE", "straße"),
            ("mü", "München"),
            ("e\u{301}", "é"),
            ("i", "İ"),
            ("", ""),
        ] {
            for manner in [Manner::Dovecot, Manner::Cyrus] {
                assert!(is_in(needle, text, manner), "{needle} {text} {manner:?}");
            }
        }
        assert!(!is_in("walnuts", "walnut", Manner::Dovecot));
    }

    #[test]
    fn servers_differ_in_accents_and_spaces() {
        for (needle, text) in
            [("munchen", "München"), ("one line", "one\r\n  line"), ("a  b", "a b")]
        {
            assert!(is_in(needle, text, Manner::Cyrus), "{needle}");
            assert!(!is_in(needle, text, Manner::Dovecot), "{needle}");
        }
        assert!(!is_in("oneline", "one line", Manner::Cyrus));
    }

    proptest! {
        #[test]
        fn a_text_holds_each_of_its_pieces(before in ".{0,20}", piece in ".{0,20}", after in ".{0,20}") {
            let text = [before.as_str(), &piece, &after].concat();
            for manner in [Manner::Dovecot, Manner::Cyrus] {
                prop_assert!(is_in(&piece, &text, manner));
                prop_assert!(is_in(&piece.to_ascii_uppercase(), &text.to_ascii_lowercase(), manner));
            }
        }
    }
}

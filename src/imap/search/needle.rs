//! What is looked for in a text, whatever the case: a substring under i;unicode-casemap (RFC 5051).

use std::fmt;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use unicode_normalization::char::{decompose_compatible, is_combining_mark};

use super::Manner;

/// What only Cyrus can do, or says that it can.
const CYRUS: [&str; 3] = ["ANNOTATE-EXPERIMENT-1", "DIGEST=SHA1", "X-REPLICATION"];

impl Manner {
    /// The manner of the server that has these capabilities, after login, separated by spaces.
    pub fn of_server(capabilities: &str) -> Self {
        let is_cyrus = |word: &str| CYRUS.iter().any(|known| word.eq_ignore_ascii_case(known));
        if capabilities.split(' ').any(is_cyrus) { Self::Cyrus } else { Self::Dovecot }
    }
}

/// What is looked for.
#[derive(Clone)]
pub(super) struct Needle {
    /// As the client gave it.
    text: String,
    finder: Box<Finder<'static>>,
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
        Self { finder: Box::new(Finder::new(&folded).into_owned()), text, manner }
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
        } else if let Some(letter) = single(c) {
            push(letter, out);
        } else {
            take_apart(c, |part| {
                if manner == Manner::Dovecot || !is_combining_mark(part) {
                    push(part, out);
                }
            });
        }
    }
}

fn push(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Gives the letters and accents that `c` is made of, in lower case.
fn take_apart(c: char, mut each: impl FnMut(char)) {
    decompose_compatible(simple_lower(c), |part| each(simple_lower(part)));
}

/// The alphabets; what comes behind them is taken apart each time.
const ALPHABETS: u16 = 0x3100;

/// The one letter that `c` is the same as, where it is one: taking apart each letter of a long text takes
/// longer than to unseal it. `None` for all others, and for accents alone.
fn single(c: char) -> Option<char> {
    static SINGLE: LazyLock<Vec<Option<char>>> = LazyLock::new(|| {
        let letter = |code: u16| {
            let c = char::from_u32(code.into())?;
            let mut parts = Vec::new();
            take_apart(c, |part| parts.push(part));
            parts.first().copied().filter(|part| parts.len() == 1 && !is_combining_mark(*part))
        };
        (0..ALPHABETS).map(letter).collect()
    });
    match c {
        // Han characters are what they are.
        '\u{4e00}'..='\u{9fff}' => Some(c),
        _ => SINGLE.get(c as usize).copied().flatten(),
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

    #[test]
    fn the_short_way_is_the_same() {
        for c in ('\u{80}'..='\u{ffff}').filter(|c| single(*c).is_some()) {
            let mut parts = Vec::new();
            take_apart(c, |part| parts.push(part));
            assert_eq!(parts, [single(c).unwrap()], "{c}");
        }
        assert_eq!((single('Ж'), single('é'), single('\u{301}')), (Some('ж'), None, None));
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

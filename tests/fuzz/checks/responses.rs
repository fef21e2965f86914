//! What must hold of what the store says, whatever it is: it is told apart without a panic, and what the
//! client is told of it is one well-formed response.

use nightsafe::imap::capability::Capabilities;
use nightsafe::imap::fetch::{Depth, Fetch};
use nightsafe::imap::fetched;
use nightsafe::imap::frame::{Framer, Step};
use nightsafe::imap::namespace::Namespaces;
use nightsafe::imap::response::{self, Response};

const ASKED: [&[u8]; 5] = [
    b"1:* (FLAGS UID)",
    b"1:* FULL",
    b"1:* (RFC822.SIZE BODY.PEEK[HEADER.FIELDS (TO FROM)] BODY.PEEK[1.MIME])",
    b"1:* (BODY[] MODSEQ)",
    b"1:* RFC822",
];
const DEPTHS: [Depth; 4] = [Depth::Known, Depth::Head, Depth::Body, Depth::Whole];

/// Fails when something does not hold of a response. Tells whether it is a FETCH that was understood.
pub fn check(said: &[u8]) -> bool {
    let Some(line) = whole(said) else { return false };
    let _ = (response::code(line), response::code_number(line, "UIDVALIDITY"));
    let _ = response::with_tag(line, b"n1", b"a1");
    if let Ok(namespaces) = Namespaces::parse(line) {
        let _ = namespaces.is_foreign(b"INBOX");
    }
    if let Some(told) = Capabilities::find(line) {
        let honoured = told.honoured(1);
        assert!(!honoured.contains(['\r', '\n', '\0']), "{honoured:?}");
        for name in ["SORT", "BINARY", "CATENATE", "IMAP4REV2", "COMPRESS=DEFLATE", "URLAUTH"] {
            assert!(!honoured.split(' ').any(|told| told == name), "{honoured}");
        }
    }
    let Ok(Response::Fetch { number, list }) = response::parse(line) else { return false };
    let Ok(pairs) = fetched::pairs(list) else { return false };
    for pair in &pairs {
        assert!(!pair.name.is_empty() && !pair.value.is_empty());
    }
    for (asked, uid) in ASKED.iter().flat_map(|asked| [(asked, false), (asked, true)]) {
        let (_, fetch) = Fetch::parse(uid, asked).unwrap();
        for depth in DEPTHS {
            let Some(answer) = fetch.read(line, depth) else { continue };
            assert_eq!(answer.number, number);
            let mut told = Vec::new();
            fetch.write_stored(&answer, depth, &mut told);
            let shown = whole(&told).expect("one whole response");
            assert_eq!(shown.len() + 2, told.len(), "{}", told.escape_ascii());
            let Ok(Response::Fetch { number: again, list }) = response::parse(shown) else {
                panic!("{}", told.escape_ascii());
            };
            assert_eq!(again, number);
            let shown = fetched::pairs(list).expect("a list");
            assert!(shown.len() <= pairs.len());
            // Nothing is told that the store did not say.
            assert!(shown.iter().all(|own| pairs.iter().any(|pair| pair.value == own.value)));
        }
    }
    true
}

/// The first response, as the proxy finds its end.
fn whole(said: &[u8]) -> Option<&[u8]> {
    let mut framer = Framer::default();
    loop {
        match framer.step(said).ok()? {
            Step::Complete(end) => return said.get(..end - 2),
            Step::Literal { head, .. } if !response::may_have_literals(said) => {
                return said.get(..head - 2);
            }
            Step::Literal { head, octets, .. } => {
                let end = head.checked_add(usize::try_from(octets).ok()?)?;
                if end > said.len() {
                    return None;
                }
                framer.skip(end);
            }
            Step::More => return None,
        }
    }
}

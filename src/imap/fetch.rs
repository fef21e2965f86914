//! FETCH (RFC 3501 §6.4.5): what the store is asked so that a sealed message can be told from a plain one
//! and shown, and how its answers are written anew.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;

use super::answer::{Answer, begin, separate, write_pair};
use super::fetched::{self, Pair};
use super::items::{self, Item};
use super::refusal::Refusal;
use super::response::{self, Response};
use super::section::Text;
use super::token::Cursor;
use super::view::{Unanswered, View};
use super::write;
use crate::seal::{SIGNATURE_FIELD, SUMMARY_FIELD};

/// What the store is asked beside what the client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Nothing but the UID: there is nothing that could be opened, or what is sealed is known already.
    Known,
    /// Less: what is sealed is known, and most of it is.
    Listed,
    /// The two fields of the outer header.
    Head,
    /// The body as well.
    Body,
    /// Nothing: the client wants the whole of each message, and all is in that.
    Whole,
}

/// A FETCH of a client's.
pub struct Fetch {
    uid: bool,
    items: Vec<Item>,
    /// As they came, with the space before them (RFC 7162 §3.1.4.1, §3.2.6).
    modifiers: Vec<u8>,
}

impl fmt::Debug for Fetch {
    /// What is asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").field("items", &self.items).finish_non_exhaustive()
    }
}

impl Fetch {
    /// Reads the arguments: the set, and what is asked of it.
    ///
    /// # Errors
    /// What the client is answered.
    pub fn parse(uid: bool, arguments: &[u8]) -> Result<(&[u8], Self), Refusal> {
        let mut at = Cursor::new(arguments);
        let set = at.sequence_set()?;
        at.space()?;
        let items = items::read(&mut at).map_err(|bad| Refusal::bad(bad.to_string()))?;
        let modifiers = at.rest().to_vec();
        if !modifiers.is_empty() {
            at.space()?;
            check_modifiers(at.value()?)?;
            at.end()?;
        }
        Ok((set, Self { uid, items, modifiers }))
    }

    /// Whether the store answers it for sealed messages as well.
    pub fn is_metadata(&self) -> bool {
        self.items.iter().all(Item::is_metadata)
    }

    /// What has to be asked where nothing is known.
    pub fn depth(&self) -> Depth {
        if self.items.iter().any(is_whole) {
            Depth::Whole
        } else if self.items.iter().any(Item::always_needs_message) {
            Depth::Body
        } else {
            Depth::Head
        }
    }

    /// The command to the store, for a set that is of UIDs where the client's is.
    pub fn command(&self, set: &[u8], depth: Depth) -> Vec<u8> {
        let asks_uid = self.items.contains(&Item::Uid);
        let uid = (!asks_uid).then(|| b"UID".to_vec());
        let mut asked: Vec<Vec<u8>> = uid.into_iter().collect();
        let is_asked = |item: &&Item| depth != Depth::Listed || item.is_metadata();
        asked.extend(self.items.iter().filter(is_asked).map(Item::native));
        let mut command = self.begin(set);
        write_items(asked, depth, &mut command);
        command.extend_from_slice(&self.modifiers);
        command
    }

    /// The command that asks for the body of messages whose other answers are there already.
    pub fn again(&self, set: &[u8], depth: Depth) -> Vec<u8> {
        let mut command = self.begin(set);
        write_items(vec![b"UID".to_vec()], depth, &mut command);
        command
    }

    fn begin(&self, set: &[u8]) -> Vec<u8> {
        let name: &[u8] = if self.uid { b"UID FETCH " } else { b"FETCH " };
        [name, set, b" "].concat()
    }

    /// Reads a response. `None` where it is no answer to this command, but says what has changed.
    pub fn read<'a>(&self, line: &'a [u8], depth: Depth) -> Option<Answer<'a>> {
        let Ok(Response::Fetch { number, list }) = response::parse(line) else { return None };
        let pairs = fetched::pairs(list).ok()?;
        let mut answer = Answer { number, uid: 0, pairs, head: None, body: None, whole: None };
        for pair in &answer.pairs {
            let name = pair.name.to_ascii_uppercase();
            let text = || Cursor::new(pair.value).nstring().ok().flatten();
            match name.as_slice() {
                b"UID" => {
                    let number = Cursor::new(pair.value).number().ok()?;
                    answer.uid = u32::try_from(number).ok()?;
                }
                b"BODY[2]" => answer.body = text(),
                b"BODY[]" | b"RFC822" => answer.whole = answer.whole.take().or_else(text),
                name if is_head(name) => answer.head = text(),
                _ => {}
            }
        }
        let is_answer = match depth {
            Depth::Known => self.items.iter().any(|item| !item.is_metadata() && answer.has(item)),
            Depth::Listed => self.items.iter().all(|item| !item.is_metadata() || answer.has(item)),
            Depth::Head | Depth::Body => answer.head.is_some(),
            Depth::Whole => answer.whole.is_some(),
        };
        (is_answer && answer.uid > 0).then_some(answer)
    }

    /// Whether its set is of UIDs.
    pub fn is_by_uid(&self) -> bool {
        self.uid
    }

    /// Whether a message is seen afterwards.
    pub fn sets_seen(&self) -> bool {
        self.items.iter().any(Item::sets_seen)
    }

    /// Whether no more is asked of content than the message as a whole.
    pub fn is_only_whole(&self) -> bool {
        self.items.iter().all(|item| item.is_metadata() || is_whole(item))
    }

    /// The number that the command has for a message: its UID, or its place.
    pub fn number(&self, answer: &Answer<'_>) -> u32 {
        if self.uid { answer.uid } else { answer.number }
    }

    /// Writes the answer for a message that is shown as it is stored: without what was added.
    pub fn write_stored(&self, answer: &Answer<'_>, depth: Depth, out: &mut Vec<u8>) {
        let mut pairs = answer.pairs.iter().filter_map(|pair| {
            let asked = self.items.iter().find(|item| item.is_answered_as(pair.name));
            let is_uid = pair.name.eq_ignore_ascii_case(b"UID");
            let is_added = is_uid && !self.uid
                || depth != Depth::Known && is_head(&pair.name.to_ascii_uppercase())
                || pair.name.eq_ignore_ascii_case(b"BODY[2]");
            match asked {
                // The store may know an item by another name than the client does.
                Some(item @ Item::Section(_)) if pair.name.eq_ignore_ascii_case(b"BODY[]") => {
                    Some((Cow::Owned(item.label()), pair.value))
                }
                Some(_) => Some((Cow::Borrowed(pair.name), pair.value)),
                None if is_added => None,
                None => Some((Cow::Borrowed(pair.name), pair.value)),
            }
        });
        begin(answer.number, out);
        if let Some((name, value)) = pairs.next() {
            write_pair(&name, value, out);
        }
        for (name, value) in pairs {
            out.push(b' ');
            write_pair(&name, value, out);
        }
        out.extend_from_slice(b")\r\n");
    }

    /// Writes the answer for a sealed message in the client's order: what the store says by itself first.
    ///
    /// # Errors
    /// Where the message has to be opened for it; nothing is written then.
    pub fn write_opened(
        &self,
        answer: &Answer<'_>,
        view: &View<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unanswered> {
        let start = out.len();
        let written = self.write(answer, out, |item, out| view.answer(item, out));
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    /// Writes the answer for a sealed message of `octets` of which only the whole is asked, without the
    /// message itself: it belongs where it is told.
    pub fn write_around(&self, answer: &Answer<'_>, octets: u64, out: &mut Vec<u8>) -> Vec<usize> {
        let mut places = Vec::new();
        let written = self.write(answer, out, |item, out| {
            out.extend_from_slice(&item.label());
            out.push(b' ');
            write::announce(octets, out);
            places.push(out.len());
            Ok::<_, Infallible>(())
        });
        match written {
            Ok(()) => places,
        }
    }

    fn write<E>(
        &self,
        answer: &Answer<'_>,
        out: &mut Vec<u8>,
        mut content: impl FnMut(&Item, &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        begin(answer.number, out);
        let open = out.len();
        for pair in answer.metadata().filter(|pair| !self.asks(pair)) {
            let is_uid = pair.name.eq_ignore_ascii_case(b"UID");
            if !is_uid || self.uid {
                separate(open, out);
                write_pair(pair.name, pair.value, out);
            }
        }
        for item in &self.items {
            if item.is_metadata() {
                if let Some(pair) = answer.metadata().find(|pair| item.is_answered_as(pair.name)) {
                    separate(open, out);
                    write_pair(pair.name, pair.value, out);
                }
                continue;
            }
            separate(open, out);
            content(item, out)?;
        }
        out.extend_from_slice(b")\r\n");
        Ok(())
    }

    fn asks(&self, pair: &Pair<'_>) -> bool {
        self.items.iter().any(|item| item.is_answered_as(pair.name))
    }
}

/// `BODY[]` and its older names.
fn is_whole(item: &Item) -> bool {
    let Item::Section(content) = item else { return false };
    let section = &content.section;
    content.partial.is_none() && section.part.is_empty() && section.text == Text::Whole
}

fn write_items(mut asked: Vec<Vec<u8>>, depth: Depth, command: &mut Vec<u8>) {
    if matches!(depth, Depth::Head | Depth::Body) {
        let fields = format!("{SIGNATURE_FIELD} {SUMMARY_FIELD}");
        asked.push(format!("BODY.PEEK[HEADER.FIELDS ({fields})]").into_bytes());
    }
    if depth == Depth::Body {
        asked.push(b"BODY.PEEK[2]".to_vec());
    }
    command.push(b'(');
    command.extend_from_slice(&asked.join(&b' '));
    command.push(b')');
}

/// Whether a name in upper case is that of the two fields: servers change the quotes.
fn is_head(name: &[u8]) -> bool {
    let Some(names) = name.strip_prefix(b"BODY[HEADER.FIELDS (") else { return false };
    let Some(names) = names.strip_suffix(b")]") else { return false };
    let unquoted = names.iter().filter(|byte| **byte != b'"').map(u8::to_ascii_uppercase);
    let own = format!("{SIGNATURE_FIELD} {SUMMARY_FIELD}").to_ascii_uppercase();
    unquoted.eq(own.bytes())
}

/// `(CHANGEDSINCE n)` and `(CHANGEDSINCE n VANISHED)`.
fn check_modifiers(list: &[u8]) -> Result<(), Refusal> {
    let mut at = Cursor::new(list);
    at.expect(b'(')?;
    if at.keyword()? != "CHANGEDSINCE" {
        return Err(Refusal::bad("no such modifier of FETCH"));
    }
    at.space()?;
    at.number()?;
    if at.eat(b' ') && at.keyword()? != "VANISHED" {
        return Err(Refusal::bad("no such modifier of FETCH"));
    }
    at.expect(b')')?;
    Ok(at.end()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::Manner;
    use crate::seal::Summary;

    fn fetch(uid: bool, text: &str) -> Fetch {
        Fetch::parse(uid, text.as_bytes()).unwrap().1
    }

    #[test]
    fn what_the_store_is_asked() {
        for (text, depth, command) in [
            (
                "1:* (FLAGS RFC822.SIZE)",
                Depth::Head,
                "FETCH 1:* (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (Nightsafe-Signature Sealed-Summary)])",
            ),
            (
                "4 BODY[1]",
                Depth::Body,
                "FETCH 4 (UID BODY[1] BODY.PEEK[HEADER.FIELDS (Nightsafe-Signature Sealed-Summary)] BODY.PEEK[2])",
            ),
            (
                "4 (UID BODY.PEEK[]) (CHANGEDSINCE 12)",
                Depth::Whole,
                "FETCH 4 (UID BODY.PEEK[]) (CHANGEDSINCE 12)",
            ),
            ("4 RFC822.PEEK", Depth::Whole, "FETCH 4 (UID BODY.PEEK[])"),
        ] {
            let (set, fetch) = Fetch::parse(false, text.as_bytes()).unwrap();
            assert_eq!(fetch.depth(), depth, "{text}");
            assert_eq!(String::from_utf8(fetch.command(set, depth)).unwrap(), command);
        }
        for bad in ["", "1", "x FLAGS", "1 (FLAGS) (ANNOTATE 1)", "1 BINARY[1]", "1 FLAGS x"] {
            assert!(Fetch::parse(false, bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn plain_mail_loses_what_was_added() {
        let fetch = fetch(false, "1 (FLAGS BODY.PEEK[TEXT])");
        let line = b"* 1 FETCH (FLAGS (\\Seen) UID 7 BODY[HEADER.FIELDS (\"NIGHTSAFE-SIGNATURE\" SEALED-SUMMARY)] {2}\r\n\r\n BODY[TEXT] \"hi\" BODY[2] NIL)";
        let answer = fetch.read(line, Depth::Body).unwrap();
        assert_eq!((answer.number, answer.uid), (1, 7));
        let mut out = Vec::new();
        fetch.write_stored(&answer, Depth::Body, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "* 1 FETCH (FLAGS (\\Seen) BODY[TEXT] \"hi\")\r\n"
        );
        assert!(fetch.read(b"* 1 FETCH (FLAGS () UID 7)", Depth::Body).is_none());
        assert!(fetch.read(b"* 3 EXISTS", Depth::Body).is_none());
    }

    #[test]
    fn sealed_mail_in_the_order_of_the_client() {
        let message = b"Subject: x\r\n\r\nbody\r\n";
        let summary = Summary::of_message(message);
        let fetch = fetch(true, "1 (RFC822.SIZE FLAGS BODY[TEXT])");
        let line = b"* 1 FETCH (FLAGS () UID 7 MODSEQ (9) BODY[HEADER.FIELDS (NIGHTSAFE-SIGNATURE SEALED-SUMMARY)] \"x\" RFC822.SIZE 99 BODY[TEXT] \"no\" BODY[2] \"eA==\")";
        let answer = fetch.read(line, Depth::Body).unwrap();
        let view = View::new(&summary, Some(message), Manner::Cyrus);
        let mut out = Vec::new();
        fetch.write_opened(&answer, &view, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out.clone()).unwrap(),
            "* 1 FETCH (UID 7 MODSEQ (9) RFC822.SIZE 20 FLAGS () BODY[TEXT] {6}\r\nbody\r\n)\r\n"
        );
        let listed = View::new(&summary, None, Manner::Cyrus);
        assert!(fetch.write_opened(&answer, &listed, &mut Vec::new()).is_err());
        let slim = answer.without_content(Depth::Body);
        let slim = fetch.read(&slim, Depth::Body).unwrap();
        let mut same = Vec::new();
        fetch.write_opened(&slim, &view, &mut same).unwrap();
        assert_eq!(same, out);
        let list = answer.metadata_list();
        assert_eq!(list, b"(FLAGS () UID 7 MODSEQ (9))");
        let mut again = fetch.read(b"* 1 FETCH (UID 7 BODY[HEADER.FIELDS (NIGHTSAFE-SIGNATURE SEALED-SUMMARY)] \"x\" BODY[2] \"\")", Depth::Body).unwrap();
        again.with_metadata(&list).unwrap();
        assert_eq!(again.metadata_list(), list);
    }

    #[test]
    fn a_message_that_comes_later() {
        let fetch = fetch(true, "1 (BODY.PEEK[] FLAGS RFC822)");
        let line = b"* 1 FETCH (FLAGS () UID 7 BODY[] \"sealed\")";
        let answer = fetch.read(line, Depth::Whole).unwrap();
        let slim = answer.without_content(Depth::Whole);
        assert_eq!(slim, b"* 1 FETCH (FLAGS () UID 7 BODY[] \"\")");
        let answer = fetch.read(&slim, Depth::Whole).unwrap();
        let mut out = Vec::new();
        let places = fetch.write_around(&answer, 1234, &mut out);
        for place in places.into_iter().rev() {
            out.splice(place..place, *b"<message>");
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "* 1 FETCH (UID 7 BODY[] {1234}\r\n<message> FLAGS () RFC822 {1234}\r\n<message>)\r\n"
        );
    }
}

//! Mail that is not as the standards have it: nobody can say what the right answer is, but all answers
//! about one message must fit each other.

use super::parts::{self, Part};
use crate::support::imap::Client;
use crate::support::tokens::{Token, parse};
use std::collections::BTreeMap;

type Items = BTreeMap<String, Token>;

/// What was found not to fit, by message.
pub fn misfits(client: &mut Client, names: &[String], originals: &[Vec<u8>]) -> Vec<String> {
    let mut found = Vec::new();
    for (index, (name, original)) in names.iter().zip(originals).enumerate() {
        let mut said = Vec::new();
        of_message(client, index + 1, original, &mut said);
        found.extend(said.into_iter().map(|what| format!("{name}: {what}")));
    }
    found
}

fn fetch(client: &mut Client, number: usize, items: &str) -> Items {
    let answer = client.command(format!("FETCH {number} ({items})")).good();
    let responses = answer.of("FETCH");
    let [response] = responses.as_slice() else { panic!("{items}: {answer}") };
    let tokens = parse(response);
    let list = tokens[2].list().unwrap();
    list.chunks(2).map(|pair| (pair[0].atom().unwrap().to_owned(), pair[1].clone())).collect()
}

fn octets(items: &Items, label: &str) -> Vec<u8> {
    match items.get(label) {
        Some(Token::String(octets)) => octets.clone(),
        // NIL where there is no such part.
        Some(Token::Atom(nil)) if nil == "NIL" => Vec::new(),
        other => panic!("{label}: {other:?}"),
    }
}

fn of_message(client: &mut Client, number: usize, original: &[u8], said: &mut Vec<String>) {
    let mut check = |holds: bool, what: String| {
        if !holds {
            said.push(what);
        }
    };
    let items = fetch(
        client,
        number,
        "RFC822.SIZE BODYSTRUCTURE BODY ENVELOPE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT] RFC822.HEADER",
    );
    let whole = octets(&items, "BODY[]");
    let shown: Vec<u8> = original.iter().map(|&byte| if byte == 0 { 0x80 } else { byte }).collect();
    check(whole == shown, "BODY[] is not the original".to_owned());
    let size = items["RFC822.SIZE"].number().unwrap();
    check(size == whole.len(), format!("RFC822.SIZE {size}, and BODY[] has {}", whole.len()));
    let [header, text] = ["BODY[HEADER]", "BODY[TEXT]"].map(|label| octets(&items, label));
    let joined = [header.as_slice(), &text].concat();
    check(joined == whole, "BODY[HEADER] and BODY[TEXT] do not make BODY[]".to_owned());
    check(octets(&items, "RFC822.HEADER") == header, "RFC822.HEADER is another".to_owned());
    of_partials(client, number, &whole, said);
    let structure = &items["BODYSTRUCTURE"];
    for part in parts::of(structure).iter().take(30) {
        of_part(client, number, part, structure, said);
    }
}

/// Pieces of a message are pieces of the message.
fn of_partials(client: &mut Client, number: usize, whole: &[u8], said: &mut Vec<String>) {
    let beyond = whole.len() + 1;
    for (from, length) in
        [(0, 1), (0, 70), (3, 1000), (whole.len() / 2, 50), (0, beyond), (beyond, 5)]
    {
        let items = fetch(client, number, &format!("BODY.PEEK[]<{from}.{length}>"));
        let piece = octets(&items, &format!("BODY[]<{from}>"));
        let end = whole.len().min(from + length);
        if piece != whole.get(from..end).unwrap_or_default() {
            said.push(format!("BODY[]<{from}.{length}> is not what stands there"));
        }
    }
}

/// A part has as many octets and lines as the structure says.
fn of_part(
    client: &mut Client,
    number: usize,
    part: &Part,
    structure: &Token,
    said: &mut Vec<String>,
) {
    let name = &part.number;
    let items = fetch(
        client,
        number,
        &format!("BODY.PEEK[{name}] BODY.PEEK[{name}.MIME] BODY.PEEK[{name}]<1.7>"),
    );
    let content = octets(&items, &format!("BODY[{name}]"));
    let piece = octets(&items, &format!("BODY[{name}]<1>"));
    if piece != content.get(1..content.len().min(8)).unwrap_or_default() {
        said.push(format!("BODY[{name}]<1.7> is not what stands there"));
    }
    let described = find(structure, name).unwrap_or_else(|| panic!("no part {name}"));
    let fields = described.list().unwrap();
    // A multipart tells no size.
    if let Some(size) = fields.get(6).and_then(Token::number)
        && size != content.len()
    {
        said.push(format!("part {name} has {} octets and is said to have {size}", content.len()));
    }
    let is_text = fields
        .first()
        .and_then(Token::string)
        .is_some_and(|kind| kind.eq_ignore_ascii_case(b"text"));
    if is_text && let Some(lines) = fields.get(7).and_then(Token::number) {
        // A last line without its end counts for some servers, and for some it does not.
        let ends = memchr::memchr_iter(b'\n', &content).count();
        if !(ends..=ends + 1).contains(&lines) {
            said.push(format!("part {name} has {ends} lines and is said to have {lines}"));
        }
    }
    if part.is_message {
        of_nested(client, number, name, &content, said);
    }
}

fn of_nested(
    client: &mut Client,
    number: usize,
    name: &str,
    content: &[u8],
    said: &mut Vec<String>,
) {
    let items = fetch(client, number, &format!("BODY.PEEK[{name}.HEADER] BODY.PEEK[{name}.TEXT]"));
    let [header, text] =
        ["HEADER", "TEXT"].map(|what| octets(&items, &format!("BODY[{name}.{what}]")));
    if [header, text].concat() != content {
        said.push(format!("{name}.HEADER and {name}.TEXT do not make the message in part {name}"));
    }
}

/// The structure of the part of this number.
fn find<'a>(structure: &'a Token, number: &str) -> Option<&'a Token> {
    let mut at = structure;
    for (depth, index) in number.split('.').enumerate() {
        let index: usize = index.parse().ok()?;
        let fields = at.list()?;
        let inside = match fields.first()? {
            Token::List(_) => Some(at),
            // A message's own structure is its ninth field.
            _ if depth > 0 => fields.get(8).filter(|body| body.list().is_some()),
            _ => None,
        };
        at = match inside.map(|inside| (inside, inside.list().unwrap())) {
            Some((_, parts)) if parts.first()?.list().is_some() => parts.get(index - 1)?,
            // One part only: it is the body itself.
            Some((inside, _)) if index == 1 => inside,
            None if depth == 0 && index == 1 => at,
            _ => return None,
        };
    }
    Some(at)
}

//! The sections of a message that its BODYSTRUCTURE promises (RFC 3501 section 6.4.5).

use crate::support::tokens::Token;

/// A part's number and whether it is a message of its own.
pub struct Part {
    pub number: String,
    pub is_message: bool,
}

/// All parts of a message, in order.
pub fn of(structure: &Token) -> Vec<Part> {
    let mut found = Vec::new();
    body(structure, "", &mut found);
    found
}

/// The structure of a message, whose own number is `number` ("" at the top).
fn body(structure: &Token, number: &str, found: &mut Vec<Part>) {
    if children(structure).is_empty() {
        part(structure, &below(number, 1), found);
    } else {
        parts(structure, number, found);
    }
}

fn parts(structure: &Token, number: &str, found: &mut Vec<Part>) {
    for (index, child) in children(structure).iter().enumerate() {
        part(child, &below(number, index + 1), found);
    }
}

fn part(structure: &Token, number: &str, found: &mut Vec<Part>) {
    let message = nested(structure);
    found.push(Part { number: number.to_owned(), is_message: message.is_some() });
    match message {
        Some(message) => body(message, number, found),
        None => parts(structure, number, found),
    }
}

/// The parts of a multipart: the lists it begins with.
fn children(structure: &Token) -> &[Token] {
    let all = structure.list().unwrap_or_else(|| panic!("no structure: {structure:?}"));
    let count = all.iter().take_while(|token| token.list().is_some()).count();
    &all[..count]
}

/// The structure inside a message/rfc822.
fn nested(structure: &Token) -> Option<&Token> {
    let fields = structure.list()?;
    let is = |index: usize, name: &[u8]| {
        fields.get(index).and_then(Token::string).is_some_and(|s| s.eq_ignore_ascii_case(name))
    };
    let message = is(0, b"message") && (is(1, b"rfc822") || is(1, b"global"));
    // Type, subtype, parameters, id, description, encoding, size, envelope, body.
    if message { fields.get(8).filter(|body| body.list().is_some()) } else { None }
}

fn below(number: &str, child: usize) -> String {
    if number.is_empty() { child.to_string() } else { format!("{number}.{child}") }
}

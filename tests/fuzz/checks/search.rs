//! What must hold of a search, whatever the client looks for and whatever the message is.

use nightsafe::imap::search::{Hit, Mail, Manner, Piece, Program, Set, Truth};

/// Fails when something does not hold of a program and a message, with a NUL between them. Tells whether
/// it was a program.
pub fn check(octets: &[u8]) -> bool {
    let at = memchr::memchr(0, octets).unwrap_or(octets.len());
    let (program, message) = octets.split_at(at);
    [Manner::Cyrus, Manner::Dovecot].iter().all(|manner| {
        let parsed = Program::parse(program, *manner);
        match &parsed {
            Ok(parsed) => asked_and_answered(parsed, *manner, message),
            Err(refused) => assert!(refused.reply().starts_with(['B', 'N'])),
        }
        parsed.is_ok()
    })
}

fn asked_and_answered(program: &Program, manner: Manner, message: &[u8]) {
    let one: Set = [7].into_iter().collect();
    let asked = command(&program.for_plain(&one, true));
    let again = Program::parse(&asked, manner).expect("what the backend is asked is a search");
    let mut twice = command(&again.for_plain(&one, true));
    // A long program is not looked through for what stands in it twice.
    if let Some(at) = memchr::memmem::find(&twice, b"UID 7 UID 7 ") {
        twice.drain(at..at + 6);
    }
    assert_eq!(twice.escape_ascii().to_string(), asked.escape_ascii().to_string());
    let narrowing = Program::parse(program.narrowing().as_bytes(), manner);
    assert!(narrowing.expect("the narrowing is a search").is_native());
    let leaves: Vec<Set> = program.leaves().map(|_| one.clone()).collect();
    let truth = program.evaluate(7, &leaves, &Mail::opened(message));
    assert_ne!(truth, Truth::Unknown, "an open message leaves nothing to ask");
    let answer = program.answer("t", true, &[Hit { number: 7, modseq: 9 }]);
    assert!(answer.starts_with(b"* ") && !answer.contains(&b'\n'));
}

fn command(pieces: &[Piece]) -> Vec<u8> {
    let octets = pieces.iter().map(|piece| match piece {
        Piece::Plain(text) => text.as_bytes().to_vec(),
        Piece::Literal(text) => [format!("{{{}}}\r\n", text.len()).as_bytes(), text].concat(),
    });
    octets.collect::<Vec<_>>().concat()
}

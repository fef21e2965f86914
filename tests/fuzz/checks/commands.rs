//! What must hold of what a client says, whatever it is: where commands end does not depend on how they
//! arrive, and what the store is sent of one is one command there.

use nightsafe::imap::append;
use nightsafe::imap::command::{self, ClientCommand};
use nightsafe::imap::fetch::{Depth, Fetch};
use nightsafe::imap::forward;
use nightsafe::imap::frame::{Framer, Step};
use nightsafe::imap::login::Credentials;

/// Commands of one input at most.
const MOST: usize = 50;

/// Fails when something does not hold. Gives how many commands were understood.
pub fn check(mut said: &[u8]) -> usize {
    let mut understood = 0;
    for _ in 0..MOST {
        let Some(end) = framed(said) else { break };
        let text = &said[..end - 2];
        understood += usize::from(one(text));
        said = &said[end..];
    }
    understood
}

/// Where the first command ends; the same where its octets come one by one.
fn framed(said: &[u8]) -> Option<usize> {
    let (mut at_once, mut slowly) = (Framer::default(), Framer::default());
    loop {
        let step = at_once.step(said);
        assert_eq!(at_once.step(said), step, "a second look");
        let first = (0..=said.len()).map(|end| slowly.step(&said[..end]));
        let first = first.into_iter().find(|step| *step != Ok(Step::More));
        assert_eq!(first.unwrap_or(Ok(Step::More)), step, "octet by octet");
        match step {
            Ok(Step::Complete(end)) => return Some(end),
            Ok(Step::Literal { head, octets, .. }) => {
                let arguments = command::tagged(&said[..head]);
                if let Ok(told) = arguments {
                    appended(told.command);
                }
                let end = head.checked_add(usize::try_from(octets).ok()?)?;
                if end > said.len() {
                    return None;
                }
                at_once.skip(end);
                slowly.skip(end);
            }
            Ok(Step::More) | Err(_) => return None,
        }
    }
}

fn one(text: &[u8]) -> bool {
    let Ok(told) = command::tagged(text) else { return false };
    assert!(told.tag.iter().all(u8::is_ascii_graphic));
    if !command::is_clean(told.command) {
        return false;
    }
    let Ok(parsed) = command::parse(told.command) else { return false };
    match parsed {
        ClientCommand::Login(arguments) => {
            if let Ok(login) = Credentials::of_login(arguments) {
                let again = Credentials::of_plain(login.to_plain().expose()).unwrap();
                assert_eq!(again.user, login.user);
                assert_eq!(again.password.expose(), login.password.expose());
            }
        }
        ClientCommand::Authenticate { initial: Some(message), .. } => {
            if let Ok(login) = Credentials::of_plain(message) {
                assert!(!login.user.contains(['\0', '\r', '\n']));
            }
        }
        ClientCommand::Enable(names) => {
            assert!(names.iter().all(|name| name == "CONDSTORE" || name == "QRESYNC"));
        }
        ClientCommand::Fetch { uid, arguments } => {
            if let Ok((set, fetch)) = Fetch::parse(uid, arguments) {
                for depth in [Depth::Known, Depth::Head, Depth::Body, Depth::Whole] {
                    is_one(&fetch.command(set, depth));
                    is_one(&fetch.again(set, depth));
                }
            }
        }
        ClientCommand::Select { .. }
        | ClientCommand::Close
        | ClientCommand::Copy { .. }
        | ClientCommand::Rename { .. }
        | ClientCommand::Noop
        | ClientCommand::Passed => is_one(told.command),
        _ => {}
    }
    true
}

/// What an APPEND says before its message is passed on in one piece with it.
fn appended(head: &[u8]) {
    let is_append = head.get(..7).is_some_and(|name| name.eq_ignore_ascii_case(b"APPEND "));
    if !is_append || !command::is_clean(head.strip_suffix(b"\r\n").unwrap_or_default()) {
        return;
    }
    if let Ok(Some(append)) = append::parse(head) {
        is_one(&[b"APPEND ", append.arguments, b" {3+}\r\nx\r\n"].concat());
    }
}

/// Whether the store sees the end of the command where the proxy does, whichever literals it takes.
fn is_one(command: &[u8]) {
    for may_push in [false, true] {
        let pieces = forward::pieces(command, may_push);
        let mut sent: Vec<u8> = pieces.iter().flat_map(|piece| piece.text).copied().collect();
        let waits = pieces.iter().filter(|piece| piece.waits).count();
        assert!(!may_push || waits == 0);
        sent = [b"n1 ", &*sent, b"\r\n"].concat();
        let (mut framer, mut asked) = (Framer::default(), 0);
        loop {
            match framer.step(&sent).expect("a line ends with CRLF") {
                Step::Complete(end) => {
                    assert_eq!(end, sent.len(), "{}", sent.escape_ascii());
                    break;
                }
                Step::Literal { head, octets, waits } => {
                    asked += usize::from(waits);
                    framer.skip(head + usize::try_from(octets).unwrap());
                }
                Step::More => panic!("no end: {}", sent.escape_ascii()),
            }
        }
        assert_eq!(asked, waits);
    }
}

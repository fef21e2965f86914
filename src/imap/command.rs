//! What a client asks for, told apart by an allow-list (RFC 3501 §6): what goes to the store as it is,
//! what the proxy answers or rewrites, and what is refused.

use std::borrow::Cow;
use std::fmt;

use super::frame::{Framer, Step};
use super::refusal::Refusal;
use super::token::{Cursor, Malformed};

/// The longest tag, in octets.
const MAX_TAG_BYTES: usize = 256;
/// What STATUS may ask for (RFC 3501 §6.3.10, RFC 7162 §3.1.4): nothing that tells of content.
const STATUS_ITEMS: [&str; 6] =
    ["MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "HIGHESTMODSEQ"];
/// What LIST may select and return (RFC 5258, RFC 6154, RFC 8440).
const LIST_OPTIONS: [&str; 6] =
    ["SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "CHILDREN", "SPECIAL-USE", "MYRIGHTS"];

/// A tag and what follows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tagged<'a> {
    /// The tag.
    pub tag: &'a [u8],
    /// The command and its arguments.
    pub command: &'a [u8],
}

impl fmt::Debug for Tagged<'_> {
    /// How long it is: what it says may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tagged({} octets)", self.command.len())
    }
}

/// What is asked for.
#[derive(PartialEq, Eq)]
pub enum ClientCommand<'a> {
    /// CAPABILITY
    Capability,
    /// NOOP, and CHECK once somebody is logged in.
    Noop,
    /// LOGOUT
    Logout,
    /// ID (RFC 2971)
    Id,
    /// STARTTLS
    StartTls,
    /// LOGIN
    Login(&'a [u8]),
    /// AUTHENTICATE (with an initial response: RFC 4959)
    Authenticate {
        /// In upper case.
        mechanism: String,
        /// Base64, or `=` for nothing.
        initial: Option<&'a [u8]>,
    },
    /// ENABLE (RFC 5161): those of the extensions that the proxy honours.
    Enable(Vec<String>),
    /// SELECT or EXAMINE
    Select {
        /// The mailbox.
        mailbox: Cow<'a, [u8]>,
    },
    /// CLOSE or UNSELECT
    Close,
    /// APPEND, all of it read: more than one message, or none.
    Append,
    /// FETCH or UID FETCH
    Fetch {
        /// Whether the numbers are UIDs.
        uid: bool,
        /// The sequence set and what follows it.
        arguments: &'a [u8],
    },
    /// SEARCH or UID SEARCH
    Search {
        /// Whether the numbers are UIDs.
        uid: bool,
        /// What is searched for.
        arguments: &'a [u8],
    },
    /// COPY, MOVE and both with UIDs.
    Copy {
        /// Whether they leave the mailbox.
        is_move: bool,
        /// Whether the numbers are UIDs.
        uid: bool,
        /// Which messages.
        set: &'a [u8],
        /// Where to.
        mailbox: Cow<'a, [u8]>,
    },
    /// RENAME
    Rename {
        /// From where.
        from: Cow<'a, [u8]>,
        /// Where to.
        to: Cow<'a, [u8]>,
    },
    /// IDLE (RFC 2177)
    Idle,
    /// Something that the store answers by itself.
    Passed,
}

impl fmt::Debug for ClientCommand<'_> {
    /// Which it is, and nothing of what it says: that may be a password or a letter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capability => "CAPABILITY",
            Self::Noop => "NOOP",
            Self::Logout => "LOGOUT",
            Self::Id => "ID",
            Self::StartTls => "STARTTLS",
            Self::Login(_) => "LOGIN",
            Self::Authenticate { .. } => "AUTHENTICATE",
            Self::Enable(_) => "ENABLE",
            Self::Select { .. } => "SELECT",
            Self::Close => "CLOSE",
            Self::Append => "APPEND",
            Self::Fetch { .. } => "FETCH",
            Self::Search { .. } => "SEARCH",
            Self::Copy { is_move: false, .. } => "COPY",
            Self::Copy { is_move: true, .. } => "MOVE",
            Self::Rename { .. } => "RENAME",
            Self::Idle => "IDLE",
            Self::Passed => "another",
        })
    }
}

/// Takes the tag off.
///
/// # Errors
/// Where there is none, or something in the command that no command has.
pub fn tagged(text: &[u8]) -> Result<Tagged<'_>, Malformed> {
    let mut at = Cursor::new(text);
    let is_tag = |byte: u8| byte.is_ascii_graphic() && !b"(){%*\"\\+".contains(&byte);
    let tag = at.word(is_tag)?;
    if tag.len() > MAX_TAG_BYTES {
        return Err(Malformed);
    }
    at.space()?;
    Ok(Tagged { tag, command: at.rest() })
}

/// Whether every server finds the end of a command where it was found here: there is neither CR nor NUL in
/// its lines, literals aside, and a literal is announced where one can stand. What one server takes for the
/// rest of a command must not be the next command for another.
pub fn is_clean(text: &[u8]) -> bool {
    let mut framer = Framer::default();
    let mut from = 0;
    let clean = |line: &[u8]| memchr::memchr2(b'\r', 0, line).is_none();
    while let Ok(Step::Literal { head, octets, .. }) = framer.step(text) {
        let line = text.get(from..head).and_then(|line| line.strip_suffix(b"\r\n"));
        from = head.saturating_add(usize::try_from(octets).unwrap_or(usize::MAX));
        if from > text.len() || !line.is_some_and(|line| clean(line) && ends_with_literal(line)) {
            return false;
        }
        framer.skip(from);
    }
    text.get(from..).is_some_and(clean)
}

/// Whether what a line announces at its end stands for itself: behind a space or a bracket (RFC 3501 §9),
/// and not within quotes.
fn ends_with_literal(line: &[u8]) -> bool {
    let Some(brace) = memchr::memrchr(b'{', line) else { return false };
    let before = line.get(..brace).unwrap_or_default();
    let before = before.strip_suffix(b"~").unwrap_or(before);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for byte in before {
        let escapes = is_quoted && !is_escaped && *byte == b'\\';
        is_quoted ^= *byte == b'"' && !is_escaped;
        is_escaped = escapes;
    }
    !is_quoted && matches!(before.last(), Some(b' ' | b'('))
}

/// Reads what stands behind the tag.
///
/// # Errors
/// What the client is answered where it is not on the list or not well formed.
pub fn parse(command: &[u8]) -> Result<ClientCommand<'_>, Refusal> {
    let mut at = Cursor::new(command);
    let name = at.keyword()?;
    if name == "UID" {
        at.space()?;
        let name = at.keyword()?;
        return match name.as_str() {
            "FETCH" | "SEARCH" | "COPY" | "MOVE" | "STORE" => on_messages(&name, true, at),
            "EXPUNGE" => Ok(ClientCommand::Passed),
            _ => Err(Refusal::bad("no such command")),
        };
    }
    Ok(match name.as_str() {
        "CAPABILITY" => ClientCommand::Capability,
        "NOOP" => ClientCommand::Noop,
        "LOGOUT" => ClientCommand::Logout,
        "ID" => ClientCommand::Id,
        "STARTTLS" => ClientCommand::StartTls,
        "LOGIN" => {
            at.space()?;
            ClientCommand::Login(at.rest())
        }
        "AUTHENTICATE" => {
            at.space()?;
            let mechanism = at.keyword()?;
            let initial = if at.is_at_end() { None } else { Some(after_space(&mut at)?.atom()?) };
            at.end()?;
            ClientCommand::Authenticate { mechanism, initial }
        }
        "ENABLE" => enable(at)?,
        "SELECT" | "EXAMINE" => select(at)?,
        "CLOSE" | "UNSELECT" => {
            at.end()?;
            ClientCommand::Close
        }
        "APPEND" => ClientCommand::Append,
        "FETCH" | "SEARCH" | "COPY" | "MOVE" | "STORE" => return on_messages(&name, false, at),
        "RENAME" => {
            let from = after_space(&mut at)?.astring()?;
            ClientCommand::Rename { from, to: after_space(&mut at)?.astring()? }
        }
        "IDLE" => {
            at.end()?;
            ClientCommand::Idle
        }
        "STATUS" => status(at)?,
        "LIST" => list(at)?,
        "CHECK" | "EXPUNGE" | "NAMESPACE" => {
            at.end()?;
            ClientCommand::Passed
        }
        "CREATE" | "DELETE" | "SUBSCRIBE" | "UNSUBSCRIBE" | "LSUB" | "XLIST" | "SETACL"
        | "DELETEACL" | "GETACL" | "LISTRIGHTS" | "MYRIGHTS" | "SETQUOTA" | "GETQUOTA"
        | "GETQUOTAROOT" | "SETMETADATA" | "GETMETADATA" => ClientCommand::Passed,
        _ => return Err(Refusal::bad("no such command")),
    })
}

fn after_space<'a, 'c>(at: &'c mut Cursor<'a>) -> Result<&'c mut Cursor<'a>, Malformed> {
    at.space()?;
    Ok(at)
}

fn on_messages<'a>(
    name: &str,
    uid: bool,
    mut at: Cursor<'a>,
) -> Result<ClientCommand<'a>, Refusal> {
    at.space()?;
    let arguments = at.rest();
    Ok(match name {
        "FETCH" => ClientCommand::Fetch { uid, arguments },
        "SEARCH" => ClientCommand::Search { uid, arguments },
        "STORE" => store(at)?,
        _ => {
            let set = at.sequence_set()?;
            let mailbox = after_space(&mut at)?.astring()?;
            at.end()?;
            ClientCommand::Copy { is_move: name == "MOVE", uid, set, mailbox }
        }
    })
}

/// Flags only (RFC 3501 §6.4.6, RFC 7162 §3.1.3): annotations could be text.
fn store(mut at: Cursor<'_>) -> Result<ClientCommand<'_>, Refusal> {
    at.sequence_set()?;
    at.space()?;
    if at.peek() == Some(b'(') {
        at.value()?;
        at.space()?;
    }
    let _ = at.eat(b'+') || at.eat(b'-');
    match at.keyword()?.as_str() {
        "FLAGS" | "FLAGS.SILENT" => Ok(ClientCommand::Passed),
        _ => Err(Refusal::bad("only flags can be stored")),
    }
}

fn enable(mut at: Cursor<'_>) -> Result<ClientCommand<'_>, Refusal> {
    let mut names = Vec::new();
    while !at.is_at_end() {
        at.space()?;
        let name = at.keyword()?;
        if matches!(name.as_str(), "CONDSTORE" | "QRESYNC") {
            names.push(name);
        }
    }
    Ok(ClientCommand::Enable(names))
}

fn select(mut at: Cursor<'_>) -> Result<ClientCommand<'_>, Refusal> {
    let mailbox = after_space(&mut at)?.astring()?;
    if !at.is_at_end() {
        at.space()?;
        let mut parameters = Cursor::new(at.value()?);
        at.end()?;
        parameters.expect(b'(')?;
        match parameters.keyword()?.as_str() {
            "CONDSTORE" | "QRESYNC" => {}
            _ => return Err(Refusal::bad("no such parameter of SELECT")),
        }
    }
    Ok(ClientCommand::Select { mailbox })
}

fn status(mut at: Cursor<'_>) -> Result<ClientCommand<'_>, Refusal> {
    after_space(&mut at)?.astring()?;
    at.space()?;
    let items = words(at.value()?)?;
    at.end()?;
    only(&items, &STATUS_ITEMS, "STATUS")?;
    Ok(ClientCommand::Passed)
}

/// RFC 3501 §6.3.8, RFC 5258 §3, RFC 5819.
fn list(mut at: Cursor<'_>) -> Result<ClientCommand<'_>, Refusal> {
    at.space()?;
    if at.peek() == Some(b'(') {
        only(&words(at.value()?)?, &LIST_OPTIONS, "LIST")?;
        at.space()?;
    }
    at.astring()?;
    at.space()?;
    if at.peek() == Some(b'(') {
        let _ = at.value()?;
    } else {
        drop(at.astring()?)
    }
    if !at.is_at_end() {
        at.space()?;
        if at.keyword()? != "RETURN" {
            return Err(Refusal::bad("RETURN was expected"));
        }
        at.space()?;
        let options = at.value()?;
        at.end()?;
        let mut options = Cursor::new(options.get(1..options.len() - 1).ok_or(Malformed)?);
        while !options.is_at_end() {
            let option = options.keyword()?;
            let _ = options.eat(b' ');
            if option == "STATUS" {
                only(&words(options.value()?)?, &STATUS_ITEMS, "STATUS")?;
                let _ = options.eat(b' ');
            } else {
                only(&[option], &LIST_OPTIONS, "LIST")?;
            }
        }
    }
    Ok(ClientCommand::Passed)
}

/// The words of a list, in upper case.
fn words(list: &[u8]) -> Result<Vec<String>, Malformed> {
    let inner = list.strip_prefix(b"(").and_then(|list| list.strip_suffix(b")"));
    let mut at = Cursor::new(inner.ok_or(Malformed)?);
    let mut words = Vec::new();
    while !at.is_at_end() {
        words.push(at.keyword()?);
        while at.eat(b' ') {}
    }
    Ok(words)
}

fn only(words: &[String], known: &[&str], of: &str) -> Result<(), Refusal> {
    match words.iter().find(|word| !known.contains(&word.as_str())) {
        None => Ok(()),
        Some(word) => Err(Refusal::bad(format!("{of} has no {word} here"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_apart() {
        let text = b"a1 uid fetch 1:* (FLAGS)";
        let told = tagged(text).unwrap();
        assert_eq!(told, Tagged { tag: b"a1", command: b"uid fetch 1:* (FLAGS)" });
        assert_eq!(
            parse(told.command).unwrap(),
            ClientCommand::Fetch { uid: true, arguments: b"1:* (FLAGS)" }
        );
        let login = tagged(b"a LOGIN alice hunter2").unwrap();
        let shown = format!("{login:?} {:?}", parse(login.command).unwrap());
        assert_eq!(shown, "Tagged(19 octets) LOGIN");
        let copy = parse(b"uid move 1,3 \"a b\"").unwrap();
        assert_eq!(
            copy,
            ClientCommand::Copy {
                is_move: true,
                uid: true,
                set: b"1,3",
                mailbox: b"a b"[..].into()
            }
        );
        assert_eq!(
            parse(b"enable condstore utf8=accept QRESYNC").unwrap(),
            ClientCommand::Enable(vec!["CONDSTORE".into(), "QRESYNC".into()])
        );
        for text in [
            "list (subscribed) \"\" \"*\" return (special-use)",
            "LIST \"\" (\"INBOX\" \"Sent%\") RETURN (CHILDREN STATUS (MESSAGES UNSEEN) MYRIGHTS)",
            "LIST \"\" %",
            "STATUS {5}\r\nINBOX (MESSAGES HIGHESTMODSEQ)",
            "STORE 1:* (UNCHANGEDSINCE 12) +FLAGS.SILENT (\\Seen)",
            "UID STORE 4 FLAGS \\Deleted",
            "GETQUOTAROOT INBOX",
            "EXPUNGE",
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap(), ClientCommand::Passed, "{text}");
        }
    }

    #[test]
    fn what_is_not_on_the_list() {
        for text in [
            "XAPPLEPUSHSERVICE x",
            "UID REPLACE 1 INBOX {3}",
            "COMPRESS DEFLATE",
            "SORT (DATE) UTF-8 ALL",
            "STATUS INBOX (SIZE)",
            "LIST \"\" * RETURN (STATUS (MAILBOXID))",
            "LIST \"\" * RETURN (X)",
            "STORE 1 ANNOTATION (/comment (value.priv \"x\"))",
            "SELECT INBOX (ANNOTATE)",
            "URLFETCH x",
            "UNAUTHENTICATE",
            "BOXTREE",
            "",
            "IDLE now",
            "SELECT",
            "UID",
            "RENAME a",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        for text in ["", "a", "a ", "* NOOP", "+ NOOP", "(a) NOOP", "\"a\" NOOP"] {
            assert!(tagged(text.as_bytes()).is_err_and(|_| true) || text == "a ", "{text}");
        }
    }

    #[test]
    fn a_command_that_is_two_for_somebody_is_not_clean() {
        assert!(is_clean(b"LOGIN {3}\r\na\rb {1+}\r\n\0 x"));
        for text in [&b"NOOP\rb LOGOUT"[..], b"NO\0OP", b"LOGIN {3}\r\nabc\r", b"LOGIN {9}\r\nabc"]
        {
            assert!(!is_clean(text));
        }
        // A server that takes no literal there ends the command at that line.
        for text in [
            "GETQUOTA \"x {8+}\r\nb LOGOUT",
            "GETQUOTA \"x\\\" {8+}\r\nb LOGOUT\"",
            "GETQUOTA x{8+}\r\nb LOGOUT",
            "LIST \"\" \"\"{8+}\r\nb LOGOUT",
        ] {
            assert!(!is_clean(text.as_bytes()), "{text}");
        }
        for text in [
            "GETQUOTA {8+}\r\nb LOGOUT",
            "SETMETADATA \"a\\\"b\" (/x ~{8+}\r\nb LOGOUT)",
            "LIST \"\\\\\" ({8}\r\nb LOGOUT)",
        ] {
            assert!(is_clean(text.as_bytes()), "{text}");
        }
    }
}

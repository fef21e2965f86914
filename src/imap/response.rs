//! What the store answers (RFC 3501 §7), told apart as far as the proxy has to.

use std::fmt;

use super::token::{Cursor, Malformed};

/// One response, its last CRLF off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Response<'a> {
    /// `+`
    Continuation(&'a [u8]),
    /// The end of a command.
    Tagged {
        /// The tag.
        tag: &'a [u8],
        /// OK, NO or BAD, and all that follows.
        rest: &'a [u8],
    },
    /// `* n FETCH (…)`
    Fetch {
        /// The message sequence number.
        number: u32,
        /// The list.
        list: &'a [u8],
    },
    /// `* BYE`
    Bye(&'a [u8]),
    /// `* CAPABILITY`
    Capability,
    /// Any other.
    Untagged,
}

impl fmt::Debug for Response<'_> {
    /// Which it is: what it says may be a letter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continuation(_) => f.write_str("Continuation"),
            Self::Tagged { .. } => f.write_str("Tagged"),
            Self::Fetch { number, list } => write!(f, "Fetch({number}, {} octets)", list.len()),
            Self::Bye(_) => f.write_str("Bye"),
            Self::Capability => f.write_str("Capability"),
            Self::Untagged => f.write_str("Untagged"),
        }
    }
}

/// Tells a response apart.
///
/// # Errors
/// Where it is none.
pub fn parse(text: &[u8]) -> Result<Response<'_>, Malformed> {
    if let Some(rest) = text.strip_prefix(b"+") {
        return Ok(Response::Continuation(rest.strip_prefix(b" ").unwrap_or(rest)));
    }
    let mut at = Cursor::new(text);
    let tag = at.atom()?;
    at.space()?;
    if tag != b"*" {
        return Ok(Response::Tagged { tag, rest: at.rest() });
    }
    if at.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        let number = at.number()?;
        at.space()?;
        if at.keyword()? != "FETCH" {
            return Ok(Response::Untagged);
        }
        at.space()?;
        let number = u32::try_from(number).map_err(|_| Malformed)?;
        return Ok(Response::Fetch { number, list: at.rest() });
    }
    Ok(match at.keyword()?.as_str() {
        "BYE" => Response::Bye(at.rest()),
        "CAPABILITY" => Response::Capability,
        _ => Response::Untagged,
    })
}

/// Whether a response that begins so may have literals: the text of a status response has none, even
/// where it ends as if one followed.
pub fn may_have_literals(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"* ") else { return false };
    let word = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
    !["OK", "NO", "BAD", "BYE", "PREAUTH"].iter().any(|s| word.eq_ignore_ascii_case(s.as_bytes()))
}

/// Whether what follows a tag says that the command was done.
pub fn is_ok(rest: &[u8]) -> bool {
    rest.get(..2).is_some_and(|status| status.eq_ignore_ascii_case(b"OK"))
        && matches!(rest.get(2), None | Some(b' '))
}

/// An ESEARCH response (RFC 4731) in answer to a command whose tag was another: `own` becomes `tag`.
pub fn with_tag(line: &[u8], own: &[u8], tag: &[u8]) -> Option<Vec<u8>> {
    let begin = [b"* ESEARCH (TAG \"", own, b"\")"].concat();
    let (begun, rest) = line.split_at_checked(begin.len())?;
    // A tag has neither quotes nor backslashes (RFC 3501 §9).
    let retagged = || [b"* ESEARCH (TAG \"", tag, b"\")", rest].concat();
    begun.eq_ignore_ascii_case(&begin).then(retagged)
}

/// The number of a response code of an untagged OK, such as UIDVALIDITY (RFC 3501 §7.1).
pub fn code_number(text: &[u8], name: &str) -> Option<u64> {
    let code = code(text)?;
    let (first, rest) = code.split_at_checked(name.len())?;
    let digits = first.eq_ignore_ascii_case(name.as_bytes()).then(|| rest.strip_prefix(b" "))??;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The response code of a status response, tagged or not, without its brackets.
pub fn code(text: &[u8]) -> Option<&[u8]> {
    let mut at = Cursor::new(text);
    at.atom().ok()?;
    at.space().ok()?;
    let mut rest = at.rest();
    if rest.first() != Some(&b'[') {
        at.keyword().ok()?;
        at.space().ok()?;
        rest = at.rest();
    }
    let code = rest.strip_prefix(b"[")?;
    code.get(..memchr::memchr(b']', code)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_apart() {
        let fetch = parse(b"* 12 FETCH (UID 4 FLAGS ())").unwrap();
        assert_eq!(fetch, Response::Fetch { number: 12, list: b"(UID 4 FLAGS ())" });
        assert_eq!(parse(b"* 3 EXISTS").unwrap(), Response::Untagged);
        assert_eq!(parse(b"* bye gone").unwrap(), Response::Bye(b" gone"));
        assert_eq!(parse(b"+ idling").unwrap(), Response::Continuation(b"idling"));
        let tagged = parse(b"n1 OK [APPENDUID 1 2] done").unwrap();
        assert_eq!(tagged, Response::Tagged { tag: b"n1", rest: b"OK [APPENDUID 1 2] done" });
        assert!(parse(b"").is_err() && parse(b"*").is_err());
        assert!(is_ok(b"ok done") && is_ok(b"OK") && !is_ok(b"OKAY") && !is_ok(b"NO"));
    }

    #[test]
    fn codes() {
        let text = b"* OK [UIDVALIDITY 123] valid";
        assert_eq!(code_number(text, "UIDVALIDITY"), Some(123));
        assert_eq!(code_number(text, "UIDNEXT"), None);
        let extended = with_tag(b"* ESEARCH (TAG \"n7\") UID ALL 1:3", b"n7", b"a1");
        assert_eq!(extended.unwrap(), b"* ESEARCH (TAG \"a1\") UID ALL 1:3");
        assert_eq!(with_tag(b"* SEARCH 1", b"n7", b"a1"), None);
        assert_eq!(code(b"NO [TRYCREATE] no such mailbox"), Some(&b"TRYCREATE"[..]));
        assert!(
            may_have_literals(b"* 1 FETCH (BODY[] {3}") && !may_have_literals(b"* NO what {3}")
        );
        assert!(!may_have_literals(b"n1 OK {3}"));
    }
}

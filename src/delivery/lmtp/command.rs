//! The commands of an LMTP client (RFC 2033, RFC 5321 §4.1.1).
//!
//! smtp-proto knows the grammar. Paths are read here: it refuses addresses that real mail comes from
//! (`a..b@example.org`) and goes to (`alice`), and a refused sender would be a lost message. So is a
//! chunk size, which it would cut short: what follows would be taken for commands.

use std::borrow::Cow;

use smtp_proto::{Error, MAIL_BODY_7BIT, MAIL_BODY_8BITMIME, MAIL_SMTPUTF8, MailFrom, Request};

use super::reply::Reply;

/// The longest command line in octets, with its end. RFC 5321 §4.5.3.1.4 has 512, and each extension
/// adds to it.
pub const MAX_LINE_BYTES: usize = 4096;
/// The longest path (RFC 5321 §4.5.3.1.3), and room for what a sloppy one has on top.
const MAX_PATH_BYTES: usize = 1024;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// LHLO
    Lhlo,
    /// MAIL
    Mail {
        /// The reverse path; empty for the null sender.
        sender: String,
        /// How large the message will be, in octets; 0 when nothing was said.
        octets: u64,
        /// Whether its header may have UTF-8 in it (RFC 6531 §3.4).
        utf8: bool,
    },
    /// RCPT
    Rcpt {
        /// The forward path.
        address: String,
        /// Cyrus' `IGNOREQUOTA`.
        ignore_quota: bool,
    },
    /// DATA
    Data,
    /// BDAT (RFC 3030)
    Bdat {
        /// How many octets follow.
        octets: u64,
        /// Whether they are the last ones.
        is_last: bool,
    },
    /// RSET
    Rset,
    /// NOOP
    Noop,
    /// VRFY
    Vrfy,
    /// HELP
    Help,
    /// QUIT
    Quit,
}

/// Reads a command line, without its end.
///
/// # Errors
/// What to reply to a line that is no command of LMTP's, or says what is not offered.
pub fn parse(line: &[u8]) -> Result<Command, Reply> {
    let is_mail = line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"MAIL"));
    let line = String::from_utf8_lossy(line);
    if matches!(line, Cow::Owned(_)) && !is_mail {
        // Of a sender a rough idea is enough; a recipient must be understood.
        return Err(Reply::syntax("commands are UTF-8"));
    }
    let verb_end = line.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(line.len());
    let (verb, rest) = line.split_at(verb_end);
    match verb.to_ascii_uppercase().as_str() {
        "MAIL" => mail(rest),
        "RCPT" => rcpt(rest),
        "BDAT" => bdat(rest),
        "DATA" | "RSET" | "QUIT" if !rest.trim_ascii().is_empty() => {
            Err(Reply::arguments("no argument is allowed"))
        }
        _ => {
            let line = format!("{line}\r\n");
            match Request::parse(&mut line.as_bytes().iter()) {
                Ok(Request::Lhlo { .. }) => Ok(Command::Lhlo),
                Ok(Request::Data) => Ok(Command::Data),
                Ok(Request::Rset) => Ok(Command::Rset),
                Ok(Request::Noop { .. }) => Ok(Command::Noop),
                Ok(Request::Vrfy { .. }) => Ok(Command::Vrfy),
                Ok(Request::Help { .. }) => Ok(Command::Help),
                Ok(Request::Quit) => Ok(Command::Quit),
                Ok(Request::Ehlo { .. } | Request::Helo { .. }) => Err(Reply::not_smtp()),
                Err(Error::SyntaxError { syntax }) => Err(Reply::arguments(syntax)),
                _ => Err(Reply::unknown_command()),
            }
        }
    }
}

fn mail(rest: &str) -> Result<Command, Reply> {
    let (sender, parameters) = path(rest, "FROM:")?;
    if parameters.split_ascii_whitespace().any(is_size_beyond_numbers) {
        return Err(Reply::too_large());
    }
    // An empty path in place of the real one: what is left for the crate are the parameters.
    let line = format!("MAIL FROM:<>{parameters}\r\n");
    let from = match Request::parse(&mut line.as_bytes().iter()) {
        Ok(Request::Mail { from }) => from,
        Err(Error::UnsupportedParameter { .. }) => return Err(Reply::unknown_parameter()),
        _ => return Err(Reply::arguments("MAIL FROM:<reverse-path> [parameters]")),
    };
    let MailFrom { flags, size, .. } = from;
    let known = MailFrom { flags, size, ..MailFrom::default() };
    let offered = MAIL_BODY_7BIT | MAIL_BODY_8BITMIME | MAIL_SMTPUTF8;
    if from != known || flags & !offered != 0 {
        return Err(Reply::unknown_parameter());
    }
    Ok(Command::Mail { sender, octets: size as u64, utf8: flags & MAIL_SMTPUTF8 != 0 })
}

/// A size that is correct (RFC 1870 §3) and of which smtp-proto makes another one.
fn is_size_beyond_numbers(parameter: &str) -> bool {
    const MAX_DIGITS: usize = 18;
    let (name, digits) = parameter.split_once('=').unwrap_or_default();
    name.eq_ignore_ascii_case("SIZE")
        && digits.bytes().all(|octet| octet.is_ascii_digit())
        && digits.trim_start_matches('0').len() > MAX_DIGITS
}

fn rcpt(rest: &str) -> Result<Command, Reply> {
    let (address, parameters) = path(rest, "TO:")?;
    if address.is_empty() {
        return Err(Reply::bad_address("there is no recipient"));
    }
    let mut ignore_quota = false;
    for parameter in parameters.split_ascii_whitespace() {
        if !parameter.eq_ignore_ascii_case("IGNOREQUOTA") {
            return Err(Reply::unknown_parameter());
        }
        ignore_quota = true;
    }
    Ok(Command::Rcpt { address, ignore_quota })
}

/// The address between angle brackets after `keyword`, its local part unquoted, and what follows.
fn path<'a>(rest: &'a str, keyword: &str) -> Result<(String, &'a str), Reply> {
    let syntax = || Reply::bad_address("an address stands in angle brackets");
    let rest = rest.trim_ascii_start();
    let named = rest.get(..keyword.len()).filter(|word| word.eq_ignore_ascii_case(keyword));
    let rest = named.and_then(|_| rest.get(keyword.len()..)).ok_or_else(syntax)?;
    let inside = rest.trim_ascii_start().strip_prefix('<').ok_or_else(syntax)?;
    let mut address = String::new();
    let (mut quoted, mut escaped, mut has_quotes) = (false, false, false);
    for (at, character) in inside.char_indices() {
        if at > MAX_PATH_BYTES || character.is_control() {
            return Err(Reply::bad_address("that is no address"));
        }
        match character {
            _ if escaped => {
                address.push(character);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            // Only at the beginning: elsewhere it is somebody's sloppiness, kept as it is.
            '"' if quoted || address.is_empty() && !has_quotes => {
                quoted = !quoted;
                has_quotes = true;
            }
            '>' if !quoted => {
                let after = inside.get(at + 1..).unwrap_or_default();
                if !after.is_empty() && !after.starts_with(' ') {
                    return Err(syntax());
                }
                return Ok((without_route(address, has_quotes), after));
            }
            '<' | ' ' if !quoted => return Err(Reply::bad_address("that is no address")),
            _ => address.push(character),
        }
    }
    Err(syntax())
}

/// Takes a source route off, which nobody follows any more (RFC 5321 Appendix C).
fn without_route(address: String, has_quotes: bool) -> String {
    match address.split_once(':') {
        Some((route, rest)) if !has_quotes && route.starts_with('@') => rest.to_owned(),
        _ => address,
    }
}

fn bdat(rest: &str) -> Result<Command, Reply> {
    let mut words = rest.split_ascii_whitespace();
    let octets = words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
    let octets = octets.and_then(|word| word.parse().ok());
    let is_last = match words.next() {
        None => Some(false),
        Some(word) => word.eq_ignore_ascii_case("LAST").then_some(true),
    };
    match (octets, is_last, words.next()) {
        (Some(octets), Some(is_last), None) => Ok(Command::Bdat { octets, is_last }),
        // Nobody knows where the chunk ends.
        _ => Err(Reply::arguments("BDAT chunk-size [LAST]").and_close()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::delivery::smtp::path as path_of;

    fn mail(line: &str) -> (String, u64) {
        match parse(line.as_bytes()) {
            Ok(Command::Mail { sender, octets, .. }) => (sender, octets),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn rcpt(line: &str) -> String {
        match parse(line.as_bytes()) {
            Ok(Command::Rcpt { address, .. }) => address,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn senders() {
        assert_eq!(mail("MAIL FROM:<>"), (String::new(), 0));
        assert_eq!(mail("mail from: <a@b> size=10 body=8bitmime SMTPUTF8"), ("a@b".into(), 10));
        assert_eq!(mail("MAIL FROM:<a..b.@c> BODY=7BIT"), ("a..b.@c".into(), 0));
        assert_eq!(mail("MAIL FROM:<a@[127.0.0.1]>").0, "a@[127.0.0.1]");
        assert_eq!(mail("MAIL FROM:<jür@mü.example> SMTPUTF8").0, "jür@mü.example");
        for (bad, code) in [
            ("MAIL FROM:<a@b> BODY=BINARYMIME", "555 5.5.4"),
            ("MAIL FROM:<a@b> SIZE=99999999999999999999", "552 5.3.4"),
            ("MAIL FROM:<a@b> size=18446744073709551617", "552 5.3.4"),
            ("MAIL FROM:<a@b> FOO=1", "555 5.5.4"),
            ("MAIL FROM:<a@b> AUTH=<>", "555 5.5.4"),
            ("MAIL FROM:<a@b> RET=HDRS", "555 5.5.4"),
            ("MAIL FROM:<a@b>x", "501 5.1.3"),
            ("MAIL FROM:a@b", "501 5.1.3"),
            ("MAIL FROM:<a@b", "501 5.1.3"),
            ("MAIL FROM:<a b@c>", "501 5.1.3"),
            ("MAIL", "501 5.1.3"),
        ] {
            let reply = parse(bad.as_bytes()).unwrap_err();
            assert!(reply.to_string().starts_with(code), "{bad}: {reply}");
        }
    }

    #[test]
    fn recipients() {
        assert_eq!(rcpt("RCPT TO:<alice>"), "alice");
        assert_eq!(rcpt("RCPT TO:<Alice+lists@Example.ORG>"), "Alice+lists@Example.ORG");
        assert_eq!(rcpt("RCPT TO:<\"a b\"@c>"), "a b@c");
        assert_eq!(rcpt("RCPT TO:<\"a\\\"b>\"@c>"), "a\"b>@c");
        assert_eq!(rcpt("RCPT TO:<@x,@y:a@b>"), "a@b");
        let quota = Command::Rcpt { address: "a@b".into(), ignore_quota: true };
        assert_eq!(parse(b"RCPT TO:<a@b> IgnoreQuota"), Ok(quota));
        for bad in
            ["RCPT TO:<>", "RCPT TO:<a@b> NOTIFY=NEVER", "RCPT TO:<a@b>\0", "RCPT TO:<a\0@b>"]
        {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        let long = format!("RCPT TO:<{}@x>", "a".repeat(2000));
        assert!(parse(long.as_bytes()).is_err());
    }

    #[test]
    fn the_rest() {
        assert_eq!(parse(b"lhlo x"), Ok(Command::Lhlo));
        assert_eq!(parse(b"DATA "), Ok(Command::Data));
        assert_eq!(parse(b"NOOP what"), Ok(Command::Noop));
        assert_eq!(parse(b"BDAT 10 LAST"), Ok(Command::Bdat { octets: 10, is_last: true }));
        assert_eq!(parse(b"bdat 0"), Ok(Command::Bdat { octets: 0, is_last: false }));
        for bad in ["DATA x", "LHLO", "EHLO x", "HELO x", "AUTH PLAIN", "", " ", "XYZZY", "MAILX"] {
            let reply = parse(bad.as_bytes()).unwrap_err();
            assert!(reply.to_string().starts_with('5') && !reply.closes(), "{bad}: {reply}");
        }
        for bad in [
            "BDAT",
            "BDAT x",
            "BDAT -1",
            "BDAT +1",
            "BDAT 99999999999999999999999",
            "BDAT 1 LAST x",
        ] {
            assert!(parse(bad.as_bytes()).unwrap_err().closes(), "{bad}");
        }
        assert!(parse(b"NOOP \xff").is_err() && parse(b"RCPT TO:<\xff@x>").is_err());
        assert!(parse(b"MAIL FROM:<\xff@x>").is_ok());
    }

    proptest! {
        /// Nobody is one user for us and another one for the store.
        #[test]
        fn an_address_is_the_same_on_both_sides(local in "\\PC{1,12}|[\"\\\\a@<> ]{1,12}", domain in "[a-z.]{1,9}") {
            let address = format!("{local}@{domain}");
            let told = path_of(&address).unwrap();
            let heard = parse(format!("RCPT TO:<{told}>").as_bytes());
            prop_assert_eq!(heard, Ok(Command::Rcpt { address, ignore_quota: false }));
        }
    }
}

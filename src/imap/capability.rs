//! What a client is told that it may ask for: what the store offers and the proxy honours too.

use super::token::Cursor;

/// What the proxy honours after a login, in the order in which it is told. Everything else of the
/// store's stays its own: what lets a message in or out by another way than FETCH, SEARCH and APPEND,
/// and what the proxy would have to answer from content.
const HONOURED: [&str; 25] = [
    "LITERAL+",
    "ID",
    "ENABLE",
    "IDLE",
    "NAMESPACE",
    "UNSELECT",
    "UIDPLUS",
    "MOVE",
    "CHILDREN",
    "CONDSTORE",
    "QRESYNC",
    "ESEARCH",
    "WITHIN",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "LIST-MYRIGHTS",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "QUOTA",
    "QUOTASET",
    "ACL",
    "METADATA",
    "METADATA-SERVER",
    "SAVEDATE",
    "XLIST",
];
/// What goes with a value or a variant behind `=`.
const HONOURED_WITH_VALUE: [&str; 2] = ["RIGHTS=", "QUOTA="];

/// The capabilities of a server (RFC 3501 §7.2.1), in upper case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities(Vec<String>);

impl Capabilities {
    /// Reads what follows `CAPABILITY` in a response or a response code.
    pub fn parse(text: &[u8]) -> Self {
        let words = text.split(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
        let words = words.filter(|word| !word.is_empty());
        Self(words.map(|word| String::from_utf8_lossy(word).to_ascii_uppercase()).collect())
    }

    /// Finds them in a response: `* CAPABILITY …`, or the code of `* OK [CAPABILITY …]` and of a tagged OK.
    pub fn find(response: &[u8]) -> Option<Self> {
        let mut at = Cursor::new(response);
        at.atom().ok()?;
        at.space().ok()?;
        let rest = match at.keyword().ok()?.as_str() {
            "CAPABILITY" => at.rest(),
            "OK" | "PREAUTH" => {
                at.space().ok()?;
                let code = at.rest().strip_prefix(b"[")?;
                let code = code.get(..memchr::memchr(b']', code)?)?;
                let (name, rest) = code.split_at_checked("CAPABILITY".len())?;
                name.eq_ignore_ascii_case(b"CAPABILITY").then_some(rest)?
            }
            _ => return None,
        };
        Some(Self::parse(rest))
    }

    /// All of them.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// Whether the server has this one.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|own| own == name)
    }

    /// The value behind `NAME=`, of the first of them.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|own| own.strip_prefix(name)?.strip_prefix('='))
    }

    /// What a client is told after its login, where the largest message that it may append has `append`
    /// octets.
    pub fn honoured(&self, append: u64) -> String {
        let mut told = vec!["IMAP4rev1".to_owned()];
        told.extend(
            HONOURED.iter().filter(|name| self.honours(name)).map(|name| (*name).to_owned()),
        );
        let with_value = |own: &&String| {
            HONOURED_WITH_VALUE.iter().any(|name| own.starts_with(name))
                && own.bytes().all(|byte| byte.is_ascii_graphic())
        };
        told.extend(self.0.iter().filter(with_value).cloned());
        told.push(format!("APPENDLIMIT={append}"));
        told.join(" ")
    }

    /// Whether it is the store's and the proxy's too.
    pub fn honours(&self, name: &str) -> bool {
        match name {
            // The proxy reads them itself, and answers itself.
            "LITERAL+" | "ID" => true,
            _ => HONOURED.contains(&name) && self.has(name),
        }
    }
}

/// What a client is told before its login.
pub fn before_login(may_start_tls: bool, may_log_in: bool) -> String {
    let mut told = "IMAP4rev1 LITERAL+ SASL-IR ID".to_owned();
    if may_start_tls {
        told.push_str(" STARTTLS");
    }
    told.push_str(if may_log_in { " AUTH=PLAIN AUTH=LOGIN" } else { " LOGINDISABLED" });
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_and_narrowed() {
        let greeting = b"* OK [CAPABILITY IMAP4rev1 LITERAL+ SORT idle X-NEW COMPRESS=DEFLATE RIGHTS=kxten] hello";
        let own = Capabilities::find(greeting).unwrap();
        assert!(own.has("SORT") && own.has("IDLE"));
        let told = own.honoured(1000);
        assert_eq!(told, "IMAP4rev1 LITERAL+ ID IDLE RIGHTS=KXTEN APPENDLIMIT=1000");
        let untagged = Capabilities::find(b"* CAPABILITY IMAP4rev1 UIDPLUS").unwrap();
        assert!(untagged.honours("UIDPLUS") && !untagged.honours("MOVE"));
        assert_eq!(Capabilities::find(b"* OK hello"), None);
        assert_eq!(Capabilities::find(b"* 1 EXISTS"), None);
        assert_eq!(own.value("RIGHTS"), Some("KXTEN"));
    }

    #[test]
    fn nothing_is_honoured_that_opens_another_way() {
        let all = "CATENATE URLAUTH BINARY MULTIAPPEND REPLACE SORT THREAD=REFERENCES PREVIEW NOTIFY \
                   CONTEXT=SEARCH OBJECTID SEARCHRES STATUS=SIZE IMAP4REV2 UTF8=ACCEPT COMPRESS=DEFLATE \
                   SNIPPET=FUZZY ANNOTATE-EXPERIMENT-1 AUTH=PLAIN LOGIN-REFERRALS UNAUTHENTICATE";
        let told = Capabilities::parse(all.as_bytes()).honoured(1);
        assert_eq!(told, "IMAP4rev1 LITERAL+ ID APPENDLIMIT=1");
    }
}

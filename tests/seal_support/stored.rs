//! A stored message taken apart as text and put together otherwise. On purpose nothing of the
//! library's: what alters a message must not go by what reads it.

/// A stored message with CRLF line ends, in its pieces.
#[derive(Clone)]
pub struct Stored {
    /// The fields before ours, each with its line ends.
    pub other_fields: String,
    /// `Nightsafe-Signature` with its line ends.
    pub signature: String,
    /// `Sealed-Summary` with its line ends.
    pub summary: String,
    /// From the header's empty line to the empty line of the second part's header.
    pub before_body: String,
    /// The lines of base64.
    pub body: String,
    /// What comes behind it, its line end first.
    pub after_body: String,
}

const SIGNATURE: &str = "\r\nNightsafe-Signature:";
const SUMMARY: &str = "\r\nSealed-Summary:";
const BODY_HEADER: &str = "Content-Type: application/vnd.nightsafe.sealed\r\n";

impl Stored {
    pub fn parse(stored: &[u8]) -> Self {
        let text = std::str::from_utf8(stored).unwrap();
        let signature = text.find(SIGNATURE).unwrap() + 2;
        let summary = text.find(SUMMARY).unwrap() + 2;
        let header_end = summary + text[summary..].find("\r\n\r\n").unwrap() + 2;
        let part = header_end + text[header_end..].find(BODY_HEADER).unwrap();
        let body = part + text[part..].find("\r\n\r\n").unwrap() + 4;
        let after = body + text[body..].find("\r\n\r\n--").unwrap();
        Self {
            other_fields: text[..signature].to_owned(),
            signature: text[signature..summary].to_owned(),
            summary: text[summary..header_end].to_owned(),
            before_body: text[header_end..body].to_owned(),
            body: text[body..after].to_owned(),
            after_body: text[after..].to_owned(),
        }
    }

    pub fn join(&self) -> Vec<u8> {
        [
            &self.other_fields,
            &self.signature,
            &self.summary,
            &self.before_body,
            &self.body,
            &self.after_body,
        ]
        .map(String::as_str)
        .concat()
        .into_bytes()
    }

    /// `--` and the boundary.
    pub fn delimiter(&self) -> String {
        let line = self.before_body.lines().find(|line| line.starts_with("--")).unwrap();
        line.to_owned()
    }

    /// The stored message with something about it changed.
    pub fn with(&self, change: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut changed = self.clone();
        change(&mut changed);
        changed.join()
    }

    /// The age file of the body.
    pub fn age_file(&self) -> Vec<u8> {
        let digits: Vec<u8> =
            self.body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        encodify::base64::STANDARD.decode(digits).unwrap()
    }

    /// The stored message with another age file as its body.
    pub fn with_age_file(&self, file: &[u8]) -> Vec<u8> {
        let digits = encodify::base64::STANDARD.encode(file);
        let lines: Vec<&str> =
            digits.as_bytes().chunks(76).map(|l| std::str::from_utf8(l).unwrap()).collect();
        self.with(|stored| stored.body = lines.join("\r\n"))
    }
}

/// Where the header block of a stored message ends, its empty line included.
pub fn header_block(stored: &[u8]) -> &[u8] {
    let end = stored.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    &stored[..end]
}

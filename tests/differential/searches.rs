//! Questions of SEARCH (RFC 3501 section 6.4.4), of what the store can answer and of what only an
//! opened message can.

/// Keys by themselves.
const KEYS: [&str; 92] = [
    "ALL",
    "ANSWERED",
    "DELETED",
    "DRAFT",
    "FLAGGED",
    "SEEN",
    "UNANSWERED",
    "UNDELETED",
    "UNDRAFT",
    "UNFLAGGED",
    "UNSEEN",
    "NEW",
    "OLD",
    "RECENT",
    "KEYWORD $Forwarded",
    "UNKEYWORD Work",
    "KEYWORD Nothing",
    "1",
    "1:5",
    "*",
    "3,1,2",
    "10:*",
    "UID 1:5",
    "UID 3,290:*",
    "UID 90000",
    "BEFORE 1-Jan-2021",
    "ON 5-Jan-2022",
    "SINCE 1-Apr-2024",
    "SINCE 1-Jan-2090",
    "SENTBEFORE 1-Jan-2020",
    "SENTON 4-Mar-2025",
    "SENTSINCE 3-Mar-2025",
    "SENTSINCE 1-Jan-2090",
    "LARGER 0",
    "LARGER 1000",
    "LARGER 100000",
    "SMALLER 500",
    "SMALLER 1000",
    "SMALLER 0",
    "FROM ada",
    "FROM ADA@EXAMPLE.NET",
    "FROM \"Otto\"",
    "FROM nobodyatall",
    "FROM example",
    "TO alice",
    "TO otto.berg@example.com",
    "TO example.org",
    "CC carol",
    "CC example",
    "BCC example",
    "SUBJECT minutes",
    "SUBJECT MEETING",
    "SUBJECT \"figures (draft\"",
    "SUBJECT nothinglikeit",
    "SUBJECT re:",
    "SUBJECT \"au lait\"",
    "SUBJECT Fwd",
    "SUBJECT \"\"",
    "HEADER Subject minutes",
    "HEADER Message-ID made-3",
    "HEADER Message-ID \"<made-1-8@example.net>\"",
    "HEADER X-Mailer \"\"",
    "HEADER List-Id list",
    "HEADER Received mx3.example.net",
    "HEADER References first",
    "HEADER No-Such-Field \"\"",
    "HEADER Content-Type multipart",
    "HEADER Reply-To example",
    "HEADER MIME-Version 1.0",
    "HEADER In-Reply-To before",
    "HEADER Sender example",
    "HEADER From ada",
    "BODY Apfelbaum",
    "BODY apfelbaum",
    "BODY \"number 3 grows\"",
    "BODY nothinglikeit",
    "BODY Zwetschgen",
    "BODY \"softly\"",
    "BODY \"broken softly\"",
    "BODY VCALENDAR",
    "BODY First",
    "BODY hello",
    "TEXT Apfelbaum",
    "TEXT minutes",
    "TEXT ada@example.net",
    "TEXT nothinglikeit",
    "TEXT zwetschgen",
    "TEXT made-3",
    "TEXT \"garden\"",
    "TEXT multipart",
    "NOT SEEN",
    "NOT SUBJECT minutes",
];

/// Keys put together.
const PROGRAMS: [&str; 34] = [
    "1:* NOT DELETED",
    "UID 1:* NOT DELETED",
    "UNSEEN UNDELETED",
    "SEEN SUBJECT minutes",
    "OR SEEN FLAGGED",
    "OR SUBJECT minutes SUBJECT figures",
    "OR FROM ada TO ada",
    "OR (SEEN FROM ada) (UNSEEN TO ada)",
    "NOT (FROM ada SUBJECT minutes)",
    "NOT NOT SEEN",
    "(SEEN) (FROM example)",
    "OR OR SEEN FLAGGED ANSWERED",
    "OR SEEN BODY Apfelbaum",
    "OR SUBJECT minutes TEXT garden",
    "SINCE 1-Jan-2022 FROM ada",
    "SENTSINCE 1-Mar-2025 SMALLER 2000",
    "LARGER 500 SMALLER 1500",
    "1:100 BODY Apfelbaum",
    "UID 1:50 TEXT garden",
    "NOT BODY Apfelbaum",
    "NOT TEXT example",
    "NOT LARGER 1000",
    "FROM ada NOT BODY Apfelbaum",
    "ANSWERED OR FROM ada FROM otto",
    "OR NOT SEEN NOT FLAGGED",
    "HEADER Message-ID made NOT SEEN",
    "KEYWORD $Forwarded SUBJECT figures",
    "SENTON 4-Mar-2025 SUBJECT minutes",
    "BEFORE 1-Jan-2024 NOT BEFORE 1-Jan-2022",
    "NOT UID 1:200",
    "(OR SEEN (NOT (FLAGGED OR ANSWERED DRAFT)))",
    "FROM example TO example SUBJECT e",
    "OR HEADER Subject minutes LARGER 50000",
    "BODY Apfelbaum BODY garden",
];

/// What is wrong, and must be said to be.
const WRONG: [&str; 8] = [
    "NOSUCHKEY",
    "FROM",
    "OR SEEN",
    "BEFORE yesterday",
    "LARGER many",
    "(SEEN",
    "HEADER Subject",
    "NOT",
];

/// All questions, as commands.
pub fn all() -> Vec<String> {
    let mut script = Vec::new();
    for program in KEYS.iter().chain(&PROGRAMS) {
        script.push(format!("SEARCH {program}"));
        script.push(format!("UID SEARCH {program}"));
    }
    for program in PROGRAMS.iter().chain(&KEYS[..12]) {
        script.push(format!("SEARCH RETURN (ALL) {program}"));
        // What only counts does not tell which message is counted by one side only.
        if !["BODY", "TEXT", "SENT"].iter().any(|word| program.contains(word)) {
            script.push(format!("UID SEARCH RETURN (MIN MAX COUNT) {program}"));
        }
    }
    for returned in ["()", "(ALL)", "(COUNT)", "(MIN)", "(MAX)", "(MIN MAX)", "(ALL COUNT)"] {
        script.push(format!("UID SEARCH RETURN {returned} SUBJECT minutes"));
        script.push(format!("UID SEARCH RETURN {returned} SUBJECT nothinglikeit"));
        script.push(format!("SEARCH RETURN {returned} SEEN"));
    }
    for charset in ["US-ASCII", "UTF-8"] {
        script.push(format!("UID SEARCH CHARSET {charset} SUBJECT minutes"));
        script.push(format!("SEARCH CHARSET {charset} BODY Apfelbaum"));
    }
    script.push("SEARCH CHARSET NO-SUCH-CHARSET SUBJECT x".to_owned());
    script.push("UID SEARCH SUBJECT {7}\r\nminutes".to_owned());
    script.push("UID SEARCH CHARSET UTF-8 SUBJECT {8+}\r\nGr\u{fc}\u{df}e ".to_owned());
    script.push("UID SEARCH CHARSET UTF-8 SUBJECT {5+}\r\nK\u{f6}ln".to_owned());
    script.push("UID SEARCH CHARSET UTF-8 BODY {7+}\r\nGr\u{fc}\u{df}e".to_owned());
    script.push("UID SEARCH CHARSET UTF-8 FROM {7+}\r\nJ\u{fc}rgen".to_owned());
    script.extend(WRONG.iter().map(|program| format!("UID SEARCH {program}")));
    script
}

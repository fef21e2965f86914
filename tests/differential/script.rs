//! The commands that are run in both mailboxes.

use super::parts;
use crate::support::tokens::Token;

/// What real clients ask for when they list a mailbox or open a message, and every item there is.
const LISTS: [&str; 26] = [
    "ALL",
    "FAST",
    "FULL",
    "FLAGS",
    "(FLAGS)",
    "UID",
    "ENVELOPE",
    "BODY",
    "BODYSTRUCTURE",
    "INTERNALDATE",
    "RFC822.SIZE",
    "RFC822.HEADER",
    "(UID RFC822.SIZE FLAGS)",
    "BODY.PEEK[HEADER]",
    "BODY.PEEK[HEADER.FIELDS (SUBJECT)]",
    "BODY.PEEK[HEADER.FIELDS (No-Such-Field)]",
    "BODY.PEEK[HEADER.FIELDS.NOT (Received DKIM-Signature ARC-Seal)]",
    "BODY.PEEK[1]",
    "BODY.PEEK[1.MIME]",
    "BODY.PEEK[TEXT]<0.2048>",
    "(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority \
     X-Priority References Newsgroups In-Reply-To Content-Type Reply-To Received)])",
    "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE FROM SENDER SUBJECT TO CC \
     MESSAGE-ID REFERENCES CONTENT-TYPE CONTENT-DESCRIPTION IN-REPLY-TO REPLY-TO LINES LIST-POST X-LABEL)])",
    "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (date subject from content-type to cc \
     bcc reply-to message-id references in-reply-to list-post list-unsubscribe sender)])",
    "(UID RFC822.SIZE FLAGS INTERNALDATE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (DATE FROM TO SUBJECT)])",
    "(BODY.PEEK[HEADER.FIELDS (Content-Type Content-Transfer-Encoding)] BODY.PEEK[TEXT]<0.2048>)",
    "(ENVELOPE UID BODYSTRUCTURE INTERNALDATE FLAGS RFC822.SIZE)",
];

/// Sets of messages as they can be written. None is out of range: a sequence number that is not there is
/// an error for one server and nothing for another.
const SETS: [&str; 9] = ["1", "*", "2:4", "4:2", "1,3,5:7", "3,1,2", "*:290", "290:*", "5,5,5:6"];

/// Fetches of the whole mailbox, and of some of it, that change nothing.
pub fn lists() -> Vec<String> {
    let whole = LISTS
        .iter()
        .flat_map(|list| [format!("FETCH 1:* {list}"), format!("UID FETCH 1:* {list}")]);
    let sets = SETS.iter().flat_map(|set| {
        [
            format!("FETCH {set} (UID ENVELOPE)"),
            format!("UID FETCH {set} (RFC822.SIZE BODY.PEEK[HEADER.FIELDS (Subject)])"),
            format!("UID FETCH {set} (UID BODY.PEEK[])"),
        ]
    });
    let beyond = ["UID FETCH 90000 (UID ENVELOPE)", "UID FETCH 90000:90010 BODY.PEEK[]"];
    whole.chain(sets).chain(beyond.map(str::to_owned)).collect()
}

/// Everything that can be asked of one message, of which the store tells this structure.
pub fn message(uid: usize, structure: &Token) -> Vec<String> {
    let mut script = vec![
        format!("UID FETCH {uid} (FLAGS UID INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE)"),
        format!("UID FETCH {uid} (UID BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT])"),
        format!(
            "UID FETCH {uid} (BODY.PEEK[HEADER.FIELDS (From To Subject Date)] \
             BODY.PEEK[HEADER.FIELDS.NOT (Received From)] RFC822.HEADER)"
        ),
        format!(
            "UID FETCH {uid} (BODY.PEEK[]<0.100> BODY.PEEK[TEXT]<5.1000> BODY.PEEK[HEADER]<1.30> \
             BODY.PEEK[1]<3.50> BODY.PEEK[1.MIME]<2.20> BODY.PEEK[HEADER.FIELDS (Subject)]<2.9>)"
        ),
        format!("UID FETCH {uid} (BODY.PEEK[]<17.23> BODY.PEEK[TEXT]<999999999.5>)"),
    ];
    let found = parts::of(structure);
    for some in found.chunks(24).take(2) {
        let mut items = Vec::new();
        for part in some {
            items.push(format!("BODY.PEEK[{}]", part.number));
            items.push(format!("BODY.PEEK[{}.MIME]", part.number));
            if part.is_message {
                items.push(format!("BODY.PEEK[{}.HEADER]", part.number));
                items.push(format!("BODY.PEEK[{}.TEXT]", part.number));
                items.push(format!("BODY.PEEK[{}.HEADER.FIELDS (Subject To)]", part.number));
                items.push(format!("BODY.PEEK[{}.HEADER.FIELDS.NOT (Subject)]", part.number));
                items.push(format!("BODY.PEEK[{}.TEXT]<4.40>", part.number));
            }
        }
        script.push(format!("UID FETCH {uid} ({})", items.join(" ")));
    }
    script
}

/// Commands that change flags, mailboxes and their messages. They come last, and each is followed by a look.
pub fn changes() -> Vec<String> {
    let mut script = Vec::new();
    let mut change = |command: &str| {
        script.push(command.to_owned());
        script.push("UID FETCH 1:* (FLAGS)".to_owned());
    };
    // What opens a message marks it as seen, and what peeks does not.
    for command in [
        "UID FETCH 1 BODY.PEEK[]",
        "UID FETCH 2 BODY[]",
        "UID FETCH 3 (BODY[TEXT])",
        "UID FETCH 5 RFC822",
        "UID FETCH 9 (RFC822.TEXT)",
        "UID FETCH 11 RFC822.HEADER",
        "UID FETCH 13 (BODY[HEADER])",
        "UID FETCH 17 (BODY[HEADER.FIELDS (Subject)])",
        "UID FETCH 19 (UID BODY[1]<0.10>)",
        "UID FETCH 21 (ENVELOPE BODY[1.MIME])",
        "FETCH 25:29 (FLAGS BODY[])",
        "UID FETCH 33 (BODY.PEEK[1] BODY[TEXT])",
        "STORE 1:5 +FLAGS (\\Flagged)",
        "UID STORE 3:9 -FLAGS (\\Seen)",
        "UID STORE 10 FLAGS (\\Answered \\Seen)",
        "STORE 11 FLAGS ()",
        "UID STORE 12:14 +FLAGS.SILENT ($Label1 Junk)",
        "UID STORE 12:14 -FLAGS.SILENT (Junk)",
        "UID STORE 15 +FLAGS \\Deleted",
        "UID STORE 90000 +FLAGS (\\Seen)",
    ] {
        change(command);
    }
    for command in [
        "CREATE Copies",
        "CREATE \"Copies/Of Copies\"",
        "LIST \"\" *",
        "LIST \"\" %",
        "LIST \"\" \"Copies/%\"",
        "LSUB \"\" *",
        "SUBSCRIBE Copies",
        "LSUB \"\" *",
        "UNSUBSCRIBE Copies",
        "LIST (SUBSCRIBED) \"\" * RETURN (CHILDREN)",
        "LIST \"\" (INBOX Copies) RETURN (SUBSCRIBED)",
        "LIST \"\" % RETURN (STATUS (MESSAGES UIDNEXT UNSEEN))",
        "NAMESPACE",
        "COPY 1:3 Copies",
        "UID COPY 5,7,9 Copies",
        "UID COPY 2 NoSuchMailbox",
        "STATUS Copies (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)",
        "STATUS NoSuchMailbox (MESSAGES)",
        "STATUS mail (MESSAGES HIGHESTMODSEQ)",
        "SELECT Copies",
        "FETCH 1:* (UID FLAGS INTERNALDATE ENVELOPE RFC822.SIZE)",
        "UID FETCH 1:* BODY.PEEK[]",
        "UID MOVE 2 \"Copies/Of Copies\"",
        "MOVE 1 INBOX",
        "UID FETCH 1:* (FLAGS)",
        "STORE 1 +FLAGS (\\Deleted)",
        "UID EXPUNGE 90000",
        "EXPUNGE",
        "FETCH 1:* (UID RFC822.SIZE)",
        "STORE 1 +FLAGS (\\Deleted)",
        "UID EXPUNGE 1:*",
        "UID FETCH 1:* (UID ENVELOPE)",
        "NOOP",
        "CHECK",
        "STORE 1 +FLAGS (\\Deleted)",
        "CLOSE",
        "EXAMINE Copies",
        "STORE 1 +FLAGS (\\Seen)",
        "UID FETCH 1:* BODY[]",
        "UID FETCH 1:* (FLAGS)",
        "UNSELECT",
        "FETCH 1 UID",
        "SELECT INBOX",
        "FETCH 1:* (UID FLAGS BODY.PEEK[HEADER])",
        "RENAME \"Copies/Of Copies\" Archive",
        "SELECT Archive",
        "UID FETCH 1:* (UID ENVELOPE BODY.PEEK[TEXT])",
        "UNSELECT",
        "DELETE Archive",
        "SELECT Archive",
        "DELETE Copies",
        "STATUS Copies (MESSAGES)",
        "GETQUOTAROOT INBOX",
        "SELECT mail (CONDSTORE)",
        "UID FETCH 1:6 (FLAGS MODSEQ)",
        "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1)",
        "UID STORE 6 (UNCHANGEDSINCE 1) +FLAGS (\\Flagged)",
        "ENABLE QRESYNC",
        "UID FETCH 1:5 (FLAGS)",
        "UID STORE 7 +FLAGS (\\Deleted)",
        "UID EXPUNGE 7",
        "NOSUCHCOMMAND",
        "FETCH",
        "FETCH 1",
        "FETCH x FLAGS",
        "UID FETCH 1 (NOSUCHITEM)",
        "UID NOSUCH 1",
        "SELECT",
        "SELECT NoSuchMailbox",
        "UID FETCH 1 FLAGS",
        "SELECT mail",
        "SEARCH",
        "STORE 1 +FLAGS",
        "COPY 1",
        "UID FETCH 1 BODY[",
        "UID FETCH 1 (BODY[]",
        "NOOP",
    ] {
        script.push(command.to_owned());
    }
    script
}

//! Messages made up: what today's clients write, in all combinations of structure and encoding.

use crate::seal_support::mail::noise;
use crate::site::canary::base64;
use std::fmt::Write as _;

/// All of them, by name.
pub fn all() -> Vec<(String, Vec<u8>)> {
    let mut made = Vec::new();
    for index in 0..40 {
        made.push((format!("made/single-{index}"), single(index)));
        made.push((format!("made/alternative-{index}"), alternative(index)));
        made.push((format!("made/attached-{index}"), attached(index)));
        made.push((format!("made/forwarded-{index}"), forwarded(index)));
    }
    for index in 0..12 {
        made.push((format!("made/edge-{index}"), edge(index)));
    }
    for depth in [2, 5, 9] {
        made.push((format!("made/deep-{depth}"), deep(depth)));
    }
    made.into_iter().map(|(name, text)| (name, text.into_bytes())).collect()
}

const PEOPLE: [&str; 6] = [
    "Ada Lindqvist <ada@example.net>",
    "\"Berg, Otto\" <otto.berg@example.com>",
    "=?utf-8?Q?J=C3=BCrgen_M=C3=BCller?= <juergen@example.de>",
    "plain@example.org",
    "\"back\\\\slash \\\"quoted\\\"\" <slash@example.org>",
    "=?iso-2022-jp?B?GyRCOzNFRBsoQg==?= <yamada@example.jp>",
];
const SUBJECTS: [&str; 6] = [
    "Minutes of the meeting",
    "=?utf-8?B?R3LDvMOfZSBhdXMgS8O2bG4=?=",
    "Re: [list] a subject\r\n that is folded over two lines",
    "Fwd: \"quoted\" \\ and 100 % of it",
    "=?iso-8859-1?Q?Caf=E9_au_lait?=",
    "Quarterly figures (draft 3)",
];

fn header(index: usize) -> String {
    let day = 1 + index % 28;
    let person = |shift: usize| PEOPLE[(index + shift) % PEOPLE.len()];
    let mut text = format!(
        "Received: from mx{index}.example.net by mail.example.org; Tue, {:02} Mar 2025 08:{:02}:00 +0100\r\n\
         Date: Tue, {:02} Mar 2025 08:{:02}:07 +0100\r\nFrom: {}\r\nTo: {}\r\n",
        day,
        index,
        day,
        index,
        person(0),
        person(1),
    );
    if index.is_multiple_of(2) {
        let _ = write!(text, "Cc: {},\r\n {}\r\n", person(2), person(3));
    }
    if index.is_multiple_of(3) {
        let _ = write!(text, "Sender: {}\r\nReply-To: {}\r\n", person(4), person(5));
    }
    if index % 4 == 1 {
        let _ = write!(
            text,
            "In-Reply-To: <before-{index}@example.net>\r\nReferences: <first@example.net>\r\n <before-{index}@example.net>\r\n"
        );
    }
    let _ = write!(
        text,
        "Subject: {}\r\nMessage-ID: <made-{index}-{}@example.net>\r\nMIME-Version: 1.0\r\n",
        SUBJECTS[index % SUBJECTS.len()],
        index * 7 + 1
    );
    text
}

/// A text part with its own header fields, in one of six encodings.
fn text_part(index: usize, kind: &str) -> String {
    let words = format!("Apfelbaum number {index} grows in the garden.\r\n");
    match index % 6 {
        0 => format!("Content-Type: text/{kind}\r\n\r\n{words}"),
        1 => format!(
            "Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
             Gr=C3=BC=C3=9Fe: {words}A long line that is bro=\r\nken softly.\r\n"
        ),
        2 => format!(
            "Content-Type: text/{kind}; charset=\"utf-8\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
            base64(format!("Zwetschgen {words}").as_bytes())
        ),
        3 => format!(
            "Content-Type: text/{kind}; charset=utf-8; format=flowed; delsp=yes\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
             Größe and {words}"
        ),
        4 => format!(
            "Content-Type: text/{kind}; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
             Caf=E9 {words}"
        ),
        _ => format!(
            "Content-Type: text/{kind}; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\
             Content-Language: en\r\nContent-ID: <part{index}@example.net>\r\n\
             Content-Description: A part\r\n\r\n{words}{words}"
        ),
    }
}

fn single(index: usize) -> String {
    header(index) + &text_part(index, if index < 6 { "plain" } else { "html" })
}

fn multipart(kind: &str, boundary: &str, parts: &[String]) -> String {
    let mut text = format!("Content-Type: multipart/{kind}; boundary=\"{boundary}\"\r\n\r\n");
    for part in parts {
        let _ = write!(text, "--{boundary}\r\n{part}\r\n");
    }
    let _ = write!(text, "--{boundary}--\r\n");
    text
}

fn alternative(index: usize) -> String {
    let parts = [text_part(index, "plain"), text_part(index + 1, "html")];
    header(index) + &multipart("alternative", &format!("=_alternative {index}"), &parts)
}

/// A file as a client attaches it.
fn attachment(index: usize) -> String {
    let names = [
        "filename=\"notes.pdf\"",
        "filename*=utf-8''%C3%9Cbersicht.pdf",
        "filename=plain.bin; size=512",
        "filename*0=\"a long name that \"; filename*1=\"goes on.pdf\"",
    ];
    let content = base64(&noise(400 + index % 12 * 1500, index as u64));
    let lines: Vec<&str> =
        content.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!(
        "Content-Type: application/pdf; name=\"notes.pdf\"\r\nContent-Disposition: attachment; {}\r\n\
         Content-Transfer-Encoding: base64\r\nContent-Location: https://example.org/notes\r\n\
         Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\n\r\n{}\r\n",
        names[index % names.len()],
        lines.join("\r\n")
    )
}

fn attached(index: usize) -> String {
    let inner = multipart(
        "alternative",
        &format!("inner{index}"),
        &[text_part(index, "plain"), text_part(index + 2, "html")],
    );
    let parts = [inner, attachment(index), attachment(index + 1)];
    header(index) + &multipart("mixed", &format!("outer{index}"), &parts)
}

fn forwarded(index: usize) -> String {
    let inside = match index % 3 {
        0 => single(index + 1),
        1 => alternative(index + 1),
        _ => attached(index + 1),
    };
    let message =
        format!("Content-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\n{inside}");
    let parts = [text_part(index, "plain"), message];
    header(index) + &multipart("mixed", &format!("forward{index}"), &parts)
}

fn deep(depth: usize) -> String {
    let mut part = text_part(depth, "plain");
    for level in 0..depth {
        let beside = text_part(level, "plain");
        part = multipart("mixed", &format!("level{level}"), &[part, beside]);
    }
    header(depth) + &part
}

/// What is right and seldom seen.
fn edge(index: usize) -> String {
    let begin = "From: ada@example.net\r\nDate: Mon, 3 Mar 2025 10:00:00 +0000\r\n";
    match index {
        0 => format!("{begin}Subject: no body at all\r\n\r\n"),
        1 => format!("{begin}Subject: the last line has no end\r\n\r\nend"),
        2 => format!("{begin}Subject: empty lines\r\n\r\n\r\n\r\n\r\n"),
        3 => format!(
            "{begin}To: undisclosed-recipients:;\r\nSubject: a group of none\r\n\r\nHello.\r\n"
        ),
        4 => format!(
            "{begin}To: team: ada@example.net, otto@example.com;, carol@example.org\r\nSubject: a group\r\n\r\nHello.\r\n"
        ),
        5 => format!("{begin}Subject:\r\n\r\nAn empty subject.\r\n"),
        6 => format!("{begin}\r\nNo subject.\r\n"),
        7 => format!(
            "{begin}Subject: many\r\nTo: {}\r\n\r\nHello.\r\n",
            (0..60).map(|n| format!("user{n}@example.org")).collect::<Vec<_>>().join(",\r\n ")
        ),
        8 => format!("{begin}Subject: dots\r\n\r\n.\r\n..\r\n.end\r\nFrom here\r\n>From there\r\n"),
        9 => format!(
            "{begin}Subject: large\r\n\r\n{}",
            "A line of text that is seventy octets long, or very nearly so, indeed.\r\n"
                .repeat(3_000)
        ),
        10 => format!(
            "{begin}Subject: a digest\r\nMIME-Version: 1.0\r\nContent-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nFrom: one@example.net\r\nSubject: one\r\n\r\nFirst.\r\n\r\n--d\r\n\r\nFrom: two@example.net\r\nSubject: two\r\n\r\nSecond.\r\n\r\n--d--\r\n"
        ),
        _ => format!(
            "{begin}Subject: a calendar\r\nMIME-Version: 1.0\r\nContent-Type: text/calendar; method=REQUEST; charset=utf-8; name=\"invite.ics\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\nBEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n"
        ),
    }
}

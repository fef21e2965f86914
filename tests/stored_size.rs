//! What sealing does to the size of stored mail, everything of the stored file counted: total over total
//! by kind of mail, as a Maildir stores it (with LF) and as Cyrus does (with CRLF).

use std::fs;
use std::path::Path;

use nightsafe::age::SecretKey;
use nightsafe::seal::{ClearHeaders, Draft, Fixed, SealingKey};
use nightsafe::user::User;

/// Plain octets, and sealed ones with LF and with CRLF.
struct Sizes {
    plain: usize,
    lf: usize,
    crlf: usize,
}

fn sizes(kind: &str) -> Sizes {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/mail").join(kind);
    let site = SealingKey::generate("0123456789abcdef");
    let key = SecretKey::generate().public_key();
    let user = User::parse("alice@example.org").unwrap();
    let fixed = Fixed {
        domain: "example.org".into(),
        from: "Sealed mail".into(),
        subject: "Sealed message".into(),
        notice: "This message is sealed: only its owner can read it, after logging in.\r\n".into(),
        clear_headers: ClearHeaders::default(),
    };
    let mut total = Sizes { plain: 0, lf: 0, crlf: 0 };
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let message = fs::read(&path).unwrap();
        let draft = Draft::new(&message, &fixed.clear_headers, 1_795_000_000).unwrap();
        let mut stored = Vec::new();
        draft.seal_for(&user, &key, &site, &fixed).unwrap().write_to(&mut stored).unwrap();
        let lines = stored.iter().filter(|byte| **byte == b'\n').count();
        total.plain += message.len();
        total.crlf += stored.len();
        total.lf += stored.len() - lines;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        println!("{kind}/{name}: {:.2}", (stored.len() - lines) as f64 / message.len() as f64);
    }
    assert!(total.plain > 0);
    let ratio = |sealed: usize| sealed as f64 / total.plain as f64;
    println!("{kind}: {:.3} with LF, {:.3} with CRLF\n", ratio(total.lf), ratio(total.crlf));
    total
}

/// At most `goal` as a Maildir stores it.
fn holds(kind: &str, goal: f64) {
    let Sizes { plain, lf, .. } = sizes(kind);
    let ratio = lf as f64 / plain as f64;
    assert!(ratio <= goal, "{kind}: {ratio:.3}, and the goal is {goal}");
}

#[test]
fn html_mail_shrinks() {
    holds("html", 0.9);
}

#[test]
fn small_text_mail_grows_by_less_than_two_thirds() {
    holds("text", 1.6);
}

#[test]
fn attachments_stay_as_large_as_they_are() {
    holds("attachment", 1.04);
}

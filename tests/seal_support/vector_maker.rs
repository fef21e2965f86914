//! Makes the vectors below `fixtures/vectors/sealed` that are not there yet. None is ever made anew: a
//! vector is worth something because an earlier version wrote it.

use std::fmt::Write as _;
use std::path::Path;

use nightsafe::age::SecretKey;
use nightsafe::seal::SealingKey;
use sha2::{Digest as _, Sha256};

use super::mail::{noise, one, to_lf};
use super::sealer::{Sealer, user};
use super::stored::Stored;

const USER: &str = "alice@example.org";

struct Maker<'a> {
    folder: &'a Path,
}

impl Maker<'_> {
    fn put(&self, name: &str, lines: &[(&str, &str)], stored: &[u8]) {
        let path = self.folder.join(name);
        if path.exists() {
            return;
        }
        let lines: String = lines.iter().fold(String::new(), |mut text, (key, value)| {
            writeln!(text, "{key}: {value}").unwrap();
            text
        });
        std::fs::write(path, [lines.as_bytes(), b"\n", stored].concat()).unwrap();
    }

    fn ok(&self, name: &str, comment: &str, original: &[u8], stored: &[u8]) {
        let hash = Sha256::digest(original).iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        let mut lines = vec![("comment", comment), ("expect", "ok"), ("original", &hash)];
        if name == "ok-summary-none" {
            lines.push(("summary", "none"));
        }
        self.put(name, &lines, stored);
    }

    fn bad(&self, name: &str, expect: &str, comment: &str, stored: &[u8]) {
        self.put(name, &[("comment", comment), ("expect", expect)], stored);
    }

    /// Where the summary, which a listing opens without the body, ends otherwise.
    fn bad_body(&self, name: &str, expect: &str, summary: &str, comment: &str, stored: &[u8]) {
        self.put(name, &[("comment", comment), ("expect", expect), ("summary", summary)], stored);
    }

    /// The site's keys, made once: the old key signed before the new one took over, and is in the ring.
    fn keys(&self) -> (SealingKey, SealingKey, SecretKey) {
        let path = |name: &str| self.folder.join(name);
        if !path("sealing.key").exists() {
            let old = SealingKey::generate("0123456789abcdef");
            old.store_new(&path("old.key")).unwrap();
            SealingKey::generate("0123456789abcdef").store_new(&path("sealing.key")).unwrap();
            let old_ring = std::fs::read_to_string(path("old.ring")).unwrap();
            let new_ring = std::fs::read_to_string(path("sealing.ring")).unwrap();
            let both = new_ring + old_ring.lines().last().unwrap() + "\n";
            std::fs::write(path("sealing.ring"), both).unwrap();
            std::fs::remove_file(path("old.ring")).unwrap();
            let key = SecretKey::generate();
            let text = String::from_utf8(key.to_bech32().expose().to_vec()).unwrap();
            let public = key.public_key();
            let text =
                format!("# public on purpose, for tests only\n# public key: {public}\n{text}\n");
            std::fs::write(path("identity.txt"), text).unwrap();
        }
        let identity = std::fs::read_to_string(path("identity.txt")).unwrap();
        let [new, old] =
            ["sealing.key", "old.key"].map(|name| SealingKey::load(&path(name)).unwrap());
        (new, old, SecretKey::parse(identity.lines().last().unwrap()).unwrap())
    }
}

pub fn make_missing(folder: &Path) {
    let maker = Maker { folder };
    let (new, old, key) = maker.keys();
    let again =
        || SecretKey::parse(std::str::from_utf8(key.to_bech32().expose()).unwrap()).unwrap();
    let sealer = Sealer::with_keys(new, again(), USER, &[]);
    make_good(&maker, &sealer, Sealer::with_keys(old, again(), USER, &["Subject", "From", "Date"]));
    make_bad(&maker, &sealer);
}

fn make_good(maker: &Maker<'_>, sealer: &Sealer, old: Sealer) {
    let ok = |name: &str, comment: &str, original: &[u8]| {
        maker.ok(name, comment, original, &sealer.seal(original));
    };
    ok("ok-short-note", "text/short-note.eml", &one("text/short-note.eml"));
    ok("ok-empty", "no octet at all", b"");
    ok("ok-every-octet", "all 256 octets, no header", &(0..=255).collect::<Vec<u8>>());
    ok("ok-line-ends", "LF, CR and CRLF, nothing at the end", b"Subject: a\nb: c\r\n\r\nd\re\n\rf");
    ok(
        "ok-nested-parts",
        "rfc/2049-a-complex-multipart.eml",
        &one("rfc/2049-a-complex-multipart.eml"),
    );
    ok(
        "ok-forwarded",
        "rfc/3464-failed-delivery-report.eml",
        &one("rfc/3464-failed-delivery-report.eml"),
    );
    ok("ok-several-chunks", "more than 128 KiB in the age file", &noise(140_000, 5));
    let digits: String = noise(50_000, 6).iter().map(|byte| char::from(b'0' + byte % 64)).collect();
    let header = format!("X-Long: {digits}\r\n\r\nbody\r\n");
    ok("ok-summary-none", "its header is too large for a summary", header.as_bytes());
    let note = one("html/order-confirmation.eml");
    maker.ok("ok-local-line-ends", "kept with LF", &note, &to_lf(&sealer.seal(&note)));
    let topped = [
        b"Return-Path: <>\r\nReceived: from a by b; Tue, 3 Nov 2026 10:00:31 +0100\r\nX-Sieve: CMU Sieve 3.0\r\n",
        &sealer.seal(&note)[..],
    ];
    maker.ok("ok-store-fields", "with what a store puts on top", &note, &topped.concat());
    maker.ok(
        "ok-old-key",
        "by the older key of the ring, with clear fields",
        &note,
        &old.seal(&note),
    );
    let inner = sealer.seal(b"Subject: inner\r\n\r\ninner\r\n");
    ok("ok-sealed-twice", "a sealed message, sealed; the inner one is the original", &inner);
}

fn make_bad(maker: &Maker<'_>, sealer: &Sealer) {
    let message = b"Subject: note\r\nFrom: Bob <bob@example.com>\r\n\r\nSome words.\r\n";
    let mine = Stored::parse(&sealer.seal(message));
    let other = Stored::parse(&sealer.seal(b"Subject: another\r\n\r\nOther words.\r\n"));
    let bad = |name: &str, expect: &str, comment: &str, stored: Vec<u8>| {
        maker.bad(name, expect, comment, &stored);
    };
    maker.bad_body("plain", "not sealed", "unsigned", "an ordinary message", message);
    bad(
        "two-signatures",
        "doubled",
        "the field twice",
        mine.with(|m| m.summary.push_str(&mine.signature)),
    );
    bad("no-summary", "unsigned", "the field is gone", mine.with(|m| m.summary.clear()));
    let part = format!("{}\r\n\r\nplain\r\n", mine.delimiter());
    let end = format!("{}--", mine.delimiter());
    let third = mine.with(|m| m.after_body = m.after_body.replace(&end, &format!("{part}{end}")));
    maker.bad_body("third-part", "not sealed", "ok", "a part of plaintext behind the two", &third);
    bad("unsigned", "unsigned", "the signature is gone", mine.with(|m| m.signature.clear()));
    bad(
        "version-2",
        "malformed signature",
        "v=2",
        mine.with(|m| m.signature = m.signature.replace("v=1", "v=2")),
    );
    bad(
        "renamed",
        "wrong signature",
        "u= names another",
        mine.with(|m| m.signature = m.signature.replace("u=alice", "u=bob")),
    );
    let stranger = Sealer::new();
    let forged = stranger.seal_for(message, &sealer.user, &sealer.key);
    bad("other-site", "unknown key", "by a key that is not in the ring", forged);
    let body = mine.with(|m| m.body.clone_from(&other.body));
    maker.bad_body(
        "other-body",
        "other body",
        "ok",
        "the body of another message of the same user",
        &body,
    );
    bad(
        "other-summary",
        "other summary",
        "the summary of another message",
        mine.with(|m| m.summary.clone_from(&other.summary)),
    );
    let bob = user("bob@example.org");
    bad(
        "other-user",
        "other user",
        "a genuine message of another user",
        sealer.seal_for(message, &bob, &stranger.key),
    );
    bad(
        "other-key",
        "other key",
        "signed for this user, sealed to a key that is gone",
        sealer.seal_for(message, &sealer.user, &stranger.key),
    );
    let broken = mine.with(|m| m.body = "A".into());
    maker.bad_body("broken-base64", "other body", "ok", "a single digit is no base64", &broken);
    bad(
        "broken-summary",
        "malformed signature",
        "the summary is no base64",
        mine.with(|m| m.summary = "Sealed-Summary: !\r\n".into()),
    );
    let cut = mine.join();
    let cut = &cut[..cut.len() - mine.after_body.len() - 40];
    maker.bad_body("cut-short", "other body", "ok", "the end of the body is missing", cut);
}

//! Pieces of other messages, other users and other sites: each is refused, and for the right reason.

mod seal_support;

use nightsafe::age::SecretKey;
use nightsafe::seal::{SignatureError, Trust, UnsealError, open_summary, unseal};
use nightsafe::user::User;
use seal_support::mail;
use seal_support::sealer::{Sealer, user};
use seal_support::stored::{Stored, header_block};

const MESSAGE: &[u8] = b"Subject: mine\r\n\r\nHello\r\n";
const OTHER: &[u8] = b"Subject: other\r\n\r\nanother text\r\n";

fn signature(error: SignatureError) -> UnsealError {
    UnsealError::Signature(error)
}

/// Neither the message nor its summary opens, and why.
fn refused(sealer: &Sealer, stored: &[u8], expected: &UnsealError) {
    assert_eq!(sealer.unseal(stored).as_ref(), Err(expected));
    assert_eq!(sealer.summary(header_block(stored)).as_ref(), Err(expected));
}

fn pieces(sealer: &Sealer, message: &[u8]) -> Stored {
    Stored::parse(&sealer.seal(message))
}

#[test]
fn pieces_of_another_message() {
    let sealer = Sealer::new();
    let (mine, other) = (pieces(&sealer, MESSAGE), pieces(&sealer, OTHER));
    let summary = mine.with(|mine| mine.summary.clone_from(&other.summary));
    refused(&sealer, &summary, &signature(SignatureError::OtherSummary));
    let none = mine.with(|mine| mine.summary = "Sealed-Summary: none\r\n".into());
    refused(&sealer, &none, &signature(SignatureError::OtherSummary));
    let both = mine.with(|mine| {
        mine.summary.clone_from(&other.summary);
        mine.body.clone_from(&other.body);
    });
    refused(&sealer, &both, &signature(SignatureError::OtherSummary));
    let signed = mine.with(|mine| mine.signature.clone_from(&other.signature));
    refused(&sealer, &signed, &signature(SignatureError::OtherSummary));

    // The summary is still its own then, and so is what a listing shows; the body does not open.
    let body = mine.with(|mine| mine.body.clone_from(&other.body));
    assert_eq!(sealer.unseal(&body), Err(signature(SignatureError::OtherBody)));
    assert_eq!(sealer.summary(header_block(&body)).unwrap().unwrap().preview, "Hello");
    let summary_as_body = {
        let digits =
            mine.summary.trim_start_matches("Sealed-Summary:").replace([' ', '\r', '\n'], "");
        mine.with(|mine| mine.body = digits)
    };
    assert_eq!(sealer.unseal(&summary_as_body), Err(signature(SignatureError::OtherBody)));
}

#[test]
fn tags_of_the_signature() {
    let sealer = Sealer::new();
    let mine = pieces(&sealer, MESSAGE);
    let renamed = |from: &str, to: &str| {
        assert!(mine.signature.contains(from), "{from} is not in {}", mine.signature);
        mine.with(|mine| mine.signature = mine.signature.replacen(from, to, 1))
    };
    let wrong = signature(SignatureError::Wrong);
    refused(&sealer, &renamed("u=alice@", "u=bob@"), &wrong);
    refused(&sealer, &renamed("t=1795000000", "t=1795000001"), &wrong);
    refused(&sealer, &renamed(&format!("n={}", MESSAGE.len()), "n=99999999"), &wrong);
    let stranger = Sealer::new().site.id();
    let unknown = signature(SignatureError::UnknownKey(stranger));
    refused(&sealer, &renamed(&sealer.site.id().to_string(), &stranger.to_string()), &unknown);
    let malformed = signature(SignatureError::Malformed);
    for (from, to) in [("v=1", "v=2"), ("t=", "x="), ("sig=", "sig=!"), (" n=", " n=1; n=")] {
        refused(&sealer, &renamed(from, to), &malformed);
    }
}

#[test]
fn fields_missing_or_doubled() {
    let sealer = Sealer::new();
    let (mine, other) = (pieces(&sealer, MESSAGE), pieces(&sealer, OTHER));
    refused(&sealer, &mine.with(|m| m.signature.clear()), &signature(SignatureError::Missing));
    refused(&sealer, &mine.with(|m| m.summary.clear()), &signature(SignatureError::Missing));
    let nothing = mine.with(|m| m.summary = "Sealed-Summary: !\r\n".into());
    refused(&sealer, &nothing, &signature(SignatureError::Malformed));

    let lower = |field: &str| {
        let (name, value) = field.split_once(':').unwrap();
        format!("{}:{value}", name.to_lowercase())
    };
    for second in [&mine, &other] {
        for field in [&second.signature, &second.summary] {
            for field in
                [field.clone(), lower(field), format!("{}:\r\n", field.split_once(':').unwrap().0)]
            {
                let first = mine.with(|m| m.other_fields.insert_str(0, &field));
                refused(&sealer, &first, &signature(SignatureError::Doubled));
                let last = mine.with(|m| m.summary.push_str(&field));
                refused(&sealer, &last, &signature(SignatureError::Doubled));
            }
        }
    }
}

#[test]
fn another_user_and_another_site() {
    let alice = Sealer::new();
    let bob = (user("bob@example.org"), SecretKey::generate());
    // Bob's genuine message in Alice's mailbox, and one that was sealed for Bob with Alice's key.
    for key in [&bob.1, &alice.key] {
        let for_bob = alice.seal_for(OTHER, &bob.0, key);
        refused(&alice, &for_bob, &signature(SignatureError::OtherUser(bob.0.clone())));
    }
    let for_bob = alice.seal_for(OTHER, &bob.0, &bob.1);
    let anyones = Trust::Signed { ring: &alice.ring, user: None };
    let error = unseal(&for_bob, alice.keys(), anyones).map(|_| ()).unwrap_err();
    assert_eq!(error, UnsealError::OtherKey);
    let error = open_summary(header_block(&for_bob), alice.keys(), &alice.ring, None).unwrap_err();
    assert_eq!(error, UnsealError::OtherKey);
    let mut all_of_bobs = Stored::parse(&for_bob);
    all_of_bobs.signature = all_of_bobs.signature.replace("u=bob@", "u=alice@");
    refused(&alice, &all_of_bobs.join(), &signature(SignatureError::Wrong));

    let site = Sealer::new();
    let elsewhere = site.seal_for(OTHER, &alice.user, &alice.key);
    refused(&alice, &elsewhere, &signature(SignatureError::UnknownKey(site.site.id())));
    let mut claims = Stored::parse(&elsewhere);
    let ours = alice.site.id().to_string();
    claims.signature = claims.signature.replace(&site.site.id().to_string(), &ours);
    refused(&alice, &claims.join(), &signature(SignatureError::Wrong));
}

#[test]
fn parts_added_moved_or_renamed() {
    let sealer = Sealer::new();
    let mine = pieces(&sealer, MESSAGE);
    let delimiter = mine.delimiter();
    let part = format!("{delimiter}\r\nContent-Type: text/plain\r\n\r\nforged\r\n");
    let sealed_part = format!(
        "{delimiter}\r\nContent-Type: application/vnd.nightsafe.sealed\r\n\r\n{}\r\n",
        mine.body
    );
    let end = format!("{delimiter}--");
    let first = mine.before_body.find(&delimiter).unwrap();
    let second = mine.before_body.rfind(&delimiter).unwrap();
    for added in [&part, &sealed_part] {
        for stored in [
            mine.with(|m| m.before_body.insert_str(first, added)),
            mine.with(|m| m.before_body.insert_str(second, added)),
            mine.with(|m| m.after_body = m.after_body.replace(&end, &format!("{added}{end}"))),
        ] {
            assert_eq!(sealer.unseal(&stored), Err(UnsealError::NotSealed));
        }
    }
    for stored in [
        mine.with(|m| m.before_body.replace_range(first..second, "")),
        mine.with(|m| {
            m.before_body = m.before_body.replace("vnd.nightsafe.sealed", "octet-stream")
        }),
        mine.with(|m| m.other_fields = m.other_fields.replace("multipart/mixed", "text/plain")),
        mine.with(|m| m.other_fields.insert_str(0, "Content-Type: text/plain\r\n")),
        [b"Content-Type: message/rfc822\r\n\r\n", &mine.join()[..]].concat(),
    ] {
        assert_eq!(sealer.unseal(&stored), Err(UnsealError::NotSealed));
    }
    // What stands before the first boundary or behind the last is no part (RFC 2046, 5.1.1).
    for stored in [
        mine.with(|m| m.before_body.insert_str(first, "preamble\r\n")),
        mine.with(|m| m.after_body.push_str("epilogue\r\n")),
    ] {
        assert_eq!(sealer.unseal(&stored).unwrap(), MESSAGE);
    }
}

#[test]
fn who_believes_anybody_is_told_what_is_wrong() {
    let sealer = Sealer::new();
    let site = Sealer::new();
    let (mine, other) = (pieces(&sealer, MESSAGE), pieces(&sealer, OTHER));
    let bob = User::parse("bob@example.org").unwrap();
    let elsewhere = site.seal_for(MESSAGE, &sealer.user, &sealer.key);
    for (stored, doubt) in [
        (mine.join(), None),
        (mine.with(|m| m.signature.clear()), Some(SignatureError::Missing)),
        (
            mine.with(|m| m.signature = "Nightsafe-Signature: x\r\n".into()),
            Some(SignatureError::Malformed),
        ),
        (
            mine.with(|m| m.signature = m.signature.replace("u=alice", "u=bob")),
            Some(SignatureError::Wrong),
        ),
        (mine.with(|m| m.summary.clone_from(&other.summary)), Some(SignatureError::OtherSummary)),
        (other.with(|m| m.body.clone_from(&mine.body)), Some(SignatureError::OtherBody)),
        (elsewhere, Some(SignatureError::UnknownKey(site.site.id()))),
        (mine.with(|m| m.summary.clear()), Some(SignatureError::Missing)),
        (
            mine.with(|m| m.summary = "Sealed-Summary: !\r\n".into()),
            Some(SignatureError::Malformed),
        ),
        (sealer.seal_for(MESSAGE, &bob, &sealer.key), Some(SignatureError::OtherUser(bob.clone()))),
    ] {
        let unsealed = sealer.unseal_anything(&stored).unwrap();
        assert_eq!(unsealed.doubt, doubt);
        assert_eq!(unsealed.message.expose(), MESSAGE);
    }
    let max_bytes = MESSAGE.len() as u64 - 1;
    let trust = Trust::Anybody { ring: &sealer.ring, user: None, max_bytes };
    let error = unseal(&mine.join(), sealer.keys(), trust).map(|_| ()).unwrap_err();
    assert_eq!(error, UnsealError::TooLarge);
}

#[test]
fn what_arrives_looking_sealed_is_sealed_and_comes_back() {
    let sealer = Sealer::new();
    let genuine = pieces(&sealer, MESSAGE);
    let end = format!("{}--", genuine.delimiter());
    let part = format!("{}\r\n\r\nplain\r\n{end}", genuine.delimiter());
    let with_part = genuine.with(|m| m.after_body = m.after_body.replace(&end, &part));
    let stripped = genuine.with(|m| m.signature.clear());
    let nested = sealer.seal(&genuine.join());
    for arriving in [genuine.join(), with_part.clone(), stripped, nested] {
        let stored = sealer.seal(&arriving);
        assert!(sealer.unseal(&stored).unwrap() == arriving);
        let summary = sealer.summary(header_block(&stored)).unwrap().unwrap();
        assert_eq!(summary.size, arriving.len() as u64);
        assert_eq!(summary.header(), header_block(&arriving));
    }
    assert_eq!(sealer.unseal(&with_part), Err(UnsealError::NotSealed));
    // Layer by layer.
    let opened = sealer.unseal(&sealer.seal(&genuine.join())).unwrap();
    assert_eq!(sealer.unseal(&opened).unwrap(), MESSAGE);
}

#[test]
fn nothing_that_only_looks_sealed_opens() {
    let sealer = Sealer::new();
    let looks = |mail: &&mail::Mail| mail.name.starts_with("sealed-looking/");
    let all = mail::all();
    let mails: Vec<_> = all.iter().filter(looks).collect();
    assert!(mails.len() >= 20);
    for mail in mails {
        assert!(sealer.unseal(&mail.bytes).is_err(), "{}", mail.name);
        assert!(sealer.unseal_anything(&mail.bytes).is_err(), "{}", mail.name);
        assert!(sealer.unseal(&sealer.seal(&mail.bytes)).unwrap() == mail.bytes, "{}", mail.name);
    }
}

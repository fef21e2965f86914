//! The sealed message: sealing and unsealing (see [`crate::manual::format`]).
//!
//! Layer 2. A message's way in: [`Draft`] parses and compresses it once, `Draft::seal_for` makes one
//! sealed message for each user. Its way out: [`Outer`] takes a stored message apart, the ring
//! verifies it, [`unseal`] gives the original back.

mod body;
mod draft;
mod labels;
mod open;
mod outer;
pub mod payload;
mod reading;
mod signature;
mod site_key;
mod summary;

pub use body::{Body, Pieces};
pub use draft::{ContentKeys, Draft, Fixed, SealError, SealedMessage};
pub use open::{Head, Outer, Trust, UnsealError, Unsealed, open_summary, unseal};
pub use outer::{ClearHeaders, ClearHeadersError};
pub use reading::Reading;
pub use signature::{FIELD as SIGNATURE_FIELD, Signature, SignatureError};
pub use site_key::{KeyId, Ring, SealingKey, SiteKeyError};
pub use summary::{FIELD as SUMMARY_FIELD, Summary, SummaryPart};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::age::SecretKey;
    use crate::message::header::{self, Header};
    use crate::user::User;

    struct Site {
        key: SealingKey,
        alice: SecretKey,
        user: User,
        fixed: Fixed,
    }

    fn site() -> Site {
        Site {
            key: SealingKey::generate("0123456789abcdef"),
            alice: SecretKey::generate(),
            user: User::parse("alice@example.org").unwrap(),
            fixed: Fixed {
                domain: "example.org".into(),
                from: "Sealed mail".into(),
                subject: "Sealed message".into(),
                notice: "Sealed.\r\n".into(),
                clear_headers: ClearHeaders::default(),
            },
        }
    }

    impl Site {
        fn seal(&self, message: &[u8]) -> (Vec<u8>, String) {
            let draft = Draft::new(message, &self.fixed.clear_headers, 1_795_000_000).unwrap();
            let key = self.alice.public_key();
            let sealed = draft.seal_for(&self.user, &key, &self.key, &self.fixed).unwrap();
            let mut stored = Vec::new();
            sealed.write_to(&mut stored).unwrap();
            (stored, sealed.message_id().to_owned())
        }

        fn unseal(&self, stored: &[u8]) -> Result<Vec<u8>, UnsealError> {
            let ring = self.key.ring();
            let user = [self.user.clone()];
            let trust = Trust::Signed { ring: &ring, user: Some(&user) };
            let keys = std::slice::from_ref(&self.alice);
            unseal(stored, keys, trust).map(|unsealed| unsealed.message.expose().to_vec())
        }
    }

    const MESSAGE: &[u8] = b"From: Bob <bob@example.com>\r\nSubject: canary\r\nDate: Tue, 3 Nov 2026 10:00:30 +0100\r\nMessage-ID: <1@example.com>\r\n\r\nHello\r\n";

    #[test]
    fn outer_form() {
        let site = site();
        let (stored, id) = site.seal(MESSAGE);
        let text = String::from_utf8(stored.clone()).unwrap();
        let block = &stored[..header::end_of_header(&stored, 0)];
        let names: Vec<String> = header::fields(block)
            .map(|field| String::from_utf8(field.name.to_vec()).unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "From",
                "To",
                "Subject",
                "Date",
                "Message-ID",
                "MIME-Version",
                "Content-Type",
                "Nightsafe-Signature",
                "Sealed-Summary"
            ],
            "{text}"
        );
        assert!(text.starts_with("From: \"Sealed mail\" <sealed@example.org>\r\nTo: undisclosed-recipients:;\r\nSubject: Sealed message\r\nDate: Tue, 3 Nov 2026 09:00:00 +0000\r\n"), "{text}");
        assert!(id.ends_with("@sealed.example.org>") && text.contains(&id));
        assert!(text.lines().all(|line| line.len() <= 901));
        assert!(!text.contains("canary") && !text.contains("bob"));
        let opened = open_summary(block, std::slice::from_ref(&site.alice), &site.key.ring(), None);
        assert_eq!(opened.unwrap().unwrap().header(), MESSAGE.strip_suffix(b"Hello\r\n").unwrap());
    }

    #[test]
    fn a_redelivery_has_the_same_id_and_date() {
        let site = site();
        let date = |stored: &[u8]| Header::parse(stored).date();
        let ((one, id), (two, again)) = (site.seal(MESSAGE), site.seal(MESSAGE));
        assert_eq!((date(&one), &id), (date(&two), &again));
        assert_ne!(one, two);
        let (_, other) = site.seal(b"no id at all");
        assert_eq!(other, site.seal(b"no id at all").1);
        assert_ne!(other, site.seal(b"no id at all!").1);
        assert_ne!(other, id);
    }

    #[test]
    fn a_redelivery_an_hour_later_is_the_same() {
        let site = site();
        let undated = b"Received: by mx; Tue, 3 Nov 2026 10:00:00 +0100\r\nSubject: x\r\n\r\n";
        let ancient =
            b"Received: by mx; Tue, 3 Nov 2026 10:00:00 +0100\r\nDate: 1 Jan 1950 0:00 GMT\r\n\r\n";
        for message in [MESSAGE, &undated[..], &ancient[..]] {
            let outer = [1_795_000_000, 1_795_003_600].map(|now| {
                let draft = Draft::new(message, &site.fixed.clear_headers, now).unwrap();
                let key = site.alice.public_key();
                let sealed = draft.seal_for(&site.user, &key, &site.key, &site.fixed).unwrap();
                let mut stored = Vec::new();
                sealed.write_to(&mut stored).unwrap();
                (Header::parse(&stored).date(), Header::parse(&stored).message_id())
            });
            assert_eq!(outer[0], outer[1]);
        }
    }

    #[test]
    fn survives_stores() {
        let site = site();
        let (stored, _) = site.seal(MESSAGE);
        let mut topped =
            b"Return-Path: <>\r\nReceived: from x by y; Tue, 3 Nov 2026 10:00:31 +0100\r\n"
                .to_vec();
        topped.extend_from_slice(&stored);
        assert_eq!(site.unseal(&topped).unwrap(), MESSAGE);
        let local = String::from_utf8(topped).unwrap().replace("\r\n", "\n");
        assert_eq!(site.unseal(local.as_bytes()).unwrap(), MESSAGE);
    }

    #[test]
    fn clear_headers_replace_the_fixed_ones() {
        let mut site = site();
        site.fixed.clear_headers =
            ClearHeaders::new(&["subject".into(), "Date".into(), "List-Id".into()]).unwrap();
        let message = [b"List-Id: <l.example.org>\r\n", MESSAGE].concat();
        let text = String::from_utf8(site.seal(&message).0).unwrap();
        assert!(text.contains("subject: canary\r\n") && !text.contains("Sealed message"), "{text}");
        assert!(text.contains("List-Id: <l.example.org>\r\n"));
        assert!(text.contains("Date: Tue, 3 Nov 2026 10:00:30 +0100\r\n"));
        assert_eq!(text.matches("\r\nDate:").count(), 1);
        assert_eq!(site.unseal(text.as_bytes()).unwrap(), message);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn every_sequence_of_bytes_comes_back(message in prop::collection::vec(any::<u8>(), 0..3000)) {
            let site = site();
            prop_assert_eq!(site.unseal(&site.seal(&message).0).unwrap(), message);
        }

        #[test]
        fn so_do_many(seed in any::<u64>(), len in 60_000_usize..200_000) {
            // A generator of its own: proptest is slow with as many octets.
            let mut state = seed | 1;
            let message: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .take(len)
            .collect();
            let site = site();
            prop_assert_eq!(site.unseal(&site.seal(&message).0).unwrap(), message);
        }

        #[test]
        fn mail_like_bytes_come_back(message in "(Subject: [a-z]{0,9}\r?\n|Content-Type: multipart/mixed; boundary=b\r?\n|\r?\n|--b(--)?\r?\n|[ -~]{0,40}\r?\n){0,30}") {
            let site = site();
            prop_assert_eq!(site.unseal(&site.seal(message.as_bytes()).0).unwrap(), message.as_bytes());
        }
    }
}

//! What the server gives the officers of one user's record, and what they give back. Both may be seen by
//! anybody: the one needs the recovery key, the other the one-time key.

use serde::{Deserialize, Serialize};

use crate::age::{PublicKey, SecretKey};
use crate::secret::SecretBytes;
use crate::user::User;

use super::super::error::{RecordError, UnlockError};
use super::super::record::Record;
use super::super::root::RootKey;
use super::super::slot::{Slot, SlotKind};
use super::document::{Document, written};
use super::error::EscrowError;

const BLOB_FORMAT: &str = "nightsafe-recovery-blob/1";
const BLOB: &str = "recovery blob";
const ANSWER_FORMAT: &str = "nightsafe-recovery-answer/1";
const ANSWER: &str = "answer to a recovery blob";

/// One user's escrow slot on its way to the officers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    format: String,
    /// The name that the record is bound to.
    user: String,
    /// What the user is called now. Nothing binds this name to the slot.
    called: String,
    /// When it was exported, in seconds since 1970.
    time: u64,
    /// The age recipient that the answer is to be sealed to.
    one_time: String,
    slot: Slot,
}

/// A slot that the recovery key opened.
#[derive(Debug)]
pub struct Opened {
    /// Whose it is, by the name sealed inside.
    pub user: User,
    /// What the server says that this user is called now.
    pub called: User,
    /// When the server exported it, as it says, in seconds since 1970.
    pub time: u64,
    /// What the answer is to be sealed to.
    pub one_time: PublicKey,
    root: RootKey,
}

impl Blob {
    /// The blob of `slot`, which is one of `record`, at `now` seconds since 1970.
    ///
    /// # Errors
    /// In a malformed record.
    pub fn of(
        record: &Record,
        slot: &Slot,
        one_time: &PublicKey,
        now: u64,
    ) -> Result<Self, RecordError> {
        let names = record.all_names();
        let (Some(user), Some(called)) = (names.first(), names.last()) else {
            return Err(RecordError::Malformed);
        };
        Ok(Self {
            format: BLOB_FORMAT.to_owned(),
            user: user.to_string(),
            called: called.to_string(),
            time: now,
            one_time: one_time.to_string(),
            slot: slot.clone(),
        })
    }

    /// As it is written.
    pub fn to_file(&self) -> SecretBytes {
        written(self)
    }

    /// The public half of the recovery key that opens it.
    pub fn recovery_key(&self) -> &str {
        self.slot.public()
    }

    /// The public half of the one-time key.
    pub fn one_time(&self) -> &str {
        &self.one_time
    }

    /// Opens what somebody handed in as a blob.
    ///
    /// # Errors
    /// When it is none or was altered, needs another recovery key, or has another user's slot.
    pub fn open(file: &Document, key: &SecretKey) -> Result<Opened, EscrowError> {
        let blob: Self = file.read(BLOB_FORMAT, BLOB)?;
        let is_escrow = blob.slot.kind() == SlotKind::Escrow && blob.slot.is_well_formed();
        let names = [&blob.user, &blob.called].map(|name| User::parse(name));
        let ([Ok(claimed), Ok(called)], Ok(one_time), true) =
            (names, blob.one_time.parse(), is_escrow)
        else {
            return Err(file.is_no(BLOB));
        };
        let name = || file.name.clone();
        let (user, root) = blob.slot.open_escrow(key).map_err(|cause| match cause {
            UnlockError::WrongPassword => EscrowError::OtherKey {
                file: name(),
                wanted: blob.slot.public().to_owned(),
                found: key.public_key().to_string(),
            },
            _ => EscrowError::AlteredSlot(name()),
        })?;
        if user != claimed {
            return Err(EscrowError::OtherUser { file: name(), claimed, user });
        }
        Ok(Opened { user, called, time: blob.time, one_time, root })
    }
}

impl Opened {
    /// The root key for whoever has the one-time key, at `now` seconds since 1970.
    ///
    /// # Errors
    /// When the one-time key is of no use.
    pub fn answer(&self, now: u64) -> Result<Answer, RecordError> {
        let kind = SlotKind::Escrow;
        let slot = Slot::for_site_key(&self.user, kind, &self.one_time, &self.root, now)?;
        Ok(Answer { format: ANSWER_FORMAT.to_owned(), slot })
    }
}

/// One user's root key on its way back to the server: a slot for the one-time key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    format: String,
    slot: Slot,
}

impl Answer {
    /// As it is written.
    pub fn to_file(&self) -> SecretBytes {
        written(self)
    }

    /// Reads what somebody handed in as an answer.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(file: &Document) -> Result<Self, EscrowError> {
        let answer: Self = file.read(ANSWER_FORMAT, ANSWER)?;
        let is_slot = answer.slot.kind() == SlotKind::Escrow && answer.slot.is_well_formed();
        if is_slot { Ok(answer) } else { Err(file.is_no(ANSWER)) }
    }

    /// Opens it with the one-time key: whose root key it is, and that key.
    ///
    /// # Errors
    /// [`UnlockError::WrongPassword`] where it is for another one-time key; or when it was altered.
    pub fn open(&self, one_time: &SecretKey) -> Result<(User, RootKey), UnlockError> {
        self.slot.open_escrow(one_time)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::change::Change;
    use super::super::super::pepper::Pepper;
    use super::super::super::site_secrets::SiteSecrets;
    use super::super::super::slot::SlotState;
    use super::*;

    fn user(name: &str) -> User {
        User::parse(name).unwrap()
    }

    fn record(name: &str, key: &SecretKey) -> Record {
        let recovery = Some(key.public_key());
        let secrets =
            SiteSecrets { pepper: Pepper::generate().into(), provisional: None, recovery };
        let mut change = Change::enrolment(&user(name), 1);
        change.add_password(b"pw", &secrets.pepper, SlotState::Active, 1).unwrap();
        change.add_escrow(&secrets, 1).unwrap();
        change.finish().unwrap().0
    }

    fn blob(record: &Record, one_time: &SecretKey) -> Blob {
        let slot = record.slots().iter().find(|slot| slot.kind() == SlotKind::Escrow).unwrap();
        Blob::of(record, slot, &one_time.public_key(), 5).unwrap()
    }

    fn document(bytes: SecretBytes) -> Document {
        Document { name: "blob".into(), bytes }
    }

    fn open(blob: &Blob, key: &SecretKey) -> Result<Opened, EscrowError> {
        Blob::open(&document(blob.to_file()), key)
    }

    #[test]
    fn there_and_back() {
        let (key, one_time) = (SecretKey::generate(), SecretKey::generate());
        let alice = record("alice", &key).renamed_to(&user("anna"));
        let opened = open(&blob(&alice, &one_time), &key).unwrap();
        assert_eq!((&opened.user, &opened.called), (&user("alice"), &user("anna")));
        assert_eq!((opened.time, opened.one_time), (5, one_time.public_key()));
        let answer = document(opened.answer(6).unwrap().to_file());
        let answer = Answer::read(&answer).unwrap();
        let (name, root) = answer.open(&one_time).unwrap();
        assert!(name == user("alice") && alice.is_under(&root));
        // The recovery key itself does not open it, nor does another one-time key.
        for other in [&key, &SecretKey::generate()] {
            assert_eq!(answer.open(other).unwrap_err(), UnlockError::WrongPassword);
        }
        assert!(!format!("{opened:?}{answer:?}").contains(&format!("{:?}", key.expose())));
    }

    #[test]
    fn what_was_exchanged_is_noticed() {
        let (key, one_time) = (SecretKey::generate(), SecretKey::generate());
        let [alice, bob] = ["alice", "bob"].map(|name| blob(&record(name, &key), &one_time));
        let (claimed, user) = (user("alice"), user("bob"));
        let mixed = Blob { slot: bob.slot.clone(), ..alice.clone() };
        let error = open(&mixed, &key).unwrap_err();
        assert_eq!(error, EscrowError::OtherUser { file: "blob".into(), claimed, user });
        // Another's sealed root key, or its wrapping, in alice's slot.
        let text = |blob: &Blob| serde_json::to_value(blob).unwrap();
        let altered = EscrowError::AlteredSlot("blob".into());
        for field in ["root", "stanza", "id"] {
            let mut mixed = text(&alice);
            mixed["slot"][field] = text(&bob)["slot"][field].clone();
            let mixed = document(serde_json::to_vec(&mixed).unwrap().into());
            assert_eq!(Blob::open(&mixed, &key).unwrap_err(), altered, "{field}");
        }
        let other = SecretKey::generate();
        let error = open(&alice, &other).unwrap_err();
        let (wanted, found) = (key.public_key().to_string(), other.public_key().to_string());
        assert_eq!(error, EscrowError::OtherKey { file: "blob".into(), wanted, found });
        for (good, bad) in [
            ("\"escrow\"", "\"provisional\""),
            ("\"alice\"", "\"../alice\""),
            ("\"one_time\": \"age1", "\"one_time\": \"age"),
            ("\"time\"", "\"tide\""),
        ] {
            let text = String::from_utf8(alice.to_file().expose().to_vec()).unwrap();
            assert!(text.contains(good), "{good}");
            let bytes = text.replace(good, bad).into_bytes();
            let error = Blob::open(&document(bytes.into()), &key).unwrap_err();
            assert_eq!(error, EscrowError::Malformed { file: "blob".into(), what: BLOB }, "{bad}");
        }
    }

    /// Whatever one octet becomes: no panic, and no key but alice's by her name.
    #[test]
    fn every_octet_of_both_documents_altered() {
        let (key, one_time) = (SecretKey::generate(), SecretKey::generate());
        let alice = record("alice", &key);
        let blob = blob(&alice, &one_time);
        let answer = open(&blob, &key).unwrap().answer(6).unwrap().to_file();
        let blob = blob.to_file();
        let altered = |bytes: &SecretBytes, at: usize, octet: u8| {
            let mut altered = bytes.expose().to_vec();
            altered[at] = if altered[at] == octet { octet ^ 1 } else { octet };
            document(altered.into())
        };
        let is_alices =
            |user: &User, root: &RootKey| *user == self::user("alice") && alice.is_under(root);
        for octet in [b'1', b'A', b'"', 0xff] {
            for at in 0..blob.len() {
                if let Ok(opened) = Blob::open(&altered(&blob, at, octet), &key) {
                    assert!(is_alices(&opened.user, &opened.root), "{at}: {octet}");
                }
            }
            for at in 0..answer.len() {
                let read = Answer::read(&altered(&answer, at, octet)).ok();
                if let Some(Ok((user, root))) = read.map(|answer| answer.open(&one_time)) {
                    assert!(is_alices(&user, &root), "{at}: {octet}");
                }
            }
        }
        for cut in 0..blob.len() {
            let mut cut_off = SecretBytes::from(blob.expose().to_vec());
            cut_off.truncate(cut);
            assert!(
                Blob::open(&document(cut_off), &key).is_err() || cut == blob.len() - 1,
                "{cut}"
            );
        }
    }
}

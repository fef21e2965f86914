//! The key record of one user: a random root key seals the private keys, slots unlock the root key,
//! and a MAC under the root key covers all of it. How one becomes the next: [`super::change`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::age::SecretKey;
use crate::user::User;

use super::body::Body;
use super::code::{Code, CodeKind};
use super::error::{RecordError, UnlockError};
use super::kdf::Cost;
use super::notice::Notice;
use super::public::PublicHalf;
use super::root::RootKey;
use super::sealed::FORMAT;
use super::site_secrets::SiteSecrets;
use super::slot::{Slot, SlotKind, SlotState};

/// A record as it is written: JSON, what the MAC covers apart from the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    #[serde(rename = "record")]
    pub(super) body: Body,
    /// The names the user bore later, the present one last. Outside the MAC: a postmaster renames
    /// accounts without knowing their passwords.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) renamed: Vec<String>,
    pub(super) mac: String,
}

/// A user's keys, unlocked. The copies are wiped with it.
pub struct Unlocked {
    root: RootKey,
    slot: String,
    kind: SlotKind,
    state: SlotState,
    /// The private keys, newest first.
    pub keys: Vec<SecretKey>,
}

impl fmt::Debug for Unlocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unlocked(slot {}, {} keys)", self.slot, self.keys.len())
    }
}

impl Unlocked {
    /// The id of the slot that it came through.
    pub fn slot(&self) -> &str {
        &self.slot
    }

    /// The kind of that slot.
    pub fn kind(&self) -> SlotKind {
        self.kind
    }

    /// The state of that slot when it unlocked.
    pub fn state(&self) -> SlotState {
        self.state
    }

    /// What changes to the record need.
    pub fn root(&self) -> &RootKey {
        &self.root
    }
}

impl Record {
    /// Reads the record of `user`.
    ///
    /// # Errors
    /// When it is of another version, another user's, or not well formed.
    pub fn parse(user: &User, bytes: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Peek {
            record: PeekBody,
        }
        #[derive(Deserialize)]
        struct PeekBody {
            format: String,
        }
        let peek: Peek = serde_json::from_slice(bytes).map_err(|_| RecordError::Malformed)?;
        if peek.record.format != FORMAT {
            return Err(RecordError::OtherFormat(peek.record.format.chars().take(64).collect()));
        }
        let parsed: Self = serde_json::from_slice(bytes).map_err(|_| RecordError::Malformed)?;
        let names = parsed.names().filter(|_| parsed.body.is_well_formed());
        match names.as_deref().and_then(<[User]>::last) {
            None => Err(RecordError::Malformed),
            Some(name) if name != user => Err(RecordError::OtherUser),
            Some(_) => Ok(parsed),
        }
    }

    /// The record as it is written to its file.
    pub fn to_file(&self) -> Vec<u8> {
        // Serialising these plain structs into memory cannot fail.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Every name the user has had, the present one last; `None` in a malformed record.
    fn names(&self) -> Option<Vec<User>> {
        let names = std::iter::once(&self.body.user).chain(&self.renamed);
        names.map(|name| User::parse(name).ok()).collect()
    }

    /// Every name the user has had, the present one last. Mail may be signed for any of them.
    pub fn all_names(&self) -> Vec<User> {
        self.names().unwrap_or_default()
    }

    /// Counts the writes of this record: an older copy has a lower number.
    pub fn version(&self) -> u64 {
        self.body.version
    }

    /// How many key pairs the user has had.
    pub fn key_count(&self) -> usize {
        self.body.keys.len()
    }

    /// The memory of the dearest Argon2 run that a login may cost, in KiB.
    pub fn memory_kib(&self) -> u32 {
        let slots = self.body.slots.iter().map(Slot::memory_kib);
        slots.max().unwrap_or(0).max(Cost::default().memory_kib)
    }

    /// The slots, in the order in which they were made.
    pub fn slots(&self) -> &[Slot] {
        &self.body.slots
    }

    /// Whether there is a slot of this kind.
    pub fn has(&self, kind: SlotKind) -> bool {
        self.body.slots.iter().any(|slot| slot.kind() == kind)
    }

    /// What the user is to be told at the next login, oldest first.
    pub fn notices(&self) -> &[Notice] {
        &self.body.notices
    }

    /// The public half of the newest key.
    ///
    /// # Errors
    /// In a record without keys, which [`Record::parse`] refuses.
    pub fn public(&self) -> Result<PublicHalf, RecordError> {
        self.body.public_half().ok_or(RecordError::Malformed)
    }

    /// Unlocks the record with a password: an app password is tried on its own slot, anything else on
    /// those for a password, the active one first.
    ///
    /// # Errors
    /// When the password or the pepper is another, or the record was altered.
    pub fn unlock(&self, password: &[u8], secrets: &SiteSecrets) -> Result<Unlocked, UnlockError> {
        let user = self.sealed_for()?;
        if let Some(code) = Code::parse(password) {
            // A recovery code is no password: it is used once, and not here.
            let app = code.kind() == CodeKind::App;
            let slot = self.slot_of(&code).filter(|_| app).ok_or(UnlockError::WrongPassword)?;
            return self.opened(slot.unlock_with_code(&user, &code)?, slot);
        }
        let states = [SlotState::Active, SlotState::Pending, SlotState::Retiring];
        let mut problem = UnlockError::NoPassword;
        for slot in states.into_iter().flat_map(|state| self.body.passwords(state)) {
            match slot.unlock(&user, password, &secrets.pepper) {
                Ok(root) => return self.opened(root, slot),
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    /// Unlocks the record with a printed code of either kind.
    ///
    /// # Errors
    /// When it is none of this record's, or the record was altered.
    pub fn unlock_with_code(&self, code: &Code) -> Result<Unlocked, UnlockError> {
        let slot = self.slot_of(code).ok_or(UnlockError::WrongCode)?;
        let root = slot.unlock_with_code(&self.sealed_for()?, code);
        self.opened(root.map_err(UnlockError::of_code)?, slot)
    }

    /// Unlocks the record with the site's provisional key, for a user who never logged in.
    ///
    /// # Errors
    /// When there is no such slot, the site has no such key or another, or the record was altered.
    pub fn unlock_provisional(&self, secrets: &SiteSecrets) -> Result<Unlocked, UnlockError> {
        let slot = self.body.slots.iter().find(|slot| slot.kind() == SlotKind::Provisional);
        let slot = slot.ok_or(UnlockError::NoPassword)?;
        let key = secrets.provisional.as_ref();
        let Some(key) = key.filter(|key| key.public_key().to_string() == slot.public()) else {
            let found = key.map(|key| key.public_key().to_string());
            return Err(UnlockError::OtherProvisionalKey { wanted: slot.public().into(), found });
        };
        self.opened(slot.open(&self.sealed_for()?, key)?, slot)
    }

    fn slot_of(&self, code: &Code) -> Option<&Slot> {
        let id = code.slot_id();
        self.body.slots.iter().find(|slot| slot.id() == id)
    }

    fn opened(&self, root: RootKey, slot: &Slot) -> Result<Unlocked, UnlockError> {
        if !self.is_under(&root) {
            return Err(UnlockError::Damaged);
        }
        let user = self.sealed_for()?;
        let keys: Option<Vec<SecretKey>> =
            self.body.keys.iter().map(|key| key.open(&user, &root)).collect();
        let keys = keys.ok_or(UnlockError::Damaged)?;
        Ok(Unlocked { root, slot: slot.id().into(), kind: slot.kind(), state: slot.state(), keys })
    }

    /// The keys, by the root key that a change left.
    ///
    /// # Errors
    /// When this is not the record of that root key, or has no slot `id`.
    pub fn unlocked_by(&self, root: RootKey, id: &str) -> Result<Unlocked, UnlockError> {
        let slot = self.body.slots.iter().find(|slot| slot.id() == id);
        self.opened(root, slot.ok_or(UnlockError::Damaged)?)
    }

    /// Whether the record is as somebody wrote it who had this root key.
    pub fn is_under(&self, root: &RootKey) -> bool {
        root.has_made(&self.mac, &self.body.text())
    }

    /// The same record for a user who is called `name` from now on.
    pub fn renamed_to(&self, name: &User) -> Self {
        let mut renamed = self.clone();
        renamed.renamed.push(name.to_string());
        renamed
    }

    /// The name that everything in it is bound to.
    pub(super) fn sealed_for(&self) -> Result<User, UnlockError> {
        User::parse(&self.body.user).map_err(|_| UnlockError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::super::change::Change;
    use super::super::pepper::Pepper;
    use super::*;

    fn user(name: &str) -> User {
        User::parse(name).unwrap()
    }

    fn secrets() -> SiteSecrets {
        SiteSecrets { pepper: Pepper::generate().into(), provisional: None, recovery: None }
    }

    fn created(user: &User, password: &[u8], secrets: &SiteSecrets) -> Record {
        let mut change = Change::enrolment(user, 1);
        change.add_password(password, &secrets.pepper, SlotState::Active, 1).unwrap();
        change.finish().unwrap().0
    }

    #[test]
    fn a_record_comes_back_and_unlocks() {
        let (alice, secrets) = (user("alice"), secrets());
        let record = created(&alice, b"pw", &secrets);
        let read = Record::parse(&alice, &record.to_file()).unwrap();
        assert_eq!(read, record);
        let unlocked = read.unlock(b"pw", &secrets).unwrap();
        assert_eq!(unlocked.keys[0].public_key(), record.public().unwrap().key);
        assert_eq!((unlocked.kind(), unlocked.state()), (SlotKind::Password, SlotState::Active));
        assert_eq!(read.unlock(b"other", &secrets).unwrap_err(), UnlockError::WrongPassword);

        let renamed = read.renamed_to(&user("alice2"));
        let read = Record::parse(&user("alice2"), &renamed.to_file()).unwrap();
        assert_eq!(read.unlock(b"pw", &secrets).unwrap().keys.len(), 1);
        assert_eq!(read.all_names(), [user("alice"), user("alice2")]);
        assert_eq!(Record::parse(&alice, &renamed.to_file()), Err(RecordError::OtherUser));

        let other = self::secrets();
        assert!(matches!(read.unlock(b"pw", &other), Err(UnlockError::OtherPepper { .. })));
        assert!(!format!("{unlocked:?}{record:?}").contains("SECRET"));
    }

    #[test]
    fn nothing_can_be_changed_behind_the_mac() {
        let (alice, secrets) = (user("alice"), secrets());
        let record = created(&alice, b"pw", &secrets);
        let altered = |alter: &dyn Fn(&mut Record)| {
            let mut altered = record.clone();
            alter(&mut altered);
            assert_ne!(altered, record);
            altered.unlock(b"pw", &secrets).unwrap_err()
        };
        let other = created(&alice, b"pw", &secrets);
        assert_eq!(altered(&|record| record.body.version = 7), UnlockError::Damaged);
        assert_eq!(
            altered(&|record| record.body.keys.clone_from(&other.body.keys)),
            UnlockError::Damaged
        );
        let event = super::super::notice::Event::RecoveryCodeUsed;
        let notice = Notice { at: 1, event };
        assert_eq!(
            altered(&|record| record.body.notices.push(notice.clone())),
            UnlockError::Damaged
        );
        // A slot that somebody else put there unlocks his root key, and that is not the record's.
        assert_eq!(
            altered(&|record| record.body.slots.clone_from(&other.body.slots)),
            UnlockError::Damaged
        );
        assert_eq!(altered(&|record| record.body.user = "bob".into()), UnlockError::WrongPassword);
    }

    #[test]
    fn bad_files_are_told_apart() {
        let alice = user("alice");
        let record = created(&alice, b"pw", &secrets());
        let text = String::from_utf8(record.to_file()).unwrap();
        let parse = |text: &str| Record::parse(&alice, text.as_bytes()).unwrap_err();
        assert_eq!(parse(""), RecordError::Malformed);
        assert_eq!(
            parse(&text.replace("record/1", "record/2")),
            RecordError::OtherFormat("nightsafe-record/2".into())
        );
        for (good, bad) in [
            ("\"version\"", "\"verse\""),
            // KDF parameters that would exhaust the machine.
            ("65536", "999999999"),
            ("\"passes\": 3", "\"passes\": 17"),
            ("\"lanes\": 1", "\"lanes\": 9"),
            // A kind that does not go with its KDF, and a state that does not go with its kind.
            ("\"kind\": \"password\"", "\"kind\": \"app\""),
            ("\"kind\": \"password\"", "\"kind\": \"escrow\""),
            ("\"state\": \"active\"", "\"state\": \"asleep\""),
            ("\"state\": \"active\"", "\"state\": \"active\", \"name\": \"phone\""),
            ("alice", "../al"),
        ] {
            assert!(text.contains(good), "{good}");
            assert_eq!(parse(&text.replace(good, bad)), RecordError::Malformed, "{bad}");
        }
        let mut doubled = record.clone();
        doubled.body.slots.push(record.body.slots[0].clone());
        let doubled = doubled.to_file();
        assert_eq!(parse(std::str::from_utf8(&doubled).unwrap()), RecordError::Malformed);
        assert_eq!(parse(&text.replace("alice", "bob")), RecordError::OtherUser);
    }
}

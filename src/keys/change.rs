//! How a record becomes the next one. Nothing is touched until the whole new record is there, and then
//! it is written in one step.
//!
//! A change that takes something away from somebody **rotates**: new mail is sealed to a new key pair,
//! and whoever holds a removed secret and an old copy of the record holds no key of later mail.

use crate::age::PublicKey;
use crate::user::User;

use super::body::{Body, MAX_KEYS, MAX_NOTICES, MAX_SLOTS, PrivateKey};
use super::code::Code;
use super::error::RecordError;
use super::notice::{Event, Notice};
use super::pepper::Pepper;
use super::record::Record;
use super::root::RootKey;
use super::sealed::FORMAT;
use super::site_secrets::SiteSecrets;
use super::slot::{Slot, SlotKind, SlotState};

/// A record in the making.
#[derive(Debug)]
pub struct Change {
    /// The name that everything is bound to.
    user: User,
    body: Body,
    renamed: Vec<String>,
    root: RootKey,
}

impl Change {
    /// A new user's record, still without slots, at `now` seconds after 1970.
    pub fn enrolment(user: &User, now: u64) -> Self {
        let root = RootKey::random();
        let body = Body {
            format: FORMAT.to_owned(),
            user: user.to_string(),
            version: 0,
            keys: vec![PrivateKey::generate(user, 1, &root, now)],
            slots: Vec::new(),
            notices: Vec::new(),
        };
        Self { user: user.clone(), body, renamed: Vec::new(), root }
    }

    /// A change of `record` by somebody who has its root key.
    ///
    /// # Errors
    /// When the record is not of that root key.
    pub fn of(record: &Record, root: &RootKey) -> Result<Self, RecordError> {
        let user = record.sealed_for().map_err(|_| RecordError::Malformed)?;
        if !record.is_under(root) {
            return Err(RecordError::Malformed);
        }
        let (body, renamed) = (record.body.clone(), record.renamed.clone());
        Ok(Self { user, body, renamed, root: root.duplicate() })
    }

    /// The slots as they are now.
    pub fn slots(&self) -> &[Slot] {
        &self.body.slots
    }

    /// Adds a slot for a password and gives its id.
    ///
    /// # Errors
    /// When Argon2 has no memory, or there are as many slots as there can be.
    pub fn add_password(
        &mut self,
        password: &[u8],
        pepper: &Pepper,
        state: SlotState,
        now: u64,
    ) -> Result<String, RecordError> {
        let slot = Slot::for_password(&self.user, password, pepper, state, &self.root, now)?;
        self.add(slot)
    }

    /// Adds a slot for a printed code and gives its id; an app password has a name.
    ///
    /// # Errors
    /// When there are as many slots as there can be.
    pub fn add_code(
        &mut self,
        code: &Code,
        name: Option<&str>,
        now: u64,
    ) -> Result<String, RecordError> {
        let slot = Slot::for_code(&self.user, code, name, &self.root, now)?;
        self.add(slot)
    }

    /// Adds a slot for the site's provisional key.
    ///
    /// # Errors
    /// When that key is of no use.
    pub fn add_provisional(&mut self, key: &PublicKey, now: u64) -> Result<String, RecordError> {
        let kind = SlotKind::Provisional;
        let slot = Slot::for_site_key(&self.user, kind, key, &self.root, now)?;
        self.add(slot)
    }

    /// Adds a slot for the site's recovery key, where the site has one and the record does not know it,
    /// and tells the user.
    ///
    /// # Errors
    /// When that key is of no use.
    pub fn add_escrow(&mut self, secrets: &SiteSecrets, now: u64) -> Result<(), RecordError> {
        let Some(key) = &secrets.recovery else { return Ok(()) };
        let kind = SlotKind::Escrow;
        let name = key.to_string();
        if self.body.slots.iter().any(|slot| slot.kind() == kind && slot.public() == name) {
            return Ok(());
        }
        let slot = Slot::for_site_key(&self.user, kind, key, &self.root, now)?;
        self.add(slot)?;
        self.notify(Event::RecoveryKeyAdded { key: name }, now);
        Ok(())
    }

    /// Drops the slots for recovery keys that the site has no more, and tells the user. Whether there were
    /// any: then the change has to rotate, for whoever kept such a key.
    pub fn drop_other_escrow(&mut self, secrets: &SiteSecrets, now: u64) -> bool {
        let name = secrets.recovery.as_ref().map(PublicKey::to_string);
        let before = self.body.slots.len();
        self.keep(|slot| slot.kind() != SlotKind::Escrow || Some(slot.public()) == name.as_deref());
        let dropped = self.body.slots.len() < before;
        if dropped {
            self.notify(Event::SlotRemoved { kind: SlotKind::Escrow, name: None }, now);
        }
        dropped
    }

    fn add(&mut self, slot: Slot) -> Result<String, RecordError> {
        if self.body.slots.len() >= MAX_SLOTS {
            return Err(RecordError::Full("slots"));
        }
        let id = slot.id().to_owned();
        self.body.slots.push(slot);
        Ok(id)
    }

    /// Drops every slot that `keep` does not want.
    pub fn keep(&mut self, keep: impl FnMut(&Slot) -> bool) {
        self.body.slots.retain(keep);
    }

    /// Gives the slot `id` another state.
    pub fn set_state(&mut self, id: &str, state: SlotState) {
        let slots = self.body.slots.iter_mut().filter(|slot| slot.id() == id);
        slots.for_each(|slot| slot.set_state(state));
    }

    /// Makes a new root key, sealed to every slot that is there by its public half, and a new key pair.
    /// The private keys so far are kept under the new root key, for the mail so far.
    ///
    /// # Errors
    /// When a key of the record is of no use, or there are as many as there can be.
    pub fn rotate(&mut self, now: u64) -> Result<(), RecordError> {
        if self.body.keys.len() >= MAX_KEYS {
            return Err(RecordError::Full("key pairs"));
        }
        let (old, new) = (&self.root, RootKey::random());
        let newest = self.body.keys.iter().map(|key| key.generation).max().unwrap_or(0);
        let mut keys = vec![PrivateKey::generate(&self.user, newest + 1, &new, now)];
        for key in &self.body.keys {
            keys.push(key.moved(&self.user, old, &new).ok_or(RecordError::Malformed)?);
        }
        let slots = self.body.slots.iter();
        let slots = slots.map(|slot| slot.clone().sealed_anew(&self.user, &new));
        self.body.slots = slots.collect::<Result<_, _>>()?;
        self.body.keys = keys;
        self.root = new;
        Ok(())
    }

    /// Adds something that the user is to be told at the next login.
    pub fn notify(&mut self, event: Event, now: u64) {
        if self.body.notices.len() >= MAX_NOTICES {
            self.body.notices.remove(0);
        }
        self.body.notices.push(Notice { at: now, event });
    }

    /// Takes what the user is to be told, to tell it.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.body.notices)
    }

    /// Whether anything is another than in `record`.
    pub fn differs_from(&self, record: &Record) -> bool {
        self.body != record.body
    }

    /// The record with its MAC, one write later than the last one, and the root key that it is under.
    ///
    /// # Errors
    /// When it would be one that nobody could read.
    pub fn finish(mut self) -> Result<(Record, RootKey), RecordError> {
        self.body.version += 1;
        if self.body.slots.is_empty() || !self.body.is_well_formed() {
            return Err(RecordError::Malformed);
        }
        let mac = self.root.mac(&self.body.text());
        Ok((Record { body: self.body, renamed: self.renamed, mac }, self.root))
    }
}

#[cfg(test)]
mod tests {
    use super::super::code::CodeKind;
    use super::super::error::UnlockError;
    use super::*;
    use crate::age::SecretKey;

    fn alice() -> User {
        User::parse("alice").unwrap()
    }

    fn secrets() -> SiteSecrets {
        let provisional = Some(SecretKey::generate().into());
        SiteSecrets { pepper: Pepper::generate().into(), provisional, recovery: None }
    }

    fn with_password(secrets: &SiteSecrets) -> Change {
        let mut change = Change::enrolment(&alice(), 1);
        change.add_password(b"pw", &secrets.pepper, SlotState::Active, 1).unwrap();
        change
    }

    fn reread(record: &Record) -> Record {
        Record::parse(&alice(), &record.to_file()).unwrap()
    }

    #[test]
    fn each_kind_of_slot_unlocks_by_its_own_secret_only() {
        let secrets = secrets();
        let mut change = with_password(&secrets);
        let [app, other] = [(); 2].map(|()| Code::generate(CodeKind::App));
        let recovery = Code::generate(CodeKind::Recovery);
        change.add_code(&app, Some("phone"), 2).unwrap();
        change.add_code(&recovery, None, 3).unwrap();
        let (record, _) = change.finish().unwrap();
        let record = reread(&record);

        let unlock = |password: &[u8]| record.unlock(password, &secrets);
        let by_app = unlock(app.to_text().expose()).unwrap();
        assert_eq!((by_app.kind(), by_app.slot()), (SlotKind::App, app.slot_id().as_str()));
        assert_eq!(unlock(b"pw").unwrap().keys[0].expose(), by_app.keys[0].expose());
        // Neither another one's code nor a recovery code is a password, and neither costs Argon2.
        for wrong in [other.to_text(), recovery.to_text()] {
            let error = unlock(wrong.expose()).unwrap_err();
            assert_eq!(error, UnlockError::WrongPassword);
        }
        let by_code = record.unlock_with_code(&recovery).unwrap();
        assert_eq!(by_code.kind(), SlotKind::Recovery);
        assert_eq!(record.unlock_with_code(&other).unwrap_err(), UnlockError::WrongCode);
        assert_eq!(record.unlock_provisional(&secrets).unwrap_err(), UnlockError::NoPassword);
    }

    #[test]
    fn the_provisional_key_unlocks_until_it_goes() {
        let (mut secrets, other) = (secrets(), secrets());
        let mut change = Change::enrolment(&alice(), 1);
        let key = secrets.provisional.as_ref().unwrap().public_key();
        change.add_provisional(&key, 1).unwrap();
        let (record, root) = change.finish().unwrap();
        assert_eq!(record.unlock(b"", &secrets).unwrap_err(), UnlockError::NoPassword);
        let unlocked = reread(&record).unlock_provisional(&secrets).unwrap();
        let error = record.unlock_provisional(&other).unwrap_err();
        assert!(matches!(&error, UnlockError::OtherProvisionalKey { wanted, .. }
            if *wanted == key.to_string()));
        secrets.provisional = None;
        let error = record.unlock_provisional(&secrets).unwrap_err();
        assert!(matches!(error, UnlockError::OtherProvisionalKey { found: None, .. }));
        assert!(record.is_under(&root) && record.is_under(unlocked.root()));
    }

    #[test]
    fn escrow_is_sealed_to_the_public_key_and_names_the_user() {
        let key = SecretKey::generate();
        let secrets = SiteSecrets { recovery: Some(key.public_key()), ..secrets() };
        let mut change = with_password(&secrets);
        change.add_escrow(&secrets, 5).unwrap();
        change.add_escrow(&secrets, 6).unwrap();
        let (record, _) = change.finish().unwrap();
        let record = reread(&record);
        let slots: Vec<_> = record.slots().iter().map(Slot::kind).collect();
        assert_eq!(slots, [SlotKind::Password, SlotKind::Escrow]);
        let event = Event::RecoveryKeyAdded { key: key.public_key().to_string() };
        assert_eq!(record.notices(), [Notice { at: 5, event }]);
        // The slot opens with the private half, for this user and for no other.
        let slot = &record.slots()[1];
        assert!(record.is_under(&slot.open(&alice(), &key).unwrap()));
        let bob = User::parse("bob").unwrap();
        assert_eq!(slot.open(&bob, &key).unwrap_err(), UnlockError::Damaged);
        assert_eq!(
            slot.open(&alice(), &SecretKey::generate()).unwrap_err(),
            UnlockError::WrongPassword
        );
    }

    #[test]
    fn what_was_removed_opens_no_later_record() {
        let secrets = secrets();
        let mut change = with_password(&secrets);
        let [phone, tablet] = [(); 2].map(|()| Code::generate(CodeKind::App));
        let lost = change.add_code(&phone, Some("phone"), 1).unwrap();
        change.add_code(&tablet, Some("tablet"), 1).unwrap();
        let (old, old_root) = change.finish().unwrap();

        let mut change = Change::of(&old, &old_root).unwrap();
        change.keep(|slot| slot.id() != lost);
        change.rotate(2).unwrap();
        let (new, new_root) = change.finish().unwrap();
        let new = reread(&new);
        assert_eq!((new.version(), new.public().unwrap().generation), (2, 2));
        assert_ne!(new.public().unwrap().key, old.public().unwrap().key);
        // Whoever has the phone and the old record has the old root key: it is worth nothing here.
        let thief = old.unlock(phone.to_text().expose(), &secrets).unwrap();
        assert!(!new.is_under(thief.root()));
        assert!(Change::of(&new, thief.root()).is_err());
        assert_eq!(
            new.unlock(phone.to_text().expose(), &secrets).unwrap_err(),
            UnlockError::WrongPassword
        );
        assert!(thief.keys.iter().all(|key| key.public_key() != new.public().unwrap().key));
        // The others have the keys of then and of now.
        for kept in [&b"pw"[..], tablet.to_text().expose()] {
            let unlocked = new.unlock(kept, &secrets).unwrap();
            let publics: Vec<_> = unlocked.keys.iter().map(SecretKey::public_key).collect();
            assert_eq!(publics, [new.public().unwrap().key, old.public().unwrap().key]);
        }
        assert!(new.is_under(&new_root) && !old.is_under(&new_root));
        // Slots of the old record do not go with the new one, nor the old MAC.
        let mut mixed = new.clone();
        mixed.body.slots.clone_from(&old.body.slots);
        assert_eq!(mixed.unlock(b"pw", &secrets).unwrap_err(), UnlockError::Damaged);
    }

    #[test]
    fn a_record_that_nobody_could_read_is_not_made() {
        let secrets = secrets();
        let bare = Change::enrolment(&alice(), 1);
        assert_eq!(bare.finish().unwrap_err(), RecordError::Malformed);
        let mut two = with_password(&secrets);
        two.add_password(b"other", &secrets.pepper, SlotState::Active, 1).unwrap();
        assert_eq!(two.finish().unwrap_err(), RecordError::Malformed);

        let mut full = with_password(&secrets);
        let names = (1..MAX_SLOTS).map(|number| format!("phone {number}"));
        let add = |full: &mut Change, name: &str| {
            full.add_code(&Code::generate(CodeKind::App), Some(name), 1)
        };
        names.for_each(|name| drop(add(&mut full, &name).unwrap()));
        assert_eq!(add(&mut full, "one more"), Err(RecordError::Full("slots")));
        for number in 0..=MAX_NOTICES {
            full.notify(Event::RecoveryCodeUsed, number as u64);
        }
        let (record, root) = full.finish().unwrap();
        let times: Vec<_> = reread(&record).notices().iter().map(|notice| notice.at).collect();
        assert_eq!(times, (1..=MAX_NOTICES as u64).collect::<Vec<_>>());
        let mut change = Change::of(&record, &root).unwrap();
        let generations = (1..=MAX_KEYS as u64).rev();
        let keys = generations.map(|number| PrivateKey::generate(&alice(), number, &root, 1));
        change.body.keys = keys.collect();
        assert_eq!(change.rotate(2), Err(RecordError::Full("key pairs")));
    }
}

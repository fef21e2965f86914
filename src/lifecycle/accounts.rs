//! Accounts as a list: who is enrolled, and whether both halves of the keys are there and agree.

use crate::keys::files::{DirectoryError, KeyDirectory};
use crate::keys::{Slot, SlotKind};
use crate::user::User;

use super::unlock::disagreement;

/// One line of the list.
#[derive(Debug)]
pub struct Account {
    /// The user.
    pub user: User,
    /// Which of the user's key pairs is in use; `None` where that cannot be told.
    pub generation: Option<u64>,
    /// When the password was set, in seconds since 1970; `None` where there is none.
    pub password_set: Option<u64>,
    /// Whether the keys wait for the first login.
    pub provisional: bool,
    /// What is wrong with the account's keys.
    pub problem: Option<String>,
}

/// Every account, in the order of the names.
///
/// # Errors
/// When the key directory cannot be listed.
pub fn list(keys: &KeyDirectory) -> Result<Vec<Account>, DirectoryError> {
    Ok(keys.users()?.into_iter().map(|user| account(keys, user)).collect())
}

fn account(keys: &KeyDirectory, user: User) -> Account {
    let record = match keys.record(&user) {
        Ok(Some(record)) => record,
        Ok(None) => {
            let problem = format!(
                "user {user} has a public key but no key record: new mail cannot be opened"
            );
            return broken(user, problem);
        }
        Err(error) => {
            let problem = error.to_string();
            return broken(user, problem);
        }
    };
    let problem = match disagreement(keys, &user, &record) {
        Ok(problem) => problem,
        Err(error) => Some(error.to_string()),
    };
    Account {
        generation: record.public().ok().map(|half| half.generation),
        password_set: record
            .slots()
            .iter()
            .filter(|slot| slot.kind() == SlotKind::Password)
            .map(Slot::created)
            .max(),
        provisional: record.has(SlotKind::Provisional),
        problem,
        user,
    }
}

fn broken(user: User, problem: String) -> Account {
    let problem = Some(problem);
    Account { user, generation: None, password_set: None, provisional: false, problem }
}

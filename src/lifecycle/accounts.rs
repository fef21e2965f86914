//! Accounts as a list: who is enrolled, and whether both halves of the keys are there and agree.

use crate::keys::files::{DirectoryError, KeyDirectory};
use crate::user::User;

use super::unlock::disagreement;

/// One line of the list.
#[derive(Debug)]
pub struct Account {
    /// The user.
    pub user: User,
    /// Which of the user's key pairs is in use; `None` where that cannot be told.
    pub generation: Option<u64>,
    /// When the password was set, in seconds since 1970.
    pub password_set: Option<u64>,
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
            return Account { user, generation: None, password_set: None, problem: Some(problem) };
        }
        Err(error) => {
            let problem = Some(error.to_string());
            return Account { user, generation: None, password_set: None, problem };
        }
    };
    let problem = match disagreement(keys, &user, &record) {
        Ok(problem) => problem,
        Err(error) => Some(error.to_string()),
    };
    Account {
        generation: record.public().ok().map(|half| half.generation),
        password_set: record.slots().map(|(_, _, created)| created).max(),
        problem,
        user,
    }
}

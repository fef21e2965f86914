//! What the agent gives up once it has begun: every file but the key folders, every program, every
//! socket that is not local (landlock(7)). For the threads that are started after this.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus, path_beneath_rules,
};

/// The rules of this version are asked for; a kernel that knows fewer enforces those.
const KNOWN: ABI = ABI::V8;

/// Leaves this thread, and those that it starts, only the files below `folders`. Whether the kernel
/// enforces all of it.
///
/// # Errors
/// When the kernel knows no landlock.
pub fn leave_only(folders: &[&Path]) -> Result<bool, RulesetError> {
    let execute = AccessFs::Execute | AccessFs::IoctlDev;
    let rules = path_beneath_rules(folders, AccessFs::from_all(KNOWN) & !execute);
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .create()?
        .add_rules(rules)?
        .restrict_self()?;
    Ok(status.ruleset == RulesetStatus::FullyEnforced)
}

//! What the code cannot say of itself: the formats, the threats, what happens when something fails.

pub mod failure;
pub mod format;
pub mod record;
pub mod threats;

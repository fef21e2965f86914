//! What the code cannot say of itself: the format, the threats, what happens when something fails.

pub mod failure;
pub mod format;
pub mod threats;

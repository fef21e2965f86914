//! Points at which a test can make the program panic or stand still, to see what its caller does.
//! Only with the feature `fault`; a release has none.
//!
//! Layer 0.

/// A point called `name`. `NIGHTSAFE_FAULT=panic:name` panics there, `stall:name` never goes on.
#[cfg(feature = "fault")]
#[track_caller]
pub fn point(name: &str) {
    let Ok(wanted) = std::env::var("NIGHTSAFE_FAULT") else { return };
    match wanted.split_once(':') {
        #[expect(clippy::panic, reason = "this is what the feature is for")]
        Some(("panic", at)) if at == name => panic!("fault injected"),
        Some(("stall", at)) if at == name => loop {
            std::thread::park();
        },
        _ => {}
    }
}

/// A point called `name`: nothing happens there.
#[cfg(not(feature = "fault"))]
#[inline]
pub fn point(_name: &str) {}

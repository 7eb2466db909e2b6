//! The back-end channel, seen from the back-end.

mod notifier;

pub use notifier::Notifier;

//! What a script says about a session before its first message.

pub mod offer;

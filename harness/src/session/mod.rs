//! What a script says about a session before its first message.

pub mod back_end;
pub mod offer;
pub mod outcome;
pub mod run;
pub mod setup;
pub mod talk;

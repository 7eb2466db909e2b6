//! Scripts run through a session: what the device offers, how effects end, and the model beside
//! it. [`talk`] does the same for tests that are written message by message.

pub mod back_end;
pub mod offer;
pub mod outcome;
pub mod run;
pub mod setup;
pub mod talk;

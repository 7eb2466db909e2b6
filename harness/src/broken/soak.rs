//! Devices that get wrong what only a second thread notices.

use vhost_fuzz_core::ring::{Broken, Ring};

use crate::soak::Habits;

/// Goes to sleep without asking for kicks.
#[derive(Clone, Copy, Debug)]
pub struct ForgetsToArm;

impl Habits for ForgetsToArm {
    fn rest(&self, _ring: &mut impl Ring) -> Result<bool, Broken> {
        Ok(false)
    }
}

/// Asks for kicks, and goes to sleep whatever came in between (VQ-048, PK-037).
#[derive(Clone, Copy, Debug)]
pub struct ForgetsToLookAgain;

impl Habits for ForgetsToLookAgain {
    fn rest(&self, ring: &mut impl Ring) -> Result<bool, Broken> {
        // Whoever wants to send in between, may: that is the moment that matters.
        std::thread::yield_now();
        ring.arm().map(|_more| false)
    }
}

/// Does not call a driver that wants it.
#[derive(Clone, Copy, Debug)]
pub struct ForgetsToCall;

impl Habits for ForgetsToCall {
    fn is_call(&self, _is_wanted: bool) -> bool {
        false
    }
}

/// Writes the answer after the buffer went back (VQ-037).
#[derive(Clone, Copy, Debug)]
pub struct AnswersLate;

impl Habits for AnswersLate {
    const ANSWERS_LATE: bool = true;
}

/// Keeps one buffer (VQ-040).
#[derive(Clone, Copy, Debug)]
pub struct KeepsABuffer;

impl Habits for KeepsABuffer {
    fn is_given_back(&self, number: u64) -> bool {
        number != 20
    }
}

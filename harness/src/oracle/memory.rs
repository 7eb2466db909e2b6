//! Judges the memory side of a back-end, step by step.

mod session;

use std::cell::Cell;

use vhost_fuzz_core::memory::{Location, LogMemory, MemoryError, PlaceError, ResolveError};
use vhost_fuzz_model::memory as model;

use crate::memory::Memory;
use crate::target::mem_table::{Outcome, Step};
use session::Session;

/// Runs every oracle on these steps.
///
/// # Panics
/// When an oracle finds a fault.
pub fn check<'a, M: Memory>(steps: impl Iterator<Item = Step<'a>>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut session = Session::<M>::default();
    for step in steps {
        if let Step::Start { .. } = step {
            session.end();
            session = Session::begin(&step);
            outcome.add(Ok(()));
        } else if let Some(verdict) = session.step(&step) {
            outcome.add(verdict.map_err(|refusal| refusal.id));
        }
    }
    session.end();
    outcome
}

/// A log between two pages that nobody may touch.
#[derive(Debug, Default)]
struct Guarded {
    bytes: Vec<Cell<u8>>,
    /// Bytes that were set since the last look.
    steps: Cell<u64>,
    /// The first set that was not inside.
    stray: Cell<Option<(u64, u8)>>,
}

impl Guarded {
    fn new(size: u64) -> Self {
        let mut bytes = Vec::new();
        bytes.resize_with(usize::try_from(size).unwrap_or(0), Cell::default);
        Self { bytes, ..Self::default() }
    }

    /// Nothing outside was touched, and each byte was touched about once for each of `pieces`.
    fn settle(&self, pieces: usize) {
        let size = self.bytes.len() as u64;
        if let Some((offset, bits)) = self.stray.take() {
            panic!("guarded memory: bits {bits:#x} of byte {offset:#x} in a log of {size} bytes");
        }
        let (steps, limit) = (self.steps.take(), (size + 1).saturating_mul(pieces as u64));
        assert!(steps <= limit, "budget: {steps} steps to mark {pieces} ranges in {size} bytes");
    }
}

impl LogMemory for Guarded {
    fn or(&self, offset: u64, bits: u8) {
        self.steps.set(self.steps.get().saturating_add(1));
        let byte = usize::try_from(offset).ok().and_then(|offset| self.bytes.get(offset));
        match byte {
            Some(byte) => byte.set(byte.get() | bits),
            None if self.stray.get().is_none() => self.stray.set(Some((offset, bits))),
            None => {}
        }
    }
}

/// A location in the words of the model.
fn piece(location: &Location) -> model::Piece {
    let Location { slot, offset, len } = *location;
    model::Piece { slot, offset, len }
}

/// An error in the words of the model: its rule, and the first address that is nowhere.
trait Refused {
    fn refusal(self) -> model::Refusal;
}

impl Refused for MemoryError {
    fn refusal(self) -> model::Refusal {
        let at = match self {
            Self::UserUnmapped { address } | Self::GuestUnmapped { address } => address,
            _ => 0,
        };
        model::Refusal { id: super::id(self.rule()), at }
    }
}

impl Refused for ResolveError {
    fn refusal(self) -> model::Refusal {
        match self {
            Self::Memory(error) => error.refusal(),
            Self::Miss(miss) => model::Refusal { id: super::id(miss.rule()), at: miss.iova },
        }
    }
}

impl Refused for PlaceError {
    fn refusal(self) -> model::Refusal {
        let at = match self {
            Self::Misaligned { .. } | Self::Wraps { .. } => 0,
            Self::Unmapped { address, .. } => address,
            Self::Miss { iova, .. } => iova,
        };
        model::Refusal { id: super::id(self.rule()), at }
    }
}

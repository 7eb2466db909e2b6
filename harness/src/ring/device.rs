//! What a ring under test has to offer.

use vhost_fuzz_core::memory::RingSize;
use vhost_fuzz_core::ring::{
    ActivateError, BindError, Guest, Layout, PackedQueue, PackedRing, Position, Ring, Setup,
    SplitQueue, SplitRing,
};

use crate::ram::RamRegion;

/// The device's side of a ring: ours, a broken one, or yours.
pub trait Device {
    /// It during one wake-up.
    type Ring<'r>: Ring
    where
        Self: 'r;

    /// Its layout.
    const LAYOUT: Layout;

    /// A stopped queue of at most `max` entries.
    fn new(max: RingSize) -> Self;

    /// Starts it.
    ///
    /// # Errors
    /// See [`ActivateError`].
    fn activate(
        &mut self,
        setup: &Setup,
        position: Position,
        guest: &Guest<'_, RamRegion>,
    ) -> Result<(), ActivateError>;

    /// Begins a wake-up.
    ///
    /// # Errors
    /// See [`BindError`].
    fn bind<'r>(&'r mut self, guest: &Guest<'r, RamRegion>) -> Result<Self::Ring<'r>, BindError>;

    /// Stops it and tells where it goes on.
    fn stop(&mut self) -> Option<Position>;
}

impl Device for SplitQueue {
    type Ring<'r> = SplitRing<'r, RamRegion, [std::sync::atomic::AtomicU8]>;

    const LAYOUT: Layout = Layout::Split;

    fn new(max: RingSize) -> Self {
        Self::new(max)
    }

    fn activate(
        &mut self,
        setup: &Setup,
        position: Position,
        guest: &Guest<'_, RamRegion>,
    ) -> Result<(), ActivateError> {
        self.activate(setup, position, guest)
    }

    fn bind<'r>(&'r mut self, guest: &Guest<'r, RamRegion>) -> Result<Self::Ring<'r>, BindError> {
        self.bind(guest)
    }

    fn stop(&mut self) -> Option<Position> {
        self.stop()
    }
}

impl Device for PackedQueue {
    type Ring<'r> = PackedRing<'r, RamRegion, [std::sync::atomic::AtomicU8]>;

    const LAYOUT: Layout = Layout::Packed;

    fn new(max: RingSize) -> Self {
        Self::new(max)
    }

    fn activate(
        &mut self,
        setup: &Setup,
        position: Position,
        guest: &Guest<'_, RamRegion>,
    ) -> Result<(), ActivateError> {
        self.activate(setup, position, guest)
    }

    fn bind<'r>(&'r mut self, guest: &Guest<'r, RamRegion>) -> Result<Self::Ring<'r>, BindError> {
        self.bind(guest)
    }

    fn stop(&mut self) -> Option<Position> {
        self.stop()
    }
}

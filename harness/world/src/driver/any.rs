//! A driver of either format.

use super::{
    Calls, Completion, Driver, Field, Format, Full, PackedDriver, Request, Setup, SplitDriver,
    Style, Tag, Violation,
};
use crate::ram::GuestRam;

/// A driver of either format.
#[derive(Clone, Debug)]
pub enum AnyDriver {
    /// Of a split ring.
    Split(SplitDriver),
    /// Of a packed ring.
    Packed(PackedDriver),
}

impl AnyDriver {
    /// A driver that has started; see [`Driver::start`].
    #[must_use]
    pub fn new<R: GuestRam + ?Sized>(format: Format, setup: Setup, ram: &R) -> Self {
        match format {
            Format::Split => Self::Split(SplitDriver::new(setup, ram)),
            Format::Packed => Self::Packed(PackedDriver::new(setup, ram)),
        }
    }
}

/// Calls a method of whichever driver it is.
macro_rules! either {
    ($any:expr, $driver:ident => $call:expr) => {
        match $any {
            AnyDriver::Split($driver) => $call,
            AnyDriver::Packed($driver) => $call,
        }
    };
}

impl Driver for AnyDriver {
    fn setup(&self) -> &Setup {
        either!(self, driver => driver.setup())
    }

    fn format(&self) -> Format {
        either!(self, driver => driver.format())
    }

    fn start<R: GuestRam + ?Sized>(&mut self, setup: Setup, ram: &R) {
        either!(self, driver => driver.start(setup, ram));
    }

    fn add<R: GuestRam + ?Sized>(
        &mut self,
        ram: &R,
        request: &Request<'_>,
        style: &Style,
    ) -> Result<Tag, Full> {
        either!(self, driver => driver.add(ram, request, style))
    }

    fn flush<R: GuestRam + ?Sized>(&mut self, ram: &R) {
        either!(self, driver => driver.flush(ram));
    }

    fn reap<R: GuestRam + ?Sized>(&mut self, ram: &R) -> Result<Option<Completion>, Violation> {
        either!(self, driver => driver.reap(ram))
    }

    fn needs_kick<R: GuestRam + ?Sized>(&mut self, ram: &R) -> Result<bool, Violation> {
        either!(self, driver => driver.needs_kick(ram))
    }

    fn want_calls<R: GuestRam + ?Sized>(&mut self, ram: &R, how: Calls) -> bool {
        either!(self, driver => driver.want_calls(ram, how))
    }

    fn in_flight(&self) -> usize {
        either!(self, driver => driver.in_flight())
    }

    fn base(&self) -> u32 {
        either!(self, driver => driver.base())
    }

    fn locate(&self, field: Field) -> Option<(u64, usize)> {
        either!(self, driver => driver.locate(field))
    }
}

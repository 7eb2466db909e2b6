//! The driver: it makes requests available in every way that the standard allows, takes them back
//! like a strict guest, and can write anything into any field of a ring.
//!
//! It shares no code with the walkers under test: both meet in guest memory, as in life. All that
//! it knows of its own it keeps in private memory, so that no hostile write confuses it.
//!
//! * [`SplitDriver`] and [`PackedDriver`] are [`Driver`]s; [`AnyDriver`] is either.
//! * A [`Style`] says how a [`Request`] is laid out.
//! * [`hostile`] names the fields and the values that devices have tripped over.

mod any;
mod flight;
mod heap;
pub mod hostile;
mod legal;
mod packed;
mod setup;
mod split;
#[cfg(test)]
mod tests;
mod violation;

pub use any::AnyDriver;
pub use hostile::{Field, Member};
pub use legal::{Form, Style};
pub use packed::PackedDriver;
pub use setup::{Format, Setup};
pub use split::SplitDriver;
pub use violation::Violation;

use crate::ram::GuestRam;

/// Most bytes of a completion that are read back.
pub const DATA_MAX: usize = 1 << 20;

/// What a device is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Request<'a> {
    /// What the device reads.
    pub readable: &'a [u8],
    /// Bytes that the device may write. When memory has less, writable buffers share it.
    pub writable: u64,
}

/// The number of a request in the life of a driver, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Tag(pub u64);

/// There are too few descriptors, or too little memory, until something is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A request that came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Which one.
    pub tag: Tag,
    /// Bytes that the device says it wrote.
    pub len: u32,
    /// Those bytes, at most [`DATA_MAX`].
    pub data: Vec<u8>,
    /// Writable buffers share memory, so that `data` is what was written last.
    pub is_aliased: bool,
}

/// When the driver wants to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Calls {
    /// For every buffer.
    Always,
    /// Not at all.
    Never,
    /// After so many more buffers of a split ring, or slots of a packed ring, and one: 0 is the
    /// next. Without `EVENT_IDX`, and when a packed ring has no such slot, as
    /// [`Always`](Self::Always).
    After(u16),
}

/// One end of a ring: the driver's.
///
/// All methods panic when a part of the ring is not memory.
pub trait Driver {
    /// What the ring was started with.
    fn setup(&self) -> &Setup;

    /// How the ring is laid out.
    fn format(&self) -> Format;

    /// Begins a new life: writes what a driver writes before the device starts, and forgets all
    /// requests. Memory that no part of the ring has is for buffers.
    fn start<R: GuestRam + ?Sized>(&mut self, setup: Setup, ram: &R);

    /// Writes a request into the ring, where the device finds it after [`flush`](Self::flush).
    ///
    /// # Errors
    /// There is no room; nothing has changed.
    fn add<R: GuestRam + ?Sized>(
        &mut self,
        ram: &R,
        request: &Request<'_>,
        style: &Style,
    ) -> Result<Tag, Full>;

    /// Makes everything available that was added, at one moment.
    fn flush<R: GuestRam + ?Sized>(&mut self, ram: &R);

    /// Makes one request available.
    ///
    /// # Errors
    /// There is no room; nothing has changed.
    fn publish<R: GuestRam + ?Sized>(
        &mut self,
        ram: &R,
        request: &Request<'_>,
        style: &Style,
    ) -> Result<Tag, Full> {
        let tag = self.add(ram, request, style)?;
        self.flush(ram);
        Ok(tag)
    }

    /// Takes a request back that the device has used, if there is one.
    ///
    /// # Errors
    /// The device did what a strict driver does not accept. Nothing was taken.
    fn reap<R: GuestRam + ?Sized>(&mut self, ram: &R) -> Result<Option<Completion>, Violation>;

    /// Whether the device has to be kicked for what was made available since the last time. The
    /// first time it has to.
    ///
    /// # Errors
    /// What the device says about kicks is not allowed.
    fn needs_kick<R: GuestRam + ?Sized>(&mut self, ram: &R) -> Result<bool, Violation>;

    /// Says when to be called. `true`: so much was used already, and no call will tell.
    #[must_use = "no call will tell of what was used already"]
    fn want_calls<R: GuestRam + ?Sized>(&mut self, ram: &R, how: Calls) -> bool;

    /// Requests that have not come back.
    fn in_flight(&self) -> usize;

    /// Where a device would go on that has used all requests so far: what `SET_VRING_BASE` says.
    fn base(&self) -> u32;

    /// The guest address and the bytes of a field; `None` when such a ring has none.
    fn locate(&self, field: Field) -> Option<(u64, usize)>;
}

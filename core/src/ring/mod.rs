//! The rings: taking chains of descriptors that somebody hostile wrote, and giving them back.
//!
//! | Step | Split ring | Packed ring |
//! |---|---|---|
//! | allocate, once | [`SplitQueue::new`] | [`PackedQueue::new`] |
//! | start: judge size, parts, position | [`SplitQueue::activate`] | [`PackedQueue::activate`] |
//! | a wake-up begins | [`SplitQueue::bind`] | [`PackedQueue::bind`] |
//! | take, use, give back, tell | [`Ring`], of [`SplitRing`] | [`Ring`], of [`PackedRing`] |
//! | stop | [`SplitQueue::stop`] | [`PackedQueue::stop`] |
//!
//! [`Queue`] is either, and a [`Tracker`] keeps the in-flight region of one. A device reads and writes the buffers of a [`Chain`] with a [`Reader`] and
//! a [`Writer`].
//!
//! **One fetch.** The driver can change what it wrote at any moment. Each of its fields is loaded
//! once per operation, into private memory, and what was checked there is what is used (VQ-024,
//! PK-030).
//!
//! **End is not broken.** [`Ring::pop`] tells apart: nothing is available; a chain is malformed,
//! and its buffer goes back unused (DROP); the ring is broken and is not touched again (STOP).
//!
//! **Order.** Driver and device run at the same time. Where the walkers load or store an index or
//! flags, a comment says which ordering pairs with what (spec §1.8, §2.7).

mod area;
mod chain;
mod cursor;
mod error;
mod event;
mod guest;
mod layout;
mod mapped;
mod memory;
mod packed;
mod position;
mod queue;
mod reader;
mod setup;
mod split;
mod table;
mod token;
mod tracked;
mod writer;

pub use chain::{Chain, Element};
pub use error::{AccessError, ActivateError, BindError, Broken, Malformed, Shape};
pub use event::{Wish, need_event};
pub use guest::{Guest, Log};
pub use layout::flag;
pub use mapped::Mapped;
pub use memory::{At, DescriptorTable, RingMemory};
pub use packed::{PackedQueue, PackedRing};
pub use position::Position;
pub use queue::{Queue, QueueRing};
pub use reader::Reader;
pub use setup::{Features, Limits, Setup};
pub use split::{SplitQueue, SplitRing};
pub use token::{PopError, PutError, PutReason, Token};
pub use tracked::{TrackedRing, Tracker};
pub use writer::Writer;

/// How a ring is laid out in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Descriptor table, available ring and used ring (spec §1).
    Split,
    /// One descriptor ring that both sides write to (spec §2).
    Packed,
}

/// A ring during one wake-up: what a device does with it, whatever its layout.
///
/// A broken ring answers every call with the same [`Broken`], and touches no memory (VQ-068).
pub trait Ring {
    /// Takes the next chain. `Ok(None)`: nothing is available.
    ///
    /// The token is what the device owes the driver: it goes back by [`put`](Self::put), also
    /// when the request failed (VQ-040).
    ///
    /// # Errors
    /// See [`PopError`]. Only [`Malformed`](PopError::Malformed) has taken something.
    fn pop(&mut self, chain: &mut Chain) -> Result<Option<Token>, PopError>;

    /// Takes a [`pop`](Self::pop) back: the chain that was taken last is available again, as if it
    /// had not been taken, and the next `pop` finds it (DC-089). Several go back newest first.
    /// The driver does not notice. What was written to the buffer stays there.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn unpop(&mut self, token: Token) -> Result<(), PutError>;

    /// Gives a buffer back, `len` bytes of its writable part having been written from its
    /// beginning. The driver sees it after [`publish`](Self::publish).
    ///
    /// # Errors
    /// The device made a mistake, or the ring is broken. The error holds the token.
    fn put(&mut self, token: Token, len: u32) -> Result<(), PutError>;

    /// With `IN_ORDER`: makes a buffer part of a batch, which the next [`put`](Self::put) gives
    /// back as a whole (VQ-058, PK-031). It has no writable bytes, because nobody would tell how
    /// many were written (VQ-059).
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn skip(&mut self, token: Token) -> Result<(), PutError>;

    /// Shows the driver all that was given back. `true`: the driver wants to be called.
    ///
    /// # Errors
    /// The ring is broken.
    #[must_use = "the driver may have to be called"]
    fn publish(&mut self) -> Result<bool, Broken>;

    /// Asks the driver for kicks. `true`: more became available in between, and no kick will tell;
    /// the device takes it instead of going to sleep (VQ-048, PK-037).
    ///
    /// # Errors
    /// The ring is broken, or is found to be.
    #[must_use = "there may be more to do, of which no kick will tell"]
    fn arm(&mut self) -> Result<bool, Broken>;

    /// Asks the driver for no kicks. They may come all the same (VQ-047).
    ///
    /// # Errors
    /// The ring is broken.
    fn disarm(&mut self) -> Result<(), Broken>;
}

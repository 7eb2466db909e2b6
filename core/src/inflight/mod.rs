//! The in-flight area: what a back-end that is started again still owes the driver (spec §6.11).
//!
//! The area is shared memory with one region for each queue. A region outlives the process that
//! writes it, so every procedure is a sequence of stores after each of which the process may
//! end. The next process finds out from the region and the ring which requests were fetched and
//! not returned, and does them again, oldest first.
//!
//! | Step | Split ring | Packed ring |
//! |---|---|---|
//! | judge the message | [`Geometry::check`] | the same |
//! | look at the header, or initialise it | [`SplitRegion::open`] | [`PackedRegion::open`] |
//! | repair what was cut off | [`SplitRegion::recover`] | [`PackedRegion::recover`] |
//! | do these again | [`SplitArea::pending`] | [`PackedArea::pending`] |
//! | work | `fetch`, `complete` | the same |
//!
//! **Trust.** The front-end owns the area and can change it at any time. It is read in `open` and
//! `recover` only, each field once, and every index is compared with the queue size before use
//! (DC-033). From then on a private copy decides, and the area is only written.
//!
//! **Order.** A process that is killed leaves all stores before some point of its program and
//! none after it, provided that the compiler and the processor keep their order. So every store
//! is a [`Release`](core::sync::atomic::Ordering::Release) store: none can pass another. The
//! ring is other memory that others store to; a release fence in front of its update keeps the
//! region's stores before it, and the release stores that follow come after it. Nothing stronger
//! is needed: the region is read by the next process only, when this one has ended.

mod error;
mod geometry;
mod packed;
mod region;
mod split;

pub use error::AreaError;
pub use geometry::{Geometry, MAX_QUEUE_SIZE};
pub use packed::{Descriptor, PackedArea, PackedRegion, Position};
pub use region::AreaMemory;
pub use split::{SplitArea, SplitRegion};

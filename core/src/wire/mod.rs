//! The cursor that decoders read from and the sinks that encoders write to.
//!
//! Byte order is in the name of each method, because this project meets three: vhost-user is
//! native-endian (`ne_`), rings are little-endian, packets are big-endian. There is no bare `u32`.
//!
//! Everything here is always inlined: a caller that has checked a length once gets straight loads
//! and stores, where the compiler sees that no bound is left to check.

mod reader;
mod sink;

pub use reader::{Reader, Short};
pub use sink::{Counter, Sink, SliceSink};

//! Every rule of the rings (spec `virtio.md` §7.1, §7.2) that binds a device, shown on memory that
//! remembers what the device does with it.

mod buffers;
mod control;
mod decisions;
mod hammer;
mod inflight;
mod interleavings;
mod log;
mod mapped;
mod memory;
mod packed;
mod ram;
mod rig;
mod rulings;
mod split;
mod threads;
mod vectors;

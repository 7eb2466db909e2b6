//! Structure-aware mutation: the bytes of an input change by what they mean.
//!
//! The harness never links libFuzzer: its byte mutator comes in as a closure. About one time in
//! eight it is used alone, so that nothing stays out of reach.

mod descriptor;
mod dhcp;
mod frames;
mod image;
mod ipv6;
mod message;
mod net_device;
mod offload;
mod phrase;
#[cfg(feature = "peer-virtio-queue")]
mod queue;
mod ring;
mod rings;
mod script;
mod session;
mod start;

pub use dhcp::{crossover as splice_dhcp, mutate as dhcp};
pub use frames::{crossover as splice_frames, mutate as frames};
pub use image::{crossover as splice_images, packed_chain, split_chain};
pub use ipv6::{crossover as splice_ipv6, mutate as ipv6};
pub use message::{crossover as splice_messages, mutate as message};
pub use net_device::mutate as net_device;
pub use offload::{crossover as splice_offloads, mutate as offload};
#[cfg(feature = "peer-virtio-queue")]
pub use queue::mutate as queue;
pub use ring::{packed_ring, split_ring};
pub use rings::mutate as rings;
pub use script::{crossover as splice_scripts, mutate as script};
pub use session::mutate as session;

/// The engine's own mutator: changes the first `usize` bytes of a buffer and returns how many
/// there are now.
pub type ByteMutator<'a> = &'a mut dyn FnMut(&mut [u8], usize) -> usize;

/// Copies as much of `new` as fits to the front of `data`; returns how much that was.
fn put(data: &mut [u8], max_size: usize, new: &[u8]) -> usize {
    let len = new.len().min(max_size).min(data.len());
    data[..len].copy_from_slice(&new[..len]);
    len
}

/// Whether this turn belongs to the engine's own mutator.
fn is_bytes_turn(rng: &mut fastrand::Rng) -> bool {
    rng.u8(..8) == 0
}

/// Numbers at which something changes.
fn boundary(rng: &mut fastrand::Rng) -> u64 {
    use crate::seeds::{Random, Source};
    Random(rng).next()
}

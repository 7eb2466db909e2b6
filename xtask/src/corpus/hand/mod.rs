//! `corpus hand`: inputs that were thought out one by one, for each way to be refused and for
//! each hostile input of spec §9 that framing, codec or session decide about (`hz-NN-…`).

mod arp;
mod dhcp;
mod dhcpv6;
mod diff;
mod memory;
mod message;
mod ndp;
mod net_device;
mod net_header;
mod queue;
mod ring;
mod ring_equivalence;
mod session;
mod stream;

use std::path::Path;

use anyhow::Result;
use vhost_fuzz_core::ring::Layout as Form;
use vhost_fuzz_core::vhost_user::{Flags, Header};
use vhost_fuzz_core::wire::SliceSink;
use vhost_fuzz_harness::corpus::{Entry, Seed};

use super::manifest::Update;

/// The origin of these seeds.
pub(super) const ORIGIN: &str = "hand";

/// What `corpus hand` would change.
///
/// # Errors
/// When an input does not do what it is there for.
pub(super) fn updates(root: &Path) -> Result<Vec<Update>> {
    let is_ours = |origin: &str| origin == ORIGIN;
    Ok(vec![
        Update::plan(root, "arp", is_ours, arp::seeds())?,
        Update::plan(root, "dhcp", is_ours, dhcp::seeds())?,
        Update::plan(root, "dhcpv6", is_ours, dhcpv6::seeds())?,
        Update::plan(root, "diff_vhost", is_ours, diff::seeds())?,
        Update::plan(root, "diff_virtio_queue", is_ours, queue::seeds())?,
        Update::plan(root, "mem_table", is_ours, memory::seeds())?,
        Update::plan(root, "msg_decode", is_ours, message::seeds())?,
        Update::plan(root, "msg_stream", is_ours, stream::seeds())?,
        Update::plan(root, "net_device", is_ours, net_device::seeds())?,
        Update::plan(root, "net_header", is_ours, net_header::seeds())?,
        Update::plan(root, "ndp", is_ours, ndp::seeds())?,
        Update::plan(root, "packed_chain", is_ours, ring::images(Form::Packed))?,
        Update::plan(root, "packed_ring", is_ours, ring::scripts(Form::Packed))?,
        Update::plan(root, "ring_equivalence", is_ours, ring_equivalence::seeds())?,
        Update::plan(root, "session", is_ours, session::seeds())?,
        Update::plan(root, "split_chain", is_ours, ring::images(Form::Split))?,
        Update::plan(root, "split_ring", is_ours, ring::scripts(Form::Split))?,
    ])
}

/// A seed: its name, what has to come out of it, what it shows, and its bytes.
fn seed(name: &str, expect: &str, shows: &str, bytes: Vec<u8>) -> Seed {
    let entry =
        Entry { shows: shows.to_owned(), expect: expect.to_owned(), origin: ORIGIN.to_owned() };
    Seed { name: name.to_owned(), entry, bytes }
}

/// A message whose header announces the payload that follows.
fn wire(code: u32, flags: u32, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    announcing(code, flags, size, payload)
}

/// A message whose header announces `size` bytes, whatever follows.
fn announcing(code: u32, flags: u32, size: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    Header { code, flags: Flags(flags), size }.write(&mut SliceSink::new(&mut bytes));
    bytes.extend(payload);
    bytes
}

/// Numbers of 4 bytes, one after another.
fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

/// Numbers of 8 bytes, one after another.
fn longs(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

/// A memory table of `count` regions of 2 MiB that lie next to each other.
fn table(count: u32) -> Vec<u8> {
    const SIZE: u64 = 0x20_0000;
    let mut bytes = words(&[count, 0]);
    for index in 0..u64::from(count) {
        bytes.extend(longs(&[index * SIZE, SIZE, 0x7f00_0000_0000 + index * SIZE, 0]));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_what_they_say() {
        assert_eq!(wire(1, 9, &[7]), [words(&[1, 9, 1]), vec![7]].concat());
        assert_eq!(announcing(1, 9, 5, &[]), words(&[1, 9, 5]));
        assert_eq!(table(9).len(), 8 + 9 * 32);
    }
}

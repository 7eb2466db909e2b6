//! Our side: what a device does with a split ring.

use std::sync::atomic::AtomicU8;

use vhost_fuzz_core::memory::{AddressKind, RingSize};
use vhost_fuzz_core::ring::{
    self, ActivateError, Broken, Chain, Features, Limits, Mapped, PopError, Position, PutError,
    Ring as _, Setup, SplitQueue, SplitRing, Token,
};
use vhost_fuzz_core::vhost_user::payload::VringAddr;

use super::image::Handle;
use super::walk::{Buffer, MAX_SIZE, MAX_TABLE, Start, feature};

/// Guest memory as our side sees it.
pub type Guest<'g> = ring::Guest<'g, Mapped<Handle>>;

/// A ring during one wake-up.
pub type Ring<'r> = SplitRing<'r, Mapped<Handle>, [AtomicU8]>;

/// What a device does with a ring: by the core, or with a mistake. What an implementation does not
/// define is done by the core.
pub trait Device: Default {
    /// As [`SplitQueue::activate`].
    ///
    /// # Errors
    /// As [`SplitQueue::activate`].
    fn activate(
        &mut self,
        queue: &mut SplitQueue,
        setup: &Setup,
        position: Position,
        guest: &Guest<'_>,
    ) -> Result<(), ActivateError> {
        queue.activate(setup, position, guest)
    }

    /// As [`Ring::pop`](ring::Ring::pop).
    ///
    /// # Errors
    /// As [`Ring::pop`](ring::Ring::pop).
    fn pop(&mut self, ring: &mut Ring<'_>, chain: &mut Chain) -> Result<Option<Token>, PopError> {
        ring.pop(chain)
    }

    /// The buffers of a chain, in order.
    fn buffers(&self, _: &Guest<'_>, chain: &Chain, _head: u16, into: &mut Vec<Buffer>) {
        let buffers = [(chain.readable(), false), (chain.writable(), true)];
        into.extend(buffers.into_iter().flat_map(|(elements, is_writable)| {
            elements.iter().map(move |element| Buffer {
                address: element.address,
                len: element.len,
                is_writable,
            })
        }));
    }

    /// Reads the front of the readable bytes; how many there were, and how many were read.
    fn read(&self, guest: &Guest<'_>, chain: &Chain, bytes: &mut [u8]) -> Option<(u64, usize)> {
        let mut reader = chain.reader(guest);
        let available = reader.remaining();
        Some((available, reader.read(bytes).ok()?))
    }

    /// Writes to the front of the writable bytes; how many there were, and how many were written.
    fn write(&self, guest: &Guest<'_>, chain: &Chain, bytes: &[u8]) -> Option<(u64, u32)> {
        let mut writer = chain.writer(guest);
        let available = writer.remaining();
        writer.write(bytes).ok()?;
        Some((available, writer.written()))
    }

    /// As [`Ring::put`](ring::Ring::put).
    ///
    /// # Errors
    /// As [`Ring::put`](ring::Ring::put).
    fn put(&mut self, ring: &mut Ring<'_>, token: Token, len: u32) -> Result<(), PutError> {
        ring.put(token, len)
    }

    /// As [`Ring::publish`](ring::Ring::publish).
    ///
    /// # Errors
    /// As [`Ring::publish`](ring::Ring::publish).
    fn publish(&mut self, ring: &mut Ring<'_>) -> Result<bool, Broken> {
        ring.publish()
    }

    /// As [`Ring::arm`](ring::Ring::arm).
    ///
    /// # Errors
    /// As [`Ring::arm`](ring::Ring::arm).
    fn arm(&mut self, ring: &mut Ring<'_>) -> Result<bool, Broken> {
        ring.arm()
    }

    /// As [`Ring::disarm`](ring::Ring::disarm).
    ///
    /// # Errors
    /// As [`Ring::disarm`](ring::Ring::disarm).
    fn disarm(&mut self, ring: &mut Ring<'_>) -> Result<(), Broken> {
        ring.disarm()
    }
}

/// The device of the core.
#[derive(Clone, Copy, Debug, Default)]
pub struct Core;

impl Device for Core {}

/// What the core is told at a start; `None` when the size is that of no split ring.
#[must_use]
pub fn setup(start: &Start) -> Option<Setup> {
    let size = RingSize::check(start.size.into(), false, MAX_SIZE).ok()?;
    Some(Setup {
        size,
        addresses: VringAddr {
            index: 0,
            flags: 0,
            descriptor: start.descriptor,
            used: start.used,
            available: start.available,
            log: 0,
        },
        ring_kind: AddressKind::Guest,
        buffer_kind: AddressKind::Guest,
        features: Features {
            event_idx: start.has(feature::EVENT_IDX),
            indirect: start.has(feature::INDIRECT),
            in_order: start.has(feature::IN_ORDER),
            version_1: !start.has(feature::LEGACY),
        },
        limits: Limits { table: MAX_TABLE, is_strict: true },
    })
}

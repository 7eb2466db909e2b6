//! Requests, as tests write them.

use vhost_fuzz_core::session::Offer;
use vhost_fuzz_core::vhost_user::payload::{
    MemReg, MemTable, Region, RegionBytes, VringAddr, VringFd, VringState,
};
use vhost_fuzz_core::vhost_user::{
    Flags, FrontendRequest as R, HEADER_LEN, Header, Message, Payload,
};
use vhost_fuzz_core::wire::SliceSink;

use crate::session::offer::ScriptOffer;
use crate::session::setup::offers;

/// Bytes of a [`region`].
pub const REGION: u64 = 0x10_0000;

/// Where the user addresses of [`region`]s begin.
pub const USER: u64 = 0x7f00_0000_0000;

/// The default offer of scripts.
#[must_use]
pub fn offer() -> Offer {
    offers(&ScriptOffer::default()).0
}

/// A request without payload.
#[must_use]
pub const fn bare(request: R) -> Message<'static> {
    Message::frontend(request, Payload::None)
}

/// A request with a number.
#[must_use]
pub const fn number(request: R, number: u64) -> Message<'static> {
    Message::frontend(request, Payload::U64(number))
}

/// A request with a ring and a number.
#[must_use]
pub const fn state(request: R, index: u32, num: u32) -> Message<'static> {
    Message::frontend(request, Payload::State(VringState { index, num }))
}

/// A request with a ring and a descriptor.
#[must_use]
pub fn vring_fd(request: R, index: u8) -> Message<'static> {
    Message::frontend(request, Payload::VringFd(VringFd(index.into())))
}

/// The same without a descriptor.
#[must_use]
pub fn no_fd(request: R, index: u8) -> Message<'static> {
    Message::frontend(request, Payload::VringFd(VringFd(VringFd::NO_FD | u64::from(index))))
}

/// Region `number`: guest addresses from 0 on, user addresses from [`USER`] on, and a hole after
/// it.
#[must_use]
pub const fn region(number: u64) -> Region {
    let guest_address = number * 2 * REGION;
    Region {
        guest_address,
        size: REGION,
        user_address: USER + guest_address,
        mmap_offset: 0,
        xen: None,
    }
}

/// A request with one region.
#[must_use]
pub const fn mem_reg(request: R, region: Region) -> Message<'static> {
    Message::frontend(request, Payload::MemReg(MemReg { padding: 0, region }))
}

/// The bytes of a `SET_MEM_TABLE`.
#[must_use]
pub fn table(regions: &[Region]) -> Vec<u8> {
    let bytes = RegionBytes::new(regions);
    let count = u32::try_from(regions.len()).unwrap_or(u32::MAX);
    let table = MemTable::new(count, <_>::default(), bytes.as_bytes());
    encode(&Message::frontend(R::SET_MEM_TABLE, Payload::MemTable(table)))
}

/// The addresses of a ring, by its index, in [`region`] 0.
#[must_use]
pub const fn vring_addr(index: u32) -> VringAddr {
    let at = USER + 0x1000 * index as u64;
    VringAddr { index, flags: 0, descriptor: at, used: at + 0x400, available: at + 0x800, log: 0 }
}

/// A `SET_VRING_ADDR` with [`vring_addr`].
#[must_use]
pub const fn address(index: u32) -> Message<'static> {
    Message::frontend(R::SET_VRING_ADDR, Payload::Addr(vring_addr(index)))
}

/// The bytes of a message.
#[must_use]
pub fn encode(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    let written = message.encode(&mut bytes);
    assert_eq!(written, Ok(bytes.len()));
    bytes
}

/// The bytes of a request with any payload; it asks for an acknowledgement.
#[must_use]
pub fn raw(request: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    let size = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    Header { code: request, flags: Flags::NEED_REPLY, size }.write(&mut SliceSink::new(&mut bytes));
    bytes.extend(payload);
    bytes
}

//! What the tests of both layouts have in common.

use vhost_fuzz_core::memory::{AddressKind, RingSize};
use vhost_fuzz_core::ring::{Chain, Element, Features, Limits, Malformed, PopError, Setup, Token};
use vhost_fuzz_core::vhost_user::payload::VringAddr;

use crate::ram::Ram;

/// Where the parts of a ring are, unless a test says something else.
pub(crate) const DESCRIPTORS: u64 = 0x10_0000;
/// The available ring, or the driver's event structure.
pub(crate) const AVAILABLE: u64 = 0x18_0000;
/// The used ring, or the device's event structure.
pub(crate) const USED: u64 = 0x1a_0000;
/// Indirect tables.
pub(crate) const TABLE: u64 = 0x20_0000;
/// Buffers.
pub(crate) const BUFFER: u64 = 0x30_0000;
/// The end of the memory.
pub(crate) const END: u64 = 0x40_0000;
/// An address outside of it.
pub(crate) const NOWHERE: u64 = 0x80_0000;

/// The memory that has all of these in one region.
pub(crate) fn ram() -> Ram {
    Ram::of(&[(DESCRIPTORS, END - DESCRIPTORS)])
}

/// A ring size.
pub(crate) fn size(num: u16) -> RingSize {
    RingSize::check(num.into(), true, RingSize::MAX).expect("a good size")
}

/// What a ring of this size is set up with: at guest addresses, with `INDIRECT_DESC`.
pub(crate) fn setup(num: u16) -> Setup {
    let size = size(num);
    Setup {
        size,
        addresses: VringAddr {
            index: 0,
            flags: 0,
            descriptor: DESCRIPTORS,
            used: USED,
            available: AVAILABLE,
            log: 0,
        },
        ring_kind: AddressKind::Guest,
        buffer_kind: AddressKind::Guest,
        features: Features { indirect: true, version_1: true, ..Features::default() },
        limits: Limits::of(size),
    }
}

/// The fields of a split descriptor, or of an entry of a table: address, length, flags, next.
pub(crate) type Fields = (u64, u32, u16, u16);

/// The bytes of a split descriptor.
pub(crate) fn bytes((address, len, flags, next): Fields) -> [u8; 16] {
    let raw = u128::from(address)
        | u128::from(len) << 64
        | u128::from(flags) << 96
        | u128::from(next) << 112;
    raw.to_le_bytes()
}

/// Writes a table of descriptors.
pub(crate) fn put_table(ram: &Ram, address: u64, table: &[Fields]) {
    for (address, fields) in (address..).step_by(16).zip(table) {
        ram.put(address, &bytes(*fields));
    }
}

/// Addresses and lengths of the readable and of the writable buffers of a chain.
pub(crate) type Buffers = (Vec<(u64, u32)>, Vec<(u64, u32)>);

/// The buffers of a chain; its byte counts are those of the buffers.
pub(crate) fn buffers(chain: &Chain) -> Buffers {
    let list = |elements: &[Element], bytes: u64| {
        assert_eq!(bytes, elements.iter().map(|element| u64::from(element.len)).sum::<u64>());
        elements.iter().map(|element| (element.address, element.len)).collect()
    };
    (list(chain.readable(), chain.readable_bytes()), list(chain.writable(), chain.writable_bytes()))
}

/// Nothing of a malformed chain is seen (spec §1.5).
pub(crate) fn assert_empty(chain: &Chain) {
    assert_eq!(buffers(chain), (vec![], vec![]));
}

/// The token of what was popped, and what is wrong with it, if something is.
pub(crate) fn taken(popped: Result<Option<Token>, PopError>) -> (Token, Option<Malformed>) {
    match popped {
        Ok(Some(token)) => (token, None),
        Err(PopError::Malformed { token, error }) => (token, Some(error)),
        other => panic!("nothing was taken: {other:?}"),
    }
}

/// The token of a chain that is in order.
pub(crate) fn token(popped: Result<Option<Token>, PopError>) -> Token {
    match taken(popped) {
        (token, None) => token,
        (_, Some(error)) => panic!("malformed: {error:?}"),
    }
}

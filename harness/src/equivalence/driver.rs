//! What a legal driver does, whatever the layout of its ring.

use std::fmt;

use super::plan::{Element, Plan};
use crate::ram::Ram;

/// What driver and device agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features {
    /// `EVENT_IDX`.
    pub event_idx: bool,
    /// `INDIRECT_DESC`.
    pub indirect: bool,
    /// `IN_ORDER`.
    pub in_order: bool,
}

/// Guest addresses of the parts of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Descriptor table or descriptor ring.
    pub descriptor: u64,
    /// Available ring or driver event structure.
    pub available: u64,
    /// Used ring or device event structure.
    pub used: u64,
}

/// When the driver wants to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// After every update.
    Always,
    /// Not at all.
    Never,
    /// When as many entries of the used ring, or slots of the packed one, were used after those
    /// that the driver has seen. Without `EVENT_IDX` it cannot say so, and wants every call.
    After(u8),
}

/// A completion that the driver heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaped {
    /// Number of the request.
    pub request: usize,
    /// Bytes written, as the device says.
    pub len: u32,
}

/// What no device may say to a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Nothing is in flight under this head or id.
    Id(u32),
    /// More was used than is in flight, or than the index says.
    Index(u16),
    /// Packed: flags of a used descriptor that do not go with its length, or that it may not have
    /// (PK-025, PK-026).
    Flags(u16),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id:#x} was used, which is not in flight"),
            Self::Flags(flags) => write!(f, "a used descriptor has the flags {flags:#06x}"),
            Self::Index(index) => write!(f, "the used index {index:#x} is not where it can be"),
        }
    }
}

/// The driver's side of a ring, which keeps to the specification.
pub trait Driver {
    /// Whether there is room for a request.
    fn has_room(&self, plan: &Plan) -> bool;

    /// Writes the descriptors of a request, for which there is room. The device cannot see them
    /// yet.
    fn offer(&mut self, ram: &Ram, plan: &Plan, request: usize);

    /// Lets the device see all that was offered, at least one request. `true`: it wants a kick.
    fn publish(&mut self, ram: &Ram) -> bool;

    /// Takes what the device has used.
    ///
    /// # Errors
    /// It says what it may not.
    fn reap(&mut self, ram: &Ram, reaped: &mut Vec<Reaped>) -> Result<(), Wrong>;

    /// Says which calls are wanted, until something else is said. [`Wish::After`] is good for one.
    fn want_calls(&mut self, ram: &Ram, wish: Wish);

    /// Whether nothing is in flight and everything is free.
    fn is_idle(&self) -> bool;
}

/// Adds what one used element says: of the last of `requests` it tells the length, and those
/// before it, which are part of its batch, were not written to (spec §1.9).
pub(super) fn add(requests: impl Iterator<Item = usize>, len: u32, reaped: &mut Vec<Reaped>) {
    reaped.extend(requests.map(|request| Reaped { request, len: 0 }));
    if let Some(last) = reaped.last_mut() {
        last.len = len;
    }
}

/// Address and length of a descriptor, as it is in memory; four bytes are left.
pub(super) fn front(element: &Element) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&element.address.to_le_bytes());
    bytes[8..12].copy_from_slice(&element.len.to_le_bytes());
    bytes
}

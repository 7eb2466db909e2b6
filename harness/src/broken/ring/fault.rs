//! What a mistake can change.

use std::sync::atomic::Ordering;

use vhost_fuzz_core::ring::{
    ActivateError, Broken, Chain, PopError, PutError, Ring, RingMemory, Setup, Token,
};

use crate::ram::RamRegion;

/// One mistake. What it does not define is done right.
pub trait Fault: 'static {
    /// As [`RingMemory::load_descriptor`].
    #[must_use]
    fn load_descriptor(region: &RamRegion, offset: u64) -> Option<u128> {
        region.load_descriptor(offset)
    }

    /// As [`RingMemory::store_u16`].
    #[must_use]
    fn store_u16(region: &RamRegion, offset: u64, value: u16, order: Ordering) -> Option<()> {
        region.store_u16(offset, value, order)
    }

    /// As [`RingMemory::store_u64`].
    #[must_use]
    fn store_u64(region: &RamRegion, offset: u64, value: u64) -> Option<()> {
        region.store_u64(offset, value)
    }

    /// As [`RingMemory::store_u32`].
    #[must_use]
    fn store_u32(region: &RamRegion, offset: u64, value: u32) -> Option<()> {
        region.store_u32(offset, value)
    }

    /// As [`RingMemory::read`].
    #[must_use]
    fn read(region: &RamRegion, offset: u64, bytes: &mut [u8]) -> Option<()> {
        region.read(offset, bytes)
    }

    /// As [`Ring::pop`].
    ///
    /// # Errors
    /// As there.
    fn pop(ring: &mut impl Ring, chain: &mut Chain) -> Result<Option<Token>, PopError> {
        ring.pop(chain)
    }

    /// As [`Ring::unpop`].
    ///
    /// # Errors
    /// As there.
    fn unpop(ring: &mut impl Ring, token: Token) -> Result<(), PutError> {
        ring.unpop(token)
    }

    /// As [`Ring::put`].
    ///
    /// # Errors
    /// As there.
    fn put(ring: &mut impl Ring, token: Token, len: u32) -> Result<(), PutError> {
        ring.put(token, len)
    }

    /// As [`Ring::publish`].
    ///
    /// # Errors
    /// As there.
    fn publish(ring: &mut impl Ring) -> Result<bool, Broken> {
        ring.publish()
    }

    /// As [`Ring::arm`].
    ///
    /// # Errors
    /// As there.
    fn arm(ring: &mut impl Ring) -> Result<bool, Broken> {
        ring.arm()
    }

    /// What is changed in the setup of a ring.
    ///
    /// # Errors
    /// The ring is not started.
    fn setup(setup: &Setup) -> Result<Setup, ActivateError> {
        Ok(*setup)
    }
}

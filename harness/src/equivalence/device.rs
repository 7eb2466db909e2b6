//! The device: the calls that it makes to a ring of the core, each of which can be made wrong.

use std::sync::atomic::AtomicU8;

use vhost_fuzz_core::ring::{
    AccessError, Broken, Chain, Layout, PopError, PutReason, QueueRing, Ring as _, Setup, Token,
};

use crate::ram::RamRegion;

/// A ring of the core during one wake-up.
pub type Bound<'r> = QueueRing<'r, RamRegion, [AtomicU8]>;

/// What a device knows of its ring.
#[derive(Clone, Copy, Debug)]
pub struct Ground {
    /// The layout.
    pub layout: Layout,
    /// The rest.
    pub setup: Setup,
    /// Free-running index (split), or slot and in bit 15 the wrap counter (packed), at which the
    /// ring started.
    pub start: u16,
}

/// A device on a ring of the core. What is written here is right; a broken one overrides it.
pub trait Device {
    /// A device on a ring that starts.
    fn new(ground: &Ground) -> Self;

    /// Takes a chain.
    ///
    /// # Errors
    /// The core's.
    fn pop(&mut self, ring: &mut Bound<'_>, chain: &mut Chain) -> Result<Option<Token>, PopError> {
        ring.pop(chain)
    }

    /// Reads what a chain has for the device, and says how much that was.
    ///
    /// # Errors
    /// The core's.
    fn read(
        &mut self,
        ring: &Bound<'_>,
        chain: &Chain,
        bytes: &mut [u8],
    ) -> Result<usize, AccessError> {
        chain.reader(&ring.guest()).read(bytes)
    }

    /// Writes to a chain, and says how long the driver may take it to be.
    ///
    /// # Errors
    /// The core's.
    fn write(&mut self, ring: &Bound<'_>, chain: &Chain, bytes: &[u8]) -> Result<u32, AccessError> {
        let mut writer = chain.writer(&ring.guest());
        writer.write(bytes)?;
        Ok(writer.written())
    }

    /// Gives one of the buffers back that are in flight, oldest first.
    ///
    /// # Errors
    /// The core's.
    fn put(
        &mut self,
        ring: &mut Bound<'_>,
        tokens: &mut Vec<Token>,
        at: usize,
        len: u32,
    ) -> Result<(), PutReason> {
        ring.put(tokens.remove(at), len).map_err(|error| error.reason)
    }

    /// Makes the oldest buffer part of a batch.
    ///
    /// # Errors
    /// The core's.
    fn skip(&mut self, ring: &mut Bound<'_>, tokens: &mut Vec<Token>) -> Result<(), PutReason> {
        ring.skip(tokens.remove(0)).map_err(|error| error.reason)
    }

    /// Shows the driver what was given back. `true`: it is called.
    ///
    /// # Errors
    /// The core's.
    fn publish(&mut self, ring: &mut Bound<'_>) -> Result<bool, Broken> {
        ring.publish()
    }

    /// Asks for kicks. `true`: there is more to do.
    ///
    /// # Errors
    /// The core's.
    fn arm(&mut self, ring: &mut Bound<'_>) -> Result<bool, Broken> {
        ring.arm()
    }

    /// Asks for no kicks.
    ///
    /// # Errors
    /// The core's.
    fn disarm(&mut self, ring: &mut Bound<'_>) -> Result<(), Broken> {
        ring.disarm()
    }
}

/// The device that keeps to the rules.
#[derive(Clone, Copy, Debug)]
pub struct Core;

impl Device for Core {
    fn new(_: &Ground) -> Self {
        Self
    }
}

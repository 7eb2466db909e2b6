//! Rings with one mistake each, of the kinds that devices have made.

mod device;
mod fault;

pub use device::{BrokenDevice, BrokenRing, Queue};
pub use fault::Fault;

use std::sync::atomic::Ordering;

use vhost_fuzz_core::memory::Part;
use vhost_fuzz_core::ring::{
    ActivateError, Broken, Chain, Layout, Malformed, PopError, PutError, Ring, RingMemory, Setup,
    Shape, Token, flag,
};

use crate::ram::RamRegion;

/// Declares mistakes: what is wrong, a name, and the method that does it wrong.
macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident { $($body:tt)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $name;

            impl Fault for $name { $($body)* }
        )*
    };
}

faults! {
    /// Loads a descriptor twice, and believes the second (bug SP08).
    FetchesTwice {
        fn load_descriptor(region: &RamRegion, offset: u64) -> Option<u128> {
            region.load_descriptor(offset)?;
            region.load_descriptor(offset)
        }
    }

    /// Cuts `next` to eight bits (bug SP06).
    CutsNext {
        fn load_descriptor(region: &RamRegion, offset: u64) -> Option<u128> {
            region.load_descriptor(offset).map(|raw| raw & !(0xff00 << 112))
        }
    }

    /// Takes undefined flags for a sign of a bad descriptor, and leaves its buffer out.
    MindsUndefinedFlags {
        fn load_descriptor(region: &RamRegion, offset: u64) -> Option<u128> {
            let raw = region.load_descriptor(offset)?;
            let is_odd = raw & (0x7f78 << 96) != 0;
            Some(if is_odd { raw & !(0xffff_ffff << 64) } else { raw })
        }
    }

    /// Takes WRITE for granted on the descriptor of a table, as if it had to be clear.
    MindsWriteOnTables {
        fn load_descriptor(region: &RamRegion, offset: u64) -> Option<u128> {
            let raw = region.load_descriptor(offset)?;
            let both = u128::from(flag::WRITE | flag::INDIRECT);
            let is_both = raw & both << 96 == both << 96 || raw & both << 112 == both << 112;
            Some(if is_both { raw & !(0xffff_ffff << 64) } else { raw })
        }
    }

    /// Looks at a descriptor as often as the ring is long (bug SP26).
    LooksTooOften {
        fn load_descriptor(region: &RamRegion, offset: u64) -> Option<u128> {
            for _ in 0..5000 {
                region.load_descriptor(offset)?;
            }
            region.load_descriptor(offset)
        }
    }

    /// Stores the used index without its byte order (bug SP46).
    SwapsBytes {
        fn store_u16(region: &RamRegion, offset: u64, value: u16, order: Ordering) -> Option<()> {
            region.store_u16(offset, value.swap_bytes(), order)
        }
    }

    /// Writes to what is behind an element of the used ring.
    WritesBehind {
        fn store_u64(region: &RamRegion, offset: u64, value: u64) -> Option<()> {
            region.store_u64(offset, value)?;
            region.write(offset.checked_add(8)?, &[0])
        }

        fn store_u32(region: &RamRegion, offset: u64, value: u32) -> Option<()> {
            region.store_u32(offset, value)?;
            region.write(offset.checked_sub(1)?, &[0])
        }
    }

    /// Never gives a buffer back (bugs SP24, SP42).
    KeepsBuffers {
        fn put(_: &mut impl Ring, _: Token, _: u32) -> Result<(), PutError> {
            Ok(())
        }
    }

    /// Uses up a buffer that it only looked at.
    UsesUp {
        fn unpop(ring: &mut impl Ring, token: Token) -> Result<(), PutError> {
            ring.put(token, 0)
        }
    }

    /// Loses a buffer that it only looked at.
    Loses {
        fn unpop(_: &mut impl Ring, _: Token) -> Result<(), PutError> {
            Ok(())
        }
    }

    /// Reports a byte more than was written.
    CountsOneMore {
        fn put(ring: &mut impl Ring, token: Token, len: u32) -> Result<(), PutError> {
            let len = if len < token.writable() { len + 1 } else { len };
            ring.put(token, len)
        }
    }

    /// Never calls the driver (bug SP41).
    NeverCalls {
        fn publish(ring: &mut impl Ring) -> Result<bool, Broken> {
            ring.publish().map(|_| false)
        }
    }

    /// Calls the driver each time.
    AlwaysCalls {
        fn publish(ring: &mut impl Ring) -> Result<bool, Broken> {
            ring.publish().map(|_| true)
        }
    }

    /// Goes to sleep without asking for kicks (bug SP39).
    NeverArms {
        fn arm(_: &mut impl Ring) -> Result<bool, Broken> {
            Ok(false)
        }
    }

    /// Asks for kicks and does not look again (bug SP40).
    ArmsBlindly {
        fn arm(ring: &mut impl Ring) -> Result<bool, Broken> {
            ring.arm().map(|_| false)
        }
    }

    /// Allocates for each chain (bug SP25).
    Allocates {
        fn pop(ring: &mut impl Ring, chain: &mut Chain) -> Result<Option<Token>, PopError> {
            std::hint::black_box(vec![0_u8; 64]);
            ring.pop(chain)
        }
    }

    /// Shows the beginning of a malformed chain as a chain (hazard 8.11).
    ShowsPrefixes {
        fn pop(ring: &mut impl Ring, chain: &mut Chain) -> Result<Option<Token>, PopError> {
            match ring.pop(chain) {
                Err(PopError::Malformed { token, .. }) => Ok(Some(token)),
                other => other,
            }
        }
    }

    /// Refuses chains of more than four buffers.
    MindsLongChains {
        fn pop(ring: &mut impl Ring, chain: &mut Chain) -> Result<Option<Token>, PopError> {
            let token = ring.pop(chain)?;
            let limit = 4;
            match token {
                Some(token) if chain.readable().len() + chain.writable().len() > limit => {
                    chain.clear();
                    let shape = Shape::TooManyElements { limit };
                    let error = Malformed { layout: Layout::Split, shape };
                    Err(PopError::Malformed { token, error })
                }
                token => Ok(token),
            }
        }
    }

    /// Says that nothing is available when the ring is broken.
    HidesTheBreak {
        fn pop(ring: &mut impl Ring, chain: &mut Chain) -> Result<Option<Token>, PopError> {
            match ring.pop(chain) {
                Err(PopError::Broken(_)) => Ok(None),
                other => other,
            }
        }
    }

    /// Works on until nothing is available, however long that takes (bug SP34).
    NeverYields {
        fn pop(ring: &mut impl Ring, chain: &mut Chain) -> Result<Option<Token>, PopError> {
            match ring.pop(chain) {
                Err(PopError::Yield) => Ok(None),
                other => other,
            }
        }
    }

    /// Takes tables that were not negotiated.
    IgnoresIndirectFeature {
        fn setup(setup: &Setup) -> Result<Setup, ActivateError> {
            let mut setup = *setup;
            setup.features.indirect = true;
            Ok(setup)
        }
    }

    /// Takes tables of any length (hazard 8.8).
    IgnoresTableLimit {
        fn setup(setup: &Setup) -> Result<Setup, ActivateError> {
            let mut setup = *setup;
            setup.limits.table = u32::MAX;
            Ok(setup)
        }
    }

    /// Suppresses notifications by index, negotiated or not.
    IgnoresEventFeature {
        fn setup(setup: &Setup) -> Result<Setup, ActivateError> {
            let mut setup = *setup;
            setup.features.event_idx = false;
            Ok(setup)
        }
    }

    /// Gives buffers back in any order (VQ-056).
    IgnoresOrder {
        fn setup(setup: &Setup) -> Result<Setup, ActivateError> {
            let mut setup = *setup;
            setup.features.in_order = false;
            Ok(setup)
        }
    }

    /// Starts without `VERSION_1`.
    TakesLegacy {
        fn setup(setup: &Setup) -> Result<Setup, ActivateError> {
            let mut setup = *setup;
            setup.features.version_1 = true;
            Ok(setup)
        }
    }

    /// Refuses rings that are mapped as well as any.
    MindsMapping {
        fn setup(_: &Setup) -> Result<Setup, ActivateError> {
            Err(ActivateError::HostAlignment { part: Part::Descriptor, align: 16 })
        }
    }

    /// Copies one byte too few out of a buffer, and makes up the rest.
    ReadsShort {
        fn read(region: &RamRegion, offset: u64, bytes: &mut [u8]) -> Option<()> {
            let (last, rest) = bytes.split_last_mut()?;
            *last = 0x5a;
            region.read(offset, rest)
        }
    }
}

//! Devices on a split and a packed ring, with one mistake each.

use std::sync::atomic::Ordering;

use vhost_fuzz_core::memory::Part;
use vhost_fuzz_core::ring::{
    AccessError, Broken, Chain, Layout, PopError, PutReason, Ring as _, RingMemory as _, Token,
};

use crate::equivalence::device::{Bound, Device, Ground};

/// What a broken device knows.
#[derive(Debug)]
pub struct State {
    /// Its ring.
    pub ground: Ground,
    /// Counts what it does wrong now and then.
    pub turn: usize,
}

impl State {
    /// Whether this turn is one of every `count`.
    const fn is_turn(&mut self, count: usize) -> bool {
        self.turn += 1;
        self.turn.is_multiple_of(count)
    }
}

macro_rules! twins {
    ($($(#[$doc:meta])* $name:ident { $($method:item)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(pub State);

        impl Device for $name {
            fn new(ground: &Ground) -> Self {
                Self(State { ground: *ground, turn: 0 })
            }

            $($method)*
        }
    )*};
}

/// Puts the last used element of a split ring behind itself.
fn repeat_element(ground: &Ground, ring: &Bound<'_>) -> Option<()> {
    let size = ground.setup.size.get();
    // The rings are at the front of memory, all in the first region.
    let slot = ring.guest().table.slots().first()?;
    let at = Part::Used.address(&ground.setup.addresses) - slot.region.user_address;
    let index = slot.backing.load_u16(at + 2, Ordering::Relaxed)?;
    let element = |index: u16| at + 4 + 8 * u64::from(index % size);
    let mut bytes = [0; 8];
    slot.backing.read(element(index.wrapping_sub(1)), &mut bytes)?;
    slot.backing.write(element(index), &bytes)?;
    slot.backing.store_u16(at + 2, index.wrapping_add(1), Ordering::Release)
}

twins! {
    /// No mistake.
    Nothing {}

    /// Says of a buffer twice that it was used.
    DeliversTwice {
        fn publish(&mut self, ring: &mut Bound<'_>) -> Result<bool, Broken> {
            let is_called = ring.publish()?;
            if is_called && self.0.ground.layout == Layout::Split {
                repeat_element(&self.0.ground, ring);
            }
            Ok(is_called)
        }
    }

    /// Forgets a buffer now and then.
    LosesACompletion {
        fn put(
            &mut self,
            ring: &mut Bound<'_>,
            tokens: &mut Vec<Token>,
            at: usize,
            len: u32,
        ) -> Result<(), PutReason> {
            let token = tokens.remove(at);
            if self.0.is_turn(3) {
                return Ok(());
            }
            ring.put(token, len).map_err(|error| error.reason)
        }
    }

    /// Gives back another buffer than the one that it has written to.
    SwapsTwoIds {
        fn put(
            &mut self,
            ring: &mut Bound<'_>,
            tokens: &mut Vec<Token>,
            at: usize,
            len: u32,
        ) -> Result<(), PutReason> {
            if at + 1 < tokens.len() && tokens[at + 1].writable() >= len {
                tokens.swap(at, at + 1);
            }
            ring.put(tokens.remove(at), len).map_err(|error| error.reason)
        }
    }

    /// Says that it wrote one byte more than it did, where there is room.
    ReportsOneMore {
        fn put(
            &mut self,
            ring: &mut Bound<'_>,
            tokens: &mut Vec<Token>,
            at: usize,
            len: u32,
        ) -> Result<(), PutReason> {
            let token = tokens.remove(at);
            let len = token.writable().min(len + 1);
            ring.put(token, len).map_err(|error| error.reason)
        }
    }

    /// Writes one byte more than it says, where there is room.
    WritesOneMore {
        fn write(
            &mut self,
            ring: &Bound<'_>,
            chain: &Chain,
            bytes: &[u8],
        ) -> Result<u32, AccessError> {
            let mut writer = chain.writer(&ring.guest());
            writer.write(bytes)?;
            let written = writer.written();
            writer.write(&[0])?;
            Ok(written)
        }
    }

    /// Leaves out the last byte that it says it wrote.
    WritesOneLess {
        fn write(
            &mut self,
            ring: &Bound<'_>,
            chain: &Chain,
            bytes: &[u8],
        ) -> Result<u32, AccessError> {
            let mut writer = chain.writer(&ring.guest());
            let (_, less) = bytes.split_last().unwrap_or((&0, &[]));
            writer.write(less)?;
            Ok(u32::try_from(bytes.len()).unwrap_or(u32::MAX))
        }
    }

    /// Goes to sleep without asking for kicks.
    ForgetsToArm {
        fn arm(&mut self, _: &mut Bound<'_>) -> Result<bool, Broken> {
            Ok(false)
        }
    }

    /// Goes to sleep although there is more to do.
    SleepsOnWork {
        fn arm(&mut self, ring: &mut Bound<'_>) -> Result<bool, Broken> {
            ring.arm().map(|_| false)
        }
    }

    /// Does not call the driver now and then.
    LosesACall {
        fn publish(&mut self, ring: &mut Bound<'_>) -> Result<bool, Broken> {
            let is_called = ring.publish()?;
            Ok(is_called && !self.0.is_turn(2))
        }
    }

    /// Calls the driver after every update.
    CallsAlways {
        fn publish(&mut self, ring: &mut Bound<'_>) -> Result<bool, Broken> {
            ring.publish().map(|_| true)
        }
    }

    /// Does not find what is there now and then.
    FindsNothing {
        fn pop(
            &mut self,
            ring: &mut Bound<'_>,
            chain: &mut Chain,
        ) -> Result<Option<Token>, PopError> {
            if self.0.is_turn(4) { Ok(None) } else { ring.pop(chain) }
        }
    }

    /// Leaves the older buffers out of a batch.
    ForgetsABatch {
        fn skip(&mut self, _: &mut Bound<'_>, tokens: &mut Vec<Token>) -> Result<(), PutReason> {
            drop(tokens.remove(0));
            Ok(())
        }
    }

    /// Gets the last byte of a list wrong that goes over the end of a packed ring.
    StumblesOverTheEnd {
        fn pop(
            &mut self,
            ring: &mut Bound<'_>,
            chain: &mut Chain,
        ) -> Result<Option<Token>, PopError> {
            let taken = ring.pop(chain)?;
            if self.0.ground.layout == Layout::Packed && let Some(token) = &taken {
                let slot = self.0.ground.start % 0x8000 + token.slots();
                let size = self.0.ground.setup.size.get();
                self.0.ground.start = slot % size;
                self.0.turn = usize::from(slot > size);
            }
            Ok(taken)
        }

        fn read(
            &mut self,
            ring: &Bound<'_>,
            chain: &Chain,
            bytes: &mut [u8],
        ) -> Result<usize, AccessError> {
            let len = chain.reader(&ring.guest()).read(bytes)?;
            if self.0.turn > 0 && let Some(last) = bytes[..len].last_mut() {
                *last ^= 1;
            }
            Ok(len)
        }
    }
}

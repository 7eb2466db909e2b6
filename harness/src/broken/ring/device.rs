//! A device with a mistake, over the queues of the core.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU8, Ordering};

use vhost_fuzz_core::memory::{MemoryTable, RingSize};
use vhost_fuzz_core::ring::{
    ActivateError, At, BindError, Broken, Chain, Guest, Layout, PackedQueue, PackedRing, PopError,
    Position, PutError, Ring, RingMemory, Setup, SplitQueue, SplitRing, Token,
};

use super::Fault;
use crate::ram::RamRegion;
use crate::ring::Device;

/// A region whose accesses go wrong.
#[derive(Debug)]
pub struct Access<F>(RamRegion, PhantomData<F>);

impl<F: Fault> RingMemory for Access<F> {
    type Table<'a>
        = At<'a, Self>
    where
        Self: 'a;

    fn table(&self, offset: u64, _: u64) -> Option<At<'_, Self>> {
        Some(At { memory: self, offset })
    }

    fn load_u16(&self, offset: u64, order: Ordering) -> Option<u16> {
        self.0.load_u16(offset, order)
    }

    fn store_u16(&self, offset: u64, value: u16, order: Ordering) -> Option<()> {
        F::store_u16(&self.0, offset, value, order)
    }

    fn load_u32(&self, offset: u64) -> Option<u32> {
        self.0.load_u32(offset)
    }

    fn load_u64(&self, offset: u64, order: Ordering) -> Option<u64> {
        self.0.load_u64(offset, order)
    }

    fn load_descriptor(&self, offset: u64) -> Option<u128> {
        F::load_descriptor(&self.0, offset)
    }

    fn store_u32(&self, offset: u64, value: u32) -> Option<()> {
        F::store_u32(&self.0, offset, value)
    }

    fn store_u64(&self, offset: u64, value: u64) -> Option<()> {
        F::store_u64(&self.0, offset, value)
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Option<()> {
        F::read(&self.0, offset, bytes)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Option<()> {
        self.0.write(offset, bytes)
    }

    fn is_aligned(&self, offset: u64, align: u64) -> bool {
        self.0.is_aligned(offset, align)
    }

    fn fence(&self) {
        self.0.fence();
    }
}

/// A queue of the core over any memory.
pub trait Queue: Sized {
    /// It during one wake-up.
    type Ring<'r, B: RingMemory + 'r>: Ring
    where
        Self: 'r;

    /// Its layout.
    const LAYOUT: Layout;

    /// A stopped queue.
    fn new(max: RingSize) -> Self;

    /// As [`Device::activate`].
    ///
    /// # Errors
    /// See [`ActivateError`].
    fn activate<B: RingMemory>(
        &mut self,
        setup: &Setup,
        position: Position,
        guest: &Guest<'_, B>,
    ) -> Result<(), ActivateError>;

    /// As [`Device::bind`].
    ///
    /// # Errors
    /// See [`BindError`].
    fn bind<'r, B: RingMemory>(
        &'r mut self,
        guest: &Guest<'r, B>,
    ) -> Result<Self::Ring<'r, B>, BindError>;

    /// As [`Device::stop`].
    fn stop(&mut self) -> Option<Position>;
}

/// Implements [`Queue`] by the methods of the same names.
macro_rules! queue {
    ($queue:ident, $ring:ident, $layout:expr) => {
        impl Queue for $queue {
            type Ring<'r, B: RingMemory + 'r> = $ring<'r, B, [AtomicU8]>;

            const LAYOUT: Layout = $layout;

            fn new(max: RingSize) -> Self {
                Self::new(max)
            }

            fn activate<B: RingMemory>(
                &mut self,
                setup: &Setup,
                position: Position,
                guest: &Guest<'_, B>,
            ) -> Result<(), ActivateError> {
                self.activate(setup, position, guest)
            }

            fn bind<'r, B: RingMemory>(
                &'r mut self,
                guest: &Guest<'r, B>,
            ) -> Result<Self::Ring<'r, B>, BindError> {
                self.bind(guest)
            }

            fn stop(&mut self) -> Option<Position> {
                self.stop()
            }
        }
    };
}

queue!(SplitQueue, SplitRing, Layout::Split);
queue!(PackedQueue, PackedRing, Layout::Packed);

/// A device with one mistake.
#[derive(Debug)]
pub struct BrokenDevice<Q, F> {
    queue: Q,
    /// The regions of the last guest, behind accesses that go wrong.
    table: MemoryTable<Access<F>>,
}

impl<Q, F: Fault> BrokenDevice<Q, F> {
    fn map(&mut self, guest: &Guest<'_, RamRegion>) {
        // As many changes as the guest's table has seen, and its regions: a queue that keeps its
        // placement as long as the generation stays goes on as it would with the guest's.
        let slots = guest.table.slots();
        let mut table = MemoryTable::new(slots.len());
        for slot in slots {
            let added = table.add(slot.region, Access(slot.backing.clone(), PhantomData));
            assert!(added.is_ok(), "the regions of a table are apart");
        }
        while table.generation() < guest.table.generation() {
            let Some(region) = slots.last().map(|slot| slot.region) else {
                table.clear();
                continue;
            };
            let removed = table.remove(&region);
            assert!(matches!(removed, Ok(Some(_))), "it was added");
            let backing = slots.last().map(|slot| slot.backing.clone());
            if let Some(backing) = backing {
                let added = table.add(region, Access(backing, PhantomData));
                assert!(added.is_ok(), "it was removed");
            }
        }
        self.table = table;
    }
}

impl<Q: Queue + 'static, F: Fault> Device for BrokenDevice<Q, F> {
    type Ring<'r> = BrokenRing<Q::Ring<'r, Access<F>>, F>;

    const LAYOUT: Layout = Q::LAYOUT;

    fn new(max: RingSize) -> Self {
        Self { queue: Q::new(max), table: MemoryTable::new(1) }
    }

    fn activate(
        &mut self,
        setup: &Setup,
        position: Position,
        guest: &Guest<'_, RamRegion>,
    ) -> Result<(), ActivateError> {
        self.map(guest);
        self.queue.activate(&F::setup(setup)?, position, &Guest::new(&self.table))
    }

    fn bind<'r>(&'r mut self, guest: &Guest<'r, RamRegion>) -> Result<Self::Ring<'r>, BindError> {
        self.map(guest);
        let ring = self.queue.bind(&Guest::new(&self.table))?;
        Ok(BrokenRing { ring, fault: PhantomData })
    }

    fn stop(&mut self) -> Option<Position> {
        self.queue.stop()
    }
}

/// A ring with one mistake, during one wake-up.
#[derive(Debug)]
pub struct BrokenRing<R, F> {
    ring: R,
    fault: PhantomData<F>,
}

impl<R: Ring, F: Fault> Ring for BrokenRing<R, F> {
    fn pop(&mut self, chain: &mut Chain) -> Result<Option<Token>, PopError> {
        F::pop(&mut self.ring, chain)
    }

    fn unpop(&mut self, token: Token) -> Result<(), PutError> {
        F::unpop(&mut self.ring, token)
    }

    fn put(&mut self, token: Token, len: u32) -> Result<(), PutError> {
        F::put(&mut self.ring, token, len)
    }

    fn skip(&mut self, token: Token) -> Result<(), PutError> {
        self.ring.skip(token)
    }

    fn publish(&mut self) -> Result<bool, Broken> {
        F::publish(&mut self.ring)
    }

    fn arm(&mut self) -> Result<bool, Broken> {
        F::arm(&mut self.ring)
    }

    fn disarm(&mut self) -> Result<(), Broken> {
        self.ring.disarm()
    }
}

//! Split rings with one mistake each.

use vhost_fuzz_core::memory::RingParts;
use vhost_fuzz_core::ring::{
    ActivateError, Broken, Chain, Layout, Malformed, PopError, Position, PutError, Ring as _,
    Setup, Shape, SplitQueue, Token,
};
use vm_memory::VolatileMemory as _;

use crate::peer::queue::device::{Device, Guest, Ring};
use crate::peer::queue::walk::Buffer;

type Popped = Result<Option<Token>, PopError>;

macro_rules! twins {
    ($(
        $(#[$doc:meta])*
        $name:ident $({ $($field:ident: $type:ty),* $(,)? })? [ $($method:item)* ]
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name { $($($field: $type),*)? }

        impl Device for $name {
            $($method)*
        }
    )*};
}

/// Takes a chain in spite of what is wrong with it.
fn forgive(popped: Popped, is_forgiven: impl Fn(Shape) -> bool) -> Popped {
    match popped {
        Err(PopError::Malformed { token, error }) if is_forgiven(error.shape) => Ok(Some(token)),
        popped => popped,
    }
}

/// Where a region has an address, and its place there.
fn slice<T>(
    guest: &Guest<'_>,
    address: u64,
    len: usize,
    see: impl FnOnce(&vm_memory::VolatileSlice<'_>) -> T,
) -> Option<T> {
    let slot = guest.table.slots().iter().find(|slot| {
        (slot.region.guest_address..slot.region.guest_address + slot.region.size).contains(&address)
    })?;
    let at = usize::try_from(address - slot.region.guest_address).ok()?;
    slot.backing.0.get_slice(at, len).ok().map(|slice| see(&slice))
}

fn load<const N: usize>(guest: &Guest<'_>, address: u64) -> [u8; N] {
    let mut bytes = [0; N];
    slice(guest, address, N, |slice| slice.copy_to(&mut bytes[..]));
    bytes
}

fn store(guest: &Guest<'_>, address: u64, bytes: &[u8]) {
    slice(guest, address, bytes.len(), |slice| slice.copy_from(bytes));
}

// Taking.
twins! {
    /// Follows `next` modulo the size of the table (VQ-022).
    FollowsAnyNext [
        fn pop(&mut self, ring: &mut Ring<'_>, chain: &mut Chain) -> Popped {
            forgive(ring.pop(chain), |shape| matches!(shape, Shape::NextOutOfRange { .. }))
        }
    ]

    /// Takes a loop for the end of a chain (VQ-014).
    EndsLoops [
        fn pop(&mut self, ring: &mut Ring<'_>, chain: &mut Chain) -> Popped {
            forgive(ring.pop(chain), |shape| matches!(shape, Shape::TooManyDescriptors { .. }))
        }
    ]

    /// Takes a table in a table for the end of a chain (VQ-016).
    EndsAtTables [
        fn pop(&mut self, ring: &mut Ring<'_>, chain: &mut Chain) -> Popped {
            forgive(ring.pop(chain), |shape| matches!(shape, Shape::NestedIndirect { .. }))
        }
    ]

    /// Takes buffers that are nowhere (VQ-026).
    IgnoresHoles [
        fn pop(&mut self, ring: &mut Ring<'_>, chain: &mut Chain) -> Popped {
            forgive(ring.pop(chain), |shape| matches!(shape, Shape::OutsideMemory { .. }))
        }
    ]

    /// Refuses a chain that has no bytes (VQ-029).
    RefusesNothing [
        fn pop(&mut self, ring: &mut Ring<'_>, chain: &mut Chain) -> Popped {
            match ring.pop(chain) {
                Ok(Some(token)) if chain.readable_bytes() + chain.writable_bytes() == 0 => {
                    let shape = Shape::OutsideMemory { address: 0, len: 0 };
                    let error = Malformed { layout: Layout::Split, shape };
                    Err(PopError::Malformed { token, error })
                }
                popped => popped,
            }
        }
    ]

    /// Refuses chains of as many bytes as there may be (VQ-013).
    RefusesAllBytes [
        fn pop(&mut self, ring: &mut Ring<'_>, chain: &mut Chain) -> Popped {
            match ring.pop(chain) {
                Ok(Some(token)) if chain.readable_bytes() + chain.writable_bytes() >= 1 << 32 => {
                    let shape = Shape::TooManyBytes { bytes: 1 << 32 };
                    let error = Malformed { layout: Layout::Split, shape };
                    Err(PopError::Malformed { token, error })
                }
                popped => popped,
            }
        }
    ]

    /// Says that nothing is there when the index is impossible (VQ-032).
    SleepsOnBadIndexes [
        fn pop(&mut self, ring: &mut Ring<'_>, chain: &mut Chain) -> Popped {
            match ring.pop(chain) {
                Err(PopError::Broken(Broken::AvailIndex { .. })) => Ok(None),
                popped => popped,
            }
        }
    ]

    /// Says that nothing is there after the first chain of a wake-up.
    TakesOne { taken: bool } [
        fn pop(&mut self, ring: &mut Ring<'_>, chain: &mut Chain) -> Popped {
            self.taken = !self.taken;
            if self.taken { ring.pop(chain) } else { chain.clear(); Ok(None) }
        }
    ]
}

// What is in a chain.
twins! {
    /// Ends an indirect table before its last entry.
    EndsTablesEarly { descriptor: u64 } [
        fn activate(
            &mut self,
            queue: &mut SplitQueue,
            setup: &Setup,
            position: Position,
            guest: &Guest<'_>,
        ) -> Result<(), ActivateError> {
            self.descriptor = setup.addresses.descriptor;
            queue.activate(setup, position, guest)
        }

        fn buffers(&self, guest: &Guest<'_>, chain: &Chain, head: u16, into: &mut Vec<Buffer>) {
            crate::peer::queue::device::Core.buffers(guest, chain, head, into);
            let [flags] = load(guest, self.descriptor + 16 * u64::from(head) + 12);
            if flags & 4 != 0 {
                into.pop();
            }
        }
    ]

    /// Swaps what may be read and what may be written to.
    SwapsDirections [
        fn buffers(&self, guest: &Guest<'_>, chain: &Chain, head: u16, into: &mut Vec<Buffer>) {
            crate::peer::queue::device::Core.buffers(guest, chain, head, into);
            into.iter_mut().for_each(|buffer| buffer.is_writable = !buffer.is_writable);
        }
    ]

    /// Reads as if the first buffer went on.
    ReadsOneBuffer [
        fn read(&self, guest: &Guest<'_>, chain: &Chain, bytes: &mut [u8]) -> Option<(u64, usize)> {
            let available = chain.readable_bytes();
            let len = bytes.len().min(usize::try_from(available).unwrap_or(usize::MAX));
            if let Some(first) = chain.readable().first() {
                slice(guest, first.address, len, |slice| slice.copy_to(&mut bytes[..len]));
            }
            Some((available, len))
        }
    ]

    /// Says that there is a byte more to read.
    CountsOneMore [
        fn read(&self, guest: &Guest<'_>, chain: &Chain, bytes: &mut [u8]) -> Option<(u64, usize)> {
            let (available, len) = crate::peer::queue::device::Core.read(guest, chain, bytes)?;
            Some((available + 1, len))
        }
    ]

    /// Leaves out the last byte that it was to write.
    WritesOneLess [
        fn write(&self, guest: &Guest<'_>, chain: &Chain, bytes: &[u8]) -> Option<(u64, u32)> {
            let (_, rest) = bytes.split_last()?;
            let full = chain.writable_bytes().min(bytes.len() as u64);
            crate::peer::queue::device::Core.write(guest, chain, rest)?;
            Some((chain.writable_bytes(), u32::try_from(full).ok()?))
        }
    ]
}

// Giving back.
twins! {
    /// Reports a byte less than it wrote.
    ReportsOneLess [
        fn put(&mut self, ring: &mut Ring<'_>, token: Token, len: u32) -> Result<(), PutError> {
            ring.put(token, len.saturating_sub(1))
        }
    ]

    /// Takes any length (VQ-039).
    ReportsAnything [
        fn put(&mut self, ring: &mut Ring<'_>, token: Token, len: u32) -> Result<(), PutError> {
            let len = len.min(token.writable());
            ring.put(token, len)
        }
    ]

    /// Loses a buffer that it could not use (VQ-040).
    LosesDropped [
        fn put(&mut self, ring: &mut Ring<'_>, token: Token, len: u32) -> Result<(), PutError> {
            if token.writable() == 0 { Ok(()) } else { ring.put(token, len) }
        }
    ]
}

// Notifications.
twins! {
    /// Compares `used_event` without going over 65,535 (VQ-045).
    ComparesWithoutWrap { event: u64, old: Option<u16>, used: u64 } [
        fn activate(
            &mut self,
            queue: &mut SplitQueue,
            setup: &Setup,
            position: Position,
            guest: &Guest<'_>,
        ) -> Result<(), ActivateError> {
            let parts = RingParts::new(setup.size, false, false);
            let event = setup.addresses.available
                + parts.size(vhost_fuzz_core::memory::Part::Available);
            self.event = if setup.features.event_idx { event } else { 0 };
            (self.old, self.used) = (None, setup.addresses.used);
            queue.activate(setup, position, guest)
        }

        fn publish(&mut self, ring: &mut Ring<'_>) -> Result<bool, Broken> {
            let wanted = ring.publish()?;
            let guest = ring.guest();
            let new = u16::from_le_bytes(load(&guest, self.used + 2));
            let event = u16::from_le_bytes(load(&guest, self.event));
            match self.old.replace(new) {
                Some(old) if self.event > 0 => Ok(old <= event && event < new),
                _ => Ok(wanted),
            }
        }
    ]

    /// Does not look at the driver's flag (VQ-044).
    IgnoresTheFlag { event_idx: bool } [
        fn activate(
            &mut self,
            queue: &mut SplitQueue,
            setup: &Setup,
            position: Position,
            guest: &Guest<'_>,
        ) -> Result<(), ActivateError> {
            self.event_idx = setup.features.event_idx;
            queue.activate(setup, position, guest)
        }

        fn publish(&mut self, ring: &mut Ring<'_>) -> Result<bool, Broken> {
            Ok(ring.publish()? || !self.event_idx)
        }
    ]

    /// Takes the position at the start for that of a decision (VQ-050).
    TrustsTheStart { is_first: bool, event: u64, used: u64, old: u16 } [
        fn activate(
            &mut self,
            queue: &mut SplitQueue,
            setup: &Setup,
            position: Position,
            guest: &Guest<'_>,
        ) -> Result<(), ActivateError> {
            let parts = RingParts::new(setup.size, false, false);
            let event = setup.addresses.available
                + parts.size(vhost_fuzz_core::memory::Part::Available);
            self.event = if setup.features.event_idx { event } else { 0 };
            self.used = setup.addresses.used;
            self.is_first = true;
            queue.activate(setup, position, guest)?;
            self.old = u16::from_le_bytes(load(guest, self.used + 2));
            Ok(())
        }

        fn publish(&mut self, ring: &mut Ring<'_>) -> Result<bool, Broken> {
            let wanted = ring.publish()?;
            let guest = ring.guest();
            let new = u16::from_le_bytes(load(&guest, self.used + 2));
            let event = u16::from_le_bytes(load(&guest, self.event));
            let is_first = std::mem::replace(&mut self.is_first, false);
            Ok(if is_first && self.event > 0 {
                vhost_fuzz_core::ring::need_event(event, new, self.old)
            } else {
                wanted
            })
        }
    ]

    /// Does not store `avail_event` (VQ-048).
    ForgetsAvailEvent { event: u64 } [
        fn activate(
            &mut self,
            queue: &mut SplitQueue,
            setup: &Setup,
            position: Position,
            guest: &Guest<'_>,
        ) -> Result<(), ActivateError> {
            let parts = RingParts::new(setup.size, false, false);
            let event = setup.addresses.used + parts.size(vhost_fuzz_core::memory::Part::Used);
            self.event = if setup.features.event_idx { event } else { 0 };
            queue.activate(setup, position, guest)
        }

        fn arm(&mut self, ring: &mut Ring<'_>) -> Result<bool, Broken> {
            let before: [u8; 2] = load(&ring.guest(), self.event);
            let is_more = ring.arm();
            if self.event > 0 {
                store(&ring.guest(), self.event, &before);
            }
            is_more
        }
    ]

    /// Goes to sleep although there is more (VQ-048).
    LosesWakeUps [
        fn arm(&mut self, ring: &mut Ring<'_>) -> Result<bool, Broken> {
            ring.arm().map(|_| false)
        }
    ]

    /// Does not ask the driver to be quiet (VQ-041).
    NeverDisarms [
        fn disarm(&mut self, _: &mut Ring<'_>) -> Result<(), Broken> {
            Ok(())
        }
    ]

    /// Keeps the flags that it finds in the used ring (VQ-042).
    KeepsFlags [
        fn activate(
            &mut self,
            queue: &mut SplitQueue,
            setup: &Setup,
            position: Position,
            guest: &Guest<'_>,
        ) -> Result<(), ActivateError> {
            let flags: [u8; 2] = load(guest, setup.addresses.used);
            queue.activate(setup, position, guest)?;
            store(guest, setup.addresses.used, &flags);
            Ok(())
        }
    ]

    /// Begins at 0, whatever it is told (VU-084).
    BeginsAtZero [
        fn activate(
            &mut self,
            queue: &mut SplitQueue,
            setup: &Setup,
            _: Position,
            guest: &Guest<'_>,
        ) -> Result<(), ActivateError> {
            queue.activate(setup, Position::Split { available: 0 }, guest)
        }
    ]

    /// Writes where nobody asked it to.
    WritesElsewhere [
        fn put(&mut self, ring: &mut Ring<'_>, token: Token, len: u32) -> Result<(), PutError> {
            store(&ring.guest(), 0x9ff0, &[1]);
            ring.put(token, len)
        }
    ]
}

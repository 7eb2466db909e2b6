//! Memory whose every load may return any value that the memory model allows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::sync::atomic::{AtomicU16, fence};
use vhost_fuzz_core::ring::{At, RingMemory};

/// Memory made of cells of 2 bytes, each an atomic of loom.
///
/// A field of 2 bytes is a cell, and has the ordering that was asked for. What is wider is made of
/// cells, which loom sees one after the other:
///
/// * Half a packed descriptor: the cell of the flags has the ordering and is loaded first, then
///   the length and the id, relaxed. With acquire they are at least as new as the flags, as in one
///   load of 8 bytes; without they may be older, which real memory does not do to 8 bytes that are
///   loaded at once. So this memory demands the acquire also where one load would not need it.
/// * An event suppression structure: flags first, with acquire. One load of 4 bytes does not see
///   new flags and an old position when the position was stored before.
/// * Everything else that is wide is relaxed, in order of addresses.
///
/// loom tries a load before and after a store of another thread, unless that thread loaded the
/// cell itself in between: it remembers only the last access. So each access to a field takes a
/// turn first, by a relaxed exchange of a cell beside it. Exchanges are tried in every order, and
/// synchronize nothing that the barriers do not.
#[derive(Debug)]
pub(crate) struct Cells(Box<[Cell]>);

#[derive(Debug)]
struct Cell {
    value: AtomicU16,
    turn: AtomicU16,
}

impl Cells {
    /// This many zero bytes.
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self((0..bytes.div_ceil(2)).map(|_| Cell::new()).collect()))
    }

    fn cell(&self, offset: u64) -> Option<&Cell> {
        if !offset.is_multiple_of(2) {
            return None;
        }
        self.0.get(usize::try_from(offset / 2).ok()?)
    }

    /// Loads cells that are no fields, relaxed.
    pub(crate) fn load<const CELLS: usize>(&self, offset: u64) -> Option<[u16; CELLS]> {
        let mut values = [0; CELLS];
        for (value, at) in values.iter_mut().zip((offset..).step_by(2)) {
            *value = self.cell(at)?.value.load(Ordering::Relaxed);
        }
        Some(values)
    }

    /// Stores cells that are no fields, relaxed.
    pub(crate) fn store(&self, offset: u64, values: &[u16]) -> Option<()> {
        for (value, at) in values.iter().zip((offset..).step_by(2)) {
            self.cell(at)?.value.store(*value, Ordering::Relaxed);
        }
        Some(())
    }

    /// Stores a number of 8 bytes, relaxed.
    pub(crate) fn store_wide(&self, offset: u64, value: u64) -> Option<()> {
        let halves = [0, 16, 32, 48].map(|bits| u16_at(value, bits));
        self.store(offset, &halves)
    }
}

impl Cell {
    fn new() -> Self {
        Self { value: AtomicU16::new(0), turn: AtomicU16::new(0) }
    }

    /// The value, as a field.
    fn field(&self) -> &AtomicU16 {
        self.turn.swap(0, Ordering::Relaxed);
        &self.value
    }
}

/// The 16 bits from `bit` on.
fn u16_at(value: u64, bit: u32) -> u16 {
    u16::try_from(value >> bit & 0xffff).expect("16 bits")
}

/// Cells put together, the first one lowest.
fn join(cells: &[u16]) -> u128 {
    cells.iter().rev().fold(0, |all, cell| all << 16 | u128::from(*cell))
}

impl RingMemory for Cells {
    type Table<'a> = At<'a, Self>;

    fn table(&self, offset: u64, _: u64) -> Option<At<'_, Self>> {
        Some(At { memory: self, offset })
    }

    fn load_u16(&self, offset: u64, order: Ordering) -> Option<u16> {
        self.cell(offset).map(|cell| cell.field().load(order))
    }

    fn store_u16(&self, offset: u64, value: u16, order: Ordering) -> Option<()> {
        self.cell(offset).map(|cell| cell.field().store(value, order))
    }

    fn load_u32(&self, offset: u64) -> Option<u32> {
        let flags = self.load_u16(offset + 2, Ordering::Acquire)?;
        let [position] = self.load(offset)?;
        Some(u32::from(position) | u32::from(flags) << 16)
    }

    fn load_u64(&self, offset: u64, order: Ordering) -> Option<u64> {
        let last = self.load_u16(offset + 6, order)?;
        let [a, b, c] = self.load(offset)?;
        u64::try_from(join(&[a, b, c, last])).ok()
    }

    fn load_descriptor(&self, offset: u64) -> Option<u128> {
        self.load::<8>(offset).map(|cells| join(&cells))
    }

    fn store_u32(&self, offset: u64, value: u32) -> Option<()> {
        self.store(offset, &[0, 16].map(|bit| u16_at(value.into(), bit)))
    }

    fn store_u64(&self, offset: u64, value: u64) -> Option<()> {
        self.store_wide(offset, value)
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Option<()> {
        let (pairs, []) = bytes.as_chunks_mut() else { return None };
        for (pair, at) in pairs.iter_mut().zip((offset..).step_by(2)) {
            let [cell] = self.load(at)?;
            *pair = cell.to_le_bytes();
        }
        Some(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Option<()> {
        let (pairs, []) = bytes.as_chunks() else { return None };
        for (pair, at) in pairs.iter().zip((offset..).step_by(2)) {
            self.store(at, &[u16::from_le_bytes(*pair)])?;
        }
        Some(())
    }

    fn is_aligned(&self, offset: u64, align: u64) -> bool {
        offset.is_multiple_of(align)
    }

    fn fence(&self) {
        fence(Ordering::SeqCst);
    }
}

/// What is taken out of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: it has to pass.
    None,
    /// Its acquire loads are relaxed.
    NoAcquire,
    /// Its release stores are relaxed.
    NoRelease,
    /// Its full barriers do nothing.
    NoFence,
    /// After arming it goes to sleep, whatever came in between.
    NoRecheck,
    /// It does not call when the ring says that the driver wants it.
    NoCall,
    /// It goes to sleep without arming.
    NoArm,
    /// The driver goes to sleep without looking once more: what the calls are worth.
    NoDriverRecheck,
}

/// Memory as the device uses it, with a fault.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) cells: Arc<Cells>,
    pub(crate) fault: Fault,
}

impl Faulty {
    fn load_order(&self, order: Ordering) -> Ordering {
        if self.fault == Fault::NoAcquire { Ordering::Relaxed } else { order }
    }
}

impl RingMemory for Faulty {
    type Table<'a> = At<'a, Self>;

    fn table(&self, offset: u64, _: u64) -> Option<At<'_, Self>> {
        Some(At { memory: self, offset })
    }

    fn load_u16(&self, offset: u64, order: Ordering) -> Option<u16> {
        self.cells.load_u16(offset, self.load_order(order))
    }

    fn store_u16(&self, offset: u64, value: u16, order: Ordering) -> Option<()> {
        let order = if self.fault == Fault::NoRelease { Ordering::Relaxed } else { order };
        self.cells.store_u16(offset, value, order)
    }

    fn load_u32(&self, offset: u64) -> Option<u32> {
        self.cells.load_u32(offset)
    }

    fn load_u64(&self, offset: u64, order: Ordering) -> Option<u64> {
        self.cells.load_u64(offset, self.load_order(order))
    }

    fn load_descriptor(&self, offset: u64) -> Option<u128> {
        self.cells.load_descriptor(offset)
    }

    fn store_u32(&self, offset: u64, value: u32) -> Option<()> {
        RingMemory::store_u32(&*self.cells, offset, value)
    }

    fn store_u64(&self, offset: u64, value: u64) -> Option<()> {
        self.cells.store_u64(offset, value)
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Option<()> {
        self.cells.read(offset, bytes)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Option<()> {
        self.cells.write(offset, bytes)
    }

    fn is_aligned(&self, offset: u64, align: u64) -> bool {
        self.cells.is_aligned(offset, align)
    }

    fn fence(&self) {
        if self.fault != Fault::NoFence {
            self.cells.fence();
        }
    }
}

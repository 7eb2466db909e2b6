//! Guest memory that remembers every access of the device.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, Ordering};

use vhost_fuzz_core::memory::{DirtyLog, Iotlb, MemoryTable, Space};
use vhost_fuzz_core::ring::{At, Guest, Log, RingMemory};
use vhost_fuzz_core::vhost_user::payload::{Iotlb as IotlbMessage, LogBase, Region};

/// What the user address of a region is above its guest address.
pub(crate) const USER: u64 = 0x7000_0000_0000;

/// One access of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    /// It loaded bytes at a guest address.
    Load(u64, u64, Option<Ordering>),
    /// It stored bytes at a guest address.
    Store(u64, u64, Option<Ordering>),
    /// A full barrier.
    Fence,
}

impl Touch {
    /// Guest address and length, unless it is a barrier.
    pub(crate) fn range(self) -> Option<(u64, u64)> {
        match self {
            Self::Load(at, len, _) | Self::Store(at, len, _) => Some((at, len)),
            Self::Fence => None,
        }
    }
}

/// All accesses, in order.
#[derive(Debug, Default)]
struct Trace {
    touches: RefCell<Vec<Touch>>,
    /// Bytes that were loaded, when a second load is to give something else.
    loaded: RefCell<Option<BTreeSet<u64>>>,
}

/// What backs a region. It may be shorter than the region.
#[derive(Debug)]
pub(crate) struct Bank {
    start: u64,
    /// Where the processor sees the first byte, as far as alignment goes.
    skew: u64,
    bytes: RefCell<Vec<u8>>,
    trace: Rc<Trace>,
}

impl Bank {
    fn range(&self, offset: u64, len: usize) -> Option<Range<usize>> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(len)?;
        (end <= self.bytes.borrow().len()).then_some(start..end)
    }

    fn load(&self, offset: u64, bytes: &mut [u8], order: Option<Ordering>) -> Option<()> {
        let range = self.range(offset, bytes.len())?;
        let at = self.start + offset;
        self.trace.touches.borrow_mut().push(Touch::Load(at, bytes.len() as u64, order));
        bytes.copy_from_slice(&self.bytes.borrow()[range]);
        if let Some(loaded) = &mut *self.trace.loaded.borrow_mut() {
            for (address, byte) in (at..).zip(bytes) {
                if !loaded.insert(address) {
                    *byte = !*byte;
                }
            }
        }
        Some(())
    }

    fn store(&self, offset: u64, bytes: &[u8], order: Option<Ordering>) -> Option<()> {
        let range = self.range(offset, bytes.len())?;
        let (at, len) = (self.start + offset, bytes.len() as u64);
        self.trace.touches.borrow_mut().push(Touch::Store(at, len, order));
        self.bytes.borrow_mut()[range].copy_from_slice(bytes);
        Some(())
    }

    /// An access that is done at once.
    fn at_once<const N: usize>(&self, offset: u64, order: Option<Ordering>) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.is_aligned(offset, N as u64).then_some(())?;
        self.load(offset, &mut bytes, order)?;
        Some(bytes)
    }
}

impl RingMemory for Bank {
    type Table<'a> = At<'a, Self>;

    fn table(&self, offset: u64, _: u64) -> Option<At<'_, Self>> {
        Some(At { memory: self, offset })
    }

    fn load_u16(&self, offset: u64, order: Ordering) -> Option<u16> {
        self.at_once(offset, Some(order)).map(u16::from_le_bytes)
    }

    fn store_u16(&self, offset: u64, value: u16, order: Ordering) -> Option<()> {
        self.is_aligned(offset, 2).then_some(())?;
        self.store(offset, &value.to_le_bytes(), Some(order))
    }

    fn load_u32(&self, offset: u64) -> Option<u32> {
        self.at_once(offset, Some(Ordering::Relaxed)).map(u32::from_le_bytes)
    }

    fn load_u64(&self, offset: u64, order: Ordering) -> Option<u64> {
        self.at_once(offset, Some(order)).map(u64::from_le_bytes)
    }

    fn load_descriptor(&self, offset: u64) -> Option<u128> {
        let mut bytes = [0; 16];
        self.load(offset, &mut bytes, None)?;
        Some(u128::from_le_bytes(bytes))
    }

    fn store_u32(&self, offset: u64, value: u32) -> Option<()> {
        self.is_aligned(offset, 4).then_some(())?;
        self.store(offset, &value.to_le_bytes(), None)
    }

    fn store_u64(&self, offset: u64, value: u64) -> Option<()> {
        self.store(offset, &value.to_le_bytes(), None)
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Option<()> {
        self.load(offset, bytes, None)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Option<()> {
        self.store(offset, bytes, None)
    }

    fn is_aligned(&self, offset: u64, align: u64) -> bool {
        (self.skew + offset).is_multiple_of(align)
    }

    fn fence(&self) {
        self.trace.touches.borrow_mut().push(Touch::Fence);
    }
}

/// A region of `size` bytes at a guest address.
pub(crate) fn region(guest_address: u64, size: u64) -> Region {
    // Below 2^44 that is the sum.
    let user_address = USER ^ guest_address;
    Region { guest_address, size, user_address, mmap_offset: 0, xen: None }
}

/// Guest memory. The driver writes to it directly; the device through a [`Guest`].
#[derive(Debug)]
pub(crate) struct Ram {
    pub(crate) table: MemoryTable<Bank>,
    pub(crate) iotlb: Option<Iotlb>,
    log: Option<(DirtyLog, Box<[AtomicU8]>)>,
    trace: Rc<Trace>,
}

impl Ram {
    /// The regions, each with its guest address and size.
    pub(crate) fn of(regions: &[(u64, u64)]) -> Self {
        let mut ram =
            Self { table: MemoryTable::new(16), iotlb: None, log: None, trace: Rc::default() };
        for (start, size) in regions {
            ram.add(*start, *size, usize::try_from(*size).expect("a small region"), 0);
        }
        ram
    }

    /// Adds a region that is backed by `len` bytes, which the processor sees `skew` bytes after a
    /// page starts.
    pub(crate) fn add(&mut self, start: u64, size: u64, len: usize, skew: u64) {
        let (bytes, trace) = (RefCell::new(vec![0; len]), Rc::clone(&self.trace));
        let bank = Bank { start, skew, bytes, trace };
        self.table.add(region(start, size), bank).expect("a good region");
    }

    /// Takes a region out.
    pub(crate) fn remove(&mut self, start: u64, size: u64) -> Bank {
        let removed = self.table.remove(&region(start, size)).expect("a good region");
        removed.expect("a region that is there").backing
    }

    /// What the device sees.
    pub(crate) fn guest(&self) -> Guest<'_, Bank> {
        let log = self.log.as_ref().map(|(log, bits)| Log { log: *log, memory: &bits[..] });
        Guest { table: &self.table, iotlb: self.iotlb.as_ref(), log }
    }

    /// Adds a translation to guest addresses, and an IOMMU when there is none yet.
    pub(crate) fn translate(&mut self, iova: u64, size: u64, guest: u64, permissions: u8) {
        let message = IotlbMessage {
            iova,
            size,
            user_address: guest,
            permissions,
            kind: IotlbMessage::UPDATE,
            padding: [0; 6],
        };
        let iotlb = self.iotlb.get_or_insert_with(|| Iotlb::new(16));
        iotlb.update(&message, Space::Guest, &self.table).expect("a good update");
    }

    /// Switches the dirty log on: a bit for each page below `end`.
    pub(crate) fn log(&mut self, end: u64) {
        let size = DirtyLog::bytes_for(end);
        let log = DirtyLog::check(&LogBase { size, offset: 0 }).expect("a good log");
        self.log = Some((log, (0..size).map(|_| AtomicU8::new(0)).collect()));
    }

    /// The guest addresses of the pages that were marked since the last call.
    pub(crate) fn marked(&self) -> Vec<u64> {
        let (_, bits) = self.log.as_ref().expect("a log");
        let bytes = bits.iter().map(|byte| byte.swap(0, Ordering::Relaxed));
        let pages = (0_u64..).zip(bytes).flat_map(|(at, byte)| {
            (0..8).filter(move |bit| byte & 1 << bit != 0).map(move |bit| (at * 8 + bit) * 0x1000)
        });
        pages.collect()
    }

    fn bank(&self, address: u64) -> (&Bank, usize) {
        let holds = |bank: &&Bank| {
            address.checked_sub(bank.start).is_some_and(|at| at < bank.bytes.borrow().len() as u64)
        };
        let bank = self.table.slots().iter().map(|slot| &slot.backing).find(holds);
        let bank = bank.unwrap_or_else(|| panic!("{address:#x} is nowhere"));
        (bank, usize::try_from(address - bank.start).expect("small"))
    }

    /// The driver writes bytes, wherever the borders of regions are.
    pub(crate) fn put(&self, address: u64, bytes: &[u8]) {
        for (address, byte) in (address..).zip(bytes) {
            let (bank, at) = self.bank(address);
            bank.bytes.borrow_mut()[at] = *byte;
        }
    }

    /// The driver reads bytes.
    pub(crate) fn get<const N: usize>(&self, address: u64) -> [u8; N] {
        std::array::from_fn(|at| {
            let (bank, at) = self.bank(address + at as u64);
            bank.bytes.borrow()[at]
        })
    }

    /// The driver reads 2 bytes.
    pub(crate) fn u16(&self, address: u64) -> u16 {
        u16::from_le_bytes(self.get(address))
    }

    /// The driver writes 2 bytes.
    pub(crate) fn put_u16(&self, address: u64, value: u16) {
        self.put(address, &value.to_le_bytes());
    }

    /// The accesses of the device since the last call.
    pub(crate) fn touches(&self) -> Vec<Touch> {
        self.trace.touches.take()
    }

    /// As [`touches`](Self::touches), and the next call tells them again.
    pub(crate) fn peek(&self) -> Vec<Touch> {
        self.trace.touches.borrow().clone()
    }

    /// Whether the device touched a byte of a range since the last call of
    /// [`touches`](Self::touches); forgets all accesses.
    pub(crate) fn is_touched(&self, range: Range<u64>) -> bool {
        let touched = self.touches().into_iter().filter_map(Touch::range);
        touched.into_iter().any(|(at, len)| at < range.end && range.start < at + len)
    }

    /// Makes room for accesses, so that remembering them allocates nothing.
    pub(crate) fn reserve(&self, touches: usize) {
        self.trace.touches.borrow_mut().reserve(touches);
    }

    /// From now on, a byte that is loaded a second time is another one. `false` ends it.
    pub(crate) fn set_fickle(&self, is_fickle: bool) {
        *self.trace.loaded.borrow_mut() = is_fickle.then(BTreeSet::new);
    }
}

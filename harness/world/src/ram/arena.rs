//! Memory of one thread that watches the device.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use vhost_fuzz_core::memory::MemoryTable;

use super::flip::Flips;
use super::layout::{Area, Layout, pieces};
use super::spans::Spans;
use super::{GuestRam, RamRegion};

/// Bytes that are cleared together.
const BLOCK: usize = 256;

/// What the device did since [`Ram::begin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Loads and copies out of memory.
    pub reads: u64,
    /// Bytes of them.
    pub read_bytes: u64,
    /// Stores and copies into memory.
    pub writes: u64,
    /// Bytes of them.
    pub written_bytes: u64,
}

/// Memory of one thread: the regions of a [`Layout`] in one arena, with red zones in between.
///
/// It is made once and kept: [`clear`](Self::clear) costs what was written since the last time.
///
/// The device reaches it through [`table`](Self::table) or [`region`](Self::region), and is
/// watched. A device that leaves a region, or does what the guards forbid, is found by a panic.
/// The driver reaches it as a [`GuestRam`], unwatched.
pub struct Ram {
    layout: Layout,
    arena: Rc<Arena>,
    table: MemoryTable<RamRegion>,
}

impl Ram {
    /// Memory full of zeros.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        let arena = Rc::new(Arena::new(layout));
        let mut table = MemoryTable::new(layout.areas().len());
        for (index, region) in layout.regions().into_iter().enumerate() {
            let added = table.add(region, RamRegion::new(&arena, index));
            assert!(added.is_ok(), "the regions of a layout are apart");
        }
        Self { layout, arena, table }
    }

    /// Which regions there are.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The regions in the order of the layout, for a device. A table of other regions is built
    /// from [`region`](Self::region).
    #[must_use]
    pub const fn table(&self) -> &MemoryTable<RamRegion> {
        &self.table
    }

    /// What backs a region.
    ///
    /// # Panics
    /// There is no such region.
    #[must_use]
    pub fn region(&self, index: usize) -> RamRegion {
        RamRegion::new(&self.arena, index)
    }

    /// All as it was in the beginning: memory is zero, nothing is guarded, flipped, steady or
    /// counted.
    pub fn clear(&self) {
        self.arena.clear();
        self.unguard();
        self.flip(false);
        if let Some((device, model)) = self.arena.flips.get() {
            device.keep(std::iter::empty());
            model.keep(std::iter::empty());
        }
        self.begin();
    }

    /// An operation begins: counts are zero, and no byte was read.
    pub fn begin(&self) {
        self.arena.counts.set(Counts::default());
        self.arena.model_read_bytes.set(0);
        if self.arena.is_flipping.get() {
            self.arena.flips().0.begin();
            self.arena.flips().1.begin();
        }
    }

    /// What the device did since [`begin`](Self::begin).
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.arena.counts.get()
    }

    /// Bytes that the model read since [`begin`](Self::begin).
    #[must_use]
    pub fn model_read_bytes(&self) -> u64 {
        self.arena.model_read_bytes.get()
    }

    /// Whether a byte that is read again in an operation has another value than it has in memory.
    /// The value depends on how often it was read and on where it is, on nothing else.
    pub fn flip(&self, is_on: bool) {
        if is_on {
            self.arena.flips().0.begin();
            self.arena.flips().1.begin();
        }
        self.arena.is_flipping.set(is_on);
        self.arena.update_watch();
    }

    /// From now on these guest addresses, first address and length of each range, do not flip: a
    /// device has good reason to read them again, and believes what it finds.
    pub fn keep_steady(&self, ranges: impl Iterator<Item = (u64, u64)> + Clone) {
        let (device, model) = self.arena.flips();
        device.keep(ranges.clone().flat_map(|range| self.arena.spans(range)));
        model.keep(ranges.flat_map(|range| self.arena.spans(range)));
    }

    /// From now on the device may write to these guest addresses only: first address and length
    /// of each range. What of them is not memory does not matter.
    pub fn guard_writes(&self, ranges: impl IntoIterator<Item = (u64, u64)>) {
        let spans = ranges.into_iter().flat_map(|range| self.arena.spans(range));
        self.arena.writable.borrow_mut().fill(spans);
        self.arena.is_guarded.set(true);
    }

    /// From now on the device may not read these guest addresses, unless they are in `except` too:
    /// hostile buffers overlap what they like.
    pub fn guard_reads(
        &self,
        ranges: impl IntoIterator<Item = (u64, u64)>,
        except: impl IntoIterator<Item = (u64, u64)>,
    ) {
        let mut unreadable = self.arena.unreadable.borrow_mut();
        unreadable.fill(ranges.into_iter().flat_map(|range| self.arena.spans(range)));
        for span in except.into_iter().flat_map(|range| self.arena.spans(range)) {
            unreadable.remove(span);
        }
        drop(unreadable);
        self.arena.has_unreadable.set(true);
        self.arena.update_watch();
    }

    /// The device may read and write everywhere.
    pub fn unguard(&self) {
        self.arena.is_guarded.set(false);
        self.arena.has_unreadable.set(false);
        self.arena.unreadable.borrow_mut().clear();
        self.arena.writable.borrow_mut().clear();
        self.arena.update_watch();
    }

    /// The memory that a model reads: unguarded, with flips and bytes that are counted
    /// apart.
    #[must_use]
    pub fn model_view(&self) -> ModelView {
        ModelView { arena: Rc::clone(&self.arena) }
    }
}

impl fmt::Debug for Ram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ram").field("layout", &self.layout).finish_non_exhaustive()
    }
}

impl GuestRam for Ram {
    fn areas(&self) -> &'static [Area] {
        self.layout.areas()
    }

    fn put(&self, address: u64, mut bytes: &[u8]) {
        for (start, end) in self.arena.spans((address, bytes.len() as u64)) {
            let (now, later) = bytes.split_at(end - start);
            self.arena.store(start, now);
            bytes = later;
        }
        assert!(bytes.is_empty(), "the driver wrote to no memory, {} bytes short", bytes.len());
    }

    fn get(&self, address: u64, mut bytes: &mut [u8]) {
        for (start, end) in self.arena.spans((address, bytes.len() as u64)) {
            let (now, later) = bytes.split_at_mut(end - start);
            self.arena.copy(start, now);
            bytes = later;
        }
        assert!(bytes.is_empty(), "the driver read no memory, {} bytes short", bytes.len());
    }

    fn store_u16(&self, address: u64, value: u16, _: Ordering) {
        self.put(address, &value.to_le_bytes());
    }

    fn load_u16(&self, address: u64, _: Ordering) -> u16 {
        u16::from_le_bytes(self.bytes(address))
    }

    fn load_u32(&self, address: u64) -> u32 {
        u32::from_le_bytes(self.bytes(address))
    }

    fn fence(&self) {}
}

/// Guest memory as a model reads it; see [`Ram::model_view`]. What it reads is counted apart.
#[derive(Clone)]
pub struct ModelView {
    arena: Rc<Arena>,
}

/// Regions have the numbers that they have in the layout. A model that leaves one panics.
impl vhost_fuzz_model::ring::Memory for ModelView {
    fn read(&self, region: usize, offset: u64, out: &mut [u8]) {
        let place = self.arena.place(region, offset, out.len());
        self.arena.copy(place, out);
        let bytes = &self.arena.model_read_bytes;
        bytes.set(bytes.get() + out.len() as u64);
        if self.arena.is_flipping.get() {
            self.arena.flips().1.change(place, out);
        }
    }
}

impl fmt::Debug for ModelView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModelView")
    }
}

/// All regions, one after the other.
pub(super) struct Arena {
    pub(super) areas: &'static [Area],
    /// Where each region begins.
    pub(super) places: Vec<usize>,
    cells: Box<[Cell<u8>]>,
    /// A bit for each [`BLOCK`] that was written to since it was cleared.
    touched: Box<[Cell<u64>]>,
    counts: Cell<Counts>,
    model_read_bytes: Cell<u64>,
    /// Device reads do more than read: they are forbidden in places, or flipped.
    is_watched: Cell<bool>,
    is_flipping: Cell<bool>,
    has_unreadable: Cell<bool>,
    is_guarded: Cell<bool>,
    /// How often the device and the model have read each byte.
    flips: OnceCell<(Flips, Flips)>,
    writable: RefCell<Spans>,
    unreadable: RefCell<Spans>,
}

impl Arena {
    fn new(layout: Layout) -> Self {
        let (places, end) = layout.places();
        let index = |place| usize::try_from(place).expect("arenas are small");
        let end = index(end);
        Self {
            areas: layout.areas(),
            places: places.into_iter().map(index).collect(),
            cells: vec![0; end].into_iter().map(Cell::new).collect(),
            touched: vec![0; end.div_ceil(64 * BLOCK)].into_iter().map(Cell::new).collect(),
            counts: Cell::default(),
            model_read_bytes: Cell::default(),
            is_watched: Cell::default(),
            is_flipping: Cell::default(),
            has_unreadable: Cell::default(),
            is_guarded: Cell::default(),
            flips: OnceCell::new(),
            writable: RefCell::default(),
            unreadable: RefCell::default(),
        }
    }

    fn flips(&self) -> &(Flips, Flips) {
        self.flips.get_or_init(|| (Flips::new(self.cells.len()), Flips::new(self.cells.len())))
    }

    fn update_watch(&self) {
        self.is_watched.set(self.is_flipping.get() || self.has_unreadable.get());
    }

    /// Where the bytes of a region are.
    fn place(&self, index: usize, offset: u64, len: usize) -> usize {
        let size = self.areas[index].size;
        assert!(
            offset <= size && len as u64 <= size - offset,
            "red zone: a model read {len} bytes at {offset:#x} of region {index}"
        );
        self.places[index] + usize::try_from(offset).expect("arenas are small")
    }

    /// Where the bytes of a range of guest addresses are.
    fn spans(&self, (address, len): (u64, u64)) -> impl Iterator<Item = (usize, usize)> {
        pieces(self.areas, address, len).map(|piece| {
            let len = usize::try_from(piece.len).expect("arenas are small");
            let start = self.place(piece.index, piece.offset, len);
            (start, start + len)
        })
    }

    /// The guest address of a place that is in a region.
    fn address(&self, place: usize) -> u64 {
        let index = self.places.partition_point(|start| *start <= place).saturating_sub(1);
        self.areas[index].start.wrapping_add((place - self.places[index]) as u64)
    }

    /// `N` bytes, for the device.
    #[inline]
    pub(super) fn device_load<const N: usize>(&self, place: usize) -> [u8; N] {
        self.count_read(N);
        let cells = self.cells[place..].first_chunk::<N>().expect("a place in a region");
        let mut bytes = cells.each_ref().map(Cell::get);
        if self.is_watched.get() {
            self.watch(place, &mut bytes);
        }
        bytes
    }

    /// Copies bytes out, for the device.
    #[inline]
    pub(super) fn device_copy(&self, place: usize, bytes: &mut [u8]) {
        self.count_read(bytes.len());
        self.copy(place, bytes);
        if self.is_watched.get() {
            self.watch(place, bytes);
        }
    }

    /// Stores bytes, for the device.
    #[inline]
    pub(super) fn device_store(&self, place: usize, bytes: &[u8]) {
        let mut counts = self.counts.get();
        counts.writes += 1;
        counts.written_bytes += bytes.len() as u64;
        self.counts.set(counts);
        if self.is_guarded.get() {
            self.check_write(place, bytes.len());
        }
        self.store(place, bytes);
    }

    #[inline]
    fn count_read(&self, bytes: usize) {
        let mut counts = self.counts.get();
        counts.reads += 1;
        counts.read_bytes += bytes as u64;
        self.counts.set(counts);
    }

    /// The device read these bytes.
    #[cold]
    fn watch(&self, place: usize, bytes: &mut [u8]) {
        let len = bytes.len();
        if self.has_unreadable.get() && self.unreadable.borrow().meets((place, place + len)) {
            let address = self.address(place);
            panic!("guard: read {len} bytes at {address:#x}, to be written only: VQ-008, PK-007");
        }
        if self.is_flipping.get() {
            self.flips().0.change(place, bytes);
        }
    }

    #[cold]
    fn check_write(&self, place: usize, len: usize) {
        if len > 0 && !self.writable.borrow().has((place, place + len)) {
            let address = self.address(place);
            panic!(
                "guard: wrote to {address:#x}, {len} bytes, which is not the device's: \
                 VQ-007, VQ-009, PK-006"
            );
        }
    }

    #[inline]
    fn copy(&self, place: usize, bytes: &mut [u8]) {
        let cells = &self.cells[place..place + bytes.len()];
        for (byte, cell) in bytes.iter_mut().zip(cells) {
            *byte = cell.get();
        }
    }

    #[inline]
    fn store(&self, place: usize, bytes: &[u8]) {
        let cells = &self.cells[place..place + bytes.len()];
        for (cell, byte) in cells.iter().zip(bytes) {
            cell.set(*byte);
        }
        self.touch(place, bytes.len());
    }

    #[inline]
    fn touch(&self, place: usize, len: usize) {
        let Some(more) = len.checked_sub(1) else { return };
        for block in place / BLOCK..=(place + more) / BLOCK {
            let word = &self.touched[block / 64];
            word.set(word.get() | 1 << (block % 64));
        }
    }

    fn clear(&self) {
        for (index, word) in self.touched.iter().enumerate() {
            let mut bits = word.replace(0);
            while bits != 0 {
                let start = (index * 64 + bits.trailing_zeros() as usize) * BLOCK;
                let end = self.cells.len().min(start + BLOCK);
                self.cells[start..end].iter().for_each(|cell| cell.set(0));
                bits &= bits - 1;
            }
        }
    }
}

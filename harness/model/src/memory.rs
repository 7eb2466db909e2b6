//! Memory of a back-end: regions, IOTLB, dirty log and rings (spec §6.4, §6.5, §6.8, §6.12).
//!
//! A [`Machine`] gets the same messages and questions as the code under test. It keeps plain
//! lists, goes through all of them for every answer, and counts in 128 bits, where nothing wraps.

mod ring;

use crate::Id;
use crate::vhost_user::{Context, message, number};

/// 2^64: the end of every address space.
const TOP: u128 = 1 << 64;

/// Bytes of a page of the log, and of the pages that are mapped.
const PAGE: u128 = 4096;

/// The rings that a machine has.
pub const RINGS: usize = 4;

/// Most descriptors that a ring of the machine has.
pub const RING_MAX: u64 = 16384;

/// Bytes of the largest log that is mapped.
pub const LOG_LIMIT: u64 = 512;

/// A region as the message says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Guest physical address.
    pub guest: u64,
    /// Bytes.
    pub size: u64,
    /// User address.
    pub user: u64,
    /// Offset in the file.
    pub offset: u64,
    /// It is mapped piecewise on use (VU-127).
    pub on_demand: bool,
}

/// Bytes next to each other in one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Place of the region in the list.
    pub slot: usize,
    /// Offset in the region.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

/// A refused question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rule that it breaks.
    pub id: Id,
    /// The first address that is nowhere; 0 when the rule is not about one.
    pub at: u64,
}

/// What the addresses of a question are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// User addresses.
    User,
    /// Guest physical addresses.
    Guest,
    /// I/O virtual addresses, for these permissions.
    Iova(u8),
}

/// One translation of the IOTLB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// I/O virtual address.
    pub iova: u64,
    /// Bytes.
    pub size: u64,
    /// Address in memory.
    pub address: u64,
    /// That address is a guest physical one (VU-265).
    pub is_guest: bool,
    /// Bit 0 read, bit 1 write.
    pub permissions: u8,
}

/// What was said about a ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    /// Number of descriptors, when it was set.
    pub num: Option<u64>,
    /// Descriptor, used, available and log address and the flags, when they were set.
    pub addresses: Option<[u64; 5]>,
}

/// The memory of one session.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Negotiated virtio features.
    pub features: u64,
    /// Negotiated protocol features.
    pub protocol_features: u64,
    /// Most regions.
    pub slots: usize,
    /// Most translations.
    pub capacity: usize,
    /// Active regions, in the order of addition.
    pub regions: Vec<Region>,
    /// Translations, in the order of addition.
    pub entries: Vec<Entry>,
    /// Bytes of the log, when there is one.
    pub log: Option<u64>,
    /// The log, when it is not larger than [`LOG_LIMIT`].
    pub bitmap: Vec<u8>,
    /// The rings.
    pub rings: [Ring; RINGS],
}

// Request ids (spec §3).
const SET_MEM_TABLE: u64 = 5;
const SET_LOG_BASE: u64 = 6;
const SET_VRING_NUM: u64 = 8;
const SET_VRING_ADDR: u64 = 9;
const IOTLB_MSG: u64 = 22;
const ADD_MEM_REG: u64 = 37;
const REM_MEM_REG: u64 = 38;

/// Whether a request is about memory.
#[must_use]
pub fn is_about_memory(code: u64) -> bool {
    [
        SET_MEM_TABLE,
        SET_LOG_BASE,
        SET_VRING_NUM,
        SET_VRING_ADDR,
        IOTLB_MSG,
        ADD_MEM_REG,
        REM_MEM_REG,
    ]
    .contains(&code)
}

/// A range of addresses that lies next to each other in one region.
#[derive(Clone, Copy)]
struct Span {
    from: u128,
    to: u128,
    slot: usize,
    /// Offset in the region of `from`.
    offset: u128,
}

impl Machine {
    /// A session without memory.
    #[must_use]
    pub fn new(features: u64, protocol_features: u64, slots: usize, capacity: usize) -> Self {
        Self {
            features,
            protocol_features,
            slots,
            capacity,
            regions: Vec::new(),
            entries: Vec::new(),
            log: None,
            bitmap: Vec::new(),
            rings: [Ring::default(); RINGS],
        }
    }

    fn has(&self, bit: u32) -> bool {
        self.features >> bit & 1 == 1
    }

    fn has_protocol(&self, bit: u32) -> bool {
        self.protocol_features >> bit & 1 == 1
    }

    /// What is known about messages beforehand.
    #[must_use]
    pub fn context(&self) -> Context {
        Context {
            xen_mmap: self.has_protocol(17),
            log_shmfd: self.has_protocol(1),
            ..Context::default()
        }
    }

    /// What the addresses of rings are (spec §2 P-ADDR).
    #[must_use]
    pub fn ring_space(&self, permissions: u8) -> Space {
        match (self.has(33), self.has_protocol(21)) {
            (true, _) => Space::Iova(permissions),
            (false, true) => Space::Guest,
            (false, false) => Space::User,
        }
    }

    /// What the addresses in descriptors are (VU-145, VU-146).
    #[must_use]
    pub fn buffer_space(&self, permissions: u8) -> Space {
        if self.has(33) { Space::Iova(permissions) } else { Space::Guest }
    }

    /// Takes a request of the front-end. `files` are the sizes of the descriptors that came with
    /// it, where they are known.
    ///
    /// # Errors
    /// The rule that it breaks; then it changes nothing.
    pub fn message(&mut self, bytes: &[u8], files: &[Option<u64>]) -> Result<(), Id> {
        if bytes.len() < 4 || !is_about_memory(number(bytes, 0, 4)) {
            return Ok(());
        }
        if let crate::Verdict::Reject(id) = message::judge(self.context(), bytes, files.len()) {
            return Err(id);
        }
        let body = &bytes[12..];
        match number(bytes, 0, 4) {
            SET_MEM_TABLE => self.set_table(body, files),
            ADD_MEM_REG => self.add(body, files),
            REM_MEM_REG => self.remove(body),
            SET_LOG_BASE => self.set_log(body),
            SET_VRING_NUM => self.set_num(body),
            SET_VRING_ADDR => self.set_addresses(body),
            _ => self.iotlb(body),
        }
    }

    fn region(&self, bytes: &[u8], at: usize) -> Region {
        let xen_flags = if self.has_protocol(17) { number(bytes, at + 32, 4) } else { 0 };
        Region {
            guest: number(bytes, at, 8),
            size: number(bytes, at + 8, 8),
            user: number(bytes, at + 16, 8),
            offset: number(bytes, at + 24, 8),
            on_demand: xen_flags / 256 % 2 == 1,
        }
    }

    fn set_table(&mut self, body: &[u8], files: &[Option<u64>]) -> Result<(), Id> {
        let width = if self.has_protocol(17) { 40 } else { 32 };
        let count = usize::try_from(number(body, 0, 4)).unwrap_or(usize::MAX);
        let new: Vec<Region> =
            (0..count).map(|index| self.region(body, 8 + index * width)).collect();
        if new.len() > self.slots {
            return Err(Id::Dc(22));
        }
        for (index, region) in new.iter().enumerate() {
            judge_region(region)?;
            apart(region, &new[..index])?;
        }
        for (region, file) in new.iter().zip(files) {
            mappable(region, *file)?;
        }
        self.regions = new;
        Ok(())
    }

    fn add(&mut self, body: &[u8], files: &[Option<u64>]) -> Result<(), Id> {
        let region = self.region(body, 8);
        for active in &mut self.regions {
            if is_same(active, &region) {
                // DC-161: the new one takes the place of the old one.
                judge_region(&region)?;
                mappable(&region, files[0])?;
                *active = region;
                return Ok(());
            }
        }
        if self.regions.len() + 1 > self.slots {
            return Err(Id::Dc(22));
        }
        judge_region(&region)?;
        apart(&region, &self.regions)?;
        mappable(&region, files[0])?;
        self.regions.push(region);
        Ok(())
    }

    fn remove(&mut self, body: &[u8]) -> Result<(), Id> {
        // The offset does not count (VU-139).
        let gone = Region { offset: 0, ..self.region(body, 8) };
        for (index, region) in self.regions.iter().enumerate() {
            if is_same(region, &gone) {
                self.regions.remove(index);
                return Ok(());
            }
        }
        // DC-162: nothing of it is there.
        if judge_region(&gone).is_ok() && apart(&gone, &self.regions).is_ok() {
            return Ok(());
        }
        Err(Id::Vu(143))
    }

    fn set_log(&mut self, body: &[u8]) -> Result<(), Id> {
        if !self.has_protocol(1) {
            // No descriptor came, so there is no log (DV-75).
            self.log = None;
            self.bitmap = Vec::new();
            return Ok(());
        }
        let (size, offset) = (number(body, 0, 8), number(body, 8, 8));
        if size == 0 || u128::from(offset) + u128::from(size) >= TOP {
            return Err(Id::Vu(157));
        }
        if u128::from(offset) % PAGE != 0 {
            return Err(Id::Dc(25));
        }
        self.log = Some(size);
        self.bitmap = Vec::new();
        if size <= LOG_LIMIT {
            (0..size).for_each(|_| self.bitmap.push(0));
        }
        Ok(())
    }

    fn iotlb(&mut self, body: &[u8]) -> Result<(), Id> {
        let (iova, size, address) = (number(body, 0, 8), number(body, 8, 8), number(body, 16, 8));
        let (permissions, kind) = (body[24], body[25]);
        if kind != 2 && kind != 3 || kind == 2 && permissions > 3 {
            return Err(Id::Vu(215));
        }
        let end = u128::from(iova) + u128::from(size);
        if size == 0 || end >= TOP {
            return Err(Id::Dc(24));
        }
        let is_guest = self.has_protocol(21);
        if kind == 2 {
            let space = if is_guest { Space::Guest } else { Space::User };
            if self.pieces(space, address, size).is_err() {
                return Err(Id::Vu(210));
            }
        }
        self.entries.retain(|entry| {
            let start = u128::from(entry.iova);
            end <= start || start + u128::from(entry.size) <= u128::from(iova)
        });
        if kind == 2 {
            self.entries.push(Entry { iova, size, address, is_guest, permissions });
            if self.entries.len() > self.capacity {
                self.entries.remove(0);
            }
        }
        Ok(())
    }

    /// Where every byte of a range is.
    ///
    /// # Errors
    /// The first address that is nowhere; a range without bytes has one, too.
    pub fn pieces(&self, space: Space, address: u64, len: u64) -> Result<Vec<Piece>, Refusal> {
        let id = match space {
            Space::User => Id::Vu(144),
            Space::Guest => Id::Vu(145),
            Space::Iova(_) => Id::Vu(146),
        };
        sweep(self.spans(space), address, len).map_err(|at| Refusal { id, at })
    }

    fn spans(&self, space: Space) -> Vec<Span> {
        let mut spans = Vec::new();
        for (slot, region) in self.regions.iter().enumerate() {
            let size = u128::from(region.size);
            let start_of = |guest: bool| u128::from(if guest { region.guest } else { region.user });
            let wanted = match space {
                Space::User | Space::Guest => {
                    let from = start_of(space == Space::Guest);
                    spans.push(Span { from, to: from + size, slot, offset: 0 });
                    continue;
                }
                Space::Iova(wanted) => wanted,
            };
            for entry in self.entries.iter().filter(|entry| entry.permissions & wanted == wanted) {
                // What the entry and the region have in common, in the addresses of memory.
                let start = start_of(entry.is_guest);
                let address = u128::from(entry.address);
                let from = start.max(address);
                let to = (start + size).min(address + u128::from(entry.size));
                if from < to {
                    let iova = u128::from(entry.iova) + (from - address);
                    spans.push(Span {
                        from: iova,
                        to: iova + (to - from),
                        slot,
                        offset: from - start,
                    });
                }
            }
        }
        spans
    }
}

/// VU-138.
fn is_same(one: &Region, other: &Region) -> bool {
    (one.guest, one.size, one.user) == (other.guest, other.size, other.user)
}

/// VU-123; an end of 2^64 counts as a wrap (DC-020).
fn judge_region(region: &Region) -> Result<(), Id> {
    let Region { guest, size, user, offset, .. } = *region;
    let is_long = |start: u64| u128::from(start) + u128::from(size) >= TOP;
    if size == 0 || is_long(guest) || is_long(user) || is_long(offset) {
        return Err(Id::Vu(123));
    }
    Ok(())
}

/// VU-124.
fn apart(region: &Region, others: &[Region]) -> Result<(), Id> {
    for other in others {
        for (start, other_start) in [(region.guest, other.guest), (region.user, other.user)] {
            let (start, other_start) = (u128::from(start), u128::from(other_start));
            let ends_before = start + u128::from(region.size) <= other_start;
            let starts_after = other_start + u128::from(other.size) <= start;
            if !ends_before && !starts_after {
                return Err(Id::Vu(124));
            }
        }
    }
    Ok(())
}

/// DC-026: the pages have file offsets below 2^63, and the file has all bytes.
fn mappable(region: &Region, file: Option<u64>) -> Result<(), Id> {
    if region.on_demand {
        return Ok(());
    }
    let end = u128::from(region.offset) + u128::from(region.size);
    let (_, pages_end) = pages(region, PAGE);
    if pages_end >= TOP / 2 || file.is_some_and(|size| end > u128::from(size)) {
        return Err(Id::Dc(26));
    }
    Ok(())
}

/// The file offsets at which the pages of a region start and end (VU-259).
#[must_use]
pub fn pages(region: &Region, page_size: u128) -> (u128, u128) {
    let end = u128::from(region.offset) + u128::from(region.size);
    (u128::from(region.offset) / page_size * page_size, end.div_ceil(page_size) * page_size)
}

/// Goes over spans that do not overlap in the order of their addresses.
fn sweep(mut spans: Vec<Span>, address: u64, len: u64) -> Result<Vec<Piece>, u64> {
    let (start, end) = (u128::from(address), u128::from(address) + u128::from(len));
    if len == 0 {
        let is_inside = spans.iter().any(|span| span.from <= start && start < span.to);
        return if is_inside { Ok(Vec::new()) } else { Err(address) };
    }
    spans.sort_by_key(|span| span.from);
    let mut pieces = Vec::new();
    let mut reached = start;
    for span in spans {
        let (from, to) = (span.from.max(start), span.to.min(end));
        if from < to && from == reached {
            let narrow = |wide: u128| u64::try_from(wide).expect("a length inside a region");
            pieces.push(Piece {
                slot: span.slot,
                offset: narrow(span.offset + (from - span.from)),
                len: narrow(to - from),
            });
            reached = to;
        }
    }
    if reached < end {
        return Err(u64::try_from(reached).unwrap_or(u64::MAX));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        let mut machine = Machine::new(0, 0, 4, 2);
        for (guest, user) in [(0x1000, 0x9000), (0x2000, 0x20000)] {
            let region = Region { guest, size: 0x1000, user, offset: 0, on_demand: false };
            machine.regions.push(region);
        }
        machine
    }

    #[test]
    fn a_sweep_finds_pieces_and_holes() {
        let machine = machine();
        assert_eq!(
            machine.pieces(Space::Guest, 0x1ffe, 4),
            Ok(vec![
                Piece { slot: 0, offset: 0xffe, len: 2 },
                Piece { slot: 1, offset: 0, len: 2 },
            ])
        );
        let hole = |id, at| Err(Refusal { id, at });
        assert_eq!(machine.pieces(Space::User, 0x9ffe, 4), hole(Id::Vu(144), 0xa000));
        assert_eq!(machine.pieces(Space::Guest, 0xfff, 4), hole(Id::Vu(145), 0xfff));
        assert_eq!(machine.pieces(Space::Guest, 0x3000, 0), hole(Id::Vu(145), 0x3000));
        assert_eq!(machine.pieces(Space::Guest, 0x2fff, 0), Ok(vec![]));
        assert_eq!(machine.pieces(Space::Guest, u64::MAX, u64::MAX), hole(Id::Vu(145), u64::MAX));
    }

    #[test]
    fn translations_go_through_entries_with_the_permissions() {
        let mut machine = machine();
        let entry =
            Entry { iova: 0, size: 0x1800, address: 0x1000, is_guest: true, permissions: 1 };
        machine.entries.push(entry);
        assert_eq!(
            machine.pieces(Space::Iova(1), 0xfff, 2),
            Ok(vec![
                Piece { slot: 0, offset: 0xfff, len: 1 },
                Piece { slot: 1, offset: 0, len: 1 },
            ])
        );
        let miss = |at| Err(Refusal { id: Id::Vu(146), at });
        assert_eq!(machine.pieces(Space::Iova(1), 0x17ff, 2), miss(0x1800));
        assert_eq!(machine.pieces(Space::Iova(2), 0, 1), miss(0));
    }
}

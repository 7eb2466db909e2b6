//! What is in memory: rings and chains, read in the simplest form, from the specification alone.
//! It is what the list of divergences goes by, and shares no code with the core.

use super::image::{Image, ODD};

/// Most entries of a ring.
pub const MAX_SIZE: u16 = 1024;

/// Most entries of an indirect table (VQ-021): the default for rings of at most [`MAX_SIZE`].
pub const MAX_TABLE: u32 = 1024;

/// Bits of [`Start::features`].
pub mod feature {
    /// `EVENT_IDX`.
    pub const EVENT_IDX: u8 = 1;
    /// `INDIRECT_DESC`.
    pub const INDIRECT: u8 = 2;
    /// `IN_ORDER`.
    pub const IN_ORDER: u8 = 4;
    /// `VERSION_1` was *not* negotiated.
    pub const LEGACY: u8 = 8;
}

/// What a ring is started with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Entries, as the front-end says.
    pub size: u16,
    /// Bits of [`feature`].
    pub features: u8,
    /// Guest address of the descriptor table.
    pub descriptor: u64,
    /// Guest address of the available ring.
    pub available: u64,
    /// Guest address of the used ring.
    pub used: u64,
    /// Next available index.
    pub base: u16,
}

impl Start {
    /// Whether a feature was negotiated.
    #[must_use]
    #[inline]
    pub fn has(&self, feature: u8) -> bool {
        self.features & feature != 0
    }

    /// Address of an entry of the available ring, by its free-running index.
    #[must_use]
    #[inline]
    pub fn entry(&self, index: u16) -> u64 {
        self.available.wrapping_add(4 + 2 * u64::from(index % self.size.max(1)))
    }

    /// Address of `used_event`.
    #[must_use]
    #[inline]
    pub fn used_event(&self) -> u64 {
        self.available.wrapping_add(4 + 2 * u64::from(self.size))
    }

    /// Address of an element of the used ring, by its free-running index.
    #[must_use]
    #[inline]
    pub fn element(&self, index: u16) -> u64 {
        self.used.wrapping_add(4 + 8 * u64::from(index % self.size.max(1)))
    }

    /// Address of `avail_event`.
    #[must_use]
    #[inline]
    pub fn avail_event(&self) -> u64 {
        self.used.wrapping_add(4 + 8 * u64::from(self.size))
    }

    /// Address and bytes of each part, `event` bytes at the end of two of them included.
    fn parts(&self, event: u64) -> [(u64, u64); 3] {
        let size = u64::from(self.size);
        [
            (self.descriptor, 16 * size),
            (self.available, 4 + 2 * size + event),
            (self.used, 4 + 8 * size + event),
        ]
    }

    /// The number of the requirement that a ring breaks which nobody runs: on size and alignment
    /// (VQ-001 to VQ-004), and that every byte which is accessed is in memory (VQ-005).
    #[must_use]
    pub fn broken(&self, image: &Image) -> Option<u16> {
        let event = if self.has(feature::EVENT_IDX) { 2 } else { 0 };
        let rules = [
            (4, self.size.is_power_of_two() && self.size <= MAX_SIZE),
            (1, self.descriptor.is_multiple_of(16)),
            (2, self.available.is_multiple_of(2)),
            (3, self.used.is_multiple_of(4)),
            (5, self.parts(event).iter().all(|&(address, len)| image.has(address, len))),
        ];
        rules.into_iter().find_map(|(rule, is_kept)| (!is_kept).then_some(rule))
    }

    /// Every byte is, those of the event fields included (VQ-006).
    #[must_use]
    pub fn is_mapped_with_events(&self, image: &Image) -> bool {
        self.parts(2).iter().all(|&(address, len)| image.has(address, len))
    }

    /// A part that is accessed field by field is where no field is aligned for the processor, or
    /// is cut within a field (VQ-049).
    #[must_use]
    pub fn is_misaligned(&self) -> bool {
        let event = if self.has(feature::EVENT_IDX) { 2 } else { 0 };
        let [_, fields @ ..] = self.parts(event);
        let (start, len) = ODD;
        fields
            .iter()
            .any(|&(address, size)| address < start + len && address.saturating_add(size) > start)
    }

    /// More would be in flight than the ring has room for (VQ-033).
    #[must_use]
    pub fn is_overfull(&self, image: &Image) -> bool {
        self.base.wrapping_sub(image.u16(self.used.wrapping_add(2))) > self.size
    }
}

/// A descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Guest address.
    pub address: u64,
    /// Bytes.
    pub len: u32,
    /// The device may write to it.
    pub is_writable: bool,
}

/// What is wrong with a chain: the first thing that is (spec §1.4, §1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// `next` leads out of its table (VQ-022).
    Next,
    /// A loop, or more descriptors than the table has (VQ-014).
    Loop,
    /// More than 2^32 bytes (VQ-013).
    Bytes,
    /// A readable buffer after a writable one (VQ-012).
    Order,
    /// A table, and `INDIRECT_DESC` was not negotiated (VQ-015).
    NotNegotiated,
    /// INDIRECT with NEXT (VQ-017).
    WithNext,
    /// A table in a table (VQ-016).
    Nested,
    /// A table of 0 bytes, or of no multiple of 16 (VQ-020).
    TableLen,
    /// A table of more entries than are taken (VQ-021).
    TableSize,
    /// `addr + len` overflows (VQ-025).
    Overflow,
    /// A buffer that is not in memory (VQ-026).
    Outside,
    /// A table that is not in memory (VQ-026).
    TableOutside,
}

/// A chain as it is in memory.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    /// The buffers before the first thing that is wrong, empty ones included.
    pub buffers: Vec<Buffer>,
    /// Bytes of these.
    pub bytes: u64,
    /// What is wrong.
    pub wrong: Option<Wrong>,
}

/// A descriptor with its flags and its next field.
struct Raw {
    buffer: Buffer,
    flags: u16,
    next: u16,
}

fn raw(image: &Image, address: u64) -> Raw {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = image.u128(address).to_le_bytes();
    let flags = u16::from_le_bytes([m, n]);
    let buffer = Buffer {
        address: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        len: u32::from_le_bytes([i, j, k, l]),
        is_writable: flags & 2 != 0,
    };
    Raw { buffer, flags, next: u16::from_le_bytes([o, p]) }
}

impl Walk {
    /// Forgets the last walk.
    pub fn clear(&mut self) {
        self.buffers.clear();
        self.bytes = 0;
        self.wrong = None;
    }

    /// How many of the buffers the peer gives at most before something is wrong for it: its sum
    /// stays below 2^32 (spec §9.1).
    #[must_use]
    pub fn below_the_limit(&self) -> usize {
        let mut sum = 0_u64;
        let is_below = |buffer: &&Buffer| {
            sum += u64::from(buffer.len);
            sum < 1 << 32
        };
        self.buffers.iter().take_while(is_below).count()
    }

    /// Bytes that the device may write, as far as a used length can tell.
    #[must_use]
    pub fn writable(&self) -> u32 {
        let writable = self.buffers.iter().filter(|buffer| buffer.is_writable);
        let sum = writable.map(|buffer| u64::from(buffer.len)).sum::<u64>();
        u32::try_from(sum).unwrap_or(u32::MAX)
    }

    /// Walks the chain of a head.
    pub fn chain(&mut self, image: &Image, start: &Start, head: u16) {
        self.clear();
        let end = self.direct(image, start, head);
        self.wrong = end.err();
        if self.wrong.is_none() && self.bytes > 1 << 32 {
            self.wrong = Some(Wrong::Bytes);
        }
    }

    fn direct(&mut self, image: &Image, start: &Start, head: u16) -> Result<(), Wrong> {
        let mut index = head;
        for _ in 0..start.size {
            let at = start.descriptor.wrapping_add(16 * u64::from(index));
            let Raw { buffer, flags, next } = raw(image, at);
            if flags & 4 != 0 {
                return self.table(image, start, buffer, flags);
            }
            self.add(image, buffer)?;
            if flags & 1 == 0 {
                return Ok(());
            }
            if next >= start.size {
                return Err(Wrong::Next);
            }
            index = next;
        }
        Err(Wrong::Loop)
    }

    fn table(
        &mut self,
        image: &Image,
        start: &Start,
        table: Buffer,
        flags: u16,
    ) -> Result<(), Wrong> {
        if !start.has(feature::INDIRECT) {
            return Err(Wrong::NotNegotiated);
        }
        if flags & 1 != 0 {
            return Err(Wrong::WithNext);
        }
        if table.len == 0 || !table.len.is_multiple_of(16) {
            return Err(Wrong::TableLen);
        }
        let entries = table.len / 16;
        if entries > MAX_TABLE {
            return Err(Wrong::TableSize);
        }
        if table.address.checked_add(table.len.into()).is_none() {
            return Err(Wrong::Overflow);
        }
        if !image.has(table.address, table.len.into()) {
            return Err(Wrong::TableOutside);
        }
        let mut index = 0;
        for _ in 0..entries {
            let Raw { buffer, flags, next } = raw(image, table.address + 16 * u64::from(index));
            if flags & 4 != 0 {
                return Err(Wrong::Nested);
            }
            self.add(image, buffer)?;
            if flags & 1 == 0 {
                return Ok(());
            }
            if u32::from(next) >= entries {
                return Err(Wrong::Next);
            }
            index = next;
        }
        Err(Wrong::Loop)
    }

    fn add(&mut self, image: &Image, buffer: Buffer) -> Result<(), Wrong> {
        let Buffer { address, len, is_writable } = buffer;
        if !is_writable && self.buffers.last().is_some_and(|last| last.is_writable) {
            return Err(Wrong::Order);
        }
        if len > 0 && address.checked_add(len.into()).is_none() {
            return Err(Wrong::Overflow);
        }
        if !image.has(address, len.into()) {
            return Err(Wrong::Outside);
        }
        self.buffers.push(buffer);
        self.bytes += u64::from(len);
        Ok(())
    }
}

//! Guest memory, searched from its first region for every range of bytes.

/// What backs the regions.
pub trait Memory {
    /// Bytes of region `region` from `offset`, which lie in it.
    fn read(&self, region: usize, offset: u64, out: &mut [u8]);
}

/// Guest addresses that are memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First guest address.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

/// The region that has an address, the offset in it, and the bytes from there to its end.
fn find(regions: &[Region], address: u64) -> Option<(usize, u64, u64)> {
    for (index, region) in regions.iter().enumerate() {
        if address >= region.start && address - region.start < region.size {
            let offset = address - region.start;
            return Some((index, offset, region.size - offset));
        }
    }
    None
}

/// Whether every one of `len` bytes is memory, in however many regions (VQ-026, VQ-027).
#[must_use]
pub fn is_inside(regions: &[Region], address: u64, len: u64) -> bool {
    let Some(end) = address.checked_add(len) else {
        return false;
    };
    let mut at = address;
    while at < end {
        let Some((_, _, left)) = find(regions, at) else {
            return false;
        };
        if left >= end - at {
            return true;
        }
        at += left;
    }
    true
}

/// Reads bytes once, piece by piece over the borders of regions (VQ-028).
///
/// # Panics
/// One of them is not memory: whoever calls has asked [`is_inside`] before.
pub fn fetch(memory: &impl Memory, regions: &[Region], address: u64, out: &mut [u8]) {
    let mut done = 0;
    while done < out.len() {
        let (region, offset, left) =
            find(regions, address + done as u64).expect("bytes that are memory");
        let wanted = out.len() - done;
        let len = usize::try_from(left).map_or(wanted, |left| left.min(wanted));
        memory.read(region, offset, &mut out[done..done + len]);
        done += len;
    }
}

/// The memory of one call.
pub(super) struct Guest<'a, M> {
    pub(super) memory: &'a M,
    pub(super) regions: &'a [Region],
}

impl<M: Memory> Guest<'_, M> {
    /// `N` bytes, read once.
    pub(super) fn bytes<const N: usize>(&self, address: u64) -> [u8; N] {
        let mut bytes = [0; N];
        fetch(self.memory, self.regions, address, &mut bytes);
        bytes
    }

    /// A 16-bit field, read once.
    pub(super) fn le16(&self, address: u64) -> u16 {
        u16::from_le_bytes(self.bytes(address))
    }

    /// Whether all bytes are memory.
    pub(super) fn has(&self, address: u64, len: u64) -> bool {
        is_inside(self.regions, address, len)
    }
}

/// Bytes that the device stores with one access, at most eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// Guest address of the first.
    pub address: u64,
    bytes: [u8; 8],
    len: usize,
}

impl Write {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What the device has to store, in order. The model stores nothing itself.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    list: Vec<Write>,
}

impl Writes {
    /// Nothing to store, with room that is kept between calls.
    #[must_use]
    pub fn new() -> Self {
        Self { list: Vec::with_capacity(64) }
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// All of them, in order.
    #[must_use]
    pub fn list(&self) -> &[Write] {
        &self.list
    }

    pub(super) fn push(&mut self, address: u64, bytes: &[u8]) {
        let mut write = Write { address, bytes: [0; 8], len: bytes.len() };
        write.bytes[..bytes.len()].copy_from_slice(bytes);
        self.list.push(write);
    }
}

//! What backs a region of guest memory.

use core::fmt;
use core::sync::atomic::{Ordering, fence};

use super::layout::DESCRIPTOR;
use crate::memory::Backing;

/// The memory of one region, which somebody else may change at any moment.
///
/// Offsets are in bytes from the start of the region. Numbers are little-endian in memory and
/// values here. An access that does not lie in the region, or is not aligned where the processor
/// has to do it at once, is not done and gives `None`; after what [`activate`] and the walkers
/// check, that does not happen unless a region is shorter than its table says.
///
/// [`activate`]: super::SplitQueue::activate
pub trait RingMemory {
    /// Loads a field at once; its offset is a multiple of 2.
    fn load_u16(&self, offset: u64, order: Ordering) -> Option<u16>;

    /// Stores a field at once; its offset is a multiple of 2.
    fn store_u16(&self, offset: u64, value: u16, order: Ordering) -> Option<()>;

    /// Loads an event suppression structure at once, relaxed; its offset is a multiple of 4.
    fn load_u32(&self, offset: u64) -> Option<u32>;

    /// Loads half a packed descriptor at once; its offset is a multiple of 8.
    fn load_u64(&self, offset: u64, order: Ordering) -> Option<u64>;

    /// Loads a descriptor of 16 bytes, each byte once (VQ-024, PK-030), at any offset: indirect
    /// tables have no alignment.
    fn load_descriptor(&self, offset: u64) -> Option<u128>;

    /// What a table of descriptors is loaded from: see [`table`](Self::table).
    type Table<'a>: DescriptorTable + fmt::Debug
    where
        Self: 'a;

    /// The `len` bytes at `offset` as descriptors, looked up once for all of them. It may give
    /// more than that: [`At`] gives whatever `load_descriptor` does.
    fn table(&self, offset: u64, len: u64) -> Option<Self::Table<'_>>;

    /// Stores the length of a packed used descriptor; its offset is a multiple of 4.
    fn store_u32(&self, offset: u64, value: u32) -> Option<()>;

    /// Stores an element of a split used ring; its offset is a multiple of 4.
    fn store_u64(&self, offset: u64, value: u64) -> Option<()>;

    /// Copies bytes out of the region, each once.
    fn read(&self, offset: u64, bytes: &mut [u8]) -> Option<()>;

    /// Copies bytes into the region.
    fn write(&self, offset: u64, bytes: &[u8]) -> Option<()>;

    /// Whether the address at which the processor sees `offset` is a multiple of `align`. Guest
    /// addresses say nothing about it: a region may be mapped at any offset of its file.
    fn is_aligned(&self, offset: u64, align: u64) -> bool;

    /// A full barrier: no access after it is done before one that precedes it.
    fn fence(&self);
}

/// Descriptors that lie next to each other.
pub trait DescriptorTable {
    /// Loads a descriptor, each byte once (VQ-024, PK-030).
    fn descriptor(&self, index: u32) -> Option<u128>;
}

/// Descriptors of a memory, from an offset on.
pub struct At<'a, M: ?Sized> {
    /// The memory.
    pub memory: &'a M,
    /// Bytes from the start of the region.
    pub offset: u64,
}

impl<M: ?Sized> fmt::Debug for At<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("At").field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl<M: RingMemory + ?Sized> DescriptorTable for At<'_, M> {
    #[inline]
    fn descriptor(&self, index: u32) -> Option<u128> {
        let offset = DESCRIPTOR.wrapping_mul(index.into());
        self.memory.load_descriptor(self.offset.wrapping_add(offset))
    }
}

impl<M: RingMemory + ?Sized> RingMemory for &M {
    type Table<'a>
        = M::Table<'a>
    where
        Self: 'a;

    #[inline]
    fn table(&self, offset: u64, len: u64) -> Option<Self::Table<'_>> {
        (**self).table(offset, len)
    }

    #[inline]
    fn load_u16(&self, offset: u64, order: Ordering) -> Option<u16> {
        (**self).load_u16(offset, order)
    }

    #[inline]
    fn store_u16(&self, offset: u64, value: u16, order: Ordering) -> Option<()> {
        (**self).store_u16(offset, value, order)
    }

    #[inline]
    fn load_u32(&self, offset: u64) -> Option<u32> {
        (**self).load_u32(offset)
    }

    #[inline]
    fn load_u64(&self, offset: u64, order: Ordering) -> Option<u64> {
        (**self).load_u64(offset, order)
    }

    #[inline]
    fn load_descriptor(&self, offset: u64) -> Option<u128> {
        (**self).load_descriptor(offset)
    }

    #[inline]
    fn store_u32(&self, offset: u64, value: u32) -> Option<()> {
        (**self).store_u32(offset, value)
    }

    #[inline]
    fn store_u64(&self, offset: u64, value: u64) -> Option<()> {
        (**self).store_u64(offset, value)
    }

    #[inline]
    fn read(&self, offset: u64, bytes: &mut [u8]) -> Option<()> {
        (**self).read(offset, bytes)
    }

    #[inline]
    fn write(&self, offset: u64, bytes: &[u8]) -> Option<()> {
        (**self).write(offset, bytes)
    }

    #[inline]
    fn is_aligned(&self, offset: u64, align: u64) -> bool {
        (**self).is_aligned(offset, align)
    }

    #[inline]
    fn fence(&self) {
        (**self).fence();
    }
}

/// What a session keeps of a region. Pieces that are mapped while they are used only are not
/// accessible this way: every access gives `None`.
macro_rules! mapped {
    ($(fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $result:ty;)+) => {
        $(
            #[inline]
            fn $name(&self $(, $argument: $type)*) -> $result {
                match self {
                    Self::Mapped(memory) => memory.$name($($argument),*),
                    Self::OnDemand(_) => None,
                }
            }
        )+
    };
}

impl<F, M: RingMemory> RingMemory for Backing<F, M> {
    type Table<'a>
        = M::Table<'a>
    where
        Self: 'a;

    mapped! {
        fn table(&self, offset: u64, len: u64) -> Option<Self::Table<'_>>;
        fn load_u16(&self, offset: u64, order: Ordering) -> Option<u16>;
        fn store_u16(&self, offset: u64, value: u16, order: Ordering) -> Option<()>;
        fn load_u32(&self, offset: u64) -> Option<u32>;
        fn load_u64(&self, offset: u64, order: Ordering) -> Option<u64>;
        fn load_descriptor(&self, offset: u64) -> Option<u128>;
        fn store_u32(&self, offset: u64, value: u32) -> Option<()>;
        fn store_u64(&self, offset: u64, value: u64) -> Option<()>;
        fn read(&self, offset: u64, bytes: &mut [u8]) -> Option<()>;
        fn write(&self, offset: u64, bytes: &[u8]) -> Option<()>;
    }

    #[inline]
    fn is_aligned(&self, offset: u64, align: u64) -> bool {
        match self {
            Self::Mapped(memory) => memory.is_aligned(offset, align),
            Self::OnDemand(_) => false,
        }
    }

    #[inline]
    fn fence(&self) {
        fence(Ordering::SeqCst);
    }
}

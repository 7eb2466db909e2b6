//! Memory that is mapped: what the walkers run on in production.

use core::fmt;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use vm_memory::bitmap::{BS, Bitmap};
use vm_memory::{AtomicInteger, VolatileMemory, VolatileSlice};

use super::memory::{DescriptorTable, RingMemory};

/// Mapped memory of `vm-memory`: a `VolatileSlice`, an `MmapRegion`, or what else gives slices.
///
/// A descriptor is loaded by one volatile read, so that the compiler neither repeats nor splits
/// it (VQ-024).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mapped<M>(pub M);

impl<M: VolatileMemory> Mapped<M> {
    /// An atomic at an offset.
    #[inline]
    fn atomic<T: AtomicInteger>(&self, offset: u64) -> Option<&T> {
        self.0.get_atomic_ref(usize::try_from(offset).ok()?).ok()
    }
}

/// Descriptors in mapped memory.
pub struct Table<'a, B: Bitmap>(VolatileSlice<'a, BS<'a, B>>);

impl<B: Bitmap> fmt::Debug for Table<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("len", &self.0.len()).finish_non_exhaustive()
    }
}

impl<B: Bitmap> DescriptorTable for Table<'_, B> {
    #[inline]
    fn descriptor(&self, index: u32) -> Option<u128> {
        let offset = usize::try_from(index).ok()?.checked_mul(16)?;
        self.0.get_ref::<u128>(offset).ok().map(|raw| u128::from_le(raw.load()))
    }
}

impl<M: VolatileMemory> RingMemory for Mapped<M> {
    type Table<'a>
        = Table<'a, M::B>
    where
        Self: 'a;

    #[inline]
    fn table(&self, offset: u64, len: u64) -> Option<Self::Table<'_>> {
        let (offset, len) = (usize::try_from(offset).ok()?, usize::try_from(len).ok()?);
        self.0.get_slice(offset, len).ok().map(Table)
    }

    #[inline]
    fn load_u16(&self, offset: u64, order: Ordering) -> Option<u16> {
        self.atomic::<AtomicU16>(offset).map(|field| u16::from_le(field.load(order)))
    }

    #[inline]
    fn store_u16(&self, offset: u64, value: u16, order: Ordering) -> Option<()> {
        self.atomic::<AtomicU16>(offset).map(|field| field.store(value.to_le(), order))
    }

    #[inline]
    fn load_u32(&self, offset: u64) -> Option<u32> {
        self.atomic::<AtomicU32>(offset).map(|field| u32::from_le(field.load(Ordering::Relaxed)))
    }

    #[inline]
    fn load_u64(&self, offset: u64, order: Ordering) -> Option<u64> {
        self.atomic::<AtomicU64>(offset).map(|field| u64::from_le(field.load(order)))
    }

    #[inline]
    fn load_descriptor(&self, offset: u64) -> Option<u128> {
        let offset = usize::try_from(offset).ok()?;
        self.0.get_ref::<u128>(offset).ok().map(|raw| u128::from_le(raw.load()))
    }

    #[inline]
    fn store_u32(&self, offset: u64, value: u32) -> Option<()> {
        self.atomic::<AtomicU32>(offset).map(|field| field.store(value.to_le(), Ordering::Relaxed))
    }

    #[inline]
    fn store_u64(&self, offset: u64, value: u64) -> Option<()> {
        let offset = usize::try_from(offset).ok()?;
        self.0.get_ref::<u64>(offset).ok().map(|field| field.store(value.to_le()))
    }

    #[inline]
    fn read(&self, offset: u64, bytes: &mut [u8]) -> Option<()> {
        let slice = self.0.get_slice(usize::try_from(offset).ok()?, bytes.len()).ok()?;
        slice.copy_to(bytes);
        Some(())
    }

    #[inline]
    fn write(&self, offset: u64, bytes: &[u8]) -> Option<()> {
        let slice = self.0.get_slice(usize::try_from(offset).ok()?, bytes.len()).ok()?;
        slice.copy_from(bytes);
        Some(())
    }

    #[inline]
    fn is_aligned(&self, offset: u64, align: u64) -> bool {
        usize::try_from(offset)
            .ok()
            .and_then(|offset| self.0.get_slice(offset, 1).ok())
            .is_some_and(|slice| (slice.ptr_guard().as_ptr().addr() as u64).is_multiple_of(align))
    }

    #[inline]
    fn fence(&self) {
        fence(Ordering::SeqCst);
    }
}

//! The memory that walkers run on in production.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use vhost_fuzz_core::memory::{AddressKind, MemoryTable};
use vhost_fuzz_core::ring::flag::WRITE;
use vhost_fuzz_core::ring::{Guest, Mapped, Position, Ring, RingMemory, SplitQueue};
use vhost_fuzz_harness::evidence::shows;
use vm_memory::VolatileSlice;

use crate::rig;

/// Bytes that start at a multiple of 16.
#[repr(align(16))]
struct Aligned([u8; 64]);

impl Aligned {
    fn new() -> Self {
        Self(std::array::from_fn(|at| u8::try_from(at).expect("a small array")))
    }

    fn mapped(&mut self) -> Mapped<VolatileSlice<'_>> {
        Mapped(VolatileSlice::from(&mut self.0[..]))
    }
}

#[test]
fn numbers_are_little_endian_in_memory_whatever_the_host_is() {
    let _shows = shows(&["VQ-049", "VQ-067"]);
    let mut bytes = Aligned::new();
    {
        let memory = bytes.mapped();
        assert_eq!(memory.load_u16(2, SeqCst), Some(0x0302));
        assert_eq!(memory.load_u32(4), Some(0x0706_0504));
        assert_eq!(memory.load_u64(8, Relaxed), Some(0x0f0e_0d0c_0b0a_0908));
        let descriptor = 0x100f_0e0d_0c0b_0a09_0807_0605_0403_0201;
        assert_eq!(memory.load_descriptor(1), Some(descriptor));
        memory.store_u16(16, 0x1234, SeqCst).expect("it is there");
        memory.store_u32(20, 0x1234_5678).expect("it is there");
        memory.store_u64(28, 0x0102_0304_0506_0708).expect("it is there");
    }
    assert_eq!(bytes.0[16..24], [0x34, 0x12, 18, 19, 0x78, 0x56, 0x34, 0x12]);
    assert_eq!(bytes.0[28..37], [8, 7, 6, 5, 4, 3, 2, 1, 36]);
}

#[test]
fn what_is_not_there_or_not_aligned_is_not_touched() {
    let _shows = shows(&["VQ-049", "VQ-065"]);
    let mut bytes = Aligned::new();
    {
        let memory = bytes.mapped();
        for at in [63, 64, u64::MAX, u64::MAX - 1] {
            assert_eq!((memory.load_u16(at, SeqCst), memory.load_u32(at)), (None, None));
            assert_eq!(memory.store_u16(at, 0xffff, SeqCst), None);
            assert_eq!(
                (memory.store_u32(at, u32::MAX), memory.store_u64(at, u64::MAX)),
                (None, None)
            );
            assert_eq!((memory.read(at, &mut [0; 2]), memory.write(at, &[0xff; 2])), (None, None));
        }
        // All of it or nothing.
        assert_eq!((memory.load_u64(60, SeqCst), memory.load_descriptor(49)), (None, None));
        assert_eq!((memory.store_u64(57, u64::MAX), memory.write(62, &[0xff; 3])), (None, None));
        let mut read = [0xee; 3];
        assert_eq!((memory.read(62, &mut read), read), (None, [0xee; 3]));
        // What has to be done at once is not done in parts.
        assert_eq!((memory.load_u16(1, SeqCst), memory.store_u16(1, 0xffff, SeqCst)), (None, None));
        assert_eq!((memory.load_u32(2), memory.load_u64(4, SeqCst)), (None, None));
        for align in [1, 2, 4, 8, 16] {
            assert!(memory.is_aligned(32, align));
            assert_eq!(memory.is_aligned(36, align), align <= 4);
        }
        assert!(!memory.is_aligned(64, 1), "it is not there");
    }
    assert_eq!(bytes.0, Aligned::new().0);
}

#[test]
fn a_used_ring_has_the_bytes_of_the_specification() {
    let _shows = shows(&["VQ-036", "VQ-049"]);
    // A ring of 2: descriptors at 0, available ring at 32, used ring at 44, a buffer behind it.
    let mut bytes = Aligned([0; 64]);
    bytes.0[..16].copy_from_slice(&rig::bytes((0x1000 + 0x3c, 4, WRITE, 0)));
    bytes.0[34..36].copy_from_slice(&[1, 0]);
    {
        let mut table = MemoryTable::new(1);
        table.add(crate::ram::region(0x1000, 64), bytes.mapped()).expect("a good region");
        let mut setup = rig::setup(2);
        let addresses = &mut setup.addresses;
        (addresses.descriptor, addresses.available, addresses.used) = (0x1000, 0x1020, 0x102c);
        assert_eq!(setup.ring_kind, AddressKind::Guest);
        let guest = Guest::new(&table);
        let mut queue = SplitQueue::new(setup.size);
        queue.activate(&setup, Position::Split { available: 0 }, &guest).expect("a good ring");
        let mut ring = queue.bind(&guest).expect("it is there");
        let mut chain = vhost_fuzz_core::ring::Chain::with_capacity(1);
        let token = rig::token(ring.pop(&mut chain));
        let mut writer = chain.writer(&guest);
        assert_eq!(writer.write(&[7, 8, 9]), Ok(3));
        ring.put(token, writer.written()).expect("it is taken");
        assert_eq!(ring.publish(), Ok(true));
    }
    // Flags 0, index 1, element of head 0 and 3 bytes.
    assert_eq!(bytes.0[44..60], [0, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes.0[60..], [7, 8, 9, 0]);
}

//! Each guard speaks, and what is not guarded works.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use vhost_fuzz_core::ring::RingMemory;
use vhost_fuzz_model::ring::Memory as _;

use super::{Counts, GuestRam, Layout, Ram, Shared};

/// What a panic said.
fn said<T>(run: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).map(|_| ()).expect_err("a panic");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

/// The first region of 64 KiB of memory, and that memory.
fn small() -> (Ram, super::RamRegion) {
    let ram = Ram::new(Layout::Small);
    let region = ram.region(0);
    (ram, region)
}

const START: u64 = Layout::Small.areas()[0].start;

#[test]
fn layouts_are_what_they_say() {
    for layout in Layout::ALL {
        let areas = layout.areas();
        let regions = layout.regions();
        for (area, region) in areas.iter().zip(&regions) {
            assert_eq!(area.start % 4096, area.user % 4096, "{layout:?}");
            let skew = region.mmap_offset.wrapping_sub(area.start) % 4096;
            assert_eq!(skew, area.skew, "{layout:?}");
        }
        let neighbours =
            areas.windows(2).filter(|pair| pair[0].start + pair[0].size == pair[1].start);
        assert_eq!(neighbours.count(), if layout == Layout::Odd { 2 } else { 1 }, "{layout:?}");
    }
    let sum = |layout: Layout| layout.areas().iter().map(|area| area.size).sum::<u64>();
    assert_eq!([sum(Layout::Small), sum(Layout::Odd)], [0x1_0000; 2]);
    let borders: Vec<_> = Layout::Odd.areas().iter().map(|area| area.start % 16).collect();
    assert_eq!(borders, [0, 8, 1, 0]);
}

#[test]
fn the_driver_writes_over_borders_and_the_device_finds_it() {
    for layout in Layout::ALL {
        let ram = Ram::new(layout);
        let shared = Shared::new(layout).unwrap();
        let [first, second, ..] = layout.areas() else { panic!("two regions") };
        let bytes: [u8; 16] = core::array::from_fn(|at| u8::try_from(at).unwrap() + 1);
        over_the_border(&ram, second.start, &bytes);
        over_the_border(&shared, second.start, &bytes);
        let (mut front, mut back) = ([0; 5], [0; 11]);
        ram.region(0).read(first.size - 5, &mut front).unwrap();
        ram.region(1).read(0, &mut back).unwrap();
        assert_eq!((&front[..], &back[..]), bytes.split_at(5));
        shared.region(0).read(first.size - 5, &mut front).unwrap();
        shared.region(1).read(0, &mut back).unwrap();
        assert_eq!((&front[..], &back[..]), bytes.split_at(5));
    }
}

fn over_the_border(ram: &impl GuestRam, border: u64, bytes: &[u8; 16]) {
    ram.put(border - 5, bytes);
    assert_eq!(ram.bytes(border - 5), *bytes);
    assert_eq!(ram.load_u16(border - 1, Acquire), 0x0605);
    ram.store_u16(border - 1, 0x0605, Release);
    assert_eq!(ram.load_u32(border - 2).to_le_bytes(), [4, 5, 6, 7]);
    assert_eq!(ram.bytes(border - 5), *bytes);
    ram.fence();
}

#[test]
fn holes_are_not_memory() {
    let (ram, _) = small();
    let hole = START + 0xc000;
    assert!(ram.is_memory(START, 0xc000) && ram.is_memory(hole + 0x4000, 0x4000));
    assert!(!ram.is_memory(START, 0xc001) && !ram.is_memory(START - 1, 1));
    assert!(!ram.is_memory(hole, 1) && !ram.is_memory(u64::MAX, 2));
    assert!(said(|| ram.put(hole - 1, &[0, 0])).contains("1 bytes short"));
    assert!(said(|| ram.get(hole - 1, &mut [0, 0])).contains("1 bytes short"));
    let odd = Ram::new(Layout::Odd);
    let top = Layout::Odd.areas()[3];
    assert!(odd.is_memory(top.start, top.size) && !odd.is_memory(top.start, u64::MAX));
}

#[test]
fn every_access_finds_its_bytes() {
    let (ram, region) = small();
    let bytes: Vec<u8> = (0..32).collect();
    ram.put(START, &bytes);
    assert_eq!(region.load_u16(2, Acquire), Some(0x0302));
    assert_eq!(region.load_u32(4), Some(0x0706_0504));
    assert_eq!(region.load_u64(8, Acquire), Some(0x0f0e_0d0c_0b0a_0908));
    let descriptor = region.load_descriptor(3).unwrap();
    assert_eq!(descriptor.to_le_bytes()[..], bytes[3..19]);
    region.store_u16(0, 0xbbaa, Release).unwrap();
    region.store_u32(4, 0xffee_ddcc).unwrap();
    region.store_u64(12, 0x8877_6655_4433_2211).unwrap();
    region.write(21, &[0; 3]).unwrap();
    region.fence();
    let mut read = [0; 25];
    region.read(0, &mut read).unwrap();
    let mut expected: Vec<u8> = (0..25).collect();
    expected[..2].copy_from_slice(&[0xaa, 0xbb]);
    expected[4..8].copy_from_slice(&[0xcc, 0xdd, 0xee, 0xff]);
    expected[12..20].copy_from_slice(&[0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]);
    expected[21..24].fill(0);
    assert_eq!(read[..], expected);
    let counts = Counts { reads: 5, read_bytes: 2 + 4 + 8 + 16 + 25, writes: 4, written_bytes: 17 };
    assert_eq!(ram.counts(), counts);
    ram.begin();
    assert_eq!(ram.counts(), Counts::default());
}

#[test]
fn the_red_zone_speaks() {
    let (_ram, region) = small();
    let end = Layout::Small.areas()[0].size;
    for text in [
        said(|| region.load_u16(end, Relaxed)),
        said(|| region.load_u32(end - 2)),
        said(|| region.load_u64(u64::MAX - 7, Relaxed)),
        said(|| region.load_descriptor(end - 15)),
        said(|| region.read(end, &mut [0])),
        said(|| region.read(0, &mut [0; 0x8001])),
        said(|| region.store_u16(end, 0, Relaxed)),
        said(|| region.store_u32(end, 0)),
        said(|| region.store_u64(end - 4, 0)),
        said(|| region.write(end - 1, &[0, 0])),
    ] {
        assert!(text.starts_with("red zone: the device "), "{text}");
    }
    region.load_descriptor(end - 16).unwrap();
    region.read(end, &mut []).unwrap();
    region.read(0, &mut [0; 0x8000]).unwrap();
    region.write(end - 1, &[0]).unwrap();
    let ram = Ram::new(Layout::Small);
    let text = said(|| ram.model_view().read(0, end - 1, &mut [0, 0]));
    assert!(text.starts_with("red zone: a model "), "{text}");
}

#[test]
fn a_field_that_is_not_aligned_speaks() {
    let (_ram, region) = small();
    for text in [
        said(|| region.load_u16(1, Relaxed)),
        said(|| region.store_u16(3, 0, Relaxed)),
        said(|| region.load_u32(2)),
        said(|| region.store_u32(6, 0)),
        said(|| region.load_u64(4, Relaxed)),
    ] {
        assert!(text.starts_with("alignment: the device "), "{text}");
    }
    assert!(region.is_aligned(16, 16) && !region.is_aligned(8, 16));
    let skewed = Ram::new(Layout::Skewed).region(1);
    let shared = Shared::new(Layout::Skewed).unwrap().region(1);
    assert!(!skewed.is_aligned(0, 2) && skewed.is_aligned(1, 2));
    assert!(!shared.is_aligned(0, 2) && shared.is_aligned(1, 2));
}

#[test]
fn the_write_guard_speaks() {
    let (ram, region) = small();
    ram.guard_writes([(START + 8, 8), (START + 16, 4), (START + 0x100, 0)]);
    region.write(8, &[1; 12]).unwrap();
    region.write(0, &[]).unwrap();
    for text in [
        said(|| region.write(7, &[0, 0])),
        said(|| region.write(8, &[0; 13])),
        said(|| region.store_u16(0x100, 0, Relaxed)),
    ] {
        assert!(text.starts_with("guard: wrote to 0x1"), "{text}");
        assert!(text.contains("which is not the device's: VQ-007, VQ-009, PK-006"), "{text}");
    }
    assert_eq!(ram.bytes(START + 7), [0, 1]);
    assert_eq!(ram.bytes(START + 20), [0]);
    ram.put(START, &[1]);
    ram.unguard();
    region.write(0, &[0]).unwrap();
}

#[test]
fn ranges_of_guards_go_over_borders_and_end_with_memory() {
    let ram = Ram::new(Layout::Small);
    ram.guard_writes([(START, u64::MAX)]);
    ram.region(0).write(0, &[0; 0x8000]).unwrap();
    ram.region(1).write(0, &[0; 0x4000]).unwrap();
    let text = said(|| ram.region(2).write(0, &[0]));
    assert!(text.starts_with("guard: wrote to 0x20000, 1 bytes"), "{text}");
}

#[test]
fn the_read_guard_speaks() {
    let (ram, region) = small();
    ram.guard_reads([(START + 8, 8)], [(START + 10, 2)]);
    region.read(0, &mut [0; 8]).unwrap();
    region.load_u16(10, Relaxed).unwrap();
    region.load_u16(16, Relaxed).unwrap();
    for text in [said(|| region.load_u16(8, Relaxed)), said(|| region.read(11, &mut [0; 2]))] {
        assert!(text.starts_with("guard: read 2 bytes at 0x1000"), "{text}");
        assert!(text.ends_with("VQ-008, PK-007"), "{text}");
    }
    let _: [u8; 1] = ram.bytes(START + 8);
    ram.model_view().read(0, 8, &mut [0]);
    ram.unguard();
    region.load_u16(8, Relaxed).unwrap();
}

#[test]
fn a_double_fetch_sees_another_value_and_the_model_sees_the_same() {
    let (ram, region) = small();
    ram.put(START, &[7; 64]);
    let model = ram.model_view();
    let of_model = |offset| {
        let mut bytes = [0; 2];
        model.read(0, offset, &mut bytes);
        u16::from_le_bytes(bytes)
    };
    assert_eq!([(); 3].map(|()| region.load_u16(0, Relaxed)), [Some(0x0707); 3]);
    ram.flip(true);
    let mut seen = BTreeSet::new();
    for offset in [0, 2, 0, 2, 0] {
        let value = region.load_u16(offset, Relaxed).unwrap();
        assert_eq!(value, of_model(offset));
        seen.insert((offset, value));
    }
    assert_eq!(seen.len(), 5);
    assert_eq!(seen.iter().filter(|(_, value)| *value == 0x0707).count(), 2);
    ram.begin();
    let mut bytes = [0; 32];
    region.read(0, &mut bytes).unwrap();
    assert_eq!(bytes, [7; 32]);
    let again = region.load_descriptor(0).unwrap().to_le_bytes();
    assert!(again.iter().all(|byte| *byte != 7), "{again:?}");
    assert_eq!(ram.bytes(START), [7; 64], "memory is as it was");
    ram.flip(false);
    assert_eq!(region.load_u16(0, Relaxed), Some(0x0707));
}

#[test]
fn clearing_takes_away_what_either_side_wrote() {
    for layout in Layout::ALL {
        let ram = Ram::new(layout);
        let areas = layout.areas();
        for (index, area) in areas.iter().enumerate() {
            for at in [0, 255, 256, 4095, area.size - 2] {
                ram.put(area.start + at, &[1, 2]);
            }
            ram.region(index).write(area.size - 700, &[3; 600]).unwrap();
        }
        ram.flip(true);
        ram.guard_writes([]);
        ram.guard_reads([(0, u64::MAX)], []);
        ram.clear();
        for (index, area) in areas.iter().enumerate() {
            let mut bytes = vec![1; usize::try_from(area.size).unwrap()];
            ram.region(index).read(0, &mut bytes).unwrap();
            assert!(bytes.iter().all(|byte| *byte == 0), "{layout:?} {index}");
            ram.region(index).write(0, &[1]).unwrap();
        }
    }
}

#[test]
fn nothing_is_allocated_per_access() {
    let (ram, region) = small();
    ram.flip(true);
    ram.guard_writes([(START, 64)]);
    ram.guard_reads([(START + 64, 64)], []);
    let info = allocation_counter::measure(|| {
        for _ in 0..100 {
            ram.begin();
            region.load_descriptor(0).unwrap();
            region.load_descriptor(0).unwrap();
            region.write(0, &[1; 64]).unwrap();
            ram.guard_writes([(START, 64)]);
            ram.put(START, &[2; 64]);
        }
        ram.clear();
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn two_threads_share_memory() {
    let shared = Shared::new(Layout::Small).unwrap();
    let address = START + 2;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            shared.put(address + 2, &[9; 6]);
            shared.store_u16(address, 1, Release);
        });
        let region = shared.region(0);
        while region.load_u16(2, Acquire) != Some(1) {
            std::hint::spin_loop();
        }
        let mut bytes = [0; 6];
        region.read(4, &mut bytes).unwrap();
        assert_eq!(bytes, [9; 6]);
    });
    let mut file = [0; 8];
    let place = Layout::Small.regions()[0].mmap_offset + 2;
    std::os::unix::fs::FileExt::read_exact_at(shared.file(), &mut file, place).unwrap();
    assert_eq!(file, [1, 0, 9, 9, 9, 9, 9, 9]);
}

#[test]
fn mapped_memory_ends_where_its_region_ends() {
    let shared = Shared::new(Layout::Odd).unwrap();
    let (region, end) = (shared.region(0), Layout::Odd.areas()[0].size);
    assert_eq!(region.load_u64(end - 8, Relaxed), Some(0));
    assert_eq!(region.load_u16(end, Relaxed), None);
    assert_eq!(region.load_descriptor(end - 8), None);
    assert_eq!(region.read(u64::MAX, &mut [0; 2]), None);
    assert!(said(|| shared.put(end + 0x2_0000, &[0])).contains("1 bytes short"));
}

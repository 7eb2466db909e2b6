//! Reading and writing the buffers of a chain that was taken (spec §1.4, §1.6).

use vhost_fuzz_core::ring::flag::WRITE;
use vhost_fuzz_core::ring::{AccessError, Chain, Layout, Ring, Token};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use crate::memory::{REQUEST, offer, start};
use crate::ram::{Ram, Touch};
use crate::rig::{self, BUFFER, END, Fields, ram};
use crate::{packed, split};

/// Where the bytes of it are, readable and writable.
fn bytes_of(list: &[Fields], write: u16) -> Vec<u64> {
    let wanted = list.iter().filter(|(_, _, flags, _)| flags & WRITE == write);
    wanted.flat_map(|(address, len, ..)| *address..*address + u64::from(*len)).collect()
}

/// What a fresh queue of either layout takes, when the driver offers this.
fn take(ram: &Ram, layout: Layout, list: &[Fields]) -> (Chain, Token) {
    let mut queue = start(ram, layout);
    offer(ram, &queue, list);
    let guest = ram.guest();
    let mut chain = split::Rig::new(8).chain();
    let token = rig::token(queue.bind(&guest).expect("it is there").pop(&mut chain));
    (chain, token)
}

#[test]
fn a_device_reads_and_writes_what_it_may_and_nothing_else() {
    let _shows = shows(&["VQ-007", "VQ-008", "VQ-010", "VQ-037", "PK-006", "PK-007"]);
    for layout in [Layout::Split, Layout::Packed] {
        let ram = ram();
        let mut queue = start(&ram, layout);
        for (byte, at) in (1..).zip(bytes_of(&REQUEST, 0)) {
            ram.put(at, &[byte]);
        }
        offer(&ram, &queue, &REQUEST);
        let guest = ram.guest();
        let mut ring = queue.bind(&guest).expect("it is there");
        let mut chain = split::Rig::new(8).chain();
        let token = rig::token(ring.pop(&mut chain));
        ram.touches();

        let (mut reader, mut writer) = (chain.reader(&guest), chain.writer(&guest));
        let (mut header, mut data) = ([0; 3], [0; 5]);
        assert_eq!(reader.read_exact(&mut header), Ok(true));
        assert_eq!(reader.read_exact(&mut data), Ok(true));
        assert_eq!((header, data, reader.remaining()), ([1, 2, 3], [4, 5, 6, 7, 8], 0));
        assert_eq!(reader.read_exact(&mut header), Ok(false), "the chain is too short");
        let (readable, writable) = (bytes_of(&REQUEST, 0), bytes_of(&REQUEST, WRITE));
        for touch in ram.touches() {
            let Touch::Load(at, len, _) = touch else { panic!("{touch:?}") };
            assert!((at..at + len).all(|byte| readable.contains(&byte)), "{touch:?}");
        }
        assert_eq!(writer.write(&[11, 12, 13, 14, 15, 16]), Ok(6));
        for touch in ram.touches() {
            let Touch::Store(at, len, _) = touch else { panic!("{touch:?}") };
            assert!((at..at + len).all(|byte| writable.contains(&byte)), "{touch:?}");
        }
        // The bytes from the first writable one on are those that the used length tells.
        let written = writable.iter().map(|at| ram.get::<1>(*at)[0]).collect::<Vec<_>>();
        assert_eq!(written, [11, 12, 13, 14, 15, 16, 0, 0, 0]);
        assert_eq!((writer.written(), token.writable()), (6, 9));
        ring.put(token, writer.written()).expect("it is taken");
        assert_eq!(ring.publish(), Ok(true));
        let len = match layout {
            Layout::Split => split::Rig::new(8).element(&ram, 0).1,
            Layout::Packed => packed::Rig::new(8).slot(&ram, 0).1,
        };
        assert_eq!(len, 6);
    }
}

#[test]
fn data_goes_over_the_borders_of_regions() {
    let _shows = shows(&["VQ-027"]);
    for layout in [Layout::Split, Layout::Packed] {
        let mut ram = ram();
        ram.add(END + 3, 0x100, 0x100, 0);
        ram.add(END, 3, 3, 0);
        let mut queue = start(&ram, layout);
        ram.put(END - 4, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        offer(&ram, &queue, &[(END - 4, 10, 0, 0), (END - 2, 7, WRITE, 0)]);
        let guest = ram.guest();
        let mut ring = queue.bind(&guest).expect("it is there");
        let mut chain = split::Rig::new(8).chain();
        let token = rig::token(ring.pop(&mut chain));
        let mut data = [0; 10];
        assert_eq!(chain.reader(&guest).read_exact(&mut data), Ok(true));
        assert_eq!(data, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(chain.writer(&guest).write(&[21, 22, 23, 24, 25, 26, 27]), Ok(7));
        assert_eq!(ram.get(END - 4), [1, 2, 21, 22, 23, 24, 25, 26, 27, 10]);
        ring.put(token, 7).expect("that much was written");
    }
}

#[test]
fn a_chain_that_was_taken_keeps_no_way_into_memory() {
    for layout in [Layout::Split, Layout::Packed] {
        let mut ram = ram();
        let other = END + 0x1000;
        ram.add(END, 0x100, 0x100, 0);
        ram.add(other, 0x100, 0x100, 0);
        let mut queue = start(&ram, layout);
        offer(&ram, &queue, &[(END, 8, 0, 1), (other, 8, WRITE, 2)]);
        let mut chain = split::Rig::new(8).chain();
        let token = {
            let guest = ram.guest();
            rig::token(queue.bind(&guest).expect("it is there").pop(&mut chain))
        };
        // The slot of the first buffer's region is now that of the second one's.
        ram.remove(END, 0x100);
        ram.put(other, &[7; 0x100]);
        ram.touches();
        let guest = ram.guest();
        let gone = AccessError::Outside { address: END };
        assert_refused!(chain.reader(&guest).read(&mut [0; 8]), gone);
        assert_eq!(ram.touches(), []);
        assert_eq!(chain.writer(&guest).write(&[9; 8]), Ok(8));
        assert_eq!(ram.get(other), [9, 9, 9, 9, 9, 9, 9, 9, 7]);
        ram.remove(other, 0x100);
        let guest = ram.guest();
        ram.touches();
        let gone = AccessError::Outside { address: other };
        assert_refused!(chain.writer(&guest).write(&[9; 8]), gone);
        assert_eq!(ram.touches(), []);
        // The buffer goes back all the same.
        let mut ring = queue.bind(&guest).expect("the ring is there");
        ring.put(token, 0).expect("it is still owed");
    }
}

#[test]
fn a_length_in_a_request_reads_and_writes_nothing_outside_of_the_chain() {
    let _shows = shows(&["VQ-037", "VQ-039"]);
    for layout in [Layout::Split, Layout::Packed] {
        let ram = ram();
        // 8 bytes to read and 9 to write; what the header says is more.
        ram.put(BUFFER, &[0xff; 0x100]);
        let (chain, token) = take(&ram, layout, &REQUEST);
        let guest = ram.guest();
        for said in [9, 255, 0x1000] {
            ram.touches();
            let (mut reader, mut data) = (chain.reader(&guest), vec![0; said]);
            assert_eq!(reader.read_exact(&mut data), Ok(false), "nothing is read");
            assert_eq!((ram.touches(), data), (vec![], vec![0; said]));
            let mut data = vec![0; said];
            assert_eq!(reader.read(&mut data), Ok(8));
            assert_eq!((&data[..8], &data[8..]), (&[0xff; 8][..], &vec![0; said - 8][..]));
            assert_eq!((reader.skip(said as u64), reader.read(&mut data)), (0, Ok(0)));
            assert!(chain.reader(&guest).split_at(said as u64).is_none());
        }
        let mut writer = chain.writer(&guest);
        assert_eq!(writer.write(&[1; 0x1000]), Ok(9));
        assert_eq!((writer.write(&[1]), writer.written(), token.writable()), (Ok(0), 9, 9));
        let (readable, writable) = (bytes_of(&REQUEST, 0), bytes_of(&REQUEST, WRITE));
        for touch in ram.touches() {
            let (at, len) = touch.range().expect("no barrier");
            let all = if matches!(touch, Touch::Load(..)) { &readable } else { &writable };
            assert!((at..at + len).all(|byte| all.contains(&byte)), "{touch:?}");
        }
    }
}

#[test]
fn what_fails_half_way_counts_what_was_done() {
    let _shows = shows(&["VQ-037", "VQ-065"]);
    for layout in [Layout::Split, Layout::Packed] {
        let mut ram = ram();
        ram.add(END, 0x100, 0x100, 0);
        ram.put(END - 3, &[1, 2, 3, 4, 5, 6]);
        let (chain, _token) = take(&ram, layout, &[(END - 3, 6, 0, 1), (END - 3, 6, WRITE, 2)]);
        let bank = ram.remove(END, 0x100);
        let gone = AccessError::Outside { address: END };
        {
            let guest = ram.guest();
            let (mut reader, mut data) = (chain.reader(&guest), [0; 6]);
            for _ in 0..2 {
                assert_refused!(reader.read(&mut data), gone);
                assert_eq!(reader.remaining(), 3, "and not one byte more was read");
            }
            assert_eq!(data, [1, 2, 3, 0, 0, 0]);
            let mut writer = chain.writer(&guest);
            for _ in 0..2 {
                assert_refused!(writer.write(&[7; 6]), gone);
                assert_eq!((writer.written(), writer.remaining()), (3, 3));
            }
        }
        // With the memory back, each goes on at the byte where it failed.
        ram.table.add(crate::ram::region(END, 0x100), bank).expect("it is free");
        let guest = ram.guest();
        let (mut reader, mut data) = (chain.reader(&guest), [0; 3]);
        assert_eq!((reader.skip(3), reader.read(&mut data)), (3, Ok(3)));
        assert_eq!((data, ram.get(END - 3)), ([4, 5, 6], [7, 7, 7, 4, 5, 6]));
    }
}

#[test]
fn what_backs_a_buffer_may_be_shorter_than_its_region() {
    let _shows = shows(&["VQ-065"]);
    for layout in [Layout::Split, Layout::Packed] {
        let mut ram = ram();
        ram.add(END, 0x1000, 0x10, 0);
        // The table says that the buffers are there, so the chain is in order.
        let list = [(END + 0xe, 2, 0, 1), (END + 0xe, 4, 0, 2), (END + 0xff0, 8, WRITE, 3)];
        let (chain, _token) = take(&ram, layout, &list);
        let guest = ram.guest();
        ram.touches();
        let mut reader = chain.reader(&guest);
        let gone = AccessError::Outside { address: END + 0xe };
        assert_refused!(reader.read(&mut [0; 6]), gone);
        assert_eq!((reader.remaining(), ram.touches().len()), (4, 1));
        let gone = AccessError::Outside { address: END + 0xff0 };
        let mut writer = chain.writer(&guest);
        assert_refused!(writer.write(&[1; 8]), gone);
        assert_eq!((writer.written(), ram.touches()), (0, vec![]));
    }
}

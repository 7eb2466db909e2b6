//! The drivers, with the queues of the core as their devices.

use rustix::fs::{MemfdFlags, memfd_create};
use vhost_fuzz_core::memory::{AddressKind, MemoryTable, RingSize};
use vhost_fuzz_core::ring::{
    Chain, Features, Guest, Layout, Limits, Mapped, Position, Queue as Device, Ring as _, Setup,
    Token,
};
use vm_memory::VolatileSlice;

use super::memory::LEN;
use super::{BUFFER_LEN, Driver, Memory, Queue, SIZE};

type Backing = Mapped<VolatileSlice<'static>>;

/// A device of one queue, and its driver.
struct World {
    memory: Memory,
    table: MemoryTable<Backing>,
    device: Device,
    driver: Driver,
    chain: Chain,
}

impl World {
    fn new(layout: Layout, queue: Queue) -> Self {
        let memory = Memory::new(memfd_create("guest", MemfdFlags::CLOEXEC).unwrap().into());
        let memory = memory.unwrap();
        let driver = Driver::new(&memory, queue, layout, 1500);
        let mut table = MemoryTable::new(1);
        let backing = Mapped(memory.slice(0, LEN));
        table.add(Memory::region(), backing).map_err(|(error, _)| error).unwrap();
        let size = RingSize::check(SIZE.into(), layout == Layout::Packed, 1024).unwrap();
        let setup = Setup {
            size,
            addresses: Memory::addresses(queue),
            ring_kind: AddressKind::User,
            buffer_kind: AddressKind::Guest,
            features: Features { event_idx: true, version_1: true, ..Features::default() },
            limits: Limits::of(size),
        };
        let mut device = Device::new(layout, size);
        let position = Position::of(driver.base(), layout == Layout::Packed, false);
        device.activate(&setup, position, &Guest::new(&table)).unwrap();
        let chain = Chain::with_capacity(setup.limits.elements(size));
        Self { memory, table, device, driver, chain }
    }

    /// Takes a buffer; what it has room for, and may be read.
    fn take(&mut self) -> Option<(Token, [u64; 2])> {
        let guest = Guest::new(&self.table);
        let token = self.device.bind(&guest).unwrap().pop(&mut self.chain).unwrap()?;
        Some((token, [self.chain.writable_bytes(), self.chain.readable_bytes()]))
    }

    /// Gives a buffer back, and shows it to the driver. Whether that wants a call.
    fn give(&mut self, token: Token, len: u32) -> bool {
        let guest = Guest::new(&self.table);
        let mut ring = self.device.bind(&guest).unwrap();
        ring.put(token, len).unwrap();
        ring.publish().unwrap()
    }

    /// Asks for kicks. Whether there is more to take.
    fn sleep(&mut self) -> bool {
        let guest = Guest::new(&self.table);
        self.device.bind(&guest).unwrap().arm().unwrap()
    }
}

fn worlds() -> impl Iterator<Item = (World, u32)> {
    [Layout::Split, Layout::Packed].into_iter().flat_map(|layout| {
        // What a device writes to a buffer: something, or nothing.
        [(Queue::Receive, 60), (Queue::Transmit, 0)]
            .map(|(queue, written)| (World::new(layout, queue), written))
    })
}

#[test]
fn buffers_go_round_in_batches_of_any_size() {
    for (mut world, written) in worlds() {
        let room = if written > 0 { [1500, 0] } else { [0, 1500] };
        for lap in 0..600_u16 {
            let count = 1 + lap * 37 % SIZE;
            world.driver.arm(count);
            for at in 0..count {
                let (token, bytes) = world.take().expect("a buffer");
                assert_eq!(bytes, room);
                // The first of all comes in any case: nothing was decided before it (VQ-050).
                let is_called = world.give(token, written);
                assert!(!is_called || (lap, at) == (0, 0), "nobody wants a call: lap {lap}, {at}");
            }
            assert!(world.take().is_none());
            assert_eq!(world.driver.reap(written), count);
            assert_eq!(world.driver.reap(written), 0);
            world.driver.want_no_call();
        }
    }
}

#[test]
fn a_device_that_sleeps_is_kicked_and_one_that_does_not_is_left_alone() {
    for (mut world, written) in worlds() {
        for lap in 0..600_u16 {
            let count = 2 + lap * 41 % (SIZE - 1);
            assert!(!world.sleep());
            world.driver.arm(1);
            assert!(world.driver.is_kick_wanted(), "lap {lap}");
            assert!(!world.driver.is_kick_wanted(), "nothing new");
            world.driver.arm(count - 1);
            assert!(!world.driver.is_kick_wanted(), "it was kicked already: lap {lap}");
            while let Some((token, _)) = world.take() {
                world.give(token, written);
            }
            assert_eq!(world.driver.reap(written), count);
        }
    }
}

#[test]
fn the_driver_is_called_when_what_it_waits_for_is_used() {
    for (mut world, written) in worlds() {
        for lap in 0..600_u16 {
            let count = 1 + lap * 43 % SIZE;
            world.driver.arm(count);
            assert!(!world.driver.want_call(count));
            for at in 1..=count {
                let (token, _) = world.take().unwrap();
                assert_eq!(world.give(token, written), at == count, "{at} of {count}: lap {lap}");
            }
            assert_eq!(world.driver.reap(written), count);
            world.driver.want_no_call();
            world.driver.arm(1);
            let (token, _) = world.take().unwrap();
            assert!(!world.give(token, written), "nobody waits");
            assert!(world.driver.want_call(1), "it is used already");
            assert_eq!(world.driver.reap(written), 1);
            world.driver.want_no_call();
        }
    }
}

#[test]
fn every_entry_has_a_buffer_of_its_own() {
    for (mut world, written) in worlds() {
        let queue = if written > 0 { Queue::Receive } else { Queue::Transmit };
        for slot in 0..SIZE {
            let mut bytes = [0xa5; BUFFER_LEN];
            bytes[..2].copy_from_slice(&slot.to_le_bytes());
            world.memory.write(queue, slot, &bytes);
        }
        world.driver.arm(SIZE);
        for slot in 0..SIZE {
            let (token, _) = world.take().unwrap();
            let guest = Guest::new(&world.table);
            if queue == Queue::Receive {
                world.chain.writer(&guest).write(&slot.to_be_bytes()).unwrap();
            } else {
                let mut bytes = [0; 2];
                assert_eq!(world.chain.reader(&guest).read(&mut bytes), Ok(2));
                assert_eq!(u16::from_le_bytes(bytes), slot);
            }
            world.give(token, written);
        }
        for slot in 0..SIZE {
            let mut bytes = [0; BUFFER_LEN];
            world.memory.read(queue, slot, &mut bytes);
            let written =
                if queue == Queue::Receive { slot.to_be_bytes() } else { slot.to_le_bytes() };
            assert_eq!(bytes[..2], written);
            assert!(bytes[2..].iter().all(|byte| *byte == 0xa5));
        }
    }
}

#[test]
#[should_panic(expected = "the next buffer")]
fn a_length_that_is_not_expected_is_noticed() {
    let mut world = World::new(Layout::Packed, Queue::Receive);
    world.driver.arm(1);
    let (token, _) = world.take().unwrap();
    world.give(token, 61);
    world.driver.reap(60);
}

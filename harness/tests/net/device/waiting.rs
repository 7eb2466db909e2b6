//! Frames whose answer has to wait.

use vhost_fuzz_core::memory::{AddressKind, Iotlb, RingSize, Space};
use vhost_fuzz_core::net::device::{Device, Due};
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_core::ring::{Guest, Layout, Position, Queue, flag};
use vhost_fuzz_core::vhost_user::payload::Iotlb as Update;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::net_device::{NetDevice as _, Start, Step, bit, frames, setup};
use vhost_fuzz_harness::ram::GuestRam as _;
use vhost_fuzz_harness::ring::step::Descriptor;
use vhost_fuzz_harness::ring::world::{World, position};
use vhost_fuzz_world::net::driver::{self, Driver};
use vhost_fuzz_world::ring::world;

use crate::device::rig::{Bare, run, starts};

#[test]
fn a_frame_waits_while_its_receive_queue_has_given_its_share() {
    let _shows = shows(&["DC-124"]);
    for start in starts() {
        let start = Start { sizes: [4, 16, 4, 16, 4], ..start };
        let mut steps = vec![Step::post(0, 4, 2048)];
        steps.extend((0..6).map(|_| Step::frame(0, frames::arp())));
        steps.push(Step::wake(0));
        assert_eq!(run(start, &steps).replies.len(), 4);
        steps.extend([Step::post(0, 2, 2048), Step::wake(0)]);
        assert_eq!(run(start, &steps).replies.len(), 6);
    }
    let mut bare = Bare::new(Start { sizes: [4, 16, 4, 16, 4], ..Start::default() });
    bare.drive(&Step::post(0, 4, 2048));
    (0..6).for_each(|_| bare.send(&frames::arp()));
    let [sent, _] = bare.serve();
    assert_eq!((sent.again, bare.used(1).len()), (true, 4), "two were not taken");
    // There are no buffers, and that is another matter: their answers are dropped.
    let [sent, _] = bare.serve();
    assert_eq!((sent.again, bare.used(1).len()), (false, 6));
    assert_eq!(bare.device.counters().dropped, 2);
}

#[test]
fn a_frame_that_takes_more_buffers_than_a_ring_has_does_not_wait_for_ever() {
    let _shows = shows(&["DC-124", "NET-026"]);
    for start in starts() {
        let features = start.features | bit::MRG_RXBUF;
        let start = Start { sizes: [4, 16, 4, 16, 4], features, ..start };
        let mut steps = vec![Step::post(0, 4, 54), Step::frame(0, frames::arp())];
        steps.extend([Step::frame(0, frames::echo(300)), Step::wake(0)]);
        steps.extend([Step::post(0, 1, 54), Step::wake(0), Step::frame(0, frames::arp())]);
        steps.push(Step::wake(0));
        // The first is answered, the long one waits, is found to be too long, and is dropped.
        assert_eq!(run(start, &steps).replies.len(), 2, "{start:?}");
    }
}

/// A device whose frames and buffers have I/O virtual addresses.
struct Translated {
    world: World,
    device: Device,
    queues: [Queue; 2],
    iotlb: Iotlb,
}

impl Translated {
    fn new() -> Self {
        let start = Start::default();
        let world = World::new(start.layout);
        let max = RingSize::check(16, false, RingSize::MAX).expect("a size");
        let mut device = Device::open(setup::config(&start, max));
        device.negotiated(Features::from_bits(start.features));
        let rings = driver::rings(&start);
        let mut driver = Driver::new(&start, &rings);
        let frame = [vec![0; 12], frames::arp()].concat();
        world.ram.put(0x2_0000, &frame);
        let list = |address, len, flags| [Descriptor { address, len, flags }].into_iter().collect();
        let rams = [&world.ram, &world.ram];
        let len = u32::try_from(frame.len()).expect("short");
        let descriptors = list(0x8000_0000, len, 0);
        driver.drive(rams, &Step::Chain { queue: 1, id: 0, descriptors });
        let descriptors = list(0x9000_0000, 64, flag::WRITE);
        driver.drive(rams, &Step::Chain { queue: 0, id: 0, descriptors });
        let queues = [0, 1].map(|queue: usize| {
            let mut it = Queue::new(Layout::Split, max);
            let mut setup = world::setup(&rings[queue]).expect("a size");
            setup.buffer_kind = AddressKind::Iova;
            it.activate(&setup, position(Layout::Split, 0), &world.guest()).expect("a ring");
            it
        });
        Self { world, device, queues, iotlb: Iotlb::new(8) }
    }

    fn map(&mut self, iova: u64, user: u64) {
        let kind = Update::UPDATE;
        let update = Update {
            iova,
            size: 0x1000,
            user_address: user,
            permissions: 3,
            kind,
            padding: [0; 6],
        };
        let updated = self.iotlb.update(&update, Space::Guest, self.world.ram.table());
        updated.expect("an update");
    }

    fn serve(&mut self) -> [Due; 2] {
        let guest = Guest { iotlb: Some(&self.iotlb), ..self.world.guest() };
        let [received, sent] = &mut self.queues;
        let (mut sent, mut received) =
            (sent.bind(&guest).expect("a ring"), received.bind(&guest).expect("a ring"));
        self.device.serve(&mut sent, Some(&mut received), &guest, 0)
    }

    fn positions(&self) -> [Option<Position>; 2] {
        [self.queues[0].position(), self.queues[1].position()]
    }
}

#[test]
fn a_frame_waits_for_a_translation_of_itself_or_of_its_buffer() {
    let _shows = shows(&["DC-124"]);
    let fresh = Some(Position::Split { available: 0 });
    let after = Some(Position::Split { available: 1 });
    let mut device = Translated::new();
    // Neither is known.
    let [sent, received] = device.serve();
    assert_eq!((sent.again, sent.broken, received.broken), (false, None, None));
    assert_eq!(device.positions(), [fresh; 2]);
    // The frame is.
    device.map(0x8000_0000, 0x2_0000);
    let [sent, _] = device.serve();
    assert_eq!((sent.again, device.positions()), (false, [fresh; 2]));
    assert_eq!(device.device.counters().delivered, 0);
    // Both are.
    device.map(0x9000_0000, 0x2_1000);
    device.serve();
    assert_eq!((device.positions(), device.device.counters().delivered), ([after; 2], 1));
    assert_eq!(
        device.world.ram.bytes(0x2_1000 + 12),
        frames::arp()[6..12].try_into().unwrap_or([0; 6])
    );
}

//! Where `spec/virtio.md` and `spec/vhost-user.md` meet: what the session and the placement of
//! rings show of the rules `VQ-nnn` and `PK-nnn`, and how conflicts between both were decided.

use vhost_fuzz_core::memory::ring::{Part, RingParts, place};
use vhost_fuzz_core::memory::{
    AddressKind, MemoryTable, PlaceError, Placement, RingSize, RingSizeError,
};
use vhost_fuzz_core::session::{
    BindError, Change, Event, Offer, OfferError, Position, Refusal, RingChange, Service,
    TRANSITIONS,
};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{Inflight, Region, VringAddr};
use vhost_fuzz_core::vhost_user::{FrontendRequest as R, Message, Payload};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::session::talk::{
    Ending, Seen, Talk, USER, address, bare, no_fd, number, offer, region, state, vring_addr,
    vring_fd,
};

const PACKED: u64 = Talk::FEATURES | virtio::RING_PACKED;

fn set_addr(addr: VringAddr) -> Message<'static> {
    Message::frontend(R::SET_VRING_ADDR, Payload::Addr(addr))
}

/// Addresses of a ring in which one part is moved by so many bytes.
fn moved(part: Part, bytes: u64) -> VringAddr {
    let mut addr = vring_addr(0);
    match part {
        Part::Descriptor => addr.descriptor += bytes,
        Part::Available => addr.available += bytes,
        Part::Used => addr.used += bytes,
    }
    addr
}

/// A table with one region at [`USER`].
fn memory_of(size: u64) -> MemoryTable<()> {
    let mut table = MemoryTable::new(1);
    table.add(Region { size, ..region(0) }, ()).expect("a good region");
    table
}

fn placed(table: &MemoryTable<()>, addr: &VringAddr, parts: &RingParts) -> Result<(), PlaceError> {
    place(table, None, AddressKind::User, addr, parts).map(|_: Placement| ())
}

fn size_of(num: u32, packed: bool) -> RingSize {
    RingSize::check(num, packed, RingSize::MAX).expect("a size")
}

#[test]
fn each_part_lies_on_its_boundary() {
    let _shows = shows(&["VQ-001", "VQ-002", "VQ-003", "PK-001"]);
    let split = [(Part::Descriptor, 16), (Part::Available, 2), (Part::Used, 4)];
    let packed = [(Part::Descriptor, 16), (Part::Available, 4), (Part::Used, 4)];
    let table = memory_of(0x1_0000);
    for (is_packed, boundaries) in [(false, split), (true, packed)] {
        let mut talk = Talk::ready();
        talk.features(if is_packed { PACKED } else { Talk::FEATURES });
        let parts = RingParts::new(size_of(16, is_packed), is_packed, true);
        for (part, align) in boundaries {
            for bytes in 0..=32 {
                let addr = moved(part, bytes);
                let said = talk.ask(set_addr(addr));
                if bytes % align == 0 {
                    assert_eq!(placed(&table, &addr, &parts), Ok(()), "{part} moved by {bytes}");
                    said.acked();
                } else {
                    let address = part.address(&addr);
                    let error = PlaceError::Misaligned { part, address, align };
                    assert_refused!(placed(&table, &addr, &parts), error);
                    assert_refused!(said.nack(), Refusal::Addresses(error));
                }
            }
        }
    }
}

#[test]
fn a_layout_that_is_chosen_after_the_addresses_counts_too() {
    let _shows = shows(&["PK-001"]);
    let mut talk = Talk::ready();
    talk.give_memory();
    talk.configure(0);
    let addr = moved(Part::Available, 2);
    talk.ask(set_addr(addr)).acked();
    talk.features(PACKED);
    talk.start(0);
    let error = PlaceError::Misaligned { part: Part::Available, address: addr.available, align: 4 };
    assert_refused!(talk.session().bind(0).map(drop), BindError::Place(error));
}

#[test]
fn a_ring_has_a_size_that_its_layout_can_have() {
    let _shows = shows(&["VQ-004", "PK-002"]);
    let powers: Vec<u32> = (0..=15).map(|bit| 1 << bit).collect();
    for num in (0..0x1_8001).chain([0x10_0000, 0x8000_0000, u32::MAX]) {
        let split = RingSize::check(num, false, RingSize::MAX);
        assert_eq!(split.is_ok(), powers.contains(&num), "split, {num}");
        let packed = RingSize::check(num, true, RingSize::MAX);
        assert_eq!(packed.is_ok(), (1..=32768).contains(&num), "packed, {num}");
        for size in [split, packed].into_iter().flatten() {
            assert_eq!(u32::from(size.get()), num);
        }
    }
    let mut talk = Talk::ready();
    talk.give_memory();
    talk.configure(0);
    let error = RingSizeError::NotPowerOfTwo { num: 24 };
    assert_refused!(talk.ask(state(R::SET_VRING_NUM, 0, 24)).nack(), Refusal::RingSize(error));
    // Of a packed ring it is a size; when the layout changes, the ring does not run.
    talk.features(PACKED);
    talk.ask(state(R::SET_VRING_NUM, 0, 24)).acked();
    talk.start(0);
    assert_eq!(talk.session().bind(0).map(|ring| ring.setup.size.get()), Ok(24));
    talk.stop(0);
    talk.features(Talk::FEATURES);
    talk.start(0);
    assert_refused!(talk.session().bind(0).map(drop), BindError::Size(error));
}

#[test]
fn a_ring_without_its_memory_waits_where_it_stood() {
    let _shows = shows(&["VQ-005", "DC-075"]);
    let mut talk = Talk::ready();
    talk.configure(0);
    talk.ask(state(R::SET_VRING_BASE, 0, 7)).acked();
    // Each part is looked for, to its last byte: descriptors, used ring, available ring.
    let parts = [(Part::Descriptor, 0x100), (Part::Used, 0x400 + 0x84), (Part::Available, 0x824)];
    for (part, end) in parts {
        let first = match part {
            Part::Descriptor => 0,
            Part::Used => 0x400,
            Part::Available => 0x800,
        };
        let ring = RingParts::new(size_of(16, false), false, false);
        assert_eq!(first + ring.size(part), end);
        let missing = PlaceError::Unmapped { part, address: USER + end - 1 };
        assert_refused!(placed(&memory_of(end - 1), &vring_addr(0), &ring), missing);
    }
    // The request that starts the ring is not refused (DC-037), but nothing is walked.
    talk.start(0);
    let missing = PlaceError::Unmapped { part: Part::Descriptor, address: USER };
    assert_refused!(talk.session().bind(0).map(drop), BindError::Place(missing));
    talk.give_memory();
    let bound = |talk: &Talk| talk.session().bind(0).map(|ring| ring.position);
    let position = Position::Split { available: 7 };
    assert_eq!(bound(&talk), Ok(position));
    // Memory goes and comes back. The ring was not stopped and does not have to be started.
    talk.table(&[region(1)]).silent();
    assert_refused!(bound(&talk), BindError::Place(missing));
    assert!(talk.ring(0).state().started);
    assert_eq!(talk.session().position(0), Some(position));
    talk.seen();
    talk.table(&[region(1), region(0)]).silent();
    assert_eq!(bound(&talk), Ok(position));
    let restarted = |seen: &Seen| matches!(seen, Seen::StartRing(_) | Seen::StopRing { .. });
    assert!(!talk.seen().iter().any(restarted));
}

#[test]
fn the_event_bytes_of_a_split_ring_are_part_of_it_only_with_event_idx() {
    let _shows = shows(&["VQ-006"]);
    for (part, end) in [(Part::Available, 0x1000), (Part::Used, 0x1000)] {
        let parts = |event_idx| RingParts::new(size_of(16, false), false, event_idx);
        let mut addr = vring_addr(0);
        let start = USER + end - parts(false).size(part);
        match part {
            Part::Available => addr.available = start,
            Part::Descriptor | Part::Used => addr.used = start,
        }
        assert_eq!(placed(&memory_of(end), &addr, &parts(false)), Ok(()));
        let missing = PlaceError::Unmapped { part, address: USER + end };
        assert_refused!(placed(&memory_of(end), &addr, &parts(true)), missing);
    }
}

#[test]
fn a_started_ring_stands_for_a_driver_that_is_ready() {
    let _shows = shows(&["VQ-051", "DC-076"]);
    let sees_status = Talk::ready().session().negotiated().protocol;
    assert_ne!(sees_status & protocol::STATUS, 0);
    for bits in [sees_status, sees_status & !protocol::STATUS] {
        let mut talk = Talk::having(bits);
        talk.give_memory();
        talk.configure(0);
        talk.ask(state(R::SET_VRING_ENABLE, 0, 1)).acked();
        let is_idle = |talk: &Talk| {
            talk.session().service(0) == Service::Idle
                && talk.session().bind(0).map(drop) == Err(BindError::Stopped { index: 0 })
                && talk.session().is_suspended()
        };
        assert!(is_idle(&talk));
        if bits & protocol::STATUS != 0 {
            // Up to DRIVER_OK no status starts a ring.
            for status in [0x01, 0x03, 0x0b, 0x0f] {
                talk.ask(number(R::SET_STATUS, status)).acked();
                assert!(is_idle(&talk), "status {status:#x}");
            }
            talk.ask(number(R::SET_STATUS, 0x0b)).acked();
        }
        talk.start(0);
        assert_eq!(talk.session().service(0), Service::Serve);
        assert_eq!(talk.session().bind(0).map(|ring| ring.service), Ok(Service::Serve));
        if bits & protocol::STATUS != 0 {
            talk.ask(number(R::SET_STATUS, 0)).acked();
            assert_eq!(talk.session().service(0), Service::Serve);
        }
    }
}

#[test]
fn a_reset_device_has_no_ring_that_could_be_touched() {
    let _shows = shows(&["VQ-052"]);
    let mut talk = Talk::ready();
    talk.run();
    talk.configure(1);
    talk.start(1);
    let is_stopped = |talk: &Talk| {
        (0..4).all(|index| {
            talk.session().service(index) == Service::Idle
                && talk.session().bind(index).map(drop) == Err(BindError::Stopped { index })
        })
    };
    assert!(!is_stopped(&talk) && !talk.session().is_suspended());
    talk.seen();
    talk.ask(bare(R::RESET_DEVICE)).acked();
    // The device was told before the answer went out.
    assert_eq!(talk.seen(), [Seen::Reset]);
    assert!(is_stopped(&talk) && talk.session().is_suspended());
    // A kick alone does not bring back what was there: each ring has to be described again.
    talk.features(Talk::FEATURES);
    let refusals = [BindError::NoSize { index: 0 }, BindError::NoAddresses { index: 0 }];
    let again = [state(R::SET_VRING_NUM, 0, 8), address(0)];
    for (refusal, message) in refusals.into_iter().zip(again) {
        talk.start(0);
        assert_refused!(talk.session().bind(0).map(drop), refusal);
        talk.stop(0);
        talk.ask(message).acked();
    }
    talk.start(0);
    let ring = talk.session().bind(0).expect("a ring in memory");
    assert_eq!((ring.setup.size.get(), ring.position), (8, Position::Split { available: 0 }));
}

#[test]
fn one_queue_is_reset_and_set_up_anew() {
    let _shows = shows(&["VQ-053", "VQ-055"]);
    for request in [R::GET_VRING_BASE, R::GET_VRING_BASE_SKIP_DRAIN] {
        let mut talk = Talk::ready();
        talk.run();
        talk.configure(1);
        talk.ask(state(R::SET_VRING_ENABLE, 1, 1)).acked();
        talk.start(1);
        talk.seen();
        talk.next_effect(Ending::Base(5));
        assert_eq!(talk.send(state(request, 0, 0), 0).state(), (0, 5));
        assert_eq!(talk.seen(), [Seen::StopRing { index: 0, drain: request == R::GET_VRING_BASE }]);
        assert_eq!(talk.session().service(0), Service::Idle);
        assert_refused!(talk.session().bind(0).map(drop), BindError::Stopped { index: 0 });
        assert!(talk.ring(0).kick().fd().is_none());
        // The other goes on.
        assert_eq!(talk.session().bind(1).map(|ring| ring.service), Ok(Service::Serve));
        talk.ask(state(R::SET_VRING_NUM, 0, 32)).acked();
        talk.ask(state(R::SET_VRING_BASE, 0, 0)).acked();
        talk.ask(set_addr(VringAddr { index: 0, ..vring_addr(7) })).acked();
        talk.start(0);
        let ring = talk.session().bind(0).expect("a ring in memory");
        assert_eq!((ring.setup.size.get(), ring.position), (32, Position::Split { available: 0 }));
        assert_eq!(ring.placement.descriptor.address, vring_addr(7).descriptor);
        assert_eq!(ring.placement.used.len, 4 + 8 * 32);
    }
}

#[test]
fn an_offer_has_what_its_features_need() {
    let _shows = shows(&["VQ-063"]);
    let inband = protocol::INBAND_NOTIFICATIONS;
    let skip = protocol::GET_VRING_BASE_SKIP_DRAIN;
    let needs = [
        (inband, protocol::BACKEND_REQ | protocol::REPLY_ACK),
        (skip, protocol::GET_VRING_BASE_INFLIGHT | protocol::INFLIGHT_SHMFD),
    ];
    for (bit, needed) in needs {
        let check = |protocol_features| Offer { protocol_features, ..offer() }.check();
        assert_eq!(check(bit | needed), Ok(()));
        for lacking in (0..64).map(|bit| 1 << bit).filter(|bit| needed & bit != 0) {
            let bits = bit | needed & !lacking;
            let error = if bit == inband {
                OfferError::InbandAlone { bits }
            } else {
                OfferError::SkipDrainAlone { bits }
            };
            assert_refused!(check(bits), error);
        }
    }
    let crypto = Offer { device: Offer::CRYPTO, ..offer() };
    let without = crypto.protocol_features & !protocol::CRYPTO_SESSION;
    let crypto = Offer { protocol_features: without, ..crypto };
    assert_refused!(crypto.check(), OfferError::CryptoWithoutSessions);
}

#[test]
fn what_was_not_offered_is_refused_and_what_lacks_its_prerequisite_is_not() {
    let _shows = shows(&["VQ-064", "DC-073"]);
    // No bit is exempt, neither logging nor protocol features.
    let nothing = Offer { features: 0, protocol_features: 0, ..offer() };
    for bit in (0..64).map(|bit| 1 << bit) {
        let mut talk = Talk::with(nothing.clone());
        let said = talk.bytes(&set_features(bit), 0);
        assert_refused!(said.closed(), Refusal::FeaturesNotOffered { bits: bit });
        assert_eq!(talk.session().negotiated().virtio, None);
        let mut talk = Talk::with(Offer { features: bit, ..nothing.clone() });
        talk.bytes(&set_features(bit), 0).silent();
        assert_eq!(talk.session().negotiated().virtio, Some(bit));
    }
    // Each bit alone of a device that offers all: GUEST_TSO4 without GUEST_CSUM, MQ without
    // CTRL_VQ, RING_PACKED without VERSION_1.
    let mut talk = Talk::with(Offer { features: u64::MAX, ..offer() });
    for bit in (0..64).map(|bit| 1 << bit) {
        talk.bytes(&set_features(bit), 0).silent();
        assert_eq!(talk.seen(), [Seen::Features(bit)]);
        assert_eq!(talk.session().negotiated().virtio, Some(bit));
    }
}

fn set_features(bits: u64) -> Vec<u8> {
    vhost_fuzz_harness::session::talk::encode(&number(R::SET_FEATURES, bits))
}

#[test]
fn what_describes_a_running_ring_does_not_change_behind_its_back() {
    let _shows = shows(&["VQ-065", "DC-077"]);
    let mut talk = Talk::ready();
    talk.run();
    let refusal = Refusal::RingStarted { index: 0 };
    for num in [1, 16, 32] {
        assert_refused!(talk.ask(state(R::SET_VRING_NUM, 0, num)).nack(), refusal);
    }
    assert_refused!(talk.ask(state(R::SET_VRING_BASE, 0, 3)).nack(), refusal);
    assert_eq!((talk.ring(0).size(), talk.ring(0).base()), (16, 0));
    let placement = |talk: &Talk| talk.session().bind(0).expect("a ring in memory").placement;
    let before = placement(&talk);
    // New addresses: who walks the ring hears of it before the answer goes out.
    let addr = VringAddr { index: 0, ..vring_addr(3) };
    let seen = talk.hold(set_addr(addr).with_need_reply(), 0);
    assert_eq!(seen, Seen::UpdateRing(0, RingChange::Addr));
    assert_eq!(placement(&talk).descriptor.address, addr.descriptor);
    talk.release(&seen, &Ending::Well).acked();
    let after = placement(&talk);
    assert_ne!(after, before);
    // New memory: what was bound before is not good any more, and what is bound now is.
    let is_current =
        |talk: &Talk, placement: &Placement| placement.is_current(talk.session().memory(), None);
    assert!(is_current(&talk, &after));
    talk.table(&[region(1), region(0)]).silent();
    assert!(!is_current(&talk, &after));
    let rebound = placement(&talk);
    assert!(is_current(&talk, &rebound));
    assert_ne!(rebound.descriptor.first.slot, after.descriptor.first.slot);
}

#[test]
fn a_ring_starts_with_a_request_and_not_with_a_kick() {
    let _shows = shows(&["VQ-070", "DC-074"]);
    // What starts a ring, in the table that the session runs.
    let starting = TRANSITIONS.iter().filter(|row| row.started == Change::Set);
    let starting: Vec<_> = starting.map(|row| row.event).collect();
    assert_eq!(starting, [Event::SetKick, Event::KickMessage]);
    let bits = protocol::INBAND_NOTIFICATIONS | protocol::REPLY_ACK | protocol::BACKEND_REQ;
    let requests = [
        (vring_fd(R::SET_VRING_KICK, 0), 1),
        (no_fd(R::SET_VRING_KICK, 0), 0),
        (state(R::VRING_KICK, 0, 0), 0),
    ];
    for (message, fds) in requests {
        let mut talk = Talk::having(bits);
        talk.give_memory();
        talk.configure(0);
        let uses = |talk: &Talk| {
            let service = talk.session().service(0);
            [service.takes_packets(), service.supplies_packets(), service.forwards_packets()]
        };
        // Stopped: no processing, enabled or not.
        for enable in [1, 0] {
            talk.ask(state(R::SET_VRING_ENABLE, 0, enable)).acked();
            assert_eq!(uses(&talk), [false; 3]);
            assert_refused!(talk.session().bind(0).map(drop), BindError::Stopped { index: 0 });
        }
        // Nobody wrote to the descriptor, and the ring runs. It is disabled: no side effects.
        talk.ask_with(message, fds).acked();
        assert_eq!(talk.seen(), [Seen::StartRing(0)]);
        assert_eq!(uses(&talk), [true, false, false]);
        assert_eq!(talk.session().bind(0).map(|ring| ring.service), Ok(Service::Discard));
        talk.ask(state(R::SET_VRING_ENABLE, 0, 1)).acked();
        assert_eq!(uses(&talk), [true; 3]);
        talk.stop(0);
        assert_eq!(uses(&talk), [false; 3]);
    }
}

#[test]
fn a_split_base_has_sixteen_bits() {
    let _shows = shows(&["VQ-071", "DC-072"]);
    let mut talk = Talk::ready();
    talk.run();
    talk.stop(0);
    for base in [0x1_0000, 0x1_ffff, 0x8000_8000, u32::MAX] {
        let said = talk.ask(state(R::SET_VRING_BASE, 0, base));
        assert_refused!(said.nack(), Refusal::SplitBase { base });
    }
    assert_eq!(talk.ring(0).base(), 0);
    talk.ask(state(R::SET_VRING_BASE, 0, 0xffff)).acked();
    // A base that came before the layout, or for the other one, counts with its lower half: in
    // the reply as well as in the ring.
    let unknown = Talk::new();
    let mut packed = Talk::ready();
    packed.features(PACKED);
    for mut talk in [unknown, packed] {
        talk.send(state(R::SET_VRING_BASE, 0, 0x8005_1234), 0).silent();
        talk.features(Talk::FEATURES);
        assert_eq!(talk.session().position(0), Some(Position::Split { available: 0x1234 }));
        assert_eq!(talk.send(state(R::GET_VRING_BASE, 0, 0), 0).state(), (0, 0x1234));
        talk.give_memory();
        talk.send(state(R::SET_VRING_NUM, 0, 16), 0).silent();
        talk.send(address(0), 0).silent();
        talk.start(0);
        let position = talk.session().bind(0).map(|ring| ring.position);
        assert_eq!(position, Ok(Position::Split { available: 0x1234 }));
    }
}

/// A device with packed rings of 1000 entries, ring 0 in memory and stopped.
fn packed_talk() -> Talk {
    let mut talk = Talk::ready();
    talk.features(PACKED);
    talk.give_memory();
    talk.configure(0);
    let addr = VringAddr { available: USER + 0x8000, used: USER + 0x8010, ..vring_addr(0) };
    talk.ask(set_addr(addr)).acked();
    talk.ask(state(R::SET_VRING_NUM, 0, 1000)).acked();
    talk
}

/// Gives the device an in-flight area.
fn track(talk: &mut Talk) {
    let area = Inflight {
        mmap_size: 0x1_0000,
        mmap_offset: 0,
        num_queues: 1,
        queue_size: 1000,
        padding: 0,
    };
    talk.ask_with(Message::frontend(R::SET_INFLIGHT_FD, Payload::Inflight(area)), 1).acked();
}

/// Where ring 0 begins with this base, started and stopped again. While it is stopped the session
/// gives the base back as it came.
fn begins(talk: &mut Talk, base: u32) -> Result<Position, BindError> {
    talk.ask(state(R::SET_VRING_BASE, 0, base)).acked();
    assert_eq!(talk.send(state(R::GET_VRING_BASE, 0, 0), 0).state(), (0, base));
    talk.start(0);
    let position = talk.session().bind(0).map(|ring| ring.position);
    talk.next_effect(Ending::Base(base));
    talk.stop(0);
    position
}

const fn packed(available: (u16, bool), used: (u16, bool)) -> Position {
    Position::Packed {
        available: available.0,
        available_wrap: available.1,
        used: used.0,
        used_wrap: used.1,
    }
}

#[test]
fn a_packed_base_has_four_fields() {
    let _shows = shows(&["PK-038"]);
    let mut talk = packed_talk();
    for available in [(0, true), (3, false), (999, true)] {
        for used in [(0, true), (5, false), (998, true)] {
            let half = |(index, wrap): (u16, bool)| u32::from(index) | u32::from(wrap) << 15;
            let base = half(used) << 16 | half(available);
            let position = packed(available, used);
            assert_eq!(begins(&mut talk, base), Ok(position), "{base:#x}");
            // What a ring that ran has reached comes back with all four, too.
            talk.start(0);
            talk.next_effect(Ending::Base(position.base()));
            assert_eq!(talk.send(state(R::GET_VRING_BASE, 0, 0), 0).state(), (0, base));
        }
    }
}

#[test]
fn a_packed_base_is_judged_when_the_ring_starts() {
    for base in [1000, 0x83e8_8000, 0x8000_83e8, 0x7fff_7fff, u32::MAX] {
        let mut talk = packed_talk();
        // Not when it comes: the size may come later.
        assert_refused!(begins(&mut talk, base), BindError::Base { base, size: 1000 });
        talk.ask(state(R::SET_VRING_NUM, 0, 1024)).acked();
        let is_inside = [base, base >> 16].iter().all(|half| half & 0x7fff < 1024);
        assert_eq!(begins(&mut talk, base).is_ok(), is_inside, "{base:#x}");
    }
    let mut talk = packed_talk();
    assert_eq!(begins(&mut talk, 0x03e7_83e7), Ok(packed((999, true), (999, false))));
}

#[test]
fn half_a_packed_base_is_the_whole_unless_requests_are_tracked() {
    let _shows = shows(&["PK-040", "DC-071"]);
    let halves = [(0x8000, (0, true)), (0x8003, (3, true)), (3, (3, false)), (0, (0, false))];
    let mut talk = packed_talk();
    for (base, both) in halves {
        assert_eq!(begins(&mut talk, base), Ok(packed(both, both)), "{base:#x}");
    }
    assert_eq!(begins(&mut talk, 0x0001_8000), Ok(packed((0, true), (1, false))));
    // Something may be in flight: it is what it says.
    track(&mut talk);
    for (base, available) in halves {
        assert_eq!(begins(&mut talk, base), Ok(packed(available, (0, false))), "{base:#x}");
    }
    // The area may also come after the base, or go.
    let mut talk = packed_talk();
    talk.ask(state(R::SET_VRING_BASE, 0, 0x8000)).acked();
    let fresh = packed((0, true), (0, true));
    assert_eq!(talk.session().position(0), Some(fresh));
    track(&mut talk);
    assert_eq!(talk.session().position(0), Some(packed((0, true), (0, false))));
    talk.ask(bare(R::RESET_DEVICE)).acked();
    talk.features(PACKED);
    talk.ask(state(R::SET_VRING_BASE, 0, 0x8000)).acked();
    assert_eq!(talk.session().position(0), Some(fresh));
    assert_eq!(talk.session().position(4), None);
}

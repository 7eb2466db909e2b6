//! Rings (spec §6.5): what starts, stops, enables and describes them. The table of events is in
//! `session_ring_states.rs`.

use vhost_fuzz_core::channel::Notifier;
use vhost_fuzz_core::memory::{PlaceError, RingSizeError, ring::Part};
use vhost_fuzz_core::ring::Layout;
use vhost_fuzz_core::session::{BindError, Endian, Position, Refusal, RingChange, Service};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::VringAddr;
use vhost_fuzz_core::vhost_user::{FrontendRequest as R, Message, Payload};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::session::talk::{
    Ending, Seen, Talk, address, bare, no_fd, state, vring_addr, vring_fd,
};

const PACKED: u64 = Talk::FEATURES | virtio::RING_PACKED;

fn set_addr(addr: VringAddr) -> Message<'static> {
    Message::frontend(R::SET_VRING_ADDR, Payload::Addr(addr))
}

fn with_inband() -> Talk {
    let bits = protocol::INBAND_NOTIFICATIONS | protocol::REPLY_ACK | protocol::BACKEND_REQ;
    Talk::having(bits)
}

#[test]
fn a_connection_begins_with_every_ring_stopped_and_disabled() {
    let _shows = shows(&["VU-058"]);
    let mut talk = Talk::ready();
    let is_initial = |talk: &Talk| {
        talk.session().is_suspended()
            && talk.session().rings().iter().all(|ring| {
                let state = ring.state();
                !state.started && !state.enabled && ring.kick().fd().is_none() && ring.size() == 0
            })
    };
    assert!(is_initial(&talk));
    talk.run();
    talk.disconnect();
    assert!(is_initial(&talk));
    assert_eq!((talk.open_fds(), talk.open_mappings()), (0, 0));
}

#[test]
fn what_is_done_with_a_ring_follows_from_its_two_flags() {
    let _shows = shows(&["VU-059", "VU-061", "VU-062", "VU-063", "VU-064"]);
    let mut talk = Talk::ready();
    talk.give_memory();
    talk.configure(0);
    let service = |talk: &Talk| {
        let service = talk.session().service(0);
        let uses =
            [service.supplies_packets(), service.takes_packets(), service.forwards_packets()];
        (service, uses, talk.session().bind(0).map(|binding| binding.service))
    };
    let stopped = Err(BindError::Stopped { index: 0 });
    assert_eq!(service(&talk), (Service::Idle, [false; 3], stopped));
    talk.ask(state(R::SET_VRING_ENABLE, 0, 1)).acked();
    assert_eq!(service(&talk), (Service::Idle, [false; 3], stopped));
    talk.start(0);
    assert_eq!(service(&talk), (Service::Serve, [true; 3], Ok(Service::Serve)));
    talk.ask(state(R::SET_VRING_ENABLE, 0, 0)).acked();
    let discard = (Service::Discard, [false, true, false], Ok(Service::Discard));
    assert_eq!(service(&talk), discard);
    assert_eq!(talk.session().service(4), Service::Idle);
}

#[test]
fn enabling_a_stopped_ring_is_remembered() {
    let _shows = shows(&["VU-060", "VU-109"]);
    let mut talk = Talk::ready();
    talk.ask(state(R::SET_VRING_ENABLE, 0, 1)).acked();
    assert_eq!(talk.seen(), []);
    talk.start(0);
    assert_eq!(talk.session().service(0), Service::Serve);
    assert_eq!(talk.seen(), [Seen::StartRing(0)]);
    // A device that looks at the ring hears of a change, and of nothing that is none.
    talk.ask(state(R::SET_VRING_ENABLE, 0, 0)).acked();
    talk.ask(state(R::SET_VRING_ENABLE, 0, 0)).acked();
    assert_eq!(talk.seen(), [Seen::UpdateRing(0, RingChange::Enable)]);
    assert_eq!(talk.session().service(0), Service::Discard);
}

#[test]
fn a_kick_descriptor_starts_a_ring_before_anybody_kicks() {
    let _shows = shows(&["VU-065", "VU-070", "VU-071"]);
    let mut talk = Talk::ready();
    talk.ask_with(vring_fd(R::SET_VRING_KICK, 2), 1).acked();
    assert_eq!(talk.seen(), [Seen::StartRing(2)]);
    assert!(talk.ring(2).state().started && !talk.session().is_suspended());
}

#[test]
fn a_ring_that_stopped_starts_again_where_it_stopped() {
    let _shows = shows(&["VU-066", "VU-067", "VU-068", "VU-257"]);
    for (request, drain) in [(R::GET_VRING_BASE, true), (R::GET_VRING_BASE_SKIP_DRAIN, false)] {
        let mut talk = Talk::ready();
        talk.run();
        talk.next_effect(Ending::Base(7));
        assert_eq!(talk.send(state(request, 0, 0xdead_beef), 0).state(), (0, 7));
        assert_eq!(talk.seen(), [Seen::StopRing { index: 0, drain }]);
        assert!(!talk.ring(0).state().started && talk.ring(0).state().enabled);
        talk.start(0);
        let position = talk.session().bind(0).expect("a ring in memory").position;
        assert_eq!(position, Position::Split { available: 7 });
    }
}

#[test]
fn a_ring_that_the_device_does_not_have_is_refused_everywhere() {
    let mut talk = with_inband();
    let requests = [R::SET_VRING_NUM, R::SET_VRING_BASE, R::SET_VRING_ENABLE, R::VRING_KICK];
    for index in [4, 0xffff, 0x1_0000, 0x8000_0000, u32::MAX] {
        let refusal = Refusal::RingIndex { index, queues: 4 };
        for request in requests {
            assert_refused!(talk.ask(state(request, index, 1)).nack(), refusal, "{request:?}");
        }
        let addr = set_addr(VringAddr { index, ..vring_addr(0) });
        assert_refused!(talk.ask(addr).nack(), refusal);
        assert_refused!(talk.ask(state(R::GET_VRING_BASE, index, 0)).closed(), refusal);
        let bound = talk.session().bind(index).map(|binding| binding.setup.size);
        assert_refused!(bound, BindError::Index(refusal));
    }
    for index in [4, 255] {
        let refusal = Refusal::RingIndex { index: index.into(), queues: 4 };
        for request in [R::SET_VRING_KICK, R::SET_VRING_CALL, R::SET_VRING_ERR] {
            assert_refused!(talk.ask_with(vring_fd(request, index), 1).nack(), refusal);
            assert_refused!(talk.ask(no_fd(request, index)).nack(), refusal);
        }
    }
    assert_eq!((talk.seen(), talk.open_fds()), (vec![], 0));
    let mut talk = Talk::ready();
    let refusal = Refusal::RingIndex { index: 4, queues: 4 };
    assert_refused!(talk.ask(state(R::SET_VRING_ENDIAN, 4, 0)).nack(), refusal);
    assert_refused!(talk.ask(state(R::GET_VRING_BASE_SKIP_DRAIN, 4, 0)).closed(), refusal);
}

#[test]
fn a_size_that_no_ring_can_have_is_refused() {
    let mut talk = Talk::ready();
    for (num, error) in [
        (0, RingSizeError::Zero),
        (3, RingSizeError::NotPowerOfTwo { num: 3 }),
        (1000, RingSizeError::NotPowerOfTwo { num: 1000 }),
        (2048, RingSizeError::AboveDevice { num: 2048, limit: 1024 }),
        (65536, RingSizeError::TooLarge { num: 65536 }),
        (65792, RingSizeError::TooLarge { num: 65792 }),
        (u32::MAX, RingSizeError::TooLarge { num: u32::MAX }),
    ] {
        let said = talk.ask(state(R::SET_VRING_NUM, 0, num));
        assert_refused!(said.nack(), Refusal::RingSize(error), "size {num}");
    }
    assert_eq!(talk.ring(0).size(), 0);
    talk.ask(state(R::SET_VRING_NUM, 0, 1024)).acked();
    assert_eq!(talk.ring(0).size(), 1024);
    talk.features(PACKED);
    talk.ask(state(R::SET_VRING_NUM, 0, 1000)).acked();
}

#[test]
fn a_part_that_is_misaligned_is_refused_at_once() {
    let mut talk = Talk::ready();
    let good = vring_addr(0);
    for (addr, part, align) in [
        (VringAddr { descriptor: 8, ..good }, Part::Descriptor, 16),
        (VringAddr { used: 2, ..good }, Part::Used, 4),
        (VringAddr { available: 1, ..good }, Part::Available, 2),
    ] {
        let refusal = Refusal::Addresses(PlaceError::Misaligned {
            part,
            address: part.address(&addr),
            align,
        });
        assert_refused!(talk.ask(set_addr(addr)).nack(), refusal);
    }
    assert_eq!(talk.ring(0).addr(), None);
    talk.ask(set_addr(VringAddr { flags: 2, available: 2, ..good })).acked();
    talk.features(PACKED);
    let addr = VringAddr { available: 2, ..good };
    let misaligned = PlaceError::Misaligned { part: Part::Available, address: 2, align: 4 };
    assert_refused!(talk.ask(set_addr(addr)).nack(), Refusal::Addresses(misaligned));
}

#[test]
fn the_base_of_a_split_ring_is_its_next_available_index() {
    let _shows = shows(&["VU-084", "VU-085", "VU-089", "VU-091"]);
    let mut talk = Talk::ready();
    talk.run();
    talk.next_effect(Ending::Base(0xffff));
    assert_eq!(talk.send(state(R::GET_VRING_BASE, 0, 0), 0).state(), (0, 0xffff));
    for base in [0, 16, 0xffff] {
        talk.ask(state(R::SET_VRING_BASE, 0, base)).acked();
        assert_eq!(talk.send(state(R::GET_VRING_BASE, 0, 0), 0).state(), (0, base));
    }
    // The position has no used index: that is read from the ring in memory.
    talk.start(0);
    let position = talk.session().bind(0).expect("a ring in memory").position;
    assert_eq!(position, Position::Split { available: 0xffff });
    // Free running, in 16 bits, whatever the device counted.
    talk.next_effect(Ending::Base(0x1_0002));
    assert_eq!(talk.send(state(R::GET_VRING_BASE, 0, 0), 0).state(), (0, 2));
    talk.configure(3);
    talk.start(3);
    assert_eq!(talk.send(state(R::GET_VRING_BASE, 3, 0), 0).state(), (3, 0));
}

#[test]
fn a_split_base_has_no_upper_half() {
    let mut talk = Talk::ready();
    let refusal = Refusal::SplitBase { base: 0x1_ffff };
    assert_refused!(talk.ask(state(R::SET_VRING_BASE, 0, 0x1_ffff)).nack(), refusal);
    assert_eq!(talk.send(state(R::GET_VRING_BASE, 0, 0), 0).state(), (0, 0));
    // Before SET_FEATURES nobody knows what the halves mean; afterwards it is cut.
    let mut talk = Talk::new();
    talk.send(state(R::SET_VRING_BASE, 0, 0x1_ffff), 0).silent();
    assert_eq!(talk.send(state(R::GET_VRING_BASE, 0, 0), 0).state(), (0, 0x1_ffff));
    talk.features(Talk::FEATURES);
    assert_eq!(talk.send(state(R::GET_VRING_BASE, 0, 0), 0).state(), (0, 0xffff));
}

/// The position of a packed ring that begins at a base.
fn packed_position(base: u32) -> Position {
    let mut talk = Talk::ready();
    talk.features(PACKED);
    talk.give_memory();
    talk.configure(0);
    talk.send(state(R::SET_VRING_NUM, 0, 1000), 0).silent();
    talk.ask(state(R::SET_VRING_BASE, 0, base)).acked();
    assert_eq!(talk.send(state(R::GET_VRING_BASE, 0, 0), 0).state(), (0, base));
    talk.start(0);
    talk.session().bind(0).expect("a ring in memory").position
}

#[test]
fn the_base_of_a_packed_ring_is_both_indexes_and_both_wrap_counters() {
    let _shows = shows(&["VU-086", "VU-090"]);
    let packed = |available, available_wrap, used, used_wrap| Position::Packed {
        available,
        available_wrap,
        used,
        used_wrap,
    };
    assert_eq!(packed_position(0x8005_0003), packed(3, false, 5, true));
    assert_eq!(packed_position(0x0005_8003), packed(3, true, 5, false));
    // DV-32, DC-071: the upper half was not filled in.
    assert_eq!(packed_position(0x0000_8000), packed(0, true, 0, true));
    assert_eq!(packed_position(0x0000_8003), packed(3, true, 3, true));
    assert_eq!(packed_position(0x0000_0123), packed(0x123, false, 0x123, false));
    let mut talk = Talk::ready();
    talk.features(PACKED);
    talk.run();
    talk.next_effect(Ending::Base(0x8005_8007));
    assert_eq!(talk.send(state(R::GET_VRING_BASE, 0, 0), 0).state(), (0, 0x8005_8007));
}

#[test]
fn a_base_outside_of_a_packed_ring_is_not_followed() {
    for base in [0x0000_0010, 0x0010_0000, 0x7fff_7fff] {
        let mut talk = Talk::ready();
        talk.features(PACKED);
        talk.run();
        talk.next_effect(Ending::Base(base));
        assert_eq!(talk.send(state(R::GET_VRING_BASE, 0, 0), 0).state(), (0, base));
        talk.start(0);
        let bound = talk.session().bind(0).map(|binding| binding.position);
        assert_refused!(bound, BindError::Base { base, size: 16 });
    }
}

#[test]
fn a_ring_is_polled_when_the_flag_says_so() {
    let _shows = shows(&["VU-100"]);
    let mut talk = Talk::ready();
    talk.ask(no_fd(R::SET_VRING_KICK, 1)).acked();
    assert_eq!(talk.seen(), [Seen::StartRing(1)]);
    assert!(matches!(talk.ring(1).kick(), Notifier::Flag));
}

#[test]
fn a_kick_descriptor_is_preferred_over_the_message() {
    let _shows = shows(&["VU-101"]);
    let mut talk = with_inband();
    talk.start(0);
    assert_eq!(talk.seen(), [Seen::StartRing(0)]);
    talk.ask(state(R::VRING_KICK, 0, 0)).acked();
    assert_eq!(talk.seen(), []);
    talk.ask(no_fd(R::SET_VRING_KICK, 0)).acked();
    talk.ask(state(R::VRING_KICK, 0, 0)).acked();
    assert_eq!(talk.seen(), [Seen::UpdateRing(0, RingChange::Kick), Seen::KickRing(0)]);
}

#[test]
fn a_kick_message_starts_a_stopped_ring() {
    let _shows = shows(&["VU-219"]);
    let mut talk = with_inband();
    talk.ask(state(R::VRING_KICK, 1, 0)).acked();
    assert_eq!(talk.seen(), [Seen::StartRing(1)]);
    assert!(talk.ring(1).state().started);
    talk.ask(state(R::VRING_KICK, 1, 0)).acked();
    assert_eq!(talk.seen(), [Seen::KickRing(1)]);
}

#[test]
fn the_descriptor_given_last_counts_and_the_one_before_is_closed() {
    let _shows = shows(&["VU-103", "VU-106", "VU-107"]);
    let kinds = [
        (R::SET_VRING_KICK, RingChange::Kick),
        (R::SET_VRING_CALL, RingChange::Call),
        (R::SET_VRING_ERR, RingChange::Err),
    ];
    let mut talk = Talk::ready();
    talk.start(0);
    talk.seen();
    for (at, (request, change)) in kinds.into_iter().enumerate() {
        for _ in 0..3 {
            talk.ask_with(vring_fd(request, 0), 1).acked();
            let ring = talk.ring(0);
            let notifier = [ring.kick(), ring.call(), ring.err()][at];
            assert_eq!(notifier.fd().map(|fd| fd.number()), Some(talk.given()[0]));
            assert_eq!(talk.open_fds(), at + 1);
            assert_eq!(talk.seen(), [Seen::UpdateRing(0, change)]);
        }
    }
    for (request, _) in kinds {
        talk.ask(no_fd(request, 0)).acked();
    }
    assert_eq!(talk.open_fds(), 0);
}

#[test]
fn a_stop_closes_the_kick_and_keeps_the_others() {
    let mut talk = Talk::ready();
    talk.run();
    talk.send(vring_fd(R::SET_VRING_CALL, 0), 1).silent();
    talk.send(vring_fd(R::SET_VRING_ERR, 0), 1).silent();
    assert_eq!(talk.send(state(R::GET_VRING_BASE, 0, 0), 0).state(), (0, 0));
    let ring = talk.ring(0);
    assert!(ring.kick().fd().is_none() && ring.call().fd().is_some() && ring.err().fd().is_some());
}

#[test]
fn enable_and_byte_order_are_0_or_1() {
    let mut talk = Talk::ready();
    for num in [2, 0x100, u32::MAX] {
        let said = talk.ask(state(R::SET_VRING_ENABLE, 0, num));
        assert_refused!(said.nack(), Refusal::EnableValue { num });
        let said = talk.ask(state(R::SET_VRING_ENDIAN, 0, num));
        assert_refused!(said.nack(), Refusal::EndianValue { num });
    }
    assert!(!talk.ring(0).state().enabled);
    assert_eq!(talk.ring(0).endian(), None);
}

#[test]
fn both_byte_orders_are_taken_before_a_ring_starts() {
    let _shows = shows(&["VU-113", "VU-264"]);
    let mut talk = Talk::ready();
    for (num, endian) in [(1, Endian::Big), (0, Endian::Little)] {
        talk.ask(state(R::SET_VRING_ENDIAN, 0, num)).acked();
        assert_eq!(talk.ring(0).endian(), Some(endian));
    }
    talk.start(0);
    let refusal = Refusal::RingStarted { index: 0 };
    assert_refused!(talk.ask(state(R::SET_VRING_ENDIAN, 0, 1)).nack(), refusal);
    assert_eq!(talk.ring(0).endian(), Some(Endian::Little));
}

#[test]
fn a_started_ring_keeps_its_size_and_its_base() {
    let _shows = shows(&["DC-017"]);
    let mut talk = Talk::ready();
    talk.run();
    let refusal = Refusal::RingStarted { index: 0 };
    for request in [R::SET_VRING_NUM, R::SET_VRING_BASE, R::SET_VRING_ENDIAN] {
        assert_refused!(talk.ask(state(request, 0, 1)).nack(), refusal, "{request:?}");
    }
    assert_eq!((talk.ring(0).size(), talk.ring(0).base()), (16, 0));
    // Another ring is not concerned.
    talk.ask(state(R::SET_VRING_NUM, 1, 8)).acked();
}

#[test]
fn there_is_no_order_among_what_describes_a_ring() {
    let mut talk = Talk::ready();
    talk.start(0);
    talk.give_memory();
    let missing = BindError::NoSize { index: 0 };
    assert_refused!(talk.session().bind(0).map(|ring| ring.setup.size), missing);
    let mut talk = Talk::ready();
    talk.ask(state(R::SET_VRING_NUM, 0, 16)).acked();
    talk.start(0);
    let missing = BindError::NoAddresses { index: 0 };
    assert_refused!(talk.session().bind(0).map(|ring| ring.setup.size), missing);
    talk.ask(address(0)).acked();
    let first = PlaceError::Unmapped { part: Part::Descriptor, address: vring_addr(0).descriptor };
    assert_refused!(talk.session().bind(0).map(|ring| ring.setup.size), BindError::Place(first));
    talk.give_memory();
    assert!(talk.session().bind(0).is_ok());
    assert_eq!(talk.ask(bare(R::GET_FEATURES)).payload().len(), 8);
}

#[test]
fn a_size_that_later_features_forbid_is_not_used() {
    let mut talk = Talk::ready();
    talk.features(PACKED);
    talk.give_memory();
    talk.configure(0);
    talk.ask(state(R::SET_VRING_NUM, 0, 3)).acked();
    talk.features(Talk::FEATURES);
    talk.start(0);
    let error = BindError::Size(RingSizeError::NotPowerOfTwo { num: 3 });
    assert_refused!(talk.session().bind(0).map(|ring| ring.setup.size), error);
}

#[test]
fn a_ring_is_bound_as_its_features_say() {
    for (features, packed, event_idx, available) in [
        (0, false, false, 4 + 2 * 16),
        (virtio::EVENT_IDX, false, true, 4 + 2 * 16 + 2),
        (virtio::RING_PACKED, true, false, 4),
        (virtio::RING_PACKED | virtio::EVENT_IDX, true, true, 4),
    ] {
        let mut talk = Talk::ready();
        talk.features(Talk::FEATURES | features);
        talk.run();
        let ring = talk.session().bind(0).expect("a ring in memory");
        let is_packed = ring.layout == Layout::Packed;
        let found = (is_packed, ring.setup.features.event_idx, ring.setup.size.get());
        assert_eq!(found, (packed, event_idx, 16));
        assert_eq!(ring.placement.available.len, available);
    }
}

/// A driver that polls gives no call descriptor, and nobody has to give one for errors.
#[test]
fn a_ring_starts_without_call_and_error_descriptors() {
    let _shows = shows(&["VU-065", "VU-070"]);
    let mut talk = Talk::ready();
    talk.run();
    let ring = talk.ring(0);
    assert!(matches!((ring.call(), ring.err()), (Notifier::None, Notifier::None)));
    assert_eq!(talk.session().bind(0).map(|ring| ring.service), Ok(Service::Serve));
    // The flag takes a descriptor back; the ring goes on.
    talk.send(vring_fd(R::SET_VRING_CALL, 0), 1).silent();
    talk.ask(no_fd(R::SET_VRING_CALL, 0)).acked();
    assert!(matches!(talk.ring(0).call(), Notifier::Flag));
    assert!(talk.ring(0).state().started && talk.session().bind(0).is_ok());
}

/// A guest that boots again lays its rings out anew: nothing of the run before may be left.
#[test]
fn a_ring_that_starts_again_knows_nothing_of_its_last_run() {
    let _shows = shows(&["VU-084", "VU-085"]);
    let mut talk = Talk::ready();
    talk.features(Talk::FEATURES | virtio::EVENT_IDX);
    for (ended, begins) in [(0x1234, 0), (0xffff, 3), (0, 0xffff)] {
        talk.run();
        talk.next_effect(Ending::Base(ended));
        talk.stop(0);
        talk.ask(state(R::SET_VRING_BASE, 0, begins)).acked();
        talk.start(0);
        let position = talk.session().bind(0).expect("a ring in memory").position;
        // There is no used index to be stale: it is only in memory.
        let Position::Split { available } = position else { panic!("{position:?}") };
        assert_eq!(u32::from(available), begins);
        talk.next_effect(Ending::Base(ended));
        talk.stop(0);
    }
    // After a reset of the device the guest has not said where it begins: at 0.
    talk.run();
    talk.next_effect(Ending::Base(0x1234));
    talk.stop(0);
    talk.start(0);
    talk.ask(bare(R::RESET_DEVICE)).acked();
    talk.features(Talk::FEATURES);
    talk.send(state(R::SET_VRING_NUM, 0, 16), 0).silent();
    talk.send(address(0), 0).silent();
    talk.start(0);
    let ring = talk.session().bind(0).expect("a ring in memory");
    assert_eq!(
        (ring.position, ring.setup.features.event_idx),
        (Position::Split { available: 0 }, false)
    );
}

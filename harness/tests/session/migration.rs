//! Migration (spec §6.8 to §6.11): dirty log, device state, postcopy and in-flight area.

use vhost_fuzz_core::inflight::{AreaError, Geometry};
use vhost_fuzz_core::memory::{LogError, MemoryError, RingSizeError};
use vhost_fuzz_core::session::postcopy::{self, State};
use vhost_fuzz_core::session::{BindError, EffectError, Refusal};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{Inflight, LogBase, Region, Transfer, XenMmap};
use vhost_fuzz_core::vhost_user::{DecodeError, FrontendRequest as R, Message, Payload};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::session::talk::{
    Ending, Seen, Talk, bare, encode, number, raw, region, state, table,
};

fn log(size: u64, offset: u64) -> Message<'static> {
    Message::frontend(R::SET_LOG_BASE, Payload::Log(LogBase { size, offset }))
}

/// The payload of P-LOG.
fn log_bytes(size: u64, offset: u64) -> Vec<u8> {
    [size.to_ne_bytes(), offset.to_ne_bytes()].concat()
}

fn transfer(direction: u32, phase: u32) -> Message<'static> {
    let transfer = Transfer { direction, phase };
    Message::frontend(R::SET_DEVICE_STATE_FD, Payload::Transfer(transfer))
}

fn area(request: R, mmap_size: u64, mmap_offset: u64, queues: u16, size: u16) -> Message<'static> {
    let area =
        Inflight { mmap_size, mmap_offset, num_queues: queues, queue_size: size, padding: 0 };
    Message::frontend(request, Payload::Inflight(area))
}

/// The u64 of a reply that refuses a transfer.
const TRANSFER_FAILED: [u8; 8] = 0x101_u64.to_ne_bytes();

/// A talk whose migration listens.
fn listening() -> Talk {
    let mut talk = Talk::ready();
    assert!(talk.send(bare(R::POSTCOPY_ADVISE), 0).has_fd());
    talk.ask(bare(R::POSTCOPY_LISTEN)).acked();
    assert_eq!(talk.session().postcopy(), State::Listening);
    talk.seen();
    talk
}

#[test]
fn a_log_is_answered_with_itself() {
    let _shows = shows(&["VU-029", "DC-035"]);
    let mut talk = Talk::ready();
    let said = talk.send(log(0x2000, 0x3000), 1);
    assert_eq!(said.payload(), log_bytes(0x2000, 0x3000));
    assert!(!said.has_fd());
    assert_eq!(talk.ask_with(log(0x1000, 0), 1).payload(), log_bytes(0x1000, 0));
    let map = |size, offset| Seen::MapLog(LogBase { size, offset });
    assert_eq!(talk.seen(), [map(0x2000, 0x3000), map(0x1000, 0)]);
    assert_eq!(talk.session().log().map(|log| log.dirty.size()), Some(0x1000));
    assert_eq!((talk.open_fds(), talk.open_mappings()), (0, 1));
}

#[test]
fn the_log_of_a_running_ring_is_replaced_when_nobody_writes() {
    let mut talk = Talk::ready();
    talk.run();
    assert_eq!(talk.send(log(0x1000, 0), 1).payload(), log_bytes(0x1000, 0));
    assert_eq!(talk.seen(), [Seen::MapLog(LogBase { size: 0x1000, offset: 0 })]);
    let map = talk.hold(log(0x2000, 0), 1);
    talk.next_effect(Ending::Well);
    assert_eq!(talk.release(&map, &Ending::Well).payload(), log_bytes(0x2000, 0));
    assert_eq!(talk.seen(), [map, Seen::Quiesce]);
    assert_eq!(talk.open_mappings(), 3);
}

#[test]
fn a_log_that_fails_ends_the_connection_because_nobody_reads_the_reply() {
    let _shows = shows(&["DC-035"]);
    let top = u64::MAX - 0xfff;
    for (message, error) in [
        (log(0, 0), LogError::Empty),
        (log(0x1000, top), LogError::OffsetWraps { offset: top, size: 0x1000 }),
        (log(0x1000, 0x800), LogError::OffsetMisaligned { offset: 0x800 }),
    ] {
        let mut talk = Talk::ready();
        assert_refused!(talk.ask_with(message, 1).closed(), Refusal::Log(error));
        assert_eq!((talk.seen(), talk.open_fds()), (vec![], 0));
    }
    let mut talk = Talk::ready();
    let code = R::SET_LOG_BASE.0;
    talk.fail_next(12);
    let refusal = Refusal::Effect { code, error: EffectError(12) };
    assert_refused!(talk.ask_with(log(0x1000, 0), 1).closed(), refusal);
    let none = Refusal::Decode(DecodeError::TooFewFds { code, need: 1, have: 0 });
    assert_refused!(talk.ask(log(0x1000, 0)).closed(), none);
    let short = Refusal::Decode(DecodeError::PayloadTooShort { code, need: 16, have: 8 });
    assert_refused!(talk.bytes(&raw(code, &[0; 8]), 0).closed(), short);
    assert!(talk.session().log().is_none());
}

#[test]
fn without_a_shared_file_a_log_is_acknowledged_and_not_kept() {
    let _shows = shows(&["VU-155"]);
    let mut talk = Talk::having(protocol::REPLY_ACK);
    talk.ask(log(0x1000, 0)).acked();
    talk.ask(number(R::SET_LOG_BASE, 0x1000)).acked();
    talk.send(log(0, 0), 0).silent();
    assert!(talk.session().log().is_none());
    assert_eq!(talk.seen(), []);
    let (code, limit) = (R::SET_LOG_BASE.0, 0);
    let refusal = Refusal::Decode(DecodeError::TooManyFds { code, limit, have: 1 });
    assert_refused!(talk.ask_with(log(0x1000, 0), 1).nack(), refusal);
}

#[test]
fn what_signals_the_log_is_kept_until_the_next() {
    let _shows = shows(&["VU-156"]);
    let mut talk = Talk::ready();
    for _ in 0..3 {
        talk.ask_with(bare(R::SET_LOG_FD), 1).acked();
        let kept = talk.session().log_fd().map(|fd| fd.number());
        assert_eq!((kept, talk.open_fds()), (Some(talk.given()[0]), 1));
    }
}

#[test]
fn a_transfer_is_answered_with_a_descriptor_or_bit_8() {
    let _shows = shows(&["VU-160", "VU-161", "VU-164"]);
    for direction in [Transfer::SAVE, Transfer::LOAD] {
        let mut talk = Talk::ready();
        let said = talk.send(transfer(direction, 0), 1);
        assert_eq!((said.u64(), said.has_fd()), (0, true));
        talk.next_effect(Ending::MaybeFd(false));
        let said = talk.ask_with(transfer(direction, 0), 1);
        assert_eq!((said.u64(), said.has_fd()), (0x100, false));
        assert_eq!(talk.seen(), [Seen::Transfer(direction), Seen::Transfer(direction)]);
        assert!(talk.session().is_transferring());
    }
}

#[test]
fn a_transfer_that_is_refused_says_so_without_a_descriptor() {
    let _shows = shows(&["VU-160", "VU-162"]);
    let mut talk = Talk::ready();
    for (direction, phase) in [(2, 0), (u32::MAX, 0), (0, 1), (1, u32::MAX)] {
        let refusal = Refusal::TransferParameters { direction, phase };
        let said = talk.send(transfer(direction, phase), 1);
        assert_refused!(said.failure(&TRANSFER_FAILED), refusal);
    }
    talk.fail_next(5);
    let code = R::SET_DEVICE_STATE_FD.0;
    let refusal = Refusal::Effect { code, error: EffectError(5) };
    assert_refused!(talk.send(transfer(0, 0), 1).failure(&TRANSFER_FAILED), refusal);
    for fds in [0, 2] {
        let error = if fds == 0 {
            DecodeError::TooFewFds { code, need: 1, have: 0 }
        } else {
            DecodeError::TooManyFds { code, limit: 1, have: 2 }
        };
        let said = talk.send(transfer(0, 0), fds);
        assert_refused!(said.failure(&TRANSFER_FAILED), Refusal::Decode(error));
    }
    talk.start(3);
    let refusal = Refusal::TransferWhileStarted { index: 3 };
    assert_refused!(talk.send(transfer(0, 0), 1).failure(&TRANSFER_FAILED), refusal);
    assert!(!talk.session().is_transferring());
}

#[test]
fn the_outcome_of_a_transfer_is_told_when_it_is_known() {
    let _shows = shows(&["VU-171"]);
    let mut talk = Talk::ready();
    let early = talk.send(bare(R::CHECK_DEVICE_STATE), 0);
    assert_refused!(early.nack(), Refusal::NoTransfer);
    assert_eq!(talk.send(transfer(0, 0), 1).u64(), 0);
    let held = talk.hold(bare(R::CHECK_DEVICE_STATE), 0);
    assert_eq!(held, Seen::CheckTransfer);
    talk.release(&held, &Ending::Well).acked();
    // It tells of one transfer only.
    let again = talk.send(bare(R::CHECK_DEVICE_STATE), 0);
    assert_refused!(again.nack(), Refusal::NoTransfer);
}

#[test]
fn after_a_load_everything_that_the_front_end_set_is_there() {
    let _shows = shows(&["VU-169"]);
    let mut talk = Talk::ready();
    talk.give_memory();
    talk.configure(0);
    talk.send(state(R::SET_VRING_ENABLE, 0, 1), 0).silent();
    assert_eq!(talk.send(transfer(Transfer::LOAD, 0), 1).u64(), 0);
    assert_eq!(talk.send(bare(R::CHECK_DEVICE_STATE), 0).u64(), 0);
    talk.start(0);
    assert!(talk.session().bind(0).is_ok());
}

#[test]
fn after_a_failed_migration_the_source_goes_on() {
    let _shows = shows(&["VU-172"]);
    let mut talk = Talk::ready();
    talk.run();
    talk.next_effect(Ending::Base(9));
    talk.stop(0);
    assert_eq!(talk.send(transfer(Transfer::SAVE, 0), 1).u64(), 0);
    talk.fail_next(5);
    let code = R::CHECK_DEVICE_STATE.0;
    let refusal = Refusal::Effect { code, error: EffectError(5) };
    assert_refused!(talk.send(bare(R::CHECK_DEVICE_STATE), 0).nack(), refusal);
    talk.start(0);
    assert!(talk.session().bind(0).is_ok());
    assert_eq!(talk.ring(0).base(), 9);
}

#[test]
fn postcopy_begins_with_a_userfaultfd() {
    let _shows = shows(&["VU-174"]);
    let mut talk = Talk::ready();
    let said = talk.ask(bare(R::POSTCOPY_ADVISE));
    assert_eq!((said.payload(), said.has_fd()), (&[][..], true));
    assert_eq!(
        (talk.seen(), talk.session().postcopy()),
        (vec![Seen::OpenUserfault], State::Advised)
    );
}

#[test]
fn a_table_is_answered_with_the_addresses_of_the_mappings() {
    let _shows = shows(&["VU-130"]);
    let mut talk = listening();
    talk.next_effect(Ending::Mapped(0x1234_5000));
    talk.next_effect(Ending::Mapped(0xabcd_e000));
    let said = talk.table(&[region(0), region(1)]);
    let ours = [
        Region { user_address: 0x1234_5000, ..region(0) },
        Region { user_address: 0xabcd_e000, ..region(1) },
    ];
    assert_eq!(said.payload(), &table(&ours)[12..], "the table, as long as the request");
    assert_eq!(talk.session().postcopy(), State::TableSent);
    // What the front-end calls them stays what they are called.
    assert_eq!(talk.session().memory().slots()[0].region, region(0));
}

#[test]
fn a_padded_table_is_answered_by_one_of_the_same_size() {
    let _shows = shows(&["DC-040"]);
    let mut talk = listening();
    let mut bytes = table(&[region(0)]);
    bytes.resize(12 + 264, 0);
    bytes[8..12].copy_from_slice(&264_u32.to_ne_bytes());
    talk.next_effect(Ending::Mapped(0x5000));
    let said = talk.bytes(&bytes, 1);
    let ours = table(&[Region { user_address: 0x5000, ..region(0) }]);
    assert_eq!(said.payload()[..40], ours[12..]);
    assert_eq!(said.payload().len(), 264);
}

#[test]
fn memory_is_not_touched_before_the_table_is_acknowledged() {
    let _shows = shows(&["VU-131", "VU-176", "VU-133"]);
    for ack in [&[][..], &[0; 8][..]] {
        let mut talk = listening();
        assert_eq!(talk.table(&[region(0)]).payload().len(), 40);
        talk.configure(0);
        talk.start(0);
        let bound = talk.session().bind(0).map(|ring| ring.setup.size);
        assert_refused!(bound, BindError::PostcopyAckDue);
        talk.seen();
        // Silent, whatever need_reply says: a reply would be taken for that of the table.
        talk.bytes(&raw(R::SET_MEM_TABLE.0, ack), 0).silent();
        assert_eq!(talk.seen(), [Seen::RegisterUserfault]);
        assert_eq!(talk.session().postcopy(), State::Active);
        assert!(talk.session().bind(0).is_ok());
    }
}

/// A destination may get another table: it is answered and acknowledged like the first.
#[test]
fn a_later_table_waits_for_an_acknowledgement_again() {
    let _shows = shows(&["VU-130", "VU-131"]);
    let mut talk = listening();
    for round in 0..3 {
        talk.next_effect(Ending::Mapped(0x1000 * round));
        let said = talk.table(&[region(0)]);
        let ours = Region { user_address: 0x1000 * round, ..region(0) };
        assert_eq!(said.payload(), &table(&[ours])[12..]);
        assert_eq!(talk.session().postcopy(), State::TableSent);
        talk.send(bare(R::SET_MEM_TABLE), 0).silent();
        assert_eq!(talk.session().postcopy(), State::Active);
    }
    assert_eq!(talk.open_mappings(), 1);
}

#[test]
fn a_second_table_before_the_acknowledgement_ends_the_connection() {
    let mut talk = listening();
    assert_eq!(talk.table(&[region(0)]).payload().len(), 40);
    assert_refused!(talk.table(&[region(1)]).closed(), Refusal::PostcopyAckDue);
    assert_eq!((talk.open_fds(), talk.open_mappings()), (0, 1));
}

#[test]
fn a_table_that_fails_under_postcopy_ends_the_connection() {
    let mut talk = listening();
    let bad = Region { size: 0, ..region(0) };
    let error = Refusal::Memory(MemoryError::EmptyRegion { guest_address: 0 });
    assert_refused!(talk.table(&[bad]).closed(), error);
    let mut talk = listening();
    talk.next_effect(Ending::Well);
    talk.fail_next(12);
    let refusal = Refusal::Effect { code: R::SET_MEM_TABLE.0, error: EffectError(12) };
    assert_refused!(talk.table(&[region(0), region(1)]).closed(), refusal);
    assert_eq!((talk.open_fds(), talk.open_mappings()), (0, 0));
    let mut talk = listening();
    let count = Refusal::Decode(DecodeError::RegionCount { count: 0, limit: 8 });
    assert_refused!(talk.bytes(&raw(R::SET_MEM_TABLE.0, &[0; 8]), 0).closed(), count);
}

#[test]
fn the_end_gives_up_the_userfaultfd() {
    let _shows = shows(&["VU-177"]);
    let mut talk = listening();
    assert_eq!(talk.table(&[region(0)]).payload().len(), 40);
    talk.send(bare(R::SET_MEM_TABLE), 0).silent();
    talk.seen();
    assert_eq!(talk.send(bare(R::POSTCOPY_END), 0).u64(), 0);
    assert_eq!((talk.seen(), talk.session().postcopy()), (vec![Seen::CloseUserfault], State::Off));
    // A table is one like any other again.
    talk.table(&[region(1)]).silent();
    let mut talk = listening();
    assert_eq!(talk.ask(bare(R::POSTCOPY_END)).u64(), 0);
}

/// Every postcopy state and every step; what spec §6.10 does not list is refused.
#[test]
fn postcopy_steps_come_in_their_order() {
    use State::{Active, Advised, Listening, Off};
    use postcopy::Step;
    let reach = |to: State| {
        let mut talk = Talk::ready();
        let path = State::ALL.iter().position(|state| *state == to).expect("a state");
        for step in 0..path {
            let said = match step {
                0 => talk.send(bare(R::POSTCOPY_ADVISE), 0),
                1 => talk.send(bare(R::POSTCOPY_LISTEN), 0),
                2 => talk.table(&[region(0)]),
                _ => talk.send(bare(R::SET_MEM_TABLE), 0),
            };
            assert!(said.closed().is_ok());
        }
        assert_eq!(talk.session().postcopy(), to);
        talk
    };
    let allowed = [
        (Off, Step::Advise, Advised),
        (Advised, Step::Listen, Listening),
        (Listening, Step::End, Off),
        (Active, Step::End, Off),
    ];
    for from in State::ALL {
        for step in [Step::Advise, Step::Listen, Step::End] {
            let mut talk = reach(from);
            let said = talk.ask(bare(step.request()));
            let to = allowed.iter().find(|row| (row.0, row.1) == (from, step)).map(|row| row.2);
            if let Some(to) = to {
                assert!(said.closed().is_ok());
                assert_eq!(talk.session().postcopy(), to);
                continue;
            }
            let refusal = Refusal::PostcopyOrder { code: step.request().0, state: from };
            let refused = if step == Step::Advise { said.closed() } else { said.nack() };
            assert_refused!(refused, refusal);
            assert_eq!(talk.session().postcopy(), from);
        }
    }
}

#[test]
fn an_in_flight_area_is_made_and_handed_back() {
    let _shows = shows(&["VU-030", "VU-179", "VU-182"]);
    let mut talk = Talk::ready();
    talk.next_effect(Ending::Area(4224, 0x1000));
    let said = talk.send(area(R::GET_INFLIGHT_FD, 0, 0, 2, 128), 0);
    let reply = area(R::GET_INFLIGHT_FD, 4224, 0x1000, 2, 128);
    assert_eq!(said.payload(), &encode(&reply)[12..]);
    assert!(said.has_fd() && talk.session().inflight().is_none());
    talk.ask_with(area(R::SET_INFLIGHT_FD, 4224, 0x1000, 2, 128), 1).acked();
    let kept = talk.session().inflight().expect("an area").area;
    assert_eq!((kept.mmap_size, kept.num_queues), (4224, 2));
    talk.ask_with(area(R::SET_INFLIGHT_FD, 4224, 0, 2, 128), 1).acked();
    assert_eq!((talk.open_fds(), talk.open_mappings()), (0, 1));
}

#[test]
fn an_area_that_cannot_be_made_is_told_by_zeros() {
    let mut talk = Talk::ready();
    let code = R::GET_INFLIGHT_FD.0;
    for (queues, size, refusal) in [
        (0, 128, Refusal::Inflight(AreaError::NoQueues)),
        (500, 128, Refusal::Inflight(AreaError::TooManyQueues { queues: 500, limit: 4 })),
        (1, 0, Refusal::Inflight(AreaError::QueueSize { size: 0 })),
        (1, 100, Refusal::Inflight(AreaError::QueueSize { size: 100 })),
        (1, 2048, Refusal::RingSize(RingSizeError::AboveDevice { num: 2048, limit: 1024 })),
    ] {
        let said = talk.send(area(R::GET_INFLIGHT_FD, 0, 0, queues, size), 0);
        assert_refused!(said.failure(&[0; 24]), refusal);
    }
    let short = Refusal::Decode(DecodeError::PayloadTooShort { code, need: 24, have: 20 });
    assert_refused!(talk.bytes(&raw(code, &[0; 20]), 0).failure(&[0; 24]), short);
    for ending in [Ending::Fails(12), Ending::Area(0, 0)] {
        talk.next_effect(ending);
        let said = talk.send(area(R::GET_INFLIGHT_FD, 0, 0, 1, 64), 0);
        let refusal = Refusal::Effect { code, error: EffectError(12) };
        assert_refused!(said.failure(&[0; 24]), refusal);
    }
    assert_eq!(talk.open_fds(), 0);
}

#[test]
fn an_area_that_is_too_small_is_refused() {
    let mut talk = Talk::ready();
    for (size, offset, queues, error) in [
        (4223, 0, 2, AreaError::TooSmall { need: 4224, have: 4223 }),
        (0x10_0000, 0, 500, AreaError::TooManyQueues { queues: 500, limit: 4 }),
        (4224, u64::MAX, 2, AreaError::OffsetWraps { offset: u64::MAX, size: 4224 }),
    ] {
        let said = talk.ask_with(area(R::SET_INFLIGHT_FD, size, offset, queues, 128), 1);
        assert_refused!(said.nack(), Refusal::Inflight(error));
    }
    assert_eq!((talk.seen(), talk.open_fds()), (vec![], 0));
    // A packed ring needs 32 bytes for an entry.
    talk.features(Talk::FEATURES | virtio::RING_PACKED);
    let said = talk.ask_with(area(R::SET_INFLIGHT_FD, 4224, 0, 2, 128), 1);
    let error = AreaError::TooSmall { need: 2 * 4160, have: 4224 };
    assert_refused!(said.nack(), Refusal::Inflight(error));
}

#[test]
fn an_area_is_not_replaced_while_a_ring_is_started() {
    let _shows = shows(&["DC-018"]);
    let mut talk = Talk::ready();
    talk.ask_with(area(R::SET_INFLIGHT_FD, 4224, 0, 2, 128), 1).acked();
    talk.start(2);
    let said = talk.ask_with(area(R::SET_INFLIGHT_FD, 0x1_0000, 0, 2, 128), 1);
    assert_refused!(said.nack(), Refusal::InflightWhileStarted { index: 2 });
    assert_eq!(talk.session().inflight().map(|held| held.area.mmap_size), Some(4224));
    talk.stop(2);
    talk.ask_with(area(R::SET_INFLIGHT_FD, 0x1_0000, 0, 2, 128), 1).acked();
    assert_eq!(talk.open_mappings(), 1);
}

/// An area for split rings has half the room that packed ones need.
#[test]
fn an_area_is_not_used_for_rings_that_it_is_too_small_for() {
    let _shows = shows(&["VU-182"]);
    let mut talk = Talk::ready();
    assert_eq!(talk.session().inflight_geometry(), None);
    talk.ask_with(area(R::SET_INFLIGHT_FD, 4224, 0, 2, 128), 1).acked();
    let split = Geometry { queues: 2, queue_size: 128, packed: false };
    assert_eq!(talk.session().inflight_geometry(), Some(split));
    talk.features(Talk::FEATURES | virtio::RING_PACKED);
    assert_eq!(talk.session().inflight_geometry(), None);
    let packed = Geometry { packed: true, ..split };
    talk.ask_with(area(R::SET_INFLIGHT_FD, packed.area_len(), 0, 2, 128), 1).acked();
    assert_eq!(talk.session().inflight_geometry(), Some(packed));
}

#[test]
fn a_table_with_xen_fields_is_answered_in_its_layout() {
    let _shows = shows(&["VU-130", "VU-127"]);
    let mut talk = Talk::having(protocol::PAGEFAULT | protocol::XEN_MMAP);
    assert!(talk.send(bare(R::POSTCOPY_ADVISE), 0).has_fd());
    talk.send(bare(R::POSTCOPY_LISTEN), 0).silent();
    let with = |at, flags| Region { xen: Some(XenMmap { flags, domid: 9 }), ..region(at) };
    let regions = [with(0, 0x100), with(1, 1), with(2, 1)];
    talk.next_effect(Ending::Mapped(0x5000));
    talk.next_effect(Ending::Mapped(0x6000));
    let said = talk.table(&regions);
    // The one that is mapped piecewise has no address to tell.
    let [first, second, third] = regions;
    let second = Region { user_address: 0x5000, ..second };
    let third = Region { user_address: 0x6000, ..third };
    assert_eq!(said.payload(), &table(&[first, second, third])[12..]);
}

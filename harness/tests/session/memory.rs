//! Guest memory (spec §6.4, §6.6, §6.12): tables, single regions and translations, while rings
//! are stopped and while they run.

use vhost_fuzz_core::memory::{
    AddressKind, Backing, IotlbError, Location, MemoryError, PlaceError, Space, ring::Part,
};
use vhost_fuzz_core::session::{BindError, EffectError, Refusal, RingChange};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{Iotlb, LogBase, Region, VringAddr, XenMmap};
use vhost_fuzz_core::vhost_user::{DecodeError, FrontendRequest as R, Message, Payload};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::session::talk::{
    Ending, REGION, Said, Seen, Talk, USER, bare, encode, mem_reg, number, offer, region, state,
    table, vring_addr, vring_fd,
};

const SLOTS: u64 = protocol::REPLY_ACK | protocol::CONFIGURE_MEM_SLOTS;

/// The regions of a session, by their guest addresses in units of [`REGION`].
fn regions(talk: &Talk) -> Vec<u64> {
    let slots = talk.session().memory().slots();
    slots.iter().map(|slot| slot.region.guest_address / REGION).collect()
}

fn ask_table(talk: &mut Talk, regions: &[Region]) -> Said {
    let mut bytes = table(regions);
    bytes[4] = 9;
    talk.bytes(&bytes, regions.len())
}

fn iotlb(kind: u8, iova: u64, size: u64, user_address: u64, permissions: u8) -> Message<'static> {
    let message = Iotlb { iova, size, user_address, permissions, kind, padding: [0; 6] };
    Message::frontend(R::IOTLB_MSG, Payload::Iotlb(message))
}

fn with_iommu() -> Talk {
    let mut talk = Talk::ready();
    talk.features(Talk::FEATURES | virtio::IOMMU_PLATFORM);
    talk
}

#[test]
fn a_new_table_replaces_all_regions() {
    let _shows = shows(&["VU-260"]);
    let mut talk = Talk::having(SLOTS);
    ask_table(&mut talk, &[region(0), region(1)]).acked();
    talk.ask_with(mem_reg(R::ADD_MEM_REG, region(2)), 1).acked();
    assert_eq!(regions(&talk), [0, 2, 4]);
    ask_table(&mut talk, &[region(3)]).acked();
    assert_eq!(regions(&talk), [6]);
    assert_eq!((talk.open_fds(), talk.open_mappings()), (0, 1));
    let maps = [0, 1, 2, 3].map(|at| Seen::MapRegion(region(at)));
    assert_eq!(talk.seen(), maps, "nothing had to be quiesced");
    talk.ask(mem_reg(R::REM_MEM_REG, region(3))).acked();
    assert_eq!((regions(&talk), talk.open_mappings()), (vec![], 0));
}

#[test]
fn regions_are_added_to_those_that_exist() {
    let _shows = shows(&["VU-134", "VU-137"]);
    let mut talk = Talk::having(SLOTS);
    assert_eq!(talk.ask(bare(R::GET_MAX_MEM_SLOTS)).u64(), u64::from(offer().max_mem_slots));
    for at in 0..12 {
        talk.ask_with(mem_reg(R::ADD_MEM_REG, region(at)), 1).acked();
        assert_eq!(talk.seen(), [Seen::MapRegion(region(at))]);
    }
    assert_eq!(regions(&talk), (0..12).map(|at| at * 2).collect::<Vec<_>>());
    assert_eq!(talk.open_mappings(), 12);
}

#[test]
fn more_regions_than_slots_are_refused() {
    let offer = vhost_fuzz_core::session::Offer { max_mem_slots: 2, ..offer() };
    let mut talk = Talk::with(offer);
    talk.negotiate(SLOTS);
    assert_eq!(talk.ask(bare(R::GET_MAX_MEM_SLOTS)).u64(), 2);
    let error = Refusal::Memory(MemoryError::TooManyRegions { count: 3, limit: 2 });
    assert_refused!(ask_table(&mut talk, &[region(0), region(1), region(2)]).nack(), error);
    ask_table(&mut talk, &[region(0), region(1)]).acked();
    assert_refused!(talk.ask_with(mem_reg(R::ADD_MEM_REG, region(2)), 1).nack(), error);
    assert_eq!((regions(&talk), talk.open_fds()), (vec![0, 2], 0));
}

#[test]
fn the_descriptor_of_a_removal_is_closed_and_not_used() {
    let _shows = shows(&["VU-142"]);
    let mut talk = Talk::having(SLOTS);
    ask_table(&mut talk, &[region(0)]).acked();
    talk.seen();
    let offset = Region { mmap_offset: 0x5000, ..region(0) };
    talk.ask_with(mem_reg(R::REM_MEM_REG, offset), 1).acked();
    assert_eq!((talk.seen(), talk.open_fds(), talk.open_mappings()), (vec![], 0, 0));
}

#[test]
fn a_region_that_does_not_exist_cannot_be_removed() {
    let mut talk = Talk::having(SLOTS);
    ask_table(&mut talk, &[region(0)]).acked();
    let good = region(0);
    for other in [
        Region { guest_address: 0x1000, ..good },
        Region { user_address: 0x1000, ..good },
        Region { size: good.size - 1, ..good },
    ] {
        let Region { guest_address, size, user_address, .. } = other;
        let error = MemoryError::UnknownRegion { guest_address, user_address, size };
        let said = talk.ask_with(mem_reg(R::REM_MEM_REG, other), 1);
        assert_refused!(said.nack(), Refusal::Memory(error));
    }
    assert_eq!((regions(&talk), talk.open_fds()), (vec![0], 0));
}

#[test]
fn a_region_that_comes_once_more_takes_the_place_of_itself() {
    let _shows = shows(&["DC-161"]);
    let mut talk = Talk::having(SLOTS);
    for at in 0..2 {
        talk.ask_with(mem_reg(R::ADD_MEM_REG, region(at)), 1).acked();
    }
    talk.seen();
    let mapped = |talk: &Talk| match &talk.session().memory().slots()[0].backing {
        Backing::Mapped(mapping) => mapping.number(),
        Backing::OnDemand(_) => panic!("it is mapped"),
    };
    let before = mapped(&talk);
    talk.ask_with(mem_reg(R::ADD_MEM_REG, region(0)), 1).acked();
    assert_eq!(talk.seen(), [Seen::MapRegion(region(0))]);
    assert_ne!(mapped(&talk), before, "the mapping that came last counts");
    // A ring that runs in it does not notice, but nobody is in it while it is replaced.
    talk.run();
    talk.seen();
    let moved = Region { mmap_offset: 0x3000, ..region(0) };
    talk.ask_with(mem_reg(R::ADD_MEM_REG, moved), 1).acked();
    assert_eq!(talk.seen(), [Seen::MapRegion(moved), Seen::Quiesce]);
    assert!(talk.session().bind(0).is_ok());
    let kick = 1;
    assert_eq!((regions(&talk), talk.open_fds(), talk.open_mappings()), (vec![0, 2], kick, 2));
    // One that cannot be mapped is refused, and what was there stays.
    let held = mapped(&talk);
    talk.fail_next(12);
    let said = talk.ask_with(mem_reg(R::ADD_MEM_REG, region(0)), 1);
    let (code, error) = (R::ADD_MEM_REG.0, EffectError(12));
    assert_refused!(said.nack(), Refusal::Effect { code, error });
    assert_eq!((mapped(&talk), talk.open_mappings()), (held, 2));
}

#[test]
fn nothing_is_to_do_for_a_region_that_is_gone() {
    let _shows = shows(&["DC-162"]);
    let mut talk = Talk::having(SLOTS);
    talk.run();
    talk.ask_with(mem_reg(R::ADD_MEM_REG, region(1)), 1).acked();
    talk.seen();
    talk.ask(mem_reg(R::REM_MEM_REG, region(1))).acked();
    assert_eq!(talk.seen(), [Seen::Quiesce]);
    for gone in [region(1), region(5)] {
        talk.ask_with(mem_reg(R::REM_MEM_REG, gone), 1).acked();
    }
    let kick = 1;
    assert_eq!((talk.seen(), regions(&talk), talk.open_fds()), (vec![], vec![0], kick));
}

#[test]
fn a_region_that_cannot_be_is_refused_in_a_table_and_alone() {
    let top = u64::MAX - 0xfff;
    let good = region(1);
    for (bad, error) in [
        (Region { size: 0, ..good }, MemoryError::EmptyRegion { guest_address: 2 * REGION }),
        (
            Region { guest_address: top, ..good },
            MemoryError::GuestAddressWraps { guest_address: top, size: REGION },
        ),
        (
            Region { user_address: top, ..good },
            MemoryError::UserAddressWraps { user_address: top, size: REGION },
        ),
        (
            Region { mmap_offset: top, ..good },
            MemoryError::MmapOffsetWraps { mmap_offset: top, size: REGION },
        ),
        (
            Region { guest_address: REGION - 1, ..good },
            MemoryError::GuestOverlap { guest_address: REGION - 1, other: 0 },
        ),
        (
            Region { user_address: USER, ..good },
            MemoryError::UserOverlap { user_address: USER, other: USER },
        ),
    ] {
        let mut talk = Talk::having(SLOTS);
        let said = ask_table(&mut talk, &[region(0), bad]);
        assert_refused!(said.nack(), Refusal::Memory(error));
        assert_eq!((regions(&talk), talk.seen()), (vec![], vec![]));
        ask_table(&mut talk, &[region(0)]).acked();
        let said = talk.ask_with(mem_reg(R::ADD_MEM_REG, bad), 1);
        assert_refused!(said.nack(), Refusal::Memory(error));
        assert_eq!((regions(&talk), talk.open_fds()), (vec![0], 0));
    }
}

#[test]
fn rings_run_while_everything_around_them_changes() {
    let _shows = shows(&["VU-072", "VU-258"]);
    let mut talk = Talk::having(SLOTS);
    talk.run();
    let placed = |talk: &Talk| talk.session().bind(0).map(|ring| ring.placement);
    let before = placed(&talk).expect("a ring in memory");
    let logged = VringAddr { flags: VringAddr::LOG, log: 0x400, ..vring_addr(0) };
    talk.ask(Message::frontend(R::SET_VRING_ADDR, Payload::Addr(logged))).acked();
    assert_eq!(talk.session().bind(0).map(|ring| ring.setup.log_address()), Ok(Some(0x400)));
    talk.ask_with(vring_fd(R::SET_VRING_CALL, 0), 1).acked();
    let changes = [RingChange::Addr, RingChange::Call].map(|change| Seen::UpdateRing(0, change));
    assert_eq!(talk.seen(), changes);
    // The ring's region moves in the table: no new address is needed.
    let far = Region { guest_address: 64 * REGION, user_address: 64 * REGION, ..region(0) };
    ask_table(&mut talk, &[far, region(0)]).acked();
    let maps = [far, region(0)].map(Seen::MapRegion);
    assert_eq!(talk.seen(), [&maps[..], &[Seen::Quiesce]].concat());
    let after = placed(&talk).expect("the ring again");
    assert!(!before.is_current(talk.session().memory(), None));
    assert_eq!((before.descriptor.first.slot, after.descriptor.first.slot), (0, 1));
    talk.ask_with(mem_reg(R::ADD_MEM_REG, region(1)), 1).acked();
    talk.ask(mem_reg(R::REM_MEM_REG, region(1))).acked();
    assert_eq!(talk.seen(), [Seen::MapRegion(region(1)), Seen::Quiesce]);
    assert!(placed(&talk).is_ok());
}

#[test]
fn a_ring_whose_memory_is_gone_is_not_touched() {
    let _shows = shows(&["VU-258"]);
    let mut talk = Talk::ready();
    talk.run();
    ask_table(&mut talk, &[region(1)]).acked();
    assert!(talk.ring(0).state().started);
    let address = vring_addr(0).descriptor;
    let error = BindError::Place(PlaceError::Unmapped { part: Part::Descriptor, address });
    assert_refused!(talk.session().bind(0).map(|ring| ring.setup.size), error);
    ask_table(&mut talk, &[region(1), region(0)]).acked();
    assert!(talk.session().bind(0).is_ok());
}

#[test]
fn with_all_rings_stopped_nothing_can_be_written() {
    let _shows = shows(&["VU-073", "VU-076", "VU-154"]);
    let mut talk = Talk::ready();
    talk.run();
    talk.configure(1);
    talk.start(1);
    talk.stop(0);
    assert!(!talk.session().is_suspended() && talk.session().bind(1).is_ok());
    talk.stop(1);
    assert!(talk.session().is_suspended());
    for index in 0..4 {
        let bound = talk.session().bind(index).map(|ring| ring.setup.size);
        assert_refused!(bound, BindError::Stopped { index });
    }
    // Requests are answered as before.
    assert_eq!(talk.ask(bare(R::GET_FEATURES)).u64(), offer().features);
    talk.ask(number(R::SET_FEATURES, Talk::FEATURES | virtio::EVENT_IDX)).acked();
    talk.ask(state(R::SET_VRING_ENABLE, 0, 0)).acked();
    assert_eq!(talk.ask(state(R::GET_VRING_BASE, 0, 0)).state(), (0, 0));
}

#[test]
fn a_region_that_must_not_be_mapped_in_advance_is_kept_as_a_descriptor() {
    let _shows = shows(&["VU-127"]);
    let mut talk = Talk::having(SLOTS | protocol::XEN_MMAP);
    let with = |at, flags| Region { xen: Some(XenMmap { flags, domid: 0 }), ..region(at) };
    ask_table(&mut talk, &[with(0, 0x101), with(1, 1), with(2, 0x100)]).acked();
    assert_eq!(talk.seen(), [Seen::MapRegion(with(1, 1))]);
    let given = talk.given().to_vec();
    let kept: Vec<_> = talk
        .session()
        .memory()
        .slots()
        .iter()
        .map(|slot| match &slot.backing {
            Backing::OnDemand(fd) => Some(fd.number()),
            Backing::Mapped(_) => None,
        })
        .collect();
    assert_eq!(kept, [Some(given[0]), None, Some(given[2])]);
    talk.ask_with(mem_reg(R::ADD_MEM_REG, with(3, 0x100)), 1).acked();
    assert_eq!(talk.seen(), []);
    assert_eq!((talk.open_fds(), talk.open_mappings()), (3, 1));
    talk.ask(mem_reg(R::REM_MEM_REG, with(3, 0))).acked();
    assert_eq!(talk.open_fds(), 2);
}

#[test]
fn descriptors_and_regions_are_counted() {
    let mut talk = Talk::having(SLOTS);
    let mut bytes = table(&[region(0), region(1)]);
    bytes[4] = 9;
    for fds in [0, 1, 3] {
        let error = Refusal::Decode(DecodeError::RegionFds { regions: 2, fds });
        assert_refused!(talk.bytes(&bytes, fds).nack(), error);
    }
    for fds in [0, 2] {
        let said = talk.ask_with(mem_reg(R::ADD_MEM_REG, region(0)), fds);
        let (code, limit) = (R::ADD_MEM_REG.0, 1);
        let error = if fds == 0 {
            DecodeError::TooFewFds { code, need: 1, have: 0 }
        } else {
            DecodeError::TooManyFds { code, limit, have: fds }
        };
        assert_refused!(said.nack(), Refusal::Decode(error));
    }
    assert_eq!((talk.seen(), talk.open_fds()), (vec![], 0));
}

#[test]
fn a_translation_is_answered_with_a_number() {
    let _shows = shows(&["VU-208", "VU-265"]);
    let mut talk = with_iommu();
    talk.give_memory();
    let update = iotlb(Iotlb::UPDATE, 0x8000, 0x1000, USER, 3);
    assert_eq!(talk.send(update, 0).u64(), 0);
    assert_eq!(talk.ask(update).u64(), 0);
    let entry = *talk.session().iotlb().entries().next().expect("one translation");
    assert_eq!((entry.iova, entry.address, entry.space), (0x8000, USER, Space::User));
    assert_eq!(talk.send(iotlb(Iotlb::INVALIDATE, 0x8000, 1, 0, 0), 0).u64(), 0);
    assert_eq!(talk.session().iotlb().entries().len(), 0);
    assert_eq!(talk.seen(), []);
    // With GPA_ADDRESSES the user address of a front-end's message is a guest address.
    let mut talk = Talk::having(protocol::GPA_ADDRESSES);
    talk.features(Talk::FEATURES | virtio::IOMMU_PLATFORM);
    talk.give_memory();
    assert_eq!(talk.send(iotlb(Iotlb::UPDATE, 0x8000, 0x1000, 0x1000, 3), 0).u64(), 0);
    let entry = *talk.session().iotlb().entries().next().expect("one translation");
    assert_eq!((entry.address, entry.space), (0x1000, Space::Guest));
}

#[test]
fn a_translation_that_cannot_be_is_refused_with_a_number() {
    let mut talk = with_iommu();
    talk.give_memory();
    let top = u64::MAX - 0xfff;
    for (message, error) in [
        (iotlb(9, 0, 1, USER, 3), IotlbError::Kind { kind: 9 }),
        (iotlb(Iotlb::MISS, 0, 1, USER, 3), IotlbError::Kind { kind: 1 }),
        (iotlb(Iotlb::UPDATE, 0, 1, USER, 4), IotlbError::Permissions { permissions: 4 }),
        (iotlb(Iotlb::UPDATE, 7, 0, USER, 3), IotlbError::Empty { iova: 7 }),
        (iotlb(Iotlb::INVALIDATE, 7, 0, 0, 0), IotlbError::Empty { iova: 7 }),
        (
            iotlb(Iotlb::UPDATE, top, 0x1000, USER, 3),
            IotlbError::IovaWraps { iova: top, size: 0x1000 },
        ),
        (iotlb(Iotlb::UPDATE, 0, 1, 0x10, 3), IotlbError::OutsideMemory { address: 0x10 }),
        (
            iotlb(Iotlb::UPDATE, 0, 0x1000, top, 3),
            IotlbError::UserAddressWraps { user_address: top, size: 0x1000 },
        ),
    ] {
        let said = talk.send(message, 0);
        assert_refused!(said.nack(), Refusal::Iotlb(error), "{message}");
    }
    assert_eq!(talk.session().iotlb().entries().len(), 0);
}

#[test]
fn an_invalidation_is_answered_after_its_last_use() {
    let mut talk = with_iommu();
    talk.run();
    talk.send(iotlb(Iotlb::UPDATE, 0, REGION, USER, 3), 0).acked();
    assert_eq!(talk.seen(), []);
    let held = talk.hold(iotlb(Iotlb::INVALIDATE, 0x800, 1, 0, 0), 0);
    assert_eq!(held, Seen::Quiesce);
    assert_eq!(talk.session().iotlb().entries().len(), 1);
    talk.release(&held, &Ending::Well).acked();
    assert_eq!(talk.session().iotlb().entries().len(), 0);
}

#[test]
fn ring_addresses_are_what_the_features_say() {
    let _shows = shows(&["VU-080", "VU-081", "VU-082"]);
    let gpa = protocol::GPA_ADDRESSES;
    let iommu = virtio::IOMMU_PLATFORM;
    for (protocol_features, features, kind, at) in [
        (0, 0, AddressKind::User, USER),
        (gpa, 0, AddressKind::Guest, 0),
        (0, iommu, AddressKind::Iova, 0x9_0000),
        (gpa, iommu, AddressKind::Iova, 0x9_0000),
    ] {
        let mut talk = Talk::having(protocol_features);
        talk.features(Talk::FEATURES | features);
        talk.run();
        let addr =
            VringAddr { descriptor: at, used: at + 0x400, available: at + 0x800, ..vring_addr(0) };
        talk.send(Message::frontend(R::SET_VRING_ADDR, Payload::Addr(addr)), 0).silent();
        if kind == AddressKind::Iova {
            let to = if protocol_features == gpa { 0 } else { USER };
            talk.send(iotlb(Iotlb::UPDATE, at, 0x1000, to, 3), 0).acked();
        }
        let placement = talk.session().bind(0).expect("a ring in memory").placement;
        assert_eq!(placement.kind, kind);
        assert_eq!((placement.descriptor.first.slot, placement.descriptor.first.offset), (0, 0));
    }
}

#[test]
fn a_ring_without_a_translation_is_not_touched() {
    let mut talk = with_iommu();
    talk.run();
    let (part, iova) = (Part::Descriptor, vring_addr(0).descriptor);
    let error = BindError::Place(PlaceError::Miss { part, iova, permissions: 1 });
    assert_refused!(talk.session().bind(0).map(|ring| ring.setup.size), error);
}

/// The numbers of all mappings that a session holds.
fn mappings(talk: &Talk) -> Vec<u32> {
    let slots = talk.session().memory().slots().iter();
    let mapped = slots.map(|slot| match &slot.backing {
        Backing::Mapped(held) | Backing::OnDemand(held) => held.number(),
    });
    mapped.chain(talk.session().log().map(|log| log.mapping.number())).collect()
}

/// Whoever works on a ring may hold its pages until it says that it does not any more. When it
/// does not say so, everything is still there.
#[test]
fn nothing_is_unmapped_before_the_rings_are_quiet() {
    let _shows = shows(&["VU-258"]);
    let log = Payload::Log(LogBase { size: 0x1000, offset: 0 });
    let log = encode(&Message::frontend(R::SET_LOG_BASE, log));
    let removal = encode(&mem_reg(R::REM_MEM_REG, region(0)));
    for (bytes, maps, left) in [(table(&[region(0)]), 1, 2), (removal, 0, 2), (log.clone(), 1, 3)] {
        for is_quiet in [false, true] {
            let mut talk = Talk::having(SLOTS | protocol::LOG_SHMFD);
            talk.run();
            assert_eq!(talk.bytes(&log, 1).payload().len(), 16);
            talk.seen();
            let before = mappings(&talk);
            if maps == 1 {
                talk.next_effect(Ending::Well);
            }
            talk.next_effect(if is_quiet { Ending::Well } else { Ending::Fails(5) });
            let said = talk.bytes(&bytes, maps);
            assert_eq!(talk.seen().split_off(maps), [Seen::Quiesce], "one effect, and the last");
            assert_eq!(said.clone().closed().is_err(), !is_quiet);
            let after = mappings(&talk);
            assert_eq!(talk.open_mappings(), after.len());
            if is_quiet {
                assert!(after.len() == left && after != before, "{said:?}");
            } else {
                assert_eq!(after, before, "{said:?}");
            }
        }
    }
}

/// The table of descriptors, the available and the used ring each go over the border of two
/// regions that touch in the space of ring addresses; where their files begin does not matter.
#[test]
fn a_ring_may_lie_across_two_regions_that_touch() {
    let _shows = shows(&["VU-082", "VU-083"]);
    let below = Region { mmap_offset: 0x7000, ..region(0) };
    let border = below.user_address + REGION;
    let above = Region { user_address: border, mmap_offset: 0x30_0000, ..region(1) };
    let far = USER + 0x1000;
    let at =
        |descriptor, used, available| VringAddr { descriptor, used, available, ..vring_addr(0) };
    for (addr, part, first) in [
        (at(border - 0x80, far, far + 0x800), Part::Descriptor, 0x80),
        (at(far, border - 0x40, far + 0x800), Part::Used, 0x40),
        (at(far, far + 0x400, border - 6), Part::Available, 6),
    ] {
        let mut talk = Talk::ready();
        talk.run();
        ask_table(&mut talk, &[above, below]).acked();
        talk.ask(Message::frontend(R::SET_VRING_ADDR, Payload::Addr(addr))).acked();
        let placement = talk.session().bind(0).expect("a ring in memory").placement;
        let memory = talk.session().memory();
        let pieces: Vec<_> = placement.pieces(part, memory, None).expect("the part").collect();
        let len = placement.part(part).len;
        let low = Location { slot: 1, offset: REGION - first, len: first };
        let high = Location { slot: 0, offset: 0, len: len - first };
        assert_eq!(pieces, [low, high], "{part:?}");
        // With a hole after the border the part is not in memory.
        let hole = Region { user_address: border + 0x1000, ..above };
        ask_table(&mut talk, &[hole, below]).acked();
        let error = PlaceError::Unmapped { part, address: border };
        assert_refused!(
            talk.session().bind(0).map(|ring| ring.setup.size),
            BindError::Place(error)
        );
    }
}

//! Memory, the log and translations, as a strict front-end tells of them.

use vhost_fuzz_core::frontend::SendError;
use vhost_fuzz_core::memory::{AddressKind, LogError, MemoryError};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{
    Iotlb, LogBase, MemTable, Region, RegionBytes, VringAddr, XenMmap,
};
use vhost_fuzz_core::vhost_user::{DecodeError, FrontendRequest as R, Layout, Message, Payload};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use crate::frontend::peer::*;

const USER: u64 = 0x7f00_0000_0000;

pub(crate) fn iotlb(
    kind: u8,
    iova: u64,
    size: u64,
    user_address: u64,
    permissions: u8,
) -> Payload<'static> {
    Payload::Iotlb(Iotlb { iova, size, user_address, permissions, kind, padding: [0; 6] })
}

/// One region of 16 pages at guest address 0.
fn with_memory(features: u64, protocol: u64) -> Peer {
    let mut peer = Peer::with(features, protocol);
    let user = if protocol & protocol::GPA_ADDRESSES != 0 { 0 } else { USER };
    assert_eq!(peer.send_table(&[region(0, user, 16 * PAGE)]), Ok(()));
    peer
}

#[test]
fn the_regions_of_a_table_do_not_overlap() {
    let mut peer = Peer::new();
    let first = region(0, USER, 2 * PAGE);
    let guest = region(PAGE, USER + 8 * PAGE, PAGE);
    assert_refused!(
        peer.send_table(&[first, guest]),
        SendError::GuestOverlap { address: PAGE, other: 0 }
    );
    let user = region(8 * PAGE, USER + PAGE, PAGE);
    assert_refused!(
        peer.send_table(&[first, user]),
        SendError::UserOverlap { address: USER + PAGE, other: USER }
    );
    let next = region(2 * PAGE, USER + 2 * PAGE, PAGE);
    assert_eq!(peer.send_table(&[first, next]), Ok(()));
    // A whole table replaces the one before, so it may overlap that.
    assert_eq!(peer.send_table(&[guest]), Ok(()));
    let empty = MemoryError::EmptyRegion { guest_address: 0 };
    assert_refused!(peer.send_table(&[region(0, 0, 0)]), SendError::Memory(empty));
}

#[test]
fn a_table_is_as_long_as_its_regions_or_full() {
    let _shows = shows(&["VU-128", "VU-129"]);
    let regions = RegionBytes::new(&[region(0, USER, PAGE)]);
    for (len, is_legal) in [(32, true), (64, false), (255, false), (256, true)] {
        let mut bytes = regions.as_bytes().to_vec();
        bytes.resize(len, 0);
        let table = Payload::MemTable(MemTable::new(1, Layout::default(), &bytes));
        let result = Peer::new().send(&Message::frontend(R::SET_MEM_TABLE, table), 1);
        if is_legal {
            assert_eq!(result, Ok(()));
        } else {
            let have = u32::try_from(len).expect("small") + 8;
            assert_refused!(result, SendError::TableSize { regions: 1, have });
        }
    }
    for count in [0, 9] {
        let error = DecodeError::RegionCount { count, limit: 8 };
        let table = Payload::MemTable(MemTable::new(count, Layout::default(), regions.as_bytes()));
        assert_refused!(Peer::new().tries(R::SET_MEM_TABLE, table), SendError::Malformed(error));
    }
    let result =
        with_table(&[region(0, USER, PAGE)], |table| Peer::new().tries(R::SET_MEM_TABLE, table));
    let error = DecodeError::RegionFds { regions: 1, fds: 0 };
    assert_refused!(result, SendError::Malformed(error));
}

#[test]
fn a_region_is_removed_before_an_overlapping_one_is_added() {
    let mut peer = Peer::with(FEATURES, PROTOCOL | protocol::CONFIGURE_MEM_SLOTS);
    let (old, new) = (region(0, USER, 2 * PAGE), region(PAGE, USER + PAGE, 2 * PAGE));
    let user_only = region(8 * PAGE, USER + PAGE, PAGE);
    let add = |region| Message::frontend(R::ADD_MEM_REG, added(region));
    assert_eq!(peer.send(&add(old), 1), Ok(()));
    let address = PAGE;
    assert_refused!(peer.send(&add(new), 1), SendError::NotRemoved { address, other: 0 });
    let address = USER + PAGE;
    assert_refused!(peer.send(&add(user_only), 1), SendError::NotRemoved { address, other: USER });
    // Back-ends take a region that is there (DC-161); a front-end does not send it.
    assert_refused!(peer.send(&add(old), 1), SendError::NotRemoved { address: 0, other: 0 });
    let (mmap_offset, size) = (u64::MAX, old.size);
    let wraps = MemoryError::MmapOffsetWraps { mmap_offset, size };
    let wrapping = Region { mmap_offset, ..old };
    assert_refused!(peer.send(&add(wrapping), 1), SendError::Memory(wraps));
    let remove = Message::frontend(R::REM_MEM_REG, added(old));
    let with_fd = SendError::RemoveWithFd;
    assert_refused!(peer.send(&remove, 1), with_fd);
    assert!(with_fd.is_advice());
    assert_eq!(peer.send(&remove, 0), Ok(()));
    assert_eq!(peer.send(&add(new), 1), Ok(()));
    let unknown =
        MemoryError::UnknownRegion { guest_address: 0, user_address: USER, size: 2 * PAGE };
    assert_refused!(peer.send(&remove, 0), SendError::Memory(unknown));
    let error = SendError::MissingFds { code: 37, need: 1, have: 0 };
    assert_refused!(peer.send(&add(old), 0), error);
}

#[test]
fn no_more_regions_are_added_than_there_are_slots() {
    let mut peer = Peer::with(FEATURES, PROTOCOL | protocol::CONFIGURE_MEM_SLOTS);
    peer.learns(R::GET_MAX_MEM_SLOTS, 1);
    let add = |at| Message::frontend(R::ADD_MEM_REG, added(region(at, at, PAGE)));
    assert_eq!(peer.send(&add(0), 1), Ok(()));
    for more in [PAGE, 0] {
        assert_refused!(peer.send(&add(more), 1), SendError::Slots { limit: 1 });
    }
}

#[test]
fn a_refused_change_of_memory_does_not_count() {
    let _shows = shows(&["DC-065"]);
    let mut peer = Peer::with(FEATURES, PROTOCOL | protocol::CONFIGURE_MEM_SLOTS);
    let (old, new) = (region(0, USER, PAGE), region(0, USER, 2 * PAGE));
    let nack = |peer: &mut Peer, request| {
        assert_eq!(peer.replies(request, Payload::U64(1)), Ok(false));
    };
    let add = |region| Message::frontend(R::ADD_MEM_REG, added(region)).with_need_reply();
    assert_eq!(peer.send(&add(old), 1), Ok(()));
    nack(&mut peer, R::ADD_MEM_REG);
    assert_eq!(peer.send(&add(new), 1), Ok(()), "the old one is not there");
    assert_eq!(peer.replies(R::ADD_MEM_REG, Payload::U64(0)), Ok(true));
    let remove = Message::frontend(R::REM_MEM_REG, added(new)).with_need_reply();
    assert_eq!(peer.send(&remove, 0), Ok(()));
    nack(&mut peer, R::REM_MEM_REG);
    let still_there = SendError::NotRemoved { address: 0, other: 0 };
    assert_eq!(peer.send(&add(old), 1), Err(still_there));
    let elsewhere = [region(64 * PAGE, 0, PAGE)];
    let sent = with_table(&elsewhere, |table| {
        peer.send(&Message::frontend(R::SET_MEM_TABLE, table).with_need_reply(), 1)
    });
    assert_eq!(sent, Ok(()));
    nack(&mut peer, R::SET_MEM_TABLE);
    assert_eq!(peer.send(&add(old), 1), Err(still_there), "the table before it is back");
}

#[test]
fn with_gpa_addresses_user_addresses_repeat_the_guests() {
    let bits = PROTOCOL | protocol::GPA_ADDRESSES;
    let error = SendError::UserAddress { guest_address: PAGE, user_address: USER };
    let mut peer = Peer::with(FEATURES, bits);
    assert_refused!(peer.send_table(&[region(PAGE, USER, PAGE)]), error);
    assert_eq!(peer.send_table(&[region(PAGE, PAGE, PAGE)]), Ok(()));
    let mut peer = Peer::with(FEATURES, bits | protocol::CONFIGURE_MEM_SLOTS);
    let add = Message::frontend(R::ADD_MEM_REG, added(region(PAGE, USER, PAGE)));
    assert_refused!(peer.send(&add, 1), error);
}

#[test]
fn regions_have_the_fields_of_xen_exactly_when_that_was_negotiated() {
    let _shows = shows(&["VU-126"]);
    let plain = region(0, USER, PAGE);
    let xen = Region { xen: Some(XenMmap { flags: 1, domid: 7 }), ..plain };
    let bits = PROTOCOL | protocol::CONFIGURE_MEM_SLOTS;
    for (bits, right, wrong, limit) in
        [(bits, plain, xen, 40), (bits | protocol::XEN_MMAP, xen, plain, 48)]
    {
        let mut peer = Peer::with(FEATURES, bits);
        let add = |region| Message::frontend(R::ADD_MEM_REG, added(region));
        let have = if limit == 40 { 48 } else { 40 };
        let error = if have > limit {
            DecodeError::PayloadTooLong { code: 37, limit, have }
        } else {
            DecodeError::PayloadTooShort { code: 37, need: limit, have }
        };
        assert_refused!(peer.send(&add(wrong), 1), SendError::Malformed(error));
        assert_eq!(peer.send(&add(right), 1), Ok(()));
    }
}

fn addresses(descriptor: u64, flags: u32, log: u64) -> Payload<'static> {
    let (used, available) = (descriptor + PAGE, descriptor + 2 * PAGE);
    Payload::Addr(VringAddr { index: 0, flags, descriptor, used, available, log })
}

#[test]
fn ring_addresses_are_of_the_negotiated_kind() {
    let _shows = shows(&["VU-080", "VU-081", "VU-082"]);
    let refused = |address, kind| SendError::RingAddress { index: 0, address, kind };
    let mut user = with_memory(FEATURES, PROTOCOL);
    let error = refused(0, AddressKind::User);
    assert_refused!(user.tries(R::SET_VRING_ADDR, addresses(0, 0, 0)), error);
    let error = refused(USER + 16 * PAGE, AddressKind::User);
    let partly = addresses(USER + 15 * PAGE, 0, 0);
    assert_refused!(user.tries(R::SET_VRING_ADDR, partly), error);
    user.sends(R::SET_VRING_ADDR, addresses(USER, 0, 0));
    let mut guest = with_memory(FEATURES, PROTOCOL | protocol::GPA_ADDRESSES);
    let error = refused(USER, AddressKind::Guest);
    assert_refused!(guest.tries(R::SET_VRING_ADDR, addresses(USER, 0, 0)), error);
    guest.sends(R::SET_VRING_ADDR, addresses(0, 0, 0));
    // IOVAs may be anything, and so may addresses before there is memory.
    let mut iova = with_memory(FEATURES | virtio::IOMMU_PLATFORM, PROTOCOL);
    iova.sends(R::SET_VRING_ADDR, addresses(0xffff_0000, 0, 0));
    Peer::new().sends(R::SET_VRING_ADDR, addresses(0xffff_0000, 0, 0));
}

fn log(size: u64, offset: u64) -> Message<'static> {
    Message::frontend(R::SET_LOG_BASE, Payload::Log(LogBase { size, offset }))
}

#[test]
fn the_log_covers_memory_and_used_rings() {
    let _shows = shows(&["VU-155"]);
    let mut peer = Peer::with(FEATURES, PROTOCOL);
    // Nine pages need two bytes of eight bits.
    assert_eq!(peer.send_table(&[region(0, USER, 9 * PAGE)]), Ok(()));
    let small = SendError::LogTooSmall { size: 1, need: 2 };
    assert_refused!(peer.send(&log(1, 0), 1), small);
    assert!(small.is_advice());
    assert_refused!(peer.send(&log(0, 0), 1), SendError::Log(LogError::Empty));
    let error = SendError::MissingFds { code: 6, need: 1, have: 0 };
    assert_refused!(peer.send(&log(2, 0), 0), error);
    let logged = |log| addresses(USER, VringAddr::LOG, log);
    let none = SendError::NoLog { index: 0 };
    assert_refused!(peer.tries(R::SET_VRING_ADDR, logged(0)), none);
    assert_eq!(peer.send(&log(2, 0), 1), Ok(()));
    // Size unknown: nobody can tell where the used ring ends.
    peer.sends(R::SET_VRING_ADDR, logged(u64::MAX));
    peer.sends(R::SET_VRING_NUM, state(0, 256));
    let len = 4 + 8 * 256 + 2;
    let end = 2 * 8 * PAGE;
    peer.sends(R::SET_VRING_ADDR, logged(end - len));
    for address in [end - len + 1, u64::MAX] {
        let error = SendError::UsedRingLog { address, len, size: 2 };
        assert_refused!(peer.tries(R::SET_VRING_ADDR, logged(address)), error);
    }
}

#[test]
fn without_log_shmfd_a_log_is_a_number() {
    let mut peer = Peer::with(FEATURES, PROTOCOL & !protocol::LOG_SHMFD);
    assert_refused!(peer.send(&log(1, 0), 0), SendError::LogForm);
    peer.sends(R::SET_LOG_BASE, Payload::U64(0x1000));
    assert_eq!(peer.frontend.awaited(), 0);
}

#[test]
fn translations_lead_into_memory() {
    let _shows = shows(&["VU-265"]);
    let features = FEATURES | virtio::IOMMU_PLATFORM;
    let mut peer = with_memory(features, PROTOCOL);
    let mut tries = |payload| peer.tries(R::IOTLB_MSG, payload);
    for kind in [0, Iotlb::MISS, Iotlb::ACCESS_FAIL, 5] {
        assert_refused!(tries(iotlb(kind, 0, PAGE, USER, 3)), SendError::IotlbKind { kind });
    }
    for (iova, size) in [(0, 0), (u64::MAX, PAGE)] {
        let update = iotlb(Iotlb::UPDATE, iova, size, USER, 3);
        assert_refused!(tries(update), SendError::UpdateRange { iova, size });
        let invalidate = iotlb(Iotlb::INVALIDATE, iova, size, 0, 0);
        assert_refused!(tries(invalidate), SendError::InvalidateRange { iova, size });
    }
    for permissions in [0, 4] {
        let update = iotlb(Iotlb::UPDATE, 0, PAGE, USER, permissions);
        assert_refused!(tries(update), SendError::UpdatePermissions { permissions });
    }
    for (user_address, size) in [(0, PAGE), (USER, 17 * PAGE), (u64::MAX, PAGE)] {
        let update = iotlb(Iotlb::UPDATE, 0, size, user_address, 3);
        assert_refused!(tries(update), SendError::UpdateOutside { user_address, size });
    }
    assert_eq!(tries(iotlb(Iotlb::UPDATE, 0, 16 * PAGE, USER, 3)), Ok(()));
    assert_eq!(tries(iotlb(Iotlb::INVALIDATE, 0, PAGE, 0, 0)), Ok(()));
    // With GPA_ADDRESSES the address is the guest's.
    let mut peer = with_memory(features, PROTOCOL | protocol::GPA_ADDRESSES);
    let update = |address| iotlb(Iotlb::UPDATE, 0, PAGE, address, 1);
    let error = SendError::UpdateOutside { user_address: USER, size: PAGE };
    assert_refused!(peer.tries(R::IOTLB_MSG, update(USER)), error);
    assert_eq!(peer.tries(R::IOTLB_MSG, update(PAGE)), Ok(()));
}

//! The hostile inputs of spec §9 that a session decides about: each gets the reaction that its
//! row requires, nothing leaks, and where the connection goes on the next request is answered.
//! Which rule each breaks is shown in the files by topic.

use vhost_fuzz_core::session::{Offer, Service};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{
    Config, Inflight, Iotlb, LogBase, Region, Transfer, VringAddr, VringFd,
};
use vhost_fuzz_core::vhost_user::{FrontendRequest as R, Kind, Layout, Message, Payload};
use vhost_fuzz_harness::session::talk::{
    Said, Talk, USER, address, bare, encode, mem_reg, no_fd, number, offer, raw, region, state,
    table, vring_addr, vring_fd,
};

const ACK: u64 = protocol::REPLY_ACK;

/// The column "Require".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Require {
    /// It is granted.
    Accept,
    /// u64 non-zero; the connection goes on.
    Nack,
    /// The connection ends.
    Close,
    /// The reply is an error of its own form, without a descriptor.
    ErrorForm,
}

use Require::{Accept, Close, ErrorForm, Nack};

/// Judges what was said.
#[track_caller]
fn require(hazard: &str, talk: &mut Talk, said: &Said, require: Require) {
    let is_right = match (require, said) {
        (Close, Said::Closed(_)) | (Accept, Said::Silent) => true,
        (Accept, Said::Reply { refusal, .. }) => refusal.is_none(),
        (Nack, Said::Reply { payload, fd: false, refusal: Some(_), .. }) => {
            payload.len() == 8 && *payload != [0; 8]
        }
        (ErrorForm, Said::Reply { fd: false, refusal: Some(_), .. }) => true,
        _ => false,
    };
    assert!(is_right, "HZ-{hazard} requires {require:?}, not {said:?}");
    if require != Close {
        let alive = talk.ask(bare(R::GET_FEATURES));
        assert_eq!(alive.u64(), talk.session().offer().features, "HZ-{hazard}");
    }
}

/// Runs messages in a fresh talk each.
#[track_caller]
fn each<'a>(
    new: impl Fn() -> Talk,
    cases: impl IntoIterator<Item = (&'a str, Message<'a>, usize, Require)>,
) {
    for (hazard, message, fds, reaction) in cases {
        let mut talk = new();
        let held = talk.open_fds();
        let said = talk.ask_with(message, fds);
        require(hazard, &mut talk, &said, reaction);
        if reaction != Accept {
            assert_eq!(talk.open_fds(), held, "HZ-{hazard}: descriptors are closed");
        }
    }
}

/// As [`each`], with bytes.
#[track_caller]
fn each_raw<'a>(
    new: impl Fn() -> Talk,
    cases: impl IntoIterator<Item = (&'a str, Vec<u8>, usize, Require)>,
) {
    for (hazard, bytes, fds, reaction) in cases {
        let mut talk = new();
        let held = talk.open_fds();
        let said = talk.bytes(&bytes, fds);
        require(hazard, &mut talk, &said, reaction);
        if reaction != Accept {
            assert_eq!(talk.open_fds(), held, "HZ-{hazard}: descriptors are closed");
        }
    }
}

fn asking(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[4] = 9;
    bytes
}

fn slots() -> Talk {
    let mut talk = Talk::having(ACK | protocol::CONFIGURE_MEM_SLOTS);
    talk.give_memory();
    talk
}

fn with_iommu() -> Talk {
    let mut talk = Talk::ready();
    talk.features(Talk::FEATURES | virtio::IOMMU_PLATFORM);
    talk.give_memory();
    talk
}

#[test]
fn hazards_11_to_26_messages_and_descriptors() {
    let plain = |mut bytes: Vec<u8>| {
        bytes[4] = 1;
        bytes
    };
    let mut nine = raw(5, &[&[9, 0, 0, 0, 0, 0, 0, 0][..], &[0; 9 * 32]].concat());
    nine[4] = 9;
    each_raw(
        Talk::ready,
        [
            ("11", raw(1, &[]), 0, Accept),
            ("14", raw(2, &[0; 4]), 0, Nack),
            ("15", raw(1, &[0; 8]), 0, Close),
            ("16", raw(1, &[]), 1, Close),
            ("17", raw(46, &[0; 8]), 0, Nack),
            ("18", plain(raw(46, &[0; 8])), 0, Close),
            ("19", raw(0, &[]), 0, Nack),
            ("20", nine, 8, Nack),
            ("24", raw(21, &[]), 0, Nack),
        ],
    );
    let mut talk = Talk::ready();
    for round in 0..600_u32 {
        let said = talk.ask_with(vring_fd(R::SET_VRING_CALL, round.to_le_bytes()[0] % 4), 1);
        require("26", &mut talk, &said, Accept);
    }
    assert_eq!(talk.open_fds(), 4, "HZ-26: the last of each ring");
}

#[test]
fn hazards_30_to_39_negotiation() {
    let bits = ACK | protocol::INBAND_NOTIFICATIONS;
    each(
        || Talk::having(ACK | protocol::BACKEND_REQ | protocol::INBAND_NOTIFICATIONS),
        [
            ("30", number(R::SET_FEATURES, 1 << 63), 0, Nack),
            ("31", number(R::SET_PROTOCOL_FEATURES, 1 << 40), 0, Nack),
            ("32", number(R::SET_PROTOCOL_FEATURES, bits), 0, Close),
            ("38", bare(R::SET_OWNER), 0, Accept),
        ],
    );
    let window = Config { offset: 0, size: 4, flags: 0, payload: &[0; 4] };
    each(
        || Talk::having(ACK),
        [
            ("35", Message::frontend(R::GET_CONFIG, Payload::Config(window)), 0, Close),
            ("36", state(R::VRING_KICK, 0, 0), 0, Nack),
            ("37", bare(R::CHECK_DEVICE_STATE), 0, Close),
        ],
    );
    let mut talk = Talk::new();
    let said = talk.ask(state(R::SET_VRING_ENABLE, 0, 1));
    require("33", &mut talk, &said, Accept);
    talk.negotiate(ACK);
    talk.features(1 << 32);
    let said = talk.ask(state(R::SET_VRING_ENABLE, 0, 0));
    require("34", &mut talk, &said, Accept);
    assert!(!talk.ring(0).state().enabled);
    for _ in 0..2 {
        let said = talk.ask(bare(R::SET_OWNER));
        require("38", &mut talk, &said, Accept);
    }
}

#[test]
fn hazard_39_features_while_rings_run() {
    for bit in 0..64 {
        let mut talk = Talk::with(Offer { features: u64::MAX, ..offer() });
        talk.negotiate(ACK);
        talk.features(Talk::FEATURES);
        talk.run();
        let said = talk.ask(number(R::SET_FEATURES, Talk::FEATURES ^ 1 << bit));
        require("39", &mut talk, &said, if bit == 26 { Accept } else { Nack });
    }
}

#[test]
fn hazards_40_to_45_tables() {
    let table = |regions: &[Region]| asking(table(regions));
    let mut padded = table(&[region(0)]);
    padded.resize(12 + 264, 0);
    padded[8..12].copy_from_slice(&264_u32.to_ne_bytes());
    let apart = region(1);
    each_raw(
        Talk::ready,
        [
            ("40", raw(5, &[0; 8]), 0, Nack),
            ("40", raw(5, &[]), 0, Nack),
            ("41", table(&[region(0), region(1)]), 1, Nack),
            ("42", padded, 1, Accept),
            ("43", table(&[region(0), Region { guest_address: 0x800, ..apart }]), 2, Nack),
            ("44", table(&[region(0), Region { user_address: USER + 1, ..apart }]), 2, Nack),
            ("45", table(&[Region { guest_address: u64::MAX, ..apart }]), 1, Nack),
            ("58", table(&[Region { mmap_offset: u64::MAX, ..apart }]), 1, Nack),
        ],
    );
}

#[test]
fn hazards_47_to_59_single_regions() {
    let (add, rem) = (R::ADD_MEM_REG, R::REM_MEM_REG);
    let new = region(5);
    each(
        slots,
        [
            ("47", mem_reg(add, region(0)), 1, Accept),
            ("47", mem_reg(add, Region { user_address: USER + 1, ..region(0) }), 1, Nack),
            ("48", mem_reg(add, Region { size: 0, ..new }), 1, Nack),
            ("49", mem_reg(add, Region { guest_address: u64::MAX - 9, ..new }), 1, Nack),
            ("50", mem_reg(add, Region { user_address: u64::MAX - 9, ..new }), 1, Nack),
            ("52", mem_reg(add, new), 0, Nack),
            ("52", mem_reg(add, new), 2, Nack),
            ("54", mem_reg(rem, region(0)), 1, Accept),
            ("55", mem_reg(rem, new), 0, Accept),
            ("55", mem_reg(rem, Region { size: 1, ..region(0) }), 0, Nack),
            ("56", mem_reg(rem, Region { user_address: USER + 1, ..region(0) }), 0, Nack),
            ("58", mem_reg(add, Region { mmap_offset: u64::MAX, ..new }), 1, Nack),
        ],
    );
    each_raw(slots, [("53", raw(37, &[0; 32]), 1, Nack)]);
    let few = Offer { max_mem_slots: 1, ..offer() };
    let mut talk = Talk::with(few);
    talk.negotiate(ACK | protocol::CONFIGURE_MEM_SLOTS);
    let said = talk.bytes(&asking(table(&[region(0), region(1)])), 2);
    require("59", &mut talk, &said, Nack);
    talk.ask_with(mem_reg(add, region(0)), 1).acked();
    let said = talk.ask_with(mem_reg(add, region(1)), 1);
    require("59", &mut talk, &said, Nack);
}

/// `SET_VRING_ADDR` is resolved when the ring is used, so it fails there (HZ-75).
#[test]
fn hazards_51_57_75_and_76_rings_outside_of_memory() {
    let at = |descriptor: u64| {
        let (used, available) = (descriptor.wrapping_add(0x400), descriptor.wrapping_add(0x800));
        let addr = VringAddr { descriptor, used, available, ..vring_addr(0) };
        Message::frontend(R::SET_VRING_ADDR, Payload::Addr(addr))
    };
    let end = USER + 0x10_0000;
    for (hazard, message) in [
        ("51", at(u64::MAX - 0xfff)),
        ("75", at(0x1000)),
        ("76", at(end - 0x80)),
        ("76", at(end - 0x900)),
    ] {
        let mut talk = slots();
        talk.run();
        let wraps = Region { user_address: u64::MAX - 0x1fff, ..region(5) };
        let said = talk.ask_with(mem_reg(R::ADD_MEM_REG, wraps), 1);
        require("50", &mut talk, &said, Nack);
        let said = talk.ask(message);
        require(hazard, &mut talk, &said, Accept);
        let is_inside = hazard == "76" && message == at(end - 0x900);
        assert_eq!(talk.session().bind(0).is_ok(), is_inside, "HZ-{hazard}");
    }
    let mut talk = slots();
    talk.run();
    let said = talk.bytes(&asking(table(&[region(1)])), 1);
    require("57", &mut talk, &said, Accept);
    assert!(talk.session().bind(0).is_err());
}

#[test]
fn hazards_60_to_68_numbers_of_rings() {
    let high = 0x8000_0000;
    each(
        Talk::ready,
        [
            ("60", state(R::SET_VRING_NUM, 0, 0), 0, Nack),
            ("61", state(R::SET_VRING_NUM, 0, 3), 0, Nack),
            ("61", state(R::SET_VRING_NUM, 0, 1000), 0, Nack),
            ("62", state(R::SET_VRING_NUM, 0, 65536), 0, Nack),
            ("62", state(R::SET_VRING_NUM, 0, 65792), 0, Nack),
            ("63", state(R::SET_VRING_NUM, 4, 16), 0, Nack),
            ("64", state(R::SET_VRING_NUM, high, 16), 0, Nack),
            ("65", state(R::GET_VRING_BASE, 4, 0), 0, Close),
            ("65", state(R::GET_VRING_BASE_SKIP_DRAIN, high, 0), 0, Close),
            ("66", state(R::SET_VRING_ENABLE, high, 1), 0, Nack),
            ("67", state(R::SET_VRING_ENABLE, 0, 2), 0, Nack),
            ("68", state(R::SET_VRING_BASE, 0, 0x1_ffff), 0, Nack),
        ],
    );
}

#[test]
fn hazards_69_to_77_descriptors_and_addresses_of_rings() {
    let kick = |value| Message::frontend(R::SET_VRING_KICK, Payload::VringFd(VringFd(value)));
    let addr = |addr| Message::frontend(R::SET_VRING_ADDR, Payload::Addr(addr));
    let good = vring_addr(0);
    each(
        Talk::ready,
        [
            ("69", kick(0x100), 1, Nack),
            ("70", kick(0), 0, Nack),
            ("71", kick(0x100), 0, Accept),
            ("72", kick(u64::MAX << 9), 1, Accept),
            ("73", kick(255), 1, Nack),
            ("74", addr(VringAddr { descriptor: good.descriptor + 8, ..good }), 0, Nack),
            ("77", addr(VringAddr { flags: 2, ..good }), 0, Accept),
        ],
    );
}

#[test]
fn hazard_78_a_kick_before_everything_else() {
    let mut talk = Talk::ready();
    let said = talk.ask_with(vring_fd(R::SET_VRING_KICK, 0), 1);
    require("78", &mut talk, &said, Accept);
    let said = talk.ask(state(R::SET_VRING_ENABLE, 0, 1));
    require("78", &mut talk, &said, Accept);
    assert_eq!(talk.session().service(0), Service::Serve);
    assert!(talk.session().bind(0).is_err());
}

#[test]
fn hazards_80_to_83_logs() {
    let log =
        |size, offset| Message::frontend(R::SET_LOG_BASE, Payload::Log(LogBase { size, offset }));
    each(
        Talk::ready,
        [
            ("80", log(0, 0), 1, Close),
            ("81", log(0x1000, u64::MAX - 0xfff), 1, Close),
            ("82", log(0x1000, 0x800), 1, Close),
        ],
    );
    each_raw(Talk::ready, [("83", raw(6, &[0; 8]), 0, Close)]);
}

#[test]
fn hazards_85_to_88_areas() {
    let area = |request, mmap_size, num_queues, queue_size| {
        let area = Inflight { mmap_size, mmap_offset: 0, num_queues, queue_size, padding: 0 };
        Message::frontend(request, Payload::Inflight(area))
    };
    let (get, set) = (R::GET_INFLIGHT_FD, R::SET_INFLIGHT_FD);
    each_raw(Talk::ready, [("85", raw(31, &[0; 20]), 0, ErrorForm)]);
    each(
        Talk::ready,
        [
            ("86", area(get, 0, 0, 128), 0, ErrorForm),
            ("86", area(get, 0, 1, 0), 0, ErrorForm),
            ("87", area(set, 4223, 2, 128), 1, Nack),
            ("88", area(set, u64::MAX, 500, 128), 1, Nack),
        ],
    );
}

#[test]
fn hazards_90_to_94_and_96_device() {
    let config = |request, offset, size, payload| {
        let window = Config { offset, size, flags: 0, payload };
        Message::frontend(request, Payload::Config(window))
    };
    each(
        Talk::ready,
        [
            ("90", config(R::GET_CONFIG, 0, 256, &[0; 256]), 0, Accept),
            ("91", config(R::GET_CONFIG, 0, 4096, &[0; 8]), 0, ErrorForm),
            ("91", config(R::SET_CONFIG, 0, 1, &[0; 256]), 0, Accept),
            ("92", config(R::SET_CONFIG, 0xffff_fff0, 32, &[0; 32]), 0, Nack),
            ("93", config(R::SET_CONFIG, 40, 1, &[0]), 0, Nack),
            ("94", number(R::SET_STATUS, 0x100), 0, Nack),
            ("96", number(R::NET_SET_MTU, 10), 0, Nack),
        ],
    );
}

#[test]
fn hazard_95_translations() {
    let iotlb = |kind, iova, size, user_address| {
        let message = Iotlb { iova, size, user_address, permissions: 3, kind, padding: [0; 6] };
        Message::frontend(R::IOTLB_MSG, Payload::Iotlb(message))
    };
    each(
        with_iommu,
        [
            ("95", iotlb(9, 0, 1, USER), 0, Nack),
            ("95", iotlb(2, 0, 1, 0x1000), 0, Nack),
            ("95", iotlb(2, 0, 0, USER), 0, Nack),
            ("95", iotlb(2, u64::MAX, 2, USER), 0, Nack),
            ("95", iotlb(3, u64::MAX, 2, 0), 0, Nack),
        ],
    );
}

#[test]
fn hazard_97_resets() {
    let mut talk = Talk::new();
    for round in 0..4 {
        if round == 2 {
            talk.negotiate(ACK);
            talk.features(Talk::FEATURES);
            talk.run();
        }
        let said = talk.ask(bare(R::RESET_DEVICE));
        require("97", &mut talk, &said, Accept);
    }
}

#[test]
fn hazard_98_transfers() {
    let transfer = |direction, phase| {
        let transfer = Transfer { direction, phase };
        Message::frontend(R::SET_DEVICE_STATE_FD, Payload::Transfer(transfer))
    };
    each(
        Talk::ready,
        [
            ("98", transfer(2, 0), 1, ErrorForm),
            ("98", transfer(0, 1), 1, ErrorForm),
            ("98", transfer(0, 0), 0, ErrorForm),
        ],
    );
    let running = || {
        let mut talk = Talk::ready();
        talk.run();
        talk
    };
    each(running, [("98", transfer(0, 0), 1, ErrorForm)]);
}

#[test]
fn hazard_104_postcopy_out_of_order() {
    each(
        Talk::ready,
        [("104", bare(R::POSTCOPY_LISTEN), 0, Nack), ("104", bare(R::POSTCOPY_END), 0, Nack)],
    );
    let advised = || {
        let mut talk = Talk::ready();
        assert!(talk.send(bare(R::POSTCOPY_ADVISE), 0).has_fd());
        talk
    };
    each(advised, [("104", bare(R::POSTCOPY_ADVISE), 0, Close)]);
}

#[test]
fn hazards_105_to_109_what_is_to_be_accepted() {
    each(Talk::ready, [("105", state(R::GET_VRING_BASE, 0, 0xdead_beef), 0, Accept)]);
    let mut talk = slots();
    talk.run();
    let bits = talk.session().negotiated().protocol;
    for _ in 0..2 {
        for message in
            [number(R::SET_PROTOCOL_FEATURES, bits), number(R::SET_FEATURES, Talk::FEATURES)]
        {
            let said = talk.ask(message);
            require("106", &mut talk, &said, Accept);
        }
    }
    for (bytes, count) in [
        (asking(table(&[region(0)])), 1),
        (encode(&mem_reg(R::ADD_MEM_REG, region(1)).with_need_reply()), 2),
        (asking(table(&[region(2)])), 1),
    ] {
        let said = talk.bytes(&bytes, 1);
        require("107", &mut talk, &said, Accept);
        assert_eq!(talk.session().memory().slots().len(), count);
    }
    let mut talk = Talk::having(protocol::PAGEFAULT);
    assert!(talk.send(bare(R::POSTCOPY_ADVISE), 0).has_fd());
    let said = talk.ask(bare(R::POSTCOPY_LISTEN));
    assert_eq!(said.u64(), 0, "HZ-109");
}

#[test]
fn hazard_102_a_connection_that_ends_anywhere() {
    let table = table(&[region(0), region(1), region(2)]);
    let table = Message::decode(Kind::FRONTEND_REQUEST, Layout::default(), &table, 3);
    let steps = [
        (table.expect("a legal table"), 3),
        (number(R::SET_FEATURES, Talk::FEATURES), 0),
        (mem_reg(R::ADD_MEM_REG, region(0)), 1),
        (vring_fd(R::SET_VRING_KICK, 0), 1),
        (bare(R::SET_BACKEND_REQ_FD), 1),
    ];
    for (message, fds) in steps {
        let mut talk = Talk::having(ACK | protocol::BACKEND_REQ | protocol::CONFIGURE_MEM_SLOTS);
        let held = talk.hold(message, fds);
        talk.disconnect();
        assert_eq!((talk.open_fds(), talk.open_mappings()), (0, 0), "HZ-102: {held:?}");
        assert!(talk.session().pending().is_none());
        talk.negotiate(ACK);
        talk.features(Talk::FEATURES);
        talk.run();
        talk.ask(address(0)).acked();
        talk.ask(no_fd(R::SET_VRING_CALL, 0)).acked();
    }
}

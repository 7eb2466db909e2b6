//! What an implementation accepts from real front-ends: a test for every row of the table in spec
//! §3.2, and the recorded and read orders of whole set-ups (§6.1). Everything here is accepted.

use vhost_fuzz_core::memory::map::MapRange;
use vhost_fuzz_core::session::{Offer, Position, postcopy};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{Config, LogBase, Region};
use vhost_fuzz_core::vhost_user::{FrontendRequest as R, Message, Payload};
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::session::talk::{
    Seen, Talk, USER, address, bare, mem_reg, number, offer, raw, region, state, table, vring_fd,
};

const ACK: u64 = protocol::REPLY_ACK;

/// An offer of these features.
fn device(features: u64, protocol_features: u64) -> Talk {
    Talk::with(Offer { features, protocol_features, ..offer() })
}

fn enabled(talk: &Talk) -> Vec<bool> {
    talk.session().rings().iter().map(|ring| ring.state().enabled).collect()
}

#[test]
fn row_01_enable_before_any_set_features() {
    let _shows = shows(&["VU-108"]);
    let mut talk = Talk::new();
    talk.send(state(R::SET_VRING_ENABLE, 0, 1), 0).silent();
    talk.send(state(R::SET_VRING_ENABLE, 1, 1), 0).silent();
    talk.features(Talk::FEATURES);
    assert_eq!(enabled(&talk), [true, true, false, false]);
}

#[test]
fn row_02_enable_without_bit_30() {
    let _shows = shows(&["VU-108"]);
    for features in [offer().features, offer().features & !virtio::PROTOCOL_FEATURES] {
        let mut talk = device(features, offer().protocol_features);
        talk.features(1 << 32);
        talk.send(state(R::SET_VRING_ENABLE, 0, 1), 0).silent();
        assert_eq!(enabled(&talk), [true; 4]);
        talk.send(state(R::SET_VRING_ENABLE, 0, 0), 0).silent();
        assert_eq!(enabled(&talk), [false, true, true, true]);
    }
}

#[test]
fn row_03_the_owner_first_or_after_six_requests() {
    let _shows = shows(&["VU-054"]);
    let before = |talk: &mut Talk| {
        assert_eq!(talk.send(bare(R::GET_FEATURES), 0).u64(), offer().features);
        assert!(talk.send(bare(R::GET_PROTOCOL_FEATURES), 0).u64() != 0);
        talk.negotiate(offer().protocol_features);
        assert_eq!(talk.send(bare(R::GET_QUEUE_NUM), 0).u64(), 4);
        assert_eq!(talk.send(bare(R::GET_MAX_MEM_SLOTS), 0).u64(), 509);
        talk.ask_with(bare(R::SET_BACKEND_REQ_FD), 1).acked();
    };
    let mut talk = Talk::new();
    talk.send(bare(R::SET_OWNER), 0).silent();
    before(&mut talk);
    let mut talk = Talk::new();
    before(&mut talk);
    talk.send(bare(R::SET_OWNER), 0).silent();
    assert!(talk.session().is_owned());
}

#[test]
fn row_04_negotiation_repeated_for_every_pair() {
    let _shows = shows(&["VU-256"]);
    let mut talk = Talk::new();
    let bits = offer().protocol_features;
    for pair in 0..2 {
        assert_eq!(talk.send(bare(R::GET_FEATURES), 0).u64(), offer().features);
        assert_eq!(talk.send(bare(R::GET_PROTOCOL_FEATURES), 0).u64(), bits);
        talk.negotiate(bits);
        assert_eq!(talk.send(bare(R::GET_MAX_MEM_SLOTS), 0).u64(), 509);
        talk.features(Talk::FEATURES);
        talk.start(2 * pair);
    }
    assert_eq!(talk.session().negotiated().protocol, bits);
}

#[test]
fn row_05_features_before_protocol_features() {
    let _shows = shows(&["VU-045", "VU-048"]);
    let mut talk = Talk::new();
    talk.features(Talk::FEATURES);
    assert!(talk.send(bare(R::GET_PROTOCOL_FEATURES), 0).u64() != 0);
    talk.negotiate(protocol::MQ | protocol::CONFIG);
    assert_eq!(get_config(&mut talk, 256).len(), 268);
}

#[test]
fn row_06_the_number_of_queues_without_mq() {
    let _shows = shows(&["VU-267"]);
    let mut talk = device(offer().features, protocol::CONFIG);
    assert_eq!(talk.send(bare(R::GET_QUEUE_NUM), 0).u64(), 4);
}

fn get_config(talk: &mut Talk, size: u32) -> Vec<u8> {
    let payload = vec![0; size as usize];
    let window = Config { offset: 0, size, flags: 0, payload: &payload };
    let message = Message::frontend(R::GET_CONFIG, Payload::Config(window));
    talk.send(message, 0).payload().to_vec()
}

#[test]
fn row_07_256_bytes_of_a_smaller_space() {
    let _shows = shows(&["VU-190", "VU-193", "VU-268"]);
    let mut talk = Talk::ready();
    let payload = get_config(&mut talk, 256);
    assert_eq!((payload.len(), payload[71] != 0, payload[72]), (268, true, 0));
}

#[test]
fn row_08_more_data_than_the_size_says() {
    let _shows = shows(&["VU-269"]);
    let mut talk = Talk::ready();
    let window = Config { offset: 0, size: 1, flags: 0, payload: &[7; 256] };
    talk.send(Message::frontend(R::SET_CONFIG, Payload::Config(window)), 0).silent();
    assert_eq!(talk.seen(), [Seen::WriteConfig { offset: 0, flags: 0, data: vec![7] }]);
}

#[test]
fn row_09_calls_before_features_and_memory() {
    let _shows = shows(&["VU-020"]);
    let mut talk = Talk::new();
    for index in 0..4 {
        talk.send(vring_fd(R::SET_VRING_CALL, index), 1).silent();
    }
    assert!(talk.session().rings().iter().all(|ring| ring.call().fd().is_some()));
    assert_eq!(talk.open_fds(), 4);
}

#[test]
fn row_10_a_channel_before_features_or_after_rings_run() {
    let _shows = shows(&["VU-201"]);
    let mut talk = Talk::new();
    talk.negotiate(protocol::BACKEND_REQ | ACK);
    talk.ask_with(bare(R::SET_BACKEND_REQ_FD), 1).acked();
    let mut talk = Talk::ready();
    talk.run();
    talk.ask_with(bare(R::SET_BACKEND_REQ_FD), 1).acked();
    assert!(talk.session().has_channel());
}

#[test]
fn row_11_ring_messages_in_any_order() {
    let mut talk = Talk::ready();
    talk.give_memory();
    for index in 0..4 {
        talk.send(state(R::SET_VRING_NUM, index, 16), 0).silent();
    }
    for index in 0..4 {
        talk.send(address(index), 0).silent();
        talk.send(state(R::SET_VRING_BASE, index, 3), 0).silent();
        talk.send(vring_fd(R::SET_VRING_CALL, 0), 1).silent();
        talk.start(u8::try_from(index).expect("four rings"));
        let position = talk.session().bind(index).expect("a ring in memory").position;
        assert_eq!(position, Position::Split { available: 3 });
    }
}

#[test]
fn row_12_a_base_asked_for_with_any_num() {
    let _shows = shows(&["VU-257"]);
    let mut talk = Talk::ready();
    talk.send(state(R::SET_VRING_BASE, 1, 5), 0).silent();
    for num in [1, 0xdead_beef, u32::MAX] {
        assert_eq!(talk.send(state(R::GET_VRING_BASE, 1, num), 0).state(), (1, 5));
        let skip = state(R::GET_VRING_BASE_SKIP_DRAIN, 1, num);
        assert_eq!(talk.send(skip, 0).state(), (1, 5));
    }
}

#[test]
fn row_13_half_a_packed_base() {
    let _shows = shows(&["VU-086"]);
    let mut talk = Talk::ready();
    talk.features(Talk::FEATURES | virtio::RING_PACKED);
    talk.give_memory();
    talk.configure(0);
    talk.send(state(R::SET_VRING_BASE, 0, 0x8000), 0).silent();
    talk.start(0);
    let Ok(ring) = talk.session().bind(0) else { panic!("a ring in memory") };
    let fresh = Position::Packed { available: 0, available_wrap: true, used: 0, used_wrap: true };
    assert_eq!(ring.position, fresh);
}

#[test]
fn row_14_a_padded_table() {
    let _shows = shows(&["VU-262"]);
    let mut talk = Talk::ready();
    let mut bytes = table(&[region(0)]);
    bytes.resize(12 + 264, 0xff);
    bytes[8..12].copy_from_slice(&264_u32.to_ne_bytes());
    talk.bytes(&bytes, 1).silent();
    assert_eq!(talk.session().memory().slots().len(), 1);
}

#[test]
fn row_15_a_table_and_single_regions() {
    let _shows = shows(&["VU-260"]);
    let mut talk = Talk::having(protocol::CONFIGURE_MEM_SLOTS);
    talk.table(&[region(0)]).silent();
    talk.send(mem_reg(R::ADD_MEM_REG, region(1)), 1).silent();
    assert_eq!(talk.session().memory().slots().len(), 2);
    talk.table(&[region(2)]).silent();
    assert_eq!(talk.session().memory().slots().len(), 1);
}

#[test]
fn row_16_a_table_under_running_rings() {
    let _shows = shows(&["VU-072", "VU-258"]);
    let mut talk = Talk::ready();
    talk.run();
    talk.table(&[region(1), region(0)]).silent();
    let ring = talk.session().bind(0).expect("the ring again");
    assert_eq!(ring.placement.descriptor.first.slot, 1);
}

#[test]
fn row_17_a_log_of_16_bytes_without_a_descriptor() {
    let mut talk = Talk::having(ACK);
    let log = Payload::Log(LogBase { size: 0x2000, offset: 0 });
    talk.ask(Message::frontend(R::SET_LOG_BASE, log)).acked();
    assert!(talk.session().log().is_none());
}

#[test]
fn row_18_need_reply_on_listen_without_reply_ack() {
    let _shows = shows(&["VU-263"]);
    let mut talk = Talk::having(protocol::PAGEFAULT);
    assert!(talk.send(bare(R::POSTCOPY_ADVISE), 0).has_fd());
    talk.ask(bare(R::POSTCOPY_LISTEN)).acked();
}

#[test]
fn row_19_both_forms_of_a_postcopy_acknowledgement() {
    let _shows = shows(&["VU-133"]);
    for message in [bare(R::SET_MEM_TABLE), number(R::SET_MEM_TABLE, 0)] {
        let mut talk = Talk::having(protocol::PAGEFAULT);
        assert!(talk.send(bare(R::POSTCOPY_ADVISE), 0).has_fd());
        talk.send(bare(R::POSTCOPY_LISTEN), 0).silent();
        assert_eq!(talk.table(&[region(0)]).payload().len(), 40);
        talk.send(message, 0).silent();
        assert_eq!(talk.session().postcopy(), postcopy::State::Active);
    }
}

#[test]
fn row_20_a_shared_object_without_its_uuid() {
    let mut talk = Talk::ready();
    let said = talk.send(bare(R::GET_SHARED_OBJECT), 0);
    assert_eq!((said.payload(), said.has_fd(), talk.seen()), (&[][..], false, vec![]));
}

#[test]
fn row_21_any_status_in_any_order() {
    let mut talk = Talk::ready();
    for status in [8, 15, 0x0b, 0x0f, 4, 0x80] {
        talk.ask(number(R::SET_STATUS, status)).acked();
        assert_eq!(talk.send(bare(R::GET_STATUS), 0).u64(), status);
    }
}

#[test]
fn row_22_a_removal_with_a_descriptor() {
    let _shows = shows(&["VU-141", "VU-142"]);
    let mut talk = Talk::having(protocol::CONFIGURE_MEM_SLOTS);
    talk.table(&[region(0)]).silent();
    talk.send(mem_reg(R::REM_MEM_REG, region(0)), 1).silent();
    assert_eq!((talk.open_fds(), talk.session().memory().slots().len()), (0, 0));
}

#[test]
fn row_23_guest_addresses_that_are_host_pointers() {
    let mut talk = Talk::ready();
    for at in [0x7fff_f000_0000, u64::MAX - 0x1f_ffff] {
        let both = Region { guest_address: at, user_address: at, ..region(0) };
        talk.table(&[both]).silent();
        assert_eq!(talk.session().memory().slots()[0].region, both);
    }
}

#[test]
fn row_24_an_offset_that_is_no_huge_page() {
    let _shows = shows(&["VU-259"]);
    let mut talk = Talk::ready();
    let odd = Region { mmap_offset: 0x1000, ..region(0) };
    talk.table(&[odd]).silent();
    assert_eq!(talk.seen(), [Seen::MapRegion(odd)]);
    let range = MapRange::of(&odd, 2 << 20).expect("a range of huge pages");
    assert_eq!((range.file_offset, range.len, range.skip), (0, 2 << 20, 0x1000));
}

/// Size, base, addresses and kick of a ring.
fn set_up_ring(talk: &mut Talk, index: u8) {
    talk.configure(index.into());
    talk.start(index);
    assert!(talk.session().bind(index.into()).is_ok(), "ring {index}");
}

#[test]
fn the_order_of_a_block_device_in_qemu() {
    let mut talk = Talk::new();
    let bits = offer().protocol_features;
    assert_eq!(talk.send(bare(R::GET_FEATURES), 0).u64(), offer().features);
    assert_eq!(talk.send(bare(R::GET_PROTOCOL_FEATURES), 0).u64(), bits);
    talk.negotiate(bits);
    talk.ask_with(bare(R::SET_BACKEND_REQ_FD), 1).acked();
    talk.send(bare(R::SET_OWNER), 0).silent();
    assert_eq!(talk.send(bare(R::GET_FEATURES), 0).u64(), offer().features);
    talk.send(vring_fd(R::SET_VRING_CALL, 0), 1).silent();
    talk.send(vring_fd(R::SET_VRING_ERR, 0), 1).silent();
    assert_eq!(get_config(&mut talk, 57).len(), 69);
    talk.send(bare(R::RESET_DEVICE), 0).silent();
    talk.send(number(R::SET_FEATURES, Talk::FEATURES), 0).silent();
    talk.send(number(R::SET_STATUS, 8), 0).silent();
    talk.send(vring_fd(R::SET_VRING_CALL, 0), 1).silent();
    talk.send(number(R::SET_FEATURES, Talk::FEATURES), 0).silent();
    talk.ask_with(mem_reg(R::ADD_MEM_REG, region(0)), 1).acked();
    set_up_ring(&mut talk, 0);
    talk.ask(state(R::SET_VRING_ENABLE, 0, 1)).acked();
    talk.send(number(R::SET_STATUS, 15), 0).silent();
    let log = Payload::Log(LogBase { size: 8192, offset: 0 });
    assert_eq!(talk.ask_with(Message::frontend(R::SET_LOG_BASE, log), 1).payload().len(), 16);
    talk.ask(number(R::SET_FEATURES, Talk::FEATURES | virtio::LOG_ALL)).acked();
    talk.ask(address(0)).acked();
    talk.ask(state(R::SET_VRING_ENABLE, 0, 0)).acked();
    talk.stop(0);
    talk.send(number(R::SET_STATUS, 0), 0).silent();
    talk.finish();
}

#[test]
fn the_order_of_virtio_user() {
    let mut talk = Talk::new();
    talk.send(bare(R::SET_OWNER), 0).silent();
    for _ in 0..2 {
        assert_eq!(talk.send(bare(R::GET_FEATURES), 0).u64(), offer().features);
        assert!(talk.send(bare(R::GET_PROTOCOL_FEATURES), 0).u64() != 0);
        talk.negotiate(protocol::MQ | ACK | protocol::STATUS);
    }
    for index in 0..2 {
        talk.send(vring_fd(R::SET_VRING_CALL, index), 1).silent();
    }
    talk.send(number(R::SET_FEATURES, 1 << 32), 0).silent();
    talk.ask(number(R::SET_STATUS, 0x0b)).acked();
    assert_eq!(talk.send(bare(R::GET_STATUS), 0).u64(), 0x0b);
    let both = Region { guest_address: USER, ..region(0) };
    let mut bytes = table(&[both]);
    bytes[4] = 9;
    talk.bytes(&bytes, 1).acked();
    for index in 0..2 {
        set_up_ring(&mut talk, index);
    }
    for index in 0..2 {
        talk.send(state(R::SET_VRING_ENABLE, index, 1), 0).silent();
    }
    for num in [0, 1] {
        talk.send(state(R::SET_VRING_ENABLE, 0, num), 0).silent();
        talk.table(&[both]).silent();
    }
    for index in 0..2 {
        talk.send(state(R::SET_VRING_ENABLE, index, 0), 0).silent();
        assert_eq!(talk.send(state(R::GET_VRING_BASE, index, 0x1234), 0).state(), (index, 0));
    }
    talk.finish();
}

#[test]
fn the_order_of_an_spdk_initiator() {
    let mut talk = Talk::new();
    talk.send(bare(R::SET_OWNER), 0).silent();
    assert_eq!(talk.send(bare(R::GET_FEATURES), 0).u64(), offer().features);
    talk.send(number(R::SET_FEATURES, Talk::FEATURES), 0).silent();
    assert!(talk.send(bare(R::GET_PROTOCOL_FEATURES), 0).u64() != 0);
    talk.negotiate(protocol::MQ | protocol::CONFIG);
    assert_eq!(get_config(&mut talk, 256).len(), 268);
    for index in 0..2 {
        talk.send(state(R::SET_VRING_ENABLE, index, 1), 0).silent();
    }
    assert_eq!(talk.send(bare(R::GET_QUEUE_NUM), 0).u64(), 4);
    talk.send(vring_fd(R::SET_VRING_CALL, 0), 1).silent();
    talk.table(&[Region { guest_address: USER, ..region(0) }]).silent();
    assert_eq!(talk.send(bare(R::GET_FEATURES), 0).u64(), offer().features);
    set_up_ring(&mut talk, 0);
    talk.stop(0);
    talk.table(&[region(1)]).silent();
    assert_eq!(talk.send(bare(R::GET_FEATURES), 0).u64(), offer().features);
    talk.finish();
}

#[test]
fn the_order_of_cloud_hypervisor() {
    let mut talk = Talk::new();
    talk.negotiate(offer().protocol_features);
    talk.ask(number(R::SET_FEATURES, Talk::FEATURES)).acked();
    let mut bytes = table(&[region(0)]);
    bytes[4] = 9;
    talk.bytes(&bytes, 1).acked();
    for index in 0..2 {
        talk.ask(state(R::SET_VRING_NUM, index, 16)).acked();
    }
    let wanted = raw(R::GET_INFLIGHT_FD.0, &[&[0; 16][..], &[2, 0, 16, 0], &[0; 4]].concat());
    assert!(talk.bytes(&wanted, 0).has_fd());
    for index in 0..2 {
        talk.ask(address(index.into())).acked();
        talk.ask(state(R::SET_VRING_BASE, index.into(), 0)).acked();
        talk.ask_with(vring_fd(R::SET_VRING_CALL, index), 1).acked();
        talk.ask_with(vring_fd(R::SET_VRING_KICK, index), 1).acked();
    }
    for index in 0..2 {
        talk.ask(state(R::SET_VRING_ENABLE, index, 1)).acked();
    }
    talk.ask_with(bare(R::SET_BACKEND_REQ_FD), 1).acked();
    talk.ask_with(mem_reg(R::ADD_MEM_REG, region(1)), 1).acked();
    assert!(talk.session().bind(1).is_ok());
    talk.finish();
}

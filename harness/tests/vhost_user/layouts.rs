//! Byte vectors: what single payloads look like on the wire, written out by hand from spec §2.

use vhost_fuzz_core::vhost_user::payload::{CryptoSession, Inflight, Iotlb, VringAddr, VringFd};
use vhost_fuzz_core::vhost_user::{DecodeError, Kind, Layout, Message, Payload};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

const PLAIN: Layout = Layout { xen_mmap: false, log_shmfd: false, postcopy_ack: false };

/// The parts of a message one after another, each in the machine's byte order.
macro_rules! wire {
    ($($part:expr),* $(,)?) => {{
        let mut bytes = Vec::new();
        $(bytes.extend_from_slice(&$part.to_ne_bytes());)*
        bytes
    }};
}

fn request(layout: Layout, bytes: &[u8], fds: usize) -> Result<Message<'_>, DecodeError> {
    Message::decode(Kind::FRONTEND_REQUEST, layout, bytes, fds)
}

fn reply(bytes: &[u8], fds: usize) -> Result<Message<'_>, DecodeError> {
    Message::decode(Kind::BACKEND_REPLY, PLAIN, bytes, fds)
}

#[test]
fn set_vring_addr() {
    let bytes =
        wire![9_u32, 1_u32, 40_u32, 3_u32, 1_u32, 0x1000_u64, 0x3000_u64, 0x2000_u64, 0x9000_u64];
    let expected = VringAddr {
        index: 3,
        flags: VringAddr::LOG,
        descriptor: 0x1000,
        used: 0x3000,
        available: 0x2000,
        log: 0x9000,
    };
    let message = request(PLAIN, &bytes, 0).expect("legal");
    assert_eq!(message.payload, Payload::Addr(expected));
    assert_eq!(
        message.to_string(),
        "SET_VRING_ADDR index=3 flags=0x1 desc=0x1000 avail=0x2000 used=0x3000 log=0x9000"
    );
}

#[test]
fn ring_descriptors_carry_index_and_flag() {
    let _shows = shows(&["VU-098", "VU-099", "VU-102", "VU-105", "DC-009"]);
    for code in [12_u32, 13, 14] {
        let with = wire![code, 1_u32, 8_u32, 0x00fe_u64];
        let Ok(Message { payload: Payload::VringFd(fd), .. }) = request(PLAIN, &with, 1) else {
            panic!("request {code} with a descriptor")
        };
        assert_eq!((fd.index(), fd.has_no_fd()), (0xfe, false));
        let without = wire![code, 1_u32, 8_u32, 0xffff_0000_0000_0101_u64];
        let Ok(Message { payload: Payload::VringFd(fd), .. }) = request(PLAIN, &without, 0) else {
            panic!("request {code} without one")
        };
        assert_eq!((fd.index(), fd.has_no_fd()), (1, true));
        assert_eq!(fd, VringFd(0xffff_0000_0000_0101), "bits 9-63 are kept");
    }
}

#[test]
fn memory_tables_in_both_lengths_and_both_layouts() {
    let _shows = shows(&["VU-126", "VU-128", "VU-129", "VU-262", "DC-009", "DC-015"]);
    let compact = wire![
        5_u32,
        9_u32,
        40_u32,
        1_u32,
        0xdead_u32,
        0x1_0000_u64,
        0x2_0000_u64,
        0x7f00_u64,
        0x4000_u64
    ];
    let Ok(Message { payload: Payload::MemTable(table), .. }) = request(PLAIN, &compact, 1) else {
        panic!("a compact table")
    };
    let region = table.regions().next().expect("a region");
    assert_eq!(
        (region.guest_address, region.size, region.user_address, region.mmap_offset, region.xen),
        (0x1_0000, 0x2_0000, 0x7f00, 0x4000, None)
    );
    assert_eq!((table.count(), table.padding()), (1, 0xdead));

    let mut padded = compact.clone();
    padded[8..12].copy_from_slice(&264_u32.to_ne_bytes());
    padded.resize(12 + 264, 0xff);
    let Ok(Message { payload: Payload::MemTable(table), .. }) = request(PLAIN, &padded, 1) else {
        panic!("a padded table")
    };
    assert_eq!(table.regions().collect::<Vec<_>>(), [region]);

    let xen = Layout { xen_mmap: true, ..PLAIN };
    assert_refused!(
        request(xen, &compact, 1),
        DecodeError::PayloadTooShort { code: 5, need: 48, have: 40 }
    );
    let mut wide = compact;
    wide[8..12].copy_from_slice(&48_u32.to_ne_bytes());
    wide.extend(wire![0x101_u32, 7_u32]);
    let Ok(Message { payload: Payload::MemTable(table), .. }) = request(xen, &wide, 1) else {
        panic!("a table with the Xen fields")
    };
    let xen = table.regions().next().and_then(|region| region.xen).expect("the Xen fields");
    assert_eq!((xen.flags, xen.domid), (0x101, 7));
}

#[test]
fn a_postcopy_acknowledgement_has_two_forms_where_it_is_due() {
    let _shows = shows(&["VU-133", "DC-014"]);
    let due = Layout { postcopy_ack: true, ..PLAIN };
    let empty = wire![5_u32, 1_u32, 0_u32];
    let zero = wire![5_u32, 1_u32, 8_u32, 0_u64];
    assert_eq!(request(due, &empty, 0).map(|message| message.payload), Ok(Payload::None));
    assert_eq!(request(due, &zero, 0).map(|message| message.payload), Ok(Payload::U64(0)));
    assert_refused!(
        request(PLAIN, &empty, 0),
        DecodeError::PayloadTooShort { code: 5, need: 8, have: 0 }
    );
    assert_refused!(request(PLAIN, &zero, 0), DecodeError::RegionCount { count: 0, limit: 8 });
}

#[test]
fn set_log_base_depends_on_log_shmfd() {
    let _shows = shows(&["VU-155", "DC-011"]);
    let shmfd = Layout { log_shmfd: true, ..PLAIN };
    let long = wire![6_u32, 1_u32, 16_u32, 8192_u64, 0_u64];
    let short = wire![6_u32, 1_u32, 8_u32, 0x1000_u64];
    assert!(request(shmfd, &long, 1).is_ok());
    assert_refused!(request(shmfd, &long, 0), DecodeError::TooFewFds { code: 6, need: 1, have: 0 });
    assert_refused!(
        request(shmfd, &short, 1),
        DecodeError::PayloadTooShort { code: 6, need: 16, have: 8 }
    );
    assert!(request(PLAIN, &long, 0).is_ok());
    assert!(request(PLAIN, &short, 0).is_ok());
    assert_refused!(
        request(PLAIN, &long, 1),
        DecodeError::TooManyFds { code: 6, limit: 0, have: 1 }
    );
}

#[test]
fn a_log_reply_has_three_sizes() {
    let _shows = shows(&["DC-012"]);
    assert_eq!(
        reply(&wire![6_u32, 5_u32, 0_u32], 0).map(|message| message.payload),
        Ok(Payload::None)
    );
    assert!(reply(&wire![6_u32, 5_u32, 8_u32, 0_u64], 0).is_ok());
    assert!(reply(&wire![6_u32, 5_u32, 16_u32, 0_u64, 0_u64], 0).is_ok());
}

#[test]
fn requests_that_carry_one_descriptor() {
    let _shows = shows(&["VU-136", "VU-159", "VU-181", "VU-202", "VU-250"]);
    let bodies: [(u32, usize); 6] = [(7, 0), (21, 0), (32, 24), (33, 0), (37, 40), (42, 8)];
    for (code, len) in bodies {
        let size = u32::try_from(len).expect("small");
        let mut bytes = wire![code, 1_u32, size];
        bytes.resize(12 + len, 0);
        assert!(request(PLAIN, &bytes, 1).is_ok(), "request {code}");
        assert_refused!(
            request(PLAIN, &bytes, 0),
            DecodeError::TooFewFds { code, need: 1, have: 0 }
        );
        assert_refused!(
            request(PLAIN, &bytes, 2),
            DecodeError::TooManyFds { code, limit: 1, have: 2 }
        );
    }
}

#[test]
fn a_removed_region_may_come_with_a_descriptor() {
    let _shows = shows(&["VU-140", "VU-141"]);
    let mut bytes = wire![38_u32, 1_u32, 40_u32];
    bytes.resize(52, 0);
    assert!(request(PLAIN, &bytes, 0).is_ok());
    assert!(request(PLAIN, &bytes, 1).is_ok());
}

#[test]
fn config_windows_hold_what_they_announce() {
    let _shows = shows(&["VU-190", "VU-191", "DC-007"]);
    let get = wire![24_u32, 1_u32, 16_u32, 4_u32, 4_u32, 0_u32, 0_u32];
    let Ok(Message { payload: Payload::Config(config), .. }) = request(PLAIN, &get, 0) else {
        panic!("a request")
    };
    assert_eq!((config.offset, config.size, config.flags, config.data().len()), (4, 4, 0, 4));
    let empty = wire![24_u32, 5_u32, 0_u32];
    assert_eq!(reply(&empty, 0).map(|message| message.payload), Ok(Payload::None));
    let size_0 = wire![24_u32, 5_u32, 12_u32, 4_u32, 0_u32, 0_u32];
    assert!(reply(&size_0, 0).is_ok(), "the other error form");
    let lying = wire![24_u32, 1_u32, 16_u32, 0_u32, 4096_u32, 0_u32, 0_u32];
    assert_refused!(request(PLAIN, &lying, 0), DecodeError::ConfigSize { size: 4096, have: 4 });
}

#[test]
fn an_inflight_reply_has_an_area_with_a_descriptor_or_neither() {
    let _shows = shows(&["VU-179"]);
    let area = wire![31_u32, 5_u32, 24_u32, 4224_u64, 0_u64, 2_u16, 128_u16, 0_u32];
    let expected =
        Inflight { mmap_size: 4224, mmap_offset: 0, num_queues: 2, queue_size: 128, padding: 0 };
    let message = reply(&area, 1).expect("legal");
    assert_eq!(message.payload, Payload::Inflight(expected));
    assert_refused!(reply(&area, 0), DecodeError::InflightFd { mmap_size: 4224, fds: 0 });
}

#[test]
fn a_mac_address_is_in_the_first_six_bytes() {
    let _shows = shows(&["VU-198"]);
    let mut bytes = wire![19_u32, 1_u32, 8_u32];
    bytes.extend([0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0, 0]);
    let message = request(PLAIN, &bytes, 0).expect("legal");
    assert_eq!(message.to_string(), "SEND_RARP mac=52:54:00:12:34:56");
}

#[test]
fn a_uuid_is_in_the_order_of_rfc_4122() {
    let _shows = shows(&["VU-230"]);
    let mut bytes = wire![6_u32, 1_u32, 16_u32];
    bytes.extend(0x00..0x10_u8);
    let message = Message::decode(Kind::BACKEND_REQUEST, PLAIN, &bytes, 0).expect("legal");
    assert_eq!(message.to_string(), "SHARED_OBJECT_ADD uuid=00010203-0405-0607-0809-0a0b0c0d0e0f");
}

#[test]
fn a_shared_object_comes_with_a_descriptor_or_without() {
    let _shows = shows(&["VU-229"]);
    let found = wire![41_u32, 5_u32, 0_u32];
    assert!(reply(&found, 1).is_ok());
    assert!(reply(&found, 0).is_ok());
    assert_refused!(reply(&found, 2), DecodeError::TooManyFds { code: 41, limit: 1, have: 2 });
}

#[test]
fn a_lookup_reply_has_a_descriptor_exactly_on_success() {
    let _shows = shows(&["VU-232"]);
    let decode = |status: u64, fds| {
        let bytes = wire![8_u32, 5_u32, 8_u32, status];
        Message::decode(Kind::FRONTEND_REPLY, PLAIN, &bytes, fds).map(|_| ())
    };
    assert_eq!((decode(0, 1), decode(1, 0)), (Ok(()), Ok(())));
    assert_refused!(decode(0, 0), DecodeError::LookupFd { status: 0, fds: 0 });
    assert_refused!(decode(1, 1), DecodeError::LookupFd { status: 1, fds: 1 });
}

#[test]
fn a_device_state_reply_agrees_with_its_descriptor() {
    let _shows = shows(&["VU-161", "VU-162"]);
    for (value, fds) in [(0_u64, 1), (0x100, 0), (0x101, 0)] {
        assert!(reply(&wire![42_u32, 5_u32, 8_u32, value], fds).is_ok(), "{value:#x}");
    }
}

#[test]
fn no_message_of_the_back_end_channel_has_more_than_8_descriptors() {
    let _shows = shows(&["VU-204"]);
    let rows = vhost_fuzz_core::vhost_user::request::BACKEND.iter();
    assert!(rows.flat_map(|row| [row.fds.max, row.reply.fds.max]).all(|max| max <= 8));
}

#[test]
fn replies_are_judged_as_strictly_as_requests() {
    let _shows = shows(&["DC-006"]);
    for flags in [0xd_u32, 0x15] {
        assert!(reply(&wire![1_u32, flags, 8_u32, 0_u64], 0).is_err(), "{flags:#x}");
    }
}

#[test]
fn ids_that_nobody_knows_are_values() {
    let _shows = shows(&["DC-013"]);
    let bytes = wire![46_u32, 9_u32, 3_u32];
    let bytes = [&bytes[..], &[1, 2, 3]].concat();
    for fds in [0, 8] {
        let message = request(PLAIN, &bytes, fds).expect("a value");
        assert_eq!(message.payload, Payload::Unknown(&[1, 2, 3]));
        assert_eq!(message.to_string(), "request 46 need_reply (unknown) data=010203");
    }
}

#[test]
fn an_iotlb_message_has_6_bytes_of_padding() {
    let mut bytes = wire![22_u32, 1_u32, 32_u32, 0x1000_u64, 0x2000_u64, 0x3000_u64];
    bytes.extend([3, Iotlb::UPDATE, 1, 2, 3, 4, 5, 6]);
    let Ok(Message { payload: Payload::Iotlb(iotlb), .. }) = request(PLAIN, &bytes, 0) else {
        panic!("legal")
    };
    assert_eq!((iotlb.permissions, iotlb.kind, iotlb.padding), (3, 2, [1, 2, 3, 4, 5, 6]));
}

#[test]
fn a_crypto_session_prints_no_key() {
    let mut bytes = wire![26_u32, 1_u32, 1072_u32];
    bytes.resize(12 + 1072, 0);
    bytes[12 + 12..][..4].copy_from_slice(&16_u32.to_ne_bytes());
    bytes[12 + 56..][..16].fill(0x5e);
    let message = request(PLAIN, &bytes, 0).expect("legal");
    let Payload::Crypto(session) = message.payload else { panic!("a session") };
    assert_eq!(session.cipher_key(), Ok(&[0x5e; 16][..]));
    assert_eq!(
        message.to_string(),
        "CREATE_CRYPTO_SESSION op=0x0 session=0 cipher-key=16B auth-key=0B"
    );
    assert_eq!(CryptoSession::LEN, 1072);
}

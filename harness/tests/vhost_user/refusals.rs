//! Every row of spec §3 and §4, and with them every payload of §2: each form is accepted and
//! encodes to itself; one byte less, one byte more and a wrong number of descriptors are refused
//! with exactly the error of their rule.

use std::collections::BTreeSet;

use vhost_fuzz_core::vhost_user::payload::{Config, MemReg, MemTable, Region};
use vhost_fuzz_core::vhost_user::request::{Row, Shape, forms};
use vhost_fuzz_core::vhost_user::{
    BackendRequest, Channel, DecodeError, FrontendRequest, HEADER_LEN, Kind, Layout, Message,
    Payload,
};
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::seeds::{Distinct, Form, forms_of};
use vhost_fuzz_harness::{assert_refused, codec, oracle};

/// Calls a test with every form of every message.
fn for_each_form(mut test: impl FnMut(Kind, &Row, Shape, &Form)) {
    for (kind, row) in forms() {
        let (shape, _) = row.form(kind.direction);
        for form in forms_of(kind, row, &mut Distinct::default()) {
            test(kind, row, shape, &form);
        }
    }
}

/// The form with a payload of another length, and a size field that says so.
fn with_payload_len(form: &Form, len: usize) -> Vec<u8> {
    let mut bytes = form.bytes.clone();
    bytes.resize(HEADER_LEN + len, 0xa5);
    let size = u32::try_from(len).expect("a small payload");
    bytes[8..HEADER_LEN].copy_from_slice(&size.to_ne_bytes());
    bytes
}

fn decode<'a>(form: &Form, bytes: &'a [u8]) -> Result<Message<'a>, DecodeError> {
    Message::decode(form.context.kind, form.context.layout, bytes, form.context.fds)
}

fn decode_with_fds(form: &Form, fds: usize) -> Result<Message<'_>, DecodeError> {
    Message::decode(form.context.kind, form.context.layout, &form.bytes, fds)
}

fn len_u32(len: usize) -> u32 {
    u32::try_from(len).expect("a small payload")
}

#[test]
fn every_form_round_trips() {
    let _shows = shows(&["VU-001", "VU-002", "VU-126", "VU-133", "VU-141", "VU-230", "VU-262"]);
    let mut count = 0;
    for_each_form(|_, _, _, form| {
        let message =
            decode(form, &form.bytes).unwrap_or_else(|error| panic!("{}: {error}", form.name));
        let mut out = vec![0xa5; form.bytes.len()];
        assert_eq!(message.encode(&mut out), Ok(form.bytes.len()), "{}", form.name);
        assert_eq!(out, form.bytes, "{}", form.name);
        assert_eq!(message.encoded_len(), form.bytes.len(), "{}", form.name);
        let verdict = oracle::message::check(&codec::Core, form.context, &form.bytes);
        assert_eq!(verdict, Ok(()), "{}", form.name);
        count += 1;
    });
    assert!(count >= 110, "only {count} forms");
}

#[test]
fn one_byte_short_is_refused() {
    for_each_form(|_, row, shape, form| {
        let Some(have) = form.payload_len().checked_sub(1) else { return };
        let bytes = with_payload_len(form, have);
        let result = decode(form, &bytes);
        match expected_short(row.code, shape, form, len_u32(have)) {
            Some(error) => assert_refused!(result, error, "{}", form.name),
            None => assert!(result.is_ok(), "{}: a padded table may be shorter", form.name),
        }
    });
}

/// What one missing byte is, by shape.
fn expected_short(code: u32, shape: Shape, form: &Form, have: u32) -> Option<DecodeError> {
    let need = have + 1;
    let plain = DecodeError::PayloadTooShort { code, need, have };
    let region = Region::encoded_len(form.context.layout.xen_mmap);
    Some(match shape {
        Shape::MemTable | Shape::MemTableReply if form.name.ends_with("padded") => return None,
        // 7 bytes are not the u64 of an acknowledgement, and no table either.
        Shape::MemTable if have == 7 => DecodeError::PayloadTooShort { code, need: 8, have },
        // Seven bytes or fifteen are neither of the two forms; the shorter one is tried last.
        Shape::Log if have == 15 && !form.context.layout.log_shmfd => {
            DecodeError::PayloadTooLong { code, limit: 8, have }
        }
        Shape::LogReply if have == 7 => DecodeError::PayloadTooShort { code, need: 16, have },
        Shape::MemRegReply if have == 7 => {
            DecodeError::PayloadTooShort { code, need: 8 + region, have }
        }
        Shape::ConfigGet | Shape::ConfigReply if have >= Config::PREFIX_LEN => {
            let have = have - Config::PREFIX_LEN;
            DecodeError::ConfigSize { size: have + 1, have }
        }
        Shape::ConfigSet if form.name.ends_with("padded") => return None,
        Shape::ConfigSet if have >= Config::PREFIX_LEN => {
            let have = have - Config::PREFIX_LEN;
            DecodeError::ConfigTooShort { size: have + 1, have }
        }
        _ => plain,
    })
}

#[test]
fn one_byte_long_is_refused() {
    for_each_form(|_, row, shape, form| {
        let have = form.payload_len() + 1;
        let bytes = with_payload_len(form, have);
        let result = decode(form, &bytes);
        match expected_long(row.code, shape, form, len_u32(have)) {
            Some(error) => assert_refused!(result, error, "{}", form.name),
            None => assert!(result.is_ok(), "{}: a tail is allowed", form.name),
        }
    });
}

/// What one surplus byte is, by shape.
fn expected_long(code: u32, shape: Shape, form: &Form, have: u32) -> Option<DecodeError> {
    let layout = form.context.layout;
    let plain = DecodeError::PayloadTooLong { code, limit: have - 1, have };
    Some(match shape {
        Shape::MemTable | Shape::MemTableReply => {
            let full = MemTable::full_len(layout);
            match have {
                1 => DecodeError::PayloadTooShort { code, need: 8, have },
                // The front of a u64 is no number of regions.
                9 => {
                    let count = form.bytes[HEADER_LEN..][..4].try_into().expect("four bytes");
                    DecodeError::RegionCount { count: u32::from_ne_bytes(count), limit: 8 }
                }
                _ if have <= full => return None,
                _ => DecodeError::PayloadTooLong { code, limit: full, have },
            }
        }
        Shape::MemRegReply if have == 9 => {
            let need = MemReg::encoded_len(layout);
            DecodeError::PayloadTooShort { code, need, have }
        }
        Shape::Log if have == 17 && !layout.log_shmfd => {
            DecodeError::PayloadTooLong { code, limit: 8, have }
        }
        Shape::LogReply if have < 16 => DecodeError::PayloadTooShort { code, need: 16, have },
        Shape::SharedOrNone if have == 1 => DecodeError::PayloadTooShort { code, need: 16, have },
        Shape::ConfigReply if have == 1 => DecodeError::PayloadTooShort { code, need: 12, have },
        Shape::ConfigGet | Shape::ConfigReply => {
            let have = have - Config::PREFIX_LEN;
            DecodeError::ConfigSize { size: have - 1, have }
        }
        Shape::ConfigSet if have <= Config::PADDED_LEN => return None,
        Shape::ConfigSet => DecodeError::PayloadTooLong { code, limit: Config::PADDED_LEN, have },
        _ => plain,
    })
}

#[test]
fn a_wrong_number_of_descriptors_is_refused() {
    for_each_form(|kind, row, shape, form| {
        let right = form.context.fds;
        for fds in (0..=9).filter(|fds| *fds != right) {
            let result = decode_with_fds(form, fds);
            match expected_fds(kind, row, shape, form, fds) {
                Some(error) => assert_refused!(result, error, "{} with {fds}", form.name),
                None => assert!(result.is_ok(), "{} with {fds}", form.name),
            }
        }
    });
}

/// What another number of descriptors is, by shape.
fn expected_fds(
    kind: Kind,
    row: &Row,
    shape: Shape,
    form: &Form,
    fds: usize,
) -> Option<DecodeError> {
    let code = row.code;
    let many = |limit| DecodeError::TooManyFds { code, limit, have: fds };
    let few = DecodeError::TooFewFds { code, need: 1, have: fds };
    let value = || {
        let bytes = form.bytes[HEADER_LEN..][..8].try_into().expect("eight bytes");
        u64::from_ne_bytes(bytes)
    };
    let (_, allowed) = row.form(kind.direction);
    Some(match shape {
        Shape::VringFd | Shape::Area if fds <= 1 => match (kind.channel, code) {
            (Channel::Main, 12) => DecodeError::KickFdFlag { fds },
            (Channel::Main, 13) => DecodeError::CallFdFlag { fds },
            (Channel::Main, 14) => DecodeError::ErrFdFlag { fds },
            _ => DecodeError::NotifierFdFlag { fds },
        },
        Shape::MemTable
            if form.context.layout == Layout { postcopy_ack: true, ..Layout::default() } =>
        {
            // With descriptors it is no acknowledgement, and as a table it is too short or empty.
            match form.payload_len() {
                0 => DecodeError::PayloadTooShort { code, need: 8, have: 0 },
                _ => DecodeError::RegionCount { count: 0, limit: 8 },
            }
        }
        Shape::MemTable => {
            let count = form.bytes[HEADER_LEN..][..4].try_into().expect("four bytes");
            DecodeError::RegionFds { regions: u32::from_ne_bytes(count), fds }
        }
        Shape::Log if form.context.layout.log_shmfd && fds == 0 => few,
        Shape::Log if form.context.layout.log_shmfd => many(1),
        Shape::Log => many(0),
        Shape::InflightReply if fds <= 1 => DecodeError::InflightFd { mmap_size: value(), fds },
        Shape::TransferReply if fds <= 1 => match value().to_le_bytes() {
            [0, ..] => DecodeError::StateFdFlag { fds },
            [status, ..] => DecodeError::StateErrorWithFd { status },
        },
        Shape::LookupReply if fds <= 1 => DecodeError::LookupFd { status: value(), fds },
        _ if fds < allowed.min => few,
        _ if fds > allowed.max => many(allowed.max),
        _ => return None,
    })
}

#[test]
fn a_device_state_reply_may_fail_without_bit_8_only_with_a_descriptor_that_is_refused() {
    let value = |value: u64| {
        let mut bytes = [42_u32, 0x5, 8].map(u32::to_ne_bytes).concat();
        bytes.extend(value.to_ne_bytes());
        bytes
    };
    let decode = |value: &[u8], fds| {
        Message::decode(Kind::BACKEND_REPLY, Layout::default(), value, fds).map(|_| ())
    };
    assert_refused!(decode(&value(7), 0), DecodeError::StateFdFlag { fds: 0 });
    assert_refused!(decode(&value(7), 1), DecodeError::StateErrorWithFd { status: 7 });
    assert_refused!(decode(&value(0x100), 1), DecodeError::StateFdFlag { fds: 1 });
    assert_eq!(decode(&value(0x107), 0), Ok(()));
}

#[test]
fn crypto_keys_fit_their_fields() {
    let session = |patches: &[(usize, u32)]| {
        let row = FrontendRequest::CREATE_CRYPTO_SESSION.row().expect("a row");
        let mut form = forms_of(Kind::FRONTEND_REQUEST, row, &mut Distinct::default()).remove(0);
        for (at, value) in patches {
            form.bytes[HEADER_LEN + at..][..4].copy_from_slice(&value.to_ne_bytes());
        }
        form
    };
    let long = session(&[(12, 65)]);
    assert_refused!(
        decode(&long, &long.bytes),
        DecodeError::CipherKeyLength { len: 65, limit: 64 }
    );
    let long = session(&[(24, 513)]);
    assert_refused!(
        decode(&long, &long.bytes),
        DecodeError::AuthKeyLength { len: 513, limit: 512 }
    );
    let operation = if cfg!(target_endian = "little") { 0 } else { 4 };
    let long = session(&[(operation, 0x0404), (16, 1025)]);
    assert_refused!(
        decode(&long, &long.bytes),
        DecodeError::AsymmetricKeyLength { len: 1025, limit: 1024 }
    );
}

#[test]
fn memory_tables_have_1_to_8_regions() {
    for count in [0, 9, 0x100_0001, u32::MAX] {
        let mut bytes = [5_u32, 0x1, 264, count, 0].map(u32::to_ne_bytes).concat();
        bytes.resize(HEADER_LEN + 264, 0);
        let result = Message::decode(Kind::FRONTEND_REQUEST, Layout::default(), &bytes, 8);
        assert_refused!(result, DecodeError::RegionCount { count, limit: 8 });
    }
}

#[test]
fn a_set_config_may_be_padded_up_to_268_bytes() {
    let _shows = shows(&["VU-269"]);
    let set_config = |size: u32, data: usize| {
        let len = u32::try_from(12 + data).expect("small");
        let mut bytes = [25_u32, 0x1, len, 0, size, 0].map(u32::to_ne_bytes).concat();
        bytes.resize(24 + data, 0x5a);
        bytes
    };
    let decode = |bytes: &[u8]| {
        Message::decode(Kind::FRONTEND_REQUEST, Layout::default(), bytes, 0).map(|_| ())
    };
    assert_eq!(decode(&set_config(1, 256)), Ok(()));
    assert_eq!(decode(&set_config(4000, 4000)), Ok(()), "exact data has no limit of its own");
    assert_refused!(
        decode(&set_config(1, 257)),
        DecodeError::PayloadTooLong { code: 25, limit: 268, have: 269 }
    );
    assert_refused!(
        decode(&set_config(4096, 8)),
        DecodeError::ConfigTooShort { size: 4096, have: 8 }
    );
}

#[test]
fn unknown_ids_are_values() {
    for (kind, code) in [
        (Kind::FRONTEND_REQUEST, 0),
        (Kind::FRONTEND_REQUEST, 46),
        (Kind::BACKEND_REQUEST, BackendRequest::SHMEM_UNMAP.0 + 1),
        (Kind::BACKEND_REQUEST, 1006),
        (Kind::FRONTEND_REQUEST, u32::MAX),
    ] {
        let bytes = [code, 0x9, 4, 0x0403_0201].map(u32::to_ne_bytes).concat();
        let message = Message::decode(kind, Layout::default(), &bytes, 3).expect("a value");
        assert_eq!((message.code, message.row()), (code, None));
        let mut out = [0; 16];
        assert_eq!(message.encode(&mut out), Ok(16));
        assert_eq!(out[..], bytes);
    }
}

/// Ids that are known ones after a cut to 8 or 16 bits, after masking, or one step outside of
/// the table.
#[test]
fn an_id_is_not_cut_to_a_known_one() {
    for kind in [Kind::FRONTEND_REQUEST, Kind::BACKEND_REQUEST] {
        for known in 1..=10_u32 {
            for bit in 6..32 {
                let code = known | 1 << bit;
                let bytes = [code, 0x9, 4, 0x0403_0201].map(u32::to_ne_bytes).concat();
                let message = Message::decode(kind, Layout::default(), &bytes, 0).expect("a value");
                assert_eq!((message.code, message.row()), (code, None));
                assert_eq!(message.payload, Payload::Unknown(&bytes[12..]), "id {code:#x}");
            }
        }
    }
}

/// How many descriptors a message may have at least and at most: spec §3 and §4, written out,
/// because the table of the code is what is judged here.
fn fds_of(kind: Kind, code: u32) -> (usize, usize) {
    match (kind, code) {
        (Kind::FRONTEND_REQUEST, 5) => (0, 8),
        (Kind::FRONTEND_REQUEST, 6 | 12..=14 | 38) | (Kind::BACKEND_REQUEST, 3) => (0, 1),
        (Kind::FRONTEND_REQUEST, 7 | 21 | 32 | 33 | 37 | 42) | (Kind::BACKEND_REQUEST, 9) => (1, 1),
        // Replies are named after who sends them.
        (Kind::BACKEND_REPLY, 28) => (1, 1),
        (Kind::BACKEND_REPLY, 31 | 41 | 42) | (Kind::FRONTEND_REPLY, 8) => (0, 1),
        _ => (0, 0),
    }
}

/// None is left out: each of the 110 forms, with descriptors that no form of it has.
#[test]
fn every_message_has_the_descriptors_of_the_specification_and_no_others() {
    let mut counts = BTreeSet::new();
    for_each_form(|kind, row, _, form| {
        let (min, max) = fds_of(kind, row.code);
        for fds in 0..=9 {
            let is_wrong = fds < min || fds > max;
            let result = decode_with_fds(form, fds);
            assert!(!is_wrong || result.is_err(), "{} with {fds} descriptors", form.name);
            if result.is_ok() {
                counts.insert((format!("{kind:?}"), row.code, fds));
            }
        }
    });
    // What may have a descriptor is accepted with one, and what may have none without.
    for (kind, row) in forms() {
        let (min, max) = fds_of(kind, row.code);
        for fds in [min, max] {
            let is_taken = counts.contains(&(format!("{kind:?}"), row.code, fds));
            assert!(is_taken, "{} with {fds} descriptors", row.name);
        }
    }
}

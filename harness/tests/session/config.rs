//! The configuration space (spec §2 P-CONFIG, §3.1 notes 24 and 25).

use vhost_fuzz_core::session::{EffectError, Offer, Refusal};
use vhost_fuzz_core::vhost_user::payload::Config;
use vhost_fuzz_core::vhost_user::{DecodeError, FrontendRequest as R, Message, Payload};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::session::talk::{CONFIG_BYTE, Ending, Said, Seen, Talk, offer, raw};

/// Sends a request for a window, with as many bytes as it says.
fn get(talk: &mut Talk, offset: u32, size: u32) -> Said {
    let payload = vec![0xa5; size as usize];
    let window = Config { offset, size, flags: 0, payload: &payload };
    talk.ask(Message::frontend(R::GET_CONFIG, Payload::Config(window)))
}

fn set(talk: &mut Talk, offset: u32, flags: u32, size: u32, payload: &[u8]) -> Said {
    let window = Config { offset, size, flags, payload };
    talk.ask(Message::frontend(R::SET_CONFIG, Payload::Config(window)))
}

#[test]
fn a_window_is_answered_in_the_size_that_was_asked_for() {
    let _shows = shows(&["VU-190"]);
    let mut talk = Talk::ready();
    for (offset, size) in [(0, 1), (0, 60), (8, 20), (59, 1)] {
        let said = get(&mut talk, offset, size);
        let payload = said.payload();
        let prefix = [offset, size, 0].map(u32::to_ne_bytes).concat();
        assert_eq!(payload[..12], prefix);
        assert_eq!(payload[12..], vec![CONFIG_BYTE; size as usize]);
        assert_eq!(talk.seen(), [Seen::ReadConfig { offset, size }]);
    }
    // The flags of the request come back, and nothing is read for no bytes.
    let window = Config { offset: 4, size: 0, flags: 7, payload: &[] };
    let said = talk.send(Message::frontend(R::GET_CONFIG, Payload::Config(window)), 0);
    assert_eq!(said.payload(), [4, 0, 7].map(u32::to_ne_bytes).concat());
    assert_eq!(talk.seen(), []);
}

#[test]
fn what_is_past_the_end_of_the_space_is_zero() {
    let _shows = shows(&["VU-268"]);
    let mut talk = Talk::ready();
    for (offset, size, there) in [(0, 256, 60), (50, 100, 10), (60, 8, 0), (0, 4084, 60)] {
        let said = get(&mut talk, offset, size);
        let (data, zeros) = said.payload()[12..].split_at(there);
        assert_eq!(data, vec![CONFIG_BYTE; there]);
        assert_eq!(zeros, vec![0; size as usize - there]);
        let read = Seen::ReadConfig { offset, size: u32::try_from(there).expect("small") };
        assert_eq!(talk.seen(), if there == 0 { vec![] } else { vec![read] });
    }
    // A device that reads less than it was asked for leaves zeros too.
    talk.next_effect(Ending::Config(vec![1, 2]));
    assert_eq!(get(&mut talk, 0, 4).payload()[12..], [1, 2, 0, 0]);
}

#[test]
fn a_window_that_cannot_be_is_answered_by_nothing() {
    let _shows = shows(&["VU-191"]);
    let mut talk = Talk::with(Offer { config_limit: 256, ..offer() });
    talk.negotiate(offer().protocol_features);
    for (offset, size, limit) in [(61, 0, 60), (61, 1, 60), (0, 257, 256), (60, 200, 256)] {
        let refusal = Refusal::ConfigWindow { offset, size, limit };
        assert_refused!(get(&mut talk, offset, size).failure(&[]), refusal);
    }
    let far = [u32::MAX, 0, 0].map(u32::to_ne_bytes).concat();
    let refusal = Refusal::ConfigWindow { offset: u32::MAX, size: 0, limit: 60 };
    assert_refused!(talk.bytes(&raw(R::GET_CONFIG.0, &far), 0).failure(&[]), refusal);
    // A size field that lies, and a device that cannot read.
    let lie = [[0, 4096, 0].map(u32::to_ne_bytes).concat(), vec![0; 8]].concat();
    let error = Refusal::Decode(DecodeError::ConfigSize { size: 4096, have: 8 });
    assert_refused!(talk.bytes(&raw(R::GET_CONFIG.0, &lie), 0).failure(&[]), error);
    talk.fail_next(5);
    let error = Refusal::Effect { code: R::GET_CONFIG.0, error: EffectError(5) };
    assert_refused!(get(&mut talk, 0, 4).failure(&[]), error);
    assert_eq!(get(&mut talk, 0, 256).payload().len(), 268);
}

#[test]
fn the_longest_window_fits_and_a_longer_one_does_not() {
    let mut talk = Talk::ready();
    assert_eq!(get(&mut talk, 0, 4084).payload().len(), 4096);
    let bytes = raw(
        R::GET_CONFIG.0,
        &[[1, 4084, 0].map(u32::to_ne_bytes).concat(), vec![0; 4084]].concat(),
    );
    let refusal = Refusal::ConfigWindow { offset: 1, size: 4084, limit: 4084 };
    assert_refused!(talk.bytes(&bytes, 0).failure(&[]), refusal);
}

#[test]
fn a_driver_writes_what_it_may() {
    let _shows = shows(&["VU-194", "VU-195"]);
    let mut talk = Talk::ready();
    for (offset, flags, data) in [(0, 0, &[1, 2, 3][..]), (31, 0, &[9]), (40, 1, &[7; 20])] {
        let size = u32::try_from(data.len()).expect("small");
        set(&mut talk, offset, flags, size, data).acked();
        assert_eq!(talk.seen(), [Seen::WriteConfig { offset, flags, data: data.to_vec() }]);
    }
    set(&mut talk, 50, 0, 0, &[]).acked();
    assert_eq!(talk.seen(), []);
}

#[test]
fn flags_are_looked_at() {
    let mut talk = Talk::ready();
    for flags in [2, 3, u32::MAX] {
        let said = set(&mut talk, 0, flags, 1, &[0]);
        assert_refused!(said.nack(), Refusal::ConfigFlags { flags });
    }
    assert_eq!(talk.seen(), []);
}

#[test]
fn a_read_only_field_is_written_by_migration_only() {
    let mut talk = Talk::ready();
    for (offset, size) in [(32, 1), (31, 2), (0, 33), (59, 1)] {
        let data = vec![0; size as usize];
        let said = set(&mut talk, offset, 0, size, &data);
        assert_refused!(said.nack(), Refusal::ConfigReadOnly { offset, size });
        set(&mut talk, offset, 1, size, &data).acked();
    }
}

#[test]
fn a_write_past_the_end_is_refused() {
    let mut talk = Talk::ready();
    for (offset, size) in [(0, 61), (60, 1), (0xffff_fff0, 32), (u32::MAX, 1), (61, 0)] {
        for flags in [0, 1] {
            let said = set(&mut talk, offset, flags, size, &vec![0; size as usize]);
            let refusal = Refusal::ConfigWindow { offset, size, limit: 60 };
            assert_refused!(said.nack(), refusal);
        }
    }
    assert_eq!(talk.seen(), []);
}

#[test]
fn surplus_data_of_a_write_is_left_alone() {
    let _shows = shows(&["VU-269"]);
    let mut talk = Talk::ready();
    set(&mut talk, 0, 0, 2, &[0x11; 256]).acked();
    let written = Seen::WriteConfig { offset: 0, flags: 0, data: vec![0x11; 2] };
    assert_eq!(talk.seen(), [written]);
    let error = Refusal::Decode(DecodeError::ConfigTooShort { size: 3, have: 2 });
    assert_refused!(set(&mut talk, 0, 0, 3, &[0; 2]).nack(), error);
}

/// The device has another value in each byte, so that a wrong window is seen.
#[test]
fn a_window_holds_what_the_device_has_there() {
    let _shows = shows(&["VU-190"]);
    let space: Vec<u8> = (1..=60).collect();
    let mut talk = Talk::ready();
    for (offset, size) in (0..60).flat_map(|offset| [1, 2, 3, 8, 60].map(|size| (offset, size))) {
        let (start, end) = (offset as usize, (offset + size).min(60) as usize);
        let held = &space[start..end];
        talk.next_effect(Ending::Config(held.to_vec()));
        let said = get(&mut talk, offset, size);
        let there = u32::try_from(held.len()).expect("small");
        assert_eq!(talk.seen(), [Seen::ReadConfig { offset, size: there }]);
        let (prefix, data) = said.payload().split_at(12);
        assert_eq!(prefix, [offset, size, 0].map(u32::to_ne_bytes).concat());
        assert_eq!(data.len(), size as usize);
        assert_eq!(data[..held.len()], *held, "{size} bytes at {offset}");
        assert!(data[held.len()..].iter().all(|byte| *byte == 0), "{size} bytes at {offset}");
    }
}

/// A driver may write a field of several bytes one at a time, in any order.
#[test]
fn a_field_is_written_byte_by_byte() {
    let mut talk = Talk::ready();
    let mut space = [0; 32];
    for offset in [1, 0, 5, 4, 31, 30, 7, 6] {
        let byte = 0x80 | u8::try_from(offset).expect("small");
        set(&mut talk, offset, 0, 1, &[byte]).acked();
        let Some(Seen::WriteConfig { offset: at, flags: 0, data }) = talk.seen().pop() else {
            panic!("nothing was written at {offset}");
        };
        assert_eq!((at, &data[..]), (offset, &[byte][..]));
        space[at as usize] = data[0];
    }
    let written = [0, 1, 4, 5, 6, 7, 30, 31].map(|at: usize| space[at]);
    assert_eq!(written, [0x80, 0x81, 0x84, 0x85, 0x86, 0x87, 0x9e, 0x9f]);
}

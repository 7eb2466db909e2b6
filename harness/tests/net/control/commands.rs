//! What a command does, and which is refused.

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::control::{Coalescing, ControlError, Outcome};
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_harness::control::draw::{self, KINDS};
use vhost_fuzz_harness::control::{ALL, Setup};
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::{assert_refused, control::MAC};

use super::{control, tell, with};

/// A command of this kind as a driver sends it.
fn good(kind: (u8, u8)) -> Vec<u8> {
    draw::good(&mut fastrand::Rng::with_seed(3), Setup::default(), kind)
}

#[test]
fn every_command_is_done_when_its_feature_was_negotiated() {
    let _shows = shows(&["NET-039", "DC-140"]);
    let features = |kind| match kind {
        (0 | 1, 0) | (0, 1) => Features::CTRL_RX,
        (0, _) => Features::CTRL_RX_EXTRA,
        (1, _) => Features::CTRL_MAC_ADDR,
        (2, _) => Features::CTRL_VLAN,
        (3, _) => Features::GUEST_ANNOUNCE,
        (4, 0) => Features::MQ,
        (4, 1) => Features::RSS,
        (4, _) => Features::HASH_REPORT,
        (7, _) => Features::HASH_TUNNEL,
        (5, _) => Features::CTRL_GUEST_OFFLOADS,
        (6, 0 | 1) => Features::NOTF_COAL,
        _ => Features::VQ_NOTF_COAL,
    };
    // The offloads that are switched on have to be there, and more than one pair.
    let also = Features::from_bits(0x782 | 3 << 54 | 3 << 65) | Features::MQ;
    for (class, command) in KINDS {
        let bytes = good((class, command));
        let feature = features((class, command));
        let run = |features: Features| {
            let mut control = with(features);
            let before = control.clone();
            let mut room = [0; 16];
            let told = control.handle(&mut &bytes[..], &mut &mut room[..]);
            let told = told.expect("bytes can be read").result();
            assert!(told.is_ok() || control == before);
            told
        };
        assert!(run(Features::CTRL_VQ | feature | also).is_ok(), "{bytes:02x?}");
        let missing = ControlError::NotNegotiated { class, command };
        assert_refused!(run(ALL.without(feature)), missing);
        assert_refused!(run(ALL.without(Features::CTRL_VQ)), missing);
    }
}

#[test]
fn a_command_that_nobody_knows_is_refused() {
    for class in 0..=255 {
        for command in 0..=255 {
            if !KINDS.contains(&(class, command)) {
                let unknown = ControlError::Unknown { class, command };
                assert_refused!(tell(&mut control(), class, command, &[0; 64]), unknown);
            }
        }
    }
}

#[test]
fn a_command_may_be_longer_and_not_shorter() {
    let _shows = shows(&["NET-038"]);
    let handle = |bytes: &[u8]| {
        let mut room = [0; 16];
        let outcome = control().handle(&mut &*bytes, &mut &mut room[..]);
        (outcome.expect("bytes can be read"), room)
    };
    for kind in KINDS {
        let bytes = good(kind);
        let whole = handle(&bytes);
        assert!(whole.0.result().is_ok(), "{bytes:02x?}");
        for surplus in 1..40 {
            let longer = [&bytes[..], &vec![0xff; surplus]].concat();
            assert_eq!(handle(&longer), whole, "{longer:02x?}");
        }
        for len in 0..bytes.len() {
            let refused = handle(&bytes[..len]).0.result().expect_err("it is cut");
            let is_short = matches!(refused, ControlError::Short { .. })
                || kind == (1, 0) && matches!(refused, ControlError::Table { .. });
            assert!(is_short, "{refused:?}");
        }
    }
    assert_refused!(handle(&[]).0.result(), ControlError::Short { need: 2, have: 0 });
    assert_refused!(handle(&[0, 0]).0.result(), ControlError::Short { need: 1, have: 0 });
    let short = ControlError::Short { need: 8, have: 7 };
    assert_refused!(tell(&mut control(), 5, 0, &[0; 7]), short);
}

#[test]
fn a_mode_is_on_or_off() {
    for command in 0..6 {
        for value in 2..=255 {
            let refused = tell(&mut control(), 0, command, &[value]);
            assert_refused!(refused, ControlError::Mode { value });
        }
    }
}

#[test]
fn an_address_is_that_of_a_station_and_is_told_at_once() {
    let _shows = shows(&["NET-041"]);
    let mut control = control();
    let other = Mac([2, 0, 0, 0, 0, 0x42]);
    assert_eq!((control.mac(), control.config_space().mac), (MAC, MAC));
    assert_eq!(tell(&mut control, 1, 1, &other.0), Ok(()));
    assert_eq!((control.mac(), control.config_space().mac), (other, other));
    for mac in [Mac::BROADCAST, Mac([1, 0, 0x5e, 0, 0, 1]), Mac::ZERO] {
        assert_refused!(tell(&mut control, 1, 1, &mac.0), ControlError::Address { mac });
        assert_eq!(control.config_space().mac, other);
    }
    control.negotiated(ALL);
    assert_eq!(control.config_space().mac, MAC);
}

#[test]
fn an_announcement_is_asked_for_until_it_was_made() {
    let _shows = shows(&["NET-045"]);
    let mut control = control();
    assert_eq!(control.config_space().status, 1);
    assert!(control.announce());
    assert!(!control.announce(), "the driver knows already");
    assert_eq!(control.config_space().status, 3);
    assert_eq!(tell(&mut control, 3, 0, &[]), Ok(()));
    assert_eq!(control.config_space().status, 1);
    assert_eq!(tell(&mut control, 3, 0, &[]), Ok(()), "nobody had asked");
    // Who cannot answer is not asked.
    for missing in [Features::CTRL_VQ, Features::GUEST_ANNOUNCE] {
        let mut control = with(ALL.without(missing));
        assert!(!control.announce());
        assert_eq!(control.config_space().status, 1);
    }
    assert!(control.set_link(false) && !control.set_link(false));
    assert_eq!(control.config_space().status, 0);
}

#[test]
fn a_driver_begins_with_one_pair_and_uses_no_more_than_there_are() {
    let _shows = shows(&["NET-046"]);
    let mut control = control();
    assert_eq!(control.pairs(), 1);
    for pairs in [4, 1, 3] {
        assert_eq!(tell(&mut control, 4, 0, &u16::to_le_bytes(pairs)), Ok(()));
        assert_eq!(control.pairs(), pairs);
    }
    for pairs in [0, 5, 0x8000, 0x8001, u16::MAX] {
        let refused = tell(&mut control, 4, 0, &pairs.to_le_bytes());
        assert_refused!(refused, ControlError::Pairs { pairs, max: 4 });
        assert_eq!(control.pairs(), 3);
    }
    control.negotiated(ALL);
    assert_eq!(control.pairs(), 1);
    // The front-end that keeps the control queue enables what is used.
    assert_eq!(with(ALL.without(Features::CTRL_VQ)).pairs(), 4);
    assert_eq!(with(Features::CTRL_VQ).pairs(), 1);
}

#[test]
fn only_what_was_negotiated_is_switched_on() {
    let _shows = shows(&["NET-052", "DC-144"]);
    let pairs = [(1, 1), (7, 7), (8, 8), (9, 9), (10, 10), (54, 54), (55, 55), (65, 46), (66, 47)];
    let all: u64 = pairs.iter().map(|(_, bit)| 1 << bit).sum();
    for (feature, bit) in pairs {
        let feature = Features::from_bits(1 << feature);
        let mut control = control();
        assert_eq!(tell(&mut control, 5, 0, &(all & !(1_u64 << bit)).to_le_bytes()), Ok(()));
        assert_eq!(control.offloads(), ALL.without(feature));
        // The length of the header is that of what was negotiated.
        assert_eq!(control.features().header_len(), ALL.header_len());
        assert_eq!(tell(&mut control, 5, 0, &all.to_le_bytes()), Ok(()), "and on again");
        assert_eq!(control.offloads(), ALL);
        let mut control = with(ALL.without(feature));
        let bits = 1 << bit;
        let refused = tell(&mut control, 5, 0, &u64::to_le_bytes(bits));
        assert_refused!(refused, ControlError::Offloads { bits });
        assert_eq!(control.offloads(), ALL.without(feature));
    }
    for bit in (0..64).filter(|bit| all >> bit & 1 == 0) {
        let bits = 1 << bit;
        let refused = tell(&mut control(), 5, 0, &u64::to_le_bytes(bits));
        assert_refused!(refused, ControlError::Offloads { bits });
    }
    let mut control = control();
    assert_eq!(tell(&mut control, 5, 0, &[0; 8]), Ok(()));
    assert!(!control.offloads().has_any(Features::GUEST_CSUM | Features::GUEST_TSO4));
    control.negotiated(ALL);
    assert_eq!(control.offloads(), ALL);
}

/// What a driver reads of its wish for a queue.
fn wish(control: &mut vhost_fuzz_core::net::control::Control, queue: u16) -> [u8; 9] {
    let [low, high] = queue.to_le_bytes();
    let mut room = [0xa5; 9];
    let outcome = control.handle(&mut &[6, 3, low, high, 9, 9][..], &mut &mut room[..]);
    assert_eq!(outcome, Ok(Outcome::Done { len: 8 }));
    room
}

#[test]
fn wishes_are_kept_for_each_queue() {
    let _shows = shows(&["NET-036", "NET-050", "DC-145"]);
    let mut control = control();
    assert_eq!(wish(&mut control, 0), [0, 0, 0, 0, 0, 0, 0, 0, 0xa5]);
    assert_eq!(tell(&mut control, 6, 0, &[1, 0, 0, 0, 2, 0, 0, 0]), Ok(()), "transmit");
    assert_eq!(tell(&mut control, 6, 1, &[3, 0, 0, 0, 4, 0, 0, 0]), Ok(()), "receive");
    assert_eq!(wish(&mut control, 5), [1, 0, 0, 0, 2, 0, 0, 0, 0xa5]);
    assert_eq!(wish(&mut control, 6), [3, 0, 0, 0, 4, 0, 0, 0, 0xa5]);
    let one = [6, 0, 0xff, 0xff, 5, 0, 0, 0, 6, 0, 0, 0];
    assert_eq!(tell(&mut control, 6, 2, &one), Ok(()));
    assert_eq!(control.coalescing(6), Some(Coalescing { max_packets: 5, max_usecs: 6 }));
    assert_eq!(control.coalescing(4), Some(Coalescing { max_packets: 3, max_usecs: 4 }));
    // A queue that begins anew has what counts for all.
    control.set_enabled(6, true);
    assert_eq!(control.coalescing(6), Some(Coalescing { max_packets: 5, max_usecs: 6 }));
    control.set_enabled(6, false);
    control.set_enabled(6, true);
    assert_eq!(control.coalescing(6), Some(Coalescing { max_packets: 3, max_usecs: 4 }));
    assert_eq!(control.coalescing(8), None);
}

#[test]
fn wishes_are_for_enabled_queues_of_frames() {
    let mut control = control();
    control.set_enabled(3, false);
    for queue in [3, 8, 9, 0x8000, u16::MAX] {
        let [low, high] = queue.to_le_bytes();
        let data = [low, high, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0];
        for command in [2, 3] {
            let refused = tell(&mut control, 6, command, &data);
            assert_refused!(refused, ControlError::Queue { queue });
        }
    }
    // Without more pairs than one, the third queue is the control queue.
    let mut control = with(Features::CTRL_VQ | Features::VQ_NOTF_COAL);
    assert_eq!(tell(&mut control, 6, 2, &[1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]), Ok(()));
    let refused = tell(&mut control, 6, 3, &[2, 0, 0, 0]);
    assert_refused!(refused, ControlError::Queue { queue: 2 });
}

#[test]
fn a_result_that_does_not_fit_is_none() {
    for len in 0..8 {
        let mut room = vec![0xa5; len];
        let outcome = control().handle(&mut &[6, 3, 0, 0, 0, 0][..], &mut &mut room[..]);
        let refused = outcome.expect("bytes can be read").result();
        assert_refused!(refused, ControlError::NoRoom { need: 8, have: len as u64 });
        assert!(room.iter().all(|byte| *byte == 0xa5));
    }
}

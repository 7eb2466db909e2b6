//! What a driver receives.

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::control::{Control, ControlError};
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::control::{ALL, GROUPS, MAC, STATIONS, probes};
use vhost_fuzz_harness::evidence::shows;

use super::{control, tell, with};

/// A frame without a tag.
fn frame(to: [u8; 6]) -> Vec<u8> {
    [&to[..], &[2, 0, 0, 0, 0, 99, 8, 0, 0x45]].concat()
}

/// Which of the stations and groups a driver hears: bits 0 to 4, and 5 to 9.
fn heard(control: &Control) -> u16 {
    let all = STATIONS.into_iter().chain(GROUPS).enumerate();
    all.fold(0, |bits, (at, to)| bits | u16::from(control.accepts(&frame(to))) << at)
}

/// The driver's own address and everybody.
const USUAL: u16 = 0b10000_00001;
const UNICAST: u16 = 0b00000_11111;
const MULTICAST: u16 = 0b01111_00000;
const BROADCAST: u16 = 0b10000_00000;

/// The data of a table.
fn table(unicast: &[[u8; 6]], multicast: &[[u8; 6]]) -> Vec<u8> {
    let list = |all: &[[u8; 6]]| {
        let count = u32::try_from(all.len()).expect("a short list");
        [&count.to_le_bytes()[..], &all.concat()].concat()
    };
    [list(unicast), list(multicast)].concat()
}

#[test]
fn a_driver_receives_what_is_for_it_and_for_all() {
    let _shows = shows(&["NET-040", "NET-042", "DC-141"]);
    assert_eq!(heard(&control()), USUAL);
    // A driver that was never told its address, and told none.
    let mut unknown = with(ALL.without(Features::MAC));
    assert_eq!(heard(&unknown), UNICAST | BROADCAST);
    assert_eq!(tell(&mut unknown, 1, 1, &STATIONS[1]), Ok(()));
    assert_eq!(heard(&unknown), BROADCAST | 0b10);
    // Nobody filters for a driver that cannot say what it wants.
    for missing in [Features::CTRL_VQ, Features::CTRL_RX] {
        assert_eq!(heard(&with(ALL.without(missing))), 0x3ff);
    }
    let filters = Features::CTRL_VQ | Features::CTRL_RX | Features::CTRL_VLAN;
    for frame in probes() {
        assert!(with(ALL.without(filters)).accepts(&frame));
        assert!(with(ALL.without(Features::CTRL_VQ)).accepts(&frame));
    }
}

#[test]
fn modes_widen_and_narrow_what_is_received() {
    let _shows = shows(&["NET-042", "DC-141"]);
    let mut control = control();
    for (mode, heard_with) in [
        (0, 0x3ff),
        (1, USUAL | MULTICAST),
        (2, USUAL | UNICAST),
        (3, USUAL),
        (4, BROADCAST),
        (5, 1),
    ] {
        assert_eq!(tell(&mut control, 0, mode, &[1]), Ok(()));
        assert_eq!(heard(&control), heard_with, "{mode}");
        assert_eq!(tell(&mut control, 0, mode, &[0]), Ok(()));
        assert_eq!(heard(&control), USUAL, "{mode}");
    }
    // What is suppressed counts more than what is allowed, and promiscuity more than both.
    let groups = GROUPS[..2].to_vec();
    assert_eq!(tell(&mut control, 1, 0, &table(&STATIONS[1..3], &groups)), Ok(()));
    for mode in 1..6 {
        assert_eq!(tell(&mut control, 0, mode, &[1]), Ok(()));
    }
    assert_eq!(heard(&control), 0);
    assert_eq!(tell(&mut control, 0, 0, &[1]), Ok(()));
    assert_eq!(heard(&control), 0x3ff);
    let tagged = [&frame(STATIONS[4])[..12], &[0x81, 0, 0, 9, 8, 0]].concat();
    assert!(control.accepts(&tagged), "of any VLAN");
}

#[test]
fn a_table_says_who_else_is_heard() {
    let _shows = shows(&["NET-040", "NET-042"]);
    let mut control = control();
    let set = table(&[STATIONS[2], STATIONS[1]], &[GROUPS[3], GROUPS[0], GROUPS[3]]);
    assert_eq!(tell(&mut control, 1, 0, &set), Ok(()));
    assert_eq!(heard(&control), USUAL | 0b01001_00110);
    // The next one replaces it as a whole.
    assert_eq!(tell(&mut control, 1, 0, &table(&[], &[GROUPS[1]])), Ok(()));
    assert_eq!(heard(&control), USUAL | 0b00010_00000);
    // What is in the wrong list matches nothing.
    assert_eq!(tell(&mut control, 1, 0, &table(&[GROUPS[1]], &[STATIONS[1]])), Ok(()));
    assert_eq!(heard(&control), USUAL);
    assert_eq!(tell(&mut control, 1, 0, &set), Ok(()));
    control.negotiated(ALL);
    assert_eq!(heard(&control), USUAL, "it is empty after a reset");
}

#[test]
fn a_table_that_is_too_long_lets_all_pass() {
    let _shows = shows(&["NET-043", "DC-143"]);
    let mut control = control();
    let mut many = |unicast: usize, multicast: usize| {
        let set = table(&vec![STATIONS[2]; unicast], &vec![GROUPS[2]; multicast]);
        let bytes = [&[1, 0], &set[..]].concat();
        let mut outcome = None;
        let took = allocation_counter::measure(|| {
            outcome = Some(control.handle(&mut &bytes[..], &mut &mut [0_u8; 0][..]));
        });
        let outcome = outcome.expect("it ran").expect("bytes can be read");
        assert_eq!((outcome.result(), took.count_total), (Ok(0), 0));
        heard(&control)
    };
    assert_eq!(many(3, 3), USUAL | 0b00100_00100);
    assert_eq!(many(4, 3), USUAL | UNICAST | 0b00100_00000);
    assert_eq!(many(3, 4), USUAL | MULTICAST | 0b100);
    assert_eq!(many(17_000, 17_000), 0x3ff);
    assert_eq!(many(0, 0), USUAL);
}

#[test]
fn a_table_lies_in_its_command() {
    let mut control = control();
    assert_eq!(tell(&mut control, 1, 0, &table(&[STATIONS[1]], &[GROUPS[1]])), Ok(()));
    let heard_before = heard(&control);
    // The second and third are 2 and 0 when they are multiplied in 32 bits.
    for count in [1, 0x2aaa_aaab, 0x8000_0000, u32::MAX] {
        let data = [&count.to_le_bytes()[..], &[2; 5]].concat();
        let refused = tell(&mut control, 1, 0, &data);
        assert_refused!(refused, ControlError::Table { count, have: 5 });
        let data = [&table(&[STATIONS[2]], &[])[..10], &count.to_le_bytes(), &[3; 4]].concat();
        let refused = tell(&mut control, 1, 0, &data);
        assert_refused!(refused, ControlError::Table { count, have: 4 });
        assert_eq!(heard(&control), heard_before, "the first list neither");
    }
    let refused = tell(&mut control, 1, 0, &table(&[STATIONS[2]], &[])[..13]);
    assert_refused!(refused, ControlError::Short { need: 4, have: 3 });
}

/// A frame of everybody with a tag.
fn tagged(protocol: u16, control: u16) -> Vec<u8> {
    let tag = [protocol, control, 0x0800].map(u16::to_be_bytes).concat();
    [&Mac::BROADCAST.0, &MAC.0, &tag[..]].concat()
}

#[test]
fn vlans_are_those_that_were_listed() {
    let _shows = shows(&["NET-044", "DC-141"]);
    let mut control = control();
    let is_heard = |control: &Control, vlan| control.accepts(&tagged(0x8100, 0xe000 | vlan));
    for vlan in [1_u16, 63, 64, 4094] {
        assert!(!is_heard(&control, vlan));
        for _ in 0..2 {
            assert_eq!(tell(&mut control, 2, 0, &vlan.to_le_bytes()), Ok(()));
            assert!(is_heard(&control, vlan) && !is_heard(&control, vlan + 1));
        }
        for _ in 0..2 {
            assert_eq!(tell(&mut control, 2, 1, &vlan.to_le_bytes()), Ok(()));
            assert!(!is_heard(&control, vlan));
        }
    }
    assert!(is_heard(&control, 0), "a priority is no VLAN");
    assert!(!is_heard(&control, 4095));
    assert!(control.accepts(&frame([0xff; 6])), "without a tag");
    assert!(control.accepts(&tagged(0x88a8, 7)), "a service tag");
    for vlan in [4095, 4096, u16::MAX] {
        for command in [0, 1] {
            let refused = tell(&mut control, 2, command, &vlan.to_le_bytes());
            assert_refused!(refused, ControlError::Vlan { vlan });
        }
    }
    assert_eq!(tell(&mut control, 2, 0, &[5, 0]), Ok(()));
    control.negotiated(ALL);
    assert!(!is_heard(&control, 5), "the list is empty after a reset");
    let without = with(ALL.without(Features::CTRL_VLAN));
    assert!((0..=4095).all(|vlan| is_heard(&without, vlan)));
    assert!(!control.accepts(&tagged(0x8100, 0)[..15]), "a tag that is cut");
}

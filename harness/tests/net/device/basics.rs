//! Each kind of frame, over each kind of ring.

use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::net_device::setup::{DHCPV6, Setup};
use vhost_fuzz_harness::net_device::{Cut, Start, Step, bit, frames};

use crate::device::rig::{Bare, answers, merging, run, starts, with};

#[test]
fn every_protocol_is_answered_over_every_ring() {
    let gateway = [DHCPV6, 0, 0, 0];
    let asked = [
        frames::arp(),
        frames::echo(100),
        frames::discover(),
        frames::request(Setup(gateway)),
        frames::neighbor(),
        frames::router(),
        frames::echo6(100),
        frames::solicit(),
    ];
    let mut all = Vec::new();
    for start in starts() {
        let start = Start { gateway, ..start };
        for start in [start, merging(start)] {
            let replies = answers(start, &asked);
            assert_eq!(replies.len(), asked.len(), "{start:?}");
            all.push(replies);
        }
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn every_header_is_as_long_as_the_table_says() {
    let _shows = shows(&["NET-001"]);
    for features in [
        bit::VERSION_1,
        bit::VERSION_1 | bit::HASH_REPORT,
        bit::VERSION_1 | bit::HOST_TUNNELS,
        bit::VERSION_1 | bit::OUT_NET_HEADER,
        0,
        bit::MRG_RXBUF,
    ] {
        for start in starts() {
            let start = Start { features, ..start };
            assert_eq!(answers(start, &[frames::arp(), frames::echo(10)]).len(), 2, "{start:?}");
        }
    }
}

#[test]
fn a_header_is_read_wherever_it_is_cut() {
    let _shows = shows(&["NET-004"]);
    let frame = frames::arp();
    let whole = answers(Start::default(), std::slice::from_ref(&frame));
    for start in starts() {
        let start = Start { sizes: [128; 5], ..start };
        for piece in 1..=frame.len() + 12 {
            let piece = u16::try_from(piece).expect("a short frame");
            for table in [0, Cut::TABLE] {
                let cut = Cut(piece | table);
                let send = Step::Send { pair: 0, cut, is_plain: true, bytes: (&frame[..]).into() };
                let steps = [Step::post(0, 1, 2048), send, Step::wake(0)];
                assert_eq!(run(start, &steps).replies, whole, "{cut:?} {start:?}");
            }
        }
    }
}

#[test]
fn a_checksum_that_is_left_to_the_device_is_not_compared() {
    let _shows = shows(&["NET-055"]);
    for start in starts() {
        let start = Start { features: start.features | bit::CSUM, ..start };
        let bytes = frames::unfinished(12);
        let send = Step::Send { pair: 0, cut: Cut(0), is_plain: false, bytes: bytes.into() };
        let outcome = run(start, &[Step::post(0, 1, 2048), send, Step::wake(0)]);
        assert_eq!((outcome.replies.len(), outcome.broken), (1, vec![]));
    }
}

/// Features that let a device say something about a frame: it has nothing to say.
#[test]
fn a_header_says_nothing_but_how_many_buffers_there_are() {
    let _shows =
        shows(&["NET-029", "NET-030", "NET-031", "NET-032", "NET-033", "NET-034", "NET-035"]);
    let guest =
        1 << 1 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 54 | 1 << 55 | 1 << 61 | 1 << 65 | 1 << 66;
    for (features, len) in [
        (0, 12),
        (guest & !(1 << 65), 12),
        (bit::HASH_REPORT, 20),
        (guest | bit::HASH_REPORT, 24),
        (guest | bit::OUT_NET_HEADER, 32),
    ] {
        let mut bare = Bare::new(with(features));
        bare.drive(&Step::post(0, 1, 2048));
        bare.send(&frames::arp());
        bare.serve();
        let mut expected = vec![0; len];
        expected[10] = 1;
        assert_eq!(bare.bytes(crate::device::rig::BUFFERS, len), expected, "{features:#x}");
        // The frame follows at once, and nothing follows the frame.
        assert_eq!(bare.used(0), [(0, u32::try_from(len + 42).expect("short"))]);
        let behind = crate::device::rig::BUFFERS + len as u64;
        assert_eq!(bare.bytes(behind, 6), frames::arp()[6..12]);
        assert_eq!(bare.bytes(behind + 42, 4), [0xa5; 4]);
    }
}

#[test]
fn a_legacy_header_has_no_number_of_buffers() {
    let _shows = shows(&["NET-001", "NET-022"]);
    // Rings of today, without the feature that says so to the device.
    let mut bare = Bare::new(Start { features: 0, ..Start::default() });
    bare.drive(&Step::post(0, 1, 2048));
    bare.send(&frames::arp());
    bare.serve();
    assert_eq!(bare.bytes(crate::device::rig::BUFFERS, 10), [0; 10]);
    assert_eq!(bare.used(0), [(0, 52)]);
    assert_eq!(bare.bytes(crate::device::rig::BUFFERS + 10, 6), frames::arp()[6..12]);
}

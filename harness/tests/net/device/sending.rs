//! What the driver may send, and what comes of what it may not.

use vhost_fuzz_core::ring::flag;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::ipv6::ndp::setup::{DNS, PREFIX};
use vhost_fuzz_harness::net_device::{Cut, Start, Step, bit, frames};
use vhost_fuzz_harness::ring::step::Descriptor;
use vhost_fuzz_model::Id;
use vhost_fuzz_model::net::ipv4;

use crate::device::rig::{Bare, answers, run, starts, with};

#[test]
fn a_frame_is_as_long_as_the_mtu_says() {
    let _shows = shows(&["NET-017", "NET-018"]);
    for start in starts() {
        let limited = Start { mtu: 100, features: start.features | bit::MTU, ..start };
        // 14 bytes of Ethernet, 28 of IPv4 and ICMP.
        for (data, count) in [(72, 1), (73, 0)] {
            assert_eq!(answers(limited, &[frames::echo(data)]).len(), count, "{data}");
            let unlimited = Start { mtu: 100, ..start };
            assert_eq!(answers(unlimited, &[frames::echo(data)]).len(), 1);
        }
        let steps = [
            Step::Mtu { mtu: 99 },
            Step::post(0, 1, 2048),
            Step::frame(0, frames::echo(72)),
            Step::wake(0),
        ];
        assert_eq!(run(limited, &steps).broken, [Id::Net(17)]);
    }
}

#[test]
fn an_answer_above_the_mtu_is_not_given() {
    let _shows = shows(&["NET-019"]);
    for start in starts() {
        let gateway = [0, 0, PREFIX | DNS, 0];
        let start = Start { gateway, mtu: 100, ..start };
        let asked = [frames::router(), frames::arp()];
        assert_eq!(answers(start, &asked).len(), 2);
        let limited = Start { features: start.features | bit::MTU, ..start };
        assert_eq!(answers(limited, &asked), answers(start, &asked[1..]));
    }
    // Its buffers are not used up.
    let limited = Start { gateway: [0, 0, PREFIX | DNS, 0], mtu: 100, ..with(bit::MTU) };
    let mut bare = Bare::new(limited);
    bare.drive(&Step::post(0, 1, 2048));
    bare.send(&frames::router());
    bare.serve();
    assert_eq!((bare.used(0), bare.device.counters().dropped), (vec![], 1));
}

#[test]
fn frames_that_are_to_be_cut_are_dropped() {
    let _shows = shows(&["DC-125"]);
    let mut sent = vec![1, 1, 0, 0, 100, 0, 34, 0, 16, 0, 0, 0];
    let mut segment = vec![0; 220];
    segment[12] = 0x50;
    let packet = ipv4::write([192, 0, 2, 10], [169, 254, 0, 1], 6, &segment);
    sent.extend(frames::to_gateway(&packet));
    for start in starts() {
        let start = Start { features: start.features | bit::CSUM | bit::HOST_TSO4, ..start };
        let send = Step::Send { pair: 0, cut: Cut(0), is_plain: false, bytes: (&sent[..]).into() };
        let outcome = run(start, &[Step::post(0, 1, 2048), send, Step::wake(0)]);
        assert_eq!((outcome.replies.len(), outcome.broken), (0, vec![]));
    }
}

#[test]
fn every_chain_that_is_sent_goes_back_empty() {
    let _shows = shows(&["NET-036", "NET-002", "NET-003"]);
    let mut bare = Bare::new(Start::default());
    let chain = |id, list: &[(u64, u32, u16)]| {
        let descriptors =
            list.iter().map(|&(address, len, flags)| Descriptor { address, len, flags }).collect();
        Step::Chain { queue: 1, id, descriptors }
    };
    let (at, end) = (0x2_0000, 0x2_1000);
    bare.drive(&chain(0, &[(at, 64, 0)]));
    bare.drive(&chain(1, &[(at, 64, flag::NEXT), (end, 64, flag::WRITE)]));
    bare.drive(&chain(3, &[(at, 12, 0)]));
    bare.drive(&chain(4, &[(0x7000_0000, 64, 0)]));
    bare.drive(&chain(5, &[(at, 0, 0)]));
    bare.drive(&chain(6, &[(at, 64, flag::INDIRECT)]));
    bare.serve();
    assert_eq!(bare.used(1), [(0, 0), (1, 0), (3, 0), (4, 0), (5, 0), (6, 0)]);
    let counters = bare.device.counters();
    assert_eq!((counters.taken, counters.malformed), (6, 5));
}

#[test]
fn what_is_longer_than_any_frame_is_judged_by_its_front() {
    let _shows = shows(&["DC-160", "NET-017"]);
    let piece = Descriptor { address: 0x2_0000, len: 0x4000, flags: flag::NEXT };
    let last = Descriptor { flags: 0, ..piece };
    for start in starts() {
        let descriptors = [piece, piece, piece, piece, piece, piece, last].into_iter().collect();
        let steps = [
            Step::Chain { queue: 1, id: 0, descriptors },
            Step::post(0, 1, 2048),
            Step::frame(0, frames::arp()),
            Step::wake(0),
        ];
        // The head of the next chain of the driver is not known to be in use.
        let start = Start { form: vhost_fuzz_core::ring::Layout::Packed, ..start };
        let outcome = run(start, &steps);
        assert_eq!((outcome.broken, outcome.replies.len()), (vec![Id::Net(17)], 1));
    }
    let mut bare = Bare::new(Start::default());
    let descriptors = [piece, piece, piece, piece, piece, piece, last].into_iter().collect();
    bare.drive(&Step::Chain { queue: 1, id: 0, descriptors });
    bare.world.ram.begin();
    bare.serve();
    let read = bare.world.ram.counts().read_bytes;
    assert!((65_654..66_000).contains(&read), "{read} bytes were read");
}

#[test]
fn what_is_sent_on_a_queue_that_is_not_used_goes_back_unread() {
    for start in starts() {
        let steps = [
            Step::post(0, 2, 2048),
            Step::frame(0, frames::arp()),
            Step::Discard { pair: 0 },
            Step::wake(0),
            Step::frame(0, frames::arp()),
            Step::wake(0),
        ];
        assert_eq!(run(start, &steps).replies.len(), 1);
    }
}

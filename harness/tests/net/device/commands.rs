//! What the driver commands, and which frames it gets then.

use vhost_fuzz_core::ring::flag;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::net_device::{Start, Step, bit, frames};
use vhost_fuzz_harness::ring::step::Descriptor;

use crate::device::rig::{Bare, answers, answers_after, run, starts, with};

const CONTROL: u128 = bit::CTRL_VQ
    | bit::CTRL_RX
    | bit::CTRL_VLAN
    | bit::CTRL_RX_EXTRA
    | bit::GUEST_ANNOUNCE
    | bit::MQ
    | bit::CTRL_MAC_ADDR
    | 1 << 52;

#[test]
fn a_used_command_has_its_ack_and_its_result() {
    let _shows = shows(&["NET-036"]);
    let mut bare = Bare::new(with(CONTROL));
    for command in [&[0, 0, 1][..], &[6, 3, 1, 0, 0, 0], &[9, 9], &[6, 3, 7, 0, 0, 0]] {
        bare.drive(&Step::Command { room: 20, cut: Default::default(), bytes: command.into() });
    }
    bare.obey();
    let lens: Vec<_> = bare.used(4).into_iter().map(|(_, len)| len).collect();
    assert_eq!(lens, [1, 9, 1, 1]);
}

#[test]
fn a_command_without_room_for_its_ack_goes_back_empty() {
    let _shows = shows(&["NET-037"]);
    let mut bare = Bare::new(with(CONTROL));
    let descriptor = |flags| Descriptor { address: 0x2_0000, len: 8, flags };
    let descriptors = [descriptor(0)].into_iter().collect();
    bare.drive(&Step::Chain { queue: 4, id: 0, descriptors });
    let descriptors = [descriptor(flag::WRITE | flag::INDIRECT)].into_iter().collect();
    bare.drive(&Step::Chain { queue: 4, id: 1, descriptors });
    bare.obey();
    assert_eq!(bare.used(4), [(0, 0), (1, 0)]);
}

#[test]
fn frames_that_the_driver_filters_out_are_not_given() {
    let _shows = shows(&["NET-042"]);
    let asked = [frames::arp()];
    let own: &[u8] = &[1, 1, 2, 0, 0, 0, 0, 8];
    for start in starts() {
        let all = Start { features: start.features | CONTROL, ..start };
        for (commands, count) in [
            (&[][..], 1),
            (&[&[0, 4, 1][..]], 0),
            (&[&[0, 4, 1], &[0, 0, 1]], 1),
            (&[&[0, 4, 1], &[0, 4, 0]], 1),
            // Another address; the answer goes to the old one.
            (&[own], 0),
            (&[own, &[0, 2, 1]], 1),
        ] {
            assert_eq!(answers_after(all, commands, &asked).len(), count, "{commands:?}");
        }
        // Without CTRL_RX nothing is filtered by address.
        let some = Start { features: start.features | CONTROL & !bit::CTRL_RX, ..start };
        assert_eq!(answers_after(some, &[own], &asked).len(), 1);
    }
}

#[test]
fn frames_of_other_vlans_are_not_given() {
    let _shows = shows(&["NET-044"]);
    let asked = [frames::arp_on(7), frames::arp()];
    for start in starts() {
        assert_eq!(answers(start, &asked).len(), 2);
        let start = Start { features: start.features | CONTROL, ..start };
        let plain = answers(Start::default(), &asked[1..]);
        assert_eq!(answers_after(start, &[], &asked), plain);
        assert_eq!(answers_after(start, &[&[2, 0, 7, 0]], &asked).len(), 2);
        assert_eq!(answers_after(start, &[&[2, 0, 7, 0], &[2, 1, 7, 0]], &asked), plain);
    }
}

#[test]
fn an_answer_goes_to_the_pair_that_asked_or_to_the_first() {
    let _shows = shows(&["NET-046", "DC-125"]);
    let pairs = |count: u8| vec![Step::command(vec![4, 0, count, 0]), Step::Wake { queue: 4 }];
    let ask = [Step::frame(1, frames::arp()), Step::wake(1)];
    for start in starts() {
        let start = Start { features: start.features | CONTROL, ..start };
        // One pair: only the first receive queue is used. Two: each has its own.
        for (commands, post, count) in [
            (vec![], 0, 1),
            (vec![], 1, 0),
            (pairs(2), 1, 1),
            (pairs(2), 0, 0),
            ([pairs(2), pairs(1)].concat(), 0, 1),
            ([pairs(2), pairs(3)].concat(), 1, 1),
        ] {
            let steps = [commands, vec![Step::post(post, 1, 2048)], ask.to_vec()].concat();
            assert_eq!(run(start, &steps).replies.len(), count, "{post} {steps:?}");
        }
        // Without a control queue nobody says how many are used: all that there are.
        let both = Start { features: start.features & !CONTROL | bit::MQ, ..start };
        let steps = [vec![Step::post(1, 1, 2048)], ask.to_vec()].concat();
        assert_eq!(run(both, &steps).replies.len(), 1);
    }
}

#[test]
fn an_answer_to_a_queue_that_is_not_there_is_dropped() {
    let _shows = shows(&["NET-049"]);
    let mut answered = 0;
    for start in starts() {
        let start = Start { sizes: [0, 16, 16, 16, 16], ..start };
        let ask = [Step::post(1, 2, 2048), Step::frame(0, frames::arp()), Step::wake(0)];
        answered += run(start, &ask).replies.len();
    }
    assert_eq!(answered, 0);
}

#[test]
fn a_filter_is_empty_after_a_reset() {
    let _shows = shows(&["NET-040"]);
    for start in starts() {
        let features = start.features | CONTROL;
        let start = Start { features, ..start };
        let steps = [
            Step::command(vec![0, 4, 1]),
            Step::Wake { queue: 4 },
            Step::Negotiate { features },
            Step::post(0, 1, 2048),
            Step::frame(0, frames::arp()),
            Step::wake(0),
        ];
        assert_eq!(run(start, &steps).replies.len(), 1);
    }
}

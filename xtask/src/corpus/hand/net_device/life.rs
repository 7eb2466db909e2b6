//! Queues and memory that come and go.

use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::net_device::{Start, Step, bit, frames};
use vhost_fuzz_harness::ram::Layout;

use super::{CONTROL, OK, ask, both, command, each, with};

pub(super) fn seeds() -> Vec<Seed> {
    [restarts(), calls(), places()].concat()
}

fn restarts() -> Vec<Seed> {
    let start = Start { rings: 3, ..Start::default() };
    let arp = ask(&[frames::arp()]);
    let restart = |queue, is_fresh| vec![Step::Restart { queue, is_fresh }];
    let stopped = vec![Step::post(0, 2, 2048), Step::frame(0, frames::arp())];
    let discard = vec![Step::Discard { pair: 0 }, Step::frame(0, frames::arp()), Step::wake(0)];
    let reset = vec![Step::Negotiate { features: bit::VERSION_1 | bit::MRG_RXBUF }];
    [
        both(
            "restart",
            OK,
            "queues go on where they were",
            start,
            [arp.clone(), restart(0, false), restart(1, false), arp.clone()].concat(),
        ),
        both(
            "restart-fresh",
            OK,
            "or from the beginning",
            start,
            [arp.clone(), restart(0, true), restart(1, true), arp.clone()].concat(),
        ),
        both(
            "restart-waiting",
            OK,
            "with a frame that was not taken",
            start,
            [stopped.clone(), restart(1, false), vec![Step::wake(0)]].concat(),
        ),
        both(
            "restart-control",
            OK,
            "the control queue, too",
            with(CONTROL),
            [command(&[&[0, 0, 1]]), restart(4, false), command(&[&[0, 0, 0]])].concat(),
        ),
        both("discard", OK, "a queue that is not to be used", start, [stopped, discard].concat()),
        both(
            "reset",
            OK,
            "a reset, and then other features",
            start,
            [arp.clone(), reset, arp.clone()].concat(),
        ),
        both(
            "again",
            OK,
            "a device starts over",
            start,
            [arp.clone(), vec![Step::Start(with(bit::HASH_REPORT))], arp.clone()].concat(),
        ),
    ]
    .concat()
}

fn calls() -> Vec<Seed> {
    let start = Start { rings: 3, ..Start::default() };
    let arp = ask(&[frames::arp()]);
    let asked = [frames::arp(), frames::arp()];
    let called = vec![
        Step::Wish { queue: 1, flags: 1, event: 0 },
        Step::Wish { queue: 0, flags: 0, event: 1 },
    ];
    [
        both(
            "calls",
            OK,
            "a driver that wants few calls",
            start,
            [called.clone(), ask(&asked), called, ask(&asked)].concat(),
        ),
        both(
            "calls-flags",
            OK,
            "the same without event indices",
            Start { rings: 0, ..start },
            [vec![Step::Wish { queue: 1, flags: 1, event: 0 }], ask(&asked), ask(&asked)].concat(),
        ),
        both(
            "wrap",
            OK,
            "indices that wrap",
            Start { base: 0xfffe, ..start },
            [arp.clone(), arp.clone(), arp].concat(),
        ),
    ]
    .concat()
}

fn places() -> Vec<Seed> {
    let start = Start { rings: 7, ..Start::default() };
    let many: Vec<_> = (0..6).map(|at| frames::echo(300 + 200 * at)).collect();
    let swapped = Start { is_swapped: true, ..start };
    let odd = Start { layout: Layout::Odd, ..start };
    let skewed = Start { layout: Layout::Skewed, ..start };
    let large = Start { layout: Layout::Large, sizes: [1024; 5], ..start };
    let gone = |mask| {
        let mut steps = vec![Step::post(0, 4, 2048), Step::frame(0, frames::arp())];
        steps.extend([Step::Memory { regions: mask }, Step::wake(0)]);
        steps.extend([Step::Memory { regions: 7 }, Step::frame(0, frames::arp()), Step::wake(0)]);
        steps
    };
    [
        both("border", OK, "receive buffers over the border of regions", start, ask(&many)),
        both("border-swapped", OK, "frames over the border of regions", swapped, ask(&many)),
        both("odd", OK, "odd borders", odd, ask(&many)),
        both(
            "odd-swapped",
            OK,
            "odd borders, the other way round",
            Start { is_swapped: true, ..odd },
            ask(&many),
        ),
        both("skewed", OK, "a region that is mapped askew", skewed, ask(&many)),
        both("large", OK, "large rings", large, ask(&many)),
        each(
            "gone-buffers",
            ["VQ-026", "PK-041"],
            "the memory of receive buffers goes and comes",
            start,
            gone(5),
        ),
        both("gone-rings", "VQ-005", "the memory of rings goes and comes", start, gone(6)),
    ]
    .concat()
}

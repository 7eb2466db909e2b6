//! Receive buffers: that fit, that do not, and that nobody can use.

use vhost_fuzz_core::ring::flag;
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::net_device::{Start, Step, bit, frames};
use vhost_fuzz_harness::ring::step::{Descriptor, Descriptors};

use super::{OK, both, each, with};

pub(super) fn seeds() -> Vec<Seed> {
    [merged(), single(), useless(), waiting()].concat()
}

/// Posts, sends, and wakes.
fn one_frame(posts: &[Step<'static>], frame: &[u8]) -> Vec<Step<'static>> {
    let mut steps = posts.to_vec();
    steps.extend([Step::frame(0, frame.to_vec()), Step::wake(0)]);
    steps
}

fn merged() -> Vec<Seed> {
    let start = Start { sizes: [64; 5], ..with(bit::MRG_RXBUF) };
    // Header and frame have 254 bytes.
    let echo = frames::echo(200);
    let lens = |lens: &[u16]| Step::Post {
        pair: 0,
        count: 1,
        lens: lens.iter().flat_map(|len| len.to_le_bytes()).collect::<Vec<_>>().into(),
    };
    let mixed = [lens(&[12]), lens(&[1, 1, 30]), lens(&[100, 200])];
    [
        both(
            "merged-1",
            OK,
            "a buffer that is filled exactly",
            start,
            one_frame(&[Step::post(0, 1, 254)], &echo),
        ),
        both("merged-2", OK, "two buffers", start, one_frame(&[Step::post(0, 2, 253)], &echo)),
        both(
            "merged-22",
            OK,
            "as many as there can be",
            start,
            one_frame(&[Step::post(0, 30, 12)], &echo),
        ),
        both("merged-mixed", OK, "buffers of several descriptors", start, one_frame(&mixed, &echo)),
        both(
            "merged-few",
            OK,
            "too few, which stay where they are",
            start,
            one_frame(&[Step::post(0, 3, 80)], &echo)
                .into_iter()
                .chain(one_frame(&[Step::post(0, 1, 80)], &echo))
                .collect::<Vec<_>>(),
        ),
        both(
            "merged-ring",
            OK,
            "more than a ring has",
            Start { sizes: [4; 5], ..start },
            one_frame(&[Step::post(0, 4, 20)], &echo)
                .into_iter()
                .chain([Step::wake(0), Step::wake(0)])
                .collect::<Vec<_>>(),
        ),
        both(
            "merged-in-order",
            OK,
            "several frames in several buffers, in order",
            Start { rings: 7, ..start },
            [one_frame(&[Step::post(0, 20, 100)], &echo), one_frame(&[], &echo)].concat(),
        ),
    ]
    .concat()
}

fn single() -> Vec<Seed> {
    let start = Start::default();
    let lens = [12_u16, 14, 20, 200].iter().flat_map(|len| len.to_le_bytes()).collect::<Vec<_>>();
    let pieces = Step::Post { pair: 0, count: 1, lens: lens.into() };
    let echo = frames::echo(200);
    [
        both(
            "exact",
            OK,
            "a buffer with no byte too many",
            start,
            one_frame(&[Step::post(0, 1, 254)], &echo),
        ),
        both(
            "small",
            OK,
            "one byte too few, and then a frame that fits",
            start,
            [one_frame(&[Step::post(0, 1, 253)], &echo), one_frame(&[], &frames::arp())].concat(),
        ),
        both("pieces", OK, "a buffer in four descriptors", start, one_frame(&[pieces], &echo)),
        both("none", OK, "no buffer at all", start, one_frame(&[], &echo)),
        both(
            "no-queue",
            OK,
            "no receive queue",
            Start { sizes: [0, 16, 0, 0, 0], ..start },
            one_frame(&[], &echo),
        ),
        both("empty", OK, "a buffer of no bytes", start, one_frame(&[Step::post(0, 1, 0)], &echo)),
    ]
    .concat()
}

fn chain(id: u16, descriptors: &[(u64, u32, u16)]) -> Step<'static> {
    let descriptors: Descriptors<'static> = descriptors
        .iter()
        .map(|&(address, len, flags)| Descriptor { address, len, flags })
        .collect();
    Step::Chain { queue: 0, id, descriptors }
}

fn useless() -> Vec<Seed> {
    const AT: u64 = 0x2_0000;
    let readable = chain(0, &[(AT, 64, 0)]);
    let mixed = chain(0, &[(AT, 64, flag::NEXT), (AT + 64, 2048, flag::WRITE)]);
    let outside = chain(0, &[(0x7000_0000, 2048, flag::WRITE)]);
    let turned = chain(0, &[(AT, 64, flag::WRITE | flag::NEXT), (AT + 64, 64, 0)]);
    let good = chain(2, &[(AT + 0x1000, 2048, flag::WRITE)]);
    let arp = frames::arp();
    let start = Start::default();
    let merge = with(bit::MRG_RXBUF);
    let behind =
        [chain(0, &[(AT, 30, flag::WRITE)]), chain(1, &[(AT + 64, 11, flag::WRITE)]), good.clone()];
    let broken =
        [chain(0, &[(AT, 30, flag::WRITE)]), chain(1, &[(0x7000_0000, 9, 2)]), good.clone()];
    [
        both(
            "readable",
            OK,
            "a receive buffer to be read",
            start,
            one_frame(&[readable, good.clone()], &arp),
        ),
        both(
            "half-readable",
            OK,
            "one with bytes to be read",
            start,
            one_frame(&[mixed, good.clone()], &arp),
        ),
        each(
            "outside",
            ["VQ-026", "PK-041"],
            "one that is no memory",
            start,
            one_frame(&[outside, good.clone()], &arp),
        ),
        each(
            "turned",
            ["VQ-012", "PK-013"],
            "one with a descriptor to be read at its end",
            start,
            one_frame(&[turned, good.clone()], &arp),
        ),
        both(
            "short-merged",
            OK,
            "one shorter than a header",
            merge,
            one_frame(&[chain(0, &[(AT, 11, 2)]), good], &arp),
        ),
        both(
            "short-second",
            OK,
            "a second one shorter than a header",
            merge,
            one_frame(&behind, &arp),
        ),
        each(
            "broken-second",
            ["VQ-026", "PK-041"],
            "a second one that is no memory",
            merge,
            one_frame(&broken, &arp),
        ),
    ]
    .concat()
}

fn waiting() -> Vec<Seed> {
    let start = Start { sizes: [4, 16, 4, 16, 8], ..Start::default() };
    let mut steps = vec![Step::post(0, 4, 2048)];
    steps.extend((0..6).map(|_| Step::frame(0, frames::arp())));
    steps.extend([Step::wake(0), Step::post(0, 2, 2048), Step::wake(0)]);
    let again = [steps.clone(), vec![Step::wake(0), Step::wake(0)]].concat();
    let full = Start { sizes: [16, 4, 16, 4, 8], ..start };
    let mut many = vec![Step::post(0, 8, 2048)];
    many.extend((0..4).map(|_| Step::frame(0, frames::arp())));
    many.extend([Step::wake(0), Step::wake(0)]);
    [
        both("waits", OK, "frames wait for a share of the receive queue", start, steps),
        both("waits-long", OK, "and are taken when there are buffers", start, again),
        both("share", OK, "a transmit queue gives its share", full, many),
    ]
    .concat()
}

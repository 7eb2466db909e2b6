//! Drivers who do not keep to the rules.

use vhost_fuzz_core::ring::flag;
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::net_device::{Start, Step, bit, frames};
use vhost_fuzz_harness::ring::step::{Descriptor, Descriptors, feature};

use super::{OK, ask, both, each, one, with};

/// Memory that nobody uses.
const AT: u64 = 0x2_0000;

pub(super) fn seeds() -> Vec<Seed> {
    [chains(), aliases(), indices()].concat()
}

fn list(descriptors: &[(u64, u32, u16)]) -> Descriptors<'static> {
    descriptors.iter().map(|&(address, len, flags)| Descriptor { address, len, flags }).collect()
}

/// A chain of a transmit queue, for which there is a buffer, and then a frame that is good.
fn sent(descriptors: &[(u64, u32, u16)]) -> Vec<Step<'static>> {
    let chain = Step::Chain { queue: 1, id: 8, descriptors: list(descriptors) };
    vec![Step::post(0, 2, 2048), chain, Step::frame(0, frames::arp()), Step::wake(0)]
}

fn chains() -> Vec<Seed> {
    let start = Start::default();
    let plain = Start { rings: 0, ..start };
    let long = [(AT, 0x4000, flag::NEXT); 4].into_iter().chain([(AT, 0x4000, 0)]);
    let long: Vec<_> = long.collect();
    let table = |len| vec![(AT, len, flag::INDIRECT)];
    [
        both(
            "writable",
            "NET-003",
            "a frame with bytes to be written",
            start,
            sent(&[(AT, 64, 1), (AT, 8, 2)]),
        ),
        both("all-writable", "NET-003", "a frame to be written", start, sent(&[(AT, 64, 2)])),
        both("nothing", "NET-002", "a chain without bytes", start, sent(&[(AT, 0, 0)])),
        both("over-long", "NET-017", "a chain longer than any frame", start, sent(&long)),
        each(
            "order",
            ["VQ-012", "PK-013"],
            "bytes to be read behind those to be written",
            start,
            sent(&[(AT, 8, 3), (AT, 8, 0)]),
        ),
        each(
            "no-memory",
            ["VQ-026", "PK-041"],
            "a frame that is no memory",
            start,
            sent(&[(0x1000, 64, 0)]),
        ),
        each(
            "far",
            ["VQ-025", "PK-041"],
            "a frame that ends behind all addresses",
            start,
            sent(&[(u64::MAX - 7, 64, 0)]),
        ),
        each(
            "table-refused",
            ["VQ-015", "PK-016"],
            "a table that was not negotiated",
            plain,
            sent(&table(16)),
        ),
        each(
            "table-cut",
            ["VQ-020", "PK-021"],
            "half an entry of a table",
            start,
            sent(&table(24)),
        ),
        each(
            "table-long",
            ["VQ-021", "PK-021"],
            "a table with too many entries",
            start,
            sent(&table(0x4000)),
        ),
    ]
    .concat()
}

/// Receive buffers that are something else as well.
fn aliases() -> Vec<Seed> {
    let into = |start: Start, address: u64, len: u32| {
        let chain = Step::Chain { queue: 0, id: 0, descriptors: list(&[(address, len, 2)]) };
        let steps =
            [chain, Step::frame(0, frames::arp()), Step::frame(0, frames::arp()), Step::wake(0)];
        (start, steps.to_vec())
    };
    let places = [
        ("alias-descriptors", "a receive buffer on the descriptors of its ring", 0x1_0000),
        ("alias-own-ring", "one on the driver area of its ring", 0x1_0100),
        ("alias-used", "one on the device area of its ring", 0x1_0130),
        ("alias-sent", "one on the frame that is answered", 0x1_4400),
        ("alias-transmit", "one on the descriptors of the transmit ring", 0x1_0d20),
    ];
    let start = Start { rings: 3, ..Start::default() };
    let mut seeds = Vec::new();
    for (name, shows, address) in places {
        let (start, steps) = into(start, address, 64);
        seeds.push((name, shows, start, steps));
    }
    let merge = Start { features: start.features | bit::MRG_RXBUF, ..start };
    let twice = (0..3).map(|id| Step::Chain { queue: 0, id, descriptors: list(&[(AT, 30, 2)]) });
    let twice: Vec<_> = twice.chain([Step::frame(0, frames::arp()), Step::wake(0)]).collect();
    seeds.push(("alias-twice", "one buffer three times", merge, twice));
    seeds
        .into_iter()
        .flat_map(|(name, shows, start, steps)| {
            // A header and a frame are no good ring, unless nobody looks there again.
            let split = match name {
                "alias-own-ring" => "VQ-032",
                "alias-transmit" => "VQ-026",
                _ => OK,
            };
            each(name, [split, OK], shows, start, steps)
        })
        .collect()
}

fn indices() -> Vec<Seed> {
    let start = Start::default();
    let far = |queue| {
        let mut steps = ask(&[frames::arp()]);
        steps.insert(2, Step::Advance { queue, by: 300 });
        steps
    };
    let head = |queue| {
        let mut steps = ask(&[frames::arp()]);
        steps.insert(0, Step::Chain { queue, id: 77, descriptors: list(&[]) });
        steps
    };
    let legacy = Start { rings: feature::LEGACY, ..start };
    let odd = Start { sizes: [3; 5], ..start };
    let list_of = |count: usize| vec![(AT, 8, flag::NEXT); count];
    let packed = Start { form: vhost_fuzz_core::ring::Layout::Packed, ..start };
    let endless = Step::Chain { queue: 1, id: 0, descriptors: list(&list_of(16)) };
    let cut = Step::Chain { queue: 1, id: 0, descriptors: list(&list_of(3)) };
    vec![
        one("index-far", "VQ-032", "an index too far ahead", start, far(1)),
        one("index-far-receive", "VQ-032", "the same of the receive queue", start, far(0)),
        one("head", "VQ-023", "a head that is no descriptor", start, head(1)),
        one("head-receive", "VQ-023", "the same of the receive queue", start, head(0)),
        one("legacy", "VQ-067", "rings of a legacy device", legacy, ask(&[frames::arp()])),
        one(
            "legacy",
            "VQ-067",
            "rings of a legacy device",
            Start { form: packed.form, ..legacy },
            ask(&[frames::arp()]),
        ),
        one("size", "VQ-004", "a size that is no power of two", odd, ask(&[frames::arp()])),
        one(
            "size",
            OK,
            "a size that is no power of two",
            Start { form: packed.form, ..odd },
            ask(&[frames::arp()]),
        ),
        one("endless", "PK-012", "a list without an end", packed, [endless, Step::wake(0)]),
        one("list-cut", "PK-015", "a list that is not all there", packed, [cut, Step::wake(0)]),
        one("poked", "VQ-026", "somebody writes to a descriptor", start, {
            let mut steps = ask(&[frames::arp()]);
            let poke = Step::Poke { address: 0x1_0d20, bytes: vec![0; 8].into() };
            steps.insert(2, poke);
            steps
        }),
        one("poked-flags", "VQ-012", "somebody says that there is more of a buffer", with(0), {
            let mut steps = ask(&[frames::arp()]);
            steps.insert(1, Step::Poke { address: 0x1_000c, bytes: vec![3, 0, 1, 0].into() });
            steps
        }),
    ]
}

//! Commands, and what follows from them.

use vhost_fuzz_core::ring::flag;
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::net_device::{Cut, Start, Step, bit, frames};
use vhost_fuzz_harness::ring::step::Descriptor;

use super::{CONTROL, OK, ask, both, command, with};

pub(super) fn seeds() -> Vec<Seed> {
    [filters(), pairs(), others(), shapes()].concat()
}

/// What is obeyed, and then frames.
fn then(commands: &[&[u8]], frames: &[Vec<u8>]) -> Vec<Step<'static>> {
    [command(commands), ask(frames)].concat()
}

fn filters() -> Vec<Seed> {
    let start = with(CONTROL);
    let arp = [frames::arp()];
    let tagged = [frames::arp_on(7)];
    let router = [frames::router(), frames::arp()];
    let table =
        [&[1, 0, 1, 0, 0, 0][..], &[2, 0, 0, 0, 0, 8], &[1, 0, 0, 0, 0x33, 0x33, 0, 0, 0, 1]];
    let table = table.concat();
    [
        both("filter-none", OK, "a frame for the guest passes", start, ask(&arp)),
        both("filter-nouni", OK, "no frame for one station", start, then(&[&[0, 4, 1]], &arp)),
        both("filter-promisc", OK, "every frame", start, then(&[&[0, 4, 1], &[0, 0, 1]], &arp)),
        both(
            "filter-modes",
            OK,
            "every mode",
            start,
            then(&[&[0, 1, 1], &[0, 2, 1], &[0, 3, 1], &[0, 5, 1]], &router),
        ),
        both(
            "filter-mac",
            OK,
            "another address, for which the answer is not",
            start,
            then(&[&[1, 1, 2, 0, 0, 0, 0, 8]], &arp),
        ),
        both("filter-table", OK, "tables of addresses", start, then(&[&table], &router)),
        both("filter-vlan", OK, "a VLAN that was not added", start, ask(&tagged)),
        both("filter-vlan-added", OK, "one that was", start, then(&[&[2, 0, 7, 0]], &tagged)),
        both(
            "filter-vlan-gone",
            OK,
            "and is not any more",
            start,
            then(&[&[2, 0, 7, 0], &[2, 1, 7, 0]], &tagged),
        ),
        both(
            "filter-mode-bad",
            "DC-142",
            "a mode that is neither on nor off",
            start,
            then(&[&[0, 0, 2]], &arp),
        ),
        both(
            "filter-table-short",
            "NET-043",
            "a table that ends early",
            start,
            then(&[&table[..9]], &arp),
        ),
    ]
    .concat()
}

fn pairs() -> Vec<Seed> {
    let start = with(CONTROL);
    let second = [
        Step::post(0, 1, 2048),
        Step::post(1, 1, 2048),
        Step::frame(1, frames::arp()),
        Step::wake(1),
    ];
    let two = [command(&[&[4, 0, 2, 0]]), second.to_vec()].concat();
    let back = [two.clone(), command(&[&[4, 0, 1, 0]]), second.to_vec()].concat();
    [
        both(
            "pair-unused",
            OK,
            "the answer to an unused pair goes to the first",
            start,
            second.clone(),
        ),
        both("pairs", OK, "two pairs, and each has its answers", start, two),
        both("pairs-back", OK, "and then one again", start, back),
        both(
            "pairs-many",
            "NET-047",
            "more pairs than there are",
            start,
            command(&[&[4, 0, 3, 0]]),
        ),
        both("pairs-none", "NET-047", "no pairs", start, command(&[&[4, 0, 0, 0]])),
        both(
            "pairs-refused",
            "NET-039",
            "pairs that were not negotiated",
            with(bit::CTRL_VQ),
            command(&[&[4, 0, 2, 0]]),
        ),
        both(
            "pair-without-control",
            OK,
            "without a control queue both are used",
            Start::default(),
            second,
        ),
    ]
    .concat()
}

fn others() -> Vec<Seed> {
    let start = with(CONTROL | 1 << 1 | 1 << 2 | 1 << 52 | 1 << 53);
    let announced = [
        Step::Announce,
        Step::command(vec![3, 0]),
        Step::Wake { queue: 4 },
        Step::Link { is_up: false },
        Step::Link { is_up: true },
    ];
    let wish: &[u8] = &[6, 2, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0];
    let disabled = [vec![Step::Enable { queue: 1, is_on: false }], command(&[wish])].concat();
    [
        both("announce", OK, "the driver is asked to announce itself, and does", start, announced),
        both(
            "offloads",
            OK,
            "checksums are switched off",
            start,
            then(&[&[5, 0, 0, 0, 0, 0, 0, 0, 0, 0]], &[frames::arp()]),
        ),
        both(
            "offloads-bad",
            "NET-052",
            "what was not negotiated is switched on",
            start,
            command(&[&[5, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]]),
        ),
        both(
            "coalescing",
            OK,
            "how seldom to call, and what was said",
            start,
            command(&[&[6, 0, 1, 0, 0, 0, 2, 0, 0, 0], wish, &[6, 3, 1, 0, 0, 0]]),
        ),
        both(
            "coalescing-bad",
            "NET-050",
            "of a queue that is none for frames",
            start,
            command(&[&[6, 3, 4, 0, 0, 0]]),
        ),
        both("coalescing-disabled", "NET-050", "of a queue that is disabled", start, disabled),
        both("unknown-class", "NET-039", "a class that is none", start, command(&[&[99, 0]])),
        both(
            "short-command",
            "NET-038",
            "a command that ends early",
            start,
            command(&[&[4, 0, 1]]),
        ),
    ]
    .concat()
}

fn shapes() -> Vec<Seed> {
    let start = Start { sizes: [16, 16, 16, 16, 32], ..with(CONTROL) };
    let cut = |cut: u16, room: u16| {
        let bytes = vec![1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 8, 0, 0, 0, 0];
        vec![Step::Command { room, cut: Cut(cut), bytes: bytes.into() }, Step::Wake { queue: 4 }]
    };
    let at = |flags| Descriptor { address: 0x2_0000, len: 8, flags };
    let raw = |flags: u16| {
        let descriptors = [at(flags)].into_iter().collect();
        vec![Step::Chain { queue: 4, id: 0, descriptors }, Step::Wake { queue: 4 }]
    };
    [
        both("command-cut", OK, "a command with one byte in each descriptor", start, cut(1, 0)),
        both("command-table", OK, "one in an indirect table", start, cut(Cut::TABLE | 3, 0)),
        both("command-room", OK, "one with room that nobody needs", start, cut(0, 500)),
        both("command-no-ack", "NET-037", "one without room for its ack", start, raw(0)),
        both("command-nothing", "NET-038", "one without bytes", start, raw(flag::WRITE)),
    ]
    .concat()
}

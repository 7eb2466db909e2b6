//! Properties of a network device: what a careful driver is told, whatever rings there are.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use vhost_fuzz_core::net::device::Device;
use vhost_fuzz_core::ring::Layout as Form;
use vhost_fuzz_harness::net_device::setup::{DHCPV6, Setup};
use vhost_fuzz_harness::net_device::{Cut, Outcome, Start, Step, bit, frames, step};
use vhost_fuzz_harness::ram::Layout;
use vhost_fuzz_harness::target::net_device;

use vhost_fuzz_proptests::number;
use vhost_fuzz_proptests::runner::Suite;

const SCRIPTS: Suite = Suite { target: "net_device", times: 1 };

/// Runs every oracle; the outcome is also that of the model alone.
fn check(input: &[u8]) -> Outcome {
    let outcome = net_device::check::<Device>(input);
    assert_eq!(outcome, net_device::judge(input));
    outcome
}

/// What a guest asks that is always answered.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Arp,
    Echo(usize),
    Discover,
    Request,
    Neighbor,
    Router,
    Echo6(usize),
    Solicit,
}

impl Ask {
    fn frame(self, gateway: [u8; 4]) -> Vec<u8> {
        match self {
            Self::Arp => frames::arp(),
            Self::Echo(len) => frames::echo(len),
            Self::Discover => frames::discover(),
            Self::Request => frames::request(Setup(gateway)),
            Self::Neighbor => frames::neighbor(),
            Self::Router => frames::router(),
            Self::Echo6(len) => frames::echo6(len),
            Self::Solicit => frames::solicit(),
        }
    }
}

fn ask() -> impl Strategy<Value = Ask> + Clone {
    prop_oneof![
        3 => Just(Ask::Arp),
        2 => (0..1200_usize).prop_map(Ask::Echo),
        1 => Just(Ask::Discover),
        1 => Just(Ask::Request),
        1 => Just(Ask::Neighbor),
        1 => Just(Ask::Router),
        1 => (0..1200_usize).prop_map(Ask::Echo6),
        1 => Just(Ask::Solicit),
    ]
}

/// A device on which everything is answered.
fn start() -> impl Strategy<Value = Start> + Clone {
    let features = select(vec![
        0,
        bit::VERSION_1,
        bit::VERSION_1 | bit::HASH_REPORT,
        bit::VERSION_1 | bit::HOST_TUNNELS,
        bit::VERSION_1 | bit::OUT_NET_HEADER,
    ]);
    let layout = select(vec![Layout::Small, Layout::Odd]);
    let first = (layout, any::<bool>(), any::<bool>(), 0..8_u8, features);
    (first, any::<bool>(), 3..=6_u32, any::<u16>()).prop_map(
        |((layout, is_packed, is_swapped, rings, features), merges, size, base)| Start {
            layout,
            form: if is_packed { Form::Packed } else { Form::Split },
            is_swapped,
            rings,
            features: features | if merges { bit::MRG_RXBUF } else { 0 },
            sizes: [1 << size; 5],
            gateway: [DHCPV6, 0, 0, 0],
            base,
            ..Start::default()
        },
    )
}

/// A frame, and how it is sent and received.
#[derive(Clone, Copy, Debug)]
struct Turn {
    ask: Ask,
    cut: Cut,
    pieces: u16,
}

fn turn() -> impl Strategy<Value = Turn> + Clone {
    let cut = prop_oneof![2 => Just(0), 2 => 300..1500_u16, 1 => 1..1500_u16];
    (ask(), cut, any::<bool>(), 1..=4_u16).prop_map(|(ask, cut, is_table, pieces)| Turn {
        ask,
        cut: Cut(if is_table { cut | Cut::TABLE } else { cut }),
        pieces,
    })
}

/// A driver that has one buffer ready for each frame that it sends, and waits for its answer.
fn careful(start: &Start, turns: &[Turn]) -> Vec<Step<'static>> {
    let mut steps = vec![Step::Start(*start)];
    for turn in turns {
        let len = 1600 / turn.pieces;
        let lens: Vec<_> = (0..turn.pieces).flat_map(|_| len.to_le_bytes()).collect();
        let bytes = turn.ask.frame(start.gateway).into();
        steps.push(Step::Post { pair: 0, count: 1, lens: lens.into() });
        steps.push(Step::Send { pair: 0, cut: turn.cut, is_plain: true, bytes });
        steps.push(Step::wake(0));
        // More often than that nobody is answered.
        steps.push(Step::Wait { ms: 10 });
    }
    steps
}

/// Every frame of a careful driver has exactly its answer.
#[test]
fn a_careful_driver_is_always_answered() {
    let cases = (start(), vec(turn(), 1..12));
    let input = |(start, turns): &(Start, Vec<Turn>)| step::encode(&careful(start, turns));
    SCRIPTS.for_all(&cases, input, |(_, turns), input| {
        let outcome = check(input);
        assert_eq!((outcome.replies.len(), outcome.broken), (turns.len(), vec![]));
    });
}

/// What the driver is told does not depend on rings, headers, memory or how it cuts its frames.
#[test]
fn answers_do_not_depend_on_rings() {
    let cases = (start(), start(), vec((ask(), turn(), turn()), 1..8));
    let input = |(start, _, turns): &(Start, Start, Vec<(Ask, Turn, Turn)>)| {
        let turns: Vec<_> =
            turns.iter().map(|(ask, turn, _)| Turn { ask: *ask, ..*turn }).collect();
        step::encode(&careful(start, &turns))
    };
    SCRIPTS.for_all(&cases, input, |(_, other, turns), first| {
        let turns: Vec<_> =
            turns.iter().map(|(ask, _, turn)| Turn { ask: *ask, ..*turn }).collect();
        let second = step::encode(&careful(other, &turns));
        assert_eq!(check(first).replies, check(&second).replies);
    });
}

/// Buffers that are merged hold what one buffer holds.
#[test]
fn merged_buffers_hold_the_same_frames() {
    let cases = (start(), vec(ask(), 1..6), 40..400_u16);
    let steps = |start: &Start, asks: &[Ask], len: u16| {
        let count = u8::try_from(2000_u16.div_ceil(len)).expect("a few");
        let mut steps = vec![Step::Start(*start)];
        for ask in asks {
            steps.extend([
                Step::post(0, count, len),
                Step::frame(0, ask.frame(start.gateway)),
                Step::wake(0),
                Step::Restart { queue: 0, is_fresh: true },
            ]);
        }
        step::encode(&steps)
    };
    let merging = |start: &Start| Start {
        features: start.features | bit::MRG_RXBUF,
        sizes: [64; 5],
        ..*start
    };
    let input = |(start, asks, len): &(Start, Vec<Ask>, u16)| steps(&merging(start), asks, *len);
    SCRIPTS.for_all(&cases, input, |(start, asks, _), merged| {
        let single = Start { features: start.features & !bit::MRG_RXBUF, ..merging(start) };
        let whole = steps(&single, asks, 2000);
        assert_eq!(check(merged).replies, check(&whole).replies);
    });
}

/// Anything that a driver can do: the oracles judge it.
#[test]
fn one_flipped_byte_of_a_careful_script() {
    let cases = (start(), vec(turn(), 1..4), any::<Index>(), 1..=u8::MAX);
    let input = |(start, turns, at, bits): &(Start, Vec<Turn>, Index, u8)| {
        let mut script = step::encode(&careful(start, turns));
        let at = at.index(script.len());
        script[at] ^= bits;
        script
    };
    SCRIPTS.for_all(&cases, input, |_, input| _ = check(input));
}

#[test]
fn arbitrary_bytes_as_actions() {
    // What somebody writes, and what driver and device do.
    let records = vec((7..=9_u8, number::bytes(0..=60)), 0..=30);
    let input = |records: &Vec<(u8, Vec<u8>)>| {
        let mut script = vec![vhost_fuzz_harness::script::VERSION];
        for (kind, body) in records {
            script.push(*kind);
            script.extend(u16::try_from(body.len()).unwrap_or(0).to_le_bytes());
            script.extend(body);
        }
        script
    };
    SCRIPTS.for_all(&records, input, |_, input| _ = check(input));
}

/// What the mutator of the campaigns makes of the corpus.
#[test]
fn children_of_the_corpus() {
    let seeds = vhost_fuzz_harness::corpus::seeds("net_device").expect("a corpus");
    let cases = (any::<Index>(), any::<u32>(), 1..5_usize);
    let input = |(at, number, rounds): &(Index, u32, usize)| {
        let mut data = at.get(&seeds).bytes.clone();
        for round in 0..*rounds {
            let size = data.len();
            data.resize(4096.max(size), 0);
            let number = number.wrapping_add(u32::try_from(round).unwrap_or(0));
            let mutate = vhost_fuzz_harness::mutate::net_device;
            let len = mutate(&mut data, size, 4096, number, &mut |_, size| size);
            data.truncate(len);
        }
        data
    };
    SCRIPTS.for_all(&cases, input, |_, input| _ = check(input));
}

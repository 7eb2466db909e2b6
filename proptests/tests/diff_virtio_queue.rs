//! Properties of two split rings on the same memory.

use std::cell::RefCell;
use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestError, TestRng, TestRunner};

use vhost_fuzz_harness::broken::queue as broken;
use vhost_fuzz_harness::peer::queue::device::{Core, Device};
use vhost_fuzz_harness::peer::queue::divergences::ALLOWED;
use vhost_fuzz_harness::peer::queue::image::{FAR, FAR_LEN};
use vhost_fuzz_harness::peer::queue::walk::Start;
use vhost_fuzz_harness::script::{Actor, Record, encode};
use vhost_fuzz_harness::target::diff_virtio_queue::Stage;

use vhost_fuzz_proptests::number;
use vhost_fuzz_proptests::runner::{Suite, config};
use vhost_fuzz_proptests::script::script;

/// A case takes some 20 µs.
const RINGS: Suite = Suite { target: "diff_virtio_queue", times: 16 };

/// Where indirect tables are.
const TABLE: u64 = 0x8000;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// A descriptor: address, length, flags and next.
type Descriptor = (u64, u32, u16, u16);

fn bytes(descriptors: &[Descriptor]) -> Vec<u8> {
    let one = |&(address, len, flags, next): &Descriptor| {
        let numbers = u128::from(address)
            | u128::from(len) << 64
            | u128::from(flags) << 96
            | u128::from(next) << 112;
        numbers.to_le_bytes()
    };
    descriptors.iter().flat_map(one).collect()
}

/// What happens to a ring.
#[derive(Clone, Debug)]
enum Op {
    /// A ring starts, with both indexes of its memory at its base or as they are.
    Start(Start, bool),
    /// A chain in the ring is made available: its first descriptor, and its buffers.
    Chain(u16, Vec<(u64, u32)>, usize),
    /// The same in a table: bytes more than its entries have, and more flags.
    Table(u16, Vec<(u64, u32)>, usize, u32, u16),
    /// A table of 63 buffers as long as the far region, and another one.
    Far(u16, u32),
    /// Any descriptors in a table.
    Any(u16, Vec<Descriptor>),
    /// Descriptors are written.
    Describe(u16, Vec<Descriptor>),
    /// Heads are made available.
    Offer(Vec<u16>),
    /// A number is written to memory.
    Write(u64, u16),
    /// Any other action.
    Act(Actor, u8, Vec<u8>),
}

/// The descriptors of a chain, whose first has this index.
fn chain(first: u16, buffers: &[(u64, u32)], readable: usize) -> Vec<Descriptor> {
    let last = buffers.len() - 1;
    let one = |(at, &(address, len)): (usize, &(u64, u32))| {
        let flags = if at < readable { 0 } else { WRITE } | if at < last { NEXT } else { 0 };
        (address, len, flags, first + u16::try_from(at + 1).expect("short"))
    };
    buffers.iter().enumerate().map(one).collect()
}

impl Op {
    fn records(&self) -> Vec<Record<'static>> {
        let act = |actor, operation, arguments: Vec<u8>| Record::Action {
            actor,
            operation,
            arguments: arguments.into(),
        };
        let describe = |index: u16, descriptors: &[Descriptor]| {
            act(Actor::Driver, 0, [&index.to_le_bytes()[..], &bytes(descriptors)].concat())
        };
        let offer = |heads: &[u16]| {
            act(Actor::Driver, 1, heads.iter().flat_map(|head| head.to_le_bytes()).collect())
        };
        let write = |address, bytes: Vec<u8>| Record::GuestWrite { address, bytes: bytes.into() };
        match self {
            Self::Start(start, agrees) => {
                let Start { size, features, descriptor, available, used, base } = *start;
                let front = [&size.to_le_bytes()[..], &[features], &base.to_le_bytes()].concat();
                let places = [descriptor, available, used].map(u64::to_le_bytes).concat();
                let index =
                    |address: u64| write(address.wrapping_add(2), base.to_le_bytes().into());
                let mut records = Vec::new();
                if *agrees {
                    records.extend([index(available), index(used)]);
                }
                records.push(act(Actor::Device, 0, [front, places].concat()));
                records
            }
            Self::Chain(first, buffers, readable) => {
                vec![describe(*first, &chain(*first, buffers, *readable)), offer(&[*first])]
            }
            Self::Table(head, buffers, readable, more, flags) => {
                let table = chain(0, buffers, *readable);
                let len = 16 * u32::try_from(table.len()).expect("short") + more;
                vec![
                    write(TABLE, bytes(&table)),
                    describe(*head, &[(TABLE, len, INDIRECT | flags, *head)]),
                    offer(&[*head]),
                ]
            }
            Self::Far(head, last) => {
                let far = u32::try_from(FAR_LEN).expect("64 MiB");
                let mut buffers = vec![(FAR, far); 63];
                buffers.push((FAR, *last));
                Self::Table(*head, buffers, 64, 0, 0).records()
            }
            Self::Any(head, table) => {
                let len = 16 * u32::try_from(table.len()).expect("short");
                vec![
                    write(TABLE, bytes(table)),
                    describe(*head, &[(TABLE, len, INDIRECT, 0)]),
                    offer(&[*head]),
                ]
            }
            Self::Describe(index, descriptors) => vec![describe(*index, descriptors)],
            Self::Offer(heads) => vec![offer(heads)],
            Self::Write(address, number) => vec![write(*address, number.to_le_bytes().into())],
            Self::Act(actor, operation, arguments) => {
                vec![act(*actor, *operation, arguments.clone())]
            }
        }
    }
}

/// Where a ring of a size is: in the middle of a region nearly always.
fn places(size: u16) -> impl Strategy<Value = [u64; 3]> + Clone {
    let size = u64::from(size);
    prop_oneof![
        20 => Just([0x1000, 0x6000, 0xc000]),
        2 => Just([0x4fd0, 0x6000, 0x4ff8]),
        2 => Just([0x1000, 0x5002, 0x6000]),
        1 => Just([0x1000, 0, 0x3000]),
        1 => Just([0x1000, 0x2000, 0xa000 - 4 - 8 * size]),
        1 => Just([0x1000, 0xa000 - 4 - 2 * size, 0x2000]),
        1 => Just([0x1000, 0x2000, 0xdff8]),
        1 => Just([0x1000, 0x1000, 0x1008]),
        1 => (0..0x400_u64, 0..0x400_u64, 0..0x400_u64)
            .prop_map(|(a, b, c)| [a * 64, b * 64 + 2, c * 64 + 4]),
    ]
}

fn start() -> impl Strategy<Value = Op> + Clone {
    let size = prop_oneof![
        12 => select(vec![16, 16, 16, 32, 128, 8, 4, 2, 1_u16]),
        1 => number::u16(),
    ];
    // INDIRECT_DESC and VERSION_1 nearly always, EVENT_IDX every other time.
    let features = select(vec![2, 3, 2, 3, 2, 3, 0, 1, 6, 7, 4, 8, 15_u8]);
    let base =
        prop_oneof![3 => Just(0), 2 => select(vec![0xfffe, 0xffff, 0x7fff]), 1 => number::u16()];
    (size, features, base, prop::bool::weighted(0.9)).prop_flat_map(
        |(size, features, base, agrees)| {
            places(size.min(1024)).prop_map(move |[descriptor, available, used]| {
                let start = Start { size, features, descriptor, available, used, base };
                Op::Start(start, agrees)
            })
        },
    )
}

fn buffer() -> impl Strategy<Value = (u64, u32)> + Clone {
    let address = prop_oneof![
        16 => (0..64_u64).prop_map(|at| 0x7000 + 16 * at),
        2 => select(vec![0x5000, 0x4ffc, 0xdffe, 0x9ff0, 0xc000, FAR]),
        1 => select(vec![0xa000, 0xb000, 0x9ff9, u64::MAX, u64::MAX - 7]),
        1 => number::u64(),
    ];
    let len = prop_oneof![
        12 => 1..=32_u32,
        4 => Just(0),
        2 => select(vec![300, 0x1000, 0x6000]),
        1 => number::u32(),
    ];
    (address, len)
}

fn head() -> impl Strategy<Value = u16> + Clone {
    prop_oneof![20 => 0..8_u16, 1 => 0..130_u16, 1 => number::u16()]
}

fn descriptor() -> impl Strategy<Value = Descriptor> + Clone {
    let flags = prop_oneof![8 => select(vec![0, 1, 2, 3, 4, 5, 6]), 1 => number::u16()];
    (buffer(), flags, head()).prop_map(|((address, len), flags, next)| (address, len, flags, next))
}

fn chains() -> impl Strategy<Value = Op> + Clone {
    let buffers = || (vec(buffer(), 1..=5), any::<Index>());
    let split = |(buffers, at): (Vec<_>, Index)| {
        let readable = at.index(buffers.len() + 1);
        (buffers, readable)
    };
    let more = prop_oneof![
        8 => Just(0),
        1 => select(vec![8, 16, 16 * 1024, 16 * 65536, 0x2000, u32::MAX - 100]),
    ];
    let flags = select(vec![0, 0, 0, 0, WRITE, NEXT]);
    let far = u32::try_from(FAR_LEN).expect("64 MiB");
    prop_oneof![
        8 => (head(), buffers()).prop_map(move |(first, buffers)| {
            let (buffers, readable) = split(buffers);
            Op::Chain(first.min(0xff00), buffers, readable)
        }),
        4 => (head(), buffers(), more, flags).prop_map(move |(head, buffers, more, flags)| {
            let (buffers, readable) = split(buffers);
            Op::Table(head, buffers, readable, more, flags)
        }),
        1 => (0..8_u16, select(vec![far - 1, far, far, far + 1]))
            .prop_map(|(head, last)| Op::Far(head, last)),
        2 => (head(), vec(descriptor(), 1..=3))
            .prop_map(|(index, descriptors)| Op::Describe(index, descriptors)),
        2 => (head(), vec(descriptor(), 1..=3)).prop_map(|(head, table)| Op::Any(head, table)),
    ]
}

fn device(operation: u8, arguments: Vec<u8>) -> Op {
    Op::Act(Actor::Device, operation, arguments)
}

fn driver(operation: u8, number: u16) -> Op {
    Op::Act(Actor::Driver, operation, number.to_le_bytes().into())
}

fn op() -> impl Strategy<Value = Op> + Clone {
    let near =
        prop_oneof![8 => 0..12_u16, 1 => select(vec![0xfffe, 0xffff, 0]), 1 => number::u16()];
    let fill = prop_oneof![Just(0), 1..=64_u16];
    let take = (0..4_u8, fill).prop_map(|(limit, fill)| {
        let [low, high] = fill.to_le_bytes();
        device(1, vec![limit, low, high])
    });
    let put =
        (0..3_u8, select(vec![0, 1, 1, 2, 255])).prop_map(|(at, count)| device(2, vec![at, count]));
    let put_len = (0..2_u8, 0..40_u32)
        .prop_map(|(at, len)| device(2, [&[at, 1][..], &len.to_le_bytes()].concat()));
    prop_oneof![
        8 => chains(),
        8 => take,
        6 => put,
        1 => put_len,
        2 => near.clone().prop_map(|event| driver(2, event)),
        2 => (0..4_u16).prop_map(|flags| driver(3, flags)),
        2 => Just(device(3, vec![])),
        1 => Just(device(4, vec![])),
        2 => (0..3_u8).prop_map(|how| device(5, vec![how])),
        1 => vec(head(), 1..=9).prop_map(Op::Offer),
        1 => near.prop_map(|index| Op::Write(0x6002, index)),
        1 => start(),
    ]
}

/// Chains that are taken and given back, or one thing that happens.
fn step() -> impl Strategy<Value = Vec<Op>> + Clone {
    let take = prop_oneof![Just(vec![0]), (1..=64_u8).prop_map(|fill| vec![0, fill, 0])];
    let round = (vec(chains(), 1..=3), take).prop_map(|(mut ops, take)| {
        ops.extend([device(1, take), device(2, vec![0, u8::MAX])]);
        ops
    });
    prop_oneof![round, op().prop_map(|op| vec![op])]
}

fn session() -> impl Strategy<Value = Vec<Op>> + Clone {
    (start(), vec(step(), 0..=16)).prop_map(|(start, steps)| {
        std::iter::once(start).chain(steps.into_iter().flatten()).collect()
    })
}

fn flat(ops: &[Op]) -> Vec<u8> {
    let records: Vec<_> = ops.iter().flat_map(Op::records).collect();
    encode(&records)
}

#[test]
fn rings_that_make_sense() {
    let stage = RefCell::new(Stage::<Core>::default());
    let chains = RefCell::new(0);
    RINGS.for_all(
        &session(),
        |session| flat(session),
        |_, input| {
            *chains.borrow_mut() += stage.borrow_mut().check(input).chains;
        },
    );
    assert!(chains.into_inner() > 1000, "most rings have chains that both take");
}

#[test]
fn arbitrary_scripts() {
    let stage = RefCell::new(Stage::<Core>::default());
    let records = |(session, script): &(Vec<Op>, Vec<Record<'static>>)| {
        let ops = session.iter().flat_map(Op::records);
        encode(&script.iter().cloned().chain(ops).collect::<Vec<_>>())
    };
    RINGS.for_all(&(session(), script()), records, |_, input| {
        stage.borrow_mut().check(input);
    });
}

#[test]
fn one_flipped_byte_of_a_session() {
    let stage = RefCell::new(Stage::<Core>::default());
    let flipped = (session(), any::<Index>(), 1..=u8::MAX);
    let input = |(session, at, bits): &(Vec<Op>, Index, u8)| {
        let mut script = flat(session);
        let at = at.index(script.len());
        script[at] ^= bits;
        script
    };
    RINGS.for_all(&flipped, input, |_, input| {
        stage.borrow_mut().check(input);
    });
}

#[test]
fn arbitrary_bytes() {
    let stage = RefCell::new(Stage::<Core>::default());
    RINGS.for_all(&number::bytes(0..=500), Vec::clone, |_, input| {
        stage.borrow_mut().check(input);
    });
}

#[test]
fn a_stage_that_was_used_judges_like_a_new_one() {
    let used = RefCell::new(Stage::<Core>::default());
    let once = Suite { times: 1, ..RINGS };
    let two = (session(), session());
    once.for_all(
        &two,
        |(_, second)| flat(second),
        |(first, _), input| {
            used.borrow_mut().check(&flat(first));
            let mut new = Stage::<Core>::default();
            assert_eq!(used.borrow_mut().check(input), new.check(input));
        },
    );
}

/// Draws sessions until `see` has seen enough.
fn draw(count: usize, mut see: impl FnMut(&[u8]) -> bool) {
    let rng = TestRng::deterministic_rng(config().rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config(), rng);
    for _ in 0..count {
        let case = session().new_tree(&mut runner).expect("a session").current();
        if see(&flat(&case)) {
            return;
        }
    }
}

#[test]
fn sessions_reach_every_row_of_the_divergences() {
    let mut stage = Stage::<Core>::default();
    let mut seen = BTreeSet::new();
    let mut deep = 0;
    draw(20_000, |input| {
        let tally = stage.check(input);
        deep += usize::from(tally.chains > 2);
        seen.extend(tally.shapes.iter().map(|shape| format!("{shape:?}")));
        seen.len() == ALLOWED.len() && deep > 1000
    });
    for row in ALLOWED {
        assert!(seen.contains(&format!("{:?}", row.shape)), "{row:?} was not reached");
    }
    assert!(deep > 1000, "{deep} sessions with three chains that both take");
}

/// The oracle that speaks first on drawn sessions.
fn caught<D: Device>() -> Option<String> {
    let rng = TestRng::deterministic_rng(config().rng_algorithm);
    let mut runner = TestRunner::new_with_rng(Config { max_shrink_iters: 0, ..config() }, rng);
    let stage = RefCell::new(Stage::<D>::default());
    (0..4000).find_map(|_| {
        let case = session().new_tree(&mut runner).expect("a session");
        let result = runner.run_one(case, |case| {
            stage.borrow_mut().check(&flat(&case));
            stage.borrow_mut().end();
            Ok(())
        });
        let Err(TestError::Fail(reason, _)) = result else { return None };
        reason.message().split_once(':').map(|(oracle, _)| oracle.to_owned())
    })
}

macro_rules! assert_caught {
    ($($twin:ident by $oracle:literal),* $(,)?) => {$(
        assert_eq!(caught::<broken::$twin>().as_deref(), Some($oracle), stringify!($twin));
    )*};
}

#[test]
fn sessions_catch_every_broken_ring() {
    assert_eq!(caught::<Core>(), None);
    assert_caught! {
        FollowsAnyNext by "differential",
        EndsLoops by "differential",
        EndsAtTables by "differential",
        IgnoresHoles by "differential",
        RefusesNothing by "differential",
        RefusesAllBytes by "differential",
        SleepsOnBadIndexes by "differential",
        TakesOne by "differential",
        EndsTablesEarly by "differential",
        SwapsDirections by "differential",
        ReadsOneBuffer by "differential",
        CountsOneMore by "differential",
        WritesOneLess by "differential",
        ReportsOneLess by "ring ledger",
        ReportsAnything by "differential",
        LosesDropped by "ring ledger",
        ComparesWithoutWrap by "differential",
        IgnoresTheFlag by "differential",
        TrustsTheStart by "differential",
        ForgetsAvailEvent by "differential",
        LosesWakeUps by "differential",
        NeverDisarms by "differential",
        KeepsFlags by "differential",
        BeginsAtZero by "differential",
        WritesElsewhere by "differential",
    }
}

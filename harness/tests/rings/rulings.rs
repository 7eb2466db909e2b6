//! What this project decided about rings, shown by scripts on both layouts: DC-078 to DC-088.

use vhost_fuzz_core::ring::{Layout, PackedQueue, SplitQueue, flag};
use vhost_fuzz_harness::evidence;
use vhost_fuzz_harness::ring::step::{Descriptor, Start, feature};
use vhost_fuzz_harness::ring::{Device, Outcome, Run, Step, Watch};
use vhost_fuzz_model::Id;

/// Runs steps on a ring, watched in both ways; the model and every oracle agree with it.
fn run<D: Device>(steps: &[Step<'static>]) -> Outcome {
    let [first, second] = [Watch::Closely, Watch::Lightly]
        .map(|watch| Run::<D>::default().steps(watch, steps.iter().cloned()));
    assert_eq!(first.broken, second.broken, "it does not matter how it is watched");
    second
}

/// A ring of 8 entries that begins at its beginning.
fn start(form: Layout) -> Start {
    Start::of(8, if form == Layout::Split { 0 } else { 0x8000_8000 })
}

fn chain(id: u16, buffers: &[(u64, u32, u16)]) -> Step<'static> {
    let last = buffers.len().saturating_sub(1);
    let linked = buffers.iter().enumerate().map(|(at, &(address, len, flags))| {
        let next = if at < last { flag::NEXT } else { 0 };
        Descriptor { address, len, flags: flags | next }
    });
    Step::Chain { id, descriptors: linked.collect() }
}

/// Somewhere in memory that is no part of the ring.
const GOOD: u64 = 0x1_1000;

/// No memory.
const NOWHERE: u64 = 0x9_0000;

#[test]
fn the_first_thing_that_is_wrong_is_the_verdict() {
    let _shows = evidence::shows(&["DC-078"]);
    // Outside of memory first, then readable after writable: and the other way round.
    for (buffers, split, packed) in [
        ([(NOWHERE, 1, flag::WRITE), (GOOD, 1, 0)], Id::Vq(26), Id::Pk(41)),
        ([(GOOD, 1, flag::WRITE), (NOWHERE, 1, 0)], Id::Vq(12), Id::Pk(13)),
    ] {
        let pop = [Step::Wake, Step::Pop { count: 2 }];
        let steps = |form| [&[Step::Start(start(form)), chain(0, &buffers)][..], &pop].concat();
        assert_eq!(run::<SplitQueue>(&steps(Layout::Split)).broken, [split]);
        assert_eq!(run::<PackedQueue>(&steps(Layout::Packed)).broken, [packed]);
    }
}

#[test]
fn an_empty_buffer_has_its_place_in_the_order() {
    let _shows = evidence::shows(&["DC-079"]);
    let steps = |form, empty: (u64, u32, u16)| {
        let buffers = [(GOOD, 1, flag::WRITE), empty];
        [Step::Start(start(form)), chain(0, &buffers), Step::Pop { count: 1 }]
    };
    let readable = (NOWHERE, 0, 0);
    assert_eq!(run::<SplitQueue>(&steps(Layout::Split, readable)).broken, [Id::Vq(12)]);
    assert_eq!(run::<PackedQueue>(&steps(Layout::Packed, readable)).broken, [Id::Pk(13)]);
    let writable = (NOWHERE, 0, flag::WRITE);
    assert_eq!(run::<SplitQueue>(&steps(Layout::Split, writable)).broken, []);
    assert_eq!(run::<PackedQueue>(&steps(Layout::Packed, writable)).broken, []);
}

#[test]
fn a_ring_starts_with_at_most_its_size_in_flight() {
    let _shows = evidence::shows(&["DC-080"]);
    // The upper half of the base of a split ring is the used index in memory.
    let split = |base| run::<SplitQueue>(&[Step::Start(Start::of(8, base))]).broken;
    assert_eq!((split(0x0003_000b), split(0x0003_0003)), (vec![], vec![]));
    assert_eq!((split(0x0003_000c), split(0x0003_0002)), (vec![Id::Vq(32)], vec![Id::Vq(32)]));
    let packed = |base| run::<PackedQueue>(&[Step::Start(Start::of(8, base))]).broken;
    assert_eq!((packed(0x8003_8003), packed(0x8003_0003)), (vec![], vec![]));
    assert_eq!(packed(0x8003_8002), [Id::Pk(39)]);
}

#[test]
fn a_wake_up_ends_after_as_many_chains_as_entries() {
    let _shows = evidence::shows(&["DC-081"]);
    let one = || chain(0, &[(GOOD, 1, 0)]);
    let mut steps = vec![Step::Start(Start::of(1, 0))];
    for _ in 0..3 {
        // The second in the same wake-up gets none, although it is available.
        steps.extend([one(), Step::Wake, Step::Pop { count: 1 }, Step::Put { which: 0, len: 0 }]);
        steps.extend([Step::Publish, one(), Step::Pop { count: 1 }, Step::Wake]);
        steps.extend([Step::Pop { count: 1 }, Step::Put { which: 0, len: 0 }, Step::Publish]);
    }
    assert_eq!(run::<SplitQueue>(&steps).broken, []);
}

#[test]
fn what_is_not_published_is_out() {
    let _shows = evidence::shows(&["DC-082"]);
    let steps = |form: Layout, is_published: bool| {
        let mut steps = vec![Step::Start(start(form))];
        steps.extend((0..8).map(|id| chain(id, &[(GOOD, 1, 0)])));
        steps.push(Step::Pop { count: 8 });
        steps.extend((0..8).map(|_| Step::Put { which: 0, len: 0 }));
        if is_published {
            steps.push(Step::Publish);
        }
        steps.extend([chain(0, &[(GOOD, 1, 0)]), Step::Wake, Step::Pop { count: 1 }]);
        steps
    };
    assert_eq!(run::<SplitQueue>(&steps(Layout::Split, false)).broken, [Id::Vq(33)]);
    assert_eq!(run::<SplitQueue>(&steps(Layout::Split, true)).broken, []);
    assert_eq!(run::<PackedQueue>(&steps(Layout::Packed, false)).broken, [Id::Pk(29)]);
    assert_eq!(run::<PackedQueue>(&steps(Layout::Packed, true)).broken, []);
}

#[test]
fn a_malformed_chain_waits_for_its_turn() {
    let _shows = evidence::shows(&["DC-083"]);
    let steps = |form: Layout| {
        let mut start = start(form);
        start.features |= feature::IN_ORDER;
        [
            Step::Start(start),
            chain(0, &[(GOOD, 1, 0)]),
            chain(1, &[(NOWHERE, 1, 0)]),
            chain(2, &[(GOOD, 1, flag::WRITE)]),
            Step::Pop { count: 3 },
            Step::Put { which: 1, len: 0 },
            Step::Put { which: 2, len: 1 },
            Step::Batch { count: 3, len: 1 },
            Step::Publish,
        ]
    };
    assert_eq!(run::<SplitQueue>(&steps(Layout::Split)).broken, [Id::Vq(26)]);
    assert_eq!(run::<PackedQueue>(&steps(Layout::Packed)).broken, [Id::Pk(41)]);
}

#[test]
fn a_malformed_list_is_followed_to_its_end() {
    let _shows = evidence::shows(&["DC-084"]);
    let steps = [
        Step::Start(start(Layout::Packed)),
        chain(5, &[(NOWHERE, 1, 0), (GOOD, 1, 0), (NOWHERE, 2, 0)]),
        chain(6, &[(GOOD, 4, 0)]),
        Step::Pop { count: 2 },
        Step::Put { which: 0, len: 0 },
        Step::Put { which: 0, len: 0 },
        Step::Publish,
        Step::Restart { is_fresh: false },
        chain(7, &[(GOOD, 4, 0)]),
        Step::Pop { count: 1 },
    ];
    assert_eq!(run::<PackedQueue>(&steps).broken, [Id::Pk(41)]);
}

#[test]
fn the_first_publish_is_told_whatever_the_driver_wants() {
    let _shows = evidence::shows(&["DC-088"]);
    // The model demands it of each publish; a driver that wants no call is called once.
    for form in [Layout::Split, Layout::Packed] {
        let mut start = start(form);
        start.features = 0;
        let round = [
            chain(0, &[(GOOD, 1, 0)]),
            Step::Pop { count: 1 },
            Step::Put { which: 0, len: 0 },
            Step::Publish,
        ];
        let quiet = [Step::Start(start), Step::Wish { flags: 1, event: 0 }];
        let steps = [&quiet[..], &round, &round, &[Step::Restart { is_fresh: false }], &round];
        let steps = steps.concat();
        let outcome = match form {
            Layout::Split => run::<SplitQueue>(&steps),
            Layout::Packed => run::<PackedQueue>(&steps),
        };
        assert_eq!(outcome.broken, []);
    }
}

/// A part that wraps is judged with its alignment, before any other part.
#[test]
fn addresses_are_judged_part_by_part() {
    for form in [Layout::Split, Layout::Packed] {
        let good = start(form);
        let [descriptor, driver, device] = good.parts;
        for (parts, split, packed) in [
            ([u64::MAX - 15, driver + 1, device], Id::Vq(5), Id::Vq(5)),
            ([descriptor + 1, driver, u64::MAX - 3], Id::Vq(1), Id::Pk(1)),
            ([descriptor, driver + 1, u64::MAX - 3], Id::Vq(5), Id::Vq(5)),
        ] {
            let steps = [Step::Start(Start { parts, ..good })];
            match form {
                Layout::Split => assert_eq!(run::<SplitQueue>(&steps).broken, [split]),
                Layout::Packed => assert_eq!(run::<PackedQueue>(&steps).broken, [packed]),
            }
        }
    }
}

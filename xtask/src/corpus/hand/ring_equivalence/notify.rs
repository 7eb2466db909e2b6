//! Kicks and calls.

use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::equivalence::driver::Wish;

use super::{ALL, EVENTS, History, NOTHING, ORDER, pieces};

pub(super) fn seeds() -> Vec<Seed> {
    [kicks(), calls()].concat()
}

fn kicks() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (features, suffix) in [(NOTHING, ""), (EVENTS, "-with-events")] {
        let begin = || History::new(8, 7, features);
        seeds.push(
            begin()
                .arm()
                .offer(1, 8, 8, 0)
                .offer(1, 8, 8, 0)
                .take(1)
                .arm()
                .take(1)
                .serve(2, 8)
                .arm()
                .reap()
                .offer(2, 8, 8, 0)
                .take(2)
                .arm()
                .seed(
                    &format!("kicks{suffix}"),
                    "a device that sleeps, is kicked, finds more to do when it asks, and sleeps",
                ),
        );
        seeds.push(
            begin()
                .disarm()
                .offer(2, 8, 8, 0)
                .take(1)
                .offer(1, 8, 8, 0)
                .take(3)
                .arm()
                .serve(3, 8)
                .disarm()
                .reap()
                .offer(1, 8, 8, 0)
                .arm()
                .take(1)
                .arm()
                .seed(
                    &format!("no-kicks{suffix}"),
                    "a device that looks by itself, and asks for kicks when there is nothing more",
                ),
        );
    }
    seeds
}

fn calls() -> Vec<Seed> {
    let one = |history: History| history.offer(1, 8, 8, 0).take(1).serve(1, 8);
    let three = |history: History| history.times(3, one).reap();
    vec![
        three(three(three(History::new(8, 8, NOTHING)).want(Wish::Never)).want(Wish::Always))
            .seed("calls", "calls that are wanted, not wanted, and wanted again (VQ-043, VQ-044)"),
        three(three(three(History::new(8, 8, EVENTS)).want(Wish::Never)).want(Wish::Always)).seed(
            "calls-with-events",
            "the same with event indices: nothing is wanted by one that is behind",
        ),
        three(three(History::at(4, 3, EVENTS, 0xfffe).want(Wish::After(1))).want(Wish::After(2)))
            .want(Wish::After(0))
            .round(1, (8, 8), 0)
            .seed("calls-after", "calls after one and two more, over the wrap of both rings"),
        History::new(8, 8, EVENTS)
            .round(1, (8, 8), 0)
            .want(Wish::After(3))
            .round(2, (20, 20), pieces(3, 1))
            .seed(
                "calls-of-slots",
                "a slot in a list that is used comes earlier than a third request",
            ),
        History::new(8, 8, EVENTS)
            .round(1, (8, 8), 0)
            .want(Wish::After(2))
            .offer(5, 8, 8, 0)
            .take(5)
            .complete(0, 8)
            .complete(0, 8)
            .complete(0, 8)
            .show()
            .complete(0, 8)
            .show()
            .serve(1, 8)
            .reap()
            .seed("calls-in-a-batch", "an event index inside what is shown at once (VQ-045)"),
        History::new(4, 4, EVENTS)
            .round(4, (8, 0), 0)
            .want(Wish::After(3))
            .offer(4, 8, 0, 0)
            .take(4)
            .times(4, |history| history.complete(0, 0))
            .show()
            .reap()
            .seed(
                "calls-of-a-lap",
                "a whole lap is shown at once: old and new slot are the same (PK-034)",
            ),
        History::new(8, 6, ALL)
            .round(1, (8, 8), 0)
            .want(Wish::After(2))
            .offer(4, 8, 0, 0)
            .take(4)
            .batch(4, 0)
            .show()
            .reap()
            .want(Wish::After(200))
            .offer(2, 8, 0, 0)
            .take(2)
            .batch(2, 0)
            .show()
            .reap()
            .seed(
                "calls-for-batches",
                "an index in the middle of a batch, and one that is far away",
            ),
        History::new(8, 8, ORDER)
            .want(Wish::After(1))
            .round(3, (8, 8), 0)
            .restart()
            .want(Wish::Never)
            .round(2, (8, 8), 0)
            .seed(
                "first-call",
                "the first update after a start calls, whatever is wanted (VQ-050)",
            ),
    ]
}

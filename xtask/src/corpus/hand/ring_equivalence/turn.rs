//! Rings that are gone round, that are full, and that stop and start.

use vhost_fuzz_harness::corpus::Seed;

use super::{ALL, EVENTS, History, MIXED, NOTHING, ORDER, SHUFFLED, TABLES, pieces};

pub(super) fn seeds() -> Vec<Seed> {
    [round(), order(), full(), restarts()].concat()
}

/// Laps and wraps.
fn round() -> Vec<Seed> {
    let one = |history: History| history.round(1, (8, 8), 0).arm();
    vec![
        History::new(8, 8, NOTHING)
            .times(4, one)
            .seed("one-after-another", "requests that go round one by one, each with a kick"),
        History::new(1, 1, EVENTS)
            .times(3, |history| history.round(1, (8, 0), 0).arm().round(1, (0, 8), 0))
            .seed("rings-of-one", "rings of one entry, which every request fills"),
        History::new(2, 3, EVENTS)
            .times(6, one)
            .seed("short-laps", "rings of two and of three entries, gone round a few times"),
        History::at(4, 5, EVENTS, 0xfffd).times(5, one).seed(
            "index-wraps",
            "indices from 65,533 over 0, with event indices on both sides of it",
        ),
        History::at(256, 255, NOTHING, 0xffff)
            .round(9, (20, 30), pieces(3, 2))
            .arm()
            .seed("index-wraps-in-a-batch", "a batch of nine whose indices go from 65,535 over 0"),
        History::at(8, 7, TABLES, 0x7fff)
            .round(3, (30, 30), pieces(2, 2))
            .round(3, (30, 30), MIXED | pieces(2, 2))
            .seed("index-passes-half", "indices over 32,768, and a slot in the middle of a ring"),
        History::at(8, 5, ORDER, 0x8004).times(4, |history| history.round(2, (9, 0), 0)).seed(
            "second-lap",
            "a packed ring that starts at its last slot, in a lap whose wrap counter is 0",
        ),
    ]
}

/// Completions in another order than the requests.
fn order() -> Vec<Seed> {
    vec![
        History::new(8, 8, EVENTS)
            .offer(5, 10, 20, pieces(1, 1))
            .take(5)
            .complete(4, 20)
            .complete(2, 0)
            .show()
            .reap()
            .complete(1, 7)
            .show()
            .complete(1, 8)
            .complete(0, 20)
            .show()
            .reap()
            .seed("last-first", "five requests of which the last is completed first"),
        History::new(16, 11, NOTHING)
            .offer(3, 12, 24, pieces(3, 1))
            .take(3)
            .complete(2, 24)
            .show()
            .reap()
            .offer(1, 12, 24, pieces(2, 1))
            .take(1)
            .complete(2, 3)
            .complete(0, 5)
            .show()
            .reap()
            .seed(
                "slots-of-others",
                "a used descriptor over the slots of a request that is still in flight",
            ),
        History::new(32, 31, TABLES)
            .times(3, |history| {
                history.offer(4, 40, 40, SHUFFLED | pieces(3, 2)).take(4).complete(3, 40).show()
            })
            .reap()
            .seed("left-behind", "rounds that each leave three requests with the device"),
        History::new(8, 8, ORDER)
            .offer(4, 6, 6, 0)
            .take(2)
            .complete(1, 6)
            .take(2)
            .complete(3, 2)
            .complete(0, 0)
            .show()
            .reap()
            .seed("kept-order", "completions of which IN_ORDER decides the order"),
        History::new(8, 9, ORDER)
            .offer(5, 9, 0, pieces(1, 1))
            .take(5)
            .batch(5, 0)
            .show()
            .reap()
            .offer(4, 9, 0, pieces(2, 1))
            .take(4)
            .batch(3, 0)
            .batch(1, 0)
            .show()
            .reap()
            .seed("batches", "batches of requests that cannot be written to (VQ-058, PK-031)"),
        History::at(4, 6, ALL, 0xfffe)
            .offer(3, 9, 0, 0)
            .request(4, 8, pieces(2, 1))
            .offer(1, 4, 8, 0)
            .take(4)
            .batch(4, 8)
            .show()
            .reap()
            .offer(2, 1, 1, pieces(1, 1))
            .take(3)
            .batch(3, 1)
            .batch(3, 1)
            .show()
            .reap()
            .seed(
                "batch-ends-at-a-writable-one",
                "a batch over the end of both rings, whose last request is written to (VQ-059)",
            ),
    ]
}

/// As much as goes in.
fn full() -> Vec<Seed> {
    vec![
        History::new(8, 5, NOTHING)
            .times(4, |history| history.round(1, (40, 40), pieces(3, 2)))
            .seed("list-fills-the-ring", "lists of five in a ring of five, one lap each"),
        History::new(8, 8, NOTHING)
            .round(1, (4, 4), pieces(1, 1))
            .times(3, |history| history.round(1, (40, 40), pieces(4, 4)))
            .seed("chain-fills-the-ring", "eight descriptors in rings of eight, not from slot 0"),
        History::new(8, 7, EVENTS)
            .times(5, |history| history.round(1, (30, 30), pieces(3, 2)))
            .round(2, (30, 0), pieces(3, 1))
            .seed(
                "list-over-the-end",
                "lists of five in a ring of seven, most of them over its end",
            ),
        History::new(4, 6, NOTHING)
            .offer(9, 5, 5, 0)
            .take(3)
            .serve(2, 5)
            .offer(1, 5, 5, 0)
            .reap()
            .offer(3, 5, 5, 0)
            .take(9)
            .serve(9, 5)
            .reap()
            .seed("no-room", "more requests than go in: what does not fit is forgotten on both"),
        History::new(2, 2, EVENTS)
            .offer(2, 3, 0, 0)
            .take(1)
            .serve(1, 3)
            .reap()
            .offer(1, 3, 0, 0)
            .take(9)
            .serve(2, 3)
            .reap()
            .offer(2, 3, 0, 0)
            .take(9)
            .arm()
            .seed("gives-way", "a device that takes as many as the ring has, and looks again"),
        History::new(128, 100, TABLES)
            .offer(47, 4, 4, pieces(1, 1))
            .take(47)
            .times(6, |history| history.complete(5, 4).complete(0, 2))
            .show()
            .reap()
            .seed("many-in-flight", "47 requests at a time"),
    ]
}

/// Stops and starts.
fn restarts() -> Vec<Seed> {
    vec![
        History::new(8, 6, EVENTS)
            .round(3, (8, 8), pieces(2, 1))
            .restart()
            .round(3, (8, 8), pieces(2, 1))
            .arm()
            .restart()
            .round(1, (8, 8), 0)
            .seed("stop-and-start", "rings that stop with nothing in flight and go on there"),
        History::at(4, 7, NOTHING, 0xfffe)
            .offer(3, 8, 8, 0)
            .restart()
            .take(2)
            .serve(2, 8)
            .restart()
            .arm()
            .take(1)
            .serve(1, 8)
            .reap()
            .seed("start-with-work", "rings that stop while requests wait for the device"),
        History::new(8, 8, ORDER)
            .offer(2, 8, 0, 0)
            .take(2)
            .restart()
            .batch(1, 0)
            .restart()
            .show()
            .restart()
            .batch(1, 0)
            .show()
            .restart()
            .reap()
            .round(2, (8, 8), 0)
            .seed("no-stop-in-flight", "stops that have to wait: something is in flight"),
        seed_of_two_lives(),
    ]
}

fn seed_of_two_lives() -> Seed {
    let first = History::new(8, 8, EVENTS).offer(3, 5, 5, 0).take(2).complete(1, 5);
    let second = History::at(2, 3, ALL, 0x1234).round(2, (5, 5), 0);
    let mut both = first;
    both.0.extend(second.0);
    both.offer(1, 5, 5, 0).seed(
        "two-lives",
        "rings that start over with another size and other features, with requests in flight",
    )
}

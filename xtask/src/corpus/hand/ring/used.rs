//! Giving buffers back: lengths, orders, batches.

use vhost_fuzz_core::ring::Layout as Form;
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::ring::step::{Start, feature};

use super::{OK, Script, fresh, linked, pick, readable, writable};

const IN_ORDER: u8 = feature::IN_ORDER | feature::EVENT_IDX | feature::INDIRECT;

pub(super) fn seeds(form: Form) -> Vec<Seed> {
    [
        lengths(form),
        orders(form),
        taken_back(form),
        in_order(form),
        batches(form),
        other_batches(form),
    ]
    .concat()
}

impl Script {
    /// A malformed chain.
    fn bad(self, id: u16) -> Self {
        self.chain(id, &[readable(0x1_c800, 4)])
    }

    /// So many chains that the device only reads are taken.
    fn quiet_ones(self, count: u8) -> Self {
        self.times(count.into(), Self::quiet).wake().pop(count)
    }
}

fn lengths(form: Form) -> Vec<Seed> {
    let new = || Script::new(form, 16).serve(2);
    let outside = pick(form, "VQ-026", "PK-041");
    let long = new().good(0).wake().pop(1).put(0, 17).put(0, u32::MAX).put(0, 16).publish();
    let quiet = new().quiet_ones(2).put(0, 1).put(1, 4).put(0, 0).put(0, 0).publish();
    let bad = new().bad(0).wake().pop(1).put(0, 1).put(0, 0).publish();
    let parts = new().loud(0).loud(1).loud(2).wake().pop(3).write(9);
    let parts = parts.put(2, 9).put(0, 0).put(0, 20).publish();
    let nothing = new().wake().put(0, 5).publish().publish().good(4).pop(1).publish();
    vec![
        long.serve(1).seed(
            "vq-039-one-byte-too-many",
            OK,
            "a length that is larger than the buffer is refused, and the buffer stays out",
        ),
        quiet.seed(
            "vq-039-nothing-is-writable",
            OK,
            "a length for a buffer that the device may only read",
        ),
        bad.serve(1).seed("vq-039-malformed", outside, "a length for a malformed chain"),
        parts.seed("lengths", OK, "nothing, a part and all of a buffer was written"),
        nothing.put(0, 2).publish().publish().seed(
            "publish-nothing",
            OK,
            "nothing was given back since the last time",
        ),
    ]
}

fn orders(form: Form) -> Vec<Seed> {
    let new = || Script::new(form, 16).serve(2);
    let list = linked(&[readable(0x1_2000, 3), readable(0x1_2010, 3), writable(0x1_2020, 8)]);
    let mixed = |script: Script| script.quiet(0).chain(1, &list).good(4).loud(6).wake().pop(4);
    let newest = new().times(4, |script, at| script.good(2 * at)).wake().pop(4);
    let newest = newest.put(3, 1).put(2, 2).put(1, 3).put(0, 4).publish();
    let shown = mixed(new()).put(1, 8).put(2, 0).publish().put(0, 0).publish();
    let laps = mixed(mixed(new()).put(3, 20).put(0, 0).put(1, 0).put(0, 0).publish());
    let overtaken = new().times(3, |script, at| {
        let script = script.good(2 * at + 4).wake().pop(1).good(2 * at + 10);
        script.wake().pop(1).put(1, 6).publish().put(0, 6).publish()
    });
    vec![
        newest.seed("newest-first", OK, "buffers are given back from the newest to the oldest"),
        shown.put(0, 16).publish().seed(
            "sizes-out-of-order",
            OK,
            "buffers of one, two and three slots are given back in another order",
        ),
        laps.put(2, 7).publish().put(2, 1).put(0, 0).put(0, 8).publish().seed(
            "sizes-for-two-laps",
            OK,
            "buffers of several sizes in another order, over the end of the ring",
        ),
        overtaken.seed("overtaken", OK, "a second chain overtakes the first, three times"),
    ]
}

fn taken_back(form: Form) -> Vec<Seed> {
    let new = || Script::new(form, 8).serve(2);
    let list = linked(&[readable(0x1_2000, 3), readable(0x1_2010, 3), writable(0x1_2020, 8)]);
    let three = || new().good(4).chain(6, &list).good(1).wake().pop(3);
    let newest = three().unpop(0).unpop(0).unpop(0).pop(1).unpop(0).pop(4);
    let others = three().unpop(1).unpop(2).put(2, 0).unpop(0).publish().put(0, 0).put(0, 0);
    let late = three().wake().unpop(0).wake().unpop(0).pop(3).unpop(0).unpop(0).pop(2);
    let bad = new().good(0).bad(2).wake().pop(2).unpop(0).pop(1).unpop(0).unpop(0).pop(2);
    let end = new()
        .times(8, Script::quiet)
        .wake()
        .pop(8)
        .pop(1)
        .unpop(0)
        .pop(1)
        .pop(1)
        .unpop(0)
        .unpop(0)
        .arm();
    let restart = three().unpop(0).put(0, 0).publish().resume().wake().unpop(0).pop(3);
    let outside = pick(form, "VQ-026", "PK-041");
    vec![
        newest.put(0, 0).put(0, 0).put(0, 8).publish().seed(
            "dc-089-newest-first",
            OK,
            "that chains were taken is taken back, one after another",
        ),
        others.publish().seed(
            "dc-089-not-the-newest",
            OK,
            "an older chain cannot be taken back, nor can one when the newest was given back",
        ),
        late.put(2, 0).put(0, 0).put(0, 0).publish().seed(
            "dc-089-later-wake-up",
            OK,
            "chains that an earlier wake-up took are taken back",
        ),
        bad.put(0, 0).put(0, 0).publish().seed(
            "dc-089-malformed",
            outside,
            "that a malformed chain was taken is taken back",
        ),
        end.pop(4).put(0, 0).publish().seed(
            "dc-089-yield",
            OK,
            "a chain that was taken back may be taken again at the end of a wake-up",
        ),
        restart.publish().seed("dc-089-restart", OK, "a chain was taken back before a restart"),
    ]
}

fn in_order(form: Form) -> Vec<Seed> {
    let new = || Script::with(form, 8, IN_ORDER).serve(2);
    let outside = pick(form, "VQ-026", "PK-041");
    let newer = new().good(0).good(2).good(4).wake().pop(3).put(1, 0).put(2, 0).put(0, 5);
    let bad = new().good(0).bad(2).good(4).wake().pop(3).put(1, 0).put(0, 3).put(0, 0);
    let batch = new().quiet(0).bad(1).bad(2).quiet(3).wake().pop(4).batch(4, 0).publish();
    let one_by_one = new().times(5, |script, at| script.wake().one(2 * at % 8));
    vec![
        newer.put(1, 5).put(0, 5).put(0, 5).publish().seed(
            "vq-056-out-of-order",
            OK,
            "a newer buffer may not go back first",
        ),
        bad.put(0, 9).publish().seed(
            "vq-056-malformed-in-order",
            outside,
            "a malformed chain keeps its place",
        ),
        batch.serve(2).seed(
            "vq-056-malformed-in-batch",
            outside,
            "two malformed chains in the middle of a batch",
        ),
        one_by_one.seed("in-order-one-by-one", OK, "one chain after the other, in order"),
    ]
}

fn batches(form: Form) -> Vec<Seed> {
    let new = || Script::with(form, 8, IN_ORDER).serve(2);
    let last = new().times(3, Script::quiet).loud(3).wake().pop(4).batch(4, 9).publish();
    let middle = new().quiet(0).quiet(1).loud(2).quiet(3).wake().pop(4).batch(4, 0).batch(2, 6);
    let first = new().loud(0).quiet(1).wake().pop(2).batch(2, 0).put(0, 3).batch(1, 0).publish();
    vec![
        new().quiet_ones(4).batch(4, 0).publish().serve(1).seed(
            "vq-058-batch",
            OK,
            "four buffers go back as one",
        ),
        last.serve(2).seed(
            "vq-058-length-of-the-last",
            OK,
            "only the last buffer of a batch was written",
        ),
        middle.put(0, 6).batch(2, 0).publish().publish().seed(
            "vq-059-writable-in-the-middle",
            OK,
            "a writable buffer ends a batch",
        ),
        first.serve(2).seed(
            "vq-059-writable-first",
            OK,
            "a batch may not begin with a writable buffer",
        ),
        new().quiet_ones(8).batch(8, 0).publish().serve(1).seed(
            "batch-of-the-whole-ring",
            OK,
            "all buffers of a ring go back as one",
        ),
    ]
}

fn other_batches(form: Form) -> Vec<Seed> {
    let two = linked(&[readable(0x1_2000, 3), readable(0x1_2010, 3)]);
    let lists = Script::with(form, 8, IN_ORDER).serve(1).chain(2, &two).quiet(4).chain(5, &two);
    let lists = lists.wake().pop(3).batch(2, 0).publish().put(0, 0).publish();
    let late = Start { features: IN_ORDER, ..Start::of(8, pick(form, 0xfffd_fffd, 0x8006_8006)) };
    let late = Script::start(late).quiet_ones(6).batch(3, 0).batch(2, 0).publish();
    let none = Start { features: feature::IN_ORDER, ..Start::of(8, fresh(form)) };
    let none = Script::start(none).serve(2).quiet_ones(3).batch(2, 0).put(0, 0).publish();
    let plain = Script::with(form, 8, feature::INDIRECT).serve(2).quiet_ones(4).batch(4, 0);
    vec![
        lists.serve(2).seed("batch-of-lists", OK, "a batch of buffers of one and two slots"),
        late.put(0, 0).publish().serve(1).seed(
            "batch-over-the-end",
            OK,
            "two batches over the end of the ring",
        ),
        none.batch(2, 0).serve(2).seed(
            "batch-and-one",
            OK,
            "a batch and a buffer are shown together",
        ),
        plain.put(3, 0).batch(3, 0).put(0, 0).publish().seed(
            "batch-not-negotiated",
            OK,
            "a batch without IN_ORDER",
        ),
    ]
}

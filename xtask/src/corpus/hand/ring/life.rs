//! The life of a ring: laps, wake-ups, restarts, memory that comes and goes.

use vhost_fuzz_core::ring::Layout as Form;
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::ram::Layout;
use vhost_fuzz_harness::ring::step::{Start, feature};

use super::{OK, Script, fresh, linked, pick, readable, writable};

pub(super) fn seeds(form: Form) -> Vec<Seed> {
    [laps(form), wakes(form), restarts(form), memory(form), packed(form)].concat()
}

/// So many rounds of good work in a ring of a size.
fn rounds(form: Form, size: u16, count: u16) -> Script {
    Script::new(form, size).times(count, |script, _| script.serve(4))
}

fn laps(form: Form) -> Vec<Seed> {
    let many = Script::new(form, 64).times(16, |script, at| script.good(2 * at)).wake().pop(16);
    let many = many.times(16, |script, at| script.put([0, 1, 2][usize::from(at % 3)], 2));
    vec![
        rounds(form, 1, 4).seed("laps-of-1", OK, "four laps of a ring of one entry"),
        rounds(form, 2, 4).seed("laps-of-2", OK, "four laps of a ring of two entries"),
        rounds(form, 4, 3).seed("laps-of-4", OK, "three laps of a ring of four entries"),
        rounds(form, 256, 2).seed("ring-of-256", OK, "eight chains of a ring of 256 entries"),
        many.publish().seed("many-at-once", OK, "16 chains at once"),
        largest(form).seed(
            "ring-of-32768",
            OK,
            "the end of the largest ring, with a chain over it",
        ),
    ]
}

fn largest(form: Form) -> Script {
    let large = |base: u32| Start::of(0x8000, base).within(Layout::Large);
    let list: Vec<_> = (0..6).map(|at| readable(0x1f_0000 + at, 1)).collect();
    let script = Script::start(large(pick(form, 0x7ffe_7ffe, 0xfffa_fffa)));
    let script = script.wake().times(2, |script, at| script.one(pick(form, 0x7ffc, 0xfff0) + at));
    let script = script.chain(pick(form, 0x7ffd, 9), &linked(&list)).wake().pop(1).read(3, 2);
    script.put(0, 0).publish().arm().ring(large(fresh(form))).serve(2)
}

fn wakes(form: Form) -> Vec<Seed> {
    let outside = pick(form, "VQ-026", "PK-041");
    let bad = [readable(0x1_c800, 4)];
    let refill = |size, count| {
        let script = Script::new(form, size).wake();
        script.times(count, |script, at| script.one(2 * at % size.max(2)))
    };
    let again = Script::new(form, 8)
        .times(5, |script, _| script.chain(3, &bad).wake().pop(1).put(0, 0).publish());
    let whole = Script::new(form, 8).times(8, |script, at| script.chain(at, &bad)).wake().pop(8);
    let whole = whole.put(1, 0).put(2, 0).times(6, |script, _| script.put(0, 0)).publish();
    let in_order = Script::with(form, 8, feature::IN_ORDER).times(3, |script, at| {
        let script = script.good(0).chain(4, &bad).good(6).wake().pop(3);
        script.put(0, 9).put(0, 0).put(0, 1).publish().one(at)
    });
    vec![
        refill(4, 5).wake().pop(1).put(0, 4).publish().seed(
            "hz-8-02-refill",
            OK,
            "a driver that makes more available than the size while the device is awake",
        ),
        refill(1, 2)
            .arm()
            .wake()
            .times(3, |script, _| script.pop(1).put(0, 1).publish().wake())
            .one(0)
            .wake()
            .one(0)
            .seed("hz-8-02-refill-of-one", OK, "the same with a ring of one entry"),
        again.serve(1).seed(
            "hz-8-17-again-and-again",
            outside,
            "the same malformed chain five times",
        ),
        whole.serve(1).seed("hz-8-17-whole-ring", outside, "every chain of a ring is malformed"),
        in_order.seed("hz-8-17-in-order", outside, "a malformed chain in each round, in order"),
    ]
}

fn restarts(form: Form) -> Vec<Seed> {
    let new = || Script::new(form, 8).serve(2);
    let late = Start::of(8, pick(form, 0xfffe_fffe, 0x8007_8007));
    let of = |size| Start::of(size, fresh(form));
    let other = Start { parts: [0x2_0000, 0x2_1000, 0x2_2000], ..of(8) };
    let in_flight = new().good(0).good(2).wake().pop(1).resume().pop(1).put(0, 5).publish();
    let not_shown = new().good(0).good(2).wake().pop(2).put(1, 5).resume().good(4).pop(1);
    let sizes = new().ring(of(64)).serve(3).ring(of(2)).serve(1).ring(of(8)).serve(2);
    let forgets = new().good(0).wake().pop(1).write(9).ring(of(8)).put(0, 9).publish();
    let mut seeds = vec![
        new().resume().serve(2).resume().resume().serve(2).seed(
            "restart",
            OK,
            "a ring stops and goes on where it was",
        ),
        in_flight.good(6).pop(1).put(0, 1).publish().seed(
            "restart-in-flight",
            OK,
            "a ring stops while a chain is out, which stays out",
        ),
        not_shown.put(0, 5).publish().seed(
            "restart-not-shown",
            OK,
            "a ring stops while something was not shown",
        ),
        new().wake().one(0).reset().serve(2).seed(
            "vq-054-reset",
            OK,
            "a ring begins again from the beginning",
        ),
        Script::start(late).serve(2).resume().serve(2).reset().serve(2).seed(
            "restart-at-the-wrap",
            OK,
            "a ring stops and goes on right after a wrap",
        ),
        sizes.seed("vq-055-other-size", OK, "the same device with a larger and a smaller ring"),
        new().ring(other).serve(2).resume().serve(2).seed(
            "hz-8-09-other-place",
            OK,
            "the ring is somewhere else when it starts again",
        ),
        forgets.serve(2).seed(
            "start-forgets",
            OK,
            "what is out is forgotten when the ring starts again",
        ),
    ];
    if form == Form::Split {
        let index = of(8).parts[2] + 2;
        seeds.push(new().poke(index, &[9, 0]).resume().pop(1).publish().again(2).seed(
            "hz-8-26-used-index-before-restart",
            "VQ-032",
            "the driver sets the used index, which is ahead when the ring starts again",
        ));
        seeds.push(new().poke(index, &[0, 0]).resume().serve(2).put(0, 0).publish().seed(
            "hz-8-26-used-index-back",
            OK,
            "the driver sets the used index back: some seem to be out of a life before",
        ));
    }
    seeds
}

fn memory(form: Form) -> Vec<Seed> {
    let outside = pick(form, "VQ-026", "PK-041");
    let far = linked(&[readable(0x2_0100, 30), writable(0x2_0200, 30)]);
    let over = linked(&[readable(0x1_7ff0, 30), writable(0x1_7ff8, 30)]);
    let new = || Script::new(form, 8).serve(2);
    let out = new().chain(0, &far).wake().pop(1).memory(0b011).read(3, 3).write(5).put(0, 5);
    let out = out.publish().memory(0xff).chain(0, &far).pop(1).read(3, 3).write(5).put(0, 5);
    let before = new().memory(0b011).chain(0, &far).wake().pop(1).put(0, 0).publish();
    let before = before.memory(0b111).chain(0, &far).pop(1).read(0, 9).put(0, 9).publish();
    let neighbour = new().memory(0b101).chain(0, &over).good(4).wake().pop(2).put(1, 2).put(0, 0);
    let neighbour = neighbour.publish().memory(0b011).chain(0, &over).pop(1).write(15).put(0, 15);
    let ring = new().good(0).memory(0b110).wake().pop(1).arm().memory(0b111).pop(1).put(0, 5);
    let none = new().good(0).pop(1).memory(0).put(0, 4).publish().memory(0xff).put(0, 4).publish();
    let changes = new().memory(0xff).serve(2).memory(0b1111_1001).serve(2).memory(0b001);
    vec![
        out.publish().seed("memory-gone-while-out", OK, "a region goes while a chain in it is out"),
        before.seed("memory-gone-before", outside, "a region goes, and comes back"),
        neighbour.publish().seed(
            "memory-neighbour-gone",
            outside,
            "the region behind a border goes",
        ),
        ring.publish().serve(2).seed(
            "vq-005-ring-gone",
            "VQ-005",
            "the region of the ring goes, and comes back",
        ),
        none.serve(2).seed("vq-005-no-memory", "VQ-005", "all memory goes while a chain is out"),
        changes.serve(2).seed(
            "memory-changes",
            OK,
            "memory changes between wake-ups, and what the ring uses stays",
        ),
    ]
}

/// What only a packed ring can do.
fn packed(form: Form) -> Vec<Seed> {
    if form == Form::Split {
        return vec![];
    }
    let new = || Script::new(form, 8).serve(2);
    let same = new().quiet(5).loud(5).quiet(5).wake().pop(3).put(1, 3).put(1, 0).put(0, 0);
    let any = new().quiet(0xffff).loud(0x8000).good(8).wake().pop(3).put(2, 3).put(1, 5);
    let mut seeds = vec![
        same.publish().seed("pk-023-same-id", OK, "three buffers of the same id are out"),
        any.put(0, 0).publish().seed("pk-023-any-id", OK, "ids that are no slots"),
    ];
    for size in [3, 5, 7] {
        let whole: Vec<_> = (0..u64::from(size)).map(|at| writable(0x1_2000 + at, 1)).collect();
        let whole = linked(&whole);
        let script = rounds(form, size, 2).chain(0x77, &whole).wake().pop(1).write(4).put(0, 2);
        let script = script.publish().serve(1).chain(0x78, &whole).pop(2).put(0, 0).publish();
        let shows = format!("laps of {size} slots, and lists of all of them");
        seeds.push(script.seed(&format!("laps-of-{size}"), OK, &shows));
    }
    seeds
}

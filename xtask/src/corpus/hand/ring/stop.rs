//! What breaks a queue. Nothing is done with a broken queue; started again, it serves.

use vhost_fuzz_core::ring::{Layout as Form, flag};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::ring::step::{Descriptor, Start, feature};

use super::{OK, Script, linked, pick, readable, writable};

pub(super) fn seeds(form: Form) -> Vec<Seed> {
    let own = match form {
        Form::Split => [indices(), heads(), torn()].concat(),
        Form::Packed => packed(),
    };
    [own, full(form)].concat()
}

impl Script {
    /// Everything that a device can try with a broken queue, and good work in a new life.
    fn after_the_stop(self) -> Self {
        self.pop(2).put(0, 0).publish().arm().disarm().wake().pop(1).publish().again(1)
    }
}

fn indices() -> Vec<Seed> {
    let new = || Script::new(Form::Split, 16).serve(2);
    let broken = |script: Script, name: &str, shows: &str| {
        script.after_the_stop().seed(name, "VQ-032", shows)
    };
    let stale = new().advance(16).wake().pop(20).after_the_stop();
    vec![
        broken(
            new().good(8).wake().pop(1).advance(17).pop(1),
            "hz-8-02-index-too-far",
            "the available index is 17 ahead in a ring of 16",
        ),
        broken(
            new().good(8).advance(0xffff).advance(0xffff).wake().pop(1),
            "vq-031-index-back",
            "the available index goes back by one",
        ),
        broken(
            new().good(8).good(10).wake().pop(2).advance(17).arm(),
            "vq-032-found-by-arm",
            "the index is found to be too far while kicks are asked for",
        ),
        broken(
            new().good(8).good(10).wake().pop(1).advance(0xfff0).pop(1).pop(1),
            "vq-032-after-what-was-seen",
            "the index goes back after it was seen: what was seen is served first",
        ),
        broken(
            new().advance(0x8000).wake().pop(1),
            "vq-032-half-way-round",
            "the index moves by 2^15",
        ),
        stale.seed(
            "hz-8-02-stale-entries",
            "VQ-034",
            "the index moves by the size: old entries are made available again",
        ),
    ]
}

fn heads() -> Vec<Seed> {
    let new = || Script::new(Form::Split, 16).serve(2);
    let hole = readable(0x1_d000, 4);
    let again = new().good(4).wake().pop(1).put(0, 3).chain(4, &[]).pop(1).publish().again(1);
    let broken = |script: Script, name: &str, expect: &str, shows: &str| {
        script.after_the_stop().seed(name, expect, shows)
    };
    vec![
        broken(
            new().good(0).chain(0xffff, &[]).wake().pop(2),
            "vq-023-ffff",
            "VQ-023",
            "the largest head, behind a good one",
        ),
        broken(
            new().good(4).chain(4, &[]).wake().pop(2).put(0, 1),
            "hz-8-04-same-head",
            "VQ-034",
            "a head that is out is made available again",
        ),
        broken(
            new().good(4).good(6).wake().pop(2).put(1, 3).publish().chain(4, &[]).pop(1),
            "hz-8-04-same-head-later",
            "VQ-034",
            "a head that is out, after another one was given back",
        ),
        broken(
            new().chain(4, &[hole]).chain(4, &[]).wake().pop(2),
            "hz-8-04-same-bad-head",
            "VQ-026",
            "a malformed chain is out, and its head is made available again",
        ),
        again.seed(
            "head-again-before-publish",
            OK,
            "a head that was given back and not shown yet is made available again",
        ),
    ]
}

/// Hazard 8.25: what a device sees that reads an index byte by byte, or whose driver writes so.
fn torn() -> Vec<Seed> {
    let start = Start::of(16, 0x00fe_00fe);
    let index = start.parts[1] + 2;
    let new = || Script::start(start).good(0).wake().pop(1).put(0, 9).publish();
    let rest = |script: Script| script.pop(1).ring(start).serve(2);
    let whole = new().good(2).pop(1).put(0, 9).good(4).arm().pop(2).put(0, 1).publish();
    vec![
        rest(new().poke(index, &[0]).pop(1)).seed(
            "hz-8-25-low-byte-first",
            "VQ-032",
            "0x00ff becomes 0x0100, and is 0x0000 in between",
        ),
        rest(new().poke(index + 1, &[1]).pop(1)).seed(
            "hz-8-25-high-byte-first",
            "VQ-032",
            "0x00ff becomes 0x0100, and is 0x01ff in between",
        ),
        rest(whole).seed("hz-8-25-whole", OK, "0x00ff becomes 0x0100 at once"),
    ]
}

fn full(form: Form) -> Vec<Seed> {
    let rule = pick(form, "VQ-033", "PK-029");
    let four = || {
        let script = Script::new(form, 4).serve(2);
        script.times(4, Script::loud).wake().pop(4)
    };
    // The head does not count any more when too many are out.
    let more = |script: Script| script.chain(1, &[writable(0x1_2000, 4)]).wake().pop(1);
    let again = more(four().put(1, 5).publish()).put(0, 1).publish().again(1);
    let all = four().arm().wake().pop(1).disarm().put(3, 0).put(0, 9).publish().again(1);
    vec![
        more(four()).after_the_stop().seed(
            "hz-8-03-one-more-than-the-size",
            rule,
            "one more than the size is made available, and nothing was given back",
        ),
        more(four().put(2, 5).put(0, 5)).after_the_stop().seed(
            "hz-8-03-given-back-and-not-shown",
            rule,
            "what was given back still counts until it is shown",
        ),
        again.seed(
            "full-and-one-given-back",
            OK,
            "the ring is full, one is given back and another one made available",
        ),
        all.seed("full", OK, "all of a ring is out"),
    ]
}

/// A list of so many slots, whose last one has these flags too.
fn list(count: u16, tail: u16) -> Vec<Descriptor> {
    let list: Vec<_> = (0..count).map(|at| readable(0x1_2000 + u64::from(at), 3)).collect();
    let mut list = linked(&list);
    if let Some(last) = list.last_mut() {
        last.flags |= tail;
    }
    list
}

fn packed() -> Vec<Seed> {
    let new = || Script::new(Form::Packed, 8).serve(4);
    let lenient = feature::LENIENT | feature::INDIRECT;
    let lenient = || Script::with(Form::Packed, 8, lenient).serve(4).wake();
    let broken = |script: Script, name: &str, expect: &str, shows: &str| {
        script.after_the_stop().seed(name, expect, shows)
    };
    let served = lenient().chain(3, &list(3, flag::NEXT)).pop(2).arm().put(0, 0).publish();
    vec![
        broken(
            new().quiet(1).quiet(2).wake().pop(2).chain(3, &list(8, 0)).pop(1),
            "pk-029-in-a-list",
            "PK-029",
            "a list that goes into slots that are out",
        ),
        broken(
            new().one(7).wake().chain(3, &list(8, flag::NEXT)).pop(1),
            "pk-012-over-the-end",
            "PK-012",
            "a list of all slots that does not end, from the middle of a lap",
        ),
        broken(
            new().wake().chain(3, &list(3, flag::NEXT)).pop(1),
            "pk-015-slot-of-the-lap-before",
            "PK-015",
            "the last slot of a list was used in the lap before",
        ),
        broken(
            Script::new(Form::Packed, 8).serve(2).wake().chain(1, &list(1, flag::NEXT)).pop(1),
            "pk-014-first-slot-first",
            "PK-015",
            "the first slot of a list is made available before the second",
        ),
        broken(
            lenient().chain(3, &list(8, flag::NEXT)).pop(1),
            "pk-012-lenient",
            "PK-012",
            "a list that does not end, while nobody looks at the later slots",
        ),
        served.again(1).seed(
            "pk-015-lenient-lap-before",
            OK,
            "a list goes into slots of the lap before, and nobody looks",
        ),
    ]
}

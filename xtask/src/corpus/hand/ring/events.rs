//! Calls and kicks: when the driver is called, and how the device asks for kicks.

use vhost_fuzz_core::ring::Layout as Form;
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::ring::step::{Start, feature};

use super::{OK, Script, fresh, pick};

pub(super) fn seeds(form: Form) -> Vec<Seed> {
    let own = match form {
        Form::Split => split(),
        Form::Packed => packed(),
    };
    [flags(form), kicks(form), own].concat()
}

fn flags(form: Form) -> Vec<Seed> {
    let new = || Script::with(form, 8, feature::INDIRECT).wake().one(0);
    let other = new().wish(0xfffe, 0).one(2).wish(0xffff, 0).one(4).wish(2, 0).one(6);
    let first = Script::with(form, 8, 0).wish(1, 0).wake().one(0).one(2).resume().one(4);
    vec![
        new().wish(1, 0).one(2).one(4).wish(0, 0).one(6).wish(1, 1).one(0).seed(
            "calls-by-flag",
            OK,
            "the driver wants calls, wants none, and wants them again",
        ),
        new().wish(1, 1).one(2).wish(1, 2).one(4).wish(0, 0x7000).one(6).wake().one(0).seed(
            "vq-043-event-not-negotiated",
            OK,
            "an event index means nothing when it was not negotiated",
        ),
        other.wish(3, 0).one(0).seed(
            "calls-other-bits",
            OK,
            "bits of the driver's flags that mean nothing, or are reserved",
        ),
        first.reset().one(6).seed(
            "vq-050-first-call",
            OK,
            "the first call of each life is made in any case",
        ),
    ]
}

fn kicks(form: Form) -> Vec<Seed> {
    let work = |features| {
        let new = Script::with(form, 8, features).disarm().serve(3).arm().good(0).arm().disarm();
        let new = new.wake().pop(1).arm().good(2).good(4).arm().disarm().pop(2);
        new.put(0, 3).put(1, 3).arm().put(0, 3).publish().arm()
    };
    let late = Start::of(8, pick(form, 0xfffd_fffd, 0x8006_8006));
    let late = Script::start(late);
    let new = || Script::new(form, 8).serve(2);
    let spurious = new().wake().pop(1).pop(1).wake().arm().wake().pop(3).disarm().pop(1).wake();
    let more = new().pop(1).arm().good(0).arm().pop(1).good(2).arm().pop(1).put(0, 1).put(0, 1);
    vec![
        work(feature::INDIRECT).seed("vq-041-kicks-by-flag", OK, "kicks are asked for and not"),
        work(feature::EVENT_IDX).seed(
            "vq-042-kicks-by-event",
            OK,
            "kicks are asked for by event index",
        ),
        late.times(6, |script, at| script.arm().wake().one(at % 4 * 2).arm()).seed(
            "kicks-over-the-end",
            OK,
            "kicks are asked for at every index over a wrap",
        ),
        spurious.arm().serve(2).seed(
            "vq-047-spurious-kicks",
            OK,
            "a device that wakes up and finds nothing",
        ),
        more.publish().arm().seed(
            "vq-048-more-while-arming",
            OK,
            "more becomes available between the last look and asking for kicks",
        ),
    ]
}

/// A split ring of 8 entries in which one chain was used from this index on.
fn used_one(base: u16) -> Script {
    let base = u32::from(base) << 16 | u32::from(base);
    Script::start(Start::of(8, base)).wake().one(0)
}

/// Four chains are used at once after one: in four lives, with the event index before, at the
/// first, at the last of, and behind what was used.
fn around_four(base: u16) -> Script {
    let next = base.wrapping_add(1);
    let start = used_one(base).start;
    let four = |script: Script, event: u16| {
        let script = script.times(4, |script, at| script.good(2 * at)).wish(0, event);
        script.wake().pop(4).put(0, 1).put(0, 1).put(0, 1).put(0, 1).publish()
    };
    let again = |script: Script| script.ring(start).one(0);
    let script = again(four(used_one(base), next.wrapping_sub(1)));
    let script = again(four(script, next));
    let script = again(four(script, next.wrapping_add(3)));
    four(script, next.wrapping_add(4))
}

fn split() -> Vec<Seed> {
    let around = |name: &str, base, shows: &str| around_four(base).seed(name, OK, shows);
    let new = || used_one(0);
    let moves = Script::new(Form::Split, 8).good(0).wish(0, 9).wake().pop(1).put(0, 4).publish();
    let moves = moves.good(2).pop(1).put(0, 4).wish(0, 1).publish();
    let moves = moves.good(4).wish(0, 1).pop(1).put(0, 4).publish();
    vec![
        around("event-idx", 0, "the event index before, in, and behind what was used"),
        around("event-idx-wraps", 0xfffd, "the same while the used index wraps at 2^16"),
        around("event-idx-half", 0x7ffd, "the same while the used index becomes 0x8000"),
        new().wish(1, 1).one(2).wish(1, 9).one(4).wish(1, 3).one(6).wish(0, 0).one(0).seed(
            "vq-045-flag-is-ignored",
            OK,
            "the flag of the driver means nothing when event indices were negotiated",
        ),
        new().wish(0, 4).one(2).one(4).one(6).one(0).one(2).wake().one(4).seed(
            "event-idx-ahead",
            OK,
            "an event that is reached after some",
        ),
        new().wish(0, 0xffff).one(2).one(4).wish(0, 0x8003).one(6).one(0).wake().one(2).seed(
            "event-idx-far",
            OK,
            "an event that is far behind, or half way round",
        ),
        moves.one(6).seed(
            "event-idx-moves",
            OK,
            "the event index moves between giving back and publishing",
        ),
    ]
}

/// An event structure that asks for a call at a slot.
const FIRST_LAP: u16 = 0x8000;

fn packed() -> Vec<Seed> {
    let at = |size: u16, base: u32| Script::start(Start::of(size, base)).wake().one(0);
    let new = |size: u16| at(size, fresh(Form::Packed));
    let two =
        |script: Script, id: u16| script.good(id).good(id + 2).wake().pop(2).put(0, 1).put(0, 1);
    let slot = new(8).wish(2, FIRST_LAP | 2).one(2).wish(2, FIRST_LAP | 3).one(4);
    let over = two(new(8).one(2).one(4).wish(2, FIRST_LAP | 7), 6).publish();
    let second = at(8, 0x0006_0006).wish(2, FIRST_LAP | 1).one(2).wish(2, 1).one(4);
    let large = new(8).wish(2, FIRST_LAP | 8).one(2).wish(2, 0xffff).one(4).wish(2, 0x7fff).one(6);
    let reserved = new(8).wish(3, 0).one(2).wish(0xfffc, 2).one(4).wish(6, 2).one(6);
    let none = Script::with(Form::Packed, 8, 0).wake().one(0).wish(2, 7).one(2).wish(2, 0).one(4);
    let five = at(5, 0x8004_8004).wish(2, FIRST_LAP | 4).wake().one(1).wish(2, 1).one(2);
    let lap = two(two(new(4).one(2).wish(2, 3), 0).publish().wish(2, FIRST_LAP), 0).publish();
    let moves = new(8).good(2).pop(1).put(0, 4).wish(2, FIRST_LAP | 2).publish();
    let moves = moves.good(4).pop(1).put(0, 1).wish(1, FIRST_LAP | 4).publish();
    vec![
        slot.wish(2, FIRST_LAP | 6).wake().one(6).wish(2, FIRST_LAP | 7).one(0).seed(
            "event-slot",
            OK,
            "the first and the second slot of a buffer, and others",
        ),
        over.wish(2, FIRST_LAP | 7).one(2).wish(2, 5).wake().one(4).seed(
            "event-slot-over-the-end",
            OK,
            "the event is in the lap before, and in this one",
        ),
        second.wish(2, FIRST_LAP | 4).wake().one(6).seed(
            "event-slot-second-wrap",
            OK,
            "the wrap counter of the device becomes 1 again",
        ),
        large.wish(2, 9).wake().one(0).seed(
            "pk-035-offset-too-large",
            OK,
            "an event slot that is not in the ring",
        ),
        reserved.wish(5, 2).wake().one(0).seed(
            "pk-033-reserved",
            OK,
            "reserved flags of the event structure",
        ),
        none.wish(1, 0).wake().one(6).seed(
            "pk-033-event-not-negotiated",
            OK,
            "an event slot that was not negotiated",
        ),
        five.wish(2, 0).one(3).seed(
            "event-slot-of-five",
            OK,
            "event slots of a ring that is no power of two",
        ),
        lap.seed("event-slot-whole-lap", OK, "a whole lap between two decisions"),
        moves.one(6).one(0).seed(
            "event-slot-moves",
            OK,
            "the event moves between giving back and publishing",
        ),
    ]
}

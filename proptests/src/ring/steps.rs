//! Scripts of the targets `split_ring` and `packed_ring`.
//!
//! A story is how a ring starts and what driver and device do then. Its acts are values without
//! places: where a chain lies is decided when the [steps](super::careful) are made, so a legal story
//! stays one while it shrinks.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use vhost_fuzz_core::ring::{Layout as Form, flag};
use vhost_fuzz_harness::ram::Layout;
use vhost_fuzz_harness::ring::step::{Descriptor, Start, Step, feature};
use vhost_fuzz_harness::script::encode;

use super::careful::Careful;
use super::image::{Fault, fault};
use super::{features, index, packed_size, slot, split_size};
use crate::choice::Choice;
use crate::flat::Flat;
use crate::number;

/// Most phrases of a story.
const PHRASES: usize = 10;

/// Most buffers of a chain, unless it takes up a whole ring.
pub const BUFFERS_MAX: usize = 6;

/// Most entries of a ring. There is room for a table for each of them.
pub const SIZE_MAX: u16 = 64;

/// Bytes of the first region of [`Layout::Large`].
const LARGE: u32 = 0x20_0000;

/// A chain before it has a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Where each buffer is in the memory that there is, and its bytes.
    pub buffers: Vec<(u32, u32)>,
    /// How many of them, at the end, are writable.
    pub writable: usize,
    /// How many stand in front of a table with the rest, if there is a table and there may be one.
    pub table: Option<usize>,
    /// Whether its buffers are repeated until it takes up the whole ring. Then it has no table.
    pub is_whole: bool,
    /// Flags that have no meaning (VQ-030), as far as they have none.
    pub odd: u16,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Act {
    /// The driver makes a chain available, if there is room for it.
    Chain(Draft),
    /// A chain with something wrong, somewhere.
    Damaged(Draft, Fault, Index),
    /// The device takes chains.
    Pop(u8),
    /// It takes back that it took the newest, if it may and the chain is still in memory.
    Unpop,
    /// It gives a buffer back, with so many bytes of those that it can have. With `IN_ORDER`, it
    /// is the oldest.
    Put(u8, u32),
    /// It gives back the oldest as a batch.
    Batch(u8),
    /// It publishes.
    Publish,
    /// It asks for kicks.
    Arm,
    /// It asks for no kicks.
    Disarm,
    /// A wake-up begins.
    Wake,
    /// The device stops and starts: where it was, or from the beginning with an empty ring.
    Restart(bool),
    /// Regions come and go, but for the first and those of chains that are to be taken.
    Memory(u8),
    /// The device reads its last chain.
    Read(u16, u8),
    /// The device writes to it.
    Write(u8),
    /// The driver says which calls it wants.
    Wish(u16, u16),
    /// Everything starts over.
    Start(Start),
    /// Anything, by anyone.
    Rash(Step<'static>),
}

/// A ring, and what happens to it.
#[derive(Clone, Debug)]
pub struct Story {
    /// The layout.
    pub form: Form,
    /// How the ring starts.
    pub start: Start,
    /// What happens.
    pub acts: Vec<Act>,
}

impl Story {
    /// What happens, step by step, and what comes of it.
    #[must_use]
    pub fn told(&self) -> Careful {
        let mut careful = Careful::new(self.form, self.start);
        self.acts.iter().for_each(|act| careful.act(act));
        careful.finish();
        careful
    }

    /// Its script.
    #[must_use]
    pub fn script(&self) -> Vec<u8> {
        let records: Vec<_> = self.told().steps.iter().map(Step::record).collect();
        encode(&records)
    }
}

/// A start that every device takes.
pub fn start(form: Form) -> impl Strategy<Value = Start> + Clone {
    let size = match form {
        Form::Split => split_size(SIZE_MAX).boxed(),
        Form::Packed => packed_size(SIZE_MAX).boxed(),
    };
    let layout =
        prop_oneof![6 => Just(Layout::Small), 2 => Just(Layout::Odd), 1 => Just(Layout::Skewed)];
    let cap = prop_oneof![3 => Just(0), 1 => 1..=8_u16];
    (size, layout, features(), any::<bool>(), cap).prop_flat_map(
        move |(size, layout, negotiated, is_lenient, cap)| {
            let at = match form {
                Form::Split => index().boxed(),
                Form::Packed => slot(size).boxed(),
            };
            let bit = |is: bool, bit| if is { bit } else { 0 };
            let features = bit(negotiated.event_idx, feature::EVENT_IDX)
                | bit(negotiated.indirect, feature::INDIRECT)
                | bit(negotiated.in_order, feature::IN_ORDER)
                | bit(is_lenient, feature::LENIENT);
            at.prop_map(move |at| {
                let base = u32::from(at) << 16 | u32::from(at);
                Start { features, cap, ..Start::of(size, base).within(layout) }
            })
        },
    )
}

/// A start that need not be taken.
fn rash_start(form: Form) -> impl Strategy<Value = Start> + Clone {
    let part =
        prop_oneof![select(vec![1_u64, 2, 4, 8, 16, 0x6ff0, 0x8000, 0xc000]), number::u64(),];
    let size = select(vec![0, 3, 1025, 0x8001, u16::MAX]);
    let change = (0..5_u8, 0..3_usize, part, size, number::u32());
    (start(form), change).prop_map(|(start, (kind, at, part, size, base))| match kind {
        0 => Start { features: start.features | feature::LEGACY, ..start },
        1 => Start { size, ..start },
        2 => Start { base, ..start },
        _ => {
            let mut start = start;
            start.parts[at] = start.parts[at].wrapping_add(part);
            start
        }
    })
}

/// Any chain that is legal where there is room for it.
pub fn draft() -> impl Strategy<Value = Draft> + Clone {
    let len = prop_oneof![2 => Just(0), 8 => 1..=64_u32, 2 => 1..=4096_u32, 1 => Just(u32::MAX)];
    let buffers = vec((number::u32(), len), 1..=BUFFERS_MAX);
    let table = weighted(0.4, 0..3_usize);
    let odd = prop_oneof![4 => Just(0), 1 => any::<u16>()];
    (buffers, 0..=BUFFERS_MAX, table, prop::bool::weighted(0.1), odd).prop_map(
        |(buffers, writable, table, is_whole, odd)| Draft {
            writable: writable.min(buffers.len()),
            buffers,
            table,
            is_whole,
            odd,
        },
    )
}

fn put() -> impl Strategy<Value = Act> + Clone {
    let which = prop_oneof![2 => Just(0), 1 => number::u8()];
    (which, number::u32()).prop_map(|(which, len)| Act::Put(which, len))
}

fn pop() -> impl Strategy<Value = Act> + Clone {
    prop_oneof![4 => 1..8_u8, 1 => number::u8()].prop_map(Act::Pop)
}

/// Chains that are made available, taken, and given back in part.
fn round() -> impl Strategy<Value = Vec<Act>> + Clone {
    let gives = prop_oneof![
        3 => vec(put(), 0..6),
        1 => vec(Just(Act::Unpop), 1..4),
        1 => (1..6_u8).prop_map(|count| vec![Act::Batch(count)]),
    ];
    (vec(draft(), 1..6), gives, any::<bool>()).prop_map(|(drafts, gives, is_published)| {
        let count = u8::try_from(drafts.len()).unwrap_or(u8::MAX);
        let chains = drafts.into_iter().map(Act::Chain);
        let publish = is_published.then_some(Act::Publish);
        chains.chain([Act::Pop(count)]).chain(gives).chain(publish).collect()
    })
}

/// Read-only chains that are given back together.
fn batch() -> impl Strategy<Value = Vec<Act>> + Clone {
    (vec(draft(), 2..6), any::<bool>()).prop_map(|(mut drafts, is_writable)| {
        let count = u8::try_from(drafts.len()).unwrap_or(u8::MAX);
        let last = drafts.len() - usize::from(is_writable);
        drafts[..last].iter_mut().for_each(|draft| draft.writable = 0);
        let chains = drafts.into_iter().map(Act::Chain);
        let ends = [Act::Pop(count), Act::Batch(count), Act::Publish];
        chains.chain(ends).collect()
    })
}

/// Chains until there is no room, and then some.
fn fill() -> impl Strategy<Value = Vec<Act>> + Clone {
    (draft(), 1..=SIZE_MAX, any::<bool>()).prop_map(|(draft, count, is_more)| {
        let one =
            Draft { buffers: vec![draft.buffers[0]], writable: draft.writable.min(1), ..draft };
        let mut acts = vec![Act::Chain(one); count.into()];
        acts.extend([Act::Pop(64), Act::Pop(64)]);
        if is_more {
            acts.extend([Act::Put(0, 0), Act::Publish, Act::Chain(draft), Act::Pop(1)]);
        }
        acts
    })
}

type Phrase = BoxedStrategy<Vec<Act>>;

/// What good drivers and devices do.
fn legal_phrases(form: Form) -> Vec<(u32, Phrase)> {
    let one = |act: BoxedStrategy<Act>| act.prop_map(|act| vec![act]).boxed();
    let touch = prop_oneof![
        (0..300_u16, number::u8()).prop_map(|(border, len)| Act::Read(border, len)),
        number::u8().prop_map(Act::Write),
    ];
    let quiet = select(vec![Act::Publish, Act::Arm, Act::Disarm, Act::Wake]);
    let wish =
        (0..3_u16, prop_oneof![index(), 0..8_u16]).prop_map(|(flags, at)| Act::Wish(flags, at));
    vec![
        (8, round().boxed()),
        (3, one(draft().prop_map(Act::Chain).boxed())),
        (3, one(pop().boxed())),
        (3, put().prop_map(|put| vec![put, Act::Publish]).boxed()),
        (2, batch().boxed()),
        (1, fill().boxed()),
        (4, one(quiet.boxed())),
        (2, one(wish.boxed())),
        (2, one(touch.boxed())),
        (1, one(any::<bool>().prop_map(Act::Restart).boxed())),
        (1, one(number::u8().prop_map(Act::Memory).boxed())),
        (1, one(start(form).prop_map(Act::Start).boxed())),
    ]
}

/// A table of buffers of 2 MiB: with 2048 of them a chain has 2^32 bytes, which is the most
/// (VQ-013).
fn flood(form: Form) -> impl Strategy<Value = Vec<Act>> + Clone {
    (start(form), 2047..=2050_u32).prop_map(|(start, entries)| {
        let features = start.features | feature::INDIRECT;
        let start = Start { features, cap: 4096, ..start.within(Layout::Large) };
        let [memory, ..] = Layout::Large.areas() else { return vec![] };
        let (first, table) = (memory.start, memory.start + 0x10_0000);
        let buffer = |at| Descriptor {
            address: first,
            len: LARGE,
            flags: if at + 1 < entries { flag::NEXT } else { 0 },
        };
        let head = Descriptor { address: table, len: 16 * entries, flags: flag::INDIRECT };
        let descriptors = (0..entries).map(buffer).collect();
        let chain = Step::Chain { id: 0, descriptors: [head].into_iter().collect() };
        let table = Step::Table { address: table, descriptors };
        vec![Act::Start(start), Act::Rash(table), Act::Rash(chain), Act::Pop(1), Act::Read(9, 64)]
    })
}

/// Buffers until the ring is full or over, each linked to the next.
fn endless() -> impl Strategy<Value = Vec<Act>> + Clone {
    (number::u16(), 1..=2 * usize::from(SIZE_MAX)).prop_map(|(id, count)| {
        let linked = Descriptor { address: 0x1_4000, len: 1, flags: flag::NEXT };
        let descriptors = vec![linked; count].into_iter().collect();
        vec![Act::Rash(Step::Chain { id, descriptors }), Act::Pop(1)]
    })
}

/// A chain more than a ring has entries.
fn overfull() -> impl Strategy<Value = Vec<Act>> + Clone {
    (fill(), number::u16()).prop_map(|(mut acts, id)| {
        let buffer = [Descriptor { address: 0x1_4000, len: 1, flags: 0 }];
        let chain = Step::Chain { id, descriptors: buffer.into_iter().collect() };
        acts.extend([Act::Wake, Act::Pop(64), Act::Rash(chain), Act::Pop(1)]);
        acts
    })
}

/// Writes somewhere near a ring.
fn poke() -> impl Strategy<Value = Step<'static>> + Clone {
    let bytes = number::bytes(1..=16);
    (0..0x800_u64, bytes)
        .prop_map(|(offset, bytes)| Step::Poke { address: 0x1_0000 + offset, bytes: bytes.into() })
}

/// What nobody should do.
fn rash_phrases(form: Form) -> Vec<(u32, Phrase)> {
    let rash =
        |step: BoxedStrategy<Step<'static>>| step.prop_map(|step| vec![Act::Rash(step)]).boxed();
    let damaged = (draft(), fault(), any::<Index>())
        .prop_map(|(draft, fault, at)| vec![Act::Damaged(draft, fault, at), Act::Pop(1)]);
    let device = prop_oneof![
        (number::u8(), number::u32()).prop_map(|(which, len)| Step::Put { which, len }),
        number::u8().prop_map(|which| Step::Unpop { which }),
        (number::u8(), number::u32()).prop_map(|(count, len)| Step::Batch { count, len }),
        Just(Step::Restart { is_fresh: true }),
        number::u8().prop_map(|regions| Step::Memory { regions }),
    ];
    let by = prop_oneof![number::u16(), (1..4_u16).prop_map(u16::wrapping_neg)];
    let driver = prop_oneof![
        3 => poke(),
        1 => by.prop_map(|by| Step::Advance { by }),
        1 => (number::u16(), number::u16()).prop_map(|(flags, event)| Step::Wish { flags, event }),
    ];
    vec![
        (12, damaged.boxed()),
        (1, endless().boxed()),
        (1, overfull().boxed()),
        (2, rash(device.boxed())),
        (3, rash(driver.boxed())),
        (2, rash_start(form).prop_map(|start| vec![Act::Start(start)]).boxed()),
    ]
}

/// Stories of these phrases. Each story draws which of them it has, because what never comes lets
/// other things happen for longer.
fn story(form: Form, options: Vec<(u32, Phrase)>) -> BoxedStrategy<Story> {
    let swarm = (1..1_usize << options.len()).no_shrink();
    let acts = swarm.prop_flat_map(move |mask| {
        let chosen = options.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1);
        vec(Choice::new(chosen.map(|(_, option)| option.clone())), 0..=PHRASES)
    });
    (start(form), Flat(acts)).prop_map(move |(start, acts)| Story { form, start, acts }).boxed()
}

/// What a correct driver does with a correct device: nothing of it may be refused.
pub fn legal(form: Form) -> BoxedStrategy<Story> {
    story(form, legal_phrases(form))
}

/// What anybody does.
pub fn mixed(form: Form) -> BoxedStrategy<Story> {
    let mut options = legal_phrases(form);
    options.extend(rash_phrases(form));
    let story = story(form, options);
    // A flood takes as long as a hundred other stories.
    let flood = (start(form), flood(form));
    let flood = flood.prop_map(move |(start, acts)| Story { form, start, acts });
    prop_oneof![80 => story, 1 => flood].boxed()
}

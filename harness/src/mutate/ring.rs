//! Mutates a script of a ring: how it starts, what driver and device do, and each descriptor.
//!
//! Records that mean nothing to a ring are left out of the child.

use fastrand::Rng;
use vhost_fuzz_core::ring::{Layout as Form, flag};

use super::descriptor::{low, quarter};
use super::{ByteMutator, boundary, descriptor, is_bytes_turn, put, script, start};
use crate::ram::Layout;
use crate::ring::draw::{self, Draw};
use crate::ring::step::{self, Descriptor, Descriptors, Start, Step};
use crate::script::records;

/// Most steps that are copied or moved at once.
const RUN_MAX: usize = 12;

/// Changes `data[..size]` into another script of at most `max_size` bytes for the target
/// `split_ring`; returns its length.
pub fn split_ring(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytes: ByteMutator<'_>,
) -> usize {
    let mut rng = Rng::with_seed(seed.into());
    if is_bytes_turn(&mut rng) {
        return bytes(data, size);
    }
    let child = child(Form::Split, &data[..size], max_size, &mut rng);
    put(data, max_size, &child)
}

/// Changes `data[..size]` into another script of at most `max_size` bytes for the target
/// `packed_ring`; returns its length.
pub fn packed_ring(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytes: ByteMutator<'_>,
) -> usize {
    let mut rng = Rng::with_seed(seed.into());
    if is_bytes_turn(&mut rng) {
        return bytes(data, size);
    }
    let child = child(Form::Packed, &data[..size], max_size, &mut rng);
    put(data, max_size, &child)
}

fn child(form: Form, parent: &[u8], max_size: usize, rng: &mut Rng) -> Vec<u8> {
    let mut steps: Vec<_> = records(parent).filter_map(step::of).collect();
    if steps.is_empty() {
        let phrases = rng.usize(1..8);
        steps = draw::script(rng, form, phrases);
    }
    for _ in 0..=rng.u8(..3) {
        Change::draw(rng).apply(form, &mut steps, rng);
    }
    let records: Vec<_> = steps.iter().map(Step::record).collect();
    script::fitting(&records, max_size)
}

/// One way to change a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Something that belongs together happens as well.
    Phrase,
    /// The ring starts in another way.
    Start,
    /// A step has another number in it.
    Field,
    /// A chain or a table has another descriptor.
    Descriptor,
    /// What a chain has in the ring moves to a table, or back.
    Fold,
    /// A run of steps happens again.
    Copy,
    /// A run of steps happens earlier or later.
    Move,
    /// A run of steps does not happen.
    Remove,
    /// The same happens in another memory.
    Memory,
    /// What was made for the other form of rings begins as one of this form does.
    Form,
}

impl Change {
    /// As often as each is drawn.
    const DRAWN: [Self; 20] = [
        Self::Phrase,
        Self::Phrase,
        Self::Phrase,
        Self::Phrase,
        Self::Phrase,
        Self::Start,
        Self::Start,
        Self::Field,
        Self::Field,
        Self::Field,
        Self::Descriptor,
        Self::Descriptor,
        Self::Descriptor,
        Self::Fold,
        Self::Copy,
        Self::Copy,
        Self::Move,
        Self::Remove,
        Self::Memory,
        Self::Form,
    ];

    fn draw(rng: &mut Rng) -> Self {
        Self::DRAWN[rng.usize(..Self::DRAWN.len())]
    }

    fn apply(self, form: Form, steps: &mut Vec<Step<'_>>, rng: &mut Rng) {
        match self {
            Self::Phrase => say(form, steps, rng),
            Self::Start => start::alter(any_start(form, steps, rng), form, rng),
            Self::Field => {
                let at = rng.usize(..steps.len().max(1));
                let other = steps.get(rng.usize(..steps.len().max(1))).cloned();
                let start = state(form, &steps[..at.min(steps.len())]).0;
                if let Some(step) = steps.get_mut(at) {
                    alter(step, other.as_ref(), &start, rng);
                }
            }
            Self::Descriptor => change_list(form, steps, rng),
            Self::Fold => fold(form, steps, rng),
            Self::Copy => {
                let run = steps[run(steps, rng)].to_vec();
                let at = gap(steps, rng);
                steps.splice(at..at, run);
            }
            Self::Move => {
                let run = run(steps, rng);
                let taken: Vec<_> = steps.drain(run).collect();
                let at = gap(steps, rng);
                steps.splice(at..at, taken);
            }
            Self::Remove => drop(steps.drain(run(steps, rng))),
            Self::Memory => change_memory(form, steps, rng),
            Self::Form => fit(form, steps),
        }
    }
}

/// How the ring started before the end of these steps, and the head that a driver uses next.
fn state(form: Form, steps: &[Step<'_>]) -> (Start, u16) {
    let is_start = |step: &Step<'_>| matches!(step, Step::Start(_));
    let since = steps.iter().rposition(is_start);
    let start = match since.map(|at| &steps[at]) {
        Some(Step::Start(start)) => *start,
        _ => start::implied(form),
    };
    let last = steps[since.unwrap_or(0)..].iter().rev().find_map(|step| match step {
        Step::Chain { id, descriptors } => Some(id.wrapping_add(count(descriptors))),
        _ => None,
    });
    (start, last.unwrap_or(0) % start.size.max(1))
}

fn count(descriptors: &Descriptors<'_>) -> u16 {
    u16::try_from(descriptors.iter().len().max(1)).unwrap_or(u16::MAX)
}

/// A place between steps, not in front of a start that leads them; half of the time the end.
fn gap(steps: &[Step<'_>], rng: &mut Rng) -> usize {
    let first = usize::from(matches!(steps.first(), Some(Step::Start(_))));
    if rng.bool() { steps.len() } else { rng.usize(first..=steps.len()) }
}

/// A few steps, without a start that leads them.
fn run(steps: &[Step<'_>], rng: &mut Rng) -> std::ops::Range<usize> {
    let first = usize::from(matches!(steps.first(), Some(Step::Start(_))));
    let from = rng.usize(first..=steps.len());
    from..(from + rng.usize(1..=RUN_MAX)).min(steps.len())
}

/// Inserts some phrases. Their chains go on where the driver was.
fn say(form: Form, steps: &mut Vec<Step<'_>>, rng: &mut Rng) {
    let at = gap(steps, rng);
    let (start, head) = state(form, &steps[..at]);
    let mut draw = Draw::new(form, start);
    let mut said = Vec::new();
    for _ in 0..=rng.u8(..3) {
        draw.phrase(rng, &mut said);
    }
    for step in &mut said {
        if let Step::Chain { id, .. } = step
            && *id < start.size
        {
            *id = id.wrapping_add(head) % start.size;
        }
    }
    steps.splice(at..at, said);
}

/// A start; most of the time the first, which is put there if it is missing.
fn any_start<'s>(form: Form, steps: &'s mut Vec<Step<'_>>, rng: &mut Rng) -> &'s mut Start {
    if !matches!(steps.first(), Some(Step::Start(_))) {
        steps.insert(0, Step::Start(start::implied(form)));
    }
    let starts = steps.iter_mut().filter_map(|step| match step {
        Step::Start(start) => Some(start),
        _ => None,
    });
    let mut starts: Vec<_> = starts.collect();
    let at = if rng.bool() { 0 } else { rng.usize(..starts.len()) };
    starts.swap_remove(at)
}

/// Changes one number of a step. A step without a number becomes another such step.
fn alter(step: &mut Step<'_>, other: Option<&Step<'_>>, start: &Start, rng: &mut Rng) {
    match step {
        Step::Start(_) => {}
        Step::Poke { address, bytes } => {
            let at = rng.usize(..bytes.len().max(1));
            match bytes.to_mut().get_mut(at) {
                Some(byte) if rng.bool() => *byte ^= 1 << rng.u8(..8),
                _ if rng.bool() => *address = descriptor::address(rng, start),
                _ => *address = address.wrapping_add(descriptor::nudge(rng)),
            }
        }
        Step::Wake | Step::Publish | Step::Arm | Step::Disarm => {
            let others = [Step::Wake, Step::Publish, Step::Arm, Step::Disarm];
            let [first, second, third, fourth] = others;
            *step = match rng.u8(..4) {
                0 => first,
                1 => second,
                2 => third,
                _ => fourth,
            };
        }
        Step::Pop { count: number } | Step::Unpop { which: number } => *number = small(rng),
        Step::Put { which, len } | Step::Batch { count: which, len } => {
            if rng.bool() {
                *which = small(rng);
            } else {
                *len = used_len(*len, rng);
            }
        }
        Step::Restart { is_fresh } => *is_fresh = !*is_fresh,
        Step::Memory { regions } => *regions ^= 1 << rng.u8(..4),
        Step::Read { border, len } => {
            (*border, *len) = (quarter(boundary(rng)) >> rng.u8(..16), small(rng));
        }
        Step::Write { len } => *len = small(rng),
        Step::Chain { id, .. } => {
            *id = match (rng.u8(..4), other) {
                (0, Some(Step::Chain { id, .. })) => *id,
                (0 | 1, _) => start.size.wrapping_sub(rng.u16(..3)),
                (2, _) => quarter(boundary(rng)),
                _ => id.wrapping_add(quarter(descriptor::nudge(rng))),
            };
        }
        Step::Table { address, .. } => {
            *address = if rng.bool() {
                descriptor::address(rng, start)
            } else {
                address.wrapping_add(descriptor::nudge(rng))
            };
        }
        Step::Wish { flags, event } => {
            if rng.bool() {
                *flags ^= 1 << rng.u8(..2);
            } else {
                *event = event.wrapping_add(quarter(descriptor::nudge(rng)))
                    ^ u16::from(rng.bool()) << 15;
            }
        }
        Step::Advance { by } => {
            *by = if rng.bool() { start.size } else { quarter(descriptor::nudge(rng)) };
        }
    }
}

/// A number of chains or bytes.
fn small(rng: &mut Rng) -> u8 {
    if rng.u8(..4) > 0 { rng.u8(..4) } else { (boundary(rng) & 0xff) as u8 }
}

/// A used length: nothing, as much as was written, or a byte more than there is.
fn used_len(len: u32, rng: &mut Rng) -> u32 {
    match rng.u8(..4) {
        0 => 0,
        1 => len.wrapping_add(1),
        2 => descriptor::length(rng),
        _ => low(boundary(rng)),
    }
}

/// The place of a chain or of a table.
fn any_list(steps: &[Step<'_>], rng: &mut Rng) -> Option<usize> {
    let is_list = |step: &Step<'_>| matches!(step, Step::Chain { .. } | Step::Table { .. });
    // From somewhere on, and then from the front: later ones as often as earlier ones.
    let from = rng.usize(..steps.len().max(1));
    let order = (from..steps.len()).chain(0..from);
    order.into_iter().find(|at| is_list(&steps[*at]))
}

/// Changes, adds or takes away a descriptor.
fn change_list(form: Form, steps: &mut [Step<'_>], rng: &mut Rng) {
    let Some(at) = any_list(steps, rng) else { return };
    let start = state(form, &steps[..at]).0;
    let (Step::Chain { descriptors, .. } | Step::Table { descriptors, .. }) = &mut steps[at] else {
        return;
    };
    let mut list: Vec<Descriptor> = descriptors.iter().collect();
    let one = rng.usize(..list.len().max(1));
    if list.is_empty() {
        list.push(descriptor::any(&start, rng));
    } else {
        match rng.u8(..10) {
            0 => {
                // What was linked to its neighbour is linked to this one.
                let mut new = descriptor::any(&start, rng);
                new.flags |= flag::NEXT;
                list.insert(one, new);
            }
            1 => drop(list.remove(one)),
            2 => list.insert(one, list[one]),
            3 => {
                let other = rng.usize(..list.len());
                list.swap(one, other);
            }
            4 => set_links(&mut list),
            _ => {
                let other = list[rng.usize(..list.len())];
                descriptor::alter(&mut list[one], other, &start, rng);
            }
        }
    }
    *descriptors = list.into_iter().collect();
}

/// Links each descriptor to the next, and the last one to none.
fn set_links(list: &mut [Descriptor]) {
    list.iter_mut().for_each(|descriptor| descriptor.flags |= flag::NEXT);
    if let Some(last) = list.last_mut() {
        last.flags &= !flag::NEXT;
    }
}

/// Puts the descriptors of a chain into a table, or those of a table into the chain behind it.
fn fold(form: Form, steps: &mut Vec<Step<'_>>, rng: &mut Rng) {
    let Some(at) = any_list(steps, rng) else { return };
    if let [Step::Table { descriptors, .. }, Step::Chain { descriptors: list, .. }, ..] =
        &mut steps[at..]
    {
        std::mem::swap(list, descriptors);
        steps.remove(at);
        return;
    }
    let start = state(form, &steps[..at]).0;
    let address = start.end().wrapping_add(0x1000 + 16 * rng.u64(..64));
    let Step::Chain { descriptors, .. } = &mut steps[at] else { return };
    let len = 16 * u32::from(count(descriptors));
    let table = [Descriptor { address, len, flags: flag::INDIRECT }].into_iter().collect();
    let descriptors = std::mem::replace(descriptors, table);
    steps.insert(at, Step::Table { address, descriptors });
}

/// Moves a ring and all that it is about to another memory: what lay in a region lies in its
/// counterpart.
fn change_memory(form: Form, steps: &mut Vec<Step<'_>>, rng: &mut Rng) {
    let to = Layout::ALL[rng.usize(..Layout::ALL.len())];
    let from = any_start(form, steps, rng).layout;
    // Those that were in the same memory move.
    let mut is_moved = false;
    for step in steps {
        match step {
            Step::Start(start) => {
                is_moved = start.layout == from;
                if is_moved {
                    let parts = start.parts.map(|part| moved(part, from, to));
                    *start = Start { layout: to, parts, ..*start };
                }
            }
            Step::Poke { address, .. } if is_moved => *address = moved(*address, from, to),
            Step::Table { address, descriptors } if is_moved => {
                *address = moved(*address, from, to);
                *descriptors = all_moved(descriptors, from, to);
            }
            Step::Chain { descriptors, .. } if is_moved => {
                *descriptors = all_moved(descriptors, from, to);
            }
            _ => {}
        }
    }
}

fn all_moved(list: &Descriptors<'_>, from: Layout, to: Layout) -> Descriptors<'static> {
    list.iter().map(|it| Descriptor { address: moved(it.address, from, to), ..it }).collect()
}

/// An address as far from the start of a region, or, in its last quarter, from its end.
fn moved(address: u64, from: Layout, to: Layout) -> u64 {
    let regions = from.areas().iter().zip(to.areas().iter().cycle());
    for (old, new) in regions {
        let offset = address.wrapping_sub(old.start);
        if offset < old.size {
            let is_low = offset < old.size / 4 * 3;
            let offset = if is_low { offset } else { new.size.wrapping_sub(old.size - offset) };
            return new.start.wrapping_add(offset);
        }
    }
    address
}

/// Makes every start one that a ring of this form accepts, and lets it begin with the driver's
/// flags that it begins with.
fn fit(form: Form, steps: &mut Vec<Step<'_>>) {
    for step in &mut *steps {
        match step {
            Step::Start(start) => *start = start::fitted(*start, form),
            Step::Chain { descriptors, .. } => {
                let clear = |it: Descriptor| Descriptor {
                    flags: it.flags & !(flag::AVAIL | flag::USED),
                    ..it
                };
                *descriptors = descriptors.iter().map(clear).collect();
            }
            _ => {}
        }
    }
    if form == Form::Packed {
        steps.retain(|step| !matches!(step, Step::Advance { .. }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::target::check_script;
    use crate::script::encode;
    use std::collections::BTreeSet;
    use vhost_fuzz_core::ring::{PackedQueue, SplitQueue};

    const FORMS: [Form; 2] = [Form::Split, Form::Packed];

    fn steps(seed: u64, form: Form) -> Vec<Step<'static>> {
        draw::script(&mut Rng::with_seed(seed), form, 12)
    }

    fn bytes(steps: &[Step<'_>]) -> Vec<u8> {
        let records: Vec<_> = steps.iter().map(Step::record).collect();
        encode(&records)
    }

    /// Scripts before a change and after it.
    fn changed(change: Change, form: Form) -> Vec<[Vec<Step<'static>>; 2]> {
        let change = |seed| {
            let before = steps(seed % 8, form);
            let mut after = before.clone();
            change.apply(form, &mut after, &mut Rng::with_seed(seed));
            [before, after]
        };
        (0..200).map(change).collect()
    }

    #[test]
    fn every_change_is_drawn_and_makes_a_script() {
        let mut rng = Rng::with_seed(1);
        let drawn: BTreeSet<_> =
            (0..500).map(|_| format!("{:?}", Change::draw(&mut rng))).collect();
        assert_eq!(drawn.len(), 10, "{drawn:?}");
        for (change, form) in Change::DRAWN.into_iter().flat_map(|it| FORMS.map(|form| (it, form)))
        {
            let pairs = changed(change, form);
            assert!(pairs.iter().any(|[before, after]| before != after), "{change:?}");
            for [_, after] in pairs {
                let bytes = bytes(&after);
                let read: Vec<_> = records(&bytes).filter_map(step::of).collect();
                assert_eq!(read, after, "{change:?}");
                let mut none = Vec::new();
                change.apply(form, &mut none, &mut rng); // an empty script is a script
            }
        }
    }

    /// The start stays in front, and the number of steps says what happened to them.
    #[test]
    fn steps_are_added_moved_and_removed() {
        for form in FORMS {
            let lens = |change| {
                changed(change, form).into_iter().map(move |[before, after]| {
                    assert!(matches!(after[0], Step::Start(_)), "{change:?}");
                    (before.len(), after.len())
                })
            };
            let most = RUN_MAX;
            assert!(lens(Change::Copy).all(|(old, new)| (old..=old + most).contains(&new)));
            assert!(lens(Change::Move).all(|(old, new)| old == new));
            assert!(lens(Change::Remove).all(|(old, new)| (new..=new + most).contains(&old)));
            assert!(lens(Change::Phrase).all(|(old, new)| old < new));
            assert!(lens(Change::Field).all(|(old, new)| old == new));
            assert!(lens(Change::Fold).any(|(old, new)| old < new));
            assert!(lens(Change::Fold).any(|(old, new)| old > new));
        }
    }

    #[test]
    fn chains_go_on_where_the_driver_was() {
        let buffer = || [Descriptor { address: 0, len: 1, flags: 0 }; 3].into_iter().collect();
        let before = [Step::Start(Start::of(8, 0)), Step::Chain { id: 4, descriptors: buffer() }];
        let mut goes_on = 0;
        for seed in 0..200 {
            let mut after = before.to_vec();
            say(Form::Split, &mut after, &mut Rng::with_seed(seed));
            let heads = after.iter().skip(2).filter_map(|step| match step {
                Step::Chain { id, .. } => Some(*id),
                _ => None,
            });
            goes_on += usize::from(heads.take(1).eq([7]));
        }
        assert!(goes_on > 50, "{goes_on}");
    }

    #[test]
    fn what_was_folded_is_unfolded() {
        let [first, second] = [1, 2].map(|address| Descriptor { address, len: 4, flags: 0 });
        let direct = Step::Chain { id: 3, descriptors: [first, second].into_iter().collect() };
        let mut steps = vec![direct.clone()];
        fold(Form::Split, &mut steps, &mut Rng::with_seed(1));
        let [Step::Table { address, descriptors: table }, Step::Chain { id: 3, descriptors }] =
            &steps[..]
        else {
            panic!("a table and a chain: {steps:?}");
        };
        assert!(table.iter().eq([first, second]));
        let to_table = Descriptor { address: *address, len: 32, flags: flag::INDIRECT };
        assert!(descriptors.iter().eq([to_table]));
        while steps.len() == 2 {
            // Until the table is found, not the chain.
            let before = steps.clone();
            fold(Form::Split, &mut steps, &mut Rng::with_seed(3));
            assert!(steps != before);
        }
        assert!(steps == [direct] || steps.len() == 3, "{steps:?}");
    }

    #[test]
    fn addresses_move_with_their_region() {
        let [small, odd] = [Layout::Small, Layout::Odd];
        assert_eq!(moved(0x1_0010, small, odd), 0x1_0010);
        assert_eq!(moved(0x1_7ff8, small, odd), 0x1_6ff0, "8 bytes before a border");
        assert_eq!(moved(0x1_8001, small, odd), 0x1_6ff9);
        assert_eq!(moved(0x5000_0000, small, odd), 0x5000_0000, "no memory before, none after");
        assert_eq!(moved(0xffff_ffff_ffff_1fff, odd, small), 0x1_7fff, "there is no fourth");
    }

    /// A script of the other form is one of this form after that.
    #[test]
    fn a_script_of_the_other_form_begins_well() {
        for seed in 0..40 {
            let mut other = steps(seed, Form::Split);
            fit(Form::Packed, &mut other);
            let Step::Start(start) = other[0] else { panic!("a start: {:?}", other[0]) };
            assert_eq!(start, start::fitted(start, Form::Packed));
            assert_eq!(start.base & 0xffff, start.base >> 16);
            let _ = check_script::<PackedQueue>(&bytes(&other));
        }
    }

    /// Children fit, and most of them still do much.
    #[test]
    fn children_are_run_and_most_of_them_work() {
        type Mutator = fn(&mut [u8], usize, usize, u32, ByteMutator<'_>) -> usize;
        let run = |form, mutate: Mutator, check: fn(&[u8]) -> usize| {
            let (mut operations, mut changed) = (0, 0);
            for seed in 0..200 {
                let parent = bytes(&steps(seed.into(), form));
                let max_size = 1 + parent.len() / 2 * seed as usize % 4096;
                let mut data = parent.clone();
                data.resize(4096.max(parent.len()), 0);
                let len = mutate(&mut data, parent.len(), max_size, seed, &mut |_, size| {
                    size.min(max_size)
                });
                assert!(len <= max_size);
                let mut data = parent.clone();
                data.resize(8192, 0);
                let len = mutate(&mut data, parent.len(), 8192, seed, &mut |_, size| size);
                operations += check(&data[..len]);
                changed += usize::from(data[..len] != parent);
            }
            assert!(operations > 200 * 8, "{operations} operations of 200 children");
            assert!(changed > 120, "{changed} of 200 children are new");
        };
        run(Form::Split, split_ring, |bytes| check_script::<SplitQueue>(bytes).operations);
        run(Form::Packed, packed_ring, |bytes| check_script::<PackedQueue>(bytes).operations);
    }
}

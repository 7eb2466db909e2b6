//! Mutates an image of a single chain, descriptor by descriptor.

use fastrand::Rng;
use vhost_fuzz_core::ring::{Layout as Form, flag};

use super::descriptor::quarter;
use super::{ByteMutator, boundary, descriptor, is_bytes_turn, put};
use crate::ram::Layout;
use crate::ring::image::{HEADER_LEN, SIZES, table_address};
use crate::ring::step::{Descriptor, Start};

/// Bytes of a descriptor.
const SLOT_LEN: usize = 16;

/// Most descriptors of a chain that is made.
const CHAIN_MAX: usize = 8;

/// Changes `data[..size]` into another image of at most `max_size` bytes for the target
/// `split_chain`; returns its length.
pub fn split_chain(
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
    let child = child(Form::Split, &data[..size], &mut rng);
    put(data, max_size, &child)
}

/// Changes `data[..size]` into another image of at most `max_size` bytes for the target
/// `packed_chain`; returns its length.
pub fn packed_chain(
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
    let child = child(Form::Packed, &data[..size], &mut rng);
    put(data, max_size, &child)
}

/// The header of one image with descriptors of both: the front of one and the back of the other,
/// the ring of one and the table of the other, or each from either.
pub fn crossover(first: &[u8], second: &[u8], out: &mut [u8], seed: u32) -> usize {
    let mut rng = Rng::with_seed(seed.into());
    let (Some((header, left)), Some((_, right))) =
        (first.split_first_chunk::<HEADER_LEN>(), second.split_first_chunk::<HEADER_LEN>())
    else {
        let max_size = out.len();
        return put(out, max_size, first);
    };
    let mut child = header.to_vec();
    let slots = left.len().max(right.len()).div_ceil(SLOT_LEN);
    let border = match rng.u8(..3) {
        0 => rng.usize(..=slots),
        1 => usize::from(SIZES[usize::from(header[0] & 7)]),
        _ => usize::MAX,
    };
    for slot in 0..slots {
        let is_left = if border == usize::MAX { rng.bool() } else { slot < border };
        let [wanted, other] = if is_left { [left, right] } else { [right, left] };
        // Where one ends, the other goes on, so that the rest keeps its place.
        let at = slot * SLOT_LEN;
        let of = |from: &[u8]| from.get(at..from.len().min(at + SLOT_LEN)).unwrap_or(&[]).to_vec();
        let bytes = of(wanted);
        child.extend(if bytes.is_empty() { of(other) } else { bytes });
        if !child[HEADER_LEN..].len().is_multiple_of(SLOT_LEN) {
            break;
        }
    }
    let max_size = out.len();
    put(out, max_size, &child)
}

fn child(form: Form, parent: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut image = Image::read(form, parent).unwrap_or_else(|| Image::new(form, rng));
    for _ in 0..=rng.u8(..3) {
        Change::draw(rng).apply(&mut image, rng);
    }
    image.bytes()
}

/// The index of a descriptor.
fn index(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Image {
    form: Form,
    kind: u8,
    features: u8,
    cap: u8,
    first: u8,
    slots: Vec<Slot>,
    /// Bytes that are no whole descriptor.
    rest: Vec<u8>,
}

/// A descriptor with what links it: `next` of a split ring, the id of a packed one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    address: u64,
    len: u32,
    flags: u16,
    link: u16,
}

impl Slot {
    fn read(form: Form, bytes: &[u8; SLOT_LEN]) -> Self {
        let [address @ .., l0, l1, l2, l3, t0, t1, f0, f1] = *bytes;
        let [third, fourth] = [[t0, t1], [f0, f1]].map(u16::from_le_bytes);
        let (flags, link) = match form {
            Form::Split => (third, fourth),
            Form::Packed => (fourth, third),
        };
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        Self { address: u64::from_le_bytes(address), len, flags, link }
    }

    fn bytes(self, form: Form) -> [u8; SLOT_LEN] {
        let [third, fourth] = match form {
            Form::Split => [self.flags, self.link],
            Form::Packed => [self.link, self.flags],
        };
        let low = u128::from(self.len) << 64 | u128::from(self.address);
        (u128::from(fourth) << 112 | u128::from(third) << 96 | low).to_le_bytes()
    }

    const fn descriptor(self) -> Descriptor {
        Descriptor { address: self.address, len: self.len, flags: self.flags }
    }

    const fn with(self, Descriptor { address, len, flags }: Descriptor) -> Self {
        Self { address, len, flags, ..self }
    }
}

/// One way to change an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// A descriptor has another address, length or flag.
    Field,
    /// A descriptor leads elsewhere.
    Link,
    /// A chain ends here, or goes on.
    End,
    /// A chain leads back.
    Loop,
    /// A chain from the head on, which is legal.
    Chain,
    /// A table, and a descriptor that leads to it.
    Table,
    /// A descriptor is written over another.
    Copy,
    /// A descriptor comes between others, which move up.
    Insert,
    /// A descriptor goes, and others move down.
    Remove,
    /// The image ends earlier.
    Truncate,
    /// Another size, other features, another limit, another head.
    Header,
}

impl Change {
    /// As often as each is drawn.
    const DRAWN: [Self; 20] = [
        Self::Field,
        Self::Field,
        Self::Field,
        Self::Field,
        Self::Field,
        Self::Field,
        Self::Link,
        Self::Link,
        Self::End,
        Self::Loop,
        Self::Chain,
        Self::Chain,
        Self::Table,
        Self::Table,
        Self::Copy,
        Self::Insert,
        Self::Remove,
        Self::Truncate,
        Self::Header,
        Self::Header,
    ];

    fn draw(rng: &mut Rng) -> Self {
        Self::DRAWN[rng.usize(..Self::DRAWN.len())]
    }

    fn apply(self, image: &mut Image, rng: &mut Rng) {
        let at = image.any(rng);
        let other = image.any(rng);
        match self {
            Self::Field => {
                let start = image.start();
                let other = image.at(other).descriptor();
                let slot = image.at_mut(at);
                let mut descriptor = slot.descriptor();
                descriptor::alter(&mut descriptor, other, &start, rng);
                *slot = slot.with(descriptor);
            }
            Self::Link => {
                let near = [image.size(), image.size().wrapping_sub(1), index(other)];
                let link =
                    if rng.u8(..4) == 0 { quarter(boundary(rng)) } else { near[rng.usize(..3)] };
                let slot = image.at_mut(at);
                slot.flags |= flag::NEXT;
                slot.link = link;
            }
            Self::End => image.at_mut(at).flags ^= flag::NEXT,
            Self::Loop => {
                let back = index(rng.usize(..=at));
                let slot = image.at_mut(at);
                slot.flags = (slot.flags | flag::NEXT) & !flag::INDIRECT;
                slot.link = back;
            }
            Self::Chain => image.make_chain(rng),
            Self::Table => image.make_table(at, rng),
            Self::Copy => *image.at_mut(at) = image.at(other),
            Self::Insert => {
                let new = image.at(other);
                image.slots.insert(at.min(image.slots.len()), new);
            }
            Self::Remove => {
                if at < image.slots.len() {
                    image.slots.remove(at);
                }
            }
            Self::Truncate => {
                image.slots.truncate(rng.usize(..=image.slots.len()));
                image.rest.truncate(rng.usize(..=image.rest.len()));
            }
            Self::Header => image.change_header(rng),
        }
    }
}

impl Image {
    /// Nothing when it is too short for a header.
    fn read(form: Form, bytes: &[u8]) -> Option<Self> {
        let (&[kind, features, cap, first], bytes) = bytes.split_first_chunk::<HEADER_LEN>()?;
        let (slots, rest) = bytes.as_chunks();
        let slots = slots.iter().map(|bytes| Slot::read(form, bytes)).collect();
        Some(Self { form, kind, features, cap, first, slots, rest: rest.to_vec() })
    }

    /// A ring with a chain.
    fn new(form: Form, rng: &mut Rng) -> Self {
        let (kind, features, first) = (rng.u8(..16), rng.u8(..4), rng.u8(..4));
        let mut image =
            Self { form, kind, features, cap: 0, first, slots: Vec::new(), rest: Vec::new() };
        image.make_chain(rng);
        image
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.kind, self.features, self.cap, self.first];
        self.slots.iter().for_each(|slot| bytes.extend(slot.bytes(self.form)));
        bytes.extend(&self.rest);
        bytes
    }

    fn size(&self) -> u16 {
        SIZES[usize::from(self.kind & 7)]
    }

    /// How the ring of this image starts, as far as changes have to know.
    fn start(&self) -> Start {
        let layout = if self.kind & 8 == 0 { Layout::Small } else { Layout::Odd };
        Start::of(self.size(), 0).within(layout)
    }

    /// A descriptor that is there, or sometimes the one after the last.
    fn any(&self, rng: &mut Rng) -> usize {
        let chain = usize::from(self.first) % usize::from(self.size());
        // The one that a chain begins with decides most.
        if rng.u8(..8) == 0 { chain } else { rng.usize(..=self.slots.len()) }
    }

    fn at(&self, at: usize) -> Slot {
        self.slots.get(at).copied().unwrap_or_default()
    }

    fn at_mut(&mut self, at: usize) -> &mut Slot {
        if at >= self.slots.len() {
            self.rest.clear();
            self.slots.resize(at + 1, Slot::default());
        }
        &mut self.slots[at]
    }

    /// Flags that make a slot available, `ahead` of where a packed ring begins.
    fn available(&self, ahead: usize) -> u16 {
        let size = usize::from(self.size());
        match self.form {
            Form::Split => 0,
            Form::Packed if usize::from(self.first) % size + ahead < size => flag::AVAIL,
            Form::Packed => flag::USED,
        }
    }

    /// Writes buffers from the head on, linked and available.
    fn make_chain(&mut self, rng: &mut Rng) {
        let size = usize::from(self.size());
        let first = usize::from(self.first) % size;
        self.first = u8::try_from(first).unwrap_or(0);
        let count = rng.usize(1..=size.min(CHAIN_MAX));
        let readable = rng.usize(..=count);
        let step = match self.form {
            // An odd step goes through all of a table whose size is a power of two.
            Form::Split if size.is_power_of_two() => 2 * rng.usize(..4) + 1,
            _ => 1,
        };
        let id = rng.u16(..);
        for ahead in 0..count {
            let available = self.available(ahead);
            let next = (first + (ahead + 1) * step) % size;
            let link = if self.form == Form::Split { index(next) } else { id };
            let buffer = self.buffer(ahead >= readable, rng);
            let slot = self.at_mut((first + ahead * step) % size);
            *slot = Slot { flags: buffer.flags | available, link, ..buffer };
            if ahead + 1 < count {
                slot.flags |= flag::NEXT;
            }
        }
    }

    /// A buffer that is in memory.
    fn buffer(&self, is_writable: bool, rng: &mut Rng) -> Slot {
        let area = self.start().layout.areas()[rng.usize(..3)];
        let len = rng.u32(..0x100);
        let last = area.size - u64::from(len);
        let offset = if rng.bool() { last } else { rng.u64(0x1000..=last) };
        let flags = if is_writable { flag::WRITE } else { 0 };
        Slot { address: area.start.wrapping_add(offset), len, flags, link: 0 }
    }

    /// Writes a table behind the ring, and lets a descriptor lead to it. That one is the head, or
    /// where a chain went on.
    fn make_table(&mut self, at: usize, rng: &mut Rng) {
        let size = usize::from(self.size());
        let first = usize::from(self.first) % size;
        let (at, ahead) =
            if rng.bool() { (first, 0) } else { (at % size, (at + size - first) % size) };
        let count = rng.usize(1..=CHAIN_MAX);
        let entry = rng.usize(..4);
        let readable = rng.usize(..=count);
        for place in 0..count {
            let buffer = self.buffer(place >= readable, rng);
            let is_last = place + 1 == count;
            let flags = buffer.flags | if is_last { 0 } else { flag::NEXT };
            *self.at_mut(size + entry + place) = Slot { flags, link: index(place + 1), ..buffer };
        }
        let address = table_address(self.start().layout) + 16 * u64::from(index(entry));
        let len = 16 * u32::from(index(count));
        let flags = flag::INDIRECT | self.available(ahead);
        let link = self.at(at).link;
        *self.at_mut(at) = Slot { address, len, flags, link };
    }

    fn change_header(&mut self, rng: &mut Rng) {
        match rng.u8(..8) {
            0 => self.kind = self.kind & 8 | rng.u8(..8),
            1 => self.kind ^= 8,
            2..5 => self.features ^= 1 << rng.u8(..5),
            5 => self.cap = if rng.bool() { 0 } else { rng.u8(..10) },
            6 => self.first = rng.u8(..) % u8::try_from(self.size()).unwrap_or(1),
            _ => self.first = (boundary(rng) & 0xff) as u8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Outcome;
    use crate::ring::target::check_image;
    use std::collections::BTreeSet;
    use vhost_fuzz_core::ring::{PackedQueue, SplitQueue};

    const FORMS: [Form; 2] = [Form::Split, Form::Packed];

    fn check(form: Form, bytes: &[u8]) -> Outcome {
        let outcome = match form {
            Form::Split => check_image::<SplitQueue>(bytes),
            Form::Packed => check_image::<PackedQueue>(bytes),
        };
        outcome.expect("a header")
    }

    /// A ring of 8 with a chain.
    fn image(seed: u64, form: Form) -> Image {
        let mut rng = Rng::with_seed(seed);
        let kind = 3 | rng.u8(..2) << 3;
        let mut image = Image { kind, first: rng.u8(..8), ..Image::new(form, &mut rng) };
        image.slots.clear();
        image.make_chain(&mut rng);
        image
    }

    /// Images after a change.
    fn changed(change: Change, form: Form) -> impl Iterator<Item = [Image; 2]> {
        (0..200).map(move |seed| {
            let before = image(seed % 8, form);
            let mut after = before.clone();
            change.apply(&mut after, &mut Rng::with_seed(seed));
            [before, after]
        })
    }

    #[test]
    fn every_change_is_drawn_and_makes_an_image() {
        let mut rng = Rng::with_seed(1);
        let drawn: BTreeSet<_> =
            (0..500).map(|_| format!("{:?}", Change::draw(&mut rng))).collect();
        assert_eq!(drawn.len(), 11, "{drawn:?}");
        for (change, form) in Change::DRAWN.into_iter().flat_map(|it| FORMS.map(|form| (it, form)))
        {
            assert!(changed(change, form).any(|[before, after]| before != after), "{change:?}");
            for [_, after] in changed(change, form) {
                assert_eq!(Image::read(form, &after.bytes()), Some(after), "{change:?}");
            }
            let mut none = Image::read(form, &[7, 0, 0, 255]).expect("a header");
            change.apply(&mut none, &mut rng); // an image without a descriptor is one
        }
    }

    #[test]
    fn chains_and_tables_that_are_made_are_taken() {
        for form in FORMS {
            for seed in 0..300 {
                let before = image(seed, form);
                assert_eq!(check(form, &before.bytes()).broken, [], "{before:x?}");
            }
            let mut taken = 0;
            for [_, mut after] in changed(Change::Table, form) {
                after.features |= crate::ring::step::feature::INDIRECT;
                taken += usize::from(check(form, &after.bytes()).broken.is_empty());
            }
            assert!(taken > 80, "{taken} of 200 tables are taken");
        }
    }

    #[test]
    fn changes_break_rules() {
        let broken = |form| -> BTreeSet<String> {
            let outcomes = (0..4000_u32).map(|seed| {
                let parent = image(seed.into(), form).bytes();
                check(form, &child(form, &parent, &mut Rng::with_seed(seed.into())))
            });
            outcomes.flat_map(|outcome| outcome.broken).map(|rule| rule.to_string()).collect()
        };
        let wanted = [
            "VQ-012", "VQ-014", "VQ-015", "VQ-017", "VQ-020", "VQ-022", "VQ-023", "VQ-025",
            "VQ-026",
        ];
        let split = broken(Form::Split);
        wanted.iter().for_each(|rule| assert!(split.contains(*rule), "{rule} not in {split:?}"));
        let wanted = ["PK-012", "PK-013", "PK-015", "PK-016", "PK-021", "PK-041"];
        let packed = broken(Form::Packed);
        wanted.iter().for_each(|rule| assert!(packed.contains(*rule), "{rule} not in {packed:?}"));
    }

    #[test]
    fn a_crossover_has_descriptors_of_both_at_their_places() {
        for form in FORMS {
            let [mut first, second] = [image(1, form), image(2, form)];
            first.rest = vec![1, 2, 3];
            let [left, right] = [first.bytes(), second.bytes()];
            let mut children = BTreeSet::new();
            for seed in 0..200 {
                let mut out = [0; 256];
                let len = crossover(&left, &right, &mut out, seed);
                let child = Image::read(form, &out[..len]).expect("a header");
                assert_eq!(child.first, first.first);
                for (at, slot) in child.slots.iter().enumerate() {
                    let from = [first.slots.get(at), second.slots.get(at)];
                    assert!(from.contains(&Some(slot)), "{at}: {child:x?}");
                }
                children.insert(out[..len].to_vec());
                assert!(crossover(&left, &right, &mut out[..7], seed) <= 7);
            }
            assert!(children.len() > 4, "{}", children.len());
            assert_eq!(crossover(&[1, 2], &right, &mut [0; 64], 1), 2);
        }
    }

    /// Children fit; what has no header becomes an image; bytes are left alone one time in eight.
    #[test]
    fn children_fit_and_are_run() {
        type Mutator = fn(&mut [u8], usize, usize, u32, ByteMutator<'_>) -> usize;
        let mutators: [Mutator; 2] = [split_chain, packed_chain];
        for (form, mutate) in FORMS.into_iter().zip(mutators) {
            let mut turns = 0;
            for seed in 0..400 {
                let parent = image(seed.into(), form).bytes();
                let max_size = 4 + seed as usize % 200;
                let size = parent.len().min(max_size) * usize::from(seed % 5 > 0);
                let mut data = parent.clone();
                data.resize(max_size, 0);
                let len = mutate(&mut data, size, max_size, seed, &mut |_, size| {
                    turns += 1;
                    size
                });
                assert!(len <= max_size);
                if len >= HEADER_LEN {
                    let _ = check(form, &data[..len]);
                }
            }
            assert!((30..80).contains(&turns), "{turns}");
        }
    }
}

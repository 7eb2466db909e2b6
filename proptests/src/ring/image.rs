//! What memory holds of a ring: chains that are legal, but for one fault.
//!
//! An image of random bytes fails at its first descriptor. Here all of it is legal, or one field
//! of one descriptor is not, so that whatever comes before it is walked. It shrinks to fewer and
//! shorter chains without a fault.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use vhost_fuzz_core::ring::flag::{AVAIL, INDIRECT, NEXT, USED, WRITE};
use vhost_fuzz_core::ring::{Features, Layout};

use crate::number::{self, Boundary};

/// Most chains of an image.
const CHAINS_MAX: usize = 5;

/// Most buffers of a chain in one direction.
const BUFFERS_MAX: usize = 5;

/// Bytes from one table to the next.
const TABLE_STEP: u64 = 0x100;

/// Bytes at the front of the first memory that tables are in.
pub const TABLES: u64 = TABLE_STEP * CHAINS_MAX as u64;

/// What an image is made for.
#[derive(Clone, Copy, Debug)]
pub struct Ground {
    /// The layout.
    pub layout: Layout,
    /// Entries; a power of two for a split ring.
    pub size: u16,
    /// The next available index (split), or slot and in bit 15 the wrap counter (packed).
    pub at: u16,
    /// What was negotiated.
    pub features: Features,
    /// Memory for buffers: guest address and bytes, at least one, none of it empty. [`TABLES`]
    /// bytes at the front of the first are for tables, too.
    pub memory: &'static [(u64, u64)],
}

/// A descriptor or an entry of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Guest address.
    pub address: u64,
    /// Bytes.
    pub len: u32,
    /// Flags.
    pub flags: u16,
    /// `next` (split) or buffer id (packed).
    pub next: u16,
}

impl Descriptor {
    /// As it is in memory.
    #[must_use]
    pub fn bytes(&self, layout: Layout) -> [u8; 16] {
        let Self { address, len, flags, next } = *self;
        let (third, fourth) = match layout {
            Layout::Split => (flags, next),
            Layout::Packed => (next, flags),
        };
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&address.to_le_bytes());
        bytes[8..12].copy_from_slice(&len.to_le_bytes());
        bytes[12..14].copy_from_slice(&third.to_le_bytes());
        bytes[14..].copy_from_slice(&fourth.to_le_bytes());
        bytes
    }
}

/// An indirect table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Guest address.
    pub address: u64,
    /// Its entries.
    pub entries: Vec<Descriptor>,
    /// The descriptor that refers to it.
    pub slot: u16,
}

/// What is wrong with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One more or one less of the flags NEXT, WRITE and INDIRECT.
    Flag(u16),
    /// Another address of a buffer.
    Address(u64),
    /// Another length of a buffer.
    Len(u32),
    /// Split: another `next`. Packed: another id, which breaks nothing.
    Next(u16),
    /// Another length of a table, or of a buffer when there is no table.
    TableLen(u32),
    /// Another address of a table, or of a buffer when there is no table.
    TableAddress(u64),
    /// Split: another head. Packed: other AVAIL and USED flags.
    Head(u16),
    /// Split: the first head once more. Packed: nothing.
    Repeat,
    /// Split: another available index. Packed: nothing.
    Ahead(u16),
}

/// What memory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The layout.
    pub layout: Layout,
    /// The descriptor table or ring, with as many entries as the ring has.
    pub descriptors: Vec<Descriptor>,
    /// Split: the heads, in order, from the next available index on. Packed: the slots that the
    /// lists begin in.
    pub heads: Vec<u16>,
    /// Split: the available index.
    pub index: u16,
    /// Indirect tables.
    pub tables: Vec<Table>,
    /// What is wrong, if something is.
    pub fault: Option<Fault>,
}

/// A chain before it has a place.
#[derive(Clone, Debug)]
struct Draft {
    /// Where in memory each buffer begins, and its bytes.
    readable: Vec<(Index, u32)>,
    writable: Vec<(Index, u32)>,
    /// How many buffers stand before the table, if there is one.
    direct: Option<usize>,
    /// Split: what stands where nothing means anything. Packed: the id.
    any: u16,
}

fn buffers() -> impl Strategy<Value = Vec<(Index, u32)>> + Clone {
    let len = prop_oneof![1 => Just(0), 6 => 1..=64_u32, 2 => 1..=4096_u32];
    vec((any::<Index>(), len), 0..=BUFFERS_MAX)
}

fn draft() -> impl Strategy<Value = Draft> + Clone {
    let direct = select(vec![None, None, Some(0), Some(0), Some(2)]);
    (buffers(), buffers(), any::<Index>(), direct, number::u16()).prop_map(
        |(mut readable, writable, at, direct, any)| {
            if readable.is_empty() && writable.is_empty() {
                readable.push((at, 1));
            }
            Draft { readable, writable, direct, any }
        },
    )
}

/// A fault of any kind.
pub fn fault() -> impl Strategy<Value = Fault> + Clone {
    let flag = select(vec![NEXT, WRITE, INDIRECT, NEXT | INDIRECT]);
    let address = prop_oneof![
        1 => number::u64(),
        1 => (0..=64_u64).prop_map(|before| u64::MAX - before),
    ];
    let len = prop_oneof![Just(u32::MAX), Just(1_u32 << 31), number::u32()];
    let table_len = prop_oneof![
        3 => select(vec![0, 1, 8, 15, 24, 0xffff_fff0, u32::MAX]),
        1 => (0..40_u32).prop_map(|entries| 16 * entries),
    ];
    let head = prop_oneof![0..8_u16, number::u16()];
    prop_oneof![
        3 => flag.prop_map(Fault::Flag),
        2 => address.clone().prop_map(Fault::Address),
        2 => len.prop_map(Fault::Len),
        2 => prop_oneof![0..40_u16, number::u16()].prop_map(Fault::Next),
        2 => table_len.prop_map(Fault::TableLen),
        1 => address.prop_map(Fault::TableAddress),
        1 => head.prop_map(Fault::Head),
        1 => Just(Fault::Repeat),
        1 => Boundary::new(0..=u16::MAX.into())
            .prop_map(|index| Fault::Ahead(u16::try_from(index).expect("16 bits"))),
    ]
}

/// Images for a ring; two in three have a fault.
pub fn image(ground: Ground) -> impl Strategy<Value = Image> + Clone {
    let fault = prop_oneof![1 => Just(None), 2 => fault().prop_map(Some)];
    (vec(draft(), 1..=CHAINS_MAX), fault, any::<Index>()).prop_map(move |(drafts, fault, at)| {
        let mut image = Image {
            layout: ground.layout,
            descriptors: vec![Descriptor::default(); ground.size.into()],
            heads: Vec::new(),
            index: ground.at,
            tables: Vec::new(),
            fault: None,
        };
        let mut maker = Maker { ground, free: ground.size, slot: ground.at % 0x8000 };
        for draft in &drafts {
            maker.add(&mut image, draft);
        }
        if let Some(fault) = fault {
            image.spoil(fault, at);
        }
        image
    })
}

/// Lays chains into an image.
struct Maker {
    ground: Ground,
    /// Descriptors that no chain has.
    free: u16,
    /// Packed: the next slot. Split: the next descriptor.
    slot: u16,
}

impl Maker {
    /// Where a buffer of so many bytes begins.
    fn address(&self, at: Index, len: u32) -> u64 {
        let memory = self.ground.memory;
        let (start, size) = memory[at.index(memory.len())];
        let most = size.saturating_sub(len.into()).saturating_add(1);
        start + at.index(usize::try_from(most).unwrap_or(usize::MAX)) as u64
    }

    /// The buffers of a draft, which stay in memory.
    fn buffers(&self, draft: &Draft) -> Vec<Descriptor> {
        let buffer = |(at, len): &(Index, u32), flags| {
            let most = self.ground.memory.iter().map(|(_, size)| *size).min().unwrap_or(0);
            let len = (*len).min(u32::try_from(most).unwrap_or(u32::MAX));
            Descriptor { address: self.address(*at, len), len, flags, next: 0 }
        };
        let readable = draft.readable.iter().map(|one| buffer(one, 0));
        readable.chain(draft.writable.iter().map(|one| buffer(one, WRITE))).collect()
    }

    /// Adds a chain, if there is room for it.
    fn add(&mut self, image: &mut Image, draft: &Draft) {
        let mut chain = self.buffers(draft);
        let direct = draft.direct.filter(|_| self.ground.features.indirect);
        let direct = direct.map(|direct| match self.ground.layout {
            Layout::Split => direct.min(chain.len() - 1),
            Layout::Packed => 0,
        });
        let entries = direct.map(|direct| chain.split_off(direct));
        if let Some(entries) = &entries {
            let address = self.ground.memory[0].0 + TABLE_STEP * image.tables.len() as u64;
            let len = u32::try_from(16 * entries.len()).unwrap_or(0);
            chain.push(Descriptor { address, len, flags: INDIRECT, next: 0 });
        }
        let count = u16::try_from(chain.len()).unwrap_or(u16::MAX);
        if count > self.free {
            return;
        }
        let slots = self.place(image, &chain, draft.any);
        if let (Some(mut entries), Some(slot)) = (entries, slots.last()) {
            if self.ground.layout == Layout::Split {
                link(&mut entries);
            }
            let address = self.ground.memory[0].0 + TABLE_STEP * image.tables.len() as u64;
            image.tables.push(Table { address, entries, slot: *slot });
        }
        image.heads.push(slots[0]);
        image.index = image.index.wrapping_add(1);
    }

    /// Puts the descriptors of a chain into the table or the ring; gives where they are.
    fn place(&mut self, image: &mut Image, chain: &[Descriptor], any: u16) -> Vec<u16> {
        let Ground { layout, size, at, .. } = self.ground;
        let count = u16::try_from(chain.len()).unwrap_or(u16::MAX);
        let start = at % 0x8000;
        let used = size - self.free;
        let slots: Vec<u16> = match layout {
            // Neighbours are apart: an odd step goes through all of a table whose size is a power
            // of two.
            Layout::Split => (used..used + count).map(|n| n.wrapping_mul(5) % size).collect(),
            Layout::Packed => (0..count).map(|n| (self.slot + n) % size).collect(),
        };
        for (n, descriptor) in chain.iter().enumerate() {
            let next = slots.get(n + 1);
            let more = if next.is_some() { NEXT } else { 0 };
            let lap = match layout {
                Layout::Split => 0,
                Layout::Packed => {
                    let is_first_lap = (at >= 0x8000) == (slots[n] >= start);
                    if is_first_lap { AVAIL } else { USED }
                }
            };
            image.descriptors[usize::from(slots[n])] = Descriptor {
                flags: descriptor.flags | more | lap,
                next: match layout {
                    // The `next` of a last descriptor says nothing.
                    Layout::Split => next.copied().unwrap_or(any),
                    Layout::Packed => any,
                },
                ..*descriptor
            };
        }
        self.slot = (self.slot + count) % size;
        self.free -= count;
        slots
    }
}

/// Makes entries a chain, from the first on.
fn link(entries: &mut [Descriptor]) {
    let count = entries.len();
    for (entry, next) in entries.iter_mut().zip(1..).take(count.saturating_sub(1)) {
        entry.flags |= NEXT;
        entry.next = next;
    }
}

impl Image {
    /// Makes one thing wrong.
    fn spoil(&mut self, fault: Fault, at: Index) {
        if self.heads.is_empty() {
            return;
        }
        self.fault = Some(fault);
        let head = at.index(self.heads.len());
        match fault {
            Fault::Flag(bits) => self.pick(at).flags ^= bits,
            Fault::Address(address) => self.pick(at).address = address,
            Fault::Len(len) => self.pick(at).len = len,
            Fault::Next(next) => self.pick(at).next = next,
            Fault::TableLen(len) => self.pick_table(at).len = len,
            Fault::TableAddress(address) => self.pick_table(at).address = address,
            Fault::Head(value) if self.layout == Layout::Split => self.heads[head] = value,
            Fault::Head(value) => {
                let bits = if value & 1 == 0 { AVAIL } else { USED };
                self.pick(at).flags ^= bits;
            }
            Fault::Repeat => self.heads[head] = self.heads[0],
            Fault::Ahead(index) => self.index = index,
        }
    }

    /// A descriptor of a chain, in the ring or in a table.
    fn pick(&mut self, at: Index) -> &mut Descriptor {
        let is_used = |descriptor: &&mut Descriptor| **descriptor != Descriptor::default();
        let entries = self.tables.iter_mut().flat_map(|table| &mut table.entries);
        let mut used: Vec<_> = self.descriptors.iter_mut().filter(is_used).chain(entries).collect();
        let at = at.index(used.len());
        used.swap_remove(at)
    }

    /// The descriptor of a table, or another one when there is none.
    fn pick_table(&mut self, at: Index) -> &mut Descriptor {
        if self.tables.is_empty() {
            return self.pick(at);
        }
        let slot = self.tables[at.index(self.tables.len())].slot;
        &mut self.descriptors[usize::from(slot)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{features, packed_size, slot, split_size};
    use crate::runner::config;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{TestRng, TestRunner};
    use std::collections::{BTreeMap, BTreeSet};
    use vhost_fuzz_model::ring as model;

    /// Where the model has its ring, and where the buffers are.
    const RING: u64 = 0x1000;
    const MEMORY: &[(u64, u64)] = &[(0x1_0000, 0x2000), (0x1_2000, 0x1801), (0x8_0000, 0x1000)];

    /// Memory with an image in it.
    struct Held {
        regions: Vec<model::Region>,
        bytes: Vec<Vec<u8>>,
    }

    impl model::Memory for Held {
        fn read(&self, region: usize, offset: u64, out: &mut [u8]) {
            let offset = usize::try_from(offset).expect("small");
            out.copy_from_slice(&self.bytes[region][offset..offset + out.len()]);
        }
    }

    impl Held {
        fn new(image: &Image, setup: &model::Setup, at: u16) -> Self {
            let areas = [&[(RING, 0x1000)][..], MEMORY].concat();
            let region = |(start, size): &(u64, u64)| model::Region { start: *start, size: *size };
            let bytes = |(_, size): &(u64, u64)| vec![0; usize::try_from(*size).expect("small")];
            let mut held = Self {
                regions: areas.iter().map(region).collect(),
                bytes: areas.iter().map(bytes).collect(),
            };
            for (n, descriptor) in (0..).zip(&image.descriptors) {
                held.put(setup.descriptor + 16 * n, &descriptor.bytes(image.layout));
            }
            for table in &image.tables {
                for (n, entry) in (0..).zip(&table.entries) {
                    held.put(table.address + 16 * n, &entry.bytes(image.layout));
                }
            }
            if image.layout == Layout::Split {
                for (n, head) in (0..).zip(&image.heads) {
                    let slot = u64::from(at.wrapping_add(n) % setup.size);
                    held.put(setup.available + 4 + 2 * slot, &head.to_le_bytes());
                }
                held.put(setup.available + 2, &image.index.to_le_bytes());
                held.put(setup.used + 2, &at.to_le_bytes());
            }
            held
        }

        fn put(&mut self, address: u64, bytes: &[u8]) {
            let is_in = |region: &model::Region| {
                address >= region.start && address - region.start < region.size
            };
            let at = self.regions.iter().position(is_in).expect("memory");
            let offset = usize::try_from(address - self.regions[at].start).expect("small");
            self.bytes[at][offset..offset + bytes.len()].copy_from_slice(bytes);
        }
    }

    enum Ring {
        Split(model::Split),
        Packed(model::Packed),
    }

    /// Walks all that an image has: chains that are taken, and the rules that are broken.
    fn walk(ground: &Ground, image: &Image) -> (usize, Vec<String>) {
        let Ground { size, at, features, .. } = *ground;
        let setup = model::Setup {
            size,
            descriptor: RING,
            available: RING + 0x800,
            used: RING + 0xa00,
            event_idx: features.event_idx,
            indirect: features.indirect,
            in_order: features.in_order,
            version_1: true,
            cap: 32,
            strict: true,
            epoch: 0,
        };
        let held = Held::new(image, &setup, at);
        let regions = &held.regions;
        let (mut writes, mut chain) = (model::Writes::default(), model::Chain::new());
        let (mut ring, form) = match ground.layout {
            Layout::Split => {
                let ring = model::Split::activate(&setup, at, regions, &held, &mut writes);
                (Ring::Split(ring.expect("a legal ring")), model::Form::Split)
            }
            Layout::Packed => {
                let at = [model::Position::of_half(at); 2];
                let ring = model::Packed::activate(&setup, at, regions, &mut writes);
                (Ring::Packed(ring.expect("a legal ring")), model::Form::Packed)
            }
        };
        let (mut taken, mut broken) = (0, Vec::new());
        loop {
            let pop = match &mut ring {
                Ring::Split(ring) => ring.pop(&held, regions, &mut chain),
                Ring::Packed(ring) => ring.pop(&held, regions, &mut chain),
            };
            match pop {
                model::Pop::Empty | model::Pop::Yield => break,
                model::Pop::Chain { .. } => taken += 1,
                model::Pop::Dropped { error, .. } => broken.push(error.rule(form).to_string()),
                model::Pop::Stopped(stop) => {
                    broken.push(stop.rule(form).to_string());
                    break;
                }
            }
        }
        (taken, broken)
    }

    /// Walks many images; gives how often each rule is broken.
    fn rules(layout: Layout) -> BTreeMap<String, usize> {
        let rng = TestRng::deterministic_rng(config().rng_algorithm);
        let mut runner = TestRunner::new_with_rng(config(), rng);
        let size = match layout {
            Layout::Split => split_size(32).boxed(),
            Layout::Packed => packed_size(32).boxed(),
        };
        let at = move |size| match layout {
            Layout::Split => crate::ring::index().boxed(),
            Layout::Packed => slot(size).boxed(),
        };
        let grounds = (size, features()).prop_flat_map(move |(size, features)| {
            at(size).prop_map(move |at| Ground { layout, size, at, features, memory: MEMORY })
        });
        let cases = grounds.prop_flat_map(|ground| (Just(ground), image(ground)));
        let mut rules = BTreeMap::new();
        for _ in 0..6000 {
            let (ground, image) = cases.new_tree(&mut runner).expect("an image").current();
            let (taken, broken) = walk(&ground, &image);
            if image.fault.is_none() {
                assert_eq!((taken, &broken[..]), (image.heads.len(), &[][..]), "{image:x?}");
            }
            broken.into_iter().for_each(|rule| *rules.entry(rule).or_default() += 1);
        }
        rules
    }

    fn assert_broken(layout: Layout, wanted: &[&str]) {
        let rules = rules(layout);
        let broken: BTreeSet<_> = rules.keys().map(String::as_str).collect();
        let missing: Vec<_> = wanted.iter().filter(|rule| !broken.contains(*rule)).collect();
        assert!(missing.is_empty(), "{missing:?} are not in {rules:?}");
    }

    /// All but VQ-013: so many bytes are no small memory.
    #[test]
    fn split_images_are_legal_or_break_every_rule() {
        assert_broken(
            Layout::Split,
            &[
                "VQ-012", "VQ-014", "VQ-015", "VQ-016", "VQ-017", "VQ-020", "VQ-021", "VQ-022",
                "VQ-023", "VQ-025", "VQ-026", "VQ-032", "VQ-034",
            ],
        );
    }

    #[test]
    fn packed_images_are_legal_or_break_every_rule() {
        assert_broken(
            Layout::Packed,
            &["PK-012", "PK-013", "PK-015", "PK-016", "PK-017", "PK-021", "PK-029", "PK-041"],
        );
    }
}

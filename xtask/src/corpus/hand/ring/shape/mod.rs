//! Shapes of one chain: each is an image for the targets of single chains, and what happens in the
//! middle of a script.

mod legal;
mod malformed;

use vhost_fuzz_core::ring::{Layout as Form, flag};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::ram::Layout;
use vhost_fuzz_harness::ring::image::{SIZES, table_address};
use vhost_fuzz_harness::ring::step::{Descriptor, Start, feature};

use super::{OK, Script, fresh};

/// Where buffers are: after a ring of 32 entries, before the tables.
const BUFFERS: u64 = 0x1_2000;

/// Where [`Layout::Small`] has a border between neighbours, where its hole begins, and where the
/// hole ends.
const BORDER: u64 = 0x1_8000;
const HOLE: u64 = 0x1_c000;
const HOLE_END: u64 = 0x2_0000;

/// Where [`Layout::Odd`] has borders, and its last region, which is near 2^64.
const ODD_BORDERS: [u64; 2] = [0x1_6ff8, 0x1_b001];
const HIGH: u64 = 0xffff_ffff_ffff_0000;

/// A descriptor, or an entry of a table.
#[derive(Clone, Copy)]
struct Entry {
    address: u64,
    len: u32,
    flags: u16,
    /// The next one, where it is not the one behind.
    next: Option<u16>,
    /// A slot of a packed ring is not available.
    is_unavailable: bool,
}

/// What the device reads.
const fn r(address: u64, len: u32) -> Entry {
    Entry { address, len, flags: 0, next: None, is_unavailable: false }
}

/// What the device writes.
const fn w(address: u64, len: u32) -> Entry {
    r(address, len).with(flag::WRITE)
}

/// A table of so many bytes where tables are.
const fn table(len: u32) -> Entry {
    table_at(table_address(Layout::Small), len)
}

const fn table_at(address: u64, len: u32) -> Entry {
    r(address, len).with(flag::INDIRECT)
}

impl Entry {
    const fn with(self, flags: u16) -> Self {
        Self { flags: self.flags | flags, ..self }
    }

    /// The one behind it follows.
    const fn and(self) -> Self {
        self.with(flag::NEXT)
    }

    /// Another one follows.
    const fn to(self, next: u16) -> Self {
        Self { next: Some(next), ..self.and() }
    }

    const fn unavailable(self) -> Self {
        Self { is_unavailable: true, ..self }
    }
}

/// A chain in a ring.
#[derive(Clone)]
struct Shape {
    name: &'static str,
    shows: &'static str,
    /// What comes out in a split and in a packed ring; nothing where there is no such shape.
    expect: [Option<&'static str>; 2],
    layout: Layout,
    size: u16,
    features: u8,
    cap: u8,
    /// The head of a split ring, and where a packed one begins.
    first: u8,
    ring: Vec<Entry>,
    table: Vec<Entry>,
    /// Bytes in front of the table.
    pad: u8,
    /// It is in the scripts too.
    is_in_scripts: bool,
}

impl Shape {
    /// A chain whose entries lie one behind the other.
    fn new(name: &'static str, shows: &'static str, ring: &[Entry]) -> Self {
        Self {
            name,
            shows,
            expect: [Some(OK); 2],
            layout: Layout::Small,
            size: 16,
            features: feature::INDIRECT,
            cap: 0,
            first: 0,
            ring: ring.to_vec(),
            table: vec![],
            pad: 0,
            is_in_scripts: true,
        }
    }

    /// What comes out in a split and in a packed ring.
    fn breaks(self, split: &'static str, packed: &'static str) -> Self {
        Self { expect: [Some(split), Some(packed)], ..self }
    }

    /// There is no such packed ring.
    fn split(self, expect: &'static str) -> Self {
        Self { expect: [Some(expect), None], ..self }
    }

    /// There is no such split ring.
    fn packed(self, expect: &'static str) -> Self {
        Self { expect: [None, Some(expect)], ..self }
    }

    fn table(self, entries: &[Entry]) -> Self {
        Self { table: entries.to_vec(), ..self }
    }

    /// The table begins some bytes further.
    fn pad(self, pad: u8) -> Self {
        Self { pad, ..self }
    }

    fn odd(self) -> Self {
        Self { layout: Layout::Odd, ..self }
    }

    fn size(self, size: u16) -> Self {
        Self { size, ..self }
    }

    fn first(self, first: u8) -> Self {
        Self { first, ..self }
    }

    fn cap(self, cap: u8) -> Self {
        Self { cap, ..self }
    }

    fn features(self, features: u8) -> Self {
        Self { features, ..self }
    }

    /// It says no more in a script than alone.
    fn alone(self) -> Self {
        Self { is_in_scripts: false, ..self }
    }

    fn expect(&self, form: Form) -> Option<&'static str> {
        match (form, self.expect) {
            (Form::Split, [expect, _]) | (Form::Packed, [_, expect]) => expect,
        }
    }

    /// The bytes of an entry of a ring or a table, of which it is number `at`.
    fn entry(entry: &Entry, form: Form, at: u16, next: u16, lap: u16) -> [u8; 16] {
        let Entry { address, len, flags, is_unavailable, .. } = *entry;
        let taken = if is_unavailable { flag::AVAIL | flag::USED } else { 0 };
        let [third, fourth] = match form {
            Form::Split => [flags, entry.next.unwrap_or(next)],
            Form::Packed => [0x40 + at, flags ^ lap ^ taken],
        };
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&address.to_le_bytes());
        bytes[8..12].copy_from_slice(&len.to_le_bytes());
        bytes[12..14].copy_from_slice(&third.to_le_bytes());
        bytes[14..].copy_from_slice(&fourth.to_le_bytes());
        bytes
    }

    /// The entries of the ring with their places.
    fn placed(&self, form: Form) -> impl Iterator<Item = (u16, [u8; 16])> + '_ {
        let Self { size, first, .. } = self;
        (0_u16..).zip(&self.ring).map(move |(at, entry)| {
            let place = u16::from(*first) + at;
            let lap = if place < *size { flag::AVAIL } else { flag::USED };
            (place % size, Self::entry(entry, form, at, (place + 1) % size, lap))
        })
    }

    /// What lies where tables are.
    fn table_bytes(&self, form: Form) -> Vec<u8> {
        let mut bytes = vec![0; self.pad.into()];
        for (at, entry) in (0_u16..).zip(&self.table) {
            bytes.extend(Self::entry(entry, form, at, at + 1, 0));
        }
        bytes
    }

    fn image(&self, form: Form) -> Vec<u8> {
        let kind = SIZES.iter().zip(0_u8..).find(|(size, _)| **size == self.size);
        let Some((_, mut kind)) = kind else { unreachable!("{}: a size of images", self.name) };
        if self.layout == Layout::Odd {
            kind |= 8;
        }
        let mut ring = vec![0; 16 * usize::from(self.size)];
        for (place, bytes) in self.placed(form) {
            ring[16 * usize::from(place)..][..16].copy_from_slice(&bytes);
        }
        let table = self.table_bytes(form);
        if table.is_empty() {
            let used = self.placed(form).map(|(place, _)| usize::from(place) + 1).max();
            ring.truncate(16 * used.unwrap_or(0));
        }
        [vec![kind, self.features, self.cap, self.first], ring, table].concat()
    }

    /// The chain between two good ones, before and after good work.
    fn script(&self, form: Form) -> Script {
        let start = Start {
            features: self.features,
            cap: self.cap.into(),
            ..Start::of(self.size, fresh(form)).within(self.layout)
        };
        let is_roomy = self.size >= 16 && self.ring.len() <= 12;
        let mut script = Script::start(start).serve(2);
        script = script.poke(table_address(self.layout), &self.table_bytes(form));
        if is_roomy {
            script = script.good(12);
        }
        script = match form {
            Form::Split => {
                let ring = start.parts[0];
                let placed: Vec<_> = self.placed(form).collect();
                placed
                    .iter()
                    .fold(script, |script, (place, bytes)| {
                        script.poke(ring + 16 * u64::from(*place), bytes)
                    })
                    .chain(self.first.into(), &[])
            }
            Form::Packed => {
                let descriptors: Vec<_> = self.ring.iter().map(packed_descriptor).collect();
                script.chain(0x40, &descriptors)
            }
        };
        if is_roomy {
            script = script.good(14);
        }
        script.wake().pop(3).read(5, 7).write(16).arm().put(1, 0).put(0, 4).put(0, 0).publish()
    }
}

fn packed_descriptor(entry: &Entry) -> Descriptor {
    let Entry { address, len, flags, is_unavailable, .. } = *entry;
    let taken = if is_unavailable { flag::AVAIL | flag::USED } else { 0 };
    Descriptor { address, len, flags: flags ^ taken }
}

fn all() -> Vec<Shape> {
    [legal::shapes(), malformed::shapes()].concat()
}

/// An image of every shape that there is in a ring of this form.
pub(super) fn images(form: Form) -> Vec<Seed> {
    let seed = |shape: &Shape| {
        let expect = shape.expect(form)?;
        Some(super::super::seed(shape.name, expect, shape.shows, shape.image(form)))
    };
    all().iter().filter_map(seed).collect()
}

/// A script around every shape that says more in a script.
pub(super) fn scripts(form: Form) -> Vec<Seed> {
    let seed = |shape: &Shape| {
        let expect = shape.expect(form)?;
        let script = shape.script(form).again(1);
        shape
            .is_in_scripts
            .then(|| script.seed(&format!("chain-{}", shape.name), expect, shape.shows))
    };
    all().iter().filter_map(seed).collect()
}

//! What the records of a script mean for a ring.
//!
//! | Record | Meaning |
//! |---|---|
//! | guest write | somebody writes to memory; what is no memory is left out |
//! | device action 0 | everything starts over: see [`Start`] |
//! | device action 1 | a wake-up begins |
//! | device action 2 | takes chains: how many (1) |
//! | device action 3 | gives a buffer back: which of those that are out (1), used length (4) |
//! | device action 4 | gives the oldest buffers back as a batch: how many (1), used length (4) |
//! | device action 5 | publishes what was given back |
//! | device action 6 | asks for kicks |
//! | device action 7 | asks for no kicks |
//! | device action 8 | stops and starts again: 0 where it was, 1 from the beginning (1) |
//! | device action 9 | memory changes: a bit for each region that is there (1) |
//! | device action 10 | reads the chain that was taken last: border of two readers (2), bytes (1) |
//! | device action 11 | writes to it: bytes (1) |
//! | device action 12 | takes the taking of a chain back: which of those that are out, the newest first (1) |
//! | driver action 1 | makes a chain available: head or id (2), then [`Descriptor`]s |
//! | driver action 2 | writes an indirect table: address (8), then [`Descriptor`]s |
//! | driver action 3 | says which calls it wants: flags (2), position or index (2) |
//! | driver action 4 | moves the available index of a split ring: by how much (2) |
//!
//! Numbers are little-endian. What is missing at the end of an action is 0.

use std::borrow::Cow;

use crate::ram::Layout;
use crate::script::{self, Actor, Record, Records};

/// Bytes of a [`Descriptor`] in a script.
pub const DESCRIPTOR_LEN: usize = 14;

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Everything starts over.
    Start(Start),
    /// Somebody writes to memory.
    Poke {
        /// Guest address.
        address: u64,
        /// What.
        bytes: Cow<'a, [u8]>,
    },
    /// A wake-up begins.
    Wake,
    /// Takes chains.
    Pop {
        /// How many.
        count: u8,
    },
    /// Gives a buffer back.
    Put {
        /// Which, modulo those that are out.
        which: u8,
        /// Used length.
        len: u32,
    },
    /// Gives the oldest buffers back as a batch.
    Batch {
        /// How many.
        count: u8,
        /// Used length of the last.
        len: u32,
    },
    /// Publishes what was given back.
    Publish,
    /// Asks for kicks.
    Arm,
    /// Asks for no kicks.
    Disarm,
    /// Stops and starts again.
    Restart {
        /// From the beginning, not where it was.
        is_fresh: bool,
    },
    /// Memory changes.
    Memory {
        /// A bit for each region that is there.
        regions: u8,
    },
    /// Reads the chain that was taken last.
    Read {
        /// Where one reader ends and another begins.
        border: u16,
        /// Bytes that are read at a time, or 1.
        len: u8,
    },
    /// Writes to the chain that was taken last.
    Write {
        /// Bytes.
        len: u8,
    },
    /// Takes the taking of a chain back.
    Unpop {
        /// Which, from the newest on, modulo those that are out.
        which: u8,
    },
    /// The driver makes a chain available.
    Chain {
        /// Head of a split ring, id of a packed one.
        id: u16,
        /// Its descriptors.
        descriptors: Descriptors<'a>,
    },
    /// The driver writes an indirect table.
    Table {
        /// Where.
        address: u64,
        /// Its entries.
        descriptors: Descriptors<'a>,
    },
    /// The driver says which calls it wants.
    Wish {
        /// Flags of the available ring, or of the event structure.
        flags: u16,
        /// `used_event`, or the position of the event structure.
        event: u16,
    },
    /// The driver moves the available index, and nothing else.
    Advance {
        /// By how much.
        by: u16,
    },
}

/// How a ring starts: layout (1), size (2), features (1), entries of a table at most (2), base
/// (4), and then, unless the parts lie where [`Start::parts`] puts them, the addresses of the
/// descriptor, driver and device area (8 each).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Which memory there is.
    pub layout: Layout,
    /// Entries.
    pub size: u16,
    /// Bits of [`feature`].
    pub features: u8,
    /// Entries of an indirect table at most; 0 is what a device says unless told otherwise.
    pub cap: u16,
    /// Where processing begins, as `SET_VRING_BASE` has it. The upper half of that of a split ring
    /// is the used index in memory.
    pub base: u32,
    /// Addresses of the descriptor, driver and device area.
    pub parts: [u64; 3],
}

/// Bits of the features of a [`Start`].
pub mod feature {
    /// `EVENT_IDX`.
    pub const EVENT_IDX: u8 = 1;
    /// `INDIRECT_DESC`.
    pub const INDIRECT: u8 = 2;
    /// `IN_ORDER`.
    pub const IN_ORDER: u8 = 4;
    /// `VERSION_1` is missing.
    pub const LEGACY: u8 = 8;
    /// The device does not look at the availability bits of later slots of a packed list.
    pub const LENIENT: u8 = 16;
}

impl Start {
    /// Bytes without addresses.
    pub const SHORT_LEN: usize = 10;

    /// A ring of so many entries in small memory, with event index and indirect tables.
    #[must_use]
    pub const fn of(size: u16, base: u32) -> Self {
        let layout = Layout::Small;
        let features = feature::EVENT_IDX | feature::INDIRECT;
        let parts = Self::parts(layout, size);
        Self { layout, size, features, cap: 0, base, parts }
    }

    /// Where the parts lie unless someone says otherwise: one after the other in the first region.
    #[must_use]
    pub const fn parts(layout: Layout, size: u16) -> [u64; 3] {
        let descriptor = layout.areas()[0].start;
        let size = size as u64;
        let driver = descriptor + 16 * size;
        let device = driver + (6 + 2 * size).next_multiple_of(16);
        [descriptor, driver, device]
    }

    /// The first address after the parts, a multiple of 16.
    #[must_use]
    pub const fn end(&self) -> u64 {
        let [.., device] = Self::parts(self.layout, self.size);
        device + (6 + 8 * self.size as u64).next_multiple_of(16)
    }

    /// The same ring in another memory, its parts where they lie by default.
    #[must_use]
    pub const fn within(self, layout: Layout) -> Self {
        Self { layout, parts: Self::parts(layout, self.size), ..self }
    }

    /// `IN_ORDER` was negotiated.
    #[must_use]
    pub const fn is_in_order(&self) -> bool {
        self.features & feature::IN_ORDER != 0
    }

    /// Entries of an indirect table at most.
    #[must_use]
    pub fn cap_in_force(&self) -> u32 {
        match self.cap {
            0 => u32::from(self.size).max(1024),
            cap => cap.into(),
        }
    }

    /// Reads the arguments of device action 0.
    #[must_use]
    pub fn read(arguments: &[u8]) -> Self {
        let mut from = Arguments(arguments);
        let layout = match from.byte() & 3 {
            0 => Layout::Small,
            1 => Layout::Odd,
            2 => Layout::Skewed,
            _ => Layout::Large,
        };
        let (size, features, cap, base) = (from.short(), from.byte(), from.short(), from.int());
        let parts = if from.0.is_empty() {
            Self::parts(layout, size)
        } else {
            [from.long(), from.long(), from.long()]
        };
        Self { layout, size, features, cap, base, parts }
    }

    /// The arguments of device action 0.
    #[must_use]
    pub fn arguments(&self) -> Vec<u8> {
        let layout = match self.layout {
            Layout::Small => 0,
            Layout::Odd => 1,
            Layout::Skewed => 2,
            Layout::Large => 3,
        };
        let mut bytes = vec![layout];
        bytes.extend(self.size.to_le_bytes());
        bytes.push(self.features);
        bytes.extend(self.cap.to_le_bytes());
        bytes.extend(self.base.to_le_bytes());
        if self.parts != Self::parts(self.layout, self.size) {
            self.parts.iter().for_each(|part| bytes.extend(part.to_le_bytes()));
        }
        bytes
    }
}

/// A descriptor of a script: address (8), length (4), flags (2). The driver adds what links it to
/// the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Guest address.
    pub address: u64,
    /// Bytes.
    pub len: u32,
    /// Flags. NEXT is as it is here.
    pub flags: u16,
}

impl Descriptor {
    /// As a script has it.
    #[must_use]
    pub fn bytes(self) -> [u8; DESCRIPTOR_LEN] {
        let mut bytes = [0; DESCRIPTOR_LEN];
        bytes[..8].copy_from_slice(&self.address.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes[12..].copy_from_slice(&self.flags.to_le_bytes());
        bytes
    }
}

/// Descriptors in a script; a rest that is too short is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptors<'a>(pub Cow<'a, [u8]>);

impl Descriptors<'_> {
    /// The same, with bytes of their own.
    #[must_use]
    pub fn into_owned(self) -> Descriptors<'static> {
        Descriptors(self.0.into_owned().into())
    }

    /// One after the other.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Descriptor> + '_ {
        self.0.chunks_exact(DESCRIPTOR_LEN).map(|bytes| {
            let mut from = Arguments(bytes);
            Descriptor { address: from.long(), len: from.int(), flags: from.short() }
        })
    }
}

impl FromIterator<Descriptor> for Descriptors<'static> {
    fn from_iter<T: IntoIterator<Item = Descriptor>>(descriptors: T) -> Self {
        let bytes: Vec<u8> = descriptors.into_iter().flat_map(Descriptor::bytes).collect();
        Self(bytes.into())
    }
}

/// The steps of a script, one after another.
#[must_use]
pub const fn steps(script: &[u8]) -> Steps<'_> {
    Steps(script::records(script))
}

/// The steps of a script, one after another; see [`steps`].
#[derive(Clone, Debug)]
pub struct Steps<'a>(Records<'a>);

impl<'a> Iterator for Steps<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        self.0.find_map(of)
    }
}

/// What a record means; nothing when it is not about rings.
#[must_use]
pub fn of(record: Record<'_>) -> Option<Step<'_>> {
    match record {
        Record::GuestWrite { address, bytes } => Some(Step::Poke { address, bytes }),
        Record::Action { actor, operation, arguments } => match (actor, arguments) {
            (Actor::Device, arguments) => device(operation, Arguments(&arguments)),
            (Actor::Driver, Cow::Borrowed(arguments)) => driver(operation, Arguments(arguments)),
            (Actor::Driver, Cow::Owned(arguments)) => {
                driver(operation, Arguments(&arguments)).map(Step::into_owned)
            }
        },
        _ => None,
    }
}

fn device(operation: u8, mut from: Arguments<'_>) -> Option<Step<'static>> {
    Some(match operation {
        0 => Step::Start(Start::read(from.0)),
        1 => Step::Wake,
        2 => Step::Pop { count: from.byte() },
        3 => Step::Put { which: from.byte(), len: from.int() },
        4 => Step::Batch { count: from.byte(), len: from.int() },
        5 => Step::Publish,
        6 => Step::Arm,
        7 => Step::Disarm,
        8 => Step::Restart { is_fresh: from.byte() & 1 == 1 },
        9 => Step::Memory { regions: from.byte() },
        10 => Step::Read { border: from.short(), len: from.byte() },
        11 => Step::Write { len: from.byte() },
        12 => Step::Unpop { which: from.byte() },
        _ => return None,
    })
}

fn driver(operation: u8, mut from: Arguments<'_>) -> Option<Step<'_>> {
    Some(match operation {
        1 => Step::Chain { id: from.short(), descriptors: from.descriptors() },
        2 => Step::Table { address: from.long(), descriptors: from.descriptors() },
        3 => Step::Wish { flags: from.short(), event: from.short() },
        4 => Step::Advance { by: from.short() },
        _ => return None,
    })
}

impl Step<'_> {
    /// The same, with bytes of its own.
    #[must_use]
    pub fn into_owned(self) -> Step<'static> {
        match self {
            Self::Poke { address, bytes } => {
                Step::Poke { address, bytes: bytes.into_owned().into() }
            }
            Self::Chain { id, descriptors } => {
                Step::Chain { id, descriptors: descriptors.into_owned() }
            }
            Self::Table { address, descriptors } => {
                Step::Table { address, descriptors: descriptors.into_owned() }
            }
            Self::Start(start) => Step::Start(start),
            Self::Wake => Step::Wake,
            Self::Pop { count } => Step::Pop { count },
            Self::Put { which, len } => Step::Put { which, len },
            Self::Batch { count, len } => Step::Batch { count, len },
            Self::Publish => Step::Publish,
            Self::Arm => Step::Arm,
            Self::Disarm => Step::Disarm,
            Self::Restart { is_fresh } => Step::Restart { is_fresh },
            Self::Memory { regions } => Step::Memory { regions },
            Self::Read { border, len } => Step::Read { border, len },
            Self::Write { len } => Step::Write { len },
            Self::Unpop { which } => Step::Unpop { which },
            Self::Wish { flags, event } => Step::Wish { flags, event },
            Self::Advance { by } => Step::Advance { by },
        }
    }

    /// The record that means it.
    #[must_use]
    pub fn record(&self) -> Record<'static> {
        let (actor, operation, arguments) = match self {
            Self::Poke { address, bytes } => {
                return Record::GuestWrite { address: *address, bytes: bytes.to_vec().into() };
            }
            Self::Start(start) => (Actor::Device, 0, start.arguments()),
            Self::Wake => (Actor::Device, 1, vec![]),
            Self::Pop { count } => (Actor::Device, 2, vec![*count]),
            Self::Put { which, len } => (Actor::Device, 3, with_len(*which, *len)),
            Self::Batch { count, len } => (Actor::Device, 4, with_len(*count, *len)),
            Self::Publish => (Actor::Device, 5, vec![]),
            Self::Arm => (Actor::Device, 6, vec![]),
            Self::Disarm => (Actor::Device, 7, vec![]),
            Self::Restart { is_fresh } => (Actor::Device, 8, vec![(*is_fresh).into()]),
            Self::Memory { regions } => (Actor::Device, 9, vec![*regions]),
            Self::Read { border, len } => {
                (Actor::Device, 10, [&border.to_le_bytes()[..], &[*len]].concat())
            }
            Self::Write { len } => (Actor::Device, 11, vec![*len]),
            Self::Unpop { which } => (Actor::Device, 12, vec![*which]),
            Self::Chain { id, descriptors } => {
                (Actor::Driver, 1, [&id.to_le_bytes()[..], &descriptors.0].concat())
            }
            Self::Table { address, descriptors } => {
                (Actor::Driver, 2, [&address.to_le_bytes()[..], &descriptors.0].concat())
            }
            Self::Wish { flags, event } => {
                (Actor::Driver, 3, [flags.to_le_bytes(), event.to_le_bytes()].concat())
            }
            Self::Advance { by } => (Actor::Driver, 4, by.to_le_bytes().to_vec()),
        };
        Record::Action { actor, operation, arguments: arguments.into() }
    }
}

fn with_len(number: u8, len: u32) -> Vec<u8> {
    [&[number][..], &len.to_le_bytes()].concat()
}

/// The numbers of an action, from its front. What is missing is 0.
pub(crate) struct Arguments<'a>(pub(crate) &'a [u8]);

impl<'a> Arguments<'a> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        if let Some((bytes, rest)) = self.0.split_first_chunk() {
            self.0 = rest;
            return *bytes;
        }
        let mut bytes = [0; N];
        bytes[..self.0.len()].copy_from_slice(self.0);
        self.0 = &[];
        bytes
    }

    pub(crate) fn byte(&mut self) -> u8 {
        u8::from_le_bytes(self.take())
    }

    pub(crate) fn short(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    pub(crate) fn int(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(crate) fn long(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    pub(crate) fn descriptors(self) -> Descriptors<'a> {
        Descriptors(Cow::Borrowed(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_its_record() {
        let descriptors: Descriptors<'static> = [
            Descriptor { address: 1, len: 2, flags: 3 },
            Descriptor { address: 4, len: 5, flags: 6 },
        ]
        .into_iter()
        .collect();
        let moved = Start { parts: [1, 2, 3], ..Start::of(8, 9) };
        let steps = [
            Step::Start(Start::of(256, 0x8000_8000)),
            Step::Start(moved),
            Step::Poke { address: 7, bytes: vec![1, 2].into() },
            Step::Wake,
            Step::Pop { count: 3 },
            Step::Put { which: 1, len: 9 },
            Step::Batch { count: 2, len: 8 },
            Step::Publish,
            Step::Arm,
            Step::Disarm,
            Step::Restart { is_fresh: true },
            Step::Memory { regions: 5 },
            Step::Read { border: 300, len: 4 },
            Step::Write { len: 16 },
            Step::Unpop { which: 1 },
            Step::Chain { id: 3, descriptors: descriptors.clone() },
            Step::Table { address: 99, descriptors },
            Step::Wish { flags: 1, event: 2 },
            Step::Advance { by: 4 },
        ];
        for step in steps {
            assert_eq!(of(step.record()), Some(step));
        }
        assert_eq!(of(Record::Close), None);
        let other =
            Record::Action { actor: Actor::Device, operation: 99, arguments: Cow::Borrowed(&[]) };
        assert_eq!(of(other), None);
    }

    #[test]
    fn what_is_missing_is_zero() {
        let put = Record::Action {
            actor: Actor::Device,
            operation: 3,
            arguments: Cow::Borrowed(&[2, 7]),
        };
        assert_eq!(of(put), Some(Step::Put { which: 2, len: 7 }));
        let start = Start::read(&[]);
        assert_eq!((start.layout, start.size, start.base), (Layout::Small, 0, 0));
    }
}

//! What the records of a script mean for a network device.
//!
//! | Record | Meaning |
//! |---|---|
//! | guest write | somebody writes to memory; what is no memory is left out |
//! | device action 0 | everything starts over: see [`Start`] |
//! | device action 1 | a wake-up: queue (1) |
//! | device action 2 | a wake-up of a transmit queue that is not to be used: queue (1) |
//! | device action 3 | a queue stops and starts again: queue (1), 0 where it was, 1 from the beginning (1) |
//! | device action 4 | memory changes: a bit for each region that is there (1) |
//! | device action 5 | time passes: milliseconds (4) |
//! | device action 6 | the link: 0 is down, 1 is up (1) |
//! | device action 7 | the driver is asked to announce itself |
//! | device action 8 | a reset, and then other features (9, as in [`Start`]) |
//! | device action 9 | a queue is enabled or disabled: queue (1), 0 is disabled (1) |
//! | device action 10 | the link takes packets of so many bytes (2) |
//! | driver action 1 | sends bytes, header and frame: pair (1), [`Cut`] (2), bytes |
//! | driver action 2 | sends a frame behind a header of zeros: the same |
//! | driver action 3 | posts receive buffers: pair (1), how many (1), bytes of each of their descriptors (2 each) |
//! | driver action 4 | commands: room behind the ack (2), [`Cut`] (2), bytes |
//! | driver action 5 | makes any chain available: queue (1), head or id (2), [`Descriptor`]s |
//! | driver action 6 | writes an indirect table: queue (1), address (8), [`Descriptor`]s |
//! | driver action 7 | says which calls it wants: queue (1), flags (2), position or index (2) |
//! | driver action 8 | moves the available index of a split ring: queue (1), by how much (2) |
//!
//! Numbers are little-endian. What is missing at the end of an action is 0. Queues and pairs are
//! taken modulo those that there are.
//!
//! [`Descriptor`]: crate::ring::step::Descriptor

use std::borrow::Cow;

use vhost_fuzz_core::ring::Layout as Form;

use super::{QUEUES, transmit};
use crate::ram::Layout;
use crate::ring::step::{Arguments, Descriptors};
use crate::script::{self, Actor, Record, Records};

/// How bytes lie in memory: so many in each descriptor, 0 for all of them in one. With
/// [`TABLE`](Self::TABLE) the descriptors are in an indirect table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut(pub u16);

impl Cut {
    /// The descriptors are in an indirect table.
    pub const TABLE: u16 = 0x8000;

    /// The descriptors are in an indirect table.
    #[must_use]
    pub const fn is_table(self) -> bool {
        self.0 & Self::TABLE != 0
    }

    /// Bytes of each piece of so many, of which there are `pieces` at most.
    #[must_use]
    pub fn piece(self, len: usize, pieces: usize) -> usize {
        let wanted = match usize::from(self.0 & !Self::TABLE) {
            0 => len,
            piece => piece,
        };
        wanted.max(len.div_ceil(pieces.max(1))).max(1)
    }
}

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
    /// A wake-up. That of a receive queue is one of its transmit queue.
    Wake {
        /// Of which queue.
        queue: usize,
    },
    /// A wake-up of a transmit queue that is not to be used.
    Discard {
        /// Of which pair.
        pair: usize,
    },
    /// A queue stops and starts again.
    Restart {
        /// Which.
        queue: usize,
        /// From the beginning, not where it was.
        is_fresh: bool,
    },
    /// Memory changes.
    Memory {
        /// A bit for each region that is there.
        regions: u8,
    },
    /// Time passes.
    Wait {
        /// Milliseconds.
        ms: u32,
    },
    /// The link goes up or down.
    Link {
        /// Up.
        is_up: bool,
    },
    /// The driver is asked to announce itself.
    Announce,
    /// A reset, and then these features.
    Negotiate {
        /// Bits 0 to 71.
        features: u128,
    },
    /// A queue is enabled or disabled.
    Enable {
        /// Which.
        queue: usize,
        /// Enabled.
        is_on: bool,
    },
    /// The link takes packets of so many bytes.
    Mtu {
        /// Bytes.
        mtu: u16,
    },
    /// The driver sends bytes.
    Send {
        /// On which pair.
        pair: usize,
        /// How they lie in memory.
        cut: Cut,
        /// A header of zeros is put in front.
        is_plain: bool,
        /// Header and frame, or the frame.
        bytes: Cow<'a, [u8]>,
    },
    /// The driver posts receive buffers.
    Post {
        /// On which pair.
        pair: usize,
        /// How many, or one.
        count: u8,
        /// Bytes of each descriptor of each of them: little-endian numbers.
        lens: Cow<'a, [u8]>,
    },
    /// The driver commands.
    Command {
        /// Writable bytes behind the ack.
        room: u16,
        /// How it lies in memory.
        cut: Cut,
        /// Class, command and data.
        bytes: Cow<'a, [u8]>,
    },
    /// The driver makes any chain available.
    Chain {
        /// On which queue.
        queue: usize,
        /// Head of a split ring, id of a packed one.
        id: u16,
        /// Its descriptors.
        descriptors: Descriptors<'a>,
    },
    /// The driver writes an indirect table.
    Table {
        /// For which queue.
        queue: usize,
        /// Where.
        address: u64,
        /// Its entries.
        descriptors: Descriptors<'a>,
    },
    /// The driver says which calls it wants.
    Wish {
        /// Of which queue.
        queue: usize,
        /// Flags of the available ring, or of the event structure.
        flags: u16,
        /// `used_event`, or the position of the event structure.
        event: u16,
    },
    /// The driver moves the available index, and nothing else.
    Advance {
        /// Of which queue.
        queue: usize,
        /// By how much.
        by: u16,
    },
}

/// How a device starts: memory and form (1), ring features (1), features (9), sizes (2 each),
/// gateway (4), control (1), MTU (2), base (2).
///
/// | Bits of the first byte | Meaning |
/// |---|---|
/// | 0, 1 | the memory: small, odd, skewed, large |
/// | 2 | packed rings |
/// | 3 | the areas for frames of the driver and for receive buffers are exchanged |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Which memory there is.
    pub layout: Layout,
    /// How rings are laid out.
    pub form: Form,
    /// The areas are exchanged.
    pub is_swapped: bool,
    /// Bits of [`feature`](crate::ring::step::feature).
    pub rings: u8,
    /// Features of the device: bits 0 to 71.
    pub features: u128,
    /// Entries of each queue; a queue of 0 is not there.
    pub sizes: [u16; QUEUES],
    /// Which gateway there is; the runner knows.
    pub gateway: [u8; 4],
    /// What the device is like; the runner knows.
    pub control: u8,
    /// `mtu` of the config space; 0 when there is none.
    pub mtu: u16,
    /// Where processing of all queues begins: an index of a split ring; slot and wrap counter, in
    /// bit 15, of a packed one.
    pub base: u16,
}

/// Bits of features.
pub mod bit {
    /// The checksum may be left to the device.
    pub const CSUM: u128 = 1;
    /// The device says how long packets may be.
    pub const MTU: u128 = 1 << 3;
    /// The device has an address.
    pub const MAC: u128 = 1 << 5;
    /// TCP over IPv4 may be left to be cut.
    pub const HOST_TSO4: u128 = 1 << 11;
    /// A frame may be in several buffers.
    pub const MRG_RXBUF: u128 = 1 << 15;
    /// There is a control queue.
    pub const CTRL_VQ: u128 = 1 << 17;
    /// It takes modes and tables.
    pub const CTRL_RX: u128 = 1 << 18;
    /// It takes VLANs.
    pub const CTRL_VLAN: u128 = 1 << 19;
    /// It takes more modes.
    pub const CTRL_RX_EXTRA: u128 = 1 << 20;
    /// The driver announces itself.
    pub const GUEST_ANNOUNCE: u128 = 1 << 21;
    /// There are several pairs.
    pub const MQ: u128 = 1 << 22;
    /// The driver changes its address.
    pub const CTRL_MAC_ADDR: u128 = 1 << 23;
    /// Virtio 1.0.
    pub const VERSION_1: u128 = 1 << 32;
    /// The header has a hash.
    pub const HASH_REPORT: u128 = 1 << 57;
    /// The header has places of tunnels.
    pub const HOST_TUNNELS: u128 = 1 << 67;
    /// The header has the place of the outer network header.
    pub const OUT_NET_HEADER: u128 = 1 << 69;
}

impl Default for Start {
    fn default() -> Self {
        Self {
            layout: Layout::Small,
            form: Form::Split,
            is_swapped: false,
            rings: crate::ring::step::feature::INDIRECT,
            features: bit::VERSION_1 | bit::MAC,
            sizes: [16; QUEUES],
            gateway: [0; 4],
            control: 0,
            mtu: 0,
            base: 0,
        }
    }
}

impl Start {
    /// Bytes of it.
    pub const LEN: usize = 30;

    /// Reads the arguments of device action 0.
    #[must_use]
    pub fn read(arguments: &[u8]) -> Self {
        let mut from = Arguments(arguments);
        let first = from.byte();
        Self {
            layout: Layout::ALL[usize::from(first & 3)],
            form: if first & 4 == 0 { Form::Split } else { Form::Packed },
            is_swapped: first & 8 != 0,
            rings: from.byte(),
            features: features(&mut from),
            sizes: std::array::from_fn(|_| from.short()),
            gateway: from.int().to_le_bytes(),
            control: from.byte(),
            mtu: from.short(),
            base: from.short(),
        }
    }

    /// The arguments of device action 0.
    #[must_use]
    pub fn arguments(&self) -> Vec<u8> {
        let layout = Layout::ALL.iter().position(|layout| *layout == self.layout).unwrap_or(0);
        let packed = if self.form == Form::Packed { 4 } else { 0 };
        let swapped = if self.is_swapped { 8 } else { 0 };
        let mut bytes = vec![u8::try_from(layout).unwrap_or(0) | packed | swapped, self.rings];
        bytes.extend(&self.features.to_le_bytes()[..9]);
        self.sizes.iter().for_each(|size| bytes.extend(size.to_le_bytes()));
        bytes.extend(self.gateway);
        bytes.push(self.control);
        bytes.extend(self.mtu.to_le_bytes());
        bytes.extend(self.base.to_le_bytes());
        bytes
    }
}

fn features(from: &mut Arguments<'_>) -> u128 {
    let low = from.long();
    u128::from(low) | u128::from(from.byte()) << 64
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

/// What a record means; nothing when it is not about network devices.
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

fn queue(from: &mut Arguments<'_>) -> usize {
    usize::from(from.byte()) % QUEUES
}

fn pair(from: &mut Arguments<'_>) -> usize {
    usize::from(from.byte()) % 2
}

fn device(operation: u8, mut from: Arguments<'_>) -> Option<Step<'static>> {
    Some(match operation {
        0 => Step::Start(Start::read(from.0)),
        1 => Step::Wake { queue: queue(&mut from) },
        2 => Step::Discard { pair: pair(&mut from) },
        3 => Step::Restart { queue: queue(&mut from), is_fresh: from.byte() & 1 == 1 },
        4 => Step::Memory { regions: from.byte() },
        5 => Step::Wait { ms: from.int() },
        6 => Step::Link { is_up: from.byte() & 1 == 1 },
        7 => Step::Announce,
        8 => Step::Negotiate { features: features(&mut from) },
        9 => Step::Enable { queue: queue(&mut from), is_on: from.byte() & 1 == 1 },
        10 => Step::Mtu { mtu: from.short() },
        _ => return None,
    })
}

fn driver(operation: u8, mut from: Arguments<'_>) -> Option<Step<'_>> {
    Some(match operation {
        1 | 2 => Step::Send {
            pair: pair(&mut from),
            cut: Cut(from.short()),
            is_plain: operation == 2,
            bytes: from.0.into(),
        },
        3 => Step::Post { pair: pair(&mut from), count: from.byte(), lens: from.0.into() },
        4 => Step::Command { room: from.short(), cut: Cut(from.short()), bytes: from.0.into() },
        5 => Step::Chain {
            queue: queue(&mut from),
            id: from.short(),
            descriptors: from.descriptors(),
        },
        6 => Step::Table {
            queue: queue(&mut from),
            address: from.long(),
            descriptors: from.descriptors(),
        },
        7 => Step::Wish { queue: queue(&mut from), flags: from.short(), event: from.short() },
        8 => Step::Advance { queue: queue(&mut from), by: from.short() },
        _ => return None,
    })
}

impl<'a> Step<'a> {
    /// Sends a frame, in one piece, behind a header of zeros.
    #[must_use]
    pub fn frame(pair: usize, frame: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::Send { pair, cut: Cut(0), is_plain: true, bytes: frame.into() }
    }

    /// Posts receive buffers of one descriptor.
    #[must_use]
    pub fn post(pair: usize, count: u8, len: u16) -> Self {
        Self::Post { pair, count, lens: len.to_le_bytes().to_vec().into() }
    }

    /// Commands, in one piece, with room for a result.
    #[must_use]
    pub fn command(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::Command { room: 8, cut: Cut(0), bytes: bytes.into() }
    }

    /// A wake-up of a transmit queue.
    #[must_use]
    pub const fn wake(pair: usize) -> Self {
        Self::Wake { queue: transmit(pair) }
    }

    /// The same, with bytes of its own.
    #[must_use]
    pub fn into_owned(self) -> Step<'static> {
        let own = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
        match self {
            Self::Poke { address, bytes } => Step::Poke { address, bytes: own(bytes) },
            Self::Send { pair, cut, is_plain, bytes } => {
                Step::Send { pair, cut, is_plain, bytes: own(bytes) }
            }
            Self::Post { pair, count, lens } => Step::Post { pair, count, lens: own(lens) },
            Self::Command { room, cut, bytes } => Step::Command { room, cut, bytes: own(bytes) },
            Self::Chain { queue, id, descriptors } => {
                Step::Chain { queue, id, descriptors: descriptors.into_owned() }
            }
            Self::Table { queue, address, descriptors } => {
                Step::Table { queue, address, descriptors: descriptors.into_owned() }
            }
            Self::Start(start) => Step::Start(start),
            Self::Wake { queue } => Step::Wake { queue },
            Self::Discard { pair } => Step::Discard { pair },
            Self::Restart { queue, is_fresh } => Step::Restart { queue, is_fresh },
            Self::Memory { regions } => Step::Memory { regions },
            Self::Wait { ms } => Step::Wait { ms },
            Self::Link { is_up } => Step::Link { is_up },
            Self::Announce => Step::Announce,
            Self::Negotiate { features } => Step::Negotiate { features },
            Self::Enable { queue, is_on } => Step::Enable { queue, is_on },
            Self::Mtu { mtu } => Step::Mtu { mtu },
            Self::Wish { queue, flags, event } => Step::Wish { queue, flags, event },
            Self::Advance { queue, by } => Step::Advance { queue, by },
        }
    }

    /// The record that means it.
    #[must_use]
    pub fn record(&self) -> Record<'static> {
        let byte = |number: usize| u8::try_from(number).unwrap_or(0);
        let (actor, operation, arguments) = match self {
            Self::Poke { address, bytes } => {
                return Record::GuestWrite { address: *address, bytes: bytes.to_vec().into() };
            }
            Self::Start(start) => (Actor::Device, 0, start.arguments()),
            Self::Wake { queue } => (Actor::Device, 1, vec![byte(*queue)]),
            Self::Discard { pair } => (Actor::Device, 2, vec![byte(*pair)]),
            Self::Restart { queue, is_fresh } => {
                (Actor::Device, 3, vec![byte(*queue), (*is_fresh).into()])
            }
            Self::Memory { regions } => (Actor::Device, 4, vec![*regions]),
            Self::Wait { ms } => (Actor::Device, 5, ms.to_le_bytes().to_vec()),
            Self::Link { is_up } => (Actor::Device, 6, vec![(*is_up).into()]),
            Self::Announce => (Actor::Device, 7, vec![]),
            Self::Negotiate { features } => {
                (Actor::Device, 8, features.to_le_bytes()[..9].to_vec())
            }
            Self::Enable { queue, is_on } => {
                (Actor::Device, 9, vec![byte(*queue), (*is_on).into()])
            }
            Self::Mtu { mtu } => (Actor::Device, 10, mtu.to_le_bytes().to_vec()),
            Self::Send { pair, cut, is_plain, bytes } => {
                let front = [&[byte(*pair)][..], &cut.0.to_le_bytes()].concat();
                (Actor::Driver, 1 + u8::from(*is_plain), [&front[..], bytes].concat())
            }
            Self::Post { pair, count, lens } => {
                (Actor::Driver, 3, [&[byte(*pair), *count][..], lens].concat())
            }
            Self::Command { room, cut, bytes } => {
                let front = [room.to_le_bytes(), cut.0.to_le_bytes()].concat();
                (Actor::Driver, 4, [&front[..], bytes].concat())
            }
            Self::Chain { queue, id, descriptors } => {
                let front = [&[byte(*queue)][..], &id.to_le_bytes()].concat();
                (Actor::Driver, 5, [&front[..], &descriptors.0].concat())
            }
            Self::Table { queue, address, descriptors } => {
                let front = [&[byte(*queue)][..], &address.to_le_bytes()].concat();
                (Actor::Driver, 6, [&front[..], &descriptors.0].concat())
            }
            Self::Wish { queue, flags, event } => {
                let tail = [flags.to_le_bytes(), event.to_le_bytes()].concat();
                (Actor::Driver, 7, [&[byte(*queue)][..], &tail].concat())
            }
            Self::Advance { queue, by } => {
                (Actor::Driver, 8, [&[byte(*queue)][..], &by.to_le_bytes()].concat())
            }
        };
        Record::Action { actor, operation, arguments: arguments.into() }
    }
}

/// The script of these steps.
#[must_use]
pub fn encode(steps: &[Step<'_>]) -> Vec<u8> {
    let records: Vec<_> = steps.iter().map(Step::record).collect();
    script::encode(&records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::step::Descriptor;

    #[test]
    fn a_step_comes_back_from_its_script() {
        let descriptors = || [Descriptor { address: 1, len: 2, flags: 3 }].into_iter().collect();
        let bytes = || Cow::Borrowed(&[1, 2, 3, 4][..]);
        let start = Start {
            layout: Layout::Odd,
            form: Form::Packed,
            is_swapped: true,
            features: bit::OUT_NET_HEADER | bit::MTU,
            sizes: [1, 2, 3, 4, 300],
            gateway: [1, 2, 3, 4],
            control: 5,
            mtu: 1280,
            base: 0x8001,
            ..Start::default()
        };
        assert_eq!(start.arguments().len(), Start::LEN);
        let steps = [
            Step::Start(start),
            Step::Poke { address: 7, bytes: bytes() },
            Step::wake(1),
            Step::Discard { pair: 1 },
            Step::Restart { queue: 4, is_fresh: true },
            Step::Memory { regions: 5 },
            Step::Wait { ms: 70_000 },
            Step::Link { is_up: true },
            Step::Announce,
            Step::Negotiate { features: bit::HOST_TUNNELS | bit::CSUM },
            Step::Enable { queue: 2, is_on: true },
            Step::Mtu { mtu: 1500 },
            Step::frame(1, bytes()),
            Step::Send { pair: 0, cut: Cut(Cut::TABLE | 7), is_plain: false, bytes: bytes() },
            Step::post(1, 3, 1526),
            Step::command(bytes()),
            Step::Chain { queue: 3, id: 9, descriptors: descriptors() },
            Step::Table { queue: 2, address: 8, descriptors: descriptors() },
            Step::Wish { queue: 1, flags: 2, event: 3 },
            Step::Advance { queue: 1, by: 0xffff },
        ];
        let script = encode(&steps);
        assert_eq!(super::steps(&script).collect::<Vec<_>>(), steps);
    }

    #[test]
    fn there_are_no_more_pieces_than_descriptors() {
        assert_eq!((Cut(0).piece(10, 4), Cut(4).piece(10, 4), Cut(1).piece(10, 4)), (10, 4, 3));
        assert_eq!((Cut(Cut::TABLE | 5).piece(10, 4), Cut(0).piece(0, 4)), (5, 1));
    }
}

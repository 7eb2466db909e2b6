//! A driver of a network device that does what it is told to, legal or not. Everything that it
//! writes, it writes to two memories.

use vhost_fuzz_core::ring::{Layout as Form, flag};

use super::step::{Cut, Start, Step};
use super::{CONTROL, QUEUES, receive, transmit};
use crate::ram::{Layout, Ram};
use crate::ring::driver::{self as ring, poke};
use crate::ring::step::{self, Descriptor, Descriptors};

/// Most entries of an indirect table that the driver makes.
const TABLE_MAX: usize = 64;

/// Addresses that are given out one after another, and again from the beginning.
#[derive(Clone, Copy, Debug)]
struct Area {
    start: u64,
    end: u64,
    next: u64,
}

impl Area {
    const fn new((start, end): (u64, u64)) -> Self {
        Self { start, end, next: start }
    }

    /// So many bytes, and one between them and the next.
    fn take(&mut self, len: usize) -> u64 {
        let len = len as u64;
        if self.next + len > self.end {
            self.next = self.start;
        }
        let address = self.next;
        self.next += len + 1;
        address
    }
}

/// Where things are in a memory: the rings come first, then two areas for frames, then commands.
#[derive(Clone, Copy, Debug)]
struct Map {
    rings: u64,
    frames: [(u64, u64); 2],
    commands: (u64, u64),
}

impl Map {
    /// Both areas for frames go over a border of regions somewhere, in one layout or another.
    fn of(layout: Layout) -> Self {
        let start = layout.areas()[0].start;
        let at = |a, b| (start + a, start + b);
        match layout {
            Layout::Large => Self {
                rings: start,
                frames: [at(0x8_0000, 0x14_0000), at(0x14_0000, 0x1f_0000)],
                commands: at(0x1f_0000, 0x20_2000),
            },
            _ => Self {
                rings: start,
                frames: [at(0x4400, 0x7e00), at(0x7e00, 0xbc00)],
                commands: at(0xbc00, 0xc000),
            },
        }
    }
}

/// Entries of a queue at most.
#[must_use]
pub const fn size_max(layout: Layout) -> u16 {
    match layout {
        Layout::Large => 1024,
        _ => 128,
    }
}

/// How each queue starts. What lies where does not depend on their sizes.
#[must_use]
pub fn rings(start: &Start) -> [step::Start; QUEUES] {
    let max = size_max(start.layout);
    let room = (step::Start { layout: start.layout, ..step::Start::of(max, 0) }).end();
    let room = (room - start.layout.areas()[0].start).next_multiple_of(16);
    let base = |size: u16| match start.form {
        Form::Split => u32::from(start.base) << 16 | u32::from(start.base),
        Form::Packed => {
            let half = u32::from(((start.base & 0x7fff) % size.max(1)) | (!start.base & 0x8000));
            half << 16 | half
        }
    };
    let mut first = Map::of(start.layout).rings;
    std::array::from_fn(|queue| {
        let size = start.sizes[queue].min(max);
        let here = first;
        first += room;
        let origin = start.layout.areas()[0].start;
        let parts = step::Start::parts(start.layout, size).map(|part| part - origin + here);
        let (layout, features) = (start.layout, start.rings);
        step::Start { layout, size, features, cap: 256, base: base(size), parts }
    })
}

/// The driver.
#[derive(Clone, Debug)]
pub struct Driver {
    form: Form,
    has_indirect: bool,
    sizes: [u16; QUEUES],
    queues: [ring::Driver; QUEUES],
    /// Head or id of the next chain of each queue.
    heads: [u16; QUEUES],
    sent: Area,
    posted: Area,
    commanded: Area,
    /// Bytes of the header of a frame.
    pub header_len: usize,
    /// Bytes and descriptors in the making.
    bytes: Vec<u8>,
    pieces: Vec<u8>,
}

impl Driver {
    /// A driver of queues that start so.
    #[must_use]
    pub fn new(start: &Start, rings: &[step::Start; QUEUES]) -> Self {
        let map = Map::of(start.layout);
        let [mut sent, mut posted] = map.frames.map(Area::new);
        if start.is_swapped {
            std::mem::swap(&mut sent, &mut posted);
        }
        Self {
            form: start.form,
            has_indirect: start.rings & step::feature::INDIRECT != 0,
            sizes: std::array::from_fn(|queue| rings[queue].size.max(1)),
            queues: std::array::from_fn(|queue| ring::Driver::new(start.form, &rings[queue])),
            heads: [0; QUEUES],
            sent,
            posted,
            commanded: Area::new(map.commands),
            header_len: 0,
            bytes: Vec::new(),
            pieces: Vec::new(),
        }
    }

    /// As new, with the memory that it has.
    pub fn renew(&mut self, start: &Start, rings: &[step::Start; QUEUES]) {
        let (bytes, pieces) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.pieces));
        *self = Self { bytes, pieces, ..Self::new(start, rings) };
    }

    /// A queue starts again from the beginning.
    pub fn restart(&mut self, queue: usize, start: &step::Start) {
        self.queues[queue] = ring::Driver::new(self.form, start);
        self.heads[queue] = 0;
    }

    /// Does what a step says the driver does; `false` when it is not about the driver.
    pub fn drive(&mut self, rams: [&Ram; 2], step: &Step<'_>) -> bool {
        match step {
            Step::Poke { address, bytes } => both(rams, *address, bytes),
            Step::Send { pair, cut, is_plain, bytes } => {
                let mut whole = std::mem::take(&mut self.bytes);
                whole.clear();
                if *is_plain {
                    whole.resize(self.header_len, 0);
                }
                whole.extend_from_slice(bytes);
                self.begin();
                self.cut(rams, transmit(*pair), *cut, &whole, 0);
                self.bytes = whole;
                self.offer(rams, transmit(*pair), cut.is_table());
            }
            Step::Post { pair, count, lens } => {
                for _ in 0..(*count).clamp(1, 64) {
                    self.begin();
                    for len in lens.chunks_exact(2) {
                        let len = u16::from_le_bytes([len[0], len[1]]);
                        let address = self.posted.take(len.into());
                        self.add(address, len.into(), flag::WRITE);
                    }
                    self.offer(rams, receive(*pair), false);
                }
            }
            Step::Command { room, cut, bytes } => {
                self.begin();
                self.cut(rams, CONTROL, *cut, bytes, 1);
                let len = u32::from(*room) + 1;
                let address = self.commanded.take(usize::from(*room) + 1);
                self.add(address, len, flag::WRITE);
                self.offer(rams, CONTROL, cut.is_table());
            }
            Step::Chain { queue, id, descriptors } => self.chain(rams, *queue, *id, descriptors),
            Step::Table { queue, address, descriptors } => {
                rams.iter().for_each(|ram| self.queues[*queue].table(ram, *address, descriptors));
            }
            Step::Wish { queue, flags, event } => {
                rams.iter().for_each(|ram| self.queues[*queue].wish(ram, *flags, *event));
            }
            Step::Advance { queue, by } => {
                let driver = &mut self.queues[*queue];
                let mut twin = *driver;
                twin.advance(rams[1], *by);
                driver.advance(rams[0], *by);
            }
            _ => return false,
        }
        true
    }

    fn begin(&mut self) {
        self.pieces.clear();
    }

    /// One more descriptor.
    fn add(&mut self, address: u64, len: u32, flags: u16) {
        self.pieces.extend(Descriptor { address, len, flags }.bytes());
    }

    /// Writes bytes, and adds what describes them. `more` descriptors will follow.
    fn cut(&mut self, rams: [&Ram; 2], queue: usize, cut: Cut, bytes: &[u8], more: usize) {
        let is_table = cut.is_table() && self.has_indirect;
        let most = if is_table { TABLE_MAX } else { self.sizes[queue].into() };
        let piece = cut.piece(bytes.len(), most.saturating_sub(more));
        for piece in bytes.chunks(piece) {
            let area = if queue == CONTROL { &mut self.commanded } else { &mut self.sent };
            let address = area.take(piece.len());
            both(rams, address, piece);
            self.add(address, u32::try_from(piece.len()).unwrap_or(u32::MAX), 0);
        }
    }

    /// Makes the descriptors available, each but the last linked to the next.
    fn offer(&mut self, rams: [&Ram; 2], queue: usize, is_table: bool) {
        let mut pieces = std::mem::take(&mut self.pieces);
        let is_table = is_table && self.has_indirect && !pieces.is_empty();
        let linked = pieces.len().saturating_sub(step::DESCRIPTOR_LEN);
        if !is_table || self.form == Form::Split {
            for piece in pieces[..linked].chunks_exact_mut(step::DESCRIPTOR_LEN) {
                piece[12] |= 1; // NEXT
            }
        }
        let table;
        let mut descriptors = Descriptors(pieces.as_slice().into());
        if is_table {
            let len = 16 * descriptors.iter().len();
            let area = if queue == CONTROL { &mut self.commanded } else { &mut self.sent };
            let address = area.take(len);
            rams.iter().for_each(|ram| self.queues[queue].table(ram, address, &descriptors));
            let len = u32::try_from(len).unwrap_or(u32::MAX);
            table = Descriptor { address, len, flags: flag::INDIRECT }.bytes();
            descriptors = Descriptors(table.as_slice().into());
        }
        let id = self.heads[queue];
        let taken = match self.form {
            Form::Split => u16::try_from(descriptors.iter().len()).unwrap_or(u16::MAX),
            Form::Packed => 1,
        };
        self.heads[queue] = id.wrapping_add(taken) % self.sizes[queue];
        self.chain(rams, queue, id, &descriptors);
        drop(descriptors);
        pieces.clear();
        self.pieces = pieces;
    }

    fn chain(&mut self, rams: [&Ram; 2], queue: usize, id: u16, descriptors: &Descriptors<'_>) {
        let driver = &mut self.queues[queue];
        let mut twin = *driver;
        twin.chain(rams[1], id, descriptors);
        driver.chain(rams[0], id, descriptors);
    }
}

/// Writes to both memories; what is not completely memory is left out.
pub fn both(rams: [&Ram; 2], address: u64, bytes: &[u8]) {
    rams.iter().for_each(|ram| poke(ram, address, bytes));
}

//! Honest drivers of both kinds and a device that completes as it likes, at random: whatever the
//! ring, the history of a queue comes of it.

use super::{AVAIL, DATA, DESC, INDIRECT, NEXT, Ram, USED, WRITE, packed, setup, split};
use crate::ring::{Chain, History, Pop, Position, Setup, Token};

/// A sequence of numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % end
    }
}

/// One request: lengths of its readable and of its writable elements.
struct Shape {
    readable: u64,
    writable: u64,
    is_indirect: bool,
}

impl Shape {
    fn any(dice: &mut Dice, most: u64) -> Self {
        let total = 1 + dice.below(most);
        let readable = dice.below(total + 1);
        Self { readable, writable: total - readable, is_indirect: dice.below(3) == 0 }
    }

    /// Places in the ring.
    fn slots(&self) -> u64 {
        if self.is_indirect { 1 } else { self.readable + self.writable }
    }

    /// Address, length and flags of each descriptor; one byte each, in the area of request `id`.
    fn descriptors(&self, id: u64) -> Vec<(u64, u32, u16)> {
        let total = self.readable + self.writable;
        let area = DATA + 0x100 * id;
        (0..total)
            .map(|at| {
                let next = if at + 1 < total { NEXT } else { 0 };
                (area + at, 1, next | if at < self.readable { 0 } else { WRITE })
            })
            .collect()
    }
}

/// Both sides of a ring, as far as the walk needs them.
trait Ring {
    fn new(setup: Setup) -> Self;
    /// Free places.
    fn room(&self) -> u64;
    /// Makes request `id`, which nothing else in the ring has, available.
    fn offer(&mut self, id: u16, shape: &Shape);
    fn pop(&mut self) -> (Pop, u16);
    fn put(&mut self, token: Token, len: u32);
    fn publish(&mut self);
    /// Takes the next completion: request and length.
    fn reap(&mut self) -> Option<(u16, u32)>;
    fn ram(&mut self) -> &mut Ram;
    fn chain(&self) -> &Chain;
}

const SIZE: u16 = 8;

fn table(ram: &mut Ram, id: u16, shape: &Shape, is_packed: bool) -> (u64, u32) {
    let at = DATA + 0x800 + 0x80 * u64::from(id);
    let list = shape.descriptors(id.into());
    for (index, (address, len, flags)) in (0u16..).zip(&list) {
        let fields = if is_packed { [0, *flags & WRITE] } else { [*flags, index + 1] };
        ram.describe(at + 16 * u64::from(index), *address, *len, fields);
    }
    (at, 16 * u32::try_from(list.len()).unwrap())
}

struct SplitRing {
    bench: split::Bench,
    free: Vec<u16>,
    /// Descriptors and request of each head.
    heads: [(Vec<u16>, u16); SIZE as usize],
    reaped: u16,
}

impl Ring for SplitRing {
    fn new(setup: Setup) -> Self {
        let bench = split::Bench::new(setup, 0xfff0);
        Self { bench, free: (0..SIZE).collect(), heads: Default::default(), reaped: 0xfff0 }
    }

    fn room(&self) -> u64 {
        self.free.len() as u64
    }

    fn offer(&mut self, id: u16, shape: &Shape) {
        let places: Vec<u16> =
            (0..shape.slots()).map(|_| self.free.pop().expect("a free place")).collect();
        if shape.is_indirect {
            let (address, len) = table(&mut self.bench.ram, id, shape, false);
            self.bench.desc(places[0], address, len, INDIRECT, 0);
        } else {
            for (at, (address, len, flags)) in shape.descriptors(id.into()).into_iter().enumerate()
            {
                let next = places.get(at + 1).copied().unwrap_or(0xffff);
                self.bench.desc(places[at], address, len, flags, next);
            }
        }
        let head = places[0];
        self.heads[usize::from(head)] = (places, id);
        self.bench.offer(head);
    }

    fn pop(&mut self) -> (Pop, u16) {
        let pop = self.bench.pop();
        (pop, self.heads[usize::from(self.bench.chain.id)].1)
    }

    fn put(&mut self, token: Token, len: u32) {
        self.bench.put(token, len).unwrap();
    }

    fn publish(&mut self) {
        self.bench.publish().unwrap();
        self.bench.bind();
    }

    fn reap(&mut self) -> Option<(u16, u32)> {
        if self.bench.ram.load16(USED + 2) == self.reaped {
            return None;
        }
        let element = self.bench.ram.load(USED + 4 + 8 * u64::from(self.reaped % SIZE), 8);
        self.reaped = self.reaped.wrapping_add(1);
        let (places, id) = &mut self.heads[usize::from(element[0])];
        self.free.append(places);
        Some((*id, u32::from_le_bytes(element[4..].try_into().unwrap())))
    }

    fn ram(&mut self) -> &mut Ram {
        &mut self.bench.ram
    }

    fn chain(&self) -> &Chain {
        &self.bench.chain
    }
}

struct PackedRing {
    bench: packed::Bench,
    room: u64,
    /// Slots of each request.
    slots: [u64; SIZE as usize],
    reaped: Position,
}

impl Ring for PackedRing {
    fn new(setup: Setup) -> Self {
        let bench = packed::Bench::new(setup, Position::FRESH);
        Self { bench, room: SIZE.into(), slots: [0; 8], reaped: Position::FRESH }
    }

    fn room(&self) -> u64 {
        self.room
    }

    fn offer(&mut self, id: u16, shape: &Shape) {
        self.room -= shape.slots();
        self.slots[usize::from(id)] = shape.slots();
        if shape.is_indirect {
            let (address, len) = table(&mut self.bench.ram, id, shape, true);
            self.bench.offer(&[(address, len, id, INDIRECT)]);
            return;
        }
        let list: Vec<_> = shape
            .descriptors(id.into())
            .into_iter()
            .map(|(address, len, flags)| (address, len, id, flags))
            .collect();
        self.bench.offer(&list);
    }

    fn pop(&mut self) -> (Pop, u16) {
        let pop = self.bench.pop();
        (pop, self.bench.chain.id)
    }

    fn put(&mut self, token: Token, len: u32) {
        self.bench.put(token, len).unwrap();
    }

    fn publish(&mut self) {
        self.bench.publish().unwrap();
        self.bench.bind();
    }

    fn reap(&mut self) -> Option<(u16, u32)> {
        let slot = self.bench.ram.load(DESC + 16 * u64::from(self.reaped.offset) + 8, 8);
        let flags = u16::from_le_bytes([slot[6], slot[7]]);
        if flags & 0x8080 != if self.reaped.wrap { 0x8080 } else { 0 } {
            return None;
        }
        let id = u16::from_le_bytes([slot[4], slot[5]]);
        let slots = self.slots[usize::from(id)];
        self.room += slots;
        for _ in 0..slots {
            self.reaped.offset += 1;
            if self.reaped.offset == SIZE {
                self.reaped = Position { offset: 0, wrap: !self.reaped.wrap };
            }
        }
        let len = u32::from_le_bytes(slot[..4].try_into().unwrap());
        assert_eq!(flags & WRITE != 0, len > 0);
        Some((id, len))
    }

    fn ram(&mut self) -> &mut Ram {
        &mut self.bench.ram
    }

    fn chain(&self) -> &Chain {
        &self.bench.chain
    }
}

/// A request in the ring.
struct Open {
    id: u16,
    number: usize,
    shape: Shape,
    token: Option<Token>,
}

struct Walk<R> {
    ring: R,
    dice: Dice,
    history: History,
    open: Vec<Open>,
    in_order: bool,
    heard: usize,
}

impl<R: Ring> Walk<R> {
    fn new(seed: u64) -> Self {
        let in_order = seed.is_multiple_of(4);
        let setup = Setup { in_order, event_idx: seed.is_multiple_of(2), ..setup(SIZE) };
        let (history, dice) = (History::new(in_order), Dice(seed));
        Self { ring: R::new(setup), dice, history, open: Vec::new(), in_order, heard: 0 }
    }

    fn offer(&mut self) {
        let shape = Shape::any(&mut self.dice, SIZE.into());
        let id = (0..SIZE).find(|id| self.open.iter().all(|open| open.id != *id));
        let Some(id) = id.filter(|_| shape.slots() <= self.ring.room()) else {
            return;
        };
        let readable: Vec<u8> =
            (0..shape.readable).map(|_| u8::try_from(self.dice.below(256)).unwrap()).collect();
        self.ring.ram().store(DATA + 0x100 * u64::from(id), &readable);
        let number = self.history.offer(&readable, shape.writable);
        self.ring.offer(id, &shape);
        self.open.push(Open { id, number, shape, token: None });
    }

    fn pop(&mut self) {
        self.ring.ram().take_reads();
        let (pop, id) = self.ring.pop();
        let mut bytes: Vec<u64> = Vec::new();
        for (address, len) in self.ring.ram().take_reads() {
            bytes.extend(address..address + len as u64);
        }
        let fetched = bytes.len();
        bytes.sort_unstable();
        bytes.dedup();
        assert_eq!(bytes.len(), fetched, "a byte was fetched twice");

        let token = match pop {
            Pop::Chain { token } => token,
            Pop::Empty => return assert_eq!(self.history.take(), None),
            Pop::Yield => return,
            other => panic!("{other:?}"),
        };
        let number = self.history.take().expect("a request");
        let open = self.open.iter_mut().find(|open| open.id == id).expect("a request");
        assert_eq!(open.number, number);
        open.token = Some(token);
        let chain = self.ring.chain().clone();
        let (wanted, capacity) = self.history.received().nth(number).unwrap();
        let mut readable = Vec::new();
        for element in chain.elements.iter().filter(|element| !element.writable) {
            readable.extend(self.ring.ram().load(element.address, 1));
        }
        assert_eq!((&readable[..], chain.writable), (wanted, capacity));
        assert_eq!(chain.readable, readable.len() as u64);
    }

    fn complete(&mut self) {
        let taken: Vec<usize> =
            (0..self.open.len()).filter(|at| self.open[*at].token.is_some()).collect();
        if taken.is_empty() {
            return;
        }
        let pick = self.dice.below(taken.len() as u64);
        let pick = if self.in_order { 0 } else { usize::try_from(pick).unwrap() };
        let open = &mut self.open[taken[pick]];
        let len = u32::try_from(self.dice.below(open.shape.writable + 1)).unwrap();
        let bytes = vec![u8::try_from(self.dice.below(256)).unwrap(); len as usize];
        let at = DATA + 0x100 * u64::from(open.id) + open.shape.readable;
        self.ring.ram().store(at, &bytes);
        self.ring.put(open.token.take().expect("a token"), len);
        self.history.complete(open.number, &bytes).unwrap();
    }

    fn reap(&mut self) {
        while let Some((id, len)) = self.ring.reap() {
            let at = self.open.iter().position(|open| open.id == id).expect("a request");
            let open = self.open.remove(at);
            let told = self.history.deliveries().nth(self.heard).expect("a delivery");
            self.heard += 1;
            assert_eq!((told.request, told.len()), (open.number, len));
            let at = DATA + 0x100 * u64::from(id) + open.shape.readable;
            assert_eq!(self.ring.ram().load(at, len as usize), told.bytes);
        }
        assert_eq!(self.history.deliveries().count(), self.heard);
    }

    fn publish(&mut self) {
        self.ring.publish();
        self.history.publish();
        self.reap();
    }

    fn run(seed: u64) -> usize {
        let mut walk = Self::new(seed);
        for _ in 0..300 {
            match walk.dice.below(6) {
                0 | 1 => walk.offer(),
                2 => walk.pop(),
                3 | 4 => walk.complete(),
                _ => walk.publish(),
            }
            if walk.dice.below(8) == 0 {
                walk.reap();
            }
        }
        while !walk.history.is_settled() {
            walk.pop();
            walk.complete();
            walk.publish();
        }
        assert_eq!((walk.history.outstanding().count(), walk.open.len()), (0, 0));
        walk.heard
    }
}

#[test]
fn split_rings_end_in_the_history() {
    let heard: usize = (0..64).map(Walk::<SplitRing>::run).sum();
    assert!(heard > 64 * 20, "{heard} completions");
}

#[test]
fn packed_rings_end_in_the_history() {
    let heard: usize = (0..64).map(Walk::<PackedRing>::run).sum();
    assert!(heard > 64 * 20, "{heard} completions");
}

/// Bytes that nobody chose, in every part of the ring: the model ends, and what it takes is in
/// memory and within its limits.
#[test]
fn anything_at_all() {
    let mut counts = [0; 5];
    for seed in 0..3000 {
        let mut dice = Dice(seed);
        let size = 1 << dice.below(5);
        let setup = Setup {
            event_idx: seed % 2 == 0,
            indirect: seed % 3 != 0,
            strict: seed % 5 == 0,
            ..setup(size)
        };
        let mut ram = Ram::plain();
        for at in 0..32 {
            let fields = [0; 2].map(|_| u16::try_from(dice.below(16)).unwrap());
            let flags = [0, 0x80, 0x80, 0x8000].map(|lap| lap | fields[1]);
            let flags = flags[usize::try_from(dice.below(4)).unwrap()];
            let len = u32::try_from(dice.below(48)).unwrap();
            let address = DESC + dice.below(0x2100);
            ram.describe(DESC + 16 * at, address, len, [fields[0], flags]);
            ram.store16(AVAIL + 4 + 2 * at, u16::try_from(dice.below(20)).unwrap());
        }
        let mut benches = (
            split::Bench::on_bytes(&ram, setup, u16::try_from(dice.below(6)).unwrap()),
            packed::Bench::on_bytes(&ram, setup),
        );
        for _ in 0..20 {
            let pops = [(benches.0.pop(), &benches.0.chain), (benches.1.pop(), &benches.1.chain)];
            for (pop, chain) in pops {
                let index = match pop {
                    Pop::Empty => 0,
                    Pop::Yield => 1,
                    Pop::Chain { token } => {
                        assert!(token.slots <= size);
                        2
                    }
                    Pop::Dropped { .. } => 3,
                    Pop::Stopped(_) => 4,
                };
                counts[index] += 1;
                assert!(index == 2 || *chain == Chain::new());
                for element in &chain.elements {
                    let inside =
                        super::super::is_inside(&ram.regions, element.address, element.len.into());
                    assert!(inside && element.len > 0);
                }
            }
        }
    }
    assert!(counts.iter().all(|count| *count > 500), "{counts:?}");
}

//! What a device does with a ring that runs, on both sides.

use vhost_fuzz_core::ring::{Chain as OurChain, PopError, Token};

use super::device::{Device, Guest};
use super::divergences::{self, Did, Shape};
use super::image::Images;
use super::known::Owed;
use super::lockstep::{Lockstep, answer, compare, verdict};
use super::theirs::{Available, Chain, Panicked};
use super::walk::{Buffer, Walk, Wrong, feature};

/// Bytes at the front of a chain that both read.
pub(super) const READ: usize = 256;

/// Most bytes that both write to the front of a chain.
pub const FILL: usize = 512;

/// Bytes that count.
const COUNT: [u8; FILL + 256] = {
    let mut bytes = [0_u8; FILL + 256];
    let mut at = 1;
    while at < bytes.len() {
        bytes[at] = bytes[at - 1].wrapping_add(1);
        at += 1;
    }
    bytes
};

/// What a device writes to the chain of a head.
pub(super) fn pattern(head: u16) -> &'static [u8] {
    let [salt, _] = head.to_le_bytes();
    &COUNT[usize::from(salt)..][..FILL]
}

/// A head that a side took.
struct Taken<T> {
    did: Did,
    chain: Option<T>,
}

impl<D: Device> Lockstep<D> {
    /// Takes at most `limit` chains, reads each, and writes `fill` bytes to its front.
    ///
    /// Without writes this is one wake-up, in which the available index is read once. With writes,
    /// which may go to the ring itself, each chain has a wake-up of its own.
    ///
    /// # Panics
    /// When the two do not do what they have to.
    pub fn take(&mut self, limit: usize, fill: usize) {
        if fill == 0 {
            self.wake_up(limit, 0);
        } else {
            for _ in 0..limit {
                if !self.wake_up(1, fill.min(FILL)) {
                    break;
                }
            }
        }
    }

    /// Takes chains in one wake-up; says whether there may be more.
    fn wake_up(&mut self, limit: usize, fill: usize) -> bool {
        if !self.is_live {
            return false;
        }
        let Self { images, device, queue, chain, peer, known, walk, ours, theirs, data, .. } = self;
        let guest = Guest::new(images.ours.table());
        let mut ring = queue.bind(&guest).expect("a ring that runs and memory that stays");
        let memory = images.theirs.memory();
        let mut available = peer.available(memory);
        for number in 0..limit {
            if self.budget == 0 {
                return false;
            }
            ours.clear();
            theirs.clear();
            let shape = divergences::of_take(known, &images.theirs, walk);
            self.budget = self.budget.saturating_sub(walk.buffers.len() + 1);
            let head = images.theirs.u16(known.start.entry(known.next));
            let is_full = number == usize::from(known.start.size);
            let popped = device.pop(&mut ring, chain);
            let our = match popped {
                Ok(Some(token)) => {
                    device.buffers(&guest, chain, head, ours);
                    let did = if token.id() == head { our_chain(walk, ours) } else { Did::Other };
                    Taken { did, chain: Some(token) }
                }
                other => refused(other, is_full, head),
            };
            let their = their_chain(&mut available, theirs, (shape, head), walk, memory);
            self.tally.judge(
                "a chain",
                (our.did, their.did),
                shape,
                &(&known, &walk, &ours, &theirs),
            );
            let Some(token) = our.chain else {
                // Nothing is there, or the ring is broken.
                self.is_live = our.did == Did::Nothing;
                return false;
            };
            let is_whole = our.did == Did::Took;
            let writable = if is_whole { walk.writable() } else { 0 };
            assert!(token.writable() == writable, "ring ledger: {token:?}: {walk:x?}");
            self.tokens.push(token);
            known.next = known.next.wrapping_add(1);
            let mut owed = Owed { head, writable, written: 0 };
            if let Some(their) = their.chain
                && shape.is_none()
            {
                self.tally.chains += 1;
                read(device, &guest, chain, (&their, memory), data);
                if fill > 0 {
                    owed.written = write(device, &guest, chain, (&their, memory), fill, head);
                    known.in_flight.push(owed);
                    settle(images, walk, owed.written);
                    return true;
                }
            }
            known.in_flight.push(owed);
        }
        true
    }

    /// Gives `count` buffers back, from the one at a place on, with a length or with what was
    /// written to each; then shows them to the driver.
    ///
    /// # Panics
    /// When the two do not do what they have to.
    pub fn put(&mut self, at: usize, count: usize, len: Option<u32>) {
        if !self.is_live {
            return;
        }
        let Self { images, device, queue, peer, known, tokens, tally, .. } = self;
        let Images { ours, theirs, touched } = images;
        let guest = Guest::new(ours.table());
        let mut ring = queue.bind(&guest).expect("a ring that runs and memory that stays");
        let (start, old) = (known.start, known.used);
        let at = at.checked_rem(tokens.len()).unwrap_or(0);
        for _ in 0..count.min(tokens.len() - at) {
            let (token, owed) = (tokens.remove(at), known.in_flight[at]);
            let len = len.unwrap_or(owed.written);
            let shape = divergences::of_put(known, at, len);
            let our = match device.put(&mut ring, token, len) {
                Ok(()) => Did::Done,
                Err(_) => Did::Refused,
            };
            let their = verdict(peer.put(theirs.memory(), owed.head, len), |is_done| {
                if is_done { Did::Done } else { Did::Failed }
            });
            let element = start.element(known.used);
            touched.add(element, 8);
            touched.add(start.used.wrapping_add(2), 2);
            tally.judge("a buffer that goes back", (our, their), shape, &(&known, owed, len));
            if our != Did::Done {
                (self.is_live, self.is_apart) = (false, true);
                return;
            }
            let expected = u64::from(owed.head) | u64::from(len) << 32;
            let got = [ours.u64(element), theirs.u64(element)];
            assert!(
                got == [expected; 2],
                "ring ledger: ours and the peer's element at {element:#x} are {got:#x?}, not \
                 {expected:#x}"
            );
            known.used = known.used.wrapping_add(1);
            known.in_flight.remove(at);
        }
        let our = device.publish(&mut ring).ok();
        let shape = divergences::of_tell(known, old, theirs);
        let their = verdict(peer.tell(theirs.memory()), answer);
        tally.judge("a notification", (answer(our), their), shape, &(&known, old));
        known.is_decided |= known.used != old;
        if known.used != old {
            let index = start.used.wrapping_add(2);
            let got = [ours.u16(index), theirs.u16(index)];
            assert!(
                got == [known.used; 2],
                "ring ledger: ours and the peer's used index are {got:?}, not {}",
                known.used
            );
        }
    }

    /// Asks the driver for kicks.
    ///
    /// # Panics
    /// When the two do not do what they have to.
    pub fn arm(&mut self) {
        if !self.is_live {
            return;
        }
        let Self { images, device, queue, peer, known, tally, .. } = self;
        let shape = divergences::of_arm(known, &images.theirs);
        images.touch(known.start.used, 2);
        let has_events = known.start.has(feature::EVENT_IDX);
        if has_events {
            images.touch(known.start.avail_event(), 2);
        }
        let guest = Guest::new(images.ours.table());
        let mut ring = queue.bind(&guest).expect("a ring that runs and memory that stays");
        let our = match device.arm(&mut ring) {
            Ok(is_more) => answer(Some(is_more)),
            Err(broken) => Did::Stopped(broken.rule()),
        };
        let their = verdict(peer.arm(images.theirs.memory()), answer);
        tally.judge("asking for kicks", (our, their), shape, known);
        self.is_live = shape.is_none();
        compare(images, "the flags of the used ring", known.start.used, 2);
        if has_events {
            compare(images, "avail_event", known.start.avail_event(), 2);
        }
    }

    /// Asks the driver for no kicks.
    ///
    /// # Panics
    /// When the two do not do what they have to.
    pub fn disarm(&mut self) {
        if !self.is_live {
            return;
        }
        let Self { images, device, queue, peer, known, tally, .. } = self;
        images.touch(known.start.used, 2);
        let guest = Guest::new(images.ours.table());
        let mut ring = queue.bind(&guest).expect("a ring that runs and memory that stays");
        let our = device.disarm(&mut ring).map_or(Did::Other, |()| Did::Done);
        let their = verdict(peer.disarm(images.theirs.memory()), |is_done| {
            if is_done { Did::Done } else { Did::Failed }
        });
        tally.judge("asking for no kicks", (our, their), None, known);
        compare(images, "the flags of the used ring", known.start.used, 2);
        if known.start.has(feature::EVENT_IDX) {
            compare(images, "avail_event", known.start.avail_event(), 2);
        }
    }
}

/// Our chain, beside what is in memory.
fn our_chain(walk: &Walk, buffers: &[Buffer]) -> Did {
    let expected = walk.buffers.iter().filter(|buffer| buffer.len > 0);
    if expected.eq(buffers) { Did::Took } else { Did::Other }
}

/// What it means that ours gives no chain. A wake-up of as many chains as the ring has entries is
/// over (VQ-035); by then there is nothing more.
fn refused(popped: Result<Option<Token>, PopError>, is_full: bool, head: u16) -> Taken<Token> {
    let without = |did| Taken { did, chain: None };
    match popped {
        Ok(_) => without(Did::Nothing),
        Err(PopError::Yield) if is_full => without(Did::Nothing),
        Err(PopError::Malformed { token, error }) if token.id() == head => {
            Taken { did: Did::Dropped(error.rule()), chain: Some(token) }
        }
        Err(PopError::Broken(broken)) => without(Did::Stopped(broken.rule())),
        Err(_) => without(Did::Other),
    }
}

/// The peer's next chain, beside what is in memory.
fn their_chain<'m>(
    available: &mut Result<Option<Available<'_, 'm>>, Panicked>,
    buffers: &mut Vec<Buffer>,
    (shape, head): (Option<Shape>, u16),
    walk: &Walk,
    memory: &'m vm_memory::GuestMemoryMmap,
) -> Taken<Chain<'m>> {
    let without = |did| Taken { did, chain: None };
    let taken = match available {
        Err(Panicked) => return without(Did::Panicked),
        Ok(None) => return without(Did::Failed),
        Ok(Some(available)) => available.take(buffers),
    };
    let (their_head, chain) = match taken {
        Err(Panicked) => return without(Did::Panicked),
        Ok(None) => return without(Did::Nothing),
        Ok(Some(taken)) => taken,
    };
    let whole = walk.buffers.len();
    let limit = walk.below_the_limit();
    let did = match shape {
        _ if their_head != head => Did::Other,
        Some(Shape::TooMany | Shape::HeadInFlight) => Did::Took,
        _ if !buffers.starts_with(&walk.buffers[..limit]) => Did::Other,
        None if buffers.len() == whole => Did::Took,
        _ if buffers.len() == limit => Did::Ends,
        Some(Shape::Malformed(Wrong::Overflow | Wrong::Outside)) => verdict(
            chain.is_usable(memory),
            |is_usable| {
                if is_usable { Did::GoesOn } else { Did::Unusable }
            },
        ),
        _ => Did::GoesOn,
    };
    Taken { did, chain: Some(chain) }
}

/// Both read the front of the same chain, each into a buffer that it may have written to before.
#[track_caller]
fn read<D: Device>(
    device: &D,
    guest: &Guest<'_>,
    chain: &OurChain,
    (their, memory): (&Chain<'_>, &vm_memory::GuestMemoryMmap),
    [one, other]: &mut [[u8; READ]; 2],
) {
    let ours = device.read(guest, chain, one);
    let theirs = their.read(memory, other);
    let len = ours.map_or(READ, |(_, len)| len.min(READ));
    assert!(
        theirs == Ok(ours) && ours.is_some() && (len == 0 || one[..len] == other[..len]),
        "differential: readable bytes: ours {ours:?} {one:02x?}, peer {theirs:?} {other:02x?}",
    );
}

/// Both write to the front of the same chain; how many bytes.
#[track_caller]
fn write<D: Device>(
    device: &D,
    guest: &Guest<'_>,
    chain: &OurChain,
    (their, memory): (&Chain<'_>, &vm_memory::GuestMemoryMmap),
    fill: usize,
    head: u16,
) -> u32 {
    let bytes = pattern(head);
    let ours = device.write(guest, chain, &bytes[..fill]);
    let theirs = their.write(memory, &bytes[..fill]);
    assert!(
        theirs == Ok(ours) && ours.is_some(),
        "differential: writable bytes: ours {ours:?}, peer {theirs:?}"
    );
    ours.map_or(0, |(_, written)| written)
}

/// Remembers what was written to, and compares it.
fn settle(images: &mut Images, walk: &Walk, written: u32) {
    let mut left = written;
    for buffer in walk.buffers.iter().filter(|buffer| buffer.is_writable) {
        let len = buffer.len.min(left);
        left -= len;
        images.touch(buffer.address, len as usize);
        compare(images, "writable bytes", buffer.address, len as usize);
    }
}

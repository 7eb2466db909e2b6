//! Two devices that are given the same ring, and have to do the same.

use std::fmt;

use vhost_fuzz_core::memory::RingSize;
use vhost_fuzz_core::ring::{Chain as OurChain, PopError, Position, SplitQueue, Token};

use super::device::{Device, Guest, setup};
use super::divergences::{self, Did, Shape};
use super::image::Images;
use super::known::{Known, Owed};
use super::step::READ;
use super::theirs::{Panicked, Peer};
use super::walk::{Buffer, MAX_SIZE, MAX_TABLE, Start, Walk};

/// Descriptors that are looked at for one input, at most; then it ends.
pub(super) const DESCRIPTORS: usize = 20_000;

/// How a ring goes on after it was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Everything is given back before the stop.
    Drained,
    /// At the used index: what was in flight is taken from the available ring again.
    AtUsed,
    /// Where it was: what was in flight stays so.
    Kept,
}

/// What became of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Things that a device did.
    pub operations: usize,
    /// Chains that both took whole.
    pub chains: usize,
    /// The differences that were allowed, one after another.
    pub shapes: Vec<Shape>,
}

impl Tally {
    fn clear(&mut self) {
        self.operations = 0;
        self.chains = 0;
        self.shapes.clear();
    }

    /// Demands that the two did what they have to.
    #[track_caller]
    #[inline]
    pub(super) fn judge(
        &mut self,
        what: &str,
        (ours, peer): (Did, Did),
        shape: Option<Shape>,
        context: &dyn fmt::Debug,
    ) {
        self.operations += 1;
        assert!(
            divergences::is_allowed(shape, ours, peer),
            "differential: {what}: ours {ours:?}, peer {peer:?}, shape {shape:?}\n{context:x?}",
        );
        self.shapes.extend(shape);
    }
}

/// Our ring and the peer's, in lockstep. The oracles `differential`, `ring ledger` and `liveness`
/// live here.
#[derive(Debug)]
pub struct Lockstep<D> {
    pub(super) images: Images,
    pub(super) device: D,
    pub(super) queue: SplitQueue,
    pub(super) chain: OurChain,
    pub(super) peer: Peer,
    /// Whether a ring runs on both sides, and the two can go on together.
    pub(super) is_live: bool,
    /// Whether one of them wrote what the other did not.
    pub(super) is_apart: bool,
    /// The ring that runs, or ran last.
    pub(super) known: Known,
    /// Ours, of what is in flight.
    pub(super) tokens: Vec<Token>,
    pub(super) walk: Walk,
    pub(super) ours: Vec<Buffer>,
    pub(super) theirs: Vec<Buffer>,
    /// What each read from a chain.
    pub(super) data: Box<[[u8; READ]; 2]>,
    pub(super) budget: usize,
    pub(super) tally: Tally,
}

/// What the peer did, a panic included.
pub(super) fn verdict<T>(result: Result<T, Panicked>, did: impl FnOnce(T) -> Did) -> Did {
    result.map_or(Did::Panicked, did)
}

/// What a side that was asked a question did.
pub(super) const fn answer(answer: Option<bool>) -> Did {
    match answer {
        Some(true) => Did::Yes,
        Some(false) => Did::No,
        None => Did::Failed,
    }
}

/// Demands that both hold the same in a range.
#[track_caller]
pub(super) fn compare(images: &Images, what: &str, address: u64, len: usize) {
    assert!(
        images.agree(address, len),
        "differential: {what} at {address:#x}: ours {:#x}, peer {:#x}",
        images.ours.u64(address),
        images.theirs.u64(address),
    );
}

impl<D: Device> Default for Lockstep<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D: Device> Lockstep<D> {
    /// Both, with memory of their own.
    ///
    /// # Panics
    /// When there is no address space for it.
    #[must_use]
    pub fn new() -> Self {
        let size = RingSize::check(MAX_SIZE.into(), false, MAX_SIZE).expect("a power of two");
        Self {
            images: Images::new(),
            device: D::default(),
            queue: SplitQueue::new(size),
            chain: OurChain::with_capacity(usize::from(MAX_SIZE) + MAX_TABLE as usize),
            peer: Peer::default(),
            is_live: false,
            is_apart: false,
            known: Known::default(),
            tokens: Vec::with_capacity(MAX_SIZE.into()),
            walk: Walk::default(),
            ours: Vec::new(),
            theirs: Vec::new(),
            data: Box::new([[0; READ]; 2]),
            budget: DESCRIPTORS,
            tally: Tally::default(),
        }
    }

    /// Forgets the ring, and makes memory zero.
    pub fn clear(&mut self) {
        (self.is_live, self.is_apart) = (false, false);
        self.queue.reset();
        self.tokens.clear();
        self.known.in_flight.clear();
        self.known =
            Known { in_flight: std::mem::take(&mut self.known.in_flight), ..Known::default() };
        self.device = D::default();
        self.images.clear();
        self.budget = DESCRIPTORS;
        self.tally.clear();
    }

    /// What was done since memory was zero.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The memory of both.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// The memory of both, for the driver.
    pub fn images_mut(&mut self) -> &mut Images {
        &mut self.images
    }

    /// Whether more was looked at than an input may ask for.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.budget == 0
    }

    /// Whether a ring runs on both sides.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// The ring that runs, or ran last.
    #[must_use]
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Starts a ring on both. One that runs is stopped.
    ///
    /// # Panics
    /// When the two do not do what they have to.
    pub fn start(&mut self, start: &Start) {
        self.is_live = false;
        self.join();
        self.tokens.clear();
        self.known.in_flight.clear();
        let Self { images, device, queue, peer, known, tally, .. } = self;
        let shape = divergences::of_start(start, &images.theirs);
        let used = images.theirs.u16(start.used.wrapping_add(2));
        let had_flags = images.theirs.u16(start.used) != 0;
        queue.reset();
        let guest = Guest::new(images.ours.table());
        let position = Position::Split { available: start.base };
        let is_started = setup(start)
            .is_some_and(|setup| device.activate(queue, &setup, position, &guest).is_ok());
        let ours = match (is_started, had_flags, images.ours.u16(start.used)) {
            (false, ..) => Did::Refused,
            (true, false, 0) => Did::Started,
            (true, true, 0) => Did::Cleared,
            (true, ..) => Did::Other,
        };
        let theirs = verdict(peer.start(start, used, images.theirs.memory()), |is_started| {
            if is_started { Did::Started } else { Did::Refused }
        });
        tally.judge("a start", (ours, theirs), shape, start);
        if is_started {
            images.touch(start.used, 4);
            // The peer's caller clears them, so that the two go on with the same.
            images.theirs.write(start.used, &[0; 2]);
            compare(images, "the head of the used ring", start.used, 4);
        }
        self.is_live = is_started && theirs == Did::Started;
        known.start = *start;
        known.next = start.base;
        known.used = used;
        known.is_decided = false;
    }

    /// Undoes what one of them did alone.
    fn join(&mut self) {
        if std::mem::take(&mut self.is_apart) {
            self.images.align();
        }
    }

    /// Looks at all of memory: nobody wrote anywhere but where it was compared.
    ///
    /// # Panics
    /// When somebody did.
    pub fn settle(&mut self) {
        self.join();
        self.images.settle();
    }

    /// Stops the ring on both, and starts it again.
    ///
    /// # Panics
    /// When the two do not do what they have to.
    pub fn restart(&mut self, resume: Resume) {
        if self.known.start.size == 0 {
            return;
        }
        if self.is_live && resume == Resume::Drained && !self.tokens.is_empty() {
            self.put(0, usize::MAX, None);
        }
        let mut kept = Vec::new();
        let mut base = self.known.next;
        if self.is_live {
            let Known { start, next, used, .. } = self.known;
            let ours = self.queue.stop();
            assert!(
                ours == Some(Position::Split { available: next })
                    && self.peer.is_at(&start, next, used),
                "differential: stopped at {ours:?}, peer at {:?}, instead of {next}",
                self.peer,
            );
            match resume {
                Resume::Drained => {}
                Resume::AtUsed => base = self.images.theirs.u16(start.used.wrapping_add(2)),
                Resume::Kept => std::mem::swap(&mut kept, &mut self.known.in_flight),
            }
        }
        let start = Start { base, ..self.known.start };
        self.start(&start);
        // What the driver wrote over the used index may leave room for fewer.
        let lost = usize::from(self.known.next.wrapping_sub(self.known.used));
        if self.is_live && lost >= kept.len() {
            self.retake(&kept);
        }
    }

    /// Takes again what a ring had in flight when it was stopped. The peer has nothing to do.
    fn retake(&mut self, kept: &[Owed]) {
        let Self { images, queue, chain, known, tokens, walk, budget, .. } = self;
        let guest = Guest::new(images.ours.table());
        let mut ring = queue.bind(&guest).expect("the ring has just been started");
        for owed in kept {
            walk.chain(&images.theirs, &known.start, owed.head);
            *budget = budget.saturating_sub(walk.buffers.len() + 1);
            let (token, is_whole) = match ring.retake(owed.head, chain) {
                Ok(token) => (token, true),
                Err(PopError::Malformed { token, .. }) => (token, false),
                Err(error) => panic!("ring ledger: head {} is lost: {error}", owed.head),
            };
            let writable = if walk.wrong.is_none() { walk.writable() } else { 0 };
            assert!(
                token.id() == owed.head
                    && is_whole == walk.wrong.is_none()
                    && token.writable() == writable,
                "ring ledger: {token:?} was taken again for {owed:?}: {walk:x?}"
            );
            tokens.push(token);
            let written = owed.written.min(writable);
            known.in_flight.push(Owed { head: owed.head, writable, written });
        }
    }

    /// Gives back all that is in flight, and demands that nothing is left.
    ///
    /// # Panics
    /// When the two do not do what they have to.
    pub fn finish(&mut self) {
        if self.is_live && !self.tokens.is_empty() {
            self.put(0, usize::MAX, None);
        }
        let is_empty = self.tokens.is_empty() && self.known.in_flight.is_empty();
        assert!(is_empty || !self.is_live, "ring ledger: {:?} is left", self.tokens);
    }

    /// Whatever was before, a fresh ring with one chain in it is served.
    ///
    /// # Panics
    /// When it is not.
    pub fn serve(&mut self) {
        const DATA: u64 = 0x8000;
        let start = Start {
            size: 4,
            features: super::walk::feature::EVENT_IDX,
            descriptor: 0x7000,
            available: 0x7100,
            used: 0x7200,
            base: 0,
        };
        let descriptor = |address: u64, len: u32, flags: u16, next: u16| {
            [
                &address.to_le_bytes()[..],
                &len.to_le_bytes(),
                &flags.to_le_bytes(),
                &next.to_le_bytes(),
            ]
            .concat()
        };
        self.join();
        self.images.write(start.descriptor, &descriptor(DATA, 8, 1, 2));
        self.images.write(start.descriptor + 32, &descriptor(DATA + 8, 8, 2, 0));
        self.images.write(start.available, &[0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        self.images.write(start.used, &[0; 38]);
        let tally = std::mem::take(&mut self.tally);
        self.budget = DESCRIPTORS;
        self.start(&start);
        self.take(2, 4);
        self.put(0, 1, None);
        let used = self.images.ours.u64(start.used);
        assert!(
            self.is_live && self.tally.chains == 1 && used == 1 << 16,
            "liveness: a fresh ring is not served: used ring {used:#x}, {:?}",
            self.known,
        );
        self.tally = tally;
    }
}

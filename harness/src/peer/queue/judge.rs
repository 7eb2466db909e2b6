//! What has to become of an input, by the specification alone: neither our ring nor the peer's is
//! run. An input that makes one of them panic can be judged all the same.

use vhost_fuzz_model::Id;

use super::divergences::{self, Did, Shape};
use super::image::Images;
use super::known::{Known, Owed};
use super::lockstep::{DESCRIPTORS, Resume};
use super::step::{FILL, pattern};
use super::walk::{Start, Walk, feature};

/// What became of one thing that a device did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// The ring cannot start: this requirement is broken.
    Refused(Id),
    /// What a shape says.
    Shaped(Shape),
    /// The ring starts.
    Started,
    /// A chain was taken.
    Took {
        /// Its head.
        head: u16,
        /// Its buffers, empty ones included.
        buffers: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// Nothing is available.
    Nothing,
    /// A buffer went back.
    Gave {
        /// Its head.
        head: u16,
        /// The length.
        len: u32,
    },
    /// A decision: whether to call the driver; whether there is more.
    Said(bool),
    /// It was done.
    Done,
    /// No ring runs.
    Idle,
}

impl Came {
    /// The requirement that the input breaks, if any.
    #[must_use]
    pub fn broken(&self) -> Option<Id> {
        match self {
            Self::Refused(id) => Some(*id),
            Self::Shaped(shape) => shape.broken(),
            _ => None,
        }
    }
}

impl Shape {
    /// The requirement that an input of this shape breaks; some break none.
    #[must_use]
    pub fn broken(self) -> Option<Id> {
        let row = divergences::row(self);
        row.ours.iter().find_map(|did| match did {
            Did::Dropped(rule) | Did::Stopped(rule) => Some(crate::oracle::id(*rule)),
            Did::Refused => row.cites.strip_prefix("VQ-")?.parse().ok().map(Id::Vq),
            _ => None,
        })
    }
}

/// A device in the simplest form.
#[derive(Debug)]
pub struct Judge {
    images: Images,
    is_live: bool,
    known: Known,
    walk: Walk,
    budget: usize,
}

impl Default for Judge {
    fn default() -> Self {
        Self::new()
    }
}

impl Judge {
    /// A device without a ring, in memory that is zero.
    ///
    /// # Panics
    /// When there is no address space for it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            images: Images::new(),
            is_live: false,
            known: Known::default(),
            walk: Walk::default(),
            budget: DESCRIPTORS,
        }
    }

    /// Guest memory, for the driver.
    pub fn images_mut(&mut self) -> &mut Images {
        &mut self.images
    }

    /// The ring that runs, or ran last.
    #[must_use]
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// What was walked last.
    #[must_use]
    pub fn walk(&self) -> &Walk {
        &self.walk
    }

    /// Whether more was looked at than an input may ask for.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.budget == 0
    }

    /// Starts a ring.
    pub fn start(&mut self, start: &Start) -> Came {
        let image = &self.images.ours;
        let used = image.u16(start.used.wrapping_add(2));
        let shape = divergences::of_start(start, image);
        let refused = start.broken(image).map(Id::Vq);
        self.known = Known { start: *start, next: start.base, used, ..Known::default() };
        self.is_live = refused.is_none() && matches!(shape, None | Some(Shape::UsedFlags));
        let is_started =
            matches!(shape, None | Some(Shape::UsedFlags | Shape::AtZero | Shape::EventBytes));
        if refused.is_none() && is_started {
            self.images.write(start.used, &[0; 2]);
        }
        refused.map_or(shape.map_or(Came::Started, Came::Shaped), Came::Refused)
    }

    /// Takes chains.
    pub fn take(&mut self, limit: usize, fill: usize) -> Vec<Came> {
        let mut all = Vec::new();
        for _ in 0..limit {
            if !self.is_live || self.is_spent() {
                break;
            }
            let came = self.take_one(fill.min(FILL));
            all.push(came);
            if came == Came::Nothing {
                break;
            }
        }
        if all.is_empty() { vec![Came::Idle] } else { all }
    }

    fn take_one(&mut self, fill: usize) -> Came {
        let Self { images, known, walk, .. } = self;
        let shape = divergences::of_take(known, &images.ours, walk);
        self.budget = self.budget.saturating_sub(walk.buffers.len() + 1);
        let available = known.start.available.wrapping_add(2);
        if images.ours.u16(available) == known.next {
            return Came::Nothing;
        }
        let head = images.ours.u16(known.start.entry(known.next));
        let is_dropped = matches!(shape, Some(Shape::Malformed(_)));
        if !matches!(shape, None | Some(Shape::AllBytes | Shape::Malformed(_))) {
            self.is_live = false;
            return shape.map_or(Came::Idle, Came::Shaped);
        }
        let writable = if is_dropped { 0 } else { walk.writable() };
        let written =
            if shape.is_none() { writable.min(u32::try_from(fill).unwrap_or(u32::MAX)) } else { 0 };
        known.next = known.next.wrapping_add(1);
        known.in_flight.push(Owed { head, writable, written });
        let bytes = pattern(head);
        let mut at = 0;
        for buffer in walk.buffers.iter().filter(|buffer| buffer.is_writable) {
            let len = (buffer.len.min(written) as usize).min(written as usize - at);
            images.write(buffer.address, &bytes[at..at + len]);
            at += len;
        }
        let took = Came::Took { head, buffers: walk.buffers.len(), bytes: walk.bytes };
        shape.map_or(took, Came::Shaped)
    }

    /// Gives buffers back.
    pub fn put(&mut self, at: usize, count: usize, len: Option<u32>) -> Vec<Came> {
        let mut all = Vec::new();
        if !self.is_live {
            return vec![Came::Idle];
        }
        let Self { images, known, .. } = self;
        let Start { used, available, .. } = known.start;
        let old = known.used;
        let at = at.checked_rem(known.in_flight.len()).unwrap_or(0);
        for _ in 0..count.min(known.in_flight.len() - at) {
            let owed = known.in_flight[at];
            let len = len.unwrap_or(owed.written);
            if let Some(shape) = divergences::of_put(known, at, len) {
                self.is_live = false;
                all.push(Came::Shaped(shape));
                return all;
            }
            let element = u64::from(owed.head) | u64::from(len) << 32;
            images.write(known.start.element(known.used), &element.to_le_bytes());
            known.used = known.used.wrapping_add(1);
            known.in_flight.remove(at);
            all.push(Came::Gave { head: owed.head, len });
        }
        if known.used != old {
            images.write(used.wrapping_add(2), &known.used.to_le_bytes());
        }
        let shape = divergences::of_tell(known, old, &images.ours);
        let is_new = known.used != old;
        let wants = if known.start.has(feature::EVENT_IDX) {
            let event = images.ours.u16(known.start.used_event());
            event.wrapping_sub(old) < known.used.wrapping_sub(old)
        } else {
            images.ours.u16(available) & 1 == 0
        };
        all.push(shape.map_or(Came::Said(is_new && (wants || !known.is_decided)), Came::Shaped));
        known.is_decided |= is_new;
        all
    }

    /// Asks for kicks.
    pub fn arm(&mut self) -> Came {
        if !self.is_live {
            return Came::Idle;
        }
        let Self { images, known, .. } = self;
        let shape = divergences::of_arm(known, &images.ours);
        if known.start.has(feature::EVENT_IDX) {
            images.write(known.start.avail_event(), &known.next.to_le_bytes());
        } else {
            images.write(known.start.used, &[0; 2]);
        }
        self.is_live = shape.is_none();
        let index = images.ours.u16(known.start.available.wrapping_add(2));
        shape.map_or(Came::Said(index != known.next), Came::Shaped)
    }

    /// Asks for no kicks.
    pub fn disarm(&mut self) -> Came {
        if !self.is_live {
            return Came::Idle;
        }
        if !self.known.start.has(feature::EVENT_IDX) {
            self.images.write(self.known.start.used, &[1, 0]);
        }
        Came::Done
    }

    /// Stops the ring and starts it again.
    pub fn restart(&mut self, resume: Resume) -> Vec<Came> {
        if self.known.start.size == 0 {
            return vec![Came::Idle];
        }
        let mut all = Vec::new();
        if self.is_live && resume == Resume::Drained && !self.known.in_flight.is_empty() {
            all = self.put(0, usize::MAX, None);
        }
        let mut kept = Vec::new();
        let mut base = self.known.next;
        match resume {
            Resume::AtUsed if self.is_live => {
                base = self.images.ours.u16(self.known.start.used.wrapping_add(2));
            }
            Resume::Kept if self.is_live => std::mem::swap(&mut kept, &mut self.known.in_flight),
            _ => {}
        }
        all.push(self.start(&Start { base, ..self.known.start }));
        let lost = usize::from(self.known.next.wrapping_sub(self.known.used));
        if self.is_live && lost >= kept.len() {
            for owed in kept {
                self.walk.chain(&self.images.ours, &self.known.start, owed.head);
                self.budget = self.budget.saturating_sub(self.walk.buffers.len() + 1);
                let writable = if self.walk.wrong.is_none() { self.walk.writable() } else { 0 };
                let written = owed.written.min(writable);
                self.known.in_flight.push(Owed { writable, written, ..owed });
            }
        }
        all
    }
}

//! A ring of a connection: its queue, and what is to be done with it.

use std::os::fd::OwnedFd;

use vhost_fuzz_core::memory::{Backing, RingSize};
use vhost_fuzz_core::ring::{
    BindError, Broken, Chain, Guest, Layout, Limits, Log, PopError, Position, PutError, Queue,
    Ring, Setup, Token, Tracker,
};
use vhost_fuzz_core::session::{Service, Session};

use crate::Mapping;
use crate::inflight::{self, AnyRing, Home};

/// What backs the regions of a connection.
pub type Memory = Backing<OwnedFd, Mapping>;

/// Guest memory of a connection.
pub type GuestMemory<'a> = Guest<'a, Memory, Mapping>;

/// Guest memory as a session knows it now, its log included while writes are logged.
#[must_use]
pub fn guest(session: &Session<OwnedFd, Mapping>) -> GuestMemory<'_> {
    let log = session.log().filter(|_| session.logs_writes());
    Guest {
        table: session.memory(),
        iotlb: Some(session.iotlb()),
        log: log.map(|log| Log { log: log.dirty, memory: &log.mapping }),
    }
}

/// What is to be done about a ring.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Due {
    /// There may be chains to take, or frames to give.
    pub(crate) work: bool,
    /// The driver wants to be called.
    pub(crate) call: bool,
    /// The front-end has to hear that the ring is broken.
    pub(crate) error: bool,
}

/// A ring. Everything is allocated when it is made.
#[derive(Debug)]
pub struct Vring {
    index: u32,
    split: Queue,
    packed: Queue,
    layout: Layout,
    chain: Chain,
    /// Keeps the region of the in-flight area, while the queue is active and there is one.
    tracker: Option<Tracker<Mapping>>,
    /// The queue was activated and not stopped since.
    is_active: bool,
    /// Where a queue goes on that was stopped to be activated with something else.
    resume: Option<Position>,
    /// Its kick is of no use: it has ended, or cannot be read.
    pub(crate) is_deaf: bool,
    pub(crate) due: Due,
}

impl Vring {
    /// Ring `index`, stopped, of at most `max` entries.
    #[must_use]
    pub fn new(index: u32, max: RingSize) -> Self {
        Self {
            index,
            split: Queue::new(Layout::Split, max),
            packed: Queue::new(Layout::Packed, max),
            layout: Layout::Split,
            chain: Chain::with_capacity(Limits::of(max).elements(max)),
            tracker: None,
            is_active: false,
            resume: None,
            is_deaf: false,
            due: Due::default(),
        }
    }

    const fn queue(&mut self) -> &mut Queue {
        match self.layout {
            Layout::Split => &mut self.split,
            Layout::Packed => &mut self.packed,
        }
    }

    /// Why the ring is broken, if it is.
    #[must_use]
    pub fn broken(&self) -> Option<Broken> {
        match self.layout {
            Layout::Split => self.split.broken(),
            Layout::Packed => self.packed.broken(),
        }
    }

    /// Whether its region of the in-flight area is not in its file any more.
    pub(crate) fn is_region_lost(&self) -> bool {
        self.tracker.as_ref().is_some_and(|tracker| tracker.memory().is_lost())
    }

    /// Stops the queue and forgets it; gives where it was, if it ever ran.
    pub(crate) fn stop(&mut self) -> Option<Position> {
        let position = self.queue().stop().or(self.resume);
        self.tracker = None;
        self.is_active = false;
        self.resume = None;
        self.is_deaf = false;
        self.due = Due::default();
        position
    }

    /// Something that a queue is activated with has changed: it is activated anew when it is
    /// looked at next, and goes on where it is.
    pub(crate) fn renew(&mut self) {
        self.resume = self.queue().stop().or(self.resume);
        self.tracker = None;
        self.is_active = false;
        self.due.work = true;
    }

    /// Begins a wake-up; nothing when the ring cannot be looked at now.
    pub(crate) fn open<'r>(
        &'r mut self,
        session: &'r Session<OwnedFd, Mapping>,
    ) -> Option<OpenRing<'r>> {
        let service = session.service(self.index);
        if service == Service::Idle {
            return None;
        }
        let guest = guest(session);
        if !self.is_active && !self.activate(session, &guest) {
            return None;
        }
        let Self { split, packed, layout, chain, tracker, due, .. } = self;
        let queue = match layout {
            Layout::Split => split,
            Layout::Packed => packed,
        };
        match queue.bind(&guest) {
            Ok(ring) => {
                let ring = match tracker {
                    Some(tracker) => AnyRing::Tracked(tracker.bind(ring)),
                    None => AnyRing::Plain(ring),
                };
                Some(OpenRing { ring, chain, due, service })
            }
            // Its memory is gone for now, or it is broken: the next change looks again.
            Err(BindError::Place(_) | BindError::Stopped | BindError::Broken(_)) => None,
        }
    }

    /// Activates the queue, if all that it takes is known.
    fn activate(&mut self, session: &Session<OwnedFd, Mapping>, guest: &GuestMemory<'_>) -> bool {
        let Ok(binding) = session.bind(self.index) else { return false };
        self.layout = binding.layout;
        let position = self.resume.take().unwrap_or(binding.position);
        let started = self.start(session, &binding.setup, position, guest);
        self.is_active = started.is_some();
        if let Some(tracker) = started {
            self.tracker = tracker;
        } else {
            self.resume = Some(position);
            self.due.error = true;
        }
        self.is_active
    }

    /// Starts the queue, with its tracker if its requests are to be recorded.
    fn start(
        &mut self,
        session: &Session<OwnedFd, Mapping>,
        setup: &Setup,
        position: Position,
        guest: &GuestMemory<'_>,
    ) -> Option<Option<Tracker<Mapping>>> {
        let home = inflight::home(session, self.index, setup.size);
        let queue = self.queue();
        match home {
            Home::None => queue.activate(setup, position, guest).ok().map(|()| None),
            Home::Region(memory) => {
                Tracker::activate(queue, setup, position, guest, memory).ok().map(Some)
            }
            Home::Unfit => None,
        }
    }
}

/// A ring during one wake-up.
#[derive(Debug)]
pub struct OpenRing<'r> {
    ring: AnyRing<'r>,
    /// The chain that was taken last.
    pub chain: &'r mut Chain,
    due: &'r mut Due,
    service: Service,
}

impl<'r> OpenRing<'r> {
    /// What to do with the ring.
    #[must_use]
    pub const fn service(&self) -> Service {
        self.service
    }

    /// Guest memory, to read and write chains with.
    #[must_use]
    pub const fn guest(&self) -> GuestMemory<'r> {
        self.ring.guest()
    }

    /// Takes the next chain into [`chain`](Self::chain). What is malformed goes back at once,
    /// unused, and the one after it is taken. Nothing: there is no more for now.
    pub fn take(&mut self) -> Option<Token> {
        loop {
            match self.ring.pop(self.chain) {
                Ok(token) => return token,
                Err(PopError::Malformed { token, .. }) => self.give(token, 0),
                Err(PopError::Yield) => {
                    self.due.work = true;
                    return None;
                }
                // A translation will come, and is a reason to look again.
                Err(PopError::Miss(_)) => return None,
                Err(PopError::Broken(_)) => {
                    self.due.error = true;
                    return None;
                }
            }
        }
    }

    /// Gives a buffer back with `len` bytes written. The driver sees it after
    /// [`publish`](Self::publish), or at once when the ring is packed and its requests are
    /// recorded (DC-034).
    pub fn give(&mut self, token: Token, len: u32) {
        let Err(PutError { .. }) = self.ring.put(token, len) else { return };
        self.due.error = true;
    }

    /// Shows the driver what was given back, and notes whether it wants a call.
    pub fn publish(&mut self) {
        match self.ring.publish() {
            Ok(is_wanted) => self.due.call |= is_wanted,
            Err(_) => self.due.error = true,
        }
    }

    /// Asks for kicks; when more came in between, there is work.
    pub fn sleep(&mut self) {
        match self.ring.arm() {
            Ok(is_more) => self.due.work |= is_more,
            Err(_) => self.due.error = true,
        }
    }

    /// Asks to be called again at once.
    pub const fn look_again(&mut self) {
        self.due.work = true;
    }

    /// Asks for no kicks, as long as somebody looks anyway.
    pub fn busy(&mut self) {
        if self.ring.disarm().is_err() {
            self.due.error = true;
        }
    }
}

/// For what works on any ring. What is due is noted as by the other methods; malformed chains are
/// the caller's to give back.
impl Ring for OpenRing<'_> {
    fn pop(&mut self, chain: &mut Chain) -> Result<Option<Token>, PopError> {
        let popped = self.ring.pop(chain);
        match &popped {
            Err(PopError::Yield) => self.due.work = true,
            Err(PopError::Broken(_)) => self.due.error = true,
            _ => {}
        }
        popped
    }

    fn unpop(&mut self, token: Token) -> Result<(), PutError> {
        self.ring.unpop(token).inspect_err(|_| self.due.error = true)
    }

    fn put(&mut self, token: Token, len: u32) -> Result<(), PutError> {
        self.ring.put(token, len).inspect_err(|_| self.due.error = true)
    }

    fn skip(&mut self, token: Token) -> Result<(), PutError> {
        self.ring.skip(token).inspect_err(|_| self.due.error = true)
    }

    fn publish(&mut self) -> Result<bool, Broken> {
        let published = self.ring.publish();
        match published {
            Ok(is_wanted) => self.due.call |= is_wanted,
            Err(_) => self.due.error = true,
        }
        published
    }

    fn arm(&mut self) -> Result<bool, Broken> {
        self.ring.arm().inspect_err(|_| self.due.error = true)
    }

    fn disarm(&mut self) -> Result<(), Broken> {
        self.ring.disarm().inspect_err(|_| self.due.error = true)
    }
}

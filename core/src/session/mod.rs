//! The session: what a back-end may believe of its front-end, and when.
//!
//! A [`Session`] takes whole messages and does no I/O. What it cannot do itself it asks its
//! caller for, as an [`Effect`], and it can hear that this failed:
//!
//! ```text
//! Frame ──▶ Session::on_frame ──▶ Step::Silent
//!                  │              Step::Reply(bytes, fd)
//!                  │              Step::Close(refusal)
//!                  ▼
//!           Step::Need(effect) ──▶ the caller does it ──▶ Session::on_done(result) ──▶ Step …
//! ```
//!
//! `F` is an owned descriptor and `M` an owned mapping: the session keeps them as long as the
//! front-end's requests say, and drops each exactly once. Everything is allocated by
//! [`Session::new`].
//!
//! What a refused request is answered with: an acknowledgement that says no if one is due; the
//! failure form of its own reply if it has one; else nobody can be told, and the connection ends
//! (spec §6.2).

mod act;
mod answer;
mod bind;
mod config;
mod device;
mod effect;
mod inflight;
mod memory;
mod negotiate;
mod offer;
mod pending;
pub mod postcopy;
mod refusal;
mod ring;
mod rings;

pub use crate::ring::Position;
pub use answer::{Reply, Step};
pub use bind::{BindError, Binding};
pub use effect::{Done, Effect, EffectError, RingChange};
pub use offer::{Offer, OfferError};
pub use refusal::Refusal;
pub use ring::{Change, Endian, Event, Ring, Service, State, TRANSITIONS, Transition};

use answer::{Asked, Buffer, Due, Next};
use pending::{Staging, Work};

use crate::memory::{AddressKind, Backing, DirtyLog, Iotlb, MemoryTable};
use crate::vhost_user::features::{protocol, virtio};
use crate::vhost_user::gate::Negotiated;
use crate::vhost_user::payload::Inflight;
use crate::vhost_user::{DecodeError, Frame, FrontendRequest, Header, Layout, request};
use crate::wire::Reader;

/// Translations that a back-end remembers; what does not fit is asked for again.
const IOTLB_ENTRIES: usize = 1024;

/// No in-flight area.
const NO_INFLIGHT: Inflight =
    Inflight { mmap_size: 0, mmap_offset: 0, num_queues: 0, queue_size: 0, padding: 0 };

/// The back-end's side of one connection after another.
#[derive(Debug)]
pub struct Session<F, M> {
    offer: Offer,
    negotiated: Negotiated,
    is_owned: bool,
    rings: Box<[Ring<F>]>,
    /// How many rings are started.
    started: u16,
    memory: MemoryTable<Backing<F, M>>,
    iotlb: Iotlb,
    log: Option<Log<M>>,
    log_fd: Option<F>,
    inflight: Option<InflightArea<M>>,
    has_channel: bool,
    postcopy: postcopy::State,
    is_transferring: bool,
    status: u8,
    asked: Asked,
    work: Work,
    staging: Staging<F, M>,
    buffer: Buffer,
    /// The reply to `GET_SHMEM_CONFIG`, after its count.
    shmem: Box<[u8; 2048]>,
}

/// A mapped dirty log.
#[derive(Debug)]
pub struct Log<M> {
    /// Its mapping; the bit of guest address 0 is in its first byte.
    pub mapping: M,
    /// How large it is.
    pub dirty: DirtyLog,
}

/// A mapped in-flight area.
#[derive(Debug)]
pub struct InflightArea<M> {
    /// Its mapping.
    pub mapping: M,
    /// Queues and entries.
    pub area: Inflight,
}

impl<F, M> Session<F, M> {
    /// A session for a device with this offer, before the first message. All memory is
    /// allocated here.
    ///
    /// # Errors
    /// [`OfferError`] when no device may make this offer.
    pub fn new(offer: Offer) -> Result<Self, OfferError> {
        offer.check()?;
        let mut shmem = Box::new([0; 2048]);
        let sizes = offer.shmem.iter().flat_map(|sizes| sizes.iter());
        for (bytes, size) in shmem.as_chunks_mut::<8>().0.iter_mut().zip(sizes) {
            *bytes = size.to_ne_bytes();
        }
        Ok(Self {
            negotiated: Self::fresh(&offer),
            is_owned: false,
            rings: (0..offer.queues).map(|_| Ring::new()).collect(),
            started: 0,
            memory: MemoryTable::new(offer.max_mem_slots.into()),
            iotlb: Iotlb::new(IOTLB_ENTRIES),
            log: None,
            log_fd: None,
            inflight: None,
            has_channel: false,
            postcopy: postcopy::State::Off,
            is_transferring: false,
            status: 0,
            asked: Asked { code: FrontendRequest(0), due: Due::Nothing },
            work: Work::Idle,
            staging: Staging::default(),
            buffer: Buffer::new(),
            shmem,
            offer,
        })
    }

    fn fresh(offer: &Offer) -> Negotiated {
        // Without bit 30 there are no protocol features at all (spec §6.1).
        let has_protocol = offer.features & virtio::PROTOCOL_FEATURES != 0;
        Negotiated {
            offered_virtio: offer.features,
            offered_protocol: if has_protocol { offer.protocol_features } else { 0 },
            ..Negotiated::default()
        }
    }

    /// Forgets the connection: drops every descriptor and every mapping, and is as new (spec
    /// §6.7, VU-058). The caller has stopped to touch guest memory before.
    pub fn reset(&mut self) {
        self.negotiated = Self::fresh(&self.offer);
        self.is_owned = false;
        self.rings.iter_mut().for_each(|ring| *ring = Ring::new());
        self.started = 0;
        self.memory.clear();
        self.iotlb.clear();
        self.log = None;
        self.log_fd = None;
        self.inflight = None;
        self.has_channel = false;
        self.postcopy = postcopy::State::Off;
        self.is_transferring = false;
        self.status = 0;
        self.asked = Asked { code: FrontendRequest(0), due: Due::Nothing };
        self.work = Work::Idle;
        self.staging.clear();
    }

    /// How the next message is laid out.
    #[must_use]
    #[inline]
    pub const fn layout(&self) -> Layout {
        Layout {
            xen_mmap: self.negotiated.has(protocol::XEN_MMAP),
            log_shmfd: self.negotiated.has(protocol::LOG_SHMFD),
            postcopy_ack: matches!(self.postcopy, postcopy::State::TableSent),
        }
    }

    /// Takes a message of the main channel: decodes it and acts on it. Its descriptors belong to
    /// the session from now on.
    ///
    /// While an effect is pending, only what [`takes`](Self::takes) lets through may be given.
    #[inline]
    pub fn on_frame<'a>(&'a mut self, frame: Frame<'a, F>) -> Step<'a, F> {
        if !self.work.is_idle() && !self.takes(&frame) {
            return Step::Close(Refusal::Busy { code: self.asked.code.0 });
        }
        match frame.decode(self.layout()) {
            Ok(message) => {
                let fds = frame.fds;
                let asked = self.asked(message.code, &message.flags, message.payload);
                if self.work.is_idle() {
                    self.asked = asked;
                }
                let next = self.act(&message, fds);
                self.step(asked, next)
            }
            Err(error) => self.malformed(&frame, error),
        }
    }

    /// Whether a message may be given now: always between requests. While rings are drained, a
    /// front-end may have to answer a miss first, so an IOTLB update gets through (DC-036,
    /// spec §6.12).
    #[must_use]
    pub fn takes(&self, frame: &Frame<'_, F>) -> bool {
        match self.work {
            Work::Idle => true,
            Work::StopRing { is_drained: true, .. } => memory::is_update(frame.bytes),
            _ => false,
        }
    }

    /// Answers a message that is no legal one of its id.
    #[cold]
    fn malformed(&mut self, frame: &Frame<'_, F>, error: DecodeError) -> Step<'_, F> {
        let refusal = Refusal::Decode(error);
        let Ok(header) = Header::read(&mut Reader::new(frame.bytes)) else {
            return Step::Close(refusal);
        };
        let row = request::row(frame.kind.channel, header.code);
        let asked = Asked::new(
            row,
            header.code,
            header.flags,
            self.negotiated.has_reply_ack(),
            self.is_conditional_data(FrontendRequest(header.code)),
        );
        // The failure form of a reply belongs to a feature that was negotiated.
        let is_open = row.is_none_or(|row| row.gate.lets_in(&self.negotiated));
        if asked.due == Due::Data && !is_open {
            return Step::Close(refusal);
        }
        self.step(asked, Err(refusal))
    }

    /// Turns what came of a message into what the caller has to do.
    #[inline]
    fn step<'a>(&'a mut self, asked: Asked, next: Result<Next<'a, F>, Refusal>) -> Step<'a, F> {
        let (len, fd, refusal) = match next {
            Ok(Next::Success) => match self.buffer.success(asked) {
                Some(len) => (len, None, None),
                None => return Step::Silent,
            },
            Ok(Next::Answer(len, fd)) => (len, fd, None),
            Ok(Next::Need(effect)) => return Step::Need(effect),
            Err(refusal) => match self.buffer.failure(asked, refusal) {
                Some(len) => (len, None, Some(refusal)),
                None => return Step::Close(refusal),
            },
        };
        Step::Reply(Reply { bytes: self.buffer.bytes(len), fd, refusal })
    }

    /// What the device offers.
    #[must_use]
    pub const fn offer(&self) -> &Offer {
        &self.offer
    }

    /// What was negotiated so far.
    #[must_use]
    #[inline]
    pub const fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// Whether `SET_OWNER` came (VU-053).
    #[must_use]
    pub const fn is_owned(&self) -> bool {
        self.is_owned
    }

    /// A ring, if the device has it.
    #[must_use]
    #[inline]
    pub fn ring(&self, index: u32) -> Option<&Ring<F>> {
        self.rings.get(usize::try_from(index).ok()?)
    }

    /// All rings.
    #[must_use]
    pub fn rings(&self) -> &[Ring<F>] {
        &self.rings
    }

    /// What to do with a ring now; nothing with one that the device does not have.
    #[must_use]
    #[inline]
    pub fn service(&self, index: u32) -> Service {
        self.ring(index).map_or(Service::Idle, |ring| ring.state().service())
    }

    /// Whether every ring is stopped. A suspended device writes no guest memory, sends no
    /// notification and no request, but answers requests (VU-073 to VU-076).
    #[must_use]
    #[inline]
    pub const fn is_suspended(&self) -> bool {
        self.started == 0
    }

    /// The memory regions.
    #[must_use]
    pub const fn memory(&self) -> &MemoryTable<Backing<F, M>> {
        &self.memory
    }

    /// The I/O translations.
    #[must_use]
    pub const fn iotlb(&self) -> &Iotlb {
        &self.iotlb
    }

    /// The dirty log, if there is one. It is in use while [`Self::logs_writes`].
    #[must_use]
    pub const fn log(&self) -> Option<&Log<M>> {
        self.log.as_ref()
    }

    /// Whether writes through descriptors have to be logged (VU-147).
    #[must_use]
    #[inline]
    pub const fn logs_writes(&self) -> bool {
        self.negotiated.has_virtio(virtio::LOG_ALL)
    }

    /// What may be written to after logging (`SET_LOG_FD`, VU-156).
    #[must_use]
    pub const fn log_fd(&self) -> Option<&F> {
        self.log_fd.as_ref()
    }

    /// The in-flight area, if one was handed over. [`Self::inflight_geometry`] tells where the
    /// regions in it lie.
    #[must_use]
    pub const fn inflight(&self) -> Option<&InflightArea<M>> {
        self.inflight.as_ref()
    }

    /// Whether there is a back-end channel (VU-206).
    #[must_use]
    pub const fn has_channel(&self) -> bool {
        self.has_channel
    }

    /// Where a postcopy migration is.
    #[must_use]
    pub const fn postcopy(&self) -> postcopy::State {
        self.postcopy
    }

    /// Whether a device state transfer was begun and not checked yet.
    #[must_use]
    pub const fn is_transferring(&self) -> bool {
        self.is_transferring
    }

    /// The device status (VU-226).
    #[must_use]
    pub const fn status(&self) -> u8 {
        self.status
    }

    /// The device needs a reset: sets bit 6 of its status, which the driver will read.
    pub const fn set_needs_reset(&mut self) {
        self.status |= 0x40;
    }

    /// Which addresses the rings have (VU-080 to VU-082).
    #[must_use]
    pub fn ring_addresses(&self) -> AddressKind {
        AddressKind::of_rings(self.negotiated.virtio.unwrap_or(0), self.negotiated.protocol)
    }
}

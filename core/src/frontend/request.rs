//! Requests of the back-end channel, as the front-end handles them (spec §4).

use super::effect::{FrontendDone, FrontendEffect, FrontendReply, FrontendStep};
use super::objects::SharedObjects;
use super::request_error::RequestError;
use super::setup::Setup;
use super::shmem::{Shmem, ShmemRange};
use crate::channel::closed_gate;
use crate::session::EffectError;
use crate::vhost_user::features::protocol;
use crate::vhost_user::gate::Negotiated;
use crate::vhost_user::payload::{Fixed, Iotlb, SharedObject, ShmemMap, VringArea, VringState};
use crate::vhost_user::request::ReplyClass;
use crate::vhost_user::{
    BackendRequest as B, Channel, Frame, HEADER_LEN, Header, Kind, Layout, Message, Payload,
    request,
};
use crate::wire::Reader;

/// A failure in an acknowledgement, as any number but 0 (VU-033, VU-036).
const NACK: u64 = 1;

/// The front-end's end of the back-end channel, and what the back-end made through it.
#[derive(Debug)]
pub(super) struct BackendChannel<M> {
    is_open: bool,
    pending: Option<Pending>,
    /// Host notifiers by ring.
    notifiers: Box<[Option<M>]>,
    pub(super) shmem: Shmem<M>,
    reply: [u8; HEADER_LEN + u64::LEN as usize],
}

/// What is owed to the sender of a request.
#[derive(Clone, Copy, Debug)]
enum Due {
    Nothing,
    /// A u64.
    Ack,
    /// A u64, whatever the flags say (`SHARED_OBJECT_LOOKUP`).
    Always,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    code: B,
    due: Due,
}

/// A request whose effect is not done yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    asked: Asked,
    what: What,
    /// The channel that it came on was replaced: nobody waits for the reply.
    is_orphan: bool,
    /// The device was reset since (VU-244).
    is_reset: bool,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Plain,
    Notifier { index: usize },
    Shmem { range: ShmemRange },
    Object,
}

/// How handling a request went on.
enum Next<F> {
    Done,
    Need(What, FrontendEffect<F>),
}

/// What a request depends on besides the channel.
struct Around<'a> {
    setup: &'a Setup,
    negotiated: &'a Negotiated,
    objects: &'a mut SharedObjects,
}

impl<M> BackendChannel<M> {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            is_open: false,
            pending: None,
            notifiers: (0..setup.queues).map(|_| None).collect(),
            shmem: Shmem::new(setup.max_mappings.into()),
            reply: [0; HEADER_LEN + u64::LEN as usize],
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        self.is_open
    }

    pub(super) const fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    pub(super) fn notifier(&self, index: u32) -> Option<&M> {
        self.notifiers.get(usize::try_from(index).ok()?)?.as_ref()
    }

    /// `SET_BACKEND_REQ_FD` was sent.
    pub(super) fn open(&mut self) {
        self.orphan();
        self.is_open = true;
    }

    pub(super) fn close(&mut self) {
        self.orphan();
        self.is_open = false;
    }

    fn orphan(&mut self) {
        if let Some(pending) = &mut self.pending {
            pending.is_orphan = true;
        }
    }

    /// The device was reset: what the back-end mapped goes (VU-244), also what is being mapped.
    pub(super) fn on_device_reset(&mut self) {
        self.shmem.unmap_all();
        self.notifiers.fill_with(|| None); // DC-062
        if let Some(pending) = &mut self.pending {
            pending.is_reset = true;
        }
    }

    /// The connection ended.
    pub(super) fn reset(&mut self) {
        self.pending = None;
        self.is_open = false;
        self.shmem.reset();
        self.notifiers.fill_with(|| None);
    }

    /// Handles one request. Descriptors that no effect hands over are dropped.
    pub(super) fn on_request<F>(
        &mut self,
        mut frame: Frame<'_, F>,
        setup: &Setup,
        negotiated: &Negotiated,
        objects: &mut SharedObjects,
    ) -> FrontendStep<'_, F> {
        let fds = frame.fds.len();
        if !self.is_open {
            return FrontendStep::Close(RequestError::NotOpen);
        }
        if self.pending.is_some() {
            self.close();
            return FrontendStep::Close(RequestError::Busy); // DC-069
        }
        let message =
            match Message::decode(Kind::BACKEND_REQUEST, Layout::default(), frame.bytes, fds) {
                Ok(message) => message,
                Err(error) => return self.refuse_malformed(frame.bytes, negotiated, error.into()),
            };
        let asked = Asked::new(message.code, message.flags.needs_reply(), negotiated);
        let fd = frame.fds.pop();
        let around = Around { setup, negotiated, objects };
        match self.handle(&message, fd, around) {
            Ok(Next::Done) => self.succeed(asked, None),
            Ok(Next::Need(what, effect)) => {
                self.pending = Some(Pending { asked, what, is_orphan: false, is_reset: false });
                FrontendStep::Need(effect)
            }
            Err(error) => self.refuse(asked, error),
        }
    }

    /// Goes on after an effect.
    pub(super) fn on_done<F>(
        &mut self,
        result: Result<FrontendDone<F, M>, EffectError>,
    ) -> FrontendStep<'_, F> {
        let Some(Pending { asked, what, is_orphan, is_reset }) = self.pending.take() else {
            // The connection ended in between: nobody waits, and the result is dropped.
            return FrontendStep::Silent;
        };
        let outcome = match result {
            _ if is_reset && matches!(what, What::Shmem { .. } | What::Notifier { .. }) => {
                Err(RequestError::ResetMeanwhile) // VU-244
            }
            Err(error) => Err(RequestError::Effect { code: asked.code.0, error }),
            Ok(done) => self.take(asked, what, done),
        };
        if is_orphan {
            return FrontendStep::Silent;
        }
        match outcome {
            Ok(fd) => self.succeed(asked, fd),
            Err(error) => self.refuse(asked, error),
        }
    }

    /// Keeps what an effect made; gives the descriptor that goes into the reply.
    fn take<F>(
        &mut self,
        asked: Asked,
        what: What,
        done: FrontendDone<F, M>,
    ) -> Result<Option<F>, RequestError> {
        match (what, done) {
            (What::Plain, FrontendDone::Nothing) => Ok(None),
            (What::Notifier { index }, FrontendDone::Mapped(mapping)) => {
                if let Some(notifier) = self.notifiers.get_mut(index) {
                    *notifier = Some(mapping);
                }
                Ok(None)
            }
            (What::Shmem { range }, FrontendDone::Mapped(mapping)) => {
                self.shmem.keep(range, mapping);
                Ok(None)
            }
            // VU-232: success has a descriptor, failure has none.
            (What::Object, FrontendDone::Object(Some(fd))) => Ok(Some(fd)),
            (What::Object, FrontendDone::Object(None)) => Err(RequestError::NoObject),
            _ => Err(RequestError::WrongResult { code: asked.code.0 }),
        }
    }

    fn handle<F>(
        &mut self,
        message: &Message<'_>,
        fd: Option<F>,
        around: Around<'_>,
    ) -> Result<Next<F>, RequestError> {
        let code = message.code;
        let Around { setup, negotiated, objects } = around;
        let row = message.row().ok_or(RequestError::UnknownRequest { code })?; // VU-012
        if let Some(rule) = closed_gate(row, negotiated) {
            return Err(RequestError::Gate { code, rule });
        }
        if fd.is_some() && !negotiated.has(protocol::BACKEND_SEND_FD) {
            return Err(RequestError::FdsNotNegotiated { code }); // VU-205
        }
        let plain = |effect| Ok(Next::Need(What::Plain, effect));
        match (B(code), message.payload) {
            (B::IOTLB_MSG, Payload::Iotlb(iotlb)) => plain(translate(&iotlb)?),
            (B::CONFIG_CHANGE_MSG, _) => plain(FrontendEffect::ConfigChanged),
            (B::VRING_HOST_NOTIFIER_MSG, Payload::Area(area)) => self.map_notifier(area, fd, setup),
            (B::VRING_CALL | B::VRING_ERR, Payload::State(state)) => {
                plain(notify(code, state, setup)?)
            }
            (B::SHARED_OBJECT_ADD, Payload::Shared(SharedObject { uuid })) => {
                objects.add(setup.owner, uuid)?;
                Ok(Next::Done)
            }
            (B::SHARED_OBJECT_REMOVE, Payload::Shared(SharedObject { uuid })) => {
                objects.remove(setup.owner, &uuid)?; // VU-231
                Ok(Next::Done)
            }
            (B::SHARED_OBJECT_LOOKUP, Payload::Shared(SharedObject { uuid })) => {
                let owner = objects.owner(&uuid).ok_or(RequestError::NoObject)?;
                Ok(Next::Need(What::Object, FrontendEffect::FetchObject { owner, uuid }))
            }
            (B::SHMEM_MAP, Payload::ShmemMap(map)) => self.map_shmem(&map, fd, setup),
            (B::SHMEM_UNMAP, Payload::ShmemMap(map)) => {
                self.shmem.unmap(&map)?;
                Ok(Next::Done)
            }
            // A decoded message has the payload of its row.
            _ => Err(RequestError::UnknownRequest { code }),
        }
    }

    fn map_notifier<F>(
        &mut self,
        area: VringArea,
        fd: Option<F>,
        setup: &Setup,
    ) -> Result<Next<F>, RequestError> {
        let index = area.vring.index();
        let slot = self.notifiers.get_mut(usize::from(index));
        let Some(slot) = slot else {
            return Err(RequestError::RingIndex { index: index.into(), queues: setup.queues });
        };
        let Some(fd) = fd else {
            *slot = None; // DC-062: its size does not matter, nor whether there was one.
            return Ok(Next::Done);
        };
        let VringArea { size, offset, .. } = area;
        if size != setup.page_size {
            return Err(RequestError::NotifierSize { size, page: setup.page_size }); // VU-235
        }
        *slot = None; // VU-236
        let effect = FrontendEffect::MapNotifier { index: index.into(), fd, offset, size };
        Ok(Next::Need(What::Notifier { index: index.into() }, effect))
    }

    fn map_shmem<F>(
        &mut self,
        map: &ShmemMap,
        fd: Option<F>,
        setup: &Setup,
    ) -> Result<Next<F>, RequestError> {
        let range = self.shmem.check_map(map, setup.page_size)?;
        let code = B::SHMEM_MAP.0;
        let fd = fd.ok_or(RequestError::WrongResult { code })?; // Decoding saw to it (VU-020).
        let is_writable = map.flags == ShmemMap::READ_WRITE; // VU-245
        let fd_offset = map.fd_offset;
        let effect = FrontendEffect::MapShmem { range, fd, fd_offset, is_writable };
        Ok(Next::Need(What::Shmem { range }, effect))
    }

    fn succeed<F>(&mut self, asked: Asked, fd: Option<F>) -> FrontendStep<'_, F> {
        match asked.due {
            Due::Nothing => FrontendStep::Silent,
            Due::Ack | Due::Always => self.answer(asked, 0, fd, None),
        }
    }

    /// A failure is told where a reply is due; else the channel ends (DC-063).
    fn refuse<F>(&mut self, asked: Asked, error: RequestError) -> FrontendStep<'_, F> {
        let is_gated = matches!(error, RequestError::Gate { .. });
        match asked.due {
            Due::Nothing if error.is_ignored() => FrontendStep::Silent, // VU-231
            Due::Ack if !error.is_fatal() => self.answer(asked, NACK, None, Some(error)),
            Due::Always if !error.is_fatal() && !is_gated => {
                self.answer(asked, NACK, None, Some(error)) // VU-232
            }
            _ => {
                self.close();
                FrontendStep::Close(error)
            }
        }
    }

    /// Refuses a request that cannot be decoded. Its header can, unless that is what is wrong.
    fn refuse_malformed<F>(
        &mut self,
        bytes: &[u8],
        negotiated: &Negotiated,
        error: RequestError,
    ) -> FrontendStep<'_, F> {
        match Header::read(&mut Reader::new(bytes)) {
            Ok(header) => {
                let mut asked = Asked::new(header.code, header.flags.needs_reply(), negotiated);
                let row = request::row(Channel::Backend, header.code);
                if row.is_some_and(|row| closed_gate(row, negotiated).is_some())
                    && matches!(asked.due, Due::Always)
                {
                    asked.due = Due::Nothing;
                }
                self.refuse(asked, error)
            }
            Err(_) => {
                self.close();
                FrontendStep::Close(error)
            }
        }
    }

    fn answer<F>(
        &mut self,
        asked: Asked,
        value: u64,
        fd: Option<F>,
        refusal: Option<RequestError>,
    ) -> FrontendStep<'_, F> {
        let reply = Message::reply(Channel::Backend, asked.code.0, Payload::U64(value));
        let written = reply.encode(&mut self.reply);
        debug_assert!(written.is_ok(), "{reply:?} does not fit");
        FrontendStep::Reply(FrontendReply { bytes: &self.reply, fd, refusal })
    }
}

impl Asked {
    /// VU-036: the rules of the main channel hold here too; a lookup is always answered.
    fn new(code: u32, needs_reply: bool, negotiated: &Negotiated) -> Self {
        let is_data = request::row(Channel::Backend, code)
            .is_some_and(|row| row.reply.class == ReplyClass::Data);
        let due = if is_data {
            Due::Always
        } else if needs_reply && negotiated.has_reply_ack() {
            Due::Ack
        } else {
            Due::Nothing
        };
        Self { code: B(code), due }
    }
}

fn translate<F>(iotlb: &Iotlb) -> Result<FrontendEffect<F>, RequestError> {
    let Iotlb { iova, permissions, kind, .. } = *iotlb;
    let wants_something = (1..=3).contains(&permissions);
    match kind {
        Iotlb::MISS if wants_something => Ok(FrontendEffect::Translate { iova, permissions }),
        Iotlb::MISS => Err(RequestError::MissPermissions { permissions }), // VU-212
        Iotlb::ACCESS_FAIL if wants_something => {
            Ok(FrontendEffect::AccessFailed { iova, permissions })
        }
        Iotlb::ACCESS_FAIL => Err(RequestError::AccessPermissions { permissions }), // VU-213
        _ => Err(RequestError::IotlbKind { kind }),
    }
}

fn notify<F>(
    code: u32,
    state: VringState,
    setup: &Setup,
) -> Result<FrontendEffect<F>, RequestError> {
    let VringState { index, num } = state;
    if index >= setup.queues.into() {
        return Err(RequestError::RingIndex { index, queues: setup.queues }); // DC-060
    }
    if num != 0 {
        return Err(RequestError::Num { code, num }); // VU-220
    }
    Ok(match B(code) {
        B::VRING_CALL => FrontendEffect::Call { index },
        _ => FrontendEffect::RingError { index },
    })
}

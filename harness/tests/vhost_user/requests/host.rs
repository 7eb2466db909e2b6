//! A front-end with an open back-end channel, and messages for it.

use arrayvec::ArrayVec;
use vhost_fuzz_core::frontend::{
    FrontendDone, FrontendEffect as E, FrontendStep, RequestError, Setup, SharedObjects,
};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{
    Iotlb, SharedObject, ShmemConfig, ShmemMap, VringArea, VringFd, VringState,
};
use vhost_fuzz_core::vhost_user::{
    BackendRequest as B, Channel, Frame, FrontendRequest as R, Kind, Layout, Message, Payload,
};
use vhost_fuzz_harness::frontend::{Core, Done};
use vhost_fuzz_harness::ledger::{Ledger, Token};

pub(crate) const PAGE: u64 = 4096;
pub(crate) const QUEUES: u16 = 3;
pub(crate) const ME: u32 = 1;
pub(crate) const OTHER: u32 = 2;

/// A front-end with an open back-end channel.
pub(crate) struct Host {
    pub(crate) frontend: Core,
    pub(crate) objects: SharedObjects,
    pub(crate) descriptors: Ledger,
    pub(crate) mappings: Ledger,
}

/// What the front-end did about a request: nothing, or a reply with a number and maybe a
/// descriptor; or an error, and whether a reply told it.
pub(crate) type Seen = Result<Option<(u64, bool)>, (RequestError, bool)>;

pub(crate) fn bytes(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    message.encode(&mut bytes).expect("room");
    bytes
}

impl Host {
    /// Everything is negotiated but these protocol features.
    pub(crate) fn without(bits: u64) -> Self {
        Self::with(protocol::ALL & !protocol::XEN_MMAP & !bits, !0)
    }

    pub(crate) fn with(protocol: u64, virtio: u64) -> Self {
        let setup =
            Setup { owner: ME, queues: QUEUES, max_regions: 8, max_mappings: 2, page_size: PAGE };
        let mut host = Self {
            frontend: Core::new(setup),
            objects: SharedObjects::new(3),
            descriptors: Ledger::default(),
            mappings: Ledger::default(),
        };
        let mut sizes = [0; 2048];
        sizes[8..16].copy_from_slice(&(4 * PAGE).to_ne_bytes());
        let config = ShmemConfig { regions: 1, padding: 0, sizes: &sizes };
        let features = Payload::U64(virtio | virtio::PROTOCOL_FEATURES);
        host.asks(R::GET_FEATURES, features);
        host.asks(R::GET_PROTOCOL_FEATURES, Payload::U64(protocol));
        host.sends(R::SET_PROTOCOL_FEATURES, Payload::U64(protocol), 0);
        host.sends(R::SET_FEATURES, features, 0);
        host.asks(R::GET_SHMEM_CONFIG, Payload::ShmemConfig(config));
        host.sends(R::SET_BACKEND_REQ_FD, Payload::None, 1);
        host
    }

    pub(crate) fn sends(&mut self, request: R, payload: Payload<'_>, fds: usize) {
        let sent = self.frontend.sent(&Message::frontend(request, payload), fds);
        assert_eq!(sent, Ok(()), "{request:?}");
    }

    pub(crate) fn asks(&mut self, request: R, answer: Payload<'_>) {
        self.sends(request, Payload::None, 0);
        let reply = bytes(&Message::reply(Channel::Main, request.0, answer));
        let frame = Frame { kind: Kind::BACKEND_REPLY, bytes: &reply, fds: ArrayVec::new() };
        assert!(self.frontend.on_reply(frame).is_ok(), "{request:?}");
    }

    /// Hands over a request; its effect, if it has one, ends as `done` says.
    pub(crate) fn serve(
        &mut self,
        message: &Message<'_>,
        fds: usize,
        done: impl FnOnce(E<Token>, &Ledger) -> Done,
    ) -> Seen {
        let seen = self.serve_bytes(&bytes(message), fds, done);
        assert_eq!(self.descriptors.open_count(), 0, "VU-019: {message}");
        seen
    }

    pub(crate) fn serve_bytes(
        &mut self,
        bytes: &[u8],
        fds: usize,
        done: impl FnOnce(E<Token>, &Ledger) -> Done,
    ) -> Seen {
        let fds = (0..fds).map(|_| self.descriptors.open()).collect();
        let frame = Frame { kind: Kind::BACKEND_REQUEST, bytes, fds };
        match self.frontend.on_request(frame, &mut self.objects) {
            FrontendStep::Need(effect) => {
                let ledger = if matches!(effect, E::FetchObject { .. }) {
                    &self.descriptors
                } else {
                    &self.mappings
                };
                let done = done(effect, ledger);
                seen(self.frontend.on_done(done))
            }
            step => seen(step),
        }
    }

    /// As [`serve`](Self::serve), with all effects ending well; checks the form of a refusal: told
    /// if asked for, else the end of the channel.
    #[track_caller]
    pub(crate) fn verdict(
        &mut self,
        message: &Message<'_>,
        fds: usize,
    ) -> Result<Option<(u64, bool)>, RequestError> {
        let is_asked = message.flags.needs_reply() || B(message.code) == B::SHARED_OBJECT_LOOKUP;
        self.serve(message, fds, well).map_err(|(error, is_told)| {
            assert_eq!(is_told, is_asked && !error.is_fatal(), "{error}");
            assert_eq!(self.frontend.is_channel_open(), is_told || error.is_ignored());
            error
        })
    }
}

/// Every effect ends well.
pub(crate) fn well(effect: E<Token>, ledger: &Ledger) -> Done {
    Ok(match effect {
        E::MapNotifier { .. } | E::MapShmem { .. } => FrontendDone::Mapped(ledger.open()),
        E::FetchObject { .. } => FrontendDone::Object(Some(ledger.open())),
        _ => FrontendDone::Nothing,
    })
}

pub(crate) fn seen(step: FrontendStep<'_, Token>) -> Seen {
    match step {
        FrontendStep::Silent => Ok(None),
        FrontendStep::Reply(reply) => {
            let fds = usize::from(reply.fd.is_some());
            let read = Message::decode(Kind::FRONTEND_REPLY, Layout::default(), reply.bytes, fds);
            let value = match read.expect("a legal reply").payload {
                Payload::U64(value) => value,
                // To an id that nobody knows.
                Payload::Unknown(bytes) => u64::from_ne_bytes(bytes.try_into().expect("8 bytes")),
                other => panic!("a reply with {other:?}"),
            };
            match reply.refusal {
                None => Ok(Some((value, reply.fd.is_some()))),
                Some(error) => {
                    assert!(value != 0 && reply.fd.is_none(), "VU-033: {error}");
                    Err((error, true))
                }
            }
        }
        FrontendStep::Need(effect) => panic!("two effects: {effect:?}"),
        FrontendStep::Close(error) => Err((error, false)),
    }
}

pub(crate) fn state(request: B, index: u32, num: u32) -> Message<'static> {
    Message::backend(request, Payload::State(VringState { index, num })).with_need_reply()
}

pub(crate) fn iotlb(kind: u8, permissions: u8) -> Message<'static> {
    let iotlb =
        Iotlb { iova: 0x1000, size: 0, user_address: 0, permissions, kind, padding: [0; 6] };
    Message::backend(B::IOTLB_MSG, Payload::Iotlb(iotlb)).with_need_reply()
}

pub(crate) fn notifier(vring: u64, size: u64) -> Message<'static> {
    let area = VringArea { vring: VringFd(vring), size, offset: 0x2000 };
    Message::backend(B::VRING_HOST_NOTIFIER_MSG, Payload::Area(area)).with_need_reply()
}

pub(crate) fn object(request: B, byte: u8) -> Message<'static> {
    let uuid = [byte; 16];
    Message::backend(request, Payload::Shared(SharedObject { uuid })).with_need_reply()
}

pub(crate) fn map(request: B, shm_offset: u64, len: u64) -> Message<'static> {
    let map = ShmemMap { shmid: 1, padding: [0; 7], fd_offset: 0, shm_offset, len, flags: 1 };
    Message::backend(request, Payload::ShmemMap(map)).with_need_reply()
}

/// The same mapping with other values.
pub(crate) fn map_with(change: impl FnOnce(&mut ShmemMap)) -> Message<'static> {
    let mut map =
        ShmemMap { shmid: 1, padding: [0; 7], fd_offset: 0, shm_offset: 0, len: PAGE, flags: 0 };
    change(&mut map);
    Message::backend(B::SHMEM_MAP, Payload::ShmemMap(map)).with_need_reply()
}

pub(crate) const fn silently(message: Message<'_>) -> Message<'_> {
    Message { flags: vhost_fuzz_core::vhost_user::Flags::REQUEST, ..message }
}

pub(crate) const DONE: Result<Option<(u64, bool)>, RequestError> = Ok(Some((0, false)));

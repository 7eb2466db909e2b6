//! A front-end on the main channel, and the back-end that answers it.

use arrayvec::ArrayVec;
use vhost_fuzz_core::frontend::{ReplyError, SendError, Setup, SharedObjects};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{MemReg, MemTable, Region, RegionBytes, VringState};
use vhost_fuzz_core::vhost_user::{
    Channel, Frame, FrontendRequest as R, Kind, Layout, Message, Payload,
};
use vhost_fuzz_harness::frontend::Core;
use vhost_fuzz_harness::ledger::Ledger;

pub(crate) const PAGE: u64 = 4096;
pub(crate) const QUEUES: u16 = 4;
pub(crate) const ME: u32 = 1;

/// Every virtio-level bit that the protocol looks at but those that change what addresses are.
pub(crate) const FEATURES: u64 =
    virtio::PROTOCOL_FEATURES | virtio::LOG_ALL | virtio::NET_MTU | virtio::EVENT_IDX;

/// Every protocol feature but those that change layouts, addresses or who may do what.
pub(crate) const PROTOCOL: u64 =
    protocol::ALL & !(protocol::XEN_MMAP | protocol::GPA_ADDRESSES | protocol::CONFIGURE_MEM_SLOTS);

pub(crate) struct Peer {
    pub(crate) frontend: Core,
    pub(crate) objects: SharedObjects,
    pub(crate) descriptors: Ledger,
}

pub(crate) fn bytes(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    message.encode(&mut bytes).expect("room");
    bytes
}

impl Peer {
    /// Connected, and nothing else.
    pub(crate) fn fresh() -> Self {
        let setup =
            Setup { owner: ME, queues: QUEUES, max_regions: 8, max_mappings: 1, page_size: PAGE };
        Self {
            frontend: Core::new(setup),
            objects: SharedObjects::new(4),
            descriptors: Ledger::default(),
        }
    }

    /// These features were offered, and all of them were chosen.
    pub(crate) fn with(features: u64, protocol: u64) -> Self {
        let mut peer = Self::fresh();
        peer.learns(R::GET_FEATURES, features);
        peer.learns(R::GET_PROTOCOL_FEATURES, protocol);
        peer.sends(R::SET_PROTOCOL_FEATURES, Payload::U64(protocol));
        peer.sends(R::SET_FEATURES, Payload::U64(features));
        peer.sends(R::SET_OWNER, Payload::None);
        peer
    }

    pub(crate) fn new() -> Self {
        Self::with(FEATURES, PROTOCOL)
    }

    pub(crate) fn send(&mut self, message: &Message<'_>, fds: usize) -> Result<(), SendError> {
        let expected = bytes(message);
        let sent = self.frontend.send(message, fds, &self.objects)?;
        assert_eq!(sent, expected, "{message}");
        Ok(())
    }

    /// A request that has to be legal.
    #[track_caller]
    pub(crate) fn sends(&mut self, request: R, payload: Payload<'_>) {
        self.sends_with(request, payload, 0);
    }

    #[track_caller]
    pub(crate) fn sends_with(&mut self, request: R, payload: Payload<'_>, fds: usize) {
        let sent = self.send(&Message::frontend(request, payload), fds);
        assert_eq!(sent, Ok(()), "{request:?}");
    }

    /// What a request without descriptors is refused for.
    pub(crate) fn tries(&mut self, request: R, payload: Payload<'_>) -> Result<(), SendError> {
        self.send(&Message::frontend(request, payload), 0)
    }

    /// A question without payload, and the number that answers it.
    #[track_caller]
    pub(crate) fn learns(&mut self, request: R, answer: u64) {
        self.sends(request, Payload::None);
        assert_eq!(self.replies(request, Payload::U64(answer)), Ok(true), "{request:?}");
    }

    /// The back-end answers; tells whether that is a success.
    pub(crate) fn replies(&mut self, to: R, payload: Payload<'_>) -> Result<bool, ReplyError> {
        self.replies_with(to, payload, 0)
    }

    pub(crate) fn replies_with(
        &mut self,
        to: R,
        payload: Payload<'_>,
        fds: usize,
    ) -> Result<bool, ReplyError> {
        self.replies_as(&Message::reply(Channel::Main, to.0, payload), fds)
    }

    pub(crate) fn replies_as(
        &mut self,
        message: &Message<'_>,
        fds: usize,
    ) -> Result<bool, ReplyError> {
        let bytes = bytes(message);
        let fds: ArrayVec<_, 8> = (0..fds).map(|_| self.descriptors.open()).collect();
        let frame = Frame { kind: Kind::BACKEND_REPLY, bytes: &bytes, fds };
        let answer = self.frontend.on_reply(frame)?;
        assert_eq!((answer.request.0, answer.payload), (message.code, message.payload));
        Ok(answer.is_success)
    }
}

pub(crate) fn state(index: u32, num: u32) -> Payload<'static> {
    Payload::State(VringState { index, num })
}

/// A region whose guest addresses begin at `guest` and user addresses at `user`.
pub(crate) fn region(guest: u64, user: u64, size: u64) -> Region {
    Region { guest_address: guest, size, user_address: user, mmap_offset: 0, xen: None }
}

pub(crate) fn added(region: Region) -> Payload<'static> {
    Payload::MemReg(MemReg { padding: 0, region })
}

/// Calls with a memory table of these regions.
pub(crate) fn with_table<T>(regions: &[Region], call: impl FnOnce(Payload<'_>) -> T) -> T {
    let bytes = RegionBytes::new(regions);
    let count = u32::try_from(regions.len()).expect("few");
    call(Payload::MemTable(MemTable::new(count, Layout::default(), bytes.as_bytes())))
}

impl Peer {
    /// Sends a memory table with its descriptors.
    pub(crate) fn send_table(&mut self, regions: &[Region]) -> Result<(), SendError> {
        with_table(regions, |table| {
            self.send(&Message::frontend(R::SET_MEM_TABLE, table), regions.len())
        })
    }
}

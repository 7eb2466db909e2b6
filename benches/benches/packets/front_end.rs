//! The front-end: it negotiates, hands memory over, and starts both queues.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{EventfdFlags, eventfd};
use vhost_fuzz_backend::socket::{Receiver, send};
use vhost_fuzz_benches::packets::{Driver, Memory, Queue, SIZE};
use vhost_fuzz_core::frontend::{Frontend, Setup, SharedObjects};
use vhost_fuzz_core::ring::Layout;
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{MemTable, RegionBytes, VringFd, VringState};
use vhost_fuzz_core::vhost_user::{
    self, DEFAULT_PAYLOAD_LIMIT, FrontendRequest as R, Kind, Message, Payload,
};

/// A front-end that waits for the acknowledgement of each request, once it was chosen that there
/// are any.
pub(crate) struct FrontEnd {
    stream: UnixStream,
    frontend: Frontend<OwnedFd, ()>,
    objects: SharedObjects,
    receiver: Receiver,
}

/// How a queue and its device tell each other that there is something.
pub(crate) struct Events {
    pub(crate) kick: OwnedFd,
    pub(crate) call: OwnedFd,
}

impl FrontEnd {
    /// Chooses version 1 and event indices, and the layout of the rings; nothing that a device
    /// would have to do more for. Hands the memory over, which is in a file.
    pub(crate) fn new(stream: UnixStream, layout: Layout, file: BorrowedFd<'_>) -> Self {
        let setup = Setup { owner: 1, queues: 2, max_regions: 8, max_mappings: 1, page_size: 4096 };
        let mut front_end = Self {
            stream,
            frontend: Frontend::new(setup),
            objects: SharedObjects::new(1),
            receiver: Receiver::new(Kind::BACKEND_REPLY, DEFAULT_PAYLOAD_LIMIT),
        };
        front_end.negotiate(layout);
        let regions = [Memory::region()];
        let bytes = RegionBytes::new(&regions);
        let table = MemTable::new(1, vhost_user::Layout::default(), bytes.as_bytes());
        front_end.tell(R::SET_MEM_TABLE, Payload::MemTable(table), &[file]);
        front_end
    }

    fn negotiate(&mut self, layout: Layout) {
        let packed = if layout == Layout::Packed { virtio::RING_PACKED } else { 0 };
        let chosen = virtio::VERSION_1 | virtio::EVENT_IDX | virtio::PROTOCOL_FEATURES | packed;
        self.tell(R::SET_OWNER, Payload::None, &[]);
        let offered = self.number(R::GET_FEATURES);
        assert_eq!(chosen & !offered, 0, "what the back-end does not offer");
        let offered = self.number(R::GET_PROTOCOL_FEATURES);
        assert_ne!(offered & protocol::REPLY_ACK, 0, "the back-end acknowledges nothing");
        self.tell(R::SET_PROTOCOL_FEATURES, Payload::U64(protocol::REPLY_ACK), &[]);
        self.tell(R::SET_FEATURES, Payload::U64(chosen), &[]);
    }

    /// Starts a queue and enables it.
    pub(crate) fn start(&mut self, queue: Queue, driver: &Driver) -> Events {
        let event = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let [kick, call] = [event(), event()].map(|event| event.expect("an eventfd"));
        let index = queue.index();
        let state = |num| Payload::State(VringState { index, num });
        let fd = Payload::VringFd(VringFd(index.into()));
        self.tell(R::SET_VRING_NUM, state(SIZE.into()), &[]);
        self.tell(R::SET_VRING_BASE, state(driver.base()), &[]);
        self.tell(R::SET_VRING_ADDR, Payload::Addr(Memory::addresses(queue)), &[]);
        self.tell(R::SET_VRING_CALL, fd, &[call.as_fd()]);
        self.tell(R::SET_VRING_KICK, fd, &[kick.as_fd()]);
        self.tell(R::SET_VRING_ENABLE, state(1), &[]);
        Events { kick, call }
    }

    fn tell(&mut self, request: R, payload: Payload<'_>, fds: &[BorrowedFd<'_>]) {
        let _ = self.ask(request, payload, fds);
    }

    fn number(&mut self, request: R) -> u64 {
        self.ask(request, Payload::None, &[]).expect("a number")
    }

    /// Sends a request, and waits for the reply if one comes: the number that it is.
    fn ask(&mut self, request: R, payload: Payload<'_>, fds: &[BorrowedFd<'_>]) -> Option<u64> {
        let Self { stream, frontend, objects, receiver } = self;
        let plain = Message::frontend(request, payload);
        let acknowledged = plain.with_need_reply();
        let bytes = match frontend.send(&acknowledged, fds.len(), objects) {
            Ok(bytes) => bytes.to_vec(),
            Err(_) => frontend.send(&plain, fds.len(), objects).expect("a request").to_vec(),
        };
        send(stream.as_fd(), &bytes, fds).expect("a back-end that listens");
        if frontend.awaited() == 0 {
            return None;
        }
        let frame = receiver.receive(stream.as_fd()).expect("a message").expect("a reply");
        let answer = frontend.on_reply(frame).expect("a legal reply");
        assert!(answer.is_success, "{request:?} was refused");
        match answer.payload {
            Payload::U64(number) => Some(number),
            _ => None,
        }
    }
}

//! A front-end of our own on a socket.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};
use vhost_fuzz_backend::connection::{Connection, End, ServeError};
use vhost_fuzz_backend::device::Device;
use vhost_fuzz_backend::socket::{Receiver, send};
use vhost_fuzz_core::frontend::{Frontend, Setup, SharedObjects};
use vhost_fuzz_core::vhost_user::features::virtio;
use vhost_fuzz_core::vhost_user::payload::{Inflight, MemTable, RegionBytes, VringFd, VringState};
use vhost_fuzz_core::vhost_user::{
    DEFAULT_PAYLOAD_LIMIT, FrontendRequest as R, Kind, Layout, Message, Payload,
};
use vhost_fuzz_world::driver::{Driver as _, Format};

use crate::guest::{Guest, SIZE};

/// A back-end in a thread, until its front-end is gone.
pub(crate) type Server<D> = JoinHandle<(Connection<D>, Result<End, ServeError>)>;

/// Serves one front-end, which has the other end of the socket.
pub(crate) fn serve<D: Device + Send + 'static>(device: D) -> (UnixStream, Server<D>) {
    serve_next(Connection::new(device).unwrap())
}

/// The same with a connection that has served others.
pub(crate) fn serve_next<D: Device + Send + 'static>(
    mut connection: Connection<D>,
) -> (UnixStream, Server<D>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = thread::spawn(move || {
        let end = connection.serve(ours.as_fd(), None);
        (connection, end)
    });
    (theirs, server)
}

/// Waits until something is so.
pub(crate) fn wait(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < end, "nothing happens");
        thread::yield_now();
    }
}

/// An eventfd that does not block.
pub(crate) fn event() -> OwnedFd {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap()
}

/// Tells who waits at an eventfd.
pub(crate) fn signal(fd: &OwnedFd) {
    write(fd, &1_u64.to_ne_bytes()).unwrap();
}

/// Whether somebody has signalled an eventfd since the last time.
pub(crate) fn is_signalled(fd: &OwnedFd) -> bool {
    read(fd, &mut [0; 8]).is_ok()
}

/// A strict front-end on the main channel. Requests are acknowledged as soon as that was chosen.
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    pub(crate) frontend: Frontend<OwnedFd, ()>,
    pub(crate) objects: SharedObjects,
    receiver: Receiver,
    /// Sees each message that is sent, its descriptors, and whether a reply is due.
    pub(crate) watcher: Option<Watcher>,
}

/// Who sees what a client sends.
pub(crate) type Watcher = Box<dyn FnMut(&[u8], &[BorrowedFd<'_>], bool)>;

/// A reply that may outlive its bytes.
pub(crate) struct Reply {
    pub(crate) number: Option<u64>,
    pub(crate) state: Option<VringState>,
    pub(crate) inflight: Option<Inflight>,
    pub(crate) fd: Option<OwnedFd>,
}

impl Client {
    /// Connected, and nothing else.
    pub(crate) fn new(stream: UnixStream) -> Self {
        let setup = Setup { owner: 1, queues: 2, max_regions: 8, max_mappings: 1, page_size: 4096 };
        Self {
            stream,
            frontend: Frontend::new(setup),
            objects: SharedObjects::new(1),
            receiver: Receiver::new(Kind::BACKEND_REPLY, DEFAULT_PAYLOAD_LIMIT),
            watcher: None,
        }
    }

    /// Chooses features for rings of this format, and becomes the owner.
    pub(crate) fn negotiate(&mut self, format: Format, features: u64, protocol: u64) {
        let offered = self.number(R::GET_FEATURES);
        let mut chosen = offered & features;
        if format == Format::Split {
            chosen &= !virtio::RING_PACKED;
        }
        let offered = self.number(R::GET_PROTOCOL_FEATURES);
        self.tell(R::SET_PROTOCOL_FEATURES, Payload::U64(offered & protocol), &[]);
        self.tell(R::SET_FEATURES, Payload::U64(chosen), &[]);
        self.tell(R::SET_OWNER, Payload::None, &[]);
    }

    /// Sends a request, and waits for the reply if one comes.
    pub(crate) fn ask(
        &mut self,
        request: R,
        payload: Payload<'_>,
        fds: &[BorrowedFd<'_>],
    ) -> Option<Reply> {
        let plain = Message::frontend(request, payload);
        let acknowledged = plain.with_need_reply();
        let objects = &self.objects;
        let bytes = match self.frontend.send(&acknowledged, fds.len(), objects) {
            Ok(bytes) => bytes.to_vec(),
            Err(_) => {
                self.frontend.send(&plain, fds.len(), objects).expect("a legal request").to_vec()
            }
        };
        send(self.stream.as_fd(), &bytes, fds).unwrap();
        if let Some(watcher) = &mut self.watcher {
            watcher(&bytes, fds, self.frontend.awaited() > 0);
        }
        if self.frontend.awaited() == 0 {
            return None;
        }
        let frame = self.receiver.receive(self.stream.as_fd()).unwrap().expect("a reply");
        let answer = self.frontend.on_reply(frame).expect("a legal reply");
        assert!(answer.is_success, "{request:?} was refused");
        let mut reply = Reply { number: None, state: None, inflight: None, fd: answer.fd };
        match answer.payload {
            Payload::U64(number) => reply.number = Some(number),
            Payload::State(state) => reply.state = Some(state),
            Payload::Inflight(inflight) => reply.inflight = Some(inflight),
            _ => {}
        }
        Some(reply)
    }

    /// Sends a request that asks for nothing.
    pub(crate) fn tell(&mut self, request: R, payload: Payload<'_>, fds: &[BorrowedFd<'_>]) {
        let _ = self.ask(request, payload, fds);
    }

    /// Asks for a number.
    pub(crate) fn number(&mut self, request: R) -> u64 {
        self.ask(request, Payload::None, &[]).unwrap().number.unwrap()
    }

    /// Sends a number about a ring.
    pub(crate) fn state(&mut self, request: R, index: u32, num: u32) {
        self.tell(request, Payload::State(VringState { index, num }), &[]);
    }

    /// Sends a descriptor for a ring, or says that there is none.
    pub(crate) fn vring_fd(&mut self, request: R, index: u32, fd: Option<&OwnedFd>) {
        let none = if fd.is_none() { VringFd::NO_FD } else { 0 };
        let fds: ArrayVec<_, 1> = fd.iter().map(|fd| fd.as_fd()).collect();
        self.tell(request, Payload::VringFd(VringFd(u64::from(index) | none)), &fds);
    }

    /// Asks for an in-flight area.
    pub(crate) fn get_inflight(&mut self, queue_size: u16) -> (Inflight, OwnedFd) {
        let wanted =
            Inflight { mmap_size: 0, mmap_offset: 0, num_queues: 1, queue_size, padding: 0 };
        let reply = self.ask(R::GET_INFLIGHT_FD, Payload::Inflight(wanted), &[]).unwrap();
        (reply.inflight.unwrap(), reply.fd.unwrap())
    }

    /// Hands an in-flight area over.
    pub(crate) fn set_inflight(&mut self, (area, fd): &(Inflight, OwnedFd)) {
        self.tell(R::SET_INFLIGHT_FD, Payload::Inflight(*area), &[fd.as_fd()]);
    }

    /// Hands the memory of a guest over.
    pub(crate) fn set_memory(&mut self, guest: &Guest) {
        let regions = guest.ram.layout().regions();
        let bytes = RegionBytes::new(&regions);
        let count = u32::try_from(regions.len()).unwrap();
        let table = MemTable::new(count, Layout::default(), bytes.as_bytes());
        let fds = vec![guest.ram.file().as_fd(); regions.len()];
        self.tell(R::SET_MEM_TABLE, Payload::MemTable(table), &fds);
    }

    /// Sets a ring up and enables it. Without a kick it is not started.
    pub(crate) fn set_ring(
        &mut self,
        guest: &Guest,
        index: u32,
        base: u32,
        kick: Option<&OwnedFd>,
    ) {
        self.state(R::SET_VRING_NUM, index, SIZE.into());
        self.state(R::SET_VRING_BASE, index, base);
        self.tell(R::SET_VRING_ADDR, Payload::Addr(guest.addresses(index, None)), &[]);
        if kick.is_some() {
            self.vring_fd(R::SET_VRING_KICK, index, kick);
        }
        self.state(R::SET_VRING_ENABLE, index, 1);
    }

    /// Stops ring 0, one way or the other; gives where the back-end was.
    pub(crate) fn stop(&mut self, request: R) -> u32 {
        let state = VringState { index: 0, num: 0 };
        let reply = self.ask(request, Payload::State(state), &[]);
        reply.unwrap().state.unwrap().num
    }
}

/// Where the ring of a guest begins that has sent nothing.
pub(crate) fn base(guest: &Guest) -> u32 {
    guest.driver.base()
}

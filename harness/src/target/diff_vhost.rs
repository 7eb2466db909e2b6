//! Our back-end and that of the `vhost` crate, given the same bytes and descriptors over real
//! sockets: replies, their descriptors, the state of the connection and what the device was told
//! have to be the same, unless [`divergences`](crate::peer::divergences) allows the difference.
//!
//! The input is a [script]. Of its messages the front-end's requests are sent, whole and one at a
//! time; the descriptors before a message go with its first byte. What is left of a message when
//! the connection ends is sent as it is. Other records mean nothing here.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, Mode, OFlags, ftruncate, memfd_create, open};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use vhost_fuzz_core::vhost_user::{DEFAULT_PAYLOAD_LIMIT, HEADER_LEN, Kind, MAX_FDS};

use crate::peer::Lockstep;
use crate::run::{self, Summary};
use crate::script::{self, FdKind, Record};
use crate::socket::{AsItIs, Delivery};

/// Most messages of an input that are sent, and most connections that are opened for one.
const MESSAGES: usize = 100;
const CONNECTIONS: usize = 16;

/// Most sizes of files that are kept.
const FILES: usize = 16;

/// Bytes of the largest file; it has holes only.
const FILE_LIMIT: u64 = 1 << 60;

/// Runs one input through our server and the peer.
///
/// # Panics
/// When the oracle finds a difference that is not allowed.
pub fn run(bytes: &[u8]) {
    thread_local! {
        static STAGE: Cell<Option<Box<Stage<AsItIs>>>> = const { Cell::new(None) };
    }
    run::input("diff_vhost", bytes, |bytes| {
        let mut stage = STAGE.take().unwrap_or_else(|| Box::new(Stage::new(AsItIs)));
        let summary = stage.check(bytes);
        STAGE.set(Some(stage));
        summary
    });
}

/// Both sides and the descriptors that they are given, kept from one input to the next.
#[derive(Debug)]
pub struct Stage<D> {
    sides: Lockstep<D>,
    files: Files,
}

impl<D: Delivery> Stage<D> {
    /// A stage on which replies of ours leave by `delivery`.
    ///
    /// # Panics
    /// When the system has no more descriptors.
    #[must_use]
    pub fn new(delivery: D) -> Self {
        let files = Files::open().expect("a handful of descriptors");
        Self { sides: Lockstep::new(delivery), files }
    }

    /// Runs one input on new connections.
    ///
    /// # Panics
    /// When the oracle finds a difference that is not allowed.
    pub fn check(&mut self, bytes: &[u8]) -> Summary {
        self.sides.restart();
        let limit = self.sides.opened() + CONNECTIONS;
        let mut summary = Summary { is_accepted: false, messages: 0 };
        for request in requests(bytes).take(MESSAGES) {
            if self.sides.opened() >= limit {
                break;
            }
            summary.messages += 1;
            self.files.prepare(&request.fds);
            let fds: Vec<_> = request.fds.iter().map(|fd| self.files.get(*fd)).collect();
            match request.end {
                End::Whole => summary.is_accepted |= self.sides.exchange(&request.bytes, &fds),
                End::Cut => self.sides.cut_off(&request.bytes, &fds),
                End::Closed => self.sides.restart(),
            }
        }
        summary
    }
}

/// A message on its way, or the end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Header and payload.
    pub bytes: Vec<u8>,
    /// Kind and size of the descriptors that go with it.
    pub fds: Vec<(FdKind, u64)>,
    /// Whether all of it is there.
    pub end: End,
}

/// How a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of it is there; or its header says more than anybody takes, and nothing follows.
    Whole,
    /// The connection ends before it does.
    Cut,
    /// The connection ends, and no byte of a message was sent.
    Closed,
}

/// The front-end's requests of a script.
pub fn requests(bytes: &[u8]) -> impl Iterator<Item = Request> {
    let mut records = script::records(bytes).map(Some).chain([None]);
    let mut stream = Stream::default();
    std::iter::from_fn(move || {
        loop {
            if let Some(request) = stream.whole() {
                return Some(request);
            }
            match records.next()? {
                Some(Record::Message { kind: Kind::FRONTEND_REQUEST, bytes }) => {
                    stream.extend(&bytes);
                }
                Some(Record::Fd { kind, size, .. }) => stream.pending.push((kind, size)),
                Some(Record::Close | Record::Reconnect) => return Some(stream.end()),
                None if !stream.bytes.is_empty() => return Some(stream.end()),
                _ => {}
            }
        }
    })
}

/// What was sent and is no whole message yet.
#[derive(Debug, Default)]
struct Stream {
    bytes: Vec<u8>,
    /// Descriptors of the message that begins the bytes.
    fds: Vec<(FdKind, u64)>,
    /// Descriptors of the next message that begins.
    pending: Vec<(FdKind, u64)>,
}

impl Stream {
    fn extend(&mut self, bytes: &[u8]) {
        if self.bytes.is_empty() && !bytes.is_empty() {
            self.fds = std::mem::take(&mut self.pending);
            self.fds.truncate(MAX_FDS);
        }
        self.bytes.extend(bytes);
    }

    /// Takes the message at the front, if it is whole.
    fn whole(&mut self) -> Option<Request> {
        let size =
            self.bytes.get(8..HEADER_LEN)?.first_chunk().map(|size| u32::from_ne_bytes(*size))?;
        let len = if size > DEFAULT_PAYLOAD_LIMIT {
            // Nobody reads what comes after such a header (HZ-12).
            self.bytes.truncate(HEADER_LEN);
            HEADER_LEN
        } else {
            HEADER_LEN + usize::try_from(size).ok()?
        };
        if self.bytes.len() < len {
            return None;
        }
        let rest = self.bytes.split_off(len);
        let bytes = std::mem::replace(&mut self.bytes, rest);
        Some(Request { bytes, fds: std::mem::take(&mut self.fds), end: End::Whole })
    }

    fn end(&mut self) -> Request {
        let Self { bytes, fds, .. } = std::mem::take(self);
        let end = if bytes.is_empty() { End::Closed } else { End::Cut };
        Request { bytes, fds, end }
    }
}

/// Open descriptors of every kind. Sending one leaves it open here.
#[derive(Debug)]
struct Files {
    eventfd: OwnedFd,
    socket: [OwnedFd; 2],
    pipe: (OwnedFd, OwnedFd),
    other: OwnedFd,
    /// Memory files by their sizes.
    memfds: Vec<(u64, OwnedFd)>,
}

impl Files {
    fn open() -> Result<Self, Errno> {
        let (one, other) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        Ok(Self {
            eventfd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            socket: [one, other],
            pipe: pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?,
            other: open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?,
            memfds: Vec::with_capacity(FILES),
        })
    }

    /// Makes the files that a message needs.
    fn prepare(&mut self, fds: &[(FdKind, u64)]) {
        let sizes = fds.iter().filter(|(kind, _)| *kind == FdKind::MEMFD).map(|(_, size)| *size);
        if self.memfds.len() + sizes.clone().count() > FILES {
            self.memfds.clear();
        }
        for size in sizes.map(|size| size.min(FILE_LIMIT)) {
            if self.memfds.iter().all(|(held, _)| *held != size) {
                let fd = memfd_create(c"memory", MemfdFlags::CLOEXEC).expect("a memfd");
                ftruncate(&fd, size).expect("a sparse file of at most 2^60 bytes");
                self.memfds.push((size, fd));
            }
        }
    }

    fn get(&self, (kind, size): (FdKind, u64)) -> BorrowedFd<'_> {
        let memfd = || {
            let held = self.memfds.iter().find(|(held, _)| *held == size.min(FILE_LIMIT));
            held.map_or(&self.other, |(_, fd)| fd)
        };
        match kind {
            FdKind::EVENTFD => self.eventfd.as_fd(),
            FdKind::MEMFD => memfd().as_fd(),
            FdKind::SOCKET => self.socket[0].as_fd(),
            FdKind::PIPE => self.pipe.0.as_fd(),
            _ => self.other.as_fd(),
        }
    }
}

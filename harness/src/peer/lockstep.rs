//! Two back-ends that are given the same messages one by one, and have to do the same.

use std::fmt;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use vhost_fuzz_core::vhost_user::FrontendRequest;

use super::divergences::{self, Asked, Did, Known};
use super::vhost::{Peer, Verdict};
use super::{Device, offer};
use crate::socket::{Delivery, ServeError, Served, Server, send};

/// Longest reply that is looked at, in bytes; the longest legal one has 4108.
const REPLY_LIMIT: usize = 8192;

/// What the front-end sees of a side after a message.
#[derive(PartialEq, Eq)]
struct Seen<'a> {
    reply: &'a [u8],
    fds: usize,
    is_open: bool,
}

impl fmt::Debug for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.is_open { "stays open" } else { "closes" };
        write!(f, "replies {:02x?} with {} descriptors and {end}", self.reply, self.fds)
    }
}

/// A connection of each side.
#[derive(Debug)]
struct Connections {
    ours: UnixStream,
    back_end: UnixStream,
    theirs: UnixStream,
    peer: Peer,
    known: Known,
}

impl Connections {
    fn open() -> Self {
        let pair = || UnixStream::pair().expect("a socket pair");
        let (ours, back_end) = pair();
        let (theirs, peer) = pair();
        Self { ours, back_end, theirs, peer: Peer::new(peer), known: Known::default() }
    }
}

/// Our server and the peer, in lockstep. The oracle `differential` lives here.
#[derive(Debug)]
pub struct Lockstep<D> {
    server: Server<D>,
    /// None before the first message of a connection.
    connections: Option<Connections>,
    replies: [Box<[u8]>; 2],
    opened: usize,
}

impl<D: Delivery> Lockstep<D> {
    /// Both with the same offer. Replies of ours leave by `delivery`.
    ///
    /// # Panics
    /// When the offer is not possible.
    #[must_use]
    pub fn new(delivery: D) -> Self {
        let server = Server::new(offer::ours(), &offer::config(), delivery);
        let buffer = || vec![0; REPLY_LIMIT].into_boxed_slice();
        Self {
            server: server.expect("the offer is possible"),
            connections: None,
            replies: [buffer(), buffer()],
            opened: 0,
        }
    }

    /// Ends the connections of both; the next message opens new ones.
    pub fn restart(&mut self) {
        self.connections = None;
        self.server.reset();
    }

    /// How many connections were opened so far.
    #[must_use]
    pub fn opened(&self) -> usize {
        self.opened
    }

    /// Gives one whole message to both, and compares what they did: the reply, its descriptors,
    /// whether the connection goes on, and what the device was told. Says whether both took the
    /// message, without a refusal.
    ///
    /// # Panics
    /// When they differ and no row of [`divergences::ALLOWED`] allows it.
    pub fn exchange(&mut self, message: &[u8], fds: &[BorrowedFd<'_>]) -> bool {
        let known = self.connect(message, fds).known;
        let (ours, peer) = self.serve();
        let asked = Asked { known, bytes: message, fds: fds.len() };
        let code = asked.code();
        let (our_did, peer_did) = (did(&asked, &ours), did(&asked, &peer));
        let differ = our_did != peer_did || !is_same(code, &ours, &peer);
        if differ && divergences::find(&asked, our_did, peer_did).is_none() {
            panic!(
                "differential: {:?} {message:02x?} with {} descriptors, after {known:x?}:\n  \
                 ours {ours:?}\n  peer {peer:?}",
                FrontendRequest(code),
                fds.len(),
            );
        }
        if divergences::restarts(&asked, our_did, peer_did, differ) {
            self.restart();
        } else {
            self.learn(code, peer_did);
        }
        !differ && !matches!(our_did, Did::Close | Did::Nack)
    }

    /// Gives the front of a message to both and ends the stream: neither may answer or go on
    /// (HZ-05, HZ-06).
    ///
    /// # Panics
    /// When one does.
    pub fn cut_off(&mut self, front: &[u8], fds: &[BorrowedFd<'_>]) {
        let connections = self.connect(front, fds);
        for socket in [&connections.ours, &connections.theirs] {
            socket.shutdown(Shutdown::Write).expect("the socket is open");
        }
        let (ours, peer) = self.serve();
        for seen in [&ours, &peer] {
            assert!(
                seen.reply.is_empty() && !seen.is_open,
                "differential: {front:02x?}, then the end: ours {ours:?}, peer {peer:?}"
            );
        }
        self.restart();
    }

    /// Sends bytes to both.
    fn connect(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> &Connections {
        let connections = self.connections.get_or_insert_with(|| {
            self.opened += 1;
            Connections::open()
        });
        for socket in [&connections.ours, &connections.theirs] {
            send(socket.as_fd(), bytes, fds).expect("the other end is open and has room");
        }
        connections
    }

    /// Lets both handle what is in their sockets, and reads what they sent.
    fn serve(&mut self) -> (Seen<'_>, Seen<'_>) {
        let Self { server, connections, replies: [one, other], .. } = self;
        let Connections { ours, back_end, theirs, peer, .. } =
            connections.as_mut().expect("bytes were sent");
        let served = server.serve_one(back_end.as_fd());
        let is_open = matches!(served, Ok(Served::Silent | Served::Replied(_)));
        let reply = read(ours.as_fd(), one);
        let faithful = !matches!(served, Err(ServeError::Send(_)));
        assert!(faithful, "differential: a reply was not sent: {served:?}");
        let ours = Seen { reply: &one[..reply.0], fds: reply.1, is_open };
        let verdict = peer.serve_one();
        let (len, fds) = read(theirs.as_fd(), other);
        let reply = &other[..len];
        // The peer leaves it to its caller whether a refusal ends the connection. This caller
        // goes on when the front-end was told (VU-025).
        let is_open = match verdict {
            Verdict::Done => true,
            Verdict::Failed => is_nack(reply),
            Verdict::Panicked => false,
        };
        (ours, Seen { reply, fds, is_open })
    }

    /// Compares what the two devices were told, and keeps what later messages depend on.
    fn learn(&mut self, code: u32, did: Did) {
        let Self { server, connections, .. } = self;
        let Some(Connections { peer, known, .. }) = connections else { return };
        known.asked_features |= code == FrontendRequest::GET_FEATURES.0 && did == Did::Answer;
        peer.with_device(|device| {
            known.features = device.features();
            known.protocol = device.protocol();
            compare(server, device, code);
        });
    }
}

/// What the front-end calls it.
fn did(asked: &Asked<'_>, seen: &Seen<'_>) -> Did {
    match (seen.reply, seen.is_open) {
        ([], true) => Did::Nothing,
        (_, false) => Did::Close,
        (_, true) if asked.has_own_reply() => Did::Answer,
        (reply, true) if is_nack(reply) => Did::Nack,
        (_, true) => Did::Ack,
    }
}

/// Whether a reply is a u64 that is not zero, as VU-033 asks for.
fn is_nack(reply: &[u8]) -> bool {
    reply.len() == 20 && reply[12..].iter().any(|byte| *byte != 0)
}

fn is_same(code: u32, ours: &Seen<'_>, peer: &Seen<'_>) -> bool {
    // The tail padding of P-INFLIGHT means nothing.
    let meant = |reply: &'_ [u8]| match FrontendRequest(code) {
        FrontendRequest::GET_INFLIGHT_FD => reply.len().min(32),
        _ => reply.len(),
    };
    ours.reply.len() == peer.reply.len()
        && ours.reply[..meant(ours.reply)] == peer.reply[..meant(peer.reply)]
        && ours.fds == peer.fds
        && ours.is_open == peer.is_open
}

/// Everything that came back so far, and how many descriptors.
fn read(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> (usize, usize) {
    let (mut len, mut fds) = (0, 0);
    while len < buffer.len() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let pieces = &mut [IoSliceMut::new(&mut buffer[len..])];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        match recvmsg(socket, pieces, &mut control, flags) {
            Ok(received) if received.bytes > 0 => len += received.bytes,
            Ok(_) | Err(_) => break,
        }
        fds += control
            .drain()
            .map(|message| match message {
                RecvAncillaryMessage::ScmRights(fds) => fds.count(),
                _ => 0,
            })
            .sum::<usize>();
    }
    (len, fds)
}

/// The two devices were told the same.
fn compare<D>(server: &Server<D>, device: &Device, code: u32)
where
    D: Delivery,
{
    let session = server.session();
    for (index, (ring, told)) in session.rings().iter().zip(device.rings()).enumerate() {
        let addr = ring.addr().map(|addr| [addr.descriptor, addr.used, addr.available, addr.log]);
        let state = ring.state();
        let ours = super::Ring {
            size: ring.size(),
            base: ring.base(),
            addr,
            started: state.started,
            enabled: state.enabled,
        };
        assert_eq!(
            ours,
            *told,
            "differential: ring {index} after {:?}, ours on the left",
            FrontendRequest(code)
        );
    }
    let regions = session.memory().slots().iter().map(|slot| super::Region {
        guest: slot.region.guest_address,
        size: slot.region.size,
        user: slot.region.user_address,
        offset: slot.region.mmap_offset,
    });
    assert!(
        regions.eq(device.regions().iter().copied()),
        "differential: memory after {:?}: ours {:x?}, peer {:x?}",
        FrontendRequest(code),
        session.memory().slots(),
        device.regions()
    );
}

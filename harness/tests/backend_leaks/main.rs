//! A front-end dies after any message, and in the middle of any: nothing of it is left, and the
//! next one is served (HZ-102). It is a test program of its own, because it counts what the
//! process holds.

#[path = "../backend/client.rs"]
#[expect(dead_code, reason = "it serves other tests, too")]
mod client;
#[path = "../backend/device.rs"]
mod device;
#[path = "../backend/guest.rs"]
#[expect(dead_code, reason = "it serves other tests, too")]
mod guest;

use std::cell::RefCell;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vhost_fuzz_backend::connection::{Connection, End, ServeError};
use vhost_fuzz_backend::socket::{ReceiveError, Receiver, send};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::LogBase;
use vhost_fuzz_core::vhost_user::{
    DEFAULT_PAYLOAD_LIMIT, FrameError, FrontendRequest as R, HEADER_LEN, Kind, Payload,
};
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_world::driver::{Driver as _, Format};
use vhost_fuzz_world::ram::{GuestRam as _, Layout};

use client::{Client, base, event, serve, serve_next, signal, wait};
use device::{FEATURES, Inverter, PROTOCOL};
use guest::{Guest, SIZE};

/// Requests that are available from the start.
const REQUESTS: usize = 7;

/// Descriptors, mappings and threads of this process.
fn held() -> [usize; 3] {
    let entries = |path| std::fs::read_dir(path).unwrap().count();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let files = maps.lines().filter(|line| line.contains("memfd:")).count();
    [entries("/proc/self/fd"), files, entries("/proc/self/task")]
}

/// A message as it went over the socket.
struct Sent {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
    has_reply: bool,
}

impl Sent {
    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.fds.iter().map(|fd| fd.as_fd()).collect()
    }
}

/// A session that can be played again: what was sent, and the memory that it began with.
struct Recording {
    sent: Vec<Sent>,
    guest: Guest,
    pages: Vec<(u64, Vec<u8>)>,
    area: OwnedFd,
    kick: OwnedFd,
}

impl Recording {
    /// Plays a session with everything in it: features, a back-end channel, an in-flight area,
    /// memory, a log, a ring that runs, is logged, is stopped and runs again.
    fn new(format: Format) -> Self {
        let mut guest = Guest::new(format, Layout::Small);
        let begin = base(&guest);
        for seed in 0..REQUESTS {
            assert!(guest.send(seed as u64));
        }
        let pages: Vec<_> = guest.pages().into_iter().collect();
        let (stream, server) = serve(Inverter::default());
        let mut client = Client::new(stream);
        let sent = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&sent);
        client.watcher = Some(Box::new(move |bytes, fds, has_reply| {
            let fds = fds.iter().map(|fd| fd.try_clone_to_owned().unwrap()).collect();
            seen.borrow_mut().push(Sent { bytes: bytes.to_vec(), fds, has_reply });
        }));
        let protocol = PROTOCOL & !protocol::INBAND_NOTIFICATIONS;
        client.negotiate(format, FEATURES & !virtio::LOG_ALL, protocol);
        let (channel, theirs) = UnixStream::pair().unwrap();
        client.tell(R::SET_BACKEND_REQ_FD, Payload::None, &[theirs.as_fd()]);
        let area = client.get_inflight(SIZE);
        client.set_inflight(&area);
        client.set_memory(&guest);
        let log = memfd_create(c"log", MemfdFlags::CLOEXEC).unwrap();
        let size = 4096;
        ftruncate(&log, size).unwrap();
        let described = Payload::Log(LogBase { size, offset: 0 });
        client.tell(R::SET_LOG_BASE, described, &[log.as_fd()]);
        let [kick, call, error] = [(); 3].map(|()| event());
        client.vring_fd(R::SET_VRING_CALL, 0, Some(&call));
        client.vring_fd(R::SET_VRING_ERR, 0, Some(&error));
        client.set_ring(&guest, 0, begin, Some(&kick));
        let features = client.frontend.negotiated().virtio.unwrap();
        client.tell(R::SET_FEATURES, Payload::U64(features | virtio::LOG_ALL), &[]);
        let used = guest.driver.setup().used;
        client.tell(R::SET_VRING_ADDR, Payload::Addr(guest.addresses(0, Some(used))), &[]);
        let reached = client.stop(R::GET_VRING_BASE);
        client.set_memory(&guest);
        client.set_ring(&guest, 0, reached, Some(&kick));
        wait(|| {
            guest.reap();
            guest.is_done()
        });
        drop((client, channel));
        assert_eq!(server.join().unwrap().1, Ok(End::Closed));
        Self { sent: sent.take(), guest, pages, area: area.1, kick }
    }

    /// Memory and area are as at the beginning of the session.
    fn rewind(&self) {
        for (page, bytes) in &self.pages {
            self.guest.ram.put(page * 4096, bytes);
        }
        let len = rustix::fs::fstat(&self.area).unwrap().st_size;
        ftruncate(&self.area, 0).unwrap();
        ftruncate(&self.area, len.try_into().unwrap()).unwrap();
    }

    /// Sends the first messages, and `cut` bytes of the one after them.
    fn play(&self, stream: &UnixStream, count: usize, cut: usize, is_polite: bool) {
        let mut receiver = Receiver::new(Kind::BACKEND_REPLY, DEFAULT_PAYLOAD_LIMIT);
        for sent in &self.sent[..count] {
            send(stream.as_fd(), &sent.bytes, &sent.fds()).unwrap();
            if sent.has_reply && is_polite {
                receiver.receive(stream.as_fd()).unwrap().expect("a reply");
            }
        }
        if cut > 0 {
            let next = &self.sent[count];
            send(stream.as_fd(), &next.bytes[..cut], &next.fds()).unwrap();
        }
    }
}

/// What is cut off says where.
fn ending(bytes: &[u8], cut: usize) -> Result<End, ServeError> {
    let frame = |error| Err(ServeError::Receive(ReceiveError::Frame(error)));
    match cut {
        0 => Ok(End::Closed),
        1..HEADER_LEN => frame(FrameError::EofInHeader { have: cut }),
        _ => frame(FrameError::EofInPayload {
            have: cut - HEADER_LEN,
            need: bytes.len() - HEADER_LEN,
        }),
    }
}

fn dies_anywhere(format: Format) {
    let recording = Recording::new(format);
    let mut connection = Connection::new(Inverter::default()).unwrap();
    let before = held();
    for (count, sent) in recording.sent.iter().enumerate() {
        let len = sent.bytes.len();
        // In the header, behind it, and in the payload; not behind the end.
        let mut cuts = vec![0, 5, HEADER_LEN, HEADER_LEN + (len - HEADER_LEN) / 2];
        cuts.retain(|cut| *cut < len);
        cuts.dedup();
        for (cut, is_polite) in cuts.iter().flat_map(|cut| [(*cut, true), (*cut, false)]) {
            recording.rewind();
            let (stream, server) = serve_next(connection);
            recording.play(&stream, count, cut, is_polite);
            signal(&recording.kick);
            drop(stream);
            let (served, end) = server.join().unwrap();
            connection = served;
            let place = format!("{format:?}: {cut} bytes of message {count}");
            // A thread that was joined is listed for a moment more.
            let end_of_patience = Instant::now() + Duration::from_secs(10);
            while held() != before && Instant::now() < end_of_patience {
                std::thread::yield_now();
            }
            assert_eq!(held(), before, "descriptors, mappings, threads: {place}");
            if is_polite {
                assert_eq!(end, ending(&sent.bytes, cut), "{place}");
            } else {
                // Replies that nobody reads: whoever closes a socket with them resets it.
                assert!(!matches!(end, Ok(End::Refused(_) | End::MemoryLost | End::Stopped)));
            }
        }
    }
    is_as_new(&recording, connection);
}

/// After all of that, the whole session is served as it was the first time.
fn is_as_new(recording: &Recording, connection: Connection<Inverter>) {
    recording.rewind();
    let taken = connection.device().taken.len();
    let (stream, server) = serve_next(connection);
    recording.play(&stream, recording.sent.len(), 0, true);
    drop(stream);
    let (connection, end) = server.join().unwrap();
    assert_eq!(end, Ok(End::Closed));
    let numbers: Vec<_> = (0..).take(REQUESTS).collect();
    assert_eq!(connection.device().taken[taken..], numbers);
}

#[test]
fn a_front_end_that_dies_anywhere_leaves_nothing_behind() {
    let _shows = shows(&["VU-019", "VU-058"]);
    for format in [Format::Split, Format::Packed] {
        dies_anywhere(format);
    }
}

//! What the specification demands of a socket, shown on real ones.

use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, fstat, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use vhost_fuzz_core::session::{Offer, Reply};
use vhost_fuzz_core::vhost_user::{FrameError, Kind, MAX_FDS};
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::socket::{
    AsItIs, Delivery, Head, ReceiveError, Receiver, ServeError, Served, Server, send,
};

const LIMIT: u32 = 4096;

fn offer() -> Offer {
    Offer {
        device: 1,
        features: 1 << 30 | 1 << 32,
        protocol_features: 1 << 3 | 1 << 9 | 1 << 12,
        queues: 2,
        queue_num: 2,
        max_queue_size: 256,
        max_mem_slots: 8,
        config_len: 8,
        config_limit: 256,
        config_writable: std::iter::once(0..8).collect(),
        page_size: 4096,
        shmem: None,
    }
}

fn server() -> Server {
    Server::new(offer(), &[1, 2, 3, 4, 5, 6, 7, 8], AsItIs).expect("a possible offer")
}

fn message(code: u32, flags: u32, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("a short message");
    [code, flags, size]
        .into_iter()
        .flat_map(u32::to_ne_bytes)
        .chain(payload.iter().copied())
        .collect()
}

fn number(value: u64) -> [u8; 8] {
    value.to_ne_bytes()
}

/// What one `recvmsg` takes out of a socket.
fn receive(socket: BorrowedFd<'_>, limit: usize) -> (Vec<u8>, Vec<OwnedFd>) {
    let mut bytes = vec![0; limit];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let pieces = &mut [IoSliceMut::new(&mut bytes)];
    let received = recvmsg(socket, pieces, &mut control, RecvFlags::DONTWAIT).expect("bytes");
    let fds = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    bytes.truncate(received.bytes);
    (bytes, fds)
}

/// Inode of an open file: two descriptors of one file have the same.
fn inode(fd: BorrowedFd<'_>) -> u64 {
    fstat(fd).expect("an open file").st_ino
}

fn memfd(size: u64) -> OwnedFd {
    let fd = memfd_create(c"test", MemfdFlags::CLOEXEC).expect("a memfd");
    ftruncate(&fd, size).expect("a size");
    fd
}

#[test]
fn descriptors_travel_over_a_unix_socket_with_their_message() {
    let _shows = shows(&["VU-014", "VU-017", "VU-031"]);
    let (front, back) = UnixStream::pair().expect("a socket pair");
    let files: Vec<_> = (0..3).map(|size| memfd(size * 4096)).collect();
    // A message without, one with two, one with one; all are there before the first is read.
    send(front.as_fd(), &message(1, 1, &[]), &[]).expect("sent");
    let borrowed: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    send(front.as_fd(), &message(5, 1, &[9; 72]), &borrowed[..2]).expect("sent");
    send(front.as_fd(), &message(12, 1, &number(0)), &borrowed[2..]).expect("sent");
    let mut receiver = Receiver::new(Kind::FRONTEND_REQUEST, LIMIT);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let frame = receiver.receive(back.as_fd()).expect("a stream").expect("a message");
        let inodes: Vec<_> = frame.fds.iter().map(|fd| inode(fd.as_fd())).collect();
        seen.push((frame.bytes.to_vec(), inodes));
    }
    let inodes: Vec<_> = borrowed.iter().map(|fd| inode(*fd)).collect();
    assert_eq!(
        seen,
        [
            (message(1, 1, &[]), vec![]),
            (message(5, 1, &[9; 72]), inodes[..2].to_vec()),
            (message(12, 1, &number(0)), inodes[2..].to_vec()),
        ]
    );
    drop(front);
    assert!(receiver.receive(back.as_fd()).expect("a clean end").is_none());
}

#[test]
fn any_split_of_the_writes_gives_the_same_messages() {
    let _shows = shows(&["VU-013"]);
    let requests = [message(3, 9, &[]), message(8, 1, &[7; 8]), message(9, 1, &[0; 40])];
    let stream = requests.concat();
    for size in [1, 2, 3, 11, 12, 13, 19, stream.len()] {
        let (mut front, back) = UnixStream::pair().expect("a socket pair");
        back.set_nonblocking(true).expect("a socket");
        let mut receiver = Receiver::new(Kind::FRONTEND_REQUEST, LIMIT);
        let mut seen = Vec::new();
        for piece in stream.chunks(size) {
            front.write_all(piece).expect("written");
            loop {
                match receiver.receive(back.as_fd()) {
                    Ok(frame) => seen.push(frame.expect("no end yet").bytes.to_vec()),
                    Err(ReceiveError::System(Errno::AGAIN)) => break,
                    Err(error) => panic!("pieces of {size}: {error}"),
                }
            }
        }
        assert_eq!(seen, requests, "pieces of {size}");
    }
}

#[test]
fn an_end_inside_a_message_is_told_from_one_between_two() {
    for cut in 1..20 {
        let (mut front, back) = UnixStream::pair().expect("a socket pair");
        front.write_all(&message(2, 1, &number(0))[..cut]).expect("written");
        drop(front);
        let mut receiver = Receiver::new(Kind::FRONTEND_REQUEST, LIMIT);
        let error = receiver.receive(back.as_fd()).expect_err("no whole message");
        let expected = match cut.checked_sub(12) {
            None => FrameError::EofInHeader { have: cut },
            Some(have) => FrameError::EofInPayload { have, need: 8 },
        };
        assert_eq!(error, ReceiveError::Frame(expected));
        let again = receiver.receive(back.as_fd()).expect_err("still the same");
        assert_eq!(again, error);
    }
}

#[test]
fn late_and_too_many_descriptors_end_the_stream_and_are_closed() {
    let _shows = shows(&["VU-019", "DC-070"]);
    let (pipe_reader, pipe_writer) = rustix::pipe::pipe().expect("a pipe");
    let header = message(12, 1, &number(0));
    let cases = [
        (vec![&header[..]], MAX_FDS + 1, FrameError::TooManyFds { fds: 9, limit: MAX_FDS }),
        (vec![&header[..]], 2 * MAX_FDS, FrameError::ControlTruncated),
        (vec![&header[..12], &header[12..]], 1, FrameError::LateFds { offset: 12, fds: 1 }),
    ];
    for (pieces, count, expected) in cases {
        let (front, back) = UnixStream::pair().expect("a socket pair");
        for (at, piece) in pieces.iter().enumerate() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let fds = vec![pipe_writer.as_fd(); count];
            if at + 1 == pieces.len() {
                assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
            }
            let sent = sendmsg(&front, &[IoSlice::new(piece)], &mut control, SendFlags::NOSIGNAL);
            assert_eq!(sent, Ok(piece.len()));
        }
        let mut receiver = Receiver::new(Kind::FRONTEND_REQUEST, LIMIT);
        let error = receiver.receive(back.as_fd()).expect_err("refused");
        assert_eq!(error, ReceiveError::Frame(expected));
    }
    // The reader sees the end only when every copy of the writer is closed.
    drop(pipe_writer);
    let mut end = Vec::new();
    std::fs::File::from(pipe_reader).read_to_end(&mut end).expect("the end");
    assert_eq!(end, []);
}

/// Sends replies over a socket that keeps what one call sent apart from the next.
#[derive(Debug)]
struct OnRecords(OwnedFd);

impl Delivery for OnRecords {
    fn deliver(
        &mut self,
        _: BorrowedFd<'_>,
        request: Head,
        reply: Option<Reply<'_, OwnedFd>>,
    ) -> Result<(), Errno> {
        AsItIs.deliver(self.0.as_fd(), request, reply)
    }
}

#[test]
fn a_reply_leaves_whole_and_in_one_call() {
    let _shows = shows(&["VU-261", "VU-179"]);
    let (front, back) = UnixStream::pair().expect("a socket pair");
    let (replies, sink) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .expect("a socket pair");
    let config = [1, 2, 3, 4, 5, 6, 7, 8];
    let mut server = Server::new(offer(), &config, OnRecords(sink)).expect("a possible offer");
    let window = [&[0; 4][..], &244_u32.to_ne_bytes(), &[0; 248]].concat();
    let area = [&[0; 16][..], &[2, 0, 128, 0], &[0; 4]].concat();
    let requests = [
        (message(16, 1, &number(1 << 3 | 1 << 9 | 1 << 12)), None),
        (message(1, 1, &[]), Some((20, 0))),
        (message(24, 1, &window), Some((12 + 256, 0))),
        (message(31, 1, &area), Some((12 + 24, 1))),
        (message(3, 9, &[]), Some((20, 0))),
    ];
    for (request, expected) in requests {
        send(front.as_fd(), &request, &[]).expect("sent");
        let Some(expected) = expected else {
            assert_eq!(server.serve_one(back.as_fd()), Ok(Served::Silent));
            continue;
        };
        assert_eq!(server.serve_one(back.as_fd()), Ok(Served::Replied(None)));
        // One record is what one call sent.
        let (reply, fds) = receive(replies.as_fd(), 8192);
        assert_eq!((reply.len(), fds.len()), expected);
        let size = u32::from_ne_bytes(*reply[8..].first_chunk().expect("a header"));
        assert_eq!(reply.len(), 12 + size as usize);
    }
}

#[test]
fn a_full_socket_takes_the_rest_later_and_the_descriptors_once() {
    let (front, back) = UnixStream::pair().expect("a socket pair");
    rustix::net::sockopt::set_socket_send_buffer_size(&front, 4096).expect("a small buffer");
    let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let file = memfd(1);
    let reader = std::thread::spawn(move || {
        let (mut seen, mut fds) = (Vec::new(), 0);
        while seen.len() < 1 << 20 {
            rustix::event::poll(
                &mut [rustix::event::PollFd::new(&back, rustix::event::PollFlags::IN)],
                None,
            )
            .expect("bytes come");
            let (piece, came) = receive(back.as_fd(), 5000);
            seen.extend(piece);
            fds += came.len();
        }
        (seen, fds)
    });
    send(front.as_fd(), &bytes, &[file.as_fd()]).expect("sent");
    let (seen, fds) = reader.join().expect("read");
    assert!(seen == bytes && fds == 1, "{} bytes, {fds} descriptors", seen.len());
    let many = vec![file.as_fd(); MAX_FDS + 1];
    assert_eq!(send(front.as_fd(), &bytes[..1], &many), Err(Errno::INVAL));
    drop(front);
}

#[test]
fn replies_come_in_the_order_of_their_requests() {
    let _shows = shows(&["VU-010"]);
    let (front, back) = UnixStream::pair().expect("a socket pair");
    let requests = [
        message(1, 9, &[]),
        message(3, 1, &[]),
        message(15, 1, &[]),
        message(17, 9, &[]),
        message(1, 1, &[]),
    ];
    // All are there before the first is answered.
    send(front.as_fd(), &requests.concat(), &[]).expect("sent");
    let mut server = server();
    let served: Vec<_> = requests.iter().map(|_| server.serve_one(back.as_fd())).collect();
    let replied = Ok(Served::Replied(None));
    assert_eq!(served, [replied, Ok(Served::Silent), replied, replied, replied]);
    let replies = [
        message(1, 5, &number(1 << 30 | 1 << 32)),
        message(15, 5, &number(1 << 3 | 1 << 9 | 1 << 12)),
        message(17, 5, &number(2)),
        message(1, 5, &number(1 << 30 | 1 << 32)),
    ];
    assert_eq!(receive(front.as_fd(), 8192).0, replies.concat());
    drop(front);
    assert_eq!(server.serve_one(back.as_fd()), Ok(Served::Ended));
}

/// VU-016: the session does not care who listened and who connected.
#[test]
fn either_side_listens() {
    let _shows = shows(&["VU-016"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a listener");
    let connected = UnixStream::connect(&path).expect("a connection");
    let (accepted, _) = listener.accept().expect("a connection");
    for (front, back) in [(&connected, &accepted), (&accepted, &connected)] {
        send(front.as_fd(), &message(1, 1, &[]), &[]).expect("sent");
        assert_eq!(server().serve_one(back.as_fd()), Ok(Served::Replied(None)));
        let reply = message(1, 5, &number(1 << 30 | 1 << 32));
        assert_eq!(receive(front.as_fd(), 64).0, reply);
    }
}

#[test]
fn a_notification_is_an_8_byte_write() {
    let _shows = shows(&["VU-015", "VU-074", "VU-103", "VU-104"]);
    let (front, back) = UnixStream::pair().expect("a socket pair");
    let mut server = server();
    let mut ask = |bytes: &[u8], fds: &[BorrowedFd<'_>]| {
        send(front.as_fd(), bytes, fds).expect("sent");
        assert_eq!(server.serve_one(back.as_fd()), Ok(Served::Silent));
    };
    let new = || eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).expect("an eventfd");
    let (first, second, kick) = (new(), new(), new());
    ask(&message(13, 1, &number(0)), &[first.as_fd()]);
    ask(&message(13, 1, &number(0)), &[second.as_fd()]);
    assert_eq!(server.call(0), Ok(false), "a stopped ring is silent");
    let mut ask = |bytes: &[u8], fds: &[BorrowedFd<'_>]| {
        send(front.as_fd(), bytes, fds).expect("sent");
        assert_eq!(server.serve_one(back.as_fd()), Ok(Served::Silent));
    };
    ask(&message(12, 1, &number(0)), &[kick.as_fd()]);
    assert_eq!(server.call(0), Ok(true));
    assert_eq!(server.call(0), Ok(true));
    let mut count = [0; 8];
    assert_eq!(rustix::io::read(&second, &mut count), Ok(8), "eight bytes");
    assert_eq!(u64::from_ne_bytes(count), 2, "the counter has both");
    assert_eq!(rustix::io::read(&first, &mut count), Err(Errno::AGAIN), "it was replaced");
    // A pipe takes the same eight bytes.
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    send(front.as_fd(), &message(13, 1, &number(0)), &[writer.as_fd()]).expect("sent");
    assert_eq!(server.serve_one(back.as_fd()), Ok(Served::Silent));
    assert_eq!(server.call(0), Ok(true));
    assert_eq!(rustix::io::read(&reader, &mut [0; 64]), Ok(8));
    // Bit 8 mutes it.
    send(front.as_fd(), &message(13, 1, &number(0x100)), &[]).expect("sent");
    assert_eq!(server.serve_one(back.as_fd()), Ok(Served::Silent));
    assert_eq!(server.call(0), Ok(false));
    assert_eq!(server.call(7), Ok(false), "there is no such ring");
}

#[test]
fn a_front_end_that_is_gone_is_an_error_and_no_signal() {
    let (front, back) = UnixStream::pair().expect("a socket pair");
    send(front.as_fd(), &message(1, 1, &[]), &[]).expect("sent");
    drop(front);
    let mut server = server();
    assert_eq!(server.serve_one(back.as_fd()), Err(ServeError::Send(Errno::PIPE)));
}

#[test]
fn a_message_allocates_nothing() {
    let (front, back) = UnixStream::pair().expect("a socket pair");
    let mut server = server();
    let fd = eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd");
    let requests = [
        (message(1, 1, &[]), false),
        (message(2, 1, &number(1 << 30)), false),
        (message(16, 1, &number(8)), false),
        (message(9, 9, &[0; 40]), false),
        (message(13, 9, &number(0)), true),
    ];
    let mut replies = [0; 64];
    let mut run = |times: usize| {
        for _ in 0..times {
            for (bytes, has_fd) in &requests {
                let fds = [fd.as_fd()];
                let fds = if *has_fd { &fds[..] } else { &[] };
                send(front.as_fd(), bytes, fds).expect("sent");
                let served = server.serve_one(back.as_fd());
                if matches!(served, Ok(Served::Replied(None))) {
                    assert_eq!((&front).read(&mut replies).expect("a reply"), 20);
                } else {
                    assert_eq!(served, Ok(Served::Silent));
                }
            }
        }
    };
    run(1);
    let made = allocation_counter::measure(|| run(100));
    assert_eq!(made.count_total, 0);
}

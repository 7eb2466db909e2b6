//! Relays between sockets, without QEMU.

use std::io::{IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use vhost_fuzz_backend::event::signal;
use vhost_fuzz_backend::socket::{Receiver, send};
use vhost_fuzz_core::vhost_user::Kind;
use vhost_fuzz_harness::guest::{GATEWAY_IP, TestBackend, VhostTestClient, packet, parse};
use vhost_fuzz_harness::script;
use vhost_fuzz_harness::session::back_end::Core;
use vhost_fuzz_harness::target::{msg_stream, session};

use super::relay::{self, Handle};
use super::tape::Tape;
use super::{Faults, Listens, is_listening};

const SOON: Duration = Duration::from_secs(10);
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

/// Waits for something that has to come.
fn until(what: &str, mut is_there: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_there() {
        assert!(begin.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A relay to who listens at `to`, and where it listens.
fn relay_to(folder: &Path, to: &Path, faults: Faults, tape: Option<Tape>) -> (PathBuf, Handle) {
    let at = folder.join("relay");
    let to = to.to_owned();
    let handle = relay::start(at.clone(), to, Listens::Back, faults, tape).expect("a relay");
    until("the relay listens", || is_listening(&at));
    (at, handle)
}

/// Both ends of a connection that is relayed.
struct Ends {
    front: UnixStream,
    back: UnixStream,
    handle: Handle,
    _listener: UnixListener,
    folder: tempfile::TempDir,
}

fn ends(faults: Faults) -> Ends {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("back");
    let listener = UnixListener::bind(&path).expect("a listener");
    let (at, handle) = relay_to(folder.path(), &path, faults, None);
    let front = UnixStream::connect(at).expect("a connection");
    let (back, _) = listener.accept().expect("passed on");
    for stream in [&front, &back] {
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
    }
    Ends { front, back, handle, _listener: listener, folder }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// One frame to the gateway, and its answer in time.
fn ask(client: &mut VhostTestClient, limit: Duration) -> bool {
    client.send_packet(&packet::arp_request(MAC, IP, GATEWAY_IP)).expect("sent");
    match client.recv_packet(limit) {
        Ok(reply) => parse::is_arp_reply(&reply),
        Err(_) => false,
    }
}

#[test]
fn a_recorded_session_replays() {
    let backend = TestBackend::new(MAC, Some(IP)).expect("a back-end");
    let folder = tempfile::tempdir().expect("a folder");
    let tape = Tape::new(folder.path(), "basic.test", "net");
    let (at, handle) = relay_to(folder.path(), backend.path(), Faults::default(), Some(tape));
    for _ in 0..2 {
        let mut client = VhostTestClient::new(&at).expect("a client");
        assert!(ask(&mut client, SOON));
        client.stop().expect("stopped");
    }
    until("the back-end serves nobody", || UnixStream::connect(&at).is_ok());
    drop(handle);
    let read = |target: &str| {
        let path = folder.path().join(target).join("basic.test-net-1");
        std::fs::read(path).expect("a recording")
    };
    let bytes = read("session");
    session::run(&bytes);
    let outcome = session::check::<Core>(&bytes);
    assert_eq!(outcome.refusals, []);
    assert!(outcome.messages > 40, "{} messages", outcome.messages);
    let connections = script::records(&bytes).filter(|record| *record == script::Record::Reconnect);
    assert_eq!(connections.count(), 1, "two clients came");
    let bytes = read("msg_stream");
    msg_stream::run(&bytes);
    assert!(msg_stream::streams(&bytes).len() >= 2);
}

#[test]
fn a_client_is_refused_when_nobody_listens() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("back");
    let listener = UnixListener::bind(&path).expect("a listener");
    let (at, _handle) = relay_to(folder.path(), &path, Faults::default(), None);
    let mut front = UnixStream::connect(&at).expect("a connection");
    let (back, _) = listener.accept().expect("passed on");
    drop((listener, back));
    front.set_read_timeout(Some(SOON)).expect("a timeout");
    assert_eq!(front.read(&mut [0; 1]).expect("the end"), 0);
    until("the relay is refusing", || UnixStream::connect(&at).is_err());
    std::fs::remove_file(&path).expect("removed");
    let _listener = UnixListener::bind(&path).expect("another listener");
    until("the relay listens again", || UnixStream::connect(&at).is_ok());
}

#[test]
fn a_front_end_that_listens_is_connected_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let [front, back] = ["front", "back"].map(|name| folder.path().join(name));
    let tape = Tape::new(folder.path(), "net.test", "net");
    let handle =
        relay::start(back.clone(), front.clone(), Listens::Front, Faults::default(), Some(tape));
    assert!(UnixStream::connect(&back).is_err(), "nobody listens yet");
    let listener = UnixListener::bind(&front).expect("a listener");
    until("the relay listens", || is_listening(&back));
    let mut back = UnixStream::connect(&back).expect("a connection");
    let (mut front, _) = listener.accept().expect("passed on");
    front.write_all(&words(&[3, 1, 0])).expect("sent");
    let mut bytes = [0; 12];
    back.read_exact(&mut bytes).expect("received");
    assert_eq!(bytes.to_vec(), words(&[3, 1, 0]));
    drop((front, back, handle));
    let script = std::fs::read(folder.path().join("session/net.test-net-1")).expect("a recording");
    assert_eq!(session::check::<Core>(&script).messages, 1, "the front-end has sent it");
}

#[test]
fn descriptors_stay_with_their_bytes() {
    let Ends { front, back, handle: _handle, _listener, .. } = ends(Faults::default());
    let fds = vec![front.as_fd(); 253];
    // Two messages in one piece before one with descriptors, whose payload comes later.
    (&front).write_all(&words(&[3, 1, 0, 1, 1, 0])).expect("sent");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    let kick = words(&[12, 1, 8, 0, 0]);
    let flags = SendFlags::NOSIGNAL;
    sendmsg(&front, &[IoSlice::new(&kick[..5])], &mut control, flags).expect("sent");
    for byte in &kick[5..] {
        (&front).write_all(&[*byte]).expect("sent");
    }
    (&front).write_all(&words(&[3, 1, 0])).expect("sent");
    let mut lane = super::lane::Lane::default();
    let (mut bytes, mut at) = (Vec::new(), Vec::new());
    until("all of it comes", || {
        if let super::lane::Taken::Piece(piece) = lane.take(&back).expect("a connection") {
            if !piece.fds.is_empty() {
                at.push((bytes.len(), piece.fds.len()));
            }
            assert!(!piece.is_truncated);
            bytes.extend(piece.bytes);
        }
        bytes.len() == 12 + 12 + 20 + 12
    });
    assert_eq!(at, [(24, 253)]);
    assert_eq!(bytes[24..44], kick);
}

#[test]
fn one_direction_can_end_before_the_other() {
    let Ends { mut front, mut back, handle, _listener, .. } = ends(Faults::default());
    front.write_all(b"a few").expect("sent");
    front.shutdown(std::net::Shutdown::Write).expect("half of it is over");
    let mut text = String::new();
    back.read_to_string(&mut text).expect("the end");
    assert_eq!(text, "a few");
    back.write_all(b"bytes").expect("sent");
    drop(back);
    text.clear();
    front.read_to_string(&mut text).expect("the end");
    assert_eq!(text, "bytes");
    drop(handle);
}

#[test]
fn what_does_not_fit_waits() {
    let Ends { front, mut back, handle: _handle, _listener, .. } = ends(Faults::default());
    let message = [words(&[24, 1, 0x20_0000]), vec![7; 0x20_0000]].concat();
    let sent = message.clone();
    let thread = std::thread::spawn(move || (&front).write_all(&sent));
    std::thread::sleep(Duration::from_millis(50));
    let mut bytes = Vec::new();
    back.read_to_end(&mut bytes).expect("received");
    assert!(bytes == message, "{} bytes", bytes.len());
    thread.join().expect("a thread").expect("sent");
}

#[test]
fn the_back_end_channel_is_relayed_and_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("back");
    let listener = UnixListener::bind(&path).expect("a listener");
    let tape = Tape::new(folder.path(), "net.test", "net");
    let (at, handle) = relay_to(folder.path(), &path, Faults::default(), Some(tape));
    let front = UnixStream::connect(at).expect("a connection");
    let (back, _) = listener.accept().expect("passed on");
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    send(front.as_fd(), &words(&[3, 1, 0]), &[]).expect("sent");
    send(front.as_fd(), &words(&[21, 1, 0]), &[theirs.as_fd()]).expect("sent");
    drop(theirs);
    let mut receiver = Receiver::new(Kind::FRONTEND_REQUEST, 64);
    assert!(receiver.receive(back.as_fd()).expect("a message").is_some());
    let channel = {
        let frame = receiver.receive(back.as_fd()).expect("a message").expect("a message");
        let mut fds: Vec<_> = frame.fds.into_iter().collect();
        UnixStream::from(fds.pop().expect("a descriptor"))
    };
    (&channel).write_all(&words(&[2, 1, 0])).expect("sent");
    ours.set_read_timeout(Some(SOON)).expect("a timeout");
    let mut bytes = [0; 12];
    (&ours).read_exact(&mut bytes).expect("received");
    assert_eq!(bytes.to_vec(), words(&[2, 1, 0]));
    drop(ours);
    assert_eq!((&channel).read(&mut bytes).expect("the end"), 0);
    drop((front, back, handle));
    let script = std::fs::read(folder.path().join("session/net.test-net-1")).expect("a recording");
    let is_back_end = |record: &script::Record<'_>| {
        matches!(record, script::Record::Message { kind: Kind::BACKEND_REQUEST, .. })
    };
    assert_eq!(script::records(&script).filter(is_back_end).count(), 1);
}

#[test]
fn the_end_of_a_relay_is_the_end_of_its_connections() {
    let Ends { mut front, mut back, handle, folder, _listener } = ends(Faults::default());
    drop(handle);
    for stream in [&mut front, &mut back] {
        assert_eq!(stream.read(&mut [0; 1]).expect("the end"), 0);
    }
    assert!(UnixStream::connect(folder.path().join("relay")).is_err());
}

#[test]
fn every_fifth_call_of_a_ring_is_lost() {
    for (faults, heard) in [
        (Faults { loses_calls: true, ..Faults::default() }, 16),
        (Faults { denies_memory: true, ..Faults::default() }, 20),
    ] {
        let Ends { front, back, handle: _handle, _listener, .. } = ends(faults);
        let wanted =
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd");
        let mut receiver = Receiver::new(Kind::FRONTEND_REQUEST, 64);
        // A front-end sets it more than once; what was heard before counts.
        for _ in 0..2 {
            let request = words(&[13, 1, 8, 0, 0]);
            send(front.as_fd(), &request, &[wanted.as_fd()]).expect("sent");
            let frame = receiver.receive(back.as_fd()).expect("a message").expect("a message");
            let call = frame.fds.into_iter().next().expect("a descriptor");
            for _ in 0..10 {
                signal(&call).expect("called");
                if faults.loses_calls {
                    until("the call is heard", || !is_readable(&call));
                }
            }
        }
        let mut count = [0; 8];
        until("calls come", || rustix::io::read(&wanted, &mut count) == Ok(8));
        assert_eq!(u64::from_ne_bytes(count), heard, "{faults:?}");
    }
}

/// Whether there is something in an eventfd.
fn is_readable(event: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(event, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).expect("poll") > 0
}

#[test]
fn memory_is_denied_where_somebody_asks() {
    let Ends { front, back, handle: _handle, _listener, .. } =
        ends(Faults { denies_memory: true, ..Faults::default() });
    for (sent, expected) in [
        (&[5, 5, 8, 0, 0], &[5, 5, 8, 1, 0]),
        (&[1, 5, 8, 0, 0], &[1, 5, 8, 0, 0]),
        (&[37, 5, 8, 0, 0], &[37, 5, 8, 1, 0]),
    ] {
        let sent = words(sent);
        (&back).write_all(&sent[..7]).expect("sent");
        (&back).write_all(&sent[7..]).expect("sent");
        let mut bytes = [0; 20];
        (&front).read_exact(&mut bytes).expect("received");
        assert_eq!(bytes.to_vec(), words(expected));
    }
}

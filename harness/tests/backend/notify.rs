//! Kicks, calls and errors as messages.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use vhost_fuzz_backend::connection::End;
use vhost_fuzz_backend::socket::{Receiver, send};
use vhost_fuzz_core::frontend::{FrontendDone, FrontendEffect, FrontendReply, FrontendStep};
use vhost_fuzz_core::vhost_user::{DEFAULT_PAYLOAD_LIMIT, FrontendRequest as R, Kind, Payload};
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_world::driver::{Driver as _, Field, Format};
use vhost_fuzz_world::ram::{GuestRam as _, Layout};

use crate::client::{Client, base, event, is_signalled, serve, wait};
use crate::device::{FEATURES, Inverter, PROTOCOL};
use crate::guest::Guest;

/// A front-end with a back-end channel and a ring that has no descriptors.
struct Inband {
    client: Client,
    channel: UnixStream,
    receiver: Receiver,
    guest: Guest,
}

/// A message of the back-end that waits for its acknowledgement.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Call(u32),
    Error(u32),
}

impl Inband {
    fn new(stream: UnixStream, format: Format) -> Self {
        let guest = Guest::new(format, Layout::Small);
        let mut client = Client::new(stream);
        client.negotiate(format, FEATURES, PROTOCOL);
        let (channel, theirs) = UnixStream::pair().unwrap();
        client.tell(R::SET_BACKEND_REQ_FD, Payload::None, &[theirs.as_fd()]);
        drop(theirs);
        client.set_memory(&guest);
        client.set_ring(&guest, 0, base(&guest), None);
        let receiver = Receiver::new(Kind::BACKEND_REQUEST, DEFAULT_PAYLOAD_LIMIT);
        Self { client, channel, receiver: receiver.without_waiting(), guest }
    }

    fn kick(&mut self) {
        self.client.state(R::VRING_KICK, 0, 0);
    }

    /// What the back-end says, if it has said something.
    fn heard(&mut self) -> Option<Heard> {
        let frame = self.receiver.receive(self.channel.as_fd()).ok()?.expect("an open channel");
        let Client { frontend, objects, .. } = &mut self.client;
        match frontend.on_request(frame, objects) {
            FrontendStep::Need(FrontendEffect::Call { index }) => Some(Heard::Call(index)),
            FrontendStep::Need(FrontendEffect::RingError { index }) => Some(Heard::Error(index)),
            step => panic!("{step:?}"),
        }
    }

    /// Waits until the back-end says something.
    fn hears(&mut self) -> Heard {
        let mut heard = None;
        wait(|| {
            heard = self.heard();
            heard.is_some()
        });
        heard.expect("it was waited for")
    }

    /// Acknowledges what was heard.
    fn acknowledge(&mut self) {
        match self.client.frontend.on_done(Ok(FrontendDone::Nothing)) {
            FrontendStep::Reply(FrontendReply { bytes, fd: None, refusal: None }) => {
                send(self.channel.as_fd(), bytes, &[]).unwrap();
            }
            step => panic!("{step:?}"),
        }
    }

    /// The back-end has done all that it was told to, and says no more.
    fn is_silent(&mut self) -> bool {
        // The reply comes after what was done before it.
        self.client.number(R::GET_FEATURES);
        self.heard().is_none()
    }
}

fn answers(format: Format) {
    let (stream, server) = serve(Inverter::default());
    let mut inband = Inband::new(stream, format);
    for seed in 0..100 {
        assert!(inband.guest.send(seed));
        inband.kick();
        assert_eq!(inband.hears(), Heard::Call(0));
        inband.guest.reap();
        assert!(inband.guest.is_done(), "used before the call");
        inband.acknowledge();
    }
    assert!(inband.is_silent());
    assert_eq!(inband.client.stop(R::GET_VRING_BASE), base(&inband.guest));
    drop(inband);
    let (_, end) = server.join().unwrap();
    assert_eq!(end, Ok(End::Closed));
}

#[test]
fn kicks_and_calls_are_messages() {
    let _shows = shows(&["VU-206", "VU-219", "VU-220", "DC-154"]);
    answers(Format::Split);
    answers(Format::Packed);
}

#[test]
fn a_call_waits_for_the_acknowledgement_of_the_one_before() {
    let _shows = shows(&["DC-154"]);
    let (stream, _server) = serve(Inverter::default());
    let mut inband = Inband::new(stream, Format::Split);
    assert!(inband.guest.send(0));
    inband.kick();
    assert_eq!(inband.hears(), Heard::Call(0));
    for seed in 1..9 {
        inband.guest.reap();
        assert!(inband.guest.send(seed));
        inband.kick();
        wait(|| {
            inband.guest.reap();
            inband.guest.is_done()
        });
        assert!(inband.is_silent(), "nothing was acknowledged");
    }
    inband.acknowledge();
    assert_eq!(inband.hears(), Heard::Call(0), "one for all of them");
    inband.acknowledge();
    assert!(inband.is_silent());
}

#[test]
fn a_ring_that_breaks_is_told_of_by_a_message() {
    let _shows = shows(&["VU-220", "DC-154"]);
    let (stream, _server) = serve(Inverter::default());
    let mut inband = Inband::new(stream, Format::Split);
    let (address, _) = inband.guest.driver.locate(Field::AvailableIndex).unwrap();
    inband.guest.ram.put(address, &999_u16.to_le_bytes());
    inband.kick();
    assert_eq!(inband.hears(), Heard::Error(0));
    inband.acknowledge();
}

#[test]
fn descriptors_are_preferred() {
    let _shows = shows(&["VU-101", "VU-103", "VU-266", "DC-066"]);
    let (stream, _server) = serve(Inverter::default());
    let mut inband = Inband::new(stream, Format::Split);
    let (call, error) = (event(), event());
    inband.client.vring_fd(R::SET_VRING_CALL, 0, Some(&call));
    inband.client.vring_fd(R::SET_VRING_ERR, 0, Some(&error));
    assert!(inband.guest.send(0));
    inband.kick();
    wait(|| is_signalled(&call));
    let (address, _) = inband.guest.driver.locate(Field::AvailableIndex).unwrap();
    inband.guest.ram.put(address, &999_u16.to_le_bytes());
    inband.kick();
    wait(|| is_signalled(&error));
    assert!(inband.is_silent());
}

/// The ring is served on, though nobody is called any more. `spoil` may keep the channel.
fn goes_on(
    mut inband: Inband,
    spoil: impl FnOnce(UnixStream) -> Option<UnixStream>,
) -> Option<UnixStream> {
    let (spare, _other) = UnixStream::pair().unwrap();
    let channel = std::mem::replace(&mut inband.channel, spare);
    let kept = spoil(channel);
    for seed in 0..40 {
        assert!(inband.guest.send(seed));
        inband.kick();
        wait(|| {
            inband.guest.reap();
            inband.guest.is_done()
        });
    }
    kept
}

/// Whether the other end of a socket is closed; takes what is there.
fn is_ended(mut socket: &UnixStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    matches!(socket.read(&mut [0; 64]), Ok(0))
}

#[test]
fn without_its_channel_a_back_end_goes_on_silently() {
    let _shows = shows(&["VU-206", "DC-154"]);
    let fresh = || {
        let (stream, server) = serve(Inverter::default());
        (Inband::new(stream, Format::Packed), server)
    };
    let (inband, server) = fresh();
    goes_on(inband, |channel| {
        drop(channel);
        None
    });
    assert_eq!(server.join().unwrap().1, Ok(End::Closed));
    // A reply that nobody asked for, and a request where a reply belongs.
    for words in [[4, 0x5, 8, 0, 0], [1, 0x1, 8, 0, 0]] {
        let (inband, server) = fresh();
        let channel = goes_on(inband, |channel| {
            send(channel.as_fd(), words.map(u32::to_ne_bytes).as_flattened(), &[]).unwrap();
            wait(|| is_ended(&channel));
            Some(channel)
        });
        assert_eq!(server.join().unwrap().1, Ok(End::Closed));
        assert!(channel.is_some());
    }
    // Nobody reads and nobody answers.
    let (inband, server) = fresh();
    let channel = goes_on(inband, Some).unwrap();
    assert_eq!(server.join().unwrap().1, Ok(End::Closed));
    channel.set_nonblocking(true).unwrap();
    let mut bytes = [0; 64];
    assert_eq!((&channel).read(&mut bytes).ok(), Some(20), "one call, which nobody acknowledged");
}

//! A back-end dies anywhere between taking a request and showing its answer. The next one has the
//! same memory, ring and area: the driver gets each answer once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use vhost_fuzz_backend::connection::End;
use vhost_fuzz_core::vhost_user::FrontendRequest as R;
use vhost_fuzz_core::vhost_user::features::protocol;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_world::driver::Format;
use vhost_fuzz_world::ram::Layout;

use crate::client::{Client, base, event, is_signalled, serve, signal, wait};
use crate::device::{FEATURES, Inverter, PROTOCOL, offer};
use crate::guest::{Guest, SIZE};

const CHOSEN: u64 = PROTOCOL & !protocol::INBAND_NOTIFICATIONS;

/// Requests that are waiting when the first back-end begins.
const REQUESTS: usize = 5;

/// A back-end that stops after so many steps, and its successor. Says whether the first one did.
fn dies_after(format: Format, steps: usize) -> bool {
    let mut guest = Guest::new(format, Layout::Small);
    let begin = base(&guest);
    for seed in 0..REQUESTS {
        assert!(guest.send(seed as u64));
    }
    let device = Inverter { steps: Some(steps), ..Inverter::default() };
    let is_stopped = Arc::clone(&device.is_stopped);
    let (stream, server) = serve(device);
    let mut client = Client::new(stream);
    client.negotiate(format, FEATURES, CHOSEN);
    let area = client.get_inflight(SIZE);
    client.set_inflight(&area);
    client.set_memory(&guest);
    let kick = event();
    client.set_ring(&guest, 0, begin, Some(&kick));
    signal(&kick);
    wait(|| {
        guest.reap();
        is_stopped.load(Ordering::Acquire) || guest.is_done()
    });
    guest.reap();
    let was_stopped = !guest.is_done();
    drop(client);
    let (connection, end) = server.join().unwrap();
    assert_eq!(end, Ok(End::Closed));
    guest.reap();
    let returned = guest.answers.iter().filter(|count| **count > 0).count();
    let first = connection.device().taken.clone();
    drop(connection);

    let (stream, server) = serve(Inverter::default());
    let mut client = Client::new(stream);
    client.negotiate(format, FEATURES, CHOSEN);
    client.set_memory(&guest);
    client.set_inflight(&area);
    let (kick, call) = (event(), event());
    client.vring_fd(R::SET_VRING_CALL, 0, Some(&call));
    // Nobody could ask the first back-end where it was.
    client.set_ring(&guest, 0, begin, Some(&kick));
    for seed in 0..3 {
        assert!(guest.send(seed + 50));
    }
    signal(&kick);
    wait(|| {
        guest.reap();
        guest.is_done()
    });
    // The driver is called after it could see the last one.
    wait(|| is_signalled(&call));
    assert_eq!(client.stop(R::GET_VRING_BASE), base(&guest), "the ring is where the driver is");
    drop(client);
    let (connection, _) = server.join().unwrap();
    assert_eq!(guest.answers, [1; REQUESTS + 3], "after {steps} steps, {first:?} were taken");
    // What was taken and not returned, oldest first, and then what was new.
    let second = &connection.device().taken;
    assert!(second.is_sorted() && second.len() == REQUESTS + 3 - returned, "{second:?}");
    was_stopped
}

fn dies_anywhere(format: Format) {
    let mut steps = 0;
    while dies_after(format, steps) {
        steps += 1;
    }
    // Two rounds, of three requests and of two. Each request has two steps until it is taken and
    // one until it is answered; the first round has two more, and the second one to find that
    // there is no more, and, unless answers are shown at once, one to show them.
    let last = if format == Format::Split { 2 } else { 1 };
    assert_eq!(steps, 3 * REQUESTS + 2 + last);
}

#[test]
fn a_split_ring_is_taken_over() {
    let _shows = shows(&["VU-179", "VU-184", "VU-185", "VU-186", "VU-187", "DC-150"]);
    dies_anywhere(Format::Split);
}

#[test]
fn a_packed_ring_is_taken_over() {
    let _shows = shows(&["VU-179", "VU-187", "VU-188", "DC-150"]);
    dies_anywhere(Format::Packed);
}

/// A ring is stopped without waiting for what its device has taken, and runs again elsewhere.
fn stops_at_once(format: Format) {
    const SKIP_DRAIN: u64 = protocol::GET_VRING_BASE_SKIP_DRAIN | protocol::GET_VRING_BASE_INFLIGHT;
    let mut guest = Guest::new(format, Layout::Small);
    let begin = base(&guest);
    for seed in 0..REQUESTS {
        assert!(guest.send(seed as u64));
    }
    let offered = offer(FEATURES, PROTOCOL | SKIP_DRAIN);
    // It takes three and answers all of them.
    let device = Inverter { steps: Some(9), offer: Some(offered.clone()), ..Inverter::default() };
    let is_stopped = Arc::clone(&device.is_stopped);
    let (stream, server) = serve(device);
    let mut client = Client::new(stream);
    client.negotiate(format, FEATURES, CHOSEN | SKIP_DRAIN);
    let area = client.get_inflight(SIZE);
    client.set_inflight(&area);
    client.set_memory(&guest);
    let kick = event();
    client.set_ring(&guest, 0, begin, Some(&kick));
    wait(|| is_stopped.load(Ordering::Acquire));
    let reached = client.stop(R::GET_VRING_BASE_SKIP_DRAIN);
    drop(client);
    let (connection, _) = server.join().unwrap();
    assert_eq!(connection.device().taken, [0, 1, 2]);
    guest.reap();
    let returned: u8 = guest.answers.iter().sum();
    // A split ring shows nothing before all three are answered.
    assert_eq!(returned, if format == Format::Split { 0 } else { 3 });

    let (stream, server) = serve(Inverter { offer: Some(offered), ..Inverter::default() });
    let mut client = Client::new(stream);
    client.negotiate(format, FEATURES, CHOSEN | SKIP_DRAIN);
    client.set_memory(&guest);
    client.set_inflight(&area);
    client.set_ring(&guest, 0, reached, Some(&kick));
    wait(|| {
        guest.reap();
        guest.is_done()
    });
    assert_eq!(client.stop(R::GET_VRING_BASE_SKIP_DRAIN), base(&guest));
    drop(client);
    let (connection, _) = server.join().unwrap();
    assert_eq!(guest.answers, [1; REQUESTS]);
    let first = if format == Format::Split { 0 } else { 3 };
    assert!(connection.device().taken.iter().copied().eq(first..5));
}

#[test]
fn what_is_not_waited_for_stays_recorded() {
    let _shows = shows(&["VU-094", "VU-095", "DC-150"]);
    stops_at_once(Format::Split);
    stops_at_once(Format::Packed);
}

/// The answer to one request, with an area of so many entries for one ring.
fn with_area(queue_size: u16, index: u32) -> (Guest, bool) {
    let mut guest = Guest::new(Format::Split, Layout::Small);
    let begin = base(&guest);
    assert!(guest.send(1));
    let (stream, server) = serve(Inverter::default());
    let mut client = Client::new(stream);
    client.negotiate(Format::Split, FEATURES, CHOSEN);
    let area = client.get_inflight(queue_size);
    client.set_inflight(&area);
    client.set_memory(&guest);
    let (kick, call, error) = (event(), event(), event());
    client.vring_fd(R::SET_VRING_CALL, index, Some(&call));
    client.vring_fd(R::SET_VRING_ERR, index, Some(&error));
    client.set_ring(&guest, index, begin, Some(&kick));
    signal(&kick);
    let mut is_error = false;
    wait(|| {
        is_error = is_signalled(&error);
        is_error || is_signalled(&call)
    });
    guest.reap();
    drop(client);
    let (_, end) = server.join().unwrap();
    assert_eq!(end, Ok(End::Closed));
    (guest, is_error)
}

#[test]
fn a_ring_without_a_region_is_served_and_one_with_a_wrong_region_is_not() {
    let _shows = shows(&["DC-151"]);
    let (guest, is_error) = with_area(SIZE, 0);
    assert!(guest.is_done() && !is_error);
    let (guest, is_error) = with_area(SIZE, 1);
    assert!(guest.is_done() && !is_error, "the area is for ring 0 only");
    let (guest, is_error) = with_area(SIZE / 2, 0);
    assert!(!guest.is_done() && is_error, "a region of half the entries");
}

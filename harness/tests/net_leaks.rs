//! A network device whose front-ends reconnect a thousand times, and come 64 at once: nothing of
//! them is left. It is one test in a program of its own, because it counts what the process holds.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use vhost_fuzz_backend::connection::{End, ServeError};
use vhost_fuzz_harness::guest::{GATEWAY_IP, Options, TestBackend, VhostTestClient, packet, parse};
use vhost_fuzz_harness::soak::net::Held;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

/// A guest that is served.
fn is_served(backend: &TestBackend, packed: bool) {
    let options = Options { packed, ..Options::default() };
    let mut client = VhostTestClient::with(backend.path(), options).expect("a guest");
    client.send_packet(&packet::arp_request(MAC, IP, GATEWAY_IP)).expect("there is room");
    let reply = client.recv_packet(Duration::from_secs(10)).expect("an answer");
    assert!(parse::is_arp_reply(&reply));
}

/// Waits until as much is held as before.
fn is_as(before: &Held, what: &str) {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let after = Held::now().expect("a list of it");
        if after == *before {
            return;
        }
        assert!(Instant::now() < end, "{what}: {before:?}, then {after:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_thousand_front_ends_and_64_at_once_leave_nothing_behind() {
    let nothing = Held::now().expect("a list of it");
    let backend = TestBackend::new(MAC, Some(IP)).expect("a back-end");
    let before = Held::now().expect("a list of it");
    for number in 0..1000 {
        match number % 8 {
            0 => is_served(&backend, number % 16 == 0),
            1 => {
                // It dies in the middle of a header.
                let mut stream = UnixStream::connect(backend.path()).expect("it listens");
                stream.write_all(&[1; 7]).expect("it reads");
            }
            _ => drop(UnixStream::connect(backend.path()).expect("it listens")),
        }
    }
    is_as(&before, "a thousand, one after another");
    let waiting: Vec<_> = (0..64).map(|_| UnixStream::connect(backend.path())).collect();
    assert!(waiting.iter().all(Result::is_ok), "they wait");
    drop(waiting);
    // Whoever comes after them is served.
    is_served(&backend, true);
    is_as(&before, "64 at once");
    let ends = backend.stop().expect("it ran to its end");
    assert_eq!(ends.len(), 1000 + 64 + 1);
    let is_cut = |end: &&Result<End, ServeError>| matches!(end, Err(ServeError::Receive(_)));
    assert_eq!(ends.iter().filter(is_cut).count(), 125, "those that died in a header");
    is_as(&nothing, "after the back-end");
}

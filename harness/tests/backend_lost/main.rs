//! A front-end shortens a file that it shares with the back-end, which ends the connection and
//! serves the next one (HZ-46). It is a test program of its own, because a signal handler belongs
//! to a process.

#[path = "../backend/client.rs"]
#[expect(dead_code, reason = "it serves other tests, too")]
mod client;
#[path = "../backend/device.rs"]
mod device;
#[path = "../backend/guest.rs"]
#[expect(dead_code, reason = "it serves other tests, too")]
mod guest;

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vhost_fuzz_backend::connection::{Connection, End};
use vhost_fuzz_backend::sigbus;
use vhost_fuzz_core::vhost_user::features::protocol;
use vhost_fuzz_core::vhost_user::payload::LogBase;
use vhost_fuzz_core::vhost_user::{FrontendRequest as R, Payload};
use vhost_fuzz_world::driver::Format;
use vhost_fuzz_world::ram::Layout;

use client::{Client, base, event, serve_next, signal, wait};
use device::{FEATURES, Inverter, PROTOCOL};
use guest::{Guest, SIZE};

/// What a front-end shares, with a ring that runs.
struct Shares {
    client: Client,
    guest: Guest,
    kick: OwnedFd,
    area: OwnedFd,
    log: OwnedFd,
}

fn share(stream: UnixStream, format: Format) -> Shares {
    let guest = Guest::new(format, Layout::Small);
    let mut client = Client::new(stream);
    client.negotiate(format, FEATURES, PROTOCOL & !protocol::INBAND_NOTIFICATIONS);
    let area = client.get_inflight(SIZE);
    client.set_inflight(&area);
    client.set_memory(&guest);
    let log = memfd_create(c"log", MemfdFlags::CLOEXEC).unwrap();
    let size = 4096;
    ftruncate(&log, size).unwrap();
    let described = Payload::Log(LogBase { size, offset: 0 });
    client.tell(R::SET_LOG_BASE, described, &[log.as_fd()]);
    let kick = event();
    client.set_ring(&guest, 0, base(&guest), Some(&kick));
    Shares { client, guest, kick, area: area.1, log }
}

/// A request that is answered.
fn is_served(shares: &mut Shares, seed: u64) {
    let Shares { guest, kick, .. } = shares;
    assert!(guest.send(seed));
    signal(kick);
    wait(|| {
        guest.reap();
        guest.is_done()
    });
}

#[test]
fn a_connection_whose_memory_is_lost_ends_and_the_next_one_is_served() {
    sigbus::install().unwrap();
    let mut connection = Connection::new(Inverter::default()).unwrap();
    let files: [fn(&Shares) -> &dyn AsFd; 3] =
        [|shares| shares.guest.ram.file(), |shares| &shares.area, |shares| &shares.log];
    for (file, format) in files
        .into_iter()
        .flat_map(|file| [Format::Split, Format::Packed].map(|format| (file, format)))
    {
        let (stream, server) = serve_next(connection);
        let mut shares = share(stream, format);
        is_served(&mut shares, 0);
        shares.client.number(R::GET_FEATURES);
        // Made available before: the driver cannot write to memory that is gone either.
        assert!(shares.guest.send(1));
        ftruncate(file(&shares), 0).unwrap();
        signal(&shares.kick);
        let (lost, end) = server.join().unwrap();
        assert_eq!(end, Ok(End::MemoryLost));
        assert!(lost.session().memory().slots().is_empty(), "nothing stays mapped");

        let (stream, server) = serve_next(lost);
        let mut shares = share(stream, format);
        (0..9).for_each(|seed| is_served(&mut shares, seed));
        drop(shares);
        let (served, end) = server.join().unwrap();
        assert_eq!(end, Ok(End::Closed));
        connection = served;
    }
}

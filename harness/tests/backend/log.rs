//! The dirty log of a migration: a bit for every page that the device wrote to, and no other.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::{pread, pwrite};
use vhost_fuzz_backend::connection::End;
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::LogBase;
use vhost_fuzz_core::vhost_user::{FrontendRequest as R, Payload};
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_world::driver::{Driver as _, Format};
use vhost_fuzz_world::ram::GuestRam as _;

use crate::client::{Client, Server, base, event, is_signalled, serve, signal, wait};
use crate::device::{FEATURES, Inverter, PROTOCOL};
use crate::guest::{Guest, SIZE};

/// Bytes of a page of the log.
const PAGE: u64 = 4096;

/// Byte of the file at which the log begins: it shares the file with something else.
const OFFSET: u64 = PAGE;

/// A front-end that may migrate its guest.
struct Migration {
    client: Client,
    guest: Guest,
    features: u64,
    log: OwnedFd,
    kick: OwnedFd,
    call: OwnedFd,
    server: Server<Inverter>,
}

/// What is switched on of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Logs {
    /// Buffers: `F_LOG_ALL`.
    all: bool,
    /// The ring: its own flag, with the address at which its used part is logged.
    ring: Option<u64>,
}

impl Migration {
    fn new(format: Format, is_tracked: bool) -> Self {
        let guest = Guest::spread(format);
        let (stream, server) = serve(Inverter::default());
        let mut client = Client::new(stream);
        let protocol = PROTOCOL & !protocol::INBAND_NOTIFICATIONS;
        client.negotiate(format, FEATURES & !virtio::LOG_ALL, protocol);
        if is_tracked {
            let area = client.get_inflight(SIZE);
            client.set_inflight(&area);
        }
        client.set_memory(&guest);
        let (kick, call) = (event(), event());
        client.vring_fd(R::SET_VRING_CALL, 0, Some(&call));
        client.set_ring(&guest, 0, base(&guest), Some(&kick));
        let features = client.frontend.negotiated().virtio.unwrap();
        let log = memfd_create(c"log", MemfdFlags::CLOEXEC).unwrap();
        let size = guest.end().div_ceil(8 * PAGE).next_multiple_of(PAGE);
        // Bytes in front and behind, which are nobody's.
        ftruncate(&log, OFFSET + size + PAGE).unwrap();
        let described = Payload::Log(LogBase { size, offset: OFFSET });
        client.tell(R::SET_LOG_BASE, described, &[log.as_fd()]);
        Self { client, guest, features, log, kick, call, server }
    }

    fn switch(&mut self, logs: Logs) {
        let log_all = if logs.all { virtio::LOG_ALL } else { 0 };
        self.client.tell(R::SET_FEATURES, Payload::U64(self.features | log_all), &[]);
        let addresses = self.guest.addresses(0, logs.ring);
        self.client.tell(R::SET_VRING_ADDR, Payload::Addr(addresses), &[]);
        // The ring is looked at after each message. What was logged in between is past.
        self.client.number(R::GET_FEATURES);
        self.take_log();
    }

    /// Has some requests done; gives the pages that have changed since the driver wrote last, and
    /// those that the log tells of.
    fn round(&mut self, seed: u64) -> [BTreeSet<u64>; 2] {
        for turn in 0..1 + seed % 4 {
            self.guest.send(seed * 4 + turn);
        }
        let before = self.guest.pages();
        signal(&self.kick);
        // It calls when it has gone to sleep.
        wait(|| is_signalled(&self.call));
        self.client.number(R::GET_FEATURES);
        let after = self.guest.pages();
        let changed = after.iter().filter(|(page, bytes)| before[page] != **bytes);
        let changed = changed.map(|(page, _)| *page).collect();
        self.guest.reap();
        assert!(self.guest.is_done());
        [changed, self.take_log()]
    }

    /// Reads the bits of the log, and clears them.
    fn take_log(&self) -> BTreeSet<u64> {
        let len = usize::try_from(rustix::fs::fstat(&self.log).unwrap().st_size).unwrap();
        let mut bytes = vec![0; len];
        assert_eq!(pread(&self.log, &mut bytes, 0), Ok(len));
        assert_eq!(pwrite(&self.log, &vec![0; len], 0), Ok(len));
        let first = usize::try_from(OFFSET).unwrap();
        let (front, bits) = bytes.split_at(first);
        assert!(front.iter().all(|byte| *byte == 0), "in front of the log");
        let pages = (0_u64..).zip(bits).flat_map(|(at, byte)| {
            (0..8).filter(move |bit| byte & 1 << bit != 0).map(move |bit| 8 * at + bit)
        });
        pages.collect()
    }

    fn end(self) {
        drop(self.client);
        assert_eq!(self.server.join().unwrap().1, Ok(End::Closed));
    }
}

fn tells_of_every_page(format: Format, is_tracked: bool) {
    let mut migration = Migration::new(format, is_tracked);
    let [changed, logged] = migration.round(0);
    assert!(!changed.is_empty() && logged.is_empty(), "nothing is logged yet");
    let used = migration.guest.driver.setup().used;
    migration.switch(Logs { all: true, ring: Some(used) });
    let mut pages = BTreeSet::new();
    for seed in 1..28 {
        let [changed, logged] = migration.round(seed);
        assert_eq!(logged, changed, "{format:?}, round {seed}");
        pages.extend(changed);
    }
    assert!(pages.len() > 12, "{pages:?}");
    // The ring is logged where the front-end says, which need not be where it is.
    let start = migration.guest.ram.areas()[0].start / PAGE;
    let [descriptors, device, other] = [start + 1, start + 6, start + 300];
    assert!(!pages.contains(&other) && pages.contains(&device));
    migration.switch(Logs { all: true, ring: Some(other * PAGE) });
    let [changed, logged] = migration.round(31);
    assert!(logged.contains(&other) && changed.difference(&logged).all(|page| *page == device));
    assert!(logged.difference(&changed).all(|page| *page == other));
    // Without its flag, nothing of the ring is logged; buffers may share a page with it.
    migration.switch(Logs { all: true, ring: None });
    let [changed, logged] = migration.round(30);
    assert!(logged.is_subset(&changed) && !logged.is_empty());
    assert!(changed.difference(&logged).all(|page| [device, descriptors].contains(page)));
    migration.switch(Logs { all: false, ring: None });
    assert!(migration.round(29)[1].is_empty(), "the migration was cancelled");
    migration.end();
}

#[test]
fn the_log_tells_of_every_page_of_a_split_ring_and_no_other() {
    let _shows = shows(&["VU-147", "VU-148", "VU-149", "VU-150"]);
    tells_of_every_page(Format::Split, false);
    tells_of_every_page(Format::Split, true);
}

#[test]
fn the_log_tells_of_every_page_of_a_packed_ring_and_no_other() {
    let _shows = shows(&["VU-147", "VU-148", "VU-149", "VU-150"]);
    tells_of_every_page(Format::Packed, false);
    tells_of_every_page(Format::Packed, true);
}

#[test]
fn nothing_is_written_after_the_ring_was_stopped() {
    let _shows = shows(&["VU-154"]);
    for format in [Format::Split, Format::Packed] {
        let mut migration = Migration::new(format, false);
        let used = migration.guest.driver.setup().used;
        migration.switch(Logs { all: true, ring: Some(used) });
        migration.round(3);
        let stopped = migration.client.stop(R::GET_VRING_BASE);
        assert_eq!(stopped, base(&migration.guest));
        migration.take_log();
        migration.guest.send(100);
        let before = migration.guest.pages();
        signal(&migration.kick);
        for _ in 0..10 {
            migration.client.number(R::GET_FEATURES);
        }
        assert_eq!(migration.guest.pages(), before);
        assert!(migration.take_log().is_empty());
        migration.end();
    }
}

//! A device and a front-end for tests.

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use vhost::vhost_user::Frontend;
use vhost::{VhostBackend as _, VhostUserMemoryRegionInfo, VringConfigData};
use vhost_fuzz_backend::device::{Device, Rings};
use vhost_fuzz_core::session::{EffectError, Offer};
use vhost_fuzz_world::driver::{AnyDriver, Calls, Driver as _, Format, Request, Setup, Style};
use vhost_fuzz_world::ram::{Layout, Shared};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

const EVENT_IDX: u64 = 1 << 29;
const INDIRECT: u64 = 1 << 28;
const VERSION_1: u64 = 1 << 32;
const RING_PACKED: u64 = 1 << 34;

/// Writes what it reads, each byte the other way round, as far as there is room.
#[derive(Debug, Default)]
pub(crate) struct Inverter {
    /// Chains that it has taken.
    pub(crate) chains: usize,
}

impl Device for Inverter {
    fn offer(&self) -> Offer {
        Offer {
            device: 1,
            features: EVENT_IDX | INDIRECT | VERSION_1 | RING_PACKED,
            protocol_features: 0,
            queues: 1,
            queue_num: 1,
            max_queue_size: 256,
            max_mem_slots: 8,
            config_len: 0,
            config_limit: 256,
            config_writable: Default::default(),
            page_size: 4096,
            shmem: None,
        }
    }

    fn config(&self) -> &[u8] {
        &[]
    }

    fn write_config(&mut self, _: usize, _: &[u8]) -> Result<(), EffectError> {
        Err(EffectError(22))
    }

    fn negotiated(&mut self, _: u64) {}

    fn set_mtu(&mut self, _: u16) -> Result<(), EffectError> {
        Ok(())
    }

    fn announce(&mut self, _: [u8; 6]) {}

    fn process(&mut self, index: u16, rings: &mut Rings<'_>) {
        let Some(mut ring) = rings.open(index) else { return };
        while let Some(token) = ring.take() {
            let guest = ring.guest();
            let mut bytes = vec![0; usize::try_from(ring.chain.readable_bytes()).unwrap()];
            ring.chain.reader(&guest).read(&mut bytes).unwrap();
            bytes.iter_mut().for_each(|byte| *byte = !*byte);
            let mut writer = ring.chain.writer(&guest);
            writer.write(&bytes).unwrap();
            let written = writer.written();
            ring.give(token, written);
            self.chains += 1;
        }
        ring.publish();
        ring.sleep();
    }

    fn reset(&mut self) {}
}

/// A front-end with one ring in shared memory.
pub(crate) struct Client {
    frontend: Frontend,
    ram: Shared,
    pub(crate) driver: AnyDriver,
    kick: EventFd,
    call: EventFd,
}

impl Client {
    /// Sets everything up, and starts the ring.
    pub(crate) fn connect(stream: &UnixStream, format: Format, layout: Layout) -> Self {
        let frontend = Frontend::from_stream(stream.try_clone().unwrap(), 1);
        let ram = Shared::new(layout).unwrap();
        frontend.set_owner().unwrap();
        let features = frontend.get_features().unwrap();
        let unwanted = if format == Format::Packed { 0 } else { RING_PACKED };
        frontend.set_features(features & !unwanted).unwrap();
        let regions: Vec<_> = layout
            .regions()
            .into_iter()
            .map(|region| VhostUserMemoryRegionInfo {
                guest_phys_addr: region.guest_address,
                memory_size: region.size,
                userspace_addr: region.user_address,
                mmap_offset: region.mmap_offset,
                mmap_handle: ram.file().as_raw_fd(),
            })
            .collect();
        frontend.set_mem_table(&regions).unwrap();
        let setup = Setup {
            event_idx: true,
            indirect: true,
            ..Setup::place(layout.areas(), format, 64).unwrap()
        };
        let driver = AnyDriver::new(format, setup, &ram);
        let [kick, call] = [(); 2].map(|()| EventFd::new(EFD_NONBLOCK).unwrap());
        frontend.set_vring_num(0, setup.size).unwrap();
        set_base(stream, driver.base());
        let area = layout.areas()[0];
        let user = |address: u64| address - area.start + area.user;
        let config = VringConfigData {
            queue_max_size: 256,
            queue_size: setup.size,
            flags: 0,
            desc_table_addr: user(setup.descriptor),
            used_ring_addr: user(setup.used),
            avail_ring_addr: user(setup.available),
            log_addr: None,
        };
        frontend.set_vring_addr(0, &config).unwrap();
        frontend.set_vring_call(0, &call).unwrap();
        frontend.set_vring_kick(0, &kick).unwrap();
        Self { frontend, ram, driver, kick, call }
    }

    /// Stops the ring, and gives where the back-end was.
    pub(crate) fn stop(&self) -> u32 {
        self.frontend.get_vring_base(0).unwrap()
    }

    /// Sends a request, waits for the call and gives what came back.
    pub(crate) fn ask(&mut self, bytes: &[u8], style: &Style) -> Vec<u8> {
        let Self { ram, driver, .. } = self;
        let request = Request { readable: bytes, writable: bytes.len() as u64 };
        let _ = driver.want_calls(ram, Calls::Always);
        driver.publish(ram, &request, style).unwrap();
        if driver.needs_kick(ram).unwrap() {
            self.kick.write(1).unwrap();
        }
        let end = Instant::now() + Duration::from_secs(10);
        while self.call.read().is_err() {
            assert!(Instant::now() < end, "nobody called");
            thread::yield_now();
        }
        driver.reap(ram).unwrap().expect("a buffer was used before the call").data
    }
}

/// `SET_VRING_BASE` as it is: the front-end of the `vhost` crate has no room for packed positions.
fn set_base(mut stream: &UnixStream, base: u32) {
    let words = [10, 1, 8, 0, base];
    stream.write_all(words.map(u32::to_ne_bytes).as_flattened()).unwrap();
}

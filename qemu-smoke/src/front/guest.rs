//! A guest with a pair of queues behind a strict front-end. It outlives connections and back-ends.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::retry_on_intr;
use vhost_fuzz_core::inflight::Geometry;
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{Inflight, VringAddr};
use vhost_fuzz_core::vhost_user::{FrontendRequest as R, Payload};
use vhost_fuzz_harness::guest::Part;
use vhost_fuzz_world::driver::{
    AnyDriver, Calls, Completion, Driver as _, Field, Format, Request, Setup, Style,
};
use vhost_fuzz_world::ram::{Area, GuestRam as _, Layout, Shared};

use super::FrontEnd;

/// Entries of a queue.
const SIZE: u16 = 1024;

/// Receive buffers that are posted.
const BUFFERS: usize = 32;

/// Bytes of a receive buffer, for every frame and its header.
const BUFFER: u64 = 1534;

/// Bytes of the header in front of a frame.
const HEADER: usize = 12;

/// Bytes of a page.
const PAGE: u64 = 4096;

/// The receive queue.
const RECEIVE: usize = 0;

/// The memory of each queue.
const PARTS: [&[Area]; 2] = [
    &[Area { start: 0x10_0000, size: 0x10_0000, user: 0, skew: 0 }],
    &[Area { start: 0x20_0000, size: 0x10_0000, user: 0, skew: 0 }],
];

/// A queue as its driver has it.
#[derive(Debug)]
struct Queue {
    driver: AnyDriver,
    areas: &'static [Area],
    kick: OwnedFd,
    call: OwnedFd,
}

/// A guest and its front-end.
#[derive(Debug)]
pub(crate) struct Guest {
    ram: Shared,
    queues: Vec<Queue>,
    /// What both rings are recorded in, if `INFLIGHT_SHMFD` was wished and is offered.
    area: Option<(Inflight, OwnedFd)>,
    pub(crate) front_end: FrontEnd,
}

impl Guest {
    /// Connects, negotiates, shares memory and starts both queues, with receive buffers. These
    /// features are needed besides those that every guest needs; protocol features are wishes.
    ///
    /// # Errors
    /// The back-end does not do as it should.
    pub(crate) fn start(path: &Path, format: Format, features: u64, wished: u64) -> Result<Self> {
        let mut front_end = FrontEnd::connect(path)?;
        let ram = Shared::new(Layout::Large)?;
        negotiate(&mut front_end, format, features, wished)?;
        front_end.share_memory(&ram)?;
        let mut queues = Vec::new();
        for areas in PARTS {
            let setup = Setup::place(areas, format, SIZE).context("no memory for a queue")?;
            let part = Part { ram: &ram, areas };
            let mut driver = AnyDriver::new(format, setup, &part);
            let _ = driver.want_calls(&part, Calls::Always);
            queues.push(Queue { driver, areas, kick: event()?, call: event()? });
        }
        let mut guest = Self { ram, queues, area: None, front_end };
        if guest.is_recorded() {
            guest.area = Some(guest.get_inflight()?);
            guest.set_inflight()?;
        }
        for queue in 0..guest.queues.len() {
            let base = guest.reached(queue);
            guest.set_ring(queue, base)?;
        }
        for _ in 0..BUFFERS {
            guest.buffer()?;
        }
        guest.kick(RECEIVE)?;
        Ok(guest)
    }

    /// Connects to another back-end, and hands it everything over: memory, the in-flight area, and
    /// rings that go on behind the last buffer that the driver was given back, as QEMU does it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn move_to(&mut self, path: &Path, wished: u64) -> Result<()> {
        self.front_end = FrontEnd::connect(path)?;
        let format = self.queues[RECEIVE].driver.format();
        negotiate(&mut self.front_end, format, 0, wished)?;
        self.front_end.share_memory(&self.ram)?;
        self.set_inflight()?;
        for queue in 0..self.queues.len() {
            let Queue { driver, .. } = &self.queues[queue];
            let (used, _) = driver.locate(Field::UsedIndex).context("a packed ring")?;
            let mut index = [0; 2];
            self.ram.get(used, &mut index);
            self.set_ring(queue, u16::from_le_bytes(index).into())?;
        }
        Ok(())
    }

    /// Whether the back-end records what is in flight.
    pub(crate) fn is_recorded(&self) -> bool {
        self.front_end.negotiated().1 & protocol::INFLIGHT_SHMFD != 0
    }

    /// Asks for an in-flight area for both queues.
    fn get_inflight(&mut self) -> Result<(Inflight, OwnedFd)> {
        let wanted =
            Inflight { mmap_size: 0, mmap_offset: 0, num_queues: 2, queue_size: SIZE, padding: 0 };
        self.front_end.get(R::GET_INFLIGHT_FD, Payload::Inflight(wanted), &[])?.inflight()
    }

    /// Requests of a split ring that the back-end has taken and not given back, by what it has
    /// recorded: behind a header of 16 bytes, each descriptor has 16, the first of which is 1.
    ///
    /// # Errors
    /// The area cannot be read.
    pub(crate) fn recorded(&self, queue: usize) -> Result<usize> {
        let (area, fd) = self.area.as_ref().context("nothing is recorded")?;
        let geometry = Geometry { queues: area.num_queues, queue_size: SIZE, packed: false };
        let start = geometry.region_offset(u16::try_from(queue)?).context("no region")?;
        let mut bytes = vec![0; usize::try_from(geometry.region_len())?];
        let len = rustix::io::pread(fd, &mut bytes, area.mmap_offset + start)?;
        ensure!(len == bytes.len(), "the in-flight area is too short");
        Ok(bytes.chunks(16).skip(1).filter(|entry| entry[0] == 1).count())
    }

    /// Hands the in-flight area over.
    fn set_inflight(&mut self) -> Result<()> {
        let Some((area, fd)) = &self.area else { return Ok(()) };
        self.front_end.must(R::SET_INFLIGHT_FD, Payload::Inflight(*area), &[fd.as_fd()])
    }

    /// Where a ring is for the front-end.
    fn addresses(&self, queue: usize, is_logged: bool) -> Result<VringAddr> {
        let Setup { descriptor, available, used, .. } = *self.queues[queue].driver.setup();
        let whole = self.ram.areas()[0];
        let user = |address: u64| address - whole.start + whole.user;
        Ok(VringAddr {
            index: u32::try_from(queue)?,
            flags: if is_logged { VringAddr::LOG } else { 0 },
            descriptor: user(descriptor),
            used: user(used),
            available: user(available),
            log: if is_logged { used } else { 0 },
        })
    }

    /// Sets a ring up, from a position on, and starts it.
    ///
    /// # Errors
    /// It is refused.
    pub(crate) fn set_ring(&mut self, queue: usize, base: u32) -> Result<()> {
        let addresses = self.addresses(queue, false)?;
        let Queue { kick, call, .. } = &self.queues[queue];
        self.front_end.set_ring(addresses, (SIZE, base), [kick, call])
    }

    /// Has the writes to both rings logged.
    ///
    /// # Errors
    /// It is refused.
    pub(crate) fn log_rings(&mut self) -> Result<()> {
        for queue in 0..self.queues.len() {
            let addresses = self.addresses(queue, true)?;
            self.front_end.must(R::SET_VRING_ADDR, Payload::Addr(addresses), &[])?;
        }
        Ok(())
    }

    /// Makes a receive buffer available.
    ///
    /// # Errors
    /// There is no room.
    pub(crate) fn buffer(&mut self) -> Result<()> {
        self.publish(RECEIVE, &Request { readable: &[], writable: BUFFER })
    }

    /// Makes a frame available.
    ///
    /// # Errors
    /// There is no room.
    pub(crate) fn send(&mut self, frame: &[u8]) -> Result<()> {
        let bytes = [&[0; HEADER][..], frame].concat();
        self.publish(1, &Request { readable: &bytes, writable: 0 })
    }

    fn publish(&mut self, queue: usize, request: &Request<'_>) -> Result<()> {
        let Queue { driver, areas, .. } = &mut self.queues[queue];
        let part = Part { ram: &self.ram, areas };
        let published = driver.publish(&part, request, &Style::default());
        published.map(drop).map_err(|_| anyhow!("queue {queue} is full"))
    }

    /// Tells the device that there is something, whether it wants to hear it or not.
    ///
    /// # Errors
    /// The system.
    pub(crate) fn kick(&mut self, queue: usize) -> Result<()> {
        rustix::io::write(&self.queues[queue].kick, &1_u64.to_ne_bytes())?;
        Ok(())
    }

    /// Takes a request back, if one was used.
    ///
    /// # Errors
    /// The device breaks a rule: it gives something back twice, for example.
    pub(crate) fn reap(&mut self, queue: usize) -> Result<Option<Completion>> {
        let Queue { driver, areas, .. } = &mut self.queues[queue];
        let reaped = driver.reap(&Part { ram: &self.ram, areas });
        reaped.map_err(|violation| anyhow!("queue {queue}: the device breaks a rule: {violation}"))
    }

    /// Waits for a request to come back: its bytes, or nothing when none comes.
    ///
    /// # Errors
    /// As [`reap`](Self::reap).
    pub(crate) fn wait(&mut self, queue: usize, end: Instant) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(completion) = self.reap(queue)? {
                return Ok(Some(completion.data));
            }
            if !self.is_called(queue, end)? {
                return Ok(self.reap(queue)?.map(|completion| completion.data));
            }
        }
    }

    /// Waits until the driver of a queue is called.
    ///
    /// # Errors
    /// The system.
    pub(crate) fn is_called(&self, queue: usize, end: Instant) -> Result<bool> {
        is_signalled(&self.queues[queue].call, end)
    }

    /// Says that more was made available than a queue has room for, and kicks. Nobody can use the
    /// queue any more.
    ///
    /// # Errors
    /// The ring is packed, or the system.
    pub(crate) fn break_ring(&mut self, queue: usize) -> Result<()> {
        let driver = &self.queues[queue].driver;
        let (address, _) = driver.locate(Field::AvailableIndex).context("a packed ring")?;
        let index = u16::try_from(driver.base())?.wrapping_add(SIZE + 1);
        self.ram.put(address, &index.to_le_bytes());
        self.kick(queue)
    }

    /// Requests that have not come back.
    pub(crate) fn in_flight(&self, queue: usize) -> usize {
        self.queues[queue].driver.in_flight()
    }

    /// Where a driver is.
    pub(crate) fn reached(&self, queue: usize) -> u32 {
        self.queues[queue].driver.base()
    }

    /// One more than the last guest address.
    pub(crate) fn end(&self) -> u64 {
        self.ram.areas().iter().map(|area| area.start + area.size).max().unwrap_or(0)
    }

    /// All pages of its memory, by their numbers.
    pub(crate) fn pages(&self) -> BTreeMap<u64, Vec<u8>> {
        let page = |number| {
            let mut bytes = vec![0; 4096];
            self.ram.get(number * PAGE, &mut bytes);
            (number, bytes)
        };
        let numbers = |area: &Area| area.start / PAGE..(area.start + area.size) / PAGE;
        self.ram.areas().iter().flat_map(numbers).map(page).collect()
    }
}

fn negotiate(front_end: &mut FrontEnd, format: Format, features: u64, wished: u64) -> Result<()> {
    let packed = if format == Format::Packed { virtio::RING_PACKED } else { 0 };
    let needed = virtio::VERSION_1 | virtio::PROTOCOL_FEATURES | features | packed;
    front_end.negotiate(needed, wished)?;
    let missing = needed & !front_end.negotiated().0;
    ensure!(missing == 0, "features {missing:#x} are not offered");
    Ok(())
}

/// Waits until somebody signals an eventfd.
///
/// # Errors
/// The system.
pub(crate) fn is_signalled(event: &OwnedFd, end: Instant) -> Result<bool> {
    let left = Timespec::try_from(end.saturating_duration_since(Instant::now()))?;
    let mut fds = [PollFd::new(event, PollFlags::IN)];
    if retry_on_intr(|| poll(&mut fds, Some(&left)))? == 0 {
        return Ok(false);
    }
    rustix::io::read(event, &mut [0; 8])?;
    Ok(true)
}

/// An eventfd that does not block.
///
/// # Errors
/// The system has none.
pub(crate) fn event() -> Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

//! A virtio device of any kind, behind the front-end of the `vhost` crate.

use std::fmt;
use std::io;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use vhost::vhost_user::message::{VhostUserConfigFlags, VhostUserProtocolFeatures};
use vhost::vhost_user::{Frontend, VhostUserFrontend as _};
use vhost::{VhostBackend as _, VhostUserMemoryRegionInfo, VringConfigData};
use vhost_fuzz_core::vhost_user::features::virtio;
use vhost_fuzz_world::driver::{
    AnyDriver, Calls, Completion, Driver as _, Format, Request, Setup, Style, Tag,
};
use vhost_fuzz_world::ram::{Area, Layout, Shared};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::error::ClientError;
use super::part::Part;

/// The memory of each queue.
const PARTS: [&[Area]; 2] = [
    &[Area { start: 0x10_0000, size: 0x10_0000, user: 0, skew: 0 }],
    &[Area { start: 0x20_0000, size: 0x10_0000, user: 0, skew: 0 }],
];

/// How long a back-end may take for a message.
const PATIENCE: Duration = Duration::from_secs(10);

/// A queue as its driver has it.
struct Queue {
    driver: AnyDriver,
    areas: &'static [Area],
    kick: EventFd,
    /// What the front-end was given is a duplicate of it, which nobody can wait for.
    call: OwnedFd,
}

/// What every virtio device has, as its driver sees it: features, memory of the guest, and up to
/// two queues. It is connected, negotiates, shares memory and starts queues, in this order.
pub struct VirtioClient {
    frontend: Frontend,
    stream: UnixStream,
    ram: Shared,
    queues: Vec<Queue>,
    offered: u64,
    features: u64,
    protocol: u64,
}

impl fmt::Debug for VirtioClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let features = format_args!("{:#x}", self.features);
        let protocol = format_args!("{:#x}", self.protocol);
        f.debug_struct("VirtioClient")
            .field("features", &features)
            .field("protocol", &protocol)
            .field("queues", &self.queues.len())
            .finish_non_exhaustive()
    }
}

impl VirtioClient {
    /// Queues that there is memory for.
    pub const QUEUES_MAX: usize = PARTS.len();

    /// Connects to a back-end at a path, becomes its owner, and asks for its features. A back-end
    /// that is silent for ten seconds is an error, here and later.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let frontend = Frontend::from_stream(stream.try_clone()?, Self::QUEUES_MAX as u64);
        frontend.set_owner()?;
        let offered = frontend.get_features()?;
        let ram = Shared::new(Layout::Large)?;
        Ok(Self { frontend, stream, ram, queues: Vec::new(), offered, features: 0, protocol: 0 })
    }

    /// The features that the back-end offers.
    #[must_use]
    pub const fn offered(&self) -> u64 {
        self.offered
    }

    /// The features that were negotiated.
    #[must_use]
    pub const fn features(&self) -> u64 {
        self.features
    }

    /// The protocol features that were negotiated.
    #[must_use]
    pub const fn protocol(&self) -> u64 {
        self.protocol
    }

    /// The front-end, to send it other messages.
    pub const fn frontend(&mut self) -> &mut Frontend {
        &mut self.frontend
    }

    /// Takes these features, and those of the wished protocol features that are offered.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn negotiate(&mut self, features: u64, wished: u64) -> Result<(), ClientError> {
        self.frontend.set_features(features)?;
        self.features = features;
        if self.has(virtio::PROTOCOL_FEATURES) {
            let wished = VhostUserProtocolFeatures::from_bits_truncate(wished);
            let chosen = self.frontend.get_protocol_features()? & wished;
            self.frontend.set_protocol_features(chosen)?;
            self.protocol = chosen.bits();
        }
        Ok(())
    }

    /// Shares the memory of the guest.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn share_memory(&mut self) -> Result<(), ClientError> {
        let regions = self.ram.layout().regions();
        let regions: Vec<_> = regions
            .into_iter()
            .map(|region| VhostUserMemoryRegionInfo {
                guest_phys_addr: region.guest_address,
                memory_size: region.size,
                userspace_addr: region.user_address,
                mmap_offset: region.mmap_offset,
                mmap_handle: self.ram.file().as_raw_fd(),
            })
            .collect();
        self.frontend.set_mem_table(&regions)?;
        Ok(())
    }

    /// Starts the next queue, of so many entries, and enables it.
    ///
    /// # Errors
    /// See [`ClientError`]; there is no memory for more than [`QUEUES_MAX`](Self::QUEUES_MAX).
    pub fn start(&mut self, size: u16) -> Result<(), ClientError> {
        let index = self.queues.len();
        let areas = *PARTS.get(index).ok_or(ClientError::Full)?;
        let is_packed = self.has(virtio::RING_PACKED);
        let format = if is_packed { Format::Packed } else { Format::Split };
        let setup = Setup::place(areas, format, size).ok_or(ClientError::Full)?;
        let setup = Setup {
            event_idx: self.has(virtio::EVENT_IDX),
            indirect: self.has(virtio::INDIRECT_DESC),
            in_order: self.has(virtio::IN_ORDER),
            ..setup
        };
        let part = Part { ram: &self.ram, areas };
        let mut driver = AnyDriver::new(format, setup, &part);
        let [kick, call] = [EventFd::new(EFD_NONBLOCK)?, EventFd::new(EFD_NONBLOCK)?];
        let heard = duplicate(&call)?;
        let _ = driver.want_calls(&part, Calls::Always);
        let base = driver.base();
        self.queues.push(Queue { driver, areas, kick, call: heard });
        self.frontend.set_vring_num(index, setup.size)?;
        self.set_base(index, base)?;
        self.place(index, &setup)?;
        self.frontend.set_vring_call(index, &call)?;
        self.frontend.set_vring_kick(index, &self.queues[index].kick)?;
        if self.has(virtio::PROTOCOL_FEATURES) {
            self.frontend.set_vring_enable(index, true)?;
        }
        Ok(())
    }

    /// Tells where the parts of a ring are.
    fn place(&mut self, index: usize, setup: &Setup) -> Result<(), ClientError> {
        let whole = Layout::Large.areas()[0];
        let user = |address: u64| address - whole.start + whole.user;
        let config = VringConfigData {
            queue_max_size: setup.size,
            queue_size: setup.size,
            flags: 0,
            desc_table_addr: user(setup.descriptor),
            used_ring_addr: user(setup.used),
            avail_ring_addr: user(setup.available),
            log_addr: None,
        };
        Ok(self.frontend.set_vring_addr(index, &config)?)
    }

    /// `SET_VRING_BASE` as it is: the front-end of the `vhost` crate has no room for packed
    /// positions.
    fn set_base(&mut self, index: usize, base: u32) -> Result<(), ClientError> {
        let index = u32::try_from(index).map_err(|_| ClientError::Full)?;
        let words = [10, 1, 8, index, base];
        self.stream.write_all(words.map(u32::to_ne_bytes).as_flattened())?;
        Ok(())
    }

    /// Waits until the back-end has acted on everything that it was told: it handles messages in
    /// their order.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn settle(&mut self) -> Result<(), ClientError> {
        self.frontend.get_features()?;
        Ok(())
    }

    /// Reads a window of the configuration space.
    ///
    /// # Errors
    /// See [`ClientError`]; the device has no such window, or `CONFIG` was not negotiated.
    pub fn read_config(&mut self, offset: u32, len: u32) -> Result<Vec<u8>, ClientError> {
        let room = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        let flags = VhostUserConfigFlags::WRITABLE;
        let (_, bytes) = self.frontend.get_config(offset, len, flags, &room)?;
        Ok(bytes)
    }

    /// Makes a request available, without a kick.
    ///
    /// # Errors
    /// [`ClientError::Full`]: nothing has changed.
    ///
    /// # Panics
    /// There is no such queue, here and below.
    pub fn publish(
        &mut self,
        queue: usize,
        request: &Request<'_>,
        style: &Style,
    ) -> Result<Tag, ClientError> {
        let Queue { driver, areas, .. } = &mut self.queues[queue];
        Ok(driver.publish(&Part { ram: &self.ram, areas }, request, style)?)
    }

    /// Kicks the device if it wants to be.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn kick(&mut self, queue: usize) -> Result<(), ClientError> {
        let Queue { driver, areas, kick, .. } = &mut self.queues[queue];
        if driver.needs_kick(&Part { ram: &self.ram, areas })? {
            kick.write(1)?;
        }
        Ok(())
    }

    /// Takes a request back, if one was used.
    ///
    /// # Errors
    /// [`ClientError::Violation`].
    pub fn reap(&mut self, queue: usize) -> Result<Option<Completion>, ClientError> {
        let Queue { driver, areas, .. } = &mut self.queues[queue];
        Ok(driver.reap(&Part { ram: &self.ram, areas })?)
    }

    /// Requests that have not come back.
    #[must_use]
    pub fn in_flight(&self, queue: usize) -> usize {
        self.queues[queue].driver.in_flight()
    }

    /// Where the driver of a queue is.
    #[must_use]
    pub fn base(&self, queue: usize) -> u32 {
        self.queues[queue].driver.base()
    }

    /// Waits until a request comes back, and takes it.
    ///
    /// # Errors
    /// `TimedOut` when none does; otherwise see [`ClientError`].
    pub fn wait(&mut self, queue: usize, end: Instant) -> Result<Completion, ClientError> {
        loop {
            if let Some(completion) = self.reap(queue)? {
                return Ok(completion);
            }
            let Queue { driver, areas, .. } = &mut self.queues[queue];
            if !driver.want_calls(&Part { ram: &self.ram, areas }, Calls::Always)
                && !self.is_called(queue, end)?
            {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
        }
    }

    /// Waits until the device has called the driver of a queue, since the last time; `false` when
    /// it does not. Whether anything was used is not looked at.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn is_called(&mut self, queue: usize, end: Instant) -> Result<bool, ClientError> {
        let call = &self.queues[queue].call;
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut fds = [PollFd::new(call, PollFlags::IN)];
        if retry_on_intr(|| poll(&mut fds, Some(&left))).map_err(io::Error::from)? == 0 {
            return Ok(false);
        }
        // Somebody else cannot have read it, so it does not wait.
        rustix::io::read(call, &mut [0; 8]).map_err(io::Error::from)?;
        Ok(true)
    }

    /// Enables or disables a queue.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn enable(&mut self, queue: usize, is_enabled: bool) -> Result<(), ClientError> {
        Ok(self.frontend.set_vring_enable(queue, is_enabled)?)
    }

    /// Stops a queue; where it was, as the back-end has it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn stop(&mut self, queue: usize) -> Result<u32, ClientError> {
        Ok(self.frontend.get_vring_base(queue)?)
    }

    fn has(&self, bit: u64) -> bool {
        self.features & bit != 0
    }
}

/// Another descriptor of an eventfd, of a type that one can wait for.
fn duplicate(event: &EventFd) -> io::Result<OwnedFd> {
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(pidfd_getfd(&this, event.as_raw_fd(), PidfdGetfdFlags::empty())?)
}

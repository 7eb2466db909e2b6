//! A guest with a network device, behind the front-end of the `vhost` crate.

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
use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost::vhost_user::{Frontend, VhostUserFrontend as _};
use vhost::{VhostBackend as _, VhostUserMemoryRegionInfo, VringConfigData};
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_core::vhost_user::features::virtio;
use vhost_fuzz_world::driver::{
    AnyDriver, Calls, Driver as _, Format, Full, Request, Setup, Style, Violation,
};
use vhost_fuzz_world::ram::{Area, Layout, Shared};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::part::Part;

/// Entries of a queue.
const SIZE: u16 = 128;

/// Receive buffers that are posted.
const POSTED: usize = 32;

/// Bytes of a receive buffer without `MRG_RXBUF`: the longest frame and the longest header.
const BUFFER: u64 = 1534;

/// Bytes of a receive buffer with `MRG_RXBUF`.
const MERGED: u64 = 512;

/// The memory of each queue: receive, transmit.
const PARTS: [&[Area]; 2] = [
    &[Area { start: 0x10_0000, size: 0x10_0000, user: 0, skew: 0 }],
    &[Area { start: 0x20_0000, size: 0x10_0000, user: 0, skew: 0 }],
];

/// What a guest wants of its device, if it is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Packed rings.
    pub packed: bool,
    /// Event indices.
    pub event_idx: bool,
    /// Indirect descriptors.
    pub indirect: bool,
    /// Completions in order.
    pub in_order: bool,
    /// Frames in several receive buffers.
    pub mergeable: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { packed: false, event_idx: true, indirect: true, in_order: false, mergeable: true }
    }
}

/// Why a client cannot go on.
#[derive(Debug)]
pub enum ClientError {
    /// The system, or the time is over.
    Io(io::Error),
    /// The front-end.
    Vhost(vhost::Error),
    /// The front-end's message.
    Message(vhost::vhost_user::Error),
    /// The device did what no driver accepts.
    Violation(Violation),
    /// The device does not offer what was asked for: bits that are missing.
    Missing(u64),
    /// There is no room for what is to be sent.
    Full,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Vhost(error) => error.fmt(f),
            Self::Message(error) => error.fmt(f),
            Self::Violation(violation) => write!(f, "the device breaks a rule: {violation}"),
            Self::Missing(bits) => write!(f, "the device does not offer {bits:#x}"),
            Self::Full => f.write_str("the transmit queue is full"),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<vhost::Error> for ClientError {
    fn from(error: vhost::Error) -> Self {
        Self::Vhost(error)
    }
}

impl From<vhost::vhost_user::Error> for ClientError {
    fn from(error: vhost::vhost_user::Error) -> Self {
        Self::Message(error)
    }
}

impl From<Violation> for ClientError {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<Full> for ClientError {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

/// A queue as its driver has it.
struct Queue {
    driver: AnyDriver,
    areas: &'static [Area],
    kick: EventFd,
    /// What the front-end was given is a duplicate of it, which nobody can wait for.
    call: OwnedFd,
}

impl Queue {
    fn kick(&mut self, ram: &Shared) -> Result<(), ClientError> {
        if self.driver.needs_kick(&Part { ram, areas: self.areas })? {
            self.kick.write(1)?;
        }
        Ok(())
    }
}

/// A guest with one pair of queues.
pub struct VhostTestClient {
    frontend: Frontend,
    ram: Shared,
    receive: Queue,
    transmit: Queue,
    features: u64,
    header_len: usize,
}

impl fmt::Debug for VhostTestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let features = format_args!("{:#x}", self.features);
        f.debug_struct("VhostTestClient").field("features", &features).finish_non_exhaustive()
    }
}

impl VhostTestClient {
    /// Connects to a back-end at a path, negotiates, shares memory and starts both queues.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn new(path: &Path) -> Result<Self, ClientError> {
        Self::with(path, Options::default())
    }

    /// The same, with other wishes.
    ///
    /// # Errors
    /// As [`new`](Self::new); a packed ring that is not offered is an error, too.
    pub fn with(path: &Path, options: Options) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path)?;
        let mut frontend = Frontend::from_stream(stream.try_clone()?, 2);
        frontend.set_owner()?;
        let features = choose(frontend.get_features()?, options)?;
        frontend.set_features(features)?;
        if features & VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits() != 0 {
            let wanted = VhostUserProtocolFeatures::MQ | VhostUserProtocolFeatures::REPLY_ACK;
            let offered = frontend.get_protocol_features()?;
            frontend.set_protocol_features(offered & wanted)?;
        }
        let layout = Layout::Large;
        let ram = Shared::new(layout)?;
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
        frontend.set_mem_table(&regions)?;
        let receive = start(&mut frontend, &stream, &ram, 0, features)?;
        let transmit = start(&mut frontend, &stream, &ram, 1, features)?;
        // Messages are handled in their order. What is sent before a queue is enabled, the device
        // discards (VU-063).
        frontend.get_features()?;
        let header_len = Features::from(features).header_len();
        let mut client = Self { frontend, ram, receive, transmit, features, header_len };
        client.post(POSTED)?;
        Ok(client)
    }

    /// The features that were negotiated.
    #[must_use]
    pub const fn features(&self) -> u64 {
        self.features
    }

    /// The front-end, to send it other messages.
    pub const fn frontend(&mut self) -> &mut Frontend {
        &mut self.frontend
    }

    /// Sends a frame, behind a header that asks for nothing.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn send_packet(&mut self, frame: &[u8]) -> Result<(), ClientError> {
        self.send_bytes(&[&vec![0; self.header_len][..], frame].concat())
    }

    /// Sends bytes, a header of the caller's among them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        let Self { ram, transmit, .. } = self;
        let part = Part { ram, areas: transmit.areas };
        while transmit.driver.reap(&part)?.is_some() {}
        let request = Request { readable: bytes, writable: 0 };
        transmit.driver.publish(&part, &request, &Style::default())?;
        transmit.kick(ram)
    }

    /// Waits for a frame, and gives it without its header.
    ///
    /// # Errors
    /// `TimedOut` when none comes in time; otherwise see [`ClientError`].
    pub fn recv_packet(&mut self, timeout: Duration) -> Result<Vec<u8>, ClientError> {
        let mut bytes = self.recv_bytes(timeout)?;
        Ok(bytes.split_off(self.header_len.min(bytes.len())))
    }

    /// Waits for a frame, and gives its header and the frame.
    ///
    /// # Errors
    /// As [`recv_packet`](Self::recv_packet).
    pub fn recv_bytes(&mut self, timeout: Duration) -> Result<Vec<u8>, ClientError> {
        let end = Instant::now() + timeout;
        let mut bytes = self.recv_buffer(end)?;
        // Behind flags, type, two lengths and two places: the number of buffers.
        let count = match (self.merges(), bytes.get(10..12)) {
            (true, Some([low, high])) => u16::from_le_bytes([*low, *high]),
            _ => 1,
        };
        for _ in 1..count {
            bytes.extend(self.recv_buffer(end)?);
        }
        self.post(usize::from(count))?;
        Ok(bytes)
    }

    /// Stops both queues; where each of them was, as the back-end has it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn stop(&mut self) -> Result<[u32; 2], ClientError> {
        Ok([self.frontend.get_vring_base(0)?, self.frontend.get_vring_base(1)?])
    }

    fn merges(&self) -> bool {
        Features::from(self.features).has(Features::MRG_RXBUF)
    }

    /// What is in the next receive buffer.
    fn recv_buffer(&mut self, end: Instant) -> Result<Vec<u8>, ClientError> {
        let Self { ram, receive, .. } = self;
        let part = Part { ram, areas: receive.areas };
        loop {
            if let Some(completion) = receive.driver.reap(&part)? {
                return Ok(completion.data);
            }
            if receive.driver.want_calls(&part, Calls::Always) {
                continue;
            }
            let left = end.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            let mut fds = [PollFd::new(&receive.call, PollFlags::IN)];
            if retry_on_intr(|| poll(&mut fds, Some(&left))).map_err(io::Error::from)? == 0 {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
            // Somebody else cannot have read it, so it does not wait.
            rustix::io::read(&receive.call, &mut [0; 8]).map_err(io::Error::from)?;
        }
    }

    /// Makes receive buffers available.
    fn post(&mut self, count: usize) -> Result<(), ClientError> {
        let writable = if self.merges() { MERGED } else { BUFFER };
        let Self { ram, receive, .. } = self;
        let part = Part { ram, areas: receive.areas };
        for _ in 0..count {
            let request = Request { readable: &[], writable };
            receive.driver.publish(&part, &request, &Style::default())?;
        }
        receive.kick(ram)
    }
}

/// The features that a guest takes of those that it is offered.
fn choose(offered: u64, options: Options) -> Result<u64, ClientError> {
    let bit = |is_wanted: bool, bits: u64| if is_wanted { bits } else { 0 };
    let mergeable = u64::try_from(Features::MRG_RXBUF.bits()).unwrap_or(0);
    let needed = virtio::VERSION_1 | bit(options.packed, virtio::RING_PACKED);
    let wished = virtio::PROTOCOL_FEATURES
        | bit(options.event_idx, virtio::EVENT_IDX)
        | bit(options.indirect, virtio::INDIRECT_DESC)
        | bit(options.in_order, virtio::IN_ORDER)
        | bit(options.mergeable, mergeable);
    match needed & !offered {
        0 => Ok(offered & (needed | wished)),
        missing => Err(ClientError::Missing(missing)),
    }
}

/// Starts a queue.
fn start(
    frontend: &mut Frontend,
    stream: &UnixStream,
    ram: &Shared,
    index: u32,
    features: u64,
) -> Result<Queue, ClientError> {
    let has = |bit: u64| features & bit != 0;
    let format = if has(virtio::RING_PACKED) { Format::Packed } else { Format::Split };
    let areas = PARTS[usize::from(index != 0)];
    let setup = Setup::place(areas, format, SIZE).ok_or(ClientError::Full)?;
    let setup = Setup {
        event_idx: has(virtio::EVENT_IDX),
        indirect: has(virtio::INDIRECT_DESC),
        in_order: has(virtio::IN_ORDER),
        ..setup
    };
    let mut driver = AnyDriver::new(format, setup, &Part { ram, areas });
    let [kick, call] = [EventFd::new(EFD_NONBLOCK)?, EventFd::new(EFD_NONBLOCK)?];
    let heard = duplicate(&call)?;
    let _ = driver.want_calls(&Part { ram, areas }, Calls::Always);
    frontend.set_vring_num(index as usize, setup.size)?;
    set_base(stream, index, driver.base())?;
    let whole = Layout::Large.areas()[0];
    let user = |address: u64| address - whole.start + whole.user;
    let config = VringConfigData {
        queue_max_size: SIZE,
        queue_size: setup.size,
        flags: 0,
        desc_table_addr: user(setup.descriptor),
        used_ring_addr: user(setup.used),
        avail_ring_addr: user(setup.available),
        log_addr: None,
    };
    frontend.set_vring_addr(index as usize, &config)?;
    frontend.set_vring_call(index as usize, &call)?;
    frontend.set_vring_kick(index as usize, &kick)?;
    if has(virtio::PROTOCOL_FEATURES) {
        frontend.set_vring_enable(index as usize, true)?;
    }
    Ok(Queue { driver, areas, kick, call: heard })
}

/// Another descriptor of an eventfd, of a type that one can wait for.
fn duplicate(event: &EventFd) -> io::Result<OwnedFd> {
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(pidfd_getfd(&this, event.as_raw_fd(), PidfdGetfdFlags::empty())?)
}

/// `SET_VRING_BASE` as it is: the front-end of the `vhost` crate has no room for packed positions.
fn set_base(mut stream: &UnixStream, index: u32, base: u32) -> io::Result<()> {
    let words = [10, 1, 8, index, base];
    stream.write_all(words.map(u32::to_ne_bytes).as_flattened())
}

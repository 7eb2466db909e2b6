//! A guest with a network device, behind the front-end of the `vhost` crate.

use std::path::Path;
use std::time::{Duration, Instant};

use vhost::vhost_user::Frontend;
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_world::driver::{Request, Style};

use super::error::ClientError;
use super::virtio::VirtioClient;

/// Entries of a queue.
const SIZE: u16 = 128;

/// Receive buffers that are posted.
const POSTED: usize = 32;

/// Bytes of a receive buffer without `MRG_RXBUF`: the longest frame and the longest header.
const BUFFER: u64 = 1534;

/// Bytes of a receive buffer with `MRG_RXBUF`.
const MERGED: u64 = 512;

/// The queues.
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;

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

/// A guest with one pair of queues.
#[derive(Debug)]
pub struct VhostTestClient {
    device: VirtioClient,
    header_len: usize,
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
        let mut device = VirtioClient::connect(path)?;
        let features = choose(device.offered(), options)?;
        device.negotiate(features, protocol::MQ | protocol::REPLY_ACK)?;
        device.share_memory()?;
        device.start(SIZE)?;
        device.start(SIZE)?;
        // What is sent before a queue is enabled, the device discards (VU-063).
        device.settle()?;
        let mut client = Self { device, header_len: Features::from(features).header_len() };
        client.post(POSTED)?;
        Ok(client)
    }

    /// The features that were negotiated.
    #[must_use]
    pub const fn features(&self) -> u64 {
        self.device.features()
    }

    /// The front-end, to send it other messages.
    pub const fn frontend(&mut self) -> &mut Frontend {
        self.device.frontend()
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
        while self.device.reap(TRANSMIT)?.is_some() {}
        let request = Request { readable: bytes, writable: 0 };
        self.device.publish(TRANSMIT, &request, &Style::default())?;
        self.device.kick(TRANSMIT)
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
        let mut bytes = self.device.wait(RECEIVE, end)?.data;
        // Behind flags, type, two lengths and two places: the number of buffers.
        let count = match (self.merges(), bytes.get(10..12)) {
            (true, Some([low, high])) => u16::from_le_bytes([*low, *high]),
            _ => 1,
        };
        for _ in 1..count {
            bytes.extend(self.device.wait(RECEIVE, end)?.data);
        }
        self.post(usize::from(count))?;
        Ok(bytes)
    }

    /// Stops both queues; where each of them was, as the back-end has it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn stop(&mut self) -> Result<[u32; 2], ClientError> {
        Ok([self.device.stop(RECEIVE)?, self.device.stop(TRANSMIT)?])
    }

    fn merges(&self) -> bool {
        Features::from(self.features()).has(Features::MRG_RXBUF)
    }

    /// Makes receive buffers available.
    fn post(&mut self, count: usize) -> Result<(), ClientError> {
        let writable = if self.merges() { MERGED } else { BUFFER };
        for _ in 0..count {
            let request = Request { readable: &[], writable };
            self.device.publish(RECEIVE, &request, &Style::default())?;
        }
        self.device.kick(RECEIVE)
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

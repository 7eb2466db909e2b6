//! A virtio block device behind the front-end of the `vhost` crate (virtio 1.3 §5.2).

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_harness::guest::{ClientError, VirtioClient};
use vhost_fuzz_world::driver::{Completion, Request, Style, Tag};

use super::PATIENCE;

/// Bytes of a sector.
pub(crate) const SECTOR: u64 = 512;

/// Entries of a queue.
const SIZE: u16 = 128;

/// Bytes of the configuration space that every device of this kind has, up to write-zeroes.
const CONFIG_LEN: u32 = 60;

/// Feature bits of a block device.
pub(crate) mod feature {
    /// Requests have at most so many segments.
    pub(crate) const SEG_MAX: u64 = 1 << 2;
    /// The block size is told.
    pub(crate) const BLK_SIZE: u64 = 1 << 6;
    /// There is a flush.
    pub(crate) const FLUSH: u64 = 1 << 9;
    /// There are several queues.
    pub(crate) const MQ: u64 = 1 << 12;
    /// There is a discard.
    pub(crate) const DISCARD: u64 = 1 << 13;
    /// There is a write-zeroes.
    pub(crate) const WRITE_ZEROES: u64 = 1 << 14;
}

/// Types of requests.
pub(crate) mod kind {
    pub(crate) const READ: u32 = 0;
    pub(crate) const WRITE: u32 = 1;
    pub(crate) const FLUSH: u32 = 4;
    pub(crate) const GET_ID: u32 = 8;
    pub(crate) const DISCARD: u32 = 11;
    pub(crate) const WRITE_ZEROES: u32 = 13;
}

/// Status of a request that was done.
pub(crate) const OK: u8 = 0;

/// A disk with its queues.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) device: VirtioClient,
    config: Vec<u8>,
}

/// The header of a request, and what is behind it.
pub(crate) fn readable(kind: u32, sector: u64, data: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend([0; 4]);
    bytes.extend(sector.to_le_bytes());
    bytes.extend(data);
    bytes
}

/// What a discard and a write-zeroes are about.
pub(crate) fn segment(sector: u64, sectors: u32, flags: u32) -> Vec<u8> {
    let mut bytes = sector.to_le_bytes().to_vec();
    bytes.extend(sectors.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes
}

impl Disk {
    /// Connects, negotiates these ring features and everything that a disk has, and starts so many
    /// queues.
    ///
    /// # Errors
    /// The back-end does not do as it should, or the ring features are not offered.
    pub(crate) fn connect(path: &Path, rings: u64, queues: usize) -> Result<Self> {
        let mut device = VirtioClient::connect(path).context("no disk")?;
        let offered = device.offered();
        let needed = rings | virtio::VERSION_1 | virtio::PROTOCOL_FEATURES;
        let missing = needed & !offered;
        ensure!(missing == 0, "the disk does not offer features {missing:#x}");
        let wished = feature::SEG_MAX
            | feature::BLK_SIZE
            | feature::FLUSH
            | feature::MQ
            | feature::DISCARD
            | feature::WRITE_ZEROES;
        let wanted = protocol::MQ | protocol::REPLY_ACK | protocol::CONFIG;
        device.negotiate(needed | offered & wished, wanted)?;
        let config = device.read_config(0, CONFIG_LEN).context("the configuration space")?;
        device.share_memory()?;
        for _ in 0..queues {
            device.start(SIZE)?;
        }
        device.settle()?;
        Ok(Self { device, config })
    }

    /// Whether a feature was negotiated.
    pub(crate) fn has(&self, feature: u64) -> bool {
        self.device.features() & feature != 0
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        let bytes = self.config.get(at..at + N).and_then(|bytes| bytes.try_into().ok());
        bytes.unwrap_or([0; N])
    }

    /// Sectors that it has.
    pub(crate) fn capacity(&self) -> u64 {
        u64::from_le_bytes(self.field(0))
    }

    /// Bytes of a block.
    pub(crate) fn block_size(&self) -> u32 {
        u32::from_le_bytes(self.field(20))
    }

    /// Queues that it has.
    pub(crate) fn queues(&self) -> u16 {
        u16::from_le_bytes(self.field(34))
    }

    /// Makes a request available, and kicks.
    ///
    /// # Errors
    /// There is no room.
    pub(crate) fn send(
        &mut self,
        queue: usize,
        readable: &[u8],
        writable: u64,
        style: &Style,
    ) -> Result<Tag, ClientError> {
        let tag = self.device.publish(queue, &Request { readable, writable }, style)?;
        self.device.kick(queue)?;
        Ok(tag)
    }

    /// Waits for a request to come back.
    ///
    /// # Errors
    /// None does.
    pub(crate) fn wait(&mut self, queue: usize, end: Instant) -> Result<Completion, ClientError> {
        self.device.wait(queue, end)
    }

    /// Has a request done; its status, and what was read.
    ///
    /// # Errors
    /// It does not come back, or has no status.
    pub(crate) fn ask(
        &mut self,
        queue: usize,
        readable: &[u8],
        reads: u64,
        style: &Style,
    ) -> Result<(u8, Vec<u8>)> {
        self.send(queue, readable, reads + 1, style)?;
        let completion = self.wait(queue, Instant::now() + PATIENCE)?;
        let mut data = completion.data;
        let status = data.pop().context("a request comes back without a status")?;
        Ok((status, data))
    }

    /// Has a request done that has to succeed; what was read.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn must(
        &mut self,
        queue: usize,
        (kind, sector, data): (u32, u64, &[u8]),
        reads: u64,
        style: &Style,
    ) -> Result<Vec<u8>> {
        let (status, read) = self.ask(queue, &readable(kind, sector, data), reads, style)?;
        ensure!(status == OK, "request {kind} at sector {sector} ends with status {status}");
        Ok(read)
    }
}

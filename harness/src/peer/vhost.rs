//! The back-end of the `vhost` crate on one end of a socket pair.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vhost::vhost_user::message::{
    VhostTransferStateDirection, VhostTransferStatePhase, VhostUserConfigFlags, VhostUserInflight,
    VhostUserLog, VhostUserMemoryRegion, VhostUserShMemConfig, VhostUserSharedMsg,
    VhostUserSingleMemoryRegion, VhostUserVringAddrFlags, VhostUserVringState,
};
use vhost::vhost_user::{
    Backend, BackendReqHandler, Error, GpuBackend, Result, VhostUserBackendReqHandlerMut,
    VhostUserProtocolFeatures,
};

use super::{Device, Refused, Region, offer, quiet};

/// How the peer took a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It waits for the next one.
    Done,
    /// It refused the message, with a reply or without, and leaves it to its caller whether the
    /// connection goes on.
    Failed,
    /// It panicked, which ends its connection as the end of its process would.
    Panicked,
}

/// The peer.
pub struct Peer {
    handler: BackendReqHandler<Mutex<Recorder>>,
    recorder: Arc<Mutex<Recorder>>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("device", &self.recorder().device).finish_non_exhaustive()
    }
}

impl Peer {
    /// A new connection on this socket, which has to block.
    #[must_use]
    pub fn new(socket: UnixStream) -> Self {
        let recorder = Arc::new(Mutex::new(Recorder::default()));
        Self { handler: BackendReqHandler::from_stream(socket, Arc::clone(&recorder)), recorder }
    }

    /// Handles one message. It has to be in the socket as a whole, or the other end has to be
    /// shut down, because the peer waits for the rest of it.
    ///
    /// A panic of the peer is its verdict, as the end of its process would be.
    pub fn serve_one(&mut self) -> Verdict {
        match quiet::run(|| self.handler.handle_request()) {
            Some(Ok(())) => Verdict::Done,
            Some(Err(_)) => Verdict::Failed,
            None => Verdict::Panicked,
        }
    }

    /// The same without the guard against panics, for measuring.
    ///
    /// # Panics
    /// When the peer does.
    pub fn serve_one_unguarded(&mut self) -> Verdict {
        match self.handler.handle_request() {
            Ok(()) => Verdict::Done,
            Err(_) => Verdict::Failed,
        }
    }

    /// Looks at what its device knows.
    pub fn with_device<T>(&self, look: impl FnOnce(&Device) -> T) -> T {
        look(&self.recorder().device)
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands what the crate asks its user to the device.
#[derive(Debug, Default)]
struct Recorder {
    device: Device,
}

impl From<Refused> for Error {
    fn from(_: Refused) -> Self {
        Self::InvalidParam
    }
}

fn region(region: &VhostUserMemoryRegion) -> Region {
    Region {
        guest: region.guest_phys_addr,
        size: region.memory_size,
        user: region.user_addr,
        offset: region.mmap_offset,
    }
}

fn memfd(size: u64) -> std::io::Result<File> {
    let fd = memfd_create(c"inflight", MemfdFlags::CLOEXEC)?;
    ftruncate(&fd, size)?;
    Ok(File::from(fd))
}

impl VhostUserBackendReqHandlerMut for Recorder {
    fn set_owner(&mut self) -> Result<()> {
        Ok(())
    }

    fn reset_owner(&mut self) -> Result<()> {
        self.device.reset_owner();
        Ok(())
    }

    fn reset_device(&mut self) -> Result<()> {
        self.device.reset();
        Ok(())
    }

    fn get_features(&mut self) -> Result<u64> {
        Ok(offer::FEATURES)
    }

    fn set_features(&mut self, features: u64) -> Result<()> {
        Ok(self.device.set_features(features)?)
    }

    fn set_mem_table(
        &mut self,
        regions: &[VhostUserMemoryRegion],
        files: Vec<File>,
        _: Option<bool>,
    ) -> Result<Option<Vec<u64>>> {
        let regions: Vec<_> = regions.iter().map(region).collect();
        self.device.set_regions(&regions, &files)?;
        Ok(None)
    }

    fn set_vring_num(&mut self, index: u32, num: u32) -> Result<()> {
        Ok(self.device.set_size(index, num)?)
    }

    fn set_vring_addr(
        &mut self,
        index: u32,
        _: VhostUserVringAddrFlags,
        descriptor: u64,
        used: u64,
        available: u64,
        log: u64,
    ) -> Result<()> {
        Ok(self.device.set_addr(index, [descriptor, used, available, log])?)
    }

    fn set_vring_base(&mut self, index: u32, base: u32) -> Result<()> {
        Ok(self.device.set_base(index, base)?)
    }

    fn get_vring_base(&mut self, index: u32) -> Result<VhostUserVringState> {
        Ok(VhostUserVringState::new(index, self.device.take_base(index)?))
    }

    fn set_vring_kick(&mut self, index: u8, _: Option<File>) -> Result<()> {
        Ok(self.device.kick(index)?)
    }

    fn set_vring_call(&mut self, index: u8, _: Option<File>) -> Result<()> {
        Ok(self.device.notify(index)?)
    }

    fn set_vring_err(&mut self, index: u8, _: Option<File>) -> Result<()> {
        Ok(self.device.notify(index)?)
    }

    fn get_protocol_features(&mut self) -> Result<VhostUserProtocolFeatures> {
        Ok(VhostUserProtocolFeatures::from_bits_retain(offer::PROTOCOL_FEATURES))
    }

    fn set_protocol_features(&mut self, features: u64) -> Result<()> {
        Ok(self.device.set_protocol_features(features)?)
    }

    fn get_queue_num(&mut self) -> Result<u64> {
        Ok(offer::QUEUES.into())
    }

    fn set_vring_enable(&mut self, index: u32, enable: bool) -> Result<()> {
        Ok(self.device.enable(index, enable)?)
    }

    fn get_config(&mut self, offset: u32, size: u32, _: VhostUserConfigFlags) -> Result<Vec<u8>> {
        Ok(self.device.config(offset, size)?)
    }

    fn set_config(&mut self, offset: u32, data: &[u8], flags: VhostUserConfigFlags) -> Result<()> {
        Ok(self.device.set_config(offset, data, flags.bits())?)
    }

    fn set_backend_req_fd(&mut self, _: Backend) {}

    fn set_gpu_socket(&mut self, _: GpuBackend) -> Result<()> {
        Ok(())
    }

    fn get_shared_object(&mut self, _: VhostUserSharedMsg) -> Result<File> {
        Err(Error::InvalidParam) // there is none
    }

    fn get_inflight_fd(&mut self, asked: &VhostUserInflight) -> Result<(VhostUserInflight, File)> {
        let size = self.device.inflight(asked.num_queues, asked.queue_size)?;
        let file = memfd(size).map_err(Error::ReqHandlerError)?;
        Ok((VhostUserInflight::new(size, 0, asked.num_queues, asked.queue_size), file))
    }

    fn set_inflight_fd(&mut self, area: &VhostUserInflight, file: File) -> Result<()> {
        let place = (area.mmap_size, area.mmap_offset);
        Ok(self.device.set_inflight(place, (area.num_queues, area.queue_size), &file)?)
    }

    fn get_max_mem_slots(&mut self) -> Result<u64> {
        Ok(offer::MEM_SLOTS.into())
    }

    fn add_mem_region(
        &mut self,
        added: &VhostUserSingleMemoryRegion,
        file: File,
        _: Option<bool>,
    ) -> Result<Option<u64>> {
        self.device.add_region(region(added), &file)?;
        Ok(None)
    }

    fn remove_mem_region(&mut self, removed: &VhostUserSingleMemoryRegion) -> Result<()> {
        Ok(self.device.remove_region(&region(removed))?)
    }

    fn set_device_state_fd(
        &mut self,
        _: VhostTransferStateDirection,
        _: VhostTransferStatePhase,
        _: File,
    ) -> Result<Option<File>> {
        self.device.begin_transfer()?;
        Ok(None)
    }

    fn check_device_state(&mut self) -> Result<()> {
        Ok(self.device.end_transfer()?)
    }

    fn get_shmem_config(&mut self) -> Result<VhostUserShMemConfig> {
        let mut sizes = [0; 256];
        for (id, size) in offer::SHMEM {
            sizes[usize::from(id)] = size;
        }
        let regions = u32::try_from(offer::SHMEM.len()).map_err(|_| Error::InvalidParam)?;
        Ok(VhostUserShMemConfig::new(regions, &sizes))
    }

    fn set_log_base(&mut self, log: &VhostUserLog, file: File) -> Result<()> {
        Ok(self.device.set_log(log.mmap_size, log.mmap_offset, &file)?)
    }
}

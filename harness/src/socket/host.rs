//! What a session asks of its host, done for real where that needs no memory mapping.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, MemfdFlags, fstat, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
use vhost_fuzz_core::inflight::Geometry;
use vhost_fuzz_core::memory::map::{MapRange, check_file};
use vhost_fuzz_core::session::{Done, Effect, EffectError};
use vhost_fuzz_core::vhost_user::features::virtio;
use vhost_fuzz_core::vhost_user::payload::Region;

/// Stands for a mapping: this crate has no `unsafe`, so it keeps the file, which is long enough.
#[derive(Debug)]
pub struct Mapping {
    /// The file.
    pub fd: OwnedFd,
    /// First byte of what would be mapped.
    pub offset: u64,
    /// Bytes of it.
    pub len: u64,
}

/// What came of an effect.
pub(super) type Result<'d> = std::result::Result<Done<'d, OwnedFd, Mapping>, EffectError>;

/// A device with a configuration space, and the descriptors that are its own. It processes no
/// ring, so that it can start and stop all of them at once.
#[derive(Debug)]
pub struct Host {
    config: Box<[u8]>,
    initial: Box<[u8]>,
    page_size: u64,
    is_packed: bool,
    channel: Option<OwnedFd>,
    gpu: Option<OwnedFd>,
}

impl Host {
    /// A device with this configuration space, which maps files in pages of `page_size` bytes.
    #[must_use]
    pub fn new(config: &[u8], page_size: u64) -> Self {
        Self {
            config: config.into(),
            initial: config.into(),
            page_size,
            is_packed: false,
            channel: None,
            gpu: None,
        }
    }

    /// The back-end's end of the back-end channel.
    #[must_use]
    pub fn channel(&self) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().map(AsFd::as_fd)
    }

    /// Forgets the connection.
    pub fn reset(&mut self) {
        self.config.copy_from_slice(&self.initial);
        self.is_packed = false;
        self.channel = None;
        self.gpu = None;
    }

    /// Does what the session asks for. Stopping a ring is the
    /// [server](super::Server)'s, which knows where it stands.
    ///
    /// # Errors
    /// The `errno` of what failed; `ENOSYS` for what this device does not have.
    pub fn perform(&mut self, effect: Effect<'_, OwnedFd>) -> Result<'_> {
        match effect {
            Effect::Features { features } => self.is_packed = features & virtio::RING_PACKED != 0,
            Effect::Reset => self.is_packed = false,
            Effect::MapRegion { region, fd } => return map_region(&region, fd, self.page_size),
            Effect::MapLog { log, fd } => return map(fd, log.offset, log.size),
            Effect::MapInflight { area, fd } => {
                return map(fd, area.mmap_offset, area.mmap_size);
            }
            Effect::AllocateInflight { queues, queue_size } => {
                return allocate(Geometry { queues, queue_size, packed: self.is_packed });
            }
            Effect::OpenChannel { fd } => self.channel = Some(unix_stream(fd)?),
            Effect::GpuSocket { fd } => self.gpu = Some(unix_stream(fd)?),
            Effect::ReadConfig { offset, size } => {
                let data = window(offset, size as usize).and_then(|at| self.config.get(at));
                return data.map(Done::Config).ok_or(failed(Errno::INVAL));
            }
            Effect::WriteConfig { offset, data, .. } => {
                let space = window(offset, data.len()).and_then(|at| self.config.get_mut(at));
                space.ok_or(failed(Errno::INVAL))?.copy_from_slice(data);
            }
            // It has no object of that name, and no channel of its own to offer.
            Effect::SharedObject { .. } | Effect::Transfer { .. } => {
                return Ok(Done::MaybeFd(None));
            }
            Effect::CreateCrypto { .. }
            | Effect::CloseCrypto { .. }
            | Effect::OpenUserfault
            | Effect::RegisterUserfault
            | Effect::CloseUserfault
            | Effect::StopRing { .. } => return Err(failed(Errno::NOSYS)),
            Effect::Quiesce
            | Effect::StartRing { .. }
            | Effect::UpdateRing { .. }
            | Effect::KickRing { .. }
            | Effect::Rarp { .. }
            | Effect::Mtu { .. }
            | Effect::Status { .. }
            | Effect::CheckTransfer => {}
        }
        Ok(Done::Nothing)
    }
}

fn failed(error: Errno) -> EffectError {
    EffectError(error.raw_os_error())
}

fn window(offset: u32, len: usize) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(offset).ok()?;
    Some(start..start.checked_add(len)?)
}

fn map_region(region: &Region, fd: OwnedFd, page_size: u64) -> Result<'static> {
    let len = file_len(&fd)?;
    let range = MapRange::of(region, page_size).map_err(|_| failed(Errno::INVAL))?;
    check_file(region, len).map_err(|_| failed(Errno::NXIO))?; // DC-026
    let mapping = Mapping { fd, offset: range.file_offset, len: range.len };
    Ok(Done::Mapped { mapping, address: 0 })
}

/// What is mapped has to end inside its file: an access beyond would be fatal (HZ-46).
fn map(fd: OwnedFd, offset: u64, len: u64) -> Result<'static> {
    let end = offset.checked_add(len).ok_or(failed(Errno::OVERFLOW))?;
    if end > file_len(&fd)? {
        return Err(failed(Errno::NXIO));
    }
    Ok(Done::Mapped { mapping: Mapping { fd, offset, len }, address: 0 })
}

/// Bytes of a regular file. Nothing else has a size that means anything (HZ-46b).
fn file_len(fd: &OwnedFd) -> std::result::Result<u64, EffectError> {
    let stat = fstat(fd).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(failed(Errno::NODEV));
    }
    u64::try_from(stat.st_size).map_err(|_| failed(Errno::OVERFLOW))
}

fn allocate(geometry: Geometry) -> Result<'static> {
    let mmap_size = geometry.area_len();
    let fd = memfd_create(c"inflight", MemfdFlags::CLOEXEC).map_err(failed)?;
    ftruncate(&fd, mmap_size).map_err(failed)?;
    Ok(Done::Inflight { fd, mmap_size, mmap_offset: 0 })
}

/// The descriptor, if it is a unix stream socket (HZ-23).
fn unix_stream(fd: OwnedFd) -> std::result::Result<OwnedFd, EffectError> {
    let is_stream = socket_domain(&fd).map_err(failed)? == AddressFamily::UNIX
        && socket_type(&fd).map_err(failed)? == SocketType::STREAM;
    if is_stream { Ok(fd) } else { Err(failed(Errno::PROTOTYPE)) }
}

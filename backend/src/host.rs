//! What a session asks for, done.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
use vhost_fuzz_core::inflight::Geometry;
use vhost_fuzz_core::memory::RingSize;
use vhost_fuzz_core::session::{Done, Effect, EffectError, Offer, RingChange};
use vhost_fuzz_core::vhost_user::features::virtio;

use crate::Mapping;
use crate::device::Device;
use crate::mapping::inflight_file;
use crate::notify::Notices;
use crate::vring::Vring;

/// What came of an effect.
type Result<'d> = std::result::Result<Done<'d, OwnedFd, Mapping>, EffectError>;

/// A device, its rings, and what a front-end has handed over.
#[derive(Debug)]
pub(crate) struct Host<D> {
    pub(crate) device: D,
    pub(crate) vrings: Box<[Vring]>,
    page_size: u64,
    features: u64,
    pub(crate) notices: Notices,
}

impl<D: Device> Host<D> {
    /// A device with as many rings as it offers.
    pub(crate) fn new(device: D, offer: &Offer) -> Self {
        // A split ring of this device has a power of two; packed ones may have any size.
        let max = RingSize::check(offer.max_queue_size.into(), true, RingSize::MAX);
        let vrings = max.map_or_else(
            |_| Box::default(),
            |max| (0..offer.queues).map(|index| Vring::new(index.into(), max)).collect(),
        );
        Self { device, vrings, page_size: offer.page_size, features: 0, notices: Notices::new() }
    }

    /// Forgets the connection.
    pub(crate) fn reset(&mut self) {
        self.stop();
        self.device.reset();
        self.features = 0;
        self.notices.close();
    }

    fn stop(&mut self) {
        for vring in &mut self.vrings {
            let _ = vring.stop();
        }
    }

    fn vring(&mut self, index: u32) -> std::result::Result<&mut Vring, EffectError> {
        let index = usize::try_from(index).ok();
        index.and_then(|index| self.vrings.get_mut(index)).ok_or(failed(Errno::INVAL))
    }

    /// Does what the session asks for. Stopping a ring is the connection's, which knows where it
    /// stands if it never ran.
    pub(crate) fn perform(&mut self, effect: Effect<'_, OwnedFd>) -> Result<'_> {
        match effect {
            Effect::Features { features } => {
                self.features = features;
                self.device.negotiated(features);
                self.vrings.iter_mut().for_each(Vring::renew);
            }
            Effect::MapRegion { region, fd } => {
                return mapped(Mapping::of_region(&region, fd, self.page_size));
            }
            Effect::MapLog { log, fd } => {
                return mapped(Mapping::of_file(fd, log.offset, log.size, self.page_size));
            }
            Effect::MapInflight { area, fd } => {
                let (offset, size) = (area.mmap_offset, area.mmap_size);
                return mapped(Mapping::of_file(fd, offset, size, self.page_size));
            }
            Effect::AllocateInflight { queues, queue_size } => {
                let packed = self.features & virtio::RING_PACKED != 0;
                let file = inflight_file(Geometry { queues, queue_size, packed });
                let (fd, mmap_size) = file.map_err(failed)?;
                return Ok(Done::Inflight { fd, mmap_size, mmap_offset: 0 });
            }
            Effect::UpdateRing { index, change: RingChange::Addr } => self.vring(index)?.renew(),
            Effect::StartRing { index }
            | Effect::UpdateRing { index, .. }
            | Effect::KickRing { index } => {
                let vring = self.vring(index)?;
                vring.is_deaf = false;
                vring.due.work = true;
            }
            Effect::OpenChannel { fd } => self.notices.open(unix_stream(fd)?),
            Effect::Rarp { mac } => self.device.announce(mac),
            Effect::Mtu { mtu } => self.device.set_mtu(mtu)?,
            Effect::ReadConfig { offset, size } => {
                let window = window(offset, size as usize);
                let data = window.and_then(|window| self.device.config().get(window));
                return data.map(Done::Config).ok_or(failed(Errno::INVAL));
            }
            Effect::WriteConfig { offset, data, .. } => {
                let start = window(offset, data.len()).ok_or(failed(Errno::INVAL))?.start;
                self.device.write_config(start, data)?;
            }
            Effect::Reset => {
                self.stop();
                self.device.reset();
            }
            // No device offers what these belong to, but for the socket of a GPU, which has no
            // feature (DC-152).
            Effect::SharedObject { .. }
            | Effect::Transfer { .. }
            | Effect::CheckTransfer
            | Effect::CreateCrypto { .. }
            | Effect::CloseCrypto { .. }
            | Effect::OpenUserfault
            | Effect::RegisterUserfault
            | Effect::CloseUserfault
            | Effect::GpuSocket { .. }
            | Effect::StopRing { .. } => return Err(failed(Errno::NOSYS)),
            // Messages are handled between wake-ups, so nobody touches memory now.
            Effect::Quiesce | Effect::Status { .. } => {}
        }
        Ok(Done::Nothing)
    }
}

fn mapped(mapping: std::result::Result<Mapping, Errno>) -> Result<'static> {
    let mapping = mapping.map_err(failed)?;
    let address = mapping.address();
    Ok(Done::Mapped { mapping, address })
}

fn failed(error: Errno) -> EffectError {
    EffectError(error.raw_os_error())
}

fn window(offset: u32, len: usize) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(offset).ok()?;
    Some(start..start.checked_add(len)?)
}

/// The descriptor, if it is a unix stream socket (HZ-23).
fn unix_stream(fd: OwnedFd) -> std::result::Result<OwnedFd, EffectError> {
    let is_stream = socket_domain(&fd).map_err(failed)? == AddressFamily::UNIX
        && socket_type(&fd).map_err(failed)? == SocketType::STREAM;
    if is_stream { Ok(fd) } else { Err(failed(Errno::PROTOTYPE)) }
}

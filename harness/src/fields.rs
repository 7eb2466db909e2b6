//! The fields of a decoded message under the names that the model uses, so that both sides can
//! be compared without either knowing the other.

use vhost_fuzz_core::vhost_user::payload::{Region, VringFd};
use vhost_fuzz_core::vhost_user::{Message, Payload};

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number, whatever its width.
    Number(u64),
    /// Bytes that have no order.
    Bytes(&'a [u8]),
}

impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        Self::Number(value)
    }
}

impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Self::Number(value.into())
    }
}

impl From<u16> for Value<'_> {
    fn from(value: u16) -> Self {
        Self::Number(value.into())
    }
}

impl From<u8> for Value<'_> {
    fn from(value: u8) -> Self {
        Self::Number(value.into())
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<VringFd> for Value<'_> {
    fn from(value: VringFd) -> Self {
        Self::Number(value.0)
    }
}

macro_rules! visit {
    ($see:ident: $($name:literal = $value:expr),* $(,)?) => {{ $($see($name, $value.into());)* }};
}

/// Shows every field of the payload in the order of the wire; what follows the fields comes last
/// under the name `rest`.
pub fn visit<'a>(message: &Message<'a>, mut see: impl FnMut(&'static str, Value<'_>)) {
    match message.payload {
        Payload::None => {}
        Payload::U64(value) => visit!(see: "u64" = value),
        Payload::VringFd(value) => visit!(see: "vring_fd" = value),
        Payload::State(state) => visit!(see: "index" = state.index, "num" = state.num),
        Payload::Addr(addr) => visit!(see:
            "index" = addr.index, "flags" = addr.flags, "descriptor" = addr.descriptor,
            "used" = addr.used, "available" = addr.available, "log" = addr.log),
        Payload::MemTable(table) => {
            visit!(see: "regions" = table.count(), "padding" = table.padding());
            table.regions().for_each(|region| visit_region(&region, &mut see));
        }
        Payload::MemReg(reg) => {
            visit!(see: "padding" = reg.padding);
            visit_region(&reg.region, &mut see);
        }
        Payload::Log(log) => visit!(see: "log_size" = log.size, "log_offset" = log.offset),
        Payload::Iotlb(iotlb) => visit!(see:
            "iova" = iotlb.iova, "size" = iotlb.size, "user_address" = iotlb.user_address,
            "permissions" = iotlb.permissions, "type" = iotlb.kind,
            "padding" = &iotlb.padding[..]),
        Payload::Config(config) => visit!(see:
            "offset" = config.offset, "size" = config.size, "flags" = config.flags,
            "rest" = config.payload),
        Payload::Area(area) => visit!(see:
            "vring_fd" = area.vring, "size" = area.size, "offset" = area.offset),
        Payload::Inflight(area) => visit!(see:
            "mmap_size" = area.mmap_size, "mmap_offset" = area.mmap_offset,
            "num_queues" = area.num_queues, "queue_size" = area.queue_size,
            "padding" = area.padding),
        Payload::Shared(object) => visit!(see: "uuid" = &object.uuid[..]),
        Payload::Transfer(transfer) => visit!(see:
            "direction" = transfer.direction, "phase" = transfer.phase),
        Payload::ShmemMap(map) => visit!(see:
            "shmid" = map.shmid, "padding" = &map.padding[..], "fd_offset" = map.fd_offset,
            "shm_offset" = map.shm_offset, "len" = map.len, "flags" = map.flags),
        Payload::ShmemConfig(config) => visit!(see:
            "regions" = config.regions, "padding" = config.padding,
            "sizes" = &config.sizes[..]),
        Payload::Crypto(session) => visit!(see: "crypto" = &session.as_bytes()[..]),
        Payload::Unknown(bytes) => visit!(see: "rest" = bytes),
    }
}

fn visit_region(region: &Region, see: &mut impl FnMut(&'static str, Value<'_>)) {
    visit!(see:
        "guest_address" = region.guest_address, "size" = region.size,
        "user_address" = region.user_address, "mmap_offset" = region.mmap_offset);
    if let Some(xen) = region.xen {
        visit!(see: "xen_flags" = xen.flags, "domid" = xen.domid);
    }
}

//! The tables of spec §2, §3 and §4, copied by hand.

/// A field of a payload: its name, its offset and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name as the harness calls it.
    pub name: &'static str,
    /// Offset in the payload.
    pub offset: usize,
    /// Bytes.
    pub width: usize,
    /// A number in the machine's byte order, or bytes that have no order.
    pub is_number: bool,
}

const fn number(name: &'static str, offset: usize, width: usize) -> Field {
    Field { name, offset, width, is_number: true }
}

const fn bytes(name: &'static str, offset: usize, width: usize) -> Field {
    Field { name, offset, width, is_number: false }
}

/// P-U64.
pub const U64: &[Field] = &[number("u64", 0, 8)];
/// P-VRING-FD.
pub const VRING_FD: &[Field] = &[number("vring_fd", 0, 8)];
/// P-STATE and P-BASE.
pub const STATE: &[Field] = &[number("index", 0, 4), number("num", 4, 4)];
/// P-ADDR.
pub const ADDR: &[Field] = &[
    number("index", 0, 4),
    number("flags", 4, 4),
    number("descriptor", 8, 8),
    number("used", 16, 8),
    number("available", 24, 8),
    number("log", 32, 8),
];
/// P-REGION.
pub const REGION: &[Field] = &[
    number("guest_address", 0, 8),
    number("size", 8, 8),
    number("user_address", 16, 8),
    number("mmap_offset", 24, 8),
];
/// P-REGION with `XEN_MMAP`.
pub const XEN_REGION: &[Field] = &[
    number("guest_address", 0, 8),
    number("size", 8, 8),
    number("user_address", 16, 8),
    number("mmap_offset", 24, 8),
    number("xen_flags", 32, 4),
    number("domid", 36, 4),
];
/// P-MEMTABLE before its regions.
pub const MEMTABLE: &[Field] = &[number("regions", 0, 4), number("padding", 4, 4)];
/// P-MEMREG before its region.
pub const MEMREG: &[Field] = &[number("padding", 0, 8)];
/// P-LOG.
pub const LOG: &[Field] = &[number("log_size", 0, 8), number("log_offset", 8, 8)];
/// P-IOTLB.
pub const IOTLB: &[Field] = &[
    number("iova", 0, 8),
    number("size", 8, 8),
    number("user_address", 16, 8),
    number("permissions", 24, 1),
    number("type", 25, 1),
    bytes("padding", 26, 6),
];
/// P-CONFIG before its data.
pub const CONFIG: &[Field] = &[number("offset", 0, 4), number("size", 4, 4), number("flags", 8, 4)];
/// P-AREA.
pub const AREA: &[Field] =
    &[number("vring_fd", 0, 8), number("size", 8, 8), number("offset", 16, 8)];
/// P-INFLIGHT.
pub const INFLIGHT: &[Field] = &[
    number("mmap_size", 0, 8),
    number("mmap_offset", 8, 8),
    number("num_queues", 16, 2),
    number("queue_size", 18, 2),
    number("padding", 20, 4),
];
/// P-SHARED.
pub const SHARED: &[Field] = &[bytes("uuid", 0, 16)];
/// P-XFER.
pub const XFER: &[Field] = &[number("direction", 0, 4), number("phase", 4, 4)];
/// P-MMAP.
pub const MMAP: &[Field] = &[
    number("shmid", 0, 1),
    bytes("padding", 1, 7),
    number("fd_offset", 8, 8),
    number("shm_offset", 16, 8),
    number("len", 24, 8),
    number("flags", 32, 8),
];
/// P-SHMEMCFG.
pub const SHMEMCFG: &[Field] =
    &[number("regions", 0, 4), number("padding", 4, 4), bytes("sizes", 8, 2048)];
/// P-CRYPTO.
pub const CRYPTO: &[Field] = &[bytes("crypto", 0, 1072)];

/// The payloads of spec §2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum P {
    /// P-NONE.
    None,
    /// P-U64.
    U64,
    /// P-VRING-FD.
    VringFd,
    /// P-STATE.
    State,
    /// P-ADDR.
    Addr,
    /// P-MEMTABLE.
    MemTable,
    /// P-MEMREG.
    MemReg,
    /// P-LOG.
    Log,
    /// P-IOTLB.
    Iotlb,
    /// P-CONFIG.
    Config,
    /// P-AREA.
    Area,
    /// P-INFLIGHT.
    Inflight,
    /// P-SHARED.
    Shared,
    /// P-XFER.
    Xfer,
    /// P-MMAP.
    Mmap,
    /// P-SHMEMCFG.
    ShmemCfg,
    /// P-CRYPTO.
    Crypto,
}

impl P {
    /// The fields at the front of the payload that are always there.
    #[must_use]
    pub const fn fields(self) -> &'static [Field] {
        match self {
            Self::None => &[],
            Self::U64 => U64,
            Self::VringFd => VRING_FD,
            Self::State => STATE,
            Self::Addr => ADDR,
            Self::MemTable => MEMTABLE,
            Self::MemReg => MEMREG,
            Self::Log => LOG,
            Self::Iotlb => IOTLB,
            Self::Config => CONFIG,
            Self::Area => AREA,
            Self::Inflight => INFLIGHT,
            Self::Shared => SHARED,
            Self::Xfer => XFER,
            Self::Mmap => MMAP,
            Self::ShmemCfg => SHMEMCFG,
            Self::Crypto => CRYPTO,
        }
    }

    /// Bytes of a payload that has one size; of its front part otherwise.
    #[must_use]
    pub const fn front_len(self) -> usize {
        match self {
            Self::None => 0,
            Self::U64 | Self::VringFd | Self::State | Self::Xfer => 8,
            Self::Addr | Self::Mmap => 40,
            Self::MemTable | Self::MemReg => 8,
            Self::Log | Self::Shared => 16,
            Self::Iotlb => 32,
            Self::Config => 12,
            Self::Area | Self::Inflight => 24,
            Self::ShmemCfg => 2056,
            Self::Crypto => 1072,
        }
    }
}

/// A row: request payload, fewest and most descriptors of the request, then the same of the reply.
pub type Row = (P, [usize; 2], P, [usize; 2]);

/// Spec §3; the index is the id.
pub const MAIN: [Option<Row>; 46] = [
    None,
    Some((P::None, [0, 0], P::U64, [0, 0])),
    Some((P::U64, [0, 0], P::U64, [0, 0])),
    Some((P::None, [0, 0], P::U64, [0, 0])),
    Some((P::None, [0, 0], P::U64, [0, 0])),
    Some((P::MemTable, [0, 8], P::MemTable, [0, 0])),
    Some((P::Log, [0, 1], P::Log, [0, 0])),
    Some((P::None, [1, 1], P::U64, [0, 0])),
    Some((P::State, [0, 0], P::U64, [0, 0])),
    Some((P::Addr, [0, 0], P::U64, [0, 0])),
    Some((P::State, [0, 0], P::U64, [0, 0])),
    Some((P::State, [0, 0], P::State, [0, 0])),
    Some((P::VringFd, [0, 1], P::U64, [0, 0])),
    Some((P::VringFd, [0, 1], P::U64, [0, 0])),
    Some((P::VringFd, [0, 1], P::U64, [0, 0])),
    Some((P::None, [0, 0], P::U64, [0, 0])),
    Some((P::U64, [0, 0], P::U64, [0, 0])),
    Some((P::None, [0, 0], P::U64, [0, 0])),
    Some((P::State, [0, 0], P::U64, [0, 0])),
    Some((P::U64, [0, 0], P::U64, [0, 0])),
    Some((P::U64, [0, 0], P::U64, [0, 0])),
    Some((P::None, [1, 1], P::U64, [0, 0])),
    Some((P::Iotlb, [0, 0], P::U64, [0, 0])),
    Some((P::State, [0, 0], P::U64, [0, 0])),
    Some((P::Config, [0, 0], P::Config, [0, 0])),
    Some((P::Config, [0, 0], P::U64, [0, 0])),
    Some((P::Crypto, [0, 0], P::Crypto, [0, 0])),
    Some((P::U64, [0, 0], P::U64, [0, 0])),
    Some((P::None, [0, 0], P::None, [1, 1])),
    Some((P::None, [0, 0], P::U64, [0, 0])),
    Some((P::None, [0, 0], P::U64, [0, 0])),
    Some((P::Inflight, [0, 0], P::Inflight, [0, 1])),
    Some((P::Inflight, [1, 1], P::U64, [0, 0])),
    Some((P::None, [1, 1], P::U64, [0, 0])),
    Some((P::None, [0, 0], P::U64, [0, 0])),
    Some((P::State, [0, 0], P::U64, [0, 0])),
    Some((P::None, [0, 0], P::U64, [0, 0])),
    Some((P::MemReg, [1, 1], P::MemReg, [0, 0])),
    Some((P::MemReg, [0, 1], P::U64, [0, 0])),
    Some((P::U64, [0, 0], P::U64, [0, 0])),
    Some((P::None, [0, 0], P::U64, [0, 0])),
    Some((P::Shared, [0, 0], P::Shared, [0, 1])),
    Some((P::Xfer, [1, 1], P::U64, [0, 1])),
    Some((P::None, [0, 0], P::U64, [0, 0])),
    Some((P::None, [0, 0], P::ShmemCfg, [0, 0])),
    Some((P::State, [0, 0], P::State, [0, 0])),
];

/// Spec §4: as [`MAIN`], for the back-end channel.
pub const BACKEND: [Option<Row>; 11] = [
    None,
    Some((P::Iotlb, [0, 0], P::U64, [0, 0])),
    Some((P::None, [0, 0], P::U64, [0, 0])),
    Some((P::Area, [0, 1], P::U64, [0, 0])),
    Some((P::State, [0, 0], P::U64, [0, 0])),
    Some((P::State, [0, 0], P::U64, [0, 0])),
    Some((P::Shared, [0, 0], P::U64, [0, 0])),
    Some((P::Shared, [0, 0], P::U64, [0, 0])),
    Some((P::Shared, [0, 0], P::U64, [0, 1])),
    Some((P::Mmap, [1, 1], P::U64, [0, 0])),
    Some((P::Mmap, [0, 0], P::U64, [0, 0])),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_one_after_another_up_to_the_length() {
        let rows = MAIN.iter().chain(&BACKEND).flatten();
        for payload in rows.flat_map(|(request, _, reply, _)| [request, reply]) {
            let end = payload.fields().iter().fold(0, |at, field| {
                assert_eq!(field.offset, at, "{payload:?}: {}", field.name);
                at + field.width
            });
            assert_eq!(end, payload.front_len(), "{payload:?}");
        }
        for fields in [REGION, XEN_REGION] {
            let end = fields.iter().fold(0, |at, field| {
                assert_eq!(field.offset, at, "{}", field.name);
                at + field.width
            });
            assert!([32, 40].contains(&end));
        }
    }
}

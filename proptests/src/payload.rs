//! Values of every payload type of the protocol.
//!
//! A strategy of this file gives any value of its type. Which of them are legal in a message,
//! and with how many descriptors, is the business of [`shape`](crate::shape).

use proptest::array::{uniform6, uniform7, uniform16};
use proptest::collection::vec;
use proptest::prelude::*;

use vhost_fuzz_core::vhost_user::payload::{
    Config, CryptoSession, Inflight, Iotlb, LogBase, MemReg, MemTable, Region, RegionBytes,
    SharedObject, ShmemConfig, ShmemMap, Transfer, VringAddr, VringArea, VringFd, VringState,
    XenMmap,
};
use vhost_fuzz_core::vhost_user::{Layout, MAX_REGIONS, Payload};

use crate::number::{self, Boundary, Pattern, u8, u16, u32, u64};

/// Longest data of a configuration window: with its prefix it fills the 4096 bytes that the
/// framer takes.
pub const CONFIG_DATA_LIMIT: usize = 4096 - 12;

/// A payload that owns its bytes. What a message cannot borrow is kept as numbers, and the
/// production types write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedPayload {
    /// One that borrows nothing.
    Plain(Payload<'static>),
    /// P-MEMTABLE.
    MemTable(Table),
    /// P-CONFIG.
    Config(Window),
    /// P-SHMEMCFG.
    ShmemConfig(Sizes),
    /// P-CRYPTO.
    Crypto(Session),
    /// The payload of an id that the specification does not have.
    Unknown(Vec<u8>),
}

impl OwnedPayload {
    /// Shows the payload as a message borrows it.
    pub fn with<R>(&self, see: impl FnOnce(Payload<'_>) -> R) -> R {
        match self {
            Self::Plain(payload) => see(*payload),
            Self::MemTable(table) => {
                let layout = Layout { xen_mmap: table.is_xen(), ..Layout::default() };
                see(Payload::MemTable(MemTable::new(table.count(), layout, &table.bytes())))
            }
            Self::Config(window) => see(Payload::Config(Config {
                offset: window.offset,
                size: window.size,
                flags: window.flags,
                payload: &window.data,
            })),
            Self::ShmemConfig(config) => see(Payload::ShmemConfig(ShmemConfig {
                regions: config.regions,
                padding: config.padding,
                sizes: &config.sizes(),
            })),
            Self::Crypto(session) => see(Payload::Crypto(CryptoSession::new(&session.bytes()))),
            Self::Unknown(bytes) => see(Payload::Unknown(bytes)),
        }
    }
}

/// The parts of a P-MEMTABLE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The four bytes after the count.
    pub padding: u32,
    /// The regions, all with Xen fields or all without.
    pub regions: Vec<Region>,
    /// What follows them.
    pub tail: Vec<u8>,
}

impl Table {
    /// How many regions there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.regions.len()).expect("a strategy makes no more than 8")
    }

    /// Whether the regions have Xen fields.
    #[must_use]
    pub fn is_xen(&self) -> bool {
        self.regions.iter().any(|region| region.xen.is_some())
    }

    /// The regions and the tail.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = RegionBytes::new(&self.regions).as_bytes().to_vec();
        bytes.extend(&self.tail);
        bytes
    }
}

/// The parts of a P-CONFIG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// First byte of the window.
    pub offset: u32,
    /// Its size field.
    pub size: u32,
    /// Flags.
    pub flags: u32,
    /// Data, of any length.
    pub data: Vec<u8>,
}

/// The parts of a P-SHMEMCFG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The number at the front.
    pub regions: u32,
    /// The four bytes after it.
    pub padding: u32,
    /// Region ids and their sizes; the other regions have size 0.
    pub by_id: Vec<(u8, u64)>,
}

impl Sizes {
    /// All 256 sizes as they are on the wire.
    #[must_use]
    pub fn sizes(&self) -> [u8; 2048] {
        let mut sizes = [0; 2048];
        for (id, size) in &self.by_id {
            let at = usize::from(*id) * 8;
            sizes[at..at + 8].copy_from_slice(&size.to_ne_bytes());
        }
        sizes
    }
}

/// The parts of a P-CRYPTO that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Operation code in the low half; some senders leave anything in the high one.
    pub operation: u64,
    /// Symmetric: length of the cipher key.
    pub cipher_key_len: u32,
    /// Asymmetric: length of the key.
    pub asymmetric_key_len: u32,
    /// Symmetric: length of the authentication key.
    pub auth_key_len: u32,
    /// Session id.
    pub id: i64,
    /// All other bytes.
    pub rest: Pattern,
}

impl Session {
    /// Offset of the length of the cipher key.
    pub const CIPHER_KEY_LEN: usize = 12;
    /// Offset of the length of the asymmetric key.
    pub const ASYMMETRIC_KEY_LEN: usize = 16;
    /// Offset of the length of the authentication key.
    pub const AUTH_KEY_LEN: usize = 24;
    /// Offset of the session id.
    pub const ID: usize = 1064;

    /// Whether the operation code asks for the asymmetric form.
    #[must_use]
    pub fn is_asymmetric(&self) -> bool {
        self.operation & u64::from(u32::MAX) == u64::from(CryptoSession::CREATE_ASYMMETRIC)
    }

    /// The session as it is on the wire.
    ///
    /// # Panics
    /// Never: the pattern is as long as the layout.
    #[must_use]
    pub fn bytes(&self) -> [u8; 1072] {
        let mut bytes: [u8; 1072] =
            self.rest.bytes(1072).try_into().expect("a pattern has the length that is asked for");
        let mut put = |at: usize, field: &[u8]| bytes[at..][..field.len()].copy_from_slice(field);
        put(0, &self.operation.to_ne_bytes());
        put(Self::CIPHER_KEY_LEN, &self.cipher_key_len.to_ne_bytes());
        put(Self::ASYMMETRIC_KEY_LEN, &self.asymmetric_key_len.to_ne_bytes());
        put(Self::AUTH_KEY_LEN, &self.auth_key_len.to_ne_bytes());
        put(Self::ID, &self.id.to_ne_bytes());
        bytes
    }
}

/// What was negotiated; shrinks to nothing.
pub fn layout() -> impl Strategy<Value = Layout> + Clone {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(xen_mmap, log_shmfd, postcopy_ack)| {
        Layout { xen_mmap, log_shmfd, postcopy_ack }
    })
}

/// P-VRING-FD: index, no-descriptor flag, and the bits above.
pub fn vring_fd() -> impl Strategy<Value = VringFd> + Clone {
    (u8(), any::<bool>(), Boundary::new(0..=(1 << 55) - 1)).prop_map(|(index, no_fd, high)| {
        VringFd(u64::from(index) | u64::from(no_fd) << 8 | high << 9)
    })
}

/// P-STATE and P-BASE.
pub fn vring_state() -> impl Strategy<Value = VringState> + Clone {
    (u32(), u32()).prop_map(|(index, num)| VringState { index, num })
}

/// P-ADDR.
pub fn vring_addr() -> impl Strategy<Value = VringAddr> + Clone {
    (u32(), u32(), u64(), u64(), u64(), u64()).prop_map(
        |(index, flags, descriptor, used, available, log)| VringAddr {
            index,
            flags,
            descriptor,
            used,
            available,
            log,
        },
    )
}

/// P-AREA.
pub fn vring_area() -> impl Strategy<Value = VringArea> + Clone {
    (vring_fd(), u64(), u64()).prop_map(|(vring, size, offset)| VringArea { vring, size, offset })
}

/// P-REGION, with the Xen fields.
pub fn xen_region() -> impl Strategy<Value = Region> + Clone {
    (u64(), u64(), u64(), u64(), (u32(), u32())).prop_map(
        |(guest_address, size, user_address, mmap_offset, (flags, domid))| Region {
            guest_address,
            size,
            user_address,
            mmap_offset,
            xen: Some(XenMmap { flags, domid }),
        },
    )
}

/// P-MEMTABLE of one to eight regions, with the Xen fields or without, and with a tail of any
/// length that the full table has room for.
pub fn table(is_xen: impl Strategy<Value = bool>) -> impl Strategy<Value = Table> {
    let regions = vec(xen_region(), 1..=MAX_REGIONS as usize);
    (is_xen, regions, u32(), number::bytes(0..=7 * 40)).prop_map(
        |(is_xen, mut regions, padding, mut tail)| {
            if !is_xen {
                regions.iter_mut().for_each(|region| region.xen = None);
            }
            let room = (MAX_REGIONS as usize - regions.len())
                * usize::try_from(Region::encoded_len(is_xen)).expect("32 or 40");
            tail.truncate(room);
            Table { padding, regions, tail }
        },
    )
}

/// P-MEMREG, with the Xen fields.
pub fn xen_mem_reg() -> impl Strategy<Value = MemReg> + Clone {
    (u64(), xen_region()).prop_map(|(padding, region)| MemReg { padding, region })
}

/// P-LOG.
pub fn log_base() -> impl Strategy<Value = LogBase> + Clone {
    (u64(), u64()).prop_map(|(size, offset)| LogBase { size, offset })
}

/// P-IOTLB.
pub fn iotlb() -> impl Strategy<Value = Iotlb> + Clone {
    (u64(), u64(), u64(), u8(), u8(), uniform6(u8())).prop_map(
        |(iova, size, user_address, permissions, kind, padding)| Iotlb {
            iova,
            size,
            user_address,
            permissions,
            kind,
            padding,
        },
    )
}

/// P-CONFIG whose size field says how much data there is.
pub fn window() -> impl Strategy<Value = Window> + Clone {
    // Most windows are small; the large ones cost a stream test a segment a byte.
    let data = prop_oneof![4 => number::bytes(0..=257), 1 => number::bytes(0..=CONFIG_DATA_LIMIT)];
    (u32(), u32(), data).prop_map(|(offset, flags, data)| {
        let size = u32::try_from(data.len()).expect("no more than the limit");
        Window { offset, size, flags, data }
    })
}

/// P-INFLIGHT.
pub fn inflight() -> impl Strategy<Value = Inflight> + Clone {
    (u64(), u64(), u16(), u16(), u32()).prop_map(
        |(mmap_size, mmap_offset, num_queues, queue_size, padding)| Inflight {
            mmap_size,
            mmap_offset,
            num_queues,
            queue_size,
            padding,
        },
    )
}

/// P-SHARED.
pub fn shared_object() -> impl Strategy<Value = SharedObject> + Clone {
    uniform16(u8()).prop_map(|uuid| SharedObject { uuid })
}

/// P-XFER.
pub fn transfer() -> impl Strategy<Value = Transfer> + Clone {
    (u32(), u32()).prop_map(|(direction, phase)| Transfer { direction, phase })
}

/// P-MMAP.
pub fn shmem_map() -> impl Strategy<Value = ShmemMap> + Clone {
    (u8(), uniform7(u8()), u64(), u64(), u64(), u64()).prop_map(
        |(shmid, padding, fd_offset, shm_offset, len, flags)| ShmemMap {
            shmid,
            padding,
            fd_offset,
            shm_offset,
            len,
            flags,
        },
    )
}

/// P-SHMEMCFG with a few regions.
pub fn sizes() -> impl Strategy<Value = Sizes> + Clone {
    (u32(), u32(), vec((u8(), u64()), 0..=8)).prop_map(|(regions, padding, by_id)| Sizes {
        regions,
        padding,
        by_id,
    })
}

/// P-CRYPTO of any operation, with keys of any announced length.
pub fn session() -> impl Strategy<Value = Session> + Clone {
    let low = prop_oneof![Just(CryptoSession::CREATE_ASYMMETRIC), u32()];
    let operation = (low, u32()).prop_map(|(low, high)| u64::from(high) << 32 | u64::from(low));
    (operation, u32(), u32(), u32(), u64(), number::pattern()).prop_map(
        |(operation, cipher_key_len, asymmetric_key_len, auth_key_len, id, rest)| Session {
            operation,
            cipher_key_len,
            asymmetric_key_len,
            auth_key_len,
            id: id.cast_signed(),
            rest,
        },
    )
}

//! The payloads of each shape, in all their legal forms.

use vhost_fuzz_core::vhost_user::payload::{
    Config, CryptoSession, Inflight, Iotlb, LogBase, MemReg, MemTable, Region, RegionBytes,
    SharedObject, ShmemConfig, ShmemMap, Transfer, VringAddr, VringArea, VringFd, VringState,
    XenMmap,
};
use vhost_fuzz_core::vhost_user::request::{Row, Shape};
use vhost_fuzz_core::vhost_user::{Kind, Layout, Payload};

use super::Source;

/// Shows one form: its label, what was negotiated, how many descriptors it has, and its payload.
pub(super) type See<'a> = dyn FnMut(&str, Layout, usize, Payload<'_>) + 'a;

const PLAIN: Layout = Layout { xen_mmap: false, log_shmfd: false, postcopy_ack: false };
const XEN: Layout = Layout { xen_mmap: true, ..PLAIN };
const LOG_SHMFD: Layout = Layout { log_shmfd: true, ..PLAIN };
const POSTCOPY: Layout = Layout { postcopy_ack: true, ..PLAIN };

#[expect(clippy::cast_possible_truncation, reason = "narrow fields take the low bits")]
mod narrow {
    use super::Source;

    pub(super) fn u8(source: &mut impl Source) -> u8 {
        source.next() as u8
    }

    pub(super) fn u16(source: &mut impl Source) -> u16 {
        source.next() as u16
    }

    pub(super) fn u32(source: &mut impl Source) -> u32 {
        source.next() as u32
    }
}
use narrow::{u8, u16, u32};

fn bytes<const N: usize>(source: &mut impl Source) -> [u8; N] {
    let mut bytes = [0; N];
    fill(source, &mut bytes);
    bytes
}

fn fill(source: &mut impl Source, bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(8) {
        let number = source.next().to_le_bytes();
        chunk.copy_from_slice(&number[..chunk.len()]);
    }
}

/// Shows every form of the payload of a request or of its reply.
pub(super) fn each(kind: Kind, row: &Row, source: &mut impl Source, see: &mut See<'_>) {
    let (shape, fds) = row.form(kind.direction);
    let mut one = |payload: Payload<'_>| see("", PLAIN, fds.min, payload);
    match shape {
        Shape::None => one(Payload::None),
        Shape::U64 => one(Payload::U64(source.next())),
        Shape::State => {
            one(Payload::State(VringState { index: u32(source), num: u32(source) }));
        }
        Shape::Addr => one(Payload::Addr(addr(source))),
        Shape::Iotlb => one(Payload::Iotlb(iotlb(source))),
        Shape::Inflight => one(Payload::Inflight(inflight(source))),
        Shape::Shared => one(Payload::Shared(SharedObject { uuid: bytes(source) })),
        Shape::Transfer => {
            one(Payload::Transfer(Transfer { direction: u32(source), phase: u32(source) }));
        }
        Shape::ShmemConfig => {
            let config =
                ShmemConfig { regions: u32(source), padding: u32(source), sizes: &bytes(source) };
            one(Payload::ShmemConfig(config));
        }
        Shape::ShmemMap => one(Payload::ShmemMap(shmem_map(source))),
        Shape::VringFd | Shape::Area => notifiers(shape, source, see),
        Shape::MemTable | Shape::MemTableReply => tables(shape, source, see),
        Shape::MemReg | Shape::MemRegReply => regions(shape, fds.min, fds.max, source, see),
        Shape::Log | Shape::LogReply => logs(shape, source, see),
        Shape::ConfigGet | Shape::ConfigSet | Shape::ConfigReply => configs(shape, source, see),
        Shape::InflightReply => {
            see("", PLAIN, 1, Payload::Inflight(inflight(source)));
            let none = Inflight { mmap_size: 0, ..inflight(source) };
            see("none", PLAIN, 0, Payload::Inflight(none));
        }
        Shape::SharedOrNone => {
            see("", PLAIN, fds.max, Payload::Shared(SharedObject { uuid: bytes(source) }));
            see("empty", PLAIN, fds.max, Payload::None);
            if fds.max > 0 {
                see("empty-no-fd", PLAIN, 0, Payload::None);
            }
        }
        Shape::TransferReply => {
            see("own-fd", PLAIN, 1, Payload::U64(source.next() & !0x1ff));
            see("no-fd", PLAIN, 0, Payload::U64(source.next() & !0xff | 0x100));
            see("failed", PLAIN, 0, Payload::U64(source.next() | 0x101));
        }
        Shape::LookupReply => {
            see("found", PLAIN, 1, Payload::U64(0));
            see("failed", PLAIN, 0, Payload::U64(source.next().max(1)));
        }
        Shape::CryptoRequest | Shape::CryptoReply => sessions(shape, source, see),
    }
}

fn addr(source: &mut impl Source) -> VringAddr {
    VringAddr {
        index: u32(source),
        flags: u32(source),
        descriptor: source.next(),
        used: source.next(),
        available: source.next(),
        log: source.next(),
    }
}

fn iotlb(source: &mut impl Source) -> Iotlb {
    Iotlb {
        iova: source.next(),
        size: source.next(),
        user_address: source.next(),
        permissions: u8(source),
        kind: u8(source),
        padding: bytes(source),
    }
}

fn inflight(source: &mut impl Source) -> Inflight {
    Inflight {
        mmap_size: source.next().max(1),
        mmap_offset: source.next(),
        num_queues: u16(source),
        queue_size: u16(source),
        padding: u32(source),
    }
}

fn shmem_map(source: &mut impl Source) -> ShmemMap {
    ShmemMap {
        shmid: u8(source),
        padding: bytes(source),
        fd_offset: source.next(),
        shm_offset: source.next(),
        len: source.next(),
        flags: source.next(),
    }
}

fn region(source: &mut impl Source, layout: Layout) -> Region {
    Region {
        guest_address: source.next(),
        size: source.next(),
        user_address: source.next(),
        mmap_offset: source.next(),
        xen: layout.xen_mmap.then(|| XenMmap { flags: u32(source), domid: u32(source) }),
    }
}

fn notifiers(shape: Shape, source: &mut impl Source, see: &mut See<'_>) {
    for (label, has_fd) in [("", true), ("no-fd", false)] {
        let value = source.next();
        let vring = VringFd(if has_fd { value & !VringFd::NO_FD } else { value | VringFd::NO_FD });
        let payload = if shape == Shape::Area {
            Payload::Area(VringArea { vring, size: source.next(), offset: source.next() })
        } else {
            Payload::VringFd(vring)
        };
        see(label, PLAIN, usize::from(has_fd), payload);
    }
}

fn tables(shape: Shape, source: &mut impl Source, see: &mut See<'_>) {
    let is_reply = shape == Shape::MemTableReply;
    if is_reply {
        see("", PLAIN, 0, Payload::U64(source.next()));
    }
    let padded = 8 * 40;
    for (label, layout, count, len) in [
        ("1-region", PLAIN, 1, 0),
        ("8-regions", PLAIN, 8, 0),
        ("padded", PLAIN, 2, 8 * 32),
        ("xen-1-region", XEN, 1, 0),
        ("xen-8-regions", XEN, 8, 0),
        ("xen-padded", XEN, 2, padded),
    ] {
        let regions: Vec<_> = (0..count).map(|_| region(source, layout)).collect();
        let mut table = RegionBytes::new(&regions).as_bytes().to_vec();
        let used = table.len();
        table.resize(len.max(used), 0);
        fill(source, &mut table[used..]);
        let announced = u32::try_from(count).unwrap_or(0);
        let payload = Payload::MemTable(MemTable::new(announced, layout, &table));
        see(label, layout, if is_reply { 0 } else { count }, payload);
    }
    if !is_reply {
        see("postcopy-ack-empty", POSTCOPY, 0, Payload::None);
        see("postcopy-ack-u64", POSTCOPY, 0, Payload::U64(0));
    }
}

fn regions(shape: Shape, min: usize, max: usize, source: &mut impl Source, see: &mut See<'_>) {
    if shape == Shape::MemRegReply {
        see("", PLAIN, 0, Payload::U64(source.next()));
    }
    for (label, layout) in [("region", PLAIN), ("xen", XEN)] {
        let reg = MemReg { padding: source.next(), region: region(source, layout) };
        see(label, layout, min, Payload::MemReg(reg));
        if max > min {
            see(&format!("{label}-fd"), layout, max, Payload::MemReg(reg));
        }
    }
}

fn logs(shape: Shape, source: &mut impl Source, see: &mut See<'_>) {
    let log = LogBase { size: source.next(), offset: source.next() };
    if shape == Shape::LogReply {
        see("", PLAIN, 0, Payload::None);
        see("u64", PLAIN, 0, Payload::U64(source.next()));
        see("log", PLAIN, 0, Payload::Log(log));
    } else {
        see("", LOG_SHMFD, 1, Payload::Log(log));
        see("u64", PLAIN, 0, Payload::U64(source.next()));
        see("no-fd", PLAIN, 0, Payload::Log(log));
    }
}

fn configs(shape: Shape, source: &mut impl Source, see: &mut See<'_>) {
    let data: [u8; 256] = bytes(source);
    let mut config = |label: &str, size: usize, len: usize| {
        let config = Config {
            offset: u32(source),
            size: u32::try_from(size).unwrap_or(0),
            flags: u32(source),
            payload: &data[..len],
        };
        see(label, PLAIN, 0, Payload::Config(config));
    };
    config("", 60, 60);
    config("256-bytes", 256, 256);
    config("0-bytes", 0, 0);
    if shape == Shape::ConfigSet {
        config("padded", 1, 256);
    }
    if shape == Shape::ConfigReply {
        see("error", PLAIN, 0, Payload::None);
    }
}

fn sessions(shape: Shape, source: &mut impl Source, see: &mut See<'_>) {
    let mut session: [u8; 1072] = bytes(source);
    if shape == Shape::CryptoReply {
        return see("", PLAIN, 0, Payload::Crypto(CryptoSession::new(&session)));
    }
    let mut put = |at: usize, value: u32| {
        session[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    };
    let operation = if cfg!(target_endian = "little") { 0 } else { 4 };
    put(operation, 2);
    put(12, CryptoSession::CIPHER_KEY_LIMIT);
    put(24, CryptoSession::AUTH_KEY_LIMIT);
    see("symmetric", PLAIN, 0, Payload::Crypto(CryptoSession::new(&session)));
    let mut put = |at: usize, value: u32| {
        session[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    };
    put(operation, CryptoSession::CREATE_ASYMMETRIC);
    put(16, CryptoSession::ASYMMETRIC_KEY_LIMIT);
    see("asymmetric", PLAIN, 0, Payload::Crypto(CryptoSession::new(&session)));
}

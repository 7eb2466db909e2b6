//! The messages that are decoded and encoded, written as words.
//!
//! They are spelled out here, and not taken from the generated seeds, so that the counts stay
//! what they are when a seed changes.

use vhost_fuzz_core::vhost_user::payload::{
    CryptoSession, MemTable, Region, ShmemConfig, VringAddr, VringFd, VringState,
};
use vhost_fuzz_core::vhost_user::{Flags, HEADER_LEN, Kind, Layout, Message, Payload};

/// Bytes of the longest sample.
pub const LONGEST: usize = 2068;

/// A message as bytes and as a value.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Channel and direction.
    pub kind: Kind,
    /// What was negotiated.
    pub layout: Layout,
    /// Descriptors that come along.
    pub fds: usize,
    /// Header and payload.
    pub bytes: Vec<u8>,
    /// Message id.
    code: u32,
    /// What the payload bytes mean, written by hand.
    payload: fn(&[u8]) -> Payload<'_>,
}

impl Sample {
    fn new(
        kind: Kind,
        code: u32,
        fds: usize,
        body: &[u8],
        payload: fn(&[u8]) -> Payload<'_>,
    ) -> Self {
        let flags = if kind == Kind::FRONTEND_REQUEST { Flags::REQUEST } else { Flags::REPLY };
        let size = u32::try_from(body.len()).expect("a sample is shorter than 4 GiB");
        let mut bytes = words(&[code, flags.0, size]);
        bytes.extend(body);
        Self { kind, layout: Layout::default(), fds, bytes, code, payload }
    }

    /// The message that the bytes have to decode to.
    #[must_use]
    pub fn message(&self) -> Message<'_> {
        let reply = self.kind == Kind::BACKEND_REPLY;
        Message {
            kind: self.kind,
            code: self.code,
            flags: if reply { Flags::REPLY } else { Flags::REQUEST },
            payload: (self.payload)(&self.bytes[HEADER_LEN..]),
        }
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn longs(longs: &[u64]) -> Vec<u8> {
    longs.iter().flat_map(|long| long.to_ne_bytes()).collect()
}

/// `GET_FEATURES`: a header and nothing else, 12 bytes.
#[must_use]
pub fn get_features() -> Sample {
    Sample::new(Kind::FRONTEND_REQUEST, 1, 0, &[], |_| Payload::None)
}

/// `SET_VRING_NUM`: ring 1 has 256 entries, 20 bytes.
#[must_use]
pub fn set_vring_num() -> Sample {
    Sample::new(Kind::FRONTEND_REQUEST, 8, 0, &words(&[1, 256]), |_| {
        Payload::State(VringState { index: 1, num: 256 })
    })
}

/// `SET_VRING_ADDR`: the parts of ring 1, 52 bytes.
#[must_use]
pub fn set_vring_addr() -> Sample {
    let mut body = words(&[1, 0]);
    body.extend(longs(&[0x7f12_3456_0000, 0x7f12_3456_2240, 0x7f12_3456_2000, 0]));
    Sample::new(Kind::FRONTEND_REQUEST, 9, 0, &body, |_| {
        Payload::Addr(VringAddr {
            index: 1,
            flags: 0,
            descriptor: 0x7f12_3456_0000,
            used: 0x7f12_3456_2240,
            available: 0x7f12_3456_2000,
            log: 0,
        })
    })
}

/// `SET_VRING_KICK`: ring 1 with a descriptor, 20 bytes.
#[must_use]
pub fn set_vring_kick() -> Sample {
    let vring_fd = |_: &[u8]| Payload::VringFd(VringFd(1));
    Sample::new(Kind::FRONTEND_REQUEST, 12, 1, &longs(&[1]), vring_fd)
}

/// `SET_MEM_TABLE` with one region, 52 bytes.
#[must_use]
pub fn mem_table_1() -> Sample {
    mem_table(1, |bytes| Payload::MemTable(MemTable::new(1, Layout::default(), &bytes[8..])))
}

/// `SET_MEM_TABLE` with eight regions, 276 bytes.
#[must_use]
pub fn mem_table_8() -> Sample {
    mem_table(8, |bytes| Payload::MemTable(MemTable::new(8, Layout::default(), &bytes[8..])))
}

fn mem_table(count: u32, payload: fn(&[u8]) -> Payload<'_>) -> Sample {
    let mut body = words(&[count, 0]);
    for Region { guest_address, size, user_address, mmap_offset, .. } in
        (0..count.into()).map(region)
    {
        body.extend(longs(&[guest_address, size, user_address, mmap_offset]));
    }
    let fds = usize::try_from(count).expect("a table has at most 8 regions");
    Sample::new(Kind::FRONTEND_REQUEST, 5, fds, &body, payload)
}

/// Region `number` of the memory tables.
#[must_use]
pub fn region(number: u64) -> Region {
    let guest_address = number << 30;
    Region {
        guest_address,
        size: 1 << 30,
        user_address: 0x7f00_0000_0000 + guest_address,
        mmap_offset: number << 12,
        xen: None,
    }
}

/// The sizes in [`shmem_config`]: the first and the last region exist.
pub const SHMEM_SIZES: [u64; 256] = {
    let mut sizes = [0; 256];
    sizes[0] = 1 << 20;
    sizes[255] = 1 << 30;
    sizes
};

/// The reply to `GET_SHMEM_CONFIG` with two regions, 2068 bytes.
#[must_use]
pub fn shmem_config() -> Sample {
    let mut body = words(&[2, 0]);
    body.extend(longs(&SHMEM_SIZES));
    Sample::new(Kind::BACKEND_REPLY, 44, 0, &body, |bytes| {
        let sizes = bytes[8..].try_into().expect("256 sizes of 8 bytes");
        Payload::ShmemConfig(ShmemConfig { regions: 2, padding: 0, sizes })
    })
}

/// `CREATE_CRYPTO_SESSION`, symmetric with the longest keys, 1084 bytes.
#[must_use]
pub fn crypto_session() -> Sample {
    let mut body = vec![0x5a; 1072];
    body[..8].copy_from_slice(&2_u64.to_ne_bytes());
    body[12..16].copy_from_slice(&64_u32.to_ne_bytes());
    body[24..28].copy_from_slice(&512_u32.to_ne_bytes());
    Sample::new(Kind::FRONTEND_REQUEST, 26, 0, &body, |bytes| {
        Payload::Crypto(CryptoSession::new(bytes.try_into().expect("1072 bytes")))
    })
}

//! What both sides of a comparison offer: what the peer supports and no more.

use vhost_fuzz_core::session::Offer;

/// Virtio-level features: all bits up to 40, so that recorded front-ends find what they had, but
/// for 25 and 31, which stay free for inputs that set a bit which is not offered, and 33 (I/O
/// addresses), which the peer does not know.
pub const FEATURES: u64 = ((1 << 41) - 1) & !(1 << 25 | 1 << 31 | 1 << 33);

/// Protocol features: MQ, `LOG_SHMFD`, `REPLY_ACK`, `BACKEND_REQ`, CONFIG, `BACKEND_SEND_FD`,
/// `INFLIGHT_SHMFD`, `RESET_DEVICE`, `CONFIGURE_MEM_SLOTS`, `SHARED_OBJECT`, `DEVICE_STATE` and
/// SHMEM.
pub const PROTOCOL_FEATURES: u64 = 1
    | 1 << 1
    | 1 << 3
    | 1 << 5
    | 1 << 9
    | 1 << 10
    | 1 << 12
    | 1 << 13
    | 1 << 15
    | 1 << 18
    | 1 << 19
    | 1 << 22;

/// Rings, and the answer to `GET_QUEUE_NUM`.
pub const QUEUES: u16 = 4;

/// Most entries of a ring.
pub const MAX_QUEUE_SIZE: u16 = 1024;

/// Memory slots, few enough to run out of.
pub const MEM_SLOTS: u16 = 12;

/// Bytes of the configuration space.
pub const CONFIG_LEN: u32 = 60;

/// Where a `GET_CONFIG` window has to end at most.
pub const CONFIG_LIMIT: u32 = 4084;

/// The bytes of the configuration space that a driver may write.
pub const CONFIG_WRITABLE: std::ops::Range<u32> = 0..32;

/// Bytes of a page.
pub const PAGE_SIZE: u64 = 4096;

/// Id and size in bytes of each shared memory region.
pub const SHMEM: [(u8, u64); 2] = [(0, 0x10_0000), (3, 0x1_0000)];

/// The configuration space at the start of a connection.
#[must_use]
pub fn config() -> Vec<u8> {
    (0..CONFIG_LEN).map(|at| u8::try_from(at + 1).unwrap_or(0)).collect()
}

/// Bytes of an in-flight area (spec §6.11), each queue's rounded up to 64.
#[must_use]
pub fn inflight_len(queues: u16, queue_size: u16, is_packed: bool) -> u64 {
    let (header, entry) = if is_packed { (32, 32) } else { (16, 16) };
    let region: u64 = header + entry * u64::from(queue_size);
    region.next_multiple_of(64) * u64::from(queues)
}

/// The same for our session.
#[must_use]
pub fn ours() -> Offer {
    let mut shmem = Box::new([0; 256]);
    for (id, size) in SHMEM {
        shmem[usize::from(id)] = size;
    }
    Offer {
        device: 1,
        features: FEATURES,
        protocol_features: PROTOCOL_FEATURES,
        queues: QUEUES,
        queue_num: QUEUES.into(),
        max_queue_size: MAX_QUEUE_SIZE,
        max_mem_slots: MEM_SLOTS,
        config_len: CONFIG_LEN,
        config_limit: CONFIG_LIMIT,
        config_writable: std::iter::once(CONFIG_WRITABLE).collect(),
        page_size: PAGE_SIZE,
        shmem: Some(shmem),
    }
}

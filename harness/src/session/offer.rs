//! What the device of a script offers: the arguments of `Action { actor: Device, operation: 0 }`.
//!
//! The record stands first in a script of the target `session`. Any bytes are an offer: a field
//! that is missing or cut takes the default, and a value that no device could have becomes the
//! nearest one that it could. Integers are little-endian, as everywhere in a script.
//!
//! | Offset | Size | Field |
//! |---|---|---|
//! | 0 | 4 | virtio device id |
//! | 4 | 8 | virtio feature bits |
//! | 12 | 8 | protocol feature bits |
//! | 20 | 2 | vrings |
//! | 22 | 8 | answer to `GET_QUEUE_NUM` |
//! | 30 | 2 | largest queue size |
//! | 32 | 2 | memory slots |
//! | 34 | 4 | bytes of the configuration space |
//! | 38 | 4 | where the window of a `GET_CONFIG` ends at the latest |
//! | 42 | 8 | host page in bytes |
//! | 50 | 1 | count of writable windows, then for each: start (4), end (4) |
//! | | 2 | count of shared memory regions, then for each: id (1), bytes (8) |

use std::collections::BTreeMap;

use vhost_fuzz_core::vhost_user::features::{protocol, virtio};

use crate::script::{Actor, Record};

/// The operation of the device's [`Record::Action`] that holds an offer.
pub const OPERATION: u8 = 0;

/// Most writable windows of a configuration space.
pub const WRITABLE_LIMIT: usize = 4;

/// Most shared memory regions: their ids have 8 bits.
const SHMEM_LIMIT: usize = 256;

/// Largest configuration space, in bytes. It is larger than any message can read.
const CONFIG_LEN_LIMIT: u32 = 0x1_0000;

/// Host pages, in bytes.
const PAGE_MIN: u64 = 0x1000;
const PAGE_MAX: u64 = 0x1_0000;

/// What a device offers on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptOffer {
    /// Virtio device id: 1 network, 2 block, 20 crypto.
    pub device: u32,
    /// Virtio feature bits, the answer to `GET_FEATURES`. Any value.
    pub features: u64,
    /// Protocol feature bits, the answer to `GET_PROTOCOL_FEATURES`. Any value.
    pub protocol_features: u64,
    /// Vrings, 1-256.
    pub queues: u16,
    /// The answer to `GET_QUEUE_NUM`. Any value.
    pub queue_num: u64,
    /// Largest queue size in descriptors, 1-32768.
    pub max_queue_size: u16,
    /// The answer to `GET_MAX_MEM_SLOTS`, 1-509.
    pub max_mem_slots: u16,
    /// Bytes of the configuration space, at most 65,536.
    pub config_len: u32,
    /// Where the window of a `GET_CONFIG` ends at the latest, 256-4084 bytes from the start
    /// (VU-193).
    pub config_limit: u32,
    /// Start and end of each window of the configuration space that the guest may write
    /// (VU-195); at most [`WRITABLE_LIMIT`], inside the space.
    pub config_writable: Vec<(u32, u32)>,
    /// Host page in bytes: a power of two, 4096-65,536.
    pub page_size: u64,
    /// Id and size in bytes of each shared memory region, by rising ids; the sizes are multiples
    /// of the page and not 0 (VU-239).
    pub shmem: Vec<(u8, u64)>,
}

impl Default for ScriptOffer {
    /// A network device that can do nearly everything: of the protocol features it lacks those
    /// that change the meaning of addresses and regions for everybody, and notifications in
    /// messages.
    fn default() -> Self {
        let odd = protocol::XEN_MMAP | protocol::GPA_ADDRESSES | protocol::INBAND_NOTIFICATIONS;
        Self {
            device: 1,
            features: virtio::NET_MTU
                | virtio::LOG_ALL
                | 1 << 28
                | virtio::EVENT_IDX
                | virtio::PROTOCOL_FEATURES
                | 1 << 32
                | virtio::IOMMU_PLATFORM
                | virtio::RING_PACKED,
            protocol_features: protocol::ALL & !odd,
            queues: 4,
            queue_num: 4,
            max_queue_size: 1024,
            max_mem_slots: 509,
            config_len: 60,
            config_limit: 4084,
            config_writable: vec![(0, 32)],
            page_size: PAGE_MIN,
            shmem: vec![(0, 0x10_0000), (3, 0x1_0000)],
        }
    }
}

impl ScriptOffer {
    /// The bytes of the offer. Lists that are too long are cut.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend(self.device.to_le_bytes());
        bytes.extend(self.features.to_le_bytes());
        bytes.extend(self.protocol_features.to_le_bytes());
        bytes.extend(self.queues.to_le_bytes());
        bytes.extend(self.queue_num.to_le_bytes());
        bytes.extend(self.max_queue_size.to_le_bytes());
        bytes.extend(self.max_mem_slots.to_le_bytes());
        bytes.extend(self.config_len.to_le_bytes());
        bytes.extend(self.config_limit.to_le_bytes());
        bytes.extend(self.page_size.to_le_bytes());
        let windows = self.config_writable.iter().take(WRITABLE_LIMIT);
        bytes.push(u8::try_from(windows.len()).unwrap_or(0));
        for (start, end) in windows {
            bytes.extend(start.to_le_bytes());
            bytes.extend(end.to_le_bytes());
        }
        let regions = self.shmem.iter().take(SHMEM_LIMIT);
        bytes.extend(u16::try_from(regions.len()).unwrap_or(0).to_le_bytes());
        for (id, size) in regions {
            bytes.push(*id);
            bytes.extend(size.to_le_bytes());
        }
        bytes
    }

    /// The offer of any bytes: what is missing is as in [`Default`], and what is no legal value
    /// becomes one. The inverse of [`encode`](Self::encode) for legal values.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let default = Self::default();
        let mut fields = Fields(bytes);
        let device = fields.take().map_or(default.device, u32::from_le_bytes);
        let features = fields.take().map_or(default.features, u64::from_le_bytes);
        let protocol_features = fields.take().map_or(default.protocol_features, u64::from_le_bytes);
        let queues = fields.take().map_or(default.queues, u16::from_le_bytes);
        let queue_num = fields.take().map_or(default.queue_num, u64::from_le_bytes);
        let max_queue_size = fields.take().map_or(default.max_queue_size, u16::from_le_bytes);
        let max_mem_slots = fields.take().map_or(default.max_mem_slots, u16::from_le_bytes);
        let config_len = fields.take().map_or(default.config_len, u32::from_le_bytes);
        let config_limit = fields.take().map_or(default.config_limit, u32::from_le_bytes);
        let page_size = page(fields.take().map_or(default.page_size, u64::from_le_bytes));
        let config_len = config_len.min(CONFIG_LEN_LIMIT);
        let config_writable = fields.windows().unwrap_or(default.config_writable);
        let shmem = fields.regions().unwrap_or(default.shmem);
        Self {
            device,
            features,
            protocol_features,
            queues: queues.clamp(1, 256),
            queue_num,
            max_queue_size: max_queue_size.clamp(1, 32768),
            max_mem_slots: max_mem_slots.clamp(1, 509),
            config_len,
            config_limit: config_limit.clamp(256, 4084),
            config_writable: inside(&config_writable, config_len),
            page_size,
            shmem: whole_pages(&shmem, page_size),
        }
    }

    /// The record that leads a script.
    #[must_use]
    pub fn record(&self) -> Record<'static> {
        Record::Action {
            actor: Actor::Device,
            operation: OPERATION,
            arguments: self.encode().into(),
        }
    }

    /// The offer that leads a script; the default when its first record is another.
    #[must_use]
    pub fn of_script(records: &[Record<'_>]) -> Self {
        match records.first() {
            Some(record) => Self::of_record(record).unwrap_or_default(),
            None => Self::default(),
        }
    }

    /// The offer that a record holds, if it holds one.
    #[must_use]
    pub fn of_record(record: &Record<'_>) -> Option<Self> {
        Self::arguments(record).map(Self::decode)
    }

    /// The bytes of the offer that a record holds, if it holds one.
    #[must_use]
    pub fn arguments<'a>(record: &'a Record<'_>) -> Option<&'a [u8]> {
        match record {
            Record::Action { actor: Actor::Device, operation: OPERATION, arguments } => {
                Some(arguments)
            }
            _ => None,
        }
    }
}

/// The page size next below a number.
fn page(size: u64) -> u64 {
    let size = size.clamp(PAGE_MIN, PAGE_MAX);
    1 << size.ilog2()
}

/// The windows that lie in a space of `len` bytes, cut where they reach out.
fn inside(windows: &[(u32, u32)], len: u32) -> Vec<(u32, u32)> {
    let cut = |(start, end): &(u32, u32)| {
        let start = (*start).min(len);
        (start, (*end).clamp(start, len))
    };
    windows.iter().map(cut).collect()
}

/// The regions by their ids, as many whole pages as they have. Of two with one id the later
/// counts.
fn whole_pages(regions: &[(u8, u64)], page_size: u64) -> Vec<(u8, u64)> {
    let by_id: BTreeMap<_, _> =
        regions.iter().map(|(id, size)| (*id, size - size % page_size)).collect();
    by_id.into_iter().filter(|(_, size)| *size > 0).collect()
}

/// What is left of the bytes.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// The next field; after one that is cut there are no more.
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        match self.0.split_first_chunk() {
            Some((field, rest)) => {
                self.0 = rest;
                Some(*field)
            }
            None => {
                self.0 = &[];
                None
            }
        }
    }

    /// As many of the announced windows as are there; `None` without their count.
    fn windows(&mut self) -> Option<Vec<(u32, u32)>> {
        let [count] = self.take()?;
        let count = usize::from(count).min(WRITABLE_LIMIT);
        let window = |_| {
            let start = u32::from_le_bytes(self.take()?);
            Some((start, u32::from_le_bytes(self.take()?)))
        };
        Some((0..count).map_while(window).collect())
    }

    /// As many of the announced regions as are there; `None` without their count.
    fn regions(&mut self) -> Option<Vec<(u8, u64)>> {
        let count = usize::from(u16::from_le_bytes(self.take()?)).min(SHMEM_LIMIT);
        let region = |_| {
            let [id] = self.take()?;
            Some((id, u64::from_le_bytes(self.take()?)))
        };
        Some((0..count).map_while(region).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script;
    use crate::seeds::{Random, Source};

    #[test]
    fn no_bytes_are_the_default() {
        let offer = ScriptOffer::decode(&[]);
        assert_eq!(offer, ScriptOffer::default());
        assert_eq!(offer.features, 0x7_7400_0008);
        assert_eq!(offer.protocol_features, 0x00dd_bfff);
        assert_eq!(ScriptOffer::decode(&offer.encode()), offer);
    }

    #[test]
    fn encode_is_the_inverse_of_decode() {
        let offer = ScriptOffer {
            device: 20,
            features: u64::MAX,
            protocol_features: 1 << 63,
            queues: 256,
            queue_num: 0,
            max_queue_size: 32768,
            max_mem_slots: 1,
            config_len: 0x1_0000,
            config_limit: 256,
            config_writable: vec![(0, 1), (4, 4), (8, 0x1_0000), (2, 3)],
            page_size: 0x1_0000,
            shmem: (0..=255).map(|id| (id, 0x1_0000 << (id % 8))).collect(),
        };
        assert_eq!(ScriptOffer::decode(&offer.encode()), offer);
        let none = ScriptOffer { config_writable: vec![], shmem: vec![], ..offer };
        assert_eq!(ScriptOffer::decode(&none.encode()), none);
    }

    #[test]
    fn any_bytes_are_a_legal_offer() {
        let mut rng = fastrand::Rng::with_seed(1);
        for round in 0..2000 {
            let bytes: Vec<u8> =
                (0..round % 90).flat_map(|_| Random(&mut rng).next().to_le_bytes()).collect();
            let offer = ScriptOffer::decode(&bytes);
            assert!((1..=256).contains(&offer.queues), "{offer:?}");
            assert!((1..=32768).contains(&offer.max_queue_size), "{offer:?}");
            assert!((1..=509).contains(&offer.max_mem_slots), "{offer:?}");
            assert!((256..=4084).contains(&offer.config_limit), "{offer:?}");
            assert!(offer.page_size.is_power_of_two() && offer.page_size >= 4096, "{offer:?}");
            assert!(offer.config_writable.len() <= WRITABLE_LIMIT, "{offer:?}");
            for (start, end) in &offer.config_writable {
                assert!(start <= end && *end <= offer.config_len, "{offer:?}");
            }
            assert!(offer.shmem.is_sorted_by(|one, other| one.0 < other.0), "{offer:?}");
            for (_, size) in &offer.shmem {
                assert!(*size > 0 && size % offer.page_size == 0, "{offer:?}");
            }
            // What came out is legal, so it goes in and out again.
            assert_eq!(ScriptOffer::decode(&offer.encode()), offer);
        }
    }

    #[test]
    fn a_cut_offer_takes_the_rest_from_the_default() {
        let whole = ScriptOffer { queues: 7, queue_num: 9, shmem: vec![], ..Default::default() };
        let bytes = whole.encode();
        let cut = ScriptOffer::decode(&bytes[..22]);
        assert_eq!(cut, ScriptOffer { queues: 7, ..Default::default() });
        for len in 0..bytes.len() {
            let cut = ScriptOffer::decode(&bytes[..len]);
            assert_eq!(ScriptOffer::decode(&cut.encode()), cut);
        }
    }

    #[test]
    fn the_first_record_of_a_script_is_its_offer() {
        let offer = ScriptOffer { queues: 2, ..Default::default() };
        let script = script::encode(&[offer.record(), Record::Close]);
        assert_eq!(ScriptOffer::of_script(&script::decode(&script)), offer);
        let late = [Record::Border, offer.record()];
        assert_eq!(ScriptOffer::of_script(&late), ScriptOffer::default());
        assert_eq!(ScriptOffer::of_script(&[]), ScriptOffer::default());
        let other = Record::Action { actor: Actor::Driver, operation: 0, arguments: vec![].into() };
        assert_eq!(ScriptOffer::of_record(&other), None);
    }
}

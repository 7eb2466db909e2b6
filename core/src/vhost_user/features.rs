//! The feature bits (spec §5): masks for code that tests them, names for people who read messages.

use core::fmt;

/// Masks of the virtio-level bits that the protocol itself looks at (spec §5.1).
pub mod virtio {
    /// Bit 26: the back-end logs its writes to guest memory.
    pub const LOG_ALL: u64 = 1 << 26;
    /// Bit 28: descriptors may refer to tables of descriptors.
    pub const INDIRECT_DESC: u64 = 1 << 28;
    /// Bit 29: notifications are suppressed by index.
    pub const EVENT_IDX: u64 = 1 << 29;
    /// Bit 30: protocol features exist. No driver ever sees it (VU-051).
    pub const PROTOCOL_FEATURES: u64 = 1 << 30;
    /// Bit 32: rings and headers are little-endian.
    pub const VERSION_1: u64 = 1 << 32;
    /// Bit 33: ring and buffer addresses are I/O virtual ones.
    pub const IOMMU_PLATFORM: u64 = 1 << 33;
    /// Bit 34: rings are packed.
    pub const RING_PACKED: u64 = 1 << 34;
    /// Bit 35: buffers are used in the order in which they were made available.
    pub const IN_ORDER: u64 = 1 << 35;
    /// Bit 3 of a network device: the device has an MTU.
    pub const NET_MTU: u64 = 1 << 3;
}

/// Masks of the protocol feature bits (spec §5.2).
pub mod protocol {
    /// Bit 0: `GET_QUEUE_NUM`.
    pub const MQ: u64 = 1;
    /// Bit 1: the dirty log comes with a descriptor.
    pub const LOG_SHMFD: u64 = 1 << 1;
    /// Bit 2: `SEND_RARP`.
    pub const RARP: u64 = 1 << 2;
    /// Bit 3: requests may ask for an acknowledgement.
    pub const REPLY_ACK: u64 = 1 << 3;
    /// Bit 4: `NET_SET_MTU`.
    pub const MTU: u64 = 1 << 4;
    /// Bit 5: the back-end channel.
    pub const BACKEND_REQ: u64 = 1 << 5;
    /// Bit 6: `SET_VRING_ENDIAN`.
    pub const CROSS_ENDIAN: u64 = 1 << 6;
    /// Bit 7: crypto sessions.
    pub const CRYPTO_SESSION: u64 = 1 << 7;
    /// Bit 8: postcopy migration.
    pub const PAGEFAULT: u64 = 1 << 8;
    /// Bit 9: the configuration space.
    pub const CONFIG: u64 = 1 << 9;
    /// Bit 10: descriptors on the back-end channel.
    pub const BACKEND_SEND_FD: u64 = 1 << 10;
    /// Bit 11: `VRING_HOST_NOTIFIER_MSG`.
    pub const HOST_NOTIFIER: u64 = 1 << 11;
    /// Bit 12: the in-flight area.
    pub const INFLIGHT_SHMFD: u64 = 1 << 12;
    /// Bit 13: `RESET_DEVICE`.
    pub const RESET_DEVICE: u64 = 1 << 13;
    /// Bit 14: kicks and calls as messages.
    pub const INBAND_NOTIFICATIONS: u64 = 1 << 14;
    /// Bit 15: memory regions one by one.
    pub const CONFIGURE_MEM_SLOTS: u64 = 1 << 15;
    /// Bit 16: the virtio device status.
    pub const STATUS: u64 = 1 << 16;
    /// Bit 17: regions of 40 bytes.
    pub const XEN_MMAP: u64 = 1 << 17;
    /// Bit 18: objects shared between devices.
    pub const SHARED_OBJECT: u64 = 1 << 18;
    /// Bit 19: device state transfer.
    pub const DEVICE_STATE: u64 = 1 << 19;
    /// Bit 20: prerequisite of bit 23.
    pub const GET_VRING_BASE_INFLIGHT: u64 = 1 << 20;
    /// Bit 21: guest addresses in the place of user addresses.
    pub const GPA_ADDRESSES: u64 = 1 << 21;
    /// Bit 22: shared memory regions.
    pub const SHMEM: u64 = 1 << 22;
    /// Bit 23: `GET_VRING_BASE_SKIP_DRAIN`.
    pub const GET_VRING_BASE_SKIP_DRAIN: u64 = 1 << 23;
    /// Every bit that the specification names.
    pub const ALL: u64 = (1 << 24) - 1;
}

/// Virtio feature bits that the protocol itself looks at, by their numbers.
pub const VIRTIO: &[(u32, &str)] = &[
    (24, "NOTIFY_ON_EMPTY"),
    (26, "LOG_ALL"),
    (27, "ANY_LAYOUT"),
    (28, "INDIRECT_DESC"),
    (29, "EVENT_IDX"),
    (30, "PROTOCOL_FEATURES"),
    (32, "VERSION_1"),
    (33, "IOMMU_PLATFORM"),
    (34, "RING_PACKED"),
    (35, "IN_ORDER"),
    (36, "ORDER_PLATFORM"),
    (37, "SR_IOV"),
    (38, "NOTIFICATION_DATA"),
    (39, "NOTIF_CONFIG_DATA"),
    (40, "RING_RESET"),
];

/// Protocol feature bits (spec §5.2), by their numbers.
pub const PROTOCOL: &[(u32, &str)] = &[
    (0, "MQ"),
    (1, "LOG_SHMFD"),
    (2, "RARP"),
    (3, "REPLY_ACK"),
    (4, "MTU"),
    (5, "BACKEND_REQ"),
    (6, "CROSS_ENDIAN"),
    (7, "CRYPTO_SESSION"),
    (8, "PAGEFAULT"),
    (9, "CONFIG"),
    (10, "BACKEND_SEND_FD"),
    (11, "HOST_NOTIFIER"),
    (12, "INFLIGHT_SHMFD"),
    (13, "RESET_DEVICE"),
    (14, "INBAND_NOTIFICATIONS"),
    (15, "CONFIGURE_MEM_SLOTS"),
    (16, "STATUS"),
    (17, "XEN_MMAP"),
    (18, "SHARED_OBJECT"),
    (19, "DEVICE_STATE"),
    (20, "GET_VRING_BASE_INFLIGHT"),
    (21, "GPA_ADDRESSES"),
    (22, "SHMEM"),
    (23, "GET_VRING_BASE_SKIP_DRAIN"),
];

/// Prints a mask as its value and the names of its bits; bits without a name follow in hex.
#[derive(Clone, Copy, Debug)]
pub struct Names(pub u64, pub &'static [(u32, &'static str)]);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(mask, names) = *self;
        write!(f, "{mask:#x}")?;
        let mut rest = mask;
        let mut separator = " (";
        for &(bit, name) in names {
            if mask & (1 << bit) != 0 {
                write!(f, "{separator}{name}")?;
                separator = " ";
                rest &= !(1 << bit);
            }
        }
        if separator == " " {
            if rest != 0 {
                write!(f, " +{rest:#x}")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_and_names_agree() {
        let name_of = |names: &[(u32, &'static str)], mask: u64| {
            names.iter().find(|(bit, _)| 1 << bit == mask).map(|(_, name)| *name)
        };
        assert_eq!(name_of(VIRTIO, virtio::LOG_ALL), Some("LOG_ALL"));
        assert_eq!(name_of(VIRTIO, virtio::EVENT_IDX), Some("EVENT_IDX"));
        assert_eq!(name_of(VIRTIO, virtio::PROTOCOL_FEATURES), Some("PROTOCOL_FEATURES"));
        assert_eq!(name_of(VIRTIO, virtio::IOMMU_PLATFORM), Some("IOMMU_PLATFORM"));
        assert_eq!(name_of(VIRTIO, virtio::RING_PACKED), Some("RING_PACKED"));
        assert_eq!(name_of(PROTOCOL, protocol::XEN_MMAP), Some("XEN_MMAP"));
        assert_eq!(name_of(PROTOCOL, protocol::SHMEM), Some("SHMEM"));
        let all = PROTOCOL.iter().fold(0, |all, (bit, _)| all | 1 << bit);
        assert_eq!(all, protocol::ALL);
    }

    #[test]
    fn names_known_bits_and_keeps_the_others() {
        assert_eq!(Names(0, PROTOCOL).to_string(), "0x0");
        assert_eq!(Names(0x9, PROTOCOL).to_string(), "0x9 (MQ REPLY_ACK)");
        assert_eq!(
            Names(1 << 63 | 1, PROTOCOL).to_string(),
            "0x8000000000000001 (MQ +0x8000000000000000)"
        );
        assert_eq!(Names(0x46, VIRTIO).to_string(), "0x46");
    }
}

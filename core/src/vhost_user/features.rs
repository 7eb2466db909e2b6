//! Names of the feature bits (spec §5), for people who read messages.

use core::fmt;

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

//! What a device offers.

use core::fmt;
use core::ops::Range;

use arrayvec::ArrayVec;

use crate::rule::Rule;
use crate::vhost_user::features::protocol;

/// What a device offers. It does not change during a connection (VU-039, VU-238).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Virtio device id: 1 network, 2 block, 20 crypto.
    pub device: u32,
    /// Virtio-level features (`GET_FEATURES`).
    pub features: u64,
    /// Protocol features (`GET_PROTOCOL_FEATURES`).
    pub protocol_features: u64,
    /// Number of rings.
    pub queues: u16,
    /// The answer to `GET_QUEUE_NUM`. Its unit is disputed (DV-22): rings, or pairs of them.
    pub queue_num: u64,
    /// Most entries of a ring, 1-32768.
    pub max_queue_size: u16,
    /// Most memory regions (`GET_MAX_MEM_SLOTS`).
    pub max_mem_slots: u16,
    /// Bytes of the configuration space.
    pub config_len: u32,
    /// Where a `GET_CONFIG` window has to end at most, in bytes; 256 or more (VU-193), and not
    /// more than [`Offer::CONFIG_LIMIT`].
    pub config_limit: u32,
    /// The fields that a driver may write, as byte ranges of the configuration space (VU-195).
    pub config_writable: ArrayVec<Range<u32>, 4>,
    /// Bytes of a host page.
    pub page_size: u64,
    /// Sizes in bytes of the shared memory regions by their ids; 0 for none.
    pub shmem: Option<Box<[u64; 256]>>,
}

impl Offer {
    /// Virtio device id of a crypto device.
    pub const CRYPTO: u32 = 20;

    /// Largest [`config_limit`](Self::config_limit): its reply still fits in a payload of 4096
    /// bytes.
    pub const CONFIG_LIMIT: u32 = 4096 - 12;

    /// Checks the offer before anybody sees it.
    ///
    /// # Errors
    /// The first rule that a device with this offer would break.
    pub fn check(&self) -> Result<(), OfferError> {
        if !(1..=256).contains(&self.queues) {
            return Err(OfferError::Queues { queues: self.queues });
        }
        if !(1..=32768).contains(&self.max_queue_size) {
            return Err(OfferError::QueueSize { size: self.max_queue_size });
        }
        if !(256..=Self::CONFIG_LIMIT).contains(&self.config_limit) {
            return Err(OfferError::ConfigLimit { limit: self.config_limit });
        }
        let bits = self.protocol_features;
        if bits & protocol::INBAND_NOTIFICATIONS != 0 && !inband_is_complete(bits) {
            return Err(OfferError::InbandAlone { bits });
        }
        if bits & protocol::GET_VRING_BASE_SKIP_DRAIN != 0 && !skip_drain_is_complete(bits) {
            return Err(OfferError::SkipDrainAlone { bits });
        }
        if self.device == Self::CRYPTO && bits & protocol::CRYPTO_SESSION == 0 {
            return Err(OfferError::CryptoWithoutSessions);
        }
        let page = self.page_size;
        if !page.is_power_of_two() {
            return Err(OfferError::PageSize { size: page });
        }
        let sizes = || self.shmem.iter().flat_map(|sizes| sizes.iter());
        // One size with a low bit is enough, and looking for any is cheaper than for the first.
        if sizes().fold(0, |bits, size| bits | size) & (page - 1) == 0 {
            return Ok(());
        }
        match sizes().find(|size| *size % page != 0) {
            Some(&size) => Err(OfferError::ShmemSize { size, page }),
            None => Ok(()),
        }
    }

    /// How many shared memory regions there are (VU-240).
    #[must_use]
    pub fn shmem_regions(&self) -> u32 {
        let sizes = self.shmem.iter().flat_map(|sizes| sizes.iter());
        sizes.filter(|size| **size != 0).fold(0, |count, _| count + 1)
    }
}

/// VU-216: bit 14 works only with a back-end channel and acknowledgements.
pub(super) const fn inband_is_complete(bits: u64) -> bool {
    let needed = protocol::BACKEND_REQ | protocol::REPLY_ACK;
    bits & protocol::INBAND_NOTIFICATIONS == 0 || bits & needed == needed
}

/// VU-096: bit 23 works only with bits 20 and 12.
pub(super) const fn skip_drain_is_complete(bits: u64) -> bool {
    let needed = protocol::GET_VRING_BASE_INFLIGHT | protocol::INFLIGHT_SHMFD;
    bits & protocol::GET_VRING_BASE_SKIP_DRAIN == 0 || bits & needed == needed
}

/// Why a device must not make this offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OfferError {
    /// Not 1 to 256 rings: indexes of descriptors have 8 bits (spec §6.3).
    Queues {
        /// Rings offered.
        queues: u16,
    },
    /// Not 1 to 32768 entries.
    QueueSize {
        /// Entries offered.
        size: u16,
    },
    /// A limit for `GET_CONFIG` below 256 bytes, or above what a reply holds.
    ConfigLimit {
        /// The limit in bytes.
        limit: u32,
    },
    /// Bit 14 without bits 3 and 5.
    InbandAlone {
        /// Protocol features offered.
        bits: u64,
    },
    /// Bit 23 without bits 12 and 20.
    SkipDrainAlone {
        /// Protocol features offered.
        bits: u64,
    },
    /// A crypto device without bit 7.
    CryptoWithoutSessions,
    /// A page size that is no power of two.
    PageSize {
        /// The size in bytes.
        size: u64,
    },
    /// A shared memory region that is no multiple of a page.
    ShmemSize {
        /// Size of the region in bytes.
        size: u64,
        /// Size of a page in bytes.
        page: u64,
    },
}

impl OfferError {
    /// The requirement that the offer breaks.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Queues { .. } => Rule::vu(79),
            Self::QueueSize { .. } => Rule::vu(78),
            Self::ConfigLimit { .. } => Rule::vu(193),
            Self::InbandAlone { .. } => Rule::vu(216),
            Self::SkipDrainAlone { .. } => Rule::vu(96),
            Self::CryptoWithoutSessions => Rule::vu(249),
            Self::PageSize { .. } | Self::ShmemSize { .. } => Rule::vu(239),
        }
    }
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queues { queues } => write!(f, "{queues} rings, not 1 to 256"),
            Self::QueueSize { size } => write!(f, "rings of {size} entries, not 1 to 32768"),
            Self::ConfigLimit { limit } => {
                write!(f, "GET_CONFIG limited to {limit} bytes, not 256 to {}", Offer::CONFIG_LIMIT)
            }
            Self::InbandAlone { bits } => {
                write!(f, "protocol features {bits:#x} have bit 14 without bits 3 and 5")
            }
            Self::SkipDrainAlone { bits } => {
                write!(f, "protocol features {bits:#x} have bit 23 without bits 12 and 20")
            }
            Self::CryptoWithoutSessions => f.write_str("a crypto device without CRYPTO_SESSION"),
            Self::PageSize { size } => write!(f, "pages of {size} bytes, no power of two"),
            Self::ShmemSize { size, page } => {
                write!(f, "a shared memory region of {size} bytes, no multiple of {page}")
            }
        }
    }
}

impl core::error::Error for OfferError {}

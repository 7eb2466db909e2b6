//! What this back-end cannot do, so that no device may offer it.

use std::fmt;

use vhost_fuzz_core::rule::Rule;
use vhost_fuzz_core::session::{Offer, OfferError};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};

/// Protocol features of which this back-end does nothing: it has no rings of another byte order,
/// no page faults in user space, no memory of its own for the front-end, and gives devices no
/// means for the others.
pub const NOT_SERVED: u64 = protocol::CROSS_ENDIAN
    | protocol::CRYPTO_SESSION
    | protocol::PAGEFAULT
    | protocol::HOST_NOTIFIER
    | protocol::XEN_MMAP
    | protocol::SHARED_OBJECT
    | protocol::DEVICE_STATE
    | protocol::SHMEM;

/// `VIRTIO_NET_F_MRG_RXBUF` of a network device: a packet may take several buffers.
const MRG_RXBUF: u64 = 1 << 15;

/// Virtio device id of a network device.
const NET: u32 = 1;

/// Why a device is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceError {
    /// No device may make its offer.
    Offer(OfferError),
    /// It offers protocol features of which this back-end does nothing.
    Protocol {
        /// Those.
        bits: u64,
    },
    /// It offers `IOMMU_PLATFORM`: nobody would ask the front-end for translations.
    Iommu,
    /// It offers packed rings, `INFLIGHT_SHMFD` and packets in several buffers. Requests that are
    /// recorded are shown to the driver one at a time (DC-034), which would see half a packet.
    PacketsInParts,
}

impl DeviceError {
    /// The requirement that the offer breaks.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Offer(error) => error.rule(),
            Self::Protocol { .. } | Self::Iommu | Self::PacketsInParts => Rule::dc(152),
        }
    }
}

impl From<OfferError> for DeviceError {
    fn from(error: OfferError) -> Self {
        Self::Offer(error)
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offer(error) => error.fmt(f),
            Self::Protocol { bits } => {
                write!(f, "protocol features {bits:#x} are offered and not served")
            }
            Self::Iommu => f.write_str("IOMMU_PLATFORM is offered and not served"),
            Self::PacketsInParts => {
                f.write_str("packed rings that are recorded, and packets in several buffers")
            }
        }
    }
}

impl std::error::Error for DeviceError {}

/// Judges an offer before anybody sees it (DC-152).
pub(crate) fn check(offer: &Offer) -> Result<(), DeviceError> {
    offer.check()?;
    let bits = offer.protocol_features & NOT_SERVED;
    if bits != 0 {
        return Err(DeviceError::Protocol { bits });
    }
    if offer.features & virtio::IOMMU_PLATFORM != 0 {
        return Err(DeviceError::Iommu);
    }
    let parts = virtio::RING_PACKED | MRG_RXBUF;
    let is_recorded = offer.protocol_features & protocol::INFLIGHT_SHMFD != 0;
    if offer.device == NET && is_recorded && offer.features & parts == parts {
        return Err(DeviceError::PacketsInParts);
    }
    Ok(())
}

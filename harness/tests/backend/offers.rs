//! Offers that the back-end cannot keep.

use vhost_fuzz_backend::Connection;
use vhost_fuzz_backend::offer::{DeviceError, NOT_SERVED};
use vhost_fuzz_core::session::{Offer, OfferError};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_harness::assert_refused;

use crate::device::{FEATURES, Inverter, PROTOCOL, offer};

const MRG_RXBUF: u64 = 1 << 15;

/// What becomes of a device with this offer.
fn connect(offer: Offer) -> Result<(), DeviceError> {
    Connection::new(Inverter { offer: Some(offer), ..Inverter::default() }).map(drop)
}

#[test]
fn a_device_that_offers_what_is_not_served_is_refused() {
    assert_eq!(connect(offer(FEATURES, protocol::ALL & !NOT_SERVED)), Ok(()));
    for bit in 0..24 {
        let bits = NOT_SERVED & 1 << bit;
        if bits != 0 {
            assert_refused!(
                connect(offer(FEATURES, PROTOCOL | bits)),
                DeviceError::Protocol { bits }
            );
        }
    }
    let offered = offer(FEATURES | virtio::IOMMU_PLATFORM, PROTOCOL);
    assert_refused!(connect(offered), DeviceError::Iommu);
}

#[test]
fn packets_in_parts_are_not_shown_one_part_at_a_time() {
    let offered = |device, features, protocol| Offer { device, ..offer(features, protocol) };
    let parts = FEATURES | MRG_RXBUF;
    assert_refused!(connect(offered(1, parts, PROTOCOL)), DeviceError::PacketsInParts);
    let others = [
        offered(1, FEATURES, PROTOCOL),
        offered(1, parts & !virtio::RING_PACKED, PROTOCOL),
        offered(1, parts, PROTOCOL & !protocol::INFLIGHT_SHMFD),
        offered(2, parts, PROTOCOL),
    ];
    for other in others {
        assert_eq!(connect(other), Ok(()));
    }
}

#[test]
fn what_no_device_may_offer_is_refused_first() {
    let none = Offer { queues: 0, ..offer(FEATURES, NOT_SERVED) };
    let error = DeviceError::Offer(OfferError::Queues { queues: 0 });
    assert_refused!(connect(none), error);
}

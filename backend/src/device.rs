//! What a device has to do, and what it is given to do it.

use std::os::fd::OwnedFd;

use vhost_fuzz_core::session::{EffectError, Offer, Session};

use crate::Mapping;
use crate::vring::{OpenRing, Vring};

/// A virtio device behind a front-end.
pub trait Device {
    /// What it offers. It is asked once.
    fn offer(&self) -> Offer;

    /// Its configuration space, as many bytes as the offer says.
    fn config(&self) -> &[u8];

    /// The driver, or a migration, writes to the configuration space; the window is in it and
    /// may be written to.
    ///
    /// # Errors
    /// Why the device does not take it.
    fn write_config(&mut self, offset: usize, data: &[u8]) -> Result<(), EffectError>;

    /// The front-end chose these features.
    fn negotiated(&mut self, features: u64);

    /// The front-end says what the link's MTU is, in bytes (`NET_SET_MTU`).
    ///
    /// # Errors
    /// Why the device does not take it.
    fn set_mtu(&mut self, mtu: u16) -> Result<(), EffectError>;

    /// The guest that has this MAC address was migrated here (`SEND_RARP`).
    fn announce(&mut self, mac: [u8; 6]);

    /// There may be work at ring `index`. What it cannot do now it is called for again: when the
    /// ring is kicked, or at once when a ring says so ([`OpenRing::take`]).
    fn process(&mut self, index: u16, rings: &mut Rings<'_>);

    /// The connection is over, or the driver reset the device: all is as at the beginning.
    fn reset(&mut self);
}

/// The rings of a connection, as a device sees them.
#[derive(Debug)]
pub struct Rings<'c> {
    pub(crate) session: &'c Session<OwnedFd, Mapping>,
    pub(crate) vrings: &'c mut [Vring],
}

impl Rings<'_> {
    /// Begins a wake-up of a ring; nothing when it cannot be looked at now.
    #[must_use]
    pub fn open(&mut self, index: u16) -> Option<OpenRing<'_>> {
        self.vrings.get_mut(usize::from(index))?.open(self.session)
    }

    /// Begins a wake-up of two rings.
    #[must_use]
    pub fn open_both(&mut self, [a, b]: [u16; 2]) -> [Option<OpenRing<'_>>; 2] {
        match self.vrings.get_disjoint_mut([usize::from(a), usize::from(b)]) {
            Ok(both) => both.map(|vring| vring.open(self.session)),
            Err(_) => [None, None],
        }
    }
}

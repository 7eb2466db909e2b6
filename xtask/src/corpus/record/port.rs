//! The gateway's end of a TAP device.

use std::io;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use smoltcp::phy::{self, Device as _, Medium, RxToken as _, TunTapInterface, TxToken as _};
use smoltcp::time::Instant;

/// The name of the interface, at the client's end.
pub(super) const NAME: &str = "tap0";

/// Clocks do not matter to a TAP device.
const NOW: Instant = Instant::ZERO;

/// One end of a wire. The client's end has a carrier as long as this one is open.
pub(super) struct Port(TunTapInterface);

impl Port {
    /// Makes the interface in the network namespace of this thread.
    ///
    /// # Errors
    /// When it may not be made.
    pub(super) fn open() -> io::Result<Self> {
        TunTapInterface::new(NAME, Medium::Ethernet).map(Self)
    }

    /// Waits for a frame, but not longer than `limit`.
    ///
    /// # Errors
    /// When there is no waiting for it.
    pub(super) fn wait(&self, limit: Duration) -> io::Result<()> {
        match phy::wait(self.0.as_raw_fd(), Some(limit.into())) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// The next frame, if there is one. The kernel has completed its checksums.
    pub(super) fn receive(&mut self) -> Option<Vec<u8>> {
        let (frame, _) = self.0.receive(NOW)?;
        Some(frame.consume(<[u8]>::to_vec))
    }

    /// Sends a frame.
    pub(super) fn send(&mut self, frame: &[u8]) {
        if let Some(token) = self.0.transmit(NOW) {
            token.consume(frame.len(), |room| room.copy_from_slice(frame));
        }
    }
}

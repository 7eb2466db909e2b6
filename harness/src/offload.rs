//! What the target `net_header` tests: whatever reads and writes the header in front of a frame.

use vhost_fuzz_core::net::header::{
    Checksum, Features, Header, NoRoom, Port, Receive, RxError, Transmit, TxError,
};

/// Reads and writes headers: ours, a broken one, or yours. What it does not define is done by
/// the core.
pub trait Offload {
    /// As [`Header::decode`].
    fn decode<'a>(&self, features: Features, bytes: &'a [u8]) -> Option<(Header, &'a [u8])> {
        Header::decode(features, bytes)
    }

    /// As [`Header::encode`].
    ///
    /// # Errors
    /// As [`Header::encode`].
    fn encode(&self, header: &Header, features: Features, out: &mut [u8]) -> Result<usize, NoRoom> {
        header.encode(features, out)
    }

    /// As [`Port::transmit`].
    ///
    /// # Errors
    /// As [`Port::transmit`].
    fn transmit<'a>(
        &self,
        port: &Port,
        bytes: &'a [u8],
        writable: u64,
    ) -> Result<Transmit<'a>, TxError> {
        port.transmit(bytes, writable)
    }

    /// As [`Port::receive`].
    ///
    /// # Errors
    /// As [`Port::receive`].
    fn receive(&self, port: &Port, frame: &[u8], about: &Receive) -> Result<Header, RxError> {
        port.receive(frame, about)
    }

    /// As [`Checksum::finish`].
    fn finish(&self, checksum: Checksum, frame: &mut [u8]) -> bool {
        checksum.finish(frame)
    }
}

/// The header of the core.
#[derive(Clone, Copy, Debug)]
pub struct Core;

impl Offload for Core {}

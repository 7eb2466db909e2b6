//! Headers in front of a frame that are read or written with one mistake each.

use std::cell::Cell;

use vhost_fuzz_core::net::header::{
    Checksum, Features, Header, Headers, NoRoom, Port, Receive, RxError, Segments, Transmit,
    TxError, Verified, flags,
};

use crate::offload::Offload;

/// A frame without anything about it, behind a header of this length.
fn plain(bytes: &[u8], header: usize) -> Transmit<'_> {
    Transmit {
        frame: bytes.get(header..).unwrap_or_default(),
        checksum: None,
        segments: None,
        headers: None,
        outer_network: None,
        security: None,
    }
}

/// The features without some of them.
fn without(features: Features, less: Features) -> Features {
    Features::from_bits(features.bits() & !less.bits())
}

macro_rules! twins {
    ($($(#[$doc:meta])* $name:ident { $($method:item)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl Offload for $name {
            $($method)*
        }
    )*};
}

// What the driver sends.
twins! {
    /// Takes every header to have the length of its first 12 bytes (NH11).
    KnowsShortHeaders {
        fn transmit<'a>(
            &self,
            port: &Port,
            bytes: &'a [u8],
            writable: u64,
        ) -> Result<Transmit<'a>, TxError> {
            let long = Features::HASH_REPORT
                | Features::HOST_UDP_TUNNEL_GSO
                | Features::GUEST_UDP_TUNNEL_GSO
                | Features::OUT_NET_HEADER
                | Features::IPSEC;
            Port { features: without(port.features, long), ..*port }.transmit(bytes, writable)
        }
    }

    /// Takes a chain that ends with its header (NH02, NH04).
    TakesNoFrame {
        fn transmit<'a>(
            &self,
            port: &Port,
            bytes: &'a [u8],
            writable: u64,
        ) -> Result<Transmit<'a>, TxError> {
            match port.transmit(bytes, writable) {
                Err(TxError::NoFrame { header, .. }) => Ok(plain(bytes, header)),
                other => other,
            }
        }
    }

    /// Takes a frame without an Ethernet header (NH03).
    TakesShortFrames {
        fn transmit<'a>(
            &self,
            port: &Port,
            bytes: &'a [u8],
            writable: u64,
        ) -> Result<Transmit<'a>, TxError> {
            match port.transmit(bytes, writable) {
                Err(TxError::ShortFrame { .. }) => Ok(plain(bytes, port.features.header_len())),
                other => other,
            }
        }
    }

    /// Does not look for writable descriptors.
    IgnoresWritable {
        fn transmit<'a>(
            &self,
            port: &Port,
            bytes: &'a [u8],
            _: u64,
        ) -> Result<Transmit<'a>, TxError> {
            port.transmit(bytes, 0)
        }
    }

    /// Adds `csum_start` and `csum_offset` in 16 bits (hazard 8.15).
    AddsIn16Bits {
        fn transmit<'a>(
            &self,
            port: &Port,
            bytes: &'a [u8],
            writable: u64,
        ) -> Result<Transmit<'a>, TxError> {
            match port.transmit(bytes, writable) {
                Err(TxError::Position { checksum, len })
                    if usize::from(checksum.start.wrapping_add(checksum.offset)) + 2 <= len =>
                {
                    let plain = plain(bytes, port.features.header_len());
                    Ok(Transmit { checksum: Some(checksum), ..plain })
                }
                other => other,
            }
        }
    }

    /// Takes a frame that is to be cut into pieces of 0 bytes (NH07).
    CutsIntoNothing {
        fn transmit<'a>(
            &self,
            port: &Port,
            bytes: &'a [u8],
            writable: u64,
        ) -> Result<Transmit<'a>, TxError> {
            match port.transmit(bytes, writable) {
                Err(TxError::SizeZero { .. }) => Ok(plain(bytes, port.features.header_len())),
                other => other,
            }
        }
    }

    /// Does not compare the headers of a frame with its type (NH08).
    TrustsTheType {
        fn transmit<'a>(
            &self,
            port: &Port,
            bytes: &'a [u8],
            writable: u64,
        ) -> Result<Transmit<'a>, TxError> {
            match port.transmit(bytes, writable) {
                Err(TxError::Mismatch { .. }) => Ok(plain(bytes, port.features.header_len())),
                other => other,
            }
        }
    }

    /// Takes `hdr_len` for the length of the headers (NET-008).
    TrustsHdrLen {
        fn transmit<'a>(
            &self,
            port: &Port,
            bytes: &'a [u8],
            writable: u64,
        ) -> Result<Transmit<'a>, TxError> {
            let mut sent = port.transmit(bytes, writable)?;
            let said = Header::decode(port.features, bytes).map(|(header, _)| header.hdr_len);
            if let Some(said) = said {
                sent.headers = sent.headers.map(|headers| Headers { len: said.into(), ..headers });
            }
            Ok(sent)
        }
    }

    /// Counts a tag twice.
    CountsTagsTwice {
        fn transmit<'a>(
            &self,
            port: &Port,
            bytes: &'a [u8],
            writable: u64,
        ) -> Result<Transmit<'a>, TxError> {
            let mut sent = port.transmit(bytes, writable)?;
            if let (Some(headers), Some([0x81, 0])) = (&mut sent.headers, sent.frame.get(12..14)) {
                headers.transport += 4;
            }
            Ok(sent)
        }
    }

    /// Refuses a flag that it does not know (NET-005).
    RefusesUnknownFlags {
        fn transmit<'a>(
            &self,
            port: &Port,
            bytes: &'a [u8],
            writable: u64,
        ) -> Result<Transmit<'a>, TxError> {
            match port.transmit(bytes, writable) {
                Ok(_) if bytes.first().is_some_and(|flags| flags & 0x80 != 0) => {
                    Err(TxError::ChecksumFeature)
                }
                other => other,
            }
        }
    }

    /// Refuses a frame over 1514 bytes, whatever was negotiated (NET-017).
    RefusesLongFrames {
        fn transmit<'a>(
            &self,
            port: &Port,
            bytes: &'a [u8],
            writable: u64,
        ) -> Result<Transmit<'a>, TxError> {
            match port.transmit(bytes, writable) {
                Ok(sent) if sent.segments.is_none() && sent.frame.len() > 1514 => {
                    Err(TxError::FrameTooLong { len: sent.frame.len(), limit: 1514 })
                }
                other => other,
            }
        }
    }

    /// Wants `CSUM` itself, when another feature implies it (NET-010).
    WantsCsum {
        fn transmit<'a>(
            &self,
            port: &Port,
            bytes: &'a [u8],
            writable: u64,
        ) -> Result<Transmit<'a>, TxError> {
            match port.transmit(bytes, writable) {
                Ok(sent) if sent.checksum.is_some() && !port.features.has(Features::CSUM) => {
                    Err(TxError::ChecksumFeature)
                }
                other => other,
            }
        }
    }

    /// Drops the partial checksum of a frame that is not cut (NH15).
    ForgetsTheChecksum {
        fn transmit<'a>(
            &self,
            port: &Port,
            bytes: &'a [u8],
            writable: u64,
        ) -> Result<Transmit<'a>, TxError> {
            let sent = port.transmit(bytes, writable)?;
            let is_cut = sent.segments.is_some();
            Ok(Transmit { checksum: sent.checksum.filter(|_| is_cut), ..sent })
        }
    }

    /// Copies the frame.
    Allocates {
        fn transmit<'a>(
            &self,
            port: &Port,
            bytes: &'a [u8],
            writable: u64,
        ) -> Result<Transmit<'a>, TxError> {
            let copy = std::hint::black_box(bytes.to_vec());
            drop(copy);
            port.transmit(bytes, writable)
        }
    }

    /// Leaves a checksum of 0 as it is.
    WritesZero {
        fn finish(&self, checksum: Checksum, frame: &mut [u8]) -> bool {
            let is_done = checksum.finish(frame);
            let at = usize::from(checksum.start) + usize::from(checksum.offset);
            if let Some(field @ [0xff, 0xff]) = frame.get_mut(at..at + 2) {
                field.fill(0);
            }
            is_done
        }
    }
}

// What the driver is given.
twins! {
    /// Writes the first ten bytes of a header, and leaves what lay behind them (NET-034).
    LeavesStaleBytes {
        fn encode(
            &self,
            header: &Header,
            features: Features,
            out: &mut [u8],
        ) -> Result<usize, NoRoom> {
            let mut whole = [0; 32];
            let len = header.encode(features, &mut whole)?;
            out[..10].copy_from_slice(&whole[..10]);
            Ok(len)
        }
    }

    /// Writes two fields in each other's place.
    SwapsFields {
        fn encode(
            &self,
            header: &Header,
            features: Features,
            out: &mut [u8],
        ) -> Result<usize, NoRoom> {
            let Header { csum_start, csum_offset, .. } = *header;
            let swapped = Header { csum_start: csum_offset, csum_offset: csum_start, ..*header };
            swapped.encode(features, out)
        }
    }

    /// Says that a checksum is right to a driver that did not ask (NET-029).
    SaysMore {
        fn receive(
            &self,
            port: &Port,
            frame: &[u8],
            about: &Receive,
        ) -> Result<Header, RxError> {
            let features = port.features | Features::GUEST_CSUM;
            Port { features, ..*port }.receive(frame, about)
        }
    }

    /// Gives a frame of a kind that the driver does not take (NET-030).
    GivesEveryKind {
        fn receive(
            &self,
            port: &Port,
            frame: &[u8],
            about: &Receive,
        ) -> Result<Header, RxError> {
            let every = Features::GUEST_TSO4
                | Features::GUEST_TSO6
                | Features::GUEST_UFO
                | Features::GUEST_USO4
                | Features::GUEST_USO6
                | Features::GUEST_ECN;
            Port { features: port.features | every, ..*port }.receive(frame, about)
        }
    }

    /// Counts `csum_start` from behind the Ethernet header (NH14).
    ForgetsTheEthernetHeader {
        fn receive(
            &self,
            port: &Port,
            frame: &[u8],
            about: &Receive,
        ) -> Result<Header, RxError> {
            let mut header = port.receive(frame, about)?;
            if header.has(flags::NEEDS_CSUM) && about.joined.is_none() {
                header.csum_start = header.csum_start.saturating_sub(14);
            }
            Ok(header)
        }
    }

    /// Passes `DATA_VALID` on with whatever comes (NET-032).
    PassesValidOn {
        fn receive(
            &self,
            port: &Port,
            frame: &[u8],
            about: &Receive,
        ) -> Result<Header, RxError> {
            match port.receive(frame, about) {
                Err(RxError::TunnelValid) => {
                    let about = Receive { segments: None, checksum: Verified::Yes, ..*about };
                    port.receive(frame, &about)
                }
                other => other,
            }
        }
    }

    /// Says a size of segments where there are none (NET-034).
    SaysASize {
        fn receive(
            &self,
            port: &Port,
            frame: &[u8],
            about: &Receive,
        ) -> Result<Header, RxError> {
            let header = port.receive(frame, about)?;
            let gso_size = about.segments.map_or(1448, |Segments { size, .. }| size);
            Ok(Header { gso_size, ..header })
        }
    }
}

/// Takes nothing more after a frame that is refused (NH18).
#[derive(Debug, Default)]
pub struct Stalls(Cell<bool>);

impl Offload for Stalls {
    fn transmit<'a>(
        &self,
        port: &Port,
        bytes: &'a [u8],
        writable: u64,
    ) -> Result<Transmit<'a>, TxError> {
        if self.0.get() {
            return Err(TxError::ChecksumFeature);
        }
        let sent = port.transmit(bytes, writable);
        self.0.set(sent.is_err());
        sent
    }
}

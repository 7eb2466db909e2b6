//! Codecs with one mistake each.

use vhost_fuzz_core::vhost_user::payload::{Iotlb, VringAddr, VringState};
use vhost_fuzz_core::vhost_user::{
    DecodeError, EncodeError, FrontendRequest, HeaderError, Kind, Layout, Message, Payload,
};

use crate::codec::{Codec, Core};

/// Reads one field in the other byte order.
#[derive(Clone, Copy, Debug)]
pub struct SwapsAField;

impl Codec for SwapsAField {
    fn decode<'a>(
        &self,
        kind: Kind,
        layout: Layout,
        bytes: &'a [u8],
        fds: usize,
    ) -> Result<Message<'a>, DecodeError> {
        let mut message = Core.decode(kind, layout, bytes, fds)?;
        if let Payload::Addr(addr) = message.payload {
            let used = addr.used.swap_bytes();
            message.payload = Payload::Addr(VringAddr { used, ..addr });
        }
        Ok(message)
    }
}

/// Takes the payload of one request for that of its neighbour.
#[derive(Clone, Copy, Debug)]
pub struct MixesTwoRequests;

impl Codec for MixesTwoRequests {
    fn decode<'a>(
        &self,
        kind: Kind,
        layout: Layout,
        bytes: &'a [u8],
        fds: usize,
    ) -> Result<Message<'a>, DecodeError> {
        let mut message = Core.decode(kind, layout, bytes, fds)?;
        if FrontendRequest(message.code) == FrontendRequest::SET_VRING_NUM {
            message.code = FrontendRequest::SET_VRING_BASE.0;
        }
        Ok(message)
    }
}

/// Cuts the ring index to 16 bits before anybody checks its range (MC07).
#[derive(Clone, Copy, Debug)]
pub struct CutsTheIndex;

impl Codec for CutsTheIndex {
    fn decode<'a>(
        &self,
        kind: Kind,
        layout: Layout,
        bytes: &'a [u8],
        fds: usize,
    ) -> Result<Message<'a>, DecodeError> {
        let mut message = Core.decode(kind, layout, bytes, fds)?;
        if let Payload::State(state) = message.payload {
            message.payload = Payload::State(VringState { index: state.index & 0xffff, ..state });
        }
        Ok(message)
    }
}

/// Does not count descriptors (MC05, MC06).
#[derive(Clone, Copy, Debug)]
pub struct IgnoresFds;

impl Codec for IgnoresFds {
    fn decode<'a>(
        &self,
        kind: Kind,
        layout: Layout,
        bytes: &'a [u8],
        fds: usize,
    ) -> Result<Message<'a>, DecodeError> {
        (0..=8)
            .map(|other| Core.decode(kind, layout, bytes, other))
            .find(Result::is_ok)
            .unwrap_or_else(|| Core.decode(kind, layout, bytes, fds))
    }
}

/// Looks at neither version nor reserved bits (DV-07).
#[derive(Clone, Copy, Debug)]
pub struct IgnoresTheVersion;

impl Codec for IgnoresTheVersion {
    fn decode<'a>(
        &self,
        kind: Kind,
        layout: Layout,
        bytes: &'a [u8],
        fds: usize,
    ) -> Result<Message<'a>, DecodeError> {
        match Core.decode(kind, layout, bytes, fds) {
            Err(DecodeError::Header(HeaderError::Version { .. })) => {
                Err(DecodeError::Header(HeaderError::ReservedFlags { bits: 0 }))
            }
            other => other,
        }
    }
}

/// Refuses a table that is padded to its full size, which is legal (DV-10).
#[derive(Clone, Copy, Debug)]
pub struct RefusesPaddedTables;

impl Codec for RefusesPaddedTables {
    fn decode<'a>(
        &self,
        kind: Kind,
        layout: Layout,
        bytes: &'a [u8],
        fds: usize,
    ) -> Result<Message<'a>, DecodeError> {
        let message = Core.decode(kind, layout, bytes, fds)?;
        if let Payload::MemTable(table) = message.payload {
            let region = if layout.xen_mmap { 40 } else { 32 };
            let need = 8 + table.count() * region;
            let have = u32::try_from(bytes.len() - 12).unwrap_or(u32::MAX);
            if have > need {
                return Err(DecodeError::PayloadTooLong { code: message.code, limit: need, have });
            }
        }
        Ok(message)
    }
}

/// Copies every message to the heap.
#[derive(Clone, Copy, Debug)]
pub struct Allocates;

impl Codec for Allocates {
    fn decode<'a>(
        &self,
        kind: Kind,
        layout: Layout,
        bytes: &'a [u8],
        fds: usize,
    ) -> Result<Message<'a>, DecodeError> {
        let copy = std::hint::black_box(bytes.to_vec());
        Core.decode(kind, layout, bytes, fds).inspect(|_| drop(copy))
    }
}

/// Sends zeroes where the message had padding.
#[derive(Clone, Copy, Debug)]
pub struct LosesPadding;

impl Codec for LosesPadding {
    fn encode(&self, message: &Message<'_>, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut message = *message;
        if let Payload::Iotlb(iotlb) = message.payload {
            message.payload = Payload::Iotlb(Iotlb { padding: [0; 6], ..iotlb });
        }
        message.encode(out)
    }
}

/// Leaves bytes of the reply as they were in the buffer (MC10, SE29).
#[derive(Clone, Copy, Debug)]
pub struct SendsStaleBytes;

impl Codec for SendsStaleBytes {
    fn encode(&self, message: &Message<'_>, out: &mut [u8]) -> Result<usize, EncodeError> {
        let stale = out.last().copied();
        let written = message.encode(out)?;
        if let (Some(last), Some(stale)) = (out.last_mut(), stale) {
            *last = stale;
        }
        Ok(written)
    }
}

//! Compares the headers that were found in a frame with those that `etherparse` finds.

use etherparse::{LaxSlicedPacket, TransportSlice};
use vhost_fuzz_core::net::header::{Headers, Ip, Transmit};

/// Where the independent parser finds a transport header, the code finds it, too, and it is of
/// the kind that is cut.
pub(super) fn check(sent: &Transmit<'_>) {
    let (Some(segments), Some(headers)) = (sent.segments, sent.headers) else { return };
    if segments.tunnel.is_some() {
        return;
    }
    let Some(found) = transport(sent.frame) else { return };
    assert!(
        found == (segments.kind.is_tcp(), headers),
        "wire check: the code finds {headers:?} in a frame with {segments:?}, the parser {found:?}"
    );
}

/// Whether it is TCP, and where it is; none when the parser does not get there.
fn transport(frame: &[u8]) -> Option<(bool, Headers)> {
    let packet = LaxSlicedPacket::from_ethernet(frame).ok()?;
    let ip = match packet.net? {
        etherparse::LaxNetSlice::Ipv4(_) => Ip::V4,
        etherparse::LaxNetSlice::Ipv6(_) => Ip::V6,
        etherparse::LaxNetSlice::Arp(_) => return None,
    };
    let (is_tcp, bytes, len) = match packet.transport? {
        TransportSlice::Tcp(tcp) => (true, tcp.slice(), tcp.header_slice().len()),
        TransportSlice::Udp(udp) => (false, udp.slice(), udp.header_slice().len()),
        _ => return None,
    };
    let transport = bytes.as_ptr().addr().checked_sub(frame.as_ptr().addr())?;
    Some((is_tcp, Headers { ip, transport, len: transport + len }))
}

//! The hash of a frame, by which a device chooses a queue (DC-147).

use arrayvec::ArrayVec;

use super::hash_type;
use crate::net::header::{EXTENSIONS_MAX, Hash, Ip, Link};

/// Bytes of a key that can matter: those of the longest input, and four more.
pub(super) const KEY_LEN: usize = INPUT_MAX + 4;

/// Two addresses of IPv6 and two ports.
const INPUT_MAX: usize = 36;

/// A key. What a shorter one lacks is zero.
pub(super) type Key = [u8; KEY_LEN];

/// What is hashed.
type Input = ArrayVec<u8, INPUT_MAX>;

/// The hash of a frame, if it has a header of which a kind is asked for.
pub(super) fn of(frame: &[u8], types: u32, key: &Key) -> Option<Hash> {
    if types == 0 {
        return None;
    }
    let (ip, start) = Link::of(frame).network().ok()?;
    let packet = frame.get(start..)?;
    let (bit, input) = match ip {
        Ip::V4 => v4(packet, types)?,
        Ip::V6 => v6(packet, types)?,
    };
    let report = u16::try_from(bit.trailing_zeros()).ok()? + 1;
    Some(Hash { value: toeplitz(key, &input), report })
}

/// For each bit of the input that is set, the 32 bits of the key from its place on.
fn toeplitz(key: &Key, input: &[u8]) -> u32 {
    let windows = key.windows(5);
    input.iter().zip(windows).fold(0, |hash, (byte, window)| {
        let window = window.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        (0..8).fold(hash, |hash, bit| {
            let is_set = u32::from(byte >> (7 - bit) & 1);
            hash ^ low(window >> (8 - bit)) & is_set.wrapping_neg()
        })
    })
}

/// The lower half.
const fn low(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// A transport with ports.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ports {
    Tcp([u8; 4]),
    Udp([u8; 4]),
}

impl Ports {
    /// Both ports, if the whole header is there.
    fn of(protocol: u8, bytes: &[u8]) -> Option<Self> {
        match protocol {
            6 => bytes.first_chunk::<20>()?.first_chunk().copied().map(Self::Tcp),
            17 => bytes.first_chunk::<8>()?.first_chunk().copied().map(Self::Udp),
            _ => None,
        }
    }

    /// The ports, and which of three kinds they make: addresses and these, for TCP and for UDP.
    fn kind(ports: Option<Self>, types: u32, [plain, tcp, udp]: [u32; 3]) -> Option<(u32, Input)> {
        match ports {
            Some(Self::Tcp(ports)) if types & tcp != 0 => Some((tcp, ports.into_iter().collect())),
            Some(Self::Udp(ports)) if types & udp != 0 => Some((udp, ports.into_iter().collect())),
            _ if types & plain != 0 => Some((plain, Input::new())),
            _ => None,
        }
    }
}

/// Addresses and then ports.
fn join(addresses: [&[u8]; 2], ports: &Input) -> Input {
    let [source, destination] = addresses;
    source.iter().chain(destination).chain(ports).copied().take(INPUT_MAX).collect()
}

fn v4(packet: &[u8], types: u32) -> Option<(u32, Input)> {
    let header = packet.first_chunk::<20>()?;
    let len = usize::from(header[0] & 0xf) * 4;
    if header[0] >> 4 != 4 || len < header.len() {
        return None;
    }
    let behind = packet.get(len..)?;
    // No fragment has ports, so that all of a datagram have the same hash.
    let is_whole = u16::from_be_bytes([header[6], header[7]]) & 0x3fff == 0;
    let ports = if is_whole { Ports::of(header[9], behind) } else { None };
    let kinds = [hash_type::IPV4, hash_type::TCPV4, hash_type::UDPV4];
    let (bit, ports) = Ports::kind(ports, types, kinds)?;
    Some((bit, join([&header[12..16], &header[16..20]], &ports)))
}

fn v6(packet: &[u8], types: u32) -> Option<(u32, Input)> {
    let header = packet.first_chunk::<40>()?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let (source, destination) = (&header[8..24], &header[24..40]);
    let behind = Behind::of(header[6], packet);
    if behind.has_extensions {
        let kinds = [hash_type::IP_EX, hash_type::TCP_EX, hash_type::UDP_EX];
        if let Some((bit, ports)) = Ports::kind(behind.ports, types, kinds) {
            let source = behind.home.unwrap_or(source);
            let destination = behind.route.unwrap_or(destination);
            return Some((bit, join([source, destination], &ports)));
        }
    }
    let kinds = [hash_type::IPV6, hash_type::TCPV6, hash_type::UDPV6];
    let (bit, ports) = Ports::kind(behind.ports, types, kinds)?;
    Some((bit, join([source, destination], &ports)))
}

/// What comes behind the fixed header of IPv6.
#[derive(Default)]
struct Behind<'a> {
    has_extensions: bool,
    /// The home address of the sender.
    home: Option<&'a [u8]>,
    /// The home address of the receiver.
    route: Option<&'a [u8]>,
    ports: Option<Ports>,
}

impl<'a> Behind<'a> {
    /// Follows extension headers: as many as are followed everywhere, and while they lie in the
    /// packet.
    fn of(mut next: u8, packet: &'a [u8]) -> Self {
        let mut behind = Self::default();
        let mut rest = packet.get(40..).unwrap_or_default();
        for left in (0..=EXTENSIONS_MAX).rev() {
            if !matches!(next, 0 | 43 | 44 | 51 | 60) {
                behind.ports = Ports::of(next, rest);
                return behind;
            }
            behind.has_extensions = true;
            let [number, len, ..] = *rest else { return behind };
            let len = match next {
                // What is in a fragment is not known, nor what is behind too many headers.
                44 => return behind,
                _ if left == 0 => return behind,
                51 => (usize::from(len) + 2) * 4,
                _ => (usize::from(len) + 1) * 8,
            };
            let Some((header, later)) = rest.split_at_checked(len) else { return behind };
            match next {
                60 => behind.home = behind.home.or_else(|| home_address(header)),
                43 => behind.route = behind.route.or_else(|| route(header)),
                _ => {}
            }
            (next, rest) = (number, later);
        }
        behind
    }
}

/// The home address option among destination options (RFC 6275 §6.3).
fn home_address(header: &[u8]) -> Option<&[u8]> {
    let mut rest = header.get(2..)?;
    loop {
        let (kind, behind) = rest.split_first()?;
        if *kind == 0 {
            rest = behind;
            continue;
        }
        let (len, behind) = behind.split_first()?;
        let (value, later) = behind.split_at_checked(usize::from(*len))?;
        if *kind == 0xc9 && value.len() == 16 {
            return Some(value);
        }
        rest = later;
    }
}

/// The home address in a routing header of type 2 (RFC 6275 §6.4).
fn route(header: &[u8]) -> Option<&[u8]> {
    let is_home = header.get(1..3) == Some(&[2, 2]);
    header.get(8..24).filter(|_| is_home)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of the vectors that all who make such hashes compare with.
    const KEY: Key = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f,
        0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
        0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];

    #[test]
    fn the_hashes_are_those_of_the_published_vectors() {
        let ports = |from: u16, to: u16| [from.to_be_bytes(), to.to_be_bytes()].concat();
        for (source, destination, ports, plain, with_ports) in [
            ([66, 9, 149, 187], [161, 142, 100, 80], ports(2794, 1766), 0x323e_8fc2, 0x51cc_c178),
            ([199, 92, 111, 2], [65, 69, 140, 83], ports(14230, 4739), 0xd718_262a, 0xc626_b0ea),
        ] {
            let addresses = [source, destination].concat();
            assert_eq!(toeplitz(&KEY, &addresses), plain);
            assert_eq!(toeplitz(&KEY, &[addresses, ports].concat()), with_ports);
        }
        let source = 0x3ffe_2501_0200_1fff_0000_0000_0000_0007_u128.to_be_bytes();
        let destination = 0x3ffe_2501_0200_0003_0000_0000_0000_0001_u128.to_be_bytes();
        let addresses = [source, destination].concat();
        assert_eq!(toeplitz(&KEY, &addresses), 0x2cc1_8cd5);
        let with_ports = [addresses, ports(2794, 1766)].concat();
        assert_eq!(toeplitz(&KEY, &with_ports), 0x4020_7d3d);
    }

    #[test]
    fn anything_can_be_hashed() {
        let mut frame = vec![0; 14];
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        frame.extend([0x60, 0, 0, 0, 0, 0, 60, 64]);
        frame.extend([0; 200]);
        for len in 0..frame.len() {
            for next in [0, 6, 17, 43, 44, 51, 60] {
                frame[20] = next;
                _ = of(&frame[..len], u32::MAX, &KEY);
            }
        }
    }
}

//! Words of `net_header`: what is negotiated, what a header says, and what frames have inside.

use vhost_fuzz_core::net::header::{Ip, flags, gso};

use super::Entry;
use crate::seeds::net_header::Layers;

/// Feature bits that say something about a frame.
const FEATURES: &[(&str, u32)] = &[
    ("csum", 0),
    ("guest_csum", 1),
    ("mtu", 3),
    ("guest_tso4", 7),
    ("guest_tso6", 8),
    ("guest_ecn", 9),
    ("guest_ufo", 10),
    ("host_tso4", 11),
    ("host_tso6", 12),
    ("host_ecn", 13),
    ("host_ufo", 14),
    ("mrg_rxbuf", 15),
    ("version_1", 32),
    ("guest_uso4", 54),
    ("guest_uso6", 55),
    ("host_uso", 56),
    ("hash_report", 57),
    ("guest_hdrlen", 59),
    ("rsc_ext", 61),
    ("guest_udp_tunnel_gso", 65),
    ("guest_udp_tunnel_gso_csum", 66),
    ("host_udp_tunnel_gso", 67),
    ("host_udp_tunnel_gso_csum", 68),
    ("out_net_header", 69),
    ("ipsec", 70),
];

/// Numbers at which something changes.
const NUMBERS: &[(&str, u16)] = &[
    ("mss", 1448),
    ("mtu", 1500),
    ("ipv4_header", 14),
    ("tagged_header", 18),
    ("udp_checksum", 6),
    ("tcp_checksum", 16),
    ("transport4", 34),
    ("transport6", 54),
    ("wraps", 0xfff0),
    ("all_ones", 0xffff),
];

/// Every word.
pub(super) fn words() -> impl Iterator<Item = Entry> {
    features().chain(types()).chain(numbers()).chain(frames())
}

/// The features of an input that has one, and of one that has all.
fn features() -> impl Iterator<Item = Entry> {
    let word = |features: u128| features.to_le_bytes()[..9].to_vec();
    let one = move |(name, bit): &(&str, u32)| (format!("feature_{name}"), word(1 << bit));
    let every = FEATURES.iter().fold(0, |bits, (_, bit)| bits | 1_u128 << bit);
    let all = [("features_all", every), ("features_without_mtu", every & !8)];
    FEATURES.iter().map(one).chain(all.map(|(name, bits)| (name.to_owned(), word(bits))))
}

/// Flags and type.
fn types() -> impl Iterator<Item = Entry> {
    let kinds = [
        ("none", gso::NONE),
        ("tcpv4", gso::TCPV4),
        ("udp", gso::UDP),
        ("tcpv6", gso::TCPV6),
        ("udp_l4", gso::UDP_L4),
        ("undefined", 2),
    ];
    let marks = [
        ("", 0),
        ("_ecn", gso::ECN),
        ("_tunnel4", gso::TUNNEL_IPV4),
        ("_tunnel6", gso::TUNNEL_IPV6),
    ];
    let kinds = kinds.into_iter().flat_map(move |(kind, value)| {
        let word = move |(mark, bits)| {
            (format!("type_{kind}{mark}"), vec![flags::NEEDS_CSUM, value | bits])
        };
        marks.into_iter().map(word)
    });
    let others = [
        ("flags_valid", flags::DATA_VALID),
        ("flags_joined", flags::RSC_INFO),
        ("flags_outer", flags::UDP_TUNNEL_CSUM | flags::NEEDS_CSUM),
        ("flags_security", flags::SECURITY),
        ("flags_unknown", 0xe0),
    ];
    kinds.chain(others.map(|(name, flags)| (name.to_owned(), vec![flags, 0])))
}

fn numbers() -> impl Iterator<Item = Entry> {
    NUMBERS.iter().map(|(name, value)| (format!("number_{name}"), value.to_le_bytes().to_vec()))
}

/// Frames from their type on, without payload.
fn frames() -> impl Iterator<Item = Entry> {
    [
        ("tcp4", Ip::V4, true),
        ("udp4", Ip::V4, false),
        ("tcp6", Ip::V6, true),
        ("udp6", Ip::V6, false),
    ]
    .into_iter()
    .flat_map(|(name, ip, is_tcp)| {
        let frame = Layers::new(ip, is_tcp, 0).frame();
        let tag = [&[0x81, 0, 0, 5][..], &frame[12..14]].concat();
        [(format!("frame_{name}"), frame[12..].to_vec()), (format!("tagged_{name}"), tag)]
    })
}

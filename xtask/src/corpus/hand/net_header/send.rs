//! What a driver sends.

use vhost_fuzz_core::net::header::{Features, Header, Ip, Kind, Segments, flags, gso};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::seeds::net_header::{Layers, Setup, header};

use super::super::seed;
use super::{MOST, OK, TUNNELS, cut, without};

const TCP4: Layers = Layers::of(Kind::Tcp4, 100);

/// TCP over IPv4 to be cut, whose header is changed.
fn tcp4(features: Features, change: impl Fn(&mut Header)) -> Vec<u8> {
    let mut header = header(&cut(Kind::Tcp4), TCP4.checksum());
    change(&mut header);
    Setup::new(features).send(&header, &TCP4.frame())
}

/// A plain frame whose header is changed.
fn plain(features: Features, change: impl Fn(&mut Header)) -> Vec<u8> {
    let mut header = Header::default();
    change(&mut header);
    Setup::new(features).send(&header, &TCP4.frame())
}

/// Types, flags and places.
pub(super) fn seeds() -> Vec<Seed> {
    let set = |flags: u8, gso_type: u8| {
        move |header: &mut Header| (header.flags, header.gso_type) = (flags, gso_type)
    };
    let at = |start: u16, offset: u16| {
        move |header: &mut Header| {
            header.flags = flags::NEEDS_CSUM;
            (header.csum_start, header.csum_offset) = (start, offset);
        }
    };
    let none = Features::VERSION_1;
    let len = u16::try_from(TCP4.frame().len()).unwrap_or(0);
    let send = vec![
        ("plain", OK, "a frame that asks for nothing", plain(none, |_| {})),
        ("tcp4", OK, "TCP over IPv4 to be cut", tcp4(MOST, |_| {})),
        ("ecn", OK, "TCP with congestion marks", tcp4(MOST, set(1, gso::TCPV4 | gso::ECN))),
        ("unknown-flags", OK, "every flag that has no meaning here", plain(none, set(0xf6, 0))),
        ("num-buffers", OK, "num_buffers, which says nothing", plain(none, |h| h.num_buffers = 9)),
        (
            "checksum-without-flag",
            OK,
            "places without NEEDS_CSUM",
            plain(none, |h| {
                (h.csum_start, h.csum_offset) = (0xffff, 0xffff);
            }),
        ),
        ("valid-and-joined", OK, "flags of the device from a driver", plain(none, set(6, 0))),
        ("hdr-len-lies", OK, "an hdr_len beyond the frame", tcp4(MOST, |h| h.hdr_len = 0xffff)),
        ("checksum-only", OK, "a checksum to be finished", plain(MOST, at(34, 16))),
        (
            "checksum-implied",
            OK,
            "a checksum with HOST_USO and without CSUM",
            plain(Features::HOST_USO, at(34, 16)),
        ),
        ("checksum-at-the-end", OK, "the last two bytes", plain(MOST, at(len - 2, 0))),
        ("checksum-off", "NET-010", "a checksum nobody offered to finish", plain(none, at(34, 16))),
        ("hz-15-checksum-one-further", "NET-013", "one byte too far", plain(MOST, at(len - 1, 0))),
        ("hz-15-checksum-wraps", "NET-013", "a sum over 65535", plain(MOST, at(0xfff0, 0x20))),
        ("hz-15-checksum-in-ethernet", "NET-013", "csum_start 13", plain(MOST, at(13, 6))),
        ("type-undefined", "NET-011", "gso_type 2", tcp4(MOST, set(1, 2))),
        ("type-31", "NET-011", "gso_type 31", tcp4(MOST, set(1, 31))),
        (
            "type-off",
            "NET-011",
            "TCPV4 without HOST_TSO4",
            tcp4(without(MOST, Features::HOST_TSO4), |_| {}),
        ),
        (
            "ecn-off",
            "NET-011",
            "ECN without HOST_ECN",
            tcp4(without(MOST, Features::HOST_ECN), set(1, gso::TCPV4 | gso::ECN)),
        ),
        ("ecn-alone", "DC-093", "ECN with nothing to cut", tcp4(MOST, set(1, gso::ECN))),
        ("ecn-udp", "DC-093", "ECN with UDP", tcp4(MOST, set(1, gso::UDP_L4 | gso::ECN))),
        (
            "cut-unfinished",
            "NET-012",
            "to be cut without NEEDS_CSUM",
            tcp4(MOST, set(0, gso::TCPV4)),
        ),
        ("hz-15-size-0", "NET-012", "gso_size 0", tcp4(MOST, |h| h.gso_size = 0)),
    ];
    named("send-", send)
}

/// A frame in a tunnel over `outer`, whose header is changed.
fn in_tunnel(features: Features, outer: Ip, kind: Kind, change: &dyn Fn(&mut Header)) -> Vec<u8> {
    let (frame, tunnel, checksum) = Layers::of(kind, 64).inside(outer);
    let segments = Segments { tunnel: Some(tunnel), ..cut(kind) };
    let mut header = header(&segments, checksum);
    change(&mut header);
    Setup::new(features).send(&header, &frame)
}

/// TCP over IPv4 in a tunnel over IPv4.
fn tunnel(features: Features, change: &dyn Fn(&mut Header)) -> Vec<u8> {
    in_tunnel(features, Ip::V4, Kind::Tcp4, change)
}

fn kept(_: &mut Header) {}

fn outer(header: &mut Header) {
    header.flags |= flags::UDP_TUNNEL_CSUM;
}

/// A row of a table of seeds: name, what comes out, what it shows, and the bytes.
type Row = (&'static str, &'static str, &'static str, Vec<u8>);

fn named(front: &str, rows: Vec<Row>) -> Vec<Seed> {
    rows.into_iter()
        .map(|(name, expect, shows, bytes)| seed(&format!("{front}{name}"), expect, shows, bytes))
        .collect()
}

/// Tunnels.
pub(super) fn tunnels() -> Vec<Seed> {
    let all = MOST | TUNNELS;
    let mut rows = vec![
        ("4-in-4", OK, "TCP over IPv4 in a tunnel over IPv4", tunnel(all, &kept)),
        (
            "6-in-4",
            OK,
            "TCP over IPv6 in a tunnel over IPv4",
            in_tunnel(all, Ip::V4, Kind::Tcp6, &kept),
        ),
        ("udp-in-6", OK, "UDP in a tunnel over IPv6", in_tunnel(all, Ip::V6, Kind::UdpL4, &kept)),
        ("outer-checksum", OK, "with a partial outer checksum", tunnel(all, &outer)),
    ];
    rows.extend(tunnel_flags());
    rows.extend(tunnel_places());
    named("send-tunnel-", rows)
}

fn tunnel_flags() -> Vec<Row> {
    let all = MOST | TUNNELS;
    let both = |h: &mut Header| h.gso_type |= 0x60;
    vec![
        (
            "off",
            "NET-011",
            "without HOST_UDP_TUNNEL_GSO",
            tunnel(without(all, Features::HOST_UDP_TUNNEL_GSO), &kept),
        ),
        ("both", "NET-015", "both tunnel bits", tunnel(all, &both)),
        ("of-nothing", "NET-015", "a tunnel bit alone", tunnel(all, &|h| h.gso_type = 0x20)),
        ("unfinished", "NET-015", "without NEEDS_CSUM", tunnel(all, &|h| h.flags = 0)),
        ("valid", "NET-015", "with DATA_VALID", tunnel(all, &|h| h.flags |= flags::DATA_VALID)),
        (
            "outer-checksum-alone",
            "NET-015",
            "UDP_TUNNEL_CSUM without a tunnel",
            tunnel(all, &|h| (h.flags, h.gso_type) = (9, gso::TCPV4)),
        ),
        (
            "outer-checksum-off",
            "DC-091",
            "UDP_TUNNEL_CSUM without bit 68",
            tunnel(without(all, Features::HOST_UDP_TUNNEL_GSO_CSUM), &outer),
        ),
        ("fragments", "DC-096", "UFO in a tunnel", tunnel(all, &|h| h.gso_type = 0x23)),
    ]
}

fn tunnel_places() -> Vec<Row> {
    let all = MOST | TUNNELS;
    vec![
        (
            "inner-first",
            "DC-095",
            "the inner header before the outer",
            tunnel(all, &|h| h.outer_th_offset = h.inner_nh_offset),
        ),
        (
            "inner-behind-start",
            "DC-095",
            "the inner network header at csum_start",
            tunnel(all, &|h| h.inner_nh_offset = h.csum_start),
        ),
        (
            "outer-wraps",
            "DC-095",
            "an outer header at 65535",
            tunnel(all, &|h| h.outer_th_offset = 0xffff),
        ),
        (
            "other-version",
            "DC-094",
            "a tunnel over IPv6 in a frame of IPv4",
            tunnel(all, &|h| h.gso_type = 0x41),
        ),
        (
            "no-inner",
            "DC-094",
            "inner_nh_offset at no IP header",
            tunnel(all, &|h| h.inner_nh_offset -= 8),
        ),
        (
            "places-without-bit",
            OK,
            "places of a tunnel that there is not",
            Setup::new(all).send(
                &Header { outer_th_offset: 0xffff, inner_nh_offset: 1, ..Header::default() },
                &TCP4.frame(),
            ),
        ),
    ]
}

/// Chains that are too short or too long, and headers of every length.
pub(super) fn lengths() -> Vec<Seed> {
    let setup = Setup::new;
    let (v1, plain) = (Features::VERSION_1, Header::default());
    let long = Features::OUT_NET_HEADER | Features::IPSEC;
    let writable = Setup { writable: true, ..setup(v1) };
    let mut rows = vec![
        ("nothing", "NET-002", "no bytes", setup(v1).raw(&[])),
        ("hz-16-header-cut", "NET-002", "a header without its last byte", setup(v1).raw(&[0; 11])),
        ("hz-16-header-only", "NET-002", "a header alone", setup(v1).raw(&[0; 12])),
        ("hz-20-long-header-only", "NET-002", "32 bytes", setup(long).raw(&[0; 32])),
        ("hz-16-13-bytes", "L2-001", "a frame of 13 bytes", setup(v1).send(&plain, &[0; 13])),
        ("14-bytes", OK, "an Ethernet header", setup(v1).send(&plain, &[0; 14])),
        ("writable", "NET-003", "a writable byte", writable.send(&plain, &[0; 60])),
    ];
    rows.extend(forms());
    rows.extend(limits());
    named("send-len-", rows)
}

/// Headers of every length.
fn forms() -> Vec<Row> {
    let setup = Setup::new;
    let (v1, plain) = (Features::VERSION_1, Header::default());
    let long = Features::OUT_NET_HEADER | Features::IPSEC;
    let full = Header {
        flags: flags::SECURITY,
        outer_nh_offset: 14,
        resource_id: 0x1234_5678,
        resource_type: 0x9abc,
        hash_value: u32::MAX,
        ..plain
    };
    let outside = Header { outer_nh_offset: 154, ..plain };
    vec![
        ("legacy", OK, "a header of 10 bytes", setup(Features::CSUM).send(&plain, &[0; 60])),
        (
            "merged-legacy",
            OK,
            "12 bytes without VERSION_1",
            setup(Features::MRG_RXBUF).send(&plain, &[0; 60]),
        ),
        (
            "hash",
            OK,
            "a header of 20 bytes",
            setup(v1 | Features::HASH_REPORT).send(&plain, &[0; 60]),
        ),
        (
            "hz-20-cut-behind-hash",
            OK,
            "20 bytes in front of a frame to be cut",
            setup(MOST | Features::HASH_REPORT)
                .send(&header(&cut(Kind::Tcp4), TCP4.checksum()), &TCP4.frame()),
        ),
        (
            "guest-tunnel",
            OK,
            "24 bytes with GUEST_UDP_TUNNEL_GSO alone",
            setup(Features::GUEST_UDP_TUNNEL_GSO).send(&plain, &[0; 60]),
        ),
        ("all", OK, "32 bytes with every field", setup(long).send(&full, &TCP4.frame())),
        (
            "outer-network-outside",
            OK,
            "outer_nh_offset at the end of the frame",
            setup(long).send(&outside, &TCP4.frame()),
        ),
        (
            "security-off",
            OK,
            "SECURITY that was not negotiated",
            setup(Features::OUT_NET_HEADER).send(&full, &TCP4.frame()),
        ),
    ]
}

/// Frames as long as they may be, and longer.
fn limits() -> Vec<Row> {
    let setup = Setup::new;
    let (v1, plain) = (Features::VERSION_1, Header::default());
    let mtu = Setup { mtu: 1500, ..setup(v1 | Features::MTU) };
    let small = Setup { frame_max: 2000, ..setup(v1) };
    let frame = |len: usize| vec![0; len];
    let tagged = |len| {
        let mut frame = Layers { tags: 1, ..TCP4 }.frame();
        frame.resize(len, 0);
        frame
    };
    vec![
        ("at-mtu", OK, "a frame of mtu + 14", mtu.send(&plain, &frame(1514))),
        ("over-mtu", "NET-017", "one byte more", mtu.send(&plain, &frame(1515))),
        ("at-mtu-tagged", OK, "a frame of mtu + 18 with a tag", mtu.send(&plain, &tagged(1518))),
        ("over-mtu-tagged", "NET-017", "one byte more", mtu.send(&plain, &tagged(1519))),
        ("long-without-mtu", OK, "1515 bytes without MTU", setup(v1).send(&plain, &frame(1515))),
        ("at-own-limit", OK, "as long as the device takes", small.send(&plain, &frame(2000))),
        ("over-own-limit", "NET-017", "one byte more", small.send(&plain, &frame(2001))),
        (
            "cut-over-mtu",
            OK,
            "a frame to be cut is longer than mtu",
            Setup { mtu: 68, ..setup(MOST | Features::MTU) }
                .send(&header(&cut(Kind::Tcp4), TCP4.checksum()), &TCP4.frame()),
        ),
    ]
}

/// What is inside of a frame to be cut.
pub(super) fn inside() -> Vec<Seed> {
    let udp6 = Layers::new(Ip::V6, false, 64);
    let tags = |tags| Layers { tags, ..TCP4 };
    let mut rows = vec![
        ("tcp6", OK, "TCP over IPv6", framed(Kind::Tcp6, TCP6, &same)),
        (
            "uso4",
            OK,
            "datagrams over IPv4",
            framed(Kind::UdpL4, Layers::of(Kind::UdpL4, 64), &same),
        ),
        ("uso6", OK, "datagrams over IPv6", framed(Kind::UdpL4, udp6, &same)),
        ("ufo6", OK, "fragments over IPv6", framed(Kind::Udp, udp6, &same)),
        ("tag", OK, "TCP behind a tag", framed(Kind::Tcp4, tags(1), &same)),
        ("8-tags", OK, "as many tags as are followed", framed(Kind::Tcp4, tags(8), &same)),
        ("9-tags", OK, "more tags than are followed", framed(Kind::Tcp4, tags(9), &same)),
        ("8-extensions", OK, "as many as are followed", framed(Kind::Tcp6, more(8), &same)),
        ("9-extensions", OK, "more than are followed", framed(Kind::Tcp6, more(9), &same)),
    ];
    rows.extend(less_usual());
    rows.extend(missing());
    named("send-inside-", rows)
}

const TCP6: Layers = Layers::of(Kind::Tcp6, 64);

/// A frame to be cut, which is changed.
fn framed(kind: Kind, layers: Layers, change: &dyn Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = layers.frame();
    change(&mut frame);
    Setup::new(MOST).send(&header(&cut(kind), layers.checksum()), &frame)
}

fn same(_: &mut Vec<u8>) {}

/// TCP over IPv6 behind so many extension headers.
const fn more(extensions: usize) -> Layers {
    Layers { extensions, ..TCP6 }
}

/// Options, fragments and a sum of 0.
fn less_usual() -> Vec<Row> {
    // An option in front of TCP, so that its header begins 4 bytes later.
    let options = |frame: &mut Vec<u8>| {
        frame[14] = 0x46;
        frame.splice(34..34, [1, 1, 1, 0]);
    };
    let zero_sum = {
        let mut frame = vec![0; 64];
        frame[34..36].copy_from_slice(&[0xff, 0xff]);
        let header = Header { flags: 1, csum_start: 34, csum_offset: 16, ..Header::default() };
        Setup::new(MOST).send(&header, &frame)
    };
    vec![
        ("options", OK, "TCP behind an option of IPv4", framed(Kind::Tcp4, TCP4, &options)),
        (
            "atomic-fragment",
            OK,
            "a fragment header of a whole packet",
            framed(Kind::Tcp6, more(1), &|f| {
                f[20] = 44;
                f[55..62].fill(0);
            }),
        ),
        (
            "second-fragment",
            "DC-094",
            "a fragment that is not the first",
            framed(Kind::Tcp4, TCP4, &|f| f[21] = 1),
        ),
        (
            "second-fragment-6",
            "DC-094",
            "the same of IPv6",
            framed(Kind::Tcp6, more(1), &|f| {
                f[20] = 44;
                f[56..58].copy_from_slice(&[0, 8]);
            }),
        ),
        ("sum-0", OK, "a checksum whose sum is 0", zero_sum),
    ]
}

/// Frames that are not what their type says.
fn missing() -> Vec<Row> {
    vec![
        (
            "udp-as-tcp",
            "DC-094",
            "a protocol that is not the type's",
            framed(Kind::Tcp4, TCP4, &|f| f[23] = 17),
        ),
        ("6-as-4", "DC-094", "a version that is not the type's", framed(Kind::Tcp4, TCP6, &same)),
        ("arp", "DC-094", "no IP at all", framed(Kind::Tcp4, TCP4, &|f| f[13] = 6)),
        ("ihl-4", "DC-094", "a header of 16 bytes", framed(Kind::Tcp4, TCP4, &|f| f[14] = 0x44)),
        (
            "ihl-beyond",
            "DC-094",
            "an IPv4 header that ends behind the frame",
            framed(Kind::Tcp4, Layers { payload: 0, ..TCP4 }, &|f| {
                f[14] = 0x4f;
                f.truncate(52);
            }),
        ),
        (
            "other-version",
            "DC-094",
            "an IPv4 header with version 6",
            framed(Kind::Tcp4, TCP4, &|f| f[14] = 0x65),
        ),
        (
            "tcp-cut",
            "DC-094",
            "a TCP header without its last byte",
            framed(Kind::Tcp4, TCP4, &|f| f.truncate(53)),
        ),
        (
            "tcp-short",
            "DC-094",
            "a TCP header of 16 bytes",
            framed(Kind::Tcp4, TCP4, &|f| f[46] = 0x40),
        ),
        (
            "tcp-beyond",
            "DC-094",
            "a TCP header that ends behind the frame",
            framed(Kind::Tcp4, Layers { payload: 0, ..TCP4 }, &|f| f[46] = 0x60),
        ),
        (
            "extension-beyond",
            "DC-094",
            "an extension header that ends behind the frame",
            framed(Kind::Tcp6, more(1), &|f| f[55] = 0xff),
        ),
    ]
}

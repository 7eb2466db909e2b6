//! What a driver is given.

use vhost_fuzz_core::net::header::{
    Checksum, Features, Hash, Ip, Joined, Kind, Receive, Segments, Verified,
};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::seeds::net_header::{Layers, Setup};

use super::super::seed;
use super::{MOST, OK, TUNNELS, cut, without};

/// What a device says about a frame of `kind`.
fn about(kind: Kind, layers: Layers) -> Receive {
    let checksum = Verified::Partial(layers.checksum());
    Receive { checksum, segments: Some(cut(kind)), ..Receive::default() }
}

/// A frame of `kind`, of which something else is said.
fn give(features: Features, kind: Kind, change: &dyn Fn(&mut Receive)) -> Vec<u8> {
    let layers = Layers::of(kind, 64);
    let mut about = about(kind, layers);
    change(&mut about);
    Setup::new(features).give(&about, &layers.frame())
}

fn resize(segments: &mut Option<Segments>, size: u16) {
    if let Some(segments) = segments {
        segments.size = size;
    }
}

/// A row of a table of seeds: name, what comes out, what it shows, and the bytes.
type Row = (&'static str, &'static str, &'static str, Vec<u8>);

const TCP: Kind = Kind::Tcp4;

fn kept(_: &mut Receive) {}

/// Checksums and segments.
pub(super) fn seeds() -> Vec<Seed> {
    let plain = |about: &mut Receive| *about = Receive::default();
    let right = |about: &mut Receive| {
        *about = Receive { checksum: Verified::Yes, ..Receive::default() };
    };
    let uso6 = || {
        let layers = Layers::new(Ip::V6, false, 64);
        let features = without(MOST, Features::GUEST_USO6);
        Setup::new(features).give(&about(Kind::UdpL4, layers), &layers.frame())
    };
    let mut rows = vec![
        ("plain", OK, "a frame of which nothing is said", give(MOST, TCP, &plain)),
        (
            "plain-legacy",
            OK,
            "the same in front of a legacy driver",
            give(Features::CSUM, TCP, &plain),
        ),
        ("right", OK, "a checksum that is right", give(MOST, TCP, &right)),
        ("right-off", "NET-029", "the same without GUEST_CSUM", give(Features::CSUM, TCP, &right)),
        ("tcp4", OK, "TCP over IPv4", give(MOST, TCP, &kept)),
        ("tcp6", OK, "TCP over IPv6", give(MOST, Kind::Tcp6, &kept)),
        ("ufo", OK, "fragments", give(MOST, Kind::Udp, &kept)),
        ("uso4", OK, "datagrams over IPv4", give(MOST, Kind::UdpL4, &kept)),
        ("uso6-off", "NET-030", "datagrams over IPv6 with GUEST_USO4 alone", uso6()),
    ];
    rows.extend(marks());
    rows.extend(mistakes());
    rows.extend(buffers_and_lengths());
    rows.extend(joined_and_hashes());
    rows.extend(tunnels());
    let seeds = rows
        .into_iter()
        .map(|(name, expect, shows, bytes)| seed(&format!("give-{name}"), expect, shows, bytes));
    seeds.collect()
}

/// Congestion marks, and kinds that the driver does not take.
fn marks() -> Vec<Row> {
    let ecn = |about: &mut Receive| {
        about.segments = about.segments.map(|segments| Segments { ecn: true, ..segments });
    };
    vec![
        ("ecn", OK, "congestion marks", give(MOST, TCP, &ecn)),
        (
            "ecn-off",
            "NET-030",
            "the same without GUEST_ECN",
            give(without(MOST, Features::GUEST_ECN), TCP, &ecn),
        ),
        ("ecn-udp", "DC-093", "congestion marks on datagrams", give(MOST, Kind::UdpL4, &ecn)),
        (
            "tcp4-off",
            "NET-030",
            "TCP without GUEST_TSO4",
            give(without(MOST, Features::GUEST_TSO4), TCP, &kept),
        ),
    ]
}

/// What a device must not say.
fn mistakes() -> Vec<Row> {
    let at = |start, offset| {
        move |about: &mut Receive| {
            about.checksum = Verified::Partial(Checksum { start, offset });
        }
    };
    vec![
        (
            "unfinished",
            "NET-031",
            "to be cut with a complete checksum",
            give(MOST, TCP, &|about| about.checksum = Verified::No),
        ),
        (
            "size-0",
            "NET-031",
            "gso_size 0",
            give(MOST, TCP, &|about| resize(&mut about.segments, 0)),
        ),
        ("outside", "NET-013", "a checksum outside of the frame", give(MOST, TCP, &at(34, 200))),
        (
            "unshifted",
            "DC-098",
            "csum_start from behind the Ethernet header",
            give(MOST, TCP, &at(20, 16)),
        ),
        ("other-offset", "DC-098", "the offset of UDP", give(MOST, TCP, &at(34, 6))),
        ("mismatch", "DC-094", "a type that the frame has not", {
            let layers = Layers::of(Kind::Udp, 64);
            Setup::new(MOST).give(&about(TCP, layers), &layers.frame())
        }),
        (
            "short",
            "L2-001",
            "a frame of 13 bytes",
            Setup::new(MOST).give(&Receive::default(), &[0; 13]),
        ),
    ]
}

/// Buffers and lengths.
fn buffers_and_lengths() -> Vec<Row> {
    let buffers = |buffers| move |about: &mut Receive| about.buffers = buffers;
    let one = without(MOST, Features::MRG_RXBUF);
    let mtu = Setup { mtu: 1500, ..Setup::new(MOST | Features::MTU) };
    let plain = Receive::default();
    vec![
        ("buffers-9", OK, "a frame in nine buffers", give(MOST, TCP, &buffers(9))),
        ("buffers-0", "NET-023", "a frame in no buffer", give(MOST, TCP, &buffers(0))),
        (
            "buffers-2-off",
            "NET-022",
            "two buffers that are not merged",
            give(one, TCP, &buffers(2)),
        ),
        ("at-mtu", OK, "a frame of mtu + 14", mtu.give(&plain, &[0; 1514])),
        ("over-mtu", "NET-019", "one byte more", mtu.give(&plain, &[0; 1515])),
    ]
}

/// Segments that were joined, and hashes.
fn joined_and_hashes() -> Vec<Row> {
    let joined = |about: &mut Receive| {
        about.joined = Some(Joined { segments: 3, duplicates: 1 });
    };
    let hash =
        |report| move |about: &mut Receive| about.hash = Some(Hash { value: 0x1234_5678, report });
    let rsc = MOST | Features::RSC_EXT;
    let reports = MOST | Features::HASH_REPORT;
    vec![
        ("joined", OK, "three segments that were joined", give(rsc, TCP, &joined)),
        ("joined-off", "NET-033", "the same without RSC_EXT", give(MOST, TCP, &joined)),
        ("joined-not", "DC-098", "RSC_EXT, and nothing said", give(rsc, TCP, &|_| {})),
        (
            "joined-alone",
            "DC-098",
            "joined, and not to be cut",
            give(rsc, TCP, &|about| {
                joined(about);
                about.segments = None;
            }),
        ),
        ("hash", OK, "a hash", give(reports, TCP, &hash(2))),
        ("hash-none", OK, "HASH_REPORT, and no hash", give(reports, TCP, &|_| {})),
        ("hash-off", OK, "a hash nobody asked for", give(MOST, TCP, &hash(9))),
        ("hash-0", "NET-035", "a hash over nothing", give(reports, TCP, &hash(0))),
        ("hash-10", "NET-035", "a hash without a number", give(reports, TCP, &hash(10))),
    ]
}

/// A frame in a tunnel, of which something else is said.
fn in_tunnel(features: Features, change: &dyn Fn(&mut Receive)) -> Vec<u8> {
    let (frame, tunnel, checksum) = Layers::of(TCP, 64).inside(Ip::V4);
    let segments = Segments { tunnel: Some(tunnel), ..cut(TCP) };
    let checksum = Verified::Partial(checksum);
    let mut about = Receive { checksum, segments: Some(segments), ..Receive::default() };
    change(&mut about);
    Setup::new(features).give(&about, &frame)
}

/// Tunnels.
fn tunnels() -> Vec<Row> {
    let all = MOST | TUNNELS;
    let change = |change: fn(&mut Segments)| {
        move |about: &mut Receive| about.segments.iter_mut().for_each(change)
    };
    let place = |inner: u16| {
        move |about: &mut Receive| {
            if let Some(tunnel) = about.segments.as_mut().and_then(|s| s.tunnel.as_mut()) {
                tunnel.inner_network = inner;
                tunnel.checksum = inner == 50;
            }
        }
    };
    vec![
        ("tunnel", OK, "a tunnel", in_tunnel(all, &|_| {})),
        (
            "tunnel-off",
            "NET-030",
            "the same without GUEST_UDP_TUNNEL_GSO",
            in_tunnel(MOST, &|_| {}),
        ),
        (
            "tunnel-right",
            "NET-032",
            "a checksum that is right in a tunnel",
            in_tunnel(all, &|about| about.checksum = Verified::Yes),
        ),
        ("tunnel-outer", OK, "a partial outer checksum", in_tunnel(all, &place(50))),
        (
            "tunnel-outer-off",
            "DC-091",
            "the same without bit 66",
            in_tunnel(without(all, Features::GUEST_UDP_TUNNEL_GSO_CSUM), &place(50)),
        ),
        (
            "tunnel-order",
            "DC-095",
            "the inner header inside of the outer",
            in_tunnel(all, &place(40)),
        ),
        (
            "tunnel-fragments",
            "DC-096",
            "fragments in a tunnel",
            in_tunnel(all, &change(|segments| segments.kind = Kind::Udp)),
        ),
    ]
}

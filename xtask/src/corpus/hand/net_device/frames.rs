//! Each kind of frame, and each header.

use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::ipv6::ndp::setup::{DNS, PREFIX};
use vhost_fuzz_harness::net_device::setup::{DHCPV6, Setup};
use vhost_fuzz_harness::net_device::{Cut, Start, Step, bit, frames};
use vhost_fuzz_model::net::ipv4;

use super::{OK, ask, both, with};

pub(super) fn seeds() -> Vec<Seed> {
    [kinds(), headers(), sums(), limits()].concat()
}

fn kinds() -> Vec<Seed> {
    let gateway = [DHCPV6, 0, 0, 0];
    let start = Start { gateway, ..Start::default() };
    let all = [
        ("arp", "the guest asks for its gateway", vec![frames::arp()]),
        ("arp-vlan", "the same on a VLAN", vec![frames::arp_on(5)]),
        ("echo", "the guest pings its gateway", vec![frames::echo(56)]),
        (
            "dhcp",
            "the guest gets an address",
            vec![frames::discover(), frames::request(Setup(gateway))],
        ),
        ("neighbor", "the guest asks for its gateway over IPv6", vec![frames::neighbor()]),
        ("router", "the guest asks for a router", vec![frames::router()]),
        ("echo6", "the guest pings its gateway over IPv6", vec![frames::echo6(56)]),
        ("dhcpv6", "the guest looks for a DHCPv6 server", vec![frames::solicit()]),
    ];
    let other = vhost_fuzz_harness::gateway::build::frame(
        [2, 0, 0, 0, 0, 0x77],
        [2, 0, 0, 0, 0, 9],
        None,
        0x0800,
        &[0; 20],
    );
    let mut seeds: Vec<_> = all
        .into_iter()
        .flat_map(|(name, shows, frames)| both(name, OK, shows, start, ask(&frames)))
        .collect();
    seeds.extend(both("foreign", OK, "a frame for somebody else", start, ask(&[other])));
    let group = [&[2, 0, 0, 0, 0, 1, 3, 0, 0, 0, 0, 9, 8, 6][..], &[0; 28]].concat();
    seeds.extend(both("from-group", "L2-002", "a frame from a group", start, ask(&[group])));
    seeds
}

fn headers() -> Vec<Seed> {
    let forms = [
        ("header-10", "a header of 10 bytes", 0),
        ("header-12-merged", "one of 12 bytes, without a version", bit::MRG_RXBUF),
        ("header-20", "one with a hash", bit::VERSION_1 | bit::HASH_REPORT),
        ("header-24", "one with tunnels", bit::VERSION_1 | bit::HOST_TUNNELS),
        ("header-32", "one with the outer header", bit::VERSION_1 | bit::OUT_NET_HEADER),
    ];
    let frames = [frames::arp(), frames::echo(20)];
    let mut seeds: Vec<_> = forms
        .into_iter()
        .flat_map(|(name, shows, features)| {
            let start = Start { features, ..Start::default() };
            both(name, OK, shows, start, ask(&frames))
        })
        .collect();
    // A header that is cut anywhere reads the same (NET-004).
    for (name, cut, shows) in [
        ("cut-1", Cut(1), "a header with one byte in each descriptor"),
        ("cut-7", Cut(7), "a header in two descriptors"),
        ("cut-12", Cut(12), "header and frame apart"),
        ("cut-table", Cut(Cut::TABLE | 5), "pieces in an indirect table"),
    ] {
        let frame = frames::arp();
        let steps = [
            Step::post(0, 1, 2048),
            Step::Send { pair: 0, cut, is_plain: true, bytes: frame.into() },
            Step::wake(0),
        ];
        let sizes = [64; 5];
        seeds.extend(both(name, OK, shows, Start { sizes, ..Start::default() }, steps));
    }
    seeds
}

/// What the driver sends as it is.
fn raw(bytes: Vec<u8>) -> [Step<'static>; 3] {
    let send = Step::Send { pair: 0, cut: Cut(0), is_plain: false, bytes: bytes.into() };
    [Step::post(0, 1, 2048), send, Step::wake(0)]
}

fn sums() -> Vec<Seed> {
    let tcp = |gso_type: u8| {
        let mut header = vec![1, gso_type, 0, 0, 100, 0, 34, 0, 16, 0, 0, 0];
        let mut segment = vec![0; 220];
        segment[12] = 0x50;
        let packet = ipv4::write([192, 0, 2, 10], [169, 254, 0, 1], 6, &segment);
        header.extend(frames::to_gateway(&packet));
        header
    };
    let mut outside = frames::unfinished(12);
    outside[8] = 200;
    let csum = with(bit::CSUM);
    let tso = with(bit::CSUM | bit::HOST_TSO4);
    [
        both(
            "partial",
            OK,
            "a checksum that is left to the device",
            csum,
            raw(frames::unfinished(12)),
        ),
        both(
            "partial-refused",
            "NET-010",
            "the same, which was not negotiated",
            Start::default(),
            raw(frames::unfinished(12)),
        ),
        both("partial-outside", "NET-013", "a checksum behind the frame", csum, raw(outside)),
        both("tso", OK, "a frame that is to be cut, which nobody answers", tso, raw(tcp(1))),
        both("tso-refused", "NET-011", "one that must not be left to be cut", csum, raw(tcp(1))),
        both("gso-unknown", "NET-011", "a kind of cutting that is none", tso, raw(tcp(2))),
        both("short-chain", "NET-002", "a chain that ends in the header", csum, raw(vec![0; 12])),
        both("short-frame", "L2-001", "a frame of 13 bytes", csum, raw(vec![0; 25])),
    ]
    .concat()
}

fn limits() -> Vec<Seed> {
    let small = Start { mtu: 100, ..with(bit::MTU) };
    let full = Start { gateway: [0, 0, PREFIX | DNS, 0], ..small };
    let low = Start { gateway: [1 << 6, 0, 0, 0], ..Start::default() };
    let arps = vec![frames::arp(); 6];
    let mut late = ask(&arps);
    late.extend([Step::post(0, 2, 2048), Step::Wait { ms: 2000 }, Step::frame(0, frames::arp())]);
    late.push(Step::wake(0));
    let told = [Step::Mtu { mtu: 60 }].into_iter().chain(ask(&[frames::echo(40)]));
    [
        both("mtu", "NET-017", "a frame above the MTU", small, ask(&[frames::echo(90)])),
        both("mtu-exact", OK, "a frame of exactly the MTU", small, ask(&[frames::echo(72)])),
        both(
            "mtu-reply",
            OK,
            "an answer above the MTU is not given",
            full,
            ask(&[frames::router()]),
        ),
        both("mtu-told", "NET-017", "an MTU that changes", small, told.collect::<Vec<_>>()),
        both("mtu-vlan", OK, "a tag does not count", small, ask(&[frames::arp_on(7)])),
        both("limiter", "L2-013", "more frames than are answered at once", low, late),
    ]
    .concat()
}

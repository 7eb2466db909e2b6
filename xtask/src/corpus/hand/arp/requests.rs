//! ARP (AR-001 to AR-018).

use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::gateway::build::Arp;
use vhost_fuzz_harness::gateway::{GATEWAY_MAC, GATEWAYS, GUEST_MAC, LEASES, Record};

use super::{BROADCASTS, DEFENDS, FEW, NARROW, OK, PLAIN, PROXY, STRICT, of_records, seed};

const NOBODY: [u8; 4] = [0; 4];
const STRANGER: [u8; 4] = [198, 51, 100, 7];
const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

pub(super) fn seeds() -> Vec<Seed> {
    [answered(), silent(), malformed(), refused(), over_time()].concat()
}

fn ask(spa: [u8; 4], tpa: [u8; 4]) -> Vec<u8> {
    Arp::request(spa, tpa).bytes()
}

fn answered() -> Vec<Seed> {
    let one =
        |name: &str, shows: &str, options, arp: Arp| seed(name, OK, shows, options, &[arp.bytes()]);
    let gateway = Arp::default();
    let tha = |tha| Arp { tha, ..Arp::default() };
    vec![
        one("request", "the guest asks for the gateway", PLAIN, gateway.clone()),
        one("request-second", "the other address", PLAIN, Arp::request(LEASES[0], GATEWAYS[1])),
        one(
            "request-second-lease",
            "from another lease",
            STRICT,
            Arp::request(LEASES[1], GATEWAYS[0]),
        ),
        one(
            "request-unicast",
            "a request to the gateway's own MAC (AR-013)",
            PLAIN,
            Arp { destination: GATEWAY_MAC, ..Arp::default() },
        ),
        one(
            "request-multicast",
            "a request to a group",
            PLAIN,
            Arp { destination: [1, 0, 0x5e, 0, 0, 1], ..Arp::default() },
        ),
        one(
            "request-padded",
            "padding up to 60 bytes (L2-005)",
            PLAIN,
            Arp { padding: vec![0xee; 18], ..Arp::default() },
        ),
        one("request-tha-garbage", "tha says nothing (AR-013)", PLAIN, tha([0xde; 6])),
        one("request-tha-broadcast", "tha is the broadcast address", PLAIN, tha([0xff; 6])),
        one(
            "request-stranger",
            "any local address as sender (AR-011)",
            PLAIN,
            Arp::request(STRANGER, GATEWAYS[0]),
        ),
        one(
            "request-from-loopback",
            "even 127.0.0.1 as sender",
            PLAIN,
            Arp::request([127, 0, 0, 1], GATEWAYS[0]),
        ),
        one("request-broadcast-reply", "a broadcast reply (AR-016)", BROADCASTS, gateway),
        one(
            "request-unicast-reply",
            "10.0.0.1 is not link-local (AR-016)",
            BROADCASTS,
            Arp::request(LEASES[0], GATEWAYS[1]),
        ),
        one("probe", "a probe for the gateway (AR-008)", PLAIN, Arp::request(NOBODY, GATEWAYS[0])),
        one("probe-strict", "and on a strict port", STRICT, Arp::request(NOBODY, GATEWAYS[0])),
        one("proxy", "a stranger, answered for by proxy", PROXY, Arp::request(LEASES[0], STRANGER)),
        one(
            "proxy-link-local",
            "link-local, by proxy and broadcast",
            PROXY | BROADCASTS,
            Arp::request(LEASES[0], [169, 254, 77, 7]),
        ),
        one("proxy-class-e", "240.0.0.1, by proxy", PROXY, Arp::request(LEASES[0], [240, 0, 0, 1])),
        one("narrow", "a reply where 64 bytes have room", NARROW, Arp::default()),
    ]
}

fn silent() -> Vec<Seed> {
    let one =
        |name: &str, shows: &str, options, arp: Arp| seed(name, OK, shows, options, &[arp.bytes()]);
    let op = |op| Arp { op, ..Arp::default() };
    let mut seeds = vec![
        one(
            "other-station",
            "for somebody else's MAC (AR-014)",
            PLAIN,
            Arp { destination: OTHER_MAC, ..Arp::default() },
        ),
        one("reply", "a reply (AR-006)", PLAIN, op(2)),
        one(
            "reply-unasked",
            "a gratuitous reply",
            PLAIN,
            Arp { op: 2, ..Arp::request(LEASES[0], LEASES[0]) },
        ),
        one("rarp", "op 3, reverse ARP (AR-009)", PLAIN, op(3)),
        one("op-0", "op 0", PLAIN, op(0)),
        one("op-257", "op 0x0101", PLAIN, op(0x101)),
        one("announcement", "an announcement (AR-006)", PROXY, Arp::request(LEASES[0], LEASES[0])),
        one(
            "probe-lease",
            "a probe for the own lease (AR-005)",
            PROXY,
            Arp::request(NOBODY, LEASES[0]),
        ),
        one(
            "request-lease",
            "a request for the own lease (AR-005)",
            PROXY,
            Arp::request(LEASES[1], LEASES[0]),
        ),
        one(
            "probe-stranger",
            "a probe is never answered by proxy (AR-012)",
            PROXY,
            Arp::request(NOBODY, STRANGER),
        ),
        one(
            "probe-link-local",
            "as hosts without DHCP probe (RFC 3927)",
            PROXY,
            Arp::request(NOBODY, [169, 254, 77, 7]),
        ),
        one("probe-nobody", "a probe for 0.0.0.0 (DC-103)", PROXY, Arp::request(NOBODY, NOBODY)),
        one("stranger", "nobody answers for a stranger", PLAIN, Arp::request(LEASES[0], STRANGER)),
    ];
    for (name, tpa) in [
        ("never-loopback", [127, 0, 0, 1]),
        ("never-loopback-end", [127, 255, 255, 255]),
        ("never-multicast", [224, 0, 0, 1]),
        ("never-multicast-end", [239, 255, 255, 255]),
        ("never-broadcast", [255; 4]),
        ("never-nobody", NOBODY),
    ] {
        let shows = format!("{tpa:?} is never answered (AR-012)");
        seeds.push(one(name, &shows, PROXY, Arp::request(LEASES[0], tpa)));
    }
    seeds
}

fn malformed() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (name, at, value, shows) in [
        ("hrd-6", 1, 6, "IEEE 802 hardware"),
        ("hrd-257", 0, 1, "hrd 0x0101"),
        ("pro-ipv6", 2, 0x86, "another protocol"),
        ("hln-0", 4, 0, "hardware addresses of no bytes"),
        ("hln-255", 4, 255, "hardware addresses of 255 bytes"),
        ("pln-0", 5, 0, "protocol addresses of no bytes"),
        ("pln-16", 5, 16, "protocol addresses of 16 bytes"),
    ] {
        let mut arp = Arp { padding: vec![0; 600], ..Arp::default() };
        arp.form[at] = value;
        seeds.push(seed(name, "AR-001", shows, PLAIN, &[arp.bytes()]));
    }
    for len in [0, 1, 6, 8, 27] {
        let frame = Arp::default().bytes()[..14 + len].to_vec();
        let shows = format!("an ARP packet of {len} bytes");
        seeds.push(seed(&format!("short-{len}"), "AR-001", &shows, PLAIN, &[frame]));
    }
    seeds
}

fn refused() -> Vec<Seed> {
    let one = |name: &str, expect: &str, shows: &str, options, arp: Arp| {
        seed(name, expect, shows, options, &[arp.bytes()])
    };
    let sha = |sha| Arp { sha, ..Arp::default() };
    vec![
        one("sha-other", "AR-010", "sha is not the sender of the frame", PLAIN, sha(OTHER_MAC)),
        one("sha-group", "AR-010", "sha is a group", PLAIN, sha([1, 0, 0x5e, 0, 0, 1])),
        one("sha-broadcast", "AR-010", "sha is the broadcast address", PLAIN, sha([0xff; 6])),
        one(
            "sha-zero",
            "AR-010",
            "sha is zero, and the source too",
            PLAIN,
            Arp { source: [0; 6], sha: [0; 6], ..Arp::default() },
        ),
        one(
            "sha-spoofs-in-reply",
            "AR-010",
            "a reply from somebody else",
            PLAIN,
            Arp { op: 2, sha: OTHER_MAC, ..Arp::default() },
        ),
        one(
            "strict-stranger",
            "AR-011",
            "a strict port and a stranger",
            STRICT,
            Arp::request(STRANGER, GATEWAYS[0]),
        ),
        one(
            "conflict-request",
            "AR-017",
            "the guest asks with the gateway's address",
            PLAIN,
            Arp::request(GATEWAYS[0], LEASES[0]),
        ),
        one(
            "conflict-announced",
            "AR-017",
            "the guest announces the gateway's address",
            PROXY,
            Arp::request(GATEWAYS[1], GATEWAYS[1]),
        ),
        one(
            "conflict-replied",
            "AR-017",
            "the guest replies with it",
            PLAIN,
            Arp { op: 2, ..Arp::request(GATEWAYS[0], LEASES[0]) },
        ),
    ]
}

fn over_time() -> Vec<Seed> {
    let conflict = ask(GATEWAYS[0], GATEWAYS[0]);
    let other = ask(GATEWAYS[1], GATEWAYS[1]);
    let request = Arp::default().bytes();
    let late = |frame| Record { is_late: true, ..Record::new(frame) };
    let tagged = Arp {
        tag: Some((0x8100, 0x2005)),
        source: GUEST_MAC,
        ..Arp::request(GATEWAYS[0], GATEWAYS[0])
    }
    .bytes();
    let records = |frame| std::iter::repeat_n(Record::new(frame), 6).collect::<Vec<_>>();
    vec![
        seed(
            "defence",
            OK,
            "an address is defended (AR-017, AR-018)",
            DEFENDS,
            std::slice::from_ref(&conflict),
        ),
        seed("defence-tagged", OK, "in the VLAN of the conflict", DEFENDS, &[tagged]),
        of_records(
            "defence-again",
            OK,
            "and again after ten seconds",
            DEFENDS,
            &[Record::new(&conflict), late(&other), late(&conflict)],
        ),
        of_records(
            "defence-too-soon",
            "AR-017",
            "one defence in ten seconds",
            DEFENDS,
            &[Record::new(&conflict), Record::new(&other), late(&conflict)],
        ),
        seed(
            "learns-nothing",
            OK,
            "a probe, a reply, then a request: the same answer",
            PROXY,
            &[
                request.clone(),
                ask(NOBODY, GATEWAYS[0]),
                Arp { op: 2, spa: STRANGER, ..Arp::default() }.bytes(),
                request.clone(),
            ],
        ),
        of_records("hz-8-24-flood", "L2-013", "a fifth request at once", FEW, &records(&request)),
        of_records(
            "hz-8-24-silence",
            OK,
            "silence costs nothing",
            FEW,
            &records(&ask(LEASES[0], STRANGER)),
        ),
        of_records(
            "flood-recovers",
            "L2-013",
            "after ten seconds it is answered again",
            FEW,
            &[records(&request), vec![late(&request)]].concat(),
        ),
    ]
}

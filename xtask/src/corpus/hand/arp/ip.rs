//! IPv4, UDP and ICMP (L2-005 to L2-013, DC-105 to DC-107).

use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::gateway::build::{datagram, echo, frame, icmp, resealed, seal, to_gateway};
use vhost_fuzz_harness::gateway::{GATEWAY_MAC, GATEWAYS, GUEST_MAC, LEASES, Record};
use vhost_fuzz_model::net::ipv4::{write, write_datagram};

use super::{NARROW, OK, PLAIN, SMALL_MTU, of_records, seed};

pub(super) fn seeds() -> Vec<Seed> {
    [echoes(), packets(), datagrams(), partial()].concat()
}

fn one(name: &str, expect: &str, shows: &str, packet: &[u8]) -> Seed {
    seed(name, expect, shows, PLAIN, &[to_gateway(packet)])
}

fn with(at: usize, value: u8) -> Vec<u8> {
    let mut packet = echo(GATEWAYS[0], b"abcd");
    packet[at] = value;
    resealed(packet)
}

fn message(bytes: &[u8]) -> Vec<u8> {
    write(LEASES[0], GATEWAYS[0], 1, bytes)
}

fn echoes() -> Vec<Seed> {
    let ping = echo(GATEWAYS[0], b"ping");
    let framed = |destination, tag| frame(destination, GUEST_MAC, tag, 0x0800, &ping);
    let padded = [to_gateway(&ping), vec![0xee; 20]].concat();
    let mut damaged = ping.clone();
    damaged[27] ^= 1;
    let long = echo(GATEWAYS[0], &[0x61; 101]);
    let fits = echo(GATEWAYS[0], &[0x61; 100]);
    vec![
        one("ping", OK, "an echo request", &ping),
        one("ping-empty", OK, "without data", &echo(GATEWAYS[1], &[])),
        one("ping-odd", OK, "an odd number of bytes", &echo(GATEWAYS[0], &[1, 2, 3])),
        one("ping-largest", OK, "as long as the MTU", &echo(GATEWAYS[0], &[7; 1472])),
        seed("ping-padded", OK, "padding is not echoed (L2-005)", PLAIN, &[padded]),
        seed(
            "ping-vlan",
            OK,
            "in a VLAN (L2-004)",
            PLAIN,
            &[framed(GATEWAY_MAC, Some((0x8100, 0x6005)))],
        ),
        seed(
            "ping-broadcast",
            OK,
            "to everybody: silence (DC-105)",
            PLAIN,
            &[framed([0xff; 6], None)],
        ),
        seed(
            "ping-other-station",
            OK,
            "to another MAC: silence",
            PLAIN,
            &[framed([2, 0, 0, 0, 0, 9], None)],
        ),
        one("ping-stranger", OK, "to another host: silence", &echo([198, 51, 100, 7], b"x")),
        one("ping-as-gateway", OK, "from the gateway itself: silence", &{
            write(GATEWAYS[1], GATEWAYS[0], 1, &icmp(8, 0, [0; 4], &[]))
        }),
        one("echo-reply", OK, "a reply: silence", &message(&icmp(0, 0, [0; 4], &[]))),
        one("echo-code-1", OK, "an echo with a code: silence", &message(&icmp(8, 1, [0; 4], &[]))),
        one("timestamp", OK, "another request: silence", &message(&icmp(13, 0, [0; 4], &[0; 12]))),
        one("icmp-short", "DC-105", "7 bytes of ICMP", &message(&[8, 0, 0xf7, 0xff, 0, 0, 0])),
        one("icmp-none", "DC-105", "no bytes of ICMP", &message(&[])),
        one("icmp-checksum", "DC-105", "a damaged echo", &damaged),
        seed("ping-mtu", OK, "as long as a small MTU", SMALL_MTU, &[to_gateway(&fits)]),
        seed("ping-over-mtu", "L2-012", "longer than the MTU", SMALL_MTU, &[to_gateway(&long)]),
        seed("ping-no-room", "L2-006", "longer than the room", NARROW, &[to_gateway(&fits)]),
    ]
}

fn packets() -> Vec<Seed> {
    let ping = echo(GATEWAYS[0], b"abcd");
    let mut damaged = ping.clone();
    damaged[11] ^= 1;
    let mut options = [&[0x46], &ping[1..20], &[0x83, 4, 4, 0], &ping[20..]].concat();
    options[3] += 4;
    let from = |source| write(source, GATEWAYS[0], 1, &icmp(8, 0, [0; 4], &[]));
    vec![
        one("ipv4-options", OK, "options are skipped, and not echoed", &resealed(options)),
        one("ipv4-ttl-1", OK, "a TTL of 1 is enough", &with(8, 1)),
        one("ipv4-evil-bit", OK, "the reserved flag has no meaning", &with(6, 0x80)),
        one("ipv4-tos", OK, "a type of service", &with(1, 0xb8)),
        one("ipv4-from-zero-net", OK, "0.1.2.3 as source", &from([0, 1, 2, 3])),
        one("ipv4-other-protocol", OK, "TCP: silence", &write(LEASES[0], GATEWAYS[0], 6, &[0; 20])),
        one("ipv4-short", "L2-007", "19 bytes", &ping[..19]),
        one("ipv4-version", "L2-007", "version 6", &with(0, 0x65)),
        one("ipv4-ihl-4", "L2-007", "a header of 16 bytes", &with(0, 0x44)),
        one("ipv4-ihl-15", "L2-007", "a header of 60 bytes, with 32", &with(0, 0x4f)),
        one("ipv4-total-short", "L2-007", "shorter than its header", &with(3, 19)),
        one("ipv4-total-long", "L2-007", "longer than the frame", &with(3, 33)),
        one("ipv4-checksum", "L2-007", "a damaged header", &damaged),
        one("ipv4-ttl-0", "L2-007", "a TTL of 0", &with(8, 0)),
        one("ipv4-from-nobody", "L2-007", "0.0.0.0 pings", &from([0; 4])),
        one("ipv4-from-loopback", "L2-007", "127.0.0.1 pings", &from([127, 0, 0, 1])),
        one("ipv4-from-group", "L2-007", "a group pings", &from([224, 0, 0, 1])),
        one("ipv4-from-class-e", "L2-007", "240.0.0.1 pings", &from([240, 0, 0, 1])),
        one("ipv4-from-broadcast", "L2-007", "255.255.255.255 pings", &from([255; 4])),
        one("fragment-first", "L2-008", "more fragments", &with(6, 0x20)),
        one("fragment-last", "L2-008", "an offset of 8 bytes", &with(7, 1)),
        one("fragment-far", "L2-008", "the largest offset", &{
            let mut packet = with(6, 0x1f);
            packet[7] = 0xff;
            resealed(packet)
        }),
    ]
}

fn datagrams() -> Vec<Seed> {
    let hello = datagram(GATEWAYS[0], 7, b"hello");
    let field = |at: usize, value: u8| {
        let mut packet = hello.clone();
        packet[at] = value;
        packet
    };
    let mut none = hello.clone();
    none[26..28].copy_from_slice(&[0, 0]);
    let mut trailing = to_gateway(&hello);
    trailing.extend([0xee; 4]);
    trailing[17] += 4;
    seal(&mut trailing);
    let from_nobody =
        |port| write_datagram(([0; 4], 68), ([255; 4], port), b"a host without an address");
    // The echo of these two bytes has a sum of zero.
    let zero = (0..=0xffff_u16)
        .map(|number| datagram(GATEWAYS[0], 7, &number.to_be_bytes()))
        .find(|packet| packet[26..28] == [0xff, 0xff]);
    vec![
        one("udp", OK, "a datagram for the echo service", &hello),
        one("udp-empty", OK, "without data", &datagram(GATEWAYS[0], 7, &[])),
        one("udp-zero-sum", OK, "a computed 0 is 0xffff (L2-011)", &zero.unwrap_or_default()),
        one("udp-no-checksum", OK, "no checksum (L2-010)", &none),
        seed("udp-shorter", OK, "a datagram shorter than its packet", PLAIN, &[trailing]),
        one("udp-other-port", OK, "for another port: silence", &datagram(GATEWAYS[0], 53, b"?")),
        one("udp-from-nobody", OK, "as a DHCP client sends", &from_nobody(67)),
        one("udp-from-nobody-elsewhere", "L2-007", "and to another port", &from_nobody(7)),
        one("udp-short", "L2-009", "7 bytes of UDP", &write(LEASES[0], GATEWAYS[0], 17, &[0; 7])),
        one("udp-length-7", "L2-009", "a length of 7", &field(25, 7)),
        one("udp-length-0", "L2-009", "a length of 0", &field(25, 0)),
        one("udp-length-long", "L2-009", "a length beyond the packet", &field(25, 14)),
        one("udp-length-largest", "L2-009", "a length of 65293", &field(24, 0xff)),
        one("udp-checksum", "L2-010", "a damaged datagram", &field(28, 0x48)),
    ]
}

/// What is left to the device (NET-055).
fn partial() -> Vec<Seed> {
    let mut hello = datagram(GATEWAYS[0], 7, b"hello");
    // The folded sum of the pseudo-header, as a driver leaves it.
    hello[26..28].copy_from_slice(&[0x12, 0x34]);
    let mut ping = echo(GATEWAYS[0], b"abcd");
    ping[22..24].copy_from_slice(&[0, 0]);
    let mut damaged = hello.clone();
    damaged[10] ^= 1;
    let left = |name: &str, expect: &str, shows: &str, packet: &[u8]| {
        let frame = to_gateway(packet);
        let record = Record { is_partial: true, ..Record::new(&frame) };
        of_records(name, expect, shows, PLAIN, &[record])
    };
    vec![
        left("partial-udp", OK, "a checksum that the device completes (NET-055)", &hello),
        left("partial-icmp", OK, "the same of ICMP", &ping),
        left("partial-ipv4", "L2-007", "the header is never left to the device", &damaged),
    ]
}

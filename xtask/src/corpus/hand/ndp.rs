//! Inputs of `ndp`: one for each rule of neighbour discovery, and what is legal but unusual.

use std::net::Ipv6Addr;

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::ipv6::{ALL_NODES, solicited_node};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::ipv6::draft::{Draft, link_option};
use vhost_fuzz_harness::ipv6::encode;
use vhost_fuzz_harness::ipv6::ndp::{GATEWAY, GUEST, GUEST_SECOND, OTHER, SECOND, setup};
use vhost_fuzz_harness::ipv6::{GATEWAY_MAC, GUEST_MAC, PARTIAL};

use super::seed;

const OK: &str = "accept";

const NOBODY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

/// A router that says everything.
const FULL: u8 = setup::PREFIX | setup::DNS | setup::SECOND | setup::MANAGED;

/// Options of an extension header that does nothing.
const PAD: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];

/// Every seed of this module.
pub(super) fn seeds() -> Vec<Seed> {
    [neighbors(), headers(), options(), routers(), extensions(), echoes(), links()].concat()
}

fn one(name: &str, expect: &str, shows: &str, byte: u8, draft: &Draft) -> Seed {
    seed(name, expect, shows, encode(byte, &[(0, draft.frame())]))
}

/// The usual question: who has the gateway's address?
fn question() -> Draft {
    Draft::neighbor(GUEST, solicited_node(GATEWAY), GATEWAY, true)
}

/// The usual question with other bytes in its message.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Draft {
    let mut draft = question();
    change(&mut draft.payload);
    draft
}

fn neighbors() -> Vec<Seed> {
    let group = solicited_node(GATEWAY);
    let ask = |source, destination, target| Draft::neighbor(source, destination, target, false);
    let own = solicited_node(GUEST);
    vec![
        one("neighbor", OK, "the guest asks for the gateway", 0, &question()),
        one("neighbor-unicast", OK, "the same to its address", 0, &ask(GUEST, GATEWAY, GATEWAY)),
        one("neighbor-all-nodes", OK, "to everybody", 0, &ask(GUEST, ALL_NODES, GATEWAY)),
        one(
            "neighbor-second-address",
            OK,
            "for the second address of the gateway",
            FULL,
            &ask(GUEST_SECOND, solicited_node(SECOND), SECOND),
        ),
        one("neighbor-no-router", OK, "no router, no R flag", setup::NO_ROUTER, &question()),
        one("neighbor-no-default", OK, "no default router", setup::NO_DEFAULT, &question()),
        one("neighbor-other-group", OK, "in a foreign group", 0, &ask(GUEST, own, GATEWAY)),
        one("neighbor-stranger", OK, "for a third station", 0, &ask(GUEST, GATEWAY, OTHER)),
        one(
            "neighbor-proxied",
            OK,
            "for a third station, whom the gateway stands for",
            setup::PROXY,
            &ask(GUEST, solicited_node(OTHER), OTHER),
        ),
        one(
            "neighbor-proxied-nobody",
            OK,
            "for ::, which no proxy is",
            setup::PROXY,
            &ask(GUEST, GATEWAY, NOBODY),
        ),
        one("probe", OK, "the guest wants the gateway's address", 0, &ask(NOBODY, group, GATEWAY)),
        one(
            "probe-own-address",
            OK,
            "the guest looks for duplicates of its own address",
            setup::PROXY,
            &ask(NOBODY, own, GUEST),
        ),
        one(
            "neighbor-own-address",
            OK,
            "the guest asks who has its own address",
            setup::PROXY,
            &ask(GUEST_SECOND, own, GUEST),
        ),
        one(
            "probe-stranger",
            OK,
            "the guest looks for duplicates of a third address",
            setup::PROXY,
            &ask(NOBODY, solicited_node(OTHER), OTHER),
        ),
        one(
            "probe-unicast",
            "V6-001",
            "a search for duplicates that goes to one station",
            0,
            &ask(NOBODY, GATEWAY, GATEWAY),
        ),
        one(
            "probe-with-link",
            "V6-001",
            "somebody without address tells its link-layer address",
            0,
            &Draft::neighbor(NOBODY, group, GATEWAY, true),
        ),
        one("target-group", "V6-001", "who has a group?", 0, &ask(GUEST, group, ALL_NODES)),
    ]
}

fn headers() -> Vec<Seed> {
    let advertised = |destination, flags| {
        let fixed = [136, 0, 0, 0, flags, 0, 0, 0];
        Draft::icmp(GUEST, destination, &[&fixed[..], &GUEST.octets()].concat())
    };
    let short = |kind: u8, len: usize| {
        let mut message = vec![0; len];
        message[0] = kind;
        Draft::icmp(GUEST, GATEWAY, &message)
    };
    vec![
        one(
            "nd01-hop-limit",
            "V6-001",
            "a question that a router passed on",
            0,
            &Draft { hop_limit: 254, ..question() },
        ),
        one("nd01-code", "V6-001", "a question with a code", 0, &changed(|it| it[1] = 1)),
        one("checksum", "V6-001", "a wrong checksum", 0, &Draft { spoil: 1, ..question() }),
        one(
            "checksum-partial",
            OK,
            "a checksum that the device may finish",
            PARTIAL,
            &Draft { spoil: 0x1234, ..question() },
        ),
        one("short-router", "V6-001", "133 in 7 bytes", 0, &short(133, 7)),
        one("short-advertisement", "V6-001", "134 in 15 bytes", 0, &short(134, 15)),
        one("nd02-short-neighbor", "V6-001", "135 in 23 bytes", 0, &short(135, 23)),
        one("short-neighbor-advertisement", "V6-001", "136 in 4 bytes", 0, &short(136, 4)),
        one("short-redirect", "V6-001", "137 in 39 bytes", 0, &short(137, 39)),
        one("nd02-no-type", "DC-131", "3 bytes of a message", 0, &short(135, 3)),
        one("redirect", OK, "a redirect is ignored", 0, &short(137, 40)),
        one("advertised", OK, "what a guest says of itself", 0, &advertised(GATEWAY, 0x60)),
        one("advertised-to-all", OK, "the same, unasked, to all", 0, &advertised(ALL_NODES, 0x20)),
        one(
            "advertised-solicited-to-all",
            "V6-001",
            "an answer to a question that goes to all",
            0,
            &advertised(ALL_NODES, 0x40),
        ),
        one("router-guest", OK, "a guest says that it is a router", 0, &short(134, 16)),
        one(
            "router-guest-global",
            "V6-005",
            "a router whose source is not link-local",
            0,
            &Draft { source: GUEST_SECOND, ..short(134, 16) },
        ),
    ]
}

fn options() -> Vec<Seed> {
    let with = |option: &[u8]| changed(|it| it.splice(24.., option.iter().copied()).for_each(drop));
    let twice = [link_option(1, GUEST_MAC), link_option(1, GUEST_MAC)].concat();
    let many = [14_u8, 1, 0, 0, 0, 0, 0, 0].repeat(100);
    vec![
        one("option-empty", "V6-001", "length 0", 0, &with(&[14, 0, 0, 0, 0, 0, 0, 0])),
        one("option-cut", "V6-009", "an option over the end", 0, &with(&[14, 2, 0, 0, 0, 0, 0, 0])),
        one("option-without-length", "V6-009", "a type and no length", 0, &with(&[14])),
        one("option-unknown", OK, "an option nobody knows", 0, &with(&[253, 1, 0, 0, 0, 0, 0, 0])),
        one("option-target", OK, "one of another message", 0, &with(&link_option(2, OTHER_MAC))),
        one("option-none", OK, "a question without options", 0, &with(&[])),
        one("option-twice", OK, "the same option twice", 0, &with(&twice)),
        one("option-many", OK, "a hundred options", 0, &with(&many)),
        one(
            "nd04-long-link",
            "DC-133",
            "a link-layer address of 14 bytes",
            0,
            &with(&[&[1, 2][..], &[2; 14]].concat()),
        ),
        one(
            "link-of-another",
            "DC-133",
            "a link-layer address that is not the sender's",
            0,
            &with(&link_option(1, OTHER_MAC)),
        ),
    ]
}

const OTHER_MAC: Mac = Mac([2, 0, 0, 0, 0, 0x77]);

fn routers() -> Vec<Seed> {
    let mut told = Draft::router(GUEST);
    told.payload.extend(link_option(1, GUEST_MAC));
    let nobody = Draft::router(NOBODY);
    let mut nobody_told = nobody.clone();
    nobody_told.payload.extend(link_option(1, GUEST_MAC));
    let limited: Vec<_> = [0, 11, 1, 12].map(|delay| (delay, nobody.frame())).to_vec();
    let mixed = vec![(0, nobody.frame()), (0, told.frame()), (4, question().frame())];
    vec![
        one("router", OK, "who is a router?", 0, &told),
        one("router-full", OK, "a router that says everything", FULL, &told),
        one("router-not-default", OK, "a lifetime of 0", setup::NO_DEFAULT, &told),
        one("router-none", OK, "there is no router", setup::NO_ROUTER, &told),
        one("router-from-nobody", OK, "asked by somebody without address", FULL, &nobody),
        one("router-from-nobody-with-link", "V6-001", "the same, with link", 0, &nobody_told),
        one(
            "router-of-others",
            OK,
            "a question to a third station",
            0,
            &Draft { destination: OTHER, ..told.clone() },
        ),
        one(
            "router-unicast",
            OK,
            "a question to the gateway itself",
            0,
            &Draft { destination: GATEWAY, destination_mac: GATEWAY_MAC, ..told },
        ),
        seed("router-too-often", OK, "3 s between two answers to all", encode(0, &limited)),
        seed("router-mixed", OK, "questions of all kinds", encode(FULL, &mixed)),
    ]
}

fn extensions() -> Vec<Seed> {
    let pads = |count| (0..count).fold(question(), |draft, _| draft.behind(60, &PAD));
    let router_alert = [0, 5, 2, 0, 0, 1, 0];
    vec![
        one("extension-hop-by-hop", OK, "behind options", 0, &question().behind(0, &PAD)),
        one("extension-alert", OK, "behind an alert", 0, &question().behind(0, &router_alert)),
        one("extension-four", OK, "behind four headers", 0, &pads(4)),
        one("extension-five", OK, "behind five headers: not read", 0, &pads(5)),
        one(
            "extension-hop-by-hop-late",
            OK,
            "hop-by-hop options that are not the first header",
            0,
            &question().behind(60, &PAD).behind(0, &PAD),
        ),
        one(
            "extension-routing-done",
            OK,
            "behind a list of hops that ends here",
            0,
            &question().behind(43, &[0, 0, 0, 0, 0, 0, 0]),
        ),
        one(
            "extension-routing",
            OK,
            "a list of hops that goes on: not read",
            0,
            &question().behind(43, &[0, 0, 1, 0, 0, 0, 0]),
        ),
        one(
            "extension-fragment",
            OK,
            "a fragment that is the whole: not read",
            0,
            &question().behind(44, &[0, 0, 0, 0, 0, 0, 1]),
        ),
        one(
            "extension-must-know",
            OK,
            "an option that has to be known: not read",
            0,
            &question().behind(60, &[0, 0x80, 4, 0, 0, 0, 0]),
        ),
        one(
            "extension-cut",
            "V6-010",
            "an extension header over the end",
            0,
            &question().behind(60, &[200, 1, 4, 0, 0, 0, 0]),
        ),
        one(
            "extension-option-cut",
            "V6-010",
            "an option over the end of its header",
            0,
            &question().behind(0, &[0, 1, 5, 0, 0, 0, 0]),
        ),
    ]
}

fn echoes() -> Vec<Seed> {
    let echo = |destination| Draft::echo(GUEST, destination, &[0x61; 32]);
    let long = Draft::echo(GUEST, GATEWAY, &[0x62; 1440]);
    let code = Draft::icmp(GUEST, GATEWAY, &[128, 1, 0, 0, 0, 1, 0, 1]);
    vec![
        one("echo", OK, "an echo of the gateway", 0, &echo(GATEWAY)),
        one("echo-second", OK, "of its second address", FULL, &echo(SECOND)),
        one("echo-all-nodes", OK, "of all nodes", 0, &echo(ALL_NODES)),
        one("echo-group", OK, "of the group of its address", 0, &echo(solicited_node(GATEWAY))),
        one("echo-stranger", OK, "of a third station", 0, &echo(OTHER)),
        one("echo-long", OK, "of 1448 bytes", 0, &long),
        one("echo-odd", OK, "of an odd length", 0, &Draft::echo(GUEST, GATEWAY, &[1, 2, 3])),
        one("echo-empty", OK, "without data", 0, &Draft::echo(GUEST, GATEWAY, &[])),
        one("echo-from-nobody", OK, "asked by nobody", 0, &Draft::echo(NOBODY, GATEWAY, &[1])),
        one("echo-code", OK, "with a code: no echo", 0, &code),
        one("echo-hop-limit-1", OK, "nearly dead", 0, &Draft { hop_limit: 1, ..echo(GATEWAY) }),
        one("echo-checksum", "DC-131", "wrong", 0, &Draft { spoil: 0x100, ..echo(GATEWAY) }),
        one(
            "echo-short",
            "DC-131",
            "7 bytes",
            0,
            &Draft::icmp(GUEST, GATEWAY, &[128, 0, 0, 0, 0, 1, 0]),
        ),
        one("unreachable", OK, "an error", 0, &Draft::icmp(GUEST, GATEWAY, &[1, 4, 0, 0, 0])),
    ]
}

fn links() -> Vec<Seed> {
    let raw = |frame: Vec<u8>| encode(0, &[(0, frame)]);
    let whole = question().frame();
    let mut padded = whole.clone();
    padded.extend([0xee; 20]);
    let change = |at: usize, byte: u8| {
        let mut frame = whole.clone();
        frame[at] = byte;
        raw(frame)
    };
    let from = |source| Draft { source, ..question() };
    vec![
        one("tagged", OK, "a VLAN", 0, &Draft { tag: Some((0x8100, 0x2064)), ..question() }),
        one("service-tag", OK, "another", 0, &Draft { tag: Some((0x88a8, 7)), ..question() }),
        one(
            "other-station",
            OK,
            "a frame for a third station",
            0,
            &Draft { destination_mac: OTHER_MAC, ..question() },
        ),
        one(
            "unicast-frame",
            OK,
            "a group asked in a frame for the gateway",
            0,
            &Draft { destination_mac: GATEWAY_MAC, ..question() },
        ),
        seed("padding", OK, "bytes behind the packet", raw(padded)),
        seed("version", "DC-130", "IP version 4 in a packet of type IPv6", change(14, 0x45)),
        seed("length-over-the-end", "DC-130", "a length over the end", change(18, 1)),
        seed("short-packet", "DC-130", "39 bytes of a header", raw(whole[..53].to_vec())),
        one("source-group", "DC-130", "a group asks", 0, &from(ALL_NODES)),
        one("source-loopback", "DC-130", "::1 asks", 0, &from(Ipv6Addr::LOCALHOST)),
        one(
            "destination-nobody",
            "DC-130",
            "a question to ::",
            0,
            &Draft { destination: NOBODY, ..question() },
        ),
        seed("short-frame", "L2-001", "13 bytes", raw(whole[..13].to_vec())),
        one(
            "group-sender",
            "L2-002",
            "a frame that a group sent",
            0,
            &Draft { source_mac: Mac([3, 0, 0, 0, 0, 9]), ..question() },
        ),
        seed("arp", OK, "a frame of another type", change(13, 0xdc)),
        one("udp", OK, "no ICMPv6", 0, &Draft::udp(GUEST, GATEWAY, [546, 547], &[1, 2])),
        seed("nothing", OK, "no frame at all", vec![0]),
        seed("cut-record", "L2-001", "a record that is cut", vec![0, 0, 60, 0, 1, 2, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use vhost_fuzz_harness::ipv6::ndp::Core;
    use vhost_fuzz_harness::target::ndp::{check, judge};

    use super::*;

    #[test]
    fn every_seed_comes_out_as_it_says() {
        let seeds = seeds();
        assert!(seeds.len() >= 80, "{} seeds", seeds.len());
        for seed in seeds {
            let outcome = check::<Core>(&seed.bytes);
            let got = outcome.broken.map_or(OK.to_owned(), |id| id.to_string());
            assert_eq!(got, seed.entry.expect, "{}", seed.name);
            assert_eq!(outcome, judge(&seed.bytes), "{}", seed.name);
        }
    }
}

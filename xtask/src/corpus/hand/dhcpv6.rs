//! Inputs of `dhcpv6`: one for each rule of its messages, and what is legal but unusual.

use std::net::Ipv6Addr;

use vhost_fuzz_core::net::dhcpv6::{code, kind};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::ipv6::dhcpv6::{
    CLIENT_ID, LEASE, SERVER_ID, association, client, message, option, server, setup,
};
use vhost_fuzz_harness::ipv6::draft::Draft;
use vhost_fuzz_harness::ipv6::ndp::{GATEWAY, OTHER};
use vhost_fuzz_harness::ipv6::{GATEWAY_MAC, PARTIAL, encode};

use super::seed;

const OK: &str = "accept";

/// Every seed of this module.
pub(super) fn seeds() -> Vec<Seed> {
    [messages(), table(), options(), nests(), datagrams(), talks()].concat()
}

fn one(name: &str, expect: &str, shows: &str, byte: u8, draft: &Draft) -> Seed {
    seed(name, expect, shows, encode(byte, &[(0, draft.frame())]))
}

/// What a client says that has no address.
fn fresh() -> Vec<u8> {
    [client(), association(7, &[])].concat()
}

/// What a client says to the server that gave it an address.
fn known() -> Vec<u8> {
    [client(), server(), association(7, &[LEASE])].concat()
}

/// What a client says that has an address, to anybody.
fn bound(addresses: &[Ipv6Addr]) -> Vec<u8> {
    [client(), association(7, addresses)].concat()
}

fn unicast(draft: Draft) -> Draft {
    Draft { destination: GATEWAY, destination_mac: GATEWAY_MAC, ..draft }
}

fn messages() -> Vec<Seed> {
    let rapid = [fresh(), option(code::RAPID_COMMIT, &[])].concat();
    let dns = option(code::OPTION_REQUEST, &[0, 23, 0, 24]);
    let usual = [fresh(), option(code::ELAPSED_TIME, &[0, 9]), dns.clone()].concat();
    let ask = |kind, options: &[u8]| message(kind, options);
    vec![
        one("solicit", OK, "who is a server?", 0, &ask(1, &fresh())),
        one("solicit-usual", OK, "with the options of every day", setup::DNS, &ask(1, &usual)),
        one("solicit-rapid", OK, "a reply without an offer", setup::RAPID, &ask(1, &rapid)),
        one("solicit-rapid-off", OK, "which the server does not give", 0, &ask(1, &rapid)),
        one("solicit-plain-rapid-on", OK, "nobody asked", setup::RAPID, &ask(1, &fresh())),
        one("solicit-forever", OK, "a lease without end", setup::FOREVER, &ask(1, &fresh())),
        one("solicit-nothing", OK, "and wants nothing", 0, &ask(1, &client())),
        one("request", OK, "takes the offer", 0, &ask(3, &known())),
        one("renew", OK, "keeps its address", 0, &ask(5, &known())),
        one("rebind", OK, "keeps it, from anybody", 0, &ask(6, &bound(&[LEASE]))),
        one("rebind-another", OK, "has another address", 0, &ask(6, &bound(&[OTHER]))),
        one("confirm", OK, "am I on the link?", 0, &ask(4, &bound(&[LEASE]))),
        one("confirm-not", OK, "no", 0, &ask(4, &bound(&[LEASE, OTHER]))),
        one("confirm-nothing", OK, "without an address: silence", 0, &ask(4, &bound(&[]))),
        one("release", OK, "gives its address back", 0, &ask(8, &known())),
        one("decline", OK, "somebody else has it", 0, &ask(9, &known())),
        one("information", OK, "from nobody", setup::DNS, &ask(11, &dns)),
        one("information-named", OK, "to this server", 0, &ask(11, &[client(), server()].concat())),
    ]
}

fn table() -> Vec<Seed> {
    let ask = |kind, options: &[u8]| message(kind, options);
    let mut id = SERVER_ID;
    id[9] ^= 1;
    let other = [client(), option(code::SERVER_ID, &id), association(7, &[])].concat();
    let nobody = [server(), association(7, &[])].concat();
    let both = [client(), association(7, &[])].concat();
    let rows = |kind: u8, name: &str| {
        let broken = |what: &str, options: &[u8]| {
            let name = format!("{name}-{what}");
            one(&name, "V6-006", "a message that the table forbids", 0, &ask(kind, options))
        };
        let names = matches!(kind, 3 | 5 | 8 | 9);
        [broken("from-nobody", &nobody), broken("server", if names { &both } else { &other })]
    };
    let to_one = |kind, options: &[u8]| unicast(message(kind, options));
    let mut all: Vec<Seed> = [
        (1, "solicit"),
        (3, "request"),
        (4, "confirm"),
        (5, "renew"),
        (6, "rebind"),
        (8, "release"),
        (9, "decline"),
    ]
    .into_iter()
    .flat_map(|(kind, name)| rows(kind, name))
    .collect();
    all.extend([
        one("information-addresses", "V6-006", "both at once", 0, &ask(11, &bound(&[]))),
        one("solicit-unicast", "V6-006", "to one server", 0, &to_one(1, &fresh())),
        one("information-unicast", "V6-006", "to one server", 0, &to_one(11, &[])),
        one("renew-unicast", OK, "told to ask all", 0, &to_one(5, &known())),
        one("request-another-server", OK, "another one answers", 0, &ask(3, &other)),
        one("advertise", OK, "what servers say", 0, &ask(2, &known())),
        one("reply", OK, "what servers say", 0, &ask(7, &known())),
        one("unknown-type", OK, "a type that nobody has", 0, &ask(200, &known())),
    ]);
    all
}

fn options() -> Vec<Seed> {
    let ask = |option: Vec<u8>| message(kind::SOLICIT, &[fresh(), option].concat());
    let id = |len: usize| message(kind::SOLICIT, &option(code::CLIENT_ID, &vec![1; len]));
    let unknown = option(0xffff, &[7; 40]);
    let empty = message(kind::SOLICIT, &option(code::CLIENT_ID, &[]));
    vec![
        one("option-cut", "V6-009", "over the end", 0, &ask(vec![0, 99, 0, 9, 1])),
        one("option-header-cut", "V6-009", "3 bytes", 0, &ask(vec![0, 99, 0])),
        one("option-unknown", OK, "skipped", 0, &ask(unknown)),
        one("option-empty", OK, "without a value", 0, &ask(option(99, &[]))),
        one("rapid-commit-value", "V6-009", "with a value", 0, &ask(option(14, &[1]))),
        one("elapsed-1", "V6-009", "of one byte", 0, &ask(option(8, &[1]))),
        one("request-odd", "V6-009", "of three bytes", 0, &ask(option(6, &[0, 23, 0]))),
        one("request-empty", OK, "for nothing", 0, &ask(option(6, &[]))),
        one("status-short", "V6-009", "of one byte", 0, &ask(option(13, &[0]))),
        one("d604-status", OK, "and an option behind", setup::RAPID, &{
            ask([option(13, &[0, 0]), option(14, &[])].concat())
        }),
        one("client-empty", "DC-136", "nobody in no bytes", 0, &empty),
        one("client-2", "DC-136", "a type and nothing", 0, &id(2)),
        one("client-3", OK, "one byte", 0, &id(3)),
        one("client-130", OK, "128 bytes", 0, &id(130)),
        one("d607-client-131", "DC-136", "129 bytes", 0, &id(131)),
        one("client-twice", "DC-136", "two names", 0, &ask(client())),
        one("d605-link", OK, "a long link-layer address", 0, &ask(option(79, &[7; 200]))),
    ]
}

fn nests() -> Vec<Seed> {
    let ask = |option: Vec<u8>| message(kind::SOLICIT, &[client(), option].concat());
    let inside = |inner: &[u8]| option(code::IA_NA, &[&[0; 12], inner].concat());
    let address =
        |inner: &[u8]| option(code::IA_ADDRESS, &[&LEASE.octets()[..], &[0; 8], inner].concat());
    let nested = (0..80).fold(Vec::new(), |inner, _| inside(&inner));
    let prefix = |len: u8| {
        let mut value = vec![0; 25];
        value[8] = len;
        option(code::IA_PD, &[vec![0; 12], option(code::IA_PREFIX, &value)].concat())
    };
    let relayed = [vec![0; 30], option(9, &option(9, &[1; 40]))].concat();
    vec![
        one("d615-empty-association", OK, "nothing inside", 0, &ask(association(1, &[]))),
        one("d610-short-association", "V6-009", "11 bytes", 0, &ask(option(3, &[0; 11]))),
        one("d613-tiny-association", "V6-009", "no bytes", 0, &ask(option(25, &[]))),
        one("short-temporary", "V6-009", "3 bytes", 0, &ask(option(4, &[0; 3]))),
        one("temporary", OK, "there are none", 0, &ask(option(4, &[0, 0, 0, 5]))),
        one("short-address", "V6-009", "23 bytes", 0, &ask(inside(&option(5, &[0; 23])))),
        one("inner-cut", "V6-009", "over its end", 0, &ask(inside(&[0, 5, 0, 24, 1]))),
        one("deep-status", OK, "the deepest", 0, &ask(inside(&address(&option(13, &[0, 0]))))),
        one("deep-status-short", "V6-009", "1 byte", 0, &ask(inside(&address(&option(13, &[0]))))),
        one("deep-cut", "V6-009", "a cut option", 0, &ask(inside(&address(&[0, 13, 0, 9])))),
        one("d601-nested", OK, "80 associations in each other", 0, &ask(nested)),
        one("prefix", OK, "there are none", 0, &ask(prefix(56))),
        one("d614-prefix-129", "DC-136", "129 bits", 0, &ask(prefix(129))),
        one("eight", OK, "the most", 0, &ask(association(1, &[LEASE]).repeat(8))),
        one("nine", "DC-136", "one too many", 0, &ask(association(1, &[]).repeat(9))),
        one("d608-relayed", OK, "relays in relays", 0, &message(kind::RELAY_FORWARD, &relayed)),
    ]
}

fn datagrams() -> Vec<Seed> {
    let draft = message(kind::SOLICIT, &fresh());
    let cut = |len: usize| {
        let mut draft = draft.clone();
        draft.payload.truncate(len);
        draft
    };
    let len = |len: u16| {
        let mut draft = draft.clone();
        draft.payload[4..6].copy_from_slice(&len.to_be_bytes());
        draft
    };
    let mut none = draft.frame();
    none[60..62].fill(0);
    let bare = |len: u8| {
        let payload = [&[2, 34, 2, 35, 0, 8 + len, 0, 0][..], &[1; 4][..len.into()]].concat();
        Draft { payload, ..draft.clone() }
    };
    let mut longer = draft.frame();
    longer.extend([0xee; 9]);
    longer[19] += 9;
    let ports = |ports| Draft::udp(draft.source, draft.destination, ports, &draft.payload[8..]);
    vec![
        one("nd06-short-udp", "L2-009", "7 bytes", 0, &cut(7)),
        one("udp-length-7", "L2-009", "less than its header", 0, &len(7)),
        one("udp-length-over", "L2-009", "over the end", 0, &len(200)),
        seed("udp-surplus", OK, "bytes behind the datagram", encode(0, &[(0, longer)])),
        one("udp-checksum", "L2-010", "wrong", 0, &Draft { spoil: 8, ..draft.clone() }),
        one("udp-partial", OK, "left to the device", PARTIAL, &Draft { spoil: 8, ..draft.clone() }),
        seed("udp-no-checksum", "L2-011", "none", encode(0, &[(0, none)])),
        one("short-message", "DC-136", "3 bytes", 0, &bare(3)),
        one("no-message", "DC-136", "no bytes", 0, &bare(0)),
        one("bare-message", "V6-006", "a type and no options", 0, &bare(4)),
        one("other-port", OK, "for somebody else", 0, &ports([546, 546])),
        one("other-source-port", OK, "answered at 546", 0, &ports([1234, 547])),
        one("global-source", OK, "ignored", 0, &Draft { source: LEASE, ..draft.clone() }),
        one("other-address", OK, "ignored", 0, &Draft { destination: OTHER, ..draft.clone() }),
        one("tagged", OK, "a VLAN", 0, &Draft { tag: Some((0x8100, 9)), ..draft.clone() }),
        one("extension", OK, "skipped", 0, &draft.clone().behind(60, &[0, 1, 4, 0, 0, 0, 0])),
        one("icmp", OK, "no UDP", 0, &Draft::echo(draft.source, GATEWAY, &[1])),
    ]
}

fn talks() -> Vec<Seed> {
    let say = |kind, options: &[u8]| message(kind, options).frame();
    let usual = [
        (0, say(1, &fresh())),
        (4, say(3, &known())),
        (255, say(5, &known())),
        (255, say(6, &bound(&[LEASE]))),
        (1, say(4, &bound(&[LEASE]))),
        (1, say(8, &known())),
    ];
    let declined = [
        (0, say(3, &known())),
        (1, say(9, &known())),
        (1, say(1, &fresh())),
        (38, say(1, &fresh())),
        (1, say(1, &fresh())),
    ];
    let mut id = CLIENT_ID;
    let many: Vec<_> = (0..12_u8)
        .map(|number| {
            id[9] = number;
            (0, say(1, &[option(code::CLIENT_ID, &id), association(7, &[])].concat()))
        })
        .collect();
    let bad = [(0, say(1, &[])), (0, say(3, &client())), (0, say(3, &known()))];
    vec![
        seed("whole-life", OK, "a client from its first message to its last", encode(0, &usual)),
        seed("declined", OK, "an address that rests for a while", encode(0, &declined)),
        seed("many-names", OK, "a client that changes its name", encode(0, &many)),
        seed("after-errors", "V6-006", "a good message after broken ones", encode(0, &bad)),
        seed("nothing", OK, "no frame at all", vec![0]),
    ]
}

#[cfg(test)]
mod tests {
    use vhost_fuzz_harness::ipv6::dhcpv6::Core;
    use vhost_fuzz_harness::target::dhcpv6::{check, judge};

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

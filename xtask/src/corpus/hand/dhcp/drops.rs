//! What is dropped, and what looks as if it had to be.

use super::{ADDRESS, Draft, OK, PLAIN, Seed, Setup, on, plain, setup, then};
use vhost_fuzz_core::net::Mac;

/// One for each way to be dropped.
pub(super) fn seeds() -> Vec<Seed> {
    [headers(), options(), senders()].concat()
}

fn headers() -> Vec<Seed> {
    let cut = |len: usize| {
        let mut draft = Draft::discover().end();
        draft.payload.truncate(len);
        draft
    };
    let one =
        |name: &str, rule: &str, shows: &str, draft: Draft| plain(name, rule, shows, &[draft]);
    vec![
        one("nothing", "DH-002", "a datagram without bytes", cut(0)),
        one("cut-in-chaddr", "DH-002", "a message that ends in chaddr", cut(34)),
        one(
            "hz-8-24-bootp-without-cookie",
            "DH-002",
            "a message that ends before the cookie",
            cut(236),
        ),
        one("cut-before-options", "DH-002", "a message without an options field", cut(240)),
        one("op-2", "DH-001", "a reply from a guest", Draft::discover().at(0, &[2])),
        one("op-0", "DH-001", "op 0", Draft::discover().at(0, &[0])),
        one("htype-6", "DH-003", "hardware that is no Ethernet", Draft::discover().at(1, &[6])),
        one("hlen-0", "DH-003", "a hardware address without bytes", Draft::discover().at(2, &[0])),
        one(
            "hlen-255",
            "DH-003",
            "a hardware address longer than its field",
            Draft::discover().at(2, &[255]),
        ),
        one(
            "hlen-16",
            "DH-003",
            "a hardware address that fills its field",
            Draft::discover().at(2, &[16]),
        ),
        one(
            "no-cookie",
            "DH-001",
            "options without the cookie",
            Draft::discover().at(236, &[0; 4]),
        ),
        one(
            "cookie-swapped",
            "DH-001",
            "the cookie in another byte order",
            Draft::discover().at(236, &[0x63, 0x53, 0x82, 0x63]),
        ),
    ]
}

fn options() -> Vec<Seed> {
    [kinds_and_addresses(), structure()].concat()
}

fn kinds_and_addresses() -> Vec<Seed> {
    let one =
        |name: &str, rule: &str, shows: &str, draft: Draft| plain(name, rule, shows, &[draft]);
    vec![
        one("no-kind", "DH-001", "options without a type", Draft::plain().requested(ADDRESS).end()),
        one("only-an-end", "DH-001", "options that are over at once", Draft::plain().end()),
        one("only-pads", "DH-001", "options without anything", Draft::plain().raw(&[0; 60])),
        one(
            "kind-in-file",
            "DH-001",
            "a type that is only in file",
            Draft::plain().option(52, &[1]).at(108, &[53, 1, 1, 255]).end(),
        ),
        one(
            "kind-without-bytes",
            "DH-009",
            "a type without bytes",
            Draft::plain().option(53, &[]).end(),
        ),
        one(
            "kind-of-2-bytes",
            "DH-009",
            "a type of two bytes",
            Draft::plain().option(53, &[1, 1]).end(),
        ),
        one(
            "kind-twice",
            "DH-009",
            "a type twice: together they are too long",
            Draft::discover().option(53, &[1]).end(),
        ),
        one(
            "requested-of-3-bytes",
            "DH-009",
            "a requested address of three bytes",
            Draft::discover().option(50, &[192, 0, 2]).end(),
        ),
        one(
            "server-of-5-bytes",
            "DH-009",
            "a server of five bytes",
            Draft::discover().option(54, &[192, 0, 2, 1, 0]).end(),
        ),
        one(
            "server-twice",
            "DH-009",
            "a server twice",
            Draft::discover().server(ADDRESS).server(ADDRESS).end(),
        ),
        one(
            "option-without-length",
            "DH-002",
            "the field ends behind the code of an option",
            Draft::discover().raw(&[12]),
        ),
    ]
}

fn structure() -> Vec<Seed> {
    let one =
        |name: &str, rule: &str, shows: &str, draft: Draft| plain(name, rule, shows, &[draft]);
    let many = |draft: Draft, bytes: usize| {
        (0..bytes.div_ceil(250)).fold(draft, |draft, _| draft.option(61, &[7; 250]))
    };
    let overloaded = |value: u8| Draft::discover().option(52, &[value]).end();
    vec![
        one(
            "option-past-the-end",
            "DH-005",
            "an option of 255 bytes where one is left",
            Draft::discover().raw(&[12, 255, 0]),
        ),
        one(
            "option-one-past-the-end",
            "DH-005",
            "an option that is one byte too long",
            Draft::discover().raw(&[50, 4, 192, 0, 2]),
        ),
        one(
            "file-past-its-end",
            "DH-005",
            "an option in file that would go on in the cookie",
            overloaded(1).at(233, &[12, 2, 1]).at(108, &[12, 123]),
        ),
        one(
            "sname-past-its-end",
            "DH-005",
            "an option in sname that would go on in file",
            overloaded(2).at(44, &[12, 63]).at(108, &[1]),
        ),
        one(
            "file-without-length",
            "DH-002",
            "file ends behind the code of an option",
            overloaded(3).at(108, &[12, 125]).at(235, &[12]),
        ),
        one(
            "id-of-500-bytes",
            "DC-112",
            "a client identifier in two options, of 500 bytes",
            many(Draft::discover(), 500).end(),
        ),
        one(
            "id-of-256-bytes",
            "DC-112",
            "a client identifier of 256 bytes",
            Draft::discover().option(61, &[7; 255]).option(61, &[7]).end(),
        ),
    ]
}

fn senders() -> Vec<Seed> {
    let relayed = Draft::discover().giaddr([203, 0, 113, 1].into());
    let strange = Mac([2, 0, 0, 0, 0, 11]);
    let strict = setup(Setup::STRICT);
    let framed = Draft { ethernet_source: strange, ..Draft::discover() };
    let mut silent = Draft::discover();
    silent.ethernet_source = Mac::ZERO;
    vec![
        plain(
            "hz-8-24-relay-from-a-guest",
            "DH-048",
            "a guest that says it is a relay",
            &[relayed.end()],
        ),
        plain(
            "source-of-another",
            "DH-047",
            "a datagram from the address of somebody else",
            &[Draft::discover().from([192, 0, 2, 11].into()).end()],
        ),
        plain(
            "hz-8-24-ciaddr-of-another",
            "DH-047",
            "a DISCOVER from an address that is only in ciaddr",
            &[Draft::discover()
                .ciaddr([203, 0, 113, 9].into())
                .from([203, 0, 113, 9].into())
                .end()],
        ),
        plain(
            "chaddr-broadcast",
            "DC-113",
            "a client with the broadcast address",
            &[Draft::discover().chaddr(Mac::BROADCAST).end()],
        ),
        plain(
            "chaddr-zero",
            "DC-113",
            "a client without a hardware address",
            &[Draft::discover().chaddr(Mac::ZERO).end()],
        ),
        on(
            strict,
            "strict-chaddr",
            "DC-114",
            "another client behind a strict port",
            &[Draft::discover().chaddr(strange).end()],
        ),
        on(
            strict,
            "strict-source",
            "DC-114",
            "the guest's name in the frame of another",
            &[framed.end()],
        ),
        on(
            strict,
            "strict-guest",
            OK,
            "the guest behind a strict port",
            &then(strict, Draft::release(strict).end()),
        ),
        plain(
            "frame-of-another",
            OK,
            "chaddr and frame differ behind a port that is not strict",
            &[silent.end()],
        ),
    ]
}

/// Legal, and easy to take for something else.
pub(super) fn unusual() -> Vec<Seed> {
    [shapes(), values()].concat()
}

fn shapes() -> Vec<Seed> {
    let one = |name: &str, shows: &str, draft: Draft| plain(name, OK, shows, &[draft]);
    let selecting = || Draft::new(3).option(50, &[192, 0]);
    vec![
        one("no-end", "options that end with the field, after an option", Draft::discover()),
        one(
            "end-and-rubbish",
            "bytes behind the end that are no options",
            Draft::discover().end().raw(&[12, 255]),
        ),
        one(
            "pads-between",
            "pads between and behind options",
            Draft::plain().raw(&[0, 0]).option(53, &[1]).raw(&[0; 40]),
        ),
        one(
            "split-anywhere",
            "an address in two options, of two bytes each",
            selecting().option(54, &[169, 254]).option(50, &[2, 10]).option(54, &[0, 1]).end(),
        ),
        one(
            "split-over-fields",
            "an address in options, file and sname",
            selecting()
                .option(52, &[3])
                .server([169, 254, 0, 1].into())
                .at(108, &[50, 1, 2, 255])
                .at(44, &[50, 1, 10, 255])
                .end(),
        ),
        one(
            "overload-0",
            "option 52 without a field",
            Draft::discover().option(52, &[0]).at(108, &[12, 255]).end(),
        ),
        one(
            "overload-4",
            "option 52 with a value that nobody knows",
            Draft::discover().option(52, &[4]).at(108, &[12, 255]).end(),
        ),
        one(
            "overload-of-2-bytes",
            "option 52 of two bytes",
            Draft::discover().option(52, &[1, 1]).at(108, &[12, 255]).end(),
        ),
        one(
            "overload-in-file",
            "option 52 in file, which says nothing",
            Draft::discover().option(52, &[1]).at(108, &[52, 1, 3, 255]).at(44, &[12, 255]).end(),
        ),
        one(
            "file-full",
            "file without an end, full to its last byte",
            Draft::discover().option(52, &[1]).at(108, &[12, 126]).end(),
        ),
        one("sname-of-pads", "sname without anything", Draft::discover().option(52, &[2]).end()),
    ]
}

fn values() -> Vec<Seed> {
    let one = |name: &str, shows: &str, draft: Draft| plain(name, OK, shows, &[draft]);
    vec![
        one(
            "names",
            "a boot file and a server name, not overloaded",
            Draft::discover().at(44, b"server").at(108, b"file").end(),
        ),
        one(
            "reserved-flags",
            "the flags without a meaning",
            Draft::discover().at(10, &[0x7f, 0xff]).end(),
        ),
        one(
            "secs-and-hops",
            "hops and seconds, which are not copied",
            Draft::discover().at(3, &[4]).at(8, &[1, 2]).end(),
        ),
        one(
            "chaddr-padding",
            "rubbish behind the six bytes of chaddr",
            Draft::discover().at(34, &[0xee; 10]).end(),
        ),
        one(
            "max-size-of-1-byte",
            "option 57 of one byte",
            Draft::discover().option(57, &[1]).end(),
        ),
        one("rapid-of-1-byte", "option 80 with a byte", Draft::discover().option(80, &[1]).end()),
        one(
            "id-of-0-bytes",
            "a client identifier without bytes",
            Draft::discover().option(61, &[]).end(),
        ),
        one(
            "id-of-255-bytes",
            "the longest client identifier",
            Draft::selecting(PLAIN).option(61, &[9; 255]).end(),
        ),
        one(
            "opaque-bytes",
            "names that are no text",
            Draft::discover().option(12, &[0, 0xff, b'\n', 0x1b]).option(60, &[0x80]).end(),
        ),
    ]
}

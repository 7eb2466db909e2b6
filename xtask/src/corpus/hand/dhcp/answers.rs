//! Who is answered what, and who is not.

use super::{ADDRESS, Draft, OK, PLAIN, Seed, Setup, bound, on, plain, setup, then, wanting};
use vhost_fuzz_core::net::dhcp::kind;
use vhost_fuzz_harness::dhcp::{ELSEWHERE, FAR_ROUTER, NEAR_ROUTER};

/// Clients that walk through their states.
pub(super) fn walks() -> Vec<Seed> {
    [states(), odd_requests(), ends_of_leases(), other_ways()].concat()
}

fn states() -> Vec<Seed> {
    let near = setup(Setup::NEAR);
    let elsewhere = setup(Setup::NEAR | Setup::ELSEWHERE);
    let far = [10, 1, 2, 3].into();
    let wrong = [192, 0, 2, 99].into();
    vec![
        plain("bound", OK, "DISCOVER and REQUEST", &bound(PLAIN)),
        on(near, "bound-near", OK, "an address in the network of its router", &bound(near)),
        on(
            elsewhere,
            "renewing",
            OK,
            "a lease is extended by unicast to another address than the gateway's",
            &then(elsewhere, Draft::renewing(elsewhere).after(43_200).end()),
        ),
        plain(
            "rebinding",
            OK,
            "a lease is extended by broadcast",
            &then(PLAIN, Draft::rebinding().after(60_000).end()),
        ),
        plain(
            "expired",
            OK,
            "a lease runs out",
            &[
                then(PLAIN, Draft::discover().after(u16::MAX).end()),
                vec![Draft::discover().after(u16::MAX).end()],
            ]
            .concat(),
        ),
        plain(
            "rebooting",
            OK,
            "a guest that restarts keeps its address",
            &then(PLAIN, Draft::rebooting().end()),
        ),
        plain(
            "rebooting-unknown",
            OK,
            "a guest that the server has not seen keeps its address",
            &[Draft::rebooting().end()],
        ),
        plain(
            "rebooting-moved",
            OK,
            "a guest that comes from another network is refused",
            &[Draft::rebooting().end(), Draft::new(3).requested(far).end()],
        ),
        on(
            near,
            "rebooting-wrong-address",
            OK,
            "a guest with another address of the network is refused",
            &[Draft::new(3).requested(wrong).end()],
        ),
        plain(
            "selecting-wrong-address",
            OK,
            "a guest that takes another address than was offered",
            &[Draft::discover().end(), Draft::new(3).requested(wrong).server(FAR_ROUTER).end()],
        ),
    ]
}

fn odd_requests() -> Vec<Seed> {
    let far = [10, 1, 2, 3].into();
    let wrong = [192, 0, 2, 99].into();
    vec![
        plain(
            "selecting-without-offer",
            OK,
            "an offer is taken that the server forgot",
            &[Draft::selecting(PLAIN).end()],
        ),
        plain(
            "selecting-with-ciaddr",
            OK,
            "ciaddr says nothing when an offer is taken",
            &[Draft::selecting(PLAIN).ciaddr(far).end()],
        ),
        plain(
            "renewing-wrong-address",
            OK,
            "a lease of another network is not renewed",
            &[Draft::new(3).ciaddr(far).from(far).to(FAR_ROUTER).end()],
        ),
        plain(
            "rebinding-wrong-address",
            OK,
            "a lease of another network is not rebound",
            &[Draft::new(3).ciaddr(far).from(far).end()],
        ),
        plain(
            "renewing-with-50",
            OK,
            "a requested address beside ciaddr says nothing",
            &[Draft::renewing(PLAIN).requested(wrong).end()],
        ),
        plain(
            "renewing-with-54",
            OK,
            "this server beside ciaddr",
            &[Draft::renewing(PLAIN).server(FAR_ROUTER).end()],
        ),
        plain(
            "discover-again",
            OK,
            "a client asks until it is answered",
            &[
                Draft::discover().end(),
                Draft::discover().after(4).end(),
                Draft::discover().after(8).end(),
            ],
        ),
    ]
}

fn ends_of_leases() -> Vec<Seed> {
    let firmware = |draft: Draft| draft.option(61, &[1, 2, 3]).option(93, &[0, 7]).end();
    vec![
        plain(
            "hz-8-24-identity-churn",
            OK,
            "one guest with many names has one lease",
            &[
                bound(PLAIN),
                vec![firmware(Draft::discover()), firmware(Draft::selecting(PLAIN))],
                bound(PLAIN),
            ]
            .concat(),
        ),
        plain(
            "released",
            OK,
            "a lease is given back, and taken again",
            &[then(PLAIN, Draft::release(PLAIN).end()), bound(PLAIN)].concat(),
        ),
        plain(
            "declined",
            OK,
            "a declined address is held back, and offered again",
            &[
                then(PLAIN, Draft::decline(PLAIN).end()),
                vec![Draft::discover().after(9).end(), Draft::discover().after(1).end()],
            ]
            .concat(),
        ),
        plain(
            "hz-8-24-decline-loop",
            OK,
            "a guest that declines again and again",
            &[
                Draft::decline(PLAIN).end(),
                Draft::discover().end(),
                Draft::decline(PLAIN).after(5).end(),
                Draft::discover().after(9).end(),
            ],
        ),
        plain(
            "declined-at-the-end",
            OK,
            "nothing comes after a DECLINE",
            &then(PLAIN, Draft::decline(PLAIN).end()),
        ),
        plain(
            "declined-and-taken",
            OK,
            "an address that is held back is not given",
            &[
                Draft::decline(PLAIN).end(),
                Draft::selecting(PLAIN).end(),
                Draft::rebooting().end(),
                Draft::renewing(PLAIN).end(),
            ],
        ),
    ]
}

fn other_ways() -> Vec<Seed> {
    let near = setup(Setup::NEAR);
    vec![
        on(
            near,
            "inform",
            OK,
            "a client that has an address",
            &[wanting(Draft::inform([192, 0, 2, 77].into())).broadcast().end()],
        ),
        on(
            setup(Setup::RAPID),
            "rapid",
            OK,
            "an ACK at once",
            &[Draft::discover().option(80, &[]).end(), Draft::discover().end()],
        ),
        plain(
            "rapid-not-configured",
            OK,
            "an OFFER to a client that would take an ACK",
            &[Draft::discover().option(80, &[]).end()],
        ),
        on(
            setup(Setup::ENDLESS),
            "endless",
            OK,
            "a lease without an end has no timers",
            &then(setup(Setup::ENDLESS), Draft::rebinding().after(u16::MAX).end()),
        ),
        on(
            near,
            "two-servers",
            OK,
            "an address of one server, then of the other",
            &[
                Draft::discover().end(),
                Draft::new(3).requested(ADDRESS).server(ELSEWHERE).end(),
                Draft::new(3).requested(ADDRESS).server(NEAR_ROUTER).end(),
            ],
        ),
    ]
}

/// What stands in replies.
pub(super) fn replies() -> Vec<Seed> {
    [places_and_lists(), sizes(), relays()].concat()
}

fn places_and_lists() -> Vec<Seed> {
    let agent = [1, 4, 1, 2, 3, 4, 2, 2, 9, 9];
    vec![
        plain(
            "broadcast",
            OK,
            "a client that takes broadcasts only",
            &[Draft::discover().broadcast().end()],
        ),
        plain(
            "discover-with-ciaddr",
            OK,
            "ciaddr of a DISCOVER is no destination",
            &[Draft::discover().ciaddr([203, 0, 113, 5].into()).end()],
        ),
        plain(
            "discover-with-50-and-54",
            OK,
            "a DISCOVER says what it cannot have, of whom it is not",
            &[Draft::discover().requested([203, 0, 113, 5].into()).server(ELSEWHERE).end()],
        ),
        plain(
            "nak-with-id",
            OK,
            "a NAK has the client identifier",
            &[Draft::new(3)
                .requested([10, 0, 0, 1].into())
                .option(61, &[1, 2, 3])
                .option(82, &agent)
                .end()],
        ),
        plain(
            "asked-twice",
            OK,
            "what is asked for twice comes once",
            &[Draft::discover().option(55, &[6, 6, 3, 1, 3, 6, 121]).end()],
        ),
        plain(
            "asked-for-the-router",
            OK,
            "the mask comes before the router",
            &[Draft::discover().option(55, &[3]).end()],
        ),
        plain("asked-for-nothing", OK, "an empty list", &[Draft::discover().option(55, &[]).end()]),
        plain(
            "asked-for-everything",
            OK,
            "every code there is",
            &[Draft::discover().option(55, &(0..=254).collect::<Vec<_>>()).end()],
        ),
        plain(
            "asked-for-what-is-never-sent",
            OK,
            "50, 55, 57 and what always comes",
            &[Draft::discover().option(55, &[50, 55, 57, 51, 53, 54, 61, 82, 80, 52]).end()],
        ),
    ]
}

fn sizes() -> Vec<Seed> {
    let all = setup(Setup::ALL);
    let small = Setup([Setup::ALL, 1]);
    let large = Setup([Setup::ALL, 2]);
    let narrow = Setup([0, 3]);
    let agent = [1, 4, 1, 2, 3, 4, 2, 2, 9, 9];
    vec![
        plain(
            "old-routes",
            OK,
            "routes under their old code",
            &[Draft::discover().option(55, &[249]).end()],
        ),
        on(
            all,
            "everything",
            OK,
            "everything that can be handed out, of a usual size",
            &[wanting(Draft::discover()).option(57, &[5, 220]).end()],
        ),
        on(
            all,
            "everything-unasked",
            OK,
            "everything to a client that did not ask",
            &[Draft::discover().option(57, &[255, 255]).end(), Draft::selecting(all).end()],
        ),
        on(
            small,
            "no-room",
            OK,
            "what has no room is left out",
            &[wanting(Draft::discover()).end(), Draft::discover().option(61, &[5; 255]).end()],
        ),
        on(
            large,
            "large",
            OK,
            "a long list of routes is split",
            &[Draft::discover().option(57, &[35, 40]).option(55, &[121, 249, 15, 67]).end()],
        ),
        on(
            all,
            "max-size-0",
            OK,
            "a client that takes nothing",
            &[Draft::discover().option(57, &[0, 0]).end()],
        ),
        on(
            narrow,
            "unusual-mtu",
            OK,
            "an MTU that a guest would not guess",
            &[Draft::discover().option(55, &[1]).end()],
        ),
        plain(
            "relay-option",
            OK,
            "relay information of a guest comes back, last",
            &[wanting(Draft::discover().option(82, &agent)).end()],
        ),
    ]
}

fn relays() -> Vec<Seed> {
    let relays = setup(Setup::RELAYS | Setup::NEAR);
    let relay = [192, 0, 2, 254].into();
    let relayed = |draft: Draft| Draft { source: relay, ..draft }.giaddr(relay).to(NEAR_ROUTER);
    let relayed_rebind = Draft { source: relay, ..Draft::rebinding() }.giaddr(relay);
    let agent = [1, 4, 1, 2, 3, 4, 2, 2, 9, 9];
    vec![
        plain(
            "relay-option-too-long",
            OK,
            "relay information without room is left out",
            &[Draft::discover().option(82, &[1; 255]).option(82, &[1; 200]).end()],
        ),
        plain(
            "relay-option-empty",
            OK,
            "relay information without bytes",
            &[Draft::discover().option(82, &[]).end()],
        ),
        on(
            relays,
            "relayed",
            OK,
            "answers go to the relay",
            &[
                relayed(Draft::discover()).end(),
                relayed(Draft::selecting(relays)).option(82, &agent).end(),
            ],
        ),
        on(
            relays,
            "relayed-nak",
            OK,
            "a NAK for everybody goes to the relay",
            &[relayed(Draft::new(3).requested([10, 0, 0, 1].into())).end()],
        ),
        on(
            relays,
            "relayed-rebinding",
            OK,
            "a lease is extended through a relay",
            &[relayed_rebind.end()],
        ),
        on(
            relays,
            "relayed-inform",
            OK,
            "a client behind a relay that has an address",
            &[Draft::inform([192, 0, 2, 77].into()).giaddr(relay).end()],
        ),
    ]
}

/// Who gets no answer.
pub(super) fn silences() -> Vec<Seed> {
    [for_others(), of_others()].concat()
}

fn for_others() -> Vec<Seed> {
    let humble = setup(Setup::HUMBLE);
    let far = [10, 1, 2, 3].into();
    let one = |name: &str, shows: &str, draft: Draft| plain(name, OK, shows, &[draft]);
    let with_port = |port| Draft { port, ..Draft::discover() };
    let foreign = Draft::new(3).requested(ADDRESS).server(ELSEWHERE);
    let server_types = [0, 2, 5, 6, 9, 255].map(|kind| Draft::new(kind).end());
    vec![
        one("port-68", "a message for clients", with_port(68).end()),
        one("port-4011", "a message for a boot server", with_port(4011).end()),
        one(
            "another-port-and-rubbish",
            "what is not for servers is not read",
            Draft { payload: vec![1], port: 53, ..Draft::plain() },
        ),
        one(
            "to-another",
            "a message for another address",
            Draft::discover().to([192, 0, 2, 1].into()).end(),
        ),
        plain("types-of-servers", OK, "types that clients do not send", &server_types),
        plain(
            "selecting-another",
            OK,
            "an offer of another server is taken",
            &[Draft::discover().end(), foreign.end()],
        ),
        one(
            "renewing-another",
            "a lease is renewed with another server",
            Draft::renewing(PLAIN).server(ELSEWHERE).end(),
        ),
        on(
            humble,
            "rebinding-not-ours",
            OK,
            "a lease that another server may know",
            &[Draft::new(3).ciaddr(far).from(far).end(), Draft::rebinding().end()],
        ),
        one("request-of-nothing", "a REQUEST without an address", Draft::new(3).end()),
        one(
            "request-of-a-server",
            "a REQUEST with a server and without an address",
            Draft::new(3).server(FAR_ROUTER).end(),
        ),
        plain(
            "declines-of-others",
            OK,
            "declined is what the server does not have",
            &[
                Draft::new(kind::DECLINE).requested(far).server(FAR_ROUTER).end(),
                Draft::new(kind::DECLINE).requested(ADDRESS).end(),
                Draft::discover().end(),
            ],
        ),
    ]
}

fn of_others() -> Vec<Seed> {
    let far = [10, 1, 2, 3].into();
    let one = |name: &str, shows: &str, draft: Draft| plain(name, OK, shows, &[draft]);
    let informs = [[0; 4], [255; 4], [224, 0, 0, 1], [127, 0, 0, 1]]
        .map(|address| Draft::inform(address.into()).end());
    vec![
        plain(
            "releases-of-others",
            OK,
            "released is what the client does not have",
            &[
                Draft::release(PLAIN).end(),
                Draft::discover().end(),
                Draft::selecting(PLAIN).end(),
                Draft::release(PLAIN).option(61, &[1, 2]).end(),
                Draft::new(kind::RELEASE).ciaddr(ADDRESS).from(ADDRESS).end(),
            ],
        ),
        plain(
            "hz-8-24-inform-from-nowhere",
            OK,
            "clients that have no address, and say so or not",
            &informs,
        ),
        one(
            "inform-of-another",
            "a client with an address of another network",
            Draft::inform(far).end(),
        ),
    ]
}

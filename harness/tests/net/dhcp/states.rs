//! What a server remembers: one offer, one lease, and that an address was declined.

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::dhcp::{Client, Config, Lease, Server, Silence, kind};
use vhost_fuzz_harness::dhcp::{ADDRESS, Draft, ELSEWHERE, FAR_ROUTER, GUEST, Setup};
use vhost_fuzz_harness::evidence::shows;

use super::{answer, answer_at, bound, near, plain, server, silence, silence_at};

const HOLD_MS: u64 = 10_000;

fn id(bytes: &[u8]) -> Client {
    Client::Id(bytes.iter().copied().collect())
}

#[test]
fn one_guest_has_one_lease_whatever_it_calls_itself() {
    let _shows = shows(&["DH-021", "DH-022", "DH-037", "DH-050", "DC-116"]);
    let mut server = bound(Setup::default());
    assert_eq!(server.lease(0).map(|lease| &lease.client), Some(&Client::Hardware(GUEST)));
    for name in 0..=255_u8 {
        let named = |draft: Draft| draft.option(61, &[1, name]).chaddr(Mac([2, 0, 0, 0, 1, name]));
        let offer = answer(&mut server, &named(Draft::discover()).end());
        assert_eq!(offer.address(16), ADDRESS);
        assert_eq!(server.offered_to(), Some(&id(&[1, name])));
        let ack = answer(&mut server, &named(Draft::selecting(Setup::default())).end());
        assert_eq!((ack.answer.kind, ack.address(16)), (kind::ACK, ADDRESS));
        assert_eq!(server.lease(0).map(|lease| &lease.client), Some(&id(&[1, name])));
        assert_eq!(server.offered_to(), None);
    }
    // No state grows.
    assert!(size_of::<Server>() < 8192, "{}", size_of::<Server>());
}

#[test]
fn an_offer_is_made_again() {
    let _shows = shows(&["DH-022"]);
    let mut server = plain();
    for _ in 0..3 {
        assert_eq!(answer(&mut server, &Draft::discover().end()).answer.kind, kind::OFFER);
    }
    assert_eq!(server.lease(0), None);
}

#[test]
fn a_lease_ends_when_it_was_not_extended() {
    let _shows = shows(&["DH-038"]);
    let mut server = bound(near());
    let lease_ms = 86_400_000;
    assert!(server.lease(lease_ms - 1).is_some() && server.lease(lease_ms).is_none());
    answer_at(&mut server, &Draft::renewing(near()).end(), 1000);
    assert!(server.lease(lease_ms).is_some() && server.lease(lease_ms + 1000).is_none());
    let endless = Setup([Setup::ENDLESS, 0]);
    let server = bound(endless);
    let lease = Lease { client: Client::Hardware(GUEST), until_ms: None };
    assert_eq!(server.lease(u64::MAX), Some(&lease));
}

#[test]
fn a_declined_address_is_held_back_for_a_while() {
    let _shows = shows(&["DH-025", "DH-033", "DH-034", "DC-118"]);
    let mut server = bound(Setup::default());
    let decline = Draft::decline(Setup::default()).end();
    assert_eq!(silence_at(&mut server, &decline, 500), Silence::Declined);
    assert_eq!((server.declines(), server.lease(500)), (1, None));
    let discover = Draft::discover().end();
    let last = 500 + HOLD_MS - 1;
    assert_eq!(silence_at(&mut server, &discover, last), Silence::Held);
    for draft in [Draft::selecting(Setup::default()), Draft::rebooting(), Draft::rebinding()] {
        assert_eq!(answer_at(&mut server, &draft.end(), last).answer.kind, kind::NAK);
    }
    assert_eq!(server.lease(last), None);
    assert_eq!(answer_at(&mut server, &discover, last + 1).answer.kind, kind::OFFER);
    let selecting = Draft::selecting(Setup::default()).end();
    assert_eq!(answer_at(&mut server, &selecting, last + 1).answer.kind, kind::ACK);
}

#[test]
fn who_declines_something_else_changes_nothing() {
    let _shows = shows(&["DH-033", "DC-120"]);
    let mut server = bound(Setup::default());
    let plain = || Draft::new(kind::DECLINE);
    let drafts = [
        plain(),
        plain().requested(ADDRESS),
        plain().server(FAR_ROUTER),
        plain().requested(ADDRESS).server(ELSEWHERE),
        plain().requested([10, 0, 0, 1].into()).server(FAR_ROUTER),
    ];
    for draft in drafts {
        assert_eq!(silence(&mut server, &draft.end()), Silence::DeclinedElsewhere);
        assert_eq!(server.declines(), 0);
        assert!(server.lease(0).is_some());
    }
}

#[test]
fn a_lease_is_given_back_by_who_has_it() {
    let _shows = shows(&["DH-035", "DH-037", "DC-120"]);
    let setup = Setup::default();
    let release = Draft::release(setup);
    let others = [
        release.clone().option(61, &[1]),
        release.clone().chaddr(Mac([2, 0, 0, 0, 0, 11])),
        release.clone().ciaddr([0; 4].into()),
        release.clone().ciaddr([192, 0, 2, 11].into()),
        Draft::new(kind::RELEASE).ciaddr(ADDRESS).from(ADDRESS),
        Draft::new(kind::RELEASE).ciaddr(ADDRESS).from(ADDRESS).server(ELSEWHERE),
    ];
    for other in others {
        let mut server = bound(setup);
        assert_eq!(silence(&mut server, &other.end()), Silence::NotReleased);
        assert!(server.lease(0).is_some());
    }
    let mut server = bound(setup);
    let release = release.end();
    assert_eq!(silence(&mut server, &release), Silence::Released);
    assert_eq!(server.lease(0), None);
    assert_eq!(silence(&mut server, &release), Silence::NotReleased);
    assert_eq!(answer(&mut server, &Draft::discover().end()).address(16), ADDRESS);
}

#[test]
fn a_name_identifies_its_client_whatever_the_hardware() {
    let _shows = shows(&["DH-037"]);
    let setup = Setup::default();
    let mut server = plain();
    let named = |draft: Draft| draft.option(61, &[0xff, 1]);
    answer(&mut server, &named(Draft::selecting(setup)).end());
    let moved = named(Draft::release(setup)).chaddr(Mac([2, 0, 0, 0, 0, 99])).end();
    assert_eq!(silence(&mut server, &moved), Silence::Released);
}

#[test]
fn who_has_an_address_is_told_the_rest() {
    let _shows = shows(&["DH-036", "DC-119"]);
    let theirs = [198, 18, 0, 7].into();
    let mut server = server(near().config());
    let draft = Draft::inform(theirs).option(55, &[51, 58, 59, 6, 1]).broadcast().end();
    let ack = answer(&mut server, &draft);
    assert_eq!((ack.answer.kind, ack.answer.destination), (kind::ACK, theirs));
    assert_eq!((ack.address(12), ack.address(16)), (theirs, [0; 4].into()));
    assert_eq!(ack.codes(), [53, 54, 6, 1, 3, 121]);
    assert_eq!((server.lease(0), server.offered_to()), (None, None));
    let nobody = Draft::new(kind::INFORM).end();
    assert_eq!(silence(&mut server, &nobody), Silence::NoAddress);
    for address in [[255; 4], [224, 0, 0, 1], [127, 0, 0, 1], [0, 0, 0, 1], [240, 0, 0, 1]] {
        let address = address.into();
        let silent = silence(&mut server, &Draft::inform(address).end());
        assert_eq!(silent, Silence::Unusable { address });
    }
    // Behind a relay, too, directly.
    let relay = [192, 0, 2, 254].into();
    let mut relays = super::server(Setup([Setup::RELAYS, 0]).config());
    let through = Draft::inform(theirs).giaddr(relay).end();
    assert_eq!(answer(&mut relays, &through).answer.destination, theirs);
}

/// However long a message is, reading it and answering it takes no memory.
#[test]
fn nothing_is_allocated() {
    let _shows = shows(&["DH-051"]);
    let many =
        (0..200).fold(Draft::discover(), |draft, code| draft.option(code % 40 + 3, &[1; 200]));
    let long = many.option(55, &[121; 255]).option(55, &[1; 255]).option(82, &[1; 255]);
    let long = long.option(61, &[7; 255]).end();
    let mut server = plain();
    let mut out = [0; 1500];
    for draft in [Draft::discover().end(), long] {
        let mut outcome = None;
        let request = draft.request();
        let used =
            allocation_counter::measure(|| outcome = Some(server.handle(&request, 0, &mut out)));
        assert_eq!((used.count_total, outcome.is_some_and(|it| it.is_ok())), (0, true));
    }
}

/// Whatever is asked, and however it ends: the next time the server is as it was the first time.
/// So nothing is counted up to where it overflows, how far that may be (DH-050).
#[test]
fn no_message_leaves_anything_behind() {
    let setup = Setup([Setup::RELAYS, 0]);
    let config = Config { hold_ms: 0, ..setup.config() };
    let relay = |draft: Draft| draft.giaddr(ELSEWHERE).from(ELSEWHERE);
    let round = [
        Draft::discover(),
        Draft::discover().option(61, &[1; 200]).option(61, &[2; 55]).option(82, &[1, 2, 3, 4]),
        Draft::selecting(setup),
        Draft::renewing(setup),
        Draft::rebinding(),
        Draft::rebooting(),
        Draft::new(kind::REQUEST).requested(ELSEWHERE),
        Draft::new(kind::REQUEST).requested(ADDRESS).server(ELSEWHERE),
        Draft::new(kind::REQUEST),
        Draft::inform(ADDRESS),
        Draft::inform(ADDRESS).option(55, &[1, 3, 6, 15, 121, 1, 1]),
        relay(Draft::discover()),
        relay(Draft::new(kind::INFORM).ciaddr(ADDRESS)),
        Draft::new(9),
        Draft::discover().option(50, &[1]),
        Draft::plain(),
        Draft::release(setup),
        Draft::release(setup),
        Draft::selecting(setup),
        Draft::decline(setup),
    ];
    let mut server = server(config);
    let mut out = [0; 1500];
    // All that it keeps, but how often the address was declined: that is told, and saturates.
    let mut after = |draft: &Draft| {
        let draft = draft.clone().end();
        let handled = server.handle(&draft.request(), 0, &mut out);
        let declines = format!("declines: {}", server.declines());
        (handled, format!("{server:?}").replace(&declines, ""))
    };
    let first: Vec<_> = round.iter().map(&mut after).collect();
    for (at, (draft, first)) in round.iter().zip(&first).enumerate() {
        let again = after(draft);
        assert_eq!(again.0, first.0, "message {at}");
        assert!(again == *first, "something is left behind before or by message {at}");
    }
}

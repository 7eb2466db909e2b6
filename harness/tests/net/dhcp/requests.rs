//! REQUEST in its four states, and the order in which they are told apart.

use vhost_fuzz_core::net::dhcp::{Silence, kind};
use vhost_fuzz_harness::dhcp::{ADDRESS, Draft, ELSEWHERE, FAR_ROUTER, NEAR_ROUTER, Setup};
use vhost_fuzz_harness::evidence::shows;

use super::{answer, bound, near, plain, server, silence, tell};

const WRONG: std::net::Ipv4Addr = std::net::Ipv4Addr::new(192, 0, 2, 99);
const FAR: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 0, 0, 9);

/// Words of a NAK.
fn text(reply: &super::Reply) -> String {
    String::from_utf8(reply.value(56).expect("words")).expect("plain words")
}

#[test]
fn an_offer_of_another_server_is_forgotten_ours() {
    let _shows = shows(&["DH-024"]);
    let mut server = plain();
    answer(&mut server, &Draft::discover().end());
    assert!(server.offered_to().is_some());
    let taken = Draft::new(kind::REQUEST).requested(ADDRESS).server(ELSEWHERE).end();
    assert_eq!(silence(&mut server, &taken), Silence::TookAnother { server: ELSEWHERE });
    assert_eq!((server.offered_to(), server.lease(0)), (None, None));
}

#[test]
fn selecting_takes_what_was_offered_and_nothing_else() {
    let _shows = shows(&["DH-025", "DH-026", "DC-116"]);
    for address in [WRONG, FAR, [0; 4].into()] {
        let mut server = server(near().config());
        answer(&mut server, &Draft::discover().end());
        let draft = Draft::new(kind::REQUEST).requested(address).server(NEAR_ROUTER).end();
        assert_eq!(answer(&mut server, &draft).answer.kind, kind::NAK);
        assert_eq!(server.lease(0), None);
    }
    // Also an offer that the server does not remember.
    let ack = answer(&mut plain(), &Draft::selecting(Setup::default()).end());
    assert_eq!((ack.answer.kind, ack.address(16)), (kind::ACK, ADDRESS));
    let stray = Draft::selecting(Setup::default()).ciaddr(WRONG).to(FAR_ROUTER).end();
    let ack = answer(&mut plain(), &stray);
    assert_eq!((ack.answer.kind, ack.address(12)), (kind::ACK, [0; 4].into()));
}

#[test]
fn a_guest_that_reboots_is_always_told() {
    let _shows = shows(&["DH-027", "DH-028"]);
    let mut server = server(near().config());
    assert_eq!(answer(&mut server, &Draft::rebooting().end()).answer.kind, kind::ACK);
    let wrong = |address| Draft::new(kind::REQUEST).requested(address).end();
    let nak = answer(&mut server, &wrong(WRONG));
    assert_eq!((nak.answer.kind, &*text(&nak)), (kind::NAK, "wrong address"));
    let nak = answer(&mut server, &wrong(FAR));
    assert_eq!((nak.answer.kind, &*text(&nak)), (kind::NAK, "wrong network"));
    // A guest that the server never saw, with another name.
    let stranger = Draft::rebooting().option(61, &[0, 1, 2]).end();
    assert_eq!(answer(&mut plain(), &stranger).answer.kind, kind::ACK);
}

#[test]
fn a_lease_is_renewed_at_its_address_alone() {
    let _shows = shows(&["DH-030"]);
    let mut server = bound(near());
    let ack = answer(&mut server, &Draft::renewing(near()).broadcast().end());
    assert_eq!((ack.answer.kind, ack.answer.destination), (kind::ACK, ADDRESS));
    assert_eq!((ack.address(12), ack.address(16)), (ADDRESS, ADDRESS));
    for address in [WRONG, FAR] {
        let draft = Draft::renewing(near()).ciaddr(address).from(address).end();
        assert_eq!(answer(&mut server, &draft).answer.kind, kind::NAK);
    }
}

#[test]
fn who_does_not_know_best_is_silent_when_a_foreign_lease_is_rebound() {
    let _shows = shows(&["DH-031"]);
    let foreign = Draft::new(kind::REQUEST).ciaddr(WRONG).from(WRONG).end();
    let mut humble = server(Setup([Setup::HUMBLE, 0]).config());
    assert_eq!(silence(&mut humble, &foreign), Silence::NotOurs { address: WRONG });
    assert_eq!(answer(&mut humble, &Draft::rebinding().end()).answer.kind, kind::ACK);
    assert_eq!(answer(&mut plain(), &foreign).answer.kind, kind::NAK);
    // What is sent to this server alone, nobody else will answer.
    let renewed = foreign.to(FAR_ROUTER);
    assert_eq!(answer(&mut humble, &renewed).answer.kind, kind::NAK);
}

#[test]
fn what_does_not_belong_into_a_renewal_says_little() {
    let _shows = shows(&["DH-029"]);
    let renewing = || Draft::renewing(near());
    let told = |draft: Draft| tell(&mut bound(near()), &draft.end(), 0).expect("nothing broken");
    let ours = told(renewing().server(NEAR_ROUTER)).expect("an answer");
    assert_eq!(ours.address(12), ADDRESS);
    let silent = told(renewing().server(ELSEWHERE)).map(|reply| reply.answer);
    assert_eq!(silent, Err(Silence::RenewsElsewhere { server: ELSEWHERE }));
    let stray = told(renewing().requested(WRONG)).expect("an answer");
    assert_eq!((stray.answer.kind, stray.address(12)), (kind::ACK, ADDRESS));
    let both = told(renewing().requested(WRONG).server(NEAR_ROUTER)).expect("an answer");
    assert_eq!(both.answer.kind, kind::NAK);
}

/// What is expected of each combination of 50, 54, ciaddr and broadcast: the name of the state
/// shows in where the answer goes and in what is in ciaddr.
#[test]
fn sixteen_combinations_have_one_outcome_each() {
    let _shows = shows(&["DH-054"]);
    let none = std::net::Ipv4Addr::UNSPECIFIED;
    for bits in 0..16 {
        let [has_50, has_54, has_ciaddr, is_broadcast] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
        let mut draft = Draft::new(kind::REQUEST);
        if has_50 {
            draft = draft.requested(ADDRESS);
        }
        if has_54 {
            draft = draft.server(FAR_ROUTER);
        }
        if has_ciaddr {
            draft = draft.ciaddr(ADDRESS);
        }
        if !is_broadcast {
            draft = draft.to(FAR_ROUTER);
        }
        let told = tell(&mut plain(), &draft.end(), 0).expect("nothing broken");
        let ciaddr = told.map(|reply| (reply.answer.kind, reply.address(12)));
        let expected = match (has_50, has_54, has_ciaddr) {
            (true, true, _) | (true, false, false) => Ok((kind::ACK, none)),
            (_, _, true) => Ok((kind::ACK, ADDRESS)),
            (false, _, false) => Err(Silence::Nothing),
        };
        assert_eq!(ciaddr, expected, "{bits:04b}");
    }
    // Only REBINDING may be left to others.
    let mut humble = server(Setup([Setup::HUMBLE, 0]).config());
    let foreign = Draft::new(kind::REQUEST).ciaddr(FAR).from(FAR);
    assert_eq!(silence(&mut humble, &foreign), Silence::NotOurs { address: FAR });
}

//! What stands in an answer.

use vhost_fuzz_core::net::dhcp::{DhcpError, Outcome, kind};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::dhcp::{ADDRESS, Draft, ELSEWHERE, FAR_ROUTER, NEAR_ROUTER, Setup};
use vhost_fuzz_harness::evidence::shows;

use super::{answer, near, plain, server};

const ID: &[u8] = &[1, 2, 0, 0xff, 0];
const AGENT: &[u8] = &[1, 4, 1, 2, 3, 4, 2, 1, 9];

/// One message for each kind of answer: OFFER, ACK, ACK to INFORM, NAK.
fn asking(setup: Setup) -> [(Draft, u8); 4] {
    [
        (Draft::discover(), kind::OFFER),
        (Draft::selecting(setup), kind::ACK),
        (Draft::inform([192, 0, 2, 77].into()), kind::ACK),
        (Draft::new(kind::REQUEST).requested([10, 0, 0, 1].into()), kind::NAK),
    ]
}

#[test]
fn what_identifies_a_message_is_copied() {
    let _shows = shows(&["DH-010"]);
    for (draft, kind) in asking(near()) {
        let chaddr = [2, 0, 0, 0, 0, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        let draft = draft.at(3, &[7]).at(4, &[9, 8, 7, 6, 1, 2, 0x12, 0x34]).at(28, &chaddr);
        let reply = answer(&mut server(near().config()), &draft.end());
        assert_eq!(reply.answer.kind, kind);
        assert_eq!(reply.bytes[..4], [2, 1, 6, 0]);
        assert_eq!(reply.bytes[4..12], [9, 8, 7, 6, 0, 0, 0x12, 0x34]);
        assert_eq!((&reply.bytes[24..28], &reply.bytes[28..44]), (&[0; 4][..], &chaddr[..]));
        assert!(reply.bytes[44..236].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn an_answer_says_what_it_is_and_whose_and_for_how_long() {
    let _shows = shows(&["DH-011", "DH-012", "DH-013"]);
    for (draft, kind) in asking(near()) {
        let wanted = draft.option(57, &[5, 220]).option(55, &[50, 55, 57, 52]);
        let reply = answer(&mut server(near().config()), &wanted.end());
        assert_eq!(reply.value(53), Some(vec![kind]));
        assert_eq!(reply.value(54), Some(NEAR_ROUTER.octets().to_vec()));
        let gives = reply.address(16) == ADDRESS;
        let lease = 86_400_u32.to_be_bytes().to_vec();
        assert_eq!(reply.value(51), gives.then_some(lease));
        for code in [50, 52, 55, 57] {
            assert_eq!(reply.value(code), None);
        }
    }
}

#[test]
fn a_client_identifier_comes_back_iff_it_was_sent() {
    let _shows = shows(&["DH-014", "DC-112"]);
    for id in [None, Some(ID), Some(&[][..]), Some(&[7; 255][..])] {
        for (draft, _) in asking(near()) {
            let draft = id.map_or(draft.clone(), |id| draft.option(61, id));
            let reply = answer(&mut server(near().config()), &draft.end());
            assert_eq!(reply.value(61).as_deref(), id);
        }
    }
    let split = Draft::discover().option(61, &ID[..2]).option(61, &ID[2..]).end();
    assert_eq!(answer(&mut plain(), &split).value(61).as_deref(), Some(ID));
}

#[test]
fn relay_information_comes_back_last_or_not_at_all() {
    let _shows = shows(&["DH-015"]);
    for (draft, _) in asking(near()) {
        let none = answer(&mut server(near().config()), &draft.clone().end());
        assert_eq!(none.value(82), None);
        let reply = answer(&mut server(near().config()), &draft.option(82, AGENT).end());
        assert_eq!(reply.options.last(), Some(&(82, AGENT.to_vec())));
    }
    let long =
        Draft::discover().option(57, &[5, 220]).option(82, &[1; 200]).option(82, &[2; 60]).end();
    let reply = answer(&mut plain(), &long);
    let expected = [[1; 200].to_vec(), [2; 60].to_vec()].concat();
    // Split once more, where the first part is full.
    assert_eq!(reply.codes().iter().filter(|code| **code == 82).count(), 2);
    assert_eq!(reply.value(82), Some(expected));
    let too_long = Draft::discover().option(82, &[1; 255]).option(82, &[1; 50]).end();
    assert_eq!(answer(&mut plain(), &too_long).value(82), None);
}

#[test]
fn a_nak_gives_nothing() {
    let _shows = shows(&["DH-016"]);
    let setup = Setup([Setup::ALL | Setup::NEAR, 0]);
    let wrong = [10, 0, 0, 1].into();
    let draft = Draft::new(kind::REQUEST).ciaddr(wrong).from(wrong).option(55, &[1, 3, 6, 51]);
    let reply = answer(&mut server(setup.config()), &draft.option(61, ID).end());
    assert_eq!(reply.answer.kind, kind::NAK);
    assert!(reply.bytes[12..24].iter().all(|byte| *byte == 0));
    assert_eq!(reply.codes(), [53, 54, 56, 61]);
}

#[test]
fn what_is_asked_for_comes_once_and_in_order() {
    let _shows = shows(&["DH-039", "DH-040", "DC-117"]);
    let mut server = server(Setup([Setup::ALL | Setup::NEAR, 0]).config());
    let mut asked = |codes: &[u8]| {
        let draft = Draft::discover().option(57, &[5, 220]).option(55, codes).end();
        answer(&mut server, &draft).codes()
    };
    assert_eq!(asked(&[6, 6, 59, 3, 1, 3, 42, 58]), [53, 54, 51, 6, 59, 1, 3, 42, 58, 121, 121]);
    // Nobody configured these.
    assert_eq!(asked(&[44, 119, 252, 33, 15]), [53, 54, 51, 15, 1, 3, 121, 121]);
    // Nobody asked for these, but no guest can do without them.
    assert_eq!(asked(&[]), [53, 54, 51, 1, 3, 121, 121]);
    let all: Vec<u8> = (0..=254).collect();
    let mut codes = asked(&all);
    codes.dedup();
    let expected = [53, 54, 51, 1, 3, 6, 12, 15, 26, 28, 42, 58, 59, 66, 67, 121, 249];
    assert_eq!(codes, expected);
}

#[test]
fn a_client_that_asks_for_nothing_gets_everything() {
    let _shows = shows(&["DH-040", "DC-117"]);
    let setup = Setup([Setup::ALL | Setup::NEAR, 0]);
    let reply = answer(&mut server(setup.config()), &Draft::discover().option(57, &[5, 220]).end());
    let expected = [53, 54, 51, 1, 3, 121, 121, 6, 26, 28, 15, 12, 42, 58, 59, 66, 67];
    assert_eq!(reply.codes(), expected);
}

#[test]
fn an_answer_fits_where_it_has_to() {
    let _shows = shows(&["DH-041", "DH-042"]);
    for (mtu, most) in [(0, 1500), (1, 576), (2, 9000), (3, 1400)] {
        let setup = Setup([Setup::ALL | Setup::NEAR, mtu]);
        for size in [None, Some(0), Some(575), Some(577), Some(900), Some(u16::MAX)] {
            for (draft, _) in asking(setup) {
                let draft = draft.option(61, &[1; 255]).option(82, &[1; 255]);
                let draft =
                    size.map_or(draft.clone(), |size: u16| draft.option(57, &size.to_be_bytes()));
                let reply = answer(&mut server(setup.config()), &draft.end());
                let limit = usize::from(size.unwrap_or(0).max(576)).min(most);
                assert!(reply.bytes.len() + 28 <= limit, "{} bytes", reply.bytes.len());
                assert!(reply.bytes.len() >= 300);
                assert_eq!(reply.value(61), Some(vec![1; 255]));
            }
        }
    }
    let small = answer(&mut plain(), &Draft::discover().option(55, &[1]).end());
    assert_eq!(small.bytes.len(), 300);
}

#[test]
fn long_lists_are_split() {
    let _shows = shows(&["DH-043"]);
    let setup = Setup([Setup::ALL | Setup::NEAR, 2]);
    let draft = Draft::discover().option(57, &[5, 220]).option(55, &[121, 249]).end();
    let reply = answer(&mut server(setup.config()), &draft);
    let lens: Vec<_> = reply.options.iter().filter(|(code, _)| *code == 121).collect();
    assert_eq!(lens.iter().map(|(_, value)| value.len()).collect::<Vec<_>>(), [255, 18]);
    assert_eq!(reply.value(121), reply.value(249));
    assert_eq!(
        reply.value(121),
        setup.model().values.iter().find(|(code, _)| *code == 121).map(|(_, value)| value.clone())
    );
}

/// The vectors of spec §10.
#[test]
fn a_far_router_is_on_the_link_before_it_is_the_way_to_everything() {
    let _shows = shows(&["DH-044", "DH-045"]);
    let reply = answer(&mut plain(), &Draft::discover().end());
    assert_eq!(reply.value(1), Some(vec![255; 4]));
    assert_eq!(reply.value(3), Some(FAR_ROUTER.octets().to_vec()));
    let routes = [0x20, 0xa9, 0xfe, 0, 1, 0, 0, 0, 0, 0, 0xa9, 0xfe, 0, 1];
    assert_eq!(reply.value(121), Some(routes.to_vec()));
    let at = reply.bytes.windows(16).position(|window| window[..2] == [0x79, 0x0e]);
    assert!(at.is_some());
}

#[test]
fn timers_are_in_order_and_an_endless_lease_has_none() {
    let _shows = shows(&["DH-038"]);
    let timers = |lease: u32| {
        let mut config = near().config();
        config.lease = lease;
        let draft = Draft::discover().option(55, &[58, 59]).end();
        let reply = answer(&mut server(config), &draft);
        [51, 58, 59].map(|code| {
            let value = reply.value(code)?;
            Some(u32::from_be_bytes(value.try_into().expect("four bytes")))
        })
    };
    assert_eq!(timers(u32::MAX), [Some(u32::MAX), None, None]);
    for lease in [3, 4, 5, 7, 8, 60, 86_400, 1 << 31, u32::MAX - 1] {
        let [Some(given), Some(renewal), Some(rebinding)] = timers(lease) else {
            panic!("{lease}")
        };
        assert_eq!(given, lease);
        assert!(renewal < rebinding && rebinding < lease, "{renewal} {rebinding} {lease}");
        assert_eq!((renewal, rebinding), (lease / 2, lease - lease.div_ceil(8)));
    }
}

#[test]
fn an_ack_says_what_the_offer_said() {
    let _shows = shows(&["DH-032"]);
    for flags in [0, Setup::NEAR, Setup::ALL, Setup::ALL | Setup::NEAR | Setup::ENDLESS] {
        let setup = Setup([flags, 0]);
        let mut server = server(setup.config());
        let wanted = |draft: Draft| draft.option(55, &[3, 1, 6, 121, 58, 59, 15]).end();
        let offer = answer(&mut server, &wanted(Draft::discover()));
        let ack = answer(&mut server, &wanted(Draft::selecting(setup)));
        assert_eq!(offer.options[1..], ack.options[1..]);
        assert_eq!(offer.bytes[12..28], ack.bytes[12..28]);
    }
}

#[test]
fn rapid_commit_needs_both_sides() {
    let _shows = shows(&["DH-053"]);
    for (flags, option, expected) in [
        (0, Some(&[][..]), kind::OFFER),
        (Setup::RAPID, None, kind::OFFER),
        (Setup::RAPID, Some(&[0][..]), kind::OFFER),
        (Setup::RAPID, Some(&[][..]), kind::ACK),
    ] {
        let mut server = server(Setup([flags, 0]).config());
        let draft = option.map_or(Draft::discover(), |value| Draft::discover().option(80, value));
        let reply = answer(&mut server, &draft.end());
        assert_eq!(reply.answer.kind, expected);
        assert_eq!(reply.value(80), (expected == kind::ACK).then_some(vec![]));
        assert_eq!(server.lease(0).is_some(), expected == kind::ACK);
    }
}

/// Whatever the buffer is, an answer is whole or not there, and then nothing has happened.
#[test]
fn an_answer_without_room_is_none() {
    let draft = Draft::selecting(Setup::default()).option(61, ID).end();
    let whole = answer(&mut plain(), &draft).bytes;
    let mut server = plain();
    for len in 0..whole.len() {
        let mut out = vec![0; len];
        let error = server.handle(&draft.request(), 0, &mut out);
        let Err(DhcpError::Room { need, have }) = error else { panic!("{len}: {error:?}") };
        assert!(need > have && have == len);
        assert_refused!(error, DhcpError::Room { need, have });
        assert_eq!(server.lease(0), None);
    }
    let _shows = shows(&["L2-006"]);
    for stale in [0, 0xa5, 0xff] {
        let mut out = vec![stale; whole.len()];
        let answered = server.handle(&draft.request(), 0, &mut out);
        assert!(matches!(answered, Ok(Outcome::Answer(_))));
        assert_eq!(out, whole);
    }
}

#[test]
fn foreign_names_in_a_discover_say_nothing() {
    let _shows = shows(&["DH-021", "DH-023"]);
    for requested in [ADDRESS, [10, 0, 0, 1].into(), [0; 4].into(), [255; 4].into()] {
        let draft = Draft::discover().requested(requested).server(ELSEWHERE).end();
        let reply = answer(&mut plain(), &draft);
        assert_eq!((reply.answer.kind, reply.address(16)), (kind::OFFER, ADDRESS));
    }
}

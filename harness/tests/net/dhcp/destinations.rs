//! Whose messages are taken, and where answers go.

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::dhcp::{DhcpError, Silence, kind};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::dhcp::{ADDRESS, Draft, ELSEWHERE, FAR_ROUTER, GUEST, NEAR_ROUTER, Setup};
use vhost_fuzz_harness::evidence::shows;

use super::{answer, bound, near, plain, server, silence, tell};

const RELAY: std::net::Ipv4Addr = std::net::Ipv4Addr::new(192, 0, 2, 254);

/// Through a relay, to a server in its network.
fn relayed(draft: Draft) -> Draft {
    draft.giaddr(RELAY).from(RELAY).to(NEAR_ROUTER)
}

#[test]
fn only_what_is_for_servers_is_read() {
    let _shows = shows(&["DC-111", "DH-046", "DH-056"]);
    for port in [0, 66, 68, 4011, u16::MAX] {
        let rubbish = Draft { port, payload: vec![1, 2, 3], ..Draft::plain() };
        assert_eq!(silence(&mut plain(), &rubbish), Silence::Port { port });
    }
    let drafts = [Draft::discover(), Draft::rebinding(), Draft::decline(Setup::default())];
    for draft in drafts {
        for destination in [ADDRESS, NEAR_ROUTER, [224, 0, 0, 1].into(), [0; 4].into()] {
            let silent = silence(&mut plain(), &draft.clone().to(destination).end());
            assert_eq!(silent, Silence::Destination { destination });
        }
    }
    for destination in [[255; 4].into(), FAR_ROUTER] {
        let reply = answer(&mut plain(), &Draft::discover().to(destination).end());
        assert_eq!(reply.answer.kind, kind::OFFER);
    }
}

#[test]
fn a_server_is_reached_by_its_identifier_wherever_its_router_is() {
    let _shows = shows(&["DH-011", "DH-056"]);
    let setup = Setup([Setup::ELSEWHERE | Setup::NEAR, 0]);
    let mut server = bound(setup);
    let reply = answer(&mut server, &Draft::renewing(setup).to(ELSEWHERE).end());
    assert_eq!(reply.value(54), Some(ELSEWHERE.octets().to_vec()));
    let silent = silence(&mut server, &Draft::renewing(setup).to(NEAR_ROUTER).end());
    assert_eq!(silent, Silence::Destination { destination: NEAR_ROUTER });
}

#[test]
fn a_guest_sends_from_nowhere_its_lease_or_the_address_that_it_names() {
    let _shows = shows(&["DH-047"]);
    let far = [10, 0, 0, 9].into();
    let reply = answer(&mut plain(), &Draft::new(kind::REQUEST).ciaddr(far).from(far).end());
    assert_eq!(reply.answer.kind, kind::NAK);
    for source in [[0; 4].into(), ADDRESS] {
        assert!(tell(&mut plain(), &Draft::discover().from(source).end(), 0).is_ok());
    }
    for source in [far, [255; 4].into(), FAR_ROUTER] {
        let draft = Draft::discover().from(source).end();
        assert_refused!(tell(&mut plain(), &draft, 0), DhcpError::Source { source });
    }
}

#[test]
fn what_a_client_says_too_early_of_its_address_counts_as_nothing() {
    let _shows = shows(&["DH-055", "DC-115"]);
    let third = [203, 0, 113, 5].into();
    let discover = Draft::discover().ciaddr(third);
    let reply = answer(&mut plain(), &discover.clone().end());
    assert_eq!((reply.answer.destination, reply.address(12)), (ADDRESS, [0; 4].into()));
    assert_refused!(
        tell(&mut plain(), &discover.from(third), 0),
        DhcpError::Source { source: third }
    );
    let selecting = Draft::selecting(Setup::default()).ciaddr(third).end();
    let reply = answer(&mut plain(), &selecting);
    assert_eq!((reply.answer.kind, reply.answer.destination), (kind::ACK, ADDRESS));
    assert_eq!(reply.address(12), std::net::Ipv4Addr::UNSPECIFIED);
    assert_refused!(
        tell(&mut plain(), &selecting.from(third), 0),
        DhcpError::Source { source: third }
    );
}

#[test]
fn a_relay_is_served_only_where_there_are_relays() {
    let draft = relayed(Draft::discover()).end();
    assert_refused!(
        tell(&mut server(near().config()), &draft, 0),
        DhcpError::Relayed { relay: RELAY }
    );
    let _shows = shows(&["DC-121"]);
    let mut relays = server(Setup([Setup::RELAYS | Setup::NEAR, 0]).config());
    assert_eq!(answer(&mut relays, &draft).answer.kind, kind::OFFER);
    let other = draft.from([192, 0, 2, 253].into());
    let source = [192, 0, 2, 253].into();
    assert_refused!(tell(&mut relays, &other, 0), DhcpError::Source { source });
}

#[test]
fn clients_are_stations() {
    let groups = [Mac::BROADCAST, Mac([1, 0, 0x5e, 0, 0, 1]), Mac::ZERO];
    for address in groups {
        let draft = Draft::discover().chaddr(address).end();
        assert_refused!(tell(&mut plain(), &draft, 0), DhcpError::NoStation { address });
    }
}

#[test]
fn a_strict_port_serves_its_guest_alone() {
    let mut strict = server(Setup([Setup::STRICT, 0]).config());
    let address = Mac([2, 0, 0, 0, 0, 11]);
    let draft = Draft::discover().end();
    let named = draft.clone().chaddr(address);
    assert_refused!(tell(&mut strict, &named, 0), DhcpError::Stranger { address });
    let framed = Draft { ethernet_source: address, ..draft.clone() };
    assert_refused!(tell(&mut strict, &framed, 0), DhcpError::Stranger { address });
    assert_eq!(answer(&mut strict, &draft).answer.mac, GUEST);
    assert_eq!(answer(&mut plain(), &named).answer.mac, address);
}

/// The table of spec §6.5.
#[test]
fn answers_go_where_the_table_says() {
    let _shows = shows(&["DH-017", "DH-018", "DH-019", "DH-020", "DH-030"]);
    let everybody = ([255; 4].into(), 68, Mac::BROADCAST);
    let place = |draft: Draft| {
        let mut server = server(Setup([Setup::RELAYS | Setup::NEAR, 0]).config());
        let sent = Draft { ethernet_source: Mac([2, 0, 0, 0, 0, 0xee]), ..draft.end() };
        let reply = answer(&mut server, &sent).answer;
        (reply.destination, reply.port, reply.mac)
    };
    let wrong = Draft::new(kind::REQUEST).requested([10, 0, 0, 1].into());
    let through = (RELAY, 67, Mac([2, 0, 0, 0, 0, 0xee]));
    for draft in [Draft::discover(), Draft::discover().broadcast(), wrong.clone()] {
        assert_eq!(place(relayed(draft)), through);
    }
    let renewing = relayed(Draft::new(kind::REQUEST).ciaddr(ADDRESS));
    assert_eq!(place(renewing), through);
    assert_eq!(place(wrong.clone()), everybody);
    assert_eq!(place(wrong.clone().broadcast()), everybody);
    assert_eq!(place(Draft::renewing(near())), (ADDRESS, 68, GUEST));
    assert_eq!(place(Draft::rebinding().broadcast()), (ADDRESS, 68, GUEST));
    for draft in [Draft::discover(), Draft::selecting(near()), Draft::rebooting()] {
        assert_eq!(place(draft.clone().broadcast()), everybody);
        assert_eq!(place(draft), (ADDRESS, 68, GUEST));
    }
    // A relay is told to hand a NAK to everybody.
    let mut relays = server(Setup([Setup::RELAYS | Setup::NEAR, 0]).config());
    let nak = answer(&mut relays, &relayed(wrong).end());
    assert_eq!((nak.answer.kind, &nak.bytes[10..12]), (kind::NAK, &[0x80, 0][..]));
}

/// Of all that a guest can say about addresses, nothing makes an answer go to 0.0.0.0.
#[test]
fn no_answer_goes_nowhere() {
    let _shows = shows(&["DH-055"]);
    let addresses = [[0; 4].into(), ADDRESS, [255; 4].into(), [10, 0, 0, 1].into()];
    let mut answers = 0;
    for kind in 0..10 {
        for ciaddr in addresses {
            for requested in addresses {
                for server in [None, Some(FAR_ROUTER), Some(ELSEWHERE)] {
                    let draft = Draft::new(kind).ciaddr(ciaddr).requested(requested);
                    let draft = server.map_or(draft.clone(), |server| draft.server(server));
                    if let Ok(Ok(reply)) = tell(&mut plain(), &draft.end(), 0) {
                        assert!(!reply.answer.destination.is_unspecified());
                        answers += 1;
                    }
                }
            }
        }
    }
    assert!(answers > 50, "{answers}");
}

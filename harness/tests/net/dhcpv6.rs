//! What a `DHCPv6` server answers, and what it refuses (spec §6.6, V6-006 to V6-009).

use std::net::Ipv6Addr;

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::checksum::Transport;
use vhost_fuzz_core::net::dhcpv6::{
    ASSOCIATIONS_MAX, Config, ConfigError, DECLINE_PAUSE, Dhcpv6Error, Server, code, kind,
};
use vhost_fuzz_core::net::ethernet::Frame;
use vhost_fuzz_core::net::ipv6::udp::UdpError;
use vhost_fuzz_core::net::ipv6::{ALL_NODES, Packet};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::ipv6::dhcpv6::{
    CLIENT_ID, LEASE, SERVER_ID, address, association, client, config, message, option, server,
    setup,
};
use vhost_fuzz_harness::ipv6::draft::Draft;
use vhost_fuzz_harness::ipv6::ndp::{GATEWAY, GUEST, OTHER};
use vhost_fuzz_harness::ipv6::{GATEWAY_MAC, GUEST_MAC, wire};

/// Where the message of a frame without tag begins.
const MESSAGE: usize = 62;

type Reply = Result<Option<Vec<u8>>, Dhcpv6Error>;

/// A server with its answers.
struct Port(Server);

impl Port {
    fn new(setup: u8) -> Self {
        Self(Server::new(config(setup)).expect("a server"))
    }

    fn answer(&mut self, frame: &[u8], transport: Transport, now: u64) -> Reply {
        let parsed = Frame::parse(frame).expect("a frame");
        let packet = Packet::parse(parsed.payload).expect("a packet").expect("one to read");
        let mut out = vec![0xa5; frame.len() + 500];
        let len = self.0.answer(&parsed, &packet, transport, now, &mut out)?;
        Ok(len.map(|len| {
            wire::dhcpv6(frame, &out[..len]);
            out.truncate(len);
            out
        }))
    }

    fn ask(&mut self, draft: &Draft) -> Reply {
        self.answer(&draft.frame(), Transport::Complete, 0)
    }

    /// The message of the reply.
    fn reply(&mut self, draft: &Draft) -> Vec<u8> {
        self.ask(draft).expect("legal").expect("a reply")[MESSAGE..].to_vec()
    }
}

/// What a client that has an address says to its server.
fn known() -> Vec<u8> {
    [client(), server(), association(7, &[LEASE])].concat()
}

fn ask(kind: u8, options: &[u8]) -> Reply {
    Port::new(0).ask(&message(kind, options))
}

/// An option that says how something ended.
fn status(code: u8) -> Vec<u8> {
    option(13, &[0, code])
}

/// The association that gets the address.
fn leased(id: u32) -> Vec<u8> {
    let times = |numbers: [u32; 2]| numbers.map(u32::to_be_bytes).concat();
    let lease = [&LEASE.octets()[..], &times([3600, 86400])].concat();
    let value = [&id.to_be_bytes()[..], &times([1800, 2880]), &option(5, &lease)].concat();
    option(3, &value)
}

#[test]
fn a_client_says_who_it_is() {
    for kind in [1, 3, 4, 5, 6, 8, 9] {
        let options = [server(), association(7, &[LEASE])].concat();
        assert_refused!(ask(kind, &options), Dhcpv6Error::NoClient { kind });
    }
    assert!(ask(kind::INFORMATION_REQUEST, &[]).unwrap().is_some());
}

#[test]
fn who_asks_all_servers_names_none() {
    for kind in [kind::SOLICIT, kind::CONFIRM, kind::REBIND] {
        assert_refused!(ask(kind, &known()), Dhcpv6Error::Server { kind });
    }
}

#[test]
fn who_asks_one_server_names_it() {
    for kind in [kind::REQUEST, kind::RENEW, kind::RELEASE, kind::DECLINE] {
        assert_refused!(ask(kind, &client()), Dhcpv6Error::NoServer { kind });
    }
}

#[test]
fn another_server_is_left_to_answer() {
    let _shows = shows(&["V6-006"]);
    let mut other = SERVER_ID;
    other[9] ^= 1;
    for kind in [3, 5, 8, 9, 11] {
        for id in [&other[..], &SERVER_ID[..9], &[&SERVER_ID[..], &[0]].concat()] {
            let options = [client(), option(code::SERVER_ID, id)].concat();
            assert_eq!(ask(kind, &options), Ok(None), "{kind}");
        }
    }
}

#[test]
fn who_asks_for_information_asks_for_no_address() {
    for options in [association(7, &[]), option(4, &[0; 4]), option(25, &[0; 12])] {
        let got = ask(kind::INFORMATION_REQUEST, &options);
        assert_refused!(got, Dhcpv6Error::InformationWithAddresses);
    }
}

#[test]
fn what_goes_to_all_servers_is_not_sent_to_one() {
    let to_one = |kind, options: &[u8]| {
        let draft = message(kind, options);
        Port::new(0).ask(&Draft { destination: GATEWAY, destination_mac: GATEWAY_MAC, ..draft })
    };
    for kind in [1, 4, 6, 11] {
        assert_refused!(to_one(kind, &client()), Dhcpv6Error::Unicast { kind });
    }
    // The others are told to ask all (DC-137).
    let reply = to_one(kind::RENEW, &known()).unwrap().unwrap();
    assert_eq!(reply[MESSAGE + 4..], [client(), server(), status(5)].concat());
}

#[test]
fn messages_of_servers_and_relays_are_ignored() {
    let _shows = shows(&["DC-136"]);
    for kind in [0, 2, 7, 10, 12, 13, 14, 255] {
        assert_eq!(ask(kind, &known()), Ok(None), "{kind}");
    }
    // What a relay passes on is not looked into, however deep it is.
    let mut nested = vec![12; 34];
    for _ in 0..20 {
        nested = [vec![12; 34], option(9, &nested)].concat();
    }
    assert_eq!(ask(kind::RELAY_FORWARD, &nested[4..]), Ok(None));
}

/// There is no room for what a relay says of a client, so it must not be taken (DC-136).
#[test]
fn what_a_relay_says_is_not_taken_however_long_it_is() {
    for kind in [kind::RELAY_FORWARD, kind::RELAY_REPLY] {
        for code in 0..=255 {
            for len in [0, 1, 2, 3, 7, 8, 9, 16, 17, 18, 19, 34, 66, 130, 255, 257, 1200] {
                // Behind the hops and two addresses, of which `message` has three bytes.
                let said = [&[0; 30], &option(code, &vec![0xee; len])[..]].concat();
                for cut in [0, 1, said.len() - 31] {
                    let got = ask(kind, &said[..said.len() - cut]);
                    assert_eq!(got, Ok(None), "{kind} {code} {len} {cut}");
                }
            }
        }
    }
}

#[test]
fn a_reply_says_who_asked_what_and_who_answers() {
    let _shows = shows(&["V6-007"]);
    for kind in [1, 3, 5, 6, 8, 9, 4] {
        let has_server = matches!(kind, 3 | 5 | 8 | 9);
        let id = option(code::CLIENT_ID, &[0, 2, 0, 0, 0, 9, 0xff, 0xfe, 0xfd]);
        let server_id = if has_server { server() } else { vec![] };
        let options = [id.clone(), server_id, association(7, &[LEASE])].concat();
        let reply = Port::new(0).reply(&message(kind, &options));
        assert_eq!(reply[0], if kind == 1 { 2 } else { 7 });
        assert_eq!(reply[1..4], [0x12, 0x34, 0x56]);
        assert!(reply[4..].starts_with(&[id, server()].concat()));
    }
    let reply = Port::new(0).reply(&message(kind::INFORMATION_REQUEST, &[]));
    assert_eq!(reply[4..], server());
}

#[test]
fn a_rapid_commit_needs_a_client_that_asked_for_it() {
    let _shows = shows(&["V6-008"]);
    let plain = [client(), association(7, &[])].concat();
    let rapid = [plain.clone(), option(code::RAPID_COMMIT, &[])].concat();
    for (setup, options, kind) in [
        (0, &plain, kind::ADVERTISE),
        (0, &rapid, kind::ADVERTISE),
        (setup::RAPID, &plain, kind::ADVERTISE),
        (setup::RAPID, &rapid, kind::REPLY),
    ] {
        let reply = Port::new(setup).reply(&message(kind::SOLICIT, options));
        let commit = if kind == kind::REPLY { option(14, &[]) } else { vec![] };
        assert_eq!(reply[0], kind);
        assert_eq!(reply[4..], [client(), server(), commit, leased(7)].concat());
    }
    // It means nothing in other messages.
    let request = [known(), option(code::RAPID_COMMIT, &[])].concat();
    let reply = Port::new(setup::RAPID).reply(&message(kind::REQUEST, &request));
    assert_eq!(reply[4..], [client(), server(), leased(7)].concat());
}

#[test]
fn options_are_bounded_by_what_is_around_them() {
    let long = |code| [&[0, code, 0, 200], &[0; 20][..]].concat();
    let inside = |option: &[u8]| self::option(3, &[&[0; 12], option].concat());
    let deeper = |inner: &[u8]| {
        let value = [&LEASE.octets()[..], &[0; 8], inner].concat();
        inside(&option(5, &value))
    };
    for broken in [vec![0], vec![0, 8, 0], long(99), inside(&long(5)), deeper(&[0, 13, 0, 9])] {
        assert_refused!(ask(kind::SOLICIT, &[client(), broken].concat()), Dhcpv6Error::OptionCut);
    }
    let short = [
        (3, option(3, &[0; 11])),
        (4, option(4, &[0; 3])),
        (25, option(25, &[])),
        (5, inside(&option(5, &[0; 23]))),
        (26, inside(&option(26, &[0; 24]))),
        (13, inside(&option(13, &[0]))),
        (13, deeper(&option(13, &[]))),
        (13, option(13, &[0])),
        (14, option(14, &[0])),
        (6, option(6, &[0, 23, 0])),
        (8, option(8, &[0; 3])),
    ];
    for (code, broken) in short {
        let got = ask(kind::SOLICIT, &[client(), broken].concat());
        let Err(Dhcpv6Error::OptionLen { code: found, len }) = got else { panic!("{got:?}") };
        assert_refused!(got, Dhcpv6Error::OptionLen { code, len });
        assert_eq!(found, code);
    }
}

#[test]
fn nesting_is_not_followed_deeper_than_an_address() {
    let _shows = shows(&["V6-009"]);
    // Associations in associations, as many as fit into a packet: unknown options, and no stack.
    let mut nested = Vec::new();
    for _ in 0..80 {
        nested = option(3, &[&[0; 12], &nested[..]].concat());
    }
    let options = [client(), nested].concat();
    let reply = Port::new(0).reply(&message(kind::SOLICIT, &options));
    assert_eq!(reply[4..], [client(), server(), leased(0)].concat());
}

#[test]
fn an_association_without_options_is_legal() {
    let _shows = shows(&["V6-009"]);
    let options = [client(), association(1, &[]), option(4, &[0, 0, 0, 2])].concat();
    let reply = Port::new(0).reply(&message(kind::SOLICIT, &options));
    let temporary = option(4, &[&[0, 0, 0, 2], &status(2)[..]].concat());
    assert_eq!(reply[4..], [client(), server(), leased(1), temporary].concat());
}

#[test]
fn who_somebody_is_has_a_length_and_comes_once() {
    for len in [0, 2, 131] {
        let options = option(code::CLIENT_ID, &vec![1; len]);
        let error = Dhcpv6Error::OptionLen { code: 1, len };
        assert_refused!(ask(kind::SOLICIT, &options), error);
    }
    for len in [3, 130] {
        assert!(ask(kind::SOLICIT, &option(1, &vec![1; len])).unwrap().is_some());
    }
    let twice = [client(), client()].concat();
    assert_refused!(ask(kind::SOLICIT, &twice), Dhcpv6Error::Twice { code: 1 });
    let many = association(7, &[]).repeat(ASSOCIATIONS_MAX + 1);
    let got = ask(kind::SOLICIT, &[client(), many].concat());
    assert_refused!(got, Dhcpv6Error::Associations);
    let mut prefix = vec![0; 25];
    prefix[8] = 129;
    let delegated = option(25, &[vec![0; 12], option(26, &prefix)].concat());
    let got = ask(kind::SOLICIT, &[client(), delegated].concat());
    assert_refused!(got, Dhcpv6Error::PrefixLen);
    for len in 0..4 {
        let frame = Draft { ..message(1, &[]) };
        let payload = [&[2, 34, 2, 35, 0, 8 + len, 0, 0][..], &[1; 4][..len.into()]].concat();
        let got = Port::new(0).ask(&Draft { payload, ..frame });
        assert_refused!(got, Dhcpv6Error::Short { len: len.into() });
    }
}

#[test]
fn one_association_gets_the_address() {
    let _shows = shows(&["DC-137"]);
    let delegated = option(25, &[0; 12]);
    let asked = [association(1, &[]), association(2, &[OTHER]), delegated].concat();
    let refused = |code: u16, id: u8, status: &[u8]| {
        option(code, &[&[0, 0, 0, id, 0, 0, 0, 0, 0, 0, 0, 0], status].concat())
    };
    let expected = [leased(1), refused(3, 2, &status(2)), refused(25, 0, &status(6))].concat();
    for kind in [kind::SOLICIT, kind::REBIND] {
        let options = [client(), asked.clone()].concat();
        let reply = Port::new(0).reply(&message(kind, &options));
        assert_eq!(reply[4..], [client(), server(), expected.clone()].concat());
    }
}

#[test]
fn a_lease_is_renewed_after_a_half_and_four_fifths_of_it() {
    let _shows = shows(&["DC-137"]);
    let draft = message(kind::SOLICIT, &[client(), association(7, &[])].concat());
    for (preferred, renewed, rebound) in [
        (0, 0, 0),
        (1, 0, 0),
        (4, 2, 3),
        (5, 2, 4),
        (24, 12, 19),
        (3600, 1800, 2880),
        (u32::MAX - 1, 0x7fff_ffff, 3_435_973_835),
        (u32::MAX, u32::MAX, u32::MAX),
    ] {
        let config = Config { preferred, valid: u32::MAX, ..config(0) };
        let mut port = Port(Server::new(config).expect("a server"));
        let reply = port.reply(&draft);
        let lease = &reply[4 + [client(), server()].concat().len()..];
        let times = [renewed, rebound].map(u32::to_be_bytes).concat();
        assert_eq!((&lease[4..8], &lease[8..16]), (&[0, 0, 0, 7][..], &times[..]), "{preferred}");
    }
}

#[test]
fn addresses_are_confirmed_released_and_declined() {
    let _shows = shows(&["DC-137"]);
    let of = |addresses: &[Ipv6Addr]| [client(), association(7, addresses)].concat();
    let confirm = |addresses: &[Ipv6Addr]| {
        let draft = message(kind::CONFIRM, &of(addresses));
        Port::new(0).ask(&draft).unwrap().map(|reply| reply[MESSAGE + 28 + 4..].to_vec())
    };
    assert_eq!(confirm(&[]), None);
    assert_eq!(confirm(&[LEASE]), Some(status(0)));
    assert_eq!(confirm(&[LEASE, OTHER]), Some(status(4)));
    let mut port = Port::new(0);
    let plain = message(kind::SOLICIT, &of(&[]));
    let given = [client(), server(), leased(7)].concat();
    assert_eq!(port.reply(&message(kind::RELEASE, &known()))[32..], status(0));
    assert_eq!(port.reply(&plain)[4..], given);
    // After it was declined the address rests, so that nobody is sent in circles.
    assert_eq!(port.reply(&message(kind::DECLINE, &known()))[32..], status(0));
    let refused = option(3, &[&[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0], &status(2)[..]].concat());
    assert_eq!(port.reply(&plain)[4..], [client(), server(), refused].concat());
    let later = port.answer(&plain.frame(), Transport::Complete, DECLINE_PAUSE).unwrap();
    assert_eq!(later.unwrap()[MESSAGE + 4..], given);
}

#[test]
fn dns_servers_are_told_to_who_asks() {
    let _shows = shows(&["DC-137"]);
    let wants = [client(), option(6, &[0, 24, 0, 23])].concat();
    let draft = message(kind::INFORMATION_REQUEST, &wants);
    assert_eq!(Port::new(0).reply(&draft)[4..], [client(), server()].concat());
    let reply = Port::new(setup::DNS).reply(&draft);
    assert_eq!((reply.len(), &reply[32..36]), (32 + 4 + 32, &[0, 23, 0, 32][..]));
    let plain = message(kind::INFORMATION_REQUEST, &client());
    assert_eq!(Port::new(setup::DNS).reply(&plain)[4..], [client(), server()].concat());
}

#[test]
fn replies_go_to_the_link_local_address_and_station_that_asked() {
    let _shows = shows(&["DC-138"]);
    let draft = message(kind::SOLICIT, &[client(), association(7, &[])].concat());
    let tag = Some((0x8100, 5));
    let frame = Draft { tag, ..draft.clone() }.frame();
    let reply = Port::new(0).answer(&frame, Transport::Complete, 0).unwrap().unwrap();
    assert_eq!((&reply[..6], &reply[6..12]), (&GUEST_MAC.0[..], &GATEWAY_MAC.0[..]));
    assert_eq!(reply[12..18], frame[12..18]);
    assert_eq!(reply[26..42], GATEWAY.octets());
    assert_eq!(reply[42..58], GUEST.octets());
    assert_eq!(reply[58..62], [2, 35, 2, 34]);
    for other in [
        Draft { source: LEASE, ..draft.clone() },
        Draft { source: Ipv6Addr::UNSPECIFIED, ..draft.clone() },
        Draft { destination: ALL_NODES, ..draft.clone() },
        Draft { destination: OTHER, ..draft.clone() },
        Draft { destination_mac: Mac([2, 0, 0, 0, 0, 0x77]), ..draft.clone() },
        Draft::udp(GUEST, draft.destination, [546, 546], &draft.payload[8..]),
    ] {
        assert_eq!(Port::new(0).ask(&other), Ok(None), "{other:?}");
    }
}

#[test]
fn a_datagram_has_a_length_and_a_checksum() {
    let draft = message(kind::SOLICIT, &client());
    let refused = |draft: &Draft| Port::new(0).ask(draft);
    for len in 0..8 {
        let mut short = draft.clone();
        short.payload.truncate(len);
        let frame = short.frame();
        let got = Port::new(0).answer(&frame, Transport::Complete, 0);
        assert_refused!(got, Dhcpv6Error::Udp(UdpError::Short { len }));
    }
    let room = draft.payload.len();
    for len in [0, 7, 27, 0xffff] {
        let mut wrong = draft.clone();
        wrong.payload[4..6].copy_from_slice(&u16::to_be_bytes(len));
        let error = Dhcpv6Error::Udp(UdpError::Length { len, room });
        assert_refused!(refused(&wrong), error);
    }
    let wrong = Draft { spoil: 0x10, ..draft.clone() };
    assert_refused!(refused(&wrong), Dhcpv6Error::Udp(UdpError::Checksum));
    let mut none = draft.frame();
    none[60..62].fill(0);
    let got = Port::new(0).answer(&none, Transport::Complete, 0);
    assert_refused!(got, Dhcpv6Error::Udp(UdpError::NoChecksum));
    assert!(Port::new(0).answer(&none, Transport::Partial, 0).unwrap().is_some());
}

#[test]
fn a_checksum_of_0_is_sent_as_all_ones() {
    let _shows = shows(&["L2-011"]);
    // One of all identifiers of two bytes makes the sum of the reply come out so.
    let mut seen = 0;
    for number in 0..=u16::MAX {
        let id = [&[0, 9], &number.to_be_bytes()[..]].concat();
        let draft = message(kind::SOLICIT, &option(code::CLIENT_ID, &id));
        let frame = Draft { ..draft }.frame();
        let parsed = Frame::parse(&frame).unwrap();
        let packet = Packet::parse(parsed.payload).unwrap().unwrap();
        let mut out = [0; 200];
        let mut server = Server::new(config(0)).unwrap();
        let got = server.answer(&parsed, &packet, Transport::Complete, 0, &mut out);
        assert!(matches!(got, Ok(Some(_))));
        assert_ne!(out[60..62], [0, 0]);
        seen += usize::from(out[60..62] == [0xff, 0xff]);
    }
    assert!(seen > 0);
}

#[test]
fn a_reply_that_does_not_fit_is_none() {
    let eight: Vec<u8> = (0..8).flat_map(|id| association(id, &[LEASE])).collect();
    let front = MESSAGE + 4 + 14 + 14;
    for (kind, options, needed) in [
        (kind::DECLINE, known(), front + 6),
        // One with the address, and seven that say that there is none.
        (kind::SOLICIT, [client(), eight].concat(), front + 44 + 7 * 22),
    ] {
        let draft = message(kind, &options).frame();
        let frame = Frame::parse(&draft).unwrap();
        let packet = Packet::parse(frame.payload).unwrap().unwrap();
        let mut server = Server::new(config(0)).unwrap();
        let mut out = [0xa5; 400];
        for room in 0..needed {
            let room = &mut out[..room];
            let got = server.answer(&frame, &packet, Transport::Complete, 0, room);
            assert_refused!(got, Dhcpv6Error::Room { needed });
            assert_eq!(out, [0xa5; 400]);
        }
        let got = server.answer(&frame, &packet, Transport::Complete, 0, &mut out);
        assert_eq!(got, Ok(Some(needed)));
        assert!(out[needed..].iter().all(|byte| *byte == 0xa5), "it ends where it says");
    }
}

#[test]
fn a_server_that_cannot_be_is_refused() {
    let changed = |change: fn(&mut Config)| {
        let mut config = config(0);
        change(&mut config);
        Server::new(config).map(drop)
    };
    assert_refused!(changed(|it| it.mac = Mac::ZERO), ConfigError::Mac { mac: Mac::ZERO });
    assert_refused!(changed(|it| it.address = LEASE), ConfigError::NotLinkLocal { address: LEASE },);
    assert_refused!(changed(|it| it.lease = GATEWAY), ConfigError::Lease { lease: GATEWAY });
    let (preferred, valid) = (86401, 86400);
    assert_refused!(
        changed(|it| it.preferred = 86401),
        ConfigError::Preferred { preferred, valid },
    );
    assert_eq!((CLIENT_ID.len(), address(LEASE).len()), (10, 28));
}

//! What a gateway answers about the link, and what it refuses (spec §6.6, V6-001 to V6-005).

use std::net::Ipv6Addr;

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::checksum::Transport;
use vhost_fuzz_core::net::ethernet::Frame;
use vhost_fuzz_core::net::icmpv6::Icmpv6Error;
use vhost_fuzz_core::net::ipv6::{ALL_NODES, Ipv6Error, Packet, group_mac, solicited_node};
use vhost_fuzz_core::net::ndp::{
    Config, ConfigError, MULTICAST_INTERVAL, NdpError, Prefix, RespondError, Responder,
};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::ipv6::draft::{Draft, link_option};
use vhost_fuzz_harness::ipv6::ndp::{GATEWAY, GUEST, GUEST_SECOND, OTHER, SECOND, config, setup};
use vhost_fuzz_harness::ipv6::{GATEWAY_MAC, GUEST_MAC, wire};

const NOBODY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

const OTHER_MAC: Mac = Mac([2, 0, 0, 0, 0, 0x77]);

/// Where the message of a frame without tag begins.
const MESSAGE: usize = 54;

/// A gateway with its answers.
struct Gateway(Responder);

impl Gateway {
    fn new(setup: u8) -> Self {
        Self(Responder::new(config(setup)).expect("a gateway"))
    }

    /// The reply to a frame that is legal up to its IPv6 header.
    fn answer(&mut self, frame: &[u8], transport: Transport, now: u64) -> Reply {
        let parsed = Frame::parse(frame).expect("a frame");
        let packet = Packet::parse(parsed.payload).expect("a packet").expect("one to read");
        let mut out = vec![0xa5; frame.len() + 200];
        let len = self.0.answer(&parsed, &packet, transport, now, &mut out)?;
        Ok(len.map(|len| {
            wire::ndp(frame, &out[..len]);
            out.truncate(len);
            out
        }))
    }

    fn ask(&mut self, draft: &Draft) -> Reply {
        self.answer(&draft.frame(), Transport::Complete, 0)
    }

    fn reply(&mut self, draft: &Draft) -> Vec<u8> {
        self.ask(draft).expect("legal").expect("a reply")
    }
}

type Reply = Result<Option<Vec<u8>>, RespondError>;

fn question() -> Draft {
    Draft::neighbor(GUEST, solicited_node(GATEWAY), GATEWAY, true)
}

fn probe(target: Ipv6Addr) -> Draft {
    Draft::neighbor(NOBODY, solicited_node(target), target, false)
}

fn with(option: &[u8]) -> Draft {
    let mut draft = question();
    draft.payload.truncate(24);
    draft.payload.extend(option);
    draft
}

#[test]
fn a_message_that_a_router_passed_on_is_refused() {
    for hop_limit in [0, 1, 64, 254] {
        let draft = Draft { hop_limit, ..question() };
        assert_refused!(
            Gateway::new(0).ask(&draft),
            RespondError::Ndp(NdpError::HopLimit { hop_limit })
        );
    }
}

#[test]
fn a_message_with_a_code_is_refused() {
    for kind in 133..=137 {
        let mut message = vec![0; 40];
        (message[0], message[1]) = (kind, 1);
        let draft = Draft::icmp(GUEST, GATEWAY, &message);
        let error = RespondError::Ndp(NdpError::Code { kind, code: 1 });
        assert_refused!(Gateway::new(0).ask(&draft), error);
    }
}

#[test]
fn a_wrong_checksum_is_refused() {
    for bit in 0..16 {
        let draft = Draft { spoil: 1 << bit, ..question() };
        let error = RespondError::Icmp(Icmpv6Error::Checksum { kind: 135 });
        assert_refused!(Gateway::new(0).ask(&draft), error);
    }
    let echo = Draft { spoil: 1, ..Draft::echo(GUEST, GATEWAY, &[]) };
    let error = RespondError::Icmp(Icmpv6Error::Checksum { kind: 128 });
    assert_refused!(Gateway::new(0).ask(&echo), error);
}

#[test]
fn a_partial_checksum_is_not_compared() {
    let _shows = shows(&["L2-010"]);
    let draft = Draft { spoil: 0x1234, ..question() };
    let mut gateway = Gateway::new(0);
    let got = gateway.answer(&draft.frame(), Transport::Partial, 0).expect("legal");
    assert_eq!(got, gateway.ask(&question()).expect("legal"));
    assert!(got.is_some());
}

#[test]
fn a_message_below_its_least_length_is_refused() {
    for (kind, least) in [(133, 8), (134, 16), (135, 24), (136, 24), (137, 40)] {
        for len in 4..least {
            let mut message = vec![0; len];
            message[0] = kind;
            let draft = Draft::icmp(GUEST, GATEWAY, &message);
            let error = RespondError::Ndp(NdpError::Short { kind, len });
            assert_refused!(Gateway::new(0).ask(&draft), error);
        }
    }
    for len in 0..4 {
        let draft = Draft::icmp(GUEST, GATEWAY, &vec![135; len]);
        let error = RespondError::Icmp(Icmpv6Error::Short { len });
        assert_refused!(Gateway::new(0).ask(&draft), error);
    }
}

#[test]
fn an_option_without_length_is_refused() {
    for option in [1, 14, 253] {
        let draft = with(&[option, 0, 0, 0, 0, 0, 0, 0]);
        let error = RespondError::Ndp(NdpError::EmptyOption { option });
        assert_refused!(Gateway::new(0).ask(&draft), error);
    }
}

#[test]
fn an_option_over_the_end_is_refused() {
    for option in [&[14, 2, 0, 0, 0, 0, 0, 0][..], &[14], &[14, 1, 0], &[14, 255, 0, 0, 0, 0, 0, 0]]
    {
        let error = RespondError::Ndp(NdpError::OptionCut { option: 14 });
        assert_refused!(Gateway::new(0).ask(&with(option)), error);
    }
}

#[test]
fn a_link_layer_address_is_that_of_the_sender() {
    let long = with(&[&[1, 2][..], &[2; 14]].concat());
    let error = RespondError::Ndp(NdpError::LinkLen { units: 2 });
    assert_refused!(Gateway::new(0).ask(&long), error);
    let other = with(&link_option(1, OTHER_MAC));
    let error = RespondError::Ndp(NdpError::LinkAddress { address: OTHER_MAC });
    assert_refused!(Gateway::new(0).ask(&other), error);
}

#[test]
fn who_has_no_address_tells_no_link_layer_address() {
    let error = RespondError::Ndp(NdpError::UnspecifiedLink);
    let draft = Draft::neighbor(NOBODY, solicited_node(GATEWAY), GATEWAY, true);
    assert_refused!(Gateway::new(0).ask(&draft), error);
    let mut draft = Draft::router(NOBODY);
    draft.payload.extend(link_option(1, GUEST_MAC));
    assert_refused!(Gateway::new(0).ask(&draft), error);
}

#[test]
fn targets_are_no_groups_and_duplicates_are_looked_for_in_one() {
    let draft = Draft::neighbor(GUEST, GATEWAY, ALL_NODES, false);
    let error = RespondError::Ndp(NdpError::GroupTarget { target: ALL_NODES });
    assert_refused!(Gateway::new(0).ask(&draft), error);
    for destination in [GATEWAY, ALL_NODES] {
        let draft = Draft::neighbor(NOBODY, destination, GATEWAY, false);
        let error = RespondError::Ndp(NdpError::DadDestination { destination });
        assert_refused!(Gateway::new(0).ask(&draft), error);
    }
}

#[test]
fn an_answer_to_a_question_goes_to_one() {
    let message = [&[136, 0, 0, 0, 0x40, 0, 0, 0][..], &GUEST.octets()].concat();
    let draft = Draft::icmp(GUEST, ALL_NODES, &message);
    assert_refused!(Gateway::new(0).ask(&draft), RespondError::Ndp(NdpError::SolicitedGroup));
    let to_one = Draft::icmp(GUEST, GATEWAY, &message);
    assert_eq!(Gateway::new(0).ask(&to_one), Ok(None));
}

#[test]
fn a_router_has_a_link_local_source() {
    let mut message = vec![0; 16];
    message[0] = 134;
    let source = GUEST_SECOND;
    let draft = Draft::icmp(source, ALL_NODES, &message);
    let error = RespondError::Ndp(NdpError::RouterSource { source });
    assert_refused!(Gateway::new(0).ask(&draft), error);
    assert_eq!(Gateway::new(0).ask(&Draft { source: GUEST, ..draft }), Ok(None));
}

#[test]
fn nobody_answers_for_the_guest() {
    let _shows = shows(&["V6-002", "DC-134"]);
    for setup in [0, setup::PROXY, setup::PROXY | setup::SECOND] {
        let mut gateway = Gateway::new(setup);
        for target in [GUEST, GUEST_SECOND] {
            assert_eq!(gateway.ask(&probe(target)), Ok(None));
            let draft = Draft::neighbor(OTHER, solicited_node(target), target, false);
            assert_eq!(gateway.ask(&draft), Ok(None));
        }
        // Nor for a third station, when somebody looks for duplicates.
        assert_eq!(gateway.ask(&probe(OTHER)), Ok(None));
    }
    let mut shared = config(0);
    shared.addresses.push(GUEST);
    assert_refused!(Responder::new(shared), ConfigError::Shared { address: GUEST });
}

#[test]
fn who_looks_for_duplicates_of_an_owned_address_is_told_at_all_nodes() {
    let _shows = shows(&["V6-003"]);
    for target in [GATEWAY, SECOND] {
        let reply = Gateway::new(setup::SECOND).reply(&probe(target));
        assert_eq!(reply[..6], group_mac(ALL_NODES).0);
        assert_eq!(reply[22..38], target.octets());
        assert_eq!(reply[38..54], ALL_NODES.octets());
        assert_eq!(reply[MESSAGE], 136);
        assert_eq!(reply[MESSAGE + 4], 0xa0, "R and O, not S");
        assert_eq!(reply[MESSAGE + 8..MESSAGE + 24], target.octets());
        assert_eq!(reply[MESSAGE + 24..], link_option(2, GATEWAY_MAC));
    }
}

#[test]
fn a_question_is_answered_to_who_asked() {
    let _shows = shows(&["V6-004"]);
    for draft in [question(), Draft::neighbor(GUEST, GATEWAY, GATEWAY, false)] {
        let reply = Gateway::new(0).reply(&draft);
        assert_eq!((&reply[..6], &reply[6..12]), (&GUEST_MAC.0[..], &GATEWAY_MAC.0[..]));
        assert_eq!(reply[21], 255);
        assert_eq!((&reply[22..38], &reply[38..54]), (&GATEWAY.octets()[..], &GUEST.octets()[..]));
        assert_eq!(reply[MESSAGE + 4], 0xe0, "R, S and O");
        assert_eq!(reply[MESSAGE + 24..], link_option(2, GATEWAY_MAC));
    }
}

#[test]
fn a_proxy_answers_for_others_without_override() {
    let _shows = shows(&["DC-134"]);
    let draft = Draft::neighbor(GUEST, solicited_node(OTHER), OTHER, true);
    assert_eq!(Gateway::new(0).ask(&draft), Ok(None));
    let reply = Gateway::new(setup::PROXY).reply(&draft);
    assert_eq!(reply[22..38], GATEWAY.octets());
    assert_eq!(reply[MESSAGE + 4], 0xc0, "R and S, not O");
    let nobody = Draft::neighbor(GUEST, GATEWAY, NOBODY, false);
    assert_eq!(Gateway::new(setup::PROXY).ask(&nobody), Ok(None));
}

#[test]
fn an_advertisement_is_link_local_and_has_a_lifetime_for_a_default_router_only() {
    let _shows = shows(&["V6-005", "DC-135"]);
    for (setup, lifetime) in [(0, [7, 8]), (setup::NO_DEFAULT, [0, 0])] {
        let reply = Gateway::new(setup | setup::SECOND).reply(&Draft::router(GUEST));
        assert_eq!(reply[22..38], GATEWAY.octets());
        assert_eq!(reply[38..54], GUEST.octets());
        assert_eq!(reply[MESSAGE + 6..MESSAGE + 8], lifetime);
        let neighbor = Gateway::new(setup).reply(&question());
        assert_eq!(neighbor[MESSAGE + 4] & 0x80 != 0, lifetime != [0, 0], "the R flag");
    }
    assert_eq!(Gateway::new(setup::NO_ROUTER).ask(&Draft::router(GUEST)), Ok(None));
    let mut no_link_local = config(setup::SECOND);
    no_link_local.addresses.remove(0);
    assert_refused!(
        Responder::new(no_link_local),
        ConfigError::NotLinkLocal { first: Some(SECOND) },
    );
}

#[test]
fn an_advertisement_says_what_is_configured() {
    let _shows = shows(&["DC-135"]);
    let setup = setup::PREFIX | setup::DNS | setup::MANAGED;
    let reply = Gateway::new(setup).reply(&Draft::router(GUEST));
    let message = &reply[MESSAGE..];
    assert_eq!(message.len(), 16 + 8 + 8 + 32 + 40);
    assert_eq!(message[4..6], [64, 0xc0]);
    assert_eq!(message[16..24], link_option(1, GATEWAY_MAC));
    assert_eq!(message[24..32], [5, 1, 0, 0, 0, 0, 5, 220]);
    assert_eq!(message[32..36], [3, 4, 64, 0x40]);
    assert_eq!(message[64..72], [25, 5, 0, 0, 0, 0, 14, 16]);
}

#[test]
fn the_largest_advertisement_has_lengths_that_fit() {
    let mut config = config(setup::PREFIX | setup::DNS);
    let router = config.router.as_mut().expect("a router");
    while !router.dns.is_full() {
        router.dns.push(OTHER);
    }
    let reply = Gateway(Responder::new(config).expect("a gateway")).reply(&Draft::router(GUEST));
    assert_eq!(reply[MESSAGE + 64..MESSAGE + 66], [25, 7]);
    assert_eq!(reply.len(), MESSAGE + 64 + 56);
}

#[test]
fn advertisements_to_all_have_a_pause() {
    let _shows = shows(&["DC-135"]);
    let mut gateway = Gateway::new(0);
    let to_all = Draft::router(NOBODY).frame();
    let to_one = Draft::router(GUEST).frame();
    let mut at = |frame: &[u8], now| {
        gateway.answer(frame, Transport::Complete, now).expect("legal").is_some()
    };
    assert!(at(&to_all, 7));
    assert!(!at(&to_all, 7 + MULTICAST_INTERVAL - 1));
    assert!(at(&to_one, 8), "one is always answered");
    assert!(at(&to_all, 7 + MULTICAST_INTERVAL));
    assert!(!at(&to_all, 7 + MULTICAST_INTERVAL));
}

#[test]
fn extension_headers_are_skipped_with_a_bound_or_the_packet_is_ignored() {
    let _shows = shows(&["V6-010", "DC-130"]);
    let pad = [0, 1, 4, 0, 0, 0, 0];
    let plain = Gateway::new(0).reply(&question());
    for draft in [
        question().behind(0, &pad),
        question().behind(0, &pad).behind(60, &pad).behind(43, &[0; 7]).behind(60, &pad),
    ] {
        assert_eq!(Gateway::new(0).reply(&draft), plain);
    }
    let read = |draft: &Draft| {
        let frame = draft.frame();
        Packet::parse(&frame[14..]).map(|packet| packet.is_some())
    };
    let five = (0..5).fold(question(), |draft, _| draft.behind(60, &pad));
    assert_eq!(read(&five), Ok(false));
    for (kind, bytes) in [(44, [0; 7]), (59, [0; 7]), (43, [0, 0, 1, 0, 0, 0, 0])] {
        assert_eq!(read(&question().behind(kind, &bytes)), Ok(false), "{kind}");
    }
    for option in [0x40, 0x80, 0xc2] {
        let draft = question().behind(60, &[0, option, 4, 0, 0, 0, 0]);
        assert_eq!(read(&draft), Ok(false), "{option:#x}");
    }
    assert_eq!(read(&question().behind(60, &pad).behind(0, &pad)), Ok(false));
}

#[test]
fn a_cut_extension_header_is_refused() {
    for (protocol, bytes) in [(60, [200, 1, 4, 0, 0, 0, 0]), (0, [0, 1, 5, 0, 0, 0, 0])] {
        let frame = question().behind(protocol, &bytes).frame();
        assert_refused!(Packet::parse(&frame[14..]), Ipv6Error::ExtensionCut { protocol });
    }
}

#[test]
fn a_broken_packet_is_refused() {
    let frame = question().frame();
    let packet = &frame[14..];
    for len in 0..40 {
        assert_refused!(Packet::parse(&packet[..len]), Ipv6Error::Short { len });
    }
    let (len, room) = (32, 31);
    assert_refused!(Packet::parse(&packet[..71]), Ipv6Error::Length { len, room });
    let mut wrong = packet.to_vec();
    wrong[0] = 0x45;
    assert_refused!(Packet::parse(&wrong), Ipv6Error::Version { version: 4 });
    for source in [ALL_NODES, Ipv6Addr::LOCALHOST] {
        let frame = Draft { source, ..question() }.frame();
        assert_refused!(Packet::parse(&frame[14..]), Ipv6Error::Source { source });
    }
    for destination in [NOBODY, Ipv6Addr::LOCALHOST] {
        let frame = Draft { destination, ..question() }.frame();
        assert_refused!(Packet::parse(&frame[14..]), Ipv6Error::Destination { destination });
    }
}

#[test]
fn the_gateway_echoes() {
    let _shows = shows(&["DC-131"]);
    let data = [1, 2, 3, 4, 5];
    let asked = [
        (GATEWAY, Some(GATEWAY)),
        (SECOND, Some(SECOND)),
        (ALL_NODES, Some(GATEWAY)),
        (solicited_node(SECOND), Some(GATEWAY)),
        (OTHER, None),
        (solicited_node(OTHER), None),
    ];
    for (destination, source) in asked {
        let draft = Draft::echo(GUEST, destination, &data);
        let reply = Gateway::new(setup::SECOND).ask(&draft).expect("legal");
        assert_eq!(reply.is_some(), source.is_some(), "{destination}");
        if let (Some(reply), Some(source)) = (reply, source) {
            assert_eq!(reply[22..38], source.octets());
            assert_eq!(reply[38..54], GUEST.octets());
            assert_eq!((reply[21], reply[MESSAGE]), (64, 129));
            assert_eq!(reply[MESSAGE + 4..], draft.payload[4..]);
        }
    }
    assert_eq!(Gateway::new(0).ask(&Draft::echo(NOBODY, GATEWAY, &data)), Ok(None));
    let short = Draft::icmp(GUEST, GATEWAY, &[128, 0, 0, 0, 0, 1, 0]);
    let error = RespondError::Icmp(Icmpv6Error::EchoShort { len: 7 });
    assert_refused!(Gateway::new(0).ask(&short), error);
}

#[test]
fn the_checks_come_in_their_order() {
    let _shows = shows(&["DC-132"]);
    // Everything is wrong at once; one mistake after another is mended.
    let mut draft = with(&[1, 0, 0, 0, 0, 0, 0, 0]);
    (draft.hop_limit, draft.spoil, draft.payload[1], draft.payload[8]) = (1, 1, 1, 0xff);
    let mut rest = vec![draft.clone()];
    for step in 0..5 {
        match step {
            0 => draft.spoil = 0,
            1 => draft.hop_limit = 255,
            2 => draft.payload[1] = 0,
            3 => draft.payload.truncate(24),
            _ => draft.payload[8] = 0xfe,
        }
        rest.push(draft.clone());
    }
    let got: Vec<_> = rest.iter().map(|draft| Gateway::new(0).ask(draft).err()).collect();
    let mut target = GATEWAY.octets();
    target[0] = 0xff;
    let expected = [
        Some(RespondError::Icmp(Icmpv6Error::Checksum { kind: 135 })),
        Some(RespondError::Ndp(NdpError::HopLimit { hop_limit: 1 })),
        Some(RespondError::Ndp(NdpError::Code { kind: 135, code: 1 })),
        Some(RespondError::Ndp(NdpError::EmptyOption { option: 1 })),
        Some(RespondError::Ndp(NdpError::GroupTarget { target: target.into() })),
        None,
    ];
    assert_eq!(got, expected);
}

#[test]
fn a_frame_for_another_station_is_not_answered() {
    let _shows = shows(&["DC-133"]);
    let other = Draft { destination_mac: OTHER_MAC, ..question() };
    assert_eq!(Gateway::new(0).ask(&other), Ok(None));
    for destination_mac in [GATEWAY_MAC, Mac::BROADCAST] {
        assert!(Gateway::new(0).ask(&Draft { destination_mac, ..question() }).unwrap().is_some());
    }
}

#[test]
fn a_reply_has_the_tag_of_the_question_and_no_padding() {
    let _shows = shows(&["L2-004", "L2-005"]);
    let tag = Some((0x8100, 0x6123));
    let mut frame = Draft { tag, ..question() }.frame();
    frame.extend([0xee; 30]);
    let reply = Gateway::new(0).answer(&frame, Transport::Complete, 0).unwrap().unwrap();
    assert_eq!(reply[12..18], [0x81, 0, 0x61, 0x23, 0x86, 0xdd]);
    assert_eq!(reply.len(), 18 + 40 + 32);
}

#[test]
fn a_reply_that_does_not_fit_is_none() {
    let draft = question().frame();
    let frame = Frame::parse(&draft).expect("a frame");
    let packet = Packet::parse(frame.payload).expect("a packet").expect("one to read");
    let mut responder = Responder::new(config(0)).expect("a gateway");
    let mut out = [0xa5; 86];
    for room in 0..86 {
        let got = responder.answer(&frame, &packet, Transport::Complete, 0, &mut out[..room]);
        assert_refused!(got, RespondError::Room { needed: 86 });
        assert_eq!(out, [0xa5; 86], "{room}");
    }
    let got = responder.answer(&frame, &packet, Transport::Complete, 0, &mut out);
    assert_eq!(got, Ok(Some(86)));
}

#[test]
fn a_gateway_that_cannot_be_is_refused() {
    let changed = |change: fn(&mut Config)| {
        let mut config = config(setup::PREFIX | setup::DNS);
        change(&mut config);
        Responder::new(config).map(drop)
    };
    let (preferred, valid) = (86401, 86400);
    assert_refused!(changed(|it| it.addresses.clear()), ConfigError::NotLinkLocal { first: None });
    assert_refused!(changed(|it| it.mac = Mac::ZERO), ConfigError::Mac { mac: Mac::ZERO });
    assert_refused!(
        changed(|it| it.addresses.push(ALL_NODES)),
        ConfigError::Address { address: ALL_NODES },
    );
    assert_refused!(
        changed(|it| it.router.as_mut().unwrap().lifetime = 9001),
        ConfigError::Lifetime { lifetime: 9001 },
    );
    assert_refused!(
        changed(|it| it.router.as_mut().unwrap().mtu = Some(1279)),
        ConfigError::Mtu { mtu: 1279 },
    );
    let prefix = |change: fn(&mut Prefix)| {
        let mut config = config(setup::PREFIX);
        change(config.router.as_mut().unwrap().prefix.as_mut().unwrap());
        Responder::new(config).map(drop)
    };
    assert_refused!(prefix(|it| it.len = 129), ConfigError::PrefixLen { len: 129 });
    assert_refused!(prefix(|it| it.preferred = 86401), ConfigError::Preferred { preferred, valid },);
}

//! ARP: each rule of `spec/virtio.md` §7.5, and the decisions about it.

use std::net::Ipv4Addr;

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::arp::{
    Answer, ArpError, Config, ConfigError, DEFEND_INTERVAL_MS, PACKET_LEN, Responder, Silence,
};
use vhost_fuzz_core::net::ethernet::{Frame, Tag};
use vhost_fuzz_harness::gateway::build::Arp;
use vhost_fuzz_harness::gateway::{Core, GATEWAY_MAC, GATEWAYS, GUEST_MAC, LEASES, Setup};
use vhost_fuzz_harness::target::arp;
use vhost_fuzz_harness::{assert_refused, corpus, evidence};

use evidence::shows;

const NOBODY: [u8; 4] = [0; 4];
const STRANGER: [u8; 4] = [198, 51, 100, 7];
const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

const STRICT: u8 = 1;
const PROXY: u8 = 1 << 1;
const BROADCASTS: u8 = 1 << 2;
const DEFENDS: u8 = 1 << 3;

fn responder(options: u8) -> Responder {
    Responder::new(Setup(options).arp()).expect("addresses that differ")
}

/// What is said to a frame at some time, and the reply.
fn say_at(
    responder: &mut Responder,
    frame: &[u8],
    now_ms: u64,
) -> Result<(Answer, Vec<u8>), ArpError> {
    let frame = Frame::parse(frame).expect("a frame");
    let mut out = [0xa5; 64];
    let answer = responder.answer(&frame, now_ms, &mut out)?;
    let len = match answer {
        Answer::Reply { len } | Answer::Defence { len } => len,
        Answer::Silent(_) => 0,
    };
    assert!(out[len..].iter().all(|byte| *byte == 0xa5), "bytes behind the reply");
    Ok((answer, out[..len].to_vec()))
}

fn say(options: u8, arp: &Arp) -> Result<(Answer, Vec<u8>), ArpError> {
    say_at(&mut responder(options), &arp.bytes(), 0)
}

/// The reply to a packet.
#[track_caller]
fn reply(options: u8, arp: &Arp) -> Vec<u8> {
    match say(options, arp) {
        Ok((Answer::Reply { .. }, reply)) => reply,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_silent(options: u8, arp: &Arp, why: Silence) {
    assert_eq!(say(options, arp), Ok((Answer::Silent(why), Vec::new())));
}

/// The reply that is due: an address of the gateway, told to whoever asked.
fn due(spa: [u8; 4], tha: [u8; 6], tpa: [u8; 4]) -> Arp {
    Arp {
        destination: tha,
        source: GATEWAY_MAC,
        op: 2,
        sha: GATEWAY_MAC,
        spa,
        tha,
        tpa,
        ..Arp::default()
    }
}

#[test]
fn the_vector_of_the_specification_is_answered() {
    let _shows = shows(&["AR-002", "AR-003", "AR-004", "L2-006"]);
    let request = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0,
        0, 0, 0, 1, 192, 0, 2, 10, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1,
    ];
    let expected = [
        2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0xfe, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 0xfe,
        10, 0, 0, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 10,
    ];
    let (answer, reply) = say_at(&mut responder(0), &request, 0).expect("an answer");
    assert_eq!((answer, &reply[..]), (Answer::Reply { len: 42 }, &expected[..]));
}

#[test]
fn a_probe_for_the_gateway_is_answered_with_nobody_as_target() {
    let _shows = shows(&["AR-008"]);
    for options in [0, STRICT, PROXY] {
        let probe = Arp::request(NOBODY, GATEWAYS[0]);
        let expected = due(GATEWAYS[0], GUEST_MAC, NOBODY).bytes();
        assert_eq!(reply(options, &probe), expected, "{options}");
    }
}

#[test]
fn packets_of_another_form_are_ignored() {
    for at in 0..6 {
        for bit in 0..8 {
            let mut arp = Arp { padding: vec![0; 300], ..Arp::default() };
            arp.form[at] ^= 1 << bit;
            assert_refused!(say(PROXY, &arp), ArpError::Form { form: arp.form }, "{at} {bit}");
        }
    }
}

#[test]
fn packets_that_are_cut_are_ignored() {
    let whole = Arp::default().bytes();
    for len in 0..PACKET_LEN {
        let said = say_at(&mut responder(0), &whole[..14 + len], 0);
        assert_refused!(said, ArpError::Short { len }, "{len}");
    }
}

#[test]
fn padding_is_neither_read_nor_echoed() {
    let _shows = shows(&["L2-005"]);
    let padded = Arp { padding: vec![0xee; 18], ..Arp::default() };
    assert_eq!(reply(0, &padded), reply(0, &Arp::default()));
    assert_eq!(reply(0, &padded).len(), 42);
}

#[test]
fn the_guest_is_not_told_that_its_own_address_is_taken() {
    let _shows = shows(&["AR-005"]);
    for options in 0..16 {
        for spa in [NOBODY, LEASES[1]] {
            assert_silent(options, &Arp::request(spa, LEASES[0]), Silence::Guest);
        }
    }
}

#[test]
fn announcements_and_replies_are_not_answered() {
    let _shows = shows(&["AR-006"]);
    for (op, spa, tpa) in [
        (1, LEASES[0], LEASES[0]),
        (2, LEASES[0], LEASES[0]),
        (2, LEASES[0], GATEWAYS[0]),
        (2, STRANGER, GATEWAYS[0]),
        (1, STRANGER, STRANGER),
        (2, NOBODY, NOBODY),
    ] {
        for options in 0..16 {
            assert_silent(options, &Arp { op, ..Arp::request(spa, tpa) }, Silence::Told);
        }
    }
}

#[test]
fn nothing_is_learned_and_equal_requests_get_equal_replies() {
    let _shows = shows(&["AR-007", "AR-011", "AR-015", "DC-100"]);
    let mut kept = responder(PROXY);
    let before = kept.clone();
    let first = reply(PROXY, &Arp::default());
    for arp in [
        Arp::request(NOBODY, GATEWAYS[0]),
        Arp::request(NOBODY, STRANGER),
        Arp { op: 2, ..Arp::request(STRANGER, LEASES[0]) },
        Arp::request(STRANGER, GATEWAYS[0]),
        Arp { source: OTHER_MAC, sha: OTHER_MAC, ..Arp::default() },
    ] {
        say_at(&mut kept, &arp.bytes(), 0).expect("a legal packet");
        assert_eq!(kept, before);
        let (_, again) = say_at(&mut kept, &Arp::default().bytes(), 5).expect("an answer");
        assert_eq!(again, first);
    }
}

#[test]
fn other_operations_are_ignored() {
    let _shows = shows(&["AR-009"]);
    for op in (0..=u16::MAX).filter(|op| !matches!(op, 1 | 2)) {
        assert_silent(PROXY, &Arp { op, ..Arp::default() }, Silence::OtherOperation);
    }
}

#[test]
fn a_sender_that_is_not_who_sent_the_frame_is_dropped() {
    let sha = |sha, op| Arp { sha, op, ..Arp::default() };
    for op in [1, 2] {
        let (sender, source) = (Mac(OTHER_MAC), Mac(GUEST_MAC));
        assert_refused!(say(0, &sha(OTHER_MAC, op)), ArpError::OtherSender { sender, source });
        assert_refused!(say(0, &sha([0; 6], op)), ArpError::NoSender);
        for group in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
            let error = ArpError::GroupSender { sender: Mac(group) };
            assert_refused!(say(0, &sha(group, op)), error);
        }
    }
    let nobody = Arp { source: [0; 6], sha: [0; 6], ..Arp::default() };
    assert_refused!(say(0, &nobody), ArpError::NoSender);
}

#[test]
fn a_stranger_is_answered_unless_the_port_is_strict() {
    let sender = Ipv4Addr::from(STRANGER);
    for target in GATEWAYS {
        let request = Arp::request(STRANGER, target);
        assert_eq!(reply(0, &request), due(target, GUEST_MAC, STRANGER).bytes());
        assert_refused!(say(STRICT, &request), ArpError::NotLeased { sender });
        for lease in LEASES {
            let request = Arp::request(lease, target);
            assert_eq!(reply(STRICT, &request), due(target, GUEST_MAC, lease).bytes());
        }
    }
}

#[test]
fn what_no_host_has_is_never_answered() {
    let _shows = shows(&["AR-012", "DC-103"]);
    for target in [
        NOBODY,
        [127, 0, 0, 0],
        [127, 0, 0, 1],
        [127, 255, 255, 255],
        [224, 0, 0, 0],
        [239, 255, 255, 255],
        [255; 4],
    ] {
        let request = Arp::request(LEASES[0], target);
        assert_silent(PROXY, &request, Silence::NeverAnswered);
        assert_silent(PROXY, &Arp::request(NOBODY, target), Silence::NeverAnswered);
    }
    for target in [STRANGER, [169, 254, 77, 7], [10, 0, 0, 2]] {
        assert_silent(PROXY, &Arp::request(NOBODY, target), Silence::NeverAnswered);
    }
}

#[test]
fn a_proxy_answers_for_everybody_else() {
    let _shows = shows(&["AR-002"]);
    let borders = [[126, 255, 255, 255], [128, 0, 0, 0], [223, 255, 255, 255], [240, 0, 0, 0]];
    for target in borders.into_iter().chain([STRANGER, [255, 255, 255, 254], [0, 0, 0, 1]]) {
        let request = Arp::request(LEASES[0], target);
        assert_eq!(reply(PROXY, &request), due(target, GUEST_MAC, LEASES[0]).bytes());
        assert_silent(0, &request, Silence::Stranger);
    }
}

#[test]
fn the_target_hardware_address_says_nothing() {
    let _shows = shows(&["AR-013"]);
    for tha in [[0xff; 6], OTHER_MAC, GATEWAY_MAC, GUEST_MAC] {
        for destination in [[0xff; 6], GATEWAY_MAC, [1, 0, 0x5e, 0, 0, 1]] {
            let request = Arp { tha, destination, ..Arp::default() };
            assert_eq!(reply(0, &request), reply(0, &Arp::default()));
        }
    }
}

#[test]
fn frames_for_other_stations_are_ignored() {
    let _shows = shows(&["AR-014"]);
    for destination in [OTHER_MAC, GUEST_MAC, [0; 6]] {
        assert_silent(PROXY, &Arp { destination, ..Arp::default() }, Silence::OtherStation);
    }
}

#[test]
fn link_local_replies_are_broadcast_by_choice() {
    let _shows = shows(&["AR-016", "AR-003"]);
    let request = Arp::default();
    let (unicast, broadcast) = (reply(0, &request), reply(BROADCASTS, &request));
    assert_eq!((&unicast[..6], &broadcast[..6]), (&GUEST_MAC[..], &[0xff; 6][..]));
    assert_eq!(unicast[6..], broadcast[6..]);
    let routed = Arp::request(LEASES[0], GATEWAYS[1]);
    assert_eq!(reply(BROADCASTS, &routed), reply(0, &routed));
}

/// The guest uses an address of the gateway.
fn conflicts() -> impl Iterator<Item = ([u8; 4], Arp)> {
    GATEWAYS.into_iter().flat_map(|own| {
        [(1, own), (2, own), (1, LEASES[0]), (2, LEASES[0]), (1, GATEWAYS[0])]
            .map(|(op, tpa)| (own, Arp { op, ..Arp::request(own, tpa) }))
    })
}

#[test]
fn an_address_that_is_used_by_the_guest_stays_the_gateways() {
    for (own, arp) in conflicts() {
        let error = ArpError::Conflict { address: own.into() };
        assert_refused!(say(0, &arp), error);
        let mut kept = responder(0);
        say_at(&mut kept, &arp.bytes(), 0).expect_err("a conflict");
        assert_eq!(kept, responder(0));
        let request = Arp::default().bytes();
        let (_, reply) = say_at(&mut kept, &request, 0).expect("an answer");
        assert_eq!(reply, due(GATEWAYS[0], GUEST_MAC, LEASES[0]).bytes());
    }
}

fn announcement(own: [u8; 4]) -> Arp {
    Arp { source: GATEWAY_MAC, sha: GATEWAY_MAC, ..Arp::request(own, own) }
}

#[test]
fn an_address_is_defended_once_in_ten_seconds() {
    let _shows = shows(&["AR-017", "AR-018", "DC-102"]);
    for (own, arp) in conflicts() {
        let mut kept = responder(DEFENDS);
        let mut at = |frame: &[u8], now_ms| say_at(&mut kept, frame, now_ms);
        let defence = (Answer::Defence { len: 42 }, announcement(own).bytes());
        let soon = Err(ArpError::Conflict { address: own.into() });
        let start = 77;
        assert_eq!(at(&arp.bytes(), start), Ok(defence.clone()));
        assert_eq!(at(&arp.bytes(), start), soon);
        assert_eq!(at(&arp.bytes(), start + DEFEND_INTERVAL_MS - 1), soon);
        // Time that goes back is no time.
        assert_eq!(at(&arp.bytes(), 0), soon);
        assert_eq!(at(&arp.bytes(), start + DEFEND_INTERVAL_MS), Ok(defence));
        assert_eq!(at(&arp.bytes(), start + DEFEND_INTERVAL_MS), soon);
    }
}

#[test]
fn both_addresses_share_one_interval_and_the_tag_of_the_conflict_stays() {
    let _shows = shows(&["DC-102", "DC-104", "L2-004"]);
    let mut kept = responder(DEFENDS);
    let tag = Some((0x8100, 0x2005));
    let arp = |own| Arp { tag, ..Arp::request(own, own) };
    let (_, defence) = say_at(&mut kept, &arp(GATEWAYS[0]).bytes(), 1).expect("a defence");
    assert_eq!(defence, Arp { tag, ..announcement(GATEWAYS[0]) }.bytes());
    let error = ArpError::Conflict { address: GATEWAYS[1].into() };
    assert_eq!(say_at(&mut kept, &arp(GATEWAYS[1]).bytes(), 9_000), Err(error));
}

#[test]
fn the_gateway_announces_its_own_addresses_only() {
    let _shows = shows(&["AR-018"]);
    let responder = responder(0);
    let mut out = [0xa5; 64];
    for own in GATEWAYS {
        assert_eq!(responder.announce(own.into(), None, &mut out), Ok(42));
        assert_eq!(out[..42], announcement(own).bytes());
        let tag = Some(Tag { protocol: 0x8100, control: 5 });
        assert_eq!(responder.announce(own.into(), tag, &mut out), Ok(46));
        assert_eq!(out[..46], Arp { tag: Some((0x8100, 5)), ..announcement(own) }.bytes());
    }
    for address in [LEASES[0], STRANGER, NOBODY].map(Ipv4Addr::from) {
        let said = responder.announce(address, None, &mut out);
        assert_refused!(said, ArpError::NotOwned { address });
    }
}

#[test]
fn a_reply_has_the_tag_of_its_request() {
    let _shows = shows(&["L2-004", "DC-104"]);
    for tag in [(0x8100, 5), (0x8100, 0xe000), (0x88a8, 0x1001), (0x8100, 0xffff)] {
        let request = Arp { tag: Some(tag), ..Arp::default() };
        let expected = Arp { tag: Some(tag), ..due(GATEWAYS[0], GUEST_MAC, LEASES[0]) };
        assert_eq!(reply(0, &request), expected.bytes());
    }
}

#[test]
fn a_reply_without_room_is_not_written() {
    let frame = Arp::default().bytes();
    let frame = Frame::parse(&frame).expect("a frame");
    let conflict = Arp::request(GATEWAYS[0], GATEWAYS[0]).bytes();
    let conflict = Frame::parse(&conflict).expect("a frame");
    for room in 0..42 {
        let mut out = vec![0xa5; room];
        let mut kept = responder(DEFENDS);
        for frame in [&frame, &conflict] {
            let said = kept.answer(frame, 0, &mut out);
            assert_refused!(said, ArpError::NoRoom { needed: 42, room });
        }
        assert!(out.iter().all(|byte| *byte == 0xa5), "{room}");
        // The defence was not sent, so it is still due.
        assert_eq!(kept, responder(DEFENDS));
    }
    assert!(matches!(responder(0).answer(&frame, 0, &mut [0; 42]), Ok(Answer::Reply { len: 42 })));
}

/// What is wrong in two ways is refused by the check that comes first.
#[test]
fn checks_come_in_one_order() {
    let _shows = shows(&["DC-101"]);
    let own = GATEWAYS[0];
    let mut arp =
        Arp { destination: OTHER_MAC, form: [0; 6], op: 9, sha: [0; 6], ..Arp::request(own, own) };
    assert_silent(STRICT, &arp, Silence::OtherStation);
    arp.destination = [0xff; 6];
    assert_eq!(say(STRICT, &arp), Err(ArpError::Form { form: [0; 6] }));
    arp.form = Arp::default().form;
    assert_silent(STRICT, &arp, Silence::OtherOperation);
    arp.op = 1;
    assert_eq!(say(STRICT, &arp), Err(ArpError::NoSender));
    arp.sha = GUEST_MAC;
    assert_eq!(say(STRICT, &arp), Err(ArpError::Conflict { address: own.into() }));
    arp.spa = STRANGER;
    arp.tpa = STRANGER;
    assert_silent(STRICT, &arp, Silence::Told);
    arp.tpa = [127, 0, 0, 1];
    assert_eq!(say(STRICT, &arp), Err(ArpError::NotLeased { sender: STRANGER.into() }));
}

#[test]
fn a_gateway_has_addresses_that_a_host_can_have() {
    let config = || Setup(0).arp();
    let new = |config: Config| Responder::new(config);
    for mac in [Mac::ZERO, Mac::BROADCAST, Mac([1, 0, 0, 0, 0, 1])] {
        assert_refused!(new(Config { mac, ..config() }), ConfigError::Mac { mac });
    }
    for address in [NOBODY, [127, 0, 0, 1], [224, 0, 0, 1], [255; 4]].map(Ipv4Addr::from) {
        let owned = [address].into_iter().collect();
        assert_refused!(new(Config { owned, ..config() }), ConfigError::Owned { address });
    }
    let address = Ipv4Addr::from(GATEWAYS[1]);
    let guest = [address].into_iter().collect();
    assert_refused!(new(Config { guest, ..config() }), ConfigError::Shared { address });
}

#[test]
fn arp_seeds_come_out_as_their_manifest_says() {
    for seed in corpus::seeds("arp").expect("a corpus") {
        let broken = arp::check::<Core>(&seed.bytes).broken;
        let got = broken.map_or("accept".to_owned(), |id| id.to_string());
        assert_eq!(got, seed.entry.expect, "{}", seed.name);
        if broken.is_some() {
            evidence::refused(&got);
        }
    }
}

#[test]
fn errors_say_what_and_which_rule() {
    let error = ArpError::Short { len: 27 };
    assert_eq!(error.to_string(), "an ARP packet of 27 bytes, not 28: AR-001");
    let error = ArpError::Conflict { address: GATEWAYS[0].into() };
    assert_eq!(error.to_string(), "somebody uses 169.254.0.1: AR-017");
}

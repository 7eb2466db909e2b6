//! Features, protocol features and ownership (spec §5, §6.1): what is offered, what may be chosen
//! when, and what stays closed until it was.

use vhost_fuzz_core::rule::Rule;
use vhost_fuzz_core::session::{Offer, OfferError, Refusal, Session};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::gate::Negotiated;
use vhost_fuzz_core::vhost_user::request::{Row, row};
use vhost_fuzz_core::vhost_user::{Channel, FrontendRequest as R, Kind, Layout};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::ledger::Token;
use vhost_fuzz_harness::seeds::{Distinct, forms_of};
use vhost_fuzz_harness::session::talk::{Said, Seen, Talk, bare, number, offer, state, vring_fd};

const ACK: u64 = protocol::REPLY_ACK;

/// Requests that need a feature, with the requirement of their row and whether a NACK can tell
/// of it: spec §3, written out.
const GATED: [(u32, u16, bool); 25] = [
    (22, 207, false),
    (23, 111, true),
    (24, 189, false),
    (25, 189, true),
    (26, 247, false),
    (27, 247, true),
    (28, 26, false),
    (29, 26, true),
    (30, 26, false),
    (31, 178, false),
    (32, 178, true),
    (35, 26, true),
    (36, 135, false),
    (37, 135, true),
    (38, 135, true),
    (39, 225, true),
    (40, 225, false),
    (41, 228, false),
    (42, 158, false),
    (43, 158, false),
    (44, 237, false),
    (45, 93, false),
    // Those that only need the offer, of a device that offers nothing else.
    (19, 197, true),
    (20, 199, true),
    (34, 221, true),
];

/// A legal message of a request that asks for an acknowledgement, and its descriptors.
fn legal(code: u32) -> (Vec<u8>, usize) {
    let row = row(Channel::Main, code).expect("a request of the specification");
    let forms = forms_of(Kind::FRONTEND_REQUEST, row, &mut Distinct::default());
    let form = forms.into_iter().find(|form| form.context.layout == Layout::default());
    let mut form = form.expect("a form without conditions");
    form.bytes[4] = 9;
    (form.bytes, form.context.fds)
}

#[test]
fn a_request_waits_for_its_feature() {
    let _shows = shows(&["VU-026"]);
    let bits = ACK | protocol::BACKEND_REQ;
    for (code, rule, has_nack) in GATED {
        let mut talk = Talk::with(Offer { protocol_features: bits, ..offer() });
        talk.negotiate(bits);
        let (bytes, fds) = legal(code);
        let said = talk.bytes(&bytes, fds);
        let refusal = Refusal::Gate { code, rule: Rule::vu(rule) };
        let refused = if has_nack { said.nack() } else { said.closed() };
        assert_refused!(refused, refusal, "request {code}");
        assert_eq!(talk.seen(), [], "request {code}");
    }
}

#[test]
fn protocol_features_wait_for_bit_30_in_the_offer() {
    for (request, rule) in [(R::GET_PROTOCOL_FEATURES, 44), (R::SET_PROTOCOL_FEATURES, 47)] {
        let mut talk = Talk::with(Offer { features: 1 << 32, ..offer() });
        let (bytes, fds) = legal(request.0);
        let refusal = Refusal::Gate { code: request.0, rule: Rule::vu(rule) };
        assert_refused!(talk.bytes(&bytes, fds).closed(), refusal);
    }
}

#[test]
fn postcopy_is_closed_while_regions_come_one_by_one() {
    for (request, has_nack) in
        [(R::POSTCOPY_ADVISE, false), (R::POSTCOPY_LISTEN, true), (R::POSTCOPY_END, false)]
    {
        let mut talk = Talk::having(ACK | protocol::PAGEFAULT | protocol::CONFIGURE_MEM_SLOTS);
        let said = talk.ask(bare(request));
        let refusal = Refusal::Gate { code: request.0, rule: Rule::vu(173) };
        assert_refused!(if has_nack { said.nack() } else { said.closed() }, refusal);
    }
}

#[test]
fn features_are_the_same_whenever_they_are_asked_for() {
    let _shows = shows(&["VU-037", "VU-039"]);
    let mut talk = Talk::new();
    let offered = offer().features;
    assert_eq!(talk.send(bare(R::GET_FEATURES), 0).u64(), offered);
    talk.negotiate(ACK);
    talk.features(Talk::FEATURES);
    talk.run();
    assert_eq!(talk.send(bare(R::GET_FEATURES), 0).u64(), offered);
}

#[test]
fn protocol_features_do_not_wait_for_set_features() {
    let _shows = shows(&["VU-038", "VU-045", "VU-046", "VU-048"]);
    let mut talk = Talk::new();
    let offered = offer().protocol_features;
    assert_eq!(talk.send(bare(R::GET_PROTOCOL_FEATURES), 0).u64(), offered);
    talk.negotiate(ACK);
    assert_eq!(talk.session().negotiated().protocol, ACK);
    // Bit 30 is not set: this is not what they depend on.
    talk.features(1 << 32);
    assert_eq!(talk.send(bare(R::GET_PROTOCOL_FEATURES), 0).u64(), offered);
    talk.ask(number(R::SET_PROTOCOL_FEATURES, ACK | protocol::MQ)).acked();
    assert_eq!(talk.session().negotiated().protocol, ACK | protocol::MQ);
}

#[test]
fn features_that_were_not_offered_are_refused() {
    let mut talk = Talk::ready();
    for bits in [1 << 63, 1 << 63 | Talk::FEATURES, 1 << 5] {
        let refusal = Refusal::FeaturesNotOffered { bits: bits & !Talk::FEATURES };
        assert_refused!(talk.ask(number(R::SET_FEATURES, bits)).nack(), refusal);
    }
    assert_eq!(talk.seen(), []);
    assert_eq!(talk.session().negotiated().virtio, Some(Talk::FEATURES));
}

#[test]
fn protocol_features_that_were_not_offered_are_refused() {
    let mut talk = Talk::ready();
    let before = talk.session().negotiated().protocol;
    let bits = 1 << 40;
    let refusal = Refusal::ProtocolNotOffered { bits };
    assert_refused!(talk.ask(number(R::SET_PROTOCOL_FEATURES, bits | ACK)).nack(), refusal);
    assert_eq!(talk.session().negotiated().protocol, before);
}

#[test]
fn features_without_bit_30_enable_all_rings_at_once() {
    let _shows = shows(&["VU-042"]);
    let mut talk = Talk::new();
    talk.features(1 << 32);
    assert!(talk.session().rings().iter().all(|ring| ring.state().enabled));
}

#[test]
fn features_with_bit_30_leave_rings_as_they_are() {
    let _shows = shows(&["VU-043"]);
    let mut talk = Talk::new();
    talk.send(state(R::SET_VRING_ENABLE, 1, 1), 0).silent();
    talk.features(Talk::FEATURES);
    let enabled: Vec<_> = talk.session().rings().iter().map(|ring| ring.state().enabled).collect();
    assert_eq!(enabled, [false, true, false, false]);
}

#[test]
fn bit_30_is_not_a_feature_that_a_driver_sees() {
    let _shows = shows(&["VU-051"]);
    let mut talk = Talk::new();
    talk.features(virtio::PROTOCOL_FEATURES | virtio::EVENT_IDX);
    assert_eq!(talk.session().negotiated().driver_features(), virtio::EVENT_IDX);
}

#[test]
fn the_owner_marks_the_session_and_orders_nothing() {
    let _shows = shows(&["VU-053", "VU-054"]);
    let mut talk = Talk::new();
    assert_eq!(talk.send(bare(R::GET_FEATURES), 0).u64(), offer().features);
    assert!(talk.send(bare(R::GET_PROTOCOL_FEATURES), 0).u64() != 0);
    talk.negotiate(ACK | protocol::BACKEND_REQ | protocol::CONFIGURE_MEM_SLOTS);
    assert_eq!(talk.send(bare(R::GET_QUEUE_NUM), 0).u64(), 4);
    assert_eq!(talk.send(bare(R::GET_MAX_MEM_SLOTS), 0).u64(), 509);
    talk.ask_with(bare(R::SET_BACKEND_REQ_FD), 1).acked();
    assert!(talk.session().has_channel() && !talk.session().is_owned());
    talk.ask(bare(R::SET_OWNER)).acked();
    assert!(talk.session().is_owned());
    talk.ask(bare(R::SET_OWNER)).acked();
    talk.disconnect();
    assert!(!talk.session().is_owned());
}

#[test]
fn reset_owner_disables_rings_and_forgets_nothing() {
    let _shows = shows(&["VU-056", "VU-057"]);
    let mut talk = Talk::ready();
    talk.ask(bare(R::SET_OWNER)).acked();
    talk.run();
    let before = *talk.session().negotiated();
    talk.ask(bare(R::RESET_OWNER)).acked();
    assert_eq!(talk.seen(), []);
    let state = talk.ring(0).state();
    assert!(state.started && !state.enabled);
    assert_eq!(*talk.session().negotiated(), before);
    assert!(talk.session().is_owned());
    assert_eq!(talk.session().memory().slots().len(), 2);
    assert!(talk.ring(0).kick().fd().is_some() && talk.ring(0).addr().is_some());
}

#[test]
fn the_ends_of_a_feature_come_together_or_not_at_all() {
    let _shows = shows(&["VU-096", "VU-216"]);
    let skip = protocol::GET_VRING_BASE_SKIP_DRAIN;
    let needed = protocol::GET_VRING_BASE_INFLIGHT | protocol::INFLIGHT_SHMFD;
    let mut talk = Talk::ready();
    for bits in [skip, skip | protocol::INFLIGHT_SHMFD, skip | protocol::GET_VRING_BASE_INFLIGHT] {
        let bits = bits | ACK;
        let refusal = Refusal::SkipDrainAlone { bits };
        assert_refused!(talk.ask(number(R::SET_PROTOCOL_FEATURES, bits)).nack(), refusal);
    }
    talk.ask(number(R::SET_PROTOCOL_FEATURES, skip | needed | ACK)).acked();
    let inband = protocol::INBAND_NOTIFICATIONS | protocol::BACKEND_REQ | ACK;
    let mut talk = Talk::having(inband);
    talk.ask(number(R::SET_PROTOCOL_FEATURES, inband)).acked();
    assert!(talk.session().has_inband_notifications());
}

#[test]
fn in_band_notifications_alone_end_the_connection() {
    for bits in [0, ACK, protocol::BACKEND_REQ] {
        let bits = bits | protocol::INBAND_NOTIFICATIONS;
        let all = offer().protocol_features | protocol::INBAND_NOTIFICATIONS;
        let mut talk = Talk::with(Offer { protocol_features: all, ..offer() });
        talk.negotiate(ACK);
        let said = talk.ask(number(R::SET_PROTOCOL_FEATURES, bits));
        assert_refused!(said.closed(), Refusal::InbandAlone { bits });
        assert_eq!(talk.session().negotiated().protocol, ACK);
    }
}

#[test]
fn no_device_offers_what_it_could_not_accept() {
    let new = |offer: Offer| Session::<Token, Token>::new(offer).map(drop);
    let with = |protocol_features| Offer { protocol_features, ..offer() };
    let bits = protocol::INBAND_NOTIFICATIONS | ACK;
    assert_refused!(new(with(bits)), OfferError::InbandAlone { bits });
    let bits = protocol::GET_VRING_BASE_SKIP_DRAIN | protocol::INFLIGHT_SHMFD;
    assert_refused!(new(with(bits)), OfferError::SkipDrainAlone { bits });
    let crypto = Offer { device: Offer::CRYPTO, ..with(ACK) };
    assert_refused!(new(crypto), OfferError::CryptoWithoutSessions);
    let crypto = Offer { device: Offer::CRYPTO, ..with(protocol::CRYPTO_SESSION) };
    assert_eq!(new(crypto), Ok(()));
    for queues in [0, 257] {
        assert_refused!(new(Offer { queues, ..offer() }), OfferError::Queues { queues });
    }
    for size in [0, 32769] {
        let offer = Offer { max_queue_size: size, ..offer() };
        assert_refused!(new(offer), OfferError::QueueSize { size });
    }
    for limit in [255, 4085] {
        let offer = Offer { config_limit: limit, ..offer() };
        assert_refused!(new(offer), OfferError::ConfigLimit { limit });
    }
    let odd = Offer { page_size: 4095, ..offer() };
    assert_refused!(new(odd), OfferError::PageSize { size: 4095 });
}

#[test]
fn what_is_negotiated_again_changes_nothing() {
    let _shows = shows(&["VU-256"]);
    let mut talk = Talk::ready();
    talk.run();
    let bits = talk.session().negotiated().protocol;
    let before = format!("{:?}", talk.session().rings());
    for _ in 0..2 {
        assert_eq!(talk.send(bare(R::GET_FEATURES), 0).u64(), offer().features);
        let offered = offer().protocol_features;
        assert_eq!(talk.send(bare(R::GET_PROTOCOL_FEATURES), 0).u64(), offered);
        talk.ask(number(R::SET_PROTOCOL_FEATURES, bits)).acked();
        talk.ask(number(R::SET_FEATURES, Talk::FEATURES)).acked();
    }
    assert_eq!(talk.session().negotiated().protocol, bits);
    assert_eq!(format!("{:?}", talk.session().rings()), before);
}

#[test]
fn an_acknowledgement_of_protocol_features_follows_what_was_negotiated_before() {
    let _shows = shows(&["VU-027", "VU-032"]);
    let mut talk = Talk::new();
    talk.ask(number(R::SET_PROTOCOL_FEATURES, ACK)).silent();
    talk.ask(number(R::SET_PROTOCOL_FEATURES, 0)).acked();
    talk.ask(number(R::SET_PROTOCOL_FEATURES, 0)).silent();
}

#[test]
fn only_logging_may_change_while_a_ring_is_started() {
    let _shows = shows(&["DC-016"]);
    let mut talk = Talk::ready();
    talk.run();
    for bit in [virtio::EVENT_IDX, 1 << 32, virtio::PROTOCOL_FEATURES, virtio::RING_PACKED] {
        let features = Talk::FEATURES ^ bit;
        let refusal = Refusal::FeaturesWhileStarted { bits: bit };
        assert_refused!(talk.ask(number(R::SET_FEATURES, features)).nack(), refusal);
        assert_eq!(talk.session().negotiated().virtio, Some(Talk::FEATURES));
    }
    let logged = Talk::FEATURES | virtio::LOG_ALL;
    talk.ask(number(R::SET_FEATURES, logged)).acked();
    assert!(talk.session().logs_writes());
    talk.ask(number(R::SET_FEATURES, Talk::FEATURES)).acked();
    assert!(!talk.session().logs_writes());
    assert_eq!(talk.seen(), [Seen::Features(logged), Seen::Features(Talk::FEATURES)]);
    // With the ring stopped everything may change again.
    assert_eq!(talk.send(state(R::GET_VRING_BASE, 0, 0), 0).state(), (0, 0));
    talk.ask(number(R::SET_FEATURES, Talk::FEATURES | virtio::RING_PACKED)).acked();
}

#[test]
fn before_the_first_set_features_a_started_ring_has_none() {
    let mut talk = Talk::new();
    talk.negotiate(ACK);
    talk.start(0);
    let refusal = Refusal::FeaturesWhileStarted { bits: Talk::FEATURES };
    assert_refused!(talk.ask(number(R::SET_FEATURES, Talk::FEATURES)).nack(), refusal);
    talk.ask(number(R::SET_FEATURES, virtio::LOG_ALL)).acked();
    // Without bit 30 it has enabled the rings, started or not (VU-042).
    assert!(talk.session().rings().iter().all(|ring| ring.state().enabled));
}

#[test]
fn several_queues_share_a_connection() {
    let _shows = shows(&["VU-114", "VU-118"]);
    let mut talk = Talk::with(Offer { queues: 256, queue_num: 128, ..offer() });
    talk.negotiate(ACK | protocol::MQ);
    assert_eq!(talk.ask(bare(R::GET_QUEUE_NUM)).u64(), 128);
    for index in [0, 1, 255] {
        talk.ask_with(vring_fd(R::SET_VRING_KICK, index), 1).acked();
        assert!(talk.ring(index.into()).state().started);
    }
    assert_eq!(talk.seen(), [0, 1, 255].map(Seen::StartRing));
}

/// Requests and the protocol bit that opens each: spec §3, written out in numbers.
const BITS: [(u32, u32); 25] = [
    (19, 2),
    (20, 4),
    (21, 5),
    (23, 6),
    (24, 9),
    (25, 9),
    (26, 7),
    (27, 7),
    (28, 8),
    (29, 8),
    (30, 8),
    (31, 12),
    (32, 12),
    (34, 13),
    (35, 14),
    (36, 15),
    (37, 15),
    (38, 15),
    (39, 16),
    (40, 16),
    (41, 18),
    (42, 19),
    (43, 19),
    (44, 22),
    (45, 23),
];

/// Those for which the offer is enough.
const BY_OFFER: [u32; 4] = [19, 20, 21, 34];

/// Whether a request is kept out by its gate in a session with these protocol features.
fn is_kept_out(code: u32, offered: u64, negotiated: u64) -> bool {
    let mut talk = Talk::with(Offer { protocol_features: offered, ..offer() });
    talk.negotiate(negotiated);
    let (bytes, fds) = legal(code);
    let said = talk.bytes(&bytes, fds);
    let by_gate =
        |refusal: &Refusal| matches!(refusal, Refusal::Gate { code: at, .. } if *at == code);
    match &said {
        Said::Closed(refusal) | Said::Reply { refusal: Some(refusal), .. } => by_gate(refusal),
        _ => false,
    }
}

#[test]
fn each_request_is_opened_by_its_own_bit_and_by_no_other() {
    let _shows = shows(&["VU-026", "VU-201"]);
    let without = Negotiated { virtio: Some(u64::MAX), offered_virtio: u64::MAX, ..<_>::default() };
    let closed = Row::all(Channel::Main).iter().filter(|row| !row.gate.lets_in(&without));
    assert!(closed.map(|row| row.code).eq(BITS.map(|(code, _)| code)), "all that need a bit");
    // All but bit 17, which lays regions out in another way.
    let all: u64 = 0x00ff_ffff & !(1 << 17);
    for (code, bit) in BITS {
        let own = 1_u64 << bit;
        let (needs, needed_by) = match bit {
            14 => (1 << 5 | 1 << 3, 0),   // VU-216
            23 => (1 << 20 | 1 << 12, 0), // VU-096
            5 => (0, 1 << 14),
            12 => (0, 1 << 23),
            _ => (0, 0),
        };
        let others = all & !(own | needed_by);
        assert!(!is_kept_out(code, own | needs, own | needs), "request {code} with its bit alone");
        assert!(is_kept_out(code, others, others), "request {code} with all others");
        let by_offer = BY_OFFER.contains(&code);
        assert_eq!(is_kept_out(code, all, others), !by_offer, "request {code} offered only");
    }
    assert!(is_kept_out(22, all, all), "without IOMMU");
}

/// Devices with a fixed number of rings do not offer MQ; their rings are all there.
#[test]
fn rings_above_the_first_do_not_wait_for_mq() {
    let _shows = shows(&["VU-109"]);
    let mut talk = Talk::with(Offer { protocol_features: ACK, ..offer() });
    talk.negotiate(ACK);
    talk.features(Talk::FEATURES);
    talk.give_memory();
    for index in [1, 3, 2, 0] {
        talk.configure(index);
        talk.ask(state(R::SET_VRING_ENABLE, index, 1)).acked();
        talk.start(u8::try_from(index).expect("four rings"));
        let state = talk.ring(index).state();
        assert!(state.started && state.enabled, "ring {index}");
        assert!(talk.session().bind(index).is_ok(), "ring {index}");
    }
    talk.ask(state(R::SET_VRING_ENABLE, 3, 0)).acked();
    assert!(!talk.ring(3).state().enabled);
}

/// The front-end of a guest that was migrated knows the features: it sets them and asks nothing.
#[test]
fn acknowledgements_are_due_although_nobody_asked_for_the_offer() {
    let _shows = shows(&["VU-032", "VU-046"]);
    let mut talk = Talk::new();
    talk.send(number(R::SET_PROTOCOL_FEATURES, offer().protocol_features), 0).silent();
    talk.ask(number(R::SET_FEATURES, Talk::FEATURES)).acked();
    talk.ask(state(R::SET_VRING_NUM, 0, 16)).acked();
    talk.ask_with(vring_fd(R::SET_VRING_KICK, 0), 1).acked();
    assert_refused!(talk.ask(number(R::SET_STATUS, 256)).nack(), Refusal::Status { status: 256 });
    // A second connection begins without them, whatever was asked in the first.
    assert!(talk.send(bare(R::GET_PROTOCOL_FEATURES), 0).u64() & ACK != 0);
    talk.disconnect();
    talk.ask(number(R::SET_FEATURES, Talk::FEATURES)).silent();
    talk.send(number(R::SET_PROTOCOL_FEATURES, ACK), 0).silent();
    talk.ask(number(R::SET_FEATURES, Talk::FEATURES)).acked();
}

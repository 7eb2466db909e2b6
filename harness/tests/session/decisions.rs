//! What this project decided where the specification leaves a choice (`spec/decisions.md`), as far
//! as no other test of the session shows it.

use vhost_fuzz_core::memory::{MemoryError, PlaceError, ring::Part};
use vhost_fuzz_core::rule::Rule;
use vhost_fuzz_core::session::{BindError, Offer, Refusal};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{Config, Inflight, Region, Transfer};
use vhost_fuzz_core::vhost_user::{FrontendRequest as R, Message, Payload};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::session::talk::{
    Talk, USER, address, bare, mem_reg, number, offer, region, state, vring_addr,
};

const SLOTS: u64 = protocol::REPLY_ACK | protocol::CONFIGURE_MEM_SLOTS;

/// HZ-51: the region was refused, so the ring cannot be bound; the addresses were only kept.
#[test]
fn an_address_without_memory_is_kept_and_cannot_be_bound() {
    let _shows = shows(&["DC-037"]);
    let mut talk = Talk::having(SLOTS);
    let wraps = Region { user_address: USER, size: u64::MAX - USER + 1, ..region(0) };
    let refusal = Refusal::Memory(MemoryError::UserAddressWraps {
        user_address: USER,
        size: u64::MAX - USER + 1,
    });
    assert_refused!(talk.ask_with(mem_reg(R::ADD_MEM_REG, wraps), 1).nack(), refusal);
    talk.ask(state(R::SET_VRING_NUM, 0, 16)).acked();
    talk.ask(address(0)).acked();
    talk.start(0);
    let missing = PlaceError::Unmapped { part: Part::Descriptor, address: USER };
    assert_eq!(talk.session().bind(0).map(drop), Err(BindError::Place(missing)));
    // Memory that comes later is enough.
    talk.ask_with(mem_reg(R::ADD_MEM_REG, region(0)), 1).acked();
    let bound = talk.session().bind(0).expect("memory is there");
    assert_eq!(bound.placement.descriptor.address, vring_addr(0).descriptor);
}

/// Requests of which it counts that their feature was offered.
#[test]
fn of_some_features_it_counts_that_they_were_offered() {
    let _shows = shows(&["DC-038"]);
    let requests = [
        (number(R::SEND_RARP, 0), 0, protocol::RARP, 197),
        (number(R::NET_SET_MTU, 1500), 0, protocol::MTU, 199),
        (bare(R::SET_BACKEND_REQ_FD), 1, protocol::BACKEND_REQ, 201),
        (bare(R::RESET_DEVICE), 0, protocol::RESET_DEVICE, 221),
    ];
    for (message, fds, bit, rule) in requests {
        let device = |features, protocol_features| {
            let offer = Offer { features, protocol_features, ..offer() };
            Talk::with(offer)
        };
        let without_mtu = virtio::PROTOCOL_FEATURES;
        device(without_mtu, bit).send(message, fds).silent();
        let closed = Refusal::Gate { code: message.code, rule: Rule::vu(rule) };
        assert_refused!(device(without_mtu, 0).send(message, fds).closed(), closed);
        // Without bit 30 there are no protocol features (spec §6.1).
        assert_refused!(device(0, bit).send(message, fds).closed(), closed);
    }
    let mut talk = Talk::with(Offer { protocol_features: 0, ..offer() });
    assert_eq!(talk.send(bare(R::GET_QUEUE_NUM), 0).u64(), offer().queue_num);
}

/// A refusal takes the form that the sender waits for; where there is none, the connection ends.
#[test]
fn a_refusal_takes_the_form_of_the_reply() {
    let _shows = shows(&["DC-039"]);
    let area = Inflight { mmap_size: 0, mmap_offset: 0, num_queues: 0, queue_size: 0, padding: 0 };
    let window = Config { offset: 0, size: 4085, flags: 0, payload: &[0; 4085] };
    let transfer = Transfer { direction: 2, phase: 0 };
    let forms: [(Message<'_>, usize, &[u8]); 4] = [
        (Message::frontend(R::GET_INFLIGHT_FD, Payload::Inflight(area)), 0, &[0; 24]),
        (Message::frontend(R::GET_CONFIG, Payload::Config(window)), 0, &[]),
        (
            Message::frontend(R::SET_DEVICE_STATE_FD, Payload::Transfer(transfer)),
            1,
            &0x101_u64.to_ne_bytes(),
        ),
        (bare(R::CHECK_DEVICE_STATE), 0, &1_u64.to_ne_bytes()),
    ];
    for (message, fds, form) in forms {
        let refused = Talk::ready().send(message, fds).failure(form);
        assert!(refused.is_err(), "{message} was refused, not {refused:?}");
        // Behind a closed gate nobody knows the form.
        let closed = Talk::having(protocol::REPLY_ACK).ask_with(message, fds).closed();
        assert!(matches!(closed, Err(Refusal::Gate { .. })), "{message}: {closed:?}");
    }
    // An acknowledgement says no when it is due; else the connection ends, as it does for a reply
    // that cannot say no.
    let num = state(R::SET_VRING_NUM, 0, 0);
    assert!(Talk::ready().ask(num).nack().is_err());
    assert!(Talk::ready().send(num, 0).closed().is_err());
    assert!(Talk::ready().ask(state(R::GET_VRING_BASE, 99, 0)).closed().is_err());
}

#[test]
fn postcopy_is_refused_with_memory_slots() {
    let _shows = shows(&["DC-040"]);
    for request in [R::POSTCOPY_ADVISE, R::POSTCOPY_LISTEN, R::POSTCOPY_END] {
        let mut talk = Talk::having(protocol::PAGEFAULT | protocol::CONFIGURE_MEM_SLOTS);
        let refusal = Refusal::Gate { code: request.0, rule: Rule::vu(173) };
        assert_refused!(talk.send(bare(request), 0).closed(), refusal);
    }
}

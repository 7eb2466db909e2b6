//! Requests that belong together. A phrase does not care what came before it: a careful
//! front-end leaves out what may not come now, and another one finds out.

use proptest::bits;
use proptest::prelude::*;

use vhost_fuzz_core::vhost_user::FrontendRequest as R;
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};

use super::request::{
    Request, all, features, iotlb, number, of, protocol_features, request, set_ring, some, table,
    table_ack,
};
use crate::message::OwnedMessage;

/// Requests in their order.
pub type Phrase = BoxedStrategy<Vec<OwnedMessage>>;

/// Most requests of a phrase.
pub const MOST: usize = 12;

/// Protocol features without those that change what regions and addresses are.
const USUAL: u64 = protocol::ALL & !(protocol::XEN_MMAP | protocol::GPA_ADDRESSES);

/// Protocol features with postcopy: bit 15 excludes it (VU-173).
const POSTCOPY: u64 = protocol::ALL & !protocol::CONFIGURE_MEM_SLOTS;

/// The requests of these ids.
fn ids(ids: &[R]) -> Vec<Request> {
    ids.iter().map(|id| of(*id)).collect()
}

fn negotiate(bits: u64) -> Request {
    protocol_features(Just(bits).boxed())
}

fn some_protocol() -> Request {
    protocol_features(
        prop_oneof![
            4 => Just(USUAL),
            2 => bits::u64::masked(protocol::ALL),
            1 => Just(protocol::ALL),
        ]
        .boxed(),
    )
}

/// How front-ends begin (spec §6.1).
pub fn negotiation() -> Phrase {
    let attach = [1, 15, 3, 1].map(R);
    let mut vmm = ids(&attach);
    vmm.insert(2, some_protocol());
    vmm.extend(ids(&[R::GET_QUEUE_NUM, R::GET_MAX_MEM_SLOTS, R::SET_BACKEND_REQ_FD]));
    vmm.push(features());
    let mut user = ids(&[R::SET_OWNER, R::GET_FEATURES, R::GET_PROTOCOL_FEATURES]);
    user.extend([some_protocol(), of(R::SET_VRING_CALL), features()]);
    let mut early = ids(&[R::SET_OWNER, R::GET_FEATURES]);
    early.extend([features(), of(R::GET_PROTOCOL_FEATURES), some_protocol()]);
    early.extend(ids(&[R::GET_CONFIG, R::SET_VRING_ENABLE]));
    let any = all(vec![some_protocol(), features(), of(R::SET_OWNER), of(R::SET_VRING_ENABLE)]);
    prop_oneof![all(user), all(early), all(vmm), any.prop_shuffle()].boxed()
}

/// Requests about one ring.
fn about_ring(requests: BoxedStrategy<Vec<OwnedMessage>>) -> Phrase {
    (0..4_u8, requests)
        .prop_map(|(ring, mut messages)| {
            messages.iter_mut().for_each(|message| set_ring(message, ring));
            messages
        })
        .boxed()
}

/// A ring is set up, in any order.
pub fn ring() -> Phrase {
    let set_up = [8, 10, 9, 13, 14, 18].map(R);
    let usual = all(ids(&[8, 10, 9, 12, 13, 14, 18].map(R)));
    let shuffled = all(ids(&set_up)).prop_shuffle().prop_map(Vec::from);
    let kick = of(R::SET_VRING_KICK);
    let before = (shuffled, kick).prop_map(|(mut messages, kick)| {
        messages.push(kick);
        messages
    });
    let any = all(ids(&[8, 10, 9, 12, 13, 14, 18, 23].map(R))).prop_shuffle();
    about_ring(prop_oneof![usual, before, any].boxed())
}

/// A started ring is changed, or stopped and looked at again.
fn ring_changes() -> Phrase {
    let changes = all(ids(&[12, 13, 14, 18, 9, 18].map(R))).prop_shuffle();
    let again = all(ids(&[R::GET_VRING_BASE, R::SET_VRING_BASE, R::SET_VRING_KICK]));
    about_ring(prop_oneof![changes, again].boxed())
}

/// Rings are stopped, with or without a drain.
pub fn stop() -> Phrase {
    let stops = prop_oneof![
        3 => of(R::GET_VRING_BASE),
        1 => of(R::GET_VRING_BASE_SKIP_DRAIN),
        1 => of(R::SET_VRING_ENABLE),
    ];
    some(stops.boxed(), 6)
}

fn memory() -> Phrase {
    let slots = ids(&[R::GET_MAX_MEM_SLOTS, R::ADD_MEM_REG, R::ADD_MEM_REG, R::REM_MEM_REG]);
    prop_oneof![some(table(), 2), all([vec![negotiate(USUAL)], slots].concat())].boxed()
}

fn logging() -> Phrase {
    let logged = virtio::LOG_ALL | virtio::PROTOCOL_FEATURES;
    let mut requests = ids(&[R::SET_LOG_BASE, R::SET_LOG_FD]);
    requests.push(number(R::SET_FEATURES, Just(logged)));
    requests.extend(ids(&[R::SET_VRING_ADDR, R::SET_LOG_BASE]));
    let plain = [protocol_features(Just(USUAL & !protocol::LOG_SHMFD).boxed())];
    let plain = [plain.to_vec(), requests.clone()].concat();
    let numbers = number(R::SET_LOG_BASE, crate::number::u64());
    prop_oneof![4 => all(requests), 1 => all(plain), 1 => some(numbers, 1)].boxed()
}

/// Live migration by postcopy (spec §6.10).
pub fn postcopy() -> Phrase {
    let steps = || vec![negotiate(POSTCOPY), of(R::POSTCOPY_ADVISE), of(R::POSTCOPY_LISTEN)];
    let whole = [steps(), vec![table(), table_ack(), of(R::POSTCOPY_END)]].concat();
    let twice = [vec![table(), table_ack()], vec![table(), table_ack()]].concat();
    let twice = [steps(), twice, vec![of(R::POSTCOPY_END)]].concat();
    let none = [steps(), vec![of(R::POSTCOPY_END)]].concat();
    let cut = [steps(), vec![table()]].concat();
    prop_oneof![4 => all(whole), 2 => all(twice), 1 => all(none), 1 => all(cut)].boxed()
}

/// Translations come and go, also while a ring is drained (spec §6.12).
pub fn translations() -> Phrase {
    let bits = virtio::IOMMU_PLATFORM | virtio::PROTOCOL_FEATURES;
    let begin = vec![number(R::SET_FEATURES, Just(bits)), table()];
    let drained = about_ring_0(vec![
        of(R::SET_VRING_KICK),
        iotlb(2..=2),
        of(R::GET_VRING_BASE),
        iotlb(2..=2),
        of(R::SET_VRING_KICK),
        iotlb(3..=3),
    ]);
    all([begin, drained].concat())
}

/// Kicks in messages.
fn inband() -> Phrase {
    let kicks = ids(&[R::VRING_KICK, R::VRING_KICK, R::SET_VRING_KICK, R::VRING_KICK]);
    all([vec![negotiate(USUAL)], about_ring_0(kicks)].concat())
}

/// Requests about the first ring.
fn about_ring_0(requests: Vec<Request>) -> Vec<Request> {
    let to_0 = |mut message: OwnedMessage| {
        set_ring(&mut message, 0);
        message
    };
    requests.into_iter().map(|request| request.prop_map(to_0).boxed()).collect()
}

/// All phrases with their weights, the simplest first.
#[must_use]
pub fn phrases() -> Vec<(u32, Phrase)> {
    let list = |list: &[u32]| all(list.iter().map(|id| of(R(*id))).collect());
    let one = request().prop_map(|message| vec![message]).boxed();
    vec![
        (6, one),
        (4, negotiation()),
        (6, ring()),
        (3, ring_changes()),
        (4, stop()),
        (3, memory()),
        (2, logging()),
        (2, postcopy()),
        (3, translations()),
        (2, inband()),
        (2, list(&[24, 25, 24])),     // configuration space
        (2, list(&[31, 32, 31])),     // in-flight area
        (2, list(&[42, 43, 42, 43])), // device state
        (1, list(&[26, 27])),         // crypto sessions
        (1, list(&[40, 39, 40])),     // device status
        (1, list(&[19, 20, 33, 41, 44, 21])),
        (1, list(&[34])),
        (1, list(&[4])),
    ]
}

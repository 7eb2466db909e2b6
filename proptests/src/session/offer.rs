//! Devices.

use proptest::bits;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_harness::session::offer::{ScriptOffer, WRITABLE_LIMIT};

use crate::choice::Choice;
use crate::number::{Boundary, u8, u16, u32, u64};

/// Any offer; most are the default one or near it. Shrinks to the default.
pub fn offer() -> impl Strategy<Value = ScriptOffer> + Clone {
    Choice::new([
        (8, Just(ScriptOffer::default()).boxed()),
        (3, with_protocol(Just(protocol::ALL)).boxed()),
        (2, with_protocol(bits::u64::masked(protocol::ALL)).boxed()),
        (2, small().boxed()),
        (2, odd().boxed()),
    ])
}

/// The default device with other protocol features.
fn with_protocol(bits: impl Strategy<Value = u64> + Clone) -> impl Strategy<Value = ScriptOffer> {
    bits.prop_map(|protocol_features| ScriptOffer { protocol_features, ..ScriptOffer::default() })
}

/// A device with little of everything, so that limits are reached.
fn small() -> impl Strategy<Value = ScriptOffer> + Clone {
    (1..=2_u16, 1..=4_u16, 1..=3_u16).prop_map(|(queues, max_queue_size, max_mem_slots)| {
        ScriptOffer {
            queues,
            max_queue_size,
            max_mem_slots,
            config_len: 8,
            config_limit: 256,
            config_writable: vec![(2, 4), (6, 8)],
            ..ScriptOffer::default()
        }
    })
}

/// A device that nobody builds.
fn odd() -> impl Strategy<Value = ScriptOffer> + Clone {
    let features = prop_oneof![
        bits::u64::masked(ScriptOffer::default().features),
        bits::u64::masked(u64::MAX).prop_map(|bits| bits | virtio::PROTOCOL_FEATURES),
    ];
    let sizes = (
        Boundary::new(1..=256),
        u64(),
        Boundary::new(1..=32768),
        Boundary::new(1..=509),
        select(vec![4096, 16384, 65536_u64]),
    );
    let config = (
        Boundary::new(0..=0x1_0000),
        Boundary::new(256..=4084),
        vec((u16(), u16()), 0..=WRITABLE_LIMIT),
    );
    let shmem = vec((u8(), u32()), 0..=8);
    (select(vec![1, 2, 20_u32]), features, u64(), sizes, config, shmem).prop_map(
        |(device, features, protocol_features, sizes, config, shmem)| {
            let (queues, queue_num, max_queue_size, max_mem_slots, page_size) = sizes;
            let (config_len, config_limit, writable) = config;
            let narrow = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
            let word = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            let offer = ScriptOffer {
                device,
                features,
                protocol_features,
                queues: narrow(queues),
                queue_num,
                max_queue_size: narrow(max_queue_size),
                max_mem_slots: narrow(max_mem_slots),
                config_len: word(config_len),
                config_limit: word(config_limit),
                config_writable: writable
                    .into_iter()
                    .map(|(start, end)| (start.into(), end.into()))
                    .collect(),
                page_size,
                shmem: shmem
                    .into_iter()
                    .map(|(id, pages)| (id, u64::from(pages) * page_size))
                    .collect(),
            };
            // As a script has it: what no device could have became something that one could.
            ScriptOffer::decode(&offer.encode())
        },
    )
}

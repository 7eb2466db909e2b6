//! What the front-end sends, against the model of a strict one: random sessions near the border
//! of the legal.

use std::collections::BTreeSet;

use vhost_fuzz_core::frontend::SendError;
use vhost_fuzz_core::vhost_user::features::protocol;
use vhost_fuzz_core::vhost_user::request::Row;
use vhost_fuzz_core::vhost_user::{Channel, Flags, FrontendRequest as R, Kind, Message, Payload};
use vhost_fuzz_harness::oracle::id;
use vhost_fuzz_harness::seeds::{Random, forms_of};
use vhost_fuzz_model::Verdict;
use vhost_fuzz_model::frontend::sending::Sender;

use crate::frontend::peer::*;

/// Small numbers that meet each other, in place of random ones.
fn tame(rng: &mut fastrand::Rng, code: u32, body: &mut [u8]) {
    let mut put = |at: usize, value: u64, width: usize| {
        if let Some(field) = body.get_mut(at..at + width) {
            field.copy_from_slice(&value.to_ne_bytes()[..width]);
        }
    };
    let pages = |rng: &mut fastrand::Rng| rng.u64(..12) * PAGE;
    match R(code) {
        R::SET_FEATURES => {
            let bit = 1 << rng.u8(..64);
            put(0, if rng.bool() { FEATURES | 1 << 33 | 1 << 34 } else { FEATURES ^ bit }, 8);
        }
        R::SET_PROTOCOL_FEATURES => {
            let most = protocol::ALL & !(1 << rng.u8(..24)) & !protocol::XEN_MMAP;
            put(0, if rng.u8(..4) > 0 { most } else { rng.u64(..) }, 8);
        }
        R::SET_MEM_TABLE => {
            for at in (8..8 + 8 * 32).step_by(32) {
                let guest = pages(rng) * 16;
                put(at, guest, 8);
                put(at + 8, (1 + rng.u64(..20)) * PAGE, 8);
                put(at + 16, if rng.u8(..4) > 0 { guest } else { pages(rng) * 16 }, 8);
                put(at + 24, 0, 8);
            }
        }
        R::ADD_MEM_REG | R::REM_MEM_REG => {
            let guest = pages(rng) * 16;
            put(8, guest, 8);
            put(16, rng.u64(..4) * PAGE, 8);
            put(24, if rng.u8(..4) > 0 { guest } else { pages(rng) }, 8);
            put(32, 0, 8);
        }
        R::SET_LOG_BASE => {
            put(0, rng.u64(..40), 8);
            put(8, rng.u64(..8) / 7 * 100, 8);
        }
        R::SET_VRING_ADDR => {
            put(0, rng.u64(..5), 4);
            put(4, rng.u64(..2), 4);
            for at in [8, 16, 24, 32] {
                put(at, pages(rng) * 8, 8);
            }
        }
        R::IOTLB_MSG => {
            put(0, pages(rng), 8);
            put(8, pages(rng), 8);
            put(16, pages(rng) * 8, 8);
            put(24, rng.u64(..5), 1);
            put(25, 1 + rng.u64(..4), 1);
        }
        R::SET_VRING_NUM | R::SET_VRING_BASE => {
            put(0, rng.u64(..6), 4);
            put(4, [0, 1, 3, 256, 0x8000, 0x1_0000, 0x8000_8000][rng.usize(..7)], 4);
        }
        R::SET_VRING_KICK | R::SET_VRING_CALL | R::SET_VRING_ERR => put(0, rng.u64(..6), 1),
        R::GET_SHARED_OBJECT => (0..16).for_each(|at| put(at, 7, 1)),
        _ => {
            // Ring and number of all others; nothing else minds.
            if rng.bool() && matches!(code, 11 | 18 | 23 | 35 | 45) {
                put(0, rng.u64(..6), 4);
                put(4, rng.u64(..3), 4);
            }
        }
    }
}

fn random_request(rng: &mut fastrand::Rng) -> (Vec<u8>, usize) {
    let rows = Row::all(Channel::Main);
    let row = &rows[rng.usize(..rows.len())];
    let forms = forms_of(Kind::FRONTEND_REQUEST, row, &mut Random(rng));
    let form = &forms[rng.usize(..forms.len())];
    let (mut bytes, mut fds) = (form.bytes.clone(), form.context.fds);
    if rng.u8(..6) == 0 {
        bytes[4] = Flags::NEED_REPLY.0.to_ne_bytes()[0];
    }
    if rng.u8(..10) > 0 {
        tame(rng, row.code, &mut bytes[12..]);
    }
    if rng.u8(..20) == 0 {
        fds = rng.usize(..3);
    }
    (bytes, fds)
}

/// One session; adds the rules of what is refused.
fn session(rng: &mut fastrand::Rng, seen: &mut BTreeSet<String>) {
    let mut peer = Peer::fresh();
    let offered = FEATURES | 1 << 33 | 1 << 34;
    peer.learns(R::GET_FEATURES, offered);
    peer.learns(R::GET_PROTOCOL_FEATURES, protocol::ALL);
    let exported = if rng.bool() { vec![[7; 16]] } else { Vec::new() };
    exported.iter().for_each(|uuid| peer.objects.add(ME, *uuid).expect("room"));
    let mut model = Sender::new(QUEUES.into(), 8, offered, protocol::ALL, exported);
    let skips = [protocol::XEN_MMAP, protocol::GPA_ADDRESSES, protocol::CONFIGURE_MEM_SLOTS];
    let left_out: u64 = skips.iter().skip(rng.usize(..4)).sum();
    let most = protocol::ALL & !left_out & !protocol::XEN_MMAP;
    for (request, value) in [(R::SET_PROTOCOL_FEATURES, most), (R::SET_FEATURES, FEATURES)] {
        let message = Message::frontend(request, Payload::U64(value));
        assert_eq!(peer.send(&message, 0), Ok(()));
        model.sent(&bytes(&message));
    }
    for _ in 0..60 {
        let (bytes, fds) = random_request(rng);
        // A front-end sends messages, not bytes: those that decode, with whatever descriptors.
        let layout = peer.frontend.layout();
        let message = (0..=8)
            .find_map(|fds| Message::decode(Kind::FRONTEND_REQUEST, layout, &bytes, fds).ok());
        let Some(message) = message else { continue };
        let is_bounded = peer.frontend.awaited() + 1 < 64;
        if !is_bounded {
            return;
        }
        let before = peer.frontend.awaited();
        let expected = model.judge(&bytes, fds);
        let got = match peer.frontend.send(&message, fds, &peer.objects).map(<[u8]>::len) {
            Ok(_) => Verdict::Accept(peer.frontend.awaited() > before),
            Err(error) => Verdict::Reject(id(error.rule())),
        };
        assert_eq!(got, expected, "{message} with {fds}\n{model:?}");
        if got != Verdict::Reject(id(SendError::ResetOwner.rule())) {
            seen.insert(format!("{} {got:?}", message.code));
        }
        if matches!(got, Verdict::Accept(_)) {
            model.sent(&bytes);
        }
    }
}

#[test]
fn what_may_be_sent_is_what_the_model_allows() {
    let mut seen = BTreeSet::new();
    for seed in 0..3000 {
        session(&mut fastrand::Rng::with_seed(seed), &mut seen);
    }
    let rules: BTreeSet<_> =
        seen.iter().filter_map(|text| text.split_once(' ').map(|(_, verdict)| verdict)).collect();
    let codes = seen.iter().filter(|text| text.contains("Accept")).count();
    assert!(codes >= 42, "only {codes} kinds of requests were ever sent: {seen:?}");
    for rule in [
        "26", "31", "35", "40", "49", "52", "77", "82", "87", "88", "96", "97", "109", "112",
        "117", "120", "121", "122", "132", "133", "151", "152", "173", "175", "209", "210", "216",
        "218",
    ] {
        let text = format!("Reject(Vu({rule}))");
        assert!(rules.contains(&&*text), "VU-{rule} was never broken");
    }
}

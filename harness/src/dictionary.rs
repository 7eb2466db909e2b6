//! The libFuzzer dictionaries, generated from the request table.
//!
//! `fuzz/dictionaries/<target>.dict` is committed; `cargo xtask corpus dictionaries` writes it and
//! a test compares.

mod dhcp;
mod ipv6;
mod net;
mod net_device;
mod net_header;
mod ring;

use std::fmt::Write as _;

use vhost_fuzz_core::vhost_user::features::{self, protocol};
use vhost_fuzz_core::vhost_user::request::{Row, forms};
use vhost_fuzz_core::vhost_user::{Direction, Flags, Kind};

use crate::equivalence::driver::{Features, Wish};
use crate::equivalence::plan::{Request, Style};
use crate::script::{self, Actor, FdKind, Record};
use crate::session::offer::{OPERATION, ScriptOffer};
use crate::target::ring_equivalence::{Setup, Step};

/// Numbers at which something changes.
const BOUNDARIES: &[(&str, u64)] = &[
    ("page", 0x1000),
    ("no_fd", 0x100),
    ("ring_max", 0x8000),
    ("packed_base", 0x8000_8000),
    ("i32_min", 0x8000_0000),
    ("u32_max", 0xffff_ffff),
    ("i64_max", 0x7fff_ffff_ffff_ffff),
    ("i64_min", 0x8000_0000_0000_0000),
    ("u64_max", 0xffff_ffff_ffff_ffff),
    ("u64_page", 0xffff_ffff_ffff_f000),
];

/// The dictionary of a target, if it has one.
#[must_use]
pub fn of(target: &str) -> Option<String> {
    match target {
        "arp" => Some(render(target, net::gateway())),
        "dhcp" => Some(render(target, dhcp::words())),
        "dhcpv6" => {
            let words = ipv6::addresses().chain(ipv6::headers()).chain(ipv6::dhcp());
            Some(render(target, words))
        }
        #[cfg(feature = "peer-virtio-queue")]
        "diff_virtio_queue" => Some(render(target, numbers().chain(queue()))),
        "mem_table" => {
            Some(render(target, messages().chain(numbers()).chain(records()).chain(actions())))
        }
        "msg_decode" => Some(render(target, messages().chain(numbers()))),
        "msg_stream" | "diff_vhost" => {
            Some(render(target, messages().chain(numbers()).chain(records())))
        }
        "net_device" => {
            let words = net_device::steps().chain(net_device::contents()).chain(ring::numbers());
            Some(render(target, words))
        }
        "net_header" => Some(render(target, net_header::words())),
        "ndp" => {
            let words = ipv6::addresses().chain(ipv6::headers()).chain(ipv6::discovery());
            Some(render(target, words))
        }
        "packed_chain" | "split_chain" => {
            Some(render(target, ring::numbers().chain(ring::descriptors())))
        }
        "packed_ring" | "split_ring" => {
            let words = ring::numbers().chain(ring::descriptors()).chain(ring::steps());
            Some(render(target, words))
        }
        "ring_equivalence" => Some(render(target, history())),
        "session" => {
            let words = messages().chain(numbers()).chain(records()).chain(conversation());
            Some(render(target, words))
        }
        _ => None,
    }
}

/// Bytes of an offer in a dictionary: up to the memory slots. The rest is as in the default, and
/// a word has to stay below the 64 bytes that libFuzzer takes.
const OFFER_LEN: usize = 34;

type Entry = (String, Vec<u8>);

fn messages() -> impl Iterator<Item = Entry> {
    forms().flat_map(|(kind, row)| {
        let flags: &[Flags] = match kind.direction {
            Direction::Request => &[Flags::REQUEST, Flags::NEED_REPLY],
            Direction::Reply => &[Flags::REPLY],
        };
        flags.iter().map(move |flags| (name(kind, row, *flags), header(row, *flags)))
    })
}

fn name(kind: Kind, row: &Row, flags: Flags) -> String {
    let channel = if row.code < 11 && kind.channel != Kind::FRONTEND_REQUEST.channel {
        "backend_"
    } else {
        ""
    };
    let suffix = match (kind.direction, flags.needs_reply()) {
        (Direction::Reply, _) => "_reply",
        (Direction::Request, true) => "_need_reply",
        (Direction::Request, false) => "",
    };
    format!("{channel}{}{suffix}", row.name.to_lowercase())
}

/// Id and flags: a dictionary word that turns any header into one of this request.
fn header(row: &Row, flags: Flags) -> Vec<u8> {
    [row.code, flags.0].into_iter().flat_map(u32::to_ne_bytes).collect()
}

fn numbers() -> impl Iterator<Item = Entry> {
    BOUNDARIES.iter().map(|(name, value)| {
        let bytes = match u32::try_from(*value) {
            Ok(value) => value.to_ne_bytes().to_vec(),
            Err(_) => value.to_ne_bytes().to_vec(),
        };
        (format!("number_{name}"), bytes)
    })
}

fn records() -> impl Iterator<Item = Entry> {
    let record = |name: &str, record: Record<'_>| {
        (format!("record_{name}"), script::encode(&[record])[1..].to_vec())
    };
    [
        record("border", Record::Border),
        record("control_truncated", Record::ControlTruncated),
        record("close", Record::Close),
        record("reconnect", Record::Reconnect),
        record("fd", Record::Fd { kind: FdKind::EVENTFD, seals: 0, size: 0 }),
    ]
    .into_iter()
}

/// What is said and done around the messages of a session.
fn conversation() -> impl Iterator<Item = Entry> {
    let record = |name: &str, record: Record<'_>| {
        (format!("record_{name}"), script::encode(&[record])[1..].to_vec())
    };
    let fd = |name: &str, kind| {
        let size = if kind == FdKind::MEMFD { 0x20_0000 } else { 0 };
        record(&format!("fd_{name}"), Record::Fd { kind, seals: 0, size })
    };
    let end = |name: &str, is_ok, value| {
        record(&format!("effect_{name}"), Record::EffectResult { is_ok, value })
    };
    let offer = |name: &str, offer: &ScriptOffer| {
        let mut arguments = offer.encode();
        arguments.truncate(OFFER_LEN);
        let (actor, operation) = (Actor::Device, OPERATION);
        record(name, Record::Action { actor, operation, arguments: arguments.into() })
    };
    let default = ScriptOffer::default();
    let everything =
        ScriptOffer { protocol_features: protocol::ALL, queues: 256, ..default.clone() };
    let nothing = ScriptOffer { features: 0, protocol_features: 0, ..default.clone() };
    let few = ScriptOffer { queues: 1, max_queue_size: 1, max_mem_slots: 1, ..default.clone() };
    let words = [
        fd("memfd", FdKind::MEMFD),
        fd("socket", FdKind::SOCKET),
        fd("pipe", FdKind::PIPE),
        end("done", true, 0),
        end("done_1", true, 1),
        end("done_area", true, 0x2000),
        end("done_negative", true, u64::MAX),
        end("fails", false, 5),
        offer("offer", &default),
        offer("offer_everything", &everything),
        offer("offer_nothing", &nothing),
        offer("offer_few", &few),
    ];
    words.into_iter().chain(feature_bits())
}

/// Each feature bit as the u64 that `SET_FEATURES` or `SET_PROTOCOL_FEATURES` carries.
fn feature_bits() -> impl Iterator<Item = Entry> {
    let entry = |kind: &str, (bit, name): &(u32, &str)| {
        (format!("{kind}_{}", name.to_lowercase()), (1_u64 << bit).to_ne_bytes().to_vec())
    };
    let virtio = features::VIRTIO.iter().map(move |word| entry("virtio", word));
    virtio.chain(features::PROTOCOL.iter().map(move |word| entry("protocol", word)))
}

/// The questions of `mem_table`, each with numbers of 0.
fn actions() -> impl Iterator<Item = Entry> {
    let action = |name: &str, actor, operation, len: usize| {
        let record = Record::Action { actor, operation, arguments: vec![0; len].into() };
        (format!("action_{name}"), script::encode(&[record])[1..].to_vec())
    };
    [
        action("start", Actor::Device, 0, 16),
        action("start_with_slots", Actor::Device, 0, 17),
        action("find", Actor::Driver, 1, 17),
        action("translate", Actor::Driver, 2, 17),
        action("mark", Actor::Driver, 3, 16),
        action("place", Actor::Driver, 4, 1),
        action("mark_used", Actor::Driver, 5, 17),
        action("write", Actor::Driver, 6, 16),
    ]
    .into_iter()
}

/// Starts, requests and steps of `ring_equivalence`.
fn history() -> impl Iterator<Item = Entry> {
    let word = |name: String, step: Step| (name, script::encode(&[step.record()])[1..].to_vec());
    let features = |bits: u8| Features {
        event_idx: bits & 1 != 0,
        indirect: bits & 2 != 0,
        in_order: bits & 4 != 0,
    };
    let starts = (0..8).flat_map(move |bits| {
        [(1, 1, 0x8000), (2, 3, 0), (8, 7, 0xffff), (256, 255, 0x7ffe)].map(
            |(split, packed, at)| {
                let setup = Setup { split, packed, features: features(bits), at };
                word(format!("start_{split}_{packed}_{bits}"), Step::Start(setup))
            },
        )
    });
    let requests = (0..16).flat_map(move |bit| {
        [(0, 8), (8, 0), (200, 200)].map(|(readable, writable)| {
            let request = Request { readable, writable, style: Style(1 << bit) };
            word(format!("request_{readable}_{writable}_{bit}"), Step::Request(request))
        })
    });
    let counts = [1, 2, 5, 255].into_iter().flat_map(move |count| {
        [
            word(format!("offer_{count}"), Step::Offer { count }),
            word(format!("take_{count}"), Step::Take { count }),
            word(format!("complete_{count}"), Step::Complete { which: count, len: 8 }),
            word(format!("batch_{count}"), Step::Batch { count, len: 8 }),
        ]
    });
    let others = [
        ("reap", Step::Reap),
        ("show", Step::Publish),
        ("arm", Step::Arm),
        ("disarm", Step::Disarm),
        ("restart", Step::Restart),
        ("want_all", Step::Want(Wish::Always)),
        ("want_none", Step::Want(Wish::Never)),
        ("want_after_1", Step::Want(Wish::After(1))),
        ("want_after_4", Step::Want(Wish::After(4))),
    ];
    let others = others.into_iter().map(move |(name, step)| word(name.to_owned(), step));
    starts.chain(requests).chain(counts).chain(others)
}

/// What happens to a split ring in `diff_virtio_queue`: rings that start, descriptors by their
/// flags, and every action.
#[cfg(feature = "peer-virtio-queue")]
fn queue() -> impl Iterator<Item = Entry> {
    use Actor::{Device, Driver};

    let action = |name: String, actor, operation, arguments: Vec<u8>| {
        let record = Record::Action { actor, operation, arguments: arguments.into() };
        (format!("action_{name}"), script::encode(&[record])[1..].to_vec())
    };
    let start = move |size: u16, features: u8| {
        let places = [0x1000_u64, 0x2000, 0x3000].map(u64::to_le_bytes).concat();
        let front = [&size.to_le_bytes()[..], &[features, 0, 0]].concat();
        action(format!("start_{size}_{features}"), Device, 0, [front, places].concat())
    };
    let starts = [1, 8, 256, 1024]
        .into_iter()
        .flat_map(move |size| (0..16).map(move |features| start(size, features)));
    let descriptors = (0..8_u8).map(|flags| {
        let mut bytes = vec![0; 16];
        bytes[1] = 0x60;
        bytes[8] = 16;
        bytes[12] = flags;
        bytes[14] = flags & 1;
        (format!("descriptor_{flags}"), bytes)
    });
    let actions = [
        ("take", Device, 1, vec![0]),
        ("take_and_write", Device, 1, vec![0, 16, 0]),
        ("put", Device, 2, vec![0, 1]),
        ("put_all", Device, 2, vec![0, 0xff]),
        ("put_long", Device, 2, vec![0, 1, 0, 1, 0, 0]),
        ("arm", Device, 3, vec![]),
        ("disarm", Device, 4, vec![]),
        ("restart_drained", Device, 5, vec![0]),
        ("restart_at_used", Device, 5, vec![1]),
        ("restart_kept", Device, 5, vec![2]),
        ("describe", Driver, 0, vec![0; 18]),
        ("offer", Driver, 1, vec![0, 0]),
        ("offer_two", Driver, 1, vec![0, 0, 1, 0]),
        ("used_event", Driver, 2, vec![1, 0]),
        ("flags", Driver, 3, vec![1, 0]),
    ];
    let actions = actions.into_iter().map(move |(name, actor, operation, arguments)| {
        action(name.to_owned(), actor, operation, arguments)
    });
    starts.chain(descriptors).chain(actions)
}

fn render(target: &str, entries: impl Iterator<Item = Entry>) -> String {
    let mut text = format!(
        "# Generated from the request table: cargo xtask corpus dictionaries.\n# Words for {target}.\n"
    );
    for (name, bytes) in entries {
        let hex: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        let _ = writeln!(text, "{name}=\"{hex}\"");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::TARGETS;

    #[test]
    fn every_target_has_words_with_names_of_their_own() {
        for target in TARGETS {
            let text = of(target.name).expect("a dictionary");
            let mut names: Vec<_> = text
                .lines()
                .filter_map(|line| line.split_once('='))
                .map(|(name, _)| name)
                .collect();
            assert!(names.len() > 50, "{}: {}", target.name, names.len());
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", target.name);
        }
    }

    #[test]
    fn libfuzzer_takes_every_word() {
        for target in TARGETS {
            let text = of(target.name).expect("a dictionary");
            for (name, word) in text.lines().filter_map(|line| line.split_once('=')) {
                assert!(word.matches("\\x").count() <= 64, "{}: {name}", target.name);
            }
        }
    }

    #[test]
    fn a_cut_offer_keeps_what_it_is_for() {
        let text = of("session").expect("a dictionary");
        let line = text.lines().find(|line| line.starts_with("record_offer_few=")).expect("few");
        let bytes: Vec<_> = line
            .split("\\x")
            .skip(1)
            .map(|byte| u8::from_str_radix(byte.trim_end_matches('"'), 16).expect("hex"))
            .collect();
        let script = [&[script::VERSION], &bytes[..]].concat();
        let offer = ScriptOffer::of_script(&script::decode(&script));
        assert_eq!((offer.queues, offer.max_queue_size, offer.max_mem_slots), (1, 1, 1));
        assert_eq!(offer.config_len, ScriptOffer::default().config_len);
    }
}

//! Properties of the header in front of a frame.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::{TestRng, TestRunner};

use vhost_fuzz_core::net::checksum::Sum;
use vhost_fuzz_core::net::header::{
    Checksum, Features, HEADER_LEN_MAX, Hash, Header, Ip, Joined, Kind, Port, Receive, Segments,
    Verified,
};
use vhost_fuzz_harness::offload::Core;
use vhost_fuzz_harness::seeds::net_header::{Layers, Setup, header, wire};
use vhost_fuzz_harness::target::net_header::{check, judge};
use vhost_fuzz_model::Id;

use vhost_fuzz_proptests::number;
use vhost_fuzz_proptests::runner::{Suite, config};

const FRAMES: Suite = Suite { target: "net_header", times: 8 };

/// Everything but `MTU` and `RSC_EXT`.
const MOST: Features = Features::from_bits(u128::MAX >> 57 & !((1 << 3) | (1 << 61)));

/// Runs every oracle; the verdict is also that of the model alone.
fn run(input: &[u8]) -> Result<(), Id> {
    let verdict = check(&Core, input);
    assert_eq!(verdict, judge(input));
    verdict
}

fn ip() -> impl Strategy<Value = Ip> + Clone {
    select(vec![Ip::V4, Ip::V6])
}

fn layers() -> impl Strategy<Value = Layers> + Clone {
    let extensions = prop_oneof![3 => Just(0), 1 => 0..=9_usize];
    (0..=3_usize, ip(), extensions, any::<bool>(), 0..=80_usize).prop_map(
        |(tags, ip, extensions, is_tcp, payload)| Layers { tags, ip, extensions, is_tcp, payload },
    )
}

/// A frame with what is true of it.
#[derive(Clone, Debug)]
struct Case {
    frame: Vec<u8>,
    segments: Segments,
    checksum: Checksum,
}

impl Case {
    fn header(&self) -> Header {
        header(&self.segments, self.checksum)
    }

    fn about(&self) -> Receive {
        let checksum = Verified::Partial(self.checksum);
        Receive { checksum, segments: Some(self.segments), ..Receive::default() }
    }
}

/// A frame to be cut, in a tunnel now and then.
fn case() -> impl Strategy<Value = Case> + Clone {
    let tunnel = prop_oneof![2 => Just(None), 1 => ip().prop_map(Some)];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (layers(), number::u16(), tunnel, flags).prop_map(|(layers, size, tunnel, flags)| {
        let (ufo, ecn, outer) = flags;
        let kind = match (layers.is_tcp, layers.ip) {
            (true, Ip::V4) => Kind::Tcp4,
            (true, Ip::V6) => Kind::Tcp6,
            (false, _) if ufo && tunnel.is_none() => Kind::Udp,
            (false, _) => Kind::UdpL4,
        };
        let size = size.max(1);
        let segments = Segments { kind, size, ecn: ecn && kind.is_tcp(), tunnel: None };
        let Some(ip) = tunnel else {
            let (frame, checksum) = (layers.frame(), layers.checksum());
            return Case { frame, segments, checksum };
        };
        let (frame, mut tunnel, checksum) = layers.inside(ip);
        tunnel.checksum = outer;
        Case { frame, segments: Segments { tunnel: Some(tunnel), ..segments }, checksum }
    })
}

/// Any features, most of them on.
fn features() -> impl Strategy<Value = Features> + Clone {
    let bits = (any::<u64>(), any::<u64>(), any::<u8>(), 0..4_u8);
    bits.prop_map(|(first, second, last, how)| {
        let low = if how == 0 { first } else { first | second };
        Features::from_bits(u128::from(low) | u128::from(last) << 64)
    })
}

#[test]
fn what_is_to_be_cut_is_taken_and_passed_on() {
    let input = |case: &Case| Setup::new(MOST).send(&case.header(), &case.frame);
    FRAMES.for_all(&case(), input, |case, input| {
        assert_eq!(run(input), Ok(()));
        let port = Port::new(MOST, 1500);
        let bytes = [wire(&case.header(), MOST), case.frame.clone()].concat();
        let sent = port.transmit(&bytes, 0).expect("legal");
        assert_eq!((sent.checksum, sent.segments), (Some(case.checksum), Some(case.segments)));
        let given = port.receive(sent.frame, &Receive::from(&sent)).expect("legal");
        let hdr_len = sent.headers.map_or(0, |headers| headers.len);
        let hdr_len = u16::try_from(hdr_len).expect("short headers");
        assert_eq!(given, Header { hdr_len, num_buffers: 1, ..case.header() });
    });
}

#[test]
fn what_is_true_of_a_frame_is_given_to_a_driver_that_takes_everything() {
    let input = |case: &Case| Setup::new(MOST).give(&case.about(), &case.frame);
    FRAMES.for_all(&case(), input, |_, input| assert_eq!(run(input), Ok(())));
}

#[test]
fn any_features_with_a_legal_frame() {
    let both = (case(), features(), any::<bool>(), number::u16());
    let input = |(case, features, is_sent, mtu): &(Case, Features, bool, u16)| {
        let setup = Setup { mtu: *mtu, ..Setup::new(*features) };
        if *is_sent {
            setup.send(&case.header(), &case.frame)
        } else {
            setup.give(&case.about(), &case.frame)
        }
    };
    FRAMES.for_all(&both, input, |_, input| {
        let _ = run(input);
    });
}

/// A header of which every field is drawn by itself.
fn hostile() -> impl Strategy<Value = Header> + Clone {
    let first = (
        number::u8(),
        number::u8(),
        number::u16(),
        number::u16(),
        number::u16(),
        number::u16(),
        number::u16(),
    );
    let second = (number::u16(), number::u16(), number::u16(), number::u16(), number::u16());
    (first, second).prop_map(|(first, second)| {
        let (flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers) = first;
        let (outer_th_offset, inner_nh_offset, outer_nh_offset, hash_report, resource_type) =
            second;
        Header {
            flags,
            gso_type,
            hdr_len,
            gso_size,
            csum_start,
            csum_offset,
            num_buffers,
            outer_th_offset,
            inner_nh_offset,
            outer_nh_offset,
            hash_report,
            resource_type,
            ..Header::default()
        }
    })
}

#[test]
fn any_header_in_front_of_a_legal_frame() {
    let input = |(case, header, features): &(Case, Header, Features)| {
        Setup::new(*features).send(header, &case.frame)
    };
    FRAMES.for_all(&(case(), hostile(), features()), input, |(_, header, features), input| {
        let _ = run(input);
        let bytes = wire(header, *features);
        let (read, rest) = Header::decode(*features, &bytes).expect("a whole header");
        assert!(rest.is_empty());
        assert_eq!(wire(&read, *features), bytes);
    });
}

#[test]
fn any_description_of_a_legal_frame() {
    let joined = prop::option::of((number::u16(), number::u16()));
    let hash = prop::option::of((any::<u32>(), 0..12_u16));
    let checksum = prop_oneof![
        Just(None),
        Just(Some(Verified::No)),
        Just(Some(Verified::Yes)),
        (number::u16(), number::u16())
            .prop_map(|(start, offset)| Some(Verified::Partial(Checksum { start, offset }))),
    ];
    let drawn = (case(), checksum, joined, hash, 0..3_u16, features());
    let input = |(case, checksum, joined, hash, buffers, features): &(Case, _, _, _, _, _)| {
        let joined: &Option<(u16, u16)> = joined;
        let hash: &Option<(u32, u16)> = hash;
        let checksum: &Option<Verified> = checksum;
        let about = Receive {
            checksum: checksum.unwrap_or(case.about().checksum),
            joined: joined.map(|(segments, duplicates)| Joined { segments, duplicates }),
            hash: hash.map(|(value, report)| Hash { value, report }),
            buffers: *buffers,
            ..case.about()
        };
        Setup::new(*features).give(&about, &case.frame)
    };
    FRAMES.for_all(&drawn, input, |_, input| {
        let _ = run(input);
    });
}

#[test]
fn one_changed_byte_of_a_legal_input() {
    let changed = (case(), any::<bool>(), any::<Index>(), 1..=u8::MAX);
    let input = |(case, is_sent, at, bits): &(Case, bool, Index, u8)| {
        let setup = Setup::new(MOST);
        let mut input = if *is_sent {
            setup.send(&case.header(), &case.frame)
        } else {
            setup.give(&case.about(), &case.frame)
        };
        let at = at.index(input.len());
        input[at] ^= bits;
        input
    };
    FRAMES.for_all(&changed, input, |_, input| {
        let _ = run(input);
    });
}

#[test]
fn a_legal_input_that_is_cut() {
    let cut = (case(), any::<bool>(), any::<Index>());
    let input = |(case, is_sent, at): &(Case, bool, Index)| {
        let setup = Setup::new(MOST);
        let mut input = if *is_sent {
            setup.send(&case.header(), &case.frame)
        } else {
            setup.give(&case.about(), &case.frame)
        };
        input.truncate(at.index(input.len()));
        input
    };
    FRAMES.for_all(&cut, input, |_, input| {
        let _ = run(input);
    });
}

#[test]
fn arbitrary_bytes() {
    FRAMES.for_all(&number::bytes(0..=160), Clone::clone, |_, input| {
        let _ = run(input);
    });
}

/// The covered bytes sum to the complement of the partial sum that was in their place before.
#[test]
fn a_finished_checksum_is_right() {
    let input = |case: &Case| Setup::new(MOST).send(&case.header(), &case.frame);
    FRAMES.for_all(&case(), input, |Case { frame, checksum, .. }, _| {
        let mut finished = frame.clone();
        assert!(checksum.finish(&mut finished));
        let (start, offset) = (usize::from(checksum.start), usize::from(checksum.offset));
        let pseudo = u16::from_be_bytes([frame[start + offset], frame[start + offset + 1]]);
        let whole = Sum::new().word(pseudo).bytes(&finished[start..]);
        assert_eq!(whole.folded(), 0xffff);
        let field = start + offset..start + offset + 2;
        assert_ne!(finished[field.clone()], [0, 0]);
        finished[field.clone()].copy_from_slice(&frame[field]);
        assert_eq!(&finished, frame, "something else was changed");
    });
}

#[test]
fn a_header_takes_the_room_of_the_table_and_no_more() {
    let drawn = (hostile(), features(), 0..=HEADER_LEN_MAX + 4);
    let input = |_: &_| Vec::new();
    FRAMES.for_all(&drawn, input, |(header, features, room), _| {
        let mut out = vec![0xa5; *room];
        let len = features.header_len();
        let written = header.encode(*features, &mut out);
        assert_eq!(written.is_ok(), *room >= len);
        let untouched = if written.is_ok() { &out[len..] } else { &out[..] };
        assert!(untouched.iter().all(|byte| *byte == 0xa5));
    });
}

/// What is drawn breaks nearly every rule, and is legal often enough.
#[test]
fn frames_reach_every_rule() {
    let rng = TestRng::deterministic_rng(config().rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config(), rng);
    let strategy = (case(), hostile(), features(), 0..8_u8);
    let (mut rules, mut fine) = (BTreeSet::new(), 0);
    for _ in 0..20_000 {
        let drawn = strategy.new_tree(&mut runner).expect("a frame").current();
        let (case, hostile, features, how) = drawn;
        let right = case.header();
        let header = match how {
            0 => hostile,
            1 => Header { gso_type: hostile.gso_type, ..right },
            2 => Header { flags: hostile.flags, ..right },
            3 => Header { gso_size: 0, ..right },
            4 => Header { inner_nh_offset: hostile.inner_nh_offset, ..right },
            5 => Header { csum_start: hostile.csum_start, ..right },
            _ => right,
        };
        let off = how == 7 && hostile.hdr_len < 0x1000;
        let features = if off { Features::VERSION_1 } else { features };
        let setup = Setup { mtu: 68, ..Setup::new(features) };
        let input = match how {
            6 => setup.give(&case.about(), &case.frame),
            _ => setup.send(&header, &case.frame),
        };
        match judge(&input) {
            Ok(()) => fine += 1,
            Err(rule) => _ = rules.insert(rule.to_string()),
        }
    }
    for rule in [
        "NET-010", "NET-011", "NET-012", "NET-013", "NET-015", "NET-029", "NET-030", "DC-091",
        "DC-093", "DC-094", "DC-095", "DC-098",
    ] {
        assert!(rules.contains(rule), "{rule} is not in {rules:?}");
    }
    assert!(fine > 1_000, "{fine} frames are fine");
}

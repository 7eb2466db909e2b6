//! How frames are hashed, and to which queue they go.

use std::collections::BTreeSet;

use vhost_fuzz_core::net::control::{Control, ControlError, hash_type};
use vhost_fuzz_core::net::header::{Features, Hash};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::control::{ALL, flows};
use vhost_fuzz_harness::evidence::shows;

use super::{control, tell, with};

/// The key of the published vectors.
const KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
    0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
    0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

/// An `RSS_CONFIG`, field by field.
#[derive(Clone)]
struct Rss {
    types: u32,
    mask: u16,
    rest: u16,
    table: Vec<u16>,
    pairs: u16,
    key: Vec<u8>,
}

impl Default for Rss {
    fn default() -> Self {
        Self { types: 0x1ff, mask: 3, rest: 1, table: vec![3, 2, 1, 0], pairs: 4, key: KEY.into() }
    }
}

impl Rss {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.types.to_le_bytes().to_vec();
        let numbers = [&[self.mask, self.rest], &self.table[..], &[self.pairs]].concat();
        numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        bytes.extend(u8::try_from(self.key.len()));
        [bytes, self.key.clone()].concat()
    }

    fn tell(&self, control: &mut Control) -> Result<(), ControlError> {
        tell(control, 4, 1, &self.bytes())
    }
}

/// A `HASH_CONFIG`.
fn hash_config(control: &mut Control, types: u32, key: &[u8]) -> Result<(), ControlError> {
    let len = u8::try_from(key.len()).expect("a short key");
    tell(control, 4, 2, &[&types.to_le_bytes()[..], &[9; 8], &[len], key].concat())
}

/// TCP over IPv4 of the first published vector.
fn vector() -> Vec<u8> {
    flows(2794).swap_remove(0)
}

/// Numbers of the frames of [`flows`] for one protocol: IPv4 first, then IPv6.
const V4: usize = 0;
const V4_OPTIONS: usize = 1;
const V4_FIRST: usize = 2;
const V4_LATER: usize = 3;
const V6: usize = 4;
const V6_OPTIONS: usize = 5;
const V6_HOME: usize = 6;
const V6_FRAGMENT: usize = 8;

#[test]
fn a_table_has_a_size_that_is_a_power_of_two() {
    for len in 0..8 {
        let size: u16 = 1 << len;
        let good = Rss { mask: size - 1, table: vec![2; size.into()], ..Rss::default() };
        assert_eq!(good.tell(&mut control()), Ok(()));
    }
    for mask in [2, 4, 5, 6, 62, 126, 128, 254, 255, 0x7fff, 0x8000, u16::MAX] {
        let size = usize::from(mask) + 1;
        let bad = Rss { mask, table: vec![0; size], ..Rss::default() };
        assert_refused!(bad.tell(&mut control()), ControlError::TableSize { mask, max: 128 });
    }
}

#[test]
fn a_table_has_enabled_queues_only() {
    let _shows = shows(&["NET-048"]);
    for pair in [4, 5, 0x7fff, 0x8000, 0x8001, u16::MAX] {
        for at in 0..4 {
            let mut bad = Rss::default();
            bad.table[at] = pair;
            assert_refused!(bad.tell(&mut control()), ControlError::Steer { pair });
        }
        let bad = Rss { rest: pair, ..Rss::default() };
        assert_refused!(bad.tell(&mut control()), ControlError::Steer { pair });
    }
    let mut control = control();
    control.set_enabled(4, false);
    assert_refused!(Rss::default().tell(&mut control), ControlError::Steer { pair: 2 });
    control.set_enabled(4, true);
    control.set_enabled(5, false);
    assert_eq!(Rss::default().tell(&mut control), Ok(()), "a transmit queue does not matter");
}

#[test]
fn kinds_keys_and_queues_are_those_of_the_device() {
    let _shows = shows(&["DC-146"]);
    let mut control = control();
    let supported = 0x1ff;
    for bit in 9..32 {
        let types = 1 << bit;
        let unsupported = ControlError::HashTypes { types, supported };
        assert_refused!(Rss { types, ..Rss::default() }.tell(&mut control), unsupported);
        assert_refused!(hash_config(&mut control, types, &KEY), unsupported);
    }
    for len in [41, 255] {
        let key = vec![1; len.into()];
        let long = ControlError::Key { len, max: 40 };
        assert_refused!(hash_config(&mut control, 1, &key), long);
        assert_refused!(Rss { key, ..Rss::default() }.tell(&mut control), long);
    }
    for pairs in [0, 5, u16::MAX] {
        let refused = Rss { pairs, ..Rss::default() }.tell(&mut control);
        assert_refused!(refused, ControlError::Transmit { pairs, max: 4 });
    }
    for types in [1, 0x8000_0000] {
        let refused = tell(&mut control, 7, 0, &u32::to_le_bytes(types));
        assert_refused!(refused, ControlError::TunnelTypes { types });
    }
    assert_eq!(tell(&mut control, 7, 0, &[0; 4]), Ok(()));
    assert_eq!(hash_config(&mut control, 0, &[]), Ok(()));
    assert_eq!(Rss { key: vec![], ..Rss::default() }.tell(&mut control), Ok(()));
}

#[test]
fn a_configuration_that_is_cut_is_none() {
    let whole = Rss::default().bytes();
    for len in 0..whole.len() {
        let refused = tell(&mut control(), 4, 1, &whole[..len]).expect_err("it is cut");
        assert!(matches!(refused, ControlError::Short { .. }), "{len}: {refused:?}");
    }
    let cut = tell(&mut control(), 4, 1, &whole[..9]);
    assert_refused!(cut, ControlError::Short { need: 8, have: 1 }, "the whole table");
    let cut = tell(&mut control(), 4, 1, &whole[..whole.len() - 1]);
    assert_refused!(cut, ControlError::Short { need: 40, have: 39 }, "the whole key");
    // Longer than its data, as a structure with room for the longest key.
    let short = Rss { key: KEY[..39].into(), ..Rss::default() }.bytes();
    assert_eq!(tell(&mut control(), 4, 1, &[short, vec![0; 300]].concat()), Ok(()));
}

#[test]
fn frames_go_where_the_table_says() {
    let _shows = shows(&["NET-035", "NET-048", "DC-147", "DC-148"]);
    let mut control = control();
    let steered = control.steer(&vector());
    assert_eq!((steered.pair, steered.hash), (Some(0), None), "before anything was said");
    assert_eq!(Rss::default().tell(&mut control), Ok(()));
    assert_eq!(control.pairs(), 4);
    let steered = control.steer(&vector());
    // The hash ends in 0, and the first entry is 3.
    let hash = Hash { value: 0x51cc_c178, report: 2 };
    assert_eq!((steered.pair, steered.hash), (Some(3), Some(hash)));
    let arp = [&vector()[..12], &[8, 6], &[0; 28]].concat();
    let steered = control.steer(&arp);
    assert_eq!((steered.pair, steered.hash), (Some(1), None));
    // A queue that is reset gets nothing, and nobody gets it instead (NET-049).
    control.set_enabled(6, false);
    assert_eq!(control.steer(&vector()).pair, None);
    assert_eq!(control.steer(&arp).pair, Some(1));
    // The hash may be taken over something else, and the table stays.
    control.set_enabled(6, true);
    assert_eq!(hash_config(&mut control, hash_type::IPV4, &KEY), Ok(()));
    let hash = Hash { value: 0x323e_8fc2, report: 1 };
    let steered = control.steer(&vector());
    assert_eq!((steered.pair, steered.hash), (Some(1), Some(hash)));
    // The driver leaves it to the device again.
    assert_eq!(tell(&mut control, 4, 0, &[1, 0]), Ok(()));
    let steered = control.steer(&vector());
    assert_eq!((steered.pair, steered.hash), (Some(0), Some(hash)));
    control.negotiated(ALL);
    assert_eq!(control.steer(&vector()).hash, None);
}

#[test]
fn a_device_distributes_over_the_pairs_in_use() {
    let _shows = shows(&["NET-046", "NET-049", "DC-148"]);
    let mut control = control();
    let all: Vec<Vec<u8>> = (0..100).flat_map(flows).collect();
    let places = |control: &Control| {
        all.iter().map(|frame| control.steer(frame).pair).collect::<BTreeSet<_>>()
    };
    assert_eq!(places(&control), [Some(0)].into());
    assert_eq!(tell(&mut control, 4, 0, &[3, 0]), Ok(()));
    assert_eq!(places(&control), [Some(0), Some(1), Some(2)].into());
    let before: Vec<_> = all.iter().map(|frame| control.steer(frame).pair).collect();
    control.set_enabled(2, false);
    assert_eq!(places(&control), [Some(0), Some(2)].into(), "another one is chosen");
    for (frame, before) in all.iter().zip(before) {
        let now = control.steer(frame).pair;
        assert!(now == before || before == Some(1), "a flow stays where it is, if it can");
    }
    control.set_enabled(0, false);
    control.set_enabled(4, false);
    assert_eq!(places(&control), [None].into(), "none is left");
    // All are used when the front-end says which.
    let theirs = with(ALL.without(Features::CTRL_VQ));
    assert_eq!(places(&theirs), [Some(0), Some(1), Some(2), Some(3)].into());
    let one = with(Features::VERSION_1);
    assert_eq!((one.pairs(), places(&one)), (1, [Some(0)].into()), "there is only one");
}

/// Value and report of the hash of a frame, with these kinds.
fn hashed(types: u32, frame: &[u8]) -> Option<(u32, u16)> {
    let mut control = control();
    assert_eq!(hash_config(&mut control, types, &KEY), Ok(()));
    control.steer(frame).hash.map(|hash| (hash.value, hash.report))
}

#[test]
fn a_hash_is_over_the_most_that_is_asked_for() {
    let _shows = shows(&["DC-147"]);
    let frames = flows(2794);
    let (plain, with_ports) = (Some((0x323e_8fc2, 1)), Some((0x51cc_c178, 2)));
    for at in [V4, V4_OPTIONS] {
        assert_eq!(hashed(0x1ff, &frames[at]), with_ports);
        assert_eq!(hashed(hash_type::TCPV4, &frames[at]), with_ports);
        assert_eq!(hashed(hash_type::IPV4 | hash_type::UDPV4, &frames[at]), plain);
        assert_eq!(hashed(hash_type::UDPV4 | hash_type::IPV6, &frames[at]), None);
    }
    for at in [V4_FIRST, V4_LATER] {
        assert_eq!(hashed(0x1ff, &frames[at]), plain, "a fragment");
        assert_eq!(hashed(hash_type::TCPV4, &frames[at]), None);
    }
    let (plain, with_ports) = (0x2cc1_8cd5, 0x4020_7d3d);
    assert_eq!(hashed(0x1ff, &frames[V6]), Some((with_ports, 5)));
    assert_eq!(hashed(hash_type::IPV6, &frames[V6]), Some((plain, 4)));
    assert_eq!(hashed(0x1c0, &frames[V6]), None, "there is no extension");
    // Without home addresses the extended kinds are over the same as the others.
    assert_eq!(hashed(0x1ff, &frames[V6_OPTIONS]), Some((with_ports, 8)));
    assert_eq!(hashed(0x3f, &frames[V6_OPTIONS]), Some((with_ports, 5)));
    assert_eq!(hashed(hash_type::IP_EX, &frames[V6_OPTIONS]), Some((plain, 7)));
    let home = hashed(0x1ff, &frames[V6_HOME]).expect("a hash");
    assert!(home.0 != with_ports && home.1 == 8, "{home:?}");
    assert_eq!(hashed(0x3f, &frames[V6_HOME]), Some((with_ports, 5)), "not at home");
    assert_eq!(hashed(0x3f, &frames[V6_FRAGMENT]), Some((plain, 4)), "a fragment");
    assert_eq!(hashed(0, &frames[V4]), None);
}

#[test]
fn a_key_that_is_short_goes_on_with_zeroes() {
    let _shows = shows(&["DC-146"]);
    let frame = vector();
    let hash = |key: &[u8]| {
        let mut control = control();
        assert_eq!(hash_config(&mut control, 0x1ff, key), Ok(()));
        control.steer(&frame).hash.map(|hash| hash.value)
    };
    assert_eq!(hash(&[]), Some(0));
    for len in 0..=40 {
        let padded = [&KEY[..len], &vec![0; 40 - len]].concat();
        assert_eq!(hash(&KEY[..len]), hash(&padded), "{len}");
    }
    // Twelve bytes of input meet sixteen of the key.
    assert_eq!(hash(&KEY[..16]), Some(0x51cc_c178));
}

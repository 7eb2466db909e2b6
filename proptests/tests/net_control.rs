//! Properties of a device with a control queue.

use std::collections::HashSet;

use fastrand::Rng;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{TestError, TestRunner};

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::control::{Control, Hashing};
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_harness::control::draw::{self, KINDS};
use vhost_fuzz_harness::control::{ALL, GROUPS, MAC, STATIONS, Setup, Step, flows, judge};
use vhost_fuzz_model::net::control as model;

use vhost_fuzz_proptests::number;
use vhost_fuzz_proptests::runner::config;

/// Checks a property of all values, and prints the smallest one that does not have it.
fn for_all<S: Strategy>(strategy: &S, property: impl Fn(&S::Value)) {
    let result = TestRunner::new(config()).run(strategy, |case| {
        property(&case);
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("no case could be drawn: {reason}"),
        Err(TestError::Fail(reason, case)) => {
            eprintln!("minimal case: {case:?}");
            // Outside of proptest, so that the place of the panic is printed.
            property(&case);
            panic!("the same case passes when it is run again; it failed with: {reason}");
        }
    }
}

fn setup() -> impl Strategy<Value = Setup> + Clone {
    let hashing = (40..=64_u8, 128..=200_u16, 0..=0x1ff_u32);
    let hashing =
        hashing.prop_map(|(key_max, table_max, types)| Hashing { key_max, table_max, types });
    (1..=6_u16, 0..=4_u16, any::<bool>(), proptest::option::of(hashing)).prop_map(
        |(pairs, addresses, has_mtu, hashing)| {
            let mtu = has_mtu.then_some(1500);
            Setup { pairs, addresses, mtu, hashing }
        },
    )
}

fn features() -> impl Strategy<Value = Features> + Clone {
    let bits = select((0..71_u32).collect::<Vec<_>>());
    let but_one = bits.prop_map(|bit| ALL.without(Features::from_bits(1 << bit)));
    let some = any::<u128>().prop_map(Features::from_bits);
    prop_oneof![4 => Just(ALL), 2 => but_one, 1 => some]
}

/// A command whose fields are drawn one by one, most of them small.
fn fields() -> impl Strategy<Value = Vec<u8>> + Clone {
    let number = prop_oneof![4 => 0..=4_u16, 1 => number::u16()];
    let numbers = vec(number, 0..=12)
        .prop_map(|all| -> Vec<u8> { all.into_iter().flat_map(u16::to_le_bytes).collect() });
    let pool = [STATIONS, GROUPS].concat();
    let list = (vec(select(pool), 0..=5), prop_oneof![8 => Just(0), 1 => number::u32()]);
    let list = list.prop_map(|(all, more)| {
        let count = u32::try_from(all.len()).unwrap_or(0).wrapping_add(more);
        [&count.to_le_bytes()[..], &all.concat()].concat()
    });
    let lists = (list.clone(), list).prop_map(|(first, second)| [first, second].concat());
    let data = prop_oneof![3 => numbers, 2 => lists, 1 => number::bytes(0..=70)];
    let kind = prop_oneof![8 => select(KINDS.to_vec()), 1 => any::<(u8, u8)>()];
    (kind, data).prop_map(|((class, command), data)| [&[class, command], &data[..]].concat())
}

/// A command that is right for a device of this kind, and then perhaps not any more.
fn command(setup: Setup) -> impl Strategy<Value = Vec<u8>> + Clone {
    let good = (any::<u64>(), select(KINDS.to_vec()))
        .prop_map(move |(seed, kind)| draw::good(&mut Rng::with_seed(seed), setup, kind));
    let drawn = any::<u64>().prop_map(move |seed| draw::command(&mut Rng::with_seed(seed), setup));
    prop_oneof![2 => fields(), 2 => good, 4 => drawn]
}

fn step(setup: Setup) -> impl Strategy<Value = Step> + Clone {
    let room = prop_oneof![4 => Just(64), 1 => 0..=9_u16];
    let command = (command(setup), room).prop_map(|(bytes, room)| Step::Command { bytes, room });
    let queue = prop_oneof![4 => 0..setup.queues(), 1 => number::u16()];
    let enable = (queue, any::<bool>());
    let enable = enable.prop_map(|(queue, is_enabled)| Step::Enable { queue, is_enabled });
    prop_oneof![
        20 => command,
        3 => enable,
        1 => Just(Step::Announce),
        1 => any::<bool>().prop_map(Step::Link),
        1 => features().prop_map(Step::Negotiate),
    ]
}

type Talk = (Setup, Vec<Step>);

fn talk() -> impl Strategy<Value = Talk> {
    setup().prop_flat_map(|setup| {
        let steps = (features(), vec(step(setup), 0..=24));
        let steps =
            steps.prop_map(|(features, steps)| [vec![Step::Negotiate(features)], steps].concat());
        (Just(setup), steps)
    })
}

#[test]
fn any_commands_are_answered_as_the_model_says() {
    for_all(&talk(), |(setup, steps)| _ = judge::<Control>(*setup, steps));
}

/// A device with everything.
fn device(setup: Setup) -> Control {
    let mut control = Control::new(setup.config()).expect("a good configuration");
    control.negotiated(ALL);
    control
}

/// The command takes effect as a whole or not at all, whichever byte of it is another.
#[test]
fn one_flipped_byte_of_a_command_has_its_effect_or_none() {
    let kind = select(KINDS.to_vec());
    let case = (any::<u64>(), kind, any::<Index>(), 1..=u8::MAX, any::<Index>());
    for_all(&case, |(seed, kind, at, bits, cut)| {
        let setup = Setup::default();
        let mut bytes = draw::good(&mut Rng::with_seed(*seed), setup, *kind);
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        let cut = cut.index(bytes.len() + 1);
        for bytes in [&bytes[..], &bytes[..cut]] {
            let mut control = device(setup);
            let before = control.clone();
            let told = control.handle(&mut &*bytes, &mut &mut [0_u8; 16][..]);
            let told = told.expect("bytes can be read").result();
            assert!(told.is_ok() || control == before, "{bytes:02x?} {told:?}");
            // Done twice it is as if it were done once.
            let once = control.clone();
            let again = control.handle(&mut &*bytes, &mut &mut [0_u8; 16][..]);
            assert_eq!((again.expect("bytes can be read").result(), &control), (told, &once));
        }
    });
}

#[test]
fn a_list_of_addresses_says_who_is_heard_and_nobody_else() {
    let mac = prop_oneof![select(STATIONS.to_vec()), any::<[u8; 6]>()];
    let case = (vec(mac.clone(), 0..=8), 0..=8_u16, vec(mac, 0..=8));
    for_all(&case, |(listed, addresses, asked)| {
        let (groups, stations): (Vec<[u8; 6]>, Vec<[u8; 6]>) =
            listed.iter().partition(|mac| Mac(**mac).is_group());
        let mut bytes = vec![1, 0];
        for list in [&stations, &groups] {
            bytes.extend(u32::try_from(list.len()).expect("a short list").to_le_bytes());
            bytes.extend(list.concat());
        }
        let mut control = device(Setup { addresses: *addresses, ..Setup::default() });
        let told = control.handle(&mut &bytes[..], &mut &mut [0_u8; 0][..]);
        assert!(told.expect("bytes can be read").result().is_ok());
        let room = usize::from(*addresses);
        for mac in listed.iter().chain(asked) {
            let list = if Mac(*mac).is_group() { &groups } else { &stations };
            let known: HashSet<_> = list.iter().collect();
            let is_heard =
                list.len() > room || known.contains(mac) || *mac == MAC.0 || mac == &[0xff; 6];
            let frame = [&mac[..], &[2, 0, 0, 0, 0, 9, 8, 0]].concat();
            assert_eq!(control.accepts(&frame), is_heard, "{}", Mac(*mac));
        }
    });
}

/// A frame that begins like one that is hashed.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let all = flows(2794);
    let flow = (0..all.len()).prop_map(move |at| all[at].clone());
    let spoiled = (flow.clone(), vec((any::<Index>(), any::<u8>()), 1..=4)).prop_map(
        |(mut frame, changes)| {
            for (at, byte) in changes {
                let at = at.index(frame.len());
                frame[at] = byte;
            }
            frame
        },
    );
    let cut = (flow.clone(), any::<Index>()).prop_map(|(mut frame, at)| {
        frame.truncate(at.index(frame.len()));
        frame
    });
    prop_oneof![1 => flow, 4 => spoiled, 1 => cut, 1 => number::bytes(0..=80)]
}

#[test]
fn any_frame_is_hashed_as_the_model_says() {
    let key = vec(any::<u8>(), 0..=40);
    let types = prop_oneof![Just(0x1ff), 0..=0x1ff_u32];
    for_all(&(types, key, vec(frame(), 1..=4)), |(types, key, frames)| {
        let setup = Setup::default();
        let mut control = device(setup);
        let mut model = model::Device::new(setup.model()).expect("a good configuration");
        model.negotiated(ALL.bits());
        let len = u8::try_from(key.len()).expect("a short key");
        let bytes = [&[4, 2][..], &types.to_le_bytes(), &[0; 8], &[len], key].concat();
        let told = control.handle(&mut &bytes[..], &mut &mut [0_u8; 0][..]);
        assert!(told.expect("bytes can be read").result().is_ok());
        assert_eq!(model.command(&bytes, 0), Ok(vec![]));
        for frame in frames {
            let hash = control.steer(frame).hash.map(|hash| (hash.value, hash.report));
            assert_eq!(hash, model.hash(frame), "{frame:02x?}");
            assert_eq!(control.accepts(frame), model.accepts(frame), "{frame:02x?}");
        }
    });
}

//! The control queue on a ring (NET-036, NET-037, NET-043, VQ-024).

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::control::{Control, ControlConfig, ControlError, ServeError, Served};
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_core::ring::flag::WRITE;
use vhost_fuzz_core::ring::{AccessError, Chain, Layout, Ring, Token};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

use crate::memory::{offer, start};
use crate::ram::{Ram, Touch};
use crate::rig::{self, BUFFER, Fields, ram};
use crate::split;

const ACK: u64 = BUFFER + 0x8_0000;

fn control() -> Control {
    let config = ControlConfig { pairs: 4, ..ControlConfig::new(Mac([2, 0, 0, 0, 0, 1])) };
    let mut control = Control::new(config).expect("a good configuration");
    control.negotiated(Features::from_bits(u128::MAX));
    control
}

/// A chain of these buffers, from a fresh queue.
fn take(ram: &Ram, list: &[Fields]) -> (Chain, Token) {
    let mut queue = start(ram, Layout::Split);
    offer(ram, &queue, list);
    let guest = ram.guest();
    let mut chain = split::Rig::new(8).chain();
    let token = rig::token(queue.bind(&guest).expect("it is there").pop(&mut chain));
    (chain, token)
}

/// A command in a buffer, and room for the answer.
fn command(ram: &Ram, bytes: &[u8], room: u32) -> (Chain, Token) {
    ram.put(BUFFER, bytes);
    let len = u32::try_from(bytes.len()).expect("a short command");
    take(ram, &[(BUFFER, len, 0, 0), (ACK, room, WRITE, 0)])
}

fn serve(control: &mut Control, ram: &Ram, chain: &Chain) -> Result<Served, ServeError> {
    control.serve(chain, &ram.guest())
}

#[test]
fn the_used_length_is_that_of_ack_and_result() {
    let _shows = shows(&["NET-036"]);
    let mut control = control();
    for (bytes, room, used, written) in [
        (&[0, 0, 1][..], 1, 1, &[0, 0xee][..]),
        (&[0, 0, 1], 40, 1, &[0, 0xee]),
        (&[0, 0, 7], 40, 1, &[1, 0xee]),
        (&[99, 0], 40, 1, &[1, 0xee]),
        (&[6, 0, 1, 0, 0, 0, 2, 0, 0, 0], 40, 1, &[0, 0xee]),
        (&[6, 3, 1, 0, 0, 0], 9, 9, &[0, 1, 0, 0, 0, 2, 0, 0, 0, 0xee]),
        (&[6, 3, 1, 0, 0, 0], 40, 9, &[0, 1, 0, 0, 0, 2, 0, 0, 0, 0xee]),
        (&[6, 3, 1, 0, 0, 0], 8, 1, &[1, 0xee]),
    ] {
        let ram = ram();
        ram.put(ACK, &[0xee; 48]);
        let (chain, token) = command(&ram, bytes, room);
        let served = serve(&mut control, &ram, &chain).expect("it is answered");
        assert_eq!((served.used_len, served.outcome.used_len()), (used, used), "{bytes:?}");
        assert_eq!(ram.get::<10>(ACK)[..written.len()], *written, "{bytes:?}");
        assert!(used <= token.writable());
    }
}

#[test]
fn a_chain_without_room_for_an_ack_is_dropped() {
    let mut control = control();
    let before = control.clone();
    let ram = ram();
    ram.put(BUFFER, &[0, 0, 1]);
    for list in [&[(BUFFER, 3, 0, 0)][..], &[(BUFFER, 3, 0, 0), (ACK, 0, WRITE, 0)]] {
        let (chain, _) = take(&ram, list);
        ram.touches();
        assert_refused!(serve(&mut control, &ram, &chain), ServeError::NoAck);
        assert_eq!((&control, ram.touches()), (&before, vec![]), "it is not even read");
    }
}

/// Wherever the borders of its buffers are, a command says the same.
#[test]
fn a_command_may_be_cut_anywhere() {
    let bytes = [1, 0, 1, 0, 0, 0, 2, 2, 2, 2, 2, 2, 1, 0, 0, 0, 3, 3, 3, 3, 3, 3];
    let mut whole = control();
    let before = whole.clone();
    whole.handle(&mut &bytes[..], &mut &mut [0_u8; 0][..]).expect("bytes can be read");
    assert_ne!(whole, before);
    let len: u32 = 22;
    for (first, second) in (0..=len).flat_map(|a| (a..=len).step_by(5).map(move |b| (a, b))) {
        let ram = ram();
        let place = |from: u32| usize::try_from(from).expect("a small number");
        let at = |from: u32| BUFFER + 0x100 * u64::from(from) + 1;
        let mut list = vec![];
        for (from, to) in [(0, first), (first, second), (second, len)] {
            ram.put(at(from), &bytes[place(from)..place(to)]);
            list.push((at(from), to - from, 0, 0));
        }
        list.extend([(ACK, 0, WRITE, 0), (ACK, 1, WRITE, 0)]);
        let (chain, _) = take(&ram, &list);
        let mut control = control();
        let served = serve(&mut control, &ram, &chain).expect("it is answered");
        assert_eq!((served.outcome.ack(), &control), (0, &whole), "{first} {second}");
    }
}

/// Loads, byte by byte, of what lies in the command.
fn loads(ram: &Ram) -> Vec<u64> {
    let of = |touch: Touch| match touch {
        Touch::Load(at, len, _) => (at..at + len).collect(),
        Touch::Store(..) => vec![],
        other => panic!("{other:?}"),
    };
    ram.touches().into_iter().flat_map(of).collect()
}

#[test]
fn each_byte_is_read_at_most_once_and_a_long_table_hardly() {
    let _shows = shows(&["NET-043", "VQ-024"]);
    // As many addresses as are kept, and then as many as fit in a hundred thousand bytes.
    for (count, read) in [(64, 2 + 4 + 6 * 64 + 4), (17_000, 2 + 4 + 4)] {
        let ram = ram();
        let len = 6 * count;
        ram.put(BUFFER, &[&[1, 0], &u32::to_le_bytes(count)[..]].concat());
        ram.put(BUFFER + 6, &[2; 6].repeat(usize::try_from(count).expect("a small number")));
        let (chain, _) = take(&ram, &[(BUFFER, len + 10, 0, 0), (ACK, 1, WRITE, 0)]);
        ram.touches();
        let mut control = control();
        let served = serve(&mut control, &ram, &chain).expect("it is answered");
        assert_eq!(served.outcome.ack(), 0);
        let mut loads = loads(&ram);
        assert_eq!(loads.len(), read);
        loads.sort_unstable();
        assert!(loads.windows(2).all(|pair| pair[0] < pair[1]), "a byte was read twice");
    }
}

#[test]
fn memory_that_went_away_is_no_answer() {
    let mut ram = ram();
    let (chain, _) = command(&ram, &[0, 0, 1], 1);
    ram.remove(rig::DESCRIPTORS, rig::END - rig::DESCRIPTORS);
    let mut control = control();
    let before = control.clone();
    let gone = ServeError::Access(AccessError::Outside { address: BUFFER });
    assert_refused!(serve(&mut control, &ram, &chain), gone);
    assert_eq!(control, before);
    // It can be served when the memory is there again.
    ram.add(rig::DESCRIPTORS, rig::END - rig::DESCRIPTORS, 0x30_0000, 0);
    ram.put(BUFFER, &[0, 0, 2]);
    let served = serve(&mut control, &ram, &chain).expect("it is answered");
    assert_eq!(served.outcome.result(), Err(ControlError::Mode { value: 2 }));
}

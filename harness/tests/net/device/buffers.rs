//! What is put into receive buffers, and what is left out of them.

use vhost_fuzz_core::net::device::Due;
use vhost_fuzz_core::ring::{Broken, PutError, Ring, Token, flag};
use vhost_fuzz_harness::broken::net_device::{BrokenDevice, Kind, Mistake};
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::net_device::run::check;
use vhost_fuzz_harness::net_device::{Start, Step, bit, frames};
use vhost_fuzz_harness::ring::step::Descriptor;

use crate::device::rig::{BUFFERS, Bare, CALLS, answers, merging, run, starts, with};

/// Header and echo request of 200 bytes have 254 bytes.
fn echo() -> Vec<u8> {
    frames::echo(200)
}

#[test]
fn without_merging_a_frame_is_in_one_buffer() {
    let _shows = shows(&["NET-022", "NET-036"]);
    let mut bare = Bare::new(Start::default());
    bare.drive(&Step::post(0, 2, 254));
    bare.send(&echo());
    bare.send(&frames::arp());
    let [sent, received] = bare.serve();
    assert_eq!(bare.used(0), [(0, 254), (1, 54)]);
    assert_eq!(bare.used(1), [(0, 0), (1, 0)]);
    assert_eq!(bare.bytes(BUFFERS + 10, 2), [1, 0]);
    let due = Due { call: true, ..Due::default() };
    assert_eq!([sent, received], [due; 2]);
}

#[test]
fn merged_buffers_are_counted_and_filled_but_for_the_last() {
    let _shows = shows(&["NET-023", "NET-024", "NET-036"]);
    for (len, used) in [
        (254, &[254][..]),
        (253, &[253, 1]),
        (127, &[127, 127]),
        (100, &[100, 100, 54]),
        (12, &[12; 22][..]),
    ] {
        let mut bare = Bare::new(Start { sizes: [64; 5], ..merging(Start::default()) });
        bare.drive(&Step::post(0, 30, len));
        bare.send(&echo());
        bare.serve();
        let lens: Vec<_> = bare.used(0).into_iter().map(|(_, len)| len).collect();
        let count = u16::try_from(lens.len()).expect("a few");
        if len == 12 {
            assert_eq!((lens.len(), lens[21]), (22, 2), "21 are filled");
            assert!(lens[..21].iter().all(|len| *len == 12));
        } else {
            assert_eq!(lens, used);
        }
        assert_eq!(bare.bytes(BUFFERS + 10, 2), count.to_le_bytes());
        // Together they are the reply: a header, and then the frame.
        let all: Vec<u8> = lens
            .iter()
            .zip(0_u64..)
            .flat_map(|(used, at)| {
                let used = usize::try_from(*used).expect("short");
                bare.bytes(BUFFERS + at * (u64::from(len) + 1), used)
            })
            .collect();
        let whole =
            run(Start::default(), &[Step::post(0, 1, 254), Step::frame(0, echo()), Step::wake(0)]);
        assert_eq!(all[12..], whole.replies[0]);
    }
}

/// Notes in which order buffers are given back and shown.
#[derive(Debug, Default)]
struct Order;

impl Mistake for Order {
    fn put<R: Ring>(
        &mut self,
        kind: Kind,
        ring: &mut R,
        token: Token,
        len: u32,
    ) -> Result<(), PutError> {
        if kind == Kind::Receive {
            CALLS.with_borrow_mut(|calls| calls.push("put"));
        }
        ring.put(token, len)
    }

    fn publish<R: Ring>(&mut self, kind: Kind, ring: &mut R) -> Result<bool, Broken> {
        if kind == Kind::Receive {
            CALLS.with_borrow_mut(|calls| calls.push("publish"));
        }
        ring.publish()
    }
}

#[test]
fn merged_buffers_are_shown_together() {
    let _shows = shows(&["NET-025"]);
    for start in starts() {
        let start = Start { sizes: [64; 5], ..merging(start) };
        let steps =
            [Step::Start(start), Step::post(0, 3, 100), Step::frame(0, echo()), Step::wake(0)];
        // A device that is watched closely has to have its memory already.
        CALLS.set(Vec::with_capacity(64));
        let outcome = check::<BrokenDevice<Order>>(&steps);
        assert_eq!(outcome.replies.len(), 1);
        let calls = CALLS.take();
        assert!(calls.starts_with(&["put", "put", "put", "publish"]), "{calls:?}");
    }
}

#[test]
fn a_frame_that_does_not_fit_uses_no_buffer_up() {
    let _shows = shows(&["NET-026"]);
    for (start, count, len) in [(Start::default(), 1, 253), (merging(Start::default()), 3, 84)] {
        let mut bare = Bare::new(start);
        bare.drive(&Step::post(0, count, len));
        bare.send(&echo());
        bare.serve();
        assert_eq!((bare.used(0), bare.used(1).len()), (vec![], 1));
        assert_eq!(bare.device.counters().dropped, 1);
        // The buffers are there for what does fit.
        bare.send(&frames::arp());
        bare.serve();
        assert_eq!(bare.used(0), [(0, 54)]);
    }
    // Without any buffer it is the same.
    let mut bare = Bare::new(Start::default());
    bare.send(&echo());
    bare.serve();
    assert_eq!((bare.used(0), bare.used(1).len(), bare.device.counters().dropped), (vec![], 1, 1));
}

fn posted(id: u16, descriptors: &[(u64, u32, u16)]) -> Step<'static> {
    let descriptors = descriptors
        .iter()
        .map(|&(address, len, flags)| Descriptor { address, len, flags })
        .collect();
    Step::Chain { queue: 0, id, descriptors }
}

#[test]
fn a_buffer_may_have_as_many_pieces_as_its_ring() {
    let frame = frames::arp();
    let whole = answers(Start::default(), std::slice::from_ref(&frame));
    assert_eq!(whole.len(), 1);
    for start in starts() {
        let start = Start { sizes: [128; 5], ..start };
        // Header and frame have 54 bytes: what is behind them in the buffer is not needed.
        for count in [1, 2, 8, 9, 17, 18, 19, 33, 54, 65, 128] {
            let len = 54_u32.div_ceil(count);
            let pieces: Vec<_> = (0..count)
                .map(|at| {
                    let more = if at + 1 < count { flag::NEXT } else { 0 };
                    (0x2_0000 + 64 * u64::from(at), len, flag::WRITE | more)
                })
                .collect();
            for start in [start, merging(start)] {
                let steps = [posted(0, &pieces), Step::frame(0, &frame[..]), Step::wake(0)];
                assert_eq!(run(start, &steps).replies, whole, "{count} {start:?}");
            }
        }
    }
}

#[test]
fn a_buffer_that_no_frame_can_use_goes_back_empty() {
    let _shows = shows(&["NET-027", "NET-028", "DC-123"]);
    const AT: u64 = 0x2_0000;
    let writable = |id, at, len| posted(id, &[(AT + at, len, flag::WRITE)]);
    let short = writable(0, 0, 11);
    let readable = posted(0, &[(AT, 64, 0)]);
    let mixed = posted(0, &[(AT, 2, flag::NEXT), (AT + 2, 2000, flag::WRITE)]);
    let outside = posted(0, &[(0x7000_0000, 2000, flag::WRITE)]);
    for (start, bad) in [
        (with(bit::MRG_RXBUF), short),
        (Start::default(), readable.clone()),
        (with(bit::MRG_RXBUF), readable),
        (Start::default(), mixed),
        (with(bit::MRG_RXBUF), outside),
    ] {
        let mut bare = Bare::new(start);
        bare.drive(&bad);
        bare.drive(&writable(4, 0x1000, 54));
        bare.send(&frames::arp());
        bare.serve();
        assert_eq!(bare.used(0), [(0, 0), (4, 54)], "{bad:?}");
    }
    // Those that were taken before it go back with it.
    let mut bare = Bare::new(with(bit::MRG_RXBUF));
    bare.drive(&writable(0, 0, 30));
    bare.drive(&writable(1, 64, 5));
    bare.drive(&writable(2, 0x100, 30));
    bare.drive(&writable(3, 0x200, 30));
    bare.send(&frames::arp());
    bare.serve();
    assert_eq!(bare.used(0), [(0, 0), (1, 0), (2, 30), (3, 24)]);
}

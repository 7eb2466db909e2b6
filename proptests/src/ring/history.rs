//! What driver and device do to a ring.
//!
//! A history makes sense: most requests are offered, taken, completed and heard of, in batches and
//! one by one, with other things in between. It shrinks act by act.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::flat::Flat;

/// Most requests of a round.
const ROUND_MAX: u8 = 6;

/// One thing that driver or device do. Numbers may be too large for what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The driver has a request for so many bytes in each direction; how it is laid out is a
    /// number.
    Request {
        /// Bytes that the device reads.
        readable: u8,
        /// Bytes that it can write.
        writable: u8,
        /// The way to lay it out.
        style: u16,
    },
    /// The driver offers so many of its requests.
    Offer(u8),
    /// The driver looks what was used.
    Reap,
    /// The driver says when to be called.
    Want(Calls),
    /// The device takes so many requests.
    Take(u8),
    /// The device completes a request.
    Complete {
        /// Which of those that it has.
        which: u8,
        /// Bytes that it writes.
        len: u8,
    },
    /// The device completes the oldest requests at once.
    Batch {
        /// How many.
        count: u8,
        /// Bytes that it writes to the last.
        len: u8,
    },
    /// The device shows what it completed.
    Publish,
    /// The device asks for kicks.
    Arm,
    /// The device asks for no kicks.
    Disarm,
    /// The device stops and starts.
    Restart,
}

/// When the driver wants to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// After every update.
    Always,
    /// Not at all.
    Never,
    /// After so many more.
    After(u8),
}

fn len() -> impl Strategy<Value = u8> + Clone {
    prop_oneof![2 => Just(0), 2 => 1..8_u8, 3 => 0..=200_u8]
}

/// A style with few bits, or with any. Its first six bits are numbers of pieces, less one: few
/// enough that there is room in a short ring, and now and then more.
fn style() -> impl Strategy<Value = u16> + Clone {
    let few = (0..3_u16, 0..3_u16).prop_map(|(readable, writable)| readable | writable << 3);
    let pieces = prop_oneof![4 => few, 1 => 0..0x40_u16];
    let one = (pieces, 6..16_u16).prop_map(|(pieces, bit)| pieces | 1 << bit);
    prop_oneof![2 => Just(0), 6 => one, 1 => any::<u16>()]
}

/// A request of any size and style.
pub fn request() -> impl Strategy<Value = Act> + Clone {
    (len(), len(), style()).prop_map(|(readable, writable, style)| Act::Request {
        readable,
        writable,
        style,
    })
}

/// When to be called.
pub fn calls() -> impl Strategy<Value = Calls> + Clone {
    prop_oneof![
        Just(Calls::Always),
        Just(Calls::Never),
        (0..6_u8).prop_map(Calls::After),
        (0..=253_u8).prop_map(Calls::After),
    ]
}

fn complete() -> impl Strategy<Value = Act> + Clone {
    let one = (0..8_u8, len()).prop_map(|(which, len)| Act::Complete { which, len });
    let batch = (1..=ROUND_MAX, len()).prop_map(|(count, len)| Act::Batch { count, len });
    prop_oneof![3 => one, 1 => batch]
}

/// One act, which may come at the wrong time.
fn act() -> impl Strategy<Value = Act> + Clone {
    prop_oneof![
        2 => request(),
        1 => (1..=ROUND_MAX).prop_map(Act::Offer),
        1 => Just(Act::Reap),
        3 => calls().prop_map(Act::Want),
        1 => (1..=ROUND_MAX).prop_map(Act::Take),
        1 => complete(),
        1 => Just(Act::Publish),
        2 => Just(Act::Arm),
        1 => Just(Act::Disarm),
        1 => Just(Act::Restart),
    ]
}

/// Requests that are offered together, and what becomes of them.
fn round() -> impl Strategy<Value = Vec<Act>> + Clone {
    // Requests that are alike lie in the ring side by side, which is how a ring is filled.
    let alike = (request(), 1..=usize::from(ROUND_MAX)).prop_map(|(one, count)| vec![one; count]);
    let requests = prop_oneof![alike, vec(request(), 1..=usize::from(ROUND_MAX))];
    let tell = vec((complete(), any::<bool>()), 0..=usize::from(ROUND_MAX));
    let ends = select(vec![
        &[][..],
        &[Act::Reap],
        &[Act::Arm],
        &[Act::Reap, Act::Arm],
        &[Act::Publish, Act::Reap],
        &[Act::Publish, Act::Reap, Act::Restart],
    ]);
    // What a device may do before it looks.
    let before = select(vec![&[][..], &[], &[], &[Act::Arm], &[Act::Restart]]);
    (requests, before, 0..=2_u8, tell, ends).prop_map(|(mut acts, before, more, tell, ends)| {
        let count = u8::try_from(acts.len()).unwrap_or(u8::MAX);
        acts.push(Act::Offer(count));
        acts.extend(before);
        acts.push(Act::Take(count.saturating_add(more)));
        for (act, is_shown) in tell {
            acts.push(act);
            acts.extend(is_shown.then_some(Act::Publish));
        }
        acts.extend(ends);
        acts
    })
}

/// A history of up to `max` rounds and single acts.
pub fn history(max: usize) -> impl Strategy<Value = Vec<Act>> + Clone {
    let one = act().prop_map(|act| vec![act]);
    Flat(vec(prop_oneof![1 => one, 1 => round()], 0..=max))
}

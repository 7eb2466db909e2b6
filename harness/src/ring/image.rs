//! A single chain from a plain image of memory: no script, so that every byte of an input is a
//! byte of a descriptor or of a table.
//!
//! | Offset | Size | Field |
//! |---|---|---|
//! | 0 | 1 | bits 0-2: a size of [`SIZES`]; bit 3: memory of several odd regions |
//! | 1 | 1 | features, bits of [`feature`](super::step::feature) |
//! | 2 | 1 | entries of an indirect table at most; 0 is what a device says unless told otherwise |
//! | 3 | 1 | split: the head; packed: the slot where processing begins |
//! | 4 | 16 each | the descriptor table or ring, up to its size |
//! | | 16 each | what lies at [`table_address`] |

use std::borrow::Cow;

use super::step::{Descriptors, Start, Step};
use crate::ram::Layout;
use vhost_fuzz_core::ring::Layout as Form;

/// Bytes in front of the descriptors.
pub const HEADER_LEN: usize = 4;

/// Sizes of a ring. A split ring is refused when its size is no power of two.
pub const SIZES: [u16; 8] = [1, 2, 4, 8, 16, 32, 3, 5];

/// Where the rest of an image lies.
#[must_use]
pub const fn table_address(layout: Layout) -> u64 {
    layout.areas()[0].start + 0x4000
}

/// The steps that take the chain of an image, read it, write to it and give it back.
#[must_use]
pub fn steps(form: Form, image: &[u8]) -> Option<[Step<'_>; 10]> {
    let (&[kind, features, cap, first], rest) = image.split_first_chunk::<HEADER_LEN>()?;
    let size = SIZES[usize::from(kind & 7)];
    let layout = if kind & 8 == 0 { Layout::Small } else { Layout::Odd };
    let base = match form {
        Form::Split => 0,
        Form::Packed => {
            let half = 0x8000 | u32::from(u16::from(first) % size);
            half << 16 | half
        }
    };
    let cap = cap.into();
    let start = Start { layout, size, features, cap, base, parts: Start::parts(layout, size) };
    let (table, more) = rest.split_at(rest.len().min(16 * usize::from(size)));
    let [descriptor, ..] = start.parts;
    Some([
        Step::Start(start),
        Step::Poke { address: descriptor, bytes: table.into() },
        Step::Poke { address: table_address(layout), bytes: more.into() },
        Step::Chain { id: first.into(), descriptors: Descriptors(Cow::Borrowed(&[])) },
        Step::Wake,
        Step::Pop { count: 1 },
        Step::Read { border: u16::from(first), len: 64 },
        Step::Write { len: 16 },
        Step::Put { which: 0, len: 0 },
        Step::Publish,
    ])
}

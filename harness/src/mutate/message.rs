//! Mutates an input of `msg_decode`: one message with its context.

use vhost_fuzz_core::vhost_user::request::Row;
use vhost_fuzz_core::vhost_user::{HEADER_LEN, Kind};

use super::{ByteMutator, boundary, is_bytes_turn, put};
use crate::context::Context;
use crate::seeds::{self, Random};

/// Changes `data[..size]` into another input of at most `max_size` bytes; returns its length.
pub fn mutate(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytes: ByteMutator<'_>,
) -> usize {
    let mut rng = fastrand::Rng::with_seed(seed.into());
    if is_bytes_turn(&mut rng) || size < HEADER_LEN {
        return if rng.bool() && size < HEADER_LEN {
            put(data, max_size, &generate(&mut rng))
        } else {
            bytes(data, size)
        };
    }
    let (message, mut context) = Context::split(&data[..size]);
    let mut message = message.to_vec();
    for _ in 0..=rng.u8(..3) {
        step(&mut message, &mut context, &mut rng);
    }
    put(data, max_size, &context.join(&message))
}

/// A message of one parent with the payload of another; returns the length of the child.
pub fn crossover(first: &[u8], second: &[u8], out: &mut [u8], seed: u32) -> usize {
    let mut rng = fastrand::Rng::with_seed(seed.into());
    let (left, context) = Context::split(first);
    let (right, _) = Context::split(second);
    let mut child = left[..HEADER_LEN.min(left.len())].to_vec();
    match rng.u8(..3) {
        0 => child.extend(right.get(HEADER_LEN..).unwrap_or_default()),
        1 => {
            // The front of one payload and the back of the other, split at a field border.
            let at = HEADER_LEN + 8 * rng.usize(..=8);
            child.extend(left.get(HEADER_LEN..at.min(left.len())).unwrap_or_default());
            child.extend(right.get(at..).unwrap_or_default());
        }
        _ => {
            child.extend(left.get(HEADER_LEN..).unwrap_or_default());
            child.extend(right.get(HEADER_LEN..).unwrap_or_default());
        }
    }
    fix_size(&mut child);
    let max_size = out.len();
    put(out, max_size, &context.join(&child))
}

/// A legal message with random numbers.
fn generate(rng: &mut fastrand::Rng) -> Vec<u8> {
    let (kind, row) = any_row(rng);
    let mut forms = seeds::forms_of(kind, row, &mut Random(rng));
    let at = rng.usize(..forms.len().max(1));
    if at < forms.len() { forms.swap_remove(at).input() } else { Vec::new() }
}

/// Any request, or the reply to any.
pub(super) fn any_row(rng: &mut fastrand::Rng) -> (Kind, &'static Row) {
    let kind = Kind::ALL[rng.usize(..Kind::ALL.len())];
    let rows = Row::all(kind.channel);
    (kind, &rows[rng.usize(..rows.len())])
}

fn step(message: &mut Vec<u8>, context: &mut Context, rng: &mut fastrand::Rng) {
    match rng.u8(..10) {
        // Another request, with the same payload.
        0 => put_u32(message, 0, any_row(rng).1.code),
        1 => {
            let flags = [0, 1, 2, 3, 5, 9, 0xd, 0x11, 0x15, 1 << rng.u8(..32)];
            put_u32(message, 4, flags[rng.usize(..flags.len())]);
        }
        // The size field lies.
        2 => {
            let size = u32::try_from(message.len() - HEADER_LEN).unwrap_or(u32::MAX);
            let sizes = [0, size.wrapping_sub(1), size + 1, 4097, u32::MAX, size ^ 8];
            put_u32(message, 8, sizes[rng.usize(..sizes.len())]);
        }
        // The payload grows or shrinks, and the size field tells.
        3 | 4 => {
            let len = message.len() - HEADER_LEN;
            let lens =
                [0, len.saturating_sub(1), len + 1, len.saturating_sub(8), len + 8, len + 32];
            let len = lens[rng.usize(..lens.len())].min(4096);
            message.resize(HEADER_LEN + len, rng.u8(..));
            fix_size(message);
        }
        // A field takes a number at which something changes.
        5 | 6 => {
            let fields = (message.len() - HEADER_LEN) / 4;
            if fields > 0 {
                let at = HEADER_LEN + 4 * rng.usize(..fields);
                let value = boundary(rng);
                let width = [1, 2, 4, 8][rng.usize(..4)].min(message.len() - at);
                message[at..at + width].copy_from_slice(&value.to_ne_bytes()[..width]);
            }
        }
        7 => context.fds = rng.usize(..10),
        8 => match rng.u8(..4) {
            0 => context.kind = Kind::ALL[rng.usize(..4)],
            1 => context.layout.xen_mmap ^= true,
            2 => context.layout.log_shmfd ^= true,
            _ => context.layout.postcopy_ack ^= true,
        },
        _ => {
            let generated = generate(rng);
            let (other, other_context) = Context::split(&generated);
            *message = other.to_vec();
            *context = other_context;
        }
    }
}

fn put_u32(message: &mut [u8], at: usize, value: u32) {
    if let Some(field) = message.get_mut(at..at + 4) {
        field.copy_from_slice(&value.to_ne_bytes());
    }
}

fn fix_size(message: &mut [u8]) {
    let size = u32::try_from(message.len().saturating_sub(HEADER_LEN)).unwrap_or(u32::MAX);
    put_u32(message, 8, size);
}

//! Mutates a script record by record.

use std::borrow::Cow;

use vhost_fuzz_core::vhost_user::Kind;

use super::{ByteMutator, boundary, is_bytes_turn, put};
use crate::context::Context;
use crate::script::{self, FdKind, Record};
use crate::seeds::{self, Random};

/// Changes `data[..size]` into another script of at most `max_size` bytes; returns its length.
pub fn mutate(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytes: ByteMutator<'_>,
) -> usize {
    let mut rng = fastrand::Rng::with_seed(seed.into());
    if is_bytes_turn(&mut rng) {
        return bytes(data, size);
    }
    let child = {
        let mut records = script::decode(&data[..size]);
        for _ in 0..=rng.u8(..3) {
            step(&mut records, &mut rng);
        }
        fitting(&records, max_size)
    };
    put(data, max_size, &child)
}

/// The front of one script and the back of another, joined at a record border.
pub fn crossover(first: &[u8], second: &[u8], out: &mut [u8], seed: u32) -> usize {
    let mut rng = fastrand::Rng::with_seed(seed.into());
    let mut records = script::decode(first);
    let tail = script::decode(second);
    records.truncate(rng.usize(..=records.len()));
    let from = rng.usize(..=tail.len());
    records.extend_from_slice(&tail[from..]);
    let child = fitting(&records, out.len());
    let max_size = out.len();
    put(out, max_size, &child)
}

/// The script of as many records as fit: none is cut.
pub(super) fn fitting(records: &[Record<'_>], max_size: usize) -> Vec<u8> {
    let mut count = records.len();
    loop {
        let script = script::encode(&records[..count]);
        if script.len() <= max_size || count == 0 {
            return script;
        }
        count -= 1 + count / 8;
    }
}

/// One change.
pub(super) fn step(records: &mut Vec<Record<'_>>, rng: &mut fastrand::Rng) {
    let any = |records: &[Record<'_>], rng: &mut fastrand::Rng| rng.usize(..records.len().max(1));
    let at = any(records, rng);
    if records.is_empty() {
        records.push(message(rng));
        return;
    }
    match rng.u8(..12) {
        0 => drop(records.remove(at)),
        1 => records.insert(at, records[at].clone()),
        2 => {
            let other = any(records, rng);
            records.swap(at, other);
        }
        3 => records.insert(at, Record::Border),
        4 => records.insert(at, fd(rng)),
        5 => records.insert(at, Record::ControlTruncated),
        6 => records.insert(at, if rng.bool() { Record::Close } else { Record::Reconnect }),
        7 => records.insert(at, message(rng)),
        8 => {
            let end = (at + 1 + rng.usize(..8)).min(records.len());
            let copy = records[at..end].to_vec();
            records.splice(at..at, copy);
        }
        9 => split(records, at, rng),
        _ => change(&mut records[at], rng),
    }
}

fn fd(rng: &mut fastrand::Rng) -> Record<'static> {
    Record::Fd { kind: FdKind(rng.u8(..6)), seals: rng.u8(..16), size: boundary(rng) }
}

fn message(rng: &mut fastrand::Rng) -> Record<'static> {
    let (kind, row) = super::message::any_row(rng);
    let mut forms = seeds::forms_of(kind, row, &mut Random(rng));
    let at = rng.usize(..forms.len());
    Record::Message { kind, bytes: Cow::Owned(forms.swap_remove(at).bytes) }
}

/// Cuts the bytes of a message record in two, with a border between them or without.
fn split(records: &mut Vec<Record<'_>>, at: usize, rng: &mut fastrand::Rng) {
    let Record::Message { kind, bytes } = &records[at] else { return };
    if bytes.len() < 2 {
        return;
    }
    let (kind, cut) = (*kind, 1 + rng.usize(..bytes.len() - 1));
    let (head, tail) = bytes.split_at(cut);
    let part = |bytes: &[u8]| Record::Message { kind, bytes: Cow::Owned(bytes.to_vec()) };
    let mut parts = vec![part(head), part(tail)];
    if rng.bool() {
        parts.insert(1, Record::Border);
    }
    if rng.u8(..8) == 0 {
        parts.insert(parts.len() - 1, fd(rng));
    }
    records.splice(at..=at, parts);
}

fn change(record: &mut Record<'_>, rng: &mut fastrand::Rng) {
    match record {
        Record::Message { kind, bytes } => {
            if rng.u8(..8) == 0 {
                *kind = Kind::ALL[rng.usize(..4)];
                return;
            }
            // The message mutator needs room; what it does to the context is dropped.
            let mut buffer = bytes.to_vec();
            let size = buffer.len();
            buffer.resize(size + 512, 0);
            let max_size = buffer.len();
            let seed = rng.u32(..);
            let len = super::message(&mut buffer, size, max_size, seed, &mut |data, size| {
                if let Some(byte) = data.get_mut(rng.usize(..size.max(1))) {
                    *byte ^= 1 << rng.u8(..8);
                }
                size
            });
            *bytes = Cow::Owned(Context::split(&buffer[..len]).0.to_vec());
        }
        Record::Fd { kind, seals, size } => {
            *kind = FdKind(rng.u8(..6));
            *seals = rng.u8(..16);
            *size = boundary(rng);
        }
        Record::GuestWrite { address, .. } => *address = boundary(rng),
        Record::Action { operation, .. } => *operation = rng.u8(..),
        Record::EffectResult { is_ok, value } => {
            *is_ok = rng.bool();
            *value = boundary(rng);
        }
        Record::Border | Record::ControlTruncated | Record::Close | Record::Reconnect => {}
    }
}

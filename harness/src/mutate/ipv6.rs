//! Mutates frames with IPv6 packets: fields, options, headers, whole frames. Lengths and checksums
//! are made right again most of the time, because nothing behind a wrong one is read.

use fastrand::Rng;

use super::{ByteMutator, boundary, is_bytes_turn, put};
use crate::ipv6::draft::{relength, reseal};
use crate::ipv6::{encode, records};

/// Most frames of an input that is made.
const FRAMES_MAX: usize = 8;

/// Longest frame that a change makes longer.
const FRAME_MAX: usize = 1600;

/// Frames with their delays.
type Frames = Vec<(u8, Vec<u8>)>;

/// Changes `data[..size]` into another input of at most `max_size` bytes; returns its length.
pub fn mutate(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytes: ByteMutator<'_>,
) -> usize {
    let mut rng = Rng::with_seed(seed.into());
    if is_bytes_turn(&mut rng) {
        return bytes(data, size);
    }
    let (mut setup, mut frames) = read(&data[..size]);
    for _ in 0..=rng.u8(..3) {
        change(&mut setup, &mut frames, &mut rng);
    }
    let child = encode(setup, &frames);
    put(data, max_size, &child)
}

/// The front of one input and the back of the other.
pub fn crossover(first: &[u8], second: &[u8], out: &mut [u8], seed: u32) -> usize {
    let mut rng = Rng::with_seed(seed.into());
    let (setup, mut frames) = read(first);
    let (other, tail) = read(second);
    frames.truncate(rng.usize(..=frames.len()));
    frames.extend_from_slice(&tail[rng.usize(..=tail.len())..]);
    frames.truncate(FRAMES_MAX);
    let child = encode(if rng.bool() { setup } else { other }, &frames);
    let max_size = out.len();
    put(out, max_size, &child)
}

fn read(bytes: &[u8]) -> (u8, Frames) {
    let Some((&setup, rest)) = bytes.split_first() else { return (0, Vec::new()) };
    let delays = |delay: u64| u8::try_from(delay / crate::ipv6::DELAY).unwrap_or(u8::MAX);
    (setup, records(rest).map(|(delay, frame)| (delays(delay), frame.to_vec())).collect())
}

fn change(setup: &mut u8, frames: &mut Frames, rng: &mut Rng) {
    if frames.is_empty() {
        let mut frame = vec![0; 14 + 40 + 32];
        frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
        frames.push((0, frame));
    }
    let index = rng.usize(..frames.len());
    match rng.u8(..12) {
        0 => *setup ^= 1 << rng.u8(..8),
        1 => frames[index].0 = rng.u8(..),
        2 if frames.len() < FRAMES_MAX => {
            let copy = frames[index].clone();
            frames.insert(rng.usize(..=frames.len()), copy);
        }
        3 if frames.len() > 1 => _ = frames.remove(index),
        _ => inside(&mut frames[index].1, rng),
    }
}

/// Changes the bytes of a frame.
fn inside(frame: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.usize(..=frame.len());
    match rng.u8(..8) {
        0 => {
            let len = [1, 2, 4, 8, 16][rng.usize(..5)];
            frame.drain(at..frame.len().min(at + len));
        }
        1 if frame.len() < FRAME_MAX => {
            let len = [1, 2, 4, 8, 16][rng.usize(..5)];
            let piece: Vec<u8> = (0..len).map(|_| rng.u8(..)).collect();
            frame.splice(at..at, piece);
        }
        2 if frame.len() < FRAME_MAX => {
            // An option, a header or more data once more.
            let end = frame.len().min(at + 8 * rng.usize(1..4));
            let piece = frame[at..end].to_vec();
            frame.splice(at..at, piece);
        }
        3 | 4 => {
            let number = boundary(rng).to_be_bytes();
            let from = if rng.bool() { 7 } else { 6 };
            for (byte, new) in frame[at..].iter_mut().zip(&number[from..]) {
                *byte = *new;
            }
        }
        _ => {
            if let Some(byte) = frame.get_mut(at) {
                *byte ^= 1 << rng.u8(..8);
            }
        }
    }
    if rng.u8(..8) > 0 {
        relength(frame);
    }
    if rng.u8(..8) > 0 {
        let _ = reseal(frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipv6::draft::Draft;
    use crate::ipv6::ndp::{Core, GATEWAY, GUEST};
    use crate::target::ndp;

    #[test]
    fn children_fit_and_many_are_still_answered() {
        let parent = encode(0, &[(0, Draft::neighbor(GUEST, GATEWAY, GATEWAY, true).frame())]);
        let (mut answered, mut refused, mut turns) = (0, 0, 0);
        for seed in 0..600 {
            let max_size = if seed % 3 == 0 { 80 } else { 400 };
            let mut data = parent.clone();
            data.resize(400, 0);
            let len = mutate(&mut data, parent.len(), max_size, seed, &mut |_, size| {
                turns += 1;
                size
            });
            assert!(len <= max_size.max(parent.len()));
            let outcome = ndp::check::<Core>(&data[..len]);
            answered += outcome.replies;
            refused += usize::from(outcome.broken.is_some());
        }
        assert!((40..120).contains(&turns), "{turns}");
        assert!(answered > 100 && refused > 50, "{answered} answered, {refused} refused");
    }

    #[test]
    fn a_crossover_has_frames_of_both() {
        let (left, right) = (encode(1, &[(0, [1; 20])]), encode(2, &[(3, [2; 20])]));
        let mut both = 0;
        for seed in 0..50 {
            let mut out = [0; 100];
            let len = crossover(&left, &right, &mut out, seed);
            both += usize::from(len == 47);
            assert!(crossover(&left, &right, &mut out[..5], seed) <= 5);
        }
        assert!(both > 3, "{both}");
    }
}

//! Mutations of what a guest says to a DHCP server: messages, how they come, and options.

use std::net::Ipv4Addr;

use vhost_fuzz_core::net::dhcp::option;

use super::{ByteMutator, is_bytes_turn, put};
use crate::dhcp::{ADDRESS, Draft, ELSEWHERE, FAR_ROUTER, GUEST, NEAR_ROUTER, Setup, input};
use crate::target::dhcp::{Record, records, split};

/// Messages of an input, at most.
const MOST: usize = 16;

/// Changes an input of the target `dhcp`; returns its length.
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
    let rng = &mut rng;
    let (mut setup, rest) = split(&data[..size.min(data.len())]);
    let mut drafts: Vec<_> = records(rest).take(MOST).map(draft).collect();
    match rng.u8(..16) {
        0 => setup.0[usize::from(rng.bool())] ^= 1 << rng.u8(..8),
        1 if !drafts.is_empty() => drop(drafts.remove(rng.usize(..drafts.len()))),
        2 | 3 if drafts.len() < MOST => {
            let at = rng.usize(..=drafts.len());
            let draft = match rng.choice(&drafts) {
                Some(draft) if rng.bool() => draft.clone(),
                _ => fresh(rng, setup),
            };
            drafts.insert(at, draft);
        }
        4 if drafts.len() > 1 => {
            let (one, other) = (rng.usize(..drafts.len()), rng.usize(..drafts.len()));
            drafts.swap(one, other);
        }
        kind => match drafts.is_empty() {
            true => drafts.push(fresh(rng, setup)),
            false => {
                let at = rng.usize(..drafts.len());
                change(rng, setup, &mut drafts[at], kind, bytes);
            }
        },
    }
    put(data, max_size, &input(setup, &drafts))
}

/// The front of one input and the rest of another; returns the length.
pub fn crossover(first: &[u8], second: &[u8], out: &mut [u8], seed: u32) -> usize {
    let mut rng = fastrand::Rng::with_seed(seed.into());
    let ((setup, first), (_, second)) = (split(first), split(second));
    let (first, second): (Vec<_>, Vec<_>) =
        (records(first).map(draft).collect(), records(second).map(draft).collect());
    let (front, back) = (rng.usize(..=first.len()), rng.usize(..=second.len()));
    let drafts = [&first[..front], &second[back..]].concat();
    let max_size = out.len();
    put(out, max_size, &input(setup, &drafts))
}

fn draft(record: Record<'_>) -> Draft {
    let Record { seconds, ethernet_source, source, destination, port, payload } = record;
    Draft { seconds, ethernet_source, source, destination, port, payload: payload.to_vec() }
}

/// A message of a client that keeps to the rules.
fn fresh(rng: &mut fastrand::Rng, setup: Setup) -> Draft {
    let draft = match rng.u8(..8) {
        0 => Draft::discover(),
        1 => Draft::selecting(setup),
        2 => Draft::rebooting(),
        3 => Draft::renewing(setup),
        4 => Draft::rebinding(),
        5 => Draft::decline(setup),
        6 => Draft::release(setup),
        _ => Draft::inform(ADDRESS),
    };
    if rng.bool() {
        draft.option(option::PARAMETERS, &[1, 3, 6, 15, 26, 51, 58, 59, 121])
    } else {
        draft
    }
}

fn address(rng: &mut fastrand::Rng, setup: Setup) -> Ipv4Addr {
    match rng.u8(..10) {
        0 | 1 => ADDRESS,
        2 | 3 => setup.server(),
        4 => Ipv4Addr::UNSPECIFIED,
        5 => Ipv4Addr::BROADCAST,
        6 => FAR_ROUTER,
        7 => NEAR_ROUTER,
        8 => ELSEWHERE,
        _ => Ipv4Addr::from_bits(rng.u32(..)),
    }
}

fn change(
    rng: &mut fastrand::Rng,
    setup: Setup,
    draft: &mut Draft,
    kind: u8,
    bytes: ByteMutator<'_>,
) {
    match kind {
        5 => draft.seconds = [0, 1, 9, 10, 11, 60, 43_200, u16::MAX][rng.usize(..8)],
        6 => draft.source = address(rng, setup),
        7 => draft.destination = address(rng, setup),
        8 => draft.port = [67, 67, 68, 4011][rng.usize(..4)],
        9 => {
            let at = [12, 16, 20, 24][rng.usize(..4)];
            let address = address(rng, setup).octets();
            if let Some(place) = draft.payload.get_mut(at..at + 4) {
                place.copy_from_slice(&address);
            }
        }
        10 => {
            let at = rng.usize(..44);
            if let Some(byte) = draft.payload.get_mut(at) {
                *byte ^= 1 << rng.u8(..8);
            }
        }
        11 => {
            let len = draft.payload.len();
            draft.payload.resize(len + 64, 0);
            let len = bytes(&mut draft.payload, len);
            draft.payload.truncate(len);
        }
        12 if draft.payload.len() >= 240 => overload(rng, setup, draft),
        _ => {
            let option = random_option(rng, setup);
            // In front, where it counts also when there is an end.
            let at = if rng.bool() { 240.min(draft.payload.len()) } else { end(&draft.payload) };
            draft.payload.splice(at..at, option);
        }
    }
}

/// Where the end of the options is.
fn end(payload: &[u8]) -> usize {
    let trimmed = payload.iter().rposition(|byte| *byte != option::PAD).map_or(0, |at| at + 1);
    match payload.get(trimmed.wrapping_sub(1)) {
        Some(&option::END) => trimmed - 1,
        _ => payload.len(),
    }
}

/// Options in one of the other fields.
fn overload(rng: &mut fastrand::Rng, setup: Setup, draft: &mut Draft) {
    let (at, len) = if rng.bool() { (108, 128) } else { (44, 64) };
    let mut options = random_option(rng, setup);
    if rng.bool() {
        options.push(option::END);
    }
    options.truncate(len);
    draft.payload[at..at + options.len()].copy_from_slice(&options);
    draft.payload.splice(240..240, [option::OVERLOAD, 1, rng.u8(..5)]);
}

fn random_option(rng: &mut fastrand::Rng, setup: Setup) -> Vec<u8> {
    let code = match rng.u8(..8) {
        0 => rng.u8(..),
        at => [50, 53, 54, 55, 57, 61, 80, 82][usize::from(at) % 8],
    };
    let most = [8, 8, 16, 256][rng.usize(..4)];
    let len = rng.usize(..most);
    let mut value = match code {
        option::REQUESTED | option::SERVER => address(rng, setup).octets().to_vec(),
        option::KIND => vec![rng.u8(..10)],
        option::MAX_SIZE => rng.u16(..).to_be_bytes().to_vec(),
        option::RAPID_COMMIT => Vec::new(),
        option::CLIENT_ID if rng.bool() => [&[1], &GUEST.0[..]].concat(),
        option::RELAY => vec![1, 2, 3, 4],
        _ => std::iter::repeat_with(|| rng.u8(..)).take(len).collect(),
    };
    if rng.u8(..8) == 0 {
        value.resize(len, 0);
    }
    let mut option = vec![code];
    option.extend(u8::try_from(value.len()));
    option.extend(value);
    option
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::dhcp::judge;

    #[test]
    fn mutants_are_inputs_and_break_many_rules() {
        let mut rules = std::collections::HashSet::new();
        let mut data = vec![0; 4096];
        let mut size = 2;
        for seed in 0..20_000 {
            if seed % 64 == 0 {
                size = 2;
                data[..2].fill(0);
            }
            size = mutate(&mut data, size, 2048, seed, &mut |_, size| size);
            assert!(size <= 2048);
            rules.extend(judge(&data[..size]).filter_map(|(_, said)| said.err()));
        }
        assert!(rules.len() >= 9, "{rules:?}");
    }

    #[test]
    fn a_crossover_has_messages_of_both() {
        let setup = Setup::default();
        let first = input(setup, &[Draft::discover(), Draft::discover()]);
        let second = input(setup, &[Draft::rebooting()]);
        let mut out = vec![0; 4096];
        let lens = (0..64).map(|seed| crossover(&first, &second, &mut out, seed));
        let lens: std::collections::HashSet<_> = lens.collect();
        assert!(lens.len() >= 4, "{lens:?}");
        assert_eq!(crossover(&first, &second, &mut [], 0), 0);
    }
}

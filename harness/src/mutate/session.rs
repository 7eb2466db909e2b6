//! Mutates a script of a session: what the device offers, how effects end, and whole stretches of
//! a conversation.
//!
//! A message and the descriptors in front of it stay together when they are copied, moved or
//! taken away, because a message with the wrong number of descriptors never gets past the codec.
//! What breaks them apart, and everything below the level of messages, is left to [`script`].

use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::{Flags, HEADER_LEN, Kind};

use super::phrase::{self, Phrase};
use super::{ByteMutator, boundary, is_bytes_turn, put, script};
use crate::script::{Actor, Record, decode};
use crate::session::offer::{OPERATION, ScriptOffer};

/// Longest arguments of a random action, in bytes.
const ARGUMENTS_MAX: usize = 96;

/// Longest run of messages that is copied at once.
const RUN_MAX: usize = 8;

/// Rings that messages are turned to: those of most devices, and one too many.
const RINGS: u8 = 5;

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
        let mut records = decode(&data[..size]);
        for _ in 0..=rng.u8(..3) {
            Change::draw(&mut rng).apply(&mut records, &mut rng);
        }
        script::fitting(&records, max_size)
    };
    put(data, max_size, &child)
}

/// One way to change a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// As a script of any target.
    Script,
    /// Says how an effect ends.
    Effect,
    /// Changes what the device offers.
    Offer,
    /// Lets driver or device do something.
    Action,
    /// Says a whole stretch of messages that belong together.
    Phrase,
    /// Says a run of messages again.
    Copy,
    /// Says a message earlier or later.
    Move,
    /// Leaves out a message.
    Remove,
    /// Asks for an acknowledgement, or asks for it no more.
    Ack,
    /// Turns a message to another ring.
    Ring,
}

impl Change {
    /// As often as each is drawn.
    const DRAWN: [Self; 16] = [
        Self::Script,
        Self::Script,
        Self::Script,
        Self::Script,
        Self::Effect,
        Self::Offer,
        Self::Action,
        Self::Phrase,
        Self::Phrase,
        Self::Phrase,
        Self::Copy,
        Self::Copy,
        Self::Move,
        Self::Remove,
        Self::Ack,
        Self::Ring,
    ];

    fn draw(rng: &mut fastrand::Rng) -> Self {
        Self::DRAWN[rng.usize(..Self::DRAWN.len())]
    }

    fn apply(self, records: &mut Vec<Record<'_>>, rng: &mut fastrand::Rng) {
        match self {
            Self::Script => script::step(records, rng),
            Self::Effect => {
                let at = gap(records, rng);
                records.insert(at, effect(rng));
            }
            Self::Offer => change_offer(records, rng),
            Self::Action => {
                let at = gap(records, rng);
                records.insert(at, action(rng));
            }
            Self::Phrase => {
                let at = gap(records, rng);
                let said = Phrase::draw(rng).say(rng);
                records.splice(at..at, said);
            }
            Self::Copy => copy(records, rng),
            Self::Move => {
                let Some(unit) = any_unit(records, rng) else { return };
                let taken: Vec<_> = records.drain(unit).collect();
                let at = gap(records, rng);
                records.splice(at..at, taken);
            }
            Self::Remove => {
                let Some(unit) = any_unit(records, rng) else { return };
                records.drain(unit);
            }
            Self::Ack => toggle_ack(records, rng),
            Self::Ring => turn_to_ring(records, rng),
        }
    }
}

/// Whether what follows this record belongs to it.
fn is_attached(record: &Record<'_>) -> bool {
    matches!(record, Record::Fd { .. } | Record::ControlTruncated)
}

/// Messages, each with what is attached to it, as ranges of records.
fn units(records: &[Record<'_>]) -> Vec<std::ops::Range<usize>> {
    let mut units = Vec::new();
    let mut start = 0;
    for (at, record) in records.iter().enumerate() {
        match record {
            Record::Message { .. } => {
                units.push(start..at + 1);
                start = at + 1;
            }
            _ if is_attached(record) => {}
            _ => start = at + 1,
        }
    }
    units
}

fn any_unit(records: &[Record<'_>], rng: &mut fastrand::Rng) -> Option<std::ops::Range<usize>> {
    let mut units = units(records);
    if units.is_empty() {
        return None;
    }
    Some(units.swap_remove(rng.usize(..units.len())))
}

/// A place between records that separates no message from its descriptors and does not stand
/// before the offer; half of the time the last one before the script's end.
fn gap(records: &[Record<'_>], rng: &mut fastrand::Rng) -> usize {
    let first = usize::from(records.first().is_some_and(is_offer));
    let is_gap = |at: &usize| at.checked_sub(1).is_none_or(|before| !is_attached(&records[before]));
    if rng.bool() {
        let ends = matches!(records.last(), Some(Record::Close | Record::Reconnect));
        let last = records.len() - usize::from(ends);
        if last >= first && is_gap(&last) {
            return last;
        }
    }
    let gaps: Vec<_> = (first..=records.len()).filter(is_gap).collect();
    gaps.get(rng.usize(..gaps.len().max(1))).copied().unwrap_or(records.len())
}

/// Says a run of messages again, with everything between them.
fn copy(records: &mut Vec<Record<'_>>, rng: &mut fastrand::Rng) {
    let units = units(records);
    if units.is_empty() {
        return;
    }
    let from = rng.usize(..units.len());
    let to = (from + rng.usize(..RUN_MAX)).min(units.len() - 1);
    let run = records[units[from].start..units[to].end].to_vec();
    let at = gap(records, rng);
    records.splice(at..at, run);
}

/// How the next effect ends.
fn effect(rng: &mut fastrand::Rng) -> Record<'static> {
    // Small numbers mean something as a base, a count or an errno.
    let value = if rng.bool() { rng.u64(..0x40) } else { boundary(rng) };
    Record::EffectResult { is_ok: rng.u8(..3) > 0, value }
}

/// Something that driver or device do. An offer has its own place.
fn action(rng: &mut fastrand::Rng) -> Record<'static> {
    let actor = if rng.bool() { Actor::Driver } else { Actor::Device };
    let operation = if rng.bool() { rng.u8(1..16) } else { rng.u8(1..) };
    let arguments: Vec<u8> = (0..rng.usize(..ARGUMENTS_MAX)).map(|_| rng.u8(..)).collect();
    Record::Action { actor, operation, arguments: arguments.into() }
}

fn is_offer(record: &Record<'_>) -> bool {
    matches!(record, Record::Action { actor: Actor::Device, operation: OPERATION, .. })
}

/// Changes the offer in front, or puts one there.
fn change_offer(records: &mut Vec<Record<'_>>, rng: &mut fastrand::Rng) {
    let mut offer = ScriptOffer::of_script(records);
    alter(&mut offer, rng);
    let record = offer.record();
    match records.first_mut() {
        Some(first) if is_offer(first) => *first = record,
        _ => records.insert(0, record),
    }
}

fn alter(offer: &mut ScriptOffer, rng: &mut fastrand::Rng) {
    const PROTOCOL: u64 = protocol::ALL;
    // Bits 0-40: what the specification names, and the device's own below it.
    const VIRTIO: u64 = (1 << 41) - 1;
    match rng.u8(..12) {
        0 | 1 => offer.protocol_features ^= 1 << rng.u8(..24),
        2 => offer.features ^= 1 << rng.u8(..41),
        // Swarms: a device that lacks half of everything, and one that has little.
        3 => offer.protocol_features = rng.u64(..) & PROTOCOL,
        4 => offer.protocol_features = rng.u64(..) & rng.u64(..) & PROTOCOL,
        5 => offer.features = rng.u64(..) & VIRTIO | virtio::PROTOCOL_FEATURES,
        6 => offer.protocol_features = PROTOCOL,
        7 => {
            offer.queues = [1, 2, 4, 255, 256][rng.usize(..5)];
            offer.queue_num = if rng.bool() { offer.queues.into() } else { boundary(rng) };
        }
        8 => offer.max_queue_size = 1 << rng.u8(..16),
        9 => offer.max_mem_slots = [1, 2, 8, 32, 509][rng.usize(..5)],
        10 => {
            offer.config_len = [0, 1, 8, 60, 256, 4084, 4096][rng.usize(..7)];
            offer.config_limit = [256, 1024, 4084][rng.usize(..3)];
            let end = rng.u32(..=offer.config_len);
            offer.config_writable = vec![(rng.u32(..=end), end)];
        }
        _ => {
            offer.device = [1, 2, 20, 26][rng.usize(..4)];
            let pages = |rng: &mut fastrand::Rng| offer.page_size << rng.u8(..12);
            offer.shmem = [0, 1, 255].into_iter().map(|id| (id, pages(rng))).collect();
        }
    }
    // What no device could offer becomes what one could.
    *offer = ScriptOffer::decode(&offer.encode());
}

/// The messages that begin in their record, by their place, with their kind.
fn headers(records: &[Record<'_>]) -> Vec<usize> {
    let has_header = |record: &Record<'_>| match record {
        Record::Message { bytes, .. } => bytes.len() >= HEADER_LEN,
        _ => false,
    };
    (0..records.len()).filter(|at| has_header(&records[*at])).collect()
}

/// Flips `need_reply` in the header of a request.
fn toggle_ack(records: &mut [Record<'_>], rng: &mut fastrand::Rng) {
    let mut places = headers(records);
    places.retain(|at| {
        matches!(&records[*at], Record::Message { kind, .. }
            if *kind == Kind::FRONTEND_REQUEST || *kind == Kind::BACKEND_REQUEST)
    });
    if places.is_empty() {
        return;
    }
    if let Record::Message { bytes, .. } = &mut records[places[rng.usize(..places.len())]]
        && let Some(flags) = bytes.to_mut()[4..].first_chunk_mut()
    {
        *flags = (u32::from_ne_bytes(*flags) ^ Flags::NEED_REPLY_BIT).to_ne_bytes();
    }
}

/// Writes a small number to the front of a payload, where messages about rings have their index.
fn turn_to_ring(records: &mut [Record<'_>], rng: &mut fastrand::Rng) {
    let mut places = headers(records);
    places.retain(|at| {
        matches!(&records[*at], Record::Message { bytes, .. }
            if phrase::is_about_a_ring(bytes) && bytes.len() >= HEADER_LEN + 8)
    });
    if places.is_empty() {
        return;
    }
    let ring = rng.u8(..RINGS);
    if let Record::Message { bytes, .. } = &mut records[places[rng.usize(..places.len())]] {
        let bytes = bytes.to_mut();
        // In P-VRING-FD the flag that tells about the descriptor stands in the second byte.
        let at = HEADER_LEN + if cfg!(target_endian = "little") { 0 } else { 7 };
        bytes[at] = ring;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus;
    use crate::script;
    use crate::session::back_end::Core;
    use crate::target::session;
    use std::collections::BTreeSet;

    /// A conversation, with an offer and with descriptors.
    fn begun() -> Vec<Record<'static>> {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut records = vec![ScriptOffer::default().record()];
        for phrase in [Phrase::Negotiate, Phrase::Table, Phrase::Ring, Phrase::Stop] {
            records.extend(phrase.say(&mut rng));
        }
        records.push(Record::Close);
        records
    }

    /// A script before a change, and 200 after it.
    fn changed(change: Change) -> (Vec<Record<'static>>, Vec<Vec<Record<'static>>>) {
        let before = begun();
        let after = (0..200).map(|seed| {
            let mut records = before.clone();
            change.apply(&mut records, &mut fastrand::Rng::with_seed(seed));
            records
        });
        let after = after.collect();
        (before, after)
    }

    /// How many records of each message and its descriptors there are: no change of this module
    /// parts them.
    fn attached(records: &[Record<'_>]) -> BTreeSet<(Vec<u8>, usize)> {
        let of = |unit: std::ops::Range<usize>| match &records[unit.end - 1] {
            Record::Message { bytes, .. } => (bytes.to_vec(), unit.len()),
            _ => (Vec::new(), 0),
        };
        units(records).into_iter().map(of).collect()
    }

    #[test]
    fn every_change_is_drawn_and_makes_a_script() {
        let mut rng = fastrand::Rng::with_seed(1);
        let drawn: BTreeSet<_> =
            (0..500).map(|_| format!("{:?}", Change::draw(&mut rng))).collect();
        assert_eq!(drawn.len(), 10, "{drawn:?}");
        for change in Change::DRAWN {
            let (before, after) = changed(change);
            assert!(after.iter().any(|records| *records != before), "{change:?} changes nothing");
            for records in after {
                let bytes = script::encode(&records);
                assert_eq!(decode(&bytes), records, "{change:?}");
                let mut none = Vec::new();
                change.apply(&mut none, &mut rng); // an empty script is a script
            }
        }
    }

    #[test]
    fn messages_keep_their_descriptors() {
        let (before, _) = changed(Change::Copy);
        let known = attached(&before);
        assert!(known.iter().any(|(_, len)| *len > 1), "some have descriptors");
        for change in [Change::Copy, Change::Move, Change::Remove, Change::Effect, Change::Action] {
            for records in changed(change).1 {
                assert!(attached(&records).is_subset(&known), "{change:?}: {records:?}");
            }
        }
        let count = |records: &[Record<'_>]| units(records).len();
        let lens = |change| -> BTreeSet<_> {
            changed(change).1.iter().map(|records| count(records)).collect()
        };
        assert!(lens(Change::Copy).iter().all(|len| *len > count(&before)));
        assert!(lens(Change::Move).iter().all(|len| *len == count(&before)));
        assert!(lens(Change::Remove).iter().all(|len| *len == count(&before) - 1));
    }

    #[test]
    fn the_offer_stays_in_front_and_changes() {
        let (before, after) = changed(Change::Offer);
        let offers: BTreeSet<_> = after
            .iter()
            .map(|records| {
                assert_eq!(records[1..], before[1..]);
                ScriptOffer::of_record(&records[0]).expect("an offer").encode()
            })
            .collect();
        assert!(offers.len() > 60, "{} offers", offers.len());
        for change in Change::DRAWN {
            if change == Change::Script {
                continue;
            }
            for records in changed(change).1 {
                assert!(is_offer(&records[0]), "{change:?}");
                assert_eq!(records.iter().filter(|record| is_offer(record)).count(), 1);
            }
        }
        let mut plain = vec![Record::Border];
        change_offer(&mut plain, &mut fastrand::Rng::with_seed(1));
        assert!(is_offer(&plain[0]) && plain[1] == Record::Border);
    }

    #[test]
    fn effects_end_well_and_badly() {
        let ends = |wanted: bool| {
            let has = |records: &Vec<Record<'_>>| {
                let is = |record: &Record<'_>| matches!(record, Record::EffectResult { is_ok, .. } if *is_ok == wanted);
                records.iter().filter(|record| is(record)).count()
            };
            let (before, after) = changed(Change::Effect);
            after.iter().filter(|records| has(records) > has(&before)).count()
        };
        assert!(ends(true) > 50 && ends(false) > 30, "{} {}", ends(true), ends(false));
    }

    #[test]
    fn acknowledgements_and_rings_change_in_one_message() {
        for change in [Change::Ack, Change::Ring] {
            let (before, after) = changed(change);
            let mut moved = 0;
            for records in after {
                let differ: Vec<_> =
                    before.iter().zip(&records).filter(|(one, other)| one != other).collect();
                assert!(differ.len() <= 1 && records.len() == before.len(), "{differ:?}");
                moved += differ.len();
            }
            assert!(moved > 100, "{change:?}: {moved}");
        }
    }

    /// Most children of a seed still talk for a while.
    #[test]
    fn children_are_run_and_most_of_them_talk() {
        let seeds = corpus::seeds("session").expect("a corpus");
        let (mut messages, mut children) = (0, 0);
        for (number, seed) in (0..).zip(&seeds) {
            let mut data = seed.bytes.clone();
            data.resize(8192, 0);
            let len = mutate(&mut data, seed.bytes.len(), 8192, number, &mut |_, size| size);
            let outcome = session::check::<Core>(&data[..len]);
            messages += outcome.messages;
            children += 1;
        }
        assert!(messages > 10 * children, "{messages} messages of {children} children");
    }
}

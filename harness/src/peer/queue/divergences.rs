//! Where the split queue of the `virtio-queue` crate and ours may differ.
//!
//! A [`Shape`] is told from what the two were given: the ring, what is in memory, and what was
//! done before. No answer of either side goes into it. Each has one row, which says what both have
//! to do then; an input without a shape has to make them do the same. Anything else is a finding.
//! Rows cite the requirement that ours follows; spec §9.1 tells of the differences.

use vhost_fuzz_core::rule::Rule;

use super::image::Image;
use super::known::Known;
use super::walk::{Start, Walk, Wrong, feature};

/// What a side did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// It runs the ring.
    Started,
    /// It does, and has cleared the flags that were in the used ring.
    Cleared,
    /// It does not run the ring, or does not give a buffer back.
    Refused,
    /// It found nothing available.
    Nothing,
    /// It took the whole chain.
    Took,
    /// It took the head, and of the chain exactly what comes before the first thing that is wrong;
    /// for the peer a sum of 2^32 bytes is wrong as well.
    Ends,
    /// It took the head, and more of the chain than that.
    GoesOn,
    /// It took the head, and its reader or its writer refuses the chain.
    Unusable,
    /// It took the head, and says that the chain is malformed.
    Dropped(Rule),
    /// It says that the ring is broken.
    Stopped(Rule),
    /// It returned an error.
    Failed,
    /// It panicked.
    Panicked,
    /// It says yes: the driver is to be called; there is more.
    Yes,
    /// It says no.
    No,
    /// It did what it was told.
    Done,
    /// Something that no row can allow.
    Other,
}

use Did::{
    Cleared, Done, Dropped, Ends, Failed, GoesOn, No, Refused, Started, Stopped, Took, Unusable,
    Yes,
};

/// What an input is about, where the two may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A ring without `VERSION_1`.
    Legacy,
    /// Fields that the processor cannot access at once.
    Misaligned,
    /// A position further from the used index than the ring is long.
    Overfull,
    /// An available ring at address 0.
    AtZero,
    /// Event fields that are not in memory, and not used.
    EventBytes,
    /// Flags in the used ring before the device has set any.
    UsedFlags,
    /// An available index further ahead than the ring is long.
    IndexAhead,
    /// One more buffer than the ring has room for.
    TooMany,
    /// A head that is no descriptor.
    Head,
    /// A head that was taken and not given back.
    HeadInFlight,
    /// A chain of exactly 2^32 bytes.
    AllBytes,
    /// A malformed chain.
    Malformed(Wrong),
    /// With `IN_ORDER`, a buffer before an older one.
    OutOfTurn,
    /// A used length of more than the writable bytes.
    TooLong,
    /// A decision about a notification when nothing was given back.
    NothingNew,
    /// The first decision of a ring whose driver asks for a later one.
    First,
    /// A decision when the driver has set its flag.
    Suppressed,
    /// An available index further ahead than the ring is long, when kicks are asked for.
    ArmedAhead,
}

impl Shape {
    /// Whether it is about the start of a ring.
    #[must_use]
    pub const fn is_start(self) -> bool {
        matches!(
            self,
            Self::Legacy
                | Self::Misaligned
                | Self::Overfull
                | Self::AtZero
                | Self::EventBytes
                | Self::UsedFlags
        )
    }
}

/// A difference that is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Divergence {
    /// Which inputs it is about.
    pub shape: Shape,
    /// The requirement that ours follows.
    pub cites: &'static str,
    /// Why the two differ.
    pub reason: &'static str,
    /// What ours has to do then.
    pub ours: &'static [Did],
    /// What the peer does.
    pub peer: &'static [Did],
}

/// The row of a shape.
///
/// # Panics
/// When the list lacks it.
#[must_use]
pub fn row(shape: Shape) -> &'static Divergence {
    let row = ALLOWED.iter().find(|row| row.shape == shape);
    row.unwrap_or_else(|| panic!("no row of the divergences is about {shape:?}"))
}

/// Whether the two did what they have to.
#[must_use]
#[inline]
pub fn is_allowed(shape: Option<Shape>, ours: Did, peer: Did) -> bool {
    match shape {
        None => ours == peer && ours != Did::Other,
        Some(shape) => {
            let row = row(shape);
            row.ours.contains(&ours) && row.peer.contains(&peer)
        }
    }
}

/// The shape of a start. Of a ring that neither side runs it does not matter.
#[must_use]
pub fn of_start(start: &Start, image: &Image) -> Option<Shape> {
    if start.broken(image).is_some() {
        return None;
    }
    let shapes = [
        (start.has(feature::LEGACY), Shape::Legacy),
        (start.is_misaligned(), Shape::Misaligned),
        (start.is_overfull(image), Shape::Overfull),
        (start.available == 0, Shape::AtZero),
        (!start.is_mapped_with_events(image), Shape::EventBytes),
        (image.u16(start.used) != 0, Shape::UsedFlags),
    ];
    shapes.into_iter().find_map(|(is_so, shape)| is_so.then_some(shape))
}

/// The shape of taking one chain, which is walked if there is one.
#[must_use]
pub fn of_take(known: &Known, image: &Image, walk: &mut Walk) -> Option<Shape> {
    walk.clear();
    let Start { size, available, .. } = known.start;
    let pending = image.u16(available.wrapping_add(2)).wrapping_sub(known.next);
    let head = image.u16(known.start.entry(known.next));
    if pending == 0 {
        None
    } else if pending > size {
        Some(Shape::IndexAhead)
    } else if known.next.wrapping_sub(known.used) == size {
        Some(Shape::TooMany)
    } else if head >= size {
        Some(Shape::Head)
    } else if known.is_in_flight(head) {
        Some(Shape::HeadInFlight)
    } else {
        walk.chain(image, &known.start, head);
        match walk.wrong {
            None if walk.bytes == 1 << 32 => Some(Shape::AllBytes),
            wrong => wrong.map(Shape::Malformed),
        }
    }
}

/// The shape of giving the buffer at a place among those in flight back with a length.
#[must_use]
pub fn of_put(known: &Known, at: usize, len: u32) -> Option<Shape> {
    if known.start.has(feature::IN_ORDER) && at > 0 {
        return Some(Shape::OutOfTurn);
    }
    let writable = known.in_flight.get(at).map_or(0, |owed| owed.writable);
    (len > writable).then_some(Shape::TooLong)
}

/// The shape of a decision about a notification, when the used index was `old` before.
#[must_use]
pub fn of_tell(known: &Known, old: u16, image: &Image) -> Option<Shape> {
    let is_first = !known.is_decided;
    if known.start.has(feature::EVENT_IDX) {
        let event = image.u16(known.start.used_event());
        // One of the indexes from the old one to before the new one (VQ-045).
        let is_met = event.wrapping_sub(old) < known.used.wrapping_sub(old);
        (known.used != old && is_first && !is_met).then_some(Shape::First)
    } else if known.used == old {
        Some(Shape::NothingNew)
    } else {
        let is_quiet = image.u16(known.start.available) & 1 == 1;
        (is_quiet && !is_first).then_some(Shape::Suppressed)
    }
}

/// The shape of asking for kicks.
#[must_use]
pub fn of_arm(known: &Known, image: &Image) -> Option<Shape> {
    let index = image.u16(known.start.available.wrapping_add(2));
    (index.wrapping_sub(known.next) > known.start.size).then_some(Shape::ArmedAhead)
}

const fn malformed(
    wrong: Wrong,
    cites: &'static str,
    reason: &'static str,
    ours: &'static [Did],
    peer: &'static [Did],
) -> Divergence {
    Divergence { shape: Shape::Malformed(wrong), cites, reason, ours, peer }
}

/// The differences that are allowed.
pub const ALLOWED: &[Divergence] = &[
    Divergence {
        shape: Shape::Legacy,
        cites: "VQ-067",
        reason: "a ring of the guest's byte order: the peer leaves the features to its caller",
        ours: &[Refused],
        peer: &[Started, Refused],
    },
    Divergence {
        shape: Shape::Misaligned,
        cites: "VQ-049",
        reason: "fields that are mapped at odd addresses: the peer fails at each access",
        ours: &[Refused],
        peer: &[Started, Refused],
    },
    Divergence {
        shape: Shape::Overfull,
        cites: "VQ-033",
        reason: "more in flight than the ring has room for: the peer takes any two positions",
        ours: &[Refused],
        peer: &[Started, Refused],
    },
    Divergence {
        shape: Shape::AtZero,
        cites: "VQ-002",
        reason: "an available ring at address 0 is aligned and in memory; the peer takes it for \
                 one that was not set",
        ours: &[Started, Cleared],
        peer: &[Refused],
    },
    Divergence {
        shape: Shape::EventBytes,
        cites: "VQ-006",
        reason: "event fields that nobody uses need not be in memory; the peer wants them always",
        ours: &[Started, Cleared],
        peer: &[Refused],
    },
    Divergence {
        shape: Shape::UsedFlags,
        cites: "VQ-041, VQ-042",
        reason: "flags that somebody left in the used ring: the peer writes none at its start",
        ours: &[Cleared],
        peer: &[Started],
    },
    Divergence {
        shape: Shape::IndexAhead,
        cites: "VQ-032",
        reason: "an impossible available index: ours stops, the peer refuses until it is possible",
        ours: &[Stopped(Rule::vq(32))],
        peer: &[Failed],
    },
    Divergence {
        shape: Shape::TooMany,
        cites: "VQ-033",
        reason: "the peer does not count what is in flight",
        ours: &[Stopped(Rule::vq(33))],
        peer: &[Took],
    },
    Divergence {
        shape: Shape::Head,
        cites: "VQ-023",
        reason: "a head that is no descriptor: the peer gives a chain without buffers",
        ours: &[Stopped(Rule::vq(23))],
        peer: &[Ends],
    },
    Divergence {
        shape: Shape::HeadInFlight,
        cites: "VQ-034",
        reason: "the peer does not know which heads are in flight",
        ours: &[Stopped(Rule::vq(34))],
        peer: &[Took],
    },
    Divergence {
        shape: Shape::AllBytes,
        cites: "VQ-013",
        reason: "2^32 bytes are legal; the peer ends a chain that has more than 2^32 - 1",
        ours: &[Took],
        peer: &[Ends],
    },
    malformed(
        Wrong::Next,
        "VQ-022",
        "a next index out of its table: the peer ends the chain there",
        &[Dropped(Rule::vq(22))],
        &[Ends],
    ),
    malformed(
        Wrong::Loop,
        "VQ-014",
        "more descriptors than the table has: the peer ends the chain there",
        &[Dropped(Rule::vq(14))],
        &[Ends],
    ),
    malformed(
        Wrong::Bytes,
        "VQ-013",
        "more than 2^32 bytes: the peer ends the chain before the buffer that is too much",
        &[Dropped(Rule::vq(13))],
        &[Ends],
    ),
    malformed(
        Wrong::Order,
        "VQ-012",
        "readable after writable: the peer tells buffers apart by their flag alone",
        &[Dropped(Rule::vq(12))],
        &[GoesOn, Ends],
    ),
    malformed(
        Wrong::NotNegotiated,
        "VQ-015",
        "a table without INDIRECT_DESC: the peer leaves the features to its caller",
        &[Dropped(Rule::vq(15))],
        &[GoesOn, Ends],
    ),
    malformed(
        Wrong::WithNext,
        "VQ-017",
        "INDIRECT with NEXT: the peer ignores NEXT",
        &[Dropped(Rule::vq(17))],
        &[GoesOn, Ends],
    ),
    malformed(
        Wrong::Nested,
        "VQ-016",
        "a table in a table: the peer ends the chain there",
        &[Dropped(Rule::vq(16))],
        &[Ends],
    ),
    malformed(
        Wrong::TableLen,
        "VQ-020",
        "a table of no whole entries: the peer ends the chain there",
        &[Dropped(Rule::vq(20))],
        &[Ends],
    ),
    malformed(
        Wrong::TableSize,
        "VQ-021",
        "a table above the cap: the peer takes up to 65,535 entries, and ends the chain at more",
        &[Dropped(Rule::vq(21))],
        &[GoesOn, Ends],
    ),
    malformed(
        Wrong::Overflow,
        "VQ-025",
        "an end that is no address: the peer sees it when the buffer or the table is accessed",
        &[Dropped(Rule::vq(25))],
        &[Unusable, Ends],
    ),
    malformed(
        Wrong::Outside,
        "VQ-026",
        "a buffer that is not in memory: the peer sees it when the buffer is accessed",
        &[Dropped(Rule::vq(26))],
        &[Unusable, Ends],
    ),
    malformed(
        Wrong::TableOutside,
        "VQ-026",
        "a table that is not in memory as a whole: the peer reads as much of it as there is",
        &[Dropped(Rule::vq(26))],
        &[GoesOn, Ends],
    ),
    Divergence {
        shape: Shape::OutOfTurn,
        cites: "VQ-056",
        reason: "a buffer out of its turn with IN_ORDER, which the peer does not know",
        ours: &[Refused],
        peer: &[Done],
    },
    Divergence {
        shape: Shape::TooLong,
        cites: "VQ-039",
        reason: "a used length above the writable bytes, which the peer does not count",
        ours: &[Refused],
        peer: &[Done],
    },
    Divergence {
        shape: Shape::NothingNew,
        cites: "VQ-043",
        reason: "nothing was given back since the last decision: without EVENT_IDX the peer \
                 notifies whenever it is asked",
        ours: &[No],
        peer: &[Yes],
    },
    Divergence {
        shape: Shape::First,
        cites: "VQ-050",
        reason: "the first decision after a start: the peer takes the index at the start for that \
                 of an earlier decision",
        ours: &[Yes],
        peer: &[No],
    },
    Divergence {
        shape: Shape::Suppressed,
        cites: "VQ-044",
        reason: "the driver asks for no notifications: the peer does not look at the flag",
        ours: &[No],
        peer: &[Yes],
    },
    Divergence {
        shape: Shape::ArmedAhead,
        cites: "VQ-032",
        reason: "an impossible available index: the peer says that there is more",
        ours: &[Stopped(Rule::vq(32))],
        peer: &[Yes],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_has_one_row_which_cites_and_gives_a_reason() {
        for (at, row) in ALLOWED.iter().enumerate() {
            assert!(ALLOWED[..at].iter().all(|other| other.shape != row.shape), "{row:?}");
            assert!(row.cites.split(", ").all(|rule| rule.starts_with("VQ-")), "{row:?}");
            assert!(row.reason.len() > 20 && !row.ours.is_empty() && !row.peer.is_empty());
            assert!(row.ours.iter().all(|did| !row.peer.contains(did)) || row.shape.is_start());
        }
    }

    #[test]
    fn rows_of_malformed_chains_cite_the_rule_that_ours_reports() {
        for row in ALLOWED {
            for did in row.ours {
                if let Dropped(rule) | Stopped(rule) = did {
                    assert_eq!(row.cites, rule.to_string());
                }
            }
        }
    }
}

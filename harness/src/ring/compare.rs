//! Says of an answer of the device whether it is the model's.

use vhost_fuzz_core::ring::{
    ActivateError, Broken, Chain, Element, Malformed, PutReason, Shape, Token,
};
use vhost_fuzz_model::ring::{self as model, Drop, Part, PutRefusal, Refusal, Stop};

/// A verdict that stops the queue, in the words of the model.
pub(crate) fn stop(broken: Broken) -> Option<Stop> {
    Some(match broken {
        Broken::AvailIndex { index, next, size } => Stop::AvailIndex { index, next, size },
        Broken::Head { head, size } => Stop::Head { head, size },
        Broken::HeadInFlight { head } => Stop::HeadInFlight { head },
        Broken::TooManyInFlight { .. } | Broken::TooManySlotsInFlight { .. } => {
            Stop::TooManyInFlight
        }
        Broken::ListTooLong { .. } => Stop::ListTooLong,
        Broken::SlotUnavailable { slot, .. } => Stop::Unavailable { slot },
        Broken::Access { .. } | Broken::Unrecorded => return None,
    })
}

/// Demands that a ring is broken as the model says.
#[track_caller]
pub(crate) fn assert_stop(what: &str, broken: Broken, expected: Stop) {
    assert!(
        stop(broken) == Some(expected),
        "model: {what}: the device says {broken:?}, the model {expected:?}"
    );
}

/// What is wrong with a chain, in the words of the model.
pub(super) fn dropped(error: Malformed) -> Option<Drop> {
    Some(match error.shape {
        Shape::NextOutOfRange { next, limit } => Drop::NextOutOfRange { next, limit },
        Shape::TooManyDescriptors { limit } => Drop::TooManyDescriptors { limit },
        Shape::TooManyBytes { bytes } => Drop::TooManyBytes { bytes },
        Shape::ReadableAfterWritable { .. } => Drop::ReadableAfterWritable,
        Shape::IndirectNotNegotiated { .. } => Drop::IndirectNotNegotiated,
        Shape::IndirectWithNext { .. } => Drop::IndirectWithNext,
        Shape::IndirectInList { .. } => Drop::IndirectInList,
        Shape::NestedIndirect { .. } => Drop::NestedIndirect,
        Shape::IndirectLength { len } => Drop::IndirectLength { len },
        Shape::IndirectTooLong { entries, limit } => Drop::IndirectTooLong { entries, cap: limit },
        Shape::AddressOverflow { address, len } => Drop::AddressOverflow { address, len },
        Shape::OutsideMemory { address, len } => Drop::OutsideMemory { address, len },
        Shape::TableOutsideMemory { address, len } => Drop::TableOutsideMemory { address, len },
        // The chains of the harness have room for every chain that a ring can have.
        Shape::TooManyElements { .. } => return None,
    })
}

/// Demands that a chain is what the model found.
#[track_caller]
pub(super) fn assert_chain(chain: &Chain, expected: &model::Chain) {
    let parts = [(chain.readable(), false), (chain.writable(), true)];
    let mut found = parts
        .iter()
        .flat_map(|(elements, writable)| elements.iter().map(move |it| (it, *writable)));
    let is_same = expected.elements.iter().all(|element| {
        found.next().is_some_and(|(Element { address, len, .. }, writable)| {
            (*address, *len, writable) == (element.address, element.len, element.writable)
        })
    }) && found.next().is_none();
    let totals = (chain.readable_bytes(), chain.writable_bytes());
    assert!(
        is_same && totals == (expected.readable, expected.writable),
        "model: the device took {chain:?}, the model {expected:?}"
    );
}

/// Demands that a token is the model's.
#[track_caller]
pub(super) fn assert_token(token: &Token, expected: &model::Token) {
    let found = (token.id(), token.slots(), token.writable());
    assert!(
        found == (expected.id, expected.slots, expected.writable),
        "model: the device took {token:?}, the model {expected:?}"
    );
}

/// Demands that a buffer was refused for the reason that the model has.
#[track_caller]
pub(super) fn assert_put(reason: PutReason, expected: PutRefusal) {
    let is_same = match (reason, expected) {
        (PutReason::Stale, PutRefusal::Stale)
        | (PutReason::OutOfOrder, PutRefusal::OutOfOrder)
        | (PutReason::NotNewest, PutRefusal::NotNewest)
        | (PutReason::NotInOrder, PutRefusal::NoBatch)
        | (PutReason::NotReadOnly { .. }, PutRefusal::LengthNotImplied { .. }) => true,
        (PutReason::TooLong { len, writable }, PutRefusal::TooLong { len: a, writable: b }) => {
            (len, writable) == (a, b)
        }
        (PutReason::Broken(broken), PutRefusal::Stopped(expected)) => {
            stop(broken) == Some(expected)
        }
        _ => false,
    };
    assert!(is_same, "model: the device refuses with {reason:?}, the model with {expected:?}");
}

/// Whether a ring was refused for the reason that the model has.
pub(crate) fn is_refused_alike(error: ActivateError, expected: Refusal) -> bool {
    use vhost_fuzz_core::memory::{Part as CorePart, PlaceError};
    let part = |part| match part {
        CorePart::Descriptor => Part::Descriptor,
        CorePart::Available => Part::Available,
        CorePart::Used => Part::Used,
    };
    match (error, expected) {
        (ActivateError::Size(_), Refusal::Size { .. })
        | (ActivateError::Legacy, Refusal::Legacy)
        | (ActivateError::Slot { .. }, Refusal::Offset { .. })
        | (ActivateError::Distance { .. }, Refusal::Distance { .. }) => true,
        (ActivateError::UsedIndex { available, used, .. }, expected) => {
            expected == Refusal::UsedIndex { available, used }
        }
        (ActivateError::Place(PlaceError::Misaligned { part: found, address, .. }), expected) => {
            expected == Refusal::Misaligned { part: part(found), address }
        }
        (
            ActivateError::Place(
                PlaceError::Unmapped { part: found, .. } | PlaceError::Wraps { part: found, .. },
            ),
            Refusal::Outside { part: expected, .. },
        ) => part(found) == expected,
        _ => false,
    }
}

//! Whether the driver is to be called (spec/virtio.md §1.7, §2.5), by going over all that was
//! used since the last decision. The formulas of the specification are not used here.

use super::Position;

/// Whether the entry with index `event` is among old, old + 1, …, new - 1 (VQ-045, VQ-046).
#[must_use]
pub fn need_event(event: u16, new: u16, old: u16) -> bool {
    let mut index = old;
    while index != new {
        if index == event {
            return true;
        }
        index = index.wrapping_add(1);
    }
    false
}

/// Whether a packed ring of `size` slots, which used `count` slots up to `used`, has reached the
/// event slot (PK-034).
///
/// The slots are gone over from the last to the first. An event with the wrap counter that the
/// device has now is about the lap that it is in, any other about the lap before. An offset
/// behind the end of a lap (PK-035) counts on in the lap that follows.
#[must_use]
pub fn packed_need_event(event: Position, used: Position, count: u32, size: u16) -> bool {
    let is_this_lap = event.wrap == used.wrap;
    let (is_wanted_in_this_lap, wanted) = match event.offset.checked_sub(size) {
        None => (is_this_lap, event.offset),
        Some(_) if is_this_lap => return false,
        Some(beyond) => (true, beyond),
    };
    let (mut in_this_lap, mut offset) = (true, used.offset);
    for _ in 0..count {
        if offset == 0 {
            // Before the first slot of this lap comes the last one of the lap before.
            in_this_lap = false;
            offset = size;
        }
        offset -= 1;
        if in_this_lap == is_wanted_in_this_lap && offset == wanted {
            return true;
        }
    }
    false
}

/// Whether the driver's event structure asks for a call when `count` slots, at least one, were
/// used up to `used` (PK-032, PK-033).
#[must_use]
pub fn packed_decision(
    structure: [u8; 4],
    event_idx: bool,
    used: Position,
    count: u32,
    size: u16,
) -> bool {
    let off_wrap = u16::from_le_bytes([structure[0], structure[1]]);
    match u16::from_le_bytes([structure[2], structure[3]]) {
        1 => false,
        2 if event_idx => {
            let event = Position { offset: off_wrap % 0x8000, wrap: off_wrap >= 0x8000 };
            packed_need_event(event, used, count, size)
        }
        _ => true,
    }
}

//! What a strict driver does not accept.

use super::{FORMATS, Format, Pair, Ram, small};
use crate::driver::{Driver, Field, Setup, Violation, hostile};
use crate::ram::GuestRam;

/// What the driver says after the device gave one chain back, wrongly.
fn refused(pair: &mut Pair<Ram>) -> Violation {
    let before = pair.driver.in_flight();
    let violation = pair.driver.reap(&pair.ram).expect_err("a violation");
    assert_eq!(pair.driver.in_flight(), before, "nothing was taken");
    assert_eq!(pair.driver.reap(&pair.ram), Err(violation), "it says so again");
    violation
}

/// Gives a chain back under another name.
fn give_as(pair: &mut Pair<Ram>, id: u16, len: u32) {
    let mut taken = pair.take();
    taken.id = id;
    pair.device.give(&pair.ram, &[taken], len);
}

#[test]
fn an_id_that_is_no_requests() {
    for (format, rule) in [(Format::Split, "VQ-040"), (Format::Packed, "PK-022")] {
        let mut pair = small(format, 4);
        pair.publish(&[1], 1);
        give_as(&mut pair, 3, 0);
        let violation = refused(&mut pair);
        assert_eq!(
            violation,
            match format {
                Format::Split => Violation::UnknownHead { id: 3 },
                Format::Packed => Violation::UnknownId { id: 3 },
            }
        );
        assert_eq!(violation.rule().to_string(), rule);
    }
    let mut pair = small(Format::Split, 4);
    pair.publish(&[1], 0);
    let id = pair.take().id;
    pair.device.element(&pair.ram, id, 0);
    hostile::poke(&pair.driver, &pair.ram, Field::Element { slot: 0 }, 1 << 16 | u64::from(id));
    hostile::poke(&pair.driver, &pair.ram, Field::UsedIndex, 1);
    assert_eq!(refused(&mut pair), Violation::UnknownHead { id: 1 << 16 | u32::from(id) });
}

#[test]
fn a_request_that_comes_back_twice() {
    let mut pair = small(Format::Split, 4);
    pair.publish(&[1], 0);
    pair.publish(&[2], 0);
    let taken = pair.take();
    let id = taken.id;
    pair.device.give(&pair.ram, std::slice::from_ref(&taken), 0);
    pair.device.give(&pair.ram, &[taken], 0);
    assert!(pair.driver.reap(&pair.ram).unwrap().is_some());
    assert_eq!(refused(&mut pair), Violation::UnknownHead { id: id.into() });
    let mut pair = small(Format::Packed, 4);
    pair.publish(&[1], 0);
    pair.publish(&[2], 0);
    let taken = pair.take();
    pair.device.give(&pair.ram, std::slice::from_ref(&taken), 0);
    pair.device.give(&pair.ram, &[taken], 0);
    assert!(pair.driver.reap(&pair.ram).unwrap().is_some());
    assert_eq!(refused(&mut pair), Violation::UnknownId { id: 0 });
}

#[test]
fn more_than_the_device_has() {
    let mut pair = small(Format::Split, 4);
    pair.publish(&[1], 0);
    for index in [2, 0xffff, 0x8000] {
        hostile::poke(&pair.driver, &pair.ram, Field::UsedIndex, index.into());
        let violation = refused(&mut pair);
        assert_eq!(violation, Violation::TooManyUsed { index, next: 0, exposed: 1 });
        assert_eq!(violation.rule().to_string(), "VQ-040");
    }
}

#[test]
fn a_request_that_the_device_could_not_see() {
    for format in FORMATS {
        let mut pair = small(format, 4);
        pair.publish(&[1], 0);
        let request = crate::driver::Request { readable: &[2], writable: 0 };
        pair.driver.add(&pair.ram, &request, &crate::driver::Style::default()).unwrap();
        give_as(&mut pair, 1, 0);
        assert_eq!(
            refused(&mut pair),
            match format {
                Format::Split => Violation::UnknownHead { id: 1 },
                Format::Packed => Violation::UnknownId { id: 1 },
            }
        );
    }
}

#[test]
fn more_bytes_than_there_is_room_for() {
    for format in FORMATS {
        for (readable, writable) in [(&[1][..], 0), (&[], 5)] {
            let mut pair = small(format, 4);
            pair.publish(readable, writable);
            let id = pair.take().id;
            let mut again = small(format, 4);
            again.publish(readable, writable);
            let len = u32::try_from(writable).unwrap() + 1;
            give_as(&mut again, id, len);
            let violation = refused(&mut again);
            assert_eq!(violation, Violation::TooLong { id, len, writable });
            assert_eq!(violation.rule().to_string(), "VQ-039");
        }
    }
}

fn in_order(format: Format) -> Pair<Ram> {
    let pair = small(format, 8);
    let setup = Setup { in_order: true, ..*pair.driver.setup() };
    Pair::new(pair.ram, format, setup)
}

#[test]
fn a_batch_that_skips_what_may_be_written() {
    for format in FORMATS {
        let mut pair = in_order(format);
        pair.publish(&[1], 0);
        pair.publish(&[], 3);
        pair.publish(&[2], 0);
        let batch = [pair.take(), pair.take(), pair.take()];
        pair.device.give(&pair.ram, &batch, 0);
        let violation = refused(&mut pair);
        assert_eq!(violation, Violation::BatchSkipsWritable { id: batch[1].id });
        assert_eq!(violation.rule().to_string(), "VQ-059");
    }
}

#[test]
fn a_batch_that_the_used_index_does_not_cover() {
    let mut pair = in_order(Format::Split);
    pair.publish(&[1], 0);
    pair.publish(&[2], 0);
    let _ = pair.take();
    let second = pair.take();
    let id = second.id;
    pair.device.give(&pair.ram, &[second], 0);
    let violation = refused(&mut pair);
    assert_eq!(violation, Violation::BatchBeyondIndex { id, count: 2, covered: 1 });
    assert_eq!(violation.rule().to_string(), "VQ-058");
}

#[test]
fn flags_of_used_descriptors() {
    for (flags, len, expected) in [
        (2, 0, Violation::WriteFlag { id: 0, len: 0 }),
        (0, 1, Violation::WriteFlag { id: 0, len: 1 }),
        (3, 1, Violation::UsedFlags { flags: 0x8083 }),
        (4, 0, Violation::UsedFlags { flags: 0x8084 }),
    ] {
        let mut pair = small(Format::Packed, 4);
        pair.publish(&[], 4);
        let id = pair.take().id;
        pair.device.element(&pair.ram, id, len);
        let flag = pair.driver.setup().descriptor + 14;
        pair.ram.put(flag, &(0x8080_u16 | flags).to_le_bytes());
        let violation = refused(&mut pair);
        assert_eq!(violation, expected);
        let rule =
            if matches!(violation, Violation::UsedFlags { .. }) { "PK-026" } else { "PK-025" };
        assert_eq!(violation.rule().to_string(), rule);
    }
}

#[test]
fn what_a_device_may_not_say_about_kicks() {
    for (event_idx, flags, expected) in [
        (false, 2, Violation::RingFlags { flags: 2 }),
        (false, 0x8001, Violation::RingFlags { flags: 0x8001 }),
        (true, 1, Violation::RingFlagsWithEventIdx { flags: 1 }),
    ] {
        let pair = small(Format::Split, 4);
        let setup = Setup { event_idx, ..*pair.driver.setup() };
        let mut pair = Pair::new(pair.ram, Format::Split, setup);
        hostile::poke(&pair.driver, &pair.ram, Field::UsedFlags, flags);
        let violation = pair.driver.needs_kick(&pair.ram).unwrap_err();
        assert_eq!(violation, expected);
        let rule = if event_idx { "VQ-042" } else { "VQ-041" };
        assert_eq!(violation.rule().to_string(), rule);
    }
    for (event_idx, flags, position) in [
        (true, 3, 0),
        (true, 4, 0),
        (true, 0x8001, 0),
        (false, 2, 0),
        (true, 2, 4),
        (true, 2, 0x8004),
    ] {
        let pair = small(Format::Packed, 4);
        let setup = Setup { event_idx, ..*pair.driver.setup() };
        let mut pair = Pair::new(pair.ram, Format::Packed, setup);
        hostile::poke(&pair.driver, &pair.ram, Field::DevicePosition, position);
        hostile::poke(&pair.driver, &pair.ram, Field::DeviceFlags, flags);
        let violation = pair.driver.needs_kick(&pair.ram).unwrap_err();
        let structure = u32::try_from(flags << 16 | position).unwrap();
        assert_eq!(violation, Violation::EventStructure { structure });
        assert_eq!(violation.rule().to_string(), "PK-036");
    }
}

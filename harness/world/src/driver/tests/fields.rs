//! Every field can be found, and no value in it confuses the driver.

use std::collections::BTreeSet;

use super::{FORMATS, Format, Rng, small};
use crate::driver::{Driver, Field, Form, Member, Request, Style, hostile};
use crate::ram::GuestRam;

#[test]
fn fields_are_where_the_spec_puts_them() {
    let pair = small(Format::Split, 256);
    let setup = *pair.driver.setup();
    let at = |field| pair.driver.locate(field).unwrap();
    let descriptor = setup.descriptor + 16 * 5;
    for (member, offset, bytes) in [
        (Member::Address, 0, 8),
        (Member::Len, 8, 4),
        (Member::Flags, 12, 2),
        (Member::NextOrId, 14, 2),
    ] {
        let found = at(Field::Descriptor { index: 5 + 256, member });
        assert_eq!(found, (descriptor + offset, bytes));
    }
    assert_eq!(at(Field::AvailableFlags), (setup.available, 2));
    assert_eq!(at(Field::AvailableIndex), (setup.available + 2, 2));
    assert_eq!(at(Field::Head { slot: 3 }), (setup.available + 10, 2));
    assert_eq!(at(Field::UsedEvent), (setup.available + 516, 2));
    assert_eq!(at(Field::UsedFlags), (setup.used, 2));
    assert_eq!(at(Field::UsedIndex), (setup.used + 2, 2));
    assert_eq!(at(Field::Element { slot: 1 }), (setup.used + 12, 8));
    assert_eq!(at(Field::AvailableEvent), (setup.used + 2052, 2));
    assert_eq!(pair.driver.locate(Field::DriverFlags), None);
    let pair = small(Format::Packed, 256);
    let setup = *pair.driver.setup();
    let at = |field| pair.driver.locate(field).unwrap();
    let descriptor = setup.descriptor + 16 * 255;
    for (member, offset) in [(Member::NextOrId, 12), (Member::Flags, 14)] {
        assert_eq!(at(Field::Descriptor { index: 255, member }), (descriptor + offset, 2));
    }
    assert_eq!(at(Field::DriverPosition), (setup.available, 2));
    assert_eq!(at(Field::DriverFlags), (setup.available + 2, 2));
    assert_eq!(at(Field::DevicePosition), (setup.used, 2));
    assert_eq!(at(Field::DeviceFlags), (setup.used + 2, 2));
    assert_eq!(pair.driver.locate(Field::AvailableIndex), None);
}

#[test]
fn entries_of_tables_can_be_reached_until_they_come_back() {
    for format in FORMATS {
        let mut pair = small(format, 4);
        let entry = Field::Entry { table: 1, entry: 3, member: Member::Len };
        assert_eq!(hostile::peek(&pair.driver, &pair.ram, entry), None);
        assert!(!hostile::poke(&pair.driver, &pair.ram, entry, 1));
        let style = Style { form: Form::Indirect, ..Style::default() };
        let request = Request { readable: &[1, 2, 3], writable: 9 };
        pair.driver.publish(&pair.ram, &request, &style).unwrap();
        // The second table of one is the first, the fourth entry of two the second.
        assert_eq!(hostile::peek(&pair.driver, &pair.ram, entry), Some(9));
        assert!(hostile::poke(&pair.driver, &pair.ram, entry, 0xffff_0000_0007));
        assert_eq!(pair.take().writable[0].1, 7);
    }
}

#[test]
fn every_field_is_drawn_and_has_values() {
    for format in FORMATS {
        let mut pair = small(format, 4);
        let style = Style { form: Form::Indirect, ..Style::default() };
        let request = Request { readable: &[1, 2, 3], writable: 9 };
        pair.driver.publish(&pair.ram, &request, &style).unwrap();
        let mut rng = Rng::with_seed(1);
        let mut names = BTreeSet::new();
        for _ in 0..2000 {
            let field = Field::draw(format, rng.u64(..));
            let (_, bytes) = pair.driver.locate(field).expect("a field of this format");
            names.insert(format!("{field:?}").split([' ', '{']).next().unwrap().to_owned());
            let values = hostile::values(&pair.driver, &pair.ram, field);
            assert!(values.len() >= 10 && values.len() < hostile::VALUES_MAX, "{field:?}");
            for value in values {
                assert!(hostile::poke(&pair.driver, &pair.ram, field, value));
                let kept = if bytes == 8 { value } else { value & ((1 << (8 * bytes)) - 1) };
                assert_eq!(hostile::peek(&pair.driver, &pair.ram, field), Some(kept));
            }
        }
        assert_eq!(names.len(), if format == Format::Split { 10 } else { 6 }, "{names:?}");
    }
}

#[test]
fn a_field_that_is_not_memory_is_left_alone() {
    let mut pair = small(Format::Split, 4);
    let end = pair.ram.areas()[2].start + 0x4000;
    let setup = crate::driver::Setup { used: end - 36, event_idx: false, ..*pair.driver.setup() };
    pair.driver.start(setup, &pair.ram);
    assert!(!hostile::poke(&pair.driver, &pair.ram, Field::AvailableEvent, 1));
    assert_eq!(hostile::peek(&pair.driver, &pair.ram, Field::UsedIndex), Some(0));
}

#[test]
fn nonsense_in_memory_does_not_confuse_the_driver() {
    for format in FORMATS {
        let mut rng = Rng::with_seed(9);
        for _ in 0..200 {
            let mut pair = small(format, 8);
            for _ in 0..30 {
                let field = Field::draw(format, rng.u64(..));
                let values = hostile::values(&pair.driver, &pair.ram, field);
                if let Some(value) = values.get(rng.usize(..48)) {
                    hostile::poke(&pair.driver, &pair.ram, field, *value);
                }
                let request = Request { readable: &[7; 20], writable: 20 };
                let before = pair.driver.in_flight();
                let added =
                    pair.driver.publish(&pair.ram, &request, &Style::draw(rng.u64(..))).is_ok();
                assert_eq!(pair.driver.in_flight(), before + usize::from(added));
                if let Ok(Some(_)) = pair.driver.reap(&pair.ram) {
                    assert_eq!(pair.driver.in_flight(), before + usize::from(added) - 1);
                }
                let _ = pair.driver.needs_kick(&pair.ram);
            }
        }
    }
}

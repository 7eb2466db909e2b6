//! Kicks and calls, compared with runs of numbers.

use super::{FORMATS, Format, Pair, Rng, small};
use crate::driver::{Calls, Driver, Request, Setup, Style};

fn pair(format: Format, size: u16, base: u16, event_idx: bool) -> Pair<super::Ram> {
    let pair = small(format, size);
    let setup = Setup { base, event_idx, ..*pair.driver.setup() };
    Pair::new(pair.ram, format, setup)
}

/// Uses everything, so that the ring is empty.
fn settle(pair: &mut Pair<super::Ram>) {
    super::drain(pair);
    while pair.driver.reap(&pair.ram).unwrap().is_some() {}
}

#[test]
fn a_device_is_kicked_for_the_slot_that_it_names() {
    for format in FORMATS {
        let mut rng = Rng::with_seed(2);
        for base in [0x8000_u16, 0x8003, 3, 0] {
            let base = if format == Format::Split { base.wrapping_sub(2) } else { base };
            let mut pair = pair(format, 4, base, true);
            assert_eq!(pair.driver.needs_kick(&pair.ram), Ok(true), "the first time");
            for _ in 0..200 {
                let ahead = rng.u32(..6);
                pair.device.want_kick_after(&pair.ram, ahead);
                let made = rng.u32(..5);
                for _ in 0..made {
                    pair.publish(&[1], 0);
                }
                // An event on the other lap is as far away as one behind.
                assert_eq!(
                    pair.driver.needs_kick(&pair.ram),
                    Ok(ahead < made),
                    "{format:?} {ahead} {made}"
                );
                settle(&mut pair);
            }
        }
    }
}

#[test]
fn a_device_without_event_index_is_kicked_unless_it_says_no() {
    for format in FORMATS {
        let mut pair = pair(format, 4, 0x8000, false);
        pair.publish(&[1], 0);
        assert_eq!(pair.driver.needs_kick(&pair.ram), Ok(true));
        for wants in [false, true] {
            settle(&mut pair);
            pair.device.want_kicks(&pair.ram, wants);
            assert_eq!(pair.driver.needs_kick(&pair.ram), Ok(false), "nothing is new");
            let request = Request { readable: &[1], writable: 0 };
            pair.driver.add(&pair.ram, &request, &Style::default()).unwrap();
            assert_eq!(pair.driver.needs_kick(&pair.ram), Ok(false), "nothing can be seen");
            pair.driver.flush(&pair.ram);
            assert_eq!(pair.driver.needs_kick(&pair.ram), Ok(wants), "{format:?}");
        }
    }
}

#[test]
fn calls_come_when_they_are_wanted() {
    for format in FORMATS {
        let mut rng = Rng::with_seed(4);
        for event_idx in [false, true] {
            let mut pair = pair(format, 4, 0x8002, event_idx);
            for _ in 0..200 {
                let how = match rng.u8(..3) {
                    0 => Calls::Always,
                    1 => Calls::Never,
                    _ => Calls::After(rng.u16(..4)),
                };
                assert!(!pair.driver.want_calls(&pair.ram, how), "nothing was used");
                let expected = |used: u16| match how {
                    Calls::Never => false,
                    Calls::After(count) if event_idx => used > count,
                    _ => used > 0,
                };
                let used = rng.u16(..5);
                for _ in 0..used {
                    pair.publish(&[1], 0);
                    let taken = pair.take();
                    pair.device.give(&pair.ram, &[taken], 0);
                }
                assert_eq!(
                    pair.device.calls(&pair.ram),
                    expected(used),
                    "{format:?} {how:?} {used}"
                );
                assert_eq!(pair.driver.want_calls(&pair.ram, how), expected(used));
                while pair.driver.reap(&pair.ram).unwrap().is_some() {}
            }
        }
    }
}

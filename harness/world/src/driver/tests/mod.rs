//! The drivers with devices that trust them, and with devices that they should not trust.

mod device;
mod events;
mod fields;
mod strict;

use std::collections::{BTreeSet, VecDeque};

use fastrand::Rng;

use self::device::{Device, Shape, Taken};
use super::{AnyDriver, Driver, Form, Format, Full, Request, Setup, Style, Tag};
use crate::ram::{GuestRam, Layout, Ram, Shared};

const FORMATS: [Format; 2] = [Format::Split, Format::Packed];

/// What a device writes in answer to a request.
fn answer(readable: &[u8], len: usize) -> Vec<u8> {
    let salt = readable.iter().fold(7, |salt: u8, byte| salt.wrapping_mul(31) ^ byte);
    (0..len).map(|at| salt.wrapping_add(u8::try_from(at % 251).unwrap())).collect()
}

/// A driver and a device that have the same ring.
struct Pair<R> {
    ram: R,
    driver: AnyDriver,
    device: Device,
}

impl<R: GuestRam> Pair<R> {
    fn new(ram: R, format: Format, setup: Setup) -> Self {
        let driver = AnyDriver::new(format, setup, &ram);
        Self { driver, device: Device::new(format, setup), ram }
    }

    fn publish(&mut self, readable: &[u8], writable: u64) -> Tag {
        let request = Request { readable, writable };
        self.driver.publish(&self.ram, &request, &Style::default()).unwrap()
    }

    fn take(&mut self) -> Taken {
        self.device.take(&self.ram).unwrap()
    }
}

/// A small ring with everything that can be negotiated.
fn small(format: Format, size: u16) -> Pair<Ram> {
    let setup = Setup::place(Layout::Small.areas(), format, size).unwrap();
    let setup = Setup { event_idx: true, indirect: true, ..setup };
    Pair::new(Ram::new(Layout::Small), format, setup)
}

/// Makes requests available, answers them and takes them back, in an order that is drawn.
fn converse(pair: &mut Pair<impl GuestRam>, rng: &mut Rng, rounds: usize) {
    let mut asked: VecDeque<(Tag, Vec<u8>)> = VecDeque::new();
    let mut held: Vec<Taken> = Vec::new();
    let in_order = pair.driver.setup().in_order;
    for _ in 0..rounds {
        for _ in 0..rng.usize(..4) {
            let readable: Vec<u8> = (0..rng.usize(..60)).map(|_| rng.u8(..)).collect();
            let writable = [0, 1, 40, 300][rng.usize(..4)];
            let request = Request { readable: &readable, writable };
            if let Ok(tag) = pair.driver.add(&pair.ram, &request, &Style::draw(rng.u64(..))) {
                asked.push_back((tag, readable));
            }
        }
        if rng.bool() {
            pair.driver.flush(&pair.ram);
        }
        held.extend(std::iter::from_fn(|| pair.device.take(&pair.ram)));
        while !held.is_empty() && rng.u8(..4) > 0 {
            let batch = if in_order {
                let most = held.iter().take_while(|taken| taken.writable.is_empty()).count() + 1;
                let count = rng.usize(1..=most.min(held.len()));
                held.drain(..count).collect()
            } else {
                vec![held.swap_remove(rng.usize(..held.len()))]
            };
            give(pair, rng, &batch);
        }
        while let Some(done) = pair.driver.reap(&pair.ram).unwrap() {
            let at = asked.iter().position(|(tag, _)| *tag == done.tag).expect("it was asked for");
            let (_, readable) = asked.remove(at).unwrap();
            if !done.is_aliased {
                assert_eq!(done.data, answer(&readable, done.data.len()));
            }
            assert_eq!(done.len as usize, done.data.len());
        }
        assert_eq!(asked.len(), pair.driver.in_flight());
    }
}

fn give(pair: &mut Pair<impl GuestRam>, rng: &mut Rng, batch: &[Taken]) {
    let last = batch.last().unwrap();
    let len = u32::try_from(rng.u64(..=last.writable_bytes())).unwrap();
    last.fill(&pair.ram, &answer(&last.readable, len as usize));
    pair.device.give(&pair.ram, batch, len);
}

fn drain(pair: &mut Pair<impl GuestRam>) {
    pair.driver.flush(&pair.ram);
    while let Some(taken) = pair.device.take(&pair.ram) {
        pair.device.give(&pair.ram, &[taken], 0);
    }
}

#[test]
fn every_request_comes_back_in_every_style() {
    let mut rng = Rng::with_seed(11);
    let mut seen = [BTreeSet::new(), BTreeSet::new()];
    for turn in 0..400_usize {
        let format = FORMATS[turn % 2];
        let layout = Layout::ALL[turn / 2 % 4];
        let size = match format {
            Format::Split => 1 << rng.u16(..7),
            Format::Packed => rng.u16(1..70),
        };
        let setup = Setup::place(layout.areas(), format, size).unwrap();
        let base = match format {
            Format::Split => [0, 0xfff0, rng.u16(..)][rng.usize(..3)],
            Format::Packed => rng.u16(..size) | if rng.bool() { 0x8000 } else { 0 },
        };
        let (indirect, in_order, event_idx) = (rng.u8(..4) > 0, rng.bool(), rng.bool());
        let setup = Setup { indirect, in_order, event_idx, base, ..setup };
        let mut pair = Pair::new(Ram::new(layout), format, setup);
        converse(&mut pair, &mut rng, 80);
        seen[turn % 2].append(&mut pair.device.shapes);
    }
    use Shape::{
        Aliased, Direct, Empty, IdAboveSize, Indirect, IndirectAfterDirect, LongerThanRing,
        MeaninglessFlags, NextNotInOrder, OtherIdsInList, OverBorder, SeveralBuffers, SpareEntries,
        TableCutInEntry, TableOverBorder, WriteOnTable,
    };
    let both = [
        Direct,
        Indirect,
        SeveralBuffers,
        Empty,
        OverBorder,
        TableOverBorder,
        TableCutInEntry,
        WriteOnTable,
        MeaninglessFlags,
        LongerThanRing,
        Aliased,
    ];
    let split = [IndirectAfterDirect, NextNotInOrder, SpareEntries];
    let packed = [IdAboveSize, OtherIdsInList];
    assert_eq!(seen[0], both.into_iter().chain(split).collect());
    assert_eq!(seen[1], both.into_iter().chain(packed).collect());
}

#[test]
fn mapped_memory_is_as_good() {
    for format in FORMATS {
        let setup = Setup::place(Layout::Odd.areas(), format, 16).unwrap();
        let setup = Setup { indirect: true, event_idx: true, ..setup };
        let mut pair = Pair::new(Shared::new(Layout::Odd).unwrap(), format, setup);
        converse(&mut pair, &mut Rng::with_seed(5), 300);
    }
}

#[test]
fn a_full_ring_takes_nothing_and_goes_on_later() {
    for format in FORMATS {
        let mut pair = small(format, 4);
        let request = Request { readable: &[1, 2], writable: 2 };
        let before: [u8; 64] = {
            pair.publish(&[1, 2], 2);
            pair.publish(&[3, 4], 2);
            pair.ram.bytes(pair.driver.setup().descriptor)
        };
        let again = pair.driver.publish(&pair.ram, &request, &Style::default());
        assert_eq!(again, Err(Full));
        assert_eq!(pair.ram.bytes(pair.driver.setup().descriptor), before);
        assert_eq!(pair.driver.in_flight(), 2);
        drain(&mut pair);
        while pair.driver.reap(&pair.ram).unwrap().is_some() {}
        assert_eq!(pair.publish(&[1, 2], 2), Tag(2));
    }
}

#[test]
fn memory_that_is_used_up_comes_back() {
    for format in FORMATS {
        let mut pair = small(format, 8);
        let large = vec![3; 0x6000];
        for turn in 0..20 {
            let request = Request { readable: &large, writable: 0 };
            let style = Style { seed: turn, form: Form::Indirect, ..Style::default() };
            let mut count = 0;
            while pair.driver.publish(&pair.ram, &request, &style).is_ok() {
                count += 1;
            }
            assert_eq!(count, 1, "{turn}");
            drain(&mut pair);
            while pair.driver.reap(&pair.ram).unwrap().is_some() {}
        }
    }
}

#[test]
fn a_chain_may_have_two_to_the_32_bytes() {
    for format in FORMATS {
        let setup = Setup::place(Layout::Large.areas(), format, 4096).unwrap();
        let mut pair = Pair::new(Ram::new(Layout::Large), format, setup);
        pair.publish(&[1, 2, 3], (1 << 32) - 3);
        let taken = pair.take();
        assert_eq!(taken.bytes, 1 << 32);
        taken.fill(&pair.ram, &[5; 100]);
        pair.device.give(&pair.ram, &[taken], 100);
        let done = pair.driver.reap(&pair.ram).unwrap().unwrap();
        assert!(done.is_aliased && done.data == [5; 100] && done.len == 100);
    }
}

#[test]
fn nothing_is_visible_before_it_is_flushed() {
    for format in FORMATS {
        let mut pair = small(format, 8);
        for byte in 0..3 {
            let request = Request { readable: &[byte], writable: 0 };
            pair.driver.add(&pair.ram, &request, &Style::default()).unwrap();
            assert!(pair.device.take(&pair.ram).is_none());
        }
        pair.driver.flush(&pair.ram);
        for byte in 0..3 {
            assert_eq!(pair.take().readable, [byte]);
        }
        assert!(pair.device.take(&pair.ram).is_none());
    }
}

#[test]
fn a_new_life_begins_where_the_old_one_ended() {
    for format in FORMATS {
        let mut pair = small(format, 5_u16.next_power_of_two());
        for life in 0..20 {
            converse(&mut pair, &mut Rng::with_seed(life), 7);
            let base = pair.driver.base();
            let setup =
                Setup { base: u16::try_from(base & 0xffff).unwrap(), ..*pair.driver.setup() };
            assert_eq!(base >> 16, if format == Format::Packed { base & 0xffff } else { 0 });
            pair.driver.start(setup, &pair.ram);
            pair.device = Device::new(format, setup);
            assert_eq!(pair.driver.in_flight(), 0);
            assert!(pair.device.take(&pair.ram).is_none());
            assert_eq!(pair.driver.reap(&pair.ram), Ok(None));
        }
    }
}

#[test]
fn two_threads_lose_nothing() {
    for format in FORMATS {
        let setup = Setup::place(Layout::Small.areas(), format, 8).unwrap();
        let ram = Shared::new(Layout::Small).unwrap();
        let mut driver = AnyDriver::new(format, setup, &ram);
        let mut device = Device::new(format, setup);
        let ram = &ram;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut left = 2000;
                while left > 0 {
                    let Some(taken) = device.take(ram) else {
                        std::thread::yield_now();
                        continue;
                    };
                    taken.fill(ram, &answer(&taken.readable, 4));
                    device.give(ram, &[taken], 4);
                    left -= 1;
                }
            });
            let (mut sent, mut back) = (0_u64, 0);
            while back < 2000 {
                let readable = sent.to_le_bytes();
                let request = Request { readable: &readable, writable: 4 };
                if sent < 2000 && driver.publish(ram, &request, &Style::default()).is_ok() {
                    sent += 1;
                }
                let Some(done) = driver.reap(ram).unwrap() else {
                    std::thread::yield_now();
                    continue;
                };
                assert_eq!(done.data, answer(&done.tag.0.to_le_bytes(), 4));
                back += 1;
            }
        });
    }
}

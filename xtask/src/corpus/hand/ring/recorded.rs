//! What the drivers of the harness write in every style, recorded together with the steps of a
//! device that serves them.

use std::cell::RefCell;
use std::sync::atomic::Ordering;

use vhost_fuzz_core::ring::Layout as Form;
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::driver::{
    AnyDriver, Calls, Driver as _, Form as Place, Format, Request, Setup, Style,
};
use vhost_fuzz_harness::ram::{Area, GuestRam, Layout, Ram};
use vhost_fuzz_harness::ring::step::{Start, Step, feature};

use super::{OK, Script, pick};
use crate::corpus::judge::{RingAnswer, Rings};

/// What a driver does with a ring.
struct Session {
    name: &'static str,
    shows: &'static str,
    layout: Layout,
    size: u16,
    features: u8,
    /// Requests of a round, with their styles.
    styles: Vec<Style>,
    calls: Calls,
}

pub(super) fn seeds(form: Form) -> Vec<Seed> {
    let sessions = styles().into_iter().chain(settings(form));
    sessions.map(|session| session.record(form)).collect()
}

const TABLES: u8 = feature::EVENT_IDX | feature::INDIRECT;

/// One buffer of a kind.
fn plain() -> Style {
    Style::default()
}

/// Three readable buffers and two writable ones.
fn parts() -> Style {
    Style { readable_parts: 3, writable_parts: 2, ..plain() }
}

fn table() -> Style {
    Style { form: Place::Indirect, ..parts() }
}

fn session(name: &'static str, shows: &'static str, features: u8, styles: &[Style]) -> Session {
    let styles = styles.to_vec();
    let (layout, size, calls) = (Layout::Small, 8, Calls::Always);
    Session { name, shows, layout, size, features, styles, calls }
}

fn styles() -> Vec<Session> {
    let crosses = |style| Style { crosses: true, is_unaligned: true, seed: 3, ..style };
    let noise = |style| Style { has_noise: true, empties: 1, marks_table: true, ..style };
    let shuffled = |style| Style { is_shuffled: true, spare_entries: 2, has_any_id: true, ..style };
    let prefixed = |count| Style { form: Place::Prefixed(count), ..parts() };
    vec![
        session("plain", "a driver with one buffer of a kind", 0, &[plain(); 3]),
        session("parts", "a driver that cuts its buffers", 0, &[parts(), plain()]),
        session("tables", "a driver with indirect tables", TABLES, &[table(), plain(), table()]),
        Session {
            layout: Layout::Odd,
            ..session(
                "crossing",
                "buffers and tables over borders, at any address",
                TABLES,
                &[crosses(table()), crosses(parts())],
            )
        },
        session(
            "noise",
            "fields and bits without a meaning, and buffers without bytes",
            TABLES,
            &[noise(table()), noise(plain())],
        ),
        session(
            "shuffled",
            "descriptors, entries and ids in any order",
            TABLES,
            &[shuffled(table()), shuffled(parts())],
        ),
        session("prefixed", "descriptors in front of a table", TABLES, &[prefixed(2), prefixed(1)]),
    ]
}

fn settings(form: Form) -> Vec<Session> {
    let in_order = [plain(), parts(), plain()];
    let aliased = [plain(), Style { is_aliased: true, ..parts() }, plain()];
    vec![
        session(
            "in-order",
            "a driver that relies on the order",
            TABLES | feature::IN_ORDER,
            &in_order,
        ),
        Session {
            size: pick(form, 16, 11),
            calls: Calls::After(2),
            ..session("events", "a driver that is called after each third", TABLES, &aliased)
        },
        Session {
            calls: Calls::Never,
            ..session(
                "polling",
                "a driver that wants no calls",
                feature::INDIRECT,
                &[plain(), table()],
            )
        },
    ]
}

impl Session {
    fn setup(&self, format: Format) -> Setup {
        let placed = Setup::place(self.layout.areas(), format, self.size);
        let has = |bit| self.features & bit != 0;
        Setup {
            event_idx: has(feature::EVENT_IDX),
            indirect: has(feature::INDIRECT),
            in_order: has(feature::IN_ORDER),
            ..placed.unwrap_or_default()
        }
    }

    /// Three rounds of requests: they are made available, taken, and given back.
    fn record(&self, form: Form) -> Seed {
        let format = pick(form, Format::Split, Format::Packed);
        let setup = self.setup(format);
        let base = u32::from(setup.base);
        let start = Start {
            layout: self.layout,
            size: self.size,
            features: self.features,
            cap: 0,
            base: base << 16 | base,
            parts: [setup.descriptor, setup.available, setup.used],
        };
        let script = Script { start, steps: vec![] };
        let mut scene = Scene { rings: Rings::new(form), script };
        scene.step(Step::Start(start));
        let mut driver = scene.drive(|ram| AnyDriver::new(format, setup, ram));
        for round in 0..3 {
            self.round(round, &mut scene, &mut driver);
        }
        scene.script.seed(&format!("driver-{}", self.name), OK, self.shows)
    }

    fn round(&self, round: u64, scene: &mut Scene, driver: &mut AnyDriver) {
        let mut count = 0;
        for (at, style) in (1..).zip(&self.styles) {
            let style = Style { seed: style.seed + 16 * round + at, ..*style };
            let request = Request { readable: &[0x5a; 11], writable: 6 + at };
            count += u8::from(scene.drive(|ram| driver.publish(ram, &request, &style)).is_ok());
        }
        let is_late = scene.drive(|ram| driver.want_calls(ram, self.calls));
        assert!(!is_late, "{}: nothing was used", self.name);
        scene.step(Step::Wake);
        let answers = scene.step(Step::Pop { count });
        let taken = answers.iter().filter(|it| matches!(it, RingAnswer::Taken(..))).count();
        assert_eq!(taken, usize::from(count), "{}: what a driver makes is taken", self.name);
        scene.step(Step::Read { border: 4, len: 3 });
        scene.step(Step::Write { len: 5 });
        for left in (0..count).rev() {
            // Without an order, the newest one, which has the bytes that were written, goes first.
            let is_in_order = self.features & feature::IN_ORDER != 0;
            let which = if is_in_order { 0 } else { left };
            let is_newest = if is_in_order { left == 0 } else { left + 1 == count };
            scene.step(Step::Put { which, len: if is_newest { 5 } else { 0 } });
        }
        scene.step(Step::Publish);
        scene.step(Step::Arm);
        for _ in 0..count {
            let reaped = scene.drive(|ram| driver.reap(ram));
            assert!(matches!(reaped, Ok(Some(_))), "{}: {reaped:?}", self.name);
        }
    }
}

/// A ring that is written to by a driver and served as its model says, and all of that as steps.
struct Scene {
    rings: Rings,
    script: Script,
}

impl Scene {
    fn step(&mut self, step: Step<'static>) -> Vec<RingAnswer> {
        let answers = self.rings.step(&step);
        self.script.steps.push(step);
        answers
    }

    /// What a driver does; what it writes becomes steps.
    fn drive<T>(&mut self, act: impl FnOnce(&Recorder<'_>) -> T) -> T {
        let recorder = Recorder { ram: self.rings.ram(), written: RefCell::new(vec![]) };
        let result = act(&recorder);
        let written = recorder.written.into_inner();
        let poke = |(address, bytes): (u64, Vec<u8>)| Step::Poke { address, bytes: bytes.into() };
        self.script.steps.extend(written.into_iter().map(poke));
        result
    }
}

/// Memory that remembers what a driver writes to it.
struct Recorder<'a> {
    ram: &'a Ram,
    written: RefCell<Vec<(u64, Vec<u8>)>>,
}

impl GuestRam for Recorder<'_> {
    fn areas(&self) -> &'static [Area] {
        self.ram.areas()
    }

    fn put(&self, address: u64, bytes: &[u8]) {
        self.ram.put(address, bytes);
        self.written.borrow_mut().push((address, bytes.to_vec()));
    }

    fn get(&self, address: u64, bytes: &mut [u8]) {
        self.ram.get(address, bytes);
    }

    fn store_u16(&self, address: u64, value: u16, _: Ordering) {
        self.put(address, &value.to_le_bytes());
    }

    fn load_u16(&self, address: u64, order: Ordering) -> u16 {
        self.ram.load_u16(address, order)
    }

    fn load_u32(&self, address: u64) -> u32 {
        self.ram.load_u32(address)
    }

    fn fence(&self) {}
}

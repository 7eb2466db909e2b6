//! A guest with one ring, which outlives connections and back-ends.

use std::collections::BTreeMap;

use vhost_fuzz_core::memory::PAGE_SIZE;
use vhost_fuzz_core::vhost_user::payload::VringAddr;
use vhost_fuzz_world::driver::{self, AnyDriver, Calls, Driver as _, Format, Request, Style};
use vhost_fuzz_world::ram::{Area, GuestRam as _, Layout, Shared};

/// Entries of the ring.
pub(crate) const SIZE: u16 = 16;

/// Guest memory, a driver, and how often each of its requests was answered.
pub(crate) struct Guest {
    pub(crate) ram: Shared,
    pub(crate) driver: AnyDriver,
    pub(crate) answers: Vec<u8>,
    /// Bytes that requests differ by in length.
    unit: usize,
}

impl Guest {
    pub(crate) fn new(format: Format, layout: Layout) -> Self {
        let ram = Shared::new(layout).unwrap();
        let place = driver::Setup::place(layout.areas(), format, SIZE).unwrap();
        Self::with(ram, format, place, 1)
    }

    /// Much memory, long requests, and a page for each part of the ring.
    pub(crate) fn spread(format: Format) -> Self {
        let layout = Layout::Large;
        let start = layout.areas()[0].start;
        let place = driver::Setup::place(layout.areas(), format, SIZE).unwrap();
        let parts = driver::Setup {
            descriptor: start + PAGE_SIZE,
            available: start + 3 * PAGE_SIZE,
            used: start + 6 * PAGE_SIZE,
            ..place
        };
        Self::with(Shared::new(layout).unwrap(), format, parts, 1500)
    }

    fn with(ram: Shared, format: Format, place: driver::Setup, unit: usize) -> Self {
        let setup = driver::Setup { event_idx: true, indirect: true, ..place };
        let driver = AnyDriver::new(format, setup, &ram);
        Self { ram, driver, answers: Vec::new(), unit }
    }

    /// Bytes of a request.
    fn len(&self, number: u8) -> usize {
        1 + self.unit * usize::from(number % 7)
    }

    /// Makes a request available that begins with its number; says whether there was room.
    pub(crate) fn send(&mut self, seed: u64) -> bool {
        let number = u8::try_from(self.answers.len()).expect("few requests");
        let style = Style { is_aliased: false, ..Style::draw(seed) };
        let readable = vec![number; self.len(number)];
        let request = Request { readable: &readable, writable: readable.len() as u64 };
        let _ = self.driver.want_calls(&self.ram, Calls::Always);
        let is_sent = self.driver.publish(&self.ram, &request, &style).is_ok();
        if is_sent {
            self.answers.push(0);
        }
        is_sent
    }

    /// Takes back what was used, as a strict driver does.
    pub(crate) fn reap(&mut self) {
        while let Some(done) = self.driver.reap(&self.ram).expect("a strict driver is content") {
            let number = u8::try_from(done.tag.0).expect("few requests");
            self.answers[usize::from(number)] += 1;
            assert!(done.data == vec![!number; self.len(number)], "{number}");
        }
    }

    /// Whether all requests came back.
    pub(crate) fn is_done(&self) -> bool {
        self.driver.in_flight() == 0
    }

    /// Where the parts of ring `index` are for the front-end, and where writes to the used ring are
    /// logged.
    pub(crate) fn addresses(&self, index: u32, log: Option<u64>) -> VringAddr {
        let driver::Setup { descriptor, available, used, .. } = *self.driver.setup();
        let user = |address| {
            let areas = self.ram.layout().areas();
            let found = areas.iter().find_map(|area| Some(area.user + area.find(address)?.0));
            found.expect("the ring is in memory")
        };
        VringAddr {
            index,
            flags: if log.is_some() { VringAddr::LOG } else { 0 },
            descriptor: user(descriptor),
            used: user(used),
            available: user(available),
            log: log.unwrap_or(0),
        }
    }

    /// One more than the last guest address.
    pub(crate) fn end(&self) -> u64 {
        self.ram.areas().iter().map(|area| area.start + area.size).max().unwrap_or(0)
    }

    /// All pages of its memory, by their numbers.
    pub(crate) fn pages(&self) -> BTreeMap<u64, Vec<u8>> {
        let page = |number| {
            let mut bytes = vec![0; usize::try_from(PAGE_SIZE).unwrap()];
            self.ram.get(number * PAGE_SIZE, &mut bytes);
            (number, bytes)
        };
        let numbers = |area: &Area| area.start / PAGE_SIZE..(area.start + area.size) / PAGE_SIZE;
        self.ram.areas().iter().flat_map(numbers).map(page).collect()
    }
}

//! A guest with one ring, which outlives connections and back-ends.

use vhost_fuzz_core::memory::PAGE_SIZE;
use vhost_fuzz_core::vhost_user::payload::VringAddr;
use vhost_fuzz_world::driver::{self, AnyDriver, Calls, Driver as _, Format, Request, Style};
use vhost_fuzz_world::ram::{Layout, Shared};

/// Entries of the ring.
pub(crate) const SIZE: u16 = 16;

/// Guest memory, a driver, and how often each of its requests was answered.
pub(crate) struct Guest {
    pub(crate) ram: Shared,
    pub(crate) driver: AnyDriver,
    pub(crate) format: Format,
    pub(crate) answers: Vec<u8>,
}

impl Guest {
    pub(crate) fn new(format: Format, layout: Layout) -> Self {
        let ram = Shared::new(layout).unwrap();
        let place = driver::Setup::place(layout.areas(), format, SIZE).unwrap();
        let setup = driver::Setup { event_idx: true, indirect: true, ..place };
        let driver = AnyDriver::new(format, setup, &ram);
        Self { ram, driver, format, answers: Vec::new() }
    }

    /// Makes a request available that begins with its number; says whether there was room.
    pub(crate) fn send(&mut self, seed: u64) -> bool {
        let number = u8::try_from(self.answers.len()).expect("few requests");
        let style = Style { is_aliased: false, ..Style::draw(seed) };
        let readable = vec![number; 1 + usize::from(number % 7)];
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
            assert_eq!(done.data, vec![!number; 1 + usize::from(number % 7)]);
        }
    }

    /// Whether all requests came back.
    pub(crate) fn is_done(&self) -> bool {
        self.driver.in_flight() == 0
    }

    /// Where the parts of ring `index` are for the front-end. With `log`, writes to the used ring
    /// are logged at its guest address.
    pub(crate) fn addresses(&self, index: u32, log: bool) -> VringAddr {
        let driver::Setup { descriptor, available, used, .. } = *self.driver.setup();
        let user = |address| {
            let areas = self.ram.layout().areas();
            let found = areas.iter().find_map(|area| Some(area.user + area.find(address)?.0));
            found.expect("the ring is in memory")
        };
        VringAddr {
            index,
            flags: if log { VringAddr::LOG } else { 0 },
            descriptor: user(descriptor),
            used: user(used),
            available: user(available),
            log: if log { used } else { 0 },
        }
    }

    /// Bytes of a log for all of its memory.
    pub(crate) fn log_len(&self) -> u64 {
        let ends = self.ram.layout().areas().iter().map(|area| area.start + (area.size - 1));
        (ends.max().unwrap_or(0) / PAGE_SIZE / 8 + 1).next_multiple_of(PAGE_SIZE)
    }
}
